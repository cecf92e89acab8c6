//! Ready-made Binding messages: the answers of a server, the checks of an ICE client.
//!
//! Never draws a transaction id or a tie-breaker: they are handed in.

use std::net::SocketAddr;

use crate::{Class, Key, NoRoom, TransactionId, Unknown, Writer, attribute, error_code, method};

/// Enough for every answer of this file: header 20, address 24, error 68, unknown types 20, integrity 24, CRC 8.
pub const REPLY_BYTES_MAX: usize = 192;

/// Attributes that a Binding request of an ICE agent may carry and that must be understood (RFC 8445 §16.1).
pub const KNOWN: [u16; 5] = [
    attribute::USERNAME,
    attribute::MESSAGE_INTEGRITY,
    attribute::MESSAGE_INTEGRITY_SHA256,
    attribute::PRIORITY,
    attribute::USE_CANDIDATE,
];

/// Success with the address the request came from, signed with `key`. Returns the length in bytes.
///
/// # Errors
/// [`NoRoom`] below [`REPLY_BYTES_MAX`] at worst.
pub fn success(
    buffer: &mut [u8],
    transaction: TransactionId,
    from: SocketAddr,
    key: &mut Key,
) -> Result<usize, NoRoom> {
    let mut writer = Writer::new(buffer, Class::Success, method::BINDING, transaction)?;
    writer.xor_mapped_address(from)?;
    writer.integrity(key)?;
    writer.fingerprint()?;
    Ok(writer.finish())
}

/// A refusal of a Binding request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 400: something that must be there is not.
    BadRequest,
    /// 420: attributes that we must understand and do not.
    UnknownAttributes(Unknown),
    /// 487: both sides claim the same role; ours is fixed, so the other side must change.
    RoleConflict,
}

/// A refusal; signed if a key is given. Returns the length in bytes.
///
/// # Errors
/// [`NoRoom`] below [`REPLY_BYTES_MAX`] at worst.
pub fn refuse(
    buffer: &mut [u8],
    transaction: TransactionId,
    refusal: Refusal,
    key: Option<&mut Key>,
) -> Result<usize, NoRoom> {
    let mut writer = Writer::new(buffer, Class::Error, method::BINDING, transaction)?;
    match refusal {
        Refusal::BadRequest => writer.error_code(error_code::BAD_REQUEST, "Bad Request")?,
        Refusal::RoleConflict => writer.error_code(error_code::ROLE_CONFLICT, "Role Conflict")?,
        Refusal::UnknownAttributes(unknown) => {
            writer.error_code(error_code::UNKNOWN_ATTRIBUTE, "Unknown Attribute")?;
            writer.unknown_attributes(unknown.kinds())?;
        }
    }
    if let Some(key) = key {
        writer.integrity(key)?;
    }
    writer.fingerprint()?;
    Ok(writer.finish())
}

/// The ICE role that a check claims, with its tie-breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// This side decides which pair is used.
    Controlling(u64),
    /// The other side decides.
    Controlled(u64),
}

/// What a full ICE agent puts into a connectivity check.
#[derive(Clone, Copy, Debug)]
pub struct Check<'a> {
    /// Ties the answer to the check.
    pub transaction: TransactionId,
    /// `theirs:ours`.
    pub username: &'a str,
    /// The priority that a peer-reflexive candidate would get.
    pub priority: u32,
    /// The role.
    pub role: Role,
    /// Nominates the pair; only the controlling side may.
    pub nominate: bool,
}

/// A connectivity check, for clients: load generator and tests. Returns the length in bytes.
///
/// # Errors
/// [`NoRoom`].
pub fn check(buffer: &mut [u8], check: &Check<'_>, key: &mut Key) -> Result<usize, NoRoom> {
    let mut writer = Writer::new(buffer, Class::Request, method::BINDING, check.transaction)?;
    writer.attribute(attribute::USERNAME, check.username.as_bytes())?;
    writer.attribute(attribute::PRIORITY, &check.priority.to_be_bytes())?;
    match check.role {
        Role::Controlling(tie) => writer.attribute(attribute::ICE_CONTROLLING, &tie.to_be_bytes())?,
        Role::Controlled(tie) => writer.attribute(attribute::ICE_CONTROLLED, &tie.to_be_bytes())?,
    }
    if check.nominate {
        writer.attribute(attribute::USE_CANDIDATE, &[])?;
    }
    writer.integrity(key)?;
    writer.fingerprint()?;
    Ok(writer.finish())
}
