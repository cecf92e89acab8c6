//! `loadtest turn` against our relay, small: what it prints must be true and complete.

#![cfg(test)]

use std::process::Command;

use serde_json::Value;

/// Runs the load generator; its figures.
fn run(words: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["turn", "--json", "--rate", "50", "--seconds", "1"])
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
        let figures = run(&["--clients", "3", "--alone", "--rounds", "2", "--way", way]);
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
    let figures = run(&["--clients", "3", "--rounds", "3"]);
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

/// Clients that speak through a flood, 50 datagrams a second each: enough that one lost datagram is far from a hundredth.
const CLIENTS: u64 = 12;
/// Growth of the relay's memory by a flood, bytes: nothing is kept of a request. The rest is what the allocator and tables
/// of a fixed size may touch for the first time (none in most runs; 2.1 MB by three million requests, and by six). 42 bytes
/// kept for each of the longer flood's requests would be more.
const GROWTH_MAX: i64 = 4 * 1_024 * 1_024;

/// What is true of a flood of so many, however it was sent.
fn check_flood(figures: &Value, requests: u64) {
    let number = |name: &str| figures[name].as_u64().unwrap_or_else(|| panic!("{name}: {figures}"));
    assert_eq!(number("requests"), requests);
    assert!(number("sources") > requests / 2, "{figures}");
    // Half of the sources are spread, nearly each in a prefix of its own.
    assert!(number("prefixes") > requests.min(65_536) * 3 / 8, "{figures}");
    assert!(number("answers") > requests / 2, "{figures}");
    assert!(number("bytes_in") > number("crowded_prefix_bytes_in"), "{figures}");
    // Bytes in and a burst of 32 KiB: more must not go out to one prefix.
    let budget = number("crowded_prefix_bytes_in") + 32 * 1_024;
    assert!(number("crowded_prefix_bytes_out") <= budget, "{figures}");
    let clients = &figures["clients_during"];
    // The window has a second at least.
    assert!(clients["expected"].as_u64() >= Some(CLIENTS * 25), "{figures}");
    // Packets are counted and not time: what a busy machine holds up comes all the same.
    assert!(clients["delivered_ratio"].as_f64() >= Some(0.99), "{figures}");
    assert_eq!(clients["duplicates"], 0, "{figures}");
    let grown = figures["rss_grown_bytes"].as_i64().expect("a number");
    assert!(grown <= GROWTH_MAX, "{grown}: {figures}");
}

#[test]
fn a_flood_is_counted_by_prefix_and_answered_within_the_budget() {
    let figures = run(&["--clients", &CLIENTS.to_string(), "--flood", "4000", "--sockets"]);
    assert_eq!(figures["raw_socket"], false);
    assert_eq!(figures["sources"], 4_000);
    check_flood(&figures, 4_000);
}

#[test]
fn a_flood_by_a_raw_socket_is_counted_in_the_same_way() {
    // A tenth of what the relay has been seen to take, so that a busy machine takes it as well; without the right to a raw
    // socket it is sent by ordinary ones, and says so.
    let clients = CLIENTS.to_string();
    let figures = run(&["--clients", &clients, "--flood", "100000", "--flood-rate", "20000"]);
    if figures["raw_socket"] == false {
        skipped("no right to raw sockets (CAP_NET_RAW)");
    }
    check_flood(&figures, 100_000);
}
