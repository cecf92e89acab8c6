//! Sessions and passwords of staff.

use call_model::{Span, StaffId, Timestamp};
use uuid::Uuid;

use crate::auth::token::Digest;
use crate::refusal::Refused;
use crate::tx::Tx;
use crate::types::At;

/// The live session of a digest, with the role that its owner has now.
pub(crate) const FIND: &str = "select s.staff_id, t.role, s.ends_at, s.last_seen_at
    from helpline.staff_sessions s join helpline.staff t on t.id = s.staff_id
    where s.token_hash = $1 and s.revoked_at is null and t.is_active and s.ends_at > $2 and s.last_seen_at > $3";
pub(crate) const TOUCH: &str = "update helpline.staff_sessions set last_seen_at = $2
    where token_hash = $1 and last_seen_at < $2";
pub(crate) const INSERT: &str = "insert into helpline.staff_sessions
    (token_hash, staff_id, via, created_at, last_seen_at, ends_at) values ($1, $2, $3, $4, $4, $5)";
/// Keeps the newest `$2` sessions of one member of staff.
pub(crate) const REVOKE_OLDEST: &str = "update helpline.staff_sessions set revoked_at = $3
    where token_hash in (select token_hash from helpline.staff_sessions
        where staff_id = $1 and revoked_at is null order by created_at desc, token_hash offset $2)";
pub(crate) const REVOKE: &str = "update helpline.staff_sessions set revoked_at = $2
    where token_hash = $1 and revoked_at is null";
/// Forgets sessions that have been over for a day.
pub(crate) const FORGET: &str = "delete from helpline.staff_sessions where ends_at < $1";
pub(crate) const ACCOUNT: &str = "select t.id, t.role, p.hash
    from helpline.staff t left join helpline.staff_passwords p on p.staff_id = t.id
    where lower(t.email) = lower($1) and t.is_active";
pub(crate) const ROLE: &str = "select role from helpline.staff where id = $1 and is_active";
pub(crate) const PASSWORD: &str = "select hash from helpline.staff_passwords where staff_id = $1";
pub(crate) const SET_PASSWORD: &str = "insert into helpline.staff_passwords (staff_id, hash, changed_at)
    values ($1, $2, $3) on conflict (staff_id) do update set hash = excluded.hash, changed_at = excluded.changed_at";

/// A session as it is stored.
pub(crate) struct Session {
    /// Whose it is.
    pub(crate) staff: StaffId,
    /// Word of the role now.
    pub(crate) role: String,
    /// When it ends at the latest.
    pub(crate) ends_at: Timestamp,
    /// When it was last used, to within a minute.
    pub(crate) last_seen_at: Timestamp,
}

/// The session of `digest` if it was used within `idle`.
pub(crate) async fn find(tx: &mut Tx, digest: Digest, idle: Span) -> Result<Option<Session>, Refused> {
    let now = tx.now;
    let row: Option<(Uuid, String, At, At)> = sqlx::query_as(FIND)
        .bind(digest.as_slice())
        .bind(At(now))
        .bind(At(now.minus(idle)))
        .fetch_optional(tx.conn())
        .await?;
    Ok(row.map(|(staff, role, ends, seen)| Session {
        staff: StaffId(staff.as_u128()),
        role,
        ends_at: ends.0,
        last_seen_at: seen.0,
    }))
}

/// The session was used now.
pub(crate) async fn touch(tx: &mut Tx, digest: Digest) -> Result<(), Refused> {
    let now = At(tx.now);
    sqlx::query(TOUCH)
        .bind(digest.as_slice())
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Adds a session that lives for `life`; keeps at most `kept` per person and forgets what has long been over.
pub(crate) async fn insert(
    tx: &mut Tx,
    digest: Digest,
    staff: StaffId,
    via: &str,
    life: Span,
    kept: i64,
) -> Result<Timestamp, Refused> {
    let now = tx.now;
    let ends = now.plus(life);
    let staff = Uuid::from_u128(staff.0);
    sqlx::query(INSERT)
        .bind(digest.as_slice())
        .bind(staff)
        .bind(via)
        .bind(At(now))
        .bind(At(ends))
        .execute(tx.conn())
        .await?;
    sqlx::query(REVOKE_OLDEST)
        .bind(staff)
        .bind(kept)
        .bind(At(now))
        .execute(tx.conn())
        .await?;
    sqlx::query(FORGET)
        .bind(At(now.minus(Span::minutes(24 * 60))))
        .execute(tx.conn())
        .await?;
    Ok(ends)
}

/// Ends one session.
pub(crate) async fn revoke(tx: &mut Tx, digest: Digest) -> Result<(), Refused> {
    let now = At(tx.now);
    sqlx::query(REVOKE)
        .bind(digest.as_slice())
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Id, role and password hash of the active account with this e-mail.
pub(crate) async fn account(tx: &mut Tx, email: &str) -> Result<Option<(StaffId, String, Option<String>)>, Refused> {
    let row: Option<(Uuid, String, Option<String>)> =
        sqlx::query_as(ACCOUNT).bind(email).fetch_optional(tx.conn()).await?;
    Ok(row.map(|(id, role, hash)| (StaffId(id.as_u128()), role, hash)))
}

/// Word of the role of an active member of staff.
pub(crate) async fn role(tx: &mut Tx, staff: StaffId) -> Result<Option<String>, Refused> {
    Ok(sqlx::query_scalar(ROLE)
        .bind(Uuid::from_u128(staff.0))
        .fetch_optional(tx.conn())
        .await?)
}

/// The hash of somebody's password, if he has one.
pub(crate) async fn password(tx: &mut Tx, staff: Uuid) -> Result<Option<String>, Refused> {
    Ok(sqlx::query_scalar(PASSWORD)
        .bind(staff)
        .fetch_optional(tx.conn())
        .await?)
}

/// Stores a password's hash.
pub(crate) async fn set_password(tx: &mut Tx, staff: StaffId, hash: &str) -> Result<(), Refused> {
    let now = At(tx.now);
    sqlx::query(SET_PASSWORD)
        .bind(Uuid::from_u128(staff.0))
        .bind(hash)
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}
