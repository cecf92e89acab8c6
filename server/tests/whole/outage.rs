//! PostgreSQL goes away under a call and comes back.

use std::time::Duration;

use local_postgres::testing;
use tokio::time::sleep;
use wire::call::CallStatus;
use wire::quality::Quality;

use crate::binary::{Binary, Folder, ONE, now, until};
use crate::pair::{Pair, lane, run, stored};

/// How long the database is away.
const AWAY: Duration = Duration::from_secs(30);
/// The call before and after.
const AROUND: Duration = Duration::from_secs(2);
/// Longest silence that a listener may meet: five packets of jitter on a busy machine.
const SILENCE_MAX: Duration = Duration::from_millis(500);
/// What the moment of the hang-up may cut: a frame that is not full yet and one under way.
const CUT_MAX: Duration = Duration::from_millis(40);
/// Longest time until the desk works again.
const BACK_LIMIT: Duration = Duration::from_secs(30);
/// Quality is written by the second; the first and the last are not whole.
const EDGE_SECONDS: f64 = 3.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_outlives_the_database_and_loses_nothing() {
    let _turn = ONE.lock().await;
    let Some(mut cluster) = testing::scratch().await else {
        return;
    };
    let folder = Folder::new("outage");
    let (app, owner) = (cluster.app_url(), cluster.owner_url());
    let settings = [
        ("DATABASE_URL", app.as_str()),
        ("HELPLINE_DATABASE_OWNER_URL", owner.as_str()),
    ];
    let binary = Binary::start(&folder, &settings, &["--auto-migrate"]).await;
    let desk = binary.desk();
    let agent = desk.agent("outage").await.expect("an agent");
    let pair = Pair::join(&desk, &agent, "customer", 1).await;
    let first = pair.sound().await;
    sleep(AROUND).await;
    cluster
        .restart_after(sleep(AWAY))
        .await
        .expect("the database comes back");
    sleep(AROUND).await;

    let ended = now();
    until("the call ends", BACK_LIMIT, async || desk.hang_up(pair.call).await.ok()).await;
    let call = pair.call;
    let logs = pair.stop();
    let view = until("the call is completed", BACK_LIMIT, async || {
        let view = desk.call(call).await.ok()?;
        (view.status == CallStatus::Completed).then_some(view)
    })
    .await;
    assert!(view.ended_at.is_some());

    let talked = (ended - first).as_secs_f64();
    let recording = stored(&desk, call).await;
    let kept = recording.duration_seconds.expect("a duration");
    assert!(
        kept + CUT_MAX.as_secs_f64() >= talked,
        "{talked} s of sound, {kept} s kept"
    );
    let master = desk.audio(recording.recording_id).await.expect("the master");
    for (side, log) in logs.iter().enumerate() {
        let numbers = lane(&master, side, log);
        run(&numbers);
        let heard = || log.heard.iter().filter(|heard| heard.at <= ended);
        for (one, next) in heard().zip(heard().skip(1)) {
            let silence = next.at - one.at;
            assert!(silence <= SILENCE_MAX, "side {side} heard nothing for {silence:?}");
        }
        let last = *numbers.last().expect("packets");
        let cut = ended.saturating_duration_since(log.sent[last as usize].at);
        assert!(cut <= CUT_MAX, "lane {side} ends {cut:?} before the call");
    }

    let quality: Quality = until("the quality is written", BACK_LIMIT, async || {
        let quality: Quality = desk.get(&format!("/api/support/call/{call}/quality")).await.ok()?;
        let whole = |seconds: usize| seconds as f64 + EDGE_SECONDS >= talked;
        let all = quality.tracks.iter().all(|track| whole(track.mos.len()));
        (quality.tracks.len() >= 4 && all).then_some(quality)
    })
    .await;
    let log = binary.log();
    let told = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!(told("the database does not answer"), 1, "an outage is told of once");
    assert_eq!(told("the database answers again"), 1);
    println!(
        "{talked:.1} s of sound, {kept:.1} s kept, {} tracks of quality",
        quality.tracks.len()
    );
    binary.stop().await;
}
