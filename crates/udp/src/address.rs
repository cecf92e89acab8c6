//! Addresses as the kernel writes them.
#![expect(unsafe_code, reason = "the kernel's address union is read through its own tag")]

use std::{
    mem,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
};

/// Room for an address of either family.
pub(crate) type Storage = libc::sockaddr_storage;

/// An empty one.
pub(crate) fn empty() -> Storage {
    // SAFETY: the type is plain data, and all zeros is its "unspecified" form.
    unsafe { mem::zeroed() }
}

/// Reads what the kernel wrote; `None` for a family that is neither IPv4 nor IPv6.
pub(crate) fn read(storage: &Storage) -> Option<SocketAddr> {
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the tag says that this is a sockaddr_in, and the storage is larger and at least as aligned.
            let raw = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(raw.sin_addr.s_addr));
            Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(raw.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: the tag says that this is a sockaddr_in6, and the storage is larger and at least as aligned.
            let raw = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(raw.sin6_addr.s6_addr);
            Some(SocketAddr::V6(SocketAddrV6::new(
                ip,
                u16::from_be(raw.sin6_port),
                0,
                raw.sin6_scope_id,
            )))
        }
        _ => None,
    }
}

/// Writes an address; returns its length for the kernel.
pub(crate) fn write(storage: &mut Storage, address: SocketAddr) -> libc::socklen_t {
    match address {
        SocketAddr::V4(v4) => {
            // SAFETY: the storage is larger than a sockaddr_in and at least as aligned; every field is written.
            let raw = unsafe { &mut *std::ptr::from_mut(storage).cast::<libc::sockaddr_in>() };
            raw.sin_family = libc::AF_INET as libc::sa_family_t;
            raw.sin_port = v4.port().to_be();
            raw.sin_addr.s_addr = u32::from(*v4.ip()).to_be();
            raw.sin_zero = [0; 8];
            mem::size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V6(v6) => {
            // SAFETY: the storage is larger than a sockaddr_in6 and at least as aligned; every field is written.
            let raw = unsafe { &mut *std::ptr::from_mut(storage).cast::<libc::sockaddr_in6>() };
            raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            raw.sin6_port = v6.port().to_be();
            raw.sin6_flowinfo = 0;
            raw.sin6_addr.s6_addr = v6.ip().octets();
            raw.sin6_scope_id = v6.scope_id();
            mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_the_way_through_the_kernels_form() {
        for text in [
            "127.0.0.1:40000",
            "[::1]:3478",
            "[fe80::1%7]:1",
            "255.255.255.255:65535",
        ] {
            let address: SocketAddr = text.parse().unwrap();
            let mut storage = empty();
            write(&mut storage, address);
            assert_eq!(read(&storage), Some(address));
        }
        assert_eq!(read(&empty()), None);
    }
}
