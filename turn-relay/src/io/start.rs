//! Binds everything, makes the workers and starts their threads.
//!
//! Invariant: either all of it runs or nothing is left bound.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use ::udp::{Poller, Socket};
use ports::{RelayControl, RelayEgress, RelayGuest, RelaySink, TurnCredentials};
use ring::rand::{SecureRandom, SystemRandom};

use super::edge::{Outside, Side, Sinks};
use super::listen::{bind, check, families, urls};
use super::mail::{Address, Control, Letter, Orders, draw};
use super::nonces::NonceKeys;
use super::peers::Sockets;
use super::pulse::Pulse;
use super::rest::Rest;
use super::ring::{Doorbell, Reader, ring};
use super::stream::{StreamWorker, Tls, TlsFault};
use super::udp::UdpWorker;
use super::worker::{Common, MakeCore};
use crate::clock::Clock;
use crate::config::{Config, Listen, Mode, Neighbours};
use crate::core::credential::{Secret, Secrets};
use crate::core::{self, AllowList, At, Behaviour, Core, Listener, NonceKey, Quota, Unusable, Virtual};
use crate::metrics::{EdgeCounters, Metrics, Seen};

/// Descriptors that one wait reports; more are reported by the next.
const READY_MAX: usize = 256;
/// The number of a configured secret, or of the first that is drawn: the last part of the user name.
const FIRST_SECRET: u8 = 0;

/// Why the relay could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartFailed {
    /// A port could not be bound.
    #[error("STUN and TURN cannot listen on {address}: {source}")]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// What the kernel says.
        source: io::Error,
    },
    /// The configuration contradicts itself; what about it.
    #[error("the relay cannot be configured like that: {0}")]
    Config(&'static str),
    /// The core refuses the configuration.
    #[error("the relay cannot be configured like that: {0}")]
    Core(#[from] Unusable),
    /// The certificate cannot be used.
    #[error("TURN over TLS: {0}")]
    Tls(#[from] TlsFault),
    /// No descriptor or thread was left.
    #[error("the relay could not start: {0}")]
    System(#[from] io::Error),
}

/// Starts the relay.
pub struct Relay;

/// A running relay. It stops when this is dropped.
pub struct RelayHandle {
    control: Arc<Control>,
    tls: Option<Arc<Tls>>,
    clock: Clock,
    stop: Arc<AtomicBool>,
    doorbells: Vec<Doorbell>,
    threads: Vec<JoinHandle<()>>,
    addresses: Vec<SocketAddr>,
    /// Locked once, when they are taken; so that the handle may be shared.
    egresses: Mutex<Vec<Vec<Box<dyn RelayEgress>>>>,
    guest: Mutex<Option<Box<dyn RelayGuest>>>,
    urls: Vec<String>,
}

impl RelayHandle {
    /// Where it listens, with UDP and, while TURN is on, with TCP; in the order of [`Config::listen`].
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Makes credentials.
    #[must_use]
    pub fn credentials(&self) -> Arc<dyn TurnCredentials> {
        Arc::clone(&self.control) as _
    }

    /// What staff and media may do.
    #[must_use]
    pub fn control(&self) -> Arc<dyn RelayControl> {
        Arc::clone(&self.control) as _
    }

    /// Per shard, in order, one per worker: the way back. The first call takes them.
    pub fn take_egresses(&self) -> Vec<Vec<Box<dyn RelayEgress>>> {
        std::mem::take(&mut self.egresses.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The worker that reads UDP when it has no thread of its own ([`Config::udp_workers`] is 0): nothing is read until
    /// somebody runs it. The first call takes it.
    pub fn take_guest(&self) -> Option<Box<dyn RelayGuest>> {
        self.guest.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The `turn:` and `turns:` URLs that credentials come with, best first; empty with TURN off.
    #[must_use]
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Reads certificate and key again; new connections get them. Also happens by itself within seconds of a change.
    ///
    /// # Errors
    /// [`TlsFault`]; the old certificate stays in force then.
    pub fn reload_certificate(&self) -> Result<(), TlsFault> {
        self.tls.as_ref().ok_or(TlsFault::Off)?.reload(self.clock.unix_s())
    }
}

impl Drop for RelayHandle {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for doorbell in &self.doorbells {
            // Not by `wake`: who is just about to park must hear it too.
            doorbell.bell().ring();
        }
        for thread in self.threads.drain(..) {
            // A panic of the thread was logged when it happened; there is nothing left to save.
            let _ = thread.join();
        }
    }
}

/// What all workers are made from.
struct Plan {
    core: core::Config,
    at: At,
    clock: Clock,
    metrics: Metrics,
    pulse: Arc<Pulse>,
    orders: Arc<Orders>,
    stop: Arc<AtomicBool>,
    neighbours: Arc<dyn ports::RelayLegs>,
}

/// What one worker owns besides.
struct Own {
    letters: Receiver<Letter>,
    doorbell: Doorbell,
    rings: Vec<Reader>,
}

impl Relay {
    /// Binds every address and starts the workers. With [`Mode::Off`] it answers STUN only.
    ///
    /// # Errors
    /// [`StartFailed`]; nothing is left bound then.
    pub fn start(config: Config, neighbours: Neighbours, metrics: Metrics) -> Result<RelayHandle, StartFailed> {
        check(&config, &neighbours)?;
        let turn = config.mode != Mode::Off;
        let bound = bind(&config.listen, config.udp_sockets(), &config.mode)?;
        let clock = Clock::start();
        let tls = match (&config.tls, turn) {
            (Some(files), true) => {
                let loaded = Tls::load(files.clone(), &config.public_host, clock.unix_s())?;
                Some(Arc::new(loaded))
            }
            _ => None,
        };
        let urls = urls(&config, &bound.addresses, tls.is_some());
        let secret = config.secret.as_ref().map(|secret| Secret::new(FIRST_SECRET, secret));
        let secrets = Secrets {
            current: secret.unwrap_or_else(|| draw(FIRST_SECRET)),
            previous: None,
        };
        let orders = Orders::new(secrets.clone());
        let Neighbours { shards, legs } = neighbours;
        let candidates: Vec<Vec<SocketAddr>> = shards.iter().map(|shard| shard.candidates.clone()).collect();
        let plan = Plan {
            core: core_config(&config, &bound.addresses, &candidates, secrets)?,
            at: At {
                now_ns: clock.now_ns(),
                unix_s: clock.unix_s(),
            },
            clock,
            metrics,
            pulse: Arc::new(Pulse::new(config.workers(), clock.now_ns())),
            orders: Arc::clone(&orders),
            stop: Arc::new(AtomicBool::new(false)),
            neighbours: legs,
        };
        let (boxes, owns, egresses) = lines(config.workers(), shards.len(), clock)?;
        let pulse = Arc::clone(&plan.pulse);
        let control = Control::new(
            boxes.clone(),
            pulse,
            orders,
            urls.clone(),
            config.credential_s,
            clock,
            turn,
        );
        let mut handle = RelayHandle {
            control,
            tls: tls.clone(),
            clock,
            stop: Arc::clone(&plan.stop),
            doorbells: boxes.into_iter().map(|one| one.doorbell).collect(),
            threads: Vec::new(),
            addresses: bound.addresses.clone(),
            egresses: Mutex::new(egresses),
            guest: Mutex::default(),
            urls,
        };
        let streams = Streams {
            listeners: bound.streams,
            local: bound.addresses.len() as u8,
            tls,
            config: &config,
        };
        // On an error the handle is dropped, which ends the threads that were started.
        if let Mode::AllowList(rules) = &config.mode {
            let families = families(&config.listen);
            let has = families.map(|family| family.is_some());
            let rules = rules.clone();
            let make_core = move |at, core| Core::<AllowList>::new(at, core, rules.clone(), has);
            let ips = families.map(|listen| Some(listen?.bind.ip()));
            let public = families.map(|listen| Some(listen?.public?.ip()));
            let make_side = || Ok(Sockets::new(ips, public)?);
            run(&plan, owns, bound.datagrams, streams, make_core, make_side, &mut handle)?;
        } else {
            let mut sinks: Vec<_> = shards.into_iter().map(|shard| shard.sinks.into_iter()).collect();
            let make_core = move |at, core| Core::<Virtual>::new(at, core, &candidates);
            let make_side = || {
                let mine: Option<Vec<Box<dyn RelaySink>>> = sinks.iter_mut().map(Iterator::next).collect();
                mine.map(Sinks::new)
                    .ok_or(StartFailed::Config("a shard has too few sinks"))
            };
            run(&plan, owns, bound.datagrams, streams, make_core, make_side, &mut handle)?;
        }
        Ok(handle)
    }
}

/// What the worker of streams is made from.
struct Streams<'a> {
    listeners: Vec<TcpListener>,
    local: u8,
    tls: Option<Arc<Tls>>,
    config: &'a Config,
}

/// Makes every worker, and only then starts them: of sockets that share a port all must be bound before one is read.
fn run<S: Side>(
    plan: &Plan,
    owns: Vec<Own>,
    datagrams: Vec<Vec<Socket>>,
    streams: Streams<'_>,
    make_core: impl Fn(At, core::Config) -> Result<Core<S::Kind>, Unusable> + Clone + Send + 'static,
    mut make_side: impl FnMut() -> Result<S, StartFailed>,
    handle: &mut RelayHandle,
) -> Result<(), StartFailed>
where
    Core<S::Kind>: Send,
{
    let mut commons = Vec::new();
    let workers = owns.len();
    for (worker, own) in owns.into_iter().enumerate() {
        let core = core::Config {
            worker: worker as u16,
            workers: workers as u16,
            ..plan.core.clone()
        };
        let make_core = make_core.clone();
        let make_core: MakeCore<S::Kind> = Box::new(move |at| make_core(at, core.clone()));
        commons.push(Common {
            number: worker,
            core: make_core(plan.at)?,
            make_core,
            pulse: Arc::clone(&plan.pulse),
            outside: Outside::new(make_side()?, Arc::clone(&plan.neighbours)),
            rings: own.rings,
            letters: own.letters,
            orders: Arc::clone(&plan.orders),
            orders_seen: 0,
            doorbell: own.doorbell,
            poller: Poller::new(READY_MAX)?,
            clock: plan.clock,
            stop: Arc::clone(&plan.stop),
            metrics: plan.metrics.clone(),
            delay: plan.metrics.ring_delay(),
            edge: EdgeCounters::default(),
            seen: Seen::default(),
            copied_ns: plan.at.now_ns,
            nonces: NonceKeys::new(plan.at.now_ns),
            rest: Rest::default(),
        });
    }
    let mut commons = commons.into_iter();
    for (n, (sockets, common)) in datagrams.into_iter().zip(commons.by_ref()).enumerate() {
        let worker = UdpWorker::new(common, sockets);
        if streams.config.udp_workers == 0 {
            handle.guest = Mutex::new(Some(Box::new(worker)));
            continue;
        }
        handle
            .threads
            .push(thread(&format!("hl-turn-{n}"), move || worker.run())?);
    }
    if let Some(common) = commons.next() {
        let worker = StreamWorker::new(common, streams.listeners, streams.local, streams.tls, streams.config);
        handle.threads.push(thread("hl-turn-tcp", move || worker.run())?);
    }
    Ok(())
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

fn core_config(
    config: &Config,
    addresses: &[SocketAddr],
    candidates: &[Vec<SocketAddr>],
    secrets: Secrets,
) -> Result<core::Config, StartFailed> {
    let public = |(listen, bound): (&Listen, &SocketAddr)| {
        let known = listen.public.unwrap_or(*bound);
        if !known.ip().is_unspecified() {
            return known;
        }
        // Bound to all: clients come to what media advertises.
        let mut all = candidates.iter().flatten();
        let ip = all.find(|candidate| candidate.is_ipv6() == known.is_ipv6());
        SocketAddr::new(ip.map_or(known.ip(), SocketAddr::ip), known.port())
    };
    let public: Vec<SocketAddr> = config.listen.iter().zip(addresses).map(public).collect();
    let kinds: &[bool] = if config.mode == Mode::Off {
        &[true]
    } else {
        &[true, false]
    };
    let listeners = kinds
        .iter()
        .flat_map(|&udp| public.iter().map(move |&address| Listener { address, udp }))
        .collect();
    let random = SystemRandom::new();
    let mut seed = [0; 32];
    let mut nonce = [0; 32];
    for bytes in [&mut seed, &mut nonce] {
        random
            .fill(bytes)
            .map_err(|_| StartFailed::System(io::Error::other("no randomness")))?;
    }
    Ok(core::Config {
        worker: 0,
        workers: 1,
        turn: config.mode != Mode::Off,
        realm: config.realm.clone(),
        listeners,
        behaviour: if config.two_addresses {
            Behaviour::TwoAddresses
        } else {
            Behaviour::OneAddress
        },
        limits: config.limits.clone(),
        relayed: config.relayed.clone(),
        gate: config.gate,
        dialect: config.dialect,
        leg_names: config.leg_names,
        secrets,
        nonce_key: NonceKey::new(0, &nonce),
        seed,
        quota: Arc::new(Mutex::new(Quota::new(&seed))),
    })
}

/// Mailboxes, bells and rings: what connects the workers with everybody else.
type Lines = (Vec<Address>, Vec<Own>, Vec<Vec<Box<dyn RelayEgress>>>);

fn lines(workers: usize, shards: usize, clock: Clock) -> io::Result<Lines> {
    let mut boxes = Vec::new();
    let mut owns = Vec::new();
    let mut egresses: Vec<Vec<Box<dyn RelayEgress>>> = (0..shards).map(|_| Vec::new()).collect();
    for _ in 0..workers {
        let doorbell = Doorbell::new(udp::Bell::new()?);
        let (address, letters) = Address::new(doorbell.clone());
        let mut rings = Vec::new();
        for of_shard in &mut egresses {
            let (writer, reader) = ring(doorbell.clone(), clock);
            of_shard.push(Box::new(writer));
            rings.push(reader);
        }
        boxes.push(address);
        owns.push(Own {
            letters,
            doorbell,
            rings,
        });
    }
    Ok((boxes, owns, egresses))
}
