//! One port 443 for the pages and for TURN: `deploy/haproxy.cfg` in a real HAProxy, with the relay behind it.
//!
//! A machine without it skips this test and says so, or fails it under `HELPLINE_TEST_REQUIRE=all`.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ports::LegId;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use turn_relay::client::{Client, Event, Line, Way};
use turn_relay::{Config, Mode};

use crate::bench::Bench;
use crate::certificate::Certificate;
use crate::user::{LIMIT, Trust, User, of_grant, rtp, tls_naming};

/// As it stands in the repository.
const CONFIGURATION: &str = include_str!("../../../deploy/haproxy.cfg");
/// The rule for those who have one name for pages and TURN, which is there as a comment.
const ONE_NAME: &str = "use_backend turn if !{ req.ssl_alpn -m found }";
/// The names in it.
const TURN: &str = "turn.bank.example";
const PAGES: &str = "support.bank.example";
/// What the pages say to whoever comes.
const GREETING: &[u8] = b"these are the pages";
/// A shard that nobody binds.
const SHARD: &str = "192.0.2.10:40000";
/// Longest start.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Starts on ports that somebody else may have taken meanwhile.
const STARTS_MAX: usize = 5;

#[expect(clippy::disallowed_methods, reason = "real processes run in real time")]
fn now() -> Instant {
    Instant::now()
}

/// A running HAProxy; it ends with the test.
struct Front {
    child: Child,
    folder: PathBuf,
    address: SocketAddr,
}

impl Drop for Front {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The configuration with other addresses in it, each of which must have been there.
fn configuration(front: SocketAddr, turn: SocketAddr, pages: SocketAddr, one_name: bool) -> String {
    let mut text = CONFIGURATION.to_owned();
    let mut exchange = |old: &str, new: &str| {
        assert_eq!(text.matches(old).count(), 1, "{old}");
        text = text.replace(old, new);
    };
    exchange("bind :::443 v4v6", &format!("bind {front}"));
    exchange("server relay 127.0.0.1:3479", &format!("server relay {turn}"));
    exchange("server proxy 127.0.0.1:8443", &format!("server proxy {pages}"));
    if one_name {
        exchange(&format!("# {ONE_NAME}"), ONE_NAME);
    }
    text
}

impl Front {
    /// `None` where it is not installed.
    fn start(turn: SocketAddr, pages: SocketAddr, one_name: bool) -> Option<Front> {
        let name = format!("helpline-port-443-{}-{one_name}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let file = folder.join("haproxy.cfg");
        for _ in 0..STARTS_MAX {
            std::fs::create_dir_all(&folder).expect("a folder");
            let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
            let address = free.expect("a port");
            std::fs::write(&file, configuration(address, turn, pages, one_name)).expect("written");
            let started = Command::new("haproxy")
                .args(["-db", "-q", "-f"])
                .arg(&file)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let child = match started {
                Ok(child) => child,
                Err(fault) => {
                    let required = std::env::var("HELPLINE_TEST_REQUIRE").is_ok_and(|value| value == "all");
                    assert!(!required, "HELPLINE_TEST_REQUIRE=all: haproxy: {fault}");
                    println!("skipped: haproxy is not installed (apt-get install haproxy)");
                    let _ = std::fs::remove_dir_all(&folder);
                    return None;
                }
            };
            let mut front = Front {
                child,
                folder: folder.clone(),
                address,
            };
            if front.listens() {
                return Some(front);
            }
        }
        panic!("haproxy ends by itself");
    }

    /// Waits until it listens; false if it has ended instead.
    fn listens(&mut self) -> bool {
        let end = now() + START_LIMIT;
        while now() < end {
            if TcpStream::connect(self.address).is_ok() {
                return true;
            }
            if self.child.try_wait().expect("it is ours").is_some() {
                return false;
            }
            std::thread::yield_now();
        }
        panic!("haproxy does not listen within {START_LIMIT:?}");
    }
}

/// A server of pages: greets in TLS. Its thread ends with the process.
fn pages(certificate: &Certificate) -> SocketAddr {
    let files = certificate.files();
    let chain = CertificateDer::from_pem_file(files.certificate).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(files.key).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .expect("they belong together");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let session = ServerConnection::new(Arc::clone(&config)).expect("a session");
            let mut stream = StreamOwned::new(session, stream);
            // Who does not finish the handshake is not greeted.
            let _ = stream.write_all(GREETING).and_then(|()| stream.flush());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    address
}

/// Where a connection has come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    Relay,
    Pages,
}

/// The whole way of a client with this name and these protocols: a call's sound there and back, or the greeting.
fn come(front: &Front, bench: &Bench, trust: &Trust, protocols: &[&str], should: Behind) -> io::Result<()> {
    let (mut stream, own) = tls_naming(front.address, trust, protocols)?;
    match should {
        Behind::Pages => {
            let mut said = vec![0; GREETING.len()];
            stream.read_exact(&mut said)?;
            assert_eq!(said, GREETING);
        }
        Behind::Relay => {
            let grant = bench.relay().credentials().mint(LegId(1)).expect("it mints");
            let way = Way::Bytes(stream);
            let line = Line::over(way, LIMIT, [9; 12]);
            let client = Client::new(line.carrier(), of_grant(&grant));
            let mut user = User { client, line };
            let shard = SHARD.parse().expect("an address");
            match user.allocate() {
                // HAProxy's own connection to the relay has another port.
                Event::Allocated { mapped, .. } => assert_eq!(mapped, own, "the client is who comes to HAProxy"),
                other => panic!("{other:?}"),
            }
            user.bind(shard);
            user.echo(shard, &rtp(1));
        }
    }
    Ok(())
}

#[test]
fn pages_and_turn_share_a_port_and_nobody_in_front_opens_their_tls() {
    let certificate = Certificate::of(&[TURN, PAGES]);
    let shard = SHARD.parse().expect("an address");
    let mut config = Config::new(Mode::Virtual, &[[127, 0, 0, 1].into()], &[0, 0], TURN);
    config.proxies = vec!["127.0.0.1/32".parse().expect("a network")];
    config.tls = Some(certificate.files());
    config.more_urls = vec![format!("turns:{TURN}:443?transport=tcp")];
    let bench = Bench::start(config, &[vec![shard]]).expect("free ports");
    // What browsers are told leads there.
    let grant = bench.relay().credentials().mint(LegId(1)).expect("it mints");
    assert_eq!(
        grant.urls.last().map(String::as_str),
        Some("turns:turn.bank.example:443?transport=tcp")
    );
    let (turn, pages) = (bench.relay().addresses()[1], pages(&certificate));

    let Some(front) = Front::start(turn, pages, false) else {
        return;
    };
    for (name, protocols, should) in [
        // A browser's TURN, and coturn's tools, by TURN's name.
        (TURN, &[][..], Behind::Relay),
        (TURN, &["http/1.1", "stun.turn"], Behind::Relay),
        // Whoever says it, under any name.
        (PAGES, &["stun.turn"], Behind::Relay),
        (PAGES, &["http/1.1", "stun.turn"], Behind::Relay),
        // A page, a WebSocket, and an old client of the interface.
        (PAGES, &["h2", "http/1.1"], Behind::Pages),
        (PAGES, &["http/1.1"], Behind::Pages),
        (PAGES, &[], Behind::Pages),
    ] {
        let came = come(&front, &bench, &certificate.trust_as(name), protocols, should);
        assert!(came.is_ok(), "{name} {protocols:?}: {came:?}");
    }
    // What is no TLS leads nowhere.
    let mut plain = TcpStream::connect(front.address).expect("it listens");
    plain.set_read_timeout(Some(LIMIT)).expect("an option");
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    let closed = plain.read_to_end(&mut answer);
    let reset = |fault: &io::Error| fault.kind() == io::ErrorKind::ConnectionReset;
    assert!(
        closed.as_ref().map_or_else(reset, |read| *read == 0),
        "{closed:?} {answer:?}"
    );
    drop(front);

    let one_name = Front::start(turn, pages, true).expect("it was there before");
    for (protocols, should) in [
        (&[][..], Behind::Relay),
        (&["h2", "http/1.1"], Behind::Pages),
        (&["http/1.1"], Behind::Pages),
    ] {
        let came = come(&one_name, &bench, &certificate.trust_as(PAGES), protocols, should);
        assert!(came.is_ok(), "one name, {protocols:?}: {came:?}");
    }
}
