//! The command against the real relay: alone, and inside of the whole server, which it asks for credentials by itself.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use ports::{Accepted, FromRelay, LegId, LegState, RelayLegs, RelayShard, RelaySink, TurnGrant};
use prometheus::Registry;
use stun::{Class, Message, Writer, attribute, method};
use turn_relay::{Config, Metrics, Mode, Neighbours, Relay, RelayHandle, TlsFiles};

use super::certificates::{Certificates, Kind};
use super::{CHECKS, Found, look_at};
use crate::binary::{Binary, Folder, ONE, command};

/// Longest wait for an answer.
const LIMIT: Duration = Duration::from_secs(10);
/// The leg that media knows.
const KNOWN: LegId = LegId(7);

struct OneLeg;

impl RelayLegs for OneLeg {
    fn state(&self, leg: LegId) -> LegState {
        if leg == KNOWN {
            LegState::Granted
        } else {
            LegState::Unknown
        }
    }
}

/// A shard that says nothing.
struct Silent;

impl RelaySink for Silent {
    fn deliver(&mut self, _: FromRelay<'_>) -> Accepted {
        Accepted::Taken
    }

    fn flush(&mut self) {}
}

fn relay(files: TlsFiles) -> RelayHandle {
    let loopback = std::net::IpAddr::from([127, 0, 0, 1]);
    let mut config = Config::new(Mode::Virtual, &[loopback], &[0, 0], "localhost");
    config.tls = Some(files);
    let sink = || -> Box<dyn RelaySink> { Box::new(Silent) };
    let shard = RelayShard {
        // Not an address that a check tries as a foreign one.
        candidates: vec!["203.0.113.5:40000".parse().expect("an address")],
        sinks: (0..config.workers()).map(|_| sink()).collect(),
    };
    let neighbours = Neighbours {
        shards: vec![shard],
        legs: Arc::new(OneLeg),
    };
    let metrics = Metrics::new(&Registry::new()).expect("a fresh registry");
    Relay::start(config, neighbours, metrics).expect("free ports")
}

/// Where the relay listens, without TLS and with it.
fn ports(relay: &RelayHandle) -> [u16; 2] {
    [0, 1].map(|place| relay.addresses()[place].port())
}

/// Looks with credentials that were made before the relay did anything else.
fn look(relay: &RelayHandle, grant: &TurnGrant, certificates: &Certificates) -> Found {
    let own = [
        "--user",
        &grant.username,
        "--credential",
        &grant.credential,
        "--timeout-s",
        "3",
    ];
    look_at(ports(relay), certificates, &own)
}

#[test]
fn our_own_relay_passes_every_check_and_leaves_no_allocation() {
    let folder = Folder::new("turn-real");
    let certificates = Certificates::make(&folder);
    let relay = relay(certificates.files(Kind::Good, &folder));
    let grant = relay.credentials().mint(KNOWN).expect("it is not draining");
    let found = look(&relay, &grant, &certificates);
    found.assert_failed(&[]);
    let good = CHECKS.iter().filter(|name| found.results[**name] == "ok").count();
    assert_eq!(good, CHECKS.len(), "{}", found.text);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let left = runtime.block_on(relay.control().list());
    assert_eq!(left.len(), 0, "{left:?}");
}

#[test]
fn a_leg_that_the_node_does_not_know_and_a_relay_that_drains_are_named() {
    let folder = Folder::new("turn-real-refusals");
    let certificates = Certificates::make(&folder);
    let relay = relay(certificates.files(Kind::Good, &folder));
    let ways = ["turn-udp", "turn-tcp", "turn-tls"];
    let grant = relay.credentials().mint(LegId(8)).expect("it is not draining");
    let found = look(&relay, &grant, &certificates);
    found.assert_failed(&ways);
    assert!(found.text.contains("does not know the leg"), "{}", found.text);

    let grant = relay.credentials().mint(KNOWN).expect("it is not draining yet");
    relay.control().drain(true);
    let found = look(&relay, &grant, &certificates);
    found.assert_failed(&ways);
    assert!(found.text.contains("508"), "{}", found.text);
}

/// Looks at the running server with what lies in its folder, and nothing else.
fn look_beside(binary: &Binary, folder: &Folder, certificates: &Certificates) -> Found {
    let ports = [0, 1].map(|place| binary.at.stun[place].port());
    let data = folder.file("");
    look_at(ports, certificates, &["--data-dir", data.to_str().expect("UTF-8")])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_the_running_server_no_credential_is_given_and_what_browsers_are_told_is_compared() {
    let _turn = ONE.lock().await;
    let folder = Folder::new("turn-whole");
    let certificates = Certificates::make(&folder);
    let files = certificates.files(Kind::Good, &folder);
    let path = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let (certificate, key) = (path(&files.certificate), path(&files.key));
    let settings = [
        ("HELPLINE_TURN_PUBLIC_HOST", "localhost"),
        ("HELPLINE_TURN_TLS_CERTIFICATE", certificate.as_str()),
        ("HELPLINE_TURN_TLS_KEY", key.as_str()),
    ];
    let binary = Binary::start(&folder, &settings, &[]).await;
    let found = look_beside(&binary, &folder, &certificates);
    found.assert_failed(&[]);
    let good = CHECKS.iter().filter(|name| found.results[**name] == "ok").count();
    assert_eq!(good, CHECKS.len(), "{}", found.text);
    assert_eq!(found.results["advertised"], "ok", "{}", found.text);
    binary.stop().await;

    let binary = Binary::start(&folder, &settings[..1], &[]).await;
    let found = look_beside(&binary, &folder, &certificates);
    found.assert_failed(&["advertised", "turn-tls"]);
    assert!(
        found.seen["turn-tls"].contains("instead of a handshake"),
        "{}",
        found.text
    );
    binary.stop().await;
}

/// A port that is free at both addresses of the test, and the next one too.
fn free_ports() -> [u16; 2] {
    loop {
        let found = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let port = found.expect("a port").port();
        let is_free =
            |ip: &str, port: u16| UdpSocket::bind((ip, port)).is_ok() && TcpListener::bind((ip, port)).is_ok();
        let both = |port: u16| is_free("127.0.0.1", port) && is_free("127.0.0.2", port);
        if port < u16::MAX && both(port) && both(port + 1) {
            return [port, port + 1];
        }
    }
}

/// Asks `to` with these flags of CHANGE-REQUEST; who answered, and what the answer says of the server's addresses.
fn ask(socket: &UdpSocket, to: SocketAddr, change: u8) -> (SocketAddr, [Option<SocketAddr>; 2]) {
    let mut buffer = [0; 128];
    let mut writer = Writer::new(&mut buffer, Class::Request, method::BINDING, [change; 12]).expect("room");
    if change != 0 {
        let flags = [0, 0, 0, change];
        writer.attribute(attribute::CHANGE_REQUEST, &flags).expect("room");
    }
    let len = writer.finish();
    socket.send_to(&buffer[..len], to).expect("sent");
    let (len, from) = socket.recv_from(&mut buffer).expect("an answer");
    let answer = Message::parse(&buffer[..len]).expect("STUN");
    assert_eq!((answer.class(), answer.transaction()), (Class::Success, [change; 12]));
    assert_eq!(answer.xor_mapped_address(), socket.local_addr().ok());
    let address = |kind| answer.address(kind);
    (
        from,
        [attribute::RESPONSE_ORIGIN, attribute::OTHER_ADDRESS].map(address),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_second_address_clients_find_out_what_kind_of_nat_they_are_behind() {
    let _turn = ONE.lock().await;
    let folder = Folder::new("turn-two");
    let certificates = Certificates::make(&folder);
    let ports = free_ports();
    let both = format!("{},{}", ports[0], ports[1]);
    let settings = [
        ("HELPLINE_TURN_PUBLIC_HOST", "localhost"),
        ("HELPLINE_MEDIA_ADVERTISE", "127.0.0.1"),
        ("HELPLINE_STUN_BIND", "127.0.0.1"),
        ("HELPLINE_TURN_ALTERNATE_IP", "127.0.0.2"),
        ("HELPLINE_STUN_PORTS", both.as_str()),
    ];
    let binary = Binary::start(&folder, &settings, &[]).await;
    let at = |ip: u8, port: usize| SocketAddr::from(([127, 0, 0, ip], ports[port]));
    let all = [at(1, 0), at(1, 1), at(2, 0), at(2, 1)];
    assert_eq!(binary.at.stun, all, "the first two stand in the URLs");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(LIMIT)).expect("an option");
    for (n, asked) in all.into_iter().enumerate() {
        // Flags 4: another IP, 2: another port. The place of an address says both.
        for (change, other) in [(0, n), (2, n ^ 1), (4, n ^ 2), (6, n ^ 3)] {
            let (from, says) = ask(&socket, asked, change);
            assert_eq!(from, all[other], "{change} at {asked}");
            assert_eq!(says, [Some(from), Some(all[n ^ 3])], "{change} at {asked}");
        }
    }
    let found = look_beside(&binary, &folder, &certificates);
    assert_eq!(found.results["stun-udp-other-ip"], "ok", "{}", found.text);
    binary.stop().await;

    let mut wrong = command(&["config", "check"], &folder, &[]);
    wrong.envs(settings).env("HELPLINE_STUN_BIND", "0.0.0.0");
    let output = wrong.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("turn.alternate_ip"), "{text}");
}
