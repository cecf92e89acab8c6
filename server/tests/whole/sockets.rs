//! A supervisor's client that speaks over its WebSocket alone: everything that REST lets him do, and an agent may not.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use testkit::calls::{Agent, Desk, Voice, client, spurt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use uuid::Uuid;
use wire::call::CallView;
use wire::staff::StaffSession;

use crate::binary::{Binary, Folder, ONE, now, until};
use crate::four::{AGENT, CUSTOMER, FILLING_AT, SOUND_LIMIT, SUPERVISOR, TOC, attach};
use crate::pair::ring;

/// What fills the packets of a supervisor who whispers.
const WHISPER: u8 = 0x57;
/// What fills those of the call's new agent.
const TAKES_OVER: u8 = 0x7A;
/// Longest time for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// Packets of a listener within which a voice that he is not to hear would have come: a second and a half.
const WINDOW: usize = 75;

/// A connection of our own protocol.
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next: u64,
}

impl Socket {
    /// Signed in as this member of staff.
    pub(crate) async fn open(binary: &Binary, who: &Agent) -> Socket {
        let path = format!("/api/support/staff/{}/sessions", who.id);
        let session: StaffSession = binary.desk().post(&path, &json!({})).await.expect("a session");
        let at = binary.base().replacen("http", "ws", 1) + "/ws";
        let (stream, _) = connect_async(at).await.expect("a connection");
        let mut socket = Socket { stream, next: 1 };
        let welcome = socket.ask("hello", json!({ "token": session.token })).await;
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        socket
    }

    async fn say(&mut self, kind: &str, data: &Value) -> String {
        let id = self.next.to_string();
        self.next += 1;
        let text = json!({ "v": 1, "id": id, "type": kind, "data": data }).to_string();
        self.stream.send(Message::text(text)).await.expect("sent");
        id
    }

    /// The next message; probes are answered as a page does.
    async fn next(&mut self) -> Value {
        loop {
            let came = timeout(ANSWER_LIMIT, self.stream.next())
                .await
                .expect("something in time");
            let Message::Text(text) = came.expect("the connection stays").expect("a message") else {
                continue;
            };
            let message: Value = serde_json::from_str(text.as_str()).expect("JSON");
            if message["type"] != "probe.ping" {
                return message;
            }
            self.say("probe.pong", &message["data"]).await;
        }
    }

    /// Says something and gives the answer to it.
    pub(crate) async fn ask(&mut self, kind: &str, data: Value) -> Value {
        let id = self.say(kind, &data).await;
        loop {
            let message = self.next().await;
            if message["ref"] == id.as_str() {
                return message;
            }
        }
    }

    /// The code of a refusal.
    pub(crate) async fn refused(&mut self, kind: &str, data: Value) -> String {
        let answer = self.ask(kind, data).await;
        assert_eq!(answer["type"], "error", "{answer}");
        answer["data"]["code"].as_str().expect("a code").to_owned()
    }

    /// Supervises, and speaks on the leg of the answer: what that is called, and the voice.
    async fn supervises(&mut self, call: Uuid, mode: &str, filling: u8) -> (Value, Voice) {
        let wanted = json!({ "callId": call, "mode": mode, "reason": format!("why {mode}") });
        let granted = self.ask("call.supervise", wanted).await;
        assert_eq!(granted["type"], "leg.grant", "{granted}");
        let leg = granted["data"]["grant"].clone();
        assert_eq!(leg["callId"], json!(call));
        let mut peer = client(u32::from(filling)).expect("a certificate");
        let offer = json!({ "legId": leg["legId"], "grant": leg["grant"], "sdp": peer.offer_to_hear(3) });
        let answer = self.ask("leg.offer", offer).await;
        assert_eq!(answer["type"], "leg.answer", "{answer}");
        let sdp = answer["data"]["sdp"].as_str().expect("a description");
        peer.answer(now(), sdp).expect("a usable answer");
        (leg, Voice::start(peer, spurt(filling)).expect("a socket"))
    }
}

/// How many packets of `voice` came from packet `from` on.
fn heard(ear: &Voice, from: usize, voice: u8) -> usize {
    let log = ear.log();
    let whose = |payload: &[u8]| {
        let filling = *payload.get(FILLING_AT)?;
        let all = payload[FILLING_AT..].iter().all(|byte| *byte == filling);
        (payload[0] == TOC && all).then_some(filling)
    };
    let news = log.heard[from..].iter();
    news.filter(|heard| whose(&heard.payload) == Some(voice)).count()
}

/// Waits until `ear` hears `voice` anew.
async fn hears(ear: &Voice, voice: u8) {
    let from = ear.log().heard.len();
    until("a change is heard", SOUND_LIMIT, async || {
        (heard(ear, from, voice) > 0).then_some(())
    })
    .await;
}

/// Waits until `ear` has heard enough of others, and nothing of `voice`.
async fn hears_nothing_of(ear: &Voice, voice: u8) {
    let from = ear.log().heard.len();
    until("a second and a half are heard", SOUND_LIMIT, async || {
        (ear.log().heard.len() >= from + WINDOW).then_some(())
    })
    .await;
    assert_eq!(heard(ear, from, voice), 0, "{voice:x} is heard");
}

/// What the list of live calls says of this one.
async fn live(socket: &mut Socket, call: Uuid) -> Value {
    let list = socket.ask("calls.live", Value::Null).await;
    assert_eq!(list["type"], "calls.live", "{list}");
    let calls = list["data"]["calls"].as_array().expect("calls");
    let found = calls.iter().find(|live| live["callId"] == json!(call));
    found.expect("the call lives").clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_supervises_by_websocket_alone_and_an_agent_may_not() {
    let _turn = ONE.lock().await;
    let folder = Folder::new("sockets");
    let binary = Binary::start(&folder, &[], &[]).await;
    let desk = binary.desk();
    let agent = desk.agent("sockets-agent").await.expect("an agent");
    let joined = ring(&desk, &agent, "sockets").await;
    let call = joined.call;
    let customer = attach(&binary, &joined.customer, CUSTOMER).await;
    let agents = attach(&binary, &joined.agent, AGENT).await;
    hears(&customer, AGENT).await;
    hears(&agents, CUSTOMER).await;

    for name in ["sockets-agent", "sockets-other"] {
        // He of the call and any other: an agent supervises nobody.
        let who = match name {
            "sockets-agent" => agent.clone(),
            other => desk.agent(other).await.expect("an agent"),
        };
        let mut socket = Socket::open(&binary, &who).await;
        for mode in ["monitor", "whisper", "barge", "takeover"] {
            let wanted = json!({ "callId": call, "mode": mode });
            assert_eq!(
                socket.refused("call.supervise", wanted).await,
                "forbidden",
                "{name} {mode}"
            );
        }
    }

    let boss = desk
        .member("sockets-supervisor", "supervisor")
        .await
        .expect("a supervisor");
    let mut socket = Socket::open(&binary, &boss).await;
    assert_eq!(live(&mut socket, call).await["supervisors"], json!([]));
    let unknown = json!({ "callId": call, "mode": "listen" });
    assert_eq!(socket.refused("call.supervise", unknown).await, "bad_message");
    let nowhere = json!({ "callId": boss.id, "mode": "monitor" });
    assert_eq!(socket.refused("call.supervise", nowhere).await, "not_found");

    let (first, listens) = socket.supervises(call, "monitor", SUPERVISOR).await;
    assert_eq!(first["part"], "supervisor");
    hears(&listens, CUSTOMER).await;
    hears(&listens, AGENT).await;
    hears_nothing_of(&agents, SUPERVISOR).await;
    hears_nothing_of(&customer, SUPERVISOR).await;
    assert_eq!(live(&mut socket, call).await["supervisors"][0]["mode"], "monitor");
    let again = socket
        .ask("call.supervise", json!({ "callId": call, "mode": "monitor" }))
        .await;
    assert_eq!(
        again["data"]["grant"]["legId"], first["legId"],
        "a fresh right for the same leg"
    );

    let (_, whispers) = socket.supervises(call, "whisper", WHISPER).await;
    hears(&agents, WHISPER).await;
    hears_nothing_of(&customer, WHISPER).await;
    let (_, joins) = socket.supervises(call, "barge", SUPERVISOR).await;
    hears(&agents, SUPERVISOR).await;
    hears(&customer, SUPERVISOR).await;

    let leaves = json!({ "callId": call, "reason": "goes well" });
    for _ in 0..2 {
        assert_eq!(socket.ask("call.supervise.end", leaves.clone()).await["type"], "ok");
    }
    assert_eq!(live(&mut socket, call).await["supervisors"], json!([]));
    hears_nothing_of(&customer, SUPERVISOR).await;

    let (own, takes) = socket.supervises(call, "takeover", TAKES_OVER).await;
    assert_eq!(own["part"], "agent");
    hears(&customer, TAKES_OVER).await;
    hears(&takes, CUSTOMER).await;
    let held = socket.ask("call.hold", json!({ "callId": call })).await;
    assert_eq!(held["type"], "call.changed", "{held}");
    assert!(held["data"]["call"]["heldSince"].is_string(), "the call is his");
    let over = socket
        .ask("call.hangup", json!({ "callId": call, "reason": "solved" }))
        .await;
    assert_eq!(over["data"]["call"]["status"], "completed", "{over}");
    for voice in [customer, agents, listens, whispers, joins, takes] {
        voice.stop().expect("a voice that spoke");
    }
    told(&desk, call).await;
    binary.stop().await;
}

/// The history tells each step, who did it and why.
async fn told(desk: &Desk, call: Uuid) {
    let view: CallView = desk.call(call).await.expect("the call");
    assert_eq!(view.agent_name.as_deref(), Some("sockets-supervisor"));
    let history: Value = desk
        .get(&format!("/api/support/call/{call}/events"))
        .await
        .expect("its history");
    let events = history["events"].as_array().expect("events");
    let kinds = [
        "call.supervision_began",
        "call.supervision_changed",
        "call.supervision_ended",
        "call.taken_over",
    ];
    let steps: Vec<Vec<&str>> = events
        .iter()
        .filter(|event| kinds.iter().any(|kind| event["kind"] == *kind))
        .map(|event| {
            let words = [
                &event["kind"],
                &event["data"]["mode"],
                &event["data"]["reason"],
                &event["actor"],
            ];
            words.into_iter().filter_map(Value::as_str).collect()
        })
        .collect();
    let boss = "staff:sockets-supervisor";
    assert_eq!(
        steps,
        [
            vec!["call.supervision_began", "monitor", "why monitor", boss],
            vec!["call.supervision_changed", "whisper", "why whisper", boss],
            vec!["call.supervision_changed", "barge", "why barge", boss],
            vec!["call.supervision_ended", "barge", "goes well", boss],
            vec!["call.taken_over", "why takeover", boss],
        ]
    );
    let ended = events.iter().find(|event| event["kind"] == "call.completed");
    assert_eq!(ended.expect("its end")["data"]["word"], "solved");
}
