//! A shard's thread: sockets and clock around the pure engine.
//!
//! Takes what the kernel has, hands it to the engine, sends what the engine says, waits. Never blocks on anybody but
//! the kernel's `epoll_wait`: a full queue to the helper or to the control thread keeps its content in the engine's own.
//!
//! Invariant: a panic while a datagram is worked on ends one leg; the batch goes on behind it.

mod gathering;
pub mod latency;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};

use media_core::command::{Command, Refused};
use media_core::counters::{Second, Totals};
use media_core::event::{Cause, Event, Kind, Summary};
use media_core::origin::{Local, Wire};
use media_core::shard::{Ended, Job, Place, Shard, Slot};
use media_core::tap::TapSink;
use media_core::{LegId, RoomId};
use udp::{Batch, Bell, Interest, Locals, Outgoing, Pause, Poller, Socket};

use crate::clock::Clock;
use crate::relay;
use gathering::Gathering;
use latency::Latency;

/// Commands waiting for a shard: a second of joins at full rate.
pub const COMMANDS_MAX: usize = 1_024;
/// Reports waiting for the control thread: two rows of every leg of a full shard, twice.
pub const REPORTS_MAX: usize = 16_384;
/// Commands taken between two batches, so that a storm of joins cannot hold up the audio.
const COMMANDS_PER_TURN: usize = 64;
/// Milliseconds between two looks when something could not be handed on.
const RETRY_MS: i32 = 5;
/// Longest wait in milliseconds: the totals go out every second.
const WAIT_MAX_MS: i32 = 250;
/// What the poller calls the bell; a socket is called by its place, the relay's from [`relay::GUEST`] on.
const BELL: u64 = 32;
/// Descriptors that one wait reports: more than a shard has.
const READY_MAX: usize = 32;
/// Datagrams of a batch from which on looking ahead pays: with fewer there is little that can be fetched together.
const FORESEE_FROM: usize = 3;
/// Nanoseconds for which rows are gathered before they are handed on, unless there is something else to say: the thread that
/// takes them sleeps in between, and with 2,000 legs it would be woken for two rows at a time, 2,000 times a second. Higher:
/// live views are late. Lower: wake-ups that the voices pay for.
const ROWS_EVERY: u64 = 50_000_000;
/// Nanoseconds between two copies of the totals.
const TOTALS_EVERY: u64 = 1_000_000_000;

/// What a shard tells the control thread.
#[derive(Debug)]
pub enum Report {
    /// Something happened to a leg or room.
    Event(Event),
    /// A transport is no more, and its leg goes on.
    Ended(Ended),
    /// One second of one leg in one direction.
    Second(Second),
    /// Totals since the start.
    Totals(Box<Totals>, Gauges),
}

/// What stands beside the totals.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gauges {
    /// Living legs.
    pub legs: usize,
    /// Living rooms.
    pub rooms: usize,
    /// Living transports.
    pub transports: usize,
    /// Datagrams that the kernel refused to send.
    pub send_refused: u64,
    /// Reads that failed.
    pub receive_failed: u64,
    /// Datagrams that the engine had to send.
    pub sent: u64,
    /// Longest time since the last copy that a datagram may have waited to be worked on, nanoseconds.
    pub delay_ns: u64,
    /// What lay between two reads at least, because the thread has much to do, nanoseconds.
    pub gather_ns: u64,
    /// How long forwarded packets were on their way.
    pub latency: Latency,
    /// What came and went through the relay.
    pub relay: relay::Figures,
    /// Most handshake jobs since the last copy that found the helper's queue full.
    pub handshakes: usize,
}

/// Everything a shard's thread owns.
pub struct Worker<T> {
    /// The engine.
    pub shard: Shard,
    /// One or two sockets, one per address family.
    pub sockets: Vec<Socket>,
    /// Buffers.
    pub batch: Batch,
    /// The machine's addresses that clients have come to, while a socket is bound to all of them.
    pub locals: Locals,
    /// Rung when a command waits.
    pub bell: Bell,
    /// What the thread waits by; made by [`poller`].
    pub poller: Poller,
    /// Commands from the plane and from the helper.
    pub commands: Receiver<Command>,
    /// To the handshake helper.
    pub jobs: SyncSender<Job>,
    /// To the control thread, with this shard's number.
    pub reports: SyncSender<(usize, Report)>,
    /// Ends of legs and transports that the engine did not take; no more than offers that were answered.
    pub refused: VecDeque<Report>,
    /// Number of this shard.
    pub number: usize,
    /// The recorder's ring.
    pub tap: T,
    /// The relay of this process, if there is one.
    pub(crate) relay: relay::Side,
    /// The clock.
    pub clock: Clock,
    /// Set to end the thread.
    pub stop: Arc<AtomicBool>,
}

/// Waits for a shard's sockets and its bell.
///
/// # Errors
/// What the kernel says, when descriptors are used up.
pub fn poller(sockets: &[Socket], bell: &Bell) -> std::io::Result<Poller> {
    let poller = Poller::new(READY_MAX)?;
    for (socket, token) in sockets.iter().zip(0..) {
        poller.add(socket, token, Interest::Read)?;
    }
    poller.add(bell, BELL, Interest::Read)?;
    Ok(poller)
}

/// What a wait has found, a bit each.
#[derive(Clone, Copy, Default)]
struct Ready {
    sockets: u64,
    guest: u64,
}

/// What waits because a queue was full.
#[derive(Default)]
struct Held {
    job: Option<Job>,
    report: Option<Report>,
    gauges: Gauges,
    totals_at: u64,
    rows_at: u64,
}

impl<T: TapSink> Worker<T> {
    /// Works until told to stop.
    pub fn run(mut self) {
        let mut held = Held::default();
        let mut gathering = Gathering::default();
        let pause = Pause::of_this_thread();
        let mut first = 0;
        // Since when what comes may have been waiting in the socket; `None` while the thread was waiting itself.
        let mut emptied = None;
        let mut pause_ms = 0;
        let mut forwarded = 0;
        let mut ended = self.clock.now_ns();
        while !self.stop.load(Ordering::Relaxed) {
            let ready = self.wait(pause_ms);
            let waited = pause_ms > 0;
            if waited {
                emptied = None;
                ended = self.clock.now_ns();
            }
            let sent = held.gauges.sent;
            let received = self.receive(first, ready, &mut held.gauges);
            first = (first + 1) % self.sockets.len().max(1);
            let now = self.clock.now_ns();
            let more = self.take_commands(now, &mut held.gauges);
            self.relay.look_for_links(&self.poller);
            let clock = self.clock;
            let guest = self.relay.read(ready.guest, || clock.now_ns());
            self.take_datagrams(now, received, &mut held.gauges);
            self.take_relayed(now, &mut held.gauges);
            self.tick(now, &mut held.gauges);
            self.flush(&mut held.gauges);
            self.relay.write(&self.poller);
            let done = self.clock.now_ns();
            let own = received > 0 || more || !self.relay.arrived().is_empty() || held.gauges.sent > sent;
            // A turn begins where the one before has ended, but for the time that the thread slept.
            self.relay.spent(guest, (!own).then_some(done.saturating_sub(ended)));
            gathering.turn(ended, done);
            held.gauges.gather_ns = gathering.wait_ns();
            ended = done;
            let before = std::mem::replace(&mut forwarded, self.shard.totals().rtp_forwarded);
            held.gauges.latency.add(forwarded - before, done.saturating_sub(now));
            held.gauges.delay_ns = held.gauges.delay_ns.max(done.saturating_sub(emptied.unwrap_or(now)));
            self.hand_on(now, &mut held);
            let drained = received < self.batch.size();
            if drained {
                emptied = Some(now);
            }
            pause_ms = 0;
            if !drained || more || self.relay.may_have_more() {
                continue;
            }
            match gathering.left(now, done).filter(|_| own) {
                // Not parked: whoever has something for the thread need not ring, it comes back in a moment.
                Some(left) => {
                    pause.wait(left);
                    ended = self.clock.now_ns();
                }
                None => pause_ms = self.park(done, &held),
            }
        }
    }

    /// Fills the buffers from the sockets that have something, beginning with another one each turn.
    fn receive(&mut self, first: usize, ready: Ready, gauges: &mut Gauges) -> usize {
        let mut received = 0;
        for n in 0..self.sockets.len() {
            let place = (first + n) % self.sockets.len();
            if ready.sockets & 1 << place == 0 {
                continue;
            }
            let socket = &self.sockets[place];
            match self.batch.receive(socket, received) {
                Ok(more) => received += more,
                Err(_) => gauges.receive_failed += 1,
            }
        }
        received
    }

    /// True when more commands may wait.
    fn take_commands(&mut self, now: u64, gauges: &mut Gauges) -> bool {
        for _ in 0..COMMANDS_PER_TURN {
            let Ok(command) = self.commands.try_recv() else {
                return false;
            };
            let added = if let Command::AddLeg(add) = &command {
                Some((add.room, add.leg))
            } else {
                None
            };
            let attached = if let Command::Attach { leg, transport } = &command {
                Some(Ended {
                    leg: *leg,
                    transport: transport.id,
                })
            } else {
                None
            };
            let shard = &mut self.shard;
            match catch_unwind(AssertUnwindSafe(|| shard.command(now, command))) {
                Ok(Ok(())) => {}
                Ok(Err(refused)) => self.not_done(now, refused, added, attached),
                Err(_) => {
                    let buried = self.bury(now);
                    // A leg that broke before it was in the tables is told by nobody else.
                    if let Some((room, leg)) = added.filter(|(_, leg)| buried != Some(*leg)) {
                        self.never_was(now, room, leg, Cause::Panic);
                    }
                }
            }
            if self.shard.must_flush() {
                self.flush(gauges);
            }
        }
        true
    }

    /// The engine has refused a command. Of a leg or a transport that it did not take others believe that it lives: its
    /// answer went out before, and the engine will report no end of it.
    fn not_done(&mut self, now: u64, refused: Refused, added: Option<(RoomId, LegId)>, attached: Option<Ended>) {
        tracing::debug!(shard = self.number, %refused, "command refused");
        self.refused.extend(attached.map(Report::Ended));
        let Some((room, leg)) = added.filter(|_| refused != Refused::LegExists) else {
            return;
        };
        self.never_was(now, room, leg, Cause::Limit);
    }

    /// Tells the end of a leg that the engine does not have.
    fn never_was(&mut self, now: u64, room: RoomId, leg: LegId, cause: Cause) {
        self.refused.push_back(Report::Event(Event {
            room,
            // The outbox numbers events anew, and the engine has numbered none for this one.
            seq: 0,
            at: now,
            kind: Kind::LegDown {
                leg,
                cause,
                summary: Summary::default(),
            },
        }));
    }

    fn take_datagrams(&mut self, now: u64, received: usize, gauges: &mut Gauges) {
        let mut next = 0;
        while next < received {
            let Worker {
                shard,
                batch,
                locals,
                sockets,
                tap,
                relay,
                ..
            } = self;
            let batch_done = catch_unwind(AssertUnwindSafe(|| {
                while next < received {
                    let index = next;
                    next += 1;
                    if received >= FORESEE_FROM {
                        let sender = |n| arrived(batch, locals, n).map(|(from, _)| from);
                        shard.foresee(index, received, sender, udp::prefetch);
                    }
                    let Some((from, len)) = arrived(batch, locals, index) else {
                        continue;
                    };
                    let slot = Slot {
                        index: index as u16,
                        buffer: batch.slot_mut(index),
                        len,
                    };
                    shard.datagram(now, from, slot, tap);
                    if shard.must_flush() {
                        flush(batch, locals, shard, sockets, relay, gauges);
                    }
                }
            }));
            if batch_done.is_err() {
                self.bury(now);
            }
        }
    }

    /// The same with what the relay has: its buffers have numbers behind those of the sockets.
    fn take_relayed(&mut self, now: u64, gauges: &mut Gauges) {
        self.relay.receive(now);
        let received = self.relay.arrived().len();
        let mut next = 0;
        while next < received {
            let Worker {
                shard,
                batch,
                locals,
                sockets,
                tap,
                relay,
                ..
            } = self;
            let batch_done = catch_unwind(AssertUnwindSafe(|| {
                while let Some(arrived) = relay.arrived().get(next).copied() {
                    let index = next;
                    next += 1;
                    if received >= FORESEE_FROM {
                        let sender = |n: usize| relay.arrived().get(n).map(|arrived| arrived.from.path);
                        shard.foresee(index, received, sender, udp::prefetch);
                    }
                    let slot = Slot {
                        index: (relay::FIRST_SLOT + index) as u16,
                        buffer: relay.slot_mut(index),
                        len: arrived.len,
                    };
                    shard.relayed(now, arrived.from, slot, tap);
                    if shard.must_flush() {
                        flush(batch, locals, shard, sockets, relay, gauges);
                    }
                }
            }));
            if batch_done.is_err() {
                self.bury(now);
            }
        }
    }

    fn tick(&mut self, now: u64, gauges: &mut Gauges) {
        loop {
            let shard = &mut self.shard;
            if catch_unwind(AssertUnwindSafe(|| shard.tick(now))).is_err() {
                self.bury(now);
            }
            if !self.shard.must_flush() {
                return;
            }
            self.flush(gauges);
        }
    }

    /// After a panic: the leg goes, everybody else stays. Which one it was, if somebody was being worked on.
    fn bury(&mut self, now: u64) -> Option<LegId> {
        let gone = self.shard.remove_after_panic(now);
        let leg = gone.map(|leg| uuid::Uuid::from_u128(leg.0));
        tracing::error!(shard = self.number, ?leg, "a defect ended a leg");
        gone
    }

    fn flush(&mut self, gauges: &mut Gauges) {
        let Worker {
            shard,
            batch,
            locals,
            sockets,
            relay,
            ..
        } = self;
        flush(batch, locals, shard, sockets, relay, gauges);
    }

    fn hand_on(&mut self, now: u64, held: &mut Held) {
        while let Some(job) = held.job.take().or_else(|| self.shard.poll_job()) {
            if let Err(TrySendError::Full(job)) = self.jobs.try_send(job) {
                held.job = Some(job);
                break;
            }
        }
        held.gauges.handshakes = held.gauges.handshakes.max(self.shard.jobs_waiting());
        if now >= held.totals_at && held.report.is_none() {
            held.totals_at = now + TOTALS_EVERY;
            held.gauges.legs = self.shard.legs();
            held.gauges.rooms = self.shard.rooms();
            held.gauges.transports = self.shard.transports();
            held.gauges.relay = self.relay.figures();
            held.report = Some(Report::Totals(Box::new(*self.shard.totals()), held.gauges));
            (held.gauges.delay_ns, held.gauges.handshakes) = (0, 0);
        }
        let rows = now >= held.rows_at || held.report.is_some() || self.shard.has_news();
        if rows {
            held.rows_at = now + ROWS_EVERY;
        }
        loop {
            let report = held.report.take();
            let report = report.or_else(|| self.refused.pop_front());
            let report = report.or_else(|| self.shard.poll_event().map(Report::Event));
            let report = report.or_else(|| self.shard.poll_ended().map(Report::Ended));
            let report = if report.is_none() && rows {
                self.shard.poll_second().map(Report::Second)
            } else {
                report
            };
            let Some(report) = report else { return };
            if let Err(TrySendError::Full((_, report))) = self.reports.try_send((self.number, report)) {
                held.report = Some(report);
                return;
            }
        }
    }

    /// Before a wait: how many milliseconds it may take. From now on whoever has something rings.
    fn park(&mut self, now: u64, held: &Held) -> i32 {
        let due = self.shard.wake_at().map_or(WAIT_MAX_MS, |at| {
            let ms = at.saturating_sub(now).div_ceil(1_000_000);
            i32::try_from(ms).unwrap_or(WAIT_MAX_MS).min(WAIT_MAX_MS)
        });
        let due = if held.job.is_some() || held.report.is_some() {
            due.min(RETRY_MS)
        } else if self.shard.seconds_waiting() > 0 {
            due.min(held.rows_at.saturating_sub(now).div_ceil(1_000_000) as i32)
        } else {
            due
        };
        self.relay.park(due)
    }

    /// Waits; tells what has come.
    fn wait(&mut self, pause_ms: i32) -> Ready {
        let waited = self.poller.wait(pause_ms);
        self.relay.unpark();
        let found = waited.unwrap_or_else(|fault| {
            tracing::error!(shard = self.number, %fault, "waiting for datagrams failed");
            0
        });
        let mut ready = Ready::default();
        for one in (0..found).filter_map(|index| self.poller.ready(index)) {
            match one.token {
                BELL => self.bell.hush(),
                socket if socket < BELL => ready.sockets |= 1 << socket,
                guest => ready.guest |= 1 << (guest - relay::GUEST),
            }
        }
        ready
    }
}

/// The way that received datagram `index` came, and its length; `None` for what nobody can want.
#[inline]
fn arrived(batch: &Batch, locals: &mut Locals, index: usize) -> Option<(Wire, usize)> {
    let (from, len) = batch.received(index)?;
    let local = Local::new(locals.number(batch.destination(index)));
    Some((Wire::new(from, local), len))
}

/// Sends what the engine has ready, each datagram by the socket of its family, from the address that was asked, or by its
/// way through the relay.
fn flush(
    batch: &mut Batch,
    locals: &Locals,
    shard: &mut Shard,
    sockets: &[Socket],
    relay: &mut relay::Side,
    gauges: &mut Gauges,
) {
    gauges.sent += shard.transmissions().len() as u64;
    let behind_relay = shard.relay_bound();
    if behind_relay > 0 {
        flush_relay(batch, shard, relay);
    }
    let transmissions = shard.transmissions();
    if behind_relay == transmissions.len() {
        shard.flushed();
        return;
    }
    for socket in sockets {
        let v4 = socket.local().is_ipv4();
        let (engine, behind) = (&*shard, &*relay);
        let refused = batch.send_from(socket, transmissions.len(), |n, slots| {
            let transmission = engine.transmissions().get(n)?;
            let way = transmission.to.wire().filter(|way| way.is_ipv4() == v4)?;
            let slot: &[u8] = match transmission.place {
                Place::Slot(index) => match usize::from(index).checked_sub(relay::FIRST_SLOT) {
                    None => slots.slot(usize::from(index)),
                    Some(frame) => behind.slot(frame),
                },
                Place::Arena(_) => &[],
            };
            let datagram = Outgoing {
                bytes: engine.bytes(transmission, slot),
                to: way.remote(),
            };
            Some((datagram, locals.address(way.local().number())))
        });
        gauges.send_refused += refused as u64;
    }
    shard.flushed();
}

/// Hands what is for clients behind the relay to its workers; each of them is woken at most once. A way that is no more is
/// not sent over again.
fn flush_relay(batch: &Batch, shard: &mut Shard, relay: &mut relay::Side) {
    let (buffers, ways) = relay.parts();
    for transmission in shard.transmissions() {
        let Some(path) = transmission.to.path() else { continue };
        let slot = match transmission.place {
            Place::Slot(index) => match usize::from(index).checked_sub(relay::FIRST_SLOT) {
                None => batch.slot(usize::from(index)),
                Some(frame) => relay::slot(buffers, frame),
            },
            Place::Arena(_) => &[],
        };
        ways.send(path, shard.bytes(transmission, slot));
    }
    ways.flush();
    for path in ways.take_gone() {
        shard.path_gone(path);
    }
}

#[cfg(test)]
mod queues;
#[cfg(test)]
mod tests;
