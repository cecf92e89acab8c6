//! Why the desk says no: a stable word, a sentence for a person, and whether to try again.
//!
//! No HTTP status is known here; one file of `api` turns these words into them. No refusal carries customer data.

use std::fmt;

/// What kind of refusal; the word never changes once released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// No valid credential.
    Unauthenticated,
    /// The caller may not do this.
    Forbidden,
    /// No such thing, or not visible to the caller.
    NotFound,
    /// The agent already has a call in the way of this.
    AlreadyInCall,
    /// Somebody else won the offer, or it was withdrawn.
    OfferLost,
    /// The offer's time is over.
    OfferExpired,
    /// The state of things does not allow this step.
    IllegalTransition,
    /// Somebody on the call would have to hear more voices at once than there are streams to him.
    TooManyVoices,
    /// A field is wrong.
    Validation,
    /// Too many; see `retry_after_s`.
    RateLimited,
    /// The idempotency key was used for another request.
    IdempotencyMismatch,
    /// It is no longer what the caller has seen of it.
    VersionMismatch,
    /// It was done just now and cannot be again before `retry_after_s`.
    TooSoon,
    /// This node takes no new calls.
    Draining,
    /// Media is full.
    MediaFull,
    /// The call lives at another node, and only its media can do this; the detail ends with the WebSocket address there.
    OtherNode,
    /// Media does not answer.
    MediaUnavailable,
    /// The leg grant is unknown or over.
    UnknownGrant,
    /// The SDP was refused; the detail is a stable word.
    BadOffer,
    /// There is no recording to play.
    RecordingMissing,
    /// The call must be recorded, and nobody promises to.
    RecordingRequired,
    /// The byte range lies outside.
    Range,
    /// The database does not answer; may be tried again.
    Database,
    /// A defect of ours.
    Internal,
}

impl Code {
    /// Every code, for documents and tests.
    pub const ALL: [Code; 24] = [
        Code::Unauthenticated,
        Code::Forbidden,
        Code::NotFound,
        Code::AlreadyInCall,
        Code::OfferLost,
        Code::OfferExpired,
        Code::IllegalTransition,
        Code::TooManyVoices,
        Code::Validation,
        Code::RateLimited,
        Code::IdempotencyMismatch,
        Code::VersionMismatch,
        Code::TooSoon,
        Code::Draining,
        Code::MediaFull,
        Code::OtherNode,
        Code::MediaUnavailable,
        Code::UnknownGrant,
        Code::BadOffer,
        Code::RecordingMissing,
        Code::RecordingRequired,
        Code::Range,
        Code::Database,
        Code::Internal,
    ];

    /// Stable snake_case word.
    pub const fn word(self) -> &'static str {
        match self {
            Code::Unauthenticated => "unauthenticated",
            Code::Forbidden => "forbidden",
            Code::NotFound => "not_found",
            Code::AlreadyInCall => "already_in_call",
            Code::OfferLost => "offer_lost",
            Code::OfferExpired => "offer_expired",
            Code::IllegalTransition => "illegal_transition",
            Code::TooManyVoices => "too_many_voices",
            Code::Validation => "validation",
            Code::RateLimited => "rate_limited",
            Code::IdempotencyMismatch => "idempotency_mismatch",
            Code::VersionMismatch => "version_mismatch",
            Code::TooSoon => "too_soon",
            Code::Draining => "draining",
            Code::MediaFull => "media_full",
            Code::OtherNode => "other_node",
            Code::MediaUnavailable => "media_unavailable",
            Code::UnknownGrant => "unknown_grant",
            Code::BadOffer => "bad_offer",
            Code::RecordingMissing => "recording_missing",
            Code::RecordingRequired => "recording_required",
            Code::Range => "range",
            Code::Database => "database",
            Code::Internal => "internal",
        }
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What kind.
    pub code: Code,
    /// One sentence a person can act on.
    pub detail: Option<String>,
    /// Seconds after which asking again makes sense.
    pub retry_after_s: Option<u32>,
    /// Wrong fields and what is wrong with them, for [`Code::Validation`].
    pub fields: Vec<(String, String)>,
}

impl Refused {
    /// A refusal without more to say.
    pub const fn new(code: Code) -> Self {
        Refused {
            code,
            detail: None,
            retry_after_s: None,
            fields: Vec::new(),
        }
    }

    /// A refusal with a sentence.
    pub fn because(code: Code, detail: impl Into<String>) -> Self {
        Refused {
            detail: Some(detail.into()),
            ..Self::new(code)
        }
    }

    /// One wrong field.
    pub fn field(name: &str, message: impl Into<String>) -> Self {
        Refused {
            fields: vec![(name.to_owned(), message.into())],
            ..Self::new(Code::Validation)
        }
    }

    /// A refusal that may be tried again after `seconds`.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.word())?;
        match &self.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refused {}

/// Notes that a part of the desk could not do its work and will try again. An absent database is told of once, by
/// `Store`: a line per try would bury everything else.
pub(crate) fn note(part: &'static str, refused: &Refused) {
    let code = refused.code.word();
    if refused.code == Code::Database {
        tracing::debug!(part, code, "could not do its work");
    } else {
        tracing::warn!(part, code, "could not do its work");
    }
}

/// Whether a SQLSTATE says that the database as a whole cannot work now, whatever the statement was: no connection (08),
/// read-only (25006), no entry (28), out of disk, memory or places (53), stopped or starting (57P). Not what a single page
/// or file can cause (58, XX): that would hold up everything for one row.
///
/// Source: PostgreSQL, appendix A, "Error Codes".
fn is_away(state: &str) -> bool {
    state == "25006" || ["08", "28", "53", "57P"].iter().any(|class| state.starts_with(class))
}

impl From<sqlx::Error> for Refused {
    /// The client hears that the database failed; the cause goes to the log, without the row's values.
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::RowNotFound => return Refused::new(Code::NotFound),
            sqlx::Error::Database(cause) => {
                let code = cause.code();
                if let Some(state) = code.as_deref().filter(|state| is_away(state)) {
                    // `Store` tells of it once; a line for each statement would drown it.
                    tracing::debug!(
                        sqlstate = state,
                        cause = cause.message(),
                        "the database is not fit for work"
                    );
                    let detail = format!("the database is not fit for work now (SQLSTATE {state})");
                    return Refused::because(Code::Database, detail).retry_after(1);
                }
                // The message of PostgreSQL names constraint and relation; values stand only in its detail.
                tracing::error!(
                    sqlstate = code.as_deref(),
                    cause = cause.message(),
                    "a statement failed"
                );
                if code.is_some_and(|code| matches!(&*code, "40001" | "40P01" | "55P03" | "57014")) {
                    return Refused::new(Code::Database).retry_after(1);
                }
                return Refused::new(Code::Internal);
            }
            // Once per outage a warning comes from `Store`; each single statement would drown it.
            _ => tracing::debug!(cause = %error, "a statement found no database"),
        }
        Refused::new(Code::Database).retry_after(1)
    }
}

impl From<call_model::Refusal> for Refused {
    fn from(refusal: call_model::Refusal) -> Self {
        let code = match refusal {
            call_model::Refusal::AlreadyInCall => Code::AlreadyInCall,
            call_model::Refusal::OfferLost => Code::OfferLost,
            call_model::Refusal::OfferExpired => Code::OfferExpired,
            call_model::Refusal::NotYours => Code::Forbidden,
            call_model::Refusal::TooManyVoices => {
                return Refused::because(
                    Code::TooManyVoices,
                    "somebody on this call would have to hear more than three voices at once",
                );
            }
            call_model::Refusal::IllegalTransition
            | call_model::Refusal::NoExtensionLeft
            | call_model::Refusal::AgentFull
            | call_model::Refusal::AgentNotRoutable => Code::IllegalTransition,
        };
        Refused::because(code, refusal.code())
    }
}

impl From<ports::Refusal> for Refused {
    fn from(refusal: ports::Refusal) -> Self {
        match refusal {
            ports::Refusal::UnknownGrant => Refused::new(Code::UnknownGrant),
            ports::Refusal::BadOffer { reason } => Refused::because(Code::BadOffer, reason),
            ports::Refusal::NoSession => Refused::new(Code::NotFound),
            ports::Refusal::Full { retry_after_s } => Refused::new(Code::MediaFull).retry_after(retry_after_s),
            ports::Refusal::Draining => Refused::new(Code::Draining),
            ports::Refusal::Limit(word) => Refused::because(Code::MediaFull, word),
            ports::Refusal::Unavailable => Refused::new(Code::MediaUnavailable).retry_after(1),
        }
    }
}

/// Turns the violation of the constraint `name` into `code`; everything else is what it always is.
pub(crate) fn on_constraint(name: &'static str, code: Code) -> impl FnOnce(sqlx::Error) -> Refused {
    move |error| match &error {
        sqlx::Error::Database(cause) if cause.constraint() == Some(name) => Refused::new(code),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_word_of_its_own() {
        let mut words: Vec<_> = Code::ALL.iter().map(|code| code.word()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Code::ALL.len());
    }

    #[test]
    fn what_is_wrong_with_the_database_is_told_apart_from_what_is_wrong_with_a_statement() {
        for state in ["08006", "25006", "28P01", "53100", "53200", "53300", "57P01", "57P03"] {
            assert!(is_away(state), "{state}");
        }
        // Data, constraints, the state of this transaction, privileges, cancelled by its time limit, one file, one page.
        for state in ["22001", "23505", "23514", "25P02", "42501", "57014", "58P01", "XX001"] {
            assert!(!is_away(state), "{state}");
        }
    }
}
