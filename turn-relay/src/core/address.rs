//! Who may be reached in allow-list mode: pure rules over addresses.
//!
//! An address is made canonical once, before any rule: an IPv4 address that hides in an IPv6 one (mapped, compatible,
//! NAT64, 6to4, Teredo) is never taken for an IPv6 address (CVE-2026-27624, CVE-2020-26262).
//!
//! Invariant: what [`denied`] refuses is refused even if the list names it; only loopback has an exception, and only
//! while every listener is on loopback, which is a test bench.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// An address as rules see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canonical {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address with nothing inside.
    V6(Ipv6Addr),
    /// An IPv6 address that leads to this IPv4 one.
    Hidden(Ipv4Addr),
}

impl Canonical {
    /// Source: RFC 4291 §2.5.5 (mapped, compatible), RFC 6052 §2.1 (NAT64), RFC 3056 §2 (6to4), RFC 4380 §4 (Teredo).
    #[must_use]
    pub fn of(ip: IpAddr) -> Canonical {
        let v6 = match ip {
            IpAddr::V4(v4) => return Canonical::V4(v4),
            IpAddr::V6(v6) => v6,
        };
        let low = Ipv4Addr::from_bits(v6.to_bits() as u32);
        match v6.segments() {
            [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Canonical::V6(v6),
            [0, 0, 0, 0, 0, 0xFFFF | 0, _, _] | [0x64, 0xFF9B, 0, 0, 0, 0, _, _] => Canonical::Hidden(low),
            [0x2002, high, low, ..] => Canonical::Hidden(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))),
            // Teredo: the client's address, inverted.
            [0x2001, 0, ..] => Canonical::Hidden(Ipv4Addr::from_bits(!low.to_bits())),
            _ => Canonical::V6(v6),
        }
    }

    fn is_loopback(self) -> bool {
        match self {
            Canonical::V4(v4) => v4.is_loopback(),
            Canonical::V6(v6) => v6.is_loopback(),
            Canonical::Hidden(_) => false,
        }
    }
}

/// IPv4 ranges that are nobody's host on the internet (IANA special-purpose registry, multicast, broadcast): network,
/// bits.
const DENIED_V4: [(Ipv4Addr, u32); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 52, 193, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast, reserved and broadcast.
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// The same for IPv6, what hides IPv4 addresses left out: only global unicast (2000::/3) can be reached at all.
const DENIED_V6: [(Ipv6Addr, u32); 5] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x2620, 0x4F, 0x8000, 0, 0, 0, 0, 0), 48),
    (Ipv6Addr::new(0x3FFF, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// True for what is never reached, list or not.
#[must_use]
pub fn denied(address: Canonical) -> bool {
    match address {
        Canonical::Hidden(_) => true,
        Canonical::V4(v4) => {
            let mut ranges = DENIED_V4.iter();
            ranges.any(|(network, bits)| (v4.to_bits() ^ network.to_bits()) >> (32 - bits) == 0)
        }
        Canonical::V6(v6) => {
            let mut ranges = DENIED_V6.iter();
            v6.to_bits() >> 125 != 1
                || ranges.any(|(network, bits)| (v6.to_bits() ^ network.to_bits()) >> (128 - bits) == 0)
        }
    }
}

/// One entry of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerRule {
    /// The peer.
    pub ip: IpAddr,
    /// Its port; `None` allows every port, which an operator should be warned about.
    pub port: Option<u16>,
}

impl std::str::FromStr for PeerRule {
    type Err = std::net::AddrParseError;

    /// `192.0.2.1:5000`, `[2001:db8::1]:5000`, or an address alone.
    fn from_str(text: &str) -> Result<PeerRule, Self::Err> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(PeerRule {
                ip: address.ip(),
                port: Some(address.port()),
            });
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(text);
        Ok(PeerRule {
            ip: bare.parse()?,
            port: None,
        })
    }
}

/// The list and what overrules it.
#[derive(Clone, Debug)]
pub struct PeerRules {
    rules: Vec<PeerRule>,
    listeners: Vec<SocketAddr>,
    /// Every listener is on loopback.
    bench: bool,
}

impl PeerRules {
    /// `listeners`: all of ours; they are never peers.
    #[must_use]
    pub fn new(rules: Vec<PeerRule>, listeners: Vec<SocketAddr>) -> PeerRules {
        let bench = !listeners.is_empty() && listeners.iter().all(|address| address.ip().is_loopback());
        PeerRules {
            rules,
            listeners,
            bench,
        }
    }

    /// True if some port of this IP may be reached.
    #[must_use]
    pub fn allow_ip(&self, ip: IpAddr) -> bool {
        self.rules.iter().any(|rule| rule.ip == ip) && self.not_denied(ip)
    }

    /// True if exactly this peer may be reached.
    #[must_use]
    pub fn allow(&self, peer: SocketAddr) -> bool {
        let listed = |rule: &PeerRule| rule.ip == peer.ip() && rule.port.is_none_or(|port| port == peer.port());
        self.rules.iter().any(listed) && !self.listeners.contains(&peer) && self.not_denied(peer.ip())
    }

    fn not_denied(&self, ip: IpAddr) -> bool {
        let address = Canonical::of(ip);
        !denied(address) || (self.bench && address.is_loopback())
    }
}
