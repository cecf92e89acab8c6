//! What the recorder counts, for metrics and tests.
//!
//! Counting never waits. Figures are read one by one: between two of them time goes on.
//!
//! Invariant: a packet that was drained is in exactly one of `packets`, `packets_dropped` and `packets_unwanted`;
//! `packets_dropped` also counts what a full ring refused.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// The counters themselves; shared by the recorder's threads.
#[derive(Debug, Default)]
pub(super) struct Stats {
    pub(super) packets: AtomicU64,
    pub(super) packets_dropped: AtomicU64,
    pub(super) packets_unwanted: AtomicU64,
    pub(super) recording_rooms: AtomicU64,
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
}

/// A reading of the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Packets taken.
    pub packets: u64,
    /// Packets that were lost: the memory or a ring was full.
    pub packets_dropped: u64,
    /// Packets of nobody, of a room that is not recorded, or that are no audio.
    pub packets_unwanted: u64,
    /// Rooms that are being recorded now.
    pub recording_rooms: u64,
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
    /// Counter rows that found the box full.
    pub seconds_dropped: u64,
}

impl Stats {
    pub(super) fn figures(&self) -> Figures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            packets: read(&self.packets),
            packets_dropped: read(&self.packets_dropped),
            packets_unwanted: read(&self.packets_unwanted),
            recording_rooms: read(&self.recording_rooms),
            bytes_synced: read(&self.bytes_synced),
            syncs: read(&self.syncs),
            sync_ns_sum: read(&self.sync_ns_sum),
            sync_ns_max: read(&self.sync_ns_max),
            write_failures: read(&self.write_failures),
            failing: self.failing.load(Ordering::Relaxed),
            running: self.running.load(Ordering::Relaxed),
            backlog_bytes: self.backlog.load(Ordering::Relaxed) as u64,
            buffer_bytes: (self.backlog.load(Ordering::Relaxed) + self.held.load(Ordering::Relaxed)) as u64,
            seconds_dropped: 0,
        }
    }

    pub(super) fn add(counter: &AtomicU64, value: u64) {
        counter.fetch_add(value, Ordering::Relaxed);
    }
}
