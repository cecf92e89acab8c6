//! Every code that a problem document may carry is provoked once, and none is met that the description does not name.

#![cfg(test)]

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use common::{Ask, BYTES, ID, Server, body, jwt, stored};
use desk::auth::token::sha256;
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};

const START: &str = "/api/support/call/start";
const ME: &str = "/api/support/staff/me";

/// The codes that were met.
#[derive(Default)]
struct Met(BTreeSet<String>);

impl Met {
    /// Sends a request that must be refused with this status and code.
    async fn meets(&mut self, status: u16, code: &str, ask: Ask<'_>) {
        let reply = ask.send().await;
        assert_eq!(
            (reply.status.as_u16(), reply.code().as_str()),
            (status, code),
            "{reply:?}"
        );
        // Whoever is told to wait is told how long.
        if matches!(
            code,
            "rate_limited"
                | "media_full"
                | "media_unavailable"
                | "recording_required"
                | "database"
                | "draining"
                | "storage"
                | "too_soon"
        ) {
            let wait: u32 = reply.header("retry-after").parse().expect("a number of seconds");
            assert!(wait >= 1, "{code}");
        }
        self.0.insert(code.to_owned());
    }
}

/// The codes that the description names.
fn described() -> BTreeSet<String> {
    let document: serde_json::Value = serde_json::from_str(&api::document()).unwrap();
    let text = document["info"]["description"].as_str().unwrap();
    let (_, rest) = text.split_once("is one of: ").expect("the description lists the codes");
    let (list, _) = rest.split_once('.').unwrap();
    list.split(", ").map(str::to_owned).collect()
}

/// The codes that the sources of this part make themselves.
fn written() -> BTreeSet<String> {
    let mut files = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut codes = BTreeSet::new();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let (code, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
        // `Failure::new(status, "code", …)`, and the framework's `STATUS => ("code", …)`.
        for mark in ["Failure::new(", "=> (\""] {
            for (at, _) in code.match_indices(mark) {
                let rest = &code[at + mark.len() - usize::from(mark.ends_with('"'))..];
                let call = &rest[..rest.find(')').unwrap()];
                if let Some(literal) = call.split('"').nth(1) {
                    codes.insert(literal.to_owned());
                }
            }
        }
    }
    codes
}

#[test]
fn the_description_names_exactly_the_codes_of_the_desk_and_those_written_here() {
    let desk = desk::Code::ALL.iter().map(|code| code.word().to_owned());
    let all: BTreeSet<String> = desk.chain(written()).collect();
    assert!(written().contains("malformed_json") && written().contains("precondition_required"));
    assert_eq!(described(), all);
}

/// What cannot be read, and who may not.
async fn malformed(server: &Server, met: &mut Met) {
    let post = || server.serve("POST", START);
    met.meets(400, "malformed_json", post().raw("application/json", "{"))
        .await;
    met.meets(415, "unsupported_media_type", post().raw("text/plain", "{}"))
        .await;
    met.meets(422, "validation", post().json(&json!({ "userId": "" })))
        .await;
    let large = vec![b' '; api::JSON_BYTES_MAX + 1];
    met.meets(413, "too_large", post().raw("application/json", large)).await;
    met.meets(400, "malformed", server.ask("DELETE", "/api/rtc/%FF")).await;
    met.meets(405, "method_not_allowed", server.serve("DELETE", START))
        .await;
    met.meets(404, "not_found", server.serve("GET", "/api/support/nothing"))
        .await;
    let upgrade = server
        .ask("GET", "/ws")
        .header("connection", "upgrade")
        .header("upgrade", "websocket");
    let upgrade = upgrade
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    // This request comes over no connection that could become a socket.
    met.meets(426, "refused", upgrade).await;

    met.meets(401, "unauthenticated", server.ask("GET", ME)).await;
    let expired = jwt("u1", |claims| claims["exp"] = json!(1_000_000_000));
    met.meets(
        401,
        "unauthenticated",
        server.ask("POST", START).bearer(&expired).json(&body("u1")),
    )
    .await;
    met.meets(
        403,
        "forbidden",
        server.ask("POST", START).bearer(&jwt("u1", |_| {})).json(&body("u2")),
    )
    .await;
    let sign_in = server
        .ask("POST", "/api/support/auth/login")
        .json(&json!({ "email": "a", "password": "b" }));
    let foreign = sign_in
        .header("origin", "https://evil.test")
        .header("sec-fetch-site", "cross-site");
    met.meets(403, "cross_site", foreign).await;
    let token = jwt("eager", |_| {});
    let eager = || server.ask("POST", START).bearer(&token).json(&body("eager"));
    for _ in 0..desk::limits::STARTS_PER_MINUTE {
        assert!(eager().send().await.status.is_success());
    }
    met.meets(429, "rate_limited", eager()).await;
    let keyed = |user| post().json(&body(user)).header("idempotency-key", "k");
    assert!(keyed("keyed").send().await.status.is_success());
    met.meets(422, "idempotency_mismatch", keyed("other")).await;
}

/// Media and its grants.
async fn media(server: &Server, met: &mut Met) {
    let grant = URL_SAFE_NO_PAD.encode([7; 32]);
    let offer = |sdp: &str| {
        server
            .ask("POST", "/api/rtc")
            .bearer(&grant)
            .raw("application/sdp", sdp)
    };
    met.meets(401, "unknown_grant", offer("v=0")).await;
    met.meets(400, "bad_offer", offer("x")).await;
    *server.world.media.refuses.lock().unwrap() = Some(ports::Refusal::Unavailable);
    met.meets(503, "media_unavailable", offer("v=0")).await;
    *server.world.media.refuses.lock().unwrap() = None;
    let resource = format!("/api/rtc/{}", URL_SAFE_NO_PAD.encode(sha256(&[7; 32])));
    let patch = || {
        let ask = server.ask("PATCH", &resource).bearer(&grant);
        ask.raw("application/trickle-ice-sdpfrag", "a=mid:0\r\n")
    };
    met.meets(428, "precondition_required", patch()).await;
    met.meets(401, "unknown_grant", patch().header("if-match", "*")).await;
    server.leg([7; 32]).await;
    assert_eq!(offer("v=0").send().await.status, 201);
    met.meets(412, "version_mismatch", patch().header("if-match", "\"older\""))
        .await;
    let load = |legs, draining| {
        let mut load = server.world.media.load.lock().unwrap();
        (load.legs, load.draining) = (legs, draining);
    };
    let start = || server.serve("POST", START).json(&body("late"));
    load(100, false);
    met.meets(503, "media_full", start()).await;
    load(0, true);
    met.meets(503, "draining", start()).await;
    load(0, false);
}

/// A call that another node has.
async fn nodes(server: &mut Server, met: &mut Met) {
    let start = || body("far");
    assert!(
        server
            .serve("POST", START)
            .json(&start())
            .send()
            .await
            .status
            .is_success()
    );
    server
        .world
        .run(
            "insert into helpline.media_nodes (id, epoch, ws_url, udp_addr, lease_until, started_at)
                values ('far', 1, 'wss://far.bank.test/ws', '', clock_timestamp() + interval '1 hour', clock_timestamp());
            update public.voice_calls set node_id = 'far', node_epoch = 1 where user_id = 'far'",
        )
        .await;
    met.meets(409, "other_node", server.serve("POST", START).json(&start()))
        .await;
    server
        .world
        .run("update public.voice_calls set node_id = (select id from helpline.media_nodes where id <> 'far') where user_id = 'far'")
        .await;
    let call = server.serve("POST", START).json(&start()).send().await.json()["callId"].clone();
    let path = format!("/api/support/call/{}/hangup", call.as_str().unwrap());
    assert!(server.serve("POST", path).send().await.status.is_success());
}

/// A recorder that promises nothing, and a queue that asks for one.
async fn recorder(server: &mut Server, met: &mut Met) {
    server
        .world
        .run("update helpline.queues set recording = 'required'")
        .await;
    server.world.media.load.lock().unwrap().recorder = ports::Recorder::Unavailable;
    let start = server.serve("POST", START).json(&body("unrecorded"));
    met.meets(503, "recording_required", start).await;
    server.world.media.load.lock().unwrap().recorder = ports::Recorder::Ready;
    server
        .world
        .run("update helpline.queues set recording = 'optional'")
        .await;
}

/// Recordings and their store.
async fn recordings(server: &mut Server, met: &mut Met) {
    let token = stored(server).await;
    let audio = || {
        server
            .ask("GET", format!("/api/support/recordings/{ID}/audio"))
            .bearer(&token)
    };
    met.meets(416, "range", audio().header("range", format!("bytes={BYTES}-")))
        .await;
    *server.world.recordings.down.lock().unwrap() = true;
    met.meets(503, "storage", audio()).await;
    *server.world.recordings.down.lock().unwrap() = false;
    let waveform = || {
        server
            .ask("GET", format!("/api/support/recordings/{ID}/waveform"))
            .bearer(&token)
    };
    *server.world.recordings.undrawn.lock().unwrap() = Some(ports::WaveformFault::Busy);
    met.meets(503, "waveform_busy", waveform()).await;
    *server.world.recordings.undrawn.lock().unwrap() = Some(ports::WaveformFault::Damaged);
    met.meets(500, "recording_damaged", waveform()).await;
    *server.world.recordings.undrawn.lock().unwrap() = None;
    server.world.recordings.files.lock().unwrap().clear();
    met.meets(404, "recording_missing", audio()).await;
}

/// The relay's secret.
async fn relay(server: &Server, met: &mut Met) {
    server.world.relay.wait_s.store(7, std::sync::atomic::Ordering::Relaxed);
    met.meets(409, "too_soon", server.serve("POST", "/api/support/relay/rotate"))
        .await;
}

/// A conference in which four speak already.
async fn voices(server: &mut Server, met: &mut Met) {
    let vera = server.online("vera").await;
    let offer = server.offer(&vera).await;
    let accept = format!("/api/support/offers/{}/accept", offer["offerId"].as_str().unwrap());
    let accepted = server.ask("POST", accept).bearer(&vera).send().await;
    assert_eq!(accepted.status, 200, "{accepted:?}");
    server
        .world
        .run(
            "update public.voice_calls set status = 'answered', answered_at = clock_timestamp() where status = 'connecting';
            insert into helpline.call_intervals (call_id, kind, started_at, actor)
                select id, 'conference', clock_timestamp(), 'system:test' from public.voice_calls where status = 'answered'",
        )
        .await;
    let mut bosses = Vec::new();
    for (name, sql) in [
        (
            "sue",
            "update helpline.staff set role = 'supervisor' where staff_name = 'sue'",
        ),
        (
            "sam",
            "update helpline.staff set role = 'supervisor' where staff_name = 'sam'",
        ),
    ] {
        bosses.push(server.promoted(name, sql).await);
    }
    let path = format!("/api/support/call/{}/supervise", offer["callId"].as_str().unwrap());
    let joins = |boss| server.ask("POST", &path).bearer(boss).json(&json!({ "mode": "barge" }));
    let fourth = joins(&bosses[0]).send().await;
    assert_eq!(fourth.status, 201, "{fourth:?}");
    met.meets(409, "too_many_voices", joins(&bosses[1])).await;
}

/// Offers that are over, and steps that come too early.
async fn offers(server: &mut Server, met: &mut Met) {
    let ann = server.online("ann").await;
    // Whoever waits longest is offered first.
    let offer = server.offer(&ann).await;
    let call = format!("/api/support/call/{}", offer["callId"].as_str().unwrap());
    let early = server.serve("POST", format!("{call}/leg"));
    met.meets(409, "illegal_transition", early).await;
    let offer = offer["offerId"].as_str().unwrap().to_owned();
    // From here on nobody looks at what has run out, and the row is found as it is.
    server.world.stop.cancel();
    let path = format!("/api/support/offers/{offer}/accept");
    server
        .world
        .run(
            "update helpline.offers set created_at = created_at - interval '1 minute',
            expires_at = expires_at - interval '1 minute'",
        )
        .await;
    met.meets(410, "offer_expired", server.ask("POST", &path).bearer(&ann))
        .await;
    server
        .world
        .run("update helpline.offers set expires_at = expires_at + interval '1 hour'")
        .await;
    assert!(
        server
            .serve("POST", format!("{call}/hangup"))
            .send()
            .await
            .status
            .is_success()
    );
    met.meets(409, "offer_lost", server.ask("POST", &path).bearer(&ann))
        .await;
}

/// The database: slow, in the way, broken. It is not whole afterwards.
async fn database(server: &mut Server, met: &mut Met) {
    // Somebody else's call that cannot be seen: the same name of a constraint from a trigger.
    server
        .world
        .run(
            "create function public.in_the_way() returns trigger language plpgsql as $$ begin
                raise exception 'in the way' using errcode = 'unique_violation',
                    constraint = 'one_live_call_per_customer';
            end $$;
            create trigger in_the_way before insert on public.voice_calls
                for each row execute function public.in_the_way()",
        )
        .await;
    let start = server.serve("POST", START).json(&body("last"));
    met.meets(409, "already_in_call", start).await;
    server.world.run("drop trigger in_the_way on public.voice_calls").await;

    // A lock that is not given back within five seconds.
    let options: PgConnectOptions = server.world.superuser_url().parse().unwrap();
    let mut hoarder = PgConnection::connect_with(&options).await.unwrap();
    let lock = "begin; lock table public.voice_calls in access exclusive mode";
    sqlx::raw_sql(lock).execute(&mut hoarder).await.unwrap();
    met.meets(503, "database", server.serve("POST", START).json(&body("last")))
        .await;
    sqlx::raw_sql("rollback").execute(&mut hoarder).await.unwrap();

    server.world.run("alter table public.voice_calls rename to gone").await;
    met.meets(500, "internal", server.serve("POST", START).json(&body("last")))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_code_is_met_over_http() {
    let mut server = server!(false);
    let mut met = Met::default();
    recordings(&mut server, &mut met).await;
    relay(&server, &mut met).await;
    malformed(&server, &mut met).await;
    media(&server, &mut met).await;
    recorder(&mut server, &mut met).await;
    nodes(&mut server, &mut met).await;
    voices(&mut server, &mut met).await;
    offers(&mut server, &mut met).await;
    database(&mut server, &mut met).await;
    assert_eq!(met.0, described(), "left: met, right: described");
}

/// Method, path and body; then what customer, agent, supervisor and admin hear, `-` when it is done. `0` is an id that
/// nothing has.
const ROLES: &str = r#"
GET   staff/me            {}                                  forbidden  -          -          -
PUT   staff/me/status     {"status":"away"}                   forbidden  -          -          -
GET   staff               {}                                  forbidden  -          -          -
POST  staff               {"email":"a@b","staffName":"A","role":"admin"} forbidden forbidden forbidden forbidden
PATCH staff/0             {"staffName":"A"}                   forbidden  forbidden  forbidden  not_found
POST  staff/0/sessions    {}                                  forbidden  forbidden  forbidden  forbidden
GET   queue/calls         {}                                  forbidden  -          -          -
GET   offers              {}                                  forbidden  -          -          -
POST  offers/0/accept     {}                                  forbidden  not_found  not_found  not_found
POST  offers/0/reject     {}                                  forbidden  not_found  not_found  not_found
GET   calls               {}                                  forbidden  -          -          -
GET   call/0              {}                                  not_found  not_found  not_found  not_found
GET   call/0/events       {}                                  forbidden  not_found  not_found  not_found
GET   call/0/quality      {}                                  forbidden  not_found  not_found  not_found
POST  call/0/quality      {"seconds":[{"loss":0,"jitterMs":1,"mos":4}]} not_found not_found not_found not_found
GET   call/0/recordings   {}                                  forbidden  not_found  not_found  not_found
POST  call/0/hangup       {}                                  not_found  not_found  not_found  not_found
GET   staff/available     {}                                  forbidden  -          -          -
GET   calls/live          {}                                  forbidden  forbidden  -          -
POST  call/0/hold         {}                                  not_found  not_found  not_found  not_found
POST  call/0/resume       {}                                  not_found  not_found  not_found  not_found
POST  call/0/mute         {"part":"agent"}                    not_found  not_found  not_found  not_found
POST  call/0/unmute       {"part":"supervisor"}               validation validation validation validation
POST  call/0/shield       {}                                  not_found  not_found  not_found  not_found
POST  call/0/unshield     {}                                  not_found  not_found  not_found  not_found
POST  call/0/consult      {"staffId":"00000000-0000-0000-0000-000000000009"} not_found not_found not_found not_found
POST  call/0/consult/complete {}                              not_found  not_found  not_found  not_found
POST  call/0/consult/merge {}                                 not_found  not_found  not_found  not_found
POST  call/0/consult/cancel {}                                not_found  not_found  not_found  not_found
POST  call/0/supervise    {"mode":"takeover"}                 forbidden  forbidden  not_found  not_found
POST  call/0/supervise    {"mode":"monitor"}                  forbidden  forbidden  not_found  not_found
DELETE call/0/supervise   {}                                  forbidden  not_found  not_found  not_found
POST  call/0/leg          {}                                  not_found  not_found  not_found  not_found
POST  call/0/wrapup/end   {}                                  forbidden  not_found  not_found  not_found
POST  call/0/wrapup/extend {}                                 forbidden  not_found  not_found  not_found
GET   recordings/0/audio  {}                                  forbidden  forbidden  not_found  not_found
GET   recordings/0/voices/1/audio {}                          forbidden  forbidden  not_found  not_found
GET   recordings/0/waveform {}                                forbidden  forbidden  not_found  not_found
GET   recordings/0/voices/1/waveform {}                       forbidden  forbidden  not_found  not_found
GET   call/seven          {}                                  not_found  not_found  not_found  not_found
POST  call/start          {"userId":"somebody-else"}          forbidden  forbidden  forbidden  forbidden
"#;

#[tokio::test(flavor = "multi_thread")]
async fn each_role_hears_its_own_answer_to_the_same_question() {
    let mut server = server!(false);
    let promote = [
        (
            "sue",
            "update helpline.staff set role = 'supervisor' where staff_name = 'sue'",
        ),
        (
            "ada",
            "update helpline.staff set role = 'admin' where staff_name = 'ada'",
        ),
    ];
    let mut tokens = vec![jwt("u1", |_| {}), server.staff("ann").await];
    for (name, sql) in promote {
        tokens.push(server.promoted(name, sql).await);
    }
    let nothing = uuid::Uuid::from_u128(9).to_string();
    let mut wrong = Vec::new();
    let mut asked = 0;
    for line in ROLES.lines().filter(|line| !line.is_empty()) {
        let words: Vec<&'static str> = line.split_whitespace().collect();
        let [method, path, given, expected @ ..] = words.as_slice() else {
            panic!("{line}");
        };
        let path = format!("/api/support/{}", path.replace("/0", &format!("/{nothing}")));
        for (token, code) in tokens.iter().zip(expected) {
            let ask = server.ask(method, &path).bearer(token);
            let reply = ask.raw("application/json", *given).send().await;
            let heard = if reply.status.is_success() {
                "-".to_owned()
            } else {
                reply.code()
            };
            if heard != *code {
                wrong.push(format!("{line}: {heard}"));
            }
            asked += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(asked, 41 * 4);
}
