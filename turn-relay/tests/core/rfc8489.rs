//! RFC 8489: long-term credentials, attributes, padding.

use stun::{Class, LongTermKey, attribute, method};

use crate::bed::{Client, UDP, bed};

fn asking(writer: &mut stun::Writer<'_>) -> Result<(), stun::NoRoom> {
    writer.attribute(attribute::REQUESTED_TRANSPORT, &UDP)
}

#[test]
fn section_9_2_4_a_request_without_integrity_is_challenged() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    let answer = bed
        .ask(client.flow, &client.clone().bare(method::ALLOCATE, asking))
        .expect("a challenge");
    let message = answer.message();
    assert_eq!((answer.code(), message.method()), (401, method::ALLOCATE));
    assert_eq!(message.attribute(attribute::REALM), Some(&b"helpline"[..]));
    assert_eq!(message.attribute(attribute::NONCE).map(<[u8]>::len), Some(16));
    assert!(message.attribute(attribute::SOFTWARE).is_none() && !message.has_integrity());
    client.heed(&answer);
    assert_eq!(bed.allocate(&mut client).ip().to_string(), "192.0.2.10");
}

#[test]
fn section_9_2_4_integrity_without_username_realm_or_nonce_is_a_bad_request() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.greet(&mut client);
    for missing in [attribute::USERNAME, attribute::REALM, attribute::NONCE] {
        let (user, realm, nonce, mut key) = (
            client.user.clone(),
            client.realm.clone(),
            client.nonce.clone(),
            client.key(),
        );
        let request = client.bare(method::ALLOCATE, |writer| {
            asking(writer)?;
            let parts: [(u16, &[u8]); 3] = [
                (attribute::USERNAME, user.as_bytes()),
                (attribute::REALM, &realm),
                (attribute::NONCE, &nonce),
            ];
            for (kind, value) in parts.into_iter().filter(|(kind, _)| *kind != missing) {
                writer.attribute(kind, value)?;
            }
            writer.integrity(&mut key)
        });
        let answer = bed.ask(client.flow, &request).expect("an answer");
        assert_eq!(answer.code(), 400, "without {missing:#06x}");
        assert!(!answer.message().has_integrity(), "nobody was proven");
    }
}

#[test]
fn section_9_2_4_a_nonce_that_is_not_ours_is_stale() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.greet(&mut client);
    let mut changed = client.nonce.clone();
    changed[9] ^= 1;
    let of_another = client.nonce.clone();
    let mut other = Client::at("198.51.100.7:5001");
    for forged in [
        &b"AAAAAAAAAAAAAAAA"[..],
        b"",
        b"short",
        &[0xFF; 16],
        &[b'x'; 128],
        &changed,
        &of_another,
    ] {
        other.nonce = forged.to_vec();
        let request = other.signed(method::ALLOCATE, asking);
        let answer = bed.ask(other.flow, &request).expect("an answer");
        assert_eq!(answer.code(), 438, "{forged:?}");
        assert!(answer.message().attribute(attribute::REALM).is_some());
        assert!(
            answer.message().attribute(attribute::NONCE).is_some(),
            "a fresh one comes along"
        );
    }
    assert_eq!(bed.core.allocations(), 0);
}

#[test]
fn section_9_2_4_a_foreign_realm_is_refused() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.greet(&mut client);
    client.realm = b"elsewhere".to_vec();
    assert_eq!(bed.allocate_with(&mut client, |_| Ok(())).code(), 401);
    client.realm = b"helpline".to_vec();
    assert_eq!(bed.allocate_with(&mut client, |_| Ok(())).code(), 0);
    client.realm = b"elsewhere".to_vec();
    assert_eq!(bed.refresh(&mut client, 600).code(), 401, "on an allocation too");
}

#[test]
fn section_9_2_4_a_wrong_password_is_refused_and_the_next_try_may_be_right() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.greet(&mut client);
    let right = std::mem::replace(&mut client.password, "guess".to_owned());
    let answer = bed.allocate_with(&mut client, |_| Ok(()));
    assert_eq!(answer.code(), 401);
    assert!(answer.message().attribute(attribute::NONCE).is_some());
    client.password = right;
    assert_eq!(bed.allocate_with(&mut client, |_| Ok(())).code(), 0);
}

#[test]
fn section_9_2_5_answers_to_the_proven_are_signed() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    let answers = [
        bed.allocate_with(&mut client, |_| Ok(())),
        bed.allocate_with(&mut client, |_| Ok(())),
        bed.refresh(&mut client, 600),
    ];
    for (answer, code) in answers.iter().zip([0, 437, 0]) {
        assert_eq!(answer.code(), code);
        assert!(answer.message().verify(&mut client.key()));
        assert!(!answer.message().verify(&mut LongTermKey::new(b"a", b"b", b"c")));
    }
}

#[test]
fn section_6_3_1_authentication_comes_before_unknown_attributes() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.greet(&mut client);
    let strange = |writer: &mut stun::Writer<'_>| {
        asking(writer)?;
        writer.attribute(0x7F01, b"what?")?;
        writer.attribute(0xFF02, b"never mind")?;
        writer.attribute(0x7F03, b"")
    };
    let bare = client.bare(method::ALLOCATE, strange);
    assert_eq!(bed.ask_code(&client, &bare), 401);
    let signed = client.signed(method::ALLOCATE, strange);
    let answer = bed.ask(client.flow, &signed).expect("an answer");
    assert_eq!(answer.code(), 420);
    let unknown = answer
        .message()
        .attribute(attribute::UNKNOWN_ATTRIBUTES)
        .map(<[u8]>::to_vec);
    assert_eq!(
        unknown,
        Some(vec![0x7F, 0x01, 0x7F, 0x03]),
        "only those that must be understood"
    );
    assert!(answer.message().verify(&mut client.key()));
    assert_eq!(bed.core.allocations(), 0);
}

#[test]
fn section_14_of_duplicates_the_first_counts() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    let answer = bed.allocate_with(&mut client, |writer| {
        writer.attribute(attribute::REQUESTED_TRANSPORT, &[6, 0, 0, 0])?;
        writer.attribute(attribute::LIFETIME, &1_000u32.to_be_bytes())?;
        writer.attribute(attribute::LIFETIME, &2_000u32.to_be_bytes())
    });
    assert_eq!((answer.code(), answer.lifetime()), (0, Some(1_000)));
}

#[test]
fn section_14_5_attributes_behind_the_integrity_are_ignored() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.greet(&mut client);
    let (user, realm, nonce, mut key) = (
        client.user.clone(),
        client.realm.clone(),
        client.nonce.clone(),
        client.key(),
    );
    let request = client.bare(method::ALLOCATE, |writer| {
        asking(writer)?;
        writer.attribute(attribute::USERNAME, user.as_bytes())?;
        writer.attribute(attribute::REALM, &realm)?;
        writer.attribute(attribute::NONCE, &nonce)?;
        writer.integrity(&mut key)?;
        writer.attribute(attribute::LIFETIME, &3_000u32.to_be_bytes())?;
        writer.attribute(0x7F01, b"unknown, but nobody signed it")?;
        writer.fingerprint()
    });
    let answer = bed.ask(client.flow, &request).expect("an answer");
    assert_eq!((answer.code(), answer.lifetime()), (0, Some(600)));
    assert!(answer.message().has_fingerprint(), "mirrored");
}

#[test]
fn section_14_padding_is_written_as_zeros_and_ignored_when_read() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.greet(&mut client);
    let mut bare = client.bare(method::ALLOCATE, |writer| {
        asking(writer)?;
        writer.attribute(attribute::SOFTWARE, b"odd")
    });
    let last = bare.len() - 1;
    bare[last] = 0xEE;
    assert_eq!(
        bed.ask(client.flow, &bare).expect("an answer").code(),
        401,
        "padding says nothing"
    );
    let answer = bed.allocate_with(&mut client, |writer| {
        for kind in 0x7F01..0x7F04 {
            writer.attribute(kind, b"")?;
        }
        Ok(())
    });
    let bytes = &answer.0;
    let at = bytes
        .windows(4)
        .position(|four| four == [0, 0x0A, 0, 6])
        .expect("three unknown types");
    assert_eq!(&bytes[at + 10..at + 12], &[0, 0], "two bytes of padding");
}

#[test]
fn section_14_7_fingerprint_is_mirrored() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    for fingerprint in [true, false] {
        client.fingerprint = fingerprint;
        let bare = client.bare(method::ALLOCATE, asking);
        let challenge = bed.ask(client.flow, &bare).expect("a challenge");
        assert_eq!(challenge.message().has_fingerprint(), fingerprint);
        client.heed(&challenge);
        let answer = bed.refresh(&mut client, 600);
        assert_eq!((answer.code(), answer.message().has_fingerprint()), (437, fingerprint));
    }
}

#[test]
fn a_damaged_request_is_answered_401_so_that_its_sender_recovers() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.greet(&mut client);
    client.fingerprint = true;
    let request = client.signed(method::ALLOCATE, asking);
    // The CRC, the tag, the tag's length: beyond the message and shorter, the first attribute's type and length.
    let end = request.len();
    let places = [
        (end - 1, 0xFF),
        (end - 10, 0xFF),
        (end - 29, 0xFF),
        (end - 29, 0x04),
        (21, 0xFF),
        (22, 0xFF),
    ];
    for (place, flip) in places {
        let mut damaged = request.clone();
        damaged[place] ^= flip;
        let answer = bed.ask(client.flow, &damaged).expect("silence hangs a client");
        let right_crc_aside = place == request.len() - 1;
        assert_eq!(answer.code(), if right_crc_aside { 0 } else { 401 }, "byte {place}");
    }
    assert_eq!(bed.core.allocations(), 1, "with a right tag the CRC does not matter");
}

#[test]
fn answers_and_foreign_indications_meet_silence() {
    let (mut bed, client) = (bed(), Client::at("198.51.100.7:5000"));
    let kinds = [
        (Class::Success, method::ALLOCATE),
        (Class::Error, method::BINDING),
        (Class::Indication, method::DATA),
        (Class::Indication, method::BINDING),
        (Class::Request, method::SEND),
        (Class::Request, 0x00A),
        (Class::Request, 0xFFF),
    ];
    for (class, kind) in kinds {
        let bytes = client.write(class, kind, [1; 12], |_| Ok(()), false);
        assert!(bed.ask(client.flow, &bytes).is_none(), "{class:?} {kind}");
    }
}
