//! What dies without warning: a node, and PostgreSQL under live calls.

#![cfg(test)]

mod scene;

use std::sync::atomic::Ordering;
use std::time::Duration;

use call_model::{CallId, RecordingId};
use desk::{Caller, Code};
use local_postgres::testing;
use ports::{Cause, EventKind, Layout, Part, QualitySecond, QualityTrack, StepKind, StoredFile, Voice};
use scene::{Eye, Node, PATIENCE, customer, database, start};
use tokio::time::{Instant, sleep, timeout};

/// How long PostgreSQL is away.
const OUTAGE: Duration = Duration::from_secs(4);
/// How far the written time of a fact may lie from the fact, seconds: the reports count milliseconds, the commit takes
/// a few.
const TIME_ERROR_S: f64 = 0.1;
/// Looks of the reaper, for what must not happen.
const LOOKS: u64 = 3;

/// Agents of one slot each, offline: each comes online for the call that is meant for him.
async fn agents(node: &Node, n: usize) -> Vec<Caller> {
    let mut agents = Vec::new();
    for k in 0..n {
        agents.push(node.agent(&format!("agent{k}"), 1).await);
    }
    agents
}

/// A call that `agent` has accepted and whose legs are admitted.
async fn connecting(node: &Node, agent: &Caller, user: &str) -> CallId {
    node.online(agent).await;
    let call = node.call(user).await;
    let (offer, rung) = node.offer(agent).await;
    assert_eq!(rung, call);
    node.desk.accept_offer(agent, offer).await.unwrap();
    node.desk.grant_leg(&customer(user), call, None).await.unwrap();
    call
}

async fn answered(node: &Node, agent: &Caller, user: &str) -> CallId {
    let call = connecting(node, agent, user).await;
    node.media.connect(call).unwrap();
    node.until_status(user, call, "answered").await;
    call
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_leaves_is_closed_by_the_next_start_and_nobody_is_busy() {
    let Some(db) = database().await else { return };
    let mut eye = Eye::of(&db.superuser_url).await;
    let mut node = Node::start(&db.app_url, "n").await;
    let people = agents(&node, 4).await;
    node.run();
    let wrapped = answered(&node, &people[0], "wrapped").await;
    node.desk.hang_up(&people[0], wrapped, None).await.unwrap();
    answered(&node, &people[1], "answered").await;
    connecting(&node, &people[2], "connecting").await;
    node.online(&people[3]).await;
    node.call("ringing").await;
    node.offer(&people[3]).await;
    node.call("queued").await;
    node.until_applied().await;
    node.crash().await;

    let mut next = Node::start(&db.app_url, "n").await;
    // A late report of the earlier start must change nothing.
    next.media.epoch.store(1, Ordering::Relaxed);
    let ghost = CallId(0xdead);
    next.media.happens(ghost, EventKind::RoomLive);
    next.run();
    eye.until("select count(*) from voice_calls where ended_at is null", 0)
        .await;
    assert_eq!(
        eye.texts(
            "select user_id || ' ' || status || ' ' || end_reason from voice_calls
            where user_id <> 'wrapped' order by user_id"
        )
        .await,
        [
            "answered failed node_lost",
            "connecting failed node_lost",
            "queued failed node_lost",
            "ringing failed node_lost",
        ]
    );
    assert_eq!(
        eye.texts("select state from offers where ended_at is null order by state")
            .await,
        ["wrapping", "wrapping"]
    );
    assert_eq!(
        eye.count("select sum(current_call_count)::bigint from support_staff")
            .await,
        0
    );
    assert_eq!(
        eye.count("select count(*) from call_legs where state <> 'down'").await,
        0
    );
    assert_eq!(
        eye.count("select count(*) from call_queue where left_at is null").await,
        0
    );
    // They ended when the node was last seen, not when it came back.
    let late =
        "select count(*) from voice_calls c join media_nodes n on n.id = c.node_id where c.ended_at > n.started_at";
    assert_eq!(eye.count(late).await, 0);
    next.until_applied().await;
    assert_eq!(
        next.media
            .closed
            .lock()
            .unwrap()
            .iter()
            .filter(|call| **call == ghost)
            .count(),
        1
    );
    next.stop().await;
}

#[tokio::test]
async fn a_dead_node_is_closed_by_another_after_its_lease_and_not_before() {
    let Some(db) = database().await else { return };
    let mut eye = Eye::of(&db.superuser_url).await;
    let mut one = Node::start(&db.app_url, "one").await;
    let mut two = Node::start(&db.app_url, "two").await;
    let people = agents(&one, 1).await;
    one.run();
    answered(&one, &people[0], "u1").await;
    one.until_applied().await;
    one.crash().await;
    two.age(Duration::from_secs(17)).await;
    two.run();
    two.after_looks(LOOKS).await;
    assert_eq!(
        eye.count("select count(*) from voice_calls where ended_at is null")
            .await,
        1
    );
    eye.run("update media_nodes set lease_until = clock_timestamp() where id = 'one'")
        .await;
    eye.until("select count(*) from voice_calls where end_reason = 'node_lost'", 1)
        .await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_under_one_name_the_earlier_decides_nothing_more() {
    let Some(db) = database().await else { return };
    let mut first = Node::start(&db.app_url, "n").await;
    first.run();
    let mut second = Node::start(&db.app_url, "n").await;
    second.run();
    let fenced = timeout(PATIENCE, async {
        while !first.desk.ready().await.draining {
            sleep(Duration::from_millis(20)).await;
        }
    });
    fenced.await.expect("the heartbeat finds the newer start");
    let refused = first.desk.start_call(&customer("u1"), start("u1")).await.unwrap_err();
    assert_eq!(refused.code, Code::Draining);
    second.call("u1").await;
    first.stop().await;
    second.stop().await;
}

const ANSWERED_AT: &str = "select extract(epoch from answered_at)::float8 from voice_calls where id = $1";
const ENDED_AT: &str = "select extract(epoch from ended_at)::float8 from voice_calls where id = $1";
const AWAY_FROM: &str =
    "select extract(epoch from started_at)::float8 from call_intervals where call_id = $1 and kind = 'away'";
const AWAY_UNTIL: &str =
    "select extract(epoch from ended_at)::float8 from call_intervals where call_id = $1 and kind = 'away'";

/// PostgreSQL stops under live calls. Nothing is reaped, and what happened meanwhile is written once, with its times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_calls_survive_an_absent_database_and_tell_it_afterwards() {
    let Some(mut cluster) = testing::scratch().await else {
        return;
    };
    desk::migrations::migrate(&cluster.owner_url()).await.unwrap();
    let url = cluster.app_url();
    let mut node = Node::start(&url, "n").await;
    let people = agents(&node, 4).await;
    node.run();
    let quiet = answered(&node, &people[0], "quiet").await;
    let away = answered(&node, &people[1], "away").await;
    let leaving = answered(&node, &people[2], "leaving").await;
    let setting_up = connecting(&node, &people[3], "setting-up").await;
    node.call("waiting").await;
    node.until_applied().await;
    let mut eye = Eye::as_desk(&url).await;
    // Every lease runs out during the outage.
    eye.run(
        "update call_queue set lease_until = clock_timestamp() + interval '2 seconds' where left_at is null;
        update staff_presence set lease_until = clock_timestamp() + interval '2 seconds'",
    )
    .await;
    let (zero, zero_s) = (
        Instant::now(),
        eye.real("select extract(epoch from clock_timestamp())::float8").await,
    );
    drop(eye);

    let mut facts = None;
    cluster
        .restart_after(async {
            let live = node.media.connect(setting_up).unwrap();
            let leg = node.media.leg(away, Part::Agent).unwrap();
            let gone = node.media.happens(away, EventKind::LegAway { leg });
            sleep(OUTAGE / 2).await;
            let back = node.media.happens(away, EventKind::LegBack { leg });
            let leg = node.media.leg(leaving, Part::Customer).unwrap();
            let left = Instant::now();
            node.media.lose(leaving, leg, Cause::HangUp);
            sleep(OUTAGE / 2).await;
            facts = Some((live, gone, back, left));
        })
        .await
        .unwrap();
    let (live, gone, back, left) = facts.unwrap();
    let back_at = Instant::now();
    node.until_applied().await;
    println!(
        "reports applied {} ms after the database came back",
        back_at.elapsed().as_millis()
    );
    node.until_status("leaving", leaving, "completed").await;

    let mut eye = Eye::as_desk(&url).await;
    let facts = [
        (ANSWERED_AT, setting_up, live),
        (AWAY_FROM, away, gone),
        (AWAY_UNTIL, away, back),
        (ENDED_AT, leaving, left),
    ];
    for (sql, call, at) in facts {
        let error = eye.real_of(sql, call).await - (zero_s + at.duration_since(zero).as_secs_f64());
        println!("written {:+.1} ms beside the fact: {sql}", error * 1e3);
        assert!(error.abs() <= TIME_ERROR_S, "{error} s: {sql}");
    }
    for kind in ["call.answered", "leg.up", "call.accepted"] {
        let once = eye.events_of(setting_up, kind).await;
        assert_eq!(once, if kind == "leg.up" { 2 } else { 1 }, "{kind}");
    }
    assert_eq!(eye.events_of(leaving, "call.completed").await, 1);

    // Nobody is reaped because of the outage: neither the waiting customer, nor the agents' calls, nor the set-up.
    node.after_looks(LOOKS).await;
    assert_eq!(
        eye.texts("select user_id || ' ' || status from voice_calls order by user_id")
            .await,
        [
            "away answered",
            "leaving completed",
            "quiet answered",
            "setting-up answered",
            "waiting queued"
        ]
    );
    node.until_status("quiet", quiet, "answered").await;
    node.stop().await;
    node.store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_is_stored_once_with_its_files_and_its_quality() {
    let Some(db) = database().await else { return };
    let mut eye = Eye::of(&db.superuser_url).await;
    let mut node = Node::start(&db.app_url, "n").await;
    let people = agents(&node, 1).await;
    node.run();
    let call = answered(&node, &people[0], "u1").await;
    let recording = node
        .media
        .recorded
        .lock()
        .unwrap()
        .iter()
        .find_map(|(room, command)| match command {
            ports::RecordCommand::Start { recording, .. } if *room == call => Some(*recording),
            _ => None,
        });
    let recording = recording.expect("the recorder was told before the sound came");
    assert_eq!(eye.texts("select state from recordings").await, ["recording"]);
    let leg = node.media.leg(call, Part::Customer).unwrap();
    node.desk.hang_up(&people[0], call, None).await.unwrap();
    let confirmed = confirmed(leg);
    let ended = StepKind::Ended {
        reason: "hangup".to_owned(),
    };
    for kind in [ended, confirmed.clone(), confirmed] {
        node.recordings.happens(recording, call, kind);
    }
    let quality = StepKind::QualityOnly { quality: Vec::new() };
    node.recordings.happens(RecordingId(0xbeef), CallId(0xbeef), quality);
    let applied = timeout(PATIENCE, async {
        while node.recordings.open() > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    });
    applied
        .await
        .expect("every step is acknowledged, that of an unknown call too");
    assert_eq!(
        eye.texts(
            "select concat_ws(' ', state, reason, duration_ms, layout, coverage_customer, audio_key, audio_size)
            from recordings"
        )
        .await,
        ["stored hangup 3000 two_channel 0.5 a.opus 1000"]
    );
    let voices = "select concat_ws(' ', number, part, audio_key, coverage, heard_ms[1], heard_ms[2])
        from recording_voices";
    assert_eq!(eye.texts(voices).await, ["1 partner b.opus 0.75 1000 2000"]);
    assert_eq!(eye.count("select count(*) from quality_samples").await, 1);
    assert_eq!(
        eye.count("select cardinality(mos)::bigint from quality_samples").await,
        3
    );
    assert_eq!(eye.events_of(call, "recording.stored").await, 1);
    node.stop().await;
}

/// What the store says when three seconds are safe.
fn confirmed(leg: call_model::LegId) -> StepKind {
    let file = |key: &str| StoredFile {
        key: key.to_owned(),
        size: 1_000,
        sha256: [7; 32],
    };
    let second = QualitySecond {
        expected: 50,
        received: 50,
        level: 90,
        mos: 4.3,
        ..QualitySecond::default()
    };
    StepKind::Confirmed {
        audio: file("a.opus"),
        beside: vec![Voice {
            leg,
            part: Part::Partner,
            file: file("b.opus"),
            coverage: 0.75,
            heard_ms: std::iter::once(1_000..2_000).collect(),
        }],
        manifest: file("a.json"),
        duration_ms: 3_000,
        layout: Layout::TwoChannel,
        coverage: [0.5, 1.0],
        reason: "hangup".to_owned(),
        degraded: false,
        quality: vec![QualityTrack {
            leg,
            part: Part::Customer,
            uplink: true,
            start_ms: 0,
            seconds: vec![second; 3],
        }],
    }
}
