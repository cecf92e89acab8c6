//! Legs on hold, legs that wait for an agent, and legs whose other side is away: which of them hear the music, and the
//! music's packets.
//!
//! Never allocates per packet. A leg that hears it is fed through its first slot like any other source would, so numbers and
//! time go on over talk, hold and talk.
//!
//! Invariant: a leg has a playhead exactly while the room lets it hear music, and it plays what the room says.

use std::sync::Arc;

use super::{Place, Shard};
use crate::limits::{HEADROOM_BYTES, LEGS_PER_ROOM_MAX, MUSIC_FRAME_BYTES_MAX, PACKET_BYTES};
use crate::music::{Music, Programme, Tune};
use crate::rtp::{self, FIXED_BYTES};
use crate::slot::Source;
use crate::srtp::RTP_OVERHEAD_MAX;

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
                if let Some(Some(slot)) = leg.slots.first_mut() {
                    slot.release();
                }
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
            let Some((leg, instant)) = self.playheads.pop_due(now) else {
                return;
            };
            self.current = Some(leg);
            self.play(now, leg, instant);
            self.current = None;
        }
    }

    /// One frame for one leg. One that cannot be reached misses nothing: its tune waits.
    fn play(&mut self, now: u64, place: u32, instant: u64) -> Option<()> {
        let leg = self.legs.get_mut(place)?;
        let transport = self.transports.get_mut(leg.transport?)?;
        let keys = transport.keys.as_mut()?;
        let to = transport.ice.destination()?;
        let playhead = leg.music.as_mut()?;
        let payload = match (playhead.tune, &self.waiting) {
            (Tune::Queue, Some(programme)) => programme.frame(playhead.at),
            (Tune::Queue, None) | (Tune::Hold, _) => self.music.frame(playhead.at),
        };
        let timestamp = playhead.timestamp(instant);
        playhead.at += 1;
        if payload.is_empty() {
            playhead.paused = true;
            return None;
        }
        let slot = leg.slots.first_mut()?.as_mut()?;
        let source = Source {
            leg: MUSIC,
            stream: leg.holds,
        };
        let (number, buffer, totals) = self.out.scratch_and_totals()?;
        let Ok(stamp) = slot.stamp(source, playhead.sent, timestamp, now) else {
            totals.drop_slot += 1;
            return None;
        };
        playhead.sent += 1;
        // RFC 3551 §4.1: the first packet after a silence of ours carries the marker.
        let speaks_up = std::mem::take(&mut playhead.paused);
        let fixed = rtp::Rewrite {
            payload_type: transport.media.opus,
            marker: stamp.switched || speaks_up,
            sequence: stamp.index as u16,
            timestamp: stamp.timestamp,
            ssrc: slot.ssrc,
        };
        let body = &mut buffer[HEADROOM_BYTES..];
        // Version 2, no padding, no extension, no CSRC.
        body[0] = 0x80;
        rtp::rewrite(body, &fixed);
        body[FIXED_BYTES..FIXED_BYTES + payload.len()].copy_from_slice(payload);
        match keys.outbound.seal_rtp(body, FIXED_BYTES + payload.len(), stamp.index) {
            Ok(sealed) => {
                slot.packets += 1;
                slot.octets += payload.len() as u64;
                leg.down.count(payload.len());
                totals.music_sent += 1;
                self.out.send(to, Place::Arena(number), sealed);
            }
            Err(_) => totals.drop_seal += 1,
        }
        Some(())
    }
}

const _: () = assert!(PACKET_BYTES >= FIXED_BYTES + MUSIC_FRAME_BYTES_MAX + RTP_OVERHEAD_MAX);
