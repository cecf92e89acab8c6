//! The ways that are known, and what each leads to.
//!
//! Those of IPv4 stand apart, in a table of cache lines whose numbers are known by the key alone: every packet looks for its
//! own, in memory that the kernel has put out of the caches since, and so a line can be asked for some packets ahead.
//!
//! Invariant: an entry stands in its home line, or behind lines that are full from there on; no more than half of the places
//! are taken.

use rustc_hash::FxHashMap;

use crate::addr::Key;

/// Lines of a table that has anything.
const LINES_MIN: usize = 4;
/// Entries of a line: four of 16 bytes.
const ENTRIES: usize = 4;
/// Neighbouring addresses, which are the upper half of a key, and neighbouring ports, in the lower one, both come far apart in
/// the upper bits of a product with it: the golden ratio in 32 bits, and another number, for with the same one twice an address
/// higher by as much as its port is lower would have the same home.
const SPREAD: u64 = 0x9E37_79B9_85EB_CA77;
/// The key of a place that is free; no way over IPv4 has it.
const FREE: u64 = 0;

#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Line<T> {
    keys: [u64; ENTRIES],
    things: [T; ENTRIES],
}

impl<T> Line<T> {
    /// Where a key stands.
    #[inline]
    fn place(&self, key: u64) -> Option<usize> {
        // Each is compared, wherever it stands: where the search ends the processor could not guess.
        let found = (0..ENTRIES).fold(0_u32, |found, place| {
            found | u32::from(self.keys[place] == key) << place
        });
        (found != 0).then(|| found.trailing_zeros() as usize)
    }

    #[inline]
    fn free(&self) -> Option<usize> {
        self.place(FREE)
    }
}

/// Keys of 8 bytes, side by side with their things.
#[derive(Debug)]
struct Flat<T> {
    /// None, or a power of two.
    lines: Vec<Line<T>>,
    taken: usize,
}

impl<T: Copy + Default> Flat<T> {
    const fn new() -> Flat<T> {
        Flat {
            lines: Vec::new(),
            taken: 0,
        }
    }

    /// The line where the search for a key begins; there must be lines.
    #[inline]
    fn home(&self, key: u64) -> usize {
        // A power of two of lines has as many bits as zeros behind its one.
        (key.wrapping_mul(SPREAD) >> (u64::BITS - self.lines.len().trailing_zeros())) as usize
    }

    #[inline]
    fn after(&self, line: usize) -> usize {
        (line + 1) & (self.lines.len() - 1)
    }

    /// How many lines `line` lies behind another one.
    fn behind(&self, line: usize, other: usize) -> usize {
        line.wrapping_sub(other) & (self.lines.len() - 1)
    }

    /// Line and place of a key.
    #[inline]
    fn find(&self, key: u64) -> Option<(usize, usize)> {
        if self.lines.is_empty() {
            return None;
        }
        let mut at = self.home(key);
        loop {
            let line = &self.lines[at];
            if let Some(place) = line.place(key) {
                return Some((at, place));
            }
            if line.free().is_some() {
                return None;
            }
            at = self.after(at);
        }
    }

    #[inline]
    fn get(&self, key: u64) -> Option<&T> {
        let (line, place) = self.find(key)?;
        Some(&self.lines[line].things[place])
    }

    fn address(&self, key: u64) -> Option<*const u8> {
        let line = (!self.lines.is_empty()).then(|| self.home(key))?;
        Some(std::ptr::from_ref(&self.lines[line]).cast())
    }

    fn insert(&mut self, key: u64, thing: T) {
        if let Some((line, place)) = self.find(key) {
            self.lines[line].things[place] = thing;
            return;
        }
        if 2 * (self.taken + 1) > ENTRIES * self.lines.len() {
            self.refill((2 * self.lines.len()).max(LINES_MIN), |_| true);
        }
        self.put(key, thing);
    }

    /// Puts what is not there yet into the first free place; there must be one.
    fn put(&mut self, key: u64, thing: T) {
        let mut at = self.home(key);
        let place = loop {
            match self.lines[at].free() {
                Some(place) => break place,
                None => at = self.after(at),
            }
        };
        (self.lines[at].keys[place], self.lines[at].things[place]) = (key, thing);
        self.taken += 1;
    }

    /// Begins anew with so many lines and what is kept.
    fn refill(&mut self, lines: usize, keep: impl Fn(&T) -> bool) {
        let before = std::mem::replace(&mut self.lines, vec![Line::default(); lines]);
        self.taken = 0;
        for Line { keys, things } in before {
            for (key, thing) in keys.into_iter().zip(things) {
                if key != FREE && keep(&thing) {
                    self.put(key, thing);
                }
            }
        }
    }

    fn remove(&mut self, key: u64) -> Option<T> {
        let (mut gap, mut place) = self.find(key)?;
        let thing = self.lines[gap].things[place];
        self.taken -= 1;
        // What went past a full line moves up to it: a search ends at the first line that has a free place.
        let mut at = gap;
        while self.lines[at].free().is_none() {
            at = self.after(at);
            let went_past = |key: u64| key != FREE && self.behind(at, self.home(key)) >= self.behind(at, gap);
            let moves = self.lines[at].keys.into_iter().position(went_past);
            if let Some(from) = moves {
                let Line { keys, things } = self.lines[at];
                (self.lines[gap].keys[place], self.lines[gap].things[place]) = (keys[from], things[from]);
                (gap, place) = (at, from);
            }
        }
        (self.lines[gap].keys[place], self.lines[gap].things[place]) = (FREE, T::default());
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
        self.v4.refill(self.v4.lines.len(), &keep);
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
        // Few keys, so that they meet; and those of the last lines, whose neighbours are the first.
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
            assert!(2 * flat.taken <= ENTRIES * flat.lines.len() && flat.lines.len() <= 256);
            flat.refill(flat.lines.len(), |step| step % 2 == 0);
            model.retain(|_, step| *step % 2 == 0);
            assert!((1..=keys).all(|key| flat.get(key) == model.get(&key)) && flat.taken == model.len());
        }
    }

    #[test]
    fn addresses_of_one_network_and_ports_of_one_address_are_found_in_their_home_line() {
        let key = |address: u64, port: u64| (0x0A00_0001 + address) << 32 | 4 << 16 | port;
        at_home((0..4_096).map(|n| key(n, 50_000)));
        at_home((0..60).map(|n| key(n, 50_000)));
        at_home((0..4_096).map(|n| key(0, 10_000 + n)));
        at_home((0..4_096).map(|n| key(0, 10_000 + 2 * n)));
        at_home((0..4_096).map(|n| key(n, 10_000 + n)));
        at_home((0..4_096).map(|n| key(n, 60_000 - n)));
        // Many behind a few addresses, each with a range of ports.
        for addresses in [16, 256] {
            at_home((0..4_096).map(|n| key(n % addresses, 40_000 + n / addresses)));
        }
        let (elsewhere, all) = elsewhere((0..4_096).map(|n| key(n % 64, 40_000 + n / 64)));
        assert!(5 * elsewhere <= all, "{elsewhere} of {all}");
        at_home((0..4_096).map(|n| key(n, 40_000 + n % 8 * 7)));
        let mut state = 1;
        let mut any = || next(&mut state) << 32 | 4 << 16 | next(&mut state) & 0xFFFF;
        let strangers: Vec<u64> = (0..4_096).map(|_| any()).collect();
        at_home(strangers.into_iter());
    }

    fn at_home(keys: impl Iterator<Item = u64> + Clone) {
        let (elsewhere, all) = elsewhere(keys);
        assert!(12 * elsewhere <= all, "{elsewhere} of {all}");
    }

    /// How many stand in another line than their home, and how many there are.
    fn elsewhere(keys: impl Iterator<Item = u64> + Clone) -> (usize, usize) {
        let mut flat = Flat::new();
        keys.clone().for_each(|key| flat.insert(key, ()));
        let away = keys.clone().filter(|key| flat.find(*key).unwrap().0 != flat.home(*key));
        (away.count(), keys.count())
    }

    #[test]
    fn a_line_is_a_cache_line() {
        assert_eq!(size_of::<Line<u64>>(), 64);
    }
}
