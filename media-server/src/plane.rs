//! Media as the desk, the signalling and the API see it: grants, offers, plans, ends.
//!
//! Everything here runs on the caller's thread at the rate of calls. A shard is told by its command queue and never
//! waited for; SDP is parsed and answered here, so no shard ever sees a document.
//!
//! Invariant: a command that a shard's queue could not take is an error to the caller, or is tried again by the
//! control thread; it is never lost.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use call_model::{CallId, LegId};
use media_core::command::{AddLeg, Command, IceCredentials, MediaParams, NewTransport, SlotParams};
use media_core::dtls::{Certificate, Fingerprint};
use media_core::limits::SLOTS_PER_LEG_MAX;
use media_core::{TapId, TransportId, sdp};
use ports::{
    Answer, Author, Cause, Draining, Later, LegGrant, Load, Media, MediaEvent, Part, Plan, RecordCommand, Refusal,
    RoomSnapshot, Rooms, Sdp, Secret, Thresholds,
};
use tokio::sync::Notify;
use udp::Bell;

use crate::admission::{Budget, Full};
use crate::beat;
use crate::clock::Clock;
use crate::config::{Config, LEGS_RESERVED_PER_ROOM};
use crate::convert;
use crate::drain::Drain;
use crate::events::Outbox;
use crate::foreign::Way;
use crate::live::Live;
use crate::pending;
use crate::preflight;
use crate::recorder;
use crate::registry::{Digest, Ended, FIRST_OFFER_S_MAX, Leg, NewLeg, Page, Registry};
use crate::relay;

/// Characters of our user name fragment: 48 bits (RFC 8839 §5.4 asks for 24).
const UFRAG_CHARS: usize = 8;
/// Characters of our password: 144 bits (RFC 8839 §5.4 asks for 128).
const PWD_CHARS: usize = 24;
/// The alphabet of both: 64 characters, so a random byte gives one without bias (RFC 8839 `ice-char`).
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The way to one shard.
pub(crate) struct ShardLink {
    pub(crate) commands: SyncSender<Command>,
    pub(crate) bell: Bell,
    /// What browsers are told.
    pub(crate) candidates: Vec<SocketAddr>,
    /// How rings and ways of the relay reach it.
    pub(crate) relay: Mutex<relay::Entry>,
}

impl ShardLink {
    /// Hands over a command, or gives it back when the queue is full or the shard is gone.
    pub(crate) fn hand(&self, command: Command) -> Result<(), Command> {
        match self.commands.try_send(command) {
            Ok(()) => {
                self.bell.ring();
                Ok(())
            }
            Err(TrySendError::Full(command) | TrySendError::Disconnected(command)) => Err(command),
        }
    }
}

/// What the plane and the control thread share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    /// What answers announce from now on; a transport keeps the one that its own answer announced.
    pub(crate) certificate: Mutex<Certificate>,
    pub(crate) shards: Vec<ShardLink>,
    pub(crate) registry: Mutex<Registry>,
    /// What of the registry the relay may know, and how the relay is: also while somebody hangs with the registry's lock.
    pub(crate) told: Arc<relay::Legs>,
    pub(crate) outbox: Mutex<Outbox>,
    pub(crate) live: Mutex<Live>,
    pub(crate) changed: Notify,
    /// Commands that found a shard's queue full; the control thread tries again.
    pub(crate) pending: Mutex<VecDeque<(usize, Command)>>,
    pub(crate) drain: Mutex<Drain>,
    /// One per shard. Locked after the registry where both are.
    pub(crate) budgets: Mutex<Vec<Budget>>,
    /// New rooms refused, by [`Full::ALL`].
    pub(crate) rooms_refused: [AtomicU64; Full::ALL.len()],
    /// Per shard, when its thread last reported, nanoseconds.
    pub(crate) beats: Vec<AtomicU64>,
    pub(crate) next_transport: AtomicU64,
    pub(crate) candidates_seen: AtomicU64,
    pub(crate) offers_refused: AtomicU64,
    pub(crate) recorder: recorder::Handle,
}

/// A lock whose holder panicked still holds sound tables: every change of them is a single call.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn registry_for(config: &Config) -> Registry {
        Registry::new(config.shards, config.legs_per_shard, LEGS_RESERVED_PER_ROOM)
    }

    /// Tells a room's shard something, at once or as soon as it listens. A room that nobody knows has no shard. Under the
    /// registry's lock: nobody forgets the room in between, and what is told of it later comes later.
    pub(crate) fn tell_known(&self, registry: &Registry, room: CallId, command: Command) {
        let shard = registry.shard_of(room);
        let Some((shard, link)) = shard.and_then(|shard| Some((shard, self.shards.get(shard)?))) else {
            return;
        };
        let mut pending = lock(&self.pending);
        // What waits was said before; overtaken by a newer plan, the end of a room would leave one without legs.
        if pending.iter().any(|(waiting, _)| *waiting == shard) {
            pending.push_back((shard, command));
        } else if let Err(command) = link.hand(command) {
            pending.push_back((shard, command));
        }
    }

    /// Tells a shard something for a caller who can say no to somebody: behind everything that was said before, or not at
    /// all. Past the end of a room that still waits, the leg of its next life would be taken in and closed with it. Under
    /// the registry's lock, as [`Shared::tell_known`].
    pub(crate) fn tell_or_refuse(&self, shard: usize, command: Command) -> Result<(), Refusal> {
        let link = self.link(shard)?;
        // Held over both: what is put among those that wait meanwhile was said later.
        let pending = lock(&self.pending);
        pending::hand_or_refuse(&pending, shard, command, |command| link.hand(command))
            .map_err(|_| Refusal::Unavailable)
    }

    pub(crate) fn link(&self, shard: usize) -> Result<&ShardLink, Refusal> {
        self.shards.get(shard).ok_or(Refusal::Unavailable)
    }

    fn admit_now(&self, grant: &LegGrant) -> Result<(), Refusal> {
        let secret = digest(&grant.secret);
        let mut slots = [SlotParams {
            ssrc: 0,
            sequence: 0,
            timestamp: 0,
        }; SLOTS_PER_LEG_MAX];
        for slot in &mut slots {
            *slot = fresh_slot()?;
        }
        let now = self.clock.now_ns();
        let mut registry = lock(&self.registry);
        let known = registry.shard_of(grant.room).is_some();
        let drain = *lock(&self.drain);
        if !known && drain.is_over(now) {
            return Err(Refusal::Draining);
        }
        if grant.part == ports::Part::Preflight && registry.leg(grant.leg).is_none() {
            preflight::may_begin(&registry, lock(&self.live).busy(), drain.is_on())?;
        }
        let first_offer_s = grant.first_offer_s.clamp(1, FIRST_OFFER_S_MAX);
        let new = NewLeg {
            leg: grant.leg,
            room: grant.room,
            part: grant.part,
            uplink: grant.uplink,
            red: grant.red,
            now,
            first_offer_by: now + u64::from(first_offer_s) * 1_000_000_000,
            slots,
        };
        let admitted = registry.admit(new, secret, |shard| self.may_take(shard, now));
        match admitted {
            Ok(()) if !known => {
                let mut budgets = lock(&self.budgets);
                let shard = registry.shard_of(grant.room);
                if let Some(budget) = shard.and_then(|shard| budgets.get_mut(shard)) {
                    budget.promise(now);
                }
            }
            Err(Refusal::Full { .. }) => self.count_refusal(&registry, now),
            Ok(()) | Err(_) => {}
        }
        admitted
    }

    /// Whether a shard takes a new room, by its load.
    fn may_take(&self, shard: usize, now: u64) -> bool {
        let budgets = lock(&self.budgets);
        budgets.get(shard).is_some_and(|budget| budget.may_take(now).is_ok())
    }

    fn count_refusal(&self, registry: &Registry, now: u64) {
        let by_load = || lock(&self.budgets).iter().find_map(|budget| budget.may_take(now).err());
        let full = if registry.is_out_of_legs() {
            Full::Legs
        } else {
            by_load().unwrap_or(Full::Legs)
        };
        self.rooms_refused[full as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn answer_offer(&self, secret: &Secret, text: &str, way: Way) -> Result<Answer, Refusal> {
        let secret = digest(secret);
        lock(&self.registry).by_secret(&secret)?;
        let offer = self.read(text)?;
        let ice = fresh_ice(&offer.ufrag)?;
        let mut registry = lock(&self.registry);
        let (id, shard, leg) = registry.by_secret(&secret)?;
        self.may_go(way, &offer, leg.uplink)?;
        let announced = way.slots(&leg.slots);
        let page = page_of(&offer);
        if let (Some(present), Some(ours)) = (&leg.page, &leg.ice)
            && *present == page
        {
            // A new transport would take the addresses of the one that the page goes on with, and its sound with them.
            let answer = self.answer_same_page(&offer, ours, (id, shard, &*leg), announced)?;
            registry.used(&secret);
            return Ok(answer);
        }
        let certificate = lock(&self.certificate).clone();
        let shown = certificate.fingerprint();
        let media = media_of(&offer, leg, announced);
        let made = TransportId(self.next_transport.fetch_add(1, Ordering::Relaxed));
        let transport = NewTransport {
            id: made,
            ice: ice.clone(),
            fingerprint: offer.fingerprint.0,
            certificate,
            media,
        };
        let link = self.link(shard)?;
        let answer = self.answer_text(&offer, &ice, shown, leg, announced, link);
        let command = if leg.attached {
            Command::Attach {
                leg: convert::leg(id),
                transport: Box::new(transport),
            }
        } else {
            self.recorder.tell(recorder::Message::LegJoined {
                room: leg.room.0,
                leg: id.0,
                part: leg.part,
                tap: leg.tap,
                at_ns: self.clock.now_ns(),
            });
            Command::AddLeg(Box::new(AddLeg {
                room: convert::room(leg.room),
                leg: convert::leg(id),
                part: convert::part(leg.part),
                tap: TapId(leg.tap),
                transport,
            }))
        };
        self.tell_or_refuse(shard, command)?;
        (leg.ice, leg.page) = (Some(ice), Some(page));
        leg.shows(offer.fingerprint, shown, made);
        registry.attached(id, self.clock.now_ns());
        registry.used(&secret);
        Ok(Answer {
            leg: id,
            sdp: Sdp(answer),
        })
    }

    fn answer_restart(&self, secret: &Secret, text: &str) -> Result<Answer, Refusal> {
        let secret = digest(secret);
        let offer = self.read(text)?;
        let ice = fresh_ice(&offer.ufrag)?;
        let mut registry = lock(&self.registry);
        let (id, shard, leg) = registry.by_secret(&secret)?;
        if leg.ice.is_none() {
            return Err(Refusal::BadOffer {
                reason: "restart_without_transport",
            });
        }
        let link = self.link(shard)?;
        // The association stays, and with it the certificate.
        let shown = leg.shown_to(offer.fingerprint).ok_or(Refusal::BadOffer {
            reason: "restart_without_transport",
        })?;
        let answer = self.answer_text(&offer, &ice, shown, leg, &leg.slots, link);
        let restart = Command::Restart {
            leg: convert::leg(id),
            fingerprint: Some(offer.fingerprint.0),
            ice: Box::new(ice.clone()),
            // A description says what of tracks, too: the answer promises it.
            media: Some(Box::new(media_of(&offer, leg, &leg.slots))),
        };
        self.tell_or_refuse(shard, restart)?;
        // A page whose transport is no more restarts none.
        let page = leg.knows(offer.fingerprint).then(|| page_of(&offer));
        (leg.ice, leg.page) = (Some(ice), page);
        Ok(Answer {
            leg: id,
            sdp: Sdp(answer),
        })
    }

    /// Answers the offer of a page over the connection that it has: streams, directions and numbers may have changed, and
    /// nothing else has.
    fn answer_same_page(
        &self,
        offer: &sdp::Offer,
        ours: &IceCredentials,
        (id, shard, leg): (LegId, usize, &Leg),
        announced: &[SlotParams],
    ) -> Result<Answer, Refusal> {
        let shown = leg.shown_to(offer.fingerprint).ok_or(Refusal::Unavailable)?;
        let answer = self.answer_text(offer, ours, shown, leg, announced, self.link(shard)?);
        let change = Command::Media {
            leg: convert::leg(id),
            fingerprint: offer.fingerprint.0,
            media: Box::new(media_of(offer, leg, announced)),
        };
        self.tell_or_refuse(shard, change)?;
        Ok(Answer {
            leg: id,
            sdp: Sdp(answer),
        })
    }

    fn read(&self, text: &str) -> Result<sdp::Offer, Refusal> {
        sdp::read_offer(text).map_err(|refused| {
            self.offers_refused.fetch_add(1, Ordering::Relaxed);
            Refusal::BadOffer { reason: refused.word() }
        })
    }

    fn answer_text(
        &self,
        offer: &sdp::Offer,
        ice: &IceCredentials,
        fingerprint: Fingerprint,
        leg: &Leg,
        slots: &[SlotParams],
        link: &ShardLink,
    ) -> String {
        let ours = sdp::Ours {
            ufrag: &ice.local_ufrag,
            pwd: &ice.local_pwd,
            fingerprint,
            candidates: &link.candidates,
            session: self.next_transport.load(Ordering::Relaxed),
            red: convert::red(leg.red),
            uplink: leg.uplink,
            slots,
        };
        sdp::answer(offer, &ours)
    }
}

/// The media plane of a node.
#[derive(Clone)]
pub struct Plane(pub(crate) Arc<Shared>);

impl Media for Plane {
    fn admit(&self, grant: LegGrant) -> Later<'_, Result<(), Refusal>> {
        Box::pin(async move { self.0.admit_now(&grant) })
    }

    fn offer(&self, secret: Secret, sdp: Sdp) -> Later<'_, Result<Answer, Refusal>> {
        Box::pin(async move { self.0.answer_offer(&secret, &sdp.0, Way::AsOffered) })
    }

    fn ingest(&self, secret: Secret, sdp: Sdp) -> Later<'_, Result<Answer, Refusal>> {
        Box::pin(async move { self.0.answer_offer(&secret, &sdp.0, Way::Up) })
    }

    fn ice_session(&self, secret: &Secret) -> Result<String, Refusal> {
        self.0.session_of(secret)
    }

    fn trickle(&self, secret: Secret, fragment: Sdp) -> Result<(), Refusal> {
        self.0.take_trickle(&secret, &fragment.0)
    }

    fn restart_ice(&self, secret: Secret, fragment: Sdp) -> Later<'_, Result<Sdp, Refusal>> {
        Box::pin(async move { self.0.restart_by_fragment(&secret, &fragment.0) })
    }

    fn restart(&self, secret: Secret, sdp: Sdp) -> Later<'_, Result<Answer, Refusal>> {
        Box::pin(async move { self.0.answer_restart(&secret, &sdp.0) })
    }

    fn candidate(&self, secret: Secret, _candidate: &str) -> Result<(), Refusal> {
        lock(&self.0.registry).by_secret(&digest(&secret))?;
        self.0.candidates_seen.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn leave(&self, secret: Secret) -> Result<(), Refusal> {
        self.0.leave_now(&secret)
    }

    fn plan(&self, plan: Plan) {
        self.0.take_plan(plan, None);
    }

    fn plan_by(&self, plan: Plan, author: Author) {
        self.0.take_plan(plan, Some(author));
    }

    fn change_part(&self, id: LegId, part: Part, author: Author) {
        // Held to the end: a plan of somebody else in between would have his name to it.
        let mut registry = lock(&self.0.registry);
        let known = registry
            .change_part(id, part)
            .map(|leg| (leg.room, leg.attached, leg.tap));
        // Who has not attached yet joins as what he is by then.
        let Some((room, true, tap)) = known else { return };
        self.0.wanted_by(room, Some(&author));
        self.0.recorder.tell(recorder::Message::LegJoined {
            room: room.0,
            leg: id.0,
            part,
            tap,
            at_ns: self.0.clock.now_ns(),
        });
        let command = Command::Part {
            leg: convert::leg(id),
            part: convert::part(part),
        };
        self.0.tell_known(&registry, room, command);
    }

    fn set_thresholds(&self, thresholds: Thresholds) {
        let engine = convert::thresholds(&thresholds);
        let mut pending = lock(&self.0.pending);
        for (shard, link) in self.0.shards.iter().enumerate() {
            let command = Command::Thresholds(Box::new(engine));
            // Behind what waits: of two changes the later one is to hold.
            if pending.iter().any(|(waiting, _)| *waiting == shard) {
                pending.push_back((shard, command));
            } else if let Err(command) = link.hand(command) {
                pending.push_back((shard, command));
            }
        }
    }

    fn record(&self, room: CallId, command: RecordCommand) {
        // Held over both: an order behind the end of its room would make a recording that no call knows.
        let registry = lock(&self.0.registry);
        if registry.shard_of(room).is_none() {
            tracing::debug!(call.id = %uuid::Uuid::from_u128(room.0), "an order to record came behind the end of its room");
            return;
        }
        self.0.recorder.tell(match command {
            RecordCommand::Start {
                recording,
                policy,
                customer_left,
            } => recorder::Message::Start {
                room: room.0,
                recording: recording.0,
                policy,
                customer_left,
            },
            RecordCommand::Stop => recorder::Message::Stop { room: room.0 },
        });
    }

    fn close_leg(&self, leg: LegId, cause: Cause) {
        lock(&self.0.registry).is_over(self.0.clock.now_ns(), Ended::Leg(leg));
        self.0.close_leg(leg, cause);
    }

    fn close_room(&self, room: CallId, cause: Cause) {
        lock(&self.0.registry).is_over(self.0.clock.now_ns(), Ended::Room(room));
        self.0.close_room(room, cause);
    }

    fn outstanding(&self, max: usize) -> Vec<MediaEvent> {
        lock(&self.0.outbox).outstanding(max, self.0.clock.now_ns(), self.0.config.node_epoch)
    }

    fn changed(&self) -> Later<'_, ()> {
        Box::pin(self.0.changed.notified())
    }

    fn acknowledge(&self, room: CallId, seq: u64) {
        lock(&self.0.outbox).acknowledge(room, seq);
    }

    fn snapshot(&self, room: CallId) -> Option<RoomSnapshot> {
        lock(&self.0.live).room(room)
    }

    fn load(&self) -> Load {
        let now = self.0.clock.now_ns();
        let registry = lock(&self.0.registry);
        Load {
            legs: registry.counts().0 as u32,
            capacity_legs: registry.capacity(),
            busy: lock(&self.0.live).busy(),
            full: registry.is_full(|shard| self.0.may_take(shard, now)),
            draining: lock(&self.0.drain).is_on(),
            recorder: self.0.recorder.promise(),
        }
    }

    fn drain(&self, limit_s: Option<u64>) {
        let now = self.0.clock.now_ns();
        let mut drain = lock(&self.0.drain);
        match limit_s {
            Some(limit_s) => drain.begin(now, limit_s),
            None => drain.undo(),
        }
        tracing::info!(
            seconds = limit_s,
            "{}",
            if drain.is_on() { "draining" } else { "serving" }
        );
    }

    fn draining(&self) -> Option<Draining> {
        let now = self.0.clock.now_ns();
        let drain = *lock(&self.0.drain);
        let left_s = drain.left_s(now)?;
        Some(Draining {
            number: drain.number(),
            rooms: self.rooms(),
            closes_in_s: u32::try_from(left_s).unwrap_or(u32::MAX),
        })
    }

    fn rooms(&self) -> Rooms {
        let now = self.0.clock.now_ns();
        let (rooms, oldest) = lock(&self.0.registry).all_rooms();
        let age_s = oldest.map_or(0, |at| now.saturating_sub(at) / 1_000_000_000);
        Rooms {
            count: u32::try_from(rooms.len()).unwrap_or(u32::MAX),
            oldest_s: u32::try_from(age_s).unwrap_or(u32::MAX),
        }
    }

    fn alive(&self) -> bool {
        let shards = beat::all_turn(&self.0.beats, self.0.clock.now_ns());
        let relay = self.0.told.health();
        shards && relay.is_none_or(|relay| relay.alive == relay.workers)
    }
}

fn page_of(offer: &sdp::Offer) -> Page {
    Page {
        ufrag: offer.ufrag.clone(),
        pwd: offer.pwd.clone(),
        fingerprint: offer.fingerprint,
    }
}

/// What offer and answer agree on. `announced`: the streams that the answer may announce.
fn media_of(offer: &sdp::Offer, leg: &Leg, announced: &[SlotParams]) -> MediaParams {
    let slots = std::array::from_fn(|n| announced.get(n).copied());
    offer.media_params(leg.uplink, convert::red(leg.red), slots)
}

pub(crate) fn digest(secret: &Secret) -> Digest {
    let digest = ring::digest::digest(&ring::digest::SHA256, secret.expose());
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}

fn random<const N: usize>() -> Result<[u8; N], Refusal> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| Refusal::Unavailable)?;
    Ok(bytes)
}

/// A stream's first numbers; sequences start below 2^15, so that a wrap is never near the start (RFC 3711 §3.3.1).
fn fresh_slot() -> Result<SlotParams, Refusal> {
    let [a, b, c, d, e, f, g, h, i, j] = random::<10>()?;
    Ok(SlotParams {
        ssrc: u32::from_be_bytes([a, b, c, d]).max(1),
        sequence: u16::from_be_bytes([e, f]) & 0x7fff,
        timestamp: u32::from_be_bytes([g, h, i, j]),
    })
}

/// Credentials of ours for a client with this user name fragment.
pub(crate) fn fresh_ice(remote_ufrag: &str) -> Result<IceCredentials, Refusal> {
    let text = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| char::from(ICE_CHARS[usize::from(byte & 63)]))
            .collect()
    };
    Ok(IceCredentials {
        local_ufrag: text(&random::<UFRAG_CHARS>()?),
        local_pwd: text(&random::<PWD_CHARS>()?),
        remote_ufrag: remote_ufrag.to_owned(),
    })
}
