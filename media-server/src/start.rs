//! Puts the threads together and ends them in order.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};

use media_core::command::Command;
use media_core::dtls::Certificate;
use media_core::limits::{JOBS_MAX, LEGS_PER_SHARD_MAX, SECOND};
use media_core::shard::{self, Shard};
use ports::{Media, Recordings, RelayControl, RelayEgress, RelayGuest, RelayLegs, RelayShard, RelaySink};
use prometheus::Registry;
use tokio::sync::Notify;
use udp::{Batch, Bell, Locals, Socket};

use crate::admission::Budget;
use crate::affinity::{self, BadPin, Order};
use crate::clock::Clock;
use crate::config::{BUSY_MAX_MAX, CONSENT_S_MAX, CONSENT_S_MIN, Config, SHARDS_MAX};
use crate::control::Control;
use crate::events::Outbox;
use crate::finaliser::{self, Finaliser, Stored};
use crate::helper::Helper;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::metrics::turning::Turning;
use crate::music::{self, PROMPT_EVERY_S_MAX, PROMPT_EVERY_S_MIN, Unplayable};
use crate::plane::{Plane, ShardLink, Shared, lock};
use crate::recorder::{self, Recorder};
use crate::relay::{self, Legs};
use crate::storage::{Storage, StorageFault};
use crate::tap::{self, Producer};
use crate::threads::{self, Busy, Started};
use crate::worker::{self, COMMANDS_MAX, REPORTS_MAX, Report, Worker};

/// Why media could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartFailed {
    /// A media port is taken, or the address is not ours.
    #[error("media cannot listen on udp {address}: {source}; other ports go into media.base_port")]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// What the kernel says.
        source: io::Error,
    },
    /// [`Config::shards`] is not between 1 and [`SHARDS_MAX`].
    #[error("media.shards must be between 1 and {SHARDS_MAX}")]
    Shards,
    /// [`Config::hold_music`] or [`Config::waiting`] cannot be played.
    #[error(transparent)]
    Music(#[from] Unplayable),
    /// [`crate::Waiting::prompt_every_s`] is out of its bounds.
    #[error("media.waiting_prompt_every_s must be between {PROMPT_EVERY_S_MIN} and {PROMPT_EVERY_S_MAX}")]
    PromptEvery,
    /// [`Config::consent_s`] is out of its bounds.
    #[error("media.consent_s must be between {CONSENT_S_MIN} and {CONSENT_S_MAX}")]
    Consent,
    /// [`Config::busy_max`] is out of its bounds.
    #[error("media.busy_max must be above 0 and at most {BUSY_MAX_MAX}")]
    BusyMax,
    /// [`Config::pin`] cannot be followed.
    #[error(transparent)]
    Pin(#[from] BadPin),
    /// No random source for the certificate.
    #[error("the certificate of media could not be made")]
    Certificate,
    /// The folder of the recordings cannot be used.
    #[error("the folder for recordings cannot be used: {0}")]
    Storage(#[from] StorageFault),
    /// A thread, a descriptor or the spool's folder.
    #[error("media could not start: {0}")]
    System(#[from] io::Error),
    /// A metric's name is taken.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
}

/// The running media plane. Dropping it without [`MediaServer::stop`] leaves the threads to the end of the process.
pub struct MediaServer {
    plane: Plane,
    stored: Arc<Stored>,
    stop: Arc<AtomicBool>,
    /// Shards and helpers; they end first, then control by itself.
    threads: Vec<Started>,
    control: Started,
    recorder: Recorder,
    finaliser: Finaliser,
    addresses: Vec<SocketAddr>,
}

/// What a shard's threads are made of.
struct Parts {
    number: usize,
    sockets: Vec<Socket>,
    bell: Bell,
    commands: Receiver<Command>,
    tap: Producer,
    relay: relay::Side,
}

impl MediaServer {
    /// Binds the ports and starts the threads.
    ///
    /// # Errors
    /// [`StartFailed`].
    pub fn start(config: Config, registry: &Registry) -> Result<MediaServer, StartFailed> {
        let cores = cores_if_sound(&config)?;
        let order = Order::of(&config.pin);
        let sounds = music::sounds(&config.hold_music, &config.waiting)?;
        let clock = Clock::start();
        let certificate = Certificate::generate().map_err(|_| StartFailed::Certificate)?;
        let (mut parts, mut links, mut taps) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..config.shards {
            let (part, link, tap) = bind(&config, number)?;
            parts.push(part);
            links.push(link);
            taps.push(tap);
        }
        let addresses = parts
            .iter()
            .flat_map(|part| part.sockets.iter().map(Socket::local))
            .collect();
        let metrics = Metrics::new(registry, config.shards)?;
        let storage = Storage::local(&config.data.join("recordings"))?;
        let handle = recorder::Handle::new();
        let (jobs, finished) = std::sync::mpsc::channel();
        let late: Arc<OnceLock<std::sync::Weak<Shared>>> = Arc::default();
        let series = recorder::Series::new(registry)?;
        let recorder = start_recorder(
            to_record(&config, order),
            clock,
            &handle,
            taps,
            jobs,
            Arc::clone(&late),
            series,
        )?;
        let (finaliser, stored) = Finaliser::start(
            to_finalise(&config),
            clock,
            storage,
            recorder.ledger(),
            finished,
            handle.clone(),
            registry,
        )?;
        let (reports_in, reports) = sync_channel(REPORTS_MAX);
        let shared = Arc::new(share(config, clock, certificate, links, handle));
        Turning::register(registry, &shared)?;
        // The recorder started before what it reports to; nothing can be degraded before the first call.
        let _ = late.set(Arc::downgrade(&shared));
        let stop = Arc::new(AtomicBool::new(false));
        let (mut running, mut busy) = (Vec::new(), Vec::new());
        for part in parts {
            let number = part.number;
            let (jobs, jobs_out) = sync_channel(JOBS_MAX);
            let mut shard = Shard::new(clock.now_ns(), engine(&shared.config, clock));
            shard.set_music(Arc::clone(&sounds.hold));
            shard.set_waiting(sounds.waiting.clone());
            shard.set_tone(Arc::clone(&sounds.tone));
            let worker = Worker {
                shard,
                poller: worker::poller(&part.sockets, &part.bell)?,
                sockets: part.sockets,
                batch: Batch::new(shared.config.batch),
                locals: Locals::default(),
                bell: part.bell,
                commands: part.commands,
                jobs,
                reports: reports_in.clone(),
                refused: VecDeque::new(),
                number,
                tap: part.tap,
                relay: part.relay,
                clock,
                stop: Arc::clone(&stop),
            };
            let core = cores.get(number).copied();
            let started = threads::start(&format!("hl-shard-{number}"), move || {
                settle(number, core, order);
                worker.run();
            })?;
            busy.push(Busy::new(started.account.clone()));
            running.push(started);
            let helper = Helper::new(clock);
            let to = Arc::clone(&shared);
            running.push(threads::start(&format!("hl-dtls-{number}"), move || {
                helper.run(&jobs_out, |command| report_back(&to, number, command));
            })?);
        }
        drop(reports_in);
        tracing::info!(
            ?cores,
            "shards are pinned, or placed by the kernel where no core is named"
        );
        let control = start_control(&shared, metrics, busy, reports)?;
        Ok(MediaServer {
            plane: Plane(shared),
            stored,
            stop,
            threads: running,
            control,
            recorder,
            finaliser,
            addresses,
        })
    }

    /// The media plane.
    #[must_use]
    pub fn media(&self) -> Arc<dyn Media> {
        Arc::new(self.plane.clone())
    }

    /// What a relay in this process is started with: per shard its advertised addresses, and a ring for each of the
    /// relay's `workers`. To be called once, after this start and before that of the relay. Until
    /// [`MediaServer::attach_relay`] what comes through the rings is taken and answers find no way.
    #[must_use]
    pub fn relay_shards(&self, workers: usize) -> Vec<RelayShard> {
        let clock = self.plane.0.clock;
        let shards = self.plane.0.shards.iter().map(|link| {
            let entry = lock(&link.relay);
            let rings = (0..workers).map(|_| relay::ring(relay::RING_BYTES, entry.doorbell.clone(), clock));
            let (sinks, readers): (Vec<_>, Vec<_>) = rings.unzip();
            entry.hand(relay::Link::Rings(readers));
            let sinks = sinks.into_iter().map(|sink| Box::new(sink) as Box<dyn RelaySink>);
            RelayShard {
                candidates: link.candidates.clone(),
                sinks: sinks.collect(),
            }
        });
        shards.collect()
    }

    /// Takes the relay's ends of the other direction: `egresses[shard][worker]`, shards in the order of
    /// [`MediaServer::relay_shards`]. From now on shards answer through the relay, and `control` is told of every leg
    /// that ends.
    ///
    /// A relay that none of this is for, because it relays elsewhere or not at all, is attached without ways: its workers
    /// count in [`Media::alive`] as the shards do, and its defects with theirs.
    pub fn attach_relay(&self, control: Arc<dyn RelayControl>, egresses: Vec<Vec<Box<dyn RelayEgress>>>) {
        lock(&self.plane.0.registry).told().attach(control);
        for (link, egresses) in self.plane.0.shards.iter().zip(egresses) {
            lock(&link.relay).hand(relay::Link::Ways(egresses));
        }
    }

    /// The thread of the first shard runs this worker from now on, until the relay is stopped. To be called behind
    /// [`MediaServer::attach_relay`], for its frames find no way back before.
    pub fn attach_relay_guest(&self, guest: Box<dyn RelayGuest>) {
        if let Some(link) = self.plane.0.shards.first() {
            lock(&link.relay).hand(relay::Link::Guest(guest));
        }
    }

    /// What the relay may ask about legs.
    #[must_use]
    pub fn relay_legs(&self) -> Arc<dyn RelayLegs> {
        let legs: Arc<Legs> = Arc::clone(lock(&self.plane.0.registry).told());
        legs
    }

    /// What plane and control share, for tests of what control does by itself.
    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.plane.0
    }

    /// The stored recordings.
    #[must_use]
    pub fn recordings(&self) -> Arc<dyn Recordings> {
        let stored: Arc<Stored> = Arc::clone(&self.stored);
        stored
    }

    /// Where the shards listen.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    /// Ends all threads: shards first, then the recorder, which closes what is open, then the finaliser with the job
    /// it is at. What is not finalised by then is taken up by the next start.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for shard in &self.plane.0.shards {
            shard.bell.ring();
        }
        for started in self.threads.into_iter().chain([self.control]) {
            if started.handle.join().is_err() {
                tracing::error!("a thread of media panicked");
            }
        }
        self.recorder.stop();
        self.finaliser.stop();
    }
}

fn bind(config: &Config, number: usize) -> Result<(Parts, ShardLink, tap::Consumer), StartFailed> {
    let wanted = match config.base_port {
        0 => 0,
        base => base.saturating_add(u16::try_from(number).unwrap_or(u16::MAX)),
    };
    let mut sockets: Vec<Socket> = Vec::new();
    for ip in config.bind.iter().take(2) {
        // The second family takes the port that the first one got.
        let port = sockets.first().map_or(wanted, |first| first.local().port());
        let address = SocketAddr::new(*ip, port);
        let socket = Socket::bind(address).and_then(Socket::naming).and_then(Socket::whole);
        sockets.push(socket.map_err(|source| StartFailed::Bind { address, source })?);
    }
    let Some(port) = sockets.first().map(|socket| socket.local().port()) else {
        return Err(StartFailed::System(io::Error::new(
            io::ErrorKind::InvalidInput,
            "media.bind is empty",
        )));
    };
    let bell = Bell::new()?;
    let (commands_in, commands) = sync_channel(COMMANDS_MAX);
    let candidates = config.advertise.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
    let (entry, relay) = relay::Side::new(relay::Doorbell::new(bell.clone()));
    let link = ShardLink {
        commands: commands_in,
        bell: bell.clone(),
        candidates,
        relay: Mutex::new(entry),
    };
    let (producer, consumer) = tap::ring(tap::CELLS);
    Ok((
        Parts {
            number,
            sockets,
            bell,
            commands,
            tap: producer,
            relay,
        },
        link,
        consumer,
    ))
}

/// What the recorder is told of the settings.
fn to_record(config: &Config, order: Order) -> recorder::Settings {
    recorder::Settings {
        order,
        folder: config.data.join("spool"),
        node: config.node_id.clone(),
        node_epoch: config.node_epoch,
        keep_after_stored_ns: config.keep_after_stored_s.saturating_mul(1_000_000_000),
        marks: config.disk_marks,
    }
}

/// What the finaliser is told of them.
fn to_finalise(config: &Config) -> finaliser::Settings {
    finaliser::Settings {
        node: config.node_id.clone(),
        node_epoch: config.node_epoch,
    }
}

fn start_recorder(
    settings: recorder::Settings,
    clock: Clock,
    handle: &recorder::Handle,
    taps: Vec<tap::Consumer>,
    jobs: std::sync::mpsc::Sender<recorder::Job>,
    late: Arc<OnceLock<std::sync::Weak<Shared>>>,
    series: recorder::Series,
) -> io::Result<Recorder> {
    let degraded = Box::new(move |room: u128, packets: u64| {
        if let Some(shared) = late.get().and_then(std::sync::Weak::upgrade) {
            Control::degraded(&shared, room, packets);
        }
    });
    Recorder::start(settings, handle.clone(), clock, taps, jobs, degraded, series)
}

fn share(
    config: Config,
    clock: Clock,
    certificate: Certificate,
    shards: Vec<ShardLink>,
    recorder: recorder::Handle,
) -> Shared {
    let (shards_number, now) = (shards.len(), clock.now_ns());
    let legs = Shared::registry_for(&config);
    Shared {
        clock,
        certificate: Mutex::new(certificate),
        shards,
        told: Arc::clone(legs.told()),
        registry: Mutex::new(legs),
        outbox: Mutex::new(Outbox::default()),
        live: Mutex::new(Live::default()),
        changed: Notify::new(),
        pending: Mutex::new(VecDeque::new()),
        drain: Mutex::default(),
        budgets: Mutex::new(vec![Budget::new(config.busy_max); shards_number]),
        rooms_refused: Default::default(),
        beats: (0..shards_number).map(|_| AtomicU64::new(now)).collect(),
        next_transport: AtomicU64::new(1),
        candidates_seen: AtomicU64::new(0),
        offers_refused: AtomicU64::new(0),
        recorder,
        config,
    }
}

/// Refuses settings that cannot be; the core of each shard, if they are pinned.
fn cores_if_sound(config: &Config) -> Result<Vec<usize>, StartFailed> {
    if !(1..=SHARDS_MAX).contains(&config.shards) {
        return Err(StartFailed::Shards);
    }
    if !(PROMPT_EVERY_S_MIN..=PROMPT_EVERY_S_MAX).contains(&config.waiting.prompt_every_s) {
        return Err(StartFailed::PromptEvery);
    }
    if !(CONSENT_S_MIN..=CONSENT_S_MAX).contains(&config.consent_s) {
        return Err(StartFailed::Consent);
    }
    if !(config.busy_max > 0.0 && config.busy_max <= BUSY_MAX_MAX) {
        return Err(StartFailed::BusyMax);
    }
    Ok(config.pin.place(config.shards, &affinity::allowed()?)?)
}

/// What the engine is told of the settings.
fn engine(config: &Config, clock: Clock) -> shard::Config {
    shard::Config {
        ntp_at_zero: clock.ntp_at_zero(),
        consent: u64::from(config.consent_s) * SECOND,
        // In one piece, so that the kernel has whole huge pages to give for it; it gives them as they are written to.
        chunk: LEGS_PER_SHARD_MAX as u32,
    }
}

/// Puts the calling shard's thread on its core, if it has one, and before others, if `order` says so.
fn settle(number: usize, core: Option<usize>, order: Order) {
    if let Some(core) = core
        && let Err(fault) = affinity::pin(core)
    {
        tracing::warn!(shard = number, core, %fault, "the kernel places this shard");
    }
    order.settle(|nices| nices.shard);
}

/// The helper may wait for its shard; the shard never waits for the helper.
fn report_back(shared: &Shared, shard: usize, command: Command) {
    let Some(link) = shared.shards.get(shard) else { return };
    // A shard that has ended takes nothing any more, and nobody needs it.
    if link.commands.send(command).is_ok() {
        link.bell.ring();
    }
}

fn start_control(
    shared: &Arc<Shared>,
    metrics: Metrics,
    busy: Vec<Busy>,
    reports: Receiver<(usize, Report)>,
) -> io::Result<Started> {
    let control = Control::new(Arc::clone(shared), metrics, busy);
    threads::start("hl-control", move || control.run(&reports))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let here = vec![std::net::IpAddr::from([127, 0, 0, 1])];
        let mut config = Config::new(std::env::temp_dir(), "test".to_owned(), 1, here.clone(), here);
        config.base_port = 0;
        config
    }

    #[test]
    fn what_is_set_for_consent_is_what_the_engine_gets_within_its_bounds() {
        for seconds in [CONSENT_S_MIN, 25, CONSENT_S_MAX] {
            let config = Config {
                consent_s: seconds,
                ..config()
            };
            let engine = engine(&config, Clock::start());
            assert_eq!(engine.consent, u64::from(seconds) * SECOND);
        }
        assert_eq!(engine(&config(), Clock::start()).consent, media_core::limits::CONSENT);
        for seconds in [CONSENT_S_MIN - 1, CONSENT_S_MAX + 1] {
            let config = Config {
                consent_s: seconds,
                ..config()
            };
            let refused = MediaServer::start(config, &Registry::new());
            assert!(matches!(refused.err(), Some(StartFailed::Consent)));
        }
    }

    #[test]
    fn a_share_of_a_core_that_refuses_all_or_none_is_refused() {
        for busy_max in [0.0, -1.0, BUSY_MAX_MAX + 0.001, f64::NAN] {
            let config = Config { busy_max, ..config() };
            let refused = MediaServer::start(config, &Registry::new());
            assert!(matches!(refused.err(), Some(StartFailed::BusyMax)), "{busy_max}");
        }
    }

    #[test]
    fn a_core_that_the_process_may_not_use_is_refused_before_anything_starts() {
        let config = Config {
            pin: crate::Pin::Cores(vec![usize::MAX]),
            ..config()
        };
        let refused = MediaServer::start(config, &Registry::new());
        assert!(matches!(
            refused.err(),
            Some(StartFailed::Pin(BadPin::Foreign(usize::MAX)))
        ));
    }
}
