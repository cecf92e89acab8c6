//! The generator's thread: one socket per leg, a packet per frame each, spread evenly over its time.
//!
//! Every packet carries who sent it and when, so the thread that receives it knows how long it was under way.
//! Invariant: a packet counts as sent or as delivered only inside the measured window it was sent in.

mod line;
mod window;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use crate::clock;
use crate::pace::{FRAMES_20_MS, Frames, Pace};
use crate::payload;
use crate::road::Road;
use line::Line;

pub(crate) use line::{Leg, Seat};
pub(crate) use window::Window;

/// Packets that are still under way after the window have this long to arrive.
const DRAIN: Duration = Duration::from_millis(500);
/// A leg's packets count from this long after it came up: the other side and the recorder have to be there as well.
const SETTLED: Duration = Duration::from_secs(1);
/// Sockets' events taken per wait.
const EVENTS: usize = 1_024;
/// Largest datagram expected, bytes.
const DATAGRAM_BYTES: usize = 1_600;
/// Longest wait, so that orders are looked at.
const TICK: Duration = Duration::from_millis(1);

/// Something that falls due for a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// Its own timers: connectivity checks, the handshake.
    Timers,
    /// Its next packet.
    Speak,
    /// A change of its address.
    Move,
}

/// What a leg sent, for the comparison with its recording.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    /// The leg.
    pub(crate) leg: u32,
    /// For each of its packets the window in which it left, 0 outside any or when the profile lost it.
    pub(crate) spans: Vec<u8>,
}

/// All legs and their sockets.
pub(crate) struct Generator<L> {
    pace: Pace,
    frames: Frames,
    /// By number, never used twice; in boxes, for in hours most of them are empty.
    lines: Vec<Option<Box<Line<L>>>>,
    poll: Poll,
    events: Events,
    ready: Vec<usize>,
    due: BinaryHeap<Reverse<(Instant, u32, Due)>>,
    /// Packets that the profile delays: when, in which order, whose.
    held: BTreeMap<(Instant, u64), (u32, Vec<u8>)>,
    held_ever: u64,
    /// Sockets that legs have left, kept so that no neighbour is given their ports: two telephones share no address, and
    /// the server does not let one leg take over at once what another has just spoken from.
    left: Vec<Road>,
    origin: Instant,
    /// When the last wait ended: what came since may lie unread.
    looked: Instant,
    span: u8,
    /// The time that is measured; packets sent in it carry its span.
    counted: Option<(Instant, Instant)>,
    window: Window,
    /// Legs that heard somebody for the first time since somebody asked.
    first_heard: Vec<(u32, Instant)>,
    heard: usize,
}

impl<L: Leg> Generator<L> {
    /// Without legs yet.
    pub(crate) fn new(pace: Pace) -> io::Result<Generator<L>> {
        let origin = clock::now();
        Ok(Generator {
            pace,
            frames: FRAMES_20_MS,
            lines: Vec::new(),
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            ready: Vec::with_capacity(EVENTS),
            due: BinaryHeap::new(),
            held: BTreeMap::new(),
            held_ever: 0,
            left: Vec::new(),
            origin,
            looked: origin,
            span: 0,
            counted: None,
            window: Window::new()?,
            first_heard: Vec::new(),
            heard: 0,
        })
    }

    /// The number that the next leg will have.
    pub(crate) fn next_number(&self) -> u32 {
        self.lines.len() as u32
    }

    /// Gives a leg a loopback socket and a place among the frames; its number.
    pub(crate) fn add(&mut self, leg: L, seat: Seat) -> io::Result<u32> {
        self.add_over(leg, seat, Road::direct()?)
    }

    /// The same over a road that is there already.
    pub(crate) fn add_over(&mut self, leg: L, seat: Seat, mut road: Road) -> io::Result<u32> {
        let number = self.next_number();
        road.register(self.poll.registry(), number)?;
        let line = Line::new(leg, road, seat, self.pace, number, clock::now());
        self.lines.push(Some(Box::new(line)));
        self.poke(number)?;
        Ok(number)
    }

    /// Takes a leg away, and gives what it sent.
    pub(crate) fn remove(&mut self, number: u32) -> Option<Ledger> {
        let line = self.lines.get_mut(number as usize)?.take()?;
        self.heard -= usize::from(line.has_heard);
        Some(Ledger {
            leg: number,
            spans: line.spans,
        })
    }

    /// Legs that have heard somebody.
    pub(crate) fn heard(&self) -> usize {
        self.heard
    }

    /// Legs that heard somebody for the first time since the last call, and when.
    pub(crate) fn first_heard(&mut self) -> Vec<(u32, Instant)> {
        std::mem::take(&mut self.first_heard)
    }

    /// From now on legs send such frames.
    pub(crate) fn speak_in(&mut self, frames: Frames) {
        self.frames = frames;
    }

    /// Every leg changes its address once within `time` from now, one after another.
    pub(crate) fn move_all(&mut self, time: Duration) {
        let now = clock::now();
        let count = self.lines.len().max(1) as f64;
        for number in 0..self.lines.len() as u32 {
            let at = now + time.mul_f64(f64::from(number) / count);
            self.due.push(Reverse((at, number, Due::Move)));
        }
    }

    /// Runs for `time`.
    pub(crate) fn go_on(&mut self, time: Duration) -> io::Result<()> {
        self.run(clock::now() + time)
    }

    /// Begins to count, for `time`.
    pub(crate) fn open(&mut self, time: Duration) -> io::Result<()> {
        self.window = Window::new()?;
        self.span = self.span % u8::MAX + 1;
        for line in self.lines.iter_mut().flatten() {
            line.begin();
        }
        let begin = clock::now();
        self.counted = Some((begin, begin + time));
        Ok(())
    }

    /// The window, once its time is over and what was under way has had its moment to arrive.
    pub(crate) fn closed(&mut self) -> io::Result<Option<Window>> {
        let Some((begin, end)) = self.counted else {
            return Ok(None);
        };
        if clock::now() < end + DRAIN {
            return Ok(None);
        }
        self.counted = None;
        let mut window = std::mem::replace(&mut self.window, Window::new()?);
        self.close(begin, &mut window);
        Ok(Some(window))
    }

    /// Runs for `time` and a moment longer, and counts.
    pub(crate) fn measure(&mut self, time: Duration) -> io::Result<Window> {
        self.open(time)?;
        self.go_on(time + DRAIN)?;
        loop {
            if let Some(window) = self.closed()? {
                return Ok(window);
            }
            self.go_on(TICK)?;
        }
    }

    /// Adds up the legs that were there for the whole window, and whose speaker was.
    fn close(&self, begin: Instant, window: &mut Window) {
        let whole = |number: u32| {
            let line = self.lines.get(number as usize)?.as_ref()?;
            (line.up_since? <= begin).then_some(line)
        };
        for number in 0..self.lines.len() as u32 {
            let Some(line) = whole(number) else { continue };
            window.sent += line.sent;
            if let Some(speaker) = line.seat.hears.and_then(whole) {
                window.listener(speaker.sent, line.received);
            }
        }
        window.close();
    }

    fn run(&mut self, end: Instant) -> io::Result<()> {
        loop {
            let now = clock::now();
            if now >= end {
                return Ok(());
            }
            self.release(now)?;
            while let Some(Reverse((at, number, what))) = self.due.peek().copied()
                && at <= now
            {
                self.due.pop();
                match what {
                    Due::Timers => self.timers(at, number)?,
                    Due::Speak => self.speak(at, number)?,
                    Due::Move => self.change_address(number)?,
                }
            }
            let due = self.due.peek().map(|Reverse((at, ..))| *at);
            let held = self.held.first_key_value().map(|((at, _), _)| *at);
            let next = [due, held].into_iter().flatten().min().unwrap_or(end);
            let pause = next.saturating_duration_since(clock::now()).min(TICK);
            if let Err(fault) = self.poll.poll(&mut self.events, Some(pause))
                && fault.kind() != io::ErrorKind::Interrupted
            {
                return Err(fault);
            }
            self.receive()?;
        }
    }

    /// Sends what the profile held back until now.
    fn release(&mut self, now: Instant) -> io::Result<()> {
        while let Some(entry) = self.held.first_entry()
            && entry.key().0 <= now
        {
            let (number, bytes) = entry.remove();
            if let Some(line) = self.lines[number as usize].as_mut() {
                line.road.send(&bytes, line.leg.destination())?;
            }
        }
        Ok(())
    }

    fn timers(&mut self, at: Instant, number: u32) -> io::Result<()> {
        // A timer that was put off meanwhile has another entry.
        match self.lines[number as usize].as_mut() {
            Some(line) if line.timer == Some(at) => line.timer = None,
            Some(_) | None => return Ok(()),
        }
        self.poke(number)
    }

    /// Sends what a leg wants sent, and notes when it wants to be asked again.
    fn poke(&mut self, number: u32) -> io::Result<()> {
        let Some(line) = self.lines[number as usize].as_mut() else {
            return Ok(());
        };
        let now = clock::now();
        while let Some(bytes) = line.leg.timers(now)? {
            line.road.send(&bytes, line.leg.destination())?;
        }
        if line.up_since.is_none() && line.leg.is_up() {
            line.up_since = Some(now);
            if line.seat.speaks {
                let at = now + self.frames.time.mul_f64(place(number));
                self.due.push(Reverse((at, number, Due::Speak)));
            }
        }
        let wake = line.leg.wake_at();
        if line.timer != wake
            && let Some(at) = wake
        {
            self.due.push(Reverse((at, number, Due::Timers)));
        }
        line.timer = wake;
        Ok(())
    }

    fn speak(&mut self, at: Instant, number: u32) -> io::Result<()> {
        let Some(line) = self.lines[number as usize].as_mut() else {
            return Ok(());
        };
        let now = clock::now();
        let settled = line.up_since.is_some_and(|since| now >= since + SETTLED);
        let counts = settled && self.counted.is_some_and(|(_, end)| now < end);
        let span = if counts { self.span } else { 0 };
        let sent_ns = nanos(self.origin, now);
        let said = line.speak(number, self.frames, self.pace.seed, span, now, sent_ns)?;
        if counts {
            self.window.late(now.saturating_duration_since(at));
            self.window.comfort += u64::from(said.comfort);
            self.window.lost_on_purpose += u64::from(said.lost);
        }
        if let Some((at, bytes)) = said.held {
            self.held.insert((at, self.held_ever), (number, bytes));
            self.held_ever += 1;
        }
        let next = at + self.frames.time * said.frames;
        self.due.push(Reverse((next, number, Due::Speak)));
        Ok(())
    }

    fn change_address(&mut self, number: u32) -> io::Result<()> {
        let mut road = Road::direct()?;
        road.register(self.poll.registry(), number)?;
        if let Some(line) = self.lines[number as usize].as_mut() {
            let mut old = std::mem::replace(&mut line.road, road);
            // What is still on its way there is lost, as with a network that is gone.
            old.deregister(self.poll.registry())?;
            self.left.push(old);
            line.leg.moved(clock::now());
        }
        self.poke(number)
    }

    fn receive(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.ready.extend(self.events.iter().map(|event| event.token().0));
        let mut buffer = [0; DATAGRAM_BYTES];
        let looked = std::mem::replace(&mut self.looked, clock::now());
        for index in 0..self.ready.len() {
            let number = self.ready[index];
            let mut asks = false;
            let Some(line) = self.lines[number].as_mut() else {
                continue;
            };
            while let Some(len) = line.road.receive(&mut buffer)? {
                let now = clock::now();
                let Some((from, to)) = line.leg.hear(now, &mut buffer[..len])? else {
                    asks = true;
                    continue;
                };
                // What comes before the other side's line is up is the server's music.
                if !line.has_heard && payload::is_voice(&buffer[from..to]) {
                    line.has_heard = true;
                    self.heard += 1;
                    self.first_heard.push((number as u32, now));
                }
                let unread_ns = nanos(looked, now);
                if self.counted.is_some() {
                    let at_ns = nanos(self.origin, now);
                    line.hear(&buffer[from..to], self.span, at_ns, unread_ns, &mut self.window);
                }
            }
            if asks {
                self.poke(number as u32)?;
            }
        }
        Ok(())
    }
}

fn nanos(from: Instant, to: Instant) -> u64 {
    to.saturating_duration_since(from).as_nanos() as u64
}

/// Where in a frame's time a leg sends, 0 to 1: spread evenly whatever their number.
fn place(number: u32) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    (f64::from(number) * GOLDEN).fract()
}
