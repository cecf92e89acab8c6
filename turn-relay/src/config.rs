//! What the relay is started with.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use ports::{LegId, LegState, RelayLegs, RelayShard};

use crate::core::address::PeerRule;
use crate::core::credential::LegNames;
use crate::core::{Dialect, Gate, Limits, Relayed};
use crate::io::stream::{StreamLimits, TlsFiles};

/// The ports of the guide.
pub const PORTS: [u16; 2] = [3478, 3479];
/// Seconds for which a new credential can allocate. Higher: a stolen one is good longer. Lower: a client that is slow to
/// gather candidates must ask for another.
pub const CREDENTIAL_S: u32 = 120;
/// Addresses to listen on: both families on two ports, or two IPs of each.
pub const LISTENERS_MAX: usize = 8;
/// Threads that read UDP: past four the shards behind them are the limit.
pub const UDP_WORKERS_MAX: usize = 4;
/// What clients must name as realm.
pub const REALM: &str = "helpline";

/// What the relay does beyond answering STUN.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// No TURN and no TCP: Binding only.
    #[default]
    Off,
    /// Relayed addresses that nobody binds; the only peers are our own shards.
    Virtual,
    /// Relayed addresses that are sockets, and these peers only; for conformance tools and remote media nodes.
    AllowList(Vec<PeerRule>),
}

/// One address to listen on, with UDP and, when TURN is on, with TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where to bind; port 0 takes a free one, the same for TCP.
    pub bind: SocketAddr,
    /// As clients see it, where that differs (1:1 NAT, wildcard).
    pub public: Option<SocketAddr>,
}

/// See the top of this file.
#[derive(Clone, Debug)]
pub struct Config {
    /// See there.
    pub mode: Mode,
    /// One to [`LISTENERS_MAX`]; the first two ports stand in the URLs.
    pub listen: Vec<Listen>,
    /// Threads that read UDP, up to [`UDP_WORKERS_MAX`]. 0, for one shard only: none, the shard's thread does it, which
    /// costs a third less per relayed packet, for nobody has to be woken ([`crate::RelayHandle::take_guest`]).
    pub udp_workers: usize,
    /// The name or address in the URLs; the certificate must be for it.
    pub public_host: String,
    /// Certificate and key for TLS; without them there are no `turns:` URLs.
    pub tls: Option<TlsFiles>,
    /// URLs beside those of the listeners: a load balancer's `turns:H:443?transport=tcp`.
    pub more_urls: Vec<String>,
    /// [`REALM`] unless there is a reason.
    pub realm: String,
    /// What credentials are made from; `None` draws one that lives as long as the process.
    pub secret: Option<Vec<u8>>,
    /// Seconds for which a new credential can allocate; [`CREDENTIAL_S`].
    pub credential_s: u32,
    /// All of RFC 5780, for which two IPs with the same two ports must be listened on. Its answers are larger.
    pub two_addresses: bool,
    /// Limits of allocations.
    pub limits: Limits,
    /// Which relayed addresses there are in virtual mode.
    pub relayed: Relayed,
    /// Limits of connections that have shown no credential.
    pub stream_limits: StreamLimits,
    /// Networks of load balancers that pass TCP connections on: each from there begins with a PROXY header
    /// ([`crate::core::proxy`]), whose client counts in place of the balancer. From elsewhere a header is not understood.
    pub proxies: Vec<IpNet>,
    /// What a client may send on.
    pub gate: Gate,
    /// Whose TURN is spoken.
    pub dialect: Dialect,
    /// How the leg in a user name is read.
    pub leg_names: LegNames,
}

impl Config {
    /// Listens on every port of every IP; everything else as the design has it.
    #[must_use]
    pub fn new(mode: Mode, ips: &[IpAddr], ports: &[u16], public_host: &str) -> Config {
        let each = ips.iter().flat_map(|ip| ports.iter().map(move |port| (*ip, *port)));
        Config {
            mode,
            listen: each
                .map(|(ip, port)| Listen {
                    bind: SocketAddr::new(ip, port),
                    public: None,
                })
                .collect(),
            udp_workers: 1,
            public_host: public_host.to_owned(),
            tls: None,
            more_urls: Vec::new(),
            realm: REALM.to_owned(),
            secret: None,
            credential_s: CREDENTIAL_S,
            two_addresses: false,
            limits: Limits::default(),
            relayed: Relayed::default(),
            stream_limits: StreamLimits::default(),
            proxies: Vec::new(),
            gate: Gate::Media,
            dialect: Dialect::Rfc8656,
            leg_names: LegNames::Ids,
        }
    }

    /// How often each UDP port is bound: once per thread that reads it, and once for the shard's.
    pub(crate) fn udp_sockets(&self) -> usize {
        self.udp_workers.clamp(1, UDP_WORKERS_MAX)
    }

    /// Workers in all, which is how many sinks each shard must bring: those that read UDP, and with TURN on one more for
    /// TCP and TLS, the last.
    #[must_use]
    pub fn workers(&self) -> usize {
        let udp = self.udp_sockets();
        if self.mode == Mode::Off { udp } else { udp + 1 }
    }
}

/// The rest of the node, as the relay sees it.
pub struct Neighbours {
    /// Every shard, in order; empty with TURN off or in allow-list mode.
    pub shards: Vec<RelayShard>,
    /// Who knows the legs.
    pub legs: Arc<dyn RelayLegs>,
}

impl Neighbours {
    /// Nobody: for STUN alone.
    #[must_use]
    pub fn none() -> Neighbours {
        struct Nobody;
        impl RelayLegs for Nobody {
            fn state(&self, _: LegId) -> LegState {
                LegState::Unknown
            }
        }
        Neighbours {
            shards: Vec::new(),
            legs: Arc::new(Nobody),
        }
    }
}
