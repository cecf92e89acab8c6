//! From a tapped RTP packet to the Opus packet in it. Redundant audio (RFC 2198) is taken apart by the shard already.
//!
//! Never copies and never panics on any bytes. What is no audio gives nothing.
//!
//! Invariant: every payload handed out is a slice of the packet, untouched.

use media_core::rtp::Header;
use media_core::tap;
use recording::Flags;
use recording::spool::PacketRef;

use crate::tap::TapRecord;

/// Gives the Opus packet of a record to `each`; `false` when the record holds none.
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
    if payload.is_empty() {
        return false;
    }
    let copy = if record.flags.contains(tap::Flags::RED) {
        Copy::Redundant
    } else {
        Copy::Own
    };
    each(whole, copy);
    true
}

/// Whether a packet came as itself or as a copy inside a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copy {
    /// In the packet of its own time.
    Own,
    /// Inside a later packet.
    Redundant,
}

fn flags(from: tap::Flags) -> Flags {
    let pairs = [
        (tap::Flags::RTX, Flags::RTX),
        (tap::Flags::RED, Flags::RED),
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
    fn what_stood_inside_a_later_packet_is_a_copy() {
        let expected = (9, 9_600, Flags::RED, vec![3, 3], Copy::Redundant);
        assert_eq!(all(&rtp(&[3, 3]), tap::Flags::RED), Some(vec![expected]));
    }
}
