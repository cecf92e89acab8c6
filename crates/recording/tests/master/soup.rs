//! Whatever packets come, the file parses, decodes, and lasts as long as the recording did.

use proptest::prelude::*;

use super::lab::*;
use recording::master::{Assembly, Layout, assemble, beside};
use recording::opus_packet::silence;
use recording::peaks;
use recording::{Flags, Lane, Packet, Track};

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..40),
        3 => prop::sample::select(vec![120u32, 240, 480, 960, 1_920, 2_880, 5_760]).prop_map(|n| silence(n).unwrap()),
        1 => Just(vec![0x78]),
        1 => Just(vec![7; 1_501]),
    ]
}

fn packet() -> impl Strategy<Value = Packet> {
    let seq = prop_oneof![4 => 0u32..200, 1 => any::<u32>()];
    let ts = prop_oneof![3 => (0u32..200).prop_map(|n| n * 960), 1 => 0u32..500_000, 1 => any::<u32>()];
    let arrival = prop_oneof![8 => START..START + 5 * SECOND, 1 => any::<u64>()];
    (seq, ts, arrival, any::<u8>(), any::<u8>(), payload()).prop_map(
        |(ext_seq, rtp_ts, arrival_ns, flags, level, payload)| Packet {
            ext_seq,
            rtp_ts,
            arrival_ns,
            flags: Flags(flags),
            level,
            payload: payload.into(),
        },
    )
}

/// Mostly a proper stream, some of whose packets are changed: that goes deeper than noise.
fn stream() -> impl Strategy<Value = Vec<Packet>> {
    let change = (0usize..250, packet());
    (any::<u32>(), 1usize..250, prop::collection::vec(change, 0..12)).prop_map(|(ts, count, changes)| {
        let mut packets: Vec<Packet> = (0..count as u32)
            .map(|i| Packet {
                ext_seq: i,
                rtp_ts: ts.wrapping_add(i * 960),
                arrival_ns: START + u64::from(i) * 20_000_000 + jitter(i as usize, 30_000_000),
                flags: Flags::default(),
                level: 255,
                payload: silence(960).unwrap().into(),
            })
            .collect();
        for (at, packet) in changes {
            let at = at % packets.len();
            packets[at] = packet;
        }
        packets
    })
}

fn track() -> impl Strategy<Value = Track> {
    let packets = prop_oneof![prop::collection::vec(packet(), 0..60), stream()];
    let lanes = prop::sample::select(vec![Lane::Customer, Lane::Agent, Lane::Beside(0)]);
    (lanes, packets).prop_map(|(lane, packets)| Track { leg: 1, lane, packets })
}

proptest! {
    #![proptest_config(testkit::properties::properties(400))]

    #[test]
    fn any_packets_give_a_sound_file(tracks in prop::collection::vec(track(), 0..4), ms in 0u64..8_000, left: bool) {
        let master = assemble(&Assembly { customer_left: left, ..assembly(&tracks, ms) });
        prop_assert_eq!(master.duration_ms, ms);
        let files: Vec<&Vec<u8>> = [Some(&master.audio), master.second_file.as_ref()].into_iter().flatten().collect();
        prop_assert_eq!(files.len(), if master.layout == Layout::Split { 2 } else { 1 });
        for file in files {
            let lanes = play(file, if master.layout == Layout::Split { 1 } else { 2 });
            prop_assert!(lanes.iter().all(|lane| lane.len() as u64 == ms * 48));
        }
        let view = peaks::read(&drawn(&master), 2, 0..ms, 10_000).unwrap();
        prop_assert_eq!((view.duration_ms, view.lanes[1].len() as u64), (ms, ms.div_ceil(10)));
        prop_assert!(master.coverage.iter().all(|c| (0.0..=1.0).contains(c)));
        let third = beside(&assembly(&tracks, ms), 0, &[]);
        prop_assert_eq!(play(&third.audio, 1)[0].len() as u64, ms * 48);
        prop_assert!((0.0..=1.0).contains(&third.coverage));
        let taken: u64 = master.side.lanes.iter().chain([&third.side]).map(|l| {
            let r = l.rejects;
            l.packets + l.removed.len() as u64 + r.malformed + r.duplicates + r.timestamps + r.overlapping + r.outside
        }).sum();
        prop_assert_eq!(taken, tracks.iter().map(|t| t.packets.len() as u64).sum::<u64>(), "every packet is accounted for");
    }
}
