//! A small TURN client for tools and tests: one allocation, its permissions and channels (RFC 8656).
//!
//! [`Client`] has no socket, clock or random source: messages, milliseconds and transaction ids are handed in, messages to
//! send are taken out by [`Client::poll`]; after every call drain it, then mutate again. [`Line`] puts blocking sockets
//! under it. Not for the product's media path.
//!
//! Invariant: an event is reported at most once per request, and none by a message whose integrity is wrong.

mod line;
mod request;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use stun::{Class, Message, TransactionId, Writer, attribute, channel, method};

pub use crate::core::framing::{Broken, Cutter};
pub use line::{Came, Ids, Line, Stream, Way, is_timeout};
pub use request::{Asked, Family};
use request::{Pending, Session, Wish};

/// The first number that a channel may have (RFC 8656 §12).
pub const CHANNEL_FIRST: u16 = *channel::NUMBERS.start();
/// Bytes that a wrapped payload needs at most beyond itself: a Send indication with an IPv6 peer, padded.
pub const WRAP_BYTES_MAX: usize = 52;
/// Permissions are renewed after this, ms: they last 300 s (RFC 8656 §9).
const PERMISSION_RENEWED_MS: u64 = 240_000;
/// Channels are bound again after this, ms: they last 600 s (RFC 8656 §12).
const CHANNEL_RENEWED_MS: u64 = 540_000;
/// An allocation is refreshed this long before its end, ms: a lost answer or two are no harm.
const REFRESH_AHEAD_MS: u64 = 60_000;

/// How messages reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// One message per datagram; what is not answered is sent again.
    Datagram,
    /// One behind the other, ChannelData padded to four bytes (RFC 8656 §12.5); sent once.
    Stream,
}

/// Long-term credentials (RFC 8489 §9.2). The password is shown nowhere.
#[derive(Clone)]
pub struct Credentials {
    /// USERNAME.
    pub username: String,
    /// The password of that name.
    pub password: String,
}

impl Credentials {
    /// The password of `username` by a secret that is shared with the server: base64 of its HMAC-SHA1. `username` begins
    /// with the Unix second until which it counts. What coturn calls `use-auth-secret`.
    #[must_use]
    pub fn of_shared_secret(secret: &[u8], username: String) -> Credentials {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
        let password = STANDARD.encode(hmac::sign(&key, username.as_bytes()));
        Credentials { username, password }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// There is an allocation.
    Allocated {
        /// The relayed addresses, one or two.
        relayed: Vec<SocketAddr>,
        /// The client as the server sees it.
        mapped: SocketAddr,
        /// Seconds until it ends unless it is refreshed.
        lifetime_s: u32,
    },
    /// The allocation lasts this many seconds more; 0: it is gone.
    Refreshed {
        /// Seconds.
        lifetime_s: u32,
    },
    /// The peers may send.
    Permitted,
    /// The channel stands.
    Bound {
        /// Its number.
        channel: u16,
    },
    /// The server refused.
    Refused {
        /// What.
        asked: Asked,
        /// ERROR-CODE.
        code: u16,
    },
    /// Nobody answered, however often it was sent.
    Silence {
        /// What.
        asked: Asked,
    },
    /// The answer is none that this request can have.
    Nonsense {
        /// What.
        asked: Asked,
    },
}

/// What a message from the server was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// Nothing for the caller.
    Nothing,
    /// A request is done with.
    Event(Event),
    /// A peer's payload: these bytes of the message.
    Data {
        /// Who sent it.
        peer: SocketAddr,
        /// Where it lies in the message.
        payload: Range<usize>,
    },
}

/// A peer that was asked for.
#[derive(Clone, Copy, Debug)]
struct Peer {
    address: SocketAddr,
    channel: Option<u16>,
    permitted_ms: Option<u64>,
    bound_ms: Option<u64>,
}

/// The allocation.
#[derive(Clone, Debug)]
struct Allocation {
    relayed: Vec<SocketAddr>,
    lifetime_s: u32,
    /// When it ends.
    until_ms: u64,
}

/// See the top of this file.
pub struct Client {
    carrier: Carrier,
    credentials: Credentials,
    session: Option<Session>,
    pending: Vec<Pending>,
    outbox: VecDeque<Vec<u8>>,
    allocation: Option<Allocation>,
    peers: Vec<Peer>,
}

impl Client {
    /// Knows neither realm nor nonce yet: the first request learns them.
    #[must_use]
    pub fn new(carrier: Carrier, credentials: Credentials) -> Client {
        Client {
            carrier,
            credentials,
            session: None,
            pending: Vec::new(),
            outbox: VecDeque::new(),
            allocation: None,
            peers: Vec::new(),
        }
    }

    /// Asks for an allocation of these families; none named is IPv4 (RFC 8656 §7.1).
    pub fn allocate(&mut self, now_ms: u64, id: TransactionId, family: Option<Family>, lifetime_s: Option<u32>) {
        self.ask(now_ms, id, Wish::Allocate { family, lifetime_s });
    }

    /// Asks for a new lifetime; 0 frees the allocation.
    pub fn refresh(&mut self, now_ms: u64, id: TransactionId, lifetime_s: u32) {
        self.ask(now_ms, id, Wish::Refresh { lifetime_s });
    }

    /// Asks that `peers` may send and be sent to.
    pub fn permit(&mut self, now_ms: u64, id: TransactionId, peers: &[SocketAddr]) {
        self.ask(now_ms, id, Wish::Permit { peers: peers.to_vec() });
    }

    /// Asks for a channel to `peer`.
    pub fn bind(&mut self, now_ms: u64, id: TransactionId, channel: u16, peer: SocketAddr) {
        self.ask(now_ms, id, Wish::Bind { channel, peer });
    }

    /// What has to be sent next.
    pub fn poll(&mut self) -> Option<Vec<u8>> {
        self.outbox.pop_front()
    }

    /// The relayed addresses; empty without an allocation.
    #[must_use]
    pub fn relayed(&self) -> &[SocketAddr] {
        self.allocation.as_ref().map_or(&[], |allocation| &allocation.relayed)
    }

    /// True while some request has no answer yet.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Takes one datagram, or one message cut out of a stream. `id` is for a request that has to be sent anew because the
    /// server gave another nonce.
    pub fn handle(&mut self, now_ms: u64, id: TransactionId, message: &[u8]) -> Incoming {
        if let Some((number, payload)) = channel::parse(message) {
            let peer = self.peers.iter().find(|peer| peer.channel == Some(number));
            return peer.map_or(Incoming::Nothing, |peer| Incoming::Data {
                peer: peer.address,
                payload: place_of(payload, message),
            });
        }
        let Ok(read) = Message::parse(message) else {
            return Incoming::Nothing;
        };
        match read.class() {
            Class::Indication => data_indication(message, &read),
            Class::Success | Class::Error => self.answered(now_ms, id, &read),
            Class::Request => Incoming::Nothing,
        }
    }

    /// Does what is due: sends again, gives up, renews. At most one new request; call it again until [`Client::wake_at`]
    /// is later than `now_ms`.
    pub fn tick(&mut self, now_ms: u64, id: TransactionId) -> Option<Event> {
        let mut place = 0;
        while let Some(pending) = self.pending.get_mut(place) {
            match pending.due(now_ms) {
                request::Due::Later => place += 1,
                request::Due::Again => {
                    let bytes = pending.bytes.clone();
                    self.outbox.push_back(bytes);
                    place += 1;
                }
                request::Due::GiveUp => {
                    let wish = self.pending.swap_remove(place).wish;
                    self.forget(&wish);
                    return Some(Event::Silence { asked: wish.asked() });
                }
            }
        }
        if let Some((at, wish)) = self.renewal()
            && at <= now_ms
        {
            self.ask(now_ms, id, wish);
        }
        None
    }

    /// When [`Client::tick`] wants to be called; `None` when nothing is due at all.
    #[must_use]
    pub fn wake_at(&self) -> Option<u64> {
        let resend = self.pending.iter().map(Pending::wake_at).min();
        let renewal = self.renewal().map(|(at, _)| at);
        [resend, renewal].into_iter().flatten().min()
    }

    /// Wraps `payload` for `peer` into `out`: ChannelData if there is a channel, else a Send indication with `id`. The
    /// length; `None` if the peer was never asked for or `out` has no room.
    pub fn wrap(&self, id: TransactionId, peer: SocketAddr, payload: &[u8], out: &mut [u8]) -> Option<usize> {
        let known = self.peers.iter().find(|known| known.address == peer)?;
        let Some(channel) = known.channel.filter(|_| known.bound_ms.is_some()) else {
            let mut writer = Writer::new(out, Class::Indication, method::SEND, id).ok()?;
            writer.xor_address(attribute::XOR_PEER_ADDRESS, peer).ok()?;
            writer.attribute(attribute::DATA, payload).ok()?;
            return Some(writer.finish());
        };
        let lies = channel::HEADER_BYTES..channel::HEADER_BYTES + payload.len();
        out.get_mut(lies.clone())?.copy_from_slice(payload);
        let padded = self.carrier == Carrier::Stream;
        channel::wrap(out, lies, channel, padded).map(|written| written.end)
    }

    fn ask(&mut self, now_ms: u64, id: TransactionId, wish: Wish) {
        self.note(&wish);
        let bytes = request::write(&wish, id, self.session.as_mut(), &self.credentials);
        self.outbox.push_back(bytes.clone());
        self.pending.push(Pending::new(
            wish,
            id,
            bytes,
            now_ms,
            self.carrier,
            self.session.is_some(),
        ));
    }

    /// Peers are known from the moment they are asked for, so that data which overtakes the answer is not lost.
    fn note(&mut self, wish: &Wish) {
        let (peers, channel) = match wish {
            Wish::Permit { peers } => (peers.as_slice(), None),
            Wish::Bind { channel, peer } => (std::slice::from_ref(peer), Some(*channel)),
            Wish::Allocate { .. } | Wish::Refresh { .. } => return,
        };
        for &address in peers {
            match self.peers.iter_mut().find(|peer| peer.address == address) {
                Some(peer) => peer.channel = channel.or(peer.channel),
                None => self.peers.push(Peer {
                    address,
                    channel,
                    permitted_ms: None,
                    bound_ms: None,
                }),
            }
        }
    }

    fn answered(&mut self, now_ms: u64, id: TransactionId, answer: &Message<'_>) -> Incoming {
        let matches =
            |pending: &Pending| pending.id == answer.transaction() && pending.wish.asked().method() == answer.method();
        let Some(place) = self.pending.iter().position(matches) else {
            return Incoming::Nothing;
        };
        let signed = self.pending[place].signed;
        let genuine = match self.session.as_mut() {
            Some(session) if answer.has_integrity() => answer.verify(&mut session.key),
            // A refusal may come from who cannot check us; a success without integrity is nobody's (RFC 8489 §9.2.5).
            Some(_) | None => !signed || answer.class() == Class::Error,
        };
        if !genuine {
            return Incoming::Nothing;
        }
        let mut pending = self.pending.swap_remove(place);
        if answer.class() == Class::Success {
            return Incoming::Event(self.granted(now_ms, &pending.wish, answer));
        }
        let asked = pending.wish.asked();
        let Some(code) = answer.error_code() else {
            return Incoming::Event(Event::Nonsense { asked });
        };
        if pending.may_ask_anew(code)
            && let Some(session) = Session::from_refusal(answer, &self.credentials)
        {
            self.session = Some(session);
            let bytes = request::write(&pending.wish, id, self.session.as_mut(), &self.credentials);
            self.outbox.push_back(bytes.clone());
            pending.anew(id, bytes, now_ms);
            self.pending.push(pending);
            return Incoming::Nothing;
        }
        self.forget(&pending.wish);
        Incoming::Event(Event::Refused { asked, code })
    }

    fn granted(&mut self, now_ms: u64, wish: &Wish, answer: &Message<'_>) -> Event {
        let asked = wish.asked();
        let lifetime = answer.number(attribute::LIFETIME);
        match wish {
            Wish::Allocate { .. } => {
                let relayed: Vec<_> = answer.xor_addresses(attribute::XOR_RELAYED_ADDRESS).flatten().collect();
                let (Some(lifetime_s), Some(mapped), false) =
                    (lifetime, answer.xor_mapped_address(), relayed.is_empty())
                else {
                    return Event::Nonsense { asked };
                };
                self.allocation = Some(Allocation {
                    relayed: relayed.clone(),
                    lifetime_s,
                    until_ms: now_ms + u64::from(lifetime_s) * 1_000,
                });
                Event::Allocated {
                    relayed,
                    mapped,
                    lifetime_s,
                }
            }
            Wish::Refresh { .. } => {
                let Some(lifetime_s) = lifetime else {
                    return Event::Nonsense { asked };
                };
                if lifetime_s == 0 {
                    self.allocation = None;
                    self.peers.clear();
                } else if let Some(allocation) = &mut self.allocation {
                    allocation.lifetime_s = lifetime_s;
                    allocation.until_ms = now_ms + u64::from(lifetime_s) * 1_000;
                }
                Event::Refreshed { lifetime_s }
            }
            Wish::Permit { peers } => {
                for peer in self.peers.iter_mut().filter(|peer| peers.contains(&peer.address)) {
                    peer.permitted_ms = Some(now_ms);
                }
                Event::Permitted
            }
            Wish::Bind { channel, peer } => {
                for known in self.peers.iter_mut().filter(|known| known.address == *peer) {
                    known.permitted_ms = Some(now_ms);
                    known.bound_ms = Some(now_ms);
                }
                Event::Bound { channel: *channel }
            }
        }
    }

    /// What has to be asked for again first, and when. Nothing while the same is under way.
    fn renewal(&self) -> Option<(u64, Wish)> {
        let allocation = self.allocation.as_ref()?;
        let lifetime_s = allocation.lifetime_s;
        // Short lifetimes are renewed at their half.
        let ahead = REFRESH_AHEAD_MS.min(u64::from(lifetime_s) * 500);
        let mut renewals = vec![(allocation.until_ms.saturating_sub(ahead), Wish::Refresh { lifetime_s })];
        for peer in &self.peers {
            let address = peer.address;
            if let (Some(at), Some(channel)) = (peer.bound_ms, peer.channel) {
                let peer = address;
                renewals.push((at + CHANNEL_RENEWED_MS, Wish::Bind { channel, peer }));
            }
            if let Some(at) = peer.permitted_ms {
                let peers = vec![address];
                renewals.push((at + PERMISSION_RENEWED_MS, Wish::Permit { peers }));
            }
        }
        renewals.retain(|(_, wish)| !self.pending.iter().any(|pending| pending.wish == *wish));
        renewals.into_iter().min_by_key(|(at, _)| *at)
    }

    /// What was refused or not answered is not renewed: the caller knows, and may ask for it again.
    fn forget(&mut self, wish: &Wish) {
        match wish {
            Wish::Allocate { .. } => {}
            Wish::Refresh { .. } => self.allocation = None,
            Wish::Permit { peers } => {
                for peer in self.peers.iter_mut().filter(|peer| peers.contains(&peer.address)) {
                    peer.permitted_ms = None;
                }
            }
            Wish::Bind { peer, .. } => {
                for known in self.peers.iter_mut().filter(|known| known.address == *peer) {
                    known.bound_ms = None;
                }
            }
        }
    }
}

fn data_indication(message: &[u8], read: &Message<'_>) -> Incoming {
    let peer = read.xor_address(attribute::XOR_PEER_ADDRESS);
    let (Some(peer), Some(data), method::DATA) = (peer, read.attribute(attribute::DATA), read.method()) else {
        return Incoming::Nothing;
    };
    Incoming::Data {
        peer,
        payload: place_of(data, message),
    }
}

/// Where `part`, which is a part of `whole`, lies in it.
fn place_of(part: &[u8], whole: &[u8]) -> Range<usize> {
    let from = part.as_ptr().addr() - whole.as_ptr().addr();
    from..from + part.len()
}
