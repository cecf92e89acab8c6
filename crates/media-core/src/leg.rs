//! One participant's place in a room: its slots, its counters and how alive it is. It outlives its transports.
//!
//! It never looks into a packet and never sends: the shard does, by what stands here.
//!
//! Invariant: a leg that has reported `LegDown` is in no table of the shard.

use crate::command::{AddLeg, SlotParams};
use crate::counters::{Downlink, Sending, UPLINK_HOT_BYTES, Uplink};
use crate::dtmf::Keys;
use crate::judge::Judge;
use crate::limits::{
    AWAY, AWAY_WITHOUT_UPLINK, LEG_KEEP, LEGS_PER_ROOM_MAX, REPORT_EARLY, REPORT_FAST, REPORT_FIRST_MAX, REPORT_LOSS,
    REPORT_SLOW, SLOTS_PER_LEG_MAX,
};
use crate::matrix::{Line, Part, Stance};
use crate::missing::Missing;
use crate::music::Playhead;
use crate::origin::Route;
use crate::shard::Tone;
use crate::slot::Slot;
use crate::table::Mark;
use crate::transport::Transport;
use crate::{LegId, TapId};

/// How alive a leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No keys yet.
    Joining,
    /// It can hear and be heard.
    Up,
    /// Nothing authenticated came for a while, or the far end said good-bye.
    Away,
}

impl State {
    /// The same in the words of the rule.
    pub(crate) const fn line(self) -> Line {
        match self {
            State::Joining => Line::Joining,
            State::Up => Line::Here,
            State::Away => Line::Away,
        }
    }
}

/// The last sender report of the peer, for the LSR and DLSR of ours (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct SenderReport {
    /// Middle 32 bits of its NTP time.
    pub(crate) middle: u32,
    /// When it came, nanoseconds.
    pub(crate) at: u64,
}

/// The last reference time of the peer (RFC 3611 §4.4), for the answer that tells it the round trip.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reference {
    /// Who sent it.
    pub(crate) ssrc: u32,
    /// Middle 32 bits of its NTP time.
    pub(crate) middle: u32,
    /// When it came, nanoseconds.
    pub(crate) at: u64,
}

/// See the top of this file.
// In this order, at the start of a cache line: the first line is what packets from the leg and to it need, the next two what
// those from it need, then come the slots, two lines each, for those to it.
#[repr(C, align(64))]
pub(crate) struct Leg {
    mark: Mark,
    /// The transport in use; before the first keys, the first one.
    pub(crate) transport: Option<u32>,
    /// The room's place in the shard.
    pub(crate) room: u32,
    pub(crate) tap: TapId,
    /// What was sent to it in this second.
    pub(crate) sending: Sending,
    /// When its last audio packet came; 0 before the first.
    pub(crate) rtp_at: u64,
    /// What did not come of its uplink; made with the first gap.
    pub(crate) missing: Option<Box<Missing>>,
    /// The first index that belongs to the tap; what is older and comes late does not.
    pub(crate) tap_from: u64,
    /// Counts the streams of its uplink: new SSRC, new transport.
    pub(crate) stream: u32,
    /// It was told that no audio comes from it.
    pub(crate) stalled: bool,
    /// What it sends is dropped unopened, by the plan.
    pub(crate) silenced: bool,
    pub(crate) state: State,
    seat: u8,
    pub(crate) up: Uplink,
    pub(crate) slots: [Option<Slot>; SLOTS_PER_LEG_MAX],
    pub(crate) down: Downlink,
    /// The tap takes it now.
    pub(crate) tapped: bool,
    pub(crate) id: LegId,
    pub(crate) part: Part,
    /// Over what it goes, as was told last.
    pub(crate) route: Option<Route>,
    /// A newer transport on its way.
    pub(crate) next: Option<u32>,
    pub(crate) up_at: Option<u64>,
    /// Since when the plan lets somebody hear it; `None` while nobody may.
    pub(crate) heard_since: Option<u64>,
    /// When the transport in use got its keys.
    pub(crate) keyed_at: u64,
    /// Since when it could have been speaking: up, and let speak.
    pub(crate) here_at: u64,
    /// When the last valid check of any of its transports came; before the first one, when it was made.
    pub(crate) alive_at: u64,
    pub(crate) sender_report: Option<SenderReport>,
    /// The last reference time of the peer that was not answered yet.
    pub(crate) reference: Option<Reference>,
    pub(crate) judge: Judge,
    /// While it hears the music.
    pub(crate) music: Option<Playhead>,
    /// How often it has begun to hear it, or a tone.
    pub(crate) holds: u32,
    /// While it hears the tone.
    pub(crate) tone: Option<Tone>,
    /// By seat, of which supervisors it was told and how they take part.
    pub(crate) told: [Stance; LEGS_PER_ROOM_MAX],
    /// Whether a packet tells of a key that is pressed anew.
    pub(crate) keys: Keys,
    /// Slots that its page has given up, and may want again under the same keys; made with the first.
    parked: Option<Box<[Option<Slot>; SLOTS_PER_LEG_MAX]>>,
}

/// Bytes at the start of a [`Leg`] that its own packets need.
pub(crate) const SOURCE_BYTES: usize = std::mem::offset_of!(Leg, up) + UPLINK_HOT_BYTES;
/// Where its first slot begins, which packets to it need besides the first line: most listen to one source.
pub(crate) const SINK_AT: usize = std::mem::offset_of!(Leg, slots);
pub(crate) const SINK_BYTES: usize = size_of::<Option<Slot>>();

const _: () = assert!(std::mem::offset_of!(Leg, up) == 64 && SINK_AT.is_multiple_of(64));

/// Where the leg's name stands, which a packet through the relay is compared with.
pub(crate) const NAME_AT: usize = std::mem::offset_of!(Leg, id);

impl Leg {
    pub(crate) fn new(add: &AddLeg, room: u32, seat: usize, now: u64) -> Leg {
        let slots = add.transport.media.slots;
        Leg {
            mark: Mark::Taken,
            id: add.leg,
            room,
            seat: seat as u8,
            part: add.part,
            tap: add.tap,
            state: State::Joining,
            transport: None,
            next: None,
            slots: slots.map(|slot| slot.map(|slot| Slot::new(slot.ssrc, slot.sequence, slot.timestamp))),
            stream: 0,
            up: Uplink::default(),
            sending: Sending::default(),
            down: Downlink::default(),
            rtp_at: 0,
            stalled: false,
            up_at: None,
            keyed_at: 0,
            here_at: now,
            alive_at: now,
            sender_report: None,
            reference: None,
            missing: None,
            tapped: false,
            tap_from: 0,
            judge: Judge::default(),
            silenced: false,
            heard_since: None,
            music: None,
            holds: 0,
            route: None,
            tone: None,
            told: [Stance::Waiting; LEGS_PER_ROOM_MAX],
            keys: Keys::default(),
            parked: None,
        }
    }

    /// The place in the room, 0 to 7.
    #[inline]
    pub(crate) fn seat(&self) -> usize {
        usize::from(self.seat)
    }

    /// The slots of a transport that has just got its keys: numbers and time go on, nonces begin anew.
    pub(crate) fn adopt_slots(&mut self, transport: &Transport) {
        // Under new keys every number is new.
        self.parked = None;
        for (slot, params) in self.slots.iter_mut().zip(transport.slots) {
            *slot = match (slot.take(), params) {
                (Some(mut old), Some(params)) => {
                    old.rekey();
                    old.ssrc = params.ssrc;
                    Some(old)
                }
                (None, Some(params)) => Some(Slot::new(params.ssrc, params.sequence, params.timestamp)),
                (_, None) => None,
            };
        }
    }

    /// The slots of a transport that goes on under the keys it has. One that is given up is kept for when it is wanted
    /// again: made anew it would say other words under numbers that its key has sealed already.
    pub(crate) fn change_slots(&mut self, wanted: &[Option<SlotParams>; SLOTS_PER_LEG_MAX]) {
        let mut parked = self.parked.take();
        for (place, (slot, wanted)) in self.slots.iter_mut().zip(wanted).enumerate() {
            match (slot.take(), wanted) {
                (Some(old), Some(_)) => *slot = Some(old),
                (None, Some(params)) => {
                    let kept = parked.as_mut().and_then(|parked| parked.get_mut(place)?.take());
                    *slot = Some(kept.unwrap_or_else(|| Slot::new(params.ssrc, params.sequence, params.timestamp)));
                }
                (Some(mut old), None) => {
                    old.release();
                    if let Some(place) = parked.get_or_insert_default().get_mut(place) {
                        *place = Some(old);
                    }
                }
                (None, None) => {}
            }
        }
        self.parked = parked;
    }

    /// Nobody is heard through this slot any more.
    pub(crate) fn release(&mut self, slot: usize) {
        if let Some(Some(free)) = self.slots.get_mut(slot) {
            free.release();
        }
        self.down.released(slot);
    }

    /// Silence after which the leg is away.
    pub(crate) fn away_after(&self, transport: &Transport) -> u64 {
        if transport.media.uplink {
            AWAY
        } else {
            AWAY_WITHOUT_UPLINK
        }
    }

    /// When the leg is lost if no valid check comes.
    pub(crate) fn kept_until(&self) -> u64 {
        self.alive_at + LEG_KEEP
    }

    /// When the first report goes out: legs that came together do not report together.
    pub(crate) fn first_report(&self, now: u64, place: u32) -> u64 {
        now + REPORT_FIRST_MAX / 2 + u64::from(place % 64) * (REPORT_FIRST_MAX / 2 / 64)
    }

    /// When the report after this one goes out. `fraction_lost`: what this one said, 1/256.
    pub(crate) fn next_report(&self, now: u64, fraction_lost: u8) -> u64 {
        // A new page has a new encoder, which makes no FEC before a report speaks of loss.
        let young = now.saturating_sub(self.keyed_at) < REPORT_EARLY;
        now + if young || fraction_lost >= REPORT_LOSS {
            REPORT_FAST
        } else {
            REPORT_SLOW
        }
    }
}
