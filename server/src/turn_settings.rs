//! The part of the settings that is about STUN and TURN: our own relay, its limits, a service of somebody else.

use std::net::IpAddr;
use std::path::PathBuf;

use confique::Config;

/// See [`crate::settings::Settings::stun`].
#[derive(Config, Clone, Debug)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub(crate) struct Stun {
    /// Older name of `turn.bind`; one address.
    #[config(env = "HELPLINE_STUN_BIND")]
    pub(crate) bind: Option<IpAddr>,

    /// Older name of `turn.ports`.
    #[config(env = "HELPLINE_STUN_PORTS", parse_env = confique::env::parse::list_by_comma)]
    pub(crate) ports: Option<Vec<u16>>,

    /// Older name of `turn.public_host`.
    #[config(env = "HELPLINE_STUN_PUBLIC_HOST")]
    pub(crate) public_host: Option<String>,
}

/// What our relay does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Hands packets to media in this process and sends to nobody else.
    Virtual,
    /// Sends by sockets of its own to the addresses of a list.
    Allowlist,
    /// Answers STUN alone.
    Off,
}

/// What a browser's connection may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Policy {
    /// Whatever connects.
    All,
    /// A TURN relay only.
    Relay,
}

/// See [`crate::settings::Settings::turn`].
#[derive(Config, Clone, Debug)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub(crate) struct Turn {
    /// `virtual`: what a client sends through the relay is handed to media in this process and goes nowhere else.
    /// `allowlist`: it is sent by real sockets to the addresses of `peers`, for conformance tools. `off`: STUN alone.
    #[config(env = "HELPLINE_TURN_MODE", default = "virtual")]
    pub(crate) mode: Mode,

    /// Addresses to bind, one per family at most. Default: `0.0.0.0`.
    #[config(env = "HELPLINE_TURN_BIND", parse_env = confique::env::parse::list_by_comma)]
    pub(crate) bind: Option<Vec<IpAddr>>,

    /// A second address of this machine for STUN and TURN, with the same two ports; `bind` must then name one address of
    /// that family and not all. With it clients can find out what kind of NAT they are behind (RFC 5780); an answer to
    /// STUN takes 68 bytes then instead of 32.
    #[config(env = "HELPLINE_TURN_ALTERNATE_IP")]
    pub(crate) alternate_ip: Option<IpAddr>,

    /// `alternate_ip` as clients see it, where 1:1 NAT makes that another one.
    #[config(env = "HELPLINE_TURN_ALTERNATE_PUBLIC_IP")]
    pub(crate) alternate_public_ip: Option<IpAddr>,

    /// Ports, UDP and TCP: STUN and TURN on both, `turns:` URLs name the second one. An empty list switches both off.
    /// Default: 3478 and 3479.
    #[config(env = "HELPLINE_TURN_PORTS", parse_env = confique::env::parse::list_by_comma)]
    pub(crate) ports: Option<Vec<u16>>,

    /// Host name or address that browsers are told. Default: the first address that media advertises. For `turns:` it
    /// must be a name in the certificate.
    #[config(env = "HELPLINE_TURN_PUBLIC_HOST")]
    pub(crate) public_host: Option<String>,

    /// Certificate chain in PEM for TURN over TLS; read again when it changes. Without it no `turns:` is offered.
    #[config(env = "HELPLINE_TURN_TLS_CERTIFICATE")]
    pub(crate) tls_certificate: Option<PathBuf>,

    /// Private key of that certificate in PEM.
    #[config(env = "HELPLINE_TURN_TLS_KEY")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Further URLs of this relay, such as `turns:turn.bank.example:443?transport=tcp` where a load balancer passes that
    /// port on to ours.
    #[config(env = "HELPLINE_TURN_MORE_URLS", parse_env = confique::env::parse::list_by_comma, default = [])]
    pub(crate) more_urls: Vec<String>,

    /// Networks (CIDR) of load balancers that pass TCP connections on to us and begin each with a PROXY header, version 1
    /// or 2: what it says counts as the client's address. Without such a header a connection from there is closed; from
    /// elsewhere one means nothing.
    #[config(env = "HELPLINE_TURN_PROXIES", parse_env = confique::env::parse::list_by_comma, default = [])]
    pub(crate) proxies: Vec<String>,

    /// Realm that clients are told.
    #[config(env = "HELPLINE_TURN_REALM", default = "helpline")]
    pub(crate) realm: String,

    /// Secret that credentials are made with, 32 bytes at least. Default: a random one per start, which is best: the
    /// program that makes credentials also checks them.
    #[config(env = "HELPLINE_TURN_SECRET")]
    pub(crate) secret: Option<String>,

    /// Addresses `ip:port` that may be sent to in the mode `allowlist`.
    #[config(env = "HELPLINE_TURN_PEERS", parse_env = confique::env::parse::list_by_comma, default = [])]
    pub(crate) peers: Vec<String>,

    /// IPs of relayed addresses beside the first one that media advertises, 15 at most: further addresses of this node, so
    /// that nobody else has them. Nothing is bound there. For more than 16,384 allocations at a time.
    #[config(env = "HELPLINE_TURN_RELAYED_IPS", parse_env = confique::env::parse::list_by_comma, default = [])]
    pub(crate) relayed_ips: Vec<IpAddr>,

    /// First port of relayed addresses, 1024 to 49152. With 49152 an IP has 16,384 of them, with 1024 it has 64,512.
    #[config(env = "HELPLINE_TURN_RELAYED_PORT_FIRST", default = 49152)]
    pub(crate) relayed_port_first: u16,

    /// Threads that read UDP, 1 to 4. One is enough for some thousand relayed calls. 0: none of its own, the thread of
    /// the only shard does it, which costs less than two threads that wake each other. Default: 0 where `media.shards`
    /// is 1 and `mode` is `virtual`, else 1.
    #[config(env = "HELPLINE_TURN_UDP_WORKERS")]
    pub(crate) udp_workers: Option<u16>,

    /// What browsers may use: `all`, or `relay` for a deployment whose media must never go straight to the media ports.
    /// Default: the browser's own, which is `all`.
    #[config(env = "HELPLINE_TURN_TRANSPORT_POLICY")]
    pub(crate) transport_policy: Option<Policy>,

    /// The integration guide's name for the URL of a TURN server. One of somebody else is listed beside ours; one that
    /// names this host is where ours is found, and sets `public_host`.
    #[config(env = "NEXT_PUBLIC_TURN_URL")]
    pub(crate) url: Option<String>,

    /// User name for a foreign `url`.
    #[config(env = "TURN_USERNAME")]
    pub(crate) username: Option<String>,

    /// Password for a foreign `url`.
    #[config(env = "TURN_CREDENTIAL")]
    pub(crate) credential: Option<String>,

    /// Limits of our relay.
    #[config(nested)]
    pub(crate) limits: Limits,

    /// A TURN service of somebody else, listed beside ours.
    #[config(nested)]
    pub(crate) external: External,
}

/// See [`Turn::limits`].
#[derive(Config, Clone, Debug)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub(crate) struct Limits {
    /// Seconds within which a credential must be used for a new allocation, 30 to 240; what runs, runs on.
    #[config(env = "HELPLINE_TURN_LIMITS_CREDENTIAL_LIFE_S", default = 120)]
    pub(crate) credential_life_s: u32,

    /// Allocations of one leg: UDP, TCP and TLS, over IPv4 and IPv6.
    #[config(env = "HELPLINE_TURN_LIMITS_ALLOCATIONS_PER_LEG", default = 6)]
    pub(crate) allocations_per_leg: u32,

    /// Allocations of one network: an IPv4 /24 or an IPv6 /56.
    #[config(env = "HELPLINE_TURN_LIMITS_ALLOCATIONS_PER_PREFIX", default = 4096)]
    pub(crate) allocations_per_prefix: u32,

    /// Allocations in all, at most as many as there are relayed addresses: 16,384 unless `relayed_ips` or
    /// `relayed_port_first` make more. The threads that read UDP and the one of TCP and TLS share them in equal parts.
    #[config(env = "HELPLINE_TURN_LIMITS_ALLOCATIONS", default = 16384)]
    pub(crate) allocations: u32,

    /// Packets a second that one allocation may send to us; more are dropped.
    #[config(env = "HELPLINE_TURN_LIMITS_UPLINK_PPS", default = 200)]
    pub(crate) uplink_pps: u32,

    /// Kilobits a second that one allocation may send to us; more is dropped.
    #[config(env = "HELPLINE_TURN_LIMITS_UPLINK_KBPS", default = 256)]
    pub(crate) uplink_kbps: u32,

    /// New peers a second of one allocation in the mode `allowlist`.
    #[config(env = "HELPLINE_TURN_LIMITS_NEW_PEERS_PER_S", default = 5)]
    pub(crate) new_peers_per_s: u32,

    /// Connections over TCP and TLS that have not shown a credential yet.
    #[config(env = "HELPLINE_TURN_LIMITS_STREAMS_UNVERIFIED", default = 2048)]
    pub(crate) streams_unverified: u32,

    /// The same from one network.
    #[config(env = "HELPLINE_TURN_LIMITS_STREAMS_UNVERIFIED_PER_PREFIX", default = 64)]
    pub(crate) streams_unverified_per_prefix: u32,

    /// TLS handshakes a second.
    #[config(env = "HELPLINE_TURN_LIMITS_HANDSHAKES_PER_S", default = 200)]
    pub(crate) handshakes_per_s: u32,

    /// The same of one network, which may begin `streams_unverified_per_prefix` at once after a pause. A quarter of all, so
    /// that one network that hammers does not keep others out.
    #[config(env = "HELPLINE_TURN_LIMITS_HANDSHAKES_PER_S_PER_PREFIX", default = 50)]
    pub(crate) handshakes_per_s_per_prefix: u32,

    /// Milliseconds that a new connection over TCP or TLS waits before it is answered, 3,000 at most. A browser tries all
    /// ways at once and keeps to the one it is connected by first; one lost datagram must not put a whole call on TCP.
    #[config(env = "HELPLINE_TURN_LIMITS_HEAD_START_MS", default = 300)]
    pub(crate) head_start_ms: u32,
}

/// See [`Turn::external`]. Exactly one way to its credentials: `username` with `credential`, `secret`, or `fetch_url`
/// with `fetch_key`.
#[derive(Config, Clone, Debug)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub(crate) struct External {
    /// URLs such as `turn:turn.example:3478?transport=udp` and `turns:turn.example:443?transport=tcp`, eight at most.
    /// Not with `fetch_url`, whose answer brings its own.
    #[config(env = "HELPLINE_TURN_EXTERNAL_URLS", parse_env = confique::env::parse::list_by_comma, default = [])]
    pub(crate) urls: Vec<String>,

    /// Fixed user name.
    #[config(env = "HELPLINE_TURN_EXTERNAL_USERNAME")]
    pub(crate) username: Option<String>,

    /// Fixed password.
    #[config(env = "HELPLINE_TURN_EXTERNAL_CREDENTIAL")]
    pub(crate) credential: Option<String>,

    /// Secret shared with the service (`static-auth-secret` of coturn): credentials with an end are made from it here.
    #[config(env = "HELPLINE_TURN_EXTERNAL_SECRET")]
    pub(crate) secret: Option<String>,

    /// Where this program asks for credentials by `POST {"ttl": life_s}`; https.
    #[config(env = "HELPLINE_TURN_EXTERNAL_FETCH_URL")]
    pub(crate) fetch_url: Option<String>,

    /// Bearer key for that; it never reaches a browser.
    #[config(env = "HELPLINE_TURN_EXTERNAL_FETCH_KEY")]
    pub(crate) fetch_key: Option<String>,

    /// Seconds that made or fetched credentials last, 600 to 172,800. Fetched ones are replaced at half of it, so half
    /// of it should be as long as a call can be.
    #[config(env = "HELPLINE_TURN_EXTERNAL_LIFE_S", default = 28800)]
    pub(crate) life_s: u32,
}
