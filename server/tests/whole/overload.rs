//! A node without room: new rooms are refused by name, who waits keeps his place, who talks goes on and his room may grow.
//!
//! The budget is the number of legs in one test, and measured load in the other: the share of a core that a shard may use
//! is set so low that one call fills it, for load cannot be made at will.

use std::time::Duration;

use media_server::admission::PROMISE_NS;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::calls::{Desk, client};
use wire::call::CallStatus;
use wire::leg::LegGrant;
use wire::staff::{Staff, StaffSession};

use crate::binary::{Binary, Folder, ONE, now, until};
use crate::pair::{Pair, SALTS, attach};

/// Longest time until something that takes a second or two has happened.
const SOON: Duration = Duration::from_secs(15);
/// Longest time until a promise of ten seconds is over.
const PROMISE: Duration = Duration::from_secs(30);
/// Looks of the router in which nobody must be rung; the one that goes on when they are begun to be counted is no whole one.
const LOOKS: f64 = 3.0;
/// Legs of the node: one call, and no place for a second.
const LEGS: &str = "3";

/// A share of a core that takes one call and not two, whatever the machine: a promised room counts as a thousandth, a
/// shard that waits needs less than another one, and the packets of a call that speaks in [`FRAME_MS`] cost more than
/// 4.2 us each, waking up included, which is what is missing then.
const BUSY_MAX: &str = "0.0024";
/// Milliseconds of a frame of those who are the load: 333 packets a second of both, and less than what a leg may send.
const FRAME_MS: u32 = 6;
/// Packets of a voice after which its call's promise is over and the call is known by what it does alone.
const KNOWN: usize = (PROMISE_NS / 1_000_000) as usize / FRAME_MS as usize + 500;
/// Packets of each voice during which the node refuses others.
const MEANWHILE: usize = 500;

/// The right of a supervisor to listen to a call.
async fn listens(desk: &Desk, pair: &Pair) -> LegGrant {
    let body = json!({ "email": "boss@load.example", "staffName": "boss", "role": "supervisor" });
    let staff: Staff = desk.post("/api/support/staff", &body).await.expect("a supervisor");
    let path = format!("/api/support/staff/{}/sessions", staff.id);
    let session: StaffSession = desk.post(&path, &json!({})).await.expect("a session");
    let path = format!("/api/support/call/{}/supervise", pair.call);
    let request = desk.request(Method::POST, &path, &session.token);
    let reply = request.json(&json!({ "mode": "monitor" })).send().await;
    let reply = reply.expect("an answer");
    assert!(reply.status().is_success(), "{reply:?}");
    reply.json().await.expect("a grant")
}

/// Asks for what the node must refuse now, with a time to come again.
async fn is_refused(binary: &Binary, path: &str, body: Value) {
    let request = binary.desk().request(Method::POST, path, &binary.at.service_key);
    let reply = request.json(&body).send().await.expect("an answer");
    assert_eq!(reply.status(), 503, "{path}");
    let wait = reply.headers().get("retry-after").expect("when to come again").clone();
    let problem: Value = reply.json().await.expect("a problem");
    assert_eq!(problem["code"], "media_full", "{problem}");
    let wait: u64 = wait.to_str().expect("text").parse().expect("seconds");
    assert!(wait > 0, "{path}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_node_refuses_new_rooms_keeps_who_waits_and_goes_on_when_there_is_room() {
    let _turn = ONE.lock().await;
    let folder = Folder::new("overload");
    let settings = [("HELPLINE_MEDIA_SHARDS", "1"), ("HELPLINE_MEDIA_LEGS_PER_SHARD", LEGS)];
    let binary = Binary::start(&folder, &settings, &[]).await;
    let desk = binary.desk();
    let (first, second) = (desk.agent("over-1").await, desk.agent("over-2").await);
    let (first, second) = (first.expect("an agent"), second.expect("an agent"));
    // Two call before the first room is made; the agent gets who came first.
    let early = desk.start("early").await.expect("a call that waits");
    let pair = Pair::join(&desk, &first, "late", 1).await;
    assert_eq!(pair.call, early.call_id);
    pair.sound().await;

    // Nobody new comes in, neither with a call nor with a line test.
    let call = json!({ "userId": "third", "customerName": "", "customerEmail": "", "callType": "voice" });
    is_refused(&binary, "/api/support/call/start", call).await;
    is_refused(&binary, "/api/support/preflight", json!({})).await;
    assert_eq!(binary.ready().await.0, 503, "no new calls are to be sent here");
    until("the refusal is counted", SOON, async || {
        let metrics = binary.metrics().await;
        (metrics.sum("helpline_media_rooms_refused_total", "reason=\"legs\"") >= 1.0).then_some(())
    })
    .await;

    // Who waits keeps his place and is promised nothing, and nobody is rung for a room that is not there.
    desk.go_online(&second).await.expect("online");
    let looks = async || {
        binary
            .metrics()
            .await
            .sum("helpline_desk_turns_total", "loop=\"router\"")
    };
    let before = looks().await;
    until("the router looks", SOON, async || {
        (looks().await >= before + LOOKS).then_some(())
    })
    .await;
    assert!(desk.offers(&second).await.expect("his offers").is_empty());
    let waiting = desk.start("late").await.expect("his call is there").call_id;
    let view = desk.call(waiting).await.expect("his call");
    assert_eq!((view.status, view.position), (CallStatus::Queued, Some(1)));
    assert_eq!(view.estimated_wait_seconds, None, "an agent is free all the same");

    // Who talks goes on, and the room may grow beyond what was kept for it.
    let grant = listens(&desk, &pair).await;
    let mut listener = client(9).expect("a certificate");
    let answer = desk.attach(&grant.grant, listener.offer()).await.expect("attached");
    listener.answer(now(), &answer).expect("a usable answer");
    let before = pair.voices.each_ref().map(|voice| voice.heard());
    until("the voices go on", SOON, async || {
        let heard = pair.voices.each_ref().map(|voice| voice.heard());
        let more = heard.iter().zip(before).all(|(now, before)| *now > before + 25);
        more.then_some(())
    })
    .await;

    // There is room: his turn has come.
    desk.hang_up(pair.call).await.expect("hung up");
    pair.stop();
    let served = desk.answer(&second).await.expect("he is rung at once");
    assert_eq!(served.call, waiting);
    let pair = Pair {
        call: served.call,
        voices: [
            attach(&desk, &served.customer.grant, 4, SALTS[0]).await,
            attach(&desk, &served.agent.grant, 5, SALTS[1]).await,
        ],
    };
    pair.sound().await;
    pair.stop();
    binary.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twice_the_load_of_a_shard_is_refused_by_what_it_does_and_who_talks_loses_nothing() {
    let _turn = ONE.lock().await;
    let folder = Folder::new("busy");
    let settings = [("HELPLINE_MEDIA_SHARDS", "1"), ("HELPLINE_MEDIA_BUSY_MAX", BUSY_MAX)];
    let binary = Binary::start(&folder, &settings, &[]).await;
    let desk = binary.desk();
    let (first, second) = (desk.agent("busy-1").await, desk.agent("busy-2").await);
    let (first, second) = (first.expect("an agent"), second.expect("an agent"));
    // The start itself is load; the mean of five seconds forgets it.
    until("the start is forgotten", SOON, async || {
        (binary.ready().await.0 == 200).then_some(())
    })
    .await;
    let early = desk.start("early").await.expect("a call that waits");
    let pair = Pair::join(&desk, &first, "late", 1).await;
    assert_eq!(pair.call, early.call_id);
    pair.sound().await;

    for voice in &pair.voices {
        voice.frames_of(FRAME_MS);
    }
    // Until its promise is over the call counts as what was promised; from then on as what it does.
    until("the promise is over", PROMISE, async || {
        let known = pair.voices.iter().all(|voice| voice.log().heard.len() >= KNOWN);
        known.then_some(())
    })
    .await;

    // As much again does not come in, though there are places for thousands of legs.
    desk.go_online(&second).await.expect("online");
    is_refused(&binary, "/api/support/preflight", json!({})).await;
    let marks = pair.voices.each_ref().map(|voice| voice.log().heard.len());
    until("the voices go on", SOON, async || {
        let call = json!({ "userId": "third", "customerName": "", "customerEmail": "", "callType": "voice" });
        is_refused(&binary, "/api/support/call/start", call).await;
        assert!(desk.offers(&second).await.expect("his offers").is_empty());
        let heard = pair.voices.iter().map(|voice| voice.log().heard.len());
        let more = heard.zip(marks).all(|(now, before)| now >= before + MEANWHILE);
        more.then_some(())
    })
    .await;
    for (voice, from) in pair.voices.iter().zip(marks) {
        // What is lost on either side of us is a gap in what is heard.
        for two in voice.log().heard[from..].windows(2) {
            assert_eq!(
                two[0].sequence.wrapping_add(1),
                two[1].sequence,
                "who talks lost a packet"
            );
        }
    }
    let waiting = desk.start("late").await.expect("his call is there").call_id;
    let view = desk.call(waiting).await.expect("his call");
    assert_eq!((view.status, view.position), (CallStatus::Queued, Some(1)));
    until("the refusal is counted", SOON, async || {
        let metrics = binary.metrics().await;
        (metrics.sum("helpline_media_rooms_refused_total", "reason=\"busy\"") >= 1.0).then_some(())
    })
    .await;
    let metrics = binary.metrics().await;
    let by_legs = metrics.sum("helpline_media_rooms_refused_total", "reason=\"legs\"");
    assert!(by_legs < 1.0, "{by_legs} by the number of legs");

    // The load was this call's: when it is over, who waits is served.
    desk.hang_up(pair.call).await.expect("hung up");
    pair.stop();
    until("there is room", PROMISE, async || {
        (binary.ready().await.0 == 200).then_some(())
    })
    .await;
    // Being online and waiting are leases, which may have run out over all this.
    desk.go_online(&second).await.expect("online");
    let waiting = desk.start("late").await.expect("his call, or another one").call_id;
    let served = desk.answer(&second).await.expect("he is rung once the load is gone");
    assert_eq!(served.call, waiting);
    binary.stop().await;
}
