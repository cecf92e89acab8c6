//! The one clock of this part: nanoseconds since the process began, from the monotonic source, and where that lies in
//! wall time.
//!
//! Nothing else here reads a clock. Wall time is read once, so a step of the system's clock never bends a recording.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds between the NTP era (1900) and the Unix epoch (RFC 5905 §6).
const NTP_UNIX_OFFSET_S: u64 = 2_208_988_800;

/// A started clock; copies show the same time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    zero: Instant,
    unix_ns_at_zero: u64,
}

impl Clock {
    /// Starts at zero now.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the edge of this part: everybody else is handed the time"
    )]
    pub fn start() -> Clock {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Clock {
            zero: Instant::now(),
            unix_ns_at_zero: nanoseconds(unix),
        }
    }

    /// Nanoseconds since the start; never goes back.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the edge of this part: everybody else is handed the time"
    )]
    pub fn now_ns(&self) -> u64 {
        nanoseconds(Instant::now().saturating_duration_since(self.zero))
    }

    /// Unix time of the start, in nanoseconds.
    #[must_use]
    pub const fn unix_ns_at_zero(&self) -> u64 {
        self.unix_ns_at_zero
    }

    /// The same moment as the standard library's type, for libraries that want it.
    #[must_use]
    pub fn instant(&self, ns: u64) -> Instant {
        self.zero + Duration::from_nanos(ns)
    }

    /// Nanoseconds since the start of such a moment; 0 for one before it.
    #[must_use]
    pub fn of_instant(&self, instant: Instant) -> u64 {
        nanoseconds(instant.saturating_duration_since(self.zero))
    }

    /// NTP time of the start: seconds in the upper half, fraction in the lower (RFC 5905 §6).
    #[must_use]
    pub fn ntp_at_zero(&self) -> u64 {
        let seconds = self.unix_ns_at_zero / 1_000_000_000 + NTP_UNIX_OFFSET_S;
        let fraction = ((u128::from(self.unix_ns_at_zero % 1_000_000_000) << 32) / 1_000_000_000) as u64;
        seconds << 32 | fraction
    }
}

fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::Clock;

    #[test]
    fn moments_go_there_and_back() {
        let clock = Clock::start();
        assert_eq!(clock.of_instant(clock.instant(123_456_789)), 123_456_789);
        assert!(clock.now_ns() <= clock.now_ns());
        let ntp = clock.ntp_at_zero();
        assert!(ntp >> 32 > 3_900_000_000, "seconds since 1900");
    }
}
