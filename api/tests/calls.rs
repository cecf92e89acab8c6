//! A call by REST: the integration guide's own request, customers and their tokens, agents and their offers.

mod common;

use std::net::SocketAddr;

use axum::http::StatusCode;
use common::{BANK, body, jwt};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

const START: &str = "/api/support/call/start";

/// The guide's second `curl`, byte for byte as that program sends it.
fn curl(port: u16) -> String {
    let body = r#"{
    "userId": "user-uuid",
    "customerEmail": "customer@bank.alghahim.co.ke",
    "customerName": "John Doe",
    "callType": "voice"
  }"#;
    format!(
        "POST {START} HTTP/1.1\r\nHost: localhost:{port}\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_own_request_starts_a_call_and_its_ticket_opens_the_socket() {
    let server = server!(true);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let service = server
        .router
        .clone()
        .into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });

    let mut call = Value::Null;
    for expected in ["HTTP/1.1 201 Created", "HTTP/1.1 200 OK"] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(curl(port).as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(expected), "{head}");
        assert!(
            head.contains("hl_call=hlp_") && head.contains("HttpOnly; SameSite=Lax"),
            "{head}"
        );
        let started: Value = serde_json::from_str(body).unwrap();
        for key in [
            "callId",
            "status",
            "position",
            "token",
            "signalingUrl",
            "iceServers",
            "serverTime",
        ] {
            assert!(started.get(key).is_some(), "{key} of {started}");
        }
        assert_eq!(
            (&started["status"], &started["position"]),
            (&json!("queued"), &json!(1))
        );
        assert!(
            call == Value::Null || call["callId"] == started["callId"],
            "one live call per person"
        );
        call = started;
    }

    // The same port speaks WebSocket at `/` and `/ws`.
    for path in ["/ws", "/"] {
        let url = format!("ws://localhost:{port}{path}");
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let hello = json!({ "v": 1, "type": "hello", "data": { "token": call["token"] } });
        socket.send(Message::text(hello.to_string())).await.unwrap();
        let answer = socket.next().await.unwrap().unwrap().into_text().unwrap();
        // A ticket opens one socket, and is used up once its page is heard.
        let expected = if path == "/ws" { "welcome" } else { "error" };
        assert!(answer.contains(&format!(r#""type":"{expected}""#)), "{answer}");
        if path == "/ws" {
            let ask = json!({ "v": 1, "id": "1", "type": "snapshot", "data": {} });
            socket.send(Message::text(ask.to_string())).await.unwrap();
            // Pings and news of the call may come before it.
            while let Some(message) = socket.next().await {
                if message
                    .unwrap()
                    .to_text()
                    .unwrap_or_default()
                    .contains(r#""type":"snapshot""#)
                {
                    break;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_somebody_at_this_machine_needs_no_token_and_only_in_a_demo() {
    let server = server!(true);
    let here = || server.ask("POST", START).from("127.0.0.1:9").json(&body("user-uuid"));
    assert_eq!(here().send().await.status, StatusCode::CREATED);
    for (what, ask) in [
        ("another machine", here().from("192.0.2.9:9")),
        ("a rebound name", here().header("host", "evil.test:3000")),
        ("a page", here().header("origin", "https://evil.test")),
        ("a proxy", here().header("x-forwarded-for", "127.0.0.1")),
    ] {
        assert_eq!(ask.send().await.code(), "unauthenticated", "{what}");
    }
    let server = server!(false);
    let reply = server
        .ask("POST", START)
        .from("127.0.0.1:9")
        .json(&body("user-uuid"))
        .send()
        .await;
    assert_eq!(reply.code(), "unauthenticated", "no demo");
    assert_eq!(reply.header("www-authenticate"), "Bearer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_speaks_for_its_own_subject_while_it_lasts() {
    let server = server!(false);
    let start = |token: &str| server.ask("POST", START).bearer(token).json(&body("u1"));
    let reply = start(&jwt("u1", |_| {})).send().await;
    assert_eq!(reply.status, StatusCode::CREATED, "{reply:?}");
    let started = reply.json();
    assert_eq!(
        start(&jwt("u2", |_| {})).send().await.code(),
        "forbidden",
        "somebody else's name"
    );
    let foreign = jwt("u1", |claims| claims["iss"] = json!("https://other.test"));
    let expired = jwt("u1", |claims| claims["exp"] = json!(1_000_000_000));
    let audience = jwt("u1", |claims| claims["aud"] = json!("anon"));
    let early = jwt("u1", |claims| claims["nbf"] = json!(3_999_999_999_u64));
    let mut forged = jwt("u1", |_| {});
    forged.replace_range(forged.len() - 4.., "AAAA");
    let ticket = started["token"].as_str().unwrap().to_owned();
    for (what, token) in [
        ("foreign", foreign),
        ("expired", expired),
        ("audience", audience),
        ("early", early),
        ("forged", forged),
        ("a ticket opens sockets only", ticket),
        ("nonsense", "x".to_owned()),
    ] {
        assert_eq!(start(&token).send().await.code(), "unauthenticated", "{what}");
    }
    let scheme = server
        .ask("POST", START)
        .header("authorization", "Basic dTpw")
        .json(&body("u1"));
    assert_eq!(scheme.send().await.code(), "unauthenticated");

    let path = format!("/api/support/call/{}", started["callId"].as_str().unwrap());
    let own = server.ask("GET", &path).bearer(&jwt("u1", |_| {})).send().await;
    assert_eq!(
        (own.status, own.json()["customerEmail"].clone()),
        (StatusCode::OK, Value::Null)
    );
    let other = server.ask("GET", &path).bearer(&jwt("u2", |_| {})).send().await;
    assert_eq!(other.code(), "not_found", "what is not visible is not there");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calls_cookie_speaks_for_its_call_from_pages_of_ours() {
    let server = server!(false);
    let token = jwt("u1", |_| {});
    let reply = server.ask("POST", START).bearer(&token).json(&body("u1")).send().await;
    let cookie = reply.header("set-cookie").split(';').next().unwrap().to_owned();
    let path = format!("/api/support/call/{}", reply.json()["callId"].as_str().unwrap());
    let ask = |method, path: String| server.ask(method, path).header("cookie", cookie.clone());
    assert_eq!(ask("GET", path.clone()).send().await.status, StatusCode::OK);
    let hangup = format!("{path}/hangup");
    let foreign = ask("POST", hangup.clone())
        .header("sec-fetch-site", "cross-site")
        .header("origin", "https://evil.test");
    assert_eq!(foreign.send().await.code(), "cross_site");
    let elsewhere = format!("/api/support/call/{}/hangup", uuid::Uuid::from_u128(1));
    assert_eq!(
        ask("POST", elsewhere).send().await.code(),
        "unauthenticated",
        "another call"
    );
    for _ in 0..2 {
        let over = ask("POST", hangup.clone()).header("origin", BANK).send().await;
        assert_eq!(
            (over.status, over.json()["status"].clone()),
            (StatusCode::OK, json!("abandoned"))
        );
    }
    let again = server
        .ask("POST", START)
        .header("cookie", cookie.clone())
        .json(&body("u1"))
        .send()
        .await;
    assert_eq!(again.code(), "unauthenticated", "who begins a call proves who he is");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_takes_a_call_by_rest() {
    let server = server!(false);
    let agent = server.online("ann").await;
    let reply = server.serve("POST", START).json(&body("u1")).send().await;
    assert_eq!(reply.status, StatusCode::CREATED, "{reply:?}");
    assert_eq!(reply.header("set-cookie"), "", "a service keeps no cookie");
    let call = format!("/api/support/call/{}", reply.json()["callId"].as_str().unwrap());
    let early = server.serve("POST", format!("{call}/leg")).send().await;
    assert_eq!(early.code(), "illegal_transition");

    let offer = server.offer(&agent).await;
    let offer = format!("/api/support/offers/{}", offer["offerId"].as_str().unwrap());
    let as_agent = |method, path: String| server.ask(method, path).bearer(&agent);
    let accepted = as_agent("POST", format!("{offer}/accept")).send().await;
    assert_eq!(
        (accepted.status, accepted.json()["leg"]["part"].clone()),
        (StatusCode::OK, json!("agent"))
    );
    assert_eq!(
        as_agent("POST", format!("{offer}/reject")).send().await.status,
        StatusCode::CONFLICT
    );

    let leg = |part: &str| {
        server
            .serve("POST", format!("{call}/leg"))
            .json(&json!({ "part": part }))
    };
    for part in ["customer", "agent"] {
        let leg = leg(part).send().await;
        assert_eq!(
            (leg.status, leg.json()["part"].clone()),
            (StatusCode::CREATED, json!(part))
        );
        let grant = leg.json()["grant"].as_str().unwrap().to_owned();
        let attach = server
            .ask("POST", "/api/rtc")
            .bearer(&grant)
            .raw("application/sdp", "v=0\r\n")
            .send()
            .await;
        assert_eq!(attach.status, StatusCode::CREATED, "{attach:?}");
        assert_eq!(attach.header("content-type"), "application/sdp");
        assert_eq!(attach.body, common::world::ANSWER.as_bytes());
        let place = attach.header("location").to_owned();
        let fragment = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n";
        let trickle = server.ask("PATCH", place.clone()).bearer(&grant);
        let trickle = trickle.raw("application/trickle-ice-sdpfrag", fragment);
        let trickled = trickle.header("if-match", attach.header("etag")).send().await;
        assert_eq!(trickled.status, StatusCode::NO_CONTENT);
        let other = server.ask("DELETE", "/api/rtc/elsewhere").bearer(&grant).send().await;
        assert_eq!(other.code(), "not_found");
        assert_eq!(
            server.ask("DELETE", place.clone()).bearer(&grant).send().await.status,
            StatusCode::OK
        );
    }
    assert_eq!(server.world.media.candidates().len(), 2);
    assert_eq!(leg("supervisor").send().await.code(), "validation");
    let foreign = as_agent("POST", format!("{call}/leg")).json(&json!({ "part": "customer" }));
    assert_eq!(foreign.send().await.code(), "forbidden", "only a service names a part");

    let queue = as_agent("GET", "/api/support/queue/calls".to_owned()).send().await;
    assert_eq!(
        (queue.status, queue.json()["waiting"].clone()),
        (StatusCode::OK, json!([]))
    );
    let over = as_agent("POST", format!("{call}/hangup"))
        .json(&json!({ "reason": "done" }))
        .send()
        .await;
    // There was no sound yet: either the customer's leg has ended the call already, or an agent who lays down gives
    // the customer back to the queue.
    assert!(
        matches!(
            over.json()["status"].as_str(),
            Some("completed" | "failed" | "abandoned" | "queued")
        ),
        "{over:?}"
    );
    let events = as_agent("GET", format!("{call}/events")).send().await.json();
    let kinds: Vec<&str> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["kind"].as_str().unwrap())
        .collect();
    assert!(kinds.starts_with(&["call.initiated", "call.queued"]), "{kinds:?}");
    for (what, key) in [("quality", "tracks"), ("recordings", "recordings")] {
        let reply = server.serve("GET", format!("{call}/{what}")).send().await;
        assert!(reply.json()[key].is_array(), "{what}: {reply:?}");
    }
    let calls = server.serve("GET", "/api/support/calls?limit=1").send().await.json();
    assert_eq!(calls["calls"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_sign_in_see_themselves_and_sign_out() {
    let server = server!(false);
    let made = json!({ "email": "ann@x.test", "staffName": "Ann", "role": "agent", "password": "a long enough one" });
    assert_eq!(
        server
            .serve("POST", "/api/support/staff")
            .json(&made)
            .send()
            .await
            .status,
        StatusCode::CREATED
    );
    let login = |password: &str| {
        let body = json!({ "email": "ann@x.test", "password": password });
        server.ask("POST", "/api/support/auth/login").json(&body)
    };
    assert_eq!(login("a wrong password").send().await.code(), "unauthenticated");
    let foreign = login("a long enough one")
        .header("origin", "https://evil.test")
        .header("sec-fetch-site", "cross-site");
    assert_eq!(foreign.send().await.code(), "cross_site");
    let reply = login("a long enough one").send().await;
    assert_eq!(
        (reply.status, reply.json()["staffName"].clone()),
        (StatusCode::OK, json!("Ann")),
        "{reply:?}"
    );
    let cookie = reply.header("set-cookie").to_owned();
    assert!(
        cookie.contains("HttpOnly; SameSite=Lax") && !reply.json().to_string().contains("hls_"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let ask = |method, path| server.ask(method, path).header("cookie", cookie.clone());
    assert_eq!(ask("GET", "/api/support/staff/me").send().await.status, StatusCode::OK);
    let out = ask("POST", "/api/support/auth/logout").send().await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(
        ask("GET", "/api/support/staff/me").send().await.code(),
        "unauthenticated"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_staff_is_kept_by_services_and_admins() {
    let server = server!(false);
    let agent = server.staff("ann").await;
    let staff = server.serve("GET", "/api/support/staff").send().await.json();
    let id = staff["staff"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/support/staff/{id}");
    let renamed = server
        .serve("PATCH", &path)
        .json(&json!({ "staffName": "Anna" }))
        .send()
        .await;
    assert_eq!(renamed.json()["staffName"], "Anna", "{renamed:?}");
    let session = server.serve("POST", format!("{path}/sessions")).send().await;
    assert_eq!(session.status, StatusCode::CREATED);
    assert!(session.json()["token"].as_str().unwrap().starts_with("hls_"));
    let as_agent = |method, path: &str| server.ask(method, path).bearer(&agent);
    assert_eq!(
        as_agent("PATCH", &path)
            .json(&json!({ "role": "admin" }))
            .send()
            .await
            .code(),
        "forbidden"
    );
    assert_eq!(
        as_agent("POST", &format!("{path}/sessions")).send().await.code(),
        "forbidden"
    );
    let admin = json!({ "email": "b@x.test", "staffName": "B", "role": "admin" });
    assert_eq!(
        server
            .serve("POST", "/api/support/staff")
            .json(&admin)
            .send()
            .await
            .code(),
        "forbidden"
    );
    let gone = server
        .serve("PATCH", &path)
        .json(&json!({ "isActive": false }))
        .send()
        .await;
    assert_eq!(gone.json()["isActive"], false);
    assert_eq!(
        as_agent("GET", "/api/support/staff/me").send().await.code(),
        "unauthenticated",
        "signed out everywhere"
    );
}
