//! The description of the API is the one that is kept in `docs/openapi.json`, and every route of it asks who it is.

mod common;

use std::path::Path;

use serde_json::Value;

fn kept() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json")
}

/// With `UPDATE=1` the kept description is written anew.
#[test]
fn the_kept_description_is_the_present_one() {
    let now = api::document();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(kept(), &now).unwrap();
    }
    let kept = std::fs::read_to_string(kept()).unwrap_or_default();
    assert!(
        kept == now,
        "the API has changed: look at it, then run this test again with UPDATE=1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_described_route_is_there_and_asks_who_it_is() {
    let server = server!(false);
    let document: Value = serde_json::from_str(&api::document()).unwrap();
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let method = match method.as_str() {
                "get" => "GET",
                "post" => "POST",
                "put" => "PUT",
                "patch" => "PATCH",
                "delete" => "DELETE",
                "options" => "OPTIONS",
                other => panic!("{other}"),
            };
            let full = path
                .replace("{id}", "00000000-0000-0000-0000-000000000007")
                .replace("{resource}", "x");
            // From an address of its own, or the limit of strangers would answer.
            let peer = format!("192.0.2.{}:1", 10 + seen);
            let reply = server.ask(method, full).from(&peer).send().await;
            seen += 1;
            match (path.as_str(), method) {
                ("/health/live" | "/health/startup" | "/health/ready", _) => assert_eq!(reply.status, 200, "{path}"),
                ("/api/rtc" | "/api/whip", "OPTIONS") => assert_eq!(reply.status, 204),
                // The grant is the credential.
                // So is that of a line test for its report.
                ("/api/support/preflight/{id}/report", _) => assert_eq!(reply.code(), "unknown_grant"),
                ("/api/rtc" | "/api/rtc/{resource}" | "/api/whip" | "/api/whip/{resource}", _) => {
                    assert_eq!(reply.code(), "unknown_grant", "{method} {path}");
                }
                // Signing in is how one gets a credential; without a body it is no sign-in.
                ("/api/support/auth/login", _) => assert_eq!(reply.code(), "unsupported_media_type"),
                _ => assert_eq!(reply.code(), "unauthenticated", "{method} {path}"),
            }
        }
    }
    assert!(seen >= 25, "{seen}");
}
