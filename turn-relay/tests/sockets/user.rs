//! Clients of the relay under test, over UDP, TCP and TLS.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use ports::{LegId, TurnGrant};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use turn_relay::client::{CHANNEL_FIRST, Came, Client, Credentials, Event, Line, Stream, Way};
use turn_relay::core::credential::{Secret, mint};

/// Longest wait for an answer.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);
/// How often something is said to an echo before it is believed that none comes.
const TRIES: usize = 3;

/// One client with its connection.
pub(crate) struct User {
    pub(crate) client: Client,
    pub(crate) line: Line<Box<dyn Stream>>,
}

/// What the client believes in: the certificate, and the name in it.
pub(crate) struct Trust {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) name: &'static str,
}

fn first_id() -> [u8; 12] {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let mut id = [7; 12];
    id[0] = NEXT.fetch_add(1, Ordering::Relaxed);
    id
}

/// A grant's credentials as the client takes them.
pub(crate) fn of_grant(grant: &TurnGrant) -> Credentials {
    Credentials {
        username: grant.username.clone(),
        password: grant.credential.clone(),
    }
}

/// Credentials made by whoever knows the secret.
pub(crate) fn of_secret(secret: &[u8], leg: u128, expiry_unix_s: u64) -> Credentials {
    let (username, password) = mint(&Secret::new(0, secret), LegId(leg), expiry_unix_s);
    Credentials { username, password }
}

/// Now, in Unix time.
#[expect(
    clippy::disallowed_methods,
    reason = "credentials are good until a moment of the wall clock"
)]
pub(crate) fn unix_s() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs()
}

impl User {
    pub(crate) fn udp(to: SocketAddr, credentials: Credentials) -> User {
        let line = Line::udp(to, LIMIT, first_id()).expect("a socket");
        User::over(line, credentials)
    }

    pub(crate) fn tcp(to: SocketAddr, credentials: Credentials) -> User {
        let stream = TcpStream::connect(to).expect("it listens");
        stream.set_nodelay(true).expect("an option");
        let line = Line::over(Way::Bytes(Box::new(stream) as Box<dyn Stream>), LIMIT, first_id());
        User::over(line, credentials)
    }

    pub(crate) fn tls(to: SocketAddr, credentials: Credentials, trust: &Trust) -> User {
        let line = Line::over(Way::Bytes(tls(to, trust).expect("a handshake")), LIMIT, first_id());
        User::over(line, credentials)
    }

    /// Over a connection that is there.
    pub(crate) fn over_stream(stream: Box<dyn Stream>, credentials: Credentials) -> User {
        User::over(Line::over(Way::Bytes(stream), LIMIT, first_id()), credentials)
    }

    fn over(line: Line<Box<dyn Stream>>, credentials: Credentials) -> User {
        User {
            client: Client::new(line.carrier(), credentials),
            line,
        }
    }

    /// Asks for an allocation.
    pub(crate) fn allocate(&mut self) -> Event {
        self.ask(|client, now, id| client.allocate(now, id, None, None))
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&mut self, ask: impl FnOnce(&mut Client, u64, [u8; 12])) -> Event {
        self.line
            .ask(&mut self.client, ask)
            .expect("the line holds")
            .expect("an answer in time")
    }

    /// Allocates and binds the first channel to `peer`.
    pub(crate) fn ready(&mut self, peer: SocketAddr) {
        let allocated = self.allocate();
        assert!(matches!(allocated, Event::Allocated { .. }), "{allocated:?}");
        self.bind(peer);
    }

    /// Binds the first channel to `peer`.
    pub(crate) fn bind(&mut self, peer: SocketAddr) {
        let bound = self.ask(|client, now, id| client.bind(now, id, CHANNEL_FIRST, peer));
        assert_eq!(bound, Event::Bound { channel: CHANNEL_FIRST });
    }

    /// Says something to an echo, and waits until it is back. Media that waited too long is let go by the relay, so a machine
    /// that stands still for a moment makes it say it again.
    pub(crate) fn echo(&mut self, peer: SocketAddr, payload: &[u8]) {
        let came = (0..TRIES).any(|_| self.try_echo(peer, payload));
        assert!(came, "no echo");
    }

    /// Says a numbered payload, once.
    pub(crate) fn say(&mut self, peer: SocketAddr, number: u32) {
        self.line.say(&self.client, peer, &rtp(number)).expect("the line holds");
    }

    /// Says these to an echo, each once, while as many as `under_way` before them are not back yet, and waits for all; how
    /// many never came. None is doubled or out of order.
    pub(crate) fn stream(&mut self, peer: SocketAddr, numbers: Range<u32>, under_way: u32) -> u32 {
        let mut next = numbers.start - under_way;
        let mut missing = 0;
        for number in numbers.clone() {
            self.say(peer, number);
            if next + under_way <= number {
                missing += self.comes(peer, &mut next, number + 1);
            }
        }
        while next < numbers.end {
            missing += self.comes(peer, &mut next, numbers.end);
        }
        missing
    }

    /// The next thing that comes is one of the payloads from `next` to before `end`, or nothing does in time; how many of
    /// them are missing before it.
    fn comes(&mut self, peer: SocketAddr, next: &mut u32, end: u32) -> u32 {
        let from = *next;
        let came = match self.line.wait(&mut self.client).expect("the line holds") {
            Some(came) => (from..end).find(|number| came == Came::Data(peer, rtp(*number))),
            None => Some(end),
        };
        let number = came.unwrap_or_else(|| panic!("what came is no packet from {from} to {end}"));
        *next = (number + 1).min(end.max(from));
        number - from
    }

    /// The same; false if nothing came back in time or the line is dead.
    pub(crate) fn try_echo(&mut self, peer: SocketAddr, payload: &[u8]) -> bool {
        if self.line.say(&self.client, peer, payload).is_err() {
            return false;
        }
        while let Ok(Some(came)) = self.line.wait(&mut self.client) {
            if came == Came::Data(peer, payload.to_vec()) {
                return true;
            }
        }
        false
    }
}

/// A TLS connection, its handshake done.
///
/// # Errors
/// What TLS or the socket says: the certificate is another one, the connection was closed.
pub(crate) fn tls(to: SocketAddr, trust: &Trust) -> io::Result<Box<dyn Stream>> {
    tls_naming(to, trust, &[]).map(|(stream, _)| stream)
}

/// As [`tls`], naming these protocols (ALPN); none: not a word about it, as browsers do it for TURN. Also its own address.
///
/// # Errors
/// As there.
pub(crate) fn tls_naming(
    to: SocketAddr,
    trust: &Trust,
    protocols: &[&str],
) -> io::Result<(Box<dyn Stream>, SocketAddr)> {
    let stream = TcpStream::connect(to).expect("it listens");
    stream.set_nodelay(true).expect("an option");
    stream.set_read_timeout(Some(LIMIT)).expect("an option");
    let own = stream.local_addr()?;
    let mut stream = StreamOwned::new(session(trust, protocols), stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok((Box::new(stream), own))
}

/// TLS of a client that trusts this, before its first byte.
pub(crate) fn session(trust: &Trust, protocols: &[&str]) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(trust.certificate.clone()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(trust.name).expect("a name");
    ClientConnection::new(Arc::new(config), name).expect("a session")
}

/// A payload that media would send: RTP by its first byte.
pub(crate) fn rtp(n: u32) -> Vec<u8> {
    let mut payload = vec![0x80; 172];
    payload[4..8].copy_from_slice(&n.to_be_bytes());
    payload
}
