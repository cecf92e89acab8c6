//! The recorder's own Prometheus series: what cannot be read off [`super::Figures`] once a second.
//!
//! Written by the writer and the recovery, never by a shard. Labels are words of this file.

use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts, Registry};

use super::recover::Recovered;

/// Bounds of the duration of a sync, seconds: from a fast disk's to one that stands still (the memory holds 5 s).
const SYNC_S: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];
/// Nobody had ended the call: the process went down with it.
const NODE_CRASH: &str = "node_crash";
/// The call had ended, but the desk had not acknowledged its recording.
const UNFINISHED: &str = "unfinished";

/// See the top of this file; clones count into the same series.
#[derive(Clone, Debug)]
pub struct Series {
    pub(super) sync: Histogram,
    recovered: IntCounterVec,
}

impl Series {
    /// Registers the series.
    ///
    /// # Errors
    /// A name that is registered already.
    pub fn new(registry: &Registry) -> Result<Series, prometheus::Error> {
        let sync = HistogramOpts::new(
            "helpline_recording_fsync_seconds",
            "Syncs of the spool, failed ones too",
        );
        let recovered = Opts::new(
            "helpline_recording_recovered_total",
            "Calls taken up from former starts, by what was missing",
        );
        let series = Series {
            sync: Histogram::with_opts(sync.buckets(SYNC_S.to_vec()))?,
            recovered: IntCounterVec::new(recovered, &["reason"])?,
        };
        registry.register(Box::new(series.sync.clone()))?;
        registry.register(Box::new(series.recovered.clone()))?;
        for reason in [NODE_CRASH, UNFINISHED] {
            series.recovered.with_label_values(&[reason]).inc_by(0);
        }
        Ok(series)
    }

    /// Counts what a look at the spool brought.
    pub(super) fn recovered(&self, found: &Recovered) {
        let crashed = found.crashed as u64;
        let rest = (found.jobs.len() as u64).saturating_sub(crashed);
        self.recovered.with_label_values(&[NODE_CRASH]).inc_by(crashed);
        self.recovered.with_label_values(&[UNFINISHED]).inc_by(rest);
    }

    /// Calls taken up: crashed ones, unfinished ones.
    #[cfg(test)]
    pub(super) fn counted(&self) -> [u64; 2] {
        [NODE_CRASH, UNFINISHED].map(|reason| self.recovered.with_label_values(&[reason]).get())
    }
}
