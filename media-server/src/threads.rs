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

/// How busy one thread was over the last looks.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    account: Option<PathBuf>,
    /// (clock, time on a core), nanoseconds, oldest first.
    looks: Vec<(u64, u64)>,
}

impl Busy {
    pub(crate) fn new(account: Option<PathBuf>) -> Busy {
        Busy {
            account,
            looks: Vec::new(),
        }
    }

    /// Reads the account once more; `now` in nanoseconds. Returns the share of a core.
    pub(crate) fn look(&mut self, now: u64) -> f64 {
        let text = self.account.as_ref().and_then(|path| fs::read_to_string(path).ok());
        let spent = text
            .as_deref()
            .and_then(|text| text.split_whitespace().next()?.parse().ok());
        if let Some(spent) = spent {
            if self.looks.len() > LOOKS {
                self.looks.remove(0);
            }
            self.looks.push((now, spent));
        }
        self.share()
    }

    /// The share of the looks so far, 0 to 1.
    pub(crate) fn share(&self) -> f64 {
        let (Some(first), Some(last)) = (self.looks.first(), self.looks.last()) else {
            return 0.0;
        };
        let wall = last.0.saturating_sub(first.0);
        if wall == 0 {
            0.0
        } else {
            (last.1.saturating_sub(first.1) as f64 / wall as f64).min(1.0)
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
        assert_eq!(busy.look(1), 0.0);
        busy.looks = vec![(0, 0), (1_000, 250), (2_000, 500)];
        assert!((busy.share() - 0.25).abs() < 1e-9);
    }
}
