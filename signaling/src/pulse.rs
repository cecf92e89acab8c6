//! Signs of life of one connection, and when it is time to ask whether its owner may stay. Pure: beats are handed in.
//!
//! Invariant: a look comes due by the beats alone. A client that answers nothing cannot put it off.

use desk::auth::Seen;
use tokio::time::Instant;

use crate::limits::{MISSED_HEARTBEATS_MAX, SIGNED_IN_EVERY};

/// Nothing was heard for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dead;

/// Signs of life.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    beats: u32,
    missed: u32,
    /// The probe that is out, and since when.
    probe: Option<(String, Instant)>,
    /// The most that was seen of the owner since the last look.
    seen: Seen,
    /// Beats since the last look that had an outcome.
    unlooked: u32,
}

impl Pulse {
    /// One beat more; a client that is not `listened_to` cannot show that it lives.
    pub(crate) fn beat(&mut self, listened_to: bool) -> Result<(), Dead> {
        if listened_to {
            if self.missed >= MISSED_HEARTBEATS_MAX {
                return Err(Dead);
            }
            self.missed += 1;
        }
        self.beats = self.beats.wrapping_add(1);
        self.unlooked = self.unlooked.saturating_add(1);
        Ok(())
    }

    /// Sends a probe at `now`; its nonce.
    pub(crate) fn probe(&mut self, now: Instant) -> String {
        let nonce = self.beats.to_string();
        self.probe = Some((nonce.clone(), now));
        nonce
    }

    /// Something came over the connection.
    pub(crate) fn heard(&mut self) {
        self.missed = 0;
    }

    /// Something was seen of the owner.
    pub(crate) fn see(&mut self, seen: Seen) {
        self.seen = self.seen.max(seen);
    }

    /// The page answered at `now`; milliseconds it took, when it is the probe that is out.
    pub(crate) fn answered(&mut self, nonce: &str, now: Instant) -> Option<u32> {
        let (_, at) = self.probe.take_if(|(out, _)| out == nonce)?;
        u32::try_from(now.saturating_duration_since(at).as_millis()).ok()
    }

    /// When a look is due: what it is to be told of the owner, once.
    pub(crate) fn look_due(&mut self) -> Option<Seen> {
        (self.unlooked >= SIGNED_IN_EVERY).then(|| std::mem::take(&mut self.seen))
    }

    /// A look had an outcome; one that had none stays due.
    pub(crate) fn looked(&mut self) {
        self.unlooked = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Beats of a client of which nothing is heard but what keeps its connection; the ones at which a look was due.
    fn looks(pulse: &mut Pulse, beats: u32) -> Vec<u32> {
        let due = (1..=beats).filter(|_| {
            pulse.beat(true).unwrap();
            pulse.heard();
            let due = pulse.look_due().is_some();
            if due {
                pulse.looked();
            }
            due
        });
        due.collect()
    }

    #[test]
    fn a_page_that_answers_no_probe_is_looked_at_all_the_same() {
        let mut pulse = Pulse::default();
        assert_eq!(
            looks(&mut pulse, 3 * SIGNED_IN_EVERY),
            [1, 2, 3].map(|n| n * SIGNED_IN_EVERY)
        );
    }

    #[test]
    fn a_look_without_an_outcome_is_tried_again_with_the_next_beat() {
        let mut pulse = Pulse::default();
        for _ in 0..SIGNED_IN_EVERY {
            assert_eq!(pulse.look_due(), None);
            pulse.beat(false).unwrap();
        }
        assert!(pulse.look_due().is_some());
        pulse.beat(false).unwrap();
        assert!(pulse.look_due().is_some());
        pulse.looked();
        assert!(pulse.look_due().is_none());
    }

    #[test]
    fn a_look_is_told_the_most_that_was_seen_and_only_once() {
        let mut pulse = Pulse::default();
        let mut told = |seen: &[Seen]| {
            for seen in seen {
                pulse.see(*seen);
            }
            for _ in 0..SIGNED_IN_EVERY {
                pulse.beat(false).unwrap();
            }
            let due = pulse.look_due();
            pulse.looked();
            due
        };
        assert_eq!(told(&[Seen::Use, Seen::Page]), Some(Seen::Use));
        assert_eq!(told(&[Seen::Page, Seen::Nothing]), Some(Seen::Page));
        assert_eq!(told(&[]), Some(Seen::Nothing));
    }

    #[test]
    fn silence_ends_a_connection_that_is_listened_to() {
        let mut pulse = Pulse::default();
        for _ in 0..MISSED_HEARTBEATS_MAX {
            assert_eq!(pulse.beat(true), Ok(()));
        }
        assert_eq!(pulse.beat(false), Ok(()), "nobody listens");
        assert_eq!(pulse.beat(true), Err(Dead));
        pulse.heard();
        assert_eq!(pulse.beat(true), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_probe_that_is_out_measures_the_way() {
        let (mut pulse, start) = (Pulse::default(), Instant::now());
        pulse.beat(true).unwrap();
        let old = pulse.probe(start);
        pulse.beat(true).unwrap();
        let nonce = pulse.probe(start);
        let later = start + Duration::from_millis(70);
        assert_eq!(pulse.answered(&old, later), None);
        assert_eq!(pulse.answered(&nonce, later), Some(70));
        assert_eq!(pulse.answered(&nonce, later), None, "one answer for one probe");
    }
}
