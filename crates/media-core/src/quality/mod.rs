//! How a leg sounds: the E-model per second, the conditions that somebody should see, and what a whole call makes of its
//! seconds.
//!
//! Nothing is decoded. The figures come from sequence numbers, timestamps, levels and reports; the counting itself is
//! [`crate::counters`].

pub mod emodel;
pub mod flags;
pub mod thresholds;
pub mod window;
