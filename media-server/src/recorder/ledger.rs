//! The ledger: which calls lie in which segments, how far each got, and which segments may go.
//!
//! Shared by the spool writer, the finaliser and the desk's acknowledgements. Never deletes a segment that holds a
//! call which is open, or whose recording the desk has not acknowledged.
//!
//! Invariant: a step is in the journal before anybody acts on it; every step may be repeated.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fs, io};

use super::disk::sync_folder_of;
use super::job::{CallKey, Job};
use super::journal::{Id, Journal, Step};

/// Name of the journal in the spool's folder.
const JOURNAL: &str = "journal";

/// How far a call got.
#[derive(Debug, Default)]
struct Progress {
    ended: Option<Step>,
    confirmed: Option<Step>,
    acknowledged: bool,
    /// When this process learned of the acknowledgement.
    acknowledged_ns: u64,
}

#[derive(Debug, Default)]
struct Segment {
    calls: BTreeSet<CallKey>,
    /// Still written to.
    open: bool,
}

#[derive(Debug)]
struct Books {
    journal: Journal,
    calls: BTreeMap<CallKey, Progress>,
    segments: BTreeMap<PathBuf, Segment>,
    /// Every segment of former starts is known: only then a call without a segment is done with.
    recovered: bool,
}

/// See the top of this file.
#[derive(Debug)]
pub struct Ledger {
    books: Mutex<Books>,
    keep_after_stored_ns: u64,
}

impl Ledger {
    /// Opens the journal in `folder`.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn open(folder: &Path, keep_after_stored_ns: u64) -> io::Result<Ledger> {
        let (journal, steps) = Journal::open(folder.join(JOURNAL))?;
        let mut calls: BTreeMap<CallKey, Progress> = BTreeMap::new();
        for (key, step) in steps {
            calls.entry(key).or_default().set(step);
        }
        let books = Books {
            journal,
            calls,
            segments: BTreeMap::new(),
            recovered: false,
        };
        Ok(Ledger {
            books: Mutex::new(books),
            keep_after_stored_ns,
        })
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A segment is written to from now on, or (`open` false) was found.
    pub(super) fn segment(&self, path: &Path, open: bool) {
        self.books().segments.entry(path.to_owned()).or_default().open = open;
    }

    /// The segment holds synced blocks of the call.
    pub(super) fn refer(&self, path: &Path, key: CallKey) {
        self.books()
            .segments
            .entry(path.to_owned())
            .or_default()
            .calls
            .insert(key);
    }

    /// Notes that a call ended. The first reason counts.
    ///
    /// # Errors
    /// The journal could not be written; ask again.
    pub(super) fn ended(&self, job: &Job) -> io::Result<()> {
        let step = Step::Ended {
            recording: job.recording.map(Id),
            reason: job.reason.clone(),
            end_ns: job.end_ns,
        };
        self.books().note(job.key(), step)
    }

    /// Notes that a call's files are stored and checked; `note` comes back in [`Job::confirmed`] after a crash.
    ///
    /// # Errors
    /// The journal could not be written; ask again.
    pub fn confirmed(&self, key: CallKey, note: serde_json::Value) -> io::Result<()> {
        self.books().note(key, Step::Confirmed { note })
    }

    /// Notes that the desk knows of the stored recording, or of the quality of an unrecorded call: its segments may go
    /// once they were kept long enough. `now_ns` is of the node's clock.
    ///
    /// # Errors
    /// The journal could not be written; ask again.
    pub fn acknowledged(&self, key: CallKey, now_ns: u64) -> io::Result<()> {
        let mut books = self.books();
        books.note(key, Step::Acknowledged)?;
        if let Some(progress) = books.calls.get_mut(&key) {
            progress.acknowledged_ns = now_ns;
        }
        Ok(())
    }

    /// Deletes the segments in which nothing is needed any more; returns how many.
    ///
    /// # Errors
    /// A file could not be removed; it is tried again at the next sweep.
    pub fn sweep(&self, now_ns: u64) -> io::Result<usize> {
        let mut books = self.books();
        let free: Vec<PathBuf> = books
            .segments
            .iter()
            .filter(|(_, segment)| !segment.open && segment.calls.iter().all(|key| self.free(&books, key, now_ns)))
            .map(|(path, _)| path.clone())
            .collect();
        for path in &free {
            match fs::remove_file(path) {
                Ok(()) => sync_folder_of(path)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            books.segments.remove(path);
        }
        if !free.is_empty() {
            books.forget();
        }
        Ok(free.len())
    }

    fn free(&self, books: &Books, key: &CallKey, now_ns: u64) -> bool {
        books.calls.get(key).is_some_and(|progress| {
            progress.acknowledged && now_ns.saturating_sub(progress.acknowledged_ns) >= self.keep_after_stored_ns
        })
    }

    /// What is known of a call from former starts: its end, and what was noted when it was confirmed. `None` when it
    /// never ended.
    pub(super) fn known(&self, key: CallKey) -> Option<Known> {
        let books = self.books();
        let progress = books.calls.get(&key)?;
        let Some(Step::Ended {
            recording,
            reason,
            end_ns,
        }) = &progress.ended
        else {
            return None;
        };
        let note = match &progress.confirmed {
            Some(Step::Confirmed { note }) => Some(note.clone()),
            _ => None,
        };
        Some(Known {
            recording: recording.map(|id| id.0),
            reason: reason.clone(),
            end_ns: *end_ns,
            confirmed: note,
            acknowledged: progress.acknowledged,
        })
    }

    /// Every call of the journal.
    pub(super) fn keys(&self) -> Vec<CallKey> {
        self.books().calls.keys().copied().collect()
    }

    /// Every segment of former starts was told; calls that are acknowledged and lie in none are forgotten.
    pub(super) fn recovered(&self) {
        let mut books = self.books();
        books.recovered = true;
        books.forget();
    }

    /// Segments that still lie in the spool.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.books().segments.len()
    }
}

/// See [`Ledger::known`].
#[derive(Debug)]
pub(super) struct Known {
    pub(super) recording: Option<u128>,
    pub(super) reason: String,
    pub(super) end_ns: u64,
    pub(super) confirmed: Option<serde_json::Value>,
    pub(super) acknowledged: bool,
}

impl Progress {
    fn has(&self, step: &Step) -> bool {
        match step {
            Step::Ended { .. } => self.ended.is_some(),
            Step::Confirmed { .. } => self.confirmed.is_some(),
            Step::Acknowledged => self.acknowledged,
        }
    }

    fn set(&mut self, step: Step) {
        match step {
            Step::Ended { .. } => self.ended = self.ended.take().or(Some(step)),
            Step::Confirmed { .. } => self.confirmed = self.confirmed.take().or(Some(step)),
            Step::Acknowledged => self.acknowledged = true,
        }
    }

    fn steps(&self) -> impl Iterator<Item = &Step> {
        let acknowledged = self.acknowledged.then_some(&Step::Acknowledged);
        self.ended.iter().chain(&self.confirmed).chain(acknowledged)
    }
}

impl Books {
    /// Journals a step once.
    fn note(&mut self, key: CallKey, step: Step) -> io::Result<()> {
        if self.calls.get(&key).is_some_and(|progress| progress.has(&step)) {
            return Ok(());
        }
        let state = self
            .calls
            .iter()
            .flat_map(|(key, progress)| progress.steps().map(|step| (*key, step)));
        self.journal.append(key, &step, state)?;
        self.calls.entry(key).or_default().set(step);
        Ok(())
    }

    fn forget(&mut self) {
        if !self.recovered {
            return;
        }
        let held: BTreeSet<CallKey> = self
            .segments
            .values()
            .flat_map(|segment| segment.calls.iter().copied())
            .collect();
        self.calls
            .retain(|key, progress| !progress.acknowledged || held.contains(key));
    }
}
