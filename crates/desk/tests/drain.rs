//! Emptying a node: who may, what it counts, and what it leaves in the audit log.

#![cfg(test)]

mod common;

use common::{World, customer, service, start};
use desk::{Code, DRAIN_S_MAX, REASON_CHARS_MAX};
use wire::node::DrainStart;
use wire::staff::StaffRole;

fn seconds(seconds: u32) -> DrainStart {
    DrainStart {
        seconds: Some(seconds),
        reason: None,
    }
}

#[tokio::test]
async fn admins_and_service_keys_empty_the_node_and_undo_it_and_nobody_else() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let admin = world.promote(&agent, "admin").await;
    world.call("u1").await;
    let boss = world.staff("baraka", StaffRole::Supervisor).await;
    for nobody in [&boss, &customer("u1"), &desk::Caller::Demo] {
        let refused = world.desk.drain(nobody, seconds(60)).await.unwrap_err();
        assert_eq!(refused.code, Code::Forbidden);
        assert_eq!(world.desk.drain_state(nobody).await.unwrap_err().code, Code::Forbidden);
        assert_eq!(
            world.desk.undo_drain(nobody, None).await.unwrap_err().code,
            Code::Forbidden
        );
    }
    world.media.load.lock().unwrap().legs = 2;
    let serving = world.desk.drain_state(&admin).await.unwrap();
    assert_eq!(
        (serving.draining, serving.rooms, serving.oldest_seconds),
        (false, 1, 60)
    );

    let body = DrainStart {
        seconds: None,
        reason: Some("an update".to_owned()),
    };
    let on = world.desk.drain(&admin, body).await.unwrap();
    assert_eq!(
        (on.draining, on.calls, on.waiting, on.node_id.as_str()),
        (true, 1, 1, "n")
    );
    assert_eq!(on.closes_in_seconds, Some(900));
    let refused = world.desk.start_call(&customer("u2"), start("u2")).await.unwrap_err();
    assert_eq!(refused.code, Code::Draining);
    assert!(refused.retry_after_s.is_some(), "who is told to wait is told how long");
    let off = world.desk.undo_drain(&service(), None).await.unwrap();
    assert_eq!((off.draining, off.closes_in_seconds), (false, None));
    assert!(
        !world
            .desk
            .undo_drain(&admin, Some("updated".to_owned()))
            .await
            .unwrap()
            .draining,
        "twice is once"
    );
    world.desk.start_call(&customer("u2"), start("u2")).await.unwrap();
    let said = "select action || coalesce(':' || reason, '') from support_activity_logs
        where subject_type = 'node' order by id";
    assert_eq!(
        world.texts(said).await,
        ["node.drain:an update", "node.serve", "node.serve:updated"]
    );
}

#[tokio::test]
async fn a_time_beyond_a_day_and_a_long_reason_are_refused_and_change_nothing() {
    let Some(world) = World::new().await else { return };
    let refused = world
        .desk
        .drain(&service(), seconds(DRAIN_S_MAX + 1))
        .await
        .unwrap_err();
    assert_eq!(refused.code, Code::Validation);
    let long = DrainStart {
        seconds: None,
        reason: Some("x".repeat(REASON_CHARS_MAX + 1)),
    };
    assert_eq!(
        world.desk.drain(&service(), long).await.unwrap_err().code,
        Code::Validation
    );
    assert!(!world.desk.drain_state(&service()).await.unwrap().draining);
    assert!(
        world
            .desk
            .drain(&service(), seconds(DRAIN_S_MAX))
            .await
            .unwrap()
            .draining
    );
}
