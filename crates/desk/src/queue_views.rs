//! Shows queues as they move: to staff the waiting lines that they may see, to each waiting customer his own place.
//!
//! A state, not an event: never stored, at most twice a second, and only what has changed. Whoever misses one sees the
//! next.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use call_model::{StaffId, UserId};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::call::QueueSnapshot;
use wire::signal::QueuePosition;

use crate::estimate;
use crate::hub::Audience;
use crate::refusal::Refused;
use crate::shared::Core;
use crate::store::queues::{self, Strength};
use crate::store::staff;
use crate::tx::{Ctx, Tx};
use crate::views;

/// Least time between two pictures: faster than anybody reads.
const PICTURE_EVERY: Duration = Duration::from_millis(500);
/// Without a bell (another node's change) a picture is drawn this often.
const POLL: Duration = Duration::from_secs(2);

/// The queues that somebody sees; `None` for all.
type Scope = Option<Vec<String>>;

/// One look at all queues.
struct Picture {
    queue: QueueSnapshot,
    viewers: HashMap<Scope, Vec<Uuid>>,
    places: Vec<(String, QueuePosition)>,
}

/// What was shown last.
#[derive(Default)]
struct Shown {
    queues: HashMap<Scope, QueueSnapshot>,
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
        if let Ok(mut picture) = looked {
            for (_, place) in &mut picture.places {
                place.estimated_wait_seconds = estimate::unless_full(&core, place.estimated_wait_seconds);
            }
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
    let mut viewers: HashMap<Scope, Vec<Uuid>> = HashMap::new();
    for (id, scope) in staff::viewers(tx.conn()).await? {
        viewers.entry(scope).or_default().push(id);
    }
    Ok(Picture {
        queue: views::queue(tx).await?,
        viewers,
        places,
    })
}

/// Tells what differs from the last picture.
fn show(core: &Core, shown: &mut Shown, picture: Picture) {
    let mut queues = HashMap::new();
    for (scope, viewers) in picture.viewers {
        let mut seen = picture.queue.clone();
        seen.waiting
            .retain(|call| scope.as_ref().is_none_or(|names| names.contains(&call.queue)));
        if !shown.queues.get(&scope).is_some_and(|before| is_same(before, &seen))
            && let Ok(data) = views::json(&seen)
        {
            for id in viewers {
                core.hub
                    .show(Audience::Staff(StaffId(id.as_u128())), "queue.changed", data.clone());
            }
        }
        queues.insert(scope, seen);
    }
    shown.queues = queues;
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

/// Whether nothing but the clock differs.
fn is_same(before: &QueueSnapshot, now: &QueueSnapshot) -> bool {
    let mut before = before.clone();
    before.server_time = now.server_time;
    before == *now
}

#[cfg(test)]
mod tests {
    use call_model::Timestamp;
    use wire::Time;

    use super::*;

    #[test]
    fn the_clock_alone_is_no_news() {
        let at = |us, idle| QueueSnapshot {
            waiting: Vec::new(),
            agents_idle: idle,
            agents_busy: 0,
            queue_timeout_seconds: 300,
            server_time: Time(Timestamp(us)),
        };
        assert!(is_same(&at(1, 1), &at(2, 1)));
        assert!(!is_same(&at(1, 1), &at(1, 2)));
    }
}
