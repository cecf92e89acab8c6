//! One outgoing RTP stream of a leg: continuous numbers and time for whatever source feeds it.
//!
//! It looks into no packet; it says which index and timestamp a packet gets, or that it must not go out, and keeps the
//! last sealed ones for a receiver that may ask for them again.
//!
//! Invariant: no index is handed out twice between two calls of [`Slot::rekey`]. A repeated index under one key
//! would give the GCM authentication key away.

use crate::gaps::Gaps;
use crate::limits::MS;
use crate::ring::{self, Ring};

/// Input steps larger than this are a new stream, not loss.
const INPUT_JUMP_PACKETS: u64 = 1_000;
/// A timestamp this far from wall time is a new stream: 10 s at 48 kHz.
const INPUT_JUMP_SAMPLES: u32 = 480_000;
/// One Opus frame of 20 ms at 48 kHz: the least step of time over a switch.
const FRAME_SAMPLES: u32 = 960;
/// Packets behind the newest that may still go out: the width of the sent window.
const WINDOW: u64 = 128;
/// Sequence numbers start below this, so that the first packets can be lost without the receiver missing the
/// wrap (RFC 3711 §3.3.1).
const FIRST_SEQUENCE_MASK: u64 = 0x7FFF;

/// Which stream feeds a slot. Anything that breaks numbering or time at the source makes a new `stream`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Which leg, as the shard numbers them.
    pub leg: u32,
    /// Counts the leg's streams: new SSRC, new transport.
    pub stream: u32,
}

/// What a packet gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// SRTP index: roll-over count and sequence number.
    pub index: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// True on the first packet after a switch: it carries the marker.
    pub switched: bool,
    /// Media time since the switch, in samples: what is older belongs to somebody or something else.
    pub since_switch: u32,
}

/// Why a packet must not go out on this slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is older than the switch to its source.
    BeforeSwitch,
    /// It is too far behind the newest.
    TooOld,
    /// Its index was used: sending again would repeat a nonce.
    Repeated,
}

/// What we know of a slot's stream when its receiver reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Somebody is heard through the slot now.
    pub fed: bool,
    /// Index of the highest number that the receiver has heard.
    pub heard: u64,
    /// Numbers up to it that had not been sent when it was: what the receiver misses of those is no loss of its line.
    pub gaps: u32,
    /// Packets sent.
    pub packets: u64,
    /// Of those, how many hold the packet before once more, for a receiver that makes use of it.
    pub mending: u64,
}

/// See the top of this file.
// In this order and at the start of a cache line: two of them hold it, and every packet needs both.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct Slot {
    /// SSRC on the wire.
    pub ssrc: u32,
    last_timestamp: u32,
    /// Packets sent.
    pub packets: u64,
    /// Payload bytes sent.
    pub octets: u64,
    /// Of [`Slot::packets`], how many hold the packet before once more, for a receiver that makes use of it.
    pub mending: u64,
    /// Bit n: index `top - n` was sent.
    sent: u128,
    source: Option<Source>,
    offset_timestamp: u32,
    offset: i64,
    floor: u64,
    floor_timestamp: u32,
    newest_in_timestamp: u32,
    newest_in: u64,
    top: u64,
    /// When the newest packet went out; 0 before the first.
    last_ns: u64,
    ring: Option<Box<Ring>>,
    /// What was not sent; made with the first gap.
    gaps: Option<Box<Gaps>>,
}

const _: () = assert!(size_of::<Option<Slot>>() == 128);

impl Slot {
    /// A silent slot. `sequence` and `timestamp` are random; the sequence is cut to 15 bits.
    #[must_use]
    pub fn new(ssrc: u32, sequence: u16, timestamp: u32) -> Slot {
        Slot {
            ssrc,
            packets: 0,
            octets: 0,
            mending: 0,
            source: None,
            floor: 0,
            floor_timestamp: 0,
            offset: 0,
            offset_timestamp: 0,
            newest_in: 0,
            newest_in_timestamp: 0,
            top: (u64::from(sequence) & FIRST_SEQUENCE_MASK).saturating_sub(1),
            sent: 0,
            last_timestamp: timestamp,
            last_ns: 0,
            ring: None,
            gaps: None,
        }
    }

    /// Index and time for the packet `index_in`, `timestamp_in` of `source`.
    ///
    /// # Errors
    /// [`Refused`]; the slot is then unchanged.
    #[inline]
    pub fn stamp(&mut self, source: Source, index_in: u64, timestamp_in: u32, now: u64) -> Result<Stamp, Refused> {
        let switched = self.source != Some(source) || self.jumps(index_in, timestamp_in, now);
        if switched {
            self.switch(source, index_in, timestamp_in, now);
        }
        if index_in < self.floor {
            return Err(Refused::BeforeSwitch);
        }
        let index = (index_in as i64 + self.offset) as u64;
        let timestamp = timestamp_in.wrapping_add(self.offset_timestamp);
        if index > self.top {
            let step = index - self.top;
            self.sent = if step >= WINDOW { 1 } else { self.sent << step | 1 };
            self.top = index;
            self.newest_in = index_in;
            self.newest_in_timestamp = timestamp_in;
            self.last_timestamp = timestamp;
            self.last_ns = now.max(1);
            if step > 1 {
                self.skipped(index, step - 1);
            }
        } else {
            let behind = self.top - index;
            if behind >= WINDOW {
                return Err(Refused::TooOld);
            }
            if self.sent >> behind & 1 == 1 {
                return Err(Refused::Repeated);
            }
            self.sent |= 1 << behind;
            if let Some(gaps) = &mut self.gaps {
                gaps.filled(self.top);
            }
        }
        Ok(Stamp {
            index,
            timestamp,
            switched,
            since_switch: timestamp_in.wrapping_sub(self.floor_timestamp),
        })
    }

    /// The packet that got `stamp` was not sent after all: a gap like any other. Its index stays used.
    #[cold]
    pub fn not_sent(&mut self, stamp: &Stamp) {
        // Who has heard no more than the newest may still wait for a late one.
        let from = if stamp.index == self.top {
            stamp.index
        } else {
            self.top + 1
        };
        self.skipped(from, 1);
    }

    /// What the receiver can have got when `highest` is the highest number it has heard, as a report says it (RFC 3550
    /// §6.4.1). Its lower 16 bits are enough: no report is as old as 65,536 packets.
    #[must_use]
    pub fn sent_up_to(&self, highest: u32) -> Sent {
        let behind = (self.top as u16).wrapping_sub(highest as u16);
        let heard = self.top.saturating_sub(u64::from(behind));
        Sent {
            fed: self.is_fed(),
            heard,
            gaps: self.gaps.as_ref().map_or(0, |gaps| gaps.up_to(heard)),
            packets: self.packets,
            mending: self.mending,
        }
    }

    /// The packet `index_in` of `source` is kept from this listener: what follows it goes on at +1, as if it had never been.
    /// A packet from before it that comes late goes out no more, for its number belongs to another one now. One that was
    /// overtaken stays a gap: what follows it is sent already.
    pub fn pass_over(&mut self, source: Source, index_in: u64) {
        if self.source == Some(source) && index_in > self.newest_in && index_in >= self.floor {
            self.offset -= 1;
            self.floor = index_in + 1;
        }
    }

    /// True if the slot is free or is already fed by this leg.
    #[must_use]
    pub fn suits(&self, leg: u32) -> bool {
        self.source.is_none_or(|source| source.leg == leg)
    }

    /// True once a packet went out.
    const fn has_started(&self) -> bool {
        self.last_ns > 0
    }

    /// True while somebody feeds the slot.
    #[must_use]
    pub const fn is_fed(&self) -> bool {
        self.source.is_some()
    }

    /// Nobody feeds the slot any more; whoever comes next is a switch. What was sent is sent again no more.
    pub fn release(&mut self) {
        self.source = None;
        self.forget();
    }

    /// The leg has new keys: the roll-over count begins at 0 again and the sequence below 2^15, going on at +1 where
    /// that allows it. Under new keys no index was used.
    pub fn rekey(&mut self) {
        self.top = (self.top & FIRST_SEQUENCE_MASK).min(FIRST_SEQUENCE_MASK - 1);
        self.sent = 0;
        self.source = None;
        if let Some(gaps) = &mut self.gaps {
            **gaps = Gaps::default();
        }
        self.forget();
    }

    /// Keeps a sealed packet for a receiver that may ask for it again; `false` if it is too long. The first call makes
    /// the place for it, once in the life of the slot.
    #[inline]
    pub(crate) fn keep(&mut self, index: u64, sealed: &[u8]) -> bool {
        self.ring.get_or_insert_with(Ring::new).keep(index, sealed)
    }

    /// The sealed packet with this sequence number, if it may be sent again.
    pub(crate) fn find_sent(&self, sequence: u16) -> Result<&[u8], ring::Refused> {
        self.ring.as_ref().ok_or(ring::Refused::Missed)?.find(sequence)
    }

    /// The packet with this sequence number was sent again.
    pub(crate) fn sent_again(&mut self, sequence: u16) {
        if let Some(ring) = &mut self.ring {
            ring.sent_again(sequence);
        }
    }

    /// The rare branch: numbers are left out. It makes the place to note them, once in the life of the slot.
    #[cold]
    fn skipped(&mut self, index: u64, count: u64) {
        self.gaps.get_or_insert_default().skipped(index, count);
    }

    fn forget(&mut self) {
        if let Some(ring) = &mut self.ring {
            ring.clear();
        }
    }

    /// The RTP time that belongs to `now`, for sender reports; `None` before the first packet.
    #[must_use]
    pub fn timestamp_at(&self, now: u64) -> Option<u32> {
        self.has_started().then(|| {
            self.last_timestamp
                .wrapping_add(samples(now.saturating_sub(self.last_ns)))
        })
    }

    fn jumps(&self, index_in: u64, timestamp_in: u32, now: u64) -> bool {
        if index_in <= self.newest_in {
            return false;
        }
        let expected = self
            .newest_in_timestamp
            .wrapping_add(samples(now.saturating_sub(self.last_ns)));
        let off = (timestamp_in.wrapping_sub(expected) as i32).unsigned_abs();
        index_in - self.newest_in > INPUT_JUMP_PACKETS || off > INPUT_JUMP_SAMPLES
    }

    fn switch(&mut self, source: Source, index_in: u64, timestamp_in: u32, now: u64) {
        let elapsed = samples(now.saturating_sub(self.last_ns)).max(FRAME_SAMPLES);
        let step = if self.has_started() { elapsed } else { 0 };
        self.offset = self.top as i64 + 1 - index_in as i64;
        self.offset_timestamp = self.last_timestamp.wrapping_add(step).wrapping_sub(timestamp_in);
        self.floor = index_in;
        self.floor_timestamp = timestamp_in;
        self.source = Some(source);
    }
}

/// Nanoseconds as 48 kHz samples, in the arithmetic of RTP timestamps.
pub(crate) fn samples(ns: u64) -> u32 {
    (ns.saturating_mul(48) / MS) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SECOND;

    const A: Source = Source { leg: 1, stream: 1 };
    const B: Source = Source { leg: 2, stream: 1 };
    const FRAME: u64 = 20 * MS;

    /// A slot that has sent `packets` packets of `A`; returns it with the time and input numbers that come next.
    fn fed(packets: u64) -> (Slot, u64, u64, u32) {
        let mut slot = Slot::new(7, 100, 5_000);
        let (mut now, mut index, mut timestamp) = (SECOND, 60_000, 1_000);
        for _ in 0..packets {
            slot.stamp(A, index, timestamp, now).unwrap();
            (now, index, timestamp) = (now + FRAME, index + 1, timestamp + 960);
        }
        (slot, now, index, timestamp)
    }

    #[test]
    fn the_first_packet_gets_the_first_sequence_and_time_and_the_marker() {
        let mut slot = Slot::new(7, 0xFFFF, 5_000);
        assert_eq!(
            slot.stamp(A, 900, 77, SECOND),
            Ok(Stamp {
                index: 0x7FFF,
                timestamp: 5_000,
                switched: true,
                since_switch: 0
            })
        );
    }

    #[test]
    fn loss_stays_a_gap_and_a_late_packet_fills_it_once() {
        let (mut slot, now, index, timestamp) = fed(10);
        let late = slot.stamp(A, index + 1, timestamp + 960, now + FRAME).unwrap();
        assert_eq!((late.index, late.timestamp), (111, 5_000 + 11 * 960));
        assert_eq!(slot.stamp(A, index, timestamp, now + FRAME).unwrap().index, 110);
        assert_eq!(slot.stamp(A, index, timestamp, now + FRAME), Err(Refused::Repeated));
    }

    #[test]
    fn a_switch_goes_on_at_plus_one_in_wall_time() {
        let (mut slot, now, ..) = fed(10);
        let stamp = slot.stamp(B, 3, 4_000_000_000, now + 3 * SECOND).unwrap();
        assert_eq!(
            stamp,
            Stamp {
                index: 110,
                timestamp: 5_000 + 9 * 960 + 3 * 48_000 + 960,
                switched: true,
                since_switch: 0
            }
        );
        assert_eq!(
            slot.stamp(B, 2, 3_999_999_040, now + 3 * SECOND),
            Err(Refused::BeforeSwitch)
        );
        assert!(
            !slot
                .stamp(B, 4, 4_000_000_960, now + 3 * SECOND + FRAME)
                .unwrap()
                .switched
        );
    }

    #[test]
    fn forty_thousand_packets_of_hold_leave_no_trace_in_the_sequence() {
        let (mut slot, now, index, timestamp) = fed(10);
        slot.release();
        let later = now + 40_000 * FRAME;
        let stamp = slot
            .stamp(A, index + 40_000, timestamp.wrapping_add(40_000 * 960), later)
            .unwrap();
        assert_eq!((stamp.index, stamp.switched), (110, true));
    }

    #[test]
    fn input_jumps_are_switches_just_above_the_limit() {
        let (slot, now, index, timestamp) = fed(10);
        let last = index - 1;
        assert!(!slot.clone().stamp(A, last + 1_000, timestamp, now).unwrap().switched);
        assert!(slot.clone().stamp(A, last + 1_001, timestamp, now).unwrap().switched);
        assert!(!slot.clone().stamp(A, index, timestamp + 480_000, now).unwrap().switched);
        assert!(slot.clone().stamp(A, index, timestamp + 480_001, now).unwrap().switched);
        assert!(
            slot.clone()
                .stamp(A, index, timestamp.wrapping_sub(480_001), now)
                .unwrap()
                .switched
        );
    }

    #[test]
    fn what_is_passed_over_leaves_no_gap_and_no_number_of_its_own() {
        let (mut slot, now, index, timestamp) = fed(10);
        // The last one that was sent has 109. Three are kept back, the first of them lost its predecessor.
        for kept_back in [index + 1, index + 2, index + 3] {
            slot.pass_over(A, kept_back);
        }
        let next = slot.stamp(A, index + 4, timestamp + 4 * 960, now + 4 * FRAME).unwrap();
        assert_eq!(
            (next.index, next.timestamp),
            (111, 5_000 + 14 * 960),
            "only what was lost is a gap"
        );
        assert!(!next.switched);
        let late = slot.stamp(A, index, timestamp, now + 4 * FRAME);
        assert_eq!(
            late,
            Err(Refused::BeforeSwitch),
            "its number may be another one's by now"
        );
        let before = slot.clone();
        for unmoved in [(B, index + 9), (A, index + 4), (A, index + 2)] {
            slot.pass_over(unmoved.0, unmoved.1);
        }
        assert_eq!(
            (slot.offset, slot.floor),
            (before.offset, before.floor),
            "another's, sent, overtaken"
        );
        assert_eq!(
            slot.stamp(A, index + 5, timestamp + 5 * 960, now + 5 * FRAME)
                .unwrap()
                .index,
            112
        );
    }

    #[test]
    fn a_thousand_and_more_that_are_passed_over_are_a_switch_that_goes_on_at_plus_one() {
        let (mut slot, now, index, timestamp) = fed(10);
        for n in 0..2_000 {
            slot.pass_over(A, index + n);
        }
        let next = slot
            .stamp(A, index + 2_000, timestamp + 2_000 * 960, now + 2_000 * FRAME)
            .unwrap();
        assert_eq!((next.index, next.timestamp), (110, 5_000 + 2_010 * 960));
    }

    #[test]
    fn packets_128_behind_the_newest_are_too_old() {
        let (mut slot, now, index, timestamp) = fed(1);
        slot.stamp(A, index + 200, timestamp + 200 * 960, now + 200 * FRAME)
            .unwrap();
        assert_eq!(
            slot.stamp(A, index + 72, timestamp, now + 200 * FRAME),
            Err(Refused::TooOld)
        );
        assert!(slot.stamp(A, index + 73, timestamp, now + 200 * FRAME).is_ok());
    }

    #[test]
    fn no_index_is_handed_out_twice_whatever_comes() {
        // A small generator of our own: the test must be repeatable and this crate draws no chance.
        let mut state = 0x9E37_79B9_7F4A_7C15u64;
        let mut draw = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut slot = Slot::new(7, 1, 0);
        let mut seen = std::collections::HashSet::new();
        let (mut now, mut base) = (SECOND, [70_000u64, 500]);
        for step in 0..200_000u64 {
            now += draw(40) * MS;
            let which = usize::from(draw(50) == 0);
            base[which] += draw(3);
            if draw(500) == 0 {
                base[which] += 5_000;
            }
            if draw(300) == 0 {
                slot.release();
            }
            let index_in = base[which] - draw(200);
            if draw(20) == 0 {
                slot.pass_over([A, B][which], index_in + draw(3));
                continue;
            }
            let timestamp = (index_in as u32).wrapping_mul(960);
            if let Ok(stamp) = slot.stamp([A, B][which], index_in, timestamp, now) {
                assert!(seen.insert(stamp.index), "index {} twice at step {step}", stamp.index);
            }
        }
        assert!(seen.len() > 50_000, "the walk must mostly send, sent {}", seen.len());
    }

    #[test]
    fn what_was_sent_is_there_to_be_sent_again_until_the_source_or_the_keys_change() {
        for change in [Slot::release as fn(&mut Slot), Slot::rekey] {
            let (mut slot, ..) = fed(1);
            assert_eq!(slot.find_sent(100), Err(ring::Refused::Missed), "nothing was kept");
            assert!(slot.keep(100, b"sealed"));
            assert_eq!(slot.find_sent(100), Ok(&b"sealed"[..]));
            change(&mut slot);
            assert_eq!(slot.find_sent(100), Err(ring::Refused::Missed));
        }
    }

    #[test]
    fn time_since_the_switch_is_that_of_the_media() {
        let (mut slot, now, index, timestamp) = fed(10);
        assert_eq!(slot.stamp(A, index, timestamp, now).unwrap().since_switch, 10 * 960);
        let stamp = slot.stamp(B, 5, 77, now).unwrap();
        assert!(stamp.switched && stamp.since_switch == 0);
    }

    #[test]
    fn new_keys_begin_below_half_of_the_sequence_space_and_go_on_where_they_can() {
        let (mut slot, now, index, timestamp) = fed(10);
        slot.rekey();
        assert_eq!(slot.stamp(A, index, timestamp, now).unwrap().index, 110);
        slot.top = 0x1_FFFF;
        slot.rekey();
        assert_eq!(slot.stamp(A, index + 1, timestamp, now).unwrap().index, 0x7FFF);
        slot.top = 0x1_0005;
        slot.rekey();
        assert_eq!(slot.stamp(A, index + 2, timestamp, now).unwrap().index, 6);
    }

    #[test]
    fn report_time_runs_on_with_the_wall() {
        let (slot, now, ..) = fed(10);
        assert_eq!(slot.timestamp_at(now - FRAME + SECOND), Some(5_000 + 9 * 960 + 48_000));
        assert_eq!(Slot::new(1, 1, 1).timestamp_at(now), None);
    }
}
