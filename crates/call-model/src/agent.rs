//! When an agent may be asked: two axes that are never one. What he has chosen, and what is seen of him.
//!
//! Never counts contacts itself: how many slots are held is read off the offers, and handed in.
//!
//! Invariant: [`Agent::routable`] says yes only if every single condition holds, and else names the first that fails.

use crate::{Span, StaffId, Timestamp};

/// After a no or a silence this agent is not asked for this contact again for so long.
pub const CONTACT_COOL_DOWN: Span = Span::seconds(60);
/// After a silence this agent is not asked for anything for so long.
pub const MISSED_COOL_DOWN: Span = Span::seconds(15);
/// Silences in a row after which the agent is set away: he has left the desk without saying so.
pub const STRIKES_MAX: u32 = 3;
/// How long a sign of life of the console lasts.
pub const PRESENCE_LEASE: Span = Span::seconds(30);
/// Round trip of the console from which on an offer would be half over before it is seen.
pub const ROUND_TRIP_MAX: Span = Span::seconds(2);

/// What the agent has chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Chosen {
    /// Takes contacts.
    Online,
    /// At the desk, takes none.
    Away,
    /// Not at the desk.
    Offline,
}

impl Chosen {
    /// All of them.
    pub const ALL: [Chosen; 3] = [Chosen::Online, Chosen::Away, Chosen::Offline];

    /// The word in `staff.status`.
    pub const fn word(self) -> &'static str {
        match self {
            Chosen::Online => "online",
            Chosen::Away => "away",
            Chosen::Offline => "offline",
        }
    }
}

/// What is seen of him, and what he holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Who.
    pub id: StaffId,
    /// False: the account is closed.
    pub active: bool,
    /// His choice.
    pub chosen: Chosen,
    /// Until when the last sign of life of his console counts.
    pub lease_until: Timestamp,
    /// Round trip of his console, when it was measured.
    pub round_trip: Option<Span>,
    /// True once the console has heard his microphone.
    pub media_checked: bool,
    /// Calls he may hold at a time.
    pub slots: u32,
    /// Offers of his that hold a slot now.
    pub held: u32,
    /// Until when he is not asked for anything.
    pub cools_until: Option<Timestamp>,
}

/// Why somebody is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unfit {
    /// The account is closed.
    Inactive,
    /// He does not want to be asked.
    NotOnline,
    /// No sign of life from his console.
    Silent,
    /// His console is too slow.
    Slow,
    /// His microphone was not checked.
    NoMicrophone,
    /// All his slots are held.
    Full,
    /// He missed an offer a moment ago.
    CoolingDown,
}

impl Unfit {
    /// Stable word for explanations.
    pub const fn word(self) -> &'static str {
        match self {
            Unfit::Inactive => "inactive",
            Unfit::NotOnline => "not_online",
            Unfit::Silent => "silent",
            Unfit::Slow => "slow",
            Unfit::NoMicrophone => "no_microphone",
            Unfit::Full => "full",
            Unfit::CoolingDown => "cooling_down",
        }
    }
}

impl Agent {
    /// Whether a call may be offered to him at `now`.
    ///
    /// # Errors
    /// The first reason against it.
    pub fn routable(&self, now: Timestamp) -> Result<(), Unfit> {
        if !self.active {
            return Err(Unfit::Inactive);
        }
        if self.chosen != Chosen::Online {
            return Err(Unfit::NotOnline);
        }
        if self.lease_until <= now {
            return Err(Unfit::Silent);
        }
        if self.round_trip.is_some_and(|span| span >= ROUND_TRIP_MAX) {
            return Err(Unfit::Slow);
        }
        if !self.media_checked {
            return Err(Unfit::NoMicrophone);
        }
        if self.held >= self.slots {
            return Err(Unfit::Full);
        }
        if self.cools_until.is_some_and(|until| until > now) {
            return Err(Unfit::CoolingDown);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent() -> Agent {
        Agent {
            id: StaffId(1),
            active: true,
            chosen: Chosen::Online,
            lease_until: Timestamp(100),
            round_trip: Some(Span(ROUND_TRIP_MAX.0 - 1)),
            media_checked: true,
            slots: 2,
            held: 1,
            cools_until: Some(Timestamp(50)),
        }
    }

    #[test]
    fn every_condition_counts_and_is_named() {
        let at = Timestamp(50);
        assert_eq!(agent().routable(at), Ok(()));
        let unfit = |change: fn(&mut Agent)| {
            let mut agent = agent();
            change(&mut agent);
            agent.routable(at).unwrap_err()
        };
        assert_eq!(unfit(|agent| agent.active = false), Unfit::Inactive);
        assert_eq!(unfit(|agent| agent.chosen = Chosen::Away), Unfit::NotOnline);
        assert_eq!(unfit(|agent| agent.chosen = Chosen::Offline), Unfit::NotOnline);
        assert_eq!(unfit(|agent| agent.lease_until = Timestamp(50)), Unfit::Silent);
        assert_eq!(unfit(|agent| agent.round_trip = Some(ROUND_TRIP_MAX)), Unfit::Slow);
        assert_eq!(unfit(|agent| agent.media_checked = false), Unfit::NoMicrophone);
        assert_eq!(unfit(|agent| agent.held = 2), Unfit::Full);
        assert_eq!(
            unfit(|agent| agent.cools_until = Some(Timestamp(51))),
            Unfit::CoolingDown
        );
    }

    #[test]
    fn a_round_trip_that_was_not_measured_is_no_reason() {
        assert_eq!(
            Agent {
                round_trip: None,
                ..agent()
            }
            .routable(Timestamp(50)),
            Ok(())
        );
    }
}
