//! What the recorder counts, for metrics and tests.
//!
//! Counting never waits. Figures are read one by one: between two of them time goes on.
//!
//! Invariant: a packet that was drained is in exactly one of `packets`, `packets_dropped`, `packets_refused` and
//! `packets_unwanted`; `packets_dropped` also counts what a full ring refused.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use ports::Recorder;

use super::disk::Space;
use super::watermark::{Level, Marks};

/// The counters themselves; shared by the recorder's threads.
#[derive(Debug, Default)]
pub(super) struct Stats {
    pub(super) packets: AtomicU64,
    pub(super) packets_dropped: AtomicU64,
    pub(super) packets_ring_full: AtomicU64,
    pub(super) packets_refused: AtomicU64,
    pub(super) packets_unwanted: AtomicU64,
    pub(super) recording_rooms: AtomicU64,
    pub(super) required_rooms: AtomicU64,
    pub(super) bytes_synced: AtomicU64,
    pub(super) syncs: AtomicU64,
    pub(super) sync_ns_sum: AtomicU64,
    pub(super) sync_ns_max: AtomicU64,
    pub(super) write_failures: AtomicU64,
    pub(super) failing: AtomicBool,
    pub(super) running: AtomicBool,
    /// Bytes handed to the writer and not yet synced.
    pub(super) backlog: AtomicUsize,
    /// Memory of open blocks and of the batch that was last cut, bytes.
    pub(super) held: AtomicUsize,
    /// True from a packet that found the memory full to the next batch without one.
    pub(super) overflowing: AtomicBool,
    level: AtomicU8,
    spool_bytes: AtomicU64,
    disk_bytes: AtomicU64,
    disk_free_bytes: AtomicU64,
}

/// A reading of the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Packets taken.
    pub packets: u64,
    /// Packets that were lost: the memory or a ring was full.
    pub packets_dropped: u64,
    /// Of those, what a full ring refused.
    pub packets_ring_full: u64,
    /// Packets of optional recordings that were refused because the disk fills.
    pub packets_refused: u64,
    /// Packets of nobody, of a room that is not recorded, or that are no audio.
    pub packets_unwanted: u64,
    /// Live rooms that are being recorded now.
    pub recording_rooms: u64,
    /// Of those, live rooms that must be recorded and whose packets reach the disk.
    pub required_rooms: u64,
    /// Bytes on the disk and synced.
    pub bytes_synced: u64,
    /// Syncs done.
    pub syncs: u64,
    /// Nanoseconds of all syncs.
    pub sync_ns_sum: u64,
    /// Nanoseconds of the slowest one.
    pub sync_ns_max: u64,
    /// Failed writes, syncs and creations.
    pub write_failures: u64,
    /// True from a failure to the next success: the disk is full or broken.
    pub failing: bool,
    /// True while the recorder's drain works; false before its start and after its end, a panic included.
    pub running: bool,
    /// Bytes in memory that wait for the disk.
    pub backlog_bytes: u64,
    /// Memory for packets that are on their way to the disk, bytes.
    pub buffer_bytes: u64,
    /// True while packets are lost because the memory is full: the disk stands still.
    pub overflowing: bool,
    /// What the disk has room for.
    pub level: Level,
    /// The spool and its disk at the last look; nothing before the first.
    pub space: Space,
    /// Counter rows that found the box full.
    pub seconds_dropped: u64,
}

impl Stats {
    pub(super) fn figures(&self) -> Figures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            packets: read(&self.packets),
            packets_dropped: read(&self.packets_dropped),
            packets_ring_full: read(&self.packets_ring_full),
            packets_refused: read(&self.packets_refused),
            packets_unwanted: read(&self.packets_unwanted),
            recording_rooms: read(&self.recording_rooms),
            required_rooms: if self.working() { read(&self.required_rooms) } else { 0 },
            bytes_synced: read(&self.bytes_synced),
            syncs: read(&self.syncs),
            sync_ns_sum: read(&self.sync_ns_sum),
            sync_ns_max: read(&self.sync_ns_max),
            write_failures: read(&self.write_failures),
            failing: self.failing.load(Ordering::Relaxed),
            running: self.running.load(Ordering::Relaxed),
            backlog_bytes: self.backlog.load(Ordering::Relaxed) as u64,
            buffer_bytes: (self.backlog.load(Ordering::Relaxed) + self.held.load(Ordering::Relaxed)) as u64,
            overflowing: self.overflowing.load(Ordering::Relaxed),
            level: self.level(),
            space: Space {
                spool: read(&self.spool_bytes),
                capacity: read(&self.disk_bytes),
                free: read(&self.disk_free_bytes),
            },
            seconds_dropped: 0,
        }
    }

    /// True while packets go to the disk.
    fn working(&self) -> bool {
        let flag = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        flag(&self.running) && !flag(&self.failing) && !flag(&self.overflowing)
    }

    /// What a call that begins now may count on.
    pub(super) fn promise(&self) -> Recorder {
        match self.level() {
            _ if !self.working() => Recorder::Unavailable,
            Level::Full => Recorder::Unavailable,
            Level::Scarce => Recorder::RequiredOnly,
            Level::Roomy => Recorder::Ready,
        }
    }

    pub(super) fn level(&self) -> Level {
        Level::of(self.level.load(Ordering::Relaxed))
    }

    /// Notes a look at the disk; gives the new level when it is another one.
    pub(super) fn looked(&self, space: &Space, marks: Marks) -> Option<Level> {
        self.spool_bytes.store(space.spool, Ordering::Relaxed);
        self.disk_bytes.store(space.capacity, Ordering::Relaxed);
        self.disk_free_bytes.store(space.free, Ordering::Relaxed);
        let (before, level) = (self.level(), self.level().next(space, marks));
        self.level.store(level.code(), Ordering::Relaxed);
        (level != before).then_some(level)
    }

    pub(super) fn add(counter: &AtomicU64, value: u64) {
        counter.fetch_add(value, Ordering::Relaxed);
    }
}
