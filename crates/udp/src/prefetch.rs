//! Asking the processor for memory before it is needed.
#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "the instruction takes a raw address; it reads nothing and cannot fault"
    )
)]

/// Bytes of a cache line on the machines we run on.
const LINE: usize = 64;

/// Asks for the cache lines of `bytes` bytes from `at`. Any address will do: one that is not mapped is ignored. Does
/// nothing on processors for which it is not written.
#[inline]
pub fn prefetch(at: *const u8, bytes: usize) {
    let first = at.addr() & (LINE - 1);
    let lines = (first + bytes).div_ceil(LINE);
    for line in 0..lines {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a prefetch reads nothing that the program can see and ignores addresses that cannot be read.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(line * LINE).cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = line;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_will_do() {
        prefetch(std::ptr::null(), 1_000);
        prefetch(std::ptr::without_provenance(usize::MAX - 3), 2 * LINE);
        let bytes = [7; 200];
        prefetch(bytes.as_ptr(), bytes.len());
        assert_eq!(bytes, [7; 200]);
    }
}
