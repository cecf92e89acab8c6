//! What is listened on: judged, bound, and told to clients as URLs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener};

use ::udp::Socket;

use super::start::StartFailed;
use crate::config::{Config, LISTENERS_MAX, Listen, Mode, Neighbours};

/// Tries to find a port that is free for UDP and for TCP, when any will do.
const PORT_TRIES_MAX: usize = 16;

/// What is bound: UDP per worker and listener, TCP per listener.
pub(crate) struct Bound {
    pub(crate) datagrams: Vec<Vec<Socket>>,
    pub(crate) streams: Vec<TcpListener>,
    pub(crate) addresses: Vec<SocketAddr>,
}

/// Refuses what contradicts itself.
pub(crate) fn check(config: &Config, neighbours: &Neighbours) -> Result<(), StartFailed> {
    let fail = |why| Err(StartFailed::Config(why));
    if config.listen.is_empty() || config.listen.len() > LISTENERS_MAX {
        return fail("it listens on one to eight addresses");
    }
    if config.udp_workers == 0 && (config.mode != Mode::Virtual || neighbours.shards.len() != 1) {
        return fail("without a thread that reads UDP there must be one shard, whose thread does");
    }
    let few = |shard: &ports::RelayShard| shard.sinks.len() < config.workers();
    match &config.mode {
        Mode::Off => {}
        Mode::Virtual if neighbours.shards.iter().any(few) => return fail("a shard has too few sinks"),
        Mode::Virtual => {}
        Mode::AllowList(rules) => {
            let hidden = |listen: &&Listen| listen.bind.ip().is_unspecified() && listen.public.is_none();
            if families(&config.listen).iter().flatten().any(hidden) {
                return fail("an allow-list needs listeners with an address of their own, or their public one");
            }
            for rule in rules.iter().filter(|rule| rule.port.is_none()) {
                tracing::warn!(peer = %rule.ip, "TURN may reach every port of a peer that is listed without one");
            }
        }
    }
    if config.two_addresses && !is_square(&config.listen) {
        return fail("RFC 5780 needs two IPs of one family with the same two ports each");
    }
    Ok(())
}

/// Two IPs of one family with the same two ports; the other family may listen where it likes.
fn is_square(listen: &[Listen]) -> bool {
    let of_family = |v6: bool| {
        let mut by_ip: BTreeMap<IpAddr, BTreeSet<u16>> = BTreeMap::new();
        for Listen { bind, .. } in listen.iter().filter(|one| one.bind.is_ipv6() == v6) {
            by_ip.entry(bind.ip()).or_default().insert(bind.port());
        }
        let ports: BTreeSet<_> = by_ip.values().collect();
        let named = by_ip.keys().all(|ip| !ip.is_unspecified());
        by_ip.len() == 2 && named && ports.len() == 1 && ports.first().is_some_and(|ports| ports.len() == 2)
    };
    of_family(false) || of_family(true)
}

/// The first listener of each family.
pub(crate) fn families(listen: &[Listen]) -> [Option<&Listen>; 2] {
    [false, true].map(|v6| listen.iter().find(|one| one.bind.is_ipv6() == v6))
}

/// Binds everything, or nothing stays bound.
pub(crate) fn bind(listen: &[Listen], workers: usize, mode: &Mode) -> Result<Bound, StartFailed> {
    let turn = *mode != Mode::Off;
    // Only a foreign peer sends what may be too long for the way to a client.
    let whole = !matches!(mode, Mode::AllowList(_));
    let mut bound = Bound {
        datagrams: (0..workers).map(|_| Vec::new()).collect(),
        streams: Vec::new(),
        addresses: Vec::new(),
    };
    for Listen { bind, .. } in listen {
        let (first, stream) =
            bind_one(*bind, workers > 1, turn).map_err(|source| StartFailed::Bind { address: *bind, source })?;
        let address = first.local();
        bound.addresses.push(address);
        bound.streams.extend(stream);
        let mut first = Some(first);
        for sockets in &mut bound.datagrams {
            let socket = match first.take() {
                Some(first) => Ok(first),
                None => Socket::bind_shared(address),
            };
            let socket = socket
                .and_then(Socket::naming)
                .and_then(|socket| if whole { socket.whole() } else { Ok(socket) })
                .map_err(|source| StartFailed::Bind { address, source })?;
            sockets.push(socket);
        }
    }
    Ok(bound)
}

/// The first UDP socket of an address, and its TCP listener.
fn bind_one(address: SocketAddr, shared: bool, turn: bool) -> io::Result<(Socket, Option<TcpListener>)> {
    let mut tries = 0;
    loop {
        let socket = if shared {
            Socket::bind_shared(address)?
        } else {
            Socket::bind(address)?
        };
        if !turn {
            return Ok((socket, None));
        }
        tries += 1;
        match ::udp::listen(socket.local()) {
            Ok(listener) => return Ok((socket, Some(listener))),
            // Free for UDP, taken for TCP: another one may do.
            Err(fault) if fault.kind() == ErrorKind::AddrInUse && address.port() == 0 && tries < PORT_TRIES_MAX => {}
            Err(fault) => return Err(fault),
        }
    }
}

/// What clients are told: UDP, then TCP on the first port, then TLS on the second.
pub(crate) fn urls(config: &Config, addresses: &[SocketAddr], tls: bool) -> Vec<String> {
    let (Some(first), true) = (addresses.first(), config.mode != Mode::Off) else {
        return Vec::new();
    };
    let host = match config.public_host.parse::<std::net::Ipv6Addr>() {
        Ok(v6) => format!("[{v6}]"),
        Err(_) => config.public_host.clone(),
    };
    let public = |n: usize| {
        let configured = config.listen.get(n).and_then(|listen| listen.public);
        configured.or_else(|| addresses.get(n).copied())
    };
    let plain = public(0).unwrap_or(*first).port();
    let mut urls = vec![
        format!("turn:{host}:{plain}?transport=udp"),
        format!("turn:{host}:{plain}?transport=tcp"),
    ];
    if tls {
        let secure = public(1).map_or(plain, |address| address.port());
        urls.push(format!("turns:{host}:{secure}?transport=tcp"));
    }
    urls.extend(config.more_urls.iter().cloned());
    urls
}

#[cfg(test)]
#[path = "listen_tests.rs"]
mod tests;
