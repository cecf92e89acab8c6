//! The addresses of this machine that browsers can reach, read from the kernel's own lists.
//!
//! Opens no socket and asks nobody outside.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses offered to browsers at most: each costs the client a connectivity check every few seconds.
pub(crate) const ADVERTISED_MAX: usize = 8;

/// What to tell browsers when nothing is configured: every reachable address of a bound family, or loopback.
pub(crate) fn reachable(bound: &[IpAddr]) -> Vec<IpAddr> {
    let fixed: Vec<IpAddr> = bound
        .iter()
        .copied()
        .filter(|address| !address.is_unspecified())
        .collect();
    if !fixed.is_empty() {
        return fixed;
    }
    let v4 = fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let v6 = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let mut found: Vec<IpAddr> = Vec::new();
    if bound.iter().any(IpAddr::is_ipv4) {
        found.extend(local_v4(&v4).into_iter().map(IpAddr::V4));
    }
    if bound.iter().any(IpAddr::is_ipv6) {
        found.extend(global_v6(&v6).into_iter().map(IpAddr::V6));
    }
    found.truncate(ADVERTISED_MAX);
    if found.is_empty() {
        found.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    found
}

/// `/proc/net/fib_trie`: an address line, then `/32 host LOCAL` if it is one of ours.
fn local_v4(text: &str) -> Vec<Ipv4Addr> {
    let mut own = BTreeSet::new();
    let mut last = None;
    for line in text.lines() {
        let line = line.trim_start();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.trim().parse::<Ipv4Addr>().ok();
        } else if line.starts_with("/32 host LOCAL") {
            own.extend(last.filter(|address| !address.is_loopback() && !address.is_link_local()));
        }
    }
    own.into_iter().collect()
}

/// `/proc/net/if_inet6`: address in hex, index, prefix length, scope, flags, name. Scope 00 is global.
fn global_v6(text: &str) -> Vec<Ipv6Addr> {
    /// IFA_F_TEMPORARY, IFA_F_DADFAILED, IFA_F_DEPRECATED, IFA_F_TENTATIVE: not to be relied on.
    const UNFIT: u8 = 0x01 | 0x08 | 0x20 | 0x40;
    let mut own = BTreeSet::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [address, _, _, "00", flags, ..] = fields[..] else {
            continue;
        };
        let fit = u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & UNFIT == 0);
        if let (true, Ok(bits)) = (fit, u128::from_str_radix(address, 16)) {
            own.insert(Ipv6Addr::from_bits(bits));
        }
    }
    own.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_addresses_are_told_from_networks_and_loopback() {
        let text = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 10.0.0.0\n        \
                    /24 link UNICAST\n     |-- 10.0.0.7\n        /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link \
                    BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\nLocal:\n     |-- 10.0.0.7\n        /32 host LOCAL\n";
        assert_eq!(local_v4(text), [Ipv4Addr::new(10, 0, 0, 7)]);
    }

    #[test]
    fn only_lasting_global_addresses_of_v6_are_taken() {
        let text = "00000000000000000000000000000001 01 80 10 80       lo\n\
                    fe800000000000000000000000000001 02 40 20 80     eth0\n\
                    20010db8000000000000000000000007 02 40 00 80     eth0\n\
                    20010db8000000000000000000000008 02 40 00 01     eth0\n";
        assert_eq!(
            global_v6(text),
            ["2001:db8::7".parse::<Ipv6Addr>().expect("an address")]
        );
    }

    #[test]
    fn a_bound_address_is_the_one_that_is_told() {
        let one: IpAddr = "192.0.2.1".parse().expect("an address");
        assert_eq!(reachable(&[one]), [one]);
        assert!(!reachable(&["0.0.0.0".parse().expect("any")]).is_empty());
    }
}
