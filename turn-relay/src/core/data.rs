//! Relayed payload, both ways (RFC 8656 §11, §12.6, §12.7).
//!
//! Invariant: a packet goes on only while its permission lives, in either direction; a channel may outlive it. No lock,
//! no heap allocation.

use std::net::SocketAddr;
use std::ops::Range;

use ports::{Accepted, RelayPath, Via};
use stun::{Message, TransactionId, attribute};

use super::peers::Upward;
use super::{AllowList, At, Core, Edge, Flow, Gate, Handle, Kind, Outcome, Peers, Stage, Virtual, via_index};

/// Free bytes that a frame must have in front of its payload: the longest wrapping.
pub const FRONT_BYTES: usize = stun::channel::FRONT_BYTES;

/// Free bytes behind it: padding, rounded up.
pub const TAIL_BYTES: usize = 4;

/// Longest payload that goes to media, in bytes: an Ethernet frame.
const PAYLOAD_BYTES_MAX: usize = 1_500;

/// A packet for a client, wrapped in its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// Where it goes.
    pub flow: Flow,
    /// Which bytes of the frame.
    pub range: Range<usize>,
}

impl Gate {
    fn lets(self, payload: &[u8]) -> bool {
        match self {
            Gate::Any => true,
            // RFC 7983 §7: STUN, DTLS, RTP and RTCP.
            Gate::Media => {
                payload.len() <= PAYLOAD_BYTES_MAX && matches!(payload.first(), Some(0..=3 | 20..=63 | 128..=191))
            }
        }
    }
}

impl<K: Kind> Core<K> {
    /// ChannelData from a client.
    pub(super) fn channel_data<E: Edge>(&mut self, at: At, flow: Flow, bytes: &[u8], edge: &mut E) -> Outcome
    where
        K: Peers<E>,
    {
        let now_s = at.now_s();
        let known = (|| {
            let slot = self.table.find(&flow)?;
            let (number, payload) = stun::channel::parse_of(bytes, &self.dialect.channel_numbers())?;
            let allocation = self.table.at(slot)?;
            let channel = allocation.channel(now_s, number)?;
            let permitted = allocation.permits(now_s, channel.ip) && allocation.until_s > now_s;
            permitted.then(|| (slot, channel.peer(), channel.index, payload))
        })();
        match known {
            Some((slot, peer, index, payload)) => self.up(at, slot, peer, index, false, payload, edge),
            None => Outcome::Dropped(Stage::Channel),
        }
    }

    /// A Send indication: nobody signs it, so it counts only on the flow of an allocation and for a permitted peer.
    pub(super) fn send_indication<E: Edge>(
        &mut self,
        at: At,
        flow: Flow,
        message: &Message<'_>,
        edge: &mut E,
    ) -> Outcome
    where
        K: Peers<E>,
    {
        /// What a Send indication may carry (RFC 8656 §11.3); with anything else that must be understood it is dropped.
        const KNOWN: [u16; 3] = [attribute::XOR_PEER_ADDRESS, attribute::DATA, attribute::DONT_FRAGMENT];
        let now_s = at.now_s();
        let known = (|| {
            let slot = self.table.find(&flow)?;
            let peer = message.xor_address(attribute::XOR_PEER_ADDRESS)?;
            let payload = message.attribute(attribute::DATA)?;
            let allocation = self.table.at(slot)?;
            let index = self.peers.reaches(peer)?;
            let permitted = allocation.permits(now_s, peer.ip()) && allocation.until_s > now_s;
            (permitted && message.unknown(&KNOWN).is_empty()).then_some((slot, peer, index, payload))
        })();
        let dont_fragment = message.attribute(attribute::DONT_FRAGMENT).is_some();
        match known {
            Some((slot, peer, index, payload)) => self.up(at, slot, peer, index, dont_fragment, payload, edge),
            None => Outcome::Dropped(Stage::Permission),
        }
    }

    /// A permitted packet: bucket, gate, ring.
    #[expect(
        clippy::too_many_arguments,
        reason = "the one inner step of two callers, on the packet path"
    )]
    fn up<E: Edge>(
        &mut self,
        at: At,
        slot: u32,
        peer: SocketAddr,
        index: u8,
        dont_fragment: bool,
        payload: &[u8],
        edge: &mut E,
    ) -> Outcome
    where
        K: Peers<E>,
    {
        let Handle { generation, .. } = self.table.handle(slot);
        let Core {
            table,
            limits,
            peers,
            counters,
            gate,
            worker,
            ..
        } = self;
        let Some(allocation) = table.at_mut(slot) else {
            return Outcome::Dropped(Stage::Gone);
        };
        let via = allocation.flow.via;
        let stage = match allocation.relayed_for(peer.ip()) {
            None => Stage::Permission,
            Some(_) if !allocation.bucket.take(at.now_ns, payload.len(), limits) => Stage::Bucket,
            Some(_) if !gate.lets(payload) => Stage::Gate,
            Some(relayed) => {
                let path = RelayPath {
                    worker: *worker,
                    slot,
                    generation,
                    peer: index,
                    via,
                };
                let packet = Upward {
                    path,
                    leg: allocation.leg,
                    relayed,
                    peer,
                    dont_fragment,
                    payload,
                };
                match peers.forward(edge, packet) {
                    Accepted::Taken => {
                        let traffic = &mut counters.up[via_index(via)];
                        traffic.packets += 1;
                        traffic.bytes += payload.len() as u64;
                        allocation.counts.packets_up += 1;
                        allocation.counts.bytes_up += payload.len() as u64;
                        return Outcome::Relayed;
                    }
                    Accepted::Full => Stage::Ring,
                    Accepted::Gone => Stage::Gone,
                }
            }
        };
        allocation.counts.dropped += 1;
        Outcome::Dropped(stage)
    }

    /// Wraps what `peer` sends to an allocation: ChannelData where a channel stands, else a Data indication.
    fn down(
        &mut self,
        at: At,
        handle: Handle,
        peer: SocketAddr,
        frame: &mut [u8],
        len: usize,
    ) -> Result<Wrapped, Stage> {
        let now_s = at.now_s();
        let transaction = self.next_indication();
        let Some(allocation) = self.table.get_mut(handle) else {
            return Err(Stage::Gone);
        };
        let via = allocation.flow.via;
        let payload = FRONT_BYTES..FRONT_BYTES + len;
        let permitted = allocation.permits(now_s, peer.ip()) && allocation.until_s > now_s;
        // Of two families one may have been freed (RFC 8656 §7.3), and what was permitted there with it.
        let range = if permitted && allocation.relayed_for(peer.ip()).is_some() {
            match allocation.channel_to(now_s, peer).map(|channel| channel.number) {
                Some(number) => stun::channel::wrap(frame, payload, number, via != Via::Udp),
                None => stun::channel::wrap_data(frame, payload, peer, transaction),
            }
            .ok_or(Stage::Length)
        } else {
            Err(Stage::Permission)
        };
        match range {
            Ok(range) => {
                let traffic = &mut self.counters.down[via_index(via)];
                traffic.packets += 1;
                traffic.bytes += len as u64;
                allocation.counts.packets_down += 1;
                allocation.counts.bytes_down += len as u64;
                Ok(Wrapped {
                    flow: allocation.flow,
                    range,
                })
            }
            Err(stage) => {
                allocation.counts.dropped += 1;
                Err(stage)
            }
        }
    }

    /// Unlike any other of this process; nobody answers an indication, so nobody has to guess it.
    fn next_indication(&mut self) -> TransactionId {
        self.indications = self.indications.wrapping_add(1);
        let mut transaction = [0; 12];
        transaction[..4].copy_from_slice(&self.indication_tag);
        transaction[4..].copy_from_slice(&self.indications.to_be_bytes());
        transaction
    }
}

impl Core<Virtual> {
    /// What a shard sends to a client. `frame`: [`FRONT_BYTES`] free, `len` bytes of payload, [`TAIL_BYTES`] free; it is
    /// wrapped in place.
    ///
    /// # Errors
    /// The [`Stage`] at which it was dropped; it is counted already.
    pub fn from_shard(&mut self, at: At, path: RelayPath, frame: &mut [u8], len: usize) -> Result<Wrapped, Stage> {
        let handle = Handle {
            slot: path.slot,
            generation: path.generation,
        };
        let wrapped = match self.peers.candidate(path.peer) {
            Some(peer) if path.worker == self.worker => self.down(at, handle, peer, frame, len),
            Some(_) | None => Err(Stage::Gone),
        };
        wrapped.inspect_err(|&stage| self.counters.dropped(stage))
    }
}

impl Core<AllowList> {
    /// What `peer` sent to an allocation's socket. `frame` as in [`Core::from_shard`].
    ///
    /// # Errors
    /// The [`Stage`] at which it was dropped; it is counted already.
    pub fn from_peer(
        &mut self,
        at: At,
        handle: Handle,
        peer: SocketAddr,
        frame: &mut [u8],
        len: usize,
    ) -> Result<Wrapped, Stage> {
        let wrapped = self.down(at, handle, peer, frame, len);
        wrapped.inspect_err(|&stage| self.counters.dropped(stage))
    }
}
