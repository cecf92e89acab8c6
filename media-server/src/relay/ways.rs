//! The ways back to the relay's clients, as one shard has them.
//!
//! Invariant: a packet is handed to the worker that its path names, or to nobody.

use media_core::origin::Path;
use ports::{Accepted, RelayEgress};

use crate::convert;

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
    counted: Counted,
}

impl Ways {
    /// One per worker, in the order of the workers; those before are gone.
    pub(crate) fn attach(&mut self, egresses: Vec<Box<dyn RelayEgress>>) {
        let ways = egresses.into_iter().map(|egress| Way { egress, used: false });
        self.ways = ways.collect();
    }

    /// Hands over one packet.
    pub(crate) fn send(&mut self, path: Path, payload: &[u8]) {
        let path = convert::path_out(path);
        let Some(way) = self.ways.get_mut(usize::from(path.worker)) else {
            self.counted.no_way += 1;
            return;
        };
        match way.egress.transmit(path, payload) {
            Accepted::Taken => {
                way.used = true;
                self.counted.sent += 1;
            }
            Accepted::Full => self.counted.full += 1,
            Accepted::Gone => self.counted.gone += 1,
        }
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
