//! Everything the desk does by itself: a task per loop, each watched and begun again when it falls.
//!
//! A loop that panics is begun again after a pause that grows; the others go on. None decides anything before what an
//! earlier start of this node has left is closed.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::facade::Desk;
use crate::shared::Core;
use crate::{gauges, hub, nodes, outbox, pump, queue_views, router, settings, timers, unsure};

/// First pause before a fallen loop is begun again.
const RESTART_FIRST: Duration = Duration::from_millis(100);
/// Longest pause.
const RESTART_MAX: Duration = Duration::from_secs(10);
/// A loop that ran this long begins anew with the first pause.
const RESTART_FORGIVEN: Duration = Duration::from_secs(60);

impl Desk {
    /// Runs the router, the timers, the pumps, the feed, the outbox and the heartbeat until `stop`, then says good-bye.
    pub async fn run(&self, stop: CancellationToken) {
        let core = Arc::clone(self.core());
        // From the first moment on, or the node's lease would run out while the database is slow.
        let mut tasks = JoinSet::new();
        tasks.spawn(supervise("heartbeat", Arc::clone(&core), stop.clone(), nodes::run));
        tasks.spawn(supervise("hub", Arc::clone(&core), stop.clone(), hub::run));
        clear_up(&core, &stop).await;
        tasks.spawn(supervise("reports", Arc::clone(&core), stop.clone(), pump::run_reports));
        tasks.spawn(supervise(
            "recordings",
            Arc::clone(&core),
            stop.clone(),
            pump::run_steps,
        ));
        tasks.spawn(supervise("unsure", Arc::clone(&core), stop.clone(), unsure::run));
        tasks.spawn(supervise("router", Arc::clone(&core), stop.clone(), router::run));
        tasks.spawn(supervise("timers", Arc::clone(&core), stop.clone(), timers::run));
        tasks.spawn(supervise("outbox", Arc::clone(&core), stop.clone(), outbox::run));
        tasks.spawn(supervise("views", Arc::clone(&core), stop.clone(), queue_views::run));
        tasks.spawn(supervise("settings", Arc::clone(&core), stop.clone(), settings::watch));
        tasks.spawn(supervise("gauges", core, stop, gauges::run));
        while tasks.join_next().await.is_some() {}
    }
}

/// Closes what an earlier start of this node has left, however long the database makes us wait.
async fn clear_up(core: &Arc<Core>, stop: &CancellationToken) {
    let mut pause = RESTART_FIRST;
    loop {
        match nodes::close_orphans(core).await {
            Ok(0) => return,
            Ok(calls) => {
                tracing::warn!(calls, "calls of an earlier start of this node were closed");
                return;
            }
            Err(refused) => tracing::warn!(code = refused.code.word(), "an earlier start could not be cleared up"),
        }
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(RESTART_MAX),
            () = stop.cancelled() => return,
        }
    }
}

/// Runs `body` until `stop`; a body that falls or ends early is begun again.
async fn supervise<F, R>(name: &'static str, core: Arc<Core>, stop: CancellationToken, body: F)
where
    F: Fn(Arc<Core>, CancellationToken) -> R,
    R: Future<Output = ()> + Send + 'static,
{
    let mut pause = RESTART_FIRST;
    loop {
        let began = Instant::now();
        // A task of its own, so that a panic stays in it; whoever drops the whole drops it too.
        let done = AbortOnDropHandle::new(tokio::spawn(body(Arc::clone(&core), stop.clone()))).await;
        if stop.is_cancelled() {
            return;
        }
        tracing::error!(
            task = name,
            panicked = done.is_err(),
            "a loop of the desk ended and is begun again"
        );
        if began.elapsed() >= RESTART_FORGIVEN {
            pause = RESTART_FIRST;
        }
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(RESTART_MAX),
            () = stop.cancelled() => return,
        }
    }
}
