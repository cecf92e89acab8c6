//! A colleague is asked for help: he rings, speaks with the agent apart from the customer, joins, takes the call over,
//! or goes.
//!
//! His offer says that he is asked or takes part, open intervals say how; the plan is made from them.
//!
//! Invariant: while the customer hears the music the call has its agent. Whatever ends the consultation ends the music
//! of it.

use std::sync::Arc;

use call_model::agent::Unfit;
use call_model::consult::{self, Consult, Heir, RING, State, Step, Why};
use call_model::voices::{self, Parties};
use call_model::{CallId, OfferId, StaffId, call, offer};
use ports::{Cause, Part};
use serde_json::{Value, json};
use uuid::Uuid;
use wire::call::CallView;

use super::apply::{self, Act, Actor, CONFERENCE, CONSULT, HOLD, Work};
use super::contact::{find_here, reader, word};
use super::hold::who;
use super::owner::{self, Owner};
use super::takeover::name_of;
use super::{modes, offer_step, rows, tell};
use crate::caller::Caller;
use crate::refusal::{Code, Refused};
use crate::router::colleague;
use crate::shared::Core;
use crate::store::legs::{self, LegRow};
use crate::store::offers::{self, CONSULTED, OfferRow};
use crate::store::routing;
use crate::tx::Tx;
use crate::types::At;
use crate::views;

/// What the agent does with a consultation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The colleague gets the call.
    Complete,
    /// The customer joins.
    Merge,
    /// Back to the customer.
    Cancel,
}

/// Whether it is one, and not the offer that holds the call.
pub(super) fn is_consult(offer: &OfferRow) -> bool {
    offer.kind == CONSULTED
}

/// The consultation of a locked call.
pub(super) async fn of(tx: &mut Tx, work: &Work) -> Result<Option<Consult>, Refused> {
    let alive = |offer: &&OfferRow| is_consult(offer) && matches!(offer.state.as_str(), "pending" | "accepted");
    let Some(offer) = work.offers.iter().find(alive) else {
        return Ok(None);
    };
    let state = match offer.state.as_str() {
        "pending" => State::Ringing,
        _ if modes::of(tx, work.row.id).await?.conference => State::Conference,
        _ => State::Talking,
    };
    let leg = partner_leg(tx, work.row.id).await?;
    Ok(Some(Consult {
        offer: OfferId(offer.id.as_u128()),
        partner: StaffId(offer.staff_id.as_u128()),
        state,
        partner_sounds: leg.is_some_and(|leg| leg.state == "up"),
    }))
}

async fn partner_leg(tx: &mut Tx, call: Uuid) -> Result<Option<LegRow>, Refused> {
    let live = legs::live(tx.conn(), call).await?;
    Ok(live.into_iter().find(|leg| leg.part == "partner"))
}

/// Asks a colleague; the customer hears music meanwhile. Twice is once.
pub(crate) async fn begin(
    core: &Arc<Core>,
    caller: &Caller,
    call: CallId,
    partner: StaffId,
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
            let partner_id = Uuid::from_u128(partner.0);
            let mut work = apply::load_with(tx, row.id, &[partner_id], &act).await?;
            let model = rows::call_of(&work.row, &work.offers, None)?;
            model.sound_may_change(who(&caller_in, &work.row))?;
            let agent = model.agent().ok_or(Refused::new(Code::Internal))?;
            let present = of(tx, &work).await?;
            if consult::begin(present.as_ref(), agent, partner)? {
                ring(&core_in, tx, &mut work, partner_id, &act).await?;
            }
            views::call(tx.conn(), &work.row, reader(&caller_in)).await
        })
    })
    .await
}

/// Reserves a slot of the colleague, whose row is locked, and rings.
async fn ring(core: &Core, tx: &mut Tx, work: &mut Work, partner: Uuid, act: &Act) -> Result<(), Refused> {
    let row = routing::colleague(tx.conn(), partner).await?;
    let row = row.ok_or_else(|| Refused::field("staffId", "no such colleague"))?;
    let (name, slots) = (row.staff_name.clone(), row.slots);
    let full = call_model::Refusal::AgentFull;
    colleague(&row).routable(tx.now).map_err(|unfit| match unfit {
        Unfit::Full => full,
        Unfit::Inactive | Unfit::NotOnline | Unfit::Silent | Unfit::Slow | Unfit::NoMicrophone | Unfit::CoolingDown => {
            call_model::Refusal::AgentNotRoutable
        }
    })?;
    let slot = routing::lowest_slot(tx.conn(), partner, slots).await?.ok_or(full)?;
    let offer = OfferRow {
        id: Uuid::from_u128(core.fresh_id()),
        call_id: work.row.id,
        staff_id: partner,
        slot,
        kind: CONSULTED.to_owned(),
        state: "pending".to_owned(),
        reason: None,
        created_at: At(tx.now),
        expires_at: At(tx.now.plus(RING)),
        accepted_at: None,
        wrapping_at: None,
        ended_at: None,
        wrap_up_extensions: 0,
    };
    if !offers::insert(tx.conn(), &offer, false).await? {
        return Err(full.into());
    }
    let id = offer.id;
    work.offers.push(offer);
    legs::open_interval(tx.conn(), work.row.id, CONSULT, None, Some(partner), work.change()).await?;
    apply::replan(tx, work).await?;
    tell::offered(tx, work, id, act).await?;
    let data = with_reason(json!({ "to": name }), act);
    say(tx, work, "call.consult_started", "call.consulting", act, data).await
}

/// The agent goes on with a consultation, or ends it.
pub(crate) async fn go_on(
    core: &Arc<Core>,
    caller: &Caller,
    call: CallId,
    way: Way,
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
            let present = of(tx, &work).await?;
            if !(way == Way::Complete && present.is_none() && has_left(&caller_in, &work)) {
                rows::call_of(&work.row, &work.offers, None)?.sound_may_change(who(&caller_in, &work.row))?;
                step(&core_in, tx, &mut work, present, way, &act).await?;
            }
            views::call(tx.conn(), &work.row, reader(&caller_in)).await
        })
    })
    .await
}

/// Whether the caller had the call and writes it up: who completes twice has completed once.
fn has_left(caller: &Caller, work: &Work) -> bool {
    let Ok((staff, _)) = caller.staff() else { return false };
    let me = Uuid::from_u128(staff.0);
    work.offers
        .iter()
        .any(|offer| offer.staff_id == me && offer.state == "wrapping")
}

async fn step(
    core: &Core,
    tx: &mut Tx,
    work: &mut Work,
    present: Option<Consult>,
    way: Way,
    act: &Act,
) -> Result<(), Refused> {
    let Some(consult) = present else {
        return match way {
            Way::Cancel => Ok(()),
            Way::Complete | Way::Merge => Err(Refused::because(Code::IllegalTransition, "nobody is consulted")),
        };
    };
    let step = match way {
        Way::Complete => consult.complete()?,
        Way::Merge => consult.merge()?,
        Way::Cancel => consult.cancel(),
    };
    match step {
        Step::Nothing => Ok(()),
        Step::Merge => merge(tx, work, consult, act).await,
        Step::HandOver => hand_over(core, tx, work, consult, call::Leaves::WritesUp, act).await,
        Step::End(why) => {
            take_back(tx, work, act).await?;
            end(tx, work, why, act).await
        }
    }
}

/// All three speak from now on, unless somebody would miss a voice: with supervisors who speak, too, they may be too many.
async fn merge(tx: &mut Tx, work: &mut Work, consult: Consult, act: &Act) -> Result<(), Refused> {
    let supervisors = modes::of(tx, work.row.id).await?.supervisions(None);
    voices::fit(Parties::Three, &supervisors)?;
    take_back(tx, work, act).await?;
    let partner = Uuid::from_u128(consult.partner.0);
    legs::close_intervals(tx.conn(), work.row.id, Some(CONSULT), None, work.change()).await?;
    legs::open_interval(tx.conn(), work.row.id, CONFERENCE, None, Some(partner), work.change()).await?;
    apply::replan(tx, work).await?;
    let data = json!({ "to": name_of(tx, Some(partner)).await? });
    let data = with_reason(data, act);
    say(tx, work, "call.consult_merged", "call.consulting", act, data).await
}

/// Whoever merges or goes back to the customer takes him from hold, too.
async fn take_back(tx: &mut Tx, work: &Work, act: &Act) -> Result<(), Refused> {
    if modes::of(tx, work.row.id).await?.held {
        legs::close_intervals(tx.conn(), work.row.id, Some(HOLD), None, work.change()).await?;
        let data = json!({ "status": work.row.status });
        tell::noted(tx, work.row.id, "call.resumed", work.at, act, &data).await?;
    }
    Ok(())
}

/// The colleague owns the call from now on, with the leg he has.
async fn hand_over(
    core: &Core,
    tx: &mut Tx,
    work: &mut Work,
    consult: Consult,
    leaves: call::Leaves,
    act: &Act,
) -> Result<(), Refused> {
    let before = name_of(tx, work.row.assigned_staff_id).await?;
    let (offer, agent) = (Uuid::from_u128(consult.offer.0), Uuid::from_u128(consult.partner.0));
    let leg = partner_leg(tx, work.row.id)
        .await?
        .ok_or(Refused::new(Code::Internal))?;
    take_back(tx, work, act).await?;
    let cause = match leaves {
        call::Leaves::WritesUp => Cause::HangUp,
        call::Leaves::Lost => Cause::Lost,
    };
    let owner = Owner {
        offer,
        agent,
        leaves,
        cause,
    };
    owner::change(core, tx, work, owner, act).await?;
    offers::promote(tx.conn(), offer).await?;
    for held in work.offers.iter_mut().filter(|held| held.id == offer) {
        held.kind = offers::PRIMARY.to_owned();
    }
    owner::promote_leg(tx, work, &leg).await?;
    apply::replan(tx, work).await?;
    let data = json!({ "from": before, "to": name_of(tx, Some(agent)).await? });
    let data = with_reason(data, act);
    tell::changed(
        tx,
        work,
        "call.owner_changed",
        "call.transferred",
        tell::Whom::All,
        act,
        data,
    )
    .await
}

/// The agent of a call is lost; true when the colleague has it now.
pub(super) async fn inherited(core: &Core, tx: &mut Tx, work: &mut Work, act: &Act) -> Result<bool, Refused> {
    if work.row.status != "answered" {
        return Ok(false);
    }
    match of(tx, work).await? {
        Some(consult) if consult.agent_lost() == Heir::Partner => {
            hand_over(core, tx, work, consult, call::Leaves::Lost, act).await?;
            Ok(true)
        }
        Some(_) | None => Ok(false),
    }
}

/// Whether the call is a conference: who closes his page then leaves the others to one another.
pub(crate) async fn is_conference(tx: &mut Tx, call: Uuid) -> Result<bool, Refused> {
    Ok(modes::of(tx, call).await?.conference)
}

/// The colleague has said yes: his leg.
pub(super) async fn accepted(
    core: &Core,
    tx: &mut Tx,
    work: &mut Work,
    place: usize,
    act: &Act,
) -> Result<(), Refused> {
    if work.row.status != "answered" {
        return Err(Refused::new(Code::OfferLost));
    }
    let partner = work.offers[place].staff_id;
    let staff = StaffId(partner.as_u128());
    apply::leg(core, tx, &work.row, Part::Partner, Some(staff)).await?;
    apply::replan(tx, work).await?;
    let data = json!({ "to": name_of(tx, Some(partner)).await? });
    say(tx, work, "call.consult_answered", "call.consulting", act, data).await
}

/// The colleague's offer has ended without a yes: the agent has the customer again.
pub(super) async fn unanswered(tx: &mut Tx, work: &mut Work, place: usize, act: &Act) -> Result<(), Refused> {
    let offer = &work.offers[place];
    let why = match (offer.state.as_str(), offer.reason.as_deref()) {
        ("rejected", _) => Why::Rejected,
        ("timeout", _) => Why::TimedOut,
        ("rescinded", Some("agent_lost")) => Why::PartnerLost,
        _ => Why::Cancelled,
    };
    if work.row.status == "answered" {
        end(tx, work, why, act).await?;
    }
    Ok(())
}

/// The colleague hangs up for himself; false when he takes no part any more.
pub(super) async fn leaves(tx: &mut Tx, call: Uuid, partner: Uuid, act: &Act) -> Result<bool, Refused> {
    over(tx, call, partner, Why::PartnerLeft, act).await
}

/// The colleague's leg is over.
pub(crate) async fn partner_gone(
    tx: &mut Tx,
    call: Uuid,
    partner: Uuid,
    cause: Cause,
    act: &Act,
) -> Result<(), Refused> {
    let why = if cause == Cause::HangUp {
        Why::PartnerLeft
    } else {
        Why::PartnerLost
    };
    over(tx, call, partner, why, act).await.map(|_| ())
}

async fn over(tx: &mut Tx, call: Uuid, partner: Uuid, why: Why, act: &Act) -> Result<bool, Refused> {
    let mut work = apply::load(tx, call, act).await?;
    let takes_part = |offer: &OfferRow| is_consult(offer) && offer.state == "accepted" && offer.staff_id == partner;
    if work.row.status != "answered" || !work.offers.iter().any(takes_part) {
        return Ok(false);
    }
    end(tx, &mut work, why, act).await?;
    Ok(true)
}

/// Ends the consultation of a call that goes on with its agent.
pub(super) async fn end(tx: &mut Tx, work: &mut Work, why: Why, act: &Act) -> Result<(), Refused> {
    let partner = close(tx, work, why, act).await?;
    apply::replan_for(tx, work, Some(why.word())).await?;
    let data = json!({ "reason": why.word(), "to": name_of(tx, partner).await? });
    say(tx, work, "call.consult_ended", "call.consult_ended", act, data).await
}

/// The call ends or goes back to the queue: so does everything about its consultation.
pub(super) async fn end_with_call(tx: &mut Tx, work: &mut Work, why: Why, act: &Act) -> Result<(), Refused> {
    let Some(partner) = close(tx, work, why, act).await? else {
        return Ok(());
    };
    let data = json!({ "reason": why.word(), "to": name_of(tx, Some(partner)).await? });
    tell::noted(tx, work.row.id, "call.consult_ended", work.at, act, &data).await
}

/// The rows of a consultation are over; whose it was, if there is one.
async fn close(tx: &mut Tx, work: &mut Work, why: Why, act: &Act) -> Result<Option<Uuid>, Refused> {
    if let Some(leg) = partner_leg(tx, work.row.id).await? {
        let cause = if why == Why::NeverCame {
            Cause::IceTimeout
        } else {
            Cause::HangUp
        };
        owner::end_leg(tx, work, &leg, cause).await?;
    }
    for kind in [CONSULT, CONFERENCE] {
        legs::close_intervals(tx.conn(), work.row.id, Some(kind), None, work.change()).await?;
    }
    let Some(place) = work.offers.iter().rposition(is_consult) else {
        return Ok(None);
    };
    let input = match (work.offers[place].state.as_str(), why) {
        ("pending", Why::CallEnded) => Some(offer::Input::Rescind(offer::Rescinded::CustomerLeft)),
        ("pending", _) => Some(offer::Input::Rescind(offer::Rescinded::Withdrawn)),
        ("accepted", _) => Some(offer::Input::Release),
        _ => None,
    };
    if let Some(input) = input {
        offer_step::step(tx, work, place, input, act).await?;
    }
    Ok(Some(work.offers[place].staff_id))
}

/// To the history and to everybody whose page shows the call.
async fn say(
    tx: &mut Tx,
    work: &Work,
    history: &'static str,
    hub: &'static str,
    act: &Act,
    data: Value,
) -> Result<(), Refused> {
    tell::changed(tx, work, history, hub, tell::Whom::All, act, data).await
}

fn with_reason(mut data: Value, act: &Act) -> Value {
    if let Some(reason) = &act.word {
        data["reason"] = json!(reason);
    }
    data
}
