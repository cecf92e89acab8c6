//! Where a packet came from, as a key that hashes fast: an address of the wire, or a path through the relay.
//!
//! Keys enter the address table only after a valid connectivity check, so nobody can flood it with chosen hashes.
//!
//! Invariant: two addresses are one key exactly if a datagram to one reaches the other: scope and flow of IPv6 do
//! not count, and the IPv4-mapped form is not used by our sockets. No address is the key of a path.

use std::net::{IpAddr, SocketAddr};

use crate::origin::{Destination, Path, Via};

/// A transport address or a path in 24 bytes without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    high: u64,
    low: u64,
    /// The port, and above it 4 or 6: `::ffff:1.2.3.4` and `1.2.3.4` are two sockets. Of a path: nothing, and above it
    /// what no address has there.
    port_and_family: u64,
}

impl Key {
    /// True for the key of a path through the relay.
    #[inline]
    #[must_use]
    pub const fn is_path(&self) -> bool {
        self.port_and_family >> 16 >= PATHS
    }
}

/// The first number above the port that no family has.
const PATHS: u64 = 8;

impl From<SocketAddr> for Key {
    #[inline]
    fn from(address: SocketAddr) -> Key {
        let port = u64::from(address.port());
        match address.ip() {
            IpAddr::V4(ip) => Key {
                high: 0,
                low: u64::from(ip.to_bits()),
                port_and_family: 4 << 16 | port,
            },
            IpAddr::V6(ip) => {
                let bits = ip.to_bits();
                Key {
                    high: (bits >> 64) as u64,
                    low: bits as u64,
                    port_and_family: 6 << 16 | port,
                }
            }
        }
    }
}

impl From<Path> for Key {
    #[inline]
    fn from(path: Path) -> Key {
        let [slot, life] = path.allocation;
        let via = match path.via {
            Via::Udp => PATHS,
            Via::Tcp => PATHS + 1,
            Via::Tls => PATHS + 2,
        };
        Key {
            high: u64::from(slot) << 32 | u64::from(life),
            low: u64::from(path.end),
            port_and_family: via << 16,
        }
    }
}

impl From<Destination> for Key {
    #[inline]
    fn from(destination: Destination) -> Key {
        match destination {
            Destination::Wire(address) => Key::from(address),
            Destination::Relay(path) => Key::from(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn family_port_and_address_all_count() {
        let key = |text: &str| Key::from(text.parse::<SocketAddr>().unwrap());
        assert_eq!(key("1.2.3.4:5"), key("1.2.3.4:5"));
        assert_ne!(key("1.2.3.4:5"), key("1.2.3.4:6"));
        assert_ne!(key("1.2.3.4:5"), key("[::102:304]:5"));
        assert_ne!(key("[1::2]:5"), key("[2::1]:5"));
    }

    #[test]
    fn everything_of_a_path_counts_and_no_address_is_one() {
        let path = Path {
            allocation: [1, 2],
            end: 3,
            via: Via::Udp,
        };
        let others = [
            Path {
                allocation: [2, 2],
                ..path
            },
            Path {
                allocation: [1, 3],
                ..path
            },
            Path { end: 4, ..path },
            Path { via: Via::Tcp, ..path },
            Path { via: Via::Tls, ..path },
        ];
        assert!(others.iter().all(|&other| Key::from(other) != Key::from(path)));
        assert!(others.iter().all(|&other| Key::from(other).is_path()));
        // The address whose bits are those of the path.
        let twin: SocketAddr = "[0:1:0:2::3]:0".parse().unwrap();
        assert_ne!(Key::from(twin), Key::from(path));
        assert!(!Key::from(twin).is_path());
    }
}
