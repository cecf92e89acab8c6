//! A request with an idempotency key has one effect, however often it arrives within a day.
//!
//! The key is taken and the outcome kept in the transaction of the effect itself: both are there or neither, and of two
//! requests at the same moment the second waits for the first. What is kept names rows and never holds a secret; a
//! request that was refused leaves its key free.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::Value;

use crate::auth::token::{Digest, sha256};
use crate::caller::Caller;
use crate::refusal::{Code, Refused};
use crate::store::idempotency;
use crate::tx::Tx;

/// Longest key, characters; the column's own limit.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 128;
/// Longest name of who sent it, bytes; the column's own limit.
const ACTOR_BYTES_MAX: usize = 160;

/// A key as a client chose it: 1 to 128 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// `None` for what is no key.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&text.len());
        (fits && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| Self(text.to_owned()))
    }
}

/// A request that is to have one effect.
#[derive(Clone, Debug)]
pub(crate) struct Once {
    actor: String,
    key: String,
    hash: Digest,
}

impl Once {
    /// `what` names the kind of request; `body` is what makes it this one.
    pub(crate) fn of(key: Option<IdempotencyKey>, caller: &Caller, what: &str, body: &impl Serialize) -> Option<Self> {
        let IdempotencyKey(key) = key?;
        let (name, kind) = match caller {
            Caller::Staff { .. } => (caller.audit_name().0, "staff"),
            other => other.audit_name(),
        };
        let mut actor = format!("{kind}:{name}");
        if actor.len() > ACTOR_BYTES_MAX {
            actor = format!("{kind}#{}", URL_SAFE_NO_PAD.encode(sha256(name.as_bytes())));
        }
        let request = serde_json::to_vec(&(what, body)).expect("wire types are plain data");
        Some(Self {
            actor,
            key,
            hash: sha256(&request),
        })
    }
}

/// Takes the key; what an earlier request with it has led to comes back. Without a key nothing happens.
///
/// # Errors
/// `idempotency_mismatch` when that one was another request; `database`.
pub(crate) async fn begin(tx: &mut Tx, once: Option<&Once>) -> Result<Option<Value>, Refused> {
    let Some(Once { actor, key, hash }) = once else {
        return Ok(None);
    };
    if idempotency::take(tx.conn(), actor, key, hash).await? {
        return Ok(None);
    }
    match idempotency::get(tx.conn(), actor, key).await? {
        Some((earlier, outcome)) if earlier == hash => Ok(Some(outcome)),
        Some(_) => Err(Refused::new(Code::IdempotencyMismatch)),
        // It ran out between the two statements.
        None => Err(Refused::new(Code::Database).retry_after(1)),
    }
}

/// Keeps what the request has led to: `status` as the first reply had it, and the rows of `outcome`.
pub(crate) async fn keep(tx: &mut Tx, once: Option<&Once>, status: i16, outcome: &Value) -> Result<(), Refused> {
    match once {
        Some(Once { actor, key, .. }) => idempotency::keep(tx.conn(), actor, key, status, outcome).await,
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn once(name: &str, what: &str, body: &str) -> Once {
        let caller = Caller::Service { name: name.to_owned() };
        Once::of(IdempotencyKey::new("k"), &caller, what, &body).unwrap()
    }

    #[test]
    fn keys_have_bounds() {
        let of = |n: usize| IdempotencyKey::new(&"k".repeat(n));
        assert!(of(1).is_some() && of(IDEMPOTENCY_KEY_CHARS_MAX).is_some());
        for wrong in ["", "a b", "é", "a\n"] {
            assert_eq!(IdempotencyKey::new(wrong), None, "{wrong:?}");
        }
        assert_eq!(of(IDEMPOTENCY_KEY_CHARS_MAX + 1), None);
    }

    #[test]
    fn another_body_and_another_kind_are_another_request() {
        assert_eq!(once("bank", "start", "a").hash, once("bank", "start", "a").hash);
        assert_ne!(once("bank", "start", "a").hash, once("bank", "start", "b").hash);
        assert_ne!(once("bank", "start", "a").hash, once("bank", "staff", "a").hash);
    }

    #[test]
    fn a_name_that_is_too_long_for_the_column_is_digested() {
        let fits = "n".repeat(ACTOR_BYTES_MAX - "service:".len());
        assert_eq!(once(&fits, "", "").actor, format!("service:{fits}"));
        let long = once(&format!("{fits}n"), "", "").actor;
        assert!(long.starts_with("service#") && long.len() <= ACTOR_BYTES_MAX, "{long}");
    }
}
