//! A relay worker that a shard runs in its own thread.
//!
//! Its sockets are open to the whole world, so a flood of strangers' requests comes to the shard's own thread. What it may
//! take there is bounded by count: a turn of the shard reads one batch of it, 64 datagrams to the 256 of its own sockets, and
//! of a batch that came full a quarter of the strangers is answered. What is not read stays in the relay's sockets, and
//! overflows there and not in those of media. So when media needs the thread, a flood has a small part of it, and what a
//! flood takes beyond is what would else be idle. A thread that is busy with that is not full: how long strangers took is counted
//! apart ([`Spent`]), and neither admission nor shedding counts it.
//!
//! Invariant: whatever it does wrong costs the relay's clients and nobody else: a panic ends it, and the shard goes on.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ports::{GuestRead, RelayGuest};
use udp::{Interest, Poller};

/// What a shard's poller calls the guest's first descriptor; the next ones follow.
pub(crate) const GUEST: u64 = 64;
/// Most descriptors of a guest: as many as there are bits in what says which of them are ready.
const DESCRIPTORS_MAX: usize = 64;

/// What the guest's last read took of the thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    read: GuestRead,
    ns: u64,
}

impl Spent {
    /// Nanoseconds of a turn that were for strangers. `turn_ns`: the whole turn, if the shard itself had nothing to do in it:
    /// then it was there for the guest alone, with all that a turn costs. Else they have their share of the read, by number.
    pub(crate) fn on_strangers(self, turn_ns: Option<u64>) -> u64 {
        let GuestRead { datagrams, strangers } = self.read;
        if strangers == 0 {
            return 0;
        }
        let all = turn_ns.unwrap_or(self.ns).max(self.ns);
        (u128::from(all) * strangers as u128 / datagrams.max(strangers) as u128) as u64
    }
}

/// See the top of this file.
pub(crate) struct Guest {
    worker: Box<dyn RelayGuest>,
    /// The descriptor behind the one that was read last: a busy one does not keep the others waiting.
    next: u32,
    /// It has panicked.
    broken: bool,
}

impl Guest {
    /// Puts its descriptors into the poller; `None` when it cannot be waited for.
    pub(crate) fn enter(worker: Box<dyn RelayGuest>, poller: &Poller) -> Option<Guest> {
        let descriptors = worker.descriptors();
        let fit = descriptors.len() <= DESCRIPTORS_MAX;
        let mut numbered = descriptors.iter().zip(GUEST..);
        let added = numbered.try_for_each(|(descriptor, token)| poller.add(descriptor, token, Interest::Read));
        drop(descriptors);
        if let (true, Ok(())) = (fit, &added) {
            return Some(Guest {
                worker,
                next: 0,
                broken: false,
            });
        }
        tracing::error!(fault = ?added.err(), "the relay's UDP ports cannot be waited for: nobody reads them");
        None
    }

    /// Reads from one of the descriptors whose bits are set in `ready`. `clock`: nanoseconds; not asked when none is.
    pub(crate) fn read(&mut self, ready: u64, clock: impl Fn() -> u64) -> Spent {
        if ready == 0 {
            return Spent::default();
        }
        let number = (self.next + ready.rotate_right(self.next).trailing_zeros()) % u64::BITS;
        self.next = (number + 1) % u64::BITS;
        let begun = clock();
        let read = self.run(|worker| worker.read(number as usize)).unwrap_or_default();
        Spent {
            read,
            ns: clock().saturating_sub(begun),
        }
    }

    /// Sends; false when it is over.
    pub(crate) fn write(&mut self) -> bool {
        !self.broken && self.run(|worker| worker.write()).unwrap_or(false)
    }

    /// How many milliseconds may be waited, `longest` at most.
    pub(crate) fn park(&mut self, longest: i32) -> i32 {
        let asked = self.run(|worker| worker.park()).unwrap_or(0);
        i32::try_from(asked).map_or(longest, |asked| asked.min(longest))
    }

    /// The thread is awake.
    pub(crate) fn unpark(&mut self) {
        self.run(|worker| worker.unpark());
    }

    /// Its descriptors leave the poller, and it goes.
    pub(crate) fn leave(self, poller: &Poller) {
        for descriptor in self.worker.descriptors() {
            // Closing it would do, if nobody else held its bell.
            if let Err(fault) = poller.remove(&descriptor) {
                tracing::warn!(%fault, "a descriptor of the relay was not waited for");
            }
        }
    }

    fn run<T>(&mut self, work: impl FnOnce(&mut dyn RelayGuest) -> T) -> Option<T> {
        let worker = self.worker.as_mut();
        let done = catch_unwind(AssertUnwindSafe(|| work(worker)));
        if done.is_err() {
            self.broken = true;
            tracing::error!("a defect ended the relay over UDP; calls that do not go through it go on");
        }
        done.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, BorrowedFd};
    use std::sync::{Arc, Mutex};

    use udp::Bell;

    use super::*;

    /// Notes what it is asked to read, and panics at number 7.
    struct Noting {
        bells: Vec<Bell>,
        read: Arc<Mutex<Vec<usize>>>,
    }

    impl RelayGuest for Noting {
        fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
            self.bells.iter().map(AsFd::as_fd).collect()
        }

        fn read(&mut self, descriptor: usize) -> GuestRead {
            assert_ne!(descriptor, 7, "as a defect would");
            self.read.lock().unwrap().push(descriptor);
            GuestRead {
                datagrams: 64,
                strangers: descriptor,
            }
        }

        fn write(&mut self) -> bool {
            true
        }

        fn park(&mut self) -> u32 {
            30
        }

        fn unpark(&mut self) {}
    }

    fn guest(descriptors: usize, poller: &Poller) -> (Option<Guest>, Arc<Mutex<Vec<usize>>>) {
        let read = Arc::default();
        let worker = Noting {
            bells: (0..descriptors).map(|_| Bell::new().unwrap()).collect(),
            read: Arc::clone(&read),
        };
        (Guest::enter(Box::new(worker), poller), read)
    }

    #[test]
    fn those_that_are_ready_are_read_in_turn_one_at_a_time() {
        let poller = Poller::new(4).unwrap();
        let (guest, read) = guest(DESCRIPTORS_MAX, &poller);
        let mut guest = guest.unwrap();
        for ready in [0b1001, 0b1001, 0b1001, 0, 1 << 63, 1 << 63, 0b10] {
            guest.read(ready, || 0);
        }
        assert_eq!(*read.lock().unwrap(), [0, 3, 0, 63, 63, 1]);
        assert_eq!((guest.park(250), guest.park(20)), (30, 20));
    }

    #[test]
    fn strangers_have_their_share_of_the_read_and_a_turn_that_was_theirs_alone() {
        let poller = Poller::new(4).unwrap();
        let mut guest = guest(DESCRIPTORS_MAX, &poller).0.unwrap();
        let time = std::cell::Cell::new(5_000);
        let clock = || {
            time.set(time.get() + 6_400);
            time.get()
        };
        assert_eq!(guest.read(0, clock).on_strangers(Some(9_999)), 0, "nothing was read");
        assert_eq!(time.get(), 5_000, "and nobody asked for the time");
        let mut spent = |strangers: u32| guest.read(1 << strangers, clock);
        assert_eq!(spent(0).on_strangers(Some(9_999)), 0, "all were of allocations");
        assert_eq!(spent(16).on_strangers(None), 1_600);
        assert_eq!(spent(16).on_strangers(Some(20_000)), 5_000);
        assert_eq!(spent(63).on_strangers(None), 6_300);
    }

    #[test]
    fn more_descriptors_than_bits_are_refused() {
        let poller = Poller::new(4).unwrap();
        assert!(guest(DESCRIPTORS_MAX + 1, &poller).0.is_none());
    }

    #[test]
    fn a_defect_ends_it_and_its_descriptors_are_waited_for_no_more() {
        let mut poller = Poller::new(4).unwrap();
        let (guest, _) = guest(8, &poller);
        let mut guest = guest.unwrap();
        assert!(guest.write());
        assert_eq!(guest.read(1 << 7, || 0), Spent::default());
        assert!(!guest.write());
        guest.leave(&poller);
        let (again, _) = self::guest(8, &poller);
        assert!(again.is_some_and(|mut guest| guest.write()));
        assert_eq!(poller.wait(0).unwrap(), 0);
    }
}
