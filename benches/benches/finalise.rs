//! What a recorded packet costs once its call is over: from the blocks of the spool to everything that is stored, step
//! by step, and beside it the least that any way has to do with the same bytes.
//!
//! Criterion shows the time for ten minutes of two sides, 60,000 packets in all, and packets per second. Without files:
//! what the disk adds depends on the disk.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use recording::manifest;
use recording::master::{Assembly, Master, assemble};
use recording::spool::{self, AudioBlock, Calls, End, PacketRef, Part, RecordedCall, SegmentHeader, Start, Tag};
use recording::{Flags, Track};
use ring::digest::{SHA256, digest};

/// Seconds of the call.
const SECONDS: u32 = 600;
/// Blocks of a side: one every half second, as the recorder closes them.
const BLOCKS: u32 = 2 * SECONDS;
/// Packets in one block.
const PACKETS: u32 = 25;
/// Bytes of one packet: 32 kbit/s.
const PAYLOAD: usize = 80;
const SECOND_NS: u64 = 1_000_000_000;
const CALL: u128 = 7;

fn header() -> SegmentHeader {
    SegmentHeader {
        node: "bench".into(),
        node_epoch: 1,
        shard: 0,
        wall_ns_at_zero: 0,
    }
}

/// The blocks of a call whose packets came with up to 30 ms of delay.
fn spooled() -> Bytes {
    let legs = vec![(1, Part::Customer), (2, Part::Agent)];
    let start = Start {
        recording: Some(CALL),
        required: false,
        customer_left: true,
        start_ns: 0,
        legs: legs.clone(),
    };
    let mut out = Vec::new();
    spool::start(&mut out, Tag::of_call(CALL, 0), &start).expect("few legs");
    let mut counter = 1;
    for at in 0..BLOCKS {
        for &(leg, part) in &legs {
            let mut block = AudioBlock::new();
            for n in at * PACKETS..(at + 1) * PACKETS {
                let spread = u64::from(n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 + leg as u64);
                let mut payload = [0x78; PAYLOAD];
                payload[1..9].copy_from_slice(&spread.to_le_bytes());
                let packet = PacketRef {
                    ext_seq: n,
                    rtp_ts: n * 960,
                    arrival_ns: u64::from(n) * 20_000_000 + (spread >> 33) % 30_000_000,
                    flags: Flags::default(),
                    level: 90,
                    payload: &payload,
                };
                block.push(&packet).expect("half a second fits into a block");
            }
            let tag = Tag {
                call: CALL,
                leg,
                part,
                counter,
            };
            block.finish(&mut out, tag);
            counter += 1;
        }
    }
    let end = End {
        at_ns: u64::from(SECONDS) * SECOND_NS + 100_000_000,
        reason: "hangup".into(),
    };
    spool::end(&mut out, Tag::of_call(CALL, counter), &end).expect("a short reason");
    out.into()
}

fn collected(blocks: &Bytes) -> RecordedCall {
    let mut calls = Calls::default();
    calls.add_blocks(&header(), blocks);
    calls.finish().pop().expect("one call")
}

fn master(call: &RecordedCall) -> Master {
    assemble(&Assembly {
        tracks: &call.tracks,
        start_ns: call.start_ns,
        end_ns: call.audio_end_ns(),
        customer_left: true,
        serial: 1,
        tags: &[],
        explained: &[],
    })
}

/// From the blocks to what is stored, as the finaliser does it: both digests of each object, before and after.
fn finalised(blocks: &Bytes) -> Vec<u8> {
    let call = collected(blocks);
    let master = master(&call);
    let side = serde_json::to_vec(&master.side).expect("plain values");
    for bytes in [&master.audio, &side] {
        black_box((digest(&SHA256, bytes), digest(&SHA256, bytes)));
    }
    manifest::bytes(&call, &master, &[], &[], "bench", "hangup")
}

/// What cannot be left out: the check sum of the blocks, the digest of the packets, one copy of them, and the digest of
/// the file.
fn floor(blocks: &[u8], tracks: &[Track]) -> usize {
    black_box(crc32c::crc32c(blocks));
    let mut copy = Vec::with_capacity(blocks.len());
    for packet in tracks.iter().flat_map(|track| &track.packets) {
        copy.extend_from_slice(&packet.payload);
    }
    black_box((digest(&SHA256, &copy), digest(&SHA256, &copy), digest(&SHA256, &copy)));
    copy.len()
}

fn benches(criterion: &mut Criterion) {
    let blocks = spooled();
    let call = collected(&blocks);
    let packets: usize = call.tracks.iter().map(|track| track.packets.len()).sum();
    assert_eq!(packets as u32, 2 * BLOCKS * PACKETS);
    let mut group = criterion.benchmark_group("finalise");
    group
        .sample_size(20)
        .measurement_time(Duration::from_secs(2))
        .throughput(Throughput::Elements(packets as u64));
    group.bench_function("spool", |bench| bench.iter(|| collected(black_box(&blocks))));
    group.bench_function("master", |bench| bench.iter(|| master(black_box(&call))));
    group.bench_function("whole", |bench| bench.iter(|| finalised(black_box(&blocks))));
    group.bench_function("floor", |bench| {
        bench.iter(|| floor(black_box(&blocks), black_box(&call.tracks)));
    });
    group.finish();
}

criterion_group!(finalise, benches);
criterion_main!(finalise);
