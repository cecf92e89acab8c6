//! The metrics of recorder and finaliser.
//!
//! Never labels by call or person. Counters of the recorder are copied, so they only ever rise by what it counted.

use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntGauge, Registry};

use crate::recorder;

/// Bounds of the time from the end of a call to its stored recording, seconds.
const FINALISE_S: [f64; 9] = [0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 120.0, 600.0];

/// The metrics; clones count into the same ones.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    pub(super) finalise: Histogram,
    pub(super) failures: IntCounter,
    pub(super) panics: IntCounter,
    pub(super) parked: IntGauge,
    pub(super) queued: IntGauge,
    pub(super) oldest_unsent: Gauge,
    active: IntGauge,
    packets: IntCounter,
    dropped: IntCounter,
    bytes: IntCounter,
    syncs: IntCounter,
    slowest_sync: Gauge,
    write_failures: IntCounter,
    backlog: IntGauge,
    buffers: IntGauge,
}

impl Metrics {
    pub(super) fn new(registry: &Registry) -> Result<Metrics, prometheus::Error> {
        let counter = |name: &str, help: &str| IntCounter::new(name, help);
        let finalise = HistogramOpts::new(
            "helpline_recording_finalise_seconds",
            "From a finished call to its stored recording",
        );
        let metrics = Metrics {
            finalise: Histogram::with_opts(finalise.buckets(FINALISE_S.to_vec()))?,
            failures: counter(
                "helpline_recording_upload_failures_total",
                "Attempts to store that failed",
            )?,
            panics: counter(
                "helpline_recording_finalise_panics_total",
                "Calls on which the finaliser broke",
            )?,
            parked: IntGauge::new(
                "helpline_recording_parked",
                "Finished calls that wait in the spool for help",
            )?,
            queued: IntGauge::new(
                "helpline_recording_queued",
                "Finished calls that wait for the finaliser",
            )?,
            oldest_unsent: Gauge::new(
                "helpline_recording_oldest_unsent_seconds",
                "Age of the oldest finished call or step that the desk has not acknowledged",
            )?,
            active: IntGauge::new("helpline_recording_active", "Calls that are being recorded")?,
            packets: counter("helpline_recording_packets_total", "Packets taken into the spool")?,
            dropped: counter(
                "helpline_recording_dropped_packets_total",
                "Packets lost on the way to the disk",
            )?,
            bytes: counter("helpline_recording_synced_bytes_total", "Bytes synced to the spool")?,
            syncs: counter("helpline_recording_syncs_total", "Syncs of the spool")?,
            slowest_sync: Gauge::new(
                "helpline_recording_slowest_sync_seconds",
                "Slowest sync since the start",
            )?,
            write_failures: counter(
                "helpline_recording_write_failures_total",
                "Failed writes and syncs of the spool",
            )?,
            backlog: IntGauge::new("helpline_recording_backlog_bytes", "Bytes that wait for the disk")?,
            buffers: IntGauge::new(
                "helpline_recording_buffer_bytes",
                "Memory for packets that are on their way to the disk",
            )?,
        };
        metrics.register(registry)?;
        Ok(metrics)
    }

    fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.finalise.clone()))?;
        for gauge in [&self.oldest_unsent, &self.slowest_sync] {
            registry.register(Box::new(gauge.clone()))?;
        }
        for gauge in [&self.parked, &self.queued, &self.active, &self.backlog, &self.buffers] {
            registry.register(Box::new(gauge.clone()))?;
        }
        let counters = [
            &self.failures,
            &self.panics,
            &self.packets,
            &self.dropped,
            &self.bytes,
            &self.syncs,
            &self.write_failures,
        ];
        for counter in counters {
            registry.register(Box::new(counter.clone()))?;
        }
        Ok(())
    }

    /// Copies what the recorder counted.
    pub(super) fn copy(&self, figures: &recorder::Figures) {
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.active.set(signed(figures.recording_rooms));
        self.backlog.set(signed(figures.backlog_bytes));
        self.buffers.set(signed(figures.buffer_bytes));
        self.slowest_sync.set(figures.sync_ns_max as f64 / 1e9);
        let totals = [
            (&self.packets, figures.packets),
            (&self.dropped, figures.packets_dropped),
            (&self.bytes, figures.bytes_synced),
            (&self.syncs, figures.syncs),
            (&self.write_failures, figures.write_failures),
        ];
        for (counter, total) in totals {
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }
}
