//! Redundant audio (RFC 2198): find the primary block, cut to it, or rename the payload types inside.
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
}

/// Finds the primary block; `None` for a payload that is broken or has more than eight blocks.
///
/// Source: RFC 2198 §3: four bytes per redundant block, one for the primary, then the blocks in the same order.
#[must_use]
pub fn primary(payload: &[u8]) -> Option<Primary> {
    let mut header = 0;
    let mut redundant = 0;
    for _ in 0..BLOCKS_MAX {
        let first = *payload.get(header)?;
        if first & 0x80 == 0 {
            let at = header + 1 + redundant;
            return (at <= payload.len()).then_some(Primary {
                at,
                payload_type: first & 0x7F,
            });
        }
        let &[high, low] = payload.get(header + 2..header + 4)? else {
            return None;
        };
        redundant += usize::from(u16::from_be_bytes([high, low]) & 0x03FF);
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
                payload_type: 111
            })
        );
        assert_eq!(
            primary(&[96, 5]),
            Some(Primary {
                at: 1,
                payload_type: 96
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

    #[test]
    fn types_are_renamed_in_all_headers_or_in_none() {
        let mut payload = RED;
        assert_eq!(rename(&mut payload, 111, 96), Some(()));
        assert_eq!((payload[0], payload[4], &payload[5..]), (0x80 | 96, 96, &RED[5..]));
        assert_eq!(rename(&mut payload, 111, 97), None);
        assert_eq!(payload[0], 0x80 | 96);
    }
}
