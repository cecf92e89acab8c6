//! What the STUN ports have done, for Prometheus. No label names an address.

use prometheus::{IntCounterVec, Opts, Registry};

/// See the top of this file.
#[derive(Clone)]
pub struct Metrics {
    datagrams: IntCounterVec,
}

impl Metrics {
    /// Registers the series, every value at 0.
    ///
    /// # Errors
    /// A name that is registered already.
    pub fn new(registry: &Registry) -> Result<Metrics, prometheus::Error> {
        let name = Opts::new(
            "helpline_stun_requests_total",
            "Datagrams on the STUN ports, by what became of them",
        );
        let datagrams = IntCounterVec::new(name, &["reason"])?;
        for reason in ["answered", "ignored", "limited"] {
            datagrams.with_label_values(&[reason]).inc_by(0);
        }
        registry.register(Box::new(datagrams.clone()))?;
        Ok(Metrics { datagrams })
    }

    pub(crate) fn answered(&self) {
        self.datagrams.with_label_values(&["answered"]).inc();
    }

    pub(crate) fn ignored(&self) {
        self.datagrams.with_label_values(&["ignored"]).inc();
    }

    pub(crate) fn limited(&self) {
        self.datagrams.with_label_values(&["limited"]).inc();
    }
}
