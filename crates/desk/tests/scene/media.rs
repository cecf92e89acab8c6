//! A media plane and a recorder that follow a script.
//!
//! Reports are kept until they are acknowledged and say at each delivery how old they are, as the real ones do; what is
//! reported is decided by the test.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use call_model::{CallId, LegId, RecordingId};
use ports::{
    Answer, AudioSlice, Cause, EventKind, Later, LegGrant, LegSnapshot, LegSummary, Load, MediaEvent, Part, Plan,
    RecordCommand, RecordingFault, RecordingStep, Refusal, RoomSnapshot, Sdp, Secret, Sound, Stance, StepKind,
    Waveform, WaveformFault,
};
use tokio::sync::Notify;
use tokio::time::Instant;

/// A room as the script has it.
#[derive(Default)]
struct Room {
    seq: u64,
    legs: HashMap<LegId, (Part, bool)>,
    events: Vec<(u64, Instant, EventKind)>,
}

/// Where legs wait that are to be admitted.
#[derive(Default)]
pub struct Gate {
    came: Notify,
    open: Notify,
}

impl Gate {
    /// Waits until a leg stands before it.
    pub async fn came(&self) {
        self.came.notified().await;
    }

    /// Lets it in.
    pub fn open(&self) {
        self.open.notify_one();
    }
}

/// The media plane of one start of a node.
pub struct ScriptedMedia {
    /// Of the node's start; a test that plays a ghost of an earlier one sets it back.
    pub epoch: AtomicU64,
    rooms: Mutex<HashMap<CallId, Room>>,
    /// The last plan of each.
    plans: Mutex<HashMap<CallId, Plan>>,
    bell: Notify,
    pub closed: Mutex<Vec<CallId>>,
    pub recorded: Mutex<Vec<(CallId, RecordCommand)>>,
    /// Reports that were delivered and acknowledged.
    pub acknowledged: AtomicU64,
    /// When set, a leg that is to be admitted waits here.
    gate: Mutex<Option<Arc<Gate>>>,
    /// What it was told last.
    pub thresholds: Mutex<Option<ports::Thresholds>>,
}

impl ScriptedMedia {
    pub fn new(epoch: u64) -> Self {
        ScriptedMedia {
            epoch: AtomicU64::new(epoch),
            rooms: Mutex::default(),
            plans: Mutex::default(),
            bell: Notify::new(),
            closed: Mutex::default(),
            recorded: Mutex::default(),
            acknowledged: AtomicU64::new(0),
            gate: Mutex::default(),
            thresholds: Mutex::default(),
        }
    }

    /// The next leg that is to be admitted waits at the gate.
    pub fn gate(&self) -> Arc<Gate> {
        let gate = Arc::new(Gate::default());
        *self.gate.lock().unwrap() = Some(Arc::clone(&gate));
        gate
    }

    /// Whether pressed keys are kept from everybody by the last plan.
    pub fn shield(&self, call: CallId) -> Option<ports::Shield> {
        self.plans.lock().unwrap().get(&call).map(|plan| plan.shield)
    }

    /// Something happens now.
    pub fn happens(&self, call: CallId, kind: EventKind) -> Instant {
        let now = Instant::now();
        let mut rooms = self.rooms.lock().unwrap();
        push(rooms.entry(call).or_default(), now, kind);
        drop(rooms);
        self.bell.notify_one();
        now
    }

    /// The legs that were admitted to a room.
    pub fn legs(&self, call: CallId) -> Vec<(LegId, Part)> {
        let rooms = self.rooms.lock().unwrap();
        rooms.get(&call).map_or_else(Vec::new, |room| {
            room.legs.iter().map(|(leg, (part, _))| (*leg, *part)).collect()
        })
    }

    /// The leg of one part.
    pub fn leg(&self, call: CallId, part: Part) -> Option<LegId> {
        self.legs(call)
            .into_iter()
            .find(|(_, own)| *own == part)
            .map(|(leg, _)| leg)
    }

    /// How a leg takes part by the last plan.
    pub fn stance(&self, call: CallId, leg: LegId) -> Option<Stance> {
        let plans = self.plans.lock().unwrap();
        let mut named = plans.get(&call)?.stances.iter().filter(|(named, _)| *named == leg);
        named.next().map(|(_, stance)| *stance)
    }

    /// One leg comes up.
    pub fn comes_up(&self, call: CallId, part: Part) {
        let leg = self.leg(call, part).expect("the leg was admitted");
        if let Some(room) = self.rooms.lock().unwrap().get_mut(&call) {
            room.legs.insert(leg, (part, true));
        }
        self.happens(call, EventKind::LegUp { leg });
    }

    /// Both legs come up and the room goes live, if both are there; returns when.
    pub fn connect(&self, call: CallId) -> Option<Instant> {
        let (customer, agent) = (self.leg(call, Part::Customer)?, self.leg(call, Part::Agent)?);
        for leg in [customer, agent] {
            self.happens(call, EventKind::LegUp { leg });
            self.happens(call, EventKind::FirstRtp { leg });
        }
        if let Some(room) = self.rooms.lock().unwrap().get_mut(&call) {
            for leg in room.legs.values_mut() {
                leg.1 = true;
            }
        }
        Some(self.happens(call, EventKind::RoomLive))
    }

    /// One leg ends.
    pub fn lose(&self, call: CallId, leg: LegId, cause: Cause) {
        if let Some(room) = self.rooms.lock().unwrap().get_mut(&call) {
            room.legs.remove(&leg);
        }
        self.happens(call, down(leg, cause));
    }

    /// Reports that nobody has acknowledged.
    pub fn open_reports(&self) -> usize {
        self.rooms.lock().unwrap().values().map(|room| room.events.len()).sum()
    }
}

fn down(leg: LegId, cause: Cause) -> EventKind {
    EventKind::LegDown {
        leg,
        cause,
        summary: LegSummary {
            packets_received: 500,
            mos_up: Some(4.2),
            seconds: 10,
            ..LegSummary::default()
        },
    }
}

fn push(room: &mut Room, at: Instant, kind: EventKind) {
    room.seq += 1;
    room.events.push((room.seq, at, kind));
}

impl ports::Media for ScriptedMedia {
    fn admit(&self, grant: LegGrant) -> Later<'_, Result<(), Refusal>> {
        let gate = self.gate.lock().unwrap().take();
        Box::pin(async move {
            if let Some(gate) = gate {
                gate.came.notify_one();
                gate.open.notified().await;
            }
            let mut rooms = self.rooms.lock().unwrap();
            let room = rooms.entry(grant.room).or_default();
            room.legs.entry(grant.leg).or_insert((grant.part, false));
            Ok(())
        })
    }

    fn offer(&self, _: Secret, _: Sdp) -> Later<'_, Result<Answer, Refusal>> {
        Box::pin(async { Err(Refusal::UnknownGrant) })
    }

    fn ingest(&self, _: Secret, _: Sdp) -> Later<'_, Result<Answer, Refusal>> {
        Box::pin(async { Err(Refusal::UnknownGrant) })
    }

    fn ice_session(&self, _: &Secret) -> Result<String, Refusal> {
        Err(Refusal::UnknownGrant)
    }

    fn trickle(&self, _: Secret, _: Sdp) -> Result<(), Refusal> {
        Err(Refusal::UnknownGrant)
    }

    fn restart_ice(&self, _: Secret, _: Sdp) -> Later<'_, Result<Sdp, Refusal>> {
        Box::pin(async { Err(Refusal::UnknownGrant) })
    }

    fn restart(&self, _: Secret, _: Sdp) -> Later<'_, Result<Answer, Refusal>> {
        Box::pin(async { Err(Refusal::UnknownGrant) })
    }

    fn candidate(&self, _: Secret, _: &str) -> Result<(), Refusal> {
        Err(Refusal::UnknownGrant)
    }

    fn leave(&self, _: Secret) -> Result<(), Refusal> {
        Err(Refusal::UnknownGrant)
    }

    fn plan(&self, plan: Plan) {
        self.plans.lock().unwrap().insert(plan.room, plan);
    }

    fn set_thresholds(&self, thresholds: ports::Thresholds) {
        *self.thresholds.lock().unwrap() = Some(thresholds);
    }

    fn record(&self, room: CallId, command: RecordCommand) {
        self.recorded.lock().unwrap().push((room, command));
    }

    fn close_leg(&self, leg: LegId, cause: Cause) {
        let mut rooms = self.rooms.lock().unwrap();
        for room in rooms.values_mut() {
            if room.legs.remove(&leg).is_some() {
                push(room, Instant::now(), down(leg, cause));
            }
        }
        drop(rooms);
        self.bell.notify_one();
    }

    fn close_room(&self, call: CallId, cause: Cause) {
        let mut rooms = self.rooms.lock().unwrap();
        if let Some(room) = rooms.get_mut(&call) {
            let legs: Vec<LegId> = room.legs.drain().map(|(leg, _)| leg).collect();
            for leg in legs {
                push(room, Instant::now(), down(leg, cause));
            }
        }
        drop(rooms);
        self.closed.lock().unwrap().push(call);
        self.bell.notify_one();
    }

    fn outstanding(&self, max: usize) -> Vec<MediaEvent> {
        let now = Instant::now();
        let rooms = self.rooms.lock().unwrap();
        let mut events = Vec::new();
        for (call, room) in rooms.iter() {
            for (seq, at, kind) in &room.events {
                events.push(MediaEvent {
                    room: *call,
                    seq: *seq,
                    node_epoch: self.epoch.load(Ordering::Relaxed),
                    age_ms: u64::try_from(now.duration_since(*at).as_millis()).unwrap(),
                    kind: kind.clone(),
                });
            }
        }
        events.truncate(max);
        events
    }

    fn changed(&self) -> Later<'_, ()> {
        Box::pin(self.bell.notified())
    }

    fn acknowledge(&self, call: CallId, seq: u64) {
        if let Some(room) = self.rooms.lock().unwrap().get_mut(&call) {
            let before = room.events.len();
            room.events.retain(|(own, ..)| *own > seq);
            self.acknowledged
                .fetch_add((before - room.events.len()) as u64, Ordering::Relaxed);
        }
    }

    fn snapshot(&self, call: CallId) -> Option<RoomSnapshot> {
        let rooms = self.rooms.lock().unwrap();
        let room = rooms.get(&call)?;
        let legs = room.legs.iter().map(|(leg, (part, up))| LegSnapshot {
            leg: *leg,
            part: *part,
            up: *up,
            loss: 0.0,
            jitter_ms: 0.0,
            rtt_ms: None,
            mos: 4.4,
            level: 0,
            speaking: false,
            flags: ports::Flags::default(),
            down: None,
            mos_end_to_end: None,
            route: None,
        });
        Some(RoomSnapshot { legs: legs.collect() })
    }

    fn load(&self) -> Load {
        Load {
            capacity_legs: 100_000,
            ..Load::default()
        }
    }

    fn drain(&self, limit_s: Option<u64>) {
        assert_eq!(limit_s, None, "no scene is emptied");
    }

    fn draining(&self) -> Option<ports::Draining> {
        None
    }

    fn alive(&self) -> bool {
        true
    }
}

/// A recorder whose steps the test hands in.
#[derive(Default)]
pub struct ScriptedRecordings {
    steps: Mutex<Vec<RecordingStep>>,
    bell: Notify,
}

impl ScriptedRecordings {
    /// A step happens.
    pub fn happens(&self, recording: RecordingId, call: CallId, kind: StepKind) {
        let step = RecordingStep {
            recording,
            call,
            age_ms: 0,
            kind,
        };
        self.steps.lock().unwrap().push(step);
        self.bell.notify_one();
    }

    /// Steps that nobody has acknowledged.
    pub fn open(&self) -> usize {
        self.steps.lock().unwrap().len()
    }
}

impl ports::Recordings for ScriptedRecordings {
    fn steps(&self, max: usize) -> Vec<RecordingStep> {
        self.steps.lock().unwrap().iter().take(max).cloned().collect()
    }

    fn steps_changed(&self) -> Later<'_, ()> {
        Box::pin(self.bell.notified())
    }

    fn acknowledge_step(&self, recording: RecordingId, step: &'static str) {
        self.steps
            .lock()
            .unwrap()
            .retain(|told| told.recording != recording || told.kind.word() != step);
    }

    fn read(&self, _: String, _: std::ops::Range<u64>) -> Later<'_, Result<AudioSlice, RecordingFault>> {
        Box::pin(async { Err(RecordingFault::Missing) })
    }

    fn waveform(&self, _: Sound, _: std::ops::Range<u64>, _: usize) -> Later<'_, Result<Waveform, WaveformFault>> {
        Box::pin(async { Err(RecordingFault::Missing.into()) })
    }
}
