//! `quality_heard`: what clients say that they heard, a row per report, an array per figure, a value per second.

use sqlx::PgConnection;
use uuid::Uuid;
use wire::quality::HeardSecond;

use crate::refusal::Refused;
use crate::types::At;

/// One report.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct HeardRow {
    pub(crate) part: String,
    pub(crate) at: At,
    pub(crate) loss: Vec<f32>,
    pub(crate) jitter_ms: Vec<f32>,
    /// 0 where it was not measured.
    pub(crate) rtt_ms: Vec<f32>,
    pub(crate) mos: Vec<f32>,
}

const INSERT: &str = "insert into quality_heard (call_id, part, slot, at, loss, jitter_ms, rtt_ms, mos)
    values ($1, $2, floor(extract(epoch from $3::timestamptz) / 5)::bigint, $3, $4, $5, $6, $7) on conflict do nothing";
const OF_CALL: &str = "select part, at, loss, jitter_ms, rtt_ms, mos from quality_heard where call_id = $1
    order by part desc, slot limit $2";

/// Stores one report that came at `at`; false if there was one in the same five seconds.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    call: Uuid,
    part: &str,
    at: At,
    seconds: &[HeardSecond],
) -> Result<bool, Refused> {
    let reals = |f: fn(&HeardSecond) -> f32| seconds.iter().map(f).collect::<Vec<_>>();
    let done = sqlx::query(INSERT)
        .bind(call)
        .bind(part)
        .bind(at)
        .bind(reals(|s| s.loss))
        .bind(reals(|s| s.jitter_ms))
        .bind(reals(|s| s.rtt_ms.unwrap_or(0.0)))
        .bind(reals(|s| s.mos))
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// The reports of one call: customer first, each side's in order of time.
pub(crate) async fn of_call(conn: &mut PgConnection, call: Uuid, limit: i64) -> Result<Vec<HeardRow>, Refused> {
    Ok(sqlx::query_as(OF_CALL).bind(call).bind(limit).fetch_all(conn).await?)
}
