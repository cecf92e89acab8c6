//! Pure recording formats: what a call's packets become, from the spool block to the two-channel master.
//!
//! Bytes in, bytes out: no file, no thread, no clock, no random source. Nothing here knows a person.
//!
//! Invariant: a packet of the master is byte for byte the packet that arrived, or is one that this crate made and
//! that decodes to silence.
#![forbid(unsafe_code)]

mod align;
pub mod clock;
mod course;
pub mod manifest;
pub mod master;
pub mod ogg;
pub mod opus_packet;
pub mod packet;
pub mod peaks;
pub mod quality_track;
pub mod spool;
pub mod tune;

pub use packet::{BESIDE_MAX, Flags, Lane, Packet, Track};
