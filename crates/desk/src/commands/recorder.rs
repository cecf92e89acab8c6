//! A call that must be recorded is not taken without a recorder: refused by name, or taken with a warning, as the
//! operator chose. Never silently unrecorded, and never called recorded when it is not.
//!
//! Asked when the customer calls, when the agent accepts, and when both have sound. A call that has sound already goes on,
//! and the alert on required calls without a recording tells of it.
//!
//! Invariant: the history of a call that is answered and not recorded, although its queue wants it, says so.

use ports::Recorder;
use serde_json::json;
use uuid::Uuid;

use super::apply::{Act, Work};
use super::tell;
use crate::refusal::{Code, Refused};
use crate::shared::{Core, OnUnavailable};
use crate::store::calls::CallRow;
use crate::store::events;
use crate::store::queues::{self, QueueRow};
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

/// The same for a call that an agent accepts: the order to record goes out with his right to a leg, and one that may be
/// left out is refused by a recorder whose disk fills. One with sound already is accepted again for a fresh right only.
pub(super) async fn promised_to(core: &Core, tx: &mut Tx, row: &CallRow, act: &Act) -> Result<(), Refused> {
    if row.status == "answered" {
        return Ok(());
    }
    let queue = queues::get(tx.conn(), &row.queue).await?;
    let queue = queue.ok_or(Refused::new(Code::Internal))?;
    let refused = match core.media.load().recorder {
        Recorder::Ready => false,
        Recorder::RequiredOnly | Recorder::Unavailable => queue.recording == "optional",
    };
    if refused && !said(tx, row).await? {
        return without(tx, row.id, act).await;
    }
    promised(core, tx, row.id, &queue, act).await
}

/// Whether the recorder takes a call that is answered now. It decides by the order, which went out when the agent said
/// yes; what it takes it keeps while its disk fills, and loses when it fails.
pub(super) async fn takes(core: &Core, tx: &mut Tx, work: &Work, act: &Act) -> Result<bool, Refused> {
    if said(tx, &work.row).await? {
        return Ok(false);
    }
    match core.media.load().recorder {
        Recorder::Ready | Recorder::RequiredOnly => Ok(true),
        Recorder::Unavailable => {
            tell::noted(tx, work.row.id, UNAVAILABLE, work.at, act, &json!({})).await?;
            Ok(false)
        }
    }
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
