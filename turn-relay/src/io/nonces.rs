//! When a worker takes another key for its nonces.
//!
//! A nonce is good for ten minutes and only for the address it was given to, so the key before is all that must be kept,
//! and each worker may change its own.

use ring::rand::{SecureRandom, SystemRandom};

use crate::core::NonceKey;

/// Nanoseconds that a key is used: a day. Shorter gains nothing, since nobody learns a key from its nonces; for ever would
/// let one that leaked with a dump of memory count as long as the process lives.
const KEY_NS_MAX: u64 = 86_400_000_000_000;

/// The number of the key in use, and since when.
#[derive(Debug)]
pub(crate) struct NonceKeys {
    id: u8,
    since_ns: u64,
}

impl NonceKeys {
    /// The first key, number 0, is in use since `now_ns`.
    pub(crate) fn new(now_ns: u64) -> NonceKeys {
        NonceKeys {
            id: 0,
            since_ns: now_ns,
        }
    }

    /// Another key, once the one in use is too old.
    pub(crate) fn due(&mut self, now_ns: u64) -> Option<NonceKey> {
        if now_ns.saturating_sub(self.since_ns) < KEY_NS_MAX {
            return None;
        }
        self.fresh(now_ns)
    }

    /// Another key at once; `None` without randomness.
    pub(crate) fn fresh(&mut self, now_ns: u64) -> Option<NonceKey> {
        let mut key = [0; 32];
        // Without randomness the old one is better than one that can be guessed.
        SystemRandom::new().fill(&mut key).ok()?;
        self.since_ns = now_ns;
        self.id = (self.id + 1) % 4;
        Some(NonceKey::new(self.id, &key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_exchanged_after_a_day_and_not_before() {
        let mut keys = NonceKeys::new(5);
        assert!(keys.due(5).is_none());
        assert!(keys.due(5 + KEY_NS_MAX - 1).is_none());
        let mut seen = Vec::new();
        for day in 1..=5 {
            assert!(keys.due(5 + day * KEY_NS_MAX).is_some());
            assert!(keys.due(5 + day * KEY_NS_MAX).is_none());
            seen.push(keys.id);
        }
        assert_eq!(seen, [1, 2, 3, 0, 1], "two bits of a nonce say which key");
    }
}
