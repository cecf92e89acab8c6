//! UDP shards that drive the engine; recorder, finaliser, storage; the live view and the outbox of media's events.
//!
//! Implements [`ports::Media`] and [`ports::Recordings`]. Knows no person and no database, and waits for nobody but the
//! kernel: what the desk must know is kept for it until it has taken it.
//!
//! # Threads
//!
//! | thread | does |
//! |---|---|
//! | `hl-shard-K` | sockets and engine of shard K |
//! | `hl-dtls-K` | its handshakes |
//! | `hl-control` | events, seconds, metrics, time-outs of the asynchronous side |
//! | `hl-waveform` | waveforms of stored recordings, when asked for |
//! | recorder, finaliser | see there |
//!
//! Invariant: a full queue between two threads drops and counts, or is tried again; nothing blocks a shard.
#![forbid(unsafe_code)]

pub mod admission;
pub mod affinity;
mod beat;
mod certificates;
pub mod clock;
pub mod config;
mod control;
mod convert;
pub mod drain;
mod ends;
pub mod events;
pub mod finaliser;
mod foreign;
pub mod helper;
pub mod live;
mod metrics;
mod music;
pub mod panics;
mod pending;
mod plane;
mod plans;
pub mod preflight;
pub mod recorder;
pub mod registry;
pub mod relay;
mod start;
pub mod storage;
pub mod tap;
mod threads;
mod waveforms;
pub mod worker;

pub use affinity::{BadPin, Pin};
pub use config::Config;
pub use metrics::Metrics;
pub use music::{BadFile, HoldMusic, PROMPT_EVERY_S_MAX, PROMPT_EVERY_S_MIN, Unplayable, Waiting};
pub use plane::Plane;
pub use start::{MediaServer, StartFailed};
