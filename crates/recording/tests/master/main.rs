//! The master is judged by other readers: another Ogg reader, libopus, and the Xiph tools where they are installed.
#![expect(clippy::unwrap_used, reason = "a test may end by panic, in its helpers too")]

mod apart;
mod beside;
mod lab;
mod soup;
mod timeline;
mod tools;

use lab::*;
use recording::master::{Assembly, Cause, Layout, assemble};
use recording::opus_packet::{parse, split_self_delimited};
use recording::peaks;
use recording::{Lane, Packet, Track};

/// Tracks, the sound that was sent, and its packets: customer, agent.
type Sent = (Vec<Track>, [Vec<i16>; 2], [Vec<Vec<u8>>; 2]);

/// Both sides sending tones for some seconds over a network with jitter.
fn two_sides(seconds: f32) -> Sent {
    let pcm = [tones(300.0, 1_100.0, seconds), tones(470.0, 1_700.0, seconds)];
    let encoded = [encode(&pcm[0], FRAME), encode(&pcm[1], FRAME)];
    let tracks = [Lane::Customer, Lane::Agent]
        .into_iter()
        .zip(&encoded)
        .map(|(lane, encoded)| {
            let sender = Sender::new(lane);
            sender.track(sender.send(encoded, |i, t| {
                Some(t + if i % 50 == 3 { 0 } else { jitter(i, 30_000_000) })
            }))
        });
    (tracks.collect(), pcm, encoded)
}

/// The packets of both sides of a two-channel file.
fn demux(file: &[u8]) -> [Vec<Vec<u8>>; 2] {
    let mut lanes = [Vec::new(), Vec::new()];
    for packet in packets_of(file).0 {
        let (left, right) = split_self_delimited(&packet).unwrap();
        lanes[0].push(left);
        lanes[1].push(right.to_vec());
    }
    lanes
}

#[test]
fn each_side_is_heard_on_its_channel() {
    let (tracks, pcm, _) = two_sides(4.0);
    let master = assemble(&assembly(&tracks, 4_100));
    assert_eq!((master.layout, master.duration_ms), (Layout::TwoChannel, 4_100));
    let [left, right] = play_both(&master);
    // The first packet stands for the moment 20 ms after the start.
    let heard = |lane: &[i16]| lane[960..960 + 190_000].to_vec();
    for (lane, own, other) in [(&left, &pcm[0], &pcm[1]), (&right, &pcm[1], &pcm[0])] {
        let own = correlation(&heard(lane)[4_800..], &own[4_800..190_000]);
        assert!(own >= 0.99, "correlation with the own sound {own}");
        assert!(correlation(&heard(lane)[4_800..], &other[4_800..190_000]).abs() < 0.1);
    }
    let swapped = assemble(&Assembly {
        customer_left: false,
        ..assembly(&tracks, 4_100)
    });
    assert_eq!(play_both(&swapped), [right, left]);
}

#[test]
fn a_side_that_never_spoke_is_exactly_silent() {
    let (mut tracks, ..) = two_sides(2.0);
    tracks.pop();
    let master = assemble(&assembly(&tracks, 2_500));
    let [left, right] = play_both(&master);
    assert!(left.iter().any(|&s| s > 5_000) && right.iter().all(|&s| s == 0));
    assert_eq!(master.coverage[1], 0.0);
    assert_eq!(master.side.lanes[1].holes[0].cause, Cause::Absent);
}

#[test]
fn packets_stand_in_the_file_bit_by_bit() {
    let (tracks, _, encoded) = two_sides(3.0);
    let master = assemble(&assembly(&tracks, 3_100));
    for (lane, sent) in demux(&master.audio).iter().zip(&encoded) {
        assert_eq!(
            &lane[1..=sent.len()],
            sent,
            "after one slot of silence all packets as they came"
        );
    }
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    for packet in &encoded[0] {
        hash.update(&(packet.len() as u16).to_be_bytes());
        hash.update(packet);
    }
    assert_eq!(master.packets_sha256[0], hash.finish().as_ref());
    assert!(master.coverage.iter().all(|&c| c > 0.95), "{:?}", master.coverage);
}

#[test]
fn order_of_arrival_and_repeats_do_not_matter() {
    let (tracks, ..) = two_sides(2.0);
    let plain = assemble(&assembly(&tracks, 2_100));
    let mut mixed = tracks.clone();
    for track in &mut mixed {
        let late: Vec<Packet> = track.packets.iter().skip(7).step_by(9).cloned().collect();
        for mut packet in late {
            // The second copy is another one: the first wins.
            packet.arrival_ns += 40_000_000;
            packet.payload = vec![0xf8, 0xff, 0xfe].into();
            track.packets.push(packet);
        }
        track.packets.sort_by_key(|p| p.arrival_ns);
        for pair in track.packets.chunks_exact_mut(2).skip(3).step_by(5) {
            pair.swap(0, 1);
        }
    }
    let master = assemble(&assembly(&mixed, 2_100));
    assert_eq!(master.audio, plain.audio);
    assert!(master.side.lanes[0].rejects.duplicates > 5);
}

#[test]
fn without_packets_a_silent_file_of_the_right_length_and_a_reason() {
    for ms in [0, 1, 20, 1_999, 61_007] {
        let master = assemble(&assembly(&[], ms));
        assert_eq!((master.layout, master.duration_ms), (Layout::Empty, ms));
        assert_eq!(master.side.reason.as_deref(), Some("no packets"));
        let [left, right] = play_both(&master);
        assert!(left.iter().chain(&right).all(|&s| s == 0));
    }
    let rubbish = Packet {
        payload: vec![0xfb, 0].into(),
        ..two_sides(1.0).0[0].packets[0].clone()
    };
    let tracks = [Track {
        leg: 1,
        lane: Lane::Agent,
        packets: vec![rubbish],
    }];
    let master = assemble(&assembly(&tracks, 500));
    assert_eq!(
        (master.layout, master.side.reason.as_deref()),
        (Layout::Empty, Some("no packet could be used"))
    );
    assert_eq!(master.side.lanes[1].rejects.malformed, 1);
}

#[test]
fn shorter_packets_are_merged_to_the_longer_sides_length() {
    let pcm = [tones(300.0, 1_100.0, 3.0), tones(470.0, 1_700.0, 3.0)];
    let mut agent = Sender::new(Lane::Agent);
    agent.frame = 2_880;
    let customer = Sender::new(Lane::Customer);
    let encoded = [encode(&pcm[0], 960), encode(&pcm[1], 2_880)];
    // Every 60 ms packet of CELT frames is code 3 already; those of 20 ms are merged by three.
    let lost = |i: usize, t: u64| (i != 31).then_some(t);
    let tracks = [
        customer.track(customer.send(&encoded[0], lost)),
        agent.track(agent.send(&encoded[1], |_, t| Some(t))),
    ];
    let master = assemble(&assembly(&tracks, 3_100));
    assert_eq!((master.layout, master.side.slot_samples), (Layout::TwoChannel, 2_880));
    let [left, right] = play_both(&master);
    let best = |lane: &[i16], pcm: &[i16]| {
        let at = |shift: usize| correlation(&lane[shift + 72_000..shift + 130_000], &pcm[72_000..130_000]);
        (0..4_800).map(at).fold(0.0, f64::max)
    };
    assert!(best(&left, &pcm[0]) >= 0.98 && best(&right, &pcm[1]) >= 0.98);
    let frames: Vec<Vec<u8>> = demux(&master.audio)[0]
        .iter()
        .flat_map(|p| parse(p).unwrap().frames().map(<[u8]>::to_vec).collect::<Vec<_>>())
        .filter(|f| f.len() > 2)
        .collect();
    let sent: Vec<Vec<u8>> = encoded[0]
        .iter()
        .enumerate()
        .filter(|(i, _)| *i != 31)
        .map(|(_, p)| p[1..].to_vec())
        .collect();
    assert_eq!(frames, sent, "every frame is there, in order");
}

#[test]
fn sides_that_cannot_share_a_length_become_two_files() {
    let pcm = tones(300.0, 1_100.0, 2.0);
    let (customer, mut agent) = (Sender::new(Lane::Customer), Sender::new(Lane::Agent));
    agent.frame = 2_880;
    // The configuration changes with every packet, so no three of 20 ms can be one.
    let mut narrow = opus::Encoder::new(48_000, opus::Channels::Mono, opus::Application::Voip).unwrap();
    let wide = encode(&pcm, 960);
    let mixed: Vec<Vec<u8>> = pcm
        .chunks_exact(960)
        .zip(wide)
        .enumerate()
        .map(|(i, (chunk, wide))| {
            narrow.set_max_bandwidth(opus::Bandwidth::Narrowband).unwrap();
            if i % 2 == 0 {
                narrow.encode_vec(chunk, 500).unwrap()
            } else {
                wide
            }
        })
        .collect();
    let tracks = [
        customer.track(customer.send(&mixed, |_, t| Some(t))),
        agent.track(agent.send(&encode(&pcm, 2_880), |_, t| Some(t))),
    ];
    let master = assemble(&assembly(&tracks, 2_100));
    assert_eq!(master.layout, Layout::Split);
    let second = master.second_file.as_deref().unwrap();
    let (left, right) = (play(&master.audio, 1), play(second, 1));
    assert_eq!((left[0].len(), right[0].len()), (100_800, 100_800));
    let sent: Vec<Vec<u8>> = packets_of(&master.audio)
        .0
        .into_iter()
        .filter(|p| p.len() > 3)
        .collect();
    assert_eq!(sent, mixed);
}

#[test]
fn peaks_show_each_side_where_it_was_loud() {
    let at = [48_000usize, 96_000];
    let (customer, agent) = (Sender::new(Lane::Customer), Sender::new(Lane::Agent));
    let slow = |at: usize| {
        let mut pcm = vec![0i16; 3 * 48_000];
        pcm[at..at + 9_600]
            .iter_mut()
            .enumerate()
            .for_each(|(n, s)| *s = if n / 60 % 2 == 0 { 16_384 } else { -16_384 });
        encode(&pcm, FRAME)
    };
    let tracks = [
        customer.track(customer.send(&slow(at[0]), |_, t| Some(t))),
        agent.track(agent.send(&slow(at[1]), |_, t| Some(t))),
    ];
    for customer_left in [true, false] {
        let master = assemble(&Assembly {
            customer_left,
            ..assembly(&tracks, 3_005)
        });
        let view = peaks::read(&drawn(&master), 2, 0..3_005, 10_000).unwrap();
        assert_eq!((view.duration_ms, view.lanes[0].len()), (3_005, 301));
        for (lane, at) in view.lanes.iter().zip(at) {
            let loud: Vec<usize> = (0..301).filter(|&i| lane[i].0 < -40 && lane[i].1 > 40).collect();
            let (first, last) = (loud[0] as i64 * 10, loud[loud.len() - 1] as i64 * 10);
            // The side's time is 20 ms behind: the way of the packet.
            let began = at as i64 / 48 + 20;
            assert!(
                (first - began).abs() <= 20 && (last - began - 200).abs() <= 20,
                "{first} to {last}, began {began}"
            );
        }
    }
    let empty = assemble(&assembly(&[], 1_000));
    let view = peaks::read(&drawn(&empty), 2, 0..1_000, 50).unwrap();
    assert_eq!(view.lanes, [vec![(0, 0); 50], vec![(0, 0); 50]]);
}
