//! Reports, requests, good-byes and reference times: what one writes, the other reads, field by field.

use bytes::Bytes;
use media_core::rtcp::{
    self as ours, Block, Delay, ExtendedBlock, Packet, REPORT_BYTES_MAX, SenderInfo, bye, nack, reference_answer,
    reference_time,
};
use proptest::prelude::*;
use rtc_rtcp::Packet as Theirs;
use rtc_rtcp::extended_report::{DLRRReport, DLRRReportBlock, ExtendedReport, ReceiverReferenceTimeReportBlock};
use rtc_rtcp::goodbye::Goodbye;
use rtc_rtcp::packet::{marshal, unmarshal};
use rtc_rtcp::receiver_report::ReceiverReport;
use rtc_rtcp::reception_report::ReceptionReport;
use rtc_rtcp::sender_report::SenderReport;
use rtc_rtcp::source_description::{SdesType, SourceDescription};
use rtc_rtcp::transport_feedbacks::transport_layer_nack::{TransportLayerNack, nack_pairs_from_sequence_numbers};

/// What they read.
fn read(bytes: &[u8]) -> Vec<Box<dyn Theirs>> {
    unmarshal(&mut Bytes::copy_from_slice(bytes)).expect("they read ours")
}

/// One of what they read.
fn as_a<T: 'static>(packet: &dyn Theirs) -> &T {
    packet.as_any().downcast_ref().expect("a packet of that type")
}

/// What they write.
fn written(packet: impl Theirs + 'static) -> Vec<u8> {
    marshal(&[Box::new(packet)]).expect("they write it").to_vec()
}

fn block() -> impl Strategy<Value = Block> {
    let loss = (any::<u8>(), -0x80_0000i32..0x80_0000);
    (any::<u32>(), loss, any::<[u32; 4]>()).prop_map(|(ssrc, (fraction_lost, cumulative_lost), rest)| Block {
        ssrc,
        fraction_lost,
        cumulative_lost,
        highest: rest[0],
        jitter: rest[1],
        last_sr: rest[2],
        delay_since_sr: rest[3],
    })
}

/// Theirs has no sign: 24 bits as they are.
fn as_theirs(block: &Block) -> ReceptionReport {
    ReceptionReport {
        ssrc: block.ssrc,
        fraction_lost: block.fraction_lost,
        total_lost: block.cumulative_lost as u32 & 0xFF_FFFF,
        last_sequence_number: block.highest,
        jitter: block.jitter,
        last_sender_report: block.last_sr,
        delay: block.delay_since_sr,
    }
}

fn has_cname(packet: &dyn Theirs, ssrc: u32, name: &str) -> bool {
    let description: &SourceDescription = as_a(packet);
    let [chunk] = &description.chunks[..] else { return false };
    chunk.source == ssrc
        && chunk
            .items
            .iter()
            .any(|item| item.sdes_type == SdesType::SdesCname && item.text == name.as_bytes())
}

proptest! {
    #![proptest_config(testkit::properties::usual())]

    #[test]
    fn a_sender_report(
        ssrc: u32,
        ntp: u64,
        rest: [u32; 3],
        blocks in prop::collection::vec(block(), 0..31),
        name in "[a-z]{1,60}",
    ) {
        let [rtp, packets, octets] = rest;
        let info = SenderInfo { ssrc, ntp, rtp, packets, octets };
        let mut buffer = [0; REPORT_BYTES_MAX];
        let len = ours::sender_report(&mut buffer, &info, &blocks, &name).expect("room");
        let theirs = SenderReport {
            ssrc,
            ntp_time: ntp,
            rtp_time: rtp,
            packet_count: packets,
            octet_count: octets,
            reports: blocks.iter().map(as_theirs).collect(),
            profile_extensions: Bytes::new(),
        };
        let they_read = read(&buffer[..len]);
        prop_assert_eq!(as_a::<SenderReport>(&*they_read[0]), &theirs);
        prop_assert!(has_cname(&*they_read[1], ssrc, &name));
        prop_assert_eq!(they_read.len(), 2);

        let bytes = written(theirs);
        let mut packets = ours::parse(&bytes).expect("we read theirs");
        let Some(Packet::SenderReport(read, read_blocks)) = packets.next() else { panic!("a sender report") };
        prop_assert_eq!((read, read_blocks.collect::<Vec<_>>()), (info, blocks));
        prop_assert!(packets.next().is_none());
    }

    #[test]
    fn a_receiver_report(ssrc: u32, blocks in prop::collection::vec(block(), 0..31), name in "[a-z]{1,60}") {
        let mut buffer = [0; REPORT_BYTES_MAX];
        let len = ours::receiver_report(&mut buffer, ssrc, &blocks, &name).expect("room");
        let theirs = ReceiverReport {
            ssrc,
            reports: blocks.iter().map(as_theirs).collect(),
            profile_extensions: Bytes::new(),
        };
        let they_read = read(&buffer[..len]);
        prop_assert_eq!(as_a::<ReceiverReport>(&*they_read[0]), &theirs);
        prop_assert!(has_cname(&*they_read[1], ssrc, &name));

        let bytes = written(theirs);
        let packet = ours::parse(&bytes).expect("we read theirs").next();
        let Some(Packet::ReceiverReport { ssrc: read, blocks: read_blocks }) = packet else { panic!("a report") };
        prop_assert_eq!((read, read_blocks.collect::<Vec<_>>()), (ssrc, blocks));
    }

    #[test]
    fn a_request_for_lost_packets(sender: u32, media: u32, first: u16, steps in prop::collection::vec(1u16..40, 0..60)) {
        let numbers: Vec<u16> = std::iter::once(first)
            .chain(steps.iter().scan(first, |last, step| {
                *last = last.wrapping_add(*step);
                Some(*last)
            }))
            .collect();
        let mut buffer = [0; 512];
        let len = nack(&mut buffer, sender, media, &numbers).expect("room");
        let they_read = read(&buffer[..len]);
        let request: &TransportLayerNack = as_a(&*they_read[0]);
        prop_assert_eq!((request.sender_ssrc, request.media_ssrc), (sender, media));
        let named: Vec<u16> = request.nacks.iter().flat_map(|pair| pair.packet_list()).collect();
        prop_assert_eq!(&named, &numbers);

        let bytes = written(TransportLayerNack {
            sender_ssrc: sender,
            media_ssrc: media,
            nacks: nack_pairs_from_sequence_numbers(&numbers),
        });
        let packet = ours::parse(&bytes).expect("we read theirs").next();
        let Some(Packet::Nack(read)) = packet else { panic!("a request") };
        prop_assert_eq!((read.sender, read.media), (sender, media));
        prop_assert_eq!(read.numbers().collect::<Vec<_>>(), numbers);
    }

    #[test]
    fn a_good_bye(ssrc: u32, more in prop::collection::vec(any::<u32>(), 0..30), reason in "[a-z]{0,20}") {
        let mut buffer = [0; 64];
        let len = bye(&mut buffer, ssrc).expect("room");
        let they_read = read(&buffer[..len]);
        let last: &Goodbye = as_a(&**they_read.last().expect("packets"));
        prop_assert_eq!(&last.sources, &[ssrc]);

        let sources: Vec<u32> = std::iter::once(ssrc).chain(more).collect();
        let bytes = written(Goodbye { sources: sources.clone(), reason: Bytes::from(reason) });
        let packet = ours::parse(&bytes).expect("we read theirs").next();
        let Some(Packet::Bye(read)) = packet else { panic!("a good-bye") };
        prop_assert_eq!(read.sources().collect::<Vec<_>>(), sources);
    }

    #[test]
    fn a_reference_time_and_its_answer(sender: u32, ntp: u64, rest: [u32; 3]) {
        let [ssrc, last_reference, delay] = rest;
        let answer = Delay { ssrc, last_reference, delay };
        let mut buffer = [0; 64];
        let len = reference_time(&mut buffer, sender, ntp).expect("room");
        let they_read = read(&buffer[..len]);
        let report: &ExtendedReport = as_a(&*they_read[0]);
        prop_assert_eq!(report.sender_ssrc, sender);
        let clock = ReceiverReferenceTimeReportBlock { ntp_timestamp: ntp };
        prop_assert_eq!(as_a::<ReceiverReferenceTimeReportBlock>(&*report.reports[0]), &clock);
        let len = reference_answer(&mut buffer, sender, &answer).expect("room");
        let they_read = read(&buffer[..len]);
        let report: &ExtendedReport = as_a(&*they_read[0]);
        let kept = DLRRReportBlock { reports: vec![DLRRReport { ssrc, last_rr: last_reference, dlrr: delay }] };
        prop_assert_eq!(as_a::<DLRRReportBlock>(&*report.reports[0]), &kept);

        let bytes = written(ExtendedReport { sender_ssrc: sender, reports: vec![Box::new(clock), Box::new(kept)] });
        let packet = ours::parse(&bytes).expect("we read theirs").next();
        let Some(Packet::Extended(read)) = packet else { panic!("an extended report") };
        let blocks: Vec<ExtendedBlock<'_>> = read.blocks().collect();
        prop_assert_eq!(&blocks[0], &ExtendedBlock::Reference(ntp));
        let ExtendedBlock::Delays(delays) = &blocks[1] else { panic!("delays") };
        prop_assert_eq!(delays.clone().collect::<Vec<_>>(), [answer]);
    }
}
