//! The generator's thread: legs that send a packet per frame each, spread evenly over its time.
//!
//! It goes by the clock alone: at each turn it sends what is due, reads what came, and sleeps until the next. Nothing
//! wakes it, so a server does not pay for its wake-ups, and it leaves the core to others in between. What it reads late
//! does no harm: the kernel says when each packet arrived.
//!
//! Every packet carries who sent it and which of his it is, so the thread that receives it knows how long it was under
//! way. Invariants: a packet counts as sent or as delivered only inside the measured window it was sent in; what goes
//! wrong with one leg ends that leg and nothing else.

mod harbour;
mod heard;
mod line;
mod reading;
mod sending;
mod turns;
mod window;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll};
use udp::Inbox;

use crate::clock;
use crate::faults::Faults;
use crate::pace::{FRAMES_20_MS, Frames, Pace};
use crate::rank::{self, Granted};
use crate::road::Road;
use harbour::{Harbour, Mark};
use line::{Line, Lot, Way, Words};

pub(crate) use line::{Leg, Seat, Standing};
pub(crate) use window::Window;

/// Packets that are still under way after the window have this long to arrive.
const DRAIN: Duration = Duration::from_millis(500);
/// A leg's packets count from this long after it came up: the other side and the recorder have to be there as well.
const SETTLED: Duration = Duration::from_secs(1);
/// Time between two turns. Longer: packets leave in longer bursts and wait for each other at the server. Shorter: the
/// turns themselves take more of the core, 10 to 20 us each.
const TURN: Duration = Duration::from_micros(125);
/// Datagrams read with one call: no more, so that what falls due meanwhile does not wait.
const READ_TOGETHER: usize = 64;
/// Relayed legs' events taken per turn.
const EVENTS: usize = 1_024;
/// Largest datagram expected, bytes.
const DATAGRAM_BYTES: usize = 1_600;

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

/// The measured time.
#[derive(Clone, Copy, Debug)]
struct Counted {
    begin: Instant,
    end: Instant,
    /// Time of the thread on a core at the begin.
    on_core: Duration,
}

/// All legs and their ways.
pub(crate) struct Generator<L> {
    pace: Pace,
    frames: Frames,
    /// Legs say only that they are there.
    hush: bool,
    granted: Granted,
    /// By number, never used twice; in boxes, for in hours most of them are empty.
    lines: Vec<Option<Box<Line<L>>>>,
    harbour: Harbour,
    /// Taken out while it is read from.
    inbox: Option<Inbox>,
    /// Of relayed legs, which have sockets of their own.
    poll: Poll,
    events: Events,
    relayed: usize,
    ready: Vec<u32>,
    /// Legs that are to be asked what they want to send.
    asked: Vec<u32>,
    due: BinaryHeap<Reverse<(Instant, u32, Due)>>,
    /// Packets that the profile delays: when, in which order, whose.
    held: BTreeMap<(Instant, u64), (u32, Vec<u8>)>,
    held_ever: u64,
    buffer: Vec<u8>,
    origin: Instant,
    /// When relayed legs were last read: what came since may lie unread.
    looked: Instant,
    span: u8,
    /// The time that is measured; packets sent in it carry its span.
    counted: Option<Counted>,
    window: Window,
    /// Legs that heard somebody for the first time since somebody asked.
    first_heard: Vec<(u32, Instant)>,
    heard: usize,
    /// Legs that fell since the window began.
    fallen: Faults,
}

impl<L: Leg> Generator<L> {
    /// Without legs yet.
    pub(crate) fn new(pace: Pace) -> io::Result<Generator<L>> {
        let origin = clock::now();
        Ok(Generator {
            pace,
            frames: FRAMES_20_MS,
            hush: false,
            granted: Granted::default(),
            lines: Vec::new(),
            harbour: Harbour::new()?,
            inbox: Some(Inbox::new(READ_TOGETHER)),
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            relayed: 0,
            ready: Vec::new(),
            asked: Vec::new(),
            due: BinaryHeap::new(),
            held: BTreeMap::new(),
            held_ever: 0,
            buffer: vec![0; DATAGRAM_BYTES],
            origin,
            looked: origin,
            span: 0,
            counted: None,
            window: Window::new()?,
            first_heard: Vec::new(),
            heard: 0,
            fallen: Faults::default(),
        })
    }

    /// Puts the calling thread, which is to be the generator's own, before the others of its core.
    pub(crate) fn come_first(&mut self) {
        self.granted = rank::come_first();
    }

    /// The number that the next leg will have.
    pub(crate) fn next_number(&self) -> u32 {
        self.lines.len() as u32
    }

    /// Gives a leg an address and a place among the frames; its number.
    pub(crate) fn add(&mut self, leg: L, seat: Seat) -> io::Result<u32> {
        self.add_over(leg, seat, Road::Direct)
    }

    /// The same over a road that is there already.
    pub(crate) fn add_over(&mut self, leg: L, seat: Seat, road: Road) -> io::Result<u32> {
        let number = self.next_number();
        let way = match road {
            Road::Direct => Way::Direct(self.harbour.berth(number, turns::place(number, self.pace.seed))?),
            Road::Relayed(mut relayed) => {
                relayed.register(self.poll.registry(), number)?;
                self.relayed += 1;
                Way::Relayed(relayed)
            }
        };
        let line = Line::new(leg, way, seat, self.pace, number, clock::now());
        self.lines.push(Some(Box::new(line)));
        self.poke(number)?;
        Ok(number)
    }

    /// Takes a leg away, and gives what it sent.
    pub(crate) fn remove(&mut self, number: u32) -> Option<Ledger> {
        let line = self.lines.get_mut(number as usize)?.take()?;
        self.heard -= usize::from(line.has_heard);
        match &line.way {
            Way::Direct(berth) => self.harbour.leave(*berth),
            Way::Relayed(_) => self.relayed -= 1,
        }
        Some(Ledger {
            leg: number,
            spans: line.spans,
        })
    }

    /// How far a leg is.
    pub(crate) fn standing(&self, number: u32) -> Standing {
        let line = self.lines.get(number as usize).and_then(Option::as_ref);
        line.map_or(Standing::Gone, |line| line.standing())
    }

    /// Legs that have heard somebody.
    pub(crate) fn heard(&self) -> usize {
        self.heard
    }

    /// Legs that ought to hear somebody and have not.
    pub(crate) fn deaf(&self) -> Vec<u32> {
        let deaf = |line: &Line<L>| line.seat.hears.is_some() && !line.has_heard;
        let lines = self.lines.iter().zip(0..);
        lines
            .filter_map(|(line, number)| line.as_ref().is_some_and(|line| deaf(line)).then_some(number))
            .collect()
    }

    /// Legs that heard somebody for the first time since the last call, and when.
    pub(crate) fn first_heard(&mut self) -> Vec<(u32, Instant)> {
        std::mem::take(&mut self.first_heard)
    }

    /// From now on legs send such frames.
    pub(crate) fn speak_in(&mut self, frames: Frames) {
        self.frames = frames;
    }

    /// From now on legs send a comfort frame now and then and nothing else, or speak.
    pub(crate) fn hush(&mut self, hush: bool) {
        self.hush = hush;
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
        self.fallen = Faults::default();
        self.span = self.span % u8::MAX + 1;
        let firsts: Vec<u32> = self
            .lines
            .iter()
            .map(|line| line.as_ref().map_or(0, |line| line.next_number()))
            .collect();
        // One more at each end.
        let packets = (time.as_nanos() / self.frames.time.as_nanos().max(1)) as usize + 2;
        for line in self.lines.iter_mut().flatten() {
            let speaker = line.seat.hears.and_then(|speaker| firsts.get(speaker as usize));
            line.begin(speaker.copied().unwrap_or_default(), packets, self.span);
        }
        let begin = clock::now();
        self.counted = Some(Counted {
            begin,
            end: begin + time,
            on_core: clock::on_core(),
        });
        Ok(())
    }

    /// What is left of the time that is measured.
    pub(crate) fn left(&self) -> Duration {
        let end = self.counted.map(|counted| counted.end);
        end.map_or(Duration::ZERO, |end| end.saturating_duration_since(clock::now()))
    }

    /// True once the time that is measured has come to its end; packets may still be under way.
    pub(crate) fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    /// The window, once its time is over and what was under way has had its moment to arrive.
    pub(crate) fn closed(&mut self) -> io::Result<Option<Window>> {
        let Some(counted) = self.counted else {
            return Ok(None);
        };
        let now = clock::now();
        if now < counted.end + DRAIN {
            return Ok(None);
        }
        self.counted = None;
        let mut window = std::mem::replace(&mut self.window, Window::new()?);
        window.time = counted.end.duration_since(counted.begin);
        window.effort.granted = self.granted;
        window.effort.on_core = clock::on_core().saturating_sub(counted.on_core);
        window.effort.passed = now.duration_since(counted.begin);
        window.fallen = self.fallen.clone();
        self.close(counted.begin, &mut window);
        Ok(Some(window))
    }

    /// Runs for `time` and a moment longer, and counts.
    pub(crate) fn measure(&mut self, time: Duration) -> io::Result<Window> {
        self.measure_beside(time, || Ok(())).map(|(window, _)| window)
    }

    /// The same; what `look` sees at the begin of the window and at its end, before the moment in which the last packets
    /// arrive: what was used in that one belongs to packets that count nowhere.
    pub(crate) fn measure_beside<T>(
        &mut self,
        time: Duration,
        mut look: impl FnMut() -> io::Result<T>,
    ) -> io::Result<(Window, [T; 2])> {
        let before = look()?;
        self.open(time)?;
        while !self.is_over() {
            self.go_on(self.left())?;
        }
        let after = look()?;
        loop {
            if let Some(window) = self.closed()? {
                return Ok((window, [before, after]));
            }
            self.go_on(TURN)?;
        }
    }

    /// A leg that was there for the whole window, which began then.
    fn whole(&self, number: u32, begin: Instant) -> Option<&Line<L>> {
        let line = self.lines.get(number as usize)?.as_ref()?;
        (line.up_since? <= begin).then_some(line)
    }

    /// Adds up the legs that were there for the whole window, and whose speaker was.
    fn close(&self, begin: Instant, window: &mut Window) {
        for number in 0..self.lines.len() as u32 {
            let Some(line) = self.whole(number, begin) else {
                continue;
            };
            window.sent += line.sent;
            if let Some(speaker) = line.seat.hears.and_then(|speaker| self.whole(speaker, begin)) {
                window.listener(speaker.sent, line.received);
                window.unheard(speaker.sent_between(line.unheard_from(), speaker.next_number()));
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
            self.window.effort.turns += 1;
            self.release(now);
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
            self.flush_all();
            let more = self.receive()?;
            self.flush_all();
            if !more {
                clock::sleep_until((now + TURN).min(end));
            }
        }
    }

    /// A leg takes part no more.
    fn fall(&mut self, number: u32, why: &impl std::fmt::Display) {
        if let Some(line) = self.lines[number as usize].as_mut()
            && line.fallen.is_none()
        {
            let why = why.to_string();
            self.fallen.note(&why);
            line.fallen = Some(why);
            line.timer = None;
        }
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
        let now = clock::now();
        loop {
            let Some(line) = self.lines[number as usize]
                .as_mut()
                .filter(|line| line.fallen.is_none())
            else {
                return Ok(());
            };
            match line.leg.timers(now) {
                Ok(Some(bytes)) => self.post(number, &bytes, None),
                Ok(None) => break,
                Err(fault) => self.fall(number, &fault),
            }
        }
        let Some(line) = self.lines[number as usize].as_mut() else {
            return Ok(());
        };
        if line.up_since.is_none() && line.leg.is_up() {
            line.up_since = Some(now);
            if line.seat.speaks {
                let at = turns::turn(now.duration_since(self.origin), self.frames.time, line.place);
                self.due.push(Reverse((self.origin + at, number, Due::Speak)));
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
        let Some(line) = self.lines[number as usize]
            .as_mut()
            .filter(|line| line.fallen.is_none())
        else {
            return Ok(());
        };
        let now = clock::now();
        let settled = line.up_since.is_some_and(|since| now >= since + SETTLED);
        let counts = settled && self.counted.is_some_and(|counted| now < counted.end);
        let words = Words {
            frames: self.frames,
            seed: self.pace.seed,
            span: if counts { self.span } else { 0 },
            hush: self.hush,
        };
        let sent_ns = nanos(self.origin, now);
        let mut buffer = std::mem::take(&mut self.buffer);
        match line.speak(number, words, now, sent_ns, &mut buffer) {
            Ok(said) => {
                self.window.comfort += u64::from(counts && said.number.is_none());
                self.window.lost_on_purpose += u64::from(counts && said.lot == Lot::Lost);
                match said.lot {
                    Lot::Leaves(len) => {
                        let mark = said.number.map(|packet| Mark {
                            leg: number,
                            number: packet,
                            due: at,
                            counts,
                        });
                        self.post(number, &buffer[..len], mark);
                    }
                    Lot::Held(until, len) => {
                        self.held
                            .insert((until, self.held_ever), (number, buffer[..len].to_vec()));
                        self.held_ever += 1;
                        if counts {
                            self.window.late(now.saturating_duration_since(at));
                        }
                    }
                    Lot::Lost | Lot::Unsaid => {}
                }
                let next = at + self.frames.time * said.frames;
                self.due.push(Reverse((next, number, Due::Speak)));
            }
            Err(fault) => self.fall(number, &fault),
        }
        self.buffer = buffer;
        Ok(())
    }

    fn change_address(&mut self, number: u32) -> io::Result<()> {
        if let Some(line) = self.lines[number as usize].as_mut() {
            let Way::Direct(berth) = &mut line.way else {
                // It has no address of its own to change.
                return Err(io::Error::other("a relayed leg does not change its address"));
            };
            let fresh = self.harbour.berth(number, line.place)?;
            // What is still on its way there is lost, as with a network that is gone.
            self.harbour.leave(std::mem::replace(berth, fresh));
            line.leg.moved(clock::now());
        }
        self.poke(number)
    }
}

fn nanos(from: Instant, to: Instant) -> u64 {
    to.saturating_duration_since(from).as_nanos() as u64
}

#[cfg(test)]
mod tests;
