//! A relay alone on loopback, and shards that send back whatever they get. For tests and for the example `conformance`.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use ports::{Accepted, FromRelay, LegId, LegState, RelayEgress, RelayLegs, RelayPath, RelayShard, RelaySink};
use prometheus::Registry;
use turn_relay::core::address::PeerRule;
use turn_relay::core::credential::LegNames;
use turn_relay::core::{Dialect, Gate, Limits};
use turn_relay::{Config, Metrics, Mode, Neighbours, Relay, RelayHandle, StartFailed};

/// Seconds that a credential of coturn's tools is good for, and a day more.
const TOOL_CREDENTIAL_S: u64 = 2 * 86_400;

/// A relay for coturn's client tools: quotas and rates are off but for `quota`, credentials may be good for two days, the
/// first byte of a payload does not matter, their dialect is spoken. Two IPs and two ports for RFC 5780,
/// and IPv6.
pub(crate) fn for_tools(peers: Option<Vec<PeerRule>>, secret: &str, ports: [u16; 2], quota: Option<u32>) -> Config {
    let mode = peers.map_or(Mode::Virtual, Mode::AllowList);
    let ips: [IpAddr; 3] = [
        [127, 0, 0, 1].into(),
        [127, 0, 0, 2].into(),
        "::1".parse().expect("::1"),
    ];
    let mut config = Config::new(mode, &ips, &ports, "localhost");
    config.secret = Some(secret.as_bytes().to_vec());
    config.two_addresses = true;
    config.gate = Gate::Any;
    config.dialect = Dialect::CoturnTools;
    config.leg_names = LegNames::Words;
    config.limits = Limits {
        credential_ahead_s: TOOL_CREDENTIAL_S,
        allocations_per_leg: quota.unwrap_or(u32::MAX / 4),
        allocations_per_prefix: u32::MAX / 4,
        packets_per_s: 0,
        bits_per_s: 0,
        new_peers_per_s: 0,
        ..Limits::default()
    };
    // Those who count connections are not what these tools ask about.
    // Nobody here has the choice between two ways.
    config.stream_limits.head_start_ms = 0;
    config.stream_limits.unauthenticated_per_prefix = config.stream_limits.unauthenticated;
    config
}

/// The peers of [`for_tools`] in virtual mode: both IPs, on `port` and on the next one, to which the tools bind first.
pub(crate) fn tool_peers(port: u16) -> Vec<Vec<SocketAddr>> {
    let ips: [IpAddr; 2] = [[127, 0, 0, 1].into(), "::1".parse().expect("::1")];
    let of = |port| ips.map(|ip| SocketAddr::new(ip, port)).to_vec();
    vec![of(port), of(port + 1)]
}

/// What is known of a leg, and how often that was asked since.
type Known = (LegState, usize);

/// What is known of legs: every one is alive unless something else was said.
#[derive(Clone, Default)]
pub(crate) struct Legs(Arc<Mutex<HashMap<LegId, Known>>>);

impl Legs {
    fn lock(&self) -> MutexGuard<'_, HashMap<LegId, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this leg is in this state.
    #[allow(dead_code, reason = "the example never changes a leg")]
    pub(crate) fn set(&self, leg: LegId, state: LegState) {
        self.lock().insert(leg, (state, 0));
    }

    /// How often the relay has asked for this leg since its state was set.
    #[allow(dead_code, reason = "the example never changes a leg")]
    pub(crate) fn asked(&self, leg: LegId) -> usize {
        self.lock().get(&leg).map_or(0, |(_, asked)| *asked)
    }
}

impl RelayLegs for Legs {
    fn state(&self, leg: LegId) -> LegState {
        self.lock().get_mut(&leg).map_or(LegState::Live, |(state, asked)| {
            *asked += 1;
            *state
        })
    }
}

/// The way back, and a payload.
type Packet = (RelayPath, Vec<u8>);

/// Breaks at the end of a batch while `fuse` is lit, and puts it out.
struct Sink {
    to: Sender<Packet>,
    fuse: Arc<AtomicBool>,
}

impl RelaySink for Sink {
    fn deliver(&mut self, packet: FromRelay<'_>) -> Accepted {
        // An echo that has ended takes nothing any more, like a full ring.
        match self.to.send((packet.path, packet.payload.to_vec())) {
            Ok(()) => Accepted::Taken,
            Err(_) => Accepted::Full,
        }
    }

    fn flush(&mut self) {
        let lit = self.fuse.swap(false, Ordering::Relaxed);
        assert!(!lit, "the defect that a test wants");
    }
}

/// A running relay with everything around it.
pub(crate) struct Bench {
    /// `None` once it was stopped.
    relay: Option<RelayHandle>,
    /// Its figures.
    #[allow(dead_code, reason = "the example looks at no figure")]
    pub(crate) registry: Registry,
    /// What it believes of legs.
    #[allow(dead_code, reason = "the example never changes a leg")]
    pub(crate) legs: Legs,
    /// Lit, the next worker that ends a batch for a shard panics, outside of a packet's work.
    #[allow(dead_code, reason = "the example has no defect")]
    pub(crate) fuse: Arc<AtomicBool>,
    echoes: Vec<JoinHandle<()>>,
}

impl Bench {
    /// Starts a relay. `shards`: the candidates of each, whose echo sends back what comes.
    pub(crate) fn start(config: Config, shards: &[Vec<SocketAddr>]) -> Result<Bench, StartFailed> {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).expect("a fresh registry");
        let legs = Legs::default();
        let fuse: Arc<AtomicBool> = Arc::default();
        let mut received = Vec::new();
        let shards = shards
            .iter()
            .map(|candidates| {
                let (to, from) = channel();
                received.push(from);
                let sink = |_| {
                    let (to, fuse) = (to.clone(), Arc::clone(&fuse));
                    Box::new(Sink { to, fuse }) as Box<dyn RelaySink>
                };
                RelayShard {
                    candidates: candidates.clone(),
                    sinks: (0..config.workers()).map(sink).collect(),
                }
            })
            .collect();
        let neighbours = Neighbours {
            shards,
            legs: Arc::new(legs.clone()),
        };
        let relay = Relay::start(config, neighbours, metrics)?;
        let egresses = relay.take_egresses();
        let echoes = egresses.into_iter().zip(received);
        Ok(Bench {
            relay: Some(relay),
            registry,
            legs,
            fuse,
            echoes: echoes
                .map(|(egresses, received)| std::thread::spawn(move || echo(egresses, &received)))
                .collect(),
        })
    }

    /// The relay.
    #[allow(dead_code, reason = "the example asks it nothing")]
    pub(crate) fn relay(&self) -> &RelayHandle {
        self.relay.as_ref().expect("it runs until it is dropped")
    }

    /// Stops the relay; its last figures are in [`Bench::registry`] then.
    #[allow(dead_code, reason = "the example runs until it is killed")]
    pub(crate) fn stop(&mut self) {
        drop(self.relay.take());
        for echo in self.echoes.drain(..) {
            echo.join().expect("an echo does not panic");
        }
    }
}

fn echo(mut egresses: Vec<Box<dyn RelayEgress>>, received: &Receiver<Packet>) {
    // Ends with the workers, which own the senders.
    while let Ok((path, payload)) = received.recv() {
        if let Some(egress) = egresses.get_mut(usize::from(path.worker)) {
            egress.transmit(path, &payload);
            egress.flush();
        }
    }
}
