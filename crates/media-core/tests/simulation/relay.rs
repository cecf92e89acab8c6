//! Clients behind the relay: their virtual addresses, the paths that lead back, and the names under which the judge knows
//! either kind of way.
//!
//! Invariant: a path is never written on the wire, and a virtual address on the wire leads to nobody.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use media_core::LegId;
use media_core::origin::{Destination, Path, Relayed, Via};

/// First byte of the virtual addresses; clients on the wire have another one.
const VIRTUAL: u8 = 100;

/// The virtual address with this number; its place in the relay's tables is its own for good.
pub(crate) fn virtual_address(number: u32) -> SocketAddr {
    let [_, a, b, c] = number.to_be_bytes();
    SocketAddr::from(([VIRTUAL, a, b, c], 50_000 + number as u16 % 10_000))
}

pub(crate) fn is_virtual(address: SocketAddr) -> bool {
    matches!(address.ip(), IpAddr::V4(ip) if ip.octets()[0] == VIRTUAL)
}

/// What the relay says of a datagram from this address, whose allocation was made for `leg`.
pub(crate) fn relayed(address: SocketAddr, leg: LegId) -> Relayed {
    let IpAddr::V4(ip) = address.ip() else {
        panic!("{address} is no virtual address")
    };
    let via = [Via::Udp, Via::Tcp, Via::Tls];
    let path = Path {
        allocation: [ip.to_bits(), address.port().into()],
        end: 0,
        via: via[usize::from(address.port()) % via.len()],
    };
    Relayed { path, address, leg }
}

/// Whom a destination leads to; `None` for a virtual address on the wire.
pub(crate) fn leads_to(destination: Destination) -> Option<SocketAddr> {
    match destination {
        Destination::Wire(wire) => (!is_virtual(wire.remote())).then(|| wire.remote()),
        Destination::Relay(path) => Some(address_of(path)),
    }
}

/// The judge's name of a way: an address has its own, a path one that no address has.
pub(crate) fn name(destination: Destination) -> SocketAddr {
    match destination {
        Destination::Wire(wire) => wire.remote(),
        Destination::Relay(path) => {
            let bits = u128::from(path.allocation[0]) | 0x2001_0DB8 << 96;
            SocketAddr::new(Ipv6Addr::from_bits(bits).into(), path.allocation[1] as u16)
        }
    }
}

fn address_of(path: Path) -> SocketAddr {
    let [ip, port] = path.allocation;
    SocketAddr::from((ip.to_be_bytes(), port as u16))
}
