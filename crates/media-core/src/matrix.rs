//! Who hears whom: a pure function of parts and stances, default deny.
//!
//! It knows no packet, no address and no time, and nothing in it can be set one edge at a time: an edge exists only
//! because the rule below gave it.
//!
//! Invariant: no leg hears itself but one that tests its line, and nobody else hears that one; a leg without uplink is
//! heard by nobody.

use crate::limits::LEGS_PER_ROOM_MAX;
use crate::{LegId, RoomId};

/// What a participant is to the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The person who called.
    Customer,
    /// The agent who owns the contact.
    Agent,
    /// A colleague who is consulted.
    Partner,
    /// Somebody who may only listen unless a stance says more.
    Supervisor,
    /// A caller who tests his line: while he talks he hears himself, and nobody else hears him.
    Preflight,
}

/// How a leg takes part at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stance {
    /// Hears nobody and is heard by nobody.
    Waiting,
    /// Waits for an agent: hears the waiting music with its prompt and no person, and is heard by nobody. For customers
    /// alone.
    Queued,
    /// Is in the conversation: hears and is heard by every other leg that talks. Not for supervisors.
    Talk,
    /// Is in the conversation but not heard. Not for supervisors.
    Muted,
    /// Hears the music and no person, and is heard by nobody. Not for supervisors.
    Held,
    /// Agent and partner apart from the customer: hears and is heard by those who consult.
    Consult,
    /// A supervisor who hears every party that another party hears, and is heard by nobody.
    Listen,
    /// A supervisor who hears as one who listens, and the agent also while he has the customer on hold; heard by the
    /// agent alone.
    Whisper,
    /// A supervisor who hears all who speak and is heard by all but those on hold.
    Barge,
}

impl Stance {
    /// All of them, in the order of the text above.
    pub const ALL: [Stance; 9] = [
        Stance::Waiting,
        Stance::Queued,
        Stance::Talk,
        Stance::Muted,
        Stance::Held,
        Stance::Consult,
        Stance::Listen,
        Stance::Whisper,
        Stance::Barge,
    ];
}

/// Whether a room's audio goes to the recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tap {
    /// Never.
    Off,
    /// From the moment the room is live on.
    On,
    /// Stopped for now.
    Paused,
}

/// Who hears a tone of ours when a supervisor begins to take part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Announce {
    /// Nobody.
    #[default]
    Nobody,
    /// Agent and partner.
    Agents,
    /// They and the customer.
    All,
}

/// Whether the keys that somebody presses (telephone events, RFC 4733) go where his voice goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Shield {
    /// They do.
    #[default]
    Off,
    /// Nobody gets them, whoever hears the voice.
    On,
}

/// The whole of who takes part how in one room: never a delta. The highest epoch wins; the same one twice is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which room.
    pub room: RoomId,
    /// Grows with every change.
    pub epoch: u64,
    /// Legs that are not named wait. At most [`LEGS_PER_ROOM_MAX`]; legs may be named before they come.
    pub stances: Vec<(LegId, Stance)>,
    /// The tap for the whole room.
    pub tap: Tap,
    /// Who is told of supervisors.
    pub announce: Announce,
    /// Whether pressed keys are kept from everybody.
    pub shield: Shield,
}

/// Whether somebody is at the other end of a leg. No edge depends on it: the next packet of one who is away is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// It has no keys yet.
    Joining,
    /// It can hear and be heard.
    Here,
    /// Nothing has come from it for a while, though it was here.
    Away,
}

/// One taken place of a room, as far as the rule needs it.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    /// What the participant is.
    pub part: Part,
    /// How he takes part.
    pub stance: Stance,
    /// False: he has no microphone here.
    pub uplink: bool,
    /// Whether he is there.
    pub line: Line,
}

/// "Sink hears source" for the eight places of a room, as 8 × 8 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edges(u64);

impl Edges {
    /// Nobody hears anybody.
    pub const NONE: Edges = Edges(0);

    /// The places that hear `source`, one bit each.
    #[inline]
    #[must_use]
    pub const fn sinks(self, source: usize) -> u8 {
        (self.0 >> (8 * (source & 7))) as u8
    }

    /// The places that `sink` hears, one bit each.
    #[must_use]
    pub fn sources(self, sink: usize) -> u8 {
        places(|source| self.hears(sink, source))
    }

    /// True if `sink` hears `source`.
    #[must_use]
    pub const fn hears(self, sink: usize, source: usize) -> bool {
        self.sinks(source) >> (sink & 7) & 1 == 1
    }

    const fn with(self, sink: usize, source: usize) -> Edges {
        Edges(self.0 | 1 << (8 * (source & 7) + (sink & 7)))
    }
}

/// The rule. Empty places take no part, and a stance that does not become the part is as good as none.
///
/// First who hears whom among the parties, by the circle they are in; then the supervisors on top of that, so that
/// who listens hears exactly what some party hears.
#[must_use]
pub fn edges(seats: &[Option<Seat>; LEGS_PER_ROOM_MAX]) -> Edges {
    let roles = seats.map(|seat| seat.map_or(Role::NOBODY, Role::of));
    let spread = |base: Edges, rule: &dyn Fn(&Role, &Role, usize) -> bool| {
        let mut edges = base;
        for (source, speaker) in roles.iter().enumerate().filter(|(_, role)| role.speaks) {
            for (sink, listener) in roles.iter().enumerate() {
                if sink != source && rule(listener, speaker, source) {
                    edges = edges.with(sink, source);
                }
            }
        }
        edges
    };
    let among_parties = spread(Edges::NONE, &|sink, source, _| match (sink.kind, source.kind) {
        (Kind::Party(own), Kind::Party(other)) => own == other,
        (Kind::Party(_), Kind::Barge) | (Kind::Barge, Kind::Party(_) | Kind::Barge) => true,
        (Kind::Party(_), Kind::Whisper) => sink.agent,
        (
            Kind::Nobody
            | Kind::Queued
            | Kind::Held
            | Kind::Echo
            | Kind::Party(_)
            | Kind::Listen
            | Kind::Whisper
            | Kind::Barge,
            _,
        ) => false,
    });
    let all = spread(among_parties, &|sink, source, place| {
        // What is whispered is for the agent, whoever else listens.
        let open = source.kind != Kind::Whisper && among_parties.sinks(place) != 0;
        match sink.kind {
            Kind::Listen => open,
            Kind::Whisper => open || source.agent,
            Kind::Nobody | Kind::Queued | Kind::Held | Kind::Echo | Kind::Party(_) | Kind::Barge => false,
        }
    });
    let echoes = roles.iter().enumerate();
    let echoes = echoes.filter(|(_, role)| role.kind == Kind::Echo && role.speaks);
    echoes.fold(all, |edges, (place, _)| edges.with(place, place))
}

/// Whether the leg hears the music by the plan: it is on hold.
#[must_use]
pub fn hears_music(seat: &Seat) -> bool {
    Role::of(*seat).kind == Kind::Held
}

/// Whether the leg hears the waiting music by the plan: it waits for an agent.
#[must_use]
pub fn queues(seat: &Seat) -> bool {
    Role::of(*seat).kind == Kind::Queued
}

/// How the leg supervises, if it does by its part and has come.
#[must_use]
pub fn supervises(seat: &Seat) -> Option<Stance> {
    let kind = Role::of(*seat).kind;
    let supervises = matches!(kind, Kind::Listen | Kind::Whisper | Kind::Barge) && seat.line != Line::Joining;
    supervises.then_some(seat.stance)
}

/// Whether the leg is told of supervisors now: it is there, a party to the conversation and so heard by them. Who is on
/// hold or away is told when he is back.
#[must_use]
pub fn is_told(seat: &Seat, announce: Announce) -> bool {
    let meant = match (announce, seat.part) {
        (Announce::Nobody, _) | (_, Part::Supervisor | Part::Preflight) => false,
        (Announce::Agents, part) => matches!(part, Part::Agent | Part::Partner),
        (Announce::All, Part::Customer | Part::Agent | Part::Partner) => true,
    };
    meant && seat.line == Line::Here && circle(*seat).is_some()
}

/// The parties who hear the music because nobody is left to talk to, one bit each: everybody else in their conversation
/// is away, and nobody who is here speaks to them. It ends with the first who is back.
///
/// Who has not come yet is not away, and who is on hold hears the music by the plan.
#[must_use]
pub fn left_alone(seats: &[Option<Seat>; LEGS_PER_ROOM_MAX], edges: Edges) -> u8 {
    let away = places(|place| seats[place].is_some_and(|seat| seat.line == Line::Away));
    places(|place| {
        let others = company(seats, place);
        others != 0 && others & !away == 0 && edges.sources(place) & !away == 0
    })
}

/// The customers in whose conversation nobody is yet, or nobody any more: the agent's line is not up, or he was taken out
/// and the next one's is not. One bit each; it ends with the first whose line is up.
#[must_use]
pub fn unmet(seats: &[Option<Seat>; LEGS_PER_ROOM_MAX], edges: Edges) -> u8 {
    let here = places(|place| seats[place].is_some_and(|seat| seat.line == Line::Here));
    let customer = |seat: Seat| seat.part == Part::Customer && circle(seat).is_some();
    places(|place| seats[place].is_some_and(customer) && (company(seats, place) | edges.sources(place)) & here == 0)
}

/// Everybody else in the conversation of a party, one bit each.
fn company(seats: &[Option<Seat>; LEGS_PER_ROOM_MAX], place: usize) -> u8 {
    let own = seats[place].and_then(circle);
    places(|other| other != place && own.is_some() && seats[other].and_then(circle) == own)
}

/// Among whom a seat speaks, if it is a party to the conversation.
fn circle(seat: Seat) -> Option<Circle> {
    match Role::of(seat).kind {
        Kind::Party(circle) => Some(circle),
        Kind::Nobody | Kind::Queued | Kind::Held | Kind::Echo | Kind::Listen | Kind::Whisper | Kind::Barge => None,
    }
}

/// One bit for each place of a room that the rule picks.
fn places(rule: impl Fn(usize) -> bool) -> u8 {
    (0..LEGS_PER_ROOM_MAX)
        .filter(|&place| rule(place))
        .fold(0, |bits, place| bits | 1 << place)
}

/// Whether what the leg sends may be opened at all: the uplink of one who only listens is dropped as it comes.
#[must_use]
pub fn may_send(seat: &Seat) -> bool {
    seat.uplink && seat.stance != Stance::Listen
}

/// Whether what the leg says belongs to the call's own recording, once somebody hears it. An echo and what is whispered do
/// not.
#[must_use]
pub fn recorded(seat: &Seat) -> bool {
    !matches!(Role::of(*seat).kind, Kind::Echo | Kind::Whisper)
}

/// Whether silence of the leg is silence of the conversation: supervisors take part when they like.
#[must_use]
pub fn converses(seat: &Seat) -> bool {
    !matches!(Role::of(*seat).kind, Kind::Echo | Kind::Whisper | Kind::Barge)
}

/// Among whom a party speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Circle {
    Call,
    Consult,
}

/// What a seat amounts to once part and stance are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nobody,
    Queued,
    Held,
    Echo,
    Party(Circle),
    Listen,
    Whisper,
    Barge,
}

#[derive(Clone, Copy, Debug)]
struct Role {
    kind: Kind,
    speaks: bool,
    agent: bool,
}

impl Role {
    const NOBODY: Role = Role {
        kind: Kind::Nobody,
        speaks: false,
        agent: false,
    };

    const fn of(seat: Seat) -> Role {
        let kind = match (seat.part, seat.stance) {
            (_, Stance::Waiting) => Kind::Nobody,
            (Part::Preflight, Stance::Talk) => Kind::Echo,
            (
                Part::Preflight,
                Stance::Queued
                | Stance::Muted
                | Stance::Held
                | Stance::Consult
                | Stance::Listen
                | Stance::Whisper
                | Stance::Barge,
            ) => Kind::Nobody,
            (Part::Customer, Stance::Queued) => Kind::Queued,
            (Part::Supervisor, Stance::Listen) => Kind::Listen,
            (Part::Supervisor, Stance::Whisper) => Kind::Whisper,
            (Part::Supervisor, Stance::Barge) => Kind::Barge,
            (Part::Customer | Part::Agent | Part::Partner, Stance::Talk | Stance::Muted) => Kind::Party(Circle::Call),
            (Part::Customer | Part::Agent | Part::Partner, Stance::Held) => Kind::Held,
            (Part::Agent | Part::Partner, Stance::Consult) => Kind::Party(Circle::Consult),
            (Part::Supervisor, Stance::Talk | Stance::Muted | Stance::Held | Stance::Consult)
            | (Part::Agent | Part::Partner | Part::Supervisor, Stance::Queued)
            | (Part::Customer, Stance::Consult)
            | (Part::Customer | Part::Agent | Part::Partner, Stance::Listen | Stance::Whisper | Stance::Barge) => {
                Kind::Nobody
            }
        };
        let speaks = match kind {
            Kind::Party(_) => !matches!(seat.stance, Stance::Muted),
            Kind::Echo | Kind::Whisper | Kind::Barge => true,
            Kind::Nobody | Kind::Queued | Kind::Held | Kind::Listen => false,
        };
        Role {
            kind,
            speaks: speaks && seat.uplink,
            agent: matches!(seat.part, Part::Agent),
        }
    }
}

#[cfg(test)]
mod tests;
