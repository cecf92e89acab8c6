//! `recording_voices`: who was heard beside the two sides of a recording, each in a file of his own.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::refusal::Refused;

/// One row of `recording_voices`.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct VoiceRow {
    pub(crate) recording_id: Uuid,
    /// From 1.
    pub(crate) number: i16,
    pub(crate) leg_id: Uuid,
    pub(crate) part: String,
    pub(crate) audio_key: String,
    pub(crate) audio_size: i64,
    pub(crate) audio_sha256: Vec<u8>,
    pub(crate) coverage: f32,
    /// Pairs of from and to, milliseconds.
    pub(crate) heard_ms: Vec<i64>,
}

const INSERT: &str = "insert into recording_voices (recording_id, number, leg_id, part, audio_key, audio_size,
    audio_sha256, coverage, heard_ms) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing";
const OF_RECORDINGS: &str = "select recording_id, number, leg_id, part, audio_key, audio_size, audio_sha256, coverage,
    heard_ms from recording_voices where recording_id = any ($1) order by recording_id, number";

/// A voice of a recording that is stored; already known is fine.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    recording: Uuid,
    number: i16,
    part: &str,
    voice: &ports::Voice,
) -> Result<(), Refused> {
    let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let heard = voice.heard_ms.iter().flat_map(|span| [ms(span.start), ms(span.end)]);
    sqlx::query(INSERT)
        .bind(recording)
        .bind(number)
        .bind(Uuid::from_u128(voice.leg.0))
        .bind(part)
        .bind(&voice.file.key)
        .bind(ms(voice.file.size))
        .bind(voice.file.sha256.as_slice())
        .bind(voice.coverage.clamp(0.0, 1.0))
        .bind(heard.collect::<Vec<i64>>())
        .execute(conn)
        .await?;
    Ok(())
}

/// The voices of some recordings, each recording's by their numbers.
pub(crate) async fn of(conn: &mut PgConnection, recordings: &[Uuid]) -> Result<Vec<VoiceRow>, Refused> {
    Ok(sqlx::query_as(OF_RECORDINGS).bind(recordings).fetch_all(conn).await?)
}
