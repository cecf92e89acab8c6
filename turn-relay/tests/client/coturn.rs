//! The client against coturn from the system's packages: somebody else's idea of TURN.
//!
//! A machine without it skips these tests and says so, or fails them under `HELPLINE_TEST_REQUIRE=all`.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use stun::{Class, Writer, method};
use turn_relay::client::{Asked, CHANNEL_FIRST, Came, Carrier, Client, Credentials, Event, Line, Way};

/// Longest wait for an answer.
const LIMIT: Duration = Duration::from_secs(10);
/// Longest start.
const START_LIMIT: Duration = Duration::from_secs(20);
const SECRET: &str = "sesame";

#[expect(clippy::disallowed_methods, reason = "real processes run in real time")]
fn now() -> Instant {
    Instant::now()
}

/// A running coturn; it ends with the test.
struct Coturn {
    child: Child,
    address: SocketAddr,
}

impl Drop for Coturn {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Coturn {
    /// `None` where it is not installed.
    fn start() -> Option<Coturn> {
        // TCP and UDP on one number: what is free for one is nearly always free for the other.
        let port = TcpListener::bind("127.0.0.1:0")
            .expect("a port")
            .local_addr()
            .expect("bound")
            .port();
        let started = Command::new("turnserver")
            .args(["-n", "-L", "127.0.0.1", "-E", "127.0.0.1"])
            .arg(format!("--listening-port={port}"))
            .args(["--use-auth-secret", &format!("--static-auth-secret={SECRET}")])
            .args([
                "--realm=bank.test",
                "--no-tls",
                "--no-dtls",
                "--allow-loopback-peers",
                "--no-cli",
            ])
            .args(["--log-file=stdout", "--simple-log", "--pidfile=/dev/null"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = match started {
            Ok(child) => child,
            Err(fault) => {
                let required = std::env::var("HELPLINE_TEST_REQUIRE").is_ok_and(|value| value == "all");
                assert!(!required, "HELPLINE_TEST_REQUIRE=all: turnserver: {fault}");
                println!("skipped: turnserver is not installed (apt-get install coturn)");
                return None;
            }
        };
        let coturn = Coturn {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        };
        coturn.wait_until_it_listens();
        Some(coturn)
    }

    fn wait_until_it_listens(&self) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.connect(self.address).expect("loopback");
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("a timeout");
        let mut request = [0; 20];
        let _ = Writer::new(&mut request, Class::Request, method::BINDING, [1; 12])
            .expect("room")
            .finish();
        let end = now() + START_LIMIT;
        loop {
            assert!(now() < end, "coturn does not answer within {START_LIMIT:?}");
            // Refused until it listens.
            let _ = socket.send(&request);
            match socket.recv(&mut [0; 256]) {
                Ok(_) => return,
                Err(fault) if fault.kind() == ErrorKind::ConnectionRefused => std::thread::yield_now(),
                Err(_) => {}
            }
        }
    }

    fn visitor(&self, carrier: Carrier, secret: &str) -> Visitor {
        // Years ahead, yet within the signed 32 bits that coturn reads.
        let user = "2000000000:leg".to_owned();
        let client = Client::new(carrier, Credentials::of_shared_secret(secret.as_bytes(), user));
        let first = [7; 12];
        let line = match carrier {
            Carrier::Datagram => Line::udp(self.address, LIMIT, first).expect("a port"),
            Carrier::Stream => {
                let stream = TcpStream::connect(self.address).expect("it listens");
                stream.set_nodelay(true).expect("a socket");
                Line::over(Way::Bytes(stream), LIMIT, first)
            }
        };
        Visitor { client, line }
    }
}

/// A client with its connection.
struct Visitor {
    client: Client,
    line: Line,
}

impl Visitor {
    fn ask(&mut self, ask: impl FnOnce(&mut Client, u64, [u8; 12])) -> Event {
        let event = self.line.ask(&mut self.client, ask).expect("a connection");
        event.expect("an answer in time")
    }

    fn allocate(&mut self) -> Event {
        self.ask(|client, now_ms, id| client.allocate(now_ms, id, None, Some(700)))
    }

    /// Sends a payload, which must come back as it is.
    fn echo(&mut self, peer: SocketAddr, payload: Vec<u8>) {
        self.line.say(&self.client, peer, &payload).expect("sent");
        let came = self.line.wait(&mut self.client).expect("a connection");
        assert_eq!(came, Some(Came::Data(peer, payload)));
    }

    /// As the server ought to see it.
    fn address(self) -> SocketAddr {
        match self.line.into_way() {
            Way::Datagrams(socket) => socket.local_addr(),
            Way::Bytes(stream) => stream.local_addr(),
        }
        .expect("a bound socket")
    }
}

/// Sends back what it is sent.
struct Echo {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    fn start() -> Echo {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a timeout");
        let address = socket.local_addr().expect("bound");
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 2_048];
            while !told.load(Ordering::Relaxed) {
                if let Ok((len, from)) = socket.recv_from(&mut buffer) {
                    socket.send_to(&buffer[..len], from).expect("sent");
                }
            }
        });
        Echo {
            address,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn whole_life(carrier: Carrier) {
    let Some(coturn) = Coturn::start() else { return };
    let echo = Echo::start();
    let mut visitor = coturn.visitor(carrier, SECRET);
    let (relayed, mapped, lifetime_s) = match visitor.allocate() {
        Event::Allocated {
            relayed,
            mapped,
            lifetime_s,
        } => (relayed, mapped, lifetime_s),
        other => panic!("{other:?}"),
    };
    assert_eq!((relayed.len(), lifetime_s), (1, 700));
    let peer = echo.address;
    let permitted = visitor.ask(|client, now_ms, id| client.permit(now_ms, id, &[peer]));
    assert_eq!(permitted, Event::Permitted);
    // Every length modulo four, by indication and then by channel.
    for len in 1..=9 {
        visitor.echo(peer, vec![0x80 + len as u8; len]);
    }
    let channel = CHANNEL_FIRST + 5;
    let bound = visitor.ask(|client, now_ms, id| client.bind(now_ms, id, channel, peer));
    assert_eq!(bound, Event::Bound { channel });
    for len in [1, 2, 3, 4, 5, 172, 1_200] {
        visitor.echo(peer, vec![len as u8 | 0x80; len]);
    }
    let again = visitor.ask(|client, now_ms, id| client.refresh(now_ms, id, 800));
    assert_eq!(again, Event::Refreshed { lifetime_s: 800 });
    let freed = visitor.ask(|client, now_ms, id| client.refresh(now_ms, id, 0));
    assert_eq!(freed, Event::Refreshed { lifetime_s: 0 });
    assert!(visitor.client.relayed().is_empty());
    assert_eq!(mapped.port(), visitor.address().port());
}

#[test]
fn an_allocation_over_udp_lives_its_whole_life_at_coturn() {
    whole_life(Carrier::Datagram);
}

#[test]
fn an_allocation_over_tcp_lives_its_whole_life_at_coturn() {
    whole_life(Carrier::Stream);
}

#[test]
fn coturn_refuses_a_wrong_secret_and_a_channel_out_of_range() {
    let Some(coturn) = Coturn::start() else { return };
    let asked = Asked::Allocation;
    let refused = coturn.visitor(Carrier::Datagram, "open").allocate();
    assert_eq!(refused, Event::Refused { asked, code: 401 });
    let mut visitor = coturn.visitor(Carrier::Datagram, SECRET);
    assert!(matches!(visitor.allocate(), Event::Allocated { .. }));
    let peer = SocketAddr::from(([127, 0, 0, 1], 9));
    let refused = visitor.ask(|client, now_ms, id| client.bind(now_ms, id, 0x3FFF, peer));
    let asked = Asked::Channel;
    assert_eq!(refused, Event::Refused { asked, code: 400 });
}
