//! The addresses of this machine that clients have come to, where a listener is bound to all of them.
//!
//! An answer must leave from the address that was asked: the client, and every NAT on its way, take any other for a
//! stranger's and drop it. So it is a part of what tells clients apart, and stands there by its number here.
//!
//! Invariant: a number keeps its meaning. Nothing is allocated after [`Locals::default`].

use std::net::IpAddr;

/// Addresses that are told apart. A machine has a few; one that takes a whole network for its own has more than anybody
/// can list, and beyond these the kernel chooses where an answer leaves from.
const ADDRESSES_MAX: usize = u8::MAX as usize;

/// See the top of this file.
#[derive(Debug)]
pub struct Locals(Vec<IpAddr>);

impl Default for Locals {
    fn default() -> Locals {
        Locals(Vec::with_capacity(ADDRESSES_MAX))
    }
}

impl Locals {
    /// The number of an address, from 1; 0 for none, and for one that finds no room.
    #[inline]
    pub fn number(&mut self, address: Option<IpAddr>) -> u8 {
        let Some(address) = address else { return 0 };
        let place = self.0.iter().position(|known| *known == address);
        let place = place.or_else(|| {
            (self.0.len() < ADDRESSES_MAX).then(|| {
                self.0.push(address);
                self.0.len() - 1
            })
        });
        place.map_or(0, |place| place as u8 + 1)
    }

    /// The address of a number.
    #[inline]
    #[must_use]
    pub fn address(&self, number: u8) -> Option<IpAddr> {
        self.0.get(usize::from(number).checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_its_number_and_beyond_the_last_the_kernel_chooses() {
        let mut locals = Locals::default();
        let room = locals.0.capacity();
        assert_eq!(locals.number(None), 0);
        assert_eq!(locals.address(0), None);
        let all: Vec<IpAddr> = (0..ADDRESSES_MAX as u32)
            .map(|n| IpAddr::from((0x7F00_0001 + n).to_be_bytes()))
            .collect();
        for _ in 0..2 {
            for (n, address) in all.iter().enumerate() {
                assert_eq!(locals.number(Some(*address)), n as u8 + 1);
                assert_eq!(locals.address(n as u8 + 1), Some(*address));
            }
        }
        assert_eq!(locals.number("::1".parse().ok()), 0, "one too many");
        assert_eq!(locals.0.capacity(), room);
    }
}
