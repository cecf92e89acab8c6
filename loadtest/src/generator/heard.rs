//! Which packets of a window a listener has heard: a bit for each, so that one which comes twice counts once.
//!
//! Invariant: nothing is allocated per packet; the bits of a window are there from its begin.

/// Packets that one word tells of.
const WORD_BITS: usize = u64::BITS as usize;

/// See the top of this file.
#[derive(Default)]
pub(super) struct Heard {
    /// The number of the first bit.
    first: u32,
    words: Vec<u64>,
}

impl Heard {
    /// A window begins whose packets have numbers from `first` on, about `packets` of them.
    pub(super) fn begin(&mut self, first: u32, packets: usize) {
        self.first = first;
        self.words.clear();
        self.words.resize(packets.div_ceil(WORD_BITS), 0);
    }

    /// Packet `number` came; true when it had not come before.
    pub(super) fn note(&mut self, number: u32) -> bool {
        // What is older than the window is none of its packets.
        let Some(place) = number.checked_sub(self.first) else {
            return false;
        };
        let (word, bit) = (place as usize / WORD_BITS, 1 << (place as usize % WORD_BITS));
        if word >= self.words.len() {
            // Frames became shorter, or the leg came within the window.
            self.words.resize(word + 1, 0);
        }
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_new_once_in_any_order_and_beyond_what_was_foreseen() {
        let mut heard = Heard::default();
        heard.begin(1_000, 70);
        for number in [1_000, 1_063, 1_064, 1_001, 1_069, 1_300] {
            assert!(heard.note(number), "{number} for the first time");
            assert!(!heard.note(number), "{number} again");
        }
        assert!(heard.note(1_002), "its neighbours say nothing of it");
        assert!(!heard.note(999), "before the window");
    }

    #[test]
    fn a_new_window_knows_nothing_of_the_one_before_and_takes_no_memory_within() {
        let mut heard = Heard::default();
        heard.begin(0, 1_000);
        let room = heard.words.capacity();
        assert!((0..1_000).all(|number| heard.note(number)));
        assert_eq!(heard.words.capacity(), room);
        heard.begin(500, 1_000);
        assert!((500..1_500).all(|number| heard.note(number)));
        assert_eq!(heard.words.capacity(), room);
    }
}
