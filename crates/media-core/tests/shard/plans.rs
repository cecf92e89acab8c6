//! A thousand changes a second of who hears whom, while all speak: every packet reaches exactly those who were to hear
//! it at that moment.

use std::sync::Arc;

use media_core::limits::MS;
use media_core::matrix::{Part, Stance, Tap};
use testkit::bed::{Bed, Client};

use super::hold::tune;

use Stance::{Barge, Consult, Held, Listen, Muted, Talk, Waiting, Whisper};

/// States of customer, agent, partner, supervisor, and who then hears each of them, by the table of the design.
const STATES: [([Stance; 4], [&str; 4]); 11] = [
    ([Talk, Talk, Waiting, Waiting], ["A", "C", "", ""]),
    ([Muted, Talk, Waiting, Waiting], ["", "C", "", ""]),
    ([Talk, Muted, Waiting, Listen], ["AS", "", "", ""]),
    ([Held, Talk, Waiting, Waiting], ["", "", "", ""]),
    ([Held, Consult, Consult, Waiting], ["", "P", "A", ""]),
    ([Held, Consult, Consult, Listen], ["", "PS", "AS", ""]),
    ([Talk, Talk, Talk, Waiting], ["AP", "CP", "CA", ""]),
    ([Talk, Talk, Talk, Listen], ["APS", "CPS", "CAS", ""]),
    ([Talk, Talk, Waiting, Whisper], ["AS", "CS", "", "A"]),
    ([Talk, Talk, Talk, Barge], ["APS", "CPS", "CAS", "CAP"]),
    ([Held, Talk, Waiting, Barge], ["", "S", "", "A"]),
];
const NAMES: [char; 4] = ['C', 'A', 'P', 'S'];
/// Changes, one each millisecond.
const CHANGES: u32 = 10_000;
/// Of so many changes …
const OF: u32 = 5;
/// … this many are followed by a packet: 150 a second from each of four, below what a leg may send.
const SPOKEN: u32 = 3;
/// Changes between two connectivity checks of each.
const CHECK_EVERY: u32 = 2_000;

#[test]
fn a_thousand_changes_a_second_leak_no_packet_and_lose_none() {
    let parts = [Part::Customer, Part::Agent, Part::Partner, Part::Supervisor];
    let mut number = 0;
    let mut clients = parts.map(|part| {
        number += 1;
        Client::new(number, part)
    });
    let mut bed = Bed::default();
    bed.shard.set_music(Arc::new(tune()));
    for client in &mut clients {
        bed.bring_up(client);
    }
    let legs = clients.each_ref().map(|client| client.leg);
    // The same states in the same order every time.
    let mut random = 0x005E_ED0F_9A45_u64;
    let (mut heard, mut unheard, mut music, mut spoken) = (0, 0, 0, 0usize);
    for change in 0..CHANGES {
        if change % CHECK_EVERY == 0 {
            clients.iter_mut().for_each(|client| drop(bed.check(client)));
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (stances, ears) = STATES[(random >> 33) as usize % STATES.len()];
        let named: Vec<_> = legs.into_iter().zip(stances).collect();
        bed.plan(&named, Tap::On);
        let mut said = None;
        let mut sent = Vec::new();
        if change % OF < SPOKEN {
            let speaker = spoken % clients.len();
            spoken += 1;
            let payload = [&[0xF8], change.to_be_bytes().as_slice()].concat();
            let packet = clients[speaker].speak(&payload);
            sent = bed.datagram(clients[speaker].address, &packet);
            said = Some((speaker, payload));
        }
        sent.extend(bed.advance(MS));
        for (ear, client) in clients.iter_mut().enumerate() {
            let to_him = client.open_all(&sent);
            let (person, other): (Vec<_>, Vec<_>) = to_him
                .iter()
                .partition(|packet| said.as_ref().is_some_and(|(_, payload)| packet.payload == *payload));
            let right = said
                .as_ref()
                .is_some_and(|(speaker, _)| ears[*speaker].contains(NAMES[ear]));
            assert_eq!(
                person.len(),
                usize::from(right),
                "change {change}: {stances:?}, {said:?}, the ear of {}",
                NAMES[ear]
            );
            heard += person.len();
            unheard += usize::from(said.is_some() && !right);
            assert!(
                other.is_empty() || stances[ear] == Held,
                "music is for who is held: {stances:?}"
            );
            music += other.len();
        }
    }
    assert_eq!(spoken, (CHANGES * SPOKEN / OF) as usize);
    assert!(
        heard > 4_000 && unheard > 4_000 && music > 50,
        "{heard} {unheard} {music}"
    );
    println!(
        "{CHANGES} changes in ten seconds: {heard} packets heard as allowed, {unheard} kept from an ear, {music} of music"
    );
}
