//! The figures as they are printed.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::calls::Measured;
use crate::floor::Floor;

fn quantiles(latency_us: &Histogram<u64>) -> Value {
    json!({ "p50": latency_us.value_at_quantile(0.5), "p99": latency_us.value_at_quantile(0.99) })
}

/// The floor alone.
pub(crate) fn floor(pairs: u32, seconds: u64, floor: &Floor) -> Value {
    json!({
        "pairs": pairs,
        "seconds": seconds,
        "sent": floor.window.sent,
        "delivered_ratio": floor.window.delivered_ratio(),
        "floor_us_per_packet": round(floor.us_per_packet),
        "floor_user_us_per_packet": round(floor.user_us_per_packet),
        "floor_latency_us": quantiles(&floor.window.latency_us),
    })
}

/// The calls beside the floor of the same run.
pub(crate) fn calls(measured: &Measured, floor: &Floor) -> Value {
    let window = &measured.window;
    let per_packet = |us: f64| us / window.delivered.max(1) as f64;
    let cpu = per_packet(measured.shards.run_ns as f64 / 1_000.0);
    // Signed: below zero says that the run was noisier than the server is slow, which a zero would hide.
    let added = |quantile: f64| {
        let floor = floor.window.latency_us.value_at_quantile(quantile);
        window.latency_us.value_at_quantile(quantile).cast_signed() - floor.cast_signed()
    };
    json!({
        "pairs": measured.pairs,
        "seconds": measured.seconds,
        "setup_seconds": round(measured.setup_s),
        "recorded": measured.recorded,
        "sent": window.sent,
        "delivered_ratio": window.delivered_ratio(),
        "cpu_us_per_packet": round(cpu),
        "user_us_per_packet": round(per_packet(measured.shards.user_us as f64)),
        "process_cpu_us_per_packet": round(per_packet(measured.process_us as f64)),
        "floor_us_per_packet": round(floor.us_per_packet),
        "floor_user_us_per_packet": round(floor.user_us_per_packet),
        "floor_delivered_ratio": floor.window.delivered_ratio(),
        "ratio_to_floor": round(cpu / floor.us_per_packet),
        "rss_per_leg_bytes": measured.grown_bytes.saturating_sub(measured.buffers_bytes) / (u64::from(measured.pairs) * 2),
        "rss_per_call_bytes": measured.grown_bytes / u64::from(measured.pairs),
        "latency_us": quantiles(&window.latency_us),
        "floor_latency_us": quantiles(&floor.window.latency_us),
        "added_latency_us": { "p50": added(0.5), "p99": added(0.99) },
    })
}

/// Three digits say what a shared machine can.
fn round(figure: f64) -> f64 {
    (figure * 1_000.0).round() / 1_000.0
}

/// A line per figure.
pub(crate) fn lines(figures: &Value) -> String {
    let mut text = String::new();
    for (name, value) in figures.as_object().into_iter().flatten() {
        text.push_str(&format!("{name:<28} {value}\n"));
    }
    text
}
