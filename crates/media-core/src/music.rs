//! What legs hear of ours: music on hold, music with a prompt while they wait. Frames in memory, a playhead per leg, and
//! who is due when.
//!
//! It seals nothing and sends nothing: the shard does, when a playhead is due.
//!
//! Invariant: a playhead is in exactly one phase, and between two turns of the phases nobody is due twice.

use std::sync::Arc;

use crate::limits::{MS, MUSIC_BYTES_MAX, MUSIC_FRAME_BYTES_MAX};

/// Samples of one frame at 48 kHz: 20 ms.
pub const FRAME_SAMPLES: u32 = 960;
/// Nanoseconds between two phases. Finer costs wake-ups, coarser sends in bursts.
const PHASE: u64 = 2 * MS;
/// Phases in the 20 ms of a frame, over which the legs on hold are spread.
const PHASES: usize = 10;

/// A tune as Opus frames of 20 ms, played round and round. Without frames it is silence.
#[derive(Debug, Default)]
pub struct Music {
    bytes: Box<[u8]>,
    /// Where each frame ends in `bytes`.
    ends: Box<[u32]>,
}

/// Why a file cannot be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMusic {
    /// A packet that does not last 20 ms; its number, from 0.
    #[error("packet {0} does not last 20 ms")]
    Duration(usize),
    /// A packet longer than [`MUSIC_FRAME_BYTES_MAX`]; its number, from 0.
    #[error("packet {0} is longer than {MUSIC_FRAME_BYTES_MAX} bytes")]
    Frame(usize),
    /// Together more than [`MUSIC_BYTES_MAX`].
    #[error("it is larger than {MUSIC_BYTES_MAX} bytes")]
    Size,
}

impl Music {
    /// A tune of these packets.
    ///
    /// # Errors
    /// [`BadMusic`].
    pub fn new<'a>(packets: impl Iterator<Item = &'a [u8]>) -> Result<Music, BadMusic> {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for (number, packet) in packets.enumerate() {
            if samples(packet) != Some(FRAME_SAMPLES) {
                return Err(BadMusic::Duration(number));
            }
            if packet.len() > MUSIC_FRAME_BYTES_MAX {
                return Err(BadMusic::Frame(number));
            }
            bytes.extend_from_slice(packet);
            if bytes.len() > MUSIC_BYTES_MAX {
                return Err(BadMusic::Size);
            }
            ends.push(bytes.len() as u32);
        }
        Ok(Music {
            bytes: bytes.into_boxed_slice(),
            ends: ends.into_boxed_slice(),
        })
    }

    /// Frames of 20 ms until the tune begins again.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.ends.len()
    }

    /// Frame `number`, counted on over the end; empty for silence.
    #[inline]
    #[must_use]
    pub fn frame(&self, number: u64) -> &[u8] {
        let place = (number % (self.ends.len() as u64).max(1)) as usize;
        let begin = place.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        let range = begin.unwrap_or(0) as usize..self.ends.get(place).copied().unwrap_or(0) as usize;
        self.bytes.get(range).unwrap_or_default()
    }
}

/// What those hear who wait for an agent: a tune and, every so often, a prompt in its place.
///
/// Nothing is mixed, for nothing is decoded: the tune stands still while the prompt is played, and goes on behind it.
#[derive(Clone, Debug, Default)]
pub struct Programme {
    tune: Arc<Music>,
    prompt: Arc<Music>,
    every: u64,
}

impl Programme {
    /// `prompt` after every `every` frames of `tune`, which may both be silence; 0 is no pause between prompts.
    #[must_use]
    pub fn new(tune: Arc<Music>, prompt: Arc<Music>, every: u32) -> Programme {
        let every = u64::from(every);
        Programme { tune, prompt, every }
    }

    /// Frame `number` since its begin; empty for silence.
    #[inline]
    #[must_use]
    pub fn frame(&self, number: u64) -> &[u8] {
        let prompt = self.prompt.frames() as u64;
        if prompt == 0 {
            return self.tune.frame(number);
        }
        let (round, place) = (number / (self.every + prompt), number % (self.every + prompt));
        match place.checked_sub(self.every) {
            Some(spoken) => self.prompt.frame(spoken),
            None => self.tune.frame(round * self.every + place),
        }
    }
}

/// Which of them a leg hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tune {
    /// That of those on hold, and of those who were left alone.
    Hold,
    /// That of those who wait for an agent.
    Queue,
    /// The tone that tells of a supervisor, once.
    Tone,
}

impl Tune {
    /// The tone may sound beside a tune, so a leg may be in two phases: which of its playheads this is.
    const fn is_tone(self) -> bool {
        matches!(self, Tune::Tone)
    }
}

/// How long an Opus packet lasts in samples at 48 kHz (RFC 6716 §3.1 and §3.2.5); `None` for none at all.
fn samples(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    let configuration = toc >> 3;
    let frame = match configuration {
        0..=11 => [480, 960, 1_920, 2_880][usize::from(configuration & 3)],
        12..=15 => [480, 960][usize::from(configuration & 1)],
        _ => [120, 240, 480, 960][usize::from(configuration & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3F),
    };
    Some(frame * frames)
}

/// Where one leg is in the tune.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Playhead {
    phase: usize,
    /// What it plays.
    pub(crate) tune: Tune,
    /// The instant of its first frame, in phases; `None` until that was due.
    began: Option<u64>,
    /// The next frame of the tune.
    pub(crate) at: u64,
    /// Frames sent: those that are silence are not.
    pub(crate) sent: u64,
    /// Nothing was sent in the place of the last frame.
    pub(crate) paused: bool,
}

impl Playhead {
    /// RTP time since the first frame, of a frame that is due at `instant`: by the wall, so that a stall of ours is a
    /// pause and no drift.
    pub(crate) fn timestamp(&mut self, instant: u64) -> u32 {
        let began = *self.began.get_or_insert(instant);
        let frames = instant.saturating_sub(began) / PHASES as u64;
        (frames as u32).wrapping_mul(FRAME_SAMPLES)
    }
}

/// Whose turn it is, and whether it is that of the tone.
type Turn = (u32, bool);

/// Which legs are due when.
#[derive(Debug, Default)]
pub(crate) struct Playheads {
    phases: [Vec<Turn>; PHASES],
    /// The instant in work, in phases since clock 0.
    next: u64,
    /// How many of its legs have had their turn.
    turned: usize,
}

impl Playheads {
    /// A leg begins to hear the music, in the phase with the fewest.
    pub(crate) fn add(&mut self, leg: u32, tune: Tune, now: u64) -> Playhead {
        if self.phases.iter().all(Vec::is_empty) {
            (self.next, self.turned) = (now / PHASE + 1, 0);
        }
        let fewest = (0..PHASES).min_by_key(|&phase| self.phases[phase].len());
        let phase = fewest.expect("there are phases");
        self.phases[phase].push((leg, tune.is_tone()));
        Playhead {
            phase,
            tune,
            began: None,
            at: 0,
            sent: 0,
            paused: false,
        }
    }

    /// A leg no longer hears it.
    pub(crate) fn remove(&mut self, leg: u32, playhead: Playhead) {
        let turns = &mut self.phases[playhead.phase];
        let Some(place) = turns.iter().position(|&known| known == (leg, playhead.tune.is_tone())) else {
            return;
        };
        turns.remove(place);
        // In the midst of its own phase, those behind it move up by one.
        if playhead.phase as u64 == self.next % PHASES as u64 && place < self.turned {
            self.turned -= 1;
        }
    }

    /// A leg that is due at `now`, whether for the tone, and the instant at which it was; call until `None`. After a stall of more than a
    /// frame what was missed is left out.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<(Turn, u64)> {
        let target = now / PHASE;
        if self.next + PHASES as u64 <= target {
            (self.next, self.turned) = (target + 1 - PHASES as u64, 0);
        }
        while self.next <= target {
            let legs = &self.phases[(self.next % PHASES as u64) as usize];
            if let Some(&turn) = legs.get(self.turned) {
                self.turned += 1;
                return Some((turn, self.next));
            }
            (self.next, self.turned) = (self.next + 1, 0);
        }
        None
    }

    /// When the next leg is due; `None` with nobody on hold.
    pub(crate) fn wake_at(&self) -> Option<u64> {
        (self.next..self.next + PHASES as u64)
            .find(|instant| !self.phases[(instant % PHASES as u64) as usize].is_empty())
            .map(|instant| instant * PHASE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packets_of_twenty_milliseconds_are_taken() {
        // Configuration 31 is CELT, full band, 20 ms; 29 is 5 ms; 3 is SILK, narrow band, 60 ms.
        let one = |packet: &[u8]| Music::new([packet].into_iter()).map(|music| music.frames());
        assert_eq!(one(&[31 << 3, 1, 2]), Ok(1));
        assert_eq!(one(&[30 << 3 | 1, 1, 2]), Ok(1), "two of 10 ms");
        assert_eq!(one(&[29 << 3 | 3, 4, 0]), Ok(1), "four of 5 ms");
        assert_eq!(one(&[29 << 3, 1]), Err(BadMusic::Duration(0)));
        assert_eq!(one(&[3 << 3, 1]), Err(BadMusic::Duration(0)));
        assert_eq!(one(&[31 << 3 | 1, 1, 2]), Err(BadMusic::Duration(0)));
        assert_eq!(one(&[31 << 3 | 3]), Err(BadMusic::Duration(0)), "the count is missing");
        assert_eq!(one(&[]), Err(BadMusic::Duration(0)));
    }

    #[test]
    fn frame_and_size_limits_hold_at_and_above() {
        let frame = |len: usize| {
            let mut packet = vec![7; len];
            packet[0] = 31 << 3;
            packet
        };
        let (fits, too_long) = (frame(MUSIC_FRAME_BYTES_MAX), frame(MUSIC_FRAME_BYTES_MAX + 1));
        assert!(Music::new([fits.as_slice()].into_iter()).is_ok());
        assert_eq!(
            Music::new([fits.as_slice(), &too_long].into_iter()).unwrap_err(),
            BadMusic::Frame(1)
        );
        let packet = frame(1_024);
        let full = MUSIC_BYTES_MAX / packet.len();
        let of = |packets| Music::new(std::iter::repeat_n(packet.as_slice(), packets));
        assert_eq!(of(full).unwrap().frames(), full);
        assert_eq!(of(full + 1).unwrap_err(), BadMusic::Size);
    }

    #[test]
    fn the_tune_begins_again_at_its_end_and_silence_has_no_frame() {
        let packets: [&[u8]; 3] = [&[31 << 3, 1], &[31 << 3, 2, 2], &[31 << 3, 3]];
        let music = Music::new(packets.into_iter()).unwrap();
        for (number, packet) in packets.iter().cycle().take(8).enumerate() {
            assert_eq!(music.frame(number as u64), *packet);
        }
        assert_eq!(Music::default().frame(5), [0u8; 0]);
    }

    #[test]
    fn a_hundred_legs_are_spread_evenly_over_a_frame_and_each_is_due_once_in_it() {
        let mut heads = Playheads::default();
        assert_eq!((heads.wake_at(), heads.pop_due(MS)), (None, None));
        for leg in 0..100 {
            heads.add(leg, Tune::Hold, 0);
        }
        let mut now = 0;
        for _ in 0..3 {
            let mut seen = Vec::new();
            for _ in 0..PHASES {
                now = heads.wake_at().unwrap();
                let due: Vec<_> = std::iter::from_fn(|| heads.pop_due(now)).collect();
                assert_eq!(due.len(), 10);
                seen.extend(due.into_iter().map(|((leg, _), _)| leg));
            }
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..100));
        }
        assert_eq!(now, 30 * PHASE);
    }

    #[test]
    fn after_a_stall_each_leg_is_due_once_and_its_time_has_gone_on() {
        let mut heads = Playheads::default();
        let mut head = heads.add(7, Tune::Hold, 0);
        let (_, first) = heads.pop_due(20 * MS).unwrap();
        assert_eq!(head.timestamp(first), 0);
        let late: Vec<_> = std::iter::from_fn(|| heads.pop_due(first * PHASE + 1_000 * MS)).collect();
        assert_eq!(late.len(), 1);
        assert_eq!(head.timestamp(late[0].1), 50 * FRAME_SAMPLES);
        heads.remove(7, head);
        assert_eq!((heads.wake_at(), heads.pop_due(5_000 * MS)), (None, None));
    }
}
