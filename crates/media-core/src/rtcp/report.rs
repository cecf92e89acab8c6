//! Our reports, written into the caller's buffer: SR or RR, always with an SDES that names us (RFC 3550 §6.1).

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

use super::{Block, SenderInfo};

/// Report blocks that fit the count field of one packet.
pub const BLOCKS_MAX: usize = 31;
/// Longest CNAME: its length is one byte.
pub const CNAME_BYTES_MAX: usize = 255;
/// Enough for any report of ours: header and figures 28, blocks 744, SDES 4 + 4 + 2 + 255, ended and padded.
pub const REPORT_BYTES_MAX: usize = 28 + 24 * BLOCKS_MAX + 268;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SDES: u8 = 202;
const BYE: u8 = 203;
/// SDES item: canonical name.
const CNAME: u8 = 1;

/// The buffer is too small, or there are more blocks or a longer name than a packet can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the report does not fit")]
pub struct NoRoom;

/// Writes SR + SDES at the start of `buffer`; returns the bytes written, a multiple of 4.
///
/// # Errors
/// [`NoRoom`]; never with [`REPORT_BYTES_MAX`] bytes and inputs within their limits.
pub fn sender_report(buffer: &mut [u8], info: &SenderInfo, blocks: &[Block], cname: &str) -> Result<usize, NoRoom> {
    let mut to = Cursor::new(buffer);
    let start = to.begin(SENDER_REPORT, blocks.len())?;
    to.word(info.ssrc)?;
    to.word((info.ntp >> 32) as u32)?;
    to.word(info.ntp as u32)?;
    to.word(info.rtp)?;
    to.word(info.packets)?;
    to.word(info.octets)?;
    to.blocks(blocks)?;
    to.end(start)?;
    to.sdes(info.ssrc, cname)
}

/// Writes RR + SDES at the start of `buffer`; returns the bytes written, a multiple of 4. `ssrc`: who reports.
///
/// # Errors
/// [`NoRoom`]; never with [`REPORT_BYTES_MAX`] bytes and inputs within their limits.
pub fn receiver_report(buffer: &mut [u8], ssrc: u32, blocks: &[Block], cname: &str) -> Result<usize, NoRoom> {
    let mut to = Cursor::new(buffer);
    let start = to.begin(RECEIVER_REPORT, blocks.len())?;
    to.word(ssrc)?;
    to.blocks(blocks)?;
    to.end(start)?;
    to.sdes(ssrc, cname)
}

/// Writes an empty RR and a BYE of `ssrc`; returns the bytes written.
///
/// # Errors
/// [`NoRoom`] below 16 bytes.
pub fn bye(buffer: &mut [u8], ssrc: u32) -> Result<usize, NoRoom> {
    let mut to = Cursor::new(buffer);
    let start = to.begin(RECEIVER_REPORT, 0)?;
    to.word(ssrc)?;
    to.end(start)?;
    let start = to.begin(BYE, 1)?;
    to.word(ssrc)?;
    to.end(start)?;
    Ok(to.len)
}

pub(super) struct Cursor<'b> {
    buffer: &'b mut [u8],
    len: usize,
}

impl<'b> Cursor<'b> {
    pub(super) fn new(buffer: &'b mut [u8]) -> Cursor<'b> {
        Cursor { buffer, len: 0 }
    }

    /// Bytes written.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        let end = self.len + bytes.len();
        self.buffer.get_mut(self.len..end).ok_or(NoRoom)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    pub(super) fn word(&mut self, value: u32) -> Result<(), NoRoom> {
        self.put(&value.to_be_bytes())
    }

    /// Begins a packet with `count` in its first byte; returns where it begins.
    pub(super) fn begin(&mut self, kind: u8, count: usize) -> Result<usize, NoRoom> {
        let start = self.len;
        let count = u8::try_from(count)
            .ok()
            .filter(|&count| usize::from(count) <= BLOCKS_MAX);
        self.put(&[0x80 | count.ok_or(NoRoom)?, kind, 0, 0])?;
        Ok(start)
    }

    /// Writes the length of the packet that began at `start`: in words, less one.
    pub(super) fn end(&mut self, start: usize) -> Result<(), NoRoom> {
        let words = (self.len - start) / 4 - 1;
        let words = u16::try_from(words).map_err(|_| NoRoom)?;
        let place = self.buffer.get_mut(start + 2..start + 4).ok_or(NoRoom)?;
        place.copy_from_slice(&words.to_be_bytes());
        Ok(())
    }

    fn blocks(&mut self, blocks: &[Block]) -> Result<(), NoRoom> {
        for block in blocks {
            let lost = block.cumulative_lost.clamp(-0x80_0000, 0x7F_FFFF) as u32 & 0xFF_FFFF;
            self.word(block.ssrc)?;
            self.word(u32::from(block.fraction_lost) << 24 | lost)?;
            self.word(block.highest)?;
            self.word(block.jitter)?;
            self.word(block.last_sr)?;
            self.word(block.delay_since_sr)?;
        }
        Ok(())
    }

    /// The SDES packet with our canonical name; returns the length of everything.
    fn sdes(&mut self, ssrc: u32, cname: &str) -> Result<usize, NoRoom> {
        let length = u8::try_from(cname.len()).map_err(|_| NoRoom)?;
        let start = self.begin(SDES, 1)?;
        self.word(ssrc)?;
        self.put(&[CNAME, length])?;
        self.put(cname.as_bytes())?;
        // The list of items ends with one to four zero bytes, at a word boundary (RFC 3550 §6.5).
        let zeros = 4 - self.len % 4;
        self.put([0u8; 4].get(..zeros).ok_or(NoRoom)?)?;
        self.end(start)?;
        Ok(self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Packet, parse};
    use super::*;

    const INFO: SenderInfo = SenderInfo {
        ssrc: 1,
        ntp: 0x1122_3344_5566_7788,
        rtp: 2,
        packets: 3,
        octets: 4,
    };

    fn block(lost: i32) -> Block {
        Block {
            ssrc: 5,
            fraction_lost: 6,
            cumulative_lost: lost,
            highest: 7,
            jitter: 8,
            last_sr: 9,
            delay_since_sr: 10,
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut buffer = [0xEE; REPORT_BYTES_MAX];
        for name in ["", "a", "ab", "abc", "abcd"] {
            let blocks = [block(-3), block(12)];
            let len = sender_report(&mut buffer, &INFO, &blocks, name).unwrap();
            let mut compound = parse(&buffer[..len]).unwrap();
            let Some(Packet::SenderReport(info, read)) = compound.next() else {
                panic!("a sender report");
            };
            assert_eq!((info, read.collect::<Vec<_>>()), (INFO, blocks.to_vec()));
            assert!(matches!(compound.next(), Some(Packet::Other(SDES))));
            assert!(compound.next().is_none());

            let len = receiver_report(&mut buffer, 9, &blocks[..1], name).unwrap();
            let Some(Packet::ReceiverReport { ssrc, blocks: read }) = parse(&buffer[..len]).unwrap().next() else {
                panic!("a receiver report");
            };
            assert_eq!((ssrc, read.collect::<Vec<_>>()), (9, blocks[..1].to_vec()));
        }
        let len = bye(&mut buffer, 9).unwrap();
        assert!(matches!(parse(&buffer[..len]).unwrap().nth(1), Some(Packet::Bye(_))));
    }

    #[test]
    fn limits_hold_and_a_small_buffer_is_an_error() {
        let mut buffer = [0; REPORT_BYTES_MAX];
        let name = "n".repeat(CNAME_BYTES_MAX);
        let blocks = [block(0); BLOCKS_MAX];
        let len = sender_report(&mut buffer, &INFO, &blocks, &name).unwrap();
        for short in 0..len {
            assert_eq!(sender_report(&mut buffer[..short], &INFO, &blocks, &name), Err(NoRoom));
        }
        assert_eq!(
            sender_report(&mut buffer, &INFO, &[block(0); BLOCKS_MAX + 1], ""),
            Err(NoRoom)
        );
        assert_eq!(receiver_report(&mut buffer, 1, &[], &"n".repeat(256)), Err(NoRoom));
    }

    #[test]
    fn loss_beyond_24_bits_is_clamped() {
        let mut buffer = [0; 64];
        for (given, kept) in [(i32::MAX, 0x7F_FFFF), (i32::MIN, -0x80_0000)] {
            let len = receiver_report(&mut buffer, 1, &[block(given)], "").unwrap();
            let Some(Packet::ReceiverReport { mut blocks, .. }) = parse(&buffer[..len]).unwrap().next() else {
                panic!("a receiver report");
            };
            assert_eq!(blocks.next().unwrap().cumulative_lost, kept);
        }
    }
}
