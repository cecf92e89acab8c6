//! What this thread allocates while a test looks: the counters are its own and move only inside [`looking`]; clients and
//! test runner allocate as they like.

use std::cell::Cell;

/// What was counted since the thread began or [`forget`] was called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Allocations, one that grows or shrinks included.
    pub allocations: u64,
    /// Bytes allocated less those freed; what was allocated before and freed meanwhile makes it negative.
    pub bytes: i64,
    /// Bytes of the largest of them.
    pub largest: usize,
}

thread_local! {
    static LOOKING: Cell<bool> = const { Cell::new(false) };
    static COUNTED: Cell<Counted> = const { Cell::new(Counted { allocations: 0, bytes: 0, largest: 0 }) };
}

/// Does `work` and counts what it allocates. Not to be nested.
pub fn looking<T>(work: impl FnOnce() -> T) -> T {
    LOOKING.set(true);
    let result = work();
    LOOKING.set(false);
    result
}

/// Does `work` without counting it, also inside [`looking`].
pub fn aside<T>(work: impl FnOnce() -> T) -> T {
    let before = LOOKING.replace(false);
    let result = work();
    LOOKING.set(before);
    result
}

/// What this thread has counted.
pub fn counted() -> Counted {
    COUNTED.get()
}

/// Begins at nothing again.
pub fn forget() {
    COUNTED.set(Counted::default());
}

/// Does `work`; also how many bytes it allocated and did not free.
pub fn kept<T>(work: impl FnOnce() -> T) -> (T, i64) {
    let before = counted().bytes;
    let result = looking(work);
    (result, counted().bytes - before)
}

/// `size`: bytes of what is allocated, 0 for what is freed; `grown`: bytes more than before, negative for what is freed.
pub(super) fn count(allocations: u64, size: usize, grown: i64) {
    if LOOKING.get() {
        let Counted {
            allocations: before,
            bytes,
            largest,
        } = COUNTED.get();
        COUNTED.set(Counted {
            allocations: before + allocations,
            bytes: bytes + grown,
            largest: largest.max(size),
        });
    }
}
