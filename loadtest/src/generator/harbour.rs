//! Where legs speak from that go straight to the server: each has an address of the loopback for itself, and a few
//! sockets serve them all, so that a call into the kernel moves the datagrams of many.
//!
//! Legs whose turns in a frame lie close together share a socket: what falls due together leaves together.
//!
//! Invariant: an address is given once. Two telephones share none, and the server does not let one leg take over at once
//! what another has just spoken from.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use udp::{Inbox, Loopback, Outbox};

/// Sockets. More: fewer datagrams to a call. Fewer: without root a socket keeps some hundred datagrams only.
pub(super) const GATES: usize = 8;
/// Datagrams that leave with one call: what is behind waits for what is before, about 1.5 us each.
const TOGETHER: usize = 16;
/// The first address, 127.64.0.0: behind those that others use.
const FIRST: u32 = 0x7F40_0000;
/// Addresses of a run, of legs that are long gone as well: a quarter of the loopback's, and days of a soak.
const ADDRESSES_MAX: u32 = 1 << 22;

/// Where a leg speaks from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Berth {
    pub(super) gate: usize,
    address: Ipv4Addr,
}

/// What is to be known of a datagram once it has left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) leg: u32,
    /// Its number among the leg's packets.
    pub(super) number: u32,
    /// When it ought to have left.
    pub(super) due: Instant,
    /// Whether it is of the measured window.
    pub(super) counts: bool,
}

struct Gate {
    socket: Loopback,
    outbox: Outbox,
    marks: Vec<Option<Mark>>,
    /// What the kernel has thrown away here, by its own account.
    dropped: u32,
}

/// What one call sent.
pub(super) struct Sent {
    pub(super) datagrams: u64,
    pub(super) refused: u64,
}

/// See the top of this file.
pub(super) struct Harbour {
    gates: Vec<Gate>,
    owners: Vec<Option<u32>>,
}

impl Harbour {
    pub(super) fn new() -> io::Result<Harbour> {
        let gate = || {
            Ok(Gate {
                socket: Loopback::open()?,
                outbox: Outbox::new(TOGETHER),
                marks: Vec::with_capacity(TOGETHER),
                dropped: 0,
            })
        };
        Ok(Harbour {
            gates: (0..GATES).map(|_| gate()).collect::<io::Result<_>>()?,
            owners: Vec::new(),
        })
    }

    /// An address for `leg`, whose turn in a frame is at `place`, 0 to 1.
    pub(super) fn berth(&mut self, leg: u32, place: f64) -> io::Result<Berth> {
        let number = self.owners.len() as u32;
        if number >= ADDRESSES_MAX {
            return Err(io::Error::other("the loopback has no address left for a leg"));
        }
        self.owners.push(Some(leg));
        Ok(Berth {
            gate: ((place * GATES as f64) as usize).min(GATES - 1),
            address: Ipv4Addr::from_bits(FIRST + number),
        })
    }

    /// Nobody is there any more; what still arrives is lost.
    pub(super) fn leave(&mut self, berth: Berth) {
        if let Some(owner) = self.place(berth.address).and_then(|place| self.owners.get_mut(place)) {
            *owner = None;
        }
    }

    fn place(&self, address: Ipv4Addr) -> Option<usize> {
        Some(address.to_bits().checked_sub(FIRST)? as usize)
    }

    /// Whose address it is.
    pub(super) fn owner(&self, address: Ipv4Addr) -> Option<u32> {
        *self.owners.get(self.place(address)?)?
    }

    /// Adds a datagram to those that leave next; the gate must have room.
    pub(super) fn stage(&mut self, from: Berth, to: SocketAddr, bytes: &[u8], mark: Option<Mark>) -> io::Result<()> {
        let SocketAddr::V4(to) = to else {
            return Err(io::Error::other("a leg speaks to an IPv4 address of this host only"));
        };
        let gate = &mut self.gates[from.gate];
        if !gate.outbox.stage(from.address, to, bytes) {
            return Err(io::Error::other("a datagram is longer than a frame of the network"));
        }
        gate.marks.push(mark);
        Ok(())
    }

    /// Whether a gate has no room for another datagram.
    pub(super) fn is_full(&self, gate: usize) -> bool {
        self.gates[gate].outbox.is_full()
    }

    /// Sends what is staged at a gate.
    pub(super) fn send(&mut self, gate: usize) -> Sent {
        let Gate { socket, outbox, .. } = &mut self.gates[gate];
        Sent {
            datagrams: outbox.staged() as u64,
            refused: outbox.send(socket) as u64,
        }
    }

    pub(super) fn has_staged(&self, gate: usize) -> bool {
        self.gates[gate].outbox.staged() > 0
    }

    /// The marks of what was sent last, in order; to be given back for the next call.
    pub(super) fn marks(&mut self, gate: usize) -> &mut Vec<Option<Mark>> {
        &mut self.gates[gate].marks
    }

    /// Reads what is waiting at a gate.
    pub(super) fn receive(&self, gate: usize, inbox: &mut Inbox) -> io::Result<usize> {
        inbox.receive(&self.gates[gate].socket)
    }

    /// The kernel says that it has thrown away so many datagrams at a gate; how many of them are new.
    pub(super) fn dropped(&mut self, gate: usize, all: u32) -> u64 {
        let known = std::mem::replace(&mut self.gates[gate].dropped, all);
        u64::from(all.wrapping_sub(known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_leg_has_an_address_of_its_own_and_what_is_left_has_no_owner() {
        let mut harbour = Harbour::new().unwrap();
        let first = harbour.berth(7, 0.0).unwrap();
        let second = harbour.berth(8, 0.999).unwrap();
        assert_eq!((first.gate, second.gate), (0, GATES - 1));
        assert_ne!(first.address, second.address);
        assert_eq!(harbour.owner(second.address), Some(8));
        harbour.leave(first);
        assert_eq!(harbour.owner(first.address), None);
        assert_ne!(harbour.berth(9, 0.0).unwrap().address, first.address);
        assert_eq!(harbour.owner(Ipv4Addr::LOCALHOST), None);
    }

    #[test]
    fn what_the_kernel_has_thrown_away_is_counted_once() {
        let mut harbour = Harbour::new().unwrap();
        let new: Vec<u64> = [3, 3, 10, 2].map(|all| harbour.dropped(1, all)).into();
        assert_eq!(new[..3], [3, 0, 7]);
        assert_eq!(new[3], u64::from(2u32.wrapping_sub(10)), "the kernel's count wraps");
    }

    #[test]
    fn the_last_address_is_given_and_no_further_one() {
        let mut harbour = Harbour::new().unwrap();
        harbour.owners = vec![None; ADDRESSES_MAX as usize - 1];
        let last = harbour.berth(1, 0.5).unwrap();
        assert!(last.address.is_loopback());
        assert_eq!(harbour.owner(last.address), Some(1));
        assert!(harbour.berth(2, 0.5).is_err());
    }
}
