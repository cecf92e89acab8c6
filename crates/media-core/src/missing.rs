//! What is missing of one uplink: when to ask for it, when to stop, and what a packet was that came late.
//!
//! It sends nothing and reads no clock. Only numbers of the present stream are in here.
//!
//! Invariant: at most [`MISSING_MAX`] holes, ascending by index; each is filled at most once.

use crate::limits::{
    MISSING_FOR, MISSING_MAX, MS, NACK_AFTER_MIN, NACK_AFTER_RTT, NACK_AGAIN_AFTER, NACK_TRIES_MAX,
    NACKS_UNANSWERED_MAX,
};

/// One packet that did not come.
#[derive(Clone, Copy, Debug)]
struct Hole {
    index: u64,
    /// Timestamp of the last packet before the gap: what fills the hole is newer.
    after: u32,
    seen_at: u64,
    ask_at: u64,
    tries: u8,
    /// Its audio came inside a later packet.
    rebuilt: bool,
}

/// What a packet that came behind a newer one was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// Nobody asked for it: reordered, or given up before.
    Unasked,
    /// We had asked for it.
    Asked,
    /// Its audio had come inside a later packet already.
    Rebuilt,
}

/// See the top of this file.
#[derive(Debug)]
pub(crate) struct Missing {
    holes: Vec<Hole>,
    /// NACKs in a row that ended without an answer.
    unanswered: u32,
    /// Both sides agreed on asking.
    asks: bool,
}

impl Missing {
    /// `asks`: NACK was negotiated; otherwise only redundant audio fills holes.
    pub(crate) fn new(asks: bool) -> Box<Missing> {
        Box::new(Missing {
            holes: Vec::with_capacity(MISSING_MAX),
            unanswered: 0,
            asks,
        })
    }

    /// How long to wait before asking, and before asking again. `rtt_us`: the round trip, if it is known.
    pub(crate) fn wait(rtt_us: Option<u32>) -> u64 {
        let answered = rtt_us.map_or(0, |rtt| u64::from(rtt) * MS / 1_000 + NACK_AFTER_RTT);
        NACK_AFTER_MIN.max(answered)
    }

    /// A gap: the packets from `first` to before `next` did not come, `next` did. The newest [`MISSING_MAX`] count.
    pub(crate) fn note(&mut self, now: u64, first: u64, next: u64, after: u32, wait: u64) {
        let first = first.max(next.saturating_sub(MISSING_MAX as u64));
        let fresh = next.saturating_sub(first) as usize;
        let surplus = (self.holes.len() + fresh).saturating_sub(MISSING_MAX);
        self.holes.drain(..surplus);
        self.holes.extend((first..next).map(|index| Hole {
            index,
            after,
            seen_at: now,
            ask_at: now + wait,
            tries: 0,
            rebuilt: false,
        }));
    }

    /// A packet came behind a newer one.
    pub(crate) fn came(&mut self, index: u64) -> Late {
        let Ok(place) = self.holes.binary_search_by_key(&index, |hole| hole.index) else {
            return Late::Unasked;
        };
        let hole = self.holes.remove(place);
        if hole.tries > 0 {
            self.unanswered = 0;
        }
        match (hole.rebuilt, hole.tries) {
            (true, _) => Late::Rebuilt,
            (false, 0) => Late::Unasked,
            (false, _) => Late::Asked,
        }
    }

    /// The audio of a packet came inside a later one; true if it was missing until now.
    pub(crate) fn rebuild(&mut self, index: u64, timestamp: u32) -> bool {
        let Ok(place) = self.holes.binary_search_by_key(&index, |hole| hole.index) else {
            return false;
        };
        let Some(hole) = self.holes.get_mut(place) else {
            return false;
        };
        // A block's time must fit the gap, or the sender repeats something else than the packets just before.
        let fits = (timestamp.wrapping_sub(hole.after) as i32) > 0;
        let fresh = fits && !hole.rebuilt;
        hole.rebuilt |= fits;
        fresh
    }

    /// Writes the sequence numbers to ask for now, counts them as asked, and lets go what is past its time.
    pub(crate) fn ask(&mut self, now: u64, wait: u64, numbers: &mut [u16; MISSING_MAX]) -> usize {
        let mut given_up = false;
        self.holes.retain(|hole| {
            let alive = hole.seen_at + MISSING_FOR > now;
            given_up |= !alive && hole.tries > 0 && !hole.rebuilt;
            alive
        });
        // Numbers that end together were asked for together: one NACK, however many it named.
        self.unanswered += u32::from(given_up);
        if !self.asking() {
            return 0;
        }
        let due = self.holes.iter_mut().filter(|hole| hole.open() && hole.ask_at <= now);
        let mut count = 0;
        for (place, hole) in numbers.iter_mut().zip(due) {
            *place = hole.index as u16;
            hole.tries += 1;
            hole.ask_at = now + wait + NACK_AGAIN_AFTER;
            count += 1;
        }
        count
    }

    /// When to call [`Missing::ask`] next.
    pub(crate) fn due(&self) -> Option<u64> {
        let asking = self.asking();
        let next = self.holes.iter().map(|hole| {
            let end = hole.seen_at + MISSING_FOR;
            if asking && hole.open() {
                hole.ask_at.min(end)
            } else {
                end
            }
        });
        next.min()
    }

    /// Both sides agree on asking from now on, or no longer; what is missing stays known. Asked by another agreement a stream
    /// may answer where it did not before.
    pub(crate) fn agree(&mut self, asks: bool) {
        if self.asks != asks {
            self.asks = asks;
            self.unanswered = 0;
        }
    }

    /// A new stream: nothing of the one before is missed any more, and it may answer where that one did not.
    pub(crate) fn clear(&mut self, asks: bool) {
        self.holes.clear();
        self.unanswered = 0;
        self.asks = asks;
    }

    const fn asking(&self) -> bool {
        self.asks && self.unanswered < NACKS_UNANSWERED_MAX
    }
}

impl Hole {
    const fn open(&self) -> bool {
        !self.rebuilt && self.tries < NACK_TRIES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SECOND;

    const WAIT: u64 = 20 * MS;

    fn ask(missing: &mut Missing, now: u64) -> Vec<u16> {
        let mut numbers = [0; MISSING_MAX];
        let count = missing.ask(now, WAIT, &mut numbers);
        numbers[..count].to_vec()
    }

    #[test]
    fn the_wait_is_the_round_trip_and_ten_milliseconds_but_never_below_twenty() {
        assert_eq!(Missing::wait(None), 20 * MS);
        assert_eq!(Missing::wait(Some(3_000)), 20 * MS);
        assert_eq!(Missing::wait(Some(80_000)), 90 * MS);
    }

    #[test]
    fn a_hole_is_asked_for_three_times_and_let_go_after_a_second() {
        let mut missing = Missing::new(true);
        missing.note(SECOND, 70_000, 70_002, 0, WAIT);
        assert_eq!(ask(&mut missing, SECOND + WAIT - 1), [0u16; 0]);
        let mut asked = 0;
        while let Some(due) = missing.due() {
            asked += ask(&mut missing, due).len();
            assert!(due <= 2 * SECOND);
        }
        assert_eq!(asked, 2 * usize::from(NACK_TRIES_MAX));
        assert_eq!(missing.came(70_000), Late::Unasked, "given up");
    }

    #[test]
    fn who_is_asked_has_time_to_answer_before_he_is_asked_again() {
        let mut missing = Missing::new(true);
        missing.note(SECOND, 10, 11, 0, WAIT);
        assert_eq!(ask(&mut missing, SECOND + WAIT), [10]);
        let again = SECOND + 2 * WAIT + NACK_AGAIN_AFTER;
        assert_eq!(ask(&mut missing, again - 1), [0u16; 0]);
        assert_eq!((missing.due(), ask(&mut missing, again)), (Some(again), vec![10]));
    }

    #[test]
    fn what_comes_late_was_asked_for_or_not() {
        let mut missing = Missing::new(true);
        missing.note(SECOND, 10, 13, 0, WAIT);
        assert_eq!(missing.came(10), Late::Unasked);
        assert_eq!(ask(&mut missing, SECOND + WAIT), [11, 12]);
        assert_eq!((missing.came(12), missing.came(12)), (Late::Asked, Late::Unasked));
        assert_eq!(missing.came(9), Late::Unasked);
    }

    #[test]
    fn what_was_rebuilt_is_rebuilt_once_asked_for_no_more_and_must_fit_its_gap() {
        let mut missing = Missing::new(true);
        missing.note(SECOND, 10, 12, 5_000, WAIT);
        assert!(!missing.rebuild(10, 5_000) && !missing.rebuild(9, 6_000));
        assert!(missing.rebuild(10, 5_960) && !missing.rebuild(10, 5_960));
        assert_eq!(ask(&mut missing, SECOND + WAIT), [11]);
        assert_eq!(missing.came(10), Late::Rebuilt);
    }

    #[test]
    fn nobody_is_asked_who_did_not_agree() {
        let mut missing = Missing::new(false);
        missing.note(SECOND, 10, 12, 0, WAIT);
        assert_eq!(missing.due(), Some(SECOND + MISSING_FOR));
        assert!(ask(&mut missing, SECOND + WAIT).is_empty() && missing.rebuild(10, 960));
        assert!(ask(&mut missing, SECOND + MISSING_FOR).is_empty());
        assert_eq!(missing.due(), None);
    }

    #[test]
    fn the_newest_64_are_kept() {
        let mut missing = Missing::new(true);
        missing.note(SECOND, 0, 40, 0, WAIT);
        missing.note(SECOND, 41, 81, 0, WAIT);
        let asked = ask(&mut missing, SECOND + WAIT);
        assert_eq!((asked.len(), asked[0], asked[63]), (MISSING_MAX, 16, 80));
        missing.note(SECOND, 100, 100_000, 0, WAIT);
        let asked = ask(&mut missing, SECOND + WAIT);
        assert_eq!((asked.len(), asked[0]), (MISSING_MAX, (100_000u32 - 64) as u16));
    }

    #[test]
    fn five_unanswered_nacks_end_asking_and_an_answer_or_a_new_stream_begins_it_anew() {
        let mut missing = Missing::new(true);
        let (mut now, mut index) = (SECOND, 10);
        let mut lose = |missing: &mut Missing, answered: bool| {
            missing.note(now, index, index + 1, 0, WAIT);
            let asked = ask(missing, now + WAIT).len();
            if answered {
                assert_eq!(missing.came(index), Late::Asked);
            }
            now += MISSING_FOR;
            assert!(ask(missing, now).is_empty());
            index += 2;
            asked
        };
        for _ in 0..NACKS_UNANSWERED_MAX - 1 {
            assert_eq!(lose(&mut missing, false), 1);
        }
        assert_eq!(lose(&mut missing, true), 1);
        for _ in 0..NACKS_UNANSWERED_MAX {
            assert_eq!(lose(&mut missing, false), 1);
        }
        assert_eq!(lose(&mut missing, false), 0);
        missing.clear(true);
        assert_eq!(lose(&mut missing, false), 1);
    }
}
