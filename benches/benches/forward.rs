//! What a shard pays for a packet that it forwards: demultiplexed, opened, tapped into the recorder's ring, rewritten,
//! sealed, with the checks and reports that belong to it, and no socket.
//!
//! Two legs a room, both talking and recorded, but in `untapped`. Criterion shows the time of one turn, in which every
//! leg says 20 ms, and packets per second. `relayed`: the same with every leg behind the relay, without the relay itself
//! and its rings. `crowded`: as a server finds it, where the kernel has used the caches for itself before each batch and no
//! speaker lies in memory next to the one before. `memory`: as many cache lines as a packet needs, fetched in the same way and each read once, and nothing
//! else done: what no engine with as much to remember gets below.

use std::alloc::System;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use criterion::measurement::{Measurement, WallTime};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use media_core::RoomId;
use media_core::addr::Key;
use media_core::command::Command;
use media_core::limits::{HEADROOM_BYTES, LEGS_PER_SHARD_MAX, SLOT_BYTES};
use media_core::matrix::{Announce, Part, Plan, Shield, Stance, Tap};
use media_core::origin::{Relayed, Via, Wire};
use media_core::shard::{Config, Slot};
use media_server::tap::{CELLS, Producer, ring};
use pages::Pages;
use testkit::bed::{Bed, Client, FRAME};

/// As the server has it: the tables lie on huge pages.
#[global_allocator]
static ALLOCATOR: Pages<System> = Pages(System);

/// Bytes of an Opus packet of 20 ms at about 35 kbit/s.
const PAYLOAD: [u8; 88] = [0x5A; 88];
/// Datagrams between two flushes: what a shard mostly finds in its socket beside 1,000 calls on half a core.
const BATCH: usize = 10;
/// Turns between two checks of a leg, as browsers send them: 2.5 s.
const CHECK_EVERY: usize = 125;
/// Turns between two reports of a leg: 5 s.
const REPORT_EVERY: usize = 250;
/// Rooms: one call, some, and as many as a core is to carry, which no cache of a processor holds.
const ROOMS: [usize; 3] = [1, 100, 1_000];

/// More than the caches of a core hold that it shares with nobody.
const CACHES_BYTES: usize = 4 << 20;
/// Bytes of a cache line.
const LINE: usize = 64;
/// Stretches of memory in which the lines of a packet lie: tables, keys, ciphers, at both ends.
const STRETCHES: usize = 10;

/// Cache lines that the kernel and the recorder touch for a datagram, in `crowded`.
const KERNEL_LINES: usize = 100;
/// What those lie in: more than any cache holds.
const KERNEL_BYTES: usize = 64 << 20;
/// Packets whose lines are asked for together.
const TOGETHER: usize = 16;
/// A prime, so that legs in steps of it all have their turn.
const STRIDE: usize = 7_919;

/// Lines that were asked for.
static LINES: AtomicUsize = AtomicUsize::new(0);

/// Counts what is asked for instead of fetching it.
fn count(at: *const u8, bytes: usize) {
    let first = at.addr() % LINE;
    LINES.fetch_add((first + bytes).div_ceil(LINE), Ordering::Relaxed);
}

/// Cache lines that a packet is fetched, in the mean over all legs.
fn lines_of_a_packet(bed: &mut Bed, ways: &[Way]) -> usize {
    LINES.store(0, Ordering::Relaxed);
    for way in ways {
        bed.shard.foresee(0, 1, |_| Some(way.key()), count);
    }
    LINES.load(Ordering::Relaxed) / ways.len()
}

/// As much memory as the legs of a shard take up, and nothing in it.
struct Memory {
    /// Every stretch of every leg, stretch by stretch.
    lines: Vec<[u8; LINE]>,
    legs: usize,
    /// Lines of a stretch.
    long: usize,
}

impl Memory {
    fn new(legs: usize, lines_of_a_packet: usize) -> Memory {
        let long = lines_of_a_packet.div_ceil(STRETCHES);
        Memory {
            lines: vec![[1; LINE]; legs * STRETCHES * long],
            legs,
            long,
        }
    }

    /// Those of the leg that speaks as the `turn`-th: never its neighbour in memory after it, or the processor would guess.
    fn stretches(&self, turn: usize) -> impl Iterator<Item = &[[u8; LINE]]> {
        let leg = turn * STRIDE % self.legs;
        (0..STRETCHES).map(move |stretch| {
            let at = (stretch * self.legs + leg) * self.long;
            &self.lines[at..at + self.long]
        })
    }

    /// One packet of each leg, in the order in which they speak; returns how many lines were read.
    fn touch(&self) -> usize {
        let mut read = 0;
        for first in (0..self.legs).step_by(TOGETHER) {
            let window = first..self.legs.min(first + TOGETHER);
            for stretch in window.clone().flat_map(|leg| self.stretches(leg)) {
                udp::prefetch(stretch.as_ptr().cast(), std::mem::size_of_val(stretch));
            }
            let lines = window.flat_map(|leg| self.stretches(leg)).flatten();
            read += lines.map(|line| usize::from(line[0])).sum::<usize>();
        }
        read
    }
}

/// A datagram in the slot in which the kernel would have put it.
struct Arrived {
    leg: usize,
    buffer: Box<[u8]>,
    len: usize,
}

/// Where a client's datagrams come from.
#[derive(Clone, Copy)]
enum Way {
    Wire(SocketAddr),
    Relay(Relayed),
}

impl Way {
    fn of(client: &Client) -> Way {
        client.relayed().map_or(Way::Wire(client.address), Way::Relay)
    }

    fn key(self) -> Key {
        match self {
            Way::Wire(address) => Key::from(Wire::from(address)),
            Way::Relay(relayed) => Key::from(relayed.path),
        }
    }
}

/// The clients of all rooms.
struct Crowd {
    clients: Vec<Client>,
    turn: usize,
}

impl Crowd {
    /// What arrives in one turn.
    fn speak(&mut self) -> Vec<Arrived> {
        self.turn += 1;
        let turn = self.turn;
        let mut arrived = Vec::new();
        for (leg, client) in self.clients.iter_mut().enumerate() {
            let mut push = |bytes: &[u8]| {
                let mut buffer = vec![0; SLOT_BYTES].into_boxed_slice();
                buffer[HEADROOM_BYTES..HEADROOM_BYTES + bytes.len()].copy_from_slice(bytes);
                let len = bytes.len();
                arrived.push(Arrived { leg, buffer, len });
            };
            push(&client.speak(&PAYLOAD));
            if (turn + leg).is_multiple_of(CHECK_EVERY) {
                push(&client.check(true));
            }
            if (turn + leg).is_multiple_of(REPORT_EVERY) {
                push(&client.report(0, 0));
            }
        }
        arrived
    }
}

/// Takes a batch as the server's thread does; how many datagrams go out.
fn take_batch(bed: &mut Bed, ring: &mut Producer, ways: &[Way], foreseen: bool, batch: &mut [Arrived]) -> usize {
    for index in 0..batch.len() {
        if foreseen {
            let sender = |n: usize| batch.get(n).map(|one| ways[one.leg].key());
            bed.shard.foresee(index, batch.len(), sender, udp::prefetch);
        }
        let one = &mut batch[index];
        let slot = Slot {
            index: index as u16,
            buffer: &mut one.buffer,
            len: one.len,
        };
        match ways[one.leg] {
            Way::Wire(from) => bed.shard.datagram(bed.now, from.into(), slot, ring),
            Way::Relay(from) => bed.shard.relayed(bed.now, from, slot, ring),
        }
    }
    bed.shard.tick(bed.now);
    let out = bed.shard.transmissions().len();
    bed.shard.flushed();
    out
}

fn forget_news(bed: &mut Bed) {
    while bed.shard.poll_event().is_some() {}
    while bed.shard.poll_second().is_some() {}
}

/// Takes a turn's datagrams, batch after batch; how many go out.
fn take(bed: &mut Bed, ring: &mut Producer, ways: &[Way], foreseen: bool, arrived: &mut [Arrived]) -> usize {
    bed.now += FRAME;
    let batches = arrived.chunks_mut(BATCH);
    let out = batches.map(|batch| take_batch(bed, ring, ways, foreseen, batch)).sum();
    forget_news(bed);
    out
}

/// What lies between two batches of a server, as far as its caches go.
struct Kernel {
    lines: Vec<[u8; LINE]>,
    at: usize,
}

impl Kernel {
    fn new() -> Kernel {
        Kernel {
            lines: vec![[1; LINE]; KERNEL_BYTES / LINE],
            at: 0,
        }
    }

    /// Its part of so many datagrams.
    fn work(&mut self, datagrams: usize) {
        for _ in 0..datagrams * KERNEL_LINES {
            self.at = (self.at + STRIDE) % self.lines.len();
            self.lines[self.at][0] ^= 1;
        }
    }
}

/// What a crowded server has beside its shard.
struct Beside {
    kernel: Kernel,
    /// As many buffers as a batch has, used again and again.
    slots: Vec<Arrived>,
}

impl Beside {
    fn new() -> Beside {
        let slot = |_| Arrived {
            leg: 0,
            buffer: vec![0; SLOT_BYTES].into_boxed_slice(),
            len: 0,
        };
        Beside {
            kernel: Kernel::new(),
            slots: (0..BATCH).map(slot).collect(),
        }
    }

    /// Reads a batch, as the kernel would.
    fn read(&mut self, arrived: &[Arrived], turns: &[usize]) -> &mut [Arrived] {
        self.kernel.work(turns.len());
        for (slot, turn) in self.slots.iter_mut().zip(turns) {
            let Arrived { leg, buffer, len } = &arrived[*turn];
            (slot.leg, slot.len) = (*leg, *len);
            let bytes = HEADROOM_BYTES + len;
            slot.buffer[..bytes].copy_from_slice(&buffer[..bytes]);
        }
        &mut self.slots[..turns.len()]
    }

    /// A turn's datagrams; how long the shard took for them.
    fn turn(&mut self, bed: &mut Bed, ring: &mut Producer, ways: &[Way], arrived: &[Arrived]) -> Duration {
        bed.now += FRAME;
        let turns: Vec<usize> = (0..arrived.len()).map(|n| n * STRIDE % arrived.len()).collect();
        let mut time = Duration::ZERO;
        for turns in turns.chunks(BATCH) {
            let batch = self.read(arrived, turns);
            let begin = WallTime.start();
            black_box(take_batch(bed, ring, ways, true, batch));
            time += WallTime.end(begin);
        }
        forget_news(bed);
        time
    }
}

/// A shard with `rooms` rooms in which both talk, recorded or not, straight or behind the relay.
fn rooms(rooms: usize, tap: Tap, relayed: bool) -> (Bed, Crowd) {
    let mut bed = Bed::new(Config {
        chunk: LEGS_PER_SHARD_MAX as u32,
        ..Config::default()
    });
    let mut clients = Vec::new();
    for room in 0..rooms {
        let (id, number) = (RoomId(1 + room as u128), 2 * room as u16);
        let mut pair = [
            Client::new(number, Part::Customer),
            Client::new(number + 1, Part::Agent),
        ];
        for client in &mut pair {
            if relayed {
                client.go_behind_relay(Via::Udp, client.address);
            }
            bed.add(id, client).expect("the leg is new");
            assert_eq!(bed.check(client).len(), 1, "a check is answered at once");
            bed.establish(client).expect("the transport lives");
        }
        let plan = Plan {
            room: id,
            epoch: 1,
            stances: pair.iter().map(|client| (client.leg, Stance::Talk)).collect(),
            announce: Announce::Nobody,
            shield: Shield::Off,
            tap,
        };
        let planned = bed.shard.command(bed.now, Command::Plan(Box::new(plan)));
        planned.expect("the plan is new and small");
        clients.extend(pair);
    }
    (bed, Crowd { clients, turn: 0 })
}

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("forward");
    group
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2));
    for count in ROOMS {
        // The second says what looking ahead is worth, the third what recording costs here.
        for (name, foreseen, tap, relayed) in [
            ("rooms", true, Tap::On, false),
            ("unforeseen", false, Tap::On, false),
            ("untapped", true, Tap::Off, false),
            ("relayed", true, Tap::On, true),
        ] {
            let (mut bed, mut crowd) = rooms(count, tap, relayed);
            let ways: Vec<_> = crowd.clients.iter().map(Way::of).collect();
            // The recorder's own: 16 MiB, which no cache of a core holds.
            let (mut ring, mut recorder) = ring(CELLS);
            let mut recorded = 0;
            group.throughput(Throughput::Elements(2 * count as u64));
            group.bench_function(BenchmarkId::new(name, count), |bench| {
                let turn = |arrived: &mut Vec<Arrived>| take(&mut bed, &mut ring, &ways, foreseen, arrived);
                let next = || {
                    // What the recorder's thread does is no part of the turn.
                    recorded += recorder.drain(|_| ());
                    crowd.speak()
                };
                bench.iter_batched_ref(next, turn, BatchSize::PerIteration);
            });
            recorded += recorder.drain(|_| ());
            let totals = bed.shard.totals();
            let said = crowd.turn as u64 * 2 * count as u64;
            assert_eq!(
                totals.rtp_forwarded, said,
                "every packet reached the other leg: {totals:?}"
            );
            // A room is live, and recorded, when its second leg has said something: one packet comes before that.
            let tapped = if tap == Tap::On {
                said.saturating_sub(count as u64)
            } else {
                0
            };
            assert_eq!(recorded as u64, tapped, "and the recorder, where it is recorded");
        }
    }
    for count in ROOMS {
        let (mut bed, mut crowd) = rooms(count, Tap::On, false);
        let ways: Vec<_> = crowd.clients.iter().map(Way::of).collect();
        let (mut ring, mut recorder) = ring(CELLS);
        let mut beside = Beside::new();
        group.throughput(Throughput::Elements(ways.len() as u64));
        group.bench_function(BenchmarkId::new("crowded", count), |bench| {
            bench.iter_custom(|turns| {
                let turn = |_| {
                    recorder.drain(|_| ());
                    let arrived = crowd.speak();
                    beside.turn(&mut bed, &mut ring, &ways, &arrived)
                };
                (0..turns).map(turn).sum()
            });
        });
        let said = crowd.turn as u64 * ways.len() as u64;
        assert_eq!(
            bed.shard.totals().rtp_forwarded,
            said,
            "every packet reached the other leg"
        );
    }
    for count in ROOMS {
        let (mut bed, mut crowd) = rooms(count, Tap::Off, false);
        let ways: Vec<_> = crowd.clients.iter().map(Way::of).collect();
        // The way that a packet goes is known from the one before it.
        let (mut untouched, _) = ring(1);
        take(&mut bed, &mut untouched, &ways, false, &mut crowd.speak());
        let lines = lines_of_a_packet(&mut bed, &ways);
        let memory = Memory::new(ways.len(), lines);
        println!("forward/memory/{count}: {lines} lines a packet");
        // What lies between two turns of a shard, as far as caches go: the kernel's work.
        let mut other = vec![1u8; CACHES_BYTES];
        group.throughput(Throughput::Elements(ways.len() as u64));
        group.bench_function(BenchmarkId::new("memory", count), |bench| {
            let pause = || {
                other.iter_mut().step_by(LINE).for_each(|byte| *byte ^= 1);
            };
            bench.iter_batched(pause, |()| memory.touch(), BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(forward, benches);
criterion_main!(forward);
