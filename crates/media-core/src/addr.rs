//! Where a packet came from, as a key that hashes fast: both ends of a way over the wire, or a path through the relay.
//!
//! Keys enter the address table only after a valid connectivity check, so nobody can flood it with chosen hashes.
//!
//! Invariant: two ways are one key exactly if they lead from the same address of this machine to the same address: scope
//! and flow of IPv6 do not count, and the IPv4-mapped form is not used by our sockets. No address is the key of a path.

use std::net::IpAddr;

use crate::origin::{Destination, Path, Via, Wire};

/// A way over the wire or a path in 24 bytes without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    high: u64,
    low: u64,
    /// The port, above it in a byte 4 or 6 (`::ffff:1.2.3.4` and `1.2.3.4` are two sockets), and above that the number of
    /// this machine's address. Of a path: nothing, and above it what no address has there.
    port_and_family: u64,
}

impl Key {
    /// True for the key of a path through the relay.
    #[inline]
    #[must_use]
    pub const fn is_path(&self) -> bool {
        self.port_and_family >> 16 & 0xFF >= PATHS
    }

    /// All of a way over IPv4, and never 0; `None` for any other.
    #[inline]
    pub(crate) const fn v4(&self) -> Option<u64> {
        if self.port_and_family >> 16 & 0xFF == 4 {
            Some(self.low << 32 | self.port_and_family)
        } else {
            None
        }
    }
}

/// The first number above the port that no family has.
const PATHS: u64 = 8;

impl From<Wire> for Key {
    #[inline]
    fn from(wire: Wire) -> Key {
        let port = u64::from(wire.local().number()) << 24 | u64::from(wire.port());
        match wire.ip() {
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
            Destination::Wire(wire) => Key::from(wire),
            Destination::Relay(path) => Key::from(path),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::SocketAddr;

    use rustc_hash::FxHashSet;

    use super::*;
    use crate::origin::Local;

    fn key(text: &str, local: u8) -> Key {
        Key::from(Wire::new(text.parse::<SocketAddr>().unwrap(), Local::new(local)))
    }

    #[test]
    fn family_port_and_address_all_count() {
        assert_eq!(key("1.2.3.4:5", 0), key("1.2.3.4:5", 0));
        assert_ne!(key("1.2.3.4:5", 0), key("1.2.3.4:6", 0));
        assert_ne!(key("1.2.3.4:5", 0), key("[::102:304]:5", 0));
        assert_ne!(key("[1::2]:5", 0), key("[2::1]:5", 0));
    }

    /// Ways over IPv4 that differ in one thing each.
    pub(crate) fn of_ipv4() -> Vec<Key> {
        let remotes = [
            "1.2.3.4:5",
            "1.2.3.5:5",
            "1.2.3.4:6",
            "255.255.255.255:65535",
            "0.0.0.0:0",
        ];
        let all = remotes
            .iter()
            .flat_map(|remote| [0, 1, u8::MAX].map(|local| key(remote, local)));
        all.collect()
    }

    /// Ways that are none over IPv4.
    pub(crate) fn of_others() -> [Key; 3] {
        let path = Path {
            allocation: [1, 2],
            end: 3,
            via: Via::Udp,
        };
        [key("[::102:304]:5", 0), key("[4::4]:4", 4), Key::from(path)]
    }

    #[test]
    fn of_ipv4_eight_bytes_say_as_much_as_the_whole_key() {
        let all = of_ipv4();
        let short = FxHashSet::from_iter(all.iter().map(|key| key.v4().unwrap()));
        assert_eq!(short.len(), all.len());
        assert!(!short.contains(&0));
        assert!(of_others().iter().all(|key| key.v4().is_none()));
    }

    #[test]
    fn the_end_at_this_machine_counts_and_makes_no_path() {
        for remote in ["1.2.3.4:65535", "[1::2]:65535"] {
            let all = [0, 1, 2, PATHS as u8, u8::MAX].map(|local| key(remote, local));
            assert_eq!(FxHashSet::from_iter(all).len(), all.len());
            assert!(all.iter().all(|key| !key.is_path()));
            assert_eq!(key(remote, u8::MAX), key(remote, u8::MAX));
        }
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
        assert_ne!(Key::from(Wire::from(twin)), Key::from(path));
        assert!(!Key::from(Wire::from(twin)).is_path());
    }
}
