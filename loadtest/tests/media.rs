//! The modes that start media themselves, run as a user runs them, small: what they print must be true and complete.

#![cfg(test)]

use std::process::Command;

use serde_json::Value;

/// Runs the load generator; its figures.
fn run(words: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(words)
        .output()
        .expect("the load generator starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|fault| panic!("{fault}: {said}"))
}

#[test]
fn everybody_who_joins_hears_something_and_no_bystander_loses_a_packet() {
    let words = ["joins", "--pairs", "3", "--rate", "20", "--seconds", "2", "--json"];
    let figures = run(&words);
    assert_eq!(figures["joins"], 40, "{figures}");
    assert_eq!(figures["joins_failed"], 0, "{figures}");
    assert_eq!(figures["legs_reseated"], 0, "{figures}");
    // Six legs, 50 packets a second each.
    let heard = figures["bystanders"]["expected"].as_u64().expect("a number");
    assert!((500..=620).contains(&heard), "{figures}");
    assert_eq!(figures["bystanders"]["lost_packets"], 0, "{figures}");
    assert_eq!(figures["bystanders"]["duplicates"], 0, "{figures}");
    assert!(figures["join_to_sound_us"]["p50"].as_u64() > Some(0), "{figures}");
}

#[test]
fn a_storm_ends_with_everybody_in() {
    let words = ["joins", "--pairs", "2", "--storm", "30", "--seconds", "3", "--json"];
    let figures = run(&words);
    assert_eq!(
        (&figures["joins"], &figures["joins_failed"]),
        (&30.into(), &0.into()),
        "{figures}"
    );
    assert_eq!(figures["legs_reseated"], 0, "{figures}");
    assert_eq!(figures["storm"], true);
}

#[test]
fn seven_listeners_hear_what_one_says() {
    let words = ["fanout", "--rooms", "1,2", "--seconds", "1", "--json"];
    let figures = run(&words);
    let steps = figures["steps"].as_array().expect("steps");
    for (step, rooms) in steps.iter().zip([1.0, 2.0]) {
        assert_eq!(step["delivered_ratio"], 1.0, "{figures}");
        assert_eq!(step["duplicates"], 0, "{figures}");
        let rate = step["packets_per_second"].as_f64().expect("a number");
        let expected = rooms * 7.0 * 50.0;
        assert!((rate / expected - 1.0).abs() < 0.1, "{rate} of {expected}: {figures}");
    }
    assert_eq!(steps.len(), 2, "{figures}");
    assert_eq!(figures["rooms_refilled"], 0, "{figures}");
}

#[test]
fn the_same_calls_are_recorded_and_paused_by_turns() {
    let words = ["recording", "--pairs", "4", "--rounds", "3", "--seconds", "2", "--json"];
    let figures = run(&words);
    assert_eq!(figures["rounds"], 2, "the first counts nowhere: {figures}");
    // Neither way is always the one that finds the other's work done.
    let order = [0, 1].map(|round| &figures["each_round"][round]["first"]);
    assert_eq!(order, ["recorded", "plain"], "{figures}");
    assert_eq!(figures["legs_reseated"], 0, "{figures}");
    let round = &figures["each_round"][0];
    assert_eq!(round["plain"]["recorded_packets"], 0, "{figures}");
    // Eight legs, 50 packets a second each. Between the two looks at the counter there are two seconds and what a busy machine
    // adds to them, so there is no upper bound; and packets under way at their end are neither delivered nor lost.
    let recorded = round["recorded"]["recorded_packets"].as_u64().expect("a number");
    assert!(recorded >= 720, "{figures}");
    for way in ["plain", "recorded"] {
        assert!(round[way]["delivered_ratio"].as_f64() > Some(0.9), "{figures}");
        assert_eq!(round[way]["duplicates"], 0, "{figures}");
    }
    assert!(
        figures["shard_more"].is_number() && figures["process_more"].is_number(),
        "{figures}"
    );
}
