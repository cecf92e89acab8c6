//! When a leg speaks: always, or in talk spurts with DTX between them.

use testkit::bad_line::Dice;

/// Mean frames of a talk spurt and of a pause, 20 ms each: about one second and one and a half, as people in a
/// conversation do (ITU-T P.59 has 1.00 s and 1.59 s).
const TALK_FRAMES: f64 = 50.0;
const PAUSE_FRAMES: f64 = 79.0;
/// Frames between two comfort packets of a pause: 400 ms, as libopus has it.
const COMFORT_EVERY: u32 = 20;

/// The next packet of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// True for a packet of speech, false for a comfort frame.
    pub(crate) speech: bool,
    /// Frames from it to the packet behind it.
    pub(crate) frames: u32,
}

/// What a leg sends that only lets others know that it is there.
pub(crate) const SILENCE: Step = Step {
    speech: false,
    frames: COMFORT_EVERY,
};

/// The course of one leg's speech.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spurt {
    /// A packet every frame.
    Always,
    /// Talk spurts and pauses.
    Turns {
        /// What decides.
        dice: Dice,
        /// Whether it speaks.
        speech: bool,
        /// Frames left of that.
        left: u32,
    },
}

impl Spurt {
    /// Talk spurts of leg `flow` under `seed`; half of the legs begin with a pause.
    pub(crate) fn turns(seed: u64, flow: u64) -> Spurt {
        let mut dice = Dice::of(!seed, flow);
        let speech = dice.throw() & 1 == 0;
        let left = length(&mut dice, speech);
        Spurt::Turns { dice, speech, left }
    }

    /// The next packet.
    pub(crate) fn next(&mut self) -> Step {
        match self {
            Spurt::Always => Step {
                speech: true,
                frames: 1,
            },
            Spurt::Turns { dice, speech, left } => {
                if *left == 0 {
                    *speech = !*speech;
                    *left = length(dice, *speech);
                }
                let frames = if *speech { 1 } else { COMFORT_EVERY.min(*left) };
                *left -= frames;
                Step {
                    speech: *speech,
                    frames,
                }
            }
        }
    }
}

/// An exponentially distributed number of frames, at least one.
fn length(dice: &mut Dice, speech: bool) -> u32 {
    let mean = if speech { TALK_FRAMES } else { PAUSE_FRAMES };
    // 1 - share is never 0, so the logarithm is finite.
    let frames = -(1.0 - dice.share()).ln() * mean;
    (frames as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_fifths_of_the_time_is_speech_and_pauses_have_a_packet_every_400_ms() {
        let mut spurt = Spurt::turns(3, 4);
        let (mut speech, mut pause, mut comfort) = (0u64, 0u64, 0u64);
        for _ in 0..200_000 {
            let step = spurt.next();
            if step.speech {
                assert_eq!(step.frames, 1);
                speech += 1;
            } else {
                assert!((1..=COMFORT_EVERY).contains(&step.frames));
                pause += u64::from(step.frames);
                comfort += 1;
            }
        }
        let share = speech as f64 / (speech + pause) as f64;
        assert!((0.36..0.42).contains(&share), "{share}");
        assert!(comfort * 10 < pause, "{comfort} packets in {pause} frames");
    }

    #[test]
    fn the_seed_decides() {
        let course = |seed, flow| {
            let mut spurt = Spurt::turns(seed, flow);
            (0..500).map(|_| spurt.next()).collect::<Vec<_>>()
        };
        assert_eq!(course(1, 2), course(1, 2));
        assert_ne!(course(1, 2), course(1, 3));
    }
}
