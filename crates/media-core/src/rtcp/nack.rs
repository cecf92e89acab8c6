//! Generic NACK (RFC 4585 §6.2.1): which packets of a stream somebody misses.
//!
//! Never allocates, never panics on any bytes.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

use super::report::{Cursor, NoRoom};

/// Transport-layer feedback (RFC 4585 §6.1).
pub(super) const FEEDBACK: u8 = 205;
/// Its format: generic NACK.
pub(super) const GENERIC_NACK: u8 = 1;
/// Bytes of the two SSRCs before the entries.
pub(super) const SOURCES: usize = 8;
/// Bytes of an entry: a number, and a bit for each of the 16 behind it.
const ENTRY: usize = 4;

/// A request for packets of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nack<'a> {
    /// Who asks.
    pub sender: u32,
    /// Whose packets.
    pub media: u32,
    entries: &'a [u8],
}

impl<'a> Nack<'a> {
    /// From the body behind the packet's header; `None` if it is too short to name a stream or ends within an entry.
    pub(super) fn read(body: &'a [u8]) -> Option<Nack<'a>> {
        let (sources, entries) = body.split_first_chunk::<SOURCES>()?;
        let [s0, s1, s2, s3, m0, m1, m2, m3] = *sources;
        entries.len().is_multiple_of(ENTRY).then_some(Nack {
            sender: u32::from_be_bytes([s0, s1, s2, s3]),
            media: u32::from_be_bytes([m0, m1, m2, m3]),
            entries,
        })
    }

    /// The sequence numbers that are asked for, in the order of the entries; a peer may name one twice.
    #[must_use]
    pub fn numbers(&self) -> Numbers<'a> {
        Numbers {
            entries: self.entries,
            next: 0,
            bits: 0,
        }
    }
}

/// Iterator over sequence numbers; at most 17 an entry.
#[derive(Clone, Debug)]
pub struct Numbers<'a> {
    entries: &'a [u8],
    /// The number that the lowest of `bits` stands for.
    next: u16,
    bits: u32,
}

impl Iterator for Numbers<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        if self.bits == 0 {
            let (entry, rest) = self.entries.split_first_chunk::<ENTRY>()?;
            let [p0, p1, b0, b1] = *entry;
            self.entries = rest;
            self.next = u16::from_be_bytes([p0, p1]);
            self.bits = u32::from(u16::from_be_bytes([b0, b1])) << 1 | 1;
        }
        let skipped = self.bits.trailing_zeros();
        let number = self.next.wrapping_add(skipped as u16);
        self.bits = (self.bits >> skipped) >> 1;
        self.next = number.wrapping_add(1);
        Some(number)
    }
}

/// Writes one NACK at the start of `buffer`; returns its bytes. `numbers`: ascending by sequence arithmetic.
///
/// # Errors
/// [`NoRoom`]; never with 12 bytes and 4 more per number.
pub fn nack(buffer: &mut [u8], sender: u32, media: u32, numbers: &[u16]) -> Result<usize, NoRoom> {
    let mut to = Cursor::new(buffer);
    let start = to.begin(FEEDBACK, usize::from(GENERIC_NACK))?;
    to.word(sender)?;
    to.word(media)?;
    let mut rest = numbers.iter().copied().peekable();
    while let Some(first) = rest.next() {
        let mut bits = 0u16;
        while let Some(&number) = rest.peek() {
            match number.wrapping_sub(first) {
                0 => {}
                behind @ 1..=16 => bits |= 1 << (behind - 1),
                _ => break,
            }
            rest.next();
        }
        to.word(u32::from(first) << 16 | u32::from(bits))?;
    }
    to.end(start)?;
    Ok(to.len())
}

#[cfg(test)]
mod tests {
    use super::super::{Malformed, Packet, parse};
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Vec<u16> {
        let Some(Packet::Nack(nack)) = parse(bytes).unwrap().next() else {
            panic!("a NACK");
        };
        assert_eq!((nack.sender, nack.media), (7, 9));
        nack.numbers().collect()
    }

    #[test]
    fn an_entry_names_a_number_and_the_sixteen_behind_it() {
        let bytes = [0x81, 205, 0, 3, 0, 0, 0, 7, 0, 0, 0, 9, 0xFF, 0xFE, 0x80, 0x05];
        assert_eq!(read(&bytes), [0xFFFE, 0xFFFF, 1, 14]);
        let all = [0x81, 205, 0, 3, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0, 0xFF, 0xFF];
        assert_eq!(read(&all), (0..=16).collect::<Vec<u16>>());
    }

    #[test]
    fn what_names_no_stream_drops_its_compound_and_another_format_is_passed_over() {
        let short = [0x81, 205, 0, 1, 0, 0, 0, 7];
        assert_eq!(parse(&short).err(), Some(Malformed::Truncated));
        let empty = [0x81, 205, 0, 2, 0, 0, 0, 7, 0, 0, 0, 9];
        assert_eq!(read(&empty), [0u16; 0]);
        let transport_cc = [0x8F, 205, 0, 1, 0, 0, 0, 7];
        assert!(matches!(parse(&transport_cc).unwrap().next(), Some(Packet::Other(205))));
    }

    #[test]
    fn a_small_buffer_is_an_error() {
        let mut buffer = [0; 16];
        assert_eq!(nack(&mut buffer, 7, 9, &[1, 17]), Ok(16));
        assert_eq!(nack(&mut buffer, 7, 9, &[1, 18]), Err(NoRoom));
        assert_eq!(nack(&mut buffer[..11], 7, 9, &[]), Err(NoRoom));
    }

    proptest! {
        #![proptest_config(testkit::properties::usual())]

        #[test]
        fn what_is_written_is_read_back(first in any::<u16>(), steps in prop::collection::vec(1u16..40, 0..64)) {
            let numbers: Vec<u16> = steps
                .iter()
                .scan(first, |number, step| { *number = number.wrapping_add(*step); Some(*number) })
                .collect();
            let mut buffer = [0; 300];
            let len = nack(&mut buffer, 7, 9, &numbers).unwrap();
            prop_assert_eq!(read(&buffer[..len]), numbers);
        }
    }
}
