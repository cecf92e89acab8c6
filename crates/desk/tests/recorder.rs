//! Calls that must be recorded, while nobody promises to.

#![cfg(test)]

mod common;

use std::time::Duration;

use call_model::{CallId, LegId};
use common::{Told, World, customer, start};
use desk::{Code, OnUnavailable};
use ports::{EventKind, MediaEvent, Recorder};
use tokio_util::sync::CancellationToken;
use wire::call::CallStatus;
use wire::staff::StaffRole;

const REQUIRED: &str = "update helpline.queues set recording = 'required'";
const UNAVAILABLE_EVENTS: &str = "select count(*) from helpline.call_events where kind = 'recording.unavailable'";
/// How long a test waits for media's reports to be applied; the desk pulls them at once.
const APPLIED_LIMIT: Duration = Duration::from_secs(30);
/// The desk reads its gauges at its start and every five seconds.
const GAUGE_LIMIT: Duration = Duration::from_secs(30);

/// Waits until it is so; `what` names it when it is not within `limit`.
async fn until(what: &str, limit: Duration, is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(limit, waiting).await;
    assert!(waited.is_ok(), "not within {limit:?}: {what}");
}

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

/// Brings a call of `u1` to its sound: `promise` is what the recorder promised when the agent said yes, `later` when both
/// were there. Returns whether customer, agent and supervisor are told that it is recorded.
async fn answered(world: &mut World, call: CallId, promise: Recorder, later: Recorder) -> [bool; 3] {
    let agent = world.staff("amina", StaffRole::Agent).await;
    let boss = world.staff("boss", StaffRole::Supervisor).await;
    let offer = world.ring(call, &agent).await;
    recorder(world, promise);
    let accepted = world.desk.accept_offer(&agent, offer).await.unwrap();
    let customers = world.desk.grant_leg(&customer("u1"), call, None).await.unwrap();
    recorder(world, later);
    let [customers, agents] = [customers.leg_id, accepted.leg.leg_id].map(|leg| LegId(leg.as_u128()));
    let told = [
        EventKind::LegUp { leg: customers },
        EventKind::LegUp { leg: agents },
        EventKind::FirstRtp { leg: agents },
        EventKind::RoomLive,
    ];
    for (kind, seq) in told.into_iter().zip(1..) {
        world.media.report(MediaEvent {
            room: call,
            seq,
            node_epoch: 1,
            age_ms: 0,
            kind,
        });
    }
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (desk, stop) = (world.desk.clone(), stop.clone());
        async move { desk.run(stop).await }
    });
    until("the call is answered", APPLIED_LIMIT, async || {
        world.desk.call(&agent, call).await.unwrap().status == CallStatus::Answered
    })
    .await;
    let views = [
        world.desk.call(&customer("u1"), call).await.unwrap().recorded,
        world.desk.call(&agent, call).await.unwrap().recorded,
        world.desk.live_calls(&boss).await.unwrap().calls[0].recorded,
    ];
    stop.cancel();
    running.await.unwrap();
    views
}

#[tokio::test]
async fn a_call_is_called_recorded_exactly_when_the_recorder_was_asked_to_take_it() {
    use Recorder::{Ready, RequiredOnly, Unavailable};
    // What the recorder was asked to take counts, not how it is by the answer: an optional call is not even ordered while
    // nobody promises it, and of one that must be recorded the recorder keeps what it can.
    for (rule, promise, later, recorded, noted) in [
        ("optional", Ready, Ready, true, 0),
        ("optional", Ready, RequiredOnly, true, 0),
        ("optional", Ready, Unavailable, true, 0),
        ("optional", RequiredOnly, RequiredOnly, false, 1),
        ("optional", RequiredOnly, Ready, false, 1),
        ("optional", Unavailable, Ready, false, 1),
        ("required", RequiredOnly, RequiredOnly, true, 0),
        ("required", Unavailable, Ready, true, 1),
        ("off", Ready, Ready, false, 0),
        ("off", Unavailable, Unavailable, false, 0),
    ] {
        let Some(mut world) = World::with(OnUnavailable::Warn).await else {
            return;
        };
        let set = format!("update helpline.queues set recording = '{rule}'");
        world.run(set.leak()).await;
        let call = world.call("u1").await;
        let told = answered(&mut world, call, promise, later).await;
        let case = format!("{rule}: {promise:?}, then {later:?}");
        assert_eq!(told, [recorded; 3], "{case}");
        assert_eq!(world.count(UNAVAILABLE_EVENTS).await, noted, "{case}");
        let heard = world.media.heard();
        let ordered = heard
            .iter()
            .any(|told| matches!(told, Told::Record(room, _) if *room == call));
        assert_eq!(
            ordered, recorded,
            "an order and what people are told go together: {case}"
        );
    }
}

#[tokio::test]
async fn the_agent_after_one_without_sound_finds_the_recorder_as_it_is_by_then() {
    let Some(mut world) = World::new().await else { return };
    let first = world.staff("first", StaffRole::Agent).await;
    let call = world.call("u1").await;
    let offer = world.ring(call, &first).await;
    recorder(&world, Recorder::RequiredOnly);
    world.desk.accept_offer(&first, offer).await.unwrap();
    world.desk.accept_offer(&first, offer).await.unwrap();
    assert_eq!(world.count(UNAVAILABLE_EVENTS).await, 1, "a page that asks again");
    world
        .run(
            "update helpline.offers set state = 'failed', reason = 'media', ended_at = clock_timestamp();
            update helpline.call_legs set state = 'down', down_at = clock_timestamp() where part = 'agent';
            update public.voice_calls set status = 'queued', assigned_staff_id = null, connecting_at = null",
        )
        .await;
    let told = answered(&mut world, call, Recorder::Ready, Recorder::Ready).await;
    assert_eq!(told, [true; 3], "the order to record is another one");
    assert_eq!(world.count(UNAVAILABLE_EVENTS).await, 1);
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
    until("the gauge is read", GAUGE_LIMIT, async || {
        figure("helpline_recording_required_calls") == 1.0
    })
    .await;
    stop.cancel();
    running.await.unwrap();
}
