//! Counts what passed and failed, from the closing lines of the test runners.

use crate::{
    clock::{Stopwatch, seconds},
    shell::Outcome,
};

/// Results so far.
#[derive(Default)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
    lines: Vec<String>,
}

impl Tally {
    /// Runs one check that counts as one test.
    pub(crate) fn check(&mut self, name: &str, check: impl FnOnce() -> Outcome) -> bool {
        self.suite(name, |tally| {
            let outcome = check();
            if outcome.is_ok() {
                tally.passed += 1;
            }
            outcome
        })
    }

    /// Runs one suite that counts its own tests; a suite that fails counts one failure at least, and one in which
    /// nothing passed has failed: a name that matches no test must not look like success.
    pub(crate) fn suite(&mut self, name: &str, suite: impl FnOnce(&mut Tally) -> Outcome) -> bool {
        println!("\n== {name}");
        let (before, passed) = (self.failed, self.passed);
        let watch = Stopwatch::start();
        let mut outcome = suite(self);
        if outcome.is_ok() && self.failed == before && self.passed == passed {
            outcome = Err("nothing of it was run".to_owned());
        }
        let time = seconds(watch.passed());
        if let Err(reason) = &outcome {
            if self.failed == before {
                self.failed += 1;
            }
            println!("FAILED {name}: {reason}");
        }
        let good = outcome.is_ok() && self.failed == before;
        self.lines
            .push(format!("{:<6} {name} ({time})", if good { "ok" } else { "FAILED" }));
        good
    }

    /// Notes a suite that was left out, and why.
    pub(crate) fn left_out(&mut self, name: &str, why: &str) {
        self.skipped += 1;
        self.lines.push(format!("{:<6} {name}: {why}", "left"));
    }

    /// Reads a closing line of `cargo test` (`test result: ok. 3 passed; 0 failed; 1 ignored; …`).
    pub(crate) fn cargo_line(&mut self, line: &str) {
        if let Some(rest) = line.trim_start().strip_prefix("test result:") {
            self.passed += number_before(rest, " passed");
            self.failed += number_before(rest, " failed");
            self.skipped += number_before(rest, " ignored");
        }
    }

    /// Reads a closing line of vitest (`Tests  2 failed | 31 passed (33)`).
    pub(crate) fn vitest_line(&mut self, line: &str) {
        let plain = without_colour(line);
        let text = plain.trim_start();
        if text.starts_with("Tests ") {
            self.passed += number_before(text, " passed");
            self.failed += number_before(text, " failed");
            self.skipped += number_before(text, " skipped");
        }
    }

    /// Prints the report; its last line is the one that counts.
    pub(crate) fn close(self) -> Outcome {
        println!();
        for line in &self.lines {
            println!("{line}");
        }
        println!(
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        );
        if self.failed > 0 {
            Err("some checks failed".to_owned())
        } else {
            Ok(())
        }
    }
}

/// The number right before `word`, 0 when it does not stand there.
fn number_before(text: &str, word: &str) -> u64 {
    let Some(end) = text.find(word) else { return 0 };
    let head = text.get(..end).unwrap_or_default();
    let digits = head.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or(0)
}

/// Removes terminal colour sequences.
fn without_colour(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            // A sequence ends with its first letter.
            for inner in characters.by_ref() {
                if inner.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            plain.push(character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_lines_of_both_runners_are_counted() {
        let mut tally = Tally::default();
        tally.cargo_line("test result: FAILED. 12 passed; 3 failed; 4 ignored; 0 measured; 0 filtered out");
        tally.vitest_line("\u{1b}[2m      Tests \u{1b}[22m \u{1b}[1m\u{1b}[31m2 failed\u{1b}[39m | \u{1b}[32m31 passed\u{1b}[39m (33)");
        tally.cargo_line("running 7 tests");
        assert_eq!((tally.passed, tally.failed, tally.skipped), (43, 5, 4));
    }

    #[test]
    fn a_suite_of_which_nothing_ran_is_a_failure() {
        let mut tally = Tally::default();
        assert!(!tally.suite("a wrong name", |tally| {
            tally.vitest_line("      Tests  1 skipped (1)");
            Ok(())
        }));
        assert_eq!((tally.passed, tally.failed, tally.skipped), (0, 1, 1));
        assert!(tally.close().is_err());
    }

    #[test]
    fn a_suite_that_breaks_without_a_count_still_counts_as_a_failure() {
        let mut tally = Tally::default();
        assert!(!tally.suite("broken", |_| Err("no such program".to_owned())));
        assert_eq!(tally.failed, 1);
        assert!(tally.close().is_err());
    }
}
