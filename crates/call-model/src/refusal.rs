//! Why a decision said no: stable codes that the API, the consoles and the metrics share.

/// A named refusal. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The customer has a live call already.
    AlreadyInCall,
    /// Somebody else has the call, or it is over.
    OfferLost,
    /// The offer's lease ran out.
    OfferExpired,
    /// The offer or call belongs to another agent.
    NotYours,
    /// The input makes no sense in this state.
    IllegalTransition,
    /// No extension of the wrap-up is left.
    NoExtensionLeft,
    /// The agent has no free slot.
    AgentFull,
    /// The agent cannot be offered calls now.
    AgentNotRoutable,
    /// Somebody on the call would have to hear more voices at once than he has streams for.
    TooManyVoices,
}

impl Refusal {
    /// Every refusal.
    pub const ALL: [Refusal; 9] = [
        Refusal::AlreadyInCall,
        Refusal::OfferLost,
        Refusal::OfferExpired,
        Refusal::NotYours,
        Refusal::IllegalTransition,
        Refusal::NoExtensionLeft,
        Refusal::AgentFull,
        Refusal::AgentNotRoutable,
        Refusal::TooManyVoices,
    ];

    /// Stable snake_case word.
    pub const fn code(self) -> &'static str {
        match self {
            Refusal::AlreadyInCall => "already_in_call",
            Refusal::OfferLost => "offer_lost",
            Refusal::OfferExpired => "offer_expired",
            Refusal::NotYours => "not_yours",
            Refusal::IllegalTransition => "illegal_transition",
            Refusal::NoExtensionLeft => "no_extension_left",
            Refusal::AgentFull => "agent_full",
            Refusal::AgentNotRoutable => "agent_not_routable",
            Refusal::TooManyVoices => "too_many_voices",
        }
    }
}
