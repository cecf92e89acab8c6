//! Voices for which an ear has no stream: four speak and all hear each other; of a fifth, and of a second where a client
//! has one stream, somebody is told who does not hear whom.

use std::sync::Arc;

use media_core::LegId;
use media_core::event::{Event, Kind};
use media_core::matrix::{Announce, Part, Stance, Tap};
use testkit::bed::{Bed, Client, FRAME};

use super::hold::tune;
use crate::Call;

use Stance::{Barge, Listen, Talk, Waiting};

/// Customer, agent, partner and two supervisors, all up.
fn five() -> (Bed, [Client; 5]) {
    let parts = [
        Part::Customer,
        Part::Agent,
        Part::Partner,
        Part::Supervisor,
        Part::Supervisor,
    ];
    let mut number = 0;
    let mut clients = parts.map(|part| {
        number += 1;
        Client::new(number, part)
    });
    let mut bed = Bed::default();
    clients.iter_mut().for_each(|client| bed.bring_up(client));
    bed.events();
    (bed, clients)
}

fn stand(bed: &mut Bed, clients: &[Client], stances: &[Stance]) {
    let named: Vec<_> = clients
        .iter()
        .map(|client| client.leg)
        .zip(stances.iter().copied())
        .collect();
    bed.plan(&named, Tap::On);
}

/// Ears and whom they miss, as reported.
fn missed(events: &[Event]) -> Vec<(LegId, Vec<LegId>)> {
    let told = events.iter().filter_map(|event| match &event.kind {
        Kind::Unheard { leg, voices } => Some((*leg, voices.clone())),
        _ => None,
    });
    told.collect()
}

/// Who hears each of them, by place.
fn hearers(bed: &mut Bed, clients: &mut [Client]) -> Vec<Vec<usize>> {
    (0..clients.len())
        .map(|speaker| {
            bed.now += FRAME;
            let packet = clients[speaker].speak(b"who hears this");
            let sent = bed.datagram(clients[speaker].address, &packet);
            let ears = clients.iter_mut().enumerate();
            ears.filter_map(|(ear, client)| (!client.open_all(&sent).is_empty()).then_some(ear))
                .collect()
        })
        .collect()
}

#[test]
fn four_speak_and_hear_each_other_and_of_a_fifth_every_ear_that_misses_one_is_told() {
    let (mut bed, mut clients) = five();
    stand(&mut bed, &clients, &[Talk, Talk, Talk, Barge, Waiting]);
    assert_eq!(missed(&bed.events()), []);
    assert_eq!(
        hearers(&mut bed, &mut clients[..4]),
        [vec![1, 2, 3], vec![0, 2, 3], vec![0, 1, 3], vec![0, 1, 2]]
    );

    stand(&mut bed, &clients, &[Talk, Talk, Talk, Barge, Barge]);
    let told = missed(&bed.events());
    let heard = hearers(&mut bed, &mut clients);
    let ears: Vec<_> = told.iter().map(|(ear, _)| *ear).collect();
    assert_eq!(ears, clients.each_ref().map(|client| client.leg), "each misses one");
    for (ear, (_, voices)) in told.iter().enumerate() {
        let missing: Vec<_> = (0..clients.len())
            .filter(|&voice| voice != ear && !heard[voice].contains(&ear))
            .map(|voice| clients[voice].leg)
            .collect();
        assert_eq!(*voices, missing, "what is told is what is not heard, at ear {ear}");
        assert_eq!(voices.len(), 1);
    }
    stand(&mut bed, &clients, &[Talk, Talk, Talk, Barge, Barge]);
    assert_eq!(missed(&bed.events()), [], "told once");

    stand(&mut bed, &clients, &[Talk, Talk, Talk, Barge, Waiting]);
    let over = missed(&bed.events());
    assert_eq!(over.len(), 5);
    assert!(over.iter().all(|(_, voices)| voices.is_empty()), "all are heard again");
}

#[test]
fn who_listens_to_four_misses_one_and_it_is_told() {
    let (mut bed, mut clients) = five();
    stand(&mut bed, &clients, &[Talk, Talk, Talk, Barge, Listen]);
    let told = missed(&bed.events());
    let heard = hearers(&mut bed, &mut clients);
    let missing: Vec<_> = (0..4).filter(|&voice| !heard[voice].contains(&4)).collect();
    let legs: Vec<_> = missing.iter().map(|&voice| clients[voice].leg).collect();
    assert_eq!((missing.len(), told), (1, vec![(clients[4].leg, legs)]));
}

#[test]
fn a_client_with_one_stream_misses_the_second_voice_until_the_first_one_falls_silent() {
    let (mut bed, mut clients) = (
        Bed::default(),
        [
            Client::new(1, Part::Customer),
            Client::new(2, Part::Agent),
            Client::new(3, Part::Partner),
        ],
    );
    clients[0].slots = 1;
    clients.iter_mut().for_each(|client| bed.bring_up(client));
    bed.events();
    let [customer, agent, partner] = clients.each_ref().map(|client| client.leg);
    stand(&mut bed, &clients, &[Talk, Talk, Waiting]);
    assert_eq!(missed(&bed.events()), [], "two need no more");

    stand(&mut bed, &clients, &[Talk, Talk, Talk]);
    assert_eq!(missed(&bed.events()), [(customer, vec![partner])]);
    assert_eq!(hearers(&mut bed, &mut clients), [vec![1, 2], vec![0, 2], vec![1]]);

    // The agent is muted: the one stream is the colleague's.
    stand(&mut bed, &clients, &[Talk, Stance::Muted, Talk]);
    assert_eq!(missed(&bed.events()), [(customer, vec![])]);
    assert_eq!(hearers(&mut bed, &mut clients), [vec![1, 2], vec![], vec![0, 1]]);
    stand(&mut bed, &clients, &[Talk, Talk, Talk]);
    assert_eq!(missed(&bed.events()), [(customer, vec![agent])]);
}

#[test]
fn whoever_joins_beside_a_full_ear_is_told_of_once_his_line_is_up() {
    let mut call = Call::new();
    let mut lonely = Client::new(3, Part::Partner);
    lonely.slots = 1;
    let stances = [(call.customer.leg, Talk), (call.agent.leg, Talk), (lonely.leg, Talk)];
    call.bed.plan(&stances, Tap::On);
    call.bed.add(testkit::bed::ROOM, &lonely).expect("the leg is new");
    assert_eq!(missed(&call.bed.events()), [], "nobody is there yet");
    call.bed.check(&mut lonely);
    call.bed.establish(&lonely).expect("the transport lives");
    assert_eq!(missed(&call.bed.events()), [(lonely.leg, vec![call.agent.leg])]);
}

#[test]
fn a_tone_that_takes_the_only_stream_for_a_moment_is_no_voice_missed() {
    let (mut customer, mut agent) = (Client::new(1, Part::Customer), Client::new(2, Part::Agent));
    customer.slots = 1;
    let mut supervisor = Client::new(3, Part::Supervisor);
    let mut bed = Bed::default();
    bed.announce = Announce::All;
    bed.shard.set_tone(Arc::new(tune()));
    for client in [&mut customer, &mut agent, &mut supervisor] {
        bed.bring_up(client);
    }
    let stances = [(customer.leg, Talk), (agent.leg, Talk), (supervisor.leg, Listen)];
    bed.plan(&stances, Tap::On);
    bed.advance(50 * FRAME);
    assert_eq!(missed(&bed.events()), []);
    assert_eq!(bed.say(&mut agent, b"after the tone", &mut customer).len(), 1);
}
