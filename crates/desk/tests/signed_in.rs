//! How long somebody is signed in: in one role, as long as he works, and no longer than his session may lie unused.

#![cfg(test)]

mod common;

use call_model::Span;
use common::{World, customer};
use desk::auth::{SESSION_IDLE, Seen};
use desk::{Caller, Code};
use wire::staff::{PresenceSet, PresenceStatus, StaffRole};

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
