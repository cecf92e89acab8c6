//! Requests without credentials, from as many addresses and ports, at our relay, while clients speak through it: what it
//! answers, what it keeps, and what the clients notice.
//!
//! With the right to raw sockets they are written whole ([`crate::raw`]), as many a second as the core gives. Without it
//! each has a socket of its own, some thousand a second: Linux answers for every address of 127.0.0.0/8, so what is sent
//! back is counted either way, and nothing leaves the machine.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use stun::{Class, LongTermKey, Writer, attribute, method};

use crate::options::Turn;
use crate::raw::{PORTS, Raw};
use crate::relay::Ours;
use crate::report::{self, Report};
use crate::{Fault, clock, system, turn};

/// Sources that are still listened to: an answer comes within a millisecond or two.
const OPEN_MAX: usize = 1_024;
/// Largest answer that is expected, bytes.
const ANSWER_BYTES: usize = 512;
/// Every second source lies in this /24, the others anywhere.
const CROWDED: [u8; 3] = [127, 77, 7];
/// Addresses of the crowded prefix, and of all others: those of 127.0.0.0/8 but its first and last ones.
const CROWDED_ADDRESSES: u32 = 254;
const OTHER_ADDRESSES: u32 = 0x00FF_FFFD;
/// One look at the clients: the flood is over soon after its last request, and what follows is no part of it.
const LOOK: Duration = Duration::from_secs(1);

/// Bytes of some prefixes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    /// To the relay.
    pub(crate) sent: u64,
    /// From it.
    pub(crate) came: u64,
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) address: Ipv4Addr,
    /// In the /24 that half of them come from.
    pub(crate) crowded: bool,
    /// Chooses among the ports that there are.
    pub(crate) turn: u32,
}

impl Source {
    /// Every second one in the crowded prefix, the others spread over all of 127.0.0.0/8.
    pub(crate) fn of(number: u32) -> Source {
        let half = number / 2;
        if number.is_multiple_of(2) {
            let [a, b, c] = CROWDED;
            return Source {
                address: Ipv4Addr::new(a, b, c, (half % CROWDED_ADDRESSES + 1) as u8),
                crowded: true,
                turn: half / CROWDED_ADDRESSES,
            };
        }
        // An odd factor visits every one of the 2^24 before it comes back.
        let spread = half.wrapping_mul(0x009E_3779) & 0x00FF_FFFF;
        Source {
            address: Ipv4Addr::from_bits(0x7F00_0000 | spread.clamp(2, 0x00FF_FFFE)),
            crowded: false,
            turn: half,
        }
    }
}

/// What the flood saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    pub(crate) answers: u64,
    pub(crate) seconds: f64,
    /// The prefix that half of the requests came from.
    pub(crate) crowded: Traffic,
    pub(crate) others: Traffic,
    /// Of the /24 in 127.0.0.0/8, those that something came from.
    prefixes: Vec<bool>,
}

impl Default for Seen {
    fn default() -> Seen {
        Seen {
            requests: 0,
            answers: 0,
            seconds: 0.0,
            crowded: Traffic::default(),
            others: Traffic::default(),
            prefixes: vec![false; 1 << 16],
        }
    }
}

impl Seen {
    /// A request of so many bytes has gone.
    pub(crate) fn sent(&mut self, source: Source, bytes: usize) {
        self.requests += 1;
        self.traffic(source.crowded).sent += bytes as u64;
        let [_, b, c, _] = source.address.octets();
        self.prefixes[usize::from(b) << 8 | usize::from(c)] = true;
    }

    /// An answer of so many bytes has come.
    pub(crate) fn came(&mut self, crowded: bool, bytes: usize) {
        self.answers += 1;
        self.traffic(crowded).came += bytes as u64;
    }

    fn traffic(&mut self, crowded: bool) -> &mut Traffic {
        if crowded { &mut self.crowded } else { &mut self.others }
    }

    pub(crate) fn all(&self) -> Traffic {
        Traffic {
            sent: self.crowded.sent + self.others.sent,
            came: self.crowded.came + self.others.came,
        }
    }

    pub(crate) fn prefixes(&self) -> usize {
        self.prefixes.iter().filter(|seen| **seen).count()
    }
}

/// A flood and what stood beside it.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) seen: Seen,
    /// Written whole instead of sent by sockets of their own.
    pub(crate) raw: bool,
    /// Datagrams that the relay's socket had no room for.
    pub(crate) overflowed: u64,
    /// Time of the relay's threads on a core, by the time that the flood took.
    pub(crate) relay_busy: f64,
    pub(crate) rss_before: u64,
    pub(crate) rss_after: u64,
    /// Clients without the flood, and with it.
    pub(crate) quiet: crate::generator::Window,
    pub(crate) busy: crate::generator::Window,
}

impl Measured {
    /// Different pairs of address and port among the sources.
    pub(crate) fn sources(&self) -> u64 {
        if !self.raw {
            // The kernel gives each request a port of its own.
            return self.seen.requests;
        }
        let half = self.seen.requests / 2;
        let crowded = self.seen.requests - half;
        crowded.min(u64::from(CROWDED_ADDRESSES) * PORTS as u64) + half.min(OTHER_ADDRESSES.into())
    }
}

/// Measures the clients alone, then under the flood.
pub(crate) fn run(options: &Turn, requests: u32) -> Result<Report, Fault> {
    let mut ours = Ours::start(options.own_thread)?;
    let (relays, peer) = ours.relays(options.clients, options.way)?;
    let mut generator = turn::clients(options, &relays, peer)?;
    let raw = if options.sockets {
        None
    } else {
        Raw::open(ours.address())?
    };
    let is_raw = raw.is_some();
    if !is_raw && !options.sockets {
        eprintln!(
            "no right to raw sockets (CAP_NET_RAW, root has it): a socket for each request, a few thousand a second"
        );
    }
    let quiet = generator.measure(options.span.time())?;
    let rss_before = system::resident_bytes(ours.pid())?;
    let (used_before, overflowed_before) = (ours.used()?, system::overflowed(ours.address())?);
    let done = Arc::new(AtomicBool::new(false));
    let (told, to, rate) = (Arc::clone(&done), ours.address(), options.flood_rate);
    let begin = clock::now();
    let thread = thread::Builder::new().name("flood".to_owned()).spawn(move || {
        // The clients' clock must not suffer from what is only load.
        let seen = system::give_way().and_then(|()| match raw {
            Some(mut raw) => raw.pour(&kinds(), requests, rate),
            None => pour(to, requests),
        });
        told.store(true, Ordering::Relaxed);
        seen
    })?;
    let mut busy = generator.measure(LOOK)?;
    while !done.load(Ordering::Relaxed) {
        busy.add(&generator.measure(LOOK)?)?;
    }
    let seen = thread.join().map_err(|_| "the flood panicked")??;
    let took = clock::now().duration_since(begin).as_nanos() as f64;
    let measured = Measured {
        seen,
        raw: is_raw,
        overflowed: system::overflowed(ours.address())?.saturating_sub(overflowed_before),
        relay_busy: (ours.used()?[0] - used_before[0]) as f64 / took,
        rss_before,
        rss_after: system::resident_bytes(ours.pid())?,
        quiet,
        busy,
    };
    Ok(report::flood(options, &measured))
}

/// A socket for each request.
fn pour(to: SocketAddr, requests: u32) -> io::Result<Seen> {
    let begin = clock::now();
    let mut seen = Seen::default();
    let mut open: VecDeque<(UdpSocket, bool)> = VecDeque::with_capacity(OPEN_MAX);
    let kinds = kinds();
    for number in 0..requests {
        let source = Source::of(number);
        let socket = UdpSocket::bind((source.address, 0))?;
        socket.set_nonblocking(true)?;
        let request = &kinds[number as usize / 2 % kinds.len()];
        // A full socket of the relay is the relay's loss; one of ours cannot fill with one datagram.
        seen.sent(source, socket.send_to(request, to)?);
        open.push_back((socket, source.crowded));
        if open.len() == OPEN_MAX
            && let Some((socket, crowded)) = open.pop_front()
        {
            hear(&socket, crowded, &mut seen)?;
        }
    }
    while let Some((socket, crowded)) = open.pop_front() {
        hear(&socket, crowded, &mut seen)?;
    }
    seen.seconds = clock::now().duration_since(begin).as_secs_f64();
    Ok(seen)
}

/// Counts what came for a source, and forgets it.
fn hear(socket: &UdpSocket, crowded: bool, seen: &mut Seen) -> io::Result<()> {
    let mut buffer = [0; ANSWER_BYTES];
    loop {
        match socket.recv(&mut buffer) {
            Ok(len) => seen.came(crowded, len),
            Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(fault) => return Err(fault),
        }
    }
}

/// What strangers send: an Allocate as a browser's first, a bare one, Binding, and one with made-up credentials.
fn kinds() -> [Vec<u8>; 4] {
    let first = request(method::ALLOCATE, |writer| {
        writer.attribute(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
    });
    let forged = request(method::ALLOCATE, |writer| {
        writer.attribute(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0])?;
        writer.attribute(attribute::USERNAME, b"1999999999:00000000000000000000000000000001:0")?;
        writer.attribute(attribute::REALM, b"helpline")?;
        writer.attribute(attribute::NONCE, b"AAAAAAAAAAAAAAAA")?;
        writer.integrity(&mut LongTermKey::new(b"x", b"helpline", b"x"))
    });
    let bare = request(method::ALLOCATE, |_| Ok(()));
    [first, bare, request(method::BINDING, |_| Ok(())), forged]
}

fn request(asked: u16, write: impl FnOnce(&mut Writer<'_>) -> Result<(), stun::NoRoom>) -> Vec<u8> {
    let mut buffer = vec![0; 256];
    let len = Writer::new(&mut buffer, Class::Request, asked, [0x5A; 12])
        .and_then(|mut writer| {
            write(&mut writer)?;
            Ok(writer.finish())
        })
        .expect("a short request has room");
    buffer.truncate(len);
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_sources_are_crowded_and_the_others_all_differ() {
        let sources: Vec<_> = (0..40_000).map(|number| Source::of(number).address).collect();
        let (crowded, spread): (Vec<Ipv4Addr>, Vec<Ipv4Addr>) =
            sources.iter().partition(|one| one.octets()[..3] == CROWDED);
        assert!((20_000..20_010).contains(&crowded.len()), "{}", crowded.len());
        let different: std::collections::HashSet<_> = spread.iter().collect();
        assert!(different.len() > 19_980, "{}", different.len());
        assert!(
            sources
                .iter()
                .all(|one| one.is_loopback() && *one != Ipv4Addr::LOCALHOST)
        );
    }

    #[test]
    fn strangers_send_what_the_design_counts_with() {
        let lengths = kinds().map(|kind| kind.len());
        assert_eq!(lengths[..3], [28, 20, 20]);
        assert!(lengths[3] > 100);
    }
}
