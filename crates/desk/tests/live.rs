//! What those who supervise see of calls that are not over, and whom an agent may consult.

#![cfg(test)]

mod common;
#[path = "scene/talk.rs"]
mod talk;

use common::{World, customer, service, staff_id};
use desk::{Caller, Code};
use ports::{LegSnapshot, RoomSnapshot};
use talk::{online, talking};
use wire::call::{CallStatus, ConsultStart, ConsultState, Mute, Supervise, SuperviseMode};
use wire::leg::Part;
use wire::staff::StaffRole;

fn second() -> RoomSnapshot {
    let leg = LegSnapshot {
        leg: call_model::LegId(1),
        part: ports::Part::Customer,
        up: true,
        loss: 0.25,
        jitter_ms: 12.0,
        rtt_ms: Some(80.0),
        mos: 3.5,
        level: 60,
        speaking: true,
        flags: ports::Flags::default(),
        down: None,
        mos_end_to_end: Some(2.5),
        route: None,
    };
    RoomSnapshot { legs: vec![leg] }
}

#[tokio::test]
async fn a_live_call_is_shown_with_everything_that_stands_beside_its_status() {
    let Some(mut world) = World::new().await else { return };
    let amina = world.staff("amina", StaffRole::Agent).await;
    let baraka = world.staff("baraka", StaffRole::Agent).await;
    let sue = world.staff("sue", StaffRole::Supervisor).await;
    online(&world, &baraka).await;
    let call = talking(&mut world, "u1", &amina).await;
    let waiting = world.call("u2").await;
    world.desk.hold(&amina, call, None).await.unwrap();
    let mute = Mute {
        part: Part::Customer,
        reason: None,
    };
    world.desk.mute(&amina, call, mute).await.unwrap();
    let whom = ConsultStart {
        staff_id: staff_id(&baraka),
        reason: None,
    };
    world.desk.consult(&amina, call, whom).await.unwrap();
    let listens = Supervise {
        mode: SuperviseMode::Monitor,
        reason: None,
    };
    world.desk.supervise(&sue, call, listens).await.unwrap();
    *world.media.second.lock().unwrap() = Some(second());

    let live = world.desk.live_calls(&sue).await.unwrap();
    let [one, two] = &live.calls[..] else {
        panic!("{live:?}")
    };
    assert_eq!((one.call_id.as_u128(), one.status), (call.0, CallStatus::Answered));
    assert_eq!(
        (one.customer_name.as_str(), one.agent_name.as_deref(), one.agent_id),
        ("Customer u1", Some("amina"), Some(staff_id(&amina)))
    );
    assert!(one.held_since.is_some() && one.answered_at.is_some() && one.recorded);
    assert_eq!(one.muted, [Part::Customer]);
    let consult = one.consult.as_ref().unwrap();
    assert_eq!(
        (consult.staff_name.as_str(), consult.state),
        ("baraka", ConsultState::Ringing)
    );
    assert_eq!(one.supervisors.len(), 1);
    assert_eq!(
        (one.supervisors[0].staff_name.as_str(), one.supervisors[0].mode),
        ("sue", SuperviseMode::Monitor)
    );
    assert_eq!(
        (one.legs.len(), one.legs[0].part, one.legs[0].loss),
        (1, Part::Customer, 0.25)
    );
    assert_eq!(
        (one.legs[0].mos, one.legs[0].mos_end_to_end),
        (3.5, Some(2.5)),
        "two scores, never one"
    );
    assert_eq!(
        (two.call_id.as_u128(), two.status, two.agent_id),
        (waiting.0, CallStatus::Queued, None)
    );

    // A call of another node has no last second here.
    world
        .run(
            "insert into helpline.media_nodes (id, epoch, ws_url, lease_until) values ('other', 1, '', now());
            update public.voice_calls set node_id = 'other' where user_id = 'u1'",
        )
        .await;
    let live = world.desk.live_calls(&sue).await.unwrap();
    assert!(live.calls[0].legs.is_empty() && !live.calls[1].legs.is_empty());
    world.desk.hang_up(&customer("u2"), waiting, None).await.unwrap();
    assert_eq!(world.desk.live_calls(&sue).await.unwrap().calls.len(), 1, "it is over");
}

#[tokio::test]
async fn each_sees_his_own_people_only_and_who_may_not_listen_sees_nothing() {
    let Some(mut world) = World::new().await else { return };
    let amina = world.staff("amina", StaffRole::Agent).await;
    let lead = world.staff("lulu", StaffRole::TeamLead).await;
    let stranger = world.staff("sue", StaffRole::Supervisor).await;
    world
        .run(
            "insert into helpline.teams (name) values ('Elsewhere');
            update helpline.staff set team_id = (select id from helpline.teams where name = 'Elsewhere')
                where staff_name = 'sue';
            delete from helpline.queue_members using helpline.staff s where s.id = staff_id and s.staff_name = 'sue'",
        )
        .await;
    talking(&mut world, "u1", &amina).await;
    for who in [&amina, &customer("u1"), &service()] {
        assert_eq!(world.desk.live_calls(who).await.unwrap_err().code, Code::Forbidden);
    }
    assert_eq!(world.desk.live_calls(&lead).await.unwrap().calls.len(), 1);
    assert!(world.desk.live_calls(&stranger).await.unwrap().calls.is_empty());
    let admin = world.promote(&stranger, "admin").await;
    assert_eq!(world.desk.live_calls(&admin).await.unwrap().calls.len(), 1);
}

#[tokio::test]
async fn the_agent_is_told_who_supervises_only_where_the_house_says_so() {
    let Some(mut world) = World::new().await else { return };
    let amina = world.staff("amina", StaffRole::Agent).await;
    let sue = world.staff("sue", StaffRole::Supervisor).await;
    let call = talking(&mut world, "u1", &amina).await;
    let whispers = Supervise {
        mode: SuperviseMode::Whisper,
        reason: None,
    };
    world.desk.supervise(&sue, call, whispers).await.unwrap();
    assert_eq!(world.desk.call(&amina, call).await.unwrap().supervised, None);
    world
        .run("insert into public.support_settings (key, value) values ('supervision', '{\"announce\": \"notice\"}')")
        .await;
    let told = world.desk.call(&amina, call).await.unwrap().supervised.unwrap();
    assert_eq!(
        (told[0].staff_name.as_str(), told[0].mode),
        ("sue", SuperviseMode::Whisper)
    );
    assert_eq!(world.desk.call(&customer("u1"), call).await.unwrap().supervised, None);
}

#[tokio::test]
async fn colleagues_who_are_there_are_shown_and_whether_they_are_free() {
    let Some(mut world) = World::new().await else { return };
    let amina = world.staff("amina", StaffRole::Agent).await;
    let baraka = world.staff("baraka", StaffRole::Agent).await;
    let sue = world.staff("sue", StaffRole::Supervisor).await;
    world.staff("zuri", StaffRole::Agent).await;
    for who in [&amina, &baraka, &sue] {
        online(&world, who).await;
    }
    talking(&mut world, "u1", &baraka).await;
    let shown = |who: Caller| {
        let desk = world.desk.clone();
        async move {
            let staff = desk.staff_available(&who).await.unwrap().staff;
            staff
                .into_iter()
                .map(|one| (one.name, one.role, one.free))
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(
        shown(amina.clone()).await,
        [
            ("baraka".to_owned(), StaffRole::Agent, false),
            ("sue".to_owned(), StaffRole::Supervisor, true)
        ],
        "not oneself, and nobody who is away"
    );
    for who in [customer("u1"), service()] {
        assert_eq!(
            world.desk.staff_available(&who).await.unwrap_err().code,
            Code::Forbidden
        );
    }
    world
        .run("update helpline.staff_presence set lease_until = now() - interval '1 second'")
        .await;
    assert!(world.desk.staff_available(&amina).await.unwrap().staff.is_empty());
}
