//! Credentials with a time limit, bound to one leg: made and judged from a secret alone, stored nowhere.
//!
//! The user name is `expiry:leg:key`, the password the base64 of its HMAC-SHA1: the scheme that browsers and coturn's
//! tools speak. Never printed.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ports::LegId;
use ring::{digest, hmac};
use stun::LongTermKey;

/// Longest user name in bytes: ten digits, 32 hexadecimal ones, three and two colons make 47. Longer ones are refused
/// unread.
pub const USER_BYTES_MAX: usize = 64;

/// Base64 of an HMAC-SHA1.
const PASSWORD_BYTES: usize = 28;

/// A secret that credentials are made with, and its number.
#[derive(Clone)]
pub struct Secret {
    /// The last part of the user name.
    pub id: u8,
    key: hmac::Key,
}

impl Secret {
    /// A secret of any length.
    #[must_use]
    pub fn new(id: u8, secret: &[u8]) -> Secret {
        Secret {
            id,
            key: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret),
        }
    }

    fn password(&self, user: &[u8]) -> [u8; PASSWORD_BYTES] {
        let mut password = [0; PASSWORD_BYTES];
        let written = STANDARD.encode_slice(hmac::sign(&self.key, user), &mut password);
        debug_assert_eq!(written.ok(), Some(PASSWORD_BYTES), "20 bytes are 28 in base64");
        password
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({}, ..)", self.id)
    }
}

/// The secrets that count: the one that credentials are made with, and the one before.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// Makes and judges.
    pub current: Secret,
    /// Judges only.
    pub previous: Option<Secret>,
}

impl Secrets {
    pub(crate) fn find(&self, id: u8) -> Option<&Secret> {
        let both = [Some(&self.current), self.previous.as_ref()];
        both.into_iter().flatten().find(|secret| secret.id == id)
    }
}

/// How the leg in a user name is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LegNames {
    /// 32 hexadecimal digits, as [`mint`] writes them.
    #[default]
    Ids,
    /// Any word without a colon, by its hash: for conformance tools, which make their own user names.
    Words,
}

/// User name and password for a leg, good to allocate with until `expiry_unix_s`.
#[must_use]
pub fn mint(secret: &Secret, leg: LegId, expiry_unix_s: u64) -> (String, String) {
    let user = format!("{expiry_unix_s}:{:032x}:{}", leg.0, secret.id);
    let password = String::from_utf8_lossy(&secret.password(user.as_bytes())).into_owned();
    (user, password)
}

/// What a user name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) expiry_unix_s: u64,
    pub(crate) leg: LegId,
    pub(crate) secret: u8,
}

impl User {
    /// Reads `expiry:leg:key`; nothing of it is believed yet.
    pub(crate) fn parse(user: &[u8], names: LegNames) -> Option<User> {
        if user.len() > USER_BYTES_MAX {
            return None;
        }
        let mut parts = user.split(|&byte| byte == b':');
        let (expiry, leg, secret) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || leg.is_empty() {
            return None;
        }
        let leg = match names {
            LegNames::Ids if leg.len() == 32 => hexadecimal(leg)?,
            LegNames::Ids => return None,
            LegNames::Words => word(leg),
        };
        Some(User {
            expiry_unix_s: decimal(expiry)?,
            leg: LegId(leg),
            secret: u8::try_from(decimal(secret)?).ok()?,
        })
    }
}

/// The long-term key that belongs to a user name under a secret (RFC 8489 §9.2.2).
pub(crate) fn key_of(secret: &Secret, user: &[u8], realm: &[u8]) -> LongTermKey {
    LongTermKey::new(user, realm, &secret.password(user))
}

/// Digits only: no sign, no space, at most 12.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 12 {
        return None;
    }
    text.iter().try_fold(0u64, |value, &digit| {
        digit.is_ascii_digit().then(|| value * 10 + u64::from(digit - b'0'))
    })
}

/// Lower-case digits only, so that one leg has one user name.
fn hexadecimal(text: &[u8]) -> Option<u128> {
    text.iter().try_fold(0u128, |value, &digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

fn word(text: &[u8]) -> u128 {
    let hash = digest::digest(&digest::SHA256, text);
    hash.as_ref()
        .iter()
        .take(16)
        .fold(0, |bits, &byte| bits << 8 | u128::from(byte))
}
