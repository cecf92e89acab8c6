//! Keeps a provider's public keys at hand: fetched when needed, kept when the provider is away.
//!
//! Never fetches more often than once a minute, whatever tokens arrive, and never without being asked. Fetching itself
//! is handed in, so nothing here opens a connection.

use std::sync::Arc;

use call_model::{Span, Timestamp};
use ports::Later;
use tokio::sync::Mutex;

use super::jws::{KeySet, PinnedKey, TokenFault};

/// How long a fetched key set is used before it is asked for again.
pub const FRESH: Span = Span::minutes(10);

/// Least time between two fetches: tokens with invented key names must not become requests to the provider.
pub const FETCH_EVERY: Span = Span::minutes(1);

/// How long the last good key set is used while the provider does not answer.
pub const KEPT: Span = Span::minutes(24 * 60);

/// Where the key set comes from.
pub trait KeySource: Send + Sync + 'static {
    /// The JWKS document, or `None` when the provider did not answer with one.
    fn fetch(&self) -> Later<'_, Option<String>>;
}

/// The key set and when it was asked for.
#[derive(Default)]
struct Held {
    keys: KeySet,
    good_at: Option<Timestamp>,
    asked_at: Option<Timestamp>,
}

/// A provider's keys, shared by everybody who verifies.
pub struct Jwks {
    source: Arc<dyn KeySource>,
    held: Mutex<Held>,
}

impl Jwks {
    /// Keys that come from `source`.
    pub fn new(source: Arc<dyn KeySource>) -> Self {
        Self {
            source,
            held: Mutex::new(Held::default()),
        }
    }

    /// The key named `kid`; fetches when the set is old or does not hold it. Concurrent callers share one fetch.
    ///
    /// # Errors
    /// `UnknownKey`.
    pub async fn key(&self, kid: &str, now: Timestamp) -> Result<PinnedKey, TokenFault> {
        let mut held = self.held.lock().await;
        let fresh = held.good_at.is_some_and(|at| now.since(at) < FRESH);
        let rested = held.asked_at.is_none_or(|at| now.since(at) >= FETCH_EVERY);
        if rested && (!fresh || held.keys.find(kid).is_none()) {
            held.asked_at = Some(now);
            match self.source.fetch().await.as_deref().and_then(KeySet::parse) {
                Some(keys) if !keys.is_empty() => {
                    held.keys = keys;
                    held.good_at = Some(now);
                }
                _ => tracing::warn!("the identity provider's keys could not be fetched; the last good ones stay"),
            }
        }
        let kept = held.good_at.is_some_and(|at| now.since(at) < KEPT);
        let found = if kept { held.keys.find(kid) } else { None };
        found.cloned().ok_or(TokenFault::UnknownKey)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Answers with a key set of one key, or with nothing once `away`.
    struct Provider {
        asked: AtomicU32,
        answers: AtomicU32,
    }

    impl KeySource for Provider {
        fn fetch(&self) -> Later<'_, Option<String>> {
            Box::pin(async {
                self.asked.fetch_add(1, Ordering::Relaxed);
                (self.answers.load(Ordering::Relaxed) == 1).then(|| {
                    // The public key of RFC 8037 appendix A.2.
                    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a",
                        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#
                        .to_owned()
                })
            })
        }
    }

    fn at(minutes: i64) -> Timestamp {
        Timestamp(0).plus(Span::minutes(minutes))
    }

    #[tokio::test]
    async fn keys_are_fetched_once_kept_through_an_outage_and_given_up_after_a_day() {
        let provider = Arc::new(Provider {
            asked: AtomicU32::new(0),
            answers: AtomicU32::new(1),
        });
        let jwks = Jwks::new(provider.clone());
        assert!(jwks.key("a", at(1)).await.is_ok());
        assert!(jwks.key("a", at(5)).await.is_ok());
        assert_eq!(
            provider.asked.load(Ordering::Relaxed),
            1,
            "a fresh set is not asked for again"
        );

        provider.answers.store(0, Ordering::Relaxed);
        assert!(
            jwks.key("a", at(60)).await.is_ok(),
            "an outage of the provider stops nobody"
        );
        assert!(jwks.key("a", at(1 + 24 * 60)).await.is_err(), "but not for ever");
    }

    #[tokio::test]
    async fn invented_key_names_cost_the_provider_one_request_a_minute() {
        let provider = Arc::new(Provider {
            asked: AtomicU32::new(0),
            answers: AtomicU32::new(1),
        });
        let jwks = Jwks::new(provider.clone());
        for n in 0..100 {
            assert!(jwks.key(&format!("invented-{n}"), at(1)).await.is_err());
        }
        assert_eq!(provider.asked.load(Ordering::Relaxed), 1);
        assert!(jwks.key("invented", at(2)).await.is_err());
        assert_eq!(provider.asked.load(Ordering::Relaxed), 2);
    }
}
