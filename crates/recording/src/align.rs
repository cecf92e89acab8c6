//! Lays a side's packets on the grid of the master: which packet plays in which slot, and what lies between.
//!
//! Never stretches sound: a clock that runs away is caught up by one slot more or one slot less.
//!
//! Invariant: slots rise strictly from unit to unit, and a unit stands within one slot of the time it stands for
//! unless the side itself sends more sound than there is time.

use std::borrow::Cow;
use std::ops::Range;

use crate::clock::{self, Run, Timed};
use crate::opus_packet::{self, Toc};
use crate::packet::Flags;

/// Error past which a quiet slot is added or removed: 12 ms in samples, as long as a slot is 20 ms.
const QUIET_ERROR: i64 = 576;
/// Error past which a slot is added or removed even in speech: 18 ms in samples.
const FORCED_ERROR: i64 = 864;
/// A missing piece up to this long keeps the rhythm of the packets around it: 200 ms in samples.
pub(crate) const SHORT_GAP: i64 = 9_600;
/// Level up to which a packet counts as quiet: 50 dB below full scale on the tap's scale of 0 to 127.
const QUIET_LEVEL: u8 = 77;
/// The tap's word for a packet that does not say its level.
const NO_LEVEL: u8 = 255;
/// Payload up to which a packet can only be DTX, in bytes (RFC 6716 §2.1.9: silence needs no more).
const DTX_BYTES: usize = 3;

/// What plays in one or more slots of the grid: one packet, or several merged.
#[derive(Clone, Debug)]
pub(crate) struct Unit<'a> {
    /// Which run it comes from, over all tracks of the side.
    pub(crate) run: usize,
    /// Its packets in that run.
    pub(crate) packets: Range<usize>,
    /// Timestamp of its first packet.
    pub(crate) ts: i64,
    /// How long it lasts.
    pub(crate) samples: u32,
    /// The place on the recording's time that it stands for, in samples.
    pub(crate) at: i64,
    /// The Opus packet to write.
    pub(crate) bytes: Cow<'a, [u8]>,
    pub(crate) toc: Toc,
    quiet: bool,
    stalled: bool,
    first_seq: u32,
    last_seq: u32,
}

/// Why something is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Packets were lost on the way.
    Network,
    /// The sender had nothing to say.
    Dtx,
    /// The microphone was muted.
    Mute,
    /// The call was on hold.
    Hold,
    /// The recording was paused.
    Pause,
    /// The sender's capture stood still.
    CaptureStall,
    /// The leg was away and came back from another source.
    Disconnect,
    /// The spool was damaged.
    Corrupt,
    /// The server lost packets on the way to the disk.
    Server,
    /// The leg had not come yet, or had left.
    Absent,
}

/// A unit in its place.
#[derive(Clone, Debug)]
pub(crate) struct Placed<'a> {
    /// First slot.
    pub(crate) slot: u64,
    /// Samples between the slot's start and the time the unit stands for; positive is late.
    pub(crate) error: i64,
    /// Why slots before it are empty, when they are.
    pub(crate) gap: Cause,
    pub(crate) unit: Unit<'a>,
}

/// A side on the grid.
#[derive(Clone, Debug, Default)]
pub(crate) struct Laid<'a> {
    pub(crate) placed: Vec<Placed<'a>>,
    /// Taken out to follow the clock, or for want of room: they stay in the side data.
    pub(crate) removed: Vec<Unit<'a>>,
    /// Slots added to follow the clock.
    pub(crate) inserted: u64,
    /// Packets beyond either end of the recording.
    pub(crate) outside: u64,
}

fn quiet(packet: &Timed<'_>) -> bool {
    let flags = packet.packet.flags;
    let level = packet.packet.level;
    let silent = level != NO_LEVEL && level <= QUIET_LEVEL && !flags.contains(Flags::VOICE);
    silent || flags.contains(Flags::DTX) || packet.packet.payload.len() <= DTX_BYTES
}

/// Marks a side that cannot be merged to the wanted length.
pub(crate) struct Unmergeable;

/// Makes units of `samples` each: packets of that length as they are, shorter ones of equal configuration merged.
///
/// # Errors
/// A configuration changed in the middle of a unit, or a packet's length does not divide the unit's.
pub(crate) fn merged<'a>(runs: &[Run<'a>], samples: u32) -> Result<Vec<Unit<'a>>, Unmergeable> {
    let mut units = Vec::with_capacity(runs.iter().map(|r| r.packets.len()).sum());
    for (index, run) in runs.iter().enumerate() {
        let mut from = 0;
        while let Some(first) = run.packets.get(from) {
            if first.samples == samples {
                units.push(single(index, from, first));
                from += 1;
                continue;
            }
            let end = first.ts + i64::from(samples);
            let inside = run.packets[from..].iter().take_while(|p| p.ts < end).count();
            units.push(fill(
                index,
                from..from + inside,
                &run.packets[from..from + inside],
                samples,
            )?);
            from += inside;
        }
    }
    units.sort_by_key(|u| u.at);
    Ok(units)
}

/// Makes a unit of every packet as it is.
pub(crate) fn singles<'a>(runs: &[Run<'a>]) -> Vec<Unit<'a>> {
    let each = |(index, run): (usize, &Run<'a>)| -> Vec<Unit<'a>> {
        run.packets
            .iter()
            .enumerate()
            .map(|(i, packet)| single(index, i, packet))
            .collect()
    };
    let mut units: Vec<Unit<'a>> = runs.iter().enumerate().flat_map(each).collect();
    units.sort_by_key(|u| u.at);
    units
}

fn single<'a>(run: usize, at: usize, packet: &Timed<'a>) -> Unit<'a> {
    Unit {
        run,
        packets: at..at + 1,
        ts: packet.ts,
        samples: packet.samples,
        at: clock::samples(packet.at),
        bytes: Cow::Borrowed(&packet.packet.payload),
        toc: packet.toc,
        quiet: quiet(packet),
        stalled: packet.stalled,
        first_seq: packet.packet.ext_seq,
        last_seq: packet.packet.ext_seq,
    }
}

/// Merges packets into one unit; what is missing among them becomes frames that were not sent.
fn fill<'a>(run: usize, range: Range<usize>, packets: &[Timed<'a>], samples: u32) -> Result<Unit<'a>, Unmergeable> {
    let (Some(first), Some(last)) = (packets.first(), packets.last()) else {
        return Err(Unmergeable);
    };
    let frame = first.toc.frame_samples();
    if frame == 0 || !samples.is_multiple_of(frame) || last.ts + i64::from(last.samples) > first.ts + i64::from(samples)
    {
        return Err(Unmergeable);
    }
    let mut frames: Vec<&[u8]> = vec![&[]; (samples / frame) as usize];
    for packet in packets {
        let offset = packet.ts - first.ts;
        if !packet.toc.merges_with(first.toc) || offset % i64::from(frame) != 0 {
            return Err(Unmergeable);
        }
        let parsed = opus_packet::parse(&packet.packet.payload).map_err(|_| Unmergeable)?;
        let places = frames
            .get_mut((offset / i64::from(frame)) as usize..)
            .unwrap_or_default();
        places
            .iter_mut()
            .zip(parsed.frames())
            .for_each(|(place, frame)| *place = frame);
    }
    let bytes = opus_packet::merge(first.toc, &frames).ok_or(Unmergeable)?;
    Ok(Unit {
        packets: range,
        samples,
        bytes: Cow::Owned(bytes),
        quiet: packets.iter().all(quiet),
        stalled: packets.iter().any(|p| p.stalled),
        last_seq: last.packet.ext_seq,
        ..single(run, 0, first)
    })
}

/// Where the unit before stands.
struct Before {
    run: usize,
    ts_end: i64,
    slot_end: i64,
    last_seq: u32,
}

/// Places units, in the order of their time, on a grid of `grid` samples with `slots` places.
pub(crate) fn lay(units: Vec<Unit<'_>>, grid: u32, slots: u64) -> Laid<'_> {
    let grid = i64::from(grid.max(1));
    let slots = i64::try_from(slots).unwrap_or(i64::MAX);
    let mut laid = Laid {
        placed: Vec::with_capacity(units.len()),
        ..Laid::default()
    };
    let mut before: Option<Before> = None;
    let nearest = |at: i64| at.saturating_add(grid / 2).div_euclid(grid);
    for unit in units {
        let long = (i64::from(unit.samples) + grid - 1) / grid;
        if nearest(unit.at) < 0 || nearest(unit.at).saturating_add(long) > slots {
            laid.outside += unit.packets.len() as u64;
            continue;
        }
        let end = before.as_ref().map_or(0, |b| b.slot_end);
        let rhythm = before
            .as_ref()
            .filter(|b| b.run == unit.run && !unit.stalled)
            .map(|b| unit.ts - b.ts_end);
        let rhythm = rhythm.filter(|gap| (0..=SHORT_GAP).contains(gap) && gap % grid == 0);
        let mut slot = rhythm.map_or_else(|| end.max(nearest(unit.at)), |gap| end + gap / grid);
        let error = slot * grid - unit.at;
        // Rounding alone makes half a slot of error: correcting below that would go to and fro.
        let soft = QUIET_ERROR.max(grid / 2 + QUIET_ERROR / 6);
        let hard = FORCED_ERROR.max(grid / 2 + FORCED_ERROR / 2);
        let (soft_late, hard_late) = (soft + (long - 1) * grid / 2, hard + (long - 1) * grid / 2);
        if error > soft_late && slot > end {
            slot = end.max(nearest(unit.at));
        } else if (error > soft_late && unit.quiet) || error > hard_late {
            if let Some(b) = before.as_mut().filter(|b| b.run == unit.run) {
                (b.ts_end, b.last_seq) = (unit.ts + i64::from(unit.samples), unit.last_seq);
            }
            laid.removed.push(unit);
            continue;
        } else if rhythm.is_some_and(|gap| gap > 0 || unit.quiet || -error > hard) && -error > soft {
            let sooner = slot;
            slot = nearest(unit.at);
            laid.inserted += u64::try_from(slot - sooner).unwrap_or(0);
        }
        if slot + long > slots {
            laid.outside += unit.packets.len() as u64;
            continue;
        }
        let gap = cause(before.as_ref(), &unit);
        before = Some(Before {
            run: unit.run,
            ts_end: unit.ts + i64::from(unit.samples),
            slot_end: slot + long,
            last_seq: unit.last_seq,
        });
        laid.placed.push(Placed {
            slot: slot.unsigned_abs(),
            error: slot * grid - unit.at,
            gap,
            unit,
        });
    }
    laid
}

/// Why there may be empty slots before a unit.
fn cause(before: Option<&Before>, unit: &Unit<'_>) -> Cause {
    match before {
        None => Cause::Absent,
        Some(_) if unit.stalled => Cause::CaptureStall,
        Some(b) if b.run != unit.run => Cause::Disconnect,
        Some(b) if unit.first_seq > b.last_seq.saturating_add(1) => Cause::Network,
        Some(_) => Cause::Dtx,
    }
}
