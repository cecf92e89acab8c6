//! What lies behind a relayed address: in virtual mode our own shards and nothing else; in allow-list mode sockets.
//!
//! Invariant: a peer is judged when a permission or channel is asked for and again, exactly, for every packet.

use std::net::{IpAddr, SocketAddr};

use ports::{Accepted, FromRelay, LegId, RelayPath};

use super::address::PeerRules;
use super::allocation::{Channel, Permission};
use super::edge::{Edge, Handle, Network, Shards};
use super::virtual_ports::VirtualPorts;

/// The part of a mode that needs no edge.
pub trait Kind {
    /// Room for an allocation's permissions.
    type Permissions: AsRef<[Permission]> + AsMut<[Permission]> + Default;
    /// Room for its channels.
    type Channels: AsRef<[Channel]> + AsMut<[Channel]> + Default;
    /// New peers are counted per second.
    const COUNTS_NEW_PEERS: bool;

    /// Whether relayed addresses of this family exist.
    fn has_family(&self, v6: bool) -> bool;
    /// Whether a permission for this IP may be installed.
    fn permits(&self, ip: IpAddr) -> bool;
    /// Whether data may go to exactly this peer; its number in virtual mode, 0 otherwise.
    fn reaches(&self, peer: SocketAddr) -> Option<u8>;
}

/// One packet on its way out of an allocation.
pub struct Upward<'a> {
    pub(crate) path: RelayPath,
    pub(crate) leg: LegId,
    pub(crate) relayed: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) dont_fragment: bool,
    pub(crate) payload: &'a [u8],
}

/// The part of a mode that acts through its edge.
pub trait Peers<E: Edge>: Kind {
    /// A relayed address of the family; `None`: nothing is left.
    fn open(&mut self, edge: &mut E, now_s: u32, handle: Handle, v6: bool, even: bool) -> Option<SocketAddr>;
    /// Gives it back.
    fn close(&mut self, edge: &mut E, now_s: u32, handle: Handle, relayed: SocketAddr);
    /// Sends a packet on.
    fn forward(&self, edge: &mut E, packet: Upward<'_>) -> Accepted;
}

/// Relayed addresses that nobody binds; the only peers are the candidates of our shards.
pub struct Virtual {
    /// Address and shard, in the order of [`RelayPath::peer`].
    candidates: Vec<(SocketAddr, usize)>,
    /// The relayed addresses of each family.
    relayed: [Option<VirtualPorts>; 2],
    /// Addresses that are never given out: listeners and candidates.
    taken: Vec<SocketAddr>,
}

impl Virtual {
    /// `shards`: the advertised addresses of each.
    pub(crate) fn new(shards: &[Vec<SocketAddr>], config: &super::Config) -> Virtual {
        let numbered = shards.iter().enumerate();
        let candidates: Vec<_> = numbered
            .flat_map(|(shard, addresses)| addresses.iter().map(move |&address| (address, shard)))
            .collect();
        let relayed = [false, true].map(|v6| {
            let first = candidates.iter().find(|(address, _)| address.is_ipv6() == v6)?;
            let ips = config.relayed.ips(first.0.ip());
            let port_first = config.relayed.port_first;
            Some(VirtualPorts::new(ips, port_first, config.worker, config.workers))
        });
        let listening = config.listeners.iter().map(|listener| listener.address);
        let taken = listening
            .chain(candidates.iter().map(|(address, _)| *address))
            .collect();
        Virtual {
            candidates,
            relayed,
            taken,
        }
    }

    pub(crate) fn candidate(&self, index: u8) -> Option<SocketAddr> {
        self.candidates.get(usize::from(index)).map(|(address, _)| *address)
    }
}

impl Kind for Virtual {
    type Permissions = [Permission; 4];
    type Channels = [Channel; 4];
    const COUNTS_NEW_PEERS: bool = false;

    fn has_family(&self, v6: bool) -> bool {
        self.relayed[usize::from(v6)].is_some()
    }

    fn permits(&self, ip: IpAddr) -> bool {
        self.candidates.iter().any(|(address, _)| address.ip() == ip)
    }

    fn reaches(&self, peer: SocketAddr) -> Option<u8> {
        let place = self.candidates.iter().position(|(address, _)| *address == peer)?;
        u8::try_from(place).ok()
    }
}

impl<E: Shards> Peers<E> for Virtual {
    fn open(&mut self, edge: &mut E, now_s: u32, _: Handle, v6: bool, even: bool) -> Option<SocketAddr> {
        let Virtual { relayed, taken, .. } = self;
        let ports = relayed[usize::from(v6)].as_mut()?;
        let draw = || {
            let mut bytes = [0; 4];
            edge.random(&mut bytes);
            u32::from_ne_bytes(bytes)
        };
        ports.take(now_s, even, draw, |address| !taken.contains(&address))
    }

    fn close(&mut self, _: &mut E, now_s: u32, _: Handle, relayed: SocketAddr) {
        if let Some(ports) = &mut self.relayed[usize::from(relayed.is_ipv6())] {
            ports.give_back(now_s, relayed);
        }
    }

    fn forward(&self, edge: &mut E, packet: Upward<'_>) -> Accepted {
        let Some(&(_, shard)) = self.candidates.get(usize::from(packet.path.peer)) else {
            return Accepted::Gone;
        };
        let packet = FromRelay {
            path: packet.path,
            leg: packet.leg,
            relayed: packet.relayed,
            peer: packet.peer,
            payload: packet.payload,
        };
        edge.deliver(shard, packet)
    }
}

/// Relayed addresses that are sockets, and a list of who may be reached.
pub struct AllowList {
    pub(crate) rules: PeerRules,
    pub(crate) families: [bool; 2],
}

impl Kind for AllowList {
    type Permissions = [Permission; 16];
    type Channels = [Channel; 16];
    const COUNTS_NEW_PEERS: bool = true;

    fn has_family(&self, v6: bool) -> bool {
        self.families[usize::from(v6)]
    }

    fn permits(&self, ip: IpAddr) -> bool {
        self.rules.allow_ip(ip)
    }

    fn reaches(&self, peer: SocketAddr) -> Option<u8> {
        self.rules.allow(peer).then_some(0)
    }
}

impl<E: Network> Peers<E> for AllowList {
    fn open(&mut self, edge: &mut E, _: u32, handle: Handle, v6: bool, even: bool) -> Option<SocketAddr> {
        edge.open(handle, v6, even)
    }

    fn close(&mut self, edge: &mut E, _: u32, handle: Handle, relayed: SocketAddr) {
        edge.close(handle, relayed);
    }

    fn forward(&self, edge: &mut E, packet: Upward<'_>) -> Accepted {
        // Again for every packet: a channel must not outlive the rule that it was made under.
        if !self.rules.allow(packet.peer) {
            return Accepted::Gone;
        }
        let handle = Handle {
            slot: packet.path.slot,
            generation: packet.path.generation,
        };
        edge.to_peer(handle, packet.peer, packet.dont_fragment, packet.payload)
    }
}
