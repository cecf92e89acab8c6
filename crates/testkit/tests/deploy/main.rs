//! The operator's files, judged by the tools that will read them, and by what Grafana expects of a dashboard.
//!
//! A tool that is missing is a printed skip, or a failure under `HELPLINE_TEST_REQUIRE=all`.

use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Columns of Grafana's grid.
const GRID_COLUMNS: u64 = 24;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

/// Runs a foreign tool in `deploy/`; `None` when it is missing and may be.
fn tool(program: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(program).args(arguments).current_dir(deploy()).output() {
        Ok(output) => {
            let text = format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(output.status.success(), "{program} {arguments:?}\n{text}");
            Some(text)
        }
        Err(error) => {
            let required = std::env::var("HELPLINE_TEST_REQUIRE").is_ok_and(|value| value == "all");
            assert!(!required, "{program}: {error}");
            println!("skipped: {program} is not here ({error})");
            None
        }
    }
}

#[test]
fn prometheus_accepts_its_configuration_and_its_rules() {
    tool("promtool", &["check", "config", "prometheus/prometheus.yml"]);
}

#[test]
fn every_alert_fires_once_and_stays_silent_once() {
    if let Some(report) = tool("promtool", &["test", "rules", "prometheus/tests/rules_test.yml"]) {
        assert!(report.contains("SUCCESS"), "{report}");
    }
    let rules = fs::read_to_string(deploy().join("prometheus/rules.yml")).expect("the rules are there");
    let tests = fs::read_to_string(deploy().join("prometheus/tests/rules_test.yml")).expect("their tests are there");
    let runbook = fs::read_to_string(deploy().join("../docs/runbook.md")).expect("the runbook is there");
    let alerts: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(!alerts.is_empty());
    for alert in alerts {
        let cases = tests.matches(&format!("alertname: {alert}\n")).count();
        assert_eq!(cases, 2, "{alert} needs a case that fires and one that does not");
        assert!(
            runbook.contains(&format!("\n## {alert}\n")),
            "{alert} has no section in the runbook"
        );
    }
}

fn dashboards() -> Vec<(String, Value)> {
    let folder = deploy().join("grafana/dashboards");
    let files = fs::read_dir(folder).expect("the folder is there").flatten();
    files
        .map(|file| {
            let text = fs::read_to_string(file.path()).expect("a dashboard is text");
            (
                file.file_name().to_string_lossy().into_owned(),
                serde_json::from_str(&text).expect("a dashboard is JSON"),
            )
        })
        .collect()
}

fn panels(dashboard: &Value) -> &[Value] {
    dashboard["panels"].as_array().map(Vec::as_slice).unwrap_or_default()
}

#[test]
fn dashboards_have_unique_panels_that_do_not_overlap() {
    for (name, dashboard) in dashboards() {
        let mut ids = BTreeSet::new();
        let mut cells = BTreeSet::new();
        for panel in panels(&dashboard) {
            let title = &panel["title"];
            assert!(ids.insert(panel["id"].as_u64()), "{name}: {title} shares its id");
            let side = |key: &str| panel["gridPos"][key].as_u64().expect("a panel has its place");
            assert!(side("x") + side("w") <= GRID_COLUMNS, "{name}: {title} leaves the grid");
            for x in side("x")..side("x") + side("w") {
                for y in side("y")..side("y") + side("h") {
                    assert!(cells.insert((x, y)), "{name}: {title} lies over another panel");
                }
            }
        }
    }
}

#[test]
fn every_panel_has_a_unit_a_source_by_variable_and_words() {
    for (name, dashboard) in dashboards() {
        for panel in panels(&dashboard).iter().filter(|panel| panel["type"] != "row") {
            let title = &panel["title"];
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{name}: {title}");
            assert!(
                panel["fieldConfig"]["defaults"]["unit"].is_string(),
                "{name}: {title} has no unit"
            );
            assert!(
                panel["description"].as_str().is_some_and(|words| !words.is_empty()),
                "{name}: {title} says nothing"
            );
            assert!(
                panel["targets"].as_array().is_some_and(|targets| !targets.is_empty()),
                "{name}: {title} asks nothing"
            );
        }
    }
}
