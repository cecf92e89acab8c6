//! What the core asks of its worker: answers, randomness, legs; and shards or sockets, by mode.
//!
//! Answers are collected and sent when the batch is over.

use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use ports::{Accepted, FromRelay, LegId, LegState, RelayLegs, RelayPath, RelaySink};
use ring::rand::{SecureRandom, SystemRandom};

use crate::core::{At, Core, Edge, Flow, Peers, Shards, Stage, Virtual, Wrapped};

/// What an outgoing message is worth to a client that reads too slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// An answer: always.
    Always,
    /// Media: while it is fresh.
    Fresh,
}

/// What goes out at the end of a batch, back to back in one buffer that is kept.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    bytes: Vec<u8>,
    list: Vec<(Flow, Kept, Range<usize>)>,
}

impl Replies {
    pub(crate) fn push(&mut self, flow: Flow, kept: Kept, bytes: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.list.push((flow, kept, start..self.bytes.len()));
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn get(&self, index: usize) -> Option<(&Flow, Kept, &[u8])> {
        let (flow, kept, range) = self.list.get(index)?;
        Some((flow, *kept, self.bytes.get(range.clone())?))
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.list.clear();
    }
}

/// What a mode adds to its worker: [`Sinks`] or [`super::peers::Sockets`].
pub(crate) trait Side: Send + Sized + 'static {
    /// The core's own part of the mode.
    type Kind: Peers<Outside<Self>> + Send + 'static;

    /// A frame out of a shard's ring.
    fn from_shard(
        core: &mut Core<Self::Kind>,
        at: At,
        path: RelayPath,
        frame: &mut [u8],
        len: usize,
    ) -> Result<Wrapped, Stage>;

    /// What the worker must wait for besides its own, if anything.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;

    /// That descriptor is ready.
    fn readable(core: &mut Core<Self::Kind>, at: At, outside: &mut Outside<Self>);

    /// A batch is over.
    fn flush(&mut self);

    /// Every allocation is gone at once, without having been freed one by one.
    fn clear(&mut self);

    /// Datagrams that the kernel refused, since the start.
    fn refused(&self) -> u64;
}

/// The edge of one worker. `S` is what its mode adds.
pub(crate) struct Outside<S> {
    pub(crate) replies: Replies,
    /// Flows whose allocations have ended in this batch.
    pub(crate) freed: Vec<Flow>,
    pub(crate) side: S,
    random: SystemRandom,
    legs: Arc<dyn RelayLegs>,
}

impl<S: Side> Outside<S> {
    /// What the batch has brought so far is thrown away, and so is what the mode knows of allocations.
    pub(crate) fn clear(&mut self) {
        self.replies.clear();
        self.freed.clear();
        self.side.clear();
    }
}

impl<S> Outside<S> {
    pub(crate) fn new(side: S, legs: Arc<dyn RelayLegs>) -> Outside<S> {
        Outside {
            replies: Replies::default(),
            freed: Vec::new(),
            side,
            random: SystemRandom::new(),
            legs,
        }
    }
}

impl<S> Edge for Outside<S> {
    fn reply(&mut self, flow: &Flow, bytes: &[u8]) {
        self.replies.push(*flow, Kept::Always, bytes);
    }

    fn random(&mut self, bytes: &mut [u8]) {
        // Without randomness ports and transactions could be guessed: better no answer, which the worker catches.
        self.random
            .fill(bytes)
            .expect("the operating system always has a random source");
    }

    fn leg_state(&self, leg: LegId) -> LegState {
        self.legs.state(leg)
    }

    fn freed(&mut self, flow: &Flow) {
        self.freed.push(*flow);
    }
}

/// Virtual mode: the rings to the shards.
pub(crate) struct Sinks {
    sinks: Vec<Box<dyn RelaySink>>,
    /// Those that got something in this batch.
    used: Vec<bool>,
}

impl Sinks {
    pub(crate) fn new(sinks: Vec<Box<dyn RelaySink>>) -> Sinks {
        Sinks {
            used: vec![false; sinks.len()],
            sinks,
        }
    }
}

impl Side for Sinks {
    type Kind = Virtual;

    fn from_shard(
        core: &mut Core<Virtual>,
        at: At,
        path: RelayPath,
        frame: &mut [u8],
        len: usize,
    ) -> Result<Wrapped, Stage> {
        core.from_shard(at, path, frame, len)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn readable(_: &mut Core<Virtual>, _: At, _: &mut Outside<Sinks>) {}

    fn flush(&mut self) {
        for (sink, used) in self.sinks.iter_mut().zip(&mut self.used) {
            if std::mem::take(used) {
                sink.flush();
            }
        }
    }

    fn clear(&mut self) {
        self.used.fill(false);
    }

    fn refused(&self) -> u64 {
        0
    }
}

impl Shards for Outside<Sinks> {
    fn deliver(&mut self, shard: usize, packet: FromRelay<'_>) -> Accepted {
        let Sinks { sinks, used } = &mut self.side;
        let (Some(sink), Some(used)) = (sinks.get_mut(shard), used.get_mut(shard)) else {
            return Accepted::Gone;
        };
        *used = true;
        sink.deliver(packet)
    }
}
