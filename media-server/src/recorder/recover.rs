//! Takes up what former starts of the process left in the spool.
//!
//! Never changes a segment: a bad tail is passed over, not cut off, and damage in the middle costs its blocks only.
//! A file that cannot be read is left alone and reported.
//!
//! Invariant: recovering the same spool twice gives the same jobs, apart from what was confirmed or acknowledged
//! between.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use recording::spool::{Body, DamageKind, HeaderFault, Reader};

use super::job::{CallKey, Job, Place};
use super::ledger::Ledger;
use super::writer::{SEGMENT_SUFFIX, extend};

/// Why a call ended that its process did not end.
pub const NODE_CRASH: &str = "node_crash";

/// What a look at the spool brought.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Calls that are not yet acknowledged, by epoch and id.
    pub jobs: Vec<Job>,
    /// Of those, how many nobody had ended.
    pub crashed: usize,
    /// Segments read.
    pub segments: usize,
    /// Files that could not be read, or that are no segment of ours.
    pub unreadable: usize,
    /// Bytes in the middle of segments that were damaged.
    pub corrupt_bytes: u64,
    /// Bytes at the ends of segments that were not finished.
    pub tail_bytes: u64,
}

/// The segments that lie in `folder`, oldest first.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn segments(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|suffix| suffix == SEGMENT_SUFFIX) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// What the blocks of one call say.
#[derive(Default)]
struct Found {
    recording: Option<u128>,
    end: Option<(u64, String)>,
    newest_ns: u64,
    places: Vec<Place>,
}

/// Reads `paths`, closes what is open, and tells the ledger.
pub(super) fn recover(paths: Vec<PathBuf>, ledger: &Ledger) -> Recovered {
    let mut out = Recovered::default();
    let mut calls: BTreeMap<CallKey, Found> = BTreeMap::new();
    for path in paths {
        match fs::read(&path) {
            Ok(bytes) => match scan(&path, &bytes, &mut calls, &mut out) {
                Ok(keys) => {
                    for key in keys {
                        ledger.refer(&path, key);
                    }
                    ledger.segment(&path, false);
                }
                // A crash right behind the file's creation: there was never a block in it.
                Err(HeaderFault::Short) => ledger.segment(&path, false),
                Err(fault) => unreadable(&mut out, &path, &fault),
            },
            Err(error) => unreadable(&mut out, &path, &error),
        }
    }
    // A call of the journal without a block: somebody else emptied the spool. It is handed on all the same.
    for key in ledger.keys() {
        calls.entry(key).or_default();
    }
    for (key, found) in calls {
        if let Some(job) = job(key, found, ledger, &mut out) {
            out.jobs.push(job);
        }
    }
    ledger.recovered();
    out
}

fn unreadable(out: &mut Recovered, path: &Path, error: &dyn std::fmt::Display) {
    out.unreadable += 1;
    let file = path.file_name().unwrap_or_default();
    tracing::error!(%error, ?file, "a spool segment cannot be read; it is left where it lies");
}

/// Adds the blocks of one segment; gives the calls that it holds.
fn scan(
    path: &Path,
    bytes: &[u8],
    calls: &mut BTreeMap<CallKey, Found>,
    out: &mut Recovered,
) -> Result<BTreeSet<CallKey>, HeaderFault> {
    let (header, mut reader) = Reader::segment(bytes)?;
    out.segments += 1;
    let mut keys = BTreeSet::new();
    for block in reader.by_ref() {
        let key = CallKey {
            node_epoch: header.node_epoch,
            call: block.tag.call,
        };
        keys.insert(key);
        let found = calls.entry(key).or_default();
        found.newest_ns = found.newest_ns.max(block.newest_ns());
        match &block.body {
            Body::Start(start) => found.recording = start.recording.or(found.recording),
            Body::End(end) => found.end = Some((end.at_ns, end.reason.clone())),
            Body::Audio(_) | Body::Event(_) | Body::Quality(_) => {}
        }
        if found.places.last().is_none_or(|place| place.path != path) {
            found.places.push(Place {
                path: path.to_owned(),
                ranges: Vec::new(),
            });
        }
        if let (Some(place), Ok(from), Ok(to)) = (
            found.places.last_mut(),
            u32::try_from(block.range.start),
            u32::try_from(block.range.end),
        ) {
            extend(&mut place.ranges, from, to);
        }
    }
    for damage in reader.damage() {
        match damage.kind {
            DamageKind::Tail => out.tail_bytes += damage.bytes as u64,
            DamageKind::Corrupt | DamageKind::Unknown => out.corrupt_bytes += damage.bytes as u64,
        }
    }
    Ok(keys)
}

/// The job of a call that is not yet acknowledged; journals its end if nobody did.
fn job(key: CallKey, found: Found, ledger: &Ledger, out: &mut Recovered) -> Option<Job> {
    let mut job = Job {
        node_epoch: key.node_epoch,
        call: key.call,
        recording: found.recording,
        reason: NODE_CRASH.to_owned(),
        end_ns: found.newest_ns,
        places: found.places,
        confirmed: None,
    };
    let crashed = found.end.is_none();
    if let Some((at_ns, reason)) = found.end {
        job.end_ns = at_ns;
        job.reason = reason;
    }
    if let Some(known) = ledger.known(key) {
        if known.acknowledged {
            return None;
        }
        job.recording = known.recording;
        job.reason = known.reason;
        job.end_ns = known.end_ns;
        job.confirmed = known.confirmed;
        return Some(job);
    }
    out.crashed += usize::from(crashed);
    if let Err(error) = ledger.ended(&job) {
        // The spool says the same at every start, so the job may go on without the line.
        tracing::error!(%error, "the end of a recovered call could not be journalled");
    }
    Some(job)
}
