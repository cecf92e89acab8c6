//! The STUN ports from outside: a plain UDP client asks and listens.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use prometheus::Registry;
use stun::{Class, Message, Writer, method};
use turn_relay::{Config, Listen, Metrics, Mode, Neighbours, Relay, RelayHandle, StartFailed};

/// STUN alone: a relay with TURN off.
fn start(addresses: &[SocketAddr], metrics: Metrics) -> Result<RelayHandle, StartFailed> {
    let mut config = Config::new(Mode::Off, &[], &[], "");
    config.listen = addresses.iter().map(|&bind| Listen { bind, public: None }).collect();
    Relay::start(config, Neighbours::none(), metrics)
}

fn server() -> (RelayHandle, Registry) {
    let registry = Registry::new();
    let metrics = Metrics::new(&registry).expect("a fresh registry");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    (start(&[any, any], metrics).expect("free ports"), registry)
}

fn request(transaction: [u8; 12]) -> Vec<u8> {
    let mut buffer = [0; 64];
    let len = Writer::new(&mut buffer, Class::Request, method::BINDING, transaction)
        .expect("room")
        .finish();
    buffer[..len].to_vec()
}

fn client() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("a timeout");
    socket
}

#[test]
fn both_ports_tell_the_client_its_address() {
    let (server, registry) = server();
    let client = client();
    for (n, address) in server.addresses().iter().enumerate() {
        let transaction = [n as u8; 12];
        client.send_to(&request(transaction), address).expect("sent");
        let mut buffer = [0; 256];
        let (len, from) = client.recv_from(&mut buffer).expect("an answer");
        let reply = Message::parse(&buffer[..len]).expect("STUN");
        assert_eq!(
            (from, reply.class(), reply.transaction()),
            (*address, Class::Success, transaction)
        );
        assert_eq!(reply.xor_mapped_address(), client.local_addr().ok());
    }
    // The last figures are brought when it stops; before, once a second.
    drop(server);
    let text = prometheus::TextEncoder::new()
        .encode_to_string(&registry.gather())
        .expect("text");
    assert!(
        text.contains("helpline_stun_requests_total{reason=\"answered\"} 2"),
        "{text}"
    );
}

#[test]
fn what_is_no_binding_request_meets_silence() {
    let (server, _registry) = server();
    let client = client();
    let address = server.addresses()[0];
    for rubbish in [
        &b""[..],
        b"x",
        &[0; 20],
        &[0x80; 172],
        &[22, 254, 255, 0],
        &request([7; 12])[..19],
    ] {
        client.send_to(rubbish, address).expect("sent");
    }
    // Answers come in order: the first one that arrives belongs to the one good request.
    client.send_to(&request([9; 12]), address).expect("sent");
    let mut buffer = [0; 256];
    let (len, _) = client.recv_from(&mut buffer).expect("an answer");
    assert_eq!(Message::parse(&buffer[..len]).expect("STUN").transaction(), [9; 12]);
}

#[test]
fn a_taken_port_is_named() {
    let (server, _registry) = server();
    let taken = server.addresses()[0];
    let metrics = Metrics::new(&Registry::new()).expect("a fresh registry");
    let Err(refused) = start(&[taken], metrics) else {
        panic!("the port is taken")
    };
    assert!(refused.to_string().contains(&taken.to_string()), "{refused}");
}
