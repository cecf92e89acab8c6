//! Waiting for an agent: what the customer hears in the queue, while the agent's line comes up, and while a call changes
//! hands.

use std::sync::Arc;

use media_core::command::Command;
use media_core::event::Cause;
use media_core::matrix::{Part, Stance, Tap};
use media_core::music::{Music, Programme};
use testkit::bed::{Bed, Client, FRAME, Heard, ROOM, Sent};

use super::Call;
use super::hold::tune;

/// Frames of the waiting tune between two prompts.
const EVERY: u32 = 5;

/// A tune whose frames are 11, 12 and 13.
fn waiting_tune() -> Music {
    let frames: [&[u8]; 3] = [&[31 << 3, 11], &[31 << 3, 12, 2], &[31 << 3, 13, 3, 3]];
    Music::new(frames.into_iter()).expect("three frames of 20 ms")
}

/// A prompt of two frames, 21 and 22.
fn prompt() -> Music {
    let frames: [&[u8]; 2] = [&[31 << 3, 21], &[31 << 3, 22, 2]];
    Music::new(frames.into_iter()).expect("two frames of 20 ms")
}

/// A bed that knows both tunes, and a customer whose line is up.
fn scene() -> (Bed, Client) {
    let mut bed = Bed::default();
    bed.shard.set_music(Arc::new(tune()));
    let programme = Programme::new(Arc::new(waiting_tune()), Arc::new(prompt()), EVERY);
    bed.shard.set_waiting(programme);
    let mut customer = Client::new(1, Part::Customer);
    bed.bring_up(&mut customer);
    (bed, customer)
}

/// Which frame of ours a packet is; 0 for a word.
fn frame(heard: &Heard) -> u8 {
    match heard.payload[..] {
        [248, number, ..] => number,
        _ => 0,
    }
}

fn frames(client: &mut Client, sent: &[Sent]) -> Vec<u8> {
    client.open_all(sent).iter().map(frame).collect()
}

/// One stream: each packet is the next one, and time goes on by the wall.
fn check_one_stream(heard: &[Heard]) {
    for two in heard.windows(2) {
        assert_eq!(two[1].header.ssrc, two[0].header.ssrc);
        assert_eq!(two[1].header.sequence, two[0].header.sequence.wrapping_add(1));
        let step = two[1].header.timestamp.wrapping_sub(two[0].header.timestamp);
        assert!((1..48_000).contains(&step), "time goes on: {step}");
    }
}

#[test]
fn who_waits_hears_the_tune_and_every_so_often_the_prompt_in_its_place() {
    let (mut bed, mut customer) = scene();
    bed.plan(&[(customer.leg, Stance::Queued)], Tap::On);
    let sent = bed.advance(16 * FRAME);
    let heard = customer.open_all(&sent);
    let played: Vec<_> = heard.iter().map(frame).collect();
    assert_eq!(
        played,
        [11, 12, 13, 11, 12, 21, 22, 13, 11, 12, 13, 11, 21, 22, 12, 13],
        "the tune goes on where the prompt broke in"
    );
    check_one_stream(&heard);
    let steps = heard.windows(2);
    let steps = steps.map(|two| two[1].header.timestamp.wrapping_sub(two[0].header.timestamp));
    assert!(steps.into_iter().all(|step| step == 960));
    assert!(heard[0].header.marker && heard[1..].iter().all(|heard| !heard.header.marker));
    let word = customer.speak(b"anybody there?");
    assert!(bed.datagram(customer.address, &word).is_empty());
    assert!(bed.tape.records.is_empty(), "who waits is not recorded");
}

#[test]
fn a_silence_of_ours_ends_with_the_marker_and_costs_its_time() {
    let (mut bed, mut customer) = scene();
    let programme = Programme::new(Arc::default(), Arc::new(prompt()), EVERY);
    bed.shard.set_waiting(programme);
    bed.plan(&[(customer.leg, Stance::Queued)], Tap::On);
    let sent = bed.advance(14 * FRAME);
    let heard = customer.open_all(&sent);
    assert_eq!(heard.iter().map(frame).collect::<Vec<_>>(), [21, 22, 21, 22]);
    assert_eq!(
        heard.iter().map(|heard| heard.header.marker).collect::<Vec<_>>(),
        [true, false, true, false]
    );
    check_one_stream(&heard);
    let pause = heard[2].header.timestamp.wrapping_sub(heard[1].header.timestamp);
    assert_eq!(pause, (EVERY + 1) * 960);
}

#[test]
fn without_a_programme_who_waits_hears_the_tune_of_those_on_hold() {
    let mut bed = Bed::default();
    bed.shard.set_music(Arc::new(tune()));
    let mut customer = Client::new(1, Part::Customer);
    bed.bring_up(&mut customer);
    bed.plan(&[(customer.leg, Stance::Queued)], Tap::On);
    let sent = bed.advance(4 * FRAME);
    assert_eq!(frames(&mut customer, &sent), [1, 2, 3, 1]);
}

#[test]
fn the_tune_of_the_queue_goes_on_until_the_agents_line_is_up_and_his_first_word_follows_it() {
    let (mut bed, mut customer) = scene();
    let mut agent = Client::new(2, Part::Agent);
    bed.plan(&[(customer.leg, Stance::Queued)], Tap::On);
    let mut heard = customer.open_all(&bed.advance(2 * FRAME));
    // The agent says yes: both are to talk, and his browser begins.
    let talk = [(customer.leg, Stance::Talk), (agent.leg, Stance::Talk)];
    bed.plan(&talk, Tap::On);
    heard.extend(customer.open_all(&bed.advance(FRAME)));
    bed.add(ROOM, &agent).expect("the leg is new");
    bed.check(&mut agent);
    heard.extend(customer.open_all(&bed.advance(FRAME)));
    assert_eq!(heard.iter().map(frame).collect::<Vec<_>>(), [11, 12, 13, 11]);
    bed.establish(&agent).expect("the transport lives");
    let sent = bed.advance(10 * FRAME);
    assert!(
        customer.open_all(&sent).is_empty(),
        "the music ends with the agent's line"
    );
    assert!(
        agent.open_all(&sent).is_empty(),
        "the agent hears no music of those who wait"
    );
    heard.extend(bed.say(&mut agent, b"good morning", &mut customer));
    assert_eq!(heard.last().map(|heard| &heard.payload[..]), Some(&b"good morning"[..]));
    check_one_stream(&heard);
    assert_eq!(bed.say(&mut customer, b"hello", &mut agent).len(), 1);
}

#[test]
fn a_customer_who_is_there_first_hears_music_and_an_agent_who_is_there_first_hears_none() {
    let (mut bed, mut customer) = scene();
    let mut agent = Client::new(2, Part::Agent);
    let talk = [(customer.leg, Stance::Talk), (agent.leg, Stance::Talk)];
    bed.plan(&talk, Tap::On);
    let sent = bed.advance(2 * FRAME);
    assert_eq!(frames(&mut customer, &sent), [11, 12]);

    let mut bed = Bed::default();
    bed.shard.set_music(Arc::new(tune()));
    bed.bring_up(&mut agent);
    bed.plan(&talk, Tap::On);
    bed.add(ROOM, &customer).expect("the leg is new");
    let sent = bed.advance(10 * FRAME);
    assert!(agent.open_all(&sent).is_empty());
}

#[test]
fn back_in_the_queue_he_waits_and_goes_on_waiting_to_one_tune_until_the_next_agent_is_there() {
    let mut call = Call::new();
    call.bed.shard.set_music(Arc::new(tune()));
    let programme = Programme::new(Arc::new(waiting_tune()), Arc::default(), EVERY);
    call.bed.shard.set_waiting(programme);
    assert!(call.customer_is_heard());
    call.bed.say(&mut call.agent, b"a moment", &mut call.customer);
    let Call { bed, customer, agent } = &mut call;
    bed.plan(&[(customer.leg, Stance::Queued)], Tap::Off);
    let leg = agent.leg;
    let (now, cause) = (bed.now, Cause::HangUp);
    bed.shard
        .command(now, Command::RemoveLeg { leg, cause })
        .expect("it lives");
    let mut next = Client::new(3, Part::Agent);
    let sent = bed.advance(3 * FRAME);
    let mut heard = customer.open_all(&sent);
    bed.plan(&[(customer.leg, Stance::Talk), (next.leg, Stance::Talk)], Tap::On);
    heard.extend(customer.open_all(&bed.advance(2 * FRAME)));
    assert_eq!(heard.iter().map(frame).collect::<Vec<_>>(), [11, 12, 13, 11, 12]);
    bed.bring_up(&mut next);
    assert!(customer.open_all(&bed.advance(5 * FRAME)).is_empty());
    assert_eq!(bed.say(&mut next, b"here I am", customer).len(), 1);
}

#[test]
fn while_a_call_changes_hands_the_customer_hears_music_at_once_and_nothing_of_who_had_it() {
    let (mut bed, mut customer) = scene();
    customer.nack = true;
    customer.reload();
    let attach = Command::Attach {
        leg: customer.leg,
        transport: Box::new(customer.transport()),
    };
    let now = bed.now;
    bed.shard.command(now, attach).expect("the leg lives");
    bed.check(&mut customer);
    bed.establish(&customer).expect("the transport lives");
    let (mut agent, mut next) = (Client::new(2, Part::Agent), Client::new(3, Part::Agent));
    bed.bring_up(&mut agent);
    bed.plan(&[(customer.leg, Stance::Talk), (agent.leg, Stance::Talk)], Tap::On);
    let before = bed.say(&mut agent, b"I cannot help you", &mut customer).remove(0);
    let under_way = agent.speak(b"what a bore");

    bed.plan(&[(customer.leg, Stance::Talk), (next.leg, Stance::Talk)], Tap::On);
    // The leg of who had the call ends a moment after the plan: what he says until then reaches nobody and no tape.
    let taped = bed.tape.records.len();
    assert!(bed.datagram(agent.address, &under_way).is_empty());
    assert!(bed.say(&mut agent, b"he never listens", &mut customer).is_empty());
    let asks = customer.nack_for(0, &[before.header.sequence]);
    assert!(bed.datagram(customer.address, &asks).is_empty(), "nor is it said again");
    assert_eq!(bed.tape.records.len(), taped);
    let mut heard = vec![before];
    heard.extend(customer.open_all(&bed.advance(2 * FRAME)));
    let (now, leg, cause) = (bed.now, agent.leg, Cause::Kicked);
    bed.shard
        .command(now, Command::RemoveLeg { leg, cause })
        .expect("it lives");
    assert!(bed.say(&mut agent, b"still here", &mut customer).is_empty());
    heard.extend(customer.open_all(&bed.advance(FRAME)));
    bed.add(ROOM, &next).expect("the leg is new");
    bed.check(&mut next);
    heard.extend(customer.open_all(&bed.advance(FRAME)));
    assert_eq!(
        heard.iter().map(frame).collect::<Vec<_>>(),
        [0, 1, 2, 3, 1],
        "the call was live: he is on hold and waits in no queue"
    );
    bed.establish(&next).expect("the transport lives");
    assert!(customer.open_all(&bed.advance(10 * FRAME)).is_empty());
    heard.extend(bed.say(&mut next, b"let me see", &mut customer));
    check_one_stream(&heard);
    assert_eq!(bed.say(&mut customer, b"thank you", &mut next).len(), 1);
    assert!(agent.open_all(&bed.advance(FRAME)).is_empty());
}

#[test]
fn a_customer_whose_only_company_is_taken_out_hears_music_until_somebody_joins() {
    let mut call = Call::new();
    call.bed.shard.set_music(Arc::new(tune()));
    let mut supervisor = Client::new(3, Part::Supervisor);
    call.bed.bring_up(&mut supervisor);
    call.bed.say(&mut call.agent, b"a", &mut call.customer);
    let stances = |stance| [(call.customer.leg, Stance::Talk), (supervisor.leg, stance)];
    let (listen, barge) = (stances(Stance::Listen), stances(Stance::Barge));
    call.bed.plan(&listen, Tap::On);
    let sent = call.bed.advance(4 * FRAME);
    assert_eq!(frames(&mut call.customer, &sent), [1, 2, 3, 1]);
    assert!(supervisor.open_all(&sent).is_empty(), "music is for the customer");
    call.bed.plan(&barge, Tap::On);
    let sent = call.bed.advance(4 * FRAME);
    assert!(call.customer.open_all(&sent).is_empty());
    let heard = call.bed.say(&mut supervisor, b"I am with you", &mut call.customer);
    assert_eq!(heard.len(), 1);
}
