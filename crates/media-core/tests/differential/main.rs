//! SRTP and RTCP against the crates of webrtc-rs, which share no line with ours: what one writes, the other must read.
//!
//! STUN is held against `stun-rs` in `crates/stun/tests/differential.rs`.

#![cfg(test)]

mod rtcp;
mod srtp;
