//! A call that must be recorded is not taken without a recorder: refused by name, or taken with a warning, as the
//! operator chose. Never silently unrecorded, never called recorded when no recorder was asked, and never recorded when it
//! is called unrecorded.
//!
//! Asked when the customer calls and when the agent accepts. A call that has sound already goes on, and the alert on
//! required calls without a recording tells of it; what the recorder loses of a call that it has taken stands in the
//! recording.
//!
//! Invariant: the history of a call that is answered and has no order to record, although its queue wants one, says so.

use ports::Recorder;
use serde_json::json;
use uuid::Uuid;

use super::apply::Act;
use super::tell;
use crate::refusal::{Code, Refused};
use crate::shared::{Core, OnUnavailable};
use crate::store::calls::CallRow;
use crate::store::events;
use crate::store::queues::{self, QueueRow};
use crate::store::recordings;
use crate::tx::Tx;
use crate::types::At;

/// Seconds after which asking again makes sense: a disk that fails is tried every second, a full one is emptied by
/// people.
const RETRY_S: u32 = 30;

/// In the history: the call was taken without a recorder.
const UNAVAILABLE: &str = "recording.unavailable";

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
            without(tx, call, act).await
        }
    }
}

/// The same for a call that an agent accepts, for the order to record goes out with his right to a leg. An optional one is
/// left out while nobody promises it: it gets no order, so that nobody is recorded who is told that he is not. One with
/// sound already is accepted again for a fresh right only, and a recording that runs goes on.
pub(super) async fn promised_to(core: &Core, tx: &mut Tx, row: &CallRow, act: &Act) -> Result<(), Refused> {
    if row.status == "answered" || recordings::runs(tx.conn(), row.id).await? {
        return Ok(());
    }
    let queue = queues::get(tx.conn(), &row.queue).await?;
    let queue = queue.ok_or(Refused::new(Code::Internal))?;
    if queue.recording != "optional" {
        return promised(core, tx, row.id, &queue, act).await;
    }
    match core.media.load().recorder {
        Recorder::Ready => Ok(()),
        Recorder::RequiredOnly | Recorder::Unavailable if said(tx, row).await? => Ok(()),
        Recorder::RequiredOnly | Recorder::Unavailable => without(tx, row.id, act).await,
    }
}

/// Whether the recording of this call was left out when its agent said yes. One that must be recorded never is: the
/// recorder keeps of it what it can.
pub(super) async fn leaves_out(tx: &mut Tx, row: &CallRow, queue: &QueueRow) -> Result<bool, Refused> {
    Ok(queue.recording == "optional" && said(tx, row).await?)
}

/// Whether the history says so since the agent who has the call said yes.
async fn said(tx: &mut Tx, row: &CallRow) -> Result<bool, Refused> {
    let At(since) = row.connecting_at.unwrap_or(row.created_at);
    events::told_since(tx.conn(), row.id, UNAVAILABLE, since).await
}

async fn without(tx: &mut Tx, call: Uuid, act: &Act) -> Result<(), Refused> {
    let now = tx.now;
    tell::noted(tx, call, UNAVAILABLE, now, act, &json!({})).await
}
