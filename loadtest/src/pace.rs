//! How a run's legs speak.

use std::time::Duration;

use testkit::bad_line::Profile;

use crate::payload::{TOC_5_MS, TOC_20_MS};

/// Time between two packets of a leg: one Opus frame.
pub(crate) const FRAME: Duration = Duration::from_millis(20);

/// The frames that legs send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frames {
    /// Time of one.
    pub(crate) time: Duration,
    /// Its samples at 48 kHz.
    pub(crate) samples: u32,
    /// Its first byte.
    pub(crate) toc: u8,
}

/// As browsers send them.
pub(crate) const FRAMES_20_MS: Frames = Frames {
    time: FRAME,
    samples: 960,
    toc: TOC_20_MS,
};
/// Four times as many, which is as much as the server takes from a leg: a long hold passes four times faster.
pub(crate) const FRAMES_5_MS: Frames = Frames {
    time: Duration::from_millis(5),
    samples: 240,
    toc: TOC_5_MS,
};

/// Whether the second of two that are compared goes first in round `number`: what a machine becomes over time, warmer,
/// slower, busier with others, falls on both alike. The first round counts nowhere, so an even number of others is fair.
pub(crate) fn is_turned(number: u32) -> bool {
    !number.is_multiple_of(2)
}

/// What is the same for all legs of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Decides payloads, talk spurts and losses.
    pub(crate) seed: u64,
    /// Talk spurts with DTX between them instead of steady speech.
    pub(crate) dtx: bool,
    /// What the way to the server does to packets.
    pub(crate) profile: Profile,
}

impl Pace {
    /// Steady speech over a clean line.
    pub(crate) fn steady(seed: u64) -> Pace {
        Pace {
            seed,
            dtx: false,
            profile: Profile::default(),
        }
    }
}
