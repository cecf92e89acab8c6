//! An allocator that takes large pieces of memory from the kernel, on huge pages where it grants them, and leaves
//! everything else to another allocator.
//!
//! A shard goes from leg to leg all over its tables, some thousand small pages, and the processor knows the places of fewer:
//! each packet waits until they are found anew. What a packet costs with and without: docs/PERFORMANCE.md.
//!
//! Invariant: a layout alone says from where its memory comes, so whoever frees or grows it needs no list.
#![expect(unsafe_code, reason = "an allocator hands out raw memory")]

use std::alloc::{GlobalAlloc, Layout};
use std::ptr;

/// Bytes of a huge page on x86-64, and on aarch64 with small pages of 4 KiB.
pub const HUGE_BYTES: usize = 2 << 20;
/// From so many bytes on a piece gets pages of its own. Lower: more than half of the last one may stay empty.
pub const LARGE_FROM_BYTES: usize = HUGE_BYTES / 2;

/// See the top of this file; with the allocator of what is smaller.
#[derive(Debug)]
pub struct Pages<A>(pub A);

// SAFETY: a large piece is a mapping of its own, aligned to its huge pages and at least as long as asked for, until it is
// unmapped under the layout that it was made with; everything else is the other allocator's.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Pages<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match mapping(layout) {
            Some(bytes) => map(bytes),
            // SAFETY: the caller's promise, handed on.
            None => unsafe { self.0.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match mapping(layout) {
            // The kernel gives nothing but zeros.
            Some(bytes) => map(bytes),
            // SAFETY: the caller's promise, handed on.
            None => unsafe { self.0.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        match mapping(layout) {
            // SAFETY: it was mapped under this layout, and nobody uses it any more.
            Some(bytes) => unsafe { unmap(piece, bytes) },
            // SAFETY: the caller's promise, handed on.
            None => unsafe { self.0.dealloc(piece, layout) },
        }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that this size and alignment make a layout.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (mapping(layout), mapping(wanted)) {
            // SAFETY: the caller's promise, handed on.
            (None, None) => unsafe { self.0.realloc(piece, layout, size) },
            (Some(before), Some(after)) if before >= after => {
                // SAFETY: the end of its mapping, and nobody uses more than `size` bytes any more.
                unsafe { unmap(piece.wrapping_add(after), before - after) };
                piece
            }
            // SAFETY: a piece of either kind is freed under the layout that it was made with, after what it holds of the
            // new size was copied to a new one.
            _ => unsafe {
                let moved = self.alloc(wanted);
                if !moved.is_null() {
                    ptr::copy_nonoverlapping(piece, moved, layout.size().min(size));
                    self.dealloc(piece, layout);
                }
                moved
            },
        }
    }
}

/// How many bytes are mapped for a layout; `None` for what the other allocator has.
fn mapping(layout: Layout) -> Option<usize> {
    let large = layout.size() >= LARGE_FROM_BYTES && layout.align() <= HUGE_BYTES;
    // No layout has more than `isize::MAX` bytes, so this does not overflow.
    large.then(|| layout.size().next_multiple_of(HUGE_BYTES))
}

/// So many bytes from a huge page's border on; null if there are no more.
fn map(bytes: usize) -> *mut u8 {
    let Some(around) = bytes.checked_add(HUGE_BYTES) else {
        return ptr::null_mut();
    };
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new anonymous mapping changes nothing that is there.
    let start = unsafe {
        libc::mmap(
            ptr::null_mut(),
            around,
            access,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return ptr::null_mut();
    }
    let start = start.cast::<u8>();
    let before = start.align_offset(HUGE_BYTES);
    let piece = start.wrapping_add(before);
    // SAFETY: the parts before and behind the piece belong to this mapping, and nobody knows of them. Advice that the kernel
    // does not follow leaves small pages.
    unsafe {
        unmap(start, before);
        unmap(piece.wrapping_add(bytes), around - before - bytes);
        libc::madvise(piece.cast(), bytes, libc::MADV_HUGEPAGE);
    }
    piece
}

/// Gives back a whole mapping or an end of it.
///
/// # Safety
/// It was mapped, and nobody uses it any more.
unsafe fn unmap(at: *mut u8, bytes: usize) {
    if bytes > 0 {
        // SAFETY: the caller's promise. It fails only for want of memory for the kernel's own list, and then leaves the
        // pages: there is nobody who could do anything about it.
        unsafe { libc::munmap(at.cast(), bytes) };
    }
}

#[cfg(test)]
mod tests;
