//! Waking a thread from others, only when it sleeps.

use std::sync::Arc;

use crate::Bell;
use crate::sleep::Sleep;

/// A bell with a sign that says whether ringing it is worth a system call. Clones are the same one.
///
/// Whoever waits calls [`Doorbell::park`], looks once more at all that others write into, waits only if there is nothing,
/// and calls [`Doorbell::unpark`] when he is awake. Whoever has written calls [`Doorbell::wake`].
#[derive(Clone, Debug)]
pub struct Doorbell {
    bell: Bell,
    sleep: Arc<Sleep>,
}

impl Doorbell {
    /// On a bell that the thread waits for.
    #[must_use]
    pub fn new(bell: Bell) -> Doorbell {
        Doorbell {
            bell,
            sleep: Arc::new(Sleep::new()),
        }
    }

    /// What the thread waits for beside its sockets.
    #[must_use]
    pub fn bell(&self) -> &Bell {
        &self.bell
    }

    /// The reader is about to wait. He must look once more behind this, and not wait if there is something.
    #[inline]
    pub fn park(&self) {
        self.sleep.park();
    }

    /// The reader is awake.
    #[inline]
    pub fn unpark(&self) {
        self.sleep.unpark();
    }

    /// Something was written. Rings if the reader sleeps and nobody else has rung yet.
    #[inline]
    pub fn wake(&self) {
        self.sleep.wake(|| self.bell.ring());
    }

    /// Rings in any case: for what the reader does not look at behind [`Doorbell::park`].
    pub fn ring(&self) {
        self.bell.ring();
    }
}
