//! `support_settings`: groups of leaves, as the integration guide names them.

use serde_json::Value;
use sqlx::PgConnection;

use crate::refusal::Refused;

const GET: &str = "select value from support_settings where key = $1";

/// One group; `None` when it was never written.
pub(crate) async fn get(conn: &mut PgConnection, key: &str) -> Result<Option<Value>, Refused> {
    Ok(sqlx::query_scalar(GET).bind(key).fetch_optional(conn).await?)
}
