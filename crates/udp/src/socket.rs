//! One bound UDP socket, non-blocking, of one address family.
#![expect(unsafe_code, reason = "socket options that the standard library does not offer")]

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use crate::{SOCKET_BUFFER_BYTES, address};

/// See the top of this file.
#[derive(Debug)]
pub struct Socket {
    inner: UdpSocket,
    local: SocketAddr,
    names_destinations: bool,
}

impl Socket {
    /// Binds. An IPv6 socket takes IPv6 only, so that the same port can be bound for both families.
    ///
    /// # Errors
    /// What the kernel says; `AddrInUse` for a taken port.
    pub fn bind(address: SocketAddr) -> io::Result<Socket> {
        Self::open(address, false)
    }

    /// Binds a port that other sockets of this process bind the same way; the kernel spreads the senders over them.
    ///
    /// Adding or closing one of them moves every sender: all must be bound before the first is read.
    ///
    /// # Errors
    /// What the kernel says; `AddrInUse` for a port that somebody holds alone.
    pub fn bind_shared(address: SocketAddr) -> io::Result<Socket> {
        Self::open(address, true)
    }

    fn open(address: SocketAddr, shared: bool) -> io::Result<Socket> {
        let family = if address.is_ipv4() {
            libc::AF_INET
        } else {
            libc::AF_INET6
        };
        // SAFETY: a plain system call without pointers.
        let raw = unsafe { libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is fresh and nobody else's.
        let owned = unsafe { OwnedFd::from_raw_fd(raw) };
        if address.is_ipv6() {
            set(raw, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
        }
        if shared {
            set(raw, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
        }
        for option in [libc::SO_RCVBUF, libc::SO_SNDBUF] {
            set(raw, libc::SOL_SOCKET, option, SOCKET_BUFFER_BYTES as i32)?;
        }
        for option in [libc::SO_RCVBUFFORCE, libc::SO_SNDBUFFORCE] {
            // Works for root only; without it the kernel's cap stays in force.
            let _ = set(raw, libc::SOL_SOCKET, option, SOCKET_BUFFER_BYTES as i32);
        }
        let mut storage = address::empty();
        let length = address::write(&mut storage, address);
        // SAFETY: the storage holds an address of `length` bytes and lives through the call.
        if unsafe { libc::bind(raw, std::ptr::from_ref(&storage).cast(), length) } < 0 {
            return Err(io::Error::last_os_error());
        }
        let inner = UdpSocket::from(owned);
        let local = inner.local_addr()?;
        Ok(Socket {
            inner,
            local,
            names_destinations: false,
        })
    }

    /// Where it is bound; the port is the real one when 0 was asked for.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The same socket; if it is bound to all addresses of its machine, with [`Socket::name_destinations`], for the answer
    /// must leave from the address that was asked. One that is bound to a single address has nothing to say.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn naming(mut self) -> io::Result<Socket> {
        if self.local.ip().is_unspecified() {
            self.name_destinations()?;
        }
        Ok(self)
    }

    /// The same socket, whose datagrams nobody splits: for who sends none that is longer than any way takes. A claim that a
    /// way is narrower (a forged ICMP message, RFC 8085 section 3.2) then changes nothing, and the kernel is spared the
    /// identification that it draws for each datagram that somebody might split (RFC 6864).
    ///
    /// # Errors
    /// What the kernel says.
    pub fn whole(self) -> io::Result<Socket> {
        let (level, option, value) = match self.local {
            SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE),
            SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE),
        };
        set(self.raw(), level, option, value)?;
        Ok(self)
    }

    /// From now on every datagram says to which address of this machine it came
    /// ([`Batch::destination`](crate::Batch::destination)); for a socket that is bound to all of them.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn name_destinations(&mut self) -> io::Result<()> {
        let (level, option) = match self.local {
            SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_PKTINFO),
            SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
        };
        set(self.raw(), level, option, 1)?;
        self.names_destinations = true;
        Ok(())
    }

    pub(crate) fn names_destinations(&self) -> bool {
        self.names_destinations
    }

    /// Bytes that the kernel grants for received datagrams.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn receive_buffer_bytes(&self) -> io::Result<usize> {
        let mut value: libc::c_int = 0;
        let mut length = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: both pointers are to locals of the sizes that are named.
        let result = unsafe {
            libc::getsockopt(
                self.raw(),
                libc::SOL_SOCKET,
                libc::SO_RCVBUF,
                std::ptr::from_mut(&mut value).cast(),
                &raw mut length,
            )
        };
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(value.max(0) as usize)
        }
    }

    /// Sends one datagram now; for what is rare.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.inner.send_to(bytes, to)
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

/// Whether datagrams of a socket may be split on their way. `v6`: the socket's family.
///
/// # Errors
/// What the kernel says.
pub fn dont_fragment(socket: &impl AsFd, v6: bool, on: bool) -> io::Result<()> {
    let (level, option) = if v6 {
        (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER)
    } else {
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER)
    };
    let value = match (v6, on) {
        (false, true) => libc::IP_PMTUDISC_DO,
        (false, false) => libc::IP_PMTUDISC_DONT,
        (true, true) => libc::IPV6_PMTUDISC_DO,
        (true, false) => libc::IPV6_PMTUDISC_DONT,
    };
    set(socket.as_fd().as_raw_fd(), level, option, value)
}

/// Whether an error number of the kernel says that a datagram was longer than its way.
#[must_use]
pub fn is_message_too_long(number: i32) -> bool {
    number == libc::EMSGSIZE
}

pub(crate) fn set(socket: RawFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the pointer is to a local of the size that is named.
    let result = unsafe { libc::setsockopt(socket, level, option, std::ptr::from_ref(&value).cast(), length) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PACKET_BYTES;

    #[test]
    fn a_datagram_that_would_have_to_be_split_is_refused_and_any_other_leaves() {
        // With its headers longer than the loopback's own frames, the longest there are; of IPv4 there is no such datagram.
        const TOO_LONG_BYTES: usize = 65_507;
        let socket = Socket::bind("[::1]:0".parse().unwrap()).unwrap();
        assert!(
            socket.send_to(&[0; TOO_LONG_BYTES], socket.local()).is_ok(),
            "split, as long as it may be"
        );
        let socket = socket.whole().unwrap();
        let refused = socket.send_to(&[0; TOO_LONG_BYTES], socket.local()).unwrap_err();
        assert!(is_message_too_long(refused.raw_os_error().unwrap()), "{refused}");
        assert!(socket.send_to(&[0; PACKET_BYTES], socket.local()).is_ok());
        let four = Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap().whole().unwrap();
        assert!(four.send_to(&[0; PACKET_BYTES], four.local()).is_ok());
    }

    #[test]
    fn only_those_who_share_may_have_the_same_port() {
        let one = Socket::bind_shared("127.0.0.1:0".parse().unwrap()).unwrap();
        let two = Socket::bind_shared(one.local()).unwrap();
        assert_eq!(one.local(), two.local());
        assert_eq!(Socket::bind(one.local()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
