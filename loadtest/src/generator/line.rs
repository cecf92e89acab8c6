//! One leg of the generator: where it speaks from, what it says and what it hears.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use testkit::bad_line::{Flow, Verdict};

use super::harbour::Berth;
use super::heard::Heard;
use super::turns::{self, Times};
use super::window::{Last, Reading, Window};
use crate::pace::{Frames, Pace};
use crate::payload::{self, BYTES_MAX, COMFORT_BYTES, Label};
use crate::road::Relayed;
use crate::spurt::{self, Spurt, Step};

/// A leg as the thread sees it: it seals what is sent and opens what comes.
pub(crate) trait Leg {
    /// Writes the next packet with `payload` into `buffer`; its length, or `None` while the leg cannot speak. Its clock
    /// moves on by `samples` behind it.
    fn speak(&mut self, buffer: &mut [u8], payload: &[u8], samples: u32) -> Option<usize>;
    /// Opens a datagram; where its payload lies when it is a packet of the other side.
    fn hear(&mut self, now: Instant, datagram: &mut [u8]) -> io::Result<Option<(usize, usize)>>;
    /// Runs the leg's own timers and gives what they send.
    fn timers(&mut self, now: Instant) -> io::Result<Option<Vec<u8>>>;
    /// When its timers want to be run again.
    fn wake_at(&self) -> Option<Instant>;
    /// Its address has changed.
    fn moved(&mut self, now: Instant);
    /// Where everything goes.
    fn destination(&self) -> SocketAddr;
    /// True once it can speak.
    fn is_up(&self) -> bool;
}

/// What a leg is there for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    /// Whether it speaks.
    pub(crate) speaks: bool,
    /// Whose packets it ought to hear; `None` when nobody counts them.
    pub(crate) hears: Option<u32>,
}

impl Seat {
    /// A leg of a call of two: legs are added in pairs, and `number` is its own.
    pub(crate) fn of_pair(number: u32) -> Seat {
        Seat {
            speaks: true,
            hears: Some(number ^ 1),
        }
    }
}

/// How its datagrams reach the server.
pub(super) enum Way {
    /// From an address of its own.
    Direct(Berth),
    /// Through a relay, over a socket of its own.
    Relayed(Box<Relayed>),
}

/// How far a leg is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is not connected yet.
    Coming,
    /// It can speak.
    Up,
    /// It will never speak again, and why.
    Fallen(String),
    /// It was taken away.
    Gone,
}

pub(super) struct Line<L> {
    pub(super) leg: L,
    pub(super) way: Way,
    pub(super) seat: Seat,
    /// Why it takes part no more.
    pub(super) fallen: Option<String>,
    /// Where in a frame's time it speaks, 0 to 1.
    pub(super) place: f64,
    /// When its latest packets left.
    pub(super) times: Times,
    /// When its timers were said to be due.
    pub(super) timer: Option<Instant>,
    pub(super) up_since: Option<Instant>,
    pub(super) has_heard: bool,
    /// Packets of the window; one that was heard twice is one.
    pub(super) sent: u64,
    pub(super) received: u64,
    heard: Heard,
    /// See [`super::Ledger`].
    pub(super) spans: Vec<u8>,
    spurt: Spurt,
    flow: Option<Flow>,
    /// When the latest packet that keeps its order leaves.
    leaves: Instant,
    /// Number of the window, and of the first packet that its speaker says in it.
    span: u8,
    first: u32,
    /// The latest packet heard, of this window or of before.
    last: Option<Last>,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lot {
    /// The leg could not speak.
    Unsaid,
    /// It leaves now; its bytes.
    Leaves(usize),
    /// The profile holds it back until then; its bytes.
    Held(Instant, usize),
    /// The profile lost it.
    Lost,
}

/// A packet that fell due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) lot: Lot,
    /// Its number among the packets of speech; `None` for a comfort frame.
    pub(super) number: Option<u32>,
    /// Frames until the next.
    pub(super) frames: u32,
}

/// What is said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    pub(super) frames: Frames,
    pub(super) seed: u64,
    /// Number of the window, 0 outside any.
    pub(super) span: u8,
    /// Comfort frames alone.
    pub(super) hush: bool,
}

impl<L: Leg> Line<L> {
    pub(super) fn new(leg: L, way: Way, seat: Seat, pace: Pace, number: u32, now: Instant) -> Line<L> {
        let flow = u64::from(number);
        Line {
            leg,
            way,
            seat,
            fallen: None,
            place: turns::place(number, pace.seed),
            times: Times::new(),
            timer: None,
            up_since: None,
            has_heard: false,
            sent: 0,
            received: 0,
            heard: Heard::default(),
            spans: Vec::new(),
            spurt: if pace.dtx {
                Spurt::turns(pace.seed, flow)
            } else {
                Spurt::Always
            },
            flow: (!pace.profile.is_clean()).then(|| Flow::new(pace.profile, pace.seed, flow)),
            leaves: now,
            span: 0,
            first: 0,
            last: None,
        }
    }

    /// Window `span` begins, in which its speaker says about `packets` packets, the first of them `first`. What it heard
    /// last is kept: from then on it is waiting.
    pub(super) fn begin(&mut self, first: u32, packets: usize, span: u8) {
        (self.sent, self.received) = (0, 0);
        (self.span, self.first) = (span, first);
        self.heard.begin(first, packets);
    }

    /// The number of its next packet.
    pub(super) fn next_number(&self) -> u32 {
        self.spans.len() as u32
    }

    /// Whether packet `number` left in window `span`.
    pub(super) fn sent_in(&self, span: u8, number: u32) -> bool {
        self.spans.get(number as usize) == Some(&span)
    }

    /// Packets of the window that left, of those from number `from` on and before `to`.
    pub(super) fn sent_between(&self, from: u32, to: u32) -> u64 {
        let said = self.spans.get(from as usize..to as usize).unwrap_or_default();
        said.iter().filter(|span| **span == self.span).count() as u64
    }

    /// The first of its speaker's packets of the window behind all that it has heard.
    pub(super) fn unheard_from(&self) -> u32 {
        self.last.map_or(self.first, |last| self.first.max(last.number + 1))
    }

    /// True until it has heard a packet of its speaker.
    pub(super) fn is_deaf(&self) -> bool {
        self.last.is_none()
    }

    /// How far it is.
    pub(super) fn standing(&self) -> Standing {
        match (&self.fallen, self.up_since) {
            (Some(why), _) => Standing::Fallen(why.clone()),
            (None, Some(_)) => Standing::Up,
            (None, None) => Standing::Coming,
        }
    }

    /// Seals the next packet into `buffer`.
    pub(super) fn speak(
        &mut self,
        number: u32,
        words: Words,
        now: Instant,
        sent_ns: u64,
        buffer: &mut [u8],
    ) -> io::Result<Said> {
        let Step { speech, frames: steps } = if words.hush { spurt::SILENCE } else { self.spurt.next() };
        let mut said = Said {
            lot: Lot::Unsaid,
            number: None,
            frames: steps,
        };
        if let Way::Relayed(relayed) = &mut self.way {
            relayed.tick(now)?;
        }
        let mut payload = [0; BYTES_MAX];
        let place = self.spans.len() as u32;
        let len = if speech {
            let label = Label {
                span: words.span,
                leg: number,
                number: place,
                sent_ns,
            };
            payload::write(&mut payload, words.frames.toc, label, words.seed)
        } else {
            payload[0] = words.frames.toc;
            COMFORT_BYTES
        };
        let samples = words.frames.samples * steps;
        let Some(sealed) = self.leg.speak(buffer, &payload[..len], samples) else {
            return Ok(said);
        };
        said.lot = match self.flow.as_mut().map(Flow::verdict) {
            Some(Verdict::Lost) => Lot::Lost,
            Some(Verdict::Late(late)) => {
                self.leaves = self.leaves.max(now + late);
                Lot::Held(self.leaves, sealed)
            }
            Some(Verdict::Overtaken(late)) => Lot::Held(now + late, sealed),
            None => Lot::Leaves(sealed),
        };
        if speech {
            let left = said.lot != Lot::Lost;
            self.spans.push(if left { words.span } else { 0 });
            self.sent += u64::from(left && words.span > 0);
            self.times.note(place, sent_ns);
            said.number = Some(place);
        }
        Ok(said)
    }

    /// Whether it is to hear this leg.
    pub(super) fn hears(&self, leg: u32) -> bool {
        self.seat.hears.is_none_or(|speaker| speaker == leg)
    }

    /// A packet of its speaker: when it left, and how it was read. `window`: where it counts, `None` outside any.
    pub(super) fn hear(&mut self, number: u32, sent_ns: u64, reading: Reading, window: Option<&mut Window>) {
        let this = Last {
            number,
            at_ns: reading.at_ns,
            sent_ns,
        };
        if let Some(window) = window {
            if !self.heard.note(number) {
                window.duplicates += 1;
                return;
            }
            self.received += 1;
            window.arrived(self.last, this, reading);
        }
        if self.last.is_none_or(|last| last.number < number) {
            self.last = Some(this);
        }
    }
}
