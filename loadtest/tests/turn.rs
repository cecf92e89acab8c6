//! `loadtest turn` against our relay, small: what it prints must be true and complete.

#![cfg(test)]

use std::process::Command;

use serde_json::Value;

/// Runs the load generator; its figures.
fn run(words: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["turn", "--json", "--clients", "3", "--rate", "50", "--seconds", "1"])
        .args(words)
        .output()
        .expect("the load generator starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|fault| panic!("{fault}: {said}"))
}

/// Something is missing here: a skip that says so, or a failure where everything is required.
fn skipped(what: &str) {
    let required = std::env::var("HELPLINE_TEST_REQUIRE").is_ok_and(|value| value == "all");
    assert!(!required, "HELPLINE_TEST_REQUIRE=all: {what}");
    eprintln!("skipped: {what}");
}

#[test]
fn every_datagram_comes_back_whatever_the_way() {
    for way in ["udp", "mixed"] {
        let figures = run(&["--alone", "--rounds", "2", "--way", way]);
        let rounds = figures["each_round"].as_array().expect("rounds");
        assert_eq!(rounds.len(), 1, "the first one counts nowhere: {figures}");
        assert_eq!(rounds[0]["ours"]["delivered_ratio"], 1.0, "{way}: {figures}");
        assert_eq!(rounds[0]["ours"]["duplicates"], 0, "{way}: {figures}");
        assert!(figures["cpu_us_per_datagram"].as_f64() > Some(0.0), "{way}: {figures}");
        assert_eq!(figures["coturn_cpu_us_per_datagram"], Value::Null, "{way}");
        assert_eq!(figures["way"], way);
    }
}

#[test]
fn ours_and_coturn_take_turns_in_being_the_first() {
    if let Err(fault) = Command::new("turnserver").arg("--version").output() {
        skipped(&format!("turnserver: {fault}"));
        return;
    }
    let figures = run(&["--rounds", "3"]);
    let order = [0, 1].map(|round| &figures["each_round"][round]["first"]);
    assert_eq!(order, ["coturn", "ours"], "{figures}");
    for round in figures["each_round"].as_array().expect("rounds") {
        for side in ["ours", "coturn"] {
            assert_eq!(round[side]["delivered_ratio"], 1.0, "{side}: {figures}");
            assert_eq!(round[side]["duplicates"], 0, "{side}: {figures}");
        }
    }
    assert!(figures["ratio_to_coturn"].as_f64() > Some(0.0), "{figures}");
}

/// What is true of a flood of 4,000, however it was sent.
fn check_flood(figures: &Value) {
    let number = |name: &str| figures[name].as_u64().unwrap_or_else(|| panic!("{name}: {figures}"));
    assert_eq!(number("requests"), 4_000);
    assert!(number("sources") > 2_000, "{figures}");
    // Half of the sources are spread, nearly each in a prefix of its own.
    assert!(number("prefixes") > 1_500, "{figures}");
    assert!(number("answers") > 2_000, "{figures}");
    assert!(number("bytes_in") > number("crowded_prefix_bytes_in"), "{figures}");
    // Bytes in and a burst of 32 KiB: more must not go out to one prefix.
    let budget = number("crowded_prefix_bytes_in") + 32 * 1_024;
    assert!(number("crowded_prefix_bytes_out") <= budget, "{figures}");
    assert!(figures["clients_during"]["expected"].as_u64() > Some(0), "{figures}");
}

#[test]
fn a_flood_is_counted_by_prefix_and_answered_within_the_budget() {
    let figures = run(&["--flood", "4000", "--sockets"]);
    assert_eq!(figures["raw_socket"], false);
    assert_eq!(figures["sources"], 4_000);
    check_flood(&figures);
}

#[test]
fn a_flood_by_a_raw_socket_is_counted_in_the_same_way() {
    // Without the right to one it is sent by ordinary sockets, and says so.
    let figures = run(&["--flood", "4000", "--flood-rate", "20000"]);
    check_flood(&figures);
}
