//! Zero-copy codec of STUN messages (RFC 8489): a borrowed reader and a writer into the caller's buffer.
//!
//! It never allocates per message, has no socket, clock or random source, and knows no session: transaction ids,
//! keys and addresses are handed in. Nothing from outside can make it panic.
//!
//! Invariant: a [`Message`] exists only for bytes whose header, length, attribute bounds and FINGERPRINT (if one is
//! there) are right. Whether its sender knows the password is a second question: [`Message::verify`].

#![forbid(unsafe_code)]
#![warn(missing_docs, clippy::wildcard_enum_match_arm)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod binding;
mod crc;
mod key;
mod message;
mod writer;

pub use crc::fingerprint;
pub use key::Key;
pub use message::{Attribute, Attributes, Malformed, Message, Unknown, is_stun};
pub use writer::{NoRoom, Writer};

/// Bytes of the STUN header (RFC 8489 §5).
pub const HEADER_BYTES: usize = 20;

/// The constant that tells STUN from everything else on a port (RFC 8489 §5).
pub const MAGIC_COOKIE: u32 = 0x2112_A442;

/// 96 bits that tie a response to its request; drawn by the caller.
pub type TransactionId = [u8; 12];

/// The class of a message (RFC 8489 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Asks for a response.
    Request,
    /// Asks for none.
    Indication,
    /// A request was granted.
    Success,
    /// A request was refused.
    Error,
}

/// Method numbers that this project speaks (RFC 8489 §18.2).
pub mod method {
    /// Binding, the only method of ICE.
    pub const BINDING: u16 = 0x001;
}

/// Attribute types that this project reads or writes (RFC 8489 §18.3, RFC 8445 §16.1).
pub mod attribute {
    /// MAPPED-ADDRESS.
    pub const MAPPED_ADDRESS: u16 = 0x0001;
    /// USERNAME.
    pub const USERNAME: u16 = 0x0006;
    /// MESSAGE-INTEGRITY: HMAC-SHA1.
    pub const MESSAGE_INTEGRITY: u16 = 0x0008;
    /// ERROR-CODE.
    pub const ERROR_CODE: u16 = 0x0009;
    /// UNKNOWN-ATTRIBUTES.
    pub const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
    /// MESSAGE-INTEGRITY-SHA256.
    pub const MESSAGE_INTEGRITY_SHA256: u16 = 0x001C;
    /// XOR-MAPPED-ADDRESS.
    pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    /// PRIORITY (ICE).
    pub const PRIORITY: u16 = 0x0024;
    /// USE-CANDIDATE (ICE): the controlling side nominates this pair.
    pub const USE_CANDIDATE: u16 = 0x0025;
    /// SOFTWARE.
    pub const SOFTWARE: u16 = 0x8022;
    /// FINGERPRINT: CRC-32 over the message, always last.
    pub const FINGERPRINT: u16 = 0x8028;
    /// ICE-CONTROLLED.
    pub const ICE_CONTROLLED: u16 = 0x8029;
    /// ICE-CONTROLLING.
    pub const ICE_CONTROLLING: u16 = 0x802A;
}

/// Error numbers that this project sends (RFC 8489 §14.8, RFC 8445 §7.3.1.1).
pub mod error_code {
    /// Bad Request.
    pub const BAD_REQUEST: u16 = 400;
    /// Unknown Attribute.
    pub const UNKNOWN_ATTRIBUTE: u16 = 420;
    /// Role Conflict.
    pub const ROLE_CONFLICT: u16 = 487;
}
