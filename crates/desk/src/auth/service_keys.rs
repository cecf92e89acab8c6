//! Keys of other systems (the bank's back end, the load generator), from the configuration.
//!
//! Kept as digests; compared in constant time, all of them, so that the time says nothing about which one came close.

use super::token::{Digest, same_digest, sha256};

/// Shortest key in bytes: 256 bits in hexadecimal would be 64, in base64 43; 32 characters are the floor.
pub const KEY_BYTES_MIN: usize = 32;

/// Named keys.
#[derive(Default)]
pub struct ServiceKeys {
    keys: Vec<(String, Digest)>,
}

impl ServiceKeys {
    /// `pairs`: (name, key). `None` when a key is shorter than [`KEY_BYTES_MIN`].
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Option<Self> {
        let mut keys = Vec::new();
        for (name, key) in pairs {
            if key.len() < KEY_BYTES_MIN {
                return None;
            }
            keys.push((name, sha256(key.as_bytes())));
        }
        Some(Self { keys })
    }

    /// The name of the key that `presented` is.
    pub fn find(&self, presented: &str) -> Option<&str> {
        let digest = sha256(presented.as_bytes());
        let mut found = None;
        for (name, key) in &self.keys {
            if same_digest(key, &digest) {
                found = Some(name.as_str());
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_name_and_nothing_else_is() {
        let key = "k".repeat(KEY_BYTES_MIN);
        let keys = ServiceKeys::new([("bank".to_owned(), key.clone())]).unwrap();
        assert_eq!(keys.find(&key), Some("bank"));
        assert_eq!(keys.find(&key[1..]), None);
        assert_eq!(keys.find(""), None);
        assert!(ServiceKeys::new([("bank".to_owned(), key[1..].to_owned())]).is_none());
    }
}
