//! The kernel floor: a bare reflector that pays for the same wake-ups and system calls as a shard, and for nothing else.
//!
//! One thread, one socket, batches as the shard has them, no cryptography. A leg registers with [`hello`]; every other
//! datagram goes to the leg's partner unchanged.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use udp::{BATCH_MAX, Batch, Bell, HEADROOM_BYTES, Outgoing, Socket, wait};

use crate::generator::{Generator, Leg, Seat, Window};
use crate::pace::Pace;
use crate::{WARM, clock, system};

/// Bytes that SRTP adds, so that the floor moves datagrams of the same size.
const SEAL_BYTES: usize = 20 + 16;

/// What the floor showed.
#[derive(Debug)]
pub(crate) struct Floor {
    /// Time of the reflector's thread.
    pub(crate) us_per_packet: f64,
    /// Of that, in user mode.
    pub(crate) user_us_per_packet: f64,
    /// The packets.
    pub(crate) window: Window,
}

/// Name of the reflector's thread.
const THREAD: &str = "hl-floor";
const MAGIC: &[u8; 4] = b"PAIR";

/// A leg's first datagram: of which call it is.
fn hello(call: u32) -> Vec<u8> {
    [&MAGIC[..], &call.to_be_bytes()].concat()
}

/// A running reflector.
struct Reflector {
    address: SocketAddr,
    bell: Arc<Bell>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Reflector {
    /// Starts it on a port of the loopback, kept on `core`.
    fn start(core: usize) -> io::Result<Reflector> {
        let socket = Socket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?.whole()?;
        let address = socket.local();
        let bell = Arc::new(Bell::new()?);
        let stop = Arc::new(AtomicBool::new(false));
        let (heard, flag) = (Arc::clone(&bell), Arc::clone(&stop));
        let thread = thread::Builder::new().name(THREAD.to_owned()).spawn(move || {
            system::pin(None, core)?;
            reflect(&socket, &heard, &flag)
        })?;
        Ok(Reflector {
            address,
            bell,
            stop,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Reflector {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.bell.ring();
        if let Some(thread) = self.thread.take()
            && !matches!(thread.join(), Ok(Ok(())))
        {
            eprintln!("the reflector of the floor ended with a fault");
        }
    }
}

fn reflect(socket: &Socket, bell: &Bell, stop: &AtomicBool) -> io::Result<()> {
    let mut batch = Batch::new(BATCH_MAX);
    let mut alone: HashMap<u32, SocketAddr> = HashMap::new();
    let mut partners: HashMap<SocketAddr, SocketAddr> = HashMap::new();
    let mut targets: Vec<Option<(SocketAddr, usize)>> = Vec::with_capacity(BATCH_MAX);
    while !stop.load(Ordering::Relaxed) {
        if !wait(&[socket], bell, -1)? {
            continue;
        }
        let count = batch.receive(socket, 0)?;
        targets.clear();
        for index in 0..count {
            let Some((from, len)) = batch.received(index) else {
                targets.push(None);
                continue;
            };
            let datagram = &batch.slot(index)[HEADROOM_BYTES..HEADROOM_BYTES + len];
            if let [b'P', b'A', b'I', b'R', number @ ..] = datagram
                && let Ok(number) = <[u8; 4]>::try_from(number)
            {
                pair(&mut alone, &mut partners, u32::from_be_bytes(number), from);
                targets.push(None);
            } else {
                targets.push(partners.get(&from).map(|to| (*to, len)));
            }
        }
        batch.send(socket, count, |index, slots| {
            let (to, len) = targets[index]?;
            let bytes = &slots.slot(index)[HEADROOM_BYTES..HEADROOM_BYTES + len];
            Some(Outgoing { bytes, to })
        });
    }
    Ok(())
}

fn pair(
    alone: &mut HashMap<u32, SocketAddr>,
    partners: &mut HashMap<SocketAddr, SocketAddr>,
    call: u32,
    from: SocketAddr,
) {
    match alone.insert(call, from) {
        Some(other) if other != from => {
            partners.insert(from, other);
            partners.insert(other, from);
        }
        Some(_) | None => {}
    }
}

/// A leg without cryptography.
struct Plain {
    call: u32,
    to: SocketAddr,
    said: bool,
}

impl Leg for Plain {
    fn speak(&mut self, buffer: &mut [u8], payload: &[u8], _: u32) -> Option<usize> {
        buffer[..payload.len()].copy_from_slice(payload);
        Some(payload.len() + SEAL_BYTES)
    }

    fn hear(&mut self, _: Instant, datagram: &mut [u8]) -> io::Result<Option<(usize, usize)>> {
        // What stands for the seal is no part of the payload.
        Ok(Some((0, datagram.len().saturating_sub(SEAL_BYTES))))
    }

    fn timers(&mut self, _: Instant) -> io::Result<Option<Vec<u8>>> {
        let first = !std::mem::replace(&mut self.said, true);
        Ok(first.then(|| hello(self.call)))
    }

    fn wake_at(&self) -> Option<Instant> {
        None
    }

    fn moved(&mut self, _: Instant) {
        self.said = false;
    }

    fn destination(&self) -> SocketAddr {
        self.to
    }

    fn is_up(&self) -> bool {
        self.said
    }
}

/// Runs the floor on core 0 under the calling thread's generator, which speaks at the pace of what it is compared with.
pub(crate) fn measure(pairs: u32, time: Duration, pace: Pace) -> io::Result<Floor> {
    let reflector = Reflector::start(0)?;
    let to = reflector.address();
    let mut generator = Generator::new(pace)?;
    generator.come_first();
    for leg in 0..pairs * 2 {
        let plain = Plain {
            call: leg / 2,
            to,
            said: false,
        };
        generator.add(plain, Seat::of_pair(leg))?;
    }
    generator.go_on(WARM)?;
    let process = std::process::id();
    let threads = system::threads(process, THREAD)?;
    let look = || Ok((clock::now(), system::thread_cpu(process, &threads)?));
    let (window, [before, after]) = generator.measure_beside(time, look)?;
    let (took, used) = (after.0.duration_since(before.0), after.1.since(before.1));
    let per_packet = |us: f64| window.per_delivered(us, took);
    Ok(Floor {
        us_per_packet: per_packet(used.run_ns as f64 / 1_000.0),
        user_us_per_packet: per_packet(used.user_us as f64),
        window,
    })
}
