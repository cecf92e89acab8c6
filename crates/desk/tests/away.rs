//! A line that goes and comes back, or does not: what both pages are shown, who is waited for and for how long.

#![cfg(test)]

mod scene;

use std::time::Duration;

use call_model::CallId;
use desk::Caller;
use ports::{Cause, EventKind, Part};
use scene::{Eye, Node, customer, database};
use wire::call::{Supervise, SuperviseMode};
use wire::leg::Part as Shown;

/// Longer than every amnesty: twice the presence lease of 30 s.
const LONG_UNBROKEN: Duration = Duration::from_secs(61);

/// A running node with one agent of two slots, online.
async fn scene() -> Option<(Node, Eye, Caller)> {
    let db = database().await?;
    let eye = Eye::of(&db.superuser_url).await;
    let mut node = Node::start(&db.app_url, "n").await;
    let agent = node.agent("amina", 2).await;
    node.online(&agent).await;
    node.run();
    Some((node, eye, agent))
}

/// Who is reconnecting, as the customer and the agent are shown it when they ask.
async fn shown(node: &Node, agent: &Caller, call: CallId) -> [Vec<Shown>; 2] {
    let customers = node.desk.call(&customer("u1"), call).await.unwrap();
    let agents = node.desk.call(agent, call).await.unwrap();
    [customers.reconnecting, agents.reconnecting]
}

/// The same as their pages were told it, in order.
async fn told(eye: &mut Eye, audience: &'static str) -> Vec<String> {
    let sql = match audience {
        "user" => {
            "select (data -> 'call' ->> 'reconnecting') from hub_events
            where kind = 'call.changed' and audience = 'user' order by id"
        }
        _ => {
            "select (data -> 'call' ->> 'reconnecting') from hub_events
            where kind = 'call.changed' and audience = 'staff' order by id"
        }
    };
    eye.texts(sql).await
}

#[tokio::test]
async fn both_pages_are_shown_whose_line_is_gone_until_it_is_back() {
    let Some((mut node, mut eye, agent)) = scene().await else {
        return;
    };
    let (call, _) = node.live_call("u1", &agent).await;
    assert_eq!(shown(&node, &agent, call).await, [vec![], vec![]]);
    let leg = |part| node.media.leg(call, part).unwrap();
    let (customers, agents) = (leg(Part::Customer), leg(Part::Agent));

    node.media.happens(call, EventKind::LegAway { leg: customers });
    node.until_applied().await;
    assert_eq!(
        shown(&node, &agent, call).await,
        [vec![Shown::Customer], vec![Shown::Customer]]
    );
    node.media.happens(call, EventKind::LegAway { leg: agents });
    node.media.happens(call, EventKind::LegBack { leg: customers });
    node.media.happens(call, EventKind::LegBack { leg: agents });
    // A line that lives without sound is shown as it is.
    node.media.happens(call, EventKind::UplinkStalled { leg: agents });
    node.media.happens(call, EventKind::UplinkResumed { leg: agents });
    node.until_applied().await;
    assert_eq!(shown(&node, &agent, call).await, [vec![], vec![]]);

    let course = [r#"["customer"]"#, r#"["agent", "customer"]"#, r#"["agent"]"#, "[]"];
    assert_eq!(told(&mut eye, "user").await, course);
    assert_eq!(told(&mut eye, "staff").await, course);
    assert_eq!(
        eye.texts("select kind from call_events where kind like 'leg.%' and kind <> 'leg.up' order by seq")
            .await,
        [
            "leg.away",
            "leg.away",
            "leg.back",
            "leg.back",
            "leg.uplink_stalled",
            "leg.uplink_resumed"
        ]
    );
    assert_eq!(
        eye.count("select count(*) from call_intervals where kind = 'away' and ended_at >= started_at")
            .await,
        2
    );
    assert_eq!(
        eye.count(
            "select count(*) from hub_events where kind = 'call.changed' and audience = 'user'
            and data -> 'call' ? 'customerEmail' and data -> 'call' ->> 'customerEmail' is not null"
        )
        .await,
        0,
        "the customer's page learns nothing that staff may know"
    );
    node.stop().await;
}

#[tokio::test]
async fn a_customer_whose_agent_does_not_come_back_is_first_in_line_with_his_leg_and_its_music() {
    let Some((mut node, mut eye, agent)) = scene().await else {
        return;
    };
    let (call, _) = node.live_call("u1", &agent).await;
    eye.run("update staff set status = 'away'").await;
    let other = node.call("u2").await;
    let kept = node.media.leg(call, Part::Customer).unwrap();
    let leg = node.media.leg(call, Part::Agent).unwrap();
    node.media.happens(call, EventKind::LegAway { leg });
    node.until_applied().await;
    eye.run("update call_legs set away_at = clock_timestamp() - interval '20 seconds' where state = 'away'")
        .await;
    node.age(LONG_UNBROKEN).await;
    node.until_status("u1", call, "queued").await;

    let seen = node.desk.call(&customer("u1"), call).await.unwrap();
    assert_eq!((seen.position, seen.reconnecting), (Some(1), vec![]));
    let behind = node.desk.call(&customer("u2"), other).await.unwrap();
    assert_eq!(behind.position, Some(2), "who called later waits longer");
    assert_eq!(
        node.media.stance(call, kept),
        Some(ports::Stance::Queued),
        "music and prompt of those who wait"
    );
    let again = node.desk.grant_leg(&customer("u1"), call, None).await.unwrap();
    assert_eq!(
        again.leg_id.as_u128(),
        kept.0,
        "a page loaded anew comes back to the leg that hears the music"
    );
    let refused = node.desk.grant_leg(&customer("u2"), other, None).await.unwrap_err();
    assert_eq!(
        refused.code,
        desk::Code::IllegalTransition,
        "who has not talked yet has no leg"
    );

    eye.run("update staff set status = 'online'; update cooldowns set until = clock_timestamp()")
        .await;
    let (offer, rung) = node.offer(&agent).await;
    assert_eq!(rung, call);
    node.desk.accept_offer(&agent, offer).await.unwrap();
    assert_eq!(node.media.leg(call, Part::Customer), Some(kept));
    assert_eq!(node.media.stance(call, kept), Some(ports::Stance::Talk));
    node.media.comes_up(call, Part::Agent);
    let leg = node.media.leg(call, Part::Agent).unwrap();
    node.media.happens(call, EventKind::FirstRtp { leg });
    node.until_status("u1", call, "answered").await;
    node.stop().await;
}

#[tokio::test]
async fn a_customer_who_does_not_come_back_ends_the_call_by_that_reason_and_frees_the_agent() {
    let Some((mut node, mut eye, agent)) = scene().await else {
        return;
    };
    let (call, _) = node.live_call("u1", &agent).await;
    let leg = node.media.leg(call, Part::Customer).unwrap();
    node.media.happens(call, EventKind::LegAway { leg });
    node.until_applied().await;
    node.until_status("u1", call, "answered").await;
    node.media.lose(call, leg, Cause::Lost);
    node.until_status("u1", call, "completed").await;
    let seen = node.desk.call(&customer("u1"), call).await.unwrap();
    assert_eq!(
        (seen.end_reason.as_deref(), seen.reconnecting),
        (Some("media_lost"), vec![])
    );
    assert_eq!(
        eye.count("select count(*) from call_intervals where kind = 'away' and ended_at is not null")
            .await,
        1
    );
    eye.until("select count(*) from offers where state = 'wrapping'", 1)
        .await;
    node.stop().await;
}

#[tokio::test]
async fn a_tone_that_told_of_a_supervisor_is_in_the_calls_history_with_who_heard_it() {
    let Some((mut node, mut eye, agent)) = scene().await else {
        return;
    };
    let (call, _) = node.live_call("u1", &agent).await;
    let sue = node.supervisor("sue").await;
    let mode = SuperviseMode::Whisper;
    let granted = node
        .desk
        .supervise(&sue, call, Supervise { mode, reason: None })
        .await
        .unwrap();
    let leg = |part| node.media.leg(call, part).unwrap();
    let supervisor = call_model::LegId(granted.leg_id.as_u128());
    let (customers, agents) = (leg(Part::Customer), leg(Part::Agent));
    for heard_by in [vec![agents], vec![customers, agents]] {
        node.media.happens(call, EventKind::Announced { supervisor, heard_by });
    }
    // Of a leg that is not this call's nothing is said.
    let (supervisor, heard_by) = (call_model::LegId(7), vec![agents]);
    node.media.happens(call, EventKind::Announced { supervisor, heard_by });
    node.until_applied().await;
    assert_eq!(
        eye.texts(
            "select (data ->> 'part') || ' ' || (data ->> 'mode') || ' ' || (data ->> 'heardBy') from call_events
            where kind = 'call.supervision_announced' order by seq"
        )
        .await,
        [
            r#"supervisor whisper ["agent"]"#,
            r#"supervisor whisper ["customer", "agent"]"#
        ]
    );
    node.stop().await;
}

#[tokio::test]
async fn a_voice_that_finds_no_stream_is_in_the_calls_history_and_what_supervisors_miss_is_not_the_agents_to_read() {
    let Some((mut node, mut eye, agent)) = scene().await else {
        return;
    };
    let (call, _) = node.live_call("u1", &agent).await;
    let sue = node.supervisor("sue").await;
    let mode = SuperviseMode::Barge;
    let granted = node
        .desk
        .supervise(&sue, call, Supervise { mode, reason: None })
        .await
        .unwrap();
    let leg = |part| node.media.leg(call, part).unwrap();
    let supervisor = call_model::LegId(granted.leg_id.as_u128());
    let (customers, agents) = (leg(Part::Customer), leg(Part::Agent));
    for (leg, voices) in [
        (customers, vec![agents, supervisor]),
        (customers, vec![]),
        (supervisor, vec![customers]),
        // Of a leg that is not this call's nothing is said.
        (call_model::LegId(7), vec![agents]),
    ] {
        node.media.happens(call, EventKind::Unheard { leg, voices });
    }
    node.until_applied().await;
    assert_eq!(
        eye.texts(
            "select kind || ' ' || (data ->> 'part') || ' ' || coalesce(data ->> 'unheard', '-') from call_events
            where kind like 'leg.voices%' order by seq"
        )
        .await,
        [
            r#"leg.voices_missed customer ["agent", "supervisor"]"#,
            "leg.voices_back customer -",
            r#"leg.voices_missed supervisor ["customer"]"#
        ]
    );
    let reads = |who: desk::Caller| {
        let desk = node.desk.clone();
        async move {
            let told = desk.call_events(&who, call).await.unwrap().events;
            let missed = told.into_iter().filter(|event| event.kind == "leg.voices_missed");
            missed
                .map(|event| event.data["unheard"].to_string())
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(reads(agent.clone()).await, [r#"["agent"]"#]);
    assert_eq!(
        reads(sue.clone()).await,
        [r#"["agent","supervisor"]"#, r#"["customer"]"#]
    );
    node.stop().await;
}

#[tokio::test]
async fn where_the_house_wants_it_a_customer_has_his_line_up_while_he_waits_and_keeps_it_for_the_call() {
    let Some((mut node, mut eye, agent)) = scene().await else {
        return;
    };
    eye.run("update staff set status = 'away'").await;
    let call = node.call("u1").await;
    let refused = node.desk.grant_leg(&customer("u1"), call, None).await.unwrap_err();
    assert_eq!(
        refused.code,
        desk::Code::IllegalTransition,
        "off unless the house says so"
    );
    eye.run("insert into public.support_settings (key, value) values ('routing', '{\"queue_needs_media\": true}')")
        .await;
    let granted = node.desk.grant_leg(&customer("u1"), call, None).await.unwrap();
    let leg = call_model::LegId(granted.leg_id.as_u128());
    assert_eq!(node.media.stance(call, leg), Some(ports::Stance::Queued));
    node.media.comes_up(call, Part::Customer);
    node.until_applied().await;
    let seen = node.desk.call(&customer("u1"), call).await.unwrap();
    assert_eq!(seen.position, Some(1), "he waits as everybody does");

    eye.run("update staff set status = 'online'").await;
    let (offer, rung) = node.offer(&agent).await;
    assert_eq!(rung, call);
    node.desk.accept_offer(&agent, offer).await.unwrap();
    let again = node.desk.grant_leg(&customer("u1"), call, None).await.unwrap();
    assert_eq!(again.leg_id, granted.leg_id, "the same leg");
    assert_eq!(node.media.stance(call, leg), Some(ports::Stance::Talk));
    node.media.connect(call).expect("both have a leg");
    node.until_status("u1", call, "answered").await;
    node.stop().await;
}
