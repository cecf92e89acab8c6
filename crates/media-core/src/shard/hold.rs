//! Legs on hold, legs that wait for an agent, and legs whose other side is away: which of them hear the music, and the
//! music's packets.
//!
//! Never allocates per packet. A leg that hears it is fed through its first slot like any other source would, so numbers and
//! time go on over talk, hold and talk.
//!
//! Invariant: a leg has a playhead exactly while the room lets it hear music, and it plays what the room says.

use std::sync::Arc;

use super::outbox::Outbox;
use super::{Place, Shard};
use crate::counters::Sending;
use crate::limits::{HEADROOM_BYTES, LEGS_PER_ROOM_MAX, MUSIC_FRAME_BYTES_MAX, PACKET_BYTES};
use crate::music::{Music, Programme, Tune};
use crate::rtp::{self, FIXED_BYTES};
use crate::slot::{Slot, Source};
use crate::srtp::RTP_OVERHEAD_MAX;
use crate::transport::Transport;

/// The source of the music, as slots know it: no leg has this place.
const MUSIC: u32 = u32::MAX;

impl Shard {
    /// The tune for legs on hold; from the next frame on it is this one for all. Those who wait hear it as well, unless
    /// they have a programme of their own.
    pub fn set_music(&mut self, music: Arc<Music>) {
        self.music = music;
    }

    /// What those hear who wait for an agent; from the next frame on it is this for all.
    pub fn set_waiting(&mut self, programme: Programme) {
        self.waiting = Some(programme);
    }

    /// After a change of a room's plan or legs: who begins and who ceases to hear the music, and whose packets are not opened.
    pub(super) fn hold_or_resume(&mut self, now: u64, place: u32) {
        let Some(room) = self.rooms.get(place) else { return };
        for seat in 0..LEGS_PER_ROOM_MAX {
            let sitting = room.seats.get(seat).copied().flatten();
            let Some((place, leg)) = sitting.and_then(|sitting| Some((sitting.leg, self.legs.get_mut(sitting.leg)?)))
            else {
                continue;
            };
            leg.silenced = room.silenced >> seat & 1 == 1;
            let is_heard = room.heard >> seat & 1 == 1;
            leg.heard_since = is_heard.then(|| leg.heard_since.unwrap_or(now));
            let wanted = if room.waits >> seat & 1 == 1 {
                Some(Tune::Queue)
            } else {
                (room.music >> seat & 1 == 1).then_some(Tune::Hold)
            };
            if wanted == leg.music.map(|playhead| playhead.tune) {
                continue;
            }
            if let Some(playhead) = leg.music.take() {
                self.playheads.remove(place, playhead);
                leg.release(0);
            }
            if let Some(tune) = wanted {
                leg.holds = leg.holds.wrapping_add(1);
                leg.music = Some(self.playheads.add(place, tune, now));
            }
        }
    }

    /// The frames that are due, as far as there is room for them.
    pub(super) fn play_due(&mut self, now: u64) {
        while !self.must_flush() {
            let Some(((leg, tone), instant)) = self.playheads.pop_due(now) else {
                return;
            };
            self.current = Some(leg);
            if tone {
                self.sound(now, leg, instant);
            } else {
                self.play(now, leg, instant);
            }
            self.current = None;
        }
    }

    /// One frame of its tune for one leg. One that cannot be reached misses nothing, nor does one who hears the tone in
    /// its place: the tune waits.
    fn play(&mut self, now: u64, place: u32, instant: u64) -> Option<()> {
        let leg = self.legs.get_mut(place)?;
        let transport = self.transports.get_mut(leg.transport?)?;
        transport.outbound.as_ref().and(transport.ice.destination())?;
        if leg.tone.is_some_and(|tone| tone.slot == 0) {
            return None;
        }
        let playhead = leg.music.as_mut()?;
        let payload = match (playhead.tune, &self.waiting) {
            (Tune::Queue, Some(programme)) => programme.frame(playhead.at),
            (Tune::Queue, None) | (Tune::Hold | Tune::Tone, _) => self.music.frame(playhead.at),
        };
        let timestamp = playhead.timestamp(instant);
        playhead.at += 1;
        if payload.is_empty() {
            playhead.paused = true;
            return None;
        }
        let frame = Frame {
            source: Source {
                leg: MUSIC,
                stream: leg.holds,
            },
            payload,
            number: playhead.sent,
            timestamp,
            // RFC 3551 §4.1: the first packet after a silence of ours carries the marker.
            marker: playhead.paused,
        };
        let slot = leg.slots.first_mut()?.as_mut()?;
        send(now, slot, &mut leg.sending, transport, &mut self.out, &frame)?;
        playhead.sent += 1;
        playhead.paused = false;
        Some(())
    }
}

/// One frame of ours on its way.
pub(super) struct Frame<'a> {
    pub(super) source: Source,
    pub(super) payload: &'a [u8],
    /// Counts the frames of the source.
    pub(super) number: u64,
    pub(super) timestamp: u32,
    pub(super) marker: bool,
}

/// Seals a frame for one slot of a leg and puts it with what is to be sent; `None` if there is no room or no way for it.
pub(super) fn send(
    now: u64,
    slot: &mut Slot,
    sending: &mut Sending,
    transport: &mut Transport,
    out: &mut Outbox,
    frame: &Frame<'_>,
) -> Option<()> {
    let keys = transport.outbound.as_mut()?;
    let to = transport.ice.destination()?;
    let payload = frame.payload;
    let (number, buffer, totals) = out.scratch_and_totals()?;
    let Ok(stamp) = slot.stamp(frame.source, frame.number, frame.timestamp, now) else {
        totals.drop_slot += 1;
        return None;
    };
    let fixed = rtp::Rewrite {
        payload_type: transport.media.opus,
        marker: stamp.switched || frame.marker,
        sequence: stamp.index as u16,
        timestamp: stamp.timestamp,
        ssrc: slot.ssrc,
    };
    let body = &mut buffer[HEADROOM_BYTES..];
    // Version 2, no padding, no extension, no CSRC.
    body[0] = 0x80;
    rtp::rewrite(body, &fixed);
    body[FIXED_BYTES..FIXED_BYTES + payload.len()].copy_from_slice(payload);
    match keys.seal_rtp(body, FIXED_BYTES + payload.len(), stamp.index) {
        Ok(sealed) => {
            slot.packets += 1;
            slot.octets += payload.len() as u64;
            sending.count(payload.len());
            totals.music_sent += 1;
            out.send(to, Place::Arena(number), sealed);
        }
        Err(_) => {
            totals.drop_seal += 1;
            slot.not_sent(&stamp);
        }
    }
    Some(())
}

const _: () = assert!(PACKET_BYTES >= FIXED_BYTES + MUSIC_FRAME_BYTES_MAX + RTP_OVERHEAD_MAX);
