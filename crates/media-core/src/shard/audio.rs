//! The packet path: open, judge, count, tap, and to every listener rewrite, seal, send.
//!
//! Never allocates, never waits. The tap comes before any decision about forwarding. Telephone events go to no tap, and
//! with the shield of the room's plan to nobody at all; the listeners' numbers go on as if they had not been.
//!
//! Invariant: a packet that was not authenticated changes nothing but a drop counter and the duplicate count.

use super::repair::{self, Bundle};
use super::{Owner, Place, Shard, Slot};
use crate::counters::{Arrival, DTX_BYTES_MAX, Totals};
use crate::event::Kind;
use crate::leg::{Leg, State};
use crate::limits::{self, HEADROOM_BYTES, LEGS_PER_ROOM_MAX, REPAIR_LIVE_SAMPLES_MAX};
use crate::missing::Late;
use crate::opus;
use crate::origin::Destination;
use crate::red::{self, Primary};
use crate::room::{NO_SLOT, Room};
use crate::rtp::{self, EXTENSION_IDS};
use crate::slot::Source;
use crate::srtp::{Opened, Refused};
use crate::tap::{Flags, LEVEL_UNKNOWN, Record, TapSink};
use crate::transport::{Ahead, Latch, Payload, Transport};

/// One opened packet, as far as forwarding needs it. The bytes stay in the slot buffer.
struct Packet {
    opened: Opened,
    payload: Payload,
    /// Bytes of the payload, padding removed.
    payload_bytes: usize,
    /// For RED: where the primary block is.
    primary: Option<Primary>,
    source: Source,
    /// The source's extension id of the audio level.
    audio_level: Option<u8>,
    /// It holds the sound of the packet before it once more (in-band FEC), and its leg agreed on that.
    mends: bool,
}

impl Shard {
    /// One SRTP packet.
    pub(super) fn rtp(&mut self, now: u64, owner: Owner, mut slot: Slot<'_>, tap: &mut dyn TapSink) {
        let Some(transport) = self.transports.get_mut(owner.transport) else {
            return;
        };
        self.current = Some(transport.leg);
        let Some(leg) = self.legs.get_mut(transport.leg) else {
            return;
        };
        #[cfg(feature = "faults")]
        self.fault.meet(leg.id);
        let Some(opened) = open(now, transport, leg, &mut self.out.totals, &mut slot) else {
            return;
        };
        let newest = leg.up.highest().is_none_or(|highest| opened.index > highest);
        if transport.ice.heard(now, owner.known(), newest) {
            self.out.totals.migrations_reverted += 1;
        }
        transport.heard_at = now;
        let Some(packet) = judge(now, transport, leg, &mut self.out.totals, &mut slot, opened) else {
            return;
        };
        let (seat, room, place, state) = (leg.seat(), leg.room, transport.leg, leg.state);
        let first = leg.rtp_at == 0;
        leg.rtp_at = now;
        let resumed = std::mem::take(&mut leg.stalled);
        let (header, index) = (packet.opened.header, packet.opened.index);
        let (late, due) = repair::notice(now, leg, &transport.media, index, header.timestamp);
        let record = describe(now, leg, &packet, late, &mut slot);
        let too_late = late == Some(Late::Asked) && leg.up.behind(header.timestamp) >= REPAIR_LIVE_SAMPLES_MAX;
        let belongs = late.is_none_or(|late| late != Late::Rebuilt && index >= leg.tap_from);
        self.foresee_more();
        if let Some(due) = due {
            self.arm_missing(place, due);
        }
        if first || resumed || state == State::Away {
            self.first_or_back(now, owner.transport, first, resumed);
        }
        let tapped = packet.payload != Payload::Dtmf && self.rooms.get(room).is_some_and(|room| room.tapped(seat));
        let plain = &slot.packet()[..packet.opened.len];
        if packet.payload == Payload::Dtmf {
            let event = &plain[header.len..header.len + packet.payload_bytes];
            self.pressed(now, place, header.timestamp, header.marker, event);
        }
        if let Some(primary) = packet.primary {
            let bundle = Bundle {
                header,
                index,
                plain: &plain[..header.len + packet.payload_bytes],
                primary,
                tapped,
                own: tapped && belongs,
            };
            self.unpack(place, bundle, record, tap);
        } else if tapped && belongs {
            self.out.totals.give(
                tap,
                Record {
                    packet: plain,
                    ..record
                },
            );
        }
        if late == Some(Late::Asked) {
            self.out.totals.repaired_rtx += 1;
        }
        let shielded = || self.rooms.get(room).is_some_and(Room::shields);
        if packet.payload == Payload::Dtmf && shielded() {
            self.withhold(place, &packet);
        } else if too_late {
            self.out.totals.repaired_late += 1;
        } else {
            self.forward(now, owner.transport, place, &packet, slot);
        }
    }

    /// The rare branch of the packet path: the leg's first audio, or its first after being away or after its microphone
    /// was reported dead.
    #[cold]
    fn first_or_back(&mut self, now: u64, transport: u32, first: bool, resumed: bool) {
        self.heard(now, transport);
        let leg = self
            .transports
            .get(transport)
            .and_then(|transport| self.legs.get(transport.leg));
        let Some((room, id)) = leg.map(|leg| (leg.room, leg.id)) else {
            return;
        };
        if first {
            self.event(now, room, Kind::FirstRtp { leg: id });
            self.check_live(now, room);
        }
        if resumed {
            self.event(now, room, Kind::UplinkResumed { leg: id });
        }
    }

    /// The rare branch for telephone events: tells of a key that was pressed.
    #[cold]
    fn pressed(&mut self, now: u64, place: u32, timestamp: u32, marker: bool, payload: &[u8]) {
        let Some(leg) = self.legs.get_mut(place) else { return };
        if leg.keys.press(now, timestamp, marker, payload) {
            let (room, leg) = (leg.room, leg.id);
            self.event(now, room, Kind::Dtmf { leg });
        }
    }

    /// The rare branch of the shield: nobody gets the packet, and nobody sees that there was one.
    #[cold]
    fn withhold(&mut self, from: u32, packet: &Packet) {
        self.out.totals.drop_shielded += 1;
        let Some((seat, room)) = self.legs.get(from).map(|leg| (leg.seat(), leg.room)) else {
            return;
        };
        let Some(room) = self.rooms.get(room) else { return };
        for (sink, route) in room.routes[seat].iter().enumerate() {
            let leg = room.seats[sink].and_then(|sitting| self.legs.get_mut(sitting.leg));
            let slot = leg.and_then(|leg| leg.slots.get_mut(usize::from(*route))?.as_mut());
            if let Some(slot) = slot {
                slot.pass_over(packet.source, packet.opened.index);
            }
        }
    }

    /// Sends the packet to everybody who hears its leg: copies for all but the last, who gets the slot buffer itself.
    fn forward(&mut self, now: u64, way_in: u32, from: u32, packet: &Packet, mut slot: Slot<'_>) {
        let Some((seat, place)) = self.legs.get(from).map(|leg| (leg.seat(), leg.room)) else {
            return;
        };
        let Some(room) = self.rooms.get(place) else { return };
        let mut sinks = room.edges.sinks(seat);
        if sinks == 0 {
            self.out.totals.rtp_unheard += 1;
            return;
        }
        let mut ready = [(0u32, 0u32, 0u8); LEGS_PER_ROOM_MAX];
        let mut count = 0;
        let mut ahead = None;
        while sinks != 0 {
            let sink = sinks.trailing_zeros() as usize;
            sinks &= sinks - 1;
            let route = room.routes[seat][sink];
            if route == NO_SLOT {
                self.out.totals.drop_no_slot += 1;
                continue;
            }
            let leg = room.leg_at(sink);
            let transport = leg.and_then(|leg| self.legs.get(leg)).and_then(|leg| leg.transport);
            if let (Some(leg), Some(transport)) = (leg, transport) {
                ready[count] = (leg, transport, route);
                count += 1;
                ahead.get_or_insert(Ahead {
                    room: place,
                    sink: leg,
                    way_out: transport,
                });
            }
        }
        if let (Some(ahead), Some(transport)) = (ahead, self.transports.get_mut(way_in)) {
            transport.ahead = ahead;
        }
        for (turn, &(leg, transport, route)) in ready[..count].iter().enumerate() {
            let (Some(leg), Some(transport)) = (self.legs.get_mut(leg), self.transports.get_mut(transport)) else {
                continue;
            };
            if turn + 1 == count {
                let index = slot.index;
                if let Some((to, len)) = deliver(now, packet, slot.body(), leg, transport, route, &mut self.out.totals)
                {
                    self.out.send(to, Place::Slot(index), len);
                }
                return;
            }
            let Some((number, buffer, totals)) = self.out.scratch_and_totals() else {
                continue;
            };
            let body = &mut buffer[HEADROOM_BYTES..];
            body[..packet.opened.len].copy_from_slice(&slot.body()[..packet.opened.len]);
            if let Some((to, len)) = deliver(now, packet, body, leg, transport, route, totals) {
                self.out.send(to, Place::Arena(number), len);
            }
        }
    }
}

/// Rate, keys, authentication, replay.
#[inline]
fn open(
    now: u64,
    transport: &mut Transport,
    leg: &mut Leg,
    totals: &mut Totals,
    slot: &mut Slot<'_>,
) -> Option<Opened> {
    if !transport.media.uplink || leg.silenced {
        totals.uplink_denied += 1;
        return None;
    }
    if transport.inbound.is_none() {
        totals.drop_no_keys += 1;
        return None;
    }
    if !transport.may_send_up(now, slot.len) {
        totals.drop_rate += 1;
        return None;
    }
    let opened = transport.inbound.as_mut()?.open_rtp(slot.packet());
    match opened {
        Ok(opened) => {
            totals.rtp_opened += 1;
            return Some(opened);
        }
        Err(Refused::Replayed) => {
            leg.up.count_duplicate();
            totals.drop_replayed += 1;
        }
        Err(Refused::TooOld) => totals.drop_replayed += 1,
        Err(Refused::NotAuthentic) => totals.drop_unauthentic += 1,
        Err(Refused::TooManyStreams) => totals.drop_ssrc_limit += 1,
        Err(Refused::Malformed | Refused::NotEncrypted | Refused::NoRoom | Refused::Index) => {
            totals.drop_malformed += 1;
        }
    }
    None
}

/// Payload type, padding, source; counts what is kept.
#[inline]
fn judge(
    now: u64,
    transport: &mut Transport,
    leg: &mut Leg,
    totals: &mut Totals,
    slot: &mut Slot<'_>,
    opened: Opened,
) -> Option<Packet> {
    let header = opened.header;
    let payload = transport.media.payload(header.payload_type);
    if payload == Payload::Unknown {
        totals.drop_payload_type += 1;
        return None;
    }
    let plain = &slot.packet()[..opened.len];
    let range = header.payload(plain).ok();
    let primary = range
        .clone()
        .filter(|_| payload == Payload::Red)
        .map(|range| red::primary(&plain[range]));
    // A redundant packet around anything but Opus is not what was negotiated (RFC 2198 §3).
    let foreign = primary.is_some_and(|block| block.is_none_or(|block| block.payload_type != transport.media.opus));
    let (Some(range), false) = (range, foreign) else {
        totals.drop_inside += 1;
        return None;
    };
    let sound = primary.flatten().map_or(0, |primary| primary.at);
    let sound = plain.get(range.start + sound..range.end).unwrap_or_default();
    let mends = transport.media.fec && payload != Payload::Dtmf && opus::mends_the_one_before(sound);
    match transport.latch(now, header.ssrc) {
        Latch::Same => {}
        Latch::Second => {
            totals.drop_second_ssrc += 1;
            return None;
        }
        Latch::New => {
            leg.stream += 1;
            leg.up.restart();
            leg.keys.restart();
            leg.tap_from = 0;
            if let Some(missing) = &mut leg.missing {
                missing.clear(transport.media.nack);
            }
        }
    }
    Some(Packet {
        opened,
        payload,
        payload_bytes: range.len(),
        primary: primary.flatten(),
        source: Source {
            leg: transport.leg,
            stream: leg.stream,
        },
        audio_level: transport.media.audio_level(),
        mends,
    })
}

/// Level and flags; counts the packet. The record's bytes are filled in by the caller.
#[inline]
fn describe(now: u64, leg: &mut Leg, packet: &Packet, late: Option<Late>, slot: &mut Slot<'_>) -> Record<'static> {
    let header = packet.opened.header;
    let plain = &slot.packet()[..packet.opened.len];
    let level = packet.audio_level.and_then(|id| header.level(plain, id));
    let sound = packet
        .primary
        .map_or(packet.payload_bytes, |primary| packet.payload_bytes - primary.at);
    let voice = level.is_some_and(|level| level.voice);
    if late == Some(Late::Rebuilt) {
        leg.up.count_rebuilt_in_vain();
    }
    leg.up.count(Arrival {
        now,
        index: packet.opened.index,
        timestamp: header.timestamp,
        payload: sound,
        level: level.map_or(LEVEL_UNKNOWN, |level| level.loudness),
        voice,
        audio: packet.payload != Payload::Dtmf,
        repaired: late == Some(Late::Asked),
        mends: packet.mends,
    });
    let mut flags = Flags::default();
    if late == Some(Late::Asked) {
        flags = flags.with(Flags::RTX);
    }
    if sound <= DTX_BYTES_MAX {
        flags = flags.with(Flags::DTX);
    }
    if voice {
        flags = flags.with(Flags::VOICE);
    }
    Record {
        arrival_ns: now,
        leg: leg.tap,
        ext_seq: packet.opened.index as u32,
        flags,
        level: level.map_or(LEVEL_UNKNOWN, |level| level.loudness),
        packet: &[],
    }
}

/// Turns the plain packet in `body` into what this listener gets, sealed; says where to and how long it is.
fn deliver(
    now: u64,
    packet: &Packet,
    body: &mut [u8],
    leg: &mut Leg,
    transport: &mut Transport,
    route: u8,
    totals: &mut Totals,
) -> Option<(Destination, usize)> {
    let keys = transport.outbound.as_mut()?;
    let to = transport.ice.destination()?;
    let slot = leg.slots.get_mut(usize::from(route))?.as_mut()?;
    let media = &transport.media;
    if packet.payload == Payload::Dtmf && media.dtmf().is_none() {
        totals.drop_dtmf += 1;
        slot.pass_over(packet.source, packet.opened.index);
        return None;
    }
    let header = &packet.opened.header;
    let Ok(stamp) = slot.stamp(packet.source, packet.opened.index, header.timestamp, now) else {
        totals.drop_slot += 1;
        return None;
    };
    // Blocks from before the switch are of a time that this listener was not to hear.
    let whole = |primary: Primary| primary.reach <= stamp.since_switch;
    let red = media.red().filter(|_| packet.primary.is_some_and(whole));
    let other = if packet.payload == Payload::Dtmf {
        media.dtmf()
    } else {
        red
    };
    let rewrite = rtp::Rewrite {
        payload_type: other.unwrap_or(media.opus),
        marker: header.marker || stamp.switched,
        sequence: stamp.index as u16,
        timestamp: stamp.timestamp,
        ssrc: slot.ssrc,
    };
    rtp::rewrite(body, &rewrite);
    let mut ids = [0u8; EXTENSION_IDS];
    let known_to_both = packet.audio_level.zip(media.audio_level());
    if let Some((place, to)) = known_to_both.and_then(|(from, to)| Some((ids.get_mut(usize::from(from))?, to))) {
        *place = to;
    }
    rtp::remap_extensions(body, header, &ids);
    let mut len = packet.opened.len;
    let mut sound = packet.payload_bytes;
    if let Some(primary) = packet.primary {
        if red.is_some() {
            let payload = &mut body[header.len..header.len + packet.payload_bytes];
            // Blocks of several types cannot be renamed; the listener would take them for something else.
            if red::rename(payload, primary.payload_type, media.opus).is_none() {
                totals.drop_inside += 1;
                slot.not_sent(&stamp);
                return None;
            }
        } else {
            body.copy_within(header.len + primary.at..len, header.len);
            len -= primary.at;
            sound -= primary.at;
        }
    }
    match keys.seal_rtp(body, len, stamp.index) {
        Ok(sealed) => {
            // Events are sent several times over anyway (RFC 4733 §2.6), and those from before a shield are sent no more.
            if media.nack && packet.payload != Payload::Dtmf {
                let kept = red.is_none() && slot.keep(stamp.index, &body[..sealed]);
                totals.ring_unfit += u64::from(!kept);
            }
            slot.packets += 1;
            slot.octets += sound as u64;
            slot.mending += u64::from(packet.mends && media.fec);
            leg.sending.count(sound);
            totals.rtp_forwarded += 1;
            Some((to, sealed))
        }
        Err(_) => {
            totals.drop_seal += 1;
            slot.not_sent(&stamp);
            None
        }
    }
}

const _: () = assert!(limits::PACKET_BYTES >= limits::DATAGRAM_BYTES_MAX + crate::srtp::RTP_OVERHEAD_MAX);
