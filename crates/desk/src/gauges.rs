//! The operator's gauges: calls and agents by state, the queues, the outbox. Reads, never decides.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::metrics::{AGENT_STATES, LIVE_STATES};
use crate::refusal::Refused;
use crate::shared::Core;
use crate::store::{events, reports};

/// How often the gauges are read; Prometheus looks every 15 s.
const FIGURES: Duration = Duration::from_secs(5);

/// Keeps the gauges up to date until `stop`.
pub(crate) async fn run(core: Arc<Core>, stop: CancellationToken) {
    let mut tick = interval(FIGURES);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        if let Err(refused) = gauge(&core).await {
            tracing::debug!(code = refused.code.word(), "the gauges stay as they are");
        }
    }
}

async fn gauge(core: &Arc<Core>) -> Result<(), Refused> {
    let node = core.node.node_id.clone();
    let (calls, agents, waiting, required, oldest) = core
        .write("figures", move |tx| {
            Box::pin(async move {
                let calls = reports::calls_by_state(tx.conn()).await?;
                let agents = reports::agents_by_state(tx.conn()).await?;
                let waiting = reports::queues(tx.conn()).await?;
                let required = reports::required_calls(tx.conn(), &node).await?;
                let oldest = events::outbox_oldest_seconds(tx.conn()).await?;
                Ok((calls, agents, waiting, required, oldest))
            })
        })
        .await?;
    let metrics = &core.metrics;
    set_all(&metrics.calls, &LIVE_STATES, &calls);
    set_all(&metrics.agents, &AGENT_STATES, &agents);
    #[expect(clippy::cast_precision_loss, reason = "live calls are far below 2^53")]
    metrics.required_calls.set(required as f64);
    metrics.waiting.reset();
    metrics.oldest_waiting.reset();
    for row in waiting.iter().take(crate::metrics::QUEUE_LABELS_MAX) {
        let label = [row.queue.as_str()];
        #[expect(clippy::cast_precision_loss, reason = "waiting calls are far below 2^53")]
        metrics.waiting.with_label_values(&label).set(row.waiting as f64);
        metrics.oldest_waiting.with_label_values(&label).set(row.oldest_seconds);
    }
    metrics.outbox_oldest.set(oldest);
    let leaked = core.store.leaked_connections();
    metrics.poisoned.inc_by(leaked.saturating_sub(metrics.poisoned.get()));
    Ok(())
}

/// A state that nobody is in any more is at 0 and not as it was.
fn set_all(gauges: &prometheus::GaugeVec, states: &[&str], rows: &[reports::Gauge]) {
    for state in states
        .iter()
        .filter(|state| rows.iter().all(|row| row.label != **state))
    {
        gauges.with_label_values(&[*state]).set(0.0);
    }
    for row in rows {
        #[expect(clippy::cast_precision_loss, reason = "calls and agents are far below 2^53")]
        gauges.with_label_values(&[&row.label]).set(row.value as f64);
    }
}
