//! Mails about calls that sound bad: once per call and flag, one per queue and time of quiet, and nothing of a customer.
//!
//! Nobody waits for time to pass: rows are moved into the past. What must not happen is shown by what the same look of
//! the reaper did: it goes through the queues by name.

#![cfg(test)]

mod scene;

use call_model::{CallId, LegId};
use desk::{Caller, Known};
use ports::{Cause, Direction, EventKind, Flag, Part};
use scene::{Eye, Node, customer, database, service};
use serde_json::Value;
use wire::settings::MailSettings;

const MAILS: &str = "select count(*) from outbox where payload ->> 'template' = 'quality_alert'";
const VIP_MAILS: &str = "select count(*) from outbox where payload ->> 'template' = 'quality_alert'
    and payload ->> 'queue' = 'vip'";
const RAISED: &str = "select count(*) from quality_raised";

/// A running node, an agent of four slots, and a supervisor and an admin who serve nothing.
async fn scene() -> Option<(Node, Eye, Caller)> {
    let db = database().await?;
    let mut eye = Eye::of(&db.superuser_url).await;
    let mut node = Node::start(&db.app_url, "n").await;
    node.agent("baraka", 1).await;
    node.agent("esther", 1).await;
    node.agent("chao", 1).await;
    eye.run(
        "delete from queue_members;
        update staff set role = case staff_name when 'baraka' then 'supervisor' when 'esther' then 'admin' else role end;
        update staff set team_id = null where staff_name = 'esther';
        insert into queues (name, title) values ('vip', 'VIP')",
    )
    .await;
    let agent = node.agent("amina", 4).await;
    node.online(&agent).await;
    node.run();
    Some((node, eye, agent))
}

fn quality(leg: Option<LegId>, flag: Flag, raised: bool) -> EventKind {
    EventKind::Quality {
        leg,
        flag,
        direction: leg.map(|_| Direction::Up),
        raised,
    }
}

impl Story<'_> {
    /// The customer's line raises or clears a flag.
    async fn flags(&self, call: CallId, flag: Flag, raised: bool) {
        let leg = self.0.media.leg(call, Part::Customer).expect("a live leg");
        self.0.media.happens(call, quality(Some(leg), flag, raised));
        self.0.until_applied().await;
    }
}

struct Story<'a>(&'a Node);

/// What stands has stood for longer than the default.
async fn a_minute_passes(eye: &mut Eye) {
    eye.run("update quality_raised set raised_at = raised_at - interval '1 minute'")
        .await;
}

#[tokio::test]
async fn a_flag_that_stays_is_mailed_to_those_who_lead_and_tells_nothing_of_the_customer() {
    let Some((mut node, mut eye, agent)) = scene().await else {
        return;
    };
    let (young, _) = node.live_call("a-support", &agent).await;
    let (old, _) = node.live_call("b-vip", &agent).await;
    eye.run("update voice_calls set queue = 'vip' where user_id = 'b-vip'")
        .await;
    // A patience that no slow machine outlasts.
    let usual = node.desk.settings(&service()).await.unwrap().mail.value;
    let patient = MailSettings {
        quality_alert_after_seconds: 600,
        ..usual.clone()
    };
    node.desk.set_mail(&service(), patient, Known::Any).await.unwrap();
    Story(&node).flags(young, Flag::LowMos, true).await;
    a_minute_passes(&mut eye).await;
    // The room's own condition has no leg.
    node.media.happens(old, quality(None, Flag::DeadAir, true));
    node.until_applied().await;
    eye.run("update quality_raised set raised_at = raised_at - interval '600 seconds' where flag = 'dead_air'")
        .await;
    eye.until(VIP_MAILS, 1).await;
    assert_eq!(eye.count(MAILS).await, 1, "ten minutes are not over for the other");

    let payload = eye.texts("select payload::text from outbox where kind = 'mail'").await;
    let mail: Value = serde_json::from_str(&payload[0]).unwrap();
    let mut names: Vec<_> = mail.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["callId", "calls", "flag", "queue", "since", "template", "to"]);
    assert_eq!(
        (mail["flag"].as_str(), mail["calls"].as_i64()),
        (Some("dead_air"), Some(1))
    );
    assert!(!payload[0].contains("b-vip") && !payload[0].contains('@') && !payload[0].contains("Customer"));
    // Nobody leads vip: it has no agents. The admin is told of everything.
    let told = "select s.staff_name from outbox o, jsonb_array_elements_text(o.payload -> 'to') t
        join staff s on s.id::text = t order by 1";
    assert_eq!(eye.texts(told).await, ["esther"]);

    eye.run("delete from outbox").await;
    node.desk.set_mail(&service(), usual, Known::Any).await.unwrap();
    eye.until(MAILS, 1).await;
    assert_eq!(
        eye.texts(told).await,
        ["baraka", "esther"],
        "he leads the team of its agent"
    );
    node.stop().await;
}

#[tokio::test]
async fn a_node_that_spoils_every_call_sends_one_mail_and_the_next_one_after_the_quiet() {
    let Some((mut node, mut eye, agent)) = scene().await else {
        return;
    };
    let mut calls = Vec::new();
    for user in ["u1", "u2", "u3"] {
        calls.push(node.live_call(user, &agent).await.0);
    }
    let (vip, _) = node.live_call("vip", &agent).await;
    eye.run("update voice_calls set queue = 'vip' where user_id = 'vip'")
        .await;
    for call in &calls {
        Story(&node).flags(*call, Flag::HighLoss, true).await;
    }
    // All at once, so that the first look sees all of them.
    a_minute_passes(&mut eye).await;
    eye.until(MAILS, 1).await;
    assert_eq!(
        eye.texts("select payload ->> 'calls' from outbox where kind = 'mail'")
            .await,
        ["3"]
    );
    assert_eq!(eye.count(RAISED).await, 2, "two wait for the end of the quiet");

    Story(&node).flags(vip, Flag::HighLoss, true).await;
    a_minute_passes(&mut eye).await;
    eye.until(VIP_MAILS, 1).await;
    assert_eq!(eye.count(MAILS).await, 2, "one of each queue");
    eye.run("update quality_quiet set told_at = told_at - interval '15 minutes'")
        .await;
    eye.until(MAILS, 3).await;
    assert_eq!(
        eye.count("select count(distinct payload ->> 'callId') from outbox where kind = 'mail'")
            .await,
        3
    );
    node.stop().await;
}

#[tokio::test]
async fn what_is_cleared_or_gone_is_no_news_and_what_comes_back_is_no_second_mail() {
    let Some((mut node, mut eye, agent)) = scene().await else {
        return;
    };
    let (call, _) = node.live_call("u1", &agent).await;
    let story = Story(&node);
    story.flags(call, Flag::HighRtt, true).await;
    story.flags(call, Flag::HighRtt, true).await;
    assert_eq!(eye.count(RAISED).await, 1);
    story.flags(call, Flag::HighRtt, false).await;
    assert_eq!(eye.count(RAISED).await, 0);

    story.flags(call, Flag::HighRtt, true).await;
    a_minute_passes(&mut eye).await;
    eye.until(MAILS, 1).await;
    eye.until(RAISED, 0).await;
    eye.run("delete from quality_quiet").await;
    story.flags(call, Flag::HighRtt, false).await;
    story.flags(call, Flag::HighRtt, true).await;
    a_minute_passes(&mut eye).await;
    eye.until(RAISED, 0).await;
    assert_eq!(eye.count(MAILS).await, 1);
    assert_eq!(
        eye.count("select count(*) from quality_quiet").await,
        0,
        "and keeps nobody quiet"
    );

    story.flags(call, Flag::OneWay, true).await;
    let leg = node.media.leg(call, Part::Customer).unwrap();
    node.media.lose(call, leg, Cause::Lost);
    node.until_applied().await;
    assert_eq!(eye.count(RAISED).await, 0, "a leg that is gone has no flags");
    node.stop().await;
}

#[tokio::test]
async fn a_mail_goes_to_fifty_people_at_most_those_who_came_first() {
    let Some((mut node, mut eye, agent)) = scene().await else {
        return;
    };
    let (call, _) = node.live_call("u1", &agent).await;
    eye.run(
        "insert into staff (user_id, staff_name, email, role, created_at)
            select 'x' || n, 'x' || n, 'x' || n || '@x.test', 'admin', clock_timestamp() + make_interval(secs => n)
            from generate_series(1, 50) n",
    )
    .await;
    Story(&node).flags(call, Flag::LowMos, true).await;
    a_minute_passes(&mut eye).await;
    eye.until(MAILS, 1).await;
    let told = "select s.staff_name from outbox o, jsonb_array_elements_text(o.payload -> 'to') t
        join staff s on s.id::text = t where s.role = 'admin' order by s.created_at desc limit 1";
    assert_eq!(
        eye.count("select jsonb_array_length(payload -> 'to')::bigint from outbox where kind = 'mail'")
            .await,
        50
    );
    // The supervisor and the admin of the house are older than all of them.
    assert_eq!(eye.texts(told).await, ["x48"]);
    node.stop().await;
}

/// Looks of the reaper are counted by waits that end: the calls go before the mails.
async fn two_looks(node: &Node, eye: &mut Eye) {
    eye.run("update staff set status = 'away'").await;
    for _ in 0..2 {
        node.call("waits").await;
        eye.run(
            "update call_queue set enqueued_at = enqueued_at - interval '1 hour', lease_until = 'infinity'
            where left_at is null",
        )
        .await;
        eye.until("select count(*) from voice_calls where status = 'queued'", 0)
            .await;
    }
}

#[tokio::test]
async fn a_house_that_wants_no_mail_or_names_nobody_gets_none() {
    let Some((mut node, mut eye, agent)) = scene().await else {
        return;
    };
    let (call, _) = node.live_call("u1", &agent).await;
    let usual = node.desk.settings(&service()).await.unwrap().mail.value;
    let off = MailSettings {
        notify_on_quality_alert: false,
        ..usual.clone()
    };
    node.desk.set_mail(&service(), off, Known::Any).await.unwrap();
    Story(&node).flags(call, Flag::LowMos, true).await;
    a_minute_passes(&mut eye).await;
    two_looks(&node, &mut eye).await;
    let nobody = MailSettings {
        quality_alert_roles: Vec::new(),
        ..usual.clone()
    };
    node.desk.set_mail(&service(), nobody, Known::Any).await.unwrap();
    two_looks(&node, &mut eye).await;
    assert_eq!(eye.count(MAILS).await, 0);
    assert_eq!(eye.count("select count(*) from quality_quiet").await, 0);

    node.desk.set_mail(&service(), usual, Known::Any).await.unwrap();
    eye.until(MAILS, 1).await;
    node.stop().await;
}

#[tokio::test]
async fn silence_that_somebody_wants_is_mailed_to_nobody_until_it_is_wanted_no_more() {
    let Some((mut node, mut eye, agent)) = scene().await else {
        return;
    };
    let (call, _) = node.live_call("a-support", &agent).await;
    let (vip, _) = node.live_call("b-vip", &agent).await;
    eye.run("update voice_calls set queue = 'vip' where user_id = 'b-vip'")
        .await;
    let of = |part| wire::call::Mute { part, reason: None };
    let himself = customer("a-support");
    for (flag, leg) in [
        (Flag::DeadMicrophone, true),
        (Flag::OneWay, true),
        (Flag::DeadAir, false),
    ] {
        for round in 0..3 {
            match round {
                0 => drop(
                    node.desk
                        .mute(&himself, call, of(wire::leg::Part::Customer))
                        .await
                        .unwrap(),
                ),
                1 => drop(
                    node.desk
                        .mute(&agent, call, of(wire::leg::Part::Customer))
                        .await
                        .unwrap(),
                ),
                _ => drop(node.desk.hold(&agent, call, None).await.unwrap()),
            }
            let leg = leg.then(|| node.media.leg(call, Part::Customer).expect("a live leg"));
            node.media.happens(call, quality(leg, flag, true));
            Story(&node).flags(vip, Flag::HighLoss, true).await;
            a_minute_passes(&mut eye).await;
            eye.until(VIP_MAILS, 1).await;
            assert_eq!(eye.count(MAILS).await, 1, "{flag:?} in round {round}");
            match round {
                0 => drop(
                    node.desk
                        .unmute(&himself, call, of(wire::leg::Part::Customer))
                        .await
                        .unwrap(),
                ),
                1 => drop(
                    node.desk
                        .unmute(&agent, call, of(wire::leg::Part::Customer))
                        .await
                        .unwrap(),
                ),
                _ => drop(node.desk.resume(&agent, call, None).await.unwrap()),
            }
            eye.until(MAILS, 2).await;
            eye.run("delete from outbox; delete from quality_quiet; delete from quality_raised")
                .await;
        }
    }
    // What a muted line really has, and what the agent's own line has, is told all the same.
    node.desk
        .mute(&himself, call, of(wire::leg::Part::Customer))
        .await
        .unwrap();
    Story(&node).flags(call, Flag::HighLoss, true).await;
    a_minute_passes(&mut eye).await;
    eye.until(MAILS, 1).await;
    eye.run("delete from outbox; delete from quality_quiet; delete from quality_raised")
        .await;
    let leg = node.media.leg(call, Part::Agent);
    node.media.happens(call, quality(leg, Flag::DeadMicrophone, true));
    node.until_applied().await;
    a_minute_passes(&mut eye).await;
    eye.until(MAILS, 1).await;
    node.stop().await;
}
