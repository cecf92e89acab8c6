//! What both kinds of worker have: the core, its edge, the rings from the shards, the mailbox, the counters.
//!
//! Invariant: a panic while a packet is worked on costs that packet's flow and nothing else; one anywhere else costs all
//! allocations of the worker. The worker goes on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

use prometheus::local::LocalHistogram;
use udp::{Interest, Poller};

use super::edge::{Outside, Side};
use super::mail::{Letter, Orders, PLACES_PER_PAGE};
use super::nonces::NonceKeys;
use super::pulse::Pulse;
use super::rest::Rest;
use super::ring::{Doorbell, Frame, Reader, next};
use crate::clock::Clock;
use crate::core::{At, Core, Counters, Flow, Outcome, Unusable};
use crate::metrics::{EdgeCounters, Metrics, Seen};

/// What the poller calls the bell.
pub(crate) const BELL: u64 = u64::MAX;
/// What it calls the descriptor of the mode.
pub(crate) const SIDE: u64 = u64::MAX - 1;
/// Frames that are taken out of a shard's ring in one go: past that a send call gains nothing.
pub(crate) const FRAMES_PER_TURN: usize = 256;
/// Letters that are answered between two batches, so that a storm of hang-ups does not hold up media.
pub(crate) const LETTERS_PER_TURN: usize = 64;
/// Nanoseconds between two copies of the counters.
const COPY_EVERY_NS: u64 = 1_000_000_000;
/// Nanoseconds of a millisecond.
const MS: u64 = 1_000_000;

/// Makes another core like the first.
pub(crate) type MakeCore<K> = Box<dyn Fn(At) -> Result<Core<K>, Unusable> + Send>;

/// See the top of this file.
pub(crate) struct Common<S: Side> {
    /// Among all workers.
    pub(crate) number: usize,
    pub(crate) core: Core<S::Kind>,
    pub(crate) make_core: MakeCore<S::Kind>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) outside: Outside<S>,
    /// One per shard.
    pub(crate) rings: Vec<Reader>,
    pub(crate) letters: Receiver<Letter>,
    pub(crate) orders: Arc<Orders>,
    pub(crate) orders_seen: u64,
    pub(crate) doorbell: Doorbell,
    pub(crate) poller: Poller,
    pub(crate) clock: Clock,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) metrics: Metrics,
    pub(crate) delay: LocalHistogram,
    pub(crate) edge: EdgeCounters,
    pub(crate) seen: Seen,
    pub(crate) copied_ns: u64,
    pub(crate) nonces: NonceKeys,
    pub(crate) rest: Rest,
}

impl<S: Side> Common<S> {
    /// Puts the bell and the mode's descriptor into the poller.
    pub(crate) fn listen(&self) -> std::io::Result<()> {
        self.poller.add(self.doorbell.bell(), BELL, Interest::Read)?;
        if let Some(descriptor) = self.outside.side.descriptor() {
            self.poller.add(&descriptor, SIDE, Interest::Read)?;
        }
        Ok(())
    }

    pub(crate) fn at(&self) -> At {
        At {
            now_ns: self.clock.now_ns(),
            unix_s: self.clock.unix_s(),
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits for the poller: not at all when `busy`, else until something comes or is due. Returns how many descriptors
    /// are ready.
    pub(crate) fn wait(&mut self, busy: bool, longest_ms: u64) -> std::io::Result<usize> {
        if busy {
            return self.poller.wait(0);
        }
        let timeout_ms = self.park(longest_ms);
        let ready = self.poller.wait(timeout_ms);
        self.doorbell.unpark();
        ready
    }

    /// From now on whoever writes a frame or a letter rings. Returns how many milliseconds may be waited: none when
    /// something is there already.
    pub(crate) fn park(&mut self, longest_ms: u64) -> i32 {
        let now_ns = self.clock.now_ns();
        self.doorbell.park();
        if self.rings.iter().all(Reader::is_empty) && !self.read_mail(LETTERS_PER_TURN) {
            self.timeout_ms(now_ns, longest_ms)
        } else {
            0
        }
    }

    fn timeout_ms(&self, now_ns: u64, longest_ms: u64) -> i32 {
        let copy = self.copied_ns + COPY_EVERY_NS;
        let due = self.core.wake_at().map_or(copy, |tick| tick.min(copy));
        // Rounded up: a turn too early finds nothing to do.
        let ms = due.saturating_sub(now_ns).div_ceil(MS).min(longest_ms);
        i32::try_from(ms).unwrap_or(i32::MAX)
    }

    /// The bell or the mode's descriptor is ready. False: it was neither.
    pub(crate) fn own(&mut self, token: u64) -> bool {
        match token {
            BELL => self.doorbell.bell().hush(),
            SIDE => {
                let at = self.at();
                S::readable(&mut self.core, at, &mut self.outside);
            }
            _ => return false,
        }
        true
    }

    /// Follows new orders and answers letters. True if there was any letter.
    pub(crate) fn read_mail(&mut self, most: usize) -> bool {
        if let Some(state) = self.orders.changed(&mut self.orders_seen) {
            self.core.drain(state.draining);
            self.core.set_secrets(state.secrets);
        }
        for answered in 0..most {
            let Ok(letter) = self.letters.try_recv() else {
                return answered > 0;
            };
            let at = self.at();
            match letter {
                Letter::CloseLeg(leg) => {
                    self.core.close_leg(at, leg, &mut self.outside);
                }
                Letter::List(from, answer) => {
                    // Nobody waits any more: nothing to do.
                    let _ = answer.send(self.core.list(at, from, PLACES_PER_PAGE));
                    // One page a turn: the next one waits behind media.
                    return true;
                }
                Letter::Kill(id, answer) => {
                    let _ = answer.send(self.core.kill(at, &id, &mut self.outside));
                }
            }
        }
        true
    }

    /// A client's datagram or message. A panic costs its flow.
    pub(crate) fn client(&mut self, at: At, flow: Flow, bytes: &[u8]) -> Outcome {
        let Common { core, outside, .. } = self;
        let work = AssertUnwindSafe(|| core.client(at, flow, bytes, outside));
        catch_unwind(work).unwrap_or_else(|_| {
            self.edge.panics += 1;
            self.pulse.panicked();
            let Common { core, outside, .. } = self;
            if catch_unwind(AssertUnwindSafe(|| core.closed(at, &flow, outside))).is_err() {
                tracing::error!("a flow of the relay could not even be closed after a panic");
            }
            Outcome::Dropped(crate::core::Stage::Gone)
        })
    }

    /// Takes what one shard has sent: `each` is given every frame, wrapped. `bytes` is then what all of them lie in, for
    /// `send`. True if more may wait.
    pub(crate) fn take_frames(
        &mut self,
        shard: usize,
        ready: &mut Vec<(Flow, std::ops::Range<usize>)>,
        send: impl FnOnce(&[u8], &[(Flow, std::ops::Range<usize>)]),
    ) -> bool {
        let at = self.at();
        let Common { core, rings, delay, .. } = self;
        let Some(ring) = rings.get_mut(shard) else {
            return false;
        };
        ready.clear();
        let mut taken = 0;
        ring.take(|bytes| {
            let mut walked = 0;
            while taken < FRAMES_PER_TURN
                && let Some(frame) = next(bytes, &mut walked)
            {
                taken += 1;
                delay.observe(at.now_ns.saturating_sub(frame.written_ns) as f64 / 1e9);
                if let Some(found) = wrap::<S>(core, at, &frame, bytes) {
                    ready.push(found);
                }
            }
            send(bytes, ready);
            walked
        });
        taken == FRAMES_PER_TURN
    }

    /// What is due by time: expiry, legs that have ended, the counters.
    pub(crate) fn tick(&mut self) {
        let at = self.at();
        if self.core.wake_at().is_some_and(|due| due <= at.now_ns) {
            let Common { core, outside, .. } = self;
            if catch_unwind(AssertUnwindSafe(|| core.tick(at, outside))).is_err() {
                self.edge.panics += 1;
                self.pulse.panicked();
            }
        }
        if at.now_ns >= self.copied_ns + COPY_EVERY_NS {
            self.copied_ns = at.now_ns;
            // One that breaks in every turn comes this far too.
            if self.rest.is_well() {
                self.pulse.beat(self.number, at.now_ns);
            }
            self.copy();
            if let Some(key) = self.nonces.due(at.now_ns) {
                self.core.set_nonce_key(key);
            }
        }
    }

    /// After a panic outside of a packet's work: what the core holds may be half done, so another one takes its place, with
    /// an empty table. Clients are answered 437 and allocate again.
    pub(crate) fn restart(&mut self) {
        self.pulse.panicked();
        self.edge.restarts += 1;
        self.rest.struck(self.clock.now_ns());
        tracing::error!(
            worker = self.number,
            "a defect ended all allocations of a worker of the relay; it begins anew"
        );
        self.outside.clear();
        for ring in &mut self.rings {
            // What waits is for allocations that are gone, or is what it broke at. A ring is read in two pieces at most.
            for _ in 0..2 {
                ring.take(|bytes| bytes.len());
            }
        }
        let at = self.at();
        let mut core = match (self.make_core)(at) {
            Ok(core) => core,
            Err(fault) => {
                tracing::error!(%fault, "a worker of the relay goes on with what it had");
                return;
            }
        };
        self.copy();
        self.metrics.lost(&self.seen);
        self.seen.core = Counters::default();
        core.succeeds(u32::try_from(self.edge.restarts).unwrap_or(u32::MAX));
        if let Some(key) = self.nonces.fresh(at.now_ns) {
            core.set_nonce_key(key);
        }
        // It was made with the orders of the start.
        self.orders_seen = Orders::NEVER;
        let broken = std::mem::replace(&mut self.core, core);
        if catch_unwind(AssertUnwindSafe(move || drop(broken))).is_err() {
            tracing::error!("quotas of the relay stay taken after a panic");
        }
    }

    /// Milliseconds that the worker has still to rest behind a defect, rounded up; `None`: it may work.
    pub(crate) fn rest_ms(&self) -> Option<u64> {
        let left_ns = self.rest.left_ns(self.clock.now_ns())?;
        Some(left_ns.div_ceil(MS))
    }

    /// Rests, if it has to, until the time is over or somebody rings, and answers letters; true if it did. What comes
    /// meanwhile stays with the kernel, and what is too much is lost there. For a thread that only this worker has.
    pub(crate) fn sleep(&mut self) -> std::io::Result<bool> {
        let Some(left_ms) = self.rest_ms() else {
            return Ok(false);
        };
        self.doorbell.park();
        if !self.read_mail(LETTERS_PER_TURN) {
            let timeout_ms = i32::try_from(left_ms).unwrap_or(i32::MAX);
            udp::wait(&[], self.doorbell.bell(), timeout_ms)?;
        }
        self.doorbell.unpark();
        Ok(true)
    }

    /// Brings the counters to Prometheus.
    pub(crate) fn copy(&mut self) {
        self.edge.ring = self.rings.iter().map(Reader::full).sum();
        let now = Seen {
            core: *self.core.counters(),
            edge: EdgeCounters {
                send: self.edge.send + self.outside.side.refused(),
                ..self.edge
            },
        };
        self.metrics.add(&self.seen, &now);
        self.seen = now;
        self.delay.flush();
    }
}

/// One frame, wrapped where it lies; its place in `bytes`.
fn wrap<S: Side>(
    core: &mut Core<S::Kind>,
    at: At,
    frame: &Frame,
    bytes: &mut [u8],
) -> Option<(Flow, std::ops::Range<usize>)> {
    let whole = bytes.get_mut(frame.range())?;
    let wrapped = S::from_shard(core, at, frame.path, whole, frame.len).ok()?;
    let start = frame.start;
    Some((wrapped.flow, start + wrapped.range.start..start + wrapped.range.end))
}
