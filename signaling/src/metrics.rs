//! What the endpoint counts. Labels are fixed words; every value exists from the start.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::socket::Close;

/// The endpoint's numbers.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) connected: IntGauge,
    pub(crate) sessions: IntGauge,
    pub(crate) received: IntCounter,
    pub(crate) sent: IntCounter,
    pub(crate) resumed: IntCounter,
    closed: IntCounterVec,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// When a name is taken already.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            connected: IntGauge::new("helpline_ws_connected", "WebSockets that are open.")?,
            sessions: IntGauge::new("helpline_ws_sessions", "Sessions, open or waiting for a resume.")?,
            received: IntCounter::new("helpline_ws_received_total", "Messages of clients.")?,
            sent: IntCounter::new("helpline_ws_sent_total", "Messages to clients.")?,
            resumed: IntCounter::new("helpline_ws_resumed_total", "Sessions that went on after a break.")?,
            closed: IntCounterVec::new(
                Opts::new("helpline_ws_closed_total", "WebSockets that ended, by reason."),
                &["reason"],
            )?,
        };
        for close in Close::ALL {
            metrics.closed.with_label_values(&[close.word()]);
        }
        registry.register(Box::new(metrics.connected.clone()))?;
        registry.register(Box::new(metrics.sessions.clone()))?;
        registry.register(Box::new(metrics.received.clone()))?;
        registry.register(Box::new(metrics.sent.clone()))?;
        registry.register(Box::new(metrics.resumed.clone()))?;
        registry.register(Box::new(metrics.closed.clone()))?;
        Ok(metrics)
    }

    /// A WebSocket ended.
    pub(crate) fn closed(&self, close: Close) {
        self.closed.with_label_values(&[close.word()]).inc();
    }
}
