//! Looking ahead in a batch: every datagram that has a known sender has gone its whole way before its turn, in batches of every
//! length, and what it asks for is no more than what it would ask for alone.

use std::cell::RefCell;

use media_core::addr::Key;
use media_core::matrix::{Part, Stance, Tap};
use media_core::origin::Wire;
use testkit::bed::{Bed, Client};

/// Cache lines of a packet at both ends: tables, keys and slot. More of them is time that every packet pays where the
/// caches are somebody else's.
const LINES_MAX: usize = 27;
const LINE: usize = 64;

thread_local! {
    /// What was asked for, in this order.
    static ASKED: RefCell<Vec<(usize, usize)>> = const { RefCell::new(Vec::new()) };
}

fn note(at: *const u8, bytes: usize) {
    ASKED.with_borrow_mut(|asked| asked.push((at.addr(), bytes)));
}

fn taken() -> Vec<(usize, usize)> {
    ASKED.take()
}

/// Cache lines that a processor has on their way at once without dropping any.
const AT_ONCE_MAX: usize = 20;

fn lines(asked: &[(usize, usize)]) -> usize {
    asked.iter().map(|(at, bytes)| (at % LINE + bytes).div_ceil(LINE)).sum()
}

/// Two voices that hear each other.
fn voices() -> (Bed, [Client; 2]) {
    let mut bed = Bed::default();
    let mut clients = [Part::Customer, Part::Agent].map(|part| Client::new(1 + u16::from(part == Part::Agent), part));
    for client in &mut clients {
        bed.bring_up(client);
    }
    bed.plan(&clients.each_ref().map(|client| (client.leg, Stance::Talk)), Tap::On);
    // The way that a packet goes is known from the one before it.
    for client in &mut clients {
        let packet = client.speak(&[7; 90]);
        bed.arrives(client, &packet);
    }
    (bed, clients)
}

/// Two voices that hear each other, an address that nobody has, and no address.
fn senders() -> (Bed, Vec<Option<Key>>) {
    let (bed, clients) = voices();
    let mut senders: Vec<_> = clients.iter().map(|client| Some(key(client))).collect();
    let nobody: std::net::SocketAddr = "192.0.2.9:9".parse().expect("an address");
    // Nobody's, and one that the kernel had cut.
    senders.extend([Some(Key::from(Wire::from(nobody))), None]);
    (bed, senders)
}

fn key(client: &Client) -> Key {
    Key::from(Wire::from(client.address))
}

fn alone(bed: &mut Bed, sender: Option<Key>) -> Vec<(usize, usize)> {
    bed.shard.foresee(0, 1, |_| sender, note);
    taken()
}

#[test]
fn a_datagram_asks_for_both_ends_and_for_few_lines() {
    let (mut bed, senders) = senders();
    for sender in &senders[..2] {
        let lines = lines(&alone(&mut bed, *sender));
        assert!((20..=LINES_MAX).contains(&lines), "{lines}");
    }
    let [one, other] = [0, 1].map(|n| alone(&mut bed, senders[n]));
    let of_one_only = one.iter().filter(|asked| !other.contains(asked)).count();
    assert!(of_one_only > 0, "either asks for keys and counters of its own");
    let of_a_stranger = alone(&mut bed, senders[2]);
    assert_eq!(of_a_stranger.len(), 1, "where he would stand, if he were known");
    assert_eq!(alone(&mut bed, None), []);
}

#[test]
fn all_of_a_batch_go_their_whole_way_before_their_turn_however_many_there_are() {
    let (mut bed, senders) = senders();
    let sender = |n: usize| senders[n % senders.len()];
    let each: Vec<_> = (0..40).map(|n| alone(&mut bed, sender(n))).collect();
    for count in 1..=each.len() {
        let mut asked = Vec::new();
        for index in 0..count {
            bed.shard.foresee(index, count, sender, note);
            asked.extend(taken());
            // So much has been asked for as those up to this one need, at least.
            let needed: usize = each[..=index].iter().map(Vec::len).sum();
            assert!(
                asked.len() >= needed,
                "{count}, before {index}: {} of {needed}",
                asked.len()
            );
        }
        let mut expected = each[..count].concat();
        asked.sort_unstable();
        expected.sort_unstable();
        assert_eq!(asked, expected, "{count}");
    }
}

#[test]
fn packets_are_asked_for_before_their_turn_and_never_more_at_once_than_a_processor_takes() {
    let (mut bed, mut clients) = voices();
    let keys = clients.each_ref().map(key);
    let sender = |n: usize| Some(keys[n % 2]);
    let each = keys.map(|key| alone(&mut bed, Some(key)).len());
    for count in [3, 10, 41] {
        let mut asked = 0;
        for index in 0..count {
            let needed: usize = (0..=index).map(|n| each[n % 2]).sum();
            assert!(
                index == 0 || asked >= needed,
                "{count}, before {index}: {asked} of {needed}"
            );
            bed.shard.foresee(index, count, sender, note);
            let before = taken();
            asked += before.len();
            let client = &mut clients[index % 2];
            let packet = client.speak(&[7; 90]);
            bed.arrives(client, &packet);
            let within = taken();
            asked += within.len();
            // The first ones of a batch wait for one another anyway.
            assert!(index == 0 || lines(&before) <= AT_ONCE_MAX, "{index}: {before:?}");
            assert!(lines(&within) <= AT_ONCE_MAX, "{index}: {within:?}");
        }
        let needed: usize = (0..count).map(|n| each[n % 2]).sum();
        assert_eq!(asked, needed, "{count}");
    }
    // The next batch is nobody's who was asked for here: what it does not foresee asks for nothing.
    let packet = clients[0].speak(&[7; 90]);
    bed.arrives(&clients[0], &packet);
    assert_eq!(taken(), []);
}
