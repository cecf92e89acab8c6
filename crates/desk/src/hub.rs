//! The feed of what browsers must hear: committed events, each once, none lost, to every hub of this process.
//!
//! Event numbers are drawn before the commit, so a reader that only remembered the highest number would miss a late
//! committer. The cursor is a snapshot: each look delivers what is visible now and was not then, and a transaction that
//! stays open for hours anywhere in the cluster makes no look longer.

use std::sync::Arc;
use std::time::Duration;

use call_model::{StaffId, UserId};
use serde_json::Value;
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::refusal::Refused;
use crate::shared::Core;
use crate::store::hub as store;
use crate::tx::Ctx;

/// Events that a slow subscriber may lag behind before it must draw its page anew: a busy minute of a whole site.
pub const LAG_EVENTS_MAX: usize = 4_096;

/// Rows of one read.
const READ_ROWS_MAX: i64 = 1_000;

/// Without a bell (another node's event) a reader looks this often.
const POLL: Duration = Duration::from_millis(1_000);

/// Who is to hear an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// One customer.
    User(UserId),
    /// One member of staff.
    Staff(StaffId),
    /// Every signed-in member of staff.
    AllStaff,
}

/// One event for browsers.
#[derive(Clone, Debug, PartialEq)]
pub struct HubEvent {
    /// Number of the stored event; 0 for a state that is only shown, such as a queue's length.
    pub id: i64,
    /// For whom.
    pub audience: Audience,
    /// Name of the message, such as `call.answered`.
    pub kind: String,
    /// Its data, a `wire` type.
    pub data: Value,
}

/// The subscriber was too slow and has missed events: it must draw everything anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed;

/// A subscription; events from its making on.
pub struct HubFeed(broadcast::Receiver<Arc<HubEvent>>);

impl HubFeed {
    /// The next event; waits for it. After the desk has ended it waits for ever.
    ///
    /// # Errors
    /// [`Missed`] when more than [`LAG_EVENTS_MAX`] events came since the last call.
    pub async fn next(&mut self) -> Result<Arc<HubEvent>, Missed> {
        match self.0.recv().await {
            Ok(event) => Ok(event),
            Err(broadcast::error::RecvError::Lagged(_)) => Err(Missed),
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// The sending side and its bell.
pub(crate) struct Hub {
    sender: broadcast::Sender<Arc<HubEvent>>,
    bell: Notify,
    /// Where the reader stands. It outlives a reader that falls, or whatever was committed until the next one begins would
    /// reach nobody.
    place: tokio::sync::Mutex<Option<Cursor>>,
}

impl Hub {
    pub(crate) fn new() -> Self {
        Hub {
            sender: broadcast::Sender::new(LAG_EVENTS_MAX),
            bell: Notify::new(),
            place: tokio::sync::Mutex::default(),
        }
    }

    /// A new subscription.
    pub(crate) fn subscribe(&self) -> HubFeed {
        HubFeed(self.sender.subscribe())
    }

    /// There may be new rows.
    pub(crate) fn ring(&self) {
        self.bell.notify_one();
    }

    /// Shows something that is not stored.
    pub(crate) fn show(&self, audience: Audience, kind: &str, data: Value) {
        self.deliver(HubEvent {
            id: 0,
            audience,
            kind: kind.to_owned(),
            data,
        });
    }

    fn deliver(&self, event: HubEvent) {
        // Nobody listening is fine.
        let _ = self.sender.send(Arc::new(event));
    }
}

/// Where the reader stands.
#[derive(Clone, Debug)]
struct Cursor {
    /// Everything that is visible in this snapshot is delivered.
    done: String,
    /// The snapshot up to which it is reading, and the last row of that; `None` when that is done.
    page: Option<(String, i64)>,
}

/// Reads committed events and delivers them until `stop`.
pub(crate) async fn run(core: Arc<Core>, stop: CancellationToken) {
    let mut place = core.hub.place.lock().await;
    loop {
        // A copy, so that a fall within the look leaves the place that it began at: better heard twice than never.
        let has_more = match read(&core, place.clone()).await {
            Ok(next) => {
                let has_more = next.page.is_some();
                *place = Some(next);
                has_more
            }
            // The database is away. What was committed meanwhile by others is read from the old place on.
            Err((kept, _)) => {
                *place = kept;
                false
            }
        };
        tokio::select! {
            () = std::future::ready(()), if has_more => {}
            () = core.hub.bell.notified() => {}
            () = tokio::time::sleep(POLL) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// One look: delivers what is new and moves the cursor. The first look only finds the place to start at.
async fn read(core: &Arc<Core>, cursor: Option<Cursor>) -> Result<Cursor, (Option<Cursor>, Refused)> {
    let from = cursor.clone();
    let found = core
        .store
        .with_ctx(Ctx::System("hub"), move |tx| {
            Box::pin(async move {
                let Some(Cursor { done, page }) = from else {
                    let done = store::snapshot(tx.conn()).await?;
                    return Ok((Cursor { done, page: None }, Vec::new()));
                };
                // Before the rows: whatever is visible in this snapshot is visible to the later read.
                let (to, after) = match page {
                    Some(page) => page,
                    None => (store::snapshot(tx.conn()).await?, 0),
                };
                let rows = store::between(tx.conn(), &done, &to, after, READ_ROWS_MAX).await?;
                let is_complete = i64::try_from(rows.len()).unwrap_or(i64::MAX) < READ_ROWS_MAX;
                let next = match rows.last() {
                    Some(last) if !is_complete => Cursor {
                        done,
                        page: Some((to, last.id)),
                    },
                    _ => Cursor { done: to, page: None },
                };
                Ok((next, rows))
            })
        })
        .await;
    let (next, rows) = match found {
        Ok(found) => found,
        Err(refused) => return Err((cursor, refused)),
    };
    for row in rows {
        let audience = match (row.audience.as_str(), row.audience_id) {
            ("user", Some(id)) => UserId::new(id).map(Audience::User),
            ("staff", Some(id)) => Uuid::parse_str(&id)
                .ok()
                .map(|id| Audience::Staff(StaffId(id.as_u128()))),
            ("all_staff", None) => Some(Audience::AllStaff),
            _ => None,
        };
        if let Some(audience) = audience {
            core.hub.deliver(HubEvent {
                id: row.id,
                audience,
                kind: row.kind,
                data: row.data,
            });
        }
    }
    Ok(next)
}
