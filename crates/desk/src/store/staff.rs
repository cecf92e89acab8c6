//! `staff`, `staff_presence`, `queue_members`, `support_staff`: who works here, and who is there.

use call_model::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::refusal::{Code, Refused, on_constraint};
use crate::types::At;

/// One row of `support_staff`.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct StaffRow {
    pub(crate) id: Uuid,
    pub(crate) user_id: String,
    pub(crate) staff_name: String,
    pub(crate) email: String,
    pub(crate) role: String,
    pub(crate) status: String,
    pub(crate) is_active: bool,
    pub(crate) max_concurrent_chats: i32,
    pub(crate) max_concurrent_calls: i32,
    pub(crate) current_chat_count: i32,
    pub(crate) current_call_count: i32,
    pub(crate) created_at: At,
}

const GET: &str = "select id, user_id, staff_name, email, role, status, is_active, max_concurrent_chats,
    max_concurrent_calls, current_chat_count, current_call_count, created_at from support_staff where id = $1";
const LIST: &str = "select id, user_id, staff_name, email, role, status, is_active, max_concurrent_chats,
    max_concurrent_calls, current_chat_count, current_call_count, created_at from support_staff
    order by lower(staff_name), id limit $1";
const NAME: &str = "select staff_name from staff where id = $1";
const TEAMS: &str = "select team_id from staff_teams where staff_id = $1
    union select team_id from staff where id = $1 and team_id is not null";
const LOCK: &str = "select status from staff where id = $1 for no key update";
/// Before any of their offers is touched: the router holds a staff row while it waits for an offer's slot.
const LOCK_ALL: &str = "select id from staff where id = any ($1) order by id for no key update";
const INSERT: &str = "insert into staff (id, user_id, staff_name, email, role, team_id, max_concurrent_calls)
    values ($1, $2, $3, $4, $5, (select id from teams order by created_at, id limit 1), $6)";
const INSERT_PRESENCE: &str = "insert into staff_presence (staff_id) values ($1) on conflict do nothing";
const INSERT_MEMBER: &str = "insert into queue_members (queue, staff_id) values ($1, $2) on conflict do nothing";
const UPDATE: &str = "update support_staff set staff_name = coalesce($2, staff_name), role = coalesce($3, role),
    is_active = coalesce($4, is_active), max_concurrent_calls = coalesce($5, max_concurrent_calls) where id = $1";
const REVOKE: &str = "update staff_sessions set revoked_at = clock_timestamp()
    where staff_id = $1 and revoked_at is null";
const SET_STATUS: &str = "update staff set status = $2, away_reason = $3 where id = $1";
const SET_PRESENCE: &str = "insert into staff_presence (staff_id, lease_until, last_seen_at, media_checked_at,
        online_since) values ($1, $2, $3, $4, $5)
    on conflict (staff_id) do update set
        lease_until = excluded.lease_until, last_seen_at = excluded.last_seen_at,
        media_checked_at = coalesce(excluded.media_checked_at, staff_presence.media_checked_at),
        online_since = coalesce(excluded.online_since, staff_presence.online_since), strikes = 0";
/// Written at most every five seconds, or heartbeats would be most of the traffic. A lease beyond the one that is given now
/// is of a clock that has been set back since: kept, it would ring consoles that are gone.
const ALIVE: &str = "insert into staff_presence (staff_id, lease_until, last_seen_at, rtt_ms)
    values ($1, $2, $3, $4)
    on conflict (staff_id) do update set lease_until = excluded.lease_until, last_seen_at = excluded.last_seen_at,
        rtt_ms = coalesce(excluded.rtt_ms, staff_presence.rtt_ms)
    where staff_presence.lease_until not between excluded.lease_until - interval '5 seconds'
        and excluded.lease_until + interval '5 seconds'";
const GONE: &str = "update staff_presence set lease_until = least(lease_until, $2) where staff_id = $1";
/// Nobody has vouched for this person's microphone once the last console is gone.
const UNCHECK: &str = "update staff_presence set media_checked_at = null where staff_id = $1 and lease_until <= $2";
const STRIKE: &str = "update staff_presence set strikes = strikes + 1 where staff_id = $1 returning strikes";
const FORGIVE: &str = "update staff_presence set strikes = 0 where staff_id = $1 and strikes > 0";
/// Whoever has a console open, and the queues he sees: as the row policies have it, null for all. The queues of a team are
/// put together once: by member, a thousand consoles would be a million rows at every picture.
const VIEWERS: &str = "with open as (
        select s.id, s.team_id, s.role in ('admin', 'super_admin') as sees_all, s.role in ('team_lead', 'supervisor') as leads
        from staff s join staff_presence p on p.staff_id = s.id and p.lease_until > clock_timestamp()
        where s.is_active),
    teams as (select distinct s.team_id, m.queue from staff s join queue_members m on m.staff_id = s.id
        where s.team_id is not null),
    seen as (
        select o.id, m.queue from open o join queue_members m on m.staff_id = o.id where not o.sees_all
        union select o.id, t.queue from open o join teams t on t.team_id = o.team_id where o.leads
        union select o.id, t.queue from open o join staff_teams l on l.staff_id = o.id join teams t on t.team_id = l.team_id
            where o.leads)
    select o.id, case when o.sees_all then null else array_remove(array_agg(s.queue order by s.queue), null) end as queues
    from open o left join seen s on s.id = o.id group by o.id, o.sees_all order by o.id";
const QUEUES_OF: &str = "select queue from queue_members where staff_id = $1 order by queue";

/// One member of staff, as far as the role sees him.
pub(crate) async fn get(conn: &mut PgConnection, id: Uuid) -> Result<Option<StaffRow>, Refused> {
    Ok(sqlx::query_as(GET).bind(id).fetch_optional(conn).await?)
}

/// Everybody the role sees, by name.
pub(crate) async fn list(conn: &mut PgConnection, limit: i64) -> Result<Vec<StaffRow>, Refused> {
    Ok(sqlx::query_as(LIST).bind(limit).fetch_all(conn).await?)
}

/// Display name.
pub(crate) async fn name(conn: &mut PgConnection, id: Uuid) -> Result<Option<String>, Refused> {
    Ok(sqlx::query_scalar(NAME).bind(id).fetch_optional(conn).await?)
}

/// Teams of the member's scope: his own and those he looks after.
pub(crate) async fn teams(conn: &mut PgConnection, id: Uuid) -> Result<Vec<Uuid>, Refused> {
    Ok(sqlx::query_scalar(TEAMS).bind(id).fetch_all(conn).await?)
}

/// The chosen status, with the row locked.
pub(crate) async fn lock(conn: &mut PgConnection, id: Uuid) -> Result<Option<String>, Refused> {
    Ok(sqlx::query_scalar(LOCK).bind(id).fetch_optional(conn).await?)
}

/// Locks several rows, in the order of their ids.
pub(crate) async fn lock_all(conn: &mut PgConnection, ids: &[Uuid]) -> Result<(), Refused> {
    sqlx::query(LOCK_ALL).bind(ids).execute(conn).await?;
    Ok(())
}

/// A new member of staff.
///
/// # Errors
/// [`Code::Validation`] when the e-mail is taken.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    id: Uuid,
    email: &str,
    name: &str,
    role: &str,
    calls: i32,
) -> Result<(), Refused> {
    sqlx::query(INSERT)
        .bind(id)
        .bind(id.to_string())
        .bind(name)
        .bind(email)
        .bind(role)
        .bind(calls)
        .execute(&mut *conn)
        .await
        .map_err(on_constraint("one_staff_row_per_email", Code::Validation))?;
    sqlx::query(INSERT_PRESENCE).bind(id).execute(conn).await?;
    Ok(())
}

/// Lets a member of staff serve a queue.
pub(crate) async fn join_queue(conn: &mut PgConnection, queue: &str, id: Uuid) -> Result<(), Refused> {
    sqlx::query(INSERT_MEMBER).bind(queue).bind(id).execute(conn).await?;
    Ok(())
}

/// Changes what is given.
pub(crate) async fn update(
    conn: &mut PgConnection,
    id: Uuid,
    name: Option<&str>,
    role: Option<&str>,
    is_active: Option<bool>,
    calls: Option<i32>,
) -> Result<(), Refused> {
    sqlx::query(UPDATE)
        .bind(id)
        .bind(name)
        .bind(role)
        .bind(is_active)
        .bind(calls)
        .execute(conn)
        .await?;
    Ok(())
}

/// Ends all sessions of a member of staff.
pub(crate) async fn revoke_sessions(conn: &mut PgConnection, id: Uuid) -> Result<u64, Refused> {
    Ok(sqlx::query(REVOKE).bind(id).execute(conn).await?.rows_affected())
}

/// The chosen status.
pub(crate) async fn set_status(
    conn: &mut PgConnection,
    id: Uuid,
    status: &str,
    reason: Option<&str>,
) -> Result<(), Refused> {
    sqlx::query(SET_STATUS)
        .bind(id)
        .bind(status)
        .bind(reason)
        .execute(conn)
        .await?;
    Ok(())
}

/// The agent has chosen a status himself: he is there, and earlier misses are forgiven.
pub(crate) async fn set_presence(
    conn: &mut PgConnection,
    id: Uuid,
    now: Timestamp,
    lease_until: Timestamp,
    media_checked: bool,
    online_since: Option<Timestamp>,
) -> Result<(), Refused> {
    sqlx::query(SET_PRESENCE)
        .bind(id)
        .bind(At(lease_until))
        .bind(At(now))
        .bind(media_checked.then_some(At(now)))
        .bind(online_since.map(At))
        .execute(conn)
        .await?;
    Ok(())
}

/// The agent's console is there.
pub(crate) async fn alive(
    conn: &mut PgConnection,
    id: Uuid,
    now: Timestamp,
    lease_until: Timestamp,
    rtt_ms: Option<i32>,
) -> Result<(), Refused> {
    sqlx::query(ALIVE)
        .bind(id)
        .bind(At(lease_until))
        .bind(At(now))
        .bind(rtt_ms)
        .execute(conn)
        .await?;
    Ok(())
}

/// The agent's last console has gone: his lease ends at `until` unless he returns.
pub(crate) async fn gone(conn: &mut PgConnection, id: Uuid, until: Timestamp) -> Result<(), Refused> {
    sqlx::query(GONE).bind(id).bind(At(until)).execute(conn).await?;
    Ok(())
}

/// Forgets the checked microphone of somebody without a live console; true when there was none.
pub(crate) async fn uncheck(conn: &mut PgConnection, id: Uuid, now: Timestamp) -> Result<bool, Refused> {
    let done = sqlx::query(UNCHECK).bind(id).bind(At(now)).execute(conn).await?;
    Ok(done.rows_affected() > 0)
}

/// One more offer missed; returns how many in a row.
pub(crate) async fn strike(conn: &mut PgConnection, id: Uuid) -> Result<i32, Refused> {
    Ok(sqlx::query_scalar(STRIKE)
        .bind(id)
        .fetch_optional(conn)
        .await?
        .unwrap_or(0))
}

/// The agent took an offer.
pub(crate) async fn forgive(conn: &mut PgConnection, id: Uuid) -> Result<(), Refused> {
    sqlx::query(FORGIVE).bind(id).execute(conn).await?;
    Ok(())
}

/// Whoever has a console open, and the queues whose calls he may see; `None` for all.
pub(crate) async fn viewers(conn: &mut PgConnection) -> Result<Vec<(Uuid, Option<Vec<String>>)>, Refused> {
    Ok(sqlx::query_as(VIEWERS).fetch_all(conn).await?)
}

/// The queues that an agent serves.
pub(crate) async fn queues_of(conn: &mut PgConnection, id: Uuid) -> Result<Vec<String>, Refused> {
    Ok(sqlx::query_scalar(QUEUES_OF).bind(id).fetch_all(conn).await?)
}
