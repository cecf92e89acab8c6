//! Controls of a running call by REST: bodies, statuses and what the views say.

#![cfg(test)]

mod common;

use axum::http::StatusCode;
use common::{Server, body};
use serde_json::{Value, json};

/// Asks and expects this status.
async fn ask(
    server: &Server,
    token: &str,
    method: &'static str,
    path: &str,
    given: Value,
    status: StatusCode,
) -> Value {
    let reply = server
        .ask(method, format!("/api/support/{path}"))
        .bearer(token)
        .json(&given)
        .send()
        .await;
    assert_eq!(reply.status, status, "{path}: {reply:?}");
    if reply.body.is_empty() {
        Value::Null
    } else {
        reply.json()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one call, from its beginning to its end")]
async fn a_call_is_muted_shared_and_taken_over() {
    let mut server = server!(false);
    let ann = server.online("ann").await;
    let started = server
        .serve("POST", "/api/support/call/start")
        .json(&body("u1"))
        .send()
        .await;
    let id = started.json()["callId"].as_str().unwrap().to_owned();
    let offer = server.offer(&ann).await;
    assert_eq!(offer["kind"], "call");
    assert!(offer.get("fromName").is_none());
    let accept = format!("offers/{}/accept", offer["offerId"].as_str().unwrap());
    ask(&server, &ann, "POST", &accept, json!({}), StatusCode::OK).await;
    let leg = server.serve("POST", format!("/api/support/call/{id}/leg")).send().await;
    assert_eq!(leg.status, StatusCode::CREATED);
    server
        .world
        .run(
            "update public.voice_calls set status = 'answered', answered_at = clock_timestamp();
            update helpline.call_legs set state = 'up', up_at = clock_timestamp()",
        )
        .await;
    let call = |rest: &str| format!("call/{id}/{rest}");
    let part = json!({ "part": "agent", "reason": "coughs" });
    let muted = ask(&server, &ann, "POST", &call("mute"), part, StatusCode::OK).await;
    assert_eq!(muted["muted"], json!(["agent"]));
    let part = json!({ "part": "agent" });
    let heard = ask(&server, &ann, "POST", &call("unmute"), part, StatusCode::OK).await;
    assert_eq!(heard["muted"], json!([]));
    let why = json!({ "reason": "card number" });
    let on = ask(&server, &ann, "POST", &call("shield"), why, StatusCode::OK).await;
    assert_eq!(on["shielded"], "on");
    let off = ask(&server, &ann, "POST", &call("unshield"), json!({}), StatusCode::OK).await;
    assert_eq!(off["shielded"], "off");

    let ben = server.online("ben").await;
    let there = ask(&server, &ann, "GET", "staff/available", json!({}), StatusCode::OK).await;
    let there = &there["staff"][0];
    assert_eq!(
        (&there["name"], &there["role"], &there["status"], &there["free"]),
        (&json!("ben"), &json!("agent"), &json!("online"), &json!(true))
    );
    let whom = json!({ "staffId": there["staffId"] });
    let rings = ask(&server, &ann, "POST", &call("consult"), whom, StatusCode::ACCEPTED).await;
    assert_eq!(
        (&rings["consult"]["state"], &rings["consult"]["staffName"]),
        (&json!("ringing"), &json!("ben"))
    );
    let offer = server.offer(&ben).await;
    assert_eq!((&offer["kind"], &offer["fromName"]), (&json!("consult"), &json!("ann")));
    let accept = format!("offers/{}/accept", offer["offerId"].as_str().unwrap());
    let accepted = ask(&server, &ben, "POST", &accept, json!({}), StatusCode::OK).await;
    assert_eq!(accepted["leg"]["part"], "partner");
    let three = ask(&server, &ann, "POST", &call("consult/merge"), json!({}), StatusCode::OK).await;
    assert_eq!(three["consult"]["state"], "conference");
    let alone = ask(
        &server,
        &ann,
        "POST",
        &call("consult/complete"),
        json!({}),
        StatusCode::CONFLICT,
    )
    .await;
    assert_eq!(alone["code"], "illegal_transition", "his line is not up");
    server
        .world
        .run("update helpline.call_legs set state = 'up', up_at = clock_timestamp() where state = 'granted'")
        .await;
    let his = ask(
        &server,
        &ann,
        "POST",
        &call("consult/complete"),
        json!({}),
        StatusCode::OK,
    )
    .await;
    assert_eq!((&his["agentName"], &his["agentId"]), (&json!("ben"), &there["staffId"]));
    let again = ask(
        &server,
        &ann,
        "POST",
        &call("consult/cancel"),
        json!({}),
        StatusCode::FORBIDDEN,
    )
    .await;
    assert_eq!(again["code"], "forbidden");

    let sue = "update helpline.staff set role = 'supervisor' where staff_name = 'sue'";
    let sue = server.promoted("sue", sue).await;
    let live = ask(&server, &sue, "GET", "calls/live", json!({}), StatusCode::OK).await;
    let row = &live["calls"][0];
    assert_eq!(
        (
            &row["callId"],
            &row["agentName"],
            &row["status"],
            &row["supervisors"],
            &row["legs"]
        ),
        (&json!(id), &json!("ben"), &json!("answered"), &json!([]), &json!([]))
    );
    let how = json!({ "mode": "takeover", "reason": "the customer asks" });
    let leg = ask(&server, &sue, "POST", &call("supervise"), how, StatusCode::CREATED).await;
    assert_eq!(leg["part"], "agent");
    let ended = ask(
        &server,
        &ben,
        "POST",
        &call("wrapup/end"),
        json!({}),
        StatusCode::NO_CONTENT,
    )
    .await;
    assert_eq!(ended, Value::Null);
    let events = ask(&server, &sue, "GET", &call("events"), json!({}), StatusCode::OK).await;
    let kinds: Vec<_> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|event| event["kind"].as_str())
        .filter(|kind| kind.starts_with("call."))
        .skip_while(|kind| *kind != "call.muted")
        .collect();
    assert_eq!(
        kinds,
        [
            "call.muted",
            "call.unmuted",
            "call.shielded",
            "call.unshielded",
            "call.offered",
            "call.consult_started",
            "call.consult_answered",
            "call.consult_merged",
            "call.owner_changed",
            "call.taken_over"
        ]
    );
}
