//! A short-term credential, keyed once and used for every message of its session.
//!
//! The password itself is not kept. Never printable.

use rtc_crypto::{HmacAlgorithm, Mac, constant_time_eq, default_provider};
use std::fmt;

/// Bytes of an HMAC-SHA1 tag: the value of MESSAGE-INTEGRITY.
pub const INTEGRITY_BYTES: usize = 20;

/// What can make MESSAGE-INTEGRITY: a short-term [`Key`] or a [`crate::LongTermKey`].
pub trait Sign {
    /// The HMAC-SHA1 tag over the concatenation of `parts`.
    fn sign(&mut self, parts: &[&[u8]]) -> [u8; INTEGRITY_BYTES];
}

/// HMAC-SHA1 under one password (RFC 8489 §9.1.1: for short-term credentials the key is the password).
///
/// Movable between threads, not shareable: signing needs `&mut`.
pub struct Key(Box<dyn Mac>);

impl Key {
    /// Keys the HMAC; the only place of this crate that allocates.
    ///
    /// # Panics
    /// Never in practice: HMAC takes keys of any length and the provider is compiled in.
    #[must_use]
    pub fn new(password: &[u8]) -> Key {
        let provider = default_provider().expect("a crypto provider is compiled in");
        let mac = provider.crypto().new_hmac(HmacAlgorithm::Sha1, password);
        Key(mac.expect("HMAC-SHA1 takes keys of any length"))
    }
}

impl Sign for Key {
    fn sign(&mut self, parts: &[&[u8]]) -> [u8; INTEGRITY_BYTES] {
        let mut tag = [0u8; INTEGRITY_BYTES];
        self.0
            .sign(parts, &mut tag)
            .expect("the tag buffer has the length of an HMAC-SHA1 tag");
        tag
    }
}

/// Compares with the tag that came, in constant time.
pub(crate) fn verify(key: &mut impl Sign, parts: &[&[u8]], tag: &[u8]) -> bool {
    constant_time_eq(&key.sign(parts), tag)
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}
