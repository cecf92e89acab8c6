//! How long somebody is signed in: in one role, as long as he works, and no longer than his session may lie unused.

#![cfg(test)]

mod common;
#[path = "scene/talk.rs"]
mod talk;

use call_model::{LegId, Span, StaffId};
use common::{Told, World, customer, staff_id};
use desk::auth::{SESSION_IDLE, Seen};
use desk::{Caller, Code};
use ports::Cause;
use talk::{plan, talking};
use uuid::Uuid;
use wire::call::{Supervise, SuperviseMode};
use wire::staff::{PresenceSet, PresenceStatus, StaffRole, StaffUpdate};

/// Nobody has used a session for an hour, but for a minute.
const ALMOST_IDLE: &str = "update helpline.staff_sessions set last_seen_at = clock_timestamp() - interval '59 minutes'";
const USED_NOW: &str = "select count(*) from helpline.staff_sessions
    where last_seen_at > clock_timestamp() - interval '1 minute'";

async fn code(world: &World, caller: &Caller, seen: Seen) -> Option<Code> {
    world
        .desk
        .auth()
        .still(caller, seen)
        .await
        .err()
        .map(|refused| refused.code)
}

/// Whether a look that has seen so much counts as use of a session that has almost run out.
async fn keeps(world: &mut World, caller: &Caller, seen: Seen) -> bool {
    world.run(ALMOST_IDLE).await;
    assert_eq!(code(world, caller, seen).await, None);
    world.count(USED_NOW).await == 1
}

async fn set(world: &World, caller: &Caller, status: PresenceStatus) {
    let wanted = PresenceSet {
        status,
        reason: None,
        media_checked: true,
    };
    world.desk.set_presence(caller, wanted).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_calls_stays_signed_in_by_his_page_and_a_forgotten_console_does_not() {
    assert_eq!(SESSION_IDLE, Span::minutes(60), "as the statements here");
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("ann", StaffRole::Agent).await;
    assert!(!keeps(&mut world, &agent, Seen::Nothing).await);
    assert!(!keeps(&mut world, &agent, Seen::Page).await, "nobody is at work");
    assert!(keeps(&mut world, &agent, Seen::Use).await);

    let Caller::Staff { staff, .. } = &agent else {
        unreachable!()
    };
    world.desk.staff_alive(*staff, Some(5)).await.unwrap();
    set(&world, &agent, PresenceStatus::Online).await;
    assert!(keeps(&mut world, &agent, Seen::Page).await, "he waits for calls");
    assert!(!keeps(&mut world, &agent, Seen::Nothing).await, "his page is gone");

    let call = world.call("u1").await;
    let offer = world.ring(call, &agent).await;
    world.desk.accept_offer(&agent, offer).await.unwrap();
    set(&world, &agent, PresenceStatus::Away).await;
    assert!(keeps(&mut world, &agent, Seen::Page).await, "he is in a call");

    world
        .run("update helpline.staff_sessions set last_seen_at = clock_timestamp() - interval '61 minutes'")
        .await;
    assert_eq!(
        code(&world, &agent, Seen::Use).await,
        Some(Code::Unauthenticated),
        "too late"
    );
    assert_eq!(
        code(&world, &customer("u1"), Seen::Nothing).await,
        None,
        "it is about staff"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_role_is_another_caller() {
    let Some(mut world) = World::new().await else { return };
    let before = world.staff("sue", StaffRole::Supervisor).await;
    assert_eq!(code(&world, &before, Seen::Use).await, None);
    let after = world.promote(&before, "agent").await;
    assert_eq!(code(&world, &before, Seen::Use).await, Some(Code::Unauthenticated));
    assert_eq!(world.desk.me(&before).await.unwrap_err().code, Code::Unauthenticated);
    assert_eq!(code(&world, &after, Seen::Use).await, None);
    assert_eq!(world.desk.me(&after).await.unwrap().role, StaffRole::Agent);

    world.run("update helpline.staff set is_active = false").await;
    assert_eq!(code(&world, &after, Seen::Nothing).await, Some(Code::Unauthenticated));
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_role_does_not_allow_it_any_more_supervises_no_longer() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let mut above = Vec::new();
    for (name, role) in [("chief", "super_admin"), ("sue", "admin"), ("ben", "admin")] {
        let hired = world.staff(name, StaffRole::Supervisor).await;
        above.push(world.promote(&hired, role).await);
    }
    let [chief, sue, ben] = above.try_into().unwrap();
    let call = talking(&mut world, "u1", &agent).await;
    let mut legs = Vec::new();
    for (who, mode) in [(&sue, SuperviseMode::Barge), (&ben, SuperviseMode::Monitor)] {
        let how = Supervise { mode, reason: None };
        legs.push(world.desk.supervise(who, call, how).await.unwrap().leg_id);
    }
    let [joins, listens] = legs.try_into().unwrap();
    let is_heard = |world: &World, leg: Uuid| plan(world).stances.iter().any(|(one, _)| one.0 == leg.as_u128());
    let is_closed = |world: &World, leg: Uuid| {
        let leg = LegId(leg.as_u128());
        world.media.heard().contains(&Told::CloseLeg(leg, Cause::HangUp))
    };

    for who in [&sue, &ben] {
        change(&world, &chief, who, |body| body.role = Some(StaffRole::TeamLead)).await;
    }
    assert!(
        is_closed(&world, joins) && !is_heard(&world, joins),
        "a team lead joins no call"
    );
    assert!(
        !is_closed(&world, listens) && is_heard(&world, listens),
        "he may listen"
    );
    change(&world, &chief, &ben, |body| body.is_active = Some(false)).await;
    assert!(is_closed(&world, listens) && !is_heard(&world, listens));
    let ended = "select actor_role || ' ' || reason from public.support_activity_logs
        where action = 'call.supervision_ended'";
    assert_eq!(world.texts(ended).await, ["super_admin role_withdrawn"; 2]);
}

async fn change(world: &World, by: &Caller, who: &Caller, how: impl FnOnce(&mut StaffUpdate)) {
    let mut body = StaffUpdate {
        staff_name: None,
        role: None,
        is_active: None,
        max_concurrent_calls: None,
    };
    how(&mut body);
    let id = StaffId(staff_id(who).as_u128());
    world.desk.staff_update(by, id, body).await.unwrap();
}
