//! Our own messages: bytes to a typed command or a polite refusal, and replies to bytes. Pure.

use call_model::Timestamp;
use desk::{Code, Refused};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;
use wire::{
    call::{CallStart, ConsultStart, ConsultStep, HangUp, Hold, Mute, Shield, Supervise, SuperviseEnd},
    leg::{LegCandidate, LegOffer, LegRenew},
    offer::OfferReject,
    signal::{CallCommand, ClientMessage, Hello, OfferCommand, Probe, ServerMessage, SignalError, VERSION},
    staff::PresenceSet,
};

/// Longest `id` that a client may choose, in bytes: it comes back in the reply.
const REFERENCE_BYTES_MAX: usize = 64;

/// What a client asks, typed.
#[derive(Debug)]
pub(crate) enum Command {
    Hello(Hello),
    Snapshot,
    Start(CallStart),
    HangUp(CallCommand, HangUp),
    Hold(CallCommand, Hold),
    Resume(CallCommand, Hold),
    Mute(CallCommand, Mute),
    Unmute(CallCommand, Mute),
    Shield(CallCommand, Shield),
    Unshield(CallCommand, Shield),
    Consult(CallCommand, ConsultStart),
    CompleteConsult(CallCommand, ConsultStep),
    MergeConsult(CallCommand, ConsultStep),
    CancelConsult(CallCommand, ConsultStep),
    Supervise(CallCommand, Supervise),
    EndSupervision(CallCommand, SuperviseEnd),
    LiveCalls,
    Colleagues,
    LegOffer(LegOffer),
    LegRestart(LegOffer),
    LegCandidate(LegCandidate),
    LegRenew(LegRenew),
    AcceptOffer(OfferCommand),
    RejectOffer(OfferCommand, OfferReject),
    SetPresence(PresenceSet),
    EndWrapUp(CallCommand),
    ExtendWrapUp(CallCommand),
    Ping(Probe),
    Pong(Probe),
}

/// A command with the name that its reply refers to.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) reference: Option<String>,
    pub(crate) command: Command,
}

/// A message that is not understood.
#[derive(Debug, PartialEq)]
pub(crate) struct NotUnderstood {
    pub(crate) reference: Option<String>,
    pub(crate) error: SignalError,
}

/// Reads one message of a client.
pub(crate) fn parse(text: &str) -> Result<Asked, NotUnderstood> {
    let message: ClientMessage = serde_json::from_str(text).map_err(|_| {
        refuse(
            None,
            "bad_message",
            "The message is not of the form {v, id, type, data}.",
        )
    })?;
    let reference = Some(message.id).filter(|id| !id.is_empty());
    if reference.as_ref().is_some_and(|id| id.len() > REFERENCE_BYTES_MAX) {
        return Err(refuse(None, "bad_message", "The id is too long."));
    }
    if message.v != VERSION {
        return Err(refuse(reference, "bad_version", "Only version 1 is spoken here."));
    }
    let data = message.data;
    let command = match message.kind.as_str() {
        "hello" => read(data).map(Command::Hello),
        "snapshot" => Ok(Command::Snapshot),
        "call.start" => read(data).map(Command::Start),
        "call.hangup" => about_call(data, Command::HangUp),
        "call.hold" => about_call(data, Command::Hold),
        "call.resume" => about_call(data, Command::Resume),
        "call.mute" => about_call(data, Command::Mute),
        "call.unmute" => about_call(data, Command::Unmute),
        "call.shield" => about_call(data, Command::Shield),
        "call.unshield" => about_call(data, Command::Unshield),
        "call.consult" => about_call(data, Command::Consult),
        "call.consult.complete" => about_call(data, Command::CompleteConsult),
        "call.consult.merge" => about_call(data, Command::MergeConsult),
        "call.consult.cancel" => about_call(data, Command::CancelConsult),
        "call.supervise" => about_call(data, Command::Supervise),
        "call.supervise.end" => about_call(data, Command::EndSupervision),
        "calls.live" => Ok(Command::LiveCalls),
        "staff.available" => Ok(Command::Colleagues),
        "leg.offer" => read(data).map(Command::LegOffer),
        "leg.restart" => read(data).map(Command::LegRestart),
        "leg.candidate" => read(data).map(Command::LegCandidate),
        "leg.renew" => read(data).map(Command::LegRenew),
        "offer.accept" => read(data).map(Command::AcceptOffer),
        "offer.reject" => {
            read(data.clone()).and_then(|offer| read(data).map(|reject| Command::RejectOffer(offer, reject)))
        }
        "presence.set" => read(data).map(Command::SetPresence),
        "wrapup.end" => read(data).map(Command::EndWrapUp),
        "wrapup.extend" => read(data).map(Command::ExtendWrapUp),
        "probe.ping" => read(data).map(Command::Ping),
        "probe.pong" => read(data).map(Command::Pong),
        _ => return Err(refuse(reference, "unknown_type", "No message of this type is known.")),
    };
    match command {
        Ok(command) => Ok(Asked { reference, command }),
        Err(NoFit) => Err(refuse(reference, "bad_message", "The data do not fit the type.")),
    }
}

/// The data are of another shape.
struct NoFit;

/// The call, and the body of the request of the same name.
fn about_call<T: DeserializeOwned>(data: Value, make: fn(CallCommand, T) -> Command) -> Result<Command, NoFit> {
    Ok(make(read(data.clone())?, read(data)?))
}

fn read<T: DeserializeOwned>(data: Value) -> Result<T, NoFit> {
    let data = if data.is_null() {
        Value::Object(serde_json::Map::new())
    } else {
        data
    };
    serde_json::from_value(data).map_err(|_| NoFit)
}

fn refuse(reference: Option<String>, code: &str, message: &str) -> NotUnderstood {
    NotUnderstood {
        reference,
        error: SignalError {
            code: code.to_owned(),
            message: message.to_owned(),
            retry_after_seconds: None,
        },
    }
}

/// A message of the server before it has a number and a time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Note {
    pub(crate) kind: String,
    pub(crate) data: Value,
    pub(crate) reference: Option<String>,
}

impl Note {
    /// A message nobody asked for.
    pub(crate) fn of(kind: &str, data: &impl Serialize) -> Self {
        Self {
            kind: kind.to_owned(),
            data: serde_json::to_value(data).expect("wire types are plain data"),
            reference: None,
        }
    }

    /// The answer to the message `reference`.
    pub(crate) fn answer(reference: Option<String>, kind: &str, data: &impl Serialize) -> Self {
        Self {
            reference,
            ..Self::of(kind, data)
        }
    }

    /// A refusal. One without a sentence of its own names its wrong field, or says its word.
    pub(crate) fn refused(reference: Option<String>, refused: &Refused) -> Self {
        let code = match (refused.code, &refused.detail) {
            // The word of a bad offer is in the detail, and it is the one a client can act on.
            (Code::BadOffer, Some(word)) => word.clone(),
            (code, _) => code.word().to_owned(),
        };
        let field = refused.fields.first().map(|(name, wrong)| format!("{name} {wrong}"));
        let message = refused.detail.clone().or(field).unwrap_or_else(|| code.clone());
        let error = SignalError {
            code,
            message,
            retry_after_seconds: refused.retry_after_s,
        };
        Self::answer(reference, "error", &error)
    }

    /// The text on the wire.
    pub(crate) fn text(self, seq: u64, now: Timestamp) -> String {
        let message = ServerMessage {
            v: VERSION,
            seq,
            ts: now.into(),
            kind: self.kind,
            data: self.data,
            reference: self.reference,
        };
        serde_json::to_string(&message).expect("wire types are plain data")
    }
}

/// The 128 bits of an id.
pub(crate) const fn bits(id: Uuid) -> u128 {
    id.as_u128()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        parse(text).unwrap_err().error.code
    }

    #[test]
    fn commands_are_read_with_their_reference() {
        let text = r#"{"v":1,"id":"7","type":"probe.pong","data":{"nonce":"n"}}"#;
        let asked = parse(text).unwrap();
        assert_eq!(asked.reference.as_deref(), Some("7"));
        assert!(matches!(asked.command, Command::Pong(Probe { nonce }) if nonce == "n"));
        assert!(matches!(
            parse(r#"{"v":1,"type":"hello"}"#).unwrap().command,
            Command::Hello(_)
        ));
        let mute =
            r#"{"v":1,"type":"call.mute","data":{"callId":"00000000-0000-0000-0000-000000000007","part":"agent"}}"#;
        let Command::Mute(call, body) = parse(mute).unwrap().command else {
            panic!("a mute");
        };
        assert_eq!(
            (call.call_id.as_u128(), body.part, body.reason),
            (7, wire::leg::Part::Agent, None)
        );
        assert_eq!(code(&mute.replace("agent", "everybody")), "bad_message");
        let id = "00000000-0000-0000-0000-000000000007";
        for (reason, expected) in [("", None), (r#","reason":"wrong number""#, Some("wrong number"))] {
            let text = format!(r#"{{"v":1,"type":"call.hangup","data":{{"callId":"{id}"{reason}}}}}"#);
            let Command::HangUp(_, body) = parse(&text).unwrap().command else {
                panic!("a hang-up");
            };
            assert_eq!(body.reason.as_deref(), expected);
        }
        let reject = r#"{"v":1,"type":"offer.reject","data":{"offerId":"00000000-0000-0000-0000-000000000007"}}"#;
        assert!(matches!(parse(reject).unwrap().command, Command::RejectOffer(..)));
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        for text in [
            "",
            "{",
            "[]",
            "7",
            "null",
            r#"{"type":"hello"}"#,
            r#"{"v":"1","type":"hello"}"#,
        ] {
            assert_eq!(code(text), "bad_message", "{text}");
        }
        assert_eq!(code(r#"{"v":2,"type":"hello"}"#), "bad_version");
        assert_eq!(code(r#"{"v":1,"type":"call.listen"}"#), "unknown_type");
        assert_eq!(
            code(r#"{"v":1,"type":"leg.offer","data":{"legId":"x"}}"#),
            "bad_message"
        );
        let long = format!(
            r#"{{"v":1,"id":"{}","type":"hello"}}"#,
            "x".repeat(REFERENCE_BYTES_MAX + 1)
        );
        assert_eq!(code(&long), "bad_message");
    }

    #[test]
    fn depth_does_not_overflow_the_reader() {
        let deep = format!(
            r#"{{"v":1,"type":"x","data":{}{}}}"#,
            "[".repeat(20_000),
            "]".repeat(20_000)
        );
        assert_eq!(code(&deep), "bad_message");
    }

    #[test]
    fn a_bad_offers_word_is_what_the_client_hears() {
        let note = Note::refused(
            Some("1".to_owned()),
            &Refused::because(Code::BadOffer, "offer_without_opus"),
        );
        assert_eq!(note.data["code"], "offer_without_opus");
        let text = note.text(0, Timestamp(0));
        assert!(text.contains(r#""ref":"1""#) && text.contains(r#""seq":0"#), "{text}");
    }
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod described;
