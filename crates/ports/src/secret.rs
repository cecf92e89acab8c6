//! A bearer secret that cannot be printed by accident.

use std::fmt;

/// 32 random bytes that stand for the right to speak and hear as one leg.
///
/// Shown to the browser once, as base64url without padding; media keeps only its SHA-256. `Debug` prints nothing of it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret([u8; Secret::BYTES]);

impl Secret {
    /// Length in bytes: 256 bits cannot be guessed, and the text form stays a short header value.
    pub const BYTES: usize = 32;

    /// Wraps bytes that came from a cryptographic random source, or that a client sent.
    pub const fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes themselves; spelt out so that a reader sees the secret leave its wrapper.
    pub const fn expose(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_does_not_print_itself() {
        assert_eq!(format!("{:?}", Secret::new([7; Secret::BYTES])), "Secret(…)");
    }
}
