//! A million mangled datagrams into a shard that carries a call: no panic, every one counted once, the call whole.
//!
//! The good ones come from the kept fuzz corpus; they are changed by a small generator, whose seed is another one in every
//! run and printed, so a failure can be had again (`HELPLINE_SEED`). Forged senders are strangers, other legs and the talkers themselves, the last within their rates:
//! above these, a forger starves whom he imitates, which no receiver can prevent.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use media_core::LegId;
use media_core::limits::{ADDRESSES_PER_TRANSPORT_MAX, DATAGRAM_BYTES_MAX};
use media_core::matrix::{Part, Stance, Tap};
use media_core::origin::{Path as Way, Relayed, Via};
use testkit::bed::{Bed, Client, FRAME, ROOM};

/// Turns of 20 ms, each with one packet of either talker.
const TURNS: u32 = 5_000;
/// Hostile datagrams in a turn.
const HOSTILE: usize = 200;
/// From this one on they come through the relay.
const THROUGH_RELAY: usize = 150;
/// Bytes of what comes under a talker's own address: with two such datagrams a turn, his byte rate holds.
const IMITATED_BYTES: usize = 150;

struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % limit.max(1)
    }
}

/// The good datagrams: one a file, and what a handshake's feed holds behind its first byte.
fn good() -> Vec<Vec<u8>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut all = Vec::new();
    for target in ["stun", "rtp", "rtcp"] {
        let entries = fs::read_dir(corpus.join(target)).expect("the corpus is committed");
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
        paths.sort();
        all.extend(paths.iter().map(|path| fs::read(path).expect("a readable file")));
    }
    let feed = fs::read(corpus.join("dtls/handshake")).expect("the corpus is committed");
    let mut rest = &feed[1..];
    while let [high, low, behind @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(behind.len());
        all.push(behind[..len].to_vec());
        rest = &behind[len..];
    }
    all
}

/// As it was, changed, cut, grown, spliced with another, or nothing but chance behind a plausible first byte.
fn mangled(chance: &mut Chance, good: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = good[chance.below(good.len())].clone();
    match chance.below(8) {
        0 => {}
        1 => bytes.truncate(chance.below(bytes.len() + 1)),
        2 => {
            let more = chance.below(DATAGRAM_BYTES_MAX + 40);
            bytes.extend((0..more).map(|_| chance.below(256) as u8));
            bytes.truncate(DATAGRAM_BYTES_MAX + 40);
        }
        3 => {
            let other = &good[chance.below(good.len())];
            bytes.truncate(chance.below(bytes.len() + 1));
            bytes.extend_from_slice(&other[chance.below(other.len())..]);
        }
        4 => {
            let first = [0, 1, 20, 22, 63, 128, 144, 191, 200, 255][chance.below(10)];
            bytes = (0..chance.below(200)).map(|_| chance.below(256) as u8).collect();
            if let Some(byte) = bytes.first_mut() {
                *byte = first;
            }
        }
        _ => {
            for _ in 0..=chance.below(8) {
                let at = chance.below(bytes.len());
                bytes[at] ^= 1 << chance.below(8);
            }
        }
    }
    bytes
}

/// One hostile datagram; it is counted in exactly one place.
fn strike(bed: &mut Bed, from: SocketAddr, bytes: &[u8]) {
    let before = bed.shard.totals().accounted();
    bed.datagram(from, bytes);
    assert_eq!(bed.shard.totals().accounted(), before + 1, "{from}: {bytes:02x?}");
}

/// One hostile datagram through the relay, by a way that was opened for one of `legs`; it is counted in exactly one
/// place.
fn strike_through_relay(bed: &mut Bed, chance: &mut Chance, legs: &[LegId], bytes: &[u8]) {
    let number = chance.below(8) as u32;
    let from = Relayed {
        path: Way {
            allocation: [number, 1],
            end: 0,
            via: Via::Udp,
        },
        address: SocketAddr::from(([203, 0, 113, 250], 50_000 + number as u16)),
        leg: legs[chance.below(legs.len())],
    };
    let before = bed.shard.totals().accounted();
    bed.relayed(from, bytes);
    assert_eq!(bed.shard.totals().accounted(), before + 1, "{from:?}: {bytes:02x?}");
}

#[test]
fn a_million_hostile_datagrams_are_each_counted_once_and_cost_a_call_nothing() {
    let good = good();
    let (mut customer, mut agent) = (Client::new(1, Part::Customer), Client::new(2, Part::Agent));
    // The corpus was made with these two: its unchanged datagrams are authentic.
    let mut bystander = Client::new(3, Part::Partner);
    let joining = Client::new(4, Part::Partner);
    let mut bed = Bed::default();
    for client in [&mut customer, &mut agent, &mut bystander] {
        bed.bring_up(client);
    }
    bed.plan(&[(customer.leg, Stance::Talk), (agent.leg, Stance::Talk)], Tap::On);
    // An xorshift never leaves 0.
    let mut chance = Chance(testkit::properties::seed().max(1));
    let talkers = [customer.address, agent.address];
    let legs = [customer.leg, agent.leg, bystander.leg, joining.leg];
    for turn in 0..TURNS {
        bed.advance(FRAME);
        if turn % 100 == 0 {
            for client in [&mut customer, &mut agent, &mut bystander] {
                bed.check(client);
            }
            // It never finishes, so it is gone every now and then; while it lives, this changes nothing.
            let _ = bed.add(ROOM, &joining);
        }
        for number in 0..HOSTILE {
            let mut bytes = mangled(&mut chance, &good);
            if number >= THROUGH_RELAY {
                strike_through_relay(&mut bed, &mut chance, &legs, &bytes);
                continue;
            }
            let from = match number {
                0..4 => {
                    bytes.truncate(IMITATED_BYTES);
                    talkers[number % 2]
                }
                4..60 => bystander.address,
                60..100 => joining.address,
                _ => SocketAddr::from(([203, 0, 113, number as u8], 1_000 + chance.below(9) as u16)),
            };
            strike(&mut bed, from, &bytes);
        }
        if turn % 4 == 0 {
            let forged = customer.check_with(true, "a password that nobody gave out");
            strike(&mut bed, SocketAddr::from(([203, 0, 113, 1], 1)), &forged);
        }
        let payload = turn.to_be_bytes();
        let heard = bed.say(&mut customer, &payload, &mut agent);
        assert!(
            heard.len() == 1 && heard[0].payload == payload,
            "turn {turn}: the agent heard {heard:?}"
        );
        let heard = bed.say(&mut agent, &payload, &mut customer);
        assert!(
            heard.len() == 1 && heard[0].payload == payload,
            "turn {turn}: the customer heard {heard:?}"
        );
        while bed.shard.poll_job().is_some() {}
        while bed.shard.poll_second().is_some() {}
        bed.events();
    }
    let totals = *bed.shard.totals();
    assert!(totals.datagrams > u64::from(TURNS) * HOSTILE as u64);
    assert_eq!(
        (totals.accounted(), totals.panics, totals.drop_arena),
        (totals.datagrams, 0, 0)
    );
    assert_eq!(totals.rtp_forwarded, 2 * u64::from(TURNS));
    assert_eq!(
        bed.tape.records.len() as u64,
        2 * u64::from(TURNS) - 1,
        "all but what came before the agent spoke"
    );
    // The test is worth something only if it got everywhere.
    for (name, count) in [
        ("size", totals.drop_size),
        ("protocol", totals.drop_protocol),
        ("stun", totals.drop_stun_malformed),
        ("fragment", totals.drop_unknown_ufrag),
        ("integrity", totals.drop_bad_integrity),
        ("checks", totals.checks),
        ("stun rate", totals.drop_stun_rate),
        ("source", totals.drop_unknown_source),
        ("gate of the relay", totals.drop_relay_gate),
        ("keys", totals.drop_no_keys),
        ("malformed", totals.drop_malformed),
        ("authentic", totals.drop_unauthentic),
        ("replayed", totals.drop_replayed),
        ("rate", totals.drop_rate),
        ("handshake", totals.dtls_passed),
        ("handshake limit", totals.drop_dtls_limit),
    ] {
        assert!(count > 0, "nothing met the drop `{name}`: {totals:?}");
    }
    let tables = bed.shard.tables();
    assert!(
        tables.legs <= 4 && tables.addresses <= 4 * ADDRESSES_PER_TRANSPORT_MAX,
        "{tables:?}"
    );
}
