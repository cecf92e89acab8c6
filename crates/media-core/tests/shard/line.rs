//! A minute of talk over a virtual line that loses what a seed says: how much is left after repair.

use std::collections::{BTreeMap, HashMap, HashSet};

use media_core::counters::Second;
use media_core::limits::MS;
use media_core::origin::Local;
use media_core::rtcp::{self, Packet};
use testkit::bed::{Client, Sent};

use crate::Call;
use crate::repair::asked;

/// A line that loses and delays, both ways.
struct Line {
    chance: u64,
    /// What is on its way, by the time at which it comes.
    to_shard: BTreeMap<(u64, u32), Vec<u8>>,
    to_client: BTreeMap<(u64, u32), Vec<u8>>,
    number: u32,
}

/// One way of the line.
const WAY: u64 = 20 * MS;
/// Share of datagrams that a line loses, in percent.
const LOSS: u64 = 5;

impl Line {
    fn new(seed: u64) -> Line {
        Line {
            chance: seed,
            to_shard: BTreeMap::new(),
            to_client: BTreeMap::new(),
            number: 0,
        }
    }

    fn loses(&mut self) -> bool {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        (self.chance >> 20) % 100 < LOSS
    }

    /// False if it was lost.
    fn up(&mut self, now: u64, bytes: &[u8]) -> bool {
        let lost = self.loses();
        self.number += 1;
        if !lost {
            self.to_shard.insert((now + WAY, self.number), bytes.to_vec());
        }
        !lost
    }

    fn down(&mut self, now: u64, bytes: &[u8]) {
        self.number += 1;
        if !self.loses() {
            self.to_client.insert((now + WAY, self.number), bytes.to_vec());
        }
    }
}

/// How a client of the lossy line repairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repair {
    Nothing,
    Nack,
    Red,
}

/// What a minute of talk over the line came to, in packets.
#[derive(Debug)]
struct Outcome {
    said: u32,
    lost_on_line: u32,
    residual: u32,
    repaired: u32,
    taped: usize,
}

/// A minute of the customer's talk over a line that loses a share of everything, requests and repairs too.
fn minute(repair: Repair, seed: u64) -> Outcome {
    let mut call = Call::of(|customer, _| {
        customer.nack = repair == Repair::Nack;
    });
    let mut line = Line::new(seed);
    let mut kept: HashMap<u16, Vec<u8>> = HashMap::new();
    let (mut said, mut lost_on_line) = (0, 0);
    let mut last = b"none".to_vec();
    let customer = call.customer.address;
    // The tail is long enough for what is still on its way.
    for step in 0..6_200u64 {
        if step % 2 == 0 && step < 6_000 {
            let number = call.customer.index as u16;
            let payload = said_at(step);
            let packet = if repair == Repair::Red && said > 0 {
                call.redundant(&[(960, &last)], &payload)
            } else {
                call.customer.speak(&payload)
            };
            last = payload;
            // The first and the last come: only they say where the numbers begin and end.
            said += 1;
            if said == 1 || step == 5_998 {
                call.arrives(&packet);
            } else if !line.up(call.bed.now, &packet) {
                lost_on_line += 1;
            }
            kept.insert(number, packet);
        }
        if step % 250 == 0 {
            call.bed.check(&mut call.customer);
            call.bed.check(&mut call.agent);
        }
        let mut sent = call.bed.advance(10 * MS);
        while let Some(entry) = line
            .to_shard
            .first_entry()
            .filter(|entry| entry.key().0 <= call.bed.now)
        {
            let bytes = entry.remove();
            sent.extend(call.bed.datagram(customer, &bytes));
        }
        for sent in sent
            .iter()
            .filter(|sent| sent.to == customer && matches!(sent.bytes[1], 192..=223))
        {
            line.down(call.bed.now, &sent.bytes);
        }
        while let Some(entry) = line
            .to_client
            .first_entry()
            .filter(|entry| entry.key().0 <= call.bed.now)
        {
            let bytes = entry.remove();
            let compounds = call.customer.open_reports(&[Sent {
                to: customer,
                path: None,
                from: Local::UNNAMED,
                bytes,
            }]);
            for number in asked(&compounds) {
                if let Some(packet) = kept.get(&number) {
                    line.up(call.bed.now, packet);
                }
            }
            if let Some(report) = round_trip_report(&mut call.customer, &compounds) {
                line.up(call.bed.now, &report);
            }
        }
    }
    let seconds = call.seconds();
    let records = &call.bed.tape.records;
    let indices: HashSet<u32> = records.iter().map(|record| record.ext_seq).collect();
    assert_eq!(indices.len(), records.len(), "nothing is taped twice");
    let taped = records.len();
    let summary = call.customer_leaves();
    let sum = |of: fn(&Second) -> u32| seconds.iter().map(of).sum::<u32>();
    let outcome = Outcome {
        said,
        lost_on_line,
        residual: summary.packets_lost as u32,
        repaired: sum(|s| s.repaired_rtx) + sum(|s| s.repaired_red),
        taped,
    };
    assert_eq!(outcome.taped as u32 + outcome.residual, said, "{outcome:?}");
    assert_eq!(u64::from(outcome.repaired), summary.packets_repaired, "{outcome:?}");
    // A row may call lost what is on its way again when the second ends, and no row takes it back.
    let rows = sum(|s| s.lost);
    assert!(
        (outcome.residual..=outcome.residual + 5).contains(&rows),
        "{rows} {outcome:?}"
    );
    outcome
}

fn said_at(step: u64) -> Vec<u8> {
    [&step.to_be_bytes()[..], &[7; 60]].concat()
}

/// The client's report that tells us the round trip, once it has a report of ours.
fn round_trip_report(client: &mut Client, compounds: &[Vec<u8>]) -> Option<Vec<u8>> {
    let (ssrc, ntp) = compounds.iter().find_map(|compound| {
        rtcp::parse(compound).expect("our own").find_map(|packet| match packet {
            Packet::SenderReport(info, _) => Some((info.ssrc, info.ntp)),
            _ => None,
        })
    })?;
    let block = rtcp::Block {
        ssrc,
        last_sr: rtcp::middle(ntp),
        ..rtcp::Block::default()
    };
    let mut plain = [0; 128];
    let len = rtcp::receiver_report(&mut plain, client.numbers.ssrc, &[block], "client").expect("it fits");
    Some(client.seal_rtcp(&plain[..len]))
}

#[test]
fn of_five_percent_lost_next_to_nothing_is_left_after_repair() {
    for seed in [0x1234_5678_9ABC_DEF1, 0xFEED_5EED_0000_0001] {
        for repair in [Repair::Nothing, Repair::Nack, Repair::Red] {
            let outcome = minute(repair, seed);
            let share = |count: u32| 100.0 * f64::from(count) / f64::from(outcome.said);
            println!(
                "{repair:?}: {} packets, lost on the line {:.2} %, after repair {:.2} %",
                outcome.said,
                share(outcome.lost_on_line),
                share(outcome.residual)
            );
            assert!(share(outcome.lost_on_line) > 3.5, "the line must lose: {outcome:?}");
            match repair {
                Repair::Nothing => {
                    assert_eq!((outcome.residual, outcome.repaired), (outcome.lost_on_line, 0));
                }
                Repair::Nack => assert!(share(outcome.residual) < 0.5, "{outcome:?}"),
                // One packet of memory mends what is not two in a row.
                Repair::Red => assert!(share(outcome.residual) < 1.0, "{outcome:?}"),
            }
        }
    }
}
