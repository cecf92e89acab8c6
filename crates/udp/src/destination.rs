//! Which address of this machine a datagram came to, and from which one the answer leaves: what has to be said beside
//! each datagram of a socket that is bound to all of them (`ip(7)`, IP_PKTINFO; RFC 3542 §6, IPV6_PKTINFO).
#![expect(unsafe_code, reason = "the kernel's control messages are read through their own tag")]

use std::{
    mem::{offset_of, size_of},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// A control message of IPv4, as the kernel lays it out: the head, then at its alignment the content.
#[repr(C)]
#[derive(Clone, Copy)]
struct V4 {
    head: libc::cmsghdr,
    info: libc::in_pktinfo,
}

/// The same of IPv6.
#[repr(C)]
#[derive(Clone, Copy)]
struct V6 {
    head: libc::cmsghdr,
    info: libc::in6_pktinfo,
}

/// Room for one control message of either family.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) union Control {
    v4: V4,
    v6: V6,
}

/// Bytes up to the end of the content, which is what the head and the kernel count.
const V4_BYTES: usize = offset_of!(V4, info) + size_of::<libc::in_pktinfo>();
const V6_BYTES: usize = offset_of!(V6, info) + size_of::<libc::in6_pktinfo>();

/// An empty one.
pub(crate) fn empty() -> Control {
    // SAFETY: plain data, of which all zeros is a value.
    unsafe { std::mem::zeroed() }
}

/// The address that the kernel wrote into the first `bytes` bytes; `None` if it wrote none that answers can leave from.
pub(crate) fn read(control: &Control, bytes: usize) -> Option<IpAddr> {
    if bytes < size_of::<libc::cmsghdr>() {
        return None;
    }
    // SAFETY: every variant begins with a head, and a control message has been zeroed before anybody wrote into it.
    let head = unsafe { control.v4.head };
    let address = match (head.cmsg_level, head.cmsg_type) {
        (libc::IPPROTO_IP, libc::IP_PKTINFO) if bytes >= V4_BYTES => {
            // SAFETY: the tag says what follows the head, and it is plain data.
            let info = unsafe { control.v4.info };
            // Not `ipi_addr`, which for a broadcast is the broadcast.
            IpAddr::V4(Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr)))
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if bytes >= V6_BYTES => {
            // SAFETY: the tag says what follows the head, and it is plain data.
            let info = unsafe { control.v6.info };
            IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr))
        }
        _ => return None,
    };
    (!address.is_unspecified() && !address.is_multicast()).then_some(address)
}

/// Says that a datagram leaves from `from`; returns how many bytes the kernel has to look at.
pub(crate) fn write(control: &mut Control, from: IpAddr) -> usize {
    *control = empty();
    match from {
        IpAddr::V4(v4) => {
            // SAFETY: a field of the variant is written, all of it being plain data.
            let V4 { head, info } = unsafe { &mut control.v4 };
            head.cmsg_level = libc::IPPROTO_IP;
            head.cmsg_type = libc::IP_PKTINFO;
            head.cmsg_len = V4_BYTES as _;
            info.ipi_spec_dst.s_addr = u32::from(v4).to_be();
            size_of::<V4>()
        }
        IpAddr::V6(v6) => {
            // SAFETY: a field of the variant is written, all of it being plain data.
            let V6 { head, info } = unsafe { &mut control.v6 };
            head.cmsg_level = libc::IPPROTO_IPV6;
            head.cmsg_type = libc::IPV6_PKTINFO;
            head.cmsg_len = V6_BYTES as _;
            info.ipi6_addr.s6_addr = v6.octets();
            size_of::<V6>()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_if_all_of_it_is_there() {
        for text in ["127.0.0.2", "203.0.113.7", "::1", "2001:db8::7"] {
            let from: IpAddr = text.parse().unwrap();
            let mut control = empty();
            let bytes = write(&mut control, from);
            assert_eq!(read(&control, bytes), Some(from));
            assert_eq!(read(&control, size_of::<libc::cmsghdr>() + 4), None);
            assert_eq!(read(&control, 0), None);
        }
        for text in ["0.0.0.0", "224.0.0.251", "::", "ff02::fb"] {
            let mut control = empty();
            let bytes = write(&mut control, text.parse().unwrap());
            assert_eq!(read(&control, bytes), None, "{text} answers nobody");
        }
    }

    #[test]
    fn the_layout_is_the_kernels() {
        // SAFETY: arithmetic.
        let space = |bytes: usize| unsafe { libc::CMSG_SPACE(bytes as libc::c_uint) } as usize;
        assert_eq!(size_of::<V4>(), space(size_of::<libc::in_pktinfo>()));
        assert_eq!(size_of::<V6>(), space(size_of::<libc::in6_pktinfo>()));
    }
}
