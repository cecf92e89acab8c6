//! Looking ahead: what the next datagrams of a batch will need is fetched while those before them are worked on.
//!
//! A shard holds more than the processor's caches, and between two packets of a leg the kernel has used them for itself.
//! One packet follows a chain of places, each known only from the one before it, and alone it waits at each of them. Here
//! every datagram goes that way one step at a time, beginning [`STEPS`] datagrams before its turn: what a step has asked for
//! has come when the next one looks at it, and the processor works meanwhile. Only the first ones of a batch wait, once a step
//! and all together.
//!
//! Invariant: nothing is changed and nothing decided here; without it the engine does the same, more slowly.

use super::Shard;
use crate::leg::{self, NAME_AT};
use crate::{LegId, addr, room, srtp, transport};

/// Asks the processor to fetch `bytes` from an address; reads nothing. The engine has no unsafe code, so it is handed in.
pub type Fetch = fn(at: *const u8, bytes: usize);

/// Steps of the way, and with it how many datagrams ahead a datagram begins it.
const STEPS: usize = 5;
/// Senders that are looked up together: this first step waits for its own table, which cannot be asked ahead, and the
/// processor can wait for several at once.
const TOGETHER: usize = 4;
/// Datagrams that are on their way at once.
const COMING: usize = 16;

const _: () = assert!(STEPS + TOGETHER <= COMING && COMING.is_power_of_two());

/// Where no table has anything.
const NOWHERE: u32 = u32::MAX;

/// How far one datagram has come, by places in the shard's tables.
#[derive(Clone, Copy, Debug)]
struct Coming {
    transport: u32,
    leg: u32,
    room: u32,
    /// The first leg that hears it.
    sink: u32,
    relayed: bool,
}

impl Coming {
    const UNKNOWN: Coming = Coming {
        transport: NOWHERE,
        leg: NOWHERE,
        room: NOWHERE,
        sink: NOWHERE,
        relayed: false,
    };
}

/// The datagrams of one batch that are on their way to their turn.
#[derive(Clone, Debug)]
pub struct Foresight {
    coming: [Coming; COMING],
    /// How many of the batch have been looked up.
    begun: usize,
}

impl Default for Foresight {
    fn default() -> Foresight {
        Foresight {
            coming: [Coming::UNKNOWN; COMING],
            begun: 0,
        }
    }
}

impl Foresight {
    #[inline]
    fn at(&mut self, datagram: usize) -> &mut Coming {
        &mut self.coming[datagram % COMING]
    }
}

impl Shard {
    /// To be called before each datagram of a batch of `count` is worked on, from `index` 0 on. `sender`: the address or the
    /// path by which a datagram of the batch came, `None` for one that will not be handed in.
    #[inline]
    pub fn foresee<S: Into<addr::Key>>(
        &self,
        sight: &mut Foresight,
        index: usize,
        count: usize,
        mut sender: impl FnMut(usize) -> Option<S>,
        fetch: Fetch,
    ) {
        if index == 0 {
            sight.begun = 0;
            let first = count.min(STEPS);
            self.begin(sight, first, &mut sender);
            for step in 0..STEPS {
                for datagram in 0..first.min(STEPS - step) {
                    self.step(step, sight.at(datagram), fetch);
                }
            }
        }
        if index.is_multiple_of(TOGETHER) {
            self.begin(sight, count.min(index + STEPS + TOGETHER), &mut sender);
        }
        for step in 0..STEPS {
            let datagram = index + STEPS - step;
            if datagram < count {
                self.step(step, sight.at(datagram), fetch);
            }
        }
    }

    /// Looks up who has sent the datagrams below `end`.
    #[inline]
    fn begin<S: Into<addr::Key>>(
        &self,
        sight: &mut Foresight,
        end: usize,
        sender: &mut impl FnMut(usize) -> Option<S>,
    ) {
        for datagram in sight.begun..end {
            let key = sender(datagram).map(Into::into);
            let owner = key.and_then(|key| self.by_address.get(&key));
            *sight.at(datagram) = Coming {
                transport: owner.map_or(NOWHERE, |owner| owner.transport),
                relayed: key.is_some_and(|key| key.is_path()),
                ..Coming::UNKNOWN
            };
        }
        sight.begun = sight.begun.max(end);
    }

    /// Goes a step further: looks at what the step before has asked for, and asks for what is known from it.
    #[inline]
    fn step(&self, step: usize, coming: &mut Coming, fetch: Fetch) {
        match step {
            0 => {
                if let Some(at) = self.transports.address(coming.transport) {
                    fetch(at, transport::SOURCE_BYTES);
                    fetch(at.wrapping_add(transport::INBOUND_AT), srtp::INBOUND_HOT_BYTES);
                }
            }
            1 => self.ask_for_leg(coming, fetch),
            2 => {
                if let Some(leg) = self.legs.get(coming.leg) {
                    coming.room = leg.room;
                    if let Some(at) = self.rooms.address(leg.room) {
                        fetch(at, room::HOT_BYTES);
                    }
                }
            }
            3 => self.ask_for_listener(coming, fetch),
            _ => {
                let way_out = self.legs.get(coming.sink).and_then(|sink| sink.transport);
                if let Some(at) = way_out.and_then(|place| self.transports.address(place)) {
                    fetch(at.wrapping_add(transport::SINK_AT), transport::SINK_BYTES);
                    fetch(at.wrapping_add(transport::OUTBOUND_AT), srtp::OUTBOUND_HOT_BYTES);
                }
            }
        }
    }

    #[inline]
    fn ask_for_leg(&self, coming: &mut Coming, fetch: Fetch) {
        let Some(transport) = self.transports.get(coming.transport) else {
            return;
        };
        coming.leg = transport.leg;
        if let Some(at) = self.legs.address(transport.leg) {
            fetch(at, leg::SOURCE_BYTES);
            // Whose leg is asked for its name, too.
            if coming.relayed {
                fetch(at.wrapping_add(NAME_AT), size_of::<LegId>());
            }
        }
    }

    #[inline]
    fn ask_for_listener(&self, coming: &mut Coming, fetch: Fetch) {
        let (Some(leg), Some(room)) = (self.legs.get(coming.leg), self.rooms.get(coming.room)) else {
            return;
        };
        let heard_by = room.edges.sinks(leg.seat());
        let Some(sink) = room.leg_at(heard_by.trailing_zeros() as usize) else {
            return;
        };
        coming.sink = sink;
        if let Some(at) = self.legs.address(sink) {
            fetch(at, 1);
            fetch(at.wrapping_add(leg::SINK_AT), leg::SINK_BYTES);
        }
    }
}
