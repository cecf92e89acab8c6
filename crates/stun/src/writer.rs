//! The writer: one message into the caller's buffer.
//!
//! Never allocates and never writes beyond the buffer.
//!
//! Invariant: between two calls the header's length field counts exactly the attributes written so far.

use std::net::SocketAddr;

use crate::key::{INTEGRITY_BYTES, Sign};
use crate::message::{join_kind, mask};
use crate::{Class, HEADER_BYTES, MAGIC_COOKIE, TransactionId, attribute, fingerprint};

/// The caller's buffer is too small for the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the buffer is too small for the message")]
pub struct NoRoom;

/// A message under construction: attributes, then [`Writer::integrity`], then [`Writer::fingerprint`].
#[derive(Debug)]
pub struct Writer<'b> {
    buffer: &'b mut [u8],
    len: usize,
    transaction: TransactionId,
}

impl<'b> Writer<'b> {
    /// Begins a message at the start of `buffer`.
    ///
    /// # Errors
    /// [`NoRoom`] below 20 bytes.
    pub fn new(
        buffer: &'b mut [u8],
        class: Class,
        method: u16,
        transaction: TransactionId,
    ) -> Result<Writer<'b>, NoRoom> {
        let mut writer = Writer {
            buffer,
            len: 0,
            transaction,
        };
        writer.put(&join_kind(class, method).to_be_bytes())?;
        writer.put(&[0, 0])?;
        writer.put(&MAGIC_COOKIE.to_be_bytes())?;
        writer.put(&transaction)?;
        Ok(writer)
    }

    /// Appends an attribute, padded with zeros.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn attribute(&mut self, kind: u16, value: &[u8]) -> Result<(), NoRoom> {
        let length = u16::try_from(value.len()).map_err(|_| NoRoom)?;
        self.put(&kind.to_be_bytes())?;
        self.put(&length.to_be_bytes())?;
        self.put(value)?;
        let padding = value.len().next_multiple_of(4) - value.len();
        self.put([0u8; 3].get(..padding).unwrap_or_default())?;
        self.set_length(self.len)
    }

    /// Appends XOR-MAPPED-ADDRESS (RFC 8489 §14.2).
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn xor_mapped_address(&mut self, address: SocketAddr) -> Result<(), NoRoom> {
        self.xor_address(attribute::XOR_MAPPED_ADDRESS, address)
    }

    /// Appends an address in the form of XOR-MAPPED-ADDRESS.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn xor_address(&mut self, kind: u16, address: SocketAddr) -> Result<(), NoRoom> {
        let (value, length) = xored(address, &self.transaction);
        self.attribute(kind, value.get(..length).unwrap_or_default())
    }

    /// Appends an address in the form of MAPPED-ADDRESS (RFC 8489 §14.1).
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn address(&mut self, kind: u16, address: SocketAddr) -> Result<(), NoRoom> {
        let port = address.port().to_be_bytes();
        let mut value = [0u8; 20];
        let length = match address {
            SocketAddr::V4(v4) => fill(&mut value, &[&[0, 1], &port, &v4.ip().octets()]),
            SocketAddr::V6(v6) => fill(&mut value, &[&[0, 2], &port, &v6.ip().octets()]),
        };
        self.attribute(kind, value.get(..length).unwrap_or_default())
    }

    /// Appends ADDRESS-ERROR-CODE: why an allocation lacks this family (RFC 8656 §18.12). `family`: 1 or 2.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn address_error_code(&mut self, family: u8, code: u16) -> Result<(), NoRoom> {
        let value = [family, 0, (code / 100) as u8, (code % 100) as u8];
        self.attribute(attribute::ADDRESS_ERROR_CODE, &value)
    }

    /// Appends ERROR-CODE with its registered phrase (RFC 8489 §14.8). `code`: 300 to 699.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn error_code(&mut self, code: u16, phrase: &str) -> Result<(), NoRoom> {
        let mut value = [0u8; 64];
        let length = fill(
            &mut value,
            &[&[0, 0, (code / 100) as u8, (code % 100) as u8], phrase.as_bytes()],
        );
        self.attribute(attribute::ERROR_CODE, value.get(..length).unwrap_or_default())
    }

    /// Appends UNKNOWN-ATTRIBUTES (RFC 8489 §14.9).
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn unknown_attributes(&mut self, kinds: &[u16]) -> Result<(), NoRoom> {
        let mut value = [0u8; 2 * crate::Unknown::KINDS_MAX];
        let mut length = 0;
        for (place, kind) in value.chunks_exact_mut(2).zip(kinds) {
            place.copy_from_slice(&kind.to_be_bytes());
            length += 2;
        }
        self.attribute(attribute::UNKNOWN_ATTRIBUTES, value.get(..length).unwrap_or_default())
    }

    /// Appends MESSAGE-INTEGRITY over all before it (RFC 8489 §14.5).
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn integrity(&mut self, key: &mut impl Sign) -> Result<(), NoRoom> {
        self.set_length(self.len + 4 + INTEGRITY_BYTES)?;
        let tag = key.sign(&[self.written()]);
        self.attribute(attribute::MESSAGE_INTEGRITY, &tag)
    }

    /// Appends FINGERPRINT; nothing may follow it (RFC 8489 §14.7).
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn fingerprint(&mut self) -> Result<(), NoRoom> {
        self.set_length(self.len + 8)?;
        let value = fingerprint(&[self.written()]);
        self.attribute(attribute::FINGERPRINT, &value.to_be_bytes())
    }

    /// Ends the message; returns its length in bytes.
    #[must_use]
    pub fn finish(self) -> usize {
        self.len
    }

    fn written(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        let end = self.len + bytes.len();
        self.buffer.get_mut(self.len..end).ok_or(NoRoom)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    /// Writes the header's length for a message of `total` bytes.
    fn set_length(&mut self, total: usize) -> Result<(), NoRoom> {
        let length = u16::try_from(total - HEADER_BYTES).map_err(|_| NoRoom)?;
        self.buffer
            .get_mut(2..4)
            .ok_or(NoRoom)?
            .copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

/// The value of an address xored with cookie and transaction id, and its length (RFC 8489 §14.2).
pub(crate) fn xored(address: SocketAddr, transaction: &TransactionId) -> ([u8; 20], usize) {
    let port = (address.port() ^ (MAGIC_COOKIE >> 16) as u16).to_be_bytes();
    let mut value = [0u8; 20];
    let length = match address {
        SocketAddr::V4(v4) => {
            let bits = (v4.ip().to_bits() ^ MAGIC_COOKIE).to_be_bytes();
            fill(&mut value, &[&[0, 1], &port, &bits])
        }
        SocketAddr::V6(v6) => {
            let bits = (v6.ip().to_bits() ^ mask(transaction)).to_be_bytes();
            fill(&mut value, &[&[0, 2], &port, &bits])
        }
    };
    (value, length)
}

/// Copies the parts one behind the other as far as they fit; returns the bytes copied.
pub(crate) fn fill(target: &mut [u8], parts: &[&[u8]]) -> usize {
    let mut at = 0;
    for part in parts {
        let Some(place) = target.get_mut(at..at + part.len()) else {
            return at;
        };
        place.copy_from_slice(part);
        at += part.len();
    }
    at
}
