//! Every refusal is a problem document with a code of the list, and every bound is where it is said to be.

mod common;

use axum::http::StatusCode;
use common::{BANK, body, jwt};
use serde_json::json;

const START: &str = "/api/support/call/start";

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_by_name() {
    let server = server!(false);
    let post = || server.serve("POST", START);
    let large = |bytes: usize| {
        let frame = r#"{"userId":"u9","callType":"voice","queue":""}"#;
        frame.replace(
            r#""queue":"""#,
            &format!(r#""queue":"{}""#, "x".repeat(bytes - frame.len())),
        )
    };
    assert_eq!(large(api::JSON_BYTES_MAX).len(), api::JSON_BYTES_MAX);
    for (what, ask, status, code) in [
        ("no JSON", post().raw("application/json", "{"), 400, "malformed_json"),
        (
            "another type",
            post().raw("text/plain", "{}"),
            415,
            "unsupported_media_type",
        ),
        ("no body", post(), 415, "unsupported_media_type"),
        ("another shape", post().json(&json!({ "userId": 7 })), 422, "validation"),
        ("nothing in it", post().json(&json!({})), 422, "validation"),
        (
            "the largest",
            post().raw("application/json", large(api::JSON_BYTES_MAX)),
            422,
            "validation",
        ),
        (
            "too large",
            post().raw("application/json", large(api::JSON_BYTES_MAX + 1)),
            413,
            "too_large",
        ),
        (
            "video",
            post().json(&json!({ "userId": "u", "callType": "video" })),
            422,
            "validation",
        ),
        ("no user", post().json(&json!({ "userId": "" })), 422, "validation"),
        (
            "no queue",
            post().json(&json!({ "userId": "u", "queue": "nowhere" })),
            422,
            "validation",
        ),
        (
            "no such method",
            server.serve("DELETE", START),
            405,
            "method_not_allowed",
        ),
        (
            "no such route",
            server.serve("GET", "/api/support/nothing"),
            404,
            "not_found",
        ),
    ] {
        let reply = ask.send().await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (status, code), "{what}");
    }
    let wrong = post()
        .json(&json!({ "userId": "u", "callType": "video" }))
        .send()
        .await
        .json();
    assert_eq!(wrong["errors"][0]["field"], "callType", "the field is named");
    let deep = format!(r#"{{"userId":{}{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
    assert!(
        post()
            .raw("application/json", deep)
            .send()
            .await
            .status
            .is_client_error()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_that_nobody_knows_are_refused() {
    let server = server!(false);
    for (query, status) in [
        ("limit=200", 200),
        ("limit=201", 422),
        ("limit=0", 422),
        ("limit=x", 422),
        ("colour=red", 422),
        ("from=now", 422),
        ("status=singing", 422),
        ("agent=ann", 422),
    ] {
        let reply = server.serve("GET", format!("/api/support/calls?{query}")).send().await;
        assert_eq!(reply.status.as_u16(), status, "{query}");
        assert!(status == 200 || reply.code() == "validation", "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn session_descriptions_have_a_largest_size_and_need_a_grant() {
    let server = server!(false);
    let grant = "A".repeat(43);
    let attach = |sdp: String| {
        server
            .ask("POST", "/api/rtc")
            .bearer(&grant)
            .raw("application/sdp", sdp)
    };
    assert_eq!(attach("v=0".to_owned()).send().await.code(), "unknown_grant");
    assert_eq!(attach("x".to_owned()).send().await.code(), "bad_offer");
    assert_eq!(attach("x".repeat(32 * 1024)).send().await.code(), "bad_offer");
    assert_eq!(attach("x".repeat(32 * 1024 + 1)).send().await.code(), "too_large");
    assert_eq!(
        server
            .ask("POST", "/api/rtc")
            .bearer(&grant)
            .json(&json!({}))
            .send()
            .await
            .code(),
        "unsupported_media_type"
    );
    let not_text = server
        .ask("POST", "/api/rtc")
        .bearer(&grant)
        .raw("application/sdp", vec![0xFF, 0xFE]);
    assert_eq!(not_text.send().await.code(), "bad_offer");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_waits_and_a_service_does_not() {
    let server = server!(false);
    let token = jwt("u1", |_| {});
    let start = || server.ask("POST", START).bearer(&token).json(&body("u1"));
    for n in 0..3 {
        assert!(start().send().await.status.is_success(), "{n}");
    }
    let reply = start().send().await;
    assert_eq!(reply.code(), "rate_limited");
    let wait: u32 = reply.header("retry-after").parse().unwrap();
    assert!((1..=21).contains(&wait), "{wait}");
    for _ in 0..20 {
        assert!(
            server
                .serve("POST", START)
                .json(&body("u2"))
                .send()
                .await
                .status
                .is_success()
        );
    }
    let guess = || {
        server
            .ask("POST", "/api/support/auth/login")
            .json(&json!({ "email": "a@x", "password": "x" }))
    };
    for _ in 0..5 {
        assert_eq!(guess().from("192.0.2.77:1").send().await.code(), "unauthenticated");
    }
    assert_eq!(guess().from("192.0.2.78:1").send().await.code(), "rate_limited");
    // Sixty strange requests of one address in a minute, then it hears to wait.
    let strange = || server.ask("GET", "/api/support/staff/me").from("198.51.100.1:1");
    for n in 0..60 {
        assert_eq!(strange().send().await.code(), "unauthenticated", "{n}");
    }
    assert_eq!(strange().send().await.code(), "rate_limited");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_or_emptied_node_and_a_lost_database_say_so() {
    let mut server = server!(false);
    let start = |user: &'static str| server.serve("POST", START).json(&body(user));
    server.world.media.load.lock().unwrap().legs = 100;
    let full = start("u1").send().await;
    assert_eq!((full.code().as_str(), full.header("retry-after")), ("media_full", "10"));
    let ready = server.ask("GET", "/health/ready").send().await;
    assert_eq!(
        (ready.status, ready.json()),
        (
            StatusCode::SERVICE_UNAVAILABLE,
            json!({ "status": "unavailable", "database": true, "media": false, "draining": false })
        ),
        "a probe reads what is amiss"
    );
    *server.world.media.load.lock().unwrap() = ports::Load {
        capacity_legs: 100,
        draining: true,
        ..ports::Load::default()
    };
    assert_eq!(start("u1").send().await.code(), "draining");
    server.world.media.load.lock().unwrap().draining = false;
    let ready = server.ask("GET", "/health/ready").send().await;
    assert_eq!(
        (ready.status, ready.json()["status"].clone()),
        (StatusCode::OK, json!("ok"))
    );
    assert_eq!(start("u1").send().await.status, StatusCode::CREATED);

    server.world.run("alter table public.voice_calls rename to gone").await;
    let broken = server.serve("POST", START).json(&body("u2")).send().await;
    assert_eq!(broken.code(), "internal");
    assert!(
        !String::from_utf8_lossy(&broken.body).contains("voice_calls"),
        "the cause stays in the log"
    );
    assert_eq!(server.ask("GET", "/health/live").send().await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_that_are_over_or_not_mine_are_told_apart() {
    let mut server = server!(false);
    let ann = server.online("ann").await;
    assert_eq!(
        server.serve("POST", START).json(&body("u1")).send().await.status,
        StatusCode::CREATED
    );
    let offer = server.offer(&ann).await["offerId"].as_str().unwrap().to_owned();
    let bea = server.staff("bea").await;
    let accept = |token: &str| {
        server
            .ask("POST", format!("/api/support/offers/{offer}/accept"))
            .bearer(token)
    };
    let foreign = accept(&bea).send().await.code();
    assert!(matches!(foreign.as_str(), "not_found" | "forbidden"), "{foreign}");
    let long = json!({ "reason": "x".repeat(65) });
    let reject = || {
        server
            .ask("POST", format!("/api/support/offers/{offer}/reject"))
            .bearer(&ann)
    };
    assert_eq!(reject().json(&long).send().await.code(), "validation");
    let back = "update helpline.offers set created_at = created_at - interval '1 minute',
        expires_at = expires_at - interval '1 minute'";
    server.world.run(back).await;
    let over = server
        .ask("POST", format!("/api/support/offers/{offer}/accept"))
        .bearer(&ann)
        .send()
        .await;
    assert!(matches!(over.status.as_u16(), 409 | 410), "{over:?}");
    assert!(matches!(over.code().as_str(), "offer_expired" | "offer_lost"));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_origins_may_call_when_they_are_listed_and_every_reply_has_a_policy() {
    let server = server!(true);
    let preflight = |origin: &str| {
        let ask = server.ask("OPTIONS", START).header("origin", origin);
        ask.header("access-control-request-method", "POST")
    };
    let yes = preflight(BANK).send().await;
    assert_eq!(
        (yes.status, yes.header("access-control-allow-origin")),
        (StatusCode::NO_CONTENT, BANK)
    );
    assert!(yes.header("access-control-allow-headers").contains("authorization"));
    let no = preflight("https://evil.test").send().await;
    assert_eq!(no.header("access-control-allow-origin"), "");
    let reply = server
        .ask("GET", "/api/support/staff/me")
        .header("origin", BANK)
        .send()
        .await;
    assert_eq!(
        reply.header("access-control-allow-origin"),
        BANK,
        "a refusal can be read too"
    );
    assert_eq!(reply.header("cache-control"), "no-store");

    for path in [
        "/",
        "/agent",
        "/qa",
        "/demo",
        "/nothing",
        "/health/live",
        "/api/x",
        "/..%2f..%2fetc/passwd",
    ] {
        let reply = server.ask("GET", path).send().await;
        let csp = reply.header("content-security-policy");
        assert!(
            csp.starts_with("default-src 'none'") || csp.starts_with("default-src 'self'"),
            "{path}: {csp}"
        );
        assert!(!csp.contains("unsafe"), "{path}: {csp}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert!(!reply.header("x-request-id").is_empty(), "{path}");
        if matches!(path, "/nothing" | "/api/x" | "/..%2f..%2fetc/passwd") {
            assert_eq!(reply.code(), "not_found", "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_are_counted_per_address() {
    let server = server!(false);
    let upgrade = |peer: &str| {
        let ask = server
            .ask("GET", "/ws")
            .from(peer)
            .header("connection", "upgrade")
            .header("upgrade", "websocket");
        ask.header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    };
    let mut limited = 0;
    for _ in 0..30 {
        limited += u32::from(upgrade("192.0.2.1:1").send().await.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(limited >= 10, "{limited}");
    assert_ne!(
        upgrade("192.0.2.2:1").send().await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
}
