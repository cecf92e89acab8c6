//! What is told about a decision, in its transaction: the call's history, the audit log, the browsers.
//!
//! Never carries more than the listener may know; the histories hold no customer data.

use serde_json::{Value, json};
use wire::offer::OfferEnded;
use wire::signal::{CallChanged, PresenceChanged};
use wire::staff::PresenceStatus;

use super::apply::{Act, Work};
use super::{consult, offer_step};
use crate::after::After;
use crate::refusal::Refused;
use crate::store::calls::CallRow;
use crate::store::events::{self, Audit};
use crate::store::offers::OfferRow;
use crate::store::staff;
use crate::tx::Tx;
use crate::views::{self, Reader};
use uuid::Uuid;

/// Whose pages are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// The customer and his agents.
    All,
    /// The agents alone: nothing changes for the customer.
    Staff,
}

/// The call has changed: to the history, the audit log, the customer, the agent who has it or had it.
pub(super) async fn call_changed(tx: &mut Tx, work: &Work, kind: &'static str, act: &Act) -> Result<(), Refused> {
    let mut data = json!({});
    if let Some(reason) = &work.row.end_reason {
        data["endReason"] = json!(reason);
    }
    changed(tx, work, kind, kind, Whom::All, act, data).await
}

/// The same with facts; the history and the browsers may have names of their own for it.
pub(super) async fn changed(
    tx: &mut Tx,
    work: &Work,
    history: &'static str,
    hub: &'static str,
    whom: Whom,
    act: &Act,
    mut data: Value,
) -> Result<(), Refused> {
    let row = &work.row;
    data["status"] = json!(row.status);
    if let Some(word) = &act.word {
        data["word"] = json!(word);
    }
    note(tx, work, history, act, &data).await?;
    if whom == Whom::All {
        customer(tx, row, hub).await?;
    }
    for agent in agents(work) {
        let view = views::call(tx.conn(), row, Reader::Staff).await?;
        let data = views::json(&CallChanged { call: view })?;
        events::hub(tx.conn(), "staff", Some(&agent.to_string()), hub, &data).await?;
    }
    tx.after.push(After::WakeHub);
    Ok(())
}

/// The call as it is now, to its customer.
pub(super) async fn customer(tx: &mut Tx, row: &CallRow, kind: &str) -> Result<(), Refused> {
    let view = views::call(tx.conn(), row, Reader::Customer).await?;
    let data = views::json(&CallChanged { call: view })?;
    events::hub(tx.conn(), "user", Some(&row.user_id), kind, &data).await
}

/// Whose call it was, whose it is, and who was consulted.
fn agents(work: &Work) -> Vec<Uuid> {
    let took_part = |offer: &&OfferRow| consult::is_consult(offer) && offer.accepted_at.is_some();
    let mut agents: Vec<_> = work
        .agent_before
        .into_iter()
        .chain(work.row.assigned_staff_id)
        .chain(work.offers.iter().filter(took_part).map(|offer| offer.staff_id))
        .collect();
    agents.sort_unstable();
    agents.dedup();
    agents
}

/// An agent is asked.
pub(super) async fn offered(tx: &mut Tx, work: &Work, offer: Uuid, act: &Act) -> Result<(), Refused> {
    let Some(offer) = work.offers.iter().find(|held| held.id == offer) else {
        return Ok(());
    };
    let data = about(tx, offer).await?;
    note(tx, work, "call.offered", act, &data).await?;
    let shown = views::json(&views::offer(tx.conn(), offer, &work.row).await?)?;
    events::hub(
        tx.conn(),
        "staff",
        Some(&offer.staff_id.to_string()),
        "call.offered",
        &shown,
    )
    .await
}

/// An offer has changed: its end, or the wrap-up.
pub(super) async fn offer_changed(tx: &mut Tx, work: &Work, place: usize, act: &Act) -> Result<(), Refused> {
    let offer = &work.offers[place];
    let agent = offer.staff_id.to_string();
    let word = offer_step::end_word(&offer.state, offer.reason.as_deref());
    let ended = OfferEnded {
        offer_id: offer.id,
        call_id: offer.call_id,
        reason: word.to_owned(),
    };
    match offer.state.as_str() {
        "wrapping" => {
            let shown = views::json(&views::wrap_up(offer, &work.row.customer_name))?;
            events::hub(tx.conn(), "staff", Some(&agent), "call.wrap_up", &shown).await
        }
        // The event about the consultation says the rest.
        "completed" if consult::is_consult(offer) => {
            events::hub(tx.conn(), "staff", Some(&agent), "offer.ended", &views::json(&ended)?).await
        }
        "completed" => {
            let data = about(tx, offer).await?;
            note(tx, work, "wrapup.ended", act, &data).await?;
            events::hub(tx.conn(), "staff", Some(&agent), "wrapup.ended", &views::json(&ended)?).await
        }
        // The call's own event says the rest.
        "accepted" => {
            offer_step::count(tx, word);
            events::hub(tx.conn(), "staff", Some(&agent), "offer.ended", &views::json(&ended)?).await
        }
        state => {
            let kind = match state {
                "rejected" => "offer.rejected",
                "timeout" => "offer.timeout",
                "failed" => "offer.failed",
                _ => "offer.rescinded",
            };
            let mut data = about(tx, offer).await?;
            data["reason"] = json!(word);
            if let Some(said) = &act.word {
                data["word"] = json!(said);
            }
            note(tx, work, kind, act, &data).await?;
            offer_step::count(tx, word);
            events::hub(tx.conn(), "staff", Some(&agent), "offer.ended", &views::json(&ended)?).await
        }
    }
}

/// The agent has missed too many offers and was put away.
pub(super) async fn put_away(tx: &mut Tx, work: &Work, offer: &OfferRow, act: &Act) -> Result<(), Refused> {
    let data = about(tx, offer).await?;
    note(tx, work, "agent.rona", act, &data).await?;
    presence(tx, offer.staff_id, PresenceStatus::Away, Some("missed_offers")).await
}

/// The agent's presence has changed.
pub(crate) async fn presence(
    tx: &mut Tx,
    agent: Uuid,
    status: PresenceStatus,
    reason: Option<&str>,
) -> Result<(), Refused> {
    let changed = PresenceChanged {
        status,
        reason: reason.map(str::to_owned),
    };
    events::hub(
        tx.conn(),
        "staff",
        Some(&agent.to_string()),
        "presence.changed",
        &views::json(&changed)?,
    )
    .await
}

/// Which offer, and whose.
async fn about(tx: &mut Tx, offer: &OfferRow) -> Result<Value, Refused> {
    let agent = staff::name(tx.conn(), offer.staff_id).await?;
    Ok(json!({ "offerId": offer.id, "agent": agent }))
}

/// To the call's history and the audit log.
async fn note(tx: &mut Tx, work: &Work, kind: &str, act: &Act, data: &Value) -> Result<(), Refused> {
    noted(tx, work.row.id, kind, work.at, act, data).await
}

/// The same for a call that is not loaded.
pub(super) async fn noted(
    tx: &mut Tx,
    call: Uuid,
    kind: &str,
    at: call_model::Timestamp,
    act: &Act,
    data: &Value,
) -> Result<(), Refused> {
    events::call_event(tx.conn(), call, kind, at, &act.actor.label, data).await?;
    let entry = Audit {
        actor_id: &act.actor.id,
        actor_role: act.actor.role,
        action: kind,
        subject_type: "call",
        subject_id: &call.to_string(),
        reason: act.word.as_deref(),
    };
    events::audit(tx.conn(), at, &entry).await
}
