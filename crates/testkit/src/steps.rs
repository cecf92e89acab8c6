//! How many instructions some work takes: a measure that is the same on a busy machine and on an idle one.
//!
//! The processor's trap flag makes every instruction of this thread end in a signal, and its handler counts; no debugger,
//! no second process, nothing that waits. One to fifteen microseconds for each instruction, the more under a hypervisor, so
//! inputs stay small.
//!
//! Invariant: the handler does nothing but add one.

#![cfg(target_arch = "x86_64")]
#![expect(unsafe_code, reason = "the trap flag and its signal are set by hand")]

use std::arch::asm;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

static STEPS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: libc::c_int) {
    STEPS.fetch_add(1, Ordering::Relaxed);
}

/// Counts the instructions of `work`, those around it among them, which are the same every time. One caller at a time.
///
/// # Panics
/// If the system takes no handler.
pub fn instructions(work: impl FnOnce()) -> u64 {
    static HANDLER: Once = Once::new();
    HANDLER.call_once(|| {
        let handler = count as extern "C" fn(libc::c_int);
        // SAFETY: the handler adds to an atomic number, which is allowed at any instruction.
        let before = unsafe { libc::signal(libc::SIGTRAP, handler as libc::sighandler_t) };
        assert_ne!(before, libc::SIG_ERR, "the system takes a handler");
    });
    let begin = STEPS.load(Ordering::Relaxed);
    // SAFETY: it sets one flag (bit 8), whose signal has a handler.
    unsafe { asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq") };
    work();
    // SAFETY: it takes the flag away again.
    unsafe { asm!("pushfq", "and qword ptr [rsp], -257", "popfq") };
    STEPS.load(Ordering::Relaxed) - begin
}
