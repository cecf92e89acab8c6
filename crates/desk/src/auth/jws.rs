//! Verifies a customer's token (JWT, RFC 7519; signatures of RFC 7515 and RFC 8037).
//!
//! Never trusts the token about how it is to be checked: the algorithm belongs to the key, a shared secret is used only
//! when the configuration names one, and a key set that was fetched never yields a shared secret. Roles are never read
//! from a token. Time is an argument.

use std::collections::HashMap;

use call_model::{Timestamp, UserId};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use serde::Deserialize;

/// Longest accepted token in bytes: identity providers stay below 4 KiB, and a header line is limited anyway.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Keys taken from one key set: providers publish two or three while they rotate.
pub const KEYS_MAX: usize = 32;

/// Seconds by which the provider's clock may differ from ours.
pub const SKEW_S: i64 = 60;

/// Longest display name or e-mail taken from a token, in bytes; longer ones are dropped, they are only shown.
const HINT_BYTES_MAX: usize = 320;

/// Why a token was not accepted. The words are for the log; the caller only hears `unauthenticated`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// Not a JWT, too long, or a critical header that nobody here understands.
    #[error("malformed")]
    Malformed,
    /// The algorithm is `none`, unknown, or not the one of the key.
    #[error("wrong_algorithm")]
    WrongAlgorithm,
    /// No key of this name is known.
    #[error("unknown_key")]
    UnknownKey,
    /// The signature does not hold.
    #[error("bad_signature")]
    BadSignature,
    /// Issuer or audience is another.
    #[error("foreign_token")]
    Foreign,
    /// The time of the token is over.
    #[error("expired")]
    Expired,
    /// The time of the token has not begun.
    #[error("not_yet_valid")]
    NotYetValid,
    /// No subject, or one that is no user id.
    #[error("bad_subject")]
    BadSubject,
}

/// Who the token speaks for. Name and e-mail are display hints.
#[derive(Clone, PartialEq, Eq)]
pub struct Subject {
    /// The token's `sub`.
    pub user: UserId,
    /// Display name, if the provider has one.
    pub name: Option<String>,
    /// E-mail, if the provider has one.
    pub email: Option<String>,
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Subject(…)")
    }
}

/// What a token must say to be one of ours.
#[derive(Clone, Debug)]
pub struct Expected {
    /// `iss`.
    pub issuer: String,
    /// `aud`; `authenticated` with Supabase.
    pub audience: String,
}

/// A key together with the one algorithm it may be used with.
#[derive(Clone)]
pub struct PinnedKey {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl PinnedKey {
    /// A shared secret, for HS256 only; by configuration, never from a key set.
    pub fn shared_secret(secret: &[u8]) -> Self {
        Self {
            algorithm: Algorithm::HS256,
            key: DecodingKey::from_secret(secret),
        }
    }

    /// The key of a JWK, `None` for a kind that is not accepted (RFC 7517; ES256, RS256 and Ed25519).
    fn of_jwk(jwk: &Jwk) -> Option<(String, Self)> {
        let kid = jwk.common.key_id.clone()?;
        if matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption)) {
            return None;
        }
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => Algorithm::ES256,
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
            _ => return None,
        };
        let named = match jwk.common.key_algorithm {
            None => true,
            Some(KeyAlgorithm::ES256) => algorithm == Algorithm::ES256,
            Some(KeyAlgorithm::RS256) => algorithm == Algorithm::RS256,
            Some(KeyAlgorithm::EdDSA) => algorithm == Algorithm::EdDSA,
            Some(_) => false,
        };
        let key = DecodingKey::from_jwk(jwk).ok()?;
        named.then_some((kid, Self { algorithm, key }))
    }
}

/// The public keys of a provider, by `kid`.
#[derive(Clone, Default)]
pub struct KeySet {
    keys: HashMap<String, PinnedKey>,
}

#[derive(Deserialize)]
struct RawKeySet {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// Reads a JWKS document (RFC 7517 §5). Keys of other kinds are left out; `None` when it is no key set at all.
    pub fn parse(document: &str) -> Option<Self> {
        let raw: RawKeySet = serde_json::from_str(document).ok()?;
        let keys = raw
            .keys
            .into_iter()
            .take(KEYS_MAX)
            .filter_map(|value| serde_json::from_value::<Jwk>(value).ok())
            .filter_map(|jwk| PinnedKey::of_jwk(&jwk))
            .collect();
        Some(Self { keys })
    }

    /// The key named `kid`.
    pub fn find(&self, kid: &str) -> Option<&PinnedKey> {
        self.keys.get(kid)
    }

    /// How many keys can be used.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// True when no key can be used.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// What the token says about the key it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A shared secret.
    SharedSecret,
    /// The published key of this name.
    Published(String),
}

/// Reads the unprotected part of a token: which key is needed to check it.
///
/// # Errors
/// `Malformed`, `WrongAlgorithm` (`none` included), `UnknownKey` when no key is named.
pub fn wanted_key(token: &str) -> Result<Wanted, TokenFault> {
    if token.len() > TOKEN_BYTES_MAX || token.split('.').count() != 3 {
        return Err(TokenFault::Malformed);
    }
    let header = decode_header(token).map_err(|error| match error.kind() {
        jsonwebtoken::errors::ErrorKind::InvalidAlgorithmName => TokenFault::WrongAlgorithm,
        // An unknown name of an algorithm fails in the JSON reader of the header.
        jsonwebtoken::errors::ErrorKind::Json(_) => TokenFault::WrongAlgorithm,
        _ => TokenFault::Malformed,
    })?;
    // RFC 7515 §4.1.11: a critical extension that is not understood makes the token invalid.
    if raw_header_has_crit(token) {
        return Err(TokenFault::Malformed);
    }
    match header.alg {
        Algorithm::HS256 => Ok(Wanted::SharedSecret),
        Algorithm::ES256 | Algorithm::RS256 | Algorithm::EdDSA => {
            header.kid.map(Wanted::Published).ok_or(TokenFault::UnknownKey)
        }
        _ => Err(TokenFault::WrongAlgorithm),
    }
}

/// True when the header names critical extensions; also when it cannot be read.
fn raw_header_has_crit(token: &str) -> bool {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let Some((header, _)) = token.split_once('.') else {
        return true;
    };
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(header) else {
        return true;
    };
    match serde_json::from_slice::<serde_json::Value>(&bytes) {
        Ok(value) => value.get("crit").is_some(),
        Err(_) => true,
    }
}

/// The claims that are read. A claim that stands twice is refused by the reader.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(rename = "iss")]
    _iss: String,
    #[serde(rename = "aud")]
    _aud: serde_json::Value,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    user_metadata: Option<Metadata>,
}

/// What a person may write about himself at the provider: a name to show, nothing else.
#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    full_name: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

/// Checks `token` with the one key it needs, at `now`.
///
/// # Errors
/// Every variant of [`TokenFault`] but `UnknownKey`.
pub fn verify(token: &str, key: &PinnedKey, expected: &Expected, now: Timestamp) -> Result<Subject, TokenFault> {
    let mut rules = Validation::new(key.algorithm);
    rules.set_issuer(&[&expected.issuer]);
    rules.set_audience(&[&expected.audience]);
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // Times are judged below, by the clock that was handed in.
    rules.validate_exp = false;
    rules.validate_nbf = false;
    let claims = decode::<Claims>(token, &key.key, &rules).map_err(fault_of)?.claims;

    let now_s = now.0.div_euclid(1_000_000) as f64;
    let skew = SKEW_S as f64;
    // A claim that is no number fails.
    if claims.exp.is_nan() || claims.exp + skew <= now_s {
        return Err(TokenFault::Expired);
    }
    if claims.nbf.is_some_and(|nbf| nbf.is_nan() || nbf - skew > now_s) {
        return Err(TokenFault::NotYetValid);
    }
    let metadata = claims.user_metadata.unwrap_or_default();
    Ok(Subject {
        user: UserId::new(claims.sub).ok_or(TokenFault::BadSubject)?,
        name: hint(metadata.full_name).or_else(|| hint(metadata.name)),
        email: hint(claims.email),
    })
}

/// A display text, unless it is empty or unreasonably long.
fn hint(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty() && text.len() <= HINT_BYTES_MAX)
}

/// The library's error as one of ours.
fn fault_of(error: jsonwebtoken::errors::Error) -> TokenFault {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::InvalidSignature => TokenFault::BadSignature,
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => TokenFault::WrongAlgorithm,
        ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience => TokenFault::Foreign,
        ErrorKind::MissingRequiredClaim(claim) if claim == "sub" => TokenFault::BadSubject,
        _ => TokenFault::Malformed,
    }
}

#[cfg(test)]
#[path = "jws_tests.rs"]
mod tests;
