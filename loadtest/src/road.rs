//! How a leg's datagrams reach the server: straight from an address of its own, or through a TURN relay.
//!
//! Invariant: a road that leads through a relay stands before its leg is added, so a leg never waits for it.

mod socket;
mod tls;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream as StdStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use mio::{Registry, Token};
use ports::Via;
use socket::Socket;
use turn_relay::client::{CHANNEL_FIRST, Client, Credentials, Event, Ids, Incoming, Line, Stream, Way};

use wire::leg::IceServer;

use crate::{Fault, clock};

/// Longest wait for a connection, a handshake or an answer while the road is made.
const LIMIT: Duration = Duration::from_secs(20);
/// Ports that are tried: what an earlier client left behind at one of them ends by itself, only later.
const PORTS_TRIED: u32 = 10;
/// Largest datagram with its wrapping, bytes.
const WRAPPED_BYTES: usize = 2_048;

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

/// The server names no relay that is reached this way: it is not set up for what was asked, and no other try mends that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRelay(Via);

impl fmt::Display for NoRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server names no relay over {}", self.0.word())
    }
}

impl std::error::Error for NoRelay {}

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
        Err(NoRelay(via).into())
    }
}

/// See the top of this file.
pub(crate) enum Road {
    /// From an address that the generator gives it.
    Direct,
    Relayed(Box<Relayed>),
}

impl Road {
    /// Through `relay` to `peer`; blocks until the channel stands.
    pub(crate) fn relayed(relay: &Relay, peer: SocketAddr) -> Result<Road, Fault> {
        for _ in 0..PORTS_TRIED {
            if let Some(road) = Road::through(relay, peer)? {
                return Ok(road);
            }
        }
        Err("the relay takes every port for one that has an allocation already".into())
    }

    /// `None`: the relay remembers an allocation of the port that the system gave.
    fn through(relay: &Relay, peer: SocketAddr) -> Result<Option<Road>, Fault> {
        let first = *uuid::Uuid::new_v4().as_bytes();
        let first: stun::TransactionId = first[..12].try_into()?;
        let opened: Option<io::Result<(Client, Socket)>> = match relay.via {
            Via::Udp => {
                let line = Line::<StdStream>::udp(relay.address, LIMIT, first)?;
                opened(relay, peer, line)?.map(|(client, way)| Ok((client, Socket::datagrams(way)?)))
            }
            Via::Tcp => {
                let line = Line::over(Way::Bytes(connect(relay.address)?), LIMIT, first);
                opened(relay, peer, line)?.map(|(client, way)| Ok((client, Socket::plain(way)?)))
            }
            Via::Tls => {
                let line = Line::over(Way::Bytes(tls::open(connect(relay.address)?)?), LIMIT, first);
                opened(relay, peer, line)?.map(|(client, way)| Ok((client, Socket::sealed(way)?)))
            }
        };
        let Some((client, socket)) = opened.transpose()? else {
            return Ok(None);
        };
        Ok(Some(Road::Relayed(Box::new(Relayed {
            client,
            socket,
            peer,
            begin: clock::now(),
            ids: Ids::after(first),
            gone: false,
        }))))
    }
}

fn connect(to: SocketAddr) -> io::Result<StdStream> {
    let stream = StdStream::connect_timeout(&to, LIMIT)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Makes the allocation and the channel to `peer`; `None` when this address has one already.
fn opened<S: Stream>(relay: &Relay, peer: SocketAddr, mut line: Line<S>) -> Result<Option<(Client, Way<S>)>, Fault> {
    let mut client = Client::new(line.carrier(), relay.credentials.clone());
    let made = line.ask(&mut client, |client, now_ms, id| {
        client.allocate(now_ms, id, None, None)
    })?;
    if let Some(Event::Refused { code: 437, .. }) = made {
        return Ok(None);
    }
    let Some(Event::Allocated { .. }) = made else {
        return Err(format!("the relay gave no allocation: {made:?}").into());
    };
    let bound = line.ask(&mut client, |client, now_ms, id| {
        client.bind(now_ms, id, CHANNEL_FIRST, peer);
    })?;
    let Some(Event::Bound { .. }) = bound else {
        return Err(format!("the relay gave no channel: {bound:?}").into());
    };
    Ok(Some((client, line.into_way())))
}

/// A channel through a relay.
pub(crate) struct Relayed {
    client: Client,
    socket: Socket,
    peer: SocketAddr,
    /// Where the client's time goes on: what the making took is missing in it, which is nothing beside a minute ahead.
    begin: Instant,
    ids: Ids,
    gone: bool,
}

impl Relayed {
    fn now_ms(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.begin).as_millis() as u64
    }

    pub(crate) fn register(&mut self, registry: &Registry, number: u32) -> io::Result<()> {
        self.socket.register(registry, Token(number as usize))
    }

    /// Sends one datagram; what has no room is lost, as on a line.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut buffer = [0; WRAPPED_BYTES];
        let len = self.client.wrap(self.ids.draw(), self.peer, bytes, &mut buffer);
        let len = len.ok_or_else(|| io::Error::other("a datagram is too long for a relay"))?;
        self.put(&buffer[..len])
    }

    /// A relay that has closed the connection takes nothing more: its call is over, or what is missing shows.
    fn put(&mut self, message: &[u8]) -> io::Result<()> {
        if self.gone {
            return Ok(());
        }
        match self.socket.send(message) {
            Err(fault) if is_end(&fault) => {
                self.gone = true;
                Ok(())
            }
            sent => sent,
        }
    }

    /// The next message from the relay; `None` when there is none, or none any more.
    fn take(&mut self, message: &mut [u8]) -> io::Result<Option<usize>> {
        if self.gone {
            return Ok(None);
        }
        match self.socket.receive(message) {
            Err(fault) if is_end(&fault) => {
                self.gone = true;
                Ok(None)
            }
            read => read,
        }
    }

    /// The next datagram into `buffer`; `None` when there is none.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let mut message = [0; WRAPPED_BYTES];
        loop {
            let Some(len) = self.take(&mut message)? else {
                return Ok(None);
            };
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

    /// Renews what the relay forgets otherwise.
    pub(crate) fn tick(&mut self, now: Instant) -> io::Result<()> {
        let now_ms = self.now_ms(now);
        if !self.gone
            && self.client.wake_at().is_some_and(|at| at <= now_ms)
            && let Some(event) = self.client.tick(now_ms, self.ids.draw())
        {
            judged(&event)?;
        }
        self.say_what_is_due()
    }

    fn say_what_is_due(&mut self) -> io::Result<()> {
        while let Some(request) = self.client.poll() {
            self.put(&request)?;
        }
        Ok(())
    }
}

/// The other side has ended the connection.
fn is_end(fault: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(fault.kind(), UnexpectedEof | ConnectionReset | BrokenPipe)
}

impl Drop for Relayed {
    fn drop(&mut self) {
        // Left behind, the allocation would refuse the next client that is given this port, for ten minutes.
        let now_ms = self.now_ms(clock::now());
        self.client.refresh(now_ms, self.ids.draw(), 0);
        // A relay that is gone has freed it.
        let _ = self.say_what_is_due();
    }
}

/// A relay that renews no longer ends the leg: what follows would be measured without it.
fn judged(event: &Event) -> io::Result<()> {
    match event {
        Event::Refused { .. } | Event::Silence { .. } | Event::Nonsense { .. } => Err(io::Error::other(format!(
            "the relay failed in the middle of a run: {event:?}"
        ))),
        Event::Allocated { .. } | Event::Refreshed { .. } | Event::Permitted | Event::Bound { .. } => Ok(()),
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
        let none = Relay::of(&servers[..1], Via::Udp).expect_err("STUN is no relay");
        assert!(none.is::<NoRelay>(), "{none}");
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
