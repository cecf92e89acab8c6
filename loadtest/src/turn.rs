//! What a relayed datagram costs: our relay beside coturn, under the same clients in the same run, by turns.
//!
//! A client sends datagrams of one size at one pace over its channel; whatever is behind the relay sends each back. Two
//! datagrams are relayed for each that is sent.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::coturn::Coturn;
use crate::generator::{Generator, Leg, Seat, Window};
use crate::options::Turn;
use crate::pace::{self, Frames, Pace};
use crate::payload::TOC_20_MS;
use crate::relay::Ours;
use crate::report::{self, Report};
use crate::road::{Relay, Road};
use crate::{Fault, WARM, clock, flood, system};

/// Where a packet's label begins: behind what looks like the head of RTP, which a relay for calls asks for.
const HEAD_BYTES: usize = 12;

/// One measurement of one server.
#[derive(Debug)]
pub(crate) struct Side {
    /// When it began to count.
    pub(crate) begin: Instant,
    /// Time on a core of the relay's threads, per relayed datagram.
    pub(crate) us: f64,
    /// The same of what is behind it: another process, or with ours the other threads of the same.
    pub(crate) behind_us: f64,
    pub(crate) window: Window,
}

/// One round.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) ours: Side,
    pub(crate) coturn: Option<Side>,
}

/// Runs what is asked for.
pub(crate) fn run(options: &Turn, core: usize) -> Result<Report, Fault> {
    system::pin(None, core)?;
    if let Some(requests) = options.flood {
        return flood::run(options, requests);
    }
    let mut ours = Ours::start(options.own_thread)?;
    let coturn = if options.alone { None } else { Some(Coturn::start()?) };
    let mut rounds = Vec::new();
    for number in 0..options.rounds {
        eprintln!("round {number} of {}", options.rounds - 1);
        let mut our_side = || {
            let (relays, peer) = ours.relays(options.clients, options.way)?;
            side(options, &relays, peer, || ours.used())
        };
        let other_side = || {
            let Some(coturn) = &coturn else { return Ok(None) };
            let (relays, peer) = coturn.relays(options.clients, options.way);
            side(options, &relays, peer, || coturn.used()).map(Some)
        };
        let (ours, coturn);
        if pace::is_turned(number) {
            coturn = other_side()?;
            ours = our_side()?;
        } else {
            ours = our_side()?;
            coturn = other_side()?;
        }
        rounds.push(Round { ours, coturn });
    }
    // The first one touches memory, wakes processors and fills caches.
    rounds.remove(0);
    Ok(report::turn(options, &rounds))
}

/// The clients of `options` with their allocations, speaking.
pub(crate) fn clients(options: &Turn, relays: &[Relay], peer: SocketAddr) -> Result<Generator<Datagrams>, Fault> {
    let mut generator = Generator::new(Pace::steady(1))?;
    generator.come_first();
    generator.speak_in(Frames {
        time: Duration::from_secs(1) / options.rate,
        samples: 0,
        toc: TOC_20_MS,
    });
    for relay in relays {
        let number = generator.next_number();
        let seat = Seat {
            speaks: true,
            hears: Some(number),
        };
        let leg = Datagrams {
            bytes: options.bytes as usize,
            peer,
        };
        generator.add_over(leg, seat, Road::relayed(relay, peer)?)?;
    }
    generator.go_on(WARM)?;
    Ok(generator)
}

/// `used`: nanoseconds on a core until now, of the relay and of what is behind it.
fn side(
    options: &Turn,
    relays: &[Relay],
    peer: SocketAddr,
    used: impl Fn() -> io::Result<[u64; 2]>,
) -> Result<Side, Fault> {
    let mut generator = clients(options, relays, peer)?;
    let time = options.span.time();
    let (window, [(begin, before), (end, after)]) = generator.measure_beside(time, || Ok((clock::now(), used()?)))?;
    let (took, relayed) = (end.duration_since(begin), window.sent + window.delivered);
    let us = |place: usize| window.per_packet(relayed, (after[place] - before[place]) as f64 / 1_000.0, took);
    Ok(Side {
        begin,
        us: us(0),
        behind_us: us(1),
        window,
    })
}

/// A client that sends datagrams of one size and counts those that come back.
pub(crate) struct Datagrams {
    bytes: usize,
    peer: SocketAddr,
}

impl Leg for Datagrams {
    fn speak(&mut self, buffer: &mut [u8], payload: &[u8], _: u32) -> Option<usize> {
        let end = HEAD_BYTES + payload.len();
        buffer[..self.bytes].fill(0);
        buffer[0] = 0x80;
        buffer[HEAD_BYTES..end].copy_from_slice(payload);
        Some(self.bytes)
    }

    fn hear(&mut self, _: Instant, datagram: &mut [u8]) -> io::Result<Option<(usize, usize)>> {
        Ok((datagram.len() == self.bytes).then_some((HEAD_BYTES, datagram.len())))
    }

    fn timers(&mut self, _: Instant) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn wake_at(&self) -> Option<Instant> {
        None
    }

    fn moved(&mut self, _: Instant) {}

    fn destination(&self) -> SocketAddr {
        self.peer
    }

    fn is_up(&self) -> bool {
        true
    }
}
