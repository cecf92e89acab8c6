//! The shield over pressed keys: nobody in the call gets them, whoever hears the voice, until the agent takes it away or the
//! call ends.
//!
//! No state of the call: an open interval says that it is so, and the plan is made from it. It outlasts hold, transfer and
//! the way back to the queue; what a customer keys in is no more the next agent's business than the first one's. Where the
//! house shields every call the interval begins with the call, and nobody ends it before.

use std::sync::Arc;

use call_model::CallId;
use ports::Shield;
use serde_json::json;
use uuid::Uuid;
use wire::call::CallView;

use super::apply::{self, Act, Actor, SHIELD, Work};
use super::contact::{find_here, reader, word};
use super::{again, hold, modes, rows, tell};
use crate::caller::Caller;
use crate::refusal::{Code, Refused};
use crate::shared::{Core, Shielding};
use crate::store::calls::CallRow;
use crate::store::legs::{self, Change};
use crate::tx::Tx;
use crate::views;

/// Mode of the interval when an agent has asked for it.
const ON_DEMAND: &str = "on_demand";
/// Mode of the interval where the house shields every call.
const ALWAYS: &str = "always";

/// Whether the interval's mode is that of a house that shields every call.
pub(crate) fn is_always(mode: Option<&str>) -> bool {
    mode == Some(ALWAYS)
}

/// Keeps pressed keys from everybody or lets them go where the voice goes; twice is once.
pub(crate) async fn set(
    core: &Arc<Core>,
    caller: &Caller,
    call: CallId,
    wanted: Shield,
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
            let who = hold::who(&caller_in, &work.row);
            rows::call_of(&work.row, &work.offers, None)?.sound_may_change(who)?;
            if modes::of(tx, row.id).await?.shield != wanted {
                change(tx, &mut work, wanted, &caller_in, &act).await?;
            } else {
                again::plan(tx, &work).await?;
            }
            views::call(tx.conn(), &work.row, reader(&caller_in)).await
        })
    })
    .await
}

async fn change(tx: &mut Tx, work: &mut Work, wanted: Shield, caller: &Caller, act: &Act) -> Result<(), Refused> {
    let kind = match wanted {
        Shield::On => {
            let staff = caller.staff().ok().map(|(staff, _)| Uuid::from_u128(staff.0));
            legs::open_shield(tx.conn(), work.row.id, staff, ON_DEMAND, work.change()).await?;
            "call.shielded"
        }
        Shield::Off => {
            let open = legs::open_intervals(tx.conn(), work.row.id).await?;
            let mut shields = open.iter().filter(|open| open.kind == SHIELD);
            if shields.any(|open| is_always(open.mode.as_deref())) {
                return Err(Refused::because(
                    Code::Forbidden,
                    "the house shields the keys of every call",
                ));
            }
            legs::close_intervals(tx.conn(), work.row.id, Some(SHIELD), None, work.change()).await?;
            "call.unshielded"
        }
    };
    apply::replan(tx, work).await?;
    let mut data = json!({});
    if let Some(reason) = &act.word {
        data["reason"] = json!(reason);
    }
    tell::changed(tx, work, kind, kind, tell::Whom::All, act, data).await
}

/// A call begins: where the house shields every call, this one too.
pub(super) async fn from_the_begin(core: &Core, tx: &mut Tx, row: &CallRow) -> Result<(), Refused> {
    if core.options.shield == Shielding::OnDemand {
        return Ok(());
    }
    let (at, act) = (tx.now, Act::now(Actor::system("settings")));
    let by = Change {
        at,
        actor: &act.actor.label,
        reason: None,
    };
    legs::open_shield(tx.conn(), row.id, None, ALWAYS, by).await?;
    tell::noted(tx, row.id, "call.shielded", at, &act, &json!({ "always": true })).await
}
