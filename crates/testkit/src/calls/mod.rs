//! Calls against a running server: its REST side as a program drives it, and voices with real sockets.
//!
//! For the tests of the whole binary and the load generator, so that both go the way that another vendor's client goes:
//! start, offer, accept, grant, `POST /api/rtc`.

mod desk;
mod voice;

pub use desk::{Agent, Desk, Fault, Joined};
pub use voice::{Heard, Log, PRESS_PACKETS, Sent, Source, Voice, client, numbers, spread, spurt};
