//! The steps that wait for the desk, and the reading side of the store: what the desk and the API see of recordings.
//!
//! Never forgets a step before the desk has acknowledged it; the journal holds what a crash would forget.
//!
//! Invariant: a call's segments are released only by the desk's answer to `confirmed` or `quality_only`.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use call_model::{CallId, RecordingId};
use ports::{AudioSlice, Later, RecordingFault, RecordingStep, Recordings, Sound, StepKind, Waveform, WaveformFault};
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::recorder::{CallKey, Ledger};
use crate::storage::Storage;
use crate::waveforms;

/// A step that the desk has not acknowledged.
#[derive(Clone, Debug)]
struct Waiting {
    key: CallKey,
    recording: RecordingId,
    /// When it happened, nanoseconds of the node's clock.
    at_ns: u64,
    kind: StepKind,
}

/// See the top of this file.
#[derive(Debug)]
pub struct Stored {
    storage: Storage,
    ledger: Arc<Ledger>,
    clock: Clock,
    waveforms: waveforms::Handle,
    waiting: Mutex<VecDeque<Waiting>>,
    changed: Notify,
}

impl Stored {
    pub(super) fn new(storage: Storage, ledger: Arc<Ledger>, clock: Clock, waveforms: waveforms::Handle) -> Stored {
        Stored {
            storage,
            ledger,
            clock,
            waveforms,
            waiting: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a step; a repeated one counts once.
    pub(super) fn add(&self, key: CallKey, recording: u128, at_ns: u64, kind: StepKind) {
        let mut waiting = self.waiting();
        if waiting.iter().any(|w| w.key == key && w.kind.word() == kind.word()) {
            return;
        }
        waiting.push_back(Waiting {
            key,
            recording: RecordingId(recording),
            at_ns,
            kind,
        });
        drop(waiting);
        self.changed.notify_one();
    }

    /// Nanoseconds since the oldest step that waits; 0 when none does.
    pub(super) fn oldest_ns(&self) -> u64 {
        let oldest = self.waiting().iter().map(|w| w.at_ns).min();
        oldest.map_or(0, |at| self.clock.now_ns().saturating_sub(at))
    }
}

impl Recordings for Stored {
    fn steps(&self, max: usize) -> Vec<RecordingStep> {
        let now = self.clock.now_ns();
        let step = |w: &Waiting| RecordingStep {
            recording: w.recording,
            call: CallId(w.key.call),
            age_ms: now.saturating_sub(w.at_ns) / 1_000_000,
            kind: w.kind.clone(),
        };
        self.waiting().iter().take(max).map(step).collect()
    }

    fn steps_changed(&self) -> Later<'_, ()> {
        Box::pin(self.changed.notified())
    }

    fn acknowledge_step(&self, recording: RecordingId, step: &'static str) {
        let is = |w: &Waiting| w.recording == recording && w.kind.word() == step;
        let found = self.waiting().iter().find(|w| is(w)).map(|w| (w.key, w.kind.clone()));
        let Some((key, kind)) = found else { return };
        // Not under the lock of what waits: a disk that stands still must not keep its readers.
        let releases = !matches!(kind, StepKind::Ended { .. });
        if releases && let Err(error) = self.ledger.acknowledged(key, self.clock.now_ns()) {
            // The step stays: the desk is told again, and answers again.
            tracing::warn!(%error, "the journal did not take an acknowledgement");
            return;
        }
        self.waiting().retain(|w| !is(w));
    }

    fn read(&self, key: String, range: Range<u64>) -> Later<'_, Result<AudioSlice, RecordingFault>> {
        Box::pin(async move { self.storage.read(&key, range).await })
    }

    fn waveform(&self, sound: Sound, span_ms: Range<u64>, points: usize) -> Later<'_, Result<Waveform, WaveformFault>> {
        Box::pin(self.waveforms.ask(sound, span_ms, points))
    }
}
