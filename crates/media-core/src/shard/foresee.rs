//! Looking ahead: what the next datagrams of a batch will need is fetched while those before them are worked on.
//!
//! A shard holds more than the processor's caches, and between two packets of a leg the kernel has used them for itself.
//! One packet goes from place to place, each known only from the one before it, and alone it would wait at each of them. Here
//! a datagram takes two steps some datagrams before its turn: its transport is asked for, and, when that has come, all that
//! the last packet of this transport needed on its way ([`Ahead`]). The processor works meanwhile; only the first ones of a
//! batch wait, and all together.
//!
//! Invariant: nothing is changed and nothing decided here; without it the engine does the same, more slowly.

use super::Shard;
use crate::leg::{self, NAME_AT};
use crate::transport::{self, Ahead};
use crate::{LegId, addr, room, srtp};

/// Asks the processor to fetch `bytes` from an address; reads nothing. The engine has no unsafe code, so it is handed in.
pub type Fetch = fn(at: *const u8, bytes: usize);

/// How many datagrams ahead each of the two steps is taken. Higher: more of a batch waits at its beginning. Lower: what was
/// asked for has not come when it is needed.
const FIRST_AHEAD: usize = 4;
const SECOND_AHEAD: usize = 2;
/// Senders that are looked up together: this waits for a table of its own, which cannot be asked ahead, and the processor
/// can wait for several at once.
const TOGETHER: usize = 4;
/// Datagrams that are on their way at once.
const COMING: usize = 16;

const _: () = assert!(SECOND_AHEAD < FIRST_AHEAD && FIRST_AHEAD + TOGETHER < COMING && COMING.is_power_of_two());

/// A datagram on its way to its turn.
#[derive(Clone, Copy, Debug)]
struct Coming {
    /// Its transport's place in the shard.
    transport: u32,
    relayed: bool,
}

/// The datagrams of one batch that are on their way to their turn.
#[derive(Clone, Debug)]
pub struct Foresight {
    coming: [Option<Coming>; COMING],
    /// How many of the batch have been looked up.
    begun: usize,
}

impl Default for Foresight {
    fn default() -> Foresight {
        Foresight {
            coming: [None; COMING],
            begun: 0,
        }
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
            self.begin(sight, count.min(FIRST_AHEAD), &mut sender);
            (0..count.min(FIRST_AHEAD)).for_each(|datagram| self.first_step(sight, datagram, fetch));
            (0..count.min(SECOND_AHEAD)).for_each(|datagram| self.second_step(sight, datagram, fetch));
        }
        if index.is_multiple_of(TOGETHER) {
            self.begin(sight, count.min(index + FIRST_AHEAD + TOGETHER), &mut sender);
        }
        if index + FIRST_AHEAD < count {
            self.first_step(sight, index + FIRST_AHEAD, fetch);
        }
        if index + SECOND_AHEAD < count {
            self.second_step(sight, index + SECOND_AHEAD, fetch);
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
            sight.coming[datagram % COMING] = key.and_then(|key: addr::Key| {
                let owner = self.by_address.get(&key)?;
                Some(Coming {
                    transport: owner.transport,
                    relayed: key.is_path(),
                })
            });
        }
        sight.begun = sight.begun.max(end);
    }

    /// Asks for the transport and its keys.
    #[inline]
    fn first_step(&self, sight: &Foresight, datagram: usize, fetch: Fetch) {
        let coming = &sight.coming[datagram % COMING];
        if let Some(at) = coming.and_then(|coming| self.transports.address(coming.transport)) {
            fetch(at, transport::SOURCE_BYTES);
            fetch(at.wrapping_add(transport::INBOUND_AT), srtp::INBOUND_HOT_BYTES);
        }
    }

    /// Asks for the leg and its room, and for the listener with his transport and keys.
    #[inline]
    fn second_step(&self, sight: &Foresight, datagram: usize, fetch: Fetch) {
        let Some(coming) = sight.coming[datagram % COMING] else {
            return;
        };
        let Some(transport) = self.transports.get(coming.transport) else {
            return;
        };
        if let Some(at) = self.legs.address(transport.leg) {
            fetch(at, leg::SOURCE_BYTES);
            // Whose leg is asked for its name, too.
            if coming.relayed {
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
            fetch(at.wrapping_add(transport::OUTBOUND_AT), srtp::OUTBOUND_HOT_BYTES);
        }
    }
}
