//! A TLS connection until the greeting of its client is whole.
//!
//! Reading and parsing it costs microseconds; what costs is the answer, a key exchange and a signature. So nothing is
//! counted, and no session made, for whoever sends a first byte and stops.
//!
//! Invariant: at most [`HANDSHAKE_BYTES_MAX`] and one read beyond are kept.

use std::net::TcpStream;

use rustls::server::{Accepted, Acceptor};

use super::admission::Refused;
use super::connection::{End, is_later};

/// Bytes of records that a client may send until its handshake is over: a hello with the keys of a post-quantum exchange
/// and the end of the handshake take 2,500. rustls by itself keeps messages of 64 kB, of everybody who connects.
/// Higher: more memory for whoever has shown nothing. Lower: hellos that grow would be refused.
pub(super) const HANDSHAKE_BYTES_MAX: usize = 16 * 1024;

/// See the top of this file.
#[derive(Default)]
pub(super) struct Greeting {
    acceptor: Acceptor,
    bytes: usize,
}

impl Greeting {
    /// Reads on; the greeting once it is whole, `None` while more has to come.
    ///
    /// # Errors
    /// [`End`]: to be closed. The client has been told if it broke a rule of TLS.
    pub(super) fn read(&mut self, stream: &mut TcpStream) -> Result<Option<Accepted>, End> {
        loop {
            match self.acceptor.read_tls(stream) {
                Ok(0) => return Err(End::Gone),
                Ok(read) => self.bytes += read,
                Err(fault) if is_later(&fault) => return Ok(None),
                Err(fault) => return Err(fault.into()),
            }
            if self.bytes > HANDSHAKE_BYTES_MAX {
                return Err(End::Refused(Refused::Nonsense));
            }
            match self.acceptor.accept() {
                Ok(None) => {}
                Ok(whole) => return Ok(whole),
                Err((_, mut alert)) => {
                    let _ = alert.write(stream);
                    return Err(End::Refused(Refused::Nonsense));
                }
            }
        }
    }

    /// Bytes of records so far.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
