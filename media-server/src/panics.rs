//! When defects of ours are too many to go on with: each ends one leg, and ten in a minute empty the node.
//!
//! Pure: counts and time are arguments. Whoever asks empties the node and raises the alarm.
//!
//! Invariant: what led to one emptying leads to no second one; an operator who undoes it gets another ten.

use std::collections::VecDeque;

/// Panics within [`WITHIN_NS`] from which on the node is emptied. One is a packet that nobody foresaw; ten are a defect
/// that many calls meet, and another node, or the version before, serves them better.
pub const PANICS_MAX: usize = 10;
/// Nanoseconds that are looked back at: a minute.
pub const WITHIN_NS: u64 = 60 * 1_000_000_000;

/// The panics of the last minute, of all shards.
#[derive(Clone, Debug, Default)]
pub struct Panics {
    /// When, nanoseconds, oldest first; [`PANICS_MAX`] at most.
    recent: VecDeque<u64>,
}

impl Panics {
    /// Takes `new` panics that were reported at `now`, nanoseconds. True when the node is to be emptied.
    pub fn count(&mut self, now: u64, new: u64) -> bool {
        let new = usize::try_from(new).unwrap_or(usize::MAX);
        self.recent.extend(std::iter::repeat_n(now, new.min(PANICS_MAX)));
        self.recent.retain(|at| now.saturating_sub(*at) < WITHIN_NS);
        let too_many = self.recent.len() >= PANICS_MAX;
        if too_many {
            self.recent.clear();
        }
        too_many
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn nine_in_a_minute_are_borne_and_the_tenth_is_not() {
        let mut panics = Panics::default();
        for second in 0..9 {
            assert!(!panics.count(second * SECOND, 1));
        }
        assert!(!panics.count(20 * SECOND, 0));
        assert!(panics.count(WITHIN_NS - 1, 1), "the first is just within the minute");
    }

    #[test]
    fn what_is_a_minute_old_does_not_count() {
        let mut panics = Panics::default();
        assert!(!panics.count(0, 9));
        assert!(!panics.count(WITHIN_NS, 1));
        assert!(!panics.count(WITHIN_NS, 8));
        assert!(panics.count(WITHIN_NS, 1));
    }

    #[test]
    fn after_an_emptying_it_begins_anew() {
        let mut panics = Panics::default();
        assert!(panics.count(0, u64::MAX), "a storm in one report");
        assert!(!panics.count(0, 0));
        assert!(!panics.count(1, 9));
        assert!(panics.count(2, 1));
    }
}
