//! Instants and spans of the business, in whole microseconds.
//!
//! Never read from a clock here: the desk takes `now` from the database inside the transaction. All arithmetic
//! saturates, so a clock that jumps cannot panic a decision.

/// An instant: microseconds since 1970-01-01T00:00:00Z, as PostgreSQL's `timestamptz` keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

/// A length of time in microseconds; may be negative only as the difference of two instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span(pub i64);

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);

    /// A span of `n` milliseconds.
    pub const fn millis(n: i64) -> Span {
        Span(n.saturating_mul(1_000))
    }

    /// A span of `n` seconds.
    pub const fn seconds(n: i64) -> Span {
        Span(n.saturating_mul(1_000_000))
    }

    /// A span of `n` minutes.
    pub const fn minutes(n: i64) -> Span {
        Span::seconds(n.saturating_mul(60))
    }

    /// The span in seconds, fractions included.
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl Timestamp {
    /// The instant `span` later.
    #[must_use]
    pub const fn plus(self, span: Span) -> Timestamp {
        Timestamp(self.0.saturating_add(span.0))
    }

    /// The instant `span` earlier.
    #[must_use]
    pub const fn minus(self, span: Span) -> Timestamp {
        Timestamp(self.0.saturating_sub(span.0))
    }

    /// Time passed since `earlier`; zero when `earlier` lies in the future.
    pub fn since(self, earlier: Timestamp) -> Span {
        Span(self.0.saturating_sub(earlier.0).max(0))
    }
}
