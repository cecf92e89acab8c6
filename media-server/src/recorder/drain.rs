//! The drain: messages and tapped packets in, batches of blocks out, every half second.
//!
//! Never touches a file and never waits for one: what the writer cannot take in time is bounded, then dropped,
//! counted and told.
//!
//! Invariant: bytes in memory, here and at the writer, stay below [`BUFFER_BYTES_MAX`] plus one turn of the rings.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use media_core::tap::Flags;
use ports::Policy;

use super::audio::{self, Copy};
use super::message::Message;
use super::room::{Closing, Order, Room, part};
use super::stats::Stats;
use super::watermark::Level;
use super::writer::Batch;
use crate::tap::{Consumer, TapRecord};

/// Bytes that wait for the disk before packets are dropped: 5 s of 1,000 calls at 9 MB/s.
pub const BUFFER_BYTES_MAX: usize = 48 << 20;
/// Nanoseconds between two batches: with the sync behind it, what a power cut may lose stays below a second.
pub const BATCH_EVERY_NS: u64 = 500_000_000;
/// Nanoseconds that a closed room is kept for its last packets and rows, which come by other ways.
const LINGER_NS: u64 = 500_000_000;
/// Packets that are kept one turn for a message that is under way; a ring's turn holds no more of a new leg.
pub(super) const ORPHANS_MAX: usize = 4_096;
/// Bytes that a packet costs beside its payload, about.
const PACKET_OVERHEAD: usize = 16;
/// How a room ends that the process leaves behind.
const SHUTDOWN: &str = "shutdown";

/// A packet that came before what explains it.
struct Orphan {
    shard: usize,
    arrival_ns: u64,
    leg: u32,
    ext_seq: u32,
    flags: Flags,
    level: u8,
    packet: Vec<u8>,
}

/// What became of a record.
enum Fate {
    Taken,
    Unwanted,
    /// Perhaps the next messages explain it.
    Early,
}

/// Tells a room that packets of it were lost: room, packets so far.
pub type Degraded = Box<dyn Fn(u128, u64) + Send>;

/// See the top of this file.
pub(super) struct Drain {
    rooms: HashMap<u128, Room>,
    /// Tap number to room and place in it.
    taps: HashMap<u32, (u128, usize)>,
    orphans: Vec<Orphan>,
    batch: Batch,
    /// Bytes in the rooms' open blocks, about.
    open_bytes: usize,
    /// A packet found the memory full since the last batch.
    overflowed: bool,
    next_batch_ns: u64,
    stats: Arc<Stats>,
    degraded: Degraded,
    buffer_bytes: usize,
}

impl Drain {
    pub(super) fn new(stats: Arc<Stats>, degraded: Degraded) -> Drain {
        Drain {
            rooms: HashMap::new(),
            taps: HashMap::new(),
            orphans: Vec::new(),
            batch: Batch::default(),
            open_bytes: 0,
            overflowed: false,
            next_batch_ns: 0,
            stats,
            degraded,
            buffer_bytes: BUFFER_BYTES_MAX,
        }
    }

    #[cfg(test)]
    pub(super) fn with_buffer_bytes(self, buffer_bytes: usize) -> Drain {
        Drain { buffer_bytes, ..self }
    }

    /// One turn: messages, rings, closed rooms; a batch when it is time for one.
    pub(super) fn step(&mut self, now: u64, messages: VecDeque<Message>, taps: &mut [Consumer]) -> Option<Batch> {
        for message in messages {
            self.tell(now, message);
        }
        for orphan in std::mem::take(&mut self.orphans) {
            let record = TapRecord {
                arrival_ns: orphan.arrival_ns,
                leg: orphan.leg,
                ext_seq: orphan.ext_seq,
                flags: orphan.flags,
                level: orphan.level,
                packet: &orphan.packet,
            };
            if !matches!(self.record(orphan.shard, &record), Fate::Taken) {
                Stats::add(&self.stats.packets_unwanted, 1);
            }
        }
        for (shard, tap) in taps.iter_mut().enumerate() {
            tap.drain(|record| self.take(shard, &record));
        }
        let due = |room: &Room| room.closing.filter(|closing| closing.due_ns <= now);
        let over: Vec<u128> = self
            .rooms
            .iter()
            .filter(|(_, room)| due(room).is_some())
            .map(|(id, _)| *id)
            .collect();
        for room in over {
            self.end(now, room);
        }
        (now >= self.next_batch_ns).then(|| self.cut(now)).flatten()
    }

    /// Ends every room: the process stops.
    pub(super) fn finish(&mut self, now: u64) -> Option<Batch> {
        let rooms: Vec<u128> = self.rooms.keys().copied().collect();
        for id in rooms {
            if let Some(room) = self.rooms.get_mut(&id) {
                room.closing.get_or_insert(Closing {
                    at_ns: now,
                    due_ns: now,
                    reason: SHUTDOWN,
                });
            }
            self.end(now, id);
        }
        self.cut(now)
    }

    fn tell(&mut self, now: u64, message: Message) {
        match message {
            Message::LegJoined {
                room,
                leg,
                part: of,
                tap,
                at_ns,
            } => {
                let place = self.rooms.entry(room).or_insert_with(|| Room::new(room)).join(
                    leg,
                    part(of),
                    at_ns,
                    &mut self.batch,
                );
                if let Some(place) = place {
                    self.taps.insert(tap, (room, place));
                }
            }
            Message::Start {
                room,
                recording,
                policy,
                customer_left,
            } => {
                let order = Order {
                    recording,
                    required: policy == Policy::Required,
                    customer_left,
                };
                let scarce = !order.required && self.stats.level() != Level::Roomy;
                let room = self.rooms.entry(room).or_insert_with(|| Room::new(room));
                if !room.start(order, scarce) {
                    tracing::warn!("a second recording of one room was refused");
                }
            }
            Message::RoomLive { room, at_ns } => self.with(room, |room| room.live(at_ns)),
            Message::LegLeft { room, leg, at_ns } => self.with(room, |room| room.left(leg, at_ns)),
            Message::Stop { room } => self.with(room, |room| room.stop(now)),
            Message::Wanted { room, by } => self.with(room, |room| room.wanted_by(by)),
            Message::Hold { room, at_ns, on } => self.with(room, |room| room.hold(at_ns, on)),
            Message::Muted { room, at_ns, legs } => self.with(room, |room| room.mute(at_ns, &legs)),
            Message::Planned { room, at_ns, stances } => self.with(room, |room| room.plan(at_ns, stances)),
            Message::Unheard {
                room,
                leg,
                voices,
                at_ns,
            } => self.with(room, |room| room.unheard(at_ns, leg, &voices)),
            Message::RoomClosed { room, at_ns, cause } => self.with(room, |room| {
                room.closing.get_or_insert(Closing {
                    at_ns,
                    due_ns: now.saturating_add(LINGER_NS),
                    reason: cause,
                });
            }),
            Message::Second(second) => {
                // Rows are small but come for ever: while the disk stands still they are not kept.
                let keep = !self.full();
                if let Some(room) = self.rooms.get_mut(&second.room.0).filter(|_| keep) {
                    room.second(&second, &mut self.batch);
                }
            }
            Message::TapDropped { shard, packets } => {
                // The ring does not know whose packets it refused: every room of the shard may miss that many.
                for room in self
                    .rooms
                    .values_mut()
                    .filter(|room| room.shard == Some(shard) && room.wanted())
                {
                    room.drop_packets(packets);
                }
                Stats::add(&self.stats.packets_dropped, packets);
                Stats::add(&self.stats.packets_ring_full, packets);
            }
        }
    }

    fn with(&mut self, room: u128, change: impl FnOnce(&mut Room)) {
        if let Some(room) = self.rooms.get_mut(&room) {
            change(room);
        }
    }

    fn full(&self) -> bool {
        self.stats.backlog.load(Ordering::Relaxed) + self.batch.bytes.len() + self.open_bytes >= self.buffer_bytes
    }

    fn take(&mut self, shard: usize, record: &TapRecord<'_>) {
        match self.record(shard, record) {
            Fate::Taken => {}
            Fate::Early if self.orphans.len() < ORPHANS_MAX => self.orphans.push(Orphan {
                shard,
                arrival_ns: record.arrival_ns,
                leg: record.leg,
                ext_seq: record.ext_seq,
                flags: record.flags,
                level: record.level,
                packet: record.packet.to_vec(),
            }),
            Fate::Early | Fate::Unwanted => Stats::add(&self.stats.packets_unwanted, 1),
        }
    }

    fn record(&mut self, shard: usize, record: &TapRecord<'_>) -> Fate {
        let Some(&(room, place)) = self.taps.get(&record.leg) else {
            return Fate::Early;
        };
        let full = self.full();
        let Some(room) = self.rooms.get_mut(&room) else {
            return Fate::Unwanted;
        };
        room.shard = Some(shard);
        // The shard taps no leg that nobody may hear; were it to, nothing of it is kept.
        let hidden = record.flags.contains(Flags::HELD)
            || record.flags.contains(Flags::MUTED)
            || room.hidden(place, record.arrival_ns);
        let after = room.closing.is_some_and(|closing| record.arrival_ns > closing.at_ns);
        if hidden || after || room.stopped() {
            return Fate::Unwanted;
        }
        if !room.wanted() {
            return Fate::Early;
        }
        if room.refused() {
            room.drop_packets(1);
            Stats::add(&self.stats.packets_refused, 1);
            return Fate::Taken;
        }
        if !room.finds_file(place, record.arrival_ns) {
            room.drop_packets(1);
            Stats::add(&self.stats.packets_refused, 1);
            return Fate::Taken;
        }
        if full {
            room.drop_packets(1);
            self.overflowed = true;
            Stats::add(&self.stats.packets_dropped, 1);
            return Fate::Taken;
        }
        let batch = &mut self.batch;
        let open_bytes = &mut self.open_bytes;
        let mut kept = false;
        audio::packets(record, |packet, copy| {
            let known = room.leg(place).is_none_or(|leg| leg.seen(packet.rtp_ts));
            if (copy == Copy::Own || !known) && room.packet(place, &packet, batch) {
                *open_bytes += packet.payload.len() + PACKET_OVERHEAD;
                kept = true;
            }
        });
        if !kept {
            return Fate::Unwanted;
        }
        Stats::add(&self.stats.packets, 1);
        Fate::Taken
    }

    /// Nobody writes any more: says so of every room that is to be recorded. How many packets each misses nobody will know,
    /// so it is one at least.
    pub(super) fn lost(&self) {
        for (id, _) in self.rooms.iter().filter(|(_, room)| room.wanted()) {
            (self.degraded)(*id, 1);
        }
    }

    fn end(&mut self, now: u64, id: u128) {
        let Some(mut room) = self.rooms.remove(&id) else { return };
        self.taps.retain(|_, (room, _)| *room != id);
        self.flush(now, id, &mut room);
        if let Some(closing) = room.closing {
            room.end(closing, &mut self.batch);
        }
    }

    fn flush(&mut self, now: u64, id: u128, room: &mut Room) {
        if let Some(packets) = room.flush(now, &mut self.batch) {
            (self.degraded)(id, packets);
        }
    }

    /// Closes the batch and hands it out.
    fn cut(&mut self, now: u64) -> Option<Batch> {
        self.next_batch_ns = now.saturating_add(BATCH_EVERY_NS);
        let mut rooms = std::mem::take(&mut self.rooms);
        let (mut recorded, mut required, mut held) = (0, 0, 0);
        for (id, room) in &mut rooms {
            recorded += u64::from(room.recorded());
            required += u64::from(room.recorded() && room.required());
            self.flush(now, *id, room);
            held += room.held_bytes();
        }
        self.rooms = rooms;
        self.stats.recording_rooms.store(recorded, Ordering::Relaxed);
        self.stats.required_rooms.store(required, Ordering::Relaxed);
        let overflowed = std::mem::take(&mut self.overflowed);
        self.stats.overflowing.store(overflowed, Ordering::Relaxed);
        self.open_bytes = 0;
        self.stats
            .held
            .store(held + self.batch.bytes.capacity(), Ordering::Relaxed);
        let batch = std::mem::take(&mut self.batch);
        if batch.bytes.is_empty() {
            return None;
        }
        self.stats.backlog.fetch_add(batch.bytes.len(), Ordering::Relaxed);
        Some(batch)
    }
}
