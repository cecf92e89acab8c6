//! Rows as `call_model` has them, and back. Converts, never decides.

use call_model::{CallId, OfferId, StaffId, Timestamp, call, offer};
use ports::{LegGrant, Plan, Policy, RecordCommand, Stance, Tap};
use uuid::Uuid;

use super::modes::Modes;
use crate::refusal::{Code, Refused};
use crate::shared::Core;
use crate::store::calls::CallRow;
use crate::store::legs::LegRow;
use crate::store::offers::{OfferRow, PRIMARY};
use crate::store::queues::QueueRow;
use crate::types::At;

/// Seconds in which the first offer of a leg must come: as long as an agent rings, so a slow page is not shut out.
pub(crate) const FIRST_OFFER_S: u32 = 20;

/// The call of a locked row. `offer`: the one that is being decided, for a call that rings with several.
pub(crate) fn call_of(row: &CallRow, offers: &[OfferRow], offer: Option<OfferId>) -> Result<call::Call, Refused> {
    let status = match row.status.as_str() {
        // A call-back waits for its turn like everybody else.
        "callback" => call::Status::Queued,
        word => call::Status::from_word(word).ok_or(Refused::new(Code::Internal))?,
    };
    let held = |state: &str| {
        offers
            .iter()
            .find(|offer| offer.state == state && offer.kind == PRIMARY)
            .map(|offer| OfferId(offer.id.as_u128()))
    };
    let agent = || {
        row.assigned_staff_id
            .map(|id| StaffId(id.as_u128()))
            .ok_or(Refused::new(Code::Internal))
    };
    let nobody = OfferId(0);
    let end = || call::End {
        at: at(row.ended_at, row),
        // A terminal call never changes, so nobody asks why it ended here.
        reason: call::Reason::Internal,
        phase: row
            .end_phase
            .as_deref()
            .and_then(call::Status::from_word)
            .unwrap_or(call::Status::Initiated),
    };
    let state = match status {
        call::Status::Initiated => call::State::Initiated {
            since: row.created_at.0,
        },
        call::Status::Queued => call::State::Queued {
            since: at(row.enqueued_at, row),
        },
        call::Status::Ringing => {
            let offer = offer.filter(|wanted| offers.iter().any(|held| held.id.as_u128() == wanted.0));
            call::State::Ringing {
                offer: offer.or_else(|| held("pending")).unwrap_or(nobody),
            }
        }
        call::Status::Connecting => call::State::Connecting {
            offer: held("accepted").unwrap_or(nobody),
            agent: agent()?,
            since: at(row.connecting_at, row),
        },
        call::Status::Answered => call::State::Answered {
            offer: held("accepted").unwrap_or(nobody),
            agent: agent()?,
            since: at(row.answered_at, row),
        },
        call::Status::Completed => call::State::Completed(end()),
        call::Status::Abandoned => call::State::Abandoned(end()),
        call::Status::Failed => call::State::Failed(end()),
    };
    Ok(call::Call {
        id: CallId(row.id.as_u128()),
        state,
        enqueued_at: row.enqueued_at.map(|at| at.0),
        priority: i32::from(row.priority),
    })
}

/// An instant of the row, or when the call was made.
fn at(at: Option<At>, row: &CallRow) -> Timestamp {
    at.unwrap_or(row.created_at).0
}

/// Writes what was decided into the row.
pub(crate) fn write_call(row: &mut CallRow, call: &call::Call) {
    row.status = call.status().word().to_owned();
    row.priority = i16::try_from(call.priority.clamp(-100, 100)).unwrap_or(0);
    row.enqueued_at = call.enqueued_at.map(At);
    match call.state {
        call::State::Initiated { .. } | call::State::Queued { .. } | call::State::Ringing { .. } => {
            row.assigned_staff_id = None;
            row.connecting_at = None;
        }
        call::State::Connecting { agent, since, .. } => {
            row.assigned_staff_id = Some(Uuid::from_u128(agent.0));
            row.connecting_at = Some(At(since));
        }
        call::State::Answered { agent, since, .. } => {
            row.assigned_staff_id = Some(Uuid::from_u128(agent.0));
            // A call that came back to the queue was answered when it was answered first.
            row.answered_at.get_or_insert(At(since));
        }
        call::State::Completed(end) | call::State::Abandoned(end) | call::State::Failed(end) => {
            if row.ended_at.is_none() {
                row.ended_at = Some(At(end.at));
                row.end_reason = Some(end.reason.word().to_owned());
                row.end_phase = Some(end.phase.word().to_owned());
            }
        }
    }
}

/// The offer of a row.
pub(crate) fn offer_of(row: &OfferRow) -> Result<offer::Offer, Refused> {
    let state = match row.state.as_str() {
        "pending" => offer::State::Pending {
            expires_at: row.expires_at.0,
        },
        "accepted" => offer::State::Accepted {
            since: row.accepted_at.unwrap_or(row.created_at).0,
        },
        "wrapping" => offer::State::Wrapping {
            ends_at: row.expires_at.0,
            extensions: u32::try_from(row.wrap_up_extensions).unwrap_or(0),
        },
        "completed" => offer::State::Completed,
        "rejected" => offer::State::Rejected,
        "timeout" => offer::State::TimedOut,
        "rescinded" => offer::State::Rescinded(match row.reason.as_deref() {
            Some("customer_left") => offer::Rescinded::CustomerLeft,
            Some("agent_lost") => offer::Rescinded::AgentLost,
            Some("won_by_other") => offer::Rescinded::WonByOther,
            _ => offer::Rescinded::Withdrawn,
        }),
        "failed" => offer::State::Failed,
        _ => return Err(Refused::new(Code::Internal)),
    };
    Ok(offer::Offer {
        id: OfferId(row.id.as_u128()),
        call: CallId(row.call_id.as_u128()),
        staff: StaffId(row.staff_id.as_u128()),
        state,
    })
}

/// Writes what was decided into the row.
pub(crate) fn write_offer(row: &mut OfferRow, offer: &offer::Offer, now: Timestamp) {
    row.state = offer.status().word().to_owned();
    match offer.state {
        offer::State::Pending { .. } => {}
        offer::State::Accepted { since } => row.accepted_at = Some(At(since)),
        offer::State::Wrapping { ends_at, extensions } => {
            row.wrapping_at.get_or_insert(At(now));
            row.expires_at = At(ends_at);
            row.wrap_up_extensions = i16::try_from(extensions).unwrap_or(i16::MAX);
        }
        offer::State::Completed | offer::State::Rejected | offer::State::TimedOut => {
            row.ended_at.get_or_insert(At(now));
        }
        offer::State::Rescinded(why) => {
            row.ended_at.get_or_insert(At(now));
            row.reason = Some(why.word().to_owned());
        }
        offer::State::Failed => {
            row.ended_at.get_or_insert(At(now));
            row.reason = Some("media".to_owned());
        }
    }
}

/// Who takes part how, as the row has it. Built anew each time, so nothing about it need be remembered. A customer whose
/// call waits for an agent hears the music of those who wait; media lets it go on until the agent's line is up.
pub(crate) fn plan(row: &CallRow, legs: &[LegRow], queue: &QueueRow, modes: &Modes) -> Plan {
    let talking = matches!(row.status.as_str(), "connecting" | "answered");
    let muted = |leg: &LegRow| modes.muted.contains(&leg.id);
    let staff_muted = legs.iter().any(|leg| leg.part != "customer" && muted(leg));
    let stance = |leg: &LegRow| match leg.part.as_str() {
        "customer" if !talking => Stance::Queued,
        "customer" if modes.held || modes.apart => Stance::Held,
        "customer" | "agent" | "partner" if talking && muted(leg) => Stance::Muted,
        // Apart and muted at once knows no stance of its own; with the customer on music two who talk are as apart.
        "agent" | "partner" if talking && modes.apart && !staff_muted => Stance::Consult,
        "customer" | "agent" | "partner" if talking => Stance::Talk,
        "supervisor" if talking => {
            let own = modes.supervisors.iter().find(|(supervisor, _)| *supervisor == leg.id);
            own.map_or(Stance::Waiting, |(_, stance)| *stance)
        }
        _ => Stance::Waiting,
    };
    Plan {
        room: CallId(row.id.as_u128()),
        epoch: u64::try_from(row.plan_epoch).unwrap_or(0),
        stances: legs
            .iter()
            .filter(|leg| leg.state != "down")
            .map(|leg| (call_model::LegId(leg.id.as_u128()), stance(leg)))
            .collect(),
        tap: if talking && queue.recording != "off" {
            Tap::On
        } else {
            Tap::Off
        },
        announce: modes.announce,
        shield: modes.shield,
    }
}

/// The order to record, if the queue wants it. A recording has the bits of the offer whose agent it hears, so the order,
/// the row and media's steps agree without a table between them.
pub(crate) fn record(offer: Uuid, queue: &QueueRow) -> Option<RecordCommand> {
    let policy = match queue.recording.as_str() {
        "off" => return None,
        "required" => Policy::Required,
        _ => Policy::Optional,
    };
    Some(RecordCommand::Start {
        recording: call_model::RecordingId(offer.as_u128()),
        policy,
        customer_left: true,
    })
}

/// The right to attach a leg.
pub(crate) fn grant(core: &Core, leg: &LegRow, part: ports::Part) -> LegGrant {
    LegGrant {
        secret: core.fresh_secret(),
        leg: call_model::LegId(leg.id.as_u128()),
        room: CallId(leg.call_id.as_u128()),
        part,
        uplink: true,
        red: core.options.red,
        first_offer_s: FIRST_OFFER_S,
    }
}
