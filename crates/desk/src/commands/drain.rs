//! Emptying this node before it stops, and serving again: no new call begins here, those that were accepted, waiting
//! ones too, go on until they end or the deadline comes.

use std::sync::Arc;

use wire::node::{DrainStart, DrainState};

use super::apply::{Act, Actor};
use super::contact;
use crate::caller::Caller;
use crate::nodes::epoch_of;
use crate::permissions::{self, SETTINGS_WRITE};
use crate::refusal::{Code, Refused};
use crate::shared::Core;
use crate::store::events::{self, Audit};
use crate::store::nodes;

/// How long an emptying lasts when nobody says otherwise, seconds: longer than nearly every call.
pub const DRAIN_S: u32 = 15 * 60;
/// Longest emptying that may be asked for, seconds: a day, so that a slip of the hand does not mean "never".
pub const DRAIN_S_MAX: u32 = 24 * 3_600;

/// Begins, or sets another deadline.
pub(crate) async fn begin(core: &Arc<Core>, caller: &Caller, body: DrainStart) -> Result<DrainState, Refused> {
    let seconds = body.seconds.unwrap_or(DRAIN_S);
    if seconds > DRAIN_S_MAX {
        return Err(Refused::field("seconds", format!("must be at most {DRAIN_S_MAX}")));
    }
    note(core, caller, "node.drain", body.reason).await?;
    core.media.drain(Some(u64::from(seconds)));
    state(core, caller).await
}

/// The node serves again; twice is once.
pub(crate) async fn undo(core: &Arc<Core>, caller: &Caller, reason: Option<String>) -> Result<DrainState, Refused> {
    note(core, caller, "node.serve", reason).await?;
    core.media.drain(None);
    state(core, caller).await
}

/// How far it is.
pub(crate) async fn state(core: &Arc<Core>, caller: &Caller) -> Result<DrainState, Refused> {
    allow(caller)?;
    let (calls, waiting) = live(core).await?;
    let draining = core.media.draining();
    let rooms = core.media.rooms();
    Ok(DrainState {
        node_id: core.node.node_id.clone(),
        draining: draining.is_some(),
        calls,
        waiting,
        rooms: rooms.count,
        oldest_seconds: rooms.oldest_s,
        closes_in_seconds: draining.map(|draining| draining.closes_in_s),
    })
}

/// Calls of this node that live, and how many of them wait.
pub(crate) async fn live(core: &Arc<Core>) -> Result<(u32, u32), Refused> {
    let (id, epoch) = (core.node.node_id.clone(), epoch_of(core));
    core.write("node", move |tx| {
        Box::pin(async move { nodes::live_calls(tx.conn(), &id, epoch).await })
    })
    .await
}

/// Who changes settings, and the operator's own programs.
fn allow(caller: &Caller) -> Result<(), Refused> {
    match caller {
        Caller::Service { .. } => Ok(()),
        Caller::Staff { role, .. } if permissions::may(*role, SETTINGS_WRITE) => Ok(()),
        Caller::Customer { .. } | Caller::Staff { .. } | Caller::Demo => Err(Refused::new(Code::Forbidden)),
    }
}

async fn note(core: &Arc<Core>, caller: &Caller, action: &'static str, reason: Option<String>) -> Result<(), Refused> {
    allow(caller)?;
    let reason = contact::word(reason)?;
    let (caller, node) = (caller.clone(), core.node.node_id.clone());
    core.write("node", move |tx| {
        Box::pin(async move {
            let act = Act::now(Actor::of(tx, &caller).await?);
            let now = tx.now;
            let entry = Audit {
                actor_id: &act.actor.id,
                actor_role: act.actor.role,
                action,
                subject_type: "node",
                subject_id: &node,
                reason: reason.as_deref(),
            };
            events::audit(tx.conn(), now, &entry).await
        })
    })
    .await
}
