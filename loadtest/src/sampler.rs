//! A process over time: memory, processor, open files.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::server::Used;
use crate::{Fault, clock, system};

/// Most samples that are kept: eight hours at one in ten seconds; beyond it every second one is dropped.
const SAMPLES_MAX: usize = 3_000;

/// One look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Seconds since the first look.
    pub(crate) at_s: f64,
    /// Resident memory, bytes.
    pub(crate) rss_bytes: u64,
    /// Open files.
    pub(crate) files: u64,
    /// Cores' worth of the shard threads since the look before, 0 to their number.
    pub(crate) shards_busy: f64,
    /// The same of the whole process.
    pub(crate) process_busy: f64,
}

/// Looks at a process at regular times until it is dropped.
pub(crate) struct Sampler {
    samples: Arc<Mutex<Vec<Sample>>>,
    task: JoinHandle<()>,
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sampler {
    /// Begins.
    pub(crate) fn start(pid: u32, shards: Vec<u32>, every: Duration) -> Sampler {
        let samples: Arc<Mutex<Vec<Sample>>> = Arc::default();
        let kept = Arc::clone(&samples);
        let task = tokio::spawn(async move {
            // The process may end before us; its samples until then are what counts.
            let _ = watch(pid, &shards, every, &kept).await;
        });
        Sampler { samples, task }
    }

    /// What was seen until now.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn watch(pid: u32, shards: &[u32], every: Duration, kept: &Mutex<Vec<Sample>>) -> Result<(), Fault> {
    let begin = clock::now();
    let (mut before, mut before_at) = (Used::now(pid, shards)?, begin);
    loop {
        tokio::time::sleep(every).await;
        let (used, now) = (Used::now(pid, shards)?, clock::now());
        let (since, ns) = (
            used.since(before),
            now.duration_since(before_at).as_nanos().max(1) as f64,
        );
        let sample = Sample {
            at_s: now.duration_since(begin).as_secs_f64(),
            rss_bytes: system::resident_bytes(pid)?,
            files: system::open_files(pid)?,
            shards_busy: since.shards.run_ns as f64 / ns,
            process_busy: since.process_us as f64 * 1_000.0 / ns,
        };
        (before, before_at) = (used, now);
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= SAMPLES_MAX {
            let mut keep = false;
            kept.retain(|_| {
                keep = !keep;
                keep
            });
        }
        kept.push(sample);
    }
}

/// Change of `y` per unit of `x` by least squares; 0 for fewer than two points.
pub(crate) fn slope(points: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let count = points.clone().count().max(1) as f64;
    let (x_mean, y_mean) = points
        .clone()
        .fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let (mut over, mut under) = (0.0, 0.0);
    for (x, y) in points {
        over += (x - x_mean) * (y - y_mean);
        under += (x - x_mean) * (x - x_mean);
    }
    if under == 0.0 { 0.0 } else { over / under }
}

/// The samples as they are printed.
pub(crate) fn figures(samples: &[Sample]) -> Value {
    let all = samples.iter().map(|sample| {
        json!({
            "at_s": (sample.at_s * 10.0).round() / 10.0,
            "rss_bytes": sample.rss_bytes,
            "files": sample.files,
            "shards_busy": (sample.shards_busy * 1_000.0).round() / 1_000.0,
            "process_busy": (sample.process_busy * 1_000.0).round() / 1_000.0,
        })
    });
    all.collect()
}

#[cfg(test)]
mod tests {
    use super::slope;

    #[test]
    fn a_line_has_its_slope_and_a_point_none() {
        let line = (0..10).map(|x| (f64::from(x), 3.0 - 2.0 * f64::from(x)));
        assert!((slope(line) + 2.0).abs() < 1e-12);
        assert_eq!(slope([(1.0, 5.0)].into_iter()), 0.0);
    }
}
