//! The last second of every room, for the consoles' live view and for the gauges.
//!
//! Lossy by design and never stored: what lasts goes into the quality timeline.
//!
//! A hop's own scores know nothing of the other hop, whose delay and loss are heard as well: the score over both stands
//! beside them and is never merged with them.
//!
//! Invariant: a room that is gone leaves nothing behind.

use std::collections::HashMap;

use call_model::quality::{self, Hop};
use call_model::{CallId, LegId};
use media_core::counters::{Direction, Second};
use media_core::tap::LEVEL_UNKNOWN;
use ports::{DownlinkSecond, Flags, LegSnapshot, Part, RoomSnapshot, Route};

use crate::convert;

/// Below this opinion score a second is a bad one (recording-and-quality, alert on live legs).
pub const LOW_MOS: f32 = 3.5;
/// Score of a leg that has sent nothing that could be judged: nothing is wrong yet.
const UNJUDGED_MOS: f32 = 4.5;
/// Seconds in a row after which a leg counts as bad.
const LOW_FOR: u8 = 10;

#[derive(Clone, Debug)]
struct Leg {
    seen: LegSnapshot,
    /// The last second with packets and a measured round trip, up and down.
    hops: [Option<Hop>; 2],
    /// Bad seconds in a row, up, down, and over both hops.
    low: [u8; 3],
    /// Conditions that hold, up and down.
    flags: [Flags; 2],
}

/// How many legs are up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By way, in the order of [`Route::ALL`].
    pub by_route: [u64; Route::ALL.len()],
    /// Of all, how many were bad for ten seconds: up, down, and as they hear the others over both hops.
    pub low: [u64; 3],
}

/// See the top of this file.
#[derive(Debug, Default)]
pub struct Live {
    rooms: HashMap<CallId, Vec<Leg>>,
    busy: f32,
}

impl Live {
    /// Takes one second of one leg.
    pub fn update(&mut self, second: &Second) {
        let legs = self.rooms.entry(convert::room_out(second.room)).or_default();
        let id = convert::leg_out(second.leg);
        let place = legs.iter().position(|leg| leg.seen.leg == id).unwrap_or_else(|| {
            legs.push(Leg {
                seen: fresh(id, second),
                hops: [None; 2],
                low: [0; 3],
                flags: [Flags::default(); 2],
            });
            legs.len() - 1
        });
        let Some(leg) = legs.get_mut(place) else { return };
        // Who takes a call over becomes something else to it.
        leg.seen.part = convert::part_out(second.part);
        let loss = share(second.lost, second.expected);
        let jitter_ms = second.jitter_us as f32 / 1_000.0;
        let direction = match second.direction {
            Direction::Up => {
                leg.seen.up = second.up;
                leg.seen.loss = loss;
                leg.seen.jitter_ms = jitter_ms;
                leg.seen.rtt_ms = second.rtt_us.map(|us| us as f32 / 1_000.0);
                leg.seen.mos = second.mos.unwrap_or(leg.seen.mos);
                leg.seen.level = if second.level_max == LEVEL_UNKNOWN {
                    0
                } else {
                    second.level_max
                };
                leg.seen.speaking = second.speaking;
                leg.seen.route = second.route.map(convert::route);
                0
            }
            Direction::Down => {
                if let Some(mos) = second.mos {
                    leg.seen.down = Some(DownlinkSecond { loss, jitter_ms, mos });
                }
                1
            }
        };
        leg.flags[direction] = convert::flags(second.flags);
        leg.seen.flags = leg.flags[0].or(leg.flags[1]);
        count_low(&mut leg.low[direction], second.mos);
        if second.expected > 0 {
            leg.hops[direction] = second.rtt_us.map(|rtt| hop(second, rtt));
        }
    }

    /// Judges how a leg hears over both hops, once a second, behind both rows of it. `hears`: whom it hears by the plan.
    pub fn listens(&mut self, room: CallId, id: LegId, hears: &[LegId]) {
        let Some(legs) = self.rooms.get_mut(&room) else { return };
        let Some(place) = legs.iter().position(|leg| leg.seen.leg == id) else {
            return;
        };
        let heard = end_to_end(legs, place, hears);
        let Some(leg) = legs.get_mut(place) else { return };
        leg.seen.mos_end_to_end = heard;
        count_low(&mut leg.low[BOTH_HOPS], heard);
    }

    /// Forgets a leg.
    pub fn remove_leg(&mut self, room: CallId, id: LegId) {
        if let Some(legs) = self.rooms.get_mut(&room) {
            legs.retain(|leg| leg.seen.leg != id);
            if legs.is_empty() {
                self.rooms.remove(&room);
            }
        }
    }

    /// Forgets a room.
    pub fn remove(&mut self, room: CallId) {
        self.rooms.remove(&room);
    }

    /// The last second of a room.
    #[must_use]
    pub fn room(&self, room: CallId) -> Option<RoomSnapshot> {
        let legs = self.rooms.get(&room)?;
        Some(RoomSnapshot {
            legs: legs.iter().map(|leg| leg.seen).collect(),
        })
    }

    /// Legs that are up.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for leg in self.rooms.values().flatten().filter(|leg| leg.seen.up) {
            let route = leg.seen.route.unwrap_or(Route::Direct);
            if let Some(place) = Route::ALL.iter().position(|one| *one == route) {
                counts.by_route[place] += 1;
            }
            for (sum, low) in counts.low.iter_mut().zip(leg.low) {
                *sum += u64::from(low >= LOW_FOR);
            }
        }
        counts
    }

    /// Busiest shard thread, 0 to 1.
    #[must_use]
    pub const fn busy(&self) -> f32 {
        self.busy
    }

    /// Says how busy the busiest shard is.
    pub fn set_busy(&mut self, busy: f32) {
        self.busy = busy;
    }
}

/// Place of the score over both hops among the bad seconds, behind the two directions.
const BOTH_HOPS: usize = 2;

fn count_low(seconds: &mut u8, mos: Option<f32>) {
    let low = mos.is_some_and(|mos| mos < LOW_MOS);
    *seconds = if low { seconds.saturating_add(1) } else { 0 };
}

fn hop(second: &Second, rtt_us: u32) -> Hop {
    Hop {
        loss: second.loss(),
        rtt_ms: f64::from(rtt_us) / 1_000.0,
        jitter_ms: f64::from(second.jitter_us) / 1_000.0,
    }
}

/// How the leg at `place` hears those whom it hears at all; of several the worst. `None` without a speaker or with an
/// unmeasured hop.
fn end_to_end(legs: &[Leg], place: usize, hears: &[LegId]) -> Option<f32> {
    let listener = legs.get(place).filter(|leg| takes_part(leg))?;
    let down = listener.hops[1]?;
    let speakers = legs
        .iter()
        .filter(|leg| takes_part(leg) && hears.contains(&leg.seen.leg));
    let ratings = speakers.filter_map(|speaker| Some(quality::rating(speaker.hops[0]?, down)));
    // By rating, for a score falls with it.
    let worst = ratings.reduce(f64::min)?;
    Some(quality::mos(worst) as f32)
}

/// A supervisor's line is nobody's trouble, as in the score of the whole call.
fn takes_part(leg: &Leg) -> bool {
    match leg.seen.part {
        Part::Customer | Part::Agent | Part::Partner => leg.seen.up,
        Part::Supervisor | Part::Preflight => false,
    }
}

fn fresh(leg: LegId, second: &Second) -> LegSnapshot {
    LegSnapshot {
        leg,
        part: convert::part_out(second.part),
        up: second.up,
        loss: 0.0,
        jitter_ms: 0.0,
        rtt_ms: None,
        mos: UNJUDGED_MOS,
        level: 0,
        speaking: false,
        flags: Flags::default(),
        down: None,
        mos_end_to_end: None,
        route: second.route.map(convert::route),
    }
}

/// `part` of `whole` as a share; 0 of nothing.
pub(crate) fn share(part: u32, whole: u32) -> f32 {
    if whole == 0 { 0.0 } else { part as f32 / whole as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_core::quality::flags::FlagSet;
    use media_core::{TapId, event, matrix, origin};
    use ports::Flag;

    fn second(direction: Direction, mos: f32) -> Second {
        Second {
            leg: media_core::LegId(1),
            room: media_core::RoomId(2),
            tap: TapId(3),
            part: matrix::Part::Agent,
            direction,
            at: 0,
            up: true,
            expected: 50,
            received: 45,
            lost: 5,
            repaired_rtx: 0,
            repaired_red: 0,
            repaired_fec: 0,
            late: 0,
            duplicate: 0,
            burst_max: 1,
            jitter_us: 2_500,
            delay_us_min: 0,
            delay_us_mean: 0,
            delay_us_max: 0,
            rtt_us: Some(40_000),
            payload_bytes: 0,
            voiced: 50,
            dtx: 0,
            loud: 40,
            clipped: 0,
            speaking: true,
            level_mean: 60,
            level_max: 90,
            rating: None,
            mos: Some(mos),
            flags: FlagSet::default(),
            route: None,
        }
    }

    #[test]
    fn conditions_of_both_directions_are_shown_until_their_own_row_takes_them_back() {
        let mut live = Live::default();
        let with = |direction, set: FlagSet| Second {
            flags: set,
            ..second(direction, 4.0)
        };
        live.update(&with(Direction::Up, FlagSet::default().with(event::Flag::Clipping)));
        live.update(&with(Direction::Down, FlagSet::default().with(event::Flag::OneWay)));
        let shown = |live: &Live| {
            let room = live.room(CallId(2)).unwrap();
            room.legs[0].flags.iter().collect::<Vec<_>>()
        };
        assert_eq!(shown(&live), [Flag::OneWay, Flag::Clipping]);
        assert!(live.room(CallId(2)).unwrap().legs[0].speaking);
        live.update(&with(Direction::Up, FlagSet::default()));
        assert_eq!(shown(&live), [Flag::OneWay]);
    }

    #[test]
    fn legs_are_counted_by_the_way_that_they_go_now() {
        let mut live = Live::default();
        let over = |route| Second {
            route: Some(route),
            ..second(Direction::Up, 4.0)
        };
        for (place, route) in origin::Route::ALL.into_iter().enumerate() {
            live.update(&over(route));
            let mut by_route = [0; 4];
            by_route[place] = 1;
            assert_eq!(live.counts().by_route, by_route);
            let seen = live.room(CallId(2)).unwrap().legs[0].route;
            assert_eq!(seen, Some(Route::ALL[place]), "both lists have one order");
        }
    }

    #[test]
    fn directions_are_never_merged() {
        let mut live = Live::default();
        live.update(&second(Direction::Up, 2.0));
        live.update(&second(Direction::Down, 4.0));
        let room = live.room(CallId(2)).unwrap();
        let [leg] = room.legs[..] else { panic!("one leg") };
        assert_eq!((leg.mos, leg.down.unwrap().mos, leg.level), (2.0, 4.0, 90));
        assert!((leg.loss - 0.1).abs() < 1e-6 && (leg.jitter_ms - 2.5).abs() < 1e-6);
    }

    #[test]
    fn a_leg_is_bad_after_ten_bad_seconds_in_a_row_and_not_after_nine() {
        let mut live = Live::default();
        for _ in 1..LOW_FOR {
            live.update(&second(Direction::Up, 2.0));
        }
        let counts = |low| Counts {
            by_route: [1, 0, 0, 0],
            low,
        };
        assert_eq!(live.counts(), counts([0, 0, 0]));
        live.update(&second(Direction::Up, 2.0));
        assert_eq!(live.counts(), counts([1, 0, 0]));
        live.update(&second(Direction::Up, 4.0));
        assert_eq!(live.counts(), counts([0, 0, 0]));
        live.remove_leg(CallId(2), LegId(1));
        assert!(live.room(CallId(2)).is_none());
    }

    /// A good second of both directions of a leg with this round trip.
    fn hear(live: &mut Live, leg: u128, part: Part, rtt_ms: u32) {
        for direction in [Direction::Up, Direction::Down] {
            live.update(&Second {
                leg: media_core::LegId(leg),
                part: convert::part(part),
                lost: 0,
                received: 50,
                rtt_us: Some(rtt_ms * 1_000),
                ..second(direction, 4.1)
            });
        }
        // Everybody talks with everybody.
        let others = live.room(CallId(2)).unwrap().legs.into_iter().map(|other| other.leg);
        let others: Vec<_> = others.filter(|other| *other != LegId(leg)).collect();
        live.listens(CallId(2), LegId(leg), &others);
    }

    fn scores(live: &Live) -> Vec<Option<f32>> {
        let room = live.room(CallId(2)).unwrap();
        room.legs.iter().map(|leg| leg.mos_end_to_end).collect()
    }

    #[test]
    fn two_far_legs_hear_one_another_worse_than_either_hop_sounds() {
        let mut live = Live::default();
        hear(&mut live, 1, Part::Customer, 390);
        assert_eq!(scores(&live), [None], "one leg hears nobody");
        for _ in 0..LOW_FOR {
            hear(&mut live, 2, Part::Agent, 390);
            hear(&mut live, 1, Part::Customer, 390);
        }
        for leg in live.room(CallId(2)).unwrap().legs {
            assert!(leg.mos_end_to_end.unwrap() < LOW_MOS, "{leg:?}");
            assert!(
                leg.mos > 4.0 && leg.down.unwrap().mos > 4.0,
                "the hops' own scores stay apart"
            );
        }
        assert_eq!(live.counts().low, [0, 0, 2]);

        hear(&mut live, 2, Part::Agent, 20);
        hear(&mut live, 1, Part::Customer, 20);
        hear(&mut live, 2, Part::Agent, 20);
        assert!(
            scores(&live).iter().all(|score| score.unwrap() > 4.3),
            "{:?}",
            scores(&live)
        );
        assert_eq!(live.counts().low, [0, 0, 0]);
    }

    #[test]
    fn of_several_speakers_the_worst_counts_and_a_supervisor_is_none() {
        let mut live = Live::default();
        hear(&mut live, 3, Part::Supervisor, 900);
        hear(&mut live, 2, Part::Agent, 20);
        hear(&mut live, 1, Part::Customer, 20);
        let good = scores(&live)[2].unwrap();
        assert!(good > 4.3, "{good}");
        hear(&mut live, 4, Part::Partner, 600);
        hear(&mut live, 1, Part::Customer, 20);
        assert!(scores(&live)[2].unwrap() < good);
        assert_eq!(scores(&live)[0], None, "his line is nobody's trouble");
        hear(&mut live, 4, Part::Agent, 600);
        assert_eq!(
            live.room(CallId(2)).unwrap().legs[3].part,
            Part::Agent,
            "he has taken the call over"
        );
    }

    #[test]
    fn whom_a_leg_does_not_hear_is_not_among_its_speakers() {
        let mut live = Live::default();
        hear(&mut live, 1, Part::Customer, 20);
        hear(&mut live, 2, Part::Agent, 20);
        hear(&mut live, 3, Part::Partner, 900);
        let of_agent = |live: &mut Live, hears: &[u128]| {
            let hears: Vec<_> = hears.iter().copied().map(LegId).collect();
            live.listens(CallId(2), LegId(2), &hears);
            scores(live)[1]
        };
        let (all, customer) = (of_agent(&mut live, &[1, 3]), of_agent(&mut live, &[1]));
        assert!(customer > Some(4.3) && all < customer, "{customer:?} {all:?}");
        assert_eq!(of_agent(&mut live, &[3]), all, "of several the worst");
        assert_eq!(of_agent(&mut live, &[]), None, "he hears nobody");
    }

    #[test]
    fn without_a_round_trip_or_with_the_speaker_away_nothing_is_said_over_both_hops() {
        let mut live = Live::default();
        hear(&mut live, 2, Part::Agent, 20);
        hear(&mut live, 1, Part::Customer, 20);
        assert!(scores(&live)[1].is_some());
        let of_agent = |live: &mut Live, second: Second| {
            live.update(&Second {
                leg: media_core::LegId(2),
                ..second
            });
            hear(live, 1, Part::Customer, 20);
        };
        let unknown = Second {
            rtt_us: None,
            ..second(Direction::Up, 4.1)
        };
        of_agent(&mut live, unknown);
        assert_eq!(scores(&live)[1], None);
        hear(&mut live, 2, Part::Agent, 20);
        let away = Second {
            up: false,
            ..second(Direction::Up, 4.1)
        };
        of_agent(&mut live, away);
        assert_eq!(scores(&live)[1], None);
    }
}
