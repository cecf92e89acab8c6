//! How many answers a source prefix gets: enough for every honest client behind it, too few to aim at a victim.
//!
//! A prefix is a /24 of IPv4 or a /56 of IPv6. The table has a fixed size; prefixes that fall into the same cell share
//! its budget, which errs to the safe side and costs no memory however many sources there are.
//!
//! Invariant: a cell never gives more than [`PER_SECOND`] answers a second beyond a burst of [`BURST`].

use std::net::IpAddr;

/// Answers per second and prefix: an office of 250 people that all join within the same few seconds.
pub(crate) const PER_SECOND: u32 = 100;
/// Answers at once after a pause: a browser asks each server from each interface, twice.
pub(crate) const BURST: u32 = 400;
/// Cells: 4,096 busy prefixes at a time before two of them share; 48 KiB.
const CELLS: usize = 4_096;
/// An answer is worth this many units, so that a refill by milliseconds loses nothing.
const UNIT: u32 = 1_000;

#[derive(Clone, Copy)]
struct Cell {
    at_ms: u64,
    units: u32,
}

pub(crate) struct Budget {
    cells: Vec<Cell>,
}

impl Budget {
    pub(crate) fn new() -> Budget {
        Budget {
            cells: vec![
                Cell {
                    at_ms: 0,
                    units: BURST * UNIT
                };
                CELLS
            ],
        }
    }

    /// True if `from` may have an answer at `now_ms`.
    pub(crate) fn take(&mut self, now_ms: u64, from: IpAddr) -> bool {
        let cell = &mut self.cells[place(from)];
        let passed = now_ms.saturating_sub(cell.at_ms).min(u64::from(BURST * UNIT)) as u32;
        cell.at_ms = now_ms;
        cell.units = cell
            .units
            .saturating_add(passed.saturating_mul(PER_SECOND))
            .min(BURST * UNIT);
        if cell.units < UNIT {
            return false;
        }
        cell.units -= UNIT;
        true
    }
}

/// The cell of an address's prefix (multiplicative hashing; nobody gains by a collision but a smaller budget).
fn place(from: IpAddr) -> usize {
    let prefix = match from {
        IpAddr::V4(v4) => u64::from(v4.to_bits() >> 8),
        IpAddr::V6(v6) => (v6.to_bits() >> 72) as u64 | 1 << 63,
    };
    (prefix.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 52) as usize % CELLS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_gets_its_burst_and_then_its_rate() {
        let mut budget = Budget::new();
        let (one, same, other) = ("192.0.2.1", "192.0.2.200", "198.51.100.1");
        let [one, same, other]: [IpAddr; 3] = [one, same, other].map(|text| text.parse().expect("an address"));
        for n in 0..BURST {
            assert!(budget.take(0, if n % 2 == 0 { one } else { same }));
        }
        assert!(!budget.take(0, one));
        assert!(budget.take(0, other), "another prefix has its own budget");
        assert!(!budget.take(9, same));
        assert!(budget.take(10, same), "one answer per 10 ms");
        assert!(!budget.take(10, same));
        let later = (0..10 * BURST).filter(|_| budget.take(3_600_000, one)).count();
        assert_eq!(later, BURST as usize, "a pause earns the burst and no more");
    }

    #[test]
    fn a_clock_that_stands_still_gives_nothing() {
        let mut budget = Budget::new();
        let from: IpAddr = "2001:db8::1".parse().expect("an address");
        let given = (0..10 * BURST).filter(|_| budget.take(5, from)).count();
        assert!((BURST as usize..=BURST as usize + 1).contains(&given));
    }
}
