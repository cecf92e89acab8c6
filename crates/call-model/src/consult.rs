//! A colleague beside the agent: asked, spoken with apart from the customer, or one of three.
//!
//! No state of the call: the agent owns it until the colleague takes it over. The colleague is reserved by an offer of
//! his own, like every agent.
//!
//! Invariant: whatever ends a consultation leaves the customer with an agent, in a queue, or without a call; never
//! alone with the music.

use crate::{OfferId, Refusal, Span, StaffId};

/// How long a colleague is asked: as long as an agent, and the customer hears music meanwhile.
pub const RING: Span = Span::seconds(20);

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The colleague is asked; the customer hears music.
    Ringing,
    /// Agent and colleague speak apart; the customer hears music.
    Talking,
    /// All three speak.
    Conference,
}

/// Why it ended without the colleague having the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// The agent went back to the customer.
    Cancelled,
    /// The colleague said no.
    Rejected,
    /// The colleague said nothing.
    TimedOut,
    /// The colleague has left.
    PartnerLeft,
    /// The colleague's page or line is gone.
    PartnerLost,
    /// The colleague said yes and his line was never there.
    NeverCame,
    /// The agent's line is gone.
    AgentLost,
    /// Somebody else has taken the call over.
    TakenOver,
    /// The call is over.
    CallEnded,
}

impl Why {
    /// All of them.
    pub const ALL: [Why; 9] = [
        Why::Cancelled,
        Why::Rejected,
        Why::TimedOut,
        Why::PartnerLeft,
        Why::PartnerLost,
        Why::NeverCame,
        Why::AgentLost,
        Why::TakenOver,
        Why::CallEnded,
    ];

    /// The word in the call's history.
    pub const fn word(self) -> &'static str {
        match self {
            Why::Cancelled => "cancelled",
            Why::Rejected => "rejected",
            Why::TimedOut => "timeout",
            Why::PartnerLeft => "partner_left",
            Why::PartnerLost => "partner_lost",
            Why::NeverCame => "never_came",
            Why::AgentLost => "agent_lost",
            Why::TakenOver => "taken_over",
            Why::CallEnded => "call_ended",
        }
    }
}

/// One consultation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consult {
    /// The colleague's offer.
    pub offer: OfferId,
    /// Who.
    pub partner: StaffId,
    /// How far it is.
    pub state: State,
    /// Whether the colleague's line is up.
    pub partner_sounds: bool,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A repetition.
    Nothing,
    /// All three speak from now on.
    Merge,
    /// The colleague owns the call from now on.
    HandOver,
    /// It is over, and the agent has the customer.
    End(Why),
}

/// What becomes of a call whose agent is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heir {
    /// The colleague, who speaks with the customer already.
    Partner,
    /// The queue: the customer has never heard the colleague.
    Queue,
}

/// Whether `partner` is to be asked now by the agent of a call in which `present` is; false for a repetition.
///
/// # Errors
/// `IllegalTransition`: another colleague is there already, or nobody asks himself.
pub fn begin(present: Option<&Consult>, agent: StaffId, partner: StaffId) -> Result<bool, Refusal> {
    match present {
        None if partner == agent => Err(Refusal::IllegalTransition),
        None => Ok(true),
        Some(present) if present.partner == partner => Ok(false),
        Some(_) => Err(Refusal::IllegalTransition),
    }
}

impl Consult {
    /// The agent brings the customer in.
    ///
    /// # Errors
    /// `IllegalTransition` while the colleague is only asked.
    pub fn merge(&self) -> Result<Step, Refusal> {
        match self.state {
            State::Ringing => Err(Refusal::IllegalTransition),
            State::Talking => Ok(Step::Merge),
            State::Conference => Ok(Step::Nothing),
        }
    }

    /// The agent leaves the customer to the colleague.
    ///
    /// # Errors
    /// `IllegalTransition` while the colleague cannot be heard: the customer would be alone.
    pub fn complete(&self) -> Result<Step, Refusal> {
        match self.state {
            State::Ringing => Err(Refusal::IllegalTransition),
            State::Talking | State::Conference if !self.partner_sounds => Err(Refusal::IllegalTransition),
            State::Talking | State::Conference => Ok(Step::HandOver),
        }
    }

    /// The agent goes back to the customer.
    pub const fn cancel(&self) -> Step {
        match self.state {
            State::Ringing | State::Talking | State::Conference => Step::End(Why::Cancelled),
        }
    }

    /// The agent's line is gone for good, or he has closed his page.
    pub const fn agent_lost(&self) -> Heir {
        match self.state {
            State::Conference if self.partner_sounds => Heir::Partner,
            State::Ringing | State::Talking | State::Conference => Heir::Queue,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consult(state: State, partner_sounds: bool) -> Consult {
        Consult {
            offer: OfferId(1),
            partner: StaffId(2),
            state,
            partner_sounds,
        }
    }

    #[test]
    fn one_colleague_at_a_time_and_never_oneself() {
        let (agent, partner) = (StaffId(1), StaffId(2));
        let present = consult(State::Talking, true);
        assert_eq!(begin(None, agent, partner), Ok(true));
        assert_eq!(begin(None, agent, agent), Err(Refusal::IllegalTransition));
        assert_eq!(begin(Some(&present), agent, partner), Ok(false));
        assert_eq!(
            begin(Some(&present), agent, StaffId(3)),
            Err(Refusal::IllegalTransition)
        );
    }

    #[test]
    fn every_state_knows_every_step() {
        use State::{Conference, Ringing, Talking};
        let no = Err(Refusal::IllegalTransition);
        let end = Step::End(Why::Cancelled);
        for (state, sounds, merge, complete, heir) in [
            (Ringing, false, no, no, Heir::Queue),
            (Talking, false, Ok(Step::Merge), no, Heir::Queue),
            (Talking, true, Ok(Step::Merge), Ok(Step::HandOver), Heir::Queue),
            (Conference, false, Ok(Step::Nothing), no, Heir::Queue),
            (Conference, true, Ok(Step::Nothing), Ok(Step::HandOver), Heir::Partner),
        ] {
            let consult = consult(state, sounds);
            assert_eq!(consult.merge(), merge, "{consult:?}");
            assert_eq!(consult.complete(), complete, "{consult:?}");
            assert_eq!(consult.cancel(), end, "{consult:?}");
            assert_eq!(consult.agent_lost(), heir, "{consult:?}");
        }
    }

    #[test]
    fn every_end_has_a_word_of_its_own() {
        let mut words = Why::ALL.map(Why::word).to_vec();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Why::ALL.len());
    }
}
