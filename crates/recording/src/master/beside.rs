//! The file of somebody who is heard beside customer and agent: a colleague in a conference, a supervisor who joins.
//!
//! Never merges packets and never moves one for another file's sake: each stands alone, by its own time.
//!
//! Invariant: the file begins and ends with the master, so that players that start together stay together.

use std::ops::Range;

use super::{Assembly, LaneSide, Length, PRE_SKIP, Side, covered, describe, explain, fillers, grid_of, slots_of};
use super::{Feed, align, course, write_one};
use crate::packet::Lane;

/// A finished file.
#[derive(Clone, Debug)]
pub struct Beside {
    /// The Ogg Opus file, mono.
    pub audio: Vec<u8>,
    /// Share of the time in which he was meant to be heard that packets or explained silence cover.
    pub coverage: f32,
    /// What the file cannot say.
    pub side: LaneSide,
    /// SHA-256 over (length u16 big endian, payload) of the packets taken, in their order, those removed included.
    pub packets_sha256: [u8; 32],
}

/// Makes the file with this number. `heard_ns`: when he was meant to be heard, nanoseconds of the node's clock, without
/// overlap; empty when nobody knows, and then the whole time counts.
#[must_use]
pub fn beside(input: &Assembly<'_>, number: u8, heard_ns: &[Range<u64>]) -> Beside {
    let lane = Lane::Beside(number);
    let Length {
        duration_ms, samples, ..
    } = Length::of(input);
    let side = Side::of(input, lane);
    let grid = grid_of(&side);
    let slots = slots_of(samples, grid);
    let [laid, _] = course::lay([align::singles(&side.runs), Vec::new()], [grid; 2], [slots; 2]);
    let fillers = fillers(&laid, grid, slots);
    let bytes: usize = laid.placed.iter().map(|placed| placed.unit.bytes.len() + 4).sum();
    let room = bytes + (samples + u64::from(PRE_SKIP)) as usize / 960 * 5 + 4_096;
    let audio = write_one(
        input.serial,
        input.tags,
        Feed::new(&laid, &fillers, grid),
        samples,
        room,
    );
    let mut told = describe(&side, &laid, &fillers, grid, samples);
    explain(&mut told.holes, input, lane);
    let end_ns = input.start_ns.saturating_add(duration_ms.saturating_mul(1_000_000));
    let within = |span: &Range<u64>| span.end.min(end_ns).saturating_sub(span.start.max(input.start_ns));
    let heard_ms = heard_ns.iter().map(within).sum::<u64>() / 1_000_000;
    Beside {
        audio,
        coverage: covered(&told, if heard_ms == 0 { duration_ms } else { heard_ms }),
        packets_sha256: side.sha256(),
        side: told,
    }
}
