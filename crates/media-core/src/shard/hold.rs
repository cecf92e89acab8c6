//! Legs on hold, and legs whose other side is away: which of them hear the music, and the music's packets.
//!
//! Never allocates per packet. A leg on hold is fed through its first slot like any other source would, so numbers and
//! time go on over talk, hold and talk.
//!
//! Invariant: a leg has a playhead exactly while the room lets it hear the music.

use std::sync::Arc;

use super::{Place, Shard};
use crate::limits::{HEADROOM_BYTES, LEGS_PER_ROOM_MAX, MUSIC_FRAME_BYTES_MAX, PACKET_BYTES};
use crate::music::Music;
use crate::rtp::{self, FIXED_BYTES};
use crate::slot::Source;
use crate::srtp::RTP_OVERHEAD_MAX;

/// The source of the music, as slots know it: no leg has this place.
const MUSIC: u32 = u32::MAX;

impl Shard {
    /// The tune for legs on hold; from the next frame on it is this one for all.
    pub fn set_music(&mut self, music: Arc<Music>) {
        self.music = music;
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
            match (room.music >> seat & 1 == 1, leg.music) {
                (true, None) => {
                    leg.holds = leg.holds.wrapping_add(1);
                    leg.music = Some(self.playheads.add(place, now));
                }
                (false, Some(playhead)) => {
                    self.playheads.remove(place, playhead);
                    leg.music = None;
                    if let Some(Some(slot)) = leg.slots.first_mut() {
                        slot.release();
                    }
                }
                (true, Some(_)) | (false, None) => {}
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
        let payload = self.music.frame(playhead.sent);
        if payload.is_empty() {
            return None;
        }
        let slot = leg.slots.first_mut()?.as_mut()?;
        let source = Source {
            leg: MUSIC,
            stream: leg.holds,
        };
        let timestamp = playhead.timestamp(instant);
        let (number, buffer, totals) = self.out.scratch_and_totals()?;
        let Ok(stamp) = slot.stamp(source, playhead.sent, timestamp, now) else {
            totals.drop_slot += 1;
            return None;
        };
        playhead.sent += 1;
        let fixed = rtp::Rewrite {
            payload_type: transport.media.opus,
            marker: stamp.switched,
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
