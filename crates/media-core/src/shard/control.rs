//! Commands: legs, transports, plans and the helper's reports.
//!
//! Invariant: a refused command has changed nothing.

use super::{Place, Shard};
use crate::command::{AddLeg, Command, Failure, IceCredentials, MediaParams, NewTransport, Refused, Report};
use crate::event::{Cause, Kind};
use crate::ice;
use crate::leg::{Leg, State};
use crate::limits::{
    DATAGRAM_BYTES_MAX, FLIGHT_DATAGRAMS_MAX, HEADROOM_BYTES, LEGS_PER_ROOM_MAX, LEGS_PER_SHARD_MAX,
    ROOMS_PER_SHARD_MAX, SECOND,
};
use crate::matrix::{Part, Plan};
use crate::room::{Room, Sitting};
use crate::srtp::Keys;
use crate::transport::{self, Transport};
use crate::{LegId, RoomId, TransportId};

impl Shard {
    /// Carries out one command. Check [`Shard::must_flush`] afterwards.
    ///
    /// # Errors
    /// [`Refused`]; nothing was changed then. Commands race with time-outs, so a refusal is for the log.
    pub fn command(&mut self, now: u64, command: Command) -> Result<(), Refused> {
        self.current = command.leg().and_then(|leg| self.by_leg.get(&leg).copied());
        #[cfg(feature = "faults")]
        {
            self.fault.enter(super::Stage::Command);
            command.leg().into_iter().for_each(|leg| self.fault.meet(leg));
        }
        let result = match command {
            Command::AddLeg(add) => self.add_leg(now, &add),
            Command::Attach { leg, transport } => self.attach(now, leg, &transport),
            Command::Restart {
                leg,
                fingerprint,
                ice,
                media,
            } => self.restart(now, leg, fingerprint, &ice, media.as_deref()),
            Command::Media {
                leg,
                fingerprint,
                media,
            } => self.renegotiate(now, leg, fingerprint, &media),
            Command::Plan(plan) => self.plan(now, *plan),
            Command::Part { leg, part } => self.change_part(now, leg, part),
            Command::RemoveLeg { leg, cause } => {
                let place = self.by_leg.get(&leg).copied().ok_or(Refused::UnknownLeg)?;
                self.remove_leg(now, place, cause);
                Ok(())
            }
            Command::CloseRoom { room, cause } => self.close_room(now, room, cause),
            Command::Thresholds(thresholds) => {
                self.thresholds = *thresholds;
                Ok(())
            }
            Command::Handshake { transport, report } => self.handshake(now, transport, report),
        };
        self.current = None;
        result
    }

    fn add_leg(&mut self, now: u64, add: &AddLeg) -> Result<(), Refused> {
        #[cfg(feature = "faults")]
        {
            self.fault.enter(super::Stage::Adding);
            self.fault.meet(add.leg);
        }
        if self.by_leg.contains_key(&add.leg) {
            return Err(Refused::LegExists);
        }
        self.admissible(&add.transport)?;
        if self.legs.len() >= LEGS_PER_SHARD_MAX {
            return Err(Refused::ShardFull);
        }
        let room = self.room(add.room)?;
        let Some(seat) = self.rooms.get(room).and_then(Room::free_seat) else {
            return Err(Refused::RoomFull);
        };
        let leg = self.legs.insert(Leg::new(add, room, seat, now));
        self.by_leg.insert(add.leg, leg);
        // From here on a defect ends it, or it would be half there for good.
        self.current = Some(leg);
        let transport = self.insert_transport(now, leg, &add.transport);
        if let Some(leg) = self.legs.get_mut(leg) {
            leg.transport = Some(transport);
        }
        #[cfg(feature = "faults")]
        {
            self.fault.enter(super::Stage::Joining);
            self.fault.meet(add.leg);
        }
        self.sit(now, room, seat, leg);
        Ok(())
    }

    fn attach(&mut self, now: u64, leg: LegId, new: &NewTransport) -> Result<(), Refused> {
        let place = self.by_leg.get(&leg).copied().ok_or(Refused::UnknownLeg)?;
        self.admissible(new)?;
        if let Some(older) = self.legs.get(place).and_then(|leg| leg.next) {
            self.close_transport(older);
        }
        let transport = self.insert_transport(now, place, new);
        if let Some(leg) = self.legs.get_mut(place) {
            if leg.transport.is_none() {
                leg.transport = Some(transport);
            } else {
                leg.next = Some(transport);
            }
        }
        self.arm_keep(place);
        Ok(())
    }

    fn restart(
        &mut self,
        now: u64,
        leg: LegId,
        fingerprint: Option<[u8; 32]>,
        ice: &IceCredentials,
        media: Option<&MediaParams>,
    ) -> Result<(), Refused> {
        let place = self.transport_of(leg, fingerprint)?;
        if !ice.fit() {
            return Err(Refused::BadCredentials);
        }
        let ufrag = ice::ufrag(ice.local_ufrag.as_bytes()).ok_or(Refused::BadCredentials)?;
        if self.by_ufrag.contains_key(&ufrag) {
            return Err(Refused::TransportExists);
        }
        let transport = self.transports.get_mut(place).ok_or(Refused::UnknownTransport)?;
        if let Some(ended) = transport.ice.restart(ice, now) {
            self.by_ufrag.remove(&ended);
        }
        self.by_ufrag.insert(ufrag, place);
        self.arm_transport(place);
        if let Some(media) = media {
            self.change_media(now, place, media);
        }
        Ok(())
    }

    fn renegotiate(&mut self, now: u64, leg: LegId, fingerprint: [u8; 32], media: &MediaParams) -> Result<(), Refused> {
        let place = self.transport_of(leg, Some(fingerprint))?;
        self.change_media(now, place, media);
        Ok(())
    }

    /// The transport of the page with this fingerprint; without one, the one in use.
    fn transport_of(&self, leg: LegId, fingerprint: Option<[u8; 32]>) -> Result<u32, Refused> {
        let leg = self
            .by_leg
            .get(&leg)
            .and_then(|&place| self.legs.get(place))
            .ok_or(Refused::UnknownLeg)?;
        let place = match fingerprint {
            Some(fingerprint) => [leg.transport, leg.next].into_iter().flatten().find(|place| {
                let transport = self.transports.get(*place);
                transport.is_some_and(|transport| transport.fingerprint == fingerprint)
            }),
            None => leg.transport,
        };
        place.ok_or(Refused::UnknownTransport)
    }

    /// Another agreement for a transport. One that has not taken over yet brings its slots with its keys.
    fn change_media(&mut self, now: u64, place: u32, media: &MediaParams) {
        let Some(transport) = self.transports.get_mut(place) else {
            return;
        };
        let spoke = transport.media.uplink;
        transport.agree(media);
        let leg_place = transport.leg;
        let Some(leg) = self.legs.get_mut(leg_place).filter(|leg| leg.transport == Some(place)) else {
            return;
        };
        leg.change_slots(&media.slots);
        if media.uplink && !spoke {
            // Its microphone is not dead for what it could not say.
            leg.here_at = now;
        }
        let missing_due = leg.missing.as_mut().and_then(|missing| {
            missing.agree(media.nack);
            missing.due()
        });
        let (room, seat) = (leg.room, leg.seat());
        if let Some(due) = missing_due {
            self.arm_missing(leg_place, due);
        }
        self.sit(now, room, seat, leg_place);
        self.arm_transport(place);
    }

    fn plan(&mut self, now: u64, plan: Plan) -> Result<(), Refused> {
        if plan.stances.len() > LEGS_PER_ROOM_MAX {
            return Err(Refused::BadPlan);
        }
        let place = self.room(plan.room)?;
        let Some(room) = self.rooms.get_mut(place) else {
            return Err(Refused::UnknownRoom);
        };
        match &room.plan {
            Some(current) if current.epoch == plan.epoch => return Ok(()),
            Some(current) if current.epoch > plan.epoch => return Err(Refused::BadPlan),
            Some(_) | None => {}
        }
        let epoch = plan.epoch;
        room.plan = Some(plan);
        let sitting = room.seats.iter().flatten();
        let boundaries = sitting.filter_map(|seat| Some((seat.id, self.legs.get(seat.leg)?.up.highest()?)));
        let boundaries = boundaries.collect();
        self.replan(now, place);
        self.event(now, place, Kind::PlanApplied { epoch, boundaries });
        Ok(())
    }

    /// Whoever takes a call over is whispered to from now on, and makes the room live if nobody has.
    fn change_part(&mut self, now: u64, leg: LegId, part: Part) -> Result<(), Refused> {
        let place = self.by_leg.get(&leg).copied().ok_or(Refused::UnknownLeg)?;
        let leg = self.legs.get_mut(place).ok_or(Refused::UnknownLeg)?;
        leg.part = part;
        let (room, seat) = (leg.room, leg.seat());
        self.sit(now, room, seat, place);
        self.check_live(now, room);
        Ok(())
    }

    fn close_room(&mut self, now: u64, room: RoomId, cause: Cause) -> Result<(), Refused> {
        let place = self.by_room.get(&room).copied().ok_or(Refused::UnknownRoom)?;
        let seats = self.rooms.get(place).map(|room| room.seats);
        for sitting in seats.iter().flatten().flatten() {
            self.remove_leg(now, sitting.leg, cause);
        }
        self.by_room.remove(&room);
        self.rooms.remove(place);
        Ok(())
    }

    fn handshake(&mut self, now: u64, transport: TransportId, report: Report) -> Result<(), Refused> {
        let place = self
            .by_transport
            .get(&transport)
            .copied()
            .ok_or(Refused::UnknownTransport)?;
        self.current = self.transports.get(place).map(|transport| transport.leg);
        match report {
            Report::Flight(datagrams) => return self.send_flight(place, &datagrams),
            Report::Established(keys) => self.adopt_keys(now, place, keys),
            Report::Failed(Failure::Fingerprint) => self.transport_died(now, place, Cause::Fingerprint),
            Report::Failed(Failure::Other) => self.transport_died(now, place, Cause::DtlsFailed),
            Report::Closed => self.transport_died(now, place, Cause::DtlsFailed),
        }
        Ok(())
    }

    fn send_flight(&mut self, place: u32, datagrams: &[Box<[u8]>]) -> Result<(), Refused> {
        if datagrams.len() > FLIGHT_DATAGRAMS_MAX || datagrams.iter().any(|bytes| bytes.len() > DATAGRAM_BYTES_MAX) {
            return Err(Refused::BadFlight);
        }
        let Some(to) = self.transports.get(place).and_then(Transport::destination) else {
            return Ok(());
        };
        for bytes in datagrams {
            let Some((number, buffer)) = self.out.scratch() else {
                return Ok(());
            };
            buffer[HEADROOM_BYTES..HEADROOM_BYTES + bytes.len()].copy_from_slice(bytes);
            self.out.send(to, Place::Arena(number), bytes.len());
        }
        Ok(())
    }

    /// A transport has keys: from now on it is the leg's, and the one before it is gone.
    fn adopt_keys(&mut self, now: u64, place: u32, keys: Box<Keys>) {
        let Some(transport) = self.transports.get_mut(place) else {
            return;
        };
        if transport.state == transport::State::Up {
            return;
        }
        transport.take_keys(*keys);
        let leg_place = transport.leg;
        let Some(leg) = self.legs.get_mut(leg_place) else {
            return;
        };
        let older = if leg.next == Some(place) {
            leg.next = None;
            leg.transport.replace(place)
        } else {
            None
        };
        leg.adopt_slots(transport);
        leg.down.restart();
        leg.sender_report = None;
        leg.reference = None;
        let (room, seat, id, before) = (leg.room, leg.seat(), leg.id, leg.state);
        leg.state = State::Up;
        leg.up_at = leg.up_at.or(Some(now));
        leg.here_at = now;
        leg.keyed_at = now;
        let first_report = leg.first_report(now, leg_place);
        if let Some(older) = older {
            self.close_transport(older);
        }
        self.sit(now, room, seat, leg_place);
        self.arm_transport(place);
        self.arm_report(leg_place, first_report);
        match before {
            State::Joining => {
                self.arm_counters(leg_place, now + SECOND);
                self.event(now, room, Kind::LegUp { leg: id });
                self.tell_route(now, leg_place);
                self.check_live(now, room);
            }
            State::Away => {
                self.event(now, room, Kind::LegBack { leg: id });
                self.tell_route(now, leg_place);
                self.check_live(now, room);
            }
            State::Up => self.tell_route(now, leg_place),
        }
    }

    /// Reports `RoomLive` once its conditions hold.
    pub(super) fn check_live(&mut self, now: u64, place: u32) {
        let Some(room) = self.rooms.get_mut(place) else { return };
        if room.live {
            return;
        }
        let up = |part: Part, must_have_spoken: bool| {
            room.seats
                .iter()
                .flatten()
                .filter(|seat| seat.part == part)
                .any(|seat| {
                    let leg = self.legs.get(seat.leg);
                    leg.is_some_and(|leg| leg.state == State::Up && (!must_have_spoken || leg.rtp_at > 0))
                })
        };
        if up(Part::Customer, false) && up(Part::Agent, true) {
            room.live = true;
            self.mark_tapped(place);
            self.event(now, place, Kind::RoomLive);
        }
    }

    /// Writes what the room must know of a leg, and who hears whom anew.
    fn sit(&mut self, now: u64, room: u32, seat: usize, leg_place: u32) {
        let Some(leg) = self.legs.get(leg_place) else { return };
        let transport = leg.transport.and_then(|place| self.transports.get(place));
        let sitting = Sitting {
            leg: leg_place,
            id: leg.id,
            part: leg.part,
            uplink: transport.is_some_and(|transport| transport.media.uplink),
            line: leg.state.line(),
            slots: leg.slots.iter().take_while(|slot| slot.is_some()).count(),
        };
        if let Some(room) = self.rooms.get_mut(room) {
            room.sit(seat, sitting);
        }
        self.replan(now, room);
    }

    /// Edges and routes anew; slots that lost their source are silent until somebody feeds them.
    pub(super) fn replan(&mut self, now: u64, place: u32) {
        let Some(room) = self.rooms.get_mut(place) else { return };
        for released in room.replan() {
            let leg = room
                .seats
                .get(released.sink)
                .copied()
                .flatten()
                .map(|sitting| sitting.leg);
            if let Some(leg) = leg.and_then(|leg| self.legs.get_mut(leg)) {
                leg.release(released.slot);
            }
        }
        self.mark_tapped(place);
        self.hold_or_resume(now, place);
        self.tell_of_supervisors(now, place);
        self.tell_of_missing(now, place);
    }

    /// Tells of each ear that misses another set of voices than before, for want of slots.
    fn tell_of_missing(&mut self, now: u64, place: u32) {
        let Some(room) = self.rooms.get_mut(place) else { return };
        let changed = room.find_missing();
        let id = |seat: usize| room.seats.get(seat).copied().flatten().map(|sitting| sitting.id);
        let ears = (0..LEGS_PER_ROOM_MAX).filter(|ear| changed >> ear & 1 == 1);
        let told: Vec<_> = ears
            .filter_map(|ear| {
                let missing = room.missing.get(ear).copied()?;
                let voices = (0..LEGS_PER_ROOM_MAX).filter(|voice| missing >> voice & 1 == 1);
                Some((id(ear)?, voices.filter_map(id).collect()))
            })
            .collect();
        for (leg, voices) in told {
            self.event(now, place, Kind::Unheard { leg, voices });
        }
    }

    /// The room with this id, made if it is new.
    fn room(&mut self, id: RoomId) -> Result<u32, Refused> {
        if let Some(&place) = self.by_room.get(&id) {
            return Ok(place);
        }
        if self.rooms.len() >= ROOMS_PER_SHARD_MAX {
            return Err(Refused::ShardFull);
        }
        let place = self.rooms.insert(Room::new(id));
        self.by_room.insert(id, place);
        Ok(place)
    }

    fn admissible(&self, new: &NewTransport) -> Result<(), Refused> {
        if !new.ice.fit() {
            return Err(Refused::BadCredentials);
        }
        let ufrag = ice::ufrag(new.ice.local_ufrag.as_bytes()).ok_or(Refused::BadCredentials)?;
        if self.by_transport.contains_key(&new.id) || self.by_ufrag.contains_key(&ufrag) {
            return Err(Refused::TransportExists);
        }
        Ok(())
    }

    fn insert_transport(&mut self, now: u64, leg: u32, new: &NewTransport) -> u32 {
        let place = self.transports.insert(Transport::new(new, leg, now));
        self.by_transport.insert(new.id, place);
        if let Some(transport) = self.transports.get(place) {
            for ufrag in transport.ice.ufrags() {
                self.by_ufrag.insert(ufrag, place);
            }
        }
        self.arm_transport(place);
        place
    }
}
