//! Mute at the server: one party is heard by nobody and is not recorded, whatever his own page does.
//!
//! No state of the call: an open interval of the party's leg says that it is so. Muted and on hold at once he is on hold
//! first, and still muted when he is taken back.

use std::sync::Arc;

use call_model::{CallId, call};
use serde_json::json;
use uuid::Uuid;
use wire::call::CallView;
use wire::leg::Part;

use super::apply::{self, Act, Actor, MUTE, Work};
use super::contact::{find, reader, word};
use super::{modes, rows, tell};
use crate::caller::Caller;
use crate::permissions;
use crate::refusal::{Code, Refused};
use crate::shared::Core;
use crate::store::{legs, offers};
use crate::tx::Tx;
use crate::views;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mute {
    /// Nobody hears him.
    On,
    /// He is heard again.
    Off,
}

/// The database's word of a party.
fn party(part: Part) -> Result<&'static str, Refused> {
    match part {
        Part::Customer => Ok("customer"),
        Part::Agent => Ok("agent"),
        Part::Partner => Ok("partner"),
        Part::Supervisor | Part::Preflight => Err(Refused::field("part", "must be `customer`, `agent` or `partner`")),
    }
}

/// Mutes a party or lets him be heard again; twice is once.
pub(crate) async fn set(
    core: &Arc<Core>,
    caller: &Caller,
    call: CallId,
    part: Part,
    wanted: Mute,
    reason: Option<String>,
) -> Result<CallView, Refused> {
    let (word, part) = (word(reason)?, party(part)?);
    let caller_in = caller.clone();
    core.run(caller.ctx(), move |tx| {
        Box::pin(async move {
            let row = find(tx, call).await?;
            let act = Act {
                actor: Actor::of(tx, &caller_in).await?,
                at: None,
                word,
            };
            let mut work = apply::load(tx, row.id, &act).await?;
            may(tx, &work, &caller_in, part).await?;
            rows::call_of(&work.row, &work.offers, None)?.sound_may_change(call::Who::Staff)?;
            change(tx, &mut work, part, wanted, &caller_in, &act).await?;
            views::call(tx.conn(), &work.row, reader(&caller_in)).await
        })
    })
    .await
}

/// The agent of the call mutes everybody in it, a colleague himself; everybody else needs the permission to join.
async fn may(tx: &mut Tx, work: &Work, caller: &Caller, part: &str) -> Result<(), Refused> {
    let (staff, role) = match caller {
        Caller::Customer { .. } => return Err(Refused::new(Code::Forbidden)),
        Caller::Service { .. } | Caller::Demo => return Ok(()),
        Caller::Staff { staff, role, .. } => (Uuid::from_u128(staff.0), *role),
    };
    let own = work.row.assigned_staff_id == Some(staff);
    if own || permissions::may(role, permissions::CALL_BARGE) {
        return Ok(());
    }
    if part == "partner" && offers::helps(tx.conn(), work.row.id, staff).await? {
        return Ok(());
    }
    Err(Refused::new(Code::Forbidden))
}

async fn change(
    tx: &mut Tx,
    work: &mut Work,
    part: &str,
    wanted: Mute,
    caller: &Caller,
    act: &Act,
) -> Result<(), Refused> {
    let live = legs::live(tx.conn(), work.row.id).await?;
    let leg = live.iter().find(|leg| leg.part == part).map(|leg| leg.id);
    let leg = leg.ok_or_else(|| Refused::because(Code::IllegalTransition, format!("the call has no {part} now")))?;
    let muted = modes::of(tx, work.row.id).await?.muted.contains(&leg);
    if muted == (wanted == Mute::On) {
        return Ok(());
    }
    let kind = match wanted {
        Mute::On => {
            let staff = caller.staff().ok().map(|(staff, _)| Uuid::from_u128(staff.0));
            legs::open_interval(tx.conn(), work.row.id, MUTE, Some(leg), staff, work.change()).await?;
            "call.muted"
        }
        Mute::Off => {
            legs::close_intervals(tx.conn(), work.row.id, Some(MUTE), Some(leg), work.change()).await?;
            "call.unmuted"
        }
    };
    apply::replan(tx, work).await?;
    let mut data = json!({ "part": part });
    if let Some(reason) = &act.word {
        data["reason"] = json!(reason);
    }
    let whom = if part == "customer" {
        tell::Whom::All
    } else {
        tell::Whom::Staff
    };
    tell::changed(tx, work, kind, kind, whom, act, data).await
}
