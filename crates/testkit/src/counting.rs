//! An allocator that counts what a thread allocates while a test looks.
//!
//! A test that wants it says `#[global_allocator] static ALLOCATOR: Counting = Counting;`. The counters are the thread's
//! own and move only inside [`looking`]; clients and test runner allocate as they like.

#![expect(unsafe_code, reason = "counting allocations means being the allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// See the top of this file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counting;

/// What was counted since the thread began or [`forget`] was called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Allocations, one that grows or shrinks included.
    pub allocations: u64,
    /// Bytes allocated less those freed; what was allocated before and freed meanwhile makes it negative.
    pub bytes: i64,
}

thread_local! {
    static LOOKING: Cell<bool> = const { Cell::new(false) };
    static COUNTED: Cell<Counted> = const { Cell::new(Counted { allocations: 0, bytes: 0 }) };
}

/// Does `work` and counts what it allocates. Not to be nested.
pub fn looking<T>(work: impl FnOnce() -> T) -> T {
    LOOKING.set(true);
    let result = work();
    LOOKING.set(false);
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

/// `grown`: bytes, negative for what is freed.
fn count(allocations: u64, grown: i64) {
    if LOOKING.get() {
        let Counted {
            allocations: before,
            bytes,
        } = COUNTED.get();
        COUNTED.set(Counted {
            allocations: before + allocations,
            bytes: bytes + grown,
        });
    }
}

// SAFETY: every call goes unchanged to the system's allocator; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`, which is also that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, -(layout.size() as i64));
        // SAFETY: `pointer` came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, size as i64 - layout.size() as i64);
        // SAFETY: `pointer` came from `System` with this layout; the caller vouches for `size`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
