//! `call_legs`, `call_intervals`: who is connected, and for which spans something was the case.

use call_model::Timestamp;
use ports::{LegSummary, Route};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::refusal::Refused;
use crate::types::At;

/// One row of `call_legs`.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct LegRow {
    pub(crate) id: Uuid,
    pub(crate) call_id: Uuid,
    pub(crate) part: String,
    pub(crate) staff_id: Option<Uuid>,
    pub(crate) node_epoch: i64,
    pub(crate) state: String,
    pub(crate) granted_at: At,
}

const LIVE: &str = "select id, call_id, part, staff_id, node_epoch, state, granted_at from call_legs
    where call_id = $1 and state <> 'down' order by granted_at, id";
const GET: &str = "select id, call_id, part, staff_id, node_epoch, state, granted_at from call_legs
    where id = $1 and call_id = $2";
const STANDING: &str = "select part, state from call_legs where id = $1";
const INSERT: &str = "insert into call_legs (id, call_id, part, staff_id, node_id, node_epoch, granted_at)
    values ($1, $2, $3, $4, $5, $6, $7)";
/// The agent's own leg keeps its time: whoever takes a call over and asks again and again must not keep the customer.
const RENEW: &str = "update call_legs set granted_at = $2
    where id = $1 and state = 'granted' and part in ('supervisor', 'partner')";
const UP: &str = "update call_legs set state = 'up', up_at = coalesce(up_at, $2), away_at = null
    where id = $1 and state <> 'down'";
/// Both are up and the agent has been heard: what media calls a live room, which it reports for the first agent only.
const SOUNDS: &str = "select count(distinct part) = 2 from call_legs where call_id = $1 and state = 'up'
    and (part = 'customer' or part = 'agent' and staff_id = $2 and first_rtp_at is not null)";
const FIRST_RTP: &str = "update call_legs set first_rtp_at = coalesce(first_rtp_at, $2) where id = $1";
const AWAY: &str = "update call_legs set state = 'away', away_at = $2 where id = $1 and state = 'up'";
/// Who supervises is nobody whom the customer should miss.
const AWAY_PARTS: &str = "select distinct part from call_legs
    where call_id = $1 and state = 'away' and part <> 'supervisor' order by part";
const DOWN: &str = "update call_legs set state = 'down', down_at = greatest($2, granted_at), cause = $3
    where id = $1 and state <> 'down'";
const ALL_DOWN: &str = "update call_legs set state = 'down', down_at = greatest($2, granted_at), cause = $3
    where call_id = $1 and state <> 'down' returning id";
const SUMMARY: &str = "update call_legs set packets_received = $2, packets_lost = $3, packets_sent = $4,
    rtt_ms_mean = $5, jitter_ms_mean = $6, mos_up = $7, mos_down = $8, up_seconds = $9,
    path = coalesce($10, path) where id = $1";
const PATH: &str = "update call_legs set path = $2 where id = $1";
/// A part may have had several legs; the last one that went anywhere counts.
const PATHS: &str = "select distinct on (part) part, path from call_legs
    where call_id = $1 and path is not null order by part, granted_at desc, id";
const OWNERS: &str = "select l.id, l.call_id, l.part,
    case l.part when 'customer' then c.customer_name else coalesce(s.staff_name, '') end as name
    from call_legs l join voice_calls c on c.id = l.call_id left join staff s on s.id = l.staff_id
    where l.id = any ($1)";
const OPEN_INTERVAL: &str = "insert into call_intervals (call_id, kind, leg_id, staff_id, started_at, actor, reason)
    values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing";
const OPEN_INTERVALS: &str = "select i.kind, i.leg_id, l.part, i.staff_id, s.staff_name, i.started_at,
    i.data ->> 'mode' as mode, s.role as staff_role
    from call_intervals i left join call_legs l on l.id = i.leg_id left join staff s on s.id = i.staff_id
    where i.call_id = $1 and i.ended_at is null order by i.id";
/// By its call first, as they are indexed.
const COUNT_INTERVALS: &str = "select count(*) from call_intervals where call_id = $1 and leg_id = $2 and kind = $3";
const CHANGE_PART: &str = "update call_legs set part = $2 where id = $1 and state <> 'down'";
const OPEN_SUPERVISION: &str = "insert into call_intervals (call_id, kind, leg_id, staff_id, started_at, data, actor,
    reason) values ($1, 'supervise', $2, $3, $4, jsonb_build_object('mode', $5::text), $6, $7)";
const OPEN_SHIELD: &str = "insert into call_intervals (call_id, kind, staff_id, started_at, data, actor, reason)
    values ($1, 'shield', $2, $3, jsonb_build_object('mode', $4::text), $5, $6) on conflict do nothing";
const SUPERVISION: &str = "select data ->> 'mode' from call_intervals
    where leg_id = $1 and kind = 'supervise' and ended_at is null";
const SUPERVISED: &str = "select data ->> 'mode' from call_intervals
    where leg_id = $1 and kind = 'supervise' order by id desc limit 1";
/// Calls that somebody supervises; the live ones are few, so they come first.
const SUPERVISED_CALLS: &str = "select distinct l.call_id from voice_calls c join call_legs l on l.call_id = c.id
    where c.ended_at is null and l.part = 'supervisor' and l.state <> 'down' and l.staff_id = $1";
const CLOSE_INTERVALS: &str = "update call_intervals set ended_at = greatest($4, started_at), ended_actor = $5,
    ended_reason = $6 where call_id = $1 and ended_at is null and ($2::text is null or kind = $2) and ($3::uuid is null or leg_id = $3)";

/// The call's living legs.
pub(crate) async fn live(conn: &mut PgConnection, call: Uuid) -> Result<Vec<LegRow>, Refused> {
    Ok(sqlx::query_as(LIVE).bind(call).fetch_all(conn).await?)
}

/// One leg of one call.
pub(crate) async fn get(conn: &mut PgConnection, id: Uuid, call: Uuid) -> Result<Option<LegRow>, Refused> {
    Ok(sqlx::query_as(GET).bind(id).bind(call).fetch_optional(conn).await?)
}

/// Part and state of a leg, whosever it is.
pub(crate) async fn standing(conn: &mut PgConnection, id: Uuid) -> Result<Option<(String, String)>, Refused> {
    Ok(sqlx::query_as(STANDING).bind(id).fetch_optional(conn).await?)
}

/// A leg that may be attached.
pub(crate) async fn insert(conn: &mut PgConnection, leg: &LegRow, node: &str) -> Result<(), Refused> {
    sqlx::query(INSERT)
        .bind(leg.id)
        .bind(leg.call_id)
        .bind(&leg.part)
        .bind(leg.staff_id)
        .bind(node)
        .bind(leg.node_epoch)
        .bind(leg.granted_at)
        .execute(conn)
        .await?;
    Ok(())
}

/// A right to attach the leg is handed out again: who was let in beside the agent has his whole time anew.
pub(crate) async fn renew(conn: &mut PgConnection, id: Uuid, at: Timestamp) -> Result<(), Refused> {
    sqlx::query(RENEW).bind(id).bind(At(at)).execute(conn).await?;
    Ok(())
}

/// The leg has keys, or is back.
pub(crate) async fn up(conn: &mut PgConnection, id: Uuid, at: Timestamp) -> Result<(), Refused> {
    sqlx::query(UP).bind(id).bind(At(at)).execute(conn).await?;
    Ok(())
}

/// The participant is something else to the call from now on.
pub(crate) async fn change_part(conn: &mut PgConnection, id: Uuid, part: &str) -> Result<(), Refused> {
    sqlx::query(CHANGE_PART).bind(id).bind(part).execute(conn).await?;
    Ok(())
}

/// Its first packet has come.
pub(crate) async fn first_rtp(conn: &mut PgConnection, id: Uuid, at: Timestamp) -> Result<(), Refused> {
    sqlx::query(FIRST_RTP).bind(id).bind(At(at)).execute(conn).await?;
    Ok(())
}

/// Whether customer and `agent` have two-way sound now.
pub(crate) async fn sounds(conn: &mut PgConnection, call: Uuid, agent: Uuid) -> Result<bool, Refused> {
    Ok(sqlx::query_scalar(SOUNDS)
        .bind(call)
        .bind(agent)
        .fetch_one(conn)
        .await?)
}

/// Nothing has come from it for a while.
pub(crate) async fn away(conn: &mut PgConnection, id: Uuid, at: Timestamp) -> Result<(), Refused> {
    sqlx::query(AWAY).bind(id).bind(At(at)).execute(conn).await?;
    Ok(())
}

/// Parts of the conversation whose leg is away.
pub(crate) async fn away_parts(conn: &mut PgConnection, call: Uuid) -> Result<Vec<String>, Refused> {
    Ok(sqlx::query_scalar(AWAY_PARTS).bind(call).fetch_all(conn).await?)
}

/// The leg is over.
pub(crate) async fn down(conn: &mut PgConnection, id: Uuid, at: Timestamp, cause: &str) -> Result<(), Refused> {
    sqlx::query(DOWN)
        .bind(id)
        .bind(At(at))
        .bind(cause)
        .execute(conn)
        .await?;
    Ok(())
}

/// All legs of the call are over; those that were not before.
pub(crate) async fn all_down(
    conn: &mut PgConnection,
    call: Uuid,
    at: Timestamp,
    cause: &str,
) -> Result<Vec<Uuid>, Refused> {
    Ok(sqlx::query_scalar(ALL_DOWN)
        .bind(call)
        .bind(At(at))
        .bind(cause)
        .fetch_all(conn)
        .await?)
}

/// The leg's totals.
#[expect(
    clippy::cast_possible_truncation,
    reason = "means of milliseconds and scores fit a real"
)]
pub(crate) async fn summary(conn: &mut PgConnection, id: Uuid, totals: &LegSummary) -> Result<(), Refused> {
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let score = |mos: Option<f64>| mos.map(|mos| mos.clamp(1.0, 5.0) as f32);
    sqlx::query(SUMMARY)
        .bind(id)
        .bind(count(totals.packets_received))
        .bind(count(totals.packets_lost))
        .bind(count(totals.packets_sent))
        .bind(totals.rtt_ms_mean.map(|ms| ms as f32))
        .bind(totals.jitter_ms_mean as f32)
        .bind(score(totals.mos_up))
        .bind(score(totals.mos_down))
        .bind(count(totals.seconds))
        .bind(totals.route.map(Route::word))
        .execute(conn)
        .await?;
    Ok(())
}

/// The leg's media goes this way from now on.
pub(crate) async fn path(conn: &mut PgConnection, id: Uuid, route: Route) -> Result<(), Refused> {
    sqlx::query(PATH).bind(id).bind(route.word()).execute(conn).await?;
    Ok(())
}

/// Part and last way of each part that had one.
pub(crate) async fn paths(conn: &mut PgConnection, call: Uuid) -> Result<Vec<(String, String)>, Refused> {
    Ok(sqlx::query_as(PATHS).bind(call).fetch_all(conn).await?)
}

/// Whose a leg is.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct LegOwner {
    pub(crate) id: Uuid,
    pub(crate) call_id: Uuid,
    pub(crate) part: String,
    /// Display name of the participant.
    pub(crate) name: String,
}

/// Whose these legs are; a line test has no row.
pub(crate) async fn owners(conn: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<LegOwner>, Refused> {
    Ok(sqlx::query_as(OWNERS).bind(ids).fetch_all(conn).await?)
}

/// Who changes something about a call, when, and why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    pub(crate) at: Timestamp,
    /// As in the call's history.
    pub(crate) actor: &'a str,
    /// The word that he gave.
    pub(crate) reason: Option<&'a str>,
}

/// Something begins to be the case; already open is fine.
pub(crate) async fn open_interval(
    conn: &mut PgConnection,
    call: Uuid,
    kind: &str,
    leg: Option<Uuid>,
    staff: Option<Uuid>,
    by: Change<'_>,
) -> Result<(), Refused> {
    sqlx::query(OPEN_INTERVAL)
        .bind(call)
        .bind(kind)
        .bind(leg)
        .bind(staff)
        .bind(At(by.at))
        .bind(by.actor)
        .bind(by.reason)
        .execute(conn)
        .await?;
    Ok(())
}

/// One span that is not over.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct OpenInterval {
    pub(crate) kind: String,
    pub(crate) leg_id: Option<Uuid>,
    /// What that leg is.
    pub(crate) part: Option<String>,
    /// Who supervises, is consulted, or has muted.
    pub(crate) staff_id: Option<Uuid>,
    pub(crate) staff_name: Option<String>,
    /// What he is now.
    pub(crate) staff_role: Option<String>,
    pub(crate) started_at: At,
    /// How a supervisor takes part.
    pub(crate) mode: Option<String>,
}

/// The spans of a call that are not over.
pub(crate) async fn open_intervals(conn: &mut PgConnection, call: Uuid) -> Result<Vec<OpenInterval>, Refused> {
    Ok(sqlx::query_as(OPEN_INTERVALS).bind(call).fetch_all(conn).await?)
}

/// How often something of this kind was the case of one leg of a call.
pub(crate) async fn count_intervals(
    conn: &mut PgConnection,
    call: Uuid,
    leg: Uuid,
    kind: &str,
) -> Result<i64, Refused> {
    Ok(sqlx::query_scalar(COUNT_INTERVALS)
        .bind(call)
        .bind(leg)
        .bind(kind)
        .fetch_one(conn)
        .await?)
}

/// A supervisor begins to take part.
pub(crate) async fn open_supervision(
    conn: &mut PgConnection,
    call: Uuid,
    leg: Uuid,
    staff: Uuid,
    mode: &str,
    by: Change<'_>,
) -> Result<(), Refused> {
    sqlx::query(OPEN_SUPERVISION)
        .bind(call)
        .bind(leg)
        .bind(staff)
        .bind(At(by.at))
        .bind(mode)
        .bind(by.actor)
        .bind(by.reason)
        .execute(conn)
        .await?;
    Ok(())
}

/// Pressed keys are kept from everybody from now on. `staff`: who wants it; `None` is the house.
pub(crate) async fn open_shield(
    conn: &mut PgConnection,
    call: Uuid,
    staff: Option<Uuid>,
    mode: &str,
    by: Change<'_>,
) -> Result<(), Refused> {
    sqlx::query(OPEN_SHIELD)
        .bind(call)
        .bind(staff)
        .bind(At(by.at))
        .bind(mode)
        .bind(by.actor)
        .bind(by.reason)
        .execute(conn)
        .await?;
    Ok(())
}

/// How the supervisor of this leg takes part; `None` when he does not.
pub(crate) async fn supervision(conn: &mut PgConnection, leg: Uuid) -> Result<Option<String>, Refused> {
    Ok(sqlx::query_scalar(SUPERVISION).bind(leg).fetch_optional(conn).await?)
}

/// How the supervisor of this leg takes part or took part last.
pub(crate) async fn supervised(conn: &mut PgConnection, leg: Uuid) -> Result<Option<String>, Refused> {
    Ok(sqlx::query_scalar(SUPERVISED).bind(leg).fetch_optional(conn).await?)
}

/// The live calls that a member of staff supervises.
pub(crate) async fn supervised_calls(conn: &mut PgConnection, staff: Uuid) -> Result<Vec<Uuid>, Refused> {
    Ok(sqlx::query_scalar(SUPERVISED_CALLS).bind(staff).fetch_all(conn).await?)
}

/// Ends the open spans of a call: of one kind, of one leg, or all.
pub(crate) async fn close_intervals(
    conn: &mut PgConnection,
    call: Uuid,
    kind: Option<&str>,
    leg: Option<Uuid>,
    by: Change<'_>,
) -> Result<(), Refused> {
    sqlx::query(CLOSE_INTERVALS)
        .bind(call)
        .bind(kind)
        .bind(leg)
        .bind(At(by.at))
        .bind(by.actor)
        .bind(by.reason)
        .execute(conn)
        .await?;
    Ok(())
}
