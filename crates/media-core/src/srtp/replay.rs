//! The replay window of one stream (RFC 3711 §3.3.2), as a ring of bits.
//!
//! Invariant: after [`Window::take`] of an index, [`Window::age`] never calls that index new again.

/// Indices behind the newest that are told apart: 5 s at 50 packets/s, so a late copy still reaches the recorder.
/// Higher: a byte per 8 packets and stream. Lower: late repairs are thrown away.
pub const WINDOW: u64 = 256;

const WORDS: usize = (WINDOW / 64) as usize;

/// What the window thinks of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Not taken yet.
    New,
    /// Taken before.
    Replayed,
    /// So far behind that nobody can tell.
    TooOld,
}

/// See the top of this file.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// One above the newest index; 0 before the first.
    end: u64,
    bits: [u64; WORDS],
}

impl Window {
    /// The newest index taken; `None` before the first.
    #[inline]
    #[must_use]
    pub fn newest(&self) -> Option<u64> {
        self.end.checked_sub(1)
    }

    /// Looks without changing anything.
    #[inline]
    #[must_use]
    pub fn age(&self, index: u64) -> Age {
        if index >= self.end {
            Age::New
        } else if self.end - index > WINDOW {
            Age::TooOld
        } else if self.bits[word(index)] & bit(index) != 0 {
            Age::Replayed
        } else {
            Age::New
        }
    }

    /// Marks an index that was [`Age::New`]; call it only after the packet was authenticated.
    #[inline]
    pub fn take(&mut self, index: u64) {
        if index >= self.end {
            if index - self.end >= WINDOW {
                self.bits = [0; WORDS];
            } else {
                for skipped in self.end..index {
                    self.bits[word(skipped)] &= !bit(skipped);
                }
            }
            self.end = index + 1;
        }
        self.bits[word(index)] |= bit(index);
    }
}

#[inline]
fn word(index: u64) -> usize {
    (index / 64) as usize % WORDS
}

#[inline]
fn bit(index: u64) -> u64 {
    1 << (index % 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn the_window_is_256_wide_and_not_257() {
        let mut window = Window::default();
        assert_eq!(window.newest(), None);
        window.take(1_000);
        assert_eq!(window.age(1_000), Age::Replayed);
        assert_eq!(window.age(1_000 - 255), Age::New);
        assert_eq!(window.age(1_000 - 256), Age::TooOld);
        window.take(1_000 - 255);
        assert_eq!(window.age(1_000 - 255), Age::Replayed);
        window.take(1_001);
        assert_eq!(window.age(1_001 - 255), Age::New);
        assert_eq!(window.age(1_000 - 255), Age::TooOld);
    }

    #[test]
    fn a_jump_of_exactly_the_window_leaves_no_old_bit() {
        for jump in [255, 256, 257, 511, 512, 100_000] {
            let mut window = Window::default();
            for index in 0..300 {
                window.take(index);
            }
            window.take(299 + jump);
            let oldest = 299 + jump - 255;
            for index in oldest.max(300)..299 + jump {
                assert_eq!(window.age(index), Age::New, "jump {jump}, index {index}");
            }
        }
    }

    proptest! {
        #![proptest_config(testkit::properties::usual())]

        #[test]
        fn it_agrees_with_a_set_of_all_indices(steps in prop::collection::vec((0u64..400, any::<bool>()), 1..400)) {
            let mut window = Window::default();
            let mut seen = HashSet::new();
            let mut newest: Option<u64> = None;
            let mut base = 500u64;
            for (step, forward) in steps {
                let index = if forward { base += step; base } else { base - step };
                let expected = match newest {
                    Some(newest) if index + WINDOW <= newest => Age::TooOld,
                    _ if seen.contains(&index) => Age::Replayed,
                    _ => Age::New,
                };
                prop_assert_eq!(window.age(index), expected);
                if expected == Age::New {
                    window.take(index);
                    seen.insert(index);
                    newest = newest.max(Some(index));
                }
            }
        }
    }
}
