//! Hostile requests, each refused with its code; and a log that tells nothing about people.

use jsonwebtoken::{EncodingKey, Header, encode};
use reqwest::{Method, header};
use serde_json::{Value, json};
use testkit::calls::{Desk, Voice, client, spurt};
use wire::call::CallStarted;

use crate::binary::{Binary, Folder, ONE, now};
use crate::hostile::quiet;
use crate::pair::{Pair, SALTS, attach, ring, stored};

const SECRET: &str = "an entirely secret secret of the tests";
const ISSUER: &str = "https://issuer.example/auth/v1";
const START: &str = "/api/support/call/start";
/// The API's limit of a body, bytes.
const BODY_MAX: usize = 64 * 1_024;

/// A token of the customer `user`, signed with `secret`, that ends `seconds` from now.
fn token(user: &str, secret: &str, seconds: i64) -> String {
    #[expect(clippy::disallowed_methods, reason = "a token lives in real time")]
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let exp = since.expect("after 1970").as_secs() as i64 + seconds;
    let claims = json!({ "sub": user, "iss": ISSUER, "aud": "authenticated", "role": "authenticated", "exp": exp });
    encode(
        &Header::default(),
        &claims,
        &EncodingKey::from_secret(secret.as_bytes()),
    )
    .expect("a token")
}

/// Status and code of a reply.
async fn refusal(request: reqwest::RequestBuilder) -> (u16, String) {
    let reply = request.send().await.expect("an answer");
    let status = reply.status().as_u16();
    let problem: Value = reply.json().await.unwrap_or_default();
    (status, problem["code"].as_str().unwrap_or_default().to_owned())
}

fn call(user: &str) -> Value {
    json!({ "userId": user, "customerName": "x", "customerEmail": "", "callType": "voice" })
}

async fn tokens(desk: &Desk) {
    let good = token("someone", SECRET, 600);
    let reply = desk.request(Method::POST, START, &good).json(&call("someone")).send();
    assert!(
        reply.await.expect("an answer").status().is_success(),
        "a good token is taken"
    );
    let mut unsigned = good.clone();
    unsigned.truncate(good.rfind('.').expect("three parts") + 1);
    let bad = [
        ("expired", token("someone", SECRET, -600)),
        ("foreign", token("someone", "another secret that is as long as it", 600)),
        ("unsigned", unsigned),
        ("garbage", "garbage".to_owned()),
        ("long", "x".repeat(6_000)),
        ("staff", format!("hl_st_{}", "A".repeat(43))),
    ];
    for (what, token) in bad {
        let (status, code) = refusal(desk.request(Method::POST, START, &token).json(&call("someone"))).await;
        assert_eq!(status, 401, "{what}: {code}");
        assert!(!code.is_empty(), "{what}");
        let (status, code) = refusal(desk.request(Method::POST, "/api/rtc", &token).body("v=0\r\n")).await;
        assert!(matches!(status, 401 | 415), "{what} at the media side: {status} {code}");
    }
}

async fn bodies(desk: &Desk, key: &str) {
    let json = |body: String| {
        let request = desk.request(Method::POST, START, key);
        request.header(header::CONTENT_TYPE, "application/json").body(body)
    };
    let wide = |bytes: usize| {
        let head = r#"{"userId":"wide","callType":"voice","customerName":""#;
        format!("{head}{}\"}}", "n".repeat(bytes - head.len() - 2))
    };
    assert_eq!(refusal(json(wide(BODY_MAX + 1))).await, (413, "too_large".to_owned()));
    // At the limit the body is read: what is wrong now is its content.
    let (status, code) = refusal(json(wide(BODY_MAX))).await;
    assert!(status == 400 || status == 422, "{status} {code}");
    let deep = "[".repeat(BODY_MAX);
    for text in ["", "{", "null", "[]", "{\"userId\":1}", "\u{0}", deep.as_str()] {
        let (status, code) = refusal(json(text.to_owned())).await;
        let shown: String = text.chars().take(12).collect();
        assert!(status == 400 || status == 422, "{shown:?}: {status} {code}");
        assert!(!code.is_empty(), "{shown:?}");
    }
}

async fn offers(desk: &Desk, grant: &str) {
    let good = client(3).expect("a certificate").offer();
    let without = |begins: &str| {
        let lines = good.lines().filter(|line| !line.starts_with(begins));
        lines.flat_map(|line| [line, "\r\n"]).collect::<String>()
    };
    let bad = [
        String::new(),
        "rubbish".to_owned(),
        "v=0\r\n".to_owned(),
        without("m="),
        without("a=fingerprint"),
        without("a=ice-ufrag"),
        without("a=ice-pwd"),
        without("a=rtpmap"),
        good.replace("opus", "opera"),
        good.replace("sha-256", "md5"),
        good.replace("m=audio", "m=video"),
        good.replace("a=setup:active", "a=setup:sideways"),
        good.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"),
        good[..good.len() / 2].to_owned(),
        "a=x\r\n".repeat(20_000),
        "\u{0}".repeat(100),
    ];
    for sdp in bad {
        let shown: String = sdp.chars().take(60).collect();
        let Err(fault) = desk.attach(grant, sdp).await else {
            panic!("accepted: {shown:?}");
        };
        let code = fault.code().unwrap_or_default().to_owned();
        assert!(!code.is_empty(), "{shown:?}: {fault}");
        assert!(fault.to_string().contains(": 4"), "{shown:?}: {fault}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_requests_are_refused_with_a_code() {
    let _turn = ONE.lock().await;
    let folder = Folder::new("requests");
    let settings = [("HELPLINE_AUTH_JWT_SECRET", SECRET), ("HELPLINE_AUTH_ISSUER", ISSUER)];
    let binary = Binary::start(&folder, &settings, &[]).await;
    let desk = binary.desk();
    tokens(&desk).await;
    bodies(&desk, &binary.at.service_key).await;
    let agent = desk.agent("requests").await.expect("an agent");
    // The caller of the good token waits first in line.
    let joined = ring(&desk, &agent, "caller").await;
    offers(&desk, &joined.customer.grant).await;
    // None of them cost the caller his leg.
    let voice = attach(&desk, &joined.customer.grant, 3, 1).await;
    drop(voice);
    quiet(&binary).await;
    binary.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_names_nobody_and_holds_no_key() {
    let _turn = ONE.lock().await;
    let folder = Folder::new("secrecy");
    // Everything that Helpline itself can say; its libraries stay at their default.
    let filter = "info,helpline=trace,api=trace,desk=trace,signaling=trace,media_server=trace,turn_relay=trace";
    let binary = Binary::start(&folder, &[("HELPLINE_LOG_FILTER", filter)], &[]).await;
    let desk = binary.desk();
    let agent = desk.agent("Ottokar-Zwiebelfisch").await.expect("an agent");
    desk.go_online(&agent).await.expect("online");
    let who = [
        "u-4711-kundennummer",
        "Eleonora Wirsingkohl",
        "eleonora@wirsing.example",
        "Kreditkarte gestohlen",
    ];
    let body = json!({
        "userId": who[0], "customerName": who[1], "customerEmail": who[2], "issue": who[3], "callType": "voice",
    });
    let started: CallStarted = desk.post(START, &body).await.expect("a call");
    let joined = desk.answer(&agent).await.expect("answered");
    let mut peer = client(2).expect("a certificate");
    let offer = peer.offer();
    let answer = desk
        .attach(&joined.customer.grant, offer.clone())
        .await
        .expect("attached");
    peer.answer(now(), &answer).expect("a usable answer");
    let customer = Voice::start(peer, spurt(SALTS[0])).expect("a socket");
    let pair = Pair {
        call: joined.call,
        voices: [customer, attach(&desk, &joined.agent.grant, 5, SALTS[1]).await],
    };
    pair.sound().await;
    desk.hang_up(joined.call).await.expect("the call ends");
    stored(&desk, joined.call).await;
    drop(pair);
    let (_, code) = refusal(desk.request(Method::GET, "/api/support/staff", "hl_sk_geheimnis")).await;
    assert!(!code.is_empty());
    let key = binary.at.service_key.clone();
    let log = binary.log();
    assert!(log.contains(&joined.call.to_string()), "the log tells of the call");
    let secret = |begins: &str| {
        let lines = offer.lines().chain(answer.lines());
        lines
            .filter_map(|line| line.strip_prefix(begins))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let mut never: Vec<String> = who.map(str::to_owned).to_vec();
    never.extend(["Zwiebelfisch".to_owned(), "geheimnis".to_owned(), key]);
    never.extend([joined.customer.grant, joined.agent.grant]);
    never.extend(secret("a=ice-pwd:"));
    never.extend(secret("a=fingerprint:"));
    never.extend(secret("a=candidate:"));
    let started = serde_json::to_value(&started).expect("JSON");
    let token = started["callToken"]
        .as_str()
        .or(started["token"].as_str())
        .map(str::to_owned);
    never.extend(token);
    for text in never {
        let line = log.lines().find(|line| line.contains(&text));
        assert_eq!(line, None, "the log holds {text:?}");
    }
    binary.stop().await;
}
