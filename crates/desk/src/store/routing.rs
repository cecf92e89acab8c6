//! What the router looks at: which queues have work, who waits, who could take it, and who must not be asked.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::refusal::Refused;
use crate::types::At;

/// An agent of a queue who is online, has checked his microphone and has been seen in time, with what decides whether and when he is asked.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct CandidateRow {
    pub(crate) id: Uuid,
    /// Lower is asked first.
    pub(crate) tier: i16,
    pub(crate) lease_until: At,
    pub(crate) rtt_ms: Option<i32>,
    pub(crate) slots: i32,
    pub(crate) held: i32,
    /// Until when he is not asked for anything.
    pub(crate) cools_until: Option<At>,
    /// Later of going online and of the last freed slot.
    pub(crate) idle_since: At,
    /// When he was last asked.
    pub(crate) asked_at: Option<At>,
    /// Seconds of the last hour that contacts took.
    pub(crate) occupied_s: f64,
}

/// A pair that must not meet for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, sqlx::FromRow)]
pub(crate) struct CoolPair {
    pub(crate) staff_id: Uuid,
    pub(crate) contact_id: Uuid,
}

/// The queue whose head has waited longest comes first.
const WITH_WORK: &str = "select w.queue from call_queue w join voice_calls c on c.id = w.call_id
    where w.left_at is null and c.status = 'queued' and ($1::text[] is null or w.queue = any ($1))
    group by w.queue order by min(w.rank_at), w.queue";
const HEADS: &str = "select w.call_id from call_queue w join voice_calls c on c.id = w.call_id
    where w.queue = $1 and w.left_at is null and c.status = 'queued' and w.lease_until > clock_timestamp()
    order by w.rank_at, w.id limit $2";
const CANDIDATES: &str =
    "select s.id, m.tier, p.lease_until, p.rtt_ms, s.max_concurrent_calls as slots, held.n as held,
    (select d.until from cooldowns d where d.staff_id = s.id
        and d.contact_id = '00000000-0000-0000-0000-000000000000') as cools_until,
    greatest(p.online_since, s.created_at, (select o.ended_at from offers o where o.staff_id = s.id
        and o.channel = 'call' and o.ended_at is not null order by o.ended_at desc limit 1)) as idle_since,
    case when $2 = 'round_robin' then
        (select max(o.created_at) from offers o where o.staff_id = s.id and o.channel = 'call') end as asked_at,
    case when $2 = 'least_occupied' then
        (select coalesce(sum(extract(epoch from coalesce(o.ended_at, clock_timestamp()) - o.accepted_at)), 0)
            from offers o where o.staff_id = s.id and o.channel = 'call' and o.accepted_at is not null
            and coalesce(o.ended_at, 'infinity') > clock_timestamp() - interval '1 hour')
        else 0 end::float8 as occupied_s
    from queue_members m
    join staff s on s.id = m.staff_id and s.is_active and s.status = 'online'
    join staff_presence p on p.staff_id = s.id and p.lease_until > clock_timestamp()
        and p.media_checked_at is not null
    cross join lateral (select count(*)::integer as n from offers o where o.staff_id = s.id and o.channel = 'call'
        and o.state in ('pending', 'accepted', 'wrapping')) held
    where m.queue = $1 and held.n < s.max_concurrent_calls";
/// Somebody whom a colleague may ask, with what decides whether he can be asked now.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct ColleagueRow {
    pub(crate) id: Uuid,
    pub(crate) staff_name: String,
    pub(crate) role: String,
    pub(crate) is_active: bool,
    pub(crate) status: String,
    pub(crate) lease_until: Option<At>,
    pub(crate) rtt_ms: Option<i32>,
    pub(crate) media_checked: bool,
    pub(crate) slots: i32,
    pub(crate) held: i32,
}

const COLLEAGUE: &str = "select s.id, s.staff_name, s.role, s.is_active, s.status, p.lease_until, p.rtt_ms,
    coalesce(p.media_checked_at is not null, false) as media_checked, s.max_concurrent_calls as slots,
    (select count(*)::integer from offers o where o.staff_id = s.id and o.channel = 'call'
        and o.state in ('pending', 'accepted', 'wrapping')) as held
    from staff s left join staff_presence p on p.staff_id = s.id where s.id = $1";
const COLLEAGUES: &str = "select s.id, s.staff_name, s.role, s.is_active, s.status, p.lease_until, p.rtt_ms,
    coalesce(p.media_checked_at is not null, false) as media_checked, s.max_concurrent_calls as slots,
    (select count(*)::integer from offers o where o.staff_id = s.id and o.channel = 'call'
        and o.state in ('pending', 'accepted', 'wrapping')) as held
    from staff s join staff_presence p on p.staff_id = s.id and p.lease_until > clock_timestamp()
    where s.is_active and s.status = 'online' and s.id <> $1 order by lower(s.staff_name), s.id limit $2";
/// Of somebody who acts himself: his console need not have shown itself.
const OWN_SLOT: &str = "select n from staff s cross join lateral generate_series(1, s.max_concurrent_calls) n
    where s.id = $1 and s.is_active and not exists (select from offers o where o.staff_id = s.id
        and o.channel = 'call' and o.slot = n and o.state in ('pending', 'accepted', 'wrapping'))
    order by n limit 1";
const COOLED: &str = "select staff_id, contact_id from cooldowns
    where until > clock_timestamp() and staff_id = any ($1) and contact_id = any ($2)";
/// Never waits: two queues that share agents would wait for one another. What was true a moment ago is asked again.
const TAKE: &str = "select s.max_concurrent_calls from staff s
    where s.id = $1 and s.is_active and s.status = 'online' for no key update skip locked";
/// Read after the lock, so that it shows what the former holder of the lock has written.
const LOWEST_SLOT: &str = "select n from generate_series(1, $2) n
    where not exists (select from offers o where o.staff_id = $1 and o.channel = 'call' and o.slot = n
        and o.state in ('pending', 'accepted', 'wrapping'))
        and exists (select from staff_presence p where p.staff_id = $1 and p.lease_until > clock_timestamp())
    order by n limit 1";

/// Queues with waiting calls, of `names` or of all; whose head has waited longest comes first.
pub(crate) async fn with_work(conn: &mut PgConnection, names: Option<&[String]>) -> Result<Vec<String>, Refused> {
    Ok(sqlx::query_scalar(WITH_WORK).bind(names).fetch_all(conn).await?)
}

/// The first `limit` calls that wait for an agent and whose customers are there, next first.
pub(crate) async fn heads(conn: &mut PgConnection, queue: &str, limit: i64) -> Result<Vec<Uuid>, Refused> {
    Ok(sqlx::query_scalar(HEADS)
        .bind(queue)
        .bind(limit)
        .fetch_all(conn)
        .await?)
}

/// Agents of the queue with a free slot. Figures that only one strategy needs are read for that one.
pub(crate) async fn candidates(
    conn: &mut PgConnection,
    queue: &str,
    strategy: &str,
) -> Result<Vec<CandidateRow>, Refused> {
    Ok(sqlx::query_as(CANDIDATES)
        .bind(queue)
        .bind(strategy)
        .fetch_all(conn)
        .await?)
}

/// Which of `staff` are not to be asked for which of `contacts`.
pub(crate) async fn cooled(
    conn: &mut PgConnection,
    staff: &[Uuid],
    contacts: &[Uuid],
) -> Result<Vec<CoolPair>, Refused> {
    Ok(sqlx::query_as(COOLED)
        .bind(staff)
        .bind(contacts)
        .fetch_all(conn)
        .await?)
}

/// Locks an agent who is still online and returns his number of slots; `None` when somebody else has him just now, or
/// he has gone.
pub(crate) async fn take(conn: &mut PgConnection, staff: Uuid) -> Result<Option<i32>, Refused> {
    Ok(sqlx::query_scalar(TAKE).bind(staff).fetch_optional(conn).await?)
}

/// The lowest of `slots` slots that is free; `None` when all are held, or the agent has not been seen in time.
pub(crate) async fn lowest_slot(conn: &mut PgConnection, staff: Uuid, slots: i32) -> Result<Option<i32>, Refused> {
    Ok(sqlx::query_scalar(LOWEST_SLOT)
        .bind(staff)
        .bind(slots)
        .fetch_optional(conn)
        .await?)
}

/// One colleague, whether or not he can be asked.
pub(crate) async fn colleague(conn: &mut PgConnection, staff: Uuid) -> Result<Option<ColleagueRow>, Refused> {
    Ok(sqlx::query_as(COLLEAGUE).bind(staff).fetch_optional(conn).await?)
}

/// Everybody beside `me` who is online and whose console is there, by name.
pub(crate) async fn colleagues(conn: &mut PgConnection, me: Uuid, limit: i64) -> Result<Vec<ColleagueRow>, Refused> {
    Ok(sqlx::query_as(COLLEAGUES).bind(me).bind(limit).fetch_all(conn).await?)
}

/// The lowest free slot of somebody who takes a call himself; his row must be locked.
pub(crate) async fn own_slot(conn: &mut PgConnection, staff: Uuid) -> Result<Option<i32>, Refused> {
    Ok(sqlx::query_scalar(OWN_SLOT).bind(staff).fetch_optional(conn).await?)
}
