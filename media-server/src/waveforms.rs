//! Waveforms of stored recordings, of their two sides and of each voice beside them: drawn when somebody first asks, kept beside the recording, drawn anew when what was
//! kept is gone or damaged.
//!
//! One thread of the lowest priority draws one recording at a time, piece by piece, so that an hour of sound neither
//! takes a core from a call nor lies in memory. All who ask for the same recording wait for one drawing.
//!
//! Never touches an object that a manifest names. Never makes somebody wait for long: who asks again finds more of it
//! done.
//!
//! Invariant: what is handed out was drawn from the whole master, or was read back with its check sum.

mod figures;
mod queue;

#[cfg(test)]
mod tests;

use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ports::{RecordingFault, Sound, Waveform, WaveformFault};
use recording::master::DURATION_MS_MAX;
use recording::peaks::{self, Drawing, DrawingFault, Drawn, HEADER_BYTES, STEP_BYTES_MAX, STEP_MS, View};

use crate::clock::Clock;
use crate::storage::keys::{self, SECOND};
use crate::storage::{Storage, StorageFault};
use crate::threads;
use figures::Metrics;
use queue::{Outcome, Queue, State};

/// Longest time until an answer, whatever it says: half of what the console waits for one. In it some forty minutes of
/// call are drawn by a core that has nothing else to do.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Bytes that are read and decoded at a time: half a minute of two sides, so that an end of the process waits for no
/// more than that.
const SLICE_BYTES: u64 = 256 << 10;
/// Niceness of the thread: whatever else wants the core comes first.
const NICE: i32 = 19;
/// Largest file of peaks that is read, in bytes: that of the longest recording.
const PEAKS_BYTES_MAX: u64 = HEADER_BYTES as u64 + DURATION_MS_MAX / STEP_MS * STEP_BYTES_MAX as u64;

/// The drawing thread.
pub(crate) struct Waveforms {
    handle: Handle,
    thread: threads::Started,
}

/// Where to ask for waveforms; clones ask the same thread.
#[derive(Clone, Debug)]
pub(crate) struct Handle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    storage: Storage,
    clock: Clock,
    queue: Mutex<Queue>,
    /// Rung when something was added to the queue, and at its end.
    work: Condvar,
    metrics: Metrics,
}

impl Waveforms {
    /// Starts the thread.
    ///
    /// # Errors
    /// No thread is left, or a metric's name is taken.
    pub(crate) fn start(storage: Storage, clock: Clock, registry: &prometheus::Registry) -> io::Result<Waveforms> {
        let handle = Handle::new(storage, clock, registry)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let drawer = Drawer {
            shared: Arc::clone(&handle.0),
            runtime,
        };
        let thread = threads::start("hl-waveform", move || drawer.run())?;
        Ok(Waveforms { handle, thread })
    }

    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Ends the thread, and with it what it draws; nobody is taken any more.
    pub(crate) fn stop(self) {
        self.handle.0.queue().close();
        self.handle.0.work.notify_all();
        if self.thread.handle.join().is_err() {
            tracing::error!("the drawer of waveforms panicked");
        }
    }
}

impl Handle {
    fn new(storage: Storage, clock: Clock, registry: &prometheus::Registry) -> io::Result<Handle> {
        Ok(Handle(Arc::new(Shared {
            storage,
            clock,
            queue: Mutex::default(),
            work: Condvar::new(),
            metrics: Metrics::new(registry).map_err(io::Error::other)?,
        })))
    }

    /// At most `points` peaks a lane over `span_ms` of a stored sound.
    ///
    /// # Errors
    /// As [`ports::Recordings::waveform`] says.
    pub(crate) async fn ask(
        &self,
        sound: Sound,
        span_ms: Range<u64>,
        points: usize,
    ) -> Result<Waveform, WaveformFault> {
        self.ask_within(ANSWER_WITHIN, &sound, span_ms, points).await
    }

    async fn ask_within(
        &self,
        within: Duration,
        sound: &Sound,
        span_ms: Range<u64>,
        points: usize,
    ) -> Result<Waveform, WaveformFault> {
        let shared = &self.0;
        let kept = keys::peaks(sound).ok_or(RecordingFault::Missing)?;
        if let Some((_, view)) = shared.kept(&kept, sound.lanes(), span_ms.clone(), points).await {
            return Ok(waveform(view));
        }
        let asked = shared.queue().ask(sound, shared.clock.now_ns());
        let Some(mut state) = asked else {
            shared.metrics.failed(WaveformFault::Busy);
            return Err(WaveformFault::Busy);
        };
        shared.work.notify_one();
        let over = |state: &State| matches!(state, State::Over(_));
        let told = tokio::time::timeout(within, state.wait_for(over)).await;
        let told = match told.map(|told| told.map(|state| state.clone())) {
            Ok(Ok(state)) => state,
            // The thread has ended.
            Ok(Err(_)) => return Err(WaveformFault::Busy),
            Err(_) => state.borrow().clone(),
        };
        match told {
            State::Over(drawn) => {
                let view = peaks::read(&drawn?, sound.lanes(), span_ms, points).map_err(|_| WaveformFault::Damaged)?;
                Ok(waveform(view))
            }
            State::Drawing { percent } => Err(WaveformFault::Drawing { percent }),
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was kept of an earlier drawing, when it is there and sound, and the asked part of it.
    async fn kept(&self, key: &str, lanes: usize, span_ms: Range<u64>, points: usize) -> Option<(Bytes, View)> {
        let bytes = match self.storage.read_all(key, PEAKS_BYTES_MAX).await {
            Ok(bytes) => bytes,
            Err(RecordingFault::Missing) => return None,
            Err(fault) => {
                tracing::warn!(%fault, "a kept waveform cannot be read and is drawn anew");
                return None;
            }
        };
        match peaks::read(&bytes, lanes, span_ms, points) {
            Ok(view) => Some((bytes, view)),
            Err(fault) => {
                tracing::warn!(%fault, "a kept waveform is drawn anew");
                None
            }
        }
    }

    /// Keeps a drawing for the next question. Of a recording that was erased in the meantime nothing stays.
    async fn keep(&self, audio: &str, key: &str, drawn: Bytes) -> Result<(), StorageFault> {
        self.storage.keep(key, drawn).await?;
        match self.storage.read(audio, 0..1).await {
            Err(RecordingFault::Missing) => self.storage.forget(key).await,
            Ok(_) | Err(RecordingFault::Range | RecordingFault::Store) => Ok(()),
        }
    }

    /// The next recording to draw; waits for one, and is `None` at the end.
    fn next(&self) -> Option<Sound> {
        let mut queue = self.queue();
        while !queue.is_closed() {
            if let Some(sound) = queue.take(self.clock.now_ns()) {
                return Some(sound);
            }
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }
}

/// What runs on the thread.
struct Drawer {
    shared: Arc<Shared>,
    /// Drives the store's futures; its helper threads inherit the low priority.
    runtime: tokio::runtime::Runtime,
}

impl Drawer {
    fn run(self) {
        if let Err(error) = rustix::process::nice(NICE) {
            tracing::info!(%error, "waveforms are drawn at usual priority");
        }
        while let Some(sound) = self.shared.next() {
            let outcome = catch_unwind(AssertUnwindSafe(|| self.draw(&sound))).unwrap_or_else(|_| {
                tracing::error!("the drawer broke on a recording");
                Err(WaveformFault::Damaged)
            });
            if let Err(fault) = outcome {
                tracing::warn!(%fault, "a waveform was not drawn");
                self.shared.metrics.failed(fault);
            }
            self.shared.queue().over(outcome);
        }
    }

    /// Draws a sound, unless that was done since it was asked for.
    fn draw(&self, sound: &Sound) -> Outcome {
        let shared = &self.shared;
        let kept = keys::peaks(sound).ok_or(RecordingFault::Missing)?;
        let found = shared.kept(&kept, sound.lanes(), 0..0, 0);
        if let Some((bytes, _)) = self.runtime.block_on(found) {
            return Ok(bytes);
        }
        let began = shared.clock.now_ns();
        let drawn = Bytes::from(match sound {
            Sound::Master(audio) => self.master(audio)?,
            Sound::Voice(audio) => {
                let voice = self.file(audio, |_, percent| percent)?;
                peaks::alone(voice).ok_or(WaveformFault::Damaged)?
            }
        });
        let took = shared.clock.now_ns().saturating_sub(began);
        shared.metrics.drawn.observe(took as f64 / 1e9);
        let keeping = shared.keep(sound.key(), &kept, drawn.clone());
        if let Err(fault) = self.runtime.block_on(keeping) {
            tracing::warn!(%fault, "a waveform was drawn and could not be kept");
        }
        Ok(drawn)
    }

    /// Both sides, which may lie apart.
    fn master(&self, audio: &str) -> Result<Vec<u8>, WaveformFault> {
        let half = |drawing: &Drawing, percent: u64| percent / if drawing.is_one_side() { 2 } else { 1 };
        let first = self.file(audio, half)?;
        let second = if first.is_one_side() {
            let second = keys::beside(audio, SECOND).ok_or(RecordingFault::Missing)?;
            Some(self.file(&second, |_, percent| 50 + percent / 2)?)
        } else {
            None
        };
        Ok(peaks::file(first, second))
    }

    /// Draws one file, slice by slice. `told`: what its percent are of the whole.
    fn file(&self, key: &str, told: impl Fn(&Drawing, u64) -> u64) -> Result<Drawn, WaveformFault> {
        let mut drawing = Drawing::new(DURATION_MS_MAX);
        let mut at = 0;
        loop {
            let slice = self.shared.storage.read(key, at..at + SLICE_BYTES);
            let slice = match self.runtime.block_on(slice) {
                Ok(slice) if !slice.bytes.is_empty() => slice,
                // It has no byte there: shorter than it was a moment ago, or empty.
                Ok(_) | Err(RecordingFault::Range) => return Err(WaveformFault::Damaged),
                Err(fault) => return Err(fault.into()),
            };
            drawing.take(&slice.bytes).map_err(fault_of)?;
            at += slice.bytes.len() as u64;
            if at >= slice.total {
                return drawing.finish().map_err(fault_of);
            }
            let queue = self.shared.queue();
            if queue.is_closed() {
                return Err(WaveformFault::Busy);
            }
            queue.tell(told(&drawing, at * 100 / slice.total));
        }
    }
}

/// What a fault of drawing is for those who asked.
fn fault_of(fault: DrawingFault) -> WaveformFault {
    match fault {
        DrawingFault::Foreign | DrawingFault::Cut | DrawingFault::Damaged | DrawingFault::TooLong => {
            tracing::error!(%fault, "a stored recording cannot be drawn");
            WaveformFault::Damaged
        }
        DrawingFault::Decoder => WaveformFault::Busy,
    }
}

fn waveform(view: View) -> Waveform {
    Waveform {
        duration_ms: view.duration_ms,
        span_ms: view.span_ms,
        lanes: view.lanes,
    }
}
