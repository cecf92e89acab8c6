//! The spool writer: batches of blocks go to the current segment, are synced together, and only then count.
//!
//! Runs on a thread of its own, so that a slow disk stalls nothing but itself. Never retries a failed write or sync
//! on the same file: everything that was not synced stays in memory and goes into a new segment.
//!
//! Invariant: a call is handed to the finaliser only after its END is synced and journalled.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;

use prometheus::Histogram;
use recording::spool::{SEGMENT_HEADER_BYTES, SegmentHeader};

use super::disk::{Disk, SegmentFile};
use super::job::{CallKey, Job, Place};
use super::ledger::Ledger;
use super::stats::Stats;
use super::watermark::{Level, Marks};

/// Bytes of a segment before the next one is begun: seven seconds of 1,000 calls, little to scan and to hold back.
pub const SEGMENT_BYTES_MAX: usize = 64 << 20;
/// Nanoseconds from a failure to the next try: a full disk is not emptied sooner, and the log is not flooded.
const RETRY_NS: u64 = 1_000_000_000;
/// Nanoseconds between two looks for segments that may go.
const SWEEP_NS: u64 = 10_000_000_000;
/// Nanoseconds between two looks at the disk's space: 1,000 calls write 45 MB meanwhile.
pub(super) const LOOK_NS: u64 = 5_000_000_000;
/// How segment files end.
pub(super) const SEGMENT_SUFFIX: &str = "hlsp";

/// How a call ended, beside its END block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) recording: Option<u128>,
    pub(super) reason: &'static str,
    pub(super) end_ns: u64,
}

/// The next `bytes` of a batch are whole blocks of `call`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) call: u128,
    pub(super) bytes: u32,
    /// Set when these blocks are the call's last ones.
    pub(super) ending: Option<Ending>,
}

/// Blocks of many calls, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) marks: Vec<Mark>,
}

impl Batch {
    /// Notes that everything behind `from` is of `call`.
    pub(super) fn mark(&mut self, call: u128, from: usize, ending: Option<Ending>) {
        let bytes = (self.bytes.len() - from) as u32;
        match self.marks.last_mut() {
            Some(last) if last.call == call && last.ending.is_none() => {
                last.bytes += bytes;
                last.ending = ending;
            }
            _ if bytes > 0 => self.marks.push(Mark { call, bytes, ending }),
            _ => {}
        }
    }
}

struct Current {
    file: Box<dyn SegmentFile>,
    path: PathBuf,
    len: usize,
}

/// See the top of this file.
pub(super) struct Writer {
    disk: Box<dyn Disk>,
    folder: PathBuf,
    header: SegmentHeader,
    ledger: Arc<Ledger>,
    jobs: Sender<Job>,
    stats: Arc<Stats>,
    current: Option<Current>,
    segments: u32,
    queue: VecDeque<Batch>,
    places: HashMap<u128, Vec<Place>>,
    /// Calls whose END is synced but not yet journalled.
    ended: VecDeque<Job>,
    retry_ns: u64,
    sweep_ns: u64,
    look_ns: u64,
    /// True while looks at the disk fail, so that this is said once.
    blind: bool,
    sync_seconds: Histogram,
    segment_bytes: usize,
    marks: Marks,
}

impl Writer {
    pub(super) fn new(
        disk: Box<dyn Disk>,
        folder: PathBuf,
        header: SegmentHeader,
        ledger: Arc<Ledger>,
        jobs: Sender<Job>,
        stats: Arc<Stats>,
        sync_seconds: Histogram,
    ) -> Writer {
        Writer {
            disk,
            folder,
            header,
            ledger,
            jobs,
            stats,
            current: None,
            segments: 0,
            queue: VecDeque::new(),
            places: HashMap::new(),
            ended: VecDeque::new(),
            retry_ns: 0,
            sweep_ns: 0,
            look_ns: 0,
            blind: false,
            sync_seconds,
            segment_bytes: SEGMENT_BYTES_MAX,
            marks: Marks::default(),
        }
    }

    /// Other marks than those of [`Marks::default`].
    pub(super) fn with_marks(self, marks: Marks) -> Writer {
        Writer { marks, ..self }
    }

    #[cfg(test)]
    pub(super) fn with_segment_bytes(self, segment_bytes: usize) -> Writer {
        Writer { segment_bytes, ..self }
    }

    /// Takes a batch; it is written by the next [`Writer::step`]. Its bytes were counted in the backlog by the sender.
    pub(super) fn push(&mut self, batch: Batch) {
        self.queue.push_back(batch);
    }

    /// Writes what waits. `clock` gives nanoseconds of the node's clock.
    pub(super) fn step(&mut self, clock: &dyn Fn() -> u64) {
        let now = clock();
        if now >= self.retry_ns && !self.queue.is_empty() {
            match self.write(clock) {
                Ok(()) => self.recovered(),
                Err(error) => self.failed(clock(), "spool", &error),
            }
        }
        self.journal(clock());
        // Nothing waits for the disk, so nothing of it fails: else a journal that failed once would count as failing
        // for as long as no call is taken, and none that must be recorded is taken while it counts so.
        if self.idle() {
            self.recovered();
        }
        if now >= self.sweep_ns {
            self.sweep_ns = now.saturating_add(SWEEP_NS);
            if let Err(error) = self.ledger.sweep(now) {
                tracing::warn!(%error, "a spool segment could not be removed");
            }
        }
        if now >= self.look_ns {
            self.look(now);
        }
    }

    /// Looks how full the disk is; says so when that changes which recordings are taken.
    pub(super) fn look(&mut self, now: u64) {
        self.look_ns = now.saturating_add(LOOK_NS);
        let space = match self.disk.space(&self.folder) {
            Ok(space) => space,
            Err(error) => {
                if !std::mem::replace(&mut self.blind, true) {
                    tracing::warn!(%error, "the free space of the spool cannot be read; the last figure counts");
                }
                return;
            }
        };
        self.blind = false;
        let Some(level) = self.stats.looked(&space, self.marks) else {
            return;
        };
        let (free_bytes, capacity_bytes, meaning) = (space.free, space.capacity, level.words());
        match level {
            Level::Roomy => tracing::info!(free_bytes, capacity_bytes, meaning, "the spool's disk has room again"),
            Level::Scarce => tracing::warn!(free_bytes, capacity_bytes, meaning, "the spool's disk fills"),
            Level::Full => tracing::error!(free_bytes, capacity_bytes, meaning, "the spool's disk is full"),
        }
    }

    fn recovered(&self) {
        if self.stats.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the recorder can write again");
        }
    }

    /// The next step tries at once, whatever failed before.
    pub(super) const fn hurry(&mut self) {
        self.retry_ns = 0;
    }

    /// True when nothing waits for the disk.
    pub(super) fn idle(&self) -> bool {
        self.queue.is_empty() && self.ended.is_empty()
    }

    fn failed(&mut self, now: u64, what: &'static str, error: &io::Error) {
        Stats::add(&self.stats.write_failures, 1);
        if !self.stats.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, what, "the recorder cannot write; packets stay in memory for now");
        }
        self.retry_ns = now.saturating_add(RETRY_NS);
    }

    /// Appends batch after batch, with one sync per segment; after an error the file is never touched again.
    fn write(&mut self, clock: &dyn Fn() -> u64) -> io::Result<()> {
        while !self.queue.is_empty() {
            let mut current = match self.current.take() {
                Some(current) => current,
                None => self.create()?,
            };
            let from = current.len;
            let mut taken = 0;
            let result = loop {
                let Some(batch) = self.queue.get(taken) else {
                    break Ok(());
                };
                let fits = current.len + batch.bytes.len() <= self.segment_bytes;
                if !fits && current.len > SEGMENT_HEADER_BYTES {
                    break Ok(());
                }
                if let Err(error) = current.file.append(&batch.bytes) {
                    break Err(error);
                }
                current.len += batch.bytes.len();
                taken += 1;
            };
            if let Err(error) = result.and_then(|()| self.sync(&mut current, clock)) {
                self.ledger.segment(&current.path, false);
                return Err(error);
            }
            self.settle(&current.path, from, taken);
            if self.queue.is_empty() {
                self.current = Some(current);
            } else {
                self.ledger.segment(&current.path, false);
            }
        }
        Ok(())
    }

    fn sync(&self, current: &mut Current, clock: &dyn Fn() -> u64) -> io::Result<()> {
        let from = clock();
        let done = current.file.sync();
        let took = clock().saturating_sub(from);
        self.sync_seconds.observe(took as f64 / 1e9);
        done?;
        Stats::add(&self.stats.syncs, 1);
        Stats::add(&self.stats.sync_ns_sum, took);
        self.stats.sync_ns_max.fetch_max(took, Ordering::Relaxed);
        Ok(())
    }

    fn create(&mut self) -> io::Result<Current> {
        let mut head = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        self.header.encode(&mut head).map_err(io::Error::other)?;
        loop {
            let name = format!("{:016x}-{:08x}.{SEGMENT_SUFFIX}", self.header.node_epoch, self.segments);
            let path = self.folder.join(name);
            self.segments = self
                .segments
                .checked_add(1)
                .ok_or_else(|| io::Error::other("no segment number left"))?;
            let mut file = match self.disk.create(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            };
            self.ledger.segment(&path, true);
            if let Err(error) = file.append(&head) {
                self.ledger.segment(&path, false);
                return Err(error);
            }
            return Ok(Current {
                file,
                path,
                len: head.len(),
            });
        }
    }

    /// The first `taken` batches lie synced in `path` from byte `at` on.
    fn settle(&mut self, path: &Path, mut at: usize, taken: usize) {
        for batch in self.queue.drain(..taken) {
            for mark in batch.marks {
                let end = at + mark.bytes as usize;
                let places = self.places.entry(mark.call).or_default();
                if places.last().is_none_or(|place| place.path != path) {
                    places.push(Place {
                        path: path.to_owned(),
                        ranges: Vec::new(),
                    });
                    self.ledger.refer(
                        path,
                        CallKey {
                            node_epoch: self.header.node_epoch,
                            call: mark.call,
                        },
                    );
                }
                if let Some(place) = places.last_mut() {
                    extend(&mut place.ranges, at as u32, end as u32);
                }
                at = end;
                if let Some(ending) = mark.ending {
                    self.ended.push_back(Job {
                        node_epoch: self.header.node_epoch,
                        call: mark.call,
                        recording: ending.recording,
                        reason: ending.reason.to_owned(),
                        end_ns: ending.end_ns,
                        places: self.places.remove(&mark.call).unwrap_or_default(),
                        confirmed: None,
                    });
                }
            }
            Stats::add(&self.stats.bytes_synced, batch.bytes.len() as u64);
            self.stats.backlog.fetch_sub(batch.bytes.len(), Ordering::Relaxed);
        }
    }

    /// Journals ended calls and hands them on, in order.
    fn journal(&mut self, now: u64) {
        while let Some(job) = self.ended.front() {
            if now < self.retry_ns && self.stats.failing.load(Ordering::Relaxed) {
                return;
            }
            if let Err(error) = self.ledger.ended(job) {
                self.failed(now, "journal", &error);
                return;
            }
            if let Some(job) = self.ended.pop_front() {
                // Without a finaliser the call stays in spool and journal; the next start takes it up.
                if self.jobs.send(job).is_err() {
                    tracing::warn!("a finished call waits for the next start: the finaliser is gone");
                }
            }
        }
    }
}

/// Adds a range; one that begins where the last ended makes it longer.
pub(super) fn extend(ranges: &mut Vec<std::ops::Range<u32>>, from: u32, to: u32) {
    match ranges.last_mut() {
        Some(last) if last.end == from => last.end = to,
        _ => ranges.push(from..to),
    }
}
