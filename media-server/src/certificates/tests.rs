//! A running server and clients with real sockets and handshakes, across the change of the certificate.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use call_model::{CallId, LegId};
use media_core::dtls::Fingerprint;
use ports::{Announce, LegGrant, Media, Part, Plan, Red, Sdp, Secret, Shield, Stance, Tap};
use testkit::peer::{Numbers, Peer};

use super::*;
use crate::{Config, HoldMusic, MediaServer};

/// How long anything on loopback may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(20);
const ROOM: CallId = CallId(0xDA7);
const CUSTOMER: LegId = LegId(1);
const AGENT: LegId = LegId(2);
const PARTNER: LegId = LegId(3);

struct Client {
    peer: Peer,
    socket: UdpSocket,
    heard: Vec<Vec<u8>>,
}

impl Client {
    fn new(number: u8) -> Client {
        let numbers = Numbers {
            opus: 96 + number,
            level: number,
            ssrc: u32::from(number),
            sequence: 7,
            timestamp: 99,
        };
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let wait = Duration::from_millis(5);
        socket.set_read_timeout(Some(wait)).expect("a time-out");
        let own = Certificate::generate().expect("a certificate");
        Client {
            peer: Peer::new(numbers, own, u64::from(number)),
            socket,
            heard: Vec::new(),
        }
    }

    fn turn(&mut self) {
        self.peer.timeout(now()).expect("the handshake goes well");
        let mut buffer = [0; 2_048];
        loop {
            while let (Some(datagram), Some(to)) = (self.peer.poll(), self.peer.destination()) {
                self.socket.send_to(&datagram, to).expect("sent");
            }
            let Ok((len, _)) = self.socket.recv_from(&mut buffer) else {
                return;
            };
            let heard = self.peer.datagram(now(), &mut buffer[..len]);
            if let Some(heard) = heard.expect("the handshake goes well") {
                self.heard.push(buffer[heard.payload.0..heard.payload.1].to_vec());
            }
        }
    }

    fn say(&mut self, payload: &[u8]) {
        let mut buffer = [0; 1_500];
        let len = self.peer.speak(&mut buffer, payload, 960, 30, true);
        let (len, to) = (
            len.expect("keys are there"),
            self.peer.destination().expect("an answer"),
        );
        self.socket.send_to(&buffer[..len], to).expect("sent");
    }

    fn heard(&self, payload: &[u8]) -> bool {
        self.heard.iter().any(|heard| heard == payload)
    }
}

fn until(clients: &mut [&mut Client], what: &str, mut done: impl FnMut(&[&mut Client]) -> bool) {
    let deadline = now() + PATIENCE;
    while !done(clients) {
        assert!(now() < deadline, "waited in vain: {what}");
        for client in clients.iter_mut() {
            client.turn();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test with real sockets has real time")]
fn now() -> Instant {
    Instant::now()
}

async fn admit(media: &dyn Media, leg: LegId, part: Part) -> Secret {
    let secret = Secret::new([leg.0 as u8; 32]);
    let grant = LegGrant {
        secret: secret.clone(),
        leg,
        room: ROOM,
        part,
        uplink: true,
        red: Red::Off,
        first_offer_s: 120,
    };
    media.admit(grant).await.expect("there is room");
    secret
}

/// The fingerprint that an answer announces.
fn announced(answer: &str) -> Fingerprint {
    let print = answer
        .lines()
        .find_map(|line| line.strip_prefix("a=fingerprint:sha-256 "));
    print
        .expect("an answer announces one")
        .parse()
        .expect("32 pairs of digits")
}

/// Offers, takes the answer, and gives the fingerprint in it.
async fn join(media: &dyn Media, client: &mut Client, secret: &Secret) -> Fingerprint {
    let answer = media.offer(secret.clone(), Sdp(client.peer.offer())).await;
    let answer = answer.expect("an answer").sdp.0;
    client.peer.answer(now(), &answer).expect("a good answer");
    announced(&answer)
}

fn plan(media: &dyn Media, legs: &[LegId], epoch: u64) {
    media.plan(Plan {
        room: ROOM,
        epoch,
        stances: legs.iter().map(|leg| (*leg, Stance::Talk)).collect(),
        tap: Tap::Off,
        announce: Announce::Nobody,
        shield: Shield::Off,
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_shows_what_its_own_answer_announced_whatever_is_announced_by_then() {
    let folder = std::env::temp_dir().join(format!("helpline-certificates-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let here = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    let mut config = Config::new(folder.clone(), "test".to_owned(), 1, here.clone(), here);
    config.base_port = 0;
    config.waiting.music = Some(HoldMusic::Silence);
    let server = MediaServer::start(config, &prometheus::Registry::new()).expect("media starts");
    let media = server.media();
    let shared = server.shared();
    let metrics = Metrics::new(&prometheus::Registry::new(), 1).expect("a registry of its own");
    let mut rotation = Rotation::new(0);
    let [mut customer, mut agent, mut partner] = [1, 2, 3].map(Client::new);
    let to_customer = admit(&*media, CUSTOMER, Part::Customer).await;
    let to_agent = admit(&*media, AGENT, Part::Agent).await;
    plan(&*media, &[CUSTOMER, AGENT], 1);

    // The customer is there before the change; the agent has his answer before it and begins behind it.
    let first = join(&*media, &mut customer, &to_customer).await;
    until(&mut [&mut customer], "the customer's keys", |all| all[0].peer.is_up());
    assert_eq!(join(&*media, &mut agent, &to_agent).await, first);
    rotation.look(ANNOUNCED_NS_MAX - 1, &shared.certificate, &metrics);
    assert_eq!(lock(&shared.certificate).fingerprint(), first, "not before its time");
    rotation.look(ANNOUNCED_NS_MAX, &shared.certificate, &metrics);
    let second = lock(&shared.certificate).fingerprint();
    assert_ne!(second, first);
    assert_eq!(rotation.older.len(), 1);
    rotation.look(2 * ANNOUNCED_NS_MAX - 1, &shared.certificate, &metrics);
    assert_eq!(lock(&shared.certificate).fingerprint(), second, "for a day");

    until(&mut [&mut customer, &mut agent], "the agent's keys", |all| {
        all[1].peer.is_up()
    });
    customer.say(b"still here");
    agent.say(b"so am I");
    until(&mut [&mut customer, &mut agent], "a word each", |all| {
        all[0].heard(b"so am I") && all[1].heard(b"still here")
    });

    // Who restarts ICE keeps his association, and is told its certificate.
    let _ = agent.peer.restart();
    let restarted = media.restart(to_agent.clone(), Sdp(agent.peer.offer())).await;
    assert_eq!(announced(&restarted.expect("an answer").sdp.0), first);

    // Who comes now is shown the new one.
    let to_partner = admit(&*media, PARTNER, Part::Partner).await;
    assert_eq!(join(&*media, &mut partner, &to_partner).await, second);
    until(&mut [&mut partner], "the partner's keys", |all| all[0].peer.is_up());

    // The old one goes with the last leg that was answered with it.
    let mut look = |kept: usize, what: &str| {
        until(&mut [&mut customer, &mut partner], what, |_| {
            rotation.look(ANNOUNCED_NS_MAX + 1, &shared.certificate, &metrics);
            rotation.older.len() == kept
        });
    };
    media.leave(to_agent).expect("the leg is there");
    look(1, "the customer's association has it");
    media.leave(to_customer).expect("the leg is there");
    look(0, "nobody has it");
    server.stop();
    // What stays in the temporary folder costs disk, not a test.
    let _ = std::fs::remove_dir_all(&folder);
}
