//! What must hold after every step, judged from outside: by what the engine sends, reports and hands to the tap.
//!
//! It shares no code with what it judges; who may hear whom stands here once more, as the table of the design has it.
//!
//! Invariant: what it knows of an ended leg is only that it ended.

use std::net::SocketAddr;

use media_core::event::{Cause, Event, Kind};
use media_core::limits::{LEG_KEEP, MISSING_FOR, MS, SECOND};
use media_core::matrix::{Part, Stance};
use media_core::origin::Route;
use media_core::rtp::FIXED_BYTES;
use media_core::srtp::RTP_OVERHEAD_MAX;
use media_core::{LegId, RoomId, TransportId};
use rustc_hash::FxHashMap;

use crate::media::{TUNE, WORD_BYTES};

/// Packets of a stream whose bytes are remembered: as many as may still go out behind the newest.
const WINDOW: usize = 128;
/// Largest step of an outgoing number: what the engine takes for loss.
const STEP_MAX: u64 = 1_001;
/// Largest distance of outgoing time from the clock, in samples of 48 kHz: what the engine takes for a slow clock.
const DRIFT_MAX: u64 = 11 * 48_000;
/// Between a leg's last moment and its end: timers go in steps.
const SLACK: u64 = 200 * MS;

/// A frame of the music is shorter than any word, sealed by whatever cipher.
const MUSIC_BYTES_MAX: usize = FIXED_BYTES + TUNE.len() + RTP_OVERHEAD_MAX;
/// The longest that a frame may be on its way: the line's freezes and a client that sleeps, and some.
const UNDER_WAY_MAX: u64 = 30 * SECOND;

/// Who is away in a room.
#[derive(Default)]
struct Silence {
    away: Vec<LegId>,
    /// When somebody was last back, or ended while away.
    until: Option<u64>,
}

/// One outgoing stream.
struct Stream {
    top: u64,
    timestamp: u32,
    at: u64,
    /// Turns between voices and music so far, and times that somebody was away.
    turns: u32,
    music: bool,
    /// What was sent, by number.
    sent: Box<[Option<Sent>; WINDOW]>,
}

/// One packet that was sent.
#[derive(Clone, Copy)]
struct Sent {
    number: u64,
    digest: u32,
    turns: u32,
}

/// A leg as the judge knows it.
struct Leg {
    room: RoomId,
    /// When a check of it was last answered, or it was made.
    alive_at: u64,
    /// When it came up.
    up: Option<u64>,
    /// Over what it goes, as was told last.
    route: Option<Route>,
    transports: Vec<TransportId>,
    /// When a packet, by source and number, was taped, and whether it was rebuilt.
    taped: FxHashMap<(u32, u32), (u64, bool)>,
}

/// What was counted while judging.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Verdicts {
    pub(crate) sent: u64,
    pub(crate) sent_again: u64,
    pub(crate) legs: u64,
    pub(crate) legs_up: u64,
    pub(crate) events: u64,
    /// Supervisors whom a tone told of.
    pub(crate) announced: u64,
    pub(crate) taped: u64,
    /// Of those, packets that came after they had been rebuilt and given up.
    pub(crate) taped_late: u64,
    /// How often a leg went another way than before.
    pub(crate) routes_changed: u64,
    /// The most that an address without a valid check ever got for what it sent, in 1/1,000.
    pub(crate) amplified_permille: u64,
}

#[derive(Default)]
pub(crate) struct Judge {
    owners: FxHashMap<SocketAddr, TransportId>,
    /// Bytes from and to addresses, as long as they have proved nothing.
    unproved: FxHashMap<SocketAddr, (u64, u64)>,
    transports: FxHashMap<TransportId, LegId>,
    legs: FxHashMap<LegId, Leg>,
    ended: FxHashMap<LegId, Cause>,
    rooms: FxHashMap<RoomId, u64>,
    silences: FxHashMap<RoomId, Silence>,
    streams: FxHashMap<u32, Stream>,
    /// The newest number of the reports of a stream.
    reports: FxHashMap<u32, u32>,
    pub(crate) verdicts: Verdicts,
}

impl Judge {
    pub(crate) fn leg_added(&mut self, now: u64, leg: LegId, room: RoomId, transport: TransportId) {
        let fresh = Leg {
            room,
            alive_at: now,
            up: None,
            route: None,
            transports: Vec::new(),
            taped: FxHashMap::default(),
        };
        assert!(
            self.legs.insert(leg, fresh).is_none() && !self.ended.contains_key(&leg),
            "{leg:?} was there before"
        );
        self.verdicts.legs += 1;
        self.attached(leg, transport);
    }

    pub(crate) fn attached(&mut self, leg: LegId, transport: TransportId) {
        let record = self.legs.get_mut(&leg).expect("only a living leg is given a transport");
        record.transports.push(transport);
        self.transports.insert(transport, leg);
    }

    pub(crate) fn received(&mut self, from: SocketAddr, bytes: usize) {
        if !self.owners.contains_key(&from) {
            self.unproved.entry(from).or_default().0 += bytes as u64;
        }
    }

    /// Whose an address is, by the last check that was answered there.
    pub(crate) fn owner(&self, address: SocketAddr) -> Option<(TransportId, LegId)> {
        let transport = *self.owners.get(&address)?;
        Some((transport, *self.transports.get(&transport)?))
    }

    /// The engine answers a check. `proof`: of which transport the request had the password.
    pub(crate) fn answered(&mut self, now: u64, to: SocketAddr, bytes: &[u8], proof: Option<TransportId>) {
        let proof = proof.expect("only a check with the right password is answered");
        let leg = self.transports.get(&proof).expect("only a living transport is checked");
        let record = self.legs.get_mut(leg).expect("an ended leg answers nobody");
        record.alive_at = now;
        if !self.owners.contains_key(&to) {
            let (received, sent) = self.unproved.entry(to).or_default();
            *sent += bytes.len() as u64;
            let permille = 1_000 * *sent / (*received).max(1);
            assert!(sent <= received, "{to} got {sent} bytes for {received}");
            self.verdicts.amplified_permille = self.verdicts.amplified_permille.max(permille);
        }
        self.unproved.remove(&to);
        self.owners.insert(to, proof);
    }

    /// The engine sends something that is no answer to a check. Returns whose transport it is for, and of a packet how
    /// often its stream had turned between voices and music when its number was first sent: a voice that comes back
    /// after music goes on under other numbers.
    pub(crate) fn sent(&mut self, now: u64, to: SocketAddr, bytes: &[u8], short_tag: bool) -> (TransportId, u32) {
        let (transport, _) = self
            .owner(to)
            .unwrap_or_else(|| panic!("{to} passed no check, or its leg is over, and is sent {bytes:02x?}"));
        self.verdicts.sent += 1;
        let turns = match bytes {
            [20..=63, ..] => 0,
            [128..=191, 192..=223, ..] => {
                self.report(bytes, short_tag);
                0
            }
            [128..=191, ..] => self.packet(now, to, transport, bytes),
            _ => panic!("{bytes:02x?} is of no protocol"),
        };
        (transport, turns)
    }

    fn packet(&mut self, now: u64, to: SocketAddr, transport: TransportId, bytes: &[u8]) -> u32 {
        let number = u64::from(u16::from_be_bytes([bytes[2], bytes[3]]));
        let timestamp = word(bytes, 4);
        let ssrc = word(bytes, 8);
        assert_eq!(
            u64::from(ssrc >> 2),
            transport.0,
            "a stream of another transport to {to} at {now} {bytes:02x?} {:?}",
            self.transports.get(&transport)
        );
        let digest = digest(bytes);
        let stream = self.streams.entry(ssrc).or_insert_with(|| Stream {
            top: number - 1,
            timestamp: timestamp.wrapping_sub(1),
            at: now,
            turns: 0,
            music: false,
            sent: Box::new([None; WINDOW]),
        });
        let cell = &mut stream.sent[number as usize % WINDOW];
        if number > stream.top {
            let step = number - stream.top;
            assert!(step <= STEP_MAX, "a step of {step} packets");
            let time = timestamp.wrapping_sub(stream.timestamp);
            let most = (now - stream.at) * 48 / MS + DRIFT_MAX;
            assert!(
                0 < time && u64::from(time) <= most,
                "time goes on by {time} of {most} samples"
            );
            (stream.top, stream.timestamp, stream.at) = (number, timestamp, now);
            let music = bytes.len() <= MUSIC_BYTES_MAX;
            stream.turns += u32::from(music != stream.music);
            stream.music = music;
        } else {
            assert!(
                stream.top - number < WINDOW as u64,
                "{number} at {now} ssrc {ssrc:x} transport {transport:?} a packet {} behind",
                stream.top - number
            );
            if let Some(before) = *cell
                && before.number == number
            {
                assert_eq!(before.digest, digest, "two packets under one nonce");
                self.verdicts.sent_again += 1;
                return before.turns;
            }
        }
        let turns = stream.turns;
        *cell = Some(Sent { number, digest, turns });
        turns
    }

    /// The number of a report (RFC 3711 §3.4) stands before the tag or, under GCM, last.
    fn report(&mut self, bytes: &[u8], short_tag: bool) {
        let at = bytes.len() - if short_tag { 14 } else { 4 };
        let number = word(bytes, at) & 0x7FFF_FFFF;
        let before = self.reports.insert(word(bytes, 4), number);
        assert!(
            before.is_none_or(|before| before < number),
            "two reports under one nonce"
        );
    }

    pub(crate) fn event(&mut self, event: &Event) {
        self.verdicts.events += 1;
        let count = self.rooms.entry(event.room).or_default();
        *count += 1;
        assert_eq!(event.seq, *count, "the events of a room are numbered without a gap");
        match &event.kind {
            Kind::LegUp { leg } => {
                let record = self.living(*leg);
                assert!(record.up.replace(event.at).is_none(), "a leg comes up once");
                self.verdicts.legs_up += 1;
            }
            Kind::LegDown { leg, cause, summary } => {
                let record = self.living(*leg);
                assert_eq!(record.room, event.room);
                assert_eq!(record.route, summary.route, "the last way that was told");
                self.end(*leg, *cause);
                self.back(event, *leg);
            }
            Kind::LegAway { leg } => {
                self.living(*leg);
                self.silences.entry(event.room).or_default().away.push(*leg);
                self.turn(event.room);
            }
            Kind::LegBack { leg } => {
                self.living(*leg);
                self.back(event, *leg);
            }
            Kind::LegRoute { leg, route } => {
                let record = self.living(*leg);
                assert!(record.up.is_some(), "before the keys there is no way");
                let before = record.route.replace(*route);
                assert_ne!(before, Some(*route), "a way is told when it is another one");
                self.verdicts.routes_changed += u64::from(before.is_some());
            }
            Kind::FirstRtp { leg }
            | Kind::LegMigrated { leg }
            | Kind::UplinkStalled { leg }
            | Kind::UplinkResumed { leg }
            | Kind::Dtmf { leg }
            | Kind::Quality { leg: Some(leg), .. } => {
                self.living(*leg);
            }
            Kind::Announced { supervisor, heard_by } => {
                self.living(*supervisor);
                assert!(!heard_by.is_empty() && heard_by.iter().all(|leg| self.is_living(*leg)));
                self.verdicts.announced += 1;
            }
            Kind::Unheard { leg, voices } => {
                self.living(*leg);
                assert!(voices.iter().all(|voice| voice != leg && self.is_living(*voice)));
            }
            Kind::RoomLive | Kind::PlanApplied { .. } | Kind::Quality { leg: None, .. } => {}
        }
    }

    fn back(&mut self, event: &Event, leg: LegId) {
        let silence = self.silences.entry(event.room).or_default();
        let before = silence.away.len();
        silence.away.retain(|away| *away != leg);
        if silence.away.len() < before {
            silence.until = Some(event.at);
        }
    }

    /// Whether music may reach somebody of this room who is on no hold: the other side is away, or was a moment ago.
    pub(crate) fn may_comfort(&self, now: u64, room: RoomId) -> bool {
        let recent = |until: u64| now.saturating_sub(until) <= UNDER_WAY_MAX;
        let silence = self.silences.get(&room);
        silence.is_some_and(|silence| !silence.away.is_empty() || silence.until.is_some_and(recent))
    }

    /// Whether somebody of them has been up for so long that music for who was to talk to him is on its way no more.
    pub(crate) fn met(&self, now: u64, mut company: impl Iterator<Item = LegId>) -> bool {
        company.any(|leg| {
            let up = self.legs.get(&leg).and_then(|leg| leg.up);
            up.is_some_and(|up| now.saturating_sub(up) > UNDER_WAY_MAX)
        })
    }

    /// Somebody of the room is away: when he is back he goes on under other numbers, even if he is back so soon that no
    /// frame of music was sent meanwhile.
    fn turn(&mut self, room: RoomId) {
        let legs = self.legs.values().filter(|leg| leg.room == room);
        for transport in legs.flat_map(|leg| &leg.transports) {
            for place in 0..4 {
                if let Some(stream) = self.streams.get_mut(&((transport.0 as u32) << 2 | place)) {
                    stream.turns += 1;
                }
            }
        }
    }

    fn living(&mut self, leg: LegId) -> &mut Leg {
        self.legs.get_mut(&leg).expect("a leg that has ended is silent")
    }

    fn end(&mut self, leg: LegId, cause: Cause) {
        let record = self.legs.remove(&leg).expect("it lives");
        for transport in &record.transports {
            self.transports.remove(transport);
            for place in 0..4 {
                self.streams.remove(&((transport.0 as u32) << 2 | place));
                self.reports.remove(&((transport.0 as u32) << 2 | place));
            }
        }
        self.owners.retain(|_, owner| !record.transports.contains(owner));
        self.ended.insert(leg, cause);
    }

    /// A record of the tap: each packet is in it once, but that one which was rebuilt from redundancy may come itself
    /// after the engine has ceased to miss it. The recorder tells the two apart by their number.
    pub(crate) fn taped(&mut self, now: u64, leg: LegId, packet: (u32, u32), rebuilt: bool) {
        let before = self.living(leg).taped.insert(packet, (now, rebuilt));
        let late = before.is_some_and(|(then, was_rebuilt)| was_rebuilt && !rebuilt && then + MISSING_FOR <= now);
        assert!(before.is_none() || late, "{packet:?} of {leg:?} is taped twice");
        self.verdicts.taped += 1;
        self.verdicts.taped_late += u64::from(late);
    }

    /// Legs that should have ended by now.
    pub(crate) fn stuck(&self, now: u64) -> Vec<LegId> {
        let last = |leg: &Leg| leg.alive_at + LEG_KEEP + SLACK;
        let stuck = self.legs.iter().filter(|(_, leg)| now > last(leg));
        stuck.map(|(leg, _)| *leg).collect()
    }

    pub(crate) fn is_living(&self, leg: LegId) -> bool {
        self.legs.contains_key(&leg)
    }

    pub(crate) fn living_legs(&self) -> usize {
        self.legs.len()
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// How legs ended, with how many did.
    pub(crate) fn ends(&self) -> Vec<(Cause, usize)> {
        let mut counts: FxHashMap<Cause, usize> = FxHashMap::default();
        for cause in self.ended.values() {
            *counts.entry(*cause).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(cause, _)| format!("{cause:?}"));
        counts
    }
}

/// Whether who takes part like this may hear that one, at most: whether he does also depends on who else is there.
pub(crate) fn may_hear(sink: (Part, Stance), source: (Part, Stance)) -> bool {
    let circle = |(part, stance): (Part, Stance)| match (part, stance) {
        (Part::Customer | Part::Agent | Part::Partner, Stance::Talk | Stance::Muted) => Some("call"),
        (Part::Agent | Part::Partner, Stance::Consult) => Some("consult"),
        _ => None,
    };
    let speaks = circle(source).is_some() && source.1 != Stance::Muted;
    let barges = source == (Part::Supervisor, Stance::Barge);
    match sink {
        (Part::Supervisor, Stance::Listen | Stance::Whisper | Stance::Barge) => speaks || barges,
        _ if circle(sink).is_none() => false,
        _ if barges => true,
        _ if source == (Part::Supervisor, Stance::Whisper) => sink.0 == Part::Agent,
        _ => speaks && circle(source) == circle(sink),
    }
}

/// Whether `seats[sink]` hears `seats[source]` when these, and nobody else, are in the room. A supervisor who listens or
/// whispers hears what some party hears, and who whispers the agent anyway.
pub(crate) fn must_hear(seats: &[(Part, Stance)], sink: usize, source: usize) -> bool {
    let ear = seats[sink];
    if sink == source || !may_hear(ear, seats[source]) {
        return false;
    }
    let silent =
        |(part, stance): (Part, Stance)| part == Part::Supervisor && matches!(stance, Stance::Listen | Stance::Whisper);
    let whispers_to = ear.1 == Stance::Whisper && seats[source].0 == Part::Agent;
    let others = seats.iter().enumerate().filter(|(place, _)| *place != source);
    let heard = others
        .filter(|(_, other)| !silent(**other))
        .any(|(_, other)| may_hear(*other, seats[source]));
    !silent(ear) || whispers_to || heard
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// FNV-1a: equal for equal bytes, and unlike often enough for others.
fn digest(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811C_9DC5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

// The shortest tag is ten bytes (RFC 3711 §4.2.1).
const _: () = assert!(MUSIC_BYTES_MAX < FIXED_BYTES + WORD_BYTES + 10);
