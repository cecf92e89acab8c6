//! RTCP, terminated: what a leg reports is taken, what it needs to know is told it; nothing is passed on.
//!
//! Invariant: a cumulative count that we send is truthful. Only `fraction_lost` speaks for the whole path: it is that of
//! the leg's uplink and of its worst listener's downlink together, so that the speaker's FEC covers both.

use super::{Owner, Place, Shard, Slot};
use crate::counters::Reception;
use crate::leg::{Leg, Reference, SenderReport};
use crate::limits::{HEADROOM_BYTES, RESENDS_PER_DATAGRAM_MAX, SECOND};
use crate::rtcp::{self, Block, Blocks, Delay, Extended, ExtendedBlock, Packet, SenderInfo};
use crate::srtp::Refused;

/// Our canonical name (RFC 3550 §6.5.1): one name, for all streams of a leg come from one clock.
const CNAME: &str = "helpline";
/// Who reports when the leg was announced no stream of ours; the number that browsers use then.
const SSRC_WITHOUT_STREAM: u32 = 1;

impl Shard {
    /// One SRTCP packet.
    pub(super) fn rtcp(&mut self, now: u64, owner: Owner, mut slot: Slot<'_>) {
        let totals = &mut self.out.totals;
        let Some(transport) = self.transports.get_mut(owner.transport) else {
            return;
        };
        self.current = Some(transport.leg);
        if transport.inbound.is_none() {
            totals.drop_no_keys += 1;
            return;
        }
        if !transport.may_report(now) {
            totals.drop_rate += 1;
            return;
        }
        let Some(keys) = transport.inbound.as_mut() else { return };
        let len = match keys.open_rtcp(slot.packet()) {
            Ok(len) => len,
            Err(refused) => {
                match refused {
                    Refused::Replayed | Refused::TooOld => totals.drop_replayed += 1,
                    Refused::NotAuthentic => totals.drop_unauthentic += 1,
                    Refused::TooManyStreams => totals.drop_ssrc_limit += 1,
                    Refused::Malformed | Refused::NotEncrypted | Refused::NoRoom | Refused::Index => {
                        totals.drop_malformed += 1;
                    }
                }
                return;
            }
        };
        totals.rtcp_opened += 1;
        transport.ice.heard(now, owner.known(), false);
        let ssrc = transport.ssrc();
        let ntp = self.config.ntp(now);
        let leg = transport.leg;
        match rtcp::parse(&slot.packet()[..len]) {
            Ok(compound) => {
                let mut resends = RESENDS_PER_DATAGRAM_MAX;
                for packet in compound {
                    if let Packet::Nack(nack) = &packet {
                        self.resend(now, owner.transport, nack, &mut resends);
                    } else if let Some(leg) = self.legs.get_mut(leg) {
                        take(leg, packet, ssrc, now, ntp);
                    }
                }
            }
            Err(_) => totals.drop_inside += 1,
        }
        self.heard(now, owner.transport);
    }

    /// Sends a leg its reports and arms the next ones.
    pub(super) fn report(&mut self, now: u64, place: u32) {
        self.current = Some(place);
        let worst = self.worst_downlink_of_listeners(now, place);
        let Some(leg) = self.legs.get_mut(place) else { return };
        #[cfg(feature = "faults")]
        self.fault.meet(leg.id);
        let transport = leg.transport.and_then(|place| self.transports.get_mut(place));
        let mut said = 0;
        if let Some(transport) = transport {
            let reception = leg.up.report();
            said = reception.map_or(0, |reception| of_both(reception.fraction_lost, worst));
            let block = reception
                .zip(transport.ssrc())
                .map(|(reception, ssrc)| block(leg, reception, ssrc, said, now));
            let ntp = self.config.ntp(now);
            if let (Some(to), Some(keys), Some((number, buffer))) = (
                transport.ice.destination(),
                transport.outbound.as_mut(),
                self.out.scratch(),
            ) {
                let body = &mut buffer[HEADROOM_BYTES..];
                let len = write(leg, body, block.as_slice(), now, ntp);
                if let Some(len) = len.and_then(|len| keys.seal_rtcp(body, len).ok()) {
                    self.out.send(to, Place::Arena(number), len);
                    self.out.totals.rtcp_sent += 1;
                    leg.reference = None;
                }
            }
        }
        let next = leg.next_report(now, said);
        self.arm_report(place, next);
    }

    /// The largest loss on the way to a present listener of this leg, 1/256.
    fn worst_downlink_of_listeners(&self, now: u64, place: u32) -> u8 {
        let Some(leg) = self.legs.get(place) else { return 0 };
        let Some(room) = self.rooms.get(leg.room) else { return 0 };
        let sinks = room.edges.sinks(leg.seat());
        let listeners = room.seats.iter().enumerate().filter(|(seat, _)| sinks >> seat & 1 == 1);
        let legs = listeners.filter_map(|(_, sitting)| self.legs.get(sitting.as_ref()?.leg));
        legs.map(|leg| leg.down.fraction_lost(now)).max().unwrap_or(0)
    }
}

impl super::Config {
    /// NTP time at `now` nanoseconds of the shard's clock.
    fn ntp(&self, now: u64) -> u64 {
        let fraction = ((now % SECOND) << 32) / SECOND;
        self.ntp_at_zero.wrapping_add((now / SECOND) << 32 | fraction)
    }
}

/// The share that is lost on two ways, one behind the other, 1/256.
fn of_both(first: u8, second: u8) -> u8 {
    let (first, second) = (u32::from(first), u32::from(second));
    (first + second - first * second / 256).min(255) as u8
}

/// Takes one packet of a leg's compound. `ssrc`: the leg's own stream, if it speaks.
fn take(leg: &mut Leg, packet: Packet<'_>, ssrc: Option<u32>, now: u64, ntp: u64) {
    match packet {
        Packet::SenderReport(info, blocks) => {
            if ssrc.is_none_or(|ssrc| ssrc == info.ssrc) {
                leg.sender_report = Some(SenderReport {
                    middle: rtcp::middle(info.ntp),
                    at: now,
                });
            }
            take_blocks(leg, blocks, now, ntp);
        }
        Packet::ReceiverReport { blocks, .. } => take_blocks(leg, blocks, now, ntp),
        Packet::Extended(report) => take_extended(leg, report, now, ntp),
        // A stream's end is no leg's end: that comes by signalling, close_notify or silence. A NACK is answered before.
        Packet::Bye(_) | Packet::Nack(_) | Packet::Other(_) => {}
    }
}

/// The round trip of a leg that gets nothing from us, and of one that sends us nothing (RFC 3611 §4.4, §4.5).
fn take_extended(leg: &mut Leg, report: Extended<'_>, now: u64, ntp: u64) {
    for block in report.blocks() {
        match block {
            ExtendedBlock::Reference(time) => {
                leg.reference = Some(Reference {
                    ssrc: report.sender,
                    middle: rtcp::middle(time),
                    at: now,
                });
            }
            ExtendedBlock::Delays(delays) => {
                let ours = reporter(leg);
                for delay in delays.filter(|delay| delay.ssrc == ours) {
                    let block = Block {
                        last_sr: delay.last_reference,
                        delay_since_sr: delay.delay,
                        ..Block::default()
                    };
                    if let Some(rtt_us) = rtcp::round_trip_us(ntp, &block) {
                        leg.down.round_trip(now, rtt_us);
                    }
                }
            }
            // What a leg hears is known from its report blocks, which every client sends: VoIP metrics add nothing.
            ExtendedBlock::Other(_) => {}
        }
    }
}

fn take_blocks(leg: &mut Leg, blocks: Blocks<'_>, now: u64, ntp: u64) {
    for block in blocks {
        let mut slots = (0..)
            .zip(&leg.slots)
            .filter_map(|(place, slot)| Some((place, slot.as_ref()?)));
        let Some((place, slot)) = slots.find(|(_, slot)| slot.ssrc == block.ssrc) else {
            continue;
        };
        let sent = slot.sent_up_to(block.highest);
        let reception = Reception {
            fraction_lost: block.fraction_lost,
            cumulative_lost: block.cumulative_lost,
            highest: block.highest,
            jitter: block.jitter,
        };
        leg.down.reported(now, place, reception, sent);
        if let Some(rtt_us) = rtcp::round_trip_us(ntp, &block) {
            leg.down.round_trip(now, rtt_us);
        }
    }
}

/// The block about the leg's uplink.
fn block(leg: &Leg, reception: Reception, ssrc: u32, fraction_lost: u8, now: u64) -> Block {
    Block {
        ssrc,
        fraction_lost,
        cumulative_lost: reception.cumulative_lost,
        highest: reception.highest,
        jitter: reception.jitter,
        last_sr: leg.sender_report.map_or(0, |report| report.middle),
        delay_since_sr: leg.sender_report.map_or(0, |report| units_since(report.at, now)),
    }
}

/// Time since `at` in 1/65,536 s.
fn units_since(at: u64, now: u64) -> u32 {
    (u128::from(now.saturating_sub(at)) * 65_536 / u128::from(SECOND)) as u32
}

/// The SSRC under which we speak of a leg's streams, and not in one of ours.
fn reporter(leg: &Leg) -> u32 {
    let first = leg.slots.iter().flatten().next();
    first.map_or(SSRC_WITHOUT_STREAM, |slot| slot.ssrc)
}

/// Writes a compound that asks for packets of the stream `media`: feedback goes behind a report (RFC 4585 §3.1).
pub(super) fn write_nack(leg: &Leg, body: &mut [u8], media: u32, numbers: &[u16]) -> Option<usize> {
    let len = rtcp::receiver_report(body, reporter(leg), &[], CNAME).ok()?;
    Some(len + rtcp::nack(body.get_mut(len..)?, reporter(leg), media, numbers).ok()?)
}

/// Writes the compound: a sender report per slot that has sent, the uplink's block in the first; or a receiver
/// report. Behind it what round trips need: our clock if no sender report carries it, and the answer to the peer's.
fn write(leg: &Leg, body: &mut [u8], blocks: &[Block], now: u64, ntp: u64) -> Option<usize> {
    let mut len = 0;
    let mut blocks_left = blocks;
    for slot in leg.slots.iter().flatten() {
        let Some(rtp) = slot.timestamp_at(now) else { continue };
        let (packets, octets) = (slot.packets as u32, slot.octets as u32);
        let info = SenderInfo {
            ssrc: slot.ssrc,
            ntp,
            rtp,
            packets,
            octets,
        };
        len += rtcp::sender_report(body.get_mut(len..)?, &info, blocks_left, CNAME).ok()?;
        blocks_left = &[];
    }
    if len == 0 {
        len = rtcp::receiver_report(body, reporter(leg), blocks, CNAME).ok()?;
        len += rtcp::reference_time(body.get_mut(len..)?, reporter(leg), ntp).ok()?;
    }
    if let Some(reference) = leg.reference {
        let answer = Delay {
            ssrc: reference.ssrc,
            last_reference: reference.middle,
            delay: units_since(reference.at, now),
        };
        len += rtcp::reference_answer(body.get_mut(len..)?, reporter(leg), &answer).ok()?;
    }
    Some(len)
}
