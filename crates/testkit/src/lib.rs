//! Development only: virtual network, scripted peer, sound, tidy checks.
//!
//! Never a dependency of a part of the product. Each module sits behind a feature of its own, so that the tests of a pure
//! crate compile only what they use.

#[cfg(feature = "bad_line")]
pub mod bad_line;
#[cfg(feature = "bed")]
pub mod bed;
#[cfg(feature = "calls")]
pub mod calls;
#[cfg(feature = "counting")]
pub mod counting;
#[cfg(feature = "fuzz")]
pub mod fuzz;
#[cfg(feature = "net")]
pub mod impair;
#[cfg(feature = "peer")]
pub mod peer;
#[cfg(feature = "properties")]
pub mod properties;
#[cfg(feature = "sound")]
pub mod sound;
#[cfg(feature = "steps")]
pub mod steps;
