//! Nonces that the server does not remember: 16 characters that say when and for whom they were made.
//!
//! Invariant: nothing is stored per nonce, request or source. Whoever shows a valid one has received it at the address
//! he sends from.

use std::net::{IpAddr, SocketAddr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;

/// Characters of a nonce: 4 bytes of stamp and 8 of MAC in base64url.
pub(crate) const NONCE_BYTES: usize = 16;

/// Seconds for which a nonce is good. Higher: a captured one lives longer. Lower: libwebrtc is asked again at every
/// refresh.
pub const NONCE_AGE_S_MAX: u32 = 600;

/// Bits of the stamp that are seconds; they wrap after 34 years.
const STAMP_MASK: u32 = (1 << 30) - 1;

/// A key and its number; a new one overlaps with the one before.
#[derive(Clone)]
pub struct NonceKey {
    id: u8,
    key: hmac::Key,
}

impl NonceKey {
    /// `id`: 0 to 3, higher bits are cut off. `key`: random, the same for all workers of a process or fleet.
    #[must_use]
    pub fn new(id: u8, key: &[u8; 32]) -> NonceKey {
        NonceKey {
            id: id & 3,
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
        }
    }

    fn mac(&self, stamp: [u8; 4], from: SocketAddr) -> [u8; 8] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&stamp);
        match from.ip() {
            IpAddr::V4(v4) => context.update(&v4.octets()),
            IpAddr::V6(v6) => context.update(&v6.octets()),
        }
        context.update(&from.port().to_be_bytes());
        let mut mac = [0; 8];
        mac.copy_from_slice(&context.sign().as_ref()[..8]);
        mac
    }
}

impl std::fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NonceKey({}, ..)", self.id)
    }
}

/// Makes and judges nonces.
#[derive(Clone, Debug)]
pub(crate) struct Nonces {
    current: NonceKey,
    previous: Option<NonceKey>,
}

impl Nonces {
    pub(crate) fn new(key: NonceKey) -> Nonces {
        Nonces {
            current: key,
            previous: None,
        }
    }

    /// From now on made with `key`; those made with the one before count until they are too old.
    pub(crate) fn rotate(&mut self, key: NonceKey) {
        self.previous = Some(std::mem::replace(&mut self.current, key));
    }

    pub(crate) fn make(&self, unix_s: u64, from: SocketAddr) -> [u8; NONCE_BYTES] {
        let stamp = (u32::from(self.current.id) << 30 | (unix_s as u32 & STAMP_MASK)).to_be_bytes();
        let mut raw = [0; 12];
        raw[..4].copy_from_slice(&stamp);
        raw[4..].copy_from_slice(&self.current.mac(stamp, from));
        let mut text = [0; NONCE_BYTES];
        let written = URL_SAFE_NO_PAD.encode_slice(raw, &mut text);
        debug_assert_eq!(written.ok(), Some(NONCE_BYTES), "12 bytes are 16 in base64");
        text
    }

    /// The age in seconds; `None`: not ours, not for `from`, or older than [`NONCE_AGE_S_MAX`].
    pub(crate) fn age_s(&self, unix_s: u64, from: SocketAddr, nonce: &[u8]) -> Option<u32> {
        let mut raw = [0; 12];
        let text: &[u8; NONCE_BYTES] = nonce.try_into().ok()?;
        if URL_SAFE_NO_PAD.decode_slice(text, &mut raw).ok()? != raw.len() {
            return None;
        }
        let [s0, s1, s2, s3, mac @ ..] = raw;
        let stamp = [s0, s1, s2, s3];
        let id = s0 >> 6;
        let both = [Some(&self.current), self.previous.as_ref()];
        let key = both.into_iter().flatten().find(|key| key.id == id)?;
        // Eight bytes compared as one number: constant time.
        if u64::from_be_bytes(mac) != u64::from_be_bytes(key.mac(stamp, from)) {
            return None;
        }
        let age = (unix_s as u32).wrapping_sub(u32::from_be_bytes(stamp)) & STAMP_MASK;
        (age <= NONCE_AGE_S_MAX).then_some(age)
    }
}
