//! Everything received from one leg, and the sums of its running second.
//!
//! Invariant: a packet is counted once, as received, as rebuilt or as lost; one that was repaired is not lost.

use super::{Arrival, Reception, Second, microseconds};
use crate::quality::flags::{CLIPPED_LEVEL_MIN, LOUD_LEVEL_MIN};
use crate::slot::samples;
use crate::tap::LEVEL_UNKNOWN;

/// Sums of the running second that every packet adds to. A leg may send [`crate::limits::UPLINK_PACKETS_PER_S_MAX`], so that
/// 16 bits count more than five minutes of a second that nobody closes.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct Running {
    delay_sum: u32,
    delay_min: u32,
    delay_max: u32,
    received: u32,
    payload_bytes: u32,
    level_sum: u32,
    levels: u16,
    delays: u16,
    voiced: u16,
    dtx: u16,
    loud: u16,
    clipped: u16,
    level_max: u8,
}

/// Sums of the running second that few packets add to.
#[derive(Clone, Copy, Debug, Default)]
struct Seldom {
    late: u32,
    duplicate: u32,
    rtx: u32,
    /// Of streams that ended in this second: what of them stands in no row yet. The same for `fec`.
    red: u32,
    fec: u32,
    burst_max: u32,
}

/// Everything received from one leg.
// In this order: what every packet needs stands together at the start, in as few cache lines as there can be.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub struct Uplink {
    /// Bit n: the packet `highest - n` came, or its audio did.
    came: u128,
    /// Bit n: that one came and mends the one before it.
    mends: u128,
    highest: u64,
    received: u64,
    envelope_since: u64,
    /// Least transit times of the present half, and of the one before it.
    envelope: [u32; 2],
    /// Timestamp of the newest packet.
    newest_timestamp: u32,
    /// Jitter of RFC 3550, times 16, in samples.
    jitter16: u32,
    last_transit: u32,
    last_timestamp: u32,
    running: Running,
    started: bool,
    /// How many of the envelope's halves there are.
    halves: u8,
    seldom: Seldom,
    base: u64,
    /// Packets of all streams before this one; the same of those that never came.
    received_before: u64,
    lost_before: u64,
    reported_expected: u64,
    reported_received: u64,
    second_expected: u64,
    /// Packets of this stream that came because we asked for them.
    rtx: u64,
    reported_rtx: u64,
    /// Packets of this stream whose audio came inside a later one, and that did not come themselves.
    red: u64,
    /// Packets of this stream that did not come, nor their audio inside a later one, and that the next one mends.
    fec: u64,
    /// Packets of all streams that were repaired, one way or the other.
    repaired_total: u64,
    /// Of this stream's lost packets, how many stand in rows already. The same for those that were rebuilt and mended.
    second_lost: u64,
    second_red: u64,
    second_fec: u64,
    jitter_sum_us: f64,
    jitter_seconds: u32,
    /// Loudest level of all streams.
    loudest: u8,
}

/// Bytes at the start of an [`Uplink`] that every packet needs.
pub(crate) const HOT_BYTES: usize = std::mem::offset_of!(Uplink, seldom);
const _: () = assert!(HOT_BYTES <= 128, "two cache lines");

/// How long one half of the lower envelope lasts, nanoseconds.
const ENVELOPE: u64 = 10 * crate::limits::SECOND;
/// A step of time within one stream that is no loss: 10 s.
const LEAP_SAMPLES: u32 = 480_000;
/// Packets behind the newest of which is known whether they came: 1.28 s of 10 ms, the shortest frames that browsers send,
/// and a little longer than any is asked for ([`crate::limits::MISSING_FOR`]).
/// Higher: the words grow. Lower: what comes late is counted as mended and as received.
const WINDOW: u64 = u128::BITS as u64;
const _: () = assert!(WINDOW * 10 * crate::limits::MS > crate::limits::MISSING_FOR);
/// Timestamp steps over which jitter is taken: 60 ms; after a DTX gap the pair would be a false spike.
const JITTER_STEP_MAX: u32 = 2_880;
/// Payloads up to this are DTX frames (RFC 6716 §2.1.9: one byte, or two with padding).
pub const DTX_BYTES_MAX: usize = 2;

impl Uplink {
    /// A new stream: numbers and time begin anew, totals go on.
    pub fn restart(&mut self) {
        self.lost_before = self.lost_total();
        self.seldom.red += self.red.saturating_sub(self.second_red) as u32;
        self.seldom.fec += self.fec.saturating_sub(self.second_fec) as u32;
        *self = Uplink {
            received_before: self.received_total(),
            repaired_total: self.repaired_total,
            lost_before: self.lost_before,
            running: self.running,
            seldom: self.seldom,
            jitter_sum_us: self.jitter_sum_us,
            jitter_seconds: self.jitter_seconds,
            loudest: self.loudest,
            ..Uplink::default()
        };
    }

    /// Counts one authenticated packet that is no duplicate.
    #[inline]
    pub fn count(&mut self, arrival: Arrival) {
        let transit = samples(arrival.now).wrapping_sub(arrival.timestamp);
        self.received += 1;
        self.running.received += 1;
        self.running.payload_bytes = self.running.payload_bytes.saturating_add(arrival.payload as u32);
        self.count_index(arrival.index, arrival.timestamp, arrival.mends);
        if arrival.repaired {
            self.rtx += 1;
            self.seldom.rtx += 1;
            self.repaired_total += 1;
        }
        if arrival.audio {
            // The way of a packet that was asked for says nothing about jitter and delay.
            if !arrival.repaired {
                self.count_time(arrival, transit);
            }
            self.count_sound(arrival);
        }
    }

    /// Counts the missing packet `index` whose audio came inside a later one.
    pub fn count_rebuilt(&mut self, index: u64) {
        self.fill(index);
        self.red += 1;
        self.repaired_total += 1;
    }

    /// A packet that was counted as rebuilt has come itself: it was not lost, only late.
    pub fn count_rebuilt_in_vain(&mut self) {
        self.red = self.red.saturating_sub(1);
        self.repaired_total = self.repaired_total.saturating_sub(1);
    }

    fn count_index(&mut self, index: u64, timestamp: u32, mends: bool) {
        if !self.started {
            self.started = true;
            self.base = index;
            self.highest = index;
            self.newest_timestamp = timestamp;
            (self.came, self.mends) = (1, u128::from(mends));
        } else if index > self.highest {
            let step = index - self.highest;
            let missing = (step - 1).min(u64::from(u32::MAX)) as u32;
            if missing > 0 {
                self.count_gap(missing);
            }
            let move_on = |bits: u128| if step < WINDOW { bits << step } else { 0 };
            (self.came, self.mends) = (move_on(self.came) | 1, move_on(self.mends) | u128::from(mends));
            self.highest = index;
            self.newest_timestamp = timestamp;
            if mends && missing > 0 {
                self.count_mended();
            }
        } else {
            self.seldom.late += 1;
            if index < self.base {
                self.begin_earlier(index);
            } else {
                self.fill(index);
            }
            if mends {
                self.late_mends(index);
            }
        }
    }

    /// Packets are missing in a row. What stands here lies in a cache line that the others do not need.
    #[cold]
    fn count_gap(&mut self, packets: u32) {
        self.seldom.burst_max = self.seldom.burst_max.max(packets);
    }

    /// A packet from before all that came: the stream began with it, and only now what lies between is missing. Of that the
    /// last one is mended if what was the first packet holds it.
    fn begin_earlier(&mut self, index: u64) {
        let behind = self.highest.saturating_sub(index);
        if behind < WINDOW {
            self.came |= 1 << behind;
        }
        let begun = std::mem::replace(&mut self.base, index);
        let between = begun.saturating_sub(index + 1);
        let first = self.highest.saturating_sub(begun);
        if between > 0 && first + 1 < WINDOW && self.mends >> first & 1 == 1 {
            self.count_mended();
        }
    }

    /// A packet behind the newest is missing no more: what the next one holds of it is not needed.
    fn fill(&mut self, index: u64) {
        let behind = self.highest.saturating_sub(index);
        if behind == 0 || behind >= WINDOW {
            return;
        }
        let mended = self.came >> behind & 1 == 0 && self.mends >> (behind - 1) & 1 == 1;
        self.came |= 1 << behind;
        if mended {
            self.fec = self.fec.saturating_sub(1);
            self.repaired_total = self.repaired_total.saturating_sub(1);
        }
    }

    /// A packet that came behind a newer one mends the one before it, if that is still missing.
    fn late_mends(&mut self, index: u64) {
        let behind = self.highest.saturating_sub(index);
        if behind >= WINDOW {
            return;
        }
        self.mends |= 1 << behind;
        let before = behind + 1;
        if before < WINDOW && index > self.base && self.came >> before & 1 == 0 {
            self.count_mended();
        }
    }

    /// A packet that is missing can be played from the next one.
    fn count_mended(&mut self) {
        self.fec += 1;
        self.repaired_total += 1;
    }

    /// Counts a packet that came before.
    pub fn count_duplicate(&mut self) {
        self.seldom.duplicate += 1;
    }

    /// Packets of all streams that came.
    #[must_use]
    pub fn received_total(&self) -> u64 {
        self.received_before + self.received
    }

    /// Packets of all streams that never came and can be rebuilt from no other one: the loss that is left after repair.
    #[must_use]
    pub fn lost_total(&self) -> u64 {
        self.lost_before + self.lost()
    }

    /// Packets of all streams that came because we asked for them, or whose audio came inside a later one, as it was or as
    /// in-band FEC.
    #[must_use]
    pub fn repaired_total(&self) -> u64 {
        self.repaired_total
    }

    fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received + self.red + self.fec)
    }

    /// How far `timestamp` lies behind the newest packet of the stream, in samples; 0 for the newest itself.
    #[must_use]
    pub fn behind(&self, timestamp: u32) -> u32 {
        (self.newest_timestamp.wrapping_sub(timestamp) as i32).max(0) as u32
    }

    /// True if `timestamp` is so far from the newest that the sender has begun to count anew.
    #[must_use]
    pub fn leaps(&self, timestamp: u32) -> bool {
        (timestamp.wrapping_sub(self.newest_timestamp) as i32).unsigned_abs() > LEAP_SAMPLES
    }

    /// Timestamp of the newest packet of the present stream.
    #[must_use]
    pub fn newest_timestamp(&self) -> u32 {
        self.newest_timestamp
    }

    /// Mean jitter over the seconds that had audio, milliseconds.
    #[must_use]
    pub fn jitter_ms_mean(&self) -> f64 {
        if self.jitter_seconds == 0 {
            0.0
        } else {
            self.jitter_sum_us / f64::from(self.jitter_seconds) / 1_000.0
        }
    }

    /// Loudest level over all seconds, this one included: 0 silence or never told, 127 full scale.
    #[must_use]
    pub fn level_max(&self) -> u8 {
        self.loudest.max(self.running.level_max)
    }

    /// The highest index of the present stream, once there is one.
    #[must_use]
    pub fn highest(&self) -> Option<u64> {
        self.started.then_some(self.highest)
    }

    /// The figures for a report and closes its interval; `None` before the first packet.
    pub fn report(&mut self) -> Option<Reception> {
        if !self.started {
            return None;
        }
        let expected = self.expected();
        let interval = expected - self.reported_expected;
        // What had to be asked for counts as lost here: it came too late for those who listen, and the speaker's FEC,
        // which follows this number, is what they have instead.
        let received = (self.received - self.reported_received).saturating_sub(self.rtx - self.reported_rtx);
        self.reported_expected = expected;
        self.reported_received = self.received;
        self.reported_rtx = self.rtx;
        let lost = interval.saturating_sub(received);
        Some(Reception {
            fraction_lost: (lost * 256).checked_div(interval).unwrap_or(0).min(255) as u8,
            cumulative_lost: (expected as i64 - self.received as i64).clamp(-0x80_0000, 0x7F_FFFF) as i32,
            highest: self.highest as u32,
            jitter: self.jitter16 / 16,
        })
    }

    /// Fills the figures of the second that ends now, and begins the next.
    pub fn close_second(&mut self, second: &mut Second) {
        let run = std::mem::take(&mut self.running);
        let seldom = std::mem::take(&mut self.seldom);
        let expected = self.expected();
        second.expected = expected.saturating_sub(self.second_expected) as u32;
        self.second_expected = expected;
        second.received = run.received;
        // A row cannot take back what one before it said: what is repaired later makes the next loss smaller, and what was
        // repaired and comes itself the next repair.
        let fresh = |now: u64, told: &mut u64| {
            let fresh = now.saturating_sub(*told);
            *told = now.max(*told);
            fresh as u32
        };
        second.lost = fresh(self.lost(), &mut self.second_lost);
        second.repaired_rtx = seldom.rtx;
        second.repaired_red = seldom.red + fresh(self.red, &mut self.second_red);
        second.repaired_fec = seldom.fec + fresh(self.fec, &mut self.second_fec);
        second.late = seldom.late;
        second.duplicate = seldom.duplicate;
        second.burst_max = seldom.burst_max;
        second.jitter_us = self.jitter_us();
        second.payload_bytes = run.payload_bytes;
        second.voiced = u32::from(run.voiced);
        second.dtx = u32::from(run.dtx);
        second.loud = u32::from(run.loud);
        second.clipped = u32::from(run.clipped);
        if let Some(mean) = run.level_sum.checked_div(u32::from(run.levels)) {
            second.level_mean = mean as u8;
            second.level_max = run.level_max;
            self.loudest = self.loudest.max(run.level_max);
        }
        if let Some(mean) = run.delay_sum.checked_div(u32::from(run.delays)) {
            second.delay_us_min = microseconds(run.delay_min);
            second.delay_us_mean = microseconds(mean);
            second.delay_us_max = microseconds(run.delay_max);
        }
        if run.received > 0 {
            self.jitter_sum_us += f64::from(second.jitter_us);
            self.jitter_seconds += 1;
        }
    }

    fn expected(&self) -> u64 {
        if self.started { self.highest - self.base + 1 } else { 0 }
    }

    fn jitter_us(&self) -> u32 {
        microseconds(self.jitter16 / 16)
    }

    /// Jitter and delay (RFC 3550 §6.4.1), but only between neighbours in time that came in order.
    fn count_time(&mut self, arrival: Arrival, transit: u32) {
        let now = arrival.now;
        if self.halves > 0 {
            let step = arrival.timestamp.wrapping_sub(self.last_timestamp);
            if step <= JITTER_STEP_MAX {
                let difference = (transit.wrapping_sub(self.last_transit) as i32).unsigned_abs();
                let settled = self.jitter16 - ((self.jitter16 + 8) >> 4);
                self.jitter16 = settled.saturating_add(difference);
            }
        }
        self.last_transit = transit;
        self.last_timestamp = arrival.timestamp;
        let lower = |a: u32, b: u32| if (a.wrapping_sub(b) as i32) < 0 { a } else { b };
        let [here, before] = self.envelope;
        if self.halves == 0 {
            (self.halves, self.envelope_since) = (1, now);
            self.envelope = [transit; 2];
        } else if now.saturating_sub(self.envelope_since) >= ENVELOPE {
            (self.halves, self.envelope_since) = (2, now);
            self.envelope = [transit, here];
        } else {
            self.envelope = [lower(here, transit), before];
        }
        let [here, before] = self.envelope;
        let floor = if self.halves == 2 { lower(before, here) } else { here };
        let delay = transit.wrapping_sub(floor);
        let run = &mut self.running;
        run.delay_min = if run.delays == 0 {
            delay
        } else {
            run.delay_min.min(delay)
        };
        run.delay_max = run.delay_max.max(delay);
        run.delay_sum = run.delay_sum.saturating_add(delay);
        run.delays = run.delays.saturating_add(1);
    }

    fn count_sound(&mut self, arrival: Arrival) {
        let run = &mut self.running;
        let dtx = arrival.payload <= DTX_BYTES_MAX;
        let count = |sum: &mut u16, counts: bool| *sum = sum.saturating_add(u16::from(counts));
        count(&mut run.dtx, dtx);
        if arrival.level == LEVEL_UNKNOWN {
            count(&mut run.voiced, !dtx);
        } else {
            count(&mut run.voiced, arrival.voice);
            count(&mut run.loud, arrival.level >= LOUD_LEVEL_MIN);
            count(&mut run.clipped, arrival.level >= CLIPPED_LEVEL_MIN);
            count(&mut run.levels, true);
            run.level_sum += u32::from(arrival.level);
            run.level_max = run.level_max.max(arrival.level);
        }
    }
}
