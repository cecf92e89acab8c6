//! What happens to one offer of a locked call: the row, cool-downs, strikes, the freed slot, and who hears of it.
//!
//! Never touches the call; says when the call must follow.

use call_model::agent::{CONTACT_COOL_DOWN, MISSED_COOL_DOWN, STRIKES_MAX};
use call_model::{OfferId, Span, offer};
use uuid::Uuid;

use super::apply::{Act, Work};
use super::{rows, tell};
use crate::after::{After, Count};
use crate::refusal::{Code, Refused};
use crate::store::{offers, staff};
use crate::tx::Tx;
use crate::types::At;

/// What the call must do after a step of its offer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Step {
    pub(super) changed: bool,
    pub(super) accepted: bool,
    pub(super) requeue: bool,
}

/// Asks the model about the offer at `place` and writes what it says.
pub(super) async fn step(
    tx: &mut Tx,
    work: &mut Work,
    place: usize,
    input: offer::Input,
    act: &Act,
) -> Result<Step, Refused> {
    let mut model = rows::offer_of(&work.offers[place])?;
    let before = model.state;
    let effects = model.apply(work.at, input)?;
    if model.state == before {
        return Ok(Step::default());
    }
    rows::write_offer(&mut work.offers[place], &model, work.at);
    if matches!(input, offer::Input::Accept { .. }) {
        let (id, at) = (work.offers[place].id, work.at);
        // The clock went on while this was decided; the database has the last word.
        if !offers::accept(tx.conn(), id, at).await? {
            return Err(Refused::new(Code::OfferExpired));
        }
    } else {
        if matches!(input, offer::Input::CallEnded) {
            let span = Span::seconds(i64::from(work.queue.wrap_up_seconds));
            work.offers[place].expires_at = At(work.at.plus(span));
        }
        offers::save(tx.conn(), &work.offers[place]).await?;
    }
    tell::offer_changed(tx, work, place, act).await?;
    tx.after.push(After::WakeHub);
    let mut step = Step {
        changed: true,
        ..Step::default()
    };
    for effect in effects {
        match effect {
            offer::Effect::CallAccepted => step.accepted = true,
            offer::Effect::RequeueCall => step.requeue = true,
            offer::Effect::CoolDownContact => cool_down_contact(tx, work, place).await?,
            offer::Effect::Strike => strike(tx, work, place, act).await?,
            offer::Effect::ForgetStrikes => staff::forgive(tx.conn(), work.offers[place].staff_id).await?,
            offer::Effect::SlotFreed => {
                for queue in staff::queues_of(tx.conn(), work.offers[place].staff_id).await? {
                    tx.after.push(After::WakeQueue(queue));
                }
            }
        }
    }
    Ok(step)
}

/// The same for an offer by its id; one that is not alive any more is left alone.
pub(super) async fn by_id(
    tx: &mut Tx,
    work: &mut Work,
    id: OfferId,
    input: offer::Input,
    act: &Act,
) -> Result<(), Refused> {
    if let Some(place) = work.offers.iter().position(|offer| offer.id.as_u128() == id.0) {
        step(tx, work, place, input, act).await?;
    }
    Ok(())
}

/// Takes back every offer of the call that somebody may still accept or has accepted.
pub(super) async fn rescind_all(tx: &mut Tx, work: &mut Work, why: offer::Rescinded, act: &Act) -> Result<(), Refused> {
    for place in 0..work.offers.len() {
        if matches!(work.offers[place].state.as_str(), "pending" | "accepted") {
            step(tx, work, place, offer::Input::Rescind(why), act).await?;
        }
    }
    Ok(())
}

/// Takes back the pending offers of everybody but the one of `kept`.
pub(super) async fn rescind_others(
    tx: &mut Tx,
    work: &mut Work,
    kept: Uuid,
    why: offer::Rescinded,
    act: &Act,
) -> Result<(), Refused> {
    for place in 0..work.offers.len() {
        if work.offers[place].id != kept && work.offers[place].state == "pending" {
            step(tx, work, place, offer::Input::Rescind(why), act).await?;
        }
    }
    Ok(())
}

/// The agent begins to write up; a queue without wrap-up frees him at once.
pub(super) async fn begin_wrap_up(tx: &mut Tx, work: &mut Work, id: OfferId, act: &Act) -> Result<(), Refused> {
    by_id(tx, work, id, offer::Input::CallEnded, act).await?;
    if work.queue.wrap_up_seconds == 0 {
        by_id(tx, work, id, offer::Input::EndWrapUp { by: None }, act).await?;
    }
    Ok(())
}

async fn cool_down_contact(tx: &mut Tx, work: &Work, place: usize) -> Result<(), Refused> {
    let until = tx.now.plus(CONTACT_COOL_DOWN);
    let offer = &work.offers[place];
    offers::cool(tx.conn(), offer.staff_id, offer.call_id, until, &offer.state).await
}

/// One more miss; too many in a row put the agent away, so that customers do not ring at an empty chair.
async fn strike(tx: &mut Tx, work: &Work, place: usize, act: &Act) -> Result<(), Refused> {
    let offer = &work.offers[place];
    let until = tx.now.plus(MISSED_COOL_DOWN);
    offers::cool(tx.conn(), offer.staff_id, Uuid::nil(), until, &offer.state).await?;
    let strikes = staff::strike(tx.conn(), offer.staff_id).await?;
    if u32::try_from(strikes).unwrap_or(0) >= STRIKES_MAX {
        staff::set_status(tx.conn(), offer.staff_id, "away", Some("missed_offers")).await?;
        tell::put_away(tx, work, offer, act).await?;
    }
    Ok(())
}

/// Every word of [`end_word`].
pub(crate) const END_WORDS: [&str; 9] = [
    "accepted",
    "rejected",
    "timeout",
    "customer_left",
    "won_by_other",
    "agent_lost",
    "withdrawn",
    "media",
    "completed",
];

/// The reason as agents and figures are told it.
pub(super) fn end_word(state: &str, reason: Option<&str>) -> &'static str {
    match (state, reason) {
        ("accepted", _) => "accepted",
        ("rejected", _) => "rejected",
        ("timeout", _) => "timeout",
        ("rescinded", Some("customer_left")) => "customer_left",
        ("rescinded", Some("won_by_other")) => "won_by_other",
        ("rescinded", Some("agent_lost")) => "agent_lost",
        ("rescinded", _) => "withdrawn",
        ("failed", _) => "media",
        _ => "completed",
    }
}

/// Counts the end of an offer.
pub(super) fn count(tx: &mut Tx, word: &'static str) {
    tx.after.push(After::Count(Count::OfferEnd(word)));
}
