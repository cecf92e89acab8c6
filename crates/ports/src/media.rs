//! What the desk, the signalling and the API ask of media, and what media reports.

use call_model::{CallId, LegId, RecordingId};
use std::fmt;

use crate::load::{Draining, Load, Rooms};
use crate::relay::Route;
use crate::{Author, Later, Plan, Secret, Thresholds};

/// What a participant is to the call; decides, with the stances, who hears whom.
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
    /// A caller who tests his line against an echo.
    Preflight,
}

/// Whether redundant audio (RED, RFC 2198) is negotiated for a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Red {
    /// Never.
    Off,
    /// Accepted behind plain Opus.
    Offer,
    /// Put before plain Opus, for lossy paths.
    Prefer,
}

/// The right to attach one leg, made by the desk before the browser hears of it.
#[derive(Clone, Debug)]
pub struct LegGrant {
    /// Bearer secret; a renewed grant for the same leg replaces the older one when it is first used.
    pub secret: Secret,
    /// Which leg (`call_legs.id`).
    pub leg: LegId,
    /// Which room (`voice_calls.id`).
    pub room: CallId,
    /// What the participant is.
    pub part: Part,
    /// False: packets from this leg are dropped before they are opened.
    pub uplink: bool,
    /// Redundant audio.
    pub red: Red,
    /// Seconds until the first offer must have come; afterwards the grant lives as long as its leg.
    pub first_offer_s: u32,
}

/// Seconds from a leg's first offer to its first valid connectivity check; without one media ends the leg then.
pub const ICE_LIMIT_S: u32 = 15;
/// Seconds from that check to the leg's keys; without them media ends it then.
pub const DTLS_LIMIT_S: u32 = 10;

/// An SDP document. Not printable: it carries addresses and keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Sdp(pub String);

impl fmt::Debug for Sdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sdp({} bytes)", self.0.len())
    }
}

/// Media's reply to an offer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The leg that the grant named.
    pub leg: LegId,
    /// The answer, complete: a lite agent needs no trickling.
    pub sdp: Sdp,
}

/// What a failing recorder means for the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The call goes on unrecorded, marked so.
    Optional,
    /// The call must not be taken without a recorder.
    Required,
}

/// Orders to the recorder of one room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordCommand {
    /// Recording `recording` begins as soon as the room is live.
    Start {
        /// The row's id; the same id twice is one recording.
        recording: RecordingId,
        /// What a failing recorder means.
        policy: Policy,
        /// Left channel first: `true` puts the customer left, the default.
        customer_left: bool,
    },
    /// No further packet is taken; the recording is finished.
    Stop,
}

/// Why a leg ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The desk closed the call.
    HangUp,
    /// Nothing valid came for longer than the leg is kept.
    Lost,
    /// A newer transport or leg took its place.
    Replaced,
    /// Removed by staff.
    Kicked,
    /// No valid connectivity check within the limit.
    IceTimeout,
    /// No finished DTLS handshake within the limit.
    DtlsTimeout,
    /// The certificate was not the one of the offer.
    Fingerprint,
    /// The handshake failed otherwise.
    DtlsFailed,
    /// A named limit was passed.
    Limit,
    /// The node is being emptied.
    Drain,
    /// A defect of ours, contained to this leg.
    Panic,
}

impl Cause {
    /// Stable word for metrics, database and API.
    pub const fn word(self) -> &'static str {
        match self {
            Cause::HangUp => "hangup",
            Cause::Lost => "lost",
            Cause::Replaced => "replaced",
            Cause::Kicked => "kicked",
            Cause::IceTimeout => "ice_timeout",
            Cause::DtlsTimeout => "dtls_timeout",
            Cause::Fingerprint => "fingerprint",
            Cause::DtlsFailed => "dtls_failed",
            Cause::Limit => "limit",
            Cause::Drain => "drain",
            Cause::Panic => "panic",
        }
    }
}

/// Why media said no. The word is stable; the text is for a developer's eyes and holds nothing of the input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No grant with this secret, or it has run out.
    #[error("the leg grant is unknown or expired")]
    UnknownGrant,
    /// The SDP was refused; `reason` is a stable word such as `offer_without_opus`.
    #[error("the offer was refused: {reason}")]
    BadOffer {
        /// Stable snake_case word.
        reason: &'static str,
    },
    /// The leg of this grant has had no offer yet.
    #[error("no offer was made under this grant")]
    NoSession,
    /// The node takes no new rooms now.
    #[error("media is full; try again in {retry_after_s} s")]
    Full {
        /// Seconds after which asking again makes sense.
        retry_after_s: u32,
    },
    /// The node is being emptied.
    #[error("this node is draining")]
    Draining,
    /// A named limit, such as `legs_per_room`.
    #[error("limit reached: {0}")]
    Limit(&'static str),
    /// Media is shutting down or a part of it does not answer.
    #[error("media does not answer")]
    Unavailable,
}

impl Refusal {
    /// Stable word for metrics and API.
    pub const fn word(&self) -> &'static str {
        match self {
            Refusal::UnknownGrant => "unknown_grant",
            Refusal::BadOffer { reason } => reason,
            Refusal::NoSession => "no_session",
            Refusal::Full { .. } => "media_full",
            Refusal::Draining => "draining",
            Refusal::Limit(word) => word,
            Refusal::Unavailable => "media_unavailable",
        }
    }
}

/// Which way sound goes, seen from the leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// What it sends.
    Up,
    /// What it hears.
    Down,
}

impl Direction {
    /// Stable word for events and API.
    pub const fn word(self) -> &'static str {
        match self {
            Direction::Up => "up",
            Direction::Down => "down",
        }
    }
}

/// A condition of the sound that somebody should see; raised and cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flag {
    /// Round trip above its threshold in 3 of 5 seconds.
    HighRtt,
    /// Jitter above its threshold in 3 of 5 seconds.
    HighJitter,
    /// Loss above its threshold.
    HighLoss,
    /// Estimated opinion score below its threshold in 3 of 5 seconds.
    LowMos,
    /// A constant level from the microphone.
    DeadMicrophone,
    /// Many packets in a row did not come.
    LossBurst,
    /// Sound goes one way only.
    OneWay,
    /// Nobody of a conversation speaks; of the room.
    DeadAir,
    /// The level is at its limit: a hint, for nothing is decoded.
    Clipping,
}

impl Flag {
    /// All of them.
    pub const ALL: [Flag; 9] = [
        Flag::HighRtt,
        Flag::HighJitter,
        Flag::HighLoss,
        Flag::LowMos,
        Flag::DeadMicrophone,
        Flag::LossBurst,
        Flag::OneWay,
        Flag::DeadAir,
        Flag::Clipping,
    ];

    /// Stable word for events and API.
    pub const fn word(self) -> &'static str {
        match self {
            Flag::HighRtt => "high_rtt",
            Flag::HighJitter => "high_jitter",
            Flag::HighLoss => "high_loss",
            Flag::LowMos => "low_mos",
            Flag::DeadMicrophone => "dead_microphone",
            Flag::LossBurst => "loss_burst",
            Flag::OneWay => "one_way",
            Flag::DeadAir => "dead_air",
            Flag::Clipping => "clipping",
        }
    }
}

/// A set of conditions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// The set and this one.
    #[must_use]
    pub const fn with(self, flag: Flag) -> Flags {
        Flags(self.0 | 1 << flag as u16)
    }

    /// What is in either.
    #[must_use]
    pub const fn or(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// What is in it, in the order of [`Flag::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Flag> {
        Flag::ALL
            .into_iter()
            .filter(move |flag| self.0 >> *flag as u16 & 1 == 1)
    }
}

/// Totals of one leg's uplink and downlink, sent once when the leg ends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LegSummary {
    /// Packets that reached us.
    pub packets_received: u64,
    /// Packets that never came.
    pub packets_lost: u64,
    /// Packets sent to this leg.
    pub packets_sent: u64,
    /// Mean round trip in milliseconds; `None` when it was never measured.
    pub rtt_ms_mean: Option<f64>,
    /// Mean interarrival jitter of the uplink in milliseconds.
    pub jitter_ms_mean: f64,
    /// Mean opinion score of the uplink over voiced seconds, 1 to 4.5; `None` without one.
    pub mos_up: Option<f64>,
    /// The same for the downlink, by the receiver's reports.
    pub mos_down: Option<f64>,
    /// Loudest level of the uplink: 0 silence or never told, 127 full scale (RFC 6464 turned round).
    pub level_max: u8,
    /// Seconds the leg was up.
    pub seconds: u64,
    /// The way that its media went last; `None` for a leg that never had one.
    pub route: Option<Route>,
}

/// What media reports. Numbered per room, kept until acknowledged, idempotent at the desk.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// Keys are there; the leg can hear and be heard.
    LegUp {
        /// Which leg.
        leg: LegId,
    },
    /// The first authenticated audio packet of a leg.
    FirstRtp {
        /// Which leg.
        leg: LegId,
    },
    /// A customer's leg and an agent's leg are both up and the agent's first packet has come. Once per room.
    RoomLive,
    /// Nothing authenticated for the `Away` limit, or the far end said good-bye.
    LegAway {
        /// Which leg.
        leg: LegId,
    },
    /// An away leg is back.
    LegBack {
        /// Which leg.
        leg: LegId,
    },
    /// The leg's address changed.
    LegMigrated {
        /// Which leg.
        leg: LegId,
    },
    /// Over what the leg's media goes from now on: told with its first keys, and again when it changes.
    LegRoute {
        /// Which leg.
        leg: LegId,
        /// The way.
        route: Route,
    },
    /// No audio for 5 s while the line itself lives: a dead microphone.
    UplinkStalled {
        /// Which leg.
        leg: LegId,
    },
    /// Audio comes again from a leg of which that was told.
    UplinkResumed {
        /// Which leg.
        leg: LegId,
    },
    /// A key was pressed; never which: digits are told nobody and kept nowhere.
    Dtmf {
        /// Whose.
        leg: LegId,
    },
    /// A supervisor has begun to take part, and these legs hear the tone that tells of it.
    Announced {
        /// The supervisor's leg.
        supervisor: LegId,
        /// At least one, at most seven.
        heard_by: Vec<LegId>,
    },
    /// Whom a leg does not hear although the plan lets it: every stream that its client offered carries somebody else.
    /// Told whenever that changes.
    Unheard {
        /// Which leg would hear.
        leg: LegId,
        /// At most seven; none: it hears everybody whom it may hear.
        voices: Vec<LegId>,
    },
    /// The leg is over.
    LegDown {
        /// Which leg.
        leg: LegId,
        /// Why.
        cause: Cause,
        /// Its totals.
        summary: LegSummary,
    },
    /// The plan with this epoch is in force.
    PlanApplied {
        /// Which plan.
        epoch: u64,
    },
    /// A condition began or ended.
    Quality {
        /// Which leg; `None` for a condition of the room.
        leg: Option<LegId>,
        /// Which condition.
        flag: Flag,
        /// In which direction it shows; `None` where both are one.
        direction: Option<Direction>,
        /// True when it began.
        raised: bool,
    },
    /// The recorder lost packets of this room; the recording has a hole.
    RecordingDegraded {
        /// Packets lost so far.
        packets: u64,
    },
}

/// One report of media.
#[derive(Clone, Debug, PartialEq)]
pub struct MediaEvent {
    /// Which room.
    pub room: CallId,
    /// 1, 2, 3 … without gaps per room and node epoch.
    pub seq: u64,
    /// The node's epoch when it was made; an older one is fenced by the desk.
    pub node_epoch: u64,
    /// Milliseconds between the fact and this delivery; counted anew at each delivery.
    pub age_ms: u64,
    /// What happened.
    pub kind: EventKind,
}

/// The last second of what a leg was sent, by the receiver's own reports.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DownlinkSecond {
    /// Lost share, 0 to 1.
    pub loss: f32,
    /// Jitter in milliseconds.
    pub jitter_ms: f32,
    /// Estimated opinion score, 1 to 4.5.
    pub mos: f32,
}

/// The last second of a leg, for live views; lossy, never stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LegSnapshot {
    /// Which leg.
    pub leg: LegId,
    /// What it is.
    pub part: Part,
    /// True while it is up and not away.
    pub up: bool,
    /// Lost share of the uplink, 0 to 1.
    pub loss: f32,
    /// Jitter in milliseconds.
    pub jitter_ms: f32,
    /// Round trip in milliseconds, when measured.
    pub rtt_ms: Option<f32>,
    /// Estimated opinion score of the uplink, 1 to 4.5.
    pub mos: f32,
    /// Loudest level of the second: 0 silence to 127 full scale (RFC 6464 turned round).
    pub level: u8,
    /// It speaks, by its levels (RFC 6464), with the pauses between words.
    pub speaking: bool,
    /// Conditions that hold in either direction; those of the room are not among them.
    pub flags: Flags,
    /// What this leg hears, once its reports have come.
    pub down: Option<DownlinkSecond>,
    /// Estimated opinion score of how this leg hears the others, over both hops: the loss and the delay of the way from the
    /// speaker to us and from us to here. Of several speakers the worst; `None` while no other hop is measured.
    pub mos_end_to_end: Option<f32>,
    /// Over what its media goes; `None` until it is known.
    pub route: Option<Route>,
}

/// The last second of a room.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoomSnapshot {
    /// Its legs.
    pub legs: Vec<LegSnapshot>,
}

/// The media plane, as everybody else sees it.
///
/// Requests are answered from the asynchronous side and never wait for a shard's packet work. Events are pulled:
/// [`Media::outstanding`] shows what is not yet acknowledged, [`Media::changed`] waits for more.
pub trait Media: Send + Sync + 'static {
    /// Makes a leg known. Must come before the browser hears of the grant.
    ///
    /// # Errors
    /// `Full`, `Draining`, `Limit("legs_per_room")`, `Unavailable`.
    fn admit(&self, grant: LegGrant) -> Later<'_, Result<(), Refusal>>;

    /// Answers an offer under a grant. A second offer for a living leg attaches a new transport to it.
    ///
    /// # Errors
    /// `UnknownGrant`, `BadOffer`, `Unavailable`.
    fn offer(&self, secret: Secret, sdp: Sdp) -> Later<'_, Result<Answer, Refusal>>;

    /// Answers the offer of a client that only speaks (RFC 9725): whole or not at all, and nothing is sent to it.
    ///
    /// # Errors
    /// As [`Media::offer`], and `BadOffer` for what could be taken in part only.
    fn ingest(&self, secret: Secret, sdp: Sdp) -> Later<'_, Result<Answer, Refusal>>;

    /// The name of the ICE session that a leg has now; a new one with each offer and restart that was answered.
    ///
    /// # Errors
    /// `UnknownGrant`; `NoSession` before the first offer.
    fn ice_session(&self, secret: &Secret) -> Result<String, Refusal>;

    /// Counts what a fragment trickles (RFC 8840).
    ///
    /// # Errors
    /// `UnknownGrant`, `NoSession`, `BadOffer`.
    fn trickle(&self, secret: Secret, fragment: Sdp) -> Result<(), Refusal>;

    /// ICE restart by a fragment (RFC 8840) with the client's new credentials; gives the fragment with ours.
    ///
    /// # Errors
    /// As [`Media::trickle`], `Unavailable`; the leg goes on with its old credentials when it fails.
    fn restart_ice(&self, secret: Secret, fragment: Sdp) -> Later<'_, Result<Sdp, Refusal>>;

    /// ICE restart: new credentials, same association and keys.
    ///
    /// # Errors
    /// As [`Media::offer`]; the leg goes on with its old credentials when it fails.
    fn restart(&self, secret: Secret, sdp: Sdp) -> Later<'_, Result<Answer, Refusal>>;

    /// Counts a trickled candidate; a lite agent learns addresses from checks (RFC 8445 §2.5).
    ///
    /// # Errors
    /// `UnknownGrant`.
    fn candidate(&self, secret: Secret, candidate: &str) -> Result<(), Refusal>;

    /// Ends the leg of a grant, as the client itself asks.
    ///
    /// # Errors
    /// `UnknownGrant`.
    fn leave(&self, secret: Secret) -> Result<(), Refusal>;

    /// Puts a plan in force.
    fn plan(&self, plan: Plan);

    /// The same, with who wants what is new in it. A plane that writes nothing down need not care.
    fn plan_by(&self, plan: Plan, _author: Author) {
        self.plan(plan);
    }

    /// A participant is something else to the call from now on: a colleague who takes it over. His leg goes on. A plane
    /// without legs need not care.
    fn change_part(&self, _leg: LegId, _part: Part, _author: Author) {}

    /// From where on sound counts as bad, for every call from its next second on. A plane without sound need not care.
    fn set_thresholds(&self, _thresholds: Thresholds) {}

    /// Commands the recorder.
    fn record(&self, room: CallId, command: RecordCommand);

    /// Ends one leg.
    fn close_leg(&self, leg: LegId, cause: Cause);

    /// Ends a room with all its legs and finishes its recording.
    fn close_room(&self, room: CallId, cause: Cause);

    /// Up to `max` events that are not yet acknowledged: oldest first, in order within a room.
    fn outstanding(&self, max: usize) -> Vec<MediaEvent>;

    /// Waits until an event was added since the last call.
    fn changed(&self) -> Later<'_, ()>;

    /// The desk has applied every event of `room` up to `seq`, or has fenced the room.
    fn acknowledge(&self, room: CallId, seq: u64);

    /// The last second of a room; `None` when no such room lives here.
    fn snapshot(&self, room: CallId) -> Option<RoomSnapshot>;

    /// How full the node is.
    fn load(&self) -> Load;

    /// The rooms that live, whether the node is being emptied or not. A plane without rooms has none.
    fn rooms(&self) -> Rooms {
        Rooms::default()
    }

    /// Empties the node: the desk begins no call here any more, those that live go on, and at the deadline, `limit_s`
    /// seconds from now, what is left is closed with [`Cause::Drain`]. Again: another deadline. `None` undoes it.
    fn drain(&self, limit_s: Option<u64>);

    /// How far that is; `None` while the node serves.
    fn draining(&self) -> Option<Draining>;

    /// False when a thread of media has stood still for seconds, which only a restart mends.
    fn alive(&self) -> bool;
}
