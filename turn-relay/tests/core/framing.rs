//! Streams split and glued at any byte.

use proptest::prelude::*;
use turn_relay::core::framing::{Broken, Cut, Cutter, MESSAGE_BYTES_MAX, cut};

use crate::bed::channel_data;

/// A message as it stands on a stream, and as it comes out.
fn message(stun: bool, number: u16, payload: &[u8]) -> (Vec<u8>, Vec<u8>) {
    if stun {
        let mut buffer = vec![0; MESSAGE_BYTES_MAX + 64];
        let mut writer = stun::Writer::new(&mut buffer, stun::Class::Request, 3, [7; 12]).expect("room");
        writer.attribute(stun::attribute::DATA, payload).expect("room");
        let len = writer.finish();
        buffer.truncate(len);
        (buffer.clone(), buffer)
    } else {
        let bytes = channel_data(number, payload);
        let mut padded = bytes.clone();
        padded.resize(bytes.len().next_multiple_of(4), 0xEE);
        (padded, bytes)
    }
}

proptest! {
    #![proptest_config(testkit::properties::usual())]

    #[test]
    fn whatever_was_put_in_comes_out(
        messages in prop::collection::vec((any::<bool>(), 0x4000u16..=0x4FFF, prop::collection::vec(any::<u8>(), 0..700)), 1..12),
        splits in prop::collection::vec(1usize..900, 1..200),
    ) {
        let messages: Vec<_> = messages.iter().map(|(stun, number, payload)| message(*stun, *number, payload)).collect();
        let stream: Vec<u8> = messages.iter().flat_map(|(wire, _)| wire.clone()).collect();
        let mut cutter = Cutter::default();
        let mut out = Vec::new();
        let mut rest = &stream[..];
        for split in splits.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let room = cutter.room();
            prop_assert!(!room.is_empty());
            let n = (*split).min(rest.len()).min(room.len());
            room[..n].copy_from_slice(&rest[..n]);
            rest = &rest[n..];
            cutter.filled(n);
            while let Some(message) = cutter.next().expect("whole messages") {
                out.push(message.to_vec());
            }
        }
        let wanted: Vec<_> = messages.into_iter().map(|(_, inner)| inner).collect();
        prop_assert_eq!(out, wanted);
        prop_assert_eq!(cutter.waiting(), 0);
    }

    #[test]
    fn rubbish_never_panics_and_never_waits_for_more_than_fits(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        match cut(&bytes) {
            Cut::More(needed) => prop_assert!(needed > bytes.len() && needed <= MESSAGE_BYTES_MAX),
            Cut::Message { len, taken } => prop_assert!(len <= taken && taken <= bytes.len() && taken - len < 4),
            Cut::Broken => {}
        }
    }
}

#[test]
fn a_message_of_2048_bytes_is_the_longest() {
    let channel = |declared: u16| {
        let [high, low] = declared.to_be_bytes();
        cut(&[0x40, 0, high, low])
    };
    assert_eq!(channel(2_044), Cut::More(2_048));
    assert_eq!(channel(2_045), Cut::Broken);
    assert_eq!(channel(2_043), Cut::More(2_048));
    let stun = |declared: u16| {
        let [high, low] = declared.to_be_bytes();
        cut(&[0, 1, high, low])
    };
    assert_eq!(stun(2_028), Cut::More(2_048));
    assert_eq!(stun(2_032), Cut::Broken);
    assert_eq!(stun(2_027), Cut::Broken, "no multiple of four");
}

#[test]
fn the_first_byte_decides() {
    for first in 0..=255u8 {
        let good = matches!(first, 0..=3 | 0x40..=0x4F);
        assert_eq!(cut(&[first]) == Cut::Broken, !good, "{first:#04x}");
    }
    assert_eq!(cut(&[]), Cut::More(4));
}

#[test]
fn a_broken_stream_stays_broken() {
    let mut cutter = Cutter::default();
    let bytes = [&channel_data(0x4000, &[1, 2, 3, 4])[..], b"GET / HTTP/1.1\r\n"].concat();
    cutter.room()[..bytes.len()].copy_from_slice(&bytes);
    cutter.filled(bytes.len());
    assert_eq!(cutter.next(), Ok(Some(&[0x40, 0, 0, 4, 1, 2, 3, 4][..])));
    assert_eq!(cutter.next(), Err(Broken));
    assert_eq!(cutter.next(), Err(Broken));
}

#[test]
fn channel_data_waits_for_its_padding() {
    let bytes = [&channel_data(0x4000, &[9])[..], &[0, 0]].concat();
    assert_eq!(cut(&bytes), Cut::More(8));
    assert_eq!(cut(&[&bytes[..], &[0]].concat()), Cut::Message { len: 5, taken: 8 });
}
