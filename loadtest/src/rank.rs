//! How the thread that measures stands to the others of its core.
//!
//! It sleeps between its ticks, so it takes no more than its own work; but when its time has come, nothing that shares
//! the core may keep it waiting, or its own lateness would be counted as the server's.
#![expect(unsafe_code, reason = "the scheduler is asked by calls that no safe crate has")]

use rustix::process::setpriority_process;
use rustix::thread::gettid;

/// Lowest of the real-time priorities: above every ordinary thread, below the kernel's own.
const PRIORITY: i32 = 1;
/// Nice value where real time is not allowed.
const NICE: i32 = -20;

/// What the kernel granted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Granted {
    /// It runs when it wants to (`SCHED_FIFO`).
    RealTime,
    /// It is preferred.
    Preferred,
    /// It is one among others.
    #[default]
    Ordinary,
}

impl Granted {
    /// Stable word for reports.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Granted::RealTime => "fifo",
            Granted::Preferred => "nice -20",
            Granted::Ordinary => "ordinary",
        }
    }
}

/// Puts the calling thread before all ordinary ones, as far as it is allowed; threads and processes that it starts
/// are ordinary ones. What was granted.
pub(crate) fn come_first() -> Granted {
    let parameters = libc::sched_param {
        sched_priority: PRIORITY,
    };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the parameters are a local that lives through the call; 0 is the calling thread.
    if unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) } == 0 {
        return Granted::RealTime;
    }
    // Linux takes the number of a thread here, and only that thread's priority changes.
    match setpriority_process(Some(gettid()), NICE) {
        Ok(()) => Granted::Preferred,
        Err(_) => Granted::Ordinary,
    }
}
