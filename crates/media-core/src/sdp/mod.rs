//! SDP offers read and answered (RFC 8866, RFC 9429, RFC 8839, RFC 8842): audio in one BUNDLE, our side ICE-lite and
//! DTLS-passive.
//!
//! Runs on the caller's thread, never on a shard. Candidates of the client are counted and thrown away: a lite agent
//! learns addresses from checks (RFC 8445 §2.5), so no name is ever resolved and no odd candidate can break anything.
//!
//! Invariant: an answer names only payload types and extension ids of the very offer it answers, and has its sections
//! in the offer's order.

mod answer;
mod fragment;
mod offer;
#[cfg(test)]
mod tests;
mod value;

pub use answer::{Ours, Red, answer};
pub use fragment::{Fragment, FragmentRefused, read_fragment, restart_fragment};
pub use offer::{Candidates, Direction, Offer, Refused, read_offer};

/// Largest offer in bytes: browsers send 2 to 6 kB with three audio sections.
pub const OFFER_BYTES_MAX: usize = 32 * 1_024;
/// Most sections: one that talks, two that listen, and what a foreign client may add to be refused.
pub const SECTIONS_MAX: usize = 8;
/// Most lines.
pub const LINES_MAX: usize = 1_024;
/// Longest line in bytes: a candidate or a fingerprint is below 300.
pub const LINE_BYTES_MAX: usize = 2_048;
