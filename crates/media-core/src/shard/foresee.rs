//! Looking ahead: what the next datagrams of a batch will need is fetched while those before them are worked on.
//!
//! A shard holds more than the processor's caches, and between two packets of a leg the kernel has used them for itself.
//! One packet goes from place to place, each known only from the one before it, and alone it would wait at each of them. Here
//! a datagram takes three steps some datagrams before its turn: the entry of its sender is asked for, when that has come its
//! transport, and then all that the last packet of this transport needed on its way ([`Ahead`]). The processor works
//! meanwhile; only the first ones of a batch wait, and all together.
//!
//! Invariant: nothing is changed and nothing decided here; without it the engine does the same, more slowly.

use super::Shard;
use crate::leg::{self, NAME_AT};
use crate::transport::{self, Ahead};
use crate::{LegId, addr, room, srtp};

/// Asks the processor to fetch `bytes` from an address; reads nothing. The engine has no unsafe code, so it is handed in.
pub type Fetch = fn(at: *const u8, bytes: usize);

/// How many datagrams ahead each of the three steps is taken. Higher: more of a batch waits at its beginning. Lower: what was
/// asked for has not come when it is needed.
const LOOK_AHEAD: usize = 8;
const FIRST_AHEAD: usize = 4;
const SECOND_AHEAD: usize = 2;
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

/// The datagrams of one batch that are on their way to their turn.
#[derive(Clone, Debug, Default)]
pub struct Foresight([Coming; COMING]);

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
        let mut look = |sight: &mut Foresight, datagram: usize| {
            sight.0[datagram % COMING] = self.look(sender(datagram).map(Into::into), fetch);
        };
        if index == 0 {
            (0..count.min(LOOK_AHEAD)).for_each(|datagram| look(sight, datagram));
            (0..count.min(FIRST_AHEAD)).for_each(|datagram| self.first_step(sight, datagram, fetch));
            (0..count.min(SECOND_AHEAD)).for_each(|datagram| self.second_step(sight, datagram, fetch));
        }
        if index + LOOK_AHEAD < count {
            look(sight, index + LOOK_AHEAD);
        }
        if index + FIRST_AHEAD < count {
            self.first_step(sight, index + FIRST_AHEAD, fetch);
        }
        if index + SECOND_AHEAD < count {
            self.second_step(sight, index + SECOND_AHEAD, fetch);
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

    /// Looks up who it was, and asks for the transport and its keys.
    #[inline]
    fn first_step(&self, sight: &mut Foresight, datagram: usize, fetch: Fetch) {
        let coming = &mut sight.0[datagram % COMING];
        let Coming::From(key) = *coming else { return };
        *coming = self
            .by_address
            .get(&key)
            .map_or(Coming::Unknown, |owner| Coming::Known {
                transport: owner.transport,
                relayed: key.is_path(),
            });
        if let Coming::Known { transport, .. } = *coming
            && let Some(at) = self.transports.address(transport)
        {
            fetch(at, transport::SOURCE_BYTES);
            for (part, bytes) in srtp::INBOUND_HOT {
                fetch(at.wrapping_add(transport::INBOUND_AT + part), bytes);
            }
        }
    }

    /// Asks for the leg and its room, and for the listener with his transport and keys.
    #[inline]
    fn second_step(&self, sight: &Foresight, datagram: usize, fetch: Fetch) {
        let Coming::Known { transport, relayed } = sight.0[datagram % COMING] else {
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
