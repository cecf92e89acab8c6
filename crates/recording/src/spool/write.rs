//! Encodes segment headers and blocks into a buffer of the caller.
//!
//! Never writes half a block: what is refused leaves the buffer as it was.
//!
//! Invariant: whatever is written here, [`super::Reader`] reads back equal.

use super::varint::{put, zigzag};
use super::{
    BLOCK_MAGIC, BLOCK_SPAN_NS_MAX, BODY_BYTES_MAX, End, Event, LEGS_MAX, NODE_BYTES_MAX, PAYLOAD_BYTES_MAX, PacketRef,
    REASON_BYTES_MAX, ROWS_MAX, SEGMENT_MAGIC, SEGMENT_VERSION, Start, TYPE_AUDIO, TYPE_END, TYPE_EVENT, TYPE_QUALITY,
    TYPE_START, Tag, VERSION_PLAIN,
};
use crate::quality_track::Row;

/// What stands at the head of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Name of the node, at most [`NODE_BYTES_MAX`] bytes.
    pub node: String,
    /// The node's epoch: one process start.
    pub node_epoch: u64,
    /// Which log of the node.
    pub shard: u16,
    /// Unix time in nanoseconds at monotonic 0.
    pub wall_ns_at_zero: u64,
}

/// Why something was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteFault {
    /// The node's name is longer than [`NODE_BYTES_MAX`].
    #[error("the node's name is longer than {NODE_BYTES_MAX} bytes")]
    NodeTooLong,
    /// The reason is longer than [`REASON_BYTES_MAX`].
    #[error("the reason is longer than {REASON_BYTES_MAX} bytes")]
    ReasonTooLong,
    /// More legs than [`LEGS_MAX`].
    #[error("more than {LEGS_MAX} legs")]
    TooManyLegs,
    /// More rows than [`ROWS_MAX`].
    #[error("more than {ROWS_MAX} rows")]
    TooManyRows,
}

impl SegmentHeader {
    /// Appends the header.
    ///
    /// # Errors
    /// `NodeTooLong`.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), WriteFault> {
        if self.node.len() > NODE_BYTES_MAX {
            return Err(WriteFault::NodeTooLong);
        }
        let from = out.len();
        out.extend_from_slice(&SEGMENT_MAGIC);
        out.extend_from_slice(&SEGMENT_VERSION.to_le_bytes());
        out.extend_from_slice(&self.shard.to_le_bytes());
        out.extend_from_slice(&self.node_epoch.to_le_bytes());
        out.extend_from_slice(&self.wall_ns_at_zero.to_le_bytes());
        out.push(self.node.len() as u8);
        out.extend_from_slice(&[0; 3]);
        let mut node = [0; NODE_BYTES_MAX];
        node[..self.node.len()].copy_from_slice(self.node.as_bytes());
        out.extend_from_slice(&node);
        let sum = crc32c::crc32c(&out[from..]);
        out.extend_from_slice(&sum.to_le_bytes());
        Ok(())
    }
}

/// Appends one block around what `fill` writes.
fn block(out: &mut Vec<u8>, tag: Tag, kind: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    let from = out.len();
    out.extend_from_slice(&BLOCK_MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[kind, VERSION_PLAIN, tag.part.code(), 0]);
    out.extend_from_slice(&tag.counter.to_le_bytes());
    out.extend_from_slice(&tag.call.to_le_bytes());
    out.extend_from_slice(&tag.leg.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    let body = out.len();
    fill(out);
    let len = (out.len() - body) as u32;
    out[from + 4..from + 8].copy_from_slice(&len.to_le_bytes());
    let head_sum = crc32c::crc32c(&out[from..body - 4]);
    out[body - 4..body].copy_from_slice(&head_sum.to_le_bytes());
    let body_sum = crc32c::crc32c(&out[body..]);
    out.extend_from_slice(&body_sum.to_le_bytes());
}

/// Appends a START block.
///
/// # Errors
/// `TooManyLegs`.
pub fn start(out: &mut Vec<u8>, tag: Tag, start: &Start) -> Result<(), WriteFault> {
    if start.legs.len() > LEGS_MAX {
        return Err(WriteFault::TooManyLegs);
    }
    block(out, tag, TYPE_START, |out| {
        out.extend_from_slice(&start.recording.unwrap_or(0).to_le_bytes());
        out.push(u8::from(start.required));
        out.push(u8::from(start.customer_left));
        out.extend_from_slice(&start.start_ns.to_le_bytes());
        out.extend_from_slice(&(start.legs.len() as u16).to_le_bytes());
        for (leg, part) in &start.legs {
            out.extend_from_slice(&leg.to_le_bytes());
            out.push(part.code());
        }
    });
    Ok(())
}

/// Appends an EVENT block; the leg stands in the tag.
pub fn event(out: &mut Vec<u8>, tag: Tag, event: &Event) {
    let tag = Tag {
        leg: event.leg,
        part: event.part,
        ..tag
    };
    block(out, tag, TYPE_EVENT, |out| {
        out.extend_from_slice(&event.at_ns.to_le_bytes());
        out.push(event.kind.code());
        out.extend_from_slice(&event.value.to_le_bytes());
        if let Some(by) = &event.by {
            let reason = by.reason().unwrap_or_default();
            out.push(by.role().len() as u8);
            out.extend_from_slice(by.role().as_bytes());
            out.extend_from_slice(&(reason.len() as u16).to_le_bytes());
            out.extend_from_slice(reason.as_bytes());
        }
    });
}

/// Appends a QUALITY block: consecutive seconds of one direction of the tag's leg, the first ending at
/// `first_second_ns`.
///
/// # Errors
/// `TooManyRows`.
pub fn quality(
    out: &mut Vec<u8>,
    tag: Tag,
    uplink: bool,
    first_second_ns: u64,
    rows: &[Row],
) -> Result<(), WriteFault> {
    if rows.len() > ROWS_MAX {
        return Err(WriteFault::TooManyRows);
    }
    block(out, tag, TYPE_QUALITY, |out| {
        out.push(u8::from(uplink));
        out.extend_from_slice(&(rows.len() as u16).to_le_bytes());
        out.extend_from_slice(&first_second_ns.to_le_bytes());
        for row in rows {
            out.extend_from_slice(&row.encode());
        }
    });
    Ok(())
}

/// Appends an END block.
///
/// # Errors
/// `ReasonTooLong`.
pub fn end(out: &mut Vec<u8>, tag: Tag, end: &End) -> Result<(), WriteFault> {
    if end.reason.len() > REASON_BYTES_MAX {
        return Err(WriteFault::ReasonTooLong);
    }
    block(out, tag, TYPE_END, |out| {
        out.extend_from_slice(&end.at_ns.to_le_bytes());
        out.push(end.reason.len() as u8);
        out.extend_from_slice(end.reason.as_bytes());
    });
    Ok(())
}

/// Why a packet did not enter a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushFault {
    /// The block is full or its second is over: finish it, then push again.
    #[error("the block is full")]
    Full,
    /// The payload is longer than [`PAYLOAD_BYTES_MAX`]: no block takes it.
    #[error("the payload is longer than {PAYLOAD_BYTES_MAX} bytes")]
    TooLong,
}

/// The AUDIO block of one leg while it grows. Its memory is kept from block to block.
#[derive(Clone, Debug, Default)]
pub struct AudioBlock {
    entries: Vec<u8>,
    packets: u16,
    first: (u32, u32, u64),
    last: (u32, u32, u64),
}

/// Bytes of an AUDIO body before its entries.
const AUDIO_HEAD_BYTES: usize = 18;
/// Most bytes of an entry beside its payload: flags, level, two varints of 5, one of 10, a length of 2.
const ENTRY_BYTES_MAX: usize = 24;

impl AudioBlock {
    /// An empty block.
    #[must_use]
    pub fn new() -> AudioBlock {
        AudioBlock::default()
    }

    /// True before the first packet and after [`AudioBlock::finish`].
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.packets == 0
    }

    /// Packets in it.
    #[must_use]
    pub const fn packets(&self) -> u16 {
        self.packets
    }

    /// Bytes that its packets take.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.entries.len()
    }

    /// Arrival of its first packet in monotonic nanoseconds, if it has one.
    #[must_use]
    pub fn first_ns(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.first.2)
    }

    /// Adds a packet.
    ///
    /// # Errors
    /// `Full`, `TooLong`; the block is unchanged.
    pub fn push(&mut self, packet: &PacketRef<'_>) -> Result<(), PushFault> {
        if packet.payload.len() > PAYLOAD_BYTES_MAX {
            return Err(PushFault::TooLong);
        }
        let here = (packet.ext_seq, packet.rtp_ts, packet.arrival_ns);
        if self.is_empty() {
            self.entries.clear();
            self.first = here;
            self.last = here;
        }
        let room = BODY_BYTES_MAX - AUDIO_HEAD_BYTES - ENTRY_BYTES_MAX;
        let over = packet.arrival_ns.abs_diff(self.first.2) >= BLOCK_SPAN_NS_MAX;
        if over || self.packets == u16::MAX || self.entries.len() + packet.payload.len() > room {
            return Err(PushFault::Full);
        }
        let out = &mut self.entries;
        out.extend_from_slice(&[packet.flags.0, packet.level]);
        put(out, zigzag(i64::from(here.0.wrapping_sub(self.last.0) as i32)));
        put(out, zigzag(i64::from(here.1.wrapping_sub(self.last.1) as i32)));
        put(out, zigzag(here.2.wrapping_sub(self.last.2) as i64));
        put(out, packet.payload.len() as u64);
        out.extend_from_slice(packet.payload);
        self.last = here;
        self.packets += 1;
        Ok(())
    }

    /// Memory that the block holds, bytes.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.entries.capacity()
    }

    /// Appends the block and empties it; does nothing when it holds no packet.
    pub fn finish(&mut self, out: &mut Vec<u8>, tag: Tag) {
        if self.is_empty() {
            return;
        }
        block(out, tag, TYPE_AUDIO, |out| {
            out.extend_from_slice(&self.packets.to_le_bytes());
            out.extend_from_slice(&self.first.0.to_le_bytes());
            out.extend_from_slice(&self.first.1.to_le_bytes());
            out.extend_from_slice(&self.first.2.to_le_bytes());
            out.extend_from_slice(&self.entries);
        });
        self.entries.clear();
        self.packets = 0;
    }
}
