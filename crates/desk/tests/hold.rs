//! Hold and resume: who may, what media is told, which rows and events come of it, and what a repetition adds (nothing).

#![cfg(test)]

mod common;
#[path = "scene/talk.rs"]
mod talk;

use call_model::LegId;
use common::{Told, World, customer, service};
use desk::{Caller, Code};
use ports::{Cause, Plan, Stance, Tap};
use talk::{plan, talking};
use wire::staff::StaffRole;

/// Stances of customer and agent in a plan.
async fn stances(world: &mut World, plan: &Plan) -> [Stance; 2] {
    let mut found = Vec::new();
    for sql in [
        "select id::text from helpline.call_legs where part = 'customer'",
        "select id::text from helpline.call_legs where part = 'agent'",
    ] {
        let id: uuid::Uuid = world.texts(sql).await[0].parse().unwrap();
        let leg = LegId(id.as_u128());
        found.push(plan.stances.iter().find(|(named, _)| *named == leg).unwrap().1);
    }
    [found[0], found[1]]
}

#[tokio::test]
async fn the_customer_hears_music_until_the_agent_takes_him_back() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let call = talking(&mut world, "u1", &agent).await;
    let before = plan(&world);

    let held = world
        .desk
        .hold(&agent, call, Some("looks up the account".to_owned()))
        .await
        .unwrap();
    assert!(held.held_since.is_some());
    assert_eq!(
        held.status,
        wire::call::CallStatus::Answered,
        "hold is no state of a call"
    );
    let on = plan(&world);
    assert!(on.epoch > before.epoch);
    assert_eq!(
        on.tap,
        Tap::On,
        "nobody is audible, so nothing is stored; the order stands"
    );
    assert_eq!(stances(&mut world, &on).await, [Stance::Held, Stance::Talk]);
    let shown = world.desk.call(&customer("u1"), call).await.unwrap();
    assert_eq!(shown.held_since, held.held_since, "the customer's page knows it too");

    let back = world.desk.resume(&agent, call, None).await.unwrap();
    assert_eq!(back.held_since, None);
    let off = plan(&world);
    assert!(off.epoch > on.epoch);
    assert_eq!(stances(&mut world, &off).await, [Stance::Talk, Stance::Talk]);

    assert_eq!(
        world
            .texts("select kind from helpline.call_events order by seq offset 3")
            .await,
        ["call.held", "call.resumed"]
    );
    assert_eq!(
        world
            .texts("select data ->> 'word' from helpline.call_events where kind = 'call.held'")
            .await,
        ["looks up the account"]
    );
    for audience in [
        "select kind from helpline.hub_events where audience = 'user' order by id offset 2",
        "select kind from helpline.hub_events where audience = 'staff' and kind in ('call.held', 'call.resumed') order by id",
    ] {
        assert_eq!(world.texts(audience).await, ["call.held", "call.resumed"]);
    }
    assert_eq!(
        world
            .count(
                "select count(*) from helpline.call_intervals i join helpline.staff s on s.id = i.staff_id
                where kind = 'hold' and ended_at >= started_at and s.staff_name = 'amina'"
            )
            .await,
        1
    );
    assert_eq!(
        world
            .count("select count(*) from support_activity_logs where action in ('call.held', 'call.resumed')")
            .await,
        2
    );
}

#[tokio::test]
async fn twice_is_once_and_a_page_loaded_anew_stays_on_hold() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let call = talking(&mut world, "u1", &agent).await;
    world.desk.resume(&agent, call, None).await.unwrap();
    assert_eq!(
        world
            .count("select count(*) from helpline.call_events where kind = 'call.resumed'")
            .await,
        0,
        "who is not on hold is not taken back"
    );
    let one = world.desk.hold(&agent, call, None).await.unwrap();
    let told = plan(&world);
    let two = world.desk.hold(&agent, call, None).await.unwrap();
    assert_eq!(one.held_since, two.held_since);
    assert_eq!(plan(&world), told, "the same plan, which media takes twice");
    assert_eq!(
        world
            .count("select count(*) from helpline.call_intervals where kind = 'hold'")
            .await,
        1
    );
    let epoch = plan(&world).epoch;
    world.desk.grant_leg(&customer("u1"), call, None).await.unwrap();
    let again = plan(&world);
    assert_eq!(again.epoch, epoch);
    assert_eq!(stances(&mut world, &again).await, [Stance::Held, Stance::Talk]);
}

#[tokio::test]
async fn only_the_agent_and_those_above_him_may_and_only_with_sound() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let other = world.staff("baraka", StaffRole::Agent).await;
    let lead = world.staff("lulu", StaffRole::TeamLead).await;
    let admin = world.promote(&lead, "admin").await;

    let early = world.call("u0").await;
    let refused = world.desk.hold(&admin, early, None).await.unwrap_err();
    assert_eq!(refused.code, Code::IllegalTransition);
    world.desk.hang_up(&customer("u0"), early, None).await.unwrap();

    let call = talking(&mut world, "u1", &agent).await;
    let code = async |who: &Caller| match world.desk.hold(who, call, None).await {
        Ok(_) => None,
        Err(refused) => Some(refused.code),
    };
    assert_eq!(code(&customer("u1")).await, Some(Code::Forbidden));
    assert_eq!(code(&customer("u2")).await, Some(Code::NotFound));
    assert!(matches!(code(&other).await, Some(Code::Forbidden | Code::NotFound)));
    let refused = world.desk.hold(&agent, call, Some("x".repeat(65))).await.unwrap_err();
    assert_eq!(refused.code, Code::Validation);
    assert_eq!(
        world
            .count("select count(*) from helpline.call_intervals where kind = 'hold'")
            .await,
        0,
        "a refusal changes nothing"
    );
    world.desk.hold(&admin, call, None).await.expect("above the agent");
    world.desk.resume(&service(), call, None).await.expect("a service may");

    world.desk.hold(&agent, call, None).await.unwrap();
    world.desk.hang_up(&agent, call, None).await.unwrap();
    assert_eq!(
        world
            .count("select count(*) from helpline.call_intervals where ended_at is null")
            .await,
        0,
        "the end of the call ends its hold"
    );
    for refused in [
        world.desk.hold(&agent, call, None).await.unwrap_err(),
        world.desk.resume(&agent, call, None).await.unwrap_err(),
    ] {
        assert_eq!(refused.code, Code::IllegalTransition);
    }
    assert!(world.media.heard().contains(&Told::CloseRoom(call, Cause::HangUp)));
}

#[tokio::test]
async fn a_span_keeps_who_began_and_who_ended_it_and_why() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let call = talking(&mut world, "u1", &agent).await;
    let word = |text: &str| Some(text.to_owned());
    world.desk.hold(&agent, call, word("looks it up")).await.unwrap();
    world.desk.resume(&service(), call, word("by the house")).await.unwrap();
    world.desk.hold(&agent, call, None).await.unwrap();
    world.desk.hang_up(&customer("u1"), call, None).await.unwrap();
    let spans = "select concat_ws('|', kind, actor, coalesce(reason, '-'), ended_actor, coalesce(ended_reason, '-'))
        from helpline.call_intervals order by id";
    assert_eq!(
        world.texts(spans).await,
        [
            "hold|staff:amina|looks it up|system:service|by the house",
            "hold|staff:amina|-|customer|-"
        ]
    );
}
