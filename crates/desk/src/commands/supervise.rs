//! Supervision: somebody above the agent listens, speaks to him alone, or joins.
//!
//! The supervisor's leg and an open interval say that it is so and how; the plan is made from them. Who listens has no
//! uplink, so from listening to speaking and back he gets another leg.
//!
//! Noted in the audit log and in the call's history. Whether the agent is told is a rule of the house: where he is not,
//! the history that he reads says nothing of it.

use std::sync::Arc;

use call_model::{CallId, StaffId, call, voices};
use ports::{Cause, Part};
use serde_json::{Value, json};
use uuid::Uuid;
use wire::call::SuperviseMode;
use wire::leg::LegGrant;
use wire::staff::StaffRole;

use super::absent::NEVER_CAME;
use super::apply::{self, Act, Actor, SUPERVISE, Work};
use super::contact::{self, find_here, word};
use super::modes::{self, mode_word};
use super::{rows, takeover};
use crate::after::After;
use crate::caller::Caller;
use crate::permissions;
use crate::refusal::{Code, Refused};
use crate::settings::Settings;
use crate::shared::{Core, to_the_end};
use crate::store::events::{self, Audit};
use crate::store::legs::{self, LegRow};
use crate::store::{calls, offers, staff};
use crate::tx::Tx;
use crate::types::At;
use crate::views;

/// Supervisors of one call at a time: legs beside customer, agent and partner that a room is sure to have a place for.
pub(crate) const SUPERVISORS_PER_CALL_MAX: usize = 2;

/// Why a supervision ends whose supervisor may not go on.
const WITHDRAWN: &str = "role_withdrawn";

const fn permission(mode: SuperviseMode) -> &'static str {
    match mode {
        SuperviseMode::Monitor => permissions::CALL_MONITOR,
        SuperviseMode::Whisper => permissions::CALL_WHISPER,
        SuperviseMode::Barge => permissions::CALL_BARGE,
        SuperviseMode::Takeover => permissions::CALL_TAKEOVER,
    }
}

/// Begins to supervise, or goes on in another mode; asked again in the same one, a fresh right for the same leg.
pub(crate) async fn begin(
    core: &Arc<Core>,
    caller: &Caller,
    call: CallId,
    mode: SuperviseMode,
    reason: Option<String>,
) -> Result<LegGrant, Refused> {
    if mode == SuperviseMode::Takeover {
        return takeover::take(core, caller, call, reason).await;
    }
    let word = word(reason)?;
    let (staff, role) = caller.staff()?;
    if !permissions::may(role, permission(mode)) {
        return Err(Refused::new(Code::Forbidden));
    }
    to_the_end(
        "supervise",
        begun(Arc::clone(core), caller.clone(), staff, call, mode, word),
    )
    .await
}

/// Whether somebody's role, by his row, still allows it. The row is locked: whoever withdraws a right comes before this and is
/// heeded, or after it and finds what was begun.
pub(super) async fn still_may(tx: &mut Tx, staff: Uuid, permission: &str) -> Result<(), Refused> {
    let row = staff::get(tx.conn(), staff).await?;
    let may = row.is_some_and(|row| row.is_active && permissions::may(views::staff_role(&row.role), permission));
    if may {
        Ok(())
    } else {
        Err(Refused::new(Code::Forbidden))
    }
}

/// The decision and what media must hear of it, in one.
async fn begun(
    core: Arc<Core>,
    caller: Caller,
    staff: StaffId,
    call: CallId,
    mode: SuperviseMode,
    word: Option<String>,
) -> Result<LegGrant, Refused> {
    let (core_in, caller_in) = (Arc::clone(&core), caller.clone());
    let granted = core
        .run(caller.ctx(), move |tx| {
            Box::pin(async move {
                let row = find_here(&core_in, tx, call).await?;
                let act = Act {
                    actor: Actor::of(tx, &caller_in).await?,
                    at: None,
                    word,
                };
                let id = Uuid::from_u128(staff.0);
                let mut work = apply::load_with(tx, row.id, &[id], &act).await?;
                still_may(tx, id, permission(mode)).await?;
                rows::call_of(&work.row, &work.offers, None)?.sound_may_change(call::Who::Staff)?;
                if work.row.assigned_staff_id == Some(Uuid::from_u128(staff.0)) {
                    return Err(Refused::because(Code::Forbidden, "the call is your own"));
                }
                if offers::helps(tx.conn(), work.row.id, Uuid::from_u128(staff.0)).await? {
                    return Err(Refused::because(Code::Forbidden, "you take part in the call"));
                }
                let leg = leg_for(&core_in, tx, &mut work, staff, mode, &act).await?;
                let mut grant = rows::grant(&core_in, &leg, Part::Supervisor);
                grant.uplink = modes::speaks(mode);
                let granted = contact::granted(tx, &work.row, &work.queue, grant).await?;
                Ok(granted.by(work.author()))
            })
        })
        .await?;
    contact::hand_out(&core, granted).await
}

/// The supervisor's leg in this mode: the one he has, or another one in its place.
async fn leg_for(
    core: &Core,
    tx: &mut Tx,
    work: &mut Work,
    staff: StaffId,
    mode: SuperviseMode,
    act: &Act,
) -> Result<LegRow, Refused> {
    let id = Uuid::from_u128(staff.0);
    let live = legs::live(tx.conn(), work.row.id).await?;
    let supervisors: Vec<_> = live.iter().filter(|leg| leg.part == "supervisor").collect();
    let own = supervisors.iter().find(|leg| leg.staff_id == Some(id));
    let kind = if own.is_some() {
        "call.supervision_changed"
    } else {
        "call.supervision_began"
    };
    if let Some(own) = own {
        let before = legs::supervision(tx.conn(), own.id).await?;
        if before.as_deref() == Some(mode_word(mode)) && own.node_epoch == work.row.node_epoch {
            let now = tx.now;
            legs::renew(tx.conn(), own.id, now).await?;
            return Ok((*own).clone());
        }
        finds_streams(tx, work, mode, Some(own.id)).await?;
        leave(tx, work, own, Cause::Replaced).await?;
    } else if supervisors.len() >= SUPERVISORS_PER_CALL_MAX {
        return Err(Refused::because(Code::MediaFull, "two supervisors are on this call").retry_after(RETRY_S));
    } else {
        finds_streams(tx, work, mode, None).await?;
    }
    let leg = LegRow {
        id: Uuid::from_u128(core.fresh_id()),
        call_id: work.row.id,
        part: "supervisor".to_owned(),
        staff_id: Some(id),
        node_epoch: work.row.node_epoch,
        state: "granted".to_owned(),
        granted_at: At(tx.now),
    };
    legs::insert(tx.conn(), &leg, &work.row.node_id).await?;
    legs::open_supervision(tx.conn(), work.row.id, leg.id, id, mode_word(mode), work.change()).await?;
    work.row.plan_epoch += 1;
    calls::save(tx.conn(), &work.row).await?;
    audit(tx, work, permission(mode), act).await?;
    let mut data = told(tx, Some(mode_word(mode))).await?;
    if let Some(reason) = &act.word {
        data["reason"] = json!(reason);
    }
    events::call_event(tx.conn(), work.row.id, kind, work.at, &act.actor.label, &data).await?;
    Ok(leg)
}

/// Refuses a supervisor whose voice, or whose ear, would make one too many: nobody may miss a voice without knowing.
/// `own`: the leg that he has now and gives up. Decided under the call's lock, so two at once cannot both find a stream.
async fn finds_streams(tx: &mut Tx, work: &Work, mode: SuperviseMode, own: Option<Uuid>) -> Result<(), Refused> {
    let present = modes::of(tx, work.row.id).await?;
    let mut supervisors = present.supervisions(own);
    supervisors.extend(modes::supervision(mode));
    voices::fit(present.parties(), &supervisors)?;
    Ok(())
}

/// Seconds after which asking again makes sense: a supervisor listens for minutes.
const RETRY_S: u32 = 30;

/// Ends one's own supervision; twice is once.
pub(crate) async fn end(
    core: &Arc<Core>,
    caller: &Caller,
    call: CallId,
    reason: Option<String>,
) -> Result<(), Refused> {
    let (staff, _) = caller.staff()?;
    end_of(core, caller, staff, call, word(reason)?, |_| true).await
}

/// Ends what somebody's role does not allow any more of his supervisions; `None`: he works here no longer. In the name of
/// whoever has changed that.
pub(crate) async fn withdrawn(
    core: &Arc<Core>,
    caller: &Caller,
    staff: StaffId,
    role: Option<StaffRole>,
) -> Result<(), Refused> {
    let id = Uuid::from_u128(staff.0);
    let calls = core
        .write("api", move |tx| {
            Box::pin(async move { legs::supervised_calls(tx.conn(), id).await })
        })
        .await?;
    let mut result = Ok(());
    for call in calls {
        let forbidden = move |mode| !role.is_some_and(|role| permissions::may(role, permission(mode)));
        let word = Some(WITHDRAWN.to_owned());
        match end_of(core, caller, staff, CallId(call.as_u128()), word, forbidden).await {
            Err(refused) if refused.code == Code::OtherNode => {
                tracing::warn!(call.id = %call, "a supervision at another node goes on without the right to it");
            }
            // The others end all the same.
            done => result = result.and(done),
        }
    }
    result
}

/// Ends the supervision of `staff`, in the name of the caller, when `ends` says so of its mode.
async fn end_of(
    core: &Arc<Core>,
    caller: &Caller,
    staff: StaffId,
    call: CallId,
    word: Option<String>,
    ends: impl Fn(SuperviseMode) -> bool + Send + 'static,
) -> Result<(), Refused> {
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
            let id = Uuid::from_u128(staff.0);
            let live = legs::live(tx.conn(), work.row.id).await?;
            let mut own = live
                .iter()
                .filter(|leg| leg.part == "supervisor" && leg.staff_id == Some(id));
            let Some(own) = own.next() else { return Ok(()) };
            let mode = legs::supervision(tx.conn(), own.id).await?;
            if !ends(modes::mode_of(mode.as_deref())) {
                return Ok(());
            }
            ended(tx, &work, own, act.word.as_deref()).await?;
            leave(tx, &work, own, Cause::HangUp).await?;
            apply::replan(tx, &mut work).await?;
            audit(tx, &work, "call.supervision_ended", &act).await
        })
    })
    .await
}

/// The supervision of this leg ends; to be told before its interval is closed.
pub(super) async fn ended(tx: &mut Tx, work: &Work, leg: &LegRow, reason: Option<&str>) -> Result<(), Refused> {
    let mode = legs::supervision(tx.conn(), leg.id).await?;
    let mut data = told(tx, mode.as_deref()).await?;
    if let Some(reason) = reason {
        data["reason"] = json!(reason);
    }
    let kind = "call.supervision_ended";
    events::call_event(tx.conn(), work.row.id, kind, work.at, &work.actor, &data).await
}

/// He was let in and has never heard a word: nobody who reads the history may take him for a listener.
pub(super) async fn never_came(tx: &mut Tx, work: &mut Work, leg: &LegRow, act: &Act) -> Result<(), Refused> {
    let mut data = told(tx, None).await?;
    data["reason"] = json!(NEVER_CAME);
    data["supervisor"] = json!(takeover::name_of(tx, leg.staff_id).await?);
    let kind = "call.supervision_ended";
    events::call_event(tx.conn(), work.row.id, kind, work.at, &work.actor, &data).await?;
    leave(tx, work, leg, Cause::IceTimeout).await?;
    apply::replan(tx, work).await?;
    audit(tx, work, kind, act).await
}

/// What the history says of a supervision: how he takes part, and whether the house tells the agent now.
pub(crate) async fn told(tx: &mut Tx, mode: Option<&str>) -> Result<Value, Refused> {
    let announced = Settings::announces(tx.conn()).await?;
    Ok(json!({ "part": "supervisor", "mode": mode, "announced": announced }))
}

/// What the agent of a call reads of an event's data: nothing where it is about a supervisor of whom nobody told him, and no
/// such supervisor among the voices that somebody missed. `None`: the event is not for him.
pub(crate) fn for_agents(mut data: Value) -> Option<Value> {
    if data["announced"] != false {
        return Some(data);
    }
    if data["part"] == "supervisor" {
        return None;
    }
    if let Some(missed) = data.get_mut("unheard").and_then(Value::as_array_mut) {
        missed.retain(|part| part != "supervisor");
        if missed.is_empty() {
            return None;
        }
    }
    Some(data)
}

/// A supervisor's leg is over.
async fn leave(tx: &mut Tx, work: &Work, leg: &LegRow, cause: Cause) -> Result<(), Refused> {
    legs::close_intervals(tx.conn(), work.row.id, Some(SUPERVISE), Some(leg.id), work.change()).await?;
    legs::down(tx.conn(), leg.id, work.at, cause.word()).await?;
    tx.after
        .push(After::CloseLeg(call_model::LegId(leg.id.as_u128()), cause));
    Ok(())
}

async fn audit(tx: &mut Tx, work: &Work, action: &str, act: &Act) -> Result<(), Refused> {
    let entry = Audit {
        actor_id: &act.actor.id,
        actor_role: act.actor.role,
        action,
        subject_type: "call",
        subject_id: &work.row.id.to_string(),
        reason: act.word.as_deref(),
    };
    events::audit(tx.conn(), work.at, &entry).await
}
