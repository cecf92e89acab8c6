//! Judges a leg's seconds: rates them, sums the scores up, raises and clears conditions.
//!
//! It counts nothing itself: [`crate::counters`] does.
//!
//! Invariant: a condition that was raised is cleared before it is raised again.

use crate::counters::Second;
use crate::event::Flag;
use crate::quality::emodel;
use crate::quality::window::{Change, Persistent, Scores};
use crate::tap::LEVEL_UNKNOWN;

/// Round trip that callers notice, microseconds.
const RTT_US_MAX: u32 = 400_000;
/// Jitter that a usual jitter buffer no longer hides, microseconds.
const JITTER_US_MAX: u32 = 30_000;
/// Loss that FEC no longer hides, share.
const LOSS_MAX: f64 = 0.03;
/// Opinion score below which callers complain.
const MOS_MIN: f64 = 3.5;
/// Seconds of one and the same level after which a microphone is taken for dead.
const DEAD_SECONDS: u32 = 10;
/// Conditions that one second can change, both directions together.
pub(crate) const CHANGES_MAX: usize = 8;

/// Conditions of one direction.
#[derive(Clone, Debug, Default)]
struct Watch {
    jitter: Persistent,
    loss: Persistent,
    mos: Persistent,
}

/// See the top of this file. A condition is one per leg, whichever direction it shows in first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Judge {
    up: Scores,
    down: Scores,
    rtt: Persistent,
    watch: Watch,
    level: u8,
    same_level: u32,
    dead: bool,
}

impl Judge {
    /// Rates both rows of a second and returns which conditions changed: the flag, and true for raised.
    pub(crate) fn second(&mut self, up: &mut Second, down: &mut Second) -> [Option<(Flag, bool)>; CHANGES_MAX] {
        // Half the path each: what the other leg adds to the delay is in its own rows.
        if let Some(rating) = rate(up).filter(|_| up.voiced > 0) {
            self.up.add(rating);
        }
        if let Some(rating) = rate(down) {
            self.down.add(rating);
        }
        let worst = |of: fn(&Second) -> f64| of(up).max(of(down));
        let mos = up.mos.into_iter().chain(down.mos).fold(f32::INFINITY, f32::min);
        let rtt = self.rtt.add(up.rtt_us.is_some_and(|rtt| rtt > RTT_US_MAX));
        let jitter = self.watch.jitter.add(up.jitter_us.max(down.jitter_us) > JITTER_US_MAX);
        let loss = self.watch.loss.add(worst(loss) > LOSS_MAX);
        let low = self.watch.mos.add(f64::from(mos) < MOS_MIN);
        let change = |flag, change: Option<Change>| change.map(|change| (flag, change == Change::Raised));
        let mut changes = [None; CHANGES_MAX];
        let found = [
            change(Flag::HighRtt, rtt),
            change(Flag::HighJitter, jitter),
            change(Flag::HighLoss, loss),
            change(Flag::LowMos, low),
            self.microphone(up),
        ];
        for (place, found) in changes.iter_mut().zip(found) {
            *place = found;
        }
        changes
    }

    /// Opinion score of the uplink over the call.
    pub(crate) fn mos_up(&self) -> Option<f64> {
        self.up.mos()
    }

    /// Opinion score of the downlink over the call.
    pub(crate) fn mos_down(&self) -> Option<f64> {
        self.down.mos()
    }

    /// A live microphone never gives exactly the same level for ten seconds; digital silence and a stuck driver do.
    fn microphone(&mut self, up: &Second) -> Option<(Flag, bool)> {
        let constant = up.level_max != LEVEL_UNKNOWN && up.level_mean == up.level_max && up.level_max == self.level;
        self.level = up.level_max;
        self.same_level = if constant && up.received > 0 {
            self.same_level + 1
        } else {
            0
        };
        let dead = self.same_level >= DEAD_SECONDS;
        let changed = dead != self.dead;
        self.dead = dead;
        changed.then_some((Flag::DeadMicrophone, dead))
    }
}

fn loss(second: &Second) -> f64 {
    if second.expected == 0 {
        0.0
    } else {
        f64::from(second.lost) / f64::from(second.expected)
    }
}

fn rate(second: &mut Second) -> Option<f64> {
    if second.expected == 0 {
        return None;
    }
    let milliseconds = |us: u32| f64::from(us) / 1_000.0;
    let rtt = second.rtt_us.map_or(0.0, milliseconds);
    let delay = emodel::mouth_to_ear_ms(rtt, 0.0, milliseconds(second.jitter_us), None);
    let rating = emodel::rating(loss(second), delay);
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

    fn second(direction: Direction, lost: u32, level: u8) -> Second {
        let empty = Second::empty(LegId(1), RoomId(1), TapId(1), Part::Customer, direction, 0);
        Second {
            expected: 50,
            received: 50 - lost,
            lost,
            voiced: 50,
            level_mean: level,
            level_max: level,
            ..empty
        }
    }

    fn judged(judge: &mut Judge, lost: u32, level: u8) -> Vec<(Flag, bool)> {
        let changes = judge.second(
            &mut second(Direction::Up, lost, level),
            &mut second(Direction::Down, 0, 0),
        );
        changes.into_iter().flatten().collect()
    }

    #[test]
    fn loss_raises_its_flags_in_the_third_second_and_clears_them_after_five_good_ones() {
        let mut judge = Judge::default();
        assert_eq!(judged(&mut judge, 5, 1), []);
        assert_eq!(judged(&mut judge, 5, 2), []);
        assert_eq!(judged(&mut judge, 5, 3), [(Flag::HighLoss, true), (Flag::LowMos, true)]);
        let cleared: Vec<_> = (0..5).flat_map(|turn| judged(&mut judge, 0, 10 + turn)).collect();
        assert_eq!(cleared, [(Flag::HighLoss, false), (Flag::LowMos, false)]);
        assert!(judge.mos_up().unwrap() < judge.mos_down().unwrap());
    }

    #[test]
    fn ten_seconds_of_one_level_are_a_dead_microphone_and_a_change_ends_it() {
        let mut judge = Judge::default();
        let told: Vec<_> = (0..=DEAD_SECONDS).flat_map(|_| judged(&mut judge, 0, 7)).collect();
        assert_eq!(told, [(Flag::DeadMicrophone, true)]);
        assert_eq!(judged(&mut judge, 0, 8), [(Flag::DeadMicrophone, false)]);
    }

    #[test]
    fn a_second_without_audio_has_no_score() {
        let mut judge = Judge::default();
        let empty = |direction| Second::empty(LegId(1), RoomId(1), TapId(1), Part::Agent, direction, 0);
        let (mut up, mut down) = (empty(Direction::Up), empty(Direction::Down));
        judge.second(&mut up, &mut down);
        assert_eq!((up.mos, down.mos, judge.mos_up()), (None, None, None));
    }
}
