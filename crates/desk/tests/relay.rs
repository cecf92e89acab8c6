//! The relay: who is told of it and when, what is freed with a leg, the way a leg went, and what admins may do.

#![cfg(test)]

mod common;
#[path = "scene/talk.rs"]
mod talk;

use call_model::{CallId, LegId};
use common::relay::{FOREIGN, OWN};
use common::{Told, World, customer, service, start};
use desk::{Caller, Code, REASON_CHARS_MAX, RELAY_ID_CHARS_MAX, RELAY_ROWS_MAX, Tester};
use ports::{Cause, EventKind, LegSummary, MediaEvent, Route, Via};
use talk::talking;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::call::SuperviseEnd;
use wire::leg::{IceServer, LegPath, Part};
use wire::relay::RelayVia;
use wire::staff::StaffRole;

fn urls(servers: &[IceServer]) -> Vec<&str> {
    servers
        .iter()
        .flat_map(|server| server.urls.iter().map(String::as_str))
        .collect()
}

/// The living leg of a part of the only call.
async fn leg(world: &mut World, part: &str) -> LegId {
    let id: Uuid = sqlx::query_scalar("select id from helpline.call_legs where part = $1")
        .bind(part)
        .fetch_one(&mut world.eye)
        .await
        .unwrap();
    LegId(id.as_u128())
}

#[tokio::test]
async fn our_relay_is_told_with_each_grant_anew_and_never_to_who_only_waits() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let (_, started) = world.desk.start_call(&customer("u1"), start("u1")).await.unwrap();
    assert_eq!(urls(&started.ice_servers), ["stun:own.test:3478", FOREIGN]);
    let call = CallId(started.call_id.as_u128());
    let offer = world.ring(call, &agent).await;
    let accepted = world.desk.accept_offer(&agent, offer).await.unwrap();
    let first = world.desk.grant_leg(&customer("u1"), call, None).await.unwrap();
    let again = world.desk.grant_leg(&customer("u1"), call, None).await.unwrap();
    for grant in [&accepted.leg, &first, &again] {
        assert_eq!(urls(&grant.ice_servers), ["stun:own.test:3478", OWN, FOREIGN]);
        let user = grant.ice_servers[1].username.as_deref().unwrap();
        let leg = format!(":{:032x}:", grant.leg_id.as_u128());
        assert!(user.contains(&leg), "{user} is not about this leg");
    }
    assert_eq!(first.leg_id, again.leg_id);
    assert_ne!(first.ice_servers[1].username, again.ice_servers[1].username);
    world.desk.relay_drain(&service(), true, None).await.unwrap();
    let drained = world.desk.grant_leg(&customer("u1"), call, None).await.unwrap();
    assert_eq!(urls(&drained.ice_servers), ["stun:own.test:3478", FOREIGN]);
}

#[tokio::test]
async fn a_line_test_may_use_the_relay_too() {
    let Some(world) = World::new().await else { return };
    let test = world.desk.preflight(Tester::Known(service())).await.unwrap();
    assert_eq!(urls(&test.leg.ice_servers), ["stun:own.test:3478", OWN, FOREIGN]);
}

#[tokio::test]
async fn the_end_of_a_call_and_of_one_leg_frees_what_they_have_at_the_relay() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let call = talking(&mut world, "u1", &agent).await;
    let boss = world.staff("baraka", StaffRole::Supervisor).await;
    let supervise = wire::call::Supervise {
        mode: wire::call::SuperviseMode::Monitor,
        reason: None,
    };
    let listens = world.desk.supervise(&boss, call, supervise).await.unwrap();
    assert!(world.relay.closed.lock().unwrap().is_empty());
    world
        .desk
        .end_supervision(&boss, call, SuperviseEnd::default())
        .await
        .unwrap();
    let one = world.relay.closed.lock().unwrap().clone();
    assert_eq!(one, [LegId(listens.leg_id.as_u128())]);
    world.desk.hang_up(&customer("u1"), call, None).await.unwrap();
    let mut wanted = vec![leg(&mut world, "customer").await, leg(&mut world, "agent").await];
    let mut rest = world.relay.closed.lock().unwrap()[1..].to_vec();
    wanted.sort();
    rest.sort();
    assert_eq!(rest, wanted);
}

#[tokio::test]
async fn the_way_of_a_leg_is_kept_with_every_change_and_shown_to_staff_alone() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let call = talking(&mut world, "u1", &agent).await;
    let (his, hers) = (leg(&mut world, "customer").await, leg(&mut world, "agent").await);
    let tls = Route::Relayed(Via::Tls);
    let happened = [
        EventKind::LegRoute { leg: his, route: tls },
        EventKind::LegRoute {
            leg: hers,
            route: Route::Direct,
        },
        EventKind::LegRoute {
            leg: his,
            route: Route::Relayed(Via::Udp),
        },
        EventKind::LegDown {
            leg: his,
            cause: Cause::HangUp,
            summary: LegSummary {
                route: Some(tls),
                ..LegSummary::default()
            },
        },
    ];
    for (n, kind) in happened.into_iter().enumerate() {
        world.media.report(MediaEvent {
            room: call,
            seq: n as u64 + 1,
            node_epoch: 1,
            age_ms: 0,
            kind,
        });
    }
    let stop = CancellationToken::new();
    let (desk, token) = (world.desk.clone(), stop.clone());
    let running = tokio::spawn(async move { desk.run(token).await });
    let ended = "select count(*) from helpline.call_events where kind = 'leg.down'";
    let limit = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while world.count(ended).await == 0 {
        assert!(tokio::time::Instant::now() < limit, "the reports are not applied");
        tokio::task::yield_now().await;
    }
    stop.cancel();
    running.await.unwrap();
    assert_eq!(
        world
            .texts(
                "select (data ->> 'part') || ' ' || (data ->> 'path') from helpline.call_events
                where kind = 'leg.path' order by seq"
            )
            .await,
        ["customer turn-tls", "agent direct", "customer turn-udp"]
    );
    let seen = world.desk.call(&agent, call).await.unwrap().lines.unwrap();
    let mut seen: Vec<_> = seen.iter().map(|line| (line.part, line.path)).collect();
    seen.sort_by_key(|(part, _)| *part == Part::Agent);
    assert_eq!(
        seen,
        [(Part::Customer, LegPath::TurnTls), (Part::Agent, LegPath::Direct)],
        "the totals have the last word"
    );
    assert_eq!(world.desk.call(&customer("u1"), call).await.unwrap().lines, None);
    let wrong = sqlx::query("update helpline.call_legs set path = 'relay'")
        .execute(&mut world.eye)
        .await
        .unwrap_err();
    let database = wrong.as_database_error().unwrap();
    assert_eq!(
        database.constraint(),
        Some("leg_path"),
        "the schema knows no other words"
    );
    assert!(world.relay.closed.lock().unwrap().contains(&his), "media has ended it");
}

#[tokio::test]
async fn admins_see_and_change_the_relay_and_every_change_is_audited() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    talking(&mut world, "u1", &agent).await;
    let boss = world.staff("baraka", StaffRole::Supervisor).await;
    for nobody in [&boss, &agent, &customer("u1"), &Caller::Demo] {
        let desk = &world.desk;
        let refused = [
            desk.relay(nobody).await.map(|_| ()),
            desk.relay_kill(nobody, "0-1-1".to_owned(), None).await,
            desk.relay_drain(nobody, true, None).await.map(|_| ()),
            desk.relay_rotate(nobody, None).await.map(|_| ()),
        ];
        for refused in refused {
            assert_eq!(refused.unwrap_err().code, Code::Forbidden);
        }
    }
    let (his, test) = (leg(&mut world, "customer").await, LegId(77));
    world.relay.allocates("0-1-1", his, Via::Tls);
    world.relay.allocates("0-2-1", test, Via::Udp);
    let admin = world.promote(&boss, "admin").await;
    let state = world.desk.relay(&admin).await.unwrap();
    assert_eq!(
        (state.on, state.draining, state.rotated_at, state.total),
        (true, false, None, 2)
    );
    let [first, second] = &state.allocations[..] else {
        panic!("{state:?}")
    };
    assert_eq!(
        (
            first.part,
            first.name.as_deref(),
            first.via,
            first.age_seconds,
            first.dropped
        ),
        (Some(Part::Customer), Some("Customer u1"), RelayVia::Tls, 61, 2)
    );
    assert_eq!((second.call_id, second.part), (None, None), "a line test is no call");
    let text = serde_json::to_string(&state).unwrap();
    assert!(!text.contains("192.0.2."), "no address is told: {text}");

    let kill = |reason: &str| {
        world
            .desk
            .relay_kill(&admin, "0-1-1".to_owned(), Some(reason.to_owned()))
    };
    for odd in ["two\nlines", &"x".repeat(REASON_CHARS_MAX + 1)] {
        assert_eq!(kill(odd).await.unwrap_err().code, Code::Validation);
    }
    kill(" a flood ").await.unwrap();
    let gone = kill("").await.unwrap_err();
    assert_eq!(gone.code, Code::NotFound);
    let reason = || Some("an update".to_owned());
    assert!(world.desk.relay_drain(&admin, true, reason()).await.unwrap().draining);
    assert!(!world.desk.relay_drain(&admin, false, None).await.unwrap().draining);
    let rotated = world.desk.relay_rotate(&service(), reason()).await.unwrap();
    assert!(rotated.rotated_at.is_some());
    assert_eq!(world.relay.rotations.load(std::sync::atomic::Ordering::Relaxed), 1);
    // A second one too soon is refused, and leaves no row that says otherwise.
    world.relay.wait_s.store(97, std::sync::atomic::Ordering::Relaxed);
    let refused = world.desk.relay_rotate(&admin, reason()).await.unwrap_err();
    assert_eq!((refused.code, refused.retry_after_s), (Code::TooSoon, Some(97)));
    assert_eq!(
        world
            .texts(
                "select action || ' ' || subject_id || coalesce(' ' || reason, '') from support_activity_logs
                where action like 'relay.%' order by id"
            )
            .await,
        [
            "relay.kill 0-1-1 a flood",
            "relay.kill 0-1-1",
            "relay.drain n an update",
            "relay.serve n",
            "relay.rotate n an update"
        ]
    );
}

#[tokio::test]
async fn of_two_who_exchange_the_secret_at_once_one_has_done_it_and_one_row_says_so() {
    let Some(mut world) = World::new().await else { return };
    world.relay.then_wait_s.store(97, std::sync::atomic::Ordering::Relaxed);
    let (one, two) = (service(), service());
    let (one, two) = tokio::join!(world.desk.relay_rotate(&one, None), world.desk.relay_rotate(&two, None));
    let refused: Vec<_> = [one.err(), two.err()].into_iter().flatten().collect();
    let [refused] = &refused[..] else { panic!("{refused:?}") };
    assert_eq!((refused.code, refused.retry_after_s), (Code::TooSoon, Some(97)));
    assert_eq!(world.relay.rotations.load(std::sync::atomic::Ordering::Relaxed), 1);
    let rows = "select count(*) from support_activity_logs where action = 'relay.rotate'";
    assert_eq!(world.count(rows).await, 1);
}

#[tokio::test]
async fn a_name_that_is_none_and_a_long_list_have_their_limits() {
    let Some(world) = World::new().await else { return };
    for id in ["", "a b", &"x".repeat(RELAY_ID_CHARS_MAX + 1)] {
        let refused = world
            .desk
            .relay_kill(&service(), id.to_owned(), None)
            .await
            .unwrap_err();
        assert_eq!(refused.code, Code::NotFound);
    }
    for n in 0..=RELAY_ROWS_MAX {
        world.relay.allocates(&n.to_string(), LegId(n as u128), Via::Udp);
    }
    let state = world.desk.relay(&service()).await.unwrap();
    assert_eq!(
        (state.allocations.len(), state.total as usize),
        (RELAY_ROWS_MAX, RELAY_ROWS_MAX + 1)
    );
    let longest = world
        .desk
        .relay_kill(&service(), "x".repeat(RELAY_ID_CHARS_MAX), None)
        .await;
    assert_eq!(longest.unwrap_err().code, Code::NotFound);
    assert!(
        world
            .media
            .heard()
            .iter()
            .all(|told| !matches!(told, Told::CloseLeg(..)))
    );
}
