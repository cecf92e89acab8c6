//! Buffers for one thread's datagrams, and the system calls over them.
#![expect(unsafe_code, reason = "recvmmsg")]

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use crate::sender::Sender;
use crate::{BATCH_MAX, HEADROOM_BYTES, PACKET_BYTES, SLOT_BYTES, Socket, address, destination};

/// One datagram to send: bytes that live until the call ends, and where to.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The datagram.
    pub bytes: &'a [u8],
    /// Destination, of the socket's own family.
    pub to: SocketAddr,
}

/// Receive buffers and the kernel's lists, made once.
pub struct Batch {
    size: usize,
    buffers: Vec<u8>,
    incoming: Vec<libc::mmsghdr>,
    vectors: Vec<libc::iovec>,
    names: Vec<address::Storage>,
    controls: Vec<destination::Control>,
    /// Headers below it may hold what the kernel has written.
    written: usize,
    /// Headers have a control message beside them.
    controlled: bool,
    sender: Sender,
}

// SAFETY: the raw pointers inside point only into the vectors of the same value, which are never resized, and are
// used only during the calls below.
unsafe impl Send for Batch {}

impl Batch {
    /// Buffers for up to `size` datagrams per call, 1 to [`BATCH_MAX`]; 1 is the plain call.
    pub fn new(size: usize) -> Batch {
        let size = size.clamp(1, BATCH_MAX);
        // SAFETY: all-zero headers are empty headers.
        let header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        let vector = libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        };
        let mut batch = Batch {
            size,
            buffers: vec![0; size * SLOT_BYTES],
            incoming: vec![header; size],
            vectors: vec![vector; size],
            names: vec![address::empty(); size],
            controls: vec![destination::empty(); size],
            written: size,
            controlled: false,
            sender: Sender::new(size),
        };
        batch.point();
        batch
    }

    /// Lets every header point to what belongs to it.
    fn point(&mut self) {
        for index in 0..self.size {
            let start = index * SLOT_BYTES + HEADROOM_BYTES;
            let packet = &mut self.buffers[start..start + PACKET_BYTES];
            self.vectors[index] = libc::iovec {
                iov_base: packet.as_mut_ptr().cast(),
                iov_len: PACKET_BYTES,
            };
            let header = &mut self.incoming[index].msg_hdr;
            header.msg_iov = &raw mut self.vectors[index];
            header.msg_iovlen = 1;
            header.msg_name = (&raw mut self.names[index]).cast();
        }
    }

    /// Takes back what the kernel has written into the headers from `from` on. Only what was used is looked at: a thread
    /// that takes a datagram at a time would else pay for the lists of 256.
    fn prepare(&mut self, from: usize, controlled: bool) {
        let written = if controlled == self.controlled {
            self.written
        } else {
            self.controlled = controlled;
            // Those below `from` belong to another socket's datagrams of this turn, and count as written in the next one.
            self.size
        };
        for index in from..written {
            let header = &mut self.incoming[index].msg_hdr;
            header.msg_namelen = size_of::<address::Storage>() as libc::socklen_t;
            (header.msg_control, header.msg_controllen) = if controlled {
                let control = (&raw mut self.controls[index]).cast();
                (control, size_of::<destination::Control>() as _)
            } else {
                (std::ptr::null_mut(), 0)
            };
            header.msg_flags = 0;
        }
    }

    /// Datagrams per call.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Takes what is waiting, without blocking: buffers `from..` are filled; returns how many were.
    ///
    /// A datagram longer than a buffer is cut and its length says so ([`Batch::received`] gives `None`).
    ///
    /// # Errors
    /// What the kernel says, except that nothing is waiting.
    pub fn receive(&mut self, socket: &Socket, from: usize) -> io::Result<usize> {
        let from = from.min(self.size);
        self.prepare(from, socket.names_destinations());
        let list = &mut self.incoming[from..];
        if list.is_empty() {
            return Ok(0);
        }
        // SAFETY: every header points to a buffer, a vector, a name and a control message of this value, which lives
        // through the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.raw(),
                list.as_mut_ptr(),
                list.len() as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        // One more: a call that failed may have begun to write.
        self.written = self.size.min(from + count.max(0) as usize + 1);
        if count >= 0 {
            return Ok(count as usize);
        }
        let fault = io::Error::last_os_error();
        match fault.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(0),
            // An ICMP answer to something sent earlier; the socket is fine.
            io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable => Ok(0),
            _ => Err(fault),
        }
    }

    /// Sender and length of received datagram `index`; `None` when it was cut or of a foreign family.
    pub fn received(&self, index: usize) -> Option<(SocketAddr, usize)> {
        let header = self.incoming.get(index)?;
        if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
            return None;
        }
        Some((address::read(&self.names[index])?, header.msg_len as usize))
    }

    /// The address of this machine that received datagram `index` came to; `None` unless its socket was told to
    /// [name it](Socket::name_destinations).
    pub fn destination(&self, index: usize) -> Option<IpAddr> {
        let header = self.incoming.get(index)?;
        destination::read(&self.controls[index], header.msg_hdr.msg_controllen)
    }

    /// Buffer `index`: headroom, then the datagram.
    pub fn slot(&self, index: usize) -> &[u8] {
        &self.buffers[index * SLOT_BYTES..(index + 1) * SLOT_BYTES]
    }

    /// Buffer `index`, to be changed in place.
    pub fn slot_mut(&mut self, index: usize) -> &mut [u8] {
        &mut self.buffers[index * SLOT_BYTES..(index + 1) * SLOT_BYTES]
    }

    /// Sends datagrams in order, `describe(batch, n)` giving the n-th of `count`; returns how many the kernel refused.
    ///
    /// A refused datagram is skipped: the next packet of a voice is worth more than a second try.
    pub fn send<'a>(
        &'a mut self,
        socket: &Socket,
        count: usize,
        describe: impl Fn(usize, &'a Slots) -> Option<Outgoing<'a>>,
    ) -> usize {
        self.send_from(socket, count, |n, slots| Some((describe(n, slots)?, None)))
    }

    /// As [`Batch::send`]; a datagram with an address of this machine beside it leaves from there, whatever the kernel
    /// would have chosen. For sockets that are bound to all of them; an address that is not (any more) this machine's
    /// is refused.
    pub fn send_from<'a>(
        &'a mut self,
        socket: &Socket,
        count: usize,
        describe: impl Fn(usize, &'a Slots) -> Option<(Outgoing<'a>, Option<IpAddr>)>,
    ) -> usize {
        let slots: &'a Slots = Slots::of(&self.buffers);
        self.sender.send(socket.raw(), count, |n| {
            let (datagram, from) = describe(n, slots)?;
            Some((datagram.bytes, datagram.to, from))
        })
    }
}

/// All receive buffers, read only, while datagrams that lie in them are sent.
#[derive(Debug)]
#[repr(transparent)]
pub struct Slots([u8]);

impl Slots {
    fn of(buffers: &[u8]) -> &Slots {
        // SAFETY: the type is a transparent wrapper of the same slice.
        unsafe { &*(std::ptr::from_ref(buffers) as *const Slots) }
    }

    /// Buffer `index`: headroom, then the datagram.
    pub fn slot(&self, index: usize) -> &[u8] {
        &self.0[index * SLOT_BYTES..(index + 1) * SLOT_BYTES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Socket, Socket) {
        let any = "127.0.0.1:0".parse().unwrap();
        (Socket::bind(any).unwrap(), Socket::bind(any).unwrap())
    }

    #[test]
    fn a_batch_comes_in_and_goes_back_from_the_same_buffers() {
        let (here, there) = pair();
        for n in 0..5_u8 {
            there.send_to(&[n; 100], here.local()).unwrap();
        }
        let mut batch = Batch::new(4);
        let received = batch.receive(&here, 0).unwrap();
        assert_eq!(received, 4);
        assert_eq!(batch.received(3), Some((there.local(), 100)));
        batch.slot_mut(3)[HEADROOM_BYTES] = 9;
        let to = there.local();
        let refused = batch.send(&here, received, |n, slots| {
            Some(Outgoing {
                bytes: &slots.slot(n)[HEADROOM_BYTES..HEADROOM_BYTES + 100],
                to,
            })
        });
        assert_eq!(refused, 0);
        let mut answers = Batch::new(BATCH_MAX);
        assert_eq!(answers.receive(&there, 0).unwrap(), 4);
        assert_eq!(answers.slot(3)[HEADROOM_BYTES], 9);
        assert_eq!(batch.receive(&here, 0).unwrap(), 1);
        assert_eq!(batch.receive(&here, 0).unwrap(), 0);
    }

    #[test]
    fn what_a_turn_left_in_the_lists_is_not_seen_by_the_next() {
        let local = |text: &str| Socket::bind(text.parse().unwrap()).unwrap();
        let (mut named, plain) = (local("[::]:0"), local("127.0.0.1:0"));
        named.name_destinations().unwrap();
        let (sixth, fourth) = (local("[::1]:0"), local("127.0.0.1:0"));
        let asked: IpAddr = "::1".parse().unwrap();
        let mut batch = Batch::new(8);
        // How many come for either in a turn; the named one goes first where it says so.
        for (n, (names, plains, named_first)) in [
            (3, 2, true),
            (1, 5, false),
            (0, 1, true),
            (4, 0, false),
            (2, 2, false),
            (5, 3, true),
        ]
        .into_iter()
        .enumerate()
        {
            for _ in 0..names {
                sixth
                    .send_to(&[n as u8; 40], (asked, named.local().port()).into())
                    .unwrap();
            }
            for _ in 0..plains {
                fourth.send_to(&[n as u8; 30], plain.local()).unwrap();
            }
            let order = if named_first {
                [&named, &plain]
            } else {
                [&plain, &named]
            };
            let first = batch.receive(order[0], 0).unwrap();
            let second = batch.receive(order[1], first).unwrap();
            assert_eq!(first + second, names + plains, "turn {n}");
            for index in 0..first + second {
                let of_named = (index < first) == named_first;
                let expected = if of_named {
                    (sixth.local(), 40, Some(asked))
                } else {
                    (fourth.local(), 30, None)
                };
                let (from, len) = batch.received(index).unwrap();
                assert_eq!(
                    (from, len, batch.destination(index)),
                    expected,
                    "turn {n}, datagram {index}"
                );
            }
        }
    }

    #[test]
    fn a_datagram_that_is_too_long_is_told_apart() {
        let (here, there) = pair();
        there.send_to(&[1; PACKET_BYTES], here.local()).unwrap();
        there.send_to(&[1; PACKET_BYTES + 1], here.local()).unwrap();
        let mut batch = Batch::new(8);
        assert_eq!(batch.receive(&here, 0).unwrap(), 2);
        assert_eq!(batch.received(0), Some((there.local(), PACKET_BYTES)));
        assert_eq!(batch.received(1), None);
    }

    #[test]
    fn a_refused_datagram_is_skipped_and_counted() {
        let (here, there) = pair();
        let bytes = [0_u8; 4];
        let v6: SocketAddr = "[::1]:9".parse().unwrap();
        let mut batch = Batch::new(8);
        let refused = batch.send(&here, 3, |n, _| {
            Some(Outgoing {
                bytes: &bytes,
                to: if n == 1 { v6 } else { there.local() },
            })
        });
        assert_eq!(refused, 1);
        let mut answers = Batch::new(8);
        assert_eq!(answers.receive(&there, 0).unwrap(), 2);
    }

    #[test]
    fn a_socket_bound_to_all_addresses_answers_from_the_one_that_was_asked() {
        for (any, asked) in [("0.0.0.0:0", &["127.0.0.1", "127.0.0.2"][..]), ("[::]:0", &["::1"])] {
            let mut here = Socket::bind(any.parse().unwrap()).unwrap();
            here.name_destinations().unwrap();
            let there = Socket::bind(any.parse().unwrap()).unwrap();
            let mut batch = Batch::new(8);
            for asked in asked {
                let asked: IpAddr = asked.parse().unwrap();
                there.send_to(b"?", (asked, here.local().port()).into()).unwrap();
                assert_eq!(batch.receive(&here, 0).unwrap(), 1);
                assert_eq!(batch.destination(0), Some(asked));
                let (to, _) = batch.received(0).unwrap();
                let refused = batch.send_from(&here, 1, |_, _| Some((Outgoing { bytes: b"!", to }, Some(asked))));
                assert_eq!(refused, 0);
                let mut answers = Batch::new(8);
                assert_eq!(answers.receive(&there, 0).unwrap(), 1);
                let (from, _) = answers.received(0).unwrap();
                assert_eq!(from, (asked, here.local().port()).into());
                assert_eq!(answers.destination(0), None, "it was not told to name them");
            }
        }
    }

    #[test]
    fn what_would_leave_from_a_foreign_address_is_refused_and_the_next_one_is_sent() {
        let (here, there) = pair();
        let foreign: IpAddr = "192.0.2.1".parse().unwrap();
        let mut batch = Batch::new(8);
        let to = there.local();
        let refused = batch.send_from(&here, 2, |n, _| {
            Some((Outgoing { bytes: b"!", to }, (n == 0).then_some(foreign)))
        });
        assert_eq!(refused, 1);
        // The places of the batch are used again: what stood beside a datagram does not stand beside the next.
        assert_eq!(batch.send(&here, 1, |_, _| Some(Outgoing { bytes: b"!", to })), 0);
        assert_eq!(Batch::new(8).receive(&there, 0).unwrap(), 2);
    }
}
