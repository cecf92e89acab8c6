//! The rules of a call: one function per input, each a complete match over the states.
//!
//! Invariant: a refused input has changed nothing; what is repeated has no further effect.

use super::{
    CALL_LIMIT, CONNECTING_LIMIT, Call, Effect, End, INITIATED_LIMIT, Leaves, REQUEUE_PRIORITY, Reason, State, Who,
};
use crate::offer::Rescinded;
use crate::{OfferId, Refusal, StaffId, Timestamp};

impl Call {
    pub(super) fn enqueue(&mut self, now: Timestamp) -> Result<Vec<Effect>, Refusal> {
        match self.state {
            State::Initiated { .. } => Ok(self.back_to_queue(now, "call.queued")),
            State::Queued { .. } => Ok(Vec::new()),
            State::Ringing { .. }
            | State::Connecting { .. }
            | State::Answered { .. }
            | State::Completed(_)
            | State::Abandoned(_)
            | State::Failed(_) => Err(Refusal::IllegalTransition),
        }
    }

    pub(super) fn offer(&mut self, offer: OfferId) -> Result<Vec<Effect>, Refusal> {
        match self.state {
            State::Queued { .. } => {
                self.state = State::Ringing { offer };
                Ok(vec![Effect::Tell("call.ringing")])
            }
            State::Ringing { offer: present } if present == offer => Ok(Vec::new()),
            State::Initiated { .. }
            | State::Ringing { .. }
            | State::Connecting { .. }
            | State::Answered { .. }
            | State::Completed(_)
            | State::Abandoned(_)
            | State::Failed(_) => Err(Refusal::IllegalTransition),
        }
    }

    pub(super) fn accept(&mut self, now: Timestamp, offer: OfferId, agent: StaffId) -> Result<Vec<Effect>, Refusal> {
        match self.state {
            State::Ringing { offer: present } if present == offer => {
                self.state = State::Connecting {
                    offer,
                    agent,
                    since: now,
                };
                Ok(vec![
                    Effect::CloseSegment,
                    Effect::AdmitLegs { agent },
                    Effect::Tell("call.accepted"),
                ])
            }
            State::Connecting {
                offer: present,
                agent: owner,
                ..
            }
            | State::Answered {
                offer: present,
                agent: owner,
                ..
            } if present == offer && owner == agent => Ok(Vec::new()),
            State::Initiated { .. }
            | State::Queued { .. }
            | State::Ringing { .. }
            | State::Connecting { .. }
            | State::Answered { .. }
            | State::Completed(_)
            | State::Abandoned(_)
            | State::Failed(_) => Err(Refusal::OfferLost),
        }
    }

    pub(super) fn offer_ended(&mut self, now: Timestamp, offer: OfferId) -> Result<Vec<Effect>, Refusal> {
        match self.state {
            State::Ringing { offer: present } if present == offer => {
                // The segment stays open: ringing is waiting, and the place is the old one.
                self.state = State::Queued { since: now };
                Ok(vec![Effect::WakeQueue, Effect::Tell("call.queued")])
            }
            // Another offer, or the call went on without this one.
            State::Initiated { .. }
            | State::Queued { .. }
            | State::Ringing { .. }
            | State::Connecting { .. }
            | State::Answered { .. }
            | State::Completed(_)
            | State::Abandoned(_)
            | State::Failed(_) => Ok(Vec::new()),
        }
    }

    pub(super) fn live(&mut self, now: Timestamp) -> Result<Vec<Effect>, Refusal> {
        match self.state {
            State::Connecting { offer, agent, since } => {
                self.state = State::Answered {
                    offer,
                    agent,
                    since: now.max(since),
                };
                Ok(vec![Effect::Tell("call.answered")])
            }
            State::Answered { .. } => Ok(Vec::new()),
            // Late news about a call that is over.
            State::Completed(_) | State::Abandoned(_) | State::Failed(_) => Ok(Vec::new()),
            State::Initiated { .. } | State::Queued { .. } | State::Ringing { .. } => Err(Refusal::IllegalTransition),
        }
    }

    pub(super) fn agent_leg_failed(&mut self, now: Timestamp) -> Result<Vec<Effect>, Refusal> {
        match self.state {
            State::Connecting { offer, .. } => {
                let mut effects = vec![Effect::FailOffer(offer), Effect::CloseAgentLeg];
                self.priority += REQUEUE_PRIORITY;
                effects.extend(self.back_to_queue(now, "call.requeued"));
                Ok(effects)
            }
            State::Answered { .. } => self.agent_lost(now),
            State::Initiated { .. }
            | State::Queued { .. }
            | State::Ringing { .. }
            | State::Completed(_)
            | State::Abandoned(_)
            | State::Failed(_) => Ok(Vec::new()),
        }
    }

    pub(super) fn customer_leg_failed(&mut self, now: Timestamp) -> Result<Vec<Effect>, Refusal> {
        match self.state {
            State::Connecting { offer, .. } => {
                self.state = State::Failed(self.end(now, Reason::MediaFailed));
                Ok(vec![
                    Effect::RescindOffer(offer, Rescinded::CustomerLeft),
                    Effect::CloseRoom,
                    Effect::WakeQueue,
                    Effect::Tell("call.failed"),
                ])
            }
            State::Answered { .. } => self.customer_lost(now),
            State::Initiated { .. }
            | State::Queued { .. }
            | State::Ringing { .. }
            | State::Completed(_)
            | State::Abandoned(_)
            | State::Failed(_) => Ok(Vec::new()),
        }
    }

    pub(super) fn connecting_timeout(&mut self, now: Timestamp, customer_up: bool) -> Result<Vec<Effect>, Refusal> {
        match self.state {
            State::Connecting { since, .. } if now.since(since) >= CONNECTING_LIMIT => {
                if customer_up {
                    self.agent_leg_failed(now)
                } else {
                    self.customer_leg_failed(now)
                }
            }
            State::Connecting { .. } => Err(Refusal::IllegalTransition),
            State::Initiated { .. }
            | State::Queued { .. }
            | State::Ringing { .. }
            | State::Answered { .. }
            | State::Completed(_)
            | State::Abandoned(_)
            | State::Failed(_) => Ok(Vec::new()),
        }
    }

    pub(super) fn hang_up(&mut self, now: Timestamp, who: Who) -> Result<Vec<Effect>, Refusal> {
        let reason = match who {
            Who::Customer => Reason::CustomerHangup,
            Who::Agent(_) => Reason::AgentHangup,
            Who::Staff => Reason::StaffHangup,
        };
        match (self.state, who) {
            (State::Connecting { agent, .. } | State::Answered { agent, .. }, Who::Agent(by)) if agent != by => {
                Err(Refusal::NotYours)
            }
            (State::Initiated { .. } | State::Queued { .. } | State::Ringing { .. }, Who::Agent(_)) => {
                Err(Refusal::NotYours)
            }
            // The agent gives the call back before there was sound: the customer must not lose it.
            (State::Connecting { .. }, Who::Agent(_)) => self.agent_leg_failed(now),
            (State::Initiated { .. } | State::Queued { .. } | State::Ringing { .. } | State::Connecting { .. }, _) => {
                Ok(self.abandon(now, reason))
            }
            (State::Answered { .. }, _) => Ok(self.complete(now, reason)),
            // Twice is not an error.
            (State::Completed(_) | State::Abandoned(_) | State::Failed(_), _) => Ok(Vec::new()),
        }
    }

    pub(super) fn hand_over(&mut self, offer: OfferId, agent: StaffId, leaves: Leaves) -> Result<Vec<Effect>, Refusal> {
        match self.state {
            State::Answered { agent: owner, .. } if owner == agent => Ok(Vec::new()),
            State::Answered {
                offer: before, since, ..
            } => {
                self.state = State::Answered { offer, agent, since };
                Ok(vec![match leaves {
                    Leaves::WritesUp => Effect::BeginWrapUp(before),
                    Leaves::Lost => Effect::TakeBack(before, Rescinded::AgentLost),
                }])
            }
            State::Initiated { .. }
            | State::Queued { .. }
            | State::Ringing { .. }
            | State::Connecting { .. }
            | State::Completed(_)
            | State::Abandoned(_)
            | State::Failed(_) => Err(Refusal::IllegalTransition),
        }
    }

    /// Whether `who` may change who hears whom (hold, resume, supervise): the agent who has the call, or staff above
    /// him. None of that is a state, so nothing about the call changes.
    ///
    /// # Errors
    /// `NotYours`; `IllegalTransition` while there is no two-way sound.
    pub fn sound_may_change(&self, who: Who) -> Result<(), Refusal> {
        match (self.state, who) {
            (State::Answered { agent, .. }, Who::Agent(by)) if agent != by => Err(Refusal::NotYours),
            (State::Answered { .. }, Who::Agent(_) | Who::Staff) => Ok(()),
            (_, Who::Customer) => Err(Refusal::NotYours),
            (
                State::Initiated { .. }
                | State::Queued { .. }
                | State::Ringing { .. }
                | State::Connecting { .. }
                | State::Completed(_)
                | State::Abandoned(_)
                | State::Failed(_),
                Who::Agent(_) | Who::Staff,
            ) => Err(Refusal::IllegalTransition),
        }
    }

    pub(super) fn customer_lost(&mut self, now: Timestamp) -> Result<Vec<Effect>, Refusal> {
        match self.state {
            State::Initiated { .. } | State::Queued { .. } | State::Ringing { .. } | State::Connecting { .. } => {
                Ok(self.abandon(now, Reason::CustomerLost))
            }
            State::Answered { .. } => Ok(self.complete(now, Reason::MediaLost)),
            State::Completed(_) | State::Abandoned(_) | State::Failed(_) => Ok(Vec::new()),
        }
    }

    pub(super) fn agent_lost(&mut self, now: Timestamp) -> Result<Vec<Effect>, Refusal> {
        match self.state {
            State::Ringing { offer } => {
                let mut effects = vec![Effect::RescindOffer(offer, Rescinded::AgentLost)];
                effects.extend(self.offer_ended(now, offer)?);
                Ok(effects)
            }
            State::Connecting { offer, .. } | State::Answered { offer, .. } => {
                let mut effects = vec![Effect::RescindOffer(offer, Rescinded::AgentLost), Effect::CloseAgentLeg];
                self.priority += REQUEUE_PRIORITY;
                effects.extend(self.back_to_queue(now, "call.requeued"));
                Ok(effects)
            }
            State::Initiated { .. }
            | State::Queued { .. }
            | State::Completed(_)
            | State::Abandoned(_)
            | State::Failed(_) => Ok(Vec::new()),
        }
    }

    pub(super) fn queue_timeout(&mut self, now: Timestamp) -> Result<Vec<Effect>, Refusal> {
        match self.state {
            State::Queued { .. } => Ok(self.abandon(now, Reason::QueueTimeout)),
            // Somebody is being asked or has said yes: the wait is about to end well.
            State::Ringing { .. } | State::Connecting { .. } | State::Answered { .. } => {
                Err(Refusal::IllegalTransition)
            }
            State::Initiated { .. } => Err(Refusal::IllegalTransition),
            State::Completed(_) | State::Abandoned(_) | State::Failed(_) => Ok(Vec::new()),
        }
    }

    pub(super) fn initiated_timeout(&mut self, now: Timestamp) -> Result<Vec<Effect>, Refusal> {
        match self.state {
            State::Initiated { since } if now.since(since) >= INITIATED_LIMIT => {
                Ok(self.fault(now, Reason::InitiatedTimeout))
            }
            State::Initiated { .. } => Err(Refusal::IllegalTransition),
            State::Queued { .. }
            | State::Ringing { .. }
            | State::Connecting { .. }
            | State::Answered { .. }
            | State::Completed(_)
            | State::Abandoned(_)
            | State::Failed(_) => Ok(Vec::new()),
        }
    }

    pub(super) fn too_long(&mut self, now: Timestamp) -> Result<Vec<Effect>, Refusal> {
        match self.state {
            State::Answered { since, .. } if now.since(since) >= CALL_LIMIT => Ok(self.complete(now, Reason::TooLong)),
            State::Initiated { .. }
            | State::Queued { .. }
            | State::Ringing { .. }
            | State::Connecting { .. }
            | State::Answered { .. } => Err(Refusal::IllegalTransition),
            State::Completed(_) | State::Abandoned(_) | State::Failed(_) => Ok(Vec::new()),
        }
    }

    /// Into the queue at the place that the first entry gave.
    fn back_to_queue(&mut self, now: Timestamp, event: &'static str) -> Vec<Effect> {
        let enqueued_at = *self.enqueued_at.get_or_insert(now);
        self.state = State::Queued { since: now };
        vec![
            Effect::OpenSegment {
                enqueued_at,
                priority: self.priority,
            },
            Effect::WakeQueue,
            Effect::Tell(event),
        ]
    }

    fn abandon(&mut self, now: Timestamp, reason: Reason) -> Vec<Effect> {
        let why = match reason {
            Reason::QueueTimeout | Reason::StaffHangup => Rescinded::Withdrawn,
            Reason::CustomerHangup
            | Reason::CustomerLost
            | Reason::AgentHangup
            | Reason::InitiatedTimeout
            | Reason::MediaFailed
            | Reason::MediaLost
            | Reason::TooLong
            | Reason::NodeLost
            | Reason::Drain
            | Reason::Internal => Rescinded::CustomerLeft,
        };
        let mut effects = self.leave_phase(why);
        self.state = State::Abandoned(self.end(now, reason));
        effects.push(Effect::Tell("call.abandoned"));
        effects
    }

    fn complete(&mut self, now: Timestamp, reason: Reason) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let State::Answered { offer, .. } = self.state {
            effects.push(Effect::BeginWrapUp(offer));
        }
        self.state = State::Completed(self.end(now, reason));
        effects.extend([Effect::CloseRoom, Effect::Tell("call.completed")]);
        effects
    }

    /// A fault ends whatever runs. Emptying a node is none: an answered call that it ends is completed.
    pub(super) fn fault(&mut self, now: Timestamp, reason: Reason) -> Vec<Effect> {
        match self.state {
            State::Answered { .. } if reason == Reason::Drain => self.complete(now, reason),
            State::Answered { offer, .. } => {
                self.state = State::Failed(self.end(now, reason));
                vec![
                    Effect::BeginWrapUp(offer),
                    Effect::CloseRoom,
                    Effect::Tell("call.failed"),
                ]
            }
            State::Initiated { .. } | State::Queued { .. } | State::Ringing { .. } | State::Connecting { .. } => {
                let mut effects = self.leave_phase(Rescinded::Withdrawn);
                self.state = State::Failed(self.end(now, reason));
                effects.push(Effect::Tell("call.failed"));
                effects
            }
            State::Completed(_) | State::Abandoned(_) | State::Failed(_) => Vec::new(),
        }
    }

    /// What an end before the answer leaves behind.
    fn leave_phase(&self, why: Rescinded) -> Vec<Effect> {
        match self.state {
            State::Queued { .. } => vec![Effect::CloseSegment, Effect::CloseRoom],
            State::Ringing { offer } => {
                vec![
                    Effect::CloseSegment,
                    Effect::RescindOffer(offer, why),
                    Effect::WakeQueue,
                    Effect::CloseRoom,
                ]
            }
            State::Connecting { offer, .. } => {
                vec![Effect::RescindOffer(offer, why), Effect::WakeQueue, Effect::CloseRoom]
            }
            State::Initiated { .. } => vec![Effect::CloseRoom],
            State::Answered { .. } | State::Completed(_) | State::Abandoned(_) | State::Failed(_) => Vec::new(),
        }
    }

    fn end(&self, now: Timestamp, reason: Reason) -> End {
        End {
            at: now,
            reason,
            phase: self.status(),
        }
    }
}
