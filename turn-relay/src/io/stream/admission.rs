//! Which connections may stay before they have shown a credential.
//!
//! Somebody who opens connections and says nothing must not keep others out: their number is limited in all and per
//! network, so is the number of TLS handshakes, and each has little time and few bytes. A handshake counts when the whole
//! greeting of its client is there: until then it has cost nothing. A connection that a proxy passes on counts in all until
//! its header says of which network it is.
//!
//! Invariant: what it counts is what it was told came and did not yet go; an authenticated connection is not counted.

use std::collections::HashMap;
use std::net::IpAddr;

use super::shares::Shares;
use crate::core::hash::prefix;

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
    /// The same of one network; a quarter, so that one that hammers leaves room for others. A network that was quiet may
    /// begin as many at once as it has places, [`StreamLimits::unauthenticated_per_prefix`], if those are more: an office
    /// that reconnects.
    /// Higher: fewer networks are needed to shut everybody out. Lower: a large office waits.
    pub tls_handshakes_per_prefix_per_s: u32,
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
            tls_handshakes_per_prefix_per_s: 50,
            first_message_ms: 5_000,
            unauthenticated_ms: 30_000,
            unauthenticated_bytes: 2_048,
        }
    }
}

/// Why a connection was kept out or closed by us, for `helpline_turn_streams_refused_total{reason}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// All places of those without credential are taken.
    Places,
    /// Those of its network are.
    NetworkPlaces,
    /// No TLS handshake may begin.
    Handshakes,
    /// None of its network.
    NetworkHandshakes,
    /// It has shown no whole message, or no credential, in time.
    Time,
    /// It has sent much without a credential.
    Bytes,
    /// It speaks neither TLS nor STUN, or breaks their rules.
    Nonsense,
    /// It does not read its answers.
    Deaf,
    /// The system had no descriptor for it, or the table no place.
    System,
}

impl Refused {
    /// All of them.
    pub(crate) const ALL: [Refused; 9] = [
        Refused::Places,
        Refused::NetworkPlaces,
        Refused::Handshakes,
        Refused::NetworkHandshakes,
        Refused::Time,
        Refused::Bytes,
        Refused::Nonsense,
        Refused::Deaf,
        Refused::System,
    ];

    /// Stable word for metrics.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Refused::Places => "places",
            Refused::NetworkPlaces => "network_places",
            Refused::Handshakes => "handshakes",
            Refused::NetworkHandshakes => "network_handshakes",
            Refused::Time => "time",
            Refused::Bytes => "bytes",
            Refused::Nonsense => "nonsense",
            Refused::Deaf => "deaf",
            Refused::System => "system",
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
    shares: Shares,
}

impl Admission {
    /// Nobody is there. `seed`: random.
    pub(crate) fn new(limits: StreamLimits, seed: &[u8; 32], now_ms: u64) -> Admission {
        let per_s = limits.tls_handshakes_per_prefix_per_s;
        let burst = per_s.max(limits.unauthenticated_per_prefix);
        Admission {
            total: 0,
            prefixes: HashMap::new(),
            handshakes: u64::from(limits.tls_handshakes_per_s) * 1_000,
            refilled_ms: now_ms,
            shares: Shares::new(seed, per_s, burst, now_ms),
            limits,
        }
    }

    /// All connections have gone at once. What handshakes have cost stays spent.
    pub(crate) fn clear(&mut self) {
        self.total = 0;
        self.prefixes.clear();
    }

    pub(crate) fn limits(&self) -> &StreamLimits {
        &self.limits
    }

    /// A new connection comes in and is counted. `from`: where it comes from, `None` while only a proxy knows.
    ///
    /// # Errors
    /// [`Refused`] by number, in all or of its network.
    pub(crate) fn enter(&mut self, from: Option<IpAddr>) -> Result<(), Refused> {
        if self.total >= self.limits.unauthenticated {
            return Err(Refused::Places);
        }
        if let Some(from) = from {
            self.name(from)?;
        }
        self.total += 1;
        Ok(())
    }

    /// A connection that came in without a network stays as one of this and is counted there too.
    ///
    /// # Errors
    /// [`Refused::NetworkPlaces`].
    pub(crate) fn name(&mut self, from: IpAddr) -> Result<(), Refused> {
        let of_prefix = self.prefixes.get(&prefix(from)).copied().unwrap_or(0);
        if of_prefix >= self.limits.unauthenticated_per_prefix {
            return Err(Refused::NetworkPlaces);
        }
        self.prefixes.insert(prefix(from), of_prefix + 1);
        Ok(())
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

    /// A TLS handshake begins: its client's greeting is there, and from now on it costs.
    ///
    /// # Errors
    /// [`Refused`] by number, in all or of its network; nothing is counted then.
    pub(crate) fn handshake(&mut self, now_ms: u64, from: IpAddr) -> Result<(), Refused> {
        let per_s = u64::from(self.limits.tls_handshakes_per_s);
        let passed = now_ms.saturating_sub(self.refilled_ms);
        self.refilled_ms = now_ms;
        self.handshakes = (self.handshakes + passed.saturating_mul(per_s)).min(per_s * 1_000);
        if !self.shares.has(now_ms, from) {
            return Err(Refused::NetworkHandshakes);
        }
        if self.handshakes < 1_000 {
            return Err(Refused::Handshakes);
        }
        self.handshakes -= 1_000;
        self.shares.pay(from);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: [u8; 32] = [3; 32];

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    /// The address of host 1 in the `n`-th network.
    fn of_network(n: u32) -> IpAddr {
        IpAddr::from((0x0A00_0001 + (n << 8)).to_be_bytes())
    }

    #[test]
    fn a_network_has_its_share_and_all_together_have_theirs() {
        let limits = StreamLimits::default();
        let mut admission = Admission::new(limits.clone(), &SEED, 0);
        for n in 0..limits.unauthenticated_per_prefix {
            assert_eq!(admission.enter(ip(&format!("192.0.2.{n}"))), Ok(()));
        }
        assert_eq!(admission.enter(ip("192.0.2.200")), Err(Refused::NetworkPlaces));
        assert_eq!(admission.enter(ip("192.0.3.1")), Ok(()), "another network");
        admission.leave(ip("192.0.2.7"));
        assert_eq!(admission.enter(ip("192.0.2.200")), Ok(()), "a place is free again");
        for n in 0..limits.unauthenticated - limits.unauthenticated_per_prefix - 1 {
            assert_eq!(admission.enter(ip(&format!("2001:db8:{n:x}::1"))), Ok(()));
        }
        assert_eq!(admission.enter(ip("198.51.100.1")), Err(Refused::Places));
        admission.leave(ip("2001:db8::1"));
        assert_eq!(admission.enter(ip("198.51.100.1")), Ok(()));
    }

    #[test]
    fn a_flood_leaves_no_trace_when_it_is_gone() {
        let mut admission = Admission::new(StreamLimits::default(), &SEED, 0);
        for n in 0..100_000_u32 {
            let from = Some(IpAddr::from(n.to_be_bytes()));
            assert_eq!(admission.enter(from), Ok(()));
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
        let mut admission = Admission::new(limits, &SEED, 0);
        let [office, home] = ["192.0.2.1", "198.51.100.1"].map(|text| text.parse().unwrap());
        let nameless = (0..4).all(|_| admission.enter(None).is_ok());
        assert!(nameless, "a proxy's network has no share");
        assert!(admission.name(office).is_ok() && admission.name(office).is_ok());
        assert_eq!(
            admission.name(office),
            Err(Refused::NetworkPlaces),
            "the third of an office"
        );
        admission.leave(None);
        assert_eq!(admission.name(home), Ok(()));
        // In all: two of the office, one from home; two more have room.
        assert!(admission.enter(None).is_ok() && admission.enter(Some(home)).is_ok());
        assert!(admission.enter(None).is_err() && admission.enter(ip("203.0.113.1")).is_err());
        for from in [Some(office), Some(office), Some(home), Some(home), None] {
            admission.leave(from);
        }
        assert_eq!((admission.total, admission.prefixes.len()), (0, 0));
    }

    #[test]
    fn handshakes_come_at_their_rate_with_a_burst_of_a_second() {
        let mut admission = Admission::new(StreamLimits::default(), &SEED, 0);
        // More networks than it takes, so that none is at its own limit.
        let mut begun = |now_ms, tries: u32| {
            let begin = |n: &u32| admission.handshake(now_ms, of_network(*n % 40)).is_ok();
            (0..tries).filter(begin).count()
        };
        assert_eq!(begun(0, 1_000), 200);
        assert_eq!(begun(4, 1), 0);
        assert_eq!(begun(5, 9), 1);
        assert_eq!(begun(60_000, 1_000), 200);
        assert_eq!(admission.handshake(60_000, of_network(50)), Err(Refused::Handshakes));
    }

    #[test]
    fn one_network_that_hammers_is_refused_alone() {
        let limits = StreamLimits::default();
        let mut admission = Admission::new(limits.clone(), &SEED, 0);
        let (hammers, other) = (of_network(1), of_network(2));
        let (mut begun, mut refused_other) = (0, 0);
        // Ten seconds at one try a millisecond; the other one comes once in twenty.
        for now_ms in 0..10_000 {
            begun += u32::from(admission.handshake(now_ms, hammers).is_ok());
            if now_ms.is_multiple_of(20) {
                refused_other += u32::from(admission.handshake(now_ms, other).is_err());
            }
        }
        assert_eq!(refused_other, 0);
        let most = limits.unauthenticated_per_prefix + 10 * limits.tls_handshakes_per_prefix_per_s;
        assert!((most - 2..=most).contains(&begun), "{begun}");
        // Quiet for a while, it has its burst again and no more.
        let again = (0..1_000).filter(|_| admission.handshake(20_000, hammers).is_ok());
        assert_eq!(again.count(), 64);
        assert_eq!(admission.handshake(20_000, hammers), Err(Refused::NetworkHandshakes));
    }

    #[test]
    fn who_is_refused_has_spent_nothing() {
        let limits = StreamLimits {
            tls_handshakes_per_s: 1,
            tls_handshakes_per_prefix_per_s: 1,
            unauthenticated_per_prefix: 1,
            ..StreamLimits::default()
        };
        let mut admission = Admission::new(limits, &SEED, 0);
        assert_eq!(admission.handshake(0, of_network(1)), Ok(()));
        for _ in 0..100 {
            assert_eq!(admission.handshake(0, of_network(2)), Err(Refused::Handshakes));
            assert_eq!(admission.handshake(0, of_network(1)), Err(Refused::NetworkHandshakes));
        }
        assert_eq!(admission.handshake(1_000, of_network(2)), Ok(()));
    }
}
