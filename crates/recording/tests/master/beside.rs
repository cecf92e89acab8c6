//! Voices beside the two sides: on the same time, as long as the master, and every packet in exactly one file.

use std::ops::Range;

use proptest::prelude::*;
use recording::master::{Assembly, Cause, Explained, assemble, beside};
use recording::{BESIDE_MAX, Flags, Lane, Packet, Track};

use super::lab::*;

#[test]
fn a_click_that_all_three_send_at_once_is_at_one_place_in_every_file() {
    let at = [48_000, 144_000, 336_000];
    let lanes = [Lane::Customer, Lane::Agent, Lane::Beside(0)];
    let senders = lanes.map(|lane| Sender {
        // None of the three clocks runs as another does, and none begins where another began.
        ppm: match lane {
            Lane::Customer => 80.0,
            Lane::Agent => -80.0,
            Lane::Beside(_) => 0.0,
        },
        first_ts: lane_number(lane) * 40_000_000,
        ..Sender::new(lane)
    });
    let encoded = encode(&clicks(&at, 9), FRAME);
    let tracks = senders
        .each_ref()
        .map(|sender| sender.track(sender.send(&encoded, |i, t| Some(t + jitter(i, 10_000_000)))));
    let assembly = assembly(&tracks, 9_050);
    let master = assemble(&assembly);
    let third = beside(&assembly, 0, &[]);
    let [left, right] = play_both(&master);
    let mono = play(&third.audio, 1).remove(0);
    assert_eq!(mono.len(), left.len(), "as long as the master");
    for (pcm, sender) in [&left, &right, &mono].into_iter().zip(&senders) {
        on_time(pcm, sender, &at, |_| 0);
    }
    assert_eq!((third.side.packets, third.side.removed.len()), (450, 0));
    assert!(third.coverage > 0.99, "{}", third.coverage);
}

fn lane_number(lane: Lane) -> u32 {
    match lane {
        Lane::Customer => 1,
        Lane::Agent => 2,
        Lane::Beside(number) => 3 + u32::from(number),
    }
}

#[test]
fn only_the_time_in_which_a_voice_was_to_be_heard_counts_for_its_coverage() {
    let sender = Sender::new(Lane::Beside(2));
    let encoded = encode(&tones(300.0, 1_100.0, 10.0), FRAME);
    // He joins for two spells of two seconds; half a second of the second one is lost.
    let spells = [2_000..4_000u64, 6_000..8_000];
    let lost = 7_000..7_500u64;
    let sent = sender.send(&encoded, |_, t| {
        let ms = (t - START) / 1_000_000;
        (spells.iter().any(|spell| spell.contains(&ms)) && !lost.contains(&ms)).then_some(t)
    });
    let tracks = [sender.track(sent)];
    let ns = |ms: Range<u64>| START + ms.start * 1_000_000..START + ms.end * 1_000_000;
    let absent = [0..2_000, 4_000..6_000, 8_000..10_000].map(|span| Explained {
        lane: Lane::Beside(2),
        span_ns: ns(span),
        cause: Cause::Absent,
    });
    let heard = spells.map(ns);
    let whole = assembly(&tracks, 10_000);
    let file = beside(
        &Assembly {
            explained: &absent,
            ..whole
        },
        2,
        &heard,
    );
    assert!((file.coverage - 0.875).abs() < 0.01, "{}", file.coverage);
    let known: Vec<_> = file.side.holes.iter().map(|hole| (hole.cause, hole.known)).collect();
    let gone = (Cause::Absent, true);
    assert_eq!(known, [gone, gone, (Cause::Network, false), gone]);
    let blind = beside(&whole, 2, &[]);
    assert!(blind.coverage < file.coverage, "without events nothing is known");
    let nobody = beside(&whole, 3, &heard);
    assert_eq!((nobody.side.packets, nobody.coverage), (0, 0.0));
    assert_eq!(
        play(&nobody.audio, 1)[0].len(),
        480_000,
        "silence, as long as the master"
    );
}

/// Length of the recordings below, milliseconds.
const MS: u64 = 20_000;

/// When a leg is heard, in packets of 20 ms from the start: two spells with at least half a second between.
fn spells() -> impl Strategy<Value = Vec<Range<u64>>> {
    (2u64..300, 1u64..200, 25u64..200, 1u64..200).prop_map(|(from, first, pause, second)| {
        let again = from + first + pause;
        vec![from..from + first, again..again + second]
    })
}

/// A leg's packets over its spells: no two legs send the same payload. `phase_us` is where they stand between two slots.
fn packets(lane: Lane, spells: &[Range<u64>], phase_us: u64) -> Track {
    let number = lane_number(lane);
    let packet = |n: u64| Packet {
        ext_seq: 70_000 + n as u32,
        rtp_ts: (n as u32 * 960).wrapping_sub(number * 5_000_000),
        arrival_ns: START + n * 20_000_000 + phase_us * 1_000,
        flags: Flags::default(),
        level: 90,
        payload: vec![0xf8, n as u8, (n >> 8) as u8, number as u8, 0xaa].into(),
    };
    Track {
        leg: u128::from(number),
        lane,
        packets: spells.iter().cloned().flatten().map(packet).collect(),
    }
}

/// The packets of a mono file that somebody sent.
fn spoken(packets: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    packets.into_iter().filter(|packet| packet.len() == 5).collect()
}

proptest! {
    #![proptest_config(testkit::properties::properties(60))]

    #[test]
    fn voices_that_overlap_lie_whole_and_once_each_in_its_own_file(
        legs in prop::collection::vec((spells(), 0u64..20_000), 3..6)
    ) {
        let lane = |n: usize| match n {
            0 => Lane::Customer,
            1 => Lane::Agent,
            n => Lane::Beside(n as u8 - 2),
        };
        let of = |(n, (spells, phase)): (usize, &(Vec<Range<u64>>, u64))| packets(lane(n), spells, *phase);
        let tracks: Vec<Track> = legs.iter().enumerate().map(of).collect();
        let assembly = assembly(&tracks, MS);
        let master = assemble(&assembly);
        let mut files: Vec<Vec<Vec<u8>>> = super::demux(&master.audio).map(spoken).to_vec();
        let mut removed: Vec<usize> = master.side.lanes.iter().map(|lane| lane.removed.len()).collect();
        for number in 0..legs.len() - 2 {
            let file = beside(&assembly, number as u8, &[]);
            files.push(spoken(packets_of(&file.audio).0));
            removed.push(file.side.removed.len());
        }
        for ((track, file), removed) in tracks.iter().zip(&files).zip(removed) {
            let sent: Vec<Vec<u8>> = track.packets.iter().map(|packet| packet.payload.to_vec()).collect();
            prop_assert_eq!(removed, 0);
            prop_assert_eq!(&sent, file);
        }
        let two: Vec<Track> = tracks.iter().take(2).cloned().collect();
        let alone = assemble(&Assembly { tracks: &two, ..assembly });
        prop_assert_eq!(alone.audio, master.audio, "who is heard beside the two changes no byte of the master");
    }
}

#[test]
fn the_last_number_of_a_file_is_one_like_the_others() {
    let lane = Lane::Beside(u8::try_from(BESIDE_MAX - 1).unwrap());
    let tracks = [packets(lane, std::slice::from_ref(&(10..60)), 0)];
    let file = beside(&assembly(&tracks, MS), 15, &[]);
    assert_eq!(spoken(packets_of(&file.audio).0).len(), 50);
}
