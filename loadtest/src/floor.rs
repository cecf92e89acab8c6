//! The kernel floor: a bare reflector that pays for the same wake-ups and system calls as a shard, and for nothing else.
//!
//! One thread, one socket, batches as the shard has them. A leg registers with [`hello`]; every other datagram goes to the
//! leg's partner unchanged.
//!
//! No cryptography, or, sealed, as much of it as SRTP needs: under keys of its speaker and then of its listener, which are the
//! same bytes in two places, so that the second pass undoes what the first has done. Nothing is counted, judged, rewritten or
//! recorded: what a server costs beyond that is its own.
//!
//! It reads as soon as something comes. Gathering, it lets as much time pass between two reads as a busy shard does.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use udp::{BATCH_MAX, Batch, Bell, HEADROOM_BYTES, Outgoing, Pause, Socket, wait};

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::generator::{Generator, Leg, Seat, Window};
use crate::pace::Pace;
use crate::{WARM, clock, system};

/// Bytes of an RTP header as the legs of `calls` send it, and of the tag.
const HEADER_BYTES: usize = 20;
const TAG_BYTES: usize = 16;
/// Bytes that SRTP adds, so that the floor moves datagrams of the same size.
const SEAL_BYTES: usize = HEADER_BYTES + TAG_BYTES;

/// What the reflector does beside reflecting.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    /// As much cryptography as SRTP needs.
    pub(crate) sealed: bool,
    /// What lies between two reads at least.
    pub(crate) gather: Duration,
}

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
    fn start(core: usize, manner: Manner) -> io::Result<Reflector> {
        let socket = Socket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?.whole()?;
        let address = socket.local();
        let bell = Arc::new(Bell::new()?);
        let stop = Arc::new(AtomicBool::new(false));
        let (heard, flag) = (Arc::clone(&bell), Arc::clone(&stop));
        let thread = thread::Builder::new().name(THREAD.to_owned()).spawn(move || {
            system::pin(None, core)?;
            reflect(&socket, &heard, &flag, manner)
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

/// Keys for either end of a way. The same for all: what matters is that each stands where nothing else does.
fn keys() -> [LessSafeKey; 2] {
    let key = || UnboundKey::new(&AES_128_GCM, &[7; 16]).map(LessSafeKey::new);
    [(); 2].map(|()| key().expect("a key of the length that the algorithm has"))
}

/// Both passes over what stands for header, payload and tag. `number`: another one for each datagram.
fn pass(keys: &[LessSafeKey; 2], number: u64, datagram: &mut [u8]) {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    let end = datagram.len().saturating_sub(TAG_BYTES);
    let (clear, rest) = datagram.split_at_mut(HEADER_BYTES.min(end));
    let body = &mut rest[..end.saturating_sub(HEADER_BYTES)];
    for key in keys {
        cover(key, nonce, clear, body);
    }
}

/// Covers `body` with a key's stream, or uncovers it. The tag is made and goes nowhere: there is nobody who would look at it.
fn cover(key: &LessSafeKey, nonce: [u8; 12], clear: &[u8], body: &mut [u8]) {
    let nonce = Nonce::assume_unique_for_key(nonce);
    let _ = key.seal_in_place_separate_tag(nonce, Aad::from(clear), body);
}

/// Where the datagrams of each leg go.
#[derive(Default)]
struct Ways {
    alone: HashMap<u32, SocketAddr>,
    /// By sender: where to, and which of the keys.
    partners: HashMap<SocketAddr, (SocketAddr, usize)>,
    /// None unless sealed.
    keys: Vec<[LessSafeKey; 2]>,
}

impl Ways {
    fn pair(&mut self, call: u32, from: SocketAddr, sealed: bool) {
        match self.alone.insert(call, from) {
            Some(other) if other != from => {
                for (from, to) in [(from, other), (other, from)] {
                    let fresh = self.keys.len();
                    let way = self.partners.entry(from).or_insert((to, fresh));
                    way.0 = to;
                    if sealed && way.1 == fresh {
                        self.keys.push(keys());
                    }
                }
            }
            Some(_) | None => {}
        }
    }
}

fn reflect(socket: &Socket, bell: &Bell, stop: &AtomicBool, manner: Manner) -> io::Result<()> {
    let pause = Pause::of_this_thread();
    let mut batch = Batch::new(BATCH_MAX);
    let mut ways = Ways::default();
    let mut targets: Vec<Option<(SocketAddr, usize, usize)>> = Vec::with_capacity(BATCH_MAX);
    let mut passed = 0;
    while !stop.load(Ordering::Relaxed) {
        if !wait(&[socket], bell, -1)? {
            continue;
        }
        let read_at = clock::now();
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
                ways.pair(u32::from_be_bytes(number), from, manner.sealed);
                targets.push(None);
            } else {
                let target = ways.partners.get(&from);
                targets.push(target.map(|(to, way)| (*to, *way, len)));
                // As a server does that knows its caches: all of a batch are asked for before the first is needed.
                if let Some(keys) = target.and_then(|(_, way)| ways.keys.get(*way)) {
                    udp::prefetch(std::ptr::from_ref(keys).cast(), std::mem::size_of_val(keys));
                }
            }
        }
        for (index, target) in targets.iter().enumerate() {
            if let Some((_, way, len)) = target
                && let Some(keys) = ways.keys.get(*way)
            {
                passed += 1;
                let datagram = &mut batch.slot_mut(index)[HEADROOM_BYTES..HEADROOM_BYTES + len];
                pass(keys, passed, datagram);
            }
        }
        batch.send(socket, count, |index, slots| {
            let (to, _, len) = targets[index]?;
            let bytes = &slots.slot(index)[HEADROOM_BYTES..HEADROOM_BYTES + len];
            Some(Outgoing { bytes, to })
        });
        if count < BATCH_MAX && !manner.gather.is_zero() {
            let left = manner.gather.saturating_sub(clock::now().duration_since(read_at));
            pause.wait(left.as_nanos() as u64);
        }
    }
    Ok(())
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
pub(crate) fn measure(pairs: u32, time: Duration, pace: Pace, manner: Manner) -> io::Result<Floor> {
    let reflector = Reflector::start(0, manner)?;
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

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn what_one_pass_covers_the_other_uncovers() {
        let said: Vec<u8> = (0..124).collect();
        let both = keys();
        for len in [124, 37, 36, 20, 1, 0] {
            let mut datagram = said[..len].to_vec();
            pass(&both, len as u64, &mut datagram);
            assert_eq!(datagram, said[..len]);
        }
        let [first, second] = &both;
        let mut body = said.clone();
        cover(first, [1; 12], &[], &mut body);
        assert_ne!(body, said);
        cover(second, [1; 12], &[], &mut body);
        assert_eq!(body, said);
    }

    #[test]
    fn both_ends_of_a_call_have_keys_of_their_own_and_keep_them_when_they_say_hello_again() {
        let [one, other, moved] = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        for (sealed, keys) in [(false, 0), (true, 2)] {
            let mut ways = Ways::default();
            for from in [one, other, one, other] {
                ways.pair(7, from, sealed);
            }
            assert_eq!((ways.partners[&one].0, ways.partners[&other].0), (other, one));
            assert_eq!((ways.partners.len(), ways.keys.len()), (2, keys));
            assert!(!sealed || ways.partners[&one].1 != ways.partners[&other].1);
            ways.pair(7, moved, sealed);
            assert_eq!(ways.partners[&moved].0, other);
        }
    }

    #[test]
    fn what_gathers_goes_on_all_the_same() {
        let manner = Manner {
            gather: Duration::from_millis(1),
            ..Manner::default()
        };
        let reflector = Reflector::start(0, manner).unwrap();
        let ends = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        for end in &ends {
            end.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            end.send_to(&hello(1), reflector.address()).unwrap();
        }
        let [speaker, listener] = &ends;
        for n in 0..100 {
            speaker.send_to(&[n; 40], reflector.address()).unwrap();
        }
        let mut heard = [0; 64];
        for n in 0..100 {
            assert_eq!(listener.recv(&mut heard).unwrap(), 40);
            assert_eq!(heard[..40], [n; 40]);
        }
    }
}
