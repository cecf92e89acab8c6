//! The only place that reads the clock, or waits by it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Now, on the clock of durations.
#[expect(
    clippy::disallowed_methods,
    reason = "the load generator's edge: everything else is given the time"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Now, on the clock by which the kernel stamps datagrams: since the Unix epoch.
#[expect(
    clippy::disallowed_methods,
    reason = "the load generator's edge: everything else is given the time"
)]
pub(crate) fn stamp() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The same as a number: since the machine was started.
pub(crate) fn uptime() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    Duration::new(time.tv_sec.max(0) as u64, time.tv_nsec as u32)
}

/// Time that the calling thread has been on a core.
pub(crate) fn on_core() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.max(0) as u64, time.tv_nsec as u32)
}

/// Sleeps until `end`, to which the kernel is true within some microseconds.
#[expect(
    clippy::disallowed_methods,
    reason = "a generator keeps time: it waits for nothing but the clock"
)]
pub(crate) fn sleep_until(end: Instant) {
    std::thread::sleep(end.saturating_duration_since(now()));
}
