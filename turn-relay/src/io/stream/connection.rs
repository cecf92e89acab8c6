//! One TCP connection: its first byte, behind the header of a proxy where it comes from one, decides between TLS and plain,
//! then whole messages come out and go in.
//!
//! Never waits. What does not fit into the kernel's buffer stays in the outbox, and the poller is asked to say when
//! there is room again.
//!
//! Invariant: an error of the network or of TLS ends this connection and nothing else.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};
use udp::Interest;

use super::admission::{Admission, Refused, StreamLimits};
use super::greeting::{Greeting, HANDSHAKE_BYTES_MAX};
use super::outbox::Outbox;
use super::preface::{Announced, Preface};
use crate::core::framing::Cutter;
use crate::core::{Dialect, Flow, proxy};
use ports::Via;

/// First byte of a TLS record that begins a handshake (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// First byte of a STUN request (RFC 8489 §5): its type is below 0x0100.
const STUN_REQUEST: u8 = 0x00;
/// Bytes of plaintext that rustls may hold for sending; the outbox, where they can still be dropped, holds the rest.
const TLS_BUFFER_BYTES: usize = 16 * 1024;
/// Why a connection is closed by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The other side has closed, or the network has.
    Gone,
    /// A limit, or what it speaks.
    Refused(Refused),
    /// It comes from a proxy and without a header that can be believed.
    Header(proxy::Fault),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> End {
        End::Gone
    }
}

/// What reading brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// Bytes are in the cutter.
    Some,
    /// Nothing waits any more.
    Nothing,
}

enum Transport {
    /// No byte has come.
    Undecided,
    /// It will be TLS, and the client's greeting is not whole.
    Greeting(Box<Greeting>),
    Plain,
    Tls(Box<ServerConnection>),
}

/// Whether it has shown a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Unknown { since_ms: u64, heard: bool, bytes: u32 },
    Authenticated,
}

/// See the top of this file.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    /// A proxy has yet to say whose connection it is.
    preface: Option<Box<Preface>>,
    transport: Transport,
    /// Bytes of records that came while TLS was shaking hands.
    handshake_bytes: usize,
    standing: Standing,
    pub(crate) cutter: Cutter,
    pub(crate) outbox: Outbox,
    /// Its key at the core; `via` is right once the first byte is there.
    pub(crate) flow: Flow,
    /// What the poller was asked for.
    pub(crate) interest: Interest,
    /// It stands in the list of those to be flushed.
    pub(crate) listed: bool,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, flow: Flow, dialect: Dialect, now_ms: u64) -> Connection {
        Connection {
            stream,
            preface: None,
            transport: Transport::Undecided,
            handshake_bytes: 0,
            standing: Standing::Unknown {
                since_ms: now_ms,
                heard: false,
                bytes: 0,
            },
            cutter: Cutter::of(dialect),
            outbox: Outbox::default(),
            flow,
            interest: Interest::Read,
            listed: false,
        }
    }

    /// It comes from a proxy, whose header stands in front of everything else.
    pub(crate) fn by_proxy(mut self) -> Connection {
        self.preface = Some(Box::default());
        self
    }

    /// Whether the header of a proxy is awaited.
    pub(crate) fn is_nameless(&self) -> bool {
        self.preface.is_some()
    }

    /// Reads on in the header; whose connection it is once that is known.
    ///
    /// # Errors
    /// [`End`]: to be closed.
    pub(crate) fn announcement(&mut self) -> Result<Option<IpAddr>, End> {
        let own = self.flow.remote;
        let Some(preface) = &mut self.preface else {
            return Ok(Some(own.ip()));
        };
        match preface.read(&mut self.stream)? {
            Announced::Later => Ok(None),
            Announced::Client(client) => {
                self.flow.remote = client.unwrap_or(own);
                Ok(Some(self.flow.remote.ip()))
            }
        }
    }

    /// The header is read and its network has room: from here on it is like any other.
    pub(crate) fn named(&mut self) {
        self.preface = None;
    }

    /// The network that it is counted with while it has shown no credential.
    pub(crate) fn counted(&self) -> Option<IpAddr> {
        (!self.is_nameless()).then(|| self.flow.remote.ip())
    }

    /// Whether it counts among those without credential.
    pub(crate) fn is_unknown(&self) -> bool {
        self.standing != Standing::Authenticated
    }

    /// It has shown a credential.
    pub(crate) fn authenticated(&mut self) {
        self.standing = Standing::Authenticated;
    }

    /// Its allocation has ended: it begins anew.
    pub(crate) fn forgotten(&mut self, now_ms: u64) {
        self.standing = Standing::Unknown {
            since_ms: now_ms,
            heard: true,
            bytes: 0,
        };
    }

    /// A whole message has come.
    pub(crate) fn heard(&mut self) {
        if let Standing::Unknown { heard, .. } = &mut self.standing {
            *heard = true;
        }
    }

    /// How it ends if it has been without credential, or silent, for too long.
    pub(crate) fn overdue(&self, now_ms: u64, limits: &StreamLimits) -> Option<End> {
        let Standing::Unknown { since_ms, heard, .. } = self.standing else {
            return None;
        };
        let age_ms = now_ms.saturating_sub(since_ms);
        let over = age_ms > limits.unauthenticated_ms || (!heard && age_ms > limits.first_message_ms);
        let end = if self.is_nameless() {
            End::Header(proxy::Fault::Late)
        } else {
            End::Refused(Refused::Time)
        };
        over.then_some(end)
    }

    /// Looks at the first byte. True once it is known what is spoken. `tls`: there is a certificate.
    ///
    /// # Errors
    /// [`End`]: to be closed.
    pub(crate) fn decide(&mut self, tls: bool) -> Result<bool, End> {
        if !matches!(self.transport, Transport::Undecided) {
            return Ok(true);
        }
        let mut first = [0];
        let first = match self.stream.peek(&mut first) {
            Ok(0) => return Err(End::Gone),
            Ok(_) => first[0],
            Err(fault) if is_later(&fault) => return Ok(false),
            Err(fault) => return Err(fault.into()),
        };
        match first {
            STUN_REQUEST => {
                self.transport = Transport::Plain;
                self.flow.via = Via::Tcp;
            }
            TLS_HANDSHAKE if tls => {
                self.transport = Transport::Greeting(Box::default());
                self.flow.via = Via::Tls;
            }
            _ => return Err(End::Refused(Refused::Nonsense)),
        }
        Ok(true)
    }

    /// Reads on in the greeting of a TLS client; true once there is none to wait for. A whole one begins the handshake, if
    /// one may begin.
    ///
    /// # Errors
    /// [`End`]: to be closed.
    pub(crate) fn greet(
        &mut self,
        now_ms: u64,
        admission: &mut Admission,
        tls: impl FnOnce() -> Option<Arc<ServerConfig>>,
    ) -> Result<bool, End> {
        let Transport::Greeting(greeting) = &mut self.transport else {
            return Ok(true);
        };
        let Some(whole) = greeting.read(&mut self.stream)? else {
            return Ok(false);
        };
        self.handshake_bytes = greeting.bytes();
        let config = tls().ok_or(End::Refused(Refused::Nonsense))?;
        admission
            .handshake(now_ms, self.flow.remote.ip())
            .map_err(End::Refused)?;
        let mut session = whole.into_connection(config).map_err(|(_, mut alert)| {
            // That tells the client why.
            let _ = alert.write(&mut self.stream);
            End::Refused(Refused::Nonsense)
        })?;
        session.set_buffer_limit(Some(TLS_BUFFER_BYTES));
        // What came with the greeting: of it the kernel says nothing any more.
        let behind = session.process_new_packets();
        let broken = behind.is_err();
        self.transport = Transport::Tls(Box::new(session));
        if broken {
            return Err(End::Refused(Refused::Nonsense));
        }
        Ok(true)
    }

    /// Whether TLS is still shaking hands: what comes may cost much.
    pub(crate) fn is_handshaking(&self) -> bool {
        match &self.transport {
            Transport::Undecided | Transport::Plain => false,
            Transport::Greeting(_) => true,
            Transport::Tls(session) => session.is_handshaking(),
        }
    }

    /// Whether bytes wait that are in no buffer of the kernel any more.
    pub(crate) fn is_ahead(&mut self) -> bool {
        match &mut self.transport {
            Transport::Undecided | Transport::Greeting(_) | Transport::Plain => false,
            Transport::Tls(session) => {
                let state = session.process_new_packets();
                state.is_ok_and(|state| state.plaintext_bytes_to_read() > 0)
            }
        }
    }

    /// Reads once into the cutter.
    ///
    /// # Errors
    /// [`End`]: to be closed.
    pub(crate) fn fill(&mut self, limits: &StreamLimits) -> Result<Filled, End> {
        let read = match &mut self.transport {
            Transport::Undecided | Transport::Greeting(_) => return Ok(Filled::Nothing),
            Transport::Plain => self.stream.read(self.cutter.room()),
            Transport::Tls(session) => {
                let handshake_bytes = &mut self.handshake_bytes;
                read_tls(session, &mut self.stream, &mut self.cutter, handshake_bytes)
            }
        };
        let read = match read {
            Ok(0) => return Err(End::Gone),
            Ok(read) => read,
            Err(fault) if is_later(&fault) => return Ok(Filled::Nothing),
            Err(fault) if fault.kind() == ErrorKind::InvalidData => return Err(End::Refused(Refused::Nonsense)),
            Err(fault) => return Err(fault.into()),
        };
        self.cutter.filled(read);
        if let Standing::Unknown { bytes, .. } = &mut self.standing {
            *bytes = bytes.saturating_add(u32::try_from(read).unwrap_or(u32::MAX));
            if *bytes > limits.unauthenticated_bytes {
                return Err(End::Refused(Refused::Bytes));
            }
        }
        Ok(Filled::Some)
    }

    /// Writes what waits as far as the kernel takes it, and says what the poller should wait for now. Adds to `dropped`
    /// the media that came too late.
    ///
    /// # Errors
    /// [`End`]: to be closed.
    pub(crate) fn flush(&mut self, now_ms: u64, dropped: &mut u64) -> Result<Interest, End> {
        loop {
            if let Transport::Tls(session) = &mut self.transport {
                while session.wants_write() {
                    match session.write_tls(&mut self.stream) {
                        Ok(_) => {}
                        Err(fault) if is_later(&fault) => return Ok(Interest::ReadWrite),
                        Err(fault) => return Err(fault.into()),
                    }
                }
                if session.is_handshaking() {
                    return Ok(Interest::Read);
                }
            }
            let next = self.outbox.next(now_ms, dropped);
            if next.is_empty() {
                return Ok(Interest::Read);
            }
            let wrote = match &mut self.transport {
                Transport::Undecided | Transport::Greeting(_) => return Ok(Interest::Read),
                Transport::Plain => self.stream.write(next),
                Transport::Tls(session) => session.writer().write(next),
            };
            match wrote {
                Ok(0) => return Err(End::Gone),
                Ok(bytes) => self.outbox.written(bytes),
                Err(fault) if is_later(&fault) => return Ok(Interest::ReadWrite),
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    /// The last words of TLS, as far as the kernel takes them at once.
    pub(crate) fn farewell(&mut self) {
        if let Transport::Tls(session) = &mut self.transport {
            session.send_close_notify();
            let _ = session.write_tls(&mut self.stream);
        }
    }
}

/// Plaintext into the cutter; `WouldBlock` when neither rustls nor the kernel has any, `InvalidData` for broken TLS and for
/// a handshake beyond [`HANDSHAKE_BYTES_MAX`].
fn read_tls(
    session: &mut ServerConnection,
    stream: &mut TcpStream,
    cutter: &mut Cutter,
    handshake_bytes: &mut usize,
) -> io::Result<usize> {
    loop {
        match session.reader().read(cutter.room()) {
            Err(fault) if fault.kind() == ErrorKind::WouldBlock => {}
            // Closed without a word counts as closed: every message says itself how long it is.
            Err(fault) if fault.kind() == ErrorKind::UnexpectedEof => return Ok(0),
            other => return other,
        }
        let read = session.read_tls(stream)?;
        if read == 0 {
            return Ok(0);
        }
        if session.is_handshaking() {
            *handshake_bytes += read;
            if *handshake_bytes > HANDSHAKE_BYTES_MAX {
                return Err(ErrorKind::InvalidData.into());
            }
        }
        if let Err(fault) = session.process_new_packets() {
            // The alert that tells the client why.
            let _ = session.write_tls(stream);
            return Err(io::Error::new(ErrorKind::InvalidData, fault));
        }
    }
}

/// Nothing now, but later.
pub(super) fn is_later(fault: &io::Error) -> bool {
    matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
