//! Rooms of line tests: one leg, no call. Nobody at the desk ends them, so they end with their leg; and they are the
//! first to be refused and the first to go when their shard has much to do.
//!
//! Invariant: a line test never takes the place of a call.

use std::sync::Arc;

use call_model::CallId;
use ports::{Cause, Media as _, Part, Refusal};

use crate::plane::{Plane, Shared, lock};
use crate::registry::Registry;

/// Line tests of one node at the same time: a team that tests before its shift. More would be a load of their own.
pub const PREFLIGHTS_MAX: usize = 64;
/// Busiest shard, 0 to 1, above which no test begins: calls are refused at 0.9, and they come first.
pub const PREFLIGHT_BUSY_MAX: f32 = 0.8;
/// Seconds after which a refused test may be tried again: as long as one lasts.
const RETRY_AFTER_S: u32 = 30;

/// Whether one more test may begin. `busy`: the busiest shard, 0 to 1. A node that is being emptied would wait for its end,
/// and it would tell of a node that its caller will not be on.
pub(crate) fn may_begin(registry: &Registry, busy: f32, draining: bool) -> Result<(), Refusal> {
    if draining {
        return Err(Refusal::Draining);
    }
    if busy >= PREFLIGHT_BUSY_MAX || registry.count(Part::Preflight) >= PREFLIGHTS_MAX {
        return Err(Refusal::Full {
            retry_after_s: RETRY_AFTER_S,
        });
    }
    Ok(())
}

/// The leg of a room is gone, or will never come.
pub(crate) fn leg_gone(shared: &Arc<Shared>, room: CallId, part: Part) {
    if part == Part::Preflight {
        Plane(Arc::clone(shared)).close_room(room, Cause::HangUp);
    }
}

/// Ends all tests of a shard: it has too much to do.
pub(crate) fn end_all(shared: &Arc<Shared>, shard: usize, busy: f64) {
    let rooms = lock(&shared.registry).rooms_of(shard, Part::Preflight);
    if !rooms.is_empty() {
        tracing::warn!(
            rooms = rooms.len(),
            shard,
            busy,
            "line tests were ended: the shard has too much to do"
        );
    }
    for room in rooms {
        Plane(Arc::clone(shared)).close_room(room, Cause::Limit);
    }
}

#[cfg(test)]
mod tests {
    use call_model::LegId;
    use media_core::command::SlotParams;
    use media_core::limits::SLOTS_PER_LEG_MAX;
    use ports::Red;

    use super::*;
    use crate::registry::NewLeg;

    fn add(registry: &mut Registry, n: u128, part: Part) {
        let slot = SlotParams {
            ssrc: 1,
            sequence: 1,
            timestamp: 1,
        };
        let leg = NewLeg {
            leg: LegId(n),
            room: CallId(n),
            part,
            uplink: true,
            red: Red::Off,
            now: 0,
            first_offer_by: 100,
            slots: [slot; SLOTS_PER_LEG_MAX],
        };
        let mut digest = [0; 32];
        digest[..16].copy_from_slice(&n.to_be_bytes());
        registry.admit(leg, digest, |_| true).expect("there is room");
    }

    fn grant(n: u8, part: Part) -> ports::LegGrant {
        ports::LegGrant {
            secret: ports::Secret::new([n; 32]),
            leg: LegId(u128::from(n)),
            room: CallId(u128::from(n)),
            part,
            uplink: true,
            red: Red::Off,
            first_offer_s: 120,
        }
    }

    #[tokio::test]
    async fn an_overloaded_node_ends_its_tests_and_no_call() {
        let folder = std::env::temp_dir().join(format!("helpline-shed-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let here = vec![std::net::IpAddr::from([127, 0, 0, 1])];
        let mut config = crate::Config::new(folder.clone(), "test".to_owned(), 1, here.clone(), here);
        config.base_port = 0;
        let server = crate::MediaServer::start(config, &prometheus::Registry::new()).expect("media starts");
        let media = server.media();
        for (n, part) in [(1, Part::Customer), (2, Part::Preflight), (3, Part::Preflight)] {
            media.admit(grant(n, part)).await.expect("there is room");
        }
        assert_eq!(media.load().legs, 3);
        end_all(server.shared(), 0, crate::admission::BUSY_SHED);
        assert_eq!(media.load().legs, 1);
        assert_eq!(
            media.leave(ports::Secret::new([1; 32])),
            Ok(()),
            "the call is still there"
        );
        server.stop();
        // A folder that stays behind is no reason to fail.
        let _ = std::fs::remove_dir_all(&folder);
    }

    #[tokio::test]
    async fn no_test_begins_on_a_node_that_is_being_emptied_and_one_that_runs_may_come_again() {
        let folder = std::env::temp_dir().join(format!("helpline-emptied-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let here = vec![std::net::IpAddr::from([127, 0, 0, 1])];
        let mut config = crate::Config::new(folder.clone(), "test".to_owned(), 1, here.clone(), here);
        config.base_port = 0;
        let server = crate::MediaServer::start(config, &prometheus::Registry::new()).expect("media starts");
        let media = server.media();
        media.admit(grant(1, Part::Preflight)).await.expect("the node serves");
        media.drain(Some(900));
        assert_eq!(media.admit(grant(2, Part::Preflight)).await, Err(Refusal::Draining));
        assert_eq!(media.rooms().count, 1);
        assert_eq!(media.admit(grant(1, Part::Preflight)).await, Ok(()), "it runs already");
        assert_eq!(
            media.admit(grant(3, Part::Customer)).await,
            Ok(()),
            "calls that were promised come"
        );
        media.drain(None);
        assert_eq!(media.admit(grant(2, Part::Preflight)).await, Ok(()));
        server.stop();
        // A folder that stays behind is no reason to fail.
        let _ = std::fs::remove_dir_all(&folder);
    }

    #[test]
    fn so_many_tests_and_no_more_and_none_on_a_busy_node() {
        let mut registry = Registry::new(1, 10_000, 4);
        for n in 0..PREFLIGHTS_MAX as u128 {
            assert_eq!(may_begin(&registry, 0.0, false), Ok(()), "{n}");
            add(&mut registry, n, Part::Preflight);
            add(&mut registry, 1_000 + n, Part::Customer);
        }
        let full = Err(Refusal::Full {
            retry_after_s: RETRY_AFTER_S,
        });
        assert_eq!(may_begin(&registry, 0.0, false), full);
        registry.remove_room(CallId(0));
        assert_eq!(may_begin(&registry, 0.79, false), Ok(()));
        assert_eq!(may_begin(&registry, PREFLIGHT_BUSY_MAX, false), full);
        assert_eq!(registry.rooms_of(0, Part::Preflight).len(), PREFLIGHTS_MAX - 1);
    }
}
