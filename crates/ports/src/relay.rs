//! What the TURN relay and media hand to each other, and what the desk asks of the relay.
//!
//! A relayed address is virtual: nobody binds it. What a client sends through its allocation is handed to the shard
//! that advertises the peer address, and what the shard sends back goes by the path it came from. Neither direction
//! names a socket, so neither can send to anybody who has not sent first.
//!
//! Invariant: nothing here waits. A full ring says so, and the packet is lost as on any line.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use call_model::LegId;

use crate::Later;

/// Over what a client reaches the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Via {
    /// TURN over UDP.
    Udp,
    /// TURN over TCP.
    Tcp,
    /// TURN over TLS.
    Tls,
}

impl Via {
    /// All, in order of preference.
    pub const ALL: [Via; 3] = [Via::Udp, Via::Tcp, Via::Tls];

    /// Stable word for metrics and API: `udp`, `tcp`, `tls`.
    pub const fn word(self) -> &'static str {
        match self {
            Via::Udp => "udp",
            Via::Tcp => "tcp",
            Via::Tls => "tls",
        }
    }
}

/// Over what a leg's media goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Route {
    /// Straight between the client and the shard's port.
    Direct,
    /// Through the relay.
    Relayed(Via),
}

impl Route {
    /// All, in order of preference.
    pub const ALL: [Route; 4] = [
        Route::Direct,
        Route::Relayed(Via::Udp),
        Route::Relayed(Via::Tcp),
        Route::Relayed(Via::Tls),
    ];

    /// Stable word for metrics, database and API: `direct`, `turn-udp`, `turn-tcp`, `turn-tls`.
    pub const fn word(self) -> &'static str {
        match self {
            Route::Direct => "direct",
            Route::Relayed(Via::Udp) => "turn-udp",
            Route::Relayed(Via::Tcp) => "turn-tcp",
            Route::Relayed(Via::Tls) => "turn-tls",
        }
    }
}

/// The way back to one client through one allocation; not an address. It dies with the allocation: a later one in the
/// same place has another `generation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RelayPath {
    /// Which relay worker.
    pub worker: u16,
    /// Which place in the worker's table of allocations.
    pub slot: u32,
    /// Which allocation in that place.
    pub generation: u32,
    /// Which peer of the allocation: its channel or permission.
    pub peer: u8,
    /// Over what the client came.
    pub via: Via,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is on its way.
    Taken,
    /// The ring is full: dropped.
    Full,
    /// The path does not exist any more: dropped.
    Gone,
}

/// One packet out of an allocation on its way to a shard.
#[derive(Debug)]
pub struct FromRelay<'a> {
    /// The way back.
    pub path: RelayPath,
    /// The leg whose credential the allocation was made with.
    pub leg: LegId,
    /// The virtual relayed address: what the client believes to send from.
    pub relayed: SocketAddr,
    /// The advertised address of the shard that it was sent to.
    pub peer: SocketAddr,
    /// The client's payload, 1 to 1,500 bytes; its first byte is 0–3, 20–63 or 128–191 (RFC 7983 §7).
    pub payload: &'a [u8],
}

/// Where a relay worker puts what is for one shard; made by media, one per worker and shard, owned by the worker.
pub trait RelaySink: Send {
    /// Hands over one packet: a copy into a ring. Never blocks, never [`Accepted::Gone`].
    fn deliver(&mut self, packet: FromRelay<'_>) -> Accepted;

    /// Ends a batch: wakes the shard, at most once, and only if it sleeps.
    fn flush(&mut self);
}

/// Where a shard puts what is for clients behind one relay worker; made by the relay, one per shard and worker, owned by
/// the shard.
pub trait RelayEgress: Send {
    /// Hands over one packet of 1 to 1,600 bytes for `path`, whose `worker` is the one this belongs to. After
    /// [`Accepted::Gone`] nothing more is handed over for this path until its client was heard through it again.
    fn transmit(&mut self, path: RelayPath, payload: &[u8]) -> Accepted;

    /// Ends a batch: wakes the worker, at most once, and only if it sleeps.
    fn flush(&mut self);
}

/// What a guest has taken from a descriptor in one read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuestRead {
    /// Datagrams, whatever became of them.
    pub datagrams: usize,
    /// Of those, the ones that were of no living allocation: requests of strangers, and rubbish.
    pub strangers: usize,
}

/// A relay worker without a thread of its own: the only shard of a node runs it in its thread, so that between a
/// client's socket and the engine nobody has to be woken. Made by the relay, owned by the shard.
///
/// A turn of the host: [`RelayGuest::read`] for what is readable, its own work, [`RelayGuest::write`]; and
/// [`RelayGuest::park`] before it waits. None of it blocks.
pub trait RelayGuest: Send {
    /// What the host waits for, to be readable; the same ones in the same order as long as this lives.
    fn descriptors(&self) -> Vec<BorrowedFd<'_>>;

    /// Takes at most one batch from the descriptor of this number, hands what is for the shard to its sink, and answers who
    /// asks: all that strangers cost is in here.
    fn read(&mut self, descriptor: usize) -> GuestRead;

    /// Ends a turn: sends what the shard has handed over and does what is due by time. False when the relay was stopped: the
    /// host lets go of this.
    fn write(&mut self) -> bool;

    /// The host is about to wait, from now on whoever has something for this wakes it by a descriptor. Returns the
    /// longest wait in milliseconds, 0 when something is there already.
    fn park(&mut self) -> u32;

    /// The host is awake.
    fn unpark(&mut self);
}

/// One shard as the relay sees it: a peer that may be named, and where to put what is for it.
pub struct RelayShard {
    /// Advertised addresses, one or two (IPv4, IPv6): not the bound ones, behind 1:1 NAT they differ.
    pub candidates: Vec<SocketAddr>,
    /// One per worker, in the order of the workers.
    pub sinks: Vec<Box<dyn RelaySink>>,
}

/// What media knows about a leg that somebody wants to relay for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegState {
    /// It has a grant and no transport yet.
    Granted,
    /// It has a transport, or may get one again.
    Live,
    /// It was there and has ended.
    Gone,
    /// Nobody has heard of it here.
    Unknown,
}

/// Media's answer about legs. Asked at Allocate and Refresh and once a second per allocation, never per packet; must
/// answer at once.
pub trait RelayLegs: Send + Sync {
    /// What is known of this leg.
    fn state(&self, leg: LegId) -> LegState;
}

/// Credentials of one leg for the relay.
#[derive(Clone, PartialEq, Eq)]
pub struct TurnGrant {
    /// `turn:` and `turns:` URLs (RFC 7065), best first.
    pub urls: Vec<String>,
    /// `expiry:leg:key`, ASCII, at most 64 bytes.
    pub username: String,
    /// Base64 of the HMAC-SHA1 of the user name.
    pub credential: String,
    /// Seconds until nothing can be allocated with it any more; what runs, runs on.
    pub expires_in_s: u32,
}

impl std::fmt::Debug for TurnGrant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TurnGrant({} URLs, {} s)", self.urls.len(), self.expires_in_s)
    }
}

/// Makes credentials; implemented by the relay, asked by the desk whenever it makes or renews a leg grant.
pub trait TurnCredentials: Send + Sync {
    /// Credentials for this leg; `None` while the relay is off or drains.
    fn mint(&self, leg: LegId) -> Option<TurnGrant>;
}

/// One allocation as staff see it. The client's address is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocationView {
    /// Names it for [`RelayControl::kill`]: worker, place and generation.
    pub id: String,
    /// Whose it is.
    pub leg: LegId,
    /// Over what its client came.
    pub via: Via,
    /// The client's flow by keyed hash, 16 hexadecimal digits: the same client has the same one until the restart.
    pub flow: String,
    /// The virtual relayed addresses, one or two.
    pub relayed: Vec<SocketAddr>,
    /// Seconds since it was made.
    pub age_s: u32,
    /// Seconds until it ends unless it is refreshed.
    pub expires_in_s: u32,
    /// Permissions, and of those with a channel.
    pub permissions: u8,
    /// Channels.
    pub channels: u8,
    /// Packets from the client.
    pub packets_up: u64,
    /// Packets to the client.
    pub packets_down: u64,
    /// Payload bytes from the client.
    pub bytes_up: u64,
    /// Payload bytes to the client.
    pub bytes_down: u64,
    /// Packets dropped in either direction.
    pub dropped: u64,
}

/// How the relay's workers are: those that read UDP, and the one of TCP and TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayHealth {
    /// How many there are.
    pub workers: usize,
    /// Of those, how many have come to the end of a turn lately; each does once a second.
    pub alive: usize,
    /// Defects that were contained since the start: each has cost one flow, or all allocations of one worker.
    pub panics: u64,
}

/// The secret was exchanged so lately that a new one would cut off who got his credential before that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSoon {
    /// Seconds until it may be, at least 1.
    pub wait_s: u32,
}

/// What staff and media may do to the relay. All of it may be called from any thread and returns at once; what is
/// awaited is a worker's answer.
pub trait RelayControl: Send + Sync {
    /// Frees every allocation of the leg within a second: the call is over.
    fn close_leg(&self, leg: LegId);

    /// Every allocation of this node, by age.
    fn list(&self) -> Later<'_, Vec<AllocationView>>;

    /// Frees one allocation; false if there is none under this id.
    fn kill<'a>(&'a self, id: &'a str) -> Later<'a, bool>;

    /// True: no new allocation (508), what runs goes on. False undoes it.
    fn drain(&self, draining: bool);

    /// How its workers are.
    fn health(&self) -> RelayHealth;

    /// Seconds until the secret may be exchanged again, 0: now.
    fn rotates_in_s(&self) -> u32;

    /// From now on credentials are made with a new secret; those made with the one before count on until they run out.
    ///
    /// # Errors
    /// [`TooSoon`]: there are two secrets, and credentials made with the older one still count.
    fn rotate_secret(&self) -> Result<(), TooSoon>;
}
