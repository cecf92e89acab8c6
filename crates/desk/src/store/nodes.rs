//! `media_nodes`, `node_commands`: who carries calls, since which start, until when he is believed alive.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::refusal::Refused;
use crate::types::At;

/// What a crash left of one call.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct OrphanRow {
    pub(crate) id: Uuid,
}

const BEGIN: &str = "insert into media_nodes (id, epoch, ws_url, udp_addr, lease_until, started_at)
    values ($1, 1, $2, $3, clock_timestamp() + make_interval(secs => $4), clock_timestamp())
    on conflict (id) do update set epoch = media_nodes.epoch + 1, ws_url = excluded.ws_url,
        udp_addr = excluded.udp_addr, state = 'up', load_legs = 0, busy = 0, lease_until = excluded.lease_until,
        started_at = excluded.started_at
    returning epoch";
/// Who says good-bye gives his lease back at that moment.
const LAST_SEEN: &str = "select case state when 'down' then lease_until
    else lease_until - make_interval(secs => $2) end from media_nodes where id = $1 for update";
const HEARTBEAT: &str = "update media_nodes set lease_until = clock_timestamp() + make_interval(secs => $3),
    capacity_legs = $4, load_legs = $5, busy = $6, state = $7 where id = $1 and epoch = $2";
const LEAVE: &str =
    "update media_nodes set state = 'down', lease_until = clock_timestamp() where id = $1 and epoch = $2";
const LIVES: &str = "select exists (select from media_nodes where id = $1 and lease_until > clock_timestamp())";
const WS_URL: &str = "select ws_url from media_nodes where id = $1";
const ORPHANS: &str = "select id from voice_calls where node_id = $1 and node_epoch < $2
    and status in ('initiated', 'queued', 'callback', 'ringing', 'connecting', 'answered') order by created_at, id";

const LIVE_CALLS: &str =
    "select count(*), count(*) filter (where status in ('initiated', 'queued', 'callback', 'ringing'))
    from voice_calls where node_id = $1 and node_epoch = $2
    and status in ('initiated', 'queued', 'callback', 'ringing', 'connecting', 'answered')";

/// A node starts: its epoch rises, which fences everything that an earlier start may still say.
pub(crate) async fn begin(
    conn: &mut PgConnection,
    id: &str,
    ws_url: &str,
    udp_addr: &str,
    lease_s: f64,
) -> Result<i64, Refused> {
    Ok(sqlx::query_scalar(BEGIN)
        .bind(id)
        .bind(ws_url)
        .bind(udp_addr)
        .bind(lease_s)
        .fetch_one(conn)
        .await?)
}

/// When the node last showed itself, with its row locked; `None` for a new one.
pub(crate) async fn last_seen(conn: &mut PgConnection, id: &str, lease_s: f64) -> Result<Option<At>, Refused> {
    Ok(sqlx::query_scalar(LAST_SEEN)
        .bind(id)
        .bind(lease_s)
        .fetch_optional(conn)
        .await?)
}

/// The node lives; false when a newer start of it has taken over.
pub(crate) async fn heartbeat(
    conn: &mut PgConnection,
    id: &str,
    epoch: i64,
    lease_s: f64,
    load: &ports::Load,
) -> Result<bool, Refused> {
    let count = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let done = sqlx::query(HEARTBEAT)
        .bind(id)
        .bind(epoch)
        .bind(lease_s)
        .bind(count(load.capacity_legs))
        .bind(count(load.legs))
        .bind(load.busy.max(0.0))
        .bind(if load.draining { "draining" } else { "up" })
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// The node stops in good order.
pub(crate) async fn leave(conn: &mut PgConnection, id: &str, epoch: i64) -> Result<(), Refused> {
    sqlx::query(LEAVE).bind(id).bind(epoch).execute(conn).await?;
    Ok(())
}

/// Live calls of a node, and how many of them wait for an agent.
pub(crate) async fn live_calls(conn: &mut PgConnection, id: &str, epoch: i64) -> Result<(u32, u32), Refused> {
    let (calls, waiting): (i64, i64) = sqlx::query_as(LIVE_CALLS).bind(id).bind(epoch).fetch_one(conn).await?;
    let count = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
    Ok((count(calls), count(waiting)))
}

/// Whether the node has shown itself within its lease.
pub(crate) async fn lives(conn: &mut PgConnection, id: &str) -> Result<bool, Refused> {
    Ok(sqlx::query_scalar(LIVES).bind(id).fetch_one(conn).await?)
}

/// Where clients of the node's calls connect.
pub(crate) async fn ws_url(conn: &mut PgConnection, id: &str) -> Result<Option<String>, Refused> {
    Ok(sqlx::query_scalar(WS_URL).bind(id).fetch_optional(conn).await?)
}

/// Live calls of earlier starts of the node.
pub(crate) async fn orphans(conn: &mut PgConnection, id: &str, epoch: i64) -> Result<Vec<OrphanRow>, Refused> {
    Ok(sqlx::query_as(ORPHANS).bind(id).bind(epoch).fetch_all(conn).await?)
}
