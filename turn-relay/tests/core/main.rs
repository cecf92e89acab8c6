//! The core of the TURN server under a virtual clock: every rule by the section that asks for it.
#![cfg(test)]

mod allowlist;
mod bed;
mod behaviour;
mod credentials;
mod data;
mod framing;
mod front;
mod lifetimes;
mod limits;
mod proxy;
mod rfc8489;
mod rfc8656;
