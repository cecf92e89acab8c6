//! How often somebody may ask: buckets per member of staff, account and address. The ones for calls are the desk's.
//!
//! Service keys and the demo's visitor have no limits; they are not asked here. Addresses of IPv6 count by /64, because
//! one customer has all of it.

use std::net::IpAddr;
use std::time::Duration;

use call_model::StaffId;
use desk::limits::{Buckets, TooMany};
use governor::clock::{Clock, DefaultClock};

/// Requests of one member of staff in a minute: ten a second for a console that is looked through, whatever the number
/// of its windows, and no more for a script that has lost its way.
pub const STAFF_REQUESTS_PER_MINUTE: u32 = 600;
/// Sign-ins to one account in a quarter of an hour: guessing 480 passwords a day finds none of 12 characters.
pub(crate) const SIGN_INS_PER_ACCOUNT: u32 = 5;
/// Sign-ins from one address in a quarter of an hour: an office behind one address still gets in.
pub(crate) const SIGN_INS_PER_ADDRESS: u32 = 20;
/// Requests without a valid credential from one address in a minute.
pub(crate) const STRANGERS_PER_MINUTE: u32 = 60;
/// WebSockets that one address may open in a second: an office whose network comes back reconnects in a few.
pub(crate) const HANDSHAKES_PER_SECOND: u32 = 10;
/// Offers, fragments and ends under one leg grant in a minute: a client that trickles every candidate of a many-homed
/// machine one by one, and has to do it twice.
pub const JOININGS_PER_MINUTE: u32 = 120;
/// Line tests that one visitor begins in a minute: one, another with the other headset, and some more by impatience.
pub const PREFLIGHTS_PER_MINUTE: u32 = 6;
/// Line tests from one address in a minute: a team behind one address that tests before its shift.
pub(crate) const PREFLIGHTS_PER_ADDRESS: u32 = 30;
/// All buckets.
pub(crate) struct Limits<C: Clock = DefaultClock> {
    staff: Buckets<C>,
    sign_in_account: Buckets<C>,
    sign_in_address: Buckets<C>,
    stranger: Buckets<C>,
    handshake: Buckets<C>,
    joining: Buckets<C>,
    preflight: Buckets<C>,
    preflight_address: Buckets<C>,
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const QUARTER: Duration = Duration::from_secs(15 * 60);

impl<C: Clock + Clone> Limits<C> {
    /// Full buckets by `clock`.
    pub(crate) fn new(clock: C) -> Self {
        let buckets = |count: u32, per: Duration| Buckets::new(count, per, clock.clone());
        Self {
            staff: buckets(STAFF_REQUESTS_PER_MINUTE, MINUTE),
            sign_in_account: buckets(SIGN_INS_PER_ACCOUNT, QUARTER),
            sign_in_address: buckets(SIGN_INS_PER_ADDRESS, QUARTER),
            stranger: buckets(STRANGERS_PER_MINUTE, MINUTE),
            handshake: buckets(HANDSHAKES_PER_SECOND, SECOND),
            joining: buckets(JOININGS_PER_MINUTE, MINUTE),
            preflight: buckets(PREFLIGHTS_PER_MINUTE, MINUTE),
            preflight_address: buckets(PREFLIGHTS_PER_ADDRESS, MINUTE),
        }
    }

    /// One more request of a member of staff.
    pub(crate) fn staff(&self, staff: StaffId) -> Result<(), TooMany> {
        self.staff.take(&format!("{:x}", staff.0))
    }

    /// One more sign-in to `account` from `address`.
    pub(crate) fn sign_in(&self, account: &str, address: IpAddr) -> Result<(), TooMany> {
        self.sign_in_address.take(&network(address))?;
        self.sign_in_account.take(&account.trim().to_lowercase())
    }

    /// One more request without a valid credential.
    pub(crate) fn stranger(&self, address: IpAddr) -> Result<(), TooMany> {
        self.stranger.take(&network(address))
    }

    /// One more request under the leg grant whose digest is `grant`.
    pub(crate) fn joining(&self, grant: &str) -> Result<(), TooMany> {
        self.joining.take(grant)
    }

    /// One more line test of `visitor`, whose name is unlike that of any other, from `address`.
    pub(crate) fn preflight(&self, visitor: &str, address: IpAddr) -> Result<(), TooMany> {
        self.preflight_address.take(&network(address))?;
        self.preflight.take(visitor)
    }

    /// One more WebSocket from `address`.
    pub(crate) fn handshake(&self, address: IpAddr) -> Result<(), TooMany> {
        self.handshake.take(&network(address))
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
    fn the_601st_request_of_a_member_of_staff_in_a_minute_waits_and_his_neighbour_does_not() {
        let (clock, limits) = limits();
        for n in 0..STAFF_REQUESTS_PER_MINUTE {
            assert_eq!(limits.staff(StaffId(1)), Ok(()), "{n}");
        }
        assert_eq!(limits.staff(StaffId(1)), Err(TooMany(1)));
        assert_eq!(limits.staff(StaffId(2)), Ok(()));
        clock.advance(MINUTE / STAFF_REQUESTS_PER_MINUTE);
        assert_eq!(limits.staff(StaffId(1)), Ok(()), "a tenth of a second is one request");
        assert!(limits.staff(StaffId(1)).is_err());
        clock.advance(MINUTE);
        for n in 0..STAFF_REQUESTS_PER_MINUTE {
            assert_eq!(limits.staff(StaffId(1)), Ok(()), "{n} of the next minute");
        }
        assert!(limits.staff(StaffId(1)).is_err());
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
    fn one_visitor_tests_six_times_in_a_minute_and_one_office_thirty_times() {
        let (_, limits) = limits();
        let office: IpAddr = "192.0.2.1".parse().unwrap();
        for visitor in 0..PREFLIGHTS_PER_ADDRESS / PREFLIGHTS_PER_MINUTE {
            for _ in 0..PREFLIGHTS_PER_MINUTE {
                assert_eq!(limits.preflight(&visitor.to_string(), office), Ok(()));
            }
        }
        assert!(limits.preflight("one more", office).is_err());
        let home: IpAddr = "192.0.2.2".parse().unwrap();
        assert!(limits.preflight("0", home).is_err(), "the same visitor from elsewhere");
        assert_eq!(limits.preflight("one more", home), Ok(()));
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
