//! The reader against `stun-rs`, an independent one: the same bytes, the same message, or a difference that stands in a
//! list.
//!
//! `stun-rs` is development only: a user name that is no ASCII costs it microseconds that its sender chooses.

#![cfg(test)]

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;

use stun::{Class, Key, LongTermKey, Malformed, Message, Writer, attribute, method};
use stun_rs::error::StunErrorLevel;
use stun_rs::{DecoderContextBuilder, MessageClass, MessageDecoderBuilder, StunAttribute};

/// Where the two may differ, and why ours is right or it does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    /// Bytes behind the message: `stun-rs` reads a prefix, a datagram of ours is one message (RFC 8489 §6.3).
    BehindTheMessage,
    /// A first byte from 4 to 63: a method that nobody has registered. RFC 7983 §7 gives STUN the bytes 0 to 3, and so do
    /// we.
    FirstByte,
    /// `stun-rs` refuses the whole message for a value that it does not like; we read values when they are asked for
    /// (types that we hand out as bytes, its PRECIS rules for texts among them).
    ValueNotLiked,
    /// Bytes behind an address, a number or an error of the right form: `stun-rs` ignores them, we refuse the value.
    LongerValue,
}

#[derive(Debug, Default)]
struct Tally {
    messages: usize,
    both_refuse: usize,
    known: BTreeMap<Known, usize>,
}

fn addresses(attribute: &StunAttribute) -> Option<(u16, std::net::SocketAddr)> {
    if let Ok(address) = attribute.as_xor_mapped_address() {
        return Some((attribute::XOR_MAPPED_ADDRESS, *address.socket_address()));
    }
    if let Ok(address) = attribute.as_xor_peer_address() {
        return Some((attribute::XOR_PEER_ADDRESS, *address.socket_address()));
    }
    if let Ok(address) = attribute.as_xor_relayed_address() {
        return Some((attribute::XOR_RELAYED_ADDRESS, *address.socket_address()));
    }
    None
}

/// Compares one message; panics at a difference that is not known.
fn compare(bytes: &[u8], tally: &mut Tally) {
    let context = DecoderContextBuilder::default()
        .with_unknown_data()
        .not_ignore()
        .build();
    let decoder = MessageDecoderBuilder::default().with_context(context).build();
    let ours = Message::parse_damaged(bytes);
    match (decoder.decode(bytes), ours) {
        (Ok((theirs, _)), Ok(ours)) => {
            tally.messages += 1;
            same(bytes, &theirs, &ours, tally);
        }
        (Ok(_), Err(Malformed::Cookie)) => {
            assert!((4..64).contains(&bytes[0]), "{bytes:02x?}");
            *tally.known.entry(Known::FirstByte).or_default() += 1;
        }
        (Ok((_, size)), Err(malformed)) => {
            assert_eq!(malformed, Malformed::Length, "{bytes:02x?}");
            assert!(size < bytes.len(), "{bytes:02x?}");
            *tally.known.entry(Known::BehindTheMessage).or_default() += 1;
        }
        (Err(fault), Ok(ours)) => {
            // The header and every attribute's bounds are judged alike: what remains is a value.
            let StunErrorLevel::Attribute(place) = &fault.0 else {
                panic!("{fault}: {bytes:02x?}");
            };
            let kind = place
                .attr_type
                .unwrap_or_else(|| panic!("{fault}: {bytes:02x?}"))
                .as_u16();
            value_refused(kind, place.position, &ours);
            *tally.known.entry(Known::ValueNotLiked).or_default() += 1;
        }
        (Err(_), Err(_)) => tally.both_refuse += 1,
    }
}

/// A value that `stun-rs` refused, in a type that we read: we must not read it either.
fn value_refused(kind: u16, position: usize, ours: &Message<'_>) {
    let Some(attribute) = ours.attributes().nth(position) else {
        return;
    };
    assert_eq!(attribute.kind, kind);
    let first = ours.attributes().position(|other| other.kind == kind) == Some(position);
    let read = match kind {
        attribute::XOR_MAPPED_ADDRESS | attribute::XOR_PEER_ADDRESS | attribute::XOR_RELAYED_ADDRESS => {
            ours.xor_address(kind).is_some()
        }
        attribute::LIFETIME | attribute::PRIORITY => ours.number(kind).is_some(),
        // Its phrase is judged by `stun-rs` too; we do not read it.
        _ => false,
    };
    assert!(!(first && read), "{kind:#06x} was read: {attribute:?}");
}

fn same(bytes: &[u8], theirs: &stun_rs::StunMessage, ours: &Message<'_>, tally: &mut Tally) {
    let class = match theirs.class() {
        MessageClass::Request => Class::Request,
        MessageClass::Indication => Class::Indication,
        MessageClass::SuccessResponse => Class::Success,
        MessageClass::ErrorResponse => Class::Error,
    };
    assert_eq!(
        (class, theirs.method().as_u16()),
        (ours.class(), ours.method()),
        "{bytes:02x?}"
    );
    assert_eq!(theirs.transaction_id().as_bytes(), &ours.transaction(), "{bytes:02x?}");
    let of = |attribute: &StunAttribute| attribute.attribute_type().as_u16();
    let signed = theirs
        .attributes()
        .iter()
        .position(|attribute| of(attribute) == attribute::MESSAGE_INTEGRITY);
    assert_eq!(signed.is_some(), ours.has_integrity(), "{bytes:02x?}");
    let visible = &theirs.attributes()[..signed.unwrap_or(theirs.attributes().len())];
    let kinds: Vec<u16> = visible.iter().map(of).collect();
    let ours_kinds: Vec<u16> = ours.attributes().map(|attribute| attribute.kind).collect();
    assert_eq!(kinds, ours_kinds, "{bytes:02x?}");
    for (their, our) in visible.iter().zip(ours.attributes()) {
        let first = ours.attribute(our.kind) == Some(our.value)
            && ours
                .attributes()
                .find(|other| other.kind == our.kind)
                .is_some_and(|other| std::ptr::eq(other.value, our.value));
        if let Ok(unknown) = their.as_unknown()
            && let Some(data) = unknown.attribute_data()
        {
            assert_eq!(data, our.value, "{bytes:02x?}");
        }
        if let Ok(data) = their.as_data() {
            assert_eq!(data.as_bytes(), our.value, "{bytes:02x?}");
        }
        if !first {
            continue;
        }
        let read = match (addresses(their), their.as_error_code(), their.as_life_time()) {
            (Some((kind, address)), _, _) => ours
                .xor_address(kind)
                .map(|ours| assert_eq!(address, ours, "{bytes:02x?}")),
            (None, Ok(code), _) => ours
                .error_code()
                .map(|ours| assert_eq!(code.error_code().error_code(), ours, "{bytes:02x?}")),
            (None, Err(_), Ok(lifetime)) => ours
                .number(our.kind)
                .map(|ours| assert_eq!(lifetime.as_u32(), ours, "{bytes:02x?}")),
            (None, Err(_), Err(_)) => Some(()),
        };
        if read.is_none() {
            let exact = match (our.kind, our.value.get(1)) {
                (attribute::LIFETIME, _) => 4,
                (_, Some(1)) => 8,
                _ => 20,
            };
            assert!(our.value.len() > exact, "{:#06x} was not read: {our:02x?}", our.kind);
            *tally.known.entry(Known::LongerValue).or_default() += 1;
        }
    }
}

/// Signed and unsigned messages of every kind that we speak.
fn seeds() -> Vec<Vec<u8>> {
    let v4 = "192.0.2.1:3478".parse().expect("an address");
    let v6 = "[2001:db8::1]:40000".parse().expect("an address");
    let write = |class, method, body: &dyn Fn(&mut Writer<'_>)| {
        let mut buffer = [0; 1_024];
        let mut writer = Writer::new(&mut buffer, class, method, [0xA7; 12]).expect("room");
        body(&mut writer);
        let len = writer.finish();
        buffer[..len].to_vec()
    };
    let put = |writer: &mut Writer<'_>, kind, value: &[u8]| writer.attribute(kind, value).expect("room");
    let long_term = |writer: &mut Writer<'_>| {
        put(writer, attribute::USERNAME, b"1800000120:0123:0");
        put(writer, attribute::REALM, b"helpline");
        put(writer, attribute::NONCE, b"AAAABBBBCCCCDDDD");
        let mut key = LongTermKey::new(b"1800000120:0123:0", b"helpline", b"secret");
        writer.integrity(&mut key).expect("room");
        writer.fingerprint().expect("room");
    };
    let mut seeds = vec![
        write(Class::Request, method::BINDING, &|writer| {
            put(writer, attribute::CHANGE_REQUEST, &[0, 0, 0, 2])
        }),
        write(Class::Request, method::ALLOCATE, &|writer| {
            put(writer, attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
            put(writer, attribute::LIFETIME, &[0, 0, 2, 88]);
            put(writer, attribute::EVEN_PORT, &[0]);
            put(writer, attribute::DONT_FRAGMENT, &[]);
            put(writer, attribute::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]);
            long_term(writer);
        }),
        write(Class::Error, method::ALLOCATE, &|writer| {
            writer.error_code(401, "Unauthenticated").expect("room");
            put(writer, attribute::REALM, b"helpline");
            put(writer, attribute::NONCE, b"AAAABBBBCCCCDDDD");
            writer.fingerprint().expect("room");
        }),
        write(Class::Success, method::ALLOCATE, &|writer| {
            writer.xor_address(attribute::XOR_RELAYED_ADDRESS, v4).expect("room");
            writer.xor_address(attribute::XOR_RELAYED_ADDRESS, v6).expect("room");
            writer.xor_mapped_address(v6).expect("room");
            put(writer, attribute::LIFETIME, &[0, 0, 2, 88]);
            writer.integrity(&mut Key::new(b"key")).expect("room");
        }),
        write(Class::Request, method::CREATE_PERMISSION, &|writer| {
            writer.xor_address(attribute::XOR_PEER_ADDRESS, v4).expect("room");
            writer.xor_address(attribute::XOR_PEER_ADDRESS, v6).expect("room");
            long_term(writer);
        }),
        write(Class::Request, method::CHANNEL_BIND, &|writer| {
            put(writer, attribute::CHANNEL_NUMBER, &[0x40, 1, 0, 0]);
            writer.xor_address(attribute::XOR_PEER_ADDRESS, v6).expect("room");
            long_term(writer);
        }),
        write(Class::Indication, method::SEND, &|writer| {
            writer.xor_address(attribute::XOR_PEER_ADDRESS, v4).expect("room");
            put(writer, attribute::DATA, b"some payload of 23 byte");
        }),
        write(Class::Error, method::CHANNEL_BIND, &|writer| {
            writer.error_code(420, "").expect("room");
            writer.unknown_attributes(&[0x7F01, 0x7F02, 0x7F03]).expect("room");
        }),
        write(Class::Success, method::BINDING, &|writer| {
            writer.address(attribute::MAPPED_ADDRESS, v4).expect("room");
            writer.address(attribute::RESPONSE_ORIGIN, v6).expect("room");
            writer.address(attribute::OTHER_ADDRESS, v4).expect("room");
            put(writer, 0xFFF0, b"nobody knows");
        }),
    ];
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/stun");
    let mut files: Vec<_> = fs::read_dir(corpus)
        .expect("the corpus")
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.sort();
    seeds.extend(files.iter().map(|path| fs::read(path).expect("a file")));
    seeds
}

#[test]
fn what_we_write_reads_the_same() {
    let mut tally = Tally::default();
    let seeds = seeds();
    for seed in &seeds {
        compare(seed, &mut tally);
    }
    assert!(tally.messages >= 12, "{tally:?}");
}

/// The seed of this run: `HELPLINE_SEED`, or a new one. Printed, so that a failing test shows it. As in
/// `testkit::properties`, which this crate's small build is without.
fn seed() -> u64 {
    let seed = match std::env::var("HELPLINE_SEED") {
        Ok(text) => text.parse().expect("HELPLINE_SEED is a number"),
        // Each of the standard library's hashers begins with keys that the system has drawn.
        Err(_) => RandomState::new().build_hasher().finish(),
    };
    println!("HELPLINE_SEED={seed}");
    seed
}

/// Rounds of changed messages: a second in an optimised build.
const ROUNDS: usize = 200_000;

#[test]
fn changed_messages_read_the_same_but_for_what_is_known() {
    let seeds = seeds();
    // An xorshift never leaves 0.
    let mut state = seed().max(1);
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize % below.max(1)
    };
    let mut tally = Tally::default();
    for round in 0..ROUNDS {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..=draw(3) {
            let at = draw(bytes.len());
            match draw(8) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at.min(bytes.len()), draw(256) as u8),
                // A bit of the header or of an attribute's head more often than chance would have it.
                2 if bytes.len() > 24 => bytes[20 + draw(4)] ^= 1 << draw(8),
                // A whole attribute of any type and length, and a length that counts it.
                3 if bytes.len() >= 20 => {
                    let len = draw(24);
                    let kind = [0x0006, 0x0012, 0x0016, 0x0020, 0x0009, 0x000D, 0x8028, 0x0008, 0x7F01][draw(9)] as u16;
                    bytes.extend(kind.to_be_bytes());
                    bytes.extend((len as u16).to_be_bytes());
                    for _ in 0..len.next_multiple_of(4) {
                        bytes.push([0, 1, 2, 4, 17, 0xFF, draw(256) as u8][draw(7)]);
                    }
                    let length = (bytes.len() - 20) as u16;
                    bytes[2..4].copy_from_slice(&length.to_be_bytes());
                }
                _ if at < bytes.len() => bytes[at] = draw(256) as u8,
                _ => bytes.push(draw(256) as u8),
            }
        }
        compare(&bytes, &mut tally);
    }
    println!("{tally:?}");
    assert!(
        tally.messages > ROUNDS / 10 && tally.both_refuse > ROUNDS / 10,
        "{tally:?}"
    );
    assert_eq!(
        tally.known.len(),
        4,
        "a known difference that does not occur is to be struck off: {tally:?}"
    );
}
