//! An offer: one agent is reserved for one contact, for a limited time. The core row of the desk.
//!
//! `pending → accepted → wrapping → completed`, or an end before that. A slot of the agent is held in pending, accepted
//! and wrapping, and in no other state: whoever counts those has the truth, so no counter is kept.
//!
//! Never asks who may answer for whom beyond the agent it names; the clock is the caller's.

use crate::{CallId, OfferId, Refusal, Span, StaffId, Timestamp};

/// How long an agent is asked: long enough to put a headset on, short enough that the customer is not lost.
pub const LEASE: Span = Span::seconds(20);
/// How long an agent writes up a voice call before the slot is free by itself.
pub const WRAP_UP: Span = Span::seconds(60);
/// How often a wrap-up may be made longer by [`WRAP_UP`]: three times one minute, then a supervisor should know.
pub const WRAP_UP_EXTENSIONS_MAX: u32 = 3;

/// Why a pending or accepted offer was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rescinded {
    /// The customer hung up or was lost. No strike for the agent.
    CustomerLeft,
    /// The agent's presence or leg was lost.
    AgentLost,
    /// Another agent accepted first.
    WonByOther,
    /// The desk took it back: queue time-out, a node that died, an admin.
    Withdrawn,
}

/// Where an offer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The agent is asked.
    Pending {
        /// Until when.
        expires_at: Timestamp,
    },
    /// The agent said yes; the call connects or runs.
    Accepted {
        /// Since when.
        since: Timestamp,
    },
    /// The call is over; the agent writes it up.
    Wrapping {
        /// When the slot is free by itself.
        ends_at: Timestamp,
        /// How often it was made longer.
        extensions: u32,
    },
    /// Done.
    Completed,
    /// The agent said no.
    Rejected,
    /// The agent said nothing.
    TimedOut,
    /// Taken back.
    Rescinded(Rescinded),
    /// The sound could not be set up.
    Failed,
}

/// The states without their data, as the database names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// See [`State::Pending`].
    Pending,
    /// See [`State::Accepted`].
    Accepted,
    /// See [`State::Wrapping`].
    Wrapping,
    /// See [`State::Completed`].
    Completed,
    /// See [`State::Rejected`].
    Rejected,
    /// See [`State::TimedOut`].
    Timeout,
    /// See [`State::Rescinded`].
    Rescinded,
    /// See [`State::Failed`].
    Failed,
}

impl Status {
    /// The word in `offers.state`.
    pub const fn word(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Accepted => "accepted",
            Status::Wrapping => "wrapping",
            Status::Completed => "completed",
            Status::Rejected => "rejected",
            Status::Timeout => "timeout",
            Status::Rescinded => "rescinded",
            Status::Failed => "failed",
        }
    }

    /// True while a slot of the agent is held.
    pub const fn holds_slot(self) -> bool {
        matches!(self, Status::Pending | Status::Accepted | Status::Wrapping)
    }
}

impl Rescinded {
    /// The word in `offers.reason`.
    pub const fn word(self) -> &'static str {
        match self {
            Rescinded::CustomerLeft => "customer_left",
            Rescinded::AgentLost => "agent_lost",
            Rescinded::WonByOther => "won_by_other",
            Rescinded::Withdrawn => "withdrawn",
        }
    }
}

/// One offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its id.
    pub id: OfferId,
    /// For which call.
    pub call: CallId,
    /// To whom.
    pub staff: StaffId,
    /// Where it stands.
    pub state: State,
}

/// What happens to an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// That agent says yes.
    Accept {
        /// Who says it.
        by: StaffId,
    },
    /// That agent says no.
    Reject {
        /// Who says it.
        by: StaffId,
    },
    /// The lease ran out.
    Expire,
    /// It is taken back.
    Rescind(Rescinded),
    /// The sound could not be set up, by the agent's fault.
    Fail,
    /// The call is over.
    CallEnded,
    /// The consulted colleague's part in the call is over; he has nothing to write up.
    Release,
    /// The agent has finished writing up.
    EndWrapUp {
        /// Who says it; `None` when the time is up.
        by: Option<StaffId>,
    },
    /// The agent wants more time.
    ExtendWrapUp {
        /// Who says it.
        by: StaffId,
    },
}

/// What must follow a change of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The call moves to `connecting`.
    CallAccepted,
    /// The call goes back to its old place in the queue.
    RequeueCall,
    /// This agent is not asked for this contact for [`crate::agent::CONTACT_COOL_DOWN`].
    CoolDownContact,
    /// This agent is not asked for anything for [`crate::agent::MISSED_COOL_DOWN`], and one strike is counted.
    Strike,
    /// Strikes in a row are forgotten.
    ForgetStrikes,
    /// The agent's slot is free: wake the queues.
    SlotFreed,
}

impl Offer {
    /// A fresh offer.
    pub fn new(id: OfferId, call: CallId, staff: StaffId, now: Timestamp) -> Offer {
        Offer {
            id,
            call,
            staff,
            state: State::Pending {
                expires_at: now.plus(LEASE),
            },
        }
    }

    /// The state without its data.
    pub const fn status(&self) -> Status {
        match self.state {
            State::Pending { .. } => Status::Pending,
            State::Accepted { .. } => Status::Accepted,
            State::Wrapping { .. } => Status::Wrapping,
            State::Completed => Status::Completed,
            State::Rejected => Status::Rejected,
            State::TimedOut => Status::Timeout,
            State::Rescinded(_) => Status::Rescinded,
            State::Failed => Status::Failed,
        }
    }

    /// Changes the offer, or refuses and leaves it as it is. What is repeated has no further effect.
    ///
    /// # Errors
    /// `NotYours`, `OfferLost`, `OfferExpired`, `NoExtensionLeft`, `IllegalTransition`.
    pub fn apply(&mut self, now: Timestamp, input: Input) -> Result<Vec<Effect>, Refusal> {
        match input {
            Input::Accept { by } => self.accept(now, by),
            Input::Reject { by } => self.reject(by),
            Input::Expire => self.expire(now),
            Input::Rescind(why) => self.rescind(why),
            Input::Fail => self.fail(),
            Input::CallEnded => self.call_ended(now),
            Input::Release => self.release(),
            Input::EndWrapUp { by } => self.end_wrap_up(now, by),
            Input::ExtendWrapUp { by } => self.extend_wrap_up(by),
        }
    }

    fn accept(&mut self, now: Timestamp, by: StaffId) -> Result<Vec<Effect>, Refusal> {
        self.belongs_to(by)?;
        match self.state {
            State::Pending { expires_at } if now < expires_at => {
                self.state = State::Accepted { since: now };
                Ok(vec![Effect::ForgetStrikes, Effect::CallAccepted])
            }
            State::Pending { .. } | State::TimedOut => Err(Refusal::OfferExpired),
            State::Accepted { .. } => Ok(Vec::new()),
            State::Wrapping { .. } | State::Completed | State::Rejected | State::Rescinded(_) | State::Failed => {
                Err(Refusal::OfferLost)
            }
        }
    }

    fn reject(&mut self, by: StaffId) -> Result<Vec<Effect>, Refusal> {
        self.belongs_to(by)?;
        match self.state {
            State::Pending { .. } => {
                self.state = State::Rejected;
                Ok(vec![
                    Effect::CoolDownContact,
                    Effect::ForgetStrikes,
                    Effect::RequeueCall,
                    Effect::SlotFreed,
                ])
            }
            State::Rejected => Ok(Vec::new()),
            State::TimedOut => Err(Refusal::OfferExpired),
            State::Rescinded(_) | State::Failed => Err(Refusal::OfferLost),
            State::Accepted { .. } | State::Wrapping { .. } | State::Completed => Err(Refusal::IllegalTransition),
        }
    }

    fn expire(&mut self, now: Timestamp) -> Result<Vec<Effect>, Refusal> {
        match self.state {
            State::Pending { expires_at } if now >= expires_at => {
                self.state = State::TimedOut;
                Ok(vec![
                    Effect::CoolDownContact,
                    Effect::Strike,
                    Effect::RequeueCall,
                    Effect::SlotFreed,
                ])
            }
            State::Pending { .. } => Err(Refusal::IllegalTransition),
            // The agent or the customer was faster than the reaper.
            State::Accepted { .. }
            | State::Wrapping { .. }
            | State::Completed
            | State::Rejected
            | State::TimedOut
            | State::Rescinded(_)
            | State::Failed => Ok(Vec::new()),
        }
    }

    fn rescind(&mut self, why: Rescinded) -> Result<Vec<Effect>, Refusal> {
        match self.state {
            State::Pending { .. } | State::Accepted { .. } => {
                self.state = State::Rescinded(why);
                Ok(vec![Effect::SlotFreed])
            }
            State::Wrapping { .. } => Err(Refusal::IllegalTransition),
            State::Completed | State::Rejected | State::TimedOut | State::Rescinded(_) | State::Failed => {
                Ok(Vec::new())
            }
        }
    }

    fn fail(&mut self) -> Result<Vec<Effect>, Refusal> {
        match self.state {
            State::Accepted { .. } => {
                self.state = State::Failed;
                Ok(vec![Effect::CoolDownContact, Effect::Strike, Effect::SlotFreed])
            }
            State::Failed => Ok(Vec::new()),
            State::Pending { .. }
            | State::Wrapping { .. }
            | State::Completed
            | State::Rejected
            | State::TimedOut
            | State::Rescinded(_) => Err(Refusal::IllegalTransition),
        }
    }

    fn call_ended(&mut self, now: Timestamp) -> Result<Vec<Effect>, Refusal> {
        match self.state {
            State::Accepted { .. } => {
                self.state = State::Wrapping {
                    ends_at: now.plus(WRAP_UP),
                    extensions: 0,
                };
                Ok(Vec::new())
            }
            State::Wrapping { .. } | State::Completed => Ok(Vec::new()),
            State::Pending { .. } | State::Rejected | State::TimedOut | State::Rescinded(_) | State::Failed => {
                Err(Refusal::IllegalTransition)
            }
        }
    }

    fn release(&mut self) -> Result<Vec<Effect>, Refusal> {
        match self.state {
            State::Accepted { .. } => {
                self.state = State::Completed;
                Ok(vec![Effect::SlotFreed])
            }
            State::Completed => Ok(Vec::new()),
            State::Pending { .. }
            | State::Wrapping { .. }
            | State::Rejected
            | State::TimedOut
            | State::Rescinded(_)
            | State::Failed => Err(Refusal::IllegalTransition),
        }
    }

    fn end_wrap_up(&mut self, now: Timestamp, by: Option<StaffId>) -> Result<Vec<Effect>, Refusal> {
        if let Some(by) = by {
            self.belongs_to(by)?;
        }
        match self.state {
            State::Wrapping { ends_at, .. } if by.is_some() || now >= ends_at => {
                self.state = State::Completed;
                Ok(vec![Effect::SlotFreed])
            }
            State::Completed => Ok(Vec::new()),
            State::Wrapping { .. }
            | State::Pending { .. }
            | State::Accepted { .. }
            | State::Rejected
            | State::TimedOut
            | State::Rescinded(_)
            | State::Failed => Err(Refusal::IllegalTransition),
        }
    }

    fn extend_wrap_up(&mut self, by: StaffId) -> Result<Vec<Effect>, Refusal> {
        self.belongs_to(by)?;
        match self.state {
            State::Wrapping { extensions, .. } if extensions >= WRAP_UP_EXTENSIONS_MAX => Err(Refusal::NoExtensionLeft),
            State::Wrapping { ends_at, extensions } => {
                self.state = State::Wrapping {
                    ends_at: ends_at.plus(WRAP_UP),
                    extensions: extensions + 1,
                };
                Ok(Vec::new())
            }
            State::Pending { .. }
            | State::Accepted { .. }
            | State::Completed
            | State::Rejected
            | State::TimedOut
            | State::Rescinded(_)
            | State::Failed => Err(Refusal::IllegalTransition),
        }
    }

    fn belongs_to(&self, by: StaffId) -> Result<(), Refusal> {
        if self.staff == by {
            Ok(())
        } else {
            Err(Refusal::NotYours)
        }
    }
}
