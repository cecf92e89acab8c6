//! The PROXY header with which a load balancer begins a connection: whose connection it passes on.
//!
//! Own code and no library: those that exist take what the document forbids (a sign before a port, a longer line) or
//! refuse what it allows (any family behind LOCAL), and none says which bytes of a stream certainly belong to the header.
//!
//! Source: HAProxy, "The PROXY protocol, versions 1 & 2", doc/proxy-protocol.txt (section numbers below are its).
//!
//! Invariant: whatever [`look`] answers, it never counts a byte behind the header as one of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest header, bytes. §2: both versions are designed to fit into the smallest TCP segment that every host takes,
/// 576 - 40 bytes; what a load balancer adds about its TLS or its networks (TLVs) has room in it.
/// Higher: memory that anybody behind a proxy's address is given. Lower: long names in TLVs would close good connections.
pub const HEADER_BYTES_MAX: usize = 536;
/// Longest line of version 1, bytes, its end included (§2.1: two IPv6 addresses of full length).
pub const LINE_BYTES_MAX: usize = 107;

/// How version 1 begins (§2.1).
const LINE_BEGIN: &[u8] = b"PROXY ";
/// How version 2 begins (§2.2): no text, no TLS, no STUN.
const BINARY_BEGIN: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of version 2 until its length is known: the beginning, version with command, family, length.
const BINARY_LENGTH_KNOWN: usize = 16;
// Bytes of both addresses (§2.2): IPv4 and IPv6 with ports, and paths of UNIX sockets.
const V4_BYTES: usize = 12;
const V6_BYTES: usize = 36;
const UNIX_BYTES: usize = 216;

/// What stands at the front of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// A header that is not whole: all bytes so far belong to it.
    More,
    /// A whole header.
    Whole {
        /// Its bytes.
        len: usize,
        /// Whose connection it is, an IPv4 address never as an IPv6 one; `None`: the proxy's own, or one without address
        /// (LOCAL, UNKNOWN, AF_UNSPEC, AF_UNIX), so what the socket says counts.
        client: Option<SocketAddr>,
    },
    /// None that can be believed: the connection is to be closed.
    Wrong(Fault),
}

/// Why a connection of a proxy is closed, for `helpline_turn_proxy_headers_total{result}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It begins with something else.
    Missing,
    /// It begins as a header and goes on as none.
    Malformed,
    /// Longer than [`HEADER_BYTES_MAX`], or a line longer than [`LINE_BYTES_MAX`].
    TooLong,
    /// It names a client that cannot be one: nobody's address, or many's.
    Address,
    /// It did not come in time. Not [`look`]'s to say.
    Late,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 5] = [
        Fault::Missing,
        Fault::Malformed,
        Fault::TooLong,
        Fault::Address,
        Fault::Late,
    ];

    /// Stable word for metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Fault::Missing => "missing",
            Fault::Malformed => "malformed",
            Fault::TooLong => "too-long",
            Fault::Address => "address",
            Fault::Late => "late",
        }
    }
}

/// Looks at the front of a connection that comes from a proxy. `bytes`: what has come of it so far.
#[must_use]
pub fn look(bytes: &[u8]) -> Front {
    let looked = if begins(bytes, BINARY_BEGIN) {
        binary(bytes)
    } else if begins(bytes, LINE_BEGIN) {
        line(bytes)
    } else {
        Err(Fault::Missing)
    };
    match looked {
        Ok(None) => Front::More,
        Ok(Some((len, client))) => Front::Whole { len, client },
        Err(fault) => Front::Wrong(fault),
    }
}

/// Whether they may be, or are, the beginning of what begins so.
fn begins(bytes: &[u8], begin: &[u8]) -> bool {
    let both = bytes.len().min(begin.len());
    bytes[..both] == begin[..both]
}

/// A header's bytes and whose connection it is; `None`: not whole.
type Looked = Result<Option<(usize, Option<SocketAddr>)>, Fault>;

/// Version 1 (§2.1): one line of text with single spaces.
fn line(bytes: &[u8]) -> Looked {
    let seen = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = seen.windows(2).position(|pair| pair == b"\r\n") else {
        return if seen.len() == LINE_BYTES_MAX {
            Err(Fault::TooLong)
        } else {
            Ok(None)
        };
    };
    let text = std::str::from_utf8(&seen[..end]).map_err(|_| Fault::Malformed)?;
    let mut words = text.split(' ').skip(1);
    let mut word = || words.next().unwrap_or_default();
    let family = word();
    // Whatever follows until the end of the line means nothing then.
    if family == "UNKNOWN" {
        return Ok(Some((end + 2, None)));
    }
    let address = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse().ok().map(IpAddr::V4),
            "TCP6" => text.parse().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let both = (address(word()), address(word()), port(word()), port(word()));
    let (Some(ip), Some(_), Some(port), Some(_)) = both else {
        return Err(Fault::Malformed);
    };
    if words.next().is_some() {
        return Err(Fault::Malformed);
    }
    Ok(Some((end + 2, Some(client_of(ip, port)?))))
}

/// A decimal number without sign or leading zero.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

/// Version 2 (§2.2). TLVs are skipped: nothing in them is needed here.
fn binary(bytes: &[u8]) -> Looked {
    let Some(&[version, family, high, low]) = bytes.get(BINARY_BEGIN.len()..BINARY_LENGTH_KNOWN) else {
        return Ok(None);
    };
    let declared = usize::from(u16::from_be_bytes([high, low]));
    let len = BINARY_LENGTH_KNOWN + declared;
    let is_local = match version {
        0x20 => true,
        0x21 => false,
        _ => return Err(Fault::Malformed),
    };
    let needed = match family {
        // Whatever it says of a connection of the proxy's own is to be ignored.
        _ if is_local => 0,
        0x00 => 0,
        0x11 => V4_BYTES,
        0x21 => V6_BYTES,
        0x31 => UNIX_BYTES,
        // Datagrams, or nothing that the document knows.
        _ => return Err(Fault::Malformed),
    };
    if declared < needed {
        return Err(Fault::Malformed);
    }
    if len > HEADER_BYTES_MAX {
        return Err(Fault::TooLong);
    }
    let Some(behind) = bytes.get(BINARY_LENGTH_KNOWN..len) else {
        return Ok(None);
    };
    let client = match (needed, behind) {
        (V4_BYTES, &[a, b, c, d, _, _, _, _, p0, p1, ..]) => Some((Ipv4Addr::new(a, b, c, d).into(), [p0, p1])),
        (V6_BYTES, _) => {
            let ip = behind.first_chunk::<16>().map(|ip| Ipv6Addr::from(*ip).into());
            let port = behind.get(32..).and_then(|rest| rest.first_chunk::<2>()).copied();
            ip.zip(port)
        }
        _ => None,
    };
    let client = client.map(|(ip, port)| client_of(ip, u16::from_be_bytes(port)));
    Ok(Some((len, client.transpose()?)))
}

/// The address that counts: a listener for both families names IPv4 clients in IPv6 (RFC 4291 §2.5.5.2), and a client
/// must be told its own family.
fn client_of(ip: IpAddr, port: u16) -> Result<SocketAddr, Fault> {
    let ip = ip.to_canonical();
    let nobody = ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    if nobody {
        return Err(Fault::Address);
    }
    Ok(SocketAddr::new(ip, port))
}
