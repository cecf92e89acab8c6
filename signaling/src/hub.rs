//! The desk's feed on its way to the sessions, and the sweep of those that nobody comes back for.
//!
//! One task that never waits for a client: sending is trying. Grants that an event makes due are asked for beside it.

use std::sync::Arc;

use desk::{Code, HubFeed};
use tokio::time::{Instant, MissedTickBehavior, interval};
use wire::signal::LegGranted;

use crate::{clock, endpoint::Endpoint, limits::HEARTBEAT, protocol::Note, registry::GrantDue};

/// Runs until the endpoint closes.
pub(crate) async fn run(endpoint: Endpoint, mut feed: HubFeed) {
    let mut sweep = interval(HEARTBEAT);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = feed.next() => match event {
                Ok(event) => {
                    let due = endpoint.sessions().tell(&event, clock::now(), Instant::now());
                    for due in due {
                        tokio::spawn(grant(Arc::clone(&endpoint), due));
                    }
                }
                Err(desk::Missed) => {
                    tracing::warn!("the feed was too fast; every page draws itself anew");
                    endpoint.sessions().all_missed();
                }
            },
            _ = sweep.tick() => {
                let mut sessions = endpoint.sessions();
                sessions.sweep(Instant::now());
                let (all, connected) = sessions.count();
                endpoint.metrics.sessions.set(i64::try_from(all).unwrap_or(i64::MAX));
                endpoint.metrics.connected.set(i64::try_from(connected).unwrap_or(i64::MAX));
            }
            () = endpoint.closing.cancelled() => return,
        }
    }
}

/// Somebody took the call: this session may attach its leg.
async fn grant(endpoint: Endpoint, due: GrantDue) {
    let note = match endpoint.desk.grant_leg(&due.caller, due.call, None).await {
        Ok(grant) => Note::of("leg.grant", &LegGranted { grant }),
        // The call went on meanwhile, or it is another agent's now.
        Err(refused) if matches!(refused.code, Code::Forbidden | Code::NotFound | Code::IllegalTransition) => return,
        Err(refused) => Note::refused(None, &refused),
    };
    endpoint.sessions().send(due.key, note.text(0, clock::now()));
}
