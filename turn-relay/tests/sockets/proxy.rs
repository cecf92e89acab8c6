//! Connections that a load balancer passes on with a PROXY header: whose they are, and who may say so.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use ipnet::IpNet;
use ports::{LegId, Via};
use rustls::{ClientConnection, StreamOwned};
use stun::{Class, Writer, method};
use turn_relay::Config;
use turn_relay::client::{Asked, CHANNEL_FIRST, Credentials, Cutter, Event, Stream};
use turn_relay::core::Limits;
use turn_relay::core::proxy::Fault;

use crate::bench::Bench;
use crate::certificate::Certificate;
use crate::control::{list, now, shard, start, until};
use crate::user::{LIMIT, Trust, User, of_grant, of_secret, rtp, session, unix_s};

/// Every connection from loopback comes from a proxy.
pub(crate) const LOOPBACK: &str = "127.0.0.0/8";

/// A relay whose proxies these are.
pub(crate) fn behind(certificate: &Certificate, proxies: &[&str], change: impl FnOnce(&mut Config)) -> Bench {
    start(certificate, |config| {
        config.proxies = proxies
            .iter()
            .map(|text| text.parse().expect("a network"))
            .collect::<Vec<IpNet>>();
        change(config);
    })
}

fn credentials(bench: &Bench, leg: u128) -> Credentials {
    of_grant(&bench.relay().credentials().mint(LegId(leg)).expect("a grant"))
}

/// What a proxy writes of this client: version 2 for those with an odd port, else version 1.
pub(crate) fn header(client: &str) -> Vec<u8> {
    let client: SocketAddr = client.parse().expect("an address");
    let (version_2, port) = (client.port() % 2 == 1, client.port());
    match client.ip() {
        IpAddr::V4(ip) if version_2 => {
            let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x12".to_vec();
            bytes.extend(ip.octets());
            bytes.extend([192, 0, 2, 1]);
            bytes.extend(port.to_be_bytes());
            bytes.extend([1, 0xBB]);
            // A TLV: the name that was asked for.
            bytes.extend([2, 0, 3, b'a', b'.', b'b']);
            bytes
        }
        IpAddr::V4(ip) => format!("PROXY TCP4 {ip} 192.0.2.1 {port} 443\r\n").into_bytes(),
        IpAddr::V6(ip) => format!("PROXY TCP6 {ip} 2001:db8::1 {port} 443\r\n").into_bytes(),
    }
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).expect("it listens");
    stream.set_nodelay(true).expect("an option");
    stream.set_read_timeout(Some(LIMIT)).expect("an option");
    stream
}

/// A connection whose header goes out in one piece with the first bytes behind it.
pub(crate) struct Passed {
    header: Vec<u8>,
    stream: TcpStream,
}

impl Passed {
    pub(crate) fn new(to: SocketAddr, header: Vec<u8>) -> Passed {
        Passed {
            header,
            stream: connect(to),
        }
    }
}

impl Read for Passed {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.read(bytes)
    }
}

impl Write for Passed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut both = std::mem::take(&mut self.header);
        both.extend(bytes);
        self.stream.write_all(&both)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Stream for Passed {
    fn wait_at_most(&mut self, time: Duration) -> io::Result<()> {
        self.stream.wait_at_most(time)
    }
}

/// TLS in it.
struct Sealed(StreamOwned<ClientConnection, Passed>);

impl Read for Sealed {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Sealed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Stream for Sealed {
    fn wait_at_most(&mut self, time: Duration) -> io::Result<()> {
        self.0.sock.wait_at_most(time)
    }
}

fn tcp(to: SocketAddr, client: &str, credentials: Credentials) -> User {
    User::over_stream(Box::new(Passed::new(to, header(client))), credentials)
}

fn tls(to: SocketAddr, client: &str, credentials: Credentials, trust: &Trust) -> User {
    let sealed = StreamOwned::new(session(trust, &[]), Passed::new(to, header(client)));
    User::over_stream(Box::new(Sealed(sealed)), credentials)
}

/// Allocates; as whom the relay sees it.
fn seen_as(user: &mut User) -> SocketAddr {
    match user.allocate() {
        Event::Allocated { mapped, .. } => mapped,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn binding(transaction: [u8; 12]) -> Vec<u8> {
    let mut buffer = [0; 64];
    let len = Writer::new(&mut buffer, Class::Request, method::BINDING, transaction)
        .expect("room")
        .finish();
    buffer[..len].to_vec()
}

/// Whether an answer comes; else the connection was closed.
pub(crate) fn is_answered(stream: &mut impl Read) -> bool {
    let mut cutter = Cutter::default();
    loop {
        if cutter.next().expect("STUN").is_some() {
            return true;
        }
        match stream.read(cutter.room()) {
            Ok(0) => return false,
            Ok(read) => cutter.filled(read),
            Err(fault) => {
                assert!(!turn_relay::client::is_timeout(&fault), "neither answered nor closed");
                return false;
            }
        }
    }
}

/// A figure of the relay, which has ended.
pub(crate) fn figure(bench: &mut Bench, name: &str) -> u64 {
    bench.stop();
    let text = prometheus::TextEncoder::new()
        .encode_to_string(&bench.registry.gather())
        .expect("text");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.expect("the figure is there").parse().expect("a number")
}

fn headers(bench: &mut Bench, result: &str) -> u64 {
    figure(
        bench,
        &format!("helpline_turn_proxy_headers_total{{result=\"{result}\"}}"),
    )
}

#[test]
fn who_comes_by_a_proxy_is_whom_its_header_names_over_tcp_and_tls() {
    let certificate = Certificate::new();
    let mut bench = behind(&certificate, &[LOOPBACK], |_| {});
    let to = bench.relay().addresses().to_vec();
    let trust = certificate.trust();
    let mut users = Vec::new();
    for (n, client) in ["203.0.113.7:50000", "198.51.100.9:50001", "[2001:db8:7::1]:50002"]
        .into_iter()
        .enumerate()
    {
        let credentials = || credentials(&bench, n as u128);
        for mut user in [
            tcp(to[0], client, credentials()),
            tls(to[1], client, credentials(), &trust),
        ] {
            assert_eq!(seen_as(&mut user), client.parse().expect("an address"));
            user.bind(shard());
            user.echo(shard(), &rtp(n as u32));
            users.push(user);
        }
    }
    let seen = list(&bench);
    assert_eq!(seen.iter().filter(|one| one.via == Via::Tls).count(), 3);
    let mut flows: Vec<_> = seen.into_iter().map(|one| one.flow).collect();
    flows.sort();
    flows.dedup();
    assert_eq!(flows.len(), 3, "three clients, each with two allocations");
    drop(users);
    assert_eq!(headers(&mut bench, "taken"), 6);
}

#[test]
fn networks_behind_a_proxy_have_their_limits_apart() {
    let certificate = Certificate::new();
    let bench = behind(&certificate, &[LOOPBACK], |config| {
        config.limits = Limits {
            allocations_per_prefix: 2,
            ..Limits::default()
        };
        config.stream_limits.unauthenticated_per_prefix = 2;
    });
    let to = bench.relay().addresses()[0];
    // Connections without credential.
    let mut held = Vec::new();
    for client in [
        "203.0.113.1:1000",
        "203.0.113.2:1001",
        "203.0.113.3:1002",
        "198.51.100.1:1003",
    ] {
        let mut stream = Passed::new(to, header(client));
        stream.write_all(&binding([1; 12])).expect("sent");
        let is_third_of_its_network = client.starts_with("203.0.113.3");
        assert_eq!(is_answered(&mut stream), !is_third_of_its_network, "{client}");
        held.push(stream);
    }
    drop(held);
    // Allocations. The places of those who have just gone are free in a moment.
    let mut users = Vec::new();
    for (client, code) in [
        ("203.0.113.1:2000", None),
        ("203.0.113.2:2001", None),
        ("203.0.113.3:2002", Some(486)),
        ("198.51.100.1:2003", None),
    ] {
        let event = (0..1_000).find_map(|_| {
            let mut user = tcp(to, client, credentials(&bench, 1));
            let event = user
                .line
                .ask(&mut user.client, |client, now, id| client.allocate(now, id, None, None));
            let event = event.ok().flatten();
            users.push(user);
            event
        });
        let refused = match event.expect("it gets in") {
            Event::Allocated { .. } => None,
            Event::Refused { code, .. } => Some(code),
            other => panic!("{other:?}"),
        };
        assert_eq!(refused, code, "{client}");
    }
}

#[test]
fn one_address_claimed_twice_and_held_by_somebody_else_is_three_connections() {
    let certificate = Certificate::new();
    let bench = behind(&certificate, &["127.0.0.1/32"], |config| {
        let more = Config::new(
            turn_relay::Mode::Virtual,
            &["::1".parse().expect("::1")],
            &[0],
            "localhost",
        );
        config.listen.extend(more.listen);
    });
    let to = bench.relay().addresses().to_vec();
    // Somebody who really comes from there.
    let stream = connect(to[2]);
    let address = stream.local_addr().expect("connected").to_string();
    let mut real = User::over_stream(Box::new(stream), credentials(&bench, 1));
    let mut one = tcp(to[0], &address, credentials(&bench, 2));
    let mut other = tcp(to[0], &address, credentials(&bench, 3));
    for user in [&mut real, &mut one, &mut other] {
        assert_eq!(seen_as(user).to_string(), address);
        user.bind(shard());
    }
    for (n, user) in [&mut real, &mut one, &mut other].into_iter().enumerate() {
        user.echo(shard(), &rtp(n as u32));
    }
    assert_eq!(list(&bench).len(), 3);
    drop(one);
    until("its allocation is gone", || list(&bench).len() == 2);
    real.echo(shard(), &rtp(7));
    other.echo(shard(), &rtp(8));
}

#[test]
fn the_proxys_own_connections_count_as_what_they_are() {
    let certificate = Certificate::new();
    let bench = behind(&certificate, &[LOOPBACK], |_| {});
    let to = bench.relay().addresses()[0];
    for own in [
        &b"PROXY UNKNOWN\r\n"[..],
        b"\r\n\r\n\0\r\nQUIT\n\x20\x11\0\0",
        b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0",
    ] {
        let stream = Passed::new(to, own.to_vec());
        let address = stream.stream.local_addr().expect("connected");
        let mut user = User::over_stream(Box::new(stream), credentials(&bench, 1));
        assert_eq!(seen_as(&mut user), address);
    }
}

#[test]
fn a_header_may_come_in_pieces() {
    let certificate = Certificate::new();
    let bench = behind(&certificate, &[LOOPBACK], |_| {});
    let to = bench.relay().addresses()[0];
    for client in ["203.0.113.7:50000", "203.0.113.7:50001"] {
        let mut stream = connect(to);
        for byte in header(client).into_iter().chain(binding([3; 12])) {
            stream.write_all(&[byte]).expect("sent");
        }
        assert!(is_answered(&mut stream), "{client}");
    }
}

#[test]
fn from_elsewhere_a_header_is_no_more_than_bytes_that_nobody_speaks() {
    let certificate = Certificate::new();
    let mut bench = behind(&certificate, &["192.0.2.0/24", "2001:db8::/32"], |_| {});
    let to = bench.relay().addresses()[0];
    for client in ["203.0.113.7:50000", "203.0.113.7:50001"] {
        let mut stream = Passed::new(to, header(client));
        stream.write_all(&binding([1; 12])).expect("sent");
        assert!(!is_answered(&mut stream), "{client}");
    }
    let mut plain = connect(to);
    plain.write_all(&binding([1; 12])).expect("sent");
    assert!(is_answered(&mut plain));
    assert_eq!(figure(&mut bench, "helpline_turn_dropped_total{stage=\"stream\"}"), 2);
    for result in Fault::ALL.map(Fault::word).into_iter().chain(["taken"]) {
        assert_eq!(headers(&mut bench, result), 0, "{result}");
    }
}

#[test]
fn a_proxy_that_names_nobody_is_closed_and_counted_by_what_was_wrong() {
    let certificate = Certificate::new();
    let mut bench = behind(&certificate, &[LOOPBACK], |config| {
        config.stream_limits.first_message_ms = 300
    });
    let to = bench.relay().addresses().to_vec();
    // A look whether anybody listens is no fault.
    drop(connect(to[0]));
    let first_of_tls = [0x16, 3, 1, 2, 0];
    let too_long = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11"[..], &600_u16.to_be_bytes()].concat();
    for bytes in [
        &binding([1; 12])[..],
        &first_of_tls,
        b"GET / HTTP/1.1\r\n\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 50000\r\n",
        &too_long,
        b"PROXY TCP4 0.0.0.0 192.0.2.1 50000 443\r\n",
        // Nothing more comes of these.
        b"PROXY TCP4 203.0.113.7",
        b"\r\n\r\n\0\r\nQUIT\n\x21",
    ] {
        let mut stream = connect(to[0]);
        stream.write_all(bytes).expect("sent");
        assert!(!is_answered(&mut stream), "{bytes:?}");
    }
    for (result, count) in [
        ("missing", 3),
        ("malformed", 1),
        ("too-long", 1),
        ("address", 1),
        ("late", 2),
        ("taken", 0),
    ] {
        assert_eq!(headers(&mut bench, result), count, "{result}");
    }
    assert_eq!(figure(&mut bench, "helpline_turn_dropped_total{stage=\"stream\"}"), 0);
}

#[test]
fn a_claimed_address_of_our_own_is_no_key_to_anything() {
    let certificate = Certificate::new();
    let bench = behind(&certificate, &[LOOPBACK], |_| {});
    let to = bench.relay().addresses()[0];
    for client in [
        "127.0.0.1:50000",
        "127.0.0.1:50001",
        "[::1]:50000",
        "192.0.2.10:40000",
        &to.to_string(),
    ] {
        let mut forger = tcp(to, client, of_secret(b"not the relay's secret", 1, unix_s() + 60));
        let refused = |asked, code| Event::Refused { asked, code };
        assert_eq!(forger.allocate(), refused(Asked::Allocation, 401), "{client}");
        let mut user = tcp(to, client, credentials(&bench, 1));
        assert_eq!(seen_as(&mut user).to_string(), client);
        for peer in ["127.0.0.1:80", "169.254.169.254:80", client] {
            let peer = peer.parse().expect("an address");
            if peer == shard() {
                continue;
            }
            let bound = user.ask(|client, now, id| client.bind(now, id, CHANNEL_FIRST, peer));
            assert!(
                matches!(bound, Event::Refused { code: 403 | 443, .. }),
                "{client} {peer}: {bound:?}"
            );
        }
    }
}

#[test]
fn behind_a_proxy_a_network_is_counted_before_datagrams_have_had_their_start() {
    const HEAD_START: Duration = Duration::from_millis(300);
    let certificate = Certificate::new();
    let bench = behind(&certificate, &[LOOPBACK], |config| {
        config.stream_limits.head_start_ms = HEAD_START.as_millis() as u64;
        config.stream_limits.unauthenticated_per_prefix = 1;
    });
    let to = bench.relay().addresses()[0];
    let begin = now();
    let mut first = Passed::new(to, header("203.0.113.7:50000"));
    first.write_all(&binding([1; 12])).expect("sent");
    let mut second = Passed::new(to, header("203.0.113.8:50000"));
    second.write_all(&binding([2; 12])).expect("sent");
    let mut other = Passed::new(to, header("198.51.100.7:50000"));
    other.write_all(&binding([3; 12])).expect("sent");
    assert!(!is_answered(&mut second));
    assert!(is_answered(&mut first) && is_answered(&mut other));
    // The relay counts whole milliseconds.
    assert!(now().duration_since(begin) + Duration::from_millis(1) >= HEAD_START);
}
