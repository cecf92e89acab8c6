//! A relay that is bound to all addresses of its machine answers from the one that was asked.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use ports::LegId;
use stun::{Class, Message, Writer, attribute, method};
use turn_relay::client::{Client, Event, Line, Way};
use turn_relay::{Config, Mode};

use crate::bench::Bench;
use crate::user::{LIMIT, User, of_grant, rtp};

/// A shard that nobody binds.
const SHARD: &str = "192.0.2.10:40000";

fn shard() -> SocketAddr {
    SHARD.parse().expect("an address")
}

/// Two ports on every address of the machine.
fn bench(any: IpAddr, udp_workers: usize) -> Bench {
    let mut config = Config::new(Mode::Virtual, &[any], &[0, 0], "localhost");
    config.udp_workers = udp_workers;
    Bench::start(config, &[vec![shard()]]).expect("free ports")
}

/// Bound to all, so that an answer from anywhere reaches it.
fn open_socket(any: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind((any, 0)).expect("a port");
    socket.set_read_timeout(Some(LIMIT)).expect("an option");
    socket
}

fn binding(change_port: bool) -> Vec<u8> {
    let mut buffer = [0; 64];
    let mut writer = Writer::new(&mut buffer, Class::Request, method::BINDING, [7; 12]).expect("room");
    if change_port {
        writer
            .attribute(attribute::CHANGE_REQUEST, &[0, 0, 0, 2])
            .expect("room");
    }
    let len = writer.finish();
    buffer[..len].to_vec()
}

/// Who answers what is asked at `to`.
fn answers(socket: &UdpSocket, to: SocketAddr, request: &[u8]) -> SocketAddr {
    socket.send_to(request, to).expect("sent");
    let mut buffer = [0; 256];
    let (len, from) = socket.recv_from(&mut buffer).expect("an answer");
    let answer = Message::parse(&buffer[..len]).expect("STUN");
    assert_eq!(answer.class(), Class::Success);
    from
}

#[test]
fn stun_is_answered_from_the_address_that_was_asked() {
    let v4 = (
        Ipv4Addr::UNSPECIFIED.into(),
        ["127.0.0.1", "127.0.0.2", "127.9.8.7"].as_slice(),
    );
    let v6 = ("::".parse().expect("all"), ["::1"].as_slice());
    for (any, asked) in [v4, v6] {
        let bench = bench(any, 2);
        let [first, second] = [0, 1].map(|n| bench.relay().addresses()[n].port());
        let socket = open_socket(any);
        for ip in asked.iter().map(|text| text.parse::<IpAddr>().expect("an address")) {
            for port in [first, second] {
                let to = SocketAddr::new(ip, port);
                assert_eq!(answers(&socket, to, &binding(false)), to);
            }
            // The other port of the same address.
            let from = answers(&socket, SocketAddr::new(ip, first), &binding(true));
            assert_eq!(from, SocketAddr::new(ip, second));
        }
    }
}

#[test]
fn clients_with_connected_sockets_are_served_at_every_address() {
    let bench = bench(Ipv4Addr::UNSPECIFIED.into(), 1);
    let port = bench.relay().addresses()[0].port();
    for (leg, ip) in [(1, "127.0.0.1"), (2, "127.0.0.2"), (3, "127.0.0.3")] {
        let grant = bench.relay().credentials().mint(LegId(leg)).expect("it mints");
        let to = SocketAddr::new(ip.parse().expect("an address"), port);
        // The kernel drops what does not come from `to`.
        let mut user = User::udp(to, of_grant(&grant));
        user.ready(shard());
        user.echo(shard(), &rtp(leg as u32));
    }
}

/// A client that has one socket for both addresses has two 5-tuples, and an allocation on each.
#[test]
fn one_client_at_two_addresses_is_two_flows() {
    let bench = bench(Ipv4Addr::UNSPECIFIED.into(), 1);
    let port = bench.relay().addresses()[0].port();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let mut relayed = Vec::new();
    // One after the other; the allocation of the first lives on.
    for (n, ip) in ["127.0.0.1", "127.0.0.2"].into_iter().enumerate() {
        socket.connect((ip, port)).expect("an address");
        let socket = socket.try_clone().expect("a descriptor");
        let grant = bench.relay().credentials().mint(LegId(5)).expect("it mints");
        let line = Line::over(Way::Datagrams(socket), LIMIT, [n as u8; 12]);
        let client = Client::new(line.carrier(), of_grant(&grant));
        let mut user = User { client, line };
        let Event::Allocated { relayed: own, .. } = user.allocate() else {
            panic!("437 would say that it is the other's flow");
        };
        relayed.extend(own);
        // Data indications first: no channel is bound yet.
        let permitted = user.ask(|client, now, id| client.permit(now, id, &[shard()]));
        assert_eq!(permitted, Event::Permitted);
        user.echo(shard(), &rtp(1));
        user.bind(shard());
        user.echo(shard(), &rtp(2));
    }
    assert_eq!(relayed.len(), 2);
    assert_ne!(relayed[0], relayed[1]);
}
