//! The figures as they are printed, and what of them is drawn.

mod recording;
mod relay;
mod warnings;

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use crate::calls::{self, Step};
use crate::chart::{Chart, Series};
use crate::fanout;
use crate::floor::Floor;
use crate::generator::Window;
use crate::joins;
use crate::options;
use crate::sampler::{self, Sample, slope};
use crate::soak;

pub(crate) use recording::recording;
pub(crate) use relay::{flood, turn};

/// Points of a drawn distribution.
const QUANTILES: [f64; 22] = [
    0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999,
    0.9999, 1.0,
];
const MIB: f64 = 1_048_576.0;

/// A run as it is handed on.
#[derive(Debug)]
pub(crate) struct Report {
    /// What was done.
    pub(crate) title: &'static str,
    /// Everything that was found.
    pub(crate) figures: Value,
    /// What is drawn.
    pub(crate) charts: Vec<Chart>,
}

impl Report {
    /// With what makes its figures doubtful among them.
    pub(crate) fn warned(mut self) -> Report {
        let warnings = warnings::of(&self.figures);
        if let Some(all) = self.figures.as_object_mut() {
            all.insert("warnings".to_owned(), json!(warnings));
        }
        self
    }
}

/// The one in the middle, of an even number the mean of both; `None` of none. `sorted`: in ascending order.
fn median(sorted: &[f64]) -> Option<f64> {
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted.get((sorted.len() - 1) / 2)?;
    Some(lower.midpoint(*upper))
}

fn quantiles(us: &Histogram<u64>) -> Value {
    json!({ "p50": us.value_at_quantile(0.5), "p99": us.value_at_quantile(0.99), "max": us.max() })
}

fn loss(window: &Window) -> Value {
    json!({
        "worst_leg": round(window.leg_loss.first().copied().unwrap_or_default()),
        "legs_with_loss": window.leg_loss.iter().filter(|loss| **loss > 0.0).count(),
        "packets": window.expected.saturating_sub(window.delivered),
    })
}

fn gaps(window: &Window) -> Value {
    json!({
        "p99": window.gap_us.value_at_quantile(0.99),
        "p9999": window.gap_us.value_at_quantile(0.9999),
        "max": window.gap_us.max(),
        "sure_max": window.gap_sure_us,
    })
}

/// What the generator itself did in a window: whether figures beside it are the server's.
fn generator(window: &Window) -> Value {
    let effort = &window.effort;
    let each = |datagrams: u64, calls: u64| round(datagrams as f64 / calls.max(1) as f64);
    json!({
        "scheduling": effort.granted.word(),
        "busy": round(effort.busy()),
        "us_per_datagram": round(effort.on_core.as_secs_f64() * 1e6 / (effort.sent + effort.read).max(1) as f64),
        "late_us": quantiles(&window.late_us),
        "unread_us": quantiles(&window.unread_us),
        "stamped_ratio": window.unread_us.len() as f64 / window.latency_us.len().max(1) as f64,
        "sent_per_call": each(effort.sent, effort.send_calls),
        "read_per_call": each(effort.read, effort.read_calls),
        "turn_us": round(effort.passed.as_secs_f64() * 1e6 / effort.turns.max(1) as f64),
        "not_sent": effort.refused,
        "dropped_unread": effort.dropped,
        "legs_fallen": window.fallen.count(),
        "first_fall": window.fallen.first(),
    })
}

/// The floor alone.
pub(crate) fn floor(options: &options::Floor, floor: &Floor) -> Report {
    let figures = json!({
        "pairs": options.pairs,
        "seconds": options.span.seconds,
        "sealed": options.sealed,
        "gather_us": options.gather,
        "sent": floor.window.sent,
        "delivered_ratio": floor.window.delivered_ratio(),
        "duplicates": floor.window.duplicates,
        "floor_us_per_packet": round(floor.us_per_packet),
        "floor_user_us_per_packet": round(floor.user_us_per_packet),
        "floor_latency_us": quantiles(&floor.window.latency_us),
        "floor_latency_read_us": quantiles(&floor.window.latency_read_us),
        "floor_gap_us": gaps(&floor.window),
        "generator": generator(&floor.window),
    });
    Report {
        title: "The kernel floor",
        figures,
        charts: vec![latency_chart(&[("floor", &floor.window.latency_us)])],
    }
}

/// One load beside its floor.
fn step(step: &Step) -> Value {
    let window = &step.window;
    let per_packet = |us: f64| window.per_delivered(us, step.used.at);
    let cpu = cpu_us(step);
    let pairs = u64::from(step.pairs);
    let mut figures = json!({
        "asked": step.asked,
        "pairs": step.pairs,
        "seconds": step.seconds,
        "setup_seconds": round(step.setup_s),
        "recorded": step.recorded,
        "sent": window.sent,
        "delivered_ratio": window.delivered_ratio(),
        "duplicates": window.duplicates,
        "lost": loss(window),
        "cpu_us_per_packet": round(cpu),
        "user_us_per_packet": round(per_packet(step.used.shards.user_us as f64)),
        "relay_us_per_packet": round(per_packet(step.relay.run_ns as f64 / 1_000.0)),
        "process_cpu_us_per_packet": round(per_packet(step.used.process_us as f64)),
        "recorder_us_per_packet": round(per_packet(step.used.recorder.run_ns as f64 / 1_000.0)),
        "shards_busy": round(step.used.busy()),
        "rss_per_leg_bytes": step.grown_bytes.saturating_sub(step.buffers_bytes) / (pairs * 2),
        "rss_per_call_bytes": step.grown_bytes / pairs,
        "latency_us": quantiles(&window.latency_us),
        "latency_read_us": quantiles(&window.latency_read_us),
        "gap_us": gaps(window),
        "generator_late_us": quantiles(&window.late_us),
        "generator": generator(window),
    });
    if let (Some(floor), Some(all)) = (&step.floor, figures.as_object_mut()) {
        let added = |of: fn(&Window) -> &Histogram<u64>| {
            let at = |quantile| added(of(window), of(&floor.window), quantile);
            json!({ "p50": at(0.5), "p99": at(0.99) })
        };
        let more = [
            ("floor_us_per_packet", json!(round(floor.us_per_packet))),
            ("floor_user_us_per_packet", json!(round(floor.user_us_per_packet))),
            ("floor_delivered_ratio", json!(floor.window.delivered_ratio())),
            ("floor_duplicates", json!(floor.window.duplicates)),
            ("ratio_to_floor", json!(round(cpu / floor.us_per_packet))),
            ("floor_latency_us", quantiles(&floor.window.latency_us)),
            ("floor_gap_us", gaps(&floor.window)),
            ("floor_latency_read_us", quantiles(&floor.window.latency_read_us)),
            ("floor_generator", generator(&floor.window)),
            ("added_latency_us", added(|window| &window.latency_us)),
            ("added_latency_read_us", added(|window| &window.latency_read_us)),
        ];
        all.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
    if let (Some(floor), Some(all)) = (&step.gathering_floor, figures.as_object_mut()) {
        let more = [
            ("gather_us", json!(step.gather.as_micros())),
            ("gathering_floor_us_per_packet", json!(round(floor.us_per_packet))),
            ("gathering_floor_delivered_ratio", json!(floor.window.delivered_ratio())),
            ("ratio_to_gathering_floor", json!(round(cpu / floor.us_per_packet))),
            ("gathering_floor_latency_us", quantiles(&floor.window.latency_us)),
        ];
        all.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
    figures
}

/// A quantile less the floor's. Signed: below zero says that the run was noisier than the server is slow, which a zero
/// would hide.
fn added(us: &Histogram<u64>, floor: &Histogram<u64>, quantile: f64) -> i64 {
    us.value_at_quantile(quantile).cast_signed() - floor.value_at_quantile(quantile).cast_signed()
}

fn cpu_us(step: &Step) -> f64 {
    let us = step.used.shards.run_ns as f64 / 1_000.0;
    step.window.per_delivered(us, step.used.at)
}

/// The calls beside the floor of the same run. The last step's figures stand at the top.
pub(crate) fn calls(measured: &calls::Measured) -> Report {
    let mut figures = Map::new();
    if let Some(Value::Object(last)) = measured.steps.last().map(step) {
        figures.extend(last);
    }
    figures.insert("seed".to_owned(), json!(measured.pace.seed));
    figures.insert("dtx".to_owned(), json!(measured.pace.dtx));
    if !measured.pace.profile.is_clean() {
        let lost: u64 = measured.steps.iter().map(|step| step.window.lost_on_purpose).sum();
        figures.insert("profile".to_owned(), json!(measured.pace.profile.to_string()));
        figures.insert("lost_on_purpose".to_owned(), json!(lost));
    }
    figures.insert("addresses_changed".to_owned(), json!(measured.switch));
    figures.insert("relay".to_owned(), json!(measured.relay.map(|ways| ways.word())));
    if let Some(check) = &measured.check {
        figures.insert("recorded_ratio".to_owned(), json!(check.ratio()));
        figures.insert("recordings".to_owned(), check.figures());
    }
    figures.insert("calls_remade".to_owned(), json!(measured.remade.count()));
    figures.insert("calls_remade_because".to_owned(), measured.remade.figures());
    figures.insert("ended".to_owned(), json!(measured.ended));
    figures.insert("trouble".to_owned(), measured.trouble.figures());
    figures.insert(
        "finalising".to_owned(),
        json!(measured.finalising.as_ref().map(finalising)),
    );
    if let Some(held) = &measured.held {
        let after = json!({
            "packets_per_leg": held.packets,
            "delivered_ratio_after": held.window.delivered_ratio(),
            "duplicates_after": held.window.duplicates,
            "lost_after": loss(&held.window),
            "gap_us_after": gaps(&held.window),
        });
        figures.insert("hold".to_owned(), after);
    }
    figures.insert("steps".to_owned(), measured.steps.iter().map(step).collect());
    figures.insert("samples".to_owned(), sampler::figures(&measured.samples));
    Report {
        title: "Calls",
        figures: Value::Object(figures),
        charts: call_charts(measured),
    }
}

fn finalising(finalising: &calls::Finalising) -> Value {
    let each = |us: f64| round(us / finalising.packets.max(1) as f64);
    json!({
        "packets": finalising.packets,
        "us_per_packet": each(finalising.used.finaliser.run_ns as f64 / 1_000.0),
        "process_us_per_packet": each(finalising.used.process_us as f64),
    })
}

fn call_charts(measured: &calls::Measured) -> Vec<Chart> {
    let mut charts = Vec::new();
    if let Some(last) = measured.steps.last() {
        let mut lines = vec![("server", &last.window.latency_us)];
        lines.extend(last.floor.as_ref().map(|floor| ("floor", &floor.window.latency_us)));
        charts.push(latency_chart(&lines));
        charts.push(loss_chart(&last.window));
    }
    let line = |name: &str, figure: &dyn Fn(&Step) -> Option<f64>| {
        let points = measured
            .steps
            .iter()
            .filter_map(|step| Some((f64::from(step.pairs), figure(step)?)));
        Series::new(name, points.collect())
    };
    let per_packet = |step: &Step, us: f64| step.window.per_delivered(us, step.used.at);
    charts.push(Chart::new(
        "CPU per delivered packet",
        "calls",
        "us",
        vec![
            line("shard threads", &|step| Some(cpu_us(step))),
            line("floor", &|step| step.floor.as_ref().map(|floor| floor.us_per_packet)),
            line("of it user", &|step| {
                Some(per_packet(step, step.used.shards.user_us as f64))
            }),
            line("whole process", &|step| {
                Some(per_packet(step, step.used.process_us as f64))
            }),
        ],
    ));
    charts.extend(time_charts(&measured.samples));
    charts
}

/// Joins beside quiet time and floor.
pub(crate) fn joins(measured: &joins::Measured, floor: &Floor) -> Report {
    let joined = measured.join_us.len();
    let side = |window: &Window| {
        json!({
            "expected": window.expected,
            "delivered_ratio": window.delivered_ratio(),
            "duplicates": window.duplicates,
            "lost_packets": window.expected.saturating_sub(window.delivered),
            "gap_us": gaps(window),
            "latency_us": quantiles(&window.latency_us),
            "generator_late_us": quantiles(&window.late_us),
            "generator": generator(window),
        })
    };
    let figures = json!({
        "pairs": measured.pairs,
        "seconds": measured.seconds,
        "storm": measured.is_storm,
        "joins_begun": measured.begun,
        "joins": joined,
        "joins_failed": measured.failed.count(),
        "joins_failed_because": measured.failed.figures(),
        "first_failure": measured.failed.first(),
        "legs_reseated": measured.reseated.count(),
        "took_seconds": round(measured.took_s),
        "joins_per_second": round(joined as f64 / measured.took_s),
        "join_to_sound_us": {
            "p50": measured.join_us.value_at_quantile(0.5),
            "p95": measured.join_us.value_at_quantile(0.95),
            "p99": measured.join_us.value_at_quantile(0.99),
            "max": measured.join_us.max(),
        },
        "cpu_us_per_join": round(measured.joins_us() / joined.max(1) as f64),
        "shards_busy_quiet": round(measured.used_quiet.busy()),
        "shards_busy": round(measured.used_busy.busy()),
        "bystanders": side(&measured.busy),
        "bystanders_before": side(&measured.quiet),
        "floor": side(&floor.window),
    });
    let gap_lines = [
        ("while others join", &measured.busy.gap_us),
        ("before", &measured.quiet.gap_us),
        ("floor", &floor.window.gap_us),
    ];
    let mut charts = vec![
        quantile_chart("Join to first sound", "ms", &[("joins", &measured.join_us)]),
        quantile_chart("Gaps of bystanders", "ms", &gap_lines),
        latency_chart(&[
            ("while others join", &measured.busy.latency_us),
            ("before", &measured.quiet.latency_us),
            ("floor", &floor.window.latency_us),
        ]),
        loss_chart(&measured.busy),
    ];
    charts.extend(time_charts(&measured.samples));
    Report {
        title: "Joins",
        figures,
        charts,
    }
}

/// Fan-out, step by step.
pub(crate) fn fanout(measured: &fanout::Measured) -> Report {
    let steps = measured.steps.iter().map(|step| {
        json!({
            "rooms": step.rooms,
            "legs": step.rooms * (joins::LISTENERS + 1),
            "packets_per_second": round(step.rate()),
            "packets_per_second_per_core": round(step.rate() / step.busy().max(1e-9)),
            "delivered_ratio": step.window.delivered_ratio(),
            "duplicates": step.window.duplicates,
            "shards_busy": round(step.busy()),
            "cpu_us_per_packet": round(step.us()),
            "latency_us": quantiles(&step.window.latency_us),
            "generator_late_us": quantiles(&step.window.late_us),
            "generator": generator(&step.window),
            "carried": step.is_carried(),
        })
    });
    let best = measured.steps.iter().filter(|step| step.is_carried());
    let best = best.max_by(|a, b| a.rate().total_cmp(&b.rate()));
    let figures = json!({
        "listeners_per_room": joins::LISTENERS,
        "busy_max": fanout::BUSY_MAX,
        "delivered_min": fanout::DELIVERED_MIN,
        "rooms_refilled": measured.refilled.count(),
        "rooms_refilled_because": measured.refilled.figures(),
        "ended": measured.ended,
        "best_rooms": best.map(|step| step.rooms),
        "best_packets_per_second": best.map(|step| round(step.rate())),
        "steps": steps.collect::<Value>(),
        "samples": sampler::figures(&measured.samples),
    });
    let line = |name: &str, figure: &dyn Fn(&fanout::Step) -> f64| {
        let points = measured.steps.iter().map(|step| (step.rate() / 1_000.0, figure(step)));
        Series::new(name, points.collect())
    };
    let mut charts = vec![
        Chart::new(
            "Shard thread",
            "1,000 packets/s",
            "% of a core",
            vec![line("busy", &|step| step.busy() * 100.0)],
        ),
        Chart::new(
            "CPU per forwarded packet",
            "1,000 packets/s",
            "us",
            vec![line("shard thread", &fanout::Step::us)],
        ),
    ];
    if let Some(last) = best.or(measured.steps.last()) {
        charts.push(latency_chart(&[("server", &last.window.latency_us)]));
        charts.push(loss_chart(&last.window));
    }
    charts.extend(time_charts(&measured.samples));
    Report {
        title: "Fan-out",
        figures,
        charts,
    }
}

/// Hours of calls.
pub(crate) fn soak(measured: &soak::Measured) -> Report {
    let settled = measured.settled();
    let per_hour = |figure: fn(&Sample) -> f64| {
        let points = settled
            .iter()
            .map(move |sample| (sample.at_s / 3_600.0, figure(sample)));
        round(slope(points))
    };
    let window = &measured.window;
    let figures = json!({
        "pairs": measured.pairs,
        "hours": measured.hours,
        "seed": measured.seed,
        "calls": measured.calls,
        "failures": measured.failed.count(),
        "failures_because": measured.failed.figures(),
        "first_failure": measured.failed.first(),
        "sent": window.sent,
        "delivered_ratio": window.delivered_ratio(),
        "duplicates": window.duplicates,
        "latency_us": quantiles(&window.latency_us),
        "gap_us": gaps(window),
        "recorded_ratio": measured.check.ratio(),
        "recordings": measured.check.figures(),
        "rss_mib_per_hour": per_hour(|sample| sample.rss_bytes as f64 / MIB),
        "files_per_hour": per_hour(|sample| sample.files as f64),
        "rooms_left": measured.rooms_left,
        "process_cpu_seconds": measured.used.map(|used| used.process_us / 1_000_000),
        "generator": generator(window),
        "samples": sampler::figures(&measured.samples),
    });
    let files = measured.samples.iter().map(|sample| (sample.at_s, sample.files as f64));
    let mut charts = time_charts(&measured.samples);
    charts.push(Chart::new(
        "Open files",
        "s",
        "files",
        vec![Series::new("server", files.collect())],
    ));
    charts.push(latency_chart(&[("server", &window.latency_us)]));
    Report {
        title: "Soak",
        figures,
        charts,
    }
}

/// Times in ms against the share of packets that took no longer.
fn latency_chart(lines: &[(&str, &Histogram<u64>)]) -> Chart {
    quantile_chart("Time under way", "ms", lines)
}

fn quantile_chart(title: &'static str, unit: &'static str, lines: &[(&str, &Histogram<u64>)]) -> Chart {
    let series = lines.iter().filter(|(_, us)| !us.is_empty()).map(|(name, us)| {
        let point = |q: &f64| (us.value_at_quantile(*q).max(1) as f64 / 1_000.0, q * 100.0);
        Series::new(name, QUANTILES.iter().map(point).collect())
    });
    Chart::new(title, unit, "% at most", series.collect()).with_log_x()
}

/// Lost share of the legs, the worst first.
fn loss_chart(window: &Window) -> Chart {
    let points = window.leg_loss.iter().enumerate();
    let points = points.map(|(leg, loss)| (leg as f64 + 1.0, loss * 100.0));
    Chart::new(
        "Loss by leg, worst first",
        "leg",
        "% lost",
        vec![Series::new("server", points.collect())],
    )
}

/// Memory and processor over time.
fn time_charts(samples: &[Sample]) -> Vec<Chart> {
    let line = |name: &str, figure: fn(&Sample) -> f64| {
        let points = samples.iter().map(|sample| (sample.at_s, figure(sample)));
        Series::new(name, points.collect())
    };
    vec![
        Chart::new(
            "Memory",
            "s",
            "MiB",
            vec![line("resident", |sample| sample.rss_bytes as f64 / MIB)],
        ),
        Chart::new(
            "Processor",
            "s",
            "% of a core",
            vec![
                line("shard threads", |sample| sample.shards_busy * 100.0),
                line("whole process", |sample| sample.process_busy * 100.0),
            ],
        ),
    ]
}

/// Three digits say what a shared machine can.
fn round(figure: f64) -> f64 {
    (figure * 1_000.0).round() / 1_000.0
}

/// What the figures warn of, in words.
pub(crate) fn warnings(figures: &Value) -> impl Iterator<Item = &str> {
    let all = figures["warnings"].as_array().into_iter().flatten();
    all.filter_map(Value::as_str)
}

/// A line per figure, warnings first; what else comes in lists is for the JSON and the page.
pub(crate) fn lines(figures: &Value) -> String {
    let mut text = String::new();
    for warning in warnings(figures) {
        text.push_str(&format!("WARNING: {warning}\n"));
    }
    for (name, value) in figures.as_object().into_iter().flatten() {
        if !value.is_array() {
            text.push_str(&format!("{name:<28} {value}\n"));
        }
    }
    text
}
