//! Who hears whom by the newest plan of a room: the engine's own rule over what the tables know.
//!
//! Never asks a shard: between a plan and its taking effect there lie milliseconds, and who asks looks at seconds.

use call_model::{CallId, LegId};
use media_core::limits::LEGS_PER_ROOM_MAX;
use media_core::matrix::{Line, Seat, Stance, edges};

use super::Registry;
use crate::convert;

impl Registry {
    /// How the legs of a room take part from now on, by a plan that [`Registry::takes_plan`] let pass.
    pub fn planned(&mut self, room: CallId, stances: Vec<(media_core::LegId, Stance)>) {
        if let Some(room) = self.rooms.get_mut(&room) {
            room.stances = stances;
        }
    }

    /// The legs that this one hears by the plan, whether their lines are up or not; nobody before the first plan.
    #[must_use]
    pub fn heard_by(&self, listener: LegId) -> Vec<LegId> {
        let room = self.legs.get(&listener).and_then(|leg| self.rooms.get(&leg.room));
        let Some(room) = room else { return Vec::new() };
        let mut seats = [None; LEGS_PER_ROOM_MAX];
        for (seat, id) in seats.iter_mut().zip(&room.legs) {
            let stance = room.stances.iter().find(|(named, _)| *named == convert::leg(*id));
            *seat = self.legs.get(id).map(|leg| Seat {
                part: convert::part(leg.part),
                stance: stance.map_or(Stance::Waiting, |(_, stance)| *stance),
                uplink: leg.uplink,
                line: Line::Here,
            });
        }
        let edges = edges(&seats);
        let Some(sink) = room.legs.iter().position(|id| *id == listener) else {
            return Vec::new();
        };
        let heard = room
            .legs
            .iter()
            .enumerate()
            .filter(|(source, _)| edges.hears(sink, *source));
        heard.map(|(_, id)| *id).collect()
    }
}
