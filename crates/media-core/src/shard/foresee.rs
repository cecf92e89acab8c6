//! Looking ahead: what the datagrams of a batch will need is fetched for all of them together, before the first is
//! worked on.
//!
//! A shard holds more than the processor's caches, and between two packets of a leg the kernel has used them for itself.
//! One packet follows a chain of a dozen places, each known only from the one before it: alone it waits at each of them,
//! many together wait once a step.
//!
//! Invariant: nothing is changed and nothing decided here; without it the engine does the same, more slowly.

use super::Shard;
use crate::leg::{NAME_AT, SINK_AT, SINK_BYTES, SOURCE_BYTES};
use crate::transport::HOT_BYTES;
use crate::{LegId, addr};

/// Asks the processor to fetch `bytes` from an address; reads nothing. The engine has no unsafe code, so it is handed in.
pub type Fetch = fn(at: *const u8, bytes: usize);

/// Datagrams that are looked at together: what they need fits the second cache, and a step of the chain is as long for
/// sixteen as for one.
pub const FORESEEN_MAX: usize = 16;

impl Shard {
    /// Fetches what datagrams from these senders, addresses or paths, will need; the first [`FORESEEN_MAX`] count.
    pub fn foresee<S: Into<addr::Key>>(&self, senders: impl Iterator<Item = S>, fetch: Fetch) {
        let mut transports = [0u32; FORESEEN_MAX];
        // Whose leg is asked for its name, too.
        let mut relayed = [false; FORESEEN_MAX];
        let mut count = 0;
        for key in senders.take(FORESEEN_MAX).map(Into::into) {
            if let Some(owner) = self.by_address.get(&key) {
                transports[count] = owner.transport;
                relayed[count] = key.is_path();
                count += 1;
            }
        }
        let transports = &transports[..count];
        for &place in transports {
            self.fetch_transport(place, fetch);
        }
        let mut legs = [(0u32, 0u32); FORESEEN_MAX];
        let mut count = 0;
        for transport in transports.iter().filter_map(|&place| self.transports.get(place)) {
            legs[count].0 = transport.leg;
            count += 1;
            if let Some(at) = self.legs.address(transport.leg) {
                fetch(at, SOURCE_BYTES);
                if relayed[count - 1] {
                    fetch(at.wrapping_add(NAME_AT), size_of::<LegId>());
                }
            }
            if let Some(keys) = &transport.keys {
                keys.inbound.fetch_head(fetch);
            }
        }
        let legs = &mut legs[..count];
        for (leg, room) in legs.iter_mut() {
            if let Some(leg) = self.legs.get(*leg) {
                *room = leg.room;
                if let Some(at) = self.rooms.address(leg.room) {
                    fetch(at, crate::room::HOT_BYTES);
                }
            }
        }
        for transport in transports.iter().filter_map(|&place| self.transports.get(place)) {
            if let Some(keys) = &transport.keys {
                keys.inbound.fetch_body(fetch);
            }
        }
        self.fetch_listeners(legs, fetch);
    }

    fn fetch_transport(&self, place: u32, fetch: Fetch) {
        if let Some(at) = self.transports.address(place) {
            fetch(at, HOT_BYTES);
        }
    }

    /// For each speaking leg in its room: the first who hears it.
    fn fetch_listeners(&self, legs: &[(u32, u32)], fetch: Fetch) {
        let mut sinks = [0u32; FORESEEN_MAX];
        let mut count = 0;
        for &(leg, room) in legs {
            let (Some(leg), Some(room)) = (self.legs.get(leg), self.rooms.get(room)) else {
                continue;
            };
            let heard_by = room.edges.sinks(leg.seat);
            let first = room.seats.get(heard_by.trailing_zeros() as usize).copied().flatten();
            if let Some(sitting) = first {
                sinks[count] = sitting.leg;
                count += 1;
                if let Some(at) = self.legs.address(sitting.leg) {
                    fetch(at, 1);
                    fetch(at.wrapping_add(SINK_AT), SINK_BYTES);
                }
            }
        }
        let sinks = &sinks[..count];
        let mut transports = [0u32; FORESEEN_MAX];
        let mut count = 0;
        for place in sinks.iter().filter_map(|&sink| self.legs.get(sink)?.transport) {
            transports[count] = place;
            count += 1;
            self.fetch_transport(place, fetch);
        }
        let keys = || {
            let transports = transports[..count]
                .iter()
                .filter_map(|&place| self.transports.get(place));
            transports.filter_map(|transport| transport.keys.as_ref())
        };
        keys().for_each(|keys| keys.outbound.fetch_head(fetch));
        keys().for_each(|keys| keys.outbound.fetch_body(fetch));
    }
}
