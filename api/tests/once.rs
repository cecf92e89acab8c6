//! A request that carries an idempotency key has one effect, however often it arrives; and how often staff may ask.

#![cfg(test)]

mod common;

use axum::http::StatusCode;
use common::{Ask, Server, body, jwt};
use desk::IDEMPOTENCY_KEY_CHARS_MAX;
use futures_util::future::join_all;
use serde_json::{Value, json};

const START: &str = "/api/support/call/start";
const STAFF: &str = "/api/support/staff";

fn person(email: &str) -> Value {
    json!({ "email": email, "staffName": "Ann", "role": "agent", "password": "a long enough one" })
}

fn key<'a>(ask: Ask<'a>, key: &str) -> Ask<'a> {
    ask.header("idempotency-key", key)
}

async fn count(server: &mut Server, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&mut server.world.eye).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_repeated_after_the_calls_end_makes_no_second_call() {
    let mut server = server!(false);
    let start = |name: &str, user: &str| key(server.serve("POST", START).json(&body(user)), name);
    let first = start("k1", "u1").send().await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    let call = first.json()["callId"].clone();
    let hang_up = format!("/api/support/call/{}/hangup", call.as_str().unwrap());
    assert_eq!(server.serve("POST", hang_up).send().await.status, StatusCode::OK);

    let again = start("k1", "u1").send().await;
    assert_eq!((again.status, &again.json()["callId"]), (StatusCode::CREATED, &call));
    assert_eq!(again.json()["status"], "abandoned", "as it stands now");
    assert_ne!(again.json()["token"], first.json()["token"], "no ticket is kept");
    assert_eq!(start("k1", "u2").send().await.code(), "idempotency_mismatch");

    // Another key and another caller are another request.
    let other = start("k2", "u1").send().await;
    assert_ne!(other.json()["callId"], call);
    let own = server.ask("POST", START).bearer(&jwt("u3", |_| {})).json(&body("u3"));
    assert_eq!(key(own, "k1").send().await.status, StatusCode::CREATED);
    // One that found a live call says so again.
    for _ in 0..2 {
        let found = start("k3", "u1").send().await;
        assert_eq!(
            (found.status, &found.json()["callId"]),
            (StatusCode::OK, &other.json()["callId"])
        );
    }

    // After a day the key is free again.
    server
        .world
        .run("update helpline.idempotency_keys set created_at = created_at - interval '24 hours'")
        .await;
    let start = key(server.serve("POST", START).json(&body("u2")), "k1").send().await;
    assert_eq!(start.status, StatusCode::CREATED);
    assert_eq!(count(&mut server, "select count(*) from public.voice_calls").await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_the_same_moment_one_adds_the_person_and_all_hear_of_him() {
    let mut server = server!(false);
    let ask = || key(server.serve("POST", STAFF).json(&person("ann@x.test")), "same").send();
    let replies = join_all((0..8).map(|_| ask())).await;
    let ids: Vec<Value> = replies.iter().map(|reply| reply.json()["id"].clone()).collect();
    for (reply, id) in replies.iter().zip(&ids) {
        assert_eq!(reply.status, StatusCode::CREATED, "{reply:?}");
        assert_eq!(*id, ids[0]);
    }
    let mut other = person("ann@x.test");
    other["password"] = json!("another long one");
    let reply = key(server.serve("POST", STAFF).json(&other), "same").send().await;
    assert_eq!(
        reply.code(),
        "idempotency_mismatch",
        "another password is another request"
    );
    other["staffName"] = json!("Anna");
    let reply = key(server.serve("POST", STAFF).json(&other), "same").send().await;
    assert_eq!(reply.code(), "idempotency_mismatch");
    let reply = server.serve("POST", STAFF).json(&person("ann@x.test")).send().await;
    assert_eq!(reply.code(), "validation", "without a key the address is taken");
    assert_eq!(count(&mut server, "select count(*) from helpline.staff").await, 1);
    let kept: String = sqlx::query_scalar("select response::text from helpline.idempotency_keys")
        .fetch_one(&mut server.world.eye)
        .await
        .unwrap();
    assert_eq!(
        kept,
        json!({ "staffId": ids[0] }).to_string().replace(':', ": "),
        "nothing but the row"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_leaves_its_key_free() {
    let server = server!(false);
    let ask = |body: &Value| key(server.serve("POST", START).json(body), "k").send();
    assert_eq!(
        ask(&json!({ "userId": "u1", "queue": "nowhere" })).await.code(),
        "validation"
    );
    server.world.media.load.lock().unwrap().draining = true;
    assert_eq!(ask(&body("u1")).await.code(), "draining");
    server.world.media.load.lock().unwrap().draining = false;
    assert_eq!(ask(&body("u1")).await.status, StatusCode::CREATED);
    // What is there already is told by a node that takes no new calls, too.
    server.world.media.load.lock().unwrap().draining = true;
    assert_eq!(ask(&body("u1")).await.status, StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_asked_for_twice_is_one_session() {
    let mut server = server!(false);
    server.staff("ann").await;
    let id = server.serve("GET", STAFF).send().await.json()["staff"][0]["id"].clone();
    let path = format!("{STAFF}/{}/sessions", id.as_str().unwrap());
    let before = "select count(*) from helpline.staff_sessions where revoked_at is null";
    let sessions = count(&mut server, before).await;
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let reply = key(server.serve("POST", &path), "k").send().await;
        assert_eq!(reply.status, StatusCode::CREATED, "{reply:?}");
        tokens.push(reply.json()["token"].as_str().unwrap().to_owned());
    }
    let me = |token: &str| server.ask("GET", "/api/support/staff/me").bearer(token).send();
    assert_eq!(me(&tokens[0]).await.code(), "unauthenticated", "its reply was lost");
    assert_eq!(me(&tokens[1]).await.status, StatusCode::OK);
    let nobody = format!("{STAFF}/{}/sessions", uuid::Uuid::nil());
    assert_eq!(
        key(server.serve("POST", &nobody), "k").send().await.code(),
        "idempotency_mismatch"
    );
    assert_eq!(
        key(server.serve("POST", &nobody), "other").send().await.code(),
        "not_found"
    );
    assert_eq!(count(&mut server, before).await, sessions + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_bounds() {
    let server = server!(false);
    let ask = |text: String| key(server.serve("POST", START).json(&body("u1")), &text).send();
    assert!(ask("k".repeat(IDEMPOTENCY_KEY_CHARS_MAX)).await.status.is_success());
    for wrong in [
        "k".repeat(IDEMPOTENCY_KEY_CHARS_MAX + 1),
        String::new(),
        "a b".to_owned(),
    ] {
        let reply = ask(wrong).await;
        assert_eq!(reply.code(), "validation");
        assert_eq!(reply.json()["errors"][0]["field"], "Idempotency-Key");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_staff_may_ask_600_times_a_minute_and_others_are_not_held_up() {
    let server = server!(false);
    let (ann, bea) = (server.staff("ann").await, server.staff("bea").await);
    let me = |token: &str| server.ask("GET", "/api/support/staff/me").bearer(token).send();
    let began = tokio::time::Instant::now();
    let mut passed = 0;
    let refused = loop {
        let reply = me(&ann).await;
        if reply.status != StatusCode::OK {
            break reply;
        }
        passed += 1;
        assert!(passed <= 3 * api::STAFF_REQUESTS_PER_MINUTE, "no limit at all");
    };
    // One is given back every tenth of a second; the exact bound is shown by a clock in the hand beside `limits`.
    let back = u32::try_from(began.elapsed().as_millis() / 100).unwrap();
    let most = api::STAFF_REQUESTS_PER_MINUTE + back + 1;
    assert!(
        (api::STAFF_REQUESTS_PER_MINUTE..=most).contains(&passed),
        "{passed} of {most}"
    );
    assert_eq!(refused.code(), "rate_limited");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(me(&bea).await.status, StatusCode::OK);
}
