//! Waiting for many descriptors at once, level-triggered: what is not read is reported again.
#![expect(unsafe_code, reason = "epoll")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Something to read, or the other side has closed.
    Read,
    /// Also room to write.
    ReadWrite,
}

/// What happened to one descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The number it was added with.
    pub token: u64,
    /// There is something to read, an end or an error.
    pub readable: bool,
    /// There is room to write, or an error.
    pub writable: bool,
}

/// A set of descriptors and the kernel's list of those that are ready.
#[derive(Debug)]
pub struct Poller {
    set: OwnedFd,
    list: Vec<libc::epoll_event>,
    ready: usize,
}

impl Poller {
    /// An empty set that reports up to `size` descriptors per wait.
    ///
    /// # Errors
    /// What the kernel says, when descriptors are used up.
    pub fn new(size: usize) -> io::Result<Poller> {
        // SAFETY: a plain system call without pointers.
        let raw = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Poller {
            // SAFETY: the descriptor is fresh and nobody else's.
            set: unsafe { OwnedFd::from_raw_fd(raw) },
            list: vec![libc::epoll_event { events: 0, u64: 0 }; size.max(1)],
            ready: 0,
        })
    }

    /// Adds a descriptor under a number of the caller's. A descriptor that is closed leaves the set by itself.
    ///
    /// # Errors
    /// What the kernel says; `AlreadyExists` for one that is in the set.
    pub fn add(&self, descriptor: &impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, descriptor, token, interest)
    }

    /// Changes what is waited for.
    ///
    /// # Errors
    /// What the kernel says; `NotFound` for one that is not in the set.
    pub fn change(&self, descriptor: &impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, descriptor, token, interest)
    }

    /// Takes a descriptor out that stays open.
    ///
    /// # Errors
    /// What the kernel says; `NotFound` for one that is not in the set.
    pub fn remove(&self, descriptor: &impl AsFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, descriptor, 0, Interest::Read)
    }

    fn control(&self, what: i32, descriptor: &impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        let write = if interest == Interest::ReadWrite {
            libc::EPOLLOUT
        } else {
            0
        };
        let mut event = libc::epoll_event {
            events: (libc::EPOLLIN | libc::EPOLLRDHUP | write) as u32,
            u64: token,
        };
        let raw = descriptor.as_fd().as_raw_fd();
        // SAFETY: both descriptors are open, and the event is a local that lives through the call.
        if unsafe { libc::epoll_ctl(self.set.as_raw_fd(), what, raw, &raw mut event) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Waits until something is ready or `timeout_ms` (negative: for ever) has passed; returns how many are.
    ///
    /// # Errors
    /// What the kernel says; an interrupted wait is none.
    pub fn wait(&mut self, timeout_ms: i32) -> io::Result<usize> {
        self.ready = 0;
        let room = self.list.len() as libc::c_int;
        // SAFETY: the list has room for that many events and lives through the call.
        let ready = unsafe { libc::epoll_wait(self.set.as_raw_fd(), self.list.as_mut_ptr(), room, timeout_ms) };
        if ready < 0 {
            let fault = io::Error::last_os_error();
            return if fault.kind() == io::ErrorKind::Interrupted {
                Ok(0)
            } else {
                Err(fault)
            };
        }
        self.ready = ready as usize;
        Ok(self.ready)
    }

    /// The `index`-th of the last wait.
    pub fn ready(&self, index: usize) -> Option<Ready> {
        // The kernel packs the list on some processors: copied, never borrowed.
        let event = *self.list[..self.ready].get(index)?;
        let flags = event.events as libc::c_int;
        let ended = libc::EPOLLERR | libc::EPOLLHUP;
        Some(Ready {
            token: event.u64,
            readable: flags & (libc::EPOLLIN | libc::EPOLLRDHUP | ended) != 0,
            writable: flags & (libc::EPOLLOUT | ended) != 0,
        })
    }
}

/// A set can itself be in a set: it is readable while anything in it is ready.
impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bell, Socket};

    #[test]
    fn what_is_ready_is_told_by_its_number_until_it_is_read() {
        let mut poller = Poller::new(8).unwrap();
        let bell = Bell::new().unwrap();
        let socket = Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        poller.add(&bell, 7, Interest::Read).unwrap();
        poller.add(&socket, 9, Interest::Read).unwrap();
        assert_eq!(poller.wait(0).unwrap(), 0);
        assert_eq!(poller.ready(0), None);
        bell.ring();
        for _ in 0..2 {
            assert_eq!(poller.wait(-1).unwrap(), 1);
            assert!(poller.ready(0).is_some_and(|it| (it.token, it.readable) == (7, true)));
        }
        bell.hush();
        assert_eq!(poller.wait(0).unwrap(), 0);
        poller.change(&socket, 9, Interest::ReadWrite).unwrap();
        assert_eq!(poller.wait(-1).unwrap(), 1);
        let ready = poller.ready(0).unwrap();
        assert_eq!((ready.token, ready.readable, ready.writable), (9, false, true));
        poller.remove(&socket).unwrap();
        assert_eq!(poller.wait(0).unwrap(), 0);
        drop(socket);
    }

    #[test]
    fn more_than_fit_into_one_wait_come_with_the_next() {
        let mut poller = Poller::new(1).unwrap();
        let bells: Vec<Bell> = (0..3).map(|_| Bell::new().unwrap()).collect();
        for (token, bell) in bells.iter().enumerate() {
            poller.add(bell, token as u64, Interest::Read).unwrap();
            bell.ring();
        }
        let mut heard = Vec::new();
        while poller.wait(0).unwrap() == 1 {
            let token = poller.ready(0).unwrap().token;
            bells[token as usize].hush();
            heard.push(token);
        }
        heard.sort_unstable();
        assert_eq!(heard, [0, 1, 2]);
    }
}
