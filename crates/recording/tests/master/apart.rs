//! How far the two sides of a call part in the file, packet by packet: the bar is 20 ms, whatever clocks, networks and
//! microphones do.

use std::ops::Range;

use proptest::prelude::*;
use recording::Lane;
use recording::master::assemble;
use recording::opus_packet::split_self_delimited;

use super::lab::*;

/// Long enough for two clocks at opposite ends to part by four slots: 400 s at 200 ppm.
const SECONDS: u64 = 400;
/// What one side may be from the other, and either from its own time: 20 ms (in microseconds).
const APART_MAX: i64 = 20_000;
/// Bytes of a packet of speech, and of one of silence.
const SPEECH: usize = 80;
const QUIET: usize = 12;
/// What a freeze takes at most, its end and 3 s of catching up included, and a second to spare: 10 s.
const CATCHING_UP: u64 = 10 * SECOND;
/// In DTX every twentieth packet is sent.
const DTX_EVERY: usize = 20;
const SLOT_US: i64 = 20_000;

/// How one side behaves.
#[derive(Clone, Debug)]
struct Habits {
    ppm: i32,
    /// Where its packets stand between two slots.
    phase_us: u64,
    delay_ms: u64,
    jitter_ms: u64,
    /// Share of the seconds in which it speaks, of eight.
    talks: u64,
    dtx: bool,
    /// The network stands still then, and catches up.
    freeze: Option<Range<u64>>,
    /// The microphone stands still from that second for some seconds.
    stall: Option<(u64, u64)>,
    seed: u64,
}

fn habits() -> impl Strategy<Value = Habits> {
    let freeze = (20..SECONDS - 20, 500u64..3_000).prop_map(|(s, ms)| s * SECOND..s * SECOND + ms * 1_000_000);
    let stall = (20..SECONDS - 20, 2u64..=18);
    let clock = (-100..=100, 0u64..20_000, 5u64..80, 0u64..40);
    let sound = (0..=8u64, any::<bool>(), any::<u64>());
    let faults = (proptest::option::of(freeze), proptest::option::of(stall));
    // While a frozen network catches up, its packets do not tell whether the microphone stood still as well.
    let faults = faults.prop_filter("a stall while the network catches up", |(freeze, stall)| {
        let (Some(freeze), Some((from, _))) = (freeze, stall) else {
            return true;
        };
        (from * SECOND).abs_diff(freeze.start) > CATCHING_UP
    });
    (clock, sound, faults).prop_map(|(clock, sound, (freeze, stall))| Habits {
        ppm: clock.0,
        phase_us: clock.1,
        delay_ms: clock.2,
        jitter_ms: clock.3,
        talks: sound.0,
        dtx: sound.1,
        seed: sound.2,
        freeze,
        stall,
    })
}

/// A side of the call.
struct Side {
    habits: Habits,
    sender: Sender,
}

impl Side {
    fn new(habits: Habits, lane: Lane) -> Self {
        let mut sender = Sender::new(lane);
        sender.ppm = f64::from(habits.ppm);
        sender.begins_ns += habits.phase_us * 1_000;
        sender.delay_ns = habits.delay_ms * 1_000_000;
        Side { habits, sender }
    }

    fn talks(&self, frame: usize) -> bool {
        jitter(frame / 50 + self.habits.seed as usize % 65_536, 8) < self.habits.talks
    }

    fn packets(&self) -> Vec<Vec<u8>> {
        let each = |frame: usize| {
            let mut payload = vec![0x5a; if self.talks(frame) { SPEECH } else { QUIET }];
            // Hybrid, full band, 20 ms, mono, one frame (RFC 6716 §3.1).
            payload[0] = 0x78;
            payload[1..9].copy_from_slice(&(frame as u64).to_be_bytes());
            payload
        };
        (0..SECONDS as usize * 50).map(each).collect()
    }

    /// How much later than its samples say a frame was taken.
    fn stalled(&self, frame: usize) -> u64 {
        let stall = self.habits.stall.filter(|(from, _)| frame as u64 >= from * 50);
        stall.map_or(0, |(_, seconds)| seconds * SECOND)
    }

    fn track(&self) -> recording::Track {
        let network = |frame: usize, leaves: u64| {
            if self.habits.dtx && !self.talks(frame) && !frame.is_multiple_of(DTX_EVERY) {
                return None;
            }
            let arrives = leaves + self.stalled(frame) + jitter(frame, self.habits.jitter_ms * 1_000_000 + 1);
            let freeze = self.habits.freeze.clone().unwrap_or_default();
            let held = freeze.contains(&(arrives - START));
            Some(if held {
                START + freeze.end + frame as u64
            } else {
                arrives
            })
        };
        let mut packets = self.sender.send(&self.packets(), network);
        if self.habits.dtx {
            packets.sort_by_key(|packet| packet.rtp_ts);
            for (number, packet) in packets.iter_mut().enumerate() {
                packet.ext_seq = 500 + number as u32;
            }
            packets.sort_by_key(|packet| packet.arrival_ns);
        }
        self.sender.track(packets)
    }

    /// Microseconds by which a packet of the file plays late, if it is speech: between them a side in DTX says too
    /// seldom where its clock is, and nobody hears it.
    fn late_us(&self, slot: usize, payload: &[u8]) -> Option<i64> {
        let payload = Some(payload).filter(|payload| payload.len() == SPEECH)?;
        let number: [u8; 8] = payload.get(1..9)?.try_into().ok()?;
        let frame = u64::from_be_bytes(number) as usize;
        let truth = self.sender.taken_ns(frame * FRAME) + self.sender.delay_ns + self.stalled(frame) - START;
        Some(slot as i64 * SLOT_US - truth as i64 / 1_000)
    }
}

/// What a call came to: the most that its sides were apart and that either was from its own time, microseconds, and
/// how many packets were taken out or slots put in.
#[derive(Debug)]
struct Outcome {
    apart: i64,
    away: i64,
    turns: u64,
}

fn play(habits: [Habits; 2]) -> Outcome {
    let [customer, agent] = habits;
    let sides = [Side::new(customer, Lane::Customer), Side::new(agent, Lane::Agent)];
    let tracks = sides.each_ref().map(Side::track);
    let master = assemble(&assembly(&tracks, (SECONDS + 40) * 1_000));
    let (mut apart, mut away, mut before) = (0, 0, 0);
    for (slot, packet) in packets_of(&master.audio).0.iter().enumerate() {
        let (left, right) = split_self_delimited(packet).expect("two streams");
        let late = [sides[0].late_us(slot, &left), sides[1].late_us(slot, right)];
        away = late.iter().flatten().fold(away, |most, late| most.max(late.abs()));
        if let [Some(customer), Some(agent)] = late {
            let now = (customer - agent).abs();
            // A turn that both sides take may fall into neighbouring slots: what lasts longer counts.
            apart = apart.max(now.min(before));
            before = now;
        }
    }
    let turns = master
        .side
        .lanes
        .iter()
        .map(|lane| lane.inserted + lane.removed.len() as u64);
    Outcome {
        apart,
        away,
        turns: turns.sum(),
    }
}

/// Speaks on and on, or never a quiet packet when `talks` is 8.
fn plain(ppm: i32, phase_us: u64, talks: u64) -> Habits {
    Habits {
        ppm,
        phase_us,
        delay_ms: 20,
        jitter_ms: 30,
        talks,
        dtx: false,
        freeze: None,
        stall: None,
        seed: phase_us,
    }
}

#[test]
fn clocks_at_opposite_ends_stay_within_a_slot_of_each_other() {
    for talks in [4, 8] {
        for phase_us in (0..20_000).step_by(2_500) {
            for (one, other) in [(100, -100), (-100, 100), (100, 100), (-100, -100), (100, 0)] {
                let outcome = play([plain(one, 0, talks), plain(other, phase_us, talks)]);
                let what = format!("{one} and {other} ppm, {phase_us} us, {talks} of 8: {outcome:?}");
                println!("{what}");
                assert!(outcome.apart <= APART_MAX && outcome.away <= APART_MAX, "{what}");
                // A clock parts from ours by two slots; for the other's sake a side may be moved there and back once.
                let drifts = [one, other].iter().filter(|ppm| **ppm != 0).count() as u64;
                assert!(outcome.turns <= 2 * drifts + 4, "{what}");
            }
        }
    }
}

#[test]
fn a_quiet_side_does_not_turn_before_one_in_speech_that_is_later() {
    // The agent, seldom heard, ran out of patience in a pause at 16 ms, half a millisecond less late than the customer
    // in speech was: his turn left them 20.5 ms apart, until the customer took hers two slots on.
    let customer = Habits {
        delay_ms: 76,
        jitter_ms: 12,
        ..plain(54, 7_002, 8)
    };
    let agent = Habits {
        delay_ms: 7,
        jitter_ms: 4,
        dtx: true,
        freeze: Some(78 * SECOND..80_470_000_000),
        stall: Some((326, 15)),
        seed: 1_931_198_163_369_626_549,
        ..plain(86, 6_924, 2)
    };
    let outcome = play([customer, agent]);
    assert!(outcome.apart <= APART_MAX && outcome.away <= APART_MAX, "{outcome:?}");
}

#[test]
fn sides_that_come_to_their_limits_together_never_part() {
    // Both clocks are 100 ppm off, so either side crosses the borders of every patience twice: in step, or just before
    // or just behind the other. One of them mostly pauses, with DTX or without.
    for ppm in [100, -100] {
        for dtx in [true, false] {
            for phase_us in (5_000..=7_000).step_by(250) {
                let seldom = Habits {
                    dtx,
                    ..plain(ppm, phase_us, 2)
                };
                let always = plain(ppm, 6_000, 8);
                for sides in [[always.clone(), seldom.clone()], [seldom, always]] {
                    let what = format!("{sides:?}");
                    let outcome = play(sides);
                    assert!(
                        outcome.apart <= APART_MAX && outcome.away <= APART_MAX,
                        "{what}: {outcome:?}"
                    );
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(testkit::properties::properties(48))]

    #[test]
    fn the_sides_stay_together_whatever_happens(customer in habits(), agent in habits()) {
        let outcome = play([customer, agent]);
        prop_assert!(outcome.apart <= APART_MAX && outcome.away <= APART_MAX, "{outcome:?}");
    }
}
