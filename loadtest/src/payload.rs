//! What the generator says: packets of an Opus talk spurt's size that all differ and say of themselves what they are.
//!
//! Invariant: no byte is free. Whoever knows the run's seed can tell a packet that was changed on its way, or that
//! belongs to somebody else, from one that is as it was sent.

use testkit::bad_line::Dice;

/// Bytes before the filling: TOC, span, leg, number, time.
pub(crate) const HEAD_BYTES: usize = 18;
/// Longest packet, bytes.
pub(crate) const BYTES_MAX: usize = 128;
/// Payload bytes by turn: a talk spurt's Opus packets, 24 kbit/s and around it.
const SIZES: [usize; 8] = [78, 84, 61, 90, 73, 102, 66, 81];
/// One frame of 20 ms, hybrid full band, mono (RFC 6716 §3.1).
pub(crate) const TOC_20_MS: u8 = 0x78;
/// One frame of 5 ms, CELT full band, mono (RFC 6716 §3.1).
pub(crate) const TOC_5_MS: u8 = 0xE8;
/// A comfort frame of DTX: the TOC and one byte (RFC 6716 §2.1.9).
pub(crate) const COMFORT_BYTES: usize = 2;

/// What a packet says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    /// Number of the window it was sent in; 0 is none.
    pub(crate) span: u8,
    /// Leg that said it.
    pub(crate) leg: u32,
    /// Its number among the leg's packets.
    pub(crate) number: u32,
    /// When, ns since the generator's origin.
    pub(crate) sent_ns: u64,
}

/// Bytes of packet `number`.
fn size(number: u32) -> usize {
    SIZES[number as usize % SIZES.len()]
}

/// Writes the packet; its length.
pub(crate) fn write(buffer: &mut [u8; BYTES_MAX], toc: u8, label: Label, seed: u64) -> usize {
    let len = size(label.number);
    buffer[0] = toc;
    buffer[1] = label.span;
    buffer[2..6].copy_from_slice(&label.leg.to_be_bytes());
    buffer[6..10].copy_from_slice(&label.number.to_be_bytes());
    buffer[10..18].copy_from_slice(&label.sent_ns.to_be_bytes());
    let mut dice = dice(label, seed);
    for part in buffer[HEAD_BYTES..len].chunks_mut(8) {
        part.copy_from_slice(&dice.throw().to_be_bytes()[..part.len()]);
    }
    len
}

fn dice(label: Label, seed: u64) -> Dice {
    let place = u64::from(label.leg) << 32 | u64::from(label.number);
    Dice::of(seed ^ label.sent_ns.rotate_left(8) ^ u64::from(label.span), place)
}

/// Reads the label of a packet without judging the rest; `None` for comfort frames and whatever else is short.
pub(crate) fn label(payload: &[u8]) -> Option<Label> {
    let (head, _) = payload.split_first_chunk::<HEAD_BYTES>()?;
    Some(Label {
        span: head[1],
        leg: u32::from_be_bytes([head[2], head[3], head[4], head[5]]),
        number: u32::from_be_bytes([head[6], head[7], head[8], head[9]]),
        sent_ns: u64::from_be_bytes([
            head[10], head[11], head[12], head[13], head[14], head[15], head[16], head[17],
        ]),
    })
}

/// Whether a leg of a run said it, in words or comfort frames; what the server plays has other frames.
pub(crate) fn is_voice(payload: &[u8]) -> bool {
    matches!(payload.first(), Some(&(TOC_20_MS | TOC_5_MS)))
}

/// The label of a packet of which every byte is as the run with `seed` sent it.
pub(crate) fn genuine(payload: &[u8], seed: u64) -> Option<Label> {
    let label = label(payload)?;
    let mut expected = [0; BYTES_MAX];
    let len = write(&mut expected, payload[0], label, seed);
    let toc = matches!(payload[0], TOC_20_MS | TOC_5_MS);
    (toc && payload == &expected[..len]).then_some(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABEL: Label = Label {
        span: 1,
        leg: 77,
        number: 40_003,
        sent_ns: 123_456_789_012,
    };

    fn packet(label: Label, seed: u64) -> Vec<u8> {
        let mut buffer = [0; BYTES_MAX];
        let len = write(&mut buffer, TOC_20_MS, label, seed);
        buffer[..len].to_vec()
    }

    #[test]
    fn a_packet_is_known_again_and_any_changed_byte_is_seen() {
        let packet = packet(LABEL, 9);
        assert_eq!(genuine(&packet, 9), Some(LABEL));
        assert_eq!(genuine(&packet, 10), None, "another run");
        for place in 0..packet.len() {
            let mut changed = packet.clone();
            changed[place] ^= 0x10;
            assert_eq!(genuine(&changed, 9), None, "byte {place}");
        }
        assert_eq!(genuine(&packet[..packet.len() - 1], 9), None, "cut");
    }

    #[test]
    fn every_size_has_room_for_the_head_and_fits() {
        for number in 0..SIZES.len() as u32 {
            let len = packet(Label { number, ..LABEL }, 1).len();
            assert!((HEAD_BYTES + 8..=BYTES_MAX).contains(&len), "{len}");
        }
        assert_eq!(label(&[TOC_20_MS; COMFORT_BYTES]), None);
    }
}
