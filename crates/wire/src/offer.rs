//! Offers: an agent is asked to take a call.

use uuid::Uuid;

use crate::{Time, call::CallView, leg::LegGrant, wire};

wire! {
    /// What is offered.
    pub enum OfferKind {
        /// A customer who waits.
        Call,
        /// A colleague who asks for help with his call.
        Consult,
    }
}

wire! {
    /// Server → agent: a call is offered (`call.offered`).
    pub struct Offer {
        /// The offer.
        pub offer_id: Uuid,
        /// The call.
        pub call_id: Uuid,
        /// What is offered.
        pub kind: OfferKind,
        /// Who asks, when a colleague does.
        #[cfg_attr(test, ts(optional = nullable))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub from_name: Option<String>,
        /// Customer's display name.
        pub customer_name: String,
        /// Queue.
        pub queue: String,
        /// When the customer began to wait.
        pub enqueued_at: Time,
        /// When the offer was made.
        pub offered_at: Time,
        /// Until when it can be accepted.
        pub expires_at: Time,
    }
}

wire! {
    /// Reply to accepting an offer.
    pub struct OfferAccepted {
        /// The call.
        pub call: CallView,
        /// The agent's own leg.
        pub leg: LegGrant,
    }
}

wire! {
    /// How an offer ended, to the agent who had it (`offer.ended`).
    pub struct OfferEnded {
        /// The offer.
        pub offer_id: Uuid,
        /// The call.
        pub call_id: Uuid,
        /// `accepted`, `rejected`, `timeout`, `customer_left`, `won_by_other`, `agent_lost`, `withdrawn`, `media`;
        /// `completed` when a consulted colleague's part in the call is over.
        pub reason: String,
    }
}

wire! {
    /// Body of `POST /api/support/offers/{id}/reject`.
    pub struct OfferReject {
        /// Free word for the history, 64 characters at most.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub reason: Option<String>,
    }
}

wire! {
    /// The agent is wrapping up (`call.wrap_up`).
    pub struct WrapUp {
        /// The offer that holds the agent's slot.
        pub offer_id: Uuid,
        /// The call.
        pub call_id: Uuid,
        /// Customer's display name.
        pub customer_name: String,
        /// When the wrap-up ends by itself.
        pub ends_at: Time,
        /// How often it may still be extended.
        pub extensions_left: u32,
    }
}
