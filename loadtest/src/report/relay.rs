//! The figures of a relay: beside coturn, and under a flood.

use serde_json::{Value, json};

use super::{Report, generator, latency_chart, median, quantiles, round};
use crate::flood;
use crate::generator::Window;
use crate::options::Turn;
use crate::turn::{Round, Side};

/// Our relay beside coturn. Medians, and every round for whoever wants to see the noise.
pub(crate) fn turn(options: &Turn, rounds: &[Round]) -> Report {
    let middle = |figure: &dyn Fn(&Round) -> Option<f64>| {
        let mut all: Vec<f64> = rounds.iter().filter_map(figure).collect();
        all.sort_by(f64::total_cmp);
        median(&all)
    };
    let ours = middle(&|round| Some(round.ours.us));
    let other = middle(&|round| round.coturn.as_ref().map(|side| side.us));
    let behind = middle(&|round| Some(round.ours.behind_us));
    let other_behind = middle(&|round| round.coturn.as_ref().map(|side| side.behind_us));
    let ratio = |ours: Option<f64>, other: Option<f64>| Some(round(ours? / other?));
    let sum = |relay: Option<f64>, behind: Option<f64>| Some(relay? + behind?);
    let figures = json!({
        "clients": options.clients,
        "rate": options.rate,
        "bytes": options.bytes,
        "way": options.way.word(),
        "seconds": options.span.seconds,
        "rounds": rounds.len(),
        "cpu_us_per_datagram": ours.map(round),
        "behind_us_per_datagram": behind.map(round),
        "coturn_cpu_us_per_datagram": other.map(round),
        "coturn_behind_us_per_datagram": other_behind.map(round),
        "ratio_to_coturn": ratio(ours, other),
        "ratio_to_coturn_with_behind": ratio(sum(ours, behind), sum(other, other_behind)),
        "each_round": rounds.iter().map(|round| json!({
            "first": match &round.coturn {
                Some(coturn) if coturn.begin < round.ours.begin => "coturn",
                Some(_) | None => "ours",
            },
            "ours": side(&round.ours),
            "coturn": round.coturn.as_ref().map(side),
        })).collect::<Value>(),
    });
    let mut lines = Vec::new();
    if let Some(last) = rounds.last() {
        lines.push(("ours", &last.ours.window.latency_us));
        lines.extend(last.coturn.as_ref().map(|side| ("coturn", &side.window.latency_us)));
    }
    Report {
        title: "TURN",
        figures,
        charts: vec![latency_chart(&lines)],
    }
}

fn side(side: &Side) -> Value {
    json!({
        "cpu_us_per_datagram": round(side.us),
        "behind_us_per_datagram": round(side.behind_us),
        "delivered_ratio": side.window.delivered_ratio(),
        "duplicates": side.window.duplicates,
        "latency_us": quantiles(&side.window.latency_us),
        "generator_late_us": quantiles(&side.window.late_us),
        "generator": generator(&side.window),
    })
}

/// Our relay under a flood.
pub(crate) fn flood(options: &Turn, measured: &flood::Measured) -> Report {
    let seen = &measured.seen;
    let factor = |traffic: flood::Traffic| round(traffic.came as f64 / traffic.sent.max(1) as f64);
    let (all, crowded) = (seen.all(), seen.crowded);
    let side = |window: &Window| {
        json!({
            "expected": window.expected,
            "lost_packets": window.expected.saturating_sub(window.delivered),
            "delivered_ratio": window.delivered_ratio(),
            "duplicates": window.duplicates,
            "latency_us": quantiles(&window.latency_us),
            "generator_late_us": quantiles(&window.late_us),
            "generator": generator(window),
        })
    };
    let figures = json!({
        "clients": options.clients,
        "rate": options.rate,
        "way": options.way.word(),
        "raw_socket": measured.raw,
        "sources": measured.sources(),
        "requests": seen.requests,
        "requests_per_second": round(seen.requests as f64 / seen.seconds),
        "requests_overflowed": measured.overflowed,
        "relay_busy": round(measured.relay_busy),
        "prefixes": seen.prefixes(),
        "answers": seen.answers,
        "bytes_in": all.sent,
        "bytes_out": all.came,
        "amplification": factor(all),
        "crowded_prefix_bytes_in": crowded.sent,
        "crowded_prefix_bytes_out": crowded.came,
        "crowded_prefix_amplification": factor(crowded),
        "rss_before_bytes": measured.rss_before,
        "rss_after_bytes": measured.rss_after,
        "rss_grown_bytes": measured.rss_after.cast_signed() - measured.rss_before.cast_signed(),
        "clients_before": side(&measured.quiet),
        "clients_during": side(&measured.busy),
    });
    let lines = [
        ("before", &measured.quiet.latency_us),
        ("during", &measured.busy.latency_us),
    ];
    Report {
        title: "TURN under a flood",
        figures,
        charts: vec![latency_chart(&lines)],
    }
}
