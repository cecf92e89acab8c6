//! Waking a shard's thread from another one, only when it sleeps.
//!
//! Invariant: a writer that has written before it calls [`Doorbell::wake`], and a reader that has called
//! [`Doorbell::park`] before it looks, never both miss the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use udp::Bell;

/// See the top of this file. Clones are the same doorbell.
#[derive(Clone, Debug)]
pub(crate) struct Doorbell {
    bell: Bell,
    asleep: Arc<AtomicBool>,
}

impl Doorbell {
    /// On a bell that the thread waits for in any case.
    pub(crate) fn new(bell: Bell) -> Doorbell {
        Doorbell {
            bell,
            asleep: Arc::default(),
        }
    }

    /// The reader is about to wait. It must look once more behind this and not wait if there is something.
    pub(crate) fn park(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        // With the one in `wake`: of the two, who comes second sees what the first has stored.
        fence(Ordering::SeqCst);
    }

    /// The reader is awake.
    pub(crate) fn unpark(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Something was written. Rings if the reader sleeps; of several writers one.
    pub(crate) fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            self.bell.ring();
        }
    }

    /// Rings in any case: for what does not lie in a ring.
    pub(crate) fn ring(&self) {
        self.bell.ring();
    }
}
