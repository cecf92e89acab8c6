//! What a datagram costs before anything of it is opened: its kind by the first bytes, its leg by the address, and what
//! strangers and connectivity checks cost beside that.
//!
//! `classify` and `lookup` are the two steps of every packet; the others go through a whole shard with 200 legs. A
//! shard answers checks and drops strangers on the thread that forwards, so their cost is what a flood takes from calls.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use media_core::addr;
use media_core::demux::protocol;
use media_core::limits::{HEADROOM_BYTES, SLOT_BYTES};
use media_core::matrix::Part;
use media_core::origin::Wire;
use media_core::shard::Slot;
use media_core::tap::{Record, TapSink};
use media_core::{RoomId, limits::LEGS_PER_SHARD_MAX};
use rustc_hash::FxHashMap;
use testkit::bed::{Bed, Client, FRAME};

/// Datagrams of one pass.
const DATAGRAMS: usize = 1_024;
/// Legs of the shard: as many as the bed has numbers for, in rooms of two.
const LEGS: u8 = 200;
/// Distance between two addresses of the table, so that they are neither neighbours nor a cycle.
const STRIDE: u32 = 0x9E37_79B1;

/// A tap for what is never tapped here.
struct Nothing;

impl TapSink for Nothing {
    fn push(&mut self, _: Record<'_>) -> bool {
        true
    }
}

/// First bytes in the shares of a call: 48 of 50 are voice, one a report, and checks and handshakes are rare.
fn mixture() -> Vec<[u8; 4]> {
    let kind = |n: usize| match n % 50 {
        0 => [128, 200, 0, 6],
        1 if n % 500 == 1 => [0, 1, 0, 80],
        1 => [22, 254, 253, 0],
        _ => [144, 111, 0, 1],
    };
    (0..DATAGRAMS).map(kind).collect()
}

fn address(number: u32) -> SocketAddr {
    let spread = number.wrapping_mul(STRIDE);
    SocketAddr::from((spread.to_be_bytes(), 1_024 + (spread >> 16) as u16 % 60_000))
}

/// A shard in which `LEGS` legs are up.
fn shard() -> (Bed, Vec<Client>) {
    let mut bed = Bed::default();
    let mut clients = Vec::new();
    for number in 0..LEGS {
        let part = if number % 2 == 0 { Part::Customer } else { Part::Agent };
        let mut client = Client::new(u16::from(number), part);
        bed.add(RoomId(1 + u128::from(number / 2)), &client)
            .expect("the leg is new");
        assert_eq!(bed.check(&mut client).len(), 1, "a check is answered at once");
        bed.establish(&client).expect("the transport lives");
        clients.push(client);
    }
    while bed.shard.poll_event().is_some() {}
    (bed, clients)
}

/// A datagram in the slot in which the kernel would have put it, and where it came from.
struct Arrived {
    from: SocketAddr,
    buffer: Box<[u8]>,
    len: usize,
}

fn arrived(from: SocketAddr, bytes: &[u8]) -> Arrived {
    let mut buffer = vec![0; SLOT_BYTES].into_boxed_slice();
    buffer[HEADROOM_BYTES..HEADROOM_BYTES + bytes.len()].copy_from_slice(bytes);
    let len = bytes.len();
    Arrived { from, buffer, len }
}

/// Hands them to the shard one by one, as its thread does; how many answers there were.
fn take(bed: &mut Bed, arrived: &mut [Arrived]) -> usize {
    let mut out = 0;
    for one in arrived {
        let slot = Slot {
            index: 0,
            buffer: &mut one.buffer,
            len: one.len,
        };
        bed.shard.datagram(bed.now, one.from.into(), slot, &mut Nothing);
        out += bed.shard.transmissions().len();
        bed.shard.flushed();
    }
    out
}

fn steps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("demux");
    group
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2))
        .throughput(Throughput::Elements(DATAGRAMS as u64));
    let mixture = mixture();
    group.bench_function("classify", |bench| {
        bench.iter(|| {
            for datagram in &mixture {
                black_box(protocol(black_box(datagram)));
            }
        });
    });
    let count = LEGS_PER_SHARD_MAX as u32;
    let table: FxHashMap<addr::Key, u32> = (0..count)
        .map(|n| (addr::Key::from(Wire::from(address(n))), n))
        .collect();
    assert_eq!(table.len(), LEGS_PER_SHARD_MAX, "the addresses differ");
    let asked: Vec<SocketAddr> = (0..DATAGRAMS as u32).map(|n| address(n * 7 % count)).collect();
    group.bench_function("lookup", |bench| {
        bench.iter(|| {
            for from in &asked {
                black_box(table.get(&addr::Key::from(Wire::from(black_box(*from)))));
            }
        });
    });
    group.finish();
}

fn through_a_shard(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("demux");
    group
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2));
    let (mut bed, mut clients) = shard();

    let stranger = [0x90; 128];
    let mut strangers: Vec<_> = (0..DATAGRAMS as u32).map(|n| arrived(address(n), &stranger)).collect();
    group.throughput(Throughput::Elements(DATAGRAMS as u64));
    group.bench_function("stranger", |bench| bench.iter(|| take(&mut bed, &mut strangers)));
    assert!(
        bed.shard.totals().drop_unknown_source >= DATAGRAMS as u64,
        "they were dropped"
    );

    // A valid check of a leg that this shard does not have.
    let check = Client::new(u16::from(LEGS) + 1, Part::Agent).check(true);
    let mut unknown: Vec<_> = (0..DATAGRAMS as u32).map(|n| arrived(address(n), &check)).collect();
    group.bench_function("unknown_ufrag", |bench| bench.iter(|| take(&mut bed, &mut unknown)));
    assert!(
        bed.shard.totals().drop_unknown_ufrag >= DATAGRAMS as u64,
        "they were dropped"
    );

    group.throughput(Throughput::Elements(u64::from(LEGS)));
    let before = bed.shard.totals().checks;
    let mut checks = || -> Vec<Arrived> {
        let each = clients.iter_mut();
        each.map(|client| {
            let check = client.check(true);
            arrived(client.address, &check)
        })
        .collect()
    };
    let mut answered = 0;
    group.bench_function("check", |bench| {
        let turn = |arrived: &mut Vec<Arrived>| {
            // Slowly enough for the limit of checks a second.
            bed.now += FRAME * 2;
            answered += take(&mut bed, arrived) as u64;
        };
        bench.iter_batched_ref(&mut checks, turn, BatchSize::PerIteration);
    });
    let checked = bed.shard.totals().checks - before;
    assert_eq!(checked, answered, "every check was valid and answered");
    group.finish();
}

criterion_group!(demux, steps, through_a_shard);
criterion_main!(demux);
