//! How full the spool's disk is, and which recordings are still taken then.
//!
//! Never asks the disk itself and never deletes: the writer looks, the drain and the desk ask for the level.
//!
//! Invariant: a level that was reached is left only when the disk is [`RELEASE_PERCENT`] emptier than where it began,
//! so a disk at a mark does not take one call and refuse the next.

use super::disk::Space;

/// Percent of the disk from which on optional recordings are refused unless the operator says otherwise: what is left
/// is kept for calls that must be recorded. Higher: less time to make room. Lower: recordings are lost that there was
/// room for. The alert comes before, at 70 % (`HelplineSpoolFills`).
pub const REFUSE_OPTIONAL_PERCENT: u8 = 85;
/// Percent from which on no recording is promised any more unless the operator says otherwise. The rest is for the
/// calls that run, and for PostgreSQL, which often lies on the same disk and stops with a full one.
pub const REFUSE_REQUIRED_PERCENT: u8 = 95;
/// By how many percent of the disk it must be emptier than a mark before that mark's level ends: more than the calls of
/// a minute write on a disk that is worth its name (1,000 calls: 0.5 GB).
pub const RELEASE_PERCENT: u8 = 2;
/// The least a mark may be: at or below what ends its level, a level would never end.
pub const MARK_MIN_PERCENT: u8 = RELEASE_PERCENT + 1;

/// From which percent of the disk on which recordings are refused. At 100 a level begins when no byte is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    optional: u8,
    required: u8,
}

impl Default for Marks {
    fn default() -> Marks {
        Marks {
            optional: REFUSE_OPTIONAL_PERCENT,
            required: REFUSE_REQUIRED_PERCENT,
        }
    }
}

impl Marks {
    /// Every recording is taken while a byte is free: for tests and measurements, whose recordings nobody keeps.
    pub const LAST_BYTE: Marks = Marks {
        optional: 100,
        required: 100,
    };

    /// Optional recordings are refused from `optional` percent on, every one from `required`. `None` unless
    /// [`MARK_MIN_PERCENT`] ≤ `optional` ≤ `required` ≤ 100.
    #[must_use]
    pub const fn new(optional: u8, required: u8) -> Option<Marks> {
        if MARK_MIN_PERCENT <= optional && optional <= required && required <= 100 {
            Some(Marks { optional, required })
        } else {
            None
        }
    }
}

/// What the disk has room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every recording.
    #[default]
    Roomy,
    /// Required ones only.
    Scarce,
    /// No more than what runs already.
    Full,
}

impl Level {
    /// The level after a look at the disk. A disk without size tells nothing.
    pub(super) const fn next(self, space: &Space, marks: Marks) -> Level {
        if space.capacity == 0 {
            return self;
        }
        let full = mark(marks.required, matches!(self, Level::Full));
        let scarce = mark(marks.optional, !matches!(self, Level::Roomy));
        if reached(space, full) {
            Level::Full
        } else if reached(space, scarce) {
            Level::Scarce
        } else {
            Level::Roomy
        }
    }

    /// As a number that fits an atomic.
    pub(super) const fn code(self) -> u8 {
        match self {
            Level::Roomy => 0,
            Level::Scarce => 1,
            Level::Full => 2,
        }
    }

    /// The level of a number.
    pub(super) const fn of(code: u8) -> Level {
        match code {
            0 => Level::Roomy,
            1 => Level::Scarce,
            _ => Level::Full,
        }
    }

    /// What it means, for the log.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Level::Roomy => "every recording is taken",
            Level::Scarce => "optional recordings are refused",
            Level::Full => "no recording is promised",
        }
    }
}

const fn mark(percent: u8, held: bool) -> u8 {
    if held { percent - RELEASE_PERCENT } else { percent }
}

/// True when at least `percent` of the disk are used. In 128 bits: no disk is too large.
const fn reached(space: &Space, percent: u8) -> bool {
    space.used() as u128 * 100 >= space.capacity as u128 * percent as u128
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk of which `percent`, and `more` bytes, are used.
    fn used(percent: u8, more: i64) -> Space {
        let capacity = 1_000_000_000;
        let used = (u64::from(percent) * (capacity / 100)).strict_add_signed(more);
        Space {
            spool: 0,
            capacity,
            free: capacity - used,
        }
    }

    /// The level after a look, with the marks that hold unless somebody says otherwise.
    fn next(level: Level, space: &Space) -> Level {
        level.next(space, Marks::default())
    }

    #[test]
    fn a_mark_is_reached_by_the_byte() {
        for (mark, below, at) in [
            (REFUSE_OPTIONAL_PERCENT, Level::Roomy, Level::Scarce),
            (REFUSE_REQUIRED_PERCENT, Level::Scarce, Level::Full),
        ] {
            let from_roomy = |more| next(Level::Roomy, &used(mark, more));
            assert_eq!([from_roomy(-1), from_roomy(0), from_roomy(1)], [below, at, at]);
        }
    }

    #[test]
    fn the_operators_marks_hold_instead_and_a_hundred_is_the_last_byte() {
        let marks = Marks::new(40, 100).expect("marks");
        let from_roomy = |percent, more| Level::Roomy.next(&used(percent, more), marks);
        assert_eq!([from_roomy(40, -1), from_roomy(40, 0)], [Level::Roomy, Level::Scarce]);
        assert_eq!([from_roomy(100, -1), from_roomy(100, 0)], [Level::Scarce, Level::Full]);
        let last = Marks::LAST_BYTE;
        assert_eq!(Marks::new(100, 100), Some(last));
        assert_eq!(Level::Roomy.next(&used(100, -1), last), Level::Roomy);
        assert_eq!(Level::Roomy.next(&used(100, 0), last), Level::Full);
        let first = Marks::new(MARK_MIN_PERCENT, MARK_MIN_PERCENT).expect("marks");
        assert_eq!(
            Level::Full.next(&used(1, -1), first),
            Level::Roomy,
            "the least mark has an end"
        );
    }

    #[test]
    fn marks_that_make_no_sense_are_none() {
        assert_eq!(
            Marks::new(REFUSE_OPTIONAL_PERCENT, REFUSE_REQUIRED_PERCENT),
            Some(Marks::default())
        );
        assert_eq!(Marks::new(MARK_MIN_PERCENT - 1, 95), None, "its level would never end");
        assert_eq!(Marks::new(96, 95), None, "what must be recorded goes last");
        assert_eq!(Marks::new(85, 101), None, "no disk reaches it");
    }

    #[test]
    fn a_level_ends_two_percent_below_its_mark_and_not_before() {
        let scarce = |more| next(Level::Scarce, &used(REFUSE_OPTIONAL_PERCENT - RELEASE_PERCENT, more));
        assert_eq!([scarce(-1), scarce(0)], [Level::Roomy, Level::Scarce]);
        let full = |more| next(Level::Full, &used(REFUSE_REQUIRED_PERCENT - RELEASE_PERCENT, more));
        assert_eq!([full(-1), full(0)], [Level::Scarce, Level::Full]);
        assert_eq!(
            next(Level::Full, &used(REFUSE_OPTIONAL_PERCENT - RELEASE_PERCENT, 0)),
            Level::Scarce,
            "from the full disk down the lower level holds as it does from below"
        );
        assert_eq!(next(Level::Full, &used(10, 0)), Level::Roomy);
    }

    #[test]
    fn a_disk_without_size_changes_nothing_and_a_huge_one_does_not_overflow() {
        assert_eq!(next(Level::Scarce, &Space::default()), Level::Scarce);
        let huge = Space {
            spool: 0,
            capacity: u64::MAX,
            free: 0,
        };
        assert_eq!(next(Level::Roomy, &huge), Level::Full);
    }

    #[test]
    fn a_level_comes_back_from_its_number() {
        for level in [Level::Roomy, Level::Scarce, Level::Full] {
            assert_eq!(Level::of(level.code()), level);
        }
    }
}
