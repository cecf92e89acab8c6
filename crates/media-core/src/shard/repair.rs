//! Loss repair: sending again what a listener misses, asking for what a speaker's packets miss, and taking out of
//! redundant audio what did not come itself.
//!
//! Never allocates but for a leg's first gap, never sweeps: a gap arms its leg's timer, and nothing else looks at it.
//!
//! Invariant: what is sent again is what was sent before, bit for bit, and only while its listener may hear its source.

use super::{Place, Shard};
use crate::counters::Totals;
use crate::leg::Leg;
use crate::limits::{HEADROOM_BYTES, MISSING_MAX};
use crate::missing::{Late, Missing};
use crate::red;
use crate::ring::Refused;
use crate::rtcp::{self, Nack};
use crate::rtp::{FIXED_BYTES, Header};
use crate::tap::{Flags, LEVEL_UNKNOWN, Record, TapSink};
use crate::transport::Media;

/// The padding bit of an RTP header's first byte.
const PADDED: u8 = 0x20;

/// One opened packet of redundant audio.
#[derive(Clone, Copy)]
pub(super) struct Bundle<'p> {
    pub(super) header: Header,
    pub(super) index: u64,
    /// The plain packet, padding removed.
    pub(super) plain: &'p [u8],
    pub(super) primary: red::Primary,
    /// The room's tap takes this leg now.
    pub(super) tapped: bool,
    /// The packet's own audio is given to the tap too.
    pub(super) own: bool,
}

/// Looks at the numbers of a packet before it is counted: a gap before it is noted, and a packet behind the newest is
/// named. Also says when the leg's timer must fire, if that changed.
#[inline]
pub(super) fn notice(
    now: u64,
    leg: &mut Leg,
    media: &Media,
    index: u64,
    timestamp: u32,
) -> (Option<Late>, Option<u64>) {
    let Some(highest) = leg.up.highest() else {
        return (None, None);
    };
    if index < highest {
        let late = leg
            .missing
            .as_mut()
            .map_or(Late::Unasked, |missing| missing.came(index));
        return (Some(late), None);
    }
    // A leap within one stream is a new numbering of its sender: nothing between was ever sent.
    if index == highest + 1 || !(media.nack || media.red().is_some()) || leg.up.leaps(timestamp) {
        return (None, None);
    }
    let wait = Missing::wait(leg.down.rtt_us(now));
    let after = leg.up.newest_timestamp();
    let missing = leg.missing.get_or_insert_with(|| Missing::new(media.nack));
    missing.note(now, highest + 1, index, after, wait);
    (None, missing.due())
}

impl Shard {
    /// Sends a listener again what it misses, as far as it is kept and within limits. `left`: packets that may still be
    /// sent again for this datagram.
    pub(super) fn resend(&mut self, now: u64, place: u32, nack: &Nack<'_>, left: &mut usize) {
        let Some(transport) = self.transports.get_mut(place) else {
            return;
        };
        let Some(leg) = self.legs.get_mut(transport.leg) else {
            return;
        };
        if !transport.media.nack || leg.transport != Some(place) {
            return;
        }
        let slot = leg.slots.iter_mut().flatten().find(|slot| slot.ssrc == nack.media);
        let (Some(to), Some(slot)) = (transport.destination(), slot) else {
            return;
        };
        for number in nack.numbers() {
            self.out.totals.nacks_received += 1;
            let sealed = match slot.find_sent(number) {
                Ok(sealed) => sealed,
                Err(Refused::Missed) => {
                    self.out.totals.nacks_missed += 1;
                    continue;
                }
                Err(Refused::Enough) => {
                    self.out.totals.nacks_limited += 1;
                    continue;
                }
            };
            let within = *left > 0 && transport.may_resend(now, sealed.len());
            let Some((number_of_buffer, buffer)) = self.out.scratch().filter(|_| within) else {
                self.out.totals.nacks_limited += 1;
                continue;
            };
            let len = sealed.len();
            buffer[HEADROOM_BYTES..HEADROOM_BYTES + len].copy_from_slice(sealed);
            self.out.send(to, Place::Arena(number_of_buffer), len);
            self.out.totals.nacks_answered += 1;
            slot.sent_again(number);
            *left -= 1;
        }
    }

    /// Asks a speaker for what is missing and due, and arms the timer for what comes next.
    pub(super) fn ask(&mut self, now: u64, place: u32) {
        self.current = Some(place);
        let Some(leg) = self.legs.get_mut(place) else { return };
        let wait = Missing::wait(leg.down.rtt_us(now));
        let Some(missing) = &mut leg.missing else { return };
        let mut numbers = [0; MISSING_MAX];
        let count = missing.ask(now, wait, &mut numbers);
        let due = missing.due();
        if let Some(due) = due {
            self.arm_missing(place, due);
        }
        if count > 0 {
            self.send_nack(place, &numbers[..count]);
        }
    }

    fn send_nack(&mut self, place: u32, numbers: &[u16]) {
        let Some(leg) = self.legs.get(place) else { return };
        let Some(transport) = leg.transport.and_then(|place| self.transports.get_mut(place)) else {
            return;
        };
        let (Some(to), Some(media)) = (transport.destination(), transport.ssrc()) else {
            return;
        };
        let (Some(keys), Some((number, buffer))) = (transport.outbound.as_mut(), self.out.scratch()) else {
            return;
        };
        let body = &mut buffer[HEADROOM_BYTES..];
        if let Some(len) = super::reports::write_nack(leg, body, media, numbers)
            && let Ok(len) = keys.seal_rtcp(body, len)
        {
            self.out.send(to, Place::Arena(number), len);
            self.out.totals.rtcp_sent += 1;
            self.out.totals.nacks_sent += 1;
        }
    }

    /// Redundant audio: what its blocks hold of missing packets goes to the tap, marked, and then its own audio, each
    /// as a plain packet.
    pub(super) fn unpack(&mut self, place: u32, bundle: Bundle<'_>, record: Record<'_>, tap: &mut dyn TapSink) {
        let Bundle { header, plain, .. } = bundle;
        let (Some(leg), Some((_, buffer, totals))) = (self.legs.get_mut(place), self.out.scratch_and_totals()) else {
            return;
        };
        let payload = plain.get(header.len..).unwrap_or_default();
        let mut give = |totals: &mut Totals, head: &[u8], sound: &[u8], record: Record<'_>| {
            let Some(packet) = buffer.get_mut(..head.len() + sound.len()) else {
                return;
            };
            packet[..head.len()].copy_from_slice(head);
            packet[head.len()..].copy_from_slice(sound);
            // The sound ends the packet, and both kinds are of the primary block's type.
            packet[0] &= !PADDED;
            packet[1] = packet[1] & 0x80 | bundle.primary.payload_type;
            totals.give(tap, Record { packet, ..record });
        };
        for block in red::redundant(payload) {
            let sound = payload.get(block.at..block.at + block.len).unwrap_or_default();
            let Some(index) = bundle.index.checked_sub(block.back) else {
                continue;
            };
            if sound.is_empty() || block.offset == 0 || block.payload_type != bundle.primary.payload_type {
                continue;
            }
            let timestamp = header.timestamp.wrapping_sub(block.offset);
            if !leg
                .missing
                .as_mut()
                .is_some_and(|missing| missing.rebuild(index, timestamp))
            {
                continue;
            }
            leg.up.count_rebuilt(index);
            totals.repaired_red += 1;
            if bundle.tapped && index >= leg.tap_from {
                let record = Record {
                    ext_seq: index as u32,
                    flags: Flags::RED,
                    level: LEVEL_UNKNOWN,
                    ..record
                };
                give(totals, &head(index as u16, timestamp, header.ssrc), sound, record);
            }
        }
        if bundle.own {
            let head = plain.get(..header.len).unwrap_or_default();
            give(
                totals,
                head,
                payload.get(bundle.primary.at..).unwrap_or_default(),
                record,
            );
        }
    }

    /// Where the tap of each seat begins, whenever who hears whom, or the tap, may have changed: what is older and comes
    /// late, asked for or not, belongs to a time that nobody recorded.
    pub(super) fn mark_tapped(&mut self, place: u32) {
        let Some(room) = self.rooms.get(place) else { return };
        for (seat, sitting) in room.seats.iter().enumerate() {
            let Some(leg) = sitting.and_then(|sitting| self.legs.get_mut(sitting.leg)) else {
                continue;
            };
            let tapped = room.tapped(seat);
            if tapped && !leg.tapped {
                leg.tap_from = leg.up.highest().map_or(0, |highest| highest + 1);
            }
            leg.tapped = tapped;
        }
    }
}

/// A plain header without extension; the payload type is written by who knows it.
fn head(sequence: u16, timestamp: u32, ssrc: u32) -> [u8; FIXED_BYTES] {
    let mut head = [0; FIXED_BYTES];
    head[0] = 0x80;
    head[2..4].copy_from_slice(&sequence.to_be_bytes());
    head[4..8].copy_from_slice(&timestamp.to_be_bytes());
    head[8..].copy_from_slice(&ssrc.to_be_bytes());
    head
}

const _: () = assert!(rtcp::REPORT_BYTES_MAX + 12 + 4 * MISSING_MAX < crate::limits::PACKET_BYTES);
