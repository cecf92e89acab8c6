//! The wall clock, read in one place: for the time stamp of messages only, never for a decision.

use std::time::{SystemTime, UNIX_EPOCH};

use call_model::Timestamp;

/// Now.
#[expect(
    clippy::disallowed_methods,
    reason = "the edge reads the clock, here and nowhere else"
)]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
