//! How many bytes go out to sources that have proven nothing: no more than came in from there, and a burst.
//!
//! A source is an IPv4 /24 or an IPv6 /56. The two rows of counters have a fixed size; sources that fall into the same
//! two cells share a budget, which errs to the safe side. No entry is ever made.
//!
//! Invariant: in any time a cell gives at most what came in, [`BURST_BYTES`], and [`BURST_BYTES`] per [`BURST_BACK_S`].

use std::hash::BuildHasher;
use std::net::IpAddr;

use super::hash::{Keyed, prefix};

/// Bytes beyond what came in: an office of 500 people whose browsers are refused once each (60 − 28 bytes).
pub(crate) const BURST_BYTES: u32 = 32 * 1_024;

/// Seconds until a spent burst is back: 54 bytes a second, less than one ping. Never, and a network whose clients only
/// ask for their address (32 bytes for 20) is deaf after 2,700 of them.
pub(crate) const BURST_BACK_S: u32 = 600;

/// Cells per row; two rows of 8 bytes each are 64 KiB.
const CELLS: usize = 4_096;

#[derive(Clone, Copy)]
struct Cell {
    left: u32,
    at_s: u32,
}

/// See the top of this file.
pub(crate) struct Budget {
    rows: [Box<[Cell]>; 2],
    hash: Keyed,
}

impl Budget {
    pub(crate) fn new(seed: &[u8; 32]) -> Budget {
        let row = || {
            let full = Cell {
                left: BURST_BYTES,
                at_s: 0,
            };
            vec![full; CELLS].into_boxed_slice()
        };
        Budget {
            rows: [row(), row()],
            hash: Keyed::new(seed, b'b'),
        }
    }

    /// `bytes_in` came from `from`; true if `bytes_out` may go back. Either cell may allow it, both pay: so two cells that
    /// other sources have emptied differently do not add up to twice the budget.
    pub(crate) fn take(&mut self, now_s: u32, from: IpAddr, bytes_in: usize, bytes_out: usize) -> bool {
        let bytes_out = bytes_out as u32;
        let mut most = 0;
        for cell in self.cells(from) {
            cell.earn(now_s, bytes_in as u32);
            most = most.max(cell.left);
        }
        if most < bytes_out {
            return false;
        }
        for cell in self.cells(from) {
            cell.left = cell.left.saturating_sub(bytes_out);
        }
        true
    }

    /// `bytes_in` came from a source that has proven who it is: its network earns them.
    pub(crate) fn earn(&mut self, now_s: u32, from: IpAddr, bytes_in: usize) {
        for cell in self.cells(from) {
            cell.earn(now_s, bytes_in as u32);
        }
    }

    fn cells(&mut self, from: IpAddr) -> impl Iterator<Item = &mut Cell> {
        let hash = self.hash.hash_one(prefix(from));
        let places = [hash as usize % CELLS, (hash >> 32) as usize % CELLS];
        self.rows
            .iter_mut()
            .zip(places)
            .filter_map(|(row, place)| row.get_mut(place))
    }
}

impl Cell {
    fn earn(&mut self, now_s: u32, bytes: u32) {
        let passed = now_s.saturating_sub(self.at_s).min(BURST_BACK_S);
        self.at_s = self.at_s.max(now_s);
        // Rounded down: a clock that is asked every second gives a byte a second less.
        let back = passed * (BURST_BYTES / BURST_BACK_S);
        self.left = self.left.saturating_add(bytes).saturating_add(back).min(BURST_BYTES);
    }
}
