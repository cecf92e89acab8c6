//! Which sounds are to be drawn, in what order, and who waits for them.
//!
//! Knows no clock: the time is an argument.
//!
//! Invariant: a sound stands in it at most once, so whoever asks for it joins those who wait.

use std::collections::VecDeque;

use bytes::Bytes;
use ports::{Sound, WaveformFault};
use tokio::sync::watch;

/// Sounds that may wait for their turn, beside the one that is drawn. Higher: the last one waits for minutes. Lower:
/// a few reviewers who open their calls at the same moment turn each other away.
pub(super) const WAITING_MAX: usize = 16;
/// A sound for which nobody waits, and about which nobody asked for so long, is not drawn any more: ten seconds in
/// nanoseconds. Who still wants it asks again after each answer.
pub(super) const FORGOTTEN_NS: u64 = 10_000_000_000;

/// How a drawing ended: a file of peaks.
pub(super) type Outcome = Result<Bytes, WaveformFault>;

/// How far a drawing is.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// It waits or is under way.
    Drawing {
        /// 0 to 99.
        percent: u8,
    },
    /// It ended.
    Over(Outcome),
}

#[derive(Debug)]
struct Entry {
    sound: Sound,
    /// When somebody last asked.
    asked_ns: u64,
    tell: watch::Sender<State>,
}

impl Entry {
    fn is_forgotten(&self, now_ns: u64) -> bool {
        self.tell.receiver_count() == 0 && now_ns.saturating_sub(self.asked_ns) > FORGOTTEN_NS
    }
}

/// See the top of this file.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Entry>,
    drawn: Option<Entry>,
    closed: bool,
}

impl Queue {
    /// Asks for a sound; `None` when [`WAITING_MAX`] others wait, or at the end.
    pub(super) fn ask(&mut self, sound: &Sound, now_ns: u64) -> Option<watch::Receiver<State>> {
        if self.closed {
            return None;
        }
        let known = self.drawn.iter_mut().chain(&mut self.waiting);
        if let Some(entry) = known.into_iter().find(|entry| entry.sound == *sound) {
            entry.asked_ns = now_ns;
            return Some(entry.tell.subscribe());
        }
        self.waiting.retain(|entry| !entry.is_forgotten(now_ns));
        if self.waiting.len() >= WAITING_MAX {
            return None;
        }
        let (tell, told) = watch::channel(State::Drawing { percent: 0 });
        self.waiting.push_back(Entry {
            sound: sound.clone(),
            asked_ns: now_ns,
            tell,
        });
        Some(told)
    }

    /// Takes the next one that somebody still wants, to be drawn.
    pub(super) fn take(&mut self, now_ns: u64) -> Option<Sound> {
        self.waiting.retain(|entry| !entry.is_forgotten(now_ns));
        self.drawn = self.waiting.pop_front();
        self.drawn.as_ref().map(|entry| entry.sound.clone())
    }

    /// Tells how far the one that is drawn is; it is at 100 only when it is over.
    pub(super) fn tell(&self, percent: u64) {
        if let Some(entry) = &self.drawn {
            let percent = u8::try_from(percent.min(99)).unwrap_or(99);
            entry.tell.send_replace(State::Drawing { percent });
        }
    }

    /// The one that was drawn is over.
    pub(super) fn over(&mut self, outcome: Outcome) {
        if let Some(entry) = self.drawn.take() {
            entry.tell.send_replace(State::Over(outcome));
        }
    }

    /// Nothing more is drawn: who waits is told so by the end of his channel.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.waiting.clear();
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(key: &str) -> Sound {
        Sound::Master(key.to_owned())
    }

    fn percent(told: &watch::Receiver<State>) -> u8 {
        match &*told.borrow() {
            State::Drawing { percent } => *percent,
            State::Over(outcome) => panic!("{outcome:?}"),
        }
    }

    #[test]
    fn so_many_wait_and_one_more_is_refused() {
        let mut queue = Queue::default();
        let drawn = queue.ask(&sound("drawn"), 0);
        assert_eq!(queue.take(0), Some(sound("drawn")));
        let waiting: Vec<_> = (0..WAITING_MAX).map(|n| queue.ask(&sound(&n.to_string()), 0)).collect();
        assert!(drawn.is_some() && waiting.iter().all(Option::is_some));
        assert!(queue.ask(&sound("one more"), 0).is_none());
        assert!(
            queue.ask(&sound("3"), 0).is_some() && queue.ask(&sound("drawn"), 0).is_some(),
            "who joins takes no room"
        );
        assert_eq!(queue.take(0), Some(sound("0")), "the first comes first");
        assert!(queue.ask(&sound("one more"), 0).is_some());
    }

    #[test]
    fn all_who_ask_for_the_same_hear_of_one_drawing() {
        let mut queue = Queue::default();
        let mut all = vec![queue.ask(&sound("a"), 0).unwrap(), queue.ask(&sound("a"), 1).unwrap()];
        assert_eq!(queue.take(2), Some(sound("a")));
        all.push(queue.ask(&sound("a"), 3).unwrap());
        for (said, heard) in [(7, 7), (99, 99), (100, 99), (u64::MAX, 99)] {
            queue.tell(said);
            assert!(all.iter().all(|told| percent(told) == heard));
        }
        queue.over(Err(WaveformFault::Damaged));
        let damaged =
            |told: &watch::Receiver<State>| matches!(&*told.borrow(), State::Over(Err(WaveformFault::Damaged)));
        assert!(all.iter().all(damaged));
        assert_eq!(queue.take(4), None);
        assert!(queue.ask(&sound("a"), 5).is_some(), "and may be asked for again");
        let voice = Sound::Voice("a".to_owned());
        let told = queue.ask(&voice, 6);
        assert_eq!(
            (queue.take(6), queue.take(6)),
            (Some(sound("a")), Some(voice)),
            "a voice is another sound"
        );
        drop(told);
    }

    #[test]
    fn what_nobody_wants_any_more_is_not_drawn_and_takes_no_room() {
        let mut queue = Queue::default();
        let patient = queue.ask(&sound("patient"), 0);
        drop(queue.ask(&sound("gone"), 0));
        drop(queue.ask(&sound("asks again"), 0));
        assert!(queue.ask(&sound("asks again"), FORGOTTEN_NS).is_some());
        assert_eq!(queue.take(FORGOTTEN_NS + 1), Some(sound("patient")));
        assert_eq!(queue.take(FORGOTTEN_NS + 1), Some(sound("asks again")));
        assert_eq!(queue.take(FORGOTTEN_NS + 1), None);
        drop(patient);
        for n in 0..WAITING_MAX {
            drop(queue.ask(&sound(&n.to_string()), 0));
        }
        assert!(queue.ask(&sound("late"), FORGOTTEN_NS).is_none());
        assert!(queue.ask(&sound("later"), FORGOTTEN_NS + 1).is_some());
    }

    #[test]
    fn at_the_end_nobody_is_left_waiting() {
        let mut queue = Queue::default();
        let told = queue.ask(&sound("a"), 0).unwrap();
        queue.close();
        assert!(told.has_changed().is_err(), "the channel has ended");
        assert!(queue.is_closed() && queue.ask(&sound("a"), 0).is_none() && queue.take(0).is_none());
    }
}
