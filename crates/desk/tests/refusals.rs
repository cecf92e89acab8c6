//! Every no of the desk by its stable code, and every limit at n and n + 1.

#![cfg(test)]

mod common;

use call_model::{CallId, OfferId, RecordingId, StaffId};
use common::{SERVICE_KEY, World, customer, service, staff_id, start};
use desk::{
    AWAY_REASON_CHARS_MAX, CONSENT_VERSION_CHARS_MAX, CUSTOMER_EMAIL_BYTES_MAX, CUSTOMER_NAME_CHARS_MAX, CallFilter,
    Caller, Code, REASON_CHARS_MAX, Refused,
};
use ports::{Load, Part, Refusal};
use wire::call::CallStart;
use wire::staff::{PresenceSet, PresenceStatus, StaffCreate, StaffRole, StaffUpdate};

fn code<T: std::fmt::Debug>(result: Result<T, Refused>) -> Code {
    result.expect_err("must be refused").code
}

#[tokio::test]
async fn nobody_gets_in_without_a_credential_that_holds() {
    let Some(world) = World::new().await else { return };
    let auth = world.desk.auth();
    for text in ["", "x", "a.b.c", "hls_AAAA", &"k".repeat(32)] {
        assert_eq!(code(auth.bearer(text).await), Code::Unauthenticated, "{text}");
        assert_eq!(code(auth.staff_session(text).await), Code::Unauthenticated, "{text}");
        assert_eq!(code(auth.ticket(text)), Code::Unauthenticated, "{text}");
    }
    assert!(matches!(auth.bearer(SERVICE_KEY).await.unwrap(), Caller::Service { name } if name == "bank"));

    let call = world.call("u1").await;
    let user = call_model::UserId::new("u1").unwrap();
    let pass = auth.issue_pass(user, call, world.desk.now().await);
    assert!(auth.call_pass(&pass.expose(), call).await.is_ok());
    assert!(
        auth.call_pass(&pass.expose(), call).await.is_ok(),
        "a cookie is shown again and again"
    );
    assert_eq!(
        code(auth.call_pass(&pass.expose(), CallId(1)).await),
        Code::Unauthenticated,
        "for one call only"
    );
    assert_eq!(
        code(auth.bearer(&pass.expose()).await),
        Code::Unauthenticated,
        "a pass is no token"
    );
}

#[tokio::test]
async fn staff_sign_in_with_their_password_until_they_are_put_off() {
    let Some(mut world) = World::new().await else { return };
    let esther = world.staff("esther", StaffRole::Supervisor).await;
    let admin = world.promote(&esther, "admin").await;
    let body = StaffCreate {
        email: "zuri@x.test".to_owned(),
        staff_name: "Zuri".to_owned(),
        role: StaffRole::Agent,
        password: Some("correct horse battery".to_owned()),
        queues: vec!["support".to_owned()],
        max_concurrent_calls: Some(2),
    };
    let made = world.desk.staff_create(&admin, body.clone()).await.unwrap();
    let again = world.desk.staff_create(&admin, body.clone()).await.unwrap_err();
    assert_eq!((again.code, again.fields[0].0.as_str()), (Code::Validation, "email"));
    let auth = world.desk.auth();
    let sign_in = |password: &str| auth.sign_in("ZURI@x.test".to_owned(), password.to_owned());
    assert_eq!(code(sign_in("wrong horse battery").await), Code::Unauthenticated);
    assert_eq!(
        code(auth.sign_in("nobody@x.test".to_owned(), "x".to_owned()).await),
        Code::Unauthenticated
    );
    let (token, caller) = sign_in("correct horse battery").await.unwrap();
    let me = world.desk.me(&caller).await.unwrap();
    assert_eq!((me.staff_name.as_str(), me.role), ("Zuri", StaffRole::Agent));
    assert!(me.permissions.iter().any(|word| word == "contact.handle"));
    auth.sign_out(&caller).await.unwrap();
    auth.sign_out(&caller).await.unwrap();
    assert_eq!(code(auth.bearer(&token.expose()).await), Code::Unauthenticated);

    let (token, _) = sign_in("correct horse battery").await.unwrap();
    let off = StaffUpdate {
        staff_name: None,
        role: None,
        is_active: Some(false),
        max_concurrent_calls: None,
    };
    let id = StaffId(made.id.as_u128());
    assert!(!world.desk.staff_update(&admin, id, off).await.unwrap().is_active);
    assert_eq!(code(auth.bearer(&token.expose()).await), Code::Unauthenticated);
    assert_eq!(code(sign_in("correct horse battery").await), Code::Unauthenticated);
    assert_eq!(code(world.desk.staff_session(&service(), id).await), Code::NotFound);
}

#[tokio::test]
async fn each_role_does_its_own_and_no_more() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let supervisor = world.staff("deka", StaffRole::Supervisor).await;
    let call = world.call("u1").await;
    let desk = &world.desk;
    assert_eq!(
        code(desk.start_call(&customer("u2"), start("u1")).await),
        Code::Forbidden
    );
    assert_eq!(code(desk.start_call(&agent, start("u1")).await), Code::Forbidden);
    assert_eq!(
        code(desk.hang_up(&agent, call, None).await),
        Code::Forbidden,
        "a waiting call is nobody's"
    );
    assert_eq!(
        code(desk.accept_offer(&customer("u1"), OfferId(1)).await),
        Code::Forbidden
    );
    assert_eq!(code(desk.queue_calls(&customer("u1")).await), Code::Forbidden);
    assert_eq!(
        code(desk.calls(&customer("u1"), CallFilter::default()).await),
        Code::Forbidden
    );
    assert_eq!(code(desk.call_events(&customer("u1"), call).await), Code::Forbidden);
    assert_eq!(code(desk.staff_session(&agent, StaffId(1)).await), Code::Forbidden);
    assert_eq!(code(desk.me(&service()).await), Code::Forbidden);
    let body = StaffCreate {
        email: "x@x.test".to_owned(),
        staff_name: "X".to_owned(),
        role: StaffRole::Agent,
        password: None,
        queues: Vec::new(),
        max_concurrent_calls: None,
    };
    assert_eq!(code(desk.staff_create(&supervisor, body).await), Code::Forbidden);

    let offer = world.ring(call, &agent).await;
    world.desk.accept_offer(&agent, offer).await.unwrap();
    let desk = &world.desk;
    assert_eq!(code(desk.grant_leg(&supervisor, call, None).await), Code::Forbidden);
    assert_eq!(
        code(desk.grant_leg(&customer("u1"), call, Some(Part::Agent)).await),
        Code::Forbidden
    );
    assert!(desk.grant_leg(&service(), call, Some(Part::Agent)).await.is_ok());
    assert_eq!(
        code(desk.grant_leg(&service(), call, Some(Part::Supervisor)).await),
        Code::Validation
    );
    assert_eq!(
        desk.hang_up(&supervisor, call, None)
            .await
            .unwrap()
            .end_reason
            .as_deref(),
        Some("staff_hangup")
    );
}

#[tokio::test]
async fn offers_are_lost_expire_and_belong_to_one() {
    let Some(mut world) = World::new().await else { return };
    let amina = world.staff("amina", StaffRole::Agent).await;
    let brian = world.staff("brian", StaffRole::Agent).await;
    let call = world.call("u1").await;
    let offer = world.ring(call, &amina).await;
    assert_eq!(
        code(world.desk.accept_offer(&brian, offer).await),
        Code::NotFound,
        "not even visible"
    );
    assert_eq!(code(world.desk.reject_offer(&brian, offer, None).await), Code::NotFound);
    assert_eq!(code(world.desk.accept_offer(&amina, OfferId(1)).await), Code::NotFound);

    world
        .run("update helpline.offers set expires_at = clock_timestamp() where state = 'pending'")
        .await;
    assert_eq!(code(world.desk.accept_offer(&amina, offer).await), Code::OfferExpired);
    assert_eq!(
        world
            .count("select count(*) from helpline.offers where state = 'pending'")
            .await,
        1,
        "unchanged"
    );
    assert!(
        world.desk.offers(&amina).await.unwrap().is_empty(),
        "what has run out is not shown"
    );

    world.desk.hang_up(&customer("u1"), call, None).await.unwrap();
    assert_eq!(code(world.desk.accept_offer(&amina, offer).await), Code::OfferLost);
    assert_eq!(
        code(world.desk.reject_offer(&amina, offer, None).await),
        Code::OfferLost
    );
    assert_eq!(
        code(world.desk.end_wrap_up(&amina, call).await),
        Code::NotFound,
        "never accepted"
    );
}

#[tokio::test]
async fn steps_out_of_turn_are_illegal() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let call = world.call("u1").await;
    assert_eq!(
        code(world.desk.grant_leg(&customer("u1"), call, None).await),
        Code::IllegalTransition
    );
    let offer = world.ring(call, &agent).await;
    world.desk.accept_offer(&agent, offer).await.unwrap();
    assert_eq!(
        code(world.desk.reject_offer(&agent, offer, None).await),
        Code::IllegalTransition
    );
    assert_eq!(
        code(world.desk.end_wrap_up(&agent, call).await),
        Code::IllegalTransition
    );
    world.desk.hang_up(&customer("u1"), call, None).await.unwrap();
    assert_eq!(
        code(world.desk.grant_leg(&customer("u1"), call, None).await),
        Code::IllegalTransition
    );
}

#[tokio::test]
async fn a_full_or_emptied_node_says_so_but_keeps_what_it_has() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let call = world.call("u1").await;
    let load = |load: Load| *world.media.load.lock().unwrap() = load;
    load(Load {
        legs: 100,
        capacity_legs: 100,
        ..Load::default()
    });
    assert_eq!(
        code(world.desk.start_call(&customer("u2"), start("u2")).await),
        Code::MediaFull
    );
    load(Load {
        capacity_legs: 100,
        draining: true,
        ..Load::default()
    });
    assert_eq!(
        code(world.desk.start_call(&customer("u2"), start("u2")).await),
        Code::Draining
    );
    assert!(world.desk.ready().await.draining);
    load(Load {
        capacity_legs: 100,
        full: true,
        ..Load::default()
    });
    assert_eq!(
        code(world.desk.start_call(&customer("u2"), start("u2")).await),
        Code::MediaFull
    );
    let online = wire::staff::PresenceSet {
        status: wire::staff::PresenceStatus::Online,
        reason: None,
        media_checked: true,
    };
    world.desk.set_presence(&agent, online).await.unwrap();
    let promised = async |world: &World| {
        let view = world.desk.call(&customer("u1"), call).await.unwrap();
        (view.position, view.estimated_wait_seconds)
    };
    assert_eq!(
        promised(&world).await,
        (Some(1), None),
        "nobody is rung while it is full"
    );
    load(Load {
        capacity_legs: 100,
        draining: true,
        ..Load::default()
    });
    assert_eq!(promised(&world).await, (Some(1), Some(0)));
    assert!(
        world.desk.start_call(&customer("u1"), start("u1")).await.is_ok(),
        "his call is there already"
    );
    load(Load {
        legs: 99,
        capacity_legs: 100,
        ..Load::default()
    });
    assert!(world.desk.start_call(&customer("u2"), start("u2")).await.is_ok());
    assert!(world.desk.ready().await.database);

    let offer = world.ring(call, &agent).await;
    *world.media.refuses.lock().unwrap() = Some(Refusal::Unavailable);
    assert_eq!(
        code(world.desk.accept_offer(&agent, offer).await),
        Code::MediaUnavailable
    );
    *world.media.refuses.lock().unwrap() = None;
    assert!(
        world.desk.accept_offer(&agent, offer).await.is_ok(),
        "asked again, the leg is granted"
    );
}

#[tokio::test]
async fn fields_are_taken_up_to_their_limits_and_refused_by_name_beyond() {
    let Some(world) = World::new().await else { return };
    let at = |change: &dyn Fn(&mut CallStart)| {
        let mut body = start("u1");
        change(&mut body);
        body
    };
    let good = [
        at(&|body| body.customer_name = "n".repeat(CUSTOMER_NAME_CHARS_MAX)),
        at(&|body| body.customer_email = "e".repeat(CUSTOMER_EMAIL_BYTES_MAX)),
        at(&|body| body.consent_version = Some("c".repeat(CONSENT_VERSION_CHARS_MAX))),
    ];
    for body in good {
        let call = world.desk.start_call(&customer("u1"), body).await.unwrap().1.call_id;
        world
            .desk
            .hang_up(&customer("u1"), CallId(call.as_u128()), None)
            .await
            .unwrap();
    }
    let bad = [
        ("userId", at(&|body| body.user_id = String::new())),
        (
            "customerName",
            at(&|body| body.customer_name = "n".repeat(CUSTOMER_NAME_CHARS_MAX + 1)),
        ),
        ("customerName", at(&|body| body.customer_name = "a\nb".to_owned())),
        (
            "customerEmail",
            at(&|body| body.customer_email = "e".repeat(CUSTOMER_EMAIL_BYTES_MAX + 1)),
        ),
        (
            "consentVersion",
            at(&|body| body.consent_version = Some("c".repeat(CONSENT_VERSION_CHARS_MAX + 1))),
        ),
        ("callType", at(&|body| body.call_type = "video".to_owned())),
        ("queue", at(&|body| body.queue = Some("nowhere".to_owned()))),
    ];
    for (field, body) in bad {
        let refused = world.desk.start_call(&service(), body).await.unwrap_err();
        assert_eq!((refused.code, refused.fields[0].0.as_str()), (Code::Validation, field));
    }
    let call = world.call("u2").await;
    let word = |n: usize| Some("w".repeat(n));
    assert_eq!(
        code(world.desk.hang_up(&service(), call, word(REASON_CHARS_MAX + 1)).await),
        Code::Validation
    );
    assert!(
        world
            .desk
            .hang_up(&service(), call, word(REASON_CHARS_MAX))
            .await
            .is_ok()
    );
    let agent = world.staff("amina", StaffRole::Agent).await;
    let away = |n: usize| PresenceSet {
        status: PresenceStatus::Away,
        reason: word(n),
        media_checked: false,
    };
    assert!(
        world
            .desk
            .set_presence(&agent, away(AWAY_REASON_CHARS_MAX))
            .await
            .is_ok()
    );
    assert_eq!(
        code(world.desk.set_presence(&agent, away(AWAY_REASON_CHARS_MAX + 1)).await),
        Code::Validation
    );
    let filter = CallFilter {
        before: Some("nonsense".to_owned()),
        ..CallFilter::default()
    };
    assert_eq!(code(world.desk.calls(&agent, filter).await), Code::Validation);
}

#[tokio::test]
async fn a_recording_is_played_by_those_who_may_and_each_listening_is_noted_once() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let supervisor = world.staff("deka", StaffRole::Supervisor).await;
    world.call("u1").await;
    world
        .run(
            "insert into helpline.recordings (id, call_id, node_id, policy, started_at)
            select '00000000-0000-0000-0000-0000000000aa', id, 'n', 'optional', now() from voice_calls",
        )
        .await;
    let id = RecordingId(0xaa);
    assert_eq!(code(world.desk.playback(&agent, id).await), Code::Forbidden);
    assert_eq!(code(world.desk.playback(&customer("u1"), id).await), Code::Forbidden);
    assert_eq!(
        code(world.desk.playback(&supervisor, RecordingId(1)).await),
        Code::NotFound
    );
    assert_eq!(
        code(world.desk.playback(&supervisor, id).await),
        Code::RecordingMissing,
        "it still runs"
    );
    world
        .run(
            "update helpline.recordings set state = 'stored', stored_at = now(), duration_ms = 1500,
            layout = 'two_channel', audio_key = 'a', audio_size = 7, audio_sha256 = sha256('x'),
            manifest_key = 'm'",
        )
        .await;
    for _ in 0..2 {
        let playback = world.desk.playback(&supervisor, id).await.unwrap();
        assert_eq!((playback.audio_key.as_str(), playback.size), ("a", 7));
        assert_eq!(playback.recording.duration_seconds, Some(1.5));
    }
    let voice = |number| world.desk.voice_playback(&supervisor, id, number);
    assert_eq!(code(voice(1).await), Code::NotFound, "nobody was heard beside the two");
    world
        .run(
            "insert into helpline.recording_voices (recording_id, number, leg_id, part, audio_key, audio_size,
            audio_sha256, coverage, heard_ms) select id, 1, id, 'supervisor', 'v', 9, sha256('v'), 0.5,
            array[1000, 2000] from helpline.recordings",
        )
        .await;
    let voice = |number| world.desk.voice_playback(&supervisor, id, number);
    for other in [0, 2, u16::MAX] {
        assert_eq!(code(voice(other).await), Code::NotFound, "{other}");
    }
    let playback = voice(1).await.unwrap();
    assert_eq!((playback.audio_key.as_str(), playback.size), ("v", 9));
    let listed = &playback.recording.voices[0];
    assert_eq!((listed.heard[0].from_ms, listed.heard[0].to_ms), (1_000, 2_000));
    assert_eq!(code(world.desk.voice_playback(&agent, id, 1).await), Code::Forbidden);
    assert_eq!(
        world
            .texts("select actor_id from support_activity_logs where action = 'recording.play'")
            .await,
        [staff_id(&supervisor).to_string()]
    );
    world
        .run(
            "alter table support_activity_logs disable trigger all; update support_activity_logs
        set created_at = created_at - interval '601 seconds'; alter table support_activity_logs enable trigger all",
        )
        .await;
    world.desk.playback(&supervisor, id).await.unwrap();
    assert_eq!(
        world
            .count("select count(*) from support_activity_logs where action = 'recording.play'")
            .await,
        2
    );
}
