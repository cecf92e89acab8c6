//! What a call makes of its seconds: mean, worst minute, and conditions that are raised and cleared.
//!
//! Fixed memory per leg and direction, however long the call.

use super::emodel;

/// Seconds in the worst minute.
const MINUTE: usize = 60;

/// Parts of a rating of 1 that are kept: finer than any score is shown, and sums of whole numbers stay exact.
const PARTS: f64 = 100.0;

/// The scores of one leg in one direction.
#[derive(Clone, Debug)]
pub struct Scores {
    /// Voiced seconds only: silence has no quality.
    voiced: u32,
    /// Of all ratings, in [`PARTS`], as the others here.
    sum: u64,
    minute: [u16; MINUTE],
    minute_sum: u32,
    worst_minute: Option<u32>,
}

impl Default for Scores {
    fn default() -> Scores {
        Scores {
            voiced: 0,
            sum: 0,
            minute: [0; MINUTE],
            minute_sum: 0,
            worst_minute: None,
        }
    }
}

impl Scores {
    /// Adds a second with this rating (0 to 100) in which there was voice.
    pub fn add(&mut self, rating: f64) {
        let rating = if rating.is_nan() { 0.0 } else { rating.clamp(0.0, 100.0) };
        let rating = (rating * PARTS).round() as u16;
        let place = &mut self.minute[self.voiced as usize % MINUTE];
        self.minute_sum = self.minute_sum + u32::from(rating) - u32::from(*place);
        *place = rating;
        self.voiced = self.voiced.saturating_add(1);
        self.sum += u64::from(rating);
        if self.voiced as usize >= MINUTE {
            let worst = self.worst_minute.unwrap_or(u32::MAX);
            self.worst_minute = Some(worst.min(self.minute_sum));
        }
    }

    /// Seconds added.
    #[must_use]
    pub fn seconds(&self) -> u32 {
        self.voiced
    }

    /// Opinion score of the mean rating; `None` before the first second.
    #[must_use]
    pub fn mos(&self) -> Option<f64> {
        (self.voiced > 0).then(|| emodel::mos(self.sum as f64 / PARTS / f64::from(self.voiced)))
    }

    /// Opinion score of the worst 60 voiced seconds in a row; of the whole call while it is shorter.
    #[must_use]
    pub fn mos_worst_minute(&self) -> Option<f64> {
        let worst = self.worst_minute;
        let worst = worst.map(|sum| emodel::mos(f64::from(sum) / PARTS / MINUTE as f64));
        worst.or_else(|| self.mos())
    }
}

/// A condition over the last five seconds: raised when it held in `ENOUGH` of them, cleared when in none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Persistent<const ENOUGH: u32 = 3> {
    /// Bit n: it held n seconds ago.
    history: u8,
    raised: bool,
}

/// A condition that is raised as soon as it holds: it waits for nothing, or has its own patience.
pub type Sudden = Persistent<1>;

/// A change of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It began.
    Raised,
    /// It ended.
    Cleared,
}

impl<const ENOUGH: u32> Persistent<ENOUGH> {
    /// Seconds looked at.
    const SECONDS: u32 = 5;

    /// Adds a second.
    pub fn add(&mut self, holds: bool) -> Option<Change> {
        let mask = (1 << Self::SECONDS) - 1;
        self.history = (self.history << 1 | u8::from(holds)) & mask;
        if !self.raised && self.history.count_ones() >= ENOUGH {
            self.raised = true;
            Some(Change::Raised)
        } else if self.raised && self.history == 0 {
            self.raised = false;
            Some(Change::Cleared)
        } else {
            None
        }
    }

    /// True between [`Change::Raised`] and [`Change::Cleared`].
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.raised
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_no_score() {
        let scores = Scores::default();
        assert_eq!((scores.mos(), scores.mos_worst_minute()), (None, None));
    }

    #[test]
    fn the_worst_minute_is_found_wherever_it_lies() {
        let mut scores = Scores::default();
        for second in 0..600 {
            scores.add(if (200..260).contains(&second) { 50.0 } else { 90.0 });
        }
        assert_eq!(scores.seconds(), 600);
        assert!((scores.mos_worst_minute().unwrap() - emodel::mos(50.0)).abs() < 1e-6);
        assert!((scores.mos().unwrap() - emodel::mos(86.0)).abs() < 1e-6);
    }

    #[test]
    fn a_day_leaves_nothing_behind_in_the_sums() {
        let mut scores = Scores::default();
        let ratings = |second: u32| f64::from(second % 977) * 0.1 + 0.03;
        for second in 0..86_400 {
            scores.add(ratings(second));
        }
        let minutes = (0..=86_400 - 60).map(|from| (from..from + 60).map(ratings).sum::<f64>() / 60.0);
        let worst = minutes.fold(f64::INFINITY, f64::min);
        assert!((scores.mos_worst_minute().unwrap() - emodel::mos(worst)).abs() < 1e-9);
    }

    #[test]
    fn a_short_call_is_its_own_worst_minute() {
        let mut scores = Scores::default();
        for _ in 0..59 {
            scores.add(70.0);
        }
        assert_eq!(scores.mos_worst_minute(), scores.mos());
    }

    #[test]
    fn ratings_that_are_none_count_as_the_worst() {
        let mut scores = Scores::default();
        for odd in [f64::NAN, -5.0, f64::NEG_INFINITY] {
            scores.add(odd);
        }
        assert_eq!(scores.mos(), Some(1.0));
        let mut scores = Scores::default();
        scores.add(f64::INFINITY);
        assert_eq!(scores.mos(), Some(4.5));
    }

    #[test]
    fn a_condition_needs_three_of_five_and_ends_after_five_without() {
        let mut condition = Persistent::<3>::default();
        let told: Vec<_> = [true, false, true, false, true]
            .map(|holds| condition.add(holds))
            .into();
        assert_eq!(told, [None, None, None, None, Some(Change::Raised)]);
        let told: Vec<_> = [false; 6].map(|holds| condition.add(holds)).into();
        assert_eq!(told, [None, None, None, None, Some(Change::Cleared), None]);
        let told: Vec<_> = [true, false, false, true, false, false, true, false]
            .map(|holds| condition.add(holds))
            .into();
        assert!(told.iter().all(Option::is_none), "two of five are not enough");
    }
}
