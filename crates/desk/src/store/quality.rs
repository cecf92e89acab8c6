//! `quality_samples`: a row per leg and direction, an array per figure, a value per second.

use call_model::Timestamp;
use ports::{QualitySecond, QualityTrack};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::refusal::Refused;
use crate::types::At;

/// One row as readers want it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct TrackRow {
    pub(crate) leg_id: Uuid,
    pub(crate) part: String,
    pub(crate) uplink: bool,
    pub(crate) start_ms: i64,
    pub(crate) expected: Vec<i32>,
    pub(crate) lost: Vec<i32>,
    pub(crate) residual_lost: Vec<i32>,
    pub(crate) jitter_ms: Vec<f32>,
    pub(crate) rtt_ms: Vec<f32>,
    pub(crate) level: Vec<i16>,
    pub(crate) mos: Vec<f32>,
    pub(crate) mos_mean: Option<f32>,
}

/// Level above which a second counts as voiced: 0 is silence, 127 full scale; room noise stays below -50 dBov.
pub(crate) const VOICED_LEVEL_MIN: u8 = 77;

const ENSURE_MONTH: &str = "select helpline.ensure_quality_month($1)";
const INSERT: &str =
    "insert into quality_samples (call_at, call_id, leg_id, part, uplink, start_ms, expected, received,
    lost, residual_lost, jitter_ms, rtt_ms, level, mos, mos_mean)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) on conflict do nothing";
const OF_CALL: &str = "select leg_id, part, uplink, start_ms, expected, lost, residual_lost, jitter_ms, rtt_ms, level,
    mos, mos_mean from quality_samples where call_at = $1 and call_id = $2 order by part desc, leg_id, uplink desc";

/// Makes sure that the month of a call has its partition.
pub(crate) async fn ensure_month(conn: &mut PgConnection, call_at: At) -> Result<(), Refused> {
    sqlx::query(ENSURE_MONTH).bind(call_at).execute(conn).await?;
    Ok(())
}

/// Stores one timeline; the same one again changes nothing.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    call: Uuid,
    call_at: At,
    part: &str,
    track: &QualityTrack,
) -> Result<(), Refused> {
    let rows = &track.seconds;
    let ints = |f: fn(&QualitySecond) -> u16| rows.iter().map(|s| i32::from(f(s))).collect::<Vec<_>>();
    let reals = |f: fn(&QualitySecond) -> f32| rows.iter().map(f).collect::<Vec<_>>();
    sqlx::query(INSERT)
        .bind(call_at)
        .bind(call)
        .bind(Uuid::from_u128(track.leg.0))
        .bind(part)
        .bind(track.uplink)
        .bind(track.start_ms)
        .bind(ints(|s| s.expected))
        .bind(ints(|s| s.received))
        .bind(ints(|s| s.lost))
        .bind(ints(|s| s.residual_lost))
        .bind(reals(|s| s.jitter_ms))
        .bind(reals(|s| s.rtt_ms))
        .bind(rows.iter().map(|s| i16::from(s.level)).collect::<Vec<_>>())
        .bind(reals(|s| s.mos))
        .bind(mean_over_voice(rows))
        .execute(conn)
        .await?;
    Ok(())
}

/// The timelines of one call: customer first, what a leg sent before what it heard.
pub(crate) async fn of_call(conn: &mut PgConnection, call: Uuid, call_at: Timestamp) -> Result<Vec<TrackRow>, Refused> {
    Ok(sqlx::query_as(OF_CALL)
        .bind(At(call_at))
        .bind(call)
        .fetch_all(conn)
        .await?)
}

/// Mean score over the seconds that somebody spoke in, over all that had packets when nobody did, `None` without any.
fn mean_over_voice(rows: &[QualitySecond]) -> Option<f32> {
    let mean = |chosen: &mut dyn Iterator<Item = &QualitySecond>| {
        let (sum, n) = chosen.fold((0.0_f32, 0.0_f32), |(sum, n), second| (sum + second.mos, n + 1.0));
        (n > 0.0).then(|| sum / n)
    };
    let sounded = || rows.iter().filter(|second| second.expected > 0 && second.mos >= 1.0);
    mean(&mut sounded().filter(|second| second.level >= VOICED_LEVEL_MIN)).or_else(|| mean(&mut sounded()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_counts_voiced_seconds_and_falls_back_to_all() {
        let second = |level, mos| QualitySecond {
            expected: 50,
            level,
            mos,
            ..Default::default()
        };
        assert_eq!(
            mean_over_voice(&[second(VOICED_LEVEL_MIN, 4.0), second(VOICED_LEVEL_MIN - 1, 2.0)]),
            Some(4.0)
        );
        assert_eq!(mean_over_voice(&[second(0, 3.0), second(0, 2.0)]), Some(2.5));
        assert_eq!(mean_over_voice(&[QualitySecond::default()]), None);
    }
}
