//! One leg of the generator: its socket, what it says and what it hears.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use testkit::bad_line::{Flow, Verdict};

use super::DATAGRAM_BYTES;
use super::window::{Last, Window};
use crate::pace::{Frames, Pace};
use crate::payload::{self, BYTES_MAX, COMFORT_BYTES, Label};
use crate::road::Road;
use crate::spurt::{Spurt, Step};

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

pub(super) struct Line<L> {
    pub(super) leg: L,
    pub(super) road: Road,
    pub(super) seat: Seat,
    /// When its timers were said to be due.
    pub(super) timer: Option<Instant>,
    pub(super) up_since: Option<Instant>,
    pub(super) has_heard: bool,
    /// Packets of the window.
    pub(super) sent: u64,
    pub(super) received: u64,
    /// See [`super::Ledger`].
    pub(super) spans: Vec<u8>,
    spurt: Spurt,
    flow: Option<Flow>,
    /// When the latest packet that keeps its order leaves.
    leaves: Instant,
    last: Option<Last>,
}

/// What became of a packet that fell due.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// It was a comfort frame.
    pub(super) comfort: bool,
    /// The profile lost it.
    pub(super) lost: bool,
    /// The profile holds it back until then.
    pub(super) held: Option<(Instant, Vec<u8>)>,
    /// Frames until the next.
    pub(super) frames: u32,
}

impl<L: Leg> Line<L> {
    pub(super) fn new(leg: L, road: Road, seat: Seat, pace: Pace, number: u32, now: Instant) -> Line<L> {
        let flow = u64::from(number);
        Line {
            leg,
            road,
            seat,
            timer: None,
            up_since: None,
            has_heard: false,
            sent: 0,
            received: 0,
            spans: Vec::new(),
            spurt: if pace.dtx {
                Spurt::turns(pace.seed, flow)
            } else {
                Spurt::Always
            },
            flow: (!pace.profile.is_clean()).then(|| Flow::new(pace.profile, pace.seed, flow)),
            leaves: now,
            last: None,
        }
    }

    /// A window begins.
    pub(super) fn begin(&mut self) {
        (self.sent, self.received, self.last) = (0, 0, None);
    }

    pub(super) fn speak(
        &mut self,
        number: u32,
        frames: Frames,
        seed: u64,
        span: u8,
        now: Instant,
        sent_ns: u64,
    ) -> io::Result<Said> {
        let Step { speech, frames: steps } = self.spurt.next();
        let mut said = Said {
            comfort: !speech,
            frames: steps,
            ..Said::default()
        };
        self.road.tick(now)?;
        let mut payload = [0; BYTES_MAX];
        let len = if speech {
            let label = Label {
                span,
                leg: number,
                number: self.spans.len() as u32,
                sent_ns,
            };
            payload::write(&mut payload, frames.toc, label, seed)
        } else {
            payload[0] = frames.toc;
            COMFORT_BYTES
        };
        let mut buffer = [0; DATAGRAM_BYTES];
        let Some(sealed) = self.leg.speak(&mut buffer, &payload[..len], frames.samples * steps) else {
            return Ok(said);
        };
        let left = match self.flow.as_mut().map(Flow::verdict) {
            Some(Verdict::Lost) => {
                said.lost = true;
                false
            }
            Some(Verdict::Late(late)) => {
                self.leaves = self.leaves.max(now + late);
                said.held = Some((self.leaves, buffer[..sealed].to_vec()));
                true
            }
            Some(Verdict::Overtaken(late)) => {
                said.held = Some((now + late, buffer[..sealed].to_vec()));
                true
            }
            None => {
                self.road.send(&buffer[..sealed], self.leg.destination())?;
                true
            }
        };
        if speech {
            self.spans.push(if left { span } else { 0 });
            self.sent += u64::from(left && span > 0);
        }
        Ok(said)
    }

    pub(super) fn hear(&mut self, payload: &[u8], span: u8, at_ns: u64, unread_ns: u64, window: &mut Window) {
        let Some(label) = payload::label(payload) else { return };
        if label.span != span || self.seat.hears.is_some_and(|speaker| speaker != label.leg) {
            return;
        }
        self.received += 1;
        let this = Last {
            number: label.number,
            at_ns,
            sent_ns: label.sent_ns,
        };
        window.arrived(self.last, this, unread_ns);
        if self.last.is_none_or(|last| last.number < this.number) {
            self.last = Some(this);
        }
    }
}
