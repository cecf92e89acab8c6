//! The reader: one received message, borrowed.
//!
//! Never copies a value and never follows a length it has not checked against the datagram.
//!
//! Invariant: attributes behind MESSAGE-INTEGRITY are invisible, but for FINGERPRINT (RFC 8489 §14.5), so nobody
//! can append to a signed message.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::key::{INTEGRITY_BYTES, Sign, verify};
use crate::{Class, HEADER_BYTES, MAGIC_COOKIE, TransactionId, attribute, fingerprint};

/// Why bytes are no STUN message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Fewer than 20 bytes.
    #[error("shorter than a STUN header")]
    Short,
    /// The first two bits or the magic cookie are wrong.
    #[error("no STUN magic cookie")]
    Cookie,
    /// The header's length is no multiple of four or is not that of the datagram.
    #[error("the length of the header is not that of the message")]
    Length,
    /// An attribute reaches beyond the message.
    #[error("an attribute reaches beyond the message")]
    Attribute,
    /// FINGERPRINT is wrong, of the wrong size or not last.
    #[error("the fingerprint is wrong")]
    Fingerprint,
    /// MESSAGE-INTEGRITY is not 20 bytes long.
    #[error("the integrity attribute has the wrong size")]
    Integrity,
}

/// True if the datagram can be STUN by its first bytes (RFC 7983 §7, RFC 8489 §5): cheap, before any parsing.
#[must_use]
pub fn is_stun(datagram: &[u8]) -> bool {
    matches!(datagram, [0..=3, _, _, _, cookie @ ..] if cookie.starts_with(&MAGIC_COOKIE.to_be_bytes()))
        && datagram.len() >= HEADER_BYTES
}

/// Class, method and transaction id of a message whose header is right; of the attributes nothing is known yet.
///
/// # Errors
/// [`Malformed::Short`], [`Malformed::Cookie`], [`Malformed::Length`].
pub fn header(datagram: &[u8]) -> Result<(Class, u16, TransactionId), Malformed> {
    let (header, body) = datagram.split_at_checked(HEADER_BYTES).ok_or(Malformed::Short)?;
    let &[k0, k1, l0, l1, c0, c1, c2, c3, ref transaction @ ..] = header else {
        return Err(Malformed::Short);
    };
    if k0 > 3 || u32::from_be_bytes([c0, c1, c2, c3]) != MAGIC_COOKIE {
        return Err(Malformed::Cookie);
    }
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    if length != body.len() || !length.is_multiple_of(4) {
        return Err(Malformed::Length);
    }
    let (class, method) = split_kind(u16::from_be_bytes([k0, k1]));
    let transaction = TransactionId::try_from(transaction).map_err(|_| Malformed::Short)?;
    Ok((class, method, transaction))
}

/// One attribute: its type and its value without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// One of [`attribute`], or any other number.
    pub kind: u16,
    /// The value, padding removed.
    pub value: &'a [u8],
}

/// The attributes of a message in order; see the invariant of this file.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let (attribute, rest) = split_attribute(self.rest)?;
        self.rest = rest;
        Some(attribute)
    }
}

/// Comprehension-required attributes that the reader did not know: at most eight are kept, enough for an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unknown {
    kinds: [u16; Unknown::KINDS_MAX],
    len: usize,
}

impl Unknown {
    /// Types reported back in UNKNOWN-ATTRIBUTES; a longer list would only make the answer larger than the request.
    pub const KINDS_MAX: usize = 8;

    /// The types, in order of appearance.
    #[must_use]
    pub fn kinds(&self) -> &[u16] {
        self.kinds.get(..self.len).unwrap_or_default()
    }

    /// True if every attribute was known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn push(&mut self, kind: u16) {
        if let Some(place) = self.kinds.get_mut(self.len) {
            *place = kind;
            self.len += 1;
        }
    }
}

/// A well-formed STUN message; borrowed from the datagram that brought it.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    raw: &'a [u8],
    class: Class,
    method: u16,
    transaction: TransactionId,
    /// Where MESSAGE-INTEGRITY begins.
    integrity_at: Option<usize>,
    fingerprint: Fingerprint,
}

/// What is known of a message's FINGERPRINT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fingerprint {
    /// None is there.
    Absent,
    /// It is last and right.
    Right,
    /// It is wrong, of the wrong size or not last; only from [`Message::parse_damaged`].
    Wrong,
}

impl<'a> Message<'a> {
    /// Reads a whole datagram (or one cut-out frame of a stream).
    ///
    /// # Errors
    /// [`Malformed`], by what is wrong first. Integrity is not judged here.
    ///
    /// Source: RFC 8489 §5, §6.3, §14.
    pub fn parse(datagram: &'a [u8]) -> Result<Message<'a>, Malformed> {
        let message = Message::parse_damaged(datagram)?;
        if message.fingerprint == Fingerprint::Wrong {
            return Err(Malformed::Fingerprint);
        }
        let tag = message.integrity_at.map(|at| message.raw.get(at + 2..at + 4));
        if tag.is_some_and(|length| length != Some(&[0, INTEGRITY_BYTES as u8])) {
            return Err(Malformed::Integrity);
        }
        Ok(message)
    }

    /// Like [`Message::parse`], but a wrong FINGERPRINT or a MESSAGE-INTEGRITY of the wrong size is only noted: the
    /// message will not [`verify`](Message::verify). For a server whose judge is MESSAGE-INTEGRITY, so that it can
    /// answer whoever sent a damaged request.
    ///
    /// # Errors
    /// [`Malformed`], but for [`Malformed::Fingerprint`] and [`Malformed::Integrity`].
    pub fn parse_damaged(datagram: &'a [u8]) -> Result<Message<'a>, Malformed> {
        let (class, method, transaction) = header(datagram)?;
        let mut message = Message {
            raw: datagram,
            class,
            method,
            transaction,
            integrity_at: None,
            fingerprint: Fingerprint::Absent,
        };
        message.walk(datagram.get(HEADER_BYTES..).unwrap_or_default())?;
        Ok(message)
    }

    /// Checks every attribute's bounds once and finds the two that protect the message.
    fn walk(&mut self, body: &'a [u8]) -> Result<(), Malformed> {
        let mut rest = body;
        while !rest.is_empty() {
            let at = self.raw.len() - rest.len();
            let (attribute, behind) = split_attribute(rest).ok_or(Malformed::Attribute)?;
            match attribute.kind {
                attribute::MESSAGE_INTEGRITY if self.integrity_at.is_none() => self.integrity_at = Some(at),
                attribute::FINGERPRINT if self.fingerprint != Fingerprint::Wrong => {
                    let before = self.raw.get(..at).unwrap_or_default();
                    // The CRC is worth its time only where it can be right.
                    let right = behind.is_empty() && attribute.value == fingerprint(&[before]).to_be_bytes();
                    self.fingerprint = if right { Fingerprint::Right } else { Fingerprint::Wrong };
                }
                _ => {}
            }
            rest = behind;
        }
        Ok(())
    }

    /// Request, indication, success or error.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// The method, see [`crate::method`].
    #[must_use]
    pub fn method(&self) -> u16 {
        self.method
    }

    /// The id that ties responses to requests.
    #[must_use]
    pub fn transaction(&self) -> TransactionId {
        self.transaction
    }

    /// True if a (right) FINGERPRINT is there.
    #[must_use]
    pub fn has_fingerprint(&self) -> bool {
        self.fingerprint == Fingerprint::Right
    }

    /// What is known of FINGERPRINT.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// True if MESSAGE-INTEGRITY is there, right or wrong.
    #[must_use]
    pub fn has_integrity(&self) -> bool {
        self.integrity_at.is_some()
    }

    /// The attributes before MESSAGE-INTEGRITY; all of them if there is none.
    pub fn attributes(&self) -> Attributes<'a> {
        let end = self.integrity_at.unwrap_or(self.raw.len());
        Attributes {
            rest: self.raw.get(HEADER_BYTES..end).unwrap_or_default(),
        }
    }

    /// The first attribute of a type; later ones of the same type do not count (RFC 8489 §14).
    #[must_use]
    pub fn attribute(&self, kind: u16) -> Option<&'a [u8]> {
        self.attributes()
            .find(|attribute| attribute.kind == kind)
            .map(|attribute| attribute.value)
    }

    /// USERNAME.
    #[must_use]
    pub fn username(&self) -> Option<&'a [u8]> {
        self.attribute(attribute::USERNAME)
    }

    /// True if the sender nominates this pair (RFC 8445 §7.1.2).
    #[must_use]
    pub fn use_candidate(&self) -> bool {
        self.attribute(attribute::USE_CANDIDATE).is_some()
    }

    /// PRIORITY; `None` also when it is not four bytes long.
    #[must_use]
    pub fn priority(&self) -> Option<u32> {
        self.number(attribute::PRIORITY)
    }

    /// Comprehension-required attributes (below 0x8000) that are not in `known`.
    #[must_use]
    pub fn unknown(&self, known: &[u16]) -> Unknown {
        let mut unknown = Unknown::default();
        for attribute in self.attributes() {
            if attribute.kind < 0x8000 && !known.contains(&attribute.kind) {
                unknown.push(attribute.kind);
            }
        }
        unknown
    }

    /// True if MESSAGE-INTEGRITY is there and was made with `key`, compared in constant time.
    ///
    /// Source: RFC 8489 §14.5: the length field counts up to and with MESSAGE-INTEGRITY while hashing.
    pub fn verify(&self, key: &mut impl Sign) -> bool {
        let Some(at) = self.integrity_at else { return false };
        let length = ((at + 4 + INTEGRITY_BYTES - HEADER_BYTES) as u16).to_be_bytes();
        let (Some(kind), Some(rest), Some(size), Some(tag)) = (
            self.raw.get(..2),
            self.raw.get(4..at),
            self.raw.get(at + 2..at + 4),
            self.raw.get(at + 4..at + 4 + INTEGRITY_BYTES),
        ) else {
            return false;
        };
        if size != [0, INTEGRITY_BYTES as u8] {
            return false;
        }
        verify(key, &[kind, &length, rest], tag)
    }

    /// The sender's address as the other side saw it (XOR-MAPPED-ADDRESS, RFC 8489 §14.2).
    #[must_use]
    pub fn xor_mapped_address(&self) -> Option<SocketAddr> {
        self.xor_address(attribute::XOR_MAPPED_ADDRESS)
    }

    /// The first xored address of this type; `None` also when it is none.
    #[must_use]
    pub fn xor_address(&self, kind: u16) -> Option<SocketAddr> {
        self.read_xored(self.attribute(kind)?)
    }

    /// Every xored address of this type, in order; `None` in place of one that is no address.
    pub fn xor_addresses(&self, kind: u16) -> impl Iterator<Item = Option<SocketAddr>> + use<'a> {
        let message = *self;
        let of_kind = self.attributes().filter(move |attribute| attribute.kind == kind);
        of_kind.map(move |attribute| message.read_xored(attribute.value))
    }

    fn read_xored(&self, value: &[u8]) -> Option<SocketAddr> {
        let plain = read_address(value)?;
        let port = plain.port() ^ (MAGIC_COOKIE >> 16) as u16;
        let ip = match plain.ip() {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() ^ MAGIC_COOKIE)),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() ^ mask(&self.transaction))),
        };
        Some(SocketAddr::new(ip, port))
    }

    /// The first plain address of this type (MAPPED-ADDRESS and its like, RFC 8489 §14.1).
    #[must_use]
    pub fn address(&self, kind: u16) -> Option<SocketAddr> {
        read_address(self.attribute(kind)?)
    }

    /// The first attribute of this type as a number; `None` also when it is not four bytes long.
    #[must_use]
    pub fn number(&self, kind: u16) -> Option<u32> {
        self.attribute(kind)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// ERROR-CODE as a number from 300 to 699 (RFC 8489 §14.8).
    #[must_use]
    pub fn error_code(&self) -> Option<u16> {
        let &[_, _, class, number, ..] = self.attribute(attribute::ERROR_CODE)? else {
            return None;
        };
        let class = u16::from(class & 0x07);
        ((3..=6).contains(&class) && number < 100).then_some(class * 100 + u16::from(number))
    }
}

/// Family, port and address (RFC 8489 §14.1); the byte before the family is ignored.
fn read_address(value: &[u8]) -> Option<SocketAddr> {
    let &[_, family, p0, p1, ref address @ ..] = value else {
        return None;
    };
    let ip = match family {
        1 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(address).ok()?)),
        2 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes([p0, p1])))
}

/// What an IPv6 address is xored with: the cookie, then the transaction id.
pub(crate) fn mask(transaction: &TransactionId) -> u128 {
    let id = transaction
        .iter()
        .fold(0u128, |bits, &byte| bits << 8 | u128::from(byte));
    u128::from(MAGIC_COOKIE) << 96 | id
}

/// Cuts the first attribute off; `None` at the end and when it reaches beyond it.
fn split_attribute(bytes: &[u8]) -> Option<(Attribute<'_>, &[u8])> {
    let &[k0, k1, l0, l1, ref rest @ ..] = bytes else {
        return None;
    };
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let value = rest.get(..length)?;
    let behind = rest.get(length.next_multiple_of(4)..)?;
    Some((
        Attribute {
            kind: u16::from_be_bytes([k0, k1]),
            value,
        },
        behind,
    ))
}

/// The interleaved class and method bits (RFC 8489 §5, figure 3).
fn split_kind(kind: u16) -> (Class, u16) {
    let class = match (kind >> 7 & 2) | (kind >> 4 & 1) {
        0 => Class::Request,
        1 => Class::Indication,
        2 => Class::Success,
        _ => Class::Error,
    };
    (class, kind & 0x000F | (kind >> 1 & 0x0070) | (kind >> 2 & 0x0F80))
}

/// The reverse of [`split_kind`].
pub(crate) fn join_kind(class: Class, method: u16) -> u16 {
    let class = match class {
        Class::Request => 0x0000,
        Class::Indication => 0x0010,
        Class::Success => 0x0100,
        Class::Error => 0x0110,
    };
    class | method & 0x000F | (method & 0x0070) << 1 | (method & 0x0F80) << 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_and_method_survive_the_interleaving() {
        for class in [Class::Request, Class::Indication, Class::Success, Class::Error] {
            for method in 0..0x1000 {
                assert_eq!(split_kind(join_kind(class, method)), (class, method));
            }
        }
    }

    #[test]
    fn more_unknown_attributes_than_the_limit_are_cut_off() {
        let mut unknown = Unknown::default();
        for kind in 0..=Unknown::KINDS_MAX as u16 {
            unknown.push(kind);
        }
        assert_eq!(unknown.kinds().len(), Unknown::KINDS_MAX);
    }
}
