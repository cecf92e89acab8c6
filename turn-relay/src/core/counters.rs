//! What one core has done, in plain numbers; the driver copies them out once a second.

use ports::Via;

/// Where something was dropped or left unanswered, for `helpline_turn_dropped_total{stage}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Too long, too short or neither STUN nor ChannelData by its first byte.
    Length,
    /// ChannelData for an unknown flow or channel, without permission, or longer than it is.
    Channel,
    /// Not a STUN message that a server answers.
    Header,
    /// FINGERPRINT is wrong.
    Fingerprint,
    /// The source's budget of unverified answers is spent.
    Budget,
    /// A Send indication without allocation, permission or a known peer.
    Permission,
    /// More than an allocation may send.
    Bucket,
    /// The first byte of the payload belongs to nothing that media speaks (RFC 7983 §7).
    Gate,
    /// The shard's ring is full.
    Ring,
    /// The way back does not exist any more.
    Gone,
    /// TURN is off here.
    Off,
    /// A stranger's request, while more wait than are read: who has an allocation goes before him.
    Crowd,
}

impl Stage {
    /// All of them.
    pub const ALL: [Stage; 12] = [
        Stage::Length,
        Stage::Channel,
        Stage::Header,
        Stage::Fingerprint,
        Stage::Budget,
        Stage::Permission,
        Stage::Bucket,
        Stage::Gate,
        Stage::Ring,
        Stage::Gone,
        Stage::Off,
        Stage::Crowd,
    ];

    /// Stable word for metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Stage::Length => "length",
            Stage::Channel => "channel",
            Stage::Header => "header",
            Stage::Fingerprint => "fingerprint",
            Stage::Budget => "budget",
            Stage::Permission => "permission",
            Stage::Bucket => "bucket",
            Stage::Gate => "gate",
            Stage::Ring => "ring",
            Stage::Gone => "gone",
            Stage::Off => "off",
            Stage::Crowd => "crowd",
        }
    }
}

/// Why a credential was not believed, for `helpline_turn_credentials_rejected_total{reason}`. The client is told the
/// same for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// The user name is not `expiry:leg:key`.
    Malformed,
    /// Its time is over.
    Expired,
    /// Its time ends later than any credential of ours.
    TooFar,
    /// Made with a secret that does not count any more, or never did.
    UnknownSecret,
    /// Another realm than ours.
    Realm,
    /// The password is wrong.
    Integrity,
}

impl Rejected {
    /// All of them.
    pub const ALL: [Rejected; 6] = [
        Rejected::Malformed,
        Rejected::Expired,
        Rejected::TooFar,
        Rejected::UnknownSecret,
        Rejected::Realm,
        Rejected::Integrity,
    ];

    /// Stable word for metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Rejected::Malformed => "malformed",
            Rejected::Expired => "expired",
            Rejected::TooFar => "too-far",
            Rejected::UnknownSecret => "unknown-secret",
            Rejected::Realm => "realm",
            Rejected::Integrity => "integrity",
        }
    }
}

/// Every error number that the core answers with; the place in it is the place in [`Counters::errors`].
pub const ERROR_CODES: [u16; 11] = [400, 401, 403, 420, 437, 438, 440, 441, 442, 443, 486];
/// The one more: 508 (Insufficient Capacity), counted apart because somebody should look.
pub const NO_CAPACITY: u16 = 508;

/// One direction of relayed payload over one transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Datagrams.
    pub packets: u64,
    /// Bytes of payload.
    pub bytes: u64,
}

/// See the top of this file. All of them only grow, but for the two gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Gauge: allocations alive, by transport as in [`Via::ALL`] and by family (IPv4, IPv6, both).
    pub allocations: [[u32; 3]; 3],
    /// Made since the start.
    pub allocated: u64,
    /// From clients, by transport.
    pub up: [Traffic; 3],
    /// To clients, by transport.
    pub down: [Traffic; 3],
    /// Error answers by [`ERROR_CODES`].
    pub errors: [u64; ERROR_CODES.len()],
    /// Error answers 508.
    pub no_capacity: u64,
    /// By [`Stage::ALL`].
    pub dropped: [u64; Stage::ALL.len()],
    /// By [`Rejected::ALL`].
    pub rejected: [u64; Rejected::ALL.len()],
    /// Binding requests that were answered.
    pub bindings: u64,
    /// Bytes of answers to sources that had proven nothing.
    pub unverified_reply_bytes: u64,
    /// Gauge: age of the last nonce that was used, in seconds.
    pub nonce_age_s: u32,
}

impl Counters {
    pub(crate) fn dropped(&mut self, stage: Stage) {
        self.dropped[stage as usize] += 1;
    }

    pub(crate) fn rejected(&mut self, reason: Rejected) {
        self.rejected[reason as usize] += 1;
    }

    pub(crate) fn error(&mut self, code: u16) {
        match ERROR_CODES.iter().position(|&known| known == code) {
            Some(place) => self.errors[place] += 1,
            None => self.no_capacity += 1,
        }
    }
}

/// The place of a transport in the arrays of [`Counters`].
#[must_use]
pub const fn via_index(via: Via) -> usize {
    match via {
        Via::Udp => 0,
        Via::Tcp => 1,
        Via::Tls => 2,
    }
}
