//! In-band FEC as repair: a lost packet whose sound the next one holds once more is none that the listener misses, in the
//! figures of both directions, where it was agreed upon.

use media_core::counters::{Direction, Second};
use media_core::limits::SECOND;
use media_core::rtcp::{self, Block};
use testkit::bed::{Client, FRAME};

use crate::{Call, red};

/// 20 ms of wide band, mono: the second byte has the VAD and the LBRR bit.
const MENDS: &[u8] = &[9 << 3, 0xC0, 1, 2, 3];
/// The same without LBRR.
const PLAIN: &[u8] = &[9 << 3, 0x80, 1, 2, 3];

impl Call {
    fn with_fec() -> Call {
        Call::of(|customer, agent| {
            customer.fec = true;
            agent.fec = true;
        })
    }

    /// The customer says this, or it is lost (`None`).
    fn says(&mut self, said: &[Option<&[u8]>]) {
        for payload in said {
            let packet = self.customer.speak(payload.unwrap_or(PLAIN));
            if payload.is_some() {
                self.arrives(&packet);
            }
        }
    }

    /// Lost, rebuilt by FEC and received since the last call.
    fn figures(&mut self) -> (u32, u32, u32) {
        self.bed.advance(SECOND);
        let sum = |rows: &[Second], of: fn(&Second) -> u32| rows.iter().map(of).sum::<u32>();
        let rows = self.seconds();
        (
            sum(&rows, |row| row.lost),
            sum(&rows, |row| row.repaired_fec),
            sum(&rows, |row| row.received),
        )
    }
}

#[test]
fn a_lost_packet_is_mended_by_the_next_one_if_that_holds_it_once_more() {
    let mut call = Call::with_fec();
    call.says(&[Some(MENDS), None, Some(MENDS), None, Some(PLAIN), Some(MENDS)]);
    assert_eq!(call.figures(), (1, 1, 4));
    // Of a burst the last one is.
    call.says(&[None, None, None, Some(MENDS)]);
    assert_eq!(call.figures(), (2, 1, 1));
    let summary = call.customer_leaves();
    assert_eq!((summary.packets_lost, summary.packets_repaired), (3, 2));
}

#[test]
fn without_an_agreement_the_bit_means_nothing() {
    let mut call = Call::of(|customer, _| customer.fec = false);
    call.says(&[Some(MENDS), None, Some(MENDS)]);
    assert_eq!(call.figures(), (1, 0, 2));
}

#[test]
fn what_comes_late_or_again_is_received_and_not_mended_as_well() {
    let mut call = Call::with_fec();
    call.says(&[Some(MENDS)]);
    let late = call.customer.speak(PLAIN);
    call.says(&[Some(MENDS)]);
    call.arrives(&late);
    assert_eq!(call.figures(), (0, 0, 3));
    // The late one has what the one before it was.
    call.says(&[None]);
    let late = call.customer.speak(MENDS);
    call.says(&[Some(PLAIN)]);
    call.arrives(&late);
    assert_eq!(call.figures(), (0, 1, 2));
    let summary = call.customer_leaves();
    assert_eq!((summary.packets_lost, summary.packets_repaired), (0, 1));
}

#[test]
fn what_comes_in_a_later_second_makes_the_next_mend_smaller() {
    let mut call = Call::with_fec();
    call.says(&[Some(MENDS)]);
    let late = call.customer.speak(PLAIN);
    call.says(&[Some(MENDS)]);
    assert_eq!(call.figures(), (0, 1, 2));
    call.arrives(&late);
    assert_eq!(call.figures(), (0, 0, 1), "that row is written");
    call.says(&[None, Some(MENDS)]);
    assert_eq!(
        call.figures(),
        (0, 0, 1),
        "five expected so far, four came and one was mended"
    );
    call.says(&[None, Some(MENDS)]);
    assert_eq!(call.figures(), (0, 1, 1));
    let summary = call.customer_leaves();
    assert_eq!((summary.packets_lost, summary.packets_repaired), (0, 2));
}

#[test]
fn what_a_second_has_mended_stands_in_its_row_though_the_stream_has_ended_in_it() {
    let mut call = Call::with_fec();
    call.says(&[Some(MENDS), None, Some(MENDS)]);
    call.bed.advance(SECOND / 2);
    call.customer.numbers.ssrc += 1;
    call.says(&[Some(MENDS), None, Some(MENDS)]);
    assert_eq!(call.figures(), (0, 2, 4));
}

#[test]
fn what_comes_from_before_the_first_packet_of_a_stream_takes_no_mend_back() {
    let mut call = Call::with_fec();
    let late = call.customer.speak(PLAIN);
    call.says(&[Some(MENDS), None, Some(MENDS)]);
    call.arrives(&late);
    assert_eq!(call.figures(), (0, 1, 3));
    let summary = call.customer_leaves();
    assert_eq!((summary.packets_lost, summary.packets_repaired), (0, 1));
}

#[test]
fn what_lies_between_the_first_packet_and_an_earlier_one_is_mended_until_it_comes() {
    for comes in [false, true] {
        let mut call = Call::with_fec();
        let [first, _, third] = std::array::from_fn(|_| call.customer.speak(PLAIN));
        call.says(&[Some(MENDS), Some(PLAIN)]);
        call.arrives(&first);
        if comes {
            call.arrives(&third);
        }
        assert_eq!(call.figures(), (1, u32::from(!comes), 3 + u32::from(comes)));
    }
}

#[test]
fn what_is_older_than_the_window_is_left_as_it_was_counted() {
    for (behind, mended) in [(127, 0), (128, 1)] {
        let mut call = Call::with_fec();
        call.says(&[Some(PLAIN)]);
        let late = call.customer.speak(PLAIN);
        call.says(&[Some(MENDS)]);
        call.says(&vec![Some(PLAIN); behind - 1]);
        call.arrives(&late);
        assert_eq!(call.figures(), (0, mended, behind as u32 + 2), "{behind} behind");
    }
}

#[test]
fn redundant_audio_goes_before_fec() {
    let mut call = Call::with_fec();
    call.says(&[Some(MENDS)]);
    call.customer.speak(PLAIN);
    let packet = call.redundant(&[(960, PLAIN)], MENDS);
    call.arrives(&packet);
    assert_eq!(call.figures(), (0, 0, 2));
    // Its own block is looked at: one that repeats nothing mends by FEC.
    call.customer.speak(PLAIN);
    let payload = red(call.customer.numbers.opus, &[], MENDS);
    let packet = call
        .customer
        .packet(call.customer.numbers.red.expect("it offers RED"), &payload);
    call.customer.step();
    call.arrives(&packet);
    assert_eq!(call.figures(), (0, 1, 1));
    let summary = call.customer_leaves();
    assert_eq!((summary.packets_lost, summary.packets_repaired), (0, 2));
}

#[test]
fn a_packet_of_another_stream_mends_nothing() {
    let mut call = Call::with_fec();
    call.says(&[Some(MENDS), None, Some(PLAIN), None]);
    call.bed.check(&mut call.customer);
    call.bed.check(&mut call.agent);
    call.bed.advance(2 * SECOND);
    // Another SSRC; its first number is just what the other stream waits for.
    call.customer.numbers.ssrc += 1;
    call.says(&[Some(MENDS)]);
    assert_eq!(call.figures(), (1, 0, 3), "the last one is not known to be lost");
}

#[test]
fn telephone_events_are_no_packets_that_mend() {
    let mut call = Call::with_fec();
    call.says(&[Some(PLAIN), None]);
    let kind = call.customer.numbers.dtmf.expect("it offers them");
    let event = call.customer.packet(kind, MENDS);
    call.customer.step();
    call.arrives(&event);
    assert_eq!(call.figures(), (1, 0, 2));
}

/// A hundred packets of the customer, all alike; the agent reports that `lost` of them did not come.
fn hundred(call: &mut Call, payload: &[u8], lost: i32) -> Vec<Second> {
    while call.bed.shard.poll_second().is_some() {}
    for _ in 0..100 {
        let packet = call.customer.speak(payload);
        let sent = call.arrives(&packet);
        call.agent.open_all(&sent);
        call.bed.advance(FRAME);
    }
    let packets = call.newest_of_agent();
    let block = Block {
        ssrc: call.agent.slot_ssrc(0),
        fraction_lost: (lost * 256 / 100) as u8,
        cumulative_lost: lost,
        highest: packets,
        ..Block::default()
    };
    report(&mut call.agent, &block, &mut call.bed);
    for _ in 0..100 {
        let packet = call.customer.speak(PLAIN);
        call.arrives(&packet);
        call.bed.advance(FRAME);
    }
    let agent = call.agent.leg;
    std::iter::from_fn(|| call.bed.shard.poll_second())
        .filter(|row| row.leg == agent && row.direction == Direction::Down)
        .collect()
}

impl Call {
    /// The number of the last packet that the agent was sent.
    fn newest_of_agent(&mut self) -> u32 {
        let packet = self.customer.speak(PLAIN);
        let sent = self.arrives(&packet);
        u32::from(self.agent.open_all(&sent)[0].header.sequence)
    }
}

fn report(client: &mut Client, block: &Block, bed: &mut testkit::bed::Bed) {
    let mut plain = [0; 256];
    let len = rtcp::receiver_report(&mut plain, client.numbers.ssrc, &[*block], "client").expect("it fits");
    let sealed = client.seal_rtcp(&plain[..len]);
    bed.arrives(client, &sealed);
}

#[test]
fn of_what_a_listener_misses_fec_mends_a_share_if_the_packets_have_it_and_his_decoder_makes_use_of_it() {
    let sum = |rows: &[Second], of: fn(&Second) -> u32| rows.iter().map(of).sum::<u32>();
    let mut scores = Vec::new();
    // 100 of 101 packets mend: 20 times 0.45 times 0.99.
    for (speaker, listener, payload, mended) in [
        (true, true, MENDS, 8),
        (true, true, PLAIN, 0),
        (true, false, MENDS, 0),
        (false, true, MENDS, 0),
    ] {
        let mut call = Call::of(|customer, agent| (customer.fec, agent.fec) = (speaker, listener));
        let rows = hundred(&mut call, payload, 20);
        assert_eq!(sum(&rows, |row| row.repaired_fec), mended);
        assert_eq!(sum(&rows, |row| row.lost), 20 - mended);
        assert!(
            rows.iter()
                .all(|row| row.expected == row.received + row.lost + row.repaired_fec)
        );
        scores.push(rows.iter().filter_map(|row| row.mos).fold(5.0, f32::min));
    }
    assert!(
        scores[0] > scores[1] && scores[1] == scores[2] && scores[2] == scores[3],
        "{scores:?}"
    );
}

#[test]
fn the_speaker_is_told_of_loss_that_fec_mends_for_without_that_it_would_end() {
    let mut call = Call::with_fec();
    hundred(&mut call, MENDS, 20);
    let sent = call.bed.advance(SECOND);
    let mut told = Vec::new();
    for report in call.customer.open_reports(&sent) {
        let compound = rtcp::parse(&report).expect("our own compound");
        compound.for_each(|packet| told.extend(shares(packet)));
    }
    assert_eq!(told, [51]);
}

fn shares(packet: rtcp::Packet<'_>) -> Vec<u8> {
    match packet {
        rtcp::Packet::ReceiverReport { blocks, .. } | rtcp::Packet::SenderReport(_, blocks) => {
            blocks.map(|block| block.fraction_lost).collect()
        }
        rtcp::Packet::Bye(_) | rtcp::Packet::Nack(_) | rtcp::Packet::Extended(_) | rtcp::Packet::Other(_) => Vec::new(),
    }
}
