//! Peaks for a player's picture: lowest and highest sample of every 10 ms and side. A recording has two sides; the file of
//! somebody who was heard beside them has his own alone.
//!
//! Made from a stored master whenever somebody asks ([`Drawing`]), kept as long as it is convenient, and never a part of
//! the recording. Never plays and never keeps sound: a few bits of loudness are all that is left.
//!
//! Invariant: the two sides always stand as customer, agent, whichever channel they are heard on.
//!
//! Form `HLPK` 2: magic, version u8, sides u8, step u16 (ms), duration u64 (ms), CRC-32C u32 over all other bytes, all
//! little endian; then per step and side (i8 lowest, i8 highest).

use std::ops::Range;

use thiserror::Error;

mod drawing;

use drawing::Heard;
pub use drawing::{Drawing, DrawingFault, Drawn};

/// Milliseconds of one step.
pub const STEP_MS: u64 = 10;
/// Most points that one question may ask: a wide screen has 4,000, a narrow mind asks for more.
pub const POINTS_MAX: usize = 10_000;
const MAGIC: &[u8; 4] = b"HLPK";
const VERSION: u8 = 2;
/// Sides of a recording; the file of one voice has one.
pub const SIDES_MAX: usize = 2;
/// Bytes before the check sum.
const FIELDS_BYTES: usize = 16;
/// Bytes before the first step.
pub const HEADER_BYTES: usize = FIELDS_BYTES + 4;
/// Most bytes of one step.
pub const STEP_BYTES_MAX: usize = SIDES_MAX * SIDE_BYTES;
/// Bytes of one side in a step.
const SIDE_BYTES: usize = 2;

/// Why peaks cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PeaksFault {
    /// Not this format, or another version of it.
    #[error("these are no peaks of a known version")]
    Unknown,
    /// Shorter than its header says.
    #[error("the peaks end early")]
    Cut,
    /// The check sum is wrong.
    #[error("the peaks are not as they were written")]
    Damaged,
}

/// Peaks of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Milliseconds of the whole recording.
    pub duration_ms: u64,
    /// What the points cover, in milliseconds.
    pub span_ms: Range<u64>,
    /// Customer, agent; or the one who is heard. (Lowest, highest) per point.
    pub lanes: Vec<Vec<(i8, i8)>>,
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

/// The peaks of a recording as a file of the form `HLPK`. `second`: the agent's own file, when the first holds the
/// customer alone; without it his side is silent.
#[must_use]
pub fn file(first: Drawn, second: Option<Drawn>) -> Vec<u8> {
    let duration_ms = second
        .as_ref()
        .map_or(0, |drawn| drawn.duration_ms)
        .max(first.duration_ms);
    written(duration_ms, &sides(first, second))
}

/// The peaks of somebody who was heard beside the two sides, as a file of the form `HLPK`; `None` when that is no file of
/// one voice.
#[must_use]
pub fn alone(drawn: Drawn) -> Option<Vec<u8>> {
    (drawn.heard == Heard::Voice).then(|| written(drawn.duration_ms, &drawn.lanes))
}

/// A file of these sides, one or two.
fn written(duration_ms: u64, sides: &[Vec<(i8, i8)>]) -> Vec<u8> {
    let steps = usize::try_from(duration_ms.div_ceil(STEP_MS)).unwrap_or(usize::MAX);
    let mut out = Vec::with_capacity(HEADER_BYTES + steps * sides.len() * SIDE_BYTES);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[VERSION, sides.len() as u8]);
    out.extend_from_slice(&(STEP_MS as u16).to_le_bytes());
    out.extend_from_slice(&duration_ms.to_le_bytes());
    out.extend_from_slice(&[0; HEADER_BYTES - FIELDS_BYTES]);
    for step in 0..steps {
        for side in sides {
            let (low, high) = side.get(step).copied().unwrap_or_default();
            out.extend([low, high].map(|v| v.to_le_bytes()[0]));
        }
    }
    let sum = checksum(&out);
    out[FIELDS_BYTES..HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
    out
}

/// Customer, agent.
fn sides(first: Drawn, second: Option<Drawn>) -> [Vec<(i8, i8)>; 2] {
    if first.is_one_side() {
        return [Some(first), second].map(|drawn| {
            drawn
                .and_then(|drawn| drawn.lanes.into_iter().next())
                .unwrap_or_default()
        });
    }
    let customer_left = first.heard == Heard::Sides { customer_left: true };
    let mut lanes = first.lanes.into_iter();
    let mut sides = [lanes.next(), lanes.next()].map(Option::unwrap_or_default);
    if !customer_left {
        sides.reverse();
    }
    sides
}

/// CRC-32C of a file without its own field; `file` is at least a header.
fn checksum(file: &[u8]) -> u32 {
    let (fields, rest) = file.split_at(FIELDS_BYTES);
    crc32c::crc32c_append(crc32c::crc32c(fields), &rest[HEADER_BYTES - FIELDS_BYTES..])
}

/// At most `points` peaks a side over `span_ms`, each the extent of its share of the span. The span is cut to the
/// recording, and `points` to [`POINTS_MAX`]. `sides`: how many the file must have.
///
/// # Errors
/// `Unknown`, `Cut`, `Damaged`.
pub fn read(bytes: &[u8], sides: usize, span_ms: Range<u64>, points: usize) -> Result<View, PeaksFault> {
    let header = bytes.get(..HEADER_BYTES).ok_or(PeaksFault::Cut)?;
    let known = header.starts_with(MAGIC)
        && header[4] == VERSION
        && usize::from(header[5]) == sides
        && (1..=SIDES_MAX).contains(&sides)
        && u64::from(u16::from_le_bytes([header[6], header[7]])) == STEP_MS;
    if !known {
        return Err(PeaksFault::Unknown);
    }
    let duration_ms = header[8..FIELDS_BYTES]
        .iter()
        .rev()
        .fold(0u64, |value, &byte| value << 8 | u64::from(byte));
    let all = usize::try_from(duration_ms.div_ceil(STEP_MS)).map_err(|_| PeaksFault::Cut)?;
    let body = &bytes[HEADER_BYTES..];
    let step_bytes = sides * SIDE_BYTES;
    if body.len() / step_bytes < all {
        return Err(PeaksFault::Cut);
    }
    if checksum(bytes).to_le_bytes() != header[FIELDS_BYTES..] {
        return Err(PeaksFault::Damaged);
    }
    let from = usize::try_from(span_ms.start / STEP_MS).unwrap_or(all).min(all);
    let until = usize::try_from(span_ms.end.div_ceil(STEP_MS))
        .unwrap_or(all)
        .clamp(from, all);
    let steps = until - from;
    let points = points.min(POINTS_MAX).min(steps);
    let mut lanes = vec![Vec::with_capacity(points); sides];
    for point in 0..points {
        let share = from + point * steps / points..from + (point + 1) * steps / points;
        let share = &body[share.start * step_bytes..share.end * step_bytes];
        for (side, lane) in lanes.iter_mut().enumerate() {
            let mut extent = Extent::NONE;
            for step in share.chunks_exact(step_bytes) {
                step[side * SIDE_BYTES..][..SIDE_BYTES]
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

    fn by_hand(steps: &[[i8; 4]], duration_ms: u64) -> Vec<u8> {
        let fields = [
            MAGIC.as_slice(),
            &[VERSION, 2, 10, 0],
            &duration_ms.to_le_bytes(),
            &[0; 4],
        ];
        let mut out = fields.concat();
        out.extend(steps.iter().flatten().map(|&v| v as u8));
        let sum = checksum(&out);
        out[FIELDS_BYTES..HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
        out
    }

    fn drawn(lanes: &[&[(i8, i8)]], customer_left: bool) -> Drawn {
        Drawn {
            duration_ms: 10 * lanes[0].len() as u64,
            heard: Heard::Sides { customer_left },
            lanes: lanes.iter().map(|lane| lane.to_vec()).collect(),
        }
    }

    #[test]
    fn the_customer_comes_first_wherever_he_is_heard() {
        let (one, two): (&[_], &[_]) = (&[(-1, 1), (-2, 2)], &[(-3, 3), (-4, 4)]);
        let lanes = |file: &[u8]| read(file, 2, 0..u64::MAX, 9).unwrap().lanes;
        let both = [one.to_vec(), two.to_vec()];
        assert_eq!(lanes(&file(drawn(&[one, two], true), None)), both);
        assert_eq!(lanes(&file(drawn(&[two, one], false), None)), both);
        for left in [true, false] {
            assert_eq!(
                lanes(&file(drawn(&[one], left), Some(drawn(&[two], left)))),
                both,
                "a file a side"
            );
        }
        let longer: &[_] = &[(-3, 3), (-4, 4), (-5, 5)];
        let silent = lanes(&file(drawn(&[one], true), Some(drawn(&[longer], true))));
        assert_eq!(silent, [vec![(-1, 1), (-2, 2), (0, 0)], longer.to_vec()]);
        assert_eq!(lanes(&file(drawn(&[one], true), None)), [one.to_vec(), vec![(0, 0); 2]]);
    }

    #[test]
    fn a_voice_has_one_lane_and_is_not_taken_for_a_recording() {
        let lane: &[_] = &[(-1, 1), (-2, 9), (-3, 3)];
        let voice = Drawn {
            heard: Heard::Voice,
            ..drawn(&[lane], true)
        };
        let bytes = alone(voice).unwrap();
        assert_eq!(bytes.len(), HEADER_BYTES + 3 * SIDE_BYTES);
        let view = read(&bytes, 1, 0..u64::MAX, 9).unwrap();
        assert_eq!((view.duration_ms, view.lanes), (30, vec![lane.to_vec()]));
        assert_eq!(read(&bytes, 1, 10..30, 1).unwrap().lanes, [[(-3, 9)]]);
        assert_eq!(alone(drawn(&[lane], true)), None, "a side of a recording");
        let both = file(drawn(&[lane, lane], true), None);
        for (file, sides) in [(&bytes, 2), (&both, 1), (&bytes, 0), (&both, 3)] {
            assert_eq!(read(file, sides, 0..30, 3), Err(PeaksFault::Unknown), "{sides}");
        }
    }

    #[test]
    fn a_point_is_the_extent_of_its_share() {
        let bytes = by_hand(
            &[
                [-1, 1, -5, 5],
                [-2, 9, 0, 0],
                [-3, 3, -7, 1],
                [0, 0, 2, 3],
                [-128, 127, 4, 4],
            ],
            45,
        );
        let view = read(&bytes, 2, 0..45, 2).unwrap();
        assert_eq!((view.duration_ms, view.span_ms), (45, 0..45));
        assert_eq!(view.lanes, [vec![(-2, 9), (-128, 127)], vec![(-5, 5), (-7, 4)]]);
        let view = read(&bytes, 2, 10..20, 99).unwrap();
        assert_eq!((view.span_ms, view.lanes), (10..20, vec![vec![(-2, 9)], vec![(0, 0)]]));
        let view = read(&bytes, 2, Range { start: 60, end: 10 }, 5).unwrap();
        assert!(view.lanes[0].is_empty() && view.span_ms.is_empty());
    }

    #[test]
    fn points_are_given_up_to_their_limit() {
        let bytes = by_hand(&vec![[0, 1, 0, 1]; POINTS_MAX + 1], (POINTS_MAX as u64 + 1) * STEP_MS);
        for (asked, given) in [(POINTS_MAX, POINTS_MAX), (POINTS_MAX + 1, POINTS_MAX), (0, 0)] {
            assert_eq!(read(&bytes, 2, 0..u64::MAX, asked).unwrap().lanes[0].len(), given);
        }
    }

    #[test]
    fn what_is_no_file_of_peaks_is_refused() {
        let bytes = by_hand(&[[0; 4]; 3], 30);
        assert_eq!(read(&bytes[..HEADER_BYTES + 11], 2, 0..30, 3), Err(PeaksFault::Cut));
        assert_eq!(read(&bytes[..9], 2, 0..30, 3), Err(PeaksFault::Cut));
        assert_eq!(read(&by_hand(&[], u64::MAX), 2, 0..30, 3), Err(PeaksFault::Cut));
        for at in [0, 4, 5, 6] {
            let mut other = bytes.clone();
            other[at] ^= 0x55;
            assert_eq!(read(&other, 2, 0..30, 3), Err(PeaksFault::Unknown));
        }
        for at in [FIELDS_BYTES, HEADER_BYTES, bytes.len() - 1] {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert_eq!(read(&other, 2, 0..30, 3), Err(PeaksFault::Damaged));
        }
    }
}
