//! Starts STUN and the relay, connects the relay with media, and says what browsers are told of them and of a service
//! beside them.

use std::net::SocketAddr;
use std::sync::Arc;

use desk::{ExternalTurn, IceConfig};
use media_server::MediaServer;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;
use turn_relay::core::address::PeerRule;
use turn_relay::core::{Limits, Relayed};
use turn_relay::{Config, Listen, Neighbours, RelayHandle, StreamLimits, TlsFiles};
use wire::leg::IceServer;

use crate::Fault;
use crate::relay_plan::RelayPlan;
use crate::settings::{Mode, Turn};
use crate::turn_service::{Metrics, Service};

/// Bits in a kilobit.
const KILO: u32 = 1_000;

/// What runs; it ends when this goes.
pub(crate) struct Relay {
    handle: Option<RelayHandle>,
    relays: bool,
}

impl Relay {
    /// Binds the ports, begins to answer, and lets media answer through it.
    ///
    /// # Errors
    /// A port that is taken, a certificate that cannot be used, a metric of the same name.
    pub(crate) fn start(
        plan: &RelayPlan,
        turn: &Turn,
        media: &MediaServer,
        registry: &Registry,
    ) -> Result<Relay, Fault> {
        if plan.ignored_credentials {
            tracing::warn!(
                "TURN_USERNAME and TURN_CREDENTIAL are for a TURN server of somebody else; the URL names this one, whose \
                 credentials are made per leg"
            );
        }
        let metrics = turn_relay::Metrics::new(registry).map_err(Fault::other)?;
        if plan.addresses.is_empty() {
            return Ok(Relay {
                handle: None,
                relays: false,
            });
        }
        let config = config(plan, turn);
        let neighbours = match config.mode {
            turn_relay::Mode::Off => Neighbours::none(),
            turn_relay::Mode::Virtual => Neighbours {
                shards: media.relay_shards(config.workers()),
                legs: media.relay_legs(),
            },
            turn_relay::Mode::AllowList(_) => Neighbours {
                shards: Vec::new(),
                legs: media.relay_legs(),
            },
        };
        let started = turn_relay::Relay::start(config, neighbours, metrics);
        let handle = started.map_err(|fault| match fault {
            turn_relay::StartFailed::Tls(_) => Fault::Configuration(format!("turn.tls_certificate: {fault}")),
            turn_relay::StartFailed::Bind { .. } => Fault::Other(format!("{fault}; other ports go into turn.ports")),
            other => Fault::other(other),
        })?;
        // In every mode: a relay that stands still is this process's own fault.
        media.attach_relay(handle.control(), handle.take_egresses());
        if let Some(guest) = handle.take_guest() {
            media.attach_relay_guest(guest);
        }
        Ok(Relay {
            handle: Some(handle),
            relays: plan.mode != Mode::Off,
        })
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.handle
            .as_ref()
            .map(|handle| handle.addresses().to_vec())
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
        let own = self.handle.as_ref().filter(|_| self.relays);
        Ok(IceConfig {
            servers: stun.into_iter().collect(),
            external: external.map(|service| service as Arc<dyn ExternalTurn>),
            turn: own.map(RelayHandle::credentials),
            relay: own.map(RelayHandle::control),
            policy: plan.policy,
        })
    }
}

fn config(plan: &RelayPlan, turn: &Turn) -> Config {
    let mode = match plan.mode {
        Mode::Off => turn_relay::Mode::Off,
        Mode::Virtual => turn_relay::Mode::Virtual,
        Mode::Allowlist => {
            let rule = |&(ip, port): &_| PeerRule { ip, port };
            turn_relay::Mode::AllowList(plan.peers.iter().map(rule).collect())
        }
    };
    let mut config = Config::new(mode, &[], &[], plan.host.as_deref().unwrap_or_default());
    let listen = plan.addresses.iter();
    config.listen = listen
        .map(|&bind| Listen {
            bind,
            public: plan.public_of(bind),
        })
        .collect();
    config.two_addresses = plan.second.is_some();
    config.relayed = Relayed {
        more_ips: turn.relayed_ips.clone(),
        port_first: turn.relayed_port_first,
    };
    config.udp_workers = plan.udp_workers;
    config.tls = turn
        .tls_certificate
        .clone()
        .zip(turn.tls_key.clone())
        .map(|(certificate, key)| TlsFiles { certificate, key });
    config.more_urls.clone_from(&turn.more_urls);
    config.proxies.clone_from(&plan.proxies);
    config.realm.clone_from(&turn.realm);
    config.secret = turn.secret.as_ref().map(|secret| secret.clone().into_bytes());
    config.credential_s = turn.limits.credential_life_s;
    let workers = u32::try_from(config.workers()).unwrap_or(1);
    config.limits = Limits {
        allocations_per_leg: turn.limits.allocations_per_leg,
        allocations_per_prefix: turn.limits.allocations_per_prefix,
        // Each thread has its share.
        allocations: turn.limits.allocations.div_ceil(workers),
        packets_per_s: turn.limits.uplink_pps,
        bits_per_s: turn.limits.uplink_kbps.saturating_mul(KILO),
        new_peers_per_s: turn.limits.new_peers_per_s,
        ..Limits::default()
    };
    config.stream_limits = StreamLimits {
        head_start_ms: turn.limits.head_start_ms.into(),
        unauthenticated: turn.limits.streams_unverified,
        unauthenticated_per_prefix: turn.limits.streams_unverified_per_prefix,
        tls_handshakes_per_s: turn.limits.handshakes_per_s,
        tls_handshakes_per_prefix_per_s: turn.limits.handshakes_per_s_per_prefix,
        ..StreamLimits::default()
    };
    config
}

/// The wall clock, seconds: credentials of a service name the moment of their end.
#[expect(clippy::disallowed_methods, reason = "the edge: everything below is told the time")]
fn unix_s() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use confique::Config as _;

    #[test]
    fn the_limits_of_the_settings_are_those_of_the_relay() {
        let settings = Settings::builder().load().expect("defaults");
        let plan = RelayPlan::of(&settings, &[], 2).expect("sound");
        let config = config(&plan, &settings.turn);
        let shared = Limits {
            allocations: Limits::default().allocations / 2,
            ..Limits::default()
        };
        assert_eq!(config.workers(), 2, "one for UDP, one for streams");
        assert_eq!(config.limits, shared);
        assert_eq!(config.stream_limits, StreamLimits::default());
        assert_eq!(config.credential_s, turn_relay::CREDENTIAL_S);
        assert_eq!((config.realm.as_str(), config.secret), (turn_relay::REALM, None));
    }

    #[test]
    fn a_list_of_peers_needs_addresses_of_its_own_even_behind_a_wildcard() {
        let mut settings = Settings::builder().load().expect("defaults");
        settings.turn.mode = Mode::Allowlist;
        settings.turn.peers = vec!["192.0.2.1:7".to_owned()];
        let advertise: std::net::IpAddr = "198.51.100.7".parse().expect("an address");
        let plan = RelayPlan::of(&settings, &[advertise], 2).expect("sound");
        let config = config(&plan, &settings.turn);
        assert_eq!(config.listen[0].public, Some(SocketAddr::new(advertise, 3478)));
        assert!(matches!(&config.mode, turn_relay::Mode::AllowList(rules) if rules.len() == 1));
    }
}
