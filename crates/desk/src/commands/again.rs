//! Tells media once more what the rows say of a call, when it may not have heard: nothing is decided and nothing is
//! written. Media keeps the highest plan, and closing twice is one.

use std::sync::Arc;

use call_model::{CallId, LegId};
use ports::{Author, Part};
use uuid::Uuid;

use super::apply::{self, Work};
use super::{modes, rows};
use crate::after::After;
use crate::nodes::epoch_of;
use crate::refusal::{Code, Refused};
use crate::shared::Core;
use crate::store::calls::{self, CallRow};
use crate::store::{legs, queues};
use crate::tx::Tx;
use crate::unsure::Touched;

/// Somebody asks for what is so already: the first time may have been decided without media's hearing of it.
pub(super) async fn plan(tx: &mut Tx, work: &Work) -> Result<(), Refused> {
    let live = legs::live(tx.conn(), work.row.id).await?;
    let modes = modes::of(tx, work.row.id).await?;
    let plan = rows::plan(&work.row, &live, &work.queue, &modes);
    tx.after.push(After::Plan(plan, work.author()));
    Ok(())
}

/// Somebody hangs up what has ended.
pub(super) fn close(tx: &mut Tx, row: &CallRow) {
    let cause = apply::cause_of(row);
    tx.after.push(After::CloseRoom(CallId(row.id.as_u128()), cause));
}

/// The database is back, and a commit about this was never answered.
pub(crate) async fn tell(core: &Arc<Core>, touched: Touched) -> Result<(), Refused> {
    let held = Arc::clone(core);
    core.write("unsure", move |tx| {
        Box::pin(async move {
            match touched {
                Touched::Call(call) => tell_of(&held, tx, call).await,
                Touched::Part(leg) => {
                    if legs::standing(tx.conn(), leg)
                        .await?
                        .is_some_and(|(part, _)| part == "agent")
                    {
                        let part = After::ChangePart(LegId(leg.as_u128()), Part::Agent, system());
                        tx.after.push(part);
                    }
                    Ok(())
                }
                Touched::Leg(leg) => {
                    if legs::standing(tx.conn(), leg)
                        .await?
                        .is_some_and(|(_, state)| state == "down")
                    {
                        let close = After::CloseLeg(LegId(leg.as_u128()), ports::Cause::HangUp);
                        tx.after.push(close);
                    }
                    Ok(())
                }
            }
        })
    })
    .await
}

async fn tell_of(core: &Core, tx: &mut Tx, call: Uuid) -> Result<(), Refused> {
    let Some(row) = calls::lock(tx.conn(), call).await? else {
        return Ok(());
    };
    if row.node_id != core.node.node_id || row.node_epoch != epoch_of(core) {
        return Ok(());
    }
    if row.ended_at.is_some() {
        close(tx, &row);
        return Ok(());
    }
    let queue = queues::get(tx.conn(), &row.queue).await?;
    let queue = queue.ok_or(Refused::new(Code::Internal))?;
    let live = legs::live(tx.conn(), row.id).await?;
    let modes = modes::of(tx, row.id).await?;
    let plan = rows::plan(&row, &live, &queue, &modes);
    tx.after.push(After::Plan(plan, system()));
    Ok(())
}

/// Nobody wants anything new.
const fn system() -> Author {
    Author {
        role: "system",
        reason: None,
    }
}
