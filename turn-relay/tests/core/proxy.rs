//! The header of a proxy: both versions, whole, in pieces, wrong.

use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;
use turn_relay::core::proxy::{Fault, Front, HEADER_BYTES_MAX, LINE_BYTES_MAX, look};

const BEGIN: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn line(text: &str) -> Front {
    look(format!("{text}\r\n").as_bytes())
}

/// Version 2. `declared`: what it says of its length, if that is not the truth.
fn binary(command: u8, family: u8, behind: &[u8], declared: Option<u16>) -> Vec<u8> {
    let len = declared.unwrap_or(behind.len() as u16).to_be_bytes();
    [BEGIN, &[0x20 | command, family], &len, behind].concat()
}

/// Of a client of 203.0.113.7:50000, with TLVs.
fn of_v4(tlvs: &[u8]) -> Vec<u8> {
    let addresses = [203, 0, 113, 7, 192, 0, 2, 1, 0xC3, 0x50, 0x01, 0xBB];
    binary(1, 0x11, &[&addresses, tlvs].concat(), None)
}

/// What a load balancer would write, by hand.
fn written(version_2: bool, client: SocketAddr, port: u16, tlvs: &[u8]) -> Vec<u8> {
    let server: IpAddr = if client.is_ipv6() {
        "2001:db8::1".parse().expect("an address")
    } else {
        [192, 0, 2, 1].into()
    };
    if !version_2 {
        let family = if client.is_ipv6() { 6 } else { 4 };
        let text = format!(
            "PROXY TCP{family} {} {server} {} {port}\r\n",
            client.ip(),
            client.port()
        );
        return text.into_bytes();
    }
    let (family, mut behind) = match (client.ip(), server) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (0x11, [from.octets(), to.octets()].concat()),
        (IpAddr::V6(from), IpAddr::V6(to)) => (0x21, [from.octets(), to.octets()].concat()),
        _ => unreachable!("one family"),
    };
    behind.extend(client.port().to_be_bytes());
    behind.extend(port.to_be_bytes());
    behind.extend(tlvs);
    binary(1, family, &behind, None)
}

/// Addresses that a client can have.
fn clients() -> impl Strategy<Value = SocketAddr> {
    let v4 = (1u8..224, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| IpAddr::from([a, b, c, d]));
    let v6 = any::<[u16; 7]>().prop_map(|rest| {
        let mut whole = [0x2001; 8];
        whole[1..].copy_from_slice(&rest);
        IpAddr::from(whole)
    });
    (prop_oneof![v4, v6], any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

proptest! {
    #![proptest_config(testkit::properties::properties(512))]

    #[test]
    fn a_header_is_read_at_its_last_byte_and_what_follows_is_left_alone(
        version_2 in any::<bool>(),
        client in clients(),
        port in any::<u16>(),
        tlvs in prop::collection::vec(any::<u8>(), 0..400),
        follows in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let header = written(version_2, client, port, &tlvs);
        for n in 0..header.len() {
            prop_assert_eq!(look(&header[..n]), Front::More, "{} of {}", n, header.len());
        }
        let whole = Front::Whole { len: header.len(), client: Some(client) };
        prop_assert_eq!(look(&header), whole);
        prop_assert_eq!(look(&[header, follows].concat()), whole);
    }

    #[test]
    fn rubbish_and_damaged_headers_end_or_stay_within_their_limit(
        good in any::<Option<bool>>(),
        client in clients(),
        rubbish in prop::collection::vec(any::<u8>(), 0..700),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = match good {
            Some(version_2) => [written(version_2, client, 443, &[]), rubbish].concat(),
            None => rubbish,
        };
        for (at, byte) in damage {
            if !bytes.is_empty() {
                let at = at.index(bytes.len().min(64));
                bytes[at] = byte;
            }
        }
        match look(&bytes) {
            Front::More => prop_assert!(bytes.len() < HEADER_BYTES_MAX),
            Front::Whole { len, .. } => {
                prop_assert!(len <= bytes.len().min(HEADER_BYTES_MAX));
                prop_assert_eq!(look(&bytes[..len]), look(&bytes));
                prop_assert_eq!(look(&bytes[..len - 1]), Front::More);
            }
            Front::Wrong(fault) => prop_assert_ne!(fault, Fault::Late),
        }
    }
}

#[test]
fn a_line_names_both_ends_with_single_spaces_and_plain_numbers() {
    let whole = |text: &str| match line(text) {
        Front::Whole { len, client } => {
            assert_eq!(len, text.len() + 2);
            client
        }
        other => panic!("{text}: {other:?}"),
    };
    let v4 = whole("PROXY TCP4 203.0.113.7 192.0.2.1 50000 443");
    assert_eq!(v4, Some(address("203.0.113.7:50000")));
    let v6 = whole("PROXY TCP6 2001:db8:7::1 2001:db8::1 0 65535");
    assert_eq!(v6, Some(address("[2001:db8:7::1]:0")));
    // A listener for both families.
    let mapped = whole("PROXY TCP6 ::ffff:203.0.113.7 ::ffff:192.0.2.1 50000 443");
    assert_eq!(mapped, Some(address("203.0.113.7:50000")));
    assert_eq!(whole("PROXY UNKNOWN"), None);
    assert_eq!(whole("PROXY UNKNOWN whatever, even 203.0.113.7"), None);
    for wrong in [
        "PROXY ",
        "PROXY TCP4",
        "PROXY TCP4 203.0.113.7 192.0.2.1 50000",
        "PROXY TCP4 203.0.113.7 192.0.2.1 50000 443 ",
        "PROXY TCP4 203.0.113.7 192.0.2.1 50000 443 1",
        "PROXY  TCP4 203.0.113.7 192.0.2.1 50000 443",
        "PROXY TCP4 203.0.113.7  192.0.2.1 50000 443",
        "PROXY TCP4 203.0.113.07 192.0.2.1 50000 443",
        "PROXY TCP4 203.0.113.7 192.0.2.1 +5000 443",
        "PROXY TCP4 203.0.113.7 192.0.2.1 05000 443",
        "PROXY TCP4 203.0.113.7 192.0.2.1 65536 443",
        "PROXY TCP4 203.0.113.7 192.0.2.1 50000 ",
        "PROXY TCP4 2001:db8::1 2001:db8::1 50000 443",
        "PROXY TCP6 203.0.113.7 192.0.2.1 50000 443",
        "PROXY TCP6 fe80::1%eth0 2001:db8::1 50000 443",
        "PROXY UDP4 203.0.113.7 192.0.2.1 50000 443",
        "PROXY tcp4 203.0.113.7 192.0.2.1 50000 443",
        "PROXY UNKNOWNS",
    ] {
        assert_eq!(line(wrong), Front::Wrong(Fault::Malformed), "{wrong}");
    }
    assert_eq!(look(b"PROXY TCP4 \xFF\r\n"), Front::Wrong(Fault::Malformed));
    // A single line feed is no end.
    assert_eq!(look(b"PROXY TCP4 203.0.113.7 192.0.2.1 50000 443\n"), Front::More);
}

#[test]
fn a_line_has_107_bytes_at_most() {
    let longest =
        "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535";
    assert_eq!(longest.len() + 2, LINE_BYTES_MAX);
    let whole = Front::Whole {
        len: LINE_BYTES_MAX,
        client: None,
    };
    assert_eq!(line(longest), whole);
    assert_eq!(line(&format!("{longest}5")), Front::Wrong(Fault::TooLong));
    let endless = [b"PROXY ".to_vec(), vec![b'x'; 200]].concat();
    assert_eq!(look(&endless[..LINE_BYTES_MAX - 1]), Front::More);
    assert_eq!(look(&endless[..LINE_BYTES_MAX]), Front::Wrong(Fault::TooLong));
}

#[test]
fn the_binary_version_names_a_client_or_says_that_there_is_none() {
    let whole = |bytes: &[u8]| match look(bytes) {
        Front::Whole { len, client } => {
            assert_eq!(len, bytes.len());
            client
        }
        other => panic!("{bytes:?}: {other:?}"),
    };
    assert_eq!(whole(&of_v4(&[])), Some(address("203.0.113.7:50000")));
    // With TLVs: the name that was asked for, a checksum, padding; and one that is cut off, which nobody reads.
    let tlvs = [2, 0, 3, b'a', b'.', b'b', 3, 0, 4, 1, 2, 3, 4, 4, 0, 0, 9, 0xFF];
    assert_eq!(whole(&of_v4(&tlvs)), Some(address("203.0.113.7:50000")));
    let mapped = [
        [0; 10].as_slice(),
        &[0xFF, 0xFF, 203, 0, 113, 7],
        &[0; 16],
        &[0xC3, 0x50, 1, 0xBB],
    ]
    .concat();
    assert_eq!(
        whole(&binary(1, 0x21, &mapped, None)),
        Some(address("203.0.113.7:50000"))
    );
    // LOCAL, whatever else it says; no family; a UNIX socket.
    for family in [0x00, 0x11, 0x12, 0x21, 0x31, 0xFF] {
        assert_eq!(whole(&binary(0, family, &[], None)), None);
        assert_eq!(whole(&binary(0, family, &[1; 36], None)), None);
    }
    assert_eq!(whole(&binary(1, 0x00, &[], None)), None);
    assert_eq!(whole(&binary(1, 0x00, &[7; 30], None)), None);
    assert_eq!(whole(&binary(1, 0x31, &[b'/'; 216], None)), None);
}

#[test]
fn what_the_binary_version_cannot_be_is_malformed() {
    let malformed = Front::Wrong(Fault::Malformed);
    for family in [0x01, 0x10, 0x12, 0x13, 0x20, 0x22, 0x32, 0x41, 0xFF] {
        assert_eq!(look(&binary(1, family, &[1; 216], None)), malformed, "{family:#04x}");
    }
    for (family, needed) in [(0x11, 12), (0x21, 36), (0x31, 216)] {
        let short = vec![1; needed - 1];
        assert_eq!(look(&binary(1, family, &short, None)), malformed, "{family:#04x}");
        assert_ne!(look(&binary(1, family, &vec![1; needed], None)), malformed);
    }
    for version in [0x00, 0x11, 0x22, 0x2F, 0x31, 0xFF] {
        let mut header = of_v4(&[]);
        header[12] = version;
        assert_eq!(look(&header), malformed, "{version:#04x}");
    }
}

#[test]
fn the_binary_version_has_536_bytes_at_most_and_is_refused_before_they_come() {
    let room = HEADER_BYTES_MAX - of_v4(&[]).len();
    let longest = of_v4(&vec![0; room]);
    assert_eq!(longest.len(), HEADER_BYTES_MAX);
    assert!(matches!(
        look(&longest),
        Front::Whole {
            len: HEADER_BYTES_MAX,
            client: Some(_)
        }
    ));
    let longer = of_v4(&vec![0; room + 1]);
    assert_eq!(look(&longer[..15]), Front::More);
    assert_eq!(look(&longer[..16]), Front::Wrong(Fault::TooLong));
    assert_eq!(look(&binary(0, 0, &[], Some(u16::MAX))), Front::Wrong(Fault::TooLong));
}

#[test]
fn what_is_no_header_is_known_at_the_first_byte_that_differs() {
    assert_eq!(look(&[]), Front::More);
    for begin in [b"PROXY ".as_slice(), BEGIN] {
        for at in 0..begin.len() {
            let mut other = begin[..=at].to_vec();
            assert_eq!(look(&other), Front::More);
            other[at] ^= 0x80;
            assert_eq!(look(&other), Front::Wrong(Fault::Missing), "{other:?}");
        }
    }
    // What comes without a proxy: TLS, STUN, HTTP.
    for first in [&[0x16, 3, 1][..], &[0, 1, 0, 0], b"POST / HTTP/1.1"] {
        assert_eq!(look(first), Front::Wrong(Fault::Missing));
    }
}

#[test]
fn nobodys_and_everybodys_address_is_no_client() {
    for ip in ["0.0.0.0", "255.255.255.255", "224.0.0.1", "239.255.255.250"] {
        let text = format!("PROXY TCP4 {ip} 192.0.2.1 50000 443");
        assert_eq!(line(&text), Front::Wrong(Fault::Address), "{ip}");
    }
    for ip in ["::", "ff02::1", "::ffff:0.0.0.0", "::ffff:224.0.0.1"] {
        let text = format!("PROXY TCP6 {ip} 2001:db8::1 50000 443");
        assert_eq!(line(&text), Front::Wrong(Fault::Address), "{ip}");
    }
    let nobody = binary(1, 0x11, &[0; 12], None);
    assert_eq!(look(&nobody), Front::Wrong(Fault::Address));
}
