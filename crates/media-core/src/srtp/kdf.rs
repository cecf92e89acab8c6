//! Key derivation: AES in counter mode over the master salt (RFC 3711 §4.3, RFC 7714 §11).
//!
//! The key derivation rate is always 0, as DTLS-SRTP has it.

use rtc_crypto::{BlockCipherAlgorithm, RTCCrypto};

use super::{Traffic, WrongKeys};

/// Longest derived key in bytes: AES-256.
pub(super) const KEY_BYTES_MAX: usize = 32;
/// Bytes of an AES block.
const BLOCK: usize = 16;
/// Where the label lies in the counter block: the 56-bit `label || index` ends at byte 13, its first byte is 7.
const LABEL_AT: usize = 7;

/// What a derived key is for; the numbers are those of RFC 3711 §4.3.1 and §4.3.2.
#[derive(Clone, Copy)]
pub(super) enum Use {
    Encryption,
    Authentication,
    Salt,
}

fn label(traffic: Traffic, what: Use) -> u8 {
    match (traffic, what) {
        (Traffic::Rtp, Use::Encryption) => 0,
        (Traffic::Rtp, Use::Authentication) => 1,
        (Traffic::Rtp, Use::Salt) => 2,
        (Traffic::Rtcp, Use::Encryption) => 3,
        (Traffic::Rtcp, Use::Authentication) => 4,
        (Traffic::Rtcp, Use::Salt) => 5,
    }
}

/// Fills `out` (at most [`KEY_BYTES_MAX`] bytes) with a session key. A master key of 32 bytes uses the AES-256 PRF
/// (RFC 6188 §3). `salt`: 12 or 14 bytes; shorter ones are padded with zeros on the right.
pub(super) fn derive(
    crypto: &dyn RTCCrypto,
    traffic: Traffic,
    what: Use,
    key: &[u8],
    salt: &[u8],
    out: &mut [u8],
) -> Result<(), WrongKeys> {
    if salt.len() > BLOCK - 2 || out.len() > KEY_BYTES_MAX {
        return Err(WrongKeys);
    }
    let cipher = match key.len() {
        16 => BlockCipherAlgorithm::Aes128,
        32 => BlockCipherAlgorithm::Aes256,
        _ => return Err(WrongKeys),
    };
    let mut counter = [0u8; BLOCK];
    counter[..salt.len()].copy_from_slice(salt);
    counter[LABEL_AT] ^= label(traffic, what);
    for (number, chunk) in out.chunks_mut(BLOCK).enumerate() {
        let mut block = counter;
        block[BLOCK - 1] = number as u8;
        crypto.block_encrypt(cipher, key, &mut block)?;
        chunk.copy_from_slice(&block[..chunk.len()]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc_crypto::default_provider;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }

    fn check(traffic: Traffic, what: Use, key: &str, salt: &str, expected: &str) {
        let provider = default_provider().unwrap();
        let expected = hex(expected);
        let mut out = vec![0; expected.len()];
        derive(provider.crypto(), traffic, what, &hex(key), &hex(salt), &mut out).unwrap();
        assert_eq!(out, expected);
    }

    #[test]
    fn rfc_3711_b3_session_keys() {
        let (key, salt) = ("E1F97A0D3E018BE0D64FA32C06DE4139", "0EC675AD498AFEEBB6960B3AABE6");
        let of = |what, expected| check(Traffic::Rtp, what, key, salt, expected);
        of(Use::Encryption, "C61E7A93744F39EE10734AFE3FF7A087");
        of(Use::Salt, "30CBBC08863D8C85D49DB34A9AE1");
        of(Use::Authentication, "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4");
    }

    #[test]
    fn rfc_6188_7_2_session_keys_of_aes_256() {
        let (key, salt) = (
            "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6",
            "3b04803de51ee7c96423ab5b78d2",
        );
        let of = |what, expected| check(Traffic::Rtp, what, key, salt, expected);
        of(
            Use::Encryption,
            "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4",
        );
        of(Use::Salt, "fa31791685ca444a9e07c6c64e93");
        of(Use::Authentication, "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05");
    }

    #[test]
    fn other_lengths_are_refused() {
        let provider = default_provider().unwrap();
        let mut out = [0; 16];
        let go = |key: &[u8], salt: &[u8], out: &mut [u8]| {
            derive(provider.crypto(), Traffic::Rtp, Use::Salt, key, salt, out)
        };
        assert_eq!(go(&[0; 24], &[0; 14], &mut out), Err(WrongKeys));
        assert_eq!(go(&[0; 16], &[0; 15], &mut out), Err(WrongKeys));
        assert_eq!(go(&[0; 16], &[0; 14], &mut [0; 33]), Err(WrongKeys));
    }
}
