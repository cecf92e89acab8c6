//! Zero-copy codec of STUN and TURN messages (RFC 8489, RFC 8656): a borrowed reader and a writer into the caller's buffer.
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
pub mod channel;
mod crc;
mod key;
mod long_term;
mod message;
mod writer;

pub use channel::HEADER_BYTES as CHANNEL_HEADER_BYTES;
pub use crc::fingerprint;
pub use key::{INTEGRITY_BYTES, Key, Sign};
pub use long_term::LongTermKey;
pub use message::{Attribute, Attributes, Fingerprint, Malformed, Message, Unknown, header, is_stun};
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

/// Method numbers that this project speaks (RFC 8489 §18.2, RFC 8656 §17).
pub mod method {
    /// Binding, the only method of ICE.
    pub const BINDING: u16 = 0x001;
    /// Allocate (TURN).
    pub const ALLOCATE: u16 = 0x003;
    /// Refresh (TURN).
    pub const REFRESH: u16 = 0x004;
    /// Send, an indication from the client (TURN).
    pub const SEND: u16 = 0x006;
    /// Data, an indication to the client (TURN).
    pub const DATA: u16 = 0x007;
    /// CreatePermission (TURN).
    pub const CREATE_PERMISSION: u16 = 0x008;
    /// ChannelBind (TURN).
    pub const CHANNEL_BIND: u16 = 0x009;
}

/// Attribute types that this project reads or writes (RFC 8489 §18.3, RFC 8445 §16.1, RFC 8656 §18, RFC 5780 §7).
pub mod attribute {
    /// MAPPED-ADDRESS.
    pub const MAPPED_ADDRESS: u16 = 0x0001;
    /// CHANGE-REQUEST (behaviour discovery).
    pub const CHANGE_REQUEST: u16 = 0x0003;
    /// USERNAME.
    pub const USERNAME: u16 = 0x0006;
    /// MESSAGE-INTEGRITY: HMAC-SHA1.
    pub const MESSAGE_INTEGRITY: u16 = 0x0008;
    /// ERROR-CODE.
    pub const ERROR_CODE: u16 = 0x0009;
    /// UNKNOWN-ATTRIBUTES.
    pub const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
    /// CHANNEL-NUMBER (TURN).
    pub const CHANNEL_NUMBER: u16 = 0x000C;
    /// LIFETIME (TURN).
    pub const LIFETIME: u16 = 0x000D;
    /// XOR-PEER-ADDRESS (TURN).
    pub const XOR_PEER_ADDRESS: u16 = 0x0012;
    /// DATA (TURN).
    pub const DATA: u16 = 0x0013;
    /// REALM.
    pub const REALM: u16 = 0x0014;
    /// NONCE.
    pub const NONCE: u16 = 0x0015;
    /// XOR-RELAYED-ADDRESS (TURN).
    pub const XOR_RELAYED_ADDRESS: u16 = 0x0016;
    /// REQUESTED-ADDRESS-FAMILY (TURN).
    pub const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
    /// EVEN-PORT (TURN).
    pub const EVEN_PORT: u16 = 0x0018;
    /// REQUESTED-TRANSPORT (TURN).
    pub const REQUESTED_TRANSPORT: u16 = 0x0019;
    /// DONT-FRAGMENT (TURN).
    pub const DONT_FRAGMENT: u16 = 0x001A;
    /// MESSAGE-INTEGRITY-SHA256.
    pub const MESSAGE_INTEGRITY_SHA256: u16 = 0x001C;
    /// XOR-MAPPED-ADDRESS.
    pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    /// RESERVATION-TOKEN (TURN).
    pub const RESERVATION_TOKEN: u16 = 0x0022;
    /// PRIORITY (ICE).
    pub const PRIORITY: u16 = 0x0024;
    /// USE-CANDIDATE (ICE): the controlling side nominates this pair.
    pub const USE_CANDIDATE: u16 = 0x0025;
    /// PADDING (behaviour discovery).
    pub const PADDING: u16 = 0x0026;
    /// RESPONSE-PORT (behaviour discovery).
    pub const RESPONSE_PORT: u16 = 0x0027;
    /// ADDITIONAL-ADDRESS-FAMILY (TURN).
    pub const ADDITIONAL_ADDRESS_FAMILY: u16 = 0x8000;
    /// ADDRESS-ERROR-CODE (TURN).
    pub const ADDRESS_ERROR_CODE: u16 = 0x8001;
    /// SOFTWARE.
    pub const SOFTWARE: u16 = 0x8022;
    /// ALTERNATE-SERVER: ask this one instead.
    pub const ALTERNATE_SERVER: u16 = 0x8023;
    /// FINGERPRINT: CRC-32 over the message, always last.
    pub const FINGERPRINT: u16 = 0x8028;
    /// ICE-CONTROLLED.
    pub const ICE_CONTROLLED: u16 = 0x8029;
    /// ICE-CONTROLLING.
    pub const ICE_CONTROLLING: u16 = 0x802A;
    /// RESPONSE-ORIGIN (behaviour discovery).
    pub const RESPONSE_ORIGIN: u16 = 0x802B;
    /// OTHER-ADDRESS (behaviour discovery).
    pub const OTHER_ADDRESS: u16 = 0x802C;
}

/// Error numbers that this project sends (RFC 8489 §14.8, RFC 8445 §7.3.1.1, RFC 8656 §19).
pub mod error_code {
    /// Try Alternate.
    pub const TRY_ALTERNATE: u16 = 300;
    /// Bad Request.
    pub const BAD_REQUEST: u16 = 400;
    /// Unauthenticated.
    pub const UNAUTHENTICATED: u16 = 401;
    /// Forbidden.
    pub const FORBIDDEN: u16 = 403;
    /// Unknown Attribute.
    pub const UNKNOWN_ATTRIBUTE: u16 = 420;
    /// Allocation Mismatch.
    pub const ALLOCATION_MISMATCH: u16 = 437;
    /// Stale Nonce.
    pub const STALE_NONCE: u16 = 438;
    /// Address Family not Supported.
    pub const ADDRESS_FAMILY_NOT_SUPPORTED: u16 = 440;
    /// Wrong Credentials.
    pub const WRONG_CREDENTIALS: u16 = 441;
    /// Unsupported Transport Protocol.
    pub const UNSUPPORTED_TRANSPORT: u16 = 442;
    /// Peer Address Family Mismatch.
    pub const PEER_FAMILY_MISMATCH: u16 = 443;
    /// Allocation Quota Reached.
    pub const QUOTA_REACHED: u16 = 486;
    /// Role Conflict.
    pub const ROLE_CONFLICT: u16 = 487;
    /// Insufficient Capacity.
    pub const INSUFFICIENT_CAPACITY: u16 = 508;
}
