//! The sockets under a client of a relay, none of which ever blocks.

use std::io::{self, Read, Write};
use std::net::TcpStream as StdStream;

use mio::net::{TcpStream, UdpSocket};
use mio::{Interest, Registry, Token};
use rustls::{ClientConnection, StreamOwned};
use turn_relay::client::{Broken, Cutter, Way};

/// What may wait in a stream that takes no more, bytes: 200 ms of voice. Behind it datagrams are lost, as on a line.
const UNSENT_BYTES_MAX: usize = 8_192;

/// What carries the messages of one client.
pub(super) enum Socket {
    Datagrams(UdpSocket),
    Plain(Flow<TcpStream>),
    Sealed(Box<Flow<StreamOwned<ClientConnection, TcpStream>>>),
}

impl Socket {
    pub(super) fn datagrams(way: Way<StdStream>) -> io::Result<Socket> {
        let Way::Datagrams(socket) = way else {
            return Err(io::Error::other("a datagram socket became a stream"));
        };
        socket.set_nonblocking(true)?;
        Ok(Socket::Datagrams(UdpSocket::from_std(socket)))
    }

    pub(super) fn plain(way: Way<StdStream>) -> io::Result<Socket> {
        let stream = stream_of(way)?;
        stream.set_nonblocking(true)?;
        Ok(Socket::Plain(Flow::new(TcpStream::from_std(stream))))
    }

    pub(super) fn sealed(way: Way<StreamOwned<ClientConnection, StdStream>>) -> io::Result<Socket> {
        let (connection, stream) = stream_of(way)?.into_parts();
        stream.set_nonblocking(true)?;
        let stream = StreamOwned::new(connection, TcpStream::from_std(stream));
        Ok(Socket::Sealed(Box::new(Flow::new(stream))))
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Socket::Datagrams(socket) => registry.register(socket, token, Interest::READABLE),
            Socket::Plain(flow) => registry.register(&mut flow.stream, token, Interest::READABLE),
            Socket::Sealed(flow) => registry.register(&mut flow.stream.sock, token, Interest::READABLE),
        }
    }

    pub(super) fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Socket::Datagrams(socket) => skip_full(socket.send(message)),
            Socket::Plain(flow) => flow.send(message),
            Socket::Sealed(flow) => flow.send(message),
        }
    }

    /// The next message, whole, into `message`; `None` when there is none.
    pub(super) fn receive(&mut self, message: &mut [u8]) -> io::Result<Option<usize>> {
        match self {
            Socket::Datagrams(socket) => some(socket.recv(message)),
            Socket::Plain(flow) => flow.receive(message),
            Socket::Sealed(flow) => flow.receive(message),
        }
    }
}

/// A stream with what it has not taken yet and what is not yet cut.
pub(super) struct Flow<S> {
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

fn stream_of<S>(way: Way<S>) -> io::Result<S> {
    match way {
        Way::Bytes(stream) => Ok(stream),
        Way::Datagrams(_) => Err(io::Error::other("a stream became a datagram socket")),
    }
}

/// A full socket loses the packet, as a network would; it then misses among the delivered.
fn skip_full(sent: io::Result<usize>) -> io::Result<()> {
    some(sent).map(drop)
}

/// Nothing now is nothing wrong.
fn some<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Ok(value) => Ok(Some(value)),
        Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(fault) => Err(fault),
    }
}
