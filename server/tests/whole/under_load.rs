//! What an operator does to a node that is at work: while the load generator's calls speak through it, it is emptied and
//! serves again, its relay gets a new secret and a new certificate. No call may notice.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use wire::node::DrainState;

use crate::binary::{Binary, Folder, ONE, until};
use crate::load::{is_recorded, number, run};
use crate::turn_check::certificates::{Certificates, Kind};

/// Calls; more than the generator warms up with, so that it can be seen when all of them are there.
const PAIRS: u32 = 24;
/// Measured seconds.
const SECONDS: &str = "6";
/// Longest time until all calls are there.
const MADE_LIMIT: Duration = Duration::from_secs(120);
/// Between two things that are done to the node.
const PACE: Duration = Duration::from_millis(250);
const DRAIN: &str = "/api/support/node/drain";
const ROTATE: &str = "/api/support/relay/rotate";
/// What is logged when a new certificate counts.
const READ: &str = "new connections get the certificate that was just read";

/// The generator's run, once all its calls are there.
async fn at_work(binary: &Binary, folder: &Folder, more: &[&str]) -> JoinHandle<Value> {
    let server = folder.file("demo.json");
    let pairs = PAIRS.to_string();
    let words = [&["--pairs", &pairs, "--seconds", SECONDS], more].concat();
    let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    let running = tokio::spawn(async move {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        run(Path::new(&server), &words).await
    });
    until("all calls are there", MADE_LIMIT, async || {
        let rooms = binary.metrics().await.known("helpline_live_rooms");
        (rooms as u32 == PAIRS).then_some(())
    })
    .await;
    running
}

fn is_whole(figures: &Value) {
    assert_eq!(number(figures, "pairs") as u32, PAIRS, "{figures}");
    assert_eq!(number(figures, "delivered_ratio"), 1.0, "{figures}");
    assert_eq!(number(figures, "duplicates"), 0.0, "{figures}");
    assert_eq!(number(figures, "calls_remade"), 0.0, "{figures}");
    assert_eq!(number(figures, "generator.legs_fallen"), 0.0, "{figures}");
    is_recorded(figures, f64::from(PAIRS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_emptied_and_serves_again_costs_no_call_a_packet() {
    let _turn = ONE.lock().await;
    let folder = Folder::new("drain-load");
    let binary = Binary::start(&folder, &[("HELPLINE_MEDIA_SHARDS", "1")], &[]).await;
    let desk = binary.desk();
    let running = at_work(&binary, &folder, &[]).await;
    let (mut turns, mut done) = (interval(PACE), 0);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !running.is_finished() {
        turns.tick().await;
        let body = json!({ "seconds": 600, "reason": "an update" });
        let state: DrainState = desk.post(DRAIN, &body).await.expect("emptied");
        assert!(state.draining, "{state:?}");
        let refused = desk.start("drain-load").await.expect_err("no new calls");
        assert_eq!(refused.code(), Some("draining"), "{refused}");
        let undone = desk.request(Method::DELETE, DRAIN, &binary.at.service_key).send();
        let undone: DrainState = undone.await.expect("an answer").json().await.expect("its state");
        assert!(!undone.draining, "{undone:?}");
        let call = desk.start("drain-load").await.expect("calls are taken again").call_id;
        desk.hang_up(call).await.expect("hung up");
        done += 1;
    }
    is_whole(&running.await.expect("figures"));
    assert!(done >= 4, "emptied {done} times only in {SECONDS} s");
    binary.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_secret_and_new_certificates_cost_no_relayed_call_a_packet() {
    let _turn = ONE.lock().await;
    let folder = Folder::new("rotate-load");
    let certificates = Certificates::make(&folder);
    let files = certificates.files(Kind::Good, &folder);
    let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let (certificate, key) = (path(&files.certificate), path(&files.key));
    let settings = [
        ("HELPLINE_MEDIA_SHARDS", "1"),
        ("HELPLINE_TURN_PUBLIC_HOST", "localhost"),
        ("HELPLINE_TURN_TLS_CERTIFICATE", certificate.as_str()),
        ("HELPLINE_TURN_TLS_KEY", key.as_str()),
    ];
    let binary = Binary::start(&folder, &settings, &[]).await;
    let desk = binary.desk();
    let running = at_work(&binary, &folder, &["--relay", "mixed"]).await;
    let _: Value = desk
        .post(ROTATE, &json!({ "reason": "it may be known" }))
        .await
        .expect("a new secret");
    // Only after this one has no credential of the first secret any right, and calls of now have such.
    let again = desk.post::<Value>(ROTATE, &json!({})).await.expect_err("not twice");
    assert_eq!(again.code(), Some("too_soon"), "{again}");
    let (mut turns, mut done) = (interval(PACE * 4), 0);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !running.is_finished() {
        turns.tick().await;
        certificates.files(Kind::Good, &folder);
        done += 1;
    }
    is_whole(&running.await.expect("figures"));
    assert!(done >= 2, "{done} certificates only in {SECONDS} s");
    assert!(binary.log().contains(READ), "no certificate was read again");
    binary.stop().await;
}
