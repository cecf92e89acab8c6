//! The relayed addresses of one family in virtual mode: which are taken, which rest.
//!
//! Nobody binds them. A worker has every port with `(port / 2) % workers == worker` of each IP: whose a port is, is
//! arithmetic, and everybody has even ones.

use std::net::{IpAddr, SocketAddr};

/// First port of the dynamic range (RFC 6335 §6), with which relayed addresses begin unless told otherwise: 16,384 of
/// each IP.
pub const PORT_FIRST: u16 = 49_152;
/// The least first port: those below are the well-known ones. With it an IP has 64,512 relayed addresses.
pub const PORT_FIRST_MIN: u16 = 1_024;
/// Seconds for which a freed port is not given out: longer than any packet for its old owner is under way.
pub const PORT_REST_S: u32 = 120;
/// IPs of one family: with these a worker has more addresses than a process can serve clients.
pub const RELAYED_IPS_MAX: usize = 16;
/// Random draws before the search goes on in order: with nine tenths taken, four in five succeed.
const DRAWS_MAX: usize = 16;
/// One behind the last port.
const PORTS_END: u32 = 65_536;

const FREE: u32 = 0;
const LIVE: u32 = u32::MAX;

pub(crate) struct VirtualPorts {
    /// Of this worker's ports, IP after IP: [`FREE`], [`LIVE`] or the second at which it has rested.
    state: Box<[u32]>,
    ips: Box<[IpAddr]>,
    /// Places of one IP; even.
    each: usize,
    workers: u32,
    /// First port of the range; even.
    from: u32,
    /// The first pair of this worker, counted from there.
    first: u32,
}

impl VirtualPorts {
    /// `ips`: at least one, each once.
    pub(crate) fn new(ips: Vec<IpAddr>, port_first: u16, worker: u16, workers: u16) -> VirtualPorts {
        let (worker, workers) = (u32::from(worker), u32::from(workers));
        let from = u32::from(port_first).next_multiple_of(2);
        let offset = from / 2 % workers;
        let first = (worker + workers - offset) % workers;
        let pairs = ((PORTS_END - from) / 2 - first).div_ceil(workers);
        let each = 2 * pairs as usize;
        VirtualPorts {
            state: vec![FREE; each * ips.len()].into_boxed_slice(),
            ips: ips.into_boxed_slice(),
            each,
            workers,
            from,
            first,
        }
    }

    fn address(&self, place: usize) -> Option<SocketAddr> {
        let ip = self.ips.get(place / self.each)?;
        let of_ip = (place % self.each) as u32;
        let pair = self.first + self.workers * (of_ip / 2);
        Some(SocketAddr::new(*ip, (self.from + 2 * pair + of_ip % 2) as u16))
    }

    fn place(&self, address: SocketAddr) -> Option<usize> {
        let ip = self.ips.iter().position(|ip| *ip == address.ip())?;
        let offset = u32::from(address.port()).checked_sub(self.from)?;
        let pair = (offset / 2).checked_sub(self.first)?;
        pair.is_multiple_of(self.workers)
            .then_some(ip * self.each + 2 * (pair / self.workers) as usize + offset as usize % 2)
    }

    /// Takes a free address that `usable` does not refuse; one with an even port if asked. `draw` gives random numbers.
    pub(crate) fn take(
        &mut self,
        now_s: u32,
        even: bool,
        mut draw: impl FnMut() -> u32,
        usable: impl Fn(SocketAddr) -> bool,
    ) -> Option<SocketAddr> {
        let places = self.state.len();
        let even_mask = if even { !1 } else { !0 };
        let free = |place: &usize| {
            let rested = self
                .state
                .get(*place)
                .is_some_and(|&state| state != LIVE && state <= now_s);
            rested && self.address(*place).is_some_and(&usable)
        };
        let random = (0..DRAWS_MAX).map(|_| (draw() as usize % places) & even_mask);
        let place = random.into_iter().find(free).or_else(|| {
            let start = draw() as usize % places;
            (0..places).map(|step| ((start + step) % places) & even_mask).find(free)
        })?;
        self.state[place] = LIVE;
        self.address(place)
    }

    /// The address rests from now on.
    pub(crate) fn give_back(&mut self, now_s: u32, address: SocketAddr) {
        if let Some(state) = self.place(address).and_then(|place| self.state.get_mut(place)) {
            // Never 0, which is "free at once".
            *state = now_s + PORT_REST_S;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Everything that a worker can give out.
    fn all(ports: &mut VirtualPorts) -> BTreeSet<SocketAddr> {
        let mut state = 1u32;
        let mut draw = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 1
        };
        let mut taken = BTreeSet::new();
        while let Some(address) = ports.take(0, false, &mut draw, |_| true) {
            assert!(taken.insert(address), "{address} twice");
        }
        taken
    }

    #[test]
    fn workers_share_every_port_of_every_ip_and_no_two_have_the_same() {
        let ips: Vec<IpAddr> = ["192.0.2.10", "192.0.2.11", "192.0.2.12"]
            .map(|text| text.parse().expect("an address"))
            .to_vec();
        for (port_first, of_each_ip) in [(PORT_FIRST, 16_384), (PORT_FIRST_MIN, 64_512), (65_530, 6), (65_529, 6)] {
            for workers in [1, 2, 3] {
                let mut whole = BTreeSet::new();
                let mut counted = 0;
                for worker in 0..workers {
                    let mut ports = VirtualPorts::new(ips.clone(), port_first, worker, workers);
                    let taken = all(&mut ports);
                    let mine = |address: &SocketAddr| address.port() / 2 % workers == worker;
                    assert!(taken.iter().all(mine));
                    counted += taken.len();
                    whole.extend(taken.iter().copied());
                    // What is given back is there again when it has rested, and not before.
                    let some = taken.last().copied();
                    if let Some(some) = some {
                        ports.give_back(7, some);
                        assert_eq!(ports.take(7 + PORT_REST_S - 1, false, || 0, |_| true), None);
                        assert_eq!(ports.take(7 + PORT_REST_S, false, || 0, |_| true), Some(some));
                    }
                }
                assert_eq!((counted, whole.len()), (3 * of_each_ip, 3 * of_each_ip));
                assert!(whole.iter().all(|address| address.port() >= port_first));
            }
        }
    }
}
