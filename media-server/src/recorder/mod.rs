//! The recorder: from the tap rings to a synced spool, and every finished call to the finaliser.
//!
//! ```text
//! tap rings + messages -> drain thread (every 20 ms) -> batches (every 500 ms) -> writer thread: append, fdatasync
//!   -> END synced -> journal "ended" -> Job -> finaliser -> Ledger::confirmed -> desk -> Ledger::acknowledged
//!   -> segment deleted, once nothing in it is needed
//! ```
//!
//! Two threads: a slow disk stalls the writer, never the drain; what waits between them is bounded
//! ([`drain::BUFFER_BYTES_MAX`]), then packets are dropped, counted and the call marked. A third thread reads what
//! former starts left and ends. No shard ever waits for any of them.
//!
//! Rooms without a recording keep their seconds of quality in the same spool; they end as jobs without a recording.
//! Blocks lie in plain so far (block version 0), in files that only we may read.
//!
//! Invariant: nothing is deleted before the desk has acknowledged every call that it belongs to.

mod audio;
mod disk;
mod drain;
mod job;
mod journal;
mod ledger;
mod message;
mod recover;
mod room;
mod series;
mod stats;
mod watermark;
mod way;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use recording::spool::SegmentHeader;

pub use disk::{Disk, FileSystem, SegmentFile, Space};
pub use drain::{BATCH_EVERY_NS, BUFFER_BYTES_MAX, Degraded};
pub use job::{CallKey, Job, Place, read_call};
pub use ledger::Ledger;
pub use message::{Handle, MESSAGES_MAX, Message};
pub use recover::{NODE_CRASH, Recovered};
pub use series::Series;
pub use stats::Figures;
pub use watermark::{
    Level, MARK_MIN_PERCENT, Marks, REFUSE_OPTIONAL_PERCENT, REFUSE_REQUIRED_PERCENT, RELEASE_PERCENT,
};
pub use writer::SEGMENT_BYTES_MAX;

use crate::affinity::Order;
use crate::clock::Clock;
use crate::tap::Consumer;
use drain::Drain;
use writer::{Batch, Writer};

/// How often the rings are drained: a thirtieth of the time in which 100,000 packets per second fill one.
const DRAIN_EVERY: Duration = Duration::from_millis(20);
/// How long the writer waits for a batch before it looks at retries and at segments that may go.
const WRITER_TURN: Duration = Duration::from_millis(500);
/// Tries of the writer for what is left when the process ends; then the next start has less to take up.
const LAST_TRIES: usize = 2;

/// What the recorder is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Folder of the spool; made when it is missing.
    pub folder: PathBuf,
    /// Name of the node, at most 64 bytes.
    pub node: String,
    /// Epoch of this start; no other start of the node has the same.
    pub node_epoch: u64,
    /// Whether the thread that empties the rings goes before others.
    pub order: Order,
    /// Nanoseconds that a segment is kept after everything in it is stored and acknowledged.
    pub keep_after_stored_ns: u64,
    /// From which percent of the disk on recordings are refused.
    pub marks: Marks,
}

/// The default of [`Settings::keep_after_stored_ns`]: an hour to notice that a store lied.
pub const KEEP_AFTER_STORED_NS: u64 = 3_600_000_000_000;

/// A running recorder.
pub struct Recorder {
    handle: Handle,
    ledger: Arc<Ledger>,
    threads: Vec<JoinHandle<()>>,
}

impl Recorder {
    /// Starts the threads. `handle` is where others tell their messages; `taps` are the shards' rings in the order of
    /// their numbers; finished calls go to `jobs`, those of former starts too; `degraded` is called on the drain's
    /// thread; `series` counts what a second's reading cannot.
    ///
    /// # Errors
    /// The folder cannot be made or read, the node's name is too long, or a thread cannot be started.
    pub fn start(
        settings: Settings,
        handle: Handle,
        clock: Clock,
        taps: Vec<Consumer>,
        jobs: Sender<Job>,
        degraded: Degraded,
        series: Series,
    ) -> io::Result<Recorder> {
        let (folder, order) = (settings.folder, settings.order);
        prepare(&folder)?;
        let ledger = Arc::new(Ledger::open(&folder, settings.keep_after_stored_ns)?);
        let former = recover::segments(&folder)?;
        let header = SegmentHeader {
            node: settings.node,
            node_epoch: settings.node_epoch,
            shard: 0,
            wall_ns_at_zero: clock.unix_ns_at_zero(),
        };
        header
            .encode(&mut Vec::new())
            .map_err(|fault| io::Error::new(io::ErrorKind::InvalidInput, fault))?;
        let stats = handle.stats();
        let disk = Box::new(FileSystem);
        let mut writer = Writer::new(
            disk,
            folder,
            header,
            Arc::clone(&ledger),
            jobs.clone(),
            Arc::clone(&stats),
            series.sync.clone(),
        )
        .with_marks(settings.marks);
        // Before the first call: a disk that is full already promises nothing.
        writer.look(clock.now_ns());
        stats.running.store(true, Ordering::Relaxed);
        let drain = Drain::new(stats, degraded);
        let (batches, to_write) = channel();
        let told = handle.clone();
        let books = Arc::clone(&ledger);
        let threads = vec![
            spawn("recorder-drain", move || {
                order.settle(|nices| nices.recorder);
                drain_thread(drain, &told, &clock, taps, &batches)
            })?,
            spawn("recorder-write", move || writer_thread(writer, &clock, &to_write))?,
            spawn("recorder-recover", move || {
                recover_thread(former, &books, &jobs, &series)
            })?,
        ];
        Ok(Recorder {
            handle,
            ledger,
            threads,
        })
    }

    /// How far every call got; for the finaliser and the desk's answers.
    #[must_use]
    pub fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.ledger)
    }

    /// Ends open calls with the reason `shutdown`, writes everything and waits for the threads. Stop the shards first.
    pub fn stop(self) {
        self.handle.close();
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the recorder panicked");
            }
        }
    }
}

fn prepare(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(work)
}

/// Says that the drain works, for as long as it lives; then closes the box, so that nobody fills it in vain.
struct Running(Handle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.stats().running.store(false, Ordering::Relaxed);
        self.0.close();
    }
}

fn drain_thread(mut drain: Drain, told: &Handle, clock: &Clock, mut taps: Vec<Consumer>, batches: &Sender<Batch>) {
    let running = Running(told.clone());
    loop {
        let (messages, open) = told.take(DRAIN_EVERY);
        let batch = drain.step(clock.now_ns(), messages, &mut taps);
        if batch.is_some_and(|batch| batches.send(batch).is_err()) {
            tracing::error!("the spool writer is gone; what was recorded since is lost");
            // First nothing more is promised or taken in; then everybody is known who was promised something.
            drop(running);
            let (last, _) = told.take(Duration::ZERO);
            drain.step(clock.now_ns(), last, &mut taps);
            drain.lost();
            return;
        }
        if !open {
            if let Some(batch) = drain.finish(clock.now_ns())
                && batches.send(batch).is_err()
            {
                tracing::error!("the spool writer is gone; the end of what was recorded is lost");
            }
            return;
        }
    }
}

fn writer_thread(mut writer: Writer, clock: &Clock, batches: &Receiver<Batch>) {
    let now = || clock.now_ns();
    loop {
        match batches.recv_timeout(WRITER_TURN) {
            Ok(batch) => writer.push(batch),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        while let Ok(batch) = batches.try_recv() {
            writer.push(batch);
        }
        writer.step(&now);
    }
    for _ in 0..LAST_TRIES {
        if writer.idle() {
            return;
        }
        writer.hurry();
        writer.step(&now);
    }
    if !writer.idle() {
        tracing::error!("the disk took not everything before the end");
    }
}

fn recover_thread(former: Vec<PathBuf>, ledger: &Ledger, jobs: &Sender<Job>, series: &Series) {
    let found = recover::recover(former, ledger);
    series.recovered(&found);
    if found.segments + found.unreadable > 0 {
        tracing::info!(
            calls = found.jobs.len(),
            crashed = found.crashed,
            segments = found.segments,
            unreadable = found.unreadable,
            corrupt_bytes = found.corrupt_bytes,
            "took up the spool of former starts"
        );
    }
    for job in found.jobs {
        if jobs.send(job).is_err() {
            tracing::warn!("recovered calls wait for the next start: the finaliser is gone");
            return;
        }
    }
}
