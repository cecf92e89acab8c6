//! Redundant audio (RFC 2198): find the blocks, cut to the primary one, or rename the payload types inside.
//!
//! We never make RED.

/// The largest number of blocks that is followed: browsers send one to three.
const BLOCKS_MAX: usize = 8;

/// Where the primary block of a RED payload begins, and its payload type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Primary {
    /// Offset of its first byte within the payload; it ends with the payload.
    pub at: usize,
    /// Its payload type, as the sender numbers them.
    pub payload_type: u8,
    /// How far the redundant blocks reach into the past, in units of the payload's clock.
    pub reach: u32,
}

/// One redundant block of a RED payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redundant {
    /// Offset of its first byte within the payload.
    pub at: usize,
    /// Its bytes; 0 for a packet that the sender does not repeat.
    pub len: usize,
    /// Its payload type, as the sender numbers them.
    pub payload_type: u8,
    /// How much older than the packet it is, in units of the payload's clock, up to 16,383.
    pub offset: u32,
    /// How many packets before this one it repeats: senders list the packets just before, oldest first.
    pub back: u64,
}

/// The redundant blocks of a payload, oldest first; none for a payload without a [`primary`].
pub fn redundant(payload: &[u8]) -> impl Iterator<Item = Redundant> {
    let headers = payload.chunks_exact(4).take(BLOCKS_MAX);
    let count = match primary(payload) {
        Some(_) => headers
            .take_while(|header| header.first().is_some_and(|first| first & 0x80 != 0))
            .count(),
        None => 0,
    };
    // Behind the headers: four bytes each, and one of the primary.
    let mut at = 4 * count + 1;
    payload.chunks_exact(4).take(count).enumerate().map(move |(n, header)| {
        let word = header.iter().fold(0u32, |word, &byte| word << 8 | u32::from(byte));
        let block = Redundant {
            at,
            len: (word & 0x03FF) as usize,
            payload_type: (word >> 24 & 0x7F) as u8,
            offset: word >> 10 & 0x3FFF,
            back: (count - n) as u64,
        };
        at += block.len;
        block
    })
}

/// Finds the primary block; `None` for a payload that is broken or has more than eight blocks.
///
/// Source: RFC 2198 §3: four bytes per redundant block, one for the primary, then the blocks in the same order.
#[must_use]
pub fn primary(payload: &[u8]) -> Option<Primary> {
    let mut header = 0;
    let mut redundant = 0;
    let mut reach = 0;
    for _ in 0..BLOCKS_MAX {
        let first = *payload.get(header)?;
        if first & 0x80 == 0 {
            let at = header + 1 + redundant;
            return (at <= payload.len()).then_some(Primary {
                at,
                payload_type: first & 0x7F,
                reach,
            });
        }
        let &[upper, middle, low] = payload.get(header + 1..header + 4)? else {
            return None;
        };
        redundant += usize::from(u16::from_be_bytes([middle, low]) & 0x03FF);
        reach = reach.max(u32::from(upper) << 6 | u32::from(middle) >> 2);
        header += 4;
    }
    None
}

/// Gives every block of type `from` the type `to`; `None`, and nothing changed, if a block has another type.
#[must_use]
pub fn rename(payload: &mut [u8], from: u8, to: u8) -> Option<()> {
    primary(payload)?;
    let mut header = 0;
    while let Some(&first) = payload.get(header) {
        if first & 0x7F != from {
            return None;
        }
        if first & 0x80 == 0 {
            break;
        }
        header += 4;
    }
    let mut at = 0;
    while at <= header {
        if let Some(byte) = payload.get_mut(at) {
            *byte = *byte & 0x80 | to & 0x7F;
        }
        at += 4;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One redundant block of two bytes, then a primary of three, both of type 111.
    const RED: [u8; 10] = [0x80 | 111, 0, 0, 2, 111, 1, 2, 7, 8, 9];

    #[test]
    fn the_primary_is_behind_all_headers_and_redundant_blocks() {
        assert_eq!(
            primary(&RED),
            Some(Primary {
                at: 7,
                payload_type: 111,
                reach: 0
            })
        );
        assert_eq!(
            primary(&[96, 5]),
            Some(Primary {
                at: 1,
                payload_type: 96,
                reach: 0
            })
        );
    }

    #[test]
    fn broken_payloads_have_no_primary() {
        assert_eq!(primary(&[]), None);
        assert_eq!(primary(&[0x80, 0, 0]), None);
        assert_eq!(primary(&RED[..6]), None);
        assert_eq!(primary(&[0x80; 64]), None);
    }

    /// Two redundant blocks, 40 and 20 ms old, of one and of two bytes.
    const TWO: [u8; 14] = [0xEF, 0x1E, 0x00, 1, 0xEF, 0x0F, 0x00, 2, 111, 1, 2, 2, 3, 3];

    #[test]
    fn redundant_blocks_are_named_by_place_age_and_distance() {
        let blocks: Vec<_> = redundant(&TWO).collect();
        let seen = blocks
            .iter()
            .map(|block| (block.offset, block.back, &TWO[block.at..][..block.len]));
        assert_eq!(seen.collect::<Vec<_>>(), [(1_920, 2, &[1][..]), (960, 1, &[2, 2][..])]);
        let primary = primary(&TWO).unwrap();
        assert_eq!((primary.at, primary.reach), (12, 1_920));
        assert_eq!(redundant(&[96, 5]).count(), 0);
    }

    #[test]
    fn lengths_that_do_not_fit_give_no_block_at_all() {
        for cut in 0..12 {
            assert_eq!(
                (primary(&TWO[..cut]), redundant(&TWO[..cut]).count()),
                (None, 0),
                "{cut}"
            );
        }
        assert_eq!(redundant(&TWO[..12]).count(), 2, "an empty primary is one");
        let mut lying = TWO;
        lying[2..4].copy_from_slice(&[0x03, 0xFF]);
        assert_eq!(redundant(&lying).count(), 0);
        assert_eq!(redundant(&[0x80; 64]).count(), 0);
        let mut eight = [0x80, 0, 0, 0].repeat(9);
        eight[28] = 111;
        assert_eq!(redundant(&eight[..29]).count(), 7);
        eight[28] = 0x80;
        eight[32] = 111;
        assert_eq!(
            redundant(&eight[..33]).count(),
            0,
            "eight blocks in all, the primary among them"
        );
    }

    #[test]
    fn types_are_renamed_in_all_headers_or_in_none() {
        let mut payload = RED;
        assert_eq!(rename(&mut payload, 111, 96), Some(()));
        assert_eq!((payload[0], payload[4], &payload[5..]), (0x80 | 96, 96, &RED[5..]));
        assert_eq!(rename(&mut payload, 111, 97), None);
        assert_eq!(payload[0], 0x80 | 96);
    }
}
