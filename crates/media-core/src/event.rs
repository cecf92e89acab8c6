//! What a shard reports about rooms and legs: numbered per room, in the order in which it happened.
//!
//! Never holds an address, a key or a piece of SDP.
//!
//! Invariant: within a room the numbers are 1, 2, 3 …; a gap means that the caller let the queue overflow.

use crate::counters::Direction;
use crate::origin::Route;
use crate::{LegId, RoomId};

/// Why a leg ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The call was closed.
    HangUp,
    /// Nothing valid came for [`crate::limits::LEG_KEEP`].
    Lost,
    /// A newer leg took its place.
    Replaced,
    /// Removed by staff.
    Kicked,
    /// No valid connectivity check in time.
    IceTimeout,
    /// No finished handshake in time.
    DtlsTimeout,
    /// The certificate is not that of the offer.
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

/// A condition of the sound that somebody should see; raised and cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flag {
    /// Round trip above 400 ms in 3 of 5 seconds.
    HighRtt,
    /// Jitter above 30 ms in 3 of 5 seconds.
    HighJitter,
    /// Loss above 3 % in 3 of 5 seconds.
    HighLoss,
    /// Estimated opinion score below 3.5 in 3 of 5 seconds.
    LowMos,
    /// The level of the microphone did not change for 10 s.
    DeadMicrophone,
    /// Ten packets or more in a row did not come.
    LossBurst,
    /// Sound goes one way only: a listener's reports stand still while it is spoken to, or a leg was silent from its start.
    OneWay,
    /// Nobody of a conversation spoke for 15 s; a condition of the room.
    DeadAir,
    /// The level was at its limit in a share of 3 of 5 seconds: a hint, for nothing is decoded.
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
}

/// Totals of a leg, handed out once, with its end.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Audio packets that reached us.
    pub packets_received: u64,
    /// Audio packets that never came and that nothing repaired, in-band FEC included.
    pub packets_lost: u64,
    /// Audio packets that came because we asked for them, or whose audio came inside a later one; not among the lost.
    pub packets_repaired: u64,
    /// Audio packets sent to this leg.
    pub packets_sent: u64,
    /// Mean round trip in milliseconds; `None` when it was never measured.
    pub rtt_ms_mean: Option<f64>,
    /// Mean interarrival jitter of the uplink in milliseconds.
    pub jitter_ms_mean: f64,
    /// Mean opinion score of the uplink over voiced seconds, 1 to 4.5.
    pub mos_up: Option<f64>,
    /// The same for the downlink, by the receiver's reports.
    pub mos_down: Option<f64>,
    /// Loudest level of the uplink: 0 silence or never told, 127 full scale.
    pub level_max: u8,
    /// Whole seconds since the leg first had keys.
    pub seconds: u64,
    /// Over what it went last; `None` if it never had keys.
    pub route: Option<Route>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Keys are there for the first time.
    LegUp {
        /// Which leg.
        leg: LegId,
    },
    /// The first authenticated audio packet of a leg.
    FirstRtp {
        /// Which leg.
        leg: LegId,
    },
    /// A customer's and an agent's leg are up and the agent's first packet has come. Once per room; the tap begins
    /// with that very packet.
    RoomLive,
    /// Nothing authenticated for [`crate::limits::AWAY`], or the far end said good-bye. Its time is that of the last
    /// sign of life.
    LegAway {
        /// Which leg.
        leg: LegId,
    },
    /// An away leg is back, on its old transport or on a new one.
    LegBack {
        /// Which leg.
        leg: LegId,
    },
    /// Sending moved to another address of the leg.
    LegMigrated {
        /// Which leg.
        leg: LegId,
    },
    /// Over what the leg goes from now on: told with its first keys, and when it is another way than before.
    LegRoute {
        /// Which leg.
        leg: LegId,
        /// The way.
        route: Route,
    },
    /// No audio for [`crate::limits::UPLINK_STALL`] while the line lives. Reported anew after audio came back.
    UplinkStalled {
        /// Which leg.
        leg: LegId,
    },
    /// Audio comes again from a leg that was reported stalled.
    UplinkResumed {
        /// Which leg.
        leg: LegId,
    },
    /// A key was pressed (RFC 4733); never which.
    Dtmf {
        /// Whose.
        leg: LegId,
    },
    /// A condition of the sound began or ended.
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
    /// A supervisor has begun to take part, and these legs hear the tone that tells of it from now on.
    Announced {
        /// The supervisor's leg.
        supervisor: LegId,
        /// At least one, at most seven.
        heard_by: Vec<LegId>,
    },
    /// Whom a leg does not hear although the plan lets it: every stream that it negotiated carries somebody else. Told
    /// whenever that changes.
    Unheard {
        /// Which leg would hear.
        leg: LegId,
        /// At most seven; none: it hears everybody whom it may hear.
        voices: Vec<LegId>,
    },
    /// The leg is over; nothing more comes of it.
    LegDown {
        /// Which leg.
        leg: LegId,
        /// Why.
        cause: Cause,
        /// Its totals.
        summary: Summary,
    },
    /// The plan is in force from the next packet on.
    PlanApplied {
        /// Which plan.
        epoch: u64,
        /// Per leg the index of the last packet that still went by the plan before; at most eight.
        boundaries: Vec<(LegId, u64)>,
    },
}

/// One report.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Which room.
    pub room: RoomId,
    /// 1, 2, 3 … per room.
    pub seq: u64,
    /// When, by the shard's clock, nanoseconds.
    pub at: u64,
    /// What.
    pub kind: Kind,
}
