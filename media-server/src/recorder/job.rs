//! What the recorder hands to the finaliser: which call ended, why, and where its blocks lie in the spool.
//!
//! Never holds a packet: [`read_call`] reads them when the finaliser has time.
//!
//! Invariant: a place names bytes that were synced; reading them again later gives the same call.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use recording::spool::{Calls, End, RecordedCall, SEGMENT_HEADER_BYTES, SegmentHeader};

/// One call of one process start: the same call taken up again by a later start is recorded anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallKey {
    /// Epoch of the process whose clock the call's times are of.
    pub node_epoch: u64,
    /// Which call.
    pub call: u128,
}

/// The blocks of a call in one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The segment's file.
    pub path: PathBuf,
    /// Byte ranges, each of whole blocks, rising.
    pub ranges: Vec<Range<u32>>,
}

/// A call that is over and whole on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Epoch of the process that recorded it.
    pub node_epoch: u64,
    /// Which call.
    pub call: u128,
    /// Which recording; `None`: only quality was kept.
    pub recording: Option<u128>,
    /// Why it ended: a stable word such as `hangup` or `node_crash`.
    pub reason: String,
    /// When it ended, nanoseconds of that process's clock.
    pub end_ns: u64,
    /// Its blocks.
    pub places: Vec<Place>,
    /// What was noted when it was confirmed, if a former start got so far: then only the desk's answer is missing.
    pub confirmed: Option<serde_json::Value>,
}

impl Job {
    /// The key under which the ledger knows it.
    #[must_use]
    pub const fn key(&self) -> CallKey {
        CallKey {
            node_epoch: self.node_epoch,
            call: self.call,
        }
    }
}

/// Reads a call from the spool. Blocks that went bad since are missing and counted, as everywhere. Without a place it
/// is an empty call that lacks a block.
///
/// # Errors
/// A segment cannot be read, or holds nothing of the call any more (`InvalidData`).
pub fn read_call(job: &Job) -> io::Result<RecordedCall> {
    if job.places.is_empty() {
        return Ok(gone(job));
    }
    let mut calls = Calls::default();
    for place in &job.places {
        let file = File::open(&place.path)?;
        let mut head = [0; SEGMENT_HEADER_BYTES];
        file.read_exact_at(&mut head, 0)?;
        let header = SegmentHeader::decode(&head).map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))?;
        for range in &place.ranges {
            let mut bytes = vec![0; range.len()];
            file.read_exact_at(&mut bytes, u64::from(range.start))?;
            calls.add_blocks(&header, &bytes.into());
        }
    }
    let mut call = calls
        .finish()
        .into_iter()
        .find(|call| call.call == job.call && call.node_epoch == job.node_epoch)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the spool holds nothing of the call"))?;
    if call.end.is_none() {
        call.end = Some(End {
            at_ns: job.end_ns,
            reason: job.reason.clone(),
        });
    }
    Ok(call)
}

/// A call whose blocks somebody else removed.
fn gone(job: &Job) -> RecordedCall {
    RecordedCall {
        call: job.call,
        recording: job.recording,
        required: false,
        customer_left: true,
        start_ns: job.end_ns,
        end: Some(End {
            at_ns: job.end_ns,
            reason: job.reason.clone(),
        }),
        last_ns: job.end_ns,
        node_epoch: job.node_epoch,
        wall_ns_at_zero: 0,
        legs: Vec::new(),
        beside: Vec::new(),
        tracks: Vec::new(),
        quality: Vec::new(),
        events: Vec::new(),
        dropped_packets: 0,
        missing_blocks: 1,
    }
}
