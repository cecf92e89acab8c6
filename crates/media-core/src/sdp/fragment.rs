//! Pieces of a description that come after it (RFC 8840 §9, `application/trickle-ice-sdpfrag`): candidates, and the
//! new credentials of an ICE restart.
//!
//! Candidates are counted and thrown away, as in an offer; attributes that no lite agent needs are passed over.
//!
//! Invariant: what is read back out of a fragment has no control character in it, so it cannot become a line of ours.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::answer::candidates;
use super::offer::{is_pwd, is_ufrag};
use super::{LINE_BYTES_MAX, LINES_MAX, OFFER_BYTES_MAX};

/// Longest `mid` that is given back; RFC 8843 §14 wants them short.
const MID_BYTES_MAX: usize = 32;

/// Why a fragment was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FragmentRefused {
    /// More than [`OFFER_BYTES_MAX`], [`LINES_MAX`] or [`LINE_BYTES_MAX`].
    #[error("the fragment is too large")]
    TooLarge,
    /// A line that is none of SDP, or credentials that contradict one another.
    #[error("the fragment is malformed")]
    Malformed,
    /// A user name fragment or password that ICE does not know (RFC 8839 §5.4), or one without the other.
    #[error("the fragment has no whole ICE credentials")]
    BadCredentials,
}

impl FragmentRefused {
    /// Every refusal.
    pub const ALL: [FragmentRefused; 3] = [
        FragmentRefused::TooLarge,
        FragmentRefused::Malformed,
        FragmentRefused::BadCredentials,
    ];

    /// Stable snake_case word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            FragmentRefused::TooLarge => "fragment_too_large",
            FragmentRefused::Malformed => "fragment_malformed",
            FragmentRefused::BadCredentials => "fragment_bad_credentials",
        }
    }
}

/// A read fragment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    /// The client's user name fragment and password, when it says them.
    pub credentials: Option<(String, String)>,
    /// The first section's name.
    pub mid: Option<String>,
    /// How many candidates it carries.
    pub candidates: u32,
    /// True if no more are to come.
    pub ended: bool,
}

/// Reads a fragment.
///
/// # Errors
/// [`FragmentRefused`].
pub fn read_fragment(text: &str) -> Result<Fragment, FragmentRefused> {
    if text.len() > OFFER_BYTES_MAX {
        return Err(FragmentRefused::TooLarge);
    }
    let mut fragment = Fragment::default();
    let (mut ufrag, mut pwd) = (None, None);
    for (number, line) in text.lines().enumerate() {
        if number >= LINES_MAX || line.len() > LINE_BYTES_MAX {
            return Err(FragmentRefused::TooLarge);
        }
        if line.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(FragmentRefused::Malformed);
        }
        if line.is_empty() {
            continue;
        }
        let (kind, value) = line.split_once('=').ok_or(FragmentRefused::Malformed)?;
        if kind.len() != 1 {
            return Err(FragmentRefused::Malformed);
        }
        if kind != "a" {
            continue;
        }
        let (name, value) = value.split_once(':').unwrap_or((value, ""));
        match name {
            "ice-ufrag" => once(&mut ufrag, value.trim())?,
            "ice-pwd" => once(&mut pwd, value.trim())?,
            "candidate" => fragment.candidates += 1,
            "end-of-candidates" => fragment.ended = true,
            "mid" if fragment.mid.is_none() && (1..=MID_BYTES_MAX).contains(&value.trim().len()) => {
                fragment.mid = Some(value.trim().to_owned());
            }
            _ => {}
        }
    }
    fragment.credentials = match (ufrag, pwd) {
        (None, None) => None,
        (Some(ufrag), Some(pwd)) if is_ufrag(ufrag) && is_pwd(pwd) => Some((ufrag.to_owned(), pwd.to_owned())),
        (_, _) => return Err(FragmentRefused::BadCredentials),
    };
    Ok(fragment)
}

/// All sections of a bundle share one pair; saying it twice is no contradiction, saying another is.
fn once<'a>(place: &mut Option<&'a str>, value: &'a str) -> Result<(), FragmentRefused> {
    match place {
        Some(known) if *known != value => Err(FragmentRefused::Malformed),
        Some(_) => Ok(()),
        None => {
            *place = Some(value);
            Ok(())
        }
    }
}

/// Writes our side of a restart: the new pair and every candidate.
///
/// `mid`: the section's name as the client has it; RFC 8840 §9.2 wants one.
#[must_use]
pub fn restart_fragment(ufrag: &str, pwd: &str, mid: Option<&str>, addresses: &[SocketAddr]) -> String {
    let mut text = String::with_capacity(512);
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "a=ice-lite\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{}\r\n",
        mid.unwrap_or("0")
    );
    let _ = candidates(&mut text, addresses);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PWD: &str = "0123456789abcdef012345";

    fn restart(ufrag: &str, pwd: &str) -> String {
        format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\n")
    }

    #[test]
    fn candidates_are_counted_whatever_is_in_them() {
        let text = "a=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=ice-ufrag:EsAw\r\n\
                    a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=candidate:1 1 UDP 2130706431 192.0.2.1 5000 typ host\r\n\
                    a=candidate:\r\na=candidate:x.local\r\na=end-of-candidates\r\n";
        let fragment = read_fragment(text).unwrap();
        assert_eq!((fragment.candidates, fragment.ended), (3, true));
        assert_eq!(fragment.mid.as_deref(), Some("0"));
        assert_eq!(fragment.credentials.unwrap().0, "EsAw");
        assert_eq!(read_fragment("").unwrap(), Fragment::default());
    }

    #[test]
    fn credentials_come_whole_and_alike_or_not_at_all() {
        let whole = read_fragment(&restart("abcd", PWD)).unwrap();
        assert_eq!(whole.credentials, Some(("abcd".to_owned(), PWD.to_owned())));
        let twice = restart("abcd", PWD) + &restart("abcd", PWD);
        assert_eq!(read_fragment(&twice).unwrap(), whole);
        let other = restart("abcd", PWD) + &restart("abce", PWD);
        assert_eq!(read_fragment(&other), Err(FragmentRefused::Malformed));
        for bad in [
            "a=ice-ufrag:abcd\r\n".to_owned(),
            format!("a=ice-pwd:{PWD}\r\n"),
            restart("abc", PWD),
            restart("abcd", &PWD[1..]),
            restart("ab d", PWD),
            restart(&"a".repeat(257), PWD),
        ] {
            assert_eq!(read_fragment(&bad), Err(FragmentRefused::BadCredentials), "{bad}");
        }
    }

    #[test]
    fn what_is_no_line_of_sdp_is_refused_and_sizes_have_an_end() {
        for bad in ["x", "ab=c", "a=mid:0\ra=x", "a=\u{1}", "=", "\u{fc}=1"] {
            assert_eq!(read_fragment(bad), Err(FragmentRefused::Malformed), "{bad:?}");
        }
        let lines = "a=candidate:1\n".repeat(LINES_MAX);
        assert_eq!(read_fragment(&lines).unwrap().candidates, LINES_MAX as u32);
        assert_eq!(read_fragment(&(lines + "a=x\n")), Err(FragmentRefused::TooLarge));
        let long = format!("a={}", "x".repeat(LINE_BYTES_MAX - 2));
        assert!(read_fragment(&long).is_ok());
        assert_eq!(read_fragment(&(long + "x")), Err(FragmentRefused::TooLarge));
        let bytes = "a=\n".repeat(LINES_MAX) + &"\n".repeat(OFFER_BYTES_MAX);
        assert_eq!(read_fragment(&bytes), Err(FragmentRefused::TooLarge));
    }

    #[test]
    fn our_restart_can_be_read_by_the_same_rules() {
        let here = [SocketAddr::from(([192, 0, 2, 1], 40_000))];
        let text = restart_fragment("Serv1234", PWD, Some("audio"), &here);
        let fragment = read_fragment(&text).unwrap();
        assert_eq!(fragment.credentials, Some(("Serv1234".to_owned(), PWD.to_owned())));
        assert_eq!((fragment.candidates, fragment.ended), (1, true));
        assert_eq!(fragment.mid.as_deref(), Some("audio"));
    }
}
