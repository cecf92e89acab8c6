//! Allow-list mode's relayed addresses: one UDP socket each.
//!
//! For conformance tools and remote media nodes, not for the many: a system call per datagram.
//!
//! Invariant: a socket error ends nothing but the datagram. Who may be reached is judged by the core before every send.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use ports::{Accepted, RelayPath};
use ring::rand::{SecureRandom, SystemRandom};
use udp::{Interest, Poller};

use super::edge::{Kept, Outside, Side};
use super::ring::{FRONT_BYTES, PAYLOAD_BYTES_MAX, TAIL_BYTES};
use crate::core::{AllowList, At, Core, Handle, Network, PORT_FIRST, Stage, Wrapped};

/// Tries to find a free port by chance before the kernel is asked for any: with half the range taken, all but one in a
/// million succeed.
const DRAWS_MAX: usize = 20;
/// Largest datagram that is taken from a peer: what a frame may hold. A longer one is cut, as by any short buffer.
const DATAGRAM_BYTES_MAX: usize = PAYLOAD_BYTES_MAX;
/// Datagrams that are taken from one socket per turn, so that one peer cannot hold up the others.
const BATCH: usize = 32;

/// One relayed address.
struct Relayed {
    socket: UdpSocket,
    handle: Handle,
    dont_fragment: bool,
}

/// See the top of this file.
pub(crate) struct Sockets {
    /// Where to bind, per family.
    ips: [Option<IpAddr>; 2],
    /// As clients see those, where it differs.
    public: [Option<IpAddr>; 2],
    sockets: Vec<Option<Relayed>>,
    free: Vec<usize>,
    places: HashMap<(Handle, bool), usize>,
    poller: Poller,
    random: SystemRandom,
    refused: u64,
}

impl Sockets {
    /// `ips` and `public`: IPv4, IPv6.
    pub(crate) fn new(ips: [Option<IpAddr>; 2], public: [Option<IpAddr>; 2]) -> io::Result<Sockets> {
        Ok(Sockets {
            ips,
            public,
            sockets: Vec::new(),
            free: Vec::new(),
            places: HashMap::new(),
            poller: Poller::new(64)?,
            random: SystemRandom::new(),
            refused: 0,
        })
    }

    /// Takes one datagram from the socket in `place`; `None` when nothing waits there.
    fn receive(&self, place: usize, buffer: &mut [u8]) -> Option<(Handle, SocketAddr, usize)> {
        let relayed = self.sockets.get(place)?.as_ref()?;
        loop {
            match relayed.socket.recv_from(buffer) {
                Ok((len, from)) => return Some((relayed.handle, from, len)),
                // ICMP answers to earlier datagrams: the next one may be behind them.
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return None,
                Err(fault) if is_about_a_peer(&fault) => {}
                Err(_) => return None,
            }
        }
    }

    fn bind(&self, ip: IpAddr, even: bool) -> Option<UdpSocket> {
        for _ in 0..DRAWS_MAX {
            let mut bytes = [0; 2];
            self.random.fill(&mut bytes).ok()?;
            let port = PORT_FIRST | u16::from_ne_bytes(bytes);
            let port = if even { port & !1 } else { port };
            if let Ok(socket) = UdpSocket::bind((ip, port)) {
                return Some(socket);
            }
        }
        // The kernel's choice; for an even port what chance gives.
        let socket = UdpSocket::bind((ip, 0)).ok()?;
        let fits = !even || socket.local_addr().is_ok_and(|address| address.port() % 2 == 0);
        fits.then_some(socket)
    }
}

fn is_about_a_peer(fault: &io::Error) -> bool {
    use ErrorKind as K;
    matches!(
        fault.kind(),
        K::ConnectionRefused | K::HostUnreachable | K::NetworkUnreachable | K::Interrupted
    ) || fault.raw_os_error().is_some_and(udp::is_message_too_long)
}

impl Side for Sockets {
    type Kind = AllowList;

    fn from_shard(_: &mut Core<AllowList>, _: At, _: RelayPath, _: &mut [u8], _: usize) -> Result<Wrapped, Stage> {
        // Without shards there are no rings.
        Err(Stage::Gone)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.poller.as_fd())
    }

    fn readable(core: &mut Core<AllowList>, at: At, outside: &mut Outside<Sockets>) {
        let Outside { side, replies, .. } = outside;
        let ready = side.poller.wait(0).unwrap_or(0);
        let mut frame = [0; FRONT_BYTES + DATAGRAM_BYTES_MAX + TAIL_BYTES];
        for index in 0..ready {
            let Some(place) = side
                .poller
                .ready(index)
                .and_then(|ready| usize::try_from(ready.token).ok())
            else {
                continue;
            };
            for _ in 0..BATCH {
                let room = &mut frame[FRONT_BYTES..FRONT_BYTES + DATAGRAM_BYTES_MAX];
                let Some((handle, from, len)) = side.receive(place, room) else {
                    break;
                };
                let end = FRONT_BYTES + len + TAIL_BYTES;
                if let Ok(wrapped) = core.from_peer(at, handle, from, &mut frame[..end], len) {
                    replies.push(wrapped.flow, Kept::Fresh, &frame[wrapped.range]);
                }
            }
        }
    }

    fn flush(&mut self) {}

    fn clear(&mut self) {
        // Closed, a socket is no longer waited for.
        self.sockets.clear();
        self.free.clear();
        self.places.clear();
    }

    fn refused(&self) -> u64 {
        self.refused
    }
}

impl Network for Outside<Sockets> {
    fn open(&mut self, handle: Handle, v6: bool, even: bool) -> Option<SocketAddr> {
        let side = &mut self.side;
        let ip = side.ips[usize::from(v6)]?;
        let socket = side.bind(ip, even)?;
        socket.set_nonblocking(true).ok()?;
        let local = socket.local_addr().ok()?;
        let place = side.free.pop().unwrap_or(side.sockets.len());
        if side.poller.add(&socket, place as u64, Interest::Read).is_err() {
            side.free.push(place);
            return None;
        }
        let relayed = Relayed {
            socket,
            handle,
            dont_fragment: false,
        };
        if place == side.sockets.len() {
            side.sockets.push(Some(relayed));
        } else {
            side.sockets[place] = Some(relayed);
        }
        side.places.insert((handle, v6), place);
        Some(SocketAddr::new(
            side.public[usize::from(v6)].unwrap_or(local.ip()),
            local.port(),
        ))
    }

    fn close(&mut self, handle: Handle, relayed: SocketAddr) {
        if let Some(place) = self.side.places.remove(&(handle, relayed.is_ipv6())) {
            self.side.sockets[place] = None;
            self.side.free.push(place);
        }
    }

    fn to_peer(&mut self, handle: Handle, peer: SocketAddr, dont_fragment: bool, payload: &[u8]) -> Accepted {
        let side = &mut self.side;
        let place = side.places.get(&(handle, peer.is_ipv6())).copied();
        let Some(relayed) = place.and_then(|place| side.sockets.get_mut(place)?.as_mut()) else {
            return Accepted::Gone;
        };
        if relayed.dont_fragment != dont_fragment
            && udp::dont_fragment(&relayed.socket, peer.is_ipv6(), dont_fragment).is_ok()
        {
            relayed.dont_fragment = dont_fragment;
        }
        match relayed.socket.send_to(payload, peer) {
            Ok(_) => Accepted::Taken,
            Err(fault) if fault.kind() == ErrorKind::WouldBlock => Accepted::Full,
            Err(_) => {
                // Nobody is told: what lies behind a relay is no business of its client.
                side.refused += 1;
                Accepted::Taken
            }
        }
    }
}
