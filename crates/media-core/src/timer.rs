//! A hashed timer wheel: one place per timer, 10 ms ticks.
//!
//! It reads no clock and never sweeps: a turn touches the buckets that have become due and nothing else. Arming
//! allocates only when an id is larger than any before.
//!
//! Invariant: a timer is in at most one bucket, and it fires at most once per arming, never early.

use crate::limits::MS;

/// Nanoseconds of one tick: finer than any time-out here needs, coarse enough to cost nothing.
pub const TICK: u64 = 10 * MS;
/// Buckets: 10.24 s. Later deadlines share a bucket with nearer ones and wait for their round.
const BUCKETS: usize = 1_024;
const NIL: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Node {
    previous: u32,
    next: u32,
    /// The tick at which it fires.
    tick: u64,
    armed: bool,
}

const IDLE: Node = Node {
    previous: NIL,
    next: NIL,
    tick: 0,
    armed: false,
};

/// The wheel. Ids are small numbers chosen by the caller.
#[derive(Debug)]
pub struct Wheel {
    nodes: Vec<Node>,
    heads: Box<[u32]>,
    /// The first tick whose bucket may still hold something due.
    cursor: u64,
}

impl Wheel {
    /// An empty wheel that stands at `now`.
    #[must_use]
    pub fn new(now: u64) -> Wheel {
        Wheel {
            nodes: Vec::new(),
            heads: vec![NIL; BUCKETS].into_boxed_slice(),
            cursor: now / TICK,
        }
    }

    /// Arms timer `id` for `at`, in place of its earlier deadline. A time that has passed fires with the next tick.
    pub fn arm(&mut self, id: u32, at: u64) {
        let index = id as usize;
        if index >= self.nodes.len() {
            self.nodes.resize(index + 1, IDLE);
        }
        self.disarm(id);
        // Always behind the bucket in work, so a timer that arms itself for "now" cannot hold a turn for ever.
        let tick = at.div_ceil(TICK).max(self.cursor + 1);
        let bucket = (tick % BUCKETS as u64) as usize;
        let head = self.heads[bucket];
        self.nodes[index] = Node {
            previous: NIL,
            next: head,
            tick,
            armed: true,
        };
        if head != NIL {
            self.nodes[head as usize].previous = id;
        }
        self.heads[bucket] = id;
    }

    /// Takes timer `id` out; nothing happens if it is not armed.
    pub fn disarm(&mut self, id: u32) {
        let Some(node) = self.nodes.get_mut(id as usize) else {
            return;
        };
        if !node.armed {
            return;
        }
        let Node {
            previous, next, tick, ..
        } = *node;
        *node = IDLE;
        if previous == NIL {
            self.heads[(tick % BUCKETS as u64) as usize] = next;
        } else {
            self.nodes[previous as usize].next = next;
        }
        if next != NIL {
            self.nodes[next as usize].previous = previous;
        }
    }

    /// Takes out one timer that is due at `now`; call until `None`.
    pub fn pop_due(&mut self, now: u64) -> Option<u32> {
        let target = now / TICK;
        // After a long stall every bucket is looked at once, not once per missed tick.
        self.cursor = self.cursor.max(target.saturating_sub(BUCKETS as u64));
        while self.cursor <= target {
            let mut id = self.heads[(self.cursor % BUCKETS as u64) as usize];
            while id != NIL {
                let node = self.nodes[id as usize];
                if node.tick <= target {
                    self.disarm(id);
                    return Some(id);
                }
                id = node.next;
            }
            if self.cursor == target {
                return None;
            }
            self.cursor += 1;
        }
        None
    }

    /// When to look again: never later than the earliest timer, perhaps earlier. `None` with no timer armed.
    #[must_use]
    pub fn wake_at(&self) -> Option<u64> {
        (self.cursor..self.cursor + BUCKETS as u64)
            .find(|tick| self.heads[(tick % BUCKETS as u64) as usize] != NIL)
            .map(|tick| tick * TICK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SECOND;

    fn due(wheel: &mut Wheel, now: u64) -> Vec<u32> {
        let mut ids: Vec<u32> = std::iter::from_fn(|| wheel.pop_due(now)).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn timers_fire_once_at_their_tick_and_never_early() {
        let mut wheel = Wheel::new(5 * SECOND);
        wheel.arm(3, 6 * SECOND);
        wheel.arm(1, 6 * SECOND + 1);
        assert_eq!(due(&mut wheel, 6 * SECOND - 1), [0u32; 0]);
        assert_eq!(due(&mut wheel, 6 * SECOND), [3]);
        assert_eq!(due(&mut wheel, 6 * SECOND + TICK), [1]);
        assert_eq!(due(&mut wheel, 60 * SECOND), [0u32; 0]);
    }

    #[test]
    fn arming_again_moves_a_timer_and_disarming_takes_it_out() {
        let mut wheel = Wheel::new(0);
        for id in 0..4 {
            wheel.arm(id, SECOND);
        }
        wheel.arm(2, 2 * SECOND);
        wheel.disarm(1);
        wheel.disarm(1);
        wheel.disarm(77);
        assert_eq!(due(&mut wheel, SECOND), [0, 3]);
        assert_eq!(due(&mut wheel, 2 * SECOND), [2]);
    }

    #[test]
    fn a_deadline_beyond_one_round_waits_for_its_round() {
        let mut wheel = Wheel::new(0);
        wheel.arm(0, 30 * SECOND);
        let mut now = 0;
        while now < 30 * SECOND {
            assert_eq!(wheel.pop_due(now), None);
            now += 7 * TICK;
        }
        assert_eq!(due(&mut wheel, 30 * SECOND), [0]);
    }

    #[test]
    fn a_timer_that_arms_itself_for_now_does_not_hold_the_turn() {
        let mut wheel = Wheel::new(0);
        wheel.arm(0, SECOND);
        assert_eq!(wheel.pop_due(SECOND), Some(0));
        wheel.arm(0, SECOND);
        assert_eq!(wheel.pop_due(SECOND), None);
        assert_eq!(wheel.pop_due(SECOND + TICK), Some(0));
    }

    #[test]
    fn after_an_hour_of_stall_everything_due_comes_at_once() {
        let mut wheel = Wheel::new(0);
        for id in 0..100 {
            wheel.arm(id, u64::from(id) * SECOND);
        }
        assert_eq!(due(&mut wheel, 3_600 * SECOND).len(), 100);
    }

    #[test]
    fn wake_at_is_never_later_than_the_earliest_timer() {
        let mut wheel = Wheel::new(0);
        assert_eq!(wheel.wake_at(), None);
        wheel.arm(0, 3 * SECOND);
        wheel.arm(1, 25 * SECOND);
        assert_eq!(wheel.wake_at(), Some(3 * SECOND));
        assert_eq!(due(&mut wheel, 3 * SECOND), [0]);
        assert!(wheel.wake_at().unwrap() <= 25 * SECOND);
    }
}
