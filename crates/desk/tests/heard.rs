//! What clients say that they heard: who may say it of which line, how often, and where it is shown.

#![cfg(test)]

mod common;
#[path = "scene/talk.rs"]
mod talk;

use common::{World, customer, service};
use desk::Code;
use talk::talking;
use wire::leg::Part;
use wire::quality::{HeardReport, HeardSecond};
use wire::staff::StaffRole;

fn report(mos: f32, seconds: usize) -> HeardReport {
    let second = HeardSecond {
        loss: 0.02,
        jitter_ms: 7.0,
        rtt_ms: Some(50.0),
        mos,
    };
    HeardReport {
        seconds: vec![second; seconds],
    }
}

#[tokio::test]
async fn each_side_tells_of_its_own_line_and_the_server_s_figures_stay_apart() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let call = talking(&mut world, "u1", &agent).await;
    world.desk.heard(&customer("u1"), call, report(4.0, 10)).await.unwrap();
    world.desk.heard(&agent, call, report(3.0, 1)).await.unwrap();

    let quality = world.desk.call_quality(&service(), call).await.unwrap();
    assert!(quality.tracks.is_empty(), "the server has measured nothing here");
    let told: Vec<_> = quality
        .heard
        .iter()
        .map(|track| (track.part, track.mos.len()))
        .collect();
    assert_eq!(told, [(Part::Customer, 10), (Part::Agent, 1)]);
    assert_eq!(quality.heard[0].mos[9], Some(4.0));
    assert_eq!(quality.heard[1].rtt_ms, [Some(50.0)]);
    // One value per report, by who told it.
    let families = world.registry.gather();
    let family = families
        .iter()
        .find(|family| family.name() == "helpline_client_leg_mos");
    let mut seen: Vec<_> = family
        .expect("it is exported")
        .get_metric()
        .iter()
        .map(|one| {
            let histogram = one.get_histogram();
            let role = one.get_label()[0].value().to_owned();
            (role, histogram.get_sample_count(), histogram.get_sample_sum())
        })
        .collect();
    seen.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(seen, [("agent".to_owned(), 1, 3.0), ("customer".to_owned(), 1, 4.0)]);
}

#[tokio::test]
async fn a_second_report_within_five_seconds_is_refused_and_changes_nothing() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let call = talking(&mut world, "u1", &agent).await;
    // Whichever side of a boundary the two fall on, three within a moment cannot all be in different five seconds.
    let mut refused = 0;
    for _ in 0..3 {
        if let Err(why) = world.desk.heard(&customer("u1"), call, report(4.0, 1)).await {
            assert_eq!((why.code, why.retry_after_s), (Code::RateLimited, Some(5)));
            refused += 1;
        }
    }
    assert!(refused >= 1);
    let rows = world.texts("select count(*)::text from helpline.quality_heard").await;
    assert_eq!(rows, [(3 - refused).to_string()]);
}

#[tokio::test]
async fn nobody_tells_of_a_line_that_is_not_theirs_nor_of_a_call_without_sound() {
    let Some(mut world) = World::new().await else { return };
    let agent = world.staff("amina", StaffRole::Agent).await;
    let other = world.staff("zuri", StaffRole::Agent).await;
    let call = talking(&mut world, "u1", &agent).await;
    for (caller, code) in [
        (customer("u2"), Code::NotFound),
        (other, Code::NotFound),
        (service(), Code::Forbidden),
    ] {
        let why = world.desk.heard(&caller, call, report(4.0, 1)).await.unwrap_err();
        assert_eq!(why.code, code);
    }
    let why = world.desk.heard(&agent, call, report(4.0, 16)).await.unwrap_err();
    assert_eq!(why.code, Code::Validation);
    world.desk.hang_up(&customer("u1"), call, None).await.unwrap();
    let why = world
        .desk
        .heard(&customer("u1"), call, report(4.0, 1))
        .await
        .unwrap_err();
    assert_eq!(why.code, Code::IllegalTransition);
    let rows = world.texts("select count(*)::text from helpline.quality_heard").await;
    assert_eq!(rows, ["0"]);
}
