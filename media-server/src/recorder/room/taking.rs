//! Who takes part in a room how, and what of it belongs into which file: those beside customer and agent come, go, and may
//! become the agent.
//!
//! Invariant: a packet is judged and kept by what its leg was when it came, not by what it has become since.

use ports::Stance;
use recording::BESIDE_MAX;
use recording::spool::{AudioBlock, By, Event, EventKind, PacketRef, Part, Tag};

use super::super::way;
use super::super::writer::Batch;
use super::{Planned, Room};

impl Room {
    /// How everybody takes part from now on.
    pub(in super::super) fn plan(&mut self, at_ns: u64, stances: Vec<(u128, Stance)>) {
        let by = self.by.clone();
        let before = std::mem::take(&mut self.stances);
        let planned = stances.into_iter().map(|(leg, stance)| {
            let same = before
                .iter()
                .find(|planned| planned.leg == leg && planned.stance == stance);
            let by = same.map_or_else(|| by.clone(), |planned| planned.by.clone());
            Planned { leg, stance, by }
        });
        self.stances = planned.collect();
        for place in 0..self.legs.len() {
            self.takes_part(place, at_ns, by.as_ref());
        }
    }

    /// Whom a leg does not hear though it may. Only the customer's ear matters: a recording says what he heard.
    pub(in super::super) fn unheard(&mut self, at_ns: u64, leg: u128, voices: &[u128]) {
        let is_customer = |place: usize| self.legs[place].part == Part::Customer;
        if !self.place(leg).is_some_and(is_customer) {
            return;
        }
        let before = std::mem::replace(&mut self.unheard, voices.to_vec());
        let ended = before.iter().filter(|voice| !voices.contains(voice));
        let began = voices.iter().filter(|voice| !before.contains(voice));
        let told = ended.map(|voice| (*voice, EventKind::HeardAgain));
        let told: Vec<_> = told.chain(began.map(|voice| (*voice, EventKind::Unheard))).collect();
        for (voice, kind) in told {
            if let Some(place) = self.place(voice) {
                self.event(at_ns, kind, Some(place), None);
            }
        }
    }

    /// Tells how the leg at `place` takes part, if that is new. `by`: whose will that is.
    pub(super) fn takes_part(&mut self, place: usize, at_ns: u64, by: Option<&By>) {
        let leg = &mut self.legs[place];
        let planned = self.stances.iter().find(|planned| planned.leg == leg.id && !leg.gone);
        let way = planned.and_then(|planned| way::of(leg.part, planned.stance));
        let told = leg.course.turn(at_ns, leg.part, way);
        let leg = leg.id;
        for (kind, part) in told.into_iter().flatten() {
            self.events.push(Event {
                at_ns,
                kind,
                value: 0,
                leg,
                part,
                by: by.cloned(),
            });
        }
    }

    /// Whether a packet of the leg at `place` is in no file of the recording: those hold what the customer says and
    /// hears. What agents say among themselves while he is on hold is none of his call.
    pub(in super::super) fn hidden(&self, place: usize, arrival_ns: u64) -> bool {
        let held = self.held_ns.is_some_and(|since| arrival_ns >= since) || self.last_hold.contains(&arrival_ns);
        let Some(leg) = self.legs.get(place) else { return true };
        held || match leg.part_at(arrival_ns) {
            Part::Customer | Part::Agent => false,
            Part::Partner | Part::Supervisor => !leg.course.heard_at(arrival_ns),
            Part::Preflight => true,
        }
    }

    /// Whether there is a file for what the leg said at that time: every one beside the two sides takes one of
    /// [`BESIDE_MAX`].
    pub(in super::super) fn finds_file(&mut self, place: usize, arrival_ns: u64) -> bool {
        let Some(leg) = self.legs.get(place) else { return false };
        let who = (leg.id, leg.part_at(arrival_ns));
        if who.1.side().is_some() || self.beside.contains(&who) {
            return true;
        }
        let free = self.beside.len() < BESIDE_MAX;
        if free {
            self.beside.push(who);
        }
        free
    }

    /// The leg at `place` is something else from then on: what it said before is written as what it was. `by`: whose will
    /// that is.
    pub(super) fn becomes(&mut self, place: usize, part: Part, at_ns: u64, by: Option<&By>, batch: &mut Batch) {
        if self.legs[place].part == part {
            return;
        }
        if !self.legs[place].audio.is_empty() {
            let from = batch.bytes.len();
            self.say_start(batch);
            self.say_audio(place, batch);
            batch.mark(self.id, from, None);
        }
        let leg = &mut self.legs[place];
        leg.former = Some((leg.part, at_ns));
        leg.part = part;
        self.changed = true;
        if part == Part::Agent {
            self.event(at_ns, EventKind::TookOver, Some(place), by.cloned());
        }
    }

    /// Keeps a packet of the time before the leg became what it is: in a block of its own, for few are still under way.
    pub(super) fn packet_of_before(
        &mut self,
        place: usize,
        part: Part,
        packet: &PacketRef<'_>,
        batch: &mut Batch,
    ) -> bool {
        let mut block = AudioBlock::new();
        if block.push(packet).is_err() {
            return false;
        }
        let from = batch.bytes.len();
        self.say_start(batch);
        let tag = self.tag_of_leg(place);
        block.finish(&mut batch.bytes, Tag { part, ..tag });
        batch.mark(self.id, from, None);
        true
    }
}
