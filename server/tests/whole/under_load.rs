//! What an operator does to a node that is at work: while the load generator's calls speak through it, it is emptied and
//! serves again, its relay gets a new secret and a new certificate. No call may notice.
//!
//! What is done counts only while the generator's window is open: outside it nobody would miss a packet.

use std::path::Path;
use std::time::Duration;

use loadtest::{Moment, Watch};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use wire::node::DrainState;

use crate::binary::{Binary, Folder, ONE, until};
use crate::load::{is_recorded, number, run_watched};
use crate::turn_check::certificates::{Certificates, Kind};

/// Calls.
const PAIRS: u32 = 24;
/// Measured seconds: certificates are looked at every five, and a busy machine has to come to its turns.
const SECONDS: &str = "20";
/// Longest time until all calls are there and speak.
const MADE_LIMIT: Duration = Duration::from_secs(120);
/// Longest time until a new certificate counts, or a call that was hung up has no room any more: more than the window.
const DONE_LIMIT: Duration = Duration::from_secs(30);
/// Between two things that are done to the node.
const PACE: Duration = Duration::from_millis(250);
const DRAIN: &str = "/api/support/node/drain";
const ROTATE: &str = "/api/support/relay/rotate";
/// What is logged when a new certificate counts.
const READ: &str = "new connections get the certificate that was just read";

/// A run of the generator, from the moment on in which its packets count.
struct AtWork {
    running: JoinHandle<Value>,
    moment: watch::Receiver<Option<Moment>>,
}

impl AtWork {
    /// Whether packets count that leave now.
    fn counts(&self) -> bool {
        *self.moment.borrow() == Some(Moment::Begun)
    }

    /// Its figures.
    async fn figures(self) -> Value {
        self.running.await.expect("figures")
    }
}

async fn at_work(binary: &Binary, folder: &Folder, more: &[&str]) -> AtWork {
    let server = folder.file("demo.json");
    let pairs = PAIRS.to_string();
    let words = [&["--pairs", &pairs, "--seconds", SECONDS], more].concat();
    let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    let (told, mut moment) = watch::channel(None);
    let watch = Watch::telling(move |moment| {
        told.send_replace(Some(moment));
    });
    let running = tokio::spawn(async move {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        run_watched(Path::new(&server), &words, watch).await
    });
    let begun = tokio::time::timeout(MADE_LIMIT, moment.wait_for(|moment| *moment == Some(Moment::Begun)));
    // A run that fails ends the channel; its words are in its own panic.
    let begun = begun.await.expect("calls are made in time").map(|_| ());
    let work = AtWork { running, moment };
    if begun.is_err() {
        panic!("no window began: {}", work.figures().await);
    }
    // The gauge is a second old.
    until("all rooms are told", DONE_LIMIT, async || {
        (rooms(binary).await == PAIRS).then_some(())
    })
    .await;
    work
}

async fn rooms(binary: &Binary) -> u32 {
    binary.metrics().await.known("helpline_live_rooms") as u32
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
    let work = at_work(&binary, &folder, &[]).await;
    let (mut turns, mut done) = (interval(PACE), 0);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while work.counts() {
        turns.tick().await;
        // The call of the turn before is gone, those of the generator are all there.
        until("only the generator's calls are there", DONE_LIMIT, async || {
            (rooms(&binary).await == PAIRS || !work.counts()).then_some(())
        })
        .await;
        let body = json!({ "seconds": 600, "reason": "an update" });
        let state: DrainState = desk.post(DRAIN, &body).await.expect("emptied");
        assert!(state.draining, "{state:?}");
        let refused = desk.start("drain-load").await.expect_err("no new calls");
        assert_eq!(refused.code(), Some("draining"), "{refused}");
        let speaking = rooms(&binary).await == PAIRS;
        let undone = desk.request(Method::DELETE, DRAIN, &binary.at.service_key).send();
        let undone: DrainState = undone.await.expect("an answer").json().await.expect("its state");
        assert!(!undone.draining, "{undone:?}");
        let call = desk.start("drain-load").await.expect("calls are taken again").call_id;
        done += u32::from(speaking && work.counts());
        desk.hang_up(call).await.expect("hung up");
    }
    is_whole(&work.figures().await);
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
    let work = at_work(&binary, &folder, &["--relay", "mixed"]).await;
    let seen = binary.log().matches(READ).count();
    certificates.files(Kind::Good, &folder);
    let _: Value = desk
        .post(ROTATE, &json!({ "reason": "it may be known" }))
        .await
        .expect("a new secret");
    // Only after this one has no credential of the first secret any right, and calls of now have such.
    let again = desk.post::<Value>(ROTATE, &json!({})).await.expect_err("not twice");
    assert_eq!(again.code(), Some("too_soon"), "{again}");
    assert!(
        work.counts(),
        "the secret was exchanged when no packet counted any more"
    );
    until("the new certificate is read", DONE_LIMIT, async || {
        (binary.log().matches(READ).count() > seen).then_some(())
    })
    .await;
    assert!(
        work.counts(),
        "the certificate was exchanged when no packet counted any more"
    );
    is_whole(&work.figures().await);
    binary.stop().await;
}
