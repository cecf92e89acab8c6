//! What was found, a line for each thing that was looked at.

use std::fmt;
use std::net::IpAddr;

use serde_json::{Value, json};

/// How one thing stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Good,
    Failed {
        /// What the operator does about it.
        advice: String,
    },
    /// Could not be looked at, because of something that failed before.
    Skipped,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Stable word for programs.
    check: &'static str,
    /// What was seen.
    seen: String,
    outcome: Outcome,
}

impl Line {
    pub(crate) fn ok(check: &'static str, seen: String) -> Line {
        Line {
            check,
            seen,
            outcome: Outcome::Good,
        }
    }

    pub(crate) fn failed(check: &'static str, seen: String, advice: impl Into<String>) -> Line {
        Line {
            check,
            seen,
            outcome: Outcome::Failed { advice: advice.into() },
        }
    }

    pub(crate) fn skipped(check: &'static str, why: &str) -> Line {
        Line {
            check,
            seen: why.to_owned(),
            outcome: Outcome::Skipped,
        }
    }

    /// Not failed.
    pub(crate) fn is_good(&self) -> bool {
        !matches!(self.outcome, Outcome::Failed { .. })
    }

    fn json(&self) -> Value {
        let (word, advice) = match &self.outcome {
            Outcome::Good => ("ok", None),
            Outcome::Failed { advice } => ("failed", Some(advice)),
            Outcome::Skipped => ("skipped", None),
        };
        json!({ "check": self.check, "result": word, "seen": self.seen, "advice": advice })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Good => write!(f, "ok       {:<17} {}", self.check, self.seen),
            Outcome::Skipped => write!(f, "skipped  {:<17} {}", self.check, self.seen),
            Outcome::Failed { advice } => {
                write!(f, "FAILED   {:<17} {}. To do: {advice}.", self.check, self.seen)
            }
        }
    }
}

/// All lines.
#[derive(Debug)]
pub(crate) struct Report {
    host: String,
    /// The address that was looked at.
    pub(crate) address: Option<IpAddr>,
    lines: Vec<Line>,
}

impl Report {
    pub(crate) fn new(host: &str) -> Report {
        Report {
            host: host.to_owned(),
            address: None,
            lines: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// Nothing failed.
    pub(crate) fn is_good(&self) -> bool {
        self.lines.iter().all(Line::is_good)
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text: String = self.lines.iter().map(|line| format!("{line}\n")).collect();
        let failed = self.lines.iter().filter(|line| !line.is_good()).count();
        text.push_str(&match failed {
            0 => format!("\n{} is good.\n", self.host),
            1 => format!("\n{}: one check failed.\n", self.host),
            more => format!("\n{}: {more} checks failed.\n", self.host),
        });
        text
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        json!({
            "host": self.host,
            "address": self.address,
            "ok": self.is_good(),
            "checks": self.lines.iter().map(Line::json).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_line_spoils_it_and_a_skipped_one_does_not() {
        let mut report = Report::new("turn.bank.example");
        report.push(Line::ok("name", "192.0.2.1".to_owned()));
        report.push(Line::skipped("certificate", "no TLS"));
        assert!(report.is_good());
        report.push(Line::failed("turn-udp", "silence".to_owned(), "open the port"));
        assert!(!report.is_good());
        let json = report.json();
        assert_eq!(
            (&json["ok"], &json["checks"][2]["advice"]),
            (&json!(false), &json!("open the port"))
        );
        let text = report.text();
        assert!(
            text.contains("FAILED   turn-udp") && text.contains("one check failed"),
            "{text}"
        );
    }
}
