//! Our own protocol over real sockets: a whole call, coming back, and everything that is refused.

mod common;

use common::world::{ANSWER, PATIENCE, service};
use common::{Came, Server};
use serde_json::{Value, json};
use signaling::{MESSAGE_BYTES_MAX, MESSAGES_BURST, SOCKETS_PER_PERSON_MAX};
use tokio_tungstenite::tungstenite::Message;
use wire::staff::StaffRole;

const OFFER: &str = "v=0\r\ns=offer\r\n";

/// Starts a server, or ends the test on a machine without PostgreSQL.
macro_rules! server {
    () => {
        match Server::start().await {
            Some(server) => server,
            None => return,
        }
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_from_hello_to_wrap_up() {
    let server = server!();
    let mut agent = server.agent("ann").await;
    let (mut customer, call, welcome) = server.customer("u1").await;
    let call_id = uuid::Uuid::from_u128(call.0).to_string();
    assert_eq!(welcome["data"]["snapshot"]["call"]["callId"], call_id.as_str());
    assert_eq!(welcome["data"]["resumed"], false);
    assert_eq!(welcome["data"]["session"].as_str().unwrap().len(), 64);

    let offer = agent.expect("call.offered").await;
    assert_eq!(offer["data"]["callId"], call_id.as_str());
    let accepted = agent
        .ask("offer.accept", json!({ "offerId": offer["data"]["offerId"] }))
        .await;
    assert_eq!(accepted["type"], "offer.accepted", "{accepted}");

    // Both hear that they may attach, without asking.
    let granted = customer.expect("leg.grant").await["data"]["grant"].clone();
    assert_eq!(granted["part"], "customer");
    let given = agent.expect("leg.grant").await["data"]["grant"].clone();
    assert_eq!(given["part"], "agent");
    for (line, leg) in [(&mut customer, &granted), (&mut agent, &given)] {
        let offer = json!({ "legId": leg["legId"], "grant": leg["grant"], "sdp": OFFER });
        let answer = line.ask("leg.offer", offer.clone()).await;
        assert_eq!(answer["type"], "leg.answer", "{answer}");
        assert_eq!(answer["data"], json!({ "legId": leg["legId"], "sdp": ANSWER }));
        let again = line.ask("leg.restart", offer).await;
        assert_eq!(again["type"], "leg.answer");
    }
    let told = customer.expect("call.answered").await;
    assert_eq!(told["data"]["call"]["agentName"], "ann");
    assert!(told["seq"].as_u64().unwrap() > 0);

    let candidate = json!({ "legId": granted["legId"], "grant": granted["grant"], "candidate": "candidate:1" });
    customer.send("leg.candidate", candidate).await;
    let renewed = customer.ask("leg.renew", json!({ "callId": call_id })).await;
    assert_eq!(renewed["data"]["grant"]["legId"], granted["legId"]);
    assert_ne!(renewed["data"]["grant"]["grant"], granted["grant"]);
    assert_eq!(server.world.media.candidates(), ["candidate:1"]);
    let quality = customer.expect("call.quality").await;
    assert_eq!(
        (&quality["seq"], &quality["data"]["callId"]),
        (&json!(0), &json!(call_id))
    );

    let own = json!({ "callId": call_id, "part": "customer" });
    let muted = customer.ask("call.mute", own.clone()).await;
    assert_eq!(muted["data"]["call"]["mutedSelf"], json!(["customer"]), "{muted}");
    let heard = customer.ask("call.unmute", own).await;
    assert_eq!(heard["data"]["call"]["muted"], json!([]), "{heard}");

    let over = customer
        .ask("call.hangup", json!({ "callId": call_id, "reason": "wrong number" }))
        .await;
    assert_eq!(over["data"]["call"]["status"], "completed", "{over}");
    let history = server.world.desk.call_events(&service(), call).await.unwrap().events;
    let ended = history
        .iter()
        .find(|event| event.kind == "call.completed")
        .expect("its end");
    assert_eq!(ended.data["word"], "wrong number", "as by the other door");
    let wrap_up = agent.expect("call.wrap_up").await;
    assert_eq!(wrap_up["data"]["callId"], call_id.as_str());
    let longer = agent.ask("wrapup.extend", json!({ "callId": call_id })).await;
    assert_eq!(longer["type"], "call.wrap_up", "{longer}");
    let done = agent.ask("wrapup.end", json!({ "callId": call_id })).await;
    assert_eq!(done["type"], "ok", "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_controls_the_call_and_a_colleague_joins_over_sockets() {
    let server = server!();
    let mut agent = server.agent("ann").await;
    let (mut customer, call, _) = server.customer("u1").await;
    let call_id = uuid::Uuid::from_u128(call.0).to_string();
    let offer = agent.expect("call.offered").await;
    assert_eq!(offer["data"]["kind"], "call");
    let offer = json!({ "offerId": offer["data"]["offerId"] });
    let accepted = agent.ask("offer.accept", offer).await;
    for (line, leg) in [
        (&mut customer, None),
        (&mut agent, Some(accepted["data"]["leg"].clone())),
    ] {
        let leg = match leg {
            Some(leg) => leg,
            None => line.expect("leg.grant").await["data"]["grant"].clone(),
        };
        let offer = json!({ "legId": leg["legId"], "grant": leg["grant"], "sdp": OFFER });
        assert_eq!(line.ask("leg.offer", offer).await["type"], "leg.answer");
    }
    customer.expect("call.answered").await;

    let of = |more: Value| {
        let mut data = json!({ "callId": call_id });
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        data
    };
    let held = agent.ask("call.hold", of(json!({ "reason": "looks it up" }))).await;
    assert_eq!(held["type"], "call.changed", "{held}");
    assert!(held["data"]["call"]["heldSince"].is_string());
    customer.expect("call.held").await;
    let back = agent.ask("call.resume", of(json!({}))).await;
    assert!(back["data"]["call"]["heldSince"].is_null());
    let muted = agent.ask("call.mute", of(json!({ "part": "customer" }))).await;
    assert_eq!(muted["data"]["call"]["muted"], json!(["customer"]));
    assert_eq!(
        customer.expect("call.muted").await["data"]["call"]["muted"],
        json!(["customer"])
    );
    let refused = customer.ask("call.unmute", of(json!({ "part": "customer" }))).await;
    assert_eq!(refused["data"]["code"], "forbidden");
    let heard = agent.ask("call.unmute", of(json!({ "part": "customer" }))).await;
    assert_eq!(heard["data"]["call"]["muted"], json!([]));

    let mut ben = server.agent("ben").await;
    let me = ben.ask("snapshot", Value::Null).await["data"]["me"]["staffId"].clone();
    let rings = agent.ask("call.consult", of(json!({ "staffId": me }))).await;
    assert_eq!(rings["data"]["call"]["consult"]["state"], "ringing", "{rings}");
    let shown = customer.expect("call.consulting").await["data"]["call"].clone();
    assert!(shown["heldSince"].is_string() && shown["consult"].is_null() && shown["agentId"].is_null());
    let asked = ben.expect("call.offered").await["data"].clone();
    assert_eq!((&asked["kind"], &asked["fromName"]), (&json!("consult"), &json!("ann")));
    let accepted = ben.ask("offer.accept", json!({ "offerId": asked["offerId"] })).await;
    assert_eq!(accepted["data"]["leg"]["part"], "partner", "{accepted}");
    let leg = &accepted["data"]["leg"];
    let offer = json!({ "legId": leg["legId"], "grant": leg["grant"], "sdp": OFFER });
    assert_eq!(ben.ask("leg.offer", offer).await["type"], "leg.answer");
    ben.expect("call.quality").await;
    let snapshot = ben.ask("snapshot", Value::Null).await;
    assert_eq!(
        snapshot["data"]["call"]["consult"]["state"], "talking",
        "after a reload"
    );
    let three = agent.ask("call.consult.merge", of(json!({}))).await;
    assert_eq!(three["data"]["call"]["consult"]["state"], "conference");

    // He goes; from then on nothing of the sound concerns him.
    let left = ben.ask("call.hangup", json!({ "callId": call_id })).await;
    assert_eq!(left["data"]["call"]["status"], "answered", "{left}");
    let ended = agent.expect("call.consult_ended").await;
    assert!(ended["data"]["call"]["consult"].is_null());
    ben.expect("call.consult_ended").await;
    ben.ask("probe.ping", json!({ "nonce": "a" })).await;
    let gone = ben.ask("call.hangup", json!({ "callId": call_id })).await;
    assert_eq!(gone["data"]["code"], "not_found");
    let nobody = agent.ask("call.consult.complete", of(json!({}))).await;
    assert_eq!(nobody["data"]["code"], "illegal_transition");
    let back = agent.ask("call.consult.cancel", of(json!({}))).await;
    assert_eq!(back["type"], "call.changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_needs_the_role_for_each_mode_here_too() {
    let server = server!();
    let call = json!(uuid::Uuid::from_u128(7));
    let modes = ["monitor", "whisper", "barge", "takeover"];
    for (name, role, may) in [
        ("ann", StaffRole::Agent, 0),
        ("lee", StaffRole::TeamLead, 2),
        ("sue", StaffRole::Supervisor, 4),
    ] {
        let (_, token) = server.world.staff(name, role).await;
        let mut line = server.hello(json!({ "token": token })).await;
        line.expect("welcome").await;
        for (n, mode) in modes.into_iter().enumerate() {
            let wanted = json!({ "callId": call, "mode": mode });
            let refused = line.ask("call.supervise", wanted).await;
            // The call is none; who may not is told so before anybody looks for it.
            let code = if n < may { "not_found" } else { "forbidden" };
            assert_eq!(refused["data"]["code"], code, "{name} {mode}: {refused}");
        }
        let left = line.ask("call.supervise.end", json!({ "callId": call })).await;
        assert_eq!(left["data"]["code"], "not_found");
    }
    let (mut customer, call, _) = server.customer("u1").await;
    let call = json!(uuid::Uuid::from_u128(call.0));
    let wanted = json!({ "callId": call, "mode": "monitor" });
    let refused = customer.ask("call.supervise", wanted).await;
    assert_eq!(refused["data"]["code"], "forbidden", "{refused}");
    let refused = customer.ask("call.supervise.end", json!({ "callId": call })).await;
    assert_eq!(refused["data"]["code"], "forbidden", "{refused}");
    for list in ["calls.live", "staff.available"] {
        assert_eq!(
            customer.ask(list, Value::Null).await["data"]["code"],
            "forbidden",
            "{list}"
        );
    }
    let mode = json!({ "callId": call, "mode": "eavesdrop" });
    assert_eq!(
        customer.ask("call.supervise", mode).await["data"]["code"],
        "bad_message"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_hears_what_he_missed() {
    let server = server!();
    let (mut customer, call, welcome) = server.customer("u1").await;
    let session = welcome["data"]["session"].clone();
    let seq = welcome["seq"].clone();
    customer.socket.close(None).await.unwrap();
    assert!(matches!(customer.closed().await, 1000 | 1005 | 1006));
    server.world.desk.hang_up(&service(), call, None).await.unwrap();

    let resume = json!({ "resume": { "session": session, "lastSeq": seq } });
    let mut back = server.hello(resume.clone()).await;
    let again = back.expect("welcome").await;
    assert_eq!(
        (&again["data"]["resumed"], &again["data"]["session"]),
        (&json!(true), &session)
    );
    assert_eq!(again["data"]["snapshot"], Value::Null);
    let missed = back.expect("call.abandoned").await;
    assert!(missed["seq"].as_u64().unwrap() > seq.as_u64().unwrap());

    // A second connection of the same session takes it over.
    let mut other = server.hello(resume).await;
    other.expect("welcome").await;
    assert_eq!(back.closed().await, 4409);

    // A number that was never given is a gap: everything is drawn anew.
    let mut lost = server
        .hello(json!({ "resume": { "session": session, "lastSeq": 1_000_000 } }))
        .await;
    let welcome = lost.expect("welcome").await;
    assert_eq!(welcome["data"]["resumed"], false);
    assert!(welcome["data"]["snapshot"].is_object());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_without_a_valid_credential() {
    let server = server!();
    let started = server.world.call("u1").await;
    let ticket = json!({ "token": started.token });
    let mut first = server.hello(ticket.clone()).await;
    first.expect("welcome").await;
    // A page that was heard has used its ticket up.
    first.ask("snapshot", Value::Null).await;
    let unknown = json!({ "resume": { "session": "0".repeat(64), "lastSeq": 0 } });
    let key = json!({ "token": common::world::SERVICE_KEY });
    for hello in [
        ticket,
        json!({}),
        json!({ "token": "hlt_x" }),
        json!({ "token": "a.b.c" }),
        unknown,
        key,
    ] {
        let mut line = server.hello(hello.clone()).await;
        assert_eq!(line.error().await, "unauthenticated", "{hello}");
        assert_eq!(line.closed().await, 4401, "{hello}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cookie_of_the_console_opens_its_socket_and_signing_out_ends_it() {
    let server = server!();
    let (_, token) = server.world.staff("ann", StaffRole::Agent).await;
    let mut line = server.open("/", &[("cookie", &format!("hl_staff={token}"))]).await;
    line.send("hello", json!({})).await;
    let welcome = line.expect("welcome").await;
    assert_eq!(welcome["data"]["snapshot"]["me"]["staffName"], "ann");
    line.socket.close(None).await.unwrap();

    let caller = server.world.desk.auth().bearer(&token).await.unwrap();
    server.world.desk.auth().sign_out(&caller).await.unwrap();
    let resume = json!({ "resume": { "session": welcome["data"]["session"], "lastSeq": 0 } });
    assert_eq!(server.hello(resume).await.closed().await, 4401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_is_told_off() {
    let server = server!();
    assert_eq!(
        server
            .open("/ws", &[("origin", "https://evil.test")])
            .await
            .closed()
            .await,
        4403
    );
    let started = server.world.call("u1").await;
    let mut line = server.open("/ws", &[("origin", "https://bank.test")]).await;
    line.send("hello", json!({ "token": started.token })).await;
    line.expect("welcome").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_read_is_answered_and_the_session_goes_on() {
    let server = server!();
    let (mut line, call, _) = server.customer("u1").await;
    for (text, code) in [
        ("{", "bad_message"),
        ("[]", "bad_message"),
        (r#"{"v":2,"type":"snapshot"}"#, "bad_version"),
        (r#"{"v":1,"type":"dance"}"#, "unknown_type"),
        (r#"{"v":1,"type":"leg.offer","data":{}}"#, "bad_message"),
        (r#"{"v":1,"type":"hello","data":{}}"#, "validation"),
    ] {
        line.text(text).await;
        assert_eq!(line.error().await, code, "{text}");
    }
    let call_id = uuid::Uuid::from_u128(call.0);
    let nothing = uuid::Uuid::nil();
    let grant = "A".repeat(43);
    for (kind, data, code) in [
        ("leg.renew", json!({ "callId": call_id }), "illegal_transition"),
        ("call.hangup", json!({ "callId": nothing }), "not_found"),
        ("offer.accept", json!({ "offerId": nothing }), "forbidden"),
        ("presence.set", json!({ "status": "online" }), "forbidden"),
        (
            "leg.offer",
            json!({ "legId": nothing, "grant": grant, "sdp": OFFER }),
            "unknown_grant",
        ),
        (
            "leg.offer",
            json!({ "legId": nothing, "grant": "x", "sdp": OFFER }),
            "unknown_grant",
        ),
        (
            "leg.offer",
            json!({ "legId": nothing, "grant": grant, "sdp": "x" }),
            "offer_malformed",
        ),
        (
            "leg.candidate",
            json!({ "legId": nothing, "grant": grant, "candidate": "c" }),
            "unknown_grant",
        ),
    ] {
        let answer = line.ask(kind, data).await;
        assert_eq!(answer["data"]["code"], code, "{kind}: {answer}");
    }
    let snapshot = line.ask("snapshot", Value::Null).await;
    assert_eq!(snapshot["data"]["call"]["callId"], call_id.to_string());
    let pong = line.ask("probe.ping", json!({ "nonce": "n" })).await;
    assert_eq!(
        (&pong["type"], &pong["data"]["nonce"]),
        (&json!("probe.pong"), &json!("n"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_message_that_is_none_ends_the_connection() {
    let server = server!();
    for text in ["{", r#"{"v":1,"type":"snapshot"}"#, r#"{"type":"offer","to":"sfu"}"#] {
        let mut line = server.open("/ws", &[]).await;
        line.text(text).await;
        assert_eq!(line.closed().await, 4400, "{text}");
    }
    let mut line = server.open("/ws", &[]).await;
    line.socket.send_binary().await;
    assert_eq!(line.closed().await, 4400);
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_not_waited_for_longer_than_its_limit() {
    let server = server!();
    let mut line = server.open("/ws", &[]).await;
    let began = tokio::time::Instant::now();
    assert_eq!(line.closed().await, 4408);
    let waited = began.elapsed();
    assert!(
        waited >= signaling::HELLO_WITHIN - std::time::Duration::from_millis(100),
        "{waited:?}"
    );
    assert!(waited < PATIENCE, "{waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_has_a_largest_size() {
    let server = server!();
    let (mut line, ..) = server.customer("u1").await;
    let padded = |bytes: usize| {
        let frame = r#"{"v":1,"id":"big","type":"dance","data":""}"#;
        frame.replace(r#""""#, &format!("\"{}\"", "x".repeat(bytes - frame.len())))
    };
    assert_eq!(padded(MESSAGE_BYTES_MAX).len(), MESSAGE_BYTES_MAX);
    line.text(padded(MESSAGE_BYTES_MAX)).await;
    assert_eq!(line.error().await, "unknown_type", "the largest one is read");
    line.text(padded(MESSAGE_BYTES_MAX + 1)).await;
    assert_eq!(line.closed().await, 4400);

    let (mut line, ..) = server.customer("u2").await;
    let _ = line.socket.send_text(padded(signaling::FRAME_BYTES_MAX + 1)).await;
    let code = line.closed().await;
    assert!(matches!(code, 1000 | 1006), "{code}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_ends_the_connection() {
    let server = server!();
    let (mut line, ..) = server.customer("u1").await;
    let mut sent = 0;
    let code = loop {
        let message = r#"{"v":1,"type":"dance"}"#.to_owned();
        if sent > MESSAGES_BURST * 20 || line.socket.send_text(message).await.is_err() {
            break line.closed().await;
        }
        sent += 1;
    };
    assert!(matches!(code, 4400 | 1006), "{code}");
    assert!(sent >= MESSAGES_BURST, "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sixth_socket_of_a_person_closes_the_first() {
    let server = server!();
    let (_, token) = server.world.staff("ann", StaffRole::Agent).await;
    let mut lines = Vec::new();
    for _ in 0..=SOCKETS_PER_PERSON_MAX {
        let mut line = server.hello(json!({ "token": token })).await;
        line.expect("welcome").await;
        lines.push(line);
    }
    assert_eq!(lines[0].closed().await, 4409);
    for line in &mut lines[1..] {
        let snapshot = line.ask("snapshot", Value::Null).await;
        assert_eq!(snapshot["type"], "snapshot");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_emptied_says_so_to_everybody() {
    let server = server!();
    let (mut line, ..) = server.customer("u1").await;
    let mut silent = server.open("/ws", &[]).await;
    server.closing.cancel();
    assert_eq!(line.closed().await, 4503);
    assert_eq!(silent.closed().await, 4503);
    let mut late = server.open("/ws", &[]).await;
    assert_eq!(late.came().await, Came::Closed(4503));
    server.world.end().await;
}

/// Sending where the other end may have gone already.
trait Sending {
    async fn send_text(&mut self, text: String) -> Result<(), tokio_tungstenite::tungstenite::Error>;
    async fn send_binary(&mut self);
}

impl Sending for tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>> {
    async fn send_text(&mut self, text: String) -> Result<(), tokio_tungstenite::tungstenite::Error> {
        futures_util::SinkExt::send(self, Message::text(text)).await
    }

    async fn send_binary(&mut self) {
        futures_util::SinkExt::send(self, Message::binary(vec![1, 2, 3]))
            .await
            .expect("the connection is open");
    }
}
