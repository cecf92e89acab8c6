//! The demo's one door without a token: somebody at this very machine, and nobody who was sent here by a page.
//!
//! Never asked outside `--demo`. A web page of a stranger that talks to localhost is told by its `Origin`; a name that
//! was rebound to 127.0.0.1 by its `Host`; a proxy by its forwarding headers.

use std::net::IpAddr;

/// What the door looks at.
#[derive(Clone, Copy, Debug)]
pub struct Visitor<'a> {
    /// Address of the connection's other end.
    pub peer: IpAddr,
    /// The `Host` header.
    pub host: Option<&'a str>,
    /// The `Origin` header.
    pub origin: Option<&'a str>,
    /// True when a `Forwarded`, `X-Forwarded-*` or `X-Real-IP` header came along.
    pub forwarded: bool,
}

/// True for a visitor from this machine.
pub fn is_local(visitor: Visitor<'_>) -> bool {
    let Some(host) = visitor.host else { return false };
    let own_origin = match visitor.origin {
        None => true,
        Some(origin) => same_origin(origin, host),
    };
    visitor.peer.to_canonical().is_loopback() && is_loopback_name(host) && own_origin && !visitor.forwarded
}

/// True when `origin` (`scheme://host[:port]`) names the same host and port as the `Host` header.
pub fn same_origin(origin: &str, host: &str) -> bool {
    let authority = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

/// `localhost` or a loopback literal, with or without a port.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, tail)) if tail.is_empty() || tail.starts_with(':') => name,
            _ => return false,
        },
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit<'a>(peer: &str, host: &'a str, origin: Option<&'a str>, forwarded: bool) -> bool {
        is_local(Visitor {
            peer: peer.parse().unwrap(),
            host: Some(host),
            origin,
            forwarded,
        })
    }

    #[test]
    fn somebody_at_this_machine_may_come_in() {
        assert!(visit("127.0.0.1", "localhost:3000", None, false));
        assert!(visit("127.0.0.1", "127.0.0.1:3000", None, false));
        assert!(visit("::1", "[::1]:3000", None, false));
        assert!(visit("::ffff:127.0.0.1", "LOCALHOST", None, false));
        assert!(visit(
            "127.0.0.1",
            "localhost:3000",
            Some("http://localhost:3000"),
            false
        ));
    }

    #[test]
    fn everybody_else_stays_outside() {
        assert!(!visit("192.0.2.1", "localhost:3000", None, false), "another machine");
        assert!(!visit("127.0.0.1", "evil.example:3000", None, false), "a rebound name");
        assert!(
            !visit("127.0.0.1", "localhost.evil.example", None, false),
            "a longer name"
        );
        assert!(
            !visit("127.0.0.1", "[::1].evil.example", None, false),
            "a trick with brackets"
        );
        assert!(
            !visit("127.0.0.1", "localhost:3000", Some("https://evil.example"), false),
            "a foreign page"
        );
        assert!(
            !visit("127.0.0.1", "localhost:3000", Some("http://localhost:8080"), false),
            "another port"
        );
        assert!(
            !visit("127.0.0.1", "localhost:3000", Some("null"), false),
            "a sandboxed page"
        );
        assert!(!visit("127.0.0.1", "localhost:3000", None, true), "a proxy");
        let nameless = Visitor {
            peer: "127.0.0.1".parse().unwrap(),
            host: None,
            origin: None,
            forwarded: false,
        };
        assert!(!is_local(nameless));
    }
}
