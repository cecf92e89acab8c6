//! Testing a line: who may, what the reports look like, who sees them, and where it ends.

mod common;

use axum::http::StatusCode;
use common::{Reply, Server, jwt};
use serde_json::{Value, json};

const TESTS: &str = "/api/support/preflight";

/// What a browser sends when all is well.
fn report() -> Value {
    json!({
        "steps": [
            { "step": "secure_context", "result": "ok" },
            { "step": "microphone", "result": "ok", "ms": 120 },
            { "step": "network", "result": "warn", "code": "relay_only" },
            { "step": "relay", "result": "warn", "code": "relay_over_tcp", "ms": 5000 },
            { "step": "echo", "result": "ok", "ms": 5000 }
        ],
        "figures": {
            "signallingMs": 12, "iceMs": 40, "dtlsMs": 30, "totalMs": 82, "mos": 4.4, "rttMs": 31.5, "loss": 0.0,
            "jitterMs": 2.0, "level": 0.6, "candidates": { "host": 1, "mdns": 0, "srflx": 1, "relay": 0 },
            "relay": { "udp": "failed", "tcp": "ok", "tls": "not_offered" }, "local": "srflx", "path": "udp"
        },
        "browser": "Firefox 153 (Linux)"
    })
}

async fn began(reply: Reply) -> Value {
    assert_eq!(reply.status, StatusCode::CREATED, "{reply:?}");
    reply.json()
}

/// Attaches the echo and lets go of it again: media reports what it measured.
async fn echoed(server: &Server, test: &Value) {
    let grant = test["leg"]["grant"].as_str().expect("a grant");
    let attach = server
        .ask("POST", "/api/rtc")
        .bearer(grant)
        .raw("application/sdp", "v=0\r\n");
    assert_eq!(attach.send().await.status, StatusCode::CREATED);
    let id: uuid::Uuid = test["preflightId"].as_str().expect("an id").parse().expect("a UUID");
    let room = call_model::CallId(id.as_u128());
    ports::Media::close_room(&*server.world.media, room, ports::Cause::Limit);
}

async fn list(server: &Server, token: &str, query: &str) -> Vec<Value> {
    let reply = server.ask("GET", format!("{TESTS}?{query}")).bearer(token).send().await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    reply.json()["preflights"].as_array().expect("a list").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customers_test_is_reported_by_both_sides_and_found_by_its_code() {
    let mut server = server!(false);
    let lead = server
        .promoted(
            "lea",
            "update helpline.staff set role = 'team_lead' where staff_name = 'lea'",
        )
        .await;
    let customer = jwt("u1", |_| {});
    let test = began(server.ask("POST", TESTS).bearer(&customer).send().await).await;
    assert_eq!(test["leg"]["part"], "preflight");
    assert!(test["leg"]["iceServers"].is_array());
    let code = test["code"].as_str().unwrap();
    assert_eq!(code.len(), 6);
    let grant = test["leg"]["grant"].as_str().expect("a grant");
    let path = format!("{TESTS}/{}/report", test["preflightId"].as_str().unwrap());
    let send = |token: &str, body: &Value| server.ask("POST", path.clone()).bearer(token).json(body);

    echoed(&server, &test).await;
    assert_eq!(send(grant, &report()).send().await.status, StatusCode::NO_CONTENT);
    let mut again = report();
    again["figures"]["mos"] = json!(3.9);
    assert_eq!(send(grant, &again).send().await.status, StatusCode::NO_CONTENT);
    // Media's part comes by its own way.
    let limit = tokio::time::Instant::now() + common::world::PATIENCE;
    let row = loop {
        let spelt = format!("code={}%20{}", &code[..3].to_lowercase(), &code[3..]);
        let found = list(&server, &lead, &spelt).await;
        assert_eq!(found.len(), 1);
        if found[0]["line"].is_object() {
            break found[0].clone();
        }
        assert!(tokio::time::Instant::now() < limit, "media's report never came");
        tokio::task::yield_now().await;
    };
    assert_eq!(
        (row["via"].as_str(), row["who"].as_str()),
        (Some("customer"), Some("u1"))
    );
    assert_eq!(row["verdict"], "warn", "as good as the worst step");
    assert_eq!(row["report"]["figures"]["mos"], json!(3.9), "the last word counts");
    let ways = json!({ "udp": "failed", "tcp": "ok", "tls": "not_offered" });
    assert_eq!(row["report"]["figures"]["relay"], ways, "each way to the relay");
    assert_eq!(row["line"]["cause"], "limit");
    assert!(list(&server, &lead, "code=AAAAAA").await.is_empty());

    let other = began(server.ask("POST", TESTS).bearer(&customer).send().await).await;
    let other = other["leg"]["grant"].as_str().unwrap();
    assert_eq!(
        send(other, &report()).send().await.code(),
        "unknown_grant",
        "another test's grant"
    );
    assert_eq!(send(&customer, &report()).send().await.code(), "unknown_grant");
    for (field, spoilt) in [
        (
            "steps.code",
            json!({ "step": "echo", "result": "ok", "code": "192.0.2.1" }),
        ),
        ("body", json!({ "step": "dance", "result": "ok" })),
        ("body", json!({ "step": "relay", "result": "ok", "ways": 3, "code": 7 })),
    ] {
        let mut bad = report();
        bad["steps"] = json!([spoilt]);
        let reply = send(grant, &bad).send().await;
        assert_eq!(
            (reply.code().as_str(), reply.json()["errors"][0]["field"].clone()),
            ("validation", json!(field))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_opens_five_tests_for_a_visitor_and_its_maker_sees_them() {
    let mut server = server!(false);
    let (ann, bea) = (server.staff("ann").await, server.staff("bea").await);
    let make = |note: &str| {
        server
            .ask("POST", format!("{TESTS}/link"))
            .bearer(&ann)
            .json(&json!({ "note": note }))
    };
    assert_eq!(make(&"x".repeat(65)).send().await.code(), "validation");
    let link = began(make("Amina, second floor").send().await).await;
    let token = link["path"]
        .as_str()
        .unwrap()
        .strip_prefix("/preflight#")
        .expect("behind #")
        .to_owned();
    let visit = |token: &str| server.ask("POST", TESTS).json(&json!({ "link": token }));
    for n in 0..desk::PREFLIGHT_LINK_USES_MAX {
        assert_eq!(visit(&token).send().await.status, StatusCode::CREATED, "{n}");
    }
    assert_eq!(visit(&token).send().await.code(), "unauthenticated", "used up");
    let later = began(make("later").send().await).await;
    let later = later["path"]
        .as_str()
        .unwrap()
        .trim_start_matches("/preflight#")
        .to_owned();
    server
        .world
        .run("update helpline.preflight_links set expires_at = now() where note = 'later'")
        .await;
    let visit = |token: &str| server.ask("POST", TESTS).json(&json!({ "link": token }));
    assert_eq!(visit(&later).send().await.code(), "unauthenticated", "over");
    assert_eq!(visit("hll_AAAA").send().await.code(), "unauthenticated");
    assert_eq!(server.ask("POST", TESTS).send().await.code(), "unauthenticated");
    // A link opens nothing else.
    let me = server.ask("GET", "/api/support/staff/me").bearer(&token).send().await;
    assert_eq!(me.code(), "unauthenticated");

    let seen = list(&server, &ann, "limit=2").await;
    assert_eq!((seen.len(), seen[0]["who"].as_str()), (2, Some("Amina, second floor")));
    let page = server
        .ask("GET", format!("{TESTS}?limit=2"))
        .bearer(&ann)
        .send()
        .await
        .json();
    let rest = list(
        &server,
        &ann,
        &format!("limit=100&before={}", page["next"].as_str().unwrap()),
    )
    .await;
    assert_eq!(rest.len(), 3);
    assert!(
        list(&server, &bea, "limit=100").await.is_empty(),
        "of somebody else's link"
    );
    assert_eq!(
        began(server.ask("POST", TESTS).bearer(&bea).send().await).await["leg"]["part"],
        "preflight"
    );
    assert_eq!(list(&server, &bea, "limit=100").await.len(), 1, "her own");
    for query in ["limit=101", "limit=0", "before=x", "colour=red"] {
        let reply = server.ask("GET", format!("{TESTS}?{query}")).bearer(&ann).send().await;
        assert_eq!(reply.code(), "validation", "{query}");
    }
    let customer = jwt("u1", |_| {});
    assert_eq!(
        server.ask("GET", TESTS).bearer(&customer).send().await.code(),
        "forbidden"
    );
    let link = server.ask("POST", format!("{TESTS}/link")).bearer(&customer);
    assert_eq!(link.send().await.code(), "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_tests_without_end_waits() {
    let server = server!(false);
    let customer = jwt("u1", |_| {});
    let test = |token: &str| server.ask("POST", TESTS).bearer(token);
    for n in 0..api::PREFLIGHTS_PER_MINUTE {
        assert_eq!(test(&customer).send().await.status, StatusCode::CREATED, "{n}");
    }
    // The bucket fills by one each ten seconds.
    let mut more = 0;
    let limited = loop {
        let reply = test(&customer).send().await;
        if !reply.status.is_success() {
            break reply;
        }
        more += 1;
        assert!(more < api::PREFLIGHTS_PER_MINUTE, "there is no limit");
    };
    assert_eq!(limited.code(), "rate_limited");
    assert!(limited.header("retry-after").parse::<u32>().is_ok());
    assert_eq!(test(&jwt("u2", |_| {})).send().await.status, StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_node_refuses_tests_and_leaves_nothing_of_them() {
    let server = server!(false);
    let ann = server.staff("ann").await;
    let make = server
        .ask("POST", format!("{TESTS}/link"))
        .bearer(&ann)
        .json(&json!({}));
    let link = began(make.send().await).await;
    let token = link["path"]
        .as_str()
        .unwrap()
        .trim_start_matches("/preflight#")
        .to_owned();
    let visit = || server.ask("POST", TESTS).json(&json!({ "link": token }));
    let load = |legs| server.world.media.load.lock().unwrap().legs = legs;
    load(100);
    let full = visit().send().await;
    assert_eq!((full.code().as_str(), full.header("retry-after")), ("media_full", "30"));
    let own = server.ask("POST", TESTS).bearer(&ann).send().await;
    assert_eq!(own.code(), "media_full");
    assert!(list(&server, &ann, "limit=100").await.is_empty());
    load(0);
    for n in 0..desk::PREFLIGHT_LINK_USES_MAX {
        let reply = visit().send().await;
        assert_eq!(
            reply.status,
            StatusCode::CREATED,
            "{n}: a refused test took no use of the link"
        );
    }
}
