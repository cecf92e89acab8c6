//! RFC 5769 and RFC 8489 appendix B.1, byte for byte, read and written.

#![cfg(test)]

use ring::{digest, hmac};
use stun::{Class, Key, LongTermKey, Message, TransactionId, Writer, attribute, method};

const USER: &str = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}";
/// As OpaqueString leaves it.
const PASSWORD: &str = "TheMatrIX";
const REALM: &str = "example.org";

const TRANSACTION: &str = "78ad3433c6ad72c029da412e";

/// RFC 5769 §2.4.
const LONG_TERM: &str = "000100602112a44278ad3433c6ad72c029da412e \
    00060012e3839ee38388e383aae38383e382afe382b90000 \
    0015001c662f2f3439396b3935346436 4f4c33346f4c39465354767936347341 \
    0014000b6578616d706c652e6f726700 00080014f67024656dd64a3e02b8e0712e85c9a28ca89666";

/// RFC 8489 appendix B.1 with erratum 6268.
const LONG_TERM_SHA256: &str = "000100902112a44278ad3433c6ad72c029da412e \
    001e00204a3cf38fef6992bda952c67804 17da0f24819415569e60b205c46e41407f1704 \
    001500296f624d61744a6f733241414143662f2f3439396b3935346436 4f4c33346f4c39465354767936347341000000 \
    0014000b6578616d706c652e6f726700 001d000400020000 \
    001c0020b5c7bf005b6c52a21c51c5e892f8192413629 6cb927c43149309278cc6518e65";

/// RFC 5769 §2.1 to §2.3; their padding is spaces, which a reader ignores and a writer must not write.
const SHORT_TERM: [&str; 3] = [
    "000100582112a442b7e7a701bc34d686fa87dfae 802200105354554e207465737420636c69656e74 002400046e0001ff \
     80290008932ff9b151263b36 000600096576746a3a68367659202020 00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2 \
     80280004e57a3bcf",
    "0101003c2112a442b7e7a701bc34d686fa87dfae 8022000b7465737420766563746f7220 002000080001a147e112a643 \
     00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7 80280004c07d4c96",
    "010100482112a442b7e7a701bc34d686fa87dfae 8022000b7465737420766563746f7220 \
     002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9 00080014 a382954e4be67bf11784c97c8292c275bfe3ed41 \
     80280004c8fb0b4c",
];

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

fn transaction(hex: &str) -> TransactionId {
    bytes(hex).try_into().expect("12 bytes")
}

#[test]
fn rfc_5769_2_4_is_read() {
    let datagram = bytes(LONG_TERM);
    let message = Message::parse(&datagram).expect("well formed");
    assert_eq!((message.class(), message.method()), (Class::Request, method::BINDING));
    assert_eq!(message.username(), Some(USER.as_bytes()));
    assert_eq!(message.attribute(attribute::REALM), Some(REALM.as_bytes()));
    assert_eq!(
        message.attribute(attribute::NONCE),
        Some(&b"f//499k954d6OL34oL9FSTvy64sA"[..])
    );
    let key = |password: &str| LongTermKey::new(USER.as_bytes(), REALM.as_bytes(), password.as_bytes());
    assert!(message.verify(&mut key(PASSWORD)));
    assert!(!message.verify(&mut key("TheMatrix")));
    assert!(
        !message.verify(&mut Key::new(PASSWORD.as_bytes())),
        "no short-term credential"
    );
}

#[test]
fn rfc_5769_2_4_is_written() {
    let mut buffer = [0xEE; 256];
    let mut writer = Writer::new(&mut buffer, Class::Request, method::BINDING, transaction(TRANSACTION)).expect("room");
    writer.attribute(attribute::USERNAME, USER.as_bytes()).expect("room");
    writer
        .attribute(attribute::NONCE, b"f//499k954d6OL34oL9FSTvy64sA")
        .expect("room");
    writer.attribute(attribute::REALM, REALM.as_bytes()).expect("room");
    let mut key = LongTermKey::new(USER.as_bytes(), REALM.as_bytes(), PASSWORD.as_bytes());
    writer.integrity(&mut key).expect("room");
    let len = writer.finish();
    assert_eq!(&buffer[..len], &bytes(LONG_TERM)[..]);
}

/// We neither make nor judge SHA-256, but we read past it and can carry it.
#[test]
fn rfc_8489_b_1_is_read_and_written() {
    let datagram = bytes(LONG_TERM_SHA256);
    let message = Message::parse(&datagram).expect("well formed");
    let nonce = b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA";
    let user_hash = digest::digest(&digest::SHA256, format!("{USER}:{REALM}").as_bytes());
    assert_eq!(message.attribute(0x001E), Some(user_hash.as_ref()), "USERHASH");
    assert_eq!(message.attribute(attribute::NONCE), Some(&nonce[..]));
    assert_eq!(message.attribute(0x001D), Some(&[0, 2, 0, 0][..]), "PASSWORD-ALGORITHM");
    assert!(!message.has_integrity() && !message.has_fingerprint());
    let key = digest::digest(&digest::SHA256, format!("{USER}:{REALM}:{PASSWORD}").as_bytes());
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_ref());
    // The length counts the attribute that is being made: it is the last.
    let signed = &datagram[..datagram.len() - 36];
    let tag = message.attribute(attribute::MESSAGE_INTEGRITY_SHA256).expect("a tag");
    hmac::verify(&key, signed, tag).expect("the tag is right");

    let mut buffer = [0xEE; 256];
    let mut writer = Writer::new(&mut buffer, Class::Request, method::BINDING, transaction(TRANSACTION)).expect("room");
    writer.attribute(0x001E, user_hash.as_ref()).expect("room");
    writer.attribute(attribute::NONCE, nonce).expect("room");
    writer.attribute(attribute::REALM, REALM.as_bytes()).expect("room");
    writer.attribute(0x001D, &[0, 2, 0, 0]).expect("room");
    writer
        .attribute(attribute::MESSAGE_INTEGRITY_SHA256, hmac::sign(&key, signed).as_ref())
        .expect("room");
    let len = writer.finish();
    assert_eq!(&buffer[..len], &datagram[..]);
}

/// Their padding is spaces and they signed it, so tag and CRC of what we write differ; all else is the same.
#[test]
fn rfc_5769_2_1_to_2_3_are_written_with_zeros_for_padding() {
    for hex in SHORT_TERM {
        let datagram = bytes(hex);
        let message = Message::parse(&datagram).expect("well formed");
        let mut key = Key::new(b"VOkJxbRl1RmTxUk/WvJxBt");
        assert!(message.verify(&mut key) && message.has_fingerprint());
        let mut buffer = [0xEE; 256];
        let mut writer =
            Writer::new(&mut buffer, message.class(), message.method(), message.transaction()).expect("room");
        let mut padding = Vec::new();
        let mut at = 20;
        for one in message.attributes() {
            match message.xor_mapped_address() {
                Some(address) if one.kind == attribute::XOR_MAPPED_ADDRESS => writer.xor_mapped_address(address),
                _ => writer.attribute(one.kind, one.value),
            }
            .expect("room");
            at += 4 + one.value.len().next_multiple_of(4);
            padding.extend(at - (one.value.len().next_multiple_of(4) - one.value.len())..at);
        }
        writer.integrity(&mut key).expect("room");
        writer.fingerprint().expect("room");
        let len = writer.finish();
        let written = &buffer[..len];
        assert_eq!(written.len(), datagram.len());
        for (place, (ours, theirs)) in written[..at + 4].iter().zip(&datagram).enumerate() {
            let expected = if padding.contains(&place) { 0 } else { *theirs };
            assert_eq!(*ours, expected, "byte {place}");
        }
        let again = Message::parse(written).expect("well formed");
        assert!(again.verify(&mut key) && again.has_fingerprint());
    }
}
