//! From where on a second counts as bad. Whoever runs a house may set these; what makes a condition begin and end out of
//! bad seconds ([`super::window`]) is not his to set.
//!
//! Values are believed: their bounds are checked by whoever hands them in.

use crate::limits::SECOND;

/// One value for each flag. [`Thresholds::default`] is what this project recommends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Opinion score below which callers complain.
    pub mos: f32,
    /// Packets missing in a row that make a hole which nobody overhears.
    pub burst_packets: u32,
    /// Round trip that callers notice, microseconds.
    pub rtt_us: u32,
    /// Jitter that a usual jitter buffer no longer hides, microseconds.
    pub jitter_us: u32,
    /// Loss that FEC no longer hides, share.
    pub loss: f64,
    /// Seconds of audio that a listener's reports must have stood still for; also those that a leg may be up and say
    /// nothing at all.
    pub one_way_seconds: u32,
    /// Seconds in which nobody of a conversation spoke.
    pub dead_air_seconds: u32,
    /// Seconds of one and the same level after which a microphone is taken for dead.
    pub dead_microphone_seconds: u32,
    /// Share of a second's packets at the limit of the level, per cent; shouting has single ones.
    pub clipped_percent: u32,
}

/// More seconds before a listener is taken for deaf of whom no report comes at all: two slow intervals (RFC 3550 §6.2)
/// and some. Not a setting, for it follows from how often reports come.
pub const UNREPORTED_SECONDS: u32 = 7;

impl Thresholds {
    /// The recommended ones. A burst of 10 packets is 200 ms.
    pub const DEFAULT: Thresholds = Thresholds {
        mos: 3.5,
        burst_packets: 10,
        rtt_us: 400_000,
        jitter_us: 30_000,
        loss: 0.03,
        one_way_seconds: 5,
        dead_air_seconds: 15,
        dead_microphone_seconds: 10,
        clipped_percent: 10,
    };

    /// True if a listener hears nothing: `sent_s` seconds of audio went to it since its reports last told of any, and
    /// they say so (`stuck`) or do not come.
    #[must_use]
    pub const fn is_deaf(&self, sent_s: u32, stuck: bool) -> bool {
        sent_s >= self.one_way_seconds.saturating_add(UNREPORTED_SECONDS) || stuck && sent_s >= self.one_way_seconds
    }

    /// How long a leg may be up and say nothing at all, nanoseconds.
    pub(crate) const fn silent_ns(&self) -> u64 {
        self.one_way_seconds as u64 * SECOND
    }
}

impl Default for Thresholds {
    fn default() -> Thresholds {
        Thresholds::DEFAULT
    }
}
