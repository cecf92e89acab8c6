//! The tap: where decrypted audio leaves the engine for the recorder, before any forwarding decision about it.
//!
//! Never blocks, never allocates: the sink copies the record once into memory it owns, or says that it was full.
//!
//! Invariant: a record exists only while the room is live, its plan's tap is on and somebody who is no supervisor
//! may hear the leg, which does not whisper. All three are tested before the packet is touched.

use crate::TapId;

/// What is known about a tapped packet beside its bytes; a set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u16);

impl Flags {
    /// The leg was on hold.
    pub const HELD: Flags = Flags(1 << 0);
    /// A retransmission that we asked for.
    pub const RTX: Flags = Flags(1 << 1);
    /// The packet did not come: its payload stood inside a later one (RFC 2198). The header is made by us.
    pub const RED: Flags = Flags(1 << 2);
    /// The payload is a comfort or DTX frame: at most two bytes.
    pub const DTX: Flags = Flags(1 << 3);
    /// The leg was muted by the plan.
    pub const MUTED: Flags = Flags(1 << 4);
    /// The sender says that this is voice (the V bit of RFC 6464).
    pub const VOICE: Flags = Flags(1 << 5);

    /// True if all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// These bits and those of `other`.
    #[must_use]
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

/// The level of a packet whose sender told none.
pub const LEVEL_UNKNOWN: u8 = 255;

/// One decrypted packet, borrowed from the receive buffer.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When it reached us: the shard's clock, nanoseconds.
    pub arrival_ns: u64,
    /// Whose it is, as given with the leg.
    pub leg: TapId,
    /// SRTP index: roll-over count and sequence number, lower 32 bits. Starts anew with every SSRC.
    pub ext_seq: u32,
    /// What is known about it.
    pub flags: Flags,
    /// Loudness: 0 silence to 127 full scale (RFC 6464 turned round), or [`LEVEL_UNKNOWN`].
    pub level: u8,
    /// The whole RTP packet in plain: header, extensions, payload.
    pub packet: &'a [u8],
}

/// Where tapped packets go.
pub trait TapSink {
    /// Takes a copy of the record; `false` if there was no room, which the shard counts as `tap_dropped`.
    fn push(&mut self, record: Record<'_>) -> bool;
}

/// Taps nothing: for benches and for nodes that never record.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTap;

impl TapSink for NoTap {
    fn push(&mut self, _record: Record<'_>) -> bool {
        true
    }
}
