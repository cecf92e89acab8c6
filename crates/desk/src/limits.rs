//! How often somebody may ask: buckets that fill again with time, and the ones for calls.
//!
//! Kept in the memory of this process. The clock is handed in; nothing here waits.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::NoOpMiddleware,
    state::keyed::DefaultKeyedStateStore,
};

use crate::caller::Caller;
use crate::refusal::{Code, Refused};

/// Calls one customer may ask for in a minute: one, a mistake, and a second mistake.
pub const STARTS_PER_MINUTE: u32 = 3;
/// Calls one customer may ask for in an hour.
pub const STARTS_PER_HOUR: u32 = 10;
/// Keys of one bucket map before the full ones are thrown out: about 10 MB.
pub const KEYS_MAX: usize = 50_000;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Seconds after which asking again makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany(pub u32);

/// A bucket per key, all of one size.
pub struct Buckets<C: Clock = DefaultClock> {
    clock: C,
    by_key: RateLimiter<String, DefaultKeyedStateStore<String>, C, NoOpMiddleware<<C as Clock>::Instant>>,
}

impl<C: Clock + Clone> Buckets<C> {
    /// Full buckets of `count`, each of which fills in the time `per`.
    ///
    /// # Panics
    /// When `count` or `per` is zero: limits are constants, and none is zero.
    pub fn new(count: u32, per: Duration, clock: C) -> Self {
        let count = NonZeroU32::new(count).expect("every limit is above zero");
        let quota = Quota::with_period(per / count.get()).expect("every period is above zero");
        Self {
            by_key: RateLimiter::new(
                quota.allow_burst(count),
                DefaultKeyedStateStore::default(),
                clock.clone(),
            ),
            clock,
        }
    }

    /// Takes one out of the bucket of `key`.
    ///
    /// # Errors
    /// [`TooMany`] when it is empty.
    pub fn take(&self, key: &str) -> Result<(), TooMany> {
        if self.by_key.len() >= KEYS_MAX {
            // A bucket that is full again says nothing more than no bucket.
            self.by_key.retain_recent();
        }
        self.by_key.check_key(&key.to_owned()).map_err(|not_until| {
            let wait = not_until.wait_time_from(self.clock.now());
            TooMany(u32::try_from(wait.as_secs().saturating_add(1)).unwrap_or(u32::MAX))
        })
    }
}

/// How often a customer may ask for a call, by whichever door.
pub(crate) struct Starts<C: Clock = DefaultClock> {
    minute: Buckets<C>,
    hour: Buckets<C>,
}

impl<C: Clock + Clone> Starts<C> {
    /// Full buckets by `clock`.
    pub(crate) fn new(clock: C) -> Self {
        Self {
            minute: Buckets::new(STARTS_PER_MINUTE, MINUTE, clock.clone()),
            hour: Buckets::new(STARTS_PER_HOUR, HOUR, clock),
        }
    }

    /// One more call of the caller. Service keys and the demo's visitor have no limit.
    ///
    /// # Errors
    /// `rate_limited` with the time to wait.
    pub(crate) fn admit(&self, caller: &Caller) -> Result<(), Refused> {
        let Caller::Customer { user_id, .. } = caller else {
            return Ok(());
        };
        let user = user_id.as_str();
        let taken = self.minute.take(user).and_then(|()| self.hour.take(user));
        taken.map_err(|TooMany(seconds)| Refused::new(Code::RateLimited).retry_after(seconds))
    }
}

#[cfg(test)]
mod tests {
    use call_model::UserId;
    use governor::clock::FakeRelativeClock;

    use super::*;
    use crate::caller::CustomerVia;

    fn starts() -> (FakeRelativeClock, Starts<FakeRelativeClock>) {
        let clock = FakeRelativeClock::default();
        (clock.clone(), Starts::new(clock))
    }

    fn customer(user: &str) -> Caller {
        Caller::Customer {
            user_id: UserId::new(user).unwrap(),
            name: None,
            email: None,
            via: CustomerVia::Token,
        }
    }

    #[test]
    fn the_fourth_call_in_a_minute_waits_and_others_do_not() {
        let (clock, starts) = starts();
        for _ in 0..STARTS_PER_MINUTE {
            assert_eq!(starts.admit(&customer("a")), Ok(()));
        }
        let refused = starts.admit(&customer("a")).unwrap_err();
        let seconds = refused.retry_after_s.unwrap();
        assert_eq!(refused.code, Code::RateLimited);
        assert!((1..=21).contains(&seconds), "{seconds}");
        assert_eq!(starts.admit(&customer("b")), Ok(()));
        clock.advance(Duration::from_secs(u64::from(seconds)));
        assert_eq!(starts.admit(&customer("a")), Ok(()));
    }

    #[test]
    fn the_eleventh_call_in_an_hour_waits() {
        let (clock, starts) = starts();
        for _ in 0..STARTS_PER_HOUR {
            assert_eq!(starts.admit(&customer("a")), Ok(()));
            clock.advance(Duration::from_secs(20));
        }
        assert!(starts.admit(&customer("a")).is_err());
    }

    #[test]
    fn other_systems_and_the_demo_have_no_limit() {
        let (_, starts) = starts();
        let bank = Caller::Service {
            name: "bank".to_owned(),
        };
        for _ in 0..=STARTS_PER_HOUR {
            assert_eq!(starts.admit(&bank), Ok(()));
            assert_eq!(starts.admit(&Caller::Demo), Ok(()));
        }
    }
}
