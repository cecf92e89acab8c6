//! `support_settings`: groups of leaves, as the integration guide names them.

use serde_json::Value;
use sqlx::PgConnection;

use crate::refusal::Refused;

const GET: &str = "select value from support_settings where key = $1";
/// Leaves that are not named stay.
const PUT: &str = "insert into support_settings (key, value, updated_by, updated_at)
    values ($1, $2, $3, clock_timestamp())
    on conflict (key) do update set value = support_settings.value || excluded.value,
        version = support_settings.version + 1, updated_by = excluded.updated_by, updated_at = excluded.updated_at";

/// One group; `None` when it was never written.
pub(crate) async fn get(conn: &mut PgConnection, key: &str) -> Result<Option<Value>, Refused> {
    Ok(sqlx::query_scalar(GET).bind(key).fetch_optional(conn).await?)
}

/// Sets leaves of one group; what was there before is kept by the table's own history.
pub(crate) async fn put(conn: &mut PgConnection, key: &str, leaves: &Value, by: &str) -> Result<(), Refused> {
    sqlx::query(PUT).bind(key).bind(leaves).bind(by).execute(conn).await?;
    Ok(())
}
