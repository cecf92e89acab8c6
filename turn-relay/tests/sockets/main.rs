//! The relay over real sockets.
#![cfg(feature = "client")]

mod bench;
mod binding;
mod certificate;
mod conformance;
mod control;
mod defects;
mod foreign_client;
mod guest;
mod handshakes;
mod log;
mod port_443;
mod proxy;
mod reach;
mod streams;
mod user;
mod wildcard;
