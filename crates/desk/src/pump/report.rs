//! One report of media, in one transaction: the leg's row, the call's history, and what it means for the call.
//!
//! A report is applied if it is of this start of the node and its number is higher than the last one of its room; a lower
//! number is a repetition. A leg that the desk has closed itself says nothing more about its call.

use std::sync::Arc;

use call_model::call::{Input, Who};
use call_model::{LegId, StaffId, Timestamp};
use ports::{Cause, EventKind, LegSummary, MediaEvent, Route};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;
use wire::signal::CallChanged;

use super::{Fate, age};
use crate::after::After;
use crate::alerts;
use crate::commands::apply::{MUTE, SELF_MUTE, SUPERVISE};
use crate::commands::{Act, Actor, call_input, consult, preflight, supervise};
use crate::nodes::epoch_of;
use crate::refusal::{Code, Refused};
use crate::shared::Core;
use crate::store::alerts::{self as raised_flags, Which};
use crate::store::calls::{self, CallRow};
use crate::store::legs::{self, Change, LegRow};
use crate::store::{due, events, recordings};
use crate::tx::Tx;
use crate::views::{self, Reader};

/// Actor of what media reports.
const ACTOR: &str = "system:media";

/// Applies one report, or says why not now.
pub(super) async fn apply(core: &Arc<Core>, event: MediaEvent, pulled: Instant) -> Result<Fate, Refused> {
    let held = Arc::clone(core);
    core.write("media", move |tx| {
        Box::pin(async move {
            let (row, seq) = match find(&held, tx, &event).await? {
                Ok(found) => found,
                Err(fate) => return tested(tx, &event, fate).await,
            };
            let at = moment(tx, &row, event.age_ms, pulled).await?;
            happen(&held, tx, &row, &event.kind, at).await?;
            calls::saw_media(tx.conn(), row.id, seq).await?;
            Ok(Fate::Applied)
        })
    })
    .await
}

/// A report that is about no call here: the end of a line test is kept.
async fn tested(tx: &mut Tx, event: &MediaEvent, fate: Fate) -> Result<Fate, Refused> {
    if let (Fate::Applied, EventKind::LegDown { leg, cause, summary }) = (fate, &event.kind) {
        tx.after.push(After::FreeRelay(*leg));
        preflight::ended(tx, event.room, *cause, summary).await?;
    }
    Ok(fate)
}

/// Notes a report as seen without applying it.
pub(super) async fn set_aside(core: &Arc<Core>, event: MediaEvent) -> Result<Fate, Refused> {
    let held = Arc::clone(core);
    core.write("media", move |tx| {
        Box::pin(async move {
            let (row, seq) = match find(&held, tx, &event).await? {
                Ok(found) => found,
                Err(fate) => return Ok(fate),
            };
            calls::saw_media(tx.conn(), row.id, seq).await?;
            Ok(Fate::Applied)
        })
    })
    .await
}

/// The call of a report that is to be applied now, locked, and the report's number; or what else becomes of it.
async fn find(core: &Core, tx: &mut Tx, event: &MediaEvent) -> Result<Result<(CallRow, i64), Fate>, Refused> {
    if event.node_epoch != core.node.epoch {
        return Ok(Err(Fate::Fenced));
    }
    let Some(row) = calls::lock(tx.conn(), Uuid::from_u128(event.room.0)).await? else {
        // A line test has a room and no call.
        return Ok(Err(Fate::Applied));
    };
    if row.node_id != core.node.node_id || row.node_epoch != epoch_of(core) {
        return Ok(Err(Fate::Fenced));
    }
    let seq = i64::try_from(event.seq).map_err(|_| Refused::new(Code::Internal))?;
    if seq <= row.media_seq {
        return Ok(Err(Fate::Applied));
    }
    if seq > row.media_seq + 1 {
        // Media delivers the oldest first and keeps what is not acknowledged: what is missing will not come.
        let missing = seq - row.media_seq - 1;
        tracing::warn!(call.id = %row.id, missing, "media has let go of reports");
    }
    Ok(Ok((row, seq)))
}

/// When it happened, by the database's clock. Ages count whole milliseconds, so two reports of one millisecond could
/// change places: never before the one that came before it, nor before the call was accepted.
async fn moment(tx: &mut Tx, row: &CallRow, age_ms: u64, pulled: Instant) -> Result<Timestamp, Refused> {
    let now = tx.read_clock().await?;
    let before = due::last_told(tx.conn(), row.id, Some(ACTOR)).await?;
    let began = row
        .connecting_at
        .unwrap_or(row.created_at)
        .max(before.unwrap_or(row.created_at));
    Ok(now.minus(age(age_ms, pulled)).max(began.0))
}

async fn happen(core: &Core, tx: &mut Tx, row: &CallRow, kind: &EventKind, at: Timestamp) -> Result<(), Refused> {
    match kind {
        EventKind::RoomLive => follow(core, tx, row, Input::Live, at).await,
        EventKind::LegUp { leg } => {
            let Some(leg) = leg_of(tx, row, leg.0).await? else {
                return Ok(());
            };
            legs::up(tx.conn(), leg.id, at).await?;
            note(tx, row, "leg.up", at, &about(&leg)).await?;
            live_again(core, tx, row, at).await
        }
        EventKind::FirstRtp { leg } => {
            legs::first_rtp(tx.conn(), Uuid::from_u128(leg.0), at).await?;
            live_again(core, tx, row, at).await
        }
        EventKind::LegAway { leg } => away(tx, row, leg.0, at).await,
        EventKind::LegBack { leg } => {
            let Some(leg) = leg_of(tx, row, leg.0).await? else {
                return Ok(());
            };
            legs::up(tx.conn(), leg.id, at).await?;
            legs::close_intervals(tx.conn(), row.id, Some("away"), Some(leg.id), media(at)).await?;
            note(tx, row, "leg.back", at, &about(&leg)).await?;
            show(tx, row, &leg).await?;
            live_again(core, tx, row, at).await
        }
        EventKind::LegMigrated { leg } => note_leg(tx, row, leg.0, "leg.migrated", at).await,
        EventKind::UplinkStalled { leg } => note_leg(tx, row, leg.0, "leg.uplink_stalled", at).await,
        EventKind::UplinkResumed { leg } => note_leg(tx, row, leg.0, "leg.uplink_resumed", at).await,
        EventKind::Dtmf { leg } => note_leg(tx, row, leg.0, "leg.dtmf", at).await,
        EventKind::Announced { supervisor, heard_by } => announced(tx, row, supervisor.0, heard_by, at).await,
        EventKind::Unheard { leg, voices } => unheard(tx, row, leg.0, voices, at).await,
        EventKind::LegDown { leg, cause, summary } => down(core, tx, row, leg.0, *cause, summary, at).await,
        EventKind::Quality {
            leg,
            flag,
            direction,
            raised,
        } => {
            // A condition of the room has no leg; one of a leg that is not known here is nobody's.
            let mut data = match leg {
                None => json!({}),
                Some(leg) => match leg_of(tx, row, leg.0).await? {
                    Some(leg) => about(&leg),
                    None => return Ok(()),
                },
            };
            data["flag"] = json!(flag.word());
            if let Some(direction) = direction {
                data["direction"] = json!(direction.word());
            }
            let which = Which {
                call: row.id,
                flag: flag.word(),
                leg: leg.map(|leg| Uuid::from_u128(leg.0)),
                direction: direction.map(ports::Direction::word),
            };
            alerts::flag(tx, which, *raised, at).await?;
            let kind = if *raised { "quality.raised" } else { "quality.cleared" };
            note(tx, row, kind, at, &data).await
        }
        EventKind::RecordingDegraded { packets } => {
            recordings::degraded(tx.conn(), row.id).await?;
            note(tx, row, "recording.degraded", at, &json!({ "packets": packets })).await
        }
        EventKind::LegRoute { leg, route } => way(tx, row, leg.0, *route, at).await,
        EventKind::PlanApplied { .. } => Ok(()),
    }
}

/// Who was told of a supervisor, and how he takes part: the proof that he was announced.
async fn announced(
    tx: &mut Tx,
    row: &CallRow,
    supervisor: u128,
    heard_by: &[LegId],
    at: Timestamp,
) -> Result<(), Refused> {
    let Some(supervisor) = leg_of(tx, row, supervisor).await? else {
        return Ok(());
    };
    let mut parts = Vec::new();
    for leg in heard_by {
        parts.extend(leg_of(tx, row, leg.0).await?.map(|leg| leg.part));
    }
    let mut data = about(&supervisor);
    data["heardBy"] = json!(parts);
    if let Some(mode) = legs::supervised(tx.conn(), supervisor.id).await? {
        data["mode"] = json!(mode);
    }
    note(tx, row, "call.supervision_announced", at, &data).await
}

/// Whom a participant does not hear though he may, because his client offered too few streams; or that he hears all.
async fn unheard(tx: &mut Tx, row: &CallRow, leg: u128, voices: &[LegId], at: Timestamp) -> Result<(), Refused> {
    let Some(leg) = leg_of(tx, row, leg).await? else {
        return Ok(());
    };
    let mut parts = Vec::new();
    for voice in voices {
        parts.extend(leg_of(tx, row, voice.0).await?.map(|voice| voice.part));
    }
    let mut data = about(&leg);
    if leg.part == "supervisor" {
        // The agent reads of his supervisors only where the house tells him of them.
        data = supervise::told(tx, None).await?;
        data["legId"] = json!(leg.id);
    }
    if voices.is_empty() {
        return note(tx, row, "leg.voices_back", at, &data).await;
    }
    if parts.iter().any(|part| part == "supervisor") {
        data["announced"] = supervise::told(tx, None).await?["announced"].take();
    }
    data["unheard"] = json!(parts);
    note(tx, row, "leg.voices_missed", at, &data).await
}

/// A room goes live once. When a call has come back to the queue, the next agent's sound is told by the legs alone.
async fn live_again(core: &Core, tx: &mut Tx, row: &CallRow, at: Timestamp) -> Result<(), Refused> {
    let Some(agent) = row.assigned_staff_id.filter(|_| row.status == "connecting") else {
        return Ok(());
    };
    if legs::sounds(tx.conn(), row.id, agent).await? {
        follow(core, tx, row, Input::Live, at).await?;
    }
    Ok(())
}

/// The leg's media goes this way from now on.
async fn way(tx: &mut Tx, row: &CallRow, leg: u128, route: Route, at: Timestamp) -> Result<(), Refused> {
    let Some(leg) = leg_of(tx, row, leg).await? else {
        return Ok(());
    };
    legs::path(tx.conn(), leg.id, route).await?;
    let mut data = about(&leg);
    data["path"] = json!(route.word());
    note(tx, row, "leg.path", at, &data).await
}

/// The leg goes silent; what that means is decided by how long it lasts.
async fn away(tx: &mut Tx, row: &CallRow, leg: u128, at: Timestamp) -> Result<(), Refused> {
    let Some(leg) = leg_of(tx, row, leg).await? else {
        return Ok(());
    };
    legs::away(tx.conn(), leg.id, at).await?;
    if leg.state != "down" {
        legs::open_interval(tx.conn(), row.id, "away", Some(leg.id), leg.staff_id, media(at)).await?;
    }
    note(tx, row, "leg.away", at, &about(&leg)).await?;
    show(tx, row, &leg).await
}

/// A line went or came back: both pages are shown the call as it is now. A supervisor's line is nobody's business.
async fn show(tx: &mut Tx, row: &CallRow, leg: &LegRow) -> Result<(), Refused> {
    if leg.part == "supervisor" || !matches!(row.status.as_str(), "connecting" | "answered") {
        return Ok(());
    }
    let agent = row.assigned_staff_id.map(|agent| agent.to_string());
    let pages = [
        ("user", Some(&row.user_id), Reader::Customer),
        ("staff", agent.as_ref(), Reader::Staff),
    ];
    for (audience, whose, reader) in pages {
        let Some(whose) = whose else { continue };
        let call = views::call(tx.conn(), row, reader).await?;
        let data = views::json(&CallChanged { call })?;
        events::hub(tx.conn(), audience, Some(whose), "call.changed", &data).await?;
    }
    tx.after.push(After::WakeHub);
    Ok(())
}

/// The leg is over: its totals, and the call's fate when nobody has decided that yet.
async fn down(
    core: &Core,
    tx: &mut Tx,
    row: &CallRow,
    leg: u128,
    cause: Cause,
    summary: &LegSummary,
    at: Timestamp,
) -> Result<(), Refused> {
    let Some(leg) = leg_of(tx, row, leg).await? else {
        return Ok(());
    };
    let decided = leg.state == "down";
    let mode = legs::supervision(tx.conn(), leg.id).await?;
    for kind in ["away", MUTE, SELF_MUTE, SUPERVISE] {
        legs::close_intervals(tx.conn(), row.id, Some(kind), Some(leg.id), media(at)).await?;
    }
    raised_flags::leg_gone(tx.conn(), leg.id).await?;
    legs::down(tx.conn(), leg.id, at, cause.word()).await?;
    tx.after.push(After::FreeRelay(LegId(leg.id.as_u128())));
    legs::summary(tx.conn(), leg.id, summary).await?;
    let mut data = about(&leg);
    data["cause"] = json!(cause.word());
    note(tx, row, "leg.down", at, &data).await?;
    if leg.part == "supervisor" && !decided {
        let data = supervise::told(tx, mode.as_deref()).await?;
        note(tx, row, "call.supervision_ended", at, &data).await?;
    }
    if let ("partner", Some(partner), false) = (leg.part.as_str(), leg.staff_id, decided) {
        return consult::partner_gone(tx, row.id, partner, cause, &by_media(at)).await;
    }
    match consequence(row, &leg, cause) {
        // The others speak with one another: who closes his page has not ended their call.
        Some(Input::HangUp(Who::Agent(_))) if !decided && consult::is_conference(tx, row.id).await? => {
            follow(core, tx, row, Input::AgentLost, at).await
        }
        Some(input) if !decided => follow(core, tx, row, input, at).await,
        _ => Ok(()),
    }
}

/// What the end of a leg means for its call.
fn consequence(row: &CallRow, leg: &LegRow, cause: Cause) -> Option<Input> {
    if cause == Cause::Replaced {
        return None;
    }
    if cause == Cause::Drain {
        return Some(Input::Drain);
    }
    let is_connecting = row.status == "connecting";
    if !is_connecting && row.status != "answered" {
        return None;
    }
    match leg.part.as_str() {
        // The client itself has left: that is a hang-up and not a loss.
        "customer" if cause == Cause::HangUp => Some(Input::HangUp(Who::Customer)),
        "customer" if is_connecting => Some(Input::CustomerLegFailed),
        "customer" => Some(Input::CustomerLost),
        "agent" if leg.staff_id != row.assigned_staff_id => None,
        "agent" if is_connecting => Some(Input::AgentLegFailed),
        "agent" => match (cause, leg.staff_id) {
            (Cause::HangUp, Some(agent)) => Some(Input::HangUp(Who::Agent(StaffId(agent.as_u128())))),
            _ => Some(Input::AgentLost),
        },
        _ => None,
    }
}

/// Tells the call what its media has done; a call that has gone on meanwhile keeps its state.
async fn follow(core: &Core, tx: &mut Tx, row: &CallRow, input: Input, at: Timestamp) -> Result<(), Refused> {
    let act = by_media(at);
    match call_input(core, tx, row.id, input, &act).await {
        Err(Refused {
            code: Code::IllegalTransition | Code::OfferLost,
            ..
        }) => {
            tracing::info!(call.id = %row.id, status = %row.status, ?input, "a report came too late to matter");
            Ok(())
        }
        done => done.map(|_| ()),
    }
}

/// Media says so.
const fn media(at: Timestamp) -> Change<'static> {
    Change {
        at,
        actor: ACTOR,
        reason: None,
    }
}

/// Media says that it happened then.
fn by_media(at: Timestamp) -> Act {
    Act {
        actor: Actor::system("media"),
        at: Some(at),
        word: None,
    }
}

/// The leg's row, if it is one of this call.
async fn leg_of(tx: &mut Tx, row: &CallRow, leg: u128) -> Result<Option<LegRow>, Refused> {
    legs::get(tx.conn(), Uuid::from_u128(leg), row.id).await
}

/// An entry about one leg in the call's history.
async fn note_leg(tx: &mut Tx, row: &CallRow, leg: u128, kind: &str, at: Timestamp) -> Result<(), Refused> {
    match leg_of(tx, row, leg).await? {
        Some(leg) => note(tx, row, kind, at, &about(&leg)).await,
        None => Ok(()),
    }
}

fn about(leg: &LegRow) -> Value {
    json!({ "legId": leg.id, "part": leg.part })
}

async fn note(tx: &mut Tx, row: &CallRow, kind: &str, at: Timestamp, data: &Value) -> Result<(), Refused> {
    events::call_event(tx.conn(), row.id, kind, at, ACTOR, data).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::At;

    fn row(status: &str, agent: Option<Uuid>) -> CallRow {
        CallRow {
            id: Uuid::nil(),
            user_id: "u".into(),
            customer_email: String::new(),
            customer_name: String::new(),
            status: status.into(),
            end_reason: None,
            end_phase: None,
            assigned_staff_id: agent,
            queue: "support".into(),
            priority: 0,
            node_id: "n".into(),
            node_epoch: 1,
            media_seq: 0,
            plan_epoch: 0,
            consent_version: None,
            created_at: At(Timestamp(0)),
            enqueued_at: None,
            connecting_at: None,
            answered_at: None,
            ended_at: None,
        }
    }

    fn leg(part: &str, staff_id: Option<Uuid>) -> LegRow {
        LegRow {
            id: Uuid::nil(),
            call_id: Uuid::nil(),
            part: part.into(),
            staff_id,
            node_epoch: 1,
            state: "up".into(),
            granted_at: At(Timestamp(0)),
        }
    }

    #[test]
    fn the_end_of_a_leg_means_something_only_while_the_call_has_sound() {
        let agent = Uuid::from_u128(7);
        let (customers, agents) = (leg("customer", None), leg("agent", Some(agent)));
        let connecting = row("connecting", Some(agent));
        let answered = row("answered", Some(agent));
        assert_eq!(
            consequence(&connecting, &customers, Cause::IceTimeout),
            Some(Input::CustomerLegFailed)
        );
        assert_eq!(
            consequence(&connecting, &agents, Cause::DtlsFailed),
            Some(Input::AgentLegFailed)
        );
        assert_eq!(
            consequence(&answered, &customers, Cause::Lost),
            Some(Input::CustomerLost)
        );
        assert_eq!(consequence(&answered, &agents, Cause::Lost), Some(Input::AgentLost));
        assert_eq!(consequence(&row("queued", None), &customers, Cause::Lost), None);
        assert_eq!(consequence(&answered, &agents, Cause::Replaced), None);
        assert_eq!(
            consequence(&answered, &customers, Cause::HangUp),
            Some(Input::HangUp(Who::Customer))
        );
    }

    #[test]
    fn the_leg_of_an_agent_who_no_longer_has_the_call_ends_nothing() {
        let answered = row("answered", Some(Uuid::from_u128(8)));
        assert_eq!(
            consequence(&answered, &leg("agent", Some(Uuid::from_u128(7))), Cause::Lost),
            None
        );
    }
}
