//! Judges a leg's seconds: rates them, sums the scores up, and finds which conditions begin and end.
//!
//! It counts nothing itself: [`crate::counters`] does; and knows no threshold: it is told [`Thresholds`].

use crate::counters::Second;
use crate::quality::emodel;
use crate::quality::flags::{Facts, LegFlags, Verdict};
use crate::quality::thresholds::Thresholds;
use crate::quality::window::Scores;

/// See the top of this file. The two directions are never merged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Judge {
    up: Scores,
    down: Scores,
    flags: LegFlags,
}

impl Judge {
    /// Rates both rows of a second and returns what it brought.
    pub(crate) fn second(&mut self, up: &mut Second, down: &mut Second, facts: Facts, limits: &Thresholds) -> Verdict {
        // Half the path each: what the other leg adds to the delay is in its own rows.
        if let Some(rating) = rate(up).filter(|_| up.voiced > 0) {
            self.up.add(rating);
        }
        if let Some(rating) = rate(down) {
            self.down.add(rating);
        }
        self.flags.second(up, down, facts, limits)
    }

    /// Opinion score of the uplink over the call.
    pub(crate) fn mos_up(&self) -> Option<f64> {
        self.up.mos()
    }

    /// Opinion score of the downlink over the call.
    pub(crate) fn mos_down(&self) -> Option<f64> {
        self.down.mos()
    }
}

fn rate(second: &mut Second) -> Option<f64> {
    if second.expected == 0 {
        return None;
    }
    let milliseconds = |us: u32| f64::from(us) / 1_000.0;
    let rtt = second.rtt_us.map_or(0.0, milliseconds);
    let delay = emodel::mouth_to_ear_ms(rtt, 0.0, milliseconds(second.jitter_us), None);
    let rating = emodel::rating(second.loss(), delay);
    second.rating = Some(rating as f32);
    second.mos = Some(emodel::mos(rating) as f32);
    Some(rating)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Direction;
    use crate::matrix::Part;
    use crate::{LegId, RoomId, TapId};

    fn empty(direction: Direction) -> Second {
        Second::empty(LegId(1), RoomId(1), TapId(1), Part::Agent, direction, 0)
    }

    #[test]
    fn each_direction_has_its_own_score() {
        let mut judge = Judge::default();
        let (mut up, mut down) = (empty(Direction::Up), empty(Direction::Down));
        for row in [&mut up, &mut down] {
            row.expected = 50;
            row.received = 50;
            row.voiced = 50;
        }
        (up.received, up.lost) = (45, 5);
        judge.second(&mut up, &mut down, Facts::default(), &Thresholds::DEFAULT);
        assert!(up.mos.unwrap() < 2.0 && down.mos.unwrap() > 4.3);
        assert!(judge.mos_up().unwrap() < judge.mos_down().unwrap());
    }

    #[test]
    fn a_second_without_audio_has_no_score() {
        let mut judge = Judge::default();
        let (mut up, mut down) = (empty(Direction::Up), empty(Direction::Down));
        judge.second(&mut up, &mut down, Facts::default(), &Thresholds::DEFAULT);
        assert_eq!((up.mos, down.mos, judge.mos_up()), (None, None, None));
    }
}
