//! How many threads of media and of the relay turn, looked at when the figures are read.
//!
//! Never written by one of those threads: of one that hangs nobody would hear, and its last word would be "all turn".

use std::sync::{Arc, Weak};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, Registry};

use crate::beat;
use crate::plane::Shared;

/// See the top of this file.
#[derive(Clone)]
pub(crate) struct Turning {
    /// The figures are read for as long as the process lives; they keep nothing of media alive.
    shared: Weak<Shared>,
    shards: IntGauge,
    shards_alive: IntGauge,
    workers: IntGauge,
    workers_alive: IntGauge,
}

impl Turning {
    /// Registers the series.
    ///
    /// # Errors
    /// A name that is registered already.
    pub(crate) fn register(registry: &Registry, shared: &Arc<Shared>) -> Result<Turning, prometheus::Error> {
        let turning = Turning {
            shared: Arc::downgrade(shared),
            shards: IntGauge::new("helpline_shards", "Threads of media")?,
            shards_alive: IntGauge::new(
                "helpline_shards_alive",
                "Of those, the ones that have reported in the last 30 s",
            )?,
            workers: IntGauge::new("helpline_turn_workers", "Threads of STUN and of the relay")?,
            workers_alive: IntGauge::new(
                "helpline_turn_workers_alive",
                "Of those, the ones that have come to the end of a turn in the last 30 s",
            )?,
        };
        registry.register(Box::new(turning.clone()))?;
        Ok(turning)
    }

    fn gauges(&self) -> [&IntGauge; 4] {
        [&self.shards, &self.shards_alive, &self.workers, &self.workers_alive]
    }

    /// `now`: by the clock of media, nanoseconds.
    fn look(&self, shared: &Shared, now: u64) {
        let beats = &shared.beats;
        self.shards.set(beats.len() as i64);
        self.shards_alive.set(beat::turning(beats, now) as i64);
        // Without a relay there is none, and none is missed.
        let relay = shared.told.health().unwrap_or_default();
        self.workers.set(relay.workers as i64);
        self.workers_alive.set(relay.alive as i64);
    }

    /// Shards, those alive, workers of the relay, and those alive.
    #[cfg(test)]
    pub(crate) fn seen(&self, now: u64) -> [i64; 4] {
        self.look(&self.shared.upgrade().expect("media is there"), now);
        self.gauges().map(IntGauge::get)
    }
}

impl Collector for Turning {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Some(shared) = self.shared.upgrade() {
            self.look(&shared, shared.clock.now_ns());
        }
        self.gauges().into_iter().flat_map(Collector::collect).collect()
    }
}
