//! Who hears whom: a pure function of parts and stances, default deny.
//!
//! It knows no packet, no address and no time, and nothing in it can be set one edge at a time: an edge exists only
//! because the rule below gave it.
//!
//! Invariant: no leg hears itself, and a leg without uplink is heard by nobody.

use crate::limits::LEGS_PER_ROOM_MAX;
use crate::{LegId, RoomId};

/// What a participant is to the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The person who called.
    Customer,
    /// The agent who owns the contact.
    Agent,
    /// A colleague who is consulted.
    Partner,
    /// Somebody who may only listen unless a stance says more.
    Supervisor,
    /// A caller who tests his line.
    Preflight,
}

/// How a leg takes part at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stance {
    /// Hears nobody and is heard by nobody.
    Waiting,
    /// Hears and is heard by every other leg that talks.
    Talk,
    /// Is not heard; hears every leg that talks.
    Muted,
}

/// Whether a room's audio goes to the recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tap {
    /// Never.
    Off,
    /// From the moment the room is live on.
    On,
    /// Stopped for now.
    Paused,
}

/// The whole of who takes part how in one room: never a delta. The highest epoch wins; the same one twice is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which room.
    pub room: RoomId,
    /// Grows with every change.
    pub epoch: u64,
    /// Legs that are not named wait. At most [`LEGS_PER_ROOM_MAX`]; legs may be named before they come.
    pub stances: Vec<(LegId, Stance)>,
    /// The tap for the whole room.
    pub tap: Tap,
}

/// One taken place of a room, as far as the rule needs it.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    /// What the participant is.
    pub part: Part,
    /// How he takes part.
    pub stance: Stance,
    /// False: he has no microphone here.
    pub uplink: bool,
}

/// "Sink hears source" for the eight places of a room, as 8 × 8 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edges(u64);

impl Edges {
    /// Nobody hears anybody.
    pub const NONE: Edges = Edges(0);

    /// The places that hear `source`, one bit each.
    #[inline]
    #[must_use]
    pub const fn sinks(self, source: usize) -> u8 {
        (self.0 >> (8 * (source & 7))) as u8
    }

    /// The places that `sink` hears, one bit each.
    #[must_use]
    pub fn sources(self, sink: usize) -> u8 {
        (0..LEGS_PER_ROOM_MAX)
            .filter(|&source| self.hears(sink, source))
            .fold(0, |bits, source| bits | 1 << source)
    }

    /// True if `sink` hears `source`.
    #[must_use]
    pub const fn hears(self, sink: usize, source: usize) -> bool {
        self.sinks(source) >> (sink & 7) & 1 == 1
    }

    const fn with(self, sink: usize, source: usize) -> Edges {
        Edges(self.0 | 1 << (8 * (source & 7) + (sink & 7)))
    }
}

/// The rule. Empty places take no part.
///
/// A leg speaks if it has an uplink and talks; it listens if it talks or is muted. Whoever listens hears every other
/// leg that speaks. A preflight hears no other leg and is heard by none.
#[must_use]
pub fn edges(seats: &[Option<Seat>; LEGS_PER_ROOM_MAX]) -> Edges {
    let mut edges = Edges::NONE;
    for (source, speaker) in seats.iter().enumerate() {
        if !speaker.as_ref().is_some_and(speaks) {
            continue;
        }
        for (sink, listener) in seats.iter().enumerate() {
            if sink != source && listener.as_ref().is_some_and(listens) {
                edges = edges.with(sink, source);
            }
        }
    }
    edges
}

fn speaks(seat: &Seat) -> bool {
    seat.uplink && seat.stance == Stance::Talk && seat.part != Part::Preflight
}

fn listens(seat: &Seat) -> bool {
    seat.stance != Stance::Waiting && seat.part != Part::Preflight
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANCES: [Stance; 3] = [Stance::Waiting, Stance::Talk, Stance::Muted];
    const PARTS: [Part; 5] = [
        Part::Customer,
        Part::Agent,
        Part::Partner,
        Part::Supervisor,
        Part::Preflight,
    ];

    fn room(seats: &[(usize, Seat)]) -> Edges {
        let mut places = [None; LEGS_PER_ROOM_MAX];
        for &(place, seat) in seats {
            places[place] = Some(seat);
        }
        edges(&places)
    }

    #[test]
    fn two_who_talk_hear_each_other_and_nobody_else() {
        let seat = |part| Seat {
            part,
            stance: Stance::Talk,
            uplink: true,
        };
        let edges = room(&[(0, seat(Part::Customer)), (5, seat(Part::Agent))]);
        assert_eq!((edges.sinks(0), edges.sinks(5)), (1 << 5, 1));
        assert_eq!((edges.sources(0), edges.sources(5)), (1 << 5, 1));
        assert!(
            (1..5)
                .chain(6..8)
                .all(|place| edges.sinks(place) == 0 && edges.sources(place) == 0)
        );
    }

    #[test]
    fn every_pair_of_part_stance_and_uplink_gives_exactly_the_edges_of_the_rule() {
        let all = PARTS.iter().flat_map(|&part| {
            STANCES
                .iter()
                .flat_map(move |&stance| [true, false].map(|uplink| Seat { part, stance, uplink }))
        });
        let all: Vec<Seat> = all.collect();
        for a in &all {
            for b in &all {
                let edges = room(&[(1, *a), (7, *b)]);
                let nobody = a.part == Part::Preflight || b.part == Part::Preflight;
                let hears = |sink: &Seat, source: &Seat| {
                    !nobody && source.uplink && source.stance == Stance::Talk && sink.stance != Stance::Waiting
                };
                assert_eq!(edges.hears(7, 1), hears(b, a), "{a:?} to {b:?}");
                assert_eq!(edges.hears(1, 7), hears(a, b), "{b:?} to {a:?}");
                assert!(!edges.hears(1, 1) && !edges.hears(7, 7));
            }
        }
    }

    #[test]
    fn a_full_room_where_all_talk_is_all_edges_but_the_diagonal() {
        let seat = Some(Seat {
            part: Part::Partner,
            stance: Stance::Talk,
            uplink: true,
        });
        let edges = edges(&[seat; LEGS_PER_ROOM_MAX]);
        for source in 0..LEGS_PER_ROOM_MAX {
            assert_eq!(edges.sinks(source), !(1u8 << source));
        }
    }
}
