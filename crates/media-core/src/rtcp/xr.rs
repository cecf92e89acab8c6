//! Extended reports (RFC 3611), as far as the round trip of somebody who only listens needs them.
//!
//! A receiver without a stream of its own sends a reference time; whoever gets it answers with how long he kept it.
//!
//! Never allocates, never panics on any bytes.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

use super::report::{Cursor, NoRoom};

/// Packet type (RFC 3611 §2).
pub(super) const EXTENDED_REPORT: u8 = 207;
/// Block type: receiver reference time (RFC 3611 §4.4).
const REFERENCE: u8 = 4;
/// Block type: delay since the last receiver reference time (RFC 3611 §4.5).
const DELAY: u8 = 5;
/// Bytes of a block's header: type, what the type makes of it, length in words.
const BLOCK_HEADER: usize = 4;
/// Bytes of one receiver's part of a [`DELAY`] block.
const DELAY_BYTES: usize = 12;

/// An extended report that holds together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extended<'a> {
    /// Who reports.
    pub sender: u32,
    blocks: &'a [u8],
}

/// One block of an extended report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtendedBlock<'a> {
    /// The reporter's clock, NTP.
    Reference(u64),
    /// How long the reporter kept the reference times of others.
    Delays(Delays<'a>),
    /// Anything else, such as the figures of a call (RFC 3611 §4.7): passed over.
    Other(u8),
}

/// One receiver's part of a delay block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    /// Who had sent the reference time.
    pub ssrc: u32,
    /// Middle 32 bits of it.
    pub last_reference: u32,
    /// Time since it came, in 1/65,536 s.
    pub delay: u32,
}

impl<'a> Extended<'a> {
    /// From the body behind the packet's header; `None` if a block is longer than the packet or too short for its type.
    pub(super) fn read(body: &'a [u8]) -> Option<Extended<'a>> {
        let (sender, blocks) = body.split_first_chunk::<4>()?;
        let mut rest = blocks;
        while !rest.is_empty() {
            (_, rest) = block(rest)?;
        }
        Some(Extended {
            sender: u32::from_be_bytes(*sender),
            blocks,
        })
    }

    /// The blocks.
    #[must_use]
    pub fn blocks(&self) -> ExtendedBlocks<'a> {
        ExtendedBlocks { rest: self.blocks }
    }
}

/// Iterator over the blocks of an extended report.
#[derive(Clone, Debug)]
pub struct ExtendedBlocks<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for ExtendedBlocks<'a> {
    type Item = ExtendedBlock<'a>;

    fn next(&mut self) -> Option<ExtendedBlock<'a>> {
        let (block, rest) = block(self.rest)?;
        self.rest = rest;
        Some(block)
    }
}

/// Iterator over the parts of a delay block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delays<'a> {
    bytes: &'a [u8],
}

impl Iterator for Delays<'_> {
    type Item = Delay;

    fn next(&mut self) -> Option<Delay> {
        let (part, rest) = self.bytes.split_first_chunk::<DELAY_BYTES>()?;
        self.bytes = rest;
        let [s0, s1, s2, s3, r0, r1, r2, r3, d0, d1, d2, d3] = *part;
        Some(Delay {
            ssrc: u32::from_be_bytes([s0, s1, s2, s3]),
            last_reference: u32::from_be_bytes([r0, r1, r2, r3]),
            delay: u32::from_be_bytes([d0, d1, d2, d3]),
        })
    }
}

fn block(bytes: &[u8]) -> Option<(ExtendedBlock<'_>, &[u8])> {
    let (&[kind, _, l0, l1], behind) = bytes.split_first_chunk::<BLOCK_HEADER>()?;
    let (body, rest) = behind.split_at_checked(4 * usize::from(u16::from_be_bytes([l0, l1])))?;
    let block = match kind {
        REFERENCE => ExtendedBlock::Reference(u64::from_be_bytes(body.try_into().ok()?)),
        DELAY if body.len().is_multiple_of(DELAY_BYTES) => ExtendedBlock::Delays(Delays { bytes: body }),
        DELAY => return None,
        other => ExtendedBlock::Other(other),
    };
    Some((block, rest))
}

/// Writes an extended report with our clock at the start of `buffer`; returns its bytes.
///
/// # Errors
/// [`NoRoom`] below 20 bytes.
pub fn reference_time(buffer: &mut [u8], sender: u32, ntp: u64) -> Result<usize, NoRoom> {
    let mut to = Cursor::new(buffer);
    let start = to.begin(EXTENDED_REPORT, 0)?;
    to.word(sender)?;
    to.put(&[REFERENCE, 0, 0, 2])?;
    to.word((ntp >> 32) as u32)?;
    to.word(ntp as u32)?;
    to.end(start)?;
    Ok(to.len())
}

/// Writes an extended report that answers one reference time; returns its bytes.
///
/// # Errors
/// [`NoRoom`] below 24 bytes.
pub fn reference_answer(buffer: &mut [u8], sender: u32, answer: &Delay) -> Result<usize, NoRoom> {
    let mut to = Cursor::new(buffer);
    let start = to.begin(EXTENDED_REPORT, 0)?;
    to.word(sender)?;
    to.put(&[DELAY, 0, 0, 3])?;
    to.word(answer.ssrc)?;
    to.word(answer.last_reference)?;
    to.word(answer.delay)?;
    to.end(start)?;
    Ok(to.len())
}

#[cfg(test)]
mod tests {
    use super::super::{Malformed, Packet, parse};
    use super::*;

    fn read(bytes: &[u8]) -> Vec<ExtendedBlock<'_>> {
        let Some(Packet::Extended(report)) = parse(bytes).unwrap().next() else {
            panic!("an extended report");
        };
        assert_eq!(report.sender, 7);
        report.blocks().collect()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut buffer = [0; 64];
        let len = reference_time(&mut buffer, 7, 0x1122_3344_5566_7788).unwrap();
        assert_eq!(read(&buffer[..len]), [ExtendedBlock::Reference(0x1122_3344_5566_7788)]);
        for short in 0..len {
            assert_eq!(reference_time(&mut buffer[..short], 7, 0), Err(NoRoom));
        }
        let answer = Delay {
            ssrc: 1,
            last_reference: 2,
            delay: 3,
        };
        let len = reference_answer(&mut buffer, 7, &answer).unwrap();
        let blocks = read(&buffer[..len]);
        let [ExtendedBlock::Delays(delays)] = &blocks[..] else {
            panic!("one block of delays, not {blocks:?}");
        };
        assert_eq!(delays.clone().collect::<Vec<_>>(), [answer]);
    }

    #[test]
    fn blocks_that_nobody_here_needs_are_passed_over() {
        // An unknown one, and the figures of a call.
        let mut bytes = vec![0x80, 207, 0, 14, 0, 0, 0, 7, 99, 0, 0, 0, 7, 0, 0, 8];
        bytes.extend_from_slice(&[9; 32]);
        bytes.extend_from_slice(&[4, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
        let expected = [
            ExtendedBlock::Other(99),
            ExtendedBlock::Other(7),
            ExtendedBlock::Reference(1 << 32 | 2),
        ];
        assert_eq!(read(&bytes), expected);
    }

    #[test]
    fn a_block_that_does_not_fit_its_packet_or_its_type_drops_the_compound() {
        for block in [
            &[4, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0][..],
            &[4, 0, 0, 1, 0, 0, 0, 0],
            &[5, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0],
            &[99, 0, 0xFF, 0xFF],
        ] {
            let mut bytes = vec![0x80, 207, 0, 1 + block.len() as u8 / 4, 0, 0, 0, 7];
            bytes.extend_from_slice(block);
            assert_eq!(parse(&bytes).err(), Some(Malformed::Truncated), "{block:?}");
        }
        assert_eq!(parse(&[0x80, 207, 0, 0]).err(), Some(Malformed::Truncated));
    }
}
