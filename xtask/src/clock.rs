//! Reads the clock for the times that the reports print; nothing is decided by it.

use std::time::{Duration, Instant};

/// A running stopwatch.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place of this tool that reads the clock"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place of this tool that reads the clock"
    )]
    pub(crate) fn passed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// `75 s` or `12.3 s`.
pub(crate) fn seconds(time: Duration) -> String {
    if time.as_secs() >= 60 {
        format!("{} s", time.as_secs())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}
