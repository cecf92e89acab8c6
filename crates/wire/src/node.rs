//! The node itself, for whoever runs it.

use crate::wire;

wire! {
    /// Body of `POST /api/support/node/drain`.
    pub struct DrainStart {
        /// Seconds after which calls that still live are ended, 0 to 86,400; a quarter of an hour when
        /// absent.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub seconds: Option<u32>,
        /// Free word for the audit log, 64 characters at most.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub reason: Option<String>,
    }
}

wire! {
    /// Body of `DELETE /api/support/node/drain`.
    pub struct DrainUndo {
        /// Free word for the audit log, 64 characters at most.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub reason: Option<String>,
    }
}

wire! {
    /// `GET /api/support/node/drain`, and the reply to `POST` and `DELETE`: how far the emptying of this node is.
    pub struct DrainState {
        /// The node.
        pub node_id: String,
        /// True while it takes no new calls.
        pub draining: bool,
        /// Calls of this node that live, the waiting ones among them.
        pub calls: u32,
        /// Of those, how many wait for an agent.
        pub waiting: u32,
        /// Rooms of media that live, whether the node serves or is being emptied.
        pub rooms: u32,
        /// Age of the oldest of them in seconds.
        pub oldest_seconds: u32,
        /// Seconds until what still lives is ended; absent while the node serves.
        #[cfg_attr(test, ts(optional = nullable))]
        pub closes_in_seconds: Option<u32>,
    }
}
