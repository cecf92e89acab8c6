//! Who sees what through the desk, what a dropped request leaves behind, and that Rust and SQL know the same steps.

#![cfg(test)]

mod common;

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use call_model::call;
use common::{World, customer, service, start};
use desk::{Audience, CallFilter, Code};
use tokio_util::sync::CancellationToken;
use wire::call::CallStatus;
use wire::staff::StaffRole;

#[tokio::test]
async fn a_customer_sees_his_own_call_and_no_other() {
    let Some(world) = World::new().await else { return };
    let mine = world.call("u1").await;
    let other = world.call("u2").await;
    let me = customer("u1");
    let view = world.desk.call(&me, mine).await.unwrap();
    assert_eq!(
        view.customer_email, None,
        "he knows it; nobody tells it to a browser twice"
    );
    assert_eq!(world.desk.call(&me, other).await.unwrap_err().code, Code::NotFound);
    assert_eq!(
        world.desk.hang_up(&me, other, None).await.unwrap_err().code,
        Code::NotFound
    );
    assert_eq!(
        world.desk.grant_leg(&me, other, None).await.unwrap_err().code,
        Code::NotFound
    );
    let shown = world.desk.snapshot(&me).await.unwrap();
    assert_eq!(shown.call.unwrap().call_id.as_u128(), mine.0);
    assert!(shown.queue.is_none() && shown.me.is_none() && shown.offer.is_none());
    let untouched = world.desk.call(&customer("u2"), other).await.unwrap();
    assert_eq!(untouched.status, CallStatus::Queued);
}

#[tokio::test]
async fn staff_see_their_scope() {
    let Some(mut world) = World::new().await else { return };
    let amina = world.staff("amina", StaffRole::Agent).await;
    let brian = world.staff("brian", StaffRole::Agent).await;
    let supervisor = world.staff("deka", StaffRole::Supervisor).await;
    let stranger = world.staff("far", StaffRole::Agent).await;
    world
        .run(
            "insert into helpline.teams (id, name) values ('00000000-0000-0000-0000-0000000000a1', 'Other');
            update helpline.staff set team_id = '00000000-0000-0000-0000-0000000000a1' where staff_name = 'far';
            delete from helpline.queue_members m using helpline.staff s where s.id = m.staff_id and s.staff_name = 'far'",
        )
        .await;
    let call = world.call("u1").await;
    let seen = |caller| {
        let desk = world.desk.clone();
        async move {
            let page = desk
                .calls(
                    &caller,
                    CallFilter {
                        limit: 10,
                        ..CallFilter::default()
                    },
                )
                .await
                .unwrap();
            let waiting = desk.queue_calls(&caller).await.unwrap().waiting.len();
            (page.calls.len(), waiting, desk.call(&caller, call).await.is_ok())
        }
    };
    assert_eq!(seen(amina.clone()).await, (1, 1, true), "unassigned, in his queue");
    assert_eq!(
        seen(stranger.clone()).await,
        (0, 0, false),
        "another queue, another team"
    );
    assert_eq!(seen(service()).await, (1, 1, true));

    let offer = world.ring(call, &amina).await;
    world.desk.accept_offer(&amina, offer).await.unwrap();
    let seen = |caller| {
        let desk = world.desk.clone();
        async move {
            desk.call_events(&caller, call)
                .await
                .map(|history| history.events.len())
                .unwrap_or(0)
        }
    };
    assert_eq!(seen(amina.clone()).await, 3);
    assert_eq!(seen(brian.clone()).await, 0, "a colleague's call");
    assert_eq!(seen(supervisor.clone()).await, 3, "his team's call");
    assert_eq!(seen(stranger.clone()).await, 0);
    let names = |caller| {
        let desk = world.desk.clone();
        async move { desk.staff_list(&caller).await.unwrap().staff.len() }
    };
    assert_eq!(
        (names(amina).await, names(supervisor).await, names(service()).await),
        (1, 3, 4)
    );
}

#[tokio::test]
async fn pages_follow_one_another_without_gap_or_repetition() {
    let Some(world) = World::new().await else { return };
    let mut made = BTreeSet::new();
    for n in 0..7 {
        made.insert(world.call(&format!("u{n}")).await.0);
    }
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let filter = CallFilter {
            before: before.take(),
            limit: 3,
            ..CallFilter::default()
        };
        let page = world.desk.calls(&service(), filter).await.unwrap();
        found.extend(page.calls.iter().map(|row| (row.created_at, row.call_id.as_u128())));
        match page.next {
            Some(next) => before = Some(next),
            None => break,
        }
    }
    assert!(found.is_sorted_by(|a, b| a > b), "newest first");
    assert_eq!(found.iter().map(|(_, id)| *id).collect::<BTreeSet<_>>(), made);
    assert_eq!(found.len(), made.len());
    let named = CallFilter {
        search: Some("MER U3".to_owned()),
        limit: 9,
        ..CallFilter::default()
    };
    assert_eq!(world.desk.calls(&service(), named).await.unwrap().calls.len(), 1);
    let done = CallFilter {
        status: Some(CallStatus::Completed),
        limit: 9,
        ..CallFilter::default()
    };
    assert!(world.desk.calls(&service(), done).await.unwrap().calls.is_empty());
}

#[tokio::test]
async fn the_list_finds_whoever_sent_or_heard_badly_on_any_leg_of_the_conversation() {
    let Some(mut world) = World::new().await else { return };
    let mut calls = Vec::new();
    for n in 0..6 {
        calls.push(world.call(&format!("u{n}")).await);
    }
    // Every call: a customer, an agent from whom it was taken, and the one who had it last, who is well.
    world
        .run(
            "insert into helpline.call_legs (id, call_id, part, node_id, node_epoch, granted_at, state, down_at,
                cause, mos_up, mos_down)
            select gen_random_uuid(), c.id, l.part, c.node_id, c.node_epoch, c.created_at + l.after, 'down',
                c.created_at + interval '1 hour', 'hangup',
                case when l.leg = b.leg and b.up then b.mos else 4.3 end,
                case when l.leg = b.leg and not b.up then b.mos else 4.3 end
            from voice_calls c
            join (values ('u0', 1, true, 2.5::real), ('u1', 1, false, 2.5), ('u2', 2, true, 2.5), ('u3', 2, false, 2.5),
                ('u4', 4, false, 2.5), ('u5', 5, true, 1.1)) b (user_id, leg, up, mos) using (user_id)
            cross join (values (1, 'customer', interval '0'), (2, 'agent', interval '1 second'),
                (3, 'agent', interval '1 minute'), (4, 'partner', interval '2 minutes'),
                (5, 'supervisor', interval '2 minutes')) l (leg, part, after)",
        )
        .await;
    let bad = CallFilter {
        max_mos: Some(3.0),
        limit: 9,
        ..CallFilter::default()
    };
    let page = world.desk.calls(&service(), bad).await.unwrap();
    let found: BTreeSet<_> = page.calls.iter().map(|row| row.call_id.as_u128()).collect();
    let expected: BTreeSet<_> = calls[..5].iter().map(|call| call.0).collect();
    assert_eq!(found, expected, "all but the one in which a supervisor had a bad line");
    assert!(page.calls.iter().all(|row| row.mos_worst == Some(2.5)));
    let all = CallFilter {
        limit: 9,
        ..CallFilter::default()
    };
    let page = world.desk.calls(&service(), all).await.unwrap();
    let worst = page.calls.iter().filter_map(|row| row.mos_worst).fold(5.0, f64::min);
    assert!((worst - 2.5).abs() < 1e-6, "{worst}");
    let good = page
        .calls
        .iter()
        .find(|row| row.call_id.as_u128() == calls[5].0)
        .unwrap();
    assert!(good.mos_worst.unwrap() > 4.2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_dropped_requests_leave_no_open_transaction() {
    let Some(mut world) = World::new().await else { return };
    for n in 0..1_000_u64 {
        let desk = world.desk.clone();
        let user = format!("u{}", n % 50);
        let (caller, body) = (customer(&user), start(&user));
        let request = desk.start_call(&caller, body);
        // The client hangs up somewhere between the first poll and five milliseconds later.
        let _ = tokio::time::timeout(Duration::from_micros(n * 5), pin!(request)).await;
    }
    // What is under way is carried to its end, whoever asked for it.
    world.store.close().await;
    assert_eq!(world.store.leaked_connections(), 0);
    assert_eq!(
        world
            .count(
                "select count(*) from pg_stat_activity
                where datname = current_database() and usename = 'helpline_app' and state like 'idle in tr%'",
            )
            .await,
        0
    );
    let made = world
        .count("select count(*) from voice_calls where status = 'queued'")
        .await;
    assert!((1..=50).contains(&made), "{made}");
    assert_eq!(
        world.count("select count(*) from voice_calls").await,
        made,
        "none is half made"
    );
    assert_eq!(
        world
            .count("select count(*) from call_queue where left_at is null")
            .await,
        made
    );
    assert_eq!(world.count("select count(*) from helpline.call_events").await, 2 * made);
}

#[tokio::test]
async fn the_database_knows_the_steps_of_the_model_and_those_of_call_backs() {
    let Some(mut world) = World::new().await else { return };
    let rows: Vec<(String, String)> = sqlx::query_as("select from_status, to_status from helpline.call_transitions")
        .fetch_all(&mut world.eye)
        .await
        .unwrap();
    let stored: BTreeSet<_> = rows
        .into_iter()
        .filter(|(from, to)| from != "callback" && to != "callback")
        .collect();
    let known: BTreeSet<_> = call::TRANSITIONS
        .iter()
        .map(|(from, to)| (from.word().to_owned(), to.word().to_owned()))
        .collect();
    assert_eq!(stored, known);
    assert_eq!(known.len(), call::TRANSITIONS.len(), "no step stands there twice");
}

#[tokio::test]
async fn the_demo_has_its_people_and_their_new_passwords() {
    let Some(mut world) = World::new().await else { return };
    let first = world.desk.seed_demo().await.unwrap();
    let second = world.desk.seed_demo().await.unwrap();
    assert_eq!(first.len(), 5);
    assert_eq!(world.count("select count(*) from helpline.staff").await, 5);
    for (old, new) in first.iter().zip(&second) {
        assert_eq!(old.email, new.email);
        let auth = world.desk.auth();
        assert!(
            auth.sign_in(new.email.clone(), new.password.clone()).await.is_ok(),
            "{}",
            new.email
        );
    }
    let old = world
        .desk
        .auth()
        .sign_in(first[0].email.clone(), first[0].password.clone())
        .await;
    assert_eq!(old.unwrap_err().code, Code::Unauthenticated);
    assert_eq!(
        world.count("select count(*) from helpline.queue_members").await,
        3,
        "only agents are asked"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consoles_are_shown_the_lines_that_their_people_may_see() {
    let Some(mut world) = World::new().await else { return };
    let mut people = Vec::new();
    for name in ["amina", "far", "lead", "over", "boss", "none"] {
        people.push((name, world.staff(name, StaffRole::Agent).await));
    }
    // Two teams with an agent and a queue each; over them a leader of one, a supervisor of one who looks after the other,
    // an admin, and an agent of no queue.
    world
        .run(
            "insert into helpline.queues (name, title) values ('cards', 'Cards');
            insert into helpline.teams (name) values ('Near'), ('Far');
            update helpline.queue_members m set queue = 'cards' from helpline.staff s
                where s.id = m.staff_id and s.staff_name = 'far';
            delete from helpline.queue_members m using helpline.staff s
                where s.id = m.staff_id and s.staff_name in ('lead', 'over', 'boss', 'none');
            update helpline.staff s set
                role = case staff_name when 'lead' then 'team_lead' when 'over' then 'supervisor'
                    when 'boss' then 'admin' else role end,
                team_id = (select t.id from helpline.teams t
                    where t.name = case when s.staff_name in ('far', 'lead') then 'Far' else 'Near' end);
            insert into helpline.staff_teams (staff_id, team_id)
                select s.id, t.id from helpline.staff s, helpline.teams t where s.staff_name = 'over' and t.name = 'Far'",
        )
        .await;
    let id = |caller| call_model::StaffId(common::staff_id(caller).as_u128());
    for (_, caller) in &people {
        world.desk.staff_alive(id(caller), None).await.unwrap();
    }
    let mut feed = world.desk.subscribe();
    let stop = CancellationToken::new();
    let (desk, ends) = (world.desk.clone(), stop.clone());
    let running = tokio::spawn(async move { desk.run(ends).await });
    world.call("u1").await;
    let mut cards = start("u2");
    cards.queue = Some("cards".to_owned());
    world.desk.start_call(&customer("u2"), cards).await.unwrap();
    let wanted = BTreeSet::from([
        ("amina", "support"),
        ("far", "cards"),
        ("lead", "cards"),
        ("over", "support"),
        ("over", "cards"),
        ("boss", "support"),
        ("boss", "cards"),
    ]);
    let mut shown = BTreeSet::new();
    let look = async {
        while !wanted.is_subset(&shown) {
            let event = feed.next().await.unwrap();
            if event.kind != "queue.changed" {
                continue;
            }
            let to = people
                .iter()
                .find(|(_, caller)| event.audience == Audience::Staff(id(caller)));
            let (name, _) = to.expect("one of them");
            for call in event.data["waiting"].as_array().unwrap() {
                let queue = if call["queue"] == "support" { "support" } else { "cards" };
                shown.insert((*name, queue));
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), look)
        .await
        .expect("every console is shown its lines");
    assert_eq!(shown, wanted, "nobody is shown another queue's customers");
    stop.cancel();
    running.await.unwrap();
}
