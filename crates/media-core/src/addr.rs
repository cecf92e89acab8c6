//! The address a packet came from, as a key that hashes fast.
//!
//! Keys enter the address table only after a valid connectivity check, so nobody can flood it with chosen hashes.
//!
//! Invariant: two addresses are one key exactly if a datagram to one reaches the other: scope and flow of IPv6 do
//! not count, and the IPv4-mapped form is not used by our sockets.

use std::net::{IpAddr, SocketAddr};

/// A transport address in 24 bytes without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    high: u64,
    low: u64,
    /// The port, and above it 4 or 6: `::ffff:1.2.3.4` and `1.2.3.4` are two sockets.
    port_and_family: u64,
}

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
}
