//! Deadlines and leases on PostgreSQL: each ends what it must, at its limit and not before, and forgives an outage.
//!
//! Nobody waits for time to pass: rows are moved into the past, and a connection is made to look old.

#![cfg(test)]

mod scene;

use std::time::Duration;

use call_model::CallId;
use desk::Caller;
use ports::{EventKind, Part};
use scene::{Eye, Node, customer, database};
use wire::call::{Supervise, SuperviseMode};

/// Longer than every amnesty: twice the 45 s in which a leg must come.
const LONG_UNBROKEN: Duration = Duration::from_secs(91);
/// Looks of the reaper, for what must not happen.
const LOOKS: u64 = 3;

/// A node on a fresh database, not running, with one agent of two slots online.
async fn scene() -> Option<(Node, Eye, Caller)> {
    let db = database().await?;
    let eye = Eye::of(&db.superuser_url).await;
    let node = Node::start(&db.app_url, "n").await;
    let agent = node.agent("amina", 2).await;
    node.online(&agent).await;
    Some((node, eye, agent))
}

/// A call that connects: accepted, legs admitted, no sound yet.
async fn connecting(node: &Node, agent: &Caller, user: &str) -> CallId {
    let call = node.call(user).await;
    let (offer, _) = node.offer(agent).await;
    node.desk.accept_offer(agent, offer).await.unwrap();
    node.desk.grant_leg(&customer(user), call, None).await.unwrap();
    call
}

#[tokio::test]
async fn a_missed_offer_is_a_strike_and_the_third_puts_the_agent_away() {
    let Some((mut node, mut eye, agent)) = scene().await else {
        return;
    };
    eye.run("update staff_presence set strikes = 1").await;
    node.run();
    let call = node.call("u1").await;
    node.offer(&agent).await;
    eye.run("update offers set expires_at = clock_timestamp() where state = 'pending'")
        .await;
    eye.until("select count(*) from offers where state = 'timeout'", 1)
        .await;
    node.until_status("u1", call, "queued").await;
    assert_eq!(eye.count("select strikes::bigint from staff_presence").await, 2);
    assert_eq!(eye.texts("select status from staff").await, ["online"]);
    // Not asked for anything for a while; when that is over, for the same call only after its own pause.
    assert_eq!(
        eye.count("select count(*) from cooldowns where until > clock_timestamp()")
            .await,
        2
    );
    eye.run("update cooldowns set until = clock_timestamp()").await;
    node.offer(&agent).await;
    eye.run("update offers set expires_at = clock_timestamp() where state = 'pending'")
        .await;
    eye.until("select count(*) from staff where status = 'away'", 1).await;
    assert_eq!(
        eye.texts("select kind from call_events where kind in ('offer.timeout', 'agent.rona') order by kind")
            .await,
        ["agent.rona", "offer.timeout", "offer.timeout"]
    );
    node.stop().await;
}

#[tokio::test]
async fn a_wrap_up_ends_by_itself_and_frees_the_agent() {
    let Some((mut node, mut eye, agent)) = scene().await else {
        return;
    };
    node.run();
    let (call, _) = node.live_call("u1", &agent).await;
    node.desk.hang_up(&agent, call, None).await.unwrap();
    assert_eq!(eye.texts("select state from offers").await, ["wrapping"]);
    eye.run("update offers set expires_at = clock_timestamp() where state = 'wrapping'")
        .await;
    eye.until("select count(*) from offers where state = 'completed'", 1)
        .await;
    assert_eq!(
        eye.count("select count(*) from hub_events where kind = 'wrapup.ended'")
            .await,
        1
    );
    node.stop().await;
}

#[tokio::test]
async fn a_wait_ends_at_its_time_out_and_a_ringing_call_goes_on() {
    let Some((mut node, mut eye, agent)) = scene().await else {
        return;
    };
    let (too_long, not_yet) = (node.call("u1").await, node.call("u2").await);
    let own_limit = node.call("u3").await;
    eye.run(
        "insert into queues (name, title, timeout_seconds) values ('vip', 'VIP', 30);
        update call_queue q set lease_until = 'infinity', enqueued_at = clock_timestamp() - make_interval(secs =>
            case c.user_id when 'u1' then 300 when 'u2' then 290 else 30 end),
            queue = case c.user_id when 'u3' then 'vip' else q.queue end
            from voice_calls c where c.id = q.call_id;
        update voice_calls set queue = 'vip' where user_id = 'u3';
        update staff set status = 'away'",
    )
    .await;
    node.run();
    eye.until("select count(*) from voice_calls where end_reason = 'queue_timeout'", 2)
        .await;
    node.until_status("u1", too_long, "abandoned").await;
    node.until_status("u3", own_limit, "abandoned").await;
    node.until_status("u2", not_yet, "queued").await;
    node.online(&agent).await;
    node.offer(&agent).await;
    eye.run("update call_queue set enqueued_at = clock_timestamp() - interval '1 hour' where left_at is null")
        .await;
    node.after_looks(LOOKS).await;
    node.until_status("u2", not_yet, "ringing").await;
    node.stop().await;
}

#[tokio::test]
async fn a_call_given_back_after_long_talk_has_not_waited_for_that_long() {
    let Some((mut node, mut eye, agent)) = scene().await else {
        return;
    };
    node.run();
    let (call, _) = node.live_call("u1", &agent).await;
    eye.run("update voice_calls set enqueued_at = clock_timestamp() - interval '1 hour'")
        .await;
    let leg = node.media.leg(call, Part::Agent).unwrap();
    node.media.lose(call, leg, ports::Cause::Lost);
    node.until_applied().await;
    node.after_looks(LOOKS).await;
    assert_eq!(
        eye.texts("select status from voice_calls where ended_at is null")
            .await
            .len(),
        1
    );
    assert_eq!(eye.count("select priority::bigint from voice_calls").await, 1);
    node.stop().await;
}

#[tokio::test]
async fn a_call_that_never_became_ready_fails_after_fifteen_seconds() {
    let Some((mut node, mut eye, _)) = scene().await else {
        return;
    };
    eye.run(
        "insert into voice_calls (id, user_id, status, queue, node_id, node_epoch, created_at) values
            (gen_random_uuid(), 'old', 'initiated', 'support', 'n', 1, clock_timestamp() - interval '15 seconds'),
            (gen_random_uuid(), 'new', 'initiated', 'support', 'n', 1, clock_timestamp() - interval '5 seconds')",
    )
    .await;
    node.run();
    eye.until("select count(*) from voice_calls where status = 'failed'", 1)
        .await;
    assert_eq!(
        eye.texts("select user_id || ' ' || coalesce(end_reason, status) from voice_calls order by user_id")
            .await,
        ["new initiated", "old initiated_timeout"]
    );
    node.stop().await;
}

#[tokio::test]
async fn a_set_up_that_takes_ten_seconds_is_the_fault_of_whose_sound_is_missing() {
    let Some((mut node, mut eye, agent)) = scene().await else {
        return;
    };
    node.age(LONG_UNBROKEN).await;
    node.run();
    let (mute_agent, mute_customer) = (
        connecting(&node, &agent, "u1").await,
        connecting(&node, &agent, "u2").await,
    );
    node.media.comes_up(mute_agent, Part::Customer);
    node.media.comes_up(mute_customer, Part::Agent);
    node.until_applied().await;
    eye.run("update voice_calls set connecting_at = clock_timestamp() - interval '10 seconds'")
        .await;
    node.until_status("u2", mute_customer, "failed").await;
    node.until_status("u1", mute_agent, "queued").await;
    assert_eq!(
        eye.texts("select state || ' ' || reason from offers order by state")
            .await,
        ["failed media", "rescinded customer_left"]
    );
    assert_eq!(eye.count("select strikes::bigint from staff_presence").await, 1);
    node.stop().await;
}

#[tokio::test]
async fn a_customer_who_is_gone_leaves_the_queue_but_not_because_of_an_outage() {
    let Some((mut node, mut eye, agent)) = scene().await else {
        return;
    };
    eye.run("update staff set status = 'away'").await;
    let (gone, there) = (node.call("u1").await, node.call("u2").await);
    eye.run(
        "update call_queue q set lease_until = clock_timestamp() from voice_calls c
        where c.id = q.call_id and c.user_id = 'u1'",
    )
    .await;
    // The process has seen the database for a moment only: it cannot know whose fault the silence is.
    node.run();
    node.after_looks(LOOKS).await;
    node.until_status("u1", gone, "queued").await;
    // Nor is he offered to anybody: the one behind him is, although he came later.
    node.online(&agent).await;
    assert_eq!(node.offer(&agent).await.1, there);
    node.age(LONG_UNBROKEN).await;
    node.until_status("u1", gone, "abandoned").await;
    assert_eq!(
        eye.texts("select end_reason from voice_calls where ended_at is not null")
            .await,
        ["customer_lost"]
    );
    node.stop().await;
}

#[tokio::test]
async fn what_rings_at_an_empty_chair_goes_back_without_a_strike() {
    let Some((mut node, mut eye, agent)) = scene().await else {
        return;
    };
    node.run();
    let call = node.call("u1").await;
    node.offer(&agent).await;
    eye.run("update staff_presence set lease_until = clock_timestamp()")
        .await;
    node.after_looks(LOOKS).await;
    node.until_status("u1", call, "ringing").await;
    node.age(LONG_UNBROKEN).await;
    node.until_status("u1", call, "queued").await;
    assert_eq!(
        eye.texts("select state || ' ' || reason from offers").await,
        ["rescinded agent_lost"]
    );
    assert_eq!(eye.count("select strikes::bigint from staff_presence").await, 0);
    node.stop().await;
}

#[tokio::test]
async fn a_customer_whose_agent_is_away_for_twenty_seconds_goes_back_to_the_queue() {
    let Some((mut node, mut eye, agent)) = scene().await else {
        return;
    };
    node.run();
    let (short, _) = node.live_call("u1", &agent).await;
    let (long, _) = node.live_call("u2", &agent).await;
    for call in [short, long] {
        let leg = node.media.leg(call, Part::Agent).unwrap();
        node.media.happens(call, EventKind::LegAway { leg });
    }
    node.until_applied().await;
    eye.run(
        "update staff set status = 'away';
        update call_legs l set away_at = clock_timestamp() - make_interval(secs => case c.user_id when 'u2' then 20 else 5 end)
            from voice_calls c where c.id = l.call_id and l.state = 'away'",
    )
    .await;
    const BACK: &str = "select count(*) from call_queue where priority = 1 and left_at is null";
    for _ in 0..5 {
        // A statement that is under way while the clock is moved fails, and the connection is young again.
        node.age(LONG_UNBROKEN).await;
        node.after_looks(2).await;
        if eye.count(BACK).await == 1 {
            break;
        }
    }
    node.until_status("u2", long, "queued").await;
    node.until_status("u1", short, "answered").await;
    assert_eq!(eye.count(BACK).await, 1);
    assert!(node.media.leg(long, Part::Agent).is_none(), "the agent's leg is closed");
    assert!(
        node.media.leg(long, Part::Customer).is_some(),
        "the customer's leg stays"
    );
    node.stop().await;
}

#[tokio::test]
async fn a_supervisor_who_never_comes_is_no_listener_after_the_time_in_which_media_lets_him_connect() {
    let Some((mut node, mut eye, agent)) = scene().await else {
        return;
    };
    eye.run("insert into public.support_settings (key, value) values ('supervision', '{\"announce\": \"notice\"}')")
        .await;
    node.run();
    let (call, _) = node.live_call("u1", &agent).await;
    let listens = || Supervise {
        mode: SuperviseMode::Monitor,
        reason: None,
    };
    let sue = node.supervisor("sue").await;
    let hers = node.desk.supervise(&sue, call, listens()).await.unwrap();
    // Who has come stays, however long ago he was let in.
    let sam = node.supervisor("sam").await;
    let there = node.desk.supervise(&sam, call, listens()).await.unwrap();
    let leg = call_model::LegId(there.leg_id.as_u128());
    node.media.happens(call, EventKind::LegUp { leg });
    node.until_applied().await;
    const OPEN: &str = "select count(*) from call_intervals where kind = 'supervise' and ended_at is null";
    // Time that has passed is moved into the rows; ten seconds are left for a slow machine to look.
    const WAITED_35_S: &str = "update call_legs set granted_at = granted_at - interval '35 seconds'
        where part = 'supervisor' and state = 'granted'";
    eye.run(WAITED_35_S).await;
    node.age(LONG_UNBROKEN).await;
    node.after_looks(2).await;
    assert_eq!(
        eye.count(OPEN).await,
        2,
        "20 s to offer, 15 to be checked, 10 for the keys"
    );
    assert_eq!(node.desk.call(&agent, call).await.unwrap().supervised.unwrap().len(), 2);

    // Her page died, and the same right is handed out again: from here on she has the whole time.
    let again = node.desk.supervise(&sue, call, listens()).await.unwrap();
    assert_eq!(again.leg_id, hers.leg_id);
    eye.run(WAITED_35_S).await;
    node.age(LONG_UNBROKEN).await;
    node.after_looks(2).await;
    assert_eq!(eye.count(OPEN).await, 2, "it is 35 s since she was let in last");

    eye.run("update call_legs set granted_at = clock_timestamp() - interval '45 seconds' where part = 'supervisor'")
        .await;
    for _ in 0..5 {
        // A statement that is under way while the clock is moved fails, and the connection is young again.
        node.age(LONG_UNBROKEN).await;
        node.after_looks(2).await;
        if eye.count(OPEN).await == 1 {
            break;
        }
    }
    assert_eq!(
        eye.texts(
            "select concat_ws(' ', s.staff_name, ended_actor, ended_reason) from call_intervals
            join staff s on s.id = staff_id where kind = 'supervise' order by s.staff_name"
        )
        .await,
        ["sam", "sue system:reaper never_came"]
    );
    assert_eq!(
        eye.texts(
            "select concat_ws(' ', data ->> 'supervisor', data ->> 'mode', data ->> 'reason', actor) from call_events
            where kind = 'call.supervision_ended'"
        )
        .await,
        ["sue never_came system:reaper"]
    );
    assert_eq!(
        eye.texts("select reason from support_activity_logs where action = 'call.supervision_ended'")
            .await,
        ["never_came"]
    );
    let told = node.desk.call(&agent, call).await.unwrap().supervised.unwrap();
    assert_eq!(told.len(), 1, "the agent is told of him who listens");
    // Her place is free again.
    let suki = node.supervisor("suki").await;
    node.desk.supervise(&suki, call, listens()).await.unwrap();
    node.stop().await;
}

#[tokio::test]
async fn a_forgotten_call_ends_after_four_hours() {
    let Some((mut node, mut eye, agent)) = scene().await else {
        return;
    };
    node.run();
    let (call, _) = node.live_call("u1", &agent).await;
    eye.run("update voice_calls set answered_at = clock_timestamp() - interval '3 hours 59 minutes'")
        .await;
    node.after_looks(LOOKS).await;
    node.until_status("u1", call, "answered").await;
    eye.run("update voice_calls set answered_at = clock_timestamp() - interval '4 hours'")
        .await;
    node.until_status("u1", call, "completed").await;
    assert_eq!(eye.texts("select end_reason from voice_calls").await, ["too_long"]);
    node.stop().await;
}

#[tokio::test]
async fn old_rows_are_forgotten_and_young_ones_kept() {
    let Some((mut node, mut eye, _)) = scene().await else {
        return;
    };
    eye.run(
        "delete from hub_events;
        insert into hub_events (audience, kind, data, at) values
            ('all_staff', 'x', '{}', now() - interval '48 hours 1 minute'),
            ('all_staff', 'x', '{}', now() - interval '47 hours');
        insert into idempotency_keys (actor, key, request_hash, status, response, created_at) values
            ('a', 'old', sha256('x'), 200, '{}', now() - interval '24 hours 1 minute'),
            ('a', 'new', sha256('x'), 200, '{}', now() - interval '23 hours');
        insert into webrtc_signaling (from_peer, type, expires_at) values
            ('a', 'offer', now() - interval '1 minute'), ('a', 'offer', now() + interval '1 hour')",
    )
    .await;
    node.run();
    eye.until("select count(*) from webrtc_signaling", 1).await;
    assert_eq!(eye.count("select count(*) from hub_events").await, 1);
    assert_eq!(eye.texts("select key from idempotency_keys").await, ["new"]);
    node.stop().await;
}

#[tokio::test]
async fn one_process_reaps_and_another_takes_over_when_it_leaves() {
    let Some(db) = database().await else { return };
    let mut eye = Eye::of(&db.superuser_url).await;
    let (mut one, mut two) = (
        Node::start(&db.app_url, "one").await,
        Node::start(&db.app_url, "two").await,
    );
    one.run();
    two.run();
    let held = "select count(*) from pg_locks l join pg_database d on d.oid = l.database
        where l.locktype = 'advisory' and l.granted and d.datname = current_database()";
    eye.until(held, 1).await;
    one.stop().await;
    one.store.close().await;
    // Only whoever has the lock counts its looks.
    two.after_looks(1).await;
    let agent = two.agent("amina", 1).await;
    two.online(&agent).await;
    two.call("u1").await;
    two.offer(&agent).await;
    eye.run("update offers set expires_at = clock_timestamp()").await;
    eye.until("select count(*) from offers where state = 'timeout'", 1)
        .await;
    two.stop().await;
}

#[tokio::test]
async fn whoever_never_comes_is_put_out_by_the_node_that_has_the_call() {
    let Some(db) = database().await else { return };
    let mut eye = Eye::of(&db.superuser_url).await;
    let (mut one, mut two) = (
        Node::start(&db.app_url, "one").await,
        Node::start(&db.app_url, "two").await,
    );
    one.run();
    // The reaper of all is the other node.
    one.after_looks(1).await;
    two.run();
    let agent = two.agent("amina", 1).await;
    two.online(&agent).await;
    let (call, _) = two.live_call("u1", &agent).await;
    let sue = two.supervisor("sue").await;
    let listens = Supervise {
        mode: SuperviseMode::Monitor,
        reason: None,
    };
    two.desk.supervise(&sue, call, listens).await.unwrap();
    assert!(two.media.leg(call, Part::Supervisor).is_some());
    eye.run("update call_legs set granted_at = clock_timestamp() - interval '45 seconds' where part = 'supervisor'")
        .await;
    const ENDED: &str = "select count(*) from call_events where kind = 'call.supervision_ended'";
    for _ in 0..5 {
        // A statement that is under way while the clock is moved fails, and the connection is young again.
        one.age(LONG_UNBROKEN).await;
        one.after_looks(2).await;
        if eye.count(ENDED).await == 1 {
            break;
        }
    }
    assert_eq!(eye.count(ENDED).await, 1);
    // Only media that was told to close the leg reports its end.
    eye.until("select count(*) from call_events where kind = 'leg.down'", 1)
        .await;
    assert!(two.media.leg(call, Part::Supervisor).is_none());
    one.stop().await;
    two.stop().await;
}
