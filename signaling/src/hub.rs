//! The desk's feed on its way to the sessions, and the sweep of those that nobody comes back for.
//!
//! One task that never waits for a client: sending is trying. Grants that an event makes due are asked for beside it, and
//! so is whether a member of staff may stay.

use std::sync::Arc;

use call_model::StaffId;
use desk::auth::{STAFF_CHANGED, Seen};
use desk::{Audience, Code, HubFeed};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use wire::signal::LegGranted;

use crate::{
    clock,
    endpoint::Endpoint,
    limits::{FEED_FORGIVEN, FEED_PAUSE_FIRST, FEED_PAUSE_MAX, HEARTBEAT},
    protocol::Note,
    registry::{GrantDue, Person},
};

/// Keeps a feed running until `closing`. One that falls is begun again after a pause that grows; `begin` is told whether it
/// is another one, for what was told between the two has reached nobody.
pub(crate) async fn keep<F, R>(closing: CancellationToken, mut begin: F)
where
    F: FnMut(bool) -> R,
    R: Future<Output = ()> + Send + 'static,
{
    let mut pause = FEED_PAUSE_FIRST;
    let mut again = false;
    loop {
        let began = Instant::now();
        // A task of its own, so that a panic stays in it.
        let done = AbortOnDropHandle::new(tokio::spawn(begin(again))).await;
        if closing.is_cancelled() {
            return;
        }
        tracing::error!(panicked = done.is_err(), "the browsers' feed ended and is begun again");
        again = true;
        if began.elapsed() >= FEED_FORGIVEN {
            pause = FEED_PAUSE_FIRST;
        }
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(FEED_PAUSE_MAX),
            () = closing.cancelled() => return,
        }
    }
}

/// Runs until the endpoint closes.
pub(crate) async fn run(endpoint: Endpoint, mut feed: HubFeed) {
    let mut sweep = interval(HEARTBEAT);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = feed.next() => match event {
                Ok(event) if event.kind == STAFF_CHANGED => {
                    if let Audience::Staff(staff) = event.audience {
                        tokio::spawn(look(Arc::clone(&endpoint), staff));
                    }
                }
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

/// Something about a member of staff has changed: of his sessions, oldest first, those end that may not go on. Where the
/// database does not say, the session's own look will.
async fn look(endpoint: Endpoint, staff: StaffId) {
    let held = endpoint.sessions().of(&Person::Staff(staff));
    for (key, caller) in held {
        let refused = endpoint.desk.auth().still(&caller, Seen::Nothing).await.err();
        if refused.is_some_and(|refused| refused.code == Code::Unauthenticated) {
            endpoint.sessions().sign_out(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_feed_that_falls_is_begun_again_and_knows_that_it_has_missed_something() {
        let closing = CancellationToken::new();
        let begun = Arc::new(Mutex::new(Vec::new()));
        let (start, until, told) = (Instant::now(), closing.clone(), Arc::clone(&begun));
        let running = tokio::spawn(keep(closing, move |again| {
            told.lock().unwrap().push((again, start.elapsed()));
            let (n, until) = (told.lock().unwrap().len(), until.clone());
            async move {
                match n {
                    1 => panic!("the first one falls"),
                    2 => {}
                    3 => {
                        tokio::time::advance(FEED_FORGIVEN).await;
                        panic!("after a while");
                    }
                    _ => until.cancel(),
                }
            }
        }));
        running.await.unwrap();
        let third = FEED_PAUSE_FIRST + FEED_PAUSE_FIRST * 2;
        let begun: Vec<(bool, Duration)> = begun.lock().unwrap().clone();
        assert_eq!(
            begun,
            [
                (false, Duration::ZERO),
                (true, FEED_PAUSE_FIRST),
                (true, third),
                (true, third + FEED_FORGIVEN + FEED_PAUSE_FIRST),
            ]
        );
    }
}
