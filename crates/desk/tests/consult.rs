//! A colleague is consulted: he rings, speaks apart, joins, takes the call over or goes; and what each end leaves.

#![cfg(test)]

mod common;
#[path = "scene/talk.rs"]
mod talk;
#[path = "consult/voices.rs"]
mod voices;

use call_model::{CallId, LegId, OfferId};
use common::{Told, World, customer, service, staff_id};
use desk::{Caller, Code};
use ports::{Cause, Stance};
use talk::{history, online, plan, stance, talking};
use uuid::Uuid;
use wire::call::SuperviseMode::{self, Barge, Monitor, Whisper};
use wire::call::{CallView, ConsultStart, ConsultState, ConsultStep, Mute, Supervise, SuperviseEnd};
use wire::leg::Part;
use wire::offer::{OfferAccepted, OfferKind};
use wire::staff::StaffRole;

/// Two agents of one call, or a call without one.
const BROKEN: &str = "select count(*) from public.voice_calls c where c.status = 'answered' and 1 <> (
    select count(*) from helpline.offers o where o.call_id = c.id and o.kind = 'primary' and o.state = 'accepted'
        and o.staff_id = c.assigned_staff_id)";
const HELD: &str = "select s.staff_name || ' ' || o.kind || ' ' || o.state from helpline.offers o
    join helpline.staff s on s.id = o.staff_id where o.state in ('pending', 'accepted', 'wrapping')
    order by s.staff_name";
const OPEN: &str = "select kind from helpline.call_intervals where ended_at is null order by kind";

fn whom(staff: &Caller) -> ConsultStart {
    ConsultStart {
        staff_id: staff_id(staff),
        reason: None,
    }
}

const fn step() -> ConsultStep {
    ConsultStep { reason: None }
}

/// A call of amina's in talk, and baraka, who can be asked.
async fn scene() -> Option<(World, Caller, Caller, CallId)> {
    let mut world = World::new().await?;
    let amina = world.staff("amina", StaffRole::Agent).await;
    let baraka = world.staff("baraka", StaffRole::Agent).await;
    online(&world, &baraka).await;
    let call = talking(&mut world, "u1", &amina).await;
    Some((world, amina, baraka, call))
}

async fn accept(world: &World, partner: &Caller) -> OfferAccepted {
    let offer = world.desk.offers(partner).await.unwrap().remove(0).offer_id;
    let offer = OfferId(offer.as_u128());
    world.desk.accept_offer(partner, offer).await.unwrap()
}

/// Asks baraka and lets him answer; his line is up.
async fn consulted(world: &mut World, amina: &Caller, baraka: &Caller, call: CallId) -> Uuid {
    world.desk.consult(amina, call, whom(baraka)).await.unwrap();
    let accepted = accept(world, baraka).await;
    world
        .run(
            "update helpline.call_legs set state = 'up', up_at = clock_timestamp()
            where part = 'partner' and state = 'granted'",
        )
        .await;
    accepted.leg.leg_id
}

async fn stances(world: &mut World) -> [Option<Stance>; 3] {
    [
        stance(world, "customer").await,
        stance(world, "agent").await,
        stance(world, "partner").await,
    ]
}

fn state_of(view: &CallView) -> Option<ConsultState> {
    view.consult.as_ref().map(|consult| consult.state)
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one call, from its beginning to its end")]
async fn a_colleague_is_asked_answers_and_gets_the_call() {
    let Some((mut world, amina, baraka, call)) = scene().await else {
        return;
    };
    let wanted = ConsultStart {
        reason: Some("loans".to_owned()),
        ..whom(&baraka)
    };
    let ringing = world.desk.consult(&amina, call, wanted).await.unwrap();
    assert_eq!(state_of(&ringing), Some(ConsultState::Ringing));
    assert_eq!(ringing.held_since, None, "hold is something else");
    let shown = world.desk.call(&customer("u1"), call).await.unwrap();
    assert!(
        shown.held_since.is_some() && shown.consult.is_none(),
        "he hears music; why is not his affair"
    );
    assert_eq!(stance(&mut world, "customer").await, Some(Stance::Held));
    let offers = world.desk.offers(&baraka).await.unwrap();
    assert_eq!(offers.len(), 1);
    assert_eq!(
        (
            offers[0].kind,
            offers[0].from_name.as_deref(),
            offers[0].customer_name.as_str()
        ),
        (OfferKind::Consult, Some("amina"), "Customer u1")
    );
    assert_eq!(
        offers[0].expires_at.0.since(offers[0].offered_at.0),
        call_model::consult::RING
    );

    let accepted = accept(&world, &baraka).await;
    assert_eq!(
        (accepted.leg.part, state_of(&accepted.call)),
        (Part::Partner, Some(ConsultState::Talking))
    );
    assert_eq!(
        stances(&mut world).await,
        [Some(Stance::Held), Some(Stance::Consult), Some(Stance::Consult)]
    );
    let still = world.desk.call(&customer("u1"), call).await.unwrap();
    assert_eq!(still.held_since, shown.held_since, "the music goes on");
    let again = world.desk.grant_leg(&baraka, call, None).await.unwrap();
    assert_eq!(
        (again.part, again.leg_id),
        (Part::Partner, accepted.leg.leg_id),
        "after a reload"
    );
    let refused = world.desk.consult_complete(&amina, call, step()).await.unwrap_err();
    assert_eq!(refused.code, Code::IllegalTransition, "he has no sound yet");
    world
        .run(
            "update helpline.call_legs set state = 'up', up_at = clock_timestamp()
            where part = 'partner' and state = 'granted'",
        )
        .await;

    let done = world.desk.consult_complete(&amina, call, step()).await.unwrap();
    assert_eq!(
        (done.agent_name.as_deref(), done.agent_id),
        (Some("baraka"), Some(staff_id(&baraka)))
    );
    assert_eq!(
        world.texts(HELD).await,
        ["amina primary wrapping", "baraka primary accepted"]
    );
    assert_eq!(world.count(BROKEN).await, 0);
    assert_eq!(world.texts(OPEN).await, Vec::<String>::new());
    assert_eq!(
        stances(&mut world).await,
        [Some(Stance::Talk), Some(Stance::Talk), None],
        "his leg is the agent's"
    );
    let leg = LegId(accepted.leg.leg_id.as_u128());
    let heard = world.media.heard();
    assert!(heard.contains(&Told::Part(leg, ports::Part::Agent)));
    assert!(
        heard
            .iter()
            .any(|told| matches!(told, Told::CloseLeg(_, Cause::HangUp)))
    );
    assert_eq!(
        history(&mut world).await,
        ["call.consult_started", "call.consult_answered", "call.owner_changed"]
    );
    assert_eq!(
        world
            .texts(
                "select (data ->> 'from') || ' to ' || (data ->> 'to') from helpline.call_events
                where kind = 'call.owner_changed'"
            )
            .await,
        ["amina to baraka"]
    );
    for (audience, kinds) in [
        (staff_id(&amina).to_string(), 3),
        (staff_id(&baraka).to_string(), 2),
        ("u1".to_owned(), 3),
    ] {
        let told: i64 = sqlx::query_scalar(
            "select count(*) from helpline.hub_events where audience_id = $1
                and kind in ('call.consulting', 'call.transferred')",
        )
        .bind(&audience)
        .fetch_one(&mut world.eye)
        .await
        .unwrap();
        assert_eq!(told, kinds, "{audience}");
    }
    // Twice is once, also for who has left; and the new agent ends it.
    world.desk.consult_complete(&amina, call, step()).await.unwrap();
    assert_eq!(history(&mut world).await.len(), 3);
    world.desk.end_wrap_up(&amina, call).await.unwrap();
    assert_eq!(
        world.desk.hold(&amina, call, None).await.unwrap_err().code,
        Code::NotFound,
        "it is nothing of hers any more"
    );
    world.desk.hang_up(&baraka, call, None).await.unwrap();
    assert_eq!(world.texts(HELD).await, ["baraka primary wrapping"]);
}

#[tokio::test]
async fn three_speak_and_then_one_leaves() {
    let Some((mut world, amina, baraka, call)) = scene().await else {
        return;
    };
    world.desk.hold(&amina, call, None).await.unwrap();
    let leg = consulted(&mut world, &amina, &baraka, call).await;
    let three = world.desk.consult_merge(&amina, call, step()).await.unwrap();
    assert_eq!(
        (state_of(&three), three.held_since),
        (Some(ConsultState::Conference), None)
    );
    assert_eq!(stances(&mut world).await, [Some(Stance::Talk); 3]);
    assert_eq!(world.texts(OPEN).await, ["conference"]);
    world.desk.consult_merge(&amina, call, step()).await.unwrap();
    let kinds = [
        "call.held",
        "call.consult_started",
        "call.consult_answered",
        "call.resumed",
        "call.consult_merged",
    ];
    assert_eq!(history(&mut world).await, kinds, "twice is once");
    let shown = world.desk.call(&customer("u1"), call).await.unwrap();
    assert_eq!(shown.held_since, None);

    // The colleague mutes himself and nobody else.
    let mute = |part| Mute { part, reason: None };
    let refused = world.desk.mute(&baraka, call, mute(Part::Customer)).await.unwrap_err();
    assert_eq!(refused.code, Code::Forbidden);
    world.desk.mute(&baraka, call, mute(Part::Partner)).await.unwrap();
    assert_eq!(stance(&mut world, "partner").await, Some(Stance::Muted));

    // He leaves for himself, and takes his mute along.
    let left = world.desk.hang_up(&baraka, call, None).await.unwrap();
    assert_eq!((left.status, left.consult), (wire::call::CallStatus::Answered, None));
    assert_eq!(
        stances(&mut world).await,
        [Some(Stance::Talk), Some(Stance::Talk), None]
    );
    assert!(
        world
            .media
            .heard()
            .contains(&Told::CloseLeg(LegId(leg.as_u128()), Cause::HangUp))
    );
    assert_eq!(world.texts(OPEN).await, Vec::<String>::new());
    assert_eq!(
        world.texts(HELD).await,
        ["amina primary accepted"],
        "he writes nothing up"
    );
    assert_eq!(
        world
            .texts("select data ->> 'reason' from helpline.hub_events where kind = 'offer.ended' order by id")
            .await,
        ["accepted", "accepted", "completed"]
    );
    assert_eq!(
        world.desk.hang_up(&baraka, call, None).await.unwrap_err().code,
        Code::NotFound,
        "the call is nothing of his any more"
    );
    assert_eq!(world.count(BROKEN).await, 0);

    // He can be asked again, and in the conference the agent may leave him the customer.
    consulted(&mut world, &amina, &baraka, call).await;
    world.desk.consult_merge(&amina, call, step()).await.unwrap();
    world.desk.consult_complete(&amina, call, step()).await.unwrap();
    assert_eq!(
        world.texts(HELD).await,
        ["amina primary wrapping", "baraka primary accepted"]
    );
    assert_eq!(world.count(BROKEN).await, 0);
}

#[tokio::test]
async fn the_agent_goes_back_to_the_customer_from_every_state() {
    let Some((mut world, amina, baraka, call)) = scene().await else {
        return;
    };
    world.desk.consult_cancel(&amina, call, step()).await.unwrap();
    assert!(history(&mut world).await.is_empty(), "nobody was asked");
    for merged in [None, Some(false), Some(true)] {
        if let Some(merged) = merged {
            consulted(&mut world, &amina, &baraka, call).await;
            if merged {
                world.desk.consult_merge(&amina, call, step()).await.unwrap();
            }
        } else {
            world.desk.consult(&amina, call, whom(&baraka)).await.unwrap();
        }
        let back = world.desk.consult_cancel(&amina, call, step()).await.unwrap();
        assert_eq!(back.consult, None);
        assert_eq!(
            stances(&mut world).await,
            [Some(Stance::Talk), Some(Stance::Talk), None]
        );
        assert_eq!(world.texts(OPEN).await, Vec::<String>::new());
        assert_eq!(world.texts(HELD).await, ["amina primary accepted"]);
        assert_eq!(world.desk.offers(&baraka).await.unwrap(), []);
        world.desk.consult_cancel(&amina, call, step()).await.unwrap();
    }
    let ends = world
        .texts("select data ->> 'reason' from helpline.call_events where kind = 'call.consult_ended'")
        .await;
    assert_eq!(ends, ["cancelled"; 3]);
    assert_eq!(
        world
            .texts("select state || ' ' || coalesce(reason, '') from helpline.offers where kind = 'consult' order by created_at")
            .await,
        ["rescinded withdrawn", "completed ", "completed "]
    );
}

#[tokio::test]
async fn a_no_gives_the_customer_back_and_costs_the_colleague_nothing_more() {
    let Some((mut world, amina, baraka, call)) = scene().await else {
        return;
    };
    world.desk.consult(&amina, call, whom(&baraka)).await.unwrap();
    let offer = OfferId(world.desk.offers(&baraka).await.unwrap()[0].offer_id.as_u128());
    world.desk.reject_offer(&baraka, offer, None).await.unwrap();
    world.desk.reject_offer(&baraka, offer, None).await.unwrap();
    assert_eq!(stance(&mut world, "customer").await, Some(Stance::Talk));
    assert_eq!(
        world.desk.accept_offer(&baraka, offer).await.unwrap_err().code,
        Code::OfferLost
    );
    assert_eq!(
        history(&mut world).await,
        ["call.consult_started", "offer.rejected", "call.consult_ended"]
    );
    assert_eq!(
        world.desk.call(&amina, call).await.unwrap().status,
        wire::call::CallStatus::Answered
    );
    world
        .desk
        .consult(&amina, call, whom(&baraka))
        .await
        .expect("he may be asked again");
}

#[tokio::test]
async fn whatever_ends_the_call_ends_the_consultation() {
    let Some((mut world, amina, baraka, call)) = scene().await else {
        return;
    };
    world.desk.consult(&amina, call, whom(&baraka)).await.unwrap();
    world.desk.hang_up(&customer("u1"), call, None).await.unwrap();
    assert_eq!(world.texts(HELD).await, ["amina primary wrapping"]);
    assert_eq!(world.texts(OPEN).await, Vec::<String>::new());
    world.desk.end_wrap_up(&amina, call).await.unwrap();

    let call = talking(&mut world, "u2", &amina).await;
    consulted(&mut world, &amina, &baraka, call).await;
    world.desk.hang_up(&amina, call, None).await.unwrap();
    assert_eq!(
        world.texts(HELD).await,
        ["amina primary wrapping"],
        "the colleague is free"
    );
    assert_eq!(
        world
            .texts("select data ->> 'reason' from helpline.call_events where kind = 'call.consult_ended'")
            .await,
        ["call_ended"; 2]
    );
    assert_eq!(
        world
            .texts("select coalesce(reason, state) from helpline.offers where kind = 'consult' order by created_at")
            .await,
        ["customer_left", "completed"]
    );
}

async fn code(world: &World, who: &Caller, call: CallId, partner: &Caller) -> Option<Code> {
    world
        .desk
        .consult(who, call, whom(partner))
        .await
        .err()
        .map(|no| no.code)
}

#[tokio::test]
async fn who_cannot_be_asked_is_refused_by_name_and_nothing_changes() {
    let Some((mut world, amina, baraka, call)) = scene().await else {
        return;
    };
    let offline = world.staff("chui", StaffRole::Agent).await;
    let third = world.staff("dalila", StaffRole::Agent).await;
    online(&world, &third).await;
    for partner in [&amina, &offline] {
        assert_eq!(code(&world, &amina, call, partner).await, Some(Code::IllegalTransition));
    }
    let nobody = ConsultStart {
        staff_id: Uuid::from_u128(9),
        reason: None,
    };
    assert_eq!(
        world.desk.consult(&amina, call, nobody).await.unwrap_err().code,
        Code::Validation
    );
    for who in [&baraka, &third] {
        assert!(matches!(
            code(&world, who, call, &baraka).await,
            Some(Code::NotFound | Code::Forbidden)
        ));
    }
    assert_eq!(
        code(&world, &customer("u1"), call, &baraka).await,
        Some(Code::Forbidden)
    );
    for what in [
        world.desk.consult_complete(&amina, call, step()).await,
        world.desk.consult_merge(&amina, call, step()).await,
    ] {
        assert_eq!(what.unwrap_err().code, Code::IllegalTransition, "nobody is consulted");
    }
    assert_eq!(stance(&mut world, "customer").await, Some(Stance::Talk));
    assert!(history(&mut world).await.is_empty());

    world.desk.consult(&amina, call, whom(&baraka)).await.unwrap();
    assert_eq!(code(&world, &amina, call, &baraka).await, None, "twice is once");
    assert_eq!(history(&mut world).await, ["call.consult_started"]);
    assert_eq!(code(&world, &amina, call, &third).await, Some(Code::IllegalTransition));
    assert_eq!(
        world.desk.consult_merge(&amina, call, step()).await.unwrap_err().code,
        Code::IllegalTransition,
        "he is only asked"
    );
    accept(&world, &baraka).await;
    for what in [
        world.desk.consult_complete(&baraka, call, step()).await,
        world.desk.consult_merge(&baraka, call, step()).await,
        world.desk.consult_cancel(&baraka, call, step()).await,
        world.desk.hold(&baraka, call, None).await,
    ] {
        assert_eq!(what.unwrap_err().code, Code::Forbidden, "the call is amina's");
    }
    // Who takes part in one call has no slot for another.
    let other = talking(&mut world, "u2", &third).await;
    assert_eq!(
        code(&world, &third, other, &baraka).await,
        Some(Code::IllegalTransition)
    );
    assert!(
        world.desk.consult_cancel(&service(), call, step()).await.is_ok(),
        "a service may"
    );
}

#[tokio::test]
async fn a_colleague_is_asked_by_one_of_two_at_once() {
    let Some((mut world, amina, baraka, call)) = scene().await else {
        return;
    };
    let dalila = world.staff("dalila", StaffRole::Agent).await;
    let other = talking(&mut world, "u2", &dalila).await;
    for _ in 0..5 {
        let (one, two) = tokio::join!(
            world.desk.consult(&amina, call, whom(&baraka)),
            world.desk.consult(&dalila, other, whom(&baraka))
        );
        let (won, lost) = match (one, two) {
            (Ok(_), Err(refused)) => ((&amina, call), refused),
            (Err(refused), Ok(_)) => ((&dalila, other), refused),
            both => panic!("{both:?}"),
        };
        assert_eq!(lost.code, Code::IllegalTransition);
        let (agent, call) = won;
        // Yes and "never mind" at once: either way nobody is left behind.
        let offer = OfferId(world.desk.offers(&baraka).await.unwrap()[0].offer_id.as_u128());
        let (yes, no) = tokio::join!(
            world.desk.accept_offer(&baraka, offer),
            world.desk.consult_cancel(agent, call, step())
        );
        no.unwrap();
        if let Err(refused) = yes {
            assert_eq!(refused.code, Code::OfferLost);
        }
        assert_eq!(world.texts(OPEN).await, Vec::<String>::new());
        assert_eq!(world.count(BROKEN).await, 0);
        assert_eq!(
            world
                .count("select count(*) from helpline.offers where kind = 'consult' and ended_at is null")
                .await,
            0
        );
    }
}

#[tokio::test]
async fn completing_and_cancelling_at_once_does_one_of_them() {
    let Some((mut world, amina, baraka, call)) = scene().await else {
        return;
    };
    consulted(&mut world, &amina, &baraka, call).await;
    let (complete, cancel) = tokio::join!(
        world.desk.consult_complete(&amina, call, step()),
        world.desk.consult_cancel(&amina, call, step())
    );
    assert!(complete.is_ok() != cancel.is_ok(), "{complete:?} {cancel:?}");
    assert_eq!(world.count(BROKEN).await, 0);
    assert_eq!(world.texts(OPEN).await, Vec::<String>::new());
    let last = history(&mut world).await.pop().unwrap();
    assert_eq!(last == "call.owner_changed", complete.is_ok(), "{last}");
    assert!(plan(&world).stances.iter().all(|(_, stance)| *stance == Stance::Talk));
}

#[tokio::test]
async fn muted_and_apart_at_once_the_others_still_speak() {
    let Some((mut world, amina, baraka, call)) = scene().await else {
        return;
    };
    consulted(&mut world, &amina, &baraka, call).await;
    let mute = Mute {
        part: Part::Partner,
        reason: None,
    };
    world.desk.mute(&amina, call, mute.clone()).await.unwrap();
    assert_eq!(
        stances(&mut world).await,
        [Some(Stance::Held), Some(Stance::Talk), Some(Stance::Muted)],
        "the customer is on music, so nobody of them is heard by him"
    );
    world.desk.unmute(&baraka, call, mute).await.unwrap();
    assert_eq!(
        stances(&mut world).await,
        [Some(Stance::Held), Some(Stance::Consult), Some(Stance::Consult)]
    );
}
