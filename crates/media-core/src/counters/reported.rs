//! What a leg said last about one of its slots, and what its next report adds.
//!
//! A receiver counts every number that did not come. Those that were never sent, because the speaker's own line had lost
//! the packet, are no loss on the way to the listener: they stand in the speaker's rows, and are taken off here.
//!
//! Invariant: what was counted as lost is counted once, however often it is reported and in whatever order.

use super::Reception;
use crate::slot::Sent;

/// Share of the lost packets that their listener's decoder rebuilds when every packet holds the one before once more. Our
/// own figure: libopus rebuilt 81 to 86 % of random losses and 40 to 46 % of those in bursts of two. A report does not say
/// how they lie, so the lower one is taken.
pub const FEC_SHARE: f32 = 0.45;

/// Packets by which a receiver's count may fall below what it was and come back without being counted anew: what was on
/// its way when a report was made, and what was sent again. Higher: duplicates, which count as received (RFC 3550
/// §6.4.1), or a receiver that begins to count anew, hide as much loss. Lower: loss that was repaired is counted twice.
const TAKEN_BACK_MAX: i64 = 32;

/// See the top of this file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reported {
    /// When the share and the jitter were said.
    pub(super) at: u64,
    /// In 48 kHz samples.
    pub(super) jitter: u32,
    /// Share that was lost on the way to the listener, 1/256.
    pub(super) fraction_lost: u8,
    /// The report as it came, and what was known of the stream then.
    reception: Option<Reception>,
    sent: Sent,
    /// The largest loss on the way that was counted.
    counted: i64,
}

/// What one report adds to those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Fresh {
    /// Packets lost on the way to the listener.
    pub(super) lost: u32,
    /// Of those, how many its decoder rebuilds; an estimate.
    pub(super) mended: f32,
    /// It has heard newer numbers than before.
    pub(super) advanced: bool,
}

impl Reported {
    /// Takes a report; `None` for one that a newer one has overtaken.
    pub(super) fn take(&mut self, now: u64, reception: Reception, sent: Sent) -> Option<Fresh> {
        if sent.heard < self.sent.heard {
            return None;
        }
        let before = self.reception.replace(reception);
        let (lost_before, highest_before) = before.map_or((0, 0), |said| (said.cumulative_lost, said.highest));
        let missed = i64::from(reception.cumulative_lost) - i64::from(lost_before);
        let unsent = i64::from(sent.gaps) - i64::from(self.sent.gaps);
        let repeated = before == Some(reception);
        // While nobody is heard, share and jitter are those of a voice that is gone.
        if !sent.fed {
            (self.fraction_lost, self.jitter) = (0, 0);
        } else {
            self.jitter = reception.jitter;
            if !repeated {
                self.fraction_lost = of_the_way(reception.fraction_lost, missed, unsent);
            }
        }
        self.at = now;
        let on_the_way = i64::from(reception.cumulative_lost) - i64::from(sent.gaps);
        self.counted = self.counted.min(on_the_way.saturating_add(TAKEN_BACK_MAX));
        let lost = on_the_way.saturating_sub(self.counted).clamp(0, i64::from(u32::MAX)) as u32;
        self.counted += i64::from(lost);
        let packets = sent.packets.saturating_sub(self.sent.packets).max(1);
        let mending = sent.mending.saturating_sub(self.sent.mending);
        self.sent = sent;
        Some(Fresh {
            lost,
            mended: lost as f32 * FEC_SHARE * (mending as f32 / packets as f32).min(1.0),
            advanced: reception.highest != highest_before,
        })
    }

    /// Nobody is heard through the slot any more.
    pub(super) fn released(&mut self) {
        (self.fraction_lost, self.jitter) = (0, 0);
    }
}

/// The share that a receiver says, without what was never sent of the `missed` packets that it tells of.
fn of_the_way(said: u8, missed: i64, unsent: i64) -> u8 {
    if missed <= 0 {
        return said;
    }
    let on_the_way = (missed - unsent).clamp(0, missed);
    (i64::from(said) * on_the_way / missed) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A receiver as RFC 3550 describes it, of a stream whose speaker's line and own line lose what they are told to.
    #[derive(Default)]
    struct Pair {
        reported: Reported,
        sent: Sent,
        said: Reception,
        now: u64,
    }

    impl Pair {
        /// 50 numbers, of which `unsent` never reached us and `lost` never the listener; his report.
        fn second(&mut self, unsent: u32, lost: u32) -> Option<Fresh> {
            self.goes_on(unsent, lost);
            self.report()
        }

        fn goes_on(&mut self, unsent: u32, lost: u32) {
            self.sent.fed = true;
            self.sent.heard += 50;
            self.sent.gaps += unsent;
            self.sent.packets += u64::from(50 - unsent);
            self.said.highest = self.sent.heard as u32;
            self.said.cumulative_lost += (unsent + lost) as i32;
            self.said.fraction_lost = ((unsent + lost) * 256 / 50) as u8;
        }

        fn report(&mut self) -> Option<Fresh> {
            self.now += 1;
            self.reported.take(self.now, self.said, self.sent)
        }

        fn lost(&mut self, unsent: u32, lost: u32) -> u32 {
            self.second(unsent, lost).expect("it is the newest").lost
        }
    }

    #[test]
    fn what_was_never_sent_is_no_loss_of_the_listener() {
        let mut pair = Pair::default();
        assert_eq!([pair.lost(5, 0), pair.lost(0, 0), pair.lost(12, 0)], [0, 0, 0]);
        assert_eq!(pair.reported.fraction_lost, 0);
        assert_eq!([pair.lost(0, 5), pair.lost(3, 2)], [5, 2]);
        assert_eq!(pair.reported.fraction_lost, (25 * 2 / 5) as u8);
    }

    #[test]
    fn reports_that_are_lost_or_come_twice_change_no_sum() {
        let mut pair = Pair::default();
        assert_eq!(pair.lost(2, 3), 3);
        let share = pair.reported.fraction_lost;
        assert_eq!(
            pair.report().map(|fresh| (fresh.lost, fresh.advanced)),
            Some((0, false))
        );
        assert_eq!(
            pair.reported.fraction_lost, share,
            "the same share, once more taken off"
        );
        pair.goes_on(4, 1);
        assert_eq!(pair.lost(0, 2), 3);
    }

    #[test]
    fn a_report_that_was_overtaken_changes_nothing() {
        let mut pair = Pair::default();
        pair.lost(0, 1);
        let old = (pair.said, pair.sent);
        pair.lost(0, 2);
        let before = pair.reported;
        assert_eq!(pair.reported.take(99, old.0, old.1), None);
        assert_eq!(pair.reported.at, before.at);
        assert_eq!(pair.lost(0, 4), 4);
    }

    #[test]
    fn what_is_taken_back_is_not_counted_twice_but_no_endless_credit() {
        let mut pair = Pair::default();
        assert_eq!(pair.lost(0, 10), 10);
        // Four of them come after all, and four others are lost.
        pair.said.cumulative_lost -= 4;
        assert_eq!([pair.lost(0, 0), pair.lost(0, 4), pair.lost(0, 1)], [0, 0, 1]);
        // A receiver that counts from 0 again, or one that gets everything twice.
        pair.said.cumulative_lost = -500;
        assert_eq!(pair.lost(0, 0), 0);
        assert_eq!(pair.lost(0, 32), 0);
        assert_eq!(pair.lost(0, 1), 1);
    }

    #[test]
    fn a_share_of_the_loss_is_mended_as_far_as_the_packets_mend_one_another() {
        let mut pair = Pair::default();
        pair.sent.mending += 50;
        let fresh = pair.second(0, 10).unwrap();
        assert!((fresh.mended - 4.5).abs() < 1e-6, "{fresh:?}");
        pair.sent.mending += 20;
        let fresh = pair.second(10, 10).unwrap();
        assert!((fresh.mended - 2.25).abs() < 1e-6, "half of the forty: {fresh:?}");
        let fresh = pair.second(0, 10).unwrap();
        assert_eq!((fresh.lost, fresh.mended), (10, 0.0));
    }

    #[test]
    fn of_a_slot_without_a_voice_neither_share_nor_jitter_stay() {
        let mut pair = Pair::default();
        pair.said.jitter = 48;
        pair.lost(0, 10);
        assert!(pair.reported.fraction_lost > 0 && pair.reported.jitter == 48);
        pair.reported.released();
        assert_eq!((pair.reported.fraction_lost, pair.reported.jitter), (0, 0));
        pair.sent.fed = false;
        pair.said.cumulative_lost += 1;
        pair.report();
        assert_eq!((pair.reported.fraction_lost, pair.reported.jitter), (0, 0));
    }

    #[test]
    fn shares_without_new_loss_are_believed() {
        assert_eq!(of_the_way(64, 0, 0), 64);
        assert_eq!(of_the_way(64, -3, 2), 64);
        assert_eq!(of_the_way(255, 10, 20), 0);
        assert_eq!(
            of_the_way(255, 10, -5),
            255,
            "late ones that the listener has not got yet"
        );
    }
}
