//! The conditions of a leg and of a room that somebody should see: when one begins and when it ends.
//!
//! Figures of a second come in, and from where on one counts as bad ([`Thresholds`]); changes go out. Nothing is counted
//! and no clock is read. Thresholds that change while a leg lives hold from its next second on.
//!
//! Invariants: a condition that was raised is cleared before it is raised again, and never sooner than five seconds after
//! it was raised.

use super::thresholds::Thresholds;
use super::window::{Change, Persistent, Sudden};
use crate::counters::{Direction, Second};
use crate::event::Flag;
use crate::tap::LEVEL_UNKNOWN;

/// Packets of a second below which loss and score say nothing: a pause with DTX has two or three, and one of them lost
/// would be a third of all.
pub const JUDGED_PACKETS_MIN: u32 = 10;
/// Level that room noise stays below and speech does not, 0 silence to 127 full scale: -50 dBov.
pub const LOUD_LEVEL_MIN: u8 = 77;
/// Loud packets of a second that make it one of speech: 200 ms. Fewer are a cough or a door.
pub const LOUD_PACKETS_MIN: u32 = 10;
/// Seconds without speech after which somebody speaks no more: shorter ones are between words.
pub const SPEAKING_HOLD_SECONDS: u32 = 2;
/// Level that only a sound which was cut off reaches: -3 dBov, that of a full-scale sine.
pub const CLIPPED_LEVEL_MIN: u8 = 124;
/// Changes that one second of a leg can bring.
pub const CHANGES_MAX: usize = 12;

/// A set of flags, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlagSet(pub u16);

impl FlagSet {
    /// The set and this flag.
    #[must_use]
    pub const fn with(self, flag: Flag) -> FlagSet {
        FlagSet(self.0 | 1 << flag as u16)
    }

    /// The set and this flag if `holds`.
    #[must_use]
    pub const fn with_if(self, flag: Flag, holds: bool) -> FlagSet {
        if holds { self.with(flag) } else { self }
    }

    /// True if the flag is in it.
    #[must_use]
    pub const fn contains(self, flag: Flag) -> bool {
        self.0 >> flag as u16 & 1 == 1
    }
}

/// A condition that began or ended. `direction`: where it shows; `None` where both are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Which condition.
    pub flag: Flag,
    /// From the leg, or towards it.
    pub direction: Option<Direction>,
    /// True when it began.
    pub raised: bool,
}

/// What a second's rows do not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// It may be heard, is up for longer than [`Thresholds::one_way_seconds`], and not one packet has come.
    pub silent_from_start: bool,
    /// The plan lets nobody hear it, as while it is muted or on hold: its silence is what was asked for.
    pub unheard: bool,
    /// It is up, it is sent audio, and its reports say that nothing comes: see [`Thresholds::is_deaf`].
    pub deaf: bool,
}

/// What a second of a leg brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Conditions that began or ended.
    pub changes: [Option<Changed>; CHANGES_MAX],
    /// The leg began to be heard by nobody or to hear nobody; true once in its life.
    pub first_one_way: bool,
    /// The microphone was cut off in this second.
    pub clipping: bool,
}

/// The conditions of one leg.
#[derive(Clone, Debug, Default)]
pub struct LegFlags {
    rtt: Persistent,
    up: Way,
    down: Way,
    burst: Sudden,
    clipping: Persistent,
    microphone: Microphone,
    one_way_told: bool,
    speaking: bool,
    silent_s: u32,
}

/// Conditions that each direction has for itself.
#[derive(Clone, Debug, Default)]
struct Way {
    jitter: Persistent,
    loss: Persistent,
    mos: Persistent,
    one_way: Sudden,
}

impl LegFlags {
    /// Takes both rows of a second, rated already; writes into them which conditions hold and whether the leg speaks.
    pub fn second(&mut self, up: &mut Second, down: &mut Second, facts: Facts, limits: &Thresholds) -> Verdict {
        let clipping = is_clipped(up, limits);
        let one_way = facts.silent_from_start || facts.deaf;
        let mut verdict = Verdict {
            first_one_way: one_way && !self.one_way_told,
            clipping,
            ..Verdict::default()
        };
        self.one_way_told |= one_way;
        let mut found = Found {
            places: verdict.changes.iter_mut(),
        };
        let rtt = up.rtt_us.is_some_and(|rtt| rtt > limits.rtt_us);
        found.add(Flag::HighRtt, None, self.rtt.add(rtt));
        self.up.second(up, facts.silent_from_start, limits, &mut found);
        self.down.second(down, facts.deaf, limits, &mut found);
        let upward = Some(Direction::Up);
        let burst = self.burst.add(up.burst_max >= limits.burst_packets);
        found.add(Flag::LossBurst, upward, burst);
        found.add(Flag::Clipping, upward, self.clipping.add(clipping));
        found.add(
            Flag::DeadMicrophone,
            upward,
            self.microphone.second(up, facts.unheard, limits),
        );
        self.listen(up);
        up.speaking = self.speaking;
        up.flags = self
            .up
            .raised()
            .with_if(Flag::HighRtt, self.rtt.is_raised())
            .with_if(Flag::LossBurst, self.burst.is_raised())
            .with_if(Flag::Clipping, self.clipping.is_raised())
            .with_if(Flag::DeadMicrophone, self.microphone.dead.is_raised());
        down.flags = self.down.raised();
        verdict
    }

    /// Who begins to speak does so at once; who stops is believed after [`SPEAKING_HOLD_SECONDS`].
    fn listen(&mut self, up: &Second) {
        if is_speech(up) {
            self.silent_s = 0;
            self.speaking = true;
        } else {
            self.silent_s = self.silent_s.saturating_add(1);
            self.speaking &= self.silent_s < SPEAKING_HOLD_SECONDS;
        }
    }
}

impl Way {
    fn second(&mut self, row: &Second, one_way: bool, limits: &Thresholds, found: &mut Found<'_>) {
        let judged = row.expected >= JUDGED_PACKETS_MIN;
        let direction = Some(row.direction);
        found.add(
            Flag::HighJitter,
            direction,
            self.jitter.add(judged && row.jitter_us > limits.jitter_us),
        );
        found.add(
            Flag::HighLoss,
            direction,
            self.loss.add(judged && row.loss() > limits.loss),
        );
        let low = judged && row.mos.is_some_and(|mos| mos < limits.mos);
        found.add(Flag::LowMos, direction, self.mos.add(low));
        found.add(Flag::OneWay, direction, self.one_way.add(one_way));
    }

    fn raised(&self) -> FlagSet {
        FlagSet::default()
            .with_if(Flag::HighJitter, self.jitter.is_raised())
            .with_if(Flag::HighLoss, self.loss.is_raised())
            .with_if(Flag::LowMos, self.mos.is_raised())
            .with_if(Flag::OneWay, self.one_way.is_raised())
    }
}

/// Where changes go; there is a place for each that a second can bring.
struct Found<'a> {
    places: std::slice::IterMut<'a, Option<Changed>>,
}

impl Found<'_> {
    fn add(&mut self, flag: Flag, direction: Option<Direction>, change: Option<Change>) {
        let Some(change) = change else { return };
        if let Some(place) = self.places.next() {
            *place = Some(Changed {
                flag,
                direction,
                raised: change == Change::Raised,
            });
        }
    }
}

/// A live microphone never gives exactly the same level for seconds; digital silence and a stuck driver do, and so does
/// one that was switched off on purpose.
#[derive(Clone, Debug, Default)]
struct Microphone {
    level: u8,
    same_s: u32,
    dead: Sudden,
}

impl Microphone {
    fn second(&mut self, up: &Second, unheard: bool, limits: &Thresholds) -> Option<Change> {
        let constant =
            !unheard && up.level_max != LEVEL_UNKNOWN && up.level_mean == up.level_max && up.level_max == self.level;
        self.level = up.level_max;
        self.same_s = if constant && up.received > 0 {
            self.same_s.saturating_add(1)
        } else {
            0
        };
        self.dead.add(self.same_s >= limits.dead_microphone_seconds)
    }
}

/// Silence of everybody in a conversation.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeadAir {
    quiet_s: u32,
    /// The seconds of this silence are in the count.
    counted: bool,
    condition: Sudden,
}

impl DeadAir {
    /// Takes one second of a room. `quiet`: nobody spoke; `None` while there is no conversation, as on hold. Returns what
    /// changed, and how many seconds of dead air are to be added to the count: those before the flag with it.
    pub fn second(&mut self, quiet: Option<bool>, limits: &Thresholds) -> (Option<Changed>, u64) {
        let holds = quiet == Some(true);
        self.quiet_s = if holds { self.quiet_s.saturating_add(1) } else { 0 };
        let dead = holds && self.quiet_s >= limits.dead_air_seconds;
        let seconds = match (dead, self.counted) {
            (false, _) => 0,
            (true, false) => u64::from(self.quiet_s),
            (true, true) => 1,
        };
        self.counted = holds && (self.counted || dead);
        let change = self.condition.add(dead).map(|change| Changed {
            flag: Flag::DeadAir,
            direction: None,
            raised: change == Change::Raised,
        });
        (change, seconds)
    }
}

/// True if the second holds speech, by the levels of its packets; a sender that tells no level is believed to speak when
/// it sends more than DTX frames.
#[must_use]
pub fn is_speech(up: &Second) -> bool {
    let loud = if up.level_max == LEVEL_UNKNOWN {
        up.voiced
    } else {
        up.loud
    };
    loud >= LOUD_PACKETS_MIN
}

fn is_clipped(up: &Second, limits: &Thresholds) -> bool {
    up.clipped > 0 && up.received >= JUDGED_PACKETS_MIN && up.clipped * 100 >= up.received * limits.clipped_percent
}

#[cfg(test)]
mod tests;
