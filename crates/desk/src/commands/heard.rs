//! What a client heard by its own statistics: checked, stored apart from what the server measured, shown as told.
//!
//! It decides nothing about the call: a client may say what it likes, and only its own line is described by it.

use std::sync::Arc;

use call_model::{CallId, Timestamp};
use uuid::Uuid;
use wire::quality::{HeardReport, HeardSecond, HeardTrack};

use super::contact::find;
use crate::caller::Caller;
use crate::refusal::{Code, Refused};
use crate::shared::Core;
use crate::store::calls::CallRow;
use crate::store::heard::{self, HeardRow};
use crate::types::At;
use crate::views;

/// Seconds of one report: clients send ten, and a page that was frozen for a moment some more.
pub(crate) const SECONDS_MAX: usize = 15;
/// Reports of a call that are shown, both sides together: four hours of one each ten seconds.
pub(crate) const REPORTS_MAX: i64 = 2_880;
/// Seconds of a track; what is told of later ones is stored and not shown.
const TRACK_SECONDS_MAX: usize = 14_400;
/// Seconds after which a client that reported too early may try again.
const RETRY_S: u32 = 5;
/// Bounds of the figures: a share, a minute in milliseconds, and the scale of opinion scores.
const LOSS: (f32, f32) = (0.0, 1.0);
const MILLISECONDS: (f32, f32) = (0.0, 60_000.0);
const MOS: (f32, f32) = (1.0, 4.5);

/// Takes a report of the caller's own line.
pub(crate) async fn take(core: &Arc<Core>, caller: &Caller, call: CallId, report: HeardReport) -> Result<(), Refused> {
    check(&report.seconds)?;
    let caller_in = caller.clone();
    let mean = report.seconds.iter().map(|second| f64::from(second.mos)).sum::<f64>() / report.seconds.len() as f64;
    let part = core
        .run(caller.ctx(), move |tx| {
            Box::pin(async move {
                let row = find(tx, call).await?;
                let part = side(&caller_in, &row)?;
                if row.status != "answered" {
                    return Err(Refused::new(Code::IllegalTransition));
                }
                let now = tx.read_clock().await?;
                if heard::insert(tx.conn(), row.id, part, At(now), &report.seconds).await? {
                    Ok(part)
                } else {
                    Err(Refused::new(Code::RateLimited).retry_after(RETRY_S))
                }
            })
        })
        .await?;
    core.metrics.client_mos.with_label_values(&[part]).observe(mean);
    Ok(())
}

/// Whose line the caller can speak of: the customer of his own, the agent who has the call of hers.
fn side(caller: &Caller, row: &CallRow) -> Result<&'static str, Refused> {
    match caller {
        // The demo page is a customer without a name.
        Caller::Customer { .. } | Caller::Demo => Ok("customer"),
        Caller::Staff { staff, .. } if row.assigned_staff_id == Some(Uuid::from_u128(staff.0)) => Ok("agent"),
        Caller::Staff { .. } | Caller::Service { .. } => Err(Refused::new(Code::Forbidden)),
    }
}

fn check(seconds: &[HeardSecond]) -> Result<(), Refused> {
    if !(1..=SECONDS_MAX).contains(&seconds.len()) {
        return Err(Refused::field("seconds", format!("must be 1 to {SECONDS_MAX}")));
    }
    // Not a number lies in no range.
    let within = |value: f32, (low, high): (f32, f32)| (low..=high).contains(&value);
    for second in seconds {
        let figures = [
            ("loss", second.loss, LOSS),
            ("jitterMs", second.jitter_ms, MILLISECONDS),
            ("rttMs", second.rtt_ms.unwrap_or(0.0), MILLISECONDS),
            ("mos", second.mos, MOS),
        ];
        if let Some((name, _, (low, high))) = figures.into_iter().find(|(_, value, range)| !within(*value, *range)) {
            return Err(Refused::field(name, format!("must lie between {low} and {high}")));
        }
    }
    Ok(())
}

/// The reports on the axis of the recording, which begins with the answer: a track per side, a value per second, none
/// where nothing was told.
pub(crate) fn tracks(rows: &[HeardRow], answered: Timestamp) -> Vec<HeardTrack> {
    let mut tracks: Vec<HeardTrack> = Vec::new();
    for row in rows {
        let part = views::part(&row.part);
        if tracks.last().is_none_or(|track| track.part != part) {
            tracks.push(HeardTrack {
                part,
                mos: Vec::new(),
                loss: Vec::new(),
                jitter_ms: Vec::new(),
                rtt_ms: Vec::new(),
            });
        }
        let Some(track) = tracks.last_mut() else { continue };
        // A report ends with the second in which it came.
        let end = (row.at.0.0 - answered.0).max(0) / MICROS_PER_SECOND;
        let end = usize::try_from(end).unwrap_or(usize::MAX);
        let begin = end.saturating_sub(row.mos.len());
        place(&mut track.mos, begin, row.mos.iter().map(|mos| Some(*mos)));
        place(&mut track.loss, begin, row.loss.iter().map(|loss| Some(*loss)));
        place(
            &mut track.jitter_ms,
            begin,
            row.jitter_ms.iter().map(|jitter| Some(*jitter)),
        );
        let measured = |rtt: &f32| (*rtt > 0.0).then_some(*rtt);
        place(&mut track.rtt_ms, begin, row.rtt_ms.iter().map(measured));
    }
    tracks
}

const MICROS_PER_SECOND: i64 = 1_000_000;

/// Puts values at their seconds; what came later wins.
fn place(track: &mut Vec<Option<f32>>, begin: usize, values: impl Iterator<Item = Option<f32>>) {
    for (second, value) in (begin..TRACK_SECONDS_MAX).zip(values) {
        if track.len() <= second {
            track.resize(second + 1, None);
        }
        track[second] = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(mos: f32) -> HeardSecond {
        HeardSecond {
            loss: 0.0,
            jitter_ms: 5.0,
            rtt_ms: None,
            mos,
        }
    }

    #[test]
    fn figures_outside_of_their_range_and_too_many_of_them_are_refused() {
        assert!(check(&vec![second(4.0); SECONDS_MAX]).is_ok());
        let named = |seconds: &[HeardSecond]| check(seconds).unwrap_err().fields[0].0.clone();
        assert_eq!(named(&[]), "seconds");
        assert_eq!(named(&vec![second(4.0); SECONDS_MAX + 1]), "seconds");
        assert_eq!(named(&[second(4.6)]), "mos");
        assert_eq!(named(&[second(f32::NAN)]), "mos");
        let wrong = |change: fn(&mut HeardSecond)| {
            let mut second = second(4.0);
            change(&mut second);
            named(&[second])
        };
        assert_eq!(wrong(|second| second.loss = 1.01), "loss");
        assert_eq!(wrong(|second| second.jitter_ms = -1.0), "jitterMs");
        assert_eq!(wrong(|second| second.rtt_ms = Some(f32::INFINITY)), "rttMs");
    }

    #[test]
    fn reports_lie_where_they_were_made_with_holes_between_and_sides_apart() {
        let row = |part: &str, at_s: i64, mos: &[f32]| HeardRow {
            part: part.to_owned(),
            at: At(Timestamp((1_000 + at_s) * MICROS_PER_SECOND)),
            loss: vec![0.0; mos.len()],
            jitter_ms: vec![1.0; mos.len()],
            rtt_ms: vec![0.0; mos.len()],
            mos: mos.to_vec(),
        };
        let rows = [
            row("customer", 2, &[4.0, 4.1]),
            row("customer", 5, &[4.2]),
            row("agent", 1, &[3.0, 3.1, 3.2]),
        ];
        let tracks = tracks(&rows, Timestamp(1_000 * MICROS_PER_SECOND));
        let mos: Vec<_> = tracks.iter().map(|track| track.mos.clone()).collect();
        assert_eq!(
            mos,
            [
                vec![Some(4.0), Some(4.1), None, None, Some(4.2)],
                // What was told of the time before the answer begins with it.
                vec![Some(3.0), Some(3.1), Some(3.2)],
            ]
        );
        assert_eq!(tracks[0].rtt_ms, [None; 5]);
    }

    #[test]
    fn a_track_has_an_end() {
        let mut track = Vec::new();
        place(&mut track, TRACK_SECONDS_MAX - 1, [Some(1.0), Some(2.0)].into_iter());
        assert_eq!(track.len(), TRACK_SECONDS_MAX);
        place(&mut track, usize::MAX, [Some(1.0)].into_iter());
        assert_eq!(track.len(), TRACK_SECONDS_MAX);
    }
}
