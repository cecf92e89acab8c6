//! The clock of this part: time since it began. Nothing else here reads a clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A started clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the edge of this part: everybody else is handed the time"
    )]
    pub(crate) fn start() -> Clock {
        Clock(Instant::now())
    }

    /// Nanoseconds since the start.
    #[expect(
        clippy::disallowed_methods,
        reason = "the edge of this part: everybody else is handed the time"
    )]
    pub(crate) fn now_ns(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Milliseconds since the start.
    #[expect(
        clippy::disallowed_methods,
        reason = "the edge of this part: everybody else is handed the time"
    )]
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Seconds of the wall clock since 1970.
    #[expect(
        clippy::disallowed_methods,
        reason = "the edge of this part: everybody else is handed the time"
    )]
    pub(crate) fn unix_s(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    }
}
