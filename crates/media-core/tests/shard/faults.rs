//! What comes in and must not count: forged, repeated, too much, unexpected. And defects of our own.

use std::panic::{AssertUnwindSafe, catch_unwind};

use media_core::TapId;
use media_core::event::Cause;
use media_core::limits::{
    DATAGRAM_BYTES_MAX, DTLS_DATAGRAMS_MAX, HEADROOM_BYTES, MS, RTCP_PER_S_MAX, SECOND, SLOT_BYTES,
    UPLINK_BURST_PACKETS_MAX,
};
use media_core::matrix::{Announce, Part, Shield, Stance, Tap};
use media_core::origin::Local;
use media_core::shard::{Job, Slot};
use media_core::srtp::STREAMS_MAX;
use media_core::tap::{Record, TapSink};
use testkit::bed::{Bed, Client, FRAME};

use crate::{Call, down};

#[test]
fn every_way_to_be_dropped_has_its_counter() {
    let mut call = Call::new();
    assert!(call.customer_is_heard());
    let from = call.customer.address;
    let stranger = "203.0.113.5:1".parse().unwrap();
    let good = call.customer.speak(b"good");
    let mut forged = good.clone();
    forged[21] ^= 1;
    let drop = |call: &mut Call, from, bytes: &[u8]| {
        let before = *call.bed.shard.totals();
        assert!(call.bed.datagram(from, bytes).is_empty());
        (before, *call.bed.shard.totals())
    };
    let (before, after) = drop(&mut call, stranger, &good);
    assert_eq!(after.drop_unknown_source - before.drop_unknown_source, 1);
    let (before, after) = drop(&mut call, from, &forged);
    assert_eq!(after.drop_unauthentic - before.drop_unauthentic, 1);
    let sent = call.bed.datagram(from, &good);
    assert_eq!(
        call.agent.open_all(&sent).len(),
        1,
        "what was forged before is good when it comes itself"
    );
    let (before, after) = drop(&mut call, from, &good);
    assert_eq!(after.drop_replayed - before.drop_replayed, 1);
    let (before, after) = drop(&mut call, from, &good[..20]);
    assert_eq!(after.drop_malformed - before.drop_malformed, 1);
    let (before, after) = drop(&mut call, from, &[]);
    assert_eq!(after.drop_size - before.drop_size, 1);
    let (before, after) = drop(&mut call, from, &[100, 0, 0]);
    assert_eq!(after.drop_protocol - before.drop_protocol, 1);
    let unknown = call.customer.packet(77, b"?");
    call.customer.index += 1;
    let (before, after) = drop(&mut call, from, &unknown);
    assert_eq!(after.drop_payload_type - before.drop_payload_type, 1);
    let (before, after) = drop(&mut call, from, &[0x80, 201, 0, 1, 0, 0, 0, 0, 0x80, 0, 0, 1]);
    assert_eq!(after.drop_malformed - before.drop_malformed, 1, "too short for its tag");
    let totals = call.bed.shard.totals();
    assert_eq!(totals.accounted(), totals.datagrams);
    assert!(call.customer_is_heard());
}

#[test]
fn datagrams_are_taken_up_to_their_size_limit_and_not_beyond() {
    let mut call = Call::new();
    call.bed.advance(SECOND);
    let overhead = call.customer.packet(call.customer.numbers.opus, &[]).len();
    call.customer.index += 1;
    let largest = call.customer.speak(&vec![1; DATAGRAM_BYTES_MAX - overhead]);
    assert_eq!(largest.len(), DATAGRAM_BYTES_MAX);
    let sent = call.bed.datagram(call.customer.address, &largest);
    assert_eq!(call.agent.open_all(&sent).len(), 1);
    let larger = call.customer.speak(&vec![1; DATAGRAM_BYTES_MAX - overhead + 1]);
    assert!(call.bed.datagram(call.customer.address, &larger).is_empty());
    assert_eq!(call.bed.shard.totals().drop_size, 1);
}

#[test]
fn the_uplink_has_a_rate_and_the_packet_after_it_is_dropped() {
    let mut call = Call::new();
    for _ in 0..UPLINK_BURST_PACKETS_MAX {
        assert!(call.customer_is_heard());
    }
    assert!(!call.customer_is_heard());
    assert_eq!(call.bed.shard.totals().drop_rate, 1);
    call.bed.now += 5 * MS;
    assert!(call.customer_is_heard(), "200 a second: the next one after 5 ms");
}

#[test]
fn reports_have_a_rate() {
    let mut call = Call::new();
    for _ in 0..=RTCP_PER_S_MAX {
        let report = call.agent.report(0, 0);
        call.bed.datagram(call.agent.address, &report);
    }
    let totals = call.bed.shard.totals();
    assert_eq!((totals.rtcp_opened, totals.drop_rate), (u64::from(RTCP_PER_S_MAX), 1));
}

#[test]
fn a_transport_may_bring_eight_sources_and_no_ninth_and_one_speaks_at_a_time() {
    let mut call = Call::new();
    for source in 0..STREAMS_MAX {
        call.bed.now += 60 * MS;
        call.customer.numbers.ssrc = 10 + source as u32;
        assert!(call.customer_is_heard(), "source {source} follows 60 ms of silence");
    }
    call.bed.now += 60 * MS;
    call.customer.numbers.ssrc = 99;
    assert!(!call.customer_is_heard());
    assert_eq!(call.bed.shard.totals().drop_ssrc_limit, 1);
    call.customer.numbers.ssrc = 10;
    assert!(call.customer_is_heard(), "a known source may come back");
    call.customer.numbers.ssrc = 11;
    assert!(!call.customer_is_heard(), "but not while another speaks");
    assert_eq!(call.bed.shard.totals().drop_second_ssrc, 1);
}

#[test]
fn what_is_authentic_and_broken_inside_is_dropped_and_harms_nobody() {
    let mut call = Call::new();
    let mut padded = vec![0xA0, call.customer.numbers.opus];
    padded.extend_from_slice(&(call.customer.index as u16).to_be_bytes());
    padded.extend_from_slice(&[0, 0, 0, 0]);
    padded.extend_from_slice(&call.customer.numbers.ssrc.to_be_bytes());
    padded.extend_from_slice(&[1, 2, 200]);
    let packet = call.customer.seal(padded);
    call.customer.index += 1;
    assert!(call.bed.datagram(call.customer.address, &packet).is_empty());
    let compound = call.customer.seal_rtcp(&[0x81, 201, 0, 1, 0, 0, 0, 9]);
    call.bed.datagram(call.customer.address, &compound);
    let totals = call.bed.shard.totals();
    assert_eq!(totals.drop_inside, 2);
    assert_eq!(totals.accounted(), totals.datagrams);
    assert!(call.customer_is_heard());
}

#[test]
fn handshake_datagrams_go_to_the_helper_up_to_their_limit() {
    let mut bed = Bed::default();
    let mut client = Client::new(1, Part::Customer);
    bed.add(testkit::bed::ROOM, &client).unwrap();
    bed.datagram(client.address, &[22, 1]);
    assert_eq!(bed.shard.totals().drop_unknown_source, 1, "no check, no handshake");
    assert!(bed.shard.poll_job().is_none());
    bed.check(&mut client);
    for _ in 0..=DTLS_DATAGRAMS_MAX {
        bed.datagram(client.address, &[22, 1]);
    }
    let totals = bed.shard.totals();
    assert_eq!(
        (totals.dtls_passed, totals.drop_dtls_limit),
        (u64::from(DTLS_DATAGRAMS_MAX), 1)
    );
    assert_eq!(totals.accounted(), totals.datagrams);
    let Some(Job::Start {
        transport,
        fingerprint,
        certificate,
    }) = bed.shard.poll_job()
    else {
        panic!("the association comes first")
    };
    assert_eq!((transport, fingerprint), (client.transport, [1; 32]));
    assert_eq!(certificate.fingerprint(), testkit::bed::certificate().fingerprint());
    let mut jobs = 0;
    while let Some(job) = bed.shard.poll_job() {
        assert!(matches!(job, Job::Datagram { transport, .. } if transport == client.transport));
        jobs += 1;
    }
    assert_eq!(jobs, DTLS_DATAGRAMS_MAX);
}

/// A tap with a defect: it panics at a record of one leg.
struct Broken(TapId);

impl TapSink for Broken {
    fn push(&mut self, record: Record<'_>) -> bool {
        assert!(record.leg != self.0, "the defect that this test wants");
        true
    }
}

#[test]
fn a_defect_ends_the_leg_it_struck_and_no_other_loses_a_packet() {
    let mut calls: Vec<(Client, Client)> = Vec::new();
    let mut bed = Bed::default();
    for number in 0..20u16 {
        let (mut customer, mut agent) = (
            Client::new(2 * number, Part::Customer),
            Client::new(2 * number + 1, Part::Agent),
        );
        let room = media_core::RoomId(u128::from(number));
        for client in [&mut customer, &mut agent] {
            bed.add(room, client).unwrap();
            bed.check(client);
            bed.establish(client).unwrap();
        }
        let stances = [&customer, &agent].map(|client| (client.leg, Stance::Talk)).to_vec();
        let plan = media_core::matrix::Plan {
            room,
            epoch: 1,
            stances,
            tap: Tap::On,
            announce: Announce::Nobody,
            shield: Shield::Off,
        };
        bed.shard
            .command(bed.now, media_core::command::Command::Plan(Box::new(plan)))
            .unwrap();
        assert_eq!(bed.say(&mut agent, b"live", &mut customer).len(), 1);
        calls.push((customer, agent));
    }
    bed.events();
    let struck = 7usize;
    let mut tap = Broken(calls[struck].0.tap);
    let mut buffer = vec![0u8; SLOT_BYTES];
    let mut panics = 0;
    for _ in 0..50 {
        bed.now += FRAME;
        for (number, (customer, agent)) in calls.iter_mut().enumerate() {
            let packet = customer.speak(b"hello");
            buffer[HEADROOM_BYTES..HEADROOM_BYTES + packet.len()].copy_from_slice(&packet);
            let (now, from, len) = (bed.now, customer.address, packet.len());
            let contained = catch_unwind(AssertUnwindSafe(|| {
                let slot = Slot {
                    index: 0,
                    buffer: &mut buffer,
                    len,
                };
                bed.shard.datagram(now, from.into(), slot, &mut tap);
            }));
            if contained.is_err() {
                panics += 1;
                assert_eq!(bed.shard.remove_after_panic(now), Some(customer.leg));
            }
            let sent: Vec<_> = bed
                .shard
                .transmissions()
                .iter()
                .map(|transmission| testkit::bed::Sent {
                    to: transmission.to.wire().expect("nobody is behind the relay").remote(),
                    path: None,
                    from: Local::UNNAMED,
                    bytes: bed.shard.bytes(transmission, &buffer).to_vec(),
                })
                .collect();
            bed.shard.flushed();
            let heard = agent.open_all(&sent).len();
            assert_eq!(heard, usize::from(number != struck), "call {number}");
        }
    }
    assert_eq!((panics, bed.shard.totals().panics), (1, 1));
    assert_eq!(down(&bed.events(), calls[struck].0.leg), Some(Cause::Panic));
    assert_eq!(
        (
            bed.shard.legs(),
            bed.shard.tables().addresses,
            bed.shard.tables().ufrags
        ),
        (39, 39, 39)
    );
    assert_eq!(
        bed.shard.remove_after_panic(bed.now),
        None,
        "between datagrams nobody is being worked on"
    );
    let (customer, agent) = &mut calls[struck];
    assert_eq!(bed.say(agent, b"alone", customer).len(), 0);
    assert_eq!(bed.shard.totals().rtp_unheard, 1, "the agent's leg lives on alone");
}
