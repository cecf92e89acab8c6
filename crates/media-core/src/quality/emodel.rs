//! The E-model (ITU-T G.107), cut down to what a media server can know: loss that remains after repair, and delay.
//!
//! Invariants: a rating lies in 0 to 100 and an opinion score in 1 to 4.5, for any input, infinite and absent ones
//! included; more loss or more delay never gives a better score.
//!
//! The loss curve (Ie 0, Bpl 7) is our own fit for Opus: no official values exist. The scores are comparable with
//! each other and with our tests, not with those of other products.

/// Rating of a call without loss and delay.
const RATING_BEST: f64 = 93.2;
/// Rating that a call without any loss has to lose.
const LOSS_SPAN: f64 = 95.0;
/// Robustness against loss, in percent of loss at which half of [`LOSS_SPAN`] is gone. Fits to PESQ gave 6.3 to 8.
pub const LOSS_ROBUSTNESS: f64 = 7.0;
/// One-way delay that nobody notices, in milliseconds.
const DELAY_FREE_MS: f64 = 100.0;
/// Delay of capture, encoder and playout beside network and jitter buffer, in milliseconds.
const DEVICES_MS: f64 = 40.0;
/// Bounds of the jitter buffer that is assumed when the client does not tell its own, in milliseconds.
const BUFFER_MS: (f64, f64) = (20.0, 200.0);
/// Delays above this are all alike, in milliseconds; keeps the arithmetic finite.
const DELAY_MAX_MS: f64 = 60_000.0;

/// `Idd`: what a one-way delay of `delay_ms` takes off the rating, 0 to 25.
#[must_use]
pub fn delay_impairment(delay_ms: f64) -> f64 {
    let delay = clamp(delay_ms, 0.0, DELAY_MAX_MS);
    if delay <= DELAY_FREE_MS {
        return 0.0;
    }
    let x = (delay / DELAY_FREE_MS).log2();
    let sixth = |value: f64| (1.0 + value.powi(6)).powf(1.0 / 6.0);
    25.0 * (sixth(x) - 3.0 * sixth(x / 3.0) + 2.0)
}

/// The rating `R`, 0 to 100. `loss`: share of packets that stayed lost, 0 to 1; `delay_ms`: mouth to ear.
#[must_use]
pub fn rating(loss: f64, delay_ms: f64) -> f64 {
    let percent = 100.0 * clamp(loss, 0.0, 1.0);
    let loss_impairment = LOSS_SPAN * percent / (percent + LOSS_ROBUSTNESS);
    clamp(RATING_BEST - delay_impairment(delay_ms) - loss_impairment, 0.0, 100.0)
}

/// The mean opinion score of a rating, 1 to 4.5 (ITU-T G.107 annex B).
#[must_use]
pub fn mos(rating: f64) -> f64 {
    let r = clamp(rating, 0.0, 100.0);
    // Below 6.5 the cubic dips under 1 and would rise again towards 0.
    if r < 6.5 {
        return 1.0;
    }
    clamp(1.0 + 0.035 * r + 7e-6 * r * (r - 60.0) * (100.0 - r), 1.0, 4.5)
}

/// Mouth-to-ear delay in milliseconds over two legs: half of each round trip, the jitter buffer of the listener
/// (`buffer_ms` if he tells it, else twice the jitter between 20 and 200 ms), and the devices.
#[must_use]
pub fn mouth_to_ear_ms(rtt_speaker_ms: f64, rtt_listener_ms: f64, jitter_ms: f64, buffer_ms: Option<f64>) -> f64 {
    let assumed = || clamp(2.0 * jitter_ms, BUFFER_MS.0, BUFFER_MS.1);
    let buffer = buffer_ms.map_or_else(assumed, |told| clamp(told, 0.0, DELAY_MAX_MS));
    let half = |rtt: f64| clamp(rtt, 0.0, DELAY_MAX_MS) / 2.0;
    half(rtt_speaker_ms) + half(rtt_listener_ms) + buffer + DEVICES_MS
}

/// Like `f64::clamp`, but what is no number becomes the lower bound.
fn clamp(value: f64, low: f64, high: f64) -> f64 {
    if value.is_nan() { low } else { value.clamp(low, high) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(value: f64, expected: f64, tolerance: f64) {
        assert!(
            (value - expected).abs() <= tolerance,
            "{value} is not {expected} ± {tolerance}"
        );
    }

    #[test]
    fn the_check_values_of_the_model() {
        for (delay, expected) in [(100.0, 0.0), (150.0, 0.2), (200.0, 3.0), (300.0, 14.8), (400.0, 24.1)] {
            near(delay_impairment(delay), expected, 0.051);
        }
        near(mos(93.2), 4.41, 0.005);
        for (percent, expected) in [(1.0, 4.07), (3.0, 3.34), (5.0, 2.77), (10.0, 1.93)] {
            near(mos(rating(percent / 100.0, 100.0)), expected, 0.005);
        }
    }

    #[test]
    fn awful_calls_score_one_and_never_five() {
        // Inputs on which published formulas of others rise again: everything lost, seconds of delay.
        for (loss, delay) in [(1.0, 0.0), (0.9, 5_000.0), (0.5, 370_000.0), (1.0, f64::INFINITY)] {
            near(mos(rating(loss, delay)), 1.0, 0.2);
        }
        near(mos(-370.0), 1.0, 0.0);
        near(mos(1e9), 4.5, 1e-9);
        near(mos(f64::NAN), 1.0, 0.0);
    }

    #[test]
    fn delay_adds_up_from_its_parts() {
        near(mouth_to_ear_ms(80.0, 40.0, 15.0, None), 40.0 + 20.0 + 30.0 + 40.0, 1e-9);
        near(mouth_to_ear_ms(0.0, 0.0, 1.0, None), 60.0, 1e-9);
        near(mouth_to_ear_ms(0.0, 0.0, 500.0, None), 240.0, 1e-9);
        near(mouth_to_ear_ms(0.0, 0.0, 500.0, Some(70.0)), 110.0, 1e-9);
    }

    proptest! {
        #![proptest_config(testkit::properties::usual())]

        #[test]
        fn scores_stay_in_range_whatever_comes(loss in any::<f64>(), delay in any::<f64>()) {
            let rating = rating(loss, delay);
            prop_assert!((0.0..=100.0).contains(&rating), "{rating}");
            prop_assert!((1.0..=4.5).contains(&mos(rating)));
        }

        #[test]
        fn worse_is_never_better(
            loss in 0.0f64..=1.0, delay in 0.0f64..2_000.0,
            more_loss in 0.0f64..0.5, more_delay in 0.0f64..2_000.0,
        ) {
            let score = |loss, delay| mos(rating(loss, delay));
            prop_assert!(score(loss + more_loss, delay) <= score(loss, delay) + 1e-12);
            prop_assert!(score(loss, delay + more_delay) <= score(loss, delay) + 1e-12);
        }

        #[test]
        fn the_score_follows_the_rating(rating in 0.0f64..=100.0, step in 0.0f64..=10.0) {
            prop_assert!(mos(rating + step) + 1e-12 >= mos(rating));
        }
    }
}
