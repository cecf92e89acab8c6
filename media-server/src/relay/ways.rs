//! The ways back to the relay's clients, as one shard has them.
//!
//! Invariant: a packet is handed to the worker that its path names, or to nobody.

use media_core::origin::Path;
use ports::{Accepted, RelayEgress};

use crate::convert;

/// Ways that one batch may report as gone: more than a shard has packets of one room for. What is not kept is found gone
/// again with the next packet for it.
pub(super) const GONE_MAX: usize = 64;

struct Way {
    egress: Box<dyn RelayEgress>,
    /// Something was handed over since the last flush.
    used: bool,
}

/// What became of packets so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) sent: u64,
    pub(crate) full: u64,
    pub(crate) gone: u64,
    pub(crate) no_way: u64,
}

/// See the top of this file.
#[derive(Default)]
pub(crate) struct Ways {
    ways: Vec<Way>,
    /// Found gone since the last look, at most [`GONE_MAX`].
    gone: Vec<Path>,
    counted: Counted,
}

impl Ways {
    /// One per worker, in the order of the workers; those before are gone.
    pub(crate) fn attach(&mut self, egresses: Vec<Box<dyn RelayEgress>>) {
        let ways = egresses.into_iter().map(|egress| Way { egress, used: false });
        self.ways = ways.collect();
        self.gone = Vec::with_capacity(GONE_MAX);
    }

    /// Hands over one packet.
    pub(crate) fn send(&mut self, path: Path, payload: &[u8]) {
        let out = convert::path_out(path);
        let Some(way) = self.ways.get_mut(usize::from(out.worker)) else {
            self.counted.no_way += 1;
            return;
        };
        match way.egress.transmit(out, payload) {
            Accepted::Taken => {
                way.used = true;
                self.counted.sent += 1;
            }
            Accepted::Full => self.counted.full += 1,
            Accepted::Gone => {
                self.counted.gone += 1;
                if self.gone.len() < GONE_MAX && self.gone.last() != Some(&path) {
                    self.gone.push(path);
                }
            }
        }
    }

    /// Ways that have turned out to be gone since the last call; some more than once.
    pub(crate) fn take_gone(&mut self) -> impl Iterator<Item = Path> {
        self.gone.drain(..)
    }

    /// Ends a batch: each worker that got something is woken, at most once.
    pub(crate) fn flush(&mut self) {
        for way in self.ways.iter_mut().filter(|way| way.used) {
            way.used = false;
            way.egress.flush();
        }
    }

    pub(crate) const fn counted(&self) -> Counted {
        self.counted
    }
}
