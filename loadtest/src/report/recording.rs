//! The figures of recording: on beside off.

use serde_json::{Value, json};

use super::{Report, generator, latency_chart, median, quantiles, round};
use crate::faults::Faults;
use crate::options::Recording;
use crate::recording::{Round, Side};

/// Medians of the rounds, and every round for whoever wants to see the noise.
pub(crate) fn recording(options: &Recording, rounds: &[Round], reseated: &Faults) -> Report {
    let middle = |figure: &dyn Fn(&Round) -> f64| {
        // A process that used less than a tick of its clock makes no ratio.
        let mut all: Vec<f64> = rounds.iter().map(figure).filter(|figure| figure.is_finite()).collect();
        all.sort_by(f64::total_cmp);
        median(&all).map(round)
    };
    // What is more is the median of the rounds' own: the two ways of a round ran directly after each other.
    let more = |figure: &dyn Fn(&Side) -> f64| middle(&|one| figure(&one.recorded) / figure(&one.plain) - 1.0);
    let figures = json!({
        "pairs": options.pairs,
        "seconds": options.span.seconds,
        "rounds": rounds.len(),
        "legs_reseated": reseated.count(),
        "shard_us_per_packet": middle(&|one| one.plain.shard_us()),
        "shard_us_per_packet_recorded": middle(&|one| one.recorded.shard_us()),
        "shard_more": more(&Side::shard_us),
        "process_us_per_packet": middle(&|one| one.plain.process_us()),
        "process_us_per_packet_recorded": middle(&|one| one.recorded.process_us()),
        "process_more": more(&Side::process_us),
        "each_round": rounds.iter().map(|one| json!({
            "first": if one.plain.begin < one.recorded.begin { "plain" } else { "recorded" },
            "plain": side(&one.plain),
            "recorded": side(&one.recorded),
        })).collect::<Value>(),
    });
    let lines = rounds.last().map(|last| {
        [
            ("paused", &last.plain.window.latency_us),
            ("recorded", &last.recorded.window.latency_us),
        ]
    });
    Report {
        title: "Recording",
        figures,
        charts: lines.iter().map(|lines| latency_chart(lines)).collect(),
    }
}

fn side(side: &Side) -> Value {
    json!({
        "shard_us_per_packet": round(side.shard_us()),
        "process_us_per_packet": round(side.process_us()),
        "recorded_packets": side.recorded,
        "delivered_ratio": side.window.delivered_ratio(),
        "duplicates": side.window.duplicates,
        "latency_us": quantiles(&side.window.latency_us),
        "generator": generator(&side.window),
    })
}
