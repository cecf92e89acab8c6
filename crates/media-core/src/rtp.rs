//! RTP headers: parsed from borrowed bytes, rewritten in place (RFC 3550 §5.1, RFC 8285).
//!
//! Never allocates, never touches the payload, never panics on any input.
//!
//! Invariant: a [`Header`] exists only for bytes whose fixed header, CSRC list and extension lie within the packet.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

use std::ops::Range;

/// Bytes of the fixed header.
pub const FIXED_BYTES: usize = 12;
/// Profile of one-byte header extensions (RFC 8285 §4.2).
const ONE_BYTE: u16 = 0xBEDE;
/// Profile of two-byte header extensions without its four application bits (RFC 8285 §4.3).
const TWO_BYTE: u16 = 0x1000;
/// Ids that [`remap_extensions`] can carry: those of the one-byte form, 1 to 14, and 0 and 15 which mean nothing.
pub const EXTENSION_IDS: usize = 16;

/// The bytes are no RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Shorter than its own header says.
    #[error("the packet is shorter than its header")]
    Truncated,
    /// The version is not 2.
    #[error("the version is not 2")]
    Version,
    /// The padding count is zero or larger than the payload.
    #[error("the padding does not fit")]
    Padding,
}

/// A parsed header: values and offsets, no borrow, so that the packet can be changed beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// Media time, in units of the payload's clock.
    pub timestamp: u32,
    /// Who sent it.
    pub ssrc: u32,
    /// Bytes of the whole header, CSRCs and extension included: where the payload begins.
    pub len: usize,
    padded: bool,
    extension: Extension,
}

/// Where the header extension lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extension {
    form: Form,
    start: usize,
    end: usize,
}

/// How header extensions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// There is none, or one whose profile says nothing to us.
    None,
    OneByte,
    TwoByte,
}

impl Header {
    /// Reads the header of one packet, sealed or plain: the header itself is never encrypted.
    ///
    /// # Errors
    /// [`Malformed::Truncated`], [`Malformed::Version`].
    #[inline]
    pub fn parse(packet: &[u8]) -> Result<Header, Malformed> {
        let (fixed, _) = packet.split_first_chunk::<FIXED_BYTES>().ok_or(Malformed::Truncated)?;
        let [b0, b1, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *fixed;
        if b0 >> 6 != 2 {
            return Err(Malformed::Version);
        }
        let mut len = FIXED_BYTES + 4 * usize::from(b0 & 0x0F);
        let mut extension = Extension {
            form: Form::None,
            start: 0,
            end: 0,
        };
        if b0 & 0x10 != 0 {
            let &[p0, p1, w0, w1] = packet
                .get(len..)
                .and_then(|rest| rest.first_chunk::<4>())
                .ok_or(Malformed::Truncated)?;
            let start = len + 4;
            len = start + 4 * usize::from(u16::from_be_bytes([w0, w1]));
            let profile = u16::from_be_bytes([p0, p1]);
            let form = match profile {
                ONE_BYTE => Form::OneByte,
                _ if profile >> 4 == TWO_BYTE >> 4 => Form::TwoByte,
                _ => Form::None,
            };
            extension = Extension { form, start, end: len };
        }
        if packet.len() < len {
            return Err(Malformed::Truncated);
        }
        Ok(Header {
            payload_type: b1 & 0x7F,
            marker: b1 & 0x80 != 0,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            len,
            padded: b0 & 0x20 != 0,
            extension,
        })
    }

    /// Where the payload of the *decrypted* packet lies, padding removed.
    ///
    /// # Errors
    /// [`Malformed::Padding`]; [`Malformed::Truncated`] if `packet` is shorter than the header that was parsed.
    #[inline]
    pub fn payload(&self, packet: &[u8]) -> Result<Range<usize>, Malformed> {
        let body = packet.get(self.len..).ok_or(Malformed::Truncated)?;
        if !self.padded {
            return Ok(self.len..packet.len());
        }
        let count = usize::from(*body.last().ok_or(Malformed::Padding)?);
        if count == 0 || count > body.len() {
            return Err(Malformed::Padding);
        }
        Ok(self.len..packet.len() - count)
    }

    /// The header extensions of `packet`, in wire order.
    #[inline]
    #[must_use]
    pub fn extensions<'a>(&self, packet: &'a [u8]) -> Extensions<'a> {
        let bytes = packet.get(self.extension.start..self.extension.end).unwrap_or_default();
        Extensions {
            form: self.extension.form,
            rest: bytes,
        }
    }

    /// The value of the extension `id`; `None` if there is none.
    #[inline]
    #[must_use]
    pub fn extension<'a>(&self, packet: &'a [u8], id: u8) -> Option<&'a [u8]> {
        self.extensions(packet)
            .find(|element| element.id == id)
            .map(|element| element.value)
    }

    /// The audio level that the sender claims (RFC 6464 §3), under the negotiated extension `id`.
    #[inline]
    #[must_use]
    pub fn level(&self, packet: &[u8], id: u8) -> Option<Level> {
        let &byte = self.extension(packet, id)?.first()?;
        Some(Level {
            voice: byte & 0x80 != 0,
            loudness: 127 - (byte & 0x7F),
        })
    }
}

/// Loudness of one packet, as its sender measured it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// The sender takes it for speech.
    pub voice: bool,
    /// 0 silence to 127 full scale, in dB: RFC 6464 turned round.
    pub loudness: u8,
}

/// One header extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// Its negotiated id.
    pub id: u8,
    /// Its bytes.
    pub value: &'a [u8],
}

/// Iterator over header extensions. Ends quietly at the first one that does not fit.
#[derive(Clone, Debug)]
pub struct Extensions<'a> {
    form: Form,
    rest: &'a [u8],
}

impl<'a> Iterator for Extensions<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        let (skipped, head) = element_head(self.form, self.rest)?;
        let from = self.rest.get(skipped..)?;
        let value = from.get(head.bytes..head.bytes + head.value)?;
        self.rest = from.get(head.bytes + head.value..)?;
        Some(Element { id: head.id, value })
    }
}

/// The head of one element: its id, its own bytes (1 or 2) and the bytes of its value.
struct Head {
    id: u8,
    bytes: usize,
    value: usize,
}

/// Skips padding and reads the next element's head; `None` at the end or at the stop id 15 of the one-byte form.
#[inline]
fn element_head(form: Form, bytes: &[u8]) -> Option<(usize, Head)> {
    let skipped = bytes.iter().position(|&byte| byte != 0)?;
    let mut rest = bytes.iter().skip(skipped);
    let first = *rest.next()?;
    match form {
        Form::None => None,
        Form::OneByte if first >> 4 == 15 => None,
        Form::OneByte => Some((
            skipped,
            Head {
                id: first >> 4,
                bytes: 1,
                value: usize::from(first & 0x0F) + 1,
            },
        )),
        Form::TwoByte => Some((
            skipped,
            Head {
                id: first,
                bytes: 2,
                value: usize::from(*rest.next()?),
            },
        )),
    }
}

/// What a sink's stream says instead of the source's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// The sink's payload type, below 128.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// Media time.
    pub timestamp: u32,
    /// The slot's SSRC.
    pub ssrc: u32,
}

/// Writes the five values into the fixed header; false, and nothing written, for fewer than 12 bytes.
#[inline]
pub fn rewrite(packet: &mut [u8], to: &Rewrite) -> bool {
    let Some(fixed) = packet.first_chunk_mut::<FIXED_BYTES>() else {
        return false;
    };
    let [_, b1, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = fixed;
    *b1 = to.payload_type & 0x7F | u8::from(to.marker) << 7;
    [*s0, *s1] = to.sequence.to_be_bytes();
    [*t0, *t1, *t2, *t3] = to.timestamp.to_be_bytes();
    [*c0, *c1, *c2, *c3] = to.ssrc.to_be_bytes();
    true
}

/// Gives the header extensions the ids of the sink, in place: `to[id]` is the new id, 0 means that the sink did not
/// negotiate it and its bytes become padding. Ids above 14 always do.
///
/// The length of the packet does not change. `header` must be that of `packet`.
pub fn remap_extensions(packet: &mut [u8], header: &Header, to: &[u8; EXTENSION_IDS]) {
    let form = header.extension.form;
    let Some(mut rest) = packet.get_mut(header.extension.start..header.extension.end) else {
        return;
    };
    while let Some((skipped, head)) = element_head(form, rest) {
        let Some(from) = rest.get_mut(skipped..) else { return };
        let end = head.bytes + head.value;
        let new = to.get(usize::from(head.id)).copied().unwrap_or(0) & 0x0F;
        match (from.get_mut(..end), new) {
            (Some(element), 0 | 15) => element.fill(0),
            (Some(element), _) => {
                if let Some(first) = element.first_mut() {
                    *first = if form == Form::OneByte {
                        new << 4 | *first & 0x0F
                    } else {
                        new
                    };
                }
            }
            // It does not fit: nothing behind it can be told apart, so none of it goes to the sink.
            (None, _) => {
                from.fill(0);
                return;
            }
        }
        rest = from.get_mut(end..).unwrap_or_default();
    }
    // What stands behind the stop id, or in a profile that is not ours, was negotiated by nobody here.
    rest.fill(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet with the given extension words (profile, bytes) and payload.
    fn packet(extension: Option<(u16, &[u8])>, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x80, 0x80 | 111, 0x12, 0x34, 1, 2, 3, 4, 5, 6, 7, 8];
        if let Some((profile, value)) = extension {
            bytes[0] |= 0x10;
            bytes.extend_from_slice(&profile.to_be_bytes());
            bytes.extend_from_slice(&((value.len() / 4) as u16).to_be_bytes());
            bytes.extend_from_slice(value);
        }
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn the_fixed_header_is_read_and_rewritten() {
        let mut bytes = packet(None, b"opus");
        let header = Header::parse(&bytes).unwrap();
        assert_eq!((header.payload_type, header.marker), (111, true));
        assert_eq!((header.sequence, header.timestamp), (0x1234, 0x0102_0304));
        assert_eq!((header.ssrc, header.len), (0x0506_0708, 12));
        assert_eq!(header.payload(&bytes), Ok(12..16));
        let to = Rewrite {
            payload_type: 109,
            marker: false,
            sequence: 7,
            timestamp: 8,
            ssrc: 9,
        };
        assert!(rewrite(&mut bytes, &to));
        let header = Header::parse(&bytes).unwrap();
        assert_eq!((header.payload_type, header.marker), (109, false));
        assert_eq!((header.sequence, header.timestamp, header.ssrc), (7, 8, 9));
        assert!(!rewrite(&mut bytes[..11], &to));
    }

    #[test]
    fn every_truncation_is_named_and_never_a_panic() {
        let whole = packet(Some((ONE_BYTE, &[0x10, 0xFF, 0x22, 1, 2, 3, 0, 0])), b"x");
        let header_bytes = whole.len() - 1;
        for length in 0..header_bytes {
            assert_eq!(Header::parse(&whole[..length]), Err(Malformed::Truncated), "{length}");
        }
        assert!(Header::parse(&whole[..header_bytes]).is_ok());
        assert_eq!(Header::parse(&[0x40; 12]), Err(Malformed::Version));
        let mut csrcs = packet(None, &[0; 59]);
        csrcs[0] |= 0x0F;
        assert_eq!(Header::parse(&csrcs), Err(Malformed::Truncated));
        csrcs.push(0);
        assert_eq!(Header::parse(&csrcs).unwrap().len, 72);
    }

    #[test]
    fn padding_is_removed_and_a_wrong_count_is_refused() {
        let mut bytes = packet(None, &[1, 2, 3, 0, 0, 3]);
        bytes[0] |= 0x20;
        let header = Header::parse(&bytes).unwrap();
        assert_eq!(header.payload(&bytes), Ok(12..15));
        for wrong in [0, 7, 255] {
            *bytes.last_mut().unwrap() = wrong;
            assert_eq!(header.payload(&bytes), Err(Malformed::Padding), "{wrong}");
        }
        *bytes.last_mut().unwrap() = 6;
        assert_eq!(header.payload(&bytes), Ok(12..12));
    }

    #[test]
    fn levels_are_found_in_both_forms() {
        let one = packet(Some((ONE_BYTE, &[0, 0x32, 9, 9, 9, 0x10, 0x80 | 30, 0])), b"x");
        let two = packet(Some((0x1003, &[7, 0, 1, 1, 127, 0, 0, 0])), b"x");
        let header = Header::parse(&one).unwrap();
        assert_eq!(
            header.level(&one, 1),
            Some(Level {
                voice: true,
                loudness: 97
            })
        );
        assert_eq!(header.extension(&one, 3), Some(&[9, 9, 9][..]));
        assert_eq!(header.level(&one, 2), None);
        let header = Header::parse(&two).unwrap();
        assert_eq!(
            header.level(&two, 1),
            Some(Level {
                voice: false,
                loudness: 0
            })
        );
        assert_eq!(header.extension(&two, 7), Some(&[][..]));
        let other = packet(Some((0x0001, &[0x10, 0, 0, 0])), b"x");
        assert_eq!(Header::parse(&other).unwrap().level(&other, 1), None);
    }

    #[test]
    fn ids_are_changed_and_what_the_sink_does_not_know_becomes_padding() {
        let mut bytes = packet(Some((ONE_BYTE, &[0x42, 7, 7, 7, 0, 0x10, 55, 0xF0])), b"x");
        let before = bytes.len();
        let header = Header::parse(&bytes).unwrap();
        let mut to = [0u8; EXTENSION_IDS];
        to[1] = 5;
        remap_extensions(&mut bytes, &header, &to);
        assert_eq!(bytes[16..24], [0, 0, 0, 0, 0, 0x50, 55, 0]);
        assert_eq!(bytes.len(), before);

        let mut bytes = packet(Some((0x1000, &[1, 1, 55, 200, 1, 9, 0, 0])), b"x");
        let header = Header::parse(&bytes).unwrap();
        remap_extensions(&mut bytes, &header, &to);
        assert_eq!(bytes[16..24], [5, 1, 55, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn an_extension_that_does_not_fit_reaches_no_sink() {
        let mut bytes = packet(Some((ONE_BYTE, &[0x10, 55, 0x1F, 9])), b"x");
        let header = Header::parse(&bytes).unwrap();
        assert_eq!(header.extensions(&bytes).count(), 1);
        let mut to = [0u8; EXTENSION_IDS];
        to[1] = 1;
        remap_extensions(&mut bytes, &header, &to);
        assert_eq!(bytes[16..20], [0x10, 55, 0, 0]);
        let mut foreign = packet(Some((0x0001, &[1, 2, 3, 4])), b"x");
        let header = Header::parse(&foreign).unwrap();
        remap_extensions(&mut foreign, &header, &to);
        assert_eq!(foreign[16..20], [0; 4]);
    }
}
