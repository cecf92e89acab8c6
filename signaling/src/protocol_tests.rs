//! What `docs/websocket.md` tells of our messages is so, and whatever the API can do to a call can be done here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::*;

/// The page about the protocol.
const PAGE: &str = include_str!("../../docs/websocket.md");
/// The kept description of the API, which a test of `api` compares with its routes.
const API: &str = include_str!("../../docs/openapi.json");
/// Changes nothing about a call, as the page says.
const BY_REQUEST_ONLY: &str = "POST /api/support/call/{id}/quality";

/// Each message of a client by its type: its data as the page has them, and the request of the same effect.
fn rows() -> BTreeMap<&'static str, (&'static str, &'static str)> {
    let lines = PAGE.lines().filter(|line| line.starts_with("| `"));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [kind, data, _, request] = cells[..] else {
                panic!("four cells: {line}")
            };
            (kind.trim_matches('`'), (data, request.trim_matches('`')))
        })
        .collect()
}

fn ask(kind: &str, data: &Value) -> Result<Asked, NotUnderstood> {
    parse(&json!({ "v": 1, "type": kind, "data": data }).to_string())
}

#[test]
fn every_message_of_the_page_is_known_and_none_is_missing_there() {
    let rows = rows();
    for kind in rows.keys() {
        let known = ask(kind, &Value::Null);
        assert!(
            !known.is_err_and(|refused| refused.error.code == "unknown_type"),
            "{kind} is not known"
        );
    }
    // Every type that the reader has an arm for.
    let arms = include_str!("protocol.rs").lines().filter_map(|line| {
        let (kind, then) = line.trim().strip_prefix('"')?.split_once("\" =>")?;
        (!then.is_empty()).then_some(kind)
    });
    let arms: BTreeSet<&str> = arms.collect();
    assert_eq!(arms, rows.keys().copied().collect::<BTreeSet<&str>>());
}

#[test]
fn whatever_a_request_does_to_a_call_or_an_offer_a_message_does_too() {
    let api: Value = serde_json::from_str(API).unwrap();
    let told: BTreeSet<&str> = rows().into_values().map(|(_, request)| request).collect();
    let mut seen = 0;
    for (path, operations) in api["paths"].as_object().unwrap() {
        let concerns = ["/api/support/call/", "/api/support/offers/"];
        if !concerns.iter().any(|start| path.starts_with(start)) {
            continue;
        }
        for method in operations.as_object().unwrap().keys().filter(|method| *method != "get") {
            let request = format!("{} {path}", method.to_uppercase());
            seen += 1;
            assert!(
                told.contains(request.as_str()) || request == BY_REQUEST_ONLY,
                "{request} has no message"
            );
        }
    }
    assert!(seen >= 17, "{seen}");
    assert!(PAGE.contains(BY_REQUEST_ONLY));
    for request in told.iter().filter(|request| !request.is_empty()) {
        let (method, path) = request.split_once(' ').unwrap();
        assert!(api["paths"][path][method.to_lowercase()].is_object(), "{request}");
    }
}

#[test]
fn a_supervision_needs_a_call_and_a_mode_that_there_is() {
    let call = "00000000-0000-0000-0000-000000000007";
    for (mode, expected) in [
        ("monitor", wire::call::SuperviseMode::Monitor),
        ("whisper", wire::call::SuperviseMode::Whisper),
        ("barge", wire::call::SuperviseMode::Barge),
        ("takeover", wire::call::SuperviseMode::Takeover),
    ] {
        let data = json!({ "callId": call, "mode": mode, "reason": "trainee" });
        let Ok(Command::Supervise(it, how)) = ask("call.supervise", &data).map(|asked| asked.command) else {
            panic!("{mode}")
        };
        assert_eq!((it.call_id.as_u128(), how.mode), (7, expected));
        assert_eq!(how.reason.as_deref(), Some("trainee"));
    }
    for wrong in [
        Value::Null,
        json!({ "callId": call }),
        json!({ "mode": "monitor" }),
        json!({ "callId": call, "mode": "listen" }),
        json!({ "callId": call, "mode": "Monitor" }),
        json!({ "callId": call, "mode": null }),
        json!({ "callId": "7", "mode": "monitor" }),
        json!({ "callId": call, "mode": "monitor", "reason": 7 }),
    ] {
        assert_eq!(
            ask("call.supervise", &wrong).unwrap_err().error.code,
            "bad_message",
            "{wrong}"
        );
    }
    let left = ask("call.supervise.end", &json!({ "callId": call })).unwrap().command;
    assert!(matches!(left, Command::EndSupervision(it, how) if it.call_id.as_u128() == 7 && how.reason.is_none()));
    assert_eq!(
        ask("call.supervise.end", &json!({})).unwrap_err().error.code,
        "bad_message"
    );
}

#[test]
fn a_hang_up_keeps_its_reason() {
    let data = json!({ "callId": "00000000-0000-0000-0000-000000000007", "reason": "solved" });
    let Command::HangUp(_, why) = ask("call.hangup", &data).unwrap().command else {
        panic!("a hang-up")
    };
    assert_eq!(why.reason.as_deref(), Some("solved"));
}
