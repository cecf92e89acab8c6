//! Tests of the spool's bytes: round trips, every cut, flipped bits, limits and hostile lengths.

mod author;

use proptest::prelude::*;

use super::*;
use crate::packet::Packet;
use crate::quality_track::Row;

const CALL: u128 = 0xC0FFEE;
const LEG: u128 = 0x1E6;

fn header() -> SegmentHeader {
    SegmentHeader {
        node: "node-a".into(),
        node_epoch: 7,
        shard: 3,
        wall_ns_at_zero: 1_700_000_000_000_000_000,
    }
}

fn tag(counter: u32) -> Tag {
    Tag {
        call: CALL,
        leg: LEG,
        part: Part::Agent,
        counter,
    }
}

fn packet(n: u32, payload: Vec<u8>) -> Packet {
    let flags = Flags::VOICE;
    Packet {
        ext_seq: n,
        rtp_ts: n.wrapping_mul(960),
        arrival_ns: u64::from(n) * 20_000_123,
        flags,
        level: 90,
        payload: payload.into(),
    }
}

fn borrowed(packet: &Packet) -> PacketRef<'_> {
    PacketRef {
        ext_seq: packet.ext_seq,
        rtp_ts: packet.rtp_ts,
        arrival_ns: packet.arrival_ns,
        flags: packet.flags,
        level: packet.level,
        payload: &packet.payload,
    }
}

/// Writes packets as the recorder does: a new block when one is full.
fn write_audio(out: &mut Vec<u8>, counter: &mut u32, packets: &[Packet]) {
    let mut block = AudioBlock::new();
    for packet in packets {
        if block.push(&borrowed(packet)) == Err(PushFault::Full) {
            block.finish(out, tag(*counter));
            *counter += 1;
            block.push(&borrowed(packet)).unwrap();
        }
    }
    block.finish(out, tag(*counter));
    *counter += 1;
}

fn started() -> Start {
    let legs = vec![(0xC1, Part::Customer), (LEG, Part::Agent)];
    Start {
        recording: Some(0xAB),
        required: true,
        customer_left: true,
        start_ns: 5,
        legs,
    }
}

/// A small log with one block of every kind, and where each block ends.
fn small() -> (Vec<u8>, Vec<usize>) {
    let mut log = Vec::new();
    header().encode(&mut log).unwrap();
    let mut ends = Vec::new();
    start(&mut log, Tag::of_call(CALL, 0), &started()).unwrap();
    ends.push(log.len());
    let mut counter = 1;
    write_audio(
        &mut log,
        &mut counter,
        &[packet(1, vec![1; 9]), packet(2, b"HLBK is no block".to_vec())],
    );
    ends.push(log.len());
    let dropped = Event {
        at_ns: 9,
        kind: EventKind::Dropped,
        value: 4,
        leg: 0,
        part: Part::Customer,
        by: None,
    };
    event(&mut log, Tag::of_call(CALL, 2), &dropped);
    ends.push(log.len());
    quality(
        &mut log,
        tag(3),
        true,
        11,
        &[Row {
            expected: 50,
            ..Row::default()
        }; 2],
    )
    .unwrap();
    ends.push(log.len());
    end(
        &mut log,
        Tag::of_call(CALL, 4),
        &End {
            at_ns: 99,
            reason: "hangup".into(),
        },
    )
    .unwrap();
    ends.push(log.len());
    (log, ends)
}

#[test]
fn every_kind_of_block_comes_back() {
    let (log, _) = small();
    let calls = collect([log.as_slice()]);
    let [call] = calls.as_slice() else { panic!("one call") };
    assert_eq!((call.call, call.recording, call.start_ns), (CALL, Some(0xAB), 5));
    assert_eq!(
        call.end,
        Some(End {
            at_ns: 99,
            reason: "hangup".into()
        })
    );
    assert_eq!(call.legs, [(0xC1, Part::Customer), (LEG, Part::Agent)]);
    assert_eq!(
        call.tracks[0].packets,
        [packet(1, vec![1; 9]), packet(2, b"HLBK is no block".to_vec())]
    );
    assert_eq!(call.tracks[0].lane, Lane::Agent);
    assert_eq!(
        (call.dropped_packets, call.missing_blocks, call.degraded()),
        (4, 0, true)
    );
    assert_eq!((call.quality[0].rows.len(), call.quality[0].first_second_ns), (2, 11));
    assert_eq!((call.node_epoch, call.wall_ns_at_zero), (7, 1_700_000_000_000_000_000));
    assert!(call.required && call.customer_left);
}

#[test]
fn a_log_cut_anywhere_keeps_every_block_before_the_cut() {
    let (log, ends) = small();
    for cut in 0..log.len() {
        let Ok((_, mut reader)) = Reader::segment(&log[..cut]) else {
            assert!(cut < SEGMENT_HEADER_BYTES);
            continue;
        };
        let read = reader.by_ref().count();
        assert_eq!(read, ends.iter().filter(|end| **end <= cut).count(), "cut at {cut}");
        let sound = ends
            .iter()
            .copied()
            .filter(|end| *end <= cut)
            .max()
            .unwrap_or(SEGMENT_HEADER_BYTES);
        let expected: &[Damage] = &[Damage {
            offset: sound,
            bytes: cut - sound,
            kind: DamageKind::Tail,
        }];
        assert_eq!(
            reader.damage(),
            if sound == cut { &[] } else { expected },
            "cut at {cut}"
        );
    }
}

#[test]
fn a_flipped_bit_costs_its_own_block_only() {
    let (log, ends) = small();
    for at in SEGMENT_HEADER_BYTES..log.len() {
        for bit in 0..8 {
            let mut bad = log.clone();
            bad[at] ^= 1 << bit;
            let (_, mut reader) = Reader::segment(&bad).unwrap();
            let read: Vec<usize> = reader.by_ref().map(|block| block.range.end).collect();
            let hit = ends.iter().position(|end| at < *end).unwrap();
            let kept: Vec<usize> = ends
                .iter()
                .copied()
                .enumerate()
                .filter(|(n, _)| *n != hit)
                .map(|(_, end)| end)
                .collect();
            assert_eq!(read, kept, "bit {bit} of byte {at}");
            let kind = if hit + 1 == ends.len() {
                DamageKind::Tail
            } else {
                DamageKind::Corrupt
            };
            assert_eq!(
                reader.damage().iter().map(|damage| damage.kind).collect::<Vec<_>>(),
                [kind]
            );
        }
    }
}

#[test]
fn a_flipped_bit_in_the_header_refuses_the_segment() {
    let (log, _) = small();
    for at in 0..SEGMENT_HEADER_BYTES {
        let mut bad = log.clone();
        bad[at] ^= 1;
        assert!(SegmentHeader::decode(&bad).is_err(), "byte {at}");
    }
}

#[test]
fn a_lost_block_shows_as_missing_and_a_repeated_one_counts_once() {
    let mut log = Vec::new();
    header().encode(&mut log).unwrap();
    let mut counter = 1;
    start(&mut log, Tag::of_call(CALL, 0), &started()).unwrap();
    write_audio(&mut log, &mut counter, &[packet(1, vec![1])]);
    counter = 1;
    write_audio(&mut log, &mut counter, &[packet(1, vec![1])]);
    counter = 4;
    write_audio(&mut log, &mut counter, &[packet(2, vec![2])]);
    let call = &collect([log.as_slice()])[0];
    assert_eq!(call.tracks[0].packets, [packet(1, vec![1]), packet(2, vec![2])]);
    assert_eq!(call.missing_blocks, 2);
    assert_eq!(call.end, None);
    assert_eq!(call.audio_end_ns(), packet(2, vec![]).arrival_ns);
}

#[test]
fn calls_that_share_segments_are_told_apart_and_one_that_spans_them_is_whole() {
    let mut first = Vec::new();
    header().encode(&mut first).unwrap();
    let mut second = first.clone();
    let mut block = AudioBlock::new();
    for (n, log) in [(0, &mut first), (1, &mut second)] {
        for call in [1_u128, 2] {
            block.push(&borrowed(&packet(n, vec![call as u8]))).unwrap();
            block.finish(
                log,
                Tag {
                    call,
                    leg: 10 + call,
                    part: Part::Customer,
                    counter: n,
                },
            );
        }
    }
    let calls = collect([first.as_slice(), b"no segment", second.as_slice()]);
    assert_eq!(calls.iter().map(|call| call.call).collect::<Vec<_>>(), [1, 2]);
    for call in &calls {
        assert_eq!(
            call.tracks[0].packets,
            [packet(0, vec![call.call as u8]), packet(1, vec![call.call as u8])]
        );
    }
    assert_eq!(
        collect([second.as_slice(), first.as_slice()]),
        calls,
        "the order of segments says nothing"
    );
}

#[test]
fn an_unknown_kind_of_block_is_passed_over() {
    let (log, ends) = small();
    let mut newer = log[..ends[0]].to_vec();
    let mut strange = log[ends[0]..ends[1]].to_vec();
    strange[9] = 1;
    let sum = crc32c::crc32c(&strange[..BLOCK_HEAD_BYTES - 4]);
    strange[BLOCK_HEAD_BYTES - 4..BLOCK_HEAD_BYTES].copy_from_slice(&sum.to_le_bytes());
    newer.extend_from_slice(&strange);
    newer.extend_from_slice(&log[ends[1]..]);
    let (_, mut reader) = Reader::segment(&newer).unwrap();
    assert_eq!(reader.by_ref().count(), ends.len() - 1);
    let unknown = Damage {
        offset: ends[0],
        bytes: ends[1] - ends[0],
        kind: DamageKind::Unknown,
    };
    assert_eq!(reader.damage(), [unknown]);
}

#[test]
fn limits_hold_at_their_value_and_one_beyond() {
    let mut out = Vec::new();
    let legs = |n: usize| Start {
        legs: vec![(1, Part::Agent); n],
        ..started()
    };
    assert_eq!(start(&mut out, tag(0), &legs(LEGS_MAX)), Ok(()));
    assert_eq!(
        start(&mut out, tag(0), &legs(LEGS_MAX + 1)),
        Err(WriteFault::TooManyLegs)
    );
    let rows = vec![Row::default(); ROWS_MAX + 1];
    assert_eq!(quality(&mut out, tag(0), true, 0, &rows[1..]), Ok(()));
    assert_eq!(quality(&mut out, tag(0), true, 0, &rows), Err(WriteFault::TooManyRows));
    let reason = |n: usize| End {
        at_ns: 0,
        reason: "r".repeat(n),
    };
    assert_eq!(end(&mut out, tag(0), &reason(REASON_BYTES_MAX)), Ok(()));
    assert_eq!(
        end(&mut out, tag(0), &reason(REASON_BYTES_MAX + 1)),
        Err(WriteFault::ReasonTooLong)
    );
    let named = |n: usize| SegmentHeader {
        node: "n".repeat(n),
        ..header()
    };
    assert_eq!(named(NODE_BYTES_MAX + 1).encode(&mut out), Err(WriteFault::NodeTooLong));
    let mut segment = Vec::new();
    named(NODE_BYTES_MAX).encode(&mut segment).unwrap();
    assert_eq!(SegmentHeader::decode(&segment).unwrap(), named(NODE_BYTES_MAX));
    let mut block = AudioBlock::new();
    assert_eq!(
        block.push(&borrowed(&packet(1, vec![0; PAYLOAD_BYTES_MAX + 1]))),
        Err(PushFault::TooLong)
    );
    assert_eq!(block.push(&borrowed(&packet(1, vec![0; PAYLOAD_BYTES_MAX]))), Ok(()));
    assert_eq!(
        Reader::blocks(&out).count(),
        3,
        "what was written can be read, what was refused left nothing"
    );
}

#[test]
fn a_block_holds_less_than_a_second_and_no_more_than_its_bytes() {
    let mut block = AudioBlock::new();
    let at = |arrival_ns| Packet {
        arrival_ns,
        ..packet(1, vec![0; 100])
    };
    block.push(&borrowed(&at(50))).unwrap();
    assert_eq!(block.push(&borrowed(&at(50 + BLOCK_SPAN_NS_MAX - 1))), Ok(()));
    assert_eq!(block.push(&borrowed(&at(50 + BLOCK_SPAN_NS_MAX))), Err(PushFault::Full));
    let mut out = Vec::new();
    block.finish(&mut out, tag(0));
    let mut pushed = 0;
    while block.push(&borrowed(&at(pushed))).is_ok() {
        pushed += 1;
    }
    block.finish(&mut out, tag(1));
    let blocks: Vec<Block<'_>> = Reader::blocks(&out).collect();
    assert_eq!(blocks.len(), 2);
    let body = blocks[1].range.len() - BLOCK_FRAME_BYTES;
    assert!((BODY_BYTES_MAX - 2_000..=BODY_BYTES_MAX).contains(&body), "{body}");
    let Body::Audio(audio) = &blocks[1].body else {
        panic!("audio")
    };
    assert_eq!(audio.len() as u64, pushed);
}

/// A block with sound check sums around any body: what a hostile or broken writer could leave.
fn forged(kind: u8, len: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    event(
        &mut out,
        tag(0),
        &Event {
            at_ns: 0,
            kind: EventKind::Paused,
            value: 0,
            leg: 1,
            part: Part::Agent,
            by: None,
        },
    );
    out.truncate(BLOCK_HEAD_BYTES);
    out[4..8].copy_from_slice(&len.to_le_bytes());
    out[8] = kind;
    let sum = crc32c::crc32c(&out[..BLOCK_HEAD_BYTES - 4]);
    out[BLOCK_HEAD_BYTES - 4..].copy_from_slice(&sum.to_le_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(&crc32c::crc32c(body).to_le_bytes());
    out
}

#[test]
fn hostile_lengths_are_refused_before_anything_is_made_of_them() {
    for len in [1, BODY_BYTES_MAX as u32, BODY_BYTES_MAX as u32 + 1, u32::MAX] {
        assert_eq!(Reader::blocks(&forged(TYPE_EVENT, len, &[])).count(), 0, "length {len}");
    }
    // A count of 65,535 packets, rows or legs over an empty rest.
    let mut body = vec![0xFF; 2];
    body.extend_from_slice(&[0; 16]);
    let audio = forged(TYPE_AUDIO, body.len() as u32, &body);
    let mut reader = Reader::blocks(&audio);
    assert!(reader.next().is_none());
    assert_eq!(reader.damage()[0].kind, DamageKind::Unknown);
    let rows = [&[1, 0xFF, 0xFF][..], &[0; 8]].concat();
    assert_eq!(
        Reader::blocks(&forged(TYPE_QUALITY, rows.len() as u32, &rows)).count(),
        0
    );
    let legs = [&[0; 26][..], &[0xFF, 0xFF]].concat();
    assert_eq!(Reader::blocks(&forged(TYPE_START, legs.len() as u32, &legs)).count(), 0);
    // A payload that claims 2^63 bytes.
    let mut entry = vec![1, 0];
    entry.extend_from_slice(&[0; 16]);
    entry.extend_from_slice(&[0, 0, 0, 0, 0]);
    entry.extend_from_slice(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]);
    assert_eq!(
        Reader::blocks(&forged(TYPE_AUDIO, entry.len() as u32, &entry)).count(),
        0
    );
    // The same block with a length that its bytes hold is read.
    entry.truncate(23);
    entry.extend_from_slice(&[2, 7, 7]);
    assert_eq!(
        Reader::blocks(&forged(TYPE_AUDIO, entry.len() as u32, &entry)).count(),
        1
    );
}

#[test]
fn rows_join_over_blocks_and_short_gaps() {
    let second = 1_000_000_000;
    let mut log = Vec::new();
    header().encode(&mut log).unwrap();
    let row = Row {
        expected: 50,
        ..Row::default()
    };
    for (counter, first) in [
        (0, 10 * second),
        (1, 12 * second + 3),
        (2, 16 * second),
        (3, 900 * second),
    ] {
        quality(&mut log, tag(counter), false, first, &[row; 2]).unwrap();
    }
    let quality = &collect([log.as_slice()])[0].quality;
    let expected: Vec<u16> = quality[0].rows.iter().map(|row| row.expected).collect();
    assert_eq!(expected, [50, 50, 50, 50, 0, 0, 50, 50]);
    assert_eq!(
        (quality.len(), quality[1].rows.len(), quality[1].first_second_ns),
        (2, 2, 900 * second)
    );
}

#[test]
fn a_gap_is_filled_up_to_its_bound_and_begins_a_new_run_beyond() {
    let second = 1_000_000_000;
    let runs = |gap: u64| {
        let mut log = Vec::new();
        header().encode(&mut log).unwrap();
        for (counter, first) in [(0, second), (1, (2 + gap) * second)] {
            quality(&mut log, tag(counter), true, first, &[Row::default()]).unwrap();
        }
        let call = collect([log.as_slice()]).remove(0);
        call.quality.iter().map(|run| run.rows.len()).collect::<Vec<_>>()
    };
    assert_eq!(runs(120), [122]);
    assert_eq!(runs(121), [1, 1]);
}

fn any_packet() -> impl Strategy<Value = Packet> {
    let payload = proptest::collection::vec(any::<u8>(), 0..200);
    (
        any::<u32>(),
        any::<u32>(),
        any::<u64>(),
        any::<u8>(),
        any::<u8>(),
        payload,
    )
        .prop_map(|(ext_seq, rtp_ts, arrival_ns, flags, level, payload)| Packet {
            ext_seq,
            rtp_ts,
            arrival_ns,
            flags: Flags(flags),
            level,
            payload: payload.into(),
        })
}

proptest! {
    #![proptest_config(testkit::properties::usual())]

    #[test]
    fn any_packets_come_back_bit_for_bit(packets in proptest::collection::vec(any_packet(), 1..60)) {
        let mut log = Vec::new();
        header().encode(&mut log).unwrap();
        write_audio(&mut log, &mut 0, &packets);
        let calls = collect([log.as_slice()]);
        prop_assert_eq!(&calls[0].tracks[0].packets, &packets);
    }

    #[test]
    fn any_bytes_are_read_without_harm(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), at in 0_usize..500) {
        let magic_at = at.min(bytes.len().saturating_sub(4));
        if bytes.len() >= 4 {
            bytes[magic_at..magic_at + 4].copy_from_slice(&BLOCK_MAGIC);
        }
        let mut reader = Reader::blocks(&bytes);
        let read: usize = reader.by_ref().map(|block| block.range.len()).sum();
        let skipped: usize = reader.damage().iter().map(|damage| damage.bytes).sum();
        prop_assert_eq!(read + skipped, bytes.len());
    }
}

#[test]
fn each_leg_and_part_beside_the_sides_has_a_file_and_what_finds_none_is_counted() {
    use crate::BESIDE_MAX;
    let mut log = Vec::new();
    header().encode(&mut log).unwrap();
    let mut counter = 0;
    let mut say = |leg: u128, part: Part, n: u32| {
        let mut block = AudioBlock::new();
        block.push(&borrowed(&packet(n, vec![n as u8; 9]))).unwrap();
        let tag = Tag {
            call: CALL,
            leg,
            part,
            counter,
        };
        counter += 1;
        block.finish(&mut log, tag);
    };
    say(1, Part::Customer, 0);
    say(2, Part::Agent, 1);
    // A colleague joins twice and gets the call; a supervisor and many more colleagues join.
    say(3, Part::Partner, 2);
    say(4, Part::Supervisor, 3);
    say(3, Part::Partner, 4);
    say(3, Part::Agent, 5);
    // A block of what he said before, written late.
    say(3, Part::Partner, 6);
    for more in 0..BESIDE_MAX as u128 {
        say(10 + more, Part::Partner, 7);
    }
    let calls = collect([log.as_slice()]);
    let call = &calls[0];
    assert_eq!(call.beside[..2], [(3, Part::Partner), (4, Part::Supervisor)]);
    assert_eq!((call.beside.len(), call.dropped_packets), (BESIDE_MAX, 2));
    let of = |leg, lane| {
        let track = call.tracks.iter().find(|track| track.leg == leg && track.lane == lane);
        track.map_or(0, |track| track.packets.len())
    };
    assert_eq!((of(3, Lane::Beside(0)), of(3, Lane::Agent)), (3, 1));
    assert_eq!((of(4, Lane::Beside(1)), of(2, Lane::Agent)), (1, 1));
    assert!(
        call.legs.contains(&(3, Part::Agent)),
        "who has become the agent stays it"
    );
}
