//! Loss and its repair, packet by packet: what is sent again, asked for, and taken out of redundant audio.

use media_core::command::Command;
use media_core::counters::{Direction, Second};
use media_core::event::{Cause, Kind, Summary};
use media_core::limits::{
    MS, NACKS_UNANSWERED_MAX, RESENDS_PER_DATAGRAM_MAX, RESENDS_PER_PACKET_MAX, RING_CELL_BYTES, RING_PACKETS_MAX,
    SECOND,
};
use media_core::matrix::{Part, Stance, Tap};
use media_core::rtcp::{self, Packet};
use media_core::rtp::Header;
use media_core::tap::Flags;
use testkit::bed::{Bed, Client, FRAME, Sent, Taped};

use crate::{Call, red};

impl Call {
    /// As [`Call::new`], with NACK negotiated by both, and live, so that the tap takes everything.
    fn with_nack() -> Call {
        Call::of(|customer, agent| {
            customer.nack = true;
            agent.nack = true;
        })
    }

    pub(crate) fn of(change: impl FnOnce(&mut Client, &mut Client)) -> Call {
        let (mut customer, mut agent) = (Client::new(1, Part::Customer), Client::new(2, Part::Agent));
        change(&mut customer, &mut agent);
        let mut bed = Bed::default();
        bed.bring_up(&mut customer);
        bed.bring_up(&mut agent);
        let mut call = Call { bed, customer, agent };
        call.talk();
        call.bed.say(&mut call.agent, b"live", &mut call.customer);
        call.bed.events();
        call.bed.tape.records.clear();
        call
    }

    /// One packet of the customer reaches the shard; what was sent for it.
    pub(crate) fn arrives(&mut self, packet: &[u8]) -> Vec<Sent> {
        self.bed.datagram(self.customer.address, packet)
    }

    fn asks(&mut self, numbers: &[u16]) -> Vec<Sent> {
        let nack = self.agent.nack_for(0, numbers);
        self.bed.datagram(self.agent.address, &nack)
    }

    /// The customer's packet of redundant audio around `blocks`, (offset, bytes) oldest first.
    pub(crate) fn redundant(&mut self, blocks: &[(u32, &[u8])], own: &[u8]) -> Vec<u8> {
        let payload = red(self.customer.numbers.opus, blocks, own);
        let packet = self
            .customer
            .packet(self.customer.numbers.red.expect("it offers RED"), &payload);
        self.customer.step();
        packet
    }

    /// What was taped: index, how it came, and its audio.
    fn taped(&self) -> Vec<(u64, Flags, &[u8])> {
        let one = |record: &Taped| {
            let header = Header::parse(&record.packet).expect("the tap gets packets");
            assert_eq!(header.payload_type, self.customer.numbers.opus, "and plain Opus");
            assert_eq!(header.sequence, record.ext_seq as u16);
            let ways = [Flags::RTX, Flags::RED].into_iter();
            let way = ways.filter(|way| record.flags.contains(*way));
            (way.fold(Flags::default(), Flags::with), header.len)
        };
        let records = self.bed.tape.records.iter();
        records
            .map(|record| {
                let (way, head) = one(record);
                (u64::from(record.ext_seq), way, &record.packet[head..])
            })
            .collect()
    }

    /// The customer hangs up; its totals.
    pub(crate) fn customer_leaves(&mut self) -> Summary {
        let remove = Command::RemoveLeg {
            leg: self.customer.leg,
            cause: Cause::HangUp,
        };
        self.bed.shard.command(self.bed.now, remove).expect("the leg lives");
        let ended = self.bed.events().into_iter().find_map(|event| match event.kind {
            Kind::LegDown { summary, .. } => Some(summary),
            _ => None,
        });
        ended.expect("the leg has ended")
    }

    /// The customer's rows so far, of what it sends.
    pub(crate) fn seconds(&mut self) -> Vec<Second> {
        let customer = self.customer.leg;
        std::iter::from_fn(|| self.bed.shard.poll_second())
            .filter(|second| second.leg == customer && second.direction == Direction::Up)
            .collect()
    }
}

/// The numbers that compounds ask for.
pub(crate) fn asked(compounds: &[Vec<u8>]) -> Vec<u16> {
    let mut numbers = Vec::new();
    for compound in compounds {
        for packet in rtcp::parse(compound).expect("our own compound") {
            if let Packet::Nack(nack) = packet {
                numbers.extend(nack.numbers());
            }
        }
    }
    numbers
}

#[test]
fn what_a_listener_misses_is_sent_again_bit_for_bit_three_times_and_no_more() {
    let mut call = Call::with_nack();
    let packet = call.customer.speak(b"lost on the way");
    let sent = call.arrives(&packet);
    let number = call.agent.open_all(&sent)[0].header.sequence;
    for _ in 0..RESENDS_PER_PACKET_MAX {
        assert_eq!(call.asks(&[number]), sent);
    }
    assert!(call.asks(&[number]).is_empty());
    assert!(call.asks(&[number.wrapping_add(1)]).is_empty(), "not sent yet");
    let totals = call.bed.shard.totals();
    assert_eq!((totals.nacks_received, totals.nacks_answered), (5, 3));
    assert_eq!((totals.nacks_missed, totals.nacks_limited), (1, 1));
    assert_eq!(totals.rtp_forwarded, 2, "sending again forwards nothing new");
}

#[test]
fn nothing_is_sent_again_to_who_did_not_negotiate_it_or_names_another_stream() {
    let mut call = Call::new();
    let packet = call.customer.speak(b"x");
    let sent = call.arrives(&packet);
    let number = call.agent.open_all(&sent)[0].header.sequence;
    assert!(call.asks(&[number]).is_empty());
    assert_eq!(call.bed.shard.totals().nacks_received, 0);

    let mut call = Call::with_nack();
    let packet = call.customer.speak(b"x");
    let sent = call.arrives(&packet);
    let number = call.agent.open_all(&sent)[0].header.sequence;
    let other = call.agent.nack_for(1, &[number]);
    assert!(call.bed.datagram(call.agent.address, &other).is_empty());
    let mut plain = [0; 64];
    let len = rtcp::nack(&mut plain, 1, call.agent.slot_ssrc(0), &[number]).expect("it fits");
    let foreign = call.customer.seal_rtcp(&plain[..len]);
    assert!(
        call.bed.datagram(call.customer.address, &foreign).is_empty(),
        "a stream of another leg"
    );
}

#[test]
fn the_last_32_packets_are_kept_and_long_or_redundant_ones_are_not() {
    let mut call = Call::with_nack();
    let mut numbers = Vec::new();
    for turn in 0..=RING_PACKETS_MAX {
        call.bed.now += FRAME;
        let packet = call.customer.speak(&[turn as u8; 20]);
        let sent = call.arrives(&packet);
        numbers.push(call.agent.open_all(&sent)[0].header.sequence);
    }
    assert!(call.asks(&numbers[..1]).is_empty(), "the 33rd pushed it out");
    assert_eq!(call.asks(&numbers[1..2]).len(), 1);
    // Header 12, level extension 8, tag 16.
    for (payload, kept) in [(RING_CELL_BYTES - 36, true), (RING_CELL_BYTES - 35, false)] {
        let packet = call.customer.speak(&vec![7; payload]);
        let sent = call.arrives(&packet);
        let number = call.agent.open_all(&sent)[0].header.sequence;
        assert_eq!(call.asks(&[number]).len(), usize::from(kept), "{payload} bytes");
    }
    let packet = call.redundant(&[(960, b"before")], b"now");
    let sent = call.arrives(&packet);
    let number = call.agent.open_all(&sent)[0].header.sequence;
    assert!(call.asks(&[number]).is_empty(), "redundant audio repairs itself");
    assert_eq!(call.bed.shard.totals().ring_unfit, 2);
}

#[test]
fn sending_again_has_a_rate_and_one_request_a_limit() {
    let mut call = Call::with_nack();
    let mut numbers = Vec::new();
    for _ in 0..RING_PACKETS_MAX {
        call.bed.now += FRAME;
        let packet = call.customer.speak(&[1; 100]);
        let sent = call.arrives(&packet);
        numbers.push(call.agent.open_all(&sent)[0].header.sequence);
    }
    assert_eq!(call.asks(&numbers).len(), RESENDS_PER_DATAGRAM_MAX);
    let mut again = RESENDS_PER_DATAGRAM_MAX;
    // Whoever asks for everything all the time for ten seconds.
    for turn in 0..500 {
        call.bed.now += FRAME;
        let packet = call.customer.speak(&[1; 100]);
        let sent = call.arrives(&packet);
        numbers.remove(0);
        numbers.push(call.agent.open_all(&sent)[0].header.sequence);
        if turn % 2 == 0 {
            again += call.asks(&numbers).len();
        }
    }
    let bytes = again as u64 * 136;
    assert!((60_000..90_000).contains(&bytes), "{bytes} bytes in 10 s");
    assert!(call.bed.shard.totals().nacks_limited > 1_000);
}

#[test]
fn what_was_heard_before_a_hold_is_not_sent_again_during_it() {
    let mut call = Call::with_nack();
    let packet = call.customer.speak(b"before the hold");
    let sent = call.arrives(&packet);
    let number = call.agent.open_all(&sent)[0].header.sequence;
    call.bed.plan(&[(call.agent.leg, Stance::Talk)], Tap::On);
    assert!(call.asks(&[number]).is_empty());
    call.talk();
    assert!(call.asks(&[number]).is_empty(), "and not after it either");
    assert_eq!(call.bed.shard.totals().nacks_missed, 2);
}

#[test]
fn a_reload_has_new_keys_and_nothing_to_send_again() {
    let mut call = Call::with_nack();
    let packet = call.customer.speak(b"old keys");
    let sent = call.arrives(&packet);
    let number = call.agent.open_all(&sent)[0].header.sequence;
    call.agent.reload();
    let (leg, transport) = (call.agent.leg, Box::new(call.agent.transport()));
    let attach = Command::Attach { leg, transport };
    call.bed.shard.command(call.bed.now, attach).expect("the leg lives");
    call.bed.check(&mut call.agent);
    call.bed.establish(&call.agent).expect("the transport lives");
    assert!(call.asks(&[number]).is_empty());
    assert_eq!(call.bed.shard.totals().nacks_missed, 1);
}

#[test]
fn a_gap_is_asked_for_after_20_ms_and_its_packet_goes_live_when_it_is_quick() {
    let mut call = Call::with_nack();
    assert!(call.customer_is_heard());
    let lost = call.customer.speak(b"lost");
    assert!(call.customer_is_heard());
    let sent = call.bed.advance(10 * MS);
    assert_eq!(
        asked(&call.customer.open_reports(&sent)),
        [0u16; 0],
        "it may only be late"
    );
    let sent = call.bed.advance(10 * MS);
    let index = call.customer.index - 2;
    assert_eq!(asked(&call.customer.open_reports(&sent)), [index as u16]);
    let sent = call.arrives(&lost);
    assert_eq!(call.agent.open_all(&sent)[0].payload, b"lost");
    let taped = call.taped();
    assert_eq!(*taped.last().unwrap(), (index, Flags::RTX, &b"lost"[..]));
    let totals = call.bed.shard.totals();
    assert_eq!(
        (totals.nacks_sent, totals.repaired_rtx, totals.repaired_late),
        (1, 1, 0)
    );
}

#[test]
fn a_slow_repair_goes_to_the_tap_alone_and_is_no_loss() {
    let mut call = Call::with_nack();
    assert!(call.customer_is_heard());
    let lost = call.customer.speak(b"lost");
    for _ in 0..4 {
        assert!(call.customer_is_heard());
        call.bed.advance(FRAME);
    }
    assert!(call.arrives(&lost).is_empty(), "80 ms behind");
    assert_eq!(call.taped().last().unwrap().1, Flags::RTX);
    assert_eq!(call.bed.shard.totals().repaired_late, 1);
    call.bed.advance(SECOND);
    let seconds = call.seconds();
    let sum = |of: fn(&Second) -> u32| seconds.iter().map(of).sum::<u32>();
    assert_eq!((sum(|s| s.expected), sum(|s| s.received), sum(|s| s.lost)), (6, 6, 0));
    assert_eq!((sum(|s| s.repaired_rtx), sum(|s| s.late)), (1, 1));
    call.bed.events();
    let summary = call.customer_leaves();
    assert_eq!((summary.packets_lost, summary.packets_repaired), (0, 1));
}

#[test]
fn the_speaker_is_told_of_loss_that_had_to_be_asked_for_because_its_fec_covers_it() {
    let mut call = Call::with_nack();
    call.customer_is_heard();
    let lost = call.customer.speak(b"lost");
    for _ in 0..8 {
        call.customer_is_heard();
        call.bed.advance(FRAME);
    }
    call.arrives(&lost);
    let sent = call.bed.advance(SECOND);
    let compounds = call.customer.open_reports(&sent);
    let mut packets = compounds
        .iter()
        .flat_map(|compound| rtcp::parse(compound).expect("our own"));
    let block = packets.find_map(|packet| match packet {
        Packet::SenderReport(_, mut blocks) | Packet::ReceiverReport { mut blocks, .. } => blocks.next(),
        _ => None,
    });
    let block = block.expect("a block about the customer");
    assert_eq!(
        (block.fraction_lost, block.cumulative_lost),
        (25, 0),
        "one of ten, and none for good"
    );
}

#[test]
fn who_never_answers_is_asked_no_more() {
    let mut call = Call::with_nack();
    let mut nacks = 0;
    for turn in 0..60 {
        call.customer_is_heard();
        if turn % 2 == 0 {
            call.customer.speak(b"lost for good");
        }
        call.bed.check(&mut call.customer);
        call.bed.check(&mut call.agent);
        let sent = call.bed.advance(500 * MS);
        let numbers = asked(&call.customer.open_reports(&sent));
        nacks += usize::from(!numbers.is_empty());
    }
    assert!(
        nacks >= NACKS_UNANSWERED_MAX as usize && nacks <= 8,
        "asked for {nacks} of 29 gaps"
    );
    assert!(call.bed.shard.totals().nacks_sent <= 24);
}

#[test]
fn what_was_said_while_the_tap_paused_is_not_taped_however_late_it_comes() {
    let mut call = Call::with_nack();
    let stances = [(call.customer.leg, Stance::Talk), (call.agent.leg, Stance::Talk)];
    assert!(call.customer_is_heard());
    call.bed.plan(&stances, Tap::Paused);
    let card = call.customer.speak(b"card number");
    assert!(call.customer_is_heard());
    call.talk();
    call.bed.advance(FRAME);
    let before = call.bed.tape.records.len();
    assert_eq!(call.arrives(&card).len(), 1, "the agent hears it");
    assert_eq!(call.bed.tape.records.len(), before);

    // The same inside redundancy.
    call.bed.plan(&stances, Tap::Paused);
    call.customer.speak(b"more of it");
    let packet = call.redundant(&[], b"paused");
    call.arrives(&packet);
    call.talk();
    let packet = call.redundant(&[(1_920, b"more of it"), (960, b"paused")], b"resumed");
    call.arrives(&packet);
    let taped = call.taped();
    assert_eq!(taped.len(), before + 1);
    assert_eq!(taped.last().unwrap().2, b"resumed");
}

#[test]
fn a_lost_packet_is_taken_out_of_the_next_ones_redundancy_once() {
    let mut call = Call::of(|_, agent| agent.numbers.red = None);
    let first = call.redundant(&[], b"one");
    call.arrives(&first);
    let lost = call.redundant(&[(960, b"one")], b"two");
    call.redundant(&[(1_920, b"one"), (960, b"two")], b"three");
    let index = call.customer.index;
    let next = call.redundant(&[(1_920, b"two"), (960, b"three")], b"four");
    let sent = call.arrives(&next);
    let heard = call.agent.open_all(&sent);
    assert_eq!(
        (heard.len(), &heard[0].payload[..]),
        (1, &b"four"[..]),
        "cut to its own audio"
    );
    assert_eq!(heard[0].header.payload_type, call.agent.numbers.opus);
    let again = call.redundant(&[(1_920, b"three"), (960, b"four")], b"five");
    call.arrives(&again);
    let own = Flags::default();
    let expected: [(u64, Flags, &[u8]); 5] = [
        (index - 3, own, b"one"),
        (index - 2, Flags::RED, b"two"),
        (index - 1, Flags::RED, b"three"),
        (index, own, b"four"),
        (index + 1, own, b"five"),
    ];
    assert_eq!(call.taped(), expected);
    assert_eq!(call.bed.shard.totals().repaired_red, 2);

    // One of them was only late. It is heard, but the tap has its audio already.
    let sent = call.arrives(&lost);
    assert_eq!(call.agent.open_all(&sent)[0].payload, b"two");
    assert_eq!(call.bed.tape.records.len(), 5);
    call.bed.advance(SECOND);
    let seconds = call.seconds();
    let sum = |of: fn(&Second) -> u32| seconds.iter().map(of).sum::<u32>();
    assert_eq!((sum(|s| s.expected), sum(|s| s.received)), (5, 4));
    assert_eq!((sum(|s| s.lost), sum(|s| s.repaired_red)), (0, 1));
}

#[test]
fn a_packet_that_was_rebuilt_and_comes_in_the_next_second_makes_the_next_figure_smaller() {
    let mut call = Call::of(|_, _| {});
    let first = call.redundant(&[], b"one");
    call.arrives(&first);
    // Just before a second ends, so that the gap is still known in the next one.
    while call.seconds().is_empty() {
        call.bed.advance(FRAME);
    }
    call.bed.advance(SECOND - 5 * FRAME);
    let late = call.redundant(&[(960, b"one")], b"two");
    let next = call.redundant(&[(960, b"two")], b"three");
    call.arrives(&next);
    let figures = |call: &mut Call, time| {
        call.bed.advance(time);
        let rows = call.seconds();
        let sum = |of: fn(&Second) -> u32| rows.iter().map(of).sum::<u32>();
        (sum(|s| s.expected), sum(|s| s.received), sum(|s| s.repaired_red))
    };
    assert_eq!(figures(&mut call, 10 * FRAME), (2, 1, 1));
    call.arrives(&late);
    assert_eq!(figures(&mut call, SECOND), (0, 1, 0));
    for red in [0, 1] {
        call.redundant(&[(960, b"three")], b"lost");
        let next = call.redundant(&[(960, b"lost")], b"next");
        call.arrives(&next);
        assert_eq!(figures(&mut call, SECOND), (2, 1, red));
    }
}

#[test]
fn redundancy_that_fits_no_gap_or_is_broken_fills_none() {
    let mut call = Call::of(|_, _| {});
    let opus = call.customer.numbers.opus;
    assert!(call.customer_is_heard());
    call.customer.speak(b"lost");
    let before = call.bed.tape.records.len();
    // As old as what came before the gap, without age, of another type, empty, and nested redundancy.
    let outer = call.customer.numbers.red.unwrap();
    let mut foreign = red(opus, &[(960, b"lost")], b"own");
    foreign[0] = 0x80 | outer;
    for payload in [
        red(opus, &[(1_920, b"lost")], b"own"),
        red(opus, &[(0, b"lost")], b"own"),
        red(opus, &[(960, b"")], b"own"),
        foreign,
    ] {
        let packet = call.customer.packet(outer, &payload);
        call.arrives(&packet);
        assert_eq!(call.bed.shard.totals().repaired_red, 0, "{payload:?}");
        // The next one is lost, so each comes right behind a gap.
        call.customer.step();
        call.customer.step();
    }
    assert_eq!(call.bed.tape.records.len(), before + 4, "their own audio is good");
    let lying = [0x80 | opus, 0x0F, 0x03, 0xFF, opus, 1, 2];
    let packet = call.customer.packet(outer, &lying);
    assert!(call.arrives(&packet).is_empty());
    assert_eq!(
        call.bed.shard.totals().drop_inside,
        2,
        "broken, and blocks that cannot be renamed"
    );
}

#[test]
fn redundancy_from_before_a_listener_was_to_hear_is_cut_off() {
    let mut call = Call::of(|_, _| {});
    call.bed.plan(
        &[(call.customer.leg, Stance::Muted), (call.agent.leg, Stance::Talk)],
        Tap::On,
    );
    let packet = call.redundant(&[], b"muted");
    assert!(call.arrives(&packet).is_empty());
    call.talk();
    let blocks: [(u32, &[u8]); 2] = [(1_920, b"older"), (960, b"muted")];
    for (turn, own) in [&b"one"[..], b"two", b"three"].iter().enumerate() {
        let packet = call.redundant(&blocks, own);
        let sent = call.arrives(&packet);
        let heard = call.agent.open_all(&sent);
        let (kind, len) = (heard[0].header.payload_type, heard[0].payload.len());
        if turn < 2 {
            assert_eq!((kind, len), (call.agent.numbers.opus, own.len()), "{turn}");
        } else {
            assert_eq!(
                kind,
                call.agent.numbers.red.unwrap(),
                "all its blocks are of the present talk"
            );
        }
    }
}

#[test]
fn a_leg_that_hears_nothing_learns_its_round_trip_from_our_clock_and_tells_it() {
    let mut call = Call::new();
    call.bed.plan(&[(call.agent.leg, Stance::Talk)], Tap::On);
    let mut lonely = Client::new(3, Part::Partner);
    lonely.slots = 0;
    call.bed.bring_up(&mut lonely);
    let mut reports = Vec::new();
    while reports.is_empty() {
        let sent = call.bed.advance(10 * MS);
        reports = lonely.open_reports(&sent);
    }
    let (ours, ntp) = reference(&reports[0]).expect("our clock, for there is no sender report to carry it");
    // It comes back 80 ms later, 30 of which were spent there.
    call.bed.advance(80 * MS);
    let mut plain = [0; 128];
    let mut len = rtcp::receiver_report(&mut plain, lonely.numbers.ssrc, &[], "client").unwrap();
    let delay = rtcp::Delay {
        ssrc: ours,
        last_reference: rtcp::middle(ntp),
        delay: 30 * 65_536 / 1_000,
    };
    len += rtcp::reference_answer(&mut plain[len..], lonely.numbers.ssrc, &delay).unwrap();
    len += rtcp::reference_time(&mut plain[len..], lonely.numbers.ssrc, 0x0001_2345_6789_0000).unwrap();
    let sealed = lonely.seal_rtcp(&plain[..len]);
    call.bed.datagram(lonely.address, &sealed);
    let sent = call.bed.advance_alive(2 * SECOND, &mut [&mut lonely]);
    let rows = std::iter::from_fn(|| call.bed.shard.poll_second()).filter(|row| row.leg == lonely.leg);
    let rtt = rows.filter_map(|row| row.rtt_us).last().expect("a round trip");
    assert!((49_900..=50_100).contains(&rtt), "{rtt} us");
    let answers: Vec<rtcp::Delay> = lonely
        .open_reports(&sent)
        .iter()
        .flat_map(|compound| delays(compound))
        .collect();
    assert_eq!(answers.len(), 1, "each reference time is answered once");
    assert_eq!(
        (answers[0].ssrc, answers[0].last_reference),
        (lonely.numbers.ssrc, 0x2345_6789)
    );
    assert!(answers[0].delay > 0 && answers[0].delay < 2 * 65_536);
    // Who hears somebody has our clock from the sender report.
    call.talk();
    call.customer_is_heard();
    let sent = call.bed.advance_alive(6 * SECOND, &mut [&mut call.agent]);
    let last = call.agent.open_reports(&sent).pop().expect("a report");
    assert!(reference(&last).is_none());
}

fn reference(compound: &[u8]) -> Option<(u32, u64)> {
    rtcp::parse(compound).expect("our own").find_map(|packet| match packet {
        Packet::Extended(report) => report.blocks().find_map(|block| match block {
            rtcp::ExtendedBlock::Reference(ntp) => Some((report.sender, ntp)),
            _ => None,
        }),
        _ => None,
    })
}

fn delays(compound: &[u8]) -> Vec<rtcp::Delay> {
    let mut all = Vec::new();
    for packet in rtcp::parse(compound).expect("our own") {
        if let Packet::Extended(report) = packet {
            for block in report.blocks() {
                if let rtcp::ExtendedBlock::Delays(delays) = block {
                    all.extend(delays);
                }
            }
        }
    }
    all
}
