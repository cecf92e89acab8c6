//! A shard that is bound to all addresses of its machine serves each leg from the address that the leg came to.

#[allow(dead_code, reason = "each test file uses its part of it")]
mod common;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use call_model::{CallId, LegId};
use common::{Client, Server, folder, until};
use ports::{Part, Secret, Tap};

const ROOM: CallId = CallId(0xCA11);
const LEGS: [(LegId, Part); 2] = [(LegId(1), Part::Customer), (LegId(2), Part::Agent)];
/// Packets that each says.
const WORDS: u16 = 100;

fn loopback(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

/// A frame of 20 ms (RFC 6716: CELT, full band) that says whose it is.
fn frame(speaker: usize, n: u16) -> Vec<u8> {
    let mut payload = vec![0xF8, n as u8, speaker as u8];
    payload.resize(80, 0x55);
    payload
}

/// Each leg's client offers, and goes to `at` of the answer's candidates, which must be there.
async fn join(server: &Server, clients: &mut [Client; 2], at: [(IpAddr, bool); 2]) {
    let port = server.server.as_ref().expect("it runs").addresses()[0].port();
    let mut secrets: Vec<Secret> = Vec::new();
    for (number, (leg, part)) in LEGS.iter().enumerate() {
        secrets.push(server.admit(ROOM, *leg, *part, number as u8 + 1).await);
    }
    server.talk(ROOM, &LEGS.map(|(leg, _)| leg), 1, Tap::Off);
    for ((client, secret), (ip, strictly)) in clients.iter_mut().zip(secrets).zip(at) {
        let answer = server.media.offer(secret, ports::Sdp(client.peer.offer())).await;
        let answer = answer.expect("an answer").sdp.0;
        client.peer.answer(common::now(), &answer).expect("a good answer");
        let candidate = format!(" {ip} {port} typ host");
        assert!(answer.contains(&candidate), "{candidate} in {answer}");
        go_to(client, SocketAddr::new(ip, port), strictly);
    }
}

/// The client goes to this candidate of the server instead of the first. `strictly`: the kernel drops what comes from
/// elsewhere, as a NAT does that looks at who sends.
fn go_to(client: &mut Client, to: SocketAddr, strictly: bool) {
    client.to = Some(to);
    client.strict = strictly;
    if strictly {
        client.socket.connect(to).expect("an address");
    }
}

fn turn_until(clients: &mut [Client], what: &str, done: impl Fn(&[&mut Client]) -> bool) {
    until(&mut clients.iter_mut().collect::<Vec<_>>(), what, done);
}

/// Both speak; each hears every word of the other. A word is sent when the one before was heard, so nothing is lost for
/// want of room.
fn talk(clients: &mut [Client]) {
    turn_until(clients, "keys", |all| all.iter().all(|client| client.peer.is_up()));
    clients.iter_mut().for_each(|client| client.heard.clear());
    let words = |client: &Client| {
        client
            .heard
            .iter()
            .filter(|heard| heard.2.ends_with(&[0x55; 8]))
            .count()
    };
    for n in 0..WORDS {
        for (speaker, client) in clients.iter_mut().enumerate() {
            client.say(&frame(speaker, n));
        }
        turn_until(clients, "a word", |all| {
            all.iter().all(|client| words(client) == usize::from(n + 1))
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_legs_by_two_addresses_of_one_port_hear_nothing_from_elsewhere() {
    let any = vec![Ipv4Addr::UNSPECIFIED.into()];
    let server = Server::start_bound(folder(), 1, any, vec![loopback(1), loopback(2), loopback(3)]);
    let mut clients = [Client::new(111, 1, 10), Client::new(96, 3, 20)];
    // The kernel would choose 127.0.0.1 for both. One of them looks at who sends itself, one leaves it to the kernel.
    join(&server, &mut clients, [(loopback(2), true), (loopback(3), false)]).await;
    talk(&mut clients);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leg_that_comes_to_another_address_of_ours_is_sent_to_from_there() {
    let any = vec![Ipv4Addr::UNSPECIFIED.into()];
    let server = Server::start_bound(folder(), 1, any, vec![loopback(2), loopback(3)]);
    let mut clients = [Client::new(111, 1, 10), Client::new(96, 3, 20)];
    join(&server, &mut clients, [(loopback(2), true), (loopback(2), true)]).await;
    talk(&mut clients);
    let before = clients[0].socket.local_addr().expect("it is bound");
    let port = server.server.as_ref().expect("it runs").addresses()[0].port();
    go_to(&mut clients[0], SocketAddr::new(loopback(3), port), true);
    assert_eq!(
        clients[0].socket.local_addr().expect("it is bound"),
        before,
        "the same socket, another end of the way"
    );
    clients[0].peer.moved(common::now());
    // Each of its checks nominates the pair.
    turn_until(&mut clients, "an answer from there", |all| all[0].peer.is_nominated());
    talk(&mut clients);
}

/// One port of both families; `::` takes no IPv4.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_addresses_of_both_families_are_served_at_once() {
    let any = vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let server = Server::start_bound(folder(), 1, any, vec![loopback(2), loopback(3), v6]);
    let mut clients = [Client::new(111, 1, 10), Client::at(v6, 96, 3, 20)];
    join(&server, &mut clients, [(loopback(3), true), (v6, true)]).await;
    talk(&mut clients);
}
