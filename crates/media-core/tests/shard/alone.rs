//! Who is left alone because the other side is away: he hears the music, from the silence to the first packet after it.

use std::sync::Arc;

use media_core::command::{Command, Report};
use media_core::event::Kind;
use media_core::limits::{AWAY, MS, SECOND};
use media_core::matrix::{Part, Stance, Tap};
use testkit::bed::{Bed, Client, FRAME, Heard};

use super::Call;
use super::hold::tune;

/// Time in which a silent leg has become away, with a frame of music after it.
const SILENCE: u64 = AWAY + 2 * FRAME;

fn call() -> Call {
    let mut call = Call::new();
    call.bed.shard.set_music(Arc::new(tune()));
    call
}

/// Which frame of the tune a packet is; 0 for none.
fn frame(heard: &Heard) -> u8 {
    if heard.payload.first() == Some(&(31 << 3)) {
        heard.payload[1]
    } else {
        0
    }
}

/// The other side's page is closed: the browser says good-bye.
fn good_bye(bed: &mut Bed, client: &Client) {
    let (transport, report) = (client.transport, Report::Closed);
    bed.shard
        .command(bed.now, Command::Handshake { transport, report })
        .expect("the transport lives");
}

fn loaded_anew(bed: &mut Bed, client: &mut Client) {
    client.reload();
    let attach = Command::Attach {
        leg: client.leg,
        transport: Box::new(client.transport()),
    };
    bed.shard.command(bed.now, attach).expect("the leg lives");
    bed.check(client);
    bed.establish(client).expect("the transport lives");
}

#[test]
fn the_agent_hears_the_tune_in_his_one_stream_until_the_customers_next_packet_which_he_hears() {
    let mut call = call();
    let before = call.bed.say(&mut call.customer, b"I am in a tunnel", &mut call.agent);
    let taped = call.bed.tape.records.len();
    let gone_at = call.bed.now;
    let sent = call.bed.advance_alive(AWAY - 10 * MS, &mut [&mut call.agent]);
    assert!(call.agent.open_all(&sent).is_empty(), "a short silence is a silence");
    let sent = call.bed.advance_alive(SECOND, &mut [&mut call.agent]);
    let music = call.agent.open_all(&sent);
    assert!((49..=50).contains(&music.len()), "{}", music.len());
    assert!(music.iter().zip((1..=3).cycle()).all(|(heard, n)| frame(heard) == n));
    assert!(music[0].header.marker && !music[1].header.marker);
    assert!(call.customer.open_all(&sent).is_empty(), "who is away hears none");
    let since = call
        .bed
        .events()
        .into_iter()
        .find(|event| event.kind == Kind::LegAway { leg: call.customer.leg });
    assert_eq!(
        since.map(|event| event.at),
        Some(gone_at),
        "away is told as of the last sign of life"
    );
    assert_eq!(call.bed.tape.records.len(), taped, "music is no speech");
    let after = call.bed.say(&mut call.customer, b"here again", &mut call.agent);
    assert_eq!(after[0].payload, b"here again");
    let all = [&before[..], &music, &after].concat();
    for two in all.windows(2) {
        assert_eq!(two[1].header.sequence, two[0].header.sequence.wrapping_add(1));
        let step = two[1].header.timestamp.wrapping_sub(two[0].header.timestamp);
        assert!((1..6 * 48_000).contains(&step), "time goes on: {step}");
    }
    let sent = call
        .bed
        .advance_alive(SECOND, &mut [&mut call.customer, &mut call.agent]);
    assert!(
        call.agent.open_all(&sent).is_empty(),
        "the music ends with the first sign of life"
    );
}

#[test]
fn a_page_that_is_loaded_anew_leaves_the_other_side_with_music_at_once_and_not_longer() {
    let mut call = call();
    good_bye(&mut call.bed, &call.agent);
    let sent = call.bed.advance(10 * FRAME);
    assert_eq!(call.customer.open_all(&sent).iter().map(frame).max(), Some(3));
    loaded_anew(&mut call.bed, &mut call.agent);
    let sent = call.bed.advance(10 * FRAME);
    assert!(call.customer.open_all(&sent).is_empty());
    let heard = call.bed.say(&mut call.agent, b"sorry", &mut call.customer);
    assert_eq!(heard[0].payload, b"sorry");
}

#[test]
fn who_is_on_hold_hears_his_tune_go_on_whatever_the_agent_does() {
    let mut call = call();
    let held = [(call.customer.leg, Stance::Held), (call.agent.leg, Stance::Talk)];
    call.bed.plan(&held, Tap::On);
    let mut frames = Vec::new();
    let mut listen = |call: &mut Call, time| {
        let sent = call.bed.advance_alive(time, &mut [&mut call.customer]);
        frames.extend(call.customer.open_all(&sent).iter().map(frame));
    };
    listen(&mut call, SECOND);
    good_bye(&mut call.bed, &call.agent);
    listen(&mut call, SECOND);
    loaded_anew(&mut call.bed, &mut call.agent);
    listen(&mut call, SECOND);
    assert!((149..=150).contains(&frames.len()), "{}", frames.len());
    assert!(frames.iter().zip([1, 2, 3].iter().cycle()).all(|(heard, n)| heard == n));
    let sent = call.bed.advance_alive(SILENCE, &mut [&mut call.agent]);
    assert!(
        call.agent.open_all(&sent).is_empty(),
        "an agent who has the customer on hold waits for nobody"
    );
}

#[test]
fn a_whisper_to_an_agent_who_was_left_alone_is_heard_and_the_music_gives_way() {
    let mut call = call();
    let mut supervisor = Client::new(3, Part::Supervisor);
    call.bed.bring_up(&mut supervisor);
    good_bye(&mut call.bed, &call.customer);
    let legs = [call.customer.leg, call.agent.leg, supervisor.leg];
    let stances = |stance| [(legs[0], Stance::Talk), (legs[1], Stance::Talk), (legs[2], stance)];
    call.bed.plan(&stances(Stance::Listen), Tap::On);
    let sent = call.bed.advance(10 * FRAME);
    assert_eq!(call.agent.open_all(&sent).len(), 10);
    assert!(supervisor.open_all(&sent).is_empty(), "who listens hears no music");
    call.bed.plan(&stances(Stance::Whisper), Tap::On);
    let sent = call.bed.advance(10 * FRAME);
    assert!(call.agent.open_all(&sent).is_empty());
    let heard = call
        .bed
        .say(&mut supervisor, b"offer to call him back", &mut call.agent);
    assert_eq!(heard[0].payload, b"offer to call him back");
}

/// A small generator of our own: the walk is the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// What both sides do at a point of the walk.
struct Walk {
    call: Call,
    held: bool,
    /// The customer's line lives; the agent's does.
    alive: [bool; 2],
    /// For how many steps it has not.
    silent: [u32; 2],
    last: [Option<Heard>; 2],
}

impl Walk {
    /// What came to a side follows what came before it without a gap, across music, talk and reloads.
    fn follows(&mut self, side: usize, heard: &[Heard]) {
        for one in heard {
            if let Some(last) = &self.last[side] {
                assert_eq!(one.header.sequence, last.header.sequence.wrapping_add(1));
                assert_eq!(one.header.ssrc, last.header.ssrc);
            }
            self.last[side] = Some(one.clone());
        }
    }

    /// Lets more than the silence of a leg that is away pass; true for each side that heard the music at its end.
    fn settle(&mut self) -> [bool; 2] {
        let mut heard = [Vec::new(), Vec::new()];
        for time in [SILENCE, 10 * FRAME] {
            let end = self.call.bed.now + time;
            while self.call.bed.now < end {
                let Call { bed, customer, agent } = &mut self.call;
                for (client, _) in [customer, agent]
                    .into_iter()
                    .zip(self.alive)
                    .filter(|(_, alive)| *alive)
                {
                    bed.check(client);
                }
                let sent = self.call.bed.advance((5 * SECOND / 2).min(end - self.call.bed.now));
                heard = [self.call.customer.open_all(&sent), self.call.agent.open_all(&sent)];
                self.follows(0, &heard[0]);
                self.follows(1, &heard[1]);
            }
        }
        heard.map(|heard| heard.len() >= 9 && heard.iter().all(|one| frame(one) != 0))
    }

    /// Each side whose line lives says a word; true for each side that heard it.
    fn talk(&mut self) -> [bool; 2] {
        let mut heard = [false; 2];
        let alive = self.alive;
        for speaker in (0..2).filter(|&side| alive[side]) {
            let Call { bed, customer, agent } = &mut self.call;
            let (from, to) = if speaker == 0 {
                (customer, agent)
            } else {
                (agent, customer)
            };
            let packets = bed.say(from, b"word", to);
            heard[1 - speaker] = packets.iter().any(|one| one.payload == b"word");
            self.follows(1 - speaker, &packets);
        }
        heard
    }

    /// Side `which` falls silent without a word, or comes back with a new page; 2: hold or resume.
    fn change(&mut self, which: usize) {
        let Call { bed, customer, agent } = &mut self.call;
        if which < 2 {
            self.alive[which] = !self.alive[which];
            self.silent[which] = 0;
            if self.alive[which] {
                // New keys may begin with other numbers.
                self.last[which] = None;
                loaded_anew(bed, if which == 0 { customer } else { agent });
            }
        } else {
            self.held = !self.held;
            let stance = if self.held { Stance::Held } else { Stance::Talk };
            bed.plan(&[(customer.leg, stance), (agent.leg, Stance::Talk)], Tap::On);
        }
    }

    /// Whoever has been silent for so long that his leg would soon be given up comes back.
    fn bring_back(&mut self) {
        for side in 0..2 {
            self.silent[side] += u32::from(!self.alive[side]);
            if self.silent[side] > 3 {
                self.change(side);
            }
        }
    }
}

#[test]
fn whatever_happens_music_is_for_who_is_held_or_left_alone_and_words_are_for_who_talks() {
    let mut chance = Chance(0x5EED);
    let mut walk = Walk {
        call: call(),
        held: false,
        alive: [true; 2],
        silent: [0; 2],
        last: [None, None],
    };
    let mut seen = [0; 2];
    for step in 0..400 {
        walk.change(chance.below(3) as usize);
        walk.bring_back();
        let music = walk.settle();
        let [customer, agent] = walk.alive;
        assert_eq!(
            music,
            [walk.held || !agent, !walk.held && !customer],
            "step {step}: held {}, alive {:?}",
            walk.held,
            walk.alive
        );
        let words = walk.talk();
        assert_eq!(words, [agent && !walk.held, customer && !walk.held], "step {step}");
        seen[0] += usize::from(music[0] && !walk.held);
        seen[1] += usize::from(music[1]);
    }
    assert!(
        seen.iter().all(|&times| times > 30),
        "the walk must leave both alone: {seen:?}"
    );
}
