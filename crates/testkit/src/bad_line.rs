//! What a network does to one direction of a voice, as a sender applies it to itself: loss in bursts, jitter, reordering.
//! Pure and seeded; a text names it, and [`crate::impair`] decides over each packet.
//!
//! The verdict over a packet depends on the seed, the flow and the packets of the flow before it, and on nothing else: a
//! run can be repeated, and [`crate::impair::Loss::map`] tells whoever judges the sound what was lost.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::impair::{Fate, Link, Loss, Terms};

/// A reordered packet is held back this long: one and a half 20 ms frames, so that exactly its successor overtakes it.
pub const REORDER_DELAY: Duration = Duration::from_millis(30);
/// Longest jitter that is taken; beyond it a packet counts as lost for a voice anyway.
pub const JITTER_MS_MAX: f64 = 1_000.0;
/// Longest mean burst that is taken: a second of 20 ms frames; what is longer is an outage and no loss profile.
pub const BURST_MAX: f64 = 50.0;
/// Highest loss that is taken: beyond half nobody talks.
pub const LOSS_MAX: f64 = 0.5;

/// What one direction suffers. The default is a clean line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// Share of packets lost, 0 to [`LOSS_MAX`].
    pub loss: f64,
    /// Mean packets of a burst of losses, 1 to [`BURST_MAX`].
    pub burst: f64,
    /// Packets come up to this much later, evenly spread; their order is kept.
    pub jitter: Duration,
    /// Share of packets that their successor overtakes.
    pub reorder: f64,
}

impl Default for Profile {
    fn default() -> Profile {
        Profile {
            loss: 0.0,
            burst: 1.0,
            jitter: Duration::ZERO,
            reorder: 0.0,
        }
    }
}

/// Why a profile's text was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadProfile {
    /// A word that is none of `loss`, `burst`, `jitter`, `reorder`.
    #[error("{0:?} is no part of a profile; there are loss, burst, jitter, reorder")]
    Unknown(String),
    /// A value that is no number of its kind.
    #[error("{0:?} is no value; write loss=5%,burst=2,jitter=20ms,reorder=1%")]
    Value(String),
    /// A number outside its limits.
    #[error("{0} is out of its limits")]
    Limit(&'static str),
}

fn number(text: &str, unit: &str) -> Option<f64> {
    let number: f64 = text.strip_suffix(unit)?.trim().parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number)
}

impl FromStr for Profile {
    type Err = BadProfile;

    /// Reads `loss=5%,burst=2,jitter=20ms,reorder=1%`; each part may be left out.
    fn from_str(text: &str) -> Result<Profile, BadProfile> {
        let mut profile = Profile::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let bad = || BadProfile::Value(part.to_owned());
            let (name, value) = part.split_once('=').ok_or_else(bad)?;
            match name {
                "loss" => profile.loss = number(value, "%").ok_or_else(bad)? / 100.0,
                "burst" => profile.burst = number(value, "").ok_or_else(bad)?,
                "jitter" => {
                    let ms = number(value, "ms").ok_or_else(bad)?;
                    if ms > JITTER_MS_MAX {
                        return Err(BadProfile::Limit("jitter"));
                    }
                    profile.jitter = Duration::from_secs_f64(ms / 1_000.0);
                }
                "reorder" => profile.reorder = number(value, "%").ok_or_else(bad)? / 100.0,
                _ => return Err(BadProfile::Unknown(name.to_owned())),
            }
        }
        if profile.loss > LOSS_MAX {
            return Err(BadProfile::Limit("loss"));
        }
        if !(1.0..=BURST_MAX).contains(&profile.burst) {
            return Err(BadProfile::Limit("burst"));
        }
        if profile.reorder > 1.0 {
            return Err(BadProfile::Limit("reorder"));
        }
        Ok(profile)
    }
}

impl fmt::Display for Profile {
    /// As it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (loss, burst, reorder) = (self.loss * 100.0, self.burst, self.reorder * 100.0);
        let jitter = self.jitter.as_secs_f64() * 1_000.0;
        write!(f, "loss={loss}%,burst={burst},jitter={jitter}ms,reorder={reorder}%")
    }
}

impl Profile {
    /// True when it does nothing.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.loss == 0.0 && self.jitter.is_zero() && self.reorder == 0.0
    }
}

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It never arrives.
    Lost,
    /// It arrives this much later, in its order.
    Late(Duration),
    /// It arrives this much later and does not hold back those behind it.
    Overtaken(Duration),
}

/// Numbers that a seed decides (splitmix64).
#[derive(Clone, Copy, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The dice of one flow: neighbouring seeds and flows have nothing in common.
    #[must_use]
    pub fn of(seed: u64, flow: u64) -> Dice {
        let mut dice = Dice(seed ^ flow.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        let first = dice.throw();
        Dice(first ^ seed)
    }

    /// The next number.
    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// The next number, 0 to 1 without 1.
    pub fn share(&mut self) -> f64 {
        const STEPS: f64 = (1u64 << 53) as f64;
        (self.throw() >> 11) as f64 / STEPS
    }
}

impl From<Profile> for Terms {
    fn from(profile: Profile) -> Terms {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Terms {
            loss: Loss::bursts(profile.loss, profile.burst),
            jitter_us: micros(profile.jitter),
            reorder: profile.reorder,
            behind_us: micros(REORDER_DELAY),
            ..Terms::default()
        }
    }
}

/// One direction of one leg.
#[derive(Clone, Debug)]
pub struct Flow(Link);

impl Flow {
    /// Flow number `flow` under `seed`.
    #[must_use]
    pub fn new(profile: Profile, seed: u64, flow: u64) -> Flow {
        Flow(Link::new(seed, flow, profile.into()))
    }

    /// What happens to the next packet.
    pub fn verdict(&mut self) -> Verdict {
        // A sender that holds itself back has no link whose width or clock would matter.
        match self.0.next(0, 0) {
            Fate::Lost => Verdict::Lost,
            Fate::Comes { at_us, behind, .. } => {
                let late = Duration::from_micros(at_us);
                if behind {
                    Verdict::Overtaken(late)
                } else {
                    Verdict::Late(late)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(profile: &str, seed: u64, count: usize) -> Vec<Verdict> {
        let mut flow = Flow::new(profile.parse().unwrap(), seed, 3);
        (0..count).map(|_| flow.verdict()).collect()
    }

    fn losses(verdicts: &[Verdict]) -> (f64, f64) {
        let lost = verdicts.iter().filter(|verdict| **verdict == Verdict::Lost).count();
        let bursts = verdicts
            .windows(2)
            .filter(|pair| pair[0] != Verdict::Lost && pair[1] == Verdict::Lost)
            .count();
        (lost as f64 / verdicts.len() as f64, lost as f64 / bursts.max(1) as f64)
    }

    #[test]
    fn loss_and_burst_are_what_was_asked_for() {
        for (text, loss, burst) in [
            ("loss=5%", 0.05, 1.0),
            ("loss=10%,burst=2", 0.1, 2.0),
            ("loss=3%,burst=5", 0.03, 5.0),
        ] {
            let (is_loss, is_burst) = losses(&verdicts(text, 11, 200_000));
            assert!((is_loss / loss - 1.0).abs() < 0.1, "{text}: {is_loss}");
            // A burst of one on average still has neighbours by chance.
            let by_chance = if burst == 1.0 { 1.0 / (1.0 - loss) } else { burst };
            assert!((is_burst / by_chance - 1.0).abs() < 0.1, "{text}: {is_burst}");
        }
    }

    #[test]
    fn the_same_seed_says_the_same_and_another_does_not() {
        let text = "loss=5%,burst=2,jitter=20ms,reorder=1%";
        assert_eq!(verdicts(text, 7, 1_000), verdicts(text, 7, 1_000));
        assert_ne!(verdicts(text, 7, 1_000), verdicts(text, 8, 1_000));
    }

    #[test]
    fn delays_stay_below_the_jitter_and_overtaken_packets_are_as_many_as_asked() {
        let all = verdicts("jitter=20ms,reorder=1%", 5, 100_000);
        let overtaken = all
            .iter()
            .filter(|verdict| matches!(verdict, Verdict::Overtaken(_)))
            .count();
        assert!((800..1_200).contains(&overtaken), "{overtaken}");
        for verdict in all {
            match verdict {
                Verdict::Late(late) => assert!(late < Duration::from_millis(20)),
                Verdict::Overtaken(late) => assert!(late >= REORDER_DELAY && late < Duration::from_millis(50)),
                Verdict::Lost => panic!("no loss was asked for"),
            }
        }
    }

    #[test]
    fn the_map_of_the_same_seed_and_flow_is_what_is_lost() {
        let profile: Profile = "loss=10%,burst=2,jitter=20ms,reorder=1%".parse().unwrap();
        let mut flow = Flow::new(profile, 9, 4);
        let lost: Vec<bool> = (0..5_000).map(|_| flow.verdict() == Verdict::Lost).collect();
        assert_eq!(lost, Loss::bursts(0.1, 2.0).map(9, 4, 5_000));
        assert!(lost.contains(&true));
    }

    #[test]
    fn a_profile_is_printed_as_it_is_read() {
        let text = "loss=5%,burst=2,jitter=20ms,reorder=1%";
        assert_eq!(text.parse::<Profile>().unwrap().to_string(), text);
    }

    #[test]
    fn a_clean_line_changes_nothing() {
        assert!(Profile::default().is_clean());
        let all = verdicts("", 1, 1_000);
        assert!(all.iter().all(|verdict| *verdict == Verdict::Late(Duration::ZERO)));
    }

    #[test]
    fn what_is_no_profile_is_refused_and_limits_are_kept() {
        let read = |text: &str| text.parse::<Profile>();
        assert!(matches!(read("rain=5%"), Err(BadProfile::Unknown(_))));
        for text in ["loss", "loss=5", "loss=-1%", "jitter=20", "burst=2%", "loss=nan%"] {
            assert!(matches!(read(text), Err(BadProfile::Value(_))), "{text}");
        }
        assert!(read("loss=50%,burst=50,jitter=1000ms,reorder=100%").is_ok());
        assert_eq!(read("loss=51%"), Err(BadProfile::Limit("loss")));
        assert_eq!(read("burst=51"), Err(BadProfile::Limit("burst")));
        assert_eq!(read("burst=0.5"), Err(BadProfile::Limit("burst")));
        assert_eq!(read("jitter=1001ms"), Err(BadProfile::Limit("jitter")));
        assert_eq!(read("reorder=101%"), Err(BadProfile::Limit("reorder")));
    }
}
