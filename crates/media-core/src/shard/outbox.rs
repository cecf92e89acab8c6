//! Everything a shard hands out: transmissions and their buffers, jobs, events, counter rows, totals.
//!
//! Invariant: every queue has a fixed capacity, made once; what finds it full is dropped and counted, never waits.

use std::collections::VecDeque;

use crate::counters::{Second, Totals};
use crate::dtls::Certificate;
use crate::event::Event;
use crate::limits::{
    ARENA_BUFFERS_MAX, ARENA_RESERVE, BATCH_MAX, ENDED_MAX, EVENTS_MAX, JOBS_MAX, SECONDS_MAX, SLOT_BYTES,
};
use crate::origin::Destination;
use crate::{LegId, TransportId};

/// Transmissions between two flushes: one per slot buffer and one per arena buffer.
const TRANSMISSIONS_MAX: usize = BATCH_MAX + ARENA_BUFFERS_MAX;
// Every packet writes one and the sender reads it.
const _: () = assert!(size_of::<Transmission>() <= 32);

/// Where the bytes of a transmission lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the slot buffer with this number, which the datagram came in.
    Slot(u16),
    /// In the arena buffer with this number.
    Arena(u16),
}

/// One datagram to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmission {
    /// Where to.
    pub to: Destination,
    /// Where its bytes lie, behind the headroom.
    pub place: Place,
    /// How many.
    pub len: u16,
}

/// Work for the handshake helper. Jobs of one transport come in order.
#[derive(Debug)]
pub enum Job {
    /// Make an association, server role; the client's certificate must have this SHA-256.
    Start {
        /// Which transport.
        transport: TransportId,
        /// The fingerprint that the offer announced.
        fingerprint: [u8; 32],
        /// What is shown to the client.
        certificate: Certificate,
    },
    /// One datagram from an address that passed a check.
    Datagram {
        /// Which transport.
        transport: TransportId,
        /// When it came, nanoseconds.
        at: u64,
        /// Its bytes.
        bytes: Box<[u8]>,
    },
    /// The transport is gone: drop the association.
    Stop {
        /// Which transport.
        transport: TransportId,
    },
}

/// A transport is no more, and its leg goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which leg.
    pub leg: LegId,
    /// Which transport.
    pub transport: TransportId,
}

/// The first of a queue. One that is empty then begins at its first place again: going round, it would touch all of its
/// memory, megabytes that are made for the worst second, and find none of it in a cache.
#[inline]
pub(super) fn take<T>(queue: &mut VecDeque<T>) -> Option<T> {
    let first = queue.pop_front();
    if queue.is_empty() {
        queue.clear();
    }
    first
}

/// See the top of this file.
pub(super) struct Outbox {
    transmissions: Vec<Transmission>,
    /// How many of them go through the relay.
    relay_bound: usize,
    arena: Box<[u8]>,
    arena_used: usize,
    pub(super) jobs: VecDeque<Job>,
    pub(super) events: VecDeque<Event>,
    pub(super) ended: VecDeque<Ended>,
    pub(super) seconds: VecDeque<Second>,
    pub(super) totals: Totals,
}

impl Outbox {
    pub(super) fn new() -> Outbox {
        Outbox {
            transmissions: Vec::with_capacity(TRANSMISSIONS_MAX),
            relay_bound: 0,
            arena: vec![0; ARENA_BUFFERS_MAX * SLOT_BYTES].into_boxed_slice(),
            arena_used: 0,
            jobs: VecDeque::with_capacity(JOBS_MAX),
            events: VecDeque::with_capacity(EVENTS_MAX),
            ended: VecDeque::with_capacity(ENDED_MAX),
            seconds: VecDeque::with_capacity(SECONDS_MAX),
            totals: Totals::default(),
        }
    }

    #[inline]
    pub(super) fn must_flush(&self) -> bool {
        self.arena_used + ARENA_RESERVE > ARENA_BUFFERS_MAX
            || self.transmissions.len() + ARENA_RESERVE > TRANSMISSIONS_MAX
    }

    pub(super) fn transmissions(&self) -> &[Transmission] {
        &self.transmissions
    }

    #[inline]
    pub(super) fn relay_bound(&self) -> usize {
        self.relay_bound
    }

    pub(super) fn flushed(&mut self) {
        self.transmissions.clear();
        self.relay_bound = 0;
        self.arena_used = 0;
    }

    pub(super) fn arena(&self, index: u16) -> &[u8] {
        let at = usize::from(index) * SLOT_BYTES;
        self.arena.get(at..at + SLOT_BYTES).unwrap_or_default()
    }

    /// The next free arena buffer, headroom included, and its number. It is taken by sending it; without that, the
    /// next call gives the same one.
    pub(super) fn scratch(&mut self) -> Option<(u16, &mut [u8])> {
        self.scratch_and_totals().map(|(number, buffer, _)| (number, buffer))
    }

    /// As [`Outbox::scratch`], with the totals beside it.
    #[inline]
    pub(super) fn scratch_and_totals(&mut self) -> Option<(u16, &mut [u8], &mut Totals)> {
        let at = self.arena_used * SLOT_BYTES;
        match self.arena.get_mut(at..at + SLOT_BYTES) {
            Some(buffer) => Some((self.arena_used as u16, buffer, &mut self.totals)),
            None => {
                self.totals.drop_arena += 1;
                None
            }
        }
    }

    /// Lists a datagram for sending.
    #[inline]
    pub(super) fn send(&mut self, to: Destination, place: Place, len: usize) {
        if self.transmissions.len() >= TRANSMISSIONS_MAX {
            self.totals.drop_arena += 1;
            return;
        }
        if let Place::Arena(index) = place {
            self.arena_used = usize::from(index) + 1;
        }
        self.relay_bound += usize::from(matches!(to, Destination::Relay(_)));
        self.transmissions.push(Transmission {
            to,
            place,
            len: len as u16,
        });
    }

    /// Queues a job; `false` if the queue is full. A full queue still takes a `Stop`, or the helper would keep the
    /// association for ever; there are at most as many of those as transports.
    pub(super) fn job(&mut self, job: Job) -> bool {
        let room = self.jobs.len() < JOBS_MAX || matches!(job, Job::Stop { .. });
        if room {
            self.jobs.push_back(job);
        } else {
            self.totals.drop_jobs += 1;
        }
        room
    }

    pub(super) fn event(&mut self, event: Event) {
        if self.events.len() < EVENTS_MAX {
            self.events.push_back(event);
        } else {
            self.totals.drop_events += 1;
        }
    }

    pub(super) fn ended(&mut self, ended: Ended) {
        if self.ended.len() < ENDED_MAX {
            self.ended.push_back(ended);
        } else {
            self.totals.drop_events += 1;
        }
    }

    pub(super) fn second(&mut self, second: Second) {
        if self.seconds.len() < SECONDS_MAX {
            self.seconds.push_back(second);
        } else {
            self.totals.drop_seconds += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emptied_queue_begins_where_it_began_and_keeps_its_order_and_room() {
        let mut queue: VecDeque<u64> = VecDeque::with_capacity(8);
        let (mut places, mut taken) = (std::collections::BTreeSet::new(), Vec::new());
        for turn in 0..100 {
            for n in 0..3 {
                queue.push_back(3 * turn + n);
                places.insert(std::ptr::from_ref(&queue[n as usize]).addr());
            }
            taken.extend(std::iter::from_fn(|| take(&mut queue)));
        }
        assert_eq!(places.len(), 3, "no more memory than the longest turn");
        assert_eq!(taken, (0..300).collect::<Vec<_>>());
        assert_eq!((take(&mut queue), queue.capacity()), (None, 8));
    }
}
