//! Makes of a side's packets what can play in the slots of the master: units of one length, or every packet as it is.
//!
//! Never decodes: shorter packets are put together as they are.
//!
//! Invariant: the frames of a unit are those of its packets, in their order.

use std::borrow::Cow;
use std::ops::Range;

use crate::clock::{self, Run, Timed};
use crate::opus_packet::{self, Toc};
use crate::packet::Flags;

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
    pub(crate) quiet: bool,
    pub(crate) stalled: bool,
    pub(crate) first_seq: u32,
    pub(crate) last_seq: u32,
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
    in_order(&mut units);
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
    in_order(&mut units);
    units
}

/// Sorts by time. Units of one run are in order already, and a sort would still take memory to move them in.
fn in_order(units: &mut [Unit<'_>]) {
    if !units.is_sorted_by_key(|unit| unit.at) {
        units.sort_by_key(|unit| unit.at);
    }
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
