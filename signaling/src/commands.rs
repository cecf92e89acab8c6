//! Carries out one command of our own protocol: the desk or media is asked, the answer becomes a message.
//!
//! Session descriptions go to media under their grant and touch neither the desk nor the database.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use call_model::{CallId, OfferId};
use desk::{Caller, Code, Created, Refused};
use ports::{Sdp, Secret};
use serde_json::json;
use tokio::time::timeout;
use uuid::Uuid;
use wire::{
    call::CallView,
    leg::{LegAnswer, LegGrant, LegOffer},
    quality::CallQuality,
    signal::{CallBegun, CallChanged, LegGranted, SignalError},
};

use crate::{
    endpoint::Endpoint,
    limits::COMMAND_WITHIN,
    protocol::{Asked, Command, Note, bits},
};

/// Carries out one command; the note is its answer.
pub(crate) async fn perform(endpoint: Endpoint, caller: Caller, asked: Asked) -> Option<Note> {
    let Asked { reference, command } = asked;
    match timeout(COMMAND_WITHIN, answer(&endpoint, &caller, command)).await {
        Ok(Ok(note)) => note.map(|note| Note { reference, ..note }),
        Ok(Err(refused)) => Some(Note::refused(reference, &refused)),
        Err(_) => {
            let error = SignalError {
                code: "timeout".to_owned(),
                message: "There was no outcome in time.".to_owned(),
                retry_after_seconds: None,
            };
            Some(Note::answer(reference, "error", &error))
        }
    }
}

async fn answer(endpoint: &Endpoint, caller: &Caller, command: Command) -> Result<Option<Note>, Refused> {
    let desk = &endpoint.desk;
    let call = |id: Uuid| CallId(bits(id));
    let offer = |id: Uuid| OfferId(bits(id));
    Ok(Some(match command {
        Command::Hello(_) => return Err(Refused::because(Code::Validation, "hello was said already")),
        Command::Snapshot => Note::of("snapshot", &desk.snapshot(caller).await?),
        Command::Start(wanted) => {
            let (created, started) = desk.request_call(caller, wanted, None).await?;
            let created = created == Created::New;
            Note::of("call.started", &CallBegun { created, started })
        }
        Command::HangUp(it, why) => changed(desk.hang_up(caller, call(it.call_id), why.reason).await?),
        Command::Hold(it, hold) => changed(desk.hold(caller, call(it.call_id), hold.reason).await?),
        Command::Resume(it, hold) => changed(desk.resume(caller, call(it.call_id), hold.reason).await?),
        Command::Mute(it, mute) => changed(desk.mute(caller, call(it.call_id), mute).await?),
        Command::Unmute(it, mute) => changed(desk.unmute(caller, call(it.call_id), mute).await?),
        Command::Shield(it, how) => changed(desk.shield(caller, call(it.call_id), how).await?),
        Command::Unshield(it, how) => changed(desk.unshield(caller, call(it.call_id), how).await?),
        Command::Consult(it, whom) => changed(desk.consult(caller, call(it.call_id), whom).await?),
        Command::CompleteConsult(it, step) => changed(desk.consult_complete(caller, call(it.call_id), step).await?),
        Command::MergeConsult(it, step) => changed(desk.consult_merge(caller, call(it.call_id), step).await?),
        Command::CancelConsult(it, step) => changed(desk.consult_cancel(caller, call(it.call_id), step).await?),
        Command::Supervise(it, how) => granted(desk.supervise(caller, call(it.call_id), how).await?),
        Command::EndSupervision(it, how) => {
            desk.end_supervision(caller, call(it.call_id), how).await?;
            done()
        }
        Command::LiveCalls => Note::of("calls.live", &desk.live_calls(caller).await?),
        Command::Colleagues => Note::of("staff.available", &desk.staff_available(caller).await?),
        Command::LegOffer(offer) => attach(endpoint, offer, Way::Offer).await?,
        Command::LegRestart(offer) => attach(endpoint, offer, Way::Restart).await?,
        Command::LegCandidate(it) => {
            desk.media().candidate(secret(&it.grant)?, &it.candidate)?;
            return Ok(None);
        }
        Command::LegRenew(it) => granted(desk.grant_leg(caller, call(it.call_id), None).await?),
        Command::AcceptOffer(it) => Note::of("offer.accepted", &desk.accept_offer(caller, offer(it.offer_id)).await?),
        Command::RejectOffer(it, reject) => {
            desk.reject_offer(caller, offer(it.offer_id), reject.reason).await?;
            done()
        }
        Command::SetPresence(wanted) => Note::of("me", &desk.set_presence(caller, wanted).await?),
        Command::EndWrapUp(it) => {
            desk.end_wrap_up(caller, call(it.call_id)).await?;
            done()
        }
        Command::ExtendWrapUp(it) => Note::of("call.wrap_up", &desk.extend_wrap_up(caller, call(it.call_id)).await?),
        Command::Ping(probe) => Note::of("probe.pong", &probe),
        // The session itself listens for these.
        Command::Pong(_) => return Ok(None),
    }))
}

/// The call as it is now.
fn changed(call: CallView) -> Note {
    Note::of("call.changed", &CallChanged { call })
}

/// The right to attach a leg.
fn granted(grant: LegGrant) -> Note {
    Note::of("leg.grant", &LegGranted { grant })
}

/// It was done, and there is nothing to say about it.
fn done() -> Note {
    Note::of("ok", &json!({}))
}

/// How an offer is meant.
#[derive(Clone, Copy)]
enum Way {
    Offer,
    Restart,
}

async fn attach(endpoint: &Endpoint, offer: LegOffer, way: Way) -> Result<Note, Refused> {
    let (secret, sdp) = (secret(&offer.grant)?, Sdp(offer.sdp));
    let media = endpoint.desk.media();
    let answer = match way {
        Way::Offer => media.offer(secret, sdp).await?,
        Way::Restart => media.restart(secret, sdp).await?,
    };
    let answer = LegAnswer {
        leg_id: Uuid::from_u128(answer.leg.0),
        sdp: answer.sdp.0,
    };
    Ok(Note::of("leg.answer", &answer))
}

/// A grant's secret from its text form.
///
/// # Errors
/// `unknown_grant` for anything that no grant looks like.
pub(crate) fn secret(text: &str) -> Result<Secret, Refused> {
    let bytes = URL_SAFE_NO_PAD
        .decode(text)
        .ok()
        .and_then(|bytes| bytes.try_into().ok());
    bytes.map(Secret::new).ok_or(Refused::new(Code::UnknownGrant))
}

/// The last second of a call's sound; `None` when it has none here.
pub(crate) fn quality(endpoint: &Endpoint, call: CallId) -> Option<Note> {
    let room = endpoint.desk.media().snapshot(call)?;
    let quality = CallQuality {
        call_id: Uuid::from_u128(call.0),
        legs: room.legs.iter().map(desk::leg_quality).collect(),
    };
    Some(Note::of("call.quality", &quality))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_32_bytes_in_base64url_are_a_secret() {
        let text = URL_SAFE_NO_PAD.encode([7; Secret::BYTES]);
        assert_eq!(secret(&text).unwrap().expose(), &[7; Secret::BYTES]);
        for wrong in ["", "AAAA", &text[1..], &format!("{text}="), &format!("{text}AA"), "é"] {
            assert_eq!(secret(wrong).unwrap_err().code, Code::UnknownGrant, "{wrong}");
        }
    }
}
