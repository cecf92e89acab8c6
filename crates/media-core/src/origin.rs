//! Where a datagram comes from and where one goes: the wire, or a path through the relay of the same process.
//!
//! Never holds what the relay knows of a path; here it is a number that leads back.
//!
//! Invariant: a path and an address are never equal, whatever their bits: the sender of a datagram can forge the one and
//! not the other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::LegId;

/// An address of this machine, where a socket is bound to all of them, by the number that the caller has given it; opaque.
/// A way over the wire is both of its ends: a client that has been answered from one address takes an answer from another
/// for a stranger's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Local(u8);

impl Local {
    /// The one address that a socket is bound to, or what the kernel chooses.
    pub const UNNAMED: Local = Local(0);

    /// The address with this number of the caller's; 0 is [`Local::UNNAMED`].
    #[inline]
    #[must_use]
    pub const fn new(number: u8) -> Local {
        Local(number)
    }

    /// The caller's number of it.
    #[inline]
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

/// A way over the wire: an address that datagrams come from and go to, and the one of this machine that they come to and
/// leave from.
// In this order, so that a path lies where the address does and `Destination` is no longer than this; and packed into less
// than a `SocketAddr`, for every packet looks at one or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Wire {
    /// That of IPv4 stands in front, zeros behind.
    ip: [u8; 16],
    /// Of a link-local address of IPv6: which link.
    scope: u32,
    port: u16,
    local: Local,
    family: Family,
}

impl Wire {
    /// Between the client at `remote` and this machine's address `local`.
    #[inline]
    #[must_use]
    pub fn new(remote: SocketAddr, local: Local) -> Wire {
        let (ip, scope, family) = match remote {
            SocketAddr::V4(v4) => {
                let [a, b, c, d] = v4.ip().octets();
                ([a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0, Family::V4)
            }
            SocketAddr::V6(v6) => (v6.ip().octets(), v6.scope_id(), Family::V6),
        };
        Wire {
            ip,
            scope,
            port: remote.port(),
            local,
            family,
        }
    }

    /// The client's address.
    #[inline]
    #[must_use]
    pub fn remote(&self) -> SocketAddr {
        match self.ip() {
            IpAddr::V4(ip) => SocketAddr::new(IpAddr::V4(ip), self.port),
            // The flow of IPv6 is nothing that a peer says twice.
            IpAddr::V6(ip) => SocketAddr::V6(SocketAddrV6::new(ip, self.port, 0, self.scope)),
        }
    }

    /// This machine's.
    #[inline]
    #[must_use]
    pub const fn local(&self) -> Local {
        self.local
    }

    /// Which socket it belongs to.
    #[inline]
    #[must_use]
    pub fn is_ipv4(&self) -> bool {
        self.family == Family::V4
    }

    #[inline]
    pub(crate) fn ip(&self) -> IpAddr {
        match self.family {
            Family::V4 => {
                let [a, b, c, d, ..] = self.ip;
                IpAddr::V4(Ipv4Addr::new(a, b, c, d))
            }
            Family::V6 => IpAddr::V6(Ipv6Addr::from(self.ip)),
        }
    }

    #[inline]
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }
}

/// By the one address of its socket.
impl From<SocketAddr> for Wire {
    #[inline]
    fn from(remote: SocketAddr) -> Wire {
        Wire::new(remote, Local::UNNAMED)
    }
}

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
    /// To an address, by the socket of its family and from the address of this machine that was asked.
    Wire(Wire),
    /// To a client behind the relay.
    Relay(Path),
}

impl Destination {
    /// The way over the wire, if it is one.
    #[inline]
    #[must_use]
    pub const fn wire(&self) -> Option<Wire> {
        match self {
            Destination::Wire(wire) => Some(*wire),
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

impl From<Wire> for Sender {
    fn from(wire: Wire) -> Sender {
        Sender {
            back: Destination::Wire(wire),
            seen_as: wire.remote(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_over_the_wire_gives_back_both_its_ends() {
        for text in [
            "1.2.3.4:5",
            "[2001:db8::7]:65535",
            "[fe80::1%7]:1",
            "0.0.0.0:0",
            "[::ffff:1.2.3.4]:5",
        ] {
            let remote: SocketAddr = text.parse().unwrap();
            let wire = Wire::new(remote, Local::new(7));
            assert_eq!((wire.remote(), wire.local().number()), (remote, 7));
            assert_eq!(wire.is_ipv4(), remote.is_ipv4());
            assert_ne!(wire, Wire::from(remote), "from another address of this machine");
        }
    }
}
