//! A voice call, from the customer's click to its terminal state.
//!
//! Hold, mute and wrap-up are no states of a call: the first two are intervals, the last belongs to the offer. A call
//! never touches the network, the recorder or the database: the effects say what must be done.
//!
//! Invariant: a terminal call is immutable. Whatever comes later is answered without effect.

mod rules;
#[cfg(test)]
mod tests;

use crate::offer::Rescinded;
use crate::{CallId, OfferId, Refusal, Span, StaffId, Timestamp};

/// How long a call may wait in `initiated`.
pub const INITIATED_LIMIT: Span = Span::seconds(15);
/// How long setting up the sound may take after the agent's yes.
pub const CONNECTING_LIMIT: Span = Span::seconds(10);
/// How long an agent's leg may be away before the customer goes back to the queue.
pub const AGENT_AWAY_LIMIT: Span = Span::seconds(20);
/// Longest call: a forgotten one must not hold an agent and a recorder for ever.
pub const CALL_LIMIT: Span = Span::minutes(240);
/// A call that is left sooner counts as a misclick in the figures.
pub const SHORT_ABANDON: Span = Span::seconds(5);
/// Priority that a call gains when it comes back to the queue without its own fault.
pub const REQUEUE_PRIORITY: i32 = 1;

/// The states without their data (`voice_calls.status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Made; may not queue yet.
    Initiated,
    /// Waits for an agent.
    Queued,
    /// An agent is asked.
    Ringing,
    /// Accepted; the sound is being set up.
    Connecting,
    /// Two-way sound.
    Answered,
    /// Ended after it was answered.
    Completed,
    /// Ended by the customer, or by a wait too long, before it was answered.
    Abandoned,
    /// Ended by a fault.
    Failed,
}

impl Status {
    /// All of them, in the order of a call's life.
    pub const ALL: [Status; 8] = [
        Status::Initiated,
        Status::Queued,
        Status::Ringing,
        Status::Connecting,
        Status::Answered,
        Status::Completed,
        Status::Abandoned,
        Status::Failed,
    ];

    /// The word in the database.
    pub const fn word(self) -> &'static str {
        match self {
            Status::Initiated => "initiated",
            Status::Queued => "queued",
            Status::Ringing => "ringing",
            Status::Connecting => "connecting",
            Status::Answered => "answered",
            Status::Completed => "completed",
            Status::Abandoned => "abandoned",
            Status::Failed => "failed",
        }
    }

    /// The status of a word.
    pub fn from_word(word: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.word() == word)
    }

    /// True for the three ends.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Status::Completed | Status::Abandoned | Status::Failed)
    }
}

/// Every change of status that is allowed; the database's `call_transitions` holds the same rows.
pub const TRANSITIONS: &[(Status, Status)] = &[
    (Status::Initiated, Status::Queued),
    (Status::Initiated, Status::Abandoned),
    (Status::Initiated, Status::Failed),
    (Status::Queued, Status::Ringing),
    (Status::Queued, Status::Abandoned),
    (Status::Queued, Status::Failed),
    (Status::Ringing, Status::Connecting),
    (Status::Ringing, Status::Queued),
    (Status::Ringing, Status::Abandoned),
    (Status::Ringing, Status::Failed),
    (Status::Connecting, Status::Answered),
    (Status::Connecting, Status::Queued),
    (Status::Connecting, Status::Abandoned),
    (Status::Connecting, Status::Failed),
    (Status::Answered, Status::Completed),
    (Status::Answered, Status::Queued),
    (Status::Answered, Status::Ringing),
    (Status::Answered, Status::Failed),
];

/// Why a call ended (`voice_calls.end_reason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The customer hung up, or left the queue.
    CustomerHangup,
    /// The agent hung up.
    AgentHangup,
    /// A supervisor or a service ended it.
    StaffHangup,
    /// The waiting customer's page was gone.
    CustomerLost,
    /// The wait was too long.
    QueueTimeout,
    /// The call never became ready to queue.
    InitiatedTimeout,
    /// The customer's sound could not be set up.
    MediaFailed,
    /// The sound was lost in the middle of the call.
    MediaLost,
    /// [`CALL_LIMIT`].
    TooLong,
    /// The node that carried it died.
    NodeLost,
    /// The node was emptied.
    Drain,
    /// A defect of ours.
    Internal,
}

impl Reason {
    /// The word in the database.
    pub const fn word(self) -> &'static str {
        match self {
            Reason::CustomerHangup => "customer_hangup",
            Reason::AgentHangup => "agent_hangup",
            Reason::StaffHangup => "staff_hangup",
            Reason::CustomerLost => "customer_lost",
            Reason::QueueTimeout => "queue_timeout",
            Reason::InitiatedTimeout => "initiated_timeout",
            Reason::MediaFailed => "media_failed",
            Reason::MediaLost => "media_lost",
            Reason::TooLong => "too_long",
            Reason::NodeLost => "node_lost",
            Reason::Drain => "drain",
            Reason::Internal => "internal",
        }
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct End {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
    /// From which status.
    pub phase: Status,
}

/// Where a call stands, with what is true only there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Made; may not queue yet.
    Initiated {
        /// Since when.
        since: Timestamp,
    },
    /// Waits for an agent.
    Queued {
        /// Since when it waits this time; the place in the queue goes by [`Call::enqueued_at`].
        since: Timestamp,
    },
    /// An agent is asked; who, and until when, stands in the offer, once.
    Ringing {
        /// Which offer.
        offer: OfferId,
    },
    /// The agent said yes.
    Connecting {
        /// Which offer.
        offer: OfferId,
        /// Who.
        agent: StaffId,
        /// Since when.
        since: Timestamp,
    },
    /// Two-way sound.
    Answered {
        /// Which offer holds the agent's slot.
        offer: OfferId,
        /// Who.
        agent: StaffId,
        /// Since when.
        since: Timestamp,
    },
    /// Ended after it was answered.
    Completed(End),
    /// Ended before it was answered.
    Abandoned(End),
    /// Ended by a fault.
    Failed(End),
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its id.
    pub id: CallId,
    /// Where it stands.
    pub state: State,
    /// When it first entered the queue; never changed afterwards, so no requeue costs a place.
    pub enqueued_at: Option<Timestamp>,
    /// Added minutes of age in the order of the queue.
    pub priority: i32,
}

/// Who ends a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The customer.
    Customer,
    /// The agent who owns it.
    Agent(StaffId),
    /// Somebody else who may.
    Staff,
}

/// What becomes of the agent who no longer owns a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// He writes up.
    WritesUp,
    /// His line is gone.
    Lost,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Nothing keeps it from waiting.
    Enqueue,
    /// The router asks an agent.
    Offer {
        /// The offer.
        offer: OfferId,
    },
    /// The agent said yes.
    Accept {
        /// The offer.
        offer: OfferId,
        /// Who.
        agent: StaffId,
    },
    /// The agent said no, said nothing, or was lost before he could say.
    OfferEnded {
        /// The offer.
        offer: OfferId,
    },
    /// Both sides are up and the agent's first packet has come.
    Live,
    /// The agent's leg did not come up, or ended while connecting.
    AgentLegFailed,
    /// The customer's leg did not come up, or ended while connecting.
    CustomerLegFailed,
    /// [`CONNECTING_LIMIT`] is over.
    ConnectingTimeout {
        /// Whether the customer's leg is up.
        customer_up: bool,
    },
    /// Somebody else owns it from now on: a colleague who was consulted, or a supervisor. The sound goes on.
    HandOver {
        /// The new owner's offer.
        offer: OfferId,
        /// The new owner.
        agent: StaffId,
        /// The one before.
        leaves: Leaves,
    },
    /// Somebody ends it.
    HangUp(Who),
    /// The waiting customer's lease ran out, or the customer's leg is gone for good.
    CustomerLost,
    /// The agent's leg or presence is gone for good.
    AgentLost,
    /// The wait was too long.
    QueueTimeout,
    /// [`INITIATED_LIMIT`] is over.
    InitiatedTimeout,
    /// [`CALL_LIMIT`] is over.
    TooLong,
    /// The node that carried it died; nobody can rejoin.
    NodeLost,
    /// The node is emptied and the deadline has passed.
    Drain,
    /// A defect of ours.
    Internal,
}

/// What must follow a change of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A stay in the queue begins, in the order of `enqueued_at` and `priority`.
    OpenSegment {
        /// The call's own first time, kept.
        enqueued_at: Timestamp,
        /// The call's priority now.
        priority: i32,
    },
    /// The stay in the queue ends.
    CloseSegment,
    /// The offer is taken back.
    RescindOffer(OfferId, Rescinded),
    /// This offer alone is taken back: the call goes on with another one.
    TakeBack(OfferId, Rescinded),
    /// The offer failed by the agent's line.
    FailOffer(OfferId),
    /// The agent begins to write up.
    BeginWrapUp(OfferId),
    /// Both sides may attach their legs.
    AdmitLegs {
        /// The agent's.
        agent: StaffId,
    },
    /// The agent's leg is closed, the customer's stays.
    CloseAgentLeg,
    /// All legs are closed and the recording ends.
    CloseRoom,
    /// A slot or a place has changed: wake the queues.
    WakeQueue,
    /// An event of this name is written in the same transaction.
    Tell(&'static str),
}

impl Call {
    /// A fresh call.
    pub const fn new(id: CallId, now: Timestamp) -> Call {
        Call {
            id,
            state: State::Initiated { since: now },
            enqueued_at: None,
            priority: 0,
        }
    }

    /// The state without its data.
    pub const fn status(&self) -> Status {
        match self.state {
            State::Initiated { .. } => Status::Initiated,
            State::Queued { .. } => Status::Queued,
            State::Ringing { .. } => Status::Ringing,
            State::Connecting { .. } => Status::Connecting,
            State::Answered { .. } => Status::Answered,
            State::Completed(_) => Status::Completed,
            State::Abandoned(_) => Status::Abandoned,
            State::Failed(_) => Status::Failed,
        }
    }

    /// The agent who owns it now.
    pub const fn agent(&self) -> Option<StaffId> {
        match self.state {
            State::Connecting { agent, .. } | State::Answered { agent, .. } => Some(agent),
            State::Initiated { .. }
            | State::Queued { .. }
            | State::Ringing { .. }
            | State::Completed(_)
            | State::Abandoned(_)
            | State::Failed(_) => None,
        }
    }

    /// Changes the call, or refuses and leaves it as it is. What is repeated has no further effect.
    ///
    /// # Errors
    /// `IllegalTransition`, `OfferLost`, `NotYours`.
    pub fn apply(&mut self, now: Timestamp, input: Input) -> Result<Vec<Effect>, Refusal> {
        match input {
            Input::Enqueue => self.enqueue(now),
            Input::Offer { offer } => self.offer(offer),
            Input::Accept { offer, agent } => self.accept(now, offer, agent),
            Input::OfferEnded { offer } => self.offer_ended(now, offer),
            Input::Live => self.live(now),
            Input::AgentLegFailed => self.agent_leg_failed(now),
            Input::CustomerLegFailed => self.customer_leg_failed(now),
            Input::ConnectingTimeout { customer_up } => self.connecting_timeout(now, customer_up),
            Input::HandOver { offer, agent, leaves } => self.hand_over(offer, agent, leaves),
            Input::HangUp(who) => self.hang_up(now, who),
            Input::CustomerLost => self.customer_lost(now),
            Input::AgentLost => self.agent_lost(now),
            Input::QueueTimeout => self.queue_timeout(now),
            Input::InitiatedTimeout => self.initiated_timeout(now),
            Input::TooLong => self.too_long(now),
            Input::NodeLost => Ok(self.fault(now, Reason::NodeLost)),
            Input::Drain => Ok(self.fault(now, Reason::Drain)),
            Input::Internal => Ok(self.fault(now, Reason::Internal)),
        }
    }
}
