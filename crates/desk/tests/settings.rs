//! What admins set: who may, within which limits, and when it holds.

#![cfg(test)]

mod scene;

use call_model::StaffId;
use desk::{
    ALERT_AFTER_S_MAX, ALERT_AFTER_S_MIN, ALERT_QUIET_MINUTES_MAX, ALERT_QUIET_MINUTES_MIN, Caller, Code, Known,
};
use ports::Thresholds;
use scene::{Eye, Node, PATIENCE, customer, database, service, staff_id};
use tokio::time::{sleep, timeout};
use wire::settings::{Announce, AnnounceTo, MailSettings, QualityThresholds, SupervisionSettings};
use wire::staff::StaffRole;

async fn scene() -> Option<(Node, Eye)> {
    let db = database().await?;
    let eye = Eye::of(&db.superuser_url).await;
    Some((Node::start(&db.app_url, "n").await, eye))
}

/// The same person as an admin, which no service may make of him.
async fn admin(node: &Node, eye: &mut Eye) -> Caller {
    let agent = node.agent("esther", 1).await;
    eye.run("update staff set role = 'admin'").await;
    let StaffId(id) = staff_id(&agent);
    let session = node.desk.staff_session(&service(), StaffId(id)).await.unwrap();
    node.desk.auth().bearer(&session.token).await.unwrap()
}

#[tokio::test]
async fn admins_and_services_set_and_nobody_else_and_media_is_told_at_once() {
    let Some((node, mut eye)) = scene().await else { return };
    let admin = admin(&node, &mut eye).await;
    let agent = node.agent("amina", 1).await;
    let set = node.desk.settings(&admin).await.unwrap();
    assert_eq!(set.quality.value, set.quality.usual);
    assert_eq!(
        (set.quality.value.low_mos, set.quality.value.dead_air_seconds),
        (3.5, 15)
    );
    let wanted = QualityThresholds {
        low_mos: 3.2,
        ..set.quality.value.clone()
    };
    for nobody in [&agent, &customer("u1"), &Caller::Demo] {
        let refused = [
            node.desk.settings(nobody).await.unwrap_err(),
            node.desk
                .set_quality(nobody, wanted.clone(), Known::Any)
                .await
                .unwrap_err(),
            node.desk
                .set_mail(nobody, set.mail.value.clone(), Known::Any)
                .await
                .unwrap_err(),
        ];
        assert!(refused.iter().all(|refused| refused.code == Code::Forbidden));
    }
    assert_eq!(*node.media.thresholds.lock().unwrap(), None);

    let after = node.desk.set_quality(&admin, wanted.clone(), Known::Any).await.unwrap();
    assert_eq!(
        (&after.quality.value, &after.quality.usual),
        (&wanted, &set.quality.usual)
    );
    let told = node.media.thresholds.lock().unwrap().expect("media was told");
    assert_eq!(
        told,
        Thresholds {
            low_mos: 3.2,
            ..Thresholds::default()
        }
    );
    // Twice is once.
    node.desk.set_quality(&service(), wanted, Known::Any).await.unwrap();
    let said = "select subject_id || ':' || actor_role from support_activity_logs where action = 'settings.changed'";
    assert_eq!(eye.texts(said).await, ["quality:admin"]);
    assert_eq!(
        eye.texts("select value ->> 'lowMos' from settings_history where key = 'quality'")
            .await,
        ["3.2"]
    );
}

/// The given values with one leaf set to a number.
fn with(set: &QualityThresholds, leaf: &str, value: f64) -> QualityThresholds {
    let mut json = serde_json::to_value(set).unwrap();
    json[leaf] = if json[leaf].is_u64() {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small whole limit"
        )]
        let whole = value as u64;
        whole.into()
    } else {
        value.into()
    };
    serde_json::from_value(json).unwrap()
}

#[tokio::test]
async fn each_threshold_is_taken_at_its_limits_and_refused_by_name_beyond() {
    let Some((node, _eye)) = scene().await else { return };
    let set = node.desk.settings(&service()).await.unwrap().quality;
    let number = |of: &QualityThresholds, leaf: &str| serde_json::to_value(of).unwrap()[leaf].as_f64().unwrap();
    let leaves = serde_json::to_value(&set.usual).unwrap();
    let leaves: Vec<_> = leaves.as_object().unwrap().keys().cloned().collect();
    assert_eq!(leaves.len(), 9, "a threshold for each flag");
    for leaf in &leaves {
        let (min, max) = (number(&set.min, leaf), number(&set.max, leaf));
        assert!(min < max, "{leaf}");
        for limit in [min, max] {
            let wanted = with(&set.usual, leaf, limit);
            let taken = node
                .desk
                .set_quality(&service(), wanted.clone(), Known::Any)
                .await
                .unwrap();
            assert_eq!(taken.quality.value, wanted, "{leaf} at {limit}");
        }
        let step = if set.min.low_mos == min || leaf.ends_with("Percent") {
            0.01
        } else {
            1.0
        };
        let step = if leaf == "clippingPercent" { 1.0 } else { step };
        for beyond in [min - step, max + step] {
            let refused = node
                .desk
                .set_quality(&service(), with(&set.usual, leaf, beyond), Known::Any)
                .await;
            let refused = refused.unwrap_err();
            assert_eq!(refused.code, Code::Validation, "{leaf} of {beyond}");
            assert_eq!(refused.fields.len(), 1);
            assert_eq!(&refused.fields[0].0, leaf);
        }
        let now = node.desk.settings(&service()).await.unwrap().quality.value;
        assert_eq!(now, with(&set.usual, leaf, max), "a refusal changes nothing");
    }
    let odd = QualityThresholds {
        low_mos: f64::NAN,
        ..set.usual
    };
    assert_eq!(
        node.desk
            .set_quality(&service(), odd, Known::Any)
            .await
            .unwrap_err()
            .code,
        Code::Validation
    );
}

#[tokio::test]
async fn mails_are_set_within_their_limits_and_leave_the_guide_s_other_leaves_alone() {
    let Some((node, mut eye)) = scene().await else { return };
    let set = node.desk.settings(&service()).await.unwrap().mail;
    assert_eq!(set.value, set.usual);
    let with = |after, quiet| MailSettings {
        notify_on_quality_alert: false,
        quality_alert_roles: vec![StaffRole::Admin, StaffRole::TeamLead, StaffRole::Admin],
        quality_alert_after_seconds: after,
        quality_alert_quiet_minutes: quiet,
        ..set.value.clone()
    };
    for (after, quiet, is_taken) in [
        (ALERT_AFTER_S_MIN, ALERT_QUIET_MINUTES_MIN, true),
        (ALERT_AFTER_S_MAX, ALERT_QUIET_MINUTES_MAX, true),
        (ALERT_AFTER_S_MIN - 1, ALERT_QUIET_MINUTES_MIN, false),
        (ALERT_AFTER_S_MAX + 1, ALERT_QUIET_MINUTES_MIN, false),
        (ALERT_AFTER_S_MIN, ALERT_QUIET_MINUTES_MIN - 1, false),
        (ALERT_AFTER_S_MIN, ALERT_QUIET_MINUTES_MAX + 1, false),
    ] {
        let done = node.desk.set_mail(&service(), with(after, quiet), Known::Any).await;
        assert_eq!(done.is_ok(), is_taken, "{after} s, {quiet} min");
    }
    let value = node.desk.settings(&service()).await.unwrap().mail.value;
    assert_eq!(value.quality_alert_roles, [StaffRole::Admin, StaffRole::TeamLead]);
    assert_eq!(value.quality_alert_after_seconds, ALERT_AFTER_S_MAX);
    assert!(!value.notify_on_quality_alert && value.notify_staff_on_incoming_call);
    let kept = "select (value ->> 'emailFrom') || (value ->> 'notifyStaffOnNewChat') from support_settings
        where key = 'NOTIFICATION_CONFIG'";
    assert_eq!(eye.texts(kept).await, ["support@bank.alghahim.co.ketrue"]);
}

#[tokio::test]
async fn a_node_hears_of_thresholds_that_were_set_elsewhere_and_keeps_to_the_limits() {
    let Some((mut node, mut eye)) = scene().await else {
        return;
    };
    node.run();
    eye.run("insert into support_settings (key, value) values ('quality', '{\"lowMos\": 9, \"deadAirSeconds\": 40}')")
        .await;
    let wanted = Thresholds {
        low_mos: 4.4,
        dead_air_seconds: 40,
        ..Thresholds::default()
    };
    let looked = timeout(PATIENCE, async {
        while *node.media.thresholds.lock().unwrap() != Some(wanted) {
            sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    looked.await.expect("the node looks every second");
    node.stop().await;
}

#[tokio::test]
async fn supervisors_are_announced_only_once_an_admin_says_so_and_odd_words_of_others_are_off() {
    let Some((node, mut eye)) = scene().await else { return };
    let admin = admin(&node, &mut eye).await;
    let agent = node.agent("amina", 1).await;
    let off = SupervisionSettings {
        announce: Announce::Off,
        announce_to: AnnounceTo::Agent,
    };
    let set = node.desk.settings(&admin).await.unwrap().supervision;
    assert_eq!((&set.value, &set.usual), (&off, &off));
    let all = SupervisionSettings {
        announce: Announce::Tone,
        announce_to: AnnounceTo::All,
    };
    for nobody in [&agent, &customer("u1"), &Caller::Demo] {
        let refused = node
            .desk
            .set_supervision(nobody, all.clone(), Known::Any)
            .await
            .unwrap_err();
        assert_eq!(refused.code, Code::Forbidden);
    }
    for _ in 0..2 {
        let set = node
            .desk
            .set_supervision(&admin, all.clone(), Known::Any)
            .await
            .unwrap()
            .supervision;
        assert_eq!((&set.value, &set.usual), (&all, &off));
    }
    assert_eq!(
        eye.texts(
            "select (value ->> 'announce') || ' ' || (value ->> 'announceTo') from settings_history
            where key = 'supervision'"
        )
        .await,
        ["tone all"],
        "twice is once"
    );
    eye.run(
        "update public.support_settings set value = '{\"announce\": \"loud\", \"announceTo\": 7}',
        version = version + 1 where key = 'supervision'",
    )
    .await;
    assert_eq!(node.desk.settings(&admin).await.unwrap().supervision.value, off);
    eye.run(
        "update public.support_settings set value = '{\"announce\": \"tone\", \"announceTo\": \"none\"}',
        version = version + 1 where key = 'supervision'",
    )
    .await;
    let told = node.desk.settings(&admin).await.unwrap().supervision.value;
    assert_eq!(
        told.announce,
        Announce::Notice,
        "what is saved again from this view sounds no tone"
    );
}

#[tokio::test]
async fn a_change_that_has_not_seen_the_one_before_it_changes_nothing_and_another_group_has_its_own_version() {
    let Some((node, mut eye)) = scene().await else { return };
    let at = |versions: &[i64]| Known::Versions(versions.to_vec());
    let set = node.desk.settings(&service()).await.unwrap();
    assert_eq!(
        (set.quality.version, set.supervision.version, set.mail.version),
        (0, 0, 1),
        "the mails were set by the migration"
    );
    let mos = |low_mos| QualityThresholds {
        low_mos,
        ..set.quality.usual.clone()
    };
    let first = node.desk.set_quality(&service(), mos(3.0), at(&[0])).await.unwrap();
    assert_eq!((first.quality.version, first.mail.version), (1, 1));
    for stale in [at(&[0]), at(&[2, 7]), at(&[])] {
        let refused = node.desk.set_quality(&service(), mos(3.1), stale).await.unwrap_err();
        assert_eq!(refused.code, Code::VersionMismatch);
        assert!(refused.detail.is_some());
    }
    assert_eq!(
        node.desk.settings(&service()).await.unwrap(),
        first,
        "a refusal changes nothing"
    );

    // The answer was lost, the same is asked once more.
    let again = node.desk.set_quality(&service(), mos(3.0), at(&[0])).await.unwrap();
    assert_eq!(again.quality.version, 1);
    let second = node.desk.set_quality(&service(), mos(3.1), at(&[7, 1])).await.unwrap();
    assert_eq!((second.quality.version, second.quality.value.low_mos), (2, 3.1));
    let third = node.desk.set_quality(&service(), mos(3.2), Known::Any).await.unwrap();
    assert_eq!((third.quality.version, third.quality.value.low_mos), (3, 3.2));
    eye.run("delete from public.support_settings where key = 'quality'")
        .await;
    let refused = node.desk.set_quality(&service(), mos(3.3), at(&[3])).await.unwrap_err();
    assert_eq!(refused.code, Code::VersionMismatch, "what is gone is not what was seen");

    let mail = MailSettings {
        notify_on_quality_alert: false,
        ..set.mail.value.clone()
    };
    let refused = node
        .desk
        .set_mail(&service(), mail.clone(), at(&[0]))
        .await
        .unwrap_err();
    assert_eq!(refused.code, Code::VersionMismatch);
    let done = node.desk.set_mail(&service(), mail, at(&[1])).await.unwrap();
    assert_eq!((done.mail.version, done.supervision.version), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_have_seen_the_same_version_one_wins() {
    let Some((node, mut eye)) = scene().await else { return };
    let set = node.desk.settings(&service()).await.unwrap();
    // The first round inserts the row, the second one updates it.
    for version in [0, 1] {
        let mut racers = tokio::task::JoinSet::new();
        for n in 0..8 {
            let desk = node.desk.clone();
            let wanted = QualityThresholds {
                high_rtt_ms: 300 + 10 * u32::try_from(version).unwrap() + n,
                ..set.quality.usual.clone()
            };
            let known = Known::Versions(vec![version]);
            racers.spawn(async move { desk.set_quality(&service(), wanted, known).await });
        }
        let done = racers.join_all().await;
        assert_eq!(done.iter().filter(|one| one.is_ok()).count(), 1, "{done:?}");
        let mut lost = done.iter().filter_map(|one| one.as_ref().err());
        assert!(lost.all(|one| one.code == Code::VersionMismatch), "{done:?}");
    }
    let kept = "select count(*)::text from settings_history where key = 'quality'";
    assert_eq!(eye.texts(kept).await, ["2"]);
}
