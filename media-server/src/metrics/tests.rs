//! Whatever is counted is exported: each field of the counters raises a series, or stands in a list with the reason.

use super::*;

/// What is counted and not exported, and why.
const UNEXPORTED: [(&str, &str); 1] = [(
    "tapped",
    "the recorder counts what it took and what it lost: `helpline_recording_packets_total` and its neighbour",
)];

/// Every field of the totals, and totals in which it alone is 1. A field that is missing here does not compile.
macro_rules! each {
    ($($field:ident)*) => {{
        let Totals { $($field: _),* } = Totals::default();
        vec![$((stringify!($field), Totals { $field: 1, ..Totals::default() })),*]
    }};
}

fn fields() -> Vec<(&'static str, Totals)> {
    each!(
        datagrams bytes rtp_opened rtp_forwarded music_sent rtp_unheard tapped tap_dropped checks rtcp_opened rtcp_sent
        nacks_received nacks_answered nacks_missed nacks_limited ring_unfit nacks_sent repaired_rtx repaired_red
        repaired_late dtls_passed drop_size drop_protocol drop_stun_malformed drop_unknown_ufrag drop_bad_integrity
        drop_stun_rate checks_refused drop_unknown_source drop_relay_gate drop_no_keys uplink_denied drop_rate
        drop_malformed drop_unauthentic drop_replayed drop_ssrc_limit drop_inside drop_payload_type drop_second_ssrc
        drop_slot drop_no_slot drop_dtmf drop_shielded drop_dtls_limit drop_jobs drop_events drop_seconds drop_arena
        drop_seal migrations migrations_reverted migrations_refused panics one_way_legs dead_air_seconds
        clipping_seconds
    )
}

/// The sum of every counter.
fn sum(registry: &Registry) -> f64 {
    let families = registry.gather();
    let series = families.iter().flat_map(|family| family.get_metric());
    series.map(|one| one.get_counter().get_value()).sum()
}

#[test]
fn whatever_a_shard_counts_raises_a_series_or_is_listed_with_a_reason() {
    let registry = Registry::new();
    let metrics = Metrics::new(&registry, 1).expect("a fresh registry");
    let mut silent = Vec::new();
    for (name, totals) in fields() {
        let before = sum(&registry);
        metrics.totals(&Totals::default(), &totals, Gauges::default(), Gauges::default());
        if sum(&registry) <= before {
            silent.push(name);
        }
    }
    let listed: Vec<_> = UNEXPORTED.iter().map(|(name, _)| *name).collect();
    assert_eq!(silent, listed);
}

#[test]
fn each_reason_of_a_drop_is_another_field() {
    for (name, totals) in fields() {
        let raised: Vec<_> = drops(&totals).into_iter().filter(|(_, count)| *count == 1).collect();
        let is_drop = name.starts_with("drop_") || DROPS_BY_ANOTHER_NAME.contains(&name);
        assert_eq!(raised.len(), usize::from(is_drop), "{name}: {raised:?}");
    }
}

/// Fields that are reasons of a drop and do not begin with that word.
const DROPS_BY_ANOTHER_NAME: [&str; 4] = ["tap_dropped", "checks_refused", "uplink_denied", "migrations_refused"];

#[test]
fn what_stands_beside_the_totals_and_what_the_outbox_lets_go_is_exported() {
    let registry = Registry::new();
    let metrics = Metrics::new(&registry, 1).expect("a fresh registry");
    let before = sum(&registry);
    let gauges = Gauges {
        send_refused: 2,
        receive_failed: 3,
        ..Gauges::default()
    };
    metrics.totals(&Totals::default(), &Totals::default(), Gauges::default(), gauges);
    metrics.events_dropped(7);
    metrics.events_dropped(7);
    assert!((sum(&registry) - before - 12.0).abs() < f64::EPSILON);
}

#[test]
fn each_forwarded_packet_is_in_the_histogram_once() {
    let registry = Registry::new();
    let metrics = Metrics::new(&registry, 1).expect("a fresh registry");
    let (totals, mut before) = (Totals::default(), Gauges::default());
    before.latency.add(5, 30_000);
    metrics.totals(&totals, &totals, Gauges::default(), before);
    let mut now = before;
    now.latency.add(3, 60_000);
    metrics.totals(&totals, &totals, before, now);
    assert_eq!(metrics.forward_latency.get_sample_count(), 8);
    let seconds = metrics.forward_latency.get_sample_sum();
    assert!((seconds - 330e-6).abs() < 1e-9, "{seconds}");
}
