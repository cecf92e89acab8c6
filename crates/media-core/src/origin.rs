//! Where a datagram comes from and where one goes: the wire, or a path through the relay of the same process.
//!
//! Never holds what the relay knows of a path; here it is a number that leads back.
//!
//! Invariant: a path and an address are never equal, whatever their bits: the sender of a datagram can forge the one and
//! not the other.

use std::net::SocketAddr;

use crate::LegId;

/// Over what a client reaches the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// TURN over UDP.
    Udp,
    /// TURN over TCP.
    Tcp,
    /// TURN over TLS.
    Tls,
}

/// Over what a leg's media goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// Straight between the client and the shard's port.
    Direct,
    /// Through the relay.
    Relayed(Via),
}

impl Route {
    /// All of them.
    pub const ALL: [Route; 4] = [
        Route::Direct,
        Route::Relayed(Via::Udp),
        Route::Relayed(Via::Tcp),
        Route::Relayed(Via::Tls),
    ];
}

/// The way to one client through the relay; opaque but for what it goes over. Chosen by the caller, who never uses one
/// for two allocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// Which allocation, and which life of its place.
    pub allocation: [u32; 2],
    /// Whose, and which peer of it.
    pub end: u32,
    /// Over what the client came.
    pub via: Via,
}

/// What came through the relay, beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// The way back.
    pub path: Path,
    /// The virtual relayed address: what the client believes to send from.
    pub address: SocketAddr,
    /// The leg whose credential opened the way.
    pub leg: LegId,
}

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To an address, by the socket of its family.
    Wire(SocketAddr),
    /// To a client behind the relay.
    Relay(Path),
}

impl Destination {
    /// The address, if it goes there.
    #[must_use]
    pub const fn wire(&self) -> Option<SocketAddr> {
        match self {
            Destination::Wire(address) => Some(*address),
            Destination::Relay(_) => None,
        }
    }

    /// The path, if it goes through the relay.
    #[must_use]
    pub const fn path(&self) -> Option<Path> {
        match self {
            Destination::Wire(_) => None,
            Destination::Relay(path) => Some(*path),
        }
    }

    /// What kind of way this is.
    #[must_use]
    pub const fn route(&self) -> Route {
        match self {
            Destination::Wire(_) => Route::Direct,
            Destination::Relay(path) => Route::Relayed(path.via),
        }
    }
}

/// Who sent a check: where the reply goes, and the address that the client is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    pub(crate) back: Destination,
    /// For XOR-MAPPED-ADDRESS (RFC 8489 §14.2): through the relay it is the virtual relayed address, which the client
    /// knows as its candidate.
    pub(crate) seen_as: SocketAddr,
    /// Through the relay: the only leg that may be spoken to.
    pub(crate) only: Option<LegId>,
}

impl From<SocketAddr> for Sender {
    fn from(address: SocketAddr) -> Sender {
        Sender {
            back: Destination::Wire(address),
            seen_as: address,
            only: None,
        }
    }
}

impl From<Relayed> for Sender {
    fn from(relayed: Relayed) -> Sender {
        Sender {
            back: Destination::Relay(relayed.path),
            seen_as: relayed.address,
            only: Some(relayed.leg),
        }
    }
}
