//! The header in front of a connection that a proxy passes on, read piece by piece.
//!
//! Only what certainly belongs to it is taken from the kernel, so that what follows, TLS or STUN, is found untouched; and
//! all of that is taken, so that nothing lies there and wakes the worker again and again.
//!
//! Invariant: at most [`HEADER_BYTES_MAX`] bytes are read.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};

use super::connection::{End, is_later};
use crate::core::proxy::{Front, HEADER_BYTES_MAX, look};

/// What is known of whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announced {
    /// Nothing: the rest of the header has to come.
    Later,
    /// The header is over. The client; `None`: the address of the socket counts.
    Client(Option<SocketAddr>),
}

/// See the top of this file.
pub(crate) struct Preface {
    bytes: [u8; HEADER_BYTES_MAX],
    len: usize,
}

impl Default for Preface {
    fn default() -> Preface {
        Preface {
            bytes: [0; HEADER_BYTES_MAX],
            len: 0,
        }
    }
}

impl Preface {
    /// Reads on, as far as the kernel has it.
    ///
    /// # Errors
    /// [`End::Header`] for what is no header, [`End::Gone`].
    pub(crate) fn read(&mut self, stream: &mut TcpStream) -> Result<Announced, End> {
        loop {
            // Never empty: as many bytes are a whole header or a wrong one.
            let seen = match stream.peek(&mut self.bytes[self.len..]) {
                Ok(0) => return Err(End::Gone),
                Ok(seen) => seen,
                Err(fault) if is_later(&fault) => return Ok(Announced::Later),
                Err(fault) => return Err(fault.into()),
            };
            let (end, client) = match look(&self.bytes[..self.len + seen]) {
                Front::More => (self.len + seen, None),
                Front::Whole { len, client } => (len, Some(client)),
                Front::Wrong(fault) => return Err(End::Header(fault)),
            };
            self.len += stream.read(&mut self.bytes[self.len..end])?;
            // Less than was seen a moment ago: the kernel has a border there (urgent data), and is asked again.
            if let Some(client) = client
                && self.len == end
            {
                return Ok(Announced::Client(client));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::proxy::Fault;
    use std::io::Write;
    use std::net::TcpListener;

    /// Both ends of a connection; the second does not wait.
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let writes = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        writes.set_nodelay(true).unwrap();
        let (reads, _) = listener.accept().unwrap();
        (writes, reads)
    }

    /// Waits until so many bytes are there.
    fn arrived(reads: &TcpStream, bytes: usize) {
        let mut seen = vec![0; bytes];
        while reads.peek(&mut seen).unwrap() < bytes {
            std::thread::yield_now();
        }
        reads.set_nonblocking(true).unwrap();
    }

    #[test]
    fn a_header_in_pieces_is_taken_whole_and_nothing_behind_it_is() {
        let header = b"PROXY TCP4 203.0.113.7 192.0.2.1 50000 443\r\n";
        for split in 1..header.len() {
            let (mut writes, mut reads) = pair();
            let mut preface = Preface::default();
            writes.write_all(&header[..split]).unwrap();
            arrived(&reads, split);
            assert_eq!(preface.read(&mut reads), Ok(Announced::Later), "{split}");
            // Nothing is left that would be reported again.
            assert!(reads.peek(&mut [0]).is_err(), "{split}");
            reads.set_nonblocking(false).unwrap();
            let rest = [&header[split..], b"\x16hello"].concat();
            writes.write_all(&rest).unwrap();
            arrived(&reads, rest.len());
            let client = "203.0.113.7:50000".parse().unwrap();
            assert_eq!(preface.read(&mut reads), Ok(Announced::Client(Some(client))), "{split}");
            let mut behind = [0; 16];
            assert_eq!(reads.read(&mut behind).unwrap(), 6);
            assert_eq!(&behind[..6], b"\x16hello");
        }
    }

    #[test]
    fn what_is_no_header_and_who_has_gone_ends_it() {
        let (mut writes, mut reads) = pair();
        writes.write_all(b"\x16\x03\x01").unwrap();
        arrived(&reads, 3);
        let ended = Preface::default().read(&mut reads);
        assert_eq!(ended, Err(End::Header(Fault::Missing)));
        let (writes, mut reads) = pair();
        drop(writes);
        assert_eq!(Preface::default().read(&mut reads), Err(End::Gone));
    }
}
