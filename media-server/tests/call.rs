//! Two clients with real sockets, ICE, DTLS and SRTP talk through a running server.

mod common;

use call_model::{CallId, LegId, RecordingId};
use common::{Client, PATIENCE, Server, now, until};
use ports::{Announce, Cause, EventKind, Flag, Part, Policy, RecordCommand, Refusal, Sdp, Stance, Tap, Thresholds};

const ROOM: CallId = CallId(0xCA11);
const CUSTOMER: LegId = LegId(1);
const AGENT: LegId = LegId(2);
const SUPERVISOR: LegId = LegId(3);

/// A frame of 20 ms whose bytes say which it is (RFC 6716: 0x78 is CELT, full band, 20 ms, one frame).
fn frame(n: u16) -> Vec<u8> {
    let mut payload = vec![0xF8, n as u8, (n >> 8) as u8];
    payload.resize(80, 0x55);
    payload
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_hear_each_other_with_their_own_numbers() {
    let server = Server::start();
    let (mut customer, mut agent) = (Client::new(111, 1, 10), Client::new(96, 3, 20));
    let to_customer = server.admit(ROOM, CUSTOMER, Part::Customer, 1).await;
    let to_agent = server.admit(ROOM, AGENT, Part::Agent, 2).await;
    server.talk(ROOM, &[CUSTOMER, AGENT], 1, Tap::Off);
    customer.join(&*server.media, to_customer.clone()).await;
    agent.join(&*server.media, to_agent).await;
    until(&mut [&mut customer, &mut agent], "keys", |all| {
        all.iter().all(|client| client.peer.is_up())
    });
    for n in 0..50 {
        customer.say(&frame(n));
        agent.say(&frame(1_000 + n));
        customer.turn();
        agent.turn();
    }
    // Until the agent's line is up the customer hears music, in the same numbers.
    let is_said = |heard: &&(u8, u16, Vec<u8>)| heard.2.ends_with(&[0x55; 8]);
    until(&mut [&mut customer, &mut agent], "fifty frames each", |all| {
        all.iter()
            .all(|client| client.heard.iter().filter(is_said).count() >= 50)
    });
    for (client, first, kind) in [(&customer, 1_000, 111), (&agent, 0, 96)] {
        for (n, (payload_type, _, payload)) in client.heard.iter().filter(is_said).enumerate() {
            assert_eq!(
                (*payload_type, payload),
                (kind, &frame(first + n as u16)),
                "untouched, in order, with my numbers"
            );
        }
        let sequences: Vec<u16> = client.heard.iter().map(|heard| heard.1).collect();
        assert!(
            sequences.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)),
            "{sequences:?}"
        );
    }
    let events = server
        .events_until(|event| matches!(event.kind, EventKind::RoomLive))
        .await;
    let ups = events
        .iter()
        .filter(|event| matches!(event.kind, EventKind::LegUp { .. }))
        .count();
    assert_eq!(ups, 2);
    assert!(
        events
            .iter()
            .enumerate()
            .all(|(n, event)| event.seq == n as u64 + 1 && event.room == ROOM)
    );
    server.media.leave(to_customer.clone()).expect("the leg is there");
    let down = |event: &ports::MediaEvent| matches!(&event.kind, EventKind::LegDown { leg: CUSTOMER, cause: Cause::HangUp, summary } if summary.packets_received >= 50);
    server.events_until(down).await;
    assert_eq!(server.media.leave(to_customer), Err(Refusal::UnknownGrant));
    server.media.close_room(ROOM, Cause::HangUp);
    server
        .events_until(|event| matches!(event.kind, EventKind::LegDown { leg: AGENT, .. }))
        .await;
    assert_eq!(server.media.load().legs, 0);
    assert!(server.media.outstanding(10).is_empty());
    let text = prometheus::TextEncoder::new()
        .encode_to_string(&server.registry.gather())
        .expect("text");
    assert!(text.contains("helpline_ice_connect_seconds_count 2"), "{text}");
    let agents = "helpline_leg_mos_count{dir=\"up\",path=\"direct\",role=\"agent\"} 1";
    assert!(text.contains(agents), "a leg of a closed room is scored too: {text}");
    assert!(
        text.contains("helpline_ice_failures_total{reason=\"gave_up\"} 0"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_on_hold_hears_our_tune_in_the_stream_that_carried_the_agent() {
    let server = Server::start();
    let (mut customer, mut agent) = (Client::new(111, 1, 10), Client::new(96, 3, 20));
    let to_customer = server.admit(ROOM, CUSTOMER, Part::Customer, 1).await;
    let to_agent = server.admit(ROOM, AGENT, Part::Agent, 2).await;
    server.talk(ROOM, &[CUSTOMER, AGENT], 1, Tap::Off);
    customer.join(&*server.media, to_customer).await;
    agent.join(&*server.media, to_agent).await;
    until(&mut [&mut customer, &mut agent], "keys", |all| {
        all.iter().all(|client| client.peer.is_up())
    });
    agent.say(&frame(1));
    until(&mut [&mut customer, &mut agent], "a word", |all| {
        !all[0].heard.is_empty()
    });

    server.plan(ROOM, &[(CUSTOMER, Stance::Held), (AGENT, Stance::Talk)], 2, Tap::Off);
    until(&mut [&mut customer, &mut agent], "music", |all| all[0].heard.len() > 20);
    let heard = agent.heard.len();
    customer.say(&frame(2));
    agent.say(&frame(3));
    until(&mut [&mut customer, &mut agent], "more music", |all| {
        all[0].heard.len() > 40
    });
    assert_eq!(agent.heard.len(), heard, "nobody hears who is on hold");
    assert!(customer.heard.iter().all(|(_, _, payload)| payload != &frame(3)));

    server.talk(ROOM, &[CUSTOMER, AGENT], 3, Tap::Off);
    server
        .events_until(|event| event.kind == EventKind::PlanApplied { epoch: 3 })
        .await;
    agent.say(&frame(4));
    until(&mut [&mut customer, &mut agent], "the agent again", |all| {
        all[0].heard.iter().any(|(_, _, payload)| payload == &frame(4))
    });
    let sequences: Vec<u16> = customer.heard.iter().map(|heard| heard.1).collect();
    assert!(
        sequences.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)),
        "{sequences:?}"
    );
    assert!(customer.heard.iter().all(|(payload_type, _, _)| *payload_type == 111));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_comes_behind_a_newer_one_hides_nothing_from_the_recorder() {
    let server = Server::start();
    let (mut customer, mut agent) = (Client::new(111, 1, 10), Client::new(96, 3, 20));
    let to_customer = server.admit(ROOM, CUSTOMER, Part::Customer, 1).await;
    let to_agent = server.admit(ROOM, AGENT, Part::Agent, 2).await;
    let recording = RecordCommand::Start {
        recording: RecordingId(7),
        policy: Policy::Required,
        customer_left: true,
    };
    server.media.record(ROOM, recording);
    server.talk(ROOM, &[CUSTOMER, AGENT], 1, Tap::On);
    customer.join(&*server.media, to_customer).await;
    agent.join(&*server.media, to_agent).await;
    until(&mut [&mut customer, &mut agent], "keys", |all| {
        all.iter().all(|client| client.peer.is_up())
    });
    agent.say(&frame(0));
    server
        .events_until(|event| matches!(event.kind, EventKind::RoomLive))
        .await;
    // Resumed, and then comes a plan that was read before.
    server.talk(ROOM, &[CUSTOMER, AGENT], 3, Tap::On);
    server.plan(ROOM, &[(CUSTOMER, Stance::Held), (AGENT, Stance::Talk)], 2, Tap::On);
    for n in 1..=20 {
        customer.say(&frame(n));
        agent.say(&frame(n));
    }
    let recorded = || {
        let families = server.registry.gather();
        let family = families
            .iter()
            .find(|family| family.name() == "helpline_recording_packets_total");
        family.expect("it is counted").get_metric()[0].get_counter().get_value()
    };
    until(&mut [&mut customer, &mut agent], "the words in the recording", |_| {
        recorded() >= 40.0
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_hears_our_tone_when_somebody_begins_to_listen_and_the_customer_does_not() {
    let server = Server::start();
    let (mut customer, mut agent) = (Client::new(111, 1, 10), Client::new(96, 3, 20));
    let mut supervisor = Client::new(99, 5, 30);
    let to_customer = server.admit(ROOM, CUSTOMER, Part::Customer, 1).await;
    let to_agent = server.admit(ROOM, AGENT, Part::Agent, 2).await;
    let to_supervisor = server.admit(ROOM, SUPERVISOR, Part::Supervisor, 3).await;
    let stances = [
        (CUSTOMER, Stance::Talk),
        (AGENT, Stance::Talk),
        (SUPERVISOR, Stance::Listen),
    ];
    server.announced(ROOM, &stances, 1, Tap::Off, Announce::Agents);
    customer.join(&*server.media, to_customer).await;
    agent.join(&*server.media, to_agent).await;
    until(&mut [&mut customer, &mut agent], "keys", |all| {
        all.iter().all(|client| client.peer.is_up())
    });
    agent.turn();
    assert!(agent.heard.is_empty(), "nobody listens yet");
    supervisor.join(&*server.media, to_supervisor).await;
    let file = include_bytes!("../assets/announce.opus");
    let tone = recording::tune::packets(file).expect("an Opus file");
    until(&mut [&mut customer, &mut agent, &mut supervisor], "the tone", |all| {
        all[1].heard.len() >= tone.len()
    });
    let heard: Vec<_> = agent.heard.iter().map(|(_, _, payload)| payload.clone()).collect();
    assert_eq!(heard, tone, "frame by frame, once");
    let announced = EventKind::Announced {
        supervisor: SUPERVISOR,
        heard_by: vec![AGENT],
    };
    server.events_until(|event| event.kind == announced).await;
    agent.say(&frame(1));
    customer.say(&frame(2));
    // Who offers one stream hears one voice: the supervisor that of the customer.
    until(&mut [&mut customer, &mut agent, &mut supervisor], "a word", |all| {
        !all[0].heard.is_empty() && all[1].heard.len() > tone.len() && !all[2].heard.is_empty()
    });
    assert_eq!(customer.heard[0].2, frame(1), "and no tone");
    assert_eq!(agent.heard.last().map(|heard| &heard.2), Some(&frame(2)));
    assert_eq!(supervisor.heard[0].2, frame(2), "and no tone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_reloads_takes_its_leg_over() {
    let server = Server::start();
    let (mut customer, mut agent) = (Client::new(111, 1, 10), Client::new(96, 3, 20));
    let to_customer = server.admit(ROOM, CUSTOMER, Part::Customer, 1).await;
    let to_agent = server.admit(ROOM, AGENT, Part::Agent, 2).await;
    server.talk(ROOM, &[CUSTOMER, AGENT], 1, Tap::Off);
    customer.join(&*server.media, to_customer.clone()).await;
    agent.join(&*server.media, to_agent).await;
    until(&mut [&mut customer, &mut agent], "keys", |all| {
        all.iter().all(|client| client.peer.is_up())
    });
    let mut again = Client::new(120, 5, 30);
    again.join(&*server.media, to_customer).await;
    until(&mut [&mut again, &mut agent], "new keys", |all| all[0].peer.is_up());
    let mut n = 0;
    while again.heard.is_empty() || agent.heard.is_empty() {
        again.say(&frame(n));
        agent.say(&frame(n));
        again.turn();
        agent.turn();
        n += 1;
        assert!(n < 1_000, "no sound on the new line");
    }
    assert_eq!(server.media.load().legs, 2, "the same leg, not a third");
    assert_eq!(server.media.load().recorder, ports::Recorder::Ready);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_media_refuses_it_refuses_by_name() {
    let server = Server::start();
    let secret = server.admit(ROOM, CUSTOMER, Part::Customer, 1).await;
    let stranger = ports::Secret::new([9; 32]);
    let offer = || Sdp(Client::new(111, 1, 10).peer.offer());
    assert_eq!(
        server.media.offer(stranger.clone(), offer()).await.unwrap_err(),
        Refusal::UnknownGrant
    );
    assert_eq!(
        server.media.candidate(stranger, "candidate:1"),
        Err(Refusal::UnknownGrant)
    );
    let bad = server
        .media
        .offer(secret.clone(), Sdp("v=0\r\n".to_owned()))
        .await
        .unwrap_err();
    assert_eq!(
        bad,
        Refusal::BadOffer {
            reason: "offer_without_opus"
        }
    );
    let early = server.media.restart(secret.clone(), offer()).await.unwrap_err();
    assert_eq!(
        early,
        Refusal::BadOffer {
            reason: "restart_without_transport"
        }
    );
    server
        .media
        .offer(secret, offer())
        .await
        .expect("a refused offer has broken nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_emptied_goes_on_until_its_deadline_and_serves_again_when_that_is_undone() {
    let server = Server::start();
    let mut customer = Client::new(111, 1, 10);
    let secret = server.admit(ROOM, CUSTOMER, Part::Customer, 1).await;
    customer.join(&*server.media, secret).await;
    until(&mut [&mut customer], "keys", |all| all[0].peer.is_up());
    assert_eq!((server.media.draining(), server.media.rooms().count), (None, 1));

    server.media.drain(Some(600));
    let draining = server.media.draining().expect("it is being emptied");
    assert_eq!((draining.rooms.count, draining.closes_in_s), (1, 600));
    assert!(server.media.load().draining && !server.media.load().full);
    server.admit(ROOM, AGENT, Part::Agent, 2).await;
    let waited = CallId(78);
    server.admit(waited, LegId(77), Part::Customer, 3).await;
    server.media.drain(None);
    assert_eq!((server.media.draining(), server.media.load().draining), (None, false));

    server.media.drain(Some(0));
    let grant = ports::LegGrant {
        secret: ports::Secret::new([5; 32]),
        leg: LegId(79),
        room: CallId(80),
        part: Part::Customer,
        uplink: true,
        red: ports::Red::Off,
        first_offer_s: 60,
    };
    assert_eq!(
        server.media.admit(grant.clone()).await,
        Err(Refusal::Draining),
        "nothing new past the deadline"
    );
    let cut = |event: &ports::MediaEvent| {
        matches!(
            event.kind,
            EventKind::LegDown {
                leg: CUSTOMER,
                cause: Cause::Drain,
                ..
            }
        )
    };
    server.events_until(cut).await;
    assert_eq!(server.media.draining().map(|draining| draining.rooms.count), Some(0));
    server.media.drain(None);
    assert_eq!(server.media.admit(grant).await, Ok(()), "it serves again");
}

/// Seconds of dead air as the figures have them.
fn dead_air_seconds(server: &Server) -> f64 {
    let families = server.registry.gather();
    let dead_air = families
        .iter()
        .find(|family| family.name() == "helpline_dead_air_seconds_total");
    dead_air.expect("the series").get_metric()[0].get_counter().get_value()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_threshold_that_is_set_while_two_people_are_silent_holds_for_them() {
    let server = Server::start();
    let (mut customer, mut agent) = (Client::new(111, 1, 10), Client::new(96, 3, 20));
    let to_customer = server.admit(ROOM, CUSTOMER, Part::Customer, 1).await;
    let to_agent = server.admit(ROOM, AGENT, Part::Agent, 2).await;
    server.talk(ROOM, &[CUSTOMER, AGENT], 1, Tap::Off);
    customer.join(&*server.media, to_customer).await;
    agent.join(&*server.media, to_agent).await;
    until(&mut [&mut customer, &mut agent], "keys", |all| {
        all.iter().all(|client| client.peer.is_up())
    });
    server.media.set_thresholds(Thresholds {
        dead_air_seconds: 5,
        ..Thresholds::default()
    });
    let dead_air = |event: &ports::MediaEvent| {
        matches!(
            event.kind,
            EventKind::Quality {
                flag: Flag::DeadAir,
                raised: true,
                ..
            }
        )
    };
    let deadline = now() + PATIENCE;
    while !server.media.outstanding(1_000).iter().any(dead_air) || dead_air_seconds(&server) == 0.0 {
        assert!(now() < deadline, "never told");
        for client in [&mut customer, &mut agent] {
            client.hush(&frame(0));
            client.turn();
        }
    }
    // The silence before the flag is in the figure: by the usual threshold that would be 15 s.
    assert!(dead_air_seconds(&server) < 15.0);
}
