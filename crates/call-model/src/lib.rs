//! Pure business rules: calls, offers, queues, presence, roles.
//!
//! No clock, no randomness, no database, no serialisation: `now` and ids are arguments, decisions are return values.
#![forbid(unsafe_code)]

pub mod agent;
pub mod call;
pub mod consult;
pub mod ids;
pub mod offer;
pub mod quality;
mod refusal;
pub mod routing;
pub mod time;
pub mod voices;

pub use ids::{CallId, LegId, OfferId, RecordingId, SegmentId, StaffId, TeamId, UserId};
pub use refusal::Refusal;
pub use time::{Span, Timestamp};
