//! The spool: the append-only log that holds calls from their first packet until their recording is stored.
//!
//! Bytes only: this module opens no file and reads no clock. It never trusts a length: nothing is allocated for a
//! count that the input does not hold.
//!
//! # Layout
//!
//! All numbers are little endian. A segment is a header and then blocks, back to back:
//!
//! ```text
//! header, 96 bytes
//!   "HLSP" | version u16 | shard u16 | node_epoch u64 | wall_ns_at_zero u64 | node_len u8 | 0 0 0 | node 64 | crc32c u32
//! block, 52 + body + 4 bytes
//!   "HLBK" | body_len u32 | type u8 | ver u8 | part u8 | 0 | counter u32 | call 16 | leg 16 | crc32c u32 of the above
//!   body
//!   crc32c u32 of the body
//! ```
//!
//! `ver` 0 is a body in plain. `counter` grows by one per call and block from 0: it shows blocks that are missing and
//! makes a block that was written twice one. The head has a check sum of its own, so that a damaged length is
//! never followed. Every block names call, leg and part itself: a lost START costs no sound.
//!
//! | type | body |
//! |---|---|
//! | 1 START | recording 16 (0: none) · required u8 · customer_left u8 · start_ns u64 · legs u16 · (leg 16, part u8)… |
//! | 2 AUDIO | packets u16 · ext_seq u32 · rtp_ts u32 · arrival_ns u64 · entries |
//! | 3 EVENT | at_ns u64 · kind u8 · value u64 · from somebody, if it is of his will: role_len u8 · role · reason_len u16 (0: none) · reason |
//! | 4 QUALITY | uplink u8 · rows u16 · first_second_ns u64 · rows of 40 bytes |
//! | 5 END | at_ns u64 · reason_len u8 · reason |
//!
//! ```text
//! entry: flags u8 | level u8 | dseq | dts | darrival_ns (zigzag varints, against the entry before) | len varint | payload
//! ```
//!
//! An entry costs about 9 bytes beside its payload. Arrival is kept to the nanosecond: what the tap saw is what the
//! master's clock is computed from.
//!
//! Invariant: what [`Reader`] yields passed both check sums and parsed to its last byte.

mod collect;
mod read;
mod varint;
mod write;

#[cfg(test)]
mod tests;

pub use collect::{Calls, QualityRun, RecordedCall, collect};
pub use read::{Audio, Block, Body, Damage, DamageKind, HeaderFault, Quality, Reader};
pub use write::{AudioBlock, PushFault, SegmentHeader, WriteFault, end, event, quality, start};

use crate::packet::{Flags, Lane};

/// First bytes of a segment.
pub const SEGMENT_MAGIC: [u8; 4] = *b"HLSP";
/// First bytes of a block.
pub const BLOCK_MAGIC: [u8; 4] = *b"HLBK";
/// Version of the segment header.
pub const SEGMENT_VERSION: u16 = 1;
/// Bytes of the segment header.
pub const SEGMENT_HEADER_BYTES: usize = 96;
/// Bytes before a block's body.
pub const BLOCK_HEAD_BYTES: usize = 52;
/// Bytes of a block beside its body.
pub const BLOCK_FRAME_BYTES: usize = BLOCK_HEAD_BYTES + 4;
/// Longest body in bytes: a second of Opus at its highest rate (510 kbit/s) fits, and a damaged block costs no more.
pub const BODY_BYTES_MAX: usize = 65_536;
/// Longest payload of one packet in bytes: no datagram that media takes is longer.
pub const PAYLOAD_BYTES_MAX: usize = 1_500;
/// Longest span of one AUDIO block in nanoseconds: the most that one bad block may cost.
pub const BLOCK_SPAN_NS_MAX: u64 = 1_000_000_000;
/// Longest node name in bytes: a Kubernetes pod name's usual bound, and the room in the header.
pub const NODE_BYTES_MAX: usize = 64;
/// Longest reason in bytes: reasons are stable words such as `node_crash`.
pub const REASON_BYTES_MAX: usize = 32;
/// Longest role in bytes: the longest there is, `super_admin`, and some room.
pub const ROLE_BYTES_MAX: usize = 16;
/// Longest word that somebody gives for what he wants, in bytes: the desk takes 64 characters of up to four.
pub const WORD_BYTES_MAX: usize = 256;
/// Most legs that one START names: far above what a room may hold.
pub const LEGS_MAX: usize = 256;
/// Most rows of one QUALITY block: a minute; the recorder writes sooner.
pub const ROWS_MAX: usize = 60;

/// What a participant is to the call, as far as the recording needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The person who called.
    Customer,
    /// The agent who owns the contact.
    Agent,
    /// A colleague who is consulted.
    Partner,
    /// Somebody who listens.
    Supervisor,
    /// A caller who tests his line.
    Preflight,
}

impl Part {
    /// Which side of the master this participant's sound belongs to; `None` for those who are heard beside the two.
    #[must_use]
    pub const fn side(self) -> Option<Lane> {
        match self {
            Part::Customer | Part::Preflight => Some(Lane::Customer),
            Part::Agent => Some(Lane::Agent),
            Part::Partner | Part::Supervisor => None,
        }
    }

    /// Stable word for manifests.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Part::Customer => "customer",
            Part::Agent => "agent",
            Part::Partner => "partner",
            Part::Supervisor => "supervisor",
            Part::Preflight => "preflight",
        }
    }

    const fn code(self) -> u8 {
        match self {
            Part::Customer => 1,
            Part::Agent => 2,
            Part::Partner => 3,
            Part::Supervisor => 4,
            Part::Preflight => 5,
        }
    }

    const fn from_code(code: u8) -> Option<Part> {
        Some(match code {
            1 => Part::Customer,
            2 => Part::Agent,
            3 => Part::Partner,
            4 => Part::Supervisor,
            5 => Part::Preflight,
            _ => return None,
        })
    }
}

/// To what a block belongs, and its place among the call's blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Which call.
    pub call: u128,
    /// Which leg; 0 when the block is about the whole call.
    pub leg: u128,
    /// What that leg is; of no meaning when `leg` is 0.
    pub part: Part,
    /// 0, 1, 2 … per call.
    pub counter: u32,
}

impl Tag {
    /// The tag of a block about the whole call.
    #[must_use]
    pub const fn of_call(call: u128, counter: u32) -> Tag {
        Tag {
            call,
            leg: 0,
            part: Part::Customer,
            counter,
        }
    }
}

/// What is known of a call when it starts or changes; the newest one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Which recording; `None` while only quality is kept.
    pub recording: Option<u128>,
    /// True when the call must not go on unrecorded.
    pub required: bool,
    /// True when the customer is the left channel.
    pub customer_left: bool,
    /// When the room went live (before that: when its first leg came), monotonic nanoseconds.
    pub start_ns: u64,
    /// Every leg so far.
    pub legs: Vec<(u128, Part)>,
}

/// How somebody who is neither the customer nor his agent takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// A colleague speaks with the agent; the customer hears music.
    Consult,
    /// A colleague is heard by all.
    Conference,
    /// A supervisor hears and is not heard.
    Listen,
    /// A supervisor is heard by the agent alone.
    Whisper,
    /// A supervisor is heard by all.
    Barge,
}

impl Way {
    /// All of them.
    pub const ALL: [Way; 5] = [Way::Consult, Way::Conference, Way::Listen, Way::Whisper, Way::Barge];

    /// Whether the customer hears him, unless he is on hold.
    #[must_use]
    pub const fn is_heard(self) -> bool {
        match self {
            Way::Conference | Way::Barge => true,
            Way::Consult | Way::Listen | Way::Whisper => false,
        }
    }

    const fn began_code(self) -> u8 {
        match self {
            Way::Consult => 11,
            Way::Conference => 13,
            Way::Listen => 15,
            Way::Whisper => 17,
            Way::Barge => 19,
        }
    }
}

/// What an event says; the number beside it is the event's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A leg's place in the room was taken.
    LegJoined,
    /// A leg is gone.
    LegLeft,
    /// Packets were lost on the way to the disk; the value is how many, since the event before.
    Dropped,
    /// No more packets are wanted, the room goes on.
    Stopped,
    /// Recording pauses.
    Paused,
    /// Recording goes on.
    Resumed,
    /// The customer is put on hold; what nobody hears then is not stored.
    Held,
    /// The customer is taken back.
    HoldEnded,
    /// The server takes a leg's voice from everybody; the recording has nothing of it.
    Muted,
    /// The leg is heard again.
    MuteEnded,
    /// The leg begins to take part this way.
    Began(Way),
    /// It does so no longer.
    Ended(Way),
    /// The leg has the call from now on: its part is the agent's.
    TookOver,
    /// The customer does not hear the leg though he may: his client offered too few streams.
    Unheard,
    /// He does again, or may no longer.
    HeardAgain,
    /// A kind that this version does not know.
    Other(u8),
}

impl EventKind {
    const fn code(self) -> u8 {
        match self {
            EventKind::LegJoined => 1,
            EventKind::LegLeft => 2,
            EventKind::Dropped => 3,
            EventKind::Stopped => 4,
            EventKind::Paused => 5,
            EventKind::Resumed => 6,
            EventKind::Held => 7,
            EventKind::HoldEnded => 8,
            EventKind::Muted => 9,
            EventKind::MuteEnded => 10,
            EventKind::Began(way) => way.began_code(),
            EventKind::Ended(way) => way.began_code() + 1,
            EventKind::TookOver => 21,
            EventKind::Unheard => 22,
            EventKind::HeardAgain => 23,
            EventKind::Other(code) => code,
        }
    }

    const fn from_code(code: u8) -> EventKind {
        match code {
            1 => EventKind::LegJoined,
            2 => EventKind::LegLeft,
            3 => EventKind::Dropped,
            4 => EventKind::Stopped,
            5 => EventKind::Paused,
            6 => EventKind::Resumed,
            7 => EventKind::Held,
            8 => EventKind::HoldEnded,
            9 => EventKind::Muted,
            10 => EventKind::MuteEnded,
            11 => EventKind::Began(Way::Consult),
            12 => EventKind::Ended(Way::Consult),
            13 => EventKind::Began(Way::Conference),
            14 => EventKind::Ended(Way::Conference),
            15 => EventKind::Began(Way::Listen),
            16 => EventKind::Ended(Way::Listen),
            17 => EventKind::Began(Way::Whisper),
            18 => EventKind::Ended(Way::Whisper),
            19 => EventKind::Began(Way::Barge),
            20 => EventKind::Ended(Way::Barge),
            21 => EventKind::TookOver,
            22 => EventKind::Unheard,
            23 => EventKind::HeardAgain,
            other => EventKind::Other(other),
        }
    }
}

/// Who wanted something, by his role and never by name, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    role: String,
    reason: Option<String>,
}

impl By {
    /// What is longer than [`ROLE_BYTES_MAX`] or [`WORD_BYTES_MAX`] is cut; an empty reason is none.
    #[must_use]
    pub fn new(role: &str, reason: Option<&str>) -> By {
        let cut = |text: &str, bytes: usize| text[..text.floor_char_boundary(bytes)].to_owned();
        By {
            role: cut(role, ROLE_BYTES_MAX),
            reason: reason
                .map(|word| cut(word, WORD_BYTES_MAX))
                .filter(|word| !word.is_empty()),
        }
    }

    /// A stable word.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }

    /// The word that he gave, or a stable one.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

/// Something that happened during the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, monotonic nanoseconds.
    pub at_ns: u64,
    /// What.
    pub kind: EventKind,
    /// The kind's number, or 0.
    pub value: u64,
    /// Which leg; 0 for the whole call.
    pub leg: u128,
    /// What that leg was then; of no meaning when `leg` is 0.
    pub part: Part,
    /// Who wanted it; `None` for what media saw happen, and for what was written before this was told.
    pub by: Option<By>,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// When, monotonic nanoseconds.
    pub at_ns: u64,
    /// Why: a stable word.
    pub reason: String,
}

/// One packet, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketRef<'a> {
    /// SRTP index of its source.
    pub ext_seq: u32,
    /// RTP timestamp, 48 kHz.
    pub rtp_ts: u32,
    /// Monotonic nanoseconds at ingress.
    pub arrival_ns: u64,
    /// Marks.
    pub flags: Flags,
    /// 0 silence to 127 full scale; 255 unknown.
    pub level: u8,
    /// One Opus packet.
    pub payload: &'a [u8],
}

const TYPE_START: u8 = 1;
const TYPE_AUDIO: u8 = 2;
const TYPE_EVENT: u8 = 3;
const TYPE_QUALITY: u8 = 4;
const TYPE_END: u8 = 5;
const VERSION_PLAIN: u8 = 0;
