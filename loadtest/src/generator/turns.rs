//! When legs speak, and when their packets left.

use std::time::Duration;

/// Packets of a leg whose times are kept: more than a second of speech, longer than any of them is under way.
const KEPT: usize = 64;
/// The golden section's part of one: its multiples lie evenly however many there are.
const GOLDEN: f64 = 0.618_033_988_749_895;

/// Where in a frame's time a leg sends, 0 to 1: spread evenly whatever the number of legs, moved as a whole by the seed.
pub(super) fn place(number: u32, seed: u64) -> f64 {
    // The upper bits of a product that spreads the seed; 53 of them are what a fraction holds.
    let moved = (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11) as f64 / (1_u64 << 53) as f64;
    (f64::from(number) * GOLDEN + moved).fract()
}

/// The first time from `now` on that lies at `place` of a frame; both since the same origin.
pub(super) fn turn(now: Duration, frame: Duration, place: f64) -> Duration {
    let frame_ns = frame.as_nanos().max(1);
    let begun = now.as_nanos() / frame_ns * frame_ns;
    let this = Duration::from_nanos(begun as u64) + frame.mul_f64(place);
    if this >= now { this } else { this + frame }
}

/// Times at which a leg's latest packets left.
pub(super) struct Times(Box<[(u32, u64); KEPT]>);

impl Times {
    pub(super) fn new() -> Times {
        Times(Box::new([(u32::MAX, 0); KEPT]))
    }

    /// Packet `number` left, ns since the origin.
    pub(super) fn note(&mut self, number: u32, at_ns: u64) {
        self.0[number as usize % KEPT] = (number, at_ns);
    }

    /// When it left; `None` once it is forgotten.
    pub(super) fn of(&self, number: u32) -> Option<u64> {
        let (kept, at_ns) = self.0[number as usize % KEPT];
        (kept == number).then_some(at_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Duration = Duration::from_millis(20);

    #[test]
    fn turns_are_spread_evenly_over_a_frame_whatever_the_seed() {
        for seed in [0, 1, 2, u64::MAX] {
            for legs in [20, 400, 2_800] {
                let mut slots = [0_u32; 20];
                for number in 0..legs {
                    slots[(place(number, seed) * 20.0) as usize] += 1;
                }
                let even = legs / 20;
                assert!(
                    slots.iter().all(|slot| slot.abs_diff(even) <= 2),
                    "{seed} {legs} {slots:?}"
                );
            }
        }
        assert_ne!(place(3, 1), place(3, 2), "the seed moves them");
        assert_eq!(place(3, 1), place(3, 1));
    }

    #[test]
    fn a_turn_is_at_its_place_and_within_a_frame_whenever_a_leg_comes_up() {
        for now_us in (0..60_000).step_by(713) {
            let now = Duration::from_micros(now_us);
            let at = turn(now, FRAME, 0.25);
            assert!(at >= now && at < now + FRAME, "{now_us}");
            assert_eq!(at.as_micros() % 20_000, 5_000, "{now_us}");
        }
        assert_eq!(turn(Duration::from_millis(5), FRAME, 0.25), Duration::from_millis(5));
    }

    #[test]
    fn times_are_kept_for_the_latest_packets_and_never_mixed_up() {
        let mut times = Times::new();
        for number in 0..KEPT as u32 + 1 {
            times.note(number, u64::from(number) * 10);
        }
        assert_eq!(times.of(0), None, "its place was taken");
        assert_eq!(times.of(1), Some(10));
        assert_eq!(times.of(KEPT as u32), Some(KEPT as u64 * 10));
        assert_eq!(times.of(KEPT as u32 + 1), None, "it has not left yet");
    }
}
