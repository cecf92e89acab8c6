//! The relay by REST: who may look and change, and what is told.

#![cfg(test)]

mod common;

use axum::http::StatusCode;
use call_model::LegId;
use ports::Via;
use serde_json::json;

const PATHS: [(&str, &str); 5] = [
    ("GET", "/api/support/relay"),
    ("DELETE", "/api/support/relay/allocations/0-1-1"),
    ("POST", "/api/support/relay/drain"),
    ("DELETE", "/api/support/relay/drain"),
    ("POST", "/api/support/relay/rotate"),
];

#[tokio::test(flavor = "multi_thread")]
async fn only_admins_and_services_reach_the_relay() {
    let mut server = server!(false);
    let agent = server.staff("ann").await;
    let raise = "update helpline.staff set role = 'supervisor' where staff_name = 'sue'";
    let sue = server.promoted("sue", raise).await;
    for (method, path) in PATHS {
        let reply = server.ask(method, path).send().await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{path}");
        for token in [&agent, &sue] {
            let reply = server.ask(method, path).bearer(token).send().await;
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (StatusCode::FORBIDDEN, "forbidden"),
                "{path}"
            );
        }
    }
    assert!(!server.world.relay.drains.load(std::sync::atomic::Ordering::Relaxed));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_sees_what_is_allocated_ends_one_drains_and_rotates() {
    let mut server = server!(false);
    let raise = "update helpline.staff set role = 'admin' where staff_name = 'ada'";
    let ada = server.promoted("ada", raise).await;
    server.world.relay.allocates("0-1-1", LegId(7), Via::Tcp);
    let state = server.ask("GET", "/api/support/relay").bearer(&ada).send().await.json();
    assert_eq!(
        (&state["on"], &state["draining"], &state["total"]),
        (&json!(true), &json!(false), &json!(1))
    );
    let row = &state["allocations"][0];
    assert_eq!(
        (&row["id"], &row["via"], &row["packetsUp"], &row["dropped"]),
        (&json!("0-1-1"), &json!("tcp"), &json!(3000), &json!(2))
    );
    let kill = "/api/support/relay/allocations/0-1-1";
    let long = json!({ "reason": "x".repeat(65) });
    let refused = server.ask("DELETE", kill).bearer(&ada).json(&long).send().await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, "validation")
    );
    let seen = json!({ "reason": "a flood" });
    let ended = server.ask("DELETE", kill).bearer(&ada).json(&seen).send().await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    let again = server.ask("DELETE", kill).bearer(&ada).send().await;
    assert_eq!(
        (again.status, again.code().as_str()),
        (StatusCode::NOT_FOUND, "not_found")
    );
    let why = json!({ "reason": "an update" });
    let drain = "/api/support/relay/drain";
    let on = server.ask("POST", drain).bearer(&ada).json(&why).send().await;
    assert_eq!(on.json()["draining"], json!(true));
    let off = server.ask("DELETE", drain).bearer(&ada).send().await;
    assert_eq!(off.json()["draining"], json!(false));
    let rotated = server
        .ask("POST", "/api/support/relay/rotate")
        .bearer(&ada)
        .send()
        .await;
    assert!(rotated.json()["rotatedAt"].is_string());
    server
        .world
        .relay
        .wait_s
        .store(97, std::sync::atomic::Ordering::Relaxed);
    let again = server
        .ask("POST", "/api/support/relay/rotate")
        .bearer(&ada)
        .send()
        .await;
    assert_eq!(
        (again.status, again.code().as_str(), again.header("retry-after")),
        (StatusCode::CONFLICT, "too_soon", "97")
    );
    let refused = server.ask("POST", drain).bearer(&ada).json(&long).send().await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, "validation")
    );
}
