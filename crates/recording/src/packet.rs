//! One tapped packet and the track of one leg: what the spool keeps and what the master is made of.
//!
//! Never ordered here: packets stand in the order of their arrival until the finaliser sorts them.

use bytes::Bytes;

/// Marks of a packet, as the tap set them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// Came by retransmission.
    pub const RTX: Flags = Flags(1 << 0);
    /// Unwrapped from redundancy (RFC 2198).
    pub const RED: Flags = Flags(1 << 1);
    /// The sender is in discontinuous transmission.
    pub const DTX: Flags = Flags(1 << 2);
    /// The sender's voice detector says speech (RFC 6464).
    pub const VOICE: Flags = Flags(1 << 3);

    /// True when all marks of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets of marks.
    #[must_use]
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

/// One Opus packet as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// SRTP index of its source: the sequence number without wrap.
    pub ext_seq: u32,
    /// RTP timestamp, 48 kHz.
    pub rtp_ts: u32,
    /// Monotonic nanoseconds of the node's clock at ingress.
    pub arrival_ns: u64,
    /// Marks.
    pub flags: Flags,
    /// 0 silence to 127 full scale (RFC 6464 turned round); 255 when the packet does not say.
    pub level: u8,
    /// The RTP payload: one Opus packet, untouched; a slice of the blocks that it was read from.
    pub payload: Bytes,
}

/// Files beside the master that one recording may have. Each lasts as long as the recording and costs 0.7 MB of silence an
/// hour; a call in which more colleagues and supervisors were heard is a fault, and what the next ones say is counted as
/// lost.
pub const BESIDE_MAX: usize = 16;

/// Where a leg's sound belongs: to a side of the master, or to a file beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// The person who called.
    Customer,
    /// The agent, or whoever took the call over from him: a succession.
    Agent,
    /// Whoever is heard together with those two: a colleague in a conference, a supervisor who joins. The number of his
    /// file, from 0, below [`BESIDE_MAX`].
    Beside(u8),
}

/// The packets that one leg sent as one part, in the order of their arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Which leg.
    pub leg: u128,
    /// Which side or file.
    pub lane: Lane,
    /// Its packets.
    pub packets: Vec<Packet>,
}
