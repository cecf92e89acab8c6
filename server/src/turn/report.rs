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
    /// At which address; `None`: at none, or at all of them.
    address: Option<IpAddr>,
    /// What was seen.
    seen: String,
    outcome: Outcome,
}

impl Line {
    fn new(check: &'static str, seen: String, outcome: Outcome) -> Line {
        Line {
            check,
            address: None,
            seen,
            outcome,
        }
    }

    pub(crate) fn ok(check: &'static str, seen: String) -> Line {
        Line::new(check, seen, Outcome::Good)
    }

    pub(crate) fn failed(check: &'static str, seen: String, advice: impl Into<String>) -> Line {
        Line::new(check, seen, Outcome::Failed { advice: advice.into() })
    }

    pub(crate) fn skipped(check: &'static str, why: &str) -> Line {
        Line::new(check, why.to_owned(), Outcome::Skipped)
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
        json!({ "check": self.check, "address": self.address, "result": word, "seen": self.seen, "advice": advice })
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
    /// The addresses that were looked at.
    addresses: Vec<IpAddr>,
    /// The one that is looked at now.
    at: Option<IpAddr>,
    lines: Vec<Line>,
}

impl Report {
    pub(crate) fn new(host: &str) -> Report {
        Report {
            host: host.to_owned(),
            addresses: Vec::new(),
            at: None,
            lines: Vec::new(),
        }
    }

    /// What follows is of this address; `None`: of none.
    pub(crate) fn at(&mut self, address: Option<IpAddr>) {
        self.at = address;
        let new = address.filter(|address| !self.addresses.contains(address));
        self.addresses.extend(new);
    }

    pub(crate) fn push(&mut self, mut line: Line) {
        line.address = self.at;
        self.lines.push(line);
    }

    /// Those of no address, then those of each.
    fn by_address(&self) -> impl Iterator<Item = (Option<IpAddr>, Vec<&Line>)> {
        let addresses = std::iter::once(None).chain(self.addresses.iter().copied().map(Some));
        addresses.map(|address| {
            let of_it = self.lines.iter().filter(move |line| line.address == address);
            (address, of_it.collect())
        })
    }

    /// Nothing failed.
    pub(crate) fn is_good(&self) -> bool {
        self.lines.iter().all(Line::is_good)
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (address, lines) in self.by_address() {
            if let Some(address) = address.filter(|_| self.addresses.len() > 1) {
                text.push_str(&format!("\n{address}\n"));
            }
            text.extend(lines.iter().map(|line| format!("{line}\n")));
        }
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
            "addresses": self.addresses,
            "ok": self.is_good(),
            "checks": self.by_address().flat_map(|(_, lines)| lines).map(Line::json).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_with_their_address_and_a_single_one_needs_no_heading() {
        let [one, other] = ["192.0.2.1", "2001:db8::1"].map(|text| text.parse().ok());
        let mut report = Report::new("turn.bank.example");
        report.push(Line::ok("name", "two".to_owned()));
        for address in [one, other] {
            report.at(address);
            report.push(Line::ok("stun-udp", "port 1".to_owned()));
        }
        report.at(None);
        report.push(Line::ok("advertised", "all".to_owned()));
        report.at(one);
        report.push(Line::ok("turn-udp", "port 2".to_owned()));
        report.at(other);
        report.push(Line::failed("turn-udp", "silence".to_owned(), "open the port"));
        assert!(!report.is_good());
        let json = report.json();
        assert_eq!(json["addresses"], json!(["192.0.2.1", "2001:db8::1"]));
        let order: Vec<_> = json["checks"].as_array().into_iter().flatten().collect();
        let order: Vec<_> = order
            .iter()
            .map(|line| (line["check"].as_str(), line["address"].as_str()))
            .collect();
        assert_eq!(
            order,
            [
                (Some("name"), None),
                (Some("advertised"), None),
                (Some("stun-udp"), Some("192.0.2.1")),
                (Some("turn-udp"), Some("192.0.2.1")),
                (Some("stun-udp"), Some("2001:db8::1")),
                (Some("turn-udp"), Some("2001:db8::1")),
            ]
        );
        let text = report.text();
        assert!(text.contains("\n2001:db8::1\nok       stun-udp"), "{text}");
        let mut single = Report::new("turn.bank.example");
        single.at(one);
        single.push(Line::ok("stun-udp", "port 1".to_owned()));
        assert!(!single.text().contains("192.0.2.1"), "{}", single.text());
    }

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
