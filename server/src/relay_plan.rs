//! What the settings of STUN, TURN and a managed service come down to: checked, completed, before a port is bound.
//!
//! Reads no environment and starts nothing. Older names of keys count where the new ones are silent.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use wire::leg::{IcePolicy, IceServer};

use crate::Fault;
use crate::relay_addresses::{Second, check_relayed};
use crate::settings::{External, Mode, Policy, Settings, Turn};
use crate::turn_service::{URLS_MAX, Way, host_of, is_turn};

/// Ports: STUN's two (RFC 5780 tells them apart), TURN on both.
const PORTS_MAX: usize = 2;
/// Shortest secret, bytes: as long as the keys of other systems.
const SECRET_BYTES_MIN: usize = 32;
/// Longest realm, bytes: it stands in every answer to somebody unknown, which must stay short.
const REALM_BYTES_MAX: usize = 32;
/// Most threads that read UDP.
const UDP_WORKERS_MAX: u16 = 4;
/// Life of a credential, seconds: a browser needs seconds, and what lives longer than the relay looks ahead (300 s) is
/// refused as forged.
const CREDENTIAL_LIFE_S: std::ops::RangeInclusive<u32> = 30..=240;
/// Longest start of UDP over TCP and TLS, milliseconds: a connection that has said nothing after 5 s is closed.
const HEAD_START_MS_MAX: u32 = 3_000;
/// Life of a foreign service's credentials, seconds: two calls of five minutes to the longest that services give.
const EXTERNAL_LIFE_S: std::ops::RangeInclusive<u32> = 600..=172_800;

/// Checked settings of the relay and of a service beside it.
#[derive(Debug)]
pub(crate) struct RelayPlan {
    /// What the relay does; off answers STUN alone.
    pub(crate) mode: Mode,
    /// Where it listens, the ports of the first address first; empty: neither STUN nor TURN.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The second address of RFC 5780.
    pub(crate) second: Option<Second>,
    /// Addresses that media tells browsers.
    advertise: Vec<IpAddr>,
    /// Host that browsers are told, brackets included.
    pub(crate) host: Option<String>,
    /// Addresses that may be sent to in the mode `allowlist`; without a port all ports.
    pub(crate) peers: Vec<(IpAddr, Option<u16>)>,
    /// Load balancers whose PROXY headers are believed.
    pub(crate) proxies: Vec<IpNet>,
    /// A service of somebody else.
    pub(crate) external: Option<Way>,
    /// Threads that read UDP; 0: the only shard's does.
    pub(crate) udp_workers: usize,
    /// What browsers may use.
    pub(crate) policy: Option<IcePolicy>,
    /// The guide's user name or password was given for our own host, where neither means anything.
    pub(crate) ignored_credentials: bool,
}

pub(crate) fn bad(text: impl Into<String>) -> Fault {
    Fault::Configuration(text.into())
}

impl RelayPlan {
    /// Derives and checks; `shards` as media will have them.
    ///
    /// # Errors
    /// [`Fault::Configuration`] that names the key.
    pub(crate) fn of(settings: &Settings, advertise: &[IpAddr], shards: usize) -> Result<RelayPlan, Fault> {
        let (turn, stun) = (&settings.turn, &settings.stun);
        let bind = newer("bind", turn.bind.clone(), stun.bind.map(|one| vec![one]))?;
        let bind = bind.unwrap_or_else(|| vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)]);
        let families = bind.iter().filter(|one| one.is_ipv4()).count();
        if bind.is_empty() || families > 1 || bind.len() - families > 1 {
            return Err(bad("turn.bind takes one address per family, at most two"));
        }
        let ports = newer("ports", turn.ports.clone(), stun.ports.clone())?;
        let ports = ports.unwrap_or_else(|| turn_relay::PORTS.to_vec());
        if ports.len() > PORTS_MAX || (ports.len() == PORTS_MAX && ports[0] == ports[1] && ports[0] != 0) {
            return Err(bad("turn.ports takes two different ports at most"));
        }
        let mut public_host = newer("public_host", turn.public_host.clone(), stun.public_host.clone())?;
        let second = Second::of(turn, &bind, &ports, advertise)?;
        checks(turn)?;
        check_relayed(turn, advertise)?;
        let guide = match &turn.url {
            Some(url) => Some(checked_url("turn.url (NEXT_PUBLIC_TURN_URL)", url)?),
            None => None,
        };
        let mut ours = public_host
            .iter()
            .cloned()
            .chain(advertise.iter().map(ToString::to_string));
        let page = settings.public.url.as_deref().and_then(host_of_page);
        let is_ours = |host: &str| ours.any(|own| own == host) || page.is_some_and(|page| page == host);
        let own_url = guide.and_then(host_of).is_some_and(is_ours);
        if own_url && public_host.is_none() {
            public_host = guide.and_then(host_of).map(str::to_owned);
        }
        if turn.tls_certificate.is_some() && public_host.is_none() {
            return Err(bad(
                "turn.tls_certificate needs turn.public_host: a name that stands in the certificate",
            ));
        }
        let foreign = guide.filter(|_| !own_url);
        Ok(RelayPlan {
            mode: turn.mode,
            addresses: bind
                .iter()
                // The first two stand in the URLs, so the second address comes last.
                .chain(second.as_ref().map(Second::bound))
                .flat_map(|address| ports.iter().map(|port| SocketAddr::new(*address, *port)))
                .collect(),
            second,
            advertise: advertise.to_vec(),
            host: public_host
                .or_else(|| advertise.first().map(ToString::to_string))
                .map(bracketed),
            peers: peers(turn)?,
            proxies: proxies(turn)?,
            udp_workers: udp_workers(turn, shards)?,
            external: external(&turn.external, turn, foreign)?,
            policy: turn.transport_policy.map(|policy| match policy {
                Policy::All => IcePolicy::All,
                Policy::Relay => IcePolicy::Relay,
            }),
            ignored_credentials: own_url && (turn.username.is_some() || turn.credential.is_some()),
        })
    }
}

impl RelayPlan {
    /// The address that clients see of a bound one, where that is known before it is bound: a wildcard is none.
    pub(crate) fn public_of(&self, bound: SocketAddr) -> Option<SocketAddr> {
        if let Some(seen) = self.second.as_ref().and_then(|second| second.public_of(bound.ip())) {
            return Some(SocketAddr::new(seen, bound.port()));
        }
        if !bound.ip().is_unspecified() || bound.port() == 0 {
            return None;
        }
        let same = |address: &&IpAddr| address.is_ipv4() == bound.is_ipv4();
        let seen = self.advertise.iter().find(same)?;
        Some(SocketAddr::new(*seen, bound.port()))
    }
}

/// The new key, or the older one; not both, because one of them would silently lose.
fn newer<T: PartialEq>(key: &str, new: Option<T>, old: Option<T>) -> Result<Option<T>, Fault> {
    match (new, old) {
        (Some(new), Some(old)) if new != old => Err(bad(format!(
            "turn.{key} and its older name stun.{key} are both set; keep turn.{key}"
        ))),
        (new, old) => Ok(new.or(old)),
    }
}

/// How many threads read UDP. None where one thread can do both without waking another.
fn udp_workers(turn: &Turn, shards: usize) -> Result<usize, Fault> {
    let one_thread = turn.mode == Mode::Virtual && shards == 1;
    match turn.udp_workers {
        None => Ok(usize::from(!one_thread)),
        Some(0) if !one_thread => Err(bad(
            "turn.udp_workers = 0 needs turn.mode = \"virtual\" and media.shards = 1, whose thread then reads UDP",
        )),
        Some(workers) if workers <= UDP_WORKERS_MAX => Ok(workers.into()),
        Some(_) => Err(bad(format!("turn.udp_workers lies between 0 and {UDP_WORKERS_MAX}"))),
    }
}

/// Keys that stand for themselves.
fn checks(turn: &Turn) -> Result<(), Fault> {
    if turn.tls_certificate.is_some() != turn.tls_key.is_some() {
        return Err(bad("turn.tls_certificate and turn.tls_key come together"));
    }
    for (key, path) in [
        ("turn.tls_certificate", &turn.tls_certificate),
        ("turn.tls_key", &turn.tls_key),
    ] {
        if let Some(path) = path
            && let Err(fault) = std::fs::File::open(path)
        {
            return Err(bad(format!("{key}: {} cannot be read: {fault}", path.display())));
        }
    }
    let realm = &turn.realm;
    let fit = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
    if realm.is_empty() || realm.len() > REALM_BYTES_MAX || !realm.chars().all(fit) {
        return Err(bad(format!(
            "turn.realm must be 1 to {REALM_BYTES_MAX} visible ASCII characters without quotes"
        )));
    }
    if turn
        .secret
        .as_ref()
        .is_some_and(|secret| secret.len() < SECRET_BYTES_MIN)
    {
        return Err(bad(format!("turn.secret needs at least {SECRET_BYTES_MIN} bytes")));
    }
    for url in &turn.more_urls {
        checked_url("turn.more_urls", url)?;
    }
    if turn.more_urls.len() > URLS_MAX {
        return Err(bad(format!("turn.more_urls are {URLS_MAX} at most")));
    }
    let limits = &turn.limits;
    if !CREDENTIAL_LIFE_S.contains(&limits.credential_life_s) {
        return Err(bad("turn.limits.credential_life_s lies between 30 and 240"));
    }
    if limits.head_start_ms > HEAD_START_MS_MAX {
        return Err(bad(format!(
            "turn.limits.head_start_ms is at most {HEAD_START_MS_MAX}: TCP has to come about as well"
        )));
    }
    for (key, value) in [
        ("allocations_per_leg", limits.allocations_per_leg),
        ("allocations_per_prefix", limits.allocations_per_prefix),
        ("allocations", limits.allocations),
        ("uplink_pps", limits.uplink_pps),
        ("uplink_kbps", limits.uplink_kbps),
        ("new_peers_per_s", limits.new_peers_per_s),
        ("streams_unverified", limits.streams_unverified),
        ("streams_unverified_per_prefix", limits.streams_unverified_per_prefix),
        ("handshakes_per_s", limits.handshakes_per_s),
        ("handshakes_per_s_per_prefix", limits.handshakes_per_s_per_prefix),
    ] {
        if value == 0 {
            return Err(bad(format!(
                "turn.limits.{key} must be above 0; turn.mode = \"off\" ends the relay"
            )));
        }
    }
    Ok(())
}

fn peers(turn: &Turn) -> Result<Vec<(IpAddr, Option<u16>)>, Fault> {
    if turn.mode != Mode::Allowlist {
        if turn.peers.is_empty() {
            return Ok(Vec::new());
        }
        return Err(bad("turn.peers are for turn.mode = \"allowlist\" only"));
    }
    if turn.peers.is_empty() {
        return Err(bad("turn.mode = \"allowlist\" needs turn.peers"));
    }
    let peer = |text: &String| {
        let whole: Option<SocketAddr> = text.parse().ok();
        let bare = || text.parse::<IpAddr>().ok().map(|address| (address, None));
        whole
            .map(|peer| (peer.ip(), Some(peer.port())))
            .or_else(bare)
            .ok_or_else(|| bad(format!("turn.peers: {text} is neither ip:port nor ip")))
    };
    turn.peers.iter().map(peer).collect()
}

fn proxies(turn: &Turn) -> Result<Vec<IpNet>, Fault> {
    let network = |text: &String| {
        let text = text.trim();
        let single = || text.parse().map(|address: IpAddr| address.to_canonical().into());
        let network: IpNet = text
            .parse()
            .or_else(|_| single())
            .map_err(|_| bad(format!("turn.proxies: {text} is neither address nor address/bits")))?;
        let network = unmapped(network);
        if network.prefix_len() == 0 {
            return Err(bad(format!(
                "turn.proxies: {text} would let everybody choose the address that limits count"
            )));
        }
        Ok(network)
    };
    turn.proxies.iter().map(network).collect()
}

/// A network of IPv4 addresses that is written as one of mapped addresses (RFC 4291 2.5.5.2), as what it means: sources
/// are compared by what they are.
fn unmapped(network: IpNet) -> IpNet {
    const MAPPED_BITS: u8 = 96;
    if let IpNet::V6(six) = network
        && let (Some(four), Some(bits)) = (six.addr().to_ipv4_mapped(), six.prefix_len().checked_sub(MAPPED_BITS))
        && let Ok(plain) = ipnet::Ipv4Net::new(four, bits)
    {
        return plain.into();
    }
    network
}

fn checked_url<'a>(key: &str, url: &'a str) -> Result<&'a str, Fault> {
    if is_turn(url) && host_of(url).is_some_and(|host| !host.is_empty()) {
        Ok(url)
    } else {
        Err(bad(format!("{key} must look like turn:host:port or turns:host:port")))
    }
}

/// The managed service; the guide's names are a short form of its fixed credentials.
fn external(given: &External, turn: &Turn, guide: Option<&str>) -> Result<Option<Way>, Fault> {
    for url in &given.urls {
        checked_url("turn.external.urls", url)?;
    }
    if given.urls.len() > URLS_MAX {
        return Err(bad(format!("turn.external.urls are {URLS_MAX} at most")));
    }
    if !EXTERNAL_LIFE_S.contains(&given.life_s) {
        return Err(bad("turn.external.life_s lies between 600 and 172,800"));
    }
    let ways = [
        given.username.is_some() || given.credential.is_some(),
        given.secret.is_some(),
        given.fetch_url.is_some() || given.fetch_key.is_some(),
    ];
    if ways.iter().filter(|way| **way).count() > 1 {
        return Err(bad(
            "turn.external: username with credential, secret, or fetch_url with fetch_key; one of them",
        ));
    }
    let whole = |a: &Option<String>, b: &Option<String>, names: &str| match (a, b) {
        (Some(a), Some(b)) => Ok((a.clone(), b.clone())),
        _ => Err(bad(format!("turn.external: {names} come together"))),
    };
    let (urls, life_s) = (given.urls.clone(), given.life_s);
    let way = match ways {
        [true, ..] => {
            let (username, credential) = whole(&given.username, &given.credential, "username and credential")?;
            Some(Way::Fixed(server(urls, Some(username), Some(credential))))
        }
        [_, true, _] => given.secret.clone().map(|secret| Way::Made { urls, secret, life_s }),
        [.., true] => {
            let (url, key) = whole(&given.fetch_url, &given.fetch_key, "fetch_url and fetch_key")?;
            if !url.starts_with("https://") && !crate::keys::is_loopback(&url) {
                return Err(bad("turn.external.fetch_url must begin with https://"));
            }
            if !urls.is_empty() {
                return Err(bad(
                    "turn.external.urls come with the answer of turn.external.fetch_url",
                ));
            }
            return only(guide, Some(Way::Fetched { url, key, life_s }));
        }
        _ => None,
    };
    if given.urls.is_empty() != way.is_none() {
        return Err(bad(
            "turn.external.urls need credentials, and credentials need turn.external.urls",
        ));
    }
    if way.is_none()
        && let Some(url) = guide
    {
        if turn.username.is_some() != turn.credential.is_some() {
            return Err(bad("TURN_USERNAME and TURN_CREDENTIAL come together"));
        }
        let (username, credential) = (turn.username.clone(), turn.credential.clone());
        return Ok(Some(Way::Fixed(server(vec![url.to_owned()], username, credential))));
    }
    only(guide, way)
}

/// One service: two names for two of them would leave one unheard.
fn only(guide: Option<&str>, way: Option<Way>) -> Result<Option<Way>, Fault> {
    match (guide, way) {
        (Some(_), Some(_)) => Err(bad(
            "turn.url (NEXT_PUBLIC_TURN_URL) and turn.external are both set; keep one",
        )),
        (_, way) => Ok(way),
    }
}

fn server(urls: Vec<String>, username: Option<String>, credential: Option<String>) -> IceServer {
    IceServer {
        urls,
        username,
        credential,
    }
}

/// The host of `scheme://host[:port]/…`.
fn host_of_page(url: &str) -> Option<&str> {
    let rest = url.split_once("://")?.1.split('/').next()?;
    match rest.strip_prefix('[') {
        Some(literal) => literal.split(']').next(),
        None => rest.split(':').next(),
    }
}

/// An IPv6 literal stands in brackets (RFC 7064 §3.1).
fn bracketed(host: String) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host
    }
}

#[cfg(test)]
mod tests;
