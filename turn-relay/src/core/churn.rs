//! How often a leg allocates anew.
//!
//! What is freed leaves something behind for a while: its relayed address rests, its timer waits for its second. The quota
//! counts what a leg has, not how often it changes it, so without this one leg could use up every address of the node.
//!
//! Counts by the leg in two rows of fixed size under a secret hash, anew in every [`PORT_REST_S`]; a leg is held to the
//! lesser of its two counts, so that who shares one cell with a hasty leg seldom shares both. No entry is ever made.
//!
//! Invariant: of a leg there come into being at most twice its allowance within [`PORT_REST_S`] at one worker; workers have
//! addresses of their own, so each looks after its own.

use std::hash::BuildHasher;

use ports::LegId;

use super::hash::Keyed;
use super::virtual_ports::PORT_REST_S;

/// Allocations that a leg may make within [`PORT_REST_S`], for each that it may have at a time: a browser makes all of them
/// at each ICE restart, and restarts a few times in a network that comes and goes.
/// Higher: one leg holds more addresses that rest. Lower: a line that is bad is refused as well.
pub const ALLOCATES_PER_PLACE: u32 = 10;

/// Cells per row; two rows of 8 bytes each are 64 KiB.
const CELLS: usize = 4_096;

#[derive(Clone, Copy, Default)]
struct Cell {
    /// Number of the time that it counts.
    turn: u32,
    made: u32,
}

/// See the top of this file.
pub(crate) struct Churn {
    rows: [Box<[Cell]>; 2],
    hash: Keyed,
}

impl Churn {
    pub(crate) fn new(seed: &[u8; 32]) -> Churn {
        let row = || vec![Cell::default(); CELLS].into_boxed_slice();
        Churn {
            rows: [row(), row()],
            hash: Keyed::new(seed, b'c'),
        }
    }

    /// Counts `n` more of a leg that may have `places` at a time; false and unchanged if that is too often.
    pub(crate) fn take(&mut self, now_s: u32, leg: LegId, n: u32, places: u32) -> bool {
        let turn = now_s / PORT_REST_S;
        let most = places.saturating_mul(ALLOCATES_PER_PLACE);
        let made = |cell: &Cell| if cell.turn == turn { cell.made } else { 0 };
        let least = self.cells(leg).map(|cell| made(cell)).min().unwrap_or(0);
        let after = least.saturating_add(n);
        if after > most {
            return false;
        }
        for cell in self.cells(leg) {
            let made = made(cell).max(after);
            *cell = Cell { turn, made };
        }
        true
    }

    fn cells(&mut self, leg: LegId) -> impl Iterator<Item = &mut Cell> {
        let hash = self.hash.hash_one(leg);
        let places = [hash as usize % CELLS, (hash >> 32) as usize % CELLS];
        self.rows
            .iter_mut()
            .zip(places)
            .filter_map(|(row, place)| row.get_mut(place))
    }
}
