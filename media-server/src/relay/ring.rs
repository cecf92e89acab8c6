//! A ring from a relay worker to a shard: frames of any length, one writer, one reader, memory made once.
//!
//! Neither side ever waits: a full ring refuses the frame and counts it. The words are atomic, so the ring needs no
//! unsafe code, as that of the tap; a frame may go over the end of the memory, for it is copied out word by word into a
//! slot buffer, where it is opened and sealed in place.
//!
//! ```text
//! length 16 | family 8 | via 8 | peer 8 | worker 16    slot 32 | generation 32    leg 64 × 2    written at 64
//! port 16 | IPv4 address 32    IPv6 address 64 × 2     payload, the last word filled up with zeros
//! ```
//!
//! Invariant: a word is written only between being freed by the reader's `head` and being published by the writer's
//! `tail`.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use media_core::LegId;
use media_core::limits::DATAGRAM_BYTES_MAX;
use media_core::origin::{Path, Relayed, Via};
use ports::{Accepted, FromRelay, RelaySink};

use super::Doorbell;
use crate::clock::Clock;
use crate::convert;

/// Bytes of one ring: about 1,100 voice packets, 20 ms of 50,000 a second. More: a shard that stood still works on sound
/// that nobody waits for any more. Less: a burst of many clients is cut.
pub(crate) const RING_BYTES: usize = 256 * 1024;
/// Words before the payload, with an IPv4 address.
const HEAD_WORDS: usize = 6;
/// Further ones of an IPv6 address.
const V6_WORDS: usize = 2;

/// A counter that shares its cache line with nothing that the other side writes.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Alone(AtomicU64);

struct Shared {
    words: Box<[AtomicU64]>,
    /// Words freed so far.
    head: Alone,
    /// Words published so far.
    tail: Alone,
    /// Frames refused so far.
    refused: Alone,
}

impl Shared {
    /// The word with the running number `number`.
    #[inline]
    fn word(&self, number: u64) -> &AtomicU64 {
        &self.words[number as usize & (self.words.len() - 1)]
    }
}

/// The worker's end.
pub(crate) struct Sink {
    shared: Arc<Shared>,
    tail: u64,
    /// The reader's place as last seen.
    head_seen: u64,
    doorbell: Doorbell,
    clock: Clock,
    /// When the first frame since the last flush was written, nanoseconds.
    batch_at: Option<u64>,
}

/// The shard's end.
pub(crate) struct Reader {
    shared: Arc<Shared>,
    head: u64,
    /// The writer's place as last seen.
    tail_seen: u64,
}

/// A frame that was copied out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Whose it is and where it came from.
    pub(crate) from: Relayed,
    /// Bytes of the payload.
    pub(crate) len: usize,
    /// When the batch that it belongs to began to be written, nanoseconds.
    pub(crate) written_at: u64,
}

/// A fresh ring of at least `bytes` bytes.
pub(crate) fn ring(bytes: usize, doorbell: Doorbell, clock: Clock) -> (Sink, Reader) {
    let words = bytes.div_ceil(8).max(longest()).next_power_of_two();
    // Zeros that the compiler cannot foresee: pages that the kernel gave on credit would be paid for by a packet.
    let words = (0..words).map(|_| AtomicU64::new(black_box(0))).collect();
    let shared = Arc::new(Shared {
        words,
        head: Alone::default(),
        tail: Alone::default(),
        refused: Alone::default(),
    });
    let reader = Reader {
        shared: Arc::clone(&shared),
        head: 0,
        tail_seen: 0,
    };
    let sink = Sink {
        shared,
        tail: 0,
        head_seen: 0,
        doorbell,
        clock,
        batch_at: None,
    };
    (sink, reader)
}

/// Words of the longest frame.
const fn longest() -> usize {
    HEAD_WORDS + V6_WORDS + DATAGRAM_BYTES_MAX.div_ceil(8)
}

impl Sink {
    /// Copies a frame in; false if there is no room.
    fn put(&mut self, packet: &FromRelay<'_>, written_at: u64) -> bool {
        let payload = packet.payload;
        if payload.is_empty() || payload.len() > DATAGRAM_BYTES_MAX {
            return false;
        }
        let v6 = packet.relayed.is_ipv6();
        let need = (HEAD_WORDS + usize::from(v6) * V6_WORDS + payload.len().div_ceil(8)) as u64;
        let capacity = self.shared.words.len() as u64;
        if self.tail + need - self.head_seen > capacity {
            self.head_seen = self.shared.head.0.load(Ordering::Acquire);
            if self.tail + need - self.head_seen > capacity {
                return false;
            }
        }
        let mut at = self.tail;
        let mut push = |word: u64| {
            self.shared.word(at).store(word, Ordering::Relaxed);
            at += 1;
        };
        let path = convert::path(packet.path);
        push(facts(payload.len(), v6, path));
        push(u64::from(path.allocation[0]) << 32 | u64::from(path.allocation[1]));
        push((packet.leg.0 >> 64) as u64);
        push(packet.leg.0 as u64);
        push(written_at);
        let port = u64::from(packet.relayed.port()) << 32;
        match packet.relayed.ip() {
            IpAddr::V4(ip) => push(port | u64::from(ip.to_bits())),
            IpAddr::V6(ip) => {
                push(port);
                push((ip.to_bits() >> 64) as u64);
                push(ip.to_bits() as u64);
            }
        }
        let mut chunks = payload.chunks_exact(8);
        for chunk in chunks.by_ref() {
            let mut value = [0; 8];
            value.copy_from_slice(chunk);
            push(u64::from_le_bytes(value));
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            let mut value = [0; 8];
            value[..rest.len()].copy_from_slice(rest);
            push(u64::from_le_bytes(value));
        }
        self.tail += need;
        self.shared.tail.0.store(self.tail, Ordering::Release);
        true
    }
}

impl RelaySink for Sink {
    fn deliver(&mut self, packet: FromRelay<'_>) -> Accepted {
        let clock = self.clock;
        let written_at = *self.batch_at.get_or_insert_with(|| clock.now_ns());
        if self.put(&packet, written_at) {
            Accepted::Taken
        } else {
            self.shared.refused.0.fetch_add(1, Ordering::Relaxed);
            Accepted::Full
        }
    }

    fn flush(&mut self) {
        if self.batch_at.take().is_some() {
            self.doorbell.wake();
        }
    }
}

impl Reader {
    /// Copies the next frame's payload to the front of `body` and says whose it is; `None` when there is none, or when
    /// `body` is shorter than it, which then is lost.
    pub(crate) fn take(&mut self, body: &mut [u8]) -> Option<Frame> {
        if self.head == self.tail_seen {
            self.tail_seen = self.shared.tail.0.load(Ordering::Acquire);
            if self.head == self.tail_seen {
                return None;
            }
        }
        let mut at = self.head;
        let mut pull = || {
            let word = self.shared.word(at).load(Ordering::Relaxed);
            at += 1;
            word
        };
        let facts = pull();
        let allocation = pull();
        let leg = u128::from(pull()) << 64 | u128::from(pull());
        let written_at = pull();
        let place = pull();
        let ip: IpAddr = if facts >> 16 & 0xFF == 6 {
            Ipv6Addr::from_bits(u128::from(pull()) << 64 | u128::from(pull())).into()
        } else {
            Ipv4Addr::from_bits(place as u32).into()
        };
        let len = usize::from(facts as u16);
        let whole = body.get_mut(..len);
        let fits = whole.is_some();
        for chunk in whole.unwrap_or_default().chunks_mut(8) {
            let value = pull().to_le_bytes();
            chunk.copy_from_slice(&value[..chunk.len()]);
        }
        self.head = if fits { at } else { at + len.div_ceil(8) as u64 };
        let path = Path {
            allocation: [(allocation >> 32) as u32, allocation as u32],
            end: (facts >> 32) as u32,
            via: match facts >> 24 & 0xFF {
                0 => Via::Udp,
                1 => Via::Tcp,
                _ => Via::Tls,
            },
        };
        let from = Relayed {
            path,
            address: SocketAddr::new(ip, (place >> 32) as u16),
            leg: LegId(leg),
        };
        fits.then_some(Frame { from, len, written_at })
    }

    /// The room of what was taken may be used again.
    pub(crate) fn free(&mut self) {
        self.shared.head.0.store(self.head, Ordering::Release);
    }

    /// True when nothing waits; sees whatever was published before.
    pub(crate) fn is_empty(&self) -> bool {
        self.head == self.shared.tail.0.load(Ordering::Acquire)
    }

    /// Frames refused so far.
    pub(crate) fn refused(&self) -> u64 {
        self.shared.refused.0.load(Ordering::Relaxed)
    }
}

/// The first word of a frame.
const fn facts(len: usize, v6: bool, path: Path) -> u64 {
    let via = match path.via {
        Via::Udp => 0,
        Via::Tcp => 1,
        Via::Tls => 2,
    };
    let family = if v6 { 6 } else { 4 };
    (path.end as u64) << 32 | via << 24 | family << 16 | len as u64
}
