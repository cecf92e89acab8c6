//! Takeover: a supervisor becomes the agent in one step; the one before writes up, and every invariant of the desk holds.

#![cfg(test)]

mod common;
#[path = "scene/talk.rs"]
mod talk;

use call_model::{CallId, LegId};
use common::{Told, World, customer, service, staff_id};
use desk::{Caller, Code};
use ports::{Cause, Stance};
use talk::{history, online, plan, stance, talking};
use wire::call::{CallStatus, ConsultStart, Supervise, SuperviseMode};
use wire::leg::{LegGrant, Part};
use wire::staff::StaffRole;

fn how(mode: SuperviseMode) -> Supervise {
    Supervise {
        mode,
        reason: Some("the customer asks for me".to_owned()),
    }
}

async fn take(world: &World, who: &Caller, call: CallId) -> Result<LegGrant, Code> {
    let taken = world.desk.supervise(who, call, how(SuperviseMode::Takeover)).await;
    taken.map_err(|refused| refused.code)
}

/// Two agents of one call, or a call without one.
const BROKEN: &str = "select count(*) from public.voice_calls c where c.status = 'answered' and 1 <> (
    select count(*) from helpline.offers o where o.call_id = c.id and o.kind = 'primary' and o.state = 'accepted'
        and o.staff_id = c.assigned_staff_id)";
const HELD: &str = "select s.staff_name || ' ' || o.kind || ' ' || o.state from helpline.offers o
    join helpline.staff s on s.id = o.staff_id where o.state in ('pending', 'accepted', 'wrapping')
    order by s.staff_name";
const COUNTS: &str = "select staff_name || ' ' || current_call_count from public.support_staff order by staff_name";

#[tokio::test]
async fn a_supervisor_has_the_call_at_once_and_the_agent_writes_up() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let sue = world.staff("sue", StaffRole::Supervisor).await;
    let sue = world.promote(&sue, "admin").await;
    let call = talking(&mut world, "u1", &agent).await;
    let listens = world
        .desk
        .supervise(&sue, call, how(SuperviseMode::Monitor))
        .await
        .unwrap();
    world.desk.hold(&agent, call, None).await.unwrap();
    let (before, heard) = (plan(&world).epoch, world.media.heard().len());

    let leg = take(&world, &sue, call).await.unwrap();
    assert_eq!((leg.part, leg.call_id.as_u128()), (Part::Agent, call.0));
    assert_ne!(leg.leg_id, listens.leg_id, "who listened had no uplink");
    let told = world.media.heard().split_off(heard);
    let plans: Vec<_> = told
        .iter()
        .filter_map(|told| match told {
            Told::Plan(plan) => Some(plan.epoch),
            _ => None,
        })
        .collect();
    assert!(
        plans.iter().all(|epoch| *epoch == before + 1),
        "one plan, told twice: {plans:?}"
    );
    assert!(told.contains(&Told::CloseLeg(LegId(listens.leg_id.as_u128()), Cause::Replaced)));
    assert!(told.iter().any(|told| matches!(told, Told::CloseLeg(_, Cause::Kicked))));
    assert_eq!(stance(&mut world, "customer").await, Some(Stance::Talk), "hold is over");
    assert_eq!(stance(&mut world, "agent").await, Some(Stance::Talk));
    assert_eq!(plan(&world).stances.len(), 2, "nobody else is named");

    let view = world.desk.call(&customer("u1"), call).await.unwrap();
    assert_eq!(
        (view.status, view.agent_name.as_deref()),
        (CallStatus::Answered, Some("sue"))
    );
    let view = world.desk.call(&sue, call).await.unwrap();
    assert_eq!(view.agent_id, Some(staff_id(&sue)));
    assert_eq!(
        world.texts(HELD).await,
        ["amina primary wrapping", "sue primary accepted"]
    );
    assert_eq!(world.texts(COUNTS).await, ["amina 0", "sue 1"], "derived, and right");
    assert_eq!(world.count(BROKEN).await, 0);
    assert_eq!(
        history(&mut world).await,
        [
            "call.supervision_began",
            "call.held",
            "call.supervision_ended",
            "call.taken_over"
        ]
    );
    assert_eq!(
        world
            .texts(
                "select actor || ': ' || (data ->> 'from') || ' to ' || (data ->> 'to') || ', ' || (data ->> 'reason')
                from helpline.call_events where kind = 'call.taken_over'"
            )
            .await,
        ["staff:sue: amina to sue, the customer asks for me"]
    );
    assert_eq!(
        world
            .texts("select actor_role || ', ' || reason from support_activity_logs where action = 'call.taken_over'")
            .await,
        ["admin, the customer asks for me"]
    );
    assert_eq!(
        world
            .count("select count(*) from helpline.call_intervals where ended_at is null")
            .await,
        0
    );

    // The agent before finds what he writes up; the call is not his any more.
    world.desk.extend_wrap_up(&agent, call).await.unwrap();
    assert_eq!(
        world.desk.hang_up(&agent, call, None).await.unwrap_err().code,
        Code::Forbidden
    );
    world.desk.end_wrap_up(&agent, call).await.unwrap();
    let again = take(&world, &sue, call).await.unwrap();
    assert_eq!(again.leg_id, leg.leg_id, "twice is once");
    assert_ne!(again.grant, leg.grant);
    let over = world.desk.hang_up(&sue, call, None).await.unwrap();
    assert_eq!(over.end_reason.as_deref(), Some("agent_hangup"));
    assert_eq!(world.texts(HELD).await, ["sue primary wrapping"]);
}

#[tokio::test]
async fn only_those_who_may_and_only_a_call_with_sound_and_never_above_ones_slots() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let lead = world.staff("lulu", StaffRole::TeamLead).await;
    let boss = world.staff("boss", StaffRole::Supervisor).await;
    let early = world.call("u0").await;
    assert_eq!(take(&world, &boss, early).await.unwrap_err(), Code::IllegalTransition);
    world.desk.hang_up(&customer("u0"), early, None).await.unwrap();
    let call = talking(&mut world, "u1", &agent).await;
    for who in [&agent, &lead, &customer("u1"), &service()] {
        assert_eq!(take(&world, who, call).await.unwrap_err(), Code::Forbidden);
    }
    let other = talking(&mut world, "u2", &boss).await;
    assert_eq!(take(&world, &boss, call).await.unwrap_err(), Code::AlreadyInCall);
    world.desk.hang_up(&boss, other, None).await.unwrap();
    assert_eq!(
        take(&world, &boss, call).await.unwrap_err(),
        Code::AlreadyInCall,
        "he writes up"
    );
    assert_eq!(world.count(BROKEN).await, 0, "a refusal changes nothing");
    world.desk.end_wrap_up(&boss, other).await.unwrap();
    let long = Supervise {
        mode: SuperviseMode::Takeover,
        reason: Some("x".repeat(65)),
    };
    assert_eq!(
        world.desk.supervise(&boss, call, long).await.unwrap_err().code,
        Code::Validation
    );
    assert!(take(&world, &boss, call).await.is_ok());
    world.desk.hang_up(&customer("u1"), call, None).await.unwrap();
    assert_eq!(take(&world, &boss, call).await.unwrap_err(), Code::IllegalTransition);
}

#[tokio::test]
async fn of_many_at_once_one_has_it_and_nobody_is_left_between() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let mut bosses = Vec::new();
    for n in 0..4 {
        let one = world.staff(&format!("boss{n}"), StaffRole::Supervisor).await;
        bosses.push(world.promote(&one, "admin").await);
    }
    let call = talking(&mut world, "u1", &agent).await;
    let desk = world.desk.clone();
    let mut tasks = Vec::new();
    for boss in bosses {
        let desk = desk.clone();
        tasks.push(tokio::spawn(async move {
            desk.supervise(&boss, call, how(SuperviseMode::Takeover)).await
        }));
    }
    for task in tasks {
        task.await.unwrap().expect("each in his turn");
    }
    assert_eq!(world.count(BROKEN).await, 0);
    assert_eq!(
        world
            .count("select count(*) from helpline.offers where state = 'wrapping'")
            .await,
        4
    );
    assert_eq!(
        world
            .count("select count(*) from helpline.call_legs where part = 'agent' and state <> 'down'")
            .await,
        1
    );
}

#[tokio::test]
async fn a_consultation_ends_with_it_also_ones_own() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let sue = world.staff("sue", StaffRole::Supervisor).await;
    let sue = world.promote(&sue, "admin").await;
    online(&world, &sue).await;
    let call = talking(&mut world, "u1", &agent).await;
    let whom = ConsultStart {
        staff_id: staff_id(&sue),
        reason: None,
    };
    world.desk.consult(&agent, call, whom).await.unwrap();
    let offer = world.desk.offers(&sue).await.unwrap().remove(0).offer_id;
    world
        .desk
        .accept_offer(&sue, call_model::OfferId(offer.as_u128()))
        .await
        .unwrap();
    assert_eq!(
        world
            .desk
            .supervise(&sue, call, how(SuperviseMode::Monitor))
            .await
            .unwrap_err()
            .code,
        Code::Forbidden,
        "who takes part does not listen beside it"
    );
    take(&world, &sue, call).await.unwrap();
    assert_eq!(
        world.texts(HELD).await,
        ["amina primary wrapping", "sue primary accepted"]
    );
    assert_eq!(stance(&mut world, "customer").await, Some(Stance::Talk));
    assert_eq!(stance(&mut world, "partner").await, None);
    assert_eq!(
        history(&mut world).await,
        [
            "call.consult_started",
            "call.consult_answered",
            "call.consult_ended",
            "call.taken_over"
        ]
    );
    assert_eq!(world.count(BROKEN).await, 0);
}
