//! `quality_raised`, `quality_quiet`: flags of a call's sound that stand, and when a queue's people were told last.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::refusal::Refused;
use crate::types::At;

/// The flag of a queue that has stood the longest, and how many of its calls have one.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct DueAlert {
    pub(crate) queue: String,
    pub(crate) call_id: Uuid,
    pub(crate) flag: String,
    pub(crate) raised_at: At,
    pub(crate) calls: i64,
}

const RAISE: &str = "insert into quality_raised (call_id, flag, leg_id, direction, raised_at)
    values ($1, $2, $3, $4, $5) on conflict do nothing";
const CLEAR: &str = "delete from quality_raised where call_id = $1 and flag = $2
    and leg_id is not distinct from $3 and direction is not distinct from $4";
const LEG_GONE: &str = "delete from quality_raised where leg_id = $1";
const TOLD: &str = "delete from quality_raised where call_id = $1 and flag = $2";
const OVER: &str = "delete from quality_raised r using voice_calls c
    where c.id = r.call_id and c.status in ('completed', 'abandoned', 'failed')";
/// Of every queue that is not quiet, the oldest; a call that waits or rings has nobody who suffers. Silence that somebody
/// wants is no fault: of a leg that is muted, of a customer on hold, and of a room in which there is either.
const DUE: &str = "with standing as materialized (
        select c.queue, r.call_id, r.flag, r.raised_at
        from quality_raised r join voice_calls c on c.id = r.call_id left join quality_quiet q on q.queue = c.queue
        where c.status = 'answered' and not (
                r.flag in ('dead_microphone', 'one_way', 'dead_air') and r.direction is distinct from 'down'
                and exists (select from call_intervals i left join call_legs l on l.id = r.leg_id
                    where i.call_id = r.call_id and i.ended_at is null
                        and (i.kind in ('mute', 'self_mute') and (r.leg_id is null or i.leg_id = r.leg_id)
                            or i.kind in ('hold', 'consult') and (r.leg_id is null or l.part = 'customer'))))
            and r.raised_at <= clock_timestamp() - make_interval(secs => $1)
            and (q.told_at is null or q.told_at <= clock_timestamp() - make_interval(secs => $2))
    )
    select distinct on (s.queue) s.queue, s.call_id, s.flag, s.raised_at, n.calls
    from standing s join (select queue, count(distinct call_id) as calls from standing group by queue) n using (queue)
    order by s.queue, s.raised_at, s.call_id, s.flag";
/// One of two who try at the same time.
const BE_QUIET: &str = "insert into quality_quiet (queue, told_at) values ($1, clock_timestamp())
    on conflict (queue) do update set told_at = excluded.told_at
    where quality_quiet.told_at <= clock_timestamp() - make_interval(secs => $2) returning queue";
/// Admins, and of the others those who serve the queue or belong to the team of somebody who does.
const RECIPIENTS: &str = "select s.id from staff s where s.is_active and s.role = any ($1)
    and (s.role in ('admin', 'super_admin') or exists (
        select from queue_members m join staff a on a.id = m.staff_id
        where m.queue = $2 and (a.id = s.id or a.team_id = s.team_id
            or a.team_id in (select t.team_id from staff_teams t where t.staff_id = s.id))))
    order by s.created_at, s.id limit $3";

/// Which flag of which line: `leg` is `None` for one of the room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Which<'a> {
    pub(crate) call: Uuid,
    pub(crate) flag: &'a str,
    pub(crate) leg: Option<Uuid>,
    pub(crate) direction: Option<&'a str>,
}

/// The flag stands since `at`; twice is once.
pub(crate) async fn raise(conn: &mut PgConnection, which: Which<'_>, at: At) -> Result<(), Refused> {
    sqlx::query(RAISE)
        .bind(which.call)
        .bind(which.flag)
        .bind(which.leg)
        .bind(which.direction)
        .bind(at)
        .execute(conn)
        .await?;
    Ok(())
}

/// It stands no more.
pub(crate) async fn clear(conn: &mut PgConnection, which: Which<'_>) -> Result<(), Refused> {
    sqlx::query(CLEAR)
        .bind(which.call)
        .bind(which.flag)
        .bind(which.leg)
        .bind(which.direction)
        .execute(conn)
        .await?;
    Ok(())
}

/// The leg has ended, and clears nothing itself.
pub(crate) async fn leg_gone(conn: &mut PgConnection, leg: Uuid) -> Result<(), Refused> {
    sqlx::query(LEG_GONE).bind(leg).execute(conn).await?;
    Ok(())
}

/// Somebody was told of this flag of this call, whichever of its lines shows it.
pub(crate) async fn told(conn: &mut PgConnection, call: Uuid, flag: &str) -> Result<(), Refused> {
    sqlx::query(TOLD).bind(call).bind(flag).execute(conn).await?;
    Ok(())
}

/// Drops the flags of calls that have ended.
pub(crate) async fn forget(conn: &mut PgConnection) -> Result<u64, Refused> {
    Ok(sqlx::query(OVER).execute(conn).await?.rows_affected())
}

/// What somebody is to be told of: flags that have stood for `after_s` in queues that nobody was told about for `quiet_s`.
pub(crate) async fn due(conn: &mut PgConnection, after_s: f64, quiet_s: f64) -> Result<Vec<DueAlert>, Refused> {
    Ok(sqlx::query_as(DUE).bind(after_s).bind(quiet_s).fetch_all(conn).await?)
}

/// Takes the right to tell a queue's people; `false` when somebody had it within `quiet_s`.
pub(crate) async fn be_quiet(conn: &mut PgConnection, queue: &str, quiet_s: f64) -> Result<bool, Refused> {
    let mine: Option<String> = sqlx::query_scalar(BE_QUIET)
        .bind(queue)
        .bind(quiet_s)
        .fetch_optional(conn)
        .await?;
    Ok(mine.is_some())
}

/// Staff of these roles whom a queue concerns, `limit` at most.
pub(crate) async fn recipients(
    conn: &mut PgConnection,
    roles: &[&str],
    queue: &str,
    limit: i64,
) -> Result<Vec<Uuid>, Refused> {
    Ok(sqlx::query_scalar(RECIPIENTS)
        .bind(roles)
        .bind(queue)
        .bind(limit)
        .fetch_all(conn)
        .await?)
}
