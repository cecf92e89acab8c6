//! How full the spool's disk is, and which recordings are still taken then.
//!
//! Never asks the disk itself and never deletes: the writer looks, the drain and the desk ask for the level.
//!
//! Invariant: a level that was reached is left only when the disk is [`RELEASE_PERMILLE`] emptier than where it began,
//! so a disk at a mark does not take one call and refuse the next.

use super::disk::Space;

/// Share of the disk, in thousandths, from which on optional recordings are refused: what is left is kept for calls
/// that must be recorded. Higher: less time to make room. Lower: recordings are lost that there was room for. The
/// alert comes before, at 70 % (`HelplineSpoolFills`).
pub const REFUSE_OPTIONAL_PERMILLE: u64 = 850;
/// Share from which on no recording is promised any more. The rest is for the calls that run, and for PostgreSQL,
/// which often lies on the same disk and stops with a full one.
pub const REFUSE_REQUIRED_PERMILLE: u64 = 950;
/// By how much the disk must be emptier than a mark before its level ends: more than the calls of a minute write on a
/// disk that is worth its name (1,000 calls: 0.5 GB).
pub const RELEASE_PERMILLE: u64 = 20;

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
    pub(super) const fn next(self, space: &Space) -> Level {
        if space.capacity == 0 {
            return self;
        }
        let full = mark(REFUSE_REQUIRED_PERMILLE, matches!(self, Level::Full));
        let scarce = mark(REFUSE_OPTIONAL_PERMILLE, !matches!(self, Level::Roomy));
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

const fn mark(permille: u64, held: bool) -> u64 {
    if held { permille - RELEASE_PERMILLE } else { permille }
}

/// True when at least `permille` of the disk is used. In 128 bits: no disk is too large.
const fn reached(space: &Space, permille: u64) -> bool {
    space.used() as u128 * 1_000 >= space.capacity as u128 * permille as u128
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk of which `permille` thousandths, and `more` bytes, are used.
    fn used(permille: u64, more: i64) -> Space {
        let capacity = 1_000_000_000;
        let used = (permille * (capacity / 1_000)).strict_add_signed(more);
        Space {
            spool: 0,
            capacity,
            free: capacity - used,
        }
    }

    #[test]
    fn a_mark_is_reached_by_the_byte() {
        for (mark, below, at) in [
            (REFUSE_OPTIONAL_PERMILLE, Level::Roomy, Level::Scarce),
            (REFUSE_REQUIRED_PERMILLE, Level::Scarce, Level::Full),
        ] {
            let from_roomy = |more| Level::Roomy.next(&used(mark, more));
            assert_eq!([from_roomy(-1), from_roomy(0), from_roomy(1)], [below, at, at]);
        }
    }

    #[test]
    fn a_level_ends_two_hundredths_below_its_mark_and_not_before() {
        let scarce = |more| Level::Scarce.next(&used(REFUSE_OPTIONAL_PERMILLE - RELEASE_PERMILLE, more));
        assert_eq!([scarce(-1), scarce(0)], [Level::Roomy, Level::Scarce]);
        let full = |more| Level::Full.next(&used(REFUSE_REQUIRED_PERMILLE - RELEASE_PERMILLE, more));
        assert_eq!([full(-1), full(0)], [Level::Scarce, Level::Full]);
        assert_eq!(
            Level::Full.next(&used(REFUSE_OPTIONAL_PERMILLE - RELEASE_PERMILLE, 0)),
            Level::Scarce,
            "from the full disk down the lower level holds as it does from below"
        );
        assert_eq!(Level::Full.next(&used(100, 0)), Level::Roomy);
    }

    #[test]
    fn a_disk_without_size_changes_nothing_and_a_huge_one_does_not_overflow() {
        assert_eq!(Level::Scarce.next(&Space::default()), Level::Scarce);
        let huge = Space {
            spool: 0,
            capacity: u64::MAX,
            free: 0,
        };
        assert_eq!(Level::Roomy.next(&huge), Level::Full);
    }

    #[test]
    fn a_level_comes_back_from_its_number() {
        for level in [Level::Roomy, Level::Scarce, Level::Full] {
            assert_eq!(Level::of(level.code()), level);
        }
    }
}
