//! Reads a segment that a crash, a full disk or a bad sector may have spoilt.
//!
//! Never panics, whatever the bytes; never yields a block that fails a check. A bad stretch in the middle is skipped
//! to the next sound block, a bad tail ends the reading; both are reported.
//!
//! Invariant: blocks and [`Damage`] together cover every byte behind the header, in order and without overlap.

use std::ops::Range;

use super::varint::{Cursor, unzigzag};
use super::{
    BLOCK_FRAME_BYTES, BLOCK_HEAD_BYTES, BLOCK_MAGIC, BODY_BYTES_MAX, By, End, Event, EventKind, LEGS_MAX,
    NODE_BYTES_MAX, PAYLOAD_BYTES_MAX, PacketRef, Part, REASON_BYTES_MAX, ROLE_BYTES_MAX, ROWS_MAX,
    SEGMENT_HEADER_BYTES, SEGMENT_MAGIC, SEGMENT_VERSION, SegmentHeader, Start, TYPE_AUDIO, TYPE_END, TYPE_EVENT,
    TYPE_QUALITY, TYPE_START, Tag, VERSION_PLAIN, WORD_BYTES_MAX,
};
use crate::packet::Flags;
use crate::quality_track::{ROW_BYTES, Row};

/// Why a segment's header was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// Fewer bytes than a header.
    #[error("shorter than a segment header")]
    Short,
    /// Does not begin as a segment does.
    #[error("not a spool segment")]
    Magic,
    /// A version that is not known here.
    #[error("a segment of an unknown version")]
    Version,
    /// The check sum or a field is wrong.
    #[error("a damaged segment header")]
    Damaged,
}

impl SegmentHeader {
    /// Reads the header at the front of `segment`.
    ///
    /// # Errors
    /// [`HeaderFault`].
    pub fn decode(segment: &[u8]) -> Result<SegmentHeader, HeaderFault> {
        let bytes = segment.get(..SEGMENT_HEADER_BYTES).ok_or(HeaderFault::Short)?;
        let (fields, sum) = bytes.split_at(SEGMENT_HEADER_BYTES - 4);
        if fields[..4] != SEGMENT_MAGIC {
            return Err(HeaderFault::Magic);
        }
        if crc32c::crc32c(fields).to_le_bytes() != sum {
            return Err(HeaderFault::Damaged);
        }
        let mut at = Cursor(&fields[4..]);
        if at.u16().ok_or(HeaderFault::Short)? != SEGMENT_VERSION {
            return Err(HeaderFault::Version);
        }
        let mut read = || {
            let shard = at.u16()?;
            let node_epoch = at.u64()?;
            let wall_ns_at_zero = at.u64()?;
            let len = usize::from(at.u8()?);
            at.bytes(3)?;
            let node = at.bytes(NODE_BYTES_MAX)?.get(..len)?;
            let node = std::str::from_utf8(node).ok()?.to_owned();
            Some(SegmentHeader {
                node,
                node_epoch,
                shard,
                wall_ns_at_zero,
            })
        };
        read().ok_or(HeaderFault::Damaged)
    }
}

/// What is wrong with a stretch of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// Nothing sound follows: a write that did not finish.
    Tail,
    /// Sound blocks follow: bytes went bad.
    Corrupt,
    /// A sound block of a version or type that is not known here.
    Unknown,
}

/// A stretch that was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// First byte, from the start of the slice.
    pub offset: usize,
    /// How many bytes.
    pub bytes: usize,
    /// What is wrong.
    pub kind: DamageKind,
}

/// The packets of an AUDIO block; checked to the last byte.
#[derive(Clone, Copy, Debug)]
pub struct Audio<'a> {
    packets: u16,
    first: (u32, u32, u64),
    entries: Cursor<'a>,
}

impl<'a> Audio<'a> {
    /// How many packets.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.packets as usize
    }

    /// True when there is none; no sound block is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.packets == 0
    }

    /// The packets in the order of their arrival.
    pub fn packets(&self) -> impl Iterator<Item = PacketRef<'a>> + use<'a> {
        let mut at = self.entries;
        let mut last = self.first;
        (0..self.packets).map_while(move |_| entry(&mut at, &mut last))
    }
}

/// The rows of a QUALITY block.
#[derive(Clone, Copy, Debug)]
pub struct Quality<'a> {
    /// True: what the leg sent.
    pub uplink: bool,
    /// End of the first second, monotonic nanoseconds.
    pub first_second_ns: u64,
    rows: &'a [u8],
}

impl<'a> Quality<'a> {
    /// The rows, a second each.
    pub fn rows(&self) -> impl Iterator<Item = Row> + use<'a> {
        self.rows.as_chunks::<ROW_BYTES>().0.iter().map(Row::decode)
    }
}

/// What a block says.
#[derive(Clone, Debug)]
pub enum Body<'a> {
    /// What is known of the call.
    Start(Start),
    /// Packets of the tag's leg.
    Audio(Audio<'a>),
    /// Something happened.
    Event(Event),
    /// Seconds of the tag's leg.
    Quality(Quality<'a>),
    /// The call is over.
    End(End),
}

/// One sound block.
#[derive(Clone, Debug)]
pub struct Block<'a> {
    /// To what it belongs.
    pub tag: Tag,
    /// Where it lies in the slice.
    pub range: Range<usize>,
    /// What it says.
    pub body: Body<'a>,
}

impl Block<'_> {
    /// The newest moment that the block tells of, monotonic nanoseconds.
    #[must_use]
    pub fn newest_ns(&self) -> u64 {
        match &self.body {
            Body::Start(start) => start.start_ns,
            Body::Audio(audio) => audio.packets().map(|packet| packet.arrival_ns).max().unwrap_or(0),
            Body::Event(event) => event.at_ns,
            Body::Quality(quality) => {
                let rows = (quality.rows.len() / ROW_BYTES) as u64;
                quality
                    .first_second_ns
                    .saturating_add(rows.saturating_sub(1) * 1_000_000_000)
            }
            Body::End(end) => end.at_ns,
        }
    }
}

/// Iterates over the sound blocks of a slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    damage: Vec<Damage>,
}

/// What lies at one place.
enum Found<'a> {
    Block(Box<Block<'a>>),
    /// Sound, but not known here; its length.
    Unknown(usize),
    Bad,
}

impl<'a> Reader<'a> {
    /// Reads a whole segment.
    ///
    /// # Errors
    /// [`HeaderFault`]: then no block can be told apart by clock or epoch.
    pub fn segment(bytes: &'a [u8]) -> Result<(SegmentHeader, Reader<'a>), HeaderFault> {
        let header = SegmentHeader::decode(bytes)?;
        Ok((
            header,
            Reader {
                bytes,
                at: SEGMENT_HEADER_BYTES,
                damage: Vec::new(),
            },
        ))
    }

    /// Reads blocks that were cut out of a segment.
    #[must_use]
    pub const fn blocks(bytes: &'a [u8]) -> Reader<'a> {
        Reader {
            bytes,
            at: 0,
            damage: Vec::new(),
        }
    }

    /// What was skipped so far.
    #[must_use]
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Steps over damage to the next place where a sound block begins, or to the end.
    fn skip(&mut self) {
        let from = self.at;
        let mut to = from + 1;
        let next = loop {
            let Some(rest) = self.bytes.get(to..) else { break None };
            let Some(found) = rest.windows(BLOCK_MAGIC.len()).position(|window| window == BLOCK_MAGIC) else {
                break None;
            };
            to += found;
            if !matches!(look(self.bytes, to), Found::Bad) {
                break Some(to);
            }
            to += 1;
        };
        let (end, kind) = next.map_or((self.bytes.len(), DamageKind::Tail), |to| (to, DamageKind::Corrupt));
        self.at = end;
        self.damage.push(Damage {
            offset: from,
            bytes: end - from,
            kind,
        });
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Block<'a>> {
        while self.at < self.bytes.len() {
            match look(self.bytes, self.at) {
                Found::Block(block) => {
                    self.at = block.range.end;
                    return Some(*block);
                }
                Found::Unknown(bytes) => {
                    self.damage.push(Damage {
                        offset: self.at,
                        bytes,
                        kind: DamageKind::Unknown,
                    });
                    self.at += bytes;
                }
                Found::Bad => self.skip(),
            }
        }
        None
    }
}

/// Reads the block at `at`.
fn look(bytes: &[u8], at: usize) -> Found<'_> {
    let Some(head) = bytes.get(at..).and_then(|rest| rest.get(..BLOCK_HEAD_BYTES)) else {
        return Found::Bad;
    };
    let (fields, sum) = head.split_at(BLOCK_HEAD_BYTES - 4);
    if fields[..4] != BLOCK_MAGIC || crc32c::crc32c(fields).to_le_bytes() != sum {
        return Found::Bad;
    }
    let Some((kind, version, part, tag, len)) = tag(&fields[4..]) else {
        return Found::Bad;
    };
    let from = at + BLOCK_HEAD_BYTES;
    if len > BODY_BYTES_MAX || bytes.len() < from + len + 4 {
        return Found::Bad;
    }
    let (body, sum) = bytes[from..from + len + 4].split_at(len);
    if crc32c::crc32c(body).to_le_bytes() != sum {
        return Found::Bad;
    }
    let whole = BLOCK_FRAME_BYTES + len;
    let known = version == VERSION_PLAIN && (TYPE_START..=TYPE_END).contains(&kind);
    let Some(part) = Part::from_code(part).filter(|_| known) else {
        return Found::Unknown(whole);
    };
    let tag = Tag { part, ..tag };
    match parse(kind, &tag, body) {
        Some(body) => Found::Block(Box::new(Block {
            tag,
            range: at..at + whole,
            body,
        })),
        None => Found::Unknown(whole),
    }
}

/// The fields of a block's head behind its magic: type, version, part, tag, length of the body.
fn tag(fields: &[u8]) -> Option<(u8, u8, u8, Tag, usize)> {
    let mut at = Cursor(fields);
    let len = at.u32()? as usize;
    let kind = at.u8()?;
    let version = at.u8()?;
    let part = at.u8()?;
    at.u8()?;
    let counter = at.u32()?;
    let call = at.u128()?;
    let leg = at.u128()?;
    Some((
        kind,
        version,
        part,
        Tag {
            call,
            leg,
            part: Part::Customer,
            counter,
        },
        len,
    ))
}

fn parse<'a>(kind: u8, tag: &Tag, body: &'a [u8]) -> Option<Body<'a>> {
    let mut at = Cursor(body);
    let body = match kind {
        TYPE_START => Body::Start(start(&mut at)?),
        TYPE_AUDIO => Body::Audio(audio(&mut at)?),
        TYPE_EVENT => Body::Event(Event {
            at_ns: at.u64()?,
            kind: EventKind::from_code(at.u8()?),
            value: at.u64()?,
            leg: tag.leg,
            part: tag.part,
            by: by(&mut at)?,
        }),
        TYPE_QUALITY => {
            let uplink = at.u8()? != 0;
            let rows = usize::from(at.u16()?);
            let first_second_ns = at.u64()?;
            if rows > ROWS_MAX {
                return None;
            }
            Body::Quality(Quality {
                uplink,
                first_second_ns,
                rows: at.bytes(rows * ROW_BYTES)?,
            })
        }
        TYPE_END => {
            let at_ns = at.u64()?;
            let len = usize::from(at.u8()?);
            if len > REASON_BYTES_MAX {
                return None;
            }
            let reason = std::str::from_utf8(at.bytes(len)?).ok()?.to_owned();
            Body::End(End { at_ns, reason })
        }
        _ => return None,
    };
    at.is_empty().then_some(body)
}

/// Who wanted an event; nothing follows where nobody did.
fn by(at: &mut Cursor<'_>) -> Option<Option<By>> {
    if at.is_empty() {
        return Some(None);
    }
    let len = usize::from(at.u8()?);
    let role = at.bytes(len).filter(|_| len <= ROLE_BYTES_MAX)?;
    let len = usize::from(at.u16()?);
    let reason = at.bytes(len).filter(|_| len <= WORD_BYTES_MAX)?;
    let (role, reason) = (std::str::from_utf8(role).ok()?, std::str::from_utf8(reason).ok()?);
    Some(Some(By::new(role, Some(reason))))
}

fn start(at: &mut Cursor<'_>) -> Option<Start> {
    let recording = at.u128()?;
    let required = at.u8()? != 0;
    let customer_left = at.u8()? != 0;
    let start_ns = at.u64()?;
    let count = usize::from(at.u16()?);
    if count > LEGS_MAX {
        return None;
    }
    let mut legs = Vec::new();
    for _ in 0..count {
        legs.push((at.u128()?, Part::from_code(at.u8()?)?));
    }
    Some(Start {
        recording: (recording != 0).then_some(recording),
        required,
        customer_left,
        start_ns,
        legs,
    })
}

fn audio<'a>(at: &mut Cursor<'a>) -> Option<Audio<'a>> {
    let packets = at.u16()?;
    let first = (at.u32()?, at.u32()?, at.u64()?);
    let entries = *at;
    let mut last = first;
    for _ in 0..packets {
        entry(at, &mut last)?;
    }
    (packets > 0).then_some(Audio {
        packets,
        first,
        entries,
    })
}

/// Reads one entry; `last` holds sequence, timestamp and arrival of the one before.
fn entry<'a>(at: &mut Cursor<'a>, last: &mut (u32, u32, u64)) -> Option<PacketRef<'a>> {
    let flags = Flags(at.u8()?);
    let level = at.u8()?;
    last.0 = last.0.wrapping_add(unzigzag(at.varint()?) as u32);
    last.1 = last.1.wrapping_add(unzigzag(at.varint()?) as u32);
    last.2 = last.2.wrapping_add(unzigzag(at.varint()?) as u64);
    let len = usize::try_from(at.varint()?)
        .ok()
        .filter(|len| *len <= PAYLOAD_BYTES_MAX)?;
    let payload = at.bytes(len)?;
    Some(PacketRef {
        ext_seq: last.0,
        rtp_ts: last.1,
        arrival_ns: last.2,
        flags,
        level,
        payload,
    })
}
