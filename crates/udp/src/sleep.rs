//! Who sleeps and who has woken him: the part of [`Doorbell`](crate::Doorbell) that threads can get wrong.
//!
//! Knows no descriptor, so that a test can try every order in which threads may meet here.
//!
//! Invariant: a writer that has written before it calls [`Sleep::wake`], and a reader that has called [`Sleep::park`]
//! before it looks, never both miss the other.

use crate::sync::{AtomicBool, Ordering, fence};

/// See the top of this file.
#[derive(Debug)]
pub(crate) struct Sleep {
    asleep: AtomicBool,
}

impl Sleep {
    pub(crate) fn new() -> Sleep {
        Sleep {
            asleep: AtomicBool::new(false),
        }
    }

    #[inline]
    pub(crate) fn park(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        // With the one in `wake`: of the two, who comes second sees what the first has stored.
        fence(Ordering::SeqCst);
    }

    #[inline]
    pub(crate) fn unpark(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Whether the sign was up and we took it down; nothing is written if it was not.
    fn take_sign(&self) -> bool {
        let taken = self
            .asleep
            .compare_exchange(true, false, Ordering::Relaxed, Ordering::Relaxed);
        taken.is_ok()
    }

    /// `ring` must wake the reader also if it comes before he waits. Of several writers one rings.
    #[inline]
    pub(crate) fn wake(&self, ring: impl FnOnce()) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.take_sign() {
            ring();
        }
    }
}
