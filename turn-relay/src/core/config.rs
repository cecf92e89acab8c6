//! What one core is made from.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use super::credential::{LegNames, Secrets};
use super::nonce::NonceKey;
use super::quota::Quota;
use super::virtual_ports::{PORT_FIRST, PORT_FIRST_MIN, RELAYED_IPS_MAX};

/// Limits that an operator may change; the defaults are those of the design.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A credential whose time ends later than so many seconds from now is none of ours. Higher: a stolen secret mints
    /// longer. Lower: clocks of nodes must agree better.
    pub credential_ahead_s: u64,
    /// Allocations per leg: over UDP, TCP and TLS, in both families. Higher: more memory per credential. Lower: a
    /// browser with two interfaces loses candidates.
    pub allocations_per_leg: u32,
    /// Allocations per IPv4 /24 or IPv6 /56: a large office behind one address. Higher: one network may fill the node.
    pub allocations_per_prefix: u32,
    /// Allocations of this core: at most its share of the virtual ports.
    pub allocations: u32,
    /// Datagrams per second from one client, with a burst of one second: voice is 50, its reports and checks 20.
    pub packets_per_s: u32,
    /// Bits per second of payload from one client, with a burst of one second: Opus at 64 kbit/s with redundancy.
    pub bits_per_s: u32,
    /// New peers per second and allocation, allow-list mode only: a credential is no port scanner.
    pub new_peers_per_s: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            credential_ahead_s: 300,
            allocations_per_leg: 6,
            allocations_per_prefix: 4_096,
            allocations: 16_384,
            packets_per_s: 200,
            bits_per_s: 256_000,
            new_peers_per_s: 5,
        }
    }
}

/// Which relayed addresses there are in virtual mode. They are names that nobody binds, so any number of them costs no
/// socket; the IPs should be the node's own, so that no other machine has the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// IPs beside the first candidate's of each family. A family that has no candidate has no relayed addresses.
    pub more_ips: Vec<IpAddr>,
    /// The first port of each IP, [`PORT_FIRST_MIN`] to [`PORT_FIRST`]; rounded up to an even one.
    pub port_first: u16,
}

impl Default for Relayed {
    fn default() -> Relayed {
        Relayed {
            more_ips: Vec::new(),
            port_first: PORT_FIRST,
        }
    }
}

impl Relayed {
    pub(super) fn is_usable(&self) -> bool {
        (PORT_FIRST_MIN..=PORT_FIRST).contains(&self.port_first) && self.more_ips.len() < RELAYED_IPS_MAX
    }

    /// The IPs of the family of `first`, each once.
    pub(super) fn ips(&self, first: IpAddr) -> Vec<IpAddr> {
        let mut ips = vec![first];
        for ip in &self.more_ips {
            if ip.is_ipv6() == first.is_ipv6() && !ips.contains(ip) {
                ips.push(*ip);
            }
        }
        ips
    }
}

/// One address that clients come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// As clients see it: the public address, not the bound one.
    pub address: SocketAddr,
    /// A datagram socket: may be asked to answer from another one (RFC 5780).
    pub udp: bool,
}

/// What of RFC 5780 is offered on Binding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// One public IP: a request to answer from the other port is heard, one for another IP refused (420).
    #[default]
    OneAddress,
    /// Two public IPs with the same two ports: everything, and larger answers.
    TwoAddresses,
}

/// Which payloads a client may send on to whoever is behind the relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gate {
    /// What media speaks: first byte 0–3 (STUN), 20–63 (DTLS), 128–191 (RTP, RTCP), 1 to 1,500 bytes (RFC 7983 §7).
    #[default]
    Media,
    /// Anything: for the echo endpoint of conformance tools.
    Any,
}

/// Whose TURN is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// RFC 8656.
    #[default]
    Rfc8656,
    /// What coturn's client tools speak: channels 0x4000 to 0x7FFF (RFC 5766 §11), and an attribute number of its own for
    /// the second family. For conformance only.
    CoturnTools,
}

impl Dialect {
    /// Numbers that a channel may have.
    #[must_use]
    pub const fn channel_numbers(self) -> std::ops::RangeInclusive<u16> {
        match self {
            Dialect::Rfc8656 => stun::channel::NUMBERS,
            Dialect::CoturnTools => stun::channel::NUMBERS_BEFORE,
        }
    }

    /// Whether ChannelData may begin with this byte.
    pub(crate) const fn channel_begins_with(self, first: u8) -> bool {
        let numbers = self.channel_numbers();
        first >= (*numbers.start() >> 8) as u8 && first <= (*numbers.end() >> 8) as u8
    }

    /// The number of ADDITIONAL-ADDRESS-FAMILY.
    pub(crate) const fn additional_family(self) -> u16 {
        match self {
            Dialect::Rfc8656 => stun::attribute::ADDITIONAL_ADDRESS_FAMILY,
            Dialect::CoturnTools => 0x8032,
        }
    }
}

/// See the top of this file.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which worker this core is, below `workers`.
    pub worker: u16,
    /// How many share the virtual ports, at most 64.
    pub workers: u16,
    /// False: Binding only; every other request meets silence.
    pub turn: bool,
    /// REALM, at most 64 bytes: `helpline`.
    pub realm: String,
    /// Everything that clients come to, of all workers, in the order of [`super::Flow::local`].
    pub listeners: Vec<Listener>,
    /// RFC 5780.
    pub behaviour: Behaviour,
    /// See there.
    pub limits: Limits,
    /// See there; of no meaning in allow-list mode.
    pub relayed: Relayed,
    /// See there.
    pub gate: Gate,
    /// See there.
    pub dialect: Dialect,
    /// See there.
    pub leg_names: LegNames,
    /// The secrets that credentials are judged with.
    pub secrets: Secrets,
    /// Number (0–3) and key of the nonces.
    pub nonce_key: NonceKey,
    /// 32 random bytes for the keyed hashes of this core's tables and of the flows that staff see; the same for all
    /// workers, so that one client has one name.
    pub seed: [u8; 32],
    /// Counts per leg and prefix, shared by all workers of the process; locked at Allocate and at an allocation's end.
    pub quota: Arc<Mutex<Quota>>,
}

/// Why a core cannot be made from this configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// No shard, or none with an address.
    #[error("no candidate address to relay to")]
    NoCandidates,
    /// More candidates than a [`ports::RelayPath`] can tell apart.
    #[error("more than 256 candidate addresses")]
    TooManyCandidates,
    /// `worker` and `workers` do not fit, or there are more than 64.
    #[error("worker {0} of {1} is not possible")]
    Worker(u16, u16),
    /// The relayed ports begin too low or too high, or there are too many IPs.
    #[error("relayed addresses have ports from 1024 or above, 49152 at most, and 16 IPs at most")]
    Relayed,
    /// The realm is empty or longer than 64 bytes.
    #[error("the realm must have 1 to 64 bytes")]
    Realm,
}
