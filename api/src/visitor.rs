//! Where a request comes from: address behind trusted proxies, host, origin.
//!
//! A forwarding header counts only when the other end of the connection is a proxy that the configuration names.

use std::net::IpAddr;

use axum::http::{HeaderMap, header, request::Parts};

/// A network, `10.0.0.0/8` or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl Cidr {
    /// Reads `address[/bits]`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().ok()?;
        let all: u8 = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.trim().parse().ok().filter(|bits| *bits <= all)?,
            None => all,
        };
        Some(Self { address, bits })
    }

    /// True when `address` lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let cut = |value: u128, width: u32| match width - u32::from(self.bits) {
            shift if shift >= 128 => 0,
            shift => value >> shift,
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(it)) => {
                cut(u128::from(u32::from(net)), 32) == cut(u128::from(u32::from(it)), 32)
            }
            (IpAddr::V6(net), IpAddr::V6(it)) => cut(u128::from(net), 128) == cut(u128::from(it), 128),
            _ => false,
        }
    }
}

/// The address of the client: the last one in `X-Forwarded-For` that no trusted proxy has.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[Cidr]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(address));
    let mut client = peer.to_canonical();
    if !is_trusted(client) {
        return client;
    }
    let hops = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = hops.flat_map(|value| value.split(',')).collect();
    for hop in hops.into_iter().rev() {
        let Ok(address) = hop.trim().parse::<IpAddr>() else {
            break;
        };
        client = address.to_canonical();
        if !is_trusted(client) {
            break;
        }
    }
    client
}

/// True when any header of a proxy came along.
pub(crate) fn is_forwarded(headers: &HeaderMap) -> bool {
    [
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "via",
    ]
    .iter()
    .any(|name| headers.contains_key(*name))
}

/// A header as text.
pub(crate) fn header_text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The host that was asked for: the `Host` header, or the authority of the request line.
pub(crate) fn host(parts: &Parts) -> Option<&str> {
    header_text(&parts.headers, header::HOST).or_else(|| parts.uri.authority().map(|authority| authority.as_str()))
}

/// True when a request that is authenticated by a cookie was made by a page of ours or by no page at all.
///
/// `Sec-Fetch-Site` is believed first, it cannot be set by a script; then `Origin` against `Host` and the list.
pub(crate) fn is_same_site(parts: &Parts, allowed_origins: &[String]) -> bool {
    let origin = header_text(&parts.headers, header::ORIGIN);
    let allowed = origin.is_some_and(|origin| allowed_origins.iter().any(|one| one == origin));
    match (
        header_text(&parts.headers, header::HeaderName::from_static("sec-fetch-site")),
        origin,
    ) {
        (Some("same-origin" | "none"), _) => true,
        (Some(_), _) => allowed,
        (None, None) => true,
        (None, Some(origin)) => allowed || host(parts).is_some_and(|host| desk::auth::demo::same_origin(origin, host)),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_holds_what_its_bits_say() {
        let net = Cidr::parse("10.1.0.0/16").unwrap();
        assert!(net.contains(ip("10.1.255.255")) && net.contains(ip("::ffff:10.1.0.1")));
        assert!(!net.contains(ip("10.2.0.0")) && !net.contains(ip("::1")));
        assert!(Cidr::parse("0.0.0.0/0").unwrap().contains(ip("192.0.2.1")));
        assert!(Cidr::parse("::/0").unwrap().contains(ip("2001:db8::1")));
        assert!(Cidr::parse("192.0.2.1").unwrap().contains(ip("192.0.2.1")));
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "x/8"] {
            assert_eq!(Cidr::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_speaks_for_its_client() {
        let trusted = [Cidr::parse("10.0.0.0/8").unwrap()];
        let mut headers = HeaderMap::new();
        headers.insert(
            "x-forwarded-for",
            "198.51.100.7, 203.0.113.9, 10.0.0.2".parse().unwrap(),
        );
        assert_eq!(client_address(ip("192.0.2.1"), &headers, &trusted), ip("192.0.2.1"));
        assert_eq!(client_address(ip("10.0.0.1"), &headers, &trusted), ip("203.0.113.9"));
        headers.insert("x-forwarded-for", "garbage".parse().unwrap());
        assert_eq!(client_address(ip("10.0.0.1"), &headers, &trusted), ip("10.0.0.1"));
    }

    #[test]
    fn a_foreign_page_cannot_use_a_cookie() {
        let ask = |pairs: &[(&str, &str)]| {
            let mut request = Request::builder().uri("/x").header("host", "help.example");
            for (name, value) in pairs {
                request = request.header(*name, *value);
            }
            is_same_site(
                &request.body(()).unwrap().into_parts().0,
                &["https://bank.example".to_owned()],
            )
        };
        assert!(ask(&[]), "curl");
        assert!(ask(&[("sec-fetch-site", "same-origin")]));
        assert!(ask(&[("sec-fetch-site", "none")]), "typed into the address bar");
        assert!(ask(&[("origin", "https://help.example")]));
        assert!(
            ask(&[("sec-fetch-site", "cross-site"), ("origin", "https://bank.example")]),
            "the list"
        );
        assert!(!ask(&[
            ("sec-fetch-site", "cross-site"),
            ("origin", "https://help.example")
        ]));
        assert!(!ask(&[
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.help.example")
        ]));
        assert!(!ask(&[("origin", "https://evil.example")]));
        assert!(!ask(&[("origin", "null")]));
    }
}
