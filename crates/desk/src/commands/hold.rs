//! Hold: the customer hears music and nobody hears him, until the agent takes him back.
//!
//! No state of the call: an open interval says that it is so, and the plan is made from it, so a page that is loaded anew
//! finds the same.

use std::sync::Arc;

use call_model::{CallId, call};
use uuid::Uuid;
use wire::call::CallView;

use super::apply::{self, Act, Actor, HOLD, Work};
use super::contact::{find_here, reader, word};
use super::{again, modes, rows, tell};
use crate::caller::Caller;
use crate::permissions;
use crate::refusal::Refused;
use crate::shared::Core;
use crate::store::calls::CallRow;
use crate::store::legs;
use crate::tx::Tx;
use crate::views;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// The customer hears the music.
    On,
    /// He talks.
    Off,
}

/// Puts the customer on hold or takes him back; twice is once.
pub(crate) async fn set(
    core: &Arc<Core>,
    caller: &Caller,
    call: CallId,
    wanted: Hold,
    reason: Option<String>,
) -> Result<CallView, Refused> {
    let word = word(reason)?;
    let (core_in, caller_in) = (Arc::clone(core), caller.clone());
    core.run(caller.ctx(), move |tx| {
        Box::pin(async move {
            let row = find_here(&core_in, tx, call).await?;
            let act = Act {
                actor: Actor::of(tx, &caller_in).await?,
                at: None,
                word,
            };
            let mut work = apply::load(tx, row.id, &act).await?;
            rows::call_of(&work.row, &work.offers, None)?.sound_may_change(who(&caller_in, &work.row))?;
            if modes::of(tx, row.id).await?.held != (wanted == Hold::On) {
                change(tx, &mut work, wanted, &caller_in, &act).await?;
            } else {
                again::plan(tx, &work).await?;
            }
            views::call(tx.conn(), &work.row, reader(&caller_in)).await
        })
    })
    .await
}

/// The agent who has the call, or somebody who may take calls into his hand; the customer may not.
pub(super) fn who(caller: &Caller, row: &CallRow) -> call::Who {
    match caller {
        Caller::Customer { .. } => call::Who::Customer,
        Caller::Service { .. } | Caller::Demo => call::Who::Staff,
        Caller::Staff { staff, role, .. } => {
            let own = row.assigned_staff_id == Some(Uuid::from_u128(staff.0));
            if own || !permissions::may(*role, permissions::CONTACT_REASSIGN) {
                call::Who::Agent(*staff)
            } else {
                call::Who::Staff
            }
        }
    }
}

async fn change(tx: &mut Tx, work: &mut Work, wanted: Hold, caller: &Caller, act: &Act) -> Result<(), Refused> {
    let kind = match wanted {
        Hold::On => {
            let staff = caller.staff().ok().map(|(staff, _)| Uuid::from_u128(staff.0));
            legs::open_interval(tx.conn(), work.row.id, HOLD, None, staff, work.change()).await?;
            "call.held"
        }
        Hold::Off => {
            legs::close_intervals(tx.conn(), work.row.id, Some(HOLD), None, work.change()).await?;
            "call.resumed"
        }
    };
    apply::replan(tx, work).await?;
    tell::call_changed(tx, work, kind, act).await
}
