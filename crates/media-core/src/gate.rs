//! A rate limit in eight bytes: the time at which the next unit would be due if all came evenly (GCRA).
//!
//! Never remembers single packets.

use crate::limits::SECOND;

/// One limit's state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gate {
    due: u64,
}

/// A rate and what may come at once after silence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    unit: u64,
    slack: u64,
}

impl Rate {
    /// `per_s` units a second, `burst` at once.
    pub(crate) const fn new(per_s: u32, burst: u32) -> Rate {
        let unit = SECOND / per_s as u64;
        Rate {
            unit,
            slack: unit * burst as u64,
        }
    }
}

impl Gate {
    /// True, and counted, if `units` more are within the rate.
    #[inline]
    pub(crate) fn pass(&mut self, now: u64, units: u32, rate: Rate) -> bool {
        let due = self.due.max(now) + rate.unit * u64::from(units);
        let within = due <= now + rate.slack;
        if within {
            self.due = due;
        }
        within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_whole_and_the_next_one_waits_for_its_time() {
        let rate = Rate::new(50, 50);
        let mut gate = Gate::default();
        let now = 7 * SECOND;
        assert!((0..50).all(|_| gate.pass(now, 1, rate)));
        assert!(!gate.pass(now, 1, rate));
        assert!(!gate.pass(now + SECOND / 50 - 1, 1, rate));
        assert!(gate.pass(now + SECOND / 50, 1, rate));
    }

    #[test]
    fn the_rate_holds_for_ever() {
        let rate = Rate::new(200, 200);
        let mut gate = Gate::default();
        let passed = (0..100_000u64)
            .filter(|n| gate.pass(n * SECOND / 1_000, 1, rate))
            .count();
        assert!((20_000..=20_200).contains(&passed), "{passed}");
    }
}
