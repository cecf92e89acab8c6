//! `preflights` and `preflight_links`: line tests, and the links that open them.

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::auth::token::Digest;
use crate::refusal::Refused;
use crate::types::At;

/// A test that begins.
pub(crate) struct NewTest<'a> {
    pub(crate) id: Uuid,
    pub(crate) code: &'a str,
    pub(crate) via: &'static str,
    pub(crate) staff: Option<Uuid>,
    pub(crate) user: Option<&'a str>,
    pub(crate) link: Option<Uuid>,
    pub(crate) note: Option<&'a str>,
    pub(crate) grant: Digest,
    pub(crate) at: At,
}

/// A test as readers want it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct TestRow {
    pub(crate) id: Uuid,
    pub(crate) code: String,
    pub(crate) created_at: At,
    pub(crate) via: String,
    pub(crate) who: Option<String>,
    pub(crate) report: Option<Value>,
    pub(crate) line: Option<Value>,
}

const INSERT: &str = "insert into preflights (id, code, via, staff_id, user_id, link_id, note, grant_hash, created_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const REPORT: &str = "update preflights set report = $3, reported_at = $4
    where id = $1 and grant_hash = $2 and created_at > $5";
const LINE: &str = "update preflights set line = $2 where id = $1 and line is null";
const LIST: &str = "select p.id, p.code, p.created_at, p.via, coalesce(s.staff_name, p.user_id, p.note) as who,
    p.report, p.line from preflights p left join staff s on s.id = p.staff_id
    where ($1::text is null or p.code = $1)
        and ($2::timestamptz is null or (p.created_at, p.id) < ($2, $3))
    order by p.created_at desc, p.id desc limit $4";
const FORGET: &str = "delete from preflights where created_at < $1";
const INSERT_LINK: &str = "insert into preflight_links (id, token_hash, made_by, note, created_at, expires_at)
    values ($1, $2, $3, $4, $5, $6)";
const USE_LINK: &str = "update preflight_links set uses = uses + 1
    where token_hash = $1 and expires_at > $2 and uses < $3 returning id, note";
const FORGET_LINKS: &str = "delete from preflight_links where expires_at < $1";

/// Adds a test, and forgets those from before `keep_from`.
pub(crate) async fn insert(conn: &mut PgConnection, test: &NewTest<'_>, keep_from: At) -> Result<(), Refused> {
    sqlx::query(INSERT)
        .bind(test.id)
        .bind(test.code)
        .bind(test.via)
        .bind(test.staff)
        .bind(test.user)
        .bind(test.link)
        .bind(test.note)
        .bind(test.grant.as_slice())
        .bind(test.at)
        .execute(&mut *conn)
        .await?;
    sqlx::query(FORGET).bind(keep_from).execute(&mut *conn).await?;
    sqlx::query(FORGET_LINKS).bind(keep_from).execute(conn).await?;
    Ok(())
}

/// Keeps what the browser says, if this grant is the test's and the test began after `begun_after`.
pub(crate) async fn report(
    conn: &mut PgConnection,
    id: Uuid,
    grant: Digest,
    report: &Value,
    at: At,
    begun_after: At,
) -> Result<bool, Refused> {
    let done = sqlx::query(REPORT)
        .bind(id)
        .bind(grant.as_slice())
        .bind(report)
        .bind(at)
        .bind(begun_after)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Keeps what media says; the first word counts, and a room that is no test has no row.
pub(crate) async fn line(conn: &mut PgConnection, id: Uuid, line: &Value) -> Result<(), Refused> {
    sqlx::query(LINE).bind(id).bind(line).execute(conn).await?;
    Ok(())
}

/// Tests that the reader may see, newest first.
pub(crate) async fn list(
    conn: &mut PgConnection,
    code: Option<&str>,
    before: Option<(At, Uuid)>,
    limit: i64,
) -> Result<Vec<TestRow>, Refused> {
    Ok(sqlx::query_as(LIST)
        .bind(code)
        .bind(before.map(|(at, _)| at))
        .bind(before.map(|(_, id)| id))
        .bind(limit)
        .fetch_all(conn)
        .await?)
}

/// Adds a link.
pub(crate) async fn insert_link(
    conn: &mut PgConnection,
    id: Uuid,
    token: Digest,
    made_by: Uuid,
    note: Option<&str>,
    life: (At, At),
) -> Result<(), Refused> {
    sqlx::query(INSERT_LINK)
        .bind(id)
        .bind(token.as_slice())
        .bind(made_by)
        .bind(note)
        .bind(life.0)
        .bind(life.1)
        .execute(conn)
        .await?;
    Ok(())
}

/// Takes one of the uses of a living link: its id and note.
pub(crate) async fn use_link(
    conn: &mut PgConnection,
    token: Digest,
    now: At,
    uses_max: i16,
) -> Result<Option<(Uuid, Option<String>)>, Refused> {
    Ok(sqlx::query_as(USE_LINK)
        .bind(token.as_slice())
        .bind(now)
        .bind(uses_max)
        .fetch_optional(conn)
        .await?)
}
