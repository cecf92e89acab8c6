//! The metrics of waveforms: how many were drawn and how long each took, and how many were not and why.

use ports::{RecordingFault, WaveformFault};
use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts, Registry};

/// Bounds of the time to draw one recording, seconds: a minute of call takes a twentieth, a day two minutes and more.
const DRAWN_S: [f64; 8] = [0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0, 120.0];
/// Why nothing was drawn: the sound is damaged, gone, or cannot be read now; or too many waited.
const REASONS: [&str; 4] = ["damaged", "missing", "store", "busy"];

/// The metrics; clones count into the same ones.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    pub(super) drawn: Histogram,
    failures: IntCounterVec,
}

impl Metrics {
    pub(super) fn new(registry: &Registry) -> Result<Metrics, prometheus::Error> {
        let drawn = HistogramOpts::new(
            "helpline_recording_waveform_seconds",
            "Time to draw the waveform of a recording that somebody asked for",
        );
        let metrics = Metrics {
            drawn: Histogram::with_opts(drawn.buckets(DRAWN_S.to_vec()))?,
            failures: IntCounterVec::new(
                Opts::new(
                    "helpline_recording_waveform_failures_total",
                    "Waveforms that were asked for and not drawn",
                ),
                &["reason"],
            )?,
        };
        registry.register(Box::new(metrics.drawn.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        for reason in REASONS {
            metrics.failures.with_label_values(&[reason]).inc_by(0);
        }
        Ok(metrics)
    }

    /// Counts one that was not drawn.
    pub(super) fn failed(&self, fault: WaveformFault) {
        let reason = match fault {
            WaveformFault::Damaged => "damaged",
            WaveformFault::Read(RecordingFault::Missing) => "missing",
            WaveformFault::Read(RecordingFault::Store | RecordingFault::Range) => "store",
            WaveformFault::Busy => "busy",
            // No end of a drawing.
            WaveformFault::Drawing { .. } => return,
        };
        self.failures.with_label_values(&[reason]).inc();
    }

    #[cfg(test)]
    pub(super) fn failures(&self, reason: &str) -> u64 {
        self.failures.with_label_values(&[reason]).get()
    }
}
