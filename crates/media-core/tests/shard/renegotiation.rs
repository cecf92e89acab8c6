//! A page that offers again over the connection that it has: its streams, its direction and its numbers change under the
//! keys and addresses of before, and no number is said twice.

use std::collections::HashSet;

use media_core::TransportId;
use media_core::command::{Command, Refused};
use media_core::event::{Cause, Kind};
use media_core::limits::{ICE_TIMEOUT, MS, UPLINK_STALL};
use media_core::matrix::{Part, Stance, Tap};
use testkit::bed::{Bed, Client, FRAME};

use crate::repair::asked;
use crate::{Call, kinds};

use Stance::Talk;

impl Call {
    /// The customer's page offers again, with what it has now.
    fn customer_offers_again(&mut self) -> Result<(), Refused> {
        self.bed.shard.command(self.bed.now, self.customer.media_command())
    }
}

/// Why there is a command of its own: a second transport would be given the address by its first check, and what the page
/// goes on to send under its old keys would reach it there.
#[test]
fn a_new_transport_for_a_page_that_goes_on_with_its_keys_would_cost_it_its_sound() {
    let mut call = Call::new();
    assert!(call.customer_is_heard());
    let mut twice = call.customer.transport();
    twice.id = TransportId(call.customer.transport.0 + 1);
    call.customer.restart();
    twice.ice = call.customer.ice();
    let attach = Command::Attach {
        leg: call.customer.leg,
        transport: Box::new(twice),
    };
    call.bed.shard.command(call.bed.now, attach).expect("the leg lives");
    assert!(call.customer_is_heard(), "until the first check");
    call.bed.check(&mut call.customer);
    assert!(!call.customer_is_heard());
}

#[test]
fn a_page_that_adds_sections_hears_more_and_goes_on_where_it_was() {
    let mut bed = Bed::default();
    let mut all = [
        Client::new(1, Part::Customer),
        Client::new(2, Part::Agent),
        Client::new(3, Part::Partner),
    ];
    all[0].slots = 1;
    all.iter_mut().for_each(|client| bed.bring_up(client));
    let stances: Vec<_> = all.iter().map(|client| (client.leg, Talk)).collect();
    bed.plan(&stances, Tap::On);
    bed.events();
    let [customer, agent, partner] = &mut all;
    let before = bed.say(agent, b"one", customer)[0].header;
    assert!(bed.say(partner, b"two", customer).is_empty(), "one section, one voice");

    let tables = bed.shard.tables();
    bed.events();
    customer.slots = 3;
    bed.shard
        .command(bed.now, customer.media_command())
        .expect("the transport lives");
    let leg = customer.leg;
    assert_eq!(kinds(&bed.events()), [Kind::Unheard { leg, voices: vec![] }]);
    bed.check(customer);
    let after = bed.say(agent, b"three", customer)[0].header;
    assert_eq!(
        (after.ssrc, after.sequence),
        (before.ssrc, before.sequence.wrapping_add(1))
    );
    let second = bed.say(partner, b"four", customer);
    assert_eq!(second[0].header.ssrc, customer.slot_ssrc(1));
    assert_eq!(bed.say(customer, b"and back", agent).len(), 1);
    assert_eq!(
        bed.shard.tables(),
        tables,
        "no transport, no address and no fragment more"
    );
}

#[test]
fn a_section_that_is_given_up_and_wanted_again_goes_on_with_its_numbers() {
    let mut bed = Bed::default();
    let mut all = [
        Client::new(1, Part::Customer),
        Client::new(2, Part::Agent),
        Client::new(3, Part::Partner),
    ];
    all.iter_mut().for_each(|client| bed.bring_up(client));
    let stances: Vec<_> = all.iter().map(|client| (client.leg, Talk)).collect();
    bed.plan(&stances, Tap::On);
    let [customer, agent, partner] = &mut all;
    let mut said = HashSet::new();
    for round in 0..20u8 {
        // One, none, three and two sections, and so on.
        customer.slots = [1, 0, 3, 2][usize::from(round % 4)];
        bed.shard
            .command(bed.now, customer.media_command())
            .expect("the transport lives");
        for speaker in [&mut *agent, &mut *partner] {
            bed.now += FRAME;
            for heard in bed.say(speaker, &[round; 9], customer) {
                let fresh = said.insert((heard.header.ssrc, heard.header.sequence));
                assert!(fresh, "round {round}: a number for two packets under one key");
            }
        }
    }
    // Of every four rounds: one voice, none, two and two.
    assert_eq!(said.len(), 5 * 5);
    assert_eq!(bed.shard.totals().drop_slot, 0);
}

#[test]
fn a_page_that_stops_to_send_is_dropped_unopened_and_heard_again_when_it_sends_again() {
    let mut call = Call::new();
    assert!(call.customer_is_heard());
    call.customer.uplink = false;
    call.customer_offers_again().expect("the transport lives");
    let denied = call.bed.shard.totals().uplink_denied;
    assert!(!call.customer_is_heard());
    assert_eq!(call.bed.shard.totals().uplink_denied, denied + 1);
    call.bed
        .advance_alive(2 * UPLINK_STALL, &mut [&mut call.customer, &mut call.agent]);
    call.bed.events();
    call.customer.uplink = true;
    call.customer_offers_again().expect("the transport lives");
    call.bed.advance(100 * MS);
    let leg = call.customer.leg;
    assert!(
        !kinds(&call.bed.events()).contains(&Kind::UplinkStalled { leg }),
        "he was not silent for what he could not say"
    );
    call.bed.now += FRAME;
    assert!(call.customer_is_heard());
}

#[test]
fn other_payload_types_count_from_the_next_packet_on() {
    let mut call = Call::new();
    let old = call.customer.numbers.opus;
    call.customer.numbers.opus = 120;
    call.customer_offers_again().expect("the transport lives");
    assert!(call.customer_is_heard());
    let to_him = call.bed.say(&mut call.agent, b"by the new number", &mut call.customer);
    assert_eq!((to_him.len(), to_him[0].header.payload_type), (1, 120));
    let by_the_old = call.customer.packet(old, b"late");
    call.customer.index += 1;
    assert!(call.bed.datagram(call.customer.address, &by_the_old).is_empty());
}

#[test]
fn what_is_missing_is_asked_for_as_the_newest_agreement_says() {
    // A gap is noted without NACK, too, for redundant audio fills it.
    let mut call = Call::of(|customer, _| customer.nack = false);
    let loses = |call: &mut Call| {
        assert!(call.customer_is_heard());
        let lost = call.customer.index;
        call.customer.speak(b"lost");
        assert!(call.customer_is_heard());
        lost as u16
    };
    let asks = |call: &mut Call| {
        let sent = call.bed.advance(100 * MS);
        asked(&call.customer.open_reports(&sent))
    };
    let lost = loses(&mut call);
    assert_eq!(asks(&mut call), [0u16; 0]);
    call.customer.nack = true;
    call.customer_offers_again().expect("the transport lives");
    assert!(asks(&mut call).starts_with(&[lost]), "what was missing by then, too");
    let lost = loses(&mut call);
    assert!(asks(&mut call).contains(&lost));
    loses(&mut call);
    call.customer.nack = false;
    call.customer_offers_again().expect("the transport lives");
    assert_eq!(asks(&mut call), [0u16; 0], "neither the new one nor those of before");
}

#[test]
fn the_end_of_a_transport_is_told_once_while_its_leg_goes_on_and_with_its_leg_not_at_all() {
    let mut call = Call::new();
    let (leg, first) = (call.customer.leg, call.customer.transport);
    let mut page = Client::new(1, Part::Customer);
    let mut offers = |call: &mut Call| {
        page.reload();
        let attach = Command::Attach {
            leg: page.leg,
            transport: Box::new(page.transport()),
        };
        call.bed.shard.command(call.bed.now, attach).expect("the leg lives");
        page.transport
    };
    let ended = |call: &mut Call| -> Vec<_> {
        let told = std::iter::from_fn(|| call.bed.shard.poll_ended());
        told.map(|ended| (ended.leg, ended.transport)).collect()
    };
    // Nobody checks it, and the page before goes on.
    let never_up = offers(&mut call);
    assert_eq!(ended(&mut call), []);
    call.bed
        .advance_alive(ICE_TIMEOUT, &mut [&mut call.customer, &mut call.agent]);
    assert_eq!(ended(&mut call), [(leg, never_up)]);
    assert!(call.customer_is_heard());
    let replaced = offers(&mut call);
    let newest = offers(&mut call);
    assert_eq!(ended(&mut call), [(leg, replaced)]);
    call.bed.check(&mut page);
    call.bed.establish(&page).expect("the transport lives");
    assert_eq!(ended(&mut call), [(leg, first)]);
    let remove = Command::RemoveLeg {
        leg,
        cause: Cause::HangUp,
    };
    call.bed.shard.command(call.bed.now, remove).expect("the leg lives");
    assert_eq!(ended(&mut call), [], "{newest:?} is over with its leg");
}

#[test]
fn the_offer_of_a_page_that_is_not_there_changes_nothing() {
    let mut call = Call::new();
    let stranger = Command::Media {
        leg: call.customer.leg,
        fingerprint: [9; 32],
        media: Box::new(call.customer.transport().media),
    };
    assert_eq!(
        call.bed.shard.command(call.bed.now, stranger),
        Err(Refused::UnknownTransport)
    );
    let mut nobody = Client::new(7, Part::Agent);
    nobody.slots = 0;
    assert_eq!(
        call.bed.shard.command(call.bed.now, nobody.media_command()),
        Err(Refused::UnknownLeg)
    );
    assert!(call.customer_is_heard());
}

#[test]
fn a_restart_that_changes_tracks_too_changes_both() {
    let mut bed = Bed::default();
    let (mut customer, mut agent) = (Client::new(1, Part::Customer), Client::new(2, Part::Agent));
    customer.slots = 0;
    for client in [&mut customer, &mut agent] {
        bed.bring_up(client);
    }
    bed.plan(&[(customer.leg, Talk), (agent.leg, Talk)], Tap::On);
    assert!(bed.say(&mut agent, b"to nobody", &mut customer).is_empty());
    customer.restart();
    customer.slots = 1;
    let Command::Restart {
        leg, fingerprint, ice, ..
    } = customer.restart_command()
    else {
        panic!("a restart")
    };
    let restart = Command::Restart {
        leg,
        fingerprint,
        ice,
        media: Some(Box::new(customer.transport().media)),
    };
    bed.shard.command(bed.now, restart).expect("the transport lives");
    assert_eq!(bed.check(&mut customer).len(), 1, "by the new credentials");
    assert_eq!(bed.say(&mut agent, b"to him", &mut customer).len(), 1);
}

#[test]
fn a_page_that_is_still_joining_brings_its_newest_agreement_with_its_keys() {
    let mut call = Call::new();
    let mut page = Client::new(1, Part::Customer);
    page.reload();
    page.slots = 0;
    let attach = Command::Attach {
        leg: page.leg,
        transport: Box::new(page.transport()),
    };
    call.bed.shard.command(call.bed.now, attach).expect("the leg lives");
    page.slots = 1;
    call.bed
        .shard
        .command(call.bed.now, page.media_command())
        .expect("it is on its way");
    assert!(call.customer_is_heard(), "the page before goes on meanwhile");
    assert_eq!(call.bed.say(&mut call.agent, b"there", &mut call.customer).len(), 1);
    call.bed.check(&mut page);
    call.bed.establish(&page).expect("the transport lives");
    assert_eq!(call.bed.say(&mut call.agent, b"here", &mut page).len(), 1);
}
