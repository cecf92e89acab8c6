//! Joining by plain HTTP, status by status (RFC 9725), at both doors: the one for clients that only speak and the one
//! for both ways of sound.

mod common;

use axum::http::StatusCode;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use common::{Ask, Reply, Server};
use ports::Refusal;

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const DOORS: [&str; 2] = ["/api/whip", "/api/rtc"];
const CANDIDATE: &str = "a=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n";
const RESTART: &str = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdef012345\r\n";

/// A leg and the bearer token that speaks for it.
async fn grant(server: &Server, number: u8) -> String {
    server.leg([number; 32]).await;
    URL_SAFE_NO_PAD.encode([number; 32])
}

fn offer<'a>(server: &'a Server, door: &str, grant: &str, sdp: &str) -> Ask<'a> {
    server.ask("POST", door).bearer(grant).raw(SDP, sdp)
}

fn patch<'a>(server: &'a Server, place: &str, grant: &str, fragment: &str) -> Ask<'a> {
    server.ask("PATCH", place).bearer(grant).raw(FRAGMENT, fragment)
}

async fn joined(server: &Server, door: &str, grant: &str) -> Reply {
    let reply = offer(server, door, grant, "v=0\r\n").send().await;
    assert_eq!(reply.status, StatusCode::CREATED, "{reply:?}");
    reply
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_makes_a_session_with_an_address_and_a_tag() {
    let server = server!(false);
    for (number, door) in (1..).zip(DOORS) {
        let grant = grant(&server, number).await;
        let reply = joined(&server, door, &grant).await;
        assert_eq!(reply.header("content-type"), SDP);
        assert_eq!(reply.body, common::world::ANSWER.as_bytes());
        assert_eq!(reply.header("accept-patch"), FRAGMENT);
        let name = reply.header("location").strip_prefix(&format!("{door}/"));
        let name = URL_SAFE_NO_PAD.decode(name.expect("below its door")).unwrap();
        assert!(name.len() * 8 >= 128, "it cannot be guessed");
        assert!(!reply.header("location").contains(&grant), "nor does it open anything");
        let tag = reply.header("etag");
        assert!(
            tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2,
            "strong: {tag}"
        );
        // Who has joined may come through the relay, with credentials of this leg (the number is its id here).
        let links: Vec<_> = reply.headers.get_all("link").iter().collect();
        let own = format!("<{}>; rel=\"ice-server\"; username=", common::world::relay::OWN);
        let mine = links.iter().filter_map(|link| link.to_str().ok());
        let mine: Vec<_> = mine.filter(|link| link.starts_with(&own)).collect();
        assert_eq!((links.len(), mine.len()), (3, 1), "{links:?}");
        assert!(mine[0].contains(&format!(":{number:032x}:0")), "{mine:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn candidates_are_taken_under_the_tag_and_a_star_restarts() {
    let server = server!(false);
    for (number, door) in (1..).zip(DOORS) {
        let grant = grant(&server, number).await;
        let reply = joined(&server, door, &grant).await;
        let (place, first) = (reply.header("location"), reply.header("etag"));
        let patch = |fragment: &str| patch(&server, place, &grant, fragment);

        let before = server.world.media.candidates().len();
        let trickled = patch(CANDIDATE).header("if-match", first).send().await;
        assert_eq!((trickled.status, trickled.body.len()), (StatusCode::NO_CONTENT, 0));
        assert_eq!(server.world.media.candidates().len(), before + 1);
        assert_eq!(patch(CANDIDATE).send().await.status, 428);
        let wrong = patch(CANDIDATE).header("if-match", "\"another\"").send().await;
        assert_eq!(wrong.status, StatusCode::PRECONDITION_FAILED);
        let weak = patch(CANDIDATE).header("if-match", format!("W/{first}"));
        assert_eq!(weak.send().await.status, 412, "a weak tag names nothing");
        let unreadable = patch("nothing").header("if-match", first).send().await;
        assert_eq!(
            (unreadable.status.as_u16(), unreadable.code().as_str()),
            (400, "bad_offer")
        );
        assert_eq!(
            server.world.media.candidates().len(),
            before + 1,
            "refused ones count nothing"
        );

        let failed = patch(CANDIDATE).header("if-match", "\"*\"").send().await;
        assert_eq!(failed.status, StatusCode::BAD_REQUEST, "a restart without credentials");
        let still = patch(CANDIDATE).header("if-match", first).send().await;
        assert_eq!(
            still.status,
            StatusCode::NO_CONTENT,
            "a failed restart keeps the session"
        );

        let again = patch(RESTART).header("if-match", "\"*\"").send().await;
        assert_eq!(again.status, StatusCode::OK);
        assert_eq!(again.header("content-type"), FRAGMENT);
        assert!(again.body.starts_with(b"a=ice-ufrag:"));
        let second = again.header("etag");
        assert!(second.starts_with('"') && second != first);
        let old = patch(CANDIDATE).header("if-match", first).send().await;
        assert_eq!(old.status, StatusCode::PRECONDITION_FAILED);
        let new = patch(CANDIDATE).header("if-match", format!("{first}, {second}"));
        assert_eq!(new.send().await.status, StatusCode::NO_CONTENT);
    }
}

/// Sends what must be refused with this status and code.
async fn refused(status: u16, code: &str, ask: Ask<'_>) -> Reply {
    let reply = ask.send().await;
    assert_eq!(
        (reply.status.as_u16(), reply.code().as_str()),
        (status, code),
        "{reply:?}"
    );
    reply
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_served_is_told_from_what_cannot_be_read() {
    let server = server!(false);
    for (number, door) in (1..).zip(DOORS) {
        let grant = grant(&server, number).await;
        let post = |sdp: &str| offer(&server, door, &grant, sdp);
        refused(400, "bad_offer", post("no description")).await;
        refused(422, "bad_offer", post("v=0\r\nsetup_passive")).await;
        refused(406, "bad_offer", post("v=0\r\noffer_taken_in_part")).await;
        refused(406, "bad_offer", post("v=0\r\noffer_sends_nothing")).await;
        refused(415, "unsupported_media_type", post("v=0").raw("text/plain", "v=0")).await;
        refused(415, "unsupported_media_type", server.ask("POST", door).bearer(&grant)).await;
        refused(401, "unknown_grant", offer(&server, door, "nobody", "v=0")).await;
        refused(413, "too_large", post(&"v=0\n".repeat(8 * 1024 + 1))).await;
        for method in ["GET", "PUT", "PATCH", "DELETE"] {
            let reply = refused(405, "method_not_allowed", server.ask(method, door).bearer(&grant)).await;
            assert!(reply.header("allow").contains("POST"), "{}", reply.header("allow"));
        }
        // A HEAD has no body, so no document.
        let head = server.ask("HEAD", door).bearer(&grant).send().await;
        assert_eq!(head.status, StatusCode::METHOD_NOT_ALLOWED);
        for (refusal, code) in [
            (Refusal::Draining, "draining"),
            (Refusal::Full { retry_after_s: 7 }, "media_full"),
            (Refusal::Unavailable, "media_unavailable"),
        ] {
            *server.world.media.refuses.lock().unwrap() = Some(refusal);
            let reply = refused(503, code, post("v=0")).await;
            let wait: u32 = reply.header("retry-after").parse().expect("seconds");
            assert!((1..=60).contains(&wait), "{wait}");
        }
        *server.world.media.refuses.lock().unwrap() = None;

        let place = format!(
            "{door}/{}",
            URL_SAFE_NO_PAD.encode(desk::auth::token::sha256(&[number; 32]))
        );
        let early = patch(&server, &place, &grant, CANDIDATE).header("if-match", "*");
        refused(404, "not_found", early).await;
        joined(&server, door, &grant).await;
        let typed = server.ask("PATCH", &place).bearer(&grant).raw(SDP, CANDIDATE);
        refused(415, "unsupported_media_type", typed.header("if-match", "*")).await;
        for method in ["GET", "POST", "PUT"] {
            refused(405, "method_not_allowed", server.ask(method, &place).bearer(&grant)).await;
        }
        refused(
            404,
            "not_found",
            server.ask("DELETE", format!("{door}/x")).bearer(&grant),
        )
        .await;
        refused(401, "unknown_grant", server.ask("DELETE", &place)).await;
        let left = server.ask("DELETE", &place).bearer(&grant).send().await;
        assert_eq!(left.status, StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_door_says_what_it_takes() {
    let server = server!(false);
    for door in DOORS {
        let reply = server.ask("OPTIONS", door).send().await;
        assert_eq!(
            (reply.status, reply.header("accept-post")),
            (StatusCode::NO_CONTENT, SDP)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_grant_asks_so_often_and_not_more() {
    let server = server!(false);
    let (busy, other) = (grant(&server, 1).await, grant(&server, 2).await);
    for n in 0..api::JOININGS_PER_MINUTE {
        assert_eq!(
            offer(&server, "/api/whip", &busy, "v=0").send().await.status,
            201,
            "{n}"
        );
    }
    // A bucket fills again while it is emptied: at most a few more than there are.
    let mut more = 0;
    let limited = loop {
        let reply = offer(&server, "/api/whip", &busy, "v=0").send().await;
        if !reply.status.is_success() {
            break reply;
        }
        more += 1;
        assert!(more < api::JOININGS_PER_MINUTE, "there is no limit");
    };
    assert_eq!(limited.code(), "rate_limited");
    assert!(limited.header("retry-after").parse::<u32>().is_ok());
    assert_eq!(
        offer(&server, "/api/rtc", &busy, "v=0").send().await.code(),
        "rate_limited"
    );
    assert_eq!(offer(&server, "/api/rtc", &other, "v=0").send().await.status, 201);
}
