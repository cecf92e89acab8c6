//! What the core asks of whoever drives it, and what it is asked with.
//!
//! Invariant (T7): a core in virtual mode is driven through [`Shards`], which has no way to send to a peer. Only
//! [`Network`], the allow-list's edge, has one, and the two never meet in one core:
//!
//! ```compile_fail,E0277
//! use turn_relay::core::{At, Core, Flow, Network, Virtual};
//! fn send_anywhere(core: &mut Core<Virtual>, at: At, flow: Flow, edge: &mut impl Network) {
//!     core.client(at, flow, &[], edge); // a virtual core is driven by `Shards` only
//! }
//! ```

use std::net::SocketAddr;

use ports::{Accepted, FromRelay, LegId, LegState, Via};

/// The time of a call: both clocks, read by the driver once per batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Monotonic nanoseconds since any fixed moment.
    pub now_ns: u64,
    /// Unix time in seconds, for credentials and nonces.
    pub unix_s: u64,
}

/// A client's 5-tuple as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Over what it came.
    pub via: Via,
    /// Which of [`super::Config::listeners`] it came to; a reply leaves from there.
    pub local: u8,
    /// Where it came from.
    pub remote: SocketAddr,
    /// A number of the driver's. For a stream not used again while the process lives; for UDP it says which of the
    /// machine's addresses was asked where a listener is bound to all of them, else 0.
    pub connection: u32,
}

/// What every core asks during a call.
pub trait Edge {
    /// Sends `bytes` to a client. `flow` is the one that asked, or for a STUN test (RFC 5780) another listener or port
    /// of the same client. What a stream gets is whole messages, padded as streams need it; a control answer is never
    /// dropped by a queue's length.
    fn reply(&mut self, flow: &Flow, bytes: &[u8]);

    /// Fills `bytes` from the operating system's random source.
    fn random(&mut self, bytes: &mut [u8]);

    /// What media knows of this leg.
    fn leg_state(&self, leg: LegId) -> LegState;

    /// An allocation has ended (expired, hung up, killed or given back); a stream may be closed behind it.
    fn freed(&mut self, flow: &Flow) {
        let _ = flow;
    }
}

/// What a core in virtual mode asks on top: no sockets, no peers, only our own shards.
pub trait Shards: Edge {
    /// Hands a client's packet to a shard: copied into its ring.
    fn deliver(&mut self, shard: usize, packet: FromRelay<'_>) -> Accepted;
}

/// Names one allocation towards the driver of an allow-list core; a later one in the same place has another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle {
    /// Place in the table of allocations.
    pub slot: u32,
    /// Which allocation in that place.
    pub generation: u32,
}

/// What a core in allow-list mode asks on top: real sockets.
pub trait Network: Edge {
    /// Binds a relay socket of the family; `even`: on an even port. `None`: nothing is left (508).
    fn open(&mut self, handle: Handle, v6: bool, even: bool) -> Option<SocketAddr>;

    /// Closes the socket of [`Network::open`].
    fn close(&mut self, handle: Handle, relayed: SocketAddr);

    /// Sends `payload` from the allocation's socket of the peer's family. Never reports an error of the network.
    fn to_peer(&mut self, handle: Handle, peer: SocketAddr, dont_fragment: bool, payload: &[u8]) -> Accepted;
}
