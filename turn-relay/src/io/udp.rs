//! A worker that reads UDP: takes what the kernel has, asks the core, sends what is to be sent, waits. In a thread of its
//! own, or as the guest of a shard's.
//!
//! Invariant: a datagram goes only to a client's flow that the core named.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use std::os::fd::{AsFd, BorrowedFd};

use ports::{GuestRead, RelayGuest, Via};
use udp::{Batch, HEADROOM_BYTES, Interest, Locals, Outgoing, Socket};

use super::edge::Side;
use super::worker::{Common, FRAMES_PER_TURN, LETTERS_PER_TURN};
use crate::core::{Core, Flow, Outcome};

/// Datagrams per system call.
pub(crate) const BATCH: usize = 64;
/// Requests of strangers that the guest of a shard works on out of a batch that came full, which means that more wait behind
/// it; a stranger is who asks by a flow without an allocation. Most of what a request costs is its answer, the kernel's
/// sending above all: so under a flood more is read in the same time, and whoever relays media comes through. A batch that is
/// not full has been all there was, and everybody in it is answered.
/// Higher: a flood takes more of the shard's thread. Lower: who comes anew during one must ask more often.
pub(crate) const STRANGERS_PER_FULL_BATCH: usize = BATCH / 4;
/// Longest wait in milliseconds: the counters go out every second.
const WAIT_MS: u64 = 1_000;

/// First bytes of STUN are no higher (RFC 7983 §7); the next that a client may send begin ChannelData.
const STUN_FIRST_MAX: u8 = 3;

/// See the top of this file.
pub(crate) struct UdpWorker<S: Side> {
    pub(crate) common: Common<S>,
    /// In the order of [`Flow::local`].
    pub(crate) sockets: Vec<Socket>,
    batch: Batch,
    /// Which of the machine's addresses clients have come to.
    locals: Locals,
    /// What one look into a ring has found; kept for its memory.
    frames: Vec<(Flow, Range<usize>)>,
}

impl<S: Side> UdpWorker<S> {
    pub(crate) fn new(common: Common<S>, sockets: Vec<Socket>) -> UdpWorker<S> {
        UdpWorker {
            common,
            sockets,
            batch: Batch::new(BATCH),
            locals: Locals::default(),
            frames: Vec::with_capacity(FRAMES_PER_TURN),
        }
    }

    /// Works until told to stop.
    pub(crate) fn run(mut self) {
        if let Err(fault) = self.listen() {
            tracing::error!(%fault, "the relay cannot wait for datagrams");
            return;
        }
        let mut busy = false;
        while !self.common.is_stopped() {
            match self.contain(|worker| worker.live(busy)) {
                Some(Ok(more)) => busy = more,
                Some(Err(fault)) => {
                    tracing::error!(%fault, "the relay cannot wait for datagrams any more");
                    return;
                }
                None => busy = true,
            }
        }
        self.common.copy();
    }

    /// Does a part of a turn. After a panic the worker has begun anew, and there is no answer.
    fn contain<T>(&mut self, work: impl FnOnce(&mut UdpWorker<S>) -> T) -> Option<T> {
        let done = catch_unwind(AssertUnwindSafe(|| work(self)));
        if done.is_err() {
            self.common.restart();
        }
        done.ok()
    }

    /// A turn, or a part of a rest.
    fn live(&mut self, busy: bool) -> std::io::Result<bool> {
        if self.common.sleep()? {
            return Ok(true);
        }
        self.turn(busy)
    }

    /// Waits unless `busy`, and does what there is. True if more may wait.
    fn turn(&mut self, busy: bool) -> std::io::Result<bool> {
        let ready = self.common.wait(busy, WAIT_MS)?;
        let mut more = self.common.read_mail(1);
        for index in 0..ready {
            let Some(ready) = self.common.poller.ready(index) else {
                continue;
            };
            if !self.common.own(ready.token) {
                more |= self.receive(ready.token as usize, BATCH).datagrams == self.batch.size();
            }
        }
        more |= self.end_turn();
        Ok(more)
    }

    /// Sends what the shards have written and what is to be answered, and does what is due. True if more may wait.
    fn end_turn(&mut self) -> bool {
        let mut more = false;
        for shard in 0..self.common.rings.len() {
            more |= self.take_frames(shard);
        }
        self.common.tick();
        self.send_replies();
        self.common.outside.freed.clear();
        self.common.outside.side.flush();
        more
    }

    fn listen(&self) -> std::io::Result<()> {
        self.common.listen()?;
        for (local, socket) in self.sockets.iter().enumerate() {
            self.common.poller.add(socket, local as u64, Interest::Read)?;
        }
        Ok(())
    }

    /// One batch from one socket; of one that came full, `strangers` requests of strangers at most.
    fn receive(&mut self, local: usize, strangers: usize) -> GuestRead {
        let received = self.read_batch(local);
        let mut read = GuestRead {
            datagrams: received,
            strangers: 0,
        };
        let at = self.common.at();
        let full = received == self.batch.size();
        let mut left = if full { strangers } else { usize::MAX };
        for index in 0..received {
            let Some((remote, len)) = self.batch.received(index) else {
                self.common.edge.receive += 1;
                read.strangers += 1;
                continue;
            };
            let flow = Flow {
                via: Via::Udp,
                local: local as u8,
                remote,
                connection: self.locals.number(self.batch.destination(index)).into(),
            };
            let datagram = &self.batch.slot(index)[HEADROOM_BYTES..HEADROOM_BYTES + len];
            // Only a request may cost much; of everything else the core knows at once whose it is.
            let asks = datagram.first().is_some_and(|first| *first <= STUN_FIRST_MAX);
            let known = asks && self.common.core.holds(&flow);
            if asks && !known {
                let Some(one_less) = left.checked_sub(1) else {
                    self.common.core.passed_over();
                    read.strangers += 1;
                    continue;
                };
                left = one_less;
            }
            let outcome = self.common.client(at, flow, datagram);
            read.strangers += usize::from(!known && outcome != Outcome::Relayed);
        }
        read
    }

    fn read_batch(&mut self, local: usize) -> usize {
        let Some(socket) = self.sockets.get(local) else {
            return 0;
        };
        self.batch.receive(socket, 0).unwrap_or_else(|_| {
            // What is wrong with a socket is seen in the counter; it is tried again as long as we live.
            self.common.edge.receive += 1;
            0
        })
    }

    fn take_frames(&mut self, shard: usize) -> bool {
        let UdpWorker {
            common,
            sockets,
            batch,
            frames,
            locals,
        } = self;
        let mut refused = 0;
        let more = common.take_frames(shard, frames, |bytes, ready| {
            let get = |n: usize| {
                let (flow, range) = ready.get(n)?;
                Some((flow, bytes.get(range.clone())?))
            };
            refused = send(sockets, batch, locals, ready.len(), get);
        });
        common.edge.send += refused;
        more
    }

    fn send_replies(&mut self) {
        let UdpWorker {
            common,
            sockets,
            batch,
            locals,
            ..
        } = self;
        let replies = &common.outside.replies;
        let get = |n: usize| replies.get(n).map(|(flow, _, bytes)| (flow, bytes));
        common.edge.send += send(sockets, batch, locals, replies.len(), get);
        common.outside.replies.clear();
    }
}

/// In the thread of the only shard: the same turn, in pieces, each contained as the turn of a thread is.
impl<S: Side> RelayGuest for UdpWorker<S>
where
    Core<S::Kind>: Send,
{
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let sockets = self.sockets.iter().map(AsFd::as_fd);
        sockets.chain([self.common.doorbell.bell().as_fd()]).collect()
    }

    fn read(&mut self, descriptor: usize) -> GuestRead {
        if descriptor >= self.sockets.len() {
            self.common.doorbell.bell().hush();
            return GuestRead::default();
        }
        if self.common.rest_ms().is_some() {
            // Read all the same: what stays would wake the host again and again.
            let datagrams = self.read_batch(descriptor);
            self.common.edge.rest += datagrams as u64;
            return GuestRead {
                datagrams,
                strangers: datagrams,
            };
        }
        let read = self.contain(|worker| {
            let read = worker.receive(descriptor, STRANGERS_PER_FULL_BATCH);
            worker.common.outside.side.flush();
            worker.send_replies();
            read
        });
        read.unwrap_or_default()
    }

    fn write(&mut self) -> bool {
        if self.common.is_stopped() {
            self.common.copy();
            return false;
        }
        if self.common.rest_ms().is_some() {
            self.contain(|worker| worker.common.read_mail(LETTERS_PER_TURN));
            return true;
        }
        self.contain(|worker| {
            worker.common.read_mail(LETTERS_PER_TURN);
            // Comes to an end: who fills the ring is this thread.
            while worker.end_turn() {}
        });
        true
    }

    fn park(&mut self) -> u32 {
        if let Some(left_ms) = self.common.rest_ms() {
            // What waits in the rings is for allocations that are gone.
            return u32::try_from(left_ms.min(WAIT_MS)).unwrap_or(u32::MAX);
        }
        // After a panic there is much to do.
        self.contain(|worker| worker.common.park(WAIT_MS).unsigned_abs())
            .unwrap_or(0)
    }

    fn unpark(&mut self) {
        self.common.doorbell.unpark();
    }
}

/// Sends `count` datagrams, each from the socket and the address that its flow came to; returns how many the kernel
/// refused.
fn send<'a>(
    sockets: &[Socket],
    batch: &mut Batch,
    locals: &Locals,
    count: usize,
    get: impl Fn(usize) -> Option<(&'a Flow, &'a [u8])>,
) -> u64 {
    if count == 0 {
        return 0;
    }
    let mut refused = 0;
    for (local, socket) in sockets.iter().enumerate() {
        refused += batch.send_from(socket, count, |n, _| {
            let (flow, bytes) = get(n)?;
            let to = flow.remote;
            let from = || locals.address(u8::try_from(flow.connection).ok()?);
            (usize::from(flow.local) == local).then(|| (Outgoing { bytes, to }, from()))
        });
    }
    refused as u64
}
