//! The TURN relay of a node, for whoever runs it. Nothing here has room for a client's address.

use uuid::Uuid;

use crate::{Time, leg::Part, wire};

wire! {
    /// Over what a client reaches the relay.
    pub enum RelayVia {
        /// TURN over UDP.
        Udp,
        /// TURN over TCP.
        Tcp,
        /// TURN over TLS.
        Tls,
    }
}

wire! {
    /// One allocation at the relay.
    pub struct RelayAllocation {
        /// Names it for `DELETE /api/support/relay/allocations/{id}`.
        pub id: String,
        /// Whose it is.
        pub leg_id: Uuid,
        /// The call of that leg; absent for a line test.
        #[cfg_attr(test, ts(optional = nullable))]
        pub call_id: Option<Uuid>,
        /// What that participant is; absent for a line test.
        #[cfg_attr(test, ts(optional = nullable))]
        pub part: Option<Part>,
        /// Display name of that participant.
        #[cfg_attr(test, ts(optional = nullable))]
        pub name: Option<String>,
        /// Over what the client came.
        pub via: RelayVia,
        /// The client's connection by a keyed hash: the same one has the same until the program starts anew.
        pub flow: String,
        /// Seconds since it was made.
        pub age_seconds: u32,
        /// Seconds until it ends unless it is refreshed.
        pub expires_in_seconds: u32,
        /// Addresses that it may speak to.
        pub permissions: u8,
        /// Of those, with a channel.
        pub channels: u8,
        /// Packets from the client.
        #[cfg_attr(test, ts(type = "number"))]
        pub packets_up: u64,
        /// Packets to the client.
        #[cfg_attr(test, ts(type = "number"))]
        pub packets_down: u64,
        /// Payload from the client, bytes.
        #[cfg_attr(test, ts(type = "number"))]
        pub bytes_up: u64,
        /// Payload to the client, bytes.
        #[cfg_attr(test, ts(type = "number"))]
        pub bytes_down: u64,
        /// Packets dropped in either direction.
        #[cfg_attr(test, ts(type = "number"))]
        pub dropped: u64,
    }
}

wire! {
    /// `GET /api/support/relay`, and the reply to what changes it.
    pub struct RelayState {
        /// The node.
        pub node_id: String,
        /// False where this node has no relay of its own.
        pub on: bool,
        /// True while it makes no new allocation.
        pub draining: bool,
        /// When its secret was last replaced by hand; absent since the start.
        #[cfg_attr(test, ts(optional = nullable))]
        pub rotated_at: Option<Time>,
        /// All of them, oldest first; at most 500.
        pub allocations: Vec<RelayAllocation>,
        /// How many there are.
        pub total: u32,
        /// The server's clock.
        pub server_time: Time,
    }
}

wire! {
    /// Body of what changes the relay.
    pub struct RelayChange {
        /// Free word for the audit log, 64 characters at most.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub reason: Option<String>,
    }
}
