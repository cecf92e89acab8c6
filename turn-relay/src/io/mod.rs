//! The edge of the relay: threads, sockets, TLS and rings around the pure core.

mod edge;
mod listen;
mod mail;
mod nonces;
mod peers;
mod pulse;
mod rest;
mod ring;
mod start;
pub(crate) mod stream;
mod udp;
mod worker;

pub use start::{Relay, RelayHandle, StartFailed};
