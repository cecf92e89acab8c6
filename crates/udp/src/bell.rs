//! Waking a thread that waits for sockets.
#![expect(unsafe_code, reason = "eventfd and poll")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    sync::Arc,
};

use crate::Socket;

/// A bell that any thread may ring; ringing twice before it is heard is one ring.
#[derive(Clone, Debug)]
pub struct Bell(Arc<OwnedFd>);

impl Bell {
    /// Makes a bell.
    ///
    /// # Errors
    /// What the kernel says, when descriptors are used up.
    pub fn new() -> io::Result<Bell> {
        // SAFETY: a plain system call without pointers.
        let raw = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is fresh and nobody else's.
        Ok(Bell(Arc::new(unsafe { OwnedFd::from_raw_fd(raw) })))
    }

    /// Wakes whoever waits, now or the next time.
    pub fn ring(&self) {
        let one: u64 = 1;
        // SAFETY: eight bytes of a local are read. A full counter already rings, so the result does not matter.
        unsafe { libc::write(self.0.as_raw_fd(), std::ptr::from_ref(&one).cast(), 8) };
    }

    /// Forgets earlier rings; for who waits by a [`Poller`](crate::Poller).
    pub fn hush(&self) {
        let mut count: u64 = 0;
        // SAFETY: eight bytes of a local are written. An empty counter is no error to us.
        unsafe { libc::read(self.0.as_raw_fd(), std::ptr::from_mut(&mut count).cast(), 8) };
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Most sockets that one thread waits for: both address families and some room.
const SOCKETS_MAX: usize = 6;

/// Waits until a socket is readable, the bell rings, or `timeout_ms` (negative: for ever) has passed.
///
/// Returns whether any of `sockets` is readable. At most [`SOCKETS_MAX`] of them are looked at.
///
/// # Errors
/// What the kernel says; an interrupted wait is none.
pub fn wait(sockets: &[&Socket], bell: &Bell, timeout_ms: i32) -> io::Result<bool> {
    let mut list = [libc::pollfd {
        fd: -1,
        events: libc::POLLIN,
        revents: 0,
    }; SOCKETS_MAX + 1];
    list[0].fd = bell.0.as_raw_fd();
    for (entry, socket) in list[1..].iter_mut().zip(sockets) {
        entry.fd = socket.raw() as RawFd;
    }
    // SAFETY: the array lives through the call; entries with fd -1 are skipped by the kernel.
    let ready = unsafe { libc::poll(list.as_mut_ptr(), list.len() as libc::nfds_t, timeout_ms) };
    if ready < 0 {
        let fault = io::Error::last_os_error();
        return if fault.kind() == io::ErrorKind::Interrupted {
            Ok(false)
        } else {
            Err(fault)
        };
    }
    if list[0].revents != 0 {
        bell.hush();
    }
    Ok(list[1..].iter().any(|entry| entry.revents != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_wakes_once_and_is_then_forgotten() {
        let bell = Bell::new().unwrap();
        let socket = Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        bell.ring();
        bell.ring();
        assert!(!wait(&[&socket], &bell, -1).unwrap());
        assert!(!wait(&[&socket], &bell, 0).unwrap());
        socket.send_to(b"x", socket.local()).unwrap();
        assert!(wait(&[&socket], &bell, -1).unwrap());
    }
}
