//! How far a run is: a bar on a terminal, a line now and then elsewhere. Everything goes to stderr.

use std::io::{IsTerminal, Write, stderr};
use std::sync::atomic::{AtomicU64, Ordering};

/// Cells of the bar.
const CELLS: u64 = 30;
/// Lines of one piece of work where there is no terminal.
const LINES: u64 = 5;

/// One piece of work.
#[derive(Debug)]
pub(crate) struct Progress {
    what: String,
    total: u64,
    is_terminal: bool,
    shown: AtomicU64,
}

impl Progress {
    /// Work of `total` parts begins.
    pub(crate) fn start(what: &str, total: u64) -> Progress {
        let progress = Progress {
            what: what.to_owned(),
            total: total.max(1),
            is_terminal: stderr().is_terminal(),
            shown: AtomicU64::new(0),
        };
        if progress.is_terminal {
            progress.draw(0);
        }
        progress
    }

    /// So many parts are done.
    pub(crate) fn at(&self, done: u64) {
        let step = if self.is_terminal { CELLS * 4 } else { LINES };
        let stage = done * step / self.total;
        if self.shown.swap(stage, Ordering::Relaxed) != stage {
            self.draw(done);
        }
    }

    fn draw(&self, done: u64) {
        let text = if self.is_terminal {
            format!("\r{}\x1b[K", bar(&self.what, done, self.total))
        } else {
            format!("{}: {done} of {}\n", self.what, self.total)
        };
        // A progress that cannot be shown is no reason to stop.
        let _ = stderr().write_all(text.as_bytes());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_terminal {
            let _ = stderr().write_all(b"\n");
        }
    }
}

fn bar(what: &str, done: u64, total: u64) -> String {
    let full = (done * CELLS / total).min(CELLS) as usize;
    let empty = CELLS as usize - full;
    format!("{what:<28} [{}{}] {done}/{total}", "#".repeat(full), ".".repeat(empty))
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn the_bar_is_as_full_as_the_work_and_never_fuller() {
        let cells = |done| bar("x", done, 100).chars().filter(|c| *c == '#').count();
        assert_eq!((cells(0), cells(50), cells(100), cells(130)), (0, 15, 30, 30));
    }
}
