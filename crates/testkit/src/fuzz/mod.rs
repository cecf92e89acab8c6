//! The bodies of the fuzz targets: any bytes in, and either everything holds or it panics.
//!
//! They are plain functions so that `cargo test` can replay the kept corpus; `fuzz/` only hands them to the fuzzer.
//!
//! Invariant: the same input does the same thing every time, but for [`dtls()`], whose handshakes need fresh keys.

mod dtls;
mod framing;
mod message;
mod outside;
mod parsers;
mod proxy;
mod red;
mod script;
mod seeds;
mod turn;
mod witness;

pub use dtls::{dtls, feed};
pub use framing::{channel_data, turn_stream};
pub use message::message;
pub use parsers::{rtcp, rtp, sdp, stun, whip};
pub use proxy::proxy;
pub use red::red;
pub use script::script;
pub use seeds::{Seed, seeds};
pub use turn::turn;

/// A fuzz target's body.
pub type Body = fn(&[u8]);

/// Every target: its folder in `fuzz/corpus` and its body.
pub const TARGETS: [(&str, Body); 13] = [
    ("stun", stun),
    ("rtp", rtp),
    ("red", red),
    ("rtcp", rtcp),
    ("sdp", sdp),
    ("whip", whip),
    ("dtls", dtls),
    ("message", message),
    ("script", script),
    ("turn", turn),
    ("turn_stream", turn_stream),
    ("channel_data", channel_data),
    ("proxy", proxy),
];

/// What a body sets up before it reads its input, and what it remembers to judge by: who counts what an input makes us
/// allocate does not count this.
#[cfg(feature = "counting")]
pub(crate) use crate::counting::aside;

/// As with `counting`, where nobody counts.
#[cfg(not(feature = "counting"))]
pub(crate) fn aside<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Reads an input as numbers; at its end everything is 0.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    /// As many of `len` bytes as are left.
    pub(crate) fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}
