//! The TURN relay of the same process, as media sees it: rings that its workers write into, the ways back to its
//! clients, and what it may know of legs.
//!
//! Media runs without it. The order of a start: media binds its ports ([`crate::MediaServer::start`]), makes the rings
//! ([`crate::MediaServer::relay_shards`]), the relay starts with them, and its ends of the other direction come back
//! ([`crate::MediaServer::attach_relay`]). What a client says between the last two finds no way back and is counted.
//!
//! Never waits: a full ring drops and counts, in either direction.
//!
//! Invariant: what a shard sends through the relay goes to the path that its client's checks came from, and only there.

mod guest;
mod legs;
mod ring;
mod ways;

pub(crate) use guest::{GUEST, Guest, Spent};
pub(crate) use legs::Legs;
pub(crate) use udp::Doorbell;
pub(crate) use ways::Ways;

use std::sync::mpsc::{Receiver, Sender};

use media_core::limits::{BATCH_MAX, HEADROOM_BYTES, SLOT_BYTES};
use media_core::origin::Relayed;
use ports::{RelayEgress, RelayGuest};
use udp::Poller;

pub(crate) use ring::{RING_BYTES, Reader, ring};

/// Frames that a shard takes out of its rings in one turn, between two batches of its sockets. More: the sockets wait
/// longer. Fewer: more turns for the same packets.
pub(crate) const FRAMES_PER_TURN: usize = 64;
/// The slot number of the first frame: those below are the sockets'.
pub(crate) const FIRST_SLOT: usize = BATCH_MAX;

/// What a shard's thread is handed.
pub(crate) enum Link {
    /// A ring per worker.
    Rings(Vec<Reader>),
    /// A way back per worker, in the order of the workers.
    Ways(Vec<Box<dyn RelayEgress>>),
    /// A worker without a thread, which the shard's is to run.
    Guest(Box<dyn RelayGuest>),
}

/// What a shard counts of its relay since its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Packets that came through it.
    pub up: u64,
    /// Packets that went through it.
    pub down: u64,
    /// Packets that a worker could not put into a ring.
    pub ring_full: u64,
    /// Packets that the ring of a worker had no room for.
    pub egress_full: u64,
    /// Packets for an allocation that is no more.
    pub gone: u64,
    /// Packets for a worker that nobody has attached.
    pub no_way: u64,
    /// Time of the shard's thread that went to strangers at the relay that it runs, nanoseconds.
    pub strangers_ns: u64,
    /// Longest time since the last copy that a packet lay in a ring, nanoseconds.
    pub delay_ns: u64,
}

/// One frame that was taken out of a ring; its bytes are in the buffer of the same number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived {
    pub(crate) from: Relayed,
    pub(crate) len: usize,
}

/// A shard's side of the relay.
pub(crate) struct Side {
    links: Receiver<Link>,
    doorbell: Doorbell,
    readers: Vec<Reader>,
    /// The reader that is looked at first in the next turn.
    first: usize,
    buffers: Box<[u8]>,
    arrived: Vec<Arrived>,
    ways: Ways,
    guest: Option<Guest>,
    figures: Figures,
}

/// The other end of [`Side::new`]: how rings and ways reach a shard's thread.
pub(crate) struct Entry {
    pub(crate) links: Sender<Link>,
    pub(crate) doorbell: Doorbell,
}

impl Entry {
    /// Hands something to the thread, which takes it in its next turn. With the thread gone nobody needs it.
    pub(crate) fn hand(&self, link: Link) {
        if self.links.send(link).is_ok() {
            self.doorbell.ring();
        }
    }
}

impl Side {
    /// A side without relay; `doorbell` wakes its thread.
    pub(crate) fn new(doorbell: Doorbell) -> (Entry, Side) {
        let (entry, links) = std::sync::mpsc::channel();
        let side = Side {
            links,
            doorbell: doorbell.clone(),
            readers: Vec::new(),
            first: 0,
            buffers: Box::default(),
            arrived: Vec::new(),
            ways: Ways::default(),
            guest: None,
            figures: Figures::default(),
        };
        let entry = Entry { links: entry, doorbell };
        (entry, side)
    }

    /// Takes what was attached since the last look; a guest's descriptors go into `poller`.
    pub(crate) fn look_for_links(&mut self, poller: &Poller) {
        while let Ok(link) = self.links.try_recv() {
            match link {
                Link::Rings(readers) => {
                    self.readers = readers;
                    self.buffers = vec![0; FRAMES_PER_TURN * SLOT_BYTES].into_boxed_slice();
                    self.arrived = Vec::with_capacity(FRAMES_PER_TURN);
                }
                Link::Ways(egresses) => self.ways.attach(egresses),
                Link::Guest(worker) => self.guest = Guest::enter(worker, poller),
            }
        }
    }

    /// Lets the guest read from one descriptor that is ready: as much as the shard takes from its rings in a turn.
    pub(crate) fn read(&mut self, ready: u64, clock: impl Fn() -> u64) -> Spent {
        let guest = self.guest.as_mut();
        guest.map_or_else(Spent::default, |guest| guest.read(ready, clock))
    }

    /// The turn of that read is over; `turn_ns` as [`Spent::on_strangers`] has it.
    pub(crate) fn spent(&mut self, spent: Spent, turn_ns: Option<u64>) {
        self.figures.strangers_ns += spent.on_strangers(turn_ns);
    }

    /// Lets the guest send. One that was stopped, or that has a defect, goes; its descriptors leave `poller`.
    pub(crate) fn write(&mut self, poller: &Poller) {
        if self.guest.as_mut().is_some_and(|guest| !guest.write()) {
            self.guest.take().into_iter().for_each(|guest| guest.leave(poller));
        }
    }

    /// Fills the buffers with up to [`FRAMES_PER_TURN`] frames, beginning with another ring each turn.
    pub(crate) fn receive(&mut self, now: u64) {
        self.arrived.clear();
        let rings = self.readers.len();
        for n in 0..rings {
            let Some(reader) = self.readers.get_mut((self.first + n) % rings) else {
                continue;
            };
            for buffer in self.buffers.chunks_exact_mut(SLOT_BYTES).skip(self.arrived.len()) {
                let Some(frame) = reader.take(&mut buffer[HEADROOM_BYTES..]) else {
                    break;
                };
                self.figures.delay_ns = self.figures.delay_ns.max(now.saturating_sub(frame.written_at));
                self.arrived.push(Arrived {
                    from: frame.from,
                    len: frame.len,
                });
            }
            reader.free();
        }
        self.first = (self.first + 1) % rings.max(1);
        self.figures.up += self.arrived.len() as u64;
    }

    /// What [`Side::receive`] brought.
    pub(crate) fn arrived(&self) -> &[Arrived] {
        &self.arrived
    }

    /// True when the last [`Side::receive`] may have left something.
    pub(crate) fn may_have_more(&self) -> bool {
        !self.arrived.is_empty() && self.arrived.len() == FRAMES_PER_TURN
    }

    /// Buffer of frame `index`, headroom included.
    pub(crate) fn slot(&self, index: usize) -> &[u8] {
        slot(&self.buffers, index)
    }

    /// The buffers, for [`slot`], and beside them the ways that are sent over.
    pub(crate) fn parts(&mut self) -> (&[u8], &mut Ways) {
        (&self.buffers, &mut self.ways)
    }

    /// Buffer of frame `index`, to be changed in place.
    pub(crate) fn slot_mut(&mut self, index: usize) -> &mut [u8] {
        self.buffers
            .get_mut(index * SLOT_BYTES..(index + 1) * SLOT_BYTES)
            .unwrap_or_default()
    }

    /// Before the thread waits: whoever writes from now on rings. Returns how many milliseconds it may wait, `longest` at
    /// most; none when something lies in a ring.
    pub(crate) fn park(&mut self, longest: i32) -> i32 {
        if self.readers.is_empty() {
            return longest;
        }
        self.doorbell.park();
        if !self.readers.iter().all(Reader::is_empty) {
            self.doorbell.unpark();
            return 0;
        }
        self.guest.as_mut().map_or(longest, |guest| guest.park(longest))
    }

    /// The thread is awake.
    pub(crate) fn unpark(&mut self) {
        if !self.readers.is_empty() {
            self.doorbell.unpark();
            if let Some(guest) = &mut self.guest {
                guest.unpark();
            }
        }
    }

    /// What was counted so far; the longest delay begins anew.
    pub(crate) fn figures(&mut self) -> Figures {
        let ways = self.ways.counted();
        let figures = Figures {
            down: ways.sent,
            egress_full: ways.full,
            gone: ways.gone,
            no_way: ways.no_way,
            ring_full: self.readers.iter().map(Reader::refused).sum(),
            ..self.figures
        };
        self.figures.delay_ns = 0;
        figures
    }
}

/// Buffer number `index` of `buffers`, headroom included.
pub(crate) fn slot(buffers: &[u8], index: usize) -> &[u8] {
    buffers
        .get(index * SLOT_BYTES..(index + 1) * SLOT_BYTES)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
