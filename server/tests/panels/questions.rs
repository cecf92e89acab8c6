//! What the dashboard and the rules ask, in a form that Prometheus can answer at once.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// What stands for Grafana's interval variables: longer than the calls and everything around them last.
pub(crate) const INTERVAL: &str = "3m";
/// Grafana's variables for intervals.
const INTERVALS: [&str; 3] = ["$__rate_interval", "$__interval", "$__range"];
/// What compares a rule's series with those of the day before.
const A_DAY_AGO: &str = " offset 1d";
/// What parts a rule's series from its threshold.
const COMPARISONS: [&str; 6] = [" == ", " != ", " >= ", " <= ", " > ", " < "];

/// One query.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// Whose it is.
    pub(crate) of: String,
    pub(crate) expr: String,
}

impl Question {
    /// Names of series in it.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let words = self.expr.split(move |c| !word(c));
        words.filter(|word| word.starts_with("helpline_") || word.starts_with("process_"))
    }
}

/// Every target of every panel, rows within rows included.
pub(crate) fn of_dashboard(path: &Path) -> Vec<Question> {
    let text = fs::read_to_string(path).expect("the dashboard is there");
    let dashboard: Value = serde_json::from_str(&text).expect("a dashboard is JSON");
    let mut found = Vec::new();
    panels(&dashboard, &mut found);
    found
}

fn panels(of: &Value, found: &mut Vec<Question>) {
    for panel in of["panels"].as_array().into_iter().flatten() {
        panels(panel, found);
        for target in panel["targets"].as_array().into_iter().flatten() {
            let mut expr = target["expr"]
                .as_str()
                .expect("a target asks by an expression")
                .to_owned();
            for variable in INTERVALS {
                expr = expr.replace(variable, INTERVAL);
            }
            assert!(!expr.contains('$'), "a variable that this test does not know: {expr}");
            found.push(Question {
                of: format!("panel {}", panel["title"]),
                expr,
            });
        }
    }
}

/// Every rule without its threshold: the series on both sides of each comparison.
pub(crate) fn of_rules(path: &Path) -> Vec<Question> {
    let text = fs::read_to_string(path).expect("the rules are there");
    let mut alert = "";
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("- alert: ") {
            alert = name;
        } else if let Some(expr) = line.strip_prefix("expr: ") {
            let of = format!("alert {alert}");
            // The server is as old as the test: what it was a day ago is asked of now.
            let expr = expr.replace(A_DAY_AGO, "");
            let sides = sides(&expr).into_iter();
            found.extend(sides.map(|expr| Question { of: of.clone(), expr }));
        }
    }
    found
}

fn sides(expr: &str) -> Vec<String> {
    let mut parts: Vec<&str> = expr.split(" and ").collect();
    for comparison in COMPARISONS {
        parts = parts.iter().flat_map(|part| part.split(comparison)).collect();
    }
    let series = parts.into_iter().filter(|part| part.parse::<f64>().is_err());
    series.map(str::to_owned).collect()
}

#[test]
fn a_rule_is_asked_without_its_threshold() {
    let both = ["sum(a) / sum(b)", "rate(c{x!=\"y\"}[1m])"];
    assert_eq!(sides("sum(a) / sum(b) > 0.05 and rate(c{x!=\"y\"}[1m]) == 0"), both);
    assert_eq!(sides("sum(a) > sum(b)"), ["sum(a)", "sum(b)"]);
}
