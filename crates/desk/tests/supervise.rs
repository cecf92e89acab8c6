//! Supervision: who may, in which mode his leg may send, what media is told, and what is left of it.

#![cfg(test)]

mod common;
#[path = "scene/talk.rs"]
mod talk;

use call_model::{CallId, LegId};
use common::{Told, World, customer};
use desk::{Caller, Code};
use ports::{Announce, Cause, Plan, Stance};
use talk::{plan, talking};
use uuid::Uuid;
use wire::call::SuperviseMode::{self, Barge, Monitor, Whisper};
use wire::call::{Supervise, SuperviseEnd};
use wire::staff::StaffRole;

fn how(mode: SuperviseMode) -> Supervise {
    Supervise { mode, reason: None }
}

fn stance(plan: &Plan, leg: Uuid) -> Option<Stance> {
    let named = plan.stances.iter().find(|(named, _)| named.0 == leg.as_u128());
    named.map(|(_, stance)| *stance)
}

#[tokio::test]
async fn a_supervisor_listens_whispers_joins_and_leaves() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let esther = world.staff("esther", StaffRole::Supervisor).await;
    let admin = world.promote(&esther, "admin").await;
    let call = talking(&mut world, "u1", &agent).await;
    let before = plan(&world).epoch;

    let listens = world.desk.supervise(&admin, call, how(Monitor)).await.unwrap();
    assert_eq!(listens.part, wire::leg::Part::Supervisor);
    let on = plan(&world);
    assert!(on.epoch > before);
    assert_eq!(stance(&on, listens.leg_id), Some(Stance::Listen));
    let again = world.desk.supervise(&admin, call, how(Monitor)).await.unwrap();
    assert_eq!(again.leg_id, listens.leg_id, "a fresh right for the same leg");
    assert_ne!(again.grant, listens.grant);
    assert_eq!(plan(&world).epoch, on.epoch);

    let whispers = world.desk.supervise(&admin, call, how(Whisper)).await.unwrap();
    assert_ne!(whispers.leg_id, listens.leg_id, "who listened had no uplink");
    assert_eq!(stance(&plan(&world), whispers.leg_id), Some(Stance::Whisper));
    assert_eq!(stance(&plan(&world), listens.leg_id), None);
    let old = LegId(listens.leg_id.as_u128());
    assert!(world.media.heard().contains(&Told::CloseLeg(old, Cause::Replaced)));

    // Hold and supervision know of one another.
    world.desk.hold(&agent, call, None).await.unwrap();
    assert_eq!(stance(&plan(&world), whispers.leg_id), Some(Stance::Whisper));
    world.desk.resume(&agent, call, None).await.unwrap();

    let joins = world.desk.supervise(&admin, call, how(Barge)).await.unwrap();
    assert_eq!(stance(&plan(&world), joins.leg_id), Some(Stance::Barge));
    world
        .desk
        .end_supervision(&admin, call, SuperviseEnd::default())
        .await
        .unwrap();
    world
        .desk
        .end_supervision(&admin, call, SuperviseEnd::default())
        .await
        .unwrap();
    assert_eq!(stance(&plan(&world), joins.leg_id), None);
    assert_eq!(
        world
            .texts("select data ->> 'mode' from helpline.call_intervals where kind = 'supervise' and ended_at is not null order by id")
            .await,
        ["monitor", "whisper", "barge"]
    );
    assert_eq!(
        world
            .texts(
                "select action from support_activity_logs
                where action in ('call.monitor', 'call.whisper', 'call.barge', 'call.supervision_ended') order by id"
            )
            .await,
        ["call.monitor", "call.whisper", "call.barge", "call.supervision_ended"],
        "each is audited once"
    );
    assert_eq!(
        *world.media.uplinks.lock().unwrap(),
        [true, true, false, false, true, true],
        "agent, customer, twice who listens, whisper, barge"
    );
}

/// How the desk refuses; `None` when it does not.
async fn code(world: &World, who: &Caller, call: CallId, mode: SuperviseMode) -> Option<Code> {
    world.desk.supervise(who, call, how(mode)).await.err().map(|no| no.code)
}

#[tokio::test]
async fn each_role_supervises_as_its_permissions_say_and_nobody_himself() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let early = world.call("u0").await;
    let boss = world.staff("boss", StaffRole::Supervisor).await;
    let admin = world.promote(&boss, "admin").await;
    let refused = world.desk.supervise(&admin, early, how(Monitor)).await.unwrap_err();
    assert_eq!(refused.code, Code::IllegalTransition, "nobody has sound yet");
    world.desk.hang_up(&customer("u0"), early, None).await.unwrap();

    let call = talking(&mut world, "u1", &agent).await;
    for mode in [Monitor, Whisper, Barge] {
        assert_eq!(code(&world, &agent, call, mode).await, Some(Code::Forbidden));
        assert_eq!(code(&world, &customer("u1"), call, mode).await, Some(Code::Forbidden));
        assert_eq!(
            code(&world, &common::service(), call, mode).await,
            Some(Code::Forbidden)
        );
    }
    let lead = world.staff("lulu", StaffRole::TeamLead).await;
    assert_eq!(
        code(&world, &lead, call, Barge).await,
        Some(Code::Forbidden),
        "a team lead does not join"
    );
    for n in 0..2 {
        let one = world.staff(&format!("s{n}"), StaffRole::Supervisor).await;
        let one = world.promote(&one, "admin").await;
        assert_eq!(code(&world, &one, call, Monitor).await, None);
    }
    assert_eq!(
        code(&world, &admin, call, Monitor).await,
        Some(Code::MediaFull),
        "the third finds no place"
    );

    world.desk.hang_up(&agent, call, None).await.unwrap();
    assert_eq!(
        world
            .count("select count(*) from helpline.call_intervals where ended_at is null")
            .await,
        0
    );
    assert_eq!(code(&world, &admin, call, Monitor).await, Some(Code::IllegalTransition));
}

#[tokio::test]
async fn media_is_told_who_hears_the_tone_while_somebody_supervises() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let esther = world.staff("esther", StaffRole::Supervisor).await;
    let call = talking(&mut world, "u1", &agent).await;
    world.desk.supervise(&esther, call, how(Monitor)).await.unwrap();
    assert_eq!(plan(&world).announce, Announce::Nobody, "off unless the house says so");
    world
        .desk
        .end_supervision(&esther, call, SuperviseEnd::default())
        .await
        .unwrap();

    world
        .run("insert into public.support_settings (key, value) values ('supervision', '{}')")
        .await;
    for (group, expected) in [
        ("'{\"announce\": \"notice\"}'", Announce::Nobody),
        ("'{\"announce\": \"tone\"}'", Announce::Agents),
        ("'{\"announce\": \"tone\", \"announceTo\": \"all\"}'", Announce::All),
        ("'{\"announce\": \"tone\", \"announceTo\": \"none\"}'", Announce::Nobody),
    ] {
        let says = format!(
            "update public.support_settings set value = {group}, version = version + 1 where key = 'supervision'"
        );
        world.run(says.leak()).await;
        let listens = world.desk.supervise(&esther, call, how(Monitor)).await.unwrap();
        let on = plan(&world);
        assert_eq!(on.announce, expected, "{group}");
        assert_eq!(
            stance(&on, listens.leg_id),
            Some(Stance::Listen),
            "by the very plan that lets him listen"
        );
        // Whatever changes meanwhile changes nothing about it.
        world.desk.hold(&agent, call, None).await.unwrap();
        assert_eq!(plan(&world).announce, expected, "{group}");
        world.desk.resume(&agent, call, None).await.unwrap();
        world
            .desk
            .end_supervision(&esther, call, SuperviseEnd::default())
            .await
            .unwrap();
        assert_eq!(plan(&world).announce, Announce::Nobody, "nobody supervises");
    }
}

#[tokio::test]
async fn the_history_tells_of_supervision_and_the_agent_reads_it_only_where_the_house_tells_him() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let esther = world.staff("esther", StaffRole::Supervisor).await;
    let admin = world.promote(&esther, "admin").await;
    let call = talking(&mut world, "u1", &agent).await;
    let why = Supervise {
        mode: Monitor,
        reason: Some("trainee".to_owned()),
    };
    world.desk.supervise(&admin, call, why).await.unwrap();
    world.desk.supervise(&admin, call, how(Barge)).await.unwrap();
    world.desk.supervise(&admin, call, how(Barge)).await.unwrap();
    let long = SuperviseEnd {
        reason: Some("x".repeat(65)),
    };
    let refused = world.desk.end_supervision(&admin, call, long).await.unwrap_err();
    assert_eq!(refused.code, Code::Validation);
    let why = SuperviseEnd {
        reason: Some("goes well".to_owned()),
    };
    world.desk.end_supervision(&admin, call, why).await.unwrap();
    assert_eq!(
        world
            .texts("select reason from support_activity_logs where action = 'call.supervision_ended'")
            .await,
        ["goes well"]
    );
    assert_eq!(
        world
            .texts(
                "select concat_ws(' ', kind, data ->> 'mode', data ->> 'reason', actor) from helpline.call_events
                where kind like 'call.supervision%' order by seq"
            )
            .await,
        [
            "call.supervision_began monitor trainee staff:esther",
            "call.supervision_changed barge staff:esther",
            "call.supervision_ended barge goes well staff:esther"
        ]
    );
    assert_eq!(
        world
            .texts(
                "select concat_ws(' ', data ->> 'mode', actor, reason, ended_actor, ended_reason) from helpline.call_intervals
                where kind = 'supervise' order by id"
            )
            .await,
        [
            "monitor staff:esther trainee staff:esther",
            "barge staff:esther staff:esther goes well"
        ]
    );
    assert_eq!(read(&world, &agent, call).await, 0, "nobody told her");
    assert_eq!(read(&world, &admin, call).await, 3);
    assert_eq!(read(&world, &common::service(), call).await, 3);
    world
        .run(
            "insert into public.support_settings (key, value)
            values ('supervision', '{\"announce\": \"notice\"}')",
        )
        .await;
    world.desk.supervise(&admin, call, how(Whisper)).await.unwrap();
    world
        .desk
        .end_supervision(&admin, call, SuperviseEnd::default())
        .await
        .unwrap();
    assert_eq!(read(&world, &agent, call).await, 2, "from now on she is told");
    assert_eq!(read(&world, &admin, call).await, 5);
}

/// Events of supervision that somebody reads in the call's history.
async fn read(world: &World, who: &Caller, call: CallId) -> usize {
    let events = world.desk.call_events(who, call).await.unwrap().events;
    let supervision = events.iter().filter(|event| event.kind.starts_with("call.supervision"));
    supervision.count()
}
