//! Peaks for a player's picture: lowest and highest sample of every 10 ms and side, from one pass of libopus.
//!
//! Never plays and never keeps sound: a few bits of loudness are all that is left.
//!
//! Invariant: the two sides always stand as customer, agent, whichever channel they are heard on.
//!
//! Form `HLPK`: magic, version u8, sides u8, step u16 (ms), duration u64 (ms), all little endian; then per step and
//! side (i8 lowest, i8 highest).

use std::io::Cursor;
use std::ops::Range;

use ::ogg::PacketReader;
use opus::MSDecoder;
use thiserror::Error;

use crate::master::{Layout, Master};
use crate::ogg::PRE_SKIP;
use crate::opus_packet::{self, PACKET_SAMPLES_MAX, RATE};

/// Milliseconds of one step.
pub const STEP_MS: u64 = 10;
/// Most points that one question may ask: a wide screen has 4,000, a narrow mind asks for more.
pub const POINTS_MAX: usize = 10_000;
/// Rate of decoding: a picture needs no more than the band of a telephone, and it is the cheapest.
const DECODE_RATE: u32 = 8_000;
/// Samples of one step at that rate.
const STEP_SAMPLES: usize = (DECODE_RATE as u64 * STEP_MS / 1_000) as usize;
const MAGIC: &[u8; 4] = b"HLPK";
const VERSION: u8 = 1;
const SIDES: usize = 2;
const HEADER_BYTES: usize = 16;
const STEP_BYTES: usize = SIDES * 2;

/// Why peaks cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PeaksFault {
    /// Not this format, or another version of it.
    #[error("these are no peaks of a known version")]
    Unknown,
    /// Shorter than its header says.
    #[error("the peaks end early")]
    Cut,
}

/// Peaks of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Milliseconds of the whole recording.
    pub duration_ms: u64,
    /// What the points cover, in milliseconds.
    pub span_ms: Range<u64>,
    /// Customer, agent: (lowest, highest) per point.
    pub lanes: [Vec<(i8, i8)>; 2],
}

/// Lowest and highest so far of a step.
#[derive(Clone, Copy)]
struct Extent {
    low: i8,
    high: i8,
}

impl Extent {
    const NONE: Extent = Extent {
        low: i8::MAX,
        high: i8::MIN,
    };

    fn take(&mut self, sample: i8) {
        self.low = self.low.min(sample);
        self.high = self.high.max(sample);
    }

    fn pair(self) -> (i8, i8) {
        if self.low > self.high {
            (0, 0)
        } else {
            (self.low, self.high)
        }
    }
}

/// Decodes a master once and gives its peaks in the form `HLPK`. A packet that libopus refuses counts as silence.
#[must_use]
pub fn of(master: &Master, customer_left: bool) -> Vec<u8> {
    let steps = usize::try_from(master.duration_ms.div_ceil(STEP_MS)).unwrap_or(usize::MAX);
    let mut sides = match (&master.second_file, master.layout) {
        (Some(second), _) => {
            [&master.audio, second].map(|file| lanes(file, 1, steps).pop().unwrap_or_else(|| vec![(0, 0); steps]))
        }
        (None, Layout::Empty) => [vec![(0, 0); steps], vec![(0, 0); steps]],
        (None, _) => {
            let mut both = lanes(&master.audio, SIDES, steps).into_iter();
            [both.next(), both.next()].map(|side| side.unwrap_or_else(|| vec![(0, 0); steps]))
        }
    };
    if !customer_left && master.second_file.is_none() {
        sides.reverse();
    }
    let mut out = Vec::with_capacity(HEADER_BYTES + steps * STEP_BYTES);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[VERSION, SIDES as u8]);
    out.extend_from_slice(&(STEP_MS as u16).to_le_bytes());
    out.extend_from_slice(&master.duration_ms.to_le_bytes());
    let [customer, agent] = &sides;
    for ((low, high), (low2, high2)) in customer.iter().zip(agent) {
        out.extend([low, high, low2, high2].map(|v| v.to_le_bytes()[0]));
    }
    out
}

/// Peaks of every channel of an Ogg Opus file of this crate; each has exactly `steps`.
fn lanes(file: &[u8], channels: usize, steps: usize) -> Vec<Vec<(i8, i8)>> {
    let mut peaks = vec![Vec::with_capacity(steps); channels];
    let mapping: &[u8] = if channels == 1 { &[0] } else { &[0, 1] };
    if let Ok(mut decoder) = MSDecoder::new(DECODE_RATE, channels as u8, 0, mapping) {
        let mut reader = PacketReader::new(Cursor::new(file));
        let mut pcm = vec![0i16; (PACKET_SAMPLES_MAX / (RATE / DECODE_RATE)) as usize * channels];
        let mut skip = usize::from(PRE_SKIP) / (RATE / DECODE_RATE) as usize;
        let mut extents = vec![Extent::NONE; channels];
        let mut filled = 0;
        let mut heads = 2;
        while let Ok(Some(packet)) = reader.read_packet() {
            if heads > 0 {
                heads -= 1;
                continue;
            }
            let samples = decoder.decode(&packet.data, &mut pcm, false).unwrap_or_else(|_| {
                pcm.fill(0);
                lasts(&packet.data, channels)
            });
            for frame in pcm.chunks_exact(channels).take(samples).skip(skip) {
                frame
                    .iter()
                    .zip(&mut extents)
                    .for_each(|(&sample, extent)| extent.take(sample.to_be_bytes()[0] as i8));
                filled += 1;
                if filled == STEP_SAMPLES {
                    peaks
                        .iter_mut()
                        .zip(&mut extents)
                        .for_each(|(lane, extent)| lane.push(extent.pair()));
                    extents.fill(Extent::NONE);
                    filled = 0;
                }
            }
            skip = skip.saturating_sub(samples);
        }
        peaks
            .iter_mut()
            .zip(&extents)
            .for_each(|(lane, extent)| lane.push(extent.pair()));
    }
    // The last step may be short, and the decoder gives what the end trim cuts off.
    peaks.iter_mut().for_each(|lane| lane.resize(steps, (0, 0)));
    peaks
}

/// Samples at the decoding rate of a packet that was refused.
fn lasts(packet: &[u8], channels: usize) -> usize {
    let first = if channels == 1 {
        Ok(packet.to_vec())
    } else {
        opus_packet::split_self_delimited(packet).map(|s| s.0)
    };
    let samples = first
        .and_then(|bytes| opus_packet::parse_made(&bytes).map(|p| p.samples()))
        .unwrap_or(0);
    (samples / (RATE / DECODE_RATE)) as usize
}

/// At most `points` peaks a side over `span_ms`, each the extent of its share of the span. The span is cut to the
/// recording, and `points` to [`POINTS_MAX`].
///
/// # Errors
/// `Unknown`, `Cut`.
pub fn read(bytes: &[u8], span_ms: Range<u64>, points: usize) -> Result<View, PeaksFault> {
    let header = bytes.get(..HEADER_BYTES).ok_or(PeaksFault::Cut)?;
    let known = header.starts_with(MAGIC)
        && header[4] == VERSION
        && usize::from(header[5]) == SIDES
        && u64::from(u16::from_le_bytes([header[6], header[7]])) == STEP_MS;
    if !known {
        return Err(PeaksFault::Unknown);
    }
    let duration_ms = header[8..]
        .iter()
        .rev()
        .fold(0u64, |value, &byte| value << 8 | u64::from(byte));
    let all = usize::try_from(duration_ms.div_ceil(STEP_MS)).map_err(|_| PeaksFault::Cut)?;
    let body = &bytes[HEADER_BYTES..];
    if body.len() / STEP_BYTES < all {
        return Err(PeaksFault::Cut);
    }
    let from = usize::try_from(span_ms.start / STEP_MS).unwrap_or(all).min(all);
    let until = usize::try_from(span_ms.end.div_ceil(STEP_MS))
        .unwrap_or(all)
        .clamp(from, all);
    let steps = until - from;
    let points = points.min(POINTS_MAX).min(steps);
    let mut lanes = [Vec::with_capacity(points), Vec::with_capacity(points)];
    for point in 0..points {
        let share = from + point * steps / points..from + (point + 1) * steps / points;
        let share = &body[share.start * STEP_BYTES..share.end * STEP_BYTES];
        for (side, lane) in lanes.iter_mut().enumerate() {
            let mut extent = Extent::NONE;
            for step in share.chunks_exact(STEP_BYTES) {
                step[side * 2..side * 2 + 2]
                    .iter()
                    .for_each(|&value| extent.take(value as i8));
            }
            lane.push(extent.pair());
        }
    }
    let edge = |step: usize| (step as u64 * STEP_MS).min(duration_ms);
    let covered = edge(from)..edge(until);
    Ok(View {
        duration_ms,
        span_ms: covered,
        lanes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(steps: &[[i8; 4]], duration_ms: u64) -> Vec<u8> {
        let mut out = [MAGIC.as_slice(), &[VERSION, 2, 10, 0], &duration_ms.to_le_bytes()].concat();
        out.extend(steps.iter().flatten().map(|&v| v as u8));
        out
    }

    #[test]
    fn a_point_is_the_extent_of_its_share() {
        let bytes = file(
            &[
                [-1, 1, -5, 5],
                [-2, 9, 0, 0],
                [-3, 3, -7, 1],
                [0, 0, 2, 3],
                [-128, 127, 4, 4],
            ],
            45,
        );
        let view = read(&bytes, 0..45, 2).unwrap();
        assert_eq!((view.duration_ms, view.span_ms), (45, 0..45));
        assert_eq!(view.lanes, [vec![(-2, 9), (-128, 127)], vec![(-5, 5), (-7, 4)]]);
        let view = read(&bytes, 10..20, 99).unwrap();
        assert_eq!((view.span_ms, view.lanes), (10..20, [vec![(-2, 9)], vec![(0, 0)]]));
        let view = read(&bytes, Range { start: 60, end: 10 }, 5).unwrap();
        assert!(view.lanes[0].is_empty() && view.span_ms.is_empty());
    }

    #[test]
    fn points_are_given_up_to_their_limit() {
        let bytes = file(&vec![[0, 1, 0, 1]; POINTS_MAX + 1], (POINTS_MAX as u64 + 1) * STEP_MS);
        for (asked, given) in [(POINTS_MAX, POINTS_MAX), (POINTS_MAX + 1, POINTS_MAX), (0, 0)] {
            assert_eq!(read(&bytes, 0..u64::MAX, asked).unwrap().lanes[0].len(), given);
        }
    }

    #[test]
    fn what_is_no_file_of_peaks_is_refused() {
        let bytes = file(&[[0; 4]; 3], 30);
        assert_eq!(read(&bytes[..27], 0..30, 3), Err(PeaksFault::Cut));
        assert_eq!(read(&bytes[..9], 0..30, 3), Err(PeaksFault::Cut));
        assert_eq!(read(&file(&[], u64::MAX), 0..30, 3), Err(PeaksFault::Cut));
        for at in [0, 4, 5, 6] {
            let mut other = bytes.clone();
            other[at] ^= 0x55;
            assert_eq!(read(&other, 0..30, 3), Err(PeaksFault::Unknown));
        }
    }
}
