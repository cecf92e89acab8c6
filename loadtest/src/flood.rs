//! Requests without credentials, each from an address and port of its own, at our relay, while clients speak through it:
//! what it answers, what it keeps, and what the clients notice.
//!
//! Linux answers for every address of 127.0.0.0/8, so each source is real: what is sent back to it is counted.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use stun::{Class, LongTermKey, Writer, attribute, method};

use crate::options::Turn;
use crate::relay::Ours;
use crate::report::{self, Report};
use crate::{Fault, clock, system, turn};

/// Sources that are still listened to: an answer comes within a millisecond or two.
const OPEN_MAX: usize = 1_024;
/// Largest answer that is expected, bytes.
const ANSWER_BYTES: usize = 512;
/// Every second source lies in this /24, the others anywhere.
const CROWDED: [u8; 3] = [127, 77, 7];

/// Bytes of one prefix.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    /// To the relay.
    pub(crate) sent: u64,
    /// From it.
    pub(crate) came: u64,
}

/// What the flood saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    pub(crate) answers: u64,
    pub(crate) seconds: f64,
    prefixes: HashMap<[u8; 3], Traffic>,
}

impl Seen {
    pub(crate) fn all(&self) -> Traffic {
        self.prefixes.values().fold(Traffic::default(), |all, one| Traffic {
            sent: all.sent + one.sent,
            came: all.came + one.came,
        })
    }

    /// The prefix that half of the requests came from.
    pub(crate) fn crowded(&self) -> Traffic {
        self.prefixes.get(&CROWDED).copied().unwrap_or_default()
    }

    pub(crate) fn prefixes(&self) -> usize {
        self.prefixes.len()
    }
}

/// A flood and what stood beside it.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) seen: Seen,
    pub(crate) rss_before: u64,
    pub(crate) rss_after: u64,
    /// Clients without the flood, and with it.
    pub(crate) quiet: crate::generator::Window,
    pub(crate) busy: crate::generator::Window,
}

/// Measures the clients alone, then under the flood.
pub(crate) fn run(options: &Turn, requests: u32) -> Result<Report, Fault> {
    let mut ours = Ours::start(options.own_thread)?;
    let (relays, peer) = ours.relays(options.clients, options.way)?;
    let mut generator = turn::clients(options, &relays, peer)?;
    let quiet = generator.measure(options.span.time())?;
    let rss_before = system::resident_bytes(ours.pid())?;
    let done = Arc::new(AtomicBool::new(false));
    let (told, to) = (Arc::clone(&done), ours.address());
    let thread = thread::Builder::new().name("flood".to_owned()).spawn(move || {
        // The clients' clock must not suffer from what is only load.
        let seen = system::give_way().and_then(|()| pour(to, requests));
        told.store(true, Ordering::Relaxed);
        seen
    })?;
    // At least one span, and on until the last request.
    let mut busy = generator.measure(options.span.time())?;
    while !done.load(Ordering::Relaxed) {
        busy.add(&generator.measure(options.span.time())?)?;
    }
    let seen = thread.join().map_err(|_| "the flood panicked")??;
    let measured = Measured {
        seen,
        rss_before,
        rss_after: system::resident_bytes(ours.pid())?,
        quiet,
        busy,
    };
    Ok(report::flood(options, &measured))
}

fn pour(to: SocketAddr, requests: u32) -> io::Result<Seen> {
    let begin = clock::now();
    let mut seen = Seen::default();
    let mut open: VecDeque<(UdpSocket, [u8; 3])> = VecDeque::with_capacity(OPEN_MAX);
    let kinds = kinds();
    for number in 0..requests {
        let address = source(number);
        let [a, b, c, _] = address.octets();
        let prefix = [a, b, c];
        let socket = UdpSocket::bind((address, 0))?;
        socket.set_nonblocking(true)?;
        let request = &kinds[number as usize / 2 % kinds.len()];
        let traffic = seen.prefixes.entry(prefix).or_default();
        // A full socket of the relay is the relay's loss; one of ours cannot fill with one datagram.
        traffic.sent += socket.send_to(request, to)? as u64;
        seen.requests += 1;
        open.push_back((socket, prefix));
        if open.len() == OPEN_MAX
            && let Some((socket, prefix)) = open.pop_front()
        {
            hear(&socket, prefix, &mut seen)?;
        }
    }
    while let Some((socket, prefix)) = open.pop_front() {
        hear(&socket, prefix, &mut seen)?;
    }
    seen.seconds = clock::now().duration_since(begin).as_secs_f64();
    Ok(seen)
}

/// Counts what came for a source, and forgets it.
fn hear(socket: &UdpSocket, prefix: [u8; 3], seen: &mut Seen) -> io::Result<()> {
    let mut buffer = [0; ANSWER_BYTES];
    loop {
        match socket.recv(&mut buffer) {
            Ok(len) => {
                seen.answers += 1;
                seen.prefixes.entry(prefix).or_default().came += len as u64;
            }
            Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(fault) => return Err(fault),
        }
    }
}

/// Every second one in the crowded prefix, the others spread over all of 127.0.0.0/8 but its first and last addresses.
fn source(number: u32) -> Ipv4Addr {
    let half = number / 2;
    if number.is_multiple_of(2) {
        let [a, b, c] = CROWDED;
        return Ipv4Addr::new(a, b, c, (half % 254 + 1) as u8);
    }
    // An odd factor visits every one of the 2^24 before it comes back.
    let spread = half.wrapping_mul(0x009E_3779) & 0x00FF_FFFF;
    Ipv4Addr::from_bits(0x7F00_0000 | spread.clamp(2, 0x00FF_FFFE))
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
        let sources: Vec<_> = (0..40_000).map(source).collect();
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
