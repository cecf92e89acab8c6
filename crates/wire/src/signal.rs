//! The signalling protocol: an envelope each way, and the data of each type.
//!
//! Client: `{v:1, id, type, data}`. Server: `{v:1, seq, ts, type, data, ref?}`. `type` names the message; unknown types
//! get an `error` and do not end the session.

use uuid::Uuid;

use crate::{
    Time,
    call::{CallStarted, CallView, QueueSnapshot},
    leg::LegGrant,
    offer::{Offer, WrapUp},
    staff::{Me, PresenceStatus},
    wire,
};

/// Version of the envelope.
pub const VERSION: u8 = 1;

wire! {
    /// Every message of a client.
    pub struct ClientMessage {
        /// 1.
        pub v: u8,
        /// Chosen by the client; comes back as `ref`.
        #[serde(default)]
        pub id: String,
        /// Name of the message.
        #[serde(rename = "type")]
        pub kind: String,
        /// Its data.
        #[serde(default)]
        #[cfg_attr(test, ts(type = "unknown"))]
        #[cfg_attr(feature = "openapi", schema(value_type = Object))]
        pub data: serde_json::Value,
    }
}

wire! {
    /// Every message of the server.
    pub struct ServerMessage {
        /// 1.
        pub v: u8,
        /// Number within the session, from 1; 0 for replies that are not kept for a resume.
        #[cfg_attr(test, ts(type = "number"))]
        pub seq: u64,
        /// When it was sent.
        pub ts: Time,
        /// Name of the message.
        #[serde(rename = "type")]
        pub kind: String,
        /// Its data.
        #[cfg_attr(test, ts(type = "unknown"))]
        #[cfg_attr(feature = "openapi", schema(value_type = Object))]
        pub data: serde_json::Value,
        /// `id` of the client's message that it answers.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional = nullable))]
        pub reference: Option<String>,
    }
}

wire! {
    /// Where a session goes on.
    pub struct Resume {
        /// The session's secret, from `welcome`.
        pub session: String,
        /// Last `seq` that was seen.
        #[cfg_attr(test, ts(type = "number"))]
        pub last_seq: u64,
    }
}

wire! {
    /// First message of a client (`hello`). Without a token and a resume the staff cookie decides.
    pub struct Hello {
        /// Ticket, customer token or staff session token.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub token: Option<String>,
        /// An earlier session.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub resume: Option<Resume>,
    }
}

wire! {
    /// Everything a client needs to draw its page.
    pub struct Snapshot {
        /// The customer's live call, or the agent's.
        #[cfg_attr(test, ts(optional = nullable))]
        pub call: Option<CallView>,
        /// The agent's pending offer.
        #[cfg_attr(test, ts(optional = nullable))]
        pub offer: Option<Offer>,
        /// The agent's running wrap-up.
        #[cfg_attr(test, ts(optional = nullable))]
        pub wrap_up: Option<WrapUp>,
        /// The agent himself.
        #[cfg_attr(test, ts(optional = nullable))]
        pub me: Option<Me>,
        /// Waiting calls, for staff.
        #[cfg_attr(test, ts(optional = nullable))]
        pub queue: Option<QueueSnapshot>,
    }
}

wire! {
    /// Answer to `hello` (`welcome`); also sent after a gap (`snapshot`).
    pub struct Welcome {
        /// Secret to resume with, for `sessionStorage`.
        pub session: String,
        /// True when the earlier session goes on and missed messages follow.
        pub resumed: bool,
        /// The server's clock.
        pub server_time: Time,
        /// The state of things; absent when `resumed`.
        #[cfg_attr(test, ts(optional = nullable))]
        pub snapshot: Option<Snapshot>,
    }
}

wire! {
    /// Place in the queue (`queue.position`).
    pub struct QueuePosition {
        /// The call.
        pub call_id: Uuid,
        /// Place, 1 is next.
        pub position: u32,
        /// Expected wait in seconds.
        #[cfg_attr(test, ts(optional = nullable))]
        pub estimated_wait_seconds: Option<u32>,
    }
}

wire! {
    /// Answer to `call.start` (`call.started`), whose data are the body of `POST /api/support/call/start`: what that
    /// request replies.
    pub struct CallBegun {
        /// True for a new call, false for one that the customer had already: 201 and 200 of the request.
        pub created: bool,
        /// The reply.
        #[serde(flatten)]
        pub started: CallStarted,
    }
}

wire! {
    /// A call changed (`call.queued`, `call.ringing`, `call.accepted`, `call.answered`, `call.held`, `call.resumed`, `call.muted`,
    /// `call.unmuted`, `call.shielded`, `call.unshielded`, `call.consulting`, `call.consult_ended`, `call.transferred`,
    /// `call.taken_over`, `call.requeued`, `call.completed`, `call.abandoned`, `call.failed`; `call.changed` when somebody's
    /// line went or came back).
    pub struct CallChanged {
        /// The call as it is now.
        pub call: CallView,
    }
}

wire! {
    /// The agent's presence changed, by himself or by the server (`presence.changed`).
    pub struct PresenceChanged {
        /// Presence now.
        pub status: PresenceStatus,
        /// Why, when the server did it: `missed_offers`, `connection_lost`.
        #[cfg_attr(test, ts(optional = nullable))]
        pub reason: Option<String>,
    }
}

wire! {
    /// A leg may be attached (`leg.grant`): unasked once a call was accepted, and the answer to `leg.renew` and
    /// `call.supervise`.
    pub struct LegGranted {
        /// The grant.
        pub grant: LegGrant,
    }
}

wire! {
    /// Is the page awake (`probe.ping`, answered by `probe.pong` with the same data).
    pub struct Probe {
        /// Comes back unchanged.
        pub nonce: String,
    }
}

wire! {
    /// Something was refused (`error`).
    pub struct SignalError {
        /// Stable word.
        pub code: String,
        /// One sentence.
        pub message: String,
        /// Seconds after which asking again makes sense.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional = nullable))]
        pub retry_after_seconds: Option<u32>,
    }
}

wire! {
    /// `offer.accept`, `offer.reject`.
    pub struct OfferCommand {
        /// The offer.
        pub offer_id: Uuid,
    }
}

wire! {
    /// `call.hangup`, `call.hold`, `call.resume`, `call.mute`, `call.unmute`, `call.shield`, `call.unshield`, `call.consult`,
    /// `call.consult.complete`, `call.consult.merge`, `call.consult.cancel`, `call.supervise`, `call.supervise.end` (beside
    /// the bodies of the requests of the same names), `wrapup.end`, `wrapup.extend`. `docs/websocket.md` has them all.
    pub struct CallCommand {
        /// The call.
        pub call_id: Uuid,
    }
}
