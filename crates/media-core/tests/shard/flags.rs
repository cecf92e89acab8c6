//! Conditions of legs and rooms as events, over whole seconds: sound that goes one way, and a line on which nobody speaks.

use media_core::LegId;
use media_core::command::Command;
use media_core::counters::Direction;
use media_core::event::{Flag, Kind};
use media_core::matrix::{Stance, Tap};
use media_core::quality::thresholds::{Thresholds, UNREPORTED_SECONDS};
use media_core::rtcp::{self, Block};
use testkit::bed::FRAME;

use crate::Call;

/// A level below speech, -dBov.
const QUIET: (u8, bool) = (70, false);
/// Packets of a second.
const PACKETS: u32 = 50;

/// Seconds in which nobody of a conversation spoke.
const DEAD_AIR_SECONDS: u32 = Thresholds::DEFAULT.dead_air_seconds;

type Told = (Option<LegId>, Flag, Option<Direction>, bool);

impl Call {
    /// One second in which both send, or only the customer; what was told of conditions.
    fn second(&mut self, agent_too: bool) -> Vec<Told> {
        let mut told = self.all_of_second(agent_too);
        // The test's packets are all of one level, and nobody reports as often as packets come.
        told.retain(|(_, flag, ..)| matches!(flag, Flag::OneWay | Flag::DeadAir));
        told
    }

    fn all_of_second(&mut self, agent_too: bool) -> Vec<Told> {
        for _ in 0..PACKETS {
            self.bed.say(&mut self.customer, b"words", &mut self.agent);
            if agent_too {
                self.bed.say(&mut self.agent, b"words", &mut self.customer);
            }
            self.bed.advance(FRAME);
        }
        self.bed.check(&mut self.customer);
        self.bed.check(&mut self.agent);
        self.told()
    }

    fn told(&mut self) -> Vec<Told> {
        let events = self.bed.events();
        let told = events.into_iter().filter_map(|event| match event.kind {
            Kind::Quality {
                leg,
                flag,
                direction,
                raised,
            } => Some((leg, flag, direction, raised)),
            _ => None,
        });
        told.collect()
    }

    /// The agent reports that the highest packet it has heard is `highest`.
    fn agent_has_heard(&mut self, highest: u32) {
        let block = Block {
            ssrc: self.agent.slot_ssrc(0),
            highest,
            ..Block::default()
        };
        let mut plain = [0; 256];
        let len = rtcp::receiver_report(&mut plain, self.agent.numbers.ssrc, &[block], "agent").expect("it fits");
        let sealed = self.agent.seal_rtcp(&plain[..len]);
        self.bed.datagram(self.agent.address, &sealed);
    }
}

#[test]
fn a_leg_that_never_sends_is_one_way_after_five_seconds_and_counts_once() {
    let mut call = Call::new();
    let silent = call.agent.leg;
    let mut told = Vec::new();
    let mut highest = 0;
    let mut second = |call: &mut Call, agent_too| {
        // It hears well.
        highest += PACKETS;
        call.agent_has_heard(highest);
        call.second(agent_too)
    };
    for _ in 0..9 {
        told.extend(second(&mut call, false));
    }
    let raised = |leg| (Some(leg), Flag::OneWay, Some(Direction::Up), true);
    assert_eq!(told, [raised(silent)]);
    assert_eq!(call.bed.shard.totals().one_way_legs, 1);
    for _ in 0..7 {
        told.extend(second(&mut call, true));
    }
    assert_eq!(told[1..], [(Some(silent), Flag::OneWay, Some(Direction::Up), false)]);
}

#[test]
fn a_listener_whose_reports_stand_still_is_one_way_and_ends_with_the_first_that_moves() {
    let mut call = Call::new();
    let deaf = call.agent.leg;
    call.second(true);
    let mut told = Vec::new();
    let mut seconds = 0;
    while told.is_empty() {
        call.agent_has_heard(7);
        told = call.second(true);
        seconds += 1;
        assert!(
            seconds < Thresholds::DEFAULT.one_way_seconds + UNREPORTED_SECONDS,
            "never told"
        );
    }
    assert_eq!(told, [(Some(deaf), Flag::OneWay, Some(Direction::Down), true)]);
    assert!(seconds > 5, "after {seconds} s");
    for turn in 0..7 {
        call.agent_has_heard(1_000 + turn);
        told.extend(call.second(true));
    }
    // The customer does not report at all here, and is told of in its own time.
    told.retain(|(leg, ..)| *leg == Some(deaf));
    assert_eq!(told[1..], [(Some(deaf), Flag::OneWay, Some(Direction::Down), false)]);
}

/// Seconds of one level before it is told of: the first is compared with what was before it.
const DEAD_SECONDS: u32 = Thresholds::DEFAULT.dead_microphone_seconds + 1;
/// Seconds for which a condition must not hold until it ends.
const CLEAR_SECONDS: u32 = 5;

#[test]
fn a_party_that_is_muted_or_on_hold_has_no_dead_microphone_and_one_that_was_told_of_ends() {
    for stance in [Stance::Muted, Stance::Held] {
        let mut call = Call::new();
        let (customer, agent) = (call.customer.leg, call.agent.leg);
        // Digital silence, as a page sends it whose microphone was switched off.
        call.customer.loudness = (127, false);
        let seconds = |call: &mut Call, count: u32| {
            let mut told = Vec::new();
            for _ in 0..count {
                told.extend(call.all_of_second(true));
            }
            told.retain(|(leg, flag, ..)| *leg == Some(customer) && *flag == Flag::DeadMicrophone);
            told
        };
        let dead = |raised| [(Some(customer), Flag::DeadMicrophone, Some(Direction::Up), raised)];
        call.bed.plan(&[(customer, stance), (agent, Stance::Talk)], Tap::On);
        assert_eq!(seconds(&mut call, 3 * DEAD_SECONDS), [], "{stance:?}");

        call.talk();
        assert_eq!(seconds(&mut call, DEAD_SECONDS + 1), dead(true), "{stance:?}");
        call.bed.plan(&[(customer, stance), (agent, Stance::Talk)], Tap::On);
        assert_eq!(seconds(&mut call, CLEAR_SECONDS + 1), dead(false), "{stance:?}");
        assert_eq!(seconds(&mut call, 3 * DEAD_SECONDS), [], "{stance:?}");
    }
}

#[test]
fn a_party_that_nobody_is_to_hear_is_not_one_way_and_has_its_five_seconds_when_somebody_is() {
    for stance in [Stance::Muted, Stance::Held] {
        let mut call = Call::new();
        let (silent, agent) = (call.customer.leg, call.agent.leg);
        call.bed.plan(&[(silent, stance), (agent, Stance::Talk)], Tap::On);
        let seconds = |call: &mut Call, count: u32| {
            let mut told = Vec::new();
            for _ in 0..count {
                for _ in 0..PACKETS {
                    call.bed.say(&mut call.agent, b"words", &mut call.customer);
                    call.bed.advance(FRAME);
                }
                call.bed.check(&mut call.customer);
                call.bed.check(&mut call.agent);
                told.extend(call.told());
            }
            told.retain(|(leg, _, direction, _)| *leg == Some(silent) && *direction == Some(Direction::Up));
            told
        };
        let one_way = Thresholds::DEFAULT.one_way_seconds;
        assert_eq!(seconds(&mut call, 3 * one_way), [], "{stance:?}");
        call.talk();
        assert_eq!(seconds(&mut call, one_way - 1), [], "{stance:?}");
        let raised = [(Some(silent), Flag::OneWay, Some(Direction::Up), true)];
        assert_eq!(seconds(&mut call, 3), raised, "{stance:?}");
    }
}

#[test]
fn nobody_misses_the_words_of_one_who_is_muted() {
    let mut call = Call::new();
    (call.customer.loudness, call.agent.loudness) = (QUIET, QUIET);
    let muted = [(call.customer.leg, Stance::Muted), (call.agent.leg, Stance::Talk)];
    call.bed.plan(&muted, Tap::On);
    let mut told: Vec<_> = (0..2 * DEAD_AIR_SECONDS).flat_map(|_| call.second(true)).collect();
    told.retain(|(_, flag, ..)| *flag == Flag::DeadAir);
    assert_eq!(told, []);
}

#[test]
fn a_conversation_in_which_nobody_speaks_is_dead_air_and_hold_is_not() {
    let mut call = Call::new();
    (call.customer.loudness, call.agent.loudness) = (QUIET, QUIET);
    let mut highest = 0;
    let mut seconds = |call: &mut Call, count: u32| {
        let mut told = Vec::new();
        for _ in 0..count {
            highest += 50;
            call.agent_has_heard(highest);
            told.extend(call.second(true));
        }
        told.retain(|(_, flag, ..)| *flag == Flag::DeadAir);
        told
    };
    assert_eq!(seconds(&mut call, DEAD_AIR_SECONDS - 1), []);
    assert_eq!(seconds(&mut call, 3), [(None, Flag::DeadAir, None, true)]);
    assert!(call.bed.shard.totals().dead_air_seconds >= u64::from(DEAD_AIR_SECONDS));
    call.customer.loudness = (30, true);
    assert_eq!(seconds(&mut call, 8), [(None, Flag::DeadAir, None, false)]);
    call.customer.loudness = QUIET;
    let held = [(call.customer.leg, Stance::Held), (call.agent.leg, Stance::Talk)];
    call.bed.plan(&held, Tap::On);
    assert_eq!(seconds(&mut call, 2 * DEAD_AIR_SECONDS), []);
}

#[test]
fn thresholds_hold_for_calls_that_are_under_way_from_the_next_second_on() {
    let mut call = Call::new();
    (call.customer.loudness, call.agent.loudness) = (QUIET, QUIET);
    let mut highest = 0;
    let mut second = |call: &mut Call| {
        highest += PACKETS;
        call.agent_has_heard(highest);
        let mut told = call.second(true);
        told.retain(|(_, flag, ..)| *flag == Flag::DeadAir);
        told
    };
    for _ in 0..DEAD_AIR_SECONDS - 3 {
        assert_eq!(second(&mut call), []);
    }
    let impatient = Thresholds {
        dead_air_seconds: 5,
        ..Thresholds::DEFAULT
    };
    let now = call.bed.now;
    let told = Command::Thresholds(Box::new(impatient));
    call.bed.shard.command(now, told).expect("never refused");
    let told: Vec<_> = (0..2).flat_map(|_| second(&mut call)).collect();
    assert_eq!(told, [(None, Flag::DeadAir, None, true)]);
}
