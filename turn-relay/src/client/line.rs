//! Real sockets under the client, blocking, with a time limit: UDP, TCP, and whatever else carries bytes.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};
use stun::TransactionId;

use super::{Carrier, Client, Cutter, Event, Incoming};
use crate::clock::Clock;

/// Largest message that is expected, bytes.
const MESSAGE_BYTES: usize = 2_048;

/// Bytes in both directions, with a longest wait for reading.
pub trait Stream: Read + Write + Send {
    /// How long a read waits from now on; never zero.
    ///
    /// # Errors
    /// What the socket says.
    fn wait_at_most(&mut self, time: Duration) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn wait_at_most(&mut self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))
    }
}

impl Stream for StreamOwned<ClientConnection, TcpStream> {
    fn wait_at_most(&mut self, time: Duration) -> io::Result<()> {
        self.sock.set_read_timeout(Some(time))
    }
}

impl Stream for Box<dyn Stream> {
    fn wait_at_most(&mut self, time: Duration) -> io::Result<()> {
        self.as_mut().wait_at_most(time)
    }
}

/// What carries the messages.
pub enum Way<S> {
    /// A socket that hears the server only.
    Datagrams(UdpSocket),
    /// A connection.
    Bytes(S),
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub enum Came {
    /// A request is done with.
    Event(Event),
    /// A peer's payload.
    Data(SocketAddr, Vec<u8>),
}

/// A connection to a server.
pub struct Line<S = TcpStream> {
    way: Way<S>,
    cutter: Cutter,
    clock: Clock,
    limit: Duration,
    ids: Ids,
}

/// Transaction ids: the first is drawn by the caller, the others count from it.
#[derive(Clone, Debug)]
pub struct Ids(TransactionId);

impl Ids {
    /// Beginning behind `first`.
    #[must_use]
    pub fn after(first: TransactionId) -> Ids {
        Ids(first)
    }

    /// The next one.
    pub fn draw(&mut self) -> TransactionId {
        for byte in self.0.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
        self.0
    }
}

impl<S: Stream> Line<S> {
    /// Over this; each wait lasts for `limit` at most.
    #[must_use]
    pub fn over(way: Way<S>, limit: Duration, first: TransactionId) -> Line<S> {
        Line {
            way,
            cutter: Cutter::default(),
            clock: Clock::start(),
            limit,
            ids: Ids::after(first),
        }
    }

    /// Over a UDP socket of its own.
    ///
    /// # Errors
    /// What the system says.
    pub fn udp(to: SocketAddr, limit: Duration, first: TransactionId) -> io::Result<Line<S>> {
        let any: IpAddr = match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(to)?;
        Ok(Line::over(Way::Datagrams(socket), limit, first))
    }

    /// What carries it; what was read and not yet taken is lost.
    #[must_use]
    pub fn into_way(self) -> Way<S> {
        self.way
    }

    /// What the client has to do when it sends over this.
    #[must_use]
    pub fn carrier(&self) -> Carrier {
        match self.way {
            Way::Datagrams(_) => Carrier::Datagram,
            Way::Bytes(_) => Carrier::Stream,
        }
    }

    /// Milliseconds since this began: the client's time.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Sends one message.
    ///
    /// # Errors
    /// What the socket says.
    pub fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match &mut self.way {
            Way::Datagrams(socket) => socket.send(message).map(drop),
            Way::Bytes(stream) => {
                stream.write_all(message)?;
                stream.flush()
            }
        }
    }

    /// Sends a payload to a peer that `client` knows.
    ///
    /// # Errors
    /// What the socket says; a peer that was not asked for.
    pub fn say(&mut self, client: &Client, peer: SocketAddr, payload: &[u8]) -> io::Result<()> {
        let mut buffer = [0; MESSAGE_BYTES];
        let len = client.wrap(self.ids.draw(), peer, payload, &mut buffer);
        let len = len.ok_or_else(|| io::Error::other("the peer is unknown, or the payload too long"))?;
        self.send(&buffer[..len])
    }

    /// The next message, waiting for `wait` at most.
    ///
    /// # Errors
    /// What the socket says; the end of the connection; a stream that holds no TURN.
    pub fn receive(&mut self, wait: Duration) -> io::Result<Option<Vec<u8>>> {
        let until_ms = self.now_ms() + wait.as_millis() as u64;
        let mut buffer = [0; MESSAGE_BYTES];
        loop {
            if let Some(message) = self.cutter.next().map_err(io::Error::other)? {
                return Ok(Some(message.to_vec()));
            }
            let left_ms = until_ms.saturating_sub(self.now_ms());
            if left_ms == 0 {
                return Ok(None);
            }
            let left = Duration::from_millis(left_ms);
            let read = match &mut self.way {
                Way::Datagrams(socket) => {
                    socket.set_read_timeout(Some(left))?;
                    socket.recv(&mut buffer)
                }
                Way::Bytes(stream) => {
                    stream.wait_at_most(left)?;
                    stream.read(self.cutter.room())
                }
            };
            match (read, &self.way) {
                (Ok(len), Way::Datagrams(_)) => return Ok(Some(buffer[..len].to_vec())),
                (Ok(0), Way::Bytes(_)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                (Ok(len), Way::Bytes(_)) => self.cutter.filled(len),
                (Err(fault), _) if is_timeout(&fault) => return Ok(None),
                (Err(fault), _) => return Err(fault),
            }
        }
    }

    /// Asks for something, and waits for what becomes of it; `None` when nothing did in time. Payloads that come
    /// meanwhile are lost.
    ///
    /// # Errors
    /// What the socket says.
    pub fn ask(
        &mut self,
        client: &mut Client,
        ask: impl FnOnce(&mut Client, u64, TransactionId),
    ) -> io::Result<Option<Event>> {
        ask(client, self.now_ms(), self.ids.draw());
        let end_ms = self.now_ms() + self.limit.as_millis() as u64;
        while self.now_ms() < end_ms {
            if let Some(Came::Event(event)) = self.step(client, end_ms)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Waits for the next thing that happens; `None` when nothing did in time.
    ///
    /// # Errors
    /// What the socket says.
    pub fn wait(&mut self, client: &mut Client) -> io::Result<Option<Came>> {
        let end_ms = self.now_ms() + self.limit.as_millis() as u64;
        while self.now_ms() < end_ms {
            if let Some(came) = self.step(client, end_ms)? {
                return Ok(Some(came));
            }
        }
        Ok(None)
    }

    /// Sends what is to be sent, takes one message or lets one timer pass.
    fn step(&mut self, client: &mut Client, end_ms: u64) -> io::Result<Option<Came>> {
        while let Some(bytes) = client.poll() {
            self.send(&bytes)?;
        }
        let now_ms = self.now_ms();
        let until_ms = client.wake_at().unwrap_or(end_ms).min(end_ms);
        let wait = Duration::from_millis(until_ms.saturating_sub(now_ms).max(1));
        if let Some(message) = self.receive(wait)? {
            match client.handle(self.now_ms(), self.ids.draw(), &message) {
                Incoming::Nothing => {}
                Incoming::Event(event) => return Ok(Some(Came::Event(event))),
                Incoming::Data { peer, payload } => {
                    return Ok(message.get(payload).map(|payload| Came::Data(peer, payload.to_vec())));
                }
            }
        }
        Ok(client.tick(self.now_ms(), self.ids.draw()).map(Came::Event))
    }
}

/// Nothing came in time.
#[must_use]
pub fn is_timeout(fault: &io::Error) -> bool {
    matches!(fault.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::Ids;

    #[test]
    fn ids_differ_also_where_a_byte_runs_over() {
        let mut ids = Ids::after([0xFF; 12]);
        assert_eq!(ids.draw(), [0; 12]);
        let drawn: std::collections::HashSet<_> = (0..70_000).map(|_| ids.draw()).collect();
        assert_eq!(drawn.len(), 70_000);
    }
}
