//! What other threads ask of the workers: by bounded mailboxes and a bell, so that nobody waits for a worker's turn but
//! who wants an answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ports::{AllocationView, Later, LegId, RelayControl, RelayHealth, TooSoon, TurnCredentials, TurnGrant};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::oneshot;

use super::pulse::Pulse;
use super::ring::Doorbell;
use crate::clock::Clock;
use crate::core::credential::{self, Secret, Secrets};

/// Letters that wait for one worker: a second of hang-ups of a full node. One that finds no room is lost; a worker asks
/// for its legs once a second anyway, so a lost one costs that second.
pub(crate) const LETTERS_MAX: usize = 1_024;
/// Bytes of a drawn secret: the size of the hash's block would be 64, more than 32 random ones add nothing.
const SECRET_BYTES: usize = 32;

/// Places of a worker's table that one letter is answered from. A view takes microseconds, and a turn answers two such
/// letters at most, so media waits some tenths of a millisecond; for a full table of 100,000 it would be tenths of a second.
/// Higher: media waits longer when staff look. Lower: more letters for the same list.
pub(crate) const PLACES_PER_PAGE: u32 = 64;

/// Some allocations, and the place to go on with.
pub(crate) type Page = (Vec<AllocationView>, Option<u32>);

/// One request.
#[derive(Debug)]
pub(crate) enum Letter {
    CloseLeg(LegId),
    /// From this place of the table on.
    List(u32, oneshot::Sender<Page>),
    Kill(String, oneshot::Sender<bool>),
}

/// One worker's address.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) letters: SyncSender<Letter>,
    pub(crate) doorbell: Doorbell,
}

impl Address {
    pub(crate) fn new(doorbell: Doorbell) -> (Address, Receiver<Letter>) {
        let (letters, received) = sync_channel(LETTERS_MAX);
        (Address { letters, doorbell }, received)
    }

    fn post(&self, letter: Letter) {
        // Full or ended: see `LETTERS_MAX`. Who waits for an answer sees its sender dropped.
        let _ = self.letters.try_send(letter);
        self.doorbell.wake();
    }
}

/// What holds until it is changed. No letter, because none may be lost: each worker looks whether it has changed.
pub(crate) struct Orders {
    version: AtomicU64,
    state: Mutex<State>,
}

/// See [`Orders`].
#[derive(Clone)]
pub(crate) struct State {
    /// What credentials are judged with.
    pub(crate) secrets: Secrets,
    /// Since when, nanoseconds of the relay's clock; `None`: since the start, with no secret before it.
    pub(crate) since_ns: Option<u64>,
    /// Nothing new is allocated.
    pub(crate) draining: bool,
}

/// Nanoseconds of a second.
const SECOND_NS: u64 = 1_000_000_000;

/// Seconds until what was made with the secret before that of `since_ns` has run out. `life_s`: of a credential, whose
/// last second counts whole.
fn rotates_in_s(since_ns: Option<u64>, now_ns: u64, life_s: u32) -> u32 {
    let until = since_ns.map_or(0, |since| since + (u64::from(life_s) + 1) * SECOND_NS);
    u32::try_from(until.saturating_sub(now_ns).div_ceil(SECOND_NS)).unwrap_or(u32::MAX)
}

impl Orders {
    /// What is known by who has never looked.
    pub(crate) const NEVER: u64 = u64::MAX;

    pub(crate) fn new(secrets: Secrets) -> Arc<Orders> {
        Arc::new(Orders {
            version: AtomicU64::new(0),
            state: Mutex::new(State {
                secrets,
                since_ns: None,
                draining: false,
            }),
        })
    }

    /// The orders, if they are not those of `known`, which is brought up to date.
    pub(crate) fn changed(&self, known: &mut u64) -> Option<State> {
        let version = self.version.load(Ordering::Acquire);
        if version == *known {
            return None;
        }
        *known = version;
        Some(self.lock().clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whole after every statement: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// The relay as desk and media see it.
pub(crate) struct Control {
    workers: Vec<Address>,
    pulse: Arc<Pulse>,
    orders: Arc<Orders>,
    urls: Vec<String>,
    credential_s: u32,
    clock: Clock,
    /// TURN is on.
    minting: bool,
}

/// A secret that nobody else has.
pub(crate) fn draw(id: u8) -> Secret {
    let mut bytes = [0; SECRET_BYTES];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the operating system always has a random source");
    Secret::new(id, &bytes)
}

impl Control {
    pub(crate) fn new(
        workers: Vec<Address>,
        pulse: Arc<Pulse>,
        orders: Arc<Orders>,
        urls: Vec<String>,
        credential_s: u32,
        clock: Clock,
        minting: bool,
    ) -> Arc<Control> {
        Arc::new(Control {
            workers,
            pulse,
            orders,
            urls,
            credential_s,
            clock,
            minting,
        })
    }

    /// Wakes whoever sleeps, so that he sees the new orders.
    fn wake_all(&self) {
        for worker in &self.workers {
            worker.doorbell.wake();
        }
    }
}

impl TurnCredentials for Control {
    fn mint(&self, leg: LegId) -> Option<TurnGrant> {
        let state = self.orders.lock();
        if !self.minting || state.draining {
            return None;
        }
        let expiry = self.clock.unix_s() + u64::from(self.credential_s);
        let (username, credential) = credential::mint(&state.secrets.current, leg, expiry);
        Some(TurnGrant {
            urls: self.urls.clone(),
            username,
            credential,
            expires_in_s: self.credential_s,
        })
    }
}

impl RelayControl for Control {
    fn close_leg(&self, leg: LegId) {
        for worker in &self.workers {
            worker.post(Letter::CloseLeg(leg));
        }
    }

    fn list(&self) -> Later<'_, Vec<AllocationView>> {
        Box::pin(async move {
            let mut all = Vec::new();
            for worker in &self.workers {
                let mut from = Some(0);
                while let Some(place) = from {
                    let (answer, answered) = oneshot::channel();
                    worker.post(Letter::List(place, answer));
                    // A worker that is gone, or whose box is full, says nothing more.
                    let (some, next) = answered.await.unwrap_or_default();
                    all.extend(some);
                    from = next;
                }
            }
            all.sort_by(|one: &AllocationView, other| other.age_s.cmp(&one.age_s).then_with(|| one.id.cmp(&other.id)));
            all
        })
    }

    fn kill<'a>(&'a self, id: &'a str) -> Later<'a, bool> {
        Box::pin(async move {
            for worker in &self.workers {
                let (answer, answered) = oneshot::channel();
                worker.post(Letter::Kill(id.to_owned(), answer));
                if answered.await.unwrap_or(false) {
                    return true;
                }
            }
            false
        })
    }

    fn drain(&self, draining: bool) {
        self.orders.change(|state| state.draining = draining);
        self.wake_all();
    }

    fn health(&self) -> RelayHealth {
        RelayHealth {
            workers: self.pulse.workers(),
            alive: self.pulse.alive(self.clock.now_ns()),
            panics: self.pulse.panics(),
        }
    }

    fn rotates_in_s(&self) -> u32 {
        rotates_in_s(self.orders.lock().since_ns, self.clock.now_ns(), self.credential_s)
    }

    fn rotate_secret(&self) -> Result<(), TooSoon> {
        let mut wait_s = 0;
        self.orders.change(|state| {
            let now_ns = self.clock.now_ns();
            wait_s = rotates_in_s(state.since_ns, now_ns, self.credential_s);
            if wait_s > 0 {
                return;
            }
            let next = draw(state.secrets.current.id.wrapping_add(1));
            state.secrets.previous = Some(std::mem::replace(&mut state.secrets.current, next));
            state.since_ns = Some(now_ns);
        });
        if wait_s > 0 {
            return Err(TooSoon { wait_s });
        }
        self.wake_all();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_stays_until_nothing_made_with_the_one_before_it_counts() {
        assert_eq!(rotates_in_s(None, 0, 120), 0, "there is none before the first");
        let since = 7 * SECOND_NS;
        assert_eq!(rotates_in_s(Some(since), since, 120), 121);
        assert_eq!(rotates_in_s(Some(since), since + 121 * SECOND_NS - 1, 120), 1);
        assert_eq!(rotates_in_s(Some(since), since + 121 * SECOND_NS, 120), 0);
    }
}
