//! What an attacker gets who reads along, sends under foreign addresses or keeps datagrams for later: nothing.

use media_core::command::{Command, Refused};
use media_core::event::Cause;
use media_core::limits::{ADDRESSES_PER_TRANSPORT_MAX, CONSENT_MAX, CONSENT_MIN, MS, SECOND};
use media_core::matrix::Part;
use media_core::shard::Config;
use std::net::SocketAddr;
use stun::{Class, Key, Message, Writer, attribute, method};
use testkit::bed::{Bed, Client, FRAME, ROOM};

use crate::Call;

/// Packets behind the newest that are told apart, the newest among them (RFC 3711 §3.3.2 asks for 64).
const WINDOW: u64 = 256;
/// One tick of the timers.
const TICK: u64 = 10 * MS;

fn elsewhere(port: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 8], port))
}

/// Refused as copies, refused as strangers', refused as not authentic.
fn refused(bed: &Bed) -> (u64, u64, u64) {
    let totals = bed.shard.totals();
    (
        totals.drop_replayed,
        totals.drop_unknown_source,
        totals.drop_unauthentic,
    )
}

#[test]
fn a_copy_is_refused_at_its_own_address_and_elsewhere_after_a_restart_a_move_and_a_reload() {
    let mut call = Call::new();
    let own = call.customer.address;
    let voice = call.customer.speak(b"once");
    let report = call.customer.report(0, 3);
    assert_eq!(call.bed.datagram(own, &voice).len(), 1);
    call.bed.datagram(own, &report);
    let copies = |bed: &mut Bed, from: SocketAddr| {
        assert!(bed.datagram(from, &voice).is_empty() && bed.datagram(from, &report).is_empty());
        refused(bed)
    };
    assert_eq!(copies(&mut call.bed, own), (2, 0, 0));
    assert_eq!(copies(&mut call.bed, elsewhere(1)), (2, 2, 0));
    call.customer.restart();
    call.bed
        .shard
        .command(call.bed.now, call.customer.restart_command())
        .unwrap();
    call.bed.check(&mut call.customer);
    assert_eq!(
        copies(&mut call.bed, own),
        (4, 2, 0),
        "an ICE restart keeps keys and windows"
    );
    call.customer.address = elsewhere(2);
    call.bed.check(&mut call.customer);
    assert_eq!(copies(&mut call.bed, elsewhere(2)), (6, 2, 0), "a move as well");
    let (transport, leg) = (call.customer.transport, call.customer.leg);
    call.customer.reload();
    assert_ne!(call.customer.transport, transport);
    let transport = Box::new(call.customer.transport());
    call.bed
        .shard
        .command(call.bed.now, Command::Attach { leg, transport })
        .unwrap();
    call.bed.check(&mut call.customer);
    call.bed.establish(&call.customer).unwrap();
    let address = call.customer.address;
    assert_eq!(copies(&mut call.bed, address), (6, 2, 2), "a reload has other keys");
    assert_eq!(copies(&mut call.bed, own), (6, 4, 2), "and its old address is nobody's");
    assert!(call.customer_is_heard());
}

#[test]
fn a_packet_is_late_up_to_the_window_and_not_beyond() {
    let mut call = Call::new();
    let kept: Vec<Vec<u8>> = (0..WINDOW + 1).map(|_| call.customer.speak(b"late")).collect();
    let own = call.customer.address;
    call.bed.datagram(own, &kept[WINDOW as usize]);
    let opened = call.bed.shard.totals().rtp_opened;
    call.bed.advance(2 * SECOND);
    call.bed.datagram(own, &kept[0]);
    assert_eq!(call.bed.shard.totals().drop_replayed, 1, "256 behind: nobody can tell");
    call.bed.datagram(own, &kept[1]);
    assert_eq!(call.bed.shard.totals().rtp_opened, opened + 1, "255 behind");
    call.bed.datagram(own, &kept[1]);
    assert_eq!(call.bed.shard.totals().drop_replayed, 2, "once");
    // Every source has a window of its own.
    call.bed.advance(SECOND);
    call.customer.numbers.ssrc += 1;
    assert!(call.customer_is_heard());
    call.bed.datagram(own, &kept[2]);
    assert_eq!(call.bed.shard.totals().rtp_opened, opened + 3);
}

#[test]
fn consent_ends_at_its_setting_which_stays_between_20_and_30_seconds() {
    for (setting, ends) in [
        (1, CONSENT_MIN),
        (20 * SECOND, CONSENT_MIN),
        (22 * SECOND, 22 * SECOND),
        (30 * SECOND, CONSENT_MAX),
        (u64::MAX, CONSENT_MAX),
    ] {
        let mut bed = Bed::new(Config {
            consent: setting,
            ..Config::default()
        });
        let mut client = Client::new(1, Part::Customer);
        bed.bring_up(&mut client);
        // Sound and reports come all the time (RFC 7675 §5.1: they are no consent).
        for _ in 0..(ends - TICK) / FRAME {
            let packet = client.speak(b"still here");
            bed.datagram(client.address, &packet);
            bed.advance(FRAME);
        }
        bed.advance(ends - TICK - (bed.now - testkit::bed::BEGIN));
        assert_eq!(bed.shard.transports(), 1, "just before {ends}");
        bed.advance(2 * TICK);
        assert_eq!(bed.shard.transports(), 0, "just after {ends}");
        let packet = client.speak(b"too late");
        bed.datagram(client.address, &packet);
        assert_eq!(refused(&bed), (0, 1, 0));
    }
}

#[test]
fn from_an_address_without_a_valid_check_nothing_but_stun_is_looked_at() {
    let mut bed = Bed::default();
    let mut client = Client::new(1, Part::Customer);
    bed.add(ROOM, &client).unwrap();
    let hello = [&[22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], &[1]].concat();
    let others = [hello, client.speak(b"voice"), client.report(0, 1)];
    let mut strangers = 0;
    let mut silent = |bed: &mut Bed, from: SocketAddr| {
        for datagram in &others {
            assert!(bed.datagram(from, datagram).is_empty());
            assert!(bed.shard.poll_job().is_none(), "no handshake with {from}");
            strangers += 1;
            assert_eq!(refused(bed), (0, strangers, 0));
        }
    };
    silent(&mut bed, client.address);
    let wrong = client.check_with(true, "a password that nobody gave out");
    assert!(bed.datagram(client.address, &wrong).is_empty());
    silent(&mut bed, client.address);
    bed.check(&mut client);
    let neighbour = SocketAddr::new(client.address.ip(), client.address.port() + 1);
    silent(&mut bed, neighbour);
    // Addresses that gave way for newer ones are strangers again.
    let first = client.address;
    for port in 1..=ADDRESSES_PER_TRANSPORT_MAX as u16 + 1 {
        bed.advance(SECOND);
        client.address = elsewhere(port);
        bed.check(&mut client);
    }
    assert_eq!(bed.shard.tables().addresses, ADDRESSES_PER_TRANSPORT_MAX);
    silent(&mut bed, first);
}

#[test]
fn an_answer_is_no_longer_than_the_check_that_asked_for_it() {
    let mut bed = Bed::default();
    let mut client = Client::new(1, Part::Customer);
    bed.add(ROOM, &client).unwrap();
    let v6 = SocketAddr::from(([0x2001, 0xDB8, 0, 0, 0, 0, 0, 1], 5_000));
    for from in [client.address, v6] {
        for controlled in [false, true] {
            client.controlled = controlled;
            let check = client.check(true);
            let sent = bed.datagram(from, &check);
            assert_eq!((sent.len(), sent[0].to), (1, from));
            let class = Message::parse(&sent[0].bytes).unwrap().class();
            assert_eq!(class == Class::Error, controlled, "487 for who claims our role");
            assert!(
                sent[0].bytes.len() <= check.len(),
                "{} for {}",
                sent[0].bytes.len(),
                check.len()
            );
        }
    }
    // The shortest request with the right password, and one that must be refused: less than twice as long.
    let ice = client.ice();
    let mut key = Key::new(ice.local_pwd.as_bytes());
    for unknown in [false, true] {
        let mut buffer = [0; 256];
        let mut writer = Writer::new(&mut buffer, Class::Request, method::BINDING, [9; 12]).unwrap();
        let username = format!("{}:{}", ice.local_ufrag, ice.remote_ufrag);
        writer.attribute(attribute::USERNAME, username.as_bytes()).unwrap();
        if unknown {
            writer.attribute(0x7FFF, b"").unwrap();
        }
        writer.integrity(&mut key).unwrap();
        let len = writer.finish();
        let sent = bed.datagram(v6, &buffer[..len]);
        assert_eq!(sent.len(), 1);
        assert!(sent[0].bytes.len() < 2 * len, "{} for {len}", sent[0].bytes.len());
    }
}

#[test]
fn a_leg_that_ended_is_silent_and_cannot_be_revived() {
    let mut call = Call::new();
    let (leg, address) = (call.customer.leg, call.customer.address);
    let old = [
        call.customer.check(true),
        call.customer.speak(b"voice"),
        call.customer.report(0, 1),
        vec![22, 0xFE, 0xFD, 0, 1],
    ];
    let cause = Cause::HangUp;
    call.bed
        .shard
        .command(call.bed.now, Command::RemoveLeg { leg, cause })
        .unwrap();
    let before = call.bed.shard.tables();
    call.bed.events();
    while call.bed.shard.poll_job().is_some() {}
    for datagram in &old {
        assert!(call.bed.datagram(address, datagram).is_empty());
    }
    assert_eq!(call.bed.establish(&call.customer), Err(Refused::UnknownTransport));
    call.customer.reload();
    let transport = Box::new(call.customer.transport());
    for command in [Command::Attach { leg, transport }, call.customer.restart_command()] {
        assert_eq!(call.bed.shard.command(call.bed.now, command), Err(Refused::UnknownLeg));
    }
    let packet = call.agent.speak(b"to nobody");
    assert!(call.bed.datagram(call.agent.address, &packet).is_empty());
    assert_eq!(
        call.bed
            .advance(2 * SECOND)
            .iter()
            .filter(|sent| sent.to == address)
            .count(),
        0
    );
    assert_eq!(
        (call.bed.shard.tables(), call.bed.shard.poll_job().is_none()),
        (before, true)
    );
    assert!(
        call.bed
            .events()
            .iter()
            .all(|event| !format!("{:?}", event.kind).contains(&format!("{leg:?}")))
    );
}
