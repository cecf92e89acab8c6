//! What a recorded packet costs: the pages alone, the whole master (clock, grid, framing, digests), and the peaks.
//!
//! Criterion shows the time for ten minutes of two sides, 60,000 packets in all, and packets per second.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use recording::master::{Assembly, DURATION_MS_MAX, assemble};
use recording::ogg::{Sides, Writer};
use recording::opus_packet::parse;
use recording::peaks::{self, Drawing};
use recording::{Flags, Lane, Packet, Track};

/// Packets of one side: ten minutes of 20 ms.
const PACKETS: u32 = 30_000;
/// Bytes of one packet: 32 kbit/s.
const PAYLOAD: usize = 80;

/// A side whose packets came with up to 30 ms of delay.
fn track(lane: Lane) -> Track {
    let packets = (0..PACKETS).map(|n| {
        let mut payload = vec![0x78; PAYLOAD];
        let spread = u64::from(n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        payload[1..9].copy_from_slice(&spread.to_le_bytes());
        Packet {
            ext_seq: n,
            rtp_ts: n * 960,
            arrival_ns: u64::from(n) * 20_000_000 + (spread >> 33) % 30_000_000,
            flags: Flags::default(),
            level: 90,
            payload: payload.into(),
        }
    });
    Track {
        leg: u128::from(lane == Lane::Agent),
        lane,
        packets: packets.collect(),
    }
}

fn pages(tracks: &[Track; 2]) -> Vec<u8> {
    let mut writer = Writer::new(Sides::Two, 1, &[], PACKETS as usize * (2 * PAYLOAD + 8));
    for (left, right) in tracks[0].packets.iter().zip(&tracks[1].packets) {
        writer.packet(960, |body| {
            if let Ok(packet) = parse(&left.payload) {
                packet.self_delimit(body);
            }
            body.extend_from_slice(&right.payload);
        });
    }
    writer.finish(u64::from(PACKETS) * 960 - 312)
}

/// Peaks as somebody's question makes them.
fn drawn(file: &[u8]) -> Option<Vec<u8>> {
    let mut drawing = Drawing::new(DURATION_MS_MAX);
    drawing.take(file).ok()?;
    Some(peaks::file(drawing.finish().ok()?, None))
}

fn benches(criterion: &mut Criterion) {
    let tracks = [track(Lane::Customer), track(Lane::Agent)];
    let input = Assembly {
        tracks: &tracks,
        start_ns: 0,
        end_ns: u64::from(PACKETS) * 20_000_000 + 100_000_000,
        customer_left: true,
        serial: 1,
        tags: &[],
        explained: &[],
    };
    let mut group = criterion.benchmark_group("recording");
    group
        .sample_size(20)
        .measurement_time(Duration::from_secs(2))
        .throughput(Throughput::Elements(2 * u64::from(PACKETS)));
    group.bench_function("ogg_pages", |bench| bench.iter(|| pages(black_box(&tracks))));
    group.bench_function("master", |bench| bench.iter(|| assemble(black_box(&input))));
    let master = assemble(&input);
    group.sample_size(10);
    group.bench_function("peaks", |bench| bench.iter(|| drawn(black_box(&master.audio))));
    group.finish();
}

criterion_group!(ogg_writer, benches);
criterion_main!(ogg_writer);
