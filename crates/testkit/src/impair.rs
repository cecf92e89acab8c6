//! What a bad link does to packets: loss in bursts, delay, jitter, reordering, duplicates, a narrow rate, a freeze.
//!
//! Pure and seeded: it reads no clock and holds no packet. A carrier asks [`Link::next`] for the fate of each packet in
//! the order in which the packets came, and does as it is told.
//!
//! Invariant: what is lost depends on seed, flow and the packet's number alone, so that [`Loss::map`] tells beforehand
//! which packets of a flow a link with that loss drops.

/// Microseconds of a second.
const SECOND_US: u64 = 1_000_000;
/// How long a narrow link lets packets queue before it drops them, microseconds: what a home router's buffer holds.
const QUEUE_US_MAX: u64 = 200_000;
/// How much later a packet comes that is put behind others, microseconds: two frames of 20 ms.
pub const REORDER_US: u64 = 45_000;

/// Loss by two states (Gilbert, Elliott): a good one and a bad one, each with a share of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// Chance to become bad after a packet in the good state, 0 to 1.
    pub to_bad: f64,
    /// Chance to become good after a packet in the bad state, 0 to 1.
    pub to_good: f64,
    /// Share lost while good, 0 to 1.
    pub good: f64,
    /// Share lost while bad, 0 to 1.
    pub bad: f64,
}

impl Loss {
    /// Nothing is lost.
    pub const NONE: Loss = Loss::random(0.0);

    /// Each packet for itself is lost with this chance, 0 to 1.
    #[must_use]
    pub const fn random(share: f64) -> Loss {
        Loss {
            to_bad: 0.0,
            to_good: 1.0,
            good: share,
            bad: 0.0,
        }
    }

    /// `share` of all packets is lost, 0 to below 1, in runs of `mean` packets, 1 or more, on average.
    #[must_use]
    pub fn bursts(share: f64, mean: f64) -> Loss {
        let to_good = 1.0 / mean.max(1.0);
        Loss {
            to_bad: (share * to_good / (1.0 - share).max(f64::EPSILON)).min(1.0),
            to_good,
            good: 0.0,
            bad: 1.0,
        }
    }

    /// Which of the first `packets` packets of a flow are lost: true for lost.
    #[must_use]
    pub fn map(self, seed: u64, flow: u64, packets: usize) -> Vec<bool> {
        let mut chain = Chain::default();
        (0..packets as u64)
            .map(|number| chain.next(&self, Draw { seed, flow, number }))
            .collect()
    }
}

/// What a link does beside losing packets, and how much it loses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// What is lost.
    pub loss: Loss,
    /// Time on the way, microseconds.
    pub delay_us: u64,
    /// Added to it, evenly from 0 to this, microseconds.
    pub jitter_us: u64,
    /// Share that comes behind packets sent later, 0 to 1.
    pub reorder: f64,
    /// How much later those come, microseconds.
    pub behind_us: u64,
    /// Share that comes twice, 0 to 1.
    pub duplicate: f64,
    /// Bits per second that go through; 0 for as many as come.
    pub bits_per_s: u64,
}

impl Default for Terms {
    fn default() -> Terms {
        Terms {
            loss: Loss::NONE,
            delay_us: 0,
            jitter_us: 0,
            reorder: 0.0,
            behind_us: REORDER_US,
            duplicate: 0.0,
            bits_per_s: 0,
        }
    }
}

/// What becomes of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It never comes.
    Lost,
    /// It comes.
    Comes {
        /// When, microseconds of the caller's clock.
        at_us: u64,
        /// It is one of those that others overtake.
        behind: bool,
        /// When it comes once more.
        again_us: Option<u64>,
    },
}

/// One direction between two ends.
#[derive(Clone, Debug)]
pub struct Link {
    seed: u64,
    flow: u64,
    terms: Terms,
    chain: Chain,
    number: u64,
    /// Until when the narrow link is busy with what came before.
    busy_us: u64,
    frozen_until_us: u64,
}

impl Link {
    /// A link under these terms; `flow` tells apart links of one seed.
    #[must_use]
    pub fn new(seed: u64, flow: u64, terms: Terms) -> Link {
        Link {
            seed,
            flow,
            terms,
            chain: Chain::default(),
            number: 0,
            busy_us: 0,
            frozen_until_us: 0,
        }
    }

    /// New terms from the next packet on, and a new map of loss: it begins at packet 0 again.
    pub fn set(&mut self, seed: u64, terms: Terms) {
        self.seed = seed;
        self.terms = terms;
        self.chain = Chain::default();
        self.number = 0;
    }

    /// Holds back everything until `until_us`, then lets it go at once: what a radio that has lost its cell does.
    pub fn freeze(&mut self, until_us: u64) {
        self.frozen_until_us = until_us;
    }

    /// The fate of the next packet, `bytes` long, handed in at `now_us`.
    pub fn next(&mut self, now_us: u64, bytes: usize) -> Fate {
        let draw = Draw {
            seed: self.seed,
            flow: self.flow,
            number: self.number,
        };
        self.number += 1;
        let terms = self.terms;
        if self.chain.next(&terms.loss, draw) {
            return Fate::Lost;
        }
        let Some(through) = self.squeeze(now_us, bytes) else {
            return Fate::Lost;
        };
        let jitter = (draw.share(Purpose::Jitter) * terms.jitter_us as f64) as u64;
        let behind = draw.share(Purpose::Reorder) < terms.reorder;
        let behind_us = if behind { terms.behind_us } else { 0 };
        let at_us = (through + terms.delay_us + jitter + behind_us).max(self.frozen_until_us);
        let again = draw.share(Purpose::Duplicate) < terms.duplicate;
        Fate::Comes {
            at_us,
            behind,
            again_us: again.then_some(at_us),
        }
    }

    /// When a narrow link has passed the packet on; `None` if too much waits already.
    fn squeeze(&mut self, now_us: u64, bytes: usize) -> Option<u64> {
        if self.terms.bits_per_s == 0 {
            return Some(now_us);
        }
        let begin = self.busy_us.max(now_us);
        if begin - now_us > QUEUE_US_MAX {
            return None;
        }
        self.busy_us = begin + bytes as u64 * 8 * SECOND_US / self.terms.bits_per_s;
        Some(self.busy_us)
    }
}

/// The state of a flow's loss.
#[derive(Clone, Copy, Debug, Default)]
struct Chain {
    bad: bool,
}

impl Chain {
    /// True if this packet is lost. The state changes before the packet, so that a flow may begin with a loss.
    fn next(&mut self, loss: &Loss, draw: Draw) -> bool {
        let turn = draw.share(Purpose::Turn);
        self.bad = if self.bad {
            turn >= loss.to_good
        } else {
            turn < loss.to_bad
        };
        let share = if self.bad { loss.bad } else { loss.good };
        draw.share(Purpose::Loss) < share
    }
}

/// What a number is drawn for: the draws of one packet do not depend on each other.
#[derive(Clone, Copy)]
enum Purpose {
    Turn = 1,
    Loss,
    Jitter,
    Reorder,
    Duplicate,
}

/// Chance of one packet.
#[derive(Clone, Copy)]
struct Draw {
    seed: u64,
    flow: u64,
    number: u64,
}

impl Draw {
    /// Evenly from 0 to below 1.
    fn share(self, purpose: Purpose) -> f64 {
        let words = [self.seed, self.flow, self.number, purpose as u64];
        let mixed = words
            .into_iter()
            .fold(0x9E37_79B9_7F4A_7C15, |state, word| mix(state ^ mix(word)));
        // 53 bits are what a double holds.
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The finaliser of SplitMix64: every bit of the input changes every bit of the output.
const fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests;
