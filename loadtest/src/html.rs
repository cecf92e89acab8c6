//! The report as one page that needs nothing else: no script, no file, no network.

use std::fmt::Write;

use serde_json::Value;

use crate::chart::escaped;
use crate::report::{self, Report};

const STYLE: &str = include_str!("report.css");
/// Figures that explain themselves badly, in words.
const WORDS: &[(&str, &str)] = &[
    (
        "duplicates",
        "packets that a leg got more than once; none of them counts as delivered",
    ),
    (
        "cpu_us_per_packet",
        "time of the shard threads per delivered packet, user and system",
    ),
    ("user_us_per_packet", "of that, in user mode"),
    (
        "process_cpu_us_per_packet",
        "time of all threads of the server per delivered packet",
    ),
    (
        "floor_us_per_packet",
        "what a bare reflector without cryptography costs under the same legs, in the same run",
    ),
    (
        "ratio_to_floor",
        "cpu_us_per_packet divided by floor_us_per_packet: the figure to compare between machines",
    ),
    (
        "ratio_to_gathering_floor",
        "the same by a reflector that lets datagrams gather for as long as the shard did, so that both pay for the same wake-ups",
    ),
    (
        "added_latency_us",
        "time under way less that through the floor; below zero, the run was noisier than the server is slow",
    ),
    (
        "latency_us",
        "time under way: from the call that sent a packet to the kernel's stamp on its arrival",
    ),
    (
        "latency_read_us",
        "the same until the generator has read it, with what lay unread in its own sockets",
    ),
    (
        "generator",
        "what the generator itself did: if it was busy above 0.7, late or losing, the run is about it and not the server",
    ),
    (
        "calls_remade",
        "calls that failed while they were made, or in which somebody heard nobody, and were made again",
    ),
    (
        "gap_us",
        "what a listener notices beyond the speaker's own pauses; sure_max leaves out what may be the generator's late reading",
    ),
    (
        "recorded_ratio",
        "packets of the measured time that are in the recordings byte for byte, in their own channel",
    ),
    (
        "generator_late_us",
        "how late the generator itself sent: large values say that this machine was too busy to measure",
    ),
    ("join_to_sound_us", "from the offer to the first packet of sound"),
    (
        "rss_per_leg_bytes",
        "growth of the process since before the first leg, less the recorder's buffers, by leg",
    ),
    (
        "carried",
        "the shard was at most busy_max busy and delivered at least delivered_min",
    ),
];

/// The whole page.
pub(crate) fn page(report: &Report) -> String {
    let mut body = String::new();
    let title = escaped(report.title);
    // Writing to a string does not fail.
    let _ = write!(
        body,
        "<header><h1>{title}</h1><p>{}</p></header>\n<main>\n",
        summary(&report.figures)
    );
    for warning in report::warnings(&report.figures) {
        let _ = writeln!(body, "<p class=\"warning\">{}</p>", escaped(warning));
    }
    body.push_str("<section class=\"charts\">\n");
    for chart in report.charts.iter().filter(|chart| !chart.is_empty()) {
        body.push_str(&chart.figure());
    }
    body.push_str("</section>\n<section><h2>Figures</h2>\n<table class=\"figures\">\n");
    for (name, value) in report.figures.as_object().into_iter().flatten() {
        if !value.is_array() {
            let words = WORDS
                .iter()
                .find(|(one, _)| one == name)
                .map_or("", |(_, words)| *words);
            let _ = writeln!(
                body,
                "<tr><th>{}<small>{}</small></th><td>{}</td></tr>",
                escaped(name),
                escaped(words),
                shown(value)
            );
        }
    }
    body.push_str("</table></section>\n");
    if let Some(steps) = report.figures["steps"].as_array().filter(|steps| steps.len() > 1) {
        body.push_str(&steps_table(steps));
    }
    let json = escaped(&format!("{:#}", report.figures));
    let _ = write!(
        body,
        "<section><details><summary>Everything, as JSON</summary><pre>{json}</pre></details></section>\n</main>\n"
    );
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>Helpline load test: {title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
}

/// The run in one sentence.
fn summary(figures: &Value) -> String {
    let mut parts = Vec::new();
    let mut part = |name: &str, words: &str| {
        if let Some(value) = figures.get(name).filter(|value| !value.is_null()) {
            parts.push(words.replace("{}", &shown(value)));
        }
    };
    part("pairs", "{} calls");
    part("hours", "{} h");
    part("joins_per_second", "{} joins/s");
    part("best_packets_per_second", "{} packets/s carried");
    part("delivered_ratio", "{} delivered");
    part("recorded_ratio", "{} recorded as sent");
    part("ratio_to_floor", "{} times the floor");
    part("ratio_to_gathering_floor", "{} times one that gathers as well");
    parts.join(" · ")
}

/// A value for a cell.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::Bool(yes) => (if *yes { "yes" } else { "no" }).to_owned(),
        Value::String(text) => escaped(text),
        Value::Number(number) => number_text(number),
        Value::Array(all) => format!("{} entries", all.len()),
        Value::Object(fields) => {
            let rows = fields.iter().map(|(name, value)| {
                let (name, value) = (escaped(name), shown(value));
                format!("<span class=\"pair\"><i>{name}</i> {value}</span>")
            });
            rows.collect::<Vec<_>>().join(" ")
        }
    }
}

fn number_text(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(value) if !number.is_i64() && !number.is_u64() => {
            let text = format!("{value:.6}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        Some(_) | None => number.to_string(),
    }
}

/// One column per figure that is a plain value.
fn steps_table(steps: &[Value]) -> String {
    let names: Vec<&String> = steps[0]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_object())
        .map(|(name, _)| name)
        .collect();
    let mut table = String::from("<section><h2>Steps</h2><div class=\"wide\"><table class=\"steps\">\n<tr>");
    for name in &names {
        let _ = write!(table, "<th>{}</th>", escaped(&name.replace('_', " ")));
    }
    table.push_str("</tr>\n");
    for step in steps {
        table.push_str("<tr>");
        for name in &names {
            let _ = write!(table, "<td>{}</td>", shown(&step[name.as_str()]));
        }
        table.push_str("</tr>\n");
    }
    table.push_str("</table></div></section>\n");
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::chart::{Chart, Series};

    #[test]
    fn the_page_is_whole_and_fetches_nothing() {
        let report = Report {
            title: "Calls",
            figures: json!({
                "pairs": 4,
                "delivered_ratio": 0.9999,
                "first_failure": "a <b> fault",
                "calls_remade": 3,
                "latency_us": { "p50": 100, "p99": 900 },
                "steps": [{ "pairs": 2, "cpu": 1.5 }, { "pairs": 4, "cpu": 1.25 }],
            }),
            charts: vec![
                Chart::new("Memory", "s", "MiB", vec![Series::new("resident", vec![(1.0, 2.0)])]),
                Chart::new("Nothing", "s", "MiB", Vec::new()),
            ],
        }
        .warned();
        let page = page(&report);
        assert!(page.contains("a &lt;b&gt; fault"));
        assert!(page.contains("<td>1.25</td>"), "the steps have a table");
        assert!(
            page.contains("<p class=\"warning\">calls_remade 3: "),
            "what is doubtful stands above"
        );
        assert!(report::lines(&report.figures).starts_with("WARNING: calls_remade 3: "));
        assert!(page.contains("Memory") && !page.contains("Nothing"));
        for foreign in ["http:", "https:", "<script", "src=", "url(", "@import"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }
}
