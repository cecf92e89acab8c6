//! Relayed payload in its two wrappings: ChannelData (RFC 8656 §12.4) and the Data indication (§11.6), written in place.
//!
//! Never copies the payload: its frame has room in front and behind.

use std::net::SocketAddr;
use std::ops::Range;

use crate::message::join_kind;
use crate::writer::xored;
use crate::{Class, MAGIC_COOKIE, TransactionId, attribute, method};

/// Bytes of ChannelData's header.
pub const HEADER_BYTES: usize = 4;

/// Bytes in front of a payload for the longer wrapping, with an IPv6 peer.
pub const FRONT_BYTES: usize = 48;

/// Bytes behind a payload for the padding of either wrapping.
pub const TAIL_BYTES: usize = 3;

/// Numbers that a channel may have (RFC 8656 §12).
pub const NUMBERS: std::ops::RangeInclusive<u16> = 0x4000..=0x4FFF;

/// Numbers that a channel could have before (RFC 5766 §11); coturn's tools still draw from them.
pub const NUMBERS_BEFORE: std::ops::RangeInclusive<u16> = 0x4000..=0x7FFF;

/// Reads ChannelData: number and payload. Bytes behind the payload are padding.
///
/// `None`: shorter than it says, or no channel's number.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<(u16, &[u8])> {
    parse_of(bytes, &NUMBERS)
}

/// The same for other numbers than [`NUMBERS`].
///
/// `None`: shorter than it says, or no number of these.
#[must_use]
pub fn parse_of<'a>(bytes: &'a [u8], numbers: &std::ops::RangeInclusive<u16>) -> Option<(u16, &'a [u8])> {
    let &[n0, n1, l0, l1, ref rest @ ..] = bytes else {
        return None;
    };
    let number = u16::from_be_bytes([n0, n1]);
    let payload = rest.get(..usize::from(u16::from_be_bytes([l0, l1])))?;
    numbers.contains(&number).then_some((number, payload))
}

/// Wraps the payload at `payload` of `frame` as ChannelData; returns what to send. `padded`: for a stream.
///
/// `None`: no room in front or behind, or more than 65,535 bytes.
#[must_use]
pub fn wrap(frame: &mut [u8], payload: Range<usize>, number: u16, padded: bool) -> Option<Range<usize>> {
    let length = u16::try_from(payload.len()).ok()?;
    let start = payload.start.checked_sub(HEADER_BYTES)?;
    let [n0, n1] = number.to_be_bytes();
    let [l0, l1] = length.to_be_bytes();
    frame.get_mut(start..payload.start)?.copy_from_slice(&[n0, n1, l0, l1]);
    let end = if padded { pad(frame, &payload)? } else { payload.end };
    Some(start..end)
}

/// Wraps the payload at `payload` of `frame` as a Data indication from `peer`; returns what to send.
///
/// `None`: no room in front or behind, or more than 65,000 bytes.
#[must_use]
pub fn wrap_data(
    frame: &mut [u8],
    payload: Range<usize>,
    peer: SocketAddr,
    transaction: TransactionId,
) -> Option<Range<usize>> {
    let (address, address_len) = xored(peer, &transaction);
    let front = crate::HEADER_BYTES + 4 + address_len + 4;
    let start = payload.start.checked_sub(front)?;
    let end = pad(frame, &payload)?;
    let total = u16::try_from(end - start - crate::HEADER_BYTES).ok()?;
    let mut header = [0u8; FRONT_BYTES];
    let parts: [&[u8]; 9] = [
        &join_kind(Class::Indication, method::DATA).to_be_bytes(),
        &total.to_be_bytes(),
        &MAGIC_COOKIE.to_be_bytes(),
        &transaction,
        &attribute::XOR_PEER_ADDRESS.to_be_bytes(),
        &(address_len as u16).to_be_bytes(),
        address.get(..address_len)?,
        &attribute::DATA.to_be_bytes(),
        &(payload.len() as u16).to_be_bytes(),
    ];
    let written = crate::writer::fill(&mut header, &parts);
    frame
        .get_mut(start..payload.start)?
        .copy_from_slice(header.get(..written)?);
    Some(start..end)
}

/// Zeros behind the payload up to the next multiple of four; returns the new end.
fn pad(frame: &mut [u8], payload: &Range<usize>) -> Option<usize> {
    let end = payload.start + payload.len().next_multiple_of(4);
    frame.get_mut(payload.end..end)?.fill(0);
    Some(end)
}
