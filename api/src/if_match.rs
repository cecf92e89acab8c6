//! `If-Match`: which state of a thing a request is meant for (RFC 9110 §13.1.1).
//!
//! Invariant: a weak tag names nothing, for it does not tell two states apart.

use axum::http::{HeaderMap, StatusCode, header};
use desk::Known;

use crate::problem::Failure;

/// See the top of this file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// `*`, which RFC 9725 writes as `"*"`: whichever there is.
    Any,
    /// One of these.
    Tags(Vec<String>),
}

impl IfMatch {
    /// `None` without the header.
    fn of(headers: &HeaderMap) -> Option<IfMatch> {
        let lines = headers.get_all(header::IF_MATCH).iter();
        let tags = lines.flat_map(|line| line.to_str().unwrap_or_default().split(','));
        let tags: Vec<String> = tags.map(|tag| tag.trim().to_owned()).collect();
        match tags.as_slice() {
            [] => None,
            [only] if matches!(only.as_str(), "*" | "\"*\"") => Some(IfMatch::Any),
            _ => Some(IfMatch::Tags(tags)),
        }
    }

    /// The header where it must be (RFC 6585 §3). `detail`: what to send.
    pub(crate) fn required(headers: &HeaderMap, detail: &'static str) -> Result<IfMatch, Failure> {
        IfMatch::of(headers).ok_or_else(|| {
            let failure = Failure::new(
                StatusCode::PRECONDITION_REQUIRED,
                "precondition_required",
                "If-Match is missing",
            );
            failure.detail(detail)
        })
    }

    /// True if it names this tag, quotes included.
    pub(crate) fn names(&self, tag: &[u8]) -> bool {
        match self {
            IfMatch::Any => true,
            IfMatch::Tags(tags) => tags.iter().any(|one| one.as_bytes() == tag),
        }
    }

    /// The same where tags are running numbers in quotes; what is no number names nothing.
    pub(crate) fn versions(&self) -> Known {
        let number = |tag: &String| tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok();
        match self {
            IfMatch::Any => Known::Any,
            IfMatch::Tags(tags) => Known::Versions(tags.iter().filter_map(number).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn wanted(lines: &[&'static str]) -> Option<IfMatch> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::IF_MATCH, HeaderValue::from_static(line));
        }
        IfMatch::of(&headers)
    }

    #[test]
    fn a_star_is_anything_and_only_a_strong_tag_names_a_state() {
        let present = b"\"abc\"";
        assert_eq!(wanted(&[]), None);
        assert_eq!(wanted(&["*"]), Some(IfMatch::Any));
        assert_eq!(wanted(&[" \"*\" "]), Some(IfMatch::Any));
        assert!(wanted(&["*"]).unwrap().names(present));
        assert!(wanted(&["\"other\", \"abc\""]).unwrap().names(present));
        assert!(!wanted(&["\"other\", W/\"abc\"", "\"third\""]).unwrap().names(present));
        assert!(!wanted(&["*, \"x\""]).unwrap().names(present));
    }

    #[test]
    fn versions_are_numbers_in_quotes_and_nothing_else() {
        let known = |line| wanted(&[line]).unwrap().versions();
        assert_eq!(known("*"), Known::Any);
        assert_eq!(known("\"3\", \"0\""), Known::Versions(vec![3, 0]));
        for odd in [
            "3",
            "W/\"3\"",
            "\"three\"",
            "\"\"",
            "\"",
            "*, *",
            "\"99999999999999999999\"",
        ] {
            assert_eq!(known(odd), Known::Versions(Vec::new()), "{odd}");
        }
    }
}
