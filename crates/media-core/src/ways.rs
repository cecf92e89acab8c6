//! The ways that are known, and what each leads to.
//!
//! Those of IPv4 stand apart, in a table whose places are known by the key alone: every packet looks for its own, in memory
//! that the kernel has put out of the caches since, and so a place can be asked for some packets ahead. Of their 16 bytes
//! four lie in a cache line.
//!
//! Invariant: an entry stands at its home place or behind it without a gap; no more than half of the places are taken.

use rustc_hash::FxHashMap;

use crate::addr::Key;

/// Places of a table that has anything.
const PLACES_MIN: usize = 16;
/// The golden ratio in 32 bits, twice: neighbouring addresses, which are the upper half of a key, and neighbouring ports, in the
/// lower one, both come far apart in the upper bits of a product with it.
const SPREAD: u64 = 0x9E37_79B9_9E37_79B1;
/// The key of a place that is free; no way over IPv4 has it.
const FREE: u64 = 0;

#[derive(Clone, Copy, Debug, Default)]
struct Entry<T> {
    key: u64,
    thing: T,
}

/// Keys of 8 bytes, side by side with their things.
#[derive(Debug)]
struct Flat<T> {
    /// None, or a power of two.
    places: Vec<Entry<T>>,
    taken: usize,
}

impl<T: Copy + Default> Flat<T> {
    const fn new() -> Flat<T> {
        Flat {
            places: Vec::new(),
            taken: 0,
        }
    }

    /// Where the search for a key begins; there must be places.
    #[inline]
    fn home(&self, key: u64) -> usize {
        // A power of two of places has as many bits as zeros behind its one.
        (key.wrapping_mul(SPREAD) >> (u64::BITS - self.places.len().trailing_zeros())) as usize
    }

    #[inline]
    fn after(&self, place: usize) -> usize {
        (place + 1) & (self.places.len() - 1)
    }

    /// The place of a key, or the free one that it would get; `None` while there are no places.
    #[inline]
    fn find(&self, key: u64) -> Option<usize> {
        if self.places.is_empty() {
            return None;
        }
        let mut place = self.home(key);
        loop {
            let there = self.places[place].key;
            if there == key || there == FREE {
                return Some(place);
            }
            place = self.after(place);
        }
    }

    #[inline]
    fn get(&self, key: u64) -> Option<&T> {
        let entry = &self.places[self.find(key)?];
        (entry.key == key).then_some(&entry.thing)
    }

    fn address(&self, key: u64) -> Option<*const u8> {
        let place = (!self.places.is_empty()).then(|| self.home(key))?;
        Some(std::ptr::from_ref(&self.places[place]).cast())
    }

    fn insert(&mut self, key: u64, thing: T) {
        if 2 * (self.taken + 1) > self.places.len() {
            self.grow();
        }
        let place = self.find(key).expect("it has just grown where there were none");
        self.taken += usize::from(self.places[place].key == FREE);
        self.places[place] = Entry { key, thing };
    }

    fn grow(&mut self) {
        let places = (2 * self.places.len()).max(PLACES_MIN);
        self.refill(places, |_| true);
    }

    /// Begins anew with so many places and what is kept.
    fn refill(&mut self, places: usize, keep: impl Fn(&T) -> bool) {
        let before = std::mem::replace(&mut self.places, vec![Entry::default(); places]);
        self.taken = 0;
        for Entry { key, thing } in before {
            if key != FREE && keep(&thing) {
                let place = self.find(key).expect("there are places");
                self.places[place] = Entry { key, thing };
                self.taken += 1;
            }
        }
    }

    fn remove(&mut self, key: u64) -> Option<T> {
        let mut gap = self.find(key)?;
        let Entry { key: there, thing } = self.places[gap];
        if there != key {
            return None;
        }
        self.taken -= 1;
        // What stands behind moves up where it may: nothing may be behind a gap that began its search before it.
        let mut place = gap;
        loop {
            place = self.after(place);
            let next = self.places[place];
            if next.key == FREE {
                break;
            }
            let mask = self.places.len() - 1;
            let (from_home, from_gap) = (place.wrapping_sub(self.home(next.key)), place.wrapping_sub(gap));
            if from_home & mask >= from_gap & mask {
                self.places[gap] = next;
                gap = place;
            }
        }
        self.places[gap] = Entry::default();
        Some(thing)
    }
}

/// See the top of this file.
#[derive(Debug)]
pub(crate) struct Ways<T> {
    v4: Flat<T>,
    others: FxHashMap<Key, T>,
}

impl<T: Copy + Default> Default for Ways<T> {
    fn default() -> Ways<T> {
        Ways {
            v4: Flat::new(),
            others: FxHashMap::default(),
        }
    }
}

impl<T: Copy + Default> Ways<T> {
    #[inline]
    pub(crate) fn get(&self, key: &Key) -> Option<&T> {
        match key.v4() {
            Some(key) => self.v4.get(key),
            None => self.others.get(key),
        }
    }

    /// Where the search for a key begins, without looking; `None` where that is not known.
    #[inline]
    pub(crate) fn address(&self, key: &Key) -> Option<*const u8> {
        self.v4.address(key.v4()?)
    }

    pub(crate) fn insert(&mut self, key: Key, thing: T) {
        match key.v4() {
            Some(key) => self.v4.insert(key, thing),
            None => {
                self.others.insert(key, thing);
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &Key) -> Option<T> {
        match key.v4() {
            Some(key) => self.v4.remove(key),
            None => self.others.remove(key),
        }
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.v4.refill(self.v4.places.len(), &keep);
        self.others.retain(|_, thing| keep(thing));
    }

    pub(crate) fn len(&self) -> usize {
        self.v4.taken + self.others.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::addr::tests::{of_ipv4, of_others};

    #[test]
    fn ways_of_all_kinds_are_kept_apart() {
        let (v4, others) = (of_ipv4(), of_others());
        let mut ways = Ways::<usize>::default();
        let unknown = |key: &Key| ways.get(key).is_none() && ways.address(key).is_none();
        assert!(v4.iter().all(unknown));
        for (n, key) in v4.iter().chain(&others).enumerate() {
            ways.insert(*key, n);
        }
        assert_eq!(ways.len(), 18);
        for (n, key) in v4.iter().chain(&others).enumerate() {
            assert_eq!(ways.get(key), Some(&n));
        }
        assert!(v4.iter().all(|key| ways.address(key).is_some()));
        assert!(others.iter().all(|key| ways.address(key).is_none()));
        ways.retain(|n| n % 2 == 0);
        assert_eq!(
            (ways.len(), ways.remove(&others[0]), ways.remove(&others[1])),
            (9, None, Some(16))
        );
        assert_eq!((ways.get(&others[1]), ways.len()), (None, 8));
    }

    /// Any numbers will do, as long as they repeat.
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *state >> 33
    }

    #[test]
    fn a_flat_table_is_a_map_whatever_comes_and_goes() {
        let mut state = 1;
        // Few keys, so that they meet; and those of the last places, whose neighbours are the first.
        for keys in [3, 40, 400] {
            let (mut flat, mut model) = (Flat::new(), BTreeMap::new());
            for step in 0..20_000_u64 {
                let key = 1 + next(&mut state) % keys;
                match next(&mut state) % 3 {
                    0 => assert_eq!(flat.remove(key), model.remove(&key), "{step}"),
                    _ => {
                        flat.insert(key, step);
                        model.insert(key, step);
                    }
                }
                assert_eq!(flat.taken, model.len());
                let asked = 1 + next(&mut state) % keys;
                assert_eq!(flat.get(asked), model.get(&asked), "{step}");
            }
            assert!((1..=keys).all(|key| flat.get(key) == model.get(&key)));
            assert!(2 * flat.taken <= flat.places.len() && flat.places.len() <= 1_024);
            flat.refill(flat.places.len(), |step| step % 2 == 0);
            model.retain(|_, step| *step % 2 == 0);
            assert!((1..=keys).all(|key| flat.get(key) == model.get(&key)) && flat.taken == model.len());
        }
    }

    #[test]
    fn addresses_of_one_network_and_ports_of_one_address_are_found_near_their_home() {
        for keys in [0..4_096_u64, 0..60].map(|range| range.map(|n| (n + 1) << 32 | 4 << 16 | 50_000)) {
            distances(keys);
        }
        distances((0..4_096).map(|n| 0x0A00_0001 << 32 | 4 << 16 | (10_000 + n)));
        distances((0..4_096).map(|n| 0x0A00_0001 << 32 | 4 << 16 | (10_000 + 2 * n)));
    }

    fn distances(keys: impl Iterator<Item = u64> + Clone) {
        let mut flat = Flat::new();
        keys.clone().for_each(|key| flat.insert(key, ()));
        let far = |key| {
            let mask = flat.places.len() - 1;
            flat.find(key).unwrap().wrapping_sub(flat.home(key)) & mask
        };
        let all: Vec<usize> = keys.map(far).collect();
        let mean = all.iter().sum::<usize>() as f64 / all.len() as f64;
        assert!(mean < 1.0, "{mean} places from home in the mean");
    }
}
