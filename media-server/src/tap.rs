//! The tap ring: decrypted packets on their way from a shard's thread to the recorder's.
//!
//! One producer, one consumer, 256-byte cells, made once. Neither side ever waits: a full ring refuses the packet and
//! the shard counts it. The words are atomic, so the ring needs no unsafe code; on the machines we run on a relaxed
//! store is a plain one.
//!
//! Invariant: a cell is written only between being freed by the consumer's `head` and being published by the
//! producer's `tail`.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use media_core::TapId;
use media_core::limits::DATAGRAM_BYTES_MAX;
use media_core::tap::{Flags, Record, TapSink};

/// Cells of one ring: 16 MiB, 0.65 s of 100,000 packets per second. Longer stalls are the recorder's buffer.
pub const CELLS: usize = 65_536;
/// 64-bit words of a cell: 256 bytes hold the head and any voice packet of up to 232 bytes.
const CELL_WORDS: usize = 32;
/// Words of the head in the first cell of a packet.
const HEAD_WORDS: usize = 3;
/// Packet bytes in the first cell.
const FIRST_BYTES: usize = (CELL_WORDS - HEAD_WORDS) * 8;
/// Packet bytes in a following cell.
const CELL_BYTES: usize = CELL_WORDS * 8;
/// How many cells ahead of its turn one is fetched: the ring is more than the caches hold, and a cell was last touched when it
/// came round before. Higher: what was fetched may be put out again. Lower: it has not come when it is needed.
const AHEAD: u64 = 4;
/// Packets that are freed together. Higher: a full ring stays full for longer. Lower: the shard's thread and the recorder's
/// take the line with `head` from one another more often.
const FREED_TOGETHER: usize = 32;

/// One packet as the recorder sees it.
#[derive(Clone, Copy, Debug)]
pub struct TapRecord<'a> {
    /// Nanoseconds of the node's clock at ingress.
    pub arrival_ns: u64,
    /// The leg's number in tap records.
    pub leg: u32,
    /// SRTP index.
    pub ext_seq: u32,
    /// Marks.
    pub flags: Flags,
    /// 0 silence to 127 full scale; 255 unknown.
    pub level: u8,
    /// The decrypted RTP packet, header included.
    pub packet: &'a [u8],
}

/// A number in cache lines of its own: one side writes it all the time, and the other would wait for whatever stood beside it.
#[repr(align(128))]
struct Alone(AtomicU64);

struct Shared {
    words: Box<[AtomicU64]>,
    /// Cells freed so far.
    head: Alone,
    /// Cells published so far.
    tail: Alone,
}

/// The shard's end.
pub struct Producer {
    shared: Arc<Shared>,
    tail: u64,
    /// The consumer's place as last seen.
    head_seen: u64,
}

/// The recorder's end.
pub struct Consumer {
    shared: Arc<Shared>,
    head: u64,
    scratch: Box<[u8; DATAGRAM_BYTES_MAX]>,
}

/// A fresh ring of `cells` cells, rounded up to a power of two.
#[must_use]
pub fn ring(cells: usize) -> (Producer, Consumer) {
    let cells = cells.max(16).next_power_of_two();
    // Zeros that the compiler cannot foresee: pages that the kernel gave on credit would be paid for by a packet.
    let words = (0..cells * CELL_WORDS).map(|_| AtomicU64::new(black_box(0))).collect();
    let shared = Arc::new(Shared {
        words,
        head: Alone(AtomicU64::new(0)),
        tail: Alone(AtomicU64::new(0)),
    });
    let consumer = Consumer {
        shared: Arc::clone(&shared),
        head: 0,
        scratch: Box::new([0; DATAGRAM_BYTES_MAX]),
    };
    (
        Producer {
            shared,
            tail: 0,
            head_seen: 0,
        },
        consumer,
    )
}

impl Shared {
    fn cells(&self) -> u64 {
        (self.words.len() / CELL_WORDS) as u64
    }

    /// The words of the cell with running number `number`.
    #[inline]
    fn cell(&self, number: u64) -> &[AtomicU64] {
        let index = (number & (self.cells() - 1)) as usize * CELL_WORDS;
        &self.words[index..index + CELL_WORDS]
    }

    /// Asks for as much of a cell as a packet of `len` bytes takes in it.
    #[inline]
    fn fetch(&self, number: u64, len: usize) {
        let bytes = (HEAD_WORDS * 8 + len).min(CELL_BYTES);
        udp::prefetch(self.cell(number).as_ptr().cast(), bytes);
    }
}

/// Cells that a packet of `len` bytes takes.
const fn cells_for(len: usize) -> u64 {
    1 + len.saturating_sub(FIRST_BYTES).div_ceil(CELL_BYTES) as u64
}

#[inline]
fn store(words: &[AtomicU64], bytes: &[u8]) {
    let mut chunks = bytes.chunks_exact(8);
    let mut words = words.iter();
    for (chunk, word) in chunks.by_ref().zip(words.by_ref()) {
        let mut value = [0; 8];
        value.copy_from_slice(chunk);
        word.store(u64::from_le_bytes(value), Ordering::Relaxed);
    }
    let rest = chunks.remainder();
    if let (false, Some(word)) = (rest.is_empty(), words.next()) {
        // The last eight bytes less those that are stored already; a copy of an odd length would be a call.
        let value = match bytes.last_chunk() {
            Some(last) => u64::from_le_bytes(*last) >> (8 * (8 - rest.len())),
            None => rest.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)),
        };
        word.store(value, Ordering::Relaxed);
    }
}

#[inline]
fn load(words: &[AtomicU64], bytes: &mut [u8]) {
    for (chunk, word) in bytes.chunks_mut(8).zip(words) {
        let value = word.load(Ordering::Relaxed).to_le_bytes();
        chunk.copy_from_slice(&value[..chunk.len()]);
    }
}

impl TapSink for Producer {
    #[inline]
    fn push(&mut self, record: Record<'_>) -> bool {
        let packet = record.packet;
        if packet.len() > DATAGRAM_BYTES_MAX {
            return false;
        }
        let need = cells_for(packet.len());
        if self.tail + need - self.head_seen > self.shared.cells() {
            self.head_seen = self.shared.head.0.load(Ordering::Acquire);
            if self.tail + need - self.head_seen > self.shared.cells() {
                return false;
            }
        }
        let first = self.shared.cell(self.tail);
        first[0].store(record.arrival_ns, Ordering::Relaxed);
        first[1].store(
            u64::from(record.leg.0) << 32 | u64::from(record.ext_seq),
            Ordering::Relaxed,
        );
        let facts = u64::from(record.level) << 32 | u64::from(record.flags.0) << 16 | packet.len() as u64;
        first[2].store(facts, Ordering::Relaxed);
        let (head, rest) = packet.split_at(packet.len().min(FIRST_BYTES));
        store(&first[HEAD_WORDS..], head);
        for (n, bytes) in rest.chunks(CELL_BYTES).enumerate() {
            store(self.shared.cell(self.tail + 1 + n as u64), bytes);
        }
        self.tail += need;
        self.shared.tail.0.store(self.tail, Ordering::Release);
        // Packets of a call are much of a size.
        self.shared.fetch(self.tail + AHEAD, packet.len());
        true
    }
}

impl Consumer {
    /// Hands every published packet to `f` and frees its cells; returns how many packets.
    pub fn drain(&mut self, mut f: impl FnMut(TapRecord<'_>)) -> usize {
        let tail = self.shared.tail.0.load(Ordering::Acquire);
        let mut count = 0;
        while self.head < tail {
            let first = self.shared.cell(self.head);
            let arrival_ns = first[0].load(Ordering::Relaxed);
            let place = first[1].load(Ordering::Relaxed);
            let facts = first[2].load(Ordering::Relaxed);
            let len = usize::from(facts as u16).min(DATAGRAM_BYTES_MAX);
            let need = cells_for(len);
            let (packet, _) = self.scratch.split_at_mut(len);
            let (head, rest) = packet.split_at_mut(len.min(FIRST_BYTES));
            load(&first[HEAD_WORDS..], head);
            for (n, bytes) in rest.chunks_mut(CELL_BYTES).enumerate() {
                load(self.shared.cell(self.head + 1 + n as u64), bytes);
            }
            f(TapRecord {
                arrival_ns,
                leg: (place >> 32) as u32,
                ext_seq: place as u32,
                flags: Flags((facts >> 16) as u16),
                level: (facts >> 32) as u8,
                packet,
            });
            self.shared.fetch(self.head + need + AHEAD, len);
            self.head += need;
            count += 1;
            if count % FREED_TOGETHER == 0 {
                self.shared.head.0.store(self.head, Ordering::Release);
            }
        }
        self.shared.head.0.store(self.head, Ordering::Release);
        count
    }

    /// Cells in use, for the gauge.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.shared.tail.0.load(Ordering::Relaxed).saturating_sub(self.head)
    }
}

/// The number by which the shard's thread knows a leg.
#[must_use]
pub const fn tap_id(number: u32) -> TapId {
    TapId(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(seq: u32, packet: &[u8]) -> Record<'_> {
        Record {
            arrival_ns: u64::from(seq) * 7,
            leg: TapId(9),
            ext_seq: seq,
            flags: Flags::DTX,
            level: 77,
            packet,
        }
    }

    #[test]
    fn packets_of_every_length_come_out_as_they_went_in() {
        let (mut producer, mut consumer) = ring(64);
        for len in 0..=DATAGRAM_BYTES_MAX {
            let packet: Vec<u8> = (0..len).map(|n| (n * 31 + len) as u8).collect();
            assert!(producer.push(record(len as u32, &packet)));
            let mut seen = 0;
            consumer.drain(|got| {
                assert_eq!(
                    (got.packet, got.ext_seq, got.arrival_ns),
                    (&packet[..], len as u32, len as u64 * 7)
                );
                assert_eq!((got.leg, got.flags, got.level), (9, Flags::DTX, 77));
                seen += 1;
            });
            assert_eq!(seen, 1);
        }
    }

    #[test]
    fn a_full_ring_refuses_and_takes_again_once_drained() {
        let (mut producer, mut consumer) = ring(16);
        let packet = [1; FIRST_BYTES];
        for n in 0..16 {
            assert!(producer.push(record(n, &packet)));
        }
        assert!(!producer.push(record(16, &packet)));
        assert_eq!(consumer.drain(|_| ()), 16);
        assert!(producer.push(record(17, &packet)));
        let two_cells = [2; FIRST_BYTES + 1];
        for n in 0..7 {
            assert!(producer.push(record(n, &two_cells)));
        }
        assert!(
            !producer.push(record(9, &two_cells)),
            "one cell is left, two are needed"
        );
        assert!(producer.push(record(9, &packet)));
    }

    #[test]
    fn a_packet_longer_than_a_datagram_is_refused() {
        let (mut producer, _consumer) = ring(64);
        assert!(!producer.push(record(1, &[0; DATAGRAM_BYTES_MAX + 1])));
    }

    #[test]
    fn two_threads_lose_and_tear_nothing() {
        const PACKETS: u32 = 200_000;
        let (mut producer, mut consumer) = ring(256);
        let writer = std::thread::spawn(move || {
            let mut packet = [0u8; 300];
            for seq in 0..PACKETS {
                packet[..4].copy_from_slice(&seq.to_le_bytes());
                packet[296..].copy_from_slice(&seq.to_le_bytes());
                while !producer.push(record(seq, &packet)) {
                    std::thread::yield_now();
                }
            }
        });
        let mut next = 0;
        while next < PACKETS {
            consumer.drain(|got| {
                assert_eq!(got.ext_seq, next);
                assert_eq!(got.packet[..4], next.to_le_bytes());
                assert_eq!(got.packet[296..], next.to_le_bytes());
                next += 1;
            });
            std::thread::yield_now();
        }
        writer.join().expect("the writer ends");
    }
}
