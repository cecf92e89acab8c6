//! What those who supervise look at: the calls that are not over, and whom one may consult. Reads, never changes.

use std::sync::Arc;

use call_model::{CallId, StaffId};
use ports::LegSnapshot;
use uuid::Uuid;
use wire::Time;
use wire::call::{LiveCall, LiveCalls};
use wire::quality::LegQuality;
use wire::staff::{AvailableStaff, StaffAvailable};

use crate::beside::Beside;
use crate::caller::Caller;
use crate::permissions;
use crate::refusal::{Code, Refused};
use crate::router::colleague;
use crate::shared::Core;
use crate::store::calls::{self, CallRow};
use crate::store::{recordings, routing, staff};
use crate::tx::Tx;
use crate::views::{self, Reader};

/// Live calls in one answer; who supervises more looks at a queue.
pub const LIVE_CALLS_MAX: i64 = 500;
/// Colleagues in one answer.
const COLLEAGUES_MAX: i64 = 2_000;

/// Calls that are not over and that the caller may see, oldest first.
pub(crate) async fn calls(core: &Arc<Core>, caller: &Caller) -> Result<LiveCalls, Refused> {
    let (_, role) = caller.staff()?;
    if !permissions::may(role, permissions::CALL_MONITOR) {
        return Err(Refused::new(Code::Forbidden));
    }
    let core_in = Arc::clone(core);
    core.run(caller.ctx(), move |tx| {
        Box::pin(async move {
            let rows = calls::live(tx.conn(), LIVE_CALLS_MAX).await?;
            tx.become_desk().await?;
            let mut shown = Vec::with_capacity(rows.len());
            for row in &rows {
                shown.push(one(&core_in, tx, row).await?);
            }
            let server_time = Time(tx.now);
            Ok(LiveCalls {
                calls: shown,
                server_time,
            })
        })
    })
    .await
}

async fn one(core: &Core, tx: &mut Tx, row: &CallRow) -> Result<LiveCall, Refused> {
    let answered = row.status == "answered";
    let beside = if answered {
        Beside::read(tx.conn(), row.id).await?
    } else {
        Beside::default()
    };
    let agent_name = match row.assigned_staff_id {
        Some(agent) => staff::name(tx.conn(), agent).await?,
        None => None,
    };
    let recorded = answered && recordings::runs(tx.conn(), row.id).await?;
    Ok(LiveCall {
        call_id: row.id,
        customer_name: row.customer_name.clone(),
        agent_name,
        agent_id: row.assigned_staff_id,
        queue: row.queue.clone(),
        status: views::call_status(&row.status),
        created_at: views::time(row.created_at),
        enqueued_at: row.enqueued_at.map(views::time),
        answered_at: row.answered_at.map(views::time),
        held_since: beside.held_since(Reader::Staff),
        muted: beside.muted(Reader::Staff),
        muted_self: beside.muted_self(Reader::Staff),
        muted_by_others: beside.muted_by_others(Reader::Staff),
        recorded,
        legs: if row.node_id == core.node.node_id {
            legs(core, row.id)
        } else {
            Vec::new()
        },
        consult: beside.consult,
        supervisors: beside.supervisors,
    })
}

/// The last second of each leg, as this node's media has it.
fn legs(core: &Core, call: Uuid) -> Vec<LegQuality> {
    let room = core.media.snapshot(CallId(call.as_u128()));
    room.map_or_else(Vec::new, |room| room.legs.iter().map(leg_quality).collect())
}

/// One leg's last second as the consoles see it.
pub fn leg_quality(leg: &LegSnapshot) -> LegQuality {
    LegQuality {
        part: views::part(views::part_word(leg.part)),
        up: leg.up,
        loss: leg.loss,
        jitter_ms: leg.jitter_ms,
        rtt_ms: leg.rtt_ms,
        mos: leg.mos,
        mos_down: leg.down.map(|down| down.mos),
        mos_end_to_end: leg.mos_end_to_end,
        level: leg.level,
        speaking: leg.speaking,
        flags: leg.flags.iter().map(|flag| flag.word().to_owned()).collect(),
        path: leg.route.map(views::path_of),
    }
}

/// Colleagues who are there, by name, without the caller.
pub(crate) async fn available(core: &Arc<Core>, caller: &Caller) -> Result<StaffAvailable, Refused> {
    let (me, _) = caller.staff()?;
    core.run(caller.ctx(), move |tx| {
        Box::pin(async move {
            // A name and whether he is free is all that is told of somebody whom the caller could not see.
            tx.become_desk().await?;
            let StaffId(me) = me;
            let rows = routing::colleagues(tx.conn(), Uuid::from_u128(me), COLLEAGUES_MAX).await?;
            let now = tx.now;
            let shown = rows.into_iter().map(|row| AvailableStaff {
                free: colleague(&row).routable(now).is_ok(),
                staff_id: row.id,
                role: views::staff_role(&row.role),
                status: views::presence(&row.status),
                name: row.staff_name,
            });
            Ok(StaffAvailable { staff: shown.collect() })
        })
    })
    .await
}
