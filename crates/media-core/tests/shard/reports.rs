//! Receiver reports: when a speaker gets them, and whose loss and jitter they and the counters speak of.

use media_core::command::{Command, Report};
use media_core::counters::{Direction, REPORT_VALID};
use media_core::limits::{MS, REPORT_EARLY, REPORT_FIRST_MAX, REPORT_SLOW, SECOND};
use media_core::matrix::{Part, Stance, Tap};
use media_core::rtcp::{self, Block, Packet};
use testkit::bed::{Bed, Client, FRAME, Sent};

use crate::Call;

const TICK: u64 = 10 * MS;

/// The shares of loss that the reports to this client tell it of its own voice.
fn told(client: &mut Client, sent: &[Sent]) -> Vec<u8> {
    let reports = client.open_reports(sent);
    let shares = |report: &Vec<u8>| {
        let compound = rtcp::parse(report).expect("our own compound");
        let blocks = compound.filter_map(|packet| match packet {
            Packet::ReceiverReport { blocks, .. } | Packet::SenderReport(_, blocks) => Some(blocks),
            Packet::Bye(_) | Packet::Nack(_) | Packet::Extended(_) | Packet::Other(_) => None,
        });
        blocks.flatten().map(|block| block.fraction_lost).collect::<Vec<_>>()
    };
    reports.iter().flat_map(shares).collect()
}

/// The customer speaks for that long, everybody's line lives; what was sent meanwhile.
fn customer_speaks(call: &mut Call, time: u64) -> Vec<Sent> {
    let mut sent = Vec::new();
    for turn in 0..time / FRAME {
        let payload = call.customer.speak(b"on and on");
        call.bed.arrives(&call.customer, &payload);
        if turn % 50 == 0 {
            call.bed.check(&mut call.customer);
            call.bed.check(&mut call.agent);
        }
        sent.extend(call.bed.advance(FRAME));
    }
    sent
}

/// A report of `client` about its slot `place`.
fn reports(bed: &mut Bed, client: &mut Client, place: usize, fraction_lost: u8, cumulative_lost: i32, jitter: u32) {
    let block = Block {
        ssrc: client.slot_ssrc(place),
        fraction_lost,
        cumulative_lost,
        highest: 100,
        jitter,
        last_sr: 0,
        delay_since_sr: 0,
    };
    let mut plain = [0; 256];
    let len = rtcp::receiver_report(&mut plain, client.numbers.ssrc, &[block], "client").expect("it fits");
    let sealed = client.seal_rtcp(&plain[..len]);
    bed.arrives(client, &sealed);
}

/// What was counted of the way down to a client, second by second, since the last call.
fn down_rows(bed: &mut Bed, client: &Client) -> Vec<media_core::counters::Second> {
    std::iter::from_fn(|| bed.shard.poll_second())
        .filter(|row| row.leg == client.leg && row.direction == Direction::Down)
        .collect()
}

#[test]
fn a_reloaded_page_is_young_again_and_gets_its_first_report_within_a_second() {
    let mut call = Call::new();
    customer_speaks(&mut call, REPORT_EARLY + REPORT_SLOW);
    // At the worst moment: a report has just gone out.
    let mut waited = 0;
    loop {
        let sent = customer_speaks(&mut call, FRAME);
        if !told(&mut call.customer, &sent).is_empty() {
            break;
        }
        waited += FRAME;
        assert!(waited <= REPORT_SLOW + SECOND, "reports come every 5 s");
    }
    call.customer.reload();
    let (leg, transport) = (call.customer.leg, Box::new(call.customer.transport()));
    call.bed
        .shard
        .command(call.bed.now, Command::Attach { leg, transport })
        .unwrap();
    call.bed.check(&mut call.customer);
    call.bed.establish(&call.customer).unwrap();
    let sent = customer_speaks(&mut call, REPORT_FIRST_MAX + FRAME);
    assert_eq!(told(&mut call.customer, &sent).len(), 1, "the first");
    let sent = customer_speaks(&mut call, REPORT_EARLY - REPORT_FIRST_MAX);
    assert!(
        told(&mut call.customer, &sent).len() >= 8,
        "a fresh encoder is told every second"
    );
}

#[test]
fn the_loss_of_a_slot_that_its_source_has_left_is_told_no_speaker() {
    let mut call = Call::new();
    let mut partner = Client::new(3, Part::Partner);
    call.bed.bring_up(&mut partner);
    let talk = [call.customer.leg, call.agent.leg, partner.leg].map(|leg| (leg, Stance::Talk));
    call.bed.plan(&talk, Tap::On);
    let heard = call.bed.say(&mut partner, b"hello", &mut call.agent);
    let ssrc = heard[0].header.ssrc;
    let slot = (0..3)
        .find(|slot| call.agent.slot_ssrc(*slot) == ssrc)
        .expect("one of the agent's slots");
    assert!(call.customer_is_heard());
    reports(&mut call.bed, &mut call.agent, slot, 64, 1, 48);
    let sent = customer_speaks(&mut call, SECOND + FRAME);
    assert_eq!(told(&mut call.customer, &sent).last(), Some(&64), "the worst slot's");
    call.bed.plan(&talk[..2], Tap::On);
    // What was on its way is of a voice that is gone as well.
    reports(&mut call.bed, &mut call.agent, slot, 32, 2, 48);
    let sent = customer_speaks(&mut call, SECOND + FRAME);
    assert_eq!(told(&mut call.customer, &sent).last(), Some(&0));
}

#[test]
fn the_loss_of_a_listener_who_reports_no_more_is_told_for_15_s() {
    let mut call = Call::new();
    assert!(call.customer_is_heard());
    reports(&mut call.bed, &mut call.agent, 0, 64, 1, 48);
    let sent = customer_speaks(&mut call, REPORT_VALID - TICK);
    assert!(told(&mut call.customer, &sent).iter().all(|share| *share == 64));
    let sent = customer_speaks(&mut call, REPORT_SLOW);
    assert_eq!(told(&mut call.customer, &sent).last(), Some(&0));
}

#[test]
fn the_jitter_of_a_silent_slot_does_not_hide_that_of_the_voice() {
    let mut call = Call::new();
    customer_speaks(&mut call, SECOND);
    reports(&mut call.bed, &mut call.agent, 0, 0, 0, 480);
    reports(&mut call.bed, &mut call.agent, 1, 0, 0, 48_000);
    down_rows(&mut call.bed, &call.agent);
    customer_speaks(&mut call, SECOND);
    let rows = down_rows(&mut call.bed, &call.agent);
    assert_eq!(rows.last().unwrap().jitter_us, 10_000);
    customer_speaks(&mut call, REPORT_VALID);
    let rows = down_rows(&mut call.bed, &call.agent);
    assert_eq!(rows.last().unwrap().jitter_us, 0, "nobody has said so for 15 s");
}

#[test]
fn loss_from_before_a_hold_is_not_counted_after_it() {
    let mut call = Call::new();
    let both = [call.customer.leg, call.agent.leg];
    customer_speaks(&mut call, SECOND);
    reports(&mut call.bed, &mut call.agent, 0, 200, 200, 48);
    call.bed
        .plan(&[(both[0], Stance::Held), (both[1], Stance::Talk)], Tap::On);
    call.bed
        .advance_alive(3 * SECOND, &mut [&mut call.customer, &mut call.agent]);
    down_rows(&mut call.bed, &call.agent);
    call.talk();
    customer_speaks(&mut call, 3 * SECOND);
    let rows = down_rows(&mut call.bed, &call.agent);
    assert!(rows.iter().map(|row| row.expected).sum::<u32>() > 100);
    assert_eq!(rows.iter().map(|row| row.lost).sum::<u32>(), 0);
}

#[test]
fn loss_that_an_earlier_page_told_is_not_counted_for_the_new_one() {
    let mut call = Call::new();
    customer_speaks(&mut call, SECOND);
    reports(&mut call.bed, &mut call.agent, 0, 200, 200, 48);
    let (transport, report) = (call.agent.transport, Report::Closed);
    call.bed
        .shard
        .command(call.bed.now, Command::Handshake { transport, report })
        .unwrap();
    call.agent.reload();
    let (leg, transport) = (call.agent.leg, Box::new(call.agent.transport()));
    call.bed
        .shard
        .command(call.bed.now, Command::Attach { leg, transport })
        .unwrap();
    call.bed.check(&mut call.agent);
    call.bed.establish(&call.agent).unwrap();
    down_rows(&mut call.bed, &call.agent);
    customer_speaks(&mut call, 3 * SECOND);
    let rows = down_rows(&mut call.bed, &call.agent);
    assert_eq!(rows.iter().map(|row| row.lost).sum::<u32>(), 0);
}
