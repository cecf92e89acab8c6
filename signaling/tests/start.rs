//! A call asked for over the socket: what the request over HTTP replies, by the same rules and within the same limits.

#![cfg(test)]

mod common;

use common::world::{customer, jwt, start};
use common::{Line, Server};
use desk::limits::STARTS_PER_MINUTE;
use serde_json::{Value, json};
use wire::staff::StaffRole;

/// Starts a server, or ends the test on a machine without PostgreSQL.
macro_rules! server {
    () => {
        match Server::start().await {
            Some(server) => server,
            None => return,
        }
    };
}

/// The page of a customer who has a token and no call yet.
async fn page(server: &Server, user: &str) -> Line {
    let mut line = server.hello(json!({ "token": jwt(user, |_| {}) })).await;
    let welcome = line.expect("welcome").await;
    assert_eq!(welcome["data"]["snapshot"]["call"], Value::Null, "{welcome}");
    line
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_begins_over_the_socket_and_reaches_an_agent() {
    let server = server!();
    let mut agent = server.agent("ann").await;
    let mut line = page(&server, "u1").await;
    let wanted = json!({ "userId": "u1", "customerName": "John Doe", "callType": "voice" });
    let begun = line.ask("call.start", wanted.clone()).await;
    assert_eq!(begun["type"], "call.started", "{begun}");
    assert_eq!(begun["data"]["created"], true);
    assert_eq!(
        (&begun["data"]["status"], &begun["data"]["position"]),
        (&json!("queued"), &json!(1))
    );
    for key in ["callId", "token", "signalingUrl", "iceServers", "serverTime"] {
        assert!(!begun["data"][key].is_null(), "{key} of {begun}");
    }
    let offer = agent.expect("call.offered").await;
    assert_eq!(offer["data"]["callId"], begun["data"]["callId"]);
    assert_eq!(offer["data"]["customerName"], "John Doe");

    // Asked again it is the same call, with a ticket of its own; both open a socket.
    let again = line.ask("call.start", wanted).await;
    assert_eq!(
        (&again["data"]["created"], &again["data"]["callId"]),
        (&json!(false), &begun["data"]["callId"])
    );
    assert_ne!(again["data"]["token"], begun["data"]["token"]);
    for reply in [begun, again] {
        let mut other = server.hello(json!({ "token": reply["data"]["token"] })).await;
        let welcome = other.expect("welcome").await;
        assert_eq!(welcome["data"]["snapshot"]["call"]["callId"], reply["data"]["callId"]);
    }

    // The session that began the call goes on with it: it hears that it may attach, without asking.
    let taken = agent
        .ask("offer.accept", json!({ "offerId": offer["data"]["offerId"] }))
        .await;
    assert_eq!(taken["type"], "offer.accepted", "{taken}");
    assert_eq!(line.expect("leg.grant").await["data"]["grant"]["part"], "customer");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_begin_a_call_is_told_why_and_stays() {
    let server = server!();
    let mut line = page(&server, "u1").await;
    for (wanted, code, said) in [
        (json!({ "userId": "u2" }), "forbidden", "another user"),
        (
            json!({ "userId": "u1", "callType": "video" }),
            "validation",
            "callType must be `voice`",
        ),
        (
            json!({ "userId": "u1", "queue": "nowhere" }),
            "validation",
            "queue no such queue",
        ),
    ] {
        let answer = line.ask("call.start", wanted).await;
        assert_eq!(
            (&answer["type"], &answer["data"]["code"]),
            (&json!("error"), &json!(code)),
            "{answer}"
        );
        assert!(answer["data"]["message"].as_str().unwrap().contains(said), "{answer}");
    }
    for wrong in [json!({}), json!({ "userId": 7 }), json!([])] {
        let answer = line.ask("call.start", wrong).await;
        assert_eq!(answer["data"]["code"], "bad_message", "{answer}");
    }
    // A ticket speaks for its own call, staff for nobody.
    let (mut ticket, ..) = server.customer("u3").await;
    let (_, token) = server.world.staff("ann", StaffRole::Agent).await;
    let mut staff = server.hello(json!({ "token": token })).await;
    staff.expect("welcome").await;
    for (line, user) in [(&mut ticket, "u3"), (&mut staff, "ann")] {
        let answer = line.ask("call.start", json!({ "userId": user })).await;
        assert_eq!(answer["data"]["code"], "forbidden", "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_a_customer_is_one_for_all_his_doors() {
    let server = server!();
    let mut line = page(&server, "u1").await;
    // As the API asks the desk.
    server
        .world
        .desk
        .request_call(&customer("u1"), start("u1"), None)
        .await
        .unwrap();
    for n in 1..STARTS_PER_MINUTE {
        let answer = line.ask("call.start", json!({ "userId": "u1" })).await;
        assert_eq!(answer["type"], "call.started", "{n}: {answer}");
    }
    let answer = line.ask("call.start", json!({ "userId": "u1" })).await;
    assert_eq!(answer["data"]["code"], "rate_limited", "{answer}");
    let wait = answer["data"]["retryAfterSeconds"].as_u64().unwrap();
    assert!((1..=21).contains(&wait), "{answer}");
    let mut other = page(&server, "u2").await;
    assert_eq!(
        other.ask("call.start", json!({ "userId": "u2" })).await["type"],
        "call.started"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_node_says_when_to_ask_again_and_an_emptied_one_that_it_takes_none() {
    let server = server!();
    let mut line = page(&server, "u1").await;
    server.world.media.load.lock().unwrap().legs = 100;
    let full = line.ask("call.start", json!({ "userId": "u1" })).await;
    assert_eq!(full["data"]["code"], "media_full", "{full}");
    assert_eq!(full["data"]["retryAfterSeconds"], 10);
    server.world.media.load.lock().unwrap().draining = true;
    let emptied = line.ask("call.start", json!({ "userId": "u1" })).await;
    assert_eq!(emptied["data"]["code"], "draining", "{emptied}");
}
