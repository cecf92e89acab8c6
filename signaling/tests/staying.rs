//! Who may stay and who may try again: roles and sessions that end under an open socket, and a first word whose answer is
//! lost.

#![cfg(test)]

mod common;

use call_model::StaffId;
use common::world::{PATIENCE, jwt, service};
use common::{Came, Line, Server};
use serde_json::{Value, json};
use signaling::SOCKETS_PER_PERSON_MAX;
use tokio::time::timeout;
use wire::staff::{StaffRole, StaffUpdate};

/// Starts a server, or ends the test on a machine without PostgreSQL.
macro_rules! server {
    () => {
        match Server::start().await {
            Some(server) => server,
            None => return,
        }
    };
}

/// What changes nothing.
fn unchanged() -> StaffUpdate {
    StaffUpdate {
        staff_name: None,
        role: None,
        is_active: None,
        max_concurrent_calls: None,
    }
}

async fn change(server: &Server, staff: StaffId, body: StaffUpdate) {
    server.world.desk.staff_update(&service(), staff, body).await.unwrap();
}

/// The end of a connection whose page answers nothing, neither probes nor anything else.
async fn ended(line: &mut Line) -> u16 {
    timeout(PATIENCE, line.closed()).await.expect("the connection ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demoted_supervisor_keeps_no_right_over_an_open_socket() {
    let server = server!();
    let (staff, token) = server.world.staff("sue", StaffRole::Supervisor).await;
    let hello = json!({ "token": token });
    let mut line = server.hello(hello.clone()).await;
    let welcome = line.expect("welcome").await;
    assert_eq!(line.ask("calls.live", Value::Null).await["type"], "calls.live");

    let role = Some(StaffRole::Agent);
    change(&server, staff, StaffUpdate { role, ..unchanged() }).await;
    assert_eq!(ended(&mut line).await, 4401);
    // The session was one of a supervisor, the person may have one of an agent.
    let resume = json!({ "resume": { "session": welcome["data"]["session"], "lastSeq": 0 } });
    assert_eq!(server.hello(resume).await.closed().await, 4401);
    let mut line = server.hello(hello).await;
    assert_eq!(line.expect("welcome").await["data"]["snapshot"]["me"]["role"], "agent");
    let refused = line.ask("calls.live", Value::Null).await;
    assert_eq!(refused["data"]["code"], "forbidden", "{refused}");

    // Whatever else is changed, or the same role once more, ends nothing.
    let staff_name = Some("Susan".to_owned());
    let body = StaffUpdate {
        staff_name,
        role,
        ..unchanged()
    };
    change(&server, staff, body).await;
    assert_eq!(line.ask("snapshot", Value::Null).await["type"], "snapshot");
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_the_sockets_of_that_session_and_of_no_other() {
    let server = server!();
    let (staff, token) = server.world.staff("ann", StaffRole::Agent).await;
    let other = server.world.desk.staff_session(&service(), staff).await.unwrap().token;
    let mut lines = Vec::new();
    for token in [&token, &other] {
        let mut line = server.hello(json!({ "token": token })).await;
        line.expect("welcome").await;
        lines.push(line);
    }
    let auth = server.world.desk.auth();
    auth.sign_out(&auth.bearer(&token).await.unwrap()).await.unwrap();
    assert_eq!(ended(&mut lines[0]).await, 4401);
    assert_eq!(lines[1].ask("snapshot", Value::Null).await["type"], "snapshot");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_carried_out_that_had_not_begun_when_its_owner_was_dismissed() {
    let mut server = server!();
    let (staff, token) = server.world.staff("sue", StaffRole::Supervisor).await;
    let mut line = server.hello(json!({ "token": token })).await;
    line.expect("welcome").await;
    // Looked at after the other one, so its end says that the other one's is decided.
    let mut witness = server.hello(json!({ "token": token })).await;
    witness.expect("welcome").await;
    let first = server.world.call("first").await;
    let second = server.world.call("second").await;

    server
        .world
        .run("begin; select from public.voice_calls where user_id = 'first' for update")
        .await;
    for call in [&first, &second] {
        line.send("call.hangup", json!({ "callId": call.call_id })).await;
    }
    // What cannot be read is answered at once, so what came before it has been heard.
    line.text("{").await;
    assert_eq!(line.error().await, "bad_message");
    let is_active = Some(false);
    change(
        &server,
        staff,
        StaffUpdate {
            is_active,
            ..unchanged()
        },
    )
    .await;
    assert_eq!(ended(&mut witness).await, 4401);
    server.world.run("commit").await;
    assert_eq!(ended(&mut line).await, 4401);
    let (customer, id) = (common::world::customer("second"), second.call_id.as_u128());
    let view = server.world.desk.call(&customer, call_model::CallId(id)).await.unwrap();
    assert_eq!(view.ended_at, None, "{:?}", view.status);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_used_up_when_its_page_was_heard_and_not_before() {
    let server = server!();
    let started = server.world.call("u1").await;
    let hello = json!({ "token": started.token });
    // The page is gone before it could say anything, as if the answer had never come.
    let mut lost = server.hello(hello.clone()).await;
    let Came::Message(welcome) = lost.came().await else {
        panic!("no welcome");
    };
    assert_eq!(welcome["type"], "welcome");

    let mut line = server.hello(hello.clone()).await;
    let welcome = line.expect("welcome").await;
    let call = &welcome["data"]["snapshot"]["call"];
    assert_eq!(call["callId"], started.call_id.to_string());
    // One ticket never holds two sessions.
    assert_eq!(ended(&mut lost).await, 4409);
    assert_eq!(line.ask("snapshot", Value::Null).await["type"], "snapshot");

    let mut thief = server.hello(hello).await;
    assert_eq!(thief.error().await, "unauthenticated");
    assert_eq!(thief.closed().await, 4401);
    assert_eq!(line.ask("snapshot", Value::Null).await["type"], "snapshot");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_word_that_fails_uses_nothing_up_and_closes_nobody() {
    let mut server = server!();
    let (mut line, ..) = server.customer("u1").await;
    line.ask("snapshot", Value::Null).await;
    let waiting = server.world.call("u2").await;
    // The database answers, but not this.
    server
        .world
        .run("alter table public.voice_calls rename to voice_calls_away")
        .await;
    let mine = json!({ "token": jwt("u1", |_| {}) });
    let ticket = json!({ "token": waiting.token });
    for hello in std::iter::repeat_n(&mine, SOCKETS_PER_PERSON_MAX).chain([&ticket]) {
        let mut failed = server.hello(hello.clone()).await;
        failed.error().await;
        assert_eq!(failed.closed().await, 4503);
    }
    server
        .world
        .run("alter table public.voice_calls_away rename to voice_calls")
        .await;
    assert_eq!(
        line.ask("snapshot", Value::Null).await["type"],
        "snapshot",
        "no failed hello took its place"
    );
    let mut other = server.hello(ticket).await;
    let welcome = other.expect("welcome").await;
    let call = &welcome["data"]["snapshot"]["call"];
    assert_eq!(call["callId"], waiting.call_id.to_string());
}
