//! `queues`, `call_queue`: where calls wait. A place is a rank among the living, counted when somebody asks.

use call_model::{Span, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::refusal::Refused;
use crate::types::At;

/// How long a priority step counts: a call of priority 1 stands where it would, had it come a minute earlier.
pub(crate) const PRIORITY_STEP: Span = Span::seconds(60);

/// One row of `queues`.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct QueueRow {
    pub(crate) name: String,
    pub(crate) ring_seconds: i32,
    pub(crate) wrap_up_seconds: i32,
    pub(crate) recording: String,
    pub(crate) strategy: String,
}

/// A waiting call for lists.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct WaitingRow {
    pub(crate) call_id: Uuid,
    pub(crate) user_id: String,
    pub(crate) customer_name: String,
    pub(crate) queue: String,
    pub(crate) status: String,
    pub(crate) enqueued_at: At,
    pub(crate) position: i64,
}

/// Agents of a queue, now.
#[derive(Clone, Copy, Debug, Default, sqlx::FromRow)]
pub(crate) struct Strength {
    pub(crate) idle: i64,
    pub(crate) busy: i64,
}

const GET: &str = "select name, ring_seconds, wrap_up_seconds, recording, strategy
    from queues where name = $1";
const DEFAULT: &str = "select name, ring_seconds, wrap_up_seconds, recording, strategy
    from queues where is_default";
/// Held to the end of the transaction: the router decides for one queue at a time.
const ADVISE: &str = "select pg_advisory_xact_lock(hashtextextended('helpline.queue.' || $1, 0))";
const TRY_ADVISE: &str = "select pg_try_advisory_xact_lock(hashtextextended('helpline.queue.' || $1, 0))";

const OPEN: &str = "insert into call_queue (id, call_id, queue, priority, enqueued_at, rank_at, lease_until)
    values ($1, $2, $3, $4, $5, $6, $7)";
const CLOSE: &str = "update call_queue set left_at = $2, left_reason = $3 where call_id = $1 and left_at is null";
const EXTEND: &str = "update call_queue q set lease_until = $2
    from voice_calls c where c.id = q.call_id and c.user_id = $1 and q.left_at is null
    returning q.call_id";
const POSITION: &str = "select count(*) + 1 from call_queue mine
    join call_queue other on other.queue = mine.queue and other.left_at is null
        and (other.rank_at, other.id) < (mine.rank_at, mine.id)
    where mine.call_id = $1 and mine.left_at is null
    having exists (select from call_queue where call_id = $1 and left_at is null)";
const WAITING: &str = "select q.call_id, c.user_id, c.customer_name, q.queue, c.status, q.enqueued_at,
    row_number() over (partition by q.queue order by q.rank_at, q.id) as position
    from call_queue q join voice_calls c on c.id = q.call_id
    where q.left_at is null and c.status in ('queued', 'ringing')
        and ($1::text is null or q.queue = $1)
    order by q.rank_at, q.id limit $2";
const STRENGTH: &str = "select
    count(*) filter (where s.status = 'online' and p.lease_until > clock_timestamp() and held.n < s.max_concurrent_calls)
        as idle,
    count(*) filter (where held.n > 0) as busy
    from staff s
    join staff_presence p on p.staff_id = s.id
    cross join lateral (
        select count(*) as n from offers o
        where o.staff_id = s.id and o.channel = 'call' and o.state in ('pending', 'accepted', 'wrapping')
    ) held
    where s.is_active
        and exists (select from queue_members m where m.staff_id = s.id and ($1::text is null or m.queue = $1))";

/// One queue by name.
pub(crate) async fn get(conn: &mut PgConnection, name: &str) -> Result<Option<QueueRow>, Refused> {
    Ok(sqlx::query_as(GET).bind(name).fetch_optional(conn).await?)
}

/// The queue of calls that name none.
pub(crate) async fn default(conn: &mut PgConnection) -> Result<Option<QueueRow>, Refused> {
    Ok(sqlx::query_as(DEFAULT).fetch_optional(conn).await?)
}

/// Takes the queue for this transaction, waiting for it.
pub(crate) async fn advise(conn: &mut PgConnection, name: &str) -> Result<(), Refused> {
    sqlx::query(ADVISE).bind(name).execute(conn).await?;
    Ok(())
}

/// Takes the queue for this transaction if nobody has it.
pub(crate) async fn try_advise(conn: &mut PgConnection, name: &str) -> Result<bool, Refused> {
    Ok(sqlx::query_scalar(TRY_ADVISE).bind(name).fetch_one(conn).await?)
}

/// A new stay of a call in a queue; the rank follows from time and priority and never changes.
pub(crate) async fn open(
    conn: &mut PgConnection,
    id: Uuid,
    call: Uuid,
    queue: &str,
    priority: i16,
    enqueued_at: Timestamp,
    lease_until: Timestamp,
) -> Result<(), Refused> {
    let rank_at = enqueued_at.minus(Span(PRIORITY_STEP.0.saturating_mul(i64::from(priority))));
    sqlx::query(OPEN)
        .bind(id)
        .bind(call)
        .bind(queue)
        .bind(priority)
        .bind(At(enqueued_at))
        .bind(At(rank_at))
        .bind(At(lease_until))
        .execute(conn)
        .await?;
    Ok(())
}

/// Ends the call's stay, if it has one.
pub(crate) async fn close(conn: &mut PgConnection, call: Uuid, at: Timestamp, reason: &str) -> Result<(), Refused> {
    sqlx::query(CLOSE)
        .bind(call)
        .bind(At(at))
        .bind(reason)
        .execute(conn)
        .await?;
    Ok(())
}

/// The customer has shown himself; returns his waiting call.
pub(crate) async fn extend(conn: &mut PgConnection, user: &str, until: Timestamp) -> Result<Option<Uuid>, Refused> {
    Ok(sqlx::query_scalar(EXTEND)
        .bind(user)
        .bind(At(until))
        .fetch_optional(conn)
        .await?)
}

/// Place of the call in its queue, 1 is next; `None` when it does not wait.
pub(crate) async fn position(conn: &mut PgConnection, call: Uuid) -> Result<Option<i64>, Refused> {
    Ok(sqlx::query_scalar(POSITION).bind(call).fetch_optional(conn).await?)
}

/// Waiting calls of one queue or of all.
pub(crate) async fn waiting(
    conn: &mut PgConnection,
    queue: Option<&str>,
    limit: i64,
) -> Result<Vec<WaitingRow>, Refused> {
    Ok(sqlx::query_as(WAITING).bind(queue).bind(limit).fetch_all(conn).await?)
}

/// Idle and busy agents of one queue or of all.
pub(crate) async fn strength(conn: &mut PgConnection, queue: Option<&str>) -> Result<Strength, Refused> {
    Ok(sqlx::query_as(STRENGTH).bind(queue).fetch_one(conn).await?)
}
