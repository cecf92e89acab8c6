//! Things that went wrong on the way: how many of each kind, and when they are too many to go on.
//!
//! One leg or one call that fails says nothing about the others: it is made again and counted. Only a server that fails
//! again and again ends a run, and what was reached until then is measured.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Different reasons that are kept apart; further ones count as the last of these.
const REASONS_MAX: usize = 12;
/// The reason of those that are not kept apart.
const OTHERS: &str = "another reason";
/// Failures that any piece of work may have, and one more for each so many parts of it.
const FAILURES_FREE: u64 = 5;
const PARTS_PER_FAILURE: u64 = 20;

/// See the top of this file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    count: u64,
    first: Option<String>,
    reasons: BTreeMap<String, u64>,
}

impl Faults {
    pub(crate) fn note(&mut self, why: &str) {
        self.count += 1;
        self.first.get_or_insert_with(|| why.to_owned());
        let known = self.reasons.contains_key(why) || self.reasons.len() + 1 < REASONS_MAX;
        *self
            .reasons
            .entry(if known { why } else { OTHERS }.to_owned())
            .or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Faults) {
        self.count += other.count;
        self.first = self.first.take().or_else(|| other.first.clone());
        for (why, count) in &other.reasons {
            let known = self.reasons.contains_key(why) || self.reasons.len() + 1 < REASONS_MAX;
            *self
                .reasons
                .entry(if known { why.as_str() } else { OTHERS }.to_owned())
                .or_default() += count;
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The first of them, in words.
    pub(crate) fn first(&self) -> Option<&str> {
        self.first.as_deref()
    }

    /// How often each happened.
    pub(crate) fn figures(&self) -> Value {
        json!(self.reasons)
    }
}

/// How much may go wrong while a piece of work is done.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    parts: u64,
    faults: Faults,
    /// Why it is at an end.
    over: Option<String>,
}

impl Patience {
    /// For work of so many parts.
    pub(crate) fn of(parts: u64) -> Patience {
        Patience {
            parts,
            faults: Faults::default(),
            over: None,
        }
    }

    /// A part failed and will be done again, unless this was one too many.
    pub(crate) fn failed(&mut self, why: &str) {
        self.faults.note(why);
        if self.over.is_none() && self.faults.count() > FAILURES_FREE + self.parts / PARTS_PER_FAILURE {
            self.over = Some(format!("too much went wrong, at last: {why}"));
        }
    }

    /// It makes no sense to go on.
    pub(crate) fn enough(&mut self, why: &str) {
        self.over.get_or_insert_with(|| why.to_owned());
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// What went wrong, and why the work ended early, if it did.
    pub(crate) fn into_parts(self) -> (Faults, Option<String>) {
        (self.faults, self.over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_counted_by_reason_and_the_first_is_kept() {
        let mut faults = Faults::default();
        for why in ["b", "a", "b"] {
            faults.note(why);
        }
        let mut more = Faults::default();
        more.note("c");
        faults.add(&more);
        assert_eq!((faults.count(), faults.first()), (4, Some("b")));
        assert_eq!(faults.figures(), json!({ "a": 1, "b": 2, "c": 1 }));
    }

    #[test]
    fn reasons_beyond_the_limit_are_counted_together() {
        let mut faults = Faults::default();
        for reason in 0..20 {
            faults.note(&reason.to_string());
        }
        let figures = faults.figures();
        assert_eq!(figures.as_object().expect("an object").len(), REASONS_MAX);
        assert_eq!(
            (figures[OTHERS].as_u64(), faults.count()),
            (Some(20 - REASONS_MAX as u64 + 1), 20)
        );
    }

    #[test]
    fn patience_ends_with_one_failure_too_many_and_says_why() {
        let mut patience = Patience::of(100);
        for _ in 0..10 {
            patience.failed("late");
        }
        assert!(!patience.is_over());
        patience.failed("last");
        assert!(patience.is_over());
        let (faults, over) = patience.into_parts();
        assert_eq!(faults.count(), 11);
        assert!(over.is_some_and(|why| why.ends_with("last")));
    }

    #[test]
    fn what_cannot_be_had_ends_it_at_once_and_the_first_reason_stays() {
        let mut patience = Patience::of(100);
        patience.enough("full");
        patience.enough("something that followed");
        assert_eq!(patience.into_parts(), (Faults::default(), Some("full".to_owned())));
    }
}
