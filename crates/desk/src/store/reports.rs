//! What lists and metrics read: calls with filters, histories, gauges.

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::refusal::Refused;
use crate::types::At;

/// A row of the list of calls.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct ListRow {
    pub(crate) id: Uuid,
    pub(crate) status: String,
    pub(crate) end_reason: Option<String>,
    pub(crate) customer_name: String,
    pub(crate) agent_name: Option<String>,
    pub(crate) queue: String,
    pub(crate) created_at: At,
    pub(crate) answered_at: Option<At>,
    pub(crate) ended_at: Option<At>,
    pub(crate) wait_seconds: f64,
    /// The least of all legs that were part of the conversation, in both directions.
    pub(crate) mos_worst: Option<f32>,
    pub(crate) mos_customer: Option<f32>,
    pub(crate) mos_agent: Option<f32>,
    pub(crate) recording_id: Option<Uuid>,
}

/// What the list is narrowed to.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListFilter {
    pub(crate) status: Option<String>,
    pub(crate) agent: Option<Uuid>,
    pub(crate) queue: Option<String>,
    pub(crate) from: Option<At>,
    pub(crate) to: Option<At>,
    pub(crate) mos_max: Option<f32>,
    pub(crate) search: Option<String>,
    pub(crate) before: Option<(At, Uuid)>,
}

/// One entry of a call's history.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct EventRow {
    pub(crate) seq: i32,
    pub(crate) kind: String,
    pub(crate) at: At,
    pub(crate) actor: String,
    pub(crate) data: Value,
}

/// A count with a label.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Gauge {
    pub(crate) label: String,
    pub(crate) value: i64,
}

/// A queue's length and the age of its head.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct QueueGauge {
    pub(crate) queue: String,
    pub(crate) waiting: i64,
    pub(crate) oldest_seconds: f64,
}

const LIST: &str = "select * from (
    select c.id, c.status, c.end_reason, c.customer_name, s.staff_name as agent_name, c.queue, c.created_at,
        c.answered_at, c.ended_at,
        extract(epoch from coalesce(c.connecting_at, c.ended_at, clock_timestamp()) - c.created_at)::float8
            as wait_seconds,
        (select min(least(l.mos_up, l.mos_down)) from call_legs l
            where l.call_id = c.id and l.part in ('customer', 'agent', 'partner')) as mos_worst,
        (select l.mos_up from call_legs l where l.call_id = c.id and l.part = 'customer' and l.mos_up is not null
            order by l.granted_at desc limit 1) as mos_customer,
        (select l.mos_up from call_legs l where l.call_id = c.id and l.part = 'agent' and l.mos_up is not null
            order by l.granted_at desc limit 1) as mos_agent,
        (select r.id from recordings r where r.call_id = c.id and r.state = 'stored' order by r.started_at limit 1)
            as recording_id
    from voice_calls c left join staff s on s.id = c.assigned_staff_id
    where ($1::text is null or c.status = $1)
        and ($2::uuid is null or c.assigned_staff_id = $2)
        and ($3::text is null or c.queue = $3)
        and ($4::timestamptz is null or c.created_at >= $4)
        and ($5::timestamptz is null or c.created_at < $5)
        and ($6::timestamptz is null or (c.created_at, c.id) < ($6, $7))
        and ($9::text is null or position(lower($9) in lower(c.customer_name)) > 0)
    ) found
    where $8::real is null or mos_worst <= $8
    order by created_at desc, id desc limit $10";
const EVENTS: &str = "select seq, kind, at, actor, data from call_events where call_id = $1 order by seq limit $2";
const CALLS_BY_STATE: &str = "select status as label, count(*) as value from voice_calls
    where status in ('initiated', 'queued', 'callback', 'ringing', 'connecting', 'answered') group by status";
const AGENTS_BY_STATE: &str = "select label, count(*) as value from (
    select case
        when s.status <> 'online' then s.status
        when coalesce(p.lease_until, '-infinity') <= clock_timestamp() then 'lost'
        when exists (select from offers o where o.staff_id = s.id and o.state = 'accepted') then 'busy'
        when exists (select from offers o where o.staff_id = s.id and o.state = 'pending') then 'reserved'
        when exists (select from offers o where o.staff_id = s.id and o.state = 'wrapping') then 'wrapping'
        else 'idle' end as label
    from staff s left join staff_presence p on p.staff_id = s.id where s.is_active) agents group by label";
const REQUIRED_CALLS: &str = "select count(*) from voice_calls c join queues q on q.name = c.queue
    where c.status = 'answered' and c.node_id = $1 and q.recording = 'required'";
const QUEUES: &str = "select q.name as queue, count(c.id) as waiting,
    coalesce(extract(epoch from clock_timestamp() - min(w.enqueued_at) filter (where c.id is not null)), 0)::float8
        as oldest_seconds
    from queues q left join call_queue w on w.queue = q.name and w.left_at is null
        left join voice_calls c on c.id = w.call_id and c.status in ('queued', 'ringing')
    group by q.name order by q.name limit 64";

/// Calls, newest first, as far as the role sees them.
pub(crate) async fn list(conn: &mut PgConnection, filter: &ListFilter, limit: i64) -> Result<Vec<ListRow>, Refused> {
    Ok(sqlx::query_as(LIST)
        .bind(&filter.status)
        .bind(filter.agent)
        .bind(&filter.queue)
        .bind(filter.from)
        .bind(filter.to)
        .bind(filter.before.map(|(at, _)| at))
        .bind(filter.before.map(|(_, id)| id))
        .bind(filter.mos_max)
        .bind(&filter.search)
        .bind(limit)
        .fetch_all(conn)
        .await?)
}

/// The history of a call, oldest first.
pub(crate) async fn events(conn: &mut PgConnection, call: Uuid, limit: i64) -> Result<Vec<EventRow>, Refused> {
    Ok(sqlx::query_as(EVENTS).bind(call).bind(limit).fetch_all(conn).await?)
}

/// Live calls by state.
pub(crate) async fn calls_by_state(conn: &mut PgConnection) -> Result<Vec<Gauge>, Refused> {
    Ok(sqlx::query_as(CALLS_BY_STATE).fetch_all(conn).await?)
}

/// Active staff by state.
pub(crate) async fn agents_by_state(conn: &mut PgConnection) -> Result<Vec<Gauge>, Refused> {
    Ok(sqlx::query_as(AGENTS_BY_STATE).fetch_all(conn).await?)
}

/// Answered calls of a node whose queue demands a recording.
pub(crate) async fn required_calls(conn: &mut PgConnection, node: &str) -> Result<i64, Refused> {
    Ok(sqlx::query_scalar(REQUIRED_CALLS).bind(node).fetch_one(conn).await?)
}

/// Queues with what waits in them.
pub(crate) async fn queues(conn: &mut PgConnection) -> Result<Vec<QueueGauge>, Refused> {
    Ok(sqlx::query_as(QUEUES).fetch_all(conn).await?)
}
