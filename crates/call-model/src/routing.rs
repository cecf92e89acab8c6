//! Who is asked for whom: the order of the waiting, the order of the agents, and one pass over both.
//!
//! Pure: the database's router and the simulated desk call the same functions. No randomness; equals are told apart by
//! their ids, so that every process comes to the same result.
//!
//! Invariant: a later call gets an agent before an earlier one only if the earlier one may not have him.

use std::cmp::Ordering;

use crate::agent::Agent;
use crate::{CallId, Span, StaffId, Timestamp};

/// What one step of priority is worth: a minute of waiting.
pub const PRIORITY_STEP: Span = Span::seconds(60);
/// Mean time a call holds an agent, ring and wrap-up included, while nothing is measured.
pub const HANDLING_S: f64 = 300.0;
/// Share of the waiting who give up each second, while nothing is measured.
pub const GIVE_UP_PER_S: f64 = 1.0 / 300.0;

/// The constant by which a waiting call is ordered: its first entry, less what its priority is worth. It never changes
/// while the call waits, so nobody is overtaken by growing older.
pub const fn rank_at(enqueued_at: Timestamp, priority: i32) -> Timestamp {
    enqueued_at.minus(Span(PRIORITY_STEP.0 * priority as i64))
}

/// A call that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Which call.
    pub call: CallId,
    /// See [`rank_at`].
    pub rank_at: Timestamp,
}

/// How a queue orders its agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Who has been idle longest.
    LongestIdle,
    /// Who had the least to do in the last hour.
    LeastOccupied,
    /// Who was asked longest ago.
    RoundRobin,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Strategy; 3] = [Strategy::LongestIdle, Strategy::LeastOccupied, Strategy::RoundRobin];

    /// The word in `queues.strategy`.
    pub const fn word(self) -> &'static str {
        match self {
            Strategy::LongestIdle => "longest_idle",
            Strategy::LeastOccupied => "least_occupied",
            Strategy::RoundRobin => "round_robin",
        }
    }

    /// The strategy of a word.
    pub fn from_word(word: &str) -> Option<Strategy> {
        Strategy::ALL.into_iter().find(|strategy| strategy.word() == word)
    }
}

/// What the order of agents needs to know of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Lower is asked first.
    pub tier: i32,
    /// Later of going online and of the last freed slot.
    pub idle_since: Timestamp,
    /// When he was last asked.
    pub asked_at: Option<Timestamp>,
    /// Seconds of the last hour that contacts took.
    pub occupied_s: f64,
}

/// An agent of a queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// What decides whether he may be asked.
    pub agent: Agent,
    /// What decides when he is asked.
    pub standing: Standing,
}

/// Which of two agents is asked first. Longest idle is the rule itself and what decides between equals of the others.
pub fn before(strategy: Strategy, a: (&Standing, StaffId), b: (&Standing, StaffId)) -> Ordering {
    let by_strategy = match strategy {
        Strategy::LongestIdle => Ordering::Equal,
        Strategy::LeastOccupied => a.0.occupied_s.total_cmp(&b.0.occupied_s),
        Strategy::RoundRobin => a.0.asked_at.cmp(&b.0.asked_at),
    };
    let by_tier = a.0.tier.cmp(&b.0.tier);
    by_tier
        .then(by_strategy)
        .then(a.0.idle_since.cmp(&b.0.idle_since))
        .then(a.1.cmp(&b.1))
}

/// Those who may be asked at `now`, in the order in which they are asked.
pub fn in_order(candidates: &[Candidate], now: Timestamp, strategy: Strategy) -> Vec<Candidate> {
    let mut fit: Vec<Candidate> = candidates
        .iter()
        .filter(|one| one.agent.routable(now).is_ok())
        .copied()
        .collect();
    fit.sort_by(|a, b| before(strategy, (&a.standing, a.agent.id), (&b.standing, b.agent.id)));
    fit
}

/// One pass: which waiting call is offered to which agent. `apart` says which pairs must not meet now.
pub fn route(
    now: Timestamp,
    waiting: &[Waiting],
    candidates: &[Candidate],
    strategy: Strategy,
    apart: impl Fn(CallId, StaffId) -> bool,
) -> Vec<(CallId, StaffId)> {
    let mut queue = waiting.to_vec();
    queue.sort_by_key(|one| (one.rank_at, one.call));
    let mut free = in_order(candidates, now, strategy);
    let mut chosen = Vec::new();
    for one in queue {
        let fitting = free.iter().position(|candidate| !apart(one.call, candidate.agent.id));
        let Some(place) = fitting else { continue };
        if let Some(candidate) = free.get_mut(place) {
            chosen.push((one.call, candidate.agent.id));
            candidate.agent.held += 1;
            if candidate.agent.held >= candidate.agent.slots {
                free.remove(place);
            }
        }
        if free.is_empty() {
            break;
        }
    }
    chosen
}

/// Seconds until the call at `position` (1 is next) is taken; `None` when nobody is there to take it.
///
/// Each place ahead frees up at the rate of all agents' calls plus those who give up; the sum over the places is the
/// wait.
pub fn expected_wait_s(position: u32, idle: u32, busy: u32) -> Option<f64> {
    let agents = idle.saturating_add(busy);
    if agents == 0 {
        return None;
    }
    if position <= idle {
        return Some(0.0);
    }
    let served_per_s = f64::from(agents) / HANDLING_S;
    Some(
        (0..position)
            .map(|ahead| 1.0 / (served_per_s + f64::from(ahead) * GIVE_UP_PER_S))
            .sum(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::Chosen;

    fn candidate(id: u128, idle_since: i64) -> Candidate {
        let agent = Agent {
            id: StaffId(id),
            active: true,
            chosen: Chosen::Online,
            lease_until: Timestamp(1_000),
            round_trip: None,
            media_checked: true,
            slots: 1,
            held: 0,
            cools_until: None,
        };
        let idle_since = Timestamp(idle_since);
        Candidate {
            agent,
            standing: Standing {
                tier: 1,
                idle_since,
                asked_at: None,
                occupied_s: 0.0,
            },
        }
    }

    fn waiting(call: u128, rank_at: i64) -> Waiting {
        Waiting {
            call: CallId(call),
            rank_at: Timestamp(rank_at),
        }
    }

    fn never(_: CallId, _: StaffId) -> bool {
        false
    }

    #[test]
    fn priority_is_worth_a_minute_of_waiting_a_step_and_age_changes_nothing() {
        let minute = Span::minutes(1);
        assert_eq!(rank_at(Timestamp(0).plus(minute), 1), Timestamp(0));
        assert_eq!(rank_at(Timestamp(7), 0), Timestamp(7));
        assert_eq!(rank_at(Timestamp(0), -1), Timestamp(0).plus(minute));
    }

    #[test]
    fn first_come_first_served_by_whoever_was_idle_longest() {
        let agents = [candidate(1, 30), candidate(2, 10), candidate(3, 10)];
        let calls = [waiting(9, 2), waiting(8, 1), waiting(7, 2), waiting(6, 5)];
        let chosen = route(Timestamp(0), &calls, &agents, Strategy::LongestIdle, never);
        let expected = [(8, 2), (7, 3), (9, 1)].map(|(call, agent)| (CallId(call), StaffId(agent)));
        assert_eq!(chosen, expected);
    }

    #[test]
    fn a_call_that_may_not_have_an_agent_does_not_hold_up_the_next_one() {
        let agents = [candidate(1, 0)];
        let calls = [waiting(1, 1), waiting(2, 2)];
        let apart = |call, agent| (call, agent) == (CallId(1), StaffId(1));
        let chosen = route(Timestamp(0), &calls, &agents, Strategy::LongestIdle, apart);
        assert_eq!(chosen, [(CallId(2), StaffId(1))]);
    }

    #[test]
    fn an_agent_with_two_slots_gets_two_calls_and_not_three() {
        let mut agent = candidate(1, 0);
        agent.agent.slots = 2;
        let calls = [waiting(1, 1), waiting(2, 2), waiting(3, 3)];
        assert_eq!(
            route(Timestamp(0), &calls, &[agent], Strategy::LongestIdle, never).len(),
            2
        );
    }

    #[test]
    fn tiers_come_before_strategies_and_strategies_before_idleness() {
        let mut agents = [candidate(1, 0), candidate(2, 5), candidate(3, 9)];
        agents[2].standing.tier = 0;
        agents[0].standing.occupied_s = 100.0;
        agents[0].standing.asked_at = Some(Timestamp(1));
        let order = |strategy| {
            in_order(&agents, Timestamp(0), strategy)
                .iter()
                .map(|one| one.agent.id.0)
                .collect::<Vec<_>>()
        };
        assert_eq!(order(Strategy::LongestIdle), [3, 1, 2]);
        assert_eq!(order(Strategy::LeastOccupied), [3, 2, 1]);
        assert_eq!(
            order(Strategy::RoundRobin),
            [3, 2, 1],
            "who was never asked comes first"
        );
        for strategy in Strategy::ALL {
            assert_eq!(Strategy::from_word(strategy.word()), Some(strategy));
        }
    }

    #[test]
    fn nobody_there_is_unknown_an_idle_agent_is_no_wait_and_places_add_up() {
        assert_eq!(expected_wait_s(1, 0, 0), None);
        assert_eq!(expected_wait_s(2, 2, 0), Some(0.0));
        let one = expected_wait_s(1, 0, 1).unwrap();
        assert!((one - 300.0).abs() < 1e-9);
        let two = expected_wait_s(2, 0, 1).unwrap();
        assert!(
            (two - 450.0).abs() < 1e-9,
            "the second place frees up twice as fast: somebody may give up"
        );
    }
}
