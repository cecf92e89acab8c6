//! Keyed hashing: nobody outside can choose which entries of a table collide.

use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;

/// Makes hashers with this core's secret.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keyed {
    keys: [u64; 2],
}

impl Keyed {
    /// `seed`: random; `use_`: another table, another hash.
    pub(crate) fn new(seed: &[u8; 32], use_: u8) -> Keyed {
        let digest = ring::digest::digest(&ring::digest::SHA256, &[&seed[..], &[use_]].concat());
        let word = |at: usize| {
            digest.as_ref()[at..at + 8]
                .iter()
                .fold(0, |bits, &byte| bits << 8 | u64::from(byte))
        };
        Keyed {
            // Never zero: a product with zero forgets its other factor.
            keys: [word(0) | 1, word(8) | 1],
        }
    }
}

impl BuildHasher for Keyed {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded {
            state: self.keys[0],
            key: self.keys[1],
        }
    }
}

/// A product of 64 by 64 bits, its halves folded onto each other.
pub(crate) struct Folded {
    state: u64,
    key: u64,
}

impl Folded {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.key);
        self.state = (product >> 64) as u64 ^ product as u64 ^ self.key.rotate_left(23);
    }
}

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
        self.mix(bytes.len() as u64);
    }

    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }

    fn write_u128(&mut self, word: u128) {
        self.mix(word as u64);
        self.mix((word >> 64) as u64);
    }

    fn finish(&self) -> u64 {
        let product = u128::from(self.state) * u128::from(self.key);
        (product >> 64) as u64 ^ product as u64
    }
}

/// The network that a source is counted with: an IPv4 /24 or an IPv6 /56, as a number.
pub(crate) fn prefix(from: IpAddr) -> u64 {
    match from {
        IpAddr::V4(v4) => u64::from(v4.to_bits() >> 8),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => u64::from(v4.to_bits() >> 8),
            None => (v6.to_bits() >> 72) as u64 | 1 << 63,
        },
    }
}
