//! Places for sockets that have not said their first word: so many on this node, and of those a share for one network.
//!
//! Invariant: a place that is given back was taken, whatever ends the socket.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::limits::{SILENT_PER_NETWORK_MAX, SILENT_SOCKETS_MAX};

/// Who counts as one: a customer may have all of an IPv6 /56.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Network {
    V4([u8; 4]),
    V6([u8; 7]),
}

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Network::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, ..] = address.octets();
                Network::V6([a, b, c, d, e, f, g])
            }
        }
    }
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// No entry stands at zero, so there are never more of them than places.
    by_network: HashMap<Network, usize>,
}

/// The places.
#[derive(Debug, Default)]
pub(crate) struct Silent(Mutex<Taken>);

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    silent: &'a Silent,
    network: Option<Network>,
}

impl Silent {
    /// A place for a socket of `address`; without one it counts for no network. `None` when there is no room.
    pub(crate) fn enter(&self, address: Option<IpAddr>) -> Option<Place<'_>> {
        let network = address.map(Network::of);
        let mut taken = self.taken();
        if taken.all >= SILENT_SOCKETS_MAX {
            return None;
        }
        if let Some(network) = network {
            let of_it = taken.by_network.entry(network).or_default();
            if *of_it >= SILENT_PER_NETWORK_MAX {
                return None;
            }
            *of_it += 1;
        }
        taken.all += 1;
        Some(Place { silent: self, network })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Nothing in here falls halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.silent.taken();
        taken.all -= 1;
        if let Some(network) = self.network
            && let Some(of_it) = taken.by_network.get_mut(&network)
        {
            *of_it -= 1;
            if *of_it == 0 {
                taken.by_network.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    /// Takes all that one network gets.
    fn fill<'a>(silent: &'a Silent, mut address: impl FnMut(usize) -> Option<IpAddr>) -> Vec<Place<'a>> {
        (0..SILENT_PER_NETWORK_MAX)
            .map(|n| silent.enter(address(n)).expect("within its share"))
            .collect()
    }

    #[test]
    fn one_address_has_its_share_and_leaves_the_others_theirs() {
        let silent = Silent::default();
        let mut held = fill(&silent, |_| ip("192.0.2.1"));
        assert!(silent.enter(ip("192.0.2.1")).is_none());
        assert!(
            silent.enter(ip("::ffff:192.0.2.1")).is_none(),
            "the same, written otherwise"
        );
        assert!(silent.enter(ip("192.0.2.2")).is_some());
        held.pop();
        assert!(silent.enter(ip("192.0.2.1")).is_some(), "what is given back is free");
    }

    #[test]
    fn one_customers_whole_ipv6_network_is_one() {
        let silent = Silent::default();
        let _held = fill(&silent, |n| ip(&format!("2001:db8:0:1{n:02x}::1")));
        assert!(silent.enter(ip("2001:db8:0:1ff::1")).is_none());
        assert!(silent.enter(ip("2001:db8:0:2ff::1")).is_some());
    }

    #[test]
    fn the_node_has_so_many_places_and_forgets_who_left() {
        let silent = Silent::default();
        let of = |n: usize| Some(IpAddr::from([10, 0, (n >> 8) as u8, n as u8]));
        let held: Vec<Place<'_>> = (0..SILENT_SOCKETS_MAX)
            .map(|n| silent.enter(of(n)).expect("room"))
            .collect();
        assert!(silent.enter(of(SILENT_SOCKETS_MAX)).is_none());
        assert!(silent.enter(None).is_none());
        drop(held);
        assert!(silent.taken().by_network.is_empty());
        let unnamed: Vec<Place<'_>> = (0..SILENT_SOCKETS_MAX)
            .map(|_| silent.enter(None).expect("no network, no share"))
            .collect();
        assert!(silent.enter(None).is_none());
        drop(unnamed);
        assert_eq!(silent.taken().all, 0);
    }
}
