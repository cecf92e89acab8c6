//! Who stands around a shard and sees all that comes out of it: to whom, under which keys, and whose voice it is.
//!
//! It shares no code with what it judges: who hears whom stands here once more, in the words of the stances, for the four
//! parts of a script.
//!
//! Invariant: of a leg or transport that has ended it knows nothing but that it may be sent nothing.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use media_core::event::{Event, Kind};
use media_core::matrix::{Stance, Tap};
use media_core::rtp::Header;
use media_core::shard::Ended;
use media_core::srtp::Keys;
use media_core::{LegId, TransportId, rtcp};
use stun::{Class, Key, Message, attribute};

use crate::bed::{Client, Sent, Taped};

/// Places of a script, each with its part.
pub(super) const CUSTOMER: usize = 0;
pub(super) const AGENT: usize = 1;
pub(super) const SUPERVISOR: usize = 2;
pub(super) const PREFLIGHT: usize = 3;
pub(super) const PLACES: usize = 4;

/// What made the shard send.
#[derive(Clone, Copy)]
pub(super) enum Cause<'a> {
    /// A datagram from where this client is.
    From(usize, &'a Client),
    /// A datagram of a stranger, or a command.
    Nobody,
    /// Timers.
    Time,
}

/// Whose sound it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sound {
    Voice(usize),
    Music,
}

/// One packet that nobody was sent before.
pub(super) struct Fresh {
    pub(super) to: usize,
    pub(super) header: Header,
    pub(super) payload: Vec<u8>,
}

/// A living transport.
struct Known {
    place: usize,
    /// Another transport has taken an address of it over, perhaps the one it is sent to: nothing is sent until its next
    /// check.
    robbed: bool,
    keys: Option<Keys>,
    /// (SSRC, index) of what was sent under the keys.
    used: HashSet<(u32, u64)>,
    /// Every packet as it was sent: what is sent again is one of them.
    sent: HashMap<Vec<u8>, Sound>,
}

/// Whether somebody is there, as events tell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    /// There is no such leg.
    None,
    Joining,
    Here,
    Away,
}

/// See the top of this file.
pub(super) struct Witness {
    legs: [LegId; PLACES],
    lines: [Line; PLACES],
    stances: [Stance; PLACES],
    tap: Tap,
    transports: HashMap<TransportId, Known>,
    /// Our user name fragments, current ones only.
    ufrags: HashMap<String, TransportId>,
    /// Whose an address is: by the last check from there that was answered.
    owners: HashMap<SocketAddr, TransportId>,
    /// Legs that ended since the last look.
    gone: Vec<usize>,
}

impl Witness {
    pub(super) fn new(clients: &[Client]) -> Witness {
        Witness {
            legs: std::array::from_fn(|place| clients[place].leg),
            lines: [Line::None; PLACES],
            stances: [Stance::Waiting; PLACES],
            tap: Tap::Off,
            transports: HashMap::new(),
            ufrags: HashMap::new(),
            owners: HashMap::new(),
            gone: Vec::new(),
        }
    }

    /// The shard has taken a new leg.
    pub(super) fn added(&mut self, place: usize, client: &Client) {
        assert!(self.lines[place] == Line::None, "a leg is added once");
        self.lines[place] = Line::Joining;
        self.attached(place, client);
    }

    /// The shard has taken a transport.
    pub(super) fn attached(&mut self, place: usize, client: &Client) {
        let fresh = Known {
            place,
            robbed: false,
            keys: None,
            used: HashSet::new(),
            sent: HashMap::new(),
        };
        self.transports.insert(client.transport, fresh);
        self.restarted(client);
    }

    /// The shard has taken new credentials.
    pub(super) fn restarted(&mut self, client: &Client) {
        self.ufrags.insert(client.local_ufrag(), client.transport);
    }

    /// The shard has been given the client's keys. The first are those that stay.
    pub(super) fn keyed(&mut self, client: &Client) {
        if let Some(known) = self.transports.get_mut(&client.transport) {
            known.keys.get_or_insert_with(|| client.fresh_keys());
        }
    }

    pub(super) fn planned(&mut self, stances: [Stance; PLACES], tap: Tap) {
        (self.stances, self.tap) = (stances, tap);
    }

    /// An event; what ends is forgotten by [`Witness::bury`], for it may have been sent something before.
    pub(super) fn event(&mut self, event: &Event) {
        let line = match &event.kind {
            Kind::LegUp { leg } | Kind::LegBack { leg } => (*leg, Line::Here),
            Kind::LegAway { leg } => (*leg, Line::Away),
            Kind::LegDown { leg, .. } => (*leg, Line::None),
            _ => return,
        };
        let place = self.legs.iter().position(|leg| *leg == line.0);
        let place = place.expect("an event is about a leg of the script");
        self.lines[place] = line.1;
        if line.1 == Line::None {
            self.gone.push(place);
        }
    }

    /// Forgets what has ended.
    pub(super) fn bury(&mut self, ended: impl Iterator<Item = Ended>) {
        let before = self.transports.len();
        for ended in ended {
            self.transports.remove(&ended.transport);
        }
        for gone in std::mem::take(&mut self.gone) {
            self.transports.retain(|_, known| known.place != gone);
        }
        if self.transports.len() == before {
            return;
        }
        self.owners.retain(|_, owner| self.transports.contains_key(owner));
        self.ufrags.retain(|_, owner| self.transports.contains_key(owner));
    }

    /// What the shard sent for this cause. Returns what was not sent before.
    ///
    /// # Panics
    /// If it goes to an address that passed no check, does not open, is under a used nonce, or is not for these ears.
    pub(super) fn judge(&mut self, cause: Cause<'_>, sent: &[Sent]) -> Vec<Fresh> {
        let answers = sent.iter().filter(|sent| matches!(sent.bytes[..], [0..=3, ..]));
        assert!(answers.count() <= 1, "one check has one answer");
        let mut fresh = Vec::new();
        for sent in sent {
            match sent.bytes[..] {
                [0..=3, ..] => self.answer(cause, sent),
                [128..=191, 192..=223, ..] => self.report(sent),
                [128..=191, ..] => fresh.extend(self.packet(cause, sent)),
                _ => panic!("{:02x?} is of no protocol that is spoken here", sent.bytes),
            }
        }
        fresh
    }

    fn answer(&mut self, cause: Cause<'_>, sent: &Sent) {
        let Cause::From(_, client) = cause else {
            panic!("an answer to {} that nobody asked for", sent.to);
        };
        assert_eq!(sent.to, client.address, "who has asked is answered");
        let message = Message::parse(&sent.bytes).expect("an answer is well formed");
        if message.class() != Class::Success {
            assert_eq!(message.class(), Class::Error);
            return;
        }
        assert!(message.verify(&mut Key::new(client.local_pwd().as_bytes())));
        assert_eq!(message.xor_address(attribute::XOR_MAPPED_ADDRESS), Some(client.address));
        let owner = self.ufrags.get(&client.local_ufrag());
        let owner = *owner.expect("credentials that nobody has are not answered");
        let before = self.owners.insert(sent.to, owner).filter(|before| *before != owner);
        if let Some(robbed) = before.and_then(|before| self.transports.get_mut(&before)) {
            robbed.robbed = true;
        }
        let known = self
            .transports
            .get_mut(&owner)
            .expect("credentials are of a living transport");
        known.robbed = false;
    }

    /// Whose the address is.
    fn owner(&mut self, sent: &Sent) -> &mut Known {
        let owner = self.owners.get(&sent.to).and_then(|id| self.transports.get_mut(id));
        owner.unwrap_or_else(|| {
            panic!(
                "{} passed no check, or is over, and is sent {:02x?}",
                sent.to, sent.bytes
            )
        })
    }

    fn report(&mut self, sent: &Sent) {
        let mut bytes = sent.bytes.clone();
        let keys = self.owner(sent).keys.as_mut().expect("without keys nothing is sent");
        // A number that was used before is a replay to whoever opens it.
        let len = keys.inbound.open_rtcp(&mut bytes).expect("a report opens, once");
        assert!(rtcp::parse(&bytes[..len]).is_ok(), "a compound: {:02x?}", &bytes[..len]);
    }

    fn packet(&mut self, cause: Cause<'_>, sent: &Sent) -> Option<Fresh> {
        let known = self.owner(sent);
        let to = known.place;
        if let Some(sound) = known.sent.get(&sent.bytes).copied() {
            assert!(
                matches!(cause, Cause::From(asking, _) if asking == to),
                "only who asks is sent something again"
            );
            assert!(self.may_reach(to, sound), "{sound:?} may not be heard by {to} any more");
            return None;
        }
        let mut plain = sent.bytes.clone();
        let keys = known.keys.as_mut().expect("without keys nothing is sent");
        let opened = keys.inbound.open_rtp(&mut plain);
        let opened = opened.unwrap_or_else(|why| panic!("a packet for {to} does not open: {why:?}"));
        let number = (opened.header.ssrc, opened.index);
        assert!(known.used.insert(number), "{number:?} is of two packets");
        let sound = match cause {
            Cause::From(speaker, _) => Sound::Voice(speaker),
            Cause::Time => Sound::Music,
            Cause::Nobody => panic!("a packet for {to} that nobody caused"),
        };
        known.sent.insert(sent.bytes.clone(), sound);
        assert!(self.may_reach(to, sound), "{to} may not hear {sound:?}");
        let payload = opened.header.payload(&plain[..opened.len]).expect("padding that fits");
        Some(Fresh {
            to,
            header: opened.header,
            payload: plain[payload].to_vec(),
        })
    }

    /// What went to the recorder for a datagram of this cause.
    pub(super) fn taped(&self, cause: Cause<'_>, records: &[Taped]) {
        for record in records {
            assert_eq!(self.tap, Tap::On, "nothing is taped by this plan");
            assert!(
                matches!(cause, Cause::From(_, client) if client.tap == record.leg),
                "who is taped is who speaks"
            );
        }
    }

    fn may_reach(&self, to: usize, sound: Sound) -> bool {
        match sound {
            Sound::Voice(speaker) => self.hears(to, speaker),
            Sound::Music => self.may_hear_music(to),
        }
    }

    fn is_in(&self, place: usize) -> bool {
        self.lines[place] != Line::None
    }

    /// A party of the conversation.
    fn converses(&self, place: usize) -> bool {
        let party = matches!(place, CUSTOMER | AGENT) && self.is_in(place);
        party && matches!(self.stances[place], Stance::Talk | Stance::Muted)
    }

    /// How the supervisor takes part, if he is in.
    fn supervises(&self) -> Option<Stance> {
        self.is_in(SUPERVISOR).then_some(self.stances[SUPERVISOR])
    }

    /// Who hears whom: the text of `Stance`, for one leg of each part.
    pub(super) fn hears(&self, sink: usize, source: usize) -> bool {
        let talks = |place: usize| self.converses(place) && self.stances[place] == Stance::Talk;
        let heard_by_a_party =
            |place: usize| talks(place) && (CUSTOMER..=AGENT).any(|other| other != place && self.converses(other));
        match (sink, source) {
            (PREFLIGHT, PREFLIGHT) => self.is_in(PREFLIGHT) && self.stances[PREFLIGHT] == Stance::Talk,
            (PREFLIGHT, _) | (_, PREFLIGHT) => false,
            (SUPERVISOR, SUPERVISOR) => false,
            (SUPERVISOR, source) => match self.supervises() {
                Some(Stance::Barge) => talks(source),
                Some(Stance::Listen) => heard_by_a_party(source),
                Some(Stance::Whisper) => heard_by_a_party(source) || source == AGENT && talks(AGENT),
                _ => false,
            },
            (sink, SUPERVISOR) => match self.supervises() {
                Some(Stance::Barge) => self.converses(sink),
                Some(Stance::Whisper) => sink == AGENT && self.converses(sink),
                _ => false,
            },
            (sink, source) => sink != source && self.converses(sink) && talks(source),
        }
    }

    /// Who is on hold, and who has nobody to talk to: a customer whose agent is not there, an agent whose customer is away.
    fn may_hear_music(&self, place: usize) -> bool {
        if !matches!(place, CUSTOMER | AGENT) {
            return false;
        }
        let speaks_to = |line: &dyn Fn(Line) -> bool| line(self.lines[SUPERVISOR]) && self.hears(place, SUPERVISOR);
        match (self.stances[place], place) {
            (Stance::Held, _) => true,
            (_, CUSTOMER) => {
                let agent = self.converses(AGENT) && self.lines[AGENT] == Line::Here;
                self.converses(CUSTOMER) && !agent && !speaks_to(&|line| line == Line::Here)
            }
            _ => {
                let away = self.converses(CUSTOMER) && self.lines[CUSTOMER] == Line::Away;
                self.converses(AGENT) && away && !speaks_to(&|line| line != Line::Away)
            }
        }
    }

    /// Whether the leg is on hold by the plan and can be sent music.
    pub(super) fn is_played_to(&self, place: usize) -> bool {
        matches!(place, CUSTOMER | AGENT) && self.stances[place] == Stance::Held && self.is_reached(place)
    }

    /// The legs that hear this one and can certainly be sent something, one bit each.
    pub(super) fn audience(&self, speaker: usize) -> u8 {
        let hears = |place: &usize| self.hears(*place, speaker) && self.is_reached(*place);
        (0..PLACES).filter(hears).fold(0, |bits, place| bits | 1 << place)
    }

    /// Whether the transport in use, which is the one with keys, has an address that proved itself.
    fn is_reached(&self, place: usize) -> bool {
        let mut owners = self.owners.values().filter_map(|owner| self.transports.get(owner));
        owners.any(|known| known.place == place && known.keys.is_some() && !known.robbed)
    }
}
