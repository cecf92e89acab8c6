//! Emptying a node under load: by signal and over the API, with progress, undone, and with what the deadline cuts.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use wire::call::CallStatus;
use wire::node::DrainState;

use crate::binary::{Binary, Folder, ONE, now, until};
use crate::pair::{Pair, lane, run, stored};

/// Longest time until something that takes a second or two has happened.
const SOON: Duration = Duration::from_secs(15);
/// Seconds of the emptying that nobody waits for.
const LONG: &str = "120";
const PATH: &str = "/api/support/node/drain";

/// Waits until both have heard more than they have now.
async fn goes_on(pair: &Pair) {
    let before = pair.voices.each_ref().map(|voice| voice.heard());
    until("the voices go on", SOON, async || {
        let heard = pair.voices.each_ref().map(|voice| voice.heard());
        heard
            .iter()
            .zip(before)
            .all(|(now, before)| *now > before + 25)
            .then_some(())
    })
    .await;
}

async fn not_ready(binary: &Binary) {
    until("the node is emptied", SOON, async || {
        let (status, health) = binary.ready().await;
        (status == 503 && health["draining"] == json!(true)).then_some(())
    })
    .await;
}

async fn ready(binary: &Binary) {
    until("the node serves", SOON, async || {
        (binary.ready().await.0 == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_calls_go_on_new_ones_wait_and_the_process_ends_with_the_last() {
    let _turn = ONE.lock().await;
    let folder = Folder::new("drain");
    let binary = Binary::start(&folder, &[("HELPLINE_DRAIN_TIMEOUT_SECONDS", LONG)], &[]).await;
    let desk = binary.desk();
    let agent = desk.agent("drain-1").await.expect("an agent");
    let pair = Pair::join(&desk, &agent, "customer-1", 1).await;
    pair.sound().await;
    let waiting = desk.start("customer-2").await.expect("a call that waits");

    binary.signal(Signal::TERM);
    not_ready(&binary).await;
    let refused = desk.start("customer-3").await.expect_err("no new calls");
    assert_eq!(refused.code(), Some("draining"), "{refused}");
    let state: DrainState = desk.get(PATH).await.expect("its progress");
    assert_eq!((state.draining, state.calls, state.waiting), (true, 2, 1), "{state:?}");
    assert!(state.closes_in_seconds.is_some_and(|left| left <= 120), "{state:?}");
    goes_on(&pair).await;

    // Undone over the API: the server stays and serves.
    let undone = desk
        .request(reqwest::Method::DELETE, PATH, &binary.at.service_key)
        .send();
    let undone: DrainState = undone.await.expect("an answer").json().await.expect("its state");
    assert!(!undone.draining && undone.closes_in_seconds.is_none(), "{undone:?}");
    ready(&binary).await;
    desk.start("customer-3").await.expect("calls are taken again");

    // Emptied by the API, and whoever waited is still served.
    let body = json!({ "seconds": 100, "reason": "an update" });
    let state: DrainState = desk.post(PATH, &body).await.expect("emptied");
    assert_eq!((state.draining, state.calls, state.waiting), (true, 3, 2), "{state:?}");
    let other = desk.agent("drain-2").await.expect("an agent");
    desk.go_online(&other).await.expect("online");
    let served = desk.answer(&other).await.expect("who waited is served");
    assert_eq!(served.call, waiting.call_id);

    binary.signal(Signal::TERM);
    goes_on(&pair).await;
    for call in [pair.call, served.call] {
        desk.hang_up(call).await.expect("hung up");
    }
    let third = desk.start("customer-3").await.expect("his call is there").call_id;
    desk.hang_up(third).await.expect("he gives up");
    pair.stop();
    binary.ended(SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_cut_before_the_deadline_and_what_is_cut_is_whole() {
    let _turn = ONE.lock().await;
    let folder = Folder::new("deadline");
    let binary = Binary::start(&folder, &[], &[]).await;
    let desk = binary.desk();
    let agent = desk.agent("deadline").await.expect("an agent");
    let pair = Pair::join(&desk, &agent, "customer", 1).await;
    pair.sound().await;
    let begun = now();
    let limit = Duration::from_secs(4);
    let _: DrainState = desk
        .post(PATH, &json!({ "seconds": limit.as_secs() }))
        .await
        .expect("emptied");
    let call = pair.call;
    let view = until("the call is ended", SOON, async || {
        let view = desk.call(call).await.expect("the call");
        (view.status != CallStatus::Answered).then_some(view)
    })
    .await;
    assert!(now() - begun >= limit, "cut after {:?}", now() - begun);
    assert_eq!(
        (view.status, view.end_reason.as_deref()),
        (CallStatus::Completed, Some("drain"))
    );
    let logs = pair.stop();
    for log in &logs {
        let last = log.heard.last().expect("it heard something").at;
        assert!(
            last >= begun + limit - Duration::from_millis(500),
            "silent before the deadline"
        );
    }
    let recording = stored(&desk, call).await;
    let master = desk.audio(recording.recording_id).await.expect("the master");
    for (side, log) in logs.iter().enumerate() {
        run(&lane(&master, side, log));
    }
    // The node is empty and stays: somebody may still change his mind.
    let state: DrainState = desk.get(PATH).await.expect("its progress");
    assert_eq!(
        (state.calls, state.rooms, state.closes_in_seconds),
        (0, 0, Some(0)),
        "{state:?}"
    );
    binary.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_empty_the_node_serve_again_and_end_at_once() {
    let _turn = ONE.lock().await;
    let folder = Folder::new("signals");
    let binary = Binary::start(&folder, &[("HELPLINE_DRAIN_TIMEOUT_SECONDS", LONG)], &[]).await;
    let desk = binary.desk();
    binary.signal(Signal::USR1);
    not_ready(&binary).await;
    binary.signal(Signal::USR2);
    ready(&binary).await;
    desk.start("customer").await.expect("a call that waits");
    binary.signal(Signal::TERM);
    not_ready(&binary).await;
    binary.signal(Signal::USR2);
    ready(&binary).await;
    // It says so at its next look, which is the one that would have ended it, and looks no more.
    until("the process has looked", SOON, async || {
        binary.log().contains("the emptying was undone").then_some(())
    })
    .await;
    ready(&binary).await;
    binary.signal(Signal::TERM);
    not_ready(&binary).await;
    binary.signal(Signal::TERM);
    binary.ended(SOON).await;
}
