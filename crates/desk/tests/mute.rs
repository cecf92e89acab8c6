//! Mute at the server: who may mute whom, what media is told, how it goes with hold, and what is left of it.

#![cfg(test)]

mod common;
#[path = "scene/talk.rs"]
mod talk;

use call_model::{CallId, LegId, OfferId};
use common::{World, customer, service, staff_id};
use desk::{Caller, Code};
use ports::{Cause, EventKind, LegSummary, MediaEvent, Stance};
use talk::{history, online, plan, stance, talking};
use tokio_util::sync::CancellationToken;
use wire::call::{ConsultStart, ConsultStep, Mute, Supervise, SuperviseMode};
use wire::leg::Part;
use wire::staff::StaffRole;

fn of(part: Part) -> Mute {
    Mute { part, reason: None }
}

/// Mutes by others and by the parties themselves.
const OPEN: &str =
    "select count(*) from helpline.call_intervals where kind in ('mute', 'self_mute') and ended_at is null";

#[tokio::test]
async fn a_muted_customer_is_heard_by_nobody_and_hold_comes_before_it() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let call = talking(&mut world, "u1", &agent).await;
    let before = plan(&world).epoch;
    let loud = Mute {
        part: Part::Customer,
        reason: Some("a drill beside him".to_owned()),
    };
    let muted = world.desk.mute(&agent, call, loud).await.unwrap();
    assert_eq!(muted.muted, [Part::Customer]);
    assert!(plan(&world).epoch > before);
    assert_eq!(stance(&mut world, "customer").await, Some(Stance::Muted));
    assert_eq!(stance(&mut world, "agent").await, Some(Stance::Talk));
    let shown = world.desk.call(&customer("u1"), call).await.unwrap();
    assert_eq!(shown.muted, [Part::Customer], "he is told that nobody hears him");

    world.desk.hold(&agent, call, None).await.unwrap();
    assert_eq!(stance(&mut world, "customer").await, Some(Stance::Held));
    let back = world.desk.resume(&agent, call, None).await.unwrap();
    assert_eq!((back.held_since, back.muted), (None, vec![Part::Customer]));
    assert_eq!(stance(&mut world, "customer").await, Some(Stance::Muted));

    world.desk.hold(&agent, call, None).await.unwrap();
    world.desk.unmute(&agent, call, of(Part::Customer)).await.unwrap();
    assert_eq!(stance(&mut world, "customer").await, Some(Stance::Held));
    world.desk.resume(&agent, call, None).await.unwrap();
    assert_eq!(stance(&mut world, "customer").await, Some(Stance::Talk));

    assert_eq!(
        history(&mut world).await,
        [
            "call.muted",
            "call.held",
            "call.resumed",
            "call.held",
            "call.unmuted",
            "call.resumed"
        ]
    );
    assert_eq!(
        world
            .texts(
                "select actor || ', ' || (data ->> 'part') || ', ' || (data ->> 'reason')
                from helpline.call_events where kind = 'call.muted'"
            )
            .await,
        ["staff:amina, customer, a drill beside him"]
    );
    assert_eq!(
        world
            .count(
                "select count(*) from helpline.call_intervals i join helpline.call_legs l on l.id = i.leg_id
                join helpline.staff s on s.id = i.staff_id
                where i.kind = 'mute' and l.part = 'customer' and s.staff_name = 'amina' and i.ended_at is not null"
            )
            .await,
        1
    );
    assert_eq!(
        world
            .count("select count(*) from support_activity_logs where action = 'call.muted' and reason is not null")
            .await,
        1
    );
}

#[tokio::test]
async fn twice_is_once_and_the_customer_is_not_told_of_others() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let call = talking(&mut world, "u1", &agent).await;
    world.desk.unmute(&agent, call, of(Part::Agent)).await.unwrap();
    assert!(history(&mut world).await.is_empty(), "who is heard is not made heard");
    let (one, two) = tokio::join!(
        world.desk.mute(&agent, call, of(Part::Agent)),
        world.desk.mute(&agent, call, of(Part::Agent))
    );
    assert_eq!(
        (one.unwrap().muted, two.unwrap().muted),
        (vec![Part::Agent], vec![Part::Agent])
    );
    assert_eq!(history(&mut world).await, ["call.muted"]);
    assert_eq!(stance(&mut world, "agent").await, Some(Stance::Muted));
    assert!(world.desk.call(&customer("u1"), call).await.unwrap().muted.is_empty());
    assert_eq!(
        world
            .texts("select audience from helpline.hub_events where kind = 'call.muted'")
            .await,
        ["staff"]
    );
    // A page that is loaded anew finds the same.
    let epoch = plan(&world).epoch;
    world.desk.grant_leg(&agent, call, None).await.unwrap();
    assert_eq!(plan(&world).epoch, epoch);
    assert_eq!(stance(&mut world, "agent").await, Some(Stance::Muted));
    world.desk.hang_up(&agent, call, None).await.unwrap();
    assert_eq!(world.count(OPEN).await, 0, "the end of the call ends it");
}

#[tokio::test]
async fn the_agent_may_everybody_others_by_permission_and_only_with_sound() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let other = world.staff("baraka", StaffRole::Agent).await;
    let lead = world.staff("lulu", StaffRole::TeamLead).await;
    let supervisor = world.staff("sue", StaffRole::Supervisor).await;
    let admin = world.promote(&supervisor, "admin").await;
    async fn code(world: &World, who: &Caller, call: CallId, part: Part) -> Option<Code> {
        world.desk.mute(who, call, of(part)).await.err().map(|no| no.code)
    }
    let early = world.call("u0").await;
    assert_eq!(
        code(&world, &admin, early, Part::Customer).await,
        Some(Code::IllegalTransition)
    );
    world.desk.hang_up(&customer("u0"), early, None).await.unwrap();

    let call = talking(&mut world, "u1", &agent).await;
    assert_eq!(
        code(&world, &customer("u1"), call, Part::Agent).await,
        Some(Code::Forbidden)
    );
    for part in [Part::Customer, Part::Agent] {
        assert_eq!(code(&world, &customer("u2"), call, part).await, Some(Code::NotFound));
        assert!(matches!(
            code(&world, &other, call, part).await,
            Some(Code::Forbidden | Code::NotFound)
        ));
        assert_eq!(code(&world, &lead, call, part).await, Some(Code::Forbidden));
    }
    for part in [Part::Supervisor, Part::Preflight] {
        assert_eq!(code(&world, &agent, call, part).await, Some(Code::Validation));
    }
    assert_eq!(
        code(&world, &agent, call, Part::Partner).await,
        Some(Code::IllegalTransition),
        "nobody is consulted"
    );
    let long = Mute {
        part: Part::Agent,
        reason: Some("x".repeat(65)),
    };
    assert_eq!(
        world.desk.mute(&agent, call, long).await.unwrap_err().code,
        Code::Validation
    );
    assert_eq!(world.count(OPEN).await, 0, "a refusal changes nothing");

    assert_eq!(
        code(&world, &admin, call, Part::Agent).await,
        None,
        "who may join may mute"
    );
    assert_eq!(code(&world, &service(), call, Part::Customer).await, None);
    assert_eq!(world.count(OPEN).await, 2);
    world.desk.hang_up(&agent, call, None).await.unwrap();
    assert_eq!(
        code(&world, &agent, call, Part::Agent).await,
        Some(Code::IllegalTransition)
    );
}

/// Media says that the agent's line is lost; the call is back in the queue.
async fn lost(world: &mut World, call: CallId) {
    let id = world
        .texts("select id::text from helpline.call_legs where part = 'agent' and state <> 'down'")
        .await;
    let leg = LegId(id[0].parse::<uuid::Uuid>().unwrap().as_u128());
    world.media.report(MediaEvent {
        room: call,
        seq: 1,
        node_epoch: 1,
        age_ms: 0,
        kind: EventKind::LegDown {
            leg,
            cause: Cause::Lost,
            summary: LegSummary::default(),
        },
    });
    let stop = CancellationToken::new();
    let (desk, token) = (world.desk.clone(), stop.clone());
    let running = tokio::spawn(async move { desk.run(token).await });
    while history(world).await.last().map(String::as_str) != Some("call.requeued") {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn the_end_of_a_leg_ends_its_mute() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let call = talking(&mut world, "u1", &agent).await;
    world.desk.mute(&agent, call, of(Part::Agent)).await.unwrap();
    lost(&mut world, call).await;
    assert_eq!(world.count(OPEN).await, 0);
}

/// Who unmutes whom, and how he is refused; `None` when he is not.
async fn unmuted(world: &World, who: &Caller, call: CallId, part: Part) -> Option<Code> {
    world.desk.unmute(who, call, of(part)).await.err().map(|no| no.code)
}

#[tokio::test]
async fn a_customer_mutes_himself_for_all_and_nobody_else_opens_his_microphone() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let sue = world.staff("sue", StaffRole::Supervisor).await;
    let admin = world.promote(&sue, "admin").await;
    let call = talking(&mut world, "u1", &agent).await;
    let himself = customer("u1");
    let shown = world.desk.mute(&himself, call, of(Part::Customer)).await.unwrap();
    assert_eq!(
        (shown.muted, shown.muted_self),
        (vec![Part::Customer], vec![Part::Customer])
    );
    assert_eq!(stance(&mut world, "customer").await, Some(Stance::Muted));
    let seen = world.desk.call(&agent, call).await.unwrap();
    assert_eq!(
        (seen.muted, seen.muted_self, seen.muted_by_others),
        (vec![Part::Customer], vec![Part::Customer], vec![])
    );
    for other in [&agent, &admin, &service()] {
        assert_eq!(
            unmuted(&world, other, call, Part::Customer).await,
            Some(Code::Forbidden)
        );
    }

    // The agent's mute is another one: each is taken back by whose it is.
    world.desk.mute(&agent, call, of(Part::Customer)).await.unwrap();
    let both = world.desk.mute(&agent, call, of(Part::Customer)).await.unwrap();
    assert_eq!(
        (both.muted, both.muted_self, both.muted_by_others),
        (vec![Part::Customer], vec![Part::Customer], vec![Part::Customer])
    );
    assert_eq!(world.count(OPEN).await, 2);
    let back = world.desk.unmute(&himself, call, of(Part::Customer)).await.unwrap();
    assert_eq!((back.muted, back.muted_self), (vec![Part::Customer], vec![]));
    assert_eq!(back.muted_by_others, [Part::Customer], "he is told whose it is");
    assert_eq!(stance(&mut world, "customer").await, Some(Stance::Muted));
    assert_eq!(
        unmuted(&world, &himself, call, Part::Customer).await,
        Some(Code::Forbidden),
        "what the agent has set he does not take back"
    );
    let heard = world.desk.unmute(&agent, call, of(Part::Customer)).await.unwrap();
    assert!(heard.muted.is_empty() && heard.muted_self.is_empty());
    assert_eq!(stance(&mut world, "customer").await, Some(Stance::Talk));
    assert_eq!(
        world
            .texts(
                "select concat_ws(' ', kind, actor, data ->> 'own') from helpline.call_events
                where kind in ('call.muted', 'call.unmuted') order by seq"
            )
            .await,
        [
            "call.muted customer true",
            "call.muted staff:amina",
            "call.unmuted customer true",
            "call.unmuted staff:amina"
        ]
    );
}

#[tokio::test]
async fn an_agent_whom_a_supervisor_has_muted_is_heard_when_the_supervisor_wants_it() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let sue = world.staff("sue", StaffRole::Supervisor).await;
    let admin = world.promote(&sue, "admin").await;
    let call = talking(&mut world, "u1", &agent).await;
    let own = world.desk.mute(&agent, call, of(Part::Agent)).await.unwrap();
    assert_eq!(own.muted_self, [Part::Agent]);
    world.desk.mute(&admin, call, of(Part::Agent)).await.unwrap();
    let back = world.desk.unmute(&agent, call, of(Part::Agent)).await.unwrap();
    assert_eq!((back.muted, back.muted_self), (vec![Part::Agent], vec![]));
    assert_eq!(unmuted(&world, &agent, call, Part::Agent).await, Some(Code::Forbidden));
    assert_eq!(stance(&mut world, "agent").await, Some(Stance::Muted));
    assert_eq!(unmuted(&world, &admin, call, Part::Agent).await, None);
    assert_eq!(stance(&mut world, "agent").await, Some(Stance::Talk));

    // Of the customer too, whom the agent had muted before.
    world.desk.mute(&agent, call, of(Part::Customer)).await.unwrap();
    world.desk.mute(&admin, call, of(Part::Customer)).await.unwrap();
    assert_eq!(world.count(OPEN).await, 1, "the supervisor's in place of the agent's");
    assert_eq!(
        unmuted(&world, &agent, call, Part::Customer).await,
        Some(Code::Forbidden)
    );
    world.desk.mute(&agent, call, of(Part::Customer)).await.unwrap();
    assert_eq!(
        unmuted(&world, &agent, call, Part::Customer).await,
        Some(Code::Forbidden),
        "muting him again makes it not the agent's own"
    );
    assert_eq!(unmuted(&world, &service(), call, Part::Customer).await, None);
    assert_eq!(stance(&mut world, "customer").await, Some(Stance::Talk));
}

#[tokio::test]
async fn a_page_that_mutes_and_unmutes_without_end_fills_no_history() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let call = talking(&mut world, "u1", &agent).await;
    // 239 of the 240 that a leg may have.
    world
        .run(
            "insert into helpline.call_intervals (call_id, kind, leg_id, started_at, ended_at)
            select l.call_id, 'self_mute', l.id, l.granted_at, l.granted_at
            from helpline.call_legs l, generate_series(1, 239) where l.part = 'customer'",
        )
        .await;
    let himself = customer("u1");
    world.desk.mute(&himself, call, of(Part::Customer)).await.unwrap();
    assert_eq!(
        unmuted(&world, &himself, call, Part::Customer).await,
        None,
        "never kept muted"
    );
    let refused = world.desk.mute(&himself, call, of(Part::Customer)).await.unwrap_err();
    assert_eq!(refused.code, Code::RateLimited);
    assert_eq!(stance(&mut world, "customer").await, Some(Stance::Talk));
    world.desk.mute(&agent, call, of(Part::Customer)).await.unwrap();

    // What one has used up is not missed by the other.
    world.desk.mute(&agent, call, of(Part::Agent)).await.unwrap();
    assert_eq!(stance(&mut world, "agent").await, Some(Stance::Muted));
}

/// The agent asks a colleague, who answers, and passes the call on to him.
async fn passed_on(world: &mut World, call: CallId, from: &Caller, to: &Caller) {
    let whom = ConsultStart {
        staff_id: staff_id(to),
        reason: None,
    };
    world.desk.consult(from, call, whom).await.unwrap();
    let offer = world.desk.offers(to).await.unwrap().remove(0).offer_id;
    world.desk.accept_offer(to, OfferId(offer.as_u128())).await.unwrap();
    world
        .run("update helpline.call_legs set state = 'up', up_at = clock_timestamp() where part = 'partner'")
        .await;
    let how = ConsultStep { reason: None };
    world.desk.consult_complete(from, call, how).await.unwrap();
}

/// Who was heard again, by whose hand.
async fn heard_again(world: &mut World) -> Vec<String> {
    world
        .texts(
            "select actor || ' ' || (data ->> 'part') from helpline.call_events where kind = 'call.unmuted' order by seq",
        )
        .await
}

#[tokio::test]
async fn what_a_supervisor_has_muted_stays_so_when_the_agent_passes_the_call_on() {
    let Some(mut world) = World::new().await else { return };
    let amina = world.staff("amina", StaffRole::Agent).await;
    let baraka = world.staff("baraka", StaffRole::Agent).await;
    let sue = world.staff("sue", StaffRole::Supervisor).await;
    let admin = world.promote(&sue, "admin").await;
    online(&world, &baraka).await;
    let call = talking(&mut world, "u1", &amina).await;
    world.desk.mute(&admin, call, of(Part::Customer)).await.unwrap();
    passed_on(&mut world, call, &amina, &baraka).await;
    assert_eq!(stance(&mut world, "customer").await, Some(Stance::Muted));
    assert_eq!(stance(&mut world, "agent").await, Some(Stance::Talk));
    assert!(heard_again(&mut world).await.is_empty());
    assert_eq!(
        unmuted(&world, &baraka, call, Part::Customer).await,
        Some(Code::Forbidden),
        "it is no more the new agent's than it was the former one's"
    );
    // Who takes it over and may end it does, and it is told.
    let taken = Supervise {
        mode: SuperviseMode::Takeover,
        reason: None,
    };
    world.desk.supervise(&admin, call, taken).await.unwrap();
    assert_eq!(stance(&mut world, "customer").await, Some(Stance::Talk));
    assert_eq!(heard_again(&mut world).await, ["staff:sue customer"]);
    assert_eq!(
        history(&mut world).await[3..],
        ["call.owner_changed", "call.unmuted", "call.taken_over"]
    );
}

#[tokio::test]
async fn what_an_agent_has_muted_ends_when_he_passes_the_call_on_and_it_is_told() {
    let Some(mut world) = World::new().await else { return };
    let amina = world.staff("amina", StaffRole::Agent).await;
    let baraka = world.staff("baraka", StaffRole::Agent).await;
    online(&world, &baraka).await;
    let call = talking(&mut world, "u1", &amina).await;
    world.desk.mute(&amina, call, of(Part::Customer)).await.unwrap();
    passed_on(&mut world, call, &amina, &baraka).await;
    assert_eq!(stance(&mut world, "customer").await, Some(Stance::Talk));
    assert_eq!(heard_again(&mut world).await, ["staff:amina customer"]);
    let shown = world.desk.call(&customer("u1"), call).await.unwrap();
    assert!(shown.muted.is_empty());
}

#[tokio::test]
async fn a_call_that_lost_its_agent_keeps_what_a_supervisor_has_muted_and_not_what_he_has() {
    for by_supervisor in [true, false] {
        let Some(mut world) = World::new().await else { return };
        let amina = world.staff("amina", StaffRole::Agent).await;
        let baraka = world.staff("baraka", StaffRole::Agent).await;
        let sue = world.staff("sue", StaffRole::Supervisor).await;
        let admin = world.promote(&sue, "admin").await;
        let call = talking(&mut world, "u1", &amina).await;
        let who = if by_supervisor { &admin } else { &amina };
        world.desk.mute(who, call, of(Part::Customer)).await.unwrap();
        lost(&mut world, call).await;
        let offer = world.ring(call, &baraka).await;
        world.desk.accept_offer(&baraka, offer).await.unwrap();
        let (expected, told): (_, &[&str]) = if by_supervisor {
            (Stance::Muted, &[])
        } else {
            (Stance::Talk, &["system:media customer"])
        };
        assert_eq!(stance(&mut world, "customer").await, Some(expected));
        assert_eq!(heard_again(&mut world).await, told);
    }
}
