//! The mode with sockets: nobody is reached who is not listed, and some never.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use proptest::prelude::*;
use turn_relay::core::address::{Canonical, PeerRule, PeerRules, denied};
use turn_relay::core::{FRONT_BYTES, Handle, Outcome, Stage, TAIL_BYTES};

use crate::bed::{Client, address, channel_data, listed};

const PUBLIC: &str = "192.0.2.10:3478";

fn rules(peers: &[&str], listeners: &[&str]) -> PeerRules {
    let peers = peers
        .iter()
        .map(|text| text.parse::<PeerRule>().expect("a rule"))
        .collect();
    PeerRules::new(peers, listeners.iter().map(|text| address(text)).collect())
}

#[test]
fn an_address_that_hides_another_is_found() {
    let hidden = |text: &str| Canonical::of(text.parse().expect("an address"));
    let metadata = Canonical::Hidden(Ipv4Addr::new(169, 254, 169, 254));
    for text in [
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::169.254.169.254",
        "2002:a9fe:a9fe::1",
        // Teredo inverts it.
        "2001:0:4136:e378:8000:63bf:5601:5601",
    ] {
        assert_eq!(hidden(text), metadata, "{text}");
    }
    assert!(matches!(hidden("::1"), Canonical::V6(_)) && matches!(hidden("::"), Canonical::V6(_)));
    assert!(matches!(hidden("2a00:1450::1"), Canonical::V6(_)));
}

#[test]
fn what_is_nobodys_host_is_denied_though_listed() {
    let never = [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:8.8.8.8",
        "::8.8.8.8",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:808:808::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd12::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ];
    for text in never {
        let ip: IpAddr = text.parse().expect("an address");
        assert!(denied(Canonical::of(ip)), "{text}");
        let peer = SocketAddr::new(ip, 5_000);
        let rules = rules(&[text, &peer.to_string()], &[PUBLIC]);
        assert!(!rules.allow(peer) && !rules.allow_ip(ip), "{text}");
    }
    for text in [
        "8.8.8.8",
        "172.32.0.1",
        "100.128.0.1",
        "198.20.0.1",
        "223.255.255.255",
        "2a00:1450::1",
        "2606:4700::1",
    ] {
        let ip: IpAddr = text.parse().expect("an address");
        assert!(!denied(Canonical::of(ip)), "{text}");
        assert!(rules(&[text], &[PUBLIC]).allow(SocketAddr::new(ip, 9)), "{text}");
    }
}

#[test]
fn loopback_is_for_benches_whose_every_listener_is_on_loopback() {
    let peers = ["127.0.0.1:4480", "[::1]:4480"];
    let bench = rules(&peers, &["127.0.0.1:3478", "[::1]:3478"]);
    assert!(peers.iter().all(|peer| bench.allow(address(peer))));
    assert!(!bench.allow(address("[::ffff:127.0.0.1]:4480")));
    for listeners in [&["127.0.0.1:3478", PUBLIC][..], &["0.0.0.0:3478"], &[]] {
        let rules = rules(&peers, listeners);
        assert!(peers.iter().all(|peer| !rules.allow(address(peer))), "{listeners:?}");
    }
}

#[test]
fn our_own_listeners_are_no_peers() {
    let rules = rules(&["127.0.0.1"], &["127.0.0.1:3478", "127.0.0.1:3479"]);
    assert!(rules.allow(address("127.0.0.1:3480")));
    assert!(!rules.allow(address("127.0.0.1:3478")) && !rules.allow(address("127.0.0.1:3479")));
}

#[test]
fn an_entry_with_a_port_allows_that_port() {
    let rules = rules(&["8.8.4.4:5000", "8.8.8.8"], &[PUBLIC]);
    assert!(rules.allow(address("8.8.4.4:5000")) && !rules.allow(address("8.8.4.4:5001")));
    assert!(rules.allow(address("8.8.8.8:1")));
    assert!(rules.allow_ip("8.8.4.4".parse().expect("an address")));
    assert!(!rules.allow_ip("8.8.4.5".parse().expect("an address")));
    for text in ["", "8.8.8", "host:1", "8.8.8.8:99999", "[8.8.8.8"] {
        assert!(text.parse::<PeerRule>().is_err(), "{text}");
    }
    assert_eq!("[2a00::1]".parse::<PeerRule>().map(|rule| rule.port), Ok(None));
}

proptest! {
    #![proptest_config(testkit::properties::usual())]

    /// Whatever an address looks like: it is reached only if exactly it is listed and it is global unicast.
    #[test]
    fn nothing_is_reached_that_is_not_listed(bits in any::<u128>(), v4 in any::<bool>(), port in 1u16.., flip in 0u32..128) {
        let ip = |bits: u128| if v4 { IpAddr::from((bits as u32).to_be_bytes()) } else { IpAddr::from(bits.to_be_bytes()) };
        let peer = SocketAddr::new(ip(bits), port);
        let rules = rules(&[&peer.to_string()], &[PUBLIC]);
        let near = SocketAddr::new(ip(bits ^ 1 << (flip % if v4 { 32 } else { 128 })), port);
        prop_assert!(!rules.allow(near) && !rules.allow(SocketAddr::new(peer.ip(), port ^ 1)));
        prop_assert_eq!(rules.allow(peer), !denied(Canonical::of(peer.ip())));
    }
}

#[test]
fn a_listed_peer_gets_and_sends() {
    let mut bed = listed(&["127.0.0.1:4480", "127.0.0.1:4481"], &["127.0.0.1:3478"]);
    let mut client = Client::at("127.0.0.1:5000");
    let relayed = bed.allocate(&mut client);
    assert_eq!(bed.outside.opened.len(), 1);
    assert_eq!(bed.outside.opened[0].1, relayed);
    assert_eq!(bed.permit(&mut client, &["127.0.0.2:4480"]), 403, "not listed");
    assert_eq!(bed.bind(&mut client, 0x4000, "127.0.0.1:4482"), 403, "another port");
    assert_eq!(bed.bind(&mut client, 0x4000, "127.0.0.1:3478"), 403, "our listener");
    assert_eq!(bed.bind(&mut client, 0x4000, "127.0.0.1:4480"), 0);
    // Any payload: there is no media behind it.
    assert_eq!(bed.hand(client.flow, &channel_data(0x4000, &[9, 9])), Outcome::Relayed);
    let bytes = client.send("127.0.0.1:4481", &[8]);
    assert_eq!(bed.hand(client.flow, &bytes), Outcome::Relayed);
    let bytes = client.send("127.0.0.1:4482", &[8]);
    assert_eq!(bed.hand(client.flow, &bytes), Outcome::Dropped(Stage::Permission));
    let handle = bed.outside.opened[0].0;
    let sent: Vec<_> = bed
        .outside
        .sent
        .iter()
        .map(|(_, peer, payload)| (*peer, payload.clone()))
        .collect();
    assert_eq!(
        sent,
        [
            (address("127.0.0.1:4480"), vec![9, 9]),
            (address("127.0.0.1:4481"), vec![8])
        ]
    );

    let mut frame = vec![0xEE; FRONT_BYTES + 2 + TAIL_BYTES];
    let mut from = |bed: &mut crate::bed::Bed<_>, handle: Handle, peer| {
        bed.core
            .from_peer(bed.at, handle, address(peer), &mut frame, 2)
            .map(|wrapped| wrapped.range.len())
    };
    assert_eq!(from(&mut bed, handle, "127.0.0.1:4480"), Ok(6), "ChannelData");
    assert_eq!(from(&mut bed, handle, "127.0.0.1:4481"), Ok(40), "Data indication");
    assert_eq!(from(&mut bed, handle, "127.0.0.2:4480"), Err(Stage::Permission));
    bed.refresh(&mut client, 0);
    assert!(bed.outside.opened.is_empty(), "the socket is closed");
    assert_eq!(from(&mut bed, handle, "127.0.0.1:4480"), Err(Stage::Gone));
}

#[test]
fn the_families_of_an_allow_list_are_its_sockets() {
    let mut bed = listed(&["127.0.0.1:4480", "[::1]:4480"], &["127.0.0.1:3478"]);
    let mut client = Client::at("127.0.0.1:5000");
    let answer = bed.allocate_with(&mut client, |writer| {
        writer.attribute(stun::attribute::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0])
    });
    assert_eq!(answer.relayed().len(), 2);
    assert_eq!(bed.permit(&mut client, &["127.0.0.1:4480", "[::1]:4480"]), 0);
    bed.core.closed(bed.at, &client.flow, &mut bed.outside);
    assert!(bed.outside.opened.is_empty(), "both are closed");
}
