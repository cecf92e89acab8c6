//! What staff see of allocations, and how they end one.
//!
//! Never gives out a client's address: a flow is named by a keyed hash.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use ports::AllocationView;

use super::{At, Core, Edge, Handle, Kind, Peers};

impl<K: Kind> Core<K> {
    /// Allocations of this core in the next `places` places of its table, beginning with place `from`; and the place to go on
    /// with, `None` behind the last. A view takes some microseconds, so of a full table one answer would hold up media for
    /// tenths of a second.
    #[must_use]
    pub fn list(&self, at: At, from: u32, places: u32) -> (Vec<AllocationView>, Option<u32>) {
        let next = from.saturating_add(places);
        let more = (next as usize) < self.table.places();
        (self.views(at, from, places), more.then_some(next))
    }

    fn views(&self, at: At, from: u32, places: u32) -> Vec<AllocationView> {
        let now_s = at.now_s();
        let view = |(handle, allocation): (Handle, &super::Allocation<K>)| AllocationView {
            id: format!("{}-{}-{}", self.worker, handle.slot, handle.generation),
            leg: allocation.leg,
            via: allocation.flow.via,
            flow: self.flow_name(allocation.flow.remote),
            relayed: allocation.relayed.into_iter().flatten().collect(),
            age_s: now_s.saturating_sub(allocation.made_s),
            expires_in_s: allocation.until_s.saturating_sub(now_s),
            permissions: count(allocation.permissions.as_ref(), |permission| permission.until_s > now_s),
            channels: count(allocation.channels.as_ref(), |channel| channel.until_s > now_s),
            packets_up: allocation.counts.packets_up,
            packets_down: allocation.counts.packets_down,
            bytes_up: allocation.counts.bytes_up,
            bytes_down: allocation.counts.bytes_down,
            dropped: allocation.counts.dropped,
        };
        self.table.some(from, places).map(view).collect()
    }

    /// Frees the allocation that [`Core::list`] names `id`; false if it is not (any more) this core's.
    pub fn kill<E: Edge>(&mut self, at: At, id: &str, edge: &mut E) -> bool
    where
        K: Peers<E>,
    {
        let handle = (|| {
            let mut parts = id.split('-');
            let (worker, slot, generation) = (parts.next()?, parts.next()?, parts.next()?);
            let handle = Handle {
                slot: slot.parse().ok()?,
                generation: generation.parse().ok()?,
            };
            (parts.next().is_none() && worker.parse() == Ok(self.worker)).then_some(handle)
        })();
        match handle {
            Some(handle) if self.table.get_mut(handle).is_some() => {
                self.free(at, handle.slot, edge);
                true
            }
            Some(_) | None => false,
        }
    }

    /// The name of a client's address in lists and logs: 16 hexadecimal digits under a key of this process.
    #[must_use]
    pub fn flow_name(&self, remote: SocketAddr) -> String {
        let mut bytes = Vec::with_capacity(18);
        match remote.ip() {
            IpAddr::V4(v4) => bytes.extend(v4.octets()),
            IpAddr::V6(v6) => bytes.extend(v6.octets()),
        }
        bytes.extend(remote.port().to_be_bytes());
        let tag = ring::hmac::sign(&self.flow_names, &bytes);
        tag.as_ref()
            .iter()
            .take(8)
            .fold(String::with_capacity(16), |mut name, byte| {
                // Writing to a string cannot fail.
                let _ = write!(name, "{byte:02x}");
                name
            })
    }
}

fn count<T>(all: &[T], alive: impl Fn(&T) -> bool) -> u8 {
    all.iter().filter(|one| alive(one)).count() as u8
}
