//! Whether the workers' loops turn, and how often a defect had to be contained.
//!
//! A worker beats once a second, at the end of a turn that it came through: one that has ended, that hangs, or that breaks
//! in every turn falls silent.
//!
//! Never reads a clock: the moment is handed in.

use std::sync::atomic::{AtomicU64, Ordering};

/// Nanoseconds without a beat, of which there is one a second, after which a worker is taken for dead: also a machine that
/// is hard pressed runs each thread within this. The same as for the shards of media.
pub(crate) const SILENT_NS_MAX: u64 = 30_000_000_000;

/// See the top of this file.
#[derive(Debug)]
pub(crate) struct Pulse {
    /// Per worker, when it last beat, nanoseconds.
    beats: Vec<AtomicU64>,
    panics: AtomicU64,
}

impl Pulse {
    /// All of them begin at `now_ns`.
    pub(crate) fn new(workers: usize, now_ns: u64) -> Pulse {
        Pulse {
            beats: (0..workers).map(|_| AtomicU64::new(now_ns)).collect(),
            panics: AtomicU64::new(0),
        }
    }

    /// This worker has come through a turn.
    pub(crate) fn beat(&self, worker: usize, now_ns: u64) {
        if let Some(beat) = self.beats.get(worker) {
            beat.store(now_ns, Ordering::Relaxed);
        }
    }

    /// A panic was caught.
    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were, since the start.
    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// How many workers there are.
    pub(crate) fn workers(&self) -> usize {
        self.beats.len()
    }

    /// How many have beaten lately.
    pub(crate) fn alive(&self, now_ns: u64) -> usize {
        let silent = |beat: &AtomicU64| now_ns.saturating_sub(beat.load(Ordering::Relaxed));
        self.beats.iter().filter(|beat| silent(beat) < SILENT_NS_MAX).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_silent_for_long_is_not_counted_until_it_beats_again() {
        let pulse = Pulse::new(2, 7);
        assert_eq!((pulse.workers(), pulse.alive(7)), (2, 2));
        assert_eq!(pulse.alive(7 + SILENT_NS_MAX - 1), 2);
        pulse.beat(0, 8);
        assert_eq!(pulse.alive(7 + SILENT_NS_MAX), 1);
        assert_eq!(pulse.alive(8 + SILENT_NS_MAX), 0);
        pulse.beat(1, 8 + SILENT_NS_MAX);
        assert_eq!(pulse.alive(8 + SILENT_NS_MAX), 1);
        // A beat that came after the clock was read.
        assert_eq!(pulse.alive(0), 2);
        // Nobody's.
        pulse.beat(2, u64::MAX);
        assert_eq!(pulse.workers(), 2);
    }

    #[test]
    fn panics_are_counted() {
        let pulse = Pulse::new(0, 0);
        pulse.panicked();
        pulse.panicked();
        assert_eq!(pulse.panics(), 2);
    }
}
