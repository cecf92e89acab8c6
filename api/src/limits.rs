//! How often somebody may ask: buckets per user, account and address.
//!
//! Service keys and the demo's visitor have no limits; they are not asked here. Addresses of IPv6 count by /64, because
//! one customer has all of it.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::NoOpMiddleware,
    state::keyed::DefaultKeyedStateStore,
};

/// Calls one customer may start in a minute: one, a mistake, and a second mistake.
pub(crate) const STARTS_PER_MINUTE: u32 = 3;
/// Calls one customer may start in an hour.
pub(crate) const STARTS_PER_HOUR: u32 = 10;
/// Sign-ins to one account in a quarter of an hour: guessing 480 passwords a day finds none of 12 characters.
pub(crate) const SIGN_INS_PER_ACCOUNT: u32 = 5;
/// Sign-ins from one address in a quarter of an hour: an office behind one address still gets in.
pub(crate) const SIGN_INS_PER_ADDRESS: u32 = 20;
/// Requests without a valid credential from one address in a minute.
pub(crate) const STRANGERS_PER_MINUTE: u32 = 60;
/// WebSockets that one address may open in a second: an office whose network comes back reconnects in a few.
pub(crate) const HANDSHAKES_PER_SECOND: u32 = 10;
/// Keys of one bucket map before the full ones are thrown out: about 10 MB.
pub(crate) const KEYS_MAX: usize = 50_000;

type Buckets<C> = RateLimiter<String, DefaultKeyedStateStore<String>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// All buckets.
pub(crate) struct Limits<C: Clock = DefaultClock> {
    clock: C,
    start_minute: Buckets<C>,
    start_hour: Buckets<C>,
    sign_in_account: Buckets<C>,
    sign_in_address: Buckets<C>,
    stranger: Buckets<C>,
    handshake: Buckets<C>,
}

/// Seconds after which asking again makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany(pub(crate) u32);

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const QUARTER: Duration = Duration::from_secs(15 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);

impl<C: Clock + Clone> Limits<C> {
    /// Full buckets by `clock`.
    pub(crate) fn new(clock: C) -> Self {
        let buckets = |count: u32, per: Duration| {
            let count = NonZeroU32::new(count).expect("every limit is above zero");
            let quota = Quota::with_period(per / count.get()).expect("every period is above zero");
            RateLimiter::new(
                quota.allow_burst(count),
                DefaultKeyedStateStore::default(),
                clock.clone(),
            )
        };
        Self {
            start_minute: buckets(STARTS_PER_MINUTE, MINUTE),
            start_hour: buckets(STARTS_PER_HOUR, HOUR),
            sign_in_account: buckets(SIGN_INS_PER_ACCOUNT, QUARTER),
            sign_in_address: buckets(SIGN_INS_PER_ADDRESS, QUARTER),
            stranger: buckets(STRANGERS_PER_MINUTE, MINUTE),
            handshake: buckets(HANDSHAKES_PER_SECOND, SECOND),
            clock,
        }
    }

    /// One more call of `user`.
    pub(crate) fn start(&self, user: &str) -> Result<(), TooMany> {
        self.take(&self.start_minute, user.to_owned())?;
        self.take(&self.start_hour, user.to_owned())
    }

    /// One more sign-in to `account` from `address`.
    pub(crate) fn sign_in(&self, account: &str, address: IpAddr) -> Result<(), TooMany> {
        self.take(&self.sign_in_address, network(address))?;
        self.take(&self.sign_in_account, account.trim().to_lowercase())
    }

    /// One more request without a valid credential.
    pub(crate) fn stranger(&self, address: IpAddr) -> Result<(), TooMany> {
        self.take(&self.stranger, network(address))
    }

    /// One more WebSocket from `address`.
    pub(crate) fn handshake(&self, address: IpAddr) -> Result<(), TooMany> {
        self.take(&self.handshake, network(address))
    }

    fn take(&self, buckets: &Buckets<C>, key: String) -> Result<(), TooMany> {
        if buckets.len() >= KEYS_MAX {
            // A bucket that is full again says nothing more than no bucket.
            buckets.retain_recent();
        }
        buckets.check_key(&key).map_err(|not_until| {
            let wait = not_until.wait_time_from(self.clock.now());
            TooMany(u32::try_from(wait.as_secs().saturating_add(1)).unwrap_or(u32::MAX))
        })
    }
}

/// The network that counts as one visitor.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limits() -> (FakeRelativeClock, Limits<FakeRelativeClock>) {
        let clock = FakeRelativeClock::default();
        (clock.clone(), Limits::new(clock))
    }

    #[test]
    fn the_fourth_call_in_a_minute_waits_and_others_do_not() {
        let (clock, limits) = limits();
        for _ in 0..STARTS_PER_MINUTE {
            assert_eq!(limits.start("a"), Ok(()));
        }
        let TooMany(seconds) = limits.start("a").unwrap_err();
        assert!((1..=21).contains(&seconds), "{seconds}");
        assert_eq!(limits.start("b"), Ok(()));
        clock.advance(Duration::from_secs(u64::from(seconds)));
        assert_eq!(limits.start("a"), Ok(()));
    }

    #[test]
    fn the_eleventh_call_in_an_hour_waits() {
        let (clock, limits) = limits();
        for _ in 0..STARTS_PER_HOUR {
            assert_eq!(limits.start("a"), Ok(()));
            clock.advance(Duration::from_secs(20));
        }
        assert!(limits.start("a").is_err());
    }

    #[test]
    fn guessing_ends_per_account_whatever_its_spelling_and_per_address() {
        let (_, limits) = limits();
        let home: IpAddr = "192.0.2.1".parse().unwrap();
        let elsewhere: IpAddr = "192.0.2.2".parse().unwrap();
        for _ in 0..SIGN_INS_PER_ACCOUNT {
            assert_eq!(limits.sign_in("A@example.org ", home), Ok(()));
        }
        assert!(limits.sign_in("a@example.org", elsewhere).is_err());
        for n in SIGN_INS_PER_ACCOUNT..SIGN_INS_PER_ADDRESS {
            assert_eq!(limits.sign_in(&n.to_string(), home), Ok(()));
        }
        assert!(limits.sign_in("another", home).is_err());
    }

    #[test]
    fn the_eleventh_socket_in_a_second_waits() {
        let (clock, limits) = limits();
        let home: IpAddr = "192.0.2.1".parse().unwrap();
        for _ in 0..HANDSHAKES_PER_SECOND {
            assert_eq!(limits.handshake(home), Ok(()));
        }
        assert_eq!(limits.handshake(home), Err(TooMany(1)));
        clock.advance(SECOND);
        assert_eq!(limits.handshake(home), Ok(()));
    }

    #[test]
    fn one_customers_whole_ipv6_network_is_one_visitor() {
        let (_, limits) = limits();
        for n in 0..STRANGERS_PER_MINUTE {
            let address: IpAddr = format!("2001:db8:1:2::{n:x}").parse().unwrap();
            assert_eq!(limits.stranger(address), Ok(()));
        }
        assert!(limits.stranger("2001:db8:1:2:ffff::1".parse().unwrap()).is_err());
        assert_eq!(limits.stranger("2001:db8:1:3::1".parse().unwrap()), Ok(()));
    }
}
