//! Shows queues as they move: the waiting line to staff, his own place to each waiting customer.
//!
//! A state, not an event: never stored, at most twice a second, and only what has changed. Whoever misses one sees the
//! next.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use call_model::UserId;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::call::QueueSnapshot;
use wire::signal::QueuePosition;

use crate::estimate;
use crate::hub::Audience;
use crate::refusal::Refused;
use crate::shared::Core;
use crate::store::queues::{self, Strength};
use crate::tx::{Ctx, Tx};
use crate::views;

/// Least time between two pictures: faster than anybody reads.
const PICTURE_EVERY: Duration = Duration::from_millis(500);
/// Without a bell (another node's change) a picture is drawn this often.
const POLL: Duration = Duration::from_secs(2);

/// One look at all queues.
struct Picture {
    queue: QueueSnapshot,
    places: Vec<(String, QueuePosition)>,
}

/// What was shown last.
#[derive(Default)]
struct Shown {
    queue: Option<QueueSnapshot>,
    places: HashMap<Uuid, QueuePosition>,
}

/// Shows until `stop`.
pub(crate) async fn run(core: Arc<Core>, stop: CancellationToken) {
    let mut shown = Shown::default();
    loop {
        tokio::select! {
            () = core.wakes.seen_change() => {}
            () = tokio::time::sleep(POLL) => {}
            () = stop.cancelled() => return,
        }
        let looked = core.store.with_ctx(Ctx::System("views"), |tx| Box::pin(look(tx))).await;
        // The database is away: the next look shows what has changed.
        if let Ok(picture) = looked {
            show(&core, &mut shown, picture);
        }
        tokio::select! {
            () = tokio::time::sleep(PICTURE_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn look(tx: &mut Tx) -> Result<Picture, Refused> {
    let rows = queues::waiting(tx.conn(), None, views::WAITING_ROWS_MAX).await?;
    let mut strengths: HashMap<String, Strength> = HashMap::new();
    let mut places = Vec::new();
    for row in rows {
        let strength = match strengths.get(&row.queue) {
            Some(strength) => *strength,
            None => {
                let strength = queues::strength(tx.conn(), Some(&row.queue)).await?;
                strengths.insert(row.queue.clone(), strength);
                strength
            }
        };
        let position = u32::try_from(row.position).unwrap_or(u32::MAX);
        let place = QueuePosition {
            call_id: row.call_id,
            position,
            estimated_wait_seconds: estimate::wait_seconds(position, strength),
        };
        places.push((row.user_id, place));
    }
    Ok(Picture {
        queue: views::queue(tx).await?,
        places,
    })
}

/// Tells what differs from the last picture.
fn show(core: &Core, shown: &mut Shown, picture: Picture) {
    let same = shown.queue.as_ref().is_some_and(|before| {
        // The clock alone is no news.
        let mut now = picture.queue.clone();
        now.server_time = before.server_time;
        now == *before
    });
    if !same {
        if let Ok(data) = views::json(&picture.queue) {
            core.hub.show(Audience::AllStaff, "queue.changed", data);
        }
        shown.queue = Some(picture.queue);
    }
    let mut places = HashMap::new();
    for (user, place) in picture.places {
        if shown.places.get(&place.call_id) != Some(&place)
            && let (Some(user), Ok(data)) = (UserId::new(user), views::json(&place))
        {
            core.hub.show(Audience::User(user), "queue.position", data);
        }
        places.insert(place.call_id, place);
    }
    shown.places = places;
}
