//! One allocation and what belongs to it: permissions, channels, its token bucket, its counts.
//!
//! Invariant: at most 1 kB, however much its client does (tested on `size_of`).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ports::LegId;
use stun::{LongTermKey, TransactionId};

use super::Flow;
use super::credential::USER_BYTES_MAX;
use super::peers::Kind;

/// Seconds that an allocation lives unless it is refreshed, and the least that a client can wish (RFC 8656 §7.2).
pub const LIFETIME_S_MIN: u32 = 600;
/// The most that a client can wish. Higher: what a client forgot stays longer.
pub const LIFETIME_S_MAX: u32 = 3_600;
/// Seconds that a permission lives (RFC 8656 §9).
pub const PERMISSION_S: u32 = 300;
/// Seconds that a channel lives (RFC 8656 §12).
pub const CHANNEL_S: u32 = 600;

/// The lifetime that a wish comes to (§7.2: the server may adjust it). No wish is the default.
pub(crate) fn lifetime_s(wish: Option<u32>) -> u32 {
    wish.unwrap_or(LIFETIME_S_MIN).clamp(LIFETIME_S_MIN, LIFETIME_S_MAX)
}

/// Leave to send to an IP and to hear from it. Dead at `until_s`.
#[derive(Clone, Copy, Debug)]
pub struct Permission {
    pub(crate) ip: IpAddr,
    pub(crate) until_s: u32,
}

impl Default for Permission {
    fn default() -> Permission {
        Permission {
            ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            until_s: 0,
        }
    }
}

/// A number that stands for a peer. Dead at `until_s`.
#[derive(Clone, Copy, Debug)]
pub struct Channel {
    pub(crate) ip: IpAddr,
    pub(crate) port: u16,
    pub(crate) number: u16,
    /// Which candidate it is, in virtual mode.
    pub(crate) index: u8,
    pub(crate) until_s: u32,
}

impl Default for Channel {
    fn default() -> Channel {
        Channel {
            ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 0,
            number: 0,
            index: 0,
            until_s: 0,
        }
    }
}

impl Channel {
    pub(crate) fn peer(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }
}

/// A rate with a burst of one second, as the moment at which everything that was let through would be paid for (the
/// generic cell rate algorithm).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate {
    paid_ns: u64,
}

/// Nanoseconds in a second.
pub(crate) const SECOND_NS: u64 = 1_000_000_000;

impl Rate {
    /// When `units` more would be paid for at `per_s`; `None`: that is beyond the burst. A rate of 0 has no limit.
    fn after(self, now_ns: u64, units: u64, per_s: u32) -> Option<Rate> {
        if per_s == 0 {
            return Some(self);
        }
        let cost = units * SECOND_NS / u64::from(per_s);
        let paid_ns = self.paid_ns.max(now_ns) + cost;
        (paid_ns <= now_ns + SECOND_NS).then_some(Rate { paid_ns })
    }

    pub(crate) fn take(&mut self, now_ns: u64, units: u64, per_s: u32) -> bool {
        let after = self.after(now_ns, units, per_s);
        if let Some(after) = after {
            *self = after;
        }
        after.is_some()
    }
}

/// What a client may send: datagrams and bits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    packets: Rate,
    bits: Rate,
}

impl Bucket {
    pub(crate) fn take(&mut self, now_ns: u64, bytes: usize, limits: &super::Limits) -> bool {
        let packets = self.packets.after(now_ns, 1, limits.packets_per_s);
        let bits = self.bits.after(now_ns, 8 * bytes as u64, limits.bits_per_s);
        if let (Some(packets), Some(bits)) = (packets, bits) {
            *self = Bucket { packets, bits };
            return true;
        }
        false
    }
}

/// The user name that an allocation was made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UserName {
    bytes: [u8; USER_BYTES_MAX],
    len: u8,
}

impl UserName {
    /// `None` beyond [`USER_BYTES_MAX`].
    pub(crate) fn new(user: &[u8]) -> Option<UserName> {
        let mut bytes = [0; USER_BYTES_MAX];
        bytes.get_mut(..user.len())?.copy_from_slice(user);
        Some(UserName {
            bytes,
            len: user.len() as u8,
        })
    }

    pub(crate) fn is(&self, user: &[u8]) -> bool {
        self.bytes.get(..usize::from(self.len)) == Some(user)
    }
}

/// What staff see of an allocation's traffic.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) packets_up: u64,
    pub(crate) packets_down: u64,
    pub(crate) bytes_up: u64,
    pub(crate) bytes_down: u64,
    pub(crate) dropped: u64,
}

/// See the top of this file.
pub(crate) struct Allocation<K: Kind> {
    pub(crate) flow: Flow,
    pub(crate) leg: LegId,
    pub(crate) key: LongTermKey,
    pub(crate) user: UserName,
    /// Of the Allocate that made it: the same one again gets the same answer.
    pub(crate) transaction: TransactionId,
    /// IPv4, IPv6: at least one.
    pub(crate) relayed: [Option<SocketAddr>; 2],
    /// The family that was asked for too and is not there, as in the attribute: 1 or 2.
    pub(crate) missing: Option<u8>,
    /// The lifetime that the Allocate was answered with.
    pub(crate) lifetime_s: u32,
    pub(crate) made_s: u32,
    pub(crate) until_s: u32,
    /// The second at which the wheel looks next.
    pub(crate) wheel_s: u32,
    /// The next allocation of the same leg.
    pub(crate) next_of_leg: Option<u32>,
    pub(crate) bucket: Bucket,
    pub(crate) new_peers: Rate,
    pub(crate) permissions: K::Permissions,
    pub(crate) channels: K::Channels,
    pub(crate) counts: Counts,
}

impl<K: Kind> Allocation<K> {
    pub(crate) fn families(&self) -> u32 {
        self.relayed.iter().flatten().count() as u32
    }

    /// The relayed address of the peer's family.
    pub(crate) fn relayed_for(&self, peer: IpAddr) -> Option<SocketAddr> {
        self.relayed[usize::from(peer.is_ipv6())]
    }

    pub(crate) fn permits(&self, now_s: u32, ip: IpAddr) -> bool {
        let mut all = self.permissions.as_ref().iter();
        all.any(|permission| permission.ip == ip && permission.until_s > now_s)
    }

    /// Installs or renews; false if there is no room.
    pub(crate) fn permit(&mut self, now_s: u32, until_s: u32, ip: IpAddr) -> bool {
        let all = self.permissions.as_mut();
        let same = all
            .iter()
            .position(|permission| permission.ip == ip && permission.until_s > now_s);
        let free = || all.iter().position(|permission| permission.until_s <= now_s);
        let Some(place) = same.or_else(free) else { return false };
        all[place] = Permission { ip, until_s };
        true
    }

    /// Permissions that could still be installed.
    pub(crate) fn permissions_free(&self, now_s: u32) -> usize {
        let all = self.permissions.as_ref().iter();
        all.filter(|permission| permission.until_s <= now_s).count()
    }

    pub(crate) fn channel(&self, now_s: u32, number: u16) -> Option<&Channel> {
        let mut all = self.channels.as_ref().iter();
        all.find(|channel| channel.number == number && channel.until_s > now_s)
    }

    pub(crate) fn channel_to(&self, now_s: u32, peer: SocketAddr) -> Option<&Channel> {
        let mut all = self.channels.as_ref().iter();
        all.find(|channel| channel.port == peer.port() && channel.ip == peer.ip() && channel.until_s > now_s)
    }

    /// Installs or renews a channel that contradicts no other; false if there is no room.
    pub(crate) fn bind(&mut self, now_s: u32, channel: Channel) -> bool {
        let all = self.channels.as_mut();
        let same = all
            .iter()
            .position(|old| old.number == channel.number && old.until_s > now_s);
        let free = || all.iter().position(|old| old.until_s <= now_s);
        let Some(place) = same.or_else(free) else { return false };
        all[place] = channel;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{AllowList, Virtual};

    #[test]
    fn an_allocation_is_at_most_1_kb() {
        // With its place in the table, its flow, its leg and its timer.
        let around = 8 + size_of::<(Flow, u32)>() + size_of::<(LegId, u32)>() + size_of::<super::super::Handle>();
        let of_virtual = size_of::<Option<Allocation<Virtual>>>() + around;
        assert!(of_virtual <= 1_024, "{of_virtual}");
        assert!(of_virtual <= 768, "{of_virtual}: look what has grown");
        // Its sixteen of each would be more; a bench does not count in thousands.
        assert!(size_of::<Option<Allocation<AllowList>>>() <= 1_536);
    }
}
