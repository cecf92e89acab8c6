//! The way from a shard to a relay worker: a ring of frames with one writer and one reader, on two threads.
//!
//! A frame has free bytes in front and behind, so that the worker wraps it as ChannelData or Data indication where it
//! lies and sends it from there: one copy in all. Neither side waits, locks or allocates. A full ring drops the newest:
//! it holds 20 ms of a busy worker, and who has fallen behind by that much must catch up.
//!
//! Invariant: a frame lies in one piece, and the reader sees it whole or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ports::{Accepted, RelayEgress, RelayPath, Via};
use rtrb::{Consumer, Producer, RingBuffer};
/// Wakes a worker that waits. One per worker, shared by the writers of all its rings and by its mailbox.
pub(crate) use udp::Doorbell;

use crate::clock::Clock;
pub(crate) use crate::core::{FRONT_BYTES, TAIL_BYTES};

/// Bytes of one ring: about 1,000 voice packets, which are 20 ms at 50,000 a second.
/// More: a stalled worker plays old sound. Less: a burst of a full shard is cut.
pub(crate) const RING_BYTES: usize = 256 * 1024;
/// Largest payload: [`RelayEgress::transmit`] takes no more.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 1_600;

/// Bytes of what stands before a frame: length 2, kind 2, worker 2, peer 1, via 1, slot 4, generation 4, time 8.
const HEAD_BYTES: usize = 24;
/// Frames begin at multiples of this, so that the mark at the end of a round always has room.
const ALIGN_BYTES: usize = 8;
/// Kind of a frame.
const FRAME: u8 = 0;
/// Kind of what fills the rest of a round when the next frame does not fit into it.
const SKIP: u8 = 1;

/// A ring of [`RING_BYTES`]: the shard's end and the worker's end.
pub(crate) fn ring(doorbell: Doorbell, clock: Clock) -> (Egress, Reader) {
    let (producer, consumer) = RingBuffer::new(RING_BYTES);
    let full = Arc::new(AtomicU64::new(0));
    let writer = Egress {
        producer,
        at: 0,
        waiting: None,
        doorbell,
        clock,
        full: Arc::clone(&full),
    };
    (writer, Reader { consumer, full })
}

/// The shard's end.
pub(crate) struct Egress {
    producer: Producer<u8>,
    /// Where in the ring the next byte goes.
    at: usize,
    /// When the first frame since the last flush was written, nanoseconds; `None` when there is none.
    waiting: Option<u64>,
    doorbell: Doorbell,
    clock: Clock,
    full: Arc<AtomicU64>,
}

impl Egress {
    /// Writes `bytes` bytes in one piece; false when there is no room.
    fn write(&mut self, bytes: usize, fill: impl FnOnce(&mut [u8])) -> bool {
        let Ok(mut chunk) = self.producer.write_chunk(bytes) else {
            return false;
        };
        // In one piece: the caller has made sure that the round does not end within.
        fill(chunk.as_mut_slices().0);
        chunk.commit_all();
        self.at = (self.at + bytes) % RING_BYTES;
        true
    }

    fn put(&mut self, path: RelayPath, payload: &[u8], now_ns: u64) -> bool {
        let bytes = (HEAD_BYTES + FRONT_BYTES + payload.len() + TAIL_BYTES).next_multiple_of(ALIGN_BYTES);
        let rest = RING_BYTES - self.at;
        if bytes > rest {
            // Both or neither: a mark alone would move the next try to the front for nothing.
            if self.producer.slots() < rest + bytes {
                return false;
            }
            self.write(rest, |to| {
                if let Some(kind) = to.get_mut(2) {
                    *kind = SKIP;
                }
            });
        }
        self.write(bytes, |to| {
            let (head, frame) = to.split_at_mut(HEAD_BYTES);
            write_head(head, path, payload.len(), now_ns);
            frame[FRONT_BYTES..FRONT_BYTES + payload.len()].copy_from_slice(payload);
        })
    }
}

fn write_head(head: &mut [u8], path: RelayPath, len: usize, now_ns: u64) {
    let via = Via::ALL.iter().position(|via| *via == path.via).unwrap_or(0) as u8;
    head[0..2].copy_from_slice(&(len as u16).to_ne_bytes());
    head[2] = FRAME;
    head[4..6].copy_from_slice(&path.worker.to_ne_bytes());
    head[6] = path.peer;
    head[7] = via;
    head[8..12].copy_from_slice(&path.slot.to_ne_bytes());
    head[12..16].copy_from_slice(&path.generation.to_ne_bytes());
    head[16..24].copy_from_slice(&now_ns.to_ne_bytes());
}

impl RelayEgress for Egress {
    fn transmit(&mut self, path: RelayPath, payload: &[u8]) -> Accepted {
        if self.producer.is_abandoned() || payload.is_empty() || payload.len() > PAYLOAD_BYTES_MAX {
            return Accepted::Gone;
        }
        // One look at the clock per batch: the frames of a batch are written within microseconds.
        let now_ns = *self.waiting.get_or_insert_with(|| self.clock.now_ns());
        if self.put(path, payload, now_ns) {
            return Accepted::Taken;
        }
        self.full.fetch_add(1, Ordering::Relaxed);
        Accepted::Full
    }

    fn flush(&mut self) {
        if self.waiting.take().is_some() {
            self.doorbell.wake();
        }
    }
}

/// One frame: where it lies in the bytes it was found in, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Which way it goes.
    pub(crate) path: RelayPath,
    /// Where the [`FRONT_BYTES`] before the payload begin.
    pub(crate) start: usize,
    /// Bytes of the payload.
    pub(crate) len: usize,
    /// When it was written, nanoseconds.
    pub(crate) written_ns: u64,
}

impl Frame {
    /// The whole frame, free bytes included.
    pub(crate) fn range(&self) -> std::ops::Range<usize> {
        self.start..self.start + FRONT_BYTES + self.len + TAIL_BYTES
    }
}

/// The worker's end.
pub(crate) struct Reader {
    consumer: Consumer<u8>,
    full: Arc<AtomicU64>,
}

impl Reader {
    /// Frames that were dropped because the ring was full, since the start.
    pub(crate) fn full(&self) -> u64 {
        self.full.load(Ordering::Relaxed)
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.consumer.is_empty()
    }

    /// Hands over what waits, in one piece: whole frames, to be walked with [`next`]. `work` returns how many bytes it
    /// has walked; the rest comes again. Returns whether there was anything.
    pub(crate) fn take(&mut self, work: impl FnOnce(&mut [u8]) -> usize) -> bool {
        let waiting = self.consumer.slots();
        if waiting == 0 {
            return false;
        }
        let Ok(mut chunk) = self.consumer.read_chunk(waiting) else {
            return false;
        };
        // Frames never lie across the end of the ring, so the first piece ends with one; the second comes next time.
        let walked = work(chunk.as_mut_slices().0);
        chunk.commit(walked.min(waiting));
        true
    }
}

/// The next frame of what [`Reader::take`] gave, from `at` on, which is moved behind it.
pub(crate) fn next(bytes: &[u8], at: &mut usize) -> Option<Frame> {
    let head = bytes.get(*at..)?;
    if head.get(2) == Some(&SKIP) {
        *at = bytes.len();
        return None;
    }
    let head = head.get(..HEAD_BYTES)?;
    let two = |from: usize| u16::from_ne_bytes([head[from], head[from + 1]]);
    let four = |from: usize| u32::from_ne_bytes([head[from], head[from + 1], head[from + 2], head[from + 3]]);
    let len = usize::from(two(0));
    let mut stamp = [0; 8];
    stamp.copy_from_slice(&head[16..24]);
    let frame = Frame {
        path: RelayPath {
            worker: two(4),
            slot: four(8),
            generation: four(12),
            peer: head[6],
            via: *Via::ALL.get(usize::from(head[7]))?,
        },
        start: *at + HEAD_BYTES,
        len,
        written_ns: u64::from_ne_bytes(stamp),
    };
    *at = (frame.range().end).next_multiple_of(ALIGN_BYTES);
    Some(frame)
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
