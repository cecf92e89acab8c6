//! `voice_calls`: read, lock, insert, write back.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::refusal::{Code, Refused, on_constraint};
use crate::types::At;

/// One row of `voice_calls`.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct CallRow {
    pub(crate) id: Uuid,
    pub(crate) user_id: String,
    pub(crate) customer_email: String,
    pub(crate) customer_name: String,
    pub(crate) status: String,
    pub(crate) end_reason: Option<String>,
    pub(crate) end_phase: Option<String>,
    pub(crate) assigned_staff_id: Option<Uuid>,
    pub(crate) queue: String,
    pub(crate) priority: i16,
    pub(crate) node_id: String,
    pub(crate) node_epoch: i64,
    pub(crate) media_seq: i64,
    pub(crate) plan_epoch: i64,
    pub(crate) consent_version: Option<String>,
    pub(crate) created_at: At,
    pub(crate) enqueued_at: Option<At>,
    pub(crate) connecting_at: Option<At>,
    pub(crate) answered_at: Option<At>,
    pub(crate) ended_at: Option<At>,
}

const GET: &str = "select id, user_id, customer_email, customer_name, status, end_reason, end_phase,
    assigned_staff_id, queue, priority, node_id, node_epoch, media_seq, plan_epoch, consent_version, created_at,
    enqueued_at, connecting_at, answered_at, ended_at
    from voice_calls where id = $1";

/// Not `for update`: that would block the foreign keys of rows about this call.
const LOCK: &str = "select id, user_id, customer_email, customer_name, status, end_reason, end_phase,
    assigned_staff_id, queue, priority, node_id, node_epoch, media_seq, plan_epoch, consent_version, created_at,
    enqueued_at, connecting_at, answered_at, ended_at
    from voice_calls where id = $1 for no key update";

const LIVE_OF_USER: &str = "select id from voice_calls where user_id = $1
    and status in ('initiated', 'queued', 'callback', 'ringing', 'connecting', 'answered')";

const LIVE: &str = "select id, user_id, customer_email, customer_name, status, end_reason, end_phase,
    assigned_staff_id, queue, priority, node_id, node_epoch, media_seq, plan_epoch, consent_version, created_at,
    enqueued_at, connecting_at, answered_at, ended_at
    from voice_calls where status in ('initiated', 'queued', 'callback', 'ringing', 'connecting', 'answered')
    order by created_at, id limit $1";

const INSERT: &str = "insert into voice_calls (id, user_id, customer_email, customer_name, status, queue, priority,
    node_id, node_epoch, consent_version, created_at)
    values ($1, $2, $3, $4, 'initiated', $5, $6, $7, $8, $9, $10)";

const SAVE: &str = "update voice_calls set status = $2, end_reason = $3, end_phase = $4, assigned_staff_id = $5,
    queue = $6, priority = $7, enqueued_at = $8, connecting_at = $9, answered_at = $10, ended_at = $11,
    node_id = $12, node_epoch = $13, media_seq = $14, plan_epoch = $15, ver = ver + 1
    where id = $1";

const SAW_MEDIA: &str = "update voice_calls set media_seq = $2 where id = $1 and media_seq < $2";

/// The row, without a lock, as far as the transaction's role may see it.
pub(crate) async fn get(conn: &mut PgConnection, id: Uuid) -> Result<Option<CallRow>, Refused> {
    Ok(sqlx::query_as(GET).bind(id).fetch_optional(conn).await?)
}

/// The row, locked until the end of the transaction.
pub(crate) async fn lock(conn: &mut PgConnection, id: Uuid) -> Result<Option<CallRow>, Refused> {
    Ok(sqlx::query_as(LOCK).bind(id).fetch_optional(conn).await?)
}

/// The customer's live call, if there is one.
pub(crate) async fn live_of_user(conn: &mut PgConnection, user: &str) -> Result<Option<Uuid>, Refused> {
    Ok(sqlx::query_scalar(LIVE_OF_USER).bind(user).fetch_optional(conn).await?)
}

/// Calls that are not over, oldest first, as far as the transaction's role may see them.
pub(crate) async fn live(conn: &mut PgConnection, limit: i64) -> Result<Vec<CallRow>, Refused> {
    Ok(sqlx::query_as(LIVE).bind(limit).fetch_all(conn).await?)
}

/// A new call, in `initiated`.
///
/// # Errors
/// [`Code::AlreadyInCall`] when the customer has a live one.
pub(crate) async fn insert(conn: &mut PgConnection, row: &CallRow) -> Result<(), Refused> {
    sqlx::query(INSERT)
        .bind(row.id)
        .bind(&row.user_id)
        .bind(&row.customer_email)
        .bind(&row.customer_name)
        .bind(&row.queue)
        .bind(row.priority)
        .bind(&row.node_id)
        .bind(row.node_epoch)
        .bind(&row.consent_version)
        .bind(row.created_at)
        .execute(conn)
        .await
        .map_err(on_constraint("one_live_call_per_customer", Code::AlreadyInCall))?;
    Ok(())
}

/// Writes the changeable part of a locked row back.
pub(crate) async fn save(conn: &mut PgConnection, row: &CallRow) -> Result<(), Refused> {
    sqlx::query(SAVE)
        .bind(row.id)
        .bind(&row.status)
        .bind(&row.end_reason)
        .bind(&row.end_phase)
        .bind(row.assigned_staff_id)
        .bind(&row.queue)
        .bind(row.priority)
        .bind(row.enqueued_at)
        .bind(row.connecting_at)
        .bind(row.answered_at)
        .bind(row.ended_at)
        .bind(&row.node_id)
        .bind(row.node_epoch)
        .bind(row.media_seq)
        .bind(row.plan_epoch)
        .execute(conn)
        .await
        .map_err(on_constraint("call_transition", Code::IllegalTransition))?;
    Ok(())
}

/// Notes that media's reports up to `seq` are applied; also of a call that has ended.
pub(crate) async fn saw_media(conn: &mut PgConnection, id: Uuid, seq: i64) -> Result<(), Refused> {
    sqlx::query(SAW_MEDIA).bind(id).bind(seq).execute(conn).await?;
    Ok(())
}
