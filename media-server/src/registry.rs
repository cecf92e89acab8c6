//! Which room lies on which shard, which leg belongs to which room, and which secret stands for which leg.
//!
//! Plain tables without thread, clock or random source; the plane locks them at the rate of calls, never of packets.
//!
//! Invariant: a secret names a leg that is in the table; whoever removes a leg removes its secrets.

mod over;

use std::collections::HashMap;
use std::sync::Arc;

use call_model::{CallId, LegId};
use media_core::TransportId;
use media_core::command::{IceCredentials, SlotParams};
use media_core::dtls::Fingerprint;
use media_core::limits::{LEGS_PER_ROOM_MAX, SLOTS_PER_LEG_MAX};
use media_core::matrix::Stance;
use ports::{Part, Red, Refusal};

use crate::config::LEGS_PER_SHARD_MAX;
use crate::relay::Legs;
use over::Over;

pub use over::{Ended, OVER_NS};

/// SHA-256 of a grant's secret.
pub type Digest = [u8; 32];

/// Secrets that one leg may have at a time: the one in use, and renewed ones on their way.
pub const SECRETS_PER_LEG_MAX: usize = 4;
/// Pages of one leg whose certificate of ours is remembered: the engine has two transports of a leg at most, and the third
/// may be refused after its answer.
const PAGES_PER_LEG_MAX: usize = 4;
/// Seconds after which a full node may be asked again: its figures are the mean of as many.
const RETRY_AFTER_S: u32 = 5;
/// Nanoseconds without a leg after which a room is given up: nobody closes one that was made behind the end of its call.
/// Higher: such a room holds a place and an emptying node up. Lower: a call that waits in the queue with nobody's line up
/// loses its room, and the recording that runs comes in two parts.
pub const ROOM_EMPTY_NS: u64 = 600 * 1_000_000_000;
/// Longest time in seconds until a grant's first offer, whatever the desk asks for.
pub const FIRST_OFFER_S_MAX: u32 = 600;

/// By what an offer is known to come from a page over the connection that it has: the same credentials restart nothing
/// (RFC 8839 §4.4.1.1), and the same certificate keeps the association (RFC 8842 §4). Not printable.
#[derive(Clone, PartialEq, Eq)]
pub struct Page {
    /// Its user name fragment.
    pub ufrag: String,
    /// Its password.
    pub pwd: String,
    /// That of its certificate.
    pub fingerprint: Fingerprint,
}

/// What a page was answered with when its transport was made.
#[derive(Clone, Copy)]
struct Shown {
    page: Fingerprint,
    /// That of the certificate which its answer announced.
    ours: Fingerprint,
    transport: TransportId,
}

/// One leg as the asynchronous side knows it.
#[derive(Clone)]
pub struct Leg {
    /// Its room.
    pub room: CallId,
    /// What it is.
    pub part: Part,
    /// Whether it may speak.
    pub uplink: bool,
    /// Redundancy by the grant.
    pub red: Red,
    /// Its number in tap records.
    pub tap: u32,
    /// Its outgoing streams, the same over all transports.
    pub slots: [SlotParams; SLOTS_PER_LEG_MAX],
    /// True once an offer was answered.
    pub attached: bool,
    /// When the first offer was answered, nanoseconds.
    pub offered_at: u64,
    /// True once it had keys.
    pub was_up: bool,
    /// Until when the first offer must have come, nanoseconds.
    pub first_offer_by: u64,
    /// The credentials of the transport that was made last.
    pub ice: Option<IceCredentials>,
    /// By what the page of that transport is known again; `None` once the transport is no more.
    pub page: Option<Page>,
    /// What pages were answered with; oldest first.
    shown: Vec<Shown>,
    secrets: Vec<Digest>,
}

impl Leg {
    /// The answer to this page announced this certificate of ours, and a new transport.
    pub fn shows(&mut self, page: Fingerprint, ours: Fingerprint, transport: TransportId) {
        self.shown.retain(|shown| shown.page != page);
        if self.shown.len() >= PAGES_PER_LEG_MAX {
            self.shown.remove(0);
        }
        self.shown.push(Shown { page, ours, transport });
    }

    /// What the association of this page was answered with; of a page that is not known: the newest.
    #[must_use]
    pub fn shown_to(&self, page: Fingerprint) -> Option<Fingerprint> {
        let own = self.shown.iter().find(|shown| shown.page == page);
        own.or(self.shown.last()).map(|shown| shown.ours)
    }

    /// Whether this page was answered with a transport that may still live.
    #[must_use]
    pub fn knows(&self, page: Fingerprint) -> bool {
        self.shown.iter().any(|shown| shown.page == page)
    }

    /// The engine has this transport no more: the next offer of its page, though it be the same, makes another one.
    fn ended(&mut self, transport: TransportId) {
        let Some(place) = self.shown.iter().position(|shown| shown.transport == transport) else {
            return;
        };
        let gone = self.shown.remove(place).page;
        self.page.take_if(|page| page.fingerprint == gone);
    }
}

/// What is still asked about a leg when its end is reported: its room may be gone by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// What it was.
    pub part: Part,
    /// See [`Leg::offered_at`].
    pub offered_at: u64,
    /// See [`Leg::was_up`].
    pub was_up: bool,
}

impl From<&Leg> for Ending {
    fn from(leg: &Leg) -> Ending {
        Ending {
            part: leg.part,
            offered_at: leg.offered_at,
            was_up: leg.was_up,
        }
    }
}

/// One room as the asynchronous side knows it.
#[derive(Clone, Debug, Default)]
pub struct Room {
    /// On which shard.
    pub shard: usize,
    /// Its legs.
    pub legs: Vec<LegId>,
    /// When it was made, nanoseconds.
    pub made_at: u64,
    /// Epoch of the newest plan that was taken for it.
    pub planned: Option<u64>,
    /// How its legs take part by that plan; who is not named waits.
    stances: Vec<(media_core::LegId, Stance)>,
    /// Since when it was seen without a leg, nanoseconds.
    pub empty_since: Option<u64>,
}

/// See the top of this file.
#[derive(Default)]
pub struct Registry {
    rooms: HashMap<CallId, Room>,
    legs: HashMap<LegId, Leg>,
    secrets: HashMap<Digest, LegId>,
    /// Rooms that are closed, with those of their legs whose end is still to be reported.
    closing: HashMap<CallId, HashMap<LegId, Ending>>,
    /// Per shard: legs, and rooms.
    load: Vec<(u32, u32)>,
    legs_per_shard: u32,
    reserve: u32,
    next_tap: u32,
    over: Over,
    /// What of this the relay may know.
    told: Arc<Legs>,
}

/// What a new leg is made of.
#[derive(Clone, Copy, Debug)]
pub struct NewLeg {
    /// Which leg.
    pub leg: LegId,
    /// Which room.
    pub room: CallId,
    /// What it is.
    pub part: Part,
    /// Whether it may speak.
    pub uplink: bool,
    /// Redundancy by the grant.
    pub red: Red,
    /// When it is made, nanoseconds.
    pub now: u64,
    /// Until when the first offer must have come, nanoseconds.
    pub first_offer_by: u64,
    /// Its outgoing streams.
    pub slots: [SlotParams; SLOTS_PER_LEG_MAX],
}

impl Registry {
    /// Empty tables for `shards` shards that take `legs_per_shard` legs each (of more than the engine holds: as many as it
    /// does), `reserve` of them kept per room.
    #[must_use]
    pub fn new(shards: usize, legs_per_shard: u32, reserve: u32) -> Registry {
        Registry {
            load: vec![(0, 0); shards.max(1)],
            legs_per_shard: legs_per_shard.min(LEGS_PER_SHARD_MAX),
            reserve,
            ..Registry::default()
        }
    }

    /// Makes a leg and its secret known; a known leg only gets a further secret. `may_take` says of a shard whether it
    /// takes a new room; a room that lives is not asked about.
    ///
    /// # Errors
    /// `UnknownGrant` for what [`Self::is_over`], `Full`, `Limit("legs_per_room")`, `Limit("legs_per_shard")`.
    pub fn admit(&mut self, new: NewLeg, secret: Digest, may_take: impl Fn(usize) -> bool) -> Result<(), Refusal> {
        if let Some(leg) = self.legs.get_mut(&new.leg) {
            if !leg.secrets.contains(&secret) {
                if leg.secrets.len() >= SECRETS_PER_LEG_MAX {
                    let oldest = leg.secrets.remove(0);
                    self.secrets.remove(&oldest);
                }
                leg.secrets.push(secret);
                self.secrets.insert(secret, new.leg);
            }
            return Ok(());
        }
        if self.over.is(new.now, new.room, new.leg) {
            return Err(Refusal::UnknownGrant);
        }
        self.place_room(new.room, new.now, may_take)?;
        let room = self.rooms.get_mut(&new.room).ok_or(Refusal::Unavailable)?;
        if room.legs.len() >= LEGS_PER_ROOM_MAX {
            return Err(Refusal::Limit("legs_per_room"));
        }
        let shard = room.shard;
        let legs = &mut self.load[shard].0;
        // The engine would refuse it, behind the answer that its client has by then.
        if *legs >= LEGS_PER_SHARD_MAX {
            return Err(Refusal::Limit("legs_per_shard"));
        }
        *legs += 1;
        room.legs.push(new.leg);
        self.next_tap = self.next_tap.wrapping_add(1);
        let leg = Leg {
            room: new.room,
            part: new.part,
            uplink: new.uplink,
            red: new.red,
            tap: self.next_tap,
            slots: new.slots,
            attached: false,
            offered_at: 0,
            was_up: false,
            first_offer_by: new.first_offer_by,
            ice: None,
            page: None,
            shown: Vec::new(),
            secrets: vec![secret],
        };
        self.legs.insert(new.leg, leg);
        self.secrets.insert(secret, new.leg);
        self.told.granted(new.leg);
        Ok(())
    }

    /// Legs and promises of a shard, as they count against its limit.
    fn weight(&self, (legs, rooms): (u32, u32)) -> u32 {
        legs.max(rooms.saturating_mul(self.reserve))
    }

    /// The shard for a new room: of those that take one, the one with the fewest legs and promises.
    fn place(&self, may_take: impl Fn(usize) -> bool) -> Option<usize> {
        let loads = self.load.iter().enumerate();
        let takers = loads.filter(|(n, load)| !self.lacks_legs(**load) && may_take(*n));
        takers.min_by_key(|(n, load)| (self.weight(**load), *n)).map(|(n, _)| n)
    }

    fn lacks_legs(&self, load: (u32, u32)) -> bool {
        self.weight(load) + self.reserve > self.legs_per_shard
    }

    /// True when no shard would take a new room.
    #[must_use]
    pub fn is_full(&self, may_take: impl Fn(usize) -> bool) -> bool {
        self.place(may_take).is_none()
    }

    /// True when every shard has as many legs as it may have, whatever its load.
    #[must_use]
    pub fn is_out_of_legs(&self) -> bool {
        self.load.iter().all(|load| self.lacks_legs(*load))
    }

    /// Places a room that is new.
    ///
    /// # Errors
    /// `Full` when no shard has room for a whole call.
    fn place_room(&mut self, id: CallId, now: u64, may_take: impl Fn(usize) -> bool) -> Result<(), Refusal> {
        if !self.rooms.contains_key(&id) {
            let shard = self.place(may_take).ok_or(Refusal::Full {
                retry_after_s: RETRY_AFTER_S,
            })?;
            self.load[shard].1 += 1;
            self.rooms.insert(
                id,
                Room {
                    shard,
                    legs: Vec::new(),
                    made_at: now,
                    planned: None,
                    stances: Vec::new(),
                    empty_since: None,
                },
            );
        }
        Ok(())
    }

    /// The shard of a room that is known.
    #[must_use]
    pub fn shard_of(&self, room: CallId) -> Option<usize> {
        self.rooms.get(&room).map(|room| room.shard)
    }

    /// Whether a plan of this epoch is to be followed: the room is known, and nothing newer was taken for it. The same one
    /// may be told twice.
    pub fn takes_plan(&mut self, room: CallId, epoch: u64) -> bool {
        let Some(room) = self.rooms.get_mut(&room) else {
            return false;
        };
        let is_late = room.planned.is_some_and(|newest| newest > epoch);
        if !is_late {
            room.planned = Some(epoch);
        }
        !is_late
    }

    /// The leg that a secret stands for.
    ///
    /// # Errors
    /// `UnknownGrant`.
    pub fn by_secret(&mut self, secret: &Digest) -> Result<(LegId, usize, &mut Leg), Refusal> {
        let id = *self.secrets.get(secret).ok_or(Refusal::UnknownGrant)?;
        let leg = self.legs.get_mut(&id).ok_or(Refusal::UnknownGrant)?;
        let shard = self
            .rooms
            .get(&leg.room)
            .map(|room| room.shard)
            .ok_or(Refusal::UnknownGrant)?;
        Ok((id, shard, leg))
    }

    /// What the relay may ask.
    pub(crate) fn told(&self) -> &Arc<Legs> {
        &self.told
    }

    /// An offer of the leg was answered: it has a transport now.
    pub fn attached(&mut self, id: LegId, now: u64) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if !leg.attached {
            leg.attached = true;
            leg.offered_at = now;
            self.told.attached(id);
        }
    }

    /// A transport of the leg is no more, or was never taken.
    pub fn transport_ended(&mut self, id: LegId, transport: TransportId) {
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.ended(transport);
        }
    }

    /// A secret was used: older ones of the same leg are dead from now on.
    pub fn used(&mut self, secret: &Digest) {
        let Some(leg) = self.secrets.get(secret).and_then(|id| self.legs.get_mut(id)) else {
            return;
        };
        let Some(place) = leg.secrets.iter().position(|known| known == secret) else {
            return;
        };
        for older in leg.secrets.drain(..place) {
            self.secrets.remove(&older);
        }
    }

    /// A leg that is known.
    #[must_use]
    pub fn leg(&self, id: LegId) -> Option<&Leg> {
        self.legs.get(&id)
    }

    /// A participant is something else to the call from now on; gives the leg.
    pub fn change_part(&mut self, id: LegId, part: Part) -> Option<&Leg> {
        let leg = self.legs.get_mut(&id)?;
        leg.part = part;
        Some(leg)
    }

    /// A leg has its keys; gives when its first offer was answered.
    pub fn leg_up(&mut self, id: LegId) -> Option<u64> {
        let leg = self.legs.get_mut(&id)?;
        leg.was_up = true;
        Some(leg.offered_at)
    }

    /// A leg whose end is reported, before [`Registry::leg_ended`].
    #[must_use]
    pub fn ending(&self, room: CallId, leg: LegId) -> Option<Ending> {
        let gone = || self.closing.get(&room)?.get(&leg).copied();
        self.legs.get(&leg).map(Ending::from).or_else(gone)
    }

    /// Whoever decides has ended this: for [`OVER_NS`] nothing is made of a grant for it.
    pub fn is_over(&mut self, now: u64, ended: Ended) {
        self.over.add(now, ended);
    }

    /// Forgets a leg and its secrets.
    pub fn remove_leg(&mut self, id: LegId) -> Option<Leg> {
        let leg = self.legs.remove(&id)?;
        self.told.ended(id);
        for secret in &leg.secrets {
            self.secrets.remove(secret);
        }
        if let Some(room) = self.rooms.get_mut(&leg.room) {
            room.legs.retain(|known| *known != id);
            self.load[room.shard].0 = self.load[room.shard].0.saturating_sub(1);
        }
        Some(leg)
    }

    /// Forgets a room and all its legs. True when the shard has nothing more to report of it.
    pub fn remove_room(&mut self, id: CallId) -> bool {
        let Some(room) = self.rooms.remove(&id) else {
            return !self.closing.contains_key(&id);
        };
        let removed = room.legs.iter().filter_map(|id| Some((*id, self.remove_leg(*id)?)));
        let attached = removed.filter(|(_, leg)| leg.attached);
        let to_come: HashMap<_, _> = attached.map(|(id, leg)| (id, Ending::from(&leg))).collect();
        let load = &mut self.load[room.shard];
        *load = (load.0.saturating_sub(room.legs.len() as u32), load.1.saturating_sub(1));
        let over = to_come.is_empty();
        if !over {
            self.closing.insert(id, to_come);
        }
        over
    }

    /// A shard has reported the end of a leg. True when it was the last one of a room that is closed.
    pub fn leg_ended(&mut self, room: CallId, leg: LegId) -> bool {
        self.remove_leg(leg);
        let Some(to_come) = self.closing.get_mut(&room) else {
            return false;
        };
        to_come.remove(&leg);
        if !to_come.is_empty() {
            return false;
        }
        self.closing.remove(&room);
        true
    }

    /// Legs whose first offer never came.
    #[must_use]
    pub fn overdue(&self, now: u64) -> Vec<LegId> {
        let overdue = self
            .legs
            .iter()
            .filter(|(_, leg)| !leg.attached && leg.first_offer_by <= now);
        overdue.map(|(id, _)| *id).collect()
    }

    /// Rooms that have been without a leg for [`ROOM_EMPTY_NS`], by looks like this one.
    pub fn abandoned(&mut self, now: u64) -> Vec<CallId> {
        let mut abandoned = Vec::new();
        for (id, room) in &mut self.rooms {
            if !room.legs.is_empty() {
                room.empty_since = None;
            } else if now.saturating_sub(*room.empty_since.get_or_insert(now)) >= ROOM_EMPTY_NS {
                abandoned.push(*id);
            }
        }
        abandoned
    }

    /// Legs of a shard that `which` chooses by part and by whether they may speak.
    #[must_use]
    pub fn legs_of(&self, shard: usize, which: impl Fn(Part, bool) -> bool) -> Vec<LegId> {
        let legs = self.legs.iter().filter(|(_, leg)| which(leg.part, leg.uplink));
        let here = legs.filter(|(_, leg)| self.shard_of(leg.room) == Some(shard));
        here.map(|(id, _)| *id).collect()
    }

    /// Every room, and when the oldest was made, nanoseconds.
    #[must_use]
    pub fn all_rooms(&self) -> (Vec<CallId>, Option<u64>) {
        let oldest = self.rooms.values().map(|room| room.made_at).min();
        (self.rooms.keys().copied().collect(), oldest)
    }

    /// Legs and rooms that are known.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.legs.len(), self.rooms.len())
    }

    /// Legs of this part.
    #[must_use]
    pub fn count(&self, part: Part) -> usize {
        self.legs.values().filter(|leg| leg.part == part).count()
    }

    /// Rooms of a shard with a leg of this part.
    #[must_use]
    pub fn rooms_of(&self, shard: usize, part: Part) -> Vec<CallId> {
        let legs = self.legs.values().filter(|leg| leg.part == part);
        let rooms = legs.map(|leg| leg.room);
        rooms.filter(|room| self.shard_of(*room) == Some(shard)).collect()
    }

    /// Legs that all shards together take.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.legs_per_shard.saturating_mul(self.load.len() as u32)
    }
}

mod hears;

#[cfg(test)]
mod tests;
