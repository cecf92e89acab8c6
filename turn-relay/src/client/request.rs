//! Requests: how they are written, sent again, and asked anew under another nonce.

use std::net::SocketAddr;

use stun::{Class, LongTermKey, Message, TransactionId, Writer, attribute, error_code, method};

use super::{Carrier, Credentials};

/// Room for any request of this client: two peers of IPv6, a long user name, realm and nonce.
const REQUEST_BYTES_MAX: usize = 1_024;
/// First wait for an answer, ms (RFC 8489 §6.2.1).
const RTO_MS: u64 = 500;
/// A datagram is sent this often (RFC 8489 §6.2.1 has 7, which is 39.5 s: a tool's user waits for no more than 7.5).
const SENDINGS_MAX: u32 = 4;
/// On a stream an answer has this long, ms.
const STREAM_WAIT_MS: u64 = 8_000;
/// How often a request is asked anew with another nonce or realm: the first 401, then a nonce that ran out meanwhile.
const ANEW_MAX: u32 = 3;
/// UDP (RFC 8656 §14.7).
const PROTOCOL_UDP: u8 = 17;

/// What a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Allocate.
    Allocation,
    /// Refresh.
    Refresh,
    /// CreatePermission.
    Permission,
    /// ChannelBind.
    Channel,
}

impl Asked {
    pub(super) fn method(self) -> u16 {
        match self {
            Asked::Allocation => method::ALLOCATE,
            Asked::Refresh => method::REFRESH,
            Asked::Permission => method::CREATE_PERMISSION,
            Asked::Channel => method::CHANNEL_BIND,
        }
    }
}

/// Families of a relayed address (RFC 8656 §18.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// IPv4 and, if there is one, IPv6 (ADDITIONAL-ADDRESS-FAMILY).
    Both,
}

/// A request's contents, for writing it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Allocate {
        family: Option<Family>,
        lifetime_s: Option<u32>,
    },
    Refresh {
        lifetime_s: u32,
    },
    Permit {
        peers: Vec<SocketAddr>,
    },
    Bind {
        channel: u16,
        peer: SocketAddr,
    },
}

impl Wish {
    pub(super) fn asked(&self) -> Asked {
        match self {
            Wish::Allocate { .. } => Asked::Allocation,
            Wish::Refresh { .. } => Asked::Refresh,
            Wish::Permit { .. } => Asked::Permission,
            Wish::Bind { .. } => Asked::Channel,
        }
    }
}

/// What the server told of itself.
pub(super) struct Session {
    realm: Vec<u8>,
    nonce: Vec<u8>,
    pub(super) key: LongTermKey,
}

impl Session {
    /// From a 401 or 438; `None` if it names no realm or nonce.
    pub(super) fn from_refusal(refusal: &Message<'_>, credentials: &Credentials) -> Option<Session> {
        let realm = refusal.attribute(attribute::REALM)?.to_vec();
        let nonce = refusal.attribute(attribute::NONCE)?.to_vec();
        let key = LongTermKey::new(credentials.username.as_bytes(), &realm, credentials.password.as_bytes());
        Some(Session { realm, nonce, key })
    }
}

/// Writes a request; signed once the server's realm is known.
pub(super) fn write(
    wish: &Wish,
    id: TransactionId,
    session: Option<&mut Session>,
    credentials: &Credentials,
) -> Vec<u8> {
    let mut buffer = vec![0; REQUEST_BYTES_MAX];
    let len = written(wish, id, session, credentials, &mut buffer)
        .expect("a request with credentials of a sane length has room");
    buffer.truncate(len);
    buffer
}

fn written(
    wish: &Wish,
    id: TransactionId,
    session: Option<&mut Session>,
    credentials: &Credentials,
    buffer: &mut [u8],
) -> Result<usize, stun::NoRoom> {
    let mut writer = Writer::new(buffer, Class::Request, wish.asked().method(), id)?;
    match wish {
        Wish::Allocate { family, lifetime_s } => {
            writer.attribute(attribute::REQUESTED_TRANSPORT, &[PROTOCOL_UDP, 0, 0, 0])?;
            match family {
                None => {}
                Some(Family::V4) => writer.attribute(attribute::REQUESTED_ADDRESS_FAMILY, &[1, 0, 0, 0])?,
                Some(Family::V6) => writer.attribute(attribute::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0])?,
                Some(Family::Both) => writer.attribute(attribute::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0])?,
            }
            if let Some(seconds) = lifetime_s {
                writer.attribute(attribute::LIFETIME, &seconds.to_be_bytes())?;
            }
        }
        Wish::Refresh { lifetime_s } => writer.attribute(attribute::LIFETIME, &lifetime_s.to_be_bytes())?,
        Wish::Permit { peers } => {
            for peer in peers {
                writer.xor_address(attribute::XOR_PEER_ADDRESS, *peer)?;
            }
        }
        Wish::Bind { channel, peer } => {
            let [high, low] = channel.to_be_bytes();
            writer.attribute(attribute::CHANNEL_NUMBER, &[high, low, 0, 0])?;
            writer.xor_address(attribute::XOR_PEER_ADDRESS, *peer)?;
        }
    }
    if let Some(session) = session {
        writer.attribute(attribute::USERNAME, credentials.username.as_bytes())?;
        writer.attribute(attribute::REALM, &session.realm)?;
        writer.attribute(attribute::NONCE, &session.nonce)?;
        writer.integrity(&mut session.key)?;
    }
    Ok(writer.finish())
}

/// What is due for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Later,
    Again,
    GiveUp,
}

/// A request without an answer.
pub(super) struct Pending {
    pub(super) wish: Wish,
    pub(super) id: TransactionId,
    pub(super) bytes: Vec<u8>,
    /// It carries credentials.
    pub(super) signed: bool,
    carrier: Carrier,
    sendings: u32,
    wait_ms: u64,
    at_ms: u64,
    anew: u32,
}

impl Pending {
    pub(super) fn new(
        wish: Wish,
        id: TransactionId,
        bytes: Vec<u8>,
        now_ms: u64,
        carrier: Carrier,
        signed: bool,
    ) -> Pending {
        let mut pending = Pending {
            wish,
            id,
            bytes,
            signed,
            carrier,
            sendings: 1,
            wait_ms: 0,
            at_ms: now_ms,
            anew: 0,
        };
        pending.start();
        pending
    }

    fn start(&mut self) {
        self.sendings = 1;
        self.wait_ms = match self.carrier {
            Carrier::Datagram => RTO_MS,
            Carrier::Stream => STREAM_WAIT_MS,
        };
    }

    pub(super) fn wake_at(&self) -> u64 {
        self.at_ms + self.wait_ms
    }

    pub(super) fn due(&mut self, now_ms: u64) -> Due {
        if now_ms < self.wake_at() {
            return Due::Later;
        }
        if self.carrier == Carrier::Stream || self.sendings == SENDINGS_MAX {
            return Due::GiveUp;
        }
        self.sendings += 1;
        self.wait_ms *= 2;
        self.at_ms = now_ms;
        Due::Again
    }

    /// A nonce that ran out is no refusal, and neither is the first question for credentials.
    pub(super) fn may_ask_anew(&self, code: u16) -> bool {
        let asks = code == error_code::STALE_NONCE || (code == error_code::UNAUTHENTICATED && !self.signed);
        asks && self.anew < ANEW_MAX
    }

    pub(super) fn anew(&mut self, id: TransactionId, bytes: Vec<u8>, now_ms: u64) {
        self.id = id;
        self.bytes = bytes;
        self.signed = true;
        self.at_ms = now_ms;
        self.anew += 1;
        self.start();
    }
}
