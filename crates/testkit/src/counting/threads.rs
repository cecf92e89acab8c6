//! What each thread has allocated since its start, told by the thread's name: for tests of whole threads that other code
//! starts. A test lets the thread warm up and compares two looks.

#![expect(unsafe_code, reason = "the kernel's number of a thread is asked of libc")]

use std::cell::Cell;
use std::fs;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};

/// Threads of one test process, ended ones included; a test starts a few dozen. What comes later is not counted, and
/// cannot be asked for.
const THREADS_MAX: usize = 512;

/// Counts of one thread.
struct Seat {
    /// The kernel's number of it; 0: nobody sits here.
    thread: AtomicI32,
    allocations: AtomicU64,
    /// Those of exactly the size that [`apart`] named.
    apart: AtomicU64,
}

static SEATS: [Seat; THREADS_MAX] = [const {
    Seat {
        thread: AtomicI32::new(0),
        allocations: AtomicU64::new(0),
        apart: AtomicU64::new(0),
    }
}; THREADS_MAX];
static TAKEN: AtomicUsize = AtomicUsize::new(0);
static APART: AtomicUsize = AtomicUsize::new(usize::MAX);

thread_local! {
    /// The thread's place in [`SEATS`], and one more.
    static OWN: Cell<usize> = const { Cell::new(0) };
}

/// What a thread has asked for since its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Allocations, and growths of earlier ones, but for those in `apart`.
    pub allocations: u64,
    /// Allocations of exactly the size that [`apart`] named.
    pub apart: u64,
}

/// From now on allocations of exactly `bytes` are counted apart: what is known and has its own reason.
pub fn apart(bytes: usize) {
    APART.store(bytes, Ordering::Relaxed);
}

/// The counts of the one living thread of this name; `None` without one, with several, or before it allocated anything.
#[must_use]
pub fn of(name: &str) -> Option<Counts> {
    let tasks = fs::read_dir("/proc/self/task").ok()?.flatten();
    let mut named = tasks.filter_map(|task| {
        let said = fs::read_to_string(task.path().join("comm")).ok()?;
        let number: i32 = task.file_name().to_str()?.parse().ok()?;
        (said.trim_end() == name).then_some(number)
    });
    let thread = named.next().filter(|_| named.next().is_none())?;
    let taken = TAKEN.load(Ordering::Relaxed).min(THREADS_MAX);
    let seat = SEATS[..taken]
        .iter()
        .find(|seat| seat.thread.load(Ordering::Relaxed) == thread)?;
    Some(Counts {
        allocations: seat.allocations.load(Ordering::Relaxed),
        apart: seat.apart.load(Ordering::Relaxed),
    })
}

pub(super) fn count(bytes: usize) {
    // A thread that ends has no place of its own any more.
    let Ok(mut own) = OWN.try_with(Cell::get) else { return };
    if own == 0 {
        own = TAKEN.fetch_add(1, Ordering::Relaxed) + 1;
        OWN.set(own);
        if let Some(seat) = SEATS.get(own - 1) {
            // SAFETY: it takes nothing and cannot fail.
            seat.thread.store(unsafe { libc::gettid() }, Ordering::Relaxed);
        }
    }
    if let Some(seat) = SEATS.get(own - 1) {
        let counter = if bytes == APART.load(Ordering::Relaxed) {
            &seat.apart
        } else {
            &seat.allocations
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
