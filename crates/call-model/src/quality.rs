//! How well one participant heard another one over both hops: from the speaker to us, and from us to the listener.
//!
//! The E-model (ITU-T G.107), cut down to loss and delay. Media rates each hop by itself with the same formula; a call
//! as it was heard needs the loss of both and the delay of both. A test of media-server compares the two.
//!
//! Invariants: a rating lies in 0 to 100 and a score in 1 to 4.5, whatever the figures; more loss or more delay never
//! gives a better one.

/// Rating of a call without loss and delay.
const RATING_BEST: f64 = 93.2;
/// Rating that loss can take away.
const LOSS_SPAN: f64 = 95.0;
/// Percent of loss at which half of [`LOSS_SPAN`] is gone: our own fit for Opus, no official value exists.
const LOSS_ROBUSTNESS: f64 = 7.0;
/// One-way delay that nobody notices, milliseconds.
const DELAY_FREE_MS: f64 = 100.0;
/// Delay of capture, encoder and playout, milliseconds.
const DEVICES_MS: f64 = 40.0;
/// Bounds of the listener's jitter buffer, milliseconds.
const BUFFER_MS: (f64, f64) = (20.0, 200.0);
/// Delays above this are all alike, milliseconds; keeps the arithmetic finite.
const DELAY_MAX_MS: f64 = 60_000.0;
/// Seconds of the worst minute.
pub const MINUTE_SECONDS: usize = 60;

/// One hop in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hop {
    /// Share of the packets that stayed lost, 0 to 1.
    pub loss: f64,
    /// Round trip, milliseconds; 0 where it was not measured.
    pub rtt_ms: f64,
    /// Interarrival jitter, milliseconds.
    pub jitter_ms: f64,
}

/// The rating of a second, 0 to 100. The listener's jitter is that of the whole way: nothing smooths it on the first hop.
#[must_use]
pub fn rating(speaker: Hop, listener: Hop) -> f64 {
    let came = (1.0 - share(speaker.loss)) * (1.0 - share(listener.loss));
    let half = |rtt: f64| clamp(rtt, 0.0, DELAY_MAX_MS) / 2.0;
    let buffer = clamp(2.0 * listener.jitter_ms, BUFFER_MS.0, BUFFER_MS.1);
    let delay = half(speaker.rtt_ms) + half(listener.rtt_ms) + buffer + DEVICES_MS;
    let percent = 100.0 * (1.0 - came);
    let loss = LOSS_SPAN * percent / (percent + LOSS_ROBUSTNESS);
    clamp(RATING_BEST - delay_impairment(delay) - loss, 0.0, 100.0)
}

/// The opinion score of a rating, 1 to 4.5 (ITU-T G.107 annex B).
#[must_use]
pub fn mos(rating: f64) -> f64 {
    let r = clamp(rating, 0.0, 100.0);
    // Below 6.5 the cubic dips under 1 and would rise again towards 0.
    if r < 6.5 {
        return 1.0;
    }
    clamp(1.0 + 0.035 * r + 7e-6 * r * (r - 60.0) * (100.0 - r), 1.0, 4.5)
}

/// The score of some seconds, and that of the worst sixty in a row; of all of them while they are fewer. `None` without
/// any. `ratings`: of the seconds in which there was voice, in their order.
#[must_use]
pub fn score(ratings: &[f64]) -> Option<(f64, f64)> {
    #[expect(clippy::cast_precision_loss, reason = "seconds of a call are far below 2^52")]
    let mean = |ratings: &[f64]| ratings.iter().sum::<f64>() / ratings.len() as f64;
    if ratings.is_empty() {
        return None;
    }
    let all = mean(ratings);
    let worst = ratings.windows(MINUTE_SECONDS).map(mean).fold(f64::INFINITY, f64::min);
    Some((mos(all), mos(if worst.is_finite() { worst } else { all })))
}

/// What a one-way delay takes off the rating, 0 to 25.
fn delay_impairment(delay_ms: f64) -> f64 {
    if delay_ms <= DELAY_FREE_MS {
        return 0.0;
    }
    let x = (delay_ms / DELAY_FREE_MS).log2();
    let sixth = |value: f64| (1.0 + value.powi(6)).powf(1.0 / 6.0);
    25.0 * (sixth(x) - 3.0 * sixth(x / 3.0) + 2.0)
}

fn share(loss: f64) -> f64 {
    clamp(loss, 0.0, 1.0)
}

/// Like `f64::clamp`, but what is no number becomes the lower bound.
fn clamp(value: f64, low: f64, high: f64) -> f64 {
    if value.is_nan() { low } else { value.clamp(low, high) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(loss: f64, rtt_ms: f64, jitter_ms: f64) -> Hop {
        Hop {
            loss,
            rtt_ms,
            jitter_ms,
        }
    }

    fn near(value: f64, expected: f64) {
        assert!((value - expected).abs() <= 0.006, "{value} is not {expected}");
    }

    #[test]
    fn the_check_values_of_the_model() {
        let perfect = Hop::default();
        near(mos(rating(perfect, perfect)), 4.41);
        for (percent, expected) in [(1.0, 4.07), (3.0, 3.34), (5.0, 2.77), (10.0, 1.93)] {
            near(mos(rating(hop(percent / 100.0, 0.0, 0.0), perfect)), expected);
            near(mos(rating(perfect, hop(percent / 100.0, 0.0, 0.0))), expected);
        }
        // 60 ms are the devices' and the smallest buffer's.
        for (delay, expected) in [(150.0, 0.2), (200.0, 3.0), (300.0, 14.8), (400.0, 24.1)] {
            let taken = RATING_BEST - rating(hop(0.0, delay - 60.0, 0.0), hop(0.0, delay - 60.0, 0.0));
            assert!((taken - expected).abs() < 0.051, "{taken} at {delay} ms");
        }
    }

    #[test]
    fn loss_and_delay_of_both_hops_count_and_are_worse_than_either() {
        let weak = hop(0.03, 180.0, 5.0);
        let both = rating(weak, weak);
        assert!(both < rating(weak, Hop::default()) && both < rating(Hop::default(), weak));
        let joined = rating(hop(1.0 - 0.97 * 0.97, 360.0, 0.0), hop(0.0, 0.0, 5.0));
        assert!((both - joined).abs() < 1e-9);
    }

    #[test]
    fn no_figure_leaves_the_scale_and_more_is_never_better() {
        let odd = [f64::NAN, f64::NEG_INFINITY, -1.0, 0.0, 0.5, 3.0, 1e9, f64::INFINITY];
        for loss in odd {
            for ms in odd {
                let rated = rating(hop(loss, ms, ms), hop(loss, ms, ms));
                assert!(
                    (0.0..=100.0).contains(&rated) && (1.0..=4.5).contains(&mos(rated)),
                    "{loss} {ms}"
                );
            }
        }
        let mut last = f64::INFINITY;
        for step in 0..200 {
            let step = f64::from(step);
            let rated = rating(hop(step / 200.0, 3.0 * step, step), hop(step / 400.0, step, step));
            assert!(rated <= last);
            last = rated;
        }
    }

    #[test]
    fn the_worst_minute_is_sixty_seconds_in_a_row_or_all_there_are() {
        assert_eq!(score(&[]), None);
        let (all, worst) = score(&[70.0; 59]).unwrap();
        assert!((all - worst).abs() < 1e-12);
        let mut ratings = [90.0; 600];
        ratings[200..260].fill(50.0);
        let (all, worst) = score(&ratings).unwrap();
        near(worst, mos(50.0));
        near(all, mos(86.0));
    }
}
