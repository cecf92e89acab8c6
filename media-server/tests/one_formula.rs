//! Media rates a hop by the formula by which the desk rates both together: the two crates may not see one another, so the
//! formula stands in each, and here it is compared.

#![cfg(test)]

use call_model::quality::{self, Hop};
use media_core::quality::emodel;

#[test]
fn a_call_over_two_hops_is_rated_as_media_would_rate_it() {
    let figures = [0.0, 0.004, 0.03, 0.2, 1.0];
    let delays = [0.0, 20.0, 90.0, 340.0, 2_000.0];
    for first in figures {
        for second in figures {
            for speaker_ms in delays {
                for listener_ms in delays {
                    for jitter_ms in [0.0, 8.0, 35.0, 150.0] {
                        let hop = |loss, rtt_ms, jitter_ms| Hop {
                            loss,
                            rtt_ms,
                            jitter_ms,
                        };
                        let ours = quality::rating(hop(first, speaker_ms, 0.0), hop(second, listener_ms, jitter_ms));
                        let delay = emodel::mouth_to_ear_ms(speaker_ms, listener_ms, jitter_ms, None);
                        let media = emodel::rating(1.0 - (1.0 - first) * (1.0 - second), delay);
                        assert!((ours - media).abs() < 1e-9, "{ours} {media}");
                        assert!((quality::mos(ours) - emodel::mos(media)).abs() < 1e-9);
                    }
                }
            }
        }
    }
}
