//! What this part is told at its start. Read by `server` from file, environment and command line; nothing here parses.

use std::net::IpAddr;
use std::path::PathBuf;

use media_core::limits::{self, CONSENT, CONSENT_MAX, CONSENT_MIN, SECOND};

use crate::admission::{BUSY_MAX, BUSY_SHED};
use crate::affinity::Pin;
use crate::music::{HoldMusic, Waiting};
use crate::recorder::Marks;

/// Where the first shard listens; shard k has this port plus k.
pub const BASE_PORT: u16 = 40_000;
/// Legs that a shard takes before new rooms are refused, whatever its load: of the 4,096 that its tables hold, a quarter
/// stays for partners and supervisors who join calls that live. The measured load decides before ([`crate::admission`]).
pub const LEGS_PER_SHARD: u32 = 3_000;
/// Least that may be set: one room, or the node refuses every call for ever.
pub const LEGS_PER_SHARD_MIN: u32 = LEGS_RESERVED_PER_ROOM;
/// Most that may be set: what the engine's tables hold.
pub const LEGS_PER_SHARD_MAX: u32 = limits::LEGS_PER_SHARD_MAX as u32;
/// Legs that a new room counts as at once: the customer and the agent, of whom one may not have come yet.
pub const LEGS_RESERVED_PER_ROOM: u32 = 2;
/// Most shards: more threads than any machine we know has cores to spare.
pub const SHARDS_MAX: usize = 64;

/// Seconds without a valid connectivity check after which a line is over, see [`Config::consent_s`].
pub const CONSENT_S: u32 = (CONSENT / SECOND) as u32;
/// Least that may be set: browsers check every 4 to 6 s, and a handover between networks takes several.
pub const CONSENT_S_MIN: u32 = (CONSENT_MIN / SECOND) as u32;
/// Most that may be set: consent itself lasts 30 s (RFC 7675 §5.1).
pub const CONSENT_S_MAX: u32 = (CONSENT_MAX / SECOND) as u32;

/// Most that [`Config::busy_max`] may be: from there on listeners are put out, and none must come in beside.
pub const BUSY_MAX_MAX: f64 = BUSY_SHED;

/// Settings of media.
#[derive(Clone, Debug)]
pub struct Config {
    /// Number of shards, 1 to [`SHARDS_MAX`]; each is a thread with a port.
    pub shards: usize,
    /// Addresses to bind, one per family; port 0 of [`Config::base_port`] means any free port (tests).
    pub bind: Vec<IpAddr>,
    /// See [`BASE_PORT`].
    pub base_port: u16,
    /// Addresses told to browsers as host candidates.
    pub advertise: Vec<IpAddr>,
    /// Datagrams per system call, 1 to 256.
    pub batch: usize,
    /// Legs that a shard takes, see [`LEGS_PER_SHARD`]; [`LEGS_PER_SHARD_MIN`] to [`LEGS_PER_SHARD_MAX`].
    pub legs_per_shard: u32,
    /// Share of its core from which on a shard takes no new room, above 0 and at most [`BUSY_MAX_MAX`].
    pub busy_max: f64,
    /// Which core each shard runs on.
    pub pin: Pin,
    /// Seconds without a valid check that end a line, [`CONSENT_S_MIN`] to [`CONSENT_S_MAX`].
    pub consent_s: u32,
    /// Epoch of this node's start; stamped on every event.
    pub node_epoch: u64,
    /// Name of this node, for the spool.
    pub node_id: String,
    /// Folder for spool, journal and stored recordings.
    pub data: PathBuf,
    /// Seconds that a spool segment is kept after everything in it is stored and acknowledged.
    pub keep_after_stored_s: u64,
    /// From which percent of the spool's disk on recordings are refused.
    pub disk_marks: Marks,
    /// What customers on hold hear.
    pub hold_music: HoldMusic,
    /// What customers hear who wait for an agent.
    pub waiting: Waiting,
}

impl Config {
    /// Defaults for a node that listens on `bind` and is reached at `advertise`.
    #[must_use]
    pub fn new(data: PathBuf, node_id: String, node_epoch: u64, bind: Vec<IpAddr>, advertise: Vec<IpAddr>) -> Config {
        Config {
            shards: 1,
            bind,
            base_port: BASE_PORT,
            advertise,
            batch: udp::BATCH_MAX,
            legs_per_shard: LEGS_PER_SHARD,
            busy_max: BUSY_MAX,
            pin: Pin::default(),
            consent_s: CONSENT_S,
            node_epoch,
            node_id,
            data,
            keep_after_stored_s: 3_600,
            disk_marks: Marks::default(),
            hold_music: HoldMusic::default(),
            waiting: Waiting::default(),
        }
    }
}
