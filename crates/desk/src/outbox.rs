//! Carries out what decisions asked of the outside world: at least once, by one dispatcher at a time.
//!
//! Without a configured sender a mail is a line in the log that names its template and its row, never the recipient.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::refusal::Refused;
use crate::shared::Core;
use crate::store::events::{self, OutboxRow};

/// Rows of one transaction: a slow receiver must not hold many others back.
const BATCH_ROWS_MAX: i64 = 16;
/// Tries before a row is laid aside for a person.
const ATTEMPTS_MAX: i32 = 10;
/// First pause after a failure; doubled each time.
const RETRY_FIRST_S: f64 = 5.0;
/// Longest pause between two tries.
const RETRY_MAX_S: f64 = 3_600.0;
/// Without a bell the dispatcher looks this often.
const POLL: Duration = Duration::from_secs(5);

/// Dispatches until `stop`.
pub(crate) async fn run(core: Arc<Core>, stop: CancellationToken) {
    loop {
        while let Ok(n) = dispatch(&core).await {
            if n < BATCH_ROWS_MAX {
                break;
            }
        }
        tokio::select! {
            () = core.outbox_bell.notified() => {}
            () = tokio::time::sleep(POLL) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Takes due rows, carries them out, notes the result; returns how many it took.
async fn dispatch(core: &Arc<Core>) -> Result<i64, Refused> {
    core.write("outbox", |tx| {
        Box::pin(async move {
            let rows = events::outbox_due(tx.conn(), BATCH_ROWS_MAX).await?;
            for row in &rows {
                match carry_out(row) {
                    Ok(()) => events::outbox_done(tx.conn(), row.id).await?,
                    Err(error) if row.attempts + 1 >= ATTEMPTS_MAX => {
                        events::outbox_dead(tx.conn(), row.id, error).await?;
                    }
                    Err(error) => events::outbox_later(tx.conn(), row.id, error, pause_s(row.attempts)).await?,
                }
            }
            Ok(i64::try_from(rows.len()).unwrap_or(i64::MAX))
        })
    })
    .await
}

/// Does what one row asks for.
fn carry_out(row: &OutboxRow) -> Result<(), &'static str> {
    match row.kind.as_str() {
        "mail" => {
            let template = row
                .payload
                .get("template")
                .and_then(|t| t.as_str())
                .ok_or("mail_without_template")?;
            tracing::info!(outbox.id = row.id, template, "mail (no sender is configured)");
            Ok(())
        }
        _ => Err("unknown_kind"),
    }
}

/// Seconds until the next try after `attempts` earlier failures.
fn pause_s(attempts: i32) -> f64 {
    (RETRY_FIRST_S * 2_f64.powi(attempts.clamp(0, 30))).min(RETRY_MAX_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        assert_eq!([0, 1, 2].map(pause_s), [5.0, 10.0, 20.0]);
        assert_eq!(pause_s(30), RETRY_MAX_S);
    }

    #[test]
    fn an_unknown_row_is_a_named_failure() {
        let row = OutboxRow {
            id: 1,
            kind: "x".into(),
            payload: serde_json::Value::Null,
            attempts: 0,
        };
        assert_eq!(carry_out(&row), Err("unknown_kind"));
    }
}
