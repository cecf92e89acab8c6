//! The WebSocket endpoint: our own protocol, and the join/to protocol of the integration guide beside it.
//!
//! Never decides anything about the business and never speaks SQL: it carries commands to the desk, events to those
//! they concern, and session descriptions to media. Sessions live in the memory of this node; a client whose session
//! is gone draws its page anew.
#![forbid(unsafe_code)]

mod clock;
mod commands;
mod compat;
mod credentials;
mod door;
mod endpoint;
mod hub;
mod limits;
mod metrics;
mod protocol;
mod pulse;
mod registry;
mod session;
mod silent;
mod socket;

pub use endpoint::router;
pub use limits::*;

/// What the configuration says to this part.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--demo`: a visitor from this machine may join by the guide's protocol without a credential.
    pub demo: bool,
    /// Origins whose pages may open a socket, beside the page's own host.
    pub allowed_origins: Vec<String>,
}
