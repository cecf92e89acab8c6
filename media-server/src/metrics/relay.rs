//! Series of the way through the relay, as media sees it; what the relay itself counts stands with the relay.
//!
//! Invariant: labels are words of this file and numbers of shards.

use prometheus::{GaugeVec, IntCounterVec, Opts, Registry};

use crate::relay::Figures;

/// From clients, and to them.
const DIRECTIONS: [&str; 2] = ["up", "down"];
/// Why a packet was dropped: no room towards a shard, none towards a worker, no such allocation any more, no such worker.
const REASONS: [&str; 4] = ["ring_full", "egress_full", "gone", "no_way"];

/// See the top of this file.
#[derive(Clone)]
pub(crate) struct Series {
    packets: IntCounterVec,
    dropped: IntCounterVec,
    delay: GaugeVec,
}

impl Series {
    /// Registers the series, each at 0.
    ///
    /// # Errors
    /// A name that is registered already.
    pub(super) fn new(registry: &Registry, shards: usize) -> Result<Series, prometheus::Error> {
        let packets = Opts::new(
            "helpline_media_relay_packets_total",
            "Packets between shards and the relay of the process",
        );
        let dropped = Opts::new(
            "helpline_media_relay_dropped_total",
            "Packets between shards and the relay of the process that were dropped",
        );
        let delay = Opts::new(
            "helpline_media_relay_delay_seconds",
            "Longest time in the last second that a packet of the relay waited for its shard",
        );
        let series = Series {
            packets: IntCounterVec::new(packets, &["dir"])?,
            dropped: IntCounterVec::new(dropped, &["reason"])?,
            delay: GaugeVec::new(delay, &["shard"])?,
        };
        registry.register(Box::new(series.packets.clone()))?;
        registry.register(Box::new(series.dropped.clone()))?;
        registry.register(Box::new(series.delay.clone()))?;
        for dir in DIRECTIONS {
            series.packets.with_label_values(&[dir]).inc_by(0);
        }
        for reason in REASONS {
            series.dropped.with_label_values(&[reason]).inc_by(0);
        }
        for shard in 0..shards {
            series.delay.with_label_values(&[&shard.to_string()]).set(0.0);
        }
        Ok(series)
    }

    /// What a shard counted since its last figures.
    pub(super) fn add(&self, shard: usize, before: &Figures, now: &Figures) {
        let packets = DIRECTIONS
            .into_iter()
            .zip([(before.up, now.up), (before.down, now.down)]);
        for (dir, (before, now)) in packets {
            self.packets
                .with_label_values(&[dir])
                .inc_by(now.saturating_sub(before));
        }
        let dropped = REASONS.into_iter().zip([
            (before.ring_full, now.ring_full),
            (before.egress_full, now.egress_full),
            (before.gone, now.gone),
            (before.no_way, now.no_way),
        ]);
        for (reason, (before, now)) in dropped {
            self.dropped
                .with_label_values(&[reason])
                .inc_by(now.saturating_sub(before));
        }
        let seconds = now.delay_ns as f64 / 1e9;
        self.delay.with_label_values(&[&shard.to_string()]).set(seconds);
    }
}
