//! The echo of a line test: he hears himself at once and nobody else, nothing is stored, and it ends by itself.

use media_core::command::Command;
use media_core::event::{Cause, Kind, Summary};
use media_core::limits::{MS, PREFLIGHT, SECOND};
use media_core::matrix::{Part, Stance, Tap};
use media_core::rtcp::{self, Packet};
use testkit::bed::{Bed, Client, FRAME};

use super::{Call, down};

/// One who tests his line, up and with an echo.
fn test_line() -> (Bed, Client) {
    let mut client = Client::new(1, Part::Preflight);
    let mut bed = Bed::default();
    bed.bring_up(&mut client);
    bed.plan(&[(client.leg, Stance::Talk)], Tap::On);
    (bed, client)
}

/// Hears what he says.
fn echo(bed: &mut Bed, client: &mut Client, payload: &[u8]) -> Vec<Vec<u8>> {
    let packet = client.speak(payload);
    let sent = bed.datagram(client.address, &packet);
    client.open_all(&sent).into_iter().map(|heard| heard.payload).collect()
}

#[test]
fn every_packet_comes_back_with_the_batch_that_brought_it_and_none_is_taped() {
    let (mut bed, mut client) = test_line();
    let mut last: Option<u16> = None;
    for n in 0..500u32 {
        let packet = client.speak(&n.to_be_bytes());
        let sent = bed.datagram(client.address, &packet);
        let heard = client.open_all(&sent);
        assert_eq!(heard.len(), 1);
        assert_eq!(heard[0].payload, n.to_be_bytes());
        assert_eq!(
            heard[0].header.ssrc,
            client.slot_ssrc(0),
            "our stream, not his own given back"
        );
        if let Some(last) = last {
            assert_eq!(heard[0].header.sequence, last.wrapping_add(1));
        }
        last = Some(heard[0].header.sequence);
        bed.advance_alive(FRAME, &mut [&mut client]);
    }
    assert!(
        bed.tape.records.is_empty(),
        "a line test is never recorded, whatever the plan says"
    );
}

#[test]
fn without_its_plan_or_without_a_microphone_there_is_no_echo() {
    let mut client = Client::new(1, Part::Preflight);
    let mut bed = Bed::default();
    bed.bring_up(&mut client);
    assert!(echo(&mut bed, &mut client, b"too soon").is_empty());
    for stance in Stance::ALL.into_iter().filter(|stance| *stance != Stance::Talk) {
        bed.plan(&[(client.leg, stance)], Tap::On);
        assert!(echo(&mut bed, &mut client, b"nothing").is_empty(), "{stance:?}");
    }
    bed.plan(&[(client.leg, Stance::Talk)], Tap::On);
    assert_eq!(echo(&mut bed, &mut client, b"here").len(), 1);
}

#[test]
fn who_tests_his_line_is_alone_even_in_a_room_with_others() {
    let mut call = Call::new();
    let mut client = Client::new(3, Part::Preflight);
    call.bed.bring_up(&mut client);
    let stances = [
        (call.customer.leg, Stance::Talk),
        (call.agent.leg, Stance::Talk),
        (client.leg, Stance::Talk),
    ];
    call.bed.plan(&stances, Tap::On);
    let packet = client.speak(b"is it me?");
    let sent = call.bed.datagram(client.address, &packet);
    assert_eq!(client.open_all(&sent).len(), 1);
    assert!(call.customer.open_all(&sent).is_empty() && call.agent.open_all(&sent).is_empty());
    let packet = call.customer.speak(b"hello");
    let sent = call.bed.datagram(call.customer.address, &packet);
    assert!(client.open_all(&sent).is_empty());
    assert_eq!(call.agent.open_all(&sent).len(), 1);
}

#[test]
fn it_ends_thirty_seconds_after_its_keys_and_no_other_leg_does() {
    let (mut bed, mut client) = test_line();
    bed.advance_alive(PREFLIGHT - MS, &mut [&mut client]);
    assert_eq!(down(&bed.events(), client.leg), None);
    assert_eq!(echo(&mut bed, &mut client, b"still").len(), 1);
    // The wheel has ticks of 10 ms.
    bed.advance(20 * MS);
    assert_eq!(down(&bed.events(), client.leg), Some(Cause::Limit));
    assert_eq!((bed.shard.legs(), bed.shard.tables().addresses), (0, 0));
    assert!(echo(&mut bed, &mut client, b"over").is_empty());

    let mut call = Call::new();
    call.bed
        .advance_alive(2 * PREFLIGHT, &mut [&mut call.customer, &mut call.agent]);
    assert_eq!(call.bed.shard.legs(), 2);
}

#[test]
fn a_page_that_is_loaded_anew_gets_no_second_thirty_seconds() {
    let (mut bed, mut client) = test_line();
    bed.advance_alive(20 * SECOND, &mut [&mut client]);
    client.reload();
    let attach = Command::Attach {
        leg: client.leg,
        transport: Box::new(client.transport()),
    };
    bed.shard.command(bed.now, attach).unwrap();
    bed.check(&mut client);
    bed.establish(&client).unwrap();
    bed.advance_alive(10 * SECOND + 20 * MS, &mut [&mut client]);
    assert_eq!(down(&bed.events(), client.leg), Some(Cause::Limit));
}

/// The client's answer to a report of ours, 80 ms after it was sent.
fn receiver_report(client: &mut Client, compound: &[u8]) -> Option<Vec<u8>> {
    let ntp = rtcp::parse(compound).ok()?.find_map(|packet| match packet {
        Packet::SenderReport(info, _) => Some(info.ntp),
        Packet::ReceiverReport { .. } | Packet::Bye(_) | Packet::Nack(_) | Packet::Extended(_) | Packet::Other(_) => {
            None
        }
    })?;
    let block = rtcp::Block {
        ssrc: client.slot_ssrc(0),
        last_sr: rtcp::middle(ntp),
        ..rtcp::Block::default()
    };
    let mut plain = [0; 128];
    let len = rtcp::receiver_report(&mut plain, client.numbers.ssrc, &[block], "client").expect("it fits");
    Some(client.seal_rtcp(&plain[..len]))
}

#[test]
fn it_ends_with_a_report_of_round_trip_loss_jitter_and_level() {
    let (mut bed, mut client) = test_line();
    let mut reports: Vec<(u64, Vec<u8>)> = Vec::new();
    for n in 0..250u32 {
        client.loudness = (if n == 100 { 12 } else { 40 }, true);
        // Each tenth packet is lost, and each second one is 4 ms late.
        let packet = client.speak(&n.to_be_bytes());
        let late = if n % 2 == 1 { 4 * MS } else { 0 };
        let mut sent = bed.advance_alive(late, &mut [&mut client]);
        if n % 10 != 5 {
            sent.extend(bed.datagram(client.address, &packet));
        }
        sent.extend(bed.advance_alive(FRAME - late, &mut [&mut client]));
        for compound in client.open_reports(&sent) {
            let report = receiver_report(&mut client, &compound);
            reports.extend(report.map(|report| (bed.now + 80 * MS, report)));
        }
        let now = bed.now;
        for (_, report) in reports.extract_if(.., |(due, _)| *due <= now) {
            bed.datagram(client.address, &report);
        }
    }
    let leave = Command::RemoveLeg {
        leg: client.leg,
        cause: Cause::HangUp,
    };
    bed.shard.command(bed.now, leave).unwrap();
    let summary: Summary = bed
        .events()
        .into_iter()
        .find_map(|event| match event.kind {
            Kind::LegDown { summary, .. } => Some(summary),
            _ => None,
        })
        .expect("it has ended");
    assert_eq!(summary.packets_received, 225);
    assert!((24..=25).contains(&summary.packets_lost), "{summary:?}");
    assert_eq!(summary.packets_sent, 225, "each came back");
    assert_eq!(summary.level_max, 127 - 12);
    assert!((1.0..=8.0).contains(&summary.jitter_ms_mean), "{summary:?}");
    let rtt = summary.rtt_ms_mean.expect("it was measured");
    assert!((70.0..=130.0).contains(&rtt), "{rtt}");
    assert_eq!(summary.seconds, 5);
}
