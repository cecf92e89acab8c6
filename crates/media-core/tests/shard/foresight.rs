//! Looking ahead in a batch: every datagram that has a known sender has gone its whole way before its turn, in batches of every
//! length, and what it asks for is no more than what it would ask for alone.

use std::cell::RefCell;

use media_core::addr::Key;
use media_core::matrix::{Part, Stance, Tap};
use media_core::origin::Wire;
use media_core::shard::Foresight;
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

/// Two voices that hear each other, an address that nobody has, and no address.
fn senders() -> (Bed, Vec<Option<Key>>) {
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
    let mut senders: Vec<_> = clients
        .iter()
        .map(|client| Some(Key::from(Wire::from(client.address))))
        .collect();
    let nobody: std::net::SocketAddr = "192.0.2.9:9".parse().expect("an address");
    // Nobody's, and one that the kernel had cut.
    senders.extend([Some(Key::from(Wire::from(nobody))), None]);
    (bed, senders)
}

fn alone(bed: &Bed, sender: Option<Key>) -> Vec<(usize, usize)> {
    bed.shard.foresee(&mut Foresight::default(), 0, 1, |_| sender, note);
    taken()
}

#[test]
fn a_datagram_asks_for_both_ends_and_for_few_lines() {
    let (bed, senders) = senders();
    for sender in &senders[..2] {
        let asked = alone(&bed, *sender);
        let lines: usize = asked.iter().map(|(at, bytes)| (at % LINE + bytes).div_ceil(LINE)).sum();
        assert!((20..=LINES_MAX).contains(&lines), "{lines}");
    }
    let [one, other] = [0, 1].map(|n| alone(&bed, senders[n]));
    let of_one_only = one.iter().filter(|asked| !other.contains(asked)).count();
    assert!(of_one_only > 0, "either asks for keys and counters of its own");
    let of_a_stranger = alone(&bed, senders[2]);
    assert_eq!(of_a_stranger.len(), 1, "where he would stand, if he were known");
    assert_eq!(alone(&bed, None), []);
}

#[test]
fn all_of_a_batch_go_their_whole_way_before_their_turn_however_many_there_are() {
    let (bed, senders) = senders();
    let mut sight = Foresight::default();
    for count in 1..=40 {
        let sender = |n: usize| senders[n % senders.len()];
        let mut asked = Vec::new();
        for index in 0..count {
            bed.shard.foresee(&mut sight, index, count, sender, note);
            asked.extend(taken());
            // So much has been asked for as those up to the next one need, at least.
            let needed: usize = (0..count.min(index + 2)).map(|n| alone(&bed, sender(n)).len()).sum();
            assert!(
                asked.len() >= needed,
                "{count}, before {index}: {} of {needed}",
                asked.len()
            );
        }
        let mut expected: Vec<_> = (0..count).flat_map(|n| alone(&bed, sender(n))).collect();
        asked.sort_unstable();
        expected.sort_unstable();
        assert_eq!(asked, expected, "{count}");
    }
}
