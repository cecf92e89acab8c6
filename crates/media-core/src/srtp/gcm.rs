//! The AEAD profiles: AES-GCM with a 16-byte tag (RFC 7714).

use rtc_crypto::{AeadAlgorithm, AeadCipher, RTCCrypto};

use crate::shard::Fetch;

use super::kdf::{self, KEY_BYTES_MAX, Use};
use super::{Profile, Refused, Traffic, WrongKeys};

/// Bytes of the tag.
pub(super) const TAG: usize = 16;
/// Bytes of salt and nonce.
const NONCE: usize = 12;

/// One keyed direction.
pub(super) struct Gcm {
    cipher: Box<dyn AeadCipher>,
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
            Profile::AeadAes128Gcm => AeadAlgorithm::Aes128Gcm,
            Profile::AeadAes256Gcm => AeadAlgorithm::Aes256Gcm,
            Profile::AesCm128Sha1 => return Err(WrongKeys),
        };
        let mut session_key = [0u8; KEY_BYTES_MAX];
        let session_key = &mut session_key[..profile.key_len()];
        kdf::derive(crypto, traffic, Use::Encryption, key, salt, session_key)?;
        let mut session_salt = [0u8; NONCE];
        kdf::derive(crypto, traffic, Use::Salt, key, salt, &mut session_salt)?;
        Gcm::with_session_keys(crypto, algorithm, session_key, session_salt)
    }

    /// From keys that were derived already: RFC 7714 gives its vectors so.
    pub(super) fn with_session_keys(
        crypto: &dyn RTCCrypto,
        algorithm: AeadAlgorithm,
        key: &[u8],
        salt: [u8; NONCE],
    ) -> Result<Gcm, WrongKeys> {
        let cipher = crypto.new_aead(algorithm, key)?;
        Ok(Gcm { cipher, salt })
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

    /// Fetches the keyed state.
    #[inline]
    pub(super) fn fetch(&self, fetch: Fetch) {
        let cipher: &dyn AeadCipher = &*self.cipher;
        fetch(std::ptr::from_ref(cipher).cast(), size_of_val(cipher));
    }

    /// Encrypts `body` and writes the tag, which must have [`TAG`] bytes.
    pub(super) fn seal(
        &mut self,
        nonce: &[u8; NONCE],
        aad: &[u8],
        body: &mut [u8],
        tag: &mut [u8],
    ) -> Result<(), Refused> {
        self.cipher
            .seal_in_place(nonce, aad, body, tag)
            .map_err(|_| Refused::NoRoom)
    }

    /// Authenticates and decrypts `body`.
    pub(super) fn open(&mut self, nonce: &[u8; NONCE], aad: &[u8], body: &mut [u8], tag: &[u8]) -> Result<(), Refused> {
        self.cipher
            .open_in_place(nonce, aad, body, tag)
            .map_err(|_| Refused::NotAuthentic)
    }
}
