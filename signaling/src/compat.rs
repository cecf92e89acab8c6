//! The join/to protocol of the integration guide, with its server's faults mended.
//!
//! A name belongs to its session and is heard within one call only; `from` is stamped here and nobody speaks as
//! another; what cannot be read or delivered is answered with `error`. The reserved name `sfu` is our own media.

use std::sync::{Arc, Mutex, PoisonError};

use call_model::CallId;
use desk::{Caller, Code, Refused};
use ports::{Sdp, Secret};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::{
    commands::secret,
    endpoint::Endpoint,
    limits::{COMMAND_WITHIN, PEER_BYTES_MAX},
    registry::Key,
};

/// The name that is our media.
pub(crate) const SFU: &str = "sfu";

/// What a client of the guide's protocol says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    /// Its name, and a credential when it has no cookie.
    Join { peer: String, token: Option<String> },
    /// An offer for our media.
    Offer(String),
    /// A candidate for our media.
    Candidate(String),
    /// Anything for another peer.
    Relay { to: String, message: Map<String, Value> },
}

/// A message that is answered with `error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault(pub(crate) &'static str);

/// True for a first message of the guide's protocol rather than of ours.
pub(crate) fn is_join(text: &str) -> bool {
    // Our own messages have a version; the guide's have none.
    let message: Option<Map<String, Value>> = serde_json::from_str(text).ok();
    message.is_some_and(|message| message.get("type").is_some_and(|kind| kind == "join") && !message.contains_key("v"))
}

/// Reads one message.
pub(crate) fn parse(text: &str) -> Result<Said, Fault> {
    let message: Map<String, Value> = serde_json::from_str(text).map_err(|_| Fault("bad_message"))?;
    let kind = message.get("type").and_then(Value::as_str);
    if kind == Some("join") {
        let peer = message.get("peerId").and_then(name).ok_or(Fault("bad_message"))?;
        if peer == SFU {
            return Err(Fault("peer_reserved"));
        }
        let token = message.get("token").and_then(Value::as_str).map(str::to_owned);
        return Ok(Said::Join { peer, token });
    }
    let to = message.get("to").and_then(name).ok_or(Fault("bad_message"))?;
    if to != SFU {
        return Ok(Said::Relay { to, message });
    }
    match kind {
        Some("offer") => within(&message, "sdp").map(Said::Offer),
        Some("candidate" | "ice-candidate") => within(&message, "candidate").map(Said::Candidate),
        _ => Err(Fault("unknown_type")),
    }
}

/// A peer's name: text, or a number as the guide's server would take it too.
fn name(value: &Value) -> Option<String> {
    let name = match value {
        Value::String(name) => name.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let fits = !name.is_empty() && name.len() <= PEER_BYTES_MAX && !name.chars().any(char::is_control);
    fits.then_some(name)
}

/// The text at `key`, which a page may also send as the browser's own object of the same field.
fn within(message: &Map<String, Value>, key: &str) -> Result<String, Fault> {
    let value = message.get(key).ok_or(Fault("bad_message"))?;
    let text = value.as_str().or_else(|| value.get(key)?.as_str());
    text.map(str::to_owned).ok_or(Fault("bad_message"))
}

/// True when a message carries what two browsers need to talk past us.
fn describes_media(message: &Map<String, Value>) -> bool {
    let kind = message.get("type").and_then(Value::as_str);
    matches!(kind, Some("offer" | "answer")) || message.contains_key("sdp")
}

/// An `error` of this protocol.
pub(crate) fn error(code: &str) -> String {
    json!({ "type": "error", "code": code }).to_string()
}

/// The word of a refusal; a bad offer's own word stands in its detail.
pub(crate) fn word(refused: &Refused) -> String {
    match (refused.code, &refused.detail) {
        (Code::BadOffer, Some(detail)) => detail.clone(),
        (Code::Validation, Some(detail)) => detail.clone(),
        (code, _) => code.word().to_owned(),
    }
}

/// One connection that speaks this protocol.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) name: Arc<Mutex<String>>,
    /// The grant of the last offer; candidates count under it.
    grant: Arc<Mutex<Option<Secret>>>,
}

impl Peer {
    /// A peer that has just joined.
    pub(crate) fn new(name: String) -> Self {
        Self {
            name: Arc::new(Mutex::new(name)),
            grant: Arc::default(),
        }
    }

    /// Its name now.
    fn name(&self) -> String {
        self.name.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Carries out what a peer said; the text is its answer.
pub(crate) async fn perform(
    endpoint: Endpoint,
    key: Key,
    caller: Caller,
    call: Option<CallId>,
    peer: Peer,
    said: Said,
) -> Option<String> {
    match timeout(COMMAND_WITHIN, answer(&endpoint, key, &caller, call, &peer, said)).await {
        Ok(Ok(text)) => text,
        Ok(Err(refused)) => Some(error(&word(&refused))),
        Err(_) => Some(error("timeout")),
    }
}

async fn answer(
    endpoint: &Endpoint,
    key: Key,
    caller: &Caller,
    call: Option<CallId>,
    peer: &Peer,
    said: Said,
) -> Result<Option<String>, Refused> {
    match said {
        Said::Join { peer: wanted, .. } => {
            if endpoint.sessions().join(key, &wanted).is_err() {
                return Ok(Some(error("peer_taken")));
            }
            let joined = json!({ "type": "joined", "peerId": wanted }).to_string();
            *peer.name.lock().unwrap_or_else(PoisonError::into_inner) = wanted;
            Ok(Some(joined))
        }
        Said::Offer(sdp) => {
            let call = call.ok_or(Refused::new(Code::NotFound))?;
            let grant = secret(&endpoint.desk.grant_leg(caller, call, None).await?.grant)?;
            *peer.grant.lock().unwrap_or_else(PoisonError::into_inner) = Some(grant.clone());
            let answer = endpoint.desk.media().offer(grant, Sdp(sdp)).await?;
            let answer = json!({ "type": "answer", "from": SFU, "to": peer.name(), "sdp": answer.sdp.0 });
            Ok(Some(answer.to_string()))
        }
        Said::Candidate(candidate) => {
            let grant = peer.grant.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let grant = grant.ok_or(Refused::new(Code::UnknownGrant))?;
            endpoint.desk.media().candidate(grant, &candidate)?;
            Ok(None)
        }
        Said::Relay { to, mut message } => {
            if describes_media(&message)
                && let Some(call) = call
                && endpoint.desk.must_be_recorded(caller, call).await?
            {
                return Ok(Some(error("media_must_use_sfu")));
            }
            message.insert("from".to_owned(), Value::String(peer.name()));
            let text = Value::Object(message).to_string();
            let mut sessions = endpoint.sessions();
            match sessions.find_peer(key, &to) {
                Some(other) => {
                    sessions.send(other, text);
                    Ok(None)
                }
                None => Ok(Some(error("unknown_peer"))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_is_told_from_our_own_first_message() {
        assert!(is_join(r#"{"type":"join","peerId":"a"}"#));
        assert!(is_join(r#"{"peerId":7,"type":"join"}"#));
        for other in [
            r#"{"v":1,"type":"hello"}"#,
            r#"{"v":1,"type":"join"}"#,
            "{",
            "[]",
            r#"{"type":"offer"}"#,
        ] {
            assert!(!is_join(other), "{other}");
        }
    }

    #[test]
    fn names_have_bounds_and_one_is_ours() {
        let join = |peer: &str| parse(&json!({ "type": "join", "peerId": peer }).to_string());
        assert!(join(&"x".repeat(PEER_BYTES_MAX)).is_ok());
        assert_eq!(join(&"x".repeat(PEER_BYTES_MAX + 1)), Err(Fault("bad_message")));
        assert_eq!(join(""), Err(Fault("bad_message")));
        assert_eq!(join("a\u{0}"), Err(Fault("bad_message")));
        assert_eq!(join(SFU), Err(Fault("peer_reserved")));
        assert!(matches!(parse(r#"{"type":"join","peerId":7}"#), Ok(Said::Join { peer, .. }) if peer == "7"));
    }

    #[test]
    fn what_is_for_our_media_is_taken_in_both_of_its_forms() {
        assert_eq!(
            parse(r#"{"type":"offer","to":"sfu","sdp":"v=0"}"#),
            Ok(Said::Offer("v=0".to_owned()))
        );
        let object = r#"{"type":"offer","to":"sfu","sdp":{"type":"offer","sdp":"v=0"}}"#;
        assert_eq!(parse(object), Ok(Said::Offer("v=0".to_owned())));
        let candidate = r#"{"type":"candidate","to":"sfu","candidate":{"candidate":"c","sdpMid":"0"}}"#;
        assert_eq!(parse(candidate), Ok(Said::Candidate("c".to_owned())));
        assert_eq!(parse(r#"{"type":"dance","to":"sfu"}"#), Err(Fault("unknown_type")));
        assert_eq!(
            parse(r#"{"type":"offer","to":"sfu","sdp":7}"#),
            Err(Fault("bad_message"))
        );
    }

    #[test]
    fn anything_else_with_a_receiver_is_relayed_and_the_rest_is_refused() {
        let Ok(Said::Relay { to, message }) = parse(r#"{"to":"b","x":1,"from":"somebody"}"#) else {
            panic!("it has a receiver");
        };
        assert_eq!((to.as_str(), message["x"].as_i64()), ("b", Some(1)));
        assert!(!describes_media(&message));
        for text in ["", "{", "7", "[]", "{}", r#"{"to":null}"#, r#"{"type":"x"}"#] {
            assert_eq!(parse(text), Err(Fault("bad_message")), "{text}");
        }
    }
}
