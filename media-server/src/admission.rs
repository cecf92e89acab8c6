//! Whether a shard takes another room: by what its thread was measured to spend, not by a guess.
//!
//! Three things are watched: the share of a core that the thread used, the longest time that a datagram may have
//! waited for it, and the handshakes that wait for the helper. Rooms that were promised a moment ago and are not heard
//! in those figures yet count with what a room costs by the shard's own figures.
//!
//! Pure: figures and time are arguments. It never looks at a room that lives: whoever is in may go on and add legs.
//!
//! Invariant: a shard without figures takes rooms, or a node that has just started would refuse its first call.

use std::collections::VecDeque;

/// Share of a core from which on new rooms are refused, unless the setting names another one: what is left carries the
/// bursts of those that live. What strangers at the relay made the thread do does not count, here and below: it fills what
/// would else be idle, and a flood of them would keep callers out.
pub const BUSY_MAX: f64 = 0.9;
/// Share from which on preflights and then pure listeners are put out, so that talk goes on.
pub const BUSY_SHED: f64 = 0.95;
/// Longest wait of a datagram, nanoseconds, above which a second counts as slow: two frames and a half; jitter buffers
/// hide about that much.
pub const DELAY_NS_MAX: u64 = 50_000_000;
/// Slow seconds among the last [`SECONDS`] from which on new rooms are refused: one stall is the machine's, three are
/// ours.
pub const SLOW_MAX: usize = 3;
/// Seconds that are looked back at.
pub const SECONDS: usize = 5;
/// Datagrams of handshakes that wait beside the helper's full queue, from which on new rooms are refused: the queue
/// itself holds a second of joins, and what is in here already waits for longer.
pub const HANDSHAKES_MAX: usize = 1;
/// Packets per second that a room may bring: two who speak in frames of 20 ms.
pub const ROOM_PACKETS_PER_S: f64 = 100.0;
/// Nanoseconds after which a promised room is heard in the figures: it is set up, and the mean of five seconds knows it.
pub const PROMISE_NS: u64 = 10_000_000_000;
/// Nanoseconds of the thread per packet while there are no figures: twice the kernel's own share.
const ASSUMED_NS: f64 = 10_000.0;
/// Packets per second from which on the thread's own cost per packet says something: below, waking up is most of it.
const FIGURES_FROM: f64 = 5_000.0;

/// Why a shard takes no new room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Full {
    /// As many legs as the setting allows.
    Legs,
    /// [`BUSY_MAX`].
    Busy,
    /// [`DELAY_NS_MAX`].
    Delay,
    /// [`HANDSHAKES_MAX`].
    Handshakes,
}

impl Full {
    /// All of them.
    pub const ALL: [Full; 4] = [Full::Legs, Full::Busy, Full::Delay, Full::Handshakes];

    /// Stable word for metrics and logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Full::Legs => "legs",
            Full::Busy => "busy",
            Full::Delay => "delay",
            Full::Handshakes => "handshakes",
        }
    }
}

/// Who has to go while a shard is overloaded; never anybody in a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outs {
    /// Who tests his line.
    pub line_tests: bool,
    /// Who only listens.
    pub listeners: bool,
}

/// How long a shard has been overloaded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overload {
    looks: u32,
}

impl Overload {
    /// One look, once a second: line tests go at the first above [`BUSY_SHED`], listeners only if that was not enough.
    pub fn look(&mut self, busy: f64) -> Outs {
        self.looks = if busy >= BUSY_SHED {
            self.looks.saturating_add(1)
        } else {
            0
        };
        Outs {
            line_tests: self.looks >= 1,
            listeners: self.looks >= 2,
        }
    }
}

/// What a shard was seen to do in the last second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Look {
    /// Share of a core, mean of the last seconds.
    pub busy: f64,
    /// Datagrams taken since the start.
    pub datagrams: u64,
    /// Longest that one may have waited, nanoseconds.
    pub delay_ns: u64,
    /// Most handshake jobs that waited beside the helper's queue at once.
    pub handshakes: usize,
}

/// One shard's figures.
#[derive(Clone, Debug)]
pub struct Budget {
    /// See [`BUSY_MAX`].
    busy_max: f64,
    /// (clock, datagrams, delay), oldest first.
    seconds: VecDeque<(u64, u64, u64)>,
    busy: f64,
    handshakes: usize,
    /// When rooms were promised, oldest first.
    promised: VecDeque<u64>,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget::new(BUSY_MAX)
    }
}

impl Budget {
    /// Without figures. `busy_max`: share of a core from which on no new room comes.
    #[must_use]
    pub fn new(busy_max: f64) -> Budget {
        Budget {
            busy_max,
            seconds: VecDeque::new(),
            busy: 0.0,
            handshakes: 0,
            promised: VecDeque::new(),
        }
    }

    /// Takes one second's figures.
    pub fn look(&mut self, now: u64, look: Look) {
        // One more than the seconds between them.
        if self.seconds.len() > SECONDS {
            self.seconds.pop_front();
        }
        self.seconds.push_back((now, look.datagrams, look.delay_ns));
        self.busy = look.busy;
        self.handshakes = look.handshakes;
        self.forget(now);
    }

    /// A room was promised.
    pub fn promise(&mut self, now: u64) {
        self.forget(now);
        self.promised.push_back(now);
    }

    /// Whether one more room may come.
    ///
    /// # Errors
    /// [`Full`].
    pub fn may_take(&self, now: u64) -> Result<(), Full> {
        let young = self.promised.iter().filter(|at| now.saturating_sub(**at) < PROMISE_NS);
        let rooms = young.count() as f64 + 1.0;
        if self.busy + rooms * ROOM_PACKETS_PER_S * self.packet_ns() / 1e9 > self.busy_max {
            return Err(Full::Busy);
        }
        let recent = self.seconds.iter().rev().take(SECONDS);
        if recent.filter(|(_, _, delay)| *delay > DELAY_NS_MAX).count() >= SLOW_MAX {
            return Err(Full::Delay);
        }
        if self.handshakes >= HANDSHAKES_MAX {
            return Err(Full::Handshakes);
        }
        Ok(())
    }

    /// Nanoseconds of the thread per packet.
    fn packet_ns(&self) -> f64 {
        let (Some(first), Some(last)) = (self.seconds.front(), self.seconds.back()) else {
            return ASSUMED_NS;
        };
        let wall_s = last.0.saturating_sub(first.0) as f64 / 1e9;
        let rate = last.1.saturating_sub(first.1) as f64 / wall_s.max(f64::EPSILON);
        if rate < FIGURES_FROM {
            return ASSUMED_NS;
        }
        self.busy * 1e9 / rate
    }

    fn forget(&mut self, now: u64) {
        while self
            .promised
            .front()
            .is_some_and(|at| now.saturating_sub(*at) >= PROMISE_NS)
        {
            self.promised.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// A budget after six seconds of the same figures, and the time.
    fn steady(busy: f64, packets_per_s: u64, delay_ns: u64) -> (Budget, u64) {
        let mut budget = Budget::default();
        for second in 1..=6 {
            let look = Look {
                busy,
                datagrams: second * packets_per_s,
                delay_ns,
                handshakes: 0,
            };
            budget.look(second * SECOND, look);
        }
        (budget, 6 * SECOND)
    }

    #[test]
    fn line_tests_go_at_once_and_listeners_if_that_was_not_enough() {
        let mut overload = Overload::default();
        let mut look = |busy| {
            let outs = overload.look(busy);
            (outs.line_tests, outs.listeners)
        };
        assert_eq!(look(BUSY_SHED - 0.001), (false, false));
        assert_eq!(look(BUSY_SHED), (true, false));
        assert_eq!(look(1.0), (true, true));
        assert_eq!(look(BUSY_SHED - 0.001), (false, false));
        assert_eq!(look(1.0), (true, false), "it begins anew");
    }

    #[test]
    fn a_shard_without_figures_takes_rooms_as_far_as_their_assumed_cost_goes() {
        let mut budget = Budget::default();
        let mut rooms = 0;
        while budget.may_take(0).is_ok() {
            budget.promise(0);
            rooms += 1;
        }
        // 100 packets of 10 us are a thousandth of a core.
        assert_eq!(rooms, 900);
        assert_eq!(budget.may_take(PROMISE_NS - 1), Err(Full::Busy));
        assert_eq!(
            budget.may_take(PROMISE_NS),
            Ok(()),
            "promises are heard in the figures by then"
        );
    }

    #[test]
    fn the_measured_share_decides_with_what_one_more_room_costs() {
        // 80,000 packets at 0.8 of a core: 10 us each, a thousandth per room.
        let (budget, now) = steady(0.8, 80_000, 0);
        assert_eq!(budget.may_take(now), Ok(()));
        let (budget, now) = steady(0.899, 89_900, 0);
        assert_eq!(budget.may_take(now), Ok(()), "the room just fits");
        let (budget, now) = steady(0.8995, 89_950, 0);
        assert_eq!(budget.may_take(now), Err(Full::Busy));
        // The cheaper a packet, the more promises fit into the same rest.
        let (mut budget, now) = steady(0.4, 80_000, 0);
        for _ in 0..999 {
            budget.promise(now);
        }
        assert_eq!(budget.may_take(now), Ok(()));
        budget.promise(now);
        assert_eq!(budget.may_take(now), Err(Full::Busy));
    }

    #[test]
    fn another_share_may_be_set() {
        let mut budget = Budget::new(0.0019);
        assert_eq!(budget.may_take(0), Ok(()));
        budget.promise(0);
        assert_eq!(budget.may_take(0), Err(Full::Busy));
        let look = Look {
            busy: 0.0009,
            ..Look::default()
        };
        budget.look(PROMISE_NS, look);
        assert_eq!(budget.may_take(PROMISE_NS), Ok(()), "it just fits");
        let look = Look {
            busy: 0.0010,
            ..Look::default()
        };
        budget.look(PROMISE_NS, look);
        assert_eq!(budget.may_take(PROMISE_NS), Err(Full::Busy));
    }

    #[test]
    fn few_packets_say_nothing_about_their_cost() {
        // 1,000 packets at 4 % are 40 us each, nearly all of it waking up; a room is not taken for four thousandths.
        let (mut budget, now) = steady(0.04, 1_000, 0);
        for _ in 0..859 {
            budget.promise(now);
        }
        assert_eq!(budget.may_take(now), Ok(()));
    }

    #[test]
    fn one_stall_is_forgiven_and_three_of_five_seconds_are_not() {
        let (mut budget, mut now) = steady(0.1, 10_000, 0);
        let mut second = |budget: &mut Budget, delay_ns| {
            now += SECOND;
            let look = Look {
                busy: 0.1,
                datagrams: now / SECOND * 10_000,
                delay_ns,
                handshakes: 0,
            };
            budget.look(now, look);
            budget.may_take(now)
        };
        let slow = DELAY_NS_MAX + 1;
        assert_eq!(second(&mut budget, slow), Ok(()));
        assert_eq!(
            second(&mut budget, DELAY_NS_MAX),
            Ok(()),
            "the limit itself is no stall"
        );
        assert_eq!(second(&mut budget, slow), Ok(()));
        assert_eq!(second(&mut budget, slow), Err(Full::Delay));
        assert_eq!(second(&mut budget, 0), Err(Full::Delay), "three of the last five");
        assert_eq!(second(&mut budget, 0), Ok(()), "two of the last five");
    }

    #[test]
    fn handshakes_that_wait_keep_others_out() {
        let (mut budget, now) = steady(0.1, 10_000, 0);
        for (handshakes, expected) in [(HANDSHAKES_MAX - 1, Ok(())), (HANDSHAKES_MAX, Err(Full::Handshakes))] {
            let look = Look {
                busy: 0.1,
                datagrams: 70_000,
                delay_ns: 0,
                handshakes,
            };
            budget.look(now + SECOND, look);
            assert_eq!(budget.may_take(now + SECOND), expected);
        }
    }
}
