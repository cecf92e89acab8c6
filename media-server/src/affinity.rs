//! On which core each shard runs, and how it stands beside the other threads of the machine.
//!
//! A shard on a core of its own keeps its tables in that core's cache and never waits for its turn behind the recorder or
//! the database. Where there are fewer cores than that takes, the kernel places the threads better than we could.
//!
//! Never more than the process may: only cores of its own set (a container's cpuset, `taskset`) are used, and a raised
//! priority is tried once per thread and done without where it is not allowed.
//!
//! Invariant: two shards never share a core by our doing.

use std::io;
use std::str::FromStr;

use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Cores that the process must have before shards are pinned by themselves: below, the core that is left over has to
/// carry recorder, handshakes, desk and database, and pinning only takes freedom from the kernel.
pub const CORES_MIN: usize = 3;
/// Nice values, tried in this order (setpriority(2)).
///
/// The first: a shard beside sixteen processes of the database that all want its core keeps five sixths of it. With the
/// second, which older units and containers allow, it keeps a third, and a shard that is late finds flaws in all its calls,
/// each of which gives the database work.
const LEVELS: [Nices; 2] = [
    Nices {
        shard: -20,
        recorder: -10,
    },
    Nices {
        shard: -10,
        recorder: -5,
    },
];

/// The nice values of media's threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nices {
    /// Of a shard: before everything of ordinary priority, behind what has real-time priority.
    pub shard: i32,
    /// Of the recorder's thread that empties the rings: behind the shards, before the database and everything else, for
    /// what it does not fetch in time is missing from a recording for ever. It has some eighth of a shard's work.
    pub recorder: i32,
}

/// Which cores the shards get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Pin {
    /// The kernel decides, at any time anew.
    Off,
    /// The last cores of the allowed set, one each, if [`CORES_MIN`] are allowed and one is left over for the rest.
    #[default]
    Auto,
    /// These, in the order of the shards.
    Cores(Vec<usize>),
}

/// Why a list of cores cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPin {
    /// Neither a word nor a list of numbers.
    #[error("media.pin is off, auto, or numbers of cores with commas between")]
    Text,
    /// Not one core per shard.
    #[error("media.pin names {given} cores for {shards} shards")]
    Count {
        /// How many it names.
        given: usize,
        /// How many shards there are.
        shards: usize,
    },
    /// A core is named twice.
    #[error("media.pin names core {0} twice")]
    Twice(usize),
    /// The process may not use it, or there is none.
    #[error("media.pin names core {0}, which this process may not use")]
    Foreign(usize),
}

impl FromStr for Pin {
    type Err = BadPin;

    fn from_str(text: &str) -> Result<Pin, BadPin> {
        match text.trim() {
            "off" => Ok(Pin::Off),
            "auto" => Ok(Pin::Auto),
            list => {
                let cores = list
                    .split(',')
                    .map(|core| core.trim().parse().map_err(|_| BadPin::Text));
                Ok(Pin::Cores(cores.collect::<Result<_, _>>()?))
            }
        }
    }
}

impl Pin {
    /// The core of each shard, in their order; empty when the kernel decides. `allowed`: ascending.
    ///
    /// # Errors
    /// [`BadPin`] for a list that cannot be used.
    pub fn place(&self, shards: usize, allowed: &[usize]) -> Result<Vec<usize>, BadPin> {
        let cores = match self {
            Pin::Off => return Ok(Vec::new()),
            Pin::Auto if allowed.len() < CORES_MIN || allowed.len() <= shards => return Ok(Vec::new()),
            // The first ones are where interrupts and everything that asks for nothing mostly end up.
            Pin::Auto => return Ok(allowed[allowed.len() - shards..].to_vec()),
            Pin::Cores(cores) => cores,
        };
        if cores.len() != shards {
            return Err(BadPin::Count {
                given: cores.len(),
                shards,
            });
        }
        for (n, core) in cores.iter().enumerate() {
            if cores[..n].contains(core) {
                return Err(BadPin::Twice(*core));
            }
            if !allowed.contains(core) {
                return Err(BadPin::Foreign(*core));
            }
        }
        Ok(cores.clone())
    }
}

/// The cores that this process may use, ascending.
///
/// # Errors
/// What the kernel says.
pub(crate) fn allowed() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
}

/// Puts the calling thread on one core.
///
/// # Errors
/// What the kernel says; the thread stays where it was.
pub(crate) fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

/// Which priorities shards and recorder get: all of them or none.
///
/// Never the recorder's alone: it would go before the shards that it is to stand behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As said.
    Raised(Nices),
    /// All threads alike.
    Equal,
}

impl Order {
    /// What `pin` asks for and the kernel allows: how far a thread may go is tried with one that does nothing else.
    pub(crate) fn of(pin: &Pin) -> Order {
        if *pin == Pin::Off {
            return Order::Equal;
        }
        let allowed = |nices: &Nices| {
            let shard = nices.shard;
            let tried = std::thread::spawn(move || raise(shard)).join();
            matches!(tried, Ok(Ok(())))
        };
        if let Some(nices) = LEVELS.into_iter().find(allowed) {
            let Nices { shard, recorder } = nices;
            tracing::info!(nice = shard, recorder, "shards go before other threads");
            Order::Raised(nices)
        } else {
            tracing::info!("shards have the priority of all threads: a raised one is not allowed");
            Order::Equal
        }
    }

    /// Gives the calling thread the nice value that `whose` picks, if threads are raised at all.
    pub(crate) fn settle(self, whose: fn(Nices) -> i32) {
        let Order::Raised(nices) = self else { return };
        let nice = whose(nices);
        if let Err(fault) = raise(nice) {
            tracing::warn!(nice, %fault, "a thread keeps the priority of all");
        }
    }
}

/// Puts the calling thread before others: on Linux a thread has a nice value of its own.
///
/// # Errors
/// What the kernel says, mostly that it is not allowed.
fn raise(nice: i32) -> io::Result<()> {
    Ok(setpriority_process(None, nice)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_a_word_or_a_list() {
        assert_eq!("off".parse(), Ok(Pin::Off));
        assert_eq!(" auto ".parse(), Ok(Pin::Auto));
        assert_eq!("3".parse(), Ok(Pin::Cores(vec![3])));
        assert_eq!("4, 2".parse(), Ok(Pin::Cores(vec![4, 2])));
        for text in ["", "on", "1,", "-1", "1;2"] {
            assert_eq!(text.parse::<Pin>(), Err(BadPin::Text), "{text:?}");
        }
    }

    #[test]
    fn by_itself_it_pins_only_where_a_core_is_left_over_for_the_rest() {
        let place = |shards, allowed: &[usize]| Pin::Auto.place(shards, allowed).unwrap();
        assert!(place(1, &[0]).is_empty());
        assert!(place(1, &[0, 1]).is_empty(), "two cores");
        assert_eq!(place(1, &[0, 1, 2]), [2]);
        assert_eq!(place(2, &[0, 1, 2]), [1, 2]);
        assert!(place(3, &[0, 1, 2]).is_empty(), "nothing is left over");
        assert_eq!(place(2, &[4, 5, 9, 11]), [9, 11], "a container's own set");
        assert!(Pin::Off.place(2, &[0, 1, 2, 3]).unwrap().is_empty());
    }

    #[test]
    fn a_list_is_taken_as_it_is_or_refused() {
        let place = |cores: &[usize], shards| Pin::Cores(cores.to_vec()).place(shards, &[1, 2, 5]);
        assert_eq!(place(&[5, 1], 2), Ok(vec![5, 1]));
        assert_eq!(place(&[5, 1], 1), Err(BadPin::Count { given: 2, shards: 1 }));
        assert_eq!(place(&[5, 5], 2), Err(BadPin::Twice(5)));
        assert_eq!(place(&[5, 3], 2), Err(BadPin::Foreign(3)));
    }

    #[test]
    fn off_raises_nobody_and_the_recorder_stays_behind_the_shards() {
        assert_eq!(Order::of(&Pin::Off), Order::Equal);
        for nices in LEVELS {
            assert!(nices.shard < nices.recorder && nices.recorder < 0);
        }
        assert!(
            LEVELS.is_sorted_by_key(|nices| nices.shard),
            "the highest is tried first"
        );
        let nice = |order: Order, whose: fn(Nices) -> i32| {
            let settled = std::thread::spawn(move || {
                order.settle(whose);
                rustix::process::getpriority_process(None).expect("the kernel tells")
            });
            settled.join().expect("no panic")
        };
        let plain = rustix::process::getpriority_process(None).expect("the kernel tells");
        assert_eq!(nice(Order::Equal, |nices| nices.shard), plain);
        let raised = Order::of(&Pin::Auto);
        let both = (nice(raised, |nices| nices.shard), nice(raised, |nices| nices.recorder));
        match raised {
            Order::Raised(nices) => assert_eq!(both, (nices.shard, nices.recorder)),
            Order::Equal => assert_eq!(both, (plain, plain)),
        }
    }

    #[test]
    fn a_thread_goes_where_it_is_put_and_nowhere_beyond_what_it_may() {
        let mine = allowed().expect("the kernel tells");
        let last = *mine.last().expect("this thread runs somewhere");
        let moved = std::thread::spawn(move || {
            pin(last).expect("an allowed core");
            allowed().expect("the kernel tells")
        });
        assert_eq!(moved.join().expect("no panic"), [last]);
        assert_eq!(allowed().expect("the kernel tells"), mine, "others stay");
        assert!(pin(CpuSet::MAX_CPU - 1).is_err() || mine.contains(&(CpuSet::MAX_CPU - 1)));
    }
}
