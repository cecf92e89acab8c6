//! The clock lab: each way in which a leg's time goes wrong, alone and together, heard by clicks.

use super::lab::*;
use recording::Lane;
use recording::master::{Assembly, Cause, DURATION_MS_MAX, Explained, LaneSide, assemble};

/// Where clicks are: every `every` seconds from the second second on, off the rhythm of the packets.
fn every(every: usize, seconds: usize) -> Vec<usize> {
    (2..seconds - 1)
        .step_by(every)
        .map(|s| s * 48_000 + s * 131 % 960)
        .collect()
}

fn holes(lane: &LaneSide, cause: Cause) -> Vec<u64> {
    lane.holes
        .iter()
        .filter(|h| h.cause == cause && h.at_ms > 0)
        .map(|h| h.ms)
        .collect()
}

#[test]
fn clocks_that_run_apart_stay_together() {
    const SECONDS: usize = 400;
    let at = every(7, SECONDS);
    let pcm = clicks(&at, SECONDS);
    let encoded = encode(&pcm, FRAME);
    let mut fast = Sender::new(Lane::Customer);
    fast.ppm = 100.0;
    let mut slow = Sender::new(Lane::Agent);
    slow.ppm = -100.0;
    let network = |i: usize, t: u64| Some(t + jitter(i, 40_000_000));
    let tracks = [
        fast.track(fast.send(&encoded, network)),
        slow.track(slow.send(&encoded, network)),
    ];
    let master = assemble(&assembly(&tracks, 401_000));
    let [left, right] = play_both(&master);
    let errors = [on_time(&left, &fast, &at, |_| 0), on_time(&right, &slow, &at, |_| 0)];
    let apart = errors[0].iter().zip(&errors[1]).map(|(a, b)| (a - b).abs()).max();
    assert!(apart <= Some(20_000), "between the sides {apart:?} microseconds");
    // 400 s at 100 ppm are 40 ms: two slots to add for the fast one's file, two to take from the slow one's.
    let [fast, slow] = &master.side.lanes;
    assert!(
        (1..=3).contains(&slow.inserted) && slow.removed.is_empty(),
        "{} {}",
        slow.inserted,
        slow.removed.len()
    );
    assert!(
        (1..=3).contains(&fast.removed.len()) && fast.inserted == 0,
        "{} {}",
        fast.inserted,
        fast.removed.len()
    );
    assert_eq!(fast.removed[0].payload.len() % 2, 0);
}

#[test]
fn a_network_that_stood_still_adds_nothing() {
    let at = every(3, 40);
    let encoded = encode(&clicks(&at, 40), FRAME);
    let sender = Sender::new(Lane::Customer);
    let from = START + 12 * SECOND;
    for freeze in [SECOND, 3 * SECOND, 12 * SECOND] {
        let until = from + freeze;
        let network = |i: usize, t: u64| {
            Some(if (from..until).contains(&t) {
                until + i as u64 * 1_000
            } else {
                t
            })
        };
        let track = [sender.track(sender.send(&encoded, network))];
        let master = assemble(&assembly(&track, 41_000));
        on_time(&play_both(&master)[0], &sender, &at, |_| 0);
        let side = &master.side.lanes[0];
        assert_eq!((holes(side, Cause::CaptureStall), side.removed.len()), (vec![], 0));
    }
}

#[test]
fn a_capture_that_stood_still_leaves_its_time() {
    let at = every(3, 30);
    let encoded = encode(&clicks(&at, 30), FRAME);
    let sender = Sender::new(Lane::Agent);
    for stall in [2 * SECOND, 9 * SECOND, 18 * SECOND] {
        let late = |sample: usize| if sample >= 13 * 48_000 { stall } else { 0 };
        let network = |i: usize, t: u64| Some(t + late(i * FRAME) + jitter(i, 20_000_000));
        let track = [sender.track(sender.send(&encoded, network))];
        let master = assemble(&assembly(&track, 50_000));
        on_time(&play_both(&master)[1], &sender, &at, late);
        let found = holes(&master.side.lanes[1], Cause::CaptureStall);
        assert_eq!(found.len(), 1);
        assert!(found[0].abs_diff(stall / 1_000_000) <= 20, "{found:?}");
    }
}

#[test]
fn a_timestamp_that_wraps_is_no_event() {
    let at = every(3, 20);
    let encoded = encode(&clicks(&at, 20), FRAME);
    let mut sender = Sender::new(Lane::Customer);
    sender.first_ts = u32::MAX - 10 * 48_000;
    let track = [sender.track(sender.send(&encoded, |i, t| Some(t + jitter(i, 20_000_000))))];
    let master = assemble(&assembly(&track, 21_000));
    on_time(&play_both(&master)[0], &sender, &at, |_| 0);
    assert_eq!(master.side.lanes[0].packets, encoded.len() as u64);
}

#[test]
fn one_packet_with_timestamp_zero_is_dropped_and_counted() {
    let at = every(3, 20);
    let encoded = encode(&clicks(&at, 20), FRAME);
    let mut sender = Sender::new(Lane::Customer);
    sender.first_ts = 3_000_000_000;
    for place in [1, 420, encoded.len() - 2] {
        let mut packets = sender.send(&encoded, |_, t| Some(t));
        packets[place].rtp_ts = 0;
        let track = [sender.track(packets)];
        let master = assemble(&assembly(&track, 21_000));
        on_time(&play_both(&master)[0], &sender, &at, |_| 0);
        let side = &master.side.lanes[0];
        assert_eq!((side.rejects.timestamps, side.packets), (1, encoded.len() as u64 - 1));
    }
}

#[test]
fn a_jump_counts_from_ten_seconds_on_unless_confirmed() {
    let encoded = encode(&clicks(&[], 20), FRAME);
    let sender = Sender::new(Lane::Customer);
    let jump = |by: u32, packets: usize| {
        let mut sent = sender.send(&encoded, |_, t| Some(t));
        sent[300..300 + packets].iter_mut().for_each(|p| p.rtp_ts += by);
        assemble(&assembly(&[sender.track(sent)], 40_000)).side.lanes[0].rejects
    };
    assert_eq!(jump(480_001, 1).timestamps, 1);
    assert_eq!(jump(480_001, 3).timestamps, 3);
    assert_eq!(jump(480_001, 4).timestamps, 0, "four packets confirm each other");
    assert_eq!(jump(480_000, 4).timestamps, 0);
}

#[test]
fn a_new_source_goes_on_where_it_arrives() {
    let at = every(3, 30);
    let encoded = encode(&clicks(&at, 30), FRAME);
    let sender = Sender::new(Lane::Agent);
    let mut packets = sender.send(&encoded, |i, t| (!(710..800).contains(&i)).then_some(t));
    for packet in packets.iter_mut().filter(|p| p.arrival_ns > START + 15 * SECOND) {
        packet.ext_seq += 40_000;
        packet.rtp_ts = packet.rtp_ts.wrapping_add(2_222_222_222);
    }
    let track = [sender.track(packets)];
    let master = assemble(&assembly(&track, 31_000));
    on_time(&play_both(&master)[1], &sender, &at, |_| 0);
    let gone = holes(&master.side.lanes[1], Cause::Disconnect);
    assert!(gone.len() == 1 && gone[0].abs_diff(90 * 20) <= 20, "{gone:?}");
}

#[test]
fn silence_that_was_not_sent_keeps_its_length_and_is_covered() {
    let at = every(3, 30);
    let encoded = encode(&clicks(&at, 30), FRAME);
    let sender = Sender::new(Lane::Customer);
    // A packet every 400 ms outside the seconds with clicks, numbers without gap, as DTX sends.
    let spoken = |i: usize| at.iter().any(|&a| (a / FRAME).abs_diff(i) < 12);
    let mut packets = sender.send(&encoded, |i, t| {
        (i % 20 == 0 || spoken(i)).then_some(t + jitter(i, 30_000_000))
    });
    packets.sort_by_key(|p| p.rtp_ts);
    for (i, packet) in packets.iter_mut().enumerate() {
        packet.ext_seq = 500 + i as u32;
    }
    packets.sort_by_key(|p| p.arrival_ns);
    let track = [sender.track(packets)];
    let master = assemble(&assembly(&track, 30_100));
    on_time(&play_both(&master)[0], &sender, &at, |_| 0);
    let side = &master.side.lanes[0];
    assert!(holes(side, Cause::Dtx).len() > 40 && holes(side, Cause::Network).is_empty());
    assert!(master.coverage[0] > 0.98, "{:?}", master.coverage);
}

#[test]
fn lost_packets_leave_holes_of_their_length() {
    let encoded = encode(&tones(300.0, 900.0, 10.0), FRAME);
    let sender = Sender::new(Lane::Customer);
    let lost = |i: usize| i == 50 || (100..110).contains(&i) || (200..211).contains(&i);
    let track = [sender.track(sender.send(&encoded, |i, t| (!lost(i)).then_some(t)))];
    let master = assemble(&assembly(&track, 10_020));
    let side = &master.side.lanes[0];
    assert_eq!(holes(side, Cause::Network), [20, 200, 220]);
    // Up to 200 ms are concealed; the longer one is silent, as is the first slot.
    assert_eq!((side.concealed_ms, side.silence_ms), (220, 240));
    assert!((master.coverage[0] - (1.0 - 440.0 / 10_020.0)).abs() < 1e-3);
}

#[test]
fn a_hold_longer_than_half_the_numbers_changes_nothing() {
    let at = [48_000, 96_000];
    let encoded = encode(&clicks(&at, 3), FRAME);
    let first = Sender::new(Lane::Customer);
    let mut second = Sender::new(Lane::Customer);
    // 15 minutes not tapped: 45,000 numbers.
    second.begins_ns += 900 * SECOND;
    second.first_seq += 45_000;
    second.first_ts += 900 * 48_000;
    let mut packets = first.send(&encoded, |_, t| Some(t));
    packets.extend(second.send(&encoded, |_, t| Some(t)));
    let track = [first.track(packets)];
    let master = assemble(&assembly(&track, 904_000));
    let left = &play_both(&master)[0];
    on_time(&left[..100 * 48_000], &first, &at, |_| 0);
    let mut shifted = second;
    shifted.begins_ns -= 890 * SECOND;
    on_time(&left[890 * 48_000..], &shifted, &at, |_| 0);
    assert_eq!(master.side.lanes[0].packets, 300);
}

#[test]
fn everything_at_once() {
    const SECONDS: usize = 120;
    let at = every(3, SECONDS);
    let encoded = encode(&clicks(&at, SECONDS), FRAME);
    let mut sender = Sender::new(Lane::Customer);
    (sender.ppm, sender.first_ts) = (100.0, u32::MAX - 30 * 48_000);
    let stalled = |sample: usize| if sample >= 60 * 48_000 { 18 * SECOND } else { 0 };
    let (from, until) = (START + 20 * SECOND, START + 23 * SECOND);
    let silent = |i: usize| i % 300 > 250 && at.iter().all(|&a| (a / FRAME).abs_diff(i) > 2);
    let mut packets = sender.send(&encoded, |i, t| {
        let t = t + stalled(i * FRAME) + jitter(i, 30_000_000);
        (!silent(i)).then_some(if (from..until).contains(&t) {
            until + i as u64 * 1_000
        } else {
            t
        })
    });
    let zero = packets.iter().position(|p| p.ext_seq == 5_000).unwrap();
    packets[zero].rtp_ts = 77;
    let track = [sender.track(packets)];
    let master = assemble(&assembly(&track, 140_000));
    on_time(&play_both(&master)[0], &sender, &at, stalled);
    assert_eq!(master.side.lanes[0].rejects.timestamps, 1);
}

#[test]
fn a_silence_that_events_explain_has_their_cause_and_is_covered() {
    let encoded = encode(&tones(300.0, 900.0, 10.0), FRAME);
    let sender = Sender::new(Lane::Customer);
    let track = [sender.track(sender.send(&encoded, |i, t| (!(100..200).contains(&i)).then_some(t)))];
    let plain = assemble(&assembly(&track, 10_020));
    assert_eq!(holes(&plain.side.lanes[0], Cause::Network), [2_000]);
    let span_ns = START + 2 * SECOND..START + 4 * SECOND;
    let pause = |lane, span_ns| Explained {
        lane,
        span_ns,
        cause: Cause::Pause,
    };
    let explained = [pause(Lane::Customer, span_ns.clone())];
    let master = assemble(&Assembly {
        explained: &explained,
        ..assembly(&track, 10_020)
    });
    assert_eq!(holes(&master.side.lanes[0], Cause::Pause), [2_000]);
    assert!(plain.coverage[0] < 0.81 && master.coverage[0] > 0.99);
    // The other side's pause, or one of less than half the hole, explains nothing.
    let short = span_ns.start..span_ns.start + SECOND / 2;
    let others = [pause(Lane::Agent, span_ns), pause(Lane::Customer, short)];
    let master = assemble(&Assembly {
        explained: &others,
        ..assembly(&track, 10_020)
    });
    assert_eq!(holes(&master.side.lanes[0], Cause::Network), [2_000]);
}

#[test]
fn a_recording_lasts_a_day_at_most_and_says_so() {
    for (asked, reason) in [
        (DURATION_MS_MAX, "no packets"),
        (DURATION_MS_MAX + 1, "cut at the longest recording"),
    ] {
        let master = assemble(&assembly(&[], asked));
        assert_eq!(
            (master.duration_ms, master.side.reason.as_deref()),
            (DURATION_MS_MAX, Some(reason))
        );
        assert_eq!(packets_of(&master.audio).1, DURATION_MS_MAX * 48 + 312);
    }
}
