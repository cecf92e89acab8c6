//! The outbox of media: events of rooms, numbered, kept until the desk has acknowledged them.
//!
//! Knows no room's content and never waits. With the desk away it holds everything up to [`EVENTS_MAX`]; beyond that
//! it lets go of what only informs before it lets go of what decides.
//!
//! Invariant: within a room the numbers are 1, 2, 3 … in the order in which the events were added; a number is given
//! once.

use std::collections::{BTreeMap, HashMap, VecDeque};

use call_model::CallId;
use ports::{EventKind, MediaEvent};

/// Events kept for a desk that does not answer: an hour of 1,000 calls that come and go every three minutes.
pub const EVENTS_MAX: usize = 262_144;

struct Kept {
    room: CallId,
    seq: u64,
    at: u64,
    kind: EventKind,
}

#[derive(Default)]
struct Numbering {
    last: u64,
    /// Numbers in [`Outbox::kept`] of events that are not acknowledged.
    open: VecDeque<u64>,
    closed: bool,
}

/// See the top of this file.
#[derive(Default)]
pub struct Outbox {
    kept: BTreeMap<u64, Kept>,
    rooms: HashMap<CallId, Numbering>,
    next: u64,
    dropped: u64,
}

/// True for what the desk's decisions rest on.
fn decides(kind: &EventKind) -> bool {
    match kind {
        EventKind::LegUp { .. }
        | EventKind::FirstRtp { .. }
        | EventKind::RoomLive
        | EventKind::LegAway { .. }
        | EventKind::LegBack { .. }
        | EventKind::LegDown { .. }
        | EventKind::RecordingDegraded { .. } => true,
        EventKind::LegMigrated { .. }
        | EventKind::LegRoute { .. }
        | EventKind::UplinkStalled { .. }
        | EventKind::UplinkResumed { .. }
        | EventKind::Dtmf { .. }
        | EventKind::Announced { .. }
        | EventKind::Unheard { .. }
        | EventKind::PlanApplied { .. }
        | EventKind::Quality { .. } => false,
    }
}

impl Outbox {
    /// Adds an event that happened at `at` nanoseconds of the node's clock. False when it had to be let go.
    pub fn add(&mut self, room: CallId, at: u64, kind: EventKind) -> bool {
        if self.kept.len() >= EVENTS_MAX && !self.make_room(&kind) {
            self.dropped += 1;
            return false;
        }
        let numbering = self.rooms.entry(room).or_default();
        numbering.last += 1;
        self.next += 1;
        numbering.open.push_back(self.next);
        self.kept.insert(
            self.next,
            Kept {
                room,
                seq: numbering.last,
                at,
                kind,
            },
        );
        true
    }

    /// Lets go of the oldest event that only informs, if `for_kind` is worth more.
    fn make_room(&mut self, for_kind: &EventKind) -> bool {
        if !decides(for_kind) {
            return false;
        }
        let Some(number) = self
            .kept
            .iter()
            .find(|(_, kept)| !decides(&kept.kind))
            .map(|(number, _)| *number)
        else {
            return false;
        };
        if let Some(kept) = self.kept.remove(&number) {
            self.dropped += 1;
            if let Some(numbering) = self.rooms.get_mut(&kept.room) {
                numbering.open.retain(|open| *open != number);
            }
        }
        true
    }

    /// Up to `max` events, oldest first; `now` and the node's epoch are written into each.
    #[must_use]
    pub fn outstanding(&self, max: usize, now: u64, node_epoch: u64) -> Vec<MediaEvent> {
        let events = self.kept.values().take(max).map(|kept| MediaEvent {
            room: kept.room,
            seq: kept.seq,
            node_epoch,
            age_ms: now.saturating_sub(kept.at) / 1_000_000,
            kind: kept.kind.clone(),
        });
        events.collect()
    }

    /// Everything of `room` up to `seq` is stored.
    pub fn acknowledge(&mut self, room: CallId, seq: u64) {
        let Some(numbering) = self.rooms.get_mut(&room) else {
            return;
        };
        while let Some(&number) = numbering.open.front() {
            if self.kept.get(&number).is_some_and(|kept| kept.seq > seq) {
                break;
            }
            numbering.open.pop_front();
            self.kept.remove(&number);
        }
        if numbering.closed && numbering.open.is_empty() {
            self.rooms.remove(&room);
        }
    }

    /// No more events will come of `room`: its numbering goes once all is acknowledged.
    pub fn close(&mut self, room: CallId) {
        if let Some(numbering) = self.rooms.get_mut(&room) {
            numbering.closed = true;
            if numbering.open.is_empty() {
                self.rooms.remove(&room);
            }
        }
    }

    /// Events that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Age of the oldest event, nanoseconds; 0 when nothing waits.
    #[must_use]
    pub fn oldest(&self, now: u64) -> u64 {
        self.kept.values().next().map_or(0, |kept| now.saturating_sub(kept.at))
    }

    /// True when nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Events that were let go.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Rooms with a numbering, for the test that nothing leaks.
    #[must_use]
    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use call_model::LegId;

    const A: CallId = CallId(1);
    const B: CallId = CallId(2);

    #[test]
    fn events_stay_until_acknowledged_and_are_numbered_per_room() {
        let mut outbox = Outbox::default();
        outbox.add(A, 5_000_000, EventKind::RoomLive);
        outbox.add(B, 6_000_000, EventKind::RoomLive);
        outbox.add(A, 7_000_000, EventKind::LegUp { leg: LegId(3) });
        let seen = outbox.outstanding(10, 9_000_000, 4);
        let short: Vec<_> = seen.iter().map(|event| (event.room, event.seq, event.age_ms)).collect();
        assert_eq!(short, [(A, 1, 4), (B, 1, 3), (A, 2, 2)]);
        assert!(seen.iter().all(|event| event.node_epoch == 4));
        assert_eq!(outbox.outstanding(1, 9_000_000, 4).len(), 1);
        outbox.acknowledge(A, 1);
        outbox.acknowledge(A, 1);
        assert_eq!(outbox.len(), 2);
        outbox.acknowledge(A, 2);
        outbox.close(A);
        outbox.close(B);
        outbox.acknowledge(B, 9);
        assert!(outbox.is_empty());
        assert_eq!(outbox.rooms(), 0);
    }

    #[test]
    fn a_full_outbox_lets_go_of_what_only_informs() {
        let mut outbox = Outbox::default();
        outbox.add(B, 0, EventKind::PlanApplied { epoch: 1 });
        for n in 1..EVENTS_MAX {
            assert!(outbox.add(A, n as u64, EventKind::RoomLive));
        }
        assert!(
            !outbox.add(B, 0, EventKind::PlanApplied { epoch: 2 }),
            "no room for news"
        );
        assert!(
            outbox.add(B, 0, EventKind::RoomLive),
            "a decision takes the place of news"
        );
        assert!(!outbox.add(B, 0, EventKind::RoomLive), "nothing is left to let go");
        assert_eq!((outbox.len(), outbox.dropped()), (EVENTS_MAX, 3));
        let own: Vec<_> = outbox
            .outstanding(EVENTS_MAX, 0, 0)
            .into_iter()
            .filter(|event| event.room == B)
            .collect();
        assert_eq!(own.len(), 1);
    }
}
