//! How many may speak with one another.

use super::*;

/// Two who may supervise in every mode.
async fn bosses(world: &mut World) -> [Caller; 2] {
    let mut both = Vec::new();
    for name in ["esther", "farida"] {
        let one = world.staff(name, StaffRole::Supervisor).await;
        both.push(world.promote(&one, "admin").await);
    }
    both.try_into().expect("two names")
}

/// How the desk refuses; `None` when it does not.
async fn refused(world: &World, who: &Caller, call: CallId, mode: SuperviseMode) -> Option<Code> {
    let wanted = Supervise { mode, reason: None };
    world.desk.supervise(who, call, wanted).await.err().map(|no| no.code)
}

#[tokio::test]
async fn four_may_speak_with_one_another_and_a_fifth_is_refused_by_name() {
    let Some((mut world, amina, baraka, call)) = scene().await else {
        return;
    };
    let [esther, farida] = bosses(&mut world).await;
    for boss in [&esther, &farida] {
        assert_eq!(
            refused(&world, boss, call, Barge).await,
            None,
            "beside two there is room for two"
        );
    }
    consulted(&mut world, &amina, &baraka, call).await;
    let epoch = plan(&world).epoch;
    let no = world.desk.consult_merge(&amina, call, step()).await.unwrap_err();
    assert_eq!(no.code, Code::TooManyVoices);
    assert_eq!(plan(&world).epoch, epoch, "nothing has changed");
    assert_eq!(
        stances(&mut world).await,
        [Some(Stance::Held), Some(Stance::Consult), Some(Stance::Consult)]
    );

    let leaves = SuperviseEnd::default();
    world.desk.end_supervision(&farida, call, leaves).await.unwrap();
    let merged = world.desk.consult_merge(&amina, call, step()).await.unwrap();
    assert_eq!(state_of(&merged), Some(ConsultState::Conference), "four speak");
    let epoch = plan(&world).epoch;
    for mode in [Barge, Whisper, Monitor] {
        let code = refused(&world, &farida, call, mode).await;
        assert_eq!(code, Some(Code::TooManyVoices), "{mode:?} beside four who speak");
    }
    assert_eq!(plan(&world).epoch, epoch);

    // Who whispers is heard by the agent alone: there is room for somebody who listens, and for no second voice at her ear.
    assert_eq!(refused(&world, &esther, call, Whisper).await, None);
    assert_eq!(refused(&world, &farida, call, Monitor).await, None);
    for mode in [Whisper, Barge] {
        let code = refused(&world, &farida, call, mode).await;
        assert_eq!(code, Some(Code::TooManyVoices), "{mode:?}");
    }
    let listens = "select data ->> 'mode' from helpline.call_intervals
        where kind = 'supervise' and ended_at is null order by id";
    assert_eq!(
        world.texts(listens).await,
        ["whisper", "monitor"],
        "who is refused goes on as before"
    );

    // Back at two the same is no question.
    world.desk.consult_cancel(&amina, call, step()).await.unwrap();
    assert_eq!(refused(&world, &farida, call, Barge).await, None);
}

#[tokio::test]
async fn of_two_who_join_a_conference_at_once_one_finds_a_stream() {
    let Some((mut world, amina, baraka, call)) = scene().await else {
        return;
    };
    let [esther, farida] = bosses(&mut world).await;
    consulted(&mut world, &amina, &baraka, call).await;
    world.desk.consult_merge(&amina, call, step()).await.unwrap();
    let both = tokio::join!(
        refused(&world, &esther, call, Barge),
        refused(&world, &farida, call, Barge)
    );
    assert!(
        matches!(
            both,
            (None, Some(Code::TooManyVoices)) | (Some(Code::TooManyVoices), None)
        ),
        "{both:?}"
    );
    let takes_over = refused(&world, &esther, call, SuperviseMode::Takeover).await;
    assert_eq!(takes_over, None, "who takes the call over is no further voice");
}
