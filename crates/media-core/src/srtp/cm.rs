//! AES_CM_128_HMAC_SHA1_80: counter mode and a tag of 80 bits (RFC 3711 §4.1.1, §4.2.1).
//!
//! The tag is verified before anything is decrypted.

use rtc_crypto::{HmacAlgorithm, Mac, RTCCrypto, StreamCipher, StreamCipherAlgorithm, constant_time_eq};

use super::kdf::{self, Use};
use super::{Refused, Traffic, WrongKeys};

/// Bytes of the tag on the wire.
pub(super) const TAG: usize = 10;
/// Bytes of an HMAC-SHA1 before it is cut.
const SHA1: usize = 20;
/// Bytes of the session salt.
const SALT: usize = 14;
/// Bytes of the counter block.
const IV: usize = 16;

/// One keyed direction.
pub(super) struct Cm {
    cipher: Box<dyn StreamCipher>,
    mac: Box<dyn Mac>,
    salt: [u8; SALT],
}

impl Cm {
    pub(super) fn new(crypto: &dyn RTCCrypto, traffic: Traffic, key: &[u8], salt: &[u8]) -> Result<Cm, WrongKeys> {
        let mut session_key = [0u8; 16];
        kdf::derive(crypto, traffic, Use::Encryption, key, salt, &mut session_key)?;
        let mut authentication = [0u8; SHA1];
        kdf::derive(crypto, traffic, Use::Authentication, key, salt, &mut authentication)?;
        let mut session_salt = [0u8; SALT];
        kdf::derive(crypto, traffic, Use::Salt, key, salt, &mut session_salt)?;
        Ok(Cm {
            cipher: crypto.new_stream_cipher(StreamCipherAlgorithm::Aes128Ctr, &session_key)?,
            mac: crypto.new_hmac(HmacAlgorithm::Sha1, &authentication)?,
            salt: session_salt,
        })
    }

    /// Applies the keystream of `(ssrc, index)` to `body`: the same operation seals and opens (RFC 3711 §4.1.1).
    pub(super) fn apply(&mut self, ssrc: u32, index: u64, body: &mut [u8]) -> Result<(), Refused> {
        let mut iv = (u128::from(ssrc) << 64 | u128::from(index) << 16).to_be_bytes();
        for (byte, salt) in iv.iter_mut().zip(self.salt) {
            *byte ^= salt;
        }
        let iv: [u8; IV] = iv;
        self.cipher.apply_keystream(&iv, body).map_err(|_| Refused::Malformed)
    }

    /// The tag over `packet` and `suffix`: the roll-over count for RTP, nothing for RTCP.
    pub(super) fn tag(&mut self, packet: &[u8], suffix: &[u8]) -> [u8; TAG] {
        let mut whole = [0u8; SHA1];
        self.mac
            .sign(&[packet, suffix], &mut whole)
            .expect("the tag buffer has the length of an HMAC-SHA1 tag");
        let [tag @ .., _, _, _, _, _, _, _, _, _, _] = whole;
        tag
    }

    pub(super) fn verify(&mut self, packet: &[u8], suffix: &[u8], tag: &[u8]) -> Result<(), Refused> {
        if constant_time_eq(&self.tag(packet, suffix), tag) {
            Ok(())
        } else {
            Err(Refused::NotAuthentic)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc_crypto::default_provider;

    #[test]
    fn rfc_3711_b2_keystream() {
        let provider = default_provider().unwrap();
        let crypto = provider.crypto();
        let key = 0x2B7E_1516_28AE_D2A6_ABF7_1588_09CF_4F3C_u128.to_be_bytes();
        let mut cm = Cm {
            cipher: crypto
                .new_stream_cipher(StreamCipherAlgorithm::Aes128Ctr, &key)
                .unwrap(),
            mac: crypto.new_hmac(HmacAlgorithm::Sha1, &[0; 20]).unwrap(),
            salt: [
                0xF0, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8, 0xF9, 0xFA, 0xFB, 0xFC, 0xFD,
            ],
        };
        let mut stream = [0u8; 48];
        cm.apply(0, 0, &mut stream).unwrap();
        let expected = [
            0xE03E_AD09_35C9_5E80_E166_B16D_D92B_4EB4_u128,
            0xD235_1316_2B02_D0F7_2A43_A2FE_4A5F_97AB,
            0x41E9_5B3B_B0A2_E8DD_4779_01E4_FCA8_94C0,
        ];
        for (block, expected) in stream.chunks(16).zip(expected) {
            assert_eq!(block, expected.to_be_bytes());
        }
    }
}
