//! Datagrams from addresses that nobody has: written whole, header and all, to a raw socket, many per system call.
//!
//! Needs the right to raw sockets (CAP_NET_RAW, root has it). Sources and destination are loopback addresses, so nothing
//! leaves the machine: what the relay answers finds no way but back. A few sockets, bound to their port at every address,
//! take these answers, each for the sources of one kind: without them the kernel would answer each with an ICMP message,
//! and the relay would pay for it.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, MMsgHdr, SendAncillaryBuffer, SendFlags, SocketFlags, SocketType, connect, ipproto, sendmmsg,
    socket_with,
};
use udp::{BATCH_MAX, Batch, Socket};

use crate::clock;
use crate::flood::{Seen, Source};

/// Requests per system call: more, and the generator's clock on the same core waits for them.
const BURST: usize = 64;
/// Bursts between two looks for answers; the sockets hold far more.
const BURSTS_PER_LOOK: u32 = 16;
/// Ports of the sources of one kind.
pub(crate) const PORTS: usize = 32;
/// Bytes of an IPv4 header without options, and of the UDP header behind it.
const IP_BYTES: usize = 20;
const HEAD_BYTES: usize = IP_BYTES + 8;
/// So long nothing must have come before the last answer is taken for the last.
const SILENCE: Duration = Duration::from_millis(200);

/// The way out, and the ears.
pub(crate) struct Raw {
    out: OwnedFd,
    to: SocketAddrV4,
    /// For the crowded prefix, and for all others.
    ears: [Vec<Socket>; 2],
    batch: Batch,
}

impl Raw {
    /// Towards `to`; `None` without the right to raw sockets.
    ///
    /// # Errors
    /// What the kernel says; `InvalidInput` for an address that is not IPv4 loopback.
    pub(crate) fn open(to: SocketAddr) -> io::Result<Option<Raw>> {
        let SocketAddr::V4(to) = to else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if !to.ip().is_loopback() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let raw = socket_with(
            AddressFamily::INET,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(ipproto::RAW),
        );
        let out = match raw {
            Err(Errno::PERM | Errno::ACCESS) => return Ok(None),
            other => other?,
        };
        connect(&out, &SocketAddrV4::new(*to.ip(), 0))?;
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let ears = || (0..PORTS).map(|_| Socket::bind(any)).collect::<io::Result<Vec<_>>>();
        Ok(Some(Raw {
            out,
            to,
            ears: [ears()?, ears()?],
            batch: Batch::new(BATCH_MAX),
        }))
    }

    /// Sends `requests` of `kinds` by turns, `rate` a second if one is given, and hears what comes back.
    pub(crate) fn pour(&mut self, kinds: &[Vec<u8>], requests: u32, rate: Option<u32>) -> io::Result<Seen> {
        let begin = clock::now();
        let mut seen = Seen::default();
        let kinds: Vec<Vec<u8>> = kinds.iter().map(|kind| framed(kind, self.to)).collect();
        let mut packets = vec![Vec::new(); BURST];
        let mut number = 0;
        let mut bursts = 0_u32;
        while number < requests {
            let burst = BURST.min((requests - number) as usize);
            for packet in &mut packets[..burst] {
                let source = Source::of(number);
                packet.clone_from(&kinds[number as usize / 2 % kinds.len()]);
                let ports = &self.ears[usize::from(!source.crowded)];
                let port = ports[source.turn as usize % PORTS].local().port();
                packet[12..16].copy_from_slice(&source.address.octets());
                packet[IP_BYTES..IP_BYTES + 2].copy_from_slice(&port.to_be_bytes());
                seen.sent(source, packet.len() - HEAD_BYTES);
                number += 1;
            }
            send(&self.out, &packets[..burst])?;
            bursts += 1;
            if bursts.is_multiple_of(BURSTS_PER_LOOK) {
                self.hear(&mut seen)?;
            }
            if let Some(rate) = rate {
                let due = begin + Duration::from_secs_f64(f64::from(number) / f64::from(rate));
                thread::park_timeout(due.saturating_duration_since(clock::now()));
            }
        }
        seen.seconds = clock::now().duration_since(begin).as_secs_f64();
        let mut last = clock::now();
        while clock::now().duration_since(last) < SILENCE {
            if self.hear(&mut seen)? {
                last = clock::now();
            }
            thread::park_timeout(SILENCE / 10);
        }
        Ok(seen)
    }

    /// Counts what has come; false when that is nothing.
    fn hear(&mut self, seen: &mut Seen) -> io::Result<bool> {
        let before = seen.answers;
        for (ears, crowded) in self.ears.iter().zip([true, false]) {
            for ear in ears {
                loop {
                    let count = self.batch.receive(ear, 0)?;
                    for index in 0..count {
                        // Whoever else sends to such a port is none of our business.
                        if let Some((from, len)) = self.batch.received(index)
                            && from == SocketAddr::V4(self.to)
                        {
                            seen.came(crowded, len);
                        }
                    }
                    if count < BATCH_MAX {
                        break;
                    }
                }
            }
        }
        Ok(seen.answers > before)
    }
}

/// A request behind an IPv4 and a UDP header; the source is left open. The kernel fills in the header's own checksum.
fn framed(request: &[u8], to: SocketAddrV4) -> Vec<u8> {
    let mut packet = vec![0; HEAD_BYTES];
    let udp_bytes = (request.len() + HEAD_BYTES - IP_BYTES) as u16;
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&(udp_bytes + IP_BYTES as u16).to_be_bytes());
    packet[8] = 64;
    packet[9] = 17;
    packet[16..20].copy_from_slice(&to.ip().octets());
    packet[22..24].copy_from_slice(&to.port().to_be_bytes());
    packet[24..26].copy_from_slice(&udp_bytes.to_be_bytes());
    // RFC 768: a checksum of 0 is none.
    packet.extend_from_slice(request);
    packet
}

/// All of `packets`; the kernel may take them in parts.
fn send(out: &OwnedFd, packets: &[Vec<u8>]) -> io::Result<()> {
    let slices: Vec<[IoSlice<'_>; 1]> = packets.iter().map(|packet| [IoSlice::new(packet)]).collect();
    let mut control: Vec<_> = packets.iter().map(|_| SendAncillaryBuffer::default()).collect();
    let mut list: Vec<MMsgHdr<'_>> = slices
        .iter()
        .zip(&mut control)
        .map(|(slice, control)| MMsgHdr::new(slice, control))
        .collect();
    let mut rest = &mut list[..];
    while !rest.is_empty() {
        match sendmmsg(out, rest, SendFlags::empty()) {
            Ok(count) => rest = &mut rest[count..],
            Err(Errno::INTR | Errno::NOBUFS) => {}
            Err(fault) => return Err(fault.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn nothing_is_sent_to_a_network() {
        for to in ["192.0.2.1:3478", "[::1]:3478"] {
            let fault = Raw::open(to.parse().unwrap()).err().unwrap();
            assert_eq!(fault.kind(), io::ErrorKind::InvalidInput, "{to}");
        }
    }

    #[test]
    fn a_datagram_comes_from_the_source_that_was_written_and_its_answer_is_heard() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let Some(mut raw) = Raw::open(server.local_addr().unwrap()).unwrap() else {
            let required = std::env::var("HELPLINE_TEST_REQUIRE").is_ok_and(|value| value == "all");
            assert!(
                !required,
                "HELPLINE_TEST_REQUIRE=all: no right to raw sockets (CAP_NET_RAW)"
            );
            eprintln!("skipped: no right to raw sockets (CAP_NET_RAW)");
            return;
        };
        let requests = 2 * BURST as u32 + 3;
        let answers = thread::spawn(move || {
            let mut buffer = [0; 64];
            for number in 0..requests {
                let (len, from) = server.recv_from(&mut buffer).unwrap();
                let source = Source::of(number);
                assert_eq!((from.ip(), &buffer[..len]), (source.address.into(), &b"hello"[..]));
                server.send_to(b"yes", from).unwrap();
            }
        });
        let seen = raw.pour(&[b"hello".to_vec()], requests, None).unwrap();
        answers.join().unwrap();
        assert_eq!(
            (seen.requests, seen.answers),
            (u64::from(requests), u64::from(requests))
        );
        let half = u64::from(requests / 2);
        assert_eq!((seen.crowded.sent, seen.crowded.came), ((half + 1) * 5, (half + 1) * 3));
        assert_eq!((seen.others.sent, seen.others.came), (half * 5, half * 3));
    }
}
