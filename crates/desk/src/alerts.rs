//! Mails about calls that sound bad: which flags stand, and when one has stood long enough to tell somebody.
//!
//! Of one flag of one call there is one mail at most, and after a mail about a queue a time of quiet: a node or a network
//! that spoils a thousand calls sends one mail that says how many, and the next one after the quiet if it still does.
//! A mail names the queue, the flag and the call by its id; who is in the call stands in the console behind a log-in.

use std::sync::Arc;

use call_model::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::after::After;
use crate::refusal::Refused;
use crate::settings::{AlertMail, Settings};
use crate::shared::Core;
use crate::store::alerts::{self, DueAlert, Which};
use crate::store::events;
use crate::tx::Tx;
use crate::types::At;
use crate::views::role_word;

/// Recipients of one mail: those who lead a queue and the admins of a large house; more would be a newsletter.
pub(crate) const ALERT_RECIPIENTS_MAX: i64 = 50;

/// Notes that a flag stands, or no more.
pub(crate) async fn flag(tx: &mut Tx, which: Which<'_>, raised: bool, at: Timestamp) -> Result<(), Refused> {
    if raised {
        alerts::raise(tx.conn(), which, At(at)).await
    } else {
        alerts::clear(tx.conn(), which).await
    }
}

/// Tells of what has stood long enough.
pub(crate) async fn tell(core: &Arc<Core>) -> Result<(), Refused> {
    core.write("alerts", |tx| {
        Box::pin(async move {
            let mail = Settings::alert_mail(tx.conn()).await?;
            if !mail.on {
                return Ok(());
            }
            for due in alerts::due(tx.conn(), mail.after_s, mail.quiet_s).await? {
                one(tx, &mail, &due).await?;
            }
            Ok(())
        })
    })
    .await
}

async fn one(tx: &mut Tx, mail: &AlertMail, due: &DueAlert) -> Result<(), Refused> {
    let key = key(due.call_id, &due.flag);
    if events::outbox_has(tx.conn(), &key).await? {
        // Cleared and raised again: they know of this one, and the next oldest is looked at a second later.
        return alerts::told(tx.conn(), due.call_id, &due.flag).await;
    }
    let roles: Vec<_> = mail.roles.iter().map(|role| role_word(*role)).collect();
    let to = alerts::recipients(tx.conn(), &roles, &due.queue, ALERT_RECIPIENTS_MAX).await?;
    if to.is_empty() || !alerts::be_quiet(tx.conn(), &due.queue, mail.quiet_s).await? {
        return Ok(());
    }
    let payload = json!({
        "template": "quality_alert",
        "queue": due.queue,
        "callId": due.call_id,
        "flag": due.flag,
        "since": wire::Time(due.raised_at.0),
        "calls": due.calls,
        "to": to,
    });
    events::outbox(tx.conn(), "mail", &key, &payload).await?;
    alerts::told(tx.conn(), due.call_id, &due.flag).await?;
    tx.after.push(After::WakeOutbox);
    tracing::warn!(call.id = %due.call_id, queue = due.queue, flag = due.flag, calls = due.calls, "calls sound bad");
    Ok(())
}

/// One mail per call and flag.
fn key(call: Uuid, flag: &str) -> String {
    format!("quality_alert:{call}:{flag}")
}
