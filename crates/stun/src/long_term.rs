//! A long-term credential (RFC 8489 §9.2): 16 bytes, small enough to be kept with every allocation.
//!
//! Never printable. Signing allocates nothing.

use std::fmt;

use md5::{Digest, Md5};
use ring::hmac;

use crate::key::{INTEGRITY_BYTES, Sign};

/// The key of a user in a realm: MD5 of `user:realm:password`, used for HMAC-SHA1.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LongTermKey([u8; 16]);

impl LongTermKey {
    /// `user`, `realm`, `password`: as they stand in the message, nothing is normalised. Source: RFC 8489 §9.2.2.
    #[must_use]
    pub fn new(user: &[u8], realm: &[u8], password: &[u8]) -> LongTermKey {
        let mut hash = Md5::new();
        for part in [user, b":", realm, b":", password] {
            hash.update(part);
        }
        LongTermKey(hash.finalize().into())
    }
}

impl Sign for LongTermKey {
    fn sign(&mut self, parts: &[&[u8]]) -> [u8; INTEGRITY_BYTES] {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let mut context = hmac::Context::with_key(&key);
        for part in parts {
            context.update(part);
        }
        let mut tag = [0; INTEGRITY_BYTES];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }
}

impl fmt::Debug for LongTermKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LongTermKey(..)")
    }
}
