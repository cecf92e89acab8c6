//! Listening and connected TCP sockets with the options that the standard library does not offer.
#![expect(unsafe_code, reason = "socket options that the standard library does not offer")]

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use crate::{address, socket::set};

/// Connections that wait to be accepted: a burst of joins, the kernel's own usual limit.
const BACKLOG: libc::c_int = 1_024;

/// Listens without blocking. An IPv6 socket takes IPv6 only, so that the same port can be bound for both families.
///
/// # Errors
/// What the kernel says; `AddrInUse` for a taken port.
pub fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let family = if at.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: a plain system call without pointers.
    let raw = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is fresh and nobody else's.
    let owned = unsafe { OwnedFd::from_raw_fd(raw) };
    if at.is_ipv6() {
        set(raw, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
    }
    // A restart must not wait for the connections of the run before.
    set(raw, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    let mut storage = address::empty();
    let length = address::write(&mut storage, at);
    // SAFETY: the storage holds an address of `length` bytes and lives through the call.
    if unsafe { libc::bind(raw, std::ptr::from_ref(&storage).cast(), length) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a plain system call without pointers.
    if unsafe { libc::listen(raw, BACKLOG) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(TcpListener::from(owned))
}

/// Makes an accepted connection fit for voice: no waiting for more to send, no blocking, and at most `unsent_bytes` that
/// the kernel holds and has not sent, so that what is old can still be dropped before it is the kernel's.
///
/// # Errors
/// What the kernel says.
pub fn for_voice(stream: &TcpStream, unsent_bytes: u32) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    let value = libc::c_int::try_from(unsent_bytes).unwrap_or(libc::c_int::MAX);
    set(stream.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};

    #[test]
    fn both_families_share_a_port_and_neither_blocks() {
        let v4 = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = v4.local_addr().unwrap().port();
        // The any-address of the other family would take this port too if it were not kept to its own.
        let v6 = listen(SocketAddr::new("::".parse().unwrap(), port)).unwrap();
        assert_eq!(v4.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut client = TcpStream::connect(v4.local_addr().unwrap()).unwrap();
        let (mut server, _) = loop {
            match v4.accept() {
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                other => break other.unwrap(),
            }
        };
        for_voice(&server, 16_384).unwrap();
        assert!(server.nodelay().unwrap());
        assert_eq!(server.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        server.write_all(b"x").unwrap();
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
        assert_eq!(
            listen(v6.local_addr().unwrap()).unwrap_err().kind(),
            ErrorKind::AddrInUse
        );
    }
}
