//! The life of a call by commands alone: every step, its rows, its events, and what a repetition adds (nothing).

#![cfg(test)]

mod common;

use call_model::{CallId, LegId, OfferId};
use common::{Told, World, customer, service, start};
use desk::{Audience, Code, Created, HubFeed};
use ports::{EventKind, MediaEvent, Part, RecordCommand, Stance, Tap};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::call::CallStatus;
use wire::staff::{PresenceSet, PresenceStatus, StaffRole};

#[tokio::test]
async fn a_call_lives_from_start_to_wrap_up() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let person = customer("u1");

    let (created, started) = world.desk.start_call(&person, start("u1")).await.unwrap();
    assert_eq!(
        (created, started.status, started.position),
        (Created::New, CallStatus::Queued, Some(1))
    );
    assert_eq!(started.signaling_url, "ws://n/ws");
    let call = CallId(started.call_id.as_u128());

    let offer = world.ring(call, &agent).await;
    let shown = world.desk.offers(&agent).await.unwrap();
    assert_eq!(
        shown.iter().map(|offer| offer.offer_id.as_u128()).collect::<Vec<_>>(),
        [offer.0]
    );
    assert_eq!(
        world.desk.snapshot(&agent).await.unwrap().offer.unwrap().customer_name,
        "Customer u1"
    );

    let accepted = world.desk.accept_offer(&agent, offer).await.unwrap();
    assert_eq!(accepted.call.status, CallStatus::Connecting);
    assert_eq!(accepted.call.agent_name.as_deref(), Some("amina"));
    let leg = world.desk.grant_leg(&person, call, None).await.unwrap();
    assert_ne!(leg.grant, accepted.leg.grant);
    media_was_told(&world, call, leg.leg_id, accepted.leg.leg_id, offer.0);

    world
        .run("update voice_calls set status = 'answered', answered_at = clock_timestamp()")
        .await;
    let done = world
        .desk
        .hang_up(&agent, call, Some("solved".to_owned()))
        .await
        .unwrap();
    assert_eq!(
        (done.status, done.end_reason.as_deref()),
        (CallStatus::Completed, Some("agent_hangup"))
    );
    assert!(
        world
            .media
            .heard()
            .contains(&Told::CloseRoom(call, ports::Cause::HangUp))
    );

    wrap_up(&world, &agent, call).await;
    assert_eq!(
        world.texts("select kind from helpline.call_events order by seq").await,
        [
            "call.initiated",
            "call.queued",
            "call.accepted",
            "call.completed",
            "wrapup.ended"
        ]
    );
    assert_eq!(
        world
            .texts("select kind from helpline.hub_events where audience = 'user' order by id")
            .await,
        ["call.queued", "call.accepted", "call.completed"]
    );
    assert_eq!(
        world.texts("select distinct left_reason from call_queue").await,
        ["accepted"],
        "one stay, ended by the agent's yes"
    );
    assert_eq!(
        world
            .count("select count(*) from support_activity_logs where subject_type = 'call'")
            .await,
        5,
        "one audit row per entry of the history"
    );
    assert_eq!(
        world
            .count("select count(*) from helpline.call_legs where state <> 'down'")
            .await,
        0
    );
}

/// Both legs by name, both talking, recorded under the offer's id.
fn media_was_told(world: &World, call: CallId, customer: Uuid, agent: Uuid, offer: u128) {
    let heard = world.media.heard();
    let (customer, agent) = (LegId(customer.as_u128()), LegId(agent.as_u128()));
    assert!(heard.contains(&Told::Admit(agent, call, Part::Agent)), "{heard:?}");
    assert!(
        heard.contains(&Told::Admit(customer, call, Part::Customer)),
        "{heard:?}"
    );
    let plans: Vec<_> = heard
        .iter()
        .filter_map(|told| if let Told::Plan(plan) = told { Some(plan) } else { None })
        .collect();
    for plan in plans {
        assert_eq!(plan.tap, Tap::On);
        for leg in [customer, agent] {
            assert!(plan.stances.contains(&(leg, Stance::Talk)), "{plan:?}");
        }
    }
    assert!(
        heard.iter().any(|told| matches!(told,
            Told::Record(room, RecordCommand::Start { recording, customer_left: true, .. })
                if *room == call && recording.0 == offer)),
        "{heard:?}"
    );
}

/// Extended three times, no more; ended twice is ended once.
async fn wrap_up(world: &World, agent: &desk::Caller, call: CallId) {
    let shown = world
        .desk
        .snapshot(agent)
        .await
        .unwrap()
        .wrap_up
        .expect("the agent writes up");
    assert_eq!(shown.extensions_left, 3);
    for left in [2, 1, 0] {
        let longer = world.desk.extend_wrap_up(agent, call).await.unwrap();
        assert_eq!(longer.extensions_left, left);
        assert!(longer.ends_at > shown.ends_at);
    }
    let refused = world.desk.extend_wrap_up(agent, call).await.unwrap_err();
    assert_eq!(refused.code, Code::IllegalTransition);
    world.desk.end_wrap_up(agent, call).await.unwrap();
    world.desk.end_wrap_up(agent, call).await.unwrap();
    assert!(world.desk.snapshot(agent).await.unwrap().wrap_up.is_none());
}

#[tokio::test]
async fn what_is_said_twice_is_done_once() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let person = customer("u1");
    let (_, first) = world.desk.start_call(&person, start("u1")).await.unwrap();
    let (created, second) = world.desk.start_call(&person, start("u1")).await.unwrap();
    assert_eq!((created, second.call_id), (Created::Existing, first.call_id));
    assert_ne!(
        second.token, first.token,
        "a ticket is used once, so each reply has its own"
    );
    assert!(world.desk.auth().ticket(&first.token).is_ok());
    assert_eq!(
        world.desk.auth().ticket(&first.token).unwrap_err().code,
        Code::Unauthenticated
    );

    let call = CallId(first.call_id.as_u128());
    let offer = world.ring(call, &agent).await;
    let one = world.desk.accept_offer(&agent, offer).await.unwrap();
    let two = world.desk.accept_offer(&agent, offer).await.unwrap();
    assert_eq!(one.leg.leg_id, two.leg.leg_id, "the same leg under a fresh right");
    assert_ne!(one.leg.grant, two.leg.grant);
    world.desk.hang_up(&person, call, None).await.unwrap();
    let before = world.count("select count(*) from helpline.call_events").await;
    let again = world.desk.hang_up(&person, call, None).await.unwrap();
    assert_eq!(again.status, CallStatus::Abandoned);
    assert_eq!(world.count("select count(*) from helpline.call_events").await, before);
    assert_eq!(world.count("select count(*) from voice_calls").await, 1);
}

#[tokio::test]
async fn sixteen_starts_at_once_make_one_call() {
    let Some(mut world) = World::new().await else { return };
    let mut starts = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let desk = world.desk.clone();
        starts.spawn(async move { desk.start_call(&customer("u1"), start("u1")).await.unwrap() });
    }
    let all = starts.join_all().await;
    assert_eq!(all.iter().filter(|(created, _)| *created == Created::New).count(), 1);
    assert!(all.iter().all(|(_, started)| started.call_id == all[0].1.call_id));
    assert_eq!(world.count("select count(*) from voice_calls").await, 1);
}

#[tokio::test]
async fn a_rejected_offer_keeps_the_customers_place() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let first = world.call("u1").await;
    world.call("u2").await;
    let offer = world.ring(first, &agent).await;
    world
        .desk
        .reject_offer(&agent, offer, Some("lunch".to_owned()))
        .await
        .unwrap();
    world.desk.reject_offer(&agent, offer, None).await.unwrap();
    let view = world.desk.call(&customer("u1"), first).await.unwrap();
    assert_eq!((view.status, view.position), (CallStatus::Queued, Some(1)));
    assert_eq!(world.count("select count(*) from helpline.cooldowns").await, 1);
    assert_eq!(
        world
            .texts("select data ->> 'word' from helpline.call_events where kind = 'offer.rejected'")
            .await,
        ["lunch"]
    );
    assert_eq!(
        world.texts("select status from helpline.staff").await,
        ["offline"],
        "a no is no strike"
    );
}

#[tokio::test]
async fn of_two_who_accept_at_once_one_wins_and_the_other_hears_his_name() {
    let Some(mut world) = World::new().await else { return };
    for round in 0..8 {
        let amina = world.staff(&format!("amina{round}"), StaffRole::Agent).await;
        let brian = world.staff(&format!("brian{round}"), StaffRole::Agent).await;
        let call = world.call(&format!("u{round}")).await;
        let one = world.ring_with(call, &amina, false).await;
        let two = world.ring_with(call, &brian, false).await;
        let (a, b) = tokio::join!(
            world.desk.accept_offer(&amina, one),
            world.desk.accept_offer(&brian, two)
        );
        let (winner, loser) = match (a, b) {
            (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
            other => panic!("exactly one wins: {other:?}"),
        };
        assert_eq!(loser.code, Code::OfferLost);
        let name = winner.call.agent_name.unwrap();
        assert!(loser.detail.unwrap().contains(&name));
    }
    assert_eq!(
        world
            .count("select count(*) from helpline.offers where reason = 'won_by_other' and state = 'rescinded'")
            .await,
        8
    );
}

#[tokio::test]
async fn an_agent_who_gives_the_call_back_before_sound_puts_it_first_in_line() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let call = world.call("u1").await;
    let offer = world.ring(call, &agent).await;
    let accepted = world.desk.accept_offer(&agent, offer).await.unwrap();
    let view = world.desk.hang_up(&agent, call, None).await.unwrap();
    assert_eq!((view.status, view.agent_name), (CallStatus::Queued, None));
    assert_eq!(world.texts("select reason from helpline.offers").await, ["media"]);
    assert_eq!(
        world
            .count("select count(*) from call_queue where left_at is null and priority = 1")
            .await,
        1
    );
    let leg = LegId(accepted.leg.leg_id.as_u128());
    assert!(world.media.heard().contains(&Told::CloseLeg(leg, ports::Cause::HangUp)));
}

#[tokio::test]
async fn a_customer_who_leaves_is_no_fault_of_the_agent() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let call = world.call("u1").await;
    world.ring(call, &agent).await;
    world.desk.hang_up(&customer("u1"), call, None).await.unwrap();
    assert_eq!(
        world.texts("select state || ':' || reason from helpline.offers").await,
        ["rescinded:customer_left"]
    );
    assert_eq!(world.count("select count(*) from helpline.cooldowns").await, 0);
    assert_eq!(
        world
            .count("select count(*) from helpline.staff_presence where strikes > 0")
            .await,
        0
    );
    assert!(world.desk.snapshot(&agent).await.unwrap().offer.is_none());
}

#[tokio::test]
async fn presence_is_chosen_told_and_leased() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let online = PresenceSet {
        status: PresenceStatus::Online,
        reason: None,
        media_checked: true,
    };
    let me = world.desk.set_presence(&agent, online.clone()).await.unwrap();
    assert_eq!(me.presence, PresenceStatus::Online);
    world.desk.set_presence(&agent, online).await.unwrap();
    assert_eq!(
        world
            .count("select count(*) from helpline.hub_events where kind = 'presence.changed'")
            .await,
        1,
        "the second time is no change"
    );
    let queue = world.desk.queue_calls(&agent).await.unwrap();
    assert_eq!((queue.agents_idle, queue.agents_busy), (1, 0));
    let staff = call_model::StaffId(common::staff_id(&agent).as_u128());
    world.desk.staff_gone(staff).await.unwrap();
    assert_eq!(
        world
            .count("select count(*) from helpline.staff_presence where lease_until < now() + interval '15 s'")
            .await,
        1
    );
    world.desk.staff_alive(staff, Some(40)).await.unwrap();
    assert_eq!(
        world
            .count("select count(*) from helpline.staff_presence where rtt_ms = 40 and lease_until > now() + interval '25 s'")
            .await,
        1
    );
}

#[tokio::test]
async fn a_waiting_customer_is_kept_by_showing_himself() {
    let Some(mut world) = World::new().await else { return };
    world.call("u1").await;
    world
        .run("update call_queue set lease_until = clock_timestamp() + interval '1 second'")
        .await;
    world
        .desk
        .customer_alive(&call_model::UserId::new("u1").unwrap())
        .await
        .unwrap();
    assert_eq!(
        world
            .count("select count(*) from call_queue where lease_until > clock_timestamp() + interval '15 s'")
            .await,
        1
    );
    world
        .run("update call_queue set lease_until = clock_timestamp() - interval '1 second'")
        .await;
    world.call("u1").await;
    assert_eq!(
        world
            .count("select count(*) from call_queue where lease_until > clock_timestamp() + interval '15 s'")
            .await,
        1,
        "who asks for his call again is there"
    );
    assert_eq!(
        world
            .count("select count(*) from helpline.outbox where kind = 'mail'")
            .await,
        1,
        "nobody was there, so the queue's people get a mail"
    );
    let (_, started) = world.desk.start_call(&service(), start("u2")).await.unwrap();
    assert_eq!((started.position, started.estimated_wait_seconds), (Some(2), None));
}

/// The next event of this kind for this audience; whatever else comes before it is kept in `heard`.
async fn hear(feed: &mut HubFeed, heard: &mut Vec<(Audience, String)>, kind: &str, data: &str) -> serde_json::Value {
    let wait = async {
        loop {
            let event = feed.next().await.expect("nothing is missed");
            heard.push((event.audience.clone(), event.kind.clone()));
            if event.kind == kind && event.data.to_string().contains(data) {
                return event.data.clone();
            }
        }
    };
    let limit = std::time::Duration::from_secs(20);
    tokio::time::timeout(limit, wait)
        .await
        .unwrap_or_else(|_| panic!("no {kind} with {data}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn router_media_and_people_bring_a_call_to_its_end_and_every_browser_hears_its_own() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let (mut feed, mut heard) = (world.desk.subscribe(), Vec::new());
    let stop = CancellationToken::new();
    let (desk, ends) = (world.desk.clone(), stop.clone());
    let running = tokio::spawn(async move { desk.run(ends).await });
    // The feed begins where it first looks: something told and heard shows that it has looked.
    for (status, told) in [(PresenceStatus::Away, "away"), (PresenceStatus::Online, "online")]
        .into_iter()
        .cycle()
    {
        let wanted = PresenceSet {
            status,
            reason: None,
            media_checked: true,
        };
        world.desk.set_presence(&agent, wanted).await.unwrap();
        let next = tokio::time::timeout(std::time::Duration::from_secs(2), feed.next()).await;
        if told == "online" && next.is_ok_and(|event| event.unwrap().kind == "presence.changed") {
            break;
        }
    }

    let call = world.call("u1").await;
    let offered = hear(&mut feed, &mut heard, "call.offered", "Customer u1").await;
    let offer: Uuid = serde_json::from_value(offered["offerId"].clone()).unwrap();
    let accepted = world.desk.accept_offer(&agent, OfferId(offer.as_u128())).await.unwrap();
    hear(&mut feed, &mut heard, "call.accepted", "connecting").await;
    let customers = world.desk.grant_leg(&customer("u1"), call, None).await.unwrap();
    let legs = [customers.leg_id, accepted.leg.leg_id].map(|leg| LegId(leg.as_u128()));
    let kinds = [
        EventKind::LegUp { leg: legs[0] },
        EventKind::LegUp { leg: legs[1] },
        EventKind::FirstRtp { leg: legs[1] },
        EventKind::RoomLive,
    ];
    for (kind, seq) in kinds.into_iter().zip(1..) {
        world.media.report(MediaEvent {
            room: call,
            seq,
            node_epoch: 1,
            age_ms: 0,
            kind,
        });
    }
    hear(&mut feed, &mut heard, "call.answered", "\"recorded\":true").await;
    assert_eq!(
        world
            .texts("select id::text from helpline.recordings where state = 'recording'")
            .await,
        [offer.to_string()]
    );
    world.desk.hang_up(&customer("u1"), call, None).await.unwrap();
    hear(&mut feed, &mut heard, "call.completed", "customer_hangup").await;
    hear(&mut feed, &mut heard, "queue.changed", "\"waiting\":[]").await;
    assert!(world.desk.snapshot(&agent).await.unwrap().wrap_up.is_some());
    stop.cancel();
    running.await.unwrap();

    let own = |wanted: &Audience| {
        let of: Vec<_> = heard
            .iter()
            .filter(|(audience, kind)| audience == wanted && kind.starts_with("call."))
            .collect();
        of.into_iter().map(|(_, kind)| kind.as_str()).collect::<Vec<_>>()
    };
    let person = Audience::User(call_model::UserId::new("u1").unwrap());
    assert_eq!(
        own(&person),
        [
            "call.queued",
            "call.ringing",
            "call.accepted",
            "call.answered",
            "call.completed"
        ]
    );
    let staff = Audience::Staff(call_model::StaffId(common::staff_id(&agent).as_u128()));
    assert_eq!(
        own(&staff),
        [
            "call.offered",
            "call.accepted",
            "call.answered",
            "call.wrap_up",
            "call.completed"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_lost_its_agent_is_answered_by_the_next_one_and_its_recording_goes_on() {
    let Some(mut world) = World::new().await else { return };
    let amina = world.staff("amina", StaffRole::Agent).await;
    let brian = world.staff("brian", StaffRole::Agent).await;
    let stop = CancellationToken::new();
    let (desk, ends) = (world.desk.clone(), stop.clone());
    let running = tokio::spawn(async move { desk.run(ends).await });
    let call = world.call("u1").await;
    let first = world.ring(call, &amina).await;
    let one = world.desk.accept_offer(&amina, first).await.unwrap();
    let person = world.desk.grant_leg(&customer("u1"), call, None).await.unwrap();
    let [person, one] = [person.leg_id, one.leg.leg_id].map(|leg| LegId(leg.as_u128()));
    let mut seq = 0;
    let mut report = |world: &World, kind| {
        seq += 1;
        world.media.report(MediaEvent {
            room: call,
            seq,
            node_epoch: 1,
            age_ms: 0,
            kind,
        });
    };
    for kind in [
        EventKind::LegUp { leg: person },
        EventKind::LegUp { leg: one },
        EventKind::FirstRtp { leg: one },
        EventKind::RoomLive,
        EventKind::LegDown {
            leg: one,
            cause: ports::Cause::Lost,
            summary: ports::LegSummary::default(),
        },
    ] {
        report(&world, kind);
    }
    until(
        &mut world,
        "select count(*) from voice_calls where status = 'queued' and priority = 1",
    )
    .await;
    let second = world.ring(call, &brian).await;
    let two = world.desk.accept_offer(&brian, second).await.unwrap();
    let two = LegId(two.leg.leg_id.as_u128());
    report(&world, EventKind::LegUp { leg: two });
    report(&world, EventKind::FirstRtp { leg: two });
    until(&mut world, "select count(*) from voice_calls where status = 'answered'").await;
    let kept = "select r.state || ' ' || s.staff_name from helpline.recordings r
        join helpline.offers o on o.id = r.id join helpline.staff s on s.id = o.staff_id order by r.started_at";
    assert_eq!(
        world.texts(kept).await,
        ["recording amina"],
        "one recording per call, whoever has it"
    );
    let ordered = world.media.heard().into_iter().filter_map(|told| match told {
        Told::Record(_, RecordCommand::Start { recording, .. }) => Some(recording.0),
        Told::Record(_, RecordCommand::Stop) => panic!("it goes on"),
        _ => None,
    });
    let ordered: Vec<_> = ordered.collect();
    assert!(
        ordered.len() >= 3 && ordered.iter().all(|id| *id == first.0),
        "{ordered:?}"
    );
    let again = world.desk.call(&customer("u1"), call).await.unwrap();
    assert_eq!(again.agent_name.as_deref(), Some("brian"));
    stop.cancel();
    running.await.unwrap();
}

/// Looks until the count is one.
async fn until(world: &mut World, sql: &'static str) {
    let look = async {
        while world.count(sql).await != 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), look)
        .await
        .unwrap_or_else(|_| panic!("never: {sql}"));
}
