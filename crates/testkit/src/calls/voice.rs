//! A scripted client with a socket and a thread of its own, in real time.

use std::collections::VecDeque;
use std::io;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use media_core::dtls::Certificate;

use crate::peer::{Numbers, Peer};

/// Milliseconds of one Opus frame, unless [`Voice::frames_of`] says otherwise.
const FRAME_MS: u32 = 20;
/// Samples of a millisecond.
const SAMPLES_PER_MS: u32 = 48;
/// Samples of one Opus frame.
const FRAME_SAMPLES: u32 = FRAME_MS * SAMPLES_PER_MS;
/// How far a voice with shorter frames catches up: a leg may say 200 packets a second, and as many at once.
const CATCH_UP: Duration = Duration::from_millis(300);
/// Longest wait for a datagram.
const TICK: Duration = Duration::from_millis(2);
const DATAGRAM_BYTES: usize = 1_600;
/// Level of the packets, -dBov.
const LEVEL: u8 = 30;

/// What is said: the payload of packet `n`, or `None` when there is nothing more.
pub type Source = Box<dyn FnMut(u64) -> Option<Vec<u8>> + Send>;

/// A packet that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// When.
    pub at: Instant,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// A packet that was heard.
#[derive(Clone, Debug)]
pub struct Heard {
    /// When.
    pub at: Instant,
    /// Its RTP sequence number.
    pub sequence: u16,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// Everything that was said and heard.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// In the order of sending.
    pub sent: Vec<Sent>,
    /// In the order of arrival.
    pub heard: Vec<Heard>,
}

/// A leg that talks and listens until it is stopped.
pub struct Voice {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Milliseconds of a frame; 0 for [`FRAME_MS`].
    frame_ms: AtomicU32,
    sent: AtomicU64,
    heard: AtomicU64,
    log: Mutex<Log>,
    /// Packets of keys that are to be pressed, and the samples that each takes.
    keys: Mutex<VecDeque<([u8; 4], u32)>>,
}

/// Packets of one press: three while the key is down, and its end three times (RFC 4733 §2.5.1.4).
pub const PRESS_PACKETS: usize = 6;

fn press(digit: u8) -> [([u8; 4], u32); PRESS_PACKETS] {
    std::array::from_fn(|n| {
        let end = if n < 3 { 0 } else { 0x80 };
        let [high, low] = (FRAME_SAMPLES as u16 * (n as u16 + 1).min(4)).to_be_bytes();
        let samples = if n + 1 == PRESS_PACKETS {
            FRAME_SAMPLES * PRESS_PACKETS as u32
        } else {
            0
        };
        ([digit, end, high, low], samples)
    })
}

/// Opus-sized packets that all differ, for a call whose sound nobody decodes: 20 ms of hybrid full band each.
#[must_use]
pub fn spurt(salt: u8) -> Source {
    const SIZES: [usize; 8] = [78, 84, 61, 90, 73, 102, 66, 81];
    Box::new(move |n| {
        let mut payload = vec![salt; SIZES[(n % 8) as usize]];
        // TOC: hybrid, full band, 20 ms, mono, one frame (RFC 6716 §3.1).
        payload[0] = 0x78;
        payload[1..9].copy_from_slice(&n.to_be_bytes());
        Some(payload)
    })
}

/// A client that has not offered yet, with numbers that `seed` decides.
///
/// # Errors
/// When no certificate can be made.
pub fn client(seed: u32) -> io::Result<Peer> {
    let certificate = Certificate::generate().map_err(|fault| io::Error::other(fault.to_string()))?;
    Ok(Peer::new(numbers(seed), certificate, spread(seed)))
}

/// Numbers of a client: payload types and extension ids differ between neighbours.
#[must_use]
pub fn numbers(seed: u32) -> Numbers {
    Numbers {
        opus: 96 + (seed % 24) as u8,
        level: 1 + (seed % 14) as u8,
        ssrc: 0x1000_0000 ^ seed.wrapping_mul(0x9E37_79B1),
        sequence: seed.wrapping_mul(40_503) as u16,
        timestamp: seed.wrapping_mul(0x85EB_CA6B),
    }
}

/// A number for a client's names that no other client of the process has.
#[must_use]
pub fn spread(seed: u32) -> u64 {
    (u64::from(seed) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Voice {
    /// Starts talking: `peer` has its answer already.
    ///
    /// # Errors
    /// When no socket or thread can be had.
    pub fn start(peer: Peer, source: Source) -> io::Result<Voice> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(TICK))?;
        let shared = Arc::new(Shared::default());
        let told = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("voice".to_owned())
            .spawn(move || talk(peer, source, &socket, &told))?;
        Ok(Voice {
            shared,
            thread: Some(thread),
        })
    }

    /// Packets sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Packets heard so far.
    #[must_use]
    pub fn heard(&self) -> u64 {
        self.shared.heard.load(Ordering::Relaxed)
    }

    /// What was said and heard until now.
    #[must_use]
    pub fn log(&self) -> Log {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Speaks in frames of so many milliseconds from now on: load, not sound.
    pub fn frames_of(&self, ms: u32) {
        self.shared.frame_ms.store(ms, Ordering::Relaxed);
    }

    /// Presses a key: 0 to 9, 10 for the star, 11 for the hash. Its packets take the place of the next ones of the voice; they
    /// are heard by a peer that offered with keys, and in no log of what was sent.
    pub fn press(&self, digit: u8) {
        let mut keys = self.shared.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.extend(press(digit));
    }

    /// Falls silent and gives everything that was said and heard.
    ///
    /// # Errors
    /// What ended the leg before its time.
    pub fn stop(mut self) -> io::Result<Log> {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| io::Error::other("the voice panicked"))??;
        }
        Ok(self.log())
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

#[expect(clippy::disallowed_methods, reason = "a client in real time: this is its edge")]
fn now() -> Instant {
    Instant::now()
}

fn talk(mut peer: Peer, mut source: Source, socket: &UdpSocket, shared: &Shared) -> io::Result<()> {
    let to = peer
        .destination()
        .ok_or_else(|| io::Error::other("the peer has no answer yet"))?;
    let mut due: Option<Instant> = None;
    let mut buffer = [0; DATAGRAM_BYTES];
    let mut next = 0;
    let mut silent = false;
    while !shared.stop.load(Ordering::Relaxed) {
        let at = now();
        peer.timeout(at).map_err(io::Error::other)?;
        while let Some(datagram) = peer.poll() {
            refused(socket.send_to(&datagram, to))?;
        }
        if peer.is_up() && !silent && due.is_none_or(|due| due <= at) {
            let frame_ms = shared.frame_ms();
            let from = due.unwrap_or(at);
            // Who is load says no more than its frames allow: what a stalled thread has missed is not said all at once.
            let from = if frame_ms < FRAME_MS {
                from.max(at.checked_sub(CATCH_UP).unwrap_or(at))
            } else {
                from
            };
            due = Some(from + Duration::from_millis(u64::from(frame_ms)));
            let key = shared.keys.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            if let Some((event, samples)) = key {
                if let Some(len) = peer.press(&mut buffer, event, samples) {
                    refused(socket.send_to(&buffer[..len], to))?;
                }
                continue;
            }
            match source(next) {
                Some(payload) => {
                    next += 1;
                    if let Some(len) = peer.speak(&mut buffer, &payload, frame_ms * SAMPLES_PER_MS, LEVEL, true) {
                        refused(socket.send_to(&buffer[..len], to))?;
                        shared.note(|log| log.sent.push(Sent { at, payload }));
                        shared.sent.fetch_add(1, Ordering::Relaxed);
                    }
                }
                None => silent = true,
            }
        }
        match socket.recv(&mut buffer) {
            Ok(len) => {
                let at = now();
                if let Some(heard) = peer.datagram(at, &mut buffer[..len]).map_err(io::Error::other)? {
                    let payload = buffer[heard.payload.0..heard.payload.1].to_vec();
                    let sequence = heard.header.sequence;
                    shared.note(|log| log.heard.push(Heard { at, sequence, payload }));
                    shared.heard.fetch_add(1, Ordering::Relaxed);
                }
            }
            Err(fault) => refused(Err(fault))?,
        }
    }
    Ok(())
}

impl Shared {
    fn frame_ms(&self) -> u32 {
        match self.frame_ms.load(Ordering::Relaxed) {
            0 => FRAME_MS,
            ms => ms,
        }
    }

    fn note(&self, write: impl FnOnce(&mut Log)) {
        write(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A server that is down or slow ends no client.
fn refused(result: io::Result<usize>) -> io::Result<()> {
    use io::ErrorKind::{ConnectionRefused, Interrupted, TimedOut, WouldBlock};
    match result {
        Err(fault) if !matches!(fault.kind(), ConnectionRefused | Interrupted | TimedOut | WouldBlock) => Err(fault),
        Ok(_) | Err(_) => Ok(()),
    }
}
