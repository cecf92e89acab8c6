//! What time has overtaken: a statement per deadline, each judged by the database's clock.
//!
//! What ends a call's sound or changes it is looked for by the call's own node: nobody else's media knows it.
//!
//! These only find candidates. Whoever acts on one locks it and looks again, so two who find the same do it once.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::refusal::Refused;
use crate::types::At;

/// A call whose time is over.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct DueCall {
    pub(crate) id: Uuid,
    pub(crate) node_id: String,
}

/// An offer whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct DueOffer {
    pub(crate) id: Uuid,
    pub(crate) call_id: Uuid,
}

/// An offer that rings at somebody who is not there.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct AbsentOffer {
    pub(crate) id: Uuid,
    pub(crate) call_id: Uuid,
    pub(crate) kind: String,
}

/// A leg that nobody has attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct UnattachedLeg {
    pub(crate) id: Uuid,
    pub(crate) call_id: Uuid,
}

/// A call whose node is gone.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct LostCall {
    pub(crate) id: Uuid,
    pub(crate) node_id: String,
    pub(crate) node_epoch: i64,
    /// When the node was last believed alive; the call cannot have lived longer.
    pub(crate) last_seen: At,
}

const OFFERS: &str = "select o.id, o.call_id from offers o join voice_calls c on c.id = o.call_id and c.node_id = $1
    where o.state = 'pending' and o.expires_at <= clock_timestamp()
    order by o.expires_at, o.id limit $2";
const WRAP_UPS: &str = "select id, call_id from offers
    where state = 'wrapping' and call_id is not null and expires_at <= clock_timestamp()
    order by expires_at, id limit $1";
/// Offers that ring at somebody who is not there any more.
const ABSENT: &str =
    "select o.id, o.call_id, o.kind from offers o join voice_calls c on c.id = o.call_id and c.node_id = $1
    left join staff_presence p on p.staff_id = o.staff_id
    where o.state = 'pending' and coalesce(p.lease_until, '-infinity') <= clock_timestamp()
    order by o.created_at, o.id limit $2";
const IS_ABSENT: &str = "select exists (select from offers o left join staff_presence p on p.staff_id = o.staff_id
    where o.id = $1 and o.state = 'pending' and coalesce(p.lease_until, '-infinity') <= clock_timestamp())";
const INITIATED: &str = "select id, node_id from voice_calls
    where status = 'initiated' and created_at <= clock_timestamp() - make_interval(secs => $1) and node_id = $3
    order by created_at, id limit $2";
const CONNECTING: &str = "select id, node_id from voice_calls
    where status = 'connecting' and connecting_at <= clock_timestamp() - make_interval(secs => $1) and node_id = $3
    order by connecting_at, id limit $2";
const TOO_LONG: &str = "select id, node_id from voice_calls
    where status = 'answered' and answered_at <= clock_timestamp() - make_interval(secs => $1) and node_id = $3
    order by answered_at, id limit $2";
/// A stay begins with the first entry, or with the end of the last conversation: who is given back after an hour of
/// talk has not waited for an hour.
const WAITED: &str = "select c.id, c.node_id from call_queue w
    join voice_calls c on c.id = w.call_id and c.status = 'queued' and c.node_id = $3
    join queues q on q.name = w.queue
    where w.left_at is null and w.enqueued_at <= clock_timestamp() - make_interval(secs => 5)
        and greatest(w.enqueued_at, (select max(o.ended_at) from offers o
            where o.call_id = c.id and o.accepted_at is not null))
            <= clock_timestamp() - make_interval(secs => coalesce(q.timeout_seconds, $1))
    order by w.enqueued_at, w.id limit $2";
const UNSEEN: &str = "select c.id, c.node_id from call_queue w
    join voice_calls c on c.id = w.call_id and c.status in ('queued', 'ringing') and c.node_id = $2
    where w.left_at is null and w.lease_until <= clock_timestamp()
    order by w.lease_until, w.id limit $1";
const IS_UNSEEN: &str = "select exists (select from call_queue
    where call_id = $1 and left_at is null and lease_until <= clock_timestamp())";
/// The agent's leg has been away since before the last good moment, or whoever took the call over never came.
const AGENT_AWAY: &str = "select c.id, c.node_id from call_legs l
    join voice_calls c on c.id = l.call_id and c.status = 'answered' and c.assigned_staff_id = l.staff_id
        and c.node_id = $3
    where l.part = 'agent' and l.state in ('away', 'granted')
        and case l.state when 'away' then l.away_at else l.granted_at end
            <= clock_timestamp() - make_interval(secs => $1)
    order by l.away_at, l.id limit $2";
const IS_AGENT_AWAY: &str = "select exists (select from call_legs l
    join voice_calls c on c.id = l.call_id and c.assigned_staff_id = l.staff_id
    where c.id = $1 and c.status = 'answered' and l.part = 'agent' and l.state in ('away', 'granted')
        and case l.state when 'away' then l.away_at else l.granted_at end
            <= clock_timestamp() - make_interval(secs => $2))";
/// Who was let into a conversation beside its agent and has not come; the agent's own leg has a deadline of the call. Of
/// one node's calls: only there can the leg be closed. Those of a dead one end with it.
const UNATTACHED: &str = "select l.id, l.call_id from call_legs l
    join voice_calls c on c.id = l.call_id and c.status = 'answered' and c.node_id = $1
    where l.part in ('supervisor', 'partner') and l.state = 'granted'
        and l.granted_at <= clock_timestamp() - make_interval(secs => $2)
    order by l.granted_at, l.id limit $3";
const IS_UNATTACHED: &str = "select exists (select from call_legs l
    join voice_calls c on c.id = l.call_id and c.status = 'answered'
    where l.id = $1 and l.part in ('supervisor', 'partner') and l.state = 'granted'
        and l.granted_at <= clock_timestamp() - make_interval(secs => $2))";
/// Calls of an earlier start of another node, which has had its time to close them itself.
const SUPERSEDED: &str = "select c.id, c.node_id, c.node_epoch, n.started_at as last_seen
    from voice_calls c join media_nodes n on n.id = c.node_id
    where c.status in ('initiated', 'queued', 'callback', 'ringing', 'connecting', 'answered')
        and c.node_epoch < n.epoch and n.id <> $1 and n.started_at <= clock_timestamp() - interval '30 seconds'
    order by c.created_at, c.id limit $2";
/// Calls of other nodes that have not shown themselves in time, or have left.
const DEAD: &str = "select c.id, c.node_id, c.node_epoch,
    case n.state when 'down' then n.lease_until else n.lease_until - make_interval(secs => $2) end as last_seen
    from voice_calls c join media_nodes n on n.id = c.node_id
    where c.status in ('initiated', 'queued', 'callback', 'ringing', 'connecting', 'answered')
        and c.node_epoch = n.epoch and n.id <> $1 and n.lease_until <= clock_timestamp()
    order by c.created_at, c.id limit $3";
const IS_LOST: &str = "select exists (select from voice_calls c join media_nodes n on n.id = c.node_id
    where c.id = $1 and (c.node_epoch < n.epoch or (n.id <> $2 and n.lease_until <= clock_timestamp())))";
const LAST_TOLD: &str = "select max(at) from call_events where call_id = $1 and ($2::text is null or actor = $2)";
const CUSTOMER_UP: &str = "select exists (select from call_legs
    where call_id = $1 and part = 'customer' and state = 'up')";
const FORGET_IDEMPOTENCY: &str =
    "delete from idempotency_keys where created_at < clock_timestamp() - interval '24 hours'";
const FORGET_SIGNALING: &str = "delete from webrtc_signaling where expires_at <= clock_timestamp()";
const TRY_LEAD: &str = "select pg_try_advisory_lock(hashtextextended('helpline.reaper', 0))";
const STILL_THERE: &str = "select 1";

/// Pending offers of calls of `node` whose time is over.
pub(crate) async fn offers(conn: &mut PgConnection, node: &str, limit: i64) -> Result<Vec<DueOffer>, Refused> {
    Ok(sqlx::query_as(OFFERS).bind(node).bind(limit).fetch_all(conn).await?)
}

/// Wrap-ups whose time is over.
pub(crate) async fn wrap_ups(conn: &mut PgConnection, limit: i64) -> Result<Vec<DueOffer>, Refused> {
    Ok(sqlx::query_as(WRAP_UPS).bind(limit).fetch_all(conn).await?)
}

/// Pending offers of calls of `node` to agents whose console has not been seen in time.
pub(crate) async fn absent(conn: &mut PgConnection, node: &str, limit: i64) -> Result<Vec<AbsentOffer>, Refused> {
    Ok(sqlx::query_as(ABSENT).bind(node).bind(limit).fetch_all(conn).await?)
}

/// Whether the offer still rings at somebody who is not there.
pub(crate) async fn is_absent(conn: &mut PgConnection, offer: Uuid) -> Result<bool, Refused> {
    Ok(sqlx::query_scalar(IS_ABSENT).bind(offer).fetch_one(conn).await?)
}

/// Calls of `node` that have been `initiated` for `seconds`.
pub(crate) async fn initiated(
    conn: &mut PgConnection,
    node: &str,
    seconds: f64,
    limit: i64,
) -> Result<Vec<DueCall>, Refused> {
    Ok(sqlx::query_as(INITIATED)
        .bind(seconds)
        .bind(limit)
        .bind(node)
        .fetch_all(conn)
        .await?)
}

/// Calls of `node` that have been `connecting` for `seconds`.
pub(crate) async fn connecting(
    conn: &mut PgConnection,
    node: &str,
    seconds: f64,
    limit: i64,
) -> Result<Vec<DueCall>, Refused> {
    Ok(sqlx::query_as(CONNECTING)
        .bind(seconds)
        .bind(limit)
        .bind(node)
        .fetch_all(conn)
        .await?)
}

/// Calls of `node` that have been `answered` for `seconds`.
pub(crate) async fn too_long(
    conn: &mut PgConnection,
    node: &str,
    seconds: f64,
    limit: i64,
) -> Result<Vec<DueCall>, Refused> {
    Ok(sqlx::query_as(TOO_LONG)
        .bind(seconds)
        .bind(limit)
        .bind(node)
        .fetch_all(conn)
        .await?)
}

/// Calls of `node` that have waited for their queue's time-out, or for `seconds` where it has none of its own.
pub(crate) async fn waited(
    conn: &mut PgConnection,
    node: &str,
    seconds: i32,
    limit: i64,
) -> Result<Vec<DueCall>, Refused> {
    Ok(sqlx::query_as(WAITED)
        .bind(seconds)
        .bind(limit)
        .bind(node)
        .fetch_all(conn)
        .await?)
}

/// Waiting calls of `node` whose customer has not shown himself in time.
pub(crate) async fn unseen(conn: &mut PgConnection, node: &str, limit: i64) -> Result<Vec<DueCall>, Refused> {
    Ok(sqlx::query_as(UNSEEN).bind(limit).bind(node).fetch_all(conn).await?)
}

/// Whether the customer of a locked call has still not been seen.
pub(crate) async fn is_unseen(conn: &mut PgConnection, call: Uuid) -> Result<bool, Refused> {
    Ok(sqlx::query_scalar(IS_UNSEEN).bind(call).fetch_one(conn).await?)
}

/// Whether the agent's leg of a locked call is still away for `seconds`.
pub(crate) async fn is_agent_away(conn: &mut PgConnection, call: Uuid, seconds: f64) -> Result<bool, Refused> {
    Ok(sqlx::query_scalar(IS_AGENT_AWAY)
        .bind(call)
        .bind(seconds)
        .fetch_one(conn)
        .await?)
}

/// Answered calls of `node` whose agent's leg has been away for `seconds`.
pub(crate) async fn agent_away(
    conn: &mut PgConnection,
    node: &str,
    seconds: f64,
    limit: i64,
) -> Result<Vec<DueCall>, Refused> {
    Ok(sqlx::query_as(AGENT_AWAY)
        .bind(seconds)
        .bind(limit)
        .bind(node)
        .fetch_all(conn)
        .await?)
}

/// Legs of supervisors and colleagues in calls of `node` that have been granted for `seconds` and were never up.
pub(crate) async fn unattached(
    conn: &mut PgConnection,
    node: &str,
    seconds: f64,
    limit: i64,
) -> Result<Vec<UnattachedLeg>, Refused> {
    Ok(sqlx::query_as(UNATTACHED)
        .bind(node)
        .bind(seconds)
        .bind(limit)
        .fetch_all(conn)
        .await?)
}

/// Whether the same is still so of a leg whose call is locked.
pub(crate) async fn is_unattached(conn: &mut PgConnection, leg: Uuid, seconds: f64) -> Result<bool, Refused> {
    Ok(sqlx::query_scalar(IS_UNATTACHED)
        .bind(leg)
        .bind(seconds)
        .fetch_one(conn)
        .await?)
}

/// Live calls of earlier starts of nodes other than `me`.
pub(crate) async fn superseded(conn: &mut PgConnection, me: &str, limit: i64) -> Result<Vec<LostCall>, Refused> {
    Ok(sqlx::query_as(SUPERSEDED).bind(me).bind(limit).fetch_all(conn).await?)
}

/// Live calls of nodes other than `me` whose lease of `lease_s` seconds has run out.
pub(crate) async fn dead(
    conn: &mut PgConnection,
    me: &str,
    lease_s: f64,
    limit: i64,
) -> Result<Vec<LostCall>, Refused> {
    Ok(sqlx::query_as(DEAD)
        .bind(me)
        .bind(lease_s)
        .bind(limit)
        .fetch_all(conn)
        .await?)
}

/// Whether the node of a locked call is still gone, as seen by `me`.
pub(crate) async fn is_lost(conn: &mut PgConnection, call: Uuid, me: &str) -> Result<bool, Refused> {
    Ok(sqlx::query_scalar(IS_LOST).bind(call).bind(me).fetch_one(conn).await?)
}

/// When the last entry of the call's history happened, of one actor or of all: every decision has one.
pub(crate) async fn last_told(conn: &mut PgConnection, call: Uuid, actor: Option<&str>) -> Result<Option<At>, Refused> {
    Ok(sqlx::query_scalar(LAST_TOLD)
        .bind(call)
        .bind(actor)
        .fetch_one(conn)
        .await?)
}

/// Whether the customer's leg is up, by what its node has reported.
pub(crate) async fn customer_up(conn: &mut PgConnection, call: Uuid) -> Result<bool, Refused> {
    Ok(sqlx::query_scalar(CUSTOMER_UP).bind(call).fetch_one(conn).await?)
}

/// Drops idempotency keys older than a day.
pub(crate) async fn forget_idempotency(conn: &mut PgConnection) -> Result<u64, Refused> {
    Ok(sqlx::query(FORGET_IDEMPOTENCY).execute(conn).await?.rows_affected())
}

/// Drops signalling messages that were kept for debugging.
pub(crate) async fn forget_signaling(conn: &mut PgConnection) -> Result<u64, Refused> {
    Ok(sqlx::query(FORGET_SIGNALING).execute(conn).await?.rows_affected())
}

/// Tries to become the reaper for as long as this connection lives.
pub(crate) async fn try_lead(conn: &mut PgConnection) -> Result<bool, Refused> {
    Ok(sqlx::query_scalar(TRY_LEAD).fetch_one(conn).await?)
}

/// Whether the connection still lives, and the lock with it.
pub(crate) async fn still_there(conn: &mut PgConnection) -> Result<(), Refused> {
    sqlx::query(STILL_THERE).execute(conn).await?;
    Ok(())
}
