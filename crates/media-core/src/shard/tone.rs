//! The tone that tells a party of a supervisor who begins to listen, whisper or join: who hears it, and its packets.
//!
//! It sounds in a slot of its own, so that no word is lost to it; where a listener has none free, it takes the place of one
//! voice, or of his music, for as long as it lasts. Never allocates per packet, and nothing of it is recorded.
//!
//! Invariant: a leg has a slot lent exactly while it hears the tone, and of one supervisor who goes on in one way nobody
//! is told twice.

use std::sync::Arc;

use super::Shard;
use super::hold::{Frame, send};
use crate::LegId;
use crate::event::Kind;
use crate::limits::LEGS_PER_ROOM_MAX;
use crate::matrix::Stance;
use crate::music::{Music, Playhead, Tune};
use crate::room::NO_SLOT;
use crate::slot::Source;

/// The source of the tone, as slots know it: no leg has this place.
const TONE: u32 = u32::MAX - 1;

/// While a leg hears it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tone {
    pub(crate) head: Playhead,
    /// The slot in which it sounds.
    pub(crate) slot: usize,
}

impl Shard {
    /// What tells of a supervisor; without frames nobody is told.
    pub fn set_tone(&mut self, tone: Arc<Music>) {
        self.tone = tone;
    }

    /// After a change of a room's plan or legs: whoever was not told of a supervisor yet, and is to be, hears the tone.
    pub(super) fn tell_of_supervisors(&mut self, now: u64, place: u32) {
        let Some(room) = self.rooms.get(place) else { return };
        let (supervising, audience) = (room.supervising, room.audience);
        if self.tone.frames() == 0 {
            return;
        }
        let mut fresh = [0u8; LEGS_PER_ROOM_MAX];
        for seat in 0..LEGS_PER_ROOM_MAX {
            let Some((leg_place, leg)) = self.sitting_at(place, seat) else {
                continue;
            };
            if audience >> seat & 1 == 0 {
                // He will be told of the next one in that seat.
                for (told, how) in leg.told.iter_mut().zip(supervising) {
                    *told = if how == Stance::Waiting { how } else { *told };
                }
                continue;
            }
            let before = std::mem::replace(&mut leg.told, supervising);
            let news = before
                .iter()
                .zip(supervising)
                .map(|(before, how)| how != Stance::Waiting && *before != how);
            let news = news
                .enumerate()
                .filter(|(_, is_new)| *is_new)
                .fold(0u8, |bits, (place, _)| bits | 1 << place);
            if news != 0 && self.begin_tone(now, place, seat, leg_place) {
                for (supervisor, heard_by) in fresh.iter_mut().enumerate() {
                    *heard_by |= (news >> supervisor & 1) << seat;
                }
            }
        }
        for (supervisor, heard_by) in fresh.into_iter().enumerate().filter(|(_, heard_by)| *heard_by != 0) {
            self.announced(now, place, supervisor, heard_by);
        }
    }

    fn announced(&mut self, now: u64, place: u32, supervisor: usize, heard_by: u8) {
        let Some(room) = self.rooms.get(place) else { return };
        let id = |seat: usize| room.seats.get(seat).copied().flatten().map(|sitting| sitting.id);
        let Some(supervisor) = id(supervisor) else { return };
        let heard_by: Vec<LegId> = (0..LEGS_PER_ROOM_MAX)
            .filter(|seat| heard_by >> seat & 1 == 1)
            .filter_map(id)
            .collect();
        self.event(now, place, Kind::Announced { supervisor, heard_by });
    }

    /// False if the leg has no slot at all.
    fn begin_tone(&mut self, now: u64, room: u32, seat: usize, leg_place: u32) -> bool {
        let Some(leg) = self.legs.get_mut(leg_place) else {
            return false;
        };
        if leg.tone.is_some() {
            // One that sounds already tells of both.
            return true;
        }
        let Some(slot) = self.rooms.get_mut(room).and_then(|room| room.lend(seat)) else {
            return false;
        };
        leg.holds = leg.holds.wrapping_add(1);
        let head = self.playheads.add(leg_place, Tune::Tone, now);
        leg.tone = Some(Tone { head, slot });
        true
    }

    /// One frame of the tone for one leg; it goes on whether the leg can be reached or not.
    pub(super) fn sound(&mut self, now: u64, place: u32, instant: u64) -> Option<()> {
        let leg = self.legs.get_mut(place)?;
        let tone = leg.tone.as_mut()?;
        if tone.head.at >= self.tone.frames() as u64 {
            self.end_tone(now, place);
            return None;
        }
        let frame = Frame {
            source: Source {
                leg: TONE,
                stream: leg.holds,
            },
            payload: self.tone.frame(tone.head.at),
            number: tone.head.at,
            timestamp: tone.head.timestamp(instant),
            marker: false,
        };
        tone.head.at += 1;
        let transport = self.transports.get_mut(leg.transport?)?;
        let slot = leg.slots.get_mut(tone.slot)?.as_mut()?;
        send(now, slot, &mut leg.sending, transport, &mut self.out, &frame)
    }

    /// A frame after the last one: whoever was interrupted speaks on.
    fn end_tone(&mut self, now: u64, place: u32) {
        let Some(leg) = self.legs.get_mut(place) else { return };
        let Some(tone) = leg.tone.take() else { return };
        self.playheads.remove(place, tone.head);
        leg.release(tone.slot);
        let (room, seat) = (leg.room, leg.seat());
        let lent = self.rooms.get_mut(room).and_then(|room| room.tones.get_mut(seat));
        if let Some(lent) = lent {
            *lent = NO_SLOT;
        }
        self.replan(now, room);
    }

    fn sitting_at(&mut self, room: u32, seat: usize) -> Option<(u32, &mut crate::leg::Leg)> {
        let sitting = self.rooms.get(room)?.seats.get(seat).copied().flatten()?;
        Some((sitting.leg, self.legs.get_mut(sitting.leg)?))
    }
}
