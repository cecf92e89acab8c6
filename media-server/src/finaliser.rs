//! The finaliser: makes a stored recording of every finished call and tells the desk.
//!
//! ```text
//! Job -> read the spool -> master, manifest -> store, read back -> journal "confirmed" -> step for the desk
//! ```
//!
//! One thread of low priority. A failing store is tried again for ever, each call at its own pace; a call on which we
//! break is parked under a name and stays in the spool, the others go on. Never writes over an object.
//!
//! Invariant: a `confirmed` step is told only after its files were read back from the store and the journal holds it.

mod beside;
mod figures;
mod make;
mod note;
mod stored;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use bytes::Bytes;
use ports::{StepKind, StoredFile};
use recording::manifest::{self, Object};
use recording::spool::RecordedCall;

use crate::clock::Clock;
use crate::recorder::{self, Job, Ledger, read_call};
use crate::storage::keys::Keys;
use crate::storage::{Storage, StorageFault};
use crate::threads;
use crate::waveforms::Waveforms;
use figures::Metrics;
use make::Made;
use note::{Facts, Note};
pub use stored::Stored;

/// First wait after a failure, nanoseconds; it doubles up to [`RETRY_NS_MAX`].
pub const RETRY_NS: u64 = 1_000_000_000;
/// Longest wait between two tries, nanoseconds: five minutes.
pub const RETRY_NS_MAX: u64 = 300_000_000_000;
/// Folders that one recording may try: one per start that took the same call up again, and room for mishaps.
pub const ATTEMPTS_MAX: u32 = 16;
/// How long the thread waits for a job before it looks at metrics and retries.
const TURN: Duration = Duration::from_millis(250);
/// Niceness of the thread: media threads come first whenever both want a core.
const NICE: i32 = 10;

/// What the finaliser is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of this node, for manifests.
    pub node: String,
    /// Epoch of this start: the clock that times of its jobs are of.
    pub node_epoch: u64,
}

/// Why a call was not finalised this time.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the spool cannot be read: {0}")]
    Spool(#[source] io::Error),
    #[error("the recording cannot be stored: {0}")]
    Store(#[from] StorageFault),
    #[error("the journal cannot be written: {0}")]
    Journal(#[source] io::Error),
    #[error("the finaliser broke on the call")]
    Broke,
}

impl Fault {
    /// The word under which a call is parked; `None` when time may help.
    fn parks(&self) -> Option<&'static str> {
        match self {
            Fault::Broke => Some("finaliser_broke"),
            Fault::Spool(error) if error.kind() == io::ErrorKind::InvalidData => Some("spool_damaged"),
            Fault::Spool(error) if error.kind() == io::ErrorKind::NotFound => Some("spool_missing"),
            Fault::Spool(_) | Fault::Store(_) | Fault::Journal(_) => None,
        }
    }
}

/// A job and its tries.
#[derive(Debug)]
struct Waiting {
    job: Job,
    tries: u32,
    due_ns: u64,
    since_ns: u64,
}

/// A running finaliser.
pub struct Finaliser {
    stop: Arc<AtomicBool>,
    thread: threads::Started,
    waveforms: Waveforms,
}

impl Finaliser {
    /// Starts the thread, and the one that draws waveforms. `jobs` is the recorder's other end; `recorder` tells its
    /// counters.
    ///
    /// # Errors
    /// No thread is left, or a metric's name is taken.
    pub fn start(
        settings: Settings,
        clock: Clock,
        storage: Storage,
        ledger: Arc<Ledger>,
        jobs: Receiver<Job>,
        recorder: recorder::Handle,
        registry: &prometheus::Registry,
    ) -> io::Result<(Finaliser, Arc<Stored>)> {
        let metrics = Metrics::new(registry).map_err(io::Error::other)?;
        let waveforms = Waveforms::start(storage.clone(), clock, registry)?;
        let stored = Stored::new(storage.clone(), Arc::clone(&ledger), clock, waveforms.handle());
        let stored = Arc::new(stored);
        let stop = Arc::new(AtomicBool::new(false));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let worker = Worker {
            settings,
            clock,
            storage,
            ledger,
            stored: Arc::clone(&stored),
            metrics,
            recorder,
            runtime,
            make: make::make,
            waiting: VecDeque::new(),
            parked: Vec::new(),
        };
        let told = Arc::clone(&stop);
        let thread = threads::start("hl-finaliser", move || worker.run(&jobs, &told))?;
        let finaliser = Finaliser {
            stop,
            thread,
            waveforms,
        };
        Ok((finaliser, stored))
    }

    /// Ends the thread after the job it is at; what waits stays in spool and journal for the next start. A waveform that
    /// is being drawn is given up.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        if self.thread.handle.join().is_err() {
            tracing::error!("the finaliser panicked");
        }
        self.waveforms.stop();
    }
}

struct Worker {
    settings: Settings,
    clock: Clock,
    storage: Storage,
    ledger: Arc<Ledger>,
    stored: Arc<Stored>,
    metrics: Metrics,
    recorder: recorder::Handle,
    /// Drives the store's futures; its helper threads inherit the low priority.
    runtime: tokio::runtime::Runtime,
    /// Makes the recording; tests break it.
    make: fn(&RecordedCall) -> Made,
    waiting: VecDeque<Waiting>,
    /// Calls that wait for help, each under a word.
    parked: Vec<(Waiting, &'static str)>,
}

impl Worker {
    fn run(mut self, jobs: &Receiver<Job>, stop: &AtomicBool) {
        if let Err(error) = rustix::process::nice(NICE) {
            tracing::info!(%error, "the finaliser runs at usual priority");
        }
        let mut open = true;
        while !stop.load(Ordering::Relaxed) {
            let now = self.clock.now_ns();
            let due = self.waiting.iter().any(|w| w.due_ns <= now);
            match jobs.recv_timeout(if due { Duration::ZERO } else { TURN }) {
                Ok(job) => self.take(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => open = false,
            }
            while let Ok(job) = jobs.try_recv() {
                self.take(job);
            }
            if !self.turn() && !open {
                return;
            }
            self.count();
        }
    }

    /// A call is over: the desk hears of it before it is made.
    fn take(&mut self, job: Job) {
        let now = self.clock.now_ns();
        let ours = job.node_epoch == self.settings.node_epoch;
        let since_ns = if ours { job.end_ns.min(now) } else { now };
        if let Some(recording) = job.recording {
            self.stored.add(
                job.key(),
                recording,
                since_ns,
                StepKind::Ended {
                    reason: job.reason.clone(),
                },
            );
        }
        self.waiting.push_back(Waiting {
            job,
            tries: 0,
            due_ns: 0,
            since_ns,
        });
    }

    /// Works on the first job that is due; false when there is none.
    fn turn(&mut self) -> bool {
        let now = self.clock.now_ns();
        let due = self.waiting.iter().position(|w| w.due_ns <= now);
        let Some(mut waiting) = due.and_then(|at| self.waiting.remove(at)) else {
            return false;
        };
        let done = catch_unwind(AssertUnwindSafe(|| self.finalise(&waiting))).unwrap_or(Err(Fault::Broke));
        let call = uuid::Uuid::from_u128(waiting.job.call);
        match done {
            Ok(()) => {
                let took = self.clock.now_ns().saturating_sub(waiting.since_ns);
                self.metrics.finalise.observe(took as f64 / 1e9);
            }
            Err(fault) => {
                self.metrics.failures.inc();
                self.metrics.panics.inc_by(u64::from(matches!(fault, Fault::Broke)));
                if let Some(word) = fault.parks() {
                    tracing::error!(%call, %fault, word, "a call is parked; its packets stay in the spool");
                    self.parked.push((waiting, word));
                } else {
                    waiting.due_ns = self
                        .clock
                        .now_ns()
                        .saturating_add(wait(waiting.job.call, waiting.tries));
                    waiting.tries = waiting.tries.saturating_add(1);
                    tracing::warn!(%call, %fault, tries = waiting.tries, "a call is finalised again later");
                    self.waiting.push_back(waiting);
                }
            }
        }
        true
    }

    fn finalise(&self, waiting: &Waiting) -> Result<(), Fault> {
        let job = &waiting.job;
        let Some(recording) = job.recording else {
            let call = read_call(job).map_err(Fault::Spool)?;
            let kind = StepKind::QualityOnly {
                quality: make::quality(&call),
            };
            self.stored.add(job.key(), job.call, waiting.since_ns, kind);
            return Ok(());
        };
        if let Some(note) = job.confirmed.as_ref().and_then(Note::read) {
            // Stored by a former start: only its timeline is read again, and the desk can do without.
            let quality = read_call(job).map(|call| make::quality(&call)).unwrap_or_default();
            self.stored
                .add(job.key(), recording, waiting.since_ns, note.step(quality));
            return Ok(());
        }
        let mut call = read_call(job).map_err(Fault::Spool)?;
        call.recording = call.recording.or(Some(recording));
        let made = (self.make)(&call);
        let note = self.store(&call, &made, &job.reason)?;
        self.ledger.confirmed(job.key(), note.write()).map_err(Fault::Journal)?;
        self.metrics.stored(&made.master.side);
        self.stored
            .add(job.key(), recording, waiting.since_ns, note.step(make::quality(&call)));
        Ok(())
    }

    /// Stores everything in the first folder that is free or already holds exactly this.
    fn store(&self, call: &RecordedCall, made: &Made, reason: &str) -> Result<Note, Fault> {
        let began = call.wall_ns_at_zero.saturating_add(call.start_ns) / 1_000_000_000;
        let mut last = StorageFault::Taken;
        for attempt in 0..ATTEMPTS_MAX {
            let keys = Keys::new(call.recording.unwrap_or(call.call), began, attempt);
            match self.runtime.block_on(self.store_in(&keys, call, made, reason)) {
                Ok(note) => return Ok(note),
                Err(StorageFault::Taken) => last = StorageFault::Taken,
                Err(fault) => return Err(fault.into()),
            }
        }
        Err(last.into())
    }

    async fn store_in(
        &self,
        keys: &Keys,
        call: &RecordedCall,
        made: &Made,
        reason: &str,
    ) -> Result<Note, StorageFault> {
        let mut objects = Vec::new();
        let audio = put(&self.storage, &mut objects, "audio", keys.audio(), &made.audio).await?;
        if let Some(second) = &made.second {
            put(&self.storage, &mut objects, "audio_agent", keys.second(), second).await?;
        }
        let mut beside = Vec::new();
        for (number, voice) in made.beside.iter().enumerate() {
            let name = manifest::beside_name(number);
            let file = put(&self.storage, &mut objects, &name, keys.beside(number), &voice.audio).await?;
            beside.push(voice.stored(file));
        }
        put(&self.storage, &mut objects, "side", keys.side(), &made.side).await?;
        let voices: Vec<_> = made.beside.iter().map(beside::Voice::for_manifest).collect();
        let node = &self.settings.node;
        let bytes = manifest::bytes(call, &made.master, &voices, &objects, node, reason);
        // Last: where a manifest lies, everything lies.
        let manifest = self.storage.put(&keys.manifest(), bytes.into()).await?;
        let facts = Facts {
            duration_ms: made.master.duration_ms,
            layout: make::layout(made.master.layout),
            coverage: made.master.coverage,
            reason: reason.to_owned(),
            degraded: call.degraded(),
            beside,
        };
        Ok(Note::new(audio, manifest, facts))
    }

    fn count(&self) {
        let length = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.metrics.queued.set(length(self.waiting.len()));
        self.metrics.parked.set(length(self.parked.len()));
        let now = self.clock.now_ns();
        let unmade = self
            .waiting
            .iter()
            .chain(self.parked.iter().map(|(waiting, _)| waiting));
        let oldest = unmade.map(|w| now.saturating_sub(w.since_ns)).max().unwrap_or(0);
        self.metrics
            .oldest_unsent
            .set(oldest.max(self.stored.oldest_ns()) as f64 / 1e9);
        self.metrics.copy(&self.recorder.figures());
    }
}

async fn put(
    storage: &Storage,
    objects: &mut Vec<Object>,
    name: &str,
    key: String,
    bytes: &Bytes,
) -> Result<StoredFile, StorageFault> {
    let file = storage.put(&key, bytes.clone()).await?;
    objects.push(Object {
        name: name.to_owned(),
        key,
        size: file.size,
        sha256: manifest::hex(&file.sha256),
    });
    Ok(file)
}

/// How long to wait after `tries` failures before: doubling, and up to a quarter more by the call's id, so that calls
/// that failed together do not come back together.
fn wait(call: u128, tries: u32) -> u64 {
    let doubled = (RETRY_NS << tries.min(16)).min(RETRY_NS_MAX);
    let spread = (call as u64 ^ u64::from(tries)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    doubled + doubled / 4 * spread / u64::from(u32::MAX)
}
