//! Calls through a running server: made over REST, joined by `POST /api/rtc`, spoken from the generator's own thread.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use media_core::dtls::Certificate;
use serde::Deserialize;
use serde_json::Value;
use testkit::calls::{Agent, Desk, Joined, numbers, spread};
use testkit::peer::Peer;
use uuid::Uuid;

use crate::floor;
use crate::generator::{Generator, Leg, Window};
use crate::system::{self, Cpu};
use crate::{Load, WARM, clock, report};

/// Calls that are made at the same time: an offer has to be taken within its lease.
const BATCH: usize = 20;
/// How long the generator runs between two looks at its orders.
const SLICE: Duration = Duration::from_millis(5);
/// Longest wait until everybody hears the other side.
const HEARD_LIMIT: Duration = Duration::from_secs(30);
/// Longest wait until earlier calls are gone.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// Longest wait until the server has finished the recordings of the calls that were measured.
const STORED_LIMIT: Duration = Duration::from_secs(120);
/// Level of the packets, -dBov, and samples of a frame.
const LEVEL: u8 = 30;
const FRAME_SAMPLES: u32 = 960;
/// Names of the server's threads that forward packets.
const SHARDS: &str = "hl-shard";

/// What the demo prints of itself.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Server {
    http: SocketAddr,
    metrics: SocketAddr,
    pid: u32,
    service_key: String,
}

/// What the measured time showed.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) pairs: u32,
    pub(crate) seconds: u64,
    /// From the first request to the last leg that hears.
    pub(crate) setup_s: f64,
    /// True when every call was recorded.
    pub(crate) recorded: bool,
    pub(crate) window: Window,
    /// Time of the shard threads.
    pub(crate) shards: Cpu,
    /// Time of the whole process.
    pub(crate) process_us: u64,
    /// Growth of the process since before the first leg.
    pub(crate) grown_bytes: u64,
    /// What the recorder holds for the disk, by its own gauge.
    pub(crate) buffers_bytes: u64,
}

/// A client with ICE, DTLS and SRTP.
struct Client {
    peer: Peer,
    to: SocketAddr,
}

impl Leg for Client {
    fn speak(&mut self, buffer: &mut [u8], payload: &[u8]) -> Option<usize> {
        self.peer.speak(buffer, payload, FRAME_SAMPLES, LEVEL, true)
    }

    fn hear(&mut self, now: Instant, datagram: &mut [u8]) -> io::Result<Option<(usize, usize)>> {
        let heard = self.peer.datagram(now, datagram).map_err(io::Error::other)?;
        Ok(heard.map(|heard| heard.payload))
    }

    fn timers(&mut self, now: Instant) -> io::Result<Option<Vec<u8>>> {
        self.peer.timeout(now).map_err(io::Error::other)?;
        Ok(self.peer.poll())
    }

    fn destination(&self) -> SocketAddr {
        self.to
    }

    fn is_up(&self) -> bool {
        self.peer.is_up()
    }
}

enum Order {
    Add(Box<Client>),
    Clear,
    Measure(Duration, Sender<io::Result<Window>>),
}

/// The generator's thread.
struct Speaking {
    orders: Sender<Order>,
    heard: Arc<AtomicUsize>,
    thread: thread::JoinHandle<io::Result<()>>,
}

impl Speaking {
    fn start(core: usize) -> io::Result<Speaking> {
        let (orders, inbox) = mpsc::channel();
        let heard = Arc::new(AtomicUsize::new(0));
        let told = Arc::clone(&heard);
        let thread = thread::Builder::new().name("generator".to_owned()).spawn(move || {
            system::pin(None, core)?;
            speak(&inbox, &told)
        })?;
        Ok(Speaking { orders, heard, thread })
    }

    fn order(&self, order: Order) -> io::Result<()> {
        self.orders.send(order).map_err(|_| ended())
    }

    fn measure(&self, time: Duration) -> io::Result<Window> {
        let (reply, window) = mpsc::channel();
        self.order(Order::Measure(time, reply))?;
        window.recv().map_err(|_| ended())?
    }

    fn stop(self) -> io::Result<()> {
        drop(self.orders);
        self.thread.join().map_err(|_| ended())?
    }
}

fn ended() -> io::Error {
    io::Error::other("the generator ended before its time")
}

fn speak(inbox: &Receiver<Order>, heard: &AtomicUsize) -> io::Result<()> {
    let mut generator = Generator::new()?;
    loop {
        match inbox.recv_timeout(Duration::ZERO) {
            Ok(Order::Add(client)) => generator.add(*client)?,
            Ok(Order::Clear) => generator = Generator::new()?,
            Ok(Order::Measure(time, reply)) => {
                let window = generator.measure(time);
                reply.send(window).map_err(|_| ended())?;
            }
            Err(RecvTimeoutError::Timeout) => generator.warm(SLICE)?,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        heard.store(generator.heard(), Ordering::Relaxed);
    }
}

/// Makes the calls, measures them, ends them, and measures the floor.
pub(crate) fn run(load: Load, server: &Server, core: usize) -> Result<Value, Box<dyn Error>> {
    let shards = system::threads(server.pid, SHARDS)?;
    if shards.is_empty() {
        return Err("the server has no shard thread; is it another process than the file says?".into());
    }
    for shard in &shards {
        system::pin(Some(*shard), 0)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let speaking = Speaking::start(core)?;
    let desk = Desk::new(&format!("http://{}", server.http), &server.service_key)?;
    let measured = runtime.block_on(measure(load, server, &desk, &speaking, &shards))?;
    speaking.stop()?;
    system::pin(None, core)?;
    eprintln!("measuring the floor for {} s", load.seconds);
    let floor = floor::measure(load.pairs, load.time())?;
    Ok(report::calls(&measured, &floor))
}

async fn measure(
    load: Load,
    server: &Server,
    desk: &Desk,
    speaking: &Speaking,
    shards: &[u32],
) -> Result<Measured, Box<dyn Error>> {
    let certificate = Certificate::generate().map_err(|fault| fault.to_string())?;
    // Connections, rings and the allocator's first pages belong to the server, not to a leg.
    let first = make(BATCH as u32, desk, speaking, &certificate).await?;
    tokio::time::sleep(WARM).await;
    hang_up(desk, &first).await?;
    speaking.order(Order::Clear)?;
    wait_until_idle(server).await?;

    let begin = clock::now();
    let idle = system::resident_bytes(server.pid)?;
    let calls = make(load.pairs, desk, speaking, &certificate).await?;
    let setup_s = clock::now().duration_since(begin).as_secs_f64();
    tokio::time::sleep(WARM).await;
    let mut recorded = true;
    for call in &calls {
        recorded &= desk.call(*call).await?.recorded;
    }
    let grown_bytes = system::resident_bytes(server.pid)?.saturating_sub(idle);
    let buffers_bytes = gauge(server, "helpline_recording_buffer_bytes").await?;
    eprintln!(
        "{grown_bytes} bytes more in memory, {buffers_bytes} of them the recorder's; measuring for {} s",
        load.seconds
    );
    let before = (system::thread_cpu(server.pid, shards)?, system::process_us(server.pid)?);
    let window = speaking.measure(load.time())?;
    let after = (system::thread_cpu(server.pid, shards)?, system::process_us(server.pid)?);
    hang_up(desk, &calls).await?;
    // The floor comes next, and finishing hundreds of recordings beside it would be counted as the kernel's work.
    wait_until_stored(server).await?;
    Ok(Measured {
        pairs: load.pairs,
        seconds: load.seconds,
        setup_s,
        recorded,
        window,
        shards: after.0.since(before.0),
        process_us: after.1.saturating_sub(before.1),
        grown_bytes,
        buffers_bytes,
    })
}

/// Makes `pairs` calls that all hear their other side.
async fn make(
    pairs: u32,
    desk: &Desk,
    speaking: &Speaking,
    certificate: &Certificate,
) -> Result<Vec<Uuid>, Box<dyn Error>> {
    let mut calls = Vec::new();
    let mut seed = 0;
    let numbers: Vec<u32> = (0..pairs).collect();
    for batch in numbers.chunks(BATCH) {
        for joined in connect(desk, batch).await? {
            for leg in [&joined.customer.grant, &joined.agent.grant] {
                let client = attach(desk, certificate, leg, seed).await?;
                speaking.order(Order::Add(Box::new(client)))?;
                seed += 1;
            }
            calls.push(joined.call);
        }
        eprintln!("{} of {pairs} calls", calls.len());
    }
    wait_until_heard(speaking, calls.len() * 2).await?;
    Ok(calls)
}

async fn hang_up(desk: &Desk, calls: &[Uuid]) -> Result<(), Box<dyn Error>> {
    for call in calls {
        desk.hang_up(*call).await?;
    }
    Ok(())
}

/// Agents go online, customers call, and every agent takes one.
async fn connect(desk: &Desk, batch: &[u32]) -> Result<Vec<Joined>, Box<dyn Error>> {
    let run = Uuid::new_v4().simple().to_string();
    let mut agents: Vec<Agent> = Vec::with_capacity(batch.len());
    for number in batch {
        let agent = desk.agent(&format!("load-{run}-{number}")).await?;
        desk.go_online(&agent).await?;
        agents.push(agent);
    }
    for number in batch {
        desk.start(&format!("load-{run}-{number}")).await?;
    }
    let mut answering = tokio::task::JoinSet::new();
    for agent in agents {
        let desk = desk.clone();
        answering.spawn(async move { desk.answer(&agent).await });
    }
    let mut joined = Vec::with_capacity(batch.len());
    while let Some(answered) = answering.join_next().await {
        joined.push(answered??);
    }
    Ok(joined)
}

async fn attach(desk: &Desk, certificate: &Certificate, grant: &str, seed: u32) -> Result<Client, Box<dyn Error>> {
    let mut peer = Peer::new(numbers(seed), certificate.clone(), spread(seed));
    let answer = desk.attach(grant, peer.offer()).await?;
    peer.answer(clock::now(), &answer)?;
    let to = peer.destination().ok_or("the answer names no address")?;
    Ok(Client { peer, to })
}

async fn wait_until_heard(speaking: &Speaking, legs: usize) -> Result<(), Box<dyn Error>> {
    let end = clock::now() + HEARD_LIMIT;
    loop {
        let heard = speaking.heard.load(Ordering::Relaxed);
        if heard == legs {
            return Ok(());
        }
        if clock::now() >= end || speaking.thread.is_finished() {
            return Err(format!("{heard} of {legs} legs hear their other side").into());
        }
        tokio::time::sleep(SLICE).await;
    }
}

/// Waits until no leg of an earlier run is left.
async fn wait_until_idle(server: &Server) -> Result<(), Box<dyn Error>> {
    let end = clock::now() + IDLE_LIMIT;
    while gauge(server, "helpline_live_rooms").await? > 0 {
        if clock::now() >= end {
            return Err("calls of an earlier run are still there".into());
        }
        tokio::time::sleep(WARM).await;
    }
    Ok(())
}

/// Waits until the server has finished every recording.
async fn wait_until_stored(server: &Server) -> Result<(), Box<dyn Error>> {
    let end = clock::now() + STORED_LIMIT;
    while gauge(server, "helpline_recording_queued").await? > 0 {
        if clock::now() >= end {
            return Err("the server does not finish the recordings of the calls".into());
        }
        tokio::time::sleep(WARM).await;
    }
    Ok(())
}

/// Value of a gauge without labels, from the server's metrics.
async fn gauge(server: &Server, name: &str) -> Result<u64, Box<dyn Error>> {
    let text = reqwest::get(format!("http://{}/metrics", server.metrics))
        .await?
        .text()
        .await?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value: f64 = line.ok_or_else(|| format!("the server has no {name}"))?.parse()?;
    Ok(value as u64)
}
