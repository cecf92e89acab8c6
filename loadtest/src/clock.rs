//! The only place that reads the clock.

use std::time::Instant;

/// Now, on the clock of durations.
#[expect(
    clippy::disallowed_methods,
    reason = "the load generator's edge: everything else is given the time"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
