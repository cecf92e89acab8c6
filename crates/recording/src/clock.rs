//! One clock for a leg: RTP timestamps without wrap, and the server time each of them stands for.
//!
//! Never trusts a timestamp alone: a jump must be borne out by arrival, by sequence or by the packets after it.
//!
//! Invariant: of two packets of a [`Run`], the one with the higher sequence number has the later timestamp.

use crate::opus_packet::{self, Toc};
use crate::packet::{Flags, Packet};

/// A timestamp may leave its arrival by this much before it must be confirmed: ten seconds at 48 kHz.
pub const JUMP_SAMPLES_MAX: i64 = 480_000;
/// Packets that must agree with an unexplained jump before it is believed, itself included.
pub const CONFIRM_PACKETS: usize = 4;
/// Sequence numbers that a source may skip or fall back by while still explaining a timestamp (RFC 3550 A.1 takes 3,000
/// of any medium; voice at 50 packets a second is 20 seconds here).
pub const SEQ_JUMP_MAX: i64 = 1_000;
/// Samples per sequence number that a jump of both may show: DTX refreshes every 400 ms, so a second is generous.
const SAMPLES_PER_SEQ_MAX: i64 = 48_000;
/// Fastest change of a leg's clock against ours: 500 millionths, five times a poor sound card's.
pub const SKEW_PPM_MAX: i64 = 500;
/// A delay that grows at once by more than this and stays is a stall of the capture, not of the network.
pub const STALL_NS: i64 = 200_000_000;
/// How long after a jump the network has time to catch up.
pub const CATCH_UP_NS: i64 = 3_000_000_000;
/// Arrival further than this from the recording's start is no time of this call: two days.
pub const ARRIVAL_NS_MAX: i64 = 48 * 3_600 * 1_000_000_000;

/// One packet with its place in the leg's own time.
#[derive(Clone, Copy, Debug)]
pub struct Timed<'a> {
    /// The packet.
    pub packet: &'a Packet,
    /// First byte of its payload.
    pub toc: Toc,
    /// How long it lasts, at 48 kHz.
    pub samples: u32,
    /// Timestamp without wrap; its zero means nothing.
    pub ts: i64,
    /// Nanoseconds from the recording's start to its arrival.
    pub arrival: i64,
    /// Nanoseconds from the recording's start to the moment it stands for.
    pub at: i64,
    /// The capture stood still before this packet.
    pub stalled: bool,
}

impl Timed<'_> {
    /// Came the direct way, so its arrival says something about the clock.
    fn live(&self) -> bool {
        self.packet.flags.0 & (Flags::RTX.0 | Flags::RED.0) == 0
    }
}

/// What was not taken, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rejects {
    /// No Opus packet.
    pub malformed: u64,
    /// Came twice; the first counts.
    pub duplicates: u64,
    /// The timestamp jumped and nothing confirmed it.
    pub timestamps: u64,
    /// Lies over the packet before it.
    pub overlapping: u64,
    /// Arrived at no time of this call.
    pub outside: u64,
}

impl Rejects {
    /// Adds another leg's.
    pub(crate) fn add(&mut self, other: &Rejects) {
        self.malformed += other.malformed;
        self.duplicates += other.duplicates;
        self.timestamps += other.timestamps;
        self.overlapping += other.overlapping;
        self.outside += other.outside;
    }
}

/// Packets of one source under one timestamp base, in order.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// In order of sequence and of time.
    pub packets: Vec<Timed<'a>>,
}

/// Converts samples at 48 kHz to nanoseconds.
pub(crate) const fn ns(samples: i64) -> i64 {
    samples.saturating_mul(62_500) / 3
}

/// Converts nanoseconds to samples at 48 kHz.
pub(crate) const fn samples(ns: i64) -> i64 {
    ns.saturating_mul(3) / 62_500
}

/// A run under way.
struct Open<'a> {
    run: Run<'a>,
    seq: u32,
    ts: i64,
    arrival: i64,
}

impl<'a> Open<'a> {
    /// A run of `first` and, as far as one can tell, so many packets in all.
    fn new(mut first: Timed<'a>, expected: usize) -> Self {
        first.ts = i64::from(first.packet.rtp_ts);
        let (seq, ts, arrival) = (first.packet.ext_seq, first.ts, first.arrival);
        let mut packets = Vec::with_capacity(expected);
        packets.push(first);
        Self {
            run: Run { packets },
            seq,
            ts,
            arrival,
        }
    }

    /// The timestamp without wrap when arrival or sequence explains it.
    fn explains(&self, next: &Timed<'_>) -> Option<i64> {
        let steps = i64::from(next.packet.ext_seq) - i64::from(self.seq);
        let waited = samples(next.arrival - self.arrival);
        let nearest = |to: i64| to + i64::from(next.packet.rtp_ts.wrapping_sub(to as u32) as i32);
        let by_arrival = nearest(self.ts + waited);
        // No source sends more than 400 packets a second (2.5 ms each).
        let possible = steps > -SEQ_JUMP_MAX && steps <= waited.max(0) / 120 + SEQ_JUMP_MAX;
        if possible && (by_arrival - self.ts - waited).abs() <= JUMP_SAMPLES_MAX {
            return Some(by_arrival);
        }
        let by_sequence = nearest(self.ts);
        let jump = by_sequence - self.ts;
        let near = steps.abs() <= SEQ_JUMP_MAX && jump.abs() <= steps.abs() * SAMPLES_PER_SEQ_MAX;
        (near && jump.signum() == steps.signum()).then_some(by_sequence)
    }

    fn push(&mut self, mut next: Timed<'a>, ts: i64) {
        next.ts = ts;
        if next.live() && next.packet.ext_seq > self.seq {
            (self.seq, self.ts, self.arrival) = (next.packet.ext_seq, ts, next.arrival);
        }
        self.run.packets.push(next);
    }
}

/// Sorts a leg's packets into runs and gives each packet its server time. `start_ns` is the recording's start.
#[must_use]
pub fn runs(packets: &[Packet], start_ns: u64) -> (Vec<Run<'_>>, Rejects) {
    let mut rejects = Rejects::default();
    let mut done: Vec<Run<'_>> = Vec::new();
    let mut current: Option<Open<'_>> = None;
    // A second base that is not yet believed, and how many packets spoke for the first one since.
    let mut doubt: Option<(Open<'_>, usize)> = None;
    for packet in packets {
        let Some(next) = timed(packet, start_ns, &mut rejects) else {
            continue;
        };
        let Some(run) = current.as_mut() else {
            current = Some(Open::new(next, packets.len()));
            continue;
        };
        if let Some(ts) = run.explains(&next) {
            run.push(next, ts);
            if let Some((open, against)) = doubt.as_mut() {
                *against += 1;
                if *against >= CONFIRM_PACKETS {
                    rejects.timestamps += open.run.packets.len() as u64;
                    doubt = None;
                }
            }
            continue;
        }
        doubt = match doubt.take() {
            Some((mut open, against)) => match open.explains(&next) {
                Some(ts) => {
                    open.push(next, ts);
                    Some((open, against))
                }
                None => {
                    rejects.timestamps += open.run.packets.len() as u64;
                    Some((Open::new(next, CONFIRM_PACKETS), 0))
                }
            },
            None => Some((Open::new(next, CONFIRM_PACKETS), 0)),
        };
        if doubt
            .as_ref()
            .is_some_and(|(open, _)| open.run.packets.len() >= CONFIRM_PACKETS)
            && let Some((open, _)) = doubt.take()
        {
            done.extend(current.replace(open).map(|c| c.run));
        }
    }
    rejects.timestamps += doubt.map_or(0, |(open, _)| open.run.packets.len() as u64);
    done.extend(current.map(|c| c.run));
    for run in &mut done {
        run.put_in_order(&mut rejects);
        run.put_on_clock();
    }
    (done, rejects)
}

fn timed<'a>(packet: &'a Packet, start_ns: u64, rejects: &mut Rejects) -> Option<Timed<'a>> {
    let Ok(parsed) = opus_packet::parse(&packet.payload) else {
        rejects.malformed += 1;
        return None;
    };
    let arrival = i128::from(packet.arrival_ns) - i128::from(start_ns);
    let arrival = i64::try_from(arrival).ok().filter(|a| a.abs() <= ARRIVAL_NS_MAX);
    let Some(arrival) = arrival else {
        rejects.outside += 1;
        return None;
    };
    let (toc, samples) = (parsed.toc, parsed.samples());
    Some(Timed {
        packet,
        toc,
        samples,
        ts: 0,
        arrival,
        at: 0,
        stalled: false,
    })
}

impl<'a> Run<'a> {
    /// Sorts by sequence; drops duplicates (the first wins) and packets that lie over others.
    fn put_in_order(&mut self, rejects: &mut Rejects) {
        let end = |p: &Timed<'_>| p.ts + i64::from(p.samples);
        let follows = |a: &Timed<'_>, b: &Timed<'_>| a.packet.ext_seq < b.packet.ext_seq && end(a) <= b.ts;
        // A quiet line needs no second look and no copy.
        if self.packets.is_sorted_by(follows) {
            return;
        }
        self.packets.sort_by_key(|p| p.packet.ext_seq);
        let mut kept: Vec<Timed<'a>> = Vec::with_capacity(self.packets.len());
        for next in self.packets.drain(..) {
            if kept
                .last()
                .is_some_and(|last| last.packet.ext_seq == next.packet.ext_seq)
            {
                rejects.duplicates += 1;
                continue;
            }
            if let [.., before, last] = kept.as_slice()
                && next.ts < end(last)
                && next.ts >= end(before)
                && last.ts - end(before) > SAMPLES_PER_SEQ_MAX
            {
                // The last one had run ahead, alone: it is the false one.
                kept.pop();
                rejects.timestamps += 1;
            }
            if kept.last().is_some_and(|last| next.ts < end(last)) {
                rejects.overlapping += 1;
                continue;
            }
            kept.push(next);
        }
        self.packets = kept;
    }

    /// Gives each packet the server time of its timestamp: the lower envelope of arrival minus timestamp, which no
    /// queue on the way can lower, changing no faster than a clock can.
    fn put_on_clock(&mut self) {
        let mut live: Vec<usize> = (0..self.packets.len()).filter(|&i| self.packets[i].live()).collect();
        if live.is_empty() {
            live = (0..self.packets.len()).collect();
        }
        let delays: Vec<i64> = live
            .iter()
            .map(|&i| self.packets[i].arrival - ns(self.packets[i].ts))
            .collect();
        let drift = |a: usize, b: usize| {
            let apart = ns(self.packets[live[b]].ts - self.packets[live[a]].ts);
            apart.max(0) / 1_000_000 * SKEW_PPM_MAX
        };
        let mut envelope = delays.clone();
        let mut breaks = vec![false; live.len()];
        for i in 1..live.len() {
            let before = envelope[i - 1] + drift(i - 1, i);
            if self.steps(&live, &delays, i, before) {
                breaks[i] = true;
            } else {
                envelope[i] = delays[i].min(before);
            }
        }
        for i in (1..live.len()).rev() {
            if !breaks[i] {
                envelope[i - 1] = envelope[i - 1].min(envelope[i] + drift(i - 1, i));
            }
        }
        let stalls: Vec<bool> = (0..live.len())
            .map(|i| breaks[i] && delays[i] > delays[i - 1])
            .collect();
        let mut place = 0;
        for (i, packet) in self.packets.iter_mut().enumerate() {
            while place + 1 < live.len() && live[place + 1] <= i {
                place += 1;
            }
            packet.at = ns(packet.ts) + envelope.get(place).copied().unwrap_or(0);
            packet.stalled = stalls.get(place).copied().unwrap_or(false) && live.get(place) == Some(&i);
        }
    }

    /// Whether the delay makes a step at `live[i]` that stays: the offset of the source changed. A network that stood
    /// still catches up in a burst, and the delay falls back to `before`.
    fn steps(&self, live: &[usize], delays: &[i64], i: usize, before: i64) -> bool {
        let change = delays[i] - delays[i - 1];
        // Downwards the network may have caught up between two rare packets: only what no queue holds counts.
        if (-5 * STALL_NS..=STALL_NS).contains(&change) {
            return false;
        }
        let until = self.packets[live[i]].arrival + CATCH_UP_NS;
        let after = live[i..]
            .iter()
            .zip(&delays[i..])
            .take_while(|&(&p, _)| self.packets[p].arrival <= until);
        let lowest = after.map(|(_, &delay)| delay).min().unwrap_or(delays[i]);
        (lowest - before).abs() > STALL_NS
    }
}
