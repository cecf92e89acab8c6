//! A wait that nothing ends early.
#![expect(
    unsafe_code,
    reason = "the standard library wakes 50 us late: it does not set a thread's timer slack, and has no wait to the microsecond"
)]

use std::marker::PhantomData;

/// How late the kernel may wake the thread, nanoseconds: it gathers wake-ups that lie so close together. Its own 50 us would be
/// a sizeable part of the waits that this is for.
const SLACK_NS: libc::c_ulong = 1_000;

/// What a thread may wait by; of the thread that made it.
#[derive(Debug)]
pub struct Pause(PhantomData<*const ()>);

impl Pause {
    /// For the calling thread, whose waits with a deadline are sharp from now on.
    #[must_use]
    pub fn of_this_thread() -> Pause {
        // SAFETY: it takes a number and sets one of the thread; a kernel that refuses leaves the thread as it was, which only
        // makes waits longer.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, SLACK_NS) };
        Pause(PhantomData)
    }

    /// Waits for `ns` nanoseconds; less if a signal comes.
    pub fn wait(&self, ns: u64) {
        let time = libc::timespec {
            tv_sec: (ns / 1_000_000_000) as libc::time_t,
            tv_nsec: (ns % 1_000_000_000) as libc::c_long,
        };
        // SAFETY: the time is a local that lives through the call, and what would be left of it is not asked for.
        unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, 0, &raw const time, std::ptr::null_mut()) };
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "what it does is take time")]

    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_wait_takes_as_long_as_was_said_at_least() {
        let pause = Pause::of_this_thread();
        for ns in [0, 1, 300_000, 2_000_000] {
            let begin = Instant::now();
            pause.wait(ns);
            assert!(begin.elapsed() >= Duration::from_nanos(ns));
        }
    }
}
