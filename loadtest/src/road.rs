//! How a leg's datagrams reach the server: from its own socket, or through a TURN relay.
//!
//! Invariant: a road that leads through a relay stands before its leg is added, so a leg never waits for it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream as StdStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use mio::net::{TcpStream, UdpSocket};
use mio::{Interest, Registry, Token};
use ports::Via;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use turn_relay::client::{Broken, CHANNEL_FIRST, Client, Credentials, Cutter, Event, Ids, Incoming, Line, Stream, Way};

use wire::leg::IceServer;

use crate::{Fault, clock};

/// Longest wait for a connection, a handshake or an answer while the road is made.
const LIMIT: Duration = Duration::from_secs(20);
/// Largest datagram with its wrapping, bytes.
const WRAPPED_BYTES: usize = 2_048;
/// What may wait in a stream that takes no more, bytes: 200 ms of voice. Behind it datagrams are lost, as on a line.
const UNSENT_BYTES_MAX: usize = 8_192;

/// Where a relay is and how it is entered.
#[derive(Clone, Debug)]
pub(crate) struct Relay {
    pub(crate) via: Via,
    pub(crate) address: SocketAddr,
    pub(crate) credentials: Credentials,
}

/// Which ways legs go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ways {
    Udp,
    Tcp,
    Tls,
    Mixed,
}

impl Ways {
    /// The way of leg `number`.
    pub(crate) fn of(self, number: u32) -> Via {
        match self {
            Ways::Udp => Via::Udp,
            Ways::Tcp => Via::Tcp,
            Ways::Tls => Via::Tls,
            Ways::Mixed => Via::ALL[number as usize % Via::ALL.len()],
        }
    }

    /// Stable word for reports.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Ways::Udp | Ways::Tcp | Ways::Tls => self.of(0).word(),
            Ways::Mixed => "mixed",
        }
    }
}

/// Where TURN URLs lead that browsers are told (RFC 7065); `None` for another kind of URL.
fn read_url(url: &str) -> Option<(Via, &str)> {
    let (rest, secure) = match url.split_once(':')? {
        ("turn", rest) => (rest, false),
        ("turns", rest) => (rest, true),
        _ => return None,
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, "transport=udp"));
    let via = match (secure, query) {
        (false, "transport=udp") => Via::Udp,
        (false, "transport=tcp") => Via::Tcp,
        (true, "transport=tcp") => Via::Tls,
        _ => return None,
    };
    Some((via, place))
}

impl Relay {
    /// The entry that a browser would use for this way.
    pub(crate) fn of(servers: &[IceServer], via: Via) -> Result<Relay, Fault> {
        for server in servers {
            let (Some(username), Some(password)) = (&server.username, &server.credential) else {
                continue;
            };
            let places = server.urls.iter().filter_map(|url| read_url(url));
            if let Some((_, place)) = places.into_iter().find(|(this, _)| *this == via) {
                let address = place.to_socket_addrs()?.next();
                return Ok(Relay {
                    via,
                    address: address.ok_or("the relay's name has no address")?,
                    credentials: Credentials {
                        username: username.clone(),
                        password: password.clone(),
                    },
                });
            }
        }
        Err(format!("the server names no relay over {}", via.word()).into())
    }
}

/// See the top of this file.
pub(crate) enum Road {
    Direct(UdpSocket),
    Relayed(Box<Relayed>),
}

impl Road {
    /// A socket on the loopback.
    pub(crate) fn direct() -> io::Result<Road> {
        Ok(Road::Direct(UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?))
    }

    /// Through `relay` to `peer`; blocks until the channel stands.
    pub(crate) fn relayed(relay: &Relay, peer: SocketAddr) -> Result<Road, Fault> {
        let first = *uuid::Uuid::new_v4().as_bytes();
        let first: stun::TransactionId = first[..12].try_into()?;
        let (client, socket) = match relay.via {
            Via::Udp => {
                let (client, way) = opened(relay, peer, Line::<StdStream>::udp(relay.address, LIMIT, first)?)?;
                let Way::Datagrams(socket) = way else {
                    return Err("a datagram socket became a stream".into());
                };
                socket.set_nonblocking(true)?;
                (client, Socket::Datagrams(UdpSocket::from_std(socket)))
            }
            Via::Tcp => {
                let line = Line::over(Way::Bytes(connect(relay.address)?), LIMIT, first);
                let (client, way) = opened(relay, peer, line)?;
                (client, Socket::plain(stream_of(way)?)?)
            }
            Via::Tls => {
                let line = Line::over(Way::Bytes(tls(relay.address)?), LIMIT, first);
                let (client, way) = opened(relay, peer, line)?;
                (client, Socket::sealed(stream_of(way)?)?)
            }
        };
        Ok(Road::Relayed(Box::new(Relayed {
            client,
            socket,
            peer,
            begin: clock::now(),
            ids: Ids::after(first),
        })))
    }

    pub(crate) fn register(&mut self, registry: &Registry, number: u32) -> io::Result<()> {
        let token = Token(number as usize);
        match self {
            Road::Direct(socket) => registry.register(socket, token, Interest::READABLE),
            Road::Relayed(relayed) => relayed.socket.register(registry, token),
        }
    }

    pub(crate) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Road::Direct(socket) => registry.deregister(socket),
            // It has no address of its own to change.
            Road::Relayed(_) => Err(io::Error::other("a relayed leg does not change its address")),
        }
    }

    /// Sends one datagram; what has no room is lost, as on a line.
    pub(crate) fn send(&mut self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        match self {
            Road::Direct(socket) => skip_full(socket.send_to(bytes, to)),
            Road::Relayed(relayed) => relayed.send(bytes),
        }
    }

    /// The next datagram into `buffer`; `None` when there is none.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self {
            Road::Direct(socket) => some(socket.recv(buffer)),
            Road::Relayed(relayed) => relayed.receive(buffer),
        }
    }

    /// Renews what a relay forgets otherwise.
    pub(crate) fn tick(&mut self, now: Instant) -> io::Result<()> {
        match self {
            Road::Direct(_) => Ok(()),
            Road::Relayed(relayed) => relayed.tick(now),
        }
    }
}

/// A full socket loses the packet, as a network would; it then misses among the delivered.
fn skip_full(sent: io::Result<usize>) -> io::Result<()> {
    some(sent).map(drop)
}

fn some<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Ok(value) => Ok(Some(value)),
        Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn connect(to: SocketAddr) -> io::Result<StdStream> {
    let stream = StdStream::connect_timeout(&to, LIMIT)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn stream_of<S>(way: Way<S>) -> Result<S, Fault> {
    match way {
        Way::Bytes(stream) => Ok(stream),
        Way::Datagrams(_) => Err("a stream became a datagram socket".into()),
    }
}

/// Makes the allocation and the channel to `peer`.
fn opened<S: Stream>(relay: &Relay, peer: SocketAddr, mut line: Line<S>) -> Result<(Client, Way<S>), Fault> {
    let mut client = Client::new(line.carrier(), relay.credentials.clone());
    let made = line.ask(&mut client, |client, now_ms, id| {
        client.allocate(now_ms, id, None, None)
    })?;
    let Some(Event::Allocated { .. }) = made else {
        return Err(format!("the relay gave no allocation: {made:?}").into());
    };
    let bound = line.ask(&mut client, |client, now_ms, id| {
        client.bind(now_ms, id, CHANNEL_FIRST, peer);
    })?;
    let Some(Event::Bound { .. }) = bound else {
        return Err(format!("the relay gave no channel: {bound:?}").into());
    };
    Ok((client, line.into_way()))
}

enum Socket {
    Datagrams(UdpSocket),
    Plain(Flow<TcpStream>),
    Sealed(Flow<StreamOwned<ClientConnection, TcpStream>>),
}

impl Socket {
    fn plain(stream: StdStream) -> io::Result<Socket> {
        stream.set_nonblocking(true)?;
        Ok(Socket::Plain(Flow::new(TcpStream::from_std(stream))))
    }

    fn sealed(stream: StreamOwned<ClientConnection, StdStream>) -> io::Result<Socket> {
        let (connection, stream) = stream.into_parts();
        stream.set_nonblocking(true)?;
        let stream = StreamOwned::new(connection, TcpStream::from_std(stream));
        Ok(Socket::Sealed(Flow::new(stream)))
    }

    fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Socket::Datagrams(socket) => registry.register(socket, token, Interest::READABLE),
            Socket::Plain(flow) => registry.register(&mut flow.stream, token, Interest::READABLE),
            Socket::Sealed(flow) => registry.register(&mut flow.stream.sock, token, Interest::READABLE),
        }
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Socket::Datagrams(socket) => skip_full(socket.send(message)),
            Socket::Plain(flow) => flow.send(message),
            Socket::Sealed(flow) => flow.send(message),
        }
    }
}

/// A stream with what it has not taken yet and what is not yet cut.
struct Flow<S> {
    stream: S,
    cutter: Cutter,
    unsent: Vec<u8>,
}

impl<S: Read + Write> Flow<S> {
    fn new(stream: S) -> Flow<S> {
        Flow {
            stream,
            cutter: Cutter::default(),
            unsent: Vec::new(),
        }
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        if self.unsent.len() + message.len() <= UNSENT_BYTES_MAX {
            self.unsent.extend_from_slice(message);
        }
        while !self.unsent.is_empty() {
            let Some(taken) = some(self.stream.write(&self.unsent))? else {
                break;
            };
            self.unsent.drain(..taken);
        }
        some(self.stream.flush()).map(drop)
    }

    /// The next message, copied into `buffer`.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            let cut = self.cutter.next().map_err(|fault: Broken| io::Error::other(fault))?;
            if let Some(message) = cut {
                buffer[..message.len()].copy_from_slice(message);
                return Ok(Some(message.len()));
            }
            match some(self.stream.read(self.cutter.room()))? {
                None => return Ok(None),
                Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(len) => self.cutter.filled(len),
            }
        }
    }
}

/// A channel through a relay.
pub(crate) struct Relayed {
    client: Client,
    socket: Socket,
    peer: SocketAddr,
    /// Where the client's time goes on: what the making took is missing in it, which is nothing beside a minute ahead.
    begin: Instant,
    ids: Ids,
}

impl Relayed {
    fn now_ms(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.begin).as_millis() as u64
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut buffer = [0; WRAPPED_BYTES];
        let len = self.client.wrap(self.ids.draw(), self.peer, bytes, &mut buffer);
        let len = len.ok_or_else(|| io::Error::other("a datagram is too long for a relay"))?;
        self.socket.send(&buffer[..len])
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let mut message = [0; WRAPPED_BYTES];
        loop {
            let read = match &mut self.socket {
                Socket::Datagrams(socket) => some(socket.recv(&mut message))?,
                Socket::Plain(flow) => flow.receive(&mut message)?,
                Socket::Sealed(flow) => flow.receive(&mut message)?,
            };
            let Some(len) = read else { return Ok(None) };
            let now_ms = self.now_ms(clock::now());
            match self.client.handle(now_ms, self.ids.draw(), &message[..len]) {
                Incoming::Data { payload, .. } => {
                    let len = payload.len();
                    buffer[..len].copy_from_slice(&message[payload]);
                    return Ok(Some(len));
                }
                Incoming::Event(event) => judged(&event)?,
                Incoming::Nothing => self.say_what_is_due()?,
            }
        }
    }

    fn tick(&mut self, now: Instant) -> io::Result<()> {
        let now_ms = self.now_ms(now);
        if self.client.wake_at().is_some_and(|at| at <= now_ms)
            && let Some(event) = self.client.tick(now_ms, self.ids.draw())
        {
            judged(&event)?;
        }
        self.say_what_is_due()
    }

    fn say_what_is_due(&mut self) -> io::Result<()> {
        while let Some(request) = self.client.poll() {
            self.socket.send(&request)?;
        }
        Ok(())
    }
}

/// A relay that renews no longer ends the run: what follows would be measured without it.
fn judged(event: &Event) -> io::Result<()> {
    match event {
        Event::Refused { .. } | Event::Silence { .. } | Event::Nonsense { .. } => Err(io::Error::other(format!(
            "the relay failed in the middle of a run: {event:?}"
        ))),
        Event::Allocated { .. } | Event::Refreshed { .. } | Event::Permitted | Event::Bound { .. } => Ok(()),
    }
}

/// TLS to whoever answers: what is measured is the cost, and test certificates are self-made.
fn tls(to: SocketAddr) -> Result<StreamOwned<ClientConnection, StdStream>, Fault> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.enable_sni = false;
    let connection = ClientConnection::new(Arc::new(config), ServerName::from(to.ip()))?;
    let mut tls = StreamOwned::new(connection, connect(to)?);
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock)?;
    }
    Ok(tls)
}

/// Takes every certificate; only ever pointed at servers of a test.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = rustls::crypto::ring::default_provider();
        provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(urls: &[&str], secret: Option<&str>) -> IceServer {
        IceServer {
            urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            username: secret.map(|_| "1:leg:0".to_owned()),
            credential: secret.map(str::to_owned),
        }
    }

    #[test]
    fn each_way_finds_its_url_and_stun_is_no_relay() {
        let servers = [
            server(&["stun:127.0.0.1:3478"], None),
            server(
                &[
                    "turn:127.0.0.1:3478?transport=udp",
                    "turn:127.0.0.1:3478?transport=tcp",
                    "turns:[::1]:3479?transport=tcp",
                ],
                Some("x"),
            ),
        ];
        let at = |via| Relay::of(&servers, via).expect("named").address.to_string();
        assert_eq!(at(Via::Udp), "127.0.0.1:3478");
        assert_eq!(at(Via::Tcp), "127.0.0.1:3478");
        assert_eq!(at(Via::Tls), "[::1]:3479");
        assert!(Relay::of(&servers[..1], Via::Udp).is_err());
        assert!(
            Relay::of(&[server(&["turn:127.0.0.1:1"], None)], Via::Udp).is_err(),
            "no credentials"
        );
    }

    #[test]
    fn mixed_legs_take_turns() {
        let ways: Vec<_> = (0..4).map(|number| Ways::Mixed.of(number)).collect();
        assert_eq!(ways, [Via::Udp, Via::Tcp, Via::Tls, Via::Udp]);
    }
}
