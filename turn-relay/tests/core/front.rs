//! What strangers get: little, and no memory.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use stun::{Class, attribute, method};
use turn_relay::core::{Config, Outcome, Stage};

use crate::bed::{Client, SHARD_0, UDP, bed, config, with};

fn asking(writer: &mut stun::Writer<'_>) -> Result<(), stun::NoRoom> {
    writer.attribute(attribute::REQUESTED_TRANSPORT, &UDP)
}

/// T5: a reply to somebody unproven is at most 2.15 times an Allocate of 28 bytes, three times a bare header.
#[test]
fn target_t5_an_unverified_reply_is_small() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    let flow = client.flow;
    let mut sizes = Vec::new();
    for fingerprint in [true, false] {
        client.fingerprint = fingerprint;
        for request in [
            client.bare(method::ALLOCATE, asking),
            client.bare(method::ALLOCATE, |_| Ok(())),
        ] {
            let answer = bed.ask(flow, &request).expect("a challenge");
            sizes.push((request.len(), answer.0.len()));
        }
    }
    assert_eq!(sizes, [(36, 68), (28, 68), (28, 60), (20, 60)]);
    let (chrome_in, chrome_out) = sizes[2];
    assert!(chrome_out as f64 <= 2.15 * chrome_in as f64);
    let binding = client.write(Class::Request, method::BINDING, [1; 12], |_| Ok(()), false);
    assert_eq!(bed.ask(client.flow, &binding).expect("an answer").0.len(), 32);
}

/// T5: beyond its burst a prefix gets no more than it sends.
#[test]
fn target_t5_sustained_a_prefix_gets_no_more_than_it_sends() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    let request = client.bare(method::ALLOCATE, asking);
    let (mut bytes_in, mut bytes_out) = (0usize, 0usize);
    let mut silent = 0;
    for n in 0..100_000u32 {
        let from = SocketAddr::from(([198, 51, 100, n as u8], 1_000 + (n >> 8) as u16));
        client.flow.remote = from;
        bytes_in += request.len();
        match bed.ask(client.flow, &request) {
            Some(answer) => bytes_out += answer.0.len(),
            None => silent += 1,
        }
    }
    assert!(bytes_out <= bytes_in + 32 * 1_024, "{bytes_out} for {bytes_in}");
    assert!(bytes_out >= bytes_in, "and not much less: {bytes_out} for {bytes_in}");
    assert!(silent > 50_000, "{silent}");
    let place = Stage::ALL
        .iter()
        .position(|&stage| stage == Stage::Budget)
        .expect("it is there");
    assert_eq!(bed.core.counters().dropped[place], silent);
    assert_eq!(bed.core.counters().unverified_reply_bytes, bytes_out as u64);
    let elsewhere = Client::at("203.0.113.1:1").bare(method::ALLOCATE, asking);
    assert!(
        bed.ask(Client::at("203.0.113.1:1").flow, &elsewhere).is_some(),
        "others have their own"
    );
}

#[test]
fn a_spent_burst_is_back_after_ten_minutes() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    let request = client.bare(method::ALLOCATE, |_| Ok(()));
    let flood = |bed: &mut crate::bed::Bed<_>| (0..10_000).filter(|_| bed.ask(client.flow, &request).is_some()).count();
    let first = flood(&mut bed);
    let second = flood(&mut bed);
    bed.advance(600);
    let later = flood(&mut bed);
    // 20 in, 60 out: the burst pays two thirds of 819, and a third of the rest pays for itself.
    assert!(first > second + 500 && later > second + 500, "{first} {second} {later}");
    assert!(later <= first + 1, "the burst and no more: {first} {later}");
}

#[test]
fn the_proven_refill_what_their_network_spends() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.allocate(&mut client);
    let bare = client.bare(method::ALLOCATE, asking);
    while bed.ask(client.flow, &bare).is_some() {}
    for _ in 0..4 {
        assert_eq!(bed.refresh(&mut client, 600).code(), 0, "the proven need no budget");
    }
    let mut beside = Client::at("198.51.100.99:5000");
    let bare = beside.bare(method::ALLOCATE, asking);
    assert!(
        bed.ask(beside.flow, &bare).is_some(),
        "a colleague lives from what the proven earned"
    );
}

/// R3: a million requests of a million sources leave every table as it was.
#[test]
fn requirement_r3_a_million_strangers_leave_no_trace() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.allocate(&mut client);
    let before = bed.core.footprint();
    let mut stranger = Client::at("198.51.100.9:5000");
    stranger.nonce = b"AAAAAAAAAAAAAAAA".to_vec();
    stranger.password = "guess".to_owned();
    let binding = stranger.write(Class::Request, method::BINDING, [1; 12], |_| Ok(()), false);
    let requests = [
        stranger.bare(method::ALLOCATE, asking),
        stranger.signed(method::ALLOCATE, asking),
        stranger.send(SHARD_0, &[0x80; 20]),
        binding,
        crate::bed::channel_data(0x4000, &[0x80; 20]),
        stranger.signed(method::REFRESH, |_| Ok(())),
    ];
    for n in 0..1_000_000u32 {
        let ip = if n % 8 == 0 {
            IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(n) << 64))
        } else {
            IpAddr::V4(Ipv4Addr::from_bits(0x2000_0000 + n * 1_021))
        };
        stranger.flow.remote = SocketAddr::new(ip, n as u16 | 1);
        bed.hand(stranger.flow, &requests[n as usize % requests.len()]);
        bed.outside.replies.clear();
        if n % 50_000 == 0 {
            bed.advance(1);
            bed.tick();
        }
    }
    assert_eq!(bed.core.footprint(), before);
    assert!(
        bed.core.counters().unverified_reply_bytes > 10_000_000,
        "they were answered"
    );
}

/// Those who show a nonce but no credential do not either.
#[test]
fn strangers_with_a_nonce_leave_no_trace() {
    let mut bed = bed();
    let before = bed.core.footprint();
    for n in 0..2_000u16 {
        let mut client = Client::at(&format!("198.{}.100.7:{}", n % 256, 5_000 + n));
        client.password = "guess".to_owned();
        assert_eq!(bed.allocate_with(&mut client, |_| Ok(())).code(), 401);
        assert_eq!(bed.refresh(&mut client, 600).code(), 401);
    }
    assert_eq!(bed.core.footprint(), before);
}

#[test]
fn rubbish_meets_silence_and_is_counted_by_what_was_wrong() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    let request = client.bare(method::ALLOCATE, asking);
    client.fingerprint = true;
    let mut binding = client.write(Class::Request, method::BINDING, [1; 12], |_| Ok(()), false);
    let last = binding.len() - 1;
    binding[last] ^= 1;
    let mut cookie = request.clone();
    cookie[4] ^= 1;
    let cases = [
        (vec![], Stage::Length),
        (vec![0], Stage::Length),
        (request[..19].to_vec(), Stage::Length),
        (vec![0x16; 60], Stage::Length),
        (vec![0x80; 60], Stage::Length),
        (cookie, Stage::Header),
        ([&request[..], &[0; 4]].concat(), Stage::Header),
        (request[..request.len() - 4].to_vec(), Stage::Header),
        (binding, Stage::Fingerprint),
    ];
    for (bytes, stage) in cases {
        assert_eq!(bed.hand(client.flow, &bytes), Outcome::Dropped(stage), "{bytes:?}");
    }
    assert!(bed.outside.replies.is_empty());
}

#[test]
fn with_turn_off_only_binding_is_answered() {
    let mut bed = with(
        Config {
            turn: false,
            ..config()
        },
        &[],
    );
    let mut client = Client::at("198.51.100.7:5000");
    for method in [
        method::ALLOCATE,
        method::REFRESH,
        method::CREATE_PERMISSION,
        method::CHANNEL_BIND,
    ] {
        let bytes = client.bare(method, asking);
        assert_eq!(bed.hand(client.flow, &bytes), Outcome::Dropped(Stage::Off));
    }
    let binding = client.write(Class::Request, method::BINDING, [1; 12], |_| Ok(()), false);
    let answer = bed.ask(client.flow, &binding).expect("an answer");
    assert_eq!(answer.message().xor_mapped_address(), Some(client.flow.remote));
}
