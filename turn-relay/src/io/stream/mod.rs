//! The worker of all TCP and TLS connections.
//!
//! One thread and one loop, as for UDP, and not an asynchronous runtime: the core is asked where the bytes are read, and
//! no packet crosses from one task to another.
//!
//! Invariant: a slow or hostile connection costs itself; nobody waits for it.

mod admission;
mod connection;
mod greeting;
mod outbox;
mod preface;
mod shares;
mod table;
mod tls;

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ipnet::IpNet;
use ports::Via;
use ring::rand::{SecureRandom, SystemRandom};
use udp::Interest;

pub use admission::StreamLimits;
pub(crate) use tls::Tls;
pub use tls::{TlsFault, TlsFiles};

use super::edge::{Kept, Side};
use super::worker::{Common, FRAMES_PER_TURN};
use crate::config::Config;
use crate::core::{Dialect, Flow, Outcome};
use admission::Admission;
pub(crate) use admission::Refused;
use connection::{Connection, End, Filled};
use table::Table;

/// Reads from one connection per turn, so that one cannot hold up the others.
const READS_PER_TURN: usize = 8;
/// Reads within TLS handshakes per turn: one costs half a millisecond (RSA), and the media of everybody else waits for it.
/// What comes beyond stays with the kernel, which tells of it again in the next turn.
/// Higher: a storm of them is heard in calls. Lower: more turns for the same.
const HANDSHAKE_READS_PER_TURN: usize = 8;
/// Connections accepted per turn and listener.
const ACCEPTS_PER_TURN: usize = 64;
/// Milliseconds between two looks for what is overdue, and after which accepting is tried again when it failed.
const SWEEP_MS: u64 = 250;
/// Milliseconds between two looks whether the certificate was exchanged.
const CERTIFICATE_MS: u64 = 5_000;
/// Bytes that the kernel may hold unsent of one connection: what has been handed to it can no longer be dropped.
const UNSENT_BYTES: u32 = 16 * 1024;
/// Tokens of listeners begin here, those of connections at 0.
const LISTENER: u64 = 1 << 32;
/// Nanoseconds of a millisecond.
const MS: u64 = 1_000_000;

/// See the top of this file.
pub(crate) struct StreamWorker<S: Side> {
    pub(crate) common: Common<S>,
    pub(crate) listeners: Vec<TcpListener>,
    /// What [`Flow::local`] says of the first listener.
    pub(crate) local: u8,
    pub(crate) tls: Option<Arc<Tls>>,
    connections: Table,
    /// Numbers of connections that are not read yet, and from when they are, milliseconds; the first is the next.
    fresh: VecDeque<(u64, u32)>,
    admission: Admission,
    /// Networks whose connections begin with a PROXY header.
    proxies: Vec<IpNet>,
    dialect: Dialect,
    /// Connections that have something to send.
    waiting: Vec<u32>,
    /// Reads within handshakes in this turn.
    handshake_reads: usize,
    swept_ms: u64,
    certificate_ms: u64,
    /// Accepting failed: no descriptor is left. Tried again at the next sweep.
    accepting: bool,
}

impl<S: Side> StreamWorker<S> {
    pub(crate) fn new(
        common: Common<S>,
        listeners: Vec<TcpListener>,
        local: u8,
        tls: Option<Arc<Tls>>,
        config: &Config,
    ) -> StreamWorker<S> {
        let now_ms = common.clock.now_ms();
        StreamWorker {
            common,
            listeners,
            local,
            tls,
            connections: Table::default(),
            fresh: VecDeque::new(),
            admission: Admission::new(config.stream_limits.clone(), &seed(), now_ms),
            proxies: config.proxies.clone(),
            dialect: config.dialect,
            waiting: Vec::new(),
            handshake_reads: 0,
            swept_ms: now_ms,
            certificate_ms: now_ms,
            accepting: false,
        }
    }

    /// Works until told to stop.
    pub(crate) fn run(mut self) {
        if let Err(fault) = self.common.listen().and_then(|()| self.listen(true)) {
            tracing::error!(%fault, "the relay cannot wait for connections");
            return;
        }
        let mut frames = Vec::with_capacity(FRAMES_PER_TURN);
        let mut busy = false;
        while !self.common.is_stopped() {
            match catch_unwind(AssertUnwindSafe(|| self.live(busy, &mut frames))) {
                Ok(Ok(more)) => busy = more,
                Ok(Err(fault)) => {
                    tracing::error!(%fault, "the relay cannot wait for connections any more");
                    return;
                }
                Err(_) => {
                    self.restart();
                    busy = true;
                }
            }
        }
        self.common.copy();
    }

    /// A turn, or a part of a rest.
    fn live(&mut self, busy: bool, frames: &mut Vec<(Flow, Range<usize>)>) -> std::io::Result<bool> {
        if self.common.sleep()? {
            return Ok(true);
        }
        self.turn(busy, frames)
    }

    /// Waits unless `busy`, and does what there is. True if more may wait.
    fn turn(&mut self, busy: bool, frames: &mut Vec<(Flow, Range<usize>)>) -> std::io::Result<bool> {
        let ready = self.common.wait(busy, self.longest_ms())?;
        let mut more = self.common.read_mail(1);
        self.handshake_reads = 0;
        for index in 0..ready {
            let Some(ready) = self.common.poller.ready(index) else {
                continue;
            };
            if self.common.own(ready.token) {
                continue;
            }
            if ready.token >= LISTENER {
                self.accept((ready.token - LISTENER) as usize);
                continue;
            }
            let slot = ready.token as u32;
            if ready.writable {
                self.list(slot);
            }
            if ready.readable {
                self.read(slot);
            }
        }
        for shard in 0..self.common.rings.len() {
            more |= self.take_frames(shard, frames);
        }
        self.begin();
        self.common.tick();
        self.hand_out();
        self.sweep();
        self.flush();
        self.common.outside.side.flush();
        Ok(more)
    }

    /// After a panic, when a connection may be half done: all are closed, and clients connect again.
    fn restart(&mut self) {
        self.common.restart();
        self.connections = Table::default();
        self.fresh.clear();
        self.waiting.clear();
        self.admission.clear();
    }

    /// Starts or stops accepting.
    fn listen(&mut self, on: bool) -> std::io::Result<()> {
        if self.accepting == on {
            return Ok(());
        }
        for (n, listener) in self.listeners.iter().enumerate() {
            if on {
                self.common.poller.add(listener, LISTENER + n as u64, Interest::Read)?;
            } else {
                self.common.poller.remove(listener)?;
            }
        }
        self.accepting = on;
        Ok(())
    }

    fn accept(&mut self, listener: usize) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(accepted) = self.listeners.get(listener).map(TcpListener::accept) else {
                return;
            };
            let (stream, remote) = match accepted {
                Ok(accepted) => accepted,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return,
                // That connection has gone already.
                Err(fault) if matches!(fault.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => continue,
                Err(fault) => {
                    // No descriptor is left: the listener stays ready, so it is not asked until the next sweep.
                    tracing::warn!(%fault, "the relay cannot accept connections; it tries again");
                    self.refuse(Refused::System);
                    let _ = self.listen(false);
                    return;
                }
            };
            let flow = Flow {
                via: Via::Tcp,
                local: self.local + listener as u8,
                remote,
                connection: 0,
            };
            if let Err(why) = self.welcome(stream, flow) {
                self.refuse(why);
            }
        }
    }

    /// A connection was kept out or is closed by us.
    fn refuse(&mut self, why: Refused) {
        self.common.edge.stream += 1;
        self.common.edge.streams_refused[why as usize] += 1;
    }

    /// Takes a new connection.
    ///
    /// # Errors
    /// [`Refused`]: it may not come in.
    fn welcome(&mut self, stream: TcpStream, flow: Flow) -> Result<(), Refused> {
        let now_ms = self.common.clock.now_ms();
        let ip = flow.remote.ip();
        let by_proxy = self.proxies.iter().any(|network| network.contains(&ip.to_canonical()));
        // As [`Connection::counted`] says it later.
        let counted = (!by_proxy).then_some(ip);
        self.admission.enter(counted)?;
        let prepared = udp::for_voice(&stream, UNSENT_BYTES).is_ok();
        let connection = |stream| {
            let new = Connection::new(stream, flow, self.dialect, now_ms);
            if by_proxy { new.by_proxy() } else { new }
        };
        let slot = prepared.then(|| self.connections.insert(connection(stream))).flatten();
        let Some(slot) = slot else {
            self.admission.leave(counted);
            return Err(Refused::System);
        };
        if by_proxy {
            // At once: until its network is known, its network's limit does not hold.
            self.watch(slot);
        } else {
            self.wait_for_start(slot);
        }
        Ok(())
    }

    /// Lets a connection lie until datagrams have had their start.
    fn wait_for_start(&mut self, slot: u32) {
        let from_ms = self.common.clock.now_ms() + self.admission.limits().head_start_ms;
        if let Some(connection) = self.connections.at(slot) {
            self.fresh.push_back((from_ms, connection.flow.connection));
        }
    }

    /// From now on the poller says when there is something to read.
    fn watch(&mut self, slot: u32) {
        let Some(connection) = self.connections.at(slot) else {
            return;
        };
        let poller = &self.common.poller;
        if poller.add(&connection.stream, slot.into(), Interest::Read).is_err() {
            self.close(slot, End::Gone);
        }
    }

    /// Reads on in a proxy's header. Behind it the connection is as one that has just come from its client.
    fn read_header(&mut self, slot: u32) -> Result<(), End> {
        let Some(connection) = self.connections.at(slot) else {
            return Ok(());
        };
        let Some(client) = connection.announcement()? else {
            return Ok(());
        };
        self.admission.name(client).map_err(End::Refused)?;
        connection.named();
        self.common.edge.headers_taken += 1;
        self.common.poller.remove(&connection.stream)?;
        self.wait_for_start(slot);
        Ok(())
    }

    /// Milliseconds that may be slept: until the next look, or until a new connection is read.
    fn longest_ms(&self) -> u64 {
        let now_ms = self.common.clock.now_ms();
        let next = self.fresh.front().map(|(from_ms, _)| from_ms.saturating_sub(now_ms));
        next.map_or(SWEEP_MS, |ms| ms.min(SWEEP_MS))
    }

    /// Begins to read the connections whose time has come. What they sent meanwhile lies in the kernel.
    fn begin(&mut self) {
        let now_ms = self.common.clock.now_ms();
        while let Some((_, number)) = self.fresh.pop_front_if(|(from_ms, _)| *from_ms <= now_ms) {
            if self.connections.of(number).is_some() {
                self.watch(Table::slot(number));
            }
        }
    }

    /// Reads what a connection has, and has the core work on every whole message.
    fn read(&mut self, slot: u32) {
        if let Err(end) = self.try_read(slot) {
            self.close(slot, end);
        }
    }

    fn try_read(&mut self, slot: u32) -> Result<(), End> {
        for read in 0.. {
            let at = self.common.at();
            let now_ms = at.now_ns / MS;
            let Some(connection) = self.connections.at(slot) else {
                return Ok(());
            };
            if connection.is_nameless() {
                return self.read_header(slot);
            }
            // The kernel says again what it still has, and nothing of what TLS has taken from it: one record at most.
            if read >= READS_PER_TURN && !connection.is_ahead() {
                return Ok(());
            }
            let tls = &self.tls;
            if !connection.decide(tls.is_some())? {
                return Ok(());
            }
            if connection.is_handshaking() {
                if self.handshake_reads == HANDSHAKE_READS_PER_TURN {
                    return Ok(());
                }
                self.handshake_reads += 1;
            }
            if !connection.greet(now_ms, &mut self.admission, || Some(tls.as_ref()?.config()))? {
                return Ok(());
            }
            let filled = connection.fill(self.admission.limits())?;
            // A handshake wants to be answered too.
            if !connection.listed {
                connection.listed = true;
                self.waiting.push(slot);
            }
            if filled == Filled::Nothing {
                return Ok(());
            }
            let flow = connection.flow;
            while let Some(message) = connection.cutter.next().map_err(|_| End::Refused(Refused::Nonsense))? {
                let outcome = self.common.client(at, flow, message);
                connection.heard();
                if connection.is_unknown() && outcome == Outcome::Answered && self.common.core.holds(&flow) {
                    connection.authenticated();
                    self.admission.leave(connection.counted());
                }
            }
        }
        Ok(())
    }

    fn take_frames(&mut self, shard: usize, frames: &mut Vec<(Flow, Range<usize>)>) -> bool {
        let StreamWorker {
            common,
            connections,
            waiting,
            ..
        } = self;
        let now_ms = common.clock.now_ms();
        let mut dropped = 0;
        let more = common.take_frames(shard, frames, |bytes, ready| {
            for (flow, range) in ready {
                let Some(connection) = connections.of(flow.connection) else {
                    continue;
                };
                if let Some(frame) = bytes.get(range.clone()) {
                    dropped += connection.outbox.media(now_ms, frame);
                    list(connection, waiting);
                }
            }
        });
        common.edge.queue += dropped;
        more
    }

    /// Answers and what peers have sent, into the outboxes; connections whose allocations have ended begin anew.
    fn hand_out(&mut self) {
        let now_ms = self.common.clock.now_ms();
        let replies = std::mem::take(&mut self.common.outside.replies);
        for n in 0..replies.len() {
            let Some((flow, kept, bytes)) = replies.get(n) else {
                continue;
            };
            let Some(connection) = self.connections.of(flow.connection) else {
                continue;
            };
            let deaf = match kept {
                Kept::Always => connection.outbox.control(bytes).is_err(),
                Kept::Fresh => {
                    self.common.edge.queue += connection.outbox.media(now_ms, bytes);
                    false
                }
            };
            list(connection, &mut self.waiting);
            if deaf {
                self.close(Table::slot(flow.connection), End::Refused(Refused::Deaf));
            }
        }
        self.common.outside.replies = replies;
        self.common.outside.replies.clear();
        while let Some(flow) = self.common.outside.freed.pop() {
            // In one batch a client may have freed its allocation and made another.
            if let Some(connection) = self.connections.of(flow.connection)
                && !connection.is_unknown()
                && !self.common.core.holds(&flow)
            {
                connection.forgotten(now_ms);
                self.admission.count(flow.remote.ip());
            }
        }
    }

    fn list(&mut self, slot: u32) {
        if let Some(connection) = self.connections.at(slot) {
            list(connection, &mut self.waiting);
        }
    }

    /// Writes what waits, as far as the kernel takes it.
    fn flush(&mut self) {
        let now_ms = self.common.clock.now_ms();
        while let Some(slot) = self.waiting.pop() {
            let Some(connection) = self.connections.at(slot) else {
                continue;
            };
            connection.listed = false;
            match connection.flush(now_ms, &mut self.common.edge.queue) {
                Err(end) => self.close(slot, end),
                Ok(interest) if interest != connection.interest => {
                    connection.interest = interest;
                    let changed = self.common.poller.change(&connection.stream, u64::from(slot), interest);
                    if changed.is_err() {
                        self.close(slot, End::Gone);
                    }
                }
                Ok(_) => {}
            }
        }
    }

    /// What time alone brings: overdue connections, the certificate, accepting again.
    fn sweep(&mut self) {
        let now_ms = self.common.clock.now_ms();
        if now_ms < self.swept_ms + SWEEP_MS {
            return;
        }
        self.swept_ms = now_ms;
        for slot in 0..self.connections.places() {
            let limits = self.admission.limits();
            let overdue = |connection: &mut Connection| connection.overdue(now_ms, limits);
            if let Some(end) = self.connections.at(slot).and_then(overdue) {
                self.close(slot, end);
            }
        }
        if !self.accepting && self.listen(true).is_err() {
            tracing::warn!("the relay still cannot accept connections");
        }
        if let Some(tls) = &self.tls
            && now_ms >= self.certificate_ms + CERTIFICATE_MS
        {
            self.certificate_ms = now_ms;
            tls.look(self.common.clock.unix_s());
        }
    }

    fn close(&mut self, slot: u32, end: End) {
        let Some(mut connection) = self.connections.remove(slot) else {
            return;
        };
        match end {
            End::Gone => {}
            End::Refused(why) => {
                self.refuse(why);
                connection.farewell();
            }
            End::Header(fault) => self.common.edge.headers_refused[fault as usize] += 1,
        }
        if connection.is_unknown() {
            self.admission.leave(connection.counted());
        }
        let at = self.common.at();
        let Common { core, outside, .. } = &mut self.common;
        core.closed(at, &connection.flow, outside);
    }
}

/// What no outsider knows.
fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    SystemRandom::new()
        .fill(&mut seed)
        .expect("the operating system always has a random source");
    seed
}

fn list(connection: &mut Connection, waiting: &mut Vec<u32>) {
    if !connection.listed {
        connection.listed = true;
        waiting.push(Table::slot(connection.flow.connection));
    }
}
