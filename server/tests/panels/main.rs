//! Every panel of the dashboard and every alert, asked of a real Prometheus that scrapes the real binary while people
//! call; and the log of those calls.
//!
//! Grafana itself is not started: a panel is its queries. Without `prometheus` the test is a printed skip, or a failure
//! under `HELPLINE_TEST_REQUIRE=all`.

#![cfg(test)]

#[path = "../whole/binary.rs"]
mod binary;
mod calls;
mod exposition;
mod process;
mod prometheus;
mod questions;

use std::path::{Path, PathBuf};
use std::time::Duration;

use binary::{Binary, Folder, now};
use exposition::Exposition;
use prometheus::Prometheus;
use questions::Question;

/// How long a question may stay without an answer: scrapes are a second apart, the desk reads its gauges every five.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Series that nothing shows, and why they are exported all the same.
const UNSHOWN: &[(&str, &str)] = &[];

/// On loopback alone, with a log that a program reads, at the level that it has by itself.
const SETTINGS: &[(&str, &str)] = &[
    ("HELPLINE_MEDIA_BIND", "127.0.0.1"),
    ("HELPLINE_MEDIA_ADVERTISE", "127.0.0.1"),
    ("HELPLINE_STUN_BIND", "127.0.0.1"),
    ("HELPLINE_LOG_JSON", "true"),
];

/// Questions whose answer has series and no number after these calls, and why.
const WITHOUT_NUMBER: &[(&str, &str)] = &[
    (
        "helpline_rtp_round_trip_seconds_bucket",
        "the scripted clients send no reports, and the round trip comes from them",
    ),
    (
        "helpline_turn_ring_delay_seconds_bucket",
        "the scripted clients reach media straight, and nothing passes the relay's rings",
    ),
    (
        "helpline_client_leg_mos_bucket",
        "the scripted clients have no statistics of their own to report",
    ),
];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_panel_and_every_alert_finds_its_series_after_three_calls() {
    if !prometheus::is_here() {
        return;
    }
    let folder = Folder::new("panels");
    let server = Binary::start(&folder, SETTINGS, &[]).await;
    let prometheus = Prometheus::start(&folder, server.at.metrics).await;
    let desk = server.desk();
    calls::three(&desk, &server).await;

    let exposition = Exposition::read(server.metrics().await.text());
    exposition.holds_what_the_calls_were();
    prometheus::check_metrics(exposition.text());
    let mut questions = questions::of_dashboard(&deploy().join("grafana/dashboards/helpline.json"));
    questions.extend(questions::of_rules(&deploy().join("prometheus/rules.yml")));
    assert!(
        questions.len() > 80,
        "{} questions: were the files read?",
        questions.len()
    );
    names_meet(&questions, &exposition);

    let mut unanswered = Vec::new();
    let end = now() + ANSWER_LIMIT;
    for question in &questions {
        let numbers_may_miss = WITHOUT_NUMBER.iter().any(|(name, _)| question.expr.contains(name));
        if let Err(words) = prometheus.answers(question, numbers_may_miss, end).await {
            unanswered.push(words);
        }
    }
    assert!(unanswered.is_empty(), "{}", unanswered.join("\n"));
    for (name, why) in WITHOUT_NUMBER {
        let asks = |question: &Question| question.expr.contains(name);
        assert!(questions.iter().any(asks), "{name} is asked by nobody ({why})");
    }
    drop(prometheus);
    server.stop().await;
    calls::the_log_is_quiet(&folder.logged());
}

/// Every name in a question is exported, and every exported name is in a question or in the list.
fn names_meet(questions: &[Question], exposition: &Exposition) {
    let mut asked = std::collections::BTreeSet::new();
    for question in questions {
        for name in question.names() {
            let family = exposition.family(name);
            let family = family.unwrap_or_else(|| panic!("{}: {name} is not exported", question.of));
            asked.insert(family);
        }
    }
    for family in exposition.families().filter(|name| name.starts_with("helpline_")) {
        let listed = UNSHOWN.iter().any(|(name, _)| *name == family);
        assert_ne!(
            asked.contains(family),
            listed,
            "{family}: either a panel or a rule asks for it, or the list says why none does"
        );
    }
    for (name, why) in UNSHOWN {
        assert!(
            exposition.families().any(|family| family == *name),
            "{name} ({why}) is not exported any more"
        );
    }
}
