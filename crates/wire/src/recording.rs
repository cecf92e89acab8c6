//! Recordings as QA sees them.

use uuid::Uuid;

use crate::leg::Part;
use crate::{Time, wire};

wire! {
    /// Where a recording stands.
    pub enum RecordingState {
        /// The call still runs.
        Recording,
        /// The file is being made.
        Finalising,
        /// It can be played.
        Stored,
        /// Nothing could be kept.
        Failed,
    }
}

wire! {
    /// A span of a recording.
    pub struct HeardSpan {
        /// Milliseconds from the start.
        #[cfg_attr(test, ts(type = "number"))]
        pub from_ms: u64,
        /// Milliseconds from the start.
        #[cfg_attr(test, ts(type = "number"))]
        pub to_ms: u64,
    }
}

wire! {
    /// Somebody who was heard beside customer and agent, in a mono file that begins and ends with the master.
    pub struct RecordedVoice {
        /// From 1.
        pub number: u16,
        /// His leg.
        pub leg_id: Uuid,
        /// `partner` or `supervisor`.
        pub part: Part,
        /// Bytes of the file.
        #[cfg_attr(test, ts(type = "number"))]
        pub size_bytes: u64,
        /// SHA-256 of the file, hex.
        pub sha256: String,
        /// Share of the time in which he was to be heard that is covered, 0 to 1.
        pub coverage: f32,
        /// When the customer was to hear him.
        pub heard: Vec<HeardSpan>,
        /// URL of the sound, for range requests.
        pub audio_url: String,
        /// URL of the peaks.
        pub waveform_url: String,
    }
}

wire! {
    /// One recording of a call.
    pub struct Recording {
        /// The recording.
        pub recording_id: Uuid,
        /// The call.
        pub call_id: Uuid,
        /// Where it stands.
        pub state: RecordingState,
        /// Seconds of sound.
        #[cfg_attr(test, ts(optional = nullable))]
        pub duration_seconds: Option<f64>,
        /// Bytes of the master.
        #[cfg_attr(test, ts(optional = nullable, type = "number"))]
        pub size_bytes: Option<u64>,
        /// SHA-256 of the master, hex.
        #[cfg_attr(test, ts(optional = nullable))]
        pub sha256: Option<String>,
        /// `two_channel`, `split` or `empty`.
        #[cfg_attr(test, ts(optional = nullable))]
        pub layout: Option<String>,
        /// True when the customer is the left channel.
        pub customer_left: bool,
        /// Share of the time covered, customer then agent, 0 to 1.
        #[cfg_attr(test, ts(optional = nullable))]
        pub coverage: Option<[f32; 2]>,
        /// Why it ended.
        #[cfg_attr(test, ts(optional = nullable))]
        pub reason: Option<String>,
        /// True when packets were lost on the way to the disk.
        pub degraded: bool,
        /// When it began.
        #[cfg_attr(test, ts(optional = nullable))]
        pub started_at: Option<Time>,
        /// URL of the sound, for range requests.
        pub audio_url: String,
        /// URL of the peaks.
        pub waveform_url: String,
        /// Who was heard beside the two sides, by number.
        pub voices: Vec<RecordedVoice>,
    }
}

wire! {
    /// `GET /api/support/call/{id}/recordings`.
    pub struct Recordings {
        /// Oldest first.
        pub recordings: Vec<Recording>,
    }
}

wire! {
    /// `GET /api/support/recordings/{id}/waveform` with status 202, and that of a voice: it is still being drawn.
    pub struct WaveformPending {
        /// How much of the sound was looked at, 0 to 99.
        pub percent: u8,
    }
}

wire! {
    /// `GET /api/support/recordings/{id}/waveform`.
    pub struct Waveform {
        /// Milliseconds of sound in all.
        #[cfg_attr(test, ts(type = "number"))]
        pub duration_ms: u64,
        /// Start of the span, milliseconds.
        #[cfg_attr(test, ts(type = "number"))]
        pub from_ms: u64,
        /// End of the span, milliseconds.
        #[cfg_attr(test, ts(type = "number"))]
        pub to_ms: u64,
        /// Customer: lowest and highest per point in turn, -128 to 127.
        pub customer: Vec<i8>,
        /// Agent: the same.
        pub agent: Vec<i8>,
    }
}

wire! {
    /// `GET /api/support/recordings/{id}/voices/{number}/waveform`: on the time of the recording.
    pub struct VoiceWaveform {
        /// Milliseconds of sound in all.
        #[cfg_attr(test, ts(type = "number"))]
        pub duration_ms: u64,
        /// Start of the span, milliseconds.
        #[cfg_attr(test, ts(type = "number"))]
        pub from_ms: u64,
        /// End of the span, milliseconds.
        #[cfg_attr(test, ts(type = "number"))]
        pub to_ms: u64,
        /// Lowest and highest per point in turn, -128 to 127.
        pub peaks: Vec<i8>,
    }
}
