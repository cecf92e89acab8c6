//! How many TLS handshakes each network may begin: a share of what all may, so that one that hammers is alone in being
//! refused.
//!
//! A token bucket per network, in two rows of fixed size under a secret hash, for an entry per network would grow with a
//! flood and one that goes with its connections would be forgotten by closing them. Either cell may allow, both pay:
//! networks that fall into one and the same cell seldom share both.
//!
//! Invariant: no entry is ever made; of a network there begin at most [`Shares::burst`] and [`Shares::per_s`] a second.

use std::hash::BuildHasher;
use std::net::IpAddr;

use crate::core::hash::{Keyed, prefix};

/// Cells per row; two rows of 16 bytes each are 32 KiB. Networks that shake hands at the same time are some hundred.
const CELLS: usize = 1_024;
/// What one handshake costs, in the unit of the cells.
const ONE: u64 = 1_000;

#[derive(Clone, Copy, Debug)]
struct Cell {
    /// Handshakes that may begin, in thousandths.
    left: u64,
    at_ms: u64,
}

/// See the top of this file.
#[derive(Debug)]
pub(super) struct Shares {
    rows: [Box<[Cell]>; 2],
    hash: Keyed,
    /// Handshakes that come back in a second.
    per_s: u64,
    /// Handshakes that a network that was quiet may begin at once.
    burst: u64,
}

impl Shares {
    /// All networks have been quiet. `seed`: random.
    pub(super) fn new(seed: &[u8; 32], per_s: u32, burst: u32, now_ms: u64) -> Shares {
        let (per_s, burst) = (u64::from(per_s), u64::from(burst));
        let row = || {
            let full = Cell {
                left: burst * ONE,
                at_ms: now_ms,
            };
            vec![full; CELLS].into_boxed_slice()
        };
        Shares {
            rows: [row(), row()],
            hash: Keyed::new(seed, b's'),
            per_s,
            burst,
        }
    }

    /// Whether this network has one left.
    pub(super) fn has(&mut self, now_ms: u64, from: IpAddr) -> bool {
        let (per_s, most) = (self.per_s, self.burst * ONE);
        self.cells(from)
            .map(|cell| {
                let passed = now_ms.saturating_sub(cell.at_ms);
                cell.at_ms = cell.at_ms.max(now_ms);
                cell.left = cell.left.saturating_add(passed.saturating_mul(per_s)).min(most);
                cell.left
            })
            .max()
            .is_some_and(|left| left >= ONE)
    }

    /// It begins one.
    pub(super) fn pay(&mut self, from: IpAddr) {
        for cell in self.cells(from) {
            cell.left = cell.left.saturating_sub(ONE);
        }
    }

    fn cells(&mut self, from: IpAddr) -> impl Iterator<Item = &mut Cell> {
        let hash = self.hash.hash_one(prefix(from));
        let places = [hash as usize % CELLS, (hash >> 32) as usize % CELLS];
        self.rows
            .iter_mut()
            .zip(places)
            .filter_map(|(row, place)| row.get_mut(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// How many of `tries` a network gets at this moment.
    fn gets(shares: &mut Shares, now_ms: u64, from: IpAddr, tries: usize) -> usize {
        let get = |_: &usize| {
            let has = shares.has(now_ms, from);
            if has {
                shares.pay(from);
            }
            has
        };
        (0..tries).filter(get).count()
    }

    #[test]
    fn a_network_has_its_burst_and_then_its_rate_and_others_are_not_touched() {
        let mut shares = Shares::new(&[7; 32], 50, 64, 0);
        assert_eq!(gets(&mut shares, 0, ip("192.0.2.1"), 1_000), 64);
        assert_eq!(gets(&mut shares, 0, ip("192.0.2.200"), 1_000), 0, "the same /24");
        assert_eq!(gets(&mut shares, 0, ip("198.51.100.1"), 1_000), 64);
        assert_eq!(gets(&mut shares, 0, ip("2001:db8:0:100::1"), 1_000), 64);
        assert_eq!(gets(&mut shares, 0, ip("2001:db8:0:1ff::9"), 1_000), 0, "the same /56");
        assert_eq!(gets(&mut shares, 19, ip("192.0.2.1"), 9), 0);
        assert_eq!(gets(&mut shares, 20, ip("192.0.2.1"), 9), 1);
        assert_eq!(gets(&mut shares, 1_020, ip("192.0.2.1"), 1_000), 50);
        assert_eq!(
            gets(&mut shares, 1 << 40, ip("192.0.2.1"), 1_000),
            64,
            "no more than the burst"
        );
        assert_eq!(
            gets(&mut shares, 0, ip("192.0.2.1"), 9),
            0,
            "time that goes back gives nothing"
        );
    }

    #[test]
    fn a_hundred_networks_that_hammer_leave_nearly_every_other_one_its_own() {
        let mut shares = Shares::new(&[9; 32], 50, 64, 0);
        for n in 0..100_u32 {
            let from = IpAddr::from((0x0A00_0000 + (n << 8)).to_be_bytes());
            gets(&mut shares, 0, from, 1_000);
        }
        let untouched = (0..1_000_u32).filter(|n| {
            let from = IpAddr::from((0xC000_0000 + (n << 8)).to_be_bytes());
            shares.has(0, from)
        });
        // Both cells of a network are taken with a probability of one in a hundred.
        let untouched = untouched.count();
        assert!(untouched >= 970, "{untouched}");
    }
}
