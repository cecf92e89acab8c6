//! The whole thread of a UDP worker, with its sockets, timers and rings: no allocation per relayed datagram.
//!
//! The core alone is counted in `core_no_allocation.rs`. Sinks and echo of this test copy into memory that was there
//! before: what a shard does with a packet is not the relay's.

#![cfg(all(test, feature = "client"))]

#[path = "sockets/user.rs"]
#[expect(dead_code, reason = "the user is whole; this test needs a part of it")]
mod user;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ports::{Accepted, FromRelay, LegId, LegState, RelayEgress, RelayLegs, RelayPath, RelayShard, RelaySink};
use prometheus::Registry;
use rtrb::{Consumer, Producer, RingBuffer};
use testkit::counting::Counting;
use testkit::counting::threads::{self, Counts};
use turn_relay::{Config, Metrics, Mode, Neighbours, Relay};
use user::{User, of_grant, rtp};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Longest payload that the echo keeps, bytes.
const PAYLOAD_BYTES_MAX: usize = 256;
/// Datagrams on their way to the echo.
const RING: usize = 64;
/// Echoes before the count, and counted ones; each is two datagrams of the worker's.
const WARM: u32 = 200;
const COUNTED: u32 = 3_000;
/// Least time of the count: the worker brings its counters to Prometheus twice in it.
const COUNTED_FOR: Duration = Duration::from_millis(2_500);

struct Kept {
    path: RelayPath,
    len: usize,
    payload: [u8; PAYLOAD_BYTES_MAX],
}

struct Sink(Producer<Kept>);

impl RelaySink for Sink {
    fn deliver(&mut self, packet: FromRelay<'_>) -> Accepted {
        let mut payload = [0; PAYLOAD_BYTES_MAX];
        payload[..packet.payload.len()].copy_from_slice(packet.payload);
        let (path, len) = (packet.path, packet.payload.len());
        match self.0.push(Kept { path, len, payload }) {
            Ok(()) => Accepted::Taken,
            Err(_) => Accepted::Full,
        }
    }

    fn flush(&mut self) {}
}

struct Alive;

impl RelayLegs for Alive {
    fn state(&self, _: LegId) -> LegState {
        LegState::Live
    }
}

/// Sends back what comes, until told to stop.
fn echo(mut received: Vec<Consumer<Kept>>, mut egresses: Vec<Box<dyn RelayEgress>>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        for ring in &mut received {
            while let Ok(kept) = ring.pop() {
                let egress = &mut egresses[usize::from(kept.path.worker)];
                egress.transmit(kept.path, &kept.payload[..kept.len]);
                egress.flush();
            }
        }
        std::thread::yield_now();
    }
}

#[expect(clippy::disallowed_methods, reason = "real threads run in real time")]
fn now() -> Instant {
    Instant::now()
}

/// The counts of all UDP workers.
fn counts(workers: usize) -> Vec<Counts> {
    // The last worker of a relay serves streams.
    (0..workers)
        .filter_map(|n| threads::of(&format!("hl-turn-{n}")))
        .collect()
}

#[test]
fn a_worker_of_datagrams_allocates_nothing_per_datagram() {
    let peer: SocketAddr = "192.0.2.10:40000".parse().expect("an address");
    let mut config = Config::new(Mode::Virtual, &[[127, 0, 0, 1].into()], &[0, 0], "localhost");
    (config.limits.packets_per_s, config.limits.bits_per_s) = (0, 0);
    let workers = config.workers();
    let (sinks, received): (Vec<_>, Vec<_>) = (0..workers).map(|_| RingBuffer::new(RING)).unzip();
    let boxed = |sink| Box::new(Sink(sink)) as Box<dyn RelaySink>;
    let shards = vec![RelayShard {
        candidates: vec![peer],
        sinks: sinks.into_iter().map(boxed).collect(),
    }];
    let metrics = Metrics::new(&Registry::new()).expect("a fresh registry");
    let legs = Arc::new(Alive);
    let relay = Relay::start(config, Neighbours { shards, legs }, metrics).expect("free ports");
    let egresses = relay.take_egresses().remove(0);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let echo = std::thread::spawn(move || echo(received, egresses, &stopped));

    let grant = relay.credentials().mint(LegId(1)).expect("a grant");
    let mut user = User::udp(relay.addresses()[0], of_grant(&grant));
    user.ready(peer);
    for n in 0..WARM {
        user.echo(peer, &rtp(n));
    }
    let before = counts(workers);
    let made: u64 = before.iter().map(|counts| counts.allocations).sum();
    assert!(made > 0, "these threads are the ones that are counted: {before:?}");
    let begun = now();
    let mut echoes = 0;
    while echoes < COUNTED || now().duration_since(begun) < COUNTED_FOR {
        user.echo(peer, &rtp(echoes));
        echoes += 1;
    }
    let after = counts(workers);
    println!("{echoes} echoes: {before:?}, {after:?}");
    assert_eq!(after, before, "{echoes} echoes");
    stop.store(true, Ordering::Relaxed);
    echo.join().expect("an echo does not panic");
}
