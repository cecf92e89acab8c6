//! The control thread: takes what the shards report and gives it to the outbox, the live view, the metrics and the
//! recorder; repeats commands that a full queue refused; closes legs that nobody ever attached.
//!
//! Never touches a packet and never waits for the desk.
//!
//! Invariant: an event is in the outbox before anybody is told that something changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use media_core::counters::{Direction, Second, Totals};
use media_core::event::{Event, Kind};
use media_core::quality::window::Scores;
use ports::EventKind;

use crate::admission::{Full, Look, Overload};
use crate::certificates::Rotation;
use crate::convert;
use crate::drain;
use crate::metrics::Metrics;
use crate::panics::Panics;
use crate::pending;
use crate::plane::{Shared, lock};
use crate::preflight;
use crate::recorder;
use crate::threads::Busy;
use crate::worker::{Gauges, Report};

/// How long it waits for a report before it looks at what time alone brings.
const TURN: Duration = Duration::from_millis(100);
/// Nanoseconds between two tries of commands that found a full queue: what waits is gone through each time, and reports come
/// by the thousand a second. Higher: a plan waits longer. Lower: a shard that stands still costs more.
const RETRY_EVERY: u64 = 10_000_000;
/// Nanoseconds between two looks at gauges and overdue legs.
const HOUSEKEEPING_EVERY: u64 = 1_000_000_000;

/// Nanoseconds after which a leg that ends without ever having been up has failed to connect, whoever ended it: the
/// desk gives a call up before ICE does. Who hangs up sooner has changed his mind.
const CONNECT_PATIENCE_NS: u64 = 5_000_000_000;

/// See the top of this file.
pub(crate) struct Control {
    shared: Arc<Shared>,
    metrics: Metrics,
    last: Vec<(Totals, Gauges)>,
    busy: Vec<Busy>,
    /// The scores of every leg that had any, up and down.
    legs: HashMap<media_core::LegId, Box<[Scores; 2]>>,
    retry_at: u64,
    housekeeping_at: u64,
    /// One per shard.
    overload: Vec<Overload>,
    rotation: Rotation,
    panics: Panics,
    /// Defects of the relay that were counted already.
    relay_panics: u64,
}

impl Control {
    pub(crate) fn new(shared: Arc<Shared>, metrics: Metrics, busy: Vec<Busy>) -> Control {
        let shards = shared.shards.len();
        let rotation = Rotation::new(shared.clock.now_ns());
        let last = vec![(Totals::default(), Gauges::default()); shards];
        Control {
            shared,
            metrics,
            last,
            busy,
            legs: HashMap::new(),
            retry_at: 0,
            housekeeping_at: 0,
            overload: vec![Overload::default(); shards],
            rotation,
            panics: Panics::default(),
            relay_panics: 0,
        }
    }

    /// Works until every shard's end of `reports` is gone.
    pub(crate) fn run(mut self, reports: &Receiver<(usize, Report)>) {
        loop {
            match reports.recv_timeout(TURN) {
                Ok((shard, report)) => self.take(shard, report),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = self.shared.clock.now_ns();
            self.retry(now);
            if now >= self.housekeeping_at {
                self.housekeeping_at = now + HOUSEKEEPING_EVERY;
                self.keep_house(now);
            }
        }
    }

    fn take(&mut self, shard: usize, report: Report) {
        match report {
            Report::Event(event) => self.event(&event),
            Report::Ended(ended) => {
                let leg = convert::leg_out(ended.leg);
                lock(&self.shared.registry).transport_ended(leg, ended.transport);
            }
            Report::Second(second) => self.second(second),
            Report::Totals(totals, gauges) => {
                self.beat(shard, &totals, gauges);
                let before = self.last.get(shard).map_or(0, |last| last.0.panics);
                self.count_panics(totals.panics.saturating_sub(before));
                if let Some(last) = self.last.get_mut(shard) {
                    self.metrics.totals(&last.0, &totals, last.1, gauges);
                    self.metrics.relayed(shard, last.1, gauges);
                    if totals.tap_dropped > last.0.tap_dropped {
                        let packets = totals.tap_dropped - last.0.tap_dropped;
                        self.shared
                            .recorder
                            .tell(recorder::Message::TapDropped { shard, packets });
                    }
                    *last = (*totals, gauges);
                }
            }
        }
    }

    /// A shard's thread has shown itself, with what admission goes by.
    fn beat(&self, shard: usize, totals: &Totals, gauges: Gauges) {
        let now = self.shared.clock.now_ns();
        if let Some(beat) = self.shared.beats.get(shard) {
            beat.store(now, Ordering::Relaxed);
        }
        self.metrics.shard_delay(shard, gauges.delay_ns, gauges.gather_ns);
        if let Some(budget) = lock(&self.shared.budgets).get_mut(shard) {
            budget.look(now, self.look(shard, totals, gauges));
        }
    }

    /// What admission goes by: the thread's work for calls, and not what strangers at the relay made it do.
    fn look(&self, shard: usize, totals: &Totals, gauges: Gauges) -> Look {
        Look {
            busy: self.busy.get(shard).map_or(0.0, Busy::share),
            datagrams: totals.datagrams,
            delay_ns: gauges.delay_ns,
            handshakes: gauges.handshakes,
        }
    }

    /// How the relay is: its defects count as those of the shards.
    fn look_at_relay(&mut self) {
        let Some(health) = self.shared.told.health() else {
            return;
        };
        self.count_panics(health.panics.saturating_sub(self.relay_panics));
        self.relay_panics = health.panics;
    }

    /// A shard's thread, or the relay, has contained this many defects since the last look.
    fn count_panics(&mut self, new: u64) {
        let now = self.shared.clock.now_ns();
        if !self.panics.count(now, new) {
            return;
        }
        self.metrics.panic_drain();
        let mut drain = lock(&self.shared.drain);
        // Who empties it already has said until when.
        if !drain.is_on() {
            drain.begin(now, drain::DRAIN_S);
        }
        tracing::error!(seconds = ?drain.left_s(now), "too many defects: the node is being emptied");
    }

    /// Past the deadline of an emptying: what lives is closed.
    fn close_drained(&self, now: u64) {
        if !lock(&self.shared.drain).is_over(now) {
            return;
        }
        let (rooms, _) = lock(&self.shared.registry).all_rooms();
        for room in rooms {
            self.shared.close_room(room, ports::Cause::Drain);
        }
    }

    /// Puts out of an overloaded shard whose leaving nobody in a conversation hears. Who is on another one stays: his going
    /// would give this one nothing. `busy`: share of a core that counts.
    fn shed(&mut self, shard: usize, busy: f64) {
        let Some(overload) = self.overload.get_mut(shard) else {
            return;
        };
        let outs = overload.look(busy);
        if outs.line_tests {
            preflight::end_all(&self.shared, shard, busy);
        }
        if outs.listeners {
            let listens = |part, uplink: bool| part == ports::Part::Supervisor && !uplink;
            // Bound first: in the loop's own head the lock would be held for the whole loop, and closing takes it again.
            let legs = lock(&self.shared.registry).legs_of(shard, listens);
            for leg in legs {
                tracing::warn!(leg = %uuid::Uuid::from_u128(leg.0), "put out: the shard is overloaded");
                self.shared.close_leg(leg, ports::Cause::Limit);
            }
        }
    }

    fn event(&mut self, event: &Event) {
        let room = convert::room_out(event.room);
        self.tell_recorder(event);
        let mut tested = None;
        let leg_down = match &event.kind {
            Kind::LegDown { leg, cause, summary } => {
                let id = convert::leg_out(*leg);
                let scores = self.legs.remove(leg).unwrap_or_default();
                let ending = lock(&self.shared.registry).ending(room, id);
                tested = ending.map(|leg| leg.part);
                if let Some(leg) = ending {
                    let tried_ns = event.at.saturating_sub(leg.offered_at);
                    let gave_up = !leg.was_up && tried_ns >= CONNECT_PATIENCE_NS;
                    self.metrics
                        .leg_ended(leg.part, convert::cause_out(*cause), gave_up, summary);
                    for (scores, up) in scores.iter().zip([true, false]) {
                        if let Some(mos) = scores.mos_worst_minute() {
                            self.metrics.worst_minute(leg.part, up, mos);
                        }
                    }
                }
                lock(&self.shared.live).remove_leg(room, id);
                Some(id)
            }
            Kind::LegUp { leg } => {
                let id = convert::leg_out(*leg);
                let offered_at = lock(&self.shared.registry).leg_up(id);
                if let Some(offered_at) = offered_at {
                    self.metrics.connected(event.at.saturating_sub(offered_at) as f64 / 1e9);
                }
                None
            }
            Kind::FirstRtp { .. }
            | Kind::RoomLive
            | Kind::LegAway { .. }
            | Kind::LegBack { .. }
            | Kind::LegMigrated { .. }
            | Kind::LegRoute { .. }
            | Kind::UplinkStalled { .. }
            | Kind::UplinkResumed { .. }
            | Kind::Dtmf { .. }
            | Kind::Announced { .. }
            | Kind::Unheard { .. }
            | Kind::Quality { .. }
            | Kind::PlanApplied { .. } => None,
        };
        {
            let mut outbox = lock(&self.shared.outbox);
            outbox.add(room, event.at, convert::event(&event.kind));
            if leg_down.is_some_and(|leg| lock(&self.shared.registry).leg_ended(room, leg)) {
                outbox.close(room);
            }
        }
        if let Some(part) = tested {
            preflight::leg_gone(&self.shared, room, part);
        }
        self.shared.changed.notify_one();
    }

    fn tell_recorder(&self, event: &Event) {
        let recorder = &self.shared.recorder;
        match &event.kind {
            Kind::RoomLive => recorder.tell(recorder::Message::RoomLive {
                room: event.room.0,
                at_ns: event.at,
            }),
            Kind::LegDown { leg, .. } => {
                recorder.tell(recorder::Message::LegLeft {
                    room: event.room.0,
                    leg: leg.0,
                    at_ns: event.at,
                });
            }
            Kind::Unheard { leg, voices } => {
                if !voices.is_empty() {
                    let (room, leg) = (uuid::Uuid::from_u128(event.room.0), uuid::Uuid::from_u128(leg.0));
                    let voices = voices.len();
                    tracing::warn!(call.id = %room, leg.id = %leg, voices, "a leg has no stream for voices that it may hear");
                }
                recorder.tell(recorder::Message::Unheard {
                    room: event.room.0,
                    leg: leg.0,
                    voices: voices.iter().map(|voice| voice.0).collect(),
                    at_ns: event.at,
                });
            }
            Kind::LegUp { .. }
            | Kind::FirstRtp { .. }
            | Kind::LegAway { .. }
            | Kind::LegBack { .. }
            | Kind::LegMigrated { .. }
            | Kind::LegRoute { .. }
            | Kind::UplinkStalled { .. }
            | Kind::UplinkResumed { .. }
            | Kind::Dtmf { .. }
            | Kind::Announced { .. }
            | Kind::Quality { .. }
            | Kind::PlanApplied { .. } => {}
        }
    }

    fn second(&mut self, second: Second) {
        self.metrics.second(&second);
        // A leg's last row may come behind its end; it must bring neither the room nor the leg back.
        let (room, leg) = (convert::room_out(second.room), convert::leg_out(second.leg));
        // The rows of a second come one behind the other, the downlink's last.
        let last = second.direction == Direction::Down;
        let (known, ending, hears) = {
            let registry = lock(&self.shared.registry);
            let hears = last.then(|| registry.heard_by(leg));
            (registry.leg(leg).is_some(), registry.ending(room, leg).is_some(), hears)
        };
        // As the leg's own score: who says nothing sends no quality.
        let counts = ending && (last || second.voiced > 0);
        if let Some(rating) = second.rating.filter(|_| counts) {
            let scores = self.legs.entry(second.leg).or_default();
            scores[usize::from(last)].add(f64::from(rating));
        }
        if known {
            let mut live = lock(&self.shared.live);
            live.update(&second);
            if let Some(hears) = hears {
                live.listens(room, leg, &hears);
            }
        }
        self.shared.recorder.tell(recorder::Message::Second(Box::new(second)));
    }

    /// Says of a room that its recording has a hole.
    pub(crate) fn degraded(shared: &Shared, room: u128, packets: u64) {
        let room = call_model::CallId(room);
        if lock(&shared.registry).shard_of(room).is_some() {
            lock(&shared.outbox).add(room, shared.clock.now_ns(), EventKind::RecordingDegraded { packets });
            shared.changed.notify_one();
        }
    }

    fn retry(&mut self, now: u64) {
        if now < self.retry_at {
            return;
        }
        self.retry_at = now + RETRY_EVERY;
        pending::hand_over(&mut lock(&self.shared.pending), |shard, command| {
            // Of a shard that is none nobody waits.
            self.shared.shards.get(shard).map_or(Ok(()), |link| link.hand(command))
        });
    }

    fn keep_house(&mut self, now: u64) {
        let overdue: Vec<_> = {
            let mut registry = lock(&self.shared.registry);
            let overdue = registry.overdue(now);
            overdue.into_iter().filter_map(|leg| registry.remove_leg(leg)).collect()
        };
        for leg in overdue {
            preflight::leg_gone(&self.shared, leg.room, leg.part);
        }
        for (shard, busy) in self.busy.iter_mut().enumerate() {
            let strangers_ns = self.last.get(shard).map_or(0, |last| last.1.relay.strangers_ns);
            busy.look(now, strangers_ns);
            self.metrics.shard_busy(shard, busy.whole(), busy.aside());
        }
        let busiest = self.busy.iter().map(Busy::share).fold(0.0, f64::max);
        let counts = {
            let mut live = lock(&self.shared.live);
            live.set_busy(busiest as f32);
            live.counts()
        };
        let rooms = lock(&self.shared.registry).counts().1;
        let (waiting, oldest, dropped) = {
            let outbox = lock(&self.shared.outbox);
            (outbox.len(), outbox.oldest(now), outbox.dropped())
        };
        self.metrics.events_dropped(dropped);
        self.metrics.gauges(counts, rooms, waiting, oldest as f64 / 1e9);
        self.look_at_relay();
        let shares: Vec<f64> = self.busy.iter().map(Busy::share).collect();
        for (shard, busy) in shares.into_iter().enumerate() {
            self.shed(shard, busy);
        }
        self.close_drained(now);
        self.shared.end_abandoned(now);
        self.rotation.look(now, &self.shared.certificate, &self.metrics);
        for (full, count) in Full::ALL.into_iter().zip(&self.shared.rooms_refused) {
            self.metrics.rooms_refused(full, count.load(Ordering::Relaxed));
        }
        self.metrics.draining(lock(&self.shared.drain).is_on());
        self.metrics
            .offers_refused(self.shared.offers_refused.load(Ordering::Relaxed));
    }
}

#[cfg(test)]
mod flood;

#[cfg(test)]
mod tests;
