//! A microphone that falls silent while the line lives: when that is told, and when it is over.

use media_core::event::Kind;
use media_core::limits::{AWAY, MS, SECOND, UPLINK_STALL};
use media_core::matrix::{Part, Stance, Tap};
use testkit::bed::Client;

use crate::{Call, kinds};

const TICK: u64 = 10 * MS;

/// What was told of the customer's microphone since the last call.
fn told(call: &mut Call) -> Vec<Kind> {
    let leg = call.customer.leg;
    let mine =
        |kind: &Kind| matches!(kind, Kind::UplinkStalled { leg: of } | Kind::UplinkResumed { leg: of } if *of == leg);
    kinds(&call.bed.events()).into_iter().filter(mine).collect()
}

fn alive(call: &mut Call, time: u64) {
    call.bed.advance_alive(time, &mut [&mut call.customer, &mut call.agent]);
}

#[test]
fn a_dead_microphone_is_told_once_and_so_is_its_return() {
    let mut call = Call::new();
    let leg = call.customer.leg;
    alive(&mut call, UPLINK_STALL - SECOND);
    assert_eq!(told(&mut call), []);
    alive(&mut call, 2 * SECOND);
    assert_eq!(told(&mut call), [Kind::UplinkStalled { leg }]);
    alive(&mut call, 10 * SECOND);
    assert_eq!(told(&mut call), [], "once is enough");
    assert!(call.customer_is_heard());
    assert_eq!(told(&mut call), [Kind::UplinkResumed { leg }]);
    assert!(call.customer_is_heard());
    assert_eq!(told(&mut call), []);
    alive(&mut call, UPLINK_STALL + 2 * SECOND);
    assert_eq!(told(&mut call), [Kind::UplinkStalled { leg }], "anew");
}

#[test]
fn a_leg_that_was_away_has_as_long_to_speak_again() {
    let mut call = Call::new();
    let leg = call.customer.leg;
    assert!(call.customer_is_heard());
    call.bed.advance_alive(2 * AWAY, &mut [&mut call.agent]);
    call.bed.check(&mut call.customer);
    assert!(kinds(&call.bed.events()).contains(&Kind::LegBack { leg }));
    alive(&mut call, UPLINK_STALL - TICK);
    assert_eq!(told(&mut call), []);
    alive(&mut call, SECOND + TICK);
    assert_eq!(told(&mut call), [Kind::UplinkStalled { leg }]);
}

#[test]
fn so_has_a_reloaded_page() {
    let mut call = Call::new();
    assert!(call.customer_is_heard());
    call.bed.advance_alive(2 * AWAY, &mut [&mut call.agent]);
    call.customer.reload();
    let (leg, transport) = (call.customer.leg, Box::new(call.customer.transport()));
    call.bed
        .shard
        .command(call.bed.now, media_core::command::Command::Attach { leg, transport })
        .unwrap();
    call.bed.check(&mut call.customer);
    call.bed.establish(&call.customer).unwrap();
    alive(&mut call, UPLINK_STALL - TICK);
    assert_eq!(told(&mut call), []);
    alive(&mut call, SECOND + TICK);
    assert_eq!(told(&mut call), [Kind::UplinkStalled { leg }]);
}

#[test]
fn who_may_not_speak_has_no_dead_microphone() {
    let mut call = Call::new();
    let mut supervisor = Client::new(3, Part::Supervisor);
    call.bed.bring_up(&mut supervisor);
    let talk = [(call.customer.leg, Stance::Talk), (call.agent.leg, Stance::Talk)];
    let listens = [talk[0], talk[1], (supervisor.leg, Stance::Listen)];
    call.bed.plan(&listens, Tap::On);
    call.bed.events();
    let stalled = Kind::UplinkStalled { leg: supervisor.leg };
    call.bed.advance_alive(
        3 * UPLINK_STALL,
        &mut [&mut call.customer, &mut call.agent, &mut supervisor],
    );
    assert!(!kinds(&call.bed.events()).contains(&stalled));
    let whispers = [talk[0], talk[1], (supervisor.leg, Stance::Whisper)];
    call.bed.plan(&whispers, Tap::On);
    call.bed.advance_alive(
        UPLINK_STALL - SECOND,
        &mut [&mut call.customer, &mut call.agent, &mut supervisor],
    );
    assert!(!kinds(&call.bed.events()).contains(&stalled));
    call.bed
        .advance_alive(2 * SECOND, &mut [&mut call.customer, &mut call.agent, &mut supervisor]);
    assert!(kinds(&call.bed.events()).contains(&stalled), "from now on he may");
}
