//! A call that must be recorded is not taken without a recorder: refused by name, or taken with a warning, as the
//! operator chose. Never silently unrecorded.
//!
//! Asked when the customer calls and when the agent accepts; a call that has sound already goes on, and the alert on
//! required calls without a recording tells of it.

use ports::Recorder;
use serde_json::json;
use uuid::Uuid;

use super::apply::Act;
use super::tell;
use crate::refusal::{Code, Refused};
use crate::shared::{Core, OnUnavailable};
use crate::store::calls::CallRow;
use crate::store::queues::{self, QueueRow};
use crate::tx::Tx;

/// Seconds after which asking again makes sense: a disk that fails is tried every second, a full one is emptied by
/// people.
const RETRY_S: u32 = 30;

/// Refuses the call when its queue demands a recording that nobody promises, or notes that it is taken all the same.
pub(super) async fn promised(core: &Core, tx: &mut Tx, call: Uuid, queue: &QueueRow, act: &Act) -> Result<(), Refused> {
    if queue.recording != "required" {
        return Ok(());
    }
    match (core.media.load().recorder, core.options.recorder_missing) {
        (Recorder::Ready | Recorder::RequiredOnly, _) => Ok(()),
        (Recorder::Unavailable, OnUnavailable::Refuse) => {
            Err(Refused::new(Code::RecordingRequired).retry_after(RETRY_S))
        }
        (Recorder::Unavailable, OnUnavailable::Warn) => {
            tracing::warn!(call.id = %call, "a call that must be recorded is taken without a recorder");
            let now = tx.now;
            tell::noted(tx, call, "recording.unavailable", now, act, &json!({})).await
        }
    }
}

/// The same for a call that an agent accepts. One with sound already is accepted again for a fresh right only.
pub(super) async fn promised_to(core: &Core, tx: &mut Tx, row: &CallRow, act: &Act) -> Result<(), Refused> {
    if row.status == "answered" {
        return Ok(());
    }
    let queue = queues::get(tx.conn(), &row.queue).await?;
    let queue = queue.ok_or(Refused::new(Code::Internal))?;
    promised(core, tx, row.id, &queue, act).await
}
