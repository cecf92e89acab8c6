//! Whether the shards' threads still turn: each reports once a second, and one that has not for long is taken for dead.
//!
//! Never reads a clock: the moment is handed in.

use std::sync::atomic::{AtomicU64, Ordering};

/// Nanoseconds without a report of a shard's thread, which makes one a second, after which it is taken for dead: also a
/// machine that is hard pressed runs each thread within this.
pub(crate) const SILENT_NS_MAX: u64 = 30_000_000_000;

/// How many threads have shown themselves lately. `beats`: when each last did; `now`: by the same clock, nanoseconds.
pub(crate) fn turning(beats: &[AtomicU64], now: u64) -> usize {
    let silent = |beat: &AtomicU64| now.saturating_sub(beat.load(Ordering::Relaxed));
    beats.iter().filter(|beat| silent(beat) < SILENT_NS_MAX).count()
}

/// Whether every thread has.
pub(crate) fn all_turn(beats: &[AtomicU64], now: u64) -> bool {
    turning(beats, now) == beats.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_that_stands_still_is_enough_and_counts_from_its_last_report() {
        let beats = [AtomicU64::new(7), AtomicU64::new(7)];
        assert!(all_turn(&beats, 7));
        assert!(all_turn(&beats, 7 + SILENT_NS_MAX - 1));
        assert!(!all_turn(&beats, 7 + SILENT_NS_MAX));
        beats[0].store(7 + SILENT_NS_MAX, Ordering::Relaxed);
        assert!(!all_turn(&beats, 7 + SILENT_NS_MAX), "the other one still stands");
        assert_eq!(turning(&beats, 7 + SILENT_NS_MAX), 1);
        beats[1].store(8, Ordering::Relaxed);
        assert!(all_turn(&beats, 7 + SILENT_NS_MAX), "it goes on");
        // A report that came after the clock was read.
        assert!(all_turn(&beats, 0));
    }
}
