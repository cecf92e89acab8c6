//! The TURN server without sockets, clock or randomness: datagrams and instants in, answers and packets out.
//!
//! One core per worker thread. The driver owns the sockets and hands every datagram, or every message that it cut out of
//! a stream ([`framing`]), to [`Core::client`]; what a shard sends back goes through [`Core::from_shard`]. All that the
//! core wants it asks of an [`Edge`] during the call; it keeps nothing to be drained. [`Core::tick`] must be called at
//! [`Core::wake_at`] at the latest.
//!
//! Invariant: before the first authenticated Allocate of a flow nothing is stored about it. A reply goes to where the
//! request came from (RFC 5780's tests: another port of the same IP). Nothing is allocated on the heap per relayed
//! datagram.

pub mod address;
mod allocation;
mod behaviour;
mod budget;
mod churn;
mod config;
mod counters;
pub mod credential;
mod data;
mod edge;
pub mod framing;
mod front;
pub(crate) mod hash;
mod methods;
mod nonce;
mod peers;
pub mod proxy;
mod quota;
mod table;
mod view;
mod virtual_ports;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ports::{LegId, LegState};

pub use allocation::{CHANNEL_S, LIFETIME_S_MAX, LIFETIME_S_MIN, PERMISSION_S};
pub use churn::ALLOCATES_PER_PLACE;
pub use config::{Behaviour, Config, Dialect, Gate, Limits, Listener, Relayed, Unusable};
pub use counters::{Counters, ERROR_CODES, NO_CAPACITY, Rejected, Stage, Traffic, via_index};
pub use data::{FRONT_BYTES, TAIL_BYTES, Wrapped};
pub use edge::{At, Edge, Flow, Handle, Network, Shards};
pub use nonce::{NONCE_AGE_S_MAX, NonceKey};
pub use peers::{AllowList, Kind, Peers, Virtual};
pub use quota::Quota;
pub use table::Footprint;
pub use virtual_ports::{PORT_FIRST, PORT_FIRST_MIN, PORT_REST_S, RELAYED_IPS_MAX};

use allocation::{Allocation, SECOND_NS};
use budget::Budget;
use churn::Churn;
use credential::Secrets;
use nonce::Nonces;
use table::Table;

/// Nanoseconds between two ticks while there are allocations: twenty slices of the check of legs.
const TICK_NS: u64 = 50_000_000;

/// Every allocation's leg is asked for within this time of ticks on time, a tenth below the second that is promised.
const LEGS_ROUND_NS: u64 = 900_000_000;

/// Generations that a place has in one core before they could meet those of the core that takes its place: more than
/// anybody allocates between two defects.
const GENERATIONS: u32 = 1 << 24;

/// Longest realm in bytes: every refusal carries it.
const REALM_BYTES_MAX: usize = 64;

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Dropped in silence.
    Dropped(Stage),
    /// Answered with success.
    Answered,
    /// Answered with this error number.
    Refused(u16),
    /// Handed on.
    Relayed,
}

/// See the top of this file. `K`: [`Virtual`] or [`AllowList`].
pub struct Core<K: Kind> {
    worker: u16,
    turn: bool,
    draining: bool,
    realm: Box<str>,
    listeners: Vec<Listener>,
    behaviour: Behaviour,
    limits: Limits,
    gate: Gate,
    dialect: Dialect,
    leg_names: credential::LegNames,
    secrets: Secrets,
    nonces: Nonces,
    budget: Budget,
    quota: Arc<Mutex<Quota>>,
    churn: Churn,
    table: Table<K>,
    peers: K,
    counters: Counters,
    /// Names flows towards staff.
    flow_names: ring::hmac::Key,
    /// Number of the next Data indication, and what tells this core's from another's.
    indications: u64,
    indication_tag: [u8; 4],
    /// Where the check of legs goes on, and when it last looked.
    legs_from: u32,
    ticked_ns: u64,
}

impl Core<Virtual> {
    /// A core in virtual mode. `shards`: the advertised addresses of each, in the order that [`Shards::deliver`] counts.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn new(at: At, config: Config, shards: &[Vec<SocketAddr>]) -> Result<Core<Virtual>, Unusable> {
        let candidates: usize = shards.iter().map(Vec::len).sum();
        if candidates == 0 && config.turn {
            return Err(Unusable::NoCandidates);
        }
        if candidates > 256 {
            return Err(Unusable::TooManyCandidates);
        }
        if config.workers == 0 || config.workers > 64 || config.worker >= config.workers {
            return Err(Unusable::Worker(config.worker, config.workers));
        }
        if !config.relayed.is_usable() {
            return Err(Unusable::Relayed);
        }
        let peers = Virtual::new(shards, &config);
        Core::with(at, config, peers)
    }
}

impl Core<AllowList> {
    /// A core in allow-list mode. `v4`, `v6`: which families of relay sockets exist.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn new(
        at: At,
        config: Config,
        rules: Vec<address::PeerRule>,
        [v4, v6]: [bool; 2],
    ) -> Result<Core<AllowList>, Unusable> {
        let listeners = config.listeners.iter().map(|listener| listener.address).collect();
        let peers = AllowList {
            rules: address::PeerRules::new(rules, listeners),
            families: [v4, v6],
        };
        Core::with(at, config, peers)
    }
}

impl<K: Kind> Core<K> {
    fn with(at: At, config: Config, peers: K) -> Result<Core<K>, Unusable> {
        if config.realm.is_empty() || config.realm.len() > REALM_BYTES_MAX {
            return Err(Unusable::Realm);
        }
        let tag = ring::digest::digest(&ring::digest::SHA256, &[&config.seed[..], b"indications"].concat());
        let mut indication_tag = [0; 4];
        indication_tag.copy_from_slice(&tag.as_ref()[..4]);
        Ok(Core {
            worker: config.worker,
            turn: config.turn,
            draining: false,
            realm: config.realm.into_boxed_str(),
            table: Table::new(
                &config.seed,
                if config.turn { config.limits.allocations } else { 0 },
                at.now_s(),
            ),
            listeners: config.listeners,
            behaviour: config.behaviour,
            limits: config.limits,
            gate: config.gate,
            dialect: config.dialect,
            leg_names: config.leg_names,
            secrets: config.secrets,
            nonces: Nonces::new(config.nonce_key),
            budget: Budget::new(&config.seed),
            quota: config.quota,
            churn: Churn::new(&config.seed),
            peers,
            counters: Counters::default(),
            flow_names: ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &config.seed),
            indications: u64::from(config.worker) << 48,
            indication_tag,
            legs_from: 0,
            ticked_ns: at.now_ns,
        })
    }

    /// Whether this flow has an allocation: a stream without one is still unauthenticated.
    #[must_use]
    pub fn holds(&self, flow: &Flow) -> bool {
        self.table.find(flow).is_some()
    }

    /// Allocations alive.
    #[must_use]
    pub fn allocations(&self) -> usize {
        self.table.len()
    }

    /// True: new Allocates are refused (508), what runs goes on.
    pub fn drain(&mut self, draining: bool) {
        self.draining = draining;
    }

    /// This core takes the place of another one, as the `restarts`-th to do so: a path of an allocation that it had leads to
    /// none of this one's. To be called before anything is allocated.
    pub fn succeeds(&mut self, restarts: u32) {
        self.table.begin_at(restarts.wrapping_mul(GENERATIONS));
    }

    /// The secrets that credentials are judged with from now on. What is allocated runs on: its key is kept.
    pub fn set_secrets(&mut self, secrets: Secrets) {
        self.secrets = secrets;
    }

    /// The key that nonces are made with from now on; the one before still counts.
    pub fn set_nonce_key(&mut self, key: NonceKey) {
        self.nonces.rotate(key);
    }

    /// What this core has done.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Sizes of the tables, for tests.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        self.table.footprint()
    }

    /// When [`Core::tick`] is due, in the time of [`At::now_ns`]; `None`: not before something is allocated.
    #[must_use]
    pub fn wake_at(&self) -> Option<u64> {
        (self.table.len() > 0).then(|| self.ticked_ns + TICK_NS)
    }

    fn quota(&self) -> MutexGuard<'_, Quota> {
        // Counts are whole after every statement: a panic of another worker leaves nothing half done.
        self.quota.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One datagram of a client, or one message cut out of its stream.
    pub fn client<E: Edge>(&mut self, at: At, flow: Flow, bytes: &[u8], edge: &mut E) -> Outcome
    where
        K: Peers<E>,
    {
        let outcome = match bytes.first() {
            _ if bytes.len() > framing::MESSAGE_BYTES_MAX => Outcome::Dropped(Stage::Length),
            Some(0x00..=0x03) => self.stun(at, flow, bytes, edge),
            Some(&first) if self.dialect.channel_begins_with(first) => self.channel_data(at, flow, bytes, edge),
            Some(_) | None => Outcome::Dropped(Stage::Length),
        };
        match outcome {
            Outcome::Dropped(stage) => self.counters.dropped(stage),
            Outcome::Refused(code) => self.counters.error(code),
            Outcome::Answered | Outcome::Relayed => {}
        }
        outcome
    }

    /// A stranger's request was passed over by the driver, because more wait than it can read.
    pub fn passed_over(&mut self) {
        self.counters.dropped(Stage::Crowd);
    }

    /// A stream has ended: its allocation is gone (RFC 8656 §7.2, the 5-tuple no longer exists).
    pub fn closed<E: Edge>(&mut self, at: At, flow: &Flow, edge: &mut E)
    where
        K: Peers<E>,
    {
        if let Some(slot) = self.table.find(flow) {
            self.free(at, slot, edge);
        }
    }

    /// Frees every allocation of a leg; returns how many there were.
    pub fn close_leg<E: Edge>(&mut self, at: At, leg: LegId, edge: &mut E) -> usize
    where
        K: Peers<E>,
    {
        let mut freed = 0;
        while let Some(slot) = self.table.of_leg(leg) {
            self.free(at, slot, edge);
            freed += 1;
            debug_assert_ne!(
                self.table.of_leg(leg),
                Some(slot),
                "a leg's chain holds what is in the table"
            );
        }
        freed
    }

    /// Ends what is over, and asks for the legs of the next slice.
    pub fn tick<E: Edge>(&mut self, at: At, edge: &mut E)
    where
        K: Peers<E>,
    {
        while let Some(slot) = self.table.ended(at.now_s()) {
            self.free(at, slot, edge);
        }
        let passed = at.now_ns.saturating_sub(self.ticked_ns).min(LEGS_ROUND_NS);
        self.ticked_ns = at.now_ns;
        let places = self.table.places();
        let slice = (places as u64 * passed).div_ceil(LEGS_ROUND_NS);
        for _ in 0..slice {
            self.legs_from = if (self.legs_from as usize) < places {
                self.legs_from
            } else {
                0
            };
            let slot = self.legs_from;
            self.legs_from += 1;
            let over = |allocation: &Allocation<K>| leg_is_over(edge.leg_state(allocation.leg));
            if self.table.at(slot).is_some_and(over) {
                self.free(at, slot, edge);
            }
        }
    }

    /// The one way out: table, quota, port, gauge.
    fn free<E: Edge>(&mut self, at: At, slot: u32, edge: &mut E)
    where
        K: Peers<E>,
    {
        let handle = self.table.handle(slot);
        let Some(allocation) = self.table.remove(slot) else {
            return;
        };
        self.quota()
            .give_back(allocation.leg, allocation.flow.remote.ip(), allocation.families());
        for relayed in allocation.relayed.into_iter().flatten() {
            self.peers.close(edge, at.now_s(), handle, relayed);
        }
        *self.gauge(&allocation) -= 1;
        edge.freed(&allocation.flow);
    }

    fn gauge(&mut self, allocation: &Allocation<K>) -> &mut u32 {
        let family = match allocation.relayed {
            [Some(_), Some(_)] => 2,
            [None, _] => 1,
            [Some(_), None] => 0,
        };
        &mut self.counters.allocations[via_index(allocation.flow.via)][family]
    }
}

/// The quota is the process's and outlives a worker.
impl<K: Kind> Drop for Core<K> {
    fn drop(&mut self) {
        let mut quota = self.quota.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, allocation) in self.table.all() {
            quota.give_back(allocation.leg, allocation.flow.remote.ip(), allocation.families());
        }
    }
}

/// `Unknown` too: there was a grant when the allocation was made, so it has been forgotten since.
fn leg_is_over(state: LegState) -> bool {
    match state {
        LegState::Gone | LegState::Unknown => true,
        LegState::Granted | LegState::Live => false,
    }
}

impl At {
    /// Whole seconds of the monotonic clock.
    fn now_s(self) -> u32 {
        (self.now_ns / SECOND_NS) as u32
    }

    /// The second at which something ends that lives `seconds` from now: never early, a second late at most.
    fn until_s(self, seconds: u32) -> u32 {
        self.now_ns.div_ceil(SECOND_NS) as u32 + seconds
    }
}
