//! Loss and its repair, packet by packet: what is sent again.

use media_core::command::Command;
use media_core::limits::{RESENDS_PER_DATAGRAM_MAX, RESENDS_PER_PACKET_MAX, RING_CELL_BYTES, RING_PACKETS_MAX};
use media_core::matrix::{Part, Stance, Tap};
use media_core::rtcp;
use testkit::bed::{Bed, Client, FRAME, Sent};

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
