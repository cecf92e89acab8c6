//! An allocator that counts, and two ways of reading it: what this thread does while a test looks ([`looking`]), and what a
//! whole thread has done that other code started ([`threads`]).
//!
//! A test that wants it says `#[global_allocator] static ALLOCATOR: Counting = Counting;`.
//!
//! Invariant: counting neither allocates nor waits, and touches no memory of the allocator that it stands before.

#![expect(unsafe_code, reason = "counting allocations means being the allocator")]

mod looks;
pub mod threads;

use std::alloc::{GlobalAlloc, Layout, System};

pub use looks::{Counted, aside, counted, forget, kept, looking};

/// See the top of this file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counting;

// SAFETY: every call goes unchanged to the system's allocator; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        looks::count(1, layout.size(), layout.size() as i64);
        threads::count(layout.size());
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`, which is also that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        looks::count(0, 0, -(layout.size() as i64));
        // SAFETY: `pointer` came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        looks::count(1, size, size as i64 - layout.size() as i64);
        threads::count(size);
        // SAFETY: `pointer` came from `System` with this layout; the caller vouches for `size`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
