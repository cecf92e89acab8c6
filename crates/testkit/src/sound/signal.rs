//! Known signals: a chirp with a beep each second, up for one party and down for the other.
//!
//! A chirp never repeats within its length, so a window of it has one place in the source; two directions show swapped
//! or leaking channels.

use std::f64::consts::TAU;

/// Samples per second of every signal.
pub const RATE: u32 = 48_000;

/// Seconds of one pass of the signal.
pub const SECONDS: u32 = 10;

/// Lowest and highest frequency of the chirp in Hz: well inside what any voice codec keeps.
const BAND: (f64, f64) = (300.0, 3_000.0);

/// Which way the frequency goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From low to high.
    Up,
    /// From high to low.
    Down,
}

/// One pass of the signal, mono, 48 kHz.
pub fn chirp(direction: Direction) -> Vec<i16> {
    let length = f64::from(SECONDS);
    let total = u64::from(RATE) * u64::from(SECONDS);
    let (from, to) = match direction {
        Direction::Up => BAND,
        Direction::Down => (BAND.1, BAND.0),
    };
    (0..total)
        .map(|n| {
            let t = n as f64 / f64::from(RATE);
            let phase = TAU * (from * t + (to - from) * t * t / (2.0 * length));
            let beep = if t.fract() < 0.1 {
                0.25 * (TAU * 1_000.0 * t).sin()
            } else {
                0.0
            };
            ((0.45 * phase.sin() + beep) * f64::from(i16::MAX)) as i16
        })
        .collect()
}
