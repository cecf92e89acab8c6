//! The shield over pressed keys: who may, what media is told, what it outlasts, when it ends, and the house's own rule.

#![cfg(test)]

mod common;
#[path = "scene/talk.rs"]
mod talk;

use call_model::{CallId, LegId};
use common::{World, customer, service};
use desk::{Caller, Code, OnUnavailable, Shielding};
use ports::{Cause, EventKind, LegSummary, MediaEvent};
use talk::{history, plan, talking};
use tokio_util::sync::CancellationToken;
use wire::call::{Shield, Shielded};
use wire::staff::StaffRole;

const OPEN: &str = "select count(*) from helpline.call_intervals where kind = 'shield' and ended_at is null";

fn why(reason: &str) -> Shield {
    Shield {
        reason: Some(reason.to_owned()),
    }
}

fn plain() -> Shield {
    Shield { reason: None }
}

#[tokio::test]
async fn keys_are_kept_back_until_the_agent_lets_them_go_and_twice_is_once() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let call = talking(&mut world, "u1", &agent).await;
    assert_eq!(plan(&world).shield, ports::Shield::Off);
    world.desk.unshield(&agent, call, plain()).await.unwrap();
    assert!(history(&mut world).await.is_empty(), "there is nothing to take away");

    let before = plan(&world).epoch;
    let on = world.desk.shield(&agent, call, why("card number")).await.unwrap();
    assert_eq!(on.shielded, Shielded::On);
    assert_eq!(plan(&world).shield, ports::Shield::On);
    assert!(plan(&world).epoch > before);
    let told = plan(&world);
    world.desk.shield(&agent, call, plain()).await.unwrap();
    assert_eq!(plan(&world), told, "the same plan, which media takes twice");
    let shown = world.desk.call(&customer("u1"), call).await.unwrap();
    assert_eq!(shown.shielded, Shielded::On, "the customer's page knows it too");

    // Whatever else changes, and a page that is loaded anew.
    world.desk.hold(&agent, call, None).await.unwrap();
    assert_eq!(plan(&world).shield, ports::Shield::On);
    world.desk.resume(&agent, call, None).await.unwrap();
    world.desk.grant_leg(&agent, call, None).await.unwrap();
    assert_eq!(plan(&world).shield, ports::Shield::On);

    let off = world.desk.unshield(&agent, call, why("all there")).await.unwrap();
    assert_eq!(off.shielded, Shielded::Off);
    assert_eq!(plan(&world).shield, ports::Shield::Off);
    assert_eq!(
        world
            .texts(
                "select concat_ws(' ', kind, actor, data ->> 'reason') from helpline.call_events
                where kind like '%shielded' order by seq"
            )
            .await,
        [
            "call.shielded staff:amina card number",
            "call.unshielded staff:amina all there"
        ]
    );
    for audience in ["user", "staff"] {
        let sql = format!(
            "select kind from helpline.hub_events where audience = '{audience}' and kind like '%shielded' order by id"
        );
        assert_eq!(world.texts(sql.leak()).await, ["call.shielded", "call.unshielded"]);
    }
    assert_eq!(
        world
            .count("select count(*) from support_activity_logs where action like '%shielded' and reason is not null")
            .await,
        2
    );
    assert_eq!(
        world
            .texts(
                "select concat_ws('|', actor, reason, ended_actor, ended_reason) from helpline.call_intervals
                where kind = 'shield'"
            )
            .await,
        ["staff:amina|card number|staff:amina|all there"]
    );
}

#[tokio::test]
async fn the_agent_and_those_above_him_may_and_only_with_sound() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let other = world.staff("baraka", StaffRole::Agent).await;
    let lead = world.staff("lulu", StaffRole::TeamLead).await;
    let admin = world.promote(&lead, "admin").await;
    async fn codes(world: &World, who: &Caller, call: CallId) -> [Option<Code>; 2] {
        let on = world.desk.shield(who, call, plain()).await;
        let off = world.desk.unshield(who, call, plain()).await;
        [on, off].map(|done| done.err().map(|refused| refused.code))
    }
    let early = world.call("u0").await;
    assert_eq!(codes(&world, &admin, early).await, [Some(Code::IllegalTransition); 2]);
    world.desk.hang_up(&customer("u0"), early, None).await.unwrap();

    let call = talking(&mut world, "u1", &agent).await;
    assert_eq!(codes(&world, &customer("u1"), call).await, [Some(Code::Forbidden); 2]);
    assert_eq!(codes(&world, &customer("u2"), call).await, [Some(Code::NotFound); 2]);
    for code in codes(&world, &other, call).await {
        assert!(matches!(code, Some(Code::Forbidden | Code::NotFound)), "{code:?}");
    }
    let long = world.desk.shield(&agent, call, why(&"x".repeat(65))).await;
    assert_eq!(long.unwrap_err().code, Code::Validation);
    assert_eq!(world.count(OPEN).await, 0, "a refusal changes nothing");
    assert_eq!(codes(&world, &admin, call).await, [None; 2], "above the agent");
    assert_eq!(codes(&world, &service(), call).await, [None; 2]);

    world.desk.shield(&agent, call, plain()).await.unwrap();
    world.desk.hang_up(&agent, call, None).await.unwrap();
    assert_eq!(world.count(OPEN).await, 0, "the end of the call ends it");
    let over = world.desk.call(&customer("u1"), call).await.unwrap();
    assert_eq!(over.shielded, Shielded::Off);
    assert_eq!(codes(&world, &agent, call).await, [Some(Code::IllegalTransition); 2]);
    world.desk.end_wrap_up(&agent, call).await.unwrap();
    let next = talking(&mut world, "u1", &agent).await;
    assert_ne!(next, call);
    assert_eq!(plan(&world).shield, ports::Shield::Off, "the next call begins without");
}

#[tokio::test]
async fn it_stays_when_the_agent_is_lost_and_the_call_waits_again() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let call = talking(&mut world, "u1", &agent).await;
    world.desk.shield(&agent, call, plain()).await.unwrap();
    let id = world
        .texts("select id::text from helpline.call_legs where part = 'agent'")
        .await;
    let leg = LegId(id[0].parse::<uuid::Uuid>().unwrap().as_u128());
    world.media.report(MediaEvent {
        room: call,
        seq: 1,
        node_epoch: 1,
        age_ms: 0,
        kind: EventKind::LegDown {
            leg,
            cause: Cause::Lost,
            summary: LegSummary::default(),
        },
    });
    let stop = CancellationToken::new();
    let (desk, token) = (world.desk.clone(), stop.clone());
    let running = tokio::spawn(async move { desk.run(token).await });
    while history(&mut world).await.last().map(String::as_str) != Some("call.requeued") {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    running.await.unwrap();
    assert_eq!(world.count(OPEN).await, 1);
    let waits = plan(&world);
    assert_eq!(waits.stances.len(), 1, "the customer's leg alone");
    assert_eq!(waits.shield, ports::Shield::On);
}

#[tokio::test]
async fn a_house_that_shields_every_call_lets_nobody_take_it_away() {
    let house = World::of_house(OnUnavailable::Refuse, Shielding::Always).await;
    let Some(mut world) = house else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let lead = world.staff("lulu", StaffRole::TeamLead).await;
    let admin = world.promote(&lead, "super_admin").await;
    let call = talking(&mut world, "u1", &agent).await;
    assert_eq!(plan(&world).shield, ports::Shield::On, "from the first plan on");
    assert_eq!(world.desk.call(&agent, call).await.unwrap().shielded, Shielded::Always);
    for who in [&agent, &admin, &service()] {
        let refused = world.desk.unshield(who, call, plain()).await.unwrap_err();
        assert_eq!(refused.code, Code::Forbidden);
    }
    let again = world.desk.shield(&agent, call, plain()).await.unwrap();
    assert_eq!(again.shielded, Shielded::Always);
    assert_eq!(
        world
            .texts("select concat_ws(' ', kind, actor, data ->> 'always') from helpline.call_events where kind like '%shielded'")
            .await,
        ["call.shielded system:settings true"]
    );
    world.desk.hang_up(&agent, call, None).await.unwrap();
    assert_eq!(world.count(OPEN).await, 0);
}
