//! Reading of compound packets, decrypted.
//!
//! A compound packet is checked whole before anything of it is looked at: one bad packet drops its compound.
//!
//! Invariant: a [`Compound`] exists only for a row of at most [`PACKETS_MAX`] packets that fills the datagram.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

use super::nack::{FEEDBACK, GENERIC_NACK};
use super::xr::EXTENDED_REPORT;
use super::{Block, Extended, Nack};

/// Packets of one compound packet; a datagram of empty ones could hold hundreds, browsers send two to four.
pub const PACKETS_MAX: usize = 32;
/// Bytes of a packet header.
const HEADER: usize = 4;
/// Bytes of a report block.
const BLOCK: usize = 24;
/// Bytes of the sender's figures between its SSRC and its blocks.
const SENDER_INFO: usize = 20;
/// Packet types (RFC 3550 §12.1).
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const BYE: u8 = 203;

/// The bytes are no compound RTCP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A packet is longer than the datagram, or its parts are longer than the packet.
    #[error("shorter than it says")]
    Truncated,
    /// The version is not 2.
    #[error("the version is not 2")]
    Version,
    /// More than [`PACKETS_MAX`] packets.
    #[error("too many packets")]
    TooMany,
}

/// The figures of a sender report (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// Who sends.
    pub ssrc: u32,
    /// When, NTP.
    pub ntp: u64,
    /// The same instant in media time.
    pub rtp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload bytes sent.
    pub octets: u32,
}

/// A BYE packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bye<'a> {
    bytes: &'a [u8],
}

impl<'a> Bye<'a> {
    /// Who leaves; at most 31.
    #[must_use]
    pub fn sources(&self) -> Sources<'a> {
        Sources { bytes: self.bytes }
    }
}

/// One packet of a compound.
#[derive(Clone, Debug)]
pub enum Packet<'a> {
    /// What the peer sends, and how it gets our streams.
    SenderReport(SenderInfo, Blocks<'a>),
    /// How the peer gets our streams.
    ReceiverReport {
        /// Who reports.
        ssrc: u32,
        /// At most 31.
        blocks: Blocks<'a>,
    },
    /// Streams of the peer that end.
    Bye(Bye<'a>),
    /// Packets of ours that the peer asks for.
    Nack(Nack<'a>),
    /// Reference times and figures of a call.
    Extended(Extended<'a>),
    /// SDES, other feedback and everything else: passed over.
    Other(u8),
}

/// Iterator over report blocks.
#[derive(Clone, Debug)]
pub struct Blocks<'a> {
    bytes: &'a [u8],
}

impl Iterator for Blocks<'_> {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        let (block, rest) = self.bytes.split_first_chunk::<BLOCK>()?;
        self.bytes = rest;
        let mut words = block.chunks_exact(4).map(be32);
        let ssrc = words.next()?;
        let loss = words.next()?;
        Some(Block {
            ssrc,
            fraction_lost: (loss >> 24) as u8,
            // The sign of 24 bits is carried up by shifting there and back.
            cumulative_lost: (loss << 8) as i32 >> 8,
            highest: words.next()?,
            jitter: words.next()?,
            last_sr: words.next()?,
            delay_since_sr: words.next()?,
        })
    }
}

/// Iterator over SSRCs.
#[derive(Clone, Debug)]
pub struct Sources<'a> {
    bytes: &'a [u8],
}

impl Iterator for Sources<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (ssrc, rest) = self.bytes.split_first_chunk::<4>()?;
        self.bytes = rest;
        Some(u32::from_be_bytes(*ssrc))
    }
}

/// A compound packet that holds together.
#[derive(Clone, Debug)]
pub struct Compound<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Compound<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Packet<'a>> {
        let (packet, rest) = take(self.rest).ok()?;
        self.rest = rest;
        Some(packet)
    }
}

/// Checks a decrypted compound packet. A reduced-size one (RFC 5506) is as good.
///
/// # Errors
/// [`Malformed`]; nothing of the datagram may then be believed.
pub fn parse(datagram: &[u8]) -> Result<Compound<'_>, Malformed> {
    let mut rest = datagram;
    let mut packets = 0;
    loop {
        (_, rest) = take(rest)?;
        packets += 1;
        if rest.is_empty() {
            return Ok(Compound { rest: datagram });
        }
        if packets == PACKETS_MAX {
            return Err(Malformed::TooMany);
        }
    }
}

fn take(bytes: &[u8]) -> Result<(Packet<'_>, &[u8]), Malformed> {
    let &[first, kind, l0, l1] = bytes.first_chunk::<HEADER>().ok_or(Malformed::Truncated)?;
    if first >> 6 != 2 {
        return Err(Malformed::Version);
    }
    let end = HEADER + 4 * usize::from(u16::from_be_bytes([l0, l1]));
    let (whole, rest) = bytes.split_at_checked(end).ok_or(Malformed::Truncated)?;
    let body = whole.get(HEADER..).ok_or(Malformed::Truncated)?;
    let count = usize::from(first & 0x1F);
    let packet = match kind {
        SENDER_REPORT => {
            let (info, behind) = body.split_at_checked(4 + SENDER_INFO).ok_or(Malformed::Truncated)?;
            Packet::SenderReport(sender_info(info).ok_or(Malformed::Truncated)?, blocks(behind, count)?)
        }
        RECEIVER_REPORT => {
            let (ssrc, behind) = body.split_first_chunk::<4>().ok_or(Malformed::Truncated)?;
            Packet::ReceiverReport {
                ssrc: u32::from_be_bytes(*ssrc),
                blocks: blocks(behind, count)?,
            }
        }
        BYE => Packet::Bye(Bye {
            bytes: body.get(..4 * count).ok_or(Malformed::Truncated)?,
        }),
        FEEDBACK if count == usize::from(GENERIC_NACK) => Packet::Nack(Nack::read(body).ok_or(Malformed::Truncated)?),
        EXTENDED_REPORT => Packet::Extended(Extended::read(body).ok_or(Malformed::Truncated)?),
        other => Packet::Other(other),
    };
    Ok((packet, rest))
}

/// The blocks at the front; a profile's extension or padding may follow them.
fn blocks(bytes: &[u8], count: usize) -> Result<Blocks<'_>, Malformed> {
    let bytes = bytes.get(..BLOCK * count).ok_or(Malformed::Truncated)?;
    Ok(Blocks { bytes })
}

fn sender_info(bytes: &[u8]) -> Option<SenderInfo> {
    let mut words = bytes.chunks_exact(4).map(be32);
    Some(SenderInfo {
        ssrc: words.next()?,
        ntp: u64::from(words.next()?) << 32 | u64::from(words.next()?),
        rtp: words.next()?,
        packets: words.next()?,
        octets: words.next()?,
    })
}

/// Big-endian value of a chunk of four bytes.
fn be32(chunk: &[u8]) -> u32 {
    chunk.iter().fold(0, |value, &byte| value << 8 | u32::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(kind: u8, count: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x80 | count, kind];
        bytes.extend_from_slice(&((body.len() / 4) as u16).to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn a_compound_of_every_kind_is_read() {
        let mut bytes = packet(SENDER_REPORT, 1, &(0..48).collect::<Vec<u8>>());
        bytes.extend_from_slice(&packet(202, 1, &[0; 12]));
        bytes.extend_from_slice(&packet(207, 0, &[0, 0, 0, 1, 4, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0]));
        bytes.extend_from_slice(&packet(BYE, 2, &[0, 0, 0, 9, 0, 0, 0, 8, 3, b'b', b'y', b'e']));
        let mut compound = parse(&bytes).unwrap();
        let Some(Packet::SenderReport(info, mut blocks)) = compound.next() else {
            panic!("the first packet is a sender report");
        };
        assert_eq!((info.ssrc, info.ntp), (0x0001_0203, 0x0405_0607_0809_0A0B));
        assert_eq!(
            (info.rtp, info.packets, info.octets),
            (0x0C0D_0E0F, 0x1011_1213, 0x1415_1617)
        );
        let block = blocks.next().unwrap();
        assert_eq!((block.ssrc, block.fraction_lost), (0x1819_1A1B, 0x1C));
        assert_eq!((block.cumulative_lost, block.highest), (0x1D_1E1F, 0x2021_2223));
        assert_eq!((block.jitter, block.last_sr), (0x2425_2627, 0x2829_2A2B));
        assert_eq!(block.delay_since_sr, 0x2C2D_2E2F);
        assert!(blocks.next().is_none());
        assert!(matches!(compound.next(), Some(Packet::Other(202))));
        assert!(matches!(compound.next(), Some(Packet::Extended(_))));
        let Some(Packet::Bye(bye)) = compound.next() else {
            panic!("the last packet is a BYE");
        };
        assert_eq!(bye.sources().collect::<Vec<_>>(), [9, 8]);
        assert!(compound.next().is_none());
    }

    #[test]
    fn negative_loss_keeps_its_sign() {
        let mut body = vec![0; 28];
        body[8..12].copy_from_slice(&[0, 0xFF, 0xFF, 0xFE]);
        let bytes = packet(RECEIVER_REPORT, 1, &body);
        let Some(Packet::ReceiverReport { mut blocks, .. }) = parse(&bytes).unwrap().next() else {
            panic!("a receiver report");
        };
        assert_eq!(blocks.next().unwrap().cumulative_lost, -2);
    }

    #[test]
    fn one_bad_packet_drops_the_compound() {
        let good = packet(RECEIVER_REPORT, 0, &[0, 0, 0, 1]);
        let bad: [Vec<u8>; 6] = [
            vec![],
            vec![0x80, 201, 0],
            vec![0x80, 201, 0, 0],
            packet(RECEIVER_REPORT, 1, &[0; 24]),
            packet(SENDER_REPORT, 0, &[0; 20]),
            packet(BYE, 2, &[0; 4]),
        ];
        for bytes in bad {
            assert_eq!(parse(&bytes).err(), Some(Malformed::Truncated), "{bytes:?}");
            if !bytes.is_empty() {
                let whole = [good.clone(), bytes].concat();
                assert_eq!(parse(&whole).err(), Some(Malformed::Truncated));
            }
        }
        assert_eq!(parse(&[0, 0, 0, 0]).err(), Some(Malformed::Version));
    }

    #[test]
    fn packets_are_limited() {
        let one = packet(202, 0, &[]);
        assert_eq!(parse(&one.repeat(PACKETS_MAX)).unwrap().count(), PACKETS_MAX);
        assert_eq!(parse(&one.repeat(PACKETS_MAX + 1)).err(), Some(Malformed::TooMany));
    }

    proptest! {
        #![proptest_config(testkit::properties::usual())]

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 199u8..208) {
            let mut bytes = bytes;
            if let [first, second, ..] = &mut bytes[..] {
                *first = 0x80 | *first & 0x3F;
                *second = kind;
            }
            if let Ok(compound) = parse(&bytes) {
                for packet in compound {
                    match packet {
                        Packet::SenderReport(_, blocks) => prop_assert!(blocks.count() < 32),
                        Packet::ReceiverReport { blocks, .. } => prop_assert!(blocks.count() < 32),
                        Packet::Bye(bye) => prop_assert!(bye.sources().count() < 32),
                        Packet::Nack(nack) => prop_assert!(nack.numbers().count() <= 17 * 75),
                        Packet::Extended(report) => prop_assert!(report.blocks().count() < 75),
                        Packet::Other(_) => {}
                    }
                }
            }
        }
    }
}
