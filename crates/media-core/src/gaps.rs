//! Which numbers of one outgoing stream were never sent, so that what its receiver misses can be told from what was lost
//! on the way to it.
//!
//! A packet that a speaker's line has lost is a gap in the numbers that his listeners get, and each of them reports it as
//! lost. It knows numbers only, no packet and no time.
//!
//! Invariant: what is said of a number does not change once a later one was sent.

/// Changes that are kept. Reports are younger than two seconds, and 10 % of loss with repair makes ten changes in one.
/// Higher: 16 bytes each. Lower: gaps and their repair just before an old report are charged to one another's interval.
const CHANGES_MAX: usize = 32;

/// From a number on this many before it, and itself, had not been sent.
#[derive(Clone, Copy, Debug, Default)]
struct Change {
    from: u64,
    gaps: u32,
}

/// See the top of this file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gaps {
    changes: [Change; CHANGES_MAX],
    newest: usize,
}

impl Gaps {
    /// `count` numbers just before `index`, which is sent now, are not sent.
    pub(crate) fn skipped(&mut self, index: u64, count: u64) {
        let gaps = self.now().saturating_add(count.min(u64::from(u32::MAX)) as u32);
        self.change(index, gaps);
    }

    /// A number below `top`, the highest that was sent, is sent after all. Who has heard no more than `top` when it reports
    /// may not have got it, so it counts as sent from the next number on.
    pub(crate) fn filled(&mut self, top: u64) {
        self.change(top + 1, self.now().saturating_sub(1));
    }

    /// Numbers up to `index` that had not been sent when `index` was. For one that is older than what is kept: as it was
    /// at the oldest change.
    pub(crate) fn up_to(&self, index: u64) -> u32 {
        let (later, earlier) = self.changes.split_at(self.newest + 1);
        let mut newest_first = later.iter().rev().chain(earlier.iter().rev());
        let at = newest_first.find(|change| change.from <= index);
        let oldest = earlier.first().or(later.first());
        at.or(oldest).map_or(0, |change| change.gaps)
    }

    fn now(&self) -> u32 {
        self.changes.get(self.newest).map_or(0, |change| change.gaps)
    }

    fn change(&mut self, from: u64, gaps: u32) {
        if self.changes.get(self.newest).is_some_and(|change| change.from < from) {
            self.newest = (self.newest + 1) % CHANGES_MAX;
        }
        if let Some(change) = self.changes.get_mut(self.newest) {
            *change = Change { from, gaps };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{MS, SECOND};
    use crate::slot::{Slot, Source};

    const A: Source = Source { leg: 1, stream: 1 };
    const B: Source = Source { leg: 2, stream: 1 };
    const FRAME: u64 = 20 * MS;

    /// A slot that has sent 100 to 109, packets of `A`; with the time and the input numbers that come next.
    fn fed() -> (Slot, u64, u64, u32) {
        let mut slot = Slot::new(7, 100, 5_000);
        let (mut now, mut index, mut timestamp) = (SECOND, 60_000, 1_000);
        for _ in 0..10 {
            slot.stamp(A, index, timestamp, now).unwrap();
            (now, index, timestamp) = (now + FRAME, index + 1, timestamp + 960);
        }
        (slot, now, index, timestamp)
    }

    #[test]
    fn what_was_not_sent_when_a_number_was_is_counted_up_to_it() {
        let mut gaps = Gaps::default();
        assert_eq!(gaps.up_to(1_000), 0);
        gaps.skipped(105, 2);
        gaps.skipped(110, 1);
        assert_eq!(
            [102, 104, 105, 109, 110, 200].map(|index| gaps.up_to(index)),
            [0, 0, 2, 2, 3, 3]
        );
    }

    #[test]
    fn what_is_sent_late_is_no_gap_for_who_has_heard_what_was_sent_behind_it() {
        let mut gaps = Gaps::default();
        gaps.skipped(105, 2);
        gaps.filled(107);
        gaps.filled(107);
        assert_eq!([105, 107, 108].map(|index| gaps.up_to(index)), [2, 2, 0]);
        // The next one is missing, too.
        gaps.skipped(109, 1);
        assert_eq!([107, 108, 109].map(|index| gaps.up_to(index)), [2, 0, 1]);
    }

    #[test]
    fn of_more_changes_than_are_kept_the_newest_are_right() {
        let mut gaps = Gaps::default();
        for n in 1..=100 {
            gaps.skipped(10 * n, 1);
        }
        for n in 100 - CHANGES_MAX as u64 + 1..=100 {
            assert_eq!(gaps.up_to(10 * n), n as u32);
            assert_eq!(gaps.up_to(10 * n + 9), n as u32);
        }
        let oldest = 100 - CHANGES_MAX as u32 + 1;
        assert_eq!(gaps.up_to(5), oldest, "as it was at the oldest that is kept");
    }

    #[test]
    fn what_was_lost_before_us_is_no_loss_of_the_listener_and_what_came_late_was_not_lost() {
        let (mut slot, now, index, timestamp) = fed();
        let at = |n: u64| (index + n, timestamp + 960 * n as u32, now + n * FRAME);
        let stamp = |slot: &mut Slot, n: u64, late: u64| {
            let (index, timestamp, now) = at(n);
            slot.stamp(A, index, timestamp, now + late * FRAME).unwrap().index
        };
        // 110 to 112 are lost, of which 111 comes late, behind 114.
        assert_eq!([stamp(&mut slot, 3, 0), stamp(&mut slot, 4, 0)], [113, 114]);
        assert_eq!(stamp(&mut slot, 1, 3), 111);
        assert_eq!(stamp(&mut slot, 5, 0), 115);
        let gaps = [109, 112, 113, 114, 115].map(|heard| slot.sent_up_to(heard).gaps);
        assert_eq!(gaps, [0, 0, 3, 3, 2]);
        // Another source goes on at +1: there is no gap, and the old ones stay.
        let (_, _, later) = at(9);
        assert_eq!(slot.stamp(B, 9_000, 5, later).unwrap().index, 116);
        let sent = slot.sent_up_to(116);
        assert_eq!((sent.heard, sent.gaps), (116, 2));
    }

    #[test]
    fn a_packet_that_could_not_be_sent_is_a_gap() {
        let (mut slot, now, index, timestamp) = fed();
        let newest = slot.stamp(A, index + 1, timestamp, now).unwrap();
        slot.not_sent(&newest);
        assert_eq!(slot.sent_up_to(111).gaps, 2);
        let late = slot.stamp(A, index, timestamp, now).unwrap();
        slot.not_sent(&late);
        slot.stamp(A, index + 2, timestamp, now).unwrap();
        assert_eq!([111, 112].map(|heard| slot.sent_up_to(heard).gaps), [2, 2]);
    }

    #[test]
    fn a_report_is_of_the_newest_number_that_it_can_mean() {
        let (mut slot, now, index, timestamp) = fed();
        for n in 0..70_000u64 {
            slot.stamp(A, index + n, timestamp.wrapping_add(960 * n as u32), now + n * FRAME)
                .unwrap();
        }
        for (said, heard) in [(70_109, 70_109), (70_000, 70_000), (65_536, 65_536), (65_535, 65_535)] {
            assert_eq!(slot.sent_up_to(said).heard, heard);
            assert_eq!(
                slot.sent_up_to(said & 0xFFFF).heard,
                heard,
                "its wraps are its own count"
            );
        }
        let fresh = Slot::new(7, 3, 0);
        assert_eq!(fresh.sent_up_to(100).heard, 0, "nonsense is nothing");
    }
}
