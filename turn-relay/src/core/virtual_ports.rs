//! The ports of one virtual address: which are taken, which rest.
//!
//! Nobody binds them. A worker has every port with `(port / 2) % workers == worker`: whose a port is, is arithmetic, and
//! everybody has even ones.

/// First port of the dynamic range (RFC 6335 §6).
pub const PORT_FIRST: u16 = 49_152;
/// Ports of the range.
const PORTS: u32 = 16_384;
/// Seconds for which a freed port is not given out: longer than any packet for its old owner is under way.
pub const PORT_REST_S: u32 = 120;
/// Random draws before the search goes on in order: with nine tenths taken, four in five succeed.
const DRAWS_MAX: usize = 16;

const FREE: u32 = 0;
const LIVE: u32 = u32::MAX;

pub(crate) struct VirtualPorts {
    /// Of this worker's ports: [`FREE`], [`LIVE`] or the second at which it has rested.
    state: Box<[u32]>,
    workers: u32,
    /// The first pair of this worker, counted from [`PORT_FIRST`].
    first: u32,
}

impl VirtualPorts {
    pub(crate) fn new(worker: u16, workers: u16) -> VirtualPorts {
        let (worker, workers) = (u32::from(worker), u32::from(workers));
        let offset = u32::from(PORT_FIRST) / 2 % workers;
        let first = (worker + workers - offset) % workers;
        let pairs = (PORTS / 2 - first).div_ceil(workers);
        VirtualPorts {
            state: vec![FREE; 2 * pairs as usize].into_boxed_slice(),
            workers,
            first,
        }
    }

    fn port(&self, place: usize) -> u16 {
        let pair = self.first + self.workers * (place as u32 / 2);
        PORT_FIRST + (2 * pair + place as u32 % 2) as u16
    }

    fn place(&self, port: u16) -> Option<usize> {
        let offset = u32::from(port.checked_sub(PORT_FIRST)?);
        let pair = (offset / 2).checked_sub(self.first)?;
        pair.is_multiple_of(self.workers)
            .then_some(2 * (pair / self.workers) as usize + offset as usize % 2)
    }

    /// Takes a free port that `usable` does not refuse; an even one if asked. `draw` gives random numbers.
    pub(crate) fn take(
        &mut self,
        now_s: u32,
        even: bool,
        mut draw: impl FnMut() -> u32,
        usable: impl Fn(u16) -> bool,
    ) -> Option<u16> {
        let places = self.state.len();
        let even_mask = if even { !1 } else { !0 };
        let free = |place: &usize| {
            let rested = self
                .state
                .get(*place)
                .is_some_and(|&state| state != LIVE && state <= now_s);
            rested && usable(self.port(*place))
        };
        let random = (0..DRAWS_MAX).map(|_| (draw() as usize % places) & even_mask);
        let place = random.into_iter().find(free).or_else(|| {
            let start = draw() as usize % places;
            (0..places).map(|step| ((start + step) % places) & even_mask).find(free)
        })?;
        self.state[place] = LIVE;
        Some(self.port(place))
    }

    /// The port rests from now on.
    pub(crate) fn give_back(&mut self, now_s: u32, port: u16) {
        if let Some(state) = self.place(port).and_then(|place| self.state.get_mut(place)) {
            // Never 0, which is "free at once".
            *state = now_s + PORT_REST_S;
        }
    }
}
