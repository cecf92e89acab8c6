//! From where on sound counts as bad: what a house may set, within which bounds, and what holds when it sets nothing.
//!
//! The rules that make a flag out of bad seconds (3 of 5, 0 of 5) are no settings.

/// What may be set: `min` to `max`, both allowed; `usual` where nothing is set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Least.
    pub min: f64,
    /// What this project recommends.
    pub usual: f64,
    /// Greatest.
    pub max: f64,
}

impl Bounds {
    /// True for what may be set; no odd number of floating point is.
    #[must_use]
    pub fn allow(&self, value: f64) -> bool {
        (self.min..=self.max).contains(&value)
    }
}

/// Opinion score below which `low_mos` is raised. Below 1.5 nobody understands a word; 4.4 is a line without any fault,
/// and above it the flag would stand on every call.
pub const LOW_MOS: Bounds = bounds(1.5, 3.5, 4.4);
/// Packets missing in a row from which on `loss_burst` is raised. Two are what FEC hides; 250 are five seconds, and by
/// then other flags stand.
pub const LOSS_BURST_PACKETS: Bounds = bounds(2.0, 10.0, 250.0);
/// Round trip in milliseconds above which `high_rtt` is raised. Below 50 ms a good mobile network would raise it; nobody
/// talks across 5 s.
pub const HIGH_RTT_MS: Bounds = bounds(50.0, 400.0, 5_000.0);
/// Jitter in milliseconds above which `high_jitter` is raised. 5 ms are a good line; no jitter buffer goes to 500 ms.
pub const HIGH_JITTER_MS: Bounds = bounds(5.0, 30.0, 500.0);
/// Lost share in per cent above which `high_loss` is raised. Less than half a per cent is one packet in four seconds;
/// half of all is no call any more.
pub const HIGH_LOSS_PERCENT: Bounds = bounds(0.5, 3.0, 50.0);
/// Seconds of one-way sound after which `one_way` is raised. Reports come every few seconds, so fewer than 3 would be
/// guessed; after a minute both have hung up.
pub const ONE_WAY_SECONDS: Bounds = bounds(3.0, 5.0, 60.0);
/// Seconds of a conversation without a word after which `dead_air` is raised. Five are a thought; in ten minutes even
/// who looks something up has spoken.
pub const DEAD_AIR_SECONDS: Bounds = bounds(5.0, 15.0, 600.0);
/// Seconds of a level that never changes after which `dead_microphone` is raised. Noise gates hold one for some seconds.
pub const DEAD_MICROPHONE_SECONDS: Bounds = bounds(5.0, 10.0, 300.0);
/// Share of a second's packets at full level in per cent from which on it counts for `clipping`.
pub const CLIPPING_PERCENT: Bounds = bounds(1.0, 10.0, 100.0);

const fn bounds(min: f64, usual: f64, max: f64) -> Bounds {
    Bounds { min, usual, max }
}

/// A value for each flag. Whoever makes one keeps to the bounds above.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// See [`LOW_MOS`].
    pub low_mos: f64,
    /// See [`LOSS_BURST_PACKETS`].
    pub loss_burst_packets: u32,
    /// See [`HIGH_RTT_MS`].
    pub high_rtt_ms: u32,
    /// See [`HIGH_JITTER_MS`].
    pub high_jitter_ms: u32,
    /// See [`HIGH_LOSS_PERCENT`].
    pub high_loss_percent: f64,
    /// See [`ONE_WAY_SECONDS`].
    pub one_way_seconds: u32,
    /// See [`DEAD_AIR_SECONDS`].
    pub dead_air_seconds: u32,
    /// See [`DEAD_MICROPHONE_SECONDS`].
    pub dead_microphone_seconds: u32,
    /// See [`CLIPPING_PERCENT`].
    pub clipping_percent: u32,
}

impl Thresholds {
    /// Made of one number of every pair of bounds.
    #[must_use]
    pub fn of(pick: impl Fn(Bounds) -> f64) -> Thresholds {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bounds of whole numbers are whole, positive and small"
        )]
        let whole = |bounds| pick(bounds) as u32;
        Thresholds {
            low_mos: pick(LOW_MOS),
            loss_burst_packets: whole(LOSS_BURST_PACKETS),
            high_rtt_ms: whole(HIGH_RTT_MS),
            high_jitter_ms: whole(HIGH_JITTER_MS),
            high_loss_percent: pick(HIGH_LOSS_PERCENT),
            one_way_seconds: whole(ONE_WAY_SECONDS),
            dead_air_seconds: whole(DEAD_AIR_SECONDS),
            dead_microphone_seconds: whole(DEAD_MICROPHONE_SECONDS),
            clipping_percent: whole(CLIPPING_PERCENT),
        }
    }
}

impl Default for Thresholds {
    fn default() -> Thresholds {
        Thresholds::of(|bounds| bounds.usual)
    }
}
