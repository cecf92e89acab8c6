//! A running desk on a database of its own, with a media plane that follows a script and people who act.
//!
//! The media plane keeps its reports until they are acknowledged and says at each delivery how old they are, as the
//! real one does; what it reports is decided by the test.

#![cfg(test)]
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of this")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use call_model::{CallId, LegId, OfferId, RecordingId, StaffId, UserId};
use desk::auth::AuthConfig;
use desk::auth::customers::CustomerTokens;
use desk::auth::service_keys::ServiceKeys;
use desk::{Caller, CustomerVia, Desk, DeskConfig, DeskOptions, IceConfig, NodeStart, Random, Store};
use local_postgres::testing::{self, Database};
use ports::{
    Answer, AudioSlice, Cause, EventKind, Later, LegGrant, LegSnapshot, LegSummary, Load, MediaEvent, Part, Plan,
    RecordCommand, RecordingFault, RecordingStep, Refusal, RoomSnapshot, Sdp, Secret, StepKind, Waveform,
};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::call::CallStart;
use wire::staff::{PresenceSet, PresenceStatus, StaffCreate, StaffRole};

/// How long a test waits for something that must come: far above the second in which the slowest loop looks.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How often it looks meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// A small generator with a seed, so that a failing run can be repeated (SplitMix64).
pub struct Dice(AtomicU64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(AtomicU64::new(seed))
    }

    pub fn next(&self) -> u64 {
        let mut z = self
            .0
            .fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed)
            .wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// One of `n`.
    pub fn below(&self, n: u64) -> u64 {
        self.next() % n
    }
}

impl Random for Dice {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// A room as the script has it.
#[derive(Default)]
struct Room {
    seq: u64,
    legs: HashMap<LegId, (Part, bool)>,
    events: Vec<(u64, Instant, EventKind)>,
}

/// The media plane of one start of a node.
pub struct ScriptedMedia {
    /// Of the node's start; a test that plays a ghost of an earlier one sets it back.
    pub epoch: AtomicU64,
    rooms: Mutex<HashMap<CallId, Room>>,
    bell: Notify,
    pub closed: Mutex<Vec<CallId>>,
    pub recorded: Mutex<Vec<(CallId, RecordCommand)>>,
    /// Reports that were delivered and acknowledged.
    pub acknowledged: AtomicU64,
}

impl ScriptedMedia {
    pub fn new(epoch: u64) -> Self {
        ScriptedMedia {
            epoch: AtomicU64::new(epoch),
            rooms: Mutex::default(),
            bell: Notify::new(),
            closed: Mutex::default(),
            recorded: Mutex::default(),
            acknowledged: AtomicU64::new(0),
        }
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
        let mut rooms = self.rooms.lock().unwrap();
        let room = rooms.entry(grant.room).or_default();
        room.legs.entry(grant.leg).or_insert((grant.part, false));
        Box::pin(async { Ok(()) })
    }

    fn offer(&self, _: Secret, _: Sdp) -> Later<'_, Result<Answer, Refusal>> {
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

    fn plan(&self, _: Plan) {}

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
            down: None,
        });
        Some(RoomSnapshot { legs: legs.collect() })
    }

    fn load(&self) -> Load {
        Load {
            capacity_legs: 100_000,
            ..Load::default()
        }
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

    fn waveform(&self, _: String, _: std::ops::Range<u64>, _: usize) -> Later<'_, Result<Waveform, RecordingFault>> {
        Box::pin(async { Err(RecordingFault::Missing) })
    }
}

/// One start of one node: a desk with its media, running or not.
pub struct Node {
    pub desk: Desk,
    pub store: Store,
    pub media: Arc<ScriptedMedia>,
    pub recordings: Arc<ScriptedRecordings>,
    running: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Node {
    /// Starts a node of this name on the database at `app_url`; nothing runs yet.
    pub async fn start(app_url: &str, name: &str) -> Self {
        let store = Store::connect(&DeskConfig {
            database_url: app_url.to_owned(),
        })
        .await
        .unwrap();
        let start = NodeStart {
            node_id: name.to_owned(),
            ws_url: format!("ws://{name}/ws"),
            udp_addr: String::new(),
        };
        let epoch = store.start_node(start).await.unwrap();
        let media = Arc::new(ScriptedMedia::new(epoch.epoch));
        let recordings = Arc::new(ScriptedRecordings::default());
        let seed = name.bytes().fold(epoch.epoch, |sum, byte| sum * 31 + u64::from(byte));
        let options = DeskOptions {
            random: Arc::new(Dice::new(seed)),
            ice: IceConfig::default(),
            demo: false,
            registry: prometheus::Registry::new(),
        };
        let auth = AuthConfig {
            customers: CustomerTokens::default(),
            service_keys: ServiceKeys::new([("bank".to_owned(), "test-service-key-test-service-key".to_owned())])
                .unwrap(),
        };
        let (plane, kept): (Arc<dyn ports::Media>, Arc<dyn ports::Recordings>) = (media.clone(), recordings.clone());
        let desk = Desk::new(store.clone(), epoch, plane, kept, options, auth).unwrap();
        Node {
            desk,
            store,
            media,
            recordings,
            running: None,
        }
    }

    /// Lets the desk act by itself.
    pub fn run(&mut self) {
        let stop = CancellationToken::new();
        let (desk, token) = (self.desk.clone(), stop.clone());
        let task = tokio::spawn(async move { desk.run(token).await });
        self.running = Some((stop, task));
    }

    /// Stops in good order.
    pub async fn stop(&mut self) {
        if let Some((stop, task)) = self.running.take() {
            stop.cancel();
            task.await.unwrap();
        }
    }

    /// Dies: no good-bye, nothing closed.
    pub async fn crash(mut self) {
        if let Some((_, task)) = self.running.take() {
            task.abort();
            let _ = task.await;
        }
        self.store.close().await;
    }

    /// A signed-in agent who serves the default queue, offline.
    pub async fn agent(&self, name: &str, slots: u32) -> Caller {
        let body = StaffCreate {
            email: format!("{name}@x.test"),
            staff_name: name.to_owned(),
            role: StaffRole::Agent,
            password: None,
            queues: Vec::new(),
            max_concurrent_calls: Some(slots),
        };
        let made = self.desk.staff_create(&service(), body).await.unwrap();
        let id = StaffId(made.id.as_u128());
        let session = self.desk.staff_session(&service(), id).await.unwrap();
        self.desk.auth().bearer(&session.token).await.unwrap()
    }

    /// The agent takes calls from now on.
    pub async fn online(&self, agent: &Caller) {
        let wanted = PresenceSet {
            status: PresenceStatus::Online,
            reason: None,
            media_checked: true,
        };
        self.desk.set_presence(agent, wanted).await.unwrap();
    }

    /// A waiting call of `user`.
    pub async fn call(&self, user: &str) -> CallId {
        let (_, started) = self.desk.start_call(&customer(user), start(user)).await.unwrap();
        CallId(started.call_id.as_u128())
    }

    /// The offer that rings at the agent; waits for it.
    pub async fn offer(&self, agent: &Caller) -> (OfferId, CallId) {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(offer) = self.desk.offers(agent).await.unwrap().first() {
                return (OfferId(offer.offer_id.as_u128()), CallId(offer.call_id.as_u128()));
            }
            assert!(Instant::now() < until, "no offer came");
            sleep(LOOK).await;
        }
    }

    /// A call of `user` that `agent` has accepted and whose sound is up; returns it and when the sound came.
    pub async fn live_call(&self, user: &str, agent: &Caller) -> (CallId, Instant) {
        let call = self.call(user).await;
        let (offer, rung) = self.offer(agent).await;
        assert_eq!(rung, call, "the offer must be about the only waiting call");
        self.desk.accept_offer(agent, offer).await.unwrap();
        self.desk.grant_leg(&customer(user), call, None).await.unwrap();
        let at = self.media.connect(call).expect("both legs were admitted");
        self.until_status(user, call, "answered").await;
        (call, at)
    }

    /// Waits until the call has this status, as its customer sees it.
    pub async fn until_status(&self, user: &str, call: CallId, wanted: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            let status = match self.desk.call(&customer(user), call).await {
                Ok(view) => status_word(&view),
                Err(refused) => refused.code.word().to_owned(),
            };
            if status == wanted {
                return;
            }
            assert!(Instant::now() < until, "the call is {status} and not {wanted}");
            sleep(LOOK).await;
        }
    }

    /// Makes the process's connection to the database look unbroken for `span` longer. Only on a runtime of one thread.
    pub async fn age(&self, span: Duration) {
        tokio::time::pause();
        tokio::time::advance(span).await;
        tokio::time::resume();
    }

    /// Waits until media's reports are all applied.
    pub async fn until_applied(&self) {
        let until = Instant::now() + PATIENCE;
        while self.media.open_reports() > 0 {
            assert!(Instant::now() < until, "{} reports wait", self.media.open_reports());
            sleep(LOOK).await;
        }
    }
}

/// The word of a view's status.
pub fn status_word(view: &wire::call::CallView) -> String {
    serde_json::to_value(view.status).unwrap().as_str().unwrap().to_owned()
}

/// A fresh, migrated database; `None`, with the reason printed, on a machine without PostgreSQL.
pub async fn database() -> Option<Database> {
    testing::database("helpline_migrated", |owner_url| async move {
        desk::migrations::migrate(&owner_url)
            .await
            .expect("the migrations apply to an empty database");
    })
    .await
}

/// A connection that sees everything.
pub struct Eye(PgConnection);

impl Eye {
    pub async fn of(url: &str) -> Self {
        let options: PgConnectOptions = url.parse().unwrap();
        Eye(
            PgConnection::connect_with(&options.options([("search_path", "helpline,public"), ("timezone", "UTC")]))
                .await
                .unwrap(),
        )
    }

    /// Of the program's own role, as the desk: for a cluster whose superuser is not at hand.
    pub async fn as_desk(url: &str) -> Self {
        let mut eye = Self::of(url).await;
        eye.run("set role app_desk").await;
        eye
    }

    /// One number.
    pub async fn count(&mut self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.0).await.unwrap()
    }

    /// One number about one row.
    pub async fn count_of(&mut self, sql: &'static str, id: CallId) -> i64 {
        sqlx::query_scalar(sql)
            .bind(Uuid::from_u128(id.0))
            .fetch_one(&mut self.0)
            .await
            .unwrap()
    }

    /// One text column.
    pub async fn texts(&mut self, sql: &'static str) -> Vec<String> {
        sqlx::query_scalar(sql).fetch_all(&mut self.0).await.unwrap()
    }

    /// One text column about one row.
    pub async fn texts_of(&mut self, sql: &'static str, id: CallId) -> Vec<String> {
        sqlx::query_scalar(sql)
            .bind(Uuid::from_u128(id.0))
            .fetch_all(&mut self.0)
            .await
            .unwrap()
    }

    /// Entries of this kind in the history of a call.
    pub async fn events_of(&mut self, call: CallId, kind: &str) -> i64 {
        sqlx::query_scalar("select count(*) from call_events where call_id = $1 and kind = $2")
            .bind(Uuid::from_u128(call.0))
            .bind(kind)
            .fetch_one(&mut self.0)
            .await
            .unwrap()
    }

    /// One real number.
    pub async fn real(&mut self, sql: &'static str) -> f64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.0).await.unwrap()
    }

    /// One real number about one row.
    pub async fn real_of(&mut self, sql: &'static str, id: CallId) -> f64 {
        sqlx::query_scalar(sql)
            .bind(Uuid::from_u128(id.0))
            .fetch_one(&mut self.0)
            .await
            .unwrap()
    }

    /// Statements that must succeed.
    pub async fn run(&mut self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&mut self.0).await.unwrap();
    }

    /// Rings a call at an agent without keeping it from others.
    pub async fn ring_shared(&mut self, offer: Uuid, call: CallId, agent: StaffId) {
        sqlx::query(
            "insert into offers (id, call_id, channel, staff_id, slot, exclusive, created_at, expires_at)
            values ($1, $2, 'call', $3, 1, false, clock_timestamp(), clock_timestamp() + interval '20 seconds')",
        )
        .bind(offer)
        .bind(Uuid::from_u128(call.0))
        .bind(Uuid::from_u128(agent.0))
        .execute(&mut self.0)
        .await
        .unwrap();
        sqlx::query("update voice_calls set status = 'ringing' where id = $1")
            .bind(Uuid::from_u128(call.0))
            .execute(&mut self.0)
            .await
            .unwrap();
    }

    /// Waits until the number is `wanted`.
    pub async fn until(&mut self, sql: &'static str, wanted: i64) {
        let looked = timeout(PATIENCE, async {
            while self.count(sql).await != wanted {
                sleep(LOOK).await;
            }
        });
        if looked.await.is_err() {
            let found = self.count(sql).await;
            panic!("{found} and not {wanted}: {sql}");
        }
    }
}

/// The service of every test.
pub fn service() -> Caller {
    Caller::Service {
        name: "bank".to_owned(),
    }
}

/// A customer with a token.
pub fn customer(user: &str) -> Caller {
    Caller::Customer {
        user_id: UserId::new(user).unwrap(),
        name: None,
        email: None,
        via: CustomerVia::Token,
    }
}

/// The guide's request.
pub fn start(user: &str) -> CallStart {
    CallStart {
        user_id: user.to_owned(),
        customer_email: format!("{user}@mail.test"),
        customer_name: format!("Customer {user}"),
        call_type: "voice".to_owned(),
        queue: None,
        consent_version: None,
    }
}

/// The row of a member of staff.
pub fn staff_id(caller: &Caller) -> StaffId {
    match caller {
        Caller::Staff { staff, .. } => *staff,
        other => panic!("no member of staff: {other:?}"),
    }
}
