//! The last sealed packets of one slot, to be sent again byte for byte when the receiver misses one.
//!
//! Sealed, not plain: the same bytes under the same index are no second use of a nonce, and nobody without the keys
//! can read them here either. Memory only, made once per slot.
//!
//! Invariant: a cell holds exactly the bytes that went out under its index, or nothing.

use crate::limits::{RESENDS_PER_PACKET_MAX, RING_CELL_BYTES, RING_PACKETS_MAX};

#[derive(Clone, Copy, Debug)]
struct Cell {
    index: u64,
    /// 0: empty.
    len: u16,
    sent_again: u8,
}

const EMPTY: Cell = Cell {
    index: 0,
    len: 0,
    sent_again: 0,
};

/// See the top of this file.
#[derive(Clone, Debug)]
pub(crate) struct Ring {
    cells: [Cell; RING_PACKETS_MAX],
    bytes: [[u8; RING_CELL_BYTES]; RING_PACKETS_MAX],
}

/// Why a packet is not sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is not here: too old, too long, redundant audio, or never sent.
    Missed,
    /// It was sent again [`RESENDS_PER_PACKET_MAX`] times.
    Enough,
}

impl Ring {
    pub(crate) fn new() -> Box<Ring> {
        Box::new(Ring {
            cells: [EMPTY; RING_PACKETS_MAX],
            bytes: [[0; RING_CELL_BYTES]; RING_PACKETS_MAX],
        })
    }

    /// Keeps a packet as it goes out; `false` if it is too long. One that is older than what is kept in its place is
    /// let go: it would be asked for at once or never.
    #[inline]
    pub(crate) fn keep(&mut self, index: u64, sealed: &[u8]) -> bool {
        let place = (index % RING_PACKETS_MAX as u64) as usize;
        let (Some(cell), Some(bytes)) = (
            self.cells.get_mut(place),
            self.bytes
                .get_mut(place)
                .and_then(|bytes| bytes.get_mut(..sealed.len())),
        ) else {
            return false;
        };
        if cell.len == 0 || cell.index < index {
            bytes.copy_from_slice(sealed);
            *cell = Cell {
                index,
                len: sealed.len() as u16,
                sent_again: 0,
            };
        }
        true
    }

    /// The packet with this sequence number, if it may be sent again now; [`Ring::sent_again`] counts it.
    pub(crate) fn find(&self, sequence: u16) -> Result<&[u8], Refused> {
        let place = usize::from(sequence) % RING_PACKETS_MAX;
        let cell = self.cells.get(place).filter(|cell| cell.len > 0);
        let cell = cell
            .filter(|cell| cell.index as u16 == sequence)
            .ok_or(Refused::Missed)?;
        if cell.sent_again >= RESENDS_PER_PACKET_MAX {
            return Err(Refused::Enough);
        }
        let bytes = self
            .bytes
            .get(place)
            .and_then(|bytes| bytes.get(..usize::from(cell.len)));
        bytes.ok_or(Refused::Missed)
    }

    /// The packet with this sequence number was sent again.
    pub(crate) fn sent_again(&mut self, sequence: u16) {
        if let Some(cell) = self.cells.get_mut(usize::from(sequence) % RING_PACKETS_MAX) {
            cell.sent_again += 1;
        }
    }

    /// Forgets everything: the receiver may no longer hear it, or has other keys.
    pub(crate) fn clear(&mut self) {
        self.cells = [EMPTY; RING_PACKETS_MAX];
    }
}

// A sequence number and the index it ends share their place only if the ring divides the number space.
const _: () = assert!(65_536 % RING_PACKETS_MAX == 0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_32_are_kept_and_the_33rd_is_gone() {
        let mut ring = Ring::new();
        for index in 65_520..65_553u64 {
            assert!(ring.keep(index, &index.to_be_bytes()));
        }
        assert_eq!(ring.find(65_520), Err(Refused::Missed));
        for index in 65_521..65_553u64 {
            assert_eq!(ring.find(index as u16), Ok(&index.to_be_bytes()[..]));
        }
        assert_eq!(ring.find(17), Err(Refused::Missed), "not sent yet");
    }

    #[test]
    fn a_packet_that_is_too_long_is_not_kept_and_an_older_one_replaces_none() {
        let mut ring = Ring::new();
        assert!(ring.keep(5, &[5; RING_CELL_BYTES]));
        assert!(!ring.keep(6, &[6; RING_CELL_BYTES + 1]));
        assert_eq!(ring.find(6), Err(Refused::Missed));
        assert!(ring.keep(37, &[37]) && ring.keep(5, &[5]));
        assert_eq!((ring.find(37), ring.find(5)), (Ok(&[37][..]), Err(Refused::Missed)));
    }

    #[test]
    fn three_times_are_enough_and_clearing_forgets() {
        let mut ring = Ring::new();
        ring.keep(5, &[5]);
        for _ in 0..RESENDS_PER_PACKET_MAX {
            assert!(ring.find(5).is_ok());
            ring.sent_again(5);
        }
        assert_eq!(ring.find(5), Err(Refused::Enough));
        ring.keep(6, &[6]);
        ring.clear();
        assert_eq!(ring.find(6), Err(Refused::Missed));
    }
}
