//! Three calls: one with sound and a recording, one that is given up in the queue, one whose line never stands.

use std::time::Duration;

use testkit::calls::{Agent, Desk, Joined, Voice, client, spurt};
use uuid::Uuid;
use wire::recording::RecordingState;

use crate::binary::{Binary, now, until};
use crate::exposition::Exposition;

/// How long the two talk, in packets of 20 ms each hears: ten seconds.
const TALK_PACKETS: u64 = 500;
/// Longest time for ten seconds of talk on a busy machine.
const TALK_LIMIT: Duration = Duration::from_secs(60);
/// Longest time from hang-up to a stored recording.
const STORED_LIMIT: Duration = Duration::from_secs(60);
/// The desk gives a call up after ten seconds without sound; its gauges follow five seconds later.
const GIVEN_UP_LIMIT: Duration = Duration::from_secs(60);

/// Makes the calls and waits until everything about them is counted.
pub(crate) async fn three(desk: &Desk, server: &Binary) {
    let (ann, bob) = (
        desk.agent("ann").await.expect("an agent"),
        desk.agent("bob").await.expect("another"),
    );
    let deaf = ring(desk, &ann, "deaf").await;
    // Both are told where to send, and never do: no check arrives.
    for (seed, grant) in [(7, &deaf.customer.grant), (8, &deaf.agent.grant)] {
        let peer = client(seed).expect("a certificate");
        desk.attach(grant, peer.offer()).await.expect("attached");
    }
    talk(desk, &bob).await;
    let waiting = desk.start("impatient").await.expect("a call");
    desk.hang_up(waiting.call_id).await.expect("given up");
    until(
        "the line that never stood is counted, and all is over",
        GIVEN_UP_LIMIT,
        async || {
            let exported = Exposition::read(server.metrics().await.text());
            let failed = exported.sum("helpline_ice_failures_total", "") >= 1.0;
            let rooms = exported.sum("helpline_live_rooms", "") + exported.sum("helpline_recording_active", "");
            (failed && rooms == 0.0).then_some(())
        },
    )
    .await;
}

/// Ten seconds between two voices, hung up and stored.
async fn talk(desk: &Desk, agent: &Agent) {
    let joined = ring(desk, agent, "talks").await;
    let voices = [
        attach(desk, &joined.customer.grant, 1, 0xC5).await,
        attach(desk, &joined.agent.grant, 2, 0xA6).await,
    ];
    until("ten seconds of sound", TALK_LIMIT, async || {
        voices.iter().all(|voice| voice.heard() >= TALK_PACKETS).then_some(())
    })
    .await;
    desk.hang_up(joined.call).await.expect("hung up");
    for voice in voices {
        voice.stop().expect("a voice that spoke");
    }
    let recording = stored(desk, joined.call).await;
    let drawn = desk.waveform(recording).await.expect("a waveform");
    assert!(
        drawn.customer.iter().any(|&peak| peak != 0),
        "ten seconds of sound have peaks"
    );
}

async fn ring(desk: &Desk, agent: &Agent, user: &str) -> Joined {
    desk.go_online(agent).await.expect("online");
    desk.start(user).await.expect("a call");
    desk.answer(agent).await.expect("answered")
}

async fn attach(desk: &Desk, grant: &str, seed: u32, salt: u8) -> Voice {
    let mut peer = client(seed).expect("a certificate");
    let answer = desk.attach(grant, peer.offer()).await.expect("attached");
    peer.answer(now(), &answer).expect("a usable answer");
    Voice::start(peer, spurt(salt)).expect("a socket")
}

/// The stored recording of a call.
async fn stored(desk: &Desk, call: Uuid) -> Uuid {
    until("the recording is stored", STORED_LIMIT, async || {
        let all = desk.recordings(call).await.expect("recordings").recordings;
        let stored = all.iter().find(|one| one.state == RecordingState::Stored);
        stored.map(|one| one.recording_id)
    })
    .await
}

/// Nothing in these calls needs a person: nothing was logged above the level of information, and something was logged.
pub(crate) fn the_log_is_quiet(log: &str) {
    let line = |line| serde_json::from_str(line).unwrap_or_else(|fault| panic!("{fault}: {line}"));
    let lines: Vec<serde_json::Value> = log.lines().map(line).collect();
    assert!(!lines.is_empty(), "the log is empty");
    let loud: Vec<_> = lines.iter().filter(|line| line["level"] != "INFO").collect();
    assert!(loud.is_empty(), "ordinary calls were logged as trouble: {loud:#?}");
}
