//! What the writer writes, the reader reads; what stands behind the signature does not count.

#![cfg(test)]

use std::net::SocketAddr;
use stun::binding::{self, Check, KNOWN, REPLY_BYTES_MAX, Refusal, Role};
use stun::{Class, HEADER_BYTES, Key, Malformed, Message, NoRoom, Unknown, Writer, attribute, error_code, method};

const TRANSACTION: [u8; 12] = *b"twelve bytes";
const V4: &str = "198.51.100.7:50000";
const V6: &str = "[2001:db8::9]:50001";

fn check(nominate: bool) -> Check<'static> {
    Check {
        transaction: TRANSACTION,
        username: "ours:theirs",
        priority: 7,
        role: Role::Controlling(99),
        nominate,
    }
}

#[test]
fn a_check_and_its_answer_go_round() {
    for (address, nominate) in [(V4, false), (V6, true)] {
        let from: SocketAddr = address.parse().unwrap();
        let mut key = Key::new(b"a password of some length");
        let mut buffer = [0; 256];
        let length = binding::check(&mut buffer, &check(nominate), &mut key).unwrap();
        let request = Message::parse(&buffer[..length]).unwrap();
        assert!(request.verify(&mut key) && request.has_fingerprint());
        assert_eq!(request.use_candidate(), nominate);
        assert_eq!(request.username(), Some(&b"ours:theirs"[..]));
        assert_eq!(
            request.attribute(attribute::ICE_CONTROLLING),
            Some(&99u64.to_be_bytes()[..])
        );
        assert!(request.unknown(&KNOWN).is_empty());

        let mut reply = [0; REPLY_BYTES_MAX];
        let length = binding::success(&mut reply, request.transaction(), from, &mut key).unwrap();
        let answer = Message::parse(&reply[..length]).unwrap();
        assert_eq!((answer.class(), answer.transaction()), (Class::Success, TRANSACTION));
        assert_eq!(answer.xor_mapped_address(), Some(from));
        assert!(answer.verify(&mut key));
    }
}

#[test]
fn refusals_carry_their_number_and_the_unknown_types() {
    let mut key = Key::new(b"a password of some length");
    let mut buffer = [0; 256];
    let mut writer = Writer::new(&mut buffer, Class::Request, method::BINDING, TRANSACTION).unwrap();
    for kind in [0x7777, 0x0024, 0x0003, 0x8888] {
        writer.attribute(kind, b"xyz").unwrap();
    }
    let length = writer.finish();
    let unknown = Message::parse(&buffer[..length]).unwrap().unknown(&KNOWN);
    assert_eq!(unknown.kinds(), [0x7777, 0x0003]);

    let mut reply = [0; REPLY_BYTES_MAX];
    for (refusal, code) in [
        (Refusal::BadRequest, error_code::BAD_REQUEST),
        (Refusal::RoleConflict, error_code::ROLE_CONFLICT),
        (Refusal::UnknownAttributes(unknown), error_code::UNKNOWN_ATTRIBUTE),
    ] {
        let length = binding::refuse(&mut reply, TRANSACTION, refusal, Some(&mut key)).unwrap();
        let answer = Message::parse(&reply[..length]).unwrap();
        assert_eq!((answer.class(), answer.error_code()), (Class::Error, Some(code)));
        assert!(answer.verify(&mut key));
        if code == error_code::UNKNOWN_ATTRIBUTE {
            assert_eq!(
                answer.attribute(attribute::UNKNOWN_ATTRIBUTES),
                Some(&[0x77, 0x77, 0, 3][..])
            );
        }
    }
}

#[test]
fn attributes_behind_the_signature_are_invisible() {
    let mut key = Key::new(b"a password of some length");
    let mut buffer = [0; 256];
    let mut writer = Writer::new(&mut buffer, Class::Request, method::BINDING, TRANSACTION).unwrap();
    writer.attribute(attribute::USERNAME, b"a:b").unwrap();
    writer.integrity(&mut key).unwrap();
    writer.attribute(attribute::USE_CANDIDATE, &[]).unwrap();
    writer.fingerprint().unwrap();
    let length = writer.finish();
    let message = Message::parse(&buffer[..length]).unwrap();
    assert!(message.verify(&mut key) && !message.use_candidate());
}

#[test]
fn nothing_may_follow_the_fingerprint() {
    let mut buffer = [0; 64];
    let mut writer = Writer::new(&mut buffer, Class::Request, method::BINDING, TRANSACTION).unwrap();
    writer.fingerprint().unwrap();
    writer.attribute(attribute::SOFTWARE, b"x").unwrap();
    let length = writer.finish();
    assert_eq!(Message::parse(&buffer[..length]).unwrap_err(), Malformed::Fingerprint);
}

#[test]
fn every_buffer_that_is_too_small_is_no_room_and_the_named_size_is_enough() {
    let mut key = Key::new(b"a password of some length");
    let from: SocketAddr = V6.parse().unwrap();
    let mut needed = 0;
    for size in 0..REPLY_BYTES_MAX {
        let mut buffer = vec![0; size];
        match binding::success(&mut buffer, TRANSACTION, from, &mut key) {
            Ok(length) if needed == 0 => needed = length,
            Ok(length) => assert_eq!(length, needed),
            Err(NoRoom) => assert_eq!(needed, 0, "{size}"),
        }
    }
    assert_eq!(needed, HEADER_BYTES + 24 + 24 + 8);
    let mut request = [0; 256];
    let mut writer = Writer::new(&mut request, Class::Request, method::BINDING, TRANSACTION).unwrap();
    for kind in 0x7000..0x7010 {
        writer.attribute(kind, &[]).unwrap();
    }
    let length = writer.finish();
    let unknown = Message::parse(&request[..length]).unwrap().unknown(&KNOWN);
    assert_eq!(unknown.kinds().len(), Unknown::KINDS_MAX);
    let mut reply = [0; REPLY_BYTES_MAX];
    assert!(
        binding::refuse(
            &mut reply,
            TRANSACTION,
            Refusal::UnknownAttributes(unknown),
            Some(&mut key)
        )
        .is_ok()
    );
}
