//! One socket that is many clients: at home at every address of the loopback, it says with each datagram from which of
//! them it comes, and learns of each that arrives where it went and when the kernel had it. For who has to be thousands
//! of clients in one thread: a call into the kernel moves the datagrams of many.
//!
//! Never leaves the host: it is bound to the loopback device.
#![expect(unsafe_code, reason = "socket options, and the control messages of recvmmsg")]

use std::{
    io, mem,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    time::Duration,
};

use crate::sender::Sender;
use crate::{BATCH_MAX, PACKET_BYTES, SOCKET_BUFFER_BYTES, address};

/// Room for what the kernel says of one datagram, in words of eight bytes: address (32 bytes), stamp (32), losses (24).
const CONTROL_WORDS: usize = 12;
/// The device.
const DEVICE: &[u8] = b"lo\0";

type Control = [u64; CONTROL_WORDS];

/// See the top of this file.
#[derive(Debug)]
pub struct Loopback {
    socket: OwnedFd,
    port: u16,
}

impl Loopback {
    /// Opens it on a free port; the port is the same at every address.
    ///
    /// # Errors
    /// What the kernel says, when descriptors or ports are used up.
    pub fn open() -> io::Result<Loopback> {
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: a plain system call without pointers.
        let raw = unsafe { libc::socket(libc::AF_INET, kind, 0) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is fresh and nobody else's.
        let socket = unsafe { OwnedFd::from_raw_fd(raw) };
        set(raw, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, DEVICE)?;
        let (on, size) = (1_i32.to_ne_bytes(), (SOCKET_BUFFER_BYTES as i32).to_ne_bytes());
        set(raw, libc::IPPROTO_IP, libc::IP_PKTINFO, &on)?;
        set(raw, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &on)?;
        set(raw, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &on)?;
        // Without it the kernel draws an identification for each datagram, which nobody needs where none is cut.
        let whole = libc::IP_PMTUDISC_DO.to_ne_bytes();
        set(raw, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, &whole)?;
        for option in [libc::SO_RCVBUF, libc::SO_SNDBUF] {
            set(raw, libc::SOL_SOCKET, option, &size)?;
        }
        for option in [libc::SO_RCVBUFFORCE, libc::SO_SNDBUFFORCE] {
            // Works for root only; without it the kernel's cap stays in force.
            let _ = set(raw, libc::SOL_SOCKET, option, &size);
        }
        let mut storage = address::empty();
        let mut length = address::write(&mut storage, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0).into());
        // SAFETY: the storage holds an address of `length` bytes and lives through the call.
        if unsafe { libc::bind(raw, std::ptr::from_ref(&storage).cast(), length) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the storage has room for `length` bytes, and both live through the call.
        if unsafe { libc::getsockname(raw, std::ptr::from_mut(&mut storage).cast(), &raw mut length) } < 0 {
            return Err(io::Error::last_os_error());
        }
        let local = address::read(&storage).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Loopback {
            socket,
            port: local.port(),
        })
    }

    /// Its port at every address.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn set(raw: i32, level: i32, option: i32, value: &[u8]) -> io::Result<()> {
    // SAFETY: the value lives through the call, and its length is told.
    let result = unsafe {
        libc::setsockopt(
            raw,
            level,
            option,
            value.as_ptr().cast(),
            value.len() as libc::socklen_t,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn header() -> libc::mmsghdr {
    // SAFETY: an all-zero header is an empty header.
    unsafe { mem::zeroed() }
}

fn vector() -> libc::iovec {
    libc::iovec {
        iov_base: std::ptr::null_mut(),
        iov_len: 0,
    }
}

/// A datagram that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Address it was sent to.
    pub to: Ipv4Addr,
    /// Its bytes.
    pub len: usize,
    /// When the kernel had it, since the Unix epoch.
    pub stamp: Option<Duration>,
    /// Datagrams that the kernel has thrown away at this socket since it was opened, for want of room; wraps.
    pub dropped: Option<u32>,
}

/// Buffers for datagrams that come, made once.
pub struct Inbox {
    buffers: Vec<[u8; PACKET_BYTES]>,
    headers: Vec<libc::mmsghdr>,
    vectors: Vec<libc::iovec>,
    controls: Vec<Control>,
    /// Headers that the kernel has written since they were last prepared: a call that finds nothing prepares nothing.
    used: usize,
}

// SAFETY: the raw pointers inside point only into the vectors of the same value, which are never resized.
unsafe impl Send for Inbox {}

impl Inbox {
    /// Room for `size` datagrams per call, 1 to [`BATCH_MAX`].
    #[must_use]
    pub fn new(size: usize) -> Inbox {
        let size = size.clamp(1, BATCH_MAX);
        Inbox {
            buffers: vec![[0; PACKET_BYTES]; size],
            headers: vec![header(); size],
            vectors: vec![vector(); size],
            controls: vec![[0; CONTROL_WORDS]; size],
            used: size,
        }
    }

    /// Datagrams per call.
    #[must_use]
    pub fn size(&self) -> usize {
        self.buffers.len()
    }

    /// Takes what is waiting, without blocking; returns how many.
    ///
    /// # Errors
    /// What the kernel says, except that nothing is waiting.
    pub fn receive(&mut self, socket: &Loopback) -> io::Result<usize> {
        for index in 0..mem::take(&mut self.used) {
            self.vectors[index] = libc::iovec {
                iov_base: self.buffers[index].as_mut_ptr().cast(),
                iov_len: PACKET_BYTES,
            };
            let header = &mut self.headers[index].msg_hdr;
            header.msg_iov = &raw mut self.vectors[index];
            header.msg_iovlen = 1;
            header.msg_control = self.controls[index].as_mut_ptr().cast();
            header.msg_controllen = size_of::<Control>() as _;
            header.msg_flags = 0;
        }
        // SAFETY: every header points to a buffer, a vector and a control of this value, which lives through the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        if count >= 0 {
            self.used = count as usize;
            return Ok(self.used);
        }
        let fault = io::Error::last_os_error();
        match fault.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionRefused => Ok(0),
            _ => Err(fault),
        }
    }

    /// What came as the `index`-th of the last call; `None` when it was cut or the kernel did not say where to.
    #[must_use]
    pub fn arrival(&self, index: usize) -> Option<Arrival> {
        let header = self.headers.get(index)?;
        if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
            return None;
        }
        let mut to = None;
        let mut arrival = Arrival {
            to: Ipv4Addr::UNSPECIFIED,
            len: header.msg_len as usize,
            stamp: None,
            dropped: None,
        };
        // SAFETY: the kernel has filled the control buffer up to the length in the header, and both are of this value.
        let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const header.msg_hdr) };
        while !next.is_null() {
            // SAFETY: the macros of libc keep inside the length that the kernel wrote; a header is aligned to a word.
            let (level, kind, data) = unsafe { ((*next).cmsg_level, (*next).cmsg_type, libc::CMSG_DATA(next)) };
            match (level, kind) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    // SAFETY: this kind carries an in_pktinfo.
                    let info = unsafe { std::ptr::read_unaligned(data.cast::<libc::in_pktinfo>()) };
                    to = Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)));
                }
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    // SAFETY: this kind carries a timespec.
                    let time = unsafe { std::ptr::read_unaligned(data.cast::<libc::timespec>()) };
                    arrival.stamp = Some(Duration::new(time.tv_sec.max(0) as u64, time.tv_nsec as u32));
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                    // SAFETY: this kind carries 32 bits.
                    arrival.dropped = Some(unsafe { std::ptr::read_unaligned(data.cast::<u32>()) });
                }
                _ => {}
            }
            // SAFETY: as above.
            next = unsafe { libc::CMSG_NXTHDR(&raw const header.msg_hdr, next) };
        }
        arrival.to = to?;
        Some(arrival)
    }

    /// The bytes of the `index`-th datagram of the last call.
    pub fn datagram_mut(&mut self, index: usize) -> &mut [u8] {
        let len = (self.headers[index].msg_len as usize).min(PACKET_BYTES);
        &mut self.buffers[index][..len]
    }
}

/// Datagrams that are sent together, in order.
pub struct Outbox {
    buffers: Vec<[u8; PACKET_BYTES]>,
    /// How many bytes of each are staged, from where and where to.
    staged: Vec<(usize, Ipv4Addr, SocketAddrV4)>,
    sender: Sender,
}

impl Outbox {
    /// Room for `size` datagrams per call, 1 to [`BATCH_MAX`].
    #[must_use]
    pub fn new(size: usize) -> Outbox {
        let size = size.clamp(1, BATCH_MAX);
        Outbox {
            buffers: vec![[0; PACKET_BYTES]; size],
            staged: Vec::with_capacity(size),
            sender: Sender::new(size),
        }
    }

    /// Datagrams that wait to be sent.
    #[must_use]
    pub fn staged(&self) -> usize {
        self.staged.len()
    }

    /// True when another one has no room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.staged.len() == self.buffers.len()
    }

    /// Adds a datagram; false when there is no room for it or in it.
    pub fn stage(&mut self, from: Ipv4Addr, to: SocketAddrV4, bytes: &[u8]) -> bool {
        if self.is_full() || bytes.len() > PACKET_BYTES {
            return false;
        }
        self.buffers[self.staged.len()][..bytes.len()].copy_from_slice(bytes);
        self.staged.push((bytes.len(), from, to));
        true
    }

    /// Sends what is staged and forgets it; returns how many the kernel refused. Those are skipped, as on a full line.
    pub fn send(&mut self, socket: &Loopback) -> usize {
        let (buffers, staged) = (&self.buffers, &self.staged);
        let refused = self.sender.send(socket.socket.as_raw_fd(), staged.len(), |n| {
            let (len, from, to) = *staged.get(n)?;
            Some((&buffers[n][..len], to.into(), Some(from.into())))
        });
        self.staged.clear();
        refused
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};

    use super::*;

    const FIRST: Ipv4Addr = Ipv4Addr::new(127, 64, 0, 1);
    const SECOND: Ipv4Addr = Ipv4Addr::new(127, 65, 2, 3);

    fn server() -> (UdpSocket, SocketAddrV4) {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(local) = server.local_addr().unwrap() else {
            panic!("an IPv4 address was asked for");
        };
        (server, local)
    }

    #[test]
    fn each_datagram_comes_from_the_address_that_was_named_and_an_answer_finds_it() {
        let (server, to) = server();
        let socket = Loopback::open().unwrap();
        let mut outbox = Outbox::new(4);
        assert!(outbox.stage(FIRST, to, b"one") && outbox.stage(SECOND, to, b"other"));
        assert_eq!((outbox.staged(), outbox.send(&socket), outbox.staged()), (2, 0, 0));
        let mut buffer = [0; 16];
        for (address, said) in [(FIRST, &b"one"[..]), (SECOND, b"other")] {
            let (len, from) = server.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..len], from), (said, (address, socket.port()).into()));
            server.send_to(said, from).unwrap();
        }
        let mut inbox = Inbox::new(8);
        assert_eq!(inbox.receive(&socket).unwrap(), 2);
        let (first, second) = (inbox.arrival(0).unwrap(), inbox.arrival(1).unwrap());
        assert_eq!((first.to, first.len, second.to, second.len), (FIRST, 3, SECOND, 5));
        assert_eq!(inbox.datagram_mut(1), b"other");
        // The kernel stamps in the order of arrival.
        assert!(first.stamp.is_some() && first.stamp <= second.stamp);
        assert_eq!(inbox.receive(&socket).unwrap(), 0);
    }

    #[test]
    fn what_has_no_room_is_not_taken_and_a_full_box_says_so() {
        let (_server, to) = server();
        let mut outbox = Outbox::new(1);
        assert!(!outbox.stage(FIRST, to, &[0; PACKET_BYTES + 1]));
        assert!(outbox.stage(FIRST, to, &[0; PACKET_BYTES]));
        assert!(outbox.is_full() && !outbox.stage(FIRST, to, b"x"));
    }

    #[test]
    fn a_datagram_that_is_too_long_is_told_apart() {
        let (server, to) = server();
        let socket = Loopback::open().unwrap();
        let mut outbox = Outbox::new(1);
        outbox.stage(FIRST, to, b"x");
        outbox.send(&socket);
        let (_, from) = server.recv_from(&mut [0; 4]).unwrap();
        server.send_to(&[1; PACKET_BYTES + 1], from).unwrap();
        let mut inbox = Inbox::new(2);
        assert_eq!(inbox.receive(&socket).unwrap(), 1);
        assert_eq!(inbox.arrival(0), None);
        assert_eq!(inbox.datagram_mut(0).len(), PACKET_BYTES);
    }
}
