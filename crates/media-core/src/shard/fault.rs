//! A defect on purpose, for the tests of whoever must contain one. Exists only with the feature `faults`, which no product
//! build has: the tidy test forbids it outside of test dependencies.
//!
//! Invariant: it strikes once, while the leg it was meant for is the one that is being worked on.

use crate::LegId;

/// Where it strikes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// A packet of the wire, opened and not yet judged.
    #[default]
    Datagram,
    /// The same, come through the relay.
    Relayed,
    /// A timer of the leg.
    Tick,
    /// A command about a living leg, before it has changed anything.
    Command,
    /// The leg is to be made, and in no table yet.
    Adding,
    /// The leg is new: in the tables, and not yet in its room.
    Joining,
}

/// What is planned, and at which stage the shard is.
#[derive(Debug, Default)]
pub(super) struct Fault {
    planned: Option<(Stage, LegId)>,
    stage: Stage,
}

impl Fault {
    pub(super) fn plan(&mut self, stage: Stage, leg: LegId) {
        self.planned = Some((stage, leg));
    }

    pub(super) fn enter(&mut self, stage: Stage) {
        self.stage = stage;
    }

    /// The shard has begun to work on this leg.
    pub(super) fn meet(&mut self, leg: LegId) {
        if self.planned == Some((self.stage, leg)) {
            self.planned = None;
            panic!("the defect that a test wants");
        }
    }
}
