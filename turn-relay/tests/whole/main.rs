//! The relay over real sockets.
#![cfg(feature = "client")]

mod bench;
mod binding;
mod conformance;
