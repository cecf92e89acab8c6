//! Which line lost what: loss on the speaker's way to us stands in his rows alone, loss on the way to the listener in the
//! listener's rows alone, whatever both report.

use media_core::command::Command;
use media_core::counters::{Direction, Second};
use media_core::limits::SECOND;
use media_core::matrix::{Part, Stance, Tap};
use media_core::rtcp::{self, Block, Packet};
use testkit::bed::{Client, FRAME, Sent};

use crate::Call;

/// Frames between two reports of the listener while nothing else is said: 5 s, as browsers do.
const REPORT_FRAMES: u64 = 250;

/// What a line does to its packets.
#[derive(Clone, Copy)]
enum Loss {
    None,
    /// Each by itself, in percent.
    Random(u64),
    /// Runs of 1 to 8, which begin with this chance in percent.
    Bursts(u64),
}

/// A line and its luck.
struct Line {
    loss: Loss,
    chance: u64,
    run: u64,
    lost: u32,
}

impl Line {
    fn new(loss: Loss, seed: u64) -> Line {
        Line {
            loss,
            chance: seed,
            run: 0,
            lost: 0,
        }
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        (self.chance >> 20) % below
    }

    fn loses(&mut self) -> bool {
        let lost = match self.loss {
            Loss::None => false,
            Loss::Random(percent) => self.draw(100) < percent,
            Loss::Bursts(percent) => {
                if self.run == 0 && self.draw(100) < percent {
                    self.run = 1 + self.draw(8);
                }
                self.run > 0
            }
        };
        self.run = self.run.saturating_sub(1);
        self.lost += u32::from(lost);
        lost
    }
}

/// The listener's receiver, as RFC 3550 appendix A.3 has it.
#[derive(Default)]
struct Ear {
    first: Option<u64>,
    highest: u64,
    received: u64,
    before: (u64, u64),
}

impl Ear {
    fn hears(&mut self, sequence: u16) {
        if self.first.is_none() {
            self.first = Some(u64::from(sequence));
            self.highest = u64::from(sequence);
        }
        let ahead = sequence.wrapping_sub(self.highest as u16) as i16;
        self.highest += u64::from(ahead.max(0).unsigned_abs());
        self.received += 1;
    }

    fn block(&mut self, ssrc: u32) -> Option<Block> {
        let expected = self.highest - self.first? + 1;
        let (asked, came) = (expected - self.before.0, self.received.saturating_sub(self.before.1));
        self.before = (expected, self.received);
        let lost = asked.saturating_sub(came);
        Some(Block {
            ssrc,
            fraction_lost: (lost * 256).checked_div(asked).unwrap_or(0).min(255) as u8,
            cumulative_lost: (expected as i64 - self.received as i64) as i32,
            highest: self.highest as u32,
            ..Block::default()
        })
    }
}

/// The customer speaks, the agent listens; both lines lose.
struct Hops {
    call: Call,
    up: Line,
    down: Line,
    ear: Ear,
    /// What is on its way to the agent, and since which frame.
    on_its_way: Vec<(u64, u16)>,
    frame: u64,
    /// Frames that a packet is on its way to the agent.
    delay: u64,
    /// Lost packets of the customer that come again, and with which frame.
    again: Vec<(u64, Vec<u8>)>,
    /// After how many frames they do; `None`: never.
    again_after: Option<u64>,
    rows: Vec<Second>,
}

impl Hops {
    fn new(up: Loss, down: Loss) -> Hops {
        let mut hops = Hops {
            call: Call::of(|customer, _| customer.nack = true),
            up: Line::new(Loss::None, 0x1234_5678_9ABC_DEF1),
            down: Line::new(Loss::None, 0xFEED_5EED_0000_0001),
            ear: Ear::default(),
            on_its_way: Vec::new(),
            frame: 0,
            delay: 2,
            again: Vec::new(),
            again_after: None,
            rows: Vec::new(),
        };
        // Only the first packet says where the numbers begin.
        hops.talk(3);
        (hops.up.loss, hops.down.loss) = (up, down);
        hops
    }

    fn arrives(&mut self, packet: &[u8]) {
        let sent = self.call.arrives(packet);
        self.sent(&sent);
    }

    fn sent(&mut self, sent: &[Sent]) {
        for heard in self.call.agent.open_all(sent) {
            assert_eq!(heard.header.ssrc, self.call.agent.slot_ssrc(0));
            if !self.down.loses() {
                self.on_its_way.push((self.frame + self.delay, heard.header.sequence));
            }
        }
    }

    /// 20 ms: the customer says something, what is due arrives, the clock goes on.
    fn step(&mut self, speaks: bool) {
        if speaks {
            let packet = self.call.customer.speak(&self.frame.to_be_bytes());
            if !self.up.loses() {
                self.arrives(&packet);
            } else if let Some(after) = self.again_after {
                self.again.push((self.frame + after, packet));
            }
        }
        let frame = self.frame;
        for (_, packet) in self.again.extract_if(.., |(at, _)| *at <= frame).collect::<Vec<_>>() {
            self.arrives(&packet);
        }
        for (_, sequence) in self.on_its_way.extract_if(.., |(at, _)| *at <= frame) {
            self.ear.hears(sequence);
        }
        if frame.is_multiple_of(50) {
            self.call.bed.check(&mut self.call.customer);
            self.call.bed.check(&mut self.call.agent);
        }
        let sent = self.call.bed.advance(FRAME);
        self.sent(&sent);
        self.rows
            .extend(std::iter::from_fn(|| self.call.bed.shard.poll_second()));
        self.frame += 1;
    }

    fn report(&mut self) {
        let ssrc = self.call.agent.slot_ssrc(0);
        if let Some(block) = self.ear.block(ssrc) {
            self.send(&block);
        }
    }

    fn send(&mut self, block: &Block) {
        let sealed = sealed(&mut self.call.agent, block);
        self.call.bed.arrives(&self.call.agent, &sealed);
    }

    fn talk(&mut self, frames: u64) {
        for n in 1..=frames {
            self.step(true);
            if n % REPORT_FRAMES == 0 {
                self.report();
            }
        }
    }

    /// Nothing is lost any more, what is on its way arrives, and what is known of it comes into rows.
    fn settle(&mut self) {
        (self.up.loss, self.down.loss) = (Loss::None, Loss::None);
        self.talk(100);
        self.report();
        self.talk(200);
    }

    /// Packets and lost ones in the customer's rows up and in the agent's rows down.
    fn counted(&self) -> [(u32, u32); 2] {
        let sum = |client: &Client, direction| {
            let rows = self.rows.iter();
            let rows = rows.filter(|row| row.leg == client.leg && row.direction == direction);
            rows.fold((0, 0), |sum, row| (sum.0 + row.expected, sum.1 + row.lost))
        };
        [
            sum(&self.call.customer, Direction::Up),
            sum(&self.call.agent, Direction::Down),
        ]
    }

    /// Each line has lost what the rows of its direction say, and both together what the listener misses.
    fn each_line_is_charged_its_own(&self) {
        let [(_, up), (_, down)] = self.counted();
        assert_eq!((up, down), (self.up.lost, self.down.lost));
    }
}

fn sealed(client: &mut Client, block: &Block) -> Vec<u8> {
    let mut plain = [0; 256];
    let len = rtcp::receiver_report(&mut plain, client.numbers.ssrc, &[*block], "client").expect("it fits");
    client.seal_rtcp(&plain[..len])
}

fn share((packets, lost): (u32, u32)) -> f64 {
    f64::from(lost) / f64::from(packets)
}

#[test]
fn five_percent_on_the_speakers_line_are_no_loss_of_the_listeners_and_end_to_end_they_count_once() {
    let mut hops = Hops::new(Loss::Random(5), Loss::None);
    hops.talk(3_000);
    hops.settle();
    hops.each_line_is_charged_its_own();
    let [up, down] = hops.counted();
    assert!(hops.up.lost > 100 && down.1 == 0, "{}", hops.up.lost);
    let both = 1.0 - (1.0 - share(up)) * (1.0 - share(down));
    assert!((both - share(up)).abs() < 1e-12);
    let missed = hops.ear.highest - hops.ear.first.unwrap() + 1 - hops.ear.received;
    assert_eq!(u64::from(up.1), missed, "what the listener misses was lost before us");
    let down = hops.rows.iter().filter(|row| row.direction == Direction::Down);
    assert!(
        down.filter_map(|row| row.mos).all(|mos| mos > 4.3),
        "his line is a good one"
    );
}

#[test]
fn five_percent_on_the_listeners_line_are_no_loss_of_the_speakers() {
    let mut hops = Hops::new(Loss::None, Loss::Random(5));
    hops.talk(3_000);
    hops.settle();
    hops.each_line_is_charged_its_own();
    assert!(hops.down.lost > 100 && hops.counted()[0].1 == 0, "{}", hops.down.lost);
}

#[test]
fn two_lines_that_lose_are_charged_each_its_own_alone_or_in_bursts() {
    for (up, down) in [
        (Loss::Random(5), Loss::Random(5)),
        (Loss::Bursts(2), Loss::Random(5)),
        (Loss::Random(5), Loss::Bursts(2)),
        (Loss::Bursts(2), Loss::Bursts(2)),
    ] {
        let mut hops = Hops::new(up, down);
        hops.talk(3_000);
        hops.settle();
        hops.each_line_is_charged_its_own();
        assert!(hops.up.lost > 100 && hops.down.lost > 100);
        let missed = hops.ear.highest - hops.ear.first.unwrap() + 1 - hops.ear.received;
        assert_eq!(u64::from(hops.up.lost + hops.down.lost), missed);
    }
}

#[test]
fn what_comes_late_is_charged_to_nobody_while_what_is_lost_is() {
    for after in [1, 2] {
        let mut hops = Hops::new(Loss::Random(10), Loss::Random(3));
        hops.again_after = Some(after);
        // More reports than any client sends, so that many come while something late is on its way.
        for _ in 0..600 {
            hops.talk(5);
            hops.report();
        }
        hops.settle();
        let [up, down] = hops.counted();
        // A row may call lost what is on its way when its second ends, and no row takes it back.
        assert!(up.1 <= 5, "all of it came: {}", up.1);
        assert!(hops.up.lost > 200 && hops.down.lost > 60);
        assert_eq!(down.1, hops.down.lost, "late by {after}");
    }
}

#[test]
fn a_hold_and_a_reload_of_the_speaker_change_nothing_of_it() {
    let mut hops = Hops::new(Loss::Random(5), Loss::Random(5));
    let (customer, agent) = (hops.call.customer.leg, hops.call.agent.leg);
    for _ in 0..4 {
        hops.talk(600);
        // What is lost just before a hold is in no row: the line has lost it for nobody.
        hops.up.loss = Loss::None;
        hops.down.loss = Loss::None;
        hops.talk(60);
        hops.report();
        hops.talk(150);
        let held = [(customer, Stance::Held), (agent, Stance::Talk)];
        hops.call.bed.plan(&held, Tap::On);
        (0..150).for_each(|_| hops.step(true));
        hops.call.talk();
        (hops.up.loss, hops.down.loss) = (Loss::Random(5), Loss::Random(5));
    }
    hops.settle();
    hops.each_line_is_charged_its_own();

    hops.call.customer.reload();
    let (leg, transport) = (customer, Box::new(hops.call.customer.transport()));
    let attach = Command::Attach { leg, transport };
    hops.call.bed.shard.command(hops.call.bed.now, attach).unwrap();
    hops.call.bed.check(&mut hops.call.customer);
    hops.call.bed.establish(&hops.call.customer).unwrap();
    (hops.up.loss, hops.down.loss) = (Loss::None, Loss::Random(5));
    hops.talk(50);
    hops.up.loss = Loss::Random(5);
    hops.talk(1_000);
    hops.settle();
    hops.each_line_is_charged_its_own();
}

#[test]
fn reports_that_are_lost_or_sent_twice_change_no_sum() {
    let mut hops = Hops::new(Loss::Random(5), Loss::Random(5));
    let ssrc = hops.call.agent.slot_ssrc(0);
    let mut overtaken = None;
    for n in 0..300 {
        (0..20).for_each(|_| hops.step(true));
        let block = hops.ear.block(ssrc).expect("it hears");
        match n % 5 {
            // Lost.
            0 | 1 => {}
            2 => {
                hops.send(&block);
                hops.send(&block);
            }
            // The next one comes before it.
            3 => overtaken = Some(block),
            _ => {
                hops.send(&block);
                if let Some(old) = overtaken.take() {
                    hops.send(&old);
                }
            }
        }
    }
    hops.settle();
    hops.each_line_is_charged_its_own();
}

#[test]
fn the_wrap_of_the_numbers_changes_nothing_of_it() {
    let mut hops = Hops::new(Loss::Random(5), Loss::Random(2));
    // The first number is just below 2^15.
    hops.talk(36_000);
    hops.settle();
    assert!(hops.ear.highest > 0x1_0000, "{}", hops.ear.highest);
    hops.each_line_is_charged_its_own();
}

/// The shares of loss that the reports to this client tell it of its own voice.
fn told(client: &mut Client, sent: &[Sent]) -> Vec<u8> {
    let mut shares = Vec::new();
    for report in client.open_reports(sent) {
        for packet in rtcp::parse(&report).expect("our own compound") {
            if let Packet::ReceiverReport { blocks, .. } | Packet::SenderReport(_, blocks) = packet {
                shares.extend(blocks.map(|block| block.fraction_lost));
            }
        }
    }
    shares
}

/// A second in which the customer speaks and every `nth` packet of the partner is lost on his line; then the agent
/// reports of both, having lost every `nth_down` of what was sent.
fn second_of_three(call: &mut Call, partner: &mut Client, ears: &mut [Ear; 2], nth: [usize; 2]) -> Vec<Sent> {
    let mut sent = Vec::new();
    for n in 1..=50 {
        let voices = [call.customer.speak(b"one"), partner.speak(b"other")];
        let addresses = [call.customer.address, partner.address];
        for (place, (packet, address)) in voices.iter().zip(addresses).enumerate() {
            if place == 1 && n % nth[0] == 0 {
                continue;
            }
            for sent in call.bed.datagram(address, packet) {
                for heard in call.agent.open_all(std::slice::from_ref(&sent)) {
                    let slot = (0..2).find(|slot| call.agent.slot_ssrc(*slot) == heard.header.ssrc);
                    if n % nth[1] != 0 {
                        ears[slot.expect("one of two slots")].hears(heard.header.sequence);
                    }
                }
            }
        }
        sent.extend(call.bed.advance(FRAME));
    }
    for (place, ear) in ears.iter_mut().enumerate() {
        let block = ear.block(call.agent.slot_ssrc(place)).expect("it hears both");
        let report = sealed(&mut call.agent, &block);
        call.bed.arrives(&call.agent, &report);
    }
    for client in [&mut call.customer, &mut call.agent, partner] {
        call.bed.check(client);
    }
    sent
}

#[test]
fn a_speaker_is_not_told_of_another_ones_bad_line_and_is_told_of_his_and_his_listeners_together() {
    let mut call = Call::new();
    let mut partner = Client::new(3, Part::Partner);
    call.bed.bring_up(&mut partner);
    let talk = [call.customer.leg, call.agent.leg, partner.leg].map(|leg| (leg, Stance::Talk));
    call.bed.plan(&talk, Tap::On);
    let mut ears = [Ear::default(), Ear::default()];
    let mut told_of = |nth| {
        let mut shares = (Vec::new(), Vec::new());
        for _ in 0..4 {
            let sent = second_of_three(&mut call, &mut partner, &mut ears, nth);
            shares = (told(&mut call.customer, &sent), told(&mut partner, &sent));
        }
        (*shares.0.last().unwrap(), *shares.1.last().unwrap())
    };
    // Every fifth packet of the partner is lost before us: 51 of 256.
    let (customer, of_partner) = told_of([5, 1_000]);
    assert_eq!(customer, 0);
    assert!((45..=56).contains(&of_partner), "{of_partner}");
    // And every tenth of everything behind us: 25 of 256; together 28 %.
    let (customer, of_partner) = told_of([5, 10]);
    assert!((22..=28).contains(&customer), "{customer}");
    assert!((60..=76).contains(&of_partner), "{of_partner}");
}

const _: () = assert!(REPORT_FRAMES * FRAME == 5 * SECOND);
