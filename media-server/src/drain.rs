//! Emptying a node: no new calls, live ones go on, what is left at the deadline is closed; undone at any time.
//!
//! Pure: time is an argument, and whoever asks closes the rooms.
//!
//! Invariant: nothing is closed before the deadline.

/// Longest time in seconds that an emptying may last: a day, so that a wrong figure does not mean "never".
pub const DRAIN_S_MAX: u64 = 24 * 3_600;

/// How long an emptying lasts that the node begins by itself, seconds: longer than nearly every call.
pub const DRAIN_S: u64 = 15 * 60;

const SECOND: u64 = 1_000_000_000;

/// See the top of this file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drain {
    /// When what is left is closed, nanoseconds; `None` while the node serves.
    until: Option<u64>,
    number: u64,
}

impl Drain {
    /// Begins, or sets another deadline, `limit_s` seconds from now.
    pub fn begin(&mut self, now: u64, limit_s: u64) {
        self.number += u64::from(self.until.is_none());
        self.until = Some(now.saturating_add(limit_s.min(DRAIN_S_MAX) * SECOND));
    }

    /// The node serves again.
    pub fn undo(&mut self) {
        self.until = None;
    }

    /// True while the node is being emptied.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.until.is_some()
    }

    /// How many emptyings were begun; another deadline makes no new one.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Whole seconds until the deadline, rounded up, while the node is being emptied.
    #[must_use]
    pub fn left_s(&self, now: u64) -> Option<u64> {
        self.until.map(|until| until.saturating_sub(now).div_ceil(SECOND))
    }

    /// True from the deadline on: whatever lives is to be closed, and nothing new may begin.
    #[must_use]
    pub fn is_over(&self, now: u64) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_over_before_the_deadline() {
        let mut drain = Drain::default();
        assert!(!drain.is_on() && !drain.is_over(u64::MAX));
        drain.begin(5 * SECOND, 10);
        assert!(drain.is_on());
        assert_eq!(
            (drain.left_s(5 * SECOND), drain.left_s(14 * SECOND + 1)),
            (Some(10), Some(1))
        );
        assert!(!drain.is_over(15 * SECOND - 1));
        assert!(drain.is_over(15 * SECOND));
        assert_eq!(drain.left_s(99 * SECOND), Some(0));
    }

    #[test]
    fn it_is_undone_and_begun_again_with_another_deadline() {
        let mut drain = Drain::default();
        drain.begin(0, 1);
        drain.begin(0, 20);
        assert!(!drain.is_over(2 * SECOND), "the later order counts");
        assert_eq!(drain.number(), 1, "and is the same emptying");
        drain.undo();
        assert_eq!(
            (drain.is_on(), drain.left_s(0), drain.is_over(u64::MAX)),
            (false, None, false)
        );
        drain.begin(0, 0);
        assert!(drain.is_over(0), "no time at all is at once");
        assert_eq!(drain.number(), 2);
        drain.begin(0, u64::MAX);
        assert_eq!(drain.left_s(0), Some(DRAIN_S_MAX));
    }
}
