//! All allocations of one core: by place, by flow, by leg, and by when they end.
//!
//! Invariant: only an authenticated Allocate makes an entry, and every way out of the table goes through
//! [`Table::remove`].

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use ports::LegId;

use super::Flow;
use super::allocation::{Allocation, LIFETIME_S_MAX};
use super::edge::Handle;
use super::hash::Keyed;
use super::peers::Kind;

/// Seconds that the wheel reaches ahead: more than the longest lifetime.
const WHEEL_SECONDS: usize = 4_096;
const _: () = assert!(WHEEL_SECONDS > LIFETIME_S_MAX as usize + 1);

/// An entry of the wheel. A turn of the wheel may lie between the second and the visit of its place.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Timer {
    handle: Handle,
    second: u32,
}

struct Slot<K: Kind> {
    generation: u32,
    allocation: Option<Allocation<K>>,
}

/// See the top of this file.
pub(crate) struct Table<K: Kind> {
    slots: Vec<Slot<K>>,
    /// The generation that a place begins with.
    first: u32,
    free: Vec<u32>,
    flows: HashMap<Flow, u32, Keyed>,
    /// The first allocation of each leg.
    legs: HashMap<LegId, u32, Keyed>,
    wheel: Box<[Vec<Timer>]>,
    wheel_s: u32,
}

/// Entries and room of a core's tables: for the test that nobody without a credential makes them grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Places made for allocations.
    pub slots: usize,
    /// Places that memory is there for.
    pub slots_capacity: usize,
    /// Flows known.
    pub flows: usize,
    /// Flows that memory is there for.
    pub flows_capacity: usize,
    /// Legs known.
    pub legs: usize,
    /// Legs that memory is there for.
    pub legs_capacity: usize,
    /// Entries of the timer wheel.
    pub timers: usize,
}

impl<K: Kind> Table<K> {
    pub(crate) fn new(seed: &[u8; 32], most: u32, now_s: u32) -> Table<K> {
        Table {
            slots: Vec::with_capacity(most as usize),
            first: 0,
            free: Vec::new(),
            // All at once: to grow a large table would hold up packets.
            flows: HashMap::with_capacity_and_hasher(most as usize, Keyed::new(seed, b'f')),
            legs: HashMap::with_capacity_and_hasher(most as usize, Keyed::new(seed, b't')),
            wheel: (0..WHEEL_SECONDS).map(|_| Vec::new()).collect(),
            wheel_s: now_s,
        }
    }

    /// Places that nobody has had yet begin with this generation.
    pub(crate) fn begin_at(&mut self, generation: u32) {
        self.first = generation;
    }

    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }

    pub(crate) fn places(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn footprint(&self) -> Footprint {
        Footprint {
            slots: self.slots.len(),
            slots_capacity: self.slots.capacity(),
            flows: self.flows.len(),
            flows_capacity: self.flows.capacity(),
            legs: self.legs.len(),
            legs_capacity: self.legs.capacity(),
            timers: self.wheel.iter().map(Vec::len).sum(),
        }
    }

    pub(crate) fn find(&self, flow: &Flow) -> Option<u32> {
        self.flows.get(flow).copied()
    }

    pub(crate) fn at(&self, slot: u32) -> Option<&Allocation<K>> {
        self.slots.get(slot as usize)?.allocation.as_ref()
    }

    pub(crate) fn at_mut(&mut self, slot: u32) -> Option<&mut Allocation<K>> {
        self.slots.get_mut(slot as usize)?.allocation.as_mut()
    }

    pub(crate) fn get_mut(&mut self, handle: Handle) -> Option<&mut Allocation<K>> {
        let slot = self.slots.get_mut(handle.slot as usize)?;
        if slot.generation != handle.generation {
            return None;
        }
        slot.allocation.as_mut()
    }

    pub(crate) fn handle(&self, slot: u32) -> Handle {
        Handle {
            slot,
            generation: self.slots.get(slot as usize).map_or(self.first, |slot| slot.generation),
        }
    }

    /// Every allocation with its handle.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Handle, &Allocation<K>)> {
        self.some(0, u32::MAX)
    }

    /// Those in `places` places, beginning with place `from`.
    pub(crate) fn some(&self, from: u32, places: u32) -> impl Iterator<Item = (Handle, &Allocation<K>)> {
        let range = self.slots.iter().enumerate().skip(from as usize).take(places as usize);
        range.filter_map(|(place, slot)| {
            let handle = Handle {
                slot: place as u32,
                generation: slot.generation,
            };
            Some((handle, slot.allocation.as_ref()?))
        })
    }

    /// The place that the next [`Table::insert`] will take.
    pub(crate) fn next_handle(&self) -> Handle {
        let slot = self.free.last().copied().unwrap_or(self.slots.len() as u32);
        self.handle(slot)
    }

    pub(crate) fn insert(&mut self, mut allocation: Allocation<K>) -> Handle {
        let handle = self.next_handle();
        self.flows.insert(allocation.flow, handle.slot);
        allocation.next_of_leg = self.legs.insert(allocation.leg, handle.slot);
        allocation.wheel_s = allocation.until_s;
        self.enlist(allocation.until_s, handle);
        if self.free.pop().is_some() {
            self.slots[handle.slot as usize].allocation = Some(allocation);
        } else {
            self.slots.push(Slot {
                generation: handle.generation,
                allocation: Some(allocation),
            });
        }
        handle
    }

    /// Takes it out; its generation is over.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<Allocation<K>> {
        let place = self.slots.get_mut(slot as usize)?;
        let allocation = place.allocation.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(slot);
        self.flows.remove(&allocation.flow);
        self.unlink(slot, allocation.leg, allocation.next_of_leg);
        Some(allocation)
    }

    /// Takes a place out of its leg's chain.
    fn unlink(&mut self, slot: u32, leg: LegId, next: Option<u32>) {
        let Entry::Occupied(mut head) = self.legs.entry(leg) else {
            return;
        };
        if *head.get() == slot {
            match next {
                Some(next) => *head.get_mut() = next,
                None => {
                    head.remove();
                }
            }
            return;
        }
        let mut at = *head.get();
        while let Some(allocation) = self.at_mut(at) {
            match allocation.next_of_leg {
                Some(after) if after == slot => {
                    allocation.next_of_leg = next;
                    return;
                }
                Some(after) => at = after,
                None => return,
            }
        }
    }

    /// An allocation of this leg.
    pub(crate) fn of_leg(&self, leg: LegId) -> Option<u32> {
        self.legs.get(&leg).copied()
    }

    /// It ends at another time.
    pub(crate) fn extend(&mut self, slot: u32, until_s: u32) {
        let handle = self.handle(slot);
        let Some(allocation) = self.at_mut(slot) else { return };
        allocation.until_s = until_s;
        // Later than the wheel looks: it will find out then. A shorter wish moves the entry, so that an allocation has one,
        // however often its client wishes for less than before.
        let listed_s = allocation.wheel_s;
        if until_s < listed_s {
            allocation.wheel_s = until_s;
            let timers = &mut self.wheel[listed_s as usize % WHEEL_SECONDS];
            let before = Timer {
                handle,
                second: listed_s,
            };
            if let Some(at) = timers.iter().position(|timer| *timer == before) {
                timers.swap_remove(at);
            }
            self.enlist(until_s, handle);
        }
    }

    fn enlist(&mut self, second: u32, handle: Handle) {
        self.wheel[second as usize % WHEEL_SECONDS].push(Timer { handle, second });
    }

    /// Turns the wheel to `now_s`; hands over what has ended, one at a time, still in the table.
    pub(crate) fn ended(&mut self, now_s: u32) -> Option<u32> {
        // After a longer pause one whole turn sees everything.
        self.wheel_s = self.wheel_s.max(now_s.saturating_sub(WHEEL_SECONDS as u32));
        while self.wheel_s <= now_s {
            let place = self.wheel_s as usize % WHEEL_SECONDS;
            while let Some(timer) = self.due(place, now_s) {
                let Some(allocation) = self.get_mut(timer.handle) else {
                    continue;
                };
                if allocation.until_s <= now_s {
                    return Some(timer.handle.slot);
                }
                if allocation.wheel_s == timer.second {
                    let until_s = allocation.until_s;
                    allocation.wheel_s = until_s;
                    self.enlist(until_s, timer.handle);
                }
            }
            if self.wheel_s == now_s {
                break;
            }
            self.wheel_s += 1;
        }
        None
    }

    /// Takes a timer out of a place that is due; those of a later turn stay.
    fn due(&mut self, place: usize, now_s: u32) -> Option<Timer> {
        let timers = &mut self.wheel[place];
        let at = timers.iter().position(|timer| timer.second <= now_s)?;
        Some(timers.swap_remove(at))
    }
}
