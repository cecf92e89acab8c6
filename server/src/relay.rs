//! Starts STUN and the relay, and says what browsers are told of them and of a service beside them.

use std::net::SocketAddr;
use std::sync::Arc;

use desk::{ExternalTurn, IceConfig};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;
use turn_relay::StunServer;
use wire::leg::IceServer;

use crate::Fault;
use crate::relay_plan::RelayPlan;
use crate::turn_service::{Metrics, Service};

/// What runs; it ends when this goes.
pub(crate) struct Relay {
    stun: Option<StunServer>,
}

impl Relay {
    /// Binds the ports and begins to answer.
    ///
    /// # Errors
    /// A port that is taken; a metric of the same name.
    pub(crate) fn start(plan: &RelayPlan, registry: &Registry) -> Result<Relay, Fault> {
        if plan.ignored_credentials {
            tracing::warn!(
                "TURN_USERNAME and TURN_CREDENTIAL are for a TURN server of somebody else; the URL names this one, whose \
                 credentials are made per leg"
            );
        }
        if plan.addresses.is_empty() {
            return Ok(Relay { stun: None });
        }
        let metrics = turn_relay::Metrics::new(registry).map_err(Fault::other)?;
        let started = StunServer::start(&plan.addresses, metrics);
        let stun = started.map_err(|fault| Fault::Other(format!("{fault}; other ports go into turn.ports")))?;
        Ok(Relay { stun: Some(stun) })
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.stun
            .as_ref()
            .map(|stun| stun.addresses().to_vec())
            .unwrap_or_default()
    }

    /// What browsers are told; a managed service is kept fresh until `stop`.
    ///
    /// # Errors
    /// A metric of the same name; an HTTP client that cannot be built.
    pub(crate) fn told(
        &self,
        plan: &RelayPlan,
        registry: &Registry,
        stop: &CancellationToken,
    ) -> Result<IceConfig, Fault> {
        let metrics = Metrics::new(registry).map_err(Fault::other)?;
        let external = plan.external.clone().map(|way| Service::new(way, unix_s));
        if let Some(service) = &external {
            service.keep_fresh(metrics, stop.clone()).map_err(Fault::other)?;
        }
        let stun = plan.host.as_ref().zip(self.addresses().first().copied());
        let stun = stun.map(|(host, first)| IceServer {
            urls: vec![format!("stun:{host}:{}", first.port())],
            username: None,
            credential: None,
        });
        Ok(IceConfig {
            servers: stun.into_iter().collect(),
            external: external.map(|service| service as Arc<dyn ExternalTurn>),
            policy: plan.policy,
            ..IceConfig::default()
        })
    }
}

/// The wall clock, seconds: credentials of a service name the moment of their end.
#[expect(clippy::disallowed_methods, reason = "the edge: everything below is told the time")]
fn unix_s() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
