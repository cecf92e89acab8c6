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
use crate::beat;
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
        self.metrics.shard_delay(shard, gauges.delay_ns as f64 / 1e9);
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

    /// How many of the shards' threads turn.
    fn look_at_shards(&self, now: u64) {
        let beats = &self.shared.beats;
        self.metrics.shards(beats.len(), beat::turning(beats, now));
    }

    /// How the relay is: its defects count as those of the shards.
    fn look_at_relay(&mut self) {
        let health = lock(&self.shared.registry).told().health();
        let Some(health) = health else { return };
        self.metrics.relay_workers(health);
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
        let (known, ending) = {
            let registry = lock(&self.shared.registry);
            (registry.leg(leg).is_some(), registry.ending(room, leg).is_some())
        };
        // As the leg's own score: who says nothing sends no quality.
        let counts = ending && (second.direction == Direction::Down || second.voiced > 0);
        if let Some(rating) = second.rating.filter(|_| counts) {
            let scores = self.legs.entry(second.leg).or_default();
            scores[usize::from(second.direction == Direction::Down)].add(f64::from(rating));
        }
        if known {
            lock(&self.shared.live).update(&second);
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
        self.look_at_shards(now);
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
mod tests {
    use std::sync::atomic::{AtomicU64, AtomicUsize};

    use call_model::{CallId, LegId};
    use ports::{AllocationView, Later, LegGrant, Media, Part, Red, RelayControl, RelayHealth, Secret, TooSoon};

    use super::*;
    use crate::admission::BUSY_SHED;

    pub(super) async fn admit(media: &dyn Media, n: u8, room: u128, part: Part, uplink: bool) {
        let grant = LegGrant {
            secret: Secret::new([n; 32]),
            leg: LegId(u128::from(n)),
            room: CallId(room),
            part,
            uplink,
            red: Red::Off,
            first_offer_s: 120,
        };
        media.admit(grant).await.expect("there is room");
    }

    /// A server with a folder and a free port of its own, and a control beside its own whose figures nobody sees.
    pub(super) fn running(name: &str, shards: usize) -> (std::path::PathBuf, crate::MediaServer, Control) {
        let folder = std::env::temp_dir().join(format!("helpline-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let here = vec![std::net::IpAddr::from([127, 0, 0, 1])];
        let mut config = crate::Config::new(folder.clone(), "test".to_owned(), 1, here.clone(), here);
        config.base_port = 0;
        config.shards = shards;
        let server = crate::MediaServer::start(config, &prometheus::Registry::new()).expect("media starts");
        let metrics = Metrics::new(&prometheus::Registry::new(), 1).expect("a registry of its own");
        let control = Control::new(Arc::clone(server.shared()), metrics, Vec::new());
        (folder, server, control)
    }

    #[tokio::test]
    async fn ten_defects_in_a_minute_empty_the_node_and_nine_do_not() {
        let (folder, server, mut control) = running("defects", 1);
        let media = server.media();
        admit(&*media, 1, 1, Part::Customer, true).await;
        let mut report = |panics| {
            let totals = Totals {
                panics,
                ..Totals::default()
            };
            control.take(0, Report::Totals(Box::new(totals), Gauges::default()));
            control.metrics.clone()
        };
        report(9);
        assert!(media.draining().is_none());
        let metrics = report(10);
        let draining = media.draining().expect("the node empties itself");
        assert_eq!(metrics.panic_drains(), 1);
        assert!(
            u64::from(draining.closes_in_s) > drain::DRAIN_S - 60,
            "calls may end by themselves"
        );
        assert_eq!(media.load().legs, 1, "who is in stays in");
        assert!(media.load().draining, "and the desk takes no new call here");

        // Undone, it takes another ten; and an emptying that somebody else has begun keeps its deadline.
        media.drain(None);
        report(19);
        assert!(media.draining().is_none());
        media.drain(Some(7));
        assert_eq!(report(20).panic_drains(), 2);
        assert!(media.draining().is_some_and(|draining| draining.closes_in_s <= 7));
        server.stop();
        // What stays in the temporary folder costs disk, not a test.
        let _ = std::fs::remove_dir_all(&folder);
    }

    /// A relay of two workers that is as well as a test wants.
    #[derive(Default)]
    struct Relay {
        silent: AtomicUsize,
        panics: AtomicU64,
    }

    impl RelayControl for Relay {
        fn close_leg(&self, _: LegId) {}

        fn list(&self) -> Later<'_, Vec<AllocationView>> {
            Box::pin(async { Vec::new() })
        }

        fn kill<'a>(&'a self, _: &'a str) -> Later<'a, bool> {
            Box::pin(async { false })
        }

        fn drain(&self, _: bool) {}

        fn health(&self) -> RelayHealth {
            RelayHealth {
                workers: 2,
                alive: 2 - self.silent.load(Ordering::Relaxed),
                panics: self.panics.load(Ordering::Relaxed),
            }
        }

        fn rotates_in_s(&self) -> u32 {
            0
        }

        fn rotate_secret(&self) -> Result<(), TooSoon> {
            Ok(())
        }
    }

    #[test]
    fn a_silent_worker_of_the_relay_is_a_dead_node_and_its_defects_count_with_those_of_the_shards() {
        let (folder, server, mut control) = running("relay-health", 1);
        let media = server.media();
        assert!(media.alive(), "without a relay the shards are all");
        let relay = Arc::new(Relay::default());
        server.attach_relay(Arc::<Relay>::clone(&relay), Vec::new());
        assert!(media.alive());
        relay.silent.store(1, Ordering::Relaxed);
        assert!(!media.alive());
        control.look_at_relay();
        assert_eq!(control.metrics.relay.workers_seen(), (2, 1));
        relay.silent.store(0, Ordering::Relaxed);
        assert!(media.alive());

        relay.panics.store(5, Ordering::Relaxed);
        control.look_at_relay();
        control.count_panics(4);
        control.look_at_relay();
        assert!(media.draining().is_none(), "nine, each counted once");
        relay.panics.store(6, Ordering::Relaxed);
        control.look_at_relay();
        assert!(media.draining().is_some());
        server.stop();
        // What stays in the temporary folder costs disk, not a test.
        let _ = std::fs::remove_dir_all(&folder);
    }

    #[tokio::test]
    async fn silence_has_no_worst_minute_and_a_listener_has_one_while_he_says_nothing() {
        use media_core::{LegId as Leg, RoomId, TapId, matrix};
        let (folder, server, mut control) = running("silence", 1);
        admit(&*server.media(), 1, 1, Part::Agent, true).await;
        let mut heard = |direction, voiced| {
            let empty = Second::empty(Leg(1), RoomId(1), TapId(1), matrix::Part::Agent, direction, 0);
            control.second(Second {
                rating: Some(20.0),
                voiced,
                ..empty
            });
            let scores = control.legs.get(&Leg(1));
            let worst = |way: usize| scores.and_then(|scores| scores[way].mos_worst_minute());
            [worst(0).is_some(), worst(1).is_some()]
        };
        assert_eq!(heard(Direction::Up, 0), [false, false]);
        assert_eq!(heard(Direction::Down, 0), [false, true]);
        assert_eq!(heard(Direction::Up, 1), [true, true]);
        server.stop();
        // What stays in the temporary folder costs disk, not a test.
        let _ = std::fs::remove_dir_all(&folder);
    }

    #[tokio::test]
    async fn listeners_go_at_the_second_look_and_nobody_who_may_speak() {
        let (folder, server, mut control) = running("listeners", 1);
        let media = server.media();
        for (n, part, uplink) in [
            (1, Part::Customer, true),
            (2, Part::Agent, true),
            (3, Part::Supervisor, false),
            (4, Part::Supervisor, true),
        ] {
            admit(&*media, n, 1, part, uplink).await;
        }
        admit(&*media, 5, 2, Part::Preflight, true).await;

        control.shed(0, BUSY_SHED - 0.01);
        assert_eq!(media.load().legs, 5);
        control.shed(0, BUSY_SHED);
        assert_eq!(media.load().legs, 4, "the line test");
        control.shed(0, BUSY_SHED);
        assert_eq!(media.load().legs, 3, "who only listens");
        let left: Vec<_> = [1, 2, 3, 4].map(|n| media.leave(Secret::new([n; 32])).is_ok()).into();
        assert_eq!(left, [true, true, false, true]);
        server.stop();
        // What stays in the temporary folder costs disk, not a test.
        let _ = std::fs::remove_dir_all(&folder);
    }

    #[tokio::test]
    async fn an_overloaded_shard_puts_nobody_out_of_another() {
        let (folder, server, mut control) = running("neighbours", 2);
        let media = server.media();
        let shard_of = |room| lock(&control.shared.registry).shard_of(CallId(room));
        for (n, room, part, uplink) in [
            (1, 1, Part::Customer, true),
            (2, 2, Part::Customer, true),
            (3, 1, Part::Supervisor, false),
            (4, 2, Part::Supervisor, false),
            (5, 3, Part::Preflight, true),
            (6, 4, Part::Preflight, true),
        ] {
            admit(&*media, n, room, part, uplink).await;
        }
        assert_eq!([1, 2, 3, 4].map(shard_of), [0, 1, 0, 1].map(Some));
        for _ in 0..2 {
            control.shed(0, BUSY_SHED - 0.01);
            control.shed(1, BUSY_SHED);
        }
        let left: Vec<_> = (1..=6).map(|n| media.leave(Secret::new([n; 32])).is_ok()).collect();
        assert_eq!(left, [true, true, true, false, true, false]);
        server.stop();
        // What stays in the temporary folder costs disk, not a test.
        let _ = std::fs::remove_dir_all(&folder);
    }
}
