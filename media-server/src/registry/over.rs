//! What the desk ended a moment ago: a grant that comes behind its end makes nothing anew.
//!
//! The desk says both without a lock between them: a hang-up may overtake the handing out of a grant that was decided before
//! it. Without this table such a grant would make the room again, and a recording of it that no call knows.

use std::collections::{HashMap, VecDeque};

use call_model::{CallId, LegId};

/// Nanoseconds for which an end is remembered: more than a handing out can lie behind its decision, which is the time that
/// the desk's database and its own work may take.
pub const OVER_NS: u64 = 60 * 1_000_000_000;
/// Most ends that are remembered, 6 MB of them: those of a minute at two thousand ends a second. Beyond, the oldest is
/// forgotten.
const OVER_MAX: usize = 131_072;

/// What ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// A room with all its legs.
    Room(CallId),
    /// One leg.
    Leg(LegId),
}

/// See the top of this file.
#[derive(Debug, Default)]
pub(super) struct Over {
    /// With the nanosecond of each.
    known: HashMap<Ended, u64>,
    /// In the order in which they ended.
    order: VecDeque<(u64, Ended)>,
}

impl Over {
    /// Remembers an end; one that is remembered already stays as old as it is.
    pub(super) fn add(&mut self, now: u64, ended: Ended) {
        self.forget(now);
        if self.known.contains_key(&ended) {
            return;
        }
        self.known.insert(ended, now);
        self.order.push_back((now, ended));
        if self.order.len() > OVER_MAX
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Whether the leg, or its whole room, ended.
    pub(super) fn is(&self, now: u64, room: CallId, leg: LegId) -> bool {
        let ends = [Ended::Room(room), Ended::Leg(leg)];
        let mut known = ends.iter().filter_map(|ended| self.known.get(ended));
        known.any(|at| now.saturating_sub(*at) < OVER_NS)
    }

    fn forget(&mut self, now: u64) {
        while let Some((at, ended)) = self.order.front().copied() {
            if now.saturating_sub(at) < OVER_NS {
                return;
            }
            self.order.pop_front();
            self.known.remove(&ended);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_remembered_for_its_time_and_among_as_many_as_there_is_room_for() {
        let (room, leg) = (CallId(1), LegId(2));
        let mut over = Over::default();
        assert!(!over.is(0, room, leg));
        over.add(5, Ended::Leg(leg));
        assert!(over.is(5, room, leg) && over.is(4 + OVER_NS, room, leg));
        assert!(!over.is(5, room, LegId(3)), "others may come");
        assert!(!over.is(5 + OVER_NS, room, leg), "its time is over");
        over.add(5 + OVER_NS, Ended::Room(room));
        assert!(
            over.is(6 + OVER_NS, room, leg) && over.is(6 + OVER_NS, room, LegId(3)),
            "all of it"
        );

        let mut over = Over::default();
        for n in 0..OVER_MAX as u128 {
            over.add(0, Ended::Room(CallId(n)));
        }
        assert!(over.is(1, CallId(0), leg), "as many as there is room for");
        over.add(1, Ended::Leg(leg));
        assert!(
            !over.is(1, CallId(0), LegId(9)) && over.is(1, CallId(1), LegId(9)),
            "the oldest goes"
        );
        assert_eq!(over.known.len(), over.order.len());
    }
}
