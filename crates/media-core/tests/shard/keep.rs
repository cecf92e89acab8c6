//! How long a leg is kept for a page that does not come: only a valid check extends it.

use media_core::command::{Command, Report};
use media_core::event::Cause;
use media_core::limits::{DTLS_TIMEOUT, LEG_KEEP, MS, SECOND};
use media_core::matrix::Part;
use testkit::bed::{Bed, Client, ROOM};

use crate::{Call, down};

const TICK: u64 = 10 * MS;
/// A page that offers anew before its last offer times out.
const OFFERS_EVERY: u64 = 14 * SECOND;

/// The page is loaded anew, and offers; nothing else.
fn offer_anew(bed: &mut Bed, client: &mut Client) {
    client.reload();
    let (leg, transport) = (client.leg, Box::new(client.transport()));
    bed.shard
        .command(bed.now, Command::Attach { leg, transport })
        .expect("the leg is still kept");
}

fn says_good_bye(call: &mut Call) {
    let (transport, report) = (call.customer.transport, Report::Closed);
    call.bed
        .shard
        .command(call.bed.now, Command::Handshake { transport, report })
        .expect("the transport lives");
}

#[test]
fn offers_without_a_check_do_not_keep_a_leg_that_has_left() {
    let mut call = Call::new();
    let leg = call.customer.leg;
    says_good_bye(&mut call);
    for time in [OFFERS_EVERY, OFFERS_EVERY] {
        offer_anew(&mut call.bed, &mut call.customer);
        call.bed.advance_alive(time, &mut [&mut call.agent]);
    }
    offer_anew(&mut call.bed, &mut call.customer);
    call.bed
        .advance_alive(LEG_KEEP - 2 * OFFERS_EVERY - TICK, &mut [&mut call.agent]);
    assert_eq!(down(&call.bed.events(), leg), None, "kept to the last moment");
    call.bed.advance_alive(2 * TICK, &mut [&mut call.agent]);
    assert_eq!(down(&call.bed.events(), leg), Some(Cause::Lost));
    assert_eq!((call.bed.shard.legs(), call.bed.shard.transports()), (1, 1));
}

#[test]
fn offers_during_a_call_do_not_keep_its_leg_either_once_the_line_is_dead() {
    let mut call = Call::new();
    let leg = call.customer.leg;
    for _ in 0..2 {
        offer_anew(&mut call.bed, &mut call.customer);
        call.bed.advance_alive(OFFERS_EVERY, &mut [&mut call.agent]);
    }
    offer_anew(&mut call.bed, &mut call.customer);
    call.bed
        .advance_alive(LEG_KEEP - 2 * OFFERS_EVERY + TICK, &mut [&mut call.agent]);
    assert_eq!(down(&call.bed.events(), leg), Some(Cause::Lost));
}

#[test]
fn offers_without_a_check_do_not_keep_a_leg_that_never_came() {
    let mut bed = Bed::default();
    let mut client = Client::new(1, Part::Customer);
    bed.add(ROOM, &client).unwrap();
    for _ in 0..2 {
        bed.advance(OFFERS_EVERY);
        offer_anew(&mut bed, &mut client);
    }
    bed.advance(LEG_KEEP - 2 * OFFERS_EVERY - TICK);
    assert_eq!(down(&bed.events(), client.leg), None);
    bed.advance(2 * TICK);
    assert_eq!(down(&bed.events(), client.leg), Some(Cause::IceTimeout));
    assert_eq!((bed.shard.legs(), bed.shard.transports()), (0, 0));
}

#[test]
fn a_check_of_the_new_page_keeps_its_leg_as_long_again() {
    let mut call = Call::new();
    let leg = call.customer.leg;
    says_good_bye(&mut call);
    call.bed.advance_alive(LEG_KEEP - TICK, &mut [&mut call.agent]);
    offer_anew(&mut call.bed, &mut call.customer);
    assert_eq!(call.bed.check(&mut call.customer).len(), 1);
    call.bed.advance_alive(DTLS_TIMEOUT + TICK, &mut [&mut call.agent]);
    call.bed
        .advance_alive(LEG_KEEP - DTLS_TIMEOUT - 2 * TICK, &mut [&mut call.agent]);
    assert_eq!(down(&call.bed.events(), leg), None);
    call.bed.advance_alive(2 * TICK, &mut [&mut call.agent]);
    assert_eq!(down(&call.bed.events(), leg), Some(Cause::Lost));
}

#[test]
fn a_page_that_came_back_is_not_ended_by_the_keep_of_the_one_before() {
    let mut call = Call::new();
    let leg = call.customer.leg;
    says_good_bye(&mut call);
    call.bed.advance_alive(LEG_KEEP / 2, &mut [&mut call.agent]);
    offer_anew(&mut call.bed, &mut call.customer);
    call.bed.check(&mut call.customer);
    call.bed.establish(&call.customer).unwrap();
    call.bed
        .advance_alive(2 * LEG_KEEP, &mut [&mut call.agent, &mut call.customer]);
    assert_eq!(down(&call.bed.events(), leg), None);
    assert!(call.customer_is_heard());
}
