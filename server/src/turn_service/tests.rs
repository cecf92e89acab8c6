//! The managed service: made credentials against the scheme's own words, fetched ones against a server of the test.

#![cfg(test)]

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;

use super::*;

const KEY: &str = "a-bearer-key-of-the-service";

fn at_noon() -> u64 {
    1_700_000_000
}

fn metrics() -> Metrics {
    Metrics::new(&Registry::new()).expect("fresh")
}

/// What the server of a test answers, and what it was asked.
struct Scripted {
    answers: Vec<(StatusCode, String)>,
    asked: AtomicUsize,
    seen: Mutex<Vec<(String, String)>>,
}

/// A server on this machine that gives one answer after the other, the last one for ever.
async fn server(answers: Vec<(StatusCode, String)>) -> (String, Arc<Scripted>) {
    let script = Arc::new(Scripted {
        answers,
        asked: AtomicUsize::new(0),
        seen: Mutex::default(),
    });
    let app = Router::new()
        .route("/generate", post(answer))
        .with_state(script.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let at = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, app).await });
    (format!("http://{at}/generate"), script)
}

async fn answer(State(script): State<Arc<Scripted>>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let header = headers.get("authorization").and_then(|value| value.to_str().ok());
    let body = String::from_utf8_lossy(&body).into_owned();
    script
        .seen
        .lock()
        .expect("no test falls while it holds this")
        .push((header.unwrap_or_default().to_owned(), body));
    let n = script.asked.fetch_add(1, Ordering::Relaxed);
    let (status, text) = &script.answers[n.min(script.answers.len() - 1)];
    (*status, text.clone())
}

fn one(urls: &str) -> String {
    format!(r#"{{"iceServers": {{"urls": {urls}, "username": "u", "credential": "c"}}}}"#)
}

/// The provider of TLS, which `main` installs otherwise; whoever comes second finds it there.
fn provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn asker(url: String) -> Asker {
    provider();
    Asker::new(url, KEY.to_owned(), 600).expect("a client")
}

#[test]
fn made_credentials_are_those_of_the_scheme_and_end() {
    let service = Service::new(
        Way::Made {
            urls: vec!["turn:t.example:3478".to_owned()],
            secret: "north".to_owned(),
            life_s: 3_600,
        },
        at_noon,
    );
    let [server] = &service.servers()[..] else {
        panic!("one server")
    };
    assert_eq!(server.username.as_deref(), Some("1700003600:helpline"));
    // printf 1700003600:helpline | openssl dgst -sha1 -hmac north -binary | base64
    assert_eq!(server.credential.as_deref(), Some("iEAgK+tfnOV48Rnpauqv0GbtAZA="));
}

#[test]
fn an_answer_is_one_server_or_a_list_and_only_what_opens_a_relay_is_taken() {
    let one_url = read(one(r#""turn:a.example:3478""#).as_bytes()).expect("one");
    assert_eq!(one_url[0].urls, ["turn:a.example:3478"]);
    let list = r#"{"iceServers": [{"urls": ["stun:a.example"]},
        {"urls": ["stun:a.example", "turn:a.example?transport=udp", "turns:a.example:443?transport=tcp"],
         "username": "u", "credential": "c"}]}"#;
    let list = read(list.as_bytes()).expect("a list");
    assert_eq!(list.len(), 1);
    assert_eq!(
        list[0].urls,
        ["turn:a.example?transport=udp", "turns:a.example:443?transport=tcp"]
    );
    let many: Vec<String> = (0..=URLS_MAX).map(|n| format!("\"turn:{n}.example\"")).collect();
    let many = read(one(&format!("[{}]", many.join(","))).as_bytes()).expect("many");
    assert_eq!(many[0].urls.len(), URLS_MAX);
    for bad in [
        "",
        "[]",
        r#"{"iceServers": []}"#,
        r#"{"iceServers": [{"urls": "stun:a.example"}]}"#,
        r#"{"iceServers": {"urls": "turn:a.example", "username": "u"}}"#,
        &one(r#""https://a.example""#),
        &one(r#""turn:a.example\">; x""#),
    ] {
        assert!(read(bad.as_bytes()).is_none(), "{bad}");
    }
    let long = one(&format!("\"turn:{}\"", "a".repeat(TEXT_BYTES_MAX)));
    assert!(read(long.as_bytes()).is_none());
}

#[tokio::test]
async fn the_service_is_asked_with_the_key_and_the_wanted_life() {
    let (url, script) = server(vec![(StatusCode::CREATED, one(r#"["turn:a.example"]"#))]).await;
    let got = asker(url).ask().await.expect("credentials");
    assert_eq!(got[0].username.as_deref(), Some("u"));
    let seen = script.seen.lock().expect("no test falls while it holds this");
    assert_eq!(*seen, [(format!("Bearer {KEY}"), r#"{"ttl":600}"#.to_owned())]);
}

#[tokio::test]
async fn a_refusal_a_wrong_answer_and_a_long_one_are_told_apart_and_a_redirect_is_not_followed() {
    for (status, body, wanted) in [
        (StatusCode::UNAUTHORIZED, String::new(), Failed::Refused),
        (StatusCode::FOUND, String::new(), Failed::Refused),
        (StatusCode::OK, "<html>".to_owned(), Failed::Unreadable),
        (StatusCode::OK, " ".repeat(ANSWER_BYTES_MAX + 1), Failed::Unreadable),
    ] {
        let (url, _) = server(vec![(status, body)]).await;
        assert_eq!(asker(url).ask().await.expect_err("nothing good"), wanted);
    }
    let gone = asker("http://127.0.0.1:1/".to_owned()).ask().await;
    assert_eq!(gone.expect_err("nobody is there"), Failed::Unreachable);
}

#[tokio::test]
async fn what_is_fetched_is_listed_until_shortly_before_its_end_and_replaced_at_half() {
    let life = Duration::from_secs(600);
    let start = Instant::now();
    let servers = read(one(r#""turn:a.example""#).as_bytes()).expect("one");
    let mut kept = Kept::default();
    assert!(kept.servers(start).is_empty());
    assert_eq!(kept.took(None, life, start), RETRY.0);
    assert_eq!(kept.took(None, life, start), RETRY.0 * 2);
    assert_eq!(kept.took(Some(servers.clone()), life, start), life / 2);
    let half = start + life / 2;
    assert_eq!(kept.took(None, life, half), RETRY.0, "the count begins anew");
    let mut last = RETRY.0;
    for _ in 0..40 {
        last = kept.took(None, life, half);
    }
    assert_eq!(last, RETRY.1);
    assert_eq!(kept.servers(half), servers, "what is good is not thrown away");
    let end = start + life - REST_MIN;
    assert_eq!(kept.servers(end), servers);
    assert!(kept.servers(end + Duration::from_millis(1)).is_empty());
}

#[tokio::test]
async fn a_service_that_fails_first_is_listed_once_it_answers_and_both_are_counted() {
    let (url, _) = server(vec![(StatusCode::OK, one(r#""turn:a.example""#))]).await;
    let service = Service::new(
        Way::Fetched {
            url: url.clone(),
            key: KEY.to_owned(),
            life_s: 600,
        },
        at_noon,
    );
    let metrics = metrics();
    service.took(Err(Failed::Unreachable), 600, &metrics);
    assert!(service.servers().is_empty());
    service.took(asker(url).ask().await, 600, &metrics);
    assert_eq!(service.servers()[0].urls, ["turn:a.example"]);
    for result in ["ok", "failed"] {
        assert_eq!(metrics.fetches.with_label_values(&[result]).get(), 1, "{result}");
    }
    assert!(!format!("{:?}", service.way).contains(KEY));
}

#[tokio::test]
async fn the_background_task_asks_at_once_and_ends_with_the_program() {
    let (url, script) = server(vec![(StatusCode::OK, one(r#""turn:a.example""#))]).await;
    provider();
    let key = KEY.to_owned();
    let service = Service::new(Way::Fetched { url, key, life_s: 600 }, at_noon);
    let stop = CancellationToken::new();
    service.keep_fresh(metrics(), stop.clone()).expect("a client");
    let limit = Instant::now() + Duration::from_secs(20);
    while service.servers().is_empty() {
        assert!(Instant::now() < limit, "nothing was fetched");
        tokio::task::yield_now().await;
    }
    stop.cancel();
    assert_eq!(script.asked.load(Ordering::Relaxed), 1);
}

#[test]
fn a_turn_url_names_its_host() {
    assert_eq!(host_of("turn:a.example:3478?transport=udp"), Some("a.example"));
    assert_eq!(host_of("turns:[2001:db8::1]:443"), Some("2001:db8::1"));
    assert_eq!(host_of("stun:a.example"), None);
    assert!(is_turn("turn:a.example") && !is_turn("turn:") && !is_turn("stun:a.example"));
}
