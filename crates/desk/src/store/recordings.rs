//! `recordings`, `recording_steps`: what is kept of a call's sound.
//!
//! The columns `peaks_*` are of a former version, which stored peaks with every recording. Nothing reads or writes them;
//! they stay so that a node of that version still finds what it names while the nodes are renewed one by one.

use call_model::Timestamp;
use ports::StoredFile;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::refusal::Refused;
use crate::types::At;

/// One row of `recordings`.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct RecordingRow {
    pub(crate) id: Uuid,
    pub(crate) call_id: Uuid,
    pub(crate) state: String,
    pub(crate) customer_left: bool,
    pub(crate) started_at: At,
    pub(crate) reason: Option<String>,
    pub(crate) duration_ms: Option<i64>,
    pub(crate) layout: Option<String>,
    pub(crate) coverage_customer: Option<f32>,
    pub(crate) coverage_agent: Option<f32>,
    pub(crate) degraded: bool,
    pub(crate) audio_key: Option<String>,
    pub(crate) audio_size: Option<i64>,
    pub(crate) audio_sha256: Option<Vec<u8>>,
}

/// What a confirmed recording consists of.
pub(crate) struct Confirmed<'a> {
    pub(crate) audio: &'a StoredFile,
    pub(crate) manifest: &'a StoredFile,
    pub(crate) duration_ms: u64,
    pub(crate) layout: &'static str,
    pub(crate) coverage: [f32; 2],
    pub(crate) reason: &'a str,
    pub(crate) degraded: bool,
}

const GET: &str = "select id, call_id, state, customer_left, started_at, reason, duration_ms, layout,
    coverage_customer, coverage_agent, degraded, audio_key, audio_size, audio_sha256
    from recordings where id = $1";
const OF_CALL: &str = "select id, call_id, state, customer_left, started_at, reason, duration_ms, layout,
    coverage_customer, coverage_agent, degraded, audio_key, audio_size, audio_sha256
    from recordings where call_id = $1 order by started_at, id";
const INSERT: &str = "insert into recordings (id, call_id, node_id, policy, customer_left, consent_version, started_at)
    values ($1, $2, $3, $4, $5, $6, $7) on conflict (id) do nothing";
const RUNS: &str = "select exists (select from recordings where call_id = $1 and state = 'recording')";
const STEP: &str = "insert into recording_steps (recording_id, step, at) values ($1, $2, $3) on conflict do nothing";
const ENDED: &str = "update recordings set state = 'finalising', ended_at = greatest($2, started_at), reason = $3
    where id = $1 and state = 'recording'";
const CONFIRMED: &str = "update recordings set state = 'stored', stored_at = $2, ended_at = coalesce(ended_at, $2),
    duration_ms = $3, layout = $4, coverage_customer = $5, coverage_agent = $6, reason = $7, degraded = degraded or $8,
    audio_key = $9, audio_size = $10, audio_sha256 = $11,
    manifest_key = $12, manifest_size = $13, manifest_sha256 = $14
    where id = $1 and state in ('recording', 'finalising', 'failed')";
const DEGRADED: &str =
    "update recordings set degraded = true where call_id = $1 and state in ('recording', 'finalising')";

/// One recording.
pub(crate) async fn get(conn: &mut PgConnection, id: Uuid) -> Result<Option<RecordingRow>, Refused> {
    Ok(sqlx::query_as(GET).bind(id).fetch_optional(conn).await?)
}

/// The recordings of a call, oldest first.
pub(crate) async fn of_call(conn: &mut PgConnection, call: Uuid) -> Result<Vec<RecordingRow>, Refused> {
    Ok(sqlx::query_as(OF_CALL).bind(call).fetch_all(conn).await?)
}

/// What was ordered of a recording, beside what its row says later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ordered<'a> {
    /// Whose recorder it is.
    pub(crate) node: &'a str,
    /// The rule of the queue.
    pub(crate) policy: &'a str,
    pub(crate) consent: Option<&'a str>,
}

/// Recording begins; already known is fine.
pub(crate) async fn insert(conn: &mut PgConnection, row: &RecordingRow, ordered: Ordered<'_>) -> Result<(), Refused> {
    sqlx::query(INSERT)
        .bind(row.id)
        .bind(row.call_id)
        .bind(ordered.node)
        .bind(ordered.policy)
        .bind(row.customer_left)
        .bind(ordered.consent)
        .bind(row.started_at)
        .execute(conn)
        .await?;
    Ok(())
}

/// Whether the call is being recorded.
pub(crate) async fn runs(conn: &mut PgConnection, call: Uuid) -> Result<bool, Refused> {
    Ok(sqlx::query_scalar(RUNS).bind(call).fetch_one(conn).await?)
}

/// Notes a step; false when it was noted before.
pub(crate) async fn step(conn: &mut PgConnection, id: Uuid, step: &str, at: Timestamp) -> Result<bool, Refused> {
    Ok(sqlx::query(STEP)
        .bind(id)
        .bind(step)
        .bind(At(at))
        .execute(conn)
        .await?
        .rows_affected()
        == 1)
}

/// Nothing more will be taken.
pub(crate) async fn ended(conn: &mut PgConnection, id: Uuid, at: Timestamp, reason: &str) -> Result<(), Refused> {
    sqlx::query(ENDED)
        .bind(id)
        .bind(At(at))
        .bind(reason)
        .execute(conn)
        .await?;
    Ok(())
}

/// The files are in the store.
pub(crate) async fn confirmed(
    conn: &mut PgConnection,
    id: Uuid,
    at: Timestamp,
    files: &Confirmed<'_>,
) -> Result<(), Refused> {
    let size = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    sqlx::query(CONFIRMED)
        .bind(id)
        .bind(At(at))
        .bind(size(files.duration_ms))
        .bind(files.layout)
        .bind(files.coverage[0].clamp(0.0, 1.0))
        .bind(files.coverage[1].clamp(0.0, 1.0))
        .bind(files.reason)
        .bind(files.degraded)
        .bind(&files.audio.key)
        .bind(size(files.audio.size))
        .bind(files.audio.sha256.as_slice())
        .bind(&files.manifest.key)
        .bind(size(files.manifest.size))
        .bind(files.manifest.sha256.as_slice())
        .execute(conn)
        .await?;
    Ok(())
}

/// Packets were lost on the way to the disk.
pub(crate) async fn degraded(conn: &mut PgConnection, call: Uuid) -> Result<(), Refused> {
    sqlx::query(DEGRADED).bind(call).execute(conn).await?;
    Ok(())
}
