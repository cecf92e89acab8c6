//! What clients without our script do, with real sockets: speak one way, trickle, restart ICE, test their line.

#[allow(dead_code, reason = "each test file uses its part of it")]
mod common;

use call_model::{CallId, LegId};
use common::{Client, Server, now, until};
use ports::{Cause, EventKind, LegGrant, Part, Red, Refusal, Sdp, Secret, Tap};

const ROOM: CallId = CallId(0xCA11);
const CUSTOMER: LegId = LegId(1);
const AGENT: LegId = LegId(2);

fn frame(n: u16) -> Vec<u8> {
    let mut payload = vec![0xF8, n as u8, (n >> 8) as u8];
    payload.resize(60, 0x55);
    payload
}

fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>) -> &'static str {
    match result {
        Err(Refusal::BadOffer { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_speaks_is_heard_and_hears_nothing() {
    let server = Server::start();
    let (mut customer, mut agent) = (Client::new(111, 1, 10), Client::new(96, 3, 20));
    let to_customer = server.admit(ROOM, CUSTOMER, Part::Customer, 1).await;
    let to_agent = server.admit(ROOM, AGENT, Part::Agent, 2).await;
    server.talk(ROOM, &[CUSTOMER, AGENT], 1, Tap::Off);
    let offer = customer.peer.offer();
    for (spoilt, reason) in [
        (
            format!("{offer}m=video 9 UDP/TLS/RTP/SAVPF 100\r\na=mid:v\r\na=rtpmap:100 VP8/90000\r\n"),
            "offer_taken_in_part",
        ),
        (offer.replace("a=sendrecv", "a=recvonly"), "offer_sends_nothing"),
        (offer.replace("a=sendrecv", "a=inactive"), "offer_sends_nothing"),
        (offer.replace("setup:active", "setup:passive"), "setup_passive"),
    ] {
        let answer = server.media.ingest(to_customer.clone(), Sdp(spoilt)).await;
        assert_eq!(refused(answer), reason);
    }
    assert_eq!(server.media.ice_session(&to_customer), Err(Refusal::NoSession));
    let answer = server.media.ingest(to_customer, Sdp(offer)).await.expect("an answer");
    assert!(answer.sdp.0.contains("a=recvonly\r\n"), "{}", answer.sdp.0);
    assert!(!answer.sdp.0.contains("a=ssrc:"), "nothing is announced to it");
    customer.peer.answer(now(), &answer.sdp.0).expect("a good answer");
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
    until(&mut [&mut customer, &mut agent], "fifty frames", |all| {
        all[1].heard.len() >= 50
    });
    assert_eq!(
        customer.heard.len(),
        0,
        "the answer promised nothing, and nothing comes"
    );
    let figures = || prometheus::TextEncoder::new().encode_to_string(&server.registry.gather());
    until(&mut [&mut customer], "four refusals are counted", |_| {
        figures().is_ok_and(|text| text.contains("helpline_media_offers_refused_total 4\n"))
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_may_not_speak_publishes_nothing() {
    let server = Server::start();
    let secret = Secret::new([3; 32]);
    let grant = LegGrant {
        secret: secret.clone(),
        leg: LegId(3),
        room: ROOM,
        part: Part::Supervisor,
        uplink: false,
        red: Red::Off,
        first_offer_s: 120,
    };
    server.media.admit(grant).await.expect("admitted");
    let offer = Client::new(111, 1, 10).peer.offer();
    let answer = server.media.ingest(secret, Sdp(offer)).await;
    assert_eq!(refused(answer), "grant_without_uplink");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_by_fragment_gives_new_credentials_and_a_refused_one_changes_nothing() {
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
    let media = &server.media;
    let first = media.ice_session(&to_customer).expect("a session");
    let candidate = "a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n";
    let trickle = |text: String| media.trickle(to_customer.clone(), Sdp(text));
    assert_eq!(trickle(candidate.to_owned()), Ok(()));
    let other = format!("a=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdef012345\r\n{candidate}");
    assert_eq!(refused(trickle(other)), "fragment_of_another_session");
    assert_eq!(refused(trickle("?".to_owned())), "fragment_malformed");

    let restart = |text: String| media.restart_ice(to_customer.clone(), Sdp(text));
    assert_eq!(
        refused(restart(candidate.to_owned()).await),
        "fragment_without_credentials"
    );
    let same: String = customer
        .peer
        .offer()
        .lines()
        .filter(|line| line.starts_with("a=ice-"))
        .fold(String::new(), |all, line| all + line + "\r\n"); // the pair it has
    assert_eq!(refused(restart(same).await), "fragment_restarts_nothing");
    assert_eq!(
        media.ice_session(&to_customer).as_ref(),
        Ok(&first),
        "the session goes on"
    );
    customer.say(&frame(1));
    until(&mut [&mut customer, &mut agent], "sound before the restart", |all| {
        !all[1].heard.is_empty()
    });

    let fragment = customer.peer.restart();
    let answer = restart(fragment).await.expect("our new pair");
    assert_ne!(media.ice_session(&to_customer), Ok(first));
    customer.peer.restarted(now(), &answer.0).expect("a good fragment");
    until(&mut [&mut customer, &mut agent], "a check under the new pair", |all| {
        all[0].peer.is_nominated()
    });
    customer.say(&frame(2));
    until(&mut [&mut customer, &mut agent], "sound after the restart", |all| {
        all[1].heard.iter().any(|(_, _, payload)| *payload == frame(2))
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_test_hears_itself_and_leaves_nothing_behind() {
    let server = Server::start();
    let mut client = Client::new(111, 1, 10);
    let secret = server.admit(ROOM, CUSTOMER, Part::Preflight, 1).await;
    server.talk(ROOM, &[CUSTOMER], 1, Tap::Off);
    client.join(&*server.media, secret.clone()).await;
    until(&mut [&mut client], "keys", |all| all[0].peer.is_up());
    for n in 0..50 {
        client.say(&frame(n));
        client.turn();
    }
    until(&mut [&mut client], "its own fifty frames", |all| {
        all[0].heard.len() >= 50
    });
    let back: Vec<_> = client.heard.iter().map(|(_, _, payload)| payload.clone()).collect();
    assert_eq!(back, (0..50).map(frame).collect::<Vec<_>>());

    server.media.leave(secret).expect("the leg is there");
    let report = server
        .events_until(|event| matches!(event.kind, EventKind::LegDown { .. }))
        .await;
    let EventKind::LegDown { cause, summary, .. } = &report.last().expect("the end").kind else {
        panic!("{report:?}");
    };
    assert_eq!(
        (*cause, summary.packets_received, summary.packets_lost),
        (Cause::HangUp, 50, 0)
    );
    assert_eq!(summary.packets_sent, 50);
    assert_eq!(summary.level_max, 127 - 30);
    // The room is gone too, and has a place for another one.
    until(&mut [&mut client], "no room", |_| server.media.rooms().count == 0);
    let next = CallId(ROOM.0 + 1);
    server.admit(next, AGENT, Part::Customer, 2).await;
    server.talk(next, &[AGENT], 1, Tap::Off);
    assert_eq!(server.media.load().legs, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_test_that_nobody_attaches_gives_its_place_back() {
    let server = Server::start();
    let mut nobody = Client::new(111, 1, 10);
    let grant = LegGrant {
        secret: Secret::new([4; 32]),
        leg: CUSTOMER,
        room: ROOM,
        part: Part::Preflight,
        uplink: true,
        red: Red::Off,
        first_offer_s: 1,
    };
    server.media.admit(grant).await.expect("admitted");
    server.talk(ROOM, &[CUSTOMER], 1, Tap::Off);
    assert_eq!(server.media.load().legs, 1);
    let answer = nobody.peer.offer();
    until(&mut [&mut nobody], "its time is over", |_| {
        server.media.load().legs == 0
    });
    let late = server.media.offer(Secret::new([4; 32]), Sdp(answer)).await;
    assert!(matches!(late, Err(Refusal::UnknownGrant)), "{late:?}");
}

/// The lines of a description that begin like this.
fn lines<'a>(sdp: &'a str, begin: &str) -> Vec<&'a str> {
    sdp.lines().filter(|line| line.starts_with(begin)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_offers_again_over_the_connection_that_he_has_gets_more_streams_and_keeps_it() {
    const PARTNER: LegId = LegId(3);
    let server = Server::start();
    let mut all = [Client::new(111, 1, 10), Client::new(96, 3, 20), Client::new(100, 2, 30)];
    let mut secrets = Vec::new();
    for (leg, part, number) in [
        (CUSTOMER, Part::Customer, 1),
        (AGENT, Part::Agent, 2),
        (PARTNER, Part::Partner, 3),
    ] {
        secrets.push(server.admit(ROOM, leg, part, number).await);
    }
    server.talk(ROOM, &[CUSTOMER, AGENT, PARTNER], 1, Tap::Off);
    let first = server.media.offer(secrets[0].clone(), Sdp(all[0].peer.offer())).await;
    let first = first.expect("an answer").sdp.0;
    all[0].peer.answer(now(), &first).expect("a good answer");
    for (client, secret) in all.iter_mut().zip(&secrets).skip(1) {
        let offer = client.peer.offer_to_hear(3);
        let answer = server.media.offer(secret.clone(), Sdp(offer)).await.expect("an answer");
        client.peer.answer(now(), &answer.sdp.0).expect("a good answer");
    }
    let [customer, agent, partner] = &mut all;
    until(&mut [customer, agent, partner], "keys", |all| {
        all.iter().all(|client| client.peer.is_up())
    });
    let told = server
        .events_until(|event| matches!(&event.kind, EventKind::Unheard { voices, .. } if !voices.is_empty()))
        .await;
    let missed: Vec<_> = told
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Unheard { leg, voices } => Some((*leg, voices.len())),
            _ => None,
        })
        .collect();
    assert_eq!(
        missed,
        [(CUSTOMER, 1)],
        "one section is too few, and nobody else has one"
    );

    let session = server.media.ice_session(&secrets[0]);
    let again = customer.peer.offer_to_hear(3);
    let again = server.media.offer(secrets[0].clone(), Sdp(again)).await;
    let again = again.expect("an answer").sdp.0;
    for kept in ["a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:"] {
        assert_eq!(lines(&again, kept)[0], lines(&first, kept)[0]);
    }
    assert_eq!(server.media.ice_session(&secrets[0]), session);
    let streams = |sdp: &str| {
        lines(sdp, "a=ssrc:")
            .into_iter()
            .filter(|line| line.contains("cname"))
            .count()
    };
    assert_eq!((streams(&first), streams(&again)), (1, 3));
    let told =
        |event: &ports::MediaEvent| matches!(&event.kind, EventKind::Unheard { voices, .. } if voices.is_empty());
    server.events_until(told).await;
    // Past the next checks of everybody, and not one handshake more.
    let begin = customer.heard.len();
    for n in 0..400u16 {
        agent.say(&frame(n));
        partner.say(&frame(1_000 + n));
        customer.say(&frame(2_000 + n));
        customer.turn();
        agent.turn();
        partner.turn();
    }
    let of = |heard: &[(u8, u16, Vec<u8>)], from: u16| {
        let number = |payload: &[u8]| u16::from(payload[1]) | u16::from(payload[2]) << 8;
        let mine = |payload: &[u8]| payload.len() == 60 && (from..from + 400).contains(&number(payload));
        heard.iter().filter(|(_, _, payload)| mine(payload)).count()
    };
    until(&mut [customer, agent, partner], "both voices at his ear", |all| {
        let heard = &all[0].heard[begin..];
        of(heard, 0) >= 390 && of(heard, 1_000) >= 390
    });
    assert!(of(&agent.heard, 2_000) >= 390, "and he is heard");

    // A restart whose description gives two of the three up again says so in both.
    let fragment = customer.peer.restart();
    assert!(fragment.starts_with("a=ice-ufrag:"));
    let restart = server
        .media
        .restart(secrets[0].clone(), Sdp(customer.peer.offer()))
        .await;
    let restart = restart.expect("an answer").sdp.0;
    assert_ne!(lines(&restart, "a=ice-ufrag:")[0], lines(&first, "a=ice-ufrag:")[0]);
    assert_eq!(streams(&restart), 1);
    customer.peer.restarted(now(), &restart).expect("good credentials");
    until(&mut [customer, agent, partner], "a check by them", |all| {
        all[0].peer.is_nominated()
    });
    let told = server
        .events_until(|event| matches!(&event.kind, EventKind::Unheard { voices, .. } if !voices.is_empty()))
        .await;
    assert!(!told.is_empty());
    let ends = |event: &ports::MediaEvent| matches!(event.kind, EventKind::LegDown { .. });
    assert!(!told.iter().any(ends), "{told:?}");
}
