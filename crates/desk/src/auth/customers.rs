//! Who a customer's token speaks for: chooses the key, then checks the token with it.
//!
//! Without a configured provider every token is refused; there is no default secret.

use std::sync::Arc;

use call_model::Timestamp;

use super::{
    jwks::{Jwks, KeySource},
    jws::{Expected, PinnedKey, Subject, TokenFault, Wanted, verify, wanted_key},
};

/// How customers' tokens are checked.
#[derive(Default)]
pub struct CustomerTokens {
    expected: Option<Expected>,
    secret: Option<PinnedKey>,
    published: Option<Jwks>,
}

impl CustomerTokens {
    /// `secret`: for HS256, when the provider still signs so. `source`: its published keys.
    pub fn new(expected: Expected, secret: Option<&[u8]>, source: Option<Arc<dyn KeySource>>) -> Self {
        Self {
            expected: Some(expected),
            secret: secret.map(PinnedKey::shared_secret),
            published: source.map(Jwks::new),
        }
    }

    /// Checks `token` at `now`.
    ///
    /// # Errors
    /// As [`TokenFault`] says; `WrongAlgorithm` also for a kind of key that the configuration does not name.
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<Subject, TokenFault> {
        let expected = self.expected.as_ref().ok_or(TokenFault::UnknownKey)?;
        match wanted_key(token)? {
            Wanted::SharedSecret => {
                let key = self.secret.as_ref().ok_or(TokenFault::WrongAlgorithm)?;
                verify(token, key, expected, now)
            }
            Wanted::Published(kid) => {
                let published = self.published.as_ref().ok_or(TokenFault::WrongAlgorithm)?;
                verify(token, &published.key(&kid, now).await?, expected, now)
            }
        }
    }
}
