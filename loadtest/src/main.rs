//! Load generator: what a media server costs per packet, beside what the bare kernel costs in the same run.
//!
//! Never asserts on a time: it prints one JSON object of figures.

mod clock;
mod floor;
mod generator;
mod system;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use generator::{Generator, Leg};
use serde_json::{Value, json};

/// Pairs of one run: sockets are two per pair, and a loopback address has about 28,000 ports to give.
const PAIRS_MAX: u32 = 5_000;
/// Time in which caches and socket queues settle before anything is counted.
const WARM: Duration = Duration::from_secs(2);
/// Bytes that SRTP adds, so that the floor moves datagrams of the same size.
const SEAL_BYTES: usize = 20 + 16;

/// Load generator of Helpline.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The kernel floor alone: a reflector without cryptography under the same legs and packet rate.
    Floor {
        /// Calls of two legs.
        #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=i64::from(PAIRS_MAX)))]
        pairs: u32,
        /// Measured seconds.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_600))]
        seconds: u64,
    },
}

/// A leg without cryptography.
struct Plain {
    call: u32,
    to: SocketAddr,
    said: bool,
}

impl Leg for Plain {
    fn speak(&mut self, buffer: &mut [u8], payload: &[u8]) -> Option<usize> {
        buffer[..payload.len()].copy_from_slice(payload);
        Some(payload.len() + SEAL_BYTES)
    }

    fn hear(&mut self, _: Instant, datagram: &mut [u8]) -> io::Result<Option<(usize, usize)>> {
        Ok(Some((0, datagram.len())))
    }

    fn timers(&mut self, _: Instant) -> io::Result<Option<Vec<u8>>> {
        let first = !std::mem::replace(&mut self.said, true);
        Ok(first.then(|| floor::hello(self.call)))
    }

    fn destination(&self) -> SocketAddr {
        self.to
    }
}

fn measure_floor(pairs: u32, time: Duration) -> io::Result<Value> {
    let reflector = floor::Reflector::start(0)?;
    let to = reflector.address();
    let legs = (0..pairs * 2).map(|leg| Plain {
        call: leg / 2,
        to,
        said: false,
    });
    let mut generator = Generator::new(legs.collect())?;
    generator.warm(WARM)?;
    let process = std::process::id();
    let threads = system::threads(process, floor::THREAD)?;
    let before = system::thread_cpu(process, &threads)?;
    let window = generator.measure(time)?;
    let used = system::thread_cpu(process, &threads)?.since(before);
    let per_packet = |us: f64| us / window.delivered.max(1) as f64;
    Ok(json!({
        "pairs": pairs,
        "seconds": time.as_secs(),
        "sent": window.sent,
        "delivered_ratio": window.delivered as f64 / window.sent.max(1) as f64,
        "floor_us_per_packet": per_packet(used.run_ns as f64 / 1_000.0),
        "floor_user_us_per_packet": per_packet(used.user_us as f64),
        "floor_latency_us": {
            "p50": window.latency_us.value_at_quantile(0.5),
            "p99": window.latency_us.value_at_quantile(0.99),
        },
    }))
}

fn main() -> Result<(), Box<dyn Error>> {
    let Command::Floor { pairs, seconds } = Arguments::parse().command;
    let cores = std::thread::available_parallelism()?.get();
    // On one core the generator and the reflector would only measure each other.
    if cores < 2 {
        return Err("the floor needs two cores: one for the generator, one for the reflector".into());
    }
    system::pin(None, cores - 1)?;
    println!("{}", measure_floor(pairs, Duration::from_secs(seconds))?);
    Ok(())
}
