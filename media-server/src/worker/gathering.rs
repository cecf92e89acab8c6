//! How long a busy shard lets datagrams gather before it reads on.
//!
//! A wake-up costs as much as a packet, and the first packet of a batch waits for memory that the others find in the caches. A
//! shard with much to do has a call's packets coming every few microseconds, so it takes them thirty at a time instead of
//! eight, as network cards do: for less of the core, and for a wait that is a fortieth of a frame. A shard with little to do
//! never lets anybody wait.
//!
//! Pure: the thread tells when it worked, and asks.
//!
//! Invariant: never longer than [`WAIT_NS`] between two reads, and no wait by itself until [`FROM`] of a core was used.

/// Share of a core from which on datagrams gather. Higher: dearer packets at half load. Lower: latency where there is
/// processor to spare.
const FROM: f64 = 0.40;
/// Share of a core below which they gather no more; the load falls by a tenth of itself when they begin to. Higher: it comes
/// and goes. Lower: latency for longer than it is worth.
const UNTIL: f64 = 0.28;
/// Nanoseconds between two reads at least: with its own work half of the millisecond that a packet may take longer at 90 % of a
/// core. Higher: latency. Lower: smaller batches; and 100 us cost more than no wait, for a sleep is not free either.
pub(crate) const WAIT_NS: u64 = 500_000;
/// Nanoseconds of a wait that is worth going to sleep for.
const LEAST_NS: u64 = 20_000;
/// Nanoseconds over which the load is looked at. Higher: a sudden load is carried the dear way for longer. Lower: chance.
const LOOK_EVERY: u64 = 100_000_000;

/// See the top of this file.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    looked_at: u64,
    worked: u64,
    /// Of the last looks, the newer the more.
    share: f64,
    on: bool,
}

impl Gathering {
    /// The thread worked from `begin` to `end`.
    #[inline]
    pub(crate) fn turn(&mut self, begin: u64, end: u64) {
        self.worked += end.saturating_sub(begin);
        if end.saturating_sub(self.looked_at) >= LOOK_EVERY {
            self.look(end);
        }
    }

    fn look(&mut self, now: u64) {
        let share = self.worked as f64 / now.saturating_sub(self.looked_at) as f64;
        // Half of the way: what one look saw may have been chance.
        self.share = self.share.midpoint(share);
        self.on = self.share >= if self.on { UNTIL } else { FROM };
        (self.looked_at, self.worked) = (now, 0);
    }

    /// Nanoseconds to wait at `now` before the next read, if the last one was at `read_at`.
    #[inline]
    pub(crate) fn left(&self, read_at: u64, now: u64) -> Option<u64> {
        let left = (read_at + self.wait_ns()).saturating_sub(now);
        (left >= LEAST_NS).then_some(left)
    }

    /// What lies between two reads at least, nanoseconds.
    pub(crate) fn wait_ns(&self) -> u64 {
        if self.on { WAIT_NS } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread that works for `share` of every millisecond, for so many looks.
    fn busy(gathering: &mut Gathering, from: u64, share: f64, looks: u64) -> u64 {
        let end = from + looks * LOOK_EVERY;
        for begin in (from..end).step_by(1_000_000) {
            gathering.turn(begin, begin + (share * 1e6) as u64);
            gathering.turn(begin + 1_000_000, begin + 1_000_000);
        }
        end
    }

    #[test]
    fn nobody_waits_for_a_shard_with_little_to_do() {
        for share in [0.0, 0.1, 0.3, FROM - 0.01] {
            let mut gathering = Gathering::default();
            busy(&mut gathering, 0, share, 30);
            assert_eq!(gathering.wait_ns(), 0, "{share}");
            assert_eq!(gathering.left(5, 5), None);
        }
    }

    #[test]
    fn a_busy_one_waits_until_it_has_clearly_less_to_do() {
        let mut gathering = Gathering::default();
        let now = busy(&mut gathering, 0, 0.7, 1);
        assert_eq!(gathering.wait_ns(), 0, "one look may have been chance");
        let now = busy(&mut gathering, now, FROM + 0.01, 10);
        assert_eq!(gathering.wait_ns(), WAIT_NS);
        let now = busy(&mut gathering, now, UNTIL + 0.01, 30);
        assert_eq!(gathering.wait_ns(), WAIT_NS, "less, for it waits");
        let now = busy(&mut gathering, now, UNTIL - 0.01, 30);
        assert_eq!(gathering.wait_ns(), 0);
        busy(&mut gathering, now, FROM - 0.01, 30);
        assert_eq!(gathering.wait_ns(), 0);
    }

    #[test]
    fn what_a_turn_took_is_a_part_of_the_wait_and_a_short_rest_is_none() {
        let mut gathering = Gathering::default();
        busy(&mut gathering, 0, 1.0, 30);
        let read_at = 7_000_000_000;
        let end = read_at + WAIT_NS;
        assert_eq!(gathering.left(read_at, read_at + 100_000), Some(WAIT_NS - 100_000));
        assert_eq!(gathering.left(read_at, end - LEAST_NS), Some(LEAST_NS));
        assert_eq!(gathering.left(read_at, end - LEAST_NS + 1), None);
        assert_eq!(gathering.left(read_at, end + 1), None);
    }
}
