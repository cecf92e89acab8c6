//! The shard: everything behind one UDP port, driven by one thread. See the crate documentation for its contract.
//!
//! It has no socket, no clock and no lock: datagrams and instants are handed in, transmissions, tap records, jobs,
//! counter rows and events are handed out.
//!
//! Invariant: whatever is removed is removed from every table in the same call, so no table names a dead thing.

mod audio;
mod control;
#[cfg(feature = "faults")]
mod fault;
mod foresee;
mod hold;
mod ingress;
mod life;
mod outbox;
mod repair;
mod reports;
mod tone;
mod watch;

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::counters::{Second, Totals};
use crate::event::{Cause, Event, Kind};
use crate::ice::Ufrag;
use crate::leg::Leg;
use crate::limits::{CHUNK, CONSENT, CONSENT_MAX, CONSENT_MIN, DATAGRAM_BYTES_MAX, HEADROOM_BYTES, SLOT_BYTES};
use crate::music::{Music, Playheads, Programme};
use crate::origin::{Relayed, Sender, Wire};
use crate::quality::thresholds::Thresholds;
use crate::room::Room;
use crate::table::Table;
use crate::tap::TapSink;
use crate::timer::Wheel;
use crate::transport::Transport;
use crate::ways::Ways;
use crate::{LegId, RoomId, TransportId, addr, demux};

#[cfg(feature = "faults")]
pub use fault::Stage;
pub use foresee::Fetch;
use foresee::Foresight;
use outbox::Outbox;
pub use outbox::{Ended, Job, Place, Transmission};
pub(crate) use tone::Tone;

/// What a shard needs to know about its world.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// NTP time (RFC 5905 §6: seconds since 1900 in the upper 32 bits, fraction in the lower) at clock 0.
    pub ntp_at_zero: u64,
    /// Silence of checks that closes a transport, nanoseconds; cut to 20 to 30 s.
    pub consent: u64,
    /// Legs, transports and rooms for which memory is taken at a time, or the next power of two. What is taken is written to
    /// only as it is needed.
    pub chunk: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            ntp_at_zero: 0,
            consent: CONSENT,
            chunk: CHUNK,
        }
    }
}

/// One received datagram in its buffer.
pub struct Slot<'b> {
    /// The buffer's number; transmissions refer to it.
    pub index: u16,
    /// [`SLOT_BYTES`] long, the datagram from [`HEADROOM_BYTES`] on.
    pub buffer: &'b mut [u8],
    /// Bytes of the datagram.
    pub len: usize,
}

impl Slot<'_> {
    /// The buffer behind the headroom: the datagram and room to seal.
    #[inline]
    fn body(&mut self) -> &mut [u8] {
        &mut self.buffer[HEADROOM_BYTES..]
    }

    #[inline]
    fn packet(&mut self) -> &mut [u8] {
        &mut self.buffer[HEADROOM_BYTES..HEADROOM_BYTES + self.len]
    }
}

/// Entries of a shard's tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Legs.
    pub legs: usize,
    /// Rooms.
    pub rooms: usize,
    /// Transports.
    pub transports: usize,
    /// Addresses and paths that passed a check.
    pub addresses: usize,
    /// User name fragments of ours under which checks are taken.
    pub ufrags: usize,
}

/// Whose an address or path is.
#[derive(Clone, Copy, Debug, Default)]
struct Owner {
    transport: u32,
    /// The place in the transport's own address table; in four bytes, for every packet looks one up among thousands.
    known: u32,
}

impl Owner {
    #[inline]
    fn known(self) -> usize {
        self.known as usize
    }
}

/// See the top of this file.
pub struct Shard {
    config: Config,
    legs: Table<Leg>,
    transports: Table<Transport>,
    rooms: Table<Room>,
    by_leg: FxHashMap<LegId, u32>,
    by_room: FxHashMap<RoomId, u32>,
    by_transport: FxHashMap<TransportId, u32>,
    by_address: Ways<Owner>,
    by_ufrag: FxHashMap<Ufrag, u32>,
    wheel: Wheel,
    music: Arc<Music>,
    /// What those hear who wait for an agent; `None`: the same as those on hold.
    waiting: Option<Programme>,
    /// What tells of a supervisor.
    tone: Arc<Music>,
    playheads: Playheads,
    thresholds: Thresholds,
    out: Outbox,
    /// The leg that is being worked on; it is still set after a panic.
    current: Option<u32>,
    sight: Foresight,
    #[cfg(feature = "faults")]
    fault: fault::Fault,
}

impl Shard {
    /// An empty shard whose clock stands at `now` nanoseconds.
    #[must_use]
    pub fn new(now: u64, config: Config) -> Shard {
        let consent = config.consent.clamp(CONSENT_MIN, CONSENT_MAX);
        Shard {
            config: Config { consent, ..config },
            legs: Table::new(config.chunk),
            transports: Table::new(config.chunk),
            rooms: Table::new(config.chunk),
            by_leg: FxHashMap::default(),
            by_room: FxHashMap::default(),
            by_transport: FxHashMap::default(),
            by_address: Ways::default(),
            by_ufrag: FxHashMap::default(),
            wheel: Wheel::new(now),
            music: Arc::default(),
            waiting: None,
            tone: Arc::default(),
            playheads: Playheads::default(),
            thresholds: Thresholds::DEFAULT,
            out: Outbox::new(),
            current: None,
            sight: Foresight::default(),
            #[cfg(feature = "faults")]
            fault: fault::Fault::default(),
        }
    }

    /// From now on there is a defect at this stage that strikes once, for tests.
    #[cfg(feature = "faults")]
    pub fn break_at(&mut self, stage: Stage, leg: LegId) {
        self.fault.plan(stage, leg);
    }

    /// Takes one datagram of the wire. What it causes stands in [`Shard::transmissions`], the tap and the queues.
    pub fn datagram(&mut self, now: u64, from: Wire, mut slot: Slot<'_>, tap: &mut dyn TapSink) {
        #[cfg(feature = "faults")]
        self.fault.enter(Stage::Datagram);
        let Some(protocol) = self.look_at(&mut slot) else {
            return;
        };
        if protocol == demux::Protocol::Stun {
            self.stun(now, Sender::from(from), slot.packet());
        } else if let Some(owner) = self.by_address.get(&addr::Key::from(from)).copied() {
            self.take_known(now, owner, protocol, slot, tap);
        } else {
            self.out.totals.drop_unknown_source += 1;
        }
        self.current = None;
    }

    /// As [`Shard::datagram`], of what came through the relay. Until a check of exactly the leg whose credential opened
    /// the way was valid, nothing else is taken from it; and never anything of another leg.
    pub fn relayed(&mut self, now: u64, from: Relayed, mut slot: Slot<'_>, tap: &mut dyn TapSink) {
        #[cfg(feature = "faults")]
        self.fault.enter(Stage::Relayed);
        let Some(protocol) = self.look_at(&mut slot) else {
            return;
        };
        if protocol == demux::Protocol::Stun {
            self.stun(now, Sender::from(from), slot.packet());
        } else if let Some(owner) = self.behind_relay(&from) {
            self.take_known(now, owner, protocol, slot, tap);
        } else {
            self.out.totals.drop_relay_gate += 1;
        }
        self.current = None;
    }

    /// Counts a datagram and says what it is; `None` for what nobody can want.
    #[inline]
    fn look_at(&mut self, slot: &mut Slot<'_>) -> Option<demux::Protocol> {
        self.out.totals.datagrams += 1;
        self.out.totals.bytes += slot.len as u64;
        if slot.len == 0 || slot.len > DATAGRAM_BYTES_MAX || slot.buffer.len() < SLOT_BYTES {
            self.out.totals.drop_size += 1;
            return None;
        }
        let protocol = demux::protocol(slot.packet());
        if protocol == demux::Protocol::Other {
            self.out.totals.drop_protocol += 1;
            return None;
        }
        Some(protocol)
    }

    /// What came from where a check came from before.
    #[inline]
    fn take_known(
        &mut self,
        now: u64,
        owner: Owner,
        protocol: demux::Protocol,
        mut slot: Slot<'_>,
        tap: &mut dyn TapSink,
    ) {
        match protocol {
            demux::Protocol::Rtp => self.rtp(now, owner, slot, tap),
            demux::Protocol::Rtcp => self.rtcp(now, owner, slot),
            demux::Protocol::Dtls => self.dtls(now, owner, slot.packet()),
            demux::Protocol::Stun | demux::Protocol::Other => {}
        }
    }

    /// Whose a path is: its leg's, once that leg has proved it.
    fn behind_relay(&self, from: &Relayed) -> Option<Owner> {
        let owner = self.by_address.get(&addr::Key::from(from.path)).copied()?;
        self.is_of(owner.transport, from.leg).then_some(owner)
    }

    /// True if the transport is one of this leg.
    fn is_of(&self, transport: u32, leg: LegId) -> bool {
        let transport = self.transports.get(transport);
        let owner = transport.and_then(|transport| self.legs.get(transport.leg));
        owner.is_some_and(|owner| owner.id == leg)
    }

    /// Runs timers. With [`Shard::must_flush`] afterwards: send, [`Shard::flushed`], and call again.
    pub fn tick(&mut self, now: u64) {
        #[cfg(feature = "faults")]
        self.fault.enter(Stage::Tick);
        while !self.must_flush() {
            let Some(timer) = self.wheel.pop_due(now) else { break };
            self.fire(now, timer);
            self.current = None;
        }
        self.play_due(now);
    }

    /// When to call [`Shard::tick`] if nothing else happens; `None` with nothing to wait for.
    #[must_use]
    pub fn wake_at(&self) -> Option<u64> {
        let timer = self.wheel.wake_at();
        timer.into_iter().chain(self.playheads.wake_at()).min()
    }

    /// True when the next datagram, command or tick could find no room: send, then call [`Shard::flushed`].
    #[inline]
    #[must_use]
    pub fn must_flush(&self) -> bool {
        self.out.must_flush()
    }

    /// What is to be sent, in order.
    #[must_use]
    pub fn transmissions(&self) -> &[Transmission] {
        self.out.transmissions()
    }

    /// How many of them go through the relay.
    #[inline]
    #[must_use]
    pub fn relay_bound(&self) -> usize {
        self.out.relay_bound()
    }

    /// One buffer of the arena, laid out like a slot buffer: the packet begins at [`HEADROOM_BYTES`].
    #[must_use]
    pub fn arena(&self, index: u16) -> &[u8] {
        self.out.arena(index)
    }

    /// The bytes to send for `transmission`, given the slot buffer that it names (unused for the arena).
    #[must_use]
    pub fn bytes<'a>(&'a self, transmission: &Transmission, slot: &'a [u8]) -> &'a [u8] {
        let buffer = match transmission.place {
            Place::Slot(_) => slot,
            Place::Arena(index) => self.out.arena(index),
        };
        buffer
            .get(HEADROOM_BYTES..HEADROOM_BYTES + usize::from(transmission.len))
            .unwrap_or_default()
    }

    /// Everything was sent or given up; slot buffers and arena may be used again.
    pub fn flushed(&mut self) {
        self.out.flushed();
    }

    /// The next job for the handshake helper.
    pub fn poll_job(&mut self) -> Option<Job> {
        outbox::take(&mut self.out.jobs)
    }

    /// Jobs that wait to be taken.
    #[must_use]
    pub fn jobs_waiting(&self) -> usize {
        self.out.jobs.len()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        outbox::take(&mut self.out.events)
    }

    /// The next transport that ended before its leg.
    pub fn poll_ended(&mut self) -> Option<Ended> {
        outbox::take(&mut self.out.ended)
    }

    /// The next row of counters.
    pub fn poll_second(&mut self) -> Option<Second> {
        outbox::take(&mut self.out.seconds)
    }

    /// How many rows wait to be polled.
    #[must_use]
    pub fn seconds_waiting(&self) -> usize {
        self.out.seconds.len()
    }

    /// True while events, or ends of transports, wait to be polled.
    #[must_use]
    pub fn has_news(&self) -> bool {
        !self.out.events.is_empty() || !self.out.ended.is_empty()
    }

    /// Totals since the start.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.out.totals
    }

    /// Living legs.
    #[must_use]
    pub fn legs(&self) -> usize {
        self.legs.len()
    }

    /// Living rooms.
    #[must_use]
    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// Living transports.
    #[must_use]
    pub fn transports(&self) -> usize {
        self.transports.len()
    }

    /// How much each table holds, for watching: without legs and rooms all are zero.
    #[must_use]
    pub fn tables(&self) -> Tables {
        Tables {
            legs: self.legs.len().max(self.by_leg.len()),
            rooms: self.rooms.len().max(self.by_room.len()),
            transports: self.transports.len().max(self.by_transport.len()),
            addresses: self.by_address.len(),
            ufrags: self.by_ufrag.len(),
        }
    }

    /// After a caught panic: removes the leg that was being worked on, if there was one, and says which.
    ///
    /// Its room and everybody else go on. The counts of this leg may be off by the packet that broke it. Every panic
    /// counts, also one that struck while nobody in particular was being worked on.
    pub fn remove_after_panic(&mut self, now: u64) -> Option<LegId> {
        self.out.totals.panics += 1;
        let place = self.current.take()?;
        let id = self.legs.get(place)?.id;
        self.by_address
            .retain(|owner| self.transports.get(owner.transport).is_some_and(|t| t.leg != place));
        self.remove_leg(now, place, Cause::Panic);
        Some(id)
    }

    fn event(&mut self, now: u64, room: u32, kind: Kind) {
        if let Some(room) = self.rooms.get_mut(room) {
            room.events += 1;
            self.out.event(Event {
                room: room.id,
                seq: room.events,
                at: now,
                kind,
            });
        }
    }
}
