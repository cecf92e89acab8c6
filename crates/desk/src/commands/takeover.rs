//! Takeover: a supervisor becomes the call's agent at once. One decision and one plan: the customer hears no state
//! between, and the agent before writes up.

use std::sync::Arc;

use call_model::consult::Why;
use call_model::{CallId, OfferId, Span, StaffId, call, offer};
use ports::{Cause, Part};
use serde_json::json;
use uuid::Uuid;
use wire::leg::LegGrant;

use super::apply::{self, Act, Actor, Work};
use super::contact::{self, find_here, word};
use super::owner::{self, Owner};
use super::{consult, offer_step, rows, supervise, tell};
use crate::caller::Caller;
use crate::permissions;
use crate::refusal::{Code, Refused};
use crate::shared::{Core, to_the_end};
use crate::store::offers::{self, OfferRow};
use crate::store::{legs, routing, staff};
use crate::tx::Tx;
use crate::types::At;

/// How long the offer of a takeover may be accepted: it is, in the same transaction.
const LEASE: Span = Span::seconds(20);

/// Takes the call over; asked again by whoever has it, a fresh right for his leg.
pub(crate) async fn take(
    core: &Arc<Core>,
    caller: &Caller,
    call: CallId,
    reason: Option<String>,
) -> Result<LegGrant, Refused> {
    let (me, role) = caller.staff()?;
    if !permissions::may(role, permissions::CALL_TAKEOVER) {
        return Err(Refused::new(Code::Forbidden));
    }
    let word = word(reason)?;
    to_the_end("takeover", taken(Arc::clone(core), caller.clone(), me, call, word)).await
}

/// The decision and what media must hear of it, in one: without the second the customer would be alone.
async fn taken(
    core: Arc<Core>,
    caller: Caller,
    me: StaffId,
    call: CallId,
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
                let me = Uuid::from_u128(me.0);
                let mut work = apply::load_with(tx, row.id, &[me], &act).await?;
                supervise::still_may(tx, me, permissions::CALL_TAKEOVER).await?;
                rows::call_of(&work.row, &work.offers, None)?.sound_may_change(call::Who::Staff)?;
                if work.row.assigned_staff_id != Some(me) {
                    become_agent(&core_in, tx, &mut work, me, &act).await?;
                }
                contact::prepare(&core_in, tx, &mut work.row, Part::Agent, None).await
            })
        })
        .await?;
    contact::hand_out(&core, granted).await
}

async fn become_agent(core: &Core, tx: &mut Tx, work: &mut Work, me: Uuid, act: &Act) -> Result<(), Refused> {
    let before = name_of(tx, work.row.assigned_staff_id).await?;
    if consult::of(tx, work).await?.is_some() {
        consult::end(tx, work, Why::TakenOver, act).await?;
    }
    let slot = routing::own_slot(tx.conn(), me).await?;
    let slot = slot.ok_or_else(|| Refused::because(Code::AlreadyInCall, "you have no free slot for a call"))?;
    for leg in legs::live(tx.conn(), work.row.id).await? {
        if leg.part == "supervisor" && leg.staff_id == Some(me) {
            supervise::ended(tx, work, &leg, act.word.as_deref()).await?;
            owner::end_leg(tx, work, &leg, Cause::Replaced).await?;
        }
    }
    let id = Uuid::from_u128(core.fresh_id());
    let owner = Owner {
        offer: id,
        agent: me,
        leaves: call::Leaves::WritesUp,
        cause: Cause::Kicked,
    };
    owner::change(core, tx, work, owner, act).await?;
    accept(tx, work, id, me, slot, act).await?;
    apply::leg(core, tx, &work.row, Part::Agent, Some(StaffId(me.as_u128()))).await?;
    apply::replan(tx, work).await?;
    let mut data = json!({ "from": before, "to": name_of(tx, Some(me)).await? });
    if let Some(reason) = &act.word {
        data["reason"] = json!(reason);
    }
    tell::changed(
        tx,
        work,
        "call.taken_over",
        "call.taken_over",
        tell::Whom::All,
        act,
        data,
    )
    .await
}

/// The supervisor's own offer, made and accepted in one go: a slot of his is held like every agent's.
async fn accept(tx: &mut Tx, work: &mut Work, id: Uuid, me: Uuid, slot: i32, act: &Act) -> Result<(), Refused> {
    let offer = OfferRow {
        id,
        call_id: work.row.id,
        staff_id: me,
        slot,
        kind: offers::PRIMARY.to_owned(),
        state: "pending".to_owned(),
        reason: None,
        created_at: At(work.at),
        expires_at: At(tx.now.plus(LEASE)),
        accepted_at: None,
        wrapping_at: None,
        ended_at: None,
        wrap_up_extensions: 0,
    };
    if !offers::insert(tx.conn(), &offer, true).await? {
        return Err(Refused::because(
            Code::AlreadyInCall,
            "you have no free slot for a call",
        ));
    }
    work.offers.push(offer);
    let by = StaffId(me.as_u128());
    offer_step::by_id(tx, work, OfferId(id.as_u128()), offer::Input::Accept { by }, act).await
}

/// The display name of an agent.
pub(super) async fn name_of(tx: &mut Tx, agent: Option<Uuid>) -> Result<String, Refused> {
    match agent {
        Some(agent) => Ok(staff::name(tx.conn(), agent).await?.unwrap_or_default()),
        None => Ok(String::new()),
    }
}
