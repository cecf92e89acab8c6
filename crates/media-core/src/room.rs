//! One call's legs, who hears whom among them, and through which slot.
//!
//! Never touches a packet. Seats are places 0 to 7; a leg keeps its seat for life.
//!
//! Invariant: a route exists exactly where an edge does and the listener has a slot for it; two sources never share
//! a slot. An edge without a slot is told ([`Room::missing`]): nobody misses a voice without a word of it.

use crate::limits::{LEGS_PER_ROOM_MAX, LEGS_PER_SHARD_MAX, SLOTS_PER_LEG_MAX};
use crate::matrix::{self, Announce, Edges, Line, Part, Plan, Seat, Shield, Stance, Tap};
use crate::quality::flags::DeadAir;
use crate::table::Mark;
use crate::{LegId, RoomId};

/// No slot: there is no edge, or all slots are taken.
pub(crate) const NO_SLOT: u8 = u8::MAX;
/// No leg: the seat is free.
const NOBODY: u16 = u16::MAX;

/// One taken seat.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sitting {
    /// The leg's place in the shard.
    pub(crate) leg: u32,
    pub(crate) id: LegId,
    pub(crate) part: Part,
    pub(crate) uplink: bool,
    /// Whether somebody is at its other end.
    pub(crate) line: Line,
    /// How many slots its transport in use has.
    pub(crate) slots: usize,
}

/// An edge that is gone: the listener's seat and the slot that is free now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Released {
    pub(crate) sink: usize,
    pub(crate) slot: usize,
}

/// See the top of this file.
// In this order, at the start of a cache line: one holds what a packet needs while no more than three take part.
#[repr(C, align(64))]
pub(crate) struct Room {
    mark: Mark,
    pub(crate) edges: Edges,
    /// By seat, the leg's place in the shard, or [`NOBODY`].
    legs: [u16; LEGS_PER_ROOM_MAX],
    pub(crate) live: bool,
    /// Seats of parties whom somebody hears who is no supervisor.
    audible: u8,
    /// The same and the supervisors who join; only these are tapped.
    taped: u8,
    /// Seats that hear the music of those on hold.
    pub(crate) music: u8,
    /// Seats that hear the music of those who wait for an agent.
    pub(crate) waits: u8,
    /// Seats whose packets are dropped unopened.
    pub(crate) silenced: u8,
    /// The plan lets the tap take the room; the other says that it keeps pressed keys from everybody.
    tap: bool,
    shield: bool,
    /// `[source][sink]`: the slot of the sink that carries the source.
    pub(crate) routes: [[u8; LEGS_PER_ROOM_MAX]; LEGS_PER_ROOM_MAX],
    pub(crate) plan: Option<Plan>,
    pub(crate) seats: [Option<Sitting>; LEGS_PER_ROOM_MAX],
    pub(crate) id: RoomId,
    /// Seats whom the plan lets somebody hear who is no supervisor.
    pub(crate) heard: u8,
    /// Seats that did not speak in their last second.
    pub(crate) quiet: u8,
    pub(crate) air: DeadAir,
    /// Number of the last event.
    pub(crate) events: u64,
    /// How the supervisors take part who have come; [`Stance::Waiting`] for every other seat.
    pub(crate) supervising: [Stance; LEGS_PER_ROOM_MAX],
    /// Seats that are told of them.
    pub(crate) audience: u8,
    /// Per seat the slot that a tone has for a moment.
    pub(crate) tones: [u8; LEGS_PER_ROOM_MAX],
    /// Per seat whom it does not hear though an edge says so: all its slots are taken. Of those whose lines are up; what a
    /// tone interrupts for a moment is none of it.
    pub(crate) missing: [u8; LEGS_PER_ROOM_MAX],
}

/// Bytes at the start of a [`Room`] that a packet needs.
pub(crate) const HOT_BYTES: usize = 64;

const _: () = assert!(std::mem::offset_of!(Room, routes) + 3 * LEGS_PER_ROOM_MAX == HOT_BYTES);
const _: () = assert!(LEGS_PER_SHARD_MAX <= u16::MAX as usize, "no place is NOBODY");

impl Room {
    pub(crate) fn new(id: RoomId) -> Room {
        Room {
            mark: Mark::Taken,
            id,
            seats: [None; LEGS_PER_ROOM_MAX],
            legs: [NOBODY; LEGS_PER_ROOM_MAX],
            edges: Edges::NONE,
            routes: [[NO_SLOT; LEGS_PER_ROOM_MAX]; LEGS_PER_ROOM_MAX],
            audible: 0,
            taped: 0,
            music: 0,
            waits: 0,
            silenced: 0,
            heard: 0,
            tap: false,
            shield: false,
            plan: None,
            live: false,
            quiet: 0,
            air: DeadAir::default(),
            events: 0,
            supervising: [Stance::Waiting; LEGS_PER_ROOM_MAX],
            audience: 0,
            tones: [NO_SLOT; LEGS_PER_ROOM_MAX],
            missing: [0; LEGS_PER_ROOM_MAX],
        }
    }

    /// A free seat.
    pub(crate) fn free_seat(&self) -> Option<usize> {
        self.seats.iter().position(Option::is_none)
    }

    /// A leg takes its seat, or says anew what the room must know of it.
    pub(crate) fn sit(&mut self, seat: usize, sitting: Sitting) {
        if let (Some(place), Some(leg)) = (self.seats.get_mut(seat), self.legs.get_mut(seat)) {
            (*place, *leg) = (Some(sitting), sitting.leg as u16);
        }
    }

    /// The place in the shard of the leg that sits here.
    #[inline]
    pub(crate) fn leg_at(&self, seat: usize) -> Option<u32> {
        let leg = self.legs.get(seat).copied();
        leg.filter(|&leg| leg != NOBODY).map(u32::from)
    }

    /// A leg is gone.
    pub(crate) fn leave(&mut self, seat: usize) {
        if let (Some(sitting), Some(tone)) = (self.seats.get_mut(seat), self.tones.get_mut(seat)) {
            (*sitting, *tone) = (None, NO_SLOT);
        }
        if let (Some(missing), Some(leg)) = (self.missing.get_mut(seat), self.legs.get_mut(seat)) {
            (*missing, *leg) = (0, NOBODY);
        }
    }

    /// True if packets of this seat go to the recorder now.
    #[inline]
    pub(crate) fn tapped(&self, seat: usize) -> bool {
        self.live && self.tap && self.taped >> seat & 1 == 1
    }

    /// True if nobody gets the keys that are pressed in this room.
    pub(crate) fn shields(&self) -> bool {
        self.shield
    }

    /// Seats of the parties that hear each other now; fewer than two converse with nobody.
    pub(crate) fn conversing(&self) -> u8 {
        if self.live { self.audible } else { 0 }
    }

    /// Computes edges and routes anew from the plan and the seats. Returns the slots that lost their source.
    pub(crate) fn replan(&mut self) -> Vec<Released> {
        let seats = self.seats.map(|sitting| sitting.map(|sitting| self.seat(sitting)));
        self.edges = matrix::edges(&seats);
        self.tap = self.plan.as_ref().is_some_and(|plan| plan.tap == Tap::On);
        self.shield = self.plan.as_ref().is_some_and(|plan| plan.shield == Shield::On);
        let mut released = Vec::new();
        for sink in 0..LEGS_PER_ROOM_MAX {
            let slots = self.seats[sink].map_or(0, |sitting| sitting.slots.min(SLOTS_PER_LEG_MAX));
            let mut taken = [false; SLOTS_PER_LEG_MAX];
            if let Some(taken) = taken.get_mut(usize::from(self.tones[sink])) {
                *taken = true;
            }
            for source in 0..LEGS_PER_ROOM_MAX {
                let slot = usize::from(self.routes[source][sink]);
                if slot < slots && self.edges.hears(sink, source) {
                    taken[slot] = true;
                } else if slot < SLOTS_PER_LEG_MAX {
                    self.routes[source][sink] = NO_SLOT;
                    released.push(Released { sink, slot });
                }
            }
            for source in 0..LEGS_PER_ROOM_MAX {
                let unrouted = self.edges.hears(sink, source) && self.routes[source][sink] == NO_SLOT;
                if unrouted && let Some(free) = taken[..slots].iter().position(|taken| !taken) {
                    taken[free] = true;
                    self.routes[source][sink] = free as u8;
                }
            }
        }
        let listeners = (0..LEGS_PER_ROOM_MAX)
            .filter(|&seat| self.seats[seat].is_some_and(|sitting| sitting.part != Part::Supervisor));
        let heard = listeners.fold(0, |bits, sink| bits | self.edges.sources(sink));
        let which = |rule: fn(&Seat) -> bool| {
            let seats = seats.iter().enumerate();
            seats
                .filter(|(_, seat)| seat.as_ref().is_some_and(rule))
                .fold(0u8, |bits, (place, _)| bits | 1 << place)
        };
        self.heard = heard;
        self.audible = heard & which(matrix::converses);
        self.taped = heard & which(matrix::recorded);
        let unmet = matrix::unmet(&seats, self.edges);
        // Before there was a conversation he waits, and goes on waiting to the same tune until somebody is there.
        let waits_on = if self.live { self.waits } else { u8::MAX };
        self.waits = which(matrix::queues) | unmet & waits_on;
        let alone = unmet | matrix::left_alone(&seats, self.edges);
        self.music = (which(matrix::hears_music) | alone) & !self.waits;
        self.silenced = which(|seat| !matrix::may_send(seat));
        self.supervising = seats.map(|seat| seat.as_ref().and_then(matrix::supervises).unwrap_or(Stance::Waiting));
        let announce = self.plan.as_ref().map_or(Announce::Nobody, |plan| plan.announce);
        let told = |place: &usize| seats[*place].is_some_and(|seat| matrix::is_told(&seat, announce));
        self.audience = (0..LEGS_PER_ROOM_MAX)
            .filter(told)
            .fold(0, |bits, place| bits | 1 << place);
        released
    }

    /// Whom each seat does not hear though an edge says so; the seats of which that is new, one bit each. To be called after
    /// [`Room::replan`].
    pub(crate) fn find_missing(&mut self) -> u8 {
        let there = |seat: usize| self.seats[seat].is_some_and(|sitting| sitting.line != Line::Joining);
        let unrouted = |sink: usize| {
            let sources = (0..LEGS_PER_ROOM_MAX).filter(|&source| {
                there(source) && self.edges.hears(sink, source) && self.routes[source][sink] == NO_SLOT
            });
            sources.fold(0u8, |bits, source| bits | 1 << source)
        };
        let mut missing = self.missing;
        let mut changed = 0;
        for sink in (0..LEGS_PER_ROOM_MAX).filter(|&sink| there(sink) && self.tones[sink] == NO_SLOT) {
            let now = unrouted(sink);
            changed |= u8::from(std::mem::replace(&mut missing[sink], now) != now) << sink;
        }
        self.missing = missing;
        changed
    }

    /// Gives a tone a slot of the seat at `sink`, a free one if there is one. Otherwise a voice is interrupted, that of a
    /// supervisor before any other, and has its slot back with the next [`Room::replan`].
    pub(crate) fn lend(&mut self, sink: usize) -> Option<usize> {
        let slots = self.seats.get(sink).copied().flatten()?.slots.min(SLOTS_PER_LEG_MAX);
        let music = (self.music | self.waits) >> sink & 1 == 1;
        let uses = |slot: usize| {
            let mut sources = 0..LEGS_PER_ROOM_MAX;
            sources.find(|&source| usize::from(self.routes[source][sink]) == slot)
        };
        let free = (0..slots)
            .rev()
            .find(|&slot| uses(slot).is_none() && !(music && slot == 0));
        let supervised = |slot: &usize| uses(*slot).is_some_and(|source| self.supervising[source] != Stance::Waiting);
        let slot = free
            .or_else(|| (0..slots).rev().find(supervised))
            .or(slots.checked_sub(1))?;
        if let Some(source) = uses(slot) {
            self.routes[source][sink] = NO_SLOT;
        }
        self.tones[sink] = slot as u8;
        Some(slot)
    }

    fn seat(&self, sitting: Sitting) -> Seat {
        let stances = self.plan.iter().flat_map(|plan| &plan.stances);
        let stance = stances
            .filter(|(leg, _)| *leg == sitting.id)
            .map(|(_, stance)| *stance)
            .next_back();
        Seat {
            part: sitting.part,
            stance: stance.unwrap_or(Stance::Waiting),
            uplink: sitting.uplink,
            line: sitting.line,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sitting(leg: u32, part: Part, slots: usize) -> Option<Sitting> {
        Some(Sitting {
            leg,
            id: LegId(u128::from(leg)),
            part,
            uplink: true,
            line: Line::Here,
            slots,
        })
    }

    fn talk(room: &mut Room, legs: &[u32]) -> Vec<Released> {
        let stances: Vec<_> = legs.iter().map(|&leg| (leg, Stance::Talk)).collect();
        stand(room, &stances)
    }

    fn stand(room: &mut Room, stances: &[(u32, Stance)]) -> Vec<Released> {
        let stances = stances
            .iter()
            .map(|&(leg, stance)| (LegId(u128::from(leg)), stance))
            .collect();
        room.plan = Some(Plan {
            room: room.id,
            epoch: 1,
            stances,
            tap: Tap::On,
            announce: Announce::Nobody,
            shield: Shield::Off,
        });
        room.replan()
    }

    #[test]
    fn two_who_talk_get_one_route_each_way_and_lose_it_with_the_plan() {
        let mut room = Room::new(RoomId(1));
        room.seats[0] = sitting(10, Part::Customer, 1);
        room.seats[1] = sitting(11, Part::Agent, 3);
        assert_eq!(talk(&mut room, &[10, 11]), []);
        assert_eq!((room.routes[0][1], room.routes[1][0]), (0, 0));
        assert_eq!(
            talk(&mut room, &[10]),
            [Released { sink: 0, slot: 0 }, Released { sink: 1, slot: 0 }]
        );
        assert_eq!((room.routes[0][1], room.routes[1][0]), (NO_SLOT, NO_SLOT));
    }

    #[test]
    fn a_source_keeps_its_slot_and_a_fourth_finds_none() {
        let mut room = Room::new(RoomId(1));
        for seat in 0..5 {
            room.seats[seat] = sitting(seat as u32, Part::Partner, 3);
        }
        talk(&mut room, &[0, 2]);
        assert_eq!(room.routes[2][0], 0);
        talk(&mut room, &[0, 1, 2, 3, 4]);
        let routes: Vec<u8> = (1..5).map(|source| room.routes[source][0]).collect();
        assert_eq!(routes, [1, 0, 2, NO_SLOT], "the one that was there keeps slot 0");
    }

    #[test]
    fn only_what_somebody_beside_supervisors_hears_is_tapped_and_only_live() {
        let mut room = Room::new(RoomId(1));
        room.seats[0] = sitting(0, Part::Customer, 1);
        room.seats[1] = sitting(1, Part::Supervisor, 1);
        stand(&mut room, &[(0, Stance::Talk), (1, Stance::Barge)]);
        assert!(!room.tapped(0) && !room.tapped(1));
        room.live = true;
        assert!(!room.tapped(0), "only the supervisor hears the customer");
        assert!(room.tapped(1), "what the customer hears of a supervisor is recorded");
        assert_eq!(room.conversing(), 0, "and is no conversation of the two sides");
        room.seats[2] = sitting(2, Part::Agent, 1);
        talk(&mut room, &[0, 2]);
        assert!(room.tapped(0) && room.tapped(2) && !room.tapped(1));
        stand(&mut room, &[(0, Stance::Talk), (1, Stance::Whisper), (2, Stance::Talk)]);
        assert!(
            room.tapped(0) && room.tapped(2) && !room.tapped(1),
            "what is whispered to the agent is no part of the recording"
        );
        stand(&mut room, &[(0, Stance::Held), (1, Stance::Whisper), (2, Stance::Talk)]);
        assert!(
            !room.tapped(0) && !room.tapped(1) && !room.tapped(2),
            "hold stores nothing"
        );
        assert_eq!(room.music, 1);
        talk(&mut room, &[0, 2]);
        room.plan = room.plan.take().map(|plan| Plan {
            tap: Tap::Paused,
            ..plan
        });
        room.replan();
        assert!(!room.tapped(0));
    }
}
