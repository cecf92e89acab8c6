//! Which connections may stay before they have shown a credential.
//!
//! Somebody who opens connections and says nothing must not keep others out: their number is limited in all and per
//! network, so is the number of TLS handshakes, and each has little time and few bytes. A connection that a proxy passes on
//! counts in all until its header says of which network it is.
//!
//! Invariant: what it counts is what it was told came and did not yet go; an authenticated connection is not counted.

use std::collections::HashMap;
use std::net::IpAddr;

/// Limits of connections that have shown no credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// Milliseconds that a new connection waits before it is read: the start that datagrams have over it.
    ///
    /// A browser tries all ways at once and keeps to what carries its first check, for the whole call: Chromium throws away
    /// whatever it gathers afterwards. One lost datagram is sent again after 250 ms, and must not put a call on TCP.
    pub head_start_ms: u64,
    /// Of all networks together: what a burst of joins of a large floor opens at once.
    pub unauthenticated: u32,
    /// Of one IPv4 /24 or IPv6 /56: an office that reconnects after an outage of its line.
    pub unauthenticated_per_prefix: u32,
    /// TLS handshakes per second, of which each costs a core about a millisecond.
    pub tls_handshakes_per_s: u32,
    /// Milliseconds from its begin until the first whole message has come, TLS handshake included.
    pub first_message_ms: u64,
    /// Milliseconds that it may stay without a credential: ten times what the slowest client needs.
    pub unauthenticated_ms: u64,
    /// Bytes that it may send without a credential: an Allocate and its second try are 300.
    pub unauthenticated_bytes: u32,
}

impl Default for StreamLimits {
    fn default() -> StreamLimits {
        StreamLimits {
            head_start_ms: 300,
            unauthenticated: 2_048,
            unauthenticated_per_prefix: 64,
            tls_handshakes_per_s: 200,
            first_message_ms: 5_000,
            unauthenticated_ms: 30_000,
            unauthenticated_bytes: 2_048,
        }
    }
}

/// See the top of this file.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: StreamLimits,
    total: u32,
    prefixes: HashMap<u64, u32>,
    /// Handshakes that may begin now, in thousandths.
    handshakes: u64,
    refilled_ms: u64,
}

impl Admission {
    pub(crate) fn new(limits: StreamLimits, now_ms: u64) -> Admission {
        Admission {
            total: 0,
            prefixes: HashMap::new(),
            handshakes: u64::from(limits.tls_handshakes_per_s) * 1_000,
            refilled_ms: now_ms,
            limits,
        }
    }

    pub(crate) fn limits(&self) -> &StreamLimits {
        &self.limits
    }

    /// Whether a new connection may come in; if so it is counted. `from`: where it comes from, `None` while only a proxy
    /// knows.
    pub(crate) fn enter(&mut self, from: Option<IpAddr>) -> bool {
        if self.total >= self.limits.unauthenticated || !from.is_none_or(|from| self.name(from)) {
            return false;
        }
        self.total += 1;
        true
    }

    /// Whether a connection that came in without a network may stay as one of this; if so it is counted there too.
    pub(crate) fn name(&mut self, from: IpAddr) -> bool {
        let of_prefix = self.prefixes.get(&prefix(from)).copied().unwrap_or(0);
        if of_prefix >= self.limits.unauthenticated_per_prefix {
            return false;
        }
        self.prefixes.insert(prefix(from), of_prefix + 1);
        true
    }

    /// A connection is without a credential again: its allocation has ended.
    pub(crate) fn count(&mut self, from: IpAddr) {
        self.total += 1;
        *self.prefixes.entry(prefix(from)).or_insert(0) += 1;
    }

    /// A counted connection has shown a credential or has gone. `from`: as it is counted.
    pub(crate) fn leave(&mut self, from: Option<IpAddr>) {
        self.total = self.total.saturating_sub(1);
        let Some(prefix) = from.map(prefix) else { return };
        if let Some(count) = self.prefixes.get_mut(&prefix) {
            *count -= 1;
            if *count == 0 {
                self.prefixes.remove(&prefix);
            }
        }
    }

    /// Whether a TLS handshake may begin.
    pub(crate) fn handshake(&mut self, now_ms: u64) -> bool {
        let per_s = u64::from(self.limits.tls_handshakes_per_s);
        let passed = now_ms.saturating_sub(self.refilled_ms);
        self.refilled_ms = now_ms;
        self.handshakes = (self.handshakes + passed.saturating_mul(per_s)).min(per_s * 1_000);
        let may = self.handshakes >= 1_000;
        if may {
            self.handshakes -= 1_000;
        }
        may
    }
}

/// The network of an address: IPv4 /24 or IPv6 /56.
fn prefix(of: IpAddr) -> u64 {
    match of {
        IpAddr::V4(v4) => u64::from(v4.to_bits() >> 8),
        IpAddr::V6(v6) => (v6.to_bits() >> 72) as u64 | 1 << 63,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_network_has_its_share_and_all_together_have_theirs() {
        let limits = StreamLimits::default();
        let mut admission = Admission::new(limits.clone(), 0);
        for n in 0..limits.unauthenticated_per_prefix {
            assert!(admission.enter(ip(&format!("192.0.2.{n}"))));
        }
        assert!(!admission.enter(ip("192.0.2.200")));
        assert!(admission.enter(ip("192.0.3.1")), "another network");
        admission.leave(ip("192.0.2.7"));
        assert!(admission.enter(ip("192.0.2.200")), "a place is free again");
        for n in 0..limits.unauthenticated - limits.unauthenticated_per_prefix - 1 {
            assert!(admission.enter(ip(&format!("2001:db8:{n:x}::1"))));
        }
        assert!(!admission.enter(ip("198.51.100.1")));
        admission.leave(ip("2001:db8::1"));
        assert!(admission.enter(ip("198.51.100.1")));
    }

    #[test]
    fn a_flood_leaves_no_trace_when_it_is_gone() {
        let mut admission = Admission::new(StreamLimits::default(), 0);
        for n in 0..100_000_u32 {
            let from = Some(IpAddr::from(n.to_be_bytes()));
            assert!(admission.enter(from));
            admission.leave(from);
        }
        assert!(admission.prefixes.is_empty());
    }

    #[test]
    fn who_comes_by_a_proxy_counts_in_all_first_and_then_in_a_network_too() {
        let limits = StreamLimits {
            unauthenticated: 5,
            unauthenticated_per_prefix: 2,
            ..StreamLimits::default()
        };
        let mut admission = Admission::new(limits, 0);
        let [office, home] = ["192.0.2.1", "198.51.100.1"].map(|text| text.parse().unwrap());
        assert!((0..4).all(|_| admission.enter(None)), "a proxy's network has no share");
        assert!(admission.name(office) && admission.name(office));
        assert!(!admission.name(office), "the third of an office");
        admission.leave(None);
        assert!(admission.name(home));
        // In all: two of the office, one from home; two more have room.
        assert!(admission.enter(None) && admission.enter(Some(home)));
        assert!(!admission.enter(None) && !admission.enter(ip("203.0.113.1")));
        for from in [Some(office), Some(office), Some(home), Some(home), None] {
            admission.leave(from);
        }
        assert_eq!((admission.total, admission.prefixes.len()), (0, 0));
    }

    #[test]
    fn handshakes_come_at_their_rate_with_a_burst_of_a_second() {
        let mut admission = Admission::new(StreamLimits::default(), 0);
        let burst = (0..1_000).filter(|_| admission.handshake(0)).count();
        assert_eq!(burst, 200);
        assert!(!admission.handshake(4));
        assert!(admission.handshake(5));
        let later = (0..1_000).filter(|_| admission.handshake(60_000)).count();
        assert_eq!(later, 200);
    }
}
