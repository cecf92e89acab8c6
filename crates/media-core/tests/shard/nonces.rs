//! The nonce guard seen from outside: whatever happens to packets, no number of a stream carries two of them.

use std::collections::HashMap;
use std::net::SocketAddr;

use media_core::LegId;
use media_core::limits::MS;
use media_core::matrix::{Part, Stance, Tap};
use proptest::prelude::*;
use testkit::bed::{Bed, Client};

use crate::red;

/// What a walk does next.
#[derive(Clone, Debug)]
enum Step {
    /// The customer or the partner says something: sent, held back, or sent twice; redundant or not.
    Say {
        partner: bool,
        fate: u8,
        red: bool,
    },
    /// What was held back longest, or last, comes.
    Come {
        newest: bool,
    },
    /// The agent asks for numbers behind the newest that it saw.
    Ask {
        slot: u8,
        behind: u16,
        count: u16,
    },
    /// Who talks: bits for customer and partner; the agent always does.
    Plan {
        talk: u8,
    },
    Wait {
        ticks: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<bool>(), 0u8..6, any::<bool>()).prop_map(|(partner, fate, red)| Step::Say { partner, fate, red }),
        2 => any::<bool>().prop_map(|newest| Step::Come { newest }),
        3 => (0u8..2, 0u16..40, 1u16..20).prop_map(|(slot, behind, count)| Step::Ask { slot, behind, count }),
        1 => (0u8..4).prop_map(|talk| Step::Plan { talk }),
        2 => (1u8..6).prop_map(|ticks| Step::Wait { ticks }),
    ]
}

proptest! {
    #![proptest_config(testkit::properties::properties(96))]

    /// The key of the proof: one (SSRC, sequence number) under one key is one row of bytes, however it came about; and
    /// what is sent again may be heard at that moment.
    #[test]
    fn no_index_carries_two_packets_whatever_is_lost_late_doubled_switched_or_asked_for(
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let mut speakers = [Client::new(1, Part::Customer), Client::new(3, Part::Partner)];
        let mut agent = Client::new(2, Part::Agent);
        agent.nack = true;
        speakers[0].nack = true;
        let mut bed = Bed::default();
        for speaker in &mut speakers {
            bed.bring_up(speaker);
        }
        bed.bring_up(&mut agent);
        let mut talk = 3u8;
        let plan = |bed: &mut Bed, talk: u8, legs: [LegId; 3]| {
            let stance = |bit: u8| if talk >> bit & 1 == 1 { Stance::Talk } else { Stance::Muted };
            bed.plan(&[(legs[0], stance(0)), (legs[1], stance(1)), (legs[2], Stance::Talk)], Tap::On);
        };
        let legs = [speakers[0].leg, speakers[1].leg, agent.leg];
        plan(&mut bed, talk, legs);
        let mut held: Vec<(usize, Vec<u8>)> = Vec::new();
        // By stream and number: the bytes, and whose voice it is.
        let mut seen: HashMap<(u32, u16), (Vec<u8>, usize)> = HashMap::new();
        let mut newest: HashMap<u32, u16> = HashMap::new();
        for step in steps {
            let arriving: Vec<(usize, Vec<u8>)> = match step {
                Step::Say { partner, fate, red: redundant } => {
                    let who = usize::from(partner);
                    let speaker = &mut speakers[who];
                    let sound = speaker.index.to_be_bytes();
                    let packet = if redundant {
                        let payload = red(speaker.numbers.opus, &[(960, b"before")], &sound);
                        let packet = speaker.packet(speaker.numbers.red.unwrap(), &payload);
                        speaker.step();
                        packet
                    } else {
                        speaker.speak(&sound)
                    };
                    match fate {
                        0 => { held.push((who, packet)); Vec::new() }
                        1 => vec![(who, packet.clone()), (who, packet)],
                        _ => vec![(who, packet)],
                    }
                }
                Step::Come { newest: last } if !held.is_empty() => {
                    vec![if last { held.pop().unwrap() } else { held.remove(0) }]
                }
                Step::Come { .. } => Vec::new(),
                Step::Ask { slot, behind, count } => {
                    let ssrc = agent.slot_ssrc(usize::from(slot));
                    let top = newest.get(&ssrc).copied().unwrap_or(0).wrapping_sub(behind);
                    let numbers: Vec<u16> = (0..count).map(|n| top.wrapping_add(n)).collect();
                    let nack = agent.nack_for(usize::from(slot), &numbers);
                    for sent in bed.datagram(agent.address, &nack) {
                        let place = (be32(&sent.bytes[8..]), u16::from_be_bytes([sent.bytes[2], sent.bytes[3]]));
                        let (bytes, who) = seen.get(&place).expect("only what was sent is sent again");
                        prop_assert_eq!(bytes, &sent.bytes);
                        prop_assert!(talk >> who & 1 == 1, "he may not be heard now");
                    }
                    Vec::new()
                }
                Step::Plan { talk: next } => {
                    talk = next;
                    plan(&mut bed, talk, legs);
                    Vec::new()
                }
                Step::Wait { ticks } => {
                    bed.advance(u64::from(ticks) * 10 * MS);
                    Vec::new()
                }
            };
            for (who, packet) in arriving {
                let to: SocketAddr = agent.address;
                for sent in bed.datagram(speakers[who].address, &packet).iter().filter(|sent| sent.to == to) {
                    let place = (be32(&sent.bytes[8..]), u16::from_be_bytes([sent.bytes[2], sent.bytes[3]]));
                    prop_assert!(talk >> who & 1 == 1);
                    let before = seen.insert(place, (sent.bytes.clone(), who));
                    prop_assert!(before.is_none(), "{place:?} was used before");
                    let top = newest.entry(place.0).or_insert(place.1);
                    if (place.1.wrapping_sub(*top) as i16) > 0 {
                        *top = place.1;
                    }
                }
            }
        }
    }
}

fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().expect("four bytes"))
}
