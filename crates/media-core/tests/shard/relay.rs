//! Through the relay: who is spoken to over which way, and that nobody reaches a way but through the relay.

use media_core::event::Kind;
use media_core::limits::{ADDRESS_SILENT, CONSENT, MS, OLD_CREDENTIALS, REVERT_WINDOW, SECOND};
use media_core::matrix::Part;
use media_core::origin::{Path, Relayed, Route, Via};
use std::net::SocketAddr;
use stun::Message;
use testkit::bed::{Bed, Client, FRAME, ROOM};

use crate::{Call, kinds};

/// The virtual relayed address number `port`.
fn virtual_address(port: u16) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 9], port))
}

fn elsewhere(port: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 7], port))
}

/// A call whose customer is behind the relay from the start.
fn relayed_call(via: Via) -> Call {
    let (mut customer, mut agent) = (Client::new(1, Part::Customer), Client::new(2, Part::Agent));
    customer.go_behind_relay(via, virtual_address(50_000));
    let mut bed = Bed::default();
    bed.bring_up(&mut customer);
    bed.bring_up(&mut agent);
    let mut call = Call { bed, customer, agent };
    call.talk();
    call
}

/// By which way a packet of the agent reaches the customer now.
fn way(call: &mut Call) -> (SocketAddr, Option<Path>) {
    let packet = call.agent.speak(b"where");
    let sent = call.bed.arrives(&call.agent, &packet);
    assert_eq!(sent.len(), 1);
    (sent[0].to, sent[0].path)
}

/// Over what the engine says that the leg of the client goes, as far as it has said it since the last look.
fn told(bed: &mut Bed, client: &Client) -> Vec<Route> {
    let told = bed.events().into_iter().filter_map(|event| match event.kind {
        Kind::LegRoute { leg, route } if leg == client.leg => Some(route),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_call_through_the_relay_sounds_both_ways_and_every_answer_takes_the_way_back() {
    for via in [Via::Udp, Via::Tcp, Via::Tls] {
        let mut call = relayed_call(via);
        let path = call.customer.path;
        assert!(call.customer_is_heard());
        assert_eq!(way(&mut call), (virtual_address(50_000), path));
        assert_eq!(told(&mut call.bed, &call.customer), [Route::Relayed(via)]);
        let heard = call.bed.say(&mut call.agent, b"back", &mut call.customer);
        assert_eq!(heard.len(), 1);
        let later = call.bed.advance(SECOND);
        let reports: Vec<_> = later.iter().filter(|sent| sent.to == call.customer.address).collect();
        assert!(!reports.is_empty() && reports.iter().all(|sent| sent.path == path));
        assert!(
            later
                .iter()
                .any(|sent| sent.path.is_none() && sent.to == call.agent.address)
        );
    }
}

#[test]
fn a_check_through_the_relay_is_told_the_virtual_relayed_address() {
    for text in ["203.0.113.9:50001", "[2001:db8::9]:50001"] {
        let mut bed = Bed::default();
        let mut client = Client::new(1, Part::Customer);
        client.go_behind_relay(Via::Udp, text.parse().unwrap());
        bed.add(ROOM, &client).unwrap();
        let sent = bed.check(&mut client);
        assert_eq!(sent[0].path, client.path);
        let answer = Message::parse(&sent[0].bytes).unwrap();
        assert_eq!(answer.xor_mapped_address(), Some(client.address));
    }
}

/// R10: who sends from the address that a relayed client has, on the wire, is nobody that is known.
#[test]
fn a_datagram_with_a_forged_source_equal_to_a_live_virtual_address_never_matches_a_relay_path() {
    let mut call = relayed_call(Via::Udp);
    assert!(call.customer_is_heard());
    let before = *call.bed.shard.totals();
    let forged = call.customer.address;
    let voice = call.customer.speak(b"forged");
    assert!(call.bed.datagram(forged, &voice).is_empty());
    let handshake = [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert!(call.bed.datagram(forged, &handshake).is_empty());
    let report = call.customer.report(0, 0);
    assert!(call.bed.datagram(forged, &report).is_empty());
    let totals = call.bed.shard.totals();
    assert_eq!(totals.drop_unknown_source - before.drop_unknown_source, 3);
    assert_eq!(totals.rtp_opened, before.rtp_opened);
    // Without the password nothing is answered; with it the answer goes to the wire, and the way stays where it was.
    let mut stranger = Client::new(1, Part::Customer);
    let wrong = stranger.check_with(true, "a password that nobody gave out");
    assert!(call.bed.datagram(forged, &wrong).is_empty());
    let path = call.customer.path;
    let replayed = call.customer.check(false);
    let sent = call.bed.datagram(forged, &replayed);
    assert_eq!((sent.len(), sent[0].to, sent[0].path), (1, forged, None));
    assert_eq!(way(&mut call), (forged, path));
}

#[test]
fn before_its_first_valid_check_a_path_is_good_for_checks_alone() {
    let mut bed = Bed::default();
    let mut client = Client::new(1, Part::Customer);
    client.go_behind_relay(Via::Tls, virtual_address(50_002));
    bed.add(ROOM, &client).unwrap();
    let voice = client.speak(b"early");
    let report = client.report(0, 0);
    let handshake = vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for (n, bytes) in [voice, report, handshake].iter().enumerate() {
        assert!(bed.arrives(&client, bytes).is_empty());
        assert_eq!(bed.shard.totals().drop_relay_gate, n as u64 + 1);
    }
    let wrong = client.check_with(true, "a password that nobody gave out");
    assert!(bed.arrives(&client, &wrong).is_empty());
    assert_eq!(bed.shard.tables().addresses, 0, "nothing was learnt");
    assert_eq!(bed.check(&mut client).len(), 1);
    assert_eq!(bed.shard.tables().addresses, 1);
    let totals = bed.shard.totals();
    assert_eq!(totals.accounted(), totals.datagrams);
}

#[test]
fn a_credential_speaks_to_its_own_leg_and_to_no_other() {
    let mut call = relayed_call(Via::Udp);
    assert!(call.customer_is_heard());
    let path = call.customer.path;
    let own = call.customer.relayed().expect("it is behind the relay");
    // A check that is right in everything, for a leg that the way was not opened for.
    let foreign = call.agent.check(true);
    assert!(call.bed.relayed(own, &foreign).is_empty());
    let fresh = Relayed {
        path: Path { end: 1, ..own.path },
        ..own
    };
    let foreign = call.agent.check(true);
    assert!(call.bed.relayed(fresh, &foreign).is_empty());
    assert_eq!(call.bed.shard.totals().drop_relay_gate, 2);
    assert_eq!(call.bed.shard.tables().addresses, 2, "nothing was learnt");
    // The same way in the name of another leg.
    let usurped = Relayed {
        leg: call.agent.leg,
        ..own
    };
    let voice = call.customer.speak(b"usurped");
    assert!(call.bed.relayed(usurped, &voice).is_empty());
    assert_eq!(call.bed.shard.totals().drop_relay_gate, 3);
    // A fragment that nobody has here is not of the leg either, and counted as everywhere.
    let mut stranger = Client::new(9, Part::Customer);
    let unknown = stranger.check(true);
    assert!(call.bed.relayed(own, &unknown).is_empty());
    assert_eq!(call.bed.shard.totals().drop_unknown_ufrag, 1);
    assert!(call.customer_is_heard());
    assert_eq!(way(&mut call).1, path);
    let totals = call.bed.shard.totals();
    assert_eq!(totals.accounted(), totals.datagrams);
}

#[test]
fn a_later_allocation_in_the_same_place_is_another_way() {
    let mut call = relayed_call(Via::Udp);
    assert!(call.customer_is_heard());
    call.customer.go_behind_relay(Via::Udp, virtual_address(50_003));
    let voice = call.customer.speak(b"too soon");
    assert!(call.bed.arrives(&call.customer, &voice).is_empty());
    assert_eq!(call.bed.shard.totals().drop_relay_gate, 1);
    call.bed.check(&mut call.customer);
    assert!(call.customer_is_heard());
    assert_eq!(way(&mut call).1, call.customer.path);
}

#[test]
fn nothing_is_sent_by_a_way_that_is_no_more_until_a_check_finds_another() {
    let mut call = relayed_call(Via::Udp);
    assert!(call.customer_is_heard());
    let leg = call.customer.leg;
    let gone = call.customer.path.expect("it is behind the relay");
    call.bed.shard.path_gone(Path { end: 99, ..gone });
    assert_eq!(way(&mut call).1, Some(gone), "another way of the same allocation");
    call.bed.events();
    assert_eq!(call.bed.shard.tables().addresses, 2);
    for _ in 0..2 {
        call.bed.shard.path_gone(gone);
        assert_eq!(call.bed.shard.tables().addresses, 1);
    }
    let packet = call.agent.speak(b"to nobody");
    assert!(call.bed.arrives(&call.agent, &packet).is_empty());
    let late = call.customer.speak(b"late");
    assert!(call.bed.arrives(&call.customer, &late).is_empty());
    assert_eq!(call.bed.shard.totals().drop_relay_gate, 1);
    let later = call.bed.advance(SECOND);
    assert!(
        later.iter().all(|sent| sent.path.is_none()),
        "no report goes there either"
    );
    assert_eq!(kinds(&call.bed.events()), [], "the leg lives on");

    // The client makes another allocation, over another way, and then finds the wire.
    call.customer.go_behind_relay(Via::Tls, virtual_address(50_009));
    call.bed.check(&mut call.customer);
    assert_eq!(way(&mut call).1, call.customer.path);
    assert!(call.customer_is_heard());
    let route = Route::Relayed(Via::Tls);
    assert_eq!(kinds(&call.bed.events()), [Kind::LegRoute { leg, route }]);
    // The same way once more: who is heard through it is sent to through it.
    let again = call.customer.path.expect("it is behind the relay");
    call.bed.shard.path_gone(again);
    call.bed.check(&mut call.customer);
    assert_eq!(way(&mut call).1, Some(again));
    let totals = call.bed.shard.totals();
    assert_eq!(totals.accounted(), totals.datagrams);
}

#[test]
fn a_client_moves_from_direct_to_relay_and_back_and_each_way_is_told() {
    let mut call = Call::new();
    let (home, leg) = (call.customer.address, call.customer.leg);
    assert!(call.customer_is_heard());
    call.bed.events();
    call.customer.go_behind_relay(Via::Tcp, virtual_address(50_004));
    call.bed.check(&mut call.customer);
    let route = Route::Relayed(Via::Tcp);
    assert_eq!(
        kinds(&call.bed.events()),
        [Kind::LegMigrated { leg }, Kind::LegRoute { leg, route }]
    );
    assert_eq!(way(&mut call).1, call.customer.path);
    assert!(call.customer_is_heard());
    call.bed.events();
    call.customer.go_behind_relay(Via::Tcp, virtual_address(50_005));
    call.bed.check(&mut call.customer);
    assert_eq!(
        kinds(&call.bed.events()),
        [Kind::LegMigrated { leg }],
        "another way of the same kind"
    );
    assert!(call.customer_is_heard());
    call.customer.go_direct(home);
    call.bed.check(&mut call.customer);
    let route = Route::Direct;
    assert_eq!(
        kinds(&call.bed.events()),
        [Kind::LegMigrated { leg }, Kind::LegRoute { leg, route }]
    );
    assert_eq!(way(&mut call), (home, None));
    assert!(call.customer_is_heard());
    assert_eq!(call.bed.shard.totals().migrations, 3);
}

#[test]
fn a_silent_address_gives_way_to_a_plain_check_through_the_relay() {
    let mut call = Call::new();
    assert!(call.customer_is_heard());
    let home = call.customer.address;
    call.customer.go_behind_relay(Via::Udp, virtual_address(50_006));
    call.bed.now += ADDRESS_SILENT - 1;
    let check = call.customer.check(false);
    call.bed.arrives(&call.customer, &check);
    assert_eq!(way(&mut call), (home, None), "just not silent");
    call.bed.now += ADDRESS_SILENT;
    let check = call.customer.check(false);
    call.bed.arrives(&call.customer, &check);
    assert_eq!(way(&mut call).1, call.customer.path);
}

#[test]
fn a_check_replayed_on_the_wire_is_taken_back_by_the_voice_behind_the_relay() {
    let mut call = relayed_call(Via::Udp);
    assert!(call.customer_is_heard());
    let path = call.customer.path;
    call.bed.advance(SECOND);
    call.bed.events();
    let replayed = call.customer.check(true);
    call.bed.datagram(elsewhere(66), &replayed);
    assert_eq!(way(&mut call), (elsewhere(66), None));
    call.bed.now += FRAME;
    assert!(call.customer_is_heard());
    assert_eq!(way(&mut call).1, path, "reverted by the next packet");
    assert_eq!(call.bed.shard.totals().migrations_reverted, 1);
    call.bed.advance(SECOND);
    let told = told(&mut call.bed, &call.customer);
    assert_eq!(
        told,
        [Route::Direct, Route::Relayed(Via::Udp)],
        "within a second it is told where it goes"
    );
    // Two seconds after a move nobody takes it back any more.
    let replayed = call.customer.check(true);
    call.bed.datagram(elsewhere(67), &replayed);
    call.bed.now += REVERT_WINDOW;
    assert!(call.customer_is_heard());
    assert_eq!(way(&mut call), (elsewhere(67), None));
}

#[test]
fn an_ice_restart_goes_over_the_relay_and_old_credentials_end() {
    let mut call = Call::new();
    assert!(call.customer_is_heard());
    let old = call.customer.check(true);
    call.customer.restart();
    let restart = call.customer.restart_command();
    call.bed.shard.command(call.bed.now, restart).unwrap();
    call.customer.go_behind_relay(Via::Tls, virtual_address(50_007));
    call.bed.check(&mut call.customer);
    assert_eq!(way(&mut call).1, call.customer.path);
    assert!(call.customer_is_heard(), "the keys stay");
    let from = call.customer.relayed().expect("it is behind the relay");
    assert!(
        call.bed.relayed(from, &old).is_empty(),
        "retired by the first new check"
    );
    assert_eq!(call.bed.shard.totals().drop_unknown_ufrag, 1);
    // Old credentials also end by time, through the relay as on the wire.
    let old = call.customer.check(true);
    call.customer.restart();
    let restart = call.customer.restart_command();
    call.bed.shard.command(call.bed.now, restart).unwrap();
    assert_eq!(call.bed.relayed(from, &old).len(), 1, "they live on for a while");
    call.bed.advance(OLD_CREDENTIALS + 20 * MS);
    assert!(call.bed.relayed(from, &old).is_empty());
}

#[test]
fn consent_through_the_relay_ends_as_on_the_wire_and_nothing_is_left() {
    let mut call = relayed_call(Via::Udp);
    assert!(call.customer_is_heard());
    let agent = &mut call.agent;
    call.bed.advance_alive(CONSENT + SECOND, &mut [agent]);
    assert_eq!(call.bed.shard.transports(), 1, "no check for as long as consent lasts");
    let voice = call.customer.speak(b"gone");
    assert!(call.bed.arrives(&call.customer, &voice).is_empty());
    assert_eq!(call.bed.shard.tables().addresses, 1);
    // A page reload through a new allocation brings the leg back.
    call.customer.reload();
    call.customer.go_behind_relay(Via::Tcp, virtual_address(50_008));
    let attach = media_core::command::Command::Attach {
        leg: call.customer.leg,
        transport: Box::new(call.customer.transport()),
    };
    call.bed.events();
    call.bed.shard.command(call.bed.now, attach).unwrap();
    call.bed.check(&mut call.customer);
    call.bed.establish(&call.customer).unwrap();
    assert!(call.customer_is_heard());
    assert_eq!(told(&mut call.bed, &call.customer), [Route::Relayed(Via::Tcp)]);
    let close = media_core::command::Command::CloseRoom {
        room: ROOM,
        cause: media_core::event::Cause::HangUp,
    };
    call.bed.shard.command(call.bed.now, close).unwrap();
    assert_eq!(call.bed.shard.tables(), media_core::shard::Tables::default());
    let voice = call.customer.speak(b"after the end");
    assert!(call.bed.arrives(&call.customer, &voice).is_empty());
}

#[test]
fn the_way_stands_in_every_second_and_in_the_totals_of_the_leg() {
    let mut call = relayed_call(Via::Tls);
    assert!(call.customer_is_heard());
    call.bed.advance(SECOND + 20 * MS);
    let mut seconds = 0;
    while let Some(second) = call.bed.shard.poll_second() {
        let expected = if second.leg == call.customer.leg {
            Route::Relayed(Via::Tls)
        } else {
            Route::Direct
        };
        assert_eq!(second.route, Some(expected));
        seconds += 1;
    }
    assert_eq!(seconds, 4);
    let close = media_core::command::Command::CloseRoom {
        room: ROOM,
        cause: media_core::event::Cause::HangUp,
    };
    call.bed.shard.command(call.bed.now, close).unwrap();
    let ends = call.bed.events().into_iter().filter_map(|event| match event.kind {
        Kind::LegDown { summary, .. } => summary.route,
        _ => None,
    });
    assert_eq!(ends.collect::<Vec<_>>(), [Route::Relayed(Via::Tls), Route::Direct]);
}

#[test]
fn a_leg_that_never_had_keys_has_no_way() {
    let mut bed = Bed::default();
    let mut client = Client::new(1, Part::Customer);
    client.go_behind_relay(Via::Udp, virtual_address(50_009));
    bed.add(ROOM, &client).unwrap();
    bed.check(&mut client);
    assert!(told(&mut bed, &client).is_empty());
    bed.advance(media_core::limits::DTLS_TIMEOUT + 20 * MS);
    let events = bed.events();
    let [Kind::LegDown { summary, .. }] = &kinds(&events)[..] else {
        panic!("it ends: {events:?}")
    };
    assert_eq!(summary.route, None);
    assert_eq!(bed.shard.tables().addresses, 0);
}
