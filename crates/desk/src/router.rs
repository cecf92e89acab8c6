//! Brings the call that has waited longest to an agent who is free: one contact per transaction, one decision at a time
//! per queue.
//!
//! There is no leader. Every process may decide; the queue's advisory lock puts their decisions in a row, which is what
//! makes the order of a queue provable. Whatever frees an agent or adds a call wakes the queue; a look every second
//! finds what a lost wake has left.
//!
//! Lock order: queue, call, staff, offer. A staff row is never waited for: two queues that share agents would otherwise
//! wait for one another.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use call_model::agent::{Agent, Chosen};
use call_model::call::Input;
use call_model::routing::{Standing, Strategy, before};
use call_model::{OfferId, Span, StaffId, Timestamp};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::commands::{Act, Actor, call_input};
use crate::refusal::{Code, Refused, note};
use crate::shared::Core;
use crate::store::offers::OfferRow;
use crate::store::queues::{self, QueueRow};
use crate::store::routing::{self, CandidateRow, ColleagueRow, CoolPair};
use crate::store::{calls, offers};
use crate::tx::Tx;
use crate::types::At;

/// How often the router looks without being woken.
const TICK: Duration = Duration::from_secs(1);
/// Calls at the head of a queue that are tried for the free agents: those in front may all be cooled down for them.
const HEADS_MAX: i64 = 64;
/// Pause before a pass is repeated because the wanted agent's row was held by somebody else: a transaction's length.
const CONTENDED_PAUSE: Duration = Duration::from_millis(5);
/// Such repetitions before the pass is left to the next wake or tick.
const CONTENDED_MAX: u32 = 10;

/// Whether a pass waits for its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// Somebody woke it: another process that has the queue may have looked before that.
    Yes,
    /// The tick: whoever has the queue is doing the same.
    No,
}

/// What one transaction has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Offered one call; there may be more.
    Offered,
    /// Nobody fits anybody.
    Idle,
    /// Somebody would fit but is held by another transaction at this moment.
    Contended,
}

/// Routes until `stop`.
pub(crate) async fn run(core: Arc<Core>, stop: CancellationToken) {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // One pass runs; wakes that come meanwhile gather and make the next one.
        let (names, wait) = tokio::select! {
            () = core.wakes.changed() => (Some(core.wakes.take().into_iter().collect::<Vec<_>>()), Wait::Yes),
            _ = tick.tick() => (None, Wait::No),
            () = stop.cancelled() => return,
        };
        match with_work(&core, names).await {
            Ok(queues) => {
                for queue in queues {
                    if stop.is_cancelled() {
                        return;
                    }
                    pass(&core, &queue, wait).await;
                }
                // A wake looks at some queues only.
                if wait == Wait::No {
                    core.metrics.turns.with_label_values(&["router"]).inc();
                }
            }
            // The tick looks again.
            Err(refused) => note("router", &refused),
        }
    }
}

/// Queues with waiting calls: the one whose head has waited longest gets a shared agent first.
async fn with_work(core: &Arc<Core>, names: Option<Vec<String>>) -> Result<Vec<String>, Refused> {
    core.write("router", move |tx| {
        Box::pin(async move { routing::with_work(tx.conn(), names.as_deref()).await })
    })
    .await
}

/// Offers calls of one queue until nothing fits any more; returns how many.
async fn pass(core: &Arc<Core>, queue: &str, wait: Wait) -> u64 {
    let (mut offered, mut contended) = (0, 0);
    loop {
        match step(core, queue.to_owned(), wait).await {
            Ok(Step::Offered) => offered += 1,
            Ok(Step::Contended) if contended < CONTENDED_MAX => {
                contended += 1;
                sleep(CONTENDED_PAUSE).await;
            }
            Ok(Step::Contended | Step::Idle) => return offered,
            Err(refused) => {
                note("router", &refused);
                return offered;
            }
        }
    }
}

/// At most one call, in one transaction.
async fn step(core: &Arc<Core>, queue: String, wait: Wait) -> Result<Step, Refused> {
    let held = Arc::clone(core);
    core.write("router", move |tx| {
        Box::pin(async move {
            match wait {
                Wait::Yes => queues::advise(tx.conn(), &queue).await?,
                Wait::No if queues::try_advise(tx.conn(), &queue).await? => {}
                Wait::No => return Ok(Step::Idle),
            }
            let Some(queue) = queues::get(tx.conn(), &queue).await? else {
                return Ok(Step::Idle);
            };
            offer_one(&held, tx, &queue).await
        })
    })
    .await
}

/// The first waiting call for which somebody is free. The queue is ours until the end of the transaction.
async fn offer_one(core: &Core, tx: &mut Tx, queue: &QueueRow) -> Result<Step, Refused> {
    // Nobody is rung for a call that media would refuse; it keeps its place, and the tick looks again.
    if core.media.load().full {
        return Ok(Step::Idle);
    }
    let free = routing::candidates(tx.conn(), &queue.name, &queue.strategy).await?;
    let free = in_order(free, tx.now, &queue.strategy);
    if free.is_empty() {
        return Ok(Step::Idle);
    }
    let heads = routing::heads(tx.conn(), &queue.name, HEADS_MAX).await?;
    let staff: Vec<Uuid> = free.iter().map(|agent| agent.id).collect();
    let cooled = routing::cooled(tx.conn(), &staff, &heads).await?;
    let cooled: HashSet<CoolPair> = cooled.into_iter().collect();
    // An agent whom an earlier call of the queue wants but cannot have at this moment is nobody's in this transaction:
    // a later call must not get him before it.
    let mut busy = HashSet::new();
    for call in heads {
        let may = |agent: &&CandidateRow| {
            let pair = CoolPair {
                staff_id: agent.id,
                contact_id: call,
            };
            !busy.contains(&agent.id) && !cooled.contains(&pair)
        };
        let fitting: Vec<Uuid> = free.iter().filter(may).map(|agent| agent.id).collect();
        if fitting.is_empty() || !still_waits(tx, call).await? {
            continue;
        }
        for agent in fitting {
            if reserve(core, tx, queue, call, agent).await? {
                return Ok(Step::Offered);
            }
            busy.insert(agent);
        }
    }
    Ok(if busy.is_empty() { Step::Idle } else { Step::Contended })
}

/// Locks the call and looks whether it still waits: its customer may have left since the list was read.
async fn still_waits(tx: &mut Tx, call: Uuid) -> Result<bool, Refused> {
    let row = calls::lock(tx.conn(), call).await?;
    Ok(row.is_some_and(|row| matches!(row.status.as_str(), "queued" | "callback")))
}

/// Reserves the lowest free slot of `agent` for the call and rings; false when he is taken or gone.
async fn reserve(core: &Core, tx: &mut Tx, queue: &QueueRow, call: Uuid, agent: Uuid) -> Result<bool, Refused> {
    let Some(slots) = routing::take(tx.conn(), agent).await? else {
        return Ok(false);
    };
    let Some(slot) = routing::lowest_slot(tx.conn(), agent, slots).await? else {
        return Ok(false);
    };
    let now = tx.read_clock().await?;
    let offer = OfferRow {
        id: Uuid::from_u128(core.fresh_id()),
        call_id: call,
        staff_id: agent,
        slot,
        kind: offers::PRIMARY.to_owned(),
        state: "pending".to_owned(),
        reason: None,
        created_at: At(now),
        expires_at: At(now.plus(Span::seconds(i64::from(queue.ring_seconds)))),
        accepted_at: None,
        wrapping_at: None,
        ended_at: None,
        wrap_up_extensions: 0,
    };
    if !offers::insert(tx.conn(), &offer, true).await? {
        return Ok(false);
    }
    let act = Act::now(Actor::system("router"));
    let input = Input::Offer {
        offer: OfferId(offer.id.as_u128()),
    };
    let done = call_input(core, tx, call, input, &act).await?;
    if done.changed {
        Ok(true)
    } else {
        // A pending offer of a call that does not ring would be an agent who waits for nothing.
        Err(Refused::new(Code::Internal))
    }
}

/// Those who may be asked at all, first who is asked first, by the rules of the model.
fn in_order(agents: Vec<CandidateRow>, now: Timestamp, strategy: &str) -> Vec<CandidateRow> {
    let strategy = Strategy::from_word(strategy).unwrap_or(Strategy::LongestIdle);
    let mut fit: Vec<(Standing, StaffId, CandidateRow)> = Vec::new();
    for row in agents {
        let agent = model_of(&row);
        if agent.routable(now).is_ok() {
            fit.push((standing_of(&row), agent.id, row));
        }
    }
    fit.sort_by(|a, b| before(strategy, (&a.0, a.1), (&b.0, b.1)));
    fit.into_iter().map(|(_, _, row)| row).collect()
}

/// The row as the model sees it. The query has already left out who is not online, not active or unchecked.
fn model_of(row: &CandidateRow) -> Agent {
    let count = |n: i32| u32::try_from(n).unwrap_or(0);
    Agent {
        id: StaffId(row.id.as_u128()),
        active: true,
        chosen: Chosen::Online,
        lease_until: row.lease_until.0,
        round_trip: row.rtt_ms.map(|ms| Span::millis(i64::from(ms))),
        media_checked: true,
        slots: count(row.slots),
        held: count(row.held),
        cools_until: row.cools_until.map(|At(until)| until),
    }
}

/// A colleague whom somebody wants to consult: nothing about him is left out by a query, and what the router must not
/// ask him, a person may.
pub(crate) fn colleague(row: &ColleagueRow) -> Agent {
    let count = |n: i32| u32::try_from(n).unwrap_or(0);
    let chosen = Chosen::ALL.into_iter().find(|chosen| chosen.word() == row.status);
    Agent {
        id: StaffId(row.id.as_u128()),
        active: row.is_active,
        chosen: chosen.unwrap_or(Chosen::Offline),
        lease_until: row.lease_until.map_or(Timestamp(0), |At(until)| until),
        round_trip: row.rtt_ms.map(|ms| Span::millis(i64::from(ms))),
        media_checked: row.media_checked,
        slots: count(row.slots),
        held: count(row.held),
        cools_until: None,
    }
}

fn standing_of(row: &CandidateRow) -> Standing {
    Standing {
        tier: i32::from(row.tier),
        idle_since: row.idle_since.0,
        asked_at: row.asked_at.map(|At(at)| at),
        occupied_s: row.occupied_s,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [`call_model::agent::ROUND_TRIP_MAX`] in the column's unit.
    const RTT_MS_MAX: i32 = 2_000;

    fn agent(id: u128, idle_since: i64) -> CandidateRow {
        CandidateRow {
            id: Uuid::from_u128(id),
            tier: 1,
            lease_until: At(Timestamp(1_000)),
            rtt_ms: Some(20),
            slots: 1,
            held: 0,
            cools_until: None,
            idle_since: At(Timestamp(idle_since)),
            asked_at: None,
            occupied_s: 0.0,
        }
    }

    fn order(agents: Vec<CandidateRow>, strategy: &str) -> Vec<u128> {
        in_order(agents, Timestamp(500), strategy)
            .into_iter()
            .map(|agent| agent.id.as_u128())
            .collect()
    }

    #[test]
    fn the_longest_idle_is_asked_first_and_equals_by_id() {
        assert_eq!(
            order(vec![agent(3, 10), agent(2, 30), agent(1, 10)], "longest_idle"),
            [1, 3, 2]
        );
    }

    #[test]
    fn a_tier_goes_before_every_strategy() {
        let second = CandidateRow { tier: 2, ..agent(1, 0) };
        assert_eq!(order(vec![second, agent(2, 400)], "longest_idle"), [2, 1]);
    }

    #[test]
    fn the_strategies_differ_in_what_they_compare() {
        let worked = CandidateRow {
            occupied_s: 60.0,
            ..agent(1, 0)
        };
        assert_eq!(order(vec![worked, agent(2, 400)], "least_occupied"), [2, 1]);
        let asked = CandidateRow {
            asked_at: Some(At(Timestamp(100))),
            ..agent(1, 0)
        };
        assert_eq!(order(vec![asked, agent(2, 400)], "round_robin"), [2, 1]);
    }

    #[test]
    fn who_is_full_gone_slow_or_cooling_is_not_asked() {
        let full = CandidateRow { held: 1, ..agent(1, 0) };
        let gone = CandidateRow {
            lease_until: At(Timestamp(500)),
            ..agent(2, 0)
        };
        let slow = CandidateRow {
            rtt_ms: Some(RTT_MS_MAX),
            ..agent(3, 0)
        };
        let cooling = CandidateRow {
            cools_until: Some(At(Timestamp(501))),
            ..agent(4, 0)
        };
        let just = CandidateRow {
            rtt_ms: Some(RTT_MS_MAX - 1),
            cools_until: Some(At(Timestamp(500))),
            ..agent(5, 0)
        };
        assert_eq!(order(vec![full, gone, slow, cooling, just], "longest_idle"), [5]);
    }
}
