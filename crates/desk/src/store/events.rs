//! `call_events`, `hub_events`, `support_activity_logs`, `outbox`: what is told about a decision, in its transaction.

use call_model::Timestamp;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::refusal::Refused;
use crate::types::At;

/// One row of `outbox` that is due.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct OutboxRow {
    pub(crate) id: i64,
    pub(crate) kind: String,
    pub(crate) payload: Value,
    pub(crate) attempts: i32,
}

/// The number is the next one of a locked call.
const CALL_EVENT: &str = "insert into call_events (call_id, seq, kind, at, actor, data)
    select $1, coalesce(max(seq), 0) + 1, $2, $3, $4, $5 from call_events where call_id = $1";
const TOLD_SINCE: &str = "select exists (select from call_events where call_id = $1 and kind = $2 and at >= $3)";
const AUDIT: &str = "insert into support_activity_logs (actor_id, actor_role, action, subject_type, subject_id,
    reason, created_at) values ($1, $2, $3, $4, $5, $6, $7)";
const RECENT_AUDIT: &str =
    "select exists (select from support_activity_logs where subject_type = $1 and subject_id = $2
    and action = $3 and actor_id = $4 and created_at > clock_timestamp() - make_interval(secs => $5))";
const HUB_EVENT: &str = "insert into hub_events (audience, audience_id, kind, data) values ($1, $2, $3, $4)";
const FORGET_HUB: &str = "delete from hub_events where at < clock_timestamp() - interval '48 hours'";
const OUTBOX_ADD: &str = "insert into outbox (kind, dedup_key, payload) values ($1, $2, $3) on conflict do nothing";
const OUTBOX_HAS: &str = "select exists (select from outbox where dedup_key = $1)";
const OUTBOX_DUE: &str = "select id, kind, payload, attempts from outbox
    where done_at is null and dead_at is null and due_at <= clock_timestamp()
    order by due_at, id limit $1 for update skip locked";
const OUTBOX_DONE: &str = "update outbox set done_at = clock_timestamp(), attempts = attempts + 1 where id = $1";
const OUTBOX_LATER: &str = "update outbox set attempts = attempts + 1, last_error = $2,
    due_at = clock_timestamp() + make_interval(secs => $3) where id = $1";
const OUTBOX_DEAD: &str = "update outbox set attempts = attempts + 1, last_error = $2, dead_at = clock_timestamp()
    where id = $1";
const OUTBOX_OLDEST: &str = "select coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)::float8
    from outbox where done_at is null and dead_at is null";
const OUTBOX_FORGET: &str =
    "delete from outbox where coalesce(done_at, dead_at) < clock_timestamp() - interval '7 days'";

/// Adds to the history of a locked call.
pub(crate) async fn call_event(
    conn: &mut PgConnection,
    call: Uuid,
    kind: &str,
    at: Timestamp,
    actor: &str,
    data: &Value,
) -> Result<(), Refused> {
    sqlx::query(CALL_EVENT)
        .bind(call)
        .bind(kind)
        .bind(At(at))
        .bind(actor)
        .bind(data)
        .execute(conn)
        .await?;
    Ok(())
}

/// Whether the history of a call has such an entry from `since` on.
pub(crate) async fn told_since(
    conn: &mut PgConnection,
    call: Uuid,
    kind: &str,
    since: Timestamp,
) -> Result<bool, Refused> {
    Ok(sqlx::query_scalar(TOLD_SINCE)
        .bind(call)
        .bind(kind)
        .bind(At(since))
        .fetch_one(conn)
        .await?)
}

/// Who did what to what.
#[derive(Clone, Debug)]
pub(crate) struct Audit<'a> {
    pub(crate) actor_id: &'a str,
    pub(crate) actor_role: &'a str,
    pub(crate) action: &'a str,
    pub(crate) subject_type: &'a str,
    pub(crate) subject_id: &'a str,
    pub(crate) reason: Option<&'a str>,
}

/// Adds to the audit log.
pub(crate) async fn audit(conn: &mut PgConnection, at: Timestamp, entry: &Audit<'_>) -> Result<(), Refused> {
    sqlx::query(AUDIT)
        .bind(entry.actor_id)
        .bind(entry.actor_role)
        .bind(entry.action)
        .bind(entry.subject_type)
        .bind(entry.subject_id)
        .bind(entry.reason)
        .bind(At(at))
        .execute(conn)
        .await?;
    Ok(())
}

/// Whether the same actor did the same to the same within the last `seconds`.
pub(crate) async fn recently_audited(
    conn: &mut PgConnection,
    entry: &Audit<'_>,
    seconds: f64,
) -> Result<bool, Refused> {
    Ok(sqlx::query_scalar(RECENT_AUDIT)
        .bind(entry.subject_type)
        .bind(entry.subject_id)
        .bind(entry.action)
        .bind(entry.actor_id)
        .bind(seconds)
        .fetch_one(conn)
        .await?)
}

/// Tells browsers.
pub(crate) async fn hub(
    conn: &mut PgConnection,
    audience: &str,
    audience_id: Option<&str>,
    kind: &str,
    data: &Value,
) -> Result<(), Refused> {
    sqlx::query(HUB_EVENT)
        .bind(audience)
        .bind(audience_id)
        .bind(kind)
        .bind(data)
        .execute(conn)
        .await?;
    Ok(())
}

/// Drops what no hub needs any more.
pub(crate) async fn forget_hub(conn: &mut PgConnection) -> Result<u64, Refused> {
    Ok(sqlx::query(FORGET_HUB).execute(conn).await?.rows_affected())
}

/// Asks for something to be done outside, once per `key`.
pub(crate) async fn outbox(conn: &mut PgConnection, kind: &str, key: &str, payload: &Value) -> Result<(), Refused> {
    sqlx::query(OUTBOX_ADD)
        .bind(kind)
        .bind(key)
        .bind(payload)
        .execute(conn)
        .await?;
    Ok(())
}

/// Whether that was asked for already.
pub(crate) async fn outbox_has(conn: &mut PgConnection, key: &str) -> Result<bool, Refused> {
    Ok(sqlx::query_scalar(OUTBOX_HAS).bind(key).fetch_one(conn).await?)
}

/// Takes up to `limit` due rows for this transaction; another dispatcher passes them by.
pub(crate) async fn outbox_due(conn: &mut PgConnection, limit: i64) -> Result<Vec<OutboxRow>, Refused> {
    Ok(sqlx::query_as(OUTBOX_DUE).bind(limit).fetch_all(conn).await?)
}

/// The row is done.
pub(crate) async fn outbox_done(conn: &mut PgConnection, id: i64) -> Result<(), Refused> {
    sqlx::query(OUTBOX_DONE).bind(id).execute(conn).await?;
    Ok(())
}

/// The row failed and is tried again after `seconds`.
pub(crate) async fn outbox_later(conn: &mut PgConnection, id: i64, error: &str, seconds: f64) -> Result<(), Refused> {
    sqlx::query(OUTBOX_LATER)
        .bind(id)
        .bind(error)
        .bind(seconds)
        .execute(conn)
        .await?;
    Ok(())
}

/// The row failed for good.
pub(crate) async fn outbox_dead(conn: &mut PgConnection, id: i64, error: &str) -> Result<(), Refused> {
    sqlx::query(OUTBOX_DEAD).bind(id).bind(error).execute(conn).await?;
    Ok(())
}

/// Age of the oldest row that is not done, seconds.
pub(crate) async fn outbox_oldest_seconds(conn: &mut PgConnection) -> Result<f64, Refused> {
    Ok(sqlx::query_scalar(OUTBOX_OLDEST).fetch_one(conn).await?)
}

/// Drops rows that have been done for a week.
pub(crate) async fn forget_outbox(conn: &mut PgConnection) -> Result<u64, Refused> {
    Ok(sqlx::query(OUTBOX_FORGET).execute(conn).await?.rows_affected())
}
