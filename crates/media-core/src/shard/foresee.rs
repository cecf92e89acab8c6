//! Looking ahead: what the next datagrams of a batch will need is fetched while those before them are worked on.
//!
//! A shard holds more than the processor's caches, and between two packets of a leg the kernel has used them for itself.
//! One packet goes from place to place, each known only from the one before it, and alone it would wait at each of them. Here
//! a datagram takes three steps some datagrams before its turn: the entry of its sender is asked for, when that has come its
//! transport, and then all that the last packet of this transport needed on its way ([`Ahead`]). The processor works
//! meanwhile; only the first ones of a batch wait, and all together.
//!
//! A processor has so many places for what is on its way, and drops what is asked for beyond them without a word: with twenty
//! cache lines a Zen 4 drops none, of twenty-four up to a third. So before each packet one datagram takes one step, and in the
//! middle of its way one more.
//!
//! Invariant: nothing is changed and nothing decided here; without it the engine does the same, more slowly.

use super::Shard;
use crate::leg::{self, NAME_AT};
use crate::transport::{self, Ahead};
use crate::{LegId, addr, room, srtp};

/// Asks the processor to fetch `bytes` from an address; reads nothing. The engine has no unsafe code, so it is handed in.
pub type Fetch = fn(at: *const u8, bytes: usize);

/// How many datagrams ahead each of the three steps is taken at most. Higher: more of what was fetched is put out again before
/// it is needed. Lower: it has not come when it is needed.
const LOOK_AHEAD: usize = 8;
const FIRST_AHEAD: usize = 5;
const SECOND_AHEAD: usize = 3;
/// Datagrams that are on their way at once.
const COMING: usize = 16;

const _: () = assert!(SECOND_AHEAD < FIRST_AHEAD && FIRST_AHEAD < LOOK_AHEAD && LOOK_AHEAD < COMING);
const _: () = assert!(
    COMING.is_power_of_two(),
    "a place is a datagram's number less some bits"
);

/// A datagram on its way to its turn.
#[derive(Clone, Copy, Debug, Default)]
enum Coming {
    /// Nobody's, as far as is known.
    #[default]
    Unknown,
    /// From here.
    From(addr::Key),
    /// Its transport's place in the shard.
    Known { transport: u32, relayed: bool },
}

/// How far the datagrams of one batch are on their way to their turn.
#[derive(Debug, Default)]
pub(super) struct Foresight {
    coming: [Coming; COMING],
    /// The datagram whose turn it is, and how many there are.
    turn: usize,
    count: usize,
    /// The next one to take its first step, and the next one to take its second.
    first: usize,
    second: usize,
    fetch: Option<Fetch>,
}

impl Foresight {
    fn at(&mut self, datagram: usize) -> &mut Coming {
        &mut self.coming[datagram % COMING]
    }
}

impl Shard {
    /// To be called before each datagram of a batch of `count` is worked on, from `index` 0 on. `sender`: the address or the
    /// path by which a datagram of the batch came, `None` for one that will not be handed in.
    #[inline]
    pub fn foresee<S: Into<addr::Key>>(
        &mut self,
        index: usize,
        count: usize,
        mut sender: impl FnMut(usize) -> Option<S>,
        fetch: Fetch,
    ) {
        let looks = if index == 0 {
            self.sight = Foresight {
                count,
                fetch: Some(fetch),
                ..Foresight::default()
            };
            0..count.min(LOOK_AHEAD + 1)
        } else {
            self.sight.turn = index;
            (index + LOOK_AHEAD).min(count)..count.min(index + LOOK_AHEAD + 1)
        };
        for datagram in looks {
            *self.sight.at(datagram) = self.look(sender(datagram).map(Into::into), fetch);
        }
        if index == 0 {
            // Two, so that the second one's transport comes while the first one is worked on.
            (0..count.min(2)).for_each(|_| self.first_step(fetch));
        }
        if self.sight.second == index {
            // Late, but so it waits for all at once.
            if self.sight.first == index {
                self.first_step(fetch);
            }
            self.second_step(fetch);
        } else {
            self.go_on(fetch);
        }
    }

    /// The same in the middle of a packet's way.
    #[inline]
    pub(super) fn foresee_more(&mut self) {
        if let Some(fetch) = self.sight.fetch {
            self.go_on(fetch);
        }
    }

    /// One more step of the datagram that is next to take it.
    #[inline]
    fn go_on(&mut self, fetch: Fetch) {
        let Foresight {
            turn,
            count,
            first,
            second,
            ..
        } = self.sight;
        if second < first && second <= turn + SECOND_AHEAD {
            self.second_step(fetch);
        } else if first < count.min(turn + FIRST_AHEAD + 1) {
            self.first_step(fetch);
        }
    }

    /// Asks for where it stands who has sent a datagram.
    #[inline]
    fn look(&self, sender: Option<addr::Key>, fetch: Fetch) -> Coming {
        let Some(key) = sender else { return Coming::Unknown };
        if let Some(at) = self.by_address.address(&key) {
            fetch(at, 1);
        }
        Coming::From(key)
    }

    /// Looks up who has sent the next datagram, and asks for the transport and its keys.
    #[inline]
    fn first_step(&mut self, fetch: Fetch) {
        let datagram = self.sight.first;
        self.sight.first += 1;
        let Coming::From(key) = *self.sight.at(datagram) else {
            return;
        };
        let known = self.by_address.get(&key).map(|owner| owner.transport);
        *self.sight.at(datagram) = known.map_or(Coming::Unknown, |transport| Coming::Known {
            transport,
            relayed: key.is_path(),
        });
        if let Some(at) = known.and_then(|transport| self.transports.address(transport)) {
            fetch(at, transport::SOURCE_BYTES);
            for (part, bytes) in srtp::INBOUND_HOT {
                fetch(at.wrapping_add(transport::INBOUND_AT + part), bytes);
            }
        }
    }

    /// Asks for the next datagram's leg and its room, and for the listener with his transport and keys.
    #[inline]
    fn second_step(&mut self, fetch: Fetch) {
        let datagram = self.sight.second;
        self.sight.second += 1;
        let Coming::Known { transport, relayed } = *self.sight.at(datagram) else {
            return;
        };
        let Some(transport) = self.transports.get(transport) else {
            return;
        };
        if let Some(at) = self.legs.address(transport.leg) {
            fetch(at, leg::SOURCE_BYTES);
            // Whose leg is asked for its name, too.
            if relayed {
                fetch(at.wrapping_add(NAME_AT), size_of::<LegId>());
            }
        }
        let Ahead { room, sink, way_out } = transport.ahead;
        if let Some(at) = self.rooms.address(room) {
            fetch(at, room::HOT_BYTES);
        }
        if let Some(at) = self.legs.address(sink) {
            fetch(at, 1);
            fetch(at.wrapping_add(leg::SINK_AT), leg::SINK_BYTES);
        }
        if let Some(at) = self.transports.address(way_out) {
            fetch(at.wrapping_add(transport::SINK_AT), transport::SINK_BYTES);
            for (part, bytes) in srtp::OUTBOUND_HOT {
                fetch(at.wrapping_add(transport::OUTBOUND_AT + part), bytes);
            }
        }
    }
}
