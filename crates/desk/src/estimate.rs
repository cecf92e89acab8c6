//! The expected wait that a customer is told.
//!
//! Each place ahead frees up at the rate of all agents' calls plus those who give up; the sum over the places ahead is
//! the wait. Until there are samples of a queue, a contact takes five minutes and one waiting minute in 300 s is
//! somebody's last.

use crate::store::queues::Strength;

/// Mean time an agent is held by a call, ring and wrap-up included, while nothing is measured.
const HANDLING_S: f64 = 300.0;
/// Share of the waiting who give up each second, while nothing is measured.
const GIVE_UP_PER_S: f64 = 1.0 / 300.0;

/// Seconds until the call at `position` (1 is next) is taken; `None` when nobody is there to take it.
pub(crate) fn wait_seconds(position: u32, strength: Strength) -> Option<u32> {
    let (idle, agents) = (strength.idle.max(0), strength.idle.max(0) + strength.busy.max(0));
    if agents == 0 {
        return None;
    }
    if i64::from(position) <= idle {
        return Some(0);
    }
    #[expect(clippy::cast_precision_loss, reason = "agents of one queue are counted in hundreds")]
    let served_per_s = agents as f64 / HANDLING_S;
    let wait: f64 = (0..position)
        .map(|ahead| 1.0 / (served_per_s + f64::from(ahead) * GIVE_UP_PER_S))
        .sum();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the range of u32"
    )]
    Some(wait.round().clamp(0.0, f64::from(u32::MAX)) as u32)
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
