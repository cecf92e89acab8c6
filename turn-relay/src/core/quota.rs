//! How many allocations a leg and a network have, over all workers of the process.
//!
//! Invariant: an entry exists only while its count is above zero, so the tables are no larger than what is allocated.

use std::collections::HashMap;
use std::net::IpAddr;

use ports::LegId;

use super::config::Limits;
use super::hash::{Keyed, prefix};

/// Counts of authenticated allocations; shared by the cores of a process.
#[derive(Debug)]
pub struct Quota {
    legs: HashMap<LegId, u32, Keyed>,
    prefixes: HashMap<u64, u32, Keyed>,
}

impl Quota {
    /// `seed`: random.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Quota {
        Quota {
            legs: HashMap::with_hasher(Keyed::new(seed, b'l')),
            prefixes: HashMap::with_hasher(Keyed::new(seed, b'p')),
        }
    }

    /// Counts `n` more (2 for both families); false and unchanged if that is too many.
    pub(crate) fn take(&mut self, limits: &Limits, leg: LegId, from: IpAddr, n: u32) -> bool {
        let of_leg = self.legs.get(&leg).copied().unwrap_or(0);
        let of_prefix = self.prefixes.get(&prefix(from)).copied().unwrap_or(0);
        if of_leg + n > limits.allocations_per_leg || of_prefix + n > limits.allocations_per_prefix {
            return false;
        }
        self.legs.insert(leg, of_leg + n);
        self.prefixes.insert(prefix(from), of_prefix + n);
        true
    }

    pub(crate) fn give_back(&mut self, leg: LegId, from: IpAddr, n: u32) {
        lower(&mut self.legs, leg, n);
        lower(&mut self.prefixes, prefix(from), n);
    }

    /// Legs and prefixes that have allocations.
    #[must_use]
    pub fn entries(&self) -> (usize, usize) {
        (self.legs.len(), self.prefixes.len())
    }
}

fn lower<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u32, Keyed>, key: K, n: u32) {
    if let std::collections::hash_map::Entry::Occupied(mut entry) = counts.entry(key) {
        *entry.get_mut() = entry.get().saturating_sub(n);
        if *entry.get() == 0 {
            entry.remove();
        }
    }
}
