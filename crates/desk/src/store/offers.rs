//! `offers`, `cooldowns`: who is asked, who has accepted, who is wrapping up.

use call_model::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::refusal::Refused;
use crate::types::At;

/// The kind of an offer whose agent has or gets the call.
pub(crate) const PRIMARY: &str = "primary";
/// The kind of an offer whose agent is asked for help.
pub(crate) const CONSULTED: &str = "consult";

/// One row of `offers` about a call.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct OfferRow {
    pub(crate) id: Uuid,
    pub(crate) call_id: Uuid,
    pub(crate) staff_id: Uuid,
    pub(crate) slot: i32,
    /// `primary`, or `consult` for a colleague who is asked for help.
    pub(crate) kind: String,
    pub(crate) state: String,
    pub(crate) reason: Option<String>,
    pub(crate) created_at: At,
    pub(crate) expires_at: At,
    pub(crate) accepted_at: Option<At>,
    pub(crate) wrapping_at: Option<At>,
    pub(crate) ended_at: Option<At>,
    pub(crate) wrap_up_extensions: i16,
}

const GET: &str = "select id, call_id, staff_id, slot, kind, state, reason, created_at, expires_at, accepted_at,
    wrapping_at, ended_at, wrap_up_extensions from offers where id = $1 and call_id is not null";
const LIVE_OF_CALL: &str = "select id, call_id, staff_id, slot, kind, state, reason, created_at, expires_at,
    accepted_at, wrapping_at, ended_at, wrap_up_extensions from offers
    where call_id = $1 and state in ('pending', 'accepted', 'wrapping') order by created_at, id for no key update";
const LIVE_OF_STAFF: &str = "select id, call_id, staff_id, slot, kind, state, reason, created_at, expires_at,
    accepted_at, wrapping_at, ended_at, wrap_up_extensions from offers
    where staff_id = $1 and call_id is not null and state in ('pending', 'accepted', 'wrapping')
    order by created_at, id";
const OF_CALL_AND_STAFF: &str = "select id, call_id, staff_id, slot, kind, state, reason, created_at, expires_at,
    accepted_at, wrapping_at, ended_at, wrap_up_extensions from offers
    where call_id = $1 and staff_id = $2 and accepted_at is not null order by accepted_at desc, id limit 1";
const STAFF_OF_CALL: &str = "select staff_id from offers
    where call_id = $1 and state in ('pending', 'accepted', 'wrapping')";
const INSERT: &str = "insert into offers (id, call_id, channel, staff_id, slot, kind, exclusive, state, created_at,
    expires_at) values ($1, $2, 'call', $3, $4, $8, $5, 'pending', $6, $7) on conflict do nothing";
/// The compare-and-set that decides a race: by the database clock, whoever comes second finds another state.
const ACCEPT: &str = "update offers set state = 'accepted', accepted_at = $2, ver = ver + 1
    where id = $1 and state = 'pending' and expires_at > clock_timestamp()";
const SET: &str = "update offers set state = $2, reason = $3, expires_at = $4, wrapping_at = $5, ended_at = $6,
    wrap_up_extensions = $7, accepted_at = $8, ver = ver + 1 where id = $1";
const PROMOTE: &str = "update offers set kind = 'primary', exclusive = true, ver = ver + 1
    where id = $1 and kind = 'consult' and state = 'accepted'";
const CONSULT: &str = "select o.staff_id, s.staff_name, o.state, o.created_at, o.accepted_at
    from offers o join staff s on s.id = o.staff_id
    where o.call_id = $1 and o.kind = 'consult' and o.state in ('pending', 'accepted')";
const HELPS: &str = "select exists (select from offers
    where call_id = $1 and staff_id = $2 and kind = 'consult' and state = 'accepted')";
const COOL: &str = "insert into cooldowns (staff_id, contact_id, until, reason) values ($1, $2, $3, $4)
    on conflict (staff_id, contact_id) do update set until = greatest(cooldowns.until, excluded.until),
    reason = excluded.reason";
const FORGET_COOLDOWNS: &str = "delete from cooldowns where until < clock_timestamp() - interval '1 hour'";

/// One offer, without a lock.
pub(crate) async fn get(conn: &mut PgConnection, id: Uuid) -> Result<Option<OfferRow>, Refused> {
    Ok(sqlx::query_as(GET).bind(id).fetch_optional(conn).await?)
}

/// The living offers of a call, locked; the call must be locked already.
pub(crate) async fn live_of_call(conn: &mut PgConnection, call: Uuid) -> Result<Vec<OfferRow>, Refused> {
    Ok(sqlx::query_as(LIVE_OF_CALL).bind(call).fetch_all(conn).await?)
}

/// What holds the agent's slots.
pub(crate) async fn live_of_staff(conn: &mut PgConnection, staff: Uuid) -> Result<Vec<OfferRow>, Refused> {
    Ok(sqlx::query_as(LIVE_OF_STAFF).bind(staff).fetch_all(conn).await?)
}

/// The newest offer of the call that this agent accepted.
pub(crate) async fn accepted_of(conn: &mut PgConnection, call: Uuid, staff: Uuid) -> Result<Option<OfferRow>, Refused> {
    Ok(sqlx::query_as(OF_CALL_AND_STAFF)
        .bind(call)
        .bind(staff)
        .fetch_optional(conn)
        .await?)
}

/// A colleague who is asked or takes part.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct ConsultRow {
    pub(crate) staff_id: Uuid,
    pub(crate) staff_name: String,
    pub(crate) state: String,
    pub(crate) created_at: At,
    pub(crate) accepted_at: Option<At>,
}

/// The colleague of a call, if there is one.
pub(crate) async fn consult(conn: &mut PgConnection, call: Uuid) -> Result<Option<ConsultRow>, Refused> {
    Ok(sqlx::query_as(CONSULT).bind(call).fetch_optional(conn).await?)
}

/// Whether somebody takes part in the call as a consulted colleague.
pub(crate) async fn helps(conn: &mut PgConnection, call: Uuid, staff: Uuid) -> Result<bool, Refused> {
    Ok(sqlx::query_scalar(HELPS).bind(call).bind(staff).fetch_one(conn).await?)
}

/// The colleague has the call: his offer is the one that holds it. The other one must be closed before.
pub(crate) async fn promote(conn: &mut PgConnection, id: Uuid) -> Result<(), Refused> {
    sqlx::query(PROMOTE).bind(id).execute(conn).await?;
    Ok(())
}

/// Whose slots the call holds; no lock.
pub(crate) async fn staff_of_call(conn: &mut PgConnection, call: Uuid) -> Result<Vec<Uuid>, Refused> {
    Ok(sqlx::query_scalar(STAFF_OF_CALL).bind(call).fetch_all(conn).await?)
}

/// Reserves a slot of the agent; false when slot or contact is taken.
pub(crate) async fn insert(conn: &mut PgConnection, offer: &OfferRow, exclusive: bool) -> Result<bool, Refused> {
    let done = sqlx::query(INSERT)
        .bind(offer.id)
        .bind(offer.call_id)
        .bind(offer.staff_id)
        .bind(offer.slot)
        .bind(exclusive)
        .bind(offer.created_at)
        .bind(offer.expires_at)
        .bind(&offer.kind)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Accepts a pending offer whose time is not over; false when it was lost.
pub(crate) async fn accept(conn: &mut PgConnection, id: Uuid, at: Timestamp) -> Result<bool, Refused> {
    Ok(sqlx::query(ACCEPT)
        .bind(id)
        .bind(At(at))
        .execute(conn)
        .await?
        .rows_affected()
        == 1)
}

/// Writes the changeable part of a locked offer back.
pub(crate) async fn save(conn: &mut PgConnection, offer: &OfferRow) -> Result<(), Refused> {
    sqlx::query(SET)
        .bind(offer.id)
        .bind(&offer.state)
        .bind(&offer.reason)
        .bind(offer.expires_at)
        .bind(offer.wrapping_at)
        .bind(offer.ended_at)
        .bind(offer.wrap_up_extensions)
        .bind(offer.accepted_at)
        .execute(conn)
        .await?;
    Ok(())
}

/// Keeps an agent from being asked, about one contact or (nil) about any.
pub(crate) async fn cool(
    conn: &mut PgConnection,
    staff: Uuid,
    contact: Uuid,
    until: Timestamp,
    reason: &str,
) -> Result<(), Refused> {
    sqlx::query(COOL)
        .bind(staff)
        .bind(contact)
        .bind(At(until))
        .bind(reason)
        .execute(conn)
        .await?;
    Ok(())
}

/// Drops cool-downs that are long over.
pub(crate) async fn forget_cooldowns(conn: &mut PgConnection) -> Result<u64, Refused> {
    Ok(sqlx::query(FORGET_COOLDOWNS).execute(conn).await?.rows_affected())
}
