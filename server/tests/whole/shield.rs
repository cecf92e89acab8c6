//! The shield over pressed keys in a running server: who is in the call gets none, the sound goes on without a gap, and the
//! history tells who wanted it.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::calls::{Agent, Desk, PRESS_PACKETS, Voice, client, spurt};
use uuid::Uuid;
use wire::call::{CallView, Shielded};
use wire::leg::LegGrant;

use crate::binary::{Binary, Folder, ONE, now, until};
use crate::four::{AGENT, CUSTOMER, SOUND_LIMIT};
use crate::pair::ring;
use crate::sockets::Socket;

/// Bytes of a telephone event (RFC 4733 §2.3); no packet of the voices is so short.
const EVENT_BYTES: usize = 4;
/// Packets of a voice after which an order that was given before them is in force: half a second.
const SETTLED: usize = 25;
/// Longest time until the desk has noted a press.
const NOTED_LIMIT: Duration = Duration::from_secs(15);

async fn attach(desk: &Desk, grant: &LegGrant, salt: u8) -> Voice {
    let mut peer = client(u32::from(salt)).expect("a certificate");
    let answer = desk
        .attach(&grant.grant, peer.offer_with_keys())
        .await
        .expect("attached");
    assert!(answer.contains("telephone-event/48000"), "{answer}");
    peer.answer(now(), &answer).expect("a usable answer");
    Voice::start(peer, spurt(salt)).expect("a socket")
}

/// The digits of the events that were heard from packet `from` on.
fn digits(ear: &Voice, from: usize) -> Vec<u8> {
    let log = ear.log();
    let events = log.heard[from..]
        .iter()
        .filter(|heard| heard.payload.len() == EVENT_BYTES);
    events.map(|heard| heard.payload[0]).collect()
}

/// Waits for so many packets more at `ear`; how many there are then.
async fn hears_on(ear: &Voice, packets: usize) -> usize {
    let wanted = ear.log().heard.len() + packets;
    until("the sound goes on", SOUND_LIMIT, async || {
        let heard = ear.log().heard.len();
        (heard >= wanted).then_some(heard)
    })
    .await
}

/// How many presses the history tells; none of them says which key.
async fn noted(desk: &Desk, call: Uuid) -> usize {
    let history: Value = desk
        .get(&format!("/api/support/call/{call}/events"))
        .await
        .expect("its history");
    let events = history["events"].as_array().expect("events").clone();
    let presses: Vec<&Value> = events.iter().filter(|event| event["kind"] == "leg.dtmf").collect();
    for press in &presses {
        let facts = press["data"].as_object().expect("facts");
        assert!(facts.values().all(Value::is_string), "a number among them: {press}");
    }
    presses.len()
}

/// Presses keys and waits until the desk knows of each.
async fn press(desk: &Desk, call: Uuid, who: &Voice, keys: &[u8]) {
    let before = noted(desk, call).await;
    for key in keys {
        who.press(*key);
    }
    until("the presses are noted", NOTED_LIMIT, async || {
        (noted(desk, call).await == before + keys.len()).then_some(())
    })
    .await;
}

struct Scene {
    agent: Agent,
    call: Uuid,
    customer: Voice,
    ear: Voice,
}

async fn scene(desk: &Desk) -> Scene {
    let agent = desk.agent("shield-agent").await.expect("an agent");
    let joined = ring(desk, &agent, "shield").await;
    let customer = attach(desk, &joined.customer, CUSTOMER).await;
    let ear = attach(desk, &joined.agent, AGENT).await;
    until("sound in both directions", SOUND_LIMIT, async || {
        (customer.heard() > 0 && ear.heard() > 0).then_some(())
    })
    .await;
    Scene {
        agent,
        call: joined.call,
        customer,
        ear,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_reach_the_agent_only_while_he_does_not_shield_them() {
    let _turn = ONE.lock().await;
    let folder = Folder::new("shield");
    let binary = Binary::start(&folder, &[], &[]).await;
    let desk = binary.desk();
    let Scene {
        agent,
        call,
        customer,
        ear,
    } = scene(&desk).await;
    press(&desk, call, &customer, &[5]).await;
    until("a key is heard", SOUND_LIMIT, async || {
        (digits(&ear, 0).len() == PRESS_PACKETS).then_some(())
    })
    .await;

    let path = format!("/api/support/call/{call}/shield");
    let why = json!({ "reason": "card number" });
    let on: CallView = desk.post_as(&agent, &path, &why).await.expect("shielded");
    assert_eq!(on.shielded, Shielded::On);
    let from = hears_on(&ear, SETTLED).await;
    let card = [4, 1, 1, 11];
    press(&desk, call, &customer, &card).await;
    let to = hears_on(&ear, SETTLED).await;
    assert_eq!(digits(&ear, from), Vec::<u8>::new(), "keys are heard behind the shield");
    let numbers: Vec<u16> = ear.log().heard[from..to].iter().map(|heard| heard.sequence).collect();
    let gaps = numbers.windows(2).filter(|pair| pair[1] != pair[0].wrapping_add(1));
    assert_eq!(gaps.count(), 0, "and they leave a gap: {numbers:?}");
    let shielded = binary
        .metrics()
        .await
        .sum("helpline_media_drops_total", r#"reason="shielded""#);
    assert!(
        (shielded - (card.len() * PRESS_PACKETS) as f64).abs() < 0.5,
        "{shielded}"
    );

    let mut socket = Socket::open(&binary, &agent).await;
    let off = socket
        .ask("call.unshield", json!({ "callId": call, "reason": "all there" }))
        .await;
    assert_eq!(off["data"]["call"]["shielded"], "off", "{off}");
    let from = hears_on(&ear, SETTLED).await;
    press(&desk, call, &customer, &[9]).await;
    until("keys are heard again", SOUND_LIMIT, async || {
        (digits(&ear, from) == [9; PRESS_PACKETS]).then_some(())
    })
    .await;
    let again = socket.ask("call.shield", json!({ "callId": call })).await;
    assert_eq!(again["data"]["call"]["shielded"], "on", "{again}");
    let over = desk.hang_up(call).await.expect("the call ends");
    assert_eq!(over.shielded, Shielded::Off, "it ends with the call");
    for voice in [customer, ear] {
        voice.stop().expect("a voice that spoke");
    }
    told(&desk, call).await;
    binary.stop().await;
}

/// Who shielded the keys and who did not, and why.
async fn told(desk: &Desk, call: Uuid) {
    let history: Value = desk
        .get(&format!("/api/support/call/{call}/events"))
        .await
        .expect("its history");
    let steps: Vec<String> = history["events"]
        .as_array()
        .expect("events")
        .iter()
        .filter(|event| event["kind"].as_str().is_some_and(|kind| kind.ends_with("shielded")))
        .map(|event| {
            let words = [&event["kind"], &event["actor"], &event["data"]["reason"]];
            let words: Vec<&str> = words.into_iter().filter_map(Value::as_str).collect();
            words.join(" ")
        })
        .collect();
    assert_eq!(
        steps,
        [
            "call.shielded staff:shield-agent card number",
            "call.unshielded staff:shield-agent all there",
            "call.shielded staff:shield-agent",
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_house_may_shield_every_call_and_then_nobody_takes_it_away() {
    let _turn = ONE.lock().await;
    let folder = Folder::new("shield-always");
    let binary = Binary::start(&folder, &[("HELPLINE_MEDIA_SHIELD", "always")], &[]).await;
    let desk = binary.desk();
    let Scene {
        agent,
        call,
        customer,
        ear,
    } = scene(&desk).await;
    press(&desk, call, &customer, &[7, 7]).await;
    hears_on(&ear, SETTLED).await;
    assert_eq!(digits(&ear, 0), Vec::<u8>::new());
    assert_eq!(desk.call(call).await.expect("the call").shielded, Shielded::Always);
    let mut socket = Socket::open(&binary, &agent).await;
    let wanted = json!({ "callId": call });
    assert_eq!(socket.refused("call.unshield", wanted).await, "forbidden");
    desk.hang_up(call).await.expect("the call ends");
    for voice in [customer, ear] {
        voice.stop().expect("a voice that spoke");
    }
    binary.stop().await;
}
