//! The metrics of recorder and finaliser.
//!
//! Never labels by call or person. Counters of the recorder are copied, so they only ever rise by what it counted.

use prometheus::{
    Counter, CounterVec, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};
use recording::master::{Cause, SideData};

use crate::recorder;

/// Bounds of the time from the end of a call to its stored recording, seconds.
const FINALISE_S: [f64; 9] = [0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 120.0, 600.0];

/// Why a side of a recording has no packets for a while.
const CAUSES: [Cause; 10] = [
    Cause::Network,
    Cause::Dtx,
    Cause::Mute,
    Cause::Hold,
    Cause::Pause,
    Cause::CaptureStall,
    Cause::Disconnect,
    Cause::Corrupt,
    Cause::Server,
    Cause::Absent,
];
/// Why a packet that was wanted is not in the spool: the tap ring was full, the memory was, or the disk fills and the
/// recording is optional.
const LOST: [&str; 3] = ["ring", "memory", "refused"];

const fn word(cause: Cause) -> &'static str {
    match cause {
        Cause::Network => "network",
        Cause::Dtx => "dtx",
        Cause::Mute => "mute",
        Cause::Hold => "hold",
        Cause::Pause => "pause",
        Cause::CaptureStall => "capture_stall",
        Cause::Disconnect => "disconnect",
        Cause::Corrupt => "corrupt",
        Cause::Server => "server",
        Cause::Absent => "absent",
    }
}

/// The metrics; clones count into the same ones.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    pub(super) finalise: Histogram,
    pub(super) failures: IntCounter,
    pub(super) panics: IntCounter,
    pub(super) parked: IntGauge,
    pub(super) queued: IntGauge,
    pub(super) oldest_unsent: Gauge,
    holes: CounterVec,
    timestamp_rejects: IntCounter,
    active: IntGauge,
    required_active: IntGauge,
    spool: IntGauge,
    capacity: IntGauge,
    disk_used: Gauge,
    packets: IntCounter,
    dropped: IntCounterVec,
    bytes: IntCounter,
    syncs: IntCounter,
    rows_dropped: IntCounter,
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
            holes: CounterVec::new(
                Opts::new(
                    "helpline_recording_hole_seconds_total",
                    "Seconds of stored recordings in which a side has no packets",
                ),
                &["cause"],
            )?,
            timestamp_rejects: counter(
                "helpline_rtp_timestamp_rejects_total",
                "Packets of stored recordings whose timestamp jumped, confirmed by nothing; they are left out",
            )?,
            active: IntGauge::new("helpline_recording_active", "Calls that are being recorded")?,
            required_active: IntGauge::new(
                "helpline_recording_required_active",
                "Live calls that must be recorded and whose packets reach the disk",
            )?,
            spool: IntGauge::new("helpline_recording_spool_bytes", "Bytes in the spool's folder")?,
            capacity: IntGauge::new(
                "helpline_recording_spool_capacity_bytes",
                "Bytes of the spool's disk, used ones and those that we may still write",
            )?,
            disk_used: Gauge::new(
                "helpline_recording_disk_used_ratio",
                "Share of the spool's disk that is used, by whomever",
            )?,
            packets: counter("helpline_recording_packets_total", "Packets taken into the spool")?,
            dropped: IntCounterVec::new(
                Opts::new(
                    "helpline_recording_dropped_packets_total",
                    "Packets that should have been recorded and were not",
                ),
                &["reason"],
            )?,
            bytes: counter("helpline_recording_synced_bytes_total", "Bytes synced to the spool")?,
            rows_dropped: counter(
                "helpline_recording_rows_dropped_total",
                "Seconds of a leg's quality that the recorder had no room for",
            )?,
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
        for cause in CAUSES {
            metrics.holes.with_label_values(&[word(cause)]).inc_by(0.0);
        }
        for reason in LOST {
            metrics.dropped.with_label_values(&[reason]).inc_by(0);
        }
        Ok(metrics)
    }

    fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.finalise.clone()))?;
        registry.register(Box::new(self.holes.clone()))?;
        registry.register(Box::new(self.dropped.clone()))?;
        for gauge in [&self.oldest_unsent, &self.slowest_sync, &self.disk_used] {
            registry.register(Box::new(gauge.clone()))?;
        }
        let gauges = [
            &self.parked,
            &self.queued,
            &self.active,
            &self.required_active,
            &self.spool,
            &self.capacity,
            &self.backlog,
            &self.buffers,
        ];
        for gauge in gauges {
            registry.register(Box::new(gauge.clone()))?;
        }
        let counters = [
            &self.failures,
            &self.panics,
            &self.timestamp_rejects,
            &self.packets,
            &self.bytes,
            &self.syncs,
            &self.rows_dropped,
            &self.write_failures,
        ];
        for counter in counters {
            registry.register(Box::new(counter.clone()))?;
        }
        Ok(())
    }

    /// Counts the holes of a recording that was stored, and what was not believed of its packets; who is heard beside the two
    /// sides is away most of the time, and that is no hole.
    pub(super) fn stored(&self, side: &SideData) {
        let lanes = side.lanes.iter().chain(&side.beside);
        self.timestamp_rejects
            .inc_by(lanes.map(|lane| lane.rejects.timestamps).sum());
        let sides = side.lanes.iter().flat_map(|lane| &lane.holes);
        let beside = side.beside.iter().flat_map(|lane| &lane.holes);
        for hole in sides.chain(beside.filter(|hole| hole.cause != Cause::Absent)) {
            let seconds: &Counter = &self.holes.with_label_values(&[word(hole.cause)]);
            seconds.inc_by(hole.ms as f64 / 1e3);
        }
    }

    #[cfg(test)]
    pub(super) fn timestamp_rejects(&self) -> u64 {
        self.timestamp_rejects.get()
    }

    /// Copies what the recorder counted.
    pub(super) fn copy(&self, figures: &recorder::Figures) {
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.active.set(signed(figures.recording_rooms));
        self.required_active.set(signed(figures.required_rooms));
        self.spool.set(signed(figures.space.spool));
        self.capacity.set(signed(figures.space.capacity));
        if figures.space.capacity > 0 {
            self.disk_used
                .set(figures.space.used() as f64 / figures.space.capacity as f64);
        }
        self.backlog.set(signed(figures.backlog_bytes));
        self.buffers.set(signed(figures.buffer_bytes));
        self.slowest_sync.set(figures.sync_ns_max as f64 / 1e9);
        let memory = figures.packets_dropped.saturating_sub(figures.packets_ring_full);
        let lost = [figures.packets_ring_full, memory, figures.packets_refused];
        for (reason, total) in LOST.into_iter().zip(lost) {
            let counter = self.dropped.with_label_values(&[reason]);
            counter.inc_by(total.saturating_sub(counter.get()));
        }
        let totals = [
            (&self.packets, figures.packets),
            (&self.bytes, figures.bytes_synced),
            (&self.syncs, figures.syncs),
            (&self.rows_dropped, figures.seconds_dropped),
            (&self.write_failures, figures.write_failures),
        ];
        for (counter, total) in totals {
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }
}
