//! The tone that tells of a supervisor: who hears it and when, and that it costs no word where there is room beside them.

use std::sync::Arc;

use media_core::command::Command;
use media_core::event::{Cause, Event, Kind};
use media_core::matrix::{Announce, Part, Stance, Tap};
use media_core::music::Music;
use testkit::bed::{Client, FRAME, Heard, ROOM, Sent};

use super::Call;
use super::hold::tune;

/// Frames of the tone: 41 to 44.
const FRAMES: u64 = 4;

fn tone() -> Music {
    let frames: [&[u8]; FRAMES as usize] = [&[31 << 3, 41], &[31 << 3, 42], &[31 << 3, 43], &[31 << 3, 44]];
    Music::new(frames.into_iter()).expect("four frames of 20 ms")
}

/// A live call in which `announce` is the rule.
fn call(announce: Announce) -> Call {
    call_with(announce, &|_| ())
}

fn call_with(announce: Announce, change: &dyn Fn(&mut Client)) -> Call {
    let (mut customer, mut agent) = (Client::new(1, Part::Customer), Client::new(2, Part::Agent));
    let mut bed = testkit::bed::Bed::default();
    bed.announce = announce;
    bed.shard.set_music(Arc::new(tune()));
    bed.shard.set_tone(Arc::new(tone()));
    for client in [&mut customer, &mut agent] {
        change(client);
        bed.bring_up(client);
    }
    let mut call = Call { bed, customer, agent };
    call.talk();
    call.bed.say(&mut call.agent, b"hello", &mut call.customer);
    call.bed.events();
    call
}

impl Call {
    /// The plan in which the supervisor takes part like this.
    fn supervise(&mut self, supervisor: &Client, how: Stance) {
        let stances = [
            (self.customer.leg, Stance::Talk),
            (self.agent.leg, Stance::Talk),
            (supervisor.leg, how),
        ];
        self.bed.plan(&stances, Tap::On);
    }
}

fn supervisor() -> Client {
    let mut supervisor = Client::new(3, Part::Supervisor);
    supervisor.uplink = false;
    supervisor
}

/// The frames of the tone in what was heard.
fn tones(heard: &[Heard]) -> Vec<u8> {
    let frames = heard.iter().filter(|heard| heard.payload.first() == Some(&(31 << 3)));
    frames
        .map(|heard| heard.payload[1])
        .filter(|&number| number > 40)
        .collect()
}

fn tones_of(client: &mut Client, sent: &[Sent]) -> Vec<u8> {
    tones(&client.open_all(sent))
}

/// Who was told, as reported.
fn told(events: &[Event]) -> Vec<(media_core::LegId, Vec<media_core::LegId>)> {
    let told = events.iter().filter_map(|event| match &event.kind {
        Kind::Announced { supervisor, heard_by } => Some((*supervisor, heard_by.clone())),
        _ => None,
    });
    told.collect()
}

#[test]
fn the_rule_says_who_hears_the_tone_once_as_soon_as_the_supervisor_has_come() {
    for (announce, customer_hears, agent_hears) in [
        (Announce::Nobody, false, false),
        (Announce::Agents, false, true),
        (Announce::All, true, true),
    ] {
        let mut call = call(announce);
        let taped = call.bed.tape.records.len();
        let mut supervisor = supervisor();
        call.supervise(&supervisor, Stance::Listen);
        call.bed.add(ROOM, &supervisor).expect("the leg is new");
        call.bed.check(&mut supervisor);
        let sent = call.bed.advance(5 * FRAME);
        assert!(sent.is_empty(), "nobody listens yet");
        call.bed.establish(&supervisor).expect("the transport lives");
        let sent = call.bed.advance(10 * FRAME);
        let all: Vec<u8> = (41..=44).collect();
        let expected = |hears| if hears { all.clone() } else { Vec::new() };
        assert_eq!(
            tones_of(&mut call.customer, &sent),
            expected(customer_hears),
            "{announce:?}"
        );
        assert_eq!(tones_of(&mut call.agent, &sent), expected(agent_hears), "{announce:?}");
        assert!(supervisor.open_all(&sent).is_empty(), "who listens hears no tone");
        let hearers = [(call.customer.leg, customer_hears), (call.agent.leg, agent_hears)];
        let hearers: Vec<_> = hearers
            .into_iter()
            .filter(|(_, hears)| *hears)
            .map(|(leg, _)| leg)
            .collect();
        let reported = if hearers.is_empty() {
            Vec::new()
        } else {
            vec![(supervisor.leg, hearers)]
        };
        assert_eq!(told(&call.bed.events()), reported);
        assert_eq!(call.bed.tape.records.len(), taped, "it is in no recording");
        // The same again, and a page that is loaded anew: he goes on as he did.
        call.supervise(&supervisor, Stance::Listen);
        supervisor.reload();
        let attach = Command::Attach {
            leg: supervisor.leg,
            transport: Box::new(supervisor.transport()),
        };
        call.bed.shard.command(call.bed.now, attach).expect("the leg lives");
        call.bed.check(&mut supervisor);
        call.bed.establish(&supervisor).expect("the transport lives");
        let sent = call.bed.advance(10 * FRAME);
        assert!(tones_of(&mut call.agent, &sent).is_empty() && told(&call.bed.events()).is_empty());
    }
}

#[test]
fn no_word_is_lost_to_a_tone_that_has_a_slot_of_its_own() {
    let mut call = call(Announce::All);
    let mut supervisor = supervisor();
    call.supervise(&supervisor, Stance::Listen);
    call.bed.bring_up(&mut supervisor);
    let mut last: Option<Heard> = None;
    let mut tone_in = Vec::new();
    for word in 0..10u8 {
        let packet = call.customer.speak(&[b'w', word]);
        let mut sent = call.bed.datagram(call.customer.address, &packet);
        sent.extend(call.bed.advance(FRAME));
        for heard in call.agent.open_all(&sent) {
            if heard.payload[0] != b'w' {
                tone_in.push(heard);
                continue;
            }
            assert_eq!(heard.payload, [b'w', word]);
            if let Some(last) = last.replace(heard.clone()) {
                assert_eq!(heard.header.sequence, last.header.sequence.wrapping_add(1));
                assert_eq!(heard.header.ssrc, last.header.ssrc);
                assert!(!heard.header.marker, "his stream is not touched");
            }
        }
    }
    assert_eq!(last.map(|heard| heard.payload), Some(vec![b'w', 9]));
    assert_eq!(tones(&tone_in), [41, 42, 43, 44]);
    assert!(tone_in[0].header.marker && tone_in.iter().all(|heard| heard.header.ssrc == call.agent.slot_ssrc(2)));
    let steps = tone_in.windows(2).map(|two| {
        (
            two[1].header.sequence.wrapping_sub(two[0].header.sequence),
            two[1].header.timestamp.wrapping_sub(two[0].header.timestamp),
        )
    });
    assert!(steps.into_iter().all(|step| step == (1, 960)));
}

#[test]
fn whoever_begins_in_another_way_or_comes_as_another_is_told_of_anew() {
    let mut call = call(Announce::Agents);
    let mut first = Client::new(3, Part::Supervisor);
    call.supervise(&first, Stance::Listen);
    call.bed.bring_up(&mut first);
    let heard = |call: &mut Call| {
        let sent = call.bed.advance(6 * FRAME);
        tones_of(&mut call.agent, &sent).len() as u64
    };
    assert_eq!(heard(&mut call), FRAMES);
    for how in [Stance::Whisper, Stance::Barge, Stance::Listen] {
        call.supervise(&first, how);
        assert_eq!(heard(&mut call), FRAMES, "{how:?}");
    }
    call.supervise(&first, Stance::Waiting);
    assert_eq!(heard(&mut call), 0);
    call.supervise(&first, Stance::Listen);
    assert_eq!(heard(&mut call), FRAMES, "he had gone");
    // In the seat of who left sits somebody else.
    let (leg, cause) = (first.leg, Cause::HangUp);
    call.bed
        .shard
        .command(call.bed.now, Command::RemoveLeg { leg, cause })
        .expect("it lives");
    let mut second = Client::new(4, Part::Supervisor);
    call.supervise(&second, Stance::Listen);
    call.bed.bring_up(&mut second);
    assert_eq!(heard(&mut call), FRAMES);
    assert_eq!(told(&call.bed.events()).len(), 6);
}

#[test]
fn two_who_come_at_once_are_one_tone_and_two_reports() {
    let mut call = call(Announce::Agents);
    let (mut one, mut other) = (Client::new(3, Part::Supervisor), Client::new(4, Part::Supervisor));
    let stances = [
        (call.customer.leg, Stance::Talk),
        (call.agent.leg, Stance::Talk),
        (one.leg, Stance::Listen),
        (other.leg, Stance::Listen),
    ];
    call.bed.bring_up(&mut one);
    call.bed.bring_up(&mut other);
    call.bed.plan(&stances, Tap::On);
    let sent = call.bed.advance(12 * FRAME);
    assert_eq!(tones_of(&mut call.agent, &sent).len() as u64, FRAMES);
    let agent = vec![call.agent.leg];
    assert_eq!(told(&call.bed.events()), [(one.leg, agent.clone()), (other.leg, agent)]);
}

#[test]
fn who_is_on_hold_or_away_is_told_when_he_is_back_and_so_is_who_comes_later() {
    let mut call = call(Announce::All);
    let mut supervisor = supervisor();
    let stances = |call: &Call, own| {
        [
            (call.customer.leg, own),
            (call.agent.leg, Stance::Talk),
            (supervisor.leg, Stance::Listen),
        ]
    };
    let (held, talk) = (stances(&call, Stance::Held), stances(&call, Stance::Talk));
    call.bed.bring_up(&mut supervisor);
    call.bed.plan(&held, Tap::On);
    let sent = call.bed.advance(6 * FRAME);
    assert!(tones_of(&mut call.customer, &sent).is_empty(), "nobody overhears him");
    assert_eq!(tones_of(&mut call.agent, &sent).len() as u64, FRAMES);
    call.bed.plan(&talk, Tap::On);
    let sent = call.bed.advance(6 * FRAME);
    assert_eq!(tones_of(&mut call.customer, &sent).len() as u64, FRAMES);
    assert!(tones_of(&mut call.agent, &sent).is_empty());
    // Another agent takes the call over while the supervisor listens.
    let mut next = Client::new(4, Part::Agent);
    let stances = [
        (call.customer.leg, Stance::Talk),
        (next.leg, Stance::Talk),
        (supervisor.leg, Stance::Listen),
    ];
    call.bed.plan(&stances, Tap::On);
    call.bed.bring_up(&mut next);
    let sent = call.bed.advance(6 * FRAME);
    assert_eq!(tones_of(&mut next, &sent).len() as u64, FRAMES);
    assert!(tones_of(&mut call.customer, &sent).is_empty(), "he knows");
    assert!(
        tones_of(&mut call.agent, &sent).is_empty(),
        "he has left the conversation"
    );
    let heard_by: Vec<_> = told(&call.bed.events())
        .into_iter()
        .map(|(_, heard_by)| heard_by)
        .collect();
    assert_eq!(
        heard_by,
        [vec![call.agent.leg], vec![call.customer.leg], vec![next.leg]]
    );
}

/// What `listener` hears in `frames` frames of time in which all `speakers` talk.
fn chorus(call: &mut Call, speakers: &mut [&mut Client], frames: u64) -> Vec<Sent> {
    let mut sent = Vec::new();
    for _ in 0..frames {
        for speaker in speakers.iter_mut() {
            let payload = [b'v', speaker.tap.0 as u8];
            let packet = speaker.speak(&payload);
            sent.extend(call.bed.datagram(speaker.address, &packet));
        }
        sent.extend(call.bed.advance(FRAME));
    }
    sent
}

/// How many packets of each of these taps were heard.
fn voices<const N: usize>(heard: &[Heard], of: [&Client; N]) -> [usize; N] {
    of.map(|client| {
        let said = [b'v', client.tap.0 as u8];
        heard.iter().filter(|heard| heard.payload == said).count()
    })
}

#[test]
fn where_every_slot_has_a_voice_the_supervisor_himself_waits_for_the_tone_to_end() {
    let mut call = call(Announce::Agents);
    let (mut partner, mut supervisor) = (Client::new(3, Part::Partner), Client::new(4, Part::Supervisor));
    call.bed.bring_up(&mut partner);
    call.bed.bring_up(&mut supervisor);
    let stances = [
        (call.customer.leg, Stance::Talk),
        (call.agent.leg, Stance::Talk),
        (partner.leg, Stance::Talk),
        (supervisor.leg, Stance::Barge),
    ];
    call.bed.plan(&stances, Tap::On);
    let mut customer = std::mem::replace(&mut call.customer, Client::new(7, Part::Customer));
    let mut during = Vec::new();
    for frames in [FRAMES, 2, 10] {
        let sent = chorus(&mut call, &mut [&mut customer, &mut partner, &mut supervisor], frames);
        assert_eq!(
            voices(&customer.open_all(&sent), [&partner, &supervisor]),
            [frames as usize; 2]
        );
        let heard = call.agent.open_all(&sent);
        assert_eq!(
            voices(&heard, [&customer, &partner]),
            [frames as usize; 2],
            "who speaks is not interrupted"
        );
        during.push((tones(&heard).len() as u64, voices(&heard, [&supervisor])[0] as u64));
    }
    assert_eq!(during[0].1, 0, "his first words are covered by the tone");
    assert_eq!(during.iter().map(|(tones, _)| tones).sum::<u64>(), FRAMES);
    assert_eq!(during[2], (0, 10), "and then he is heard");
}

#[test]
fn a_client_with_one_stream_hears_the_tone_in_the_place_of_the_voice_and_the_voice_behind_it() {
    let mut call = call_with(Announce::All, &|client| client.slots = 1);
    let mut supervisor = supervisor();
    call.supervise(&supervisor, Stance::Listen);
    call.bed.bring_up(&mut supervisor);
    let mut customer = std::mem::replace(&mut call.customer, Client::new(7, Part::Customer));
    let sent = chorus(&mut call, &mut [&mut customer], 12);
    let heard = call.agent.open_all(&sent);
    assert_eq!(tones(&heard).len() as u64, FRAMES);
    let words = voices(&heard, [&customer])[0];
    assert!(
        (6..=8).contains(&words),
        "{words} words of 12 beside four frames of the tone"
    );
    for two in heard.windows(2) {
        assert_eq!(two[1].header.sequence, two[0].header.sequence.wrapping_add(1));
        assert_eq!(two[1].header.ssrc, two[0].header.ssrc);
    }
    let sent = chorus(&mut call, &mut [&mut customer], 5);
    assert_eq!(voices(&call.agent.open_all(&sent), [&customer]), [5]);
}

#[test]
fn whoever_has_no_stream_at_all_is_not_said_to_have_heard_it() {
    let mut call = call_with(Announce::All, &|client| {
        if client.part == Part::Customer {
            client.slots = 0;
        }
    });
    let mut supervisor = supervisor();
    call.supervise(&supervisor, Stance::Listen);
    call.bed.bring_up(&mut supervisor);
    call.bed.advance(6 * FRAME);
    assert_eq!(told(&call.bed.events()), [(supervisor.leg, vec![call.agent.leg])]);
}

#[test]
fn music_on_the_only_stream_waits_for_the_tone_and_goes_on_where_it_was() {
    let mut call = call_with(Announce::Agents, &|client| client.slots = 1);
    let mut supervisor = supervisor();
    call.bed.bring_up(&mut supervisor);
    // The customer's page is closed: the agent is left alone with the music.
    let closed = Command::Handshake {
        transport: call.customer.transport,
        report: media_core::command::Report::Closed,
    };
    call.bed
        .shard
        .command(call.bed.now, closed)
        .expect("the transport lives");
    let sent = call.bed.advance(2 * FRAME);
    let mut heard = call.agent.open_all(&sent);
    call.supervise(&supervisor, Stance::Listen);
    let sent = call.bed.advance(9 * FRAME);
    heard.extend(call.agent.open_all(&sent));
    let frames: Vec<_> = heard.iter().map(|heard| heard.payload[1]).collect();
    let (music, tone): (Vec<u8>, Vec<u8>) = frames.iter().partition(|&&number| number < 40);
    assert_eq!(tone, [41, 42, 43, 44]);
    assert!(
        music.len() >= 6
            && music
                .iter()
                .zip([1, 2, 3].iter().cycle())
                .all(|(heard, next)| heard == next)
    );
    let begin = frames.iter().position(|&number| number == 41).expect("it sounds");
    assert_eq!(frames[begin..begin + 4], [41, 42, 43, 44], "nothing sounds between");
    for two in heard.windows(2) {
        assert_eq!(two[1].header.sequence, two[0].header.sequence.wrapping_add(1));
    }
}

#[test]
fn a_tone_ends_with_its_listener_and_without_frames_there_is_none() {
    let mut call = call(Announce::All);
    let mut supervisor = supervisor();
    call.supervise(&supervisor, Stance::Listen);
    call.bed.bring_up(&mut supervisor);
    call.bed.advance(FRAME);
    let (leg, cause) = (call.agent.leg, Cause::HangUp);
    call.bed
        .shard
        .command(call.bed.now, Command::RemoveLeg { leg, cause })
        .expect("it lives");
    let sent = call.bed.advance(10 * FRAME);
    assert_eq!(tones_of(&mut call.customer, &sent).len() as u64, FRAMES - 1);
    let close = Command::CloseRoom { room: ROOM, cause };
    call.bed.shard.command(call.bed.now, close).expect("it lives");
    call.bed.advance(10 * FRAME);
    assert_eq!(call.bed.shard.wake_at(), None);

    let mut silent = Call::new();
    silent.bed.announce = Announce::All;
    silent.supervise(&supervisor, Stance::Listen);
    silent.bed.bring_up(&mut supervisor);
    assert!(silent.bed.advance(10 * FRAME).is_empty() && told(&silent.bed.events()).is_empty());
}
