//! Calls that must be recorded, while nobody promises to.

#![cfg(test)]

mod common;

use std::time::Duration;

use common::{World, customer, start};
use desk::{Code, OnUnavailable};
use ports::Recorder;
use tokio_util::sync::CancellationToken;
use wire::staff::StaffRole;

const REQUIRED: &str = "update helpline.queues set recording = 'required'";
const UNAVAILABLE_EVENTS: &str = "select count(*) from helpline.call_events where kind = 'recording.unavailable'";
/// The desk reads its gauges at its start and every five seconds.
const GAUGE_LIMIT: Duration = Duration::from_secs(30);

fn recorder(world: &World, recorder: Recorder) {
    world.media.load.lock().unwrap().recorder = recorder;
}

#[tokio::test]
async fn a_call_that_must_be_recorded_is_refused_by_name_when_it_comes_and_when_it_is_accepted() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    recorder(&world, Recorder::Unavailable);
    assert!(
        world.desk.start_call(&customer("free"), start("free")).await.is_ok(),
        "nobody demands a recording"
    );
    world.run(REQUIRED).await;
    let refused = world
        .desk
        .start_call(&customer("u1"), start("u1"))
        .await
        .expect_err("no recorder");
    assert_eq!(refused.code, Code::RecordingRequired);
    assert!(refused.retry_after_s.is_some());
    recorder(&world, Recorder::RequiredOnly);
    let call = world.call("u1").await;
    let offer = world.ring(call, &agent).await;
    recorder(&world, Recorder::Unavailable);
    let refused = world.desk.accept_offer(&agent, offer).await.expect_err("no recorder");
    assert_eq!(refused.code, Code::RecordingRequired);
    recorder(&world, Recorder::Ready);
    assert!(
        world.desk.accept_offer(&agent, offer).await.is_ok(),
        "the call still rings"
    );
    world
        .run("update public.voice_calls set status = 'answered', answered_at = clock_timestamp() where user_id = 'u1'")
        .await;
    recorder(&world, Recorder::Unavailable);
    assert!(
        world.desk.accept_offer(&agent, offer).await.is_ok(),
        "a page that reloads in a running call is let in again"
    );
    assert_eq!(world.count(UNAVAILABLE_EVENTS).await, 0);
}

#[tokio::test]
async fn with_the_other_setting_it_is_taken_and_its_history_says_so() {
    let Some(mut world) = World::with(OnUnavailable::Warn).await else {
        return;
    };
    world.run(REQUIRED).await;
    recorder(&world, Recorder::Unavailable);
    let call = world.call("u1").await;
    assert_eq!(world.count(UNAVAILABLE_EVENTS).await, 1);
    let agent = world.staff("amina", StaffRole::Agent).await;
    let offer = world.ring(call, &agent).await;
    assert!(world.desk.accept_offer(&agent, offer).await.is_ok());
    assert_eq!(world.count(UNAVAILABLE_EVENTS).await, 2);
}

#[tokio::test]
async fn the_gauge_counts_answered_calls_of_this_node_that_must_be_recorded() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    for user in ["queued", "talks"] {
        let call = world.call(user).await;
        if user == "talks" {
            let offer = world.ring(call, &agent).await;
            world.desk.accept_offer(&agent, offer).await.unwrap();
        }
    }
    world
        .run("update public.voice_calls set status = 'answered', answered_at = clock_timestamp() where user_id = 'talks'")
        .await;
    world.run(REQUIRED).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (desk, stop) = (world.desk.clone(), stop.clone());
        async move { desk.run(stop).await }
    });
    let figure = |name: &str| {
        let families = world.registry.gather();
        let family = families.iter().find(|family| family.name() == name).expect(name);
        family.get_metric()[0].get_gauge().get_value()
    };
    let read = async {
        while figure("helpline_recording_required_calls") != 1.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(GAUGE_LIMIT, read)
        .await
        .expect("the gauge is read");
    stop.cancel();
    running.await.unwrap();
}
