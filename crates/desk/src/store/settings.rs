//! `support_settings`: groups of leaves, as the integration guide names them.

use serde_json::Value;
use sqlx::PgConnection;

use crate::refusal::Refused;

const GET: &str = "select value from support_settings where key = $1";
const READ: &str = "select value, version from support_settings where key = $1";
/// Leaves that are not named stay. With versions given, a group of another one stays as a whole.
const PUT: &str = "insert into support_settings (key, value, updated_by, updated_at)
    values ($1, $2, $3, clock_timestamp())
    on conflict (key) do update set value = support_settings.value || excluded.value,
        version = support_settings.version + 1, updated_by = excluded.updated_by, updated_at = excluded.updated_at
    where $4::bigint[] is null or support_settings.version = any($4)";

/// The version of a group that was never written; the first one that is stored is 1.
pub(crate) const NEVER: i64 = 0;

/// One group; `None` when it was never written.
pub(crate) async fn get(conn: &mut PgConnection, key: &str) -> Result<Option<Value>, Refused> {
    Ok(sqlx::query_scalar(GET).bind(key).fetch_optional(conn).await?)
}

/// One group and its version; `None` and [`NEVER`] when it was never written.
pub(crate) async fn read(conn: &mut PgConnection, key: &str) -> Result<(Option<Value>, i64), Refused> {
    let found: Option<(Value, i64)> = sqlx::query_as(READ).bind(key).fetch_optional(conn).await?;
    Ok(found.map_or((None, NEVER), |(value, version)| (Some(value), version)))
}

/// Sets leaves of one group; what was there before is kept by the table's own history. False, and nothing set, if the
/// group is there with none of `versions`.
pub(crate) async fn put(
    conn: &mut PgConnection,
    key: &str,
    leaves: &Value,
    by: &str,
    versions: Option<&[i64]>,
) -> Result<bool, Refused> {
    let put = sqlx::query(PUT).bind(key).bind(leaves).bind(by).bind(versions);
    Ok(put.execute(conn).await?.rows_affected() > 0)
}
