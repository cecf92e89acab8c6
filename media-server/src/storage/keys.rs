//! Where a recording's objects lie: `recordings/YYYY/MM/DD/<recording>/<object>`, the day in UTC. What was derived from
//! them lies in the same folder, so whoever erases a recording by its folder erases that as well.
//!
//! Never holds anything of the call but the recording's id and the day.

use ports::Sound;

/// First part of every key.
pub(crate) const ROOT: &str = "recordings";
/// Longest key that is looked at, in bytes: ours have 76 at most, and a longer one is somebody else's.
pub const KEY_BYTES_MAX: usize = 128;

/// Name of the agent's side of a split recording.
pub const SECOND: &str = "audio-agent.opus";
/// Name of the peaks: what lies under `derived` can be made anew from the rest and may be deleted at any time.
pub const PEAKS: &str = "derived/peaks";

/// The objects of one recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    folder: String,
}

impl Keys {
    /// Keys of a recording that began at `unix_s`; every `attempt` (from 0) has a folder of its own, so that nothing
    /// stored is ever written over.
    #[must_use]
    pub fn new(recording: u128, unix_s: u64, attempt: u32) -> Keys {
        let (year, month, day) = civil(unix_s / 86_400);
        let id = uuid::Uuid::from_u128(recording);
        let attempt = if attempt == 0 {
            String::new()
        } else {
            format!("-{attempt}")
        };
        Keys {
            folder: format!("{ROOT}/{year:04}/{month:02}/{day:02}/{id}{attempt}"),
        }
    }

    /// Any object of this recording.
    #[must_use]
    pub fn object(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    /// The master.
    #[must_use]
    pub fn audio(&self) -> String {
        self.object("audio.opus")
    }

    /// The agent's side of a split recording.
    #[must_use]
    pub fn second(&self) -> String {
        self.object(SECOND)
    }

    /// A voice beside the two sides, by the number of its file, from 0.
    #[must_use]
    pub fn beside(&self, number: usize) -> String {
        self.object(&format!("beside-{}.opus", number + 1))
    }

    /// What the master cannot say.
    #[must_use]
    pub fn side(&self) -> String {
        self.object("side.json")
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> String {
        self.object("manifest.json")
    }
}

/// The key of the object `name` of the recording whose master lies at `audio`; `None` when that is no key of ours.
#[must_use]
pub fn beside(audio: &str, name: &str) -> Option<String> {
    let (folder, _) = audio.rsplit_once('/')?;
    let key = format!("{folder}/{name}");
    is_ours(&key).then_some(key)
}

/// The key of the peaks of a sound; `None` when its own is no key of ours.
#[must_use]
pub fn peaks(sound: &Sound) -> Option<String> {
    match sound {
        Sound::Master(audio) => beside(audio, PEAKS),
        Sound::Voice(audio) => {
            let (_, file) = audio.rsplit_once('/')?;
            beside(audio, &format!("{PEAKS}-{}", file.strip_suffix(".opus")?))
        }
    }
}

/// True when a key may name an object of ours: no way out of the folder, nothing but plain characters.
#[must_use]
pub fn is_ours(key: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(plain);
    key.len() <= KEY_BYTES_MAX
        && key.strip_prefix(ROOT).is_some_and(|rest| rest.starts_with('/'))
        && key.split('/').all(part)
}

/// Year, month and day of the Gregorian calendar for a count of days since 1970-01-01.
///
/// Years are counted from March, so that the day that comes and goes is the last one of its year.
const fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_ERA: u64 = 146_097;
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    let days = days + 719_468;
    let (era, day) = (days / DAYS_OF_ERA, days % DAYS_OF_ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day + 2) / 153;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year + if month <= 2 { 1 } else { 0 };
    (year, month, day - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_the_date_of_the_calendar() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(59), (1970, 3, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(11_017), (2000, 3, 1));
        assert_eq!(civil(20_781), (2026, 11, 24));
        assert_eq!(civil(47_540), (2100, 2, 28));
        assert_eq!(civil(47_541), (2100, 3, 1));
    }

    #[test]
    fn keys_are_ours_and_nobody_elses() {
        let keys = Keys::new(1, 20_781 * 86_400 + 86_399, 0);
        assert_eq!(
            keys.audio(),
            "recordings/2026/11/24/00000000-0000-0000-0000-000000000001/audio.opus"
        );
        assert_ne!(Keys::new(1, 0, 1), Keys::new(1, 0, 2));
        let of_voice = |number| peaks(&Sound::Voice(keys.beside(number)));
        let all = peaks(&Sound::Master(keys.audio())).unwrap();
        assert_eq!(beside(&keys.audio(), PEAKS).as_ref(), Some(&all));
        assert_ne!(of_voice(0), of_voice(1));
        for key in [
            keys.audio(),
            keys.second(),
            keys.beside(15),
            keys.side(),
            all,
            of_voice(15).unwrap(),
            keys.manifest(),
        ] {
            assert!(is_ours(&key) && key.len() <= 76 + 16, "{key}");
        }
        assert_eq!(beside(&keys.audio(), SECOND), Some(keys.second()));
        for audio in ["a.opus", "elsewhere/a.opus", "recordings/../a.opus", ""] {
            assert_eq!(beside(audio, PEAKS), None, "{audio}");
            assert_eq!(peaks(&Sound::Voice(audio.to_owned())), None, "{audio}");
        }
        for key in [
            "",
            "recordings",
            "recordings/",
            "recordings/../x",
            "recordings//x",
            "/recordings/x",
            "recordingsx/y",
        ] {
            assert!(!is_ours(key), "{key}");
        }
        for key in [
            "recordings/a\0",
            "recordings/a b",
            "recordings/.x",
            "spool/a",
            "recordings/%2e%2e/a",
        ] {
            assert!(!is_ours(key), "{key}");
        }
        let long = |n: usize| format!("{ROOT}/{}", "a".repeat(n - ROOT.len() - 1));
        assert!(is_ours(&long(KEY_BYTES_MAX)) && !is_ours(&long(KEY_BYTES_MAX + 1)));
    }
}
