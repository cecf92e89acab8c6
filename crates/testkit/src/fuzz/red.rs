//! Redundant audio (RFC 2198): read as the engine reads it and as the RFC says, and spoken into a call.

use std::collections::HashSet;

use media_core::matrix::{Part, Stance, Tap};
use media_core::red;
use media_core::tap::Flags;

use crate::bed::{Bed, Client, FRAME};

use super::{Input, aside};

/// Packets of one call: more teach nothing new.
const PACKETS_MAX: usize = 64;
/// Blocks of one payload that are looked at, the primary among them.
const BLOCKS_MAX: usize = 8;
/// Samples of 20 ms at 48 kHz.
const FRAME_SAMPLES: u32 = 960;

/// First byte 0: one payload. Else: a talk with gaps, in which each packet may hold what was lost before it.
///
/// # Panics
/// If something does not hold.
pub fn red(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() {
        0 => payload(input.0),
        _ => talk(input),
    }
}

/// A block as RFC 2198 §3 has it: payload type, age in samples, place and length in bytes.
type Block = (u8, u32, usize, usize);

/// The redundant blocks and the primary one, read straight from the RFC.
fn read(payload: &[u8]) -> Option<(Vec<Block>, Block)> {
    let mut headers = Vec::new();
    let mut rest = payload;
    let last = loop {
        match rest {
            [first, behind @ ..] if first & 0x80 == 0 => {
                rest = behind;
                break *first;
            }
            [a, b, c, d, behind @ ..] if headers.len() + 1 < BLOCKS_MAX => {
                let word = u32::from_be_bytes([*a, *b, *c, *d]);
                headers.push(((word >> 24 & 0x7F) as u8, word >> 10 & 0x3FFF, (word & 0x3FF) as usize));
                rest = behind;
            }
            _ => return None,
        }
    };
    let mut at = payload.len() - rest.len();
    let mut blocks = Vec::new();
    for (kind, age, len) in headers {
        blocks.push((kind, age, at, len));
        at += len;
    }
    let len = payload.len().checked_sub(at)?;
    Some((blocks, (last, 0, at, len)))
}

fn payload(data: &[u8]) {
    let expected = read(data);
    let found = red::primary(data);
    let blocks: Vec<_> = red::redundant(data).collect();
    let Some((redundant, primary)) = expected else {
        assert!(found.is_none() && blocks.is_empty(), "broken, and read all the same");
        let mut copy = data.to_vec();
        assert!(red::rename(&mut copy, 111, 96).is_none() && copy == data);
        return;
    };
    let found = found.expect("the RFC reads it");
    let reach = redundant.iter().map(|block| block.1).max().unwrap_or(0);
    assert_eq!(
        (found.payload_type, found.at, found.reach),
        (primary.0, primary.2, reach)
    );
    let seen = blocks
        .iter()
        .map(|block| (block.payload_type, block.offset, block.at, block.len));
    assert_eq!(seen.collect::<Vec<_>>(), redundant);
    let back: Vec<u64> = blocks.iter().map(|block| block.back).collect();
    assert_eq!(back, (1..=blocks.len() as u64).rev().collect::<Vec<_>>());
    // There and back gives the same bytes, and nothing but the types changes on the way.
    let uniform = redundant.iter().all(|block| block.0 == primary.0);
    let mut copy = data.to_vec();
    assert_eq!(red::rename(&mut copy, primary.0, 5).is_some(), uniform);
    if uniform {
        assert_eq!(read(&copy).map(|(_, block)| block), Some((5, 0, primary.2, primary.3)));
        assert!(red::rename(&mut copy, 5, primary.0).is_some());
    }
    assert_eq!(copy, data);
}

/// What the speaker says in packet `number`.
fn said(number: u32) -> [u8; 12] {
    let mut bytes = [0x55; 12];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// Two bits a packet: how many are lost before it; two: how many blocks it holds. Then a byte that damages it, or 0.
fn talk(mut input: Input<'_>) {
    let (mut customer, mut agent) = (Client::new(1, Part::Customer), Client::new(2, Part::Agent));
    // The listener takes plain Opus, so every packet is cut to its primary block.
    agent.numbers.red = None;
    let mut bed = aside(|| {
        let mut bed = Bed::default();
        bed.bring_up(&mut customer);
        bed.bring_up(&mut agent);
        bed
    });
    bed.plan(&[(customer.leg, Stance::Talk), (agent.leg, Stance::Talk)], Tap::On);
    bed.say(&mut agent, b"hello", &mut customer);
    let (first, kind) = (customer.index, customer.numbers.red.expect("it offers RED"));
    let mut honest = true;
    for _ in 0..PACKETS_MAX {
        let Some(step) = input.next() else { break };
        for _ in 0..step & 3 {
            customer.step();
            bed.advance(FRAME);
        }
        let number = (customer.index - first) as u32;
        let back = u32::from(step >> 2 & 3).min(number);
        let mut payload = Vec::new();
        for age in (1..=back).rev() {
            let word = u32::from(0x80 | customer.numbers.opus) << 24 | (age * FRAME_SAMPLES) << 10 | 12;
            payload.extend_from_slice(&word.to_be_bytes());
        }
        payload.push(customer.numbers.opus);
        for age in (0..=back).rev() {
            payload.extend_from_slice(&said(number - age));
        }
        let damage = input.byte();
        if damage != 0 {
            honest = false;
            let at = usize::from(input.byte()) % payload.len();
            payload[at] ^= damage;
        }
        let packet = customer.packet(kind, &payload);
        customer.step();
        let sent = bed.datagram(customer.address, &packet);
        let heard = agent.open_all(&sent);
        assert!(heard.len() <= 1 && (damage != 0 || heard.len() == 1), "{heard:?}");
        if damage == 0 {
            assert_eq!(heard[0].payload, said(number));
        }
        bed.advance(FRAME);
    }
    let taped: Vec<_> = bed
        .tape
        .records
        .iter()
        .filter(|record| record.leg == customer.tap)
        .collect();
    let numbers: HashSet<u32> = taped.iter().map(|record| record.ext_seq).collect();
    assert_eq!(numbers.len(), taped.len(), "nothing is taped twice");
    for record in taped.iter().filter(|_| honest) {
        let number = record.ext_seq - first as u32;
        assert!(record.packet.ends_with(&said(number)), "packet {number}: {record:?}");
        let rebuilt = record.flags.contains(Flags::RED);
        assert_eq!(
            rebuilt,
            record.packet.len() == 12 + 12,
            "what was rebuilt has our header"
        );
    }
    let totals = bed.shard.totals();
    assert_eq!(totals.accounted(), totals.datagrams);
}
