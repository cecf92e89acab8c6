//! The relay's streams cut anywhere, and payload wrapped in place.

use stun::{Message, attribute, channel};
use turn_relay::core::framing::{Cut, Cutter, MESSAGE_BYTES_MAX, cut};

use super::outside::{SHARDS, address};

/// A stream: its first byte says into which pieces the rest falls; cut in pieces or at once it is the same messages.
///
/// # Panics
/// If something does not hold.
pub fn turn_stream(data: &[u8]) {
    let Some((&piece, stream)) = data.split_first() else {
        return;
    };
    let mut at_once = Vec::new();
    let mut rest = stream;
    let broken = loop {
        match cut(rest) {
            Cut::Message { len, taken } => {
                assert!(len <= taken && taken <= rest.len() && taken <= MESSAGE_BYTES_MAX && taken - len < 4);
                at_once.push(rest[..len].to_vec());
                rest = &rest[taken..];
            }
            Cut::More(needed) => {
                assert!(needed > rest.len() && needed <= MESSAGE_BYTES_MAX);
                break false;
            }
            Cut::Broken => break true,
        }
    };
    let mut cutter = Cutter::default();
    let mut pieces = Vec::new();
    let mut fed = stream;
    let mut broke = false;
    while !fed.is_empty() && !broke {
        let room = cutter.room();
        let n = (usize::from(piece) * 5 + 1).min(fed.len()).min(room.len());
        assert!(n > 0, "there is room for the rest of any message");
        room[..n].copy_from_slice(&fed[..n]);
        fed = &fed[n..];
        cutter.filled(n);
        loop {
            match cutter.next() {
                Ok(Some(message)) => pieces.push(message.to_vec()),
                Ok(None) => break,
                Err(_) => {
                    broke = true;
                    break;
                }
            }
        }
    }
    assert_eq!((pieces, broke), (at_once, broken));
}

/// Bytes as ChannelData, and as a payload in both wrappings.
///
/// # Panics
/// If something does not hold.
pub fn channel_data(data: &[u8]) {
    if let Some((number, payload)) = channel::parse(data) {
        assert!(channel::NUMBERS.contains(&number) && payload.len() + 4 <= data.len());
    }
    let len = data.len().min(2_000);
    let payload = channel::FRONT_BYTES..channel::FRONT_BYTES + len;
    for padded in [false, true] {
        let mut frame = vec![0xEE; channel::FRONT_BYTES + len + channel::TAIL_BYTES];
        frame[payload.clone()].copy_from_slice(&data[..len]);
        let range = channel::wrap(&mut frame, payload.clone(), 0x4ABC, padded).expect("room");
        assert_eq!(channel::parse(&frame[range.clone()]), Some((0x4ABC, &data[..len])));
        assert_eq!(range.len(), 4 + if padded { len.next_multiple_of(4) } else { len });
        assert!(frame[payload.end..range.end].iter().all(|&byte| byte == 0));
    }
    for peer in [SHARDS[0], SHARDS[1]] {
        let mut frame = vec![0xEE; channel::FRONT_BYTES + len + channel::TAIL_BYTES];
        frame[payload.clone()].copy_from_slice(&data[..len]);
        let range = channel::wrap_data(&mut frame, payload.clone(), address(peer), [3; 12]).expect("room");
        let message = Message::parse(&frame[range]).expect("well formed");
        assert_eq!(message.attribute(attribute::DATA), Some(&data[..len]));
        assert_eq!(message.xor_address(attribute::XOR_PEER_ADDRESS), Some(address(peer)));
    }
}
