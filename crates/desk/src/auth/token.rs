//! Opaque bearer tokens of our own: 256 random bits with a prefix that says what they are.
//!
//! Only the SHA-256 of a token is kept anywhere; the text goes to its owner once. `Debug` prints nothing of it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// SHA-256 of the random bytes: what is stored and compared. A leaked digest opens nothing.
pub type Digest = [u8; 32];

/// What a token is for; the prefix keeps one kind from being tried as another, and lets a secret scanner find a leak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A signed-in member of staff.
    StaffSession,
    /// One WebSocket of one customer's call.
    Ticket,
    /// The cookie of a customer's call.
    Pass,
    /// Opens line tests for one visitor.
    Link,
}

impl Kind {
    /// Every kind.
    const ALL: [Kind; 4] = [Kind::StaffSession, Kind::Ticket, Kind::Pass, Kind::Link];

    /// The first letters of the text form.
    const fn prefix(self) -> &'static str {
        match self {
            Kind::StaffSession => "hls_",
            Kind::Ticket => "hlt_",
            Kind::Pass => "hlp_",
            Kind::Link => "hll_",
        }
    }
}

/// A token as its owner holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    kind: Kind,
    bytes: [u8; 32],
}

impl Token {
    /// `bytes` come from a cryptographic random source.
    pub const fn new(kind: Kind, bytes: [u8; 32]) -> Self {
        Self { kind, bytes }
    }

    /// Reads the text form; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let kind = Kind::ALL.into_iter().find(|kind| text.starts_with(kind.prefix()))?;
        let bytes = URL_SAFE_NO_PAD.decode(&text[kind.prefix().len()..]).ok()?;
        Some(Self {
            kind,
            bytes: bytes.try_into().ok()?,
        })
    }

    /// What it is for.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What is stored of it.
    pub fn digest(&self) -> Digest {
        sha256(&self.bytes)
    }

    /// The text for its owner; spelt out so that a reader sees the secret leave its wrapper.
    pub fn expose(&self) -> String {
        format!("{}{}", self.kind.prefix(), URL_SAFE_NO_PAD.encode(self.bytes))
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({:?}, …)", self.kind)
    }
}

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> Digest {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}

/// True when both are equal; takes the same time wherever they differ.
pub fn same_digest(a: &Digest, b: &Digest) -> bool {
    let difference = a.iter().zip(b).fold(0_u8, |sum, (x, y)| sum | (x ^ y));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_text_form_and_hides_itself() {
        let token = Token::new(Kind::StaffSession, [0xA5; 32]);
        let text = token.expose();
        assert!(text.starts_with("hls_"), "{text}");
        assert_eq!(Token::parse(&text), Some(token.clone()));
        assert_eq!(format!("{token:?}"), "Token(StaffSession, …)");
    }

    #[test]
    fn other_texts_are_no_tokens() {
        for text in ["", "hls_", "hls_AAAA", "hlx_", "a.b.c", "hls_é", "hlt_====", "hls_ A"] {
            assert_eq!(Token::parse(text), None, "{text}");
        }
        let long = format!("hls_{}", "A".repeat(44));
        assert_eq!(Token::parse(&long), None);
    }

    #[test]
    fn digests_compare_by_every_byte() {
        let a = sha256(b"a");
        let mut b = a;
        assert!(same_digest(&a, &b));
        b[31] ^= 1;
        assert!(!same_digest(&a, &b));
    }
}
