//! The allocator against what the kernel says of its mappings.

use std::alloc::System;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Counts what is asked of it.
#[derive(Default)]
struct Small(AtomicUsize);

// SAFETY: all is the system's allocator's.
unsafe impl GlobalAlloc for Small {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise, handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        self.0.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise, handed on.
        unsafe { System.dealloc(piece, layout) }
    }
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, 64).unwrap()
}

/// What the kernel says of the mapping that begins there: its length in bytes and its flags.
fn mapped(at: *mut u8) -> Option<(usize, String)> {
    let begin = format!("{:x}-", at.addr());
    let all = fs::read_to_string("/proc/self/smaps").unwrap();
    let (_, rest) = all.split_once(&begin)?;
    let end = usize::from_str_radix(rest.split_once(' ').unwrap().0, 16).unwrap();
    let flags = rest.lines().find_map(|line| line.strip_prefix("VmFlags: ")).unwrap();
    Some((end - at.addr(), flags.to_owned()))
}

#[test]
fn a_large_piece_begins_at_a_huge_page_and_goes_when_it_is_freed() {
    let pages = Pages(Small::default());
    for bytes in [LARGE_FROM_BYTES, HUGE_BYTES, HUGE_BYTES + 1, 5 * HUGE_BYTES - 1] {
        // SAFETY: used within its length, and freed under its layout.
        unsafe {
            let piece = pages.alloc(layout(bytes));
            assert_eq!(piece.addr() % HUGE_BYTES, 0);
            assert_eq!((*piece, *piece.add(bytes - 1)), (0, 0));
            (*piece, *piece.add(bytes - 1)) = (1, 2);
            if fs::exists("/sys/kernel/mm/transparent_hugepage").unwrap() {
                let (_, flags) = mapped(piece).expect("it is mapped");
                assert!(flags.split(' ').any(|flag| flag == "hg"), "{flags}");
            }
            pages.dealloc(piece, layout(bytes));
            assert_eq!(mapped(piece), None);
        }
    }
    assert_eq!(pages.0.0.into_inner(), 0);
}

#[test]
fn what_is_smaller_is_the_other_allocators() {
    let pages = Pages(Small::default());
    let bytes = LARGE_FROM_BYTES - 1;
    // SAFETY: freed under its layout.
    unsafe {
        let piece = pages.alloc_zeroed(layout(bytes));
        assert_eq!(*piece.add(bytes - 1), 0);
        pages.dealloc(piece, layout(bytes));
    }
    assert_eq!(pages.0.0.into_inner(), 2);
}

#[test]
fn what_grows_and_shrinks_keeps_what_it_holds() {
    let pages = Pages(Small::default());
    let sizes = [
        1_000,
        LARGE_FROM_BYTES,
        HUGE_BYTES,
        3 * HUGE_BYTES + 1,
        2 * HUGE_BYTES,
        LARGE_FROM_BYTES - 1,
        10,
    ];
    // SAFETY: used within the smaller of two lengths, and freed under the last layout.
    unsafe {
        let mut bytes = 100;
        let mut piece = pages.alloc(layout(bytes));
        for size in sizes {
            let kept = bytes.min(size);
            (*piece, *piece.add(kept - 1)) = (3, 4);
            piece = pages.realloc(piece, layout(bytes), size);
            assert_eq!((*piece, *piece.add(kept - 1)), (3, 4), "{bytes} to {size}");
            bytes = size;
        }
        pages.dealloc(piece, layout(bytes));
    }
}

#[test]
fn more_than_there_is_is_refused() {
    let pages = Pages(Small::default());
    let all = Layout::from_size_align(isize::MAX as usize - 63, 64).unwrap();
    // SAFETY: nothing came that could be used.
    unsafe {
        assert!(pages.alloc(all).is_null());
        assert!(pages.alloc_zeroed(all).is_null());
    }
}
