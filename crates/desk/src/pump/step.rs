//! One step of a recording, in one transaction: the recording's row and the timelines of its quality.
//!
//! Keyed by recording and step, so a repetition changes nothing; not fenced by the node's epoch, because a recording
//! outlives the start that made it.

use std::sync::Arc;

use call_model::{Span, Timestamp};
use ports::{QualityTrack, RecordingStep, StepKind};
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::age;
use crate::refusal::Refused;
use crate::shared::Core;
use crate::store::calls::{self, CallRow};
use crate::store::recordings::{self, Confirmed, Ordered, RecordingRow};
use crate::store::{events, quality, voices};
use crate::tx::Tx;
use crate::types::At;
use crate::views;

/// Actor of what the recorder reports.
const ACTOR: &str = "system:recorder";

/// Stores one step.
pub(super) async fn apply(core: &Arc<Core>, told: RecordingStep, pulled: Instant) -> Result<(), Refused> {
    let node = core.node.node_id.clone();
    core.write("recorder", move |tx| {
        Box::pin(async move {
            let (id, call) = (Uuid::from_u128(told.recording.0), Uuid::from_u128(told.call.0));
            let Some(row) = calls::lock(tx.conn(), call).await? else {
                // A line test is scored as a call is, and is none.
                if !matches!(told.kind, StepKind::QualityOnly { .. }) {
                    tracing::error!(recording.id = %id, "a recording of an unknown call; its files stay in the store");
                }
                return Ok(());
            };
            let now = tx.read_clock().await?;
            let at = now.minus(age(told.age_ms, pulled));
            if !recordings::step(tx.conn(), id, told.kind.word(), at).await? {
                return Ok(());
            }
            store(tx, &row, id, &node, told.kind, at).await
        })
    })
    .await
}

async fn store(tx: &mut Tx, row: &CallRow, id: Uuid, node: &str, kind: StepKind, at: Timestamp) -> Result<(), Refused> {
    match kind {
        StepKind::Ended { reason } => {
            ensure(tx, row, id, node, at).await?;
            recordings::ended(tx.conn(), id, at, short(&reason)).await?;
            let data = json!({ "recordingId": id, "reason": short(&reason) });
            events::call_event(tx.conn(), row.id, "recording.ended", at, ACTOR, &data).await
        }
        StepKind::Confirmed {
            audio,
            beside,
            manifest,
            duration_ms,
            layout,
            coverage,
            reason,
            degraded,
            quality,
        } => {
            let began = at.minus(Span::millis(i64::try_from(duration_ms).unwrap_or(i64::MAX)));
            ensure(tx, row, id, node, began).await?;
            let files = Confirmed {
                audio: &audio,
                manifest: &manifest,
                duration_ms,
                layout: layout.word(),
                coverage,
                reason: short(&reason),
                degraded,
            };
            recordings::confirmed(tx.conn(), id, at, &files).await?;
            for (voice, number) in beside.iter().zip(1i16..) {
                voices::insert(tx.conn(), id, number, views::part_word(voice.part), voice).await?;
            }
            keep_quality(tx, row, &quality).await?;
            let data = json!({ "recordingId": id, "durationMs": duration_ms, "degraded": degraded,
                "beside": beside.len() });
            events::call_event(tx.conn(), row.id, "recording.stored", at, ACTOR, &data).await
        }
        StepKind::QualityOnly { quality } => keep_quality(tx, row, &quality).await,
    }
}

/// The recording's row. It is written when the call is answered; a recorder that was faster, or a crash between the two,
/// must not lose the sound.
async fn ensure(tx: &mut Tx, row: &CallRow, id: Uuid, node: &str, began: Timestamp) -> Result<(), Refused> {
    if recordings::get(tx.conn(), id).await?.is_some() {
        return Ok(());
    }
    let started_at = row.answered_at.map_or(began, |at| at.0);
    let fresh = RecordingRow {
        id,
        call_id: row.id,
        state: "recording".to_owned(),
        customer_left: true,
        started_at: At(started_at),
        reason: None,
        duration_ms: None,
        layout: None,
        coverage_customer: None,
        coverage_agent: None,
        degraded: false,
        audio_key: None,
        audio_size: None,
        audio_sha256: None,
    };
    let ordered = Ordered {
        node,
        policy: "optional",
        consent: row.consent_version.as_deref(),
    };
    recordings::insert(tx.conn(), &fresh, ordered).await
}

/// The timelines, in the partition of the call's month.
async fn keep_quality(tx: &mut Tx, row: &CallRow, tracks: &[QualityTrack]) -> Result<(), Refused> {
    if tracks.is_empty() {
        return Ok(());
    }
    quality::ensure_month(tx.conn(), row.created_at).await?;
    for track in tracks {
        let part = views::part_word(track.part);
        quality::insert(tx.conn(), row.id, row.created_at, part, track).await?;
    }
    Ok(())
}

/// The reason as far as its column holds it; a word of ours is never longer.
fn short(reason: &str) -> &str {
    /// Characters, as the column `recordings.reason` has it.
    const REASON_CHARS_MAX: usize = 64;
    match reason.char_indices().nth(REASON_CHARS_MAX) {
        Some((end, _)) => &reason[..end],
        None => reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_at_the_width_of_its_column() {
        assert_eq!(short(&"é".repeat(64)), "é".repeat(64));
        assert_eq!(short(&"é".repeat(65)), "é".repeat(64));
    }
}
