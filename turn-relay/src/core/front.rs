//! The gate: what a datagram has to show before anything is done for it, cheapest first.
//!
//! Invariant: nothing here stores anything about a source. Every cause of a 401 costs the same and looks the same.

use std::net::SocketAddr;

use ports::LegId;
use stun::{
    Class, Fingerprint, LongTermKey, Malformed, Message, NoRoom, Sign, TransactionId, Writer, attribute, error_code,
    method,
};

use super::credential::{Secret, User, key_of};
use super::methods::Request;
use super::nonce::NONCE_BYTES;
use super::{At, Core, Edge, Flow, Kind, Outcome, Peers, Rejected, Stage};

/// Room for every answer but one with PADDING: 20 header, 2 × 24 relayed, 24 mapped, 8 lifetime, 8 family error, 20 unknown
/// types, 68 realm, 20 nonce, 24 integrity, 8 fingerprint.
pub(super) const ANSWER_BYTES_MAX: usize = 256;

/// Attributes that a TURN request may carry and that must be understood.
const KNOWN: [u16; 14] = [
    attribute::USERNAME,
    attribute::MESSAGE_INTEGRITY,
    attribute::MESSAGE_INTEGRITY_SHA256,
    attribute::REALM,
    attribute::NONCE,
    attribute::CHANNEL_NUMBER,
    attribute::LIFETIME,
    attribute::XOR_PEER_ADDRESS,
    attribute::DATA,
    attribute::REQUESTED_ADDRESS_FAMILY,
    attribute::EVEN_PORT,
    attribute::REQUESTED_TRANSPORT,
    attribute::DONT_FRAGMENT,
    attribute::RESERVATION_TOKEN,
];

/// A request that is to be answered: enough of it to write the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) flow: Flow,
    pub(super) method: u16,
    pub(super) transaction: TransactionId,
    /// FINGERPRINT was in the request, right or wrong: it will be in the answer.
    pub(super) fingerprint: bool,
    /// Length of the request in bytes.
    pub(super) len: usize,
}

/// Who asks, once it is proven.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proven<'a> {
    pub(super) user: &'a [u8],
    pub(super) leg: LegId,
    pub(super) key: LongTermKey,
    /// The allocation of the flow.
    pub(super) slot: Option<u32>,
}

/// Why somebody is not believed.
enum Doubt {
    /// 401.
    Unauthenticated(Rejected),
    /// 441: the allocation is somebody else's.
    OtherUser,
}

/// Nobody knows it: what a request is judged with whose secret does not exist, so that it costs the same.
const NO_SECRET: &[u8] = b"a secret that no credential is made with";

impl<K: Kind> Core<K> {
    /// One STUN message.
    pub(super) fn stun<E: Edge>(&mut self, at: At, flow: Flow, bytes: &[u8], edge: &mut E) -> Outcome
    where
        K: Peers<E>,
    {
        let (class, method, transaction) = match stun::header(bytes) {
            Ok(header) => header,
            Err(Malformed::Short) => return Outcome::Dropped(Stage::Length),
            Err(_) => return Outcome::Dropped(Stage::Header),
        };
        let message = Message::parse_damaged(bytes);
        let wrong = |message: &Message<'_>| message.fingerprint() == Fingerprint::Wrong;
        match (class, method, message) {
            (Class::Request, method::BINDING, Ok(message)) if !wrong(&message) => {
                self.binding(at, flow, &message, bytes.len(), edge)
            }
            (Class::Indication, method::SEND, Ok(message)) if !wrong(&message) => {
                self.send_indication(at, flow, &message, edge)
            }
            (Class::Request, method::BINDING, Ok(_)) | (Class::Indication, method::SEND, Ok(_)) => {
                Outcome::Dropped(Stage::Fingerprint)
            }
            (
                Class::Request,
                method::ALLOCATE | method::REFRESH | method::CREATE_PERMISSION | method::CHANNEL_BIND,
                message,
            ) => {
                if !self.turn {
                    return Outcome::Dropped(Stage::Off);
                }
                let asked = Asked {
                    flow,
                    method,
                    transaction,
                    fingerprint: message.is_ok_and(|message| message.fingerprint() != Fingerprint::Absent),
                    len: bytes.len(),
                };
                match message {
                    Ok(message) => self.request(at, asked, &message, edge),
                    // The header is right, so somebody waits for an answer: nothing proves who he is.
                    Err(_) => self.challenge(at, asked, error_code::UNAUTHENTICATED, edge),
                }
            }
            (Class::Request | Class::Indication | Class::Success | Class::Error, _, _) => {
                Outcome::Dropped(Stage::Header)
            }
        }
    }

    /// One TURN request: proof first, then what it asks for (RFC 8489 §9.2.4, RFC 8656 §5).
    fn request<E: Edge>(&mut self, at: At, asked: Asked, message: &Message<'_>, edge: &mut E) -> Outcome
    where
        K: Peers<E>,
    {
        if !message.has_integrity() {
            return self.challenge(at, asked, error_code::UNAUTHENTICATED, edge);
        }
        let (Some(user), Some(realm), Some(nonce)) = (
            message.username(),
            message.attribute(attribute::REALM),
            message.attribute(attribute::NONCE),
        ) else {
            return self.refuse_unproven(at, asked, error_code::BAD_REQUEST, edge);
        };
        let Some(age) = self.nonces.age_s(at.unix_s, asked.flow.remote, nonce) else {
            return self.challenge(at, asked, error_code::STALE_NONCE, edge);
        };
        self.counters.nonce_age_s = age;
        // Whoever has the nonce has it from us: answers to him need no budget any more.
        match self.prove(at, &asked, message, user, realm) {
            Err(Doubt::Unauthenticated(reason)) => {
                self.counters.rejected(reason);
                self.reply_challenge(at, &asked, error_code::UNAUTHENTICATED, edge);
                Outcome::Refused(error_code::UNAUTHENTICATED)
            }
            Err(Doubt::OtherUser) => refuse(&asked, error_code::WRONG_CREDENTIALS, None, edge),
            Ok(proven) => {
                self.budget.earn(at.now_s(), asked.flow.remote.ip(), asked.len);
                self.granted(at, &asked, message, proven, edge)
            }
        }
    }

    fn granted<E: Edge>(
        &mut self,
        at: At,
        asked: &Asked,
        message: &Message<'_>,
        proven: Proven<'_>,
        edge: &mut E,
    ) -> Outcome
    where
        K: Peers<E>,
    {
        let mut key = proven.key;
        let unknown = message.unknown(&KNOWN);
        if !unknown.is_empty() {
            answer(asked, Class::Error, Some(&mut key), edge, |writer| {
                writer.error_code(error_code::UNKNOWN_ATTRIBUTE, "")?;
                writer.unknown_attributes(unknown.kinds())
            });
            return Outcome::Refused(error_code::UNKNOWN_ATTRIBUTE);
        }
        let request = Request { asked, message, proven };
        match self.carry_out(at, &request, edge) {
            Ok(()) => Outcome::Answered,
            Err(code) => refuse(asked, code, Some(&mut key), edge),
        }
    }

    /// Judges user name, realm and MESSAGE-INTEGRITY.
    fn prove<'a>(
        &self,
        at: At,
        asked: &Asked,
        message: &Message<'_>,
        user: &'a [u8],
        realm: &[u8],
    ) -> Result<Proven<'a>, Doubt> {
        let ours = realm == self.realm.as_bytes();
        let slot = self.table.find(&asked.flow);
        if let Some((slot, allocation)) = slot.and_then(|slot| Some((slot, self.table.at(slot)?))) {
            if allocation.user.is(user) {
                let mut key = allocation.key;
                let right = message.verify(&mut key);
                return match (ours, right) {
                    (true, true) => Ok(Proven {
                        user,
                        leg: allocation.leg,
                        key,
                        slot: Some(slot),
                    }),
                    (false, _) => Err(Doubt::Unauthenticated(Rejected::Realm)),
                    (true, false) => Err(Doubt::Unauthenticated(Rejected::Integrity)),
                };
            }
            // Another user's Allocate on a taken flow is refused with 437 once it has proven itself: a browser then
            // takes another socket. Everything else of another user is wrong (RFC 8656 §5).
            if asked.method != method::ALLOCATE {
                return Err(Doubt::OtherUser);
            }
        }
        self.prove_new(at, asked, message, user, ours, slot)
    }

    /// A user name that this flow has no allocation with: everything from the secret alone. `exp` limits Allocate only:
    /// whoever had an allocation learns that it is gone (437), not that his time is over.
    fn prove_new<'a>(
        &self,
        at: At,
        asked: &Asked,
        message: &Message<'_>,
        user: &'a [u8],
        ours: bool,
        slot: Option<u32>,
    ) -> Result<Proven<'a>, Doubt> {
        let read = User::parse(user, self.leg_names);
        let judged_by_time = asked.method == method::ALLOCATE;
        let known = read.and_then(|read| self.secrets.find(read.secret));
        let none = Secret::new(0, NO_SECRET);
        // From here the same for everybody: one HMAC, one MD5, one HMAC, one comparison.
        let mut key = key_of(known.unwrap_or(&none), user, self.realm.as_bytes());
        let right = message.verify(&mut key);
        let doubt = match read {
            _ if !ours => Some(Rejected::Realm),
            None => Some(Rejected::Malformed),
            Some(_) if known.is_none() => Some(Rejected::UnknownSecret),
            Some(_) if !right => Some(Rejected::Integrity),
            Some(read) if judged_by_time && read.expiry_unix_s <= at.unix_s => Some(Rejected::Expired),
            Some(read) if judged_by_time && read.expiry_unix_s > at.unix_s + self.limits.credential_ahead_s => {
                Some(Rejected::TooFar)
            }
            Some(_) => None,
        };
        match (doubt, read) {
            (None, Some(read)) => Ok(Proven {
                user,
                leg: read.leg,
                key,
                slot,
            }),
            (doubt, _) => Err(Doubt::Unauthenticated(doubt.unwrap_or(Rejected::Malformed))),
        }
    }

    /// 401 or 438 to somebody who has proven nothing.
    fn challenge<E: Edge>(&mut self, at: At, asked: Asked, code: u16, edge: &mut E) -> Outcome {
        let len = stun::HEADER_BYTES + 8 + 4 + self.realm.len().next_multiple_of(4) + 4 + NONCE_BYTES;
        if !self.may_answer(at, asked.flow.remote, asked.len, len + trailer_bytes(asked.fingerprint)) {
            return Outcome::Dropped(Stage::Budget);
        }
        self.reply_challenge(at, &asked, code, edge);
        Outcome::Refused(code)
    }

    /// ERROR-CODE without a phrase, REALM, NONCE: 60 bytes with our realm.
    fn reply_challenge<E: Edge>(&self, at: At, asked: &Asked, code: u16, edge: &mut E) {
        let nonce = self.nonces.make(at.unix_s, asked.flow.remote);
        answer(asked, Class::Error, None::<&mut LongTermKey>, edge, |writer| {
            writer.error_code(code, "")?;
            writer.attribute(attribute::REALM, self.realm.as_bytes())?;
            writer.attribute(attribute::NONCE, &nonce)
        });
    }

    /// An error without more, to somebody who has proven nothing.
    fn refuse_unproven<E: Edge>(&mut self, at: At, asked: Asked, code: u16, edge: &mut E) -> Outcome {
        let len = stun::HEADER_BYTES + 8 + trailer_bytes(asked.fingerprint);
        if !self.may_answer(at, asked.flow.remote, asked.len, len) {
            return Outcome::Dropped(Stage::Budget);
        }
        refuse(&asked, code, None, edge)
    }

    /// Whether a source that has proven nothing may have `bytes_out` for its `bytes_in`; counts them if so.
    pub(super) fn may_answer(&mut self, at: At, to: SocketAddr, bytes_in: usize, bytes_out: usize) -> bool {
        let may = self.budget.take(at.now_s(), to.ip(), bytes_in, bytes_out);
        if may {
            self.counters.unverified_reply_bytes += bytes_out as u64;
        }
        may
    }
}

/// Bytes of FINGERPRINT, if it will be there.
pub(super) fn trailer_bytes(fingerprint: bool) -> usize {
    if fingerprint { 8 } else { 0 }
}

/// An error without more.
fn refuse<E: Edge>(asked: &Asked, code: u16, key: Option<&mut LongTermKey>, edge: &mut E) -> Outcome {
    answer(asked, Class::Error, key, edge, |writer| writer.error_code(code, ""));
    Outcome::Refused(code)
}

/// Writes an answer on the stack and sends it: signed if there is a key, with FINGERPRINT if the request had one.
pub(super) fn answer<E: Edge, S: Sign>(
    asked: &Asked,
    class: Class,
    key: Option<&mut S>,
    edge: &mut E,
    body: impl FnOnce(&mut Writer<'_>) -> Result<(), NoRoom>,
) {
    let mut buffer = [0; ANSWER_BYTES_MAX];
    let written = (|| {
        let mut writer = Writer::new(&mut buffer, class, asked.method, asked.transaction)?;
        body(&mut writer)?;
        if let Some(key) = key {
            writer.integrity(key)?;
        }
        if asked.fingerprint {
            writer.fingerprint()?;
        }
        Ok::<usize, NoRoom>(writer.finish())
    })();
    let len = written.expect("every answer fits its buffer: see ANSWER_BYTES_MAX");
    edge.reply(&asked.flow, &buffer[..len]);
}
