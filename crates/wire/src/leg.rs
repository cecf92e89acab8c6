//! Leg grants, SDP exchange and the servers a browser needs for it.

use uuid::Uuid;

use crate::{Time, wire};

wire! {
    /// One entry for `RTCPeerConnection`'s `iceServers`.
    pub struct IceServer {
        /// `stun:` or `turn:` URLs.
        pub urls: Vec<String>,
        /// TURN user name.
        #[cfg_attr(test, ts(optional = nullable))]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub username: Option<String>,
        /// TURN password.
        #[cfg_attr(test, ts(optional = nullable))]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub credential: Option<String>,
    }
}

wire! {
    /// `RTCPeerConnection`'s `iceTransportPolicy`, for a deployment whose media must not go straight to the server.
    pub enum IcePolicy {
        /// Whatever connects.
        All,
        /// Through a TURN relay only.
        Relay,
    }
}

wire! {
    /// Over what a leg's media goes.
    pub enum LegPath {
        /// Straight between the client and the server.
        #[serde(rename = "direct")]
        Direct,
        /// Through the relay, over UDP.
        #[serde(rename = "turn-udp")]
        TurnUdp,
        /// Through the relay, over TCP.
        #[serde(rename = "turn-tcp")]
        TurnTcp,
        /// Through the relay, over TLS.
        #[serde(rename = "turn-tls")]
        TurnTls,
    }
}

wire! {
    /// The way of one participant's sound.
    pub struct LegLine {
        /// What the participant is.
        pub part: Part,
        /// The last way that his leg went.
        pub path: LegPath,
    }
}

wire! {
    /// What a participant is to the call.
    pub enum Part {
        /// The person who called.
        Customer,
        /// The agent who owns the contact.
        Agent,
        /// A colleague who is consulted.
        Partner,
        /// A supervisor.
        Supervisor,
        /// A line test.
        Preflight,
    }
}

wire! {
    /// The right to attach one leg (`leg.grant`, `POST /api/support/call/{id}/leg`).
    pub struct LegGrant {
        /// The call.
        pub call_id: Uuid,
        /// The leg.
        pub leg_id: Uuid,
        /// Bearer secret, base64url; shown once.
        pub grant: String,
        /// What this participant is.
        pub part: Part,
        /// STUN and TURN servers.
        pub ice_servers: Vec<IceServer>,
        /// What the connection may use, where the deployment says so.
        #[cfg_attr(test, ts(optional = nullable))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub ice_transport_policy: Option<IcePolicy>,
        /// Until when the first offer must come.
        pub expires_at: Time,
    }
}

wire! {
    /// Body of `POST /api/support/call/{id}/leg`; only a service key may name a part.
    pub struct LegRequest {
        /// For which participant.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub part: Option<Part>,
    }
}

wire! {
    /// Client → server: an offer (`leg.offer`) or an ICE restart (`leg.restart`).
    pub struct LegOffer {
        /// The leg.
        pub leg_id: Uuid,
        /// The grant's secret.
        pub grant: String,
        /// The offer.
        pub sdp: String,
    }
}

wire! {
    /// Server → client: the answer (`leg.answer`).
    pub struct LegAnswer {
        /// The leg.
        pub leg_id: Uuid,
        /// The answer.
        pub sdp: String,
    }
}

wire! {
    /// Client → server: a trickled candidate (`leg.candidate`); counted, never dialled.
    pub struct LegCandidate {
        /// The leg.
        pub leg_id: Uuid,
        /// The grant's secret.
        pub grant: String,
        /// The candidate line.
        pub candidate: String,
    }
}

wire! {
    /// Client → server: a fresh grant is wanted, after a reload or before a restart (`leg.renew`).
    pub struct LegRenew {
        /// The call whose leg of mine it is.
        pub call_id: Uuid,
    }
}
