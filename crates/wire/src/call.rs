//! Calls as the API and the consoles see them.

use uuid::Uuid;

use crate::{
    Time,
    leg::{IceServer, LegLine, Part},
    quality::LegQuality,
    wire,
};

wire! {
    /// Where a call stands (`voice_calls.status`).
    pub enum CallStatus {
        /// Made, waiting for consent or media before it may queue.
        Initiated,
        /// Waiting for an agent.
        Queued,
        /// An agent is asked.
        Ringing,
        /// Accepted; the sound is being set up.
        Connecting,
        /// Two-way sound.
        Answered,
        /// Ended after it was answered.
        Completed,
        /// Ended before it was answered.
        Abandoned,
        /// Ended by a fault.
        Failed,
    }
}

wire! {
    /// Body of `POST /api/support/call/start`, as the integration guide has it.
    pub struct CallStart {
        /// The token's subject; refused when it is another.
        pub user_id: String,
        /// Shown to the agent.
        #[serde(default)]
        pub customer_email: String,
        /// Shown to the agent.
        #[serde(default)]
        pub customer_name: String,
        /// `voice`, the only type.
        #[serde(default = "voice")]
        pub call_type: String,
        /// Queue to wait in; the default queue when absent.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub queue: Option<String>,
        /// Version of the recording notice that was shown.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub consent_version: Option<String>,
    }
}

/// The only call type.
fn voice() -> String {
    "voice".to_owned()
}

wire! {
    /// Reply to `POST /api/support/call/start`: 201 for a new call, 200 when the customer already has one.
    pub struct CallStarted {
        /// The call.
        pub call_id: Uuid,
        /// Where it stands.
        pub status: CallStatus,
        /// Place in the queue, 1 is next; absent once it left the queue.
        #[cfg_attr(test, ts(optional = nullable))]
        pub position: Option<u32>,
        /// Expected wait in seconds; absent when nobody can say.
        #[cfg_attr(test, ts(optional = nullable))]
        pub estimated_wait_seconds: Option<u32>,
        /// Single-use ticket for the WebSocket, 60 s.
        pub token: String,
        /// WebSocket of the node that owns the call.
        pub signaling_url: String,
        /// STUN and TURN servers.
        pub ice_servers: Vec<IceServer>,
        /// The server's clock.
        pub server_time: Time,
    }
}

wire! {
    /// A call as its own customer or its agent sees it.
    pub struct CallView {
        /// The call.
        pub call_id: Uuid,
        /// Where it stands.
        pub status: CallStatus,
        /// Why it ended.
        #[cfg_attr(test, ts(optional = nullable))]
        pub end_reason: Option<String>,
        /// Queue it waits or waited in.
        pub queue: String,
        /// Place in the queue, 1 is next.
        #[cfg_attr(test, ts(optional = nullable))]
        pub position: Option<u32>,
        /// Expected wait in seconds.
        #[cfg_attr(test, ts(optional = nullable))]
        pub estimated_wait_seconds: Option<u32>,
        /// The agent's display name once one accepted.
        #[cfg_attr(test, ts(optional = nullable))]
        pub agent_name: Option<String>,
        /// The agent who has it; only for staff.
        #[cfg_attr(test, ts(optional = nullable))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub agent_id: Option<Uuid>,
        /// Customer's display name.
        pub customer_name: String,
        /// Customer's e-mail; only for staff.
        #[cfg_attr(test, ts(optional = nullable))]
        pub customer_email: Option<String>,
        /// Parts whose line is gone for the moment; they are waited for, and the others hear music.
        #[serde(default)]
        #[cfg_attr(test, ts(as = "Option<Vec<Part>>", optional))]
        pub reconnecting: Vec<Part>,
        /// True while the call has sound and the recorder has the order to take it; nothing is recorded while the customer is on
        /// hold.
        pub recorded: bool,
        /// Since when the customer is on hold; absent while he is not.
        #[cfg_attr(test, ts(optional = nullable))]
        pub held_since: Option<Time>,
        /// Whose voice the server keeps from everybody; a customer is told of his own only.
        #[serde(default)]
        pub muted: Vec<Part>,
        /// Whether the keys that somebody presses are kept from everybody.
        #[serde(default)]
        #[cfg_attr(test, ts(as = "Option<Shielded>", optional))]
        pub shielded: Shielded,
        /// Who of them has muted himself, and is heard again when he wants it.
        #[serde(default)]
        #[cfg_attr(test, ts(as = "Option<Vec<Part>>", optional))]
        pub muted_self: Vec<Part>,
        /// Whom of them somebody else has muted; he may have muted himself as well.
        #[serde(default)]
        #[cfg_attr(test, ts(as = "Option<Vec<Part>>", optional))]
        pub muted_by_others: Vec<Part>,
        /// The colleague who is asked or takes part; only for staff.
        #[cfg_attr(test, ts(optional = nullable))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub consult: Option<Consult>,
        /// Who supervises; only for staff, where supervision is announced.
        #[cfg_attr(test, ts(optional = nullable))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub supervised: Option<Vec<Supervised>>,
        /// Over what each side's sound goes or went, as far as it is known; only for staff.
        #[cfg_attr(test, ts(optional = nullable))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub lines: Option<Vec<LegLine>>,
        /// When the customer called.
        pub created_at: Time,
        /// When it entered the queue.
        #[cfg_attr(test, ts(optional = nullable))]
        pub enqueued_at: Option<Time>,
        /// When two-way sound began.
        #[cfg_attr(test, ts(optional = nullable))]
        pub answered_at: Option<Time>,
        /// When it ended.
        #[cfg_attr(test, ts(optional = nullable))]
        pub ended_at: Option<Time>,
    }
}

wire! {
    /// One waiting call in the console's list.
    pub struct WaitingCall {
        /// The call.
        pub call_id: Uuid,
        /// Customer's display name.
        pub customer_name: String,
        /// Queue.
        pub queue: String,
        /// Where it stands (`queued` or `ringing`).
        pub status: CallStatus,
        /// When it entered the queue; the wait counts from here.
        pub enqueued_at: Time,
        /// Place, 1 is next.
        pub position: u32,
    }
}

wire! {
    /// `GET /api/support/queue/calls`.
    pub struct QueueSnapshot {
        /// Waiting calls, next first.
        pub waiting: Vec<WaitingCall>,
        /// Agents who could take a call now.
        pub agents_idle: u32,
        /// Agents on a contact.
        pub agents_busy: u32,
        /// Seconds after which a waiting call is abandoned.
        pub queue_timeout_seconds: u32,
        /// The server's clock.
        pub server_time: Time,
    }
}

wire! {
    /// A row of the list of calls.
    pub struct CallRow {
        /// The call.
        pub call_id: Uuid,
        /// Where it stands.
        pub status: CallStatus,
        /// Why it ended.
        #[cfg_attr(test, ts(optional = nullable))]
        pub end_reason: Option<String>,
        /// Customer's display name.
        pub customer_name: String,
        /// The agent's display name.
        #[cfg_attr(test, ts(optional = nullable))]
        pub agent_name: Option<String>,
        /// Queue.
        pub queue: String,
        /// When the customer called.
        pub created_at: Time,
        /// When two-way sound began.
        #[cfg_attr(test, ts(optional = nullable))]
        pub answered_at: Option<Time>,
        /// When it ended.
        #[cfg_attr(test, ts(optional = nullable))]
        pub ended_at: Option<Time>,
        /// Seconds of two-way sound.
        #[cfg_attr(test, ts(optional = nullable))]
        pub talk_seconds: Option<f64>,
        /// Seconds waited in the queue.
        pub wait_seconds: f64,
        /// Least opinion score of the call: of what was sent and what was heard, on every leg of customer, agents and
        /// consulted colleagues. `maxMos` filters by it.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub mos_worst: Option<f64>,
        /// Mean opinion score of the customer's uplink, on the last leg he had.
        #[cfg_attr(test, ts(optional = nullable))]
        pub mos_customer: Option<f64>,
        /// Mean opinion score of the uplink of the agent who had the call last.
        #[cfg_attr(test, ts(optional = nullable))]
        pub mos_agent: Option<f64>,
        /// The recording, when there is one to play.
        #[cfg_attr(test, ts(optional = nullable))]
        pub recording_id: Option<Uuid>,
    }
}

wire! {
    /// A page of calls, newest first.
    pub struct CallPage {
        /// The rows.
        pub calls: Vec<CallRow>,
        /// Cursor for `before` of the next page; absent on the last.
        #[cfg_attr(test, ts(optional = nullable))]
        pub next: Option<String>,
    }
}

wire! {
    /// One entry of a call's history.
    pub struct CallEvent {
        /// Number within the call, from 1.
        pub seq: u64,
        /// Name such as `call.answered`.
        pub kind: String,
        /// When.
        pub at: Time,
        /// Who: `customer`, `staff:<name>` or `system:<part>`.
        pub actor: String,
        /// Facts of the event; no customer data.
        #[cfg_attr(test, ts(type = "Record<string, unknown>"))]
        #[cfg_attr(feature = "openapi", schema(value_type = Object))]
        pub data: serde_json::Value,
    }
}

wire! {
    /// `GET /api/support/call/{id}/events`.
    pub struct CallEvents {
        /// Oldest first.
        pub events: Vec<CallEvent>,
    }
}

wire! {
    /// Body of `POST /api/support/call/{id}/hangup`, and beside the call's id in `call.hangup`.
    pub struct HangUp {
        /// Free word for the history, 64 characters at most.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub reason: Option<String>,
    }
}

wire! {
    /// Body of `POST /api/support/call/{id}/hold` and `/resume`.
    pub struct Hold {
        /// Free word for the history, 64 characters at most.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub reason: Option<String>,
    }
}

wire! {
    /// Body of `POST /api/support/call/{id}/mute` and `/unmute`.
    pub struct Mute {
        /// Whose voice: `customer`, `agent` or `partner`.
        pub part: Part,
        /// Free word for the history, 64 characters at most.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub reason: Option<String>,
    }
}

wire! {
    /// Body of `POST /api/support/call/{id}/shield` and `/unshield`.
    pub struct Shield {
        /// Free word for the history, 64 characters at most.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub reason: Option<String>,
    }
}

wire! {
    /// Whether pressed keys (telephone events, RFC 4733) are kept from everybody in the call.
    #[derive(Default)]
    pub enum Shielded {
        /// They go where the voice goes.
        #[default]
        Off,
        /// Nobody gets them, until that is taken back or the call ends.
        On,
        /// Nobody gets them, by a rule of the house that nobody in the call can change.
        Always,
    }
}

wire! {
    /// Body of `POST /api/support/call/{id}/consult`.
    pub struct ConsultStart {
        /// The colleague who is asked.
        pub staff_id: Uuid,
        /// Free word for the history, 64 characters at most.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub reason: Option<String>,
    }
}

wire! {
    /// Body of `POST /api/support/call/{id}/consult/complete`, `/merge` and `/cancel`.
    pub struct ConsultStep {
        /// Free word for the history, 64 characters at most.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub reason: Option<String>,
    }
}

wire! {
    /// How far a consultation is.
    pub enum ConsultState {
        /// The colleague is asked; the customer hears music.
        Ringing,
        /// Agent and colleague speak apart; the customer hears music.
        Talking,
        /// All three speak.
        Conference,
    }
}

wire! {
    /// A colleague beside the agent.
    pub struct Consult {
        /// Who.
        pub staff_id: Uuid,
        /// His display name.
        pub staff_name: String,
        /// How far it is.
        pub state: ConsultState,
        /// Since when it is so far.
        pub since: Time,
    }
}

wire! {
    /// How a supervisor takes part in a call.
    pub enum SuperviseMode {
        /// Hears what a party hears, and is heard by nobody.
        Monitor,
        /// Is heard by the agent alone.
        Whisper,
        /// Is heard by all.
        Barge,
        /// Becomes the call's agent; the one before writes up.
        Takeover,
    }
}

wire! {
    /// Body of `POST /api/support/call/{id}/supervise`.
    pub struct Supervise {
        /// How.
        pub mode: SuperviseMode,
        /// Free word for the history, 64 characters at most.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub reason: Option<String>,
    }
}

wire! {
    /// Body of `DELETE /api/support/call/{id}/supervise`.
    #[derive(Default)]
    pub struct SuperviseEnd {
        /// Free word for the history, 64 characters at most.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub reason: Option<String>,
    }
}

wire! {
    /// A supervisor, as the call's agent is told of him.
    pub struct Supervised {
        /// His display name.
        pub staff_name: String,
        /// How he takes part.
        pub mode: SuperviseMode,
    }
}

wire! {
    /// A supervisor of a live call.
    pub struct LiveSupervisor {
        /// Who.
        pub staff_id: Uuid,
        /// His display name.
        pub staff_name: String,
        /// How he takes part.
        pub mode: SuperviseMode,
        /// Since when.
        pub since: Time,
    }
}

wire! {
    /// A call that is not over, as those who supervise see it.
    pub struct LiveCall {
        /// The call.
        pub call_id: Uuid,
        /// Customer's display name.
        pub customer_name: String,
        /// The agent's display name.
        #[cfg_attr(test, ts(optional = nullable))]
        pub agent_name: Option<String>,
        /// The agent.
        #[cfg_attr(test, ts(optional = nullable))]
        pub agent_id: Option<Uuid>,
        /// Queue.
        pub queue: String,
        /// Where it stands.
        pub status: CallStatus,
        /// When the customer called.
        pub created_at: Time,
        /// When it entered the queue.
        #[cfg_attr(test, ts(optional = nullable))]
        pub enqueued_at: Option<Time>,
        /// When two-way sound began.
        #[cfg_attr(test, ts(optional = nullable))]
        pub answered_at: Option<Time>,
        /// Since when the customer is on hold.
        #[cfg_attr(test, ts(optional = nullable))]
        pub held_since: Option<Time>,
        /// Whose voice the server keeps from everybody.
        pub muted: Vec<Part>,
        /// Who of them has muted himself.
        #[serde(default)]
        #[cfg_attr(test, ts(as = "Option<Vec<Part>>", optional))]
        pub muted_self: Vec<Part>,
        /// Whom of them somebody else has muted; he may have muted himself as well.
        #[serde(default)]
        #[cfg_attr(test, ts(as = "Option<Vec<Part>>", optional))]
        pub muted_by_others: Vec<Part>,
        /// The colleague who is asked or takes part.
        #[cfg_attr(test, ts(optional = nullable))]
        pub consult: Option<Consult>,
        /// Who supervises it.
        pub supervisors: Vec<LiveSupervisor>,
        /// True while the call has sound and the recorder has the order to take it; nothing is recorded while the customer is on
        /// hold.
        pub recorded: bool,
        /// The last second of each leg; empty when this node does not know it.
        pub legs: Vec<LegQuality>,
    }
}

wire! {
    /// `GET /api/support/calls/live`.
    pub struct LiveCalls {
        /// Oldest first.
        pub calls: Vec<LiveCall>,
        /// The server's clock.
        pub server_time: Time,
    }
}
