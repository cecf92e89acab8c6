//! Four people who speak in one call: each ear has exactly the three other voices, and the lanes of the recording hold whom
//! they are to hold.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::time::Duration;

use ogg::PacketReader;
use recording::opus_packet::split_self_delimited;
use serde_json::{Value, json};
use testkit::calls::{Log, Voice, client, spurt};
use wire::call::CallView;
use wire::leg::LegGrant;

use crate::binary::{Binary, Folder, ONE, now, until};
use crate::pair::{ring, stored};

/// Who speaks, and what fills his packets.
pub(crate) const CUSTOMER: u8 = 0xC0;
pub(crate) const AGENT: u8 = 0xA0;
pub(crate) const PARTNER: u8 = 0xB0;
pub(crate) const SUPERVISOR: u8 = 0x50;
const ALL: [u8; 4] = [CUSTOMER, AGENT, PARTNER, SUPERVISOR];
/// Longest time from one change to sound.
pub(crate) const SOUND_LIMIT: Duration = Duration::from_secs(15);
/// Packets of each voice at each ear: two seconds.
const TOGETHER: usize = 100;
/// First byte of every packet of the voices (RFC 6716 §3.1).
pub(crate) const TOC: u8 = 0x78;
/// Where the number of a packet ends and what fills it begins.
pub(crate) const FILLING_AT: usize = 9;

/// Whose packet it is; `None` for none of the voices.
fn speaker(payload: &[u8]) -> Option<u8> {
    let filling = payload.get(FILLING_AT)?;
    let all = payload[FILLING_AT..].iter().all(|byte| byte == filling);
    (payload[0] == TOC && all && ALL.contains(filling)).then_some(*filling)
}

/// How many packets of `voice` were heard from packet `from` on.
fn heard(log: &Log, from: usize, voice: u8) -> usize {
    let heard = log.heard[from..].iter();
    heard.filter(|heard| speaker(&heard.payload) == Some(voice)).count()
}

/// The voices in one lane of a recording (0 left, the customer's).
fn lane(master: &[u8], lane: usize) -> BTreeSet<u8> {
    let mut reader = PacketReader::new(Cursor::new(master));
    let mut voices = BTreeSet::new();
    while let Some(packet) = reader.read_packet().expect("whole pages") {
        if packet.data.starts_with(b"Opus") {
            continue;
        }
        let (left, right) = split_self_delimited(&packet.data).expect("two streams");
        voices.extend(speaker(if lane == 0 { &left } else { right }));
    }
    voices
}

pub(crate) async fn attach(binary: &Binary, grant: &LegGrant, salt: u8) -> Voice {
    let mut peer = client(u32::from(salt)).expect("a certificate");
    let answer = binary
        .desk()
        .attach(&grant.grant, peer.offer_to_hear(3))
        .await
        .expect("attached");
    peer.answer(now(), &answer).expect("a usable answer");
    Voice::start(peer, spurt(salt)).expect("a socket")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_four_who_speak_hears_the_three_others_and_the_lanes_hold_customer_and_agent() {
    let _turn = ONE.lock().await;
    let folder = Folder::new("four");
    let binary = Binary::start(&folder, &[], &[]).await;
    let desk = binary.desk();
    let agent = desk.agent("four-agent").await.expect("an agent");
    let joined = ring(&desk, &agent, "four").await;
    let call = joined.call;
    let mut voices = vec![
        attach(&binary, &joined.customer, CUSTOMER).await,
        attach(&binary, &joined.agent, AGENT).await,
    ];
    until("the call is answered", SOUND_LIMIT, async || {
        voices.iter().all(|voice| voice.heard() > 0).then_some(())
    })
    .await;

    let partner = desk.agent("four-partner").await.expect("a colleague");
    desk.go_online(&partner).await.expect("online");
    let path = |what: &str| format!("/api/support/call/{call}/{what}");
    let asked = json!({ "staffId": partner.id });
    let _: CallView = desk.post_as(&agent, &path("consult"), &asked).await.expect("asked");
    let accepted = desk.say_yes(&partner).await.expect("the colleague says yes");
    voices.push(attach(&binary, &accepted.leg, PARTNER).await);
    until("agent and colleague talk", SOUND_LIMIT, async || {
        (heard(&voices[1].log(), 0, PARTNER) > 0).then_some(())
    })
    .await;
    let _: CallView = desk
        .post_as(&agent, &path("consult/merge"), &json!({}))
        .await
        .expect("merged");
    let supervisor = desk
        .member("four-supervisor", "supervisor")
        .await
        .expect("a supervisor");
    let joins = json!({ "mode": "barge" });
    let leg: LegGrant = desk
        .post_as(&supervisor, &path("supervise"), &joins)
        .await
        .expect("joins");
    voices.push(attach(&binary, &leg, SUPERVISOR).await);

    until("each hears the three others", SOUND_LIMIT, async || {
        let all = voices.iter().zip(ALL).all(|(voice, own)| {
            let log = voice.log();
            ALL.iter()
                .filter(|other| **other != own)
                .all(|other| heard(&log, 0, *other) > 0)
        });
        all.then_some(())
    })
    .await;
    let marks: Vec<usize> = voices.iter().map(|voice| voice.log().heard.len()).collect();
    until("two seconds of all", SOUND_LIMIT, async || {
        let all = voices.iter().zip(&marks).all(|(voice, from)| {
            let log = voice.log();
            log.heard.len() - from >= 3 * TOGETHER
        });
        all.then_some(())
    })
    .await;
    for ((voice, own), from) in voices.iter().zip(ALL).zip(&marks) {
        let log = voice.log();
        let counts = ALL.map(|other| heard(&log, *from, other));
        println!("{own:x} hears {counts:?} of {}", log.heard.len() - from);
        for (other, count) in ALL.into_iter().zip(counts) {
            if other == own {
                assert_eq!(count, 0, "{own:x} hears himself");
            } else {
                assert!(count * 10 >= TOGETHER * 9, "{own:x} hears {count} packets of {other:x}");
            }
        }
        assert_eq!(counts.iter().sum::<usize>(), log.heard.len() - from, "and nothing else");
    }

    desk.hang_up(call).await.expect("the call ends");
    for voice in voices {
        voice.stop().expect("a voice that spoke");
    }
    let recording = stored(&desk, call).await;
    let master = desk.audio(recording.recording_id).await.expect("the master");
    assert_eq!(lane(&master, 0), BTreeSet::from([CUSTOMER]), "the customer's lane");
    let agents = lane(&master, 1);
    assert!(agents.contains(&AGENT), "{agents:x?}");
    assert!(
        !agents.contains(&SUPERVISOR) && !agents.contains(&CUSTOMER),
        "{agents:x?}"
    );
    let seen: Value = desk.get(&path("events")).await.expect("its history");
    assert!(seen.to_string().contains("call.consult_merged"));
    binary.stop().await;
}
