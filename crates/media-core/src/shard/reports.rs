//! RTCP, terminated: what legs report is taken, what they need to know is told them.
use super::{Shard, Slot};
use std::net::SocketAddr;
impl Shard {
    pub(super) fn rtcp(&mut self, _now: u64, _from: SocketAddr, _slot: Slot<'_>) {}
    pub(super) fn report(&mut self, _now: u64, _place: u32) {}
}
