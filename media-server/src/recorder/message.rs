//! What the rest of media tells the recorder, and the box it is put into.
//!
//! Telling never waits for the disk and loses no order; only counter rows are dropped when the box is full, and
//! counted. Packets do not come this way: they come by the tap ring.
//!
//! Invariant: messages leave the box in the order they were told.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use media_core::counters::Second;
use ports::{Part, Policy, Recorder, Stance};
use recording::spool::By;

use super::stats::{Figures, Stats};

/// Messages in the box from which on counter rows are dropped: four seconds of 1,000 calls.
pub const MESSAGES_MAX: usize = 16_384;

/// One fact or order. Rooms and legs are the desk's ids, times are nanoseconds of the node's clock.
#[derive(Clone, Debug)]
pub enum Message {
    /// Both sides are there: the recording's time 0.
    RoomLive {
        /// Which room.
        room: u128,
        /// When.
        at_ns: u64,
    },
    /// A leg has a place in the room. Told before the leg's first packet can be in the ring; again with a new number
    /// when the leg gets one, or with another part when the participant becomes something else to the call.
    LegJoined {
        /// Which room.
        room: u128,
        /// Which leg.
        leg: u128,
        /// What it is.
        part: Part,
        /// Its number in tap records; never used twice in a process.
        tap: u32,
        /// Since when it is that.
        at_ns: u64,
    },
    /// A leg is gone for good. Packets of it that are still in the ring count.
    LegLeft {
        /// Which room.
        room: u128,
        /// Which leg.
        leg: u128,
        /// When.
        at_ns: u64,
    },
    /// Packets of this room are wanted from now on.
    Start {
        /// Which room.
        room: u128,
        /// The recording's id; not 0.
        recording: u128,
        /// What a failing recorder means; kept with the recording.
        policy: Policy,
        /// True: the customer is the left channel.
        customer_left: bool,
    },
    /// No further packet is wanted; the room may go on.
    Stop {
        /// Which room.
        room: u128,
    },
    /// Whose will the room's changes are that are told next, until another one's are.
    Wanted {
        /// Which room.
        room: u128,
        /// Who, and why; `None` when nobody says.
        by: Option<By>,
    },
    /// The customer is on hold from now on, or no longer.
    Hold {
        /// Which room.
        room: u128,
        /// When.
        at_ns: u64,
        /// True: on hold.
        on: bool,
    },
    /// Whose voice the server keeps from everybody, from now on: all of them, whatever was told before.
    Muted {
        /// Which room.
        room: u128,
        /// When.
        at_ns: u64,
        /// Which legs.
        legs: Vec<u128>,
    },
    /// How everybody takes part from now on; who is not named waits. Legs may be named before they join.
    Planned {
        /// Which room.
        room: u128,
        /// When.
        at_ns: u64,
        /// Which legs, and how.
        stances: Vec<(u128, Stance)>,
    },
    /// Whom a leg does not hear although it may, for want of a stream, from now on: all of them, whatever was told before.
    Unheard {
        /// Which room.
        room: u128,
        /// Which leg would hear.
        leg: u128,
        /// Whom it does not hear.
        voices: Vec<u128>,
        /// When.
        at_ns: u64,
    },
    /// The room is over.
    RoomClosed {
        /// Which room.
        room: u128,
        /// When.
        at_ns: u64,
        /// A stable word.
        cause: &'static str,
    },
    /// A second of one direction of one leg.
    Second(Box<Second>),
    /// A shard's ring was full.
    TapDropped {
        /// Which ring, as in the list of consumers.
        shard: usize,
        /// How many packets, of whichever rooms.
        packets: u64,
    },
}

#[derive(Debug, Default)]
struct Letters {
    queue: VecDeque<Message>,
    closed: bool,
}

/// The way to the recorder; clones lead to the same box.
#[derive(Clone, Debug, Default)]
pub struct Handle {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    letters: Mutex<Letters>,
    bell: Condvar,
    seconds_dropped: AtomicU64,
    stats: Arc<Stats>,
}

impl Handle {
    /// A box that nobody empties yet.
    #[must_use]
    pub fn new() -> Handle {
        Handle::default()
    }

    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.inner.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the recorder; once it has ended nobody listens. Takes a lock for as long as a push takes; for control
    /// threads, not for a shard's.
    pub fn tell(&self, message: Message) {
        let mut letters = self.letters();
        if letters.closed {
            return;
        }
        if matches!(message, Message::Second(_)) && letters.queue.len() >= MESSAGES_MAX {
            self.inner.seconds_dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        letters.queue.push_back(message);
    }

    /// What the recorder counted since its start.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures {
            seconds_dropped: self.inner.seconds_dropped.load(Ordering::Relaxed),
            ..self.inner.stats.figures()
        }
    }

    /// What a call that begins now may count on.
    #[must_use]
    pub fn promise(&self) -> Recorder {
        self.inner.stats.promise()
    }

    pub(super) fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.inner.stats)
    }

    /// Everything told so far, after at most `wait`; false once the box is closed.
    pub(super) fn take(&self, wait: Duration) -> (VecDeque<Message>, bool) {
        let letters = self.letters();
        let open = |letters: &mut Letters| !letters.closed;
        let (mut letters, _) = self
            .inner
            .bell
            .wait_timeout_while(letters, wait, open)
            .unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut letters.queue), !letters.closed)
    }

    /// Ends the recorder once it has emptied the box; nothing more is taken in.
    pub(super) fn close(&self) {
        self.letters().closed = true;
        self.inner.bell.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_core::counters::Direction;
    use media_core::{LegId, RoomId, TapId, matrix};

    #[test]
    fn a_full_box_drops_rows_but_no_order() {
        let handle = Handle::new();
        let row = || {
            let second = Second::empty(LegId(1), RoomId(2), TapId(3), matrix::Part::Agent, Direction::Up, 4);
            Message::Second(Box::new(second))
        };
        for _ in 0..MESSAGES_MAX {
            handle.tell(row());
        }
        assert_eq!(handle.figures().seconds_dropped, 0);
        handle.tell(row());
        handle.tell(Message::Stop { room: 5 });
        assert_eq!(handle.figures().seconds_dropped, 1);
        handle.close();
        let (told, open) = handle.take(Duration::ZERO);
        assert_eq!((told.len(), open), (MESSAGES_MAX + 1, false));
        assert!(matches!(told.back(), Some(Message::Stop { room: 5 })));
        handle.tell(Message::Stop { room: 6 });
        assert!(handle.take(Duration::ZERO).0.is_empty(), "nobody listens any more");
    }
}
