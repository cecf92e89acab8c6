//! Ends what time has overtaken: offers, wrap-ups, waits, leases, calls without end; and forgets what nobody reads.
//!
//! What concerns a call's sound is the affair of its own node: nobody else's media knows it. The rest, and the calls of
//! nodes that are gone, one process of all does (a lock that lives as long as its own connection). Every single end is
//! decided anew under the lock of its call, so two reapers are slow and not wrong.
//!
//! Amnesty: what proves life by writing to the database is believed dead only by a process whose own connection has
//! been unbroken for twice the lease. An outage of the database is nobody's fault.

use std::sync::Arc;
use std::time::Duration;

use call_model::call::{AGENT_AWAY_LIMIT, CALL_LIMIT, CONNECTING_LIMIT, INITIATED_LIMIT, Input};
use call_model::{CallId, Span, offer};
use ports::Part;
use sqlx::PgConnection;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::alerts;
use crate::commands::absent::{self, ATTACH_LIMIT};
use crate::commands::agent::PRESENCE_LEASE;
use crate::commands::apply::CUSTOMER_LEASE;
use crate::commands::{Act, Actor, call_input, offer_input};
use crate::nodes::{self, NODE_LEASE};
use crate::refusal::{Code, Refused, note};
use crate::settings::Settings;
use crate::shared::Core;
use crate::store::due::{self, AbsentOffer, DueCall, DueOffer, UnattachedLeg};
use crate::store::{self, events, offers};
use crate::tx::{InTx, Tx};

/// How often the reaper looks: deadlines are counted in seconds.
const TICK: Duration = Duration::from_secs(1);
/// How often old rows are dropped.
const FORGET: Duration = Duration::from_secs(60);
/// Rows of one look; what is left over is met a second later.
const DUE_MAX: i64 = 256;

/// A deadline of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deadline {
    Initiated,
    Connecting,
    TooLong,
    Waited,
    Unseen,
    AgentAway,
}

impl Deadline {
    const ALL: [Deadline; 6] = [
        Deadline::Initiated,
        Deadline::Connecting,
        Deadline::TooLong,
        Deadline::Waited,
        Deadline::Unseen,
        Deadline::AgentAway,
    ];

    /// For which lease the reaper's own connection must have been unbroken twice over; none: the deadline is a matter
    /// of the clock alone.
    const fn amnesty(self) -> Option<Span> {
        match self {
            Deadline::Unseen => Some(CUSTOMER_LEASE),
            // Reports that say otherwise may still be on their way.
            Deadline::Connecting => Some(CONNECTING_LIMIT),
            Deadline::AgentAway => Some(AGENT_AWAY_LIMIT),
            Deadline::Initiated | Deadline::TooLong | Deadline::Waited => None,
        }
    }
}

/// Reaps until `stop`.
pub(crate) async fn run(core: Arc<Core>, stop: CancellationToken) {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut lead = None;
    let mut forget_at = Instant::now();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        end_own(&core).await;
        lead = keep_lead(&core, lead).await;
        if lead.is_none() {
            continue;
        }
        reap(&core).await;
        core.metrics.turns.with_label_values(&["timers"]).inc();
        if Instant::now() >= forget_at {
            forget_at = Instant::now() + FORGET;
            heed("forget", forget(&core).await);
        }
    }
}

/// The connection that holds the lock: the one there was if it still lives, else a new one if the lock is free.
async fn keep_lead(core: &Core, lead: Option<PgConnection>) -> Option<PgConnection> {
    if let Some(mut conn) = lead
        && due::still_there(&mut conn).await.is_ok()
    {
        return Some(conn);
    }
    let mut conn = core.store.dedicated().await.ok()?;
    due::try_lead(&mut conn).await.ok()?.then_some(conn)
}

/// One look at every deadline of this node's calls. A rule that fails does not keep the others from being followed.
async fn end_own(core: &Arc<Core>) {
    // Reports that say otherwise may still be on their way.
    if has_amnesty_ended(core, ATTACH_LIMIT) {
        heed("unattached", withdraw_unattached(core).await);
    }
    heed("offers", expire_offers(core).await);
    if has_amnesty_ended(core, PRESENCE_LEASE) {
        heed("presence", withdraw_from_absent(core).await);
    }
    for deadline in Deadline::ALL {
        if deadline.amnesty().is_none_or(|lease| has_amnesty_ended(core, lease)) {
            heed("calls", end_calls(core, deadline).await);
        }
    }
}

/// One look at what one process does for all.
async fn reap(core: &Arc<Core>) {
    heed("wrap_ups", end_wrap_ups(core).await);
    heed("alerts", alerts::tell(core).await);
    if has_amnesty_ended(core, NODE_LEASE) {
        heed("nodes", nodes::close_dead(core).await.map(|_| ()));
    }
}

/// Whether this process has seen the database without a break for twice `lease`.
fn has_amnesty_ended(core: &Core, lease: Span) -> bool {
    let unbroken = i64::try_from(core.store.unbroken_for().as_micros()).unwrap_or(i64::MAX);
    Span(unbroken) >= Span(lease.0.saturating_mul(2))
}

/// A failed look is noted; the next one is a second away.
fn heed(rule: &'static str, result: Result<(), Refused>) {
    if let Err(refused) = result {
        note(rule, &refused);
    }
}

/// Reads what is due, outside the transactions that act on it.
async fn look<T, F>(core: &Arc<Core>, read: F) -> Result<Vec<T>, Refused>
where
    T: Send + 'static,
    F: for<'a> FnOnce(&'a mut Tx) -> InTx<'a, Vec<T>> + Send + 'static,
{
    core.write("reaper", read).await
}

async fn expire_offers(core: &Arc<Core>) -> Result<(), Refused> {
    let me = core.node.node_id.clone();
    let due = look(core, move |tx| {
        Box::pin(async move { due::offers(tx.conn(), &me, DUE_MAX).await })
    })
    .await?;
    each_offer(core, due, offer::Input::Expire).await
}

async fn end_wrap_ups(core: &Arc<Core>) -> Result<(), Refused> {
    let due = look(core, |tx| {
        Box::pin(async move { due::wrap_ups(tx.conn(), DUE_MAX).await })
    })
    .await?;
    each_offer(core, due, offer::Input::EndWrapUp { by: None }).await
}

async fn each_offer(core: &Arc<Core>, due: Vec<DueOffer>, input: offer::Input) -> Result<(), Refused> {
    for DueOffer { id, .. } in due {
        let held = Arc::clone(core);
        let done = core.write("reaper", move |tx| {
            Box::pin(async move {
                let act = Act::now(Actor::system("reaper"));
                offer_input(&held, tx, id, input, &act).await.map(|_| ())
            })
        });
        overtaken(done.await)?;
    }
    Ok(())
}

/// Calls that ring at a console which is not there go back to their place.
async fn withdraw_from_absent(core: &Arc<Core>) -> Result<(), Refused> {
    let me = core.node.node_id.clone();
    let due = look(core, move |tx| {
        Box::pin(async move { due::absent(tx.conn(), &me, DUE_MAX).await })
    })
    .await?;
    for AbsentOffer { id, call_id, kind } in due {
        let held = Arc::clone(core);
        let done = core.write("reaper", move |tx| {
            Box::pin(async move {
                // Under the lock of the call the offer must still ring, or this would hit somebody else's.
                crate::store::calls::lock(tx.conn(), call_id).await?;
                if !due::is_absent(tx.conn(), id).await? {
                    return Ok(());
                }
                let act = Act::now(Actor::system("reaper"));
                if kind == offers::CONSULTED {
                    // A colleague who was asked: the call has its agent.
                    let gone = offer::Input::Rescind(offer::Rescinded::AgentLost);
                    return offer_input(&held, tx, id, gone, &act).await.map(|_| ());
                }
                call_input(&held, tx, call_id, Input::AgentLost, &act).await.map(|_| ())
            })
        });
        overtaken(done.await)?;
    }
    Ok(())
}

/// Supervisors and colleagues who were let into calls of this node and never came take part no longer.
async fn withdraw_unattached(core: &Arc<Core>) -> Result<(), Refused> {
    let me = core.node.node_id.clone();
    let due = look(core, move |tx| {
        Box::pin(async move { due::unattached(tx.conn(), &me, ATTACH_LIMIT.as_seconds(), DUE_MAX).await })
    })
    .await?;
    for UnattachedLeg { id, call_id } in due {
        let done = core.write("reaper", move |tx| {
            Box::pin(async move { absent::never_came(tx, call_id, id).await })
        });
        overtaken(done.await)?;
    }
    Ok(())
}

async fn end_calls(core: &Arc<Core>, deadline: Deadline) -> Result<(), Refused> {
    let me = core.node.node_id.clone();
    let due: Vec<DueCall> = look(core, move |tx| {
        Box::pin(async move {
            let conn = tx.conn();
            match deadline {
                Deadline::Initiated => due::initiated(conn, &me, INITIATED_LIMIT.as_seconds(), DUE_MAX).await,
                Deadline::Connecting => due::connecting(conn, &me, CONNECTING_LIMIT.as_seconds(), DUE_MAX).await,
                Deadline::TooLong => due::too_long(conn, &me, CALL_LIMIT.as_seconds(), DUE_MAX).await,
                Deadline::Waited => {
                    let seconds = Settings::read(conn).await?.queue_timeout_s;
                    due::waited(conn, &me, i32::try_from(seconds).unwrap_or(i32::MAX), DUE_MAX).await
                }
                Deadline::Unseen => due::unseen(conn, &me, DUE_MAX).await,
                Deadline::AgentAway => due::agent_away(conn, &me, AGENT_AWAY_LIMIT.as_seconds(), DUE_MAX).await,
            }
        })
    })
    .await?;
    for call in due {
        overtaken(end_call(core, call, deadline).await)?;
    }
    Ok(())
}

/// One call, looked at again under its lock.
async fn end_call(core: &Arc<Core>, call: DueCall, deadline: Deadline) -> Result<(), Refused> {
    let held = Arc::clone(core);
    core.write("reaper", move |tx| {
        Box::pin(async move {
            crate::store::calls::lock(tx.conn(), call.id).await?;
            let (still, input) = match deadline {
                // The model judges these by the clock; who waits and rings in between is refused there.
                Deadline::Initiated => (true, Input::InitiatedTimeout),
                Deadline::TooLong => (true, Input::TooLong),
                Deadline::Waited => (true, Input::QueueTimeout),
                Deadline::Connecting => {
                    let customer_up = is_customer_up(&held, tx, &call).await?;
                    (true, Input::ConnectingTimeout { customer_up })
                }
                Deadline::Unseen => (due::is_unseen(tx.conn(), call.id).await?, Input::CustomerLost),
                Deadline::AgentAway => {
                    let still = due::is_agent_away(tx.conn(), call.id, AGENT_AWAY_LIMIT.as_seconds()).await?;
                    (still, Input::AgentLost)
                }
            };
            if still {
                let act = Act::now(Actor::system("reaper"));
                call_input(&held, tx, call.id, input, &act).await?;
            }
            Ok(())
        })
    })
    .await
}

/// Whether the customer's sound is there: media itself knows for its own rooms, its reports tell for those of others.
async fn is_customer_up(core: &Core, tx: &mut Tx, call: &DueCall) -> Result<bool, Refused> {
    if call.node_id == core.node.node_id
        && let Some(room) = core.media.snapshot(CallId(call.id.as_u128()))
    {
        return Ok(room.legs.iter().any(|leg| leg.part == Part::Customer && leg.up));
    }
    due::customer_up(tx.conn(), call.id).await
}

/// Somebody was faster than the reaper: that is the rule and no fault.
fn overtaken(done: Result<(), Refused>) -> Result<(), Refused> {
    match done {
        Err(Refused {
            code: Code::IllegalTransition | Code::OfferLost | Code::OfferExpired | Code::NotFound,
            ..
        }) => Ok(()),
        done => done,
    }
}

/// Drops what nobody will read again.
async fn forget(core: &Arc<Core>) -> Result<(), Refused> {
    let dropped = core
        .write("reaper", |tx| {
            Box::pin(async move {
                Ok([
                    ("hub_events", events::forget_hub(tx.conn()).await?),
                    ("outbox", events::forget_outbox(tx.conn()).await?),
                    ("quality_raised", store::alerts::forget(tx.conn()).await?),
                    ("cooldowns", offers::forget_cooldowns(tx.conn()).await?),
                    ("idempotency_keys", due::forget_idempotency(tx.conn()).await?),
                    ("webrtc_signaling", due::forget_signaling(tx.conn()).await?),
                ])
            })
        })
        .await?;
    for (table, rows) in dropped.into_iter().filter(|(_, rows)| *rows > 0) {
        tracing::debug!(table, rows, "old rows dropped");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_proves_life_by_writing_has_an_amnesty() {
        let with: Vec<_> = Deadline::ALL
            .into_iter()
            .filter(|deadline| deadline.amnesty().is_some())
            .collect();
        assert_eq!(with, [Deadline::Connecting, Deadline::Unseen, Deadline::AgentAway]);
    }

    #[test]
    fn being_overtaken_is_no_fault_and_an_absent_database_is_one() {
        assert_eq!(overtaken(Err(Refused::new(Code::IllegalTransition))), Ok(()));
        assert!(overtaken(Err(Refused::new(Code::Database))).is_err());
    }
}
