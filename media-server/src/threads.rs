//! Threads by name, and how busy each one is.
//!
//! Never measures by a clock of its own: the scheduler's account of a thread is read from the kernel's files.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::thread::JoinHandle;

/// Looks over which the share is averaged: 5 of them at one per second.
const LOOKS: usize = 5;

/// A started thread and where the kernel accounts for it.
pub(crate) struct Started {
    pub(crate) handle: JoinHandle<()>,
    pub(crate) account: Option<PathBuf>,
}

/// Starts a thread under a name of at most 15 bytes (the kernel keeps no more).
///
/// # Errors
/// What the system says when it has no thread left.
pub(crate) fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<Started> {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let handle = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        // `<pid>/task/<tid>`; only the thread itself can read it.
        let own = fs::read_link("/proc/thread-self").ok();
        if tell.send(own).is_ok() {
            work();
        }
    })?;
    let own = told.recv().ok().flatten();
    Ok(Started {
        handle,
        account: own.map(|path| PathBuf::from("/proc").join(path).join("schedstat")),
    })
}

/// One look at a thread; all in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Look {
    clock: u64,
    /// Time on a core since the start.
    spent: u64,
    /// Of that, what does not count: a flood at the relay that it runs fills what else would be idle.
    aside: u64,
}

/// How busy one thread was over the last looks.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    account: Option<PathBuf>,
    /// Oldest first.
    looks: Vec<Look>,
}

impl Busy {
    pub(crate) fn new(account: Option<PathBuf>) -> Busy {
        Busy {
            account,
            looks: Vec::new(),
        }
    }

    /// These are the looks so far: clock, time on a core, of that aside.
    #[cfg(test)]
    pub(crate) fn told(looks: &[(u64, u64, u64)]) -> Busy {
        let look = |&(clock, spent, aside): &_| Look { clock, spent, aside };
        Busy {
            account: None,
            looks: looks.iter().map(look).collect(),
        }
    }

    /// Reads the account once more; `now` in nanoseconds. `aside`: nanoseconds since the start that do not count.
    pub(crate) fn look(&mut self, now: u64, aside: u64) {
        let text = self.account.as_ref().and_then(|path| fs::read_to_string(path).ok());
        let spent = text
            .as_deref()
            .and_then(|text| text.split_whitespace().next()?.parse().ok());
        if let Some(spent) = spent {
            if self.looks.len() > LOOKS {
                self.looks.remove(0);
            }
            self.looks.push(Look {
                clock: now,
                spent,
                aside,
            });
        }
    }

    /// The share of a core in the looks so far that counts, 0 to 1.
    pub(crate) fn share(&self) -> f64 {
        // What is aside was measured on the wall and a moment before: it may come out as more than there was.
        (self.whole() - self.aside()).max(0.0)
    }

    /// The same with what does not count: what the kernel says.
    pub(crate) fn whole(&self) -> f64 {
        self.of_wall(|look| look.spent)
    }

    /// What does not count, as a share of a core.
    pub(crate) fn aside(&self) -> f64 {
        self.of_wall(|look| look.aside).min(self.whole())
    }

    fn of_wall(&self, what: impl Fn(&Look) -> u64) -> f64 {
        let (Some(first), Some(last)) = (self.looks.first(), self.looks.last()) else {
            return 0.0;
        };
        let wall = last.clock.saturating_sub(first.clock);
        if wall == 0 {
            0.0
        } else {
            (what(last).saturating_sub(what(first)) as f64 / wall as f64).min(1.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_works_is_seen_to_work() {
        let started = start("hl-test", || {
            let mut sum = 0u64;
            for n in 0..20_000_000u64 {
                sum = std::hint::black_box(sum.wrapping_add(n * n));
            }
            // The account of a thread ends with it.
            let own = fs::read_link("/proc/thread-self").expect("there is a /proc");
            let text = fs::read_to_string(PathBuf::from("/proc").join(own).join("schedstat")).expect("an account");
            let spent: u64 = text
                .split_whitespace()
                .next()
                .expect("a number")
                .parse()
                .expect("a number");
            assert!(spent > 0);
        });
        let started = started.expect("a thread");
        assert!(started.account.is_some());
        started.handle.join().expect("no panic");
    }

    #[test]
    fn the_share_is_time_on_a_core_by_time_on_the_wall() {
        let mut busy = Busy::new(None);
        busy.look(1, 0);
        assert_eq!(busy.share(), 0.0);
        let busy = Busy::told(&[(0, 0, 0), (1_000, 250, 0), (2_000, 500, 0)]);
        assert!((busy.share() - 0.25).abs() < 1e-9);
    }

    #[test]
    fn what_is_aside_is_in_the_whole_and_does_not_count() {
        let busy = Busy::told(&[(0, 7, 3), (1_000, 977, 703)]);
        let is = |value: f64, expected: f64| assert!((value - expected).abs() < 1e-9, "{value}");
        is(busy.whole(), 0.97);
        is(busy.aside(), 0.70);
        is(busy.share(), 0.27);
        // Measured a moment before the rest.
        let busy = Busy::told(&[(0, 0, 0), (1_000, 500, 600)]);
        is(busy.aside(), 0.5);
        is(busy.share(), 0.0);
    }
}
