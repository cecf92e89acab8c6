//! What the relay may know of legs: the answer to who has a credential and wants an allocation, and the word that a leg
//! is over.
//!
//! A table of its own, so that a worker which asks in the middle of its packets never waits for an SDP document.
//!
//! Invariant: a leg is in one state, and from `Gone` only a new grant brings it back.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, OnceLock};

use call_model::LegId;
use ports::{LegState, RelayControl, RelayHealth, RelayLegs};

use crate::plane::lock;

/// Legs that are remembered after their end: as many as a node has relayed addresses of one IPv4 address, each of which
/// the relay asks about once a second. Whoever is forgotten is unknown, which allows no more than `Gone` does.
const ENDED_MAX: usize = 16_384;

#[derive(Default)]
struct Table {
    /// Legs that are known, and whether they have had a transport.
    known: HashMap<LegId, bool>,
    gone: HashSet<LegId>,
    /// The same, oldest first.
    ended: VecDeque<LegId>,
}

/// See the top of this file.
#[derive(Default)]
pub(crate) struct Legs {
    table: Mutex<Table>,
    control: OnceLock<Arc<dyn RelayControl>>,
}

impl Legs {
    /// Who is told when a leg ends, and whose health is the node's; the first one stays.
    pub(crate) fn attach(&self, control: Arc<dyn RelayControl>) {
        if self.control.set(control).is_err() {
            tracing::warn!("a second relay was attached to media; the first one stays");
        }
    }

    /// How the relay's workers are; `None` without a relay.
    pub(crate) fn health(&self) -> Option<RelayHealth> {
        Some(self.control.get()?.health())
    }

    /// A leg has a grant.
    pub(crate) fn granted(&self, leg: LegId) {
        let mut table = lock(&self.table);
        table.gone.remove(&leg);
        table.known.entry(leg).or_insert(false);
    }

    /// A leg has a transport, or had one and may get one again.
    pub(crate) fn attached(&self, leg: LegId) {
        if let Some(live) = lock(&self.table).known.get_mut(&leg) {
            *live = true;
        }
    }

    /// A leg is over: its allocations go.
    pub(crate) fn ended(&self, leg: LegId) {
        {
            let mut table = lock(&self.table);
            table.known.remove(&leg);
            if table.gone.insert(leg) {
                table.ended.push_back(leg);
            }
            if table.ended.len() > ENDED_MAX
                && let Some(oldest) = table.ended.pop_front()
            {
                table.gone.remove(&oldest);
            }
        }
        if let Some(control) = self.control.get() {
            control.close_leg(leg);
        }
    }
}

impl RelayLegs for Legs {
    fn state(&self, leg: LegId) -> LegState {
        let table = lock(&self.table);
        match table.known.get(&leg) {
            Some(true) => LegState::Live,
            Some(false) => LegState::Granted,
            None if table.gone.contains(&leg) => LegState::Gone,
            None => LegState::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::{AllocationView, Later, TooSoon};

    /// A relay that notes who was closed.
    #[derive(Default)]
    struct Noted(Mutex<Vec<LegId>>);

    impl RelayControl for Noted {
        fn close_leg(&self, leg: LegId) {
            lock(&self.0).push(leg);
        }

        fn list(&self) -> Later<'_, Vec<AllocationView>> {
            Box::pin(async { Vec::new() })
        }

        fn kill<'a>(&'a self, _id: &'a str) -> Later<'a, bool> {
            Box::pin(async { false })
        }

        fn drain(&self, _draining: bool) {}

        fn health(&self) -> RelayHealth {
            RelayHealth::default()
        }

        fn rotates_in_s(&self) -> u32 {
            0
        }

        fn rotate_secret(&self) -> Result<(), TooSoon> {
            Ok(())
        }
    }

    #[test]
    fn a_leg_goes_from_granted_to_live_to_gone_and_the_relay_is_told_of_its_end() {
        let legs = Legs::default();
        let relay = Arc::new(Noted::default());
        legs.attach(Arc::<Noted>::clone(&relay));
        let leg = LegId(7);
        assert_eq!(legs.state(leg), LegState::Unknown);
        legs.granted(leg);
        assert_eq!(legs.state(leg), LegState::Granted);
        legs.attached(leg);
        assert_eq!(legs.state(leg), LegState::Live);
        legs.granted(leg);
        assert_eq!(legs.state(leg), LegState::Live, "a renewed grant takes nothing back");
        legs.ended(leg);
        assert_eq!(legs.state(leg), LegState::Gone);
        assert_eq!(*lock(&relay.0), [leg]);
        legs.attached(leg);
        assert_eq!(legs.state(leg), LegState::Gone, "no transport brings it back");
        legs.granted(leg);
        assert_eq!(legs.state(leg), LegState::Granted, "a new grant does");
    }

    #[test]
    fn only_so_many_ends_are_remembered() {
        let legs = Legs::default();
        for leg in 0..=ENDED_MAX as u128 {
            legs.granted(LegId(leg));
            legs.ended(LegId(leg));
            legs.ended(LegId(leg));
        }
        assert_eq!(legs.state(LegId(0)), LegState::Unknown);
        assert_eq!(legs.state(LegId(1)), LegState::Gone);
        assert_eq!(legs.state(LegId(ENDED_MAX as u128)), LegState::Gone);
        assert_eq!(lock(&legs.table).gone.len(), ENDED_MAX);
    }
}
