//! What STUN and the relay have done, for Prometheus. No label names an address, a leg or a user.
//!
//! A worker counts in plain fields; once a second it brings here what has been added since.

use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, local::LocalHistogram,
};

use crate::core::proxy::Fault;
use crate::core::{Counters, ERROR_CODES, NO_CAPACITY, Rejected, Stage};
use crate::io::stream::Refused;
use ports::Via;

/// Words of the families in `helpline_turn_allocations`, in the order of the counters.
const FAMILIES: [&str; 3] = ["ipv4", "ipv6", "dual"];
/// Upper bounds of the delay in the ring, seconds: from what a batch takes to what a jitter buffer holds.
const RING_DELAY_S: [f64; 10] = [
    0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.02, 0.1,
];

/// What only the edge sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EdgeCounters {
    /// Media that a slow TCP client did not take in time.
    pub(crate) queue: u64,
    /// Frames for which the ring from a shard had no room.
    pub(crate) ring: u64,
    /// Connections that a limit closed or kept out.
    pub(crate) stream: u64,
    /// The same by [`Refused::ALL`].
    pub(crate) streams_refused: [u64; Refused::ALL.len()],
    /// Datagrams that the kernel refused to send.
    pub(crate) send: u64,
    /// Reads that failed.
    pub(crate) receive: u64,
    /// Datagrams that a guest threw away while it rested from a defect.
    pub(crate) rest: u64,
    /// Packets that made the core panic.
    pub(crate) panics: u64,
    /// Connections of proxies that said whose they are.
    pub(crate) headers_taken: u64,
    /// Those that did not, by [`Fault::ALL`].
    pub(crate) headers_refused: [u64; Fault::ALL.len()],
    /// Times that a panic elsewhere made the worker begin anew.
    pub(crate) restarts: u64,
}

/// See the top of this file.
#[derive(Clone)]
pub struct Metrics {
    requests: IntCounterVec,
    allocations: IntGaugeVec,
    packets: IntCounterVec,
    bytes: IntCounterVec,
    errors: IntCounterVec,
    dropped: IntCounterVec,
    rejected: IntCounterVec,
    headers: IntCounterVec,
    streams_refused: IntCounterVec,
    nonce_age: Gauge,
    ring_delay: Histogram,
    unverified: IntCounter,
    restarts: IntCounter,
    allocated: IntCounter,
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    let made = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

impl Metrics {
    /// Registers the series, every value at 0.
    ///
    /// # Errors
    /// A name that is registered already.
    pub fn new(registry: &Registry) -> Result<Metrics, prometheus::Error> {
        let requests = counters(
            registry,
            "helpline_stun_requests_total",
            "Datagrams on the STUN ports, by what became of them",
            &["reason"],
        )?;
        let allocations = IntGaugeVec::new(
            Opts::new(
                "helpline_turn_allocations",
                "Living allocations, by transport and address family",
            ),
            &["via", "family"],
        )?;
        registry.register(Box::new(allocations.clone()))?;
        let nonce_age = Gauge::new("helpline_turn_nonce_age_seconds", "Age of the nonce that was used last")?;
        registry.register(Box::new(nonce_age.clone()))?;
        let ring_delay = Histogram::with_opts(
            HistogramOpts::new(
                "helpline_turn_ring_delay_seconds",
                "Time from a shard's write to the relay's read",
            )
            .buckets(RING_DELAY_S.to_vec()),
        )?;
        registry.register(Box::new(ring_delay.clone()))?;
        let unverified = IntCounter::new(
            "helpline_turn_unverified_reply_bytes_total",
            "Bytes of answers to sources that had proven nothing",
        )?;
        registry.register(Box::new(unverified.clone()))?;
        let restarts = IntCounter::new(
            "helpline_turn_worker_restarts_total",
            "Times that a defect made a thread of the relay begin anew, without any allocation",
        )?;
        registry.register(Box::new(restarts.clone()))?;
        let allocated = IntCounter::new("helpline_turn_allocated_total", "Allocations that were made")?;
        registry.register(Box::new(allocated.clone()))?;
        let metrics = Metrics {
            requests,
            allocations,
            packets: counters(
                registry,
                "helpline_turn_packets_total",
                "Relayed datagrams, by direction and transport",
                &["dir", "via"],
            )?,
            bytes: counters(
                registry,
                "helpline_turn_bytes_total",
                "Relayed payload, by direction and transport",
                &["dir", "via"],
            )?,
            errors: counters(
                registry,
                "helpline_turn_errors_total",
                "Error answers, by STUN error code",
                &["code"],
            )?,
            dropped: counters(
                registry,
                "helpline_turn_dropped_total",
                "What was dropped or left unanswered, by where",
                &["stage"],
            )?,
            rejected: counters(
                registry,
                "helpline_turn_credentials_rejected_total",
                "Credentials that were not believed, by cause",
                &["reason"],
            )?,
            headers: counters(
                registry,
                "helpline_turn_proxy_headers_total",
                "Connections from the networks of turn.proxies, by what became of their PROXY header",
                &["result"],
            )?,
            streams_refused: counters(
                registry,
                "helpline_turn_streams_refused_total",
                "Connections over TCP and TLS that were kept out or closed, by cause",
                &["reason"],
            )?,
            nonce_age,
            ring_delay,
            unverified,
            restarts,
            allocated,
        };
        // Every series is there from the start, at 0.
        metrics.add(&Seen::default(), &Seen::default());
        for via in Via::ALL {
            for family in FAMILIES {
                metrics.allocations.with_label_values(&[via.word(), family]).set(0);
            }
        }
        Ok(metrics)
    }

    /// A worker's own histogram of the delay in its rings.
    pub(crate) fn ring_delay(&self) -> LocalHistogram {
        self.ring_delay.local()
    }

    /// A worker's allocations are gone, as `seen` has them, without having been freed.
    pub(crate) fn lost(&self, seen: &Seen) {
        let mut without = seen.clone();
        without.core.allocations = Default::default();
        self.add(seen, &without);
    }

    /// Adds what `now` has more than `before`.
    pub(crate) fn add(&self, before: &Seen, now: &Seen) {
        let (old, new) = (&before.core, &now.core);
        for (place, via) in Via::ALL.iter().map(|via| via.word()).enumerate() {
            for (family, word) in FAMILIES.iter().enumerate() {
                let change = i64::from(new.allocations[place][family]) - i64::from(old.allocations[place][family]);
                self.allocations.with_label_values(&[via, word]).add(change);
            }
            for (word, old, new) in [("up", &old.up, &new.up), ("down", &old.down, &new.down)] {
                let (old, new) = (&old[place], &new[place]);
                add(&self.packets, &[word, via], old.packets, new.packets);
                add(&self.bytes, &[word, via], old.bytes, new.bytes);
            }
        }
        for (place, code) in ERROR_CODES.iter().enumerate() {
            add(
                &self.errors,
                &[word(&digits(*code))],
                old.errors[place],
                new.errors[place],
            );
        }
        add(
            &self.errors,
            &[word(&digits(NO_CAPACITY))],
            old.no_capacity,
            new.no_capacity,
        );
        for (place, reason) in Rejected::ALL.iter().enumerate() {
            add(
                &self.rejected,
                &[reason.word()],
                old.rejected[place],
                new.rejected[place],
            );
        }
        for stage in Stage::ALL {
            let place = stage as usize;
            let (mut old, mut new) = (old.dropped[place], new.dropped[place]);
            if stage == Stage::Ring {
                // Both directions: towards the shard the core counts, from it the ring.
                old += before.edge.ring;
                new += now.edge.ring;
            }
            add(&self.dropped, &[stage.word()], old, new);
        }
        let edges = |seen: &Seen| {
            let EdgeCounters {
                queue,
                ring: _,
                stream,
                send,
                receive,
                rest,
                panics,
                headers_taken: _,
                headers_refused: _,
                streams_refused: _,
                restarts: _,
            } = seen.edge;
            [
                ("queue", queue),
                ("stream", stream),
                ("send", send),
                ("receive", receive),
                ("rest", rest),
                ("panic", panics),
            ]
        };
        for ((stage, old), (_, new)) in edges(before).into_iter().zip(edges(now)) {
            add(&self.dropped, &[stage], old, new);
        }
        self.add_headers(&before.edge, &now.edge);
        for reason in Refused::ALL {
            let place = reason as usize;
            let (old, new) = (before.edge.streams_refused[place], now.edge.streams_refused[place]);
            add(&self.streams_refused, &[reason.word()], old, new);
        }
        self.allocated.inc_by(new.allocated.saturating_sub(old.allocated));
        self.restarts
            .inc_by(now.edge.restarts.saturating_sub(before.edge.restarts));
        add(&self.requests, &["answered"], old.bindings, new.bindings);
        let limited = |seen: &Counters| seen.dropped[Stage::Budget as usize] + seen.dropped[Stage::Crowd as usize];
        add(&self.requests, &["limited"], limited(old), limited(new));
        add(&self.requests, &["ignored"], ignored(old), ignored(new));
        self.unverified
            .inc_by(new.unverified_reply_bytes.saturating_sub(old.unverified_reply_bytes));
        if new.nonce_age_s != old.nonce_age_s {
            self.nonce_age.set(f64::from(new.nonce_age_s));
        }
    }

    fn add_headers(&self, old: &EdgeCounters, new: &EdgeCounters) {
        add(&self.headers, &["taken"], old.headers_taken, new.headers_taken);
        for fault in Fault::ALL {
            let place = fault as usize;
            let (old, new) = (old.headers_refused[place], new.headers_refused[place]);
            add(&self.headers, &[fault.word()], old, new);
        }
    }
}

/// What was no STUN or TURN that anybody answers.
fn ignored(seen: &Counters) -> u64 {
    let silent = [
        Stage::Length,
        Stage::Channel,
        Stage::Header,
        Stage::Fingerprint,
        Stage::Off,
    ];
    silent.iter().map(|stage| seen.dropped[*stage as usize]).sum()
}

/// The three digits of an error code. The workers copy their counters once a second and allocate nothing for it.
fn digits(code: u16) -> [u8; 3] {
    [code / 100, code / 10, code].map(|part| b'0' + (part % 10) as u8)
}

fn word(digits: &[u8; 3]) -> &str {
    std::str::from_utf8(digits).unwrap_or_default()
}

fn add(to: &IntCounterVec, labels: &[&str], before: u64, now: u64) {
    to.with_label_values(labels).inc_by(now.saturating_sub(before));
}

/// One worker's counters at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) core: Counters,
    pub(crate) edge: EdgeCounters,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A counter by name, and what raises it.
    type Change = (&'static str, fn(&mut Seen));

    /// The sum of all counters and gauges.
    fn sum(registry: &Registry) -> f64 {
        let families = registry.gather();
        let series = families.iter().flat_map(|family| family.get_metric());
        series
            .map(|one| one.get_counter().get_value() + one.get_gauge().get_value())
            .sum()
    }

    /// Every field of both kinds of counters, raised. One that is missing here does not compile.
    fn raised() -> Vec<(&'static str, Seen)> {
        let Counters {
            allocations: _,
            allocated: _,
            up: _,
            down: _,
            errors: _,
            no_capacity: _,
            dropped: _,
            rejected: _,
            bindings: _,
            unverified_reply_bytes: _,
            nonce_age_s: _,
        } = Counters::default();
        let EdgeCounters {
            queue: _,
            ring: _,
            stream: _,
            send: _,
            receive: _,
            panics: _,
            restarts: _,
            headers_taken: _,
            headers_refused: _,
            streams_refused: _,
            rest: _,
        } = EdgeCounters::default();
        let changes: [Change; 22] = [
            ("allocations", |seen| seen.core.allocations[2][1] = 1),
            ("allocated", |seen| seen.core.allocated = 1),
            ("up", |seen| seen.core.up[0].packets = 1),
            ("down", |seen| seen.core.down[1].bytes = 1),
            ("errors", |seen| seen.core.errors[ERROR_CODES.len() - 1] = 1),
            ("no_capacity", |seen| seen.core.no_capacity = 1),
            ("dropped", |seen| seen.core.dropped[Stage::ALL.len() - 1] = 1),
            ("rejected", |seen| seen.core.rejected[Rejected::ALL.len() - 1] = 1),
            ("bindings", |seen| seen.core.bindings = 1),
            ("unverified_reply_bytes", |seen| seen.core.unverified_reply_bytes = 1),
            ("nonce_age_s", |seen| seen.core.nonce_age_s = 1),
            ("queue", |seen| seen.edge.queue = 1),
            ("ring", |seen| seen.edge.ring = 1),
            ("stream", |seen| seen.edge.stream = 1),
            ("streams_refused", |seen| {
                seen.edge.streams_refused[Refused::ALL.len() - 1] = 1
            }),
            ("rest", |seen| seen.edge.rest = 1),
            ("send", |seen| seen.edge.send = 1),
            ("receive", |seen| seen.edge.receive = 1),
            ("panics", |seen| seen.edge.panics = 1),
            ("restarts", |seen| seen.edge.restarts = 1),
            ("headers_taken", |seen| seen.edge.headers_taken = 1),
            ("headers_refused", |seen| {
                seen.edge.headers_refused[Fault::ALL.len() - 1] = 1
            }),
        ];
        let raise = |(name, change): Change| {
            let mut seen = Seen::default();
            change(&mut seen);
            (name, seen)
        };
        changes.into_iter().map(raise).collect()
    }

    #[test]
    fn whatever_a_worker_counts_raises_a_series() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).expect("a fresh registry");
        for (name, seen) in raised() {
            let before = sum(&registry);
            metrics.add(&Seen::default(), &seen);
            assert!(sum(&registry) > before, "{name} is exported nowhere");
        }
    }

    #[test]
    fn what_a_worker_lost_is_no_longer_there_and_stays_counted() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).expect("a fresh registry");
        let mut seen = Seen::default();
        (seen.core.allocations[0][0], seen.core.allocated) = (7, 9);
        metrics.add(&Seen::default(), &seen);
        metrics.lost(&seen);
        assert_eq!(metrics.allocations.with_label_values(&["udp", FAMILIES[0]]).get(), 0);
        assert_eq!(metrics.allocated.get(), 9);
    }
}
