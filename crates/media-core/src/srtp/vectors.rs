//! Whole packets of the standards, both ways: RFC 7714 §16 and §17 (from session keys), and known packets of the
//! same master keys as RFC 3711 appendix B.3 for the chain from master key to packet.

use ring::aead::{AES_128_GCM, AES_256_GCM};

use super::gcm::Gcm;
use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

/// Both directions under the same keys, so that one opens what the other seals.
fn pair(cipher: impl Fn() -> Cipher, tag: usize) -> (Inbound, Outbound) {
    let profile = if tag == 16 {
        Profile::AeadAes128Gcm
    } else {
        Profile::AesCm128Sha1
    };
    let (key, salt) = (vec![0; profile.key_len()], vec![0; profile.salt_len()]);
    let mut inbound = Inbound::new(profile, &key, &salt).unwrap();
    let mut outbound = Outbound::new(profile, &key, &salt).unwrap();
    inbound.replace_ciphers(cipher(), cipher());
    outbound.replace_ciphers(cipher(), cipher());
    (inbound, outbound)
}

fn rtp_both_ways(inbound: &mut Inbound, outbound: &mut Outbound, plain: &str, sealed: &str, index: u64) {
    let (plain, sealed) = (hex(plain), hex(sealed));
    let mut buffer = plain.clone();
    buffer.resize(plain.len() + RTP_OVERHEAD_MAX, 0);
    let len = outbound.seal_rtp(&mut buffer, plain.len(), index).unwrap();
    assert_eq!(buffer[..len], sealed);
    let mut buffer = sealed;
    let opened = inbound.open_rtp(&mut buffer).unwrap();
    assert_eq!(opened.index, index);
    assert_eq!(buffer[..opened.len], plain);
}

fn rtcp_both_ways(inbound: &mut Inbound, outbound: &mut Outbound, plain: &str, sealed: &str, index: u32) {
    let (plain, sealed) = (hex(plain), hex(sealed));
    let mut buffer = plain.clone();
    buffer.resize(plain.len() + RTCP_OVERHEAD_MAX, 0);
    outbound.set_rtcp_index(index);
    let len = outbound.seal_rtcp(&mut buffer, plain.len()).unwrap();
    assert_eq!(buffer[..len], sealed);
    let mut buffer = sealed;
    let len = inbound.open_rtcp(&mut buffer).unwrap();
    assert_eq!(buffer[..len], plain);
}

/// RFC 7714 §16, §17: keys 00 01 02 …, salt "Quid pro quo".
fn rfc_7714(key_len: usize) -> (Inbound, Outbound) {
    let algorithm = if key_len == 32 { &AES_256_GCM } else { &AES_128_GCM };
    let key: Vec<u8> = (0..key_len as u8).collect();
    let cipher = || Cipher::Gcm(Gcm::with_session_keys(algorithm, &key, *b"Quid pro quo").unwrap());
    pair(cipher, 16)
}

const GALLIA: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070
    61727465 73207472 6573";
const REPORT: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef
    deadbeef deadbeef deadbeef";

#[test]
fn rfc_7714_16_1_1_aead_aes_128_gcm() {
    let (mut inbound, mut outbound) = rfc_7714(16);
    let sealed = "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a
        51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce";
    rtp_both_ways(&mut inbound, &mut outbound, GALLIA, sealed, 0xF17B);
}

#[test]
fn rfc_7714_16_2_1_aead_aes_256_gcm() {
    let (mut inbound, mut outbound) = rfc_7714(32);
    let sealed = "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02
        76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13";
    rtp_both_ways(&mut inbound, &mut outbound, GALLIA, sealed, 0xF17B);
}

#[test]
fn rfc_7714_17_1_srtcp_aead_aes_128_gcm() {
    let (mut inbound, mut outbound) = rfc_7714(16);
    let sealed = "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda
        4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4";
    rtcp_both_ways(&mut inbound, &mut outbound, REPORT, sealed, 0x5D4);
}

/// From the master key on, so that the derivation for GCM (14-byte padding of a 12-byte salt) is in it.
#[test]
fn aead_aes_128_gcm_from_the_master_key() {
    let (key, salt) = (hex("000102030405060708090a0b0c0d0e0f"), hex("a0a1a2a3a4a5a6a7a8a9aaab"));
    let mut inbound = Inbound::new(Profile::AeadAes128Gcm, &key, &salt).unwrap();
    let mut outbound = Outbound::new(Profile::AeadAes128Gcm, &key, &salt).unwrap();
    let plain = "800f1234 decafbad cafebabe abababab abababab abababab abababab";
    let sealed = "800f1234 decafbad cafebabe c5002ede 04cfdd2e b91159e0 880aa06e d2976826 f796b201 df3131a1
        27e8a392";
    rtp_both_ways(&mut inbound, &mut outbound, plain, sealed, 0x1234);
}

#[test]
fn aes_cm_128_hmac_sha1_80_from_the_master_key() {
    let (key, salt) = (
        hex("e1f97a0d3e018be0d64fa32c06de4139"),
        hex("0ec675ad498afeebb6960b3aabe6"),
    );
    let mut inbound = Inbound::new(Profile::AesCm128Sha1, &key, &salt).unwrap();
    let mut outbound = Outbound::new(Profile::AesCm128Sha1, &key, &salt).unwrap();
    let plain = "800f1234 decafbad cafebabe abababab abababab abababab abababab";
    let sealed = "800f1234 decafbad cafebabe 4e55dc4c e79978d8 8ca4d215 949d2402 b78d6acc 99ea179b 8dbb";
    rtp_both_ways(&mut inbound, &mut outbound, plain, sealed, 0x1234);
    let plain = "81c8000b cafebabe abababab abababab abababab abababab";
    let sealed = "81c8000b cafebabe 7128035b e487b9bd bef89041 f977a5a8 80000001 993e08cd 54d6c123 0798";
    rtcp_both_ways(&mut inbound, &mut outbound, plain, sealed, 1);
}
