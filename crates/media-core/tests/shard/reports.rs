//! Receiver reports: when a speaker gets them.

use media_core::command::Command;
use media_core::limits::{REPORT_EARLY, REPORT_FIRST_MAX, REPORT_SLOW, SECOND};
use media_core::rtcp::{self, Packet};
use testkit::bed::{Client, FRAME, Sent};

use crate::Call;

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
