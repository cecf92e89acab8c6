//! From a tapped RTP packet to the Opus packets in it: the payload itself, or what redundancy (RFC 2198) holds.
//!
//! Never copies and never panics on any bytes. What is no audio gives nothing.
//!
//! Invariant: every payload handed out is a slice of the packet, untouched.

use media_core::counters::DTX_BYTES_MAX;
use media_core::rtp::Header;
use media_core::tap;
use recording::Flags;
use recording::spool::PacketRef;

use crate::tap::TapRecord;

/// Redundant blocks that are followed; as many as media's own reader takes.
const RED_BLOCKS_MAX: usize = 8;
/// A level that nobody told.
const LEVEL_UNKNOWN: u8 = 255;

/// Gives every Opus packet of a record to `each`: redundant ones first, marked, the packet of its own time last.
/// `false` when the record holds none.
pub(super) fn packets(record: &TapRecord<'_>, mut each: impl FnMut(PacketRef<'_>, Copy)) -> bool {
    let Ok(header) = Header::parse(record.packet) else {
        return false;
    };
    let Some(payload) = header
        .payload(record.packet)
        .ok()
        .and_then(|range| record.packet.get(range))
    else {
        return false;
    };
    let whole = PacketRef {
        ext_seq: record.ext_seq,
        rtp_ts: header.timestamp,
        arrival_ns: record.arrival_ns,
        flags: flags(record.flags),
        level: record.level,
        payload,
    };
    if !record.flags.contains(tap::Flags::RED) {
        if !payload.is_empty() {
            each(whole, Copy::Own);
        }
        return !payload.is_empty();
    }
    redundant(whole, each)
}

/// Whether a packet came as itself or as a copy inside a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copy {
    /// In the packet of its own time.
    Own,
    /// Inside a later packet.
    Redundant,
}

/// RFC 2198 §3: four bytes per redundant block (type, 14 bits of time offset, 10 bits of length), one byte for the
/// primary, then the blocks.
fn redundant(whole: PacketRef<'_>, mut each: impl FnMut(PacketRef<'_>, Copy)) -> bool {
    let mut rest = whole.payload;
    let mut blocks = [(0_u32, 0_usize); RED_BLOCKS_MAX];
    let mut count = 0;
    loop {
        match *rest {
            [first, ..] if first & 0x80 == 0 => {
                rest = &rest[1..];
                break;
            }
            [_, high, middle, low, ..] if count < RED_BLOCKS_MAX => {
                let offset = u32::from(high) << 6 | u32::from(middle) >> 2;
                let length = usize::from(middle & 3) << 8 | usize::from(low);
                blocks[count] = (offset, length);
                count += 1;
                rest = &rest[4..];
            }
            _ => return false,
        }
    }
    let blocks = &blocks[..count];
    if blocks.iter().map(|(_, length)| length).sum::<usize>() > rest.len() {
        return false;
    }
    for (n, (offset, length)) in blocks.iter().enumerate() {
        let (payload, behind) = rest.split_at(*length);
        rest = behind;
        if !payload.is_empty() && *offset > 0 {
            // Senders repeat the packets just before this one, oldest first; the time offset says it exactly.
            let back = (count - n) as u32;
            let copy = PacketRef {
                ext_seq: whole.ext_seq.wrapping_sub(back),
                rtp_ts: whole.rtp_ts.wrapping_sub(*offset),
                flags: Flags::RED,
                level: LEVEL_UNKNOWN,
                payload,
                ..whole
            };
            each(copy, Copy::Redundant);
        }
    }
    if rest.is_empty() {
        return count > 0;
    }
    let quiet = if rest.len() <= DTX_BYTES_MAX {
        Flags::DTX
    } else {
        Flags::default()
    };
    each(
        PacketRef {
            payload: rest,
            flags: whole.flags.with(quiet),
            ..whole
        },
        Copy::Own,
    );
    true
}

fn flags(from: tap::Flags) -> Flags {
    let pairs = [
        (tap::Flags::RTX, Flags::RTX),
        (tap::Flags::DTX, Flags::DTX),
        (tap::Flags::VOICE, Flags::VOICE),
    ];
    pairs
        .iter()
        .filter(|(has, _)| from.contains(*has))
        .fold(Flags::default(), |all, (_, mark)| all.with(*mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rtp(payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x80, 111, 0, 9];
        packet.extend_from_slice(&9_600_u32.to_be_bytes());
        packet.extend_from_slice(&77_u32.to_be_bytes());
        packet.extend_from_slice(payload);
        packet
    }

    fn record(packet: &[u8], flags: tap::Flags) -> TapRecord<'_> {
        TapRecord {
            arrival_ns: 5,
            leg: 1,
            ext_seq: 9,
            flags,
            level: 44,
            packet,
        }
    }

    /// Sequence, timestamp, marks, payload, origin.
    type Seen = (u32, u32, Flags, Vec<u8>, Copy);

    fn all(packet: &[u8], flags: tap::Flags) -> Option<Vec<Seen>> {
        let mut out = Vec::new();
        packets(&record(packet, flags), |p, copy| {
            assert_eq!(p.arrival_ns, 5);
            out.push((p.ext_seq, p.rtp_ts, p.flags, p.payload.to_vec(), copy));
        })
        .then_some(out)
    }

    #[test]
    fn a_plain_payload_is_one_packet() {
        let voice = tap::Flags::VOICE.with(tap::Flags::RTX);
        let expected = (9, 9_600, Flags::VOICE.with(Flags::RTX), vec![1, 2, 3], Copy::Own);
        assert_eq!(all(&rtp(&[1, 2, 3]), voice), Some(vec![expected]));
        assert_eq!(all(&rtp(&[]), voice), None);
        assert_eq!(all(&[0; 3], voice), None);
    }

    #[test]
    fn redundant_blocks_become_the_packets_they_repeat() {
        let block = |offset: u16, length: u16| {
            let word = u32::from(offset) << 10 | u32::from(length);
            [0x80 | 111, (word >> 16) as u8, (word >> 8) as u8, word as u8]
        };
        let payload = [&block(1_920, 2)[..], &block(960, 1), &[111], &[1, 1], &[2], &[3, 3, 3]].concat();
        let expected = vec![
            (7, 7_680, Flags::RED, vec![1, 1], Copy::Redundant),
            (8, 8_640, Flags::RED, vec![2], Copy::Redundant),
            (9, 9_600, Flags::default(), vec![3, 3, 3], Copy::Own),
        ];
        assert_eq!(all(&rtp(&payload), tap::Flags::RED), Some(expected));
        let lying = [&block(960, 9)[..], &[111], &[1]].concat();
        assert_eq!(all(&rtp(&lying), tap::Flags::RED), None);
        let endless = [0x80 | 111; 64];
        assert_eq!(all(&rtp(&endless), tap::Flags::RED), None);
        for cut in 0..payload.len() {
            let _ = all(&rtp(&payload[..cut]), tap::Flags::RED);
        }
    }
}
