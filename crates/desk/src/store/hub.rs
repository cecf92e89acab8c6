//! `hub_events` as the feed reads them: what became visible between two snapshots.
//!
//! Event numbers are drawn before the commit, so no number tells what was read. A snapshot does: each row is invisible in
//! one and visible in the next exactly once, however long its transaction or anybody else's takes.

use serde_json::Value;
use sqlx::PgConnection;

use crate::refusal::Refused;

/// One row of `hub_events`.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct HubRow {
    pub(crate) id: i64,
    pub(crate) audience: String,
    pub(crate) audience_id: Option<String>,
    pub(crate) kind: String,
    pub(crate) data: Value,
}

const SNAPSHOT: &str = "select pg_current_snapshot()::text";
/// What is not visible in a snapshot began after it or was under way: both are found by the index. Ids ascend in the order
/// in which a call's decisions were taken.
const BETWEEN: &str = "select id, audience, audience_id, kind, data from hub_events
    where (xid >= pg_snapshot_xmax($1::text::pg_snapshot)
            or xid = any (array(select pg_snapshot_xip($1::text::pg_snapshot))))
        and pg_visible_in_snapshot(xid, $2::text::pg_snapshot) and id > $3
    order by id limit $4";

/// Who sees what at this moment, as text.
pub(crate) async fn snapshot(conn: &mut PgConnection) -> Result<String, Refused> {
    Ok(sqlx::query_scalar(SNAPSHOT).fetch_one(conn).await?)
}

/// Up to `limit` rows that are visible in the snapshot `to`, which was taken before, and were not in `from`; in the order
/// of their ids, behind `after`.
pub(crate) async fn between(
    conn: &mut PgConnection,
    from: &str,
    to: &str,
    after: i64,
    limit: i64,
) -> Result<Vec<HubRow>, Refused> {
    Ok(sqlx::query_as(BETWEEN)
        .bind(from)
        .bind(to)
        .bind(after)
        .bind(limit)
        .fetch_all(conn)
        .await?)
}
