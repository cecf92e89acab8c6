//! What an agent does: takes or gives back an offer, writes up, says whether he is there.

use std::sync::Arc;

use call_model::{CallId, OfferId, Span, StaffId, offer};
use ports::Part;
use uuid::Uuid;
use wire::offer::{OfferAccepted, WrapUp};
use wire::staff::{Me, PresenceSet, PresenceStatus};

use super::apply::{Act, Actor, offer_input};
use super::contact::{self, word};
use super::recorder;
use super::tell;
use crate::after::After;
use crate::caller::Caller;
use crate::queries;
use crate::refusal::{Code, Refused};
use crate::shared::{Core, to_the_end};
use crate::store::offers::OfferRow;
use crate::store::{calls, offers, staff};
use crate::tx::Tx;
use crate::views::{self, Reader, presence_word};

pub(crate) use call_model::agent::PRESENCE_LEASE;
/// How long after the last console closed: a reload takes less.
const GONE_GRACE: Span = Span::seconds(10);
/// Longest reason for being away, characters; the column's own limit.
pub const AWAY_REASON_CHARS_MAX: usize = 64;

/// Takes the call of an offer. Accepted before by the same agent: a fresh right for his leg.
pub(crate) async fn accept_offer(core: &Arc<Core>, caller: &Caller, id: OfferId) -> Result<OfferAccepted, Refused> {
    let (agent, _) = caller.staff()?;
    let id = Uuid::from_u128(id.0);
    to_the_end("accept", accepted(Arc::clone(core), caller.clone(), agent, id)).await
}

/// The decision and what media must hear of it, in one.
async fn accepted(core: Arc<Core>, caller: Caller, agent: StaffId, id: Uuid) -> Result<OfferAccepted, Refused> {
    let (core_in, caller_in) = (Arc::clone(&core), caller.clone());
    let done = core
        .run(caller.ctx(), move |tx| {
            Box::pin(async move {
                let offer = own_offer(tx, id).await?;
                call_is_here(&core_in, tx, &offer).await?;
                let act = Act::now(Actor::of(tx, &caller_in).await?);
                let done = offer_input(&core_in, tx, id, offer::Input::Accept { by: agent }, &act).await?;
                let mut row = done.call;
                let me = Uuid::from_u128(agent.0);
                let (part, partner) = if row.assigned_staff_id == Some(me) {
                    (Part::Agent, None)
                } else if offers::helps(tx.conn(), row.id, me).await? {
                    (Part::Partner, Some(agent))
                } else {
                    return Err(Refused::new(Code::OfferLost));
                };
                recorder::promised_to(&core_in, tx, &row, &act).await?;
                let granted = contact::prepare(&core_in, tx, &mut row, part, partner).await?;
                Ok((views::call(tx.conn(), &row, Reader::Staff).await?, granted))
            })
        })
        .await;
    let (call, granted) = match done {
        Ok(done) => done,
        Err(refused) if refused.code == Code::OfferLost => return Err(with_winner(&core, id, refused).await),
        Err(refused) => return Err(refused),
    };
    let leg = contact::hand_out(&core, granted).await?;
    Ok(OfferAccepted { call, leg })
}

/// Says who was faster, if somebody was.
async fn with_winner(core: &Arc<Core>, offer: Uuid, refused: Refused) -> Refused {
    let winner = core
        .write("api", move |tx| {
            Box::pin(async move {
                let Some(offer) = offers::get(tx.conn(), offer).await? else {
                    return Ok(None);
                };
                // Who was asked for help has lost the call to nobody.
                let row = match offer.kind.as_str() {
                    offers::PRIMARY => calls::get(tx.conn(), offer.call_id).await?,
                    _ => None,
                };
                match row
                    .and_then(|row| row.assigned_staff_id)
                    .filter(|winner| *winner != offer.staff_id)
                {
                    Some(winner) => staff::name(tx.conn(), winner).await,
                    None => Ok(None),
                }
            })
        })
        .await;
    match winner {
        Ok(Some(name)) => Refused::because(Code::OfferLost, format!("{name} has taken the call")),
        _ => refused,
    }
}

/// Gives the call of an offer back; its place in the queue stays.
pub(crate) async fn reject_offer(
    core: &Arc<Core>,
    caller: &Caller,
    id: OfferId,
    reason: Option<String>,
) -> Result<(), Refused> {
    let (agent, _) = caller.staff()?;
    let word = word(reason)?;
    let (core_in, caller_in) = (Arc::clone(core), caller.clone());
    core.run(caller.ctx(), move |tx| {
        Box::pin(async move {
            let id = Uuid::from_u128(id.0);
            let offer = own_offer(tx, id).await?;
            // Who was asked for help changes with his no what the customer hears; a call that rings has no sound.
            if offer.kind != offers::PRIMARY {
                call_is_here(&core_in, tx, &offer).await?;
            }
            let act = Act {
                actor: Actor::of(tx, &caller_in).await?,
                at: None,
                word,
            };
            offer_input(&core_in, tx, id, offer::Input::Reject { by: agent }, &act).await?;
            Ok(())
        })
    })
    .await
}

/// The offer, if it is there and visible; the transaction goes on as the desk.
async fn own_offer(tx: &mut Tx, id: Uuid) -> Result<OfferRow, Refused> {
    let seen = offers::get(tx.conn(), id).await?;
    tx.become_desk().await?;
    seen.ok_or(Refused::new(Code::NotFound))
}

/// The call of an offer lives at this node, whose media is to be asked.
async fn call_is_here(core: &Core, tx: &mut Tx, offer: &OfferRow) -> Result<(), Refused> {
    let row = calls::get(tx.conn(), offer.call_id).await?;
    contact::is_here(core, tx, &row.ok_or(Refused::new(Code::NotFound))?).await
}

/// The agent has finished writing up; twice is once.
pub(crate) async fn end_wrap_up(core: &Arc<Core>, caller: &Caller, call: CallId) -> Result<(), Refused> {
    let (agent, _) = caller.staff()?;
    wrap_up(core, caller, call, offer::Input::EndWrapUp { by: Some(agent) }).await?;
    Ok(())
}

/// The agent needs more time to write up.
pub(crate) async fn extend_wrap_up(core: &Arc<Core>, caller: &Caller, call: CallId) -> Result<WrapUp, Refused> {
    let (agent, _) = caller.staff()?;
    wrap_up(core, caller, call, offer::Input::ExtendWrapUp { by: agent }).await
}

async fn wrap_up(core: &Arc<Core>, caller: &Caller, call: CallId, input: offer::Input) -> Result<WrapUp, Refused> {
    let (agent, _) = caller.staff()?;
    let (core_in, caller_in) = (Arc::clone(core), caller.clone());
    core.run(caller.ctx(), move |tx| {
        Box::pin(async move {
            let row = contact::find(tx, call).await?;
            let agent = Uuid::from_u128(agent.0);
            let held = offers::accepted_of(tx.conn(), row.id, agent).await?;
            let held = held.ok_or(Refused::new(Code::NotFound))?;
            let act = Act::now(Actor::of(tx, &caller_in).await?);
            offer_input(&core_in, tx, held.id, input, &act).await?;
            let held = offers::get(tx.conn(), held.id)
                .await?
                .ok_or(Refused::new(Code::NotFound))?;
            Ok(views::wrap_up(&held, &row.customer_name))
        })
    })
    .await
}

/// The agent chooses whether he takes calls.
pub(crate) async fn set_presence(core: &Arc<Core>, caller: &Caller, wanted: PresenceSet) -> Result<Me, Refused> {
    let (agent, _) = caller.staff()?;
    let reason = wanted
        .reason
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty());
    let bad = |text: &String| text.chars().count() > AWAY_REASON_CHARS_MAX || text.chars().any(char::is_control);
    if reason.as_ref().is_some_and(bad) {
        return Err(Refused::field("reason", "must be at most 64 characters of one line"));
    }
    let caller_in = caller.clone();
    core.run(caller.ctx(), move |tx| {
        Box::pin(async move {
            tx.become_desk().await?;
            let id = Uuid::from_u128(agent.0);
            let before = staff::lock(tx.conn(), id).await?.ok_or(Refused::new(Code::NotFound))?;
            let now = tx.read_clock().await?;
            let status = presence_word(wanted.status);
            staff::set_status(tx.conn(), id, status, reason.as_deref()).await?;
            let goes_online = wanted.status == PresenceStatus::Online && before != "online";
            let until = now.plus(PRESENCE_LEASE);
            staff::set_presence(
                tx.conn(),
                id,
                now,
                until,
                wanted.media_checked,
                goes_online.then_some(now),
            )
            .await?;
            if before != status {
                tell::presence(tx, id, wanted.status, reason.as_deref()).await?;
                tx.after.push(After::WakeHub);
            }
            wake_queues(tx, id).await?;
            queries::me_in(tx, &caller_in).await
        })
    })
    .await
}

/// Somebody has signed in: at a place whose microphone nobody has tried yet, unless another console is open. Whoever was
/// left online then is offline until he says so here, or a call would ring at a desk that cannot take it.
pub(crate) async fn signed_in(tx: &mut Tx, agent: StaffId) -> Result<(), Refused> {
    let (id, now) = (Uuid::from_u128(agent.0), tx.now);
    let Some(before) = staff::lock(tx.conn(), id).await? else {
        return Ok(());
    };
    if staff::uncheck(tx.conn(), id, now).await? && before == presence_word(PresenceStatus::Online) {
        staff::set_status(tx.conn(), id, presence_word(PresenceStatus::Offline), None).await?;
        tell::presence(tx, id, PresenceStatus::Offline, None).await?;
    }
    Ok(())
}

/// Whoever waits in the agent's queues is looked at anew.
async fn wake_queues(tx: &mut Tx, id: Uuid) -> Result<(), Refused> {
    for queue in staff::queues_of(tx.conn(), id).await? {
        tx.after.push(After::WakeQueue(queue));
    }
    Ok(())
}

/// The agent's console is there.
pub(crate) async fn staff_alive(core: &Arc<Core>, agent: StaffId, rtt_ms: Option<u32>) -> Result<(), Refused> {
    core.write("signaling", move |tx| {
        Box::pin(async move {
            let (now, until) = (tx.now, tx.now.plus(PRESENCE_LEASE));
            let rtt = rtt_ms.map(|ms| i32::try_from(ms).unwrap_or(i32::MAX));
            staff::alive(tx.conn(), Uuid::from_u128(agent.0), now, until, rtt).await
        })
    })
    .await
}

/// The agent's last console has gone; what he has is taken from him when he does not come back.
pub(crate) async fn staff_gone(core: &Arc<Core>, agent: StaffId) -> Result<(), Refused> {
    core.write("signaling", move |tx| {
        Box::pin(async move {
            let until = tx.now.plus(GONE_GRACE);
            staff::gone(tx.conn(), Uuid::from_u128(agent.0), until).await
        })
    })
    .await
}
