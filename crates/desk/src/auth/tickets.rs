//! Short-lived credentials of a customer's call, kept in this node's memory as digests.
//!
//! A *ticket* opens one WebSocket and dies with its use or after a minute; it is used once the page behind that socket was
//! heard, so that an answer that was lost on its way costs nobody his call. A *pass* is what the cookie of a call holds:
//! it may be shown many times, speaks for that one call only, and dies with the longest call. Both end with the process.
//! The number of both is bounded; at the bound the oldest goes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use call_model::{CallId, Span, Timestamp, UserId};

use super::token::{Digest, Token};

/// How long a ticket waits for its WebSocket.
pub const TICKET_LIFE: Span = Span::seconds(60);
/// How long a pass speaks for its call: the longest call (4 h) and some minutes to look at its end.
pub const PASS_LIFE: Span = Span::minutes(4 * 60 + 15);
/// Tickets and passes kept, each: far more than one node carries calls, about 20 MB.
pub const KEPT_MAX: usize = 100_000;

/// What a ticket or pass stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The customer.
    pub user: UserId,
    /// The call.
    pub call: CallId,
}

/// A bounded map of digests with an order of birth.
#[derive(Default)]
struct Shelf {
    by_digest: HashMap<Digest, (Bearer, Timestamp)>,
    born: VecDeque<(Timestamp, Digest)>,
}

impl Shelf {
    /// Puts one in and takes out what has run out or is too much.
    fn put(&mut self, digest: Digest, bearer: Bearer, now: Timestamp, life: Span, kept_max: usize) {
        let until = now.plus(life);
        while let Some((dies, oldest)) = self.born.front().copied() {
            if dies > now && self.born.len() < kept_max {
                break;
            }
            self.born.pop_front();
            self.by_digest.remove(&oldest);
        }
        self.by_digest.insert(digest, (bearer, until));
        self.born.push_back((until, digest));
    }
}

/// The tickets and passes of one node.
#[derive(Default)]
pub struct Tickets {
    tickets: Mutex<Shelf>,
    passes: Mutex<Shelf>,
}

impl Tickets {
    /// Keeps a ticket made of `token`.
    pub fn put_ticket(&self, token: &Token, bearer: Bearer, now: Timestamp) {
        lock(&self.tickets).put(token.digest(), bearer, now, TICKET_LIFE, KEPT_MAX);
    }

    /// Looks a ticket up and leaves it where it is.
    pub fn ticket(&self, digest: Digest, now: Timestamp) -> Option<Bearer> {
        let tickets = lock(&self.tickets);
        let (bearer, until) = tickets.by_digest.get(&digest)?;
        (now < *until).then(|| bearer.clone())
    }

    /// Takes the ticket out: the second try finds nothing.
    pub fn take_ticket(&self, digest: Digest, now: Timestamp) -> Option<Bearer> {
        let (bearer, until) = lock(&self.tickets).by_digest.remove(&digest)?;
        (now < until).then_some(bearer)
    }

    /// Keeps a pass made of `token`.
    pub fn put_pass(&self, token: &Token, bearer: Bearer, now: Timestamp) {
        lock(&self.passes).put(token.digest(), bearer, now, PASS_LIFE, KEPT_MAX);
    }

    /// Looks a pass up.
    pub fn pass(&self, digest: Digest, now: Timestamp) -> Option<Bearer> {
        let passes = lock(&self.passes);
        let (bearer, until) = passes.by_digest.get(&digest)?;
        (now < *until).then(|| bearer.clone())
    }
}

/// The shelf, also after a panic of another holder: every change of it is a whole one.
fn lock(shelf: &Mutex<Shelf>) -> std::sync::MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::token::Kind;
    use super::*;

    fn bearer(n: u128) -> Bearer {
        Bearer {
            user: UserId::new("u").unwrap(),
            call: CallId(n),
        }
    }

    fn token(n: u8) -> Token {
        Token::new(Kind::Ticket, [n; 32])
    }

    #[test]
    fn a_ticket_opens_one_door_once_and_within_a_minute() {
        let tickets = Tickets::default();
        let now = Timestamp(0);
        tickets.put_ticket(&token(1), bearer(1), now);
        tickets.put_ticket(&token(2), bearer(2), now);
        let late = now.plus(TICKET_LIFE);
        for _ in 0..2 {
            assert_eq!(tickets.ticket(token(1).digest(), now), Some(bearer(1)), "it waits");
        }
        assert_eq!(tickets.ticket(token(1).digest(), late), None);
        assert_eq!(tickets.take_ticket(token(1).digest(), now), Some(bearer(1)));
        assert_eq!(tickets.take_ticket(token(1).digest(), now), None);
        assert_eq!(tickets.ticket(token(1).digest(), now), None);
        assert_eq!(tickets.take_ticket(token(2).digest(), late), None);
    }

    #[test]
    fn a_pass_may_be_shown_again_until_it_runs_out() {
        let tickets = Tickets::default();
        tickets.put_pass(&token(1), bearer(1), Timestamp(0));
        let last = Timestamp(0).plus(PASS_LIFE).minus(Span(1));
        assert_eq!(tickets.pass(token(1).digest(), last), Some(bearer(1)));
        assert_eq!(tickets.pass(token(1).digest(), last), Some(bearer(1)));
        assert_eq!(tickets.pass(token(1).digest(), last.plus(Span(1))), None);
    }

    #[test]
    fn at_the_bound_the_oldest_goes_and_what_ran_out_goes_first() {
        let mut shelf = Shelf::default();
        for n in 0..4 {
            shelf.put([n; 32], bearer(u128::from(n)), Timestamp(0), TICKET_LIFE, 3);
        }
        assert_eq!(shelf.by_digest.len(), 3);
        assert!(!shelf.by_digest.contains_key(&[0; 32]));
        shelf.put([9; 32], bearer(9), Timestamp(0).plus(TICKET_LIFE), TICKET_LIFE, 3);
        assert_eq!(shelf.by_digest.len(), 1);
    }
}
