//! What the desk and the API ask of stored recordings, and the steps that a finished call's recording takes.

use bytes::Bytes;
use call_model::{CallId, LegId, RecordingId};
use std::ops::Range;

use crate::{Later, Part, Route};

/// How the two sides lie in the master file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One file, left and right uncoupled (Ogg Opus, mapping family 1).
    TwoChannel,
    /// The sides could not share a packet length: one mono file each.
    Split,
    /// Nobody sent a packet.
    Empty,
}

impl Layout {
    /// Stable word for database and API.
    pub const fn word(self) -> &'static str {
        match self {
            Layout::TwoChannel => "two_channel",
            Layout::Split => "split",
            Layout::Empty => "empty",
        }
    }
}

/// One object in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// Key below the store's root.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of those bytes.
    pub sha256: [u8; 32],
}

/// Somebody who was heard beside customer and agent, in a mono file of his own that begins and ends with the master.
#[derive(Clone, Debug, PartialEq)]
pub struct Voice {
    /// Whose leg.
    pub leg: LegId,
    /// What he was then.
    pub part: Part,
    /// The file.
    pub file: StoredFile,
    /// Share of the time in which he was to be heard that is covered by packets or explained silence, 0 to 1.
    pub coverage: f32,
    /// When the customer was to hear him and had a stream for it, milliseconds from the start.
    pub heard_ms: Vec<Range<u64>>,
}

/// One second of one direction of one leg.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QualitySecond {
    /// Packets that should have come.
    pub expected: u16,
    /// Packets that came.
    pub received: u16,
    /// Packets that never came.
    pub lost: u16,
    /// Packets lost for good after every repair.
    pub residual_lost: u16,
    /// Interarrival jitter, milliseconds.
    pub jitter_ms: f32,
    /// Round trip, milliseconds; 0 when it was not measured.
    pub rtt_ms: f32,
    /// Mean level: 0 silence to 127 full scale.
    pub level: u8,
    /// Estimated opinion score, 1 to 4.5.
    pub mos: f32,
    /// Over what the leg's media went; `None` where it was not noted.
    pub route: Option<Route>,
}

/// The timeline of one direction of one leg, a row per second.
#[derive(Clone, Debug, PartialEq)]
pub struct QualityTrack {
    /// Which leg.
    pub leg: LegId,
    /// What it is.
    pub part: Part,
    /// True: what the leg sent us. False: what we sent it, by its own reports.
    pub uplink: bool,
    /// Milliseconds between the start of the recording (or of the room, unrecorded) and the first row; may be negative.
    pub start_ms: i64,
    /// Rows, one per second.
    pub seconds: Vec<QualitySecond>,
}

/// What happened to a recording; every step is idempotent at the desk, keyed by `(recording, kind)`.
#[derive(Clone, Debug, PartialEq)]
pub enum StepKind {
    /// Nothing more will be taken; the spool holds all of it.
    Ended {
        /// Why: `hangup`, `lost`, `node_crash` and so on.
        reason: String,
    },
    /// The files are in the store, checked by size and digest.
    Confirmed {
        /// The master.
        audio: StoredFile,
        /// Who was heard beside the two sides, by the numbers of their files.
        beside: Vec<Voice>,
        /// The manifest.
        manifest: StoredFile,
        /// Milliseconds of sound.
        duration_ms: u64,
        /// How the sides lie.
        layout: Layout,
        /// Share of the time that is covered by packets or explained silence, per side (customer, agent), 0 to 1.
        coverage: [f32; 2],
        /// Why it ended.
        reason: String,
        /// True when packets were lost on the way to the disk.
        degraded: bool,
        /// Quality of every leg and direction.
        quality: Vec<QualityTrack>,
    },
    /// Quality of a call that was not recorded.
    QualityOnly {
        /// Quality of every leg and direction.
        quality: Vec<QualityTrack>,
    },
}

impl StepKind {
    /// Stable word; with the recording's id the key of the step.
    pub const fn word(&self) -> &'static str {
        match self {
            StepKind::Ended { .. } => "ended",
            StepKind::Confirmed { .. } => "confirmed",
            StepKind::QualityOnly { .. } => "quality_only",
        }
    }
}

/// One step of one recording, repeated until acknowledged; not fenced by the node's epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordingStep {
    /// Which recording; for `QualityOnly` the call's own bits.
    pub recording: RecordingId,
    /// Of which call.
    pub call: CallId,
    /// Milliseconds between the fact and this delivery, as far as known.
    pub age_ms: u64,
    /// What happened.
    pub kind: StepKind,
}

/// A slice of a stored file.
#[derive(Clone, Debug)]
pub struct AudioSlice {
    /// Length of the whole file in bytes.
    pub total: u64,
    /// What `bytes` covers.
    pub range: Range<u64>,
    /// The bytes.
    pub bytes: Bytes,
}

/// A stored sound that can be drawn, by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sound {
    /// The master: customer and agent.
    Master(String),
    /// The file of somebody who was heard beside them.
    Voice(String),
}

impl Sound {
    /// Where its file lies.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Sound::Master(key) | Sound::Voice(key) => key,
        }
    }

    /// How many lanes it has.
    #[must_use]
    pub const fn lanes(&self) -> usize {
        match self {
            Sound::Master(_) => 2,
            Sound::Voice(_) => 1,
        }
    }
}

/// Peaks of a sound over a span.
#[derive(Clone, Debug, PartialEq)]
pub struct Waveform {
    /// Milliseconds of sound in the whole recording.
    pub duration_ms: u64,
    /// The span that the points cover, in milliseconds.
    pub span_ms: Range<u64>,
    /// [`Sound::lanes`] of them, of a master customer, then agent: (lowest, highest) per point, -128 to 127.
    pub lanes: Vec<Vec<(i8, i8)>>,
}

/// Why a recording could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordingFault {
    /// No such object here.
    #[error("no such recording on this node")]
    Missing,
    /// The range lies outside the file.
    #[error("the range lies outside the file")]
    Range,
    /// The store failed; may be tried again.
    #[error("the store does not answer")]
    Store,
}

/// Why there is no waveform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaveformFault {
    /// It is being drawn, or waits for its turn; to be asked for again.
    #[error("the waveform is being drawn")]
    Drawing {
        /// How much of the sound was looked at, 0 to 99.
        percent: u8,
    },
    /// So many others wait that this one was not taken; may be tried again.
    #[error("too many waveforms wait to be drawn")]
    Busy,
    /// The sound is not as it was stored.
    #[error("the recording is damaged")]
    Damaged,
    /// The sound could not be read.
    #[error(transparent)]
    Read(#[from] RecordingFault),
}

/// Stored recordings, as the desk and the API see them.
pub trait Recordings: Send + Sync + 'static {
    /// Up to `max` steps that are not yet acknowledged, oldest first.
    fn steps(&self, max: usize) -> Vec<RecordingStep>;

    /// Waits until a step was added since the last call.
    fn steps_changed(&self) -> Later<'_, ()>;

    /// The desk has stored this step; `confirmed` frees the spool.
    fn acknowledge_step(&self, recording: RecordingId, step: &'static str);

    /// Bytes `range` of the object at `key`; an end beyond the file is cut to it.
    ///
    /// # Errors
    /// `Missing`, `Range`, `Store`.
    fn read(&self, key: String, range: Range<u64>) -> Later<'_, Result<AudioSlice, RecordingFault>>;

    /// At most `points` peaks per lane over `span_ms` of a stored sound. Drawn at the
    /// first question, which may take longer than an answer should: then `Drawing` is the answer, and the next question
    /// finds more of it done. Whoever goes away before the answer disturbs nobody.
    ///
    /// # Errors
    /// `Drawing`, `Busy`, `Damaged`, `Missing`, `Store`.
    fn waveform(&self, sound: Sound, span_ms: Range<u64>, points: usize) -> Later<'_, Result<Waveform, WaveformFault>>;
}
