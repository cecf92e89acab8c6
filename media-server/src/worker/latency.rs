//! How long packets are on their way through a shard: from the read of the batch that they came in to the call that sent
//! what they became.
//!
//! Measured per batch, with the two readings of the clock that the thread makes anyway; a packet costs nothing. What lay in
//! the socket before is not in it: that is [`super::Gauges::delay_ns`].

/// Upper bounds of the buckets, nanoseconds: from a batch of one packet to what a jitter buffer holds. The last bucket has
/// none.
pub(crate) const BOUNDS_NS: [u64; 9] = [
    20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 20_000_000,
];
const BUCKETS: usize = BOUNDS_NS.len() + 1;

/// See the top of this file. Only grows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    packets: [u64; BUCKETS],
    ns: [u64; BUCKETS],
}

impl Latency {
    /// So many packets were sent `ns` nanoseconds after their batch was read.
    pub(crate) fn add(&mut self, packets: u64, ns: u64) {
        if packets == 0 {
            return;
        }
        let bucket = BOUNDS_NS.iter().take_while(|bound| ns > **bound).count();
        self.packets[bucket] += packets;
        self.ns[bucket] += packets * ns;
    }

    /// What came since `before`: packets, and the seconds that each of them took, bucket by bucket.
    pub(crate) fn since(&self, before: &Latency) -> impl Iterator<Item = (u64, f64)> {
        let (now, before) = (*self, *before);
        (0..BUCKETS).filter_map(move |bucket| {
            let packets = now.packets[bucket].saturating_sub(before.packets[bucket]);
            let ns = now.ns[bucket].saturating_sub(before.ns[bucket]);
            (packets > 0).then(|| (packets, ns as f64 / packets as f64 / 1e9))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_stand_in_the_bucket_of_their_time_with_their_mean() {
        let mut latency = Latency::default();
        latency.add(0, 1);
        assert_eq!(latency.since(&Latency::default()).count(), 0);
        latency.add(3, BOUNDS_NS[0]);
        let before = latency;
        latency.add(1, BOUNDS_NS[0] + 1);
        latency.add(1, 40_000);
        latency.add(2, u64::from(u32::MAX));
        let seen: Vec<_> = latency.since(&before).collect();
        assert_eq!(seen.len(), 2, "{seen:?}");
        assert!(seen[0].0 == 2 && (seen[0].1 - 30.000_5e-6).abs() < 1e-12, "{seen:?}");
        assert!(seen[1].0 == 2 && (seen[1].1 - 4.294_967_295).abs() < 1e-9, "{seen:?}");
    }
}
