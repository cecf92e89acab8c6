//! The lite side of ICE (RFC 8445 §2.5): judges checks, remembers addresses, decides where to send.
//!
//! It sends no check of its own and never looks at a candidate: addresses are learnt from valid checks only, so
//! `.local` names, second components and empty candidates cannot matter.
//!
//! Invariant: the address in use passed a check with this transport's password.

use stun::binding::{self, Refusal};
use stun::{Class, Message, attribute, method};

use crate::command::IceCredentials;
use crate::gate::{Gate, Rate};
use crate::limits::{
    ADDRESSES_PER_TRANSPORT_MAX, MOVES_PER_S_MAX, OLD_CREDENTIALS, REVERT_WINDOW, SECOND, STUN_PER_S_MAX,
};
use crate::origin::{Destination, Sender, Wire};

const CHECKS: Rate = Rate::new(STUN_PER_S_MAX, STUN_PER_S_MAX);
const MOVES: Rate = Rate::new(MOVES_PER_S_MAX, MOVES_PER_S_MAX);

/// A user name fragment of ours as a hash key: up to 16 bytes, zeros behind.
///
/// We draw them at random, so nobody can choose hashes; a wrong one is a miss.
pub(crate) type Ufrag = u128;

/// The key of a user name fragment; `None` beyond 16 bytes.
pub(crate) fn ufrag(text: &[u8]) -> Option<Ufrag> {
    let mut bytes = [0u8; 16];
    bytes.get_mut(..text.len())?.copy_from_slice(text);
    Some(Ufrag::from_be_bytes(bytes))
}

/// The fragment that a check is addressed to: what stands before the colon of USERNAME.
pub(crate) fn addressed_to(message: &Message<'_>) -> Option<Ufrag> {
    let username = message.username()?;
    let colon = username.iter().position(|&byte| byte == b':')?;
    ufrag(username.get(..colon)?)
}

/// One set of credentials, ready to judge checks.
struct Credentials {
    /// As bytes, which may stand anywhere: a number would have to begin at a sixteenth byte, and with it what packets need.
    ufrag: [u8; size_of::<Ufrag>()],
    /// `ours:theirs`, as it must stand in USERNAME.
    username: Box<[u8]>,
    key: stun::Key,
}

impl Credentials {
    fn new(ice: &IceCredentials) -> Credentials {
        let username = format!("{}:{}", ice.local_ufrag, ice.remote_ufrag)
            .into_bytes()
            .into_boxed_slice();
        Credentials {
            ufrag: ufrag(ice.local_ufrag.as_bytes())
                .expect("the length of our fragment is checked on entry")
                .to_be_bytes(),
            username,
            key: stun::Key::new(ice.local_pwd.as_bytes()),
        }
    }

    fn ufrag(&self) -> Ufrag {
        Ufrag::from_be_bytes(self.ufrag)
    }
}

/// An address, or a path through the relay, that passed a check.
#[derive(Clone, Copy, Debug)]
struct Known {
    address: Destination,
    /// When anything authenticated last came from it.
    heard_at: u64,
}

/// What a request turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Counts for consent; the reply is a success.
    Valid(Learnt),
    /// Authentic, but the reply is an error.
    Refused,
    /// No reply: wrong user name or password.
    BadIntegrity,
    /// No reply: too many.
    TooMany,
}

/// What a valid check changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Learnt {
    /// Sending moved here from another address.
    pub(crate) moved: bool,
    /// Sending begins here: there was no address before, or none any more.
    pub(crate) begun: bool,
    /// A move was due and refused by its rate.
    pub(crate) move_refused: bool,
    /// The sender's address is new here, at this place of the table.
    pub(crate) added: Option<usize>,
    /// An address that gave way for it.
    pub(crate) evicted: Option<Destination>,
    /// Old credentials that have ended with this check.
    pub(crate) retired: Option<Ufrag>,
}

/// The ICE state of one transport.
// In this order: see `Transport`.
#[repr(C)]
pub(crate) struct Agent {
    /// The place of the address in use.
    selected: Option<u8>,
    /// While a move may still be taken back: where sending went before; over several moves in a row, before the first of
    /// them.
    moved_from: Option<u8>,
    known: [Option<Known>; ADDRESSES_PER_TRANSPORT_MAX],
    /// When the last move was.
    moved_at: u64,
    current: Credentials,
    /// Credentials before the restart, and when they end.
    previous: Option<(Credentials, u64)>,
    checks: Gate,
    moves: Gate,
    /// When the last valid check came; consent counts from here.
    pub(crate) checked_at: Option<u64>,
}

/// Bytes at the start of an [`Agent`] that a packet needs: most clients are known by one address.
pub(crate) const HOT_BYTES: usize = std::mem::offset_of!(Agent, known) + size_of::<Option<Known>>();

impl Agent {
    pub(crate) fn new(ice: &IceCredentials) -> Agent {
        Agent {
            current: Credentials::new(ice),
            previous: None,
            known: [None; ADDRESSES_PER_TRANSPORT_MAX],
            selected: None,
            moved_from: None,
            moved_at: 0,
            checks: Gate::default(),
            moves: Gate::default(),
            checked_at: None,
        }
    }

    /// All fragments under which checks for this transport come.
    pub(crate) fn ufrags(&self) -> impl Iterator<Item = Ufrag> {
        std::iter::once(self.current.ufrag()).chain(self.previous.as_ref().map(|(credentials, _)| credentials.ufrag()))
    }

    /// All addresses in the table.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Destination> {
        self.known.iter().flatten().map(|known| known.address)
    }

    /// Where to send.
    #[inline]
    pub(crate) fn destination(&self) -> Option<Destination> {
        self.known.get(usize::from(self.selected?))?.map(|known| known.address)
    }

    /// New credentials (RFC 8445 §9). Returns the fragment of a still older restart, which ends now.
    pub(crate) fn restart(&mut self, ice: &IceCredentials, now: u64) -> Option<Ufrag> {
        let ended = self.previous.take().map(|(credentials, _)| credentials.ufrag());
        let before = std::mem::replace(&mut self.current, Credentials::new(ice));
        self.previous = Some((before, now + OLD_CREDENTIALS));
        ended
    }

    /// When the old credentials of a restart end.
    pub(crate) fn previous_ends(&self) -> Option<u64> {
        self.previous.as_ref().map(|(_, until)| *until)
    }

    /// Ends old credentials whose time is over; returns their fragment.
    pub(crate) fn expire_previous(&mut self, now: u64) -> Option<Ufrag> {
        self.previous
            .take_if(|(_, until)| *until <= now)
            .map(|(credentials, _)| credentials.ufrag())
    }

    /// Judges a Binding request that names one of our fragments and writes the reply, if one is due, into `reply`.
    /// `silent_after`: silence of the address in use after which any valid check moves sending.
    ///
    /// Returns the verdict and the reply's length, 0 for silence.
    pub(crate) fn check(
        &mut self,
        now: u64,
        from: Sender,
        message: &Message<'_>,
        silent_after: u64,
        reply: &mut [u8],
    ) -> (Verdict, usize) {
        if !self.checks.pass(now, 1, CHECKS) {
            return (Verdict::TooMany, 0);
        }
        let by_current = message.username() == Some(&*self.current.username);
        let credentials = match &mut self.previous {
            _ if by_current => &mut self.current,
            Some((previous, _)) if message.username() == Some(&*previous.username) => previous,
            _ => return (Verdict::BadIntegrity, 0),
        };
        if !message.verify(&mut credentials.key) {
            return (Verdict::BadIntegrity, 0);
        }
        let unknown = message.unknown(&binding::KNOWN);
        let refusal = if !unknown.is_empty() {
            Some(Refusal::UnknownAttributes(unknown))
        } else if message.attribute(attribute::ICE_CONTROLLED).is_some() {
            Some(Refusal::RoleConflict)
        } else {
            None
        };
        let key = Some(&mut credentials.key);
        if let Some(refusal) = refusal {
            return (
                Verdict::Refused,
                binding::refuse(reply, message.transaction(), refusal, key).unwrap_or(0),
            );
        }
        let length = binding::success(reply, message.transaction(), from.seen_as, &mut credentials.key).unwrap_or(0);
        let retired = if by_current {
            self.previous.take().map(|(credentials, _)| credentials.ufrag())
        } else {
            None
        };
        let mut learnt = self.learn(now, from.back, message.use_candidate(), silent_after);
        learnt.retired = retired;
        (Verdict::Valid(learnt), length)
    }

    /// An authenticated media packet came from place `from` of the table. `newest`: its index is above all before.
    ///
    /// True if that moved sending back to where it was: the check that moved it was a replayed one.
    #[inline]
    pub(crate) fn heard(&mut self, now: u64, from: usize, newest: bool) -> bool {
        if let Some(Some(known)) = self.known.get_mut(from) {
            known.heard_at = now;
        }
        let Some(moved_from) = self.moved_from else {
            return false;
        };
        if now.saturating_sub(self.moved_at) >= REVERT_WINDOW || self.selected.map(usize::from) == Some(from) {
            self.moved_from = None;
        } else if newest && usize::from(moved_from) == from {
            self.selected = Some(moved_from);
            self.moved_from = None;
            return true;
        }
        false
    }

    /// When anything authenticated last came from this address.
    pub(crate) fn heard_at(&self, place: usize) -> Option<u64> {
        self.known.get(place)?.map(|known| known.heard_at)
    }

    /// Forgets an address that another transport has proved to be its own, or a path that is no more.
    pub(crate) fn forget(&mut self, place: usize) {
        if let Some(known) = self.known.get_mut(place) {
            *known = None;
        }
        let other = |it: &u8| usize::from(*it) != place;
        self.selected = self.selected.filter(other);
        self.moved_from = self.moved_from.filter(other);
    }

    fn learn(&mut self, now: u64, from: Destination, nominated: bool, silent_after: u64) -> Learnt {
        let mut learnt = Learnt::default();
        self.checked_at = Some(now);
        let place = self
            .known
            .iter()
            .position(|known| known.is_some_and(|known| known.address == from));
        let place = place.unwrap_or_else(|| {
            let place = self.place_for_new();
            learnt.evicted = self.known.get(place).copied().flatten().map(|known| known.address);
            learnt.added = Some(place);
            self.moved_from = self.moved_from.filter(|&from| usize::from(from) != place);
            place
        });
        let silent = match self.selected.and_then(|selected| self.heard_at(selected.into())) {
            Some(heard_at) => now.saturating_sub(heard_at) >= silent_after,
            None => true,
        };
        if let Some(known) = self.known.get_mut(place) {
            *known = Some(Known {
                address: from,
                heard_at: now,
            });
        }
        let here = place as u8;
        match self.selected {
            None => {
                self.selected = Some(here);
                learnt.begun = true;
            }
            Some(selected) if selected != here && (nominated || silent) => {
                if self.moves.pass(now, 1, MOVES) {
                    // A second replayed check must not make the first one's address the one to go back to.
                    let young = now.saturating_sub(self.moved_at) < REVERT_WINDOW;
                    let open = self.moved_from.filter(|&from| young && from != here);
                    self.selected = Some(here);
                    (self.moved_from, self.moved_at) = (open.or(Some(selected)), now);
                    learnt.moved = true;
                } else {
                    learnt.move_refused = true;
                }
            }
            Some(_) => {}
        }
        learnt
    }

    /// A free place, or that of the address heard longest ago; never the one in use.
    fn place_for_new(&self) -> usize {
        let candidates = self
            .known
            .iter()
            .enumerate()
            .filter(|(place, _)| Some(*place) != self.selected.map(usize::from));
        let oldest = candidates.min_by_key(|(_, known)| known.map_or(0, |known| known.heard_at));
        oldest.map_or(0, |(place, _)| place)
    }
}

/// True for what a lite agent answers at all.
pub(crate) fn is_check(message: &Message<'_>) -> bool {
    message.class() == Class::Request && message.method() == method::BINDING
}

const _: () = assert!(REVERT_WINDOW > SECOND && ADDRESSES_PER_TRANSPORT_MAX >= 2);
const _: () = assert!(ADDRESSES_PER_TRANSPORT_MAX <= u8::MAX as usize);
// A path fits where a way over the wire does, and neither makes what every packet needs longer.
const _: () = assert!(size_of::<Destination>() == size_of::<Wire>() && size_of::<Wire>() == 24);
const _: () = assert!(size_of::<Option<Known>>() <= 32);
