//! Looks at the seconds of legs and rooms: what begins and ends there becomes events and counts.
//!
//! Invariant: it runs once a second and leg, never per packet.

use super::Shard;
use crate::counters::Second;
use crate::event::Kind;
use crate::leg::{Leg, State};
use crate::quality::flags::{Changed, Facts, is_speech};
use crate::quality::thresholds::Thresholds;

impl Shard {
    /// Judges the second of one leg that ends now, and of its room if it is the leg's turn to speak for it.
    pub(super) fn watch(&mut self, now: u64, place: u32, up: &mut Second, down: &mut Second) {
        let Some(leg) = self.legs.get_mut(place) else { return };
        let transport = leg.transport.and_then(|place| self.transports.get(place));
        let uplink = transport.is_some_and(|transport| transport.media.uplink);
        let limits = &self.thresholds;
        let facts = facts(leg, now, uplink, limits);
        let verdict = leg.judge.second(up, down, facts, limits);
        let (id, room, seat) = (leg.id, leg.room, leg.seat());
        let totals = &mut self.out.totals;
        totals.one_way_legs += u64::from(verdict.first_one_way);
        totals.clipping_seconds += u64::from(verdict.clipping);
        for change in verdict.changes.into_iter().flatten() {
            self.event(now, room, quality(Some(id), change));
        }
        self.listen(now, room, seat, up);
    }

    /// Notes whether a seat spoke. The lowest seat of those who converse speaks for the room, so that it is judged once a
    /// second; while nobody does, whoever is there.
    fn listen(&mut self, now: u64, place: u32, seat: usize, up: &Second) {
        let Some(room) = self.rooms.get_mut(place) else { return };
        let own = 1 << seat;
        room.quiet = if is_speech(up) {
            room.quiet & !own
        } else {
            room.quiet | own
        };
        let conversing = room.conversing();
        let seated = room.seats.iter().position(Option::is_some);
        let turn = if conversing == 0 {
            seated == Some(seat)
        } else {
            conversing.trailing_zeros() as usize == seat
        };
        if !turn {
            return;
        }
        let all = conversing.count_ones() > 1;
        let (change, seconds) = room
            .air
            .second(all.then_some(room.quiet & conversing == conversing), &self.thresholds);
        self.out.totals.dead_air_seconds += seconds;
        if let Some(change) = change {
            self.event(now, place, quality(None, change));
        }
    }
}

fn facts(leg: &Leg, now: u64, uplink: bool, limits: &Thresholds) -> Facts {
    let is_up = leg.state == State::Up;
    // Since when somebody could have heard it: both are known, or nobody can.
    let since = leg.up_at.zip(leg.heard_since).map(|(up, heard)| up.max(heard));
    let long = since.is_some_and(|since| now.saturating_sub(since) >= limits.silent_ns());
    Facts {
        silent_from_start: is_up && uplink && long && leg.rtp_at == 0,
        unheard: leg.heard_since.is_none(),
        deaf: is_up && leg.down.is_deaf(limits),
    }
}

const fn quality(leg: Option<crate::LegId>, change: Changed) -> Kind {
    Kind::Quality {
        leg,
        flag: change.flag,
        direction: change.direction,
        raised: change.raised,
    }
}
