//! `idempotency_keys`: what a request with a key has led to, for a day.

use serde_json::Value;
use sqlx::PgConnection;

use crate::refusal::Refused;

/// Takes a key that is free or older than a day. Waits for another transaction that is taking it now.
const TAKE: &str = "insert into idempotency_keys as k (actor, key, request_hash, status, response)
    values ($1, $2, $3, 0, '{}')
    on conflict (actor, key) do update set request_hash = excluded.request_hash, status = 0, response = '{}',
        created_at = clock_timestamp() where k.created_at < clock_timestamp() - interval '24 hours'";
const GET: &str =
    "select request_hash, response from idempotency_keys where actor = $1 and key = $2 and status <> 0 for update";
const KEEP: &str = "update idempotency_keys set status = $3, response = $4 where actor = $1 and key = $2";

/// True when the key is ours now; false when an earlier request has it.
pub(crate) async fn take(conn: &mut PgConnection, actor: &str, key: &str, hash: &[u8; 32]) -> Result<bool, Refused> {
    let done = sqlx::query(TAKE)
        .bind(actor)
        .bind(key)
        .bind(hash.as_slice())
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Hash of the earlier request and what it has led to.
pub(crate) async fn get(conn: &mut PgConnection, actor: &str, key: &str) -> Result<Option<(Vec<u8>, Value)>, Refused> {
    Ok(sqlx::query_as(GET).bind(actor).bind(key).fetch_optional(conn).await?)
}

/// Keeps what the request has led to.
pub(crate) async fn keep(
    conn: &mut PgConnection,
    actor: &str,
    key: &str,
    status: i16,
    outcome: &Value,
) -> Result<(), Refused> {
    sqlx::query(KEEP)
        .bind(actor)
        .bind(key)
        .bind(status)
        .bind(outcome)
        .execute(conn)
        .await?;
    Ok(())
}
