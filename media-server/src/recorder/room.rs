//! One room while it lives: who is in it, what of it is not yet written, and how its blocks are numbered.
//!
//! Never touches a file. Blocks are written into the batch in an order that a reader can follow from the front:
//! START, events, sound, quality, END.
//!
//! Invariant: every block of a room has the next number, and the numbers leave its hands in order.

mod taking;

use std::ops::Range;

use media_core::counters::{Direction, Second};
use ports::Stance;
use recording::quality_track::{FLAG_UP, FLAGS_SHIFT, Row, mos_steps, tenths};
use recording::spool::{self, AudioBlock, By, Event, EventKind, LEGS_MAX, PacketRef, Part, PushFault, Start, Tag};

use super::way::Course;
use super::writer::{Batch, Ending};
use crate::convert;

/// Rows of one direction that make a block: what a crash may lose of the quality, in seconds.
pub(super) const ROWS_PER_BLOCK: usize = 10;
/// Nanoseconds of a second.
const SECOND_NS: u64 = 1_000_000_000;
/// Timestamps by which a redundant copy of a packet that came is known: more than any browser repeats.
const SEEN: usize = 32;

/// Rows of one direction that are not yet written.
#[derive(Debug, Default)]
struct Rows {
    first_ns: u64,
    rows: Vec<Row>,
}

#[derive(Debug)]
pub(super) struct Leg {
    pub(super) id: u128,
    part: Part,
    /// What it was until then. Packets of that time may still come.
    former: Option<(Part, u64)>,
    /// How it takes part, beside customer and agent.
    course: Course,
    /// Left, and not back.
    gone: bool,
    muted: bool,
    audio: AudioBlock,
    up: Rows,
    down: Rows,
    seen: [Option<u32>; SEEN],
    seen_next: usize,
}

impl Leg {
    /// What it was at that time.
    fn part_at(&self, arrival_ns: u64) -> Part {
        match self.former {
            Some((part, until_ns)) if arrival_ns < until_ns => part,
            Some(_) | None => self.part,
        }
    }

    /// True when a packet with this timestamp came lately; notes it otherwise.
    pub(super) fn seen(&mut self, rtp_ts: u32) -> bool {
        if self.seen.contains(&Some(rtp_ts)) {
            return true;
        }
        self.seen[self.seen_next % SEEN] = Some(rtp_ts);
        self.seen_next += 1;
        false
    }
}

/// What was ordered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) recording: u128,
    pub(super) required: bool,
    pub(super) customer_left: bool,
}

/// The room is over; it is written off at `due_ns`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    pub(super) at_ns: u64,
    pub(super) due_ns: u64,
    pub(super) reason: &'static str,
}

/// How a leg takes part by the plan.
#[derive(Debug)]
struct Planned {
    leg: u128,
    stance: Stance,
    /// Whose will that is: of the plan that said so first, not of a later one that says it again.
    by: Option<By>,
}

#[derive(Debug)]
pub(super) struct Room {
    id: u128,
    counter: u32,
    order: Option<Order>,
    /// The order came while the disk had no room for optional recordings.
    refused: bool,
    stopped: bool,
    /// The customer is on hold since then.
    held_ns: Option<u64>,
    /// The last hold that is over: packets of it may still come.
    last_hold: Range<u64>,
    live_ns: Option<u64>,
    first_ns: Option<u64>,
    legs: Vec<Leg>,
    /// The plan, for legs that come later.
    stances: Vec<Planned>,
    /// Legs and parts that have a file beside the master.
    beside: Vec<(u128, Part)>,
    /// What START says has changed since it was written.
    changed: bool,
    /// Whom the customer does not hear for want of a stream.
    unheard: Vec<u128>,
    /// Whose will it is what is told next.
    by: Option<By>,
    events: Vec<Event>,
    dropped: u64,
    dropped_total: u64,
    pub(super) shard: Option<usize>,
    pub(super) closing: Option<Closing>,
}

impl Room {
    pub(super) const fn new(id: u128) -> Room {
        Room {
            id,
            counter: 0,
            order: None,
            refused: false,
            stopped: false,
            held_ns: None,
            last_hold: 0..0,
            live_ns: None,
            first_ns: None,
            legs: Vec::new(),
            stances: Vec::new(),
            beside: Vec::new(),
            changed: true,
            unheard: Vec::new(),
            by: None,
            events: Vec::new(),
            dropped: 0,
            dropped_total: 0,
            shard: None,
            closing: None,
        }
    }

    /// True while packets are wanted.
    pub(super) const fn wanted(&self) -> bool {
        self.order.is_some() && !self.stopped
    }

    pub(super) const fn stopped(&self) -> bool {
        self.stopped
    }

    /// True when its packets are counted and not kept.
    pub(super) const fn refused(&self) -> bool {
        self.refused
    }

    /// True while it is a live room whose packets are kept.
    pub(super) const fn recorded(&self) -> bool {
        self.wanted() && !self.refused && self.live_ns.is_some() && self.closing.is_none()
    }

    /// True when it must be recorded.
    pub(super) fn required(&self) -> bool {
        self.order.is_some_and(|order| order.required)
    }

    pub(super) fn live(&mut self, at_ns: u64) {
        if self.live_ns.is_none() {
            self.live_ns = Some(at_ns);
            self.changed = true;
        }
    }

    /// The same order twice is one. Another one takes its place as long as the room is not live: its agent said yes and
    /// never came, the call was offered again, and nothing has been taken. Afterwards it is refused. With `refused` the
    /// recording stays empty, and says why by the packets that it lost.
    pub(super) fn start(&mut self, order: Order, refused: bool) -> bool {
        match self.order {
            Some(before) if before.recording == order.recording => true,
            Some(_) if self.live_ns.is_some() => false,
            Some(_) | None => {
                self.order = Some(order);
                self.refused = refused;
                self.changed = true;
                true
            }
        }
    }

    pub(super) fn stop(&mut self, at_ns: u64) {
        if self.wanted() {
            self.stopped = true;
            self.event(at_ns, EventKind::Stopped, None, None);
        }
    }

    /// Whether the customer is on hold; told twice it is once.
    pub(super) fn hold(&mut self, at_ns: u64, on: bool) {
        let kind = match (self.held_ns, on) {
            (None, true) => {
                self.held_ns = Some(at_ns);
                EventKind::Held
            }
            (Some(since), false) => {
                self.held_ns = None;
                self.last_hold = since..at_ns;
                EventKind::HoldEnded
            }
            (None, false) | (Some(_), true) => return,
        };
        let by = self.by.clone();
        self.event(at_ns, kind, None, by);
    }

    /// Which legs are muted now; told twice it is once.
    pub(super) fn mute(&mut self, at_ns: u64, legs: &[u128]) {
        for place in 0..self.legs.len() {
            let leg = &mut self.legs[place];
            let on = legs.contains(&leg.id);
            if std::mem::replace(&mut leg.muted, on) != on {
                let kind = if on { EventKind::Muted } else { EventKind::MuteEnded };
                let by = self.by.clone();
                self.event(at_ns, kind, Some(place), by);
            }
        }
    }

    /// Whose will the changes are that are told next.
    pub(super) fn wanted_by(&mut self, by: Option<By>) {
        self.by = by;
    }

    /// Something happened, to the leg at a place or to the whole call. `by`: whose will it was, if it was anybody's.
    fn event(&mut self, at_ns: u64, kind: EventKind, place: Option<usize>, by: Option<By>) {
        let leg = place.and_then(|place| self.legs.get(place));
        self.events.push(Event {
            at_ns,
            kind,
            value: 0,
            leg: leg.map_or(0, |leg| leg.id),
            part: leg.map_or(Part::Customer, |leg| leg.part),
            by,
        });
    }

    /// The place of the leg; `None` when the room is full.
    pub(super) fn join(&mut self, leg: u128, part: Part, at_ns: u64, batch: &mut Batch) -> Option<usize> {
        if let Some(place) = self.place(leg) {
            let back = std::mem::take(&mut self.legs[place].gone);
            // Who is there and becomes something else does so by the will that was told with it.
            let by = if back { self.planned_by(leg) } else { self.by.clone() };
            // A colleague who takes the call over: from here on his voice is the agent's.
            self.becomes(place, part, at_ns, by.as_ref(), batch);
            if back {
                self.event(at_ns, EventKind::LegJoined, Some(place), None);
            }
            self.takes_part(place, at_ns, by.as_ref());
            return Some(place);
        }
        if self.legs.len() >= LEGS_MAX {
            return None;
        }
        // Another agent's leg: he takes the call over, or gets it when it comes back.
        let follows = part == Part::Agent && self.legs.iter().any(|leg| leg.part == Part::Agent);
        self.legs.push(Leg {
            id: leg,
            part,
            former: None,
            course: Course::default(),
            gone: false,
            muted: false,
            audio: AudioBlock::new(),
            up: Rows::default(),
            down: Rows::default(),
            seen: [None; SEEN],
            seen_next: 0,
        });
        self.first_ns.get_or_insert(at_ns);
        self.changed = true;
        let place = self.legs.len() - 1;
        self.event(at_ns, EventKind::LegJoined, Some(place), None);
        let by = self.planned_by(leg);
        if follows {
            self.event(at_ns, EventKind::TookOver, Some(place), by.clone());
        }
        self.takes_part(place, at_ns, by.as_ref());
        Some(place)
    }

    pub(super) fn left(&mut self, leg: u128, at_ns: u64) {
        let Some(place) = self.place(leg) else { return };
        if !std::mem::replace(&mut self.legs[place].gone, true) {
            // Its line is gone: whoever wanted the plan has not wanted this.
            self.takes_part(place, at_ns, None);
            self.event(at_ns, EventKind::LegLeft, Some(place), None);
        }
    }

    /// Whose will it is how the leg takes part.
    fn planned_by(&self, leg: u128) -> Option<By> {
        let planned = self.stances.iter().find(|planned| planned.leg == leg);
        planned.and_then(|planned| planned.by.clone())
    }

    fn place(&self, leg: u128) -> Option<usize> {
        self.legs.iter().position(|other| other.id == leg)
    }

    pub(super) fn leg(&mut self, place: usize) -> Option<&mut Leg> {
        self.legs.get_mut(place)
    }

    /// Memory of its open blocks, bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.legs.iter().map(|leg| leg.audio.held_bytes()).sum()
    }

    /// Keeps a packet; a full block goes into the batch first. False for one that no block takes.
    pub(super) fn packet(&mut self, place: usize, packet: &PacketRef<'_>, batch: &mut Batch) -> bool {
        let Some(leg) = self.legs.get_mut(place) else {
            return false;
        };
        let part = leg.part_at(packet.arrival_ns);
        if part != leg.part {
            return self.packet_of_before(place, part, packet, batch);
        }
        match leg.audio.push(packet) {
            Ok(()) => true,
            Err(PushFault::TooLong) => false,
            Err(PushFault::Full) => {
                let from = batch.bytes.len();
                self.say_start(batch);
                self.say_audio(place, batch);
                batch.mark(self.id, from, None);
                self.legs
                    .get_mut(place)
                    .is_some_and(|leg| leg.audio.push(packet).is_ok())
            }
        }
    }

    pub(super) const fn drop_packets(&mut self, count: u64) {
        self.dropped = self.dropped.saturating_add(count);
    }

    /// Keeps a second. False when nobody has this leg.
    pub(super) fn second(&mut self, second: &Second, batch: &mut Batch) -> bool {
        let Some(place) = self.place(second.leg.0) else {
            return false;
        };
        let up = second.direction == Direction::Up;
        let due = self.rows(place, up).due();
        if due.is_some_and(|due| second.at.abs_diff(due) > SECOND_NS / 2) {
            self.say_rows_marked(place, up, batch);
        }
        let rows = self.rows(place, up);
        if rows.rows.is_empty() {
            rows.first_ns = second.at;
        }
        rows.rows.push(row(second));
        if rows.rows.len() >= ROWS_PER_BLOCK {
            self.say_rows_marked(place, up, batch);
        }
        true
    }

    fn rows(&mut self, place: usize, up: bool) -> &mut Rows {
        let leg = &mut self.legs[place];
        if up { &mut leg.up } else { &mut leg.down }
    }

    fn say_rows_marked(&mut self, place: usize, up: bool, batch: &mut Batch) {
        let from = batch.bytes.len();
        self.say_start(batch);
        self.say_rows(place, up, batch);
        batch.mark(self.id, from, None);
    }

    /// Writes what waits of the sound; returns the packets lost so far when there are new ones. A refused recording
    /// tells its first ones and, at the end, all the others: it would have something to tell every time.
    pub(super) fn flush(&mut self, now: u64, batch: &mut Batch) -> Option<u64> {
        let from = batch.bytes.len();
        let later = self.refused && self.dropped_total > 0 && self.closing.is_none();
        let lost = if later { 0 } else { std::mem::take(&mut self.dropped) };
        if lost > 0 {
            self.dropped_total = self.dropped_total.saturating_add(lost);
            self.events.push(Event {
                at_ns: now,
                kind: EventKind::Dropped,
                value: lost,
                leg: 0,
                part: Part::Customer,
                by: None,
            });
        }
        // A room without order is written down with its first row: most of them never need a START of their own.
        if self.order.is_some() {
            self.say_start(batch);
            self.say_events(batch);
        }
        for place in 0..self.legs.len() {
            self.say_audio(place, batch);
        }
        batch.mark(self.id, from, None);
        (lost > 0).then_some(self.dropped_total)
    }

    /// Writes everything and END. False when there is nothing worth an END: no order and no second.
    pub(super) fn end(&mut self, closing: Closing, batch: &mut Batch) -> bool {
        let rows = self
            .legs
            .iter()
            .any(|leg| !leg.up.rows.is_empty() || !leg.down.rows.is_empty());
        if self.order.is_none() && self.counter == 0 && !rows {
            return false;
        }
        let from = batch.bytes.len();
        self.say_start(batch);
        self.say_events(batch);
        for place in 0..self.legs.len() {
            self.say_audio(place, batch);
            self.say_rows(place, true, batch);
            self.say_rows(place, false, batch);
        }
        let tag = self.tag_of_call();
        let end = spool::End {
            at_ns: closing.at_ns,
            reason: closing.reason.to_owned(),
        };
        spool::end(&mut batch.bytes, tag, &end).expect("reasons are short words");
        let recording = self.order.map(|order| order.recording);
        let ending = Ending {
            recording,
            reason: closing.reason,
            end_ns: closing.at_ns,
        };
        batch.mark(self.id, from, Some(ending));
        true
    }

    fn tag_of_call(&mut self) -> Tag {
        let tag = Tag::of_call(self.id, self.counter);
        self.counter += 1;
        tag
    }

    fn tag_of_leg(&mut self, place: usize) -> Tag {
        let leg = &self.legs[place];
        let tag = Tag {
            call: self.id,
            leg: leg.id,
            part: leg.part,
            counter: self.counter,
        };
        self.counter += 1;
        tag
    }

    fn say_start(&mut self, batch: &mut Batch) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let start = Start {
            recording: self.order.map(|order| order.recording),
            required: self.order.is_some_and(|order| order.required),
            customer_left: self.order.is_none_or(|order| order.customer_left),
            start_ns: self.live_ns.or(self.first_ns).unwrap_or(0),
            legs: self.legs.iter().map(|leg| (leg.id, leg.part)).collect(),
        };
        let tag = self.tag_of_call();
        spool::start(&mut batch.bytes, tag, &start).expect("a room holds no more legs than a START");
    }

    fn say_events(&mut self, batch: &mut Batch) {
        for event in std::mem::take(&mut self.events) {
            let tag = self.tag_of_call();
            spool::event(&mut batch.bytes, tag, &event);
        }
    }

    fn say_audio(&mut self, place: usize, batch: &mut Batch) {
        if !self.legs[place].audio.is_empty() {
            let tag = self.tag_of_leg(place);
            self.legs[place].audio.finish(&mut batch.bytes, tag);
        }
    }

    fn say_rows(&mut self, place: usize, up: bool, batch: &mut Batch) {
        let rows = std::mem::take(self.rows(place, up));
        if !rows.rows.is_empty() {
            let tag = self.tag_of_leg(place);
            spool::quality(&mut batch.bytes, tag, up, rows.first_ns, &rows.rows).expect("ten rows fit a block");
        }
    }
}

impl Rows {
    /// End of the second that comes next, once there is one.
    fn due(&self) -> Option<u64> {
        let rows = self.rows.len() as u64;
        (rows > 0).then(|| self.first_ns.saturating_add(rows * SECOND_NS))
    }
}

/// The part as the spool names it.
pub(super) const fn part(part: ports::Part) -> Part {
    match part {
        ports::Part::Customer => Part::Customer,
        ports::Part::Agent => Part::Agent,
        ports::Part::Partner => Part::Partner,
        ports::Part::Supervisor => Part::Supervisor,
        ports::Part::Preflight => Part::Preflight,
    }
}

/// The shard's figures as a row.
fn row(second: &Second) -> Row {
    let word = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
    let byte = |value: u32| u8::try_from(value).unwrap_or(u8::MAX);
    Row {
        expected: word(second.expected),
        received: word(second.received),
        // A row says what the network lost; what was repaired of it stands beside.
        lost: word(second.lost + second.repaired_rtx + second.repaired_red + second.repaired_fec),
        rtx: byte(second.repaired_rtx),
        red: byte(second.repaired_red),
        lbrr: byte(second.repaired_fec),
        late: word(second.late),
        dup: byte(second.duplicate),
        jitter: tenths(second.jitter_us),
        delay_min: tenths(second.delay_us_min),
        delay_mean: tenths(second.delay_us_mean),
        delay_max: tenths(second.delay_us_max),
        rtt: second.rtt_us.map_or(0, |rtt| word(rtt.div_ceil(1_000))),
        payload_bytes: word(second.payload_bytes),
        voiced: byte(second.voiced),
        dtx: byte(second.dtx),
        level_mean: second.level_mean,
        level_max: second.level_max,
        mos: second.mos.map_or(0, mos_steps),
        rating: second.rating.map_or(0, |rating| rating.round() as u8),
        flags: (u16::from(second.up) * FLAG_UP) | (second.flags.0 << FLAGS_SHIFT),
        path: second.route.map_or(0, convert::path_number),
        ..Row::default()
    }
}

#[cfg(test)]
mod tests {
    use media_core::counters::Direction;
    use media_core::matrix::Part;
    use media_core::{LegId, RoomId, TapId};

    use super::*;

    #[test]
    fn a_row_says_what_the_network_lost_and_beside_it_what_each_repair_brought() {
        let second = Second {
            expected: 50,
            received: 43,
            lost: 3,
            repaired_rtx: 1,
            repaired_red: 2,
            repaired_fec: 4,
            ..Second::empty(LegId(1), RoomId(1), TapId(1), Part::Agent, Direction::Up, 0)
        };
        let row = row(&second);
        assert_eq!((row.lost, row.residual_lost()), (10, 3));
        assert_eq!((row.rtx, row.red, row.lbrr), (1, 2, 4));
    }
}
