//! The integration guide's join/to protocol as its own clients speak it, and the faults that its server had.

mod common;

use common::world::ANSWER;
use common::{Line, Server};
use serde_json::{Value, json};

/// Starts a server, or ends the test on a machine without PostgreSQL.
macro_rules! server {
    () => {
        match Server::start().await {
            Some(server) => server,
            None => return,
        }
    };
}

/// Joins as the guide's client does: no version, no token.
async fn visitor(server: &Server, peer: &str) -> Line {
    let mut line = server.open("/", &[]).await;
    line.text(format!(r#"{{"type":"join","peerId":"{peer}"}}"#)).await;
    let joined = line.message().await;
    assert_eq!(joined, json!({ "type": "joined", "peerId": peer }));
    line
}

/// Joins a call by the cookie that starting it has set.
async fn caller(server: &Server, user: &str, peer: &str) -> Line {
    let started = server.world.call(user).await;
    let user = call_model::UserId::new(user).expect("a name");
    let call = call_model::CallId(started.call_id.as_u128());
    let pass = server.world.desk.auth().issue_pass(user, call, started.server_time.0);
    let cookie = format!("hl_call={}", pass.expose());
    let mut line = server.open("/", &[("cookie", &cookie)]).await;
    line.json(&json!({ "type": "join", "peerId": peer })).await;
    assert_eq!(line.message().await["type"], "joined");
    line
}

/// The message of one type; events of the call pass by.
async fn of_type(line: &mut Line, kind: &str) -> Value {
    loop {
        let message = line.message().await;
        if message["type"] == kind {
            return message;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_of_the_guide_find_each_other() {
    let server = server!();
    let mut alice = visitor(&server, "alice").await;
    let mut bob = visitor(&server, "bob").await;
    alice.json(&json!({ "type": "offer", "to": "bob", "sdp": "v=0" })).await;
    let heard = bob.message().await;
    assert_eq!(
        heard,
        json!({ "type": "offer", "to": "bob", "sdp": "v=0", "from": "alice" })
    );
    bob.json(&json!({ "type": "answer", "to": "alice", "sdp": "v=0", "from": "the queen" }))
        .await;
    assert_eq!(alice.message().await["from"], "bob", "nobody speaks as another");
    alice
        .json(&json!({ "type": "candidate", "to": "bob", "candidate": { "candidate": "c" } }))
        .await;
    assert_eq!(bob.message().await["candidate"]["candidate"], "c");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_killed_the_guides_server_is_an_error_here() {
    let server = server!();
    let mut alice = visitor(&server, "alice").await;
    for text in [
        "{",
        "not json",
        "[1]",
        "{}",
        r#"{"type":"join"}"#,
        r#"{"type":"join","peerId":""}"#,
    ] {
        alice.text(text).await;
        assert_eq!(alice.error().await, "bad_message", "{text}");
    }
    alice.json(&json!({ "to": "nobody", "x": 1 })).await;
    assert_eq!(alice.error().await, "unknown_peer");
    alice.json(&json!({ "type": "join", "peerId": "sfu" })).await;
    assert_eq!(alice.error().await, "peer_reserved");
    alice.json(&json!({ "type": "dance", "to": "sfu" })).await;
    assert_eq!(alice.error().await, "unknown_type");
    // A visitor is in no call.
    alice.json(&json!({ "type": "offer", "to": "sfu", "sdp": "v=0" })).await;
    assert_eq!(alice.error().await, "not_found");
    alice
        .json(&json!({ "type": "candidate", "to": "sfu", "candidate": "c" }))
        .await;
    assert_eq!(alice.error().await, "unknown_grant");

    let mut first = server.open("/", &[]).await;
    first.text(r#"{"type":"join","peerId":"sfu"}"#).await;
    assert_eq!(first.error().await, "peer_reserved");
    assert_eq!(first.closed().await, 4400);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_sockets_end_does_not_take_the_new_one_with_it() {
    let server = server!();
    let mut alice = visitor(&server, "alice").await;
    let mut old = visitor(&server, "bob").await;
    let mut new = visitor(&server, "bob").await;
    old.socket.close(None).await.unwrap();
    old.closed().await;
    alice.json(&json!({ "to": "bob", "n": 1 })).await;
    assert_eq!(new.message().await, json!({ "to": "bob", "n": 1, "from": "alice" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_of_different_calls_do_not_meet_and_a_name_belongs_to_its_call() {
    let server = server!();
    let mut one = caller(&server, "u1", "me").await;
    // The same name in another call is another peer.
    let mut two = caller(&server, "u2", "me").await;
    let mut other = visitor(&server, "visitor").await;
    one.json(&json!({ "to": "visitor" })).await;
    assert_eq!(one.error().await, "unknown_peer");
    other.json(&json!({ "to": "me" })).await;
    assert_eq!(other.error().await, "unknown_peer");
    two.json(&json!({ "to": "me" })).await;
    assert_eq!(two.error().await, "unknown_peer", "nobody is his own peer");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_do_not_join() {
    let server = server!();
    for (headers, token) in [
        (&[("origin", "https://bank.test")][..], None),
        (&[("x-forwarded-for", "192.0.2.1")][..], None),
        (&[][..], Some("hlt_x")),
    ] {
        let mut line = server.open("/", headers).await;
        line.json(&json!({ "type": "join", "peerId": "eve", "token": token }))
            .await;
        assert_eq!(line.error().await, "unauthenticated", "{headers:?}");
        assert_eq!(line.closed().await, 4401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reserved_peer_is_our_media_and_nobody_takes_a_colleagues_name() {
    let mut server = server!();
    let mut agent = server.agent("ann").await;
    let mut customer = caller(&server, "u1", "customer").await;
    customer
        .json(&json!({ "type": "offer", "to": "sfu", "sdp": "v=0" }))
        .await;
    assert_eq!(
        customer.error().await,
        "illegal_transition",
        "nobody has taken the call yet"
    );

    let offer = agent.expect("call.offered").await;
    agent
        .ask("offer.accept", json!({ "offerId": offer["data"]["offerId"] }))
        .await;
    let told = loop {
        let message = customer.message().await;
        if message["data"]["call"]["status"] == "connecting" {
            break message;
        }
    };
    assert_eq!(told["from"], "sfu");
    customer
        .json(&json!({ "type": "offer", "to": "sfu", "sdp": "v=0" }))
        .await;
    let answer = of_type(&mut customer, "answer").await;
    assert_eq!(
        answer,
        json!({ "type": "answer", "from": "sfu", "to": "customer", "sdp": ANSWER })
    );
    customer
        .json(&json!({ "type": "candidate", "to": "sfu", "candidate": { "candidate": "candidate:7" } }))
        .await;
    customer.json(&json!({ "to": "nobody" })).await;
    assert_eq!(customer.error().await, "unknown_peer");
    assert_eq!(server.world.media.candidates(), ["candidate:7"]);

    // The agent's second page speaks the guide's protocol too, in the same call.
    let (_, token) = server.world.staff("bea", wire::staff::StaffRole::Agent).await;
    let mut stranger = server.open("/", &[("cookie", &format!("hl_staff={token}"))]).await;
    stranger.json(&json!({ "type": "join", "peerId": "customer" })).await;
    assert_eq!(stranger.message().await["type"], "joined", "another room");
    stranger.json(&json!({ "to": "customer" })).await;
    assert_eq!(stranger.error().await, "unknown_peer");

    server
        .world
        .run("update helpline.queues set recording = 'required'")
        .await;
    customer
        .json(&json!({ "type": "offer", "to": "agent", "sdp": "v=0" }))
        .await;
    assert_eq!(customer.error().await, "media_must_use_sfu");
    customer.json(&json!({ "type": "chat", "to": "agent" })).await;
    assert_eq!(
        customer.error().await,
        "unknown_peer",
        "what is no sound may be relayed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_colleague_in_the_same_call_cannot_take_the_customers_name() {
    let server = server!();
    let (_, token) = server.world.staff("ann", wire::staff::StaffRole::Agent).await;
    let mut agent = server.hello(json!({ "token": token })).await;
    agent.expect("welcome").await;
    agent.answer_probe().await;
    agent
        .ask("presence.set", json!({ "status": "online", "mediaChecked": true }))
        .await;
    let mut customer = caller(&server, "u1", "customer").await;
    let offer = agent.expect("call.offered").await;
    agent
        .ask("offer.accept", json!({ "offerId": offer["data"]["offerId"] }))
        .await;

    let cookie = format!("hl_staff={token}");
    let mut thief = server.open("/", &[("cookie", &cookie)]).await;
    thief.json(&json!({ "type": "join", "peerId": "customer" })).await;
    assert_eq!(thief.error().await, "peer_taken");
    assert_eq!(thief.closed().await, 4400);

    let mut honest = server.open("/", &[("cookie", &cookie)]).await;
    honest.json(&json!({ "type": "join", "peerId": "agent" })).await;
    assert_eq!(honest.message().await["type"], "joined");
    honest.json(&json!({ "type": "join", "peerId": "customer" })).await;
    assert_eq!(honest.error().await, "peer_taken");
    honest.json(&json!({ "type": "hi", "to": "customer" })).await;
    assert_eq!(of_type(&mut customer, "hi").await["from"], "agent");
}
