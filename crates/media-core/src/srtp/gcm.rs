//! The AEAD profiles: AES-GCM with a 16-byte tag (RFC 7714).
//!
//! The keyed state is the provider's own and stands here, not behind the provider's interface, which would put each into a box of
//! its own: one more place that a packet waits for, and in one more page.

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, Tag, UnboundKey};
use rtc_crypto::RTCCrypto;

use super::kdf::{self, KEY_BYTES_MAX, Use};
use super::{Profile, Refused, Traffic, WrongKeys};

/// Bytes of the tag.
pub(super) const TAG: usize = 16;
/// Bytes of salt and nonce.
const NONCE: usize = 12;

/// What a packet of up to 127 bytes reads of the provider's key for AES-128 on a processor with VAES, in bytes from its start
/// on: the powers of its hash key, and its round keys. What lies between them is for longer packets and longer keys, and comes
/// when it is touched, as anything does that stands elsewhere on other processors.
pub(super) const HOT: [(usize, usize); 2] = [(0, 192), (256, 192)];
/// From here on every packet needs all: the number of rounds, and what follows the key.
pub(super) const HOT_FROM: usize = 512;

/// One keyed direction.
#[repr(C)]
pub(super) struct Gcm {
    key: LessSafeKey,
    salt: [u8; NONCE],
}

impl Gcm {
    pub(super) fn new(
        crypto: &dyn RTCCrypto,
        profile: Profile,
        traffic: Traffic,
        key: &[u8],
        salt: &[u8],
    ) -> Result<Gcm, WrongKeys> {
        let algorithm = match profile {
            Profile::AeadAes128Gcm => &AES_128_GCM,
            Profile::AeadAes256Gcm => &AES_256_GCM,
            Profile::AesCm128Sha1 => return Err(WrongKeys),
        };
        let mut session_key = [0u8; KEY_BYTES_MAX];
        let session_key = &mut session_key[..profile.key_len()];
        kdf::derive(crypto, traffic, Use::Encryption, key, salt, session_key)?;
        let mut session_salt = [0u8; NONCE];
        kdf::derive(crypto, traffic, Use::Salt, key, salt, &mut session_salt)?;
        Gcm::with_session_keys(algorithm, session_key, session_salt)
    }

    /// From keys that were derived already: RFC 7714 gives its vectors so.
    pub(super) fn with_session_keys(
        algorithm: &'static Algorithm,
        key: &[u8],
        salt: [u8; NONCE],
    ) -> Result<Gcm, WrongKeys> {
        let key = UnboundKey::new(algorithm, key).map_err(|_| WrongKeys)?;
        Ok(Gcm {
            key: LessSafeKey::new(key),
            salt,
        })
    }

    /// The nonce of RTP (RFC 7714 §8.1): two zero bytes, SSRC, 48-bit index, xor salt.
    pub(super) fn rtp_nonce(&self, ssrc: u32, index: u64) -> [u8; NONCE] {
        self.nonce(u128::from(ssrc) << 48 | u128::from(index))
    }

    /// The nonce of RTCP (RFC 7714 §9.1): two zero bytes, SSRC, two zero bytes, 31-bit index, xor salt.
    pub(super) fn rtcp_nonce(&self, ssrc: u32, index: u32) -> [u8; NONCE] {
        self.nonce(u128::from(ssrc) << 48 | u128::from(index))
    }

    fn nonce(&self, value: u128) -> [u8; NONCE] {
        let [_, _, _, _, nonce @ ..] = value.to_be_bytes();
        let mut nonce: [u8; NONCE] = nonce;
        for (byte, salt) in nonce.iter_mut().zip(self.salt) {
            *byte ^= salt;
        }
        nonce
    }

    /// Encrypts `body` and writes the tag, which must have [`TAG`] bytes.
    pub(super) fn seal(&self, nonce: &[u8; NONCE], aad: &[u8], body: &mut [u8], tag: &mut [u8]) -> Result<(), Refused> {
        let tag: &mut [u8; TAG] = tag.try_into().map_err(|_| Refused::NoRoom)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let sealed = self.key.seal_in_place_separate_tag(nonce, Aad::from(aad), body);
        tag.copy_from_slice(sealed.map_err(|_| Refused::NoRoom)?.as_ref());
        Ok(())
    }

    /// Authenticates and decrypts `body`.
    pub(super) fn open(&self, nonce: &[u8; NONCE], aad: &[u8], body: &mut [u8], tag: &[u8]) -> Result<(), Refused> {
        let tag = Tag::try_from(tag).map_err(|_| Refused::NotAuthentic)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self
            .key
            .open_in_place_separate_tag(nonce, Aad::from(aad), tag, body, 0..);
        opened.map(|_| ()).map_err(|_| Refused::NotAuthentic)
    }
}
