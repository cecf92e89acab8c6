//! What a call's timelines come to: the worst minute and the worst twentieth of each, and how one participant heard another one over both hops.
//!
//! Made from the stored seconds when somebody asks; nothing of it is stored. Seconds of two legs are paired by the time
//! they stand for. Hold is not left out: then the line is judged and not what went over it.

use call_model::quality::{self, Hop, MINUTE_SECONDS};
use wire::quality::{EndToEnd, QualityTrack};

use crate::store::quality::{TrackRow, VOICED_LEVEL_MIN};
use crate::views;

/// Pairs of legs in one answer: customer, agent, and colleague, each with a dozen connections. Higher: a call whose lines
/// were made anew all the time would cost seconds to read. Lower: one with many transfers would miss some.
const PAIRS_MAX: usize = 512;
/// Score of a second that was not rated.
const UNRATED: f32 = 0.0;
/// Of as many seconds one lies below the low score: the fifth percentile.
const LOW_ONE_OF: usize = 20;

/// One timeline with its worst minute and its low score.
pub(crate) fn track(row: TrackRow) -> QualityTrack {
    let scores = judged(&row);
    QualityTrack {
        mos_worst_minute: worst_minute(&scores),
        mos_low: low(scores),
        ..views::track(row)
    }
}

/// Scores of the voiced seconds, in their order. As for the mean of the whole, every second that had packets counts when
/// nobody spoke.
fn judged(row: &TrackRow) -> Vec<f32> {
    let rated = |n: &usize| at(&row.mos, *n) > UNRATED && at(&row.expected, *n) > 0;
    let scores = |voiced: bool| -> Vec<f32> {
        let seconds = (0..row.mos.len()).filter(rated);
        let chosen = seconds.filter(|n| !voiced || is_voiced(row, *n));
        chosen.map(|n| row.mos[n]).collect()
    };
    let voiced = scores(true);
    if voiced.is_empty() { scores(false) } else { voiced }
}

/// The score below which a twentieth of the seconds lies.
fn low(mut scores: Vec<f32>) -> Option<f32> {
    scores.sort_by(f32::total_cmp);
    scores.get(scores.len() / LOW_ONE_OF).copied()
}

/// The least mean score of sixty seconds in a row; that of all of them while they are fewer.
fn worst_minute(scores: &[f32]) -> Option<f32> {
    #[expect(clippy::cast_precision_loss, reason = "at most the seconds of a call")]
    let mean = |some: &[f32]| some.iter().sum::<f32>() / some.len() as f32;
    if scores.is_empty() {
        None
    } else if scores.len() < MINUTE_SECONDS {
        Some(mean(scores))
    } else {
        scores.windows(MINUTE_SECONDS).map(mean).reduce(f32::min)
    }
}

/// How each participant heard each of the others, the customer first; a supervisor's line is nobody's trouble.
pub(crate) fn end_to_end(tracks: &[TrackRow]) -> Vec<EndToEnd> {
    let of = |uplink: bool| {
        let parties = |row: &&TrackRow| matches!(row.part.as_str(), "customer" | "agent" | "partner");
        tracks.iter().filter(parties).filter(move |row| row.uplink == uplink)
    };
    let pairs = of(true).flat_map(|speaker| of(false).map(move |listener| (speaker, listener)));
    pairs
        .filter(|(speaker, listener)| speaker.part != listener.part && speaker.leg_id != listener.leg_id)
        .take(PAIRS_MAX)
        .filter_map(|(speaker, listener)| pair(speaker, listener))
        .collect()
}

/// `None` when they were never there together, or he never spoke.
fn pair(speaker: &TrackRow, listener: &TrackRow) -> Option<EndToEnd> {
    // Rows of two legs begin at different parts of a second: the nearest ones belong together.
    let shift = (speaker.start_ms - listener.start_ms + 500).div_euclid(1_000);
    let ratings: Vec<f64> = (0..speaker.mos.len())
        .filter(|n| is_voiced(speaker, *n))
        .filter_map(|n| {
            let there = usize::try_from(i64::try_from(n).ok()? + shift).ok()?;
            Some(quality::rating(hop(speaker, n)?, hop(listener, there)?))
        })
        .collect();
    let (mos, worst) = quality::score(&ratings)?;
    #[expect(clippy::cast_possible_truncation, reason = "scores lie between 1 and 4.5")]
    let narrow = |score: f64| score as f32;
    Some(EndToEnd {
        speaker: views::part(&speaker.part),
        speaker_leg_id: speaker.leg_id,
        listener: views::part(&listener.part),
        listener_leg_id: listener.leg_id,
        mos: narrow(mos),
        mos_worst_minute: narrow(worst),
        seconds: u32::try_from(ratings.len()).unwrap_or(u32::MAX),
    })
}

fn is_voiced(row: &TrackRow, n: usize) -> bool {
    at(&row.level, n) >= i16::from(VOICED_LEVEL_MIN)
}

/// One hop in a second in which there were packets.
fn hop(row: &TrackRow, n: usize) -> Option<Hop> {
    let expected = at(&row.expected, n);
    (expected > 0).then(|| Hop {
        loss: f64::from(at(&row.residual_lost, n)) / f64::from(expected),
        rtt_ms: f64::from(at(&row.rtt_ms, n)),
        jitter_ms: f64::from(at(&row.jitter_ms, n)),
    })
}

fn at<T: Copy + Default>(values: &[T], n: usize) -> T {
    values.get(n).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use wire::leg::Part;

    use super::*;

    /// `seconds` good and loud seconds of a leg.
    fn row(leg: u128, part: &str, uplink: bool, start_ms: i64, seconds: usize) -> TrackRow {
        TrackRow {
            leg_id: Uuid::from_u128(leg),
            part: part.to_owned(),
            uplink,
            start_ms,
            expected: vec![50; seconds],
            lost: vec![0; seconds],
            residual_lost: vec![0; seconds],
            jitter_ms: vec![2.0; seconds],
            rtt_ms: vec![40.0; seconds],
            level: vec![90; seconds],
            mos: vec![4.4; seconds],
            mos_mean: Some(4.4),
        }
    }

    #[test]
    fn the_worst_minute_of_a_line_is_found_and_a_short_call_is_its_own() {
        let mut long = row(1, "customer", false, 0, 600);
        long.mos[300..360].fill(2.0);
        let worst = worst_minute(&judged(&long)).unwrap();
        assert!((worst - 2.0).abs() < 1e-4, "{worst}");
        let mut short = row(1, "customer", true, 0, 59);
        short.mos[58] = 1.0;
        let worst = worst_minute(&judged(&short)).unwrap();
        assert!((worst - (58.0 * 4.4 + 1.0) / 59.0).abs() < 1e-4, "{worst}");
        short.level.fill(0);
        assert!(
            worst_minute(&judged(&short)).is_some(),
            "who told no level has a worst minute"
        );
        short.expected.fill(0);
        assert_eq!(worst_minute(&judged(&short)), None);
    }

    #[test]
    fn the_low_score_leaves_out_a_twentieth_of_the_voiced_seconds() {
        let mut long = row(1, "customer", false, 0, 100);
        long.mos[..5].fill(1.5);
        long.mos[90..].fill(1.0);
        long.level[90..].fill(0);
        let told = |row: &TrackRow| track(row.clone()).mos_low;
        assert_eq!(
            told(&long),
            Some(1.5),
            "four of ninety lie below, and silence is not judged"
        );
        long.mos[4] = 4.4;
        assert_eq!(told(&long), Some(4.4));
        long.expected.fill(0);
        assert_eq!(told(&long), None);
    }

    #[test]
    fn who_heard_badly_is_found_although_both_lines_into_the_server_are_good() {
        let mut deaf = row(2, "agent", false, 0, 100);
        deaf.residual_lost.fill(5);
        let tracks = [
            row(1, "customer", true, 0, 100),
            row(1, "customer", false, 0, 100),
            row(2, "agent", true, 0, 100),
            deaf,
        ];
        let found = end_to_end(&tracks);
        assert_eq!(found.len(), 2);
        let heard_by = |part: Part| found.iter().find(|one| one.listener == part).unwrap();
        assert!(heard_by(Part::Agent).mos < 2.0, "{found:?}");
        assert!(heard_by(Part::Customer).mos > 4.3, "{found:?}");
        assert_eq!(heard_by(Part::Agent).seconds, 100);
    }

    #[test]
    fn the_delay_of_both_lines_is_one_delay() {
        let far = |leg, part, uplink| {
            let mut row = row(leg, part, uplink, 0, 100);
            row.rtt_ms.fill(300.0);
            row
        };
        let both = end_to_end(&[far(1, "customer", true), far(2, "agent", false)])[0].mos;
        let one = end_to_end(&[far(1, "customer", true), row(2, "agent", false, 0, 100)])[0].mos;
        assert!(both < one - 0.5, "{both} {one}");
    }

    #[test]
    fn legs_are_paired_in_the_seconds_that_they_share_and_only_when_he_spoke() {
        // The second agent came after 60 s; what was lost towards him before is not his.
        let mut customer = row(1, "customer", true, -300, 100);
        customer.level[90..].fill(20);
        customer.residual_lost[..60].fill(25);
        let tracks = [
            customer,
            row(2, "agent", false, 0, 60),
            row(3, "agent", false, 59_700, 40),
            row(4, "supervisor", false, 0, 100),
            row(5, "partner", false, 500_000, 40),
        ];
        let found = end_to_end(&tracks);
        let legs: Vec<_> = found
            .iter()
            .map(|one| (one.listener_leg_id.as_u128(), one.seconds))
            .collect();
        assert_eq!(legs, [(2, 60), (3, 30)]);
        assert!(found[0].mos < 1.5 && found[1].mos > 4.3, "{found:?}");
    }
}
