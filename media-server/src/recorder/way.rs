//! How colleagues and supervisors take part while the call goes on, and when the customer hears them.
//!
//! Never looks at hold: whoever is on hold hears nobody, and the room knows that.
//!
//! Invariant: what has begun ends before anything else of the same leg begins.

use std::ops::Range;

use ports::Stance;
use recording::spool::{EventKind, Part, Way};

/// How somebody who is neither the customer nor his agent takes part; `None` for those two, and for who waits.
pub(super) const fn of(part: Part, stance: Stance) -> Option<Way> {
    match (part, stance) {
        (Part::Partner, Stance::Consult) => Some(Way::Consult),
        // Who is muted takes part; his silence has its own name.
        (Part::Partner, Stance::Talk | Stance::Muted) => Some(Way::Conference),
        (Part::Supervisor, Stance::Listen) => Some(Way::Listen),
        (Part::Supervisor, Stance::Whisper) => Some(Way::Whisper),
        (Part::Supervisor, Stance::Barge) => Some(Way::Barge),
        (Part::Partner | Part::Supervisor | Part::Customer | Part::Agent | Part::Preflight, _) => None,
    }
}

/// How one leg takes part, and when it was heard last.
#[derive(Debug, Default)]
pub(super) struct Course {
    now: Option<(Way, Part)>,
    since_ns: u64,
    /// Packets of it may still come.
    last_heard: Range<u64>,
}

impl Course {
    /// The leg takes part this way from now on; gives what ended and what began by it, and what the leg was then.
    pub(super) fn turn(&mut self, at_ns: u64, part: Part, way: Option<Way>) -> [Option<(EventKind, Part)>; 2] {
        let next = way.map(|way| (way, part));
        if self.now == next {
            return [None; 2];
        }
        let before = std::mem::replace(&mut self.now, next);
        if before.is_some_and(|(way, _)| way.is_heard()) {
            self.last_heard = self.since_ns..at_ns;
        }
        self.since_ns = at_ns;
        [
            before.map(|(way, part)| (EventKind::Ended(way), part)),
            next.map(|(way, part)| (EventKind::Began(way), part)),
        ]
    }

    /// Whether the customer heard it at that time, were he not on hold.
    pub(super) fn heard_at(&self, arrival_ns: u64) -> bool {
        let heard = self.now.is_some_and(|(way, _)| way.is_heard()) && arrival_ns >= self.since_ns;
        heard || self.last_heard.contains(&arrival_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANCES: [Stance; 9] = [
        Stance::Waiting,
        Stance::Queued,
        Stance::Talk,
        Stance::Muted,
        Stance::Held,
        Stance::Consult,
        Stance::Listen,
        Stance::Whisper,
        Stance::Barge,
    ];

    #[test]
    fn only_a_colleague_in_a_conference_and_a_supervisor_who_joins_are_heard_by_the_customer() {
        let heard = |part| {
            let heard = STANCES
                .iter()
                .filter(|stance| of(part, **stance).is_some_and(Way::is_heard));
            heard.copied().collect::<Vec<_>>()
        };
        assert_eq!(heard(Part::Partner), [Stance::Talk, Stance::Muted]);
        assert_eq!(heard(Part::Supervisor), [Stance::Barge]);
        for part in [Part::Customer, Part::Agent, Part::Preflight] {
            assert!(STANCES.iter().all(|stance| of(part, *stance).is_none()));
        }
    }

    #[test]
    fn a_packet_belongs_to_the_way_of_its_own_time() {
        let mut course = Course::default();
        let part = Part::Supervisor;
        assert_eq!(course.turn(5, part, None), [None; 2]);
        let began = |way| Some((EventKind::Began(way), part));
        let ended = |way| Some((EventKind::Ended(way), part));
        assert_eq!(course.turn(10, part, Some(Way::Whisper)), [None, began(Way::Whisper)]);
        assert!(!course.heard_at(12));
        assert_eq!(
            course.turn(20, part, Some(Way::Barge)),
            [ended(Way::Whisper), began(Way::Barge)]
        );
        assert_eq!(
            course.turn(25, part, Some(Way::Barge)),
            [None; 2],
            "told twice it is once"
        );
        assert!(!course.heard_at(19) && course.heard_at(20) && course.heard_at(30));
        // He gets the call: what he was ends, and he is heard as the agent.
        assert_eq!(course.turn(30, Part::Agent, None), [ended(Way::Barge), None]);
        assert!(course.heard_at(29) && !course.heard_at(30));
    }
}
