//! Pulls what media and its recorder report and applies it: in order, once, with its true time.
//!
//! Media keeps every report until it is acknowledged, and this acknowledges only after the commit. With the database
//! away the reports wait there; each says how old it is at every delivery, so the times that are written are those of
//! the facts and not of the repair. Nothing here ever makes media wait; a full outbox of media lets go of reports that
//! only inform, so a gap in the numbers is noted and passed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use call_model::{CallId, Span};
use futures_util::StreamExt;
use futures_util::stream;
use ports::MediaEvent;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::refusal::{Code, Refused};
use crate::shared::Core;

mod report;
mod step;
mod steps;

pub(crate) use steps::run as run_steps;

/// Reports of one pull; a hundred calls that set up at once make about eight hundred.
const PULL_MAX: usize = 1_024;
/// Rooms whose reports are applied at the same time: half of the pool, so that people's commands find connections.
const ROOMS_AT_ONCE: usize = 8;
/// Without a bell the pump looks this often.
const POLL: Duration = Duration::from_secs(1);
/// Pause after a failure of the database.
const BACK_OFF: Duration = Duration::from_millis(250);
/// Tries of one report that the database takes ill for another reason than its absence, [`BACK_OFF`] apart. After that the
/// report is set aside: a defect of one report must not hold back the rest of the call.
const TRIES_MAX: u32 = 3;

/// What became of one report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Applied now or before.
    Applied,
    /// Of another start of the node: the room is closed.
    Fenced,
}

/// Applies media's reports until `stop`.
pub(crate) async fn run_reports(core: Arc<Core>, stop: CancellationToken) {
    loop {
        let changed = core.media.changed();
        let pause = match pull_reports(&core).await {
            // More may have been outstanding than one pull takes.
            Ok(n) if n >= PULL_MAX && !stop.is_cancelled() => continue,
            Ok(_) => POLL,
            Err(refused) => {
                tracing::debug!(code = refused.code.word(), "media's reports wait");
                BACK_OFF
            }
        };
        let failed = pause == BACK_OFF;
        tokio::select! {
            () = changed, if !failed => {}
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => break,
        }
    }
    // What media said at its end, once. What fails now is lost with this process; its next start closes what it left open.
    while matches!(pull_reports(&core).await, Ok(n) if n >= PULL_MAX) {}
}

/// One pull: all outstanding reports, rooms side by side, each room in order. Returns how many were looked at.
async fn pull_reports(core: &Arc<Core>) -> Result<usize, Refused> {
    let pulled = Instant::now();
    let events = core.media.outstanding(PULL_MAX);
    let n = events.len();
    let mut rooms: HashMap<CallId, Vec<MediaEvent>> = HashMap::new();
    for event in events {
        rooms.entry(event.room).or_default().push(event);
    }
    let results: Vec<Result<(), Refused>> = stream::iter(rooms)
        .map(|(room, events)| apply_room(core, room, events, pulled))
        .buffer_unordered(ROOMS_AT_ONCE)
        .collect()
        .await;
    results.into_iter().collect::<Result<(), Refused>>()?;
    Ok(n)
}

/// The reports of one room, in their order.
async fn apply_room(
    core: &Arc<Core>,
    room: CallId,
    mut events: Vec<MediaEvent>,
    pulled: Instant,
) -> Result<(), Refused> {
    events.sort_by_key(|event| event.seq);
    for event in events {
        let seq = event.seq;
        match apply_report(core, event, pulled).await? {
            Fate::Applied => core.media.acknowledge(room, seq),
            Fate::Fenced => {
                core.metrics.fenced_events.inc();
                core.media.acknowledge(room, seq);
                core.media.close_room(room, ports::Cause::HangUp);
            }
        }
    }
    Ok(())
}

/// One report, tried again when the database stumbles over it, set aside when it keeps stumbling.
async fn apply_report(core: &Arc<Core>, event: MediaEvent, pulled: Instant) -> Result<Fate, Refused> {
    let mut tries = 0;
    loop {
        match report::apply(core, event.clone(), pulled).await {
            Err(refused) if is_absence(&refused) => return Err(refused),
            Err(refused) if tries + 1 >= TRIES_MAX => {
                tracing::error!(
                    call.id = %Uuid::from_u128(event.room.0), seq = event.seq, code = refused.code.word(),
                    "a report of media was set aside"
                );
                return report::set_aside(core, event).await;
            }
            Err(_) => {
                tries += 1;
                tokio::time::sleep(BACK_OFF).await;
            }
            done => return done,
        }
    }
}

/// How long ago something happened that was `age_ms` old when it was pulled. Waiting for a connection takes seconds when
/// the database has been away.
fn age(age_ms: u64, pulled: Instant) -> Span {
    let since = u64::try_from(pulled.elapsed().as_millis()).unwrap_or(u64::MAX);
    Span::millis(i64::try_from(age_ms.saturating_add(since)).unwrap_or(i64::MAX))
}

/// Whether the database is away, or this process may not decide: both mean waiting, not trying harder.
fn is_absence(refused: &Refused) -> bool {
    matches!(refused.code, Code::Database | Code::Draining)
}
