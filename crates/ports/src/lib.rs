//! What the parts ask of one another: the trait each part implements and the values that cross.
//!
//! Never holds behaviour of a part, never names a database, a socket or a protocol crate. Requests go uphill (the desk
//! awaits media), facts come down (the desk pulls them); media awaits nobody.
#![forbid(unsafe_code)]

pub mod load;
pub mod media;
pub mod plan;
pub mod recordings;
pub mod relay;
pub mod secret;
pub mod thresholds;

use std::{future::Future, pin::Pin};

pub use call_model::LegId;
pub use load::{Draining, Load, Recorder, Rooms};
pub use media::{
    Answer, Cause, DTLS_LIMIT_S, Direction, DownlinkSecond, EventKind, Flag, Flags, ICE_LIMIT_S, LegGrant, LegSnapshot,
    LegSummary, Media, MediaEvent, Part, Policy, RecordCommand, Red, Refusal, RoomSnapshot, Sdp,
};
pub use plan::{Announce, Author, Plan, Shield, Stance, Tap};
pub use recordings::{
    AudioSlice, Layout, QualitySecond, QualityTrack, RecordingFault, RecordingStep, Recordings, Sound, StepKind,
    StoredFile, Voice, Waveform, WaveformFault,
};
pub use relay::{
    Accepted, AllocationView, FromRelay, GuestRead, LegState, RelayControl, RelayEgress, RelayGuest, RelayHealth,
    RelayLegs, RelayPath, RelayShard, RelaySink, Route, TooSoon, TurnCredentials, TurnGrant, Via,
};
pub use secret::Secret;
pub use thresholds::Thresholds;

/// A boxed future, so that the traits of this crate can be used as trait objects.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
