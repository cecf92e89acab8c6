//! Hold: what the customer hears, what nobody hears, what is stored, and that his stream never breaks.

use std::sync::Arc;

use media_core::limits::{MS, SECOND};
use media_core::matrix::{Part, Stance, Tap};
use media_core::music::Music;
use testkit::bed::{Client, FRAME, Heard};

use super::Call;

/// A tune of three frames that can be told apart: CELT, full band, 20 ms.
pub(crate) fn tune() -> Music {
    let frames: [&[u8]; 3] = [&[31 << 3, 1], &[31 << 3, 2, 2], &[31 << 3, 3, 3, 3]];
    Music::new(frames.into_iter()).expect("three frames of 20 ms")
}

fn held_call() -> Call {
    let mut call = Call::new();
    call.bed.shard.set_music(Arc::new(tune()));
    call
}

fn hold(call: &mut Call) {
    let stances = [(call.customer.leg, Stance::Held), (call.agent.leg, Stance::Talk)];
    call.bed.plan(&stances, Tap::On);
}

/// The music of `frames` frames of time.
fn listen(call: &mut Call, frames: u64) -> Vec<Heard> {
    let sent = call.bed.advance(frames * FRAME);
    call.customer.open_all(&sent)
}

fn check_goes_on(before: &Heard, after: &Heard) {
    assert_eq!(after.header.sequence, before.header.sequence.wrapping_add(1));
    assert_eq!(after.header.ssrc, before.header.ssrc);
}

#[test]
fn the_customer_hears_the_tune_from_its_start_and_nobody_hears_or_records_anybody() {
    let mut call = held_call();
    assert!(call.customer_is_heard());
    let taped = call.bed.tape.records.len();
    hold(&mut call);
    let heard = listen(&mut call, 6);
    let payloads: Vec<_> = heard.iter().map(|heard| heard.payload[1]).collect();
    assert_eq!(payloads, [1, 2, 3, 1, 2, 3]);
    assert!(heard[0].header.marker && heard[1..].iter().all(|heard| !heard.header.marker));
    assert!(call.bed.say(&mut call.customer, b"alone", &mut call.agent).is_empty());
    assert!(call.bed.say(&mut call.agent, b"aside", &mut call.customer).is_empty());
    assert_eq!(call.bed.tape.records.len(), taped, "hold stores nothing");
    assert_eq!(call.bed.shard.totals().music_sent, 6);
    call.talk();
    assert!(call.customer_is_heard());
    assert!(listen(&mut call, 50).is_empty(), "the music ends with the hold");
}

#[test]
fn forty_thousand_packets_of_hold_are_one_stream_with_the_talk_before_and_after() {
    let mut call = held_call();
    let mut last = call
        .bed
        .say(&mut call.agent, b"one moment", &mut call.customer)
        .remove(0);
    let (spoken_at, first) = (call.bed.now, last.header.timestamp);
    hold(&mut call);
    let mut packets = 0u64;
    while packets < 40_000 {
        // The line lives: checks come, and so do the customer's packets, which nobody hears.
        call.bed.check(&mut call.customer);
        call.bed.check(&mut call.agent);
        for heard in listen(&mut call, 50) {
            check_goes_on(&last, &heard);
            if packets > 0 {
                assert_eq!(heard.header.timestamp, last.header.timestamp.wrapping_add(960));
            }
            last = heard;
            packets += 1;
        }
    }
    call.talk();
    let back = call
        .bed
        .say(&mut call.agent, b"here I am", &mut call.customer)
        .remove(0);
    check_goes_on(&last, &back);
    assert!(back.header.marker);
    let wall = (call.bed.now - spoken_at) / MS * 48;
    let told = back.header.timestamp.wrapping_sub(first);
    assert!(
        told.abs_diff(wall as u32) <= 2 * 960,
        "time goes by the wall: {told} for {wall}"
    );
    assert!(call.customer_is_heard());
}

#[test]
fn an_agent_who_talks_through_the_hold_with_a_new_microphone_is_heard_at_once_after_it() {
    let mut call = held_call();
    let mut last = call.bed.say(&mut call.agent, b"wait", &mut call.customer).remove(0);
    let (spoken_at, first) = (call.bed.now, last.header.timestamp);
    hold(&mut call);
    for packet in 0..40_000u64 {
        if packet == 20_000 {
            // Another device: SSRC, numbers and time begin anew, all of them far from what was.
            call.agent.numbers.ssrc ^= 0xFFFF;
            call.agent.index = 65_000;
            call.agent.timestamp = call.agent.timestamp.wrapping_sub(1_000_000_000);
        }
        if packet % 100 == 0 {
            call.bed.check(&mut call.customer);
            call.bed.check(&mut call.agent);
        }
        assert!(call.bed.say(&mut call.agent, b"aside", &mut call.customer).is_empty());
        for heard in listen(&mut call, 1) {
            check_goes_on(&last, &heard);
            last = heard;
        }
    }
    call.talk();
    let mut words = Vec::new();
    for word in [b"here", b"I am"] {
        words.extend(call.bed.say(&mut call.agent, word, &mut call.customer));
        call.bed.advance(FRAME);
    }
    assert_eq!(words.len(), 2, "no packet is lost to the hold");
    check_goes_on(&last, &words[0]);
    check_goes_on(&words[0], &words[1]);
    let (told, wall) = (
        words[1].header.timestamp.wrapping_sub(first),
        (call.bed.now - spoken_at) / MS * 48,
    );
    assert!(told.abs_diff(wall as u32) <= 3 * 960, "{told} for {wall}");
}

#[test]
fn a_whisper_that_comes_and_goes_breaks_no_stream_of_the_agent_and_none_of_the_customer() {
    let mut call = held_call();
    let mut supervisor = Client::new(3, Part::Supervisor);
    call.bed.bring_up(&mut supervisor);
    let mut last: [std::collections::HashMap<u32, Heard>; 2] = Default::default();
    let mut streams = [0; 2];
    for turn in 0..12 {
        let stance = [Stance::Waiting, Stance::Whisper, Stance::Listen, Stance::Barge][turn % 4];
        let own = if turn % 5 == 4 { Stance::Held } else { Stance::Talk };
        let stances = [
            (call.customer.leg, own),
            (call.agent.leg, Stance::Talk),
            (supervisor.leg, stance),
        ];
        call.bed.plan(&stances, Tap::On);
        for _ in 0..10 {
            let mut sent = Vec::new();
            for speaker in [&mut call.customer, &mut call.agent, &mut supervisor] {
                let packet = speaker.speak(b"word");
                sent.extend(call.bed.datagram(speaker.address, &packet));
            }
            sent.extend(call.bed.advance(FRAME));
            for (side, heard) in [call.customer.open_all(&sent), call.agent.open_all(&sent)]
                .into_iter()
                .enumerate()
            {
                for one in heard {
                    if let Some(before) = last[side].get(&one.header.ssrc) {
                        check_goes_on(before, &one);
                        let step = one.header.timestamp.wrapping_sub(before.header.timestamp);
                        assert!((960..48_000).contains(&step), "time goes on: {step}");
                    }
                    last[side].insert(one.header.ssrc, one);
                }
            }
        }
        streams = [last[0].len(), last[1].len()];
    }
    assert_eq!(streams, [2, 2], "a second stream each, and no third");
}

#[test]
fn every_hold_begins_the_tune_anew_and_goes_on_in_the_same_stream() {
    let mut call = held_call();
    let mut last: Option<Heard> = None;
    for _ in 0..3 {
        hold(&mut call);
        let heard = listen(&mut call, 4);
        assert_eq!(heard[0].payload[1], 1);
        assert!(heard[0].header.marker);
        for heard in heard {
            if let Some(last) = &last {
                check_goes_on(last, &heard);
                let step = heard.header.timestamp.wrapping_sub(last.header.timestamp);
                assert!(
                    (960..48_000).contains(&step),
                    "time never stands still or goes back: {step}"
                );
            }
            last = Some(heard);
        }
        // Resumed without a word: the next hold follows the last one directly.
        call.talk();
        call.bed.advance(7 * MS);
    }
}

#[test]
fn a_page_that_is_loaded_anew_on_hold_hears_the_music_under_its_new_keys() {
    let mut call = held_call();
    hold(&mut call);
    assert_eq!(listen(&mut call, 5).len(), 5);
    call.customer.reload();
    let attach = media_core::command::Command::Attach {
        leg: call.customer.leg,
        transport: Box::new(call.customer.transport()),
    };
    let now = call.bed.now;
    call.bed.shard.command(now, attach).unwrap();
    call.bed.check(&mut call.customer);
    call.bed.establish(&call.customer).unwrap();
    let heard = listen(&mut call, 5);
    assert_eq!(heard.len(), 5);
    assert!(heard[0].header.marker);
}

#[test]
fn many_legs_on_hold_are_served_evenly_and_leave_with_their_legs() {
    let mut call = held_call();
    let mut others: Vec<Client> = (10..15).map(|n| Client::new(n, Part::Partner)).collect();
    for other in &mut others {
        call.bed.bring_up(other);
    }
    let mut stances = vec![(call.customer.leg, Stance::Held)];
    stances.extend(others.iter().map(|other| (other.leg, Stance::Held)));
    call.bed.plan(&stances, Tap::Off);
    let sent = call.bed.advance(10 * FRAME);
    assert_eq!(call.customer.open_all(&sent).len(), 10);
    assert!(others.iter_mut().all(|other| other.open_all(&sent).len() == 10));
    let now = call.bed.now;
    let close = media_core::command::Command::CloseRoom {
        room: testkit::bed::ROOM,
        cause: media_core::event::Cause::HangUp,
    };
    call.bed.shard.command(now, close).unwrap();
    assert!(call.bed.advance(SECOND).is_empty());
    assert_eq!(call.bed.shard.wake_at(), None);
}

#[test]
fn a_supervisor_who_turns_from_whisper_to_listening_is_not_opened_any_more() {
    let mut call = held_call();
    call.bed.say(&mut call.agent, b"a", &mut call.customer);
    let mut supervisor = Client::new(3, Part::Supervisor);
    call.bed.bring_up(&mut supervisor);
    let stances = |call: &Call, stance| {
        [
            (call.customer.leg, Stance::Talk),
            (call.agent.leg, Stance::Talk),
            (supervisor_leg(), stance),
        ]
    };
    let whisper = stances(&call, Stance::Whisper);
    call.bed.plan(&whisper, Tap::On);
    let taped = call.bed.tape.records.len();
    let packet = supervisor.speak(b"ask for the number");
    let sent = call.bed.datagram(supervisor.address, &packet);
    assert_eq!(call.agent.open_all(&sent).len(), 1);
    assert!(
        call.customer.open_all(&sent).is_empty(),
        "the customer never hears a whisper"
    );
    assert_eq!(call.bed.tape.records.len(), taped, "a whisper is not recorded");
    let listen = stances(&call, Stance::Listen);
    call.bed.plan(&listen, Tap::On);
    let opened = call.bed.shard.totals().rtp_opened;
    let packet = supervisor.speak(b"still there");
    assert!(call.bed.datagram(supervisor.address, &packet).is_empty());
    let totals = call.bed.shard.totals();
    assert_eq!((totals.uplink_denied, totals.rtp_opened), (1, opened));
}

#[test]
fn who_takes_the_call_over_is_whispered_to_from_then_on() {
    let mut call = held_call();
    call.bed.say(&mut call.agent, b"a", &mut call.customer);
    let mut supervisor = Client::new(3, Part::Supervisor);
    let mut colleague = Client::new(4, Part::Partner);
    call.bed.bring_up(&mut supervisor);
    call.bed.bring_up(&mut colleague);
    let stances = [
        (call.customer.leg, Stance::Talk),
        (colleague.leg, Stance::Talk),
        (supervisor.leg, Stance::Whisper),
    ];
    call.bed.plan(&stances, Tap::On);
    let mut whisper = |call: &mut Call, colleague: &mut Client| {
        let packet = supervisor.speak(b"thank him");
        let sent = call.bed.datagram(supervisor.address, &packet);
        (call.customer.open_all(&sent).len(), colleague.open_all(&sent).len())
    };
    assert_eq!(whisper(&mut call, &mut colleague), (0, 0));
    let (now, leg) = (call.bed.now, colleague.leg);
    let part = Part::Agent;
    let takes_over = media_core::command::Command::Part { leg, part };
    call.bed.shard.command(now, takes_over).unwrap();
    assert_eq!(whisper(&mut call, &mut colleague), (0, 1));
    let heard = call.bed.say(&mut colleague, b"I am with you", &mut call.customer);
    assert_eq!(heard.len(), 1, "his stream goes on");
    let leg = media_core::LegId(99);
    let nobody = media_core::command::Command::Part { leg, part };
    assert!(call.bed.shard.command(now, nobody).is_err());
}

fn supervisor_leg() -> media_core::LegId {
    Client::new(3, Part::Supervisor).leg
}
