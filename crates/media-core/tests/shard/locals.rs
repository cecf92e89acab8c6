//! A socket that is bound to all addresses of its machine: a way is both of its ends.

use media_core::event::Kind;
use media_core::limits::ADDRESSES_PER_TRANSPORT_MAX;
use media_core::matrix::{Part, Stance, Tap};
use media_core::origin::{Local, Wire};
use testkit::bed::{Bed, Client, ROOM, Sent};

use crate::{Call, kinds};

const ONE: Local = Local::new(1);
const OTHER: Local = Local::new(2);

/// Customer and agent in talk; the customer came to this address of ours.
fn call_at(local: Local) -> Call {
    let (mut customer, mut agent) = (Client::new(1, Part::Customer), Client::new(2, Part::Agent));
    customer.local = local;
    let mut bed = Bed::default();
    bed.bring_up(&mut customer);
    bed.bring_up(&mut agent);
    let mut call = Call { bed, customer, agent };
    call.talk();
    call.bed.events();
    call
}

/// What the customer is sent when the agent speaks.
fn to_customer(call: &mut Call) -> Sent {
    let packet = call.agent.speak(b"where");
    let mut sent = call.bed.arrives(&call.agent, &packet);
    assert_eq!(sent.len(), 1);
    sent.remove(0)
}

#[test]
fn an_answer_and_all_that_follows_leave_from_the_address_that_was_asked() {
    let mut bed = Bed::default();
    let mut clients = [Client::new(1, Part::Customer), Client::new(2, Part::Agent)];
    clients[0].local = ONE;
    clients[1].local = OTHER;
    for client in &mut clients {
        bed.add(ROOM, client).unwrap();
        let sent = bed.check(client);
        assert_eq!((sent[0].to, sent[0].from), (client.address, client.local));
        bed.establish(client).unwrap();
    }
    let stances = [(clients[0].leg, Stance::Talk), (clients[1].leg, Stance::Talk)];
    bed.plan(&stances, Tap::Off);
    let mut reports = [0; 2];
    for _ in 0..100 {
        for speaker in 0..2 {
            let packet = clients[speaker].speak(b"hello");
            let sent = bed.arrives(&clients[speaker], &packet);
            let listener = &clients[1 - speaker];
            assert_eq!((sent[0].to, sent[0].from), (listener.address, listener.local));
        }
        // Our own reports, by the timers.
        for sent in bed.advance(testkit::bed::FRAME) {
            let who = usize::from(sent.to == clients[1].address);
            assert_eq!((sent.to, sent.from), (clients[who].address, clients[who].local));
            reports[who] += 1;
        }
    }
    assert!(reports[0] > 0 && reports[1] > 0, "{reports:?}");
}

#[test]
fn a_client_is_taken_only_where_a_check_of_it_was_valid() {
    let mut call = call_at(ONE);
    assert!(call.customer_is_heard());
    call.customer.local = OTHER;
    assert!(!call.customer_is_heard(), "the same sender, to another address of ours");
    assert_eq!(call.bed.shard.totals().drop_unknown_source, 1);
    let check = call.customer.check(false);
    let sent = call.bed.arrives(&call.customer, &check);
    assert_eq!((sent.len(), sent[0].from), (1, OTHER), "the answer comes from there");
    assert!(call.customer_is_heard());
    assert_eq!(call.bed.shard.tables().addresses, 3);
}

#[test]
fn a_nominated_pair_moves_sending_to_another_address_of_ours_and_a_plain_check_does_not() {
    let mut call = call_at(ONE);
    assert_eq!(to_customer(&mut call).from, ONE);
    call.bed.events();
    call.customer.local = OTHER;
    let check = call.customer.check(false);
    call.bed.arrives(&call.customer, &check);
    assert_eq!(to_customer(&mut call).from, ONE);
    assert!(call.bed.events().is_empty());
    call.bed.check(&mut call.customer);
    let sent = to_customer(&mut call);
    assert_eq!((sent.to, sent.from), (call.customer.address, OTHER));
    let leg = call.customer.leg;
    assert_eq!(kinds(&call.bed.events()), [Kind::LegMigrated { leg }]);
}

#[test]
fn two_clients_that_a_nat_shows_at_one_address_are_kept_apart_by_ours() {
    let mut call = call_at(ONE);
    let mut third = Client::new(3, Part::Partner);
    (third.address, third.local) = (call.customer.address, OTHER);
    call.bed.bring_up(&mut third);
    let stances = [&call.customer, &call.agent, &third].map(|client| (client.leg, Stance::Talk));
    call.bed.plan(&stances, Tap::Off);
    let packet = call.agent.speak(b"both");
    let sent = call.bed.arrives(&call.agent, &packet);
    let ways: Vec<_> = sent.iter().map(|sent| (sent.to, sent.from)).collect();
    let at = call.customer.address;
    assert!(
        ways.len() == 2 && ways.contains(&(at, ONE)) && ways.contains(&(at, OTHER)),
        "{ways:?}"
    );
    assert!(call.customer_is_heard(), "and neither is taken for the other");
    let packet = third.speak(b"third");
    let sent = call.bed.arrives(&third, &packet);
    assert_eq!(call.agent.open_all(&sent).len(), 1);
}

#[test]
fn addresses_of_ours_fill_a_clients_places_as_its_own_do_and_never_the_one_in_use() {
    let mut call = call_at(ONE);
    for number in 2..=u8::MAX {
        call.bed.now += media_core::limits::SECOND / 10;
        let wire = Wire::new(call.customer.address, Local::new(number));
        let check = call.customer.check(false);
        let sent = call.bed.datagram(wire, &check);
        assert_eq!((sent.len(), sent[0].from), (1, Local::new(number)));
        assert!(call.customer_is_heard(), "at the first, which is in use");
    }
    let of_agent = 1;
    assert_eq!(
        call.bed.shard.tables().addresses,
        ADDRESSES_PER_TRANSPORT_MAX + of_agent
    );
    assert_eq!(to_customer(&mut call).from, ONE);
}
