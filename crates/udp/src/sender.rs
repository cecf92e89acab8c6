//! The kernel's lists for datagrams that go out, and the one call over them.
#![expect(unsafe_code, reason = "sendmmsg")]

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::RawFd,
};

use crate::{address, destination};

/// Lists for so many datagrams per call, made once.
pub(crate) struct Sender {
    headers: Vec<libc::mmsghdr>,
    vectors: Vec<libc::iovec>,
    names: Vec<address::Storage>,
    controls: Vec<destination::Control>,
}

// SAFETY: the raw pointers inside are read only during the call that has written them.
unsafe impl Send for Sender {}

impl Sender {
    /// For up to `size` datagrams per call.
    pub(crate) fn new(size: usize) -> Sender {
        // SAFETY: all-zero headers are empty headers.
        let header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        let vector = libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        };
        Sender {
            headers: vec![header; size],
            vectors: vec![vector; size],
            names: vec![address::empty(); size],
            controls: vec![destination::empty(); size],
        }
    }

    /// Sends datagrams in order, `describe(n)` giving bytes, destination and, if the kernel is not to choose it, the
    /// source of the n-th of `count`; returns how many the kernel refused. Those are skipped.
    #[inline]
    pub(crate) fn send<'a>(
        &mut self,
        socket: RawFd,
        count: usize,
        describe: impl Fn(usize) -> Option<(&'a [u8], SocketAddr, Option<IpAddr>)>,
    ) -> usize {
        let mut refused = 0;
        let mut next = 0;
        while next < count {
            let mut filled = 0;
            while filled < self.headers.len() && next < count {
                if let Some((bytes, to, from)) = describe(next) {
                    self.put(filled, bytes, to, from);
                    filled += 1;
                }
                next += 1;
            }
            refused += self.flush(socket, filled);
        }
        refused
    }

    #[inline]
    fn put(&mut self, place: usize, bytes: &[u8], to: SocketAddr, from: Option<IpAddr>) {
        self.vectors[place] = libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        let header = &mut self.headers[place].msg_hdr;
        header.msg_namelen = address::write(&mut self.names[place], to);
        header.msg_name = (&raw mut self.names[place]).cast();
        header.msg_iov = &raw mut self.vectors[place];
        header.msg_iovlen = 1;
        (header.msg_control, header.msg_controllen) = match from {
            Some(from) => {
                let control = &mut self.controls[place];
                let bytes = destination::write(control, from);
                (std::ptr::from_mut(control).cast(), bytes as _)
            }
            None => (std::ptr::null_mut(), 0),
        };
    }

    fn flush(&mut self, socket: RawFd, filled: usize) -> usize {
        let mut list = &mut self.headers[..filled];
        let mut refused = 0;
        while !list.is_empty() {
            // SAFETY: the headers up to `filled` were written since `send` began: each points to a name, a vector and a
            // control message of this value, and to bytes that live as long as the borrow that `send` was given.
            let sent = unsafe { libc::sendmmsg(socket, list.as_mut_ptr(), list.len() as libc::c_uint, 0) };
            let done = if sent > 0 {
                sent as usize
            } else {
                if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                refused += 1;
                1
            };
            list = &mut list[done..];
        }
        refused
    }
}
