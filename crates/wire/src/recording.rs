//! Recordings as QA sees them.

use uuid::Uuid;

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
    /// `GET /api/support/recordings/{id}/waveform` with status 202: it is still being drawn.
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
