//! What a shard counts: totals of everything it dropped, and per leg, direction and second what went well or not.
//!
//! Nothing here decides anything; nothing is ever reset but the running second.
//!
//! Invariant: every datagram that comes in is counted as consumed or in one named drop ([`Totals::accounted`]).

use crate::limits::SLOTS_PER_LEG_MAX;
use crate::matrix::Part;
use crate::origin::Route;
use crate::quality::flags::{FlagSet, JUDGED_PACKETS_MIN};
use crate::quality::thresholds::Thresholds;
use crate::slot::Sent;
use crate::tap::{LEVEL_UNKNOWN, Record, TapSink};
use crate::{LegId, RoomId, TapId};

mod reported;
mod uplink;

use reported::Reported;

pub use reported::FEC_SHARE;
pub(crate) use uplink::HOT_BYTES as UPLINK_HOT_BYTES;
pub use uplink::{DTX_BYTES_MAX, Uplink};

/// Totals of a shard since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Datagrams handed in.
    pub datagrams: u64,
    /// Bytes handed in.
    pub bytes: u64,
    /// RTP packets authenticated.
    pub rtp_opened: u64,
    /// RTP packets sent to listeners.
    pub rtp_forwarded: u64,
    /// Frames of ours sent: music of those on hold and of those who wait, prompts, tones.
    pub music_sent: u64,
    /// RTP packets authenticated that nobody may hear at that moment.
    pub rtp_unheard: u64,
    /// Packets copied to the tap.
    pub tapped: u64,
    /// Packets the tap had no room for.
    pub tap_dropped: u64,
    /// Connectivity checks answered.
    pub checks: u64,
    /// RTCP packets authenticated.
    pub rtcp_opened: u64,
    /// Reports sent.
    pub rtcp_sent: u64,
    /// Packets that receivers asked for by NACK.
    pub nacks_received: u64,
    /// Of those, sent again.
    pub nacks_answered: u64,
    /// Of those, no longer or never kept.
    pub nacks_missed: u64,
    /// Of those, beyond a limit: [`crate::limits::RESENDS_PER_PACKET_MAX`] and its neighbours.
    pub nacks_limited: u64,
    /// Packets sent to a receiver with NACK and not kept: redundant audio, or longer than
    /// [`crate::limits::RING_CELL_BYTES`].
    pub ring_unfit: u64,
    /// NACKs sent.
    pub nacks_sent: u64,
    /// Packets that came because we asked for them.
    pub repaired_rtx: u64,
    /// Packets whose audio came inside a later one.
    pub repaired_red: u64,
    /// Repaired packets too late for listeners; the tap has them.
    pub repaired_late: u64,
    /// DTLS datagrams handed to the handshake helper.
    pub dtls_passed: u64,
    /// Datagrams larger than [`crate::limits::DATAGRAM_BYTES_MAX`] or empty.
    pub drop_size: u64,
    /// Neither STUN, DTLS nor RTP.
    pub drop_protocol: u64,
    /// STUN that is none, or that is no Binding request.
    pub drop_stun_malformed: u64,
    /// A check for a user name that nobody has here.
    pub drop_unknown_ufrag: u64,
    /// A check with a wrong password.
    pub drop_bad_integrity: u64,
    /// Checks beyond [`crate::limits::STUN_PER_S_MAX`].
    pub drop_stun_rate: u64,
    /// Checks refused with an error: wrong role or unknown attribute.
    pub checks_refused: u64,
    /// DTLS, RTP or RTCP from an address that passed no check.
    pub drop_unknown_source: u64,
    /// What came through the relay and is not of the leg that the way was opened for, or came before its first check.
    pub drop_relay_gate: u64,
    /// Packets for a transport without keys.
    pub drop_no_keys: u64,
    /// RTP of a leg that may not speak; dropped before it is opened.
    pub uplink_denied: u64,
    /// Packets beyond the uplink's rate.
    pub drop_rate: u64,
    /// RTP or RTCP that is malformed.
    pub drop_malformed: u64,
    /// RTP or RTCP that does not authenticate.
    pub drop_unauthentic: u64,
    /// RTP or RTCP that came before.
    pub drop_replayed: u64,
    /// More sources than a transport may have.
    pub drop_ssrc_limit: u64,
    /// Authentic, but its padding, its compound or its redundant blocks are broken. Such a datagram is also in
    /// [`Totals::rtp_opened`] or [`Totals::rtcp_opened`].
    pub drop_inside: u64,
    /// A payload type that was not negotiated.
    pub drop_payload_type: u64,
    /// A second source while the first one speaks.
    pub drop_second_ssrc: u64,
    /// Forwarding refused by a slot: too old or would repeat a nonce.
    pub drop_slot: u64,
    /// A listener has no free slot for this source.
    pub drop_no_slot: u64,
    /// Telephone events that the listener cannot take.
    pub drop_dtmf: u64,
    /// Telephone events that nobody gets, because the room's plan keeps pressed keys from everybody.
    pub drop_shielded: u64,
    /// DTLS beyond its limits.
    pub drop_dtls_limit: u64,
    /// Jobs that found the queue full.
    pub drop_jobs: u64,
    /// Events, and ends of transports, that found the queue full.
    pub drop_events: u64,
    /// Counter rows that found the queue full.
    pub drop_seconds: u64,
    /// Sends for which the arena was full.
    pub drop_arena: u64,
    /// Packets that could not be sealed; never in practice.
    pub drop_seal: u64,
    /// Moves of the sending address.
    pub migrations: u64,
    /// Moves taken back because the old address went on speaking.
    pub migrations_reverted: u64,
    /// Moves refused by [`crate::limits::MOVES_PER_S_MAX`].
    pub migrations_refused: u64,
    /// Legs removed after a panic.
    pub panics: u64,
    /// Legs that were heard by nobody or heard nobody, each once.
    pub one_way_legs: u64,
    /// Seconds in which nobody of a conversation spoke, from 15 in a row on.
    pub dead_air_seconds: u64,
    /// Seconds of legs whose microphone was cut off.
    pub clipping_seconds: u64,
}

impl Totals {
    /// Gives one record to the tap.
    #[inline]
    pub(crate) fn give(&mut self, tap: &mut dyn TapSink, record: Record<'_>) {
        if tap.push(record) {
            self.tapped += 1;
        } else {
            self.tap_dropped += 1;
        }
    }

    /// The datagrams whose fate is counted: each is in exactly one of these. Equal to [`Totals::datagrams`] as long
    /// as the caller sends when [`crate::shard::Shard::must_flush`] says so.
    #[must_use]
    pub fn accounted(&self) -> u64 {
        let consumed = self.rtp_opened + self.rtcp_opened + self.checks + self.checks_refused + self.dtls_passed;
        let unfit = self.drop_size + self.drop_protocol + self.drop_malformed + self.drop_stun_malformed;
        let strangers =
            self.drop_unknown_source + self.drop_unknown_ufrag + self.drop_bad_integrity + self.drop_relay_gate;
        let keyless = self.drop_no_keys + self.drop_unauthentic + self.drop_replayed + self.drop_ssrc_limit;
        let bounded = self.drop_rate + self.drop_stun_rate + self.drop_dtls_limit + self.drop_jobs;
        consumed + unfit + strangers + keyless + bounded + self.uplink_denied
    }
}

/// Which way a row of counters looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the leg to us.
    Up,
    /// From us to the leg, as its reports tell.
    Down,
}

/// One second of one leg in one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Second {
    /// Which leg.
    pub leg: LegId,
    /// Its room.
    pub room: RoomId,
    /// Its number in tap records.
    pub tap: TapId,
    /// What the participant is.
    pub part: Part,
    /// Which way.
    pub direction: Direction,
    /// End of the second, by the shard's clock, nanoseconds.
    pub at: u64,
    /// True while the leg is up and not away.
    pub up: bool,
    /// Packets that the sequence numbers say were sent.
    pub expected: u32,
    /// Of those, how many came.
    pub received: u32,
    /// Of those, how many did not and were not rebuilt: what is left after repair. What is repaired later makes the loss
    /// of the next seconds smaller, so the sum of rows exceeds the truth by what is on its way at most.
    pub lost: u32,
    /// Packets that came because we asked for them; they are in `received`.
    pub repaired_rtx: u32,
    /// Packets whose audio came inside a later one; they are in neither `received` nor `lost`. One that comes itself in a
    /// later second makes the next such figure smaller, as with `lost`.
    pub repaired_red: u32,
    /// Packets that did not come and whose sound the next one holds once more (in-band FEC), for who decodes it; they are in
    /// neither `received` nor `lost`, and one that comes itself is as above. Of an uplink counted, of a downlink estimated
    /// ([`FEC_SHARE`]).
    pub repaired_fec: u32,
    /// Packets that came behind a newer one.
    pub late: u32,
    /// Packets that came twice.
    pub duplicate: u32,
    /// Longest run of missing packets.
    pub burst_max: u32,
    /// Interarrival jitter (RFC 3550 §6.4.1, only between neighbours in time), microseconds.
    pub jitter_us: u32,
    /// Least transit above the lower envelope of the last 10 to 20 s, microseconds.
    pub delay_us_min: u32,
    /// Mean of the same.
    pub delay_us_mean: u32,
    /// Largest of the same.
    pub delay_us_max: u32,
    /// Round trip, when measured in the last 15 s, microseconds.
    pub rtt_us: Option<u32>,
    /// Payload bytes.
    pub payload_bytes: u32,
    /// Packets marked as voice (RFC 6464 V bit), or all but DTX frames when the sender gives no level.
    pub voiced: u32,
    /// DTX frames.
    pub dtx: u32,
    /// Packets as loud as speech ([`crate::quality::flags::LOUD_LEVEL_MIN`]).
    pub loud: u32,
    /// Packets as loud as only sound that was cut off is ([`crate::quality::flags::CLIPPED_LEVEL_MIN`]).
    pub clipped: u32,
    /// The leg speaks, by its levels, with the pauses between words; of uplinks only.
    pub speaking: bool,
    /// Mean level, 0 silence to 127 full scale; [`LEVEL_UNKNOWN`] without one.
    pub level_mean: u8,
    /// Largest level, likewise.
    pub level_max: u8,
    /// Rating of the E-model, 0 to 100, for this direction alone; `None` without audio.
    pub rating: Option<f32>,
    /// The same as opinion score, 1 to 4.5.
    pub mos: Option<f32>,
    /// Conditions that hold in this direction; those of the leg as a whole stand in the uplink's row.
    pub flags: FlagSet,
    /// Over what the leg goes.
    pub route: Option<Route>,
}

/// What is known of a packet when it is counted.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// When, nanoseconds.
    pub now: u64,
    /// SRTP index.
    pub index: u64,
    /// RTP timestamp, 48 kHz.
    pub timestamp: u32,
    /// Bytes of the payload.
    pub payload: usize,
    /// 0 to 127, or [`LEVEL_UNKNOWN`].
    pub level: u8,
    /// The sender calls it voice.
    pub voice: bool,
    /// False for telephone events: they share the numbers of the stream but not its time.
    pub audio: bool,
    /// True if we had asked for it.
    pub repaired: bool,
    /// It holds the sound of the packet before once more, and the leg agreed on that.
    pub mends: bool,
}

/// The figures of a receiver report block (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reception {
    /// Lost since the last report, 1/256.
    pub fraction_lost: u8,
    /// Lost since the start of the stream, 24 bits signed, clamped.
    pub cumulative_lost: i32,
    /// Highest index, lower 32 bits.
    pub highest: u32,
    /// Jitter in timestamp units.
    pub jitter: u32,
}

/// What was sent to one leg in its running second: apart from the rest, for every packet writes it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sending {
    packets: u32,
    bytes: u32,
}

impl Sending {
    /// Counts one packet sent.
    #[inline]
    pub fn count(&mut self, payload: usize) {
        self.packets += 1;
        self.bytes = self.bytes.saturating_add(payload as u32);
    }
}

/// What was sent to one leg in all its seconds, and what it says about it.
#[derive(Clone, Debug, Default)]
pub struct Downlink {
    /// Packets sent before the running second.
    sent_before: u64,
    /// Lost on the way to the leg, and not in a row yet.
    lost: u32,
    /// The same, of what its decoder rebuilds; and the part of a packet that is left over.
    mended: u32,
    mended_rest: f32,
    /// Per slot, what was last reported; apart, for no packet needs it.
    reported: Box<[Reported; SLOTS_PER_LEG_MAX]>,
    /// Reports came in this second, and one of them told of new packets.
    said: bool,
    advanced: bool,
    /// Seconds of audio sent since a report last told of new packets, and whether one has denied it since.
    unheard_s: u32,
    stuck: bool,
    burst_max: u32,
    rtt_us: Option<u32>,
    rtt_at: u64,
    rtt_sum_us: f64,
    rtt_count: u32,
}

/// A report tells of loss and jitter for this long, nanoseconds: three slow report intervals, as for round trips.
/// Higher: a speaker's FEC goes on for a listener who has recovered or is gone. Lower: a lost report or two end it.
pub const REPORT_VALID: u64 = 15 * crate::limits::SECOND;

/// A measured round trip is shown for this long, nanoseconds: three slow report intervals.
const RTT_VALID: u64 = 15 * crate::limits::SECOND;

impl Downlink {
    /// Packets sent, those of the running second included.
    #[must_use]
    pub fn sent_total(&self, running: Sending) -> u64 {
        self.sent_before + u64::from(running.packets)
    }

    /// Takes a report block of the leg about its slot number `slot`. Jitter in 48 kHz samples. `sent`: what that slot had
    /// sent up to the number that the report is about.
    pub fn reported(&mut self, now: u64, slot: usize, reception: Reception, sent: Sent) {
        let reported = self.reported.get_mut(slot);
        let Some(fresh) = reported.and_then(|reported| reported.take(now, reception, sent)) else {
            return;
        };
        self.said = true;
        self.advanced |= fresh.advanced;
        self.mended_rest += fresh.mended;
        let mended = (self.mended_rest as u32).min(fresh.lost);
        self.mended_rest -= mended as f32;
        self.mended = self.mended.saturating_add(mended);
        self.lost = self.lost.saturating_add(fresh.lost - mended);
        self.burst_max = self.burst_max.max(fresh.lost);
    }

    /// Nobody is heard through the slot any more; its stream and its cumulative count go on with the next who is.
    pub fn released(&mut self, slot: usize) {
        if let Some(reported) = self.reported.get_mut(slot) {
            reported.released();
        }
    }

    /// Takes a measured round trip.
    pub fn round_trip(&mut self, now: u64, rtt_us: u32) {
        self.rtt_us = Some(rtt_us);
        self.rtt_at = now;
        self.rtt_sum_us += f64::from(rtt_us);
        self.rtt_count += 1;
    }

    /// The receiver began anew: its cumulative counts do too.
    pub fn restart(&mut self) {
        *self.reported = Default::default();
        self.lost = 0;
        self.mended = 0;
        self.burst_max = 0;
        self.unheard_s = 0;
        self.stuck = false;
    }

    /// True if it is sent audio and its reports say that none of it comes.
    #[must_use]
    pub const fn is_deaf(&self, limits: &Thresholds) -> bool {
        limits.is_deaf(self.unheard_s, self.stuck)
    }

    /// Share lost on the way to the leg, of the worst slot by its last report, 1/256, if that came lately.
    #[must_use]
    pub fn fraction_lost(&self, now: u64) -> u8 {
        self.lately(now)
            .map(|reported| reported.fraction_lost)
            .max()
            .unwrap_or(0)
    }

    fn lately(&self, now: u64) -> impl Iterator<Item = &Reported> {
        let reported = self.reported.iter();
        reported.filter(move |reported| now.saturating_sub(reported.at) < REPORT_VALID)
    }

    /// The round trip, if it was measured lately, microseconds.
    #[must_use]
    pub fn rtt_us(&self, now: u64) -> Option<u32> {
        self.rtt_us.filter(|_| now.saturating_sub(self.rtt_at) < RTT_VALID)
    }

    /// Mean of all measured round trips, milliseconds.
    #[must_use]
    pub fn rtt_ms_mean(&self) -> Option<f64> {
        (self.rtt_count > 0).then(|| self.rtt_sum_us / f64::from(self.rtt_count) / 1_000.0)
    }

    /// Fills the figures of the second that ends now, `running`, and begins the next.
    pub fn close_second(&mut self, running: &mut Sending, second: &mut Second) {
        let Sending { packets: sent, bytes } = std::mem::take(running);
        self.sent_before += u64::from(sent);
        let lost = self.lost.min(sent);
        let mended = self.mended.min(sent - lost);
        second.expected = sent;
        second.lost = lost;
        second.repaired_fec = mended;
        second.received = sent - lost - mended;
        second.burst_max = self.burst_max.min(lost + mended);
        second.payload_bytes = bytes;
        let jitter = self.lately(second.at).map(|reported| reported.jitter).max();
        second.jitter_us = microseconds(jitter.unwrap_or(0));
        // A report covers up to 5 s: what does not fit into this second's packets is shown in the next ones, as long as there
        // are some. The first second after a hold had no part in it.
        (self.lost, self.mended) = if sent == 0 {
            (0, 0)
        } else {
            (self.lost - lost, self.mended - mended)
        };
        if self.advanced {
            self.unheard_s = 0;
            self.stuck = false;
        } else {
            // A report about a pause has nothing new to tell.
            self.stuck |= self.said && self.unheard_s > 1;
            self.unheard_s += u32::from(sent >= JUDGED_PACKETS_MIN);
        }
        self.said = false;
        self.advanced = false;
        self.burst_max = 0;
    }
}

impl Second {
    /// A row without figures.
    #[must_use]
    pub fn empty(leg: LegId, room: RoomId, tap: TapId, part: Part, direction: Direction, at: u64) -> Second {
        Second {
            leg,
            room,
            tap,
            part,
            direction,
            at,
            up: false,
            expected: 0,
            received: 0,
            lost: 0,
            repaired_rtx: 0,
            repaired_red: 0,
            repaired_fec: 0,
            late: 0,
            duplicate: 0,
            burst_max: 0,
            jitter_us: 0,
            delay_us_min: 0,
            delay_us_mean: 0,
            delay_us_max: 0,
            rtt_us: None,
            payload_bytes: 0,
            voiced: 0,
            dtx: 0,
            loud: 0,
            clipped: 0,
            speaking: false,
            level_mean: LEVEL_UNKNOWN,
            level_max: LEVEL_UNKNOWN,
            rating: None,
            mos: None,
            flags: FlagSet::default(),
            route: None,
        }
    }

    /// Share of the expected packets that did not come and was not repaired, 0 to 1.
    #[must_use]
    pub fn loss(&self) -> f64 {
        if self.expected == 0 {
            0.0
        } else {
            f64::from(self.lost) / f64::from(self.expected)
        }
    }
}

/// 48 kHz samples as microseconds.
fn microseconds(samples: u32) -> u32 {
    (u64::from(samples) * 125 / 6).min(u64::from(u32::MAX)) as u32
}
