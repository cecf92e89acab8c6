//! What a WebSocket brings along before its first word: where it comes from, which page opened it, which cookies.
//!
//! Decides nothing about who somebody is. A browser sends cookies along with whatever page opens a socket, so a page
//! of another origin is told off before anything it brings is looked at.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::ConnectInfo,
    http::{HeaderMap, HeaderName, header, request::Parts},
};
use desk::auth::{
    ClientAddress,
    demo::{Visitor, is_local, same_origin},
};

use crate::Options;

/// Headers of a proxy; a visitor of the demo comes without.
const FORWARDING: [&str; 6] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "via",
];

/// The names of a cookie: with `__Host-` it cannot be planted by a sibling host, so that one counts first.
type Names = [&'static str; 2];

const STAFF: Names = ["__Host-hl_staff", "hl_staff"];
const CALL: Names = ["__Host-hl_call", "hl_call"];

/// What came with the request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Door {
    /// False for a page that may not talk to us.
    pub(crate) allowed: bool,
    /// True for somebody at this machine while the demo runs.
    pub(crate) visitor: bool,
    /// Where it comes from; `None` when nobody knows.
    pub(crate) address: Option<IpAddr>,
    /// The console's session.
    pub(crate) staff: Option<String>,
    /// The pass of a customer's call.
    pub(crate) pass: Option<String>,
}

impl Door {
    /// Looks at a request.
    pub(crate) fn of(parts: &Parts, options: &Options) -> Self {
        let origin = text(&parts.headers, header::ORIGIN);
        let host = text(&parts.headers, header::HOST);
        let own = |origin| host.is_some_and(|host| same_origin(origin, host));
        let allowed =
            origin.is_none_or(|origin| options.allowed_origins.iter().any(|one| one == origin) || own(origin));
        let unknown = IpAddr::from([0, 0, 0, 0]);
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let visitor = Visitor {
            peer: peer.map_or(unknown, |ConnectInfo(peer)| peer.ip()),
            host,
            origin,
            forwarded: FORWARDING.iter().any(|name| parts.headers.contains_key(*name)),
        };
        Door {
            allowed,
            visitor: options.demo && is_local(visitor),
            address: match parts.extensions.get::<ClientAddress>() {
                Some(ClientAddress(client)) => Some(*client),
                None => peer.map(|ConnectInfo(peer)| peer.ip()),
            },
            staff: cookie(&parts.headers, STAFF),
            pass: cookie(&parts.headers, CALL),
        }
    }
}

/// A header as text.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The first of the names that came along (RFC 6265 §4.2.1).
fn cookie(headers: &HeaderMap, names: Names) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs: Vec<(&str, &str)> = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .collect();
    let named = |name: &str| pairs.iter().find(|(found, _)| *found == name);
    names
        .iter()
        .find_map(|name| named(name))
        .map(|(_, value)| (*value).to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn door(pairs: &[(&str, &str)], demo: bool) -> Door {
        let options = Options {
            demo,
            allowed_origins: vec!["https://bank.example".to_owned()],
        };
        let mut request = Request::builder().uri("/ws").header("host", "localhost:3000");
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        parts
            .extensions
            .insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 9))));
        Door::of(&parts, &options)
    }

    #[test]
    fn only_our_own_pages_and_listed_ones_may_open_a_socket() {
        assert!(door(&[], false).allowed, "no page at all");
        assert!(door(&[("origin", "http://localhost:3000")], false).allowed);
        assert!(door(&[("origin", "https://bank.example")], false).allowed);
        for foreign in [
            "https://evil.example",
            "null",
            "http://localhost:3001",
            "https://bank.example.evil",
        ] {
            assert!(!door(&[("origin", foreign)], false).allowed, "{foreign}");
        }
    }

    #[test]
    fn the_address_that_somebody_found_out_counts_before_the_one_of_the_connection() {
        let mut parts = axum::http::Request::builder().body(()).unwrap().into_parts().0;
        let address = |parts: &Parts| Door::of(parts, &Options::default()).address;
        assert_eq!(address(&parts), None);
        let [proxy, client] = ["127.0.0.1", "192.0.2.1"].map(|ip| ip.parse::<IpAddr>().unwrap());
        parts.extensions.insert(ConnectInfo(SocketAddr::from((proxy, 9))));
        assert_eq!(address(&parts), Some(proxy));
        parts.extensions.insert(ClientAddress(client));
        assert_eq!(address(&parts), Some(client));
    }

    #[test]
    fn a_visitor_is_one_only_in_a_demo_and_at_this_machine() {
        assert!(door(&[], true).visitor);
        assert!(!door(&[], false).visitor);
        assert!(!door(&[("x-forwarded-for", "192.0.2.1")], true).visitor);
        assert!(!door(&[("origin", "https://bank.example")], true).visitor);
    }

    #[test]
    fn a_cookie_of_this_host_alone_counts_before_a_planted_one() {
        let found = door(
            &[
                ("cookie", "hl_staff=planted; a=b"),
                ("cookie", "__Host-hl_staff=own; hl_call=c"),
            ],
            false,
        );
        assert_eq!(found.staff.as_deref(), Some("own"));
        assert_eq!(found.pass.as_deref(), Some("c"));
        assert_eq!(door(&[("cookie", "xhl_staff=1;; =")], false).staff, None);
    }
}
