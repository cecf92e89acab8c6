//! Connectivity checks, addresses and moves.

use media_core::command::{Command, Refused};
use media_core::event::Kind;
use media_core::limits::{
    ADDRESS_SILENT, ADDRESS_SILENT_WITHOUT_AUDIO, ADDRESSES_PER_TRANSPORT_MAX, MOVES_PER_S_MAX, MS, OLD_CREDENTIALS,
    REVERT_WINDOW, SECOND, STUN_PER_S_MAX,
};
use media_core::matrix::Part;
use std::net::SocketAddr;
use stun::{Class, Key, Message, attribute};
use testkit::bed::{Bed, Client, FRAME, ROOM, Sent};

use crate::{Call, kinds};

fn elsewhere(port: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 7], port))
}

/// Where a packet of the agent goes now.
fn destination(call: &mut Call) -> SocketAddr {
    let packet = call.agent.speak(b"where");
    let sent = call.bed.datagram(call.agent.address, &packet);
    assert_eq!(sent.len(), 1);
    sent[0].to
}

#[test]
fn a_check_is_answered_at_once_and_the_answer_verifies() {
    let mut bed = Bed::default();
    let mut client = Client::new(1, Part::Customer);
    bed.add(ROOM, &client).unwrap();
    let sent = bed.check(&mut client);
    let [Sent { to, bytes, .. }] = &sent[..] else {
        panic!("one answer")
    };
    assert_eq!(*to, client.address);
    let answer = Message::parse(bytes).unwrap();
    assert_eq!(answer.class(), Class::Success);
    assert!(answer.verify(&mut Key::new(client.ice().local_pwd.as_bytes())));
    assert!(answer.attribute(attribute::XOR_MAPPED_ADDRESS).is_some());
    assert_eq!(bed.shard.totals().checks, 1);
}

#[test]
fn who_does_not_know_fragment_and_password_gets_silence_and_a_counter() {
    let mut call = Call::new();
    let mut stranger = Client::new(9, Part::Customer);
    let unknown = stranger.check(true);
    assert!(call.bed.datagram(elsewhere(1), &unknown).is_empty());
    assert_eq!(call.bed.shard.totals().drop_unknown_ufrag, 1);
    let wrong = call.customer.check_with(true, "a password that nobody gave out");
    assert!(call.bed.datagram(elsewhere(1), &wrong).is_empty());
    assert_eq!(call.bed.shard.totals().drop_bad_integrity, 1);
    assert_eq!(call.bed.shard.tables().addresses, 2, "nothing was learnt");
    let voice = call.customer.speak(b"x");
    assert!(call.bed.datagram(elsewhere(1), &voice).is_empty());
    assert_eq!(call.bed.shard.totals().drop_unknown_source, 1);
    let mut cut = call.customer.check(true);
    cut.truncate(40);
    assert!(call.bed.datagram(call.customer.address, &cut).is_empty());
    assert_eq!(call.bed.shard.totals().drop_stun_malformed, 1);
}

#[test]
fn a_client_that_claims_our_role_is_told_so() {
    let mut call = Call::new();
    call.customer.controlled = true;
    let sent = call.bed.check(&mut call.customer);
    let answer = Message::parse(&sent[0].bytes).unwrap();
    assert_eq!(answer.class(), Class::Error);
    assert_eq!(
        answer.attribute(attribute::ERROR_CODE).map(|code| (code[2], code[3])),
        Some((4, 87))
    );
    assert_eq!(call.bed.shard.totals().checks_refused, 1);
}

#[test]
fn checks_have_a_rate_and_the_one_after_it_gets_silence() {
    let mut call = Call::new();
    call.bed.advance(SECOND);
    for _ in 0..STUN_PER_S_MAX {
        assert_eq!(call.bed.check(&mut call.customer).len(), 1);
    }
    assert!(call.bed.check(&mut call.customer).is_empty());
    assert_eq!(call.bed.shard.totals().drop_stun_rate, 1);
    assert_eq!(call.bed.check(&mut call.agent).len(), 1, "the rate is each one's own");
}

#[test]
fn a_nominated_pair_moves_sending_at_once_and_audio_goes_on() {
    let mut call = Call::new();
    assert!(call.customer_is_heard());
    call.bed.events();
    call.customer.address = elsewhere(7);
    assert_eq!(call.bed.check(&mut call.customer)[0].to, elsewhere(7));
    let leg = call.customer.leg;
    assert_eq!(kinds(&call.bed.events()), [Kind::LegMigrated { leg }]);
    assert_eq!(destination(&mut call), elsewhere(7));
    assert!(call.customer_is_heard(), "and hearing goes on from the new address");
    assert_eq!(call.bed.shard.totals().migrations, 1);
}

#[test]
fn a_check_without_nomination_moves_sending_only_from_a_silent_address() {
    let mut call = Call::new();
    assert!(call.customer_is_heard());
    let old = call.customer.address;
    let plain = |call: &mut Call, port| {
        let check = call.customer.check(false);
        assert_eq!(call.bed.datagram(elsewhere(port), &check).len(), 1);
        destination(call)
    };
    call.bed.now += ADDRESS_SILENT - 1;
    assert_eq!(plain(&mut call, 1), old, "just not silent");
    call.bed.now += 1;
    assert_eq!(plain(&mut call, 2), elsewhere(2), "silent now");
}

#[test]
fn who_only_listens_is_sent_to_where_he_nominated_while_a_second_path_is_checked_too() {
    let mut bed = Bed::default();
    let mut listener = Client::new(3, Part::Supervisor);
    listener.uplink = false;
    bed.bring_up(&mut listener);
    let home = listener.address;
    let spare = |bed: &mut Bed, listener: &mut Client| {
        let check = listener.check(false);
        assert_eq!(bed.datagram(elsewhere(9), &check).len(), 1);
    };
    // As browsers do it: the pair in use every few seconds, the others in between.
    for _ in 0..10 {
        bed.check(&mut listener);
        bed.advance(6 * SECOND);
        spare(&mut bed, &mut listener);
    }
    assert_eq!(bed.shard.totals().migrations, 0);
    bed.check(&mut listener);
    bed.now += ADDRESS_SILENT_WITHOUT_AUDIO - 1;
    spare(&mut bed, &mut listener);
    assert_eq!(bed.shard.totals().migrations, 0, "just not silent");
    bed.now += 1;
    spare(&mut bed, &mut listener);
    assert_eq!(bed.shard.totals().migrations, 1, "the first path is dead");
    listener.address = home;
    bed.check(&mut listener);
    assert_eq!(bed.shard.totals().migrations, 2, "a nomination moves at once");
}

#[test]
fn a_voice_that_fell_silent_long_ago_makes_no_address_silent() {
    let mut call = Call::new();
    assert!(call.customer_is_heard());
    call.bed.now += ADDRESS_SILENT_WITHOUT_AUDIO - ADDRESS_SILENT;
    call.bed.check(&mut call.customer);
    call.bed.now += ADDRESS_SILENT;
    let check = call.customer.check(false);
    call.bed.datagram(elsewhere(1), &check);
    assert_eq!(
        destination(&mut call),
        call.customer.address,
        "only checks come now, and they seldom"
    );
}

#[test]
fn a_replayed_check_is_taken_back_by_the_voice_at_the_old_address() {
    let mut call = Call::new();
    assert!(call.customer_is_heard());
    let replayed = call.customer.check(true);
    call.bed.datagram(elsewhere(66), &replayed);
    assert_eq!(destination(&mut call), elsewhere(66));
    call.bed.now += FRAME;
    assert!(call.customer_is_heard());
    assert_eq!(
        destination(&mut call),
        call.customer.address,
        "reverted by the next packet"
    );
    assert_eq!(call.bed.shard.totals().migrations_reverted, 1);
}

#[test]
fn checks_replayed_from_two_places_at_once_are_taken_back_as_one_is() {
    let mut call = Call::new();
    assert!(call.customer_is_heard());
    for port in [66, 67, 68] {
        let replayed = call.customer.check(true);
        call.bed.now += MS;
        call.bed.datagram(elsewhere(port), &replayed);
    }
    assert_eq!(destination(&mut call), elsewhere(68));
    assert!(call.customer_is_heard());
    assert_eq!(destination(&mut call), call.customer.address, "back to who speaks");
    assert_eq!(call.bed.shard.totals().migrations_reverted, 1);
}

#[test]
fn the_old_address_cannot_take_sending_back_later_or_after_the_new_one_spoke() {
    let mut call = Call::new();
    let old = call.customer.address;
    assert!(call.customer_is_heard());
    call.customer.address = elsewhere(1);
    call.bed.check(&mut call.customer);
    assert!(call.customer_is_heard());
    call.customer.address = old;
    assert!(call.customer_is_heard());
    assert_eq!(destination(&mut call), elsewhere(1), "the new address has spoken");
    call.customer.address = elsewhere(2);
    call.bed.check(&mut call.customer);
    call.bed.now += REVERT_WINDOW;
    call.customer.address = elsewhere(1);
    assert!(call.customer_is_heard());
    assert_eq!(destination(&mut call), elsewhere(2), "two seconds are over");
    assert_eq!(call.bed.shard.totals().migrations_reverted, 0);
}

#[test]
fn moves_have_a_rate_and_addresses_a_number() {
    let mut call = Call::new();
    call.bed.advance(SECOND);
    for port in 0..=MOVES_PER_S_MAX as u16 {
        call.customer.address = elsewhere(100 + port);
        assert_eq!(call.bed.check(&mut call.customer).len(), 1, "answered in any case");
    }
    let totals = call.bed.shard.totals();
    assert_eq!(
        (totals.migrations, totals.migrations_refused),
        (u64::from(MOVES_PER_S_MAX), 1)
    );
    assert_eq!(destination(&mut call), elsewhere(100 + MOVES_PER_S_MAX as u16 - 1));
    assert_eq!(
        call.bed.shard.tables().addresses,
        ADDRESSES_PER_TRANSPORT_MAX + 1,
        "four of his, one of the agent"
    );
}

#[test]
fn an_address_that_somebody_speaks_from_cannot_be_taken_from_him() {
    let mut call = Call::new();
    assert!(call.customer_is_heard());
    let forged = call.agent.check(true);
    assert!(call.bed.datagram(call.customer.address, &forged).is_empty());
    assert_eq!(call.bed.shard.totals().drop_unknown_source, 1);
    assert!(call.customer_is_heard());
    call.bed.now += ADDRESS_SILENT;
    let honest = call.agent.check(true);
    assert_eq!(
        call.bed.datagram(call.customer.address, &honest).len(),
        1,
        "a silent one is free for the next"
    );
    assert_eq!(
        call.bed.shard.tables().addresses,
        2,
        "his new one and his old one; the first holder has none"
    );
    assert!(!call.customer_is_heard());
}

/// Between two of its checks a listener says nothing, and it is there.
#[test]
fn an_address_that_somebody_only_listens_at_cannot_be_taken_between_two_of_his_checks() {
    let mut call = Call::new();
    call.bed.now += ADDRESS_SILENT_WITHOUT_AUDIO - 1;
    let forged = call.agent.check(true);
    assert!(call.bed.datagram(call.customer.address, &forged).is_empty());
    assert_eq!(call.bed.shard.totals().drop_unknown_source, 1);
    call.bed.now += 1;
    let honest = call.agent.check(true);
    assert_eq!(call.bed.datagram(call.customer.address, &honest).len(), 1);
}

#[test]
fn a_restart_keeps_keys_and_retires_old_credentials_with_the_first_new_check() {
    let mut call = Call::new();
    assert!(call.customer_is_heard());
    let old = call.customer.check(true);
    call.customer.restart();
    let restart = call.customer.restart_command();
    call.bed.shard.command(call.bed.now, restart).unwrap();
    assert_eq!(
        call.bed.shard.command(call.bed.now, call.customer.restart_command()),
        Err(Refused::TransportExists)
    );
    assert_eq!(
        call.bed.datagram(call.customer.address, &old).len(),
        1,
        "old credentials still live"
    );
    assert!(call.customer_is_heard());
    assert_eq!(call.bed.check(&mut call.customer).len(), 1);
    assert!(
        call.bed.datagram(call.customer.address, &old).is_empty(),
        "and end with the first new check"
    );
    assert_eq!(call.bed.shard.tables().ufrags, 2);
    assert!(call.customer_is_heard());
}

#[test]
fn a_page_that_is_still_loading_restarts_itself_and_not_the_one_before_it() {
    let mut call = Call::new();
    let mut newer = Client::new(1, Part::Customer);
    newer.reload();
    let (leg, transport) = (newer.leg, Box::new(newer.transport()));
    call.bed
        .shard
        .command(call.bed.now, Command::Attach { leg, transport })
        .unwrap();
    newer.restart();
    call.bed.shard.command(call.bed.now, newer.restart_command()).unwrap();
    assert_eq!(call.bed.check(&mut newer).len(), 1);
    let totals = *call.bed.shard.totals();
    assert_eq!(
        totals.migrations, 0,
        "the page that talks still does so from its own address"
    );
    assert!(call.customer_is_heard());
    // And the page that talks restarts itself although another one is loading.
    for _ in 0..3 {
        // Past the fragments of the other page.
        call.customer.restart();
    }
    call.bed
        .shard
        .command(call.bed.now, call.customer.restart_command())
        .unwrap();
    assert_eq!(call.bed.check(&mut call.customer).len(), 1);
    assert!(call.customer_is_heard());
    let mut stranger = Client::new(1, Part::Customer);
    stranger.reload();
    stranger.reload();
    assert_eq!(
        call.bed.shard.command(call.bed.now, stranger.restart_command()),
        Err(Refused::UnknownTransport),
        "a certificate that no page of the leg announced"
    );
}

#[test]
fn old_credentials_end_after_ten_seconds_without_a_new_check() {
    let mut call = Call::new();
    let mut old = Client::new(1, Part::Customer);
    call.customer.restart();
    let restart = call.customer.restart_command();
    call.bed.shard.command(call.bed.now, restart).unwrap();
    call.bed.advance(OLD_CREDENTIALS - 10 * MS);
    let check = old.check(true);
    assert_eq!(call.bed.datagram(call.customer.address, &check).len(), 1);
    call.bed.advance(20 * MS);
    let check = old.check(true);
    assert!(call.bed.datagram(call.customer.address, &check).is_empty());
    assert_eq!(call.bed.shard.totals().drop_unknown_ufrag, 1);
}
