//! One ICE + DTLS + SRTP association of a leg, from its answer to its last packet.
//!
//! It has no timer of its own: [`Transport::end`] says when it ends if nothing more comes.
//!
//! Invariant: a transport is `Up` exactly while it has keys.

use crate::TransportId;
use crate::command::{MediaParams, NewTransport, SlotParams};
use crate::dtls::Certificate;
use crate::event::Cause;
use crate::gate::{Gate, Rate};
use crate::ice::Agent;
use crate::limits::{
    ADDRESS_SILENT, ADDRESS_SILENT_WITHOUT_AUDIO, DTLS_AFTER_PER_S_MAX, DTLS_BYTES_MAX, DTLS_DATAGRAMS_MAX,
    DTLS_TIMEOUT, ICE_TIMEOUT, RESEND_BURST_BYTES_MAX, RESEND_BYTES_PER_S_MAX, RTCP_PER_S_MAX, SLOTS_PER_LEG_MAX,
    SSRC_SILENT, UPLINK_BURST_BYTES_MAX, UPLINK_BURST_PACKETS_MAX, UPLINK_BYTES_PER_S_MAX, UPLINK_PACKETS_PER_S_MAX,
};
use crate::origin::Destination;
use crate::srtp::{Inbound, Keys, Outbound};
use crate::table::Mark;

const PACKETS: Rate = Rate::new(UPLINK_PACKETS_PER_S_MAX, UPLINK_BURST_PACKETS_MAX);
const BYTES: Rate = Rate::new(UPLINK_BYTES_PER_S_MAX, UPLINK_BURST_BYTES_MAX);
const RTCP: Rate = Rate::new(RTCP_PER_S_MAX, RTCP_PER_S_MAX);
const RESENDS: Rate = Rate::new(RESEND_BYTES_PER_S_MAX, RESEND_BURST_BYTES_MAX);
const DTLS_AFTER: Rate = Rate::new(DTLS_AFTER_PER_S_MAX, DTLS_AFTER_PER_S_MAX);

/// What a payload type of the uplink means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Not negotiated.
    Unknown,
    /// Opus.
    Opus,
    /// Redundant audio around Opus.
    Red,
    /// A telephone event at 48 kHz.
    Dtmf,
}

/// How far a transport has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No valid check yet.
    Waiting,
    /// An address is known; the handshake runs. Since when.
    Checked(u64),
    /// Keys are there.
    Up,
}

/// What a packet's SSRC means to the uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Latch {
    /// The stream that is being heard.
    Same,
    /// Another stream takes over with this packet.
    New,
    /// Another stream while the first one speaks.
    Second,
}

/// Where the last packet went, by places in the shard's tables: the next one most likely goes there too, and what it needs on
/// its way can be fetched without looking at any of it. Only a guess: nothing is decided by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ahead {
    pub(crate) room: u32,
    /// The first leg that heard it, and the transport of that one.
    pub(crate) sink: u32,
    pub(crate) way_out: u32,
}

impl Default for Ahead {
    fn default() -> Ahead {
        // Where no table has anything.
        let (room, sink, way_out) = (u32::MAX, u32::MAX, u32::MAX);
        Ahead { room, sink, way_out }
    }
}

/// What was agreed on about media, as far as packets need it; see [`MediaParams`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Media {
    pub(crate) opus: u8,
    red: u8,
    dtmf: u8,
    audio_level: u8,
    pub(crate) nack: bool,
    pub(crate) fec: bool,
    pub(crate) uplink: bool,
}

/// No payload type and no extension id: those have seven bits, these end at 14 (RFC 8285 §4.2).
const NOTHING: u8 = u8::MAX;

impl Media {
    fn of(params: &MediaParams) -> Media {
        Media {
            opus: params.opus,
            red: params.red.unwrap_or(NOTHING),
            dtmf: params.dtmf.unwrap_or(NOTHING),
            audio_level: params.audio_level.unwrap_or(NOTHING),
            nack: params.nack,
            fec: params.fec,
            uplink: params.uplink,
        }
    }

    /// Redundant audio, if it was accepted.
    #[inline]
    pub(crate) fn red(&self) -> Option<u8> {
        Some(self.red).filter(|&it| it != NOTHING)
    }

    /// Telephone events, if they were accepted.
    #[inline]
    pub(crate) fn dtmf(&self) -> Option<u8> {
        Some(self.dtmf).filter(|&it| it != NOTHING)
    }

    /// The extension id of the audio level, if it was accepted.
    #[inline]
    pub(crate) fn audio_level(&self) -> Option<u8> {
        Some(self.audio_level).filter(|&it| it != NOTHING)
    }

    /// What a payload type of the uplink means; the three that were negotiated are looked at, in this order.
    #[inline]
    pub(crate) fn payload(&self, payload_type: u8) -> Payload {
        if payload_type == self.opus {
            Payload::Opus
        } else if Some(payload_type) == self.red() {
            Payload::Red
        } else if Some(payload_type) == self.dtmf() {
            Payload::Dtmf
        } else {
            Payload::Unknown
        }
    }
}

/// See the top of this file.
// In this order, at the start of a cache line: the first line is what packets from the leg need, the second what those to it
// need as well.
#[repr(C, align(64))]
pub(crate) struct Transport {
    /// When anything authenticated last came.
    pub(crate) heard_at: u64,
    /// The SSRC that speaks.
    ssrc: Option<u32>,
    /// When it last did.
    spoke_at: u64,
    packets: Gate,
    bytes: Gate,
    rtcp: Gate,
    /// The leg's place in the shard.
    pub(crate) leg: u32,
    pub(crate) ahead: Ahead,
    mark: Mark,
    pub(crate) media: Media,
    pub(crate) ice: Agent,
    /// The keys: what opens the leg's packets, and what seals those to it. Both or neither.
    pub(crate) inbound: Option<Inbound>,
    pub(crate) outbound: Option<Outbound>,
    /// The streams that were announced.
    pub(crate) slots: [Option<SlotParams>; SLOTS_PER_LEG_MAX],
    pub(crate) state: State,
    pub(crate) born: u64,
    pub(crate) id: TransportId,
    /// The helper has an association for it.
    pub(crate) helper: bool,
    pub(crate) fingerprint: [u8; 32],
    /// What the handshake shows; kept with the transport, for it may begin the handshake again.
    pub(crate) certificate: Certificate,
    resends: Gate,
    dtls: Gate,
    dtls_datagrams: u32,
    dtls_bytes: u32,
}

/// Bytes at the start of a [`Transport`] that a packet from its leg needs.
pub(crate) const SOURCE_BYTES: usize = std::mem::offset_of!(Transport, ice) + crate::ice::HOT_BYTES;
/// Where the part begins that a packet to its leg needs, and how long it is.
pub(crate) const SINK_AT: usize = std::mem::offset_of!(Transport, mark);
pub(crate) const SINK_BYTES: usize = SOURCE_BYTES - SINK_AT;
/// Where the keys for either begin.
pub(crate) const INBOUND_AT: usize = std::mem::offset_of!(Transport, inbound);
pub(crate) const OUTBOUND_AT: usize = std::mem::offset_of!(Transport, outbound);

const _: () = assert!(
    SINK_AT == 64 && SOURCE_BYTES <= 128,
    "two cache lines, of which sending needs one"
);

impl Transport {
    pub(crate) fn new(new: &NewTransport, leg: u32, now: u64) -> Transport {
        Transport {
            id: new.id,
            leg,
            state: State::Waiting,
            born: now,
            ice: Agent::new(&new.ice),
            fingerprint: new.fingerprint,
            certificate: new.certificate.clone(),
            media: Media::of(&new.media),
            slots: new.media.slots,
            mark: Mark::Taken,
            inbound: None,
            outbound: None,
            heard_at: now,
            helper: false,
            ssrc: None,
            spoke_at: 0,
            ahead: Ahead::default(),
            packets: Gate::default(),
            bytes: Gate::default(),
            rtcp: Gate::default(),
            resends: Gate::default(),
            dtls: Gate::default(),
            dtls_datagrams: 0,
            dtls_bytes: 0,
        }
    }

    /// Takes the keys of its handshake.
    pub(crate) fn take_keys(&mut self, keys: Keys) {
        (self.inbound, self.outbound) = (Some(keys.inbound), Some(keys.outbound));
        self.state = State::Up;
    }

    /// Where to send, once a check was valid.
    #[inline]
    pub(crate) fn destination(&self) -> Option<Destination> {
        self.ice.destination()
    }

    /// Silence of the address in use after which a check from another one moves sending: short while audio would tell
    /// that it lives, longer than checks are apart otherwise.
    pub(crate) fn silent_after(&self, now: u64) -> u64 {
        let speaks = self.ssrc.is_some() && now.saturating_sub(self.spoke_at) < ADDRESS_SILENT_WITHOUT_AUDIO;
        if speaks {
            ADDRESS_SILENT
        } else {
            ADDRESS_SILENT_WITHOUT_AUDIO
        }
    }

    /// Another agreement takes the place of the one before.
    pub(crate) fn agree(&mut self, params: &MediaParams) {
        (self.media, self.slots) = (Media::of(params), params.slots);
    }

    /// True if one more media packet of `bytes` is within the uplink's rate.
    #[inline]
    pub(crate) fn may_send_up(&mut self, now: u64, bytes: usize) -> bool {
        self.packets.pass(now, 1, PACKETS) && self.bytes.pass(now, bytes as u32, BYTES)
    }

    /// True if one more control packet is within its rate.
    pub(crate) fn may_report(&mut self, now: u64) -> bool {
        self.rtcp.pass(now, 1, RTCP)
    }

    /// True if `bytes` more may be sent to it again.
    pub(crate) fn may_resend(&mut self, now: u64, bytes: usize) -> bool {
        self.resends.pass(now, bytes as u32, RESENDS)
    }

    /// True if one more DTLS datagram of `bytes` is within the limits of its phase.
    pub(crate) fn may_shake_hands(&mut self, now: u64, bytes: usize) -> bool {
        if self.state == State::Up {
            return self.dtls.pass(now, 1, DTLS_AFTER);
        }
        self.dtls_datagrams = self.dtls_datagrams.saturating_add(1);
        self.dtls_bytes = self.dtls_bytes.saturating_add(bytes as u32);
        self.dtls_datagrams <= DTLS_DATAGRAMS_MAX && self.dtls_bytes <= DTLS_BYTES_MAX
    }

    /// Judges the SSRC of an authenticated audio packet.
    #[inline]
    pub(crate) fn latch(&mut self, now: u64, ssrc: u32) -> Latch {
        let latch = match self.ssrc {
            Some(known) if known == ssrc => Latch::Same,
            Some(_) if now.saturating_sub(self.spoke_at) < SSRC_SILENT => return Latch::Second,
            Some(_) | None => Latch::New,
        };
        (self.ssrc, self.spoke_at) = (Some(ssrc), now);
        latch
    }

    /// The SSRC that speaks.
    pub(crate) fn ssrc(&self) -> Option<u32> {
        self.ssrc
    }

    /// When this transport ends if nothing more comes, and of what. `consent`: nanoseconds.
    pub(crate) fn end(&self, consent: u64) -> (u64, Cause) {
        match self.state {
            State::Waiting => (self.born + ICE_TIMEOUT, Cause::IceTimeout),
            State::Checked(since) => (since + DTLS_TIMEOUT, Cause::DtlsTimeout),
            State::Up => (self.ice.checked_at.unwrap_or(self.born) + consent, Cause::Lost),
        }
    }
}
