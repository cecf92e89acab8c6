//! STUN and TURN on 3478 and 3479: tells a client the address that the world sees, and carries the media of those whom a
//! closed network lets reach nothing but these ports.
//!
//! Binding requests (RFC 8489) are answered without a credential, under a budget per source prefix. TURN (RFC 8656)
//! takes credentials of one leg and, in virtual mode, relays to our own shards and to nobody else: a relayed address is
//! a name, not a socket. [`core`] decides, without socket, clock or chance; the rest of this crate drives it.
//!
//! Invariant: a reply goes to where the request came from, no byte leaves without a well-formed request, and no line of
//! the log names a client's address, user or credential.
#![forbid(unsafe_code)]

#[cfg(feature = "client")]
pub mod client;
mod clock;
mod config;
pub mod core;
mod io;
mod metrics;

pub use config::{CREDENTIAL_S, Config, LISTENERS_MAX, Listen, Mode, Neighbours, PORTS, REALM, UDP_WORKERS_MAX};
pub use io::stream::{StreamLimits, TlsFault, TlsFiles};
pub use io::{Relay, RelayHandle, StartFailed};
pub use metrics::Metrics;
