//! The generator's thread: one socket per leg, a packet every 20 ms each, spread evenly over that time.
//!
//! Every packet carries when it was sent, so the thread that receives it knows how long it was under way.
//! Invariant: a packet counts as sent or as delivered only inside the measured window it was sent in.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use crate::clock;

/// Time between two packets of a leg: one Opus frame.
pub(crate) const FRAME: Duration = Duration::from_millis(20);
/// Packets that are still under way after the window have this long to arrive.
const DRAIN: Duration = Duration::from_millis(500);
/// Sockets' events taken per wait.
const EVENTS: usize = 1_024;
/// Largest datagram expected, bytes.
const DATAGRAM_BYTES: usize = 1_600;
/// Longest wait for a leg's own timers.
const TICK: Duration = Duration::from_millis(1);
/// Longest time under way that is told apart, us; ten seconds are lost for a call.
const LATENCY_MAX_US: u64 = 10_000_000;

/// A leg as the thread sees it: it seals what is sent and opens what comes.
pub(crate) trait Leg {
    /// Writes the next packet with `payload` into `buffer`; its length, or `None` while the leg cannot speak.
    fn speak(&mut self, buffer: &mut [u8], payload: &[u8]) -> Option<usize>;
    /// Opens a datagram; where its payload lies when it is a packet of the other side.
    fn hear(&mut self, now: Instant, datagram: &mut [u8]) -> io::Result<Option<(usize, usize)>>;
    /// Runs the leg's own timers and gives what they send.
    fn timers(&mut self, now: Instant) -> io::Result<Option<Vec<u8>>>;
    /// Where everything goes.
    fn destination(&self) -> SocketAddr;
    /// True once it can speak.
    fn is_up(&self) -> bool;
}

/// What one window showed.
#[derive(Debug)]
pub(crate) struct Window {
    /// Packets sent.
    pub(crate) sent: u64,
    /// Packets of the window that arrived.
    pub(crate) delivered: u64,
    /// Times under way, us.
    pub(crate) latency_us: Histogram<u64>,
}

impl Window {
    /// Share of the sent packets that arrived, 0 to 1.
    pub(crate) fn delivered_ratio(&self) -> f64 {
        self.delivered as f64 / self.sent.max(1) as f64
    }
}

struct Line<L> {
    leg: L,
    socket: UdpSocket,
    due: Instant,
    turn: u32,
    is_up: bool,
    has_heard: bool,
}

/// All legs and their sockets.
pub(crate) struct Generator<L> {
    lines: Vec<Line<L>>,
    poll: Poll,
    events: Events,
    origin: Instant,
    heard: usize,
}

/// Payload bytes by turn: a talk spurt's Opus packets, 24 kbit/s and around it.
const SIZES: [usize; 8] = [78, 84, 61, 90, 73, 102, 66, 81];

impl<L: Leg> Generator<L> {
    /// Without legs yet.
    pub(crate) fn new() -> io::Result<Generator<L>> {
        Ok(Generator {
            lines: Vec::new(),
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            origin: clock::now(),
            heard: 0,
        })
    }

    /// Gives a leg a loopback socket and a place among the frames.
    pub(crate) fn add(&mut self, leg: L) -> io::Result<()> {
        let mut socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let number = self.lines.len();
        self.poll
            .registry()
            .register(&mut socket, Token(number), Interest::READABLE)?;
        let turn = u32::try_from(number).unwrap_or(u32::MAX);
        self.lines.push(Line {
            leg,
            socket,
            due: clock::now() + FRAME.mul_f64(place(turn)),
            turn,
            is_up: false,
            has_heard: false,
        });
        Ok(())
    }

    /// Legs that have heard their other side.
    pub(crate) fn heard(&self) -> usize {
        self.heard
    }

    /// Runs for `time` without counting.
    pub(crate) fn warm(&mut self, time: Duration) -> io::Result<()> {
        self.run(time, false).map(drop)
    }

    /// Runs for `time` and a moment longer for what is under way.
    pub(crate) fn measure(&mut self, time: Duration) -> io::Result<Window> {
        self.run(time, true)
    }

    fn run(&mut self, time: Duration, counted: bool) -> io::Result<Window> {
        let latency_us = Histogram::new_with_max(LATENCY_MAX_US, 3).map_err(io::Error::other)?;
        let mut window = Window {
            sent: 0,
            delivered: 0,
            latency_us,
        };
        let begin = clock::now();
        let end = begin + time;
        let last = if counted { end + DRAIN } else { end };
        loop {
            let now = clock::now();
            if now >= last {
                return Ok(window);
            }
            self.send_due(now, counted && now < end, &mut window)?;
            let up = self.lines.iter().filter(|line| line.is_up);
            let next = up.map(|line| line.due).min().unwrap_or(last);
            let pause = next.saturating_duration_since(clock::now()).min(TICK);
            if let Err(fault) = self.poll.poll(&mut self.events, Some(pause))
                && fault.kind() != io::ErrorKind::Interrupted
            {
                return Err(fault);
            }
            self.receive(counted, &mut window)?;
        }
    }

    fn send_due(&mut self, now: Instant, counted: bool, window: &mut Window) -> io::Result<()> {
        let mut buffer = [0; DATAGRAM_BYTES];
        for line in &mut self.lines {
            while let Some(bytes) = line.leg.timers(now)? {
                skip_full(line.socket.send_to(&bytes, line.leg.destination()))?;
            }
            if !line.is_up && line.leg.is_up() {
                line.is_up = true;
                // What fell due before is not made up for.
                line.due = now + FRAME.mul_f64(place(line.turn));
            }
            if line.due > now || !line.is_up {
                continue;
            }
            line.due += FRAME;
            line.turn = line.turn.wrapping_add(1);
            let mut payload = [0x5A; 128];
            let len = SIZES[line.turn as usize % SIZES.len()];
            // One 20 ms frame of hybrid full band (RFC 6716 §3.1).
            payload[0] = 0x78;
            payload[1] = u8::from(counted);
            let since = now.duration_since(self.origin).as_nanos() as u64;
            payload[2..10].copy_from_slice(&since.to_be_bytes());
            if let Some(sealed) = line.leg.speak(&mut buffer, &payload[..len]) {
                window.sent += u64::from(counted);
                skip_full(line.socket.send_to(&buffer[..sealed], line.leg.destination()))?;
            }
        }
        Ok(())
    }

    fn receive(&mut self, counted: bool, window: &mut Window) -> io::Result<()> {
        let mut buffer = [0; DATAGRAM_BYTES];
        for event in &self.events {
            let line = &mut self.lines[event.token().0];
            loop {
                let len = match line.socket.recv(&mut buffer) {
                    Ok(len) => len,
                    Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => break,
                    Err(fault) => return Err(fault),
                };
                let now = clock::now();
                let Some((from, to)) = line.leg.hear(now, &mut buffer[..len])? else {
                    continue;
                };
                if !line.has_heard {
                    line.has_heard = true;
                    self.heard += 1;
                }
                if let [_, 1, sent @ ..] = &buffer[from..to]
                    && let Some(sent) = sent.first_chunk::<8>()
                    && counted
                {
                    let sent = self.origin + Duration::from_nanos(u64::from_be_bytes(*sent));
                    window.delivered += 1;
                    let us = now.saturating_duration_since(sent).as_micros() as u64;
                    window.latency_us.saturating_record(us);
                }
            }
        }
        Ok(())
    }
}

/// Where in a frame's time a leg sends, 0 to 1: spread evenly whatever their number.
fn place(turn: u32) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    (f64::from(turn) * GOLDEN).fract()
}

/// A full socket loses the packet, as a network would; it then misses among the delivered.
fn skip_full(sent: io::Result<usize>) -> io::Result<()> {
    match sent {
        Err(fault) if fault.kind() != io::ErrorKind::WouldBlock => Err(fault),
        Ok(_) | Err(_) => Ok(()),
    }
}
