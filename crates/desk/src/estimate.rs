//! The expected wait that a customer is told.
//!
//! Each place ahead frees up at the rate of all agents' calls plus those who give up; the sum over the places ahead is
//! the wait. Until there are samples of a queue, a contact takes five minutes and one waiting minute in 300 s is
//! somebody's last.

use crate::shared::Core;
use crate::store::queues::Strength;

/// Seconds until the call at `position` (1 is next) is taken; `None` when nobody is there to take it.
pub(crate) fn wait_seconds(position: u32, strength: Strength) -> Option<u32> {
    let count = |n: i64| u32::try_from(n.max(0)).unwrap_or(u32::MAX);
    let wait = call_model::routing::expected_wait_s(position, count(strength.idle), count(strength.busy))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the range of u32"
    )]
    Some(wait.round().clamp(0.0, f64::from(u32::MAX)) as u32)
}

/// Nothing is promised while this node takes no new room: agents may be free, and nobody is rung.
pub(crate) fn unless_full(core: &Core, estimate: Option<u32>) -> Option<u32> {
    estimate.filter(|_| !core.media.load().full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_there_is_unknown_and_an_idle_agent_is_no_wait() {
        assert_eq!(wait_seconds(1, Strength { idle: 0, busy: 0 }), None);
        assert_eq!(wait_seconds(1, Strength { idle: 1, busy: 0 }), Some(0));
    }

    #[test]
    fn one_busy_agent_takes_a_call_each_five_minutes_and_some_give_up() {
        assert_eq!(wait_seconds(1, Strength { idle: 0, busy: 1 }), Some(300));
        assert_eq!(wait_seconds(2, Strength { idle: 0, busy: 1 }), Some(450));
        assert_eq!(wait_seconds(1, Strength { idle: 0, busy: 20 }), Some(15));
    }
}
