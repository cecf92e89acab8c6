//! How legs fall silent, come back and end, and what is counted and reported meanwhile.

use media_core::command::{Command, Failure, Report};
use media_core::counters::Direction;
use media_core::event::{Cause, Kind};
use media_core::limits::{
    AWAY, AWAY_WITHOUT_UPLINK, CONSENT, DTLS_TIMEOUT, ICE_TIMEOUT, LEG_KEEP, MS, REPORT_FIRST_MAX,
};
use media_core::matrix::{Part, Stance, Tap};
use media_core::rtcp::{self, Packet};
use testkit::bed::{Bed, Client, FRAME, ROOM};

use crate::{Call, down, kinds};

/// One tick of the timers: nothing fires early, everything fires within it.
const TICK: u64 = 10 * MS;

#[test]
fn a_silent_leg_is_away_then_without_transport_then_lost() {
    let mut call = Call::new();
    let leg = call.customer.leg;
    let rest = |call: &mut Call, time: u64| {
        // The agent stays: his checks every 2.5 s.
        call.bed.advance_alive(time, &mut [&mut call.agent]);
        kinds(&call.bed.events())
            .into_iter()
            .filter(|kind| matches!(kind, Kind::LegAway { .. } | Kind::LegDown { .. } | Kind::LegBack { .. }))
            .collect::<Vec<_>>()
    };
    assert_eq!(rest(&mut call, AWAY - TICK), []);
    assert_eq!(rest(&mut call, 2 * TICK), [Kind::LegAway { leg }]);
    assert_eq!(call.bed.shard.transports(), 2);
    assert_eq!(rest(&mut call, CONSENT - AWAY - 2 * TICK), []);
    assert_eq!(call.bed.shard.transports(), 2, "consent holds for 25 s");
    assert_eq!(rest(&mut call, 2 * TICK), []);
    assert_eq!(
        (call.bed.shard.transports(), call.bed.shard.legs()),
        (1, 2),
        "the leg is kept"
    );
    assert_eq!(rest(&mut call, LEG_KEEP - CONSENT - 2 * TICK), []);
    let end = rest(&mut call, 2 * TICK);
    assert!(matches!(end[..], [Kind::LegDown { leg: lost, cause: Cause::Lost, .. }] if lost == leg));
    assert_eq!(call.bed.shard.legs(), 1);
}

#[test]
fn srtp_alone_never_extends_consent() {
    let mut call = Call::new();
    for _ in 0..CONSENT / FRAME {
        assert!(call.customer_is_heard());
        call.bed.advance(FRAME);
        call.bed.check(&mut call.agent);
    }
    call.bed.advance(TICK);
    assert_eq!(call.bed.shard.transports(), 1);
    assert!(!call.customer_is_heard());
}

#[test]
fn a_listener_is_away_later() {
    let mut bed = Bed::default();
    let mut listener = Client::new(3, Part::Supervisor);
    listener.uplink = false;
    bed.bring_up(&mut listener);
    bed.events();
    bed.advance(AWAY_WITHOUT_UPLINK - TICK);
    assert_eq!(kinds(&bed.events()), []);
    bed.advance(2 * TICK);
    assert_eq!(kinds(&bed.events()), [Kind::LegAway { leg: listener.leg }]);
}

#[test]
fn an_away_leg_is_back_with_its_next_packet() {
    let mut call = Call::new();
    assert!(call.customer_is_heard());
    call.bed.advance_alive(AWAY + TICK, &mut [&mut call.agent]);
    call.bed.events();
    assert!(call.customer_is_heard());
    let leg = call.customer.leg;
    assert_eq!(kinds(&call.bed.events()), [Kind::LegBack { leg }]);
}

#[test]
fn a_reload_within_the_keep_brings_the_leg_back_and_its_listener_hears_no_jump() {
    let mut call = Call::new();
    let first = call.bed.say(&mut call.agent, b"one", &mut call.customer)[0].header;
    assert!(call.customer_is_heard());
    let before = call.bed.say(&mut call.customer, b"x", &mut call.agent)[0].header;
    call.bed.advance_alive(CONSENT + TICK, &mut [&mut call.agent]);
    call.bed.events();
    assert_eq!(call.bed.shard.transports(), 1);
    call.customer.reload();
    let (leg, transport) = (call.customer.leg, Box::new(call.customer.transport()));
    call.bed
        .shard
        .command(call.bed.now, Command::Attach { leg, transport })
        .unwrap();
    assert_eq!(call.bed.check(&mut call.customer).len(), 1);
    call.bed.establish(&call.customer).unwrap();
    assert_eq!(kinds(&call.bed.events()), [Kind::LegBack { leg }]);
    let after = call.bed.say(&mut call.customer, b"y", &mut call.agent)[0].header;
    assert_eq!(
        after.sequence,
        before.sequence.wrapping_add(1),
        "the agent's slot goes on"
    );
    let second = call.bed.say(&mut call.agent, b"two", &mut call.customer)[0].header;
    assert_eq!(
        second.sequence,
        first.sequence.wrapping_add(1),
        "and so does the customer's, under new keys"
    );
    call.bed
        .advance_alive(LEG_KEEP, &mut [&mut call.agent, &mut call.customer]);
    assert_eq!(call.bed.shard.legs(), 2, "nothing of the old keep is left");
}

#[test]
fn a_second_transport_takes_over_with_its_keys_and_not_before() {
    let mut call = Call::new();
    assert!(call.customer_is_heard());
    let old = call.customer.address;
    let mut newer = Client::new(1, Part::Customer);
    newer.reload();
    let (leg, transport) = (newer.leg, Box::new(newer.transport()));
    call.bed
        .shard
        .command(call.bed.now, Command::Attach { leg, transport })
        .unwrap();
    assert_eq!(call.bed.check(&mut newer).len(), 1);
    assert!(call.customer_is_heard(), "the old one speaks until then");
    assert_eq!(call.bed.shard.transports(), 3);
    call.bed.establish(&newer).unwrap();
    assert_eq!((call.bed.shard.transports(), call.bed.shard.tables().addresses), (2, 2));
    assert!(!call.customer_is_heard());
    let packet = newer.speak(b"new");
    let sent = call.bed.datagram(newer.address, &packet);
    assert_eq!(call.agent.open_all(&sent).len(), 1);
    let packet = call.agent.speak(b"to the new one");
    let sent = call.bed.datagram(call.agent.address, &packet);
    assert!(sent.iter().all(|sent| sent.to != old));
    assert_eq!(newer.open_all(&sent).len(), 1);
}

#[test]
fn a_newer_transport_that_never_comes_up_leaves_the_living_one_alone() {
    let mut call = Call::new();
    let mut newer = Client::new(1, Part::Customer);
    newer.reload();
    let (leg, transport) = (newer.leg, Box::new(newer.transport()));
    call.bed
        .shard
        .command(call.bed.now, Command::Attach { leg, transport })
        .unwrap();
    call.bed
        .advance_alive(ICE_TIMEOUT + TICK, &mut [&mut call.agent, &mut call.customer]);
    assert_eq!((call.bed.shard.transports(), call.bed.shard.legs()), (2, 2));
    assert!(call.customer_is_heard());
}

#[test]
fn joins_that_get_stuck_end_by_name() {
    let mut bed = Bed::default();
    let mut clients: Vec<Client> = (0..5).map(|number| Client::new(number, Part::Customer)).collect();
    for client in &clients {
        bed.add(ROOM, client).unwrap();
    }
    for client in &mut clients[1..] {
        bed.check(client);
    }
    let report = |bed: &mut Bed, client: &Client, report| {
        let transport = client.transport;
        bed.shard
            .command(bed.now, Command::Handshake { transport, report })
            .unwrap();
    };
    report(&mut bed, &clients[2], Report::Failed(Failure::Fingerprint));
    report(&mut bed, &clients[3], Report::Failed(Failure::Other));
    bed.establish(&clients[4]).unwrap();
    let events = bed.events();
    assert_eq!(down(&events, clients[2].leg), Some(Cause::Fingerprint));
    assert_eq!(down(&events, clients[3].leg), Some(Cause::DtlsFailed));
    bed.advance_alive(DTLS_TIMEOUT - TICK, &mut []);
    assert_eq!(down(&bed.events(), clients[1].leg), None);
    bed.advance(2 * TICK);
    assert_eq!(down(&bed.events(), clients[1].leg), Some(Cause::DtlsTimeout));
    bed.advance(ICE_TIMEOUT - DTLS_TIMEOUT - 2 * TICK);
    assert_eq!(down(&bed.events(), clients[0].leg), None);
    bed.advance(2 * TICK);
    assert_eq!(down(&bed.events(), clients[0].leg), Some(Cause::IceTimeout));
    assert_eq!(bed.shard.legs(), 1);
}

#[test]
fn a_good_bye_is_away_at_once_and_the_leg_is_kept() {
    let mut call = Call::new();
    let (leg, transport) = (call.customer.leg, call.customer.transport);
    let report = Report::Closed;
    call.bed
        .shard
        .command(call.bed.now, Command::Handshake { transport, report })
        .unwrap();
    assert_eq!(kinds(&call.bed.events()), [Kind::LegAway { leg }]);
    assert_eq!((call.bed.shard.legs(), call.bed.shard.transports()), (2, 1));
    call.bed.advance_alive(LEG_KEEP + TICK, &mut [&mut call.agent]);
    assert_eq!(down(&call.bed.events(), leg), Some(Cause::Lost));
}

#[test]
fn every_second_has_two_rows_a_leg_and_the_end_has_totals() {
    let mut call = Call::new();
    while call.bed.shard.poll_second().is_some() {}
    for turn in 0..100 {
        if turn % 10 == 5 {
            call.customer.speak(b"lost on the way");
        }
        assert!(call.customer_is_heard());
        call.bed.say(&mut call.agent, b"a", &mut call.customer);
        call.bed.advance(FRAME);
        if turn % 50 == 0 {
            call.bed.check(&mut call.customer);
            call.bed.check(&mut call.agent);
        }
    }
    let rows: Vec<_> = std::iter::from_fn(|| call.bed.shard.poll_second()).collect();
    let up: Vec<_> = rows
        .iter()
        .filter(|row| row.leg == call.customer.leg && row.direction == Direction::Up)
        .collect();
    assert!((1..=2).contains(&up.len()) && rows.len() == up.len() * 4);
    assert_eq!(
        (up[0].expected - up[0].received, up[0].lost, up[0].burst_max),
        (5, 5, 1)
    );
    assert_eq!((up[0].level_mean, up[0].up), (127 - 30, true));
    call.bed.events();
    let leg = call.customer.leg;
    let cause = Cause::HangUp;
    call.bed
        .shard
        .command(call.bed.now, Command::RemoveLeg { leg, cause })
        .unwrap();
    let events = call.bed.events();
    let Kind::LegDown { summary, .. } = &events[0].kind else {
        panic!("the end")
    };
    assert_eq!(
        (summary.packets_received, summary.packets_lost, summary.packets_sent),
        (100, 10, 100)
    );
    assert_eq!(summary.seconds, 2);
}

#[test]
fn reports_come_within_a_second_and_say_what_was_sent_and_lost() {
    let mut call = Call::new();
    let mut sent = Vec::new();
    for turn in 0..60 {
        if turn == 10 {
            call.customer.speak(b"lost");
        }
        assert!(call.customer_is_heard());
        sent.extend(call.bed.advance(FRAME));
    }
    const { assert!(60 * FRAME > REPORT_FIRST_MAX) };
    let reports = call.agent.open_reports(&sent);
    assert!(!reports.is_empty());
    let mut compound = rtcp::parse(&reports[0]).unwrap();
    let Some(Packet::SenderReport(info, _)) = compound.next() else {
        panic!("who is sent audio gets a sender report")
    };
    assert_eq!(info.ssrc, call.agent.slot_ssrc(0));
    assert!(info.packets > 20 && info.octets == 8 * info.packets);
    let reports = call.customer.open_reports(&sent);
    let blocks: Vec<_> = rtcp::parse(&reports[0])
        .unwrap()
        .filter_map(|packet| match packet {
            Packet::ReceiverReport { blocks, .. } | Packet::SenderReport(_, blocks) => Some(blocks),
            Packet::Bye(_) | Packet::Nack(_) | Packet::Extended(_) | Packet::Other(_) => None,
        })
        .flatten()
        .collect();
    assert_eq!(blocks.len(), 1);
    assert_eq!(
        (blocks[0].ssrc, blocks[0].cumulative_lost),
        (call.customer.numbers.ssrc, 1)
    );
}

#[test]
fn a_listeners_loss_is_told_to_the_speaker_whose_fec_covers_it() {
    let mut call = Call::new();
    let mut sent = Vec::new();
    for _ in 0..100 {
        assert!(call.customer_is_heard());
        let report = call.agent.report(0, 64);
        call.bed.datagram(call.agent.address, &report);
        sent.extend(call.bed.advance(FRAME));
    }
    let reports = call.customer.open_reports(&sent);
    let last = rtcp::parse(reports.last().unwrap())
        .unwrap()
        .find_map(|packet| match packet {
            Packet::ReceiverReport { mut blocks, .. } | Packet::SenderReport(_, mut blocks) => blocks.next(),
            Packet::Bye(_) | Packet::Nack(_) | Packet::Extended(_) | Packet::Other(_) => None,
        });
    let block = last.unwrap();
    assert_eq!(
        (block.fraction_lost, block.cumulative_lost),
        (64, 0),
        "the share is the worse one, the count is true"
    );
}

#[test]
fn a_room_goes_live_when_an_agent_who_had_spoken_comes_back() {
    let (mut customer, mut agent) = (Client::new(1, Part::Customer), Client::new(2, Part::Agent));
    let mut bed = Bed::default();
    bed.bring_up(&mut agent);
    bed.plan(&[(customer.leg, Stance::Talk), (agent.leg, Stance::Talk)], Tap::On);
    bed.say(&mut agent, b"hello?", &mut customer);
    bed.advance(AWAY + TICK);
    bed.bring_up(&mut customer);
    assert!(!kinds(&bed.events()).contains(&Kind::RoomLive), "the agent is away");
    bed.check(&mut agent);
    assert_eq!(kinds(&bed.events()), [Kind::LegBack { leg: agent.leg }, Kind::RoomLive]);
}
