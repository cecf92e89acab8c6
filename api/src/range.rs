//! Which bytes of a file a request wants (RFC 9110 §13 and §14).
//!
//! Pure. One range is answered; several, or a unit other than bytes, are treated as none, as the RFC allows.

use std::ops::Range;

use axum::http::{HeaderMap, header};

/// What to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The client has it already.
    NotModified,
    /// All of it.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// Nothing of the file lies in the range.
    Unsatisfiable,
}

/// Decides for a file of `total` bytes whose strong tag is `etag` (with its quotes).
pub(crate) fn wanted(headers: &HeaderMap, etag: &str, total: u64) -> Wanted {
    if let Some(tags) = text(headers, header::IF_NONE_MATCH)
        && tags
            .split(',')
            .any(|tag| tag.trim() == "*" || tag.trim().trim_start_matches("W/") == etag)
    {
        return Wanted::NotModified;
    }
    // RFC 9110 §13.1.5: only a strong and equal tag makes the range count; a date would be a weak witness.
    let fresh = text(headers, header::IF_RANGE).is_none_or(|tag| tag.trim() == etag);
    match text(headers, header::RANGE) {
        Some(range) if fresh => parse(range, total),
        _ => Wanted::Whole,
    }
}

/// Reads one `bytes=` range.
fn parse(range: &str, total: u64) -> Wanted {
    let Some(spec) = range.trim().strip_prefix("bytes=") else {
        return Wanted::Whole;
    };
    let Some((first, last)) = spec.split_once('-') else {
        return Wanted::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        // The last n bytes.
        return match number(last) {
            None => Wanted::Whole,
            Some(0) => Wanted::Unsatisfiable,
            Some(_) if total == 0 => Wanted::Unsatisfiable,
            Some(n) => Wanted::Part(total.saturating_sub(n)..total),
        };
    }
    let Some(start) = number(first) else {
        return Wanted::Whole;
    };
    let end = match last {
        "" => total,
        _ => match number(last) {
            Some(last) if last >= start => last.saturating_add(1).min(total),
            // Several ranges, letters, or an end before the start: not a range.
            _ => return Wanted::Whole,
        },
    };
    if start >= total {
        Wanted::Unsatisfiable
    } else {
        Wanted::Part(start..end)
    }
}

/// Decimal digits only: no sign, no space.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // A number that does not fit lies beyond every file.
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// A header as text; `None` when absent or not text.
fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "\"abc\"";

    fn ask(pairs: &[(header::HeaderName, &str)], total: u64) -> Wanted {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(name, value.parse().unwrap());
        }
        wanted(&headers, TAG, total)
    }

    #[test]
    fn one_range_is_cut_to_the_file() {
        let part = |range, total| ask(&[(header::RANGE, range)], total);
        assert_eq!(part("bytes=0-0", 10), Wanted::Part(0..1));
        assert_eq!(part("bytes=0-", 10), Wanted::Part(0..10));
        assert_eq!(part("bytes=3-5", 10), Wanted::Part(3..6));
        assert_eq!(part("bytes=3-500", 10), Wanted::Part(3..10));
        assert_eq!(part("bytes=9-99999999999999999999999", 10), Wanted::Part(9..10));
        assert_eq!(part("bytes=-4", 10), Wanted::Part(6..10));
        assert_eq!(part("bytes=-40", 10), Wanted::Part(0..10));
    }

    #[test]
    fn a_range_outside_is_unsatisfiable() {
        for range in ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=18446744073709551615-"] {
            assert_eq!(ask(&[(header::RANGE, range)], 10), Wanted::Unsatisfiable, "{range}");
        }
        assert_eq!(ask(&[(header::RANGE, "bytes=-5")], 0), Wanted::Unsatisfiable);
    }

    #[test]
    fn what_is_no_single_range_is_ignored() {
        for range in [
            "bytes=",
            "bytes=-",
            "bytes=5-3",
            "bytes=a-b",
            "bytes=0-1,4-5",
            "items=0-1",
            "bytes=+1-2",
            "x",
        ] {
            assert_eq!(ask(&[(header::RANGE, range)], 10), Wanted::Whole, "{range}");
        }
    }

    #[test]
    fn conditions_come_before_the_range() {
        let range = (header::RANGE, "bytes=0-0");
        assert_eq!(ask(&[range.clone(), (header::IF_RANGE, TAG)], 10), Wanted::Part(0..1));
        assert_eq!(ask(&[range.clone(), (header::IF_RANGE, "\"old\"")], 10), Wanted::Whole);
        assert_eq!(
            ask(&[range.clone(), (header::IF_RANGE, "W/\"abc\"")], 10),
            Wanted::Whole,
            "weak"
        );
        assert_eq!(
            ask(&[range.clone(), (header::IF_NONE_MATCH, "\"x\", \"abc\"")], 10),
            Wanted::NotModified
        );
        assert_eq!(ask(&[range, (header::IF_NONE_MATCH, "*")], 10), Wanted::NotModified);
    }
}
