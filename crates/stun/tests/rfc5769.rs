//! The test vectors of RFC 5769 §2.1 to §2.3: a request, and responses over IPv4 and IPv6.

#![cfg(test)]

use stun::{Class, Key, Malformed, Message, attribute, method};

const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";
const TRANSACTION: &str = "b7e7a701bc34d686fa87dfae";

const REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae\
    802200105354554e207465737420636c69656e74 002400046e0001ff 80290008932ff9b151263b36\
    000600096576746a3a68367659202020 000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2 80280004e57a3bcf";
const RESPONSE_V4: &str = "0101003c2112a442b7e7a701bc34d686fa87dfae 8022000b7465737420766563746f7220\
    002000080001a147e112a643 000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7 80280004c07d4c96";
const RESPONSE_V6: &str = "010100482112a442b7e7a701bc34d686fa87dfae 8022000b7465737420766563746f7220\
    002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9 00080014a382954e4be67bf11784c97c8292c275bfe3ed41\
    80280004c8fb0b4c";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

#[test]
fn the_sample_request_is_read_and_verified() {
    let datagram = bytes(REQUEST);
    let message = Message::parse(&datagram).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Request, method::BINDING));
    assert_eq!(message.transaction().to_vec(), bytes(TRANSACTION));
    assert_eq!(message.username(), Some(&b"evtj:h6vY"[..]));
    assert_eq!(message.priority(), Some(0x6e00_01ff));
    assert_eq!(
        message.attribute(attribute::ICE_CONTROLLED),
        Some(&bytes("932ff9b151263b36")[..])
    );
    assert_eq!(message.attribute(attribute::SOFTWARE), Some(&b"STUN test client"[..]));
    assert!(message.has_fingerprint() && !message.use_candidate());
    assert!(message.verify(&mut Key::new(PASSWORD)));
    assert!(!message.verify(&mut Key::new(b"another password entirely")));
}

#[test]
fn the_sample_responses_give_the_mapped_addresses() {
    for (hex, address) in [
        (RESPONSE_V4, "192.0.2.1:32853"),
        (RESPONSE_V6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
    ] {
        let datagram = bytes(hex);
        let message = Message::parse(&datagram).unwrap();
        assert_eq!((message.class(), message.method()), (Class::Success, method::BINDING));
        assert_eq!(message.xor_mapped_address(), Some(address.parse().unwrap()));
        assert!(message.verify(&mut Key::new(PASSWORD)));
    }
}

#[test]
fn a_flip_of_any_signed_bit_is_noticed() {
    let good = bytes(REQUEST);
    // The last eight bytes are FINGERPRINT: a flip in its type makes it another attribute, which nobody signed.
    for position in 0..(good.len() - 8) * 8 {
        let mut datagram = good.clone();
        datagram[position / 8] ^= 1 << (position % 8);
        let genuine = Message::parse(&datagram).is_ok_and(|message| message.verify(&mut Key::new(PASSWORD)));
        assert!(!genuine, "bit {position}");
    }
}

#[test]
fn every_truncation_is_malformed() {
    let good = bytes(REQUEST);
    for length in 0..good.len() {
        assert!(Message::parse(&good[..length]).is_err(), "{length} bytes");
    }
    let longer = [&good[..], &[0; 4]].concat();
    assert_eq!(Message::parse(&longer).unwrap_err(), Malformed::Length);
}
