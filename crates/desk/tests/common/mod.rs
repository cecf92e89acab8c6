//! A desk on a fresh database, a media plane that only writes down what it is told, and people.
//!
//! Nothing here waits for time to pass; whoever needs a later moment moves rows into the past.

#![cfg(test)]
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of this")]

pub mod relay;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use call_model::{CallId, LegId, OfferId, RecordingId, StaffId, UserId};
use desk::auth::AuthConfig;
use desk::auth::customers::CustomerTokens;
use desk::auth::service_keys::ServiceKeys;
use desk::{Caller, CustomerVia, Desk, DeskConfig, DeskOptions, NodeStart, Random, Store};
use local_postgres::testing::{self, Database};
use ports::{Answer, AudioSlice, Cause, Later, LegGrant, Load, MediaEvent, Plan, RecordCommand, RecordingFault};
use ports::{RecordingStep, Refusal, RoomSnapshot, Sdp, Secret, Sound, Waveform, WaveformFault};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::sync::Notify;
use uuid::Uuid;
use wire::call::CallStart;
use wire::staff::StaffRole;

/// The service key of every test.
pub const SERVICE_KEY: &str = "test-service-key-test-service-key";

/// Not random at all: a counter, so that a failing test can be read.
pub struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let n = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            chunk.copy_from_slice(&n[8 - chunk.len()..]);
        }
    }
}

/// What media was told.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Admit(LegId, CallId, ports::Part),
    Plan(Plan),
    Record(CallId, RecordCommand),
    Part(LegId, ports::Part),
    CloseLeg(LegId, Cause),
    CloseRoom(CallId, Cause),
}

/// A media plane that does nothing but remember.
#[derive(Default)]
pub struct FakeMedia {
    pub told: Mutex<Vec<Told>>,
    pub load: Mutex<Load>,
    /// When set, every leg is refused like this.
    pub refuses: Mutex<Option<Refusal>>,
    /// Whether each admitted leg may send, in the order of the grants.
    pub uplinks: Mutex<Vec<bool>>,
    /// The last second of every room.
    pub second: Mutex<Option<RoomSnapshot>>,
    events: Mutex<VecDeque<MediaEvent>>,
    bell: Notify,
}

impl FakeMedia {
    fn tell(&self, told: Told) {
        self.told.lock().unwrap().push(told);
    }

    /// Reports an event to whoever pulls.
    pub fn report(&self, event: MediaEvent) {
        self.events.lock().unwrap().push_back(event);
        self.bell.notify_one();
    }

    /// Everything that was told so far.
    pub fn heard(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }
}

impl ports::Media for FakeMedia {
    fn admit(&self, grant: LegGrant) -> Later<'_, Result<(), Refusal>> {
        let refused = self.refuses.lock().unwrap().clone();
        if refused.is_none() {
            self.uplinks.lock().unwrap().push(grant.uplink);
            self.tell(Told::Admit(grant.leg, grant.room, grant.part));
        }
        Box::pin(async move { refused.map_or(Ok(()), Err) })
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
        self.tell(Told::Plan(plan));
    }

    fn change_part(&self, leg: LegId, part: ports::Part, _: ports::Author) {
        self.tell(Told::Part(leg, part));
    }

    fn record(&self, room: CallId, command: RecordCommand) {
        self.tell(Told::Record(room, command));
    }

    fn close_leg(&self, leg: LegId, cause: Cause) {
        self.tell(Told::CloseLeg(leg, cause));
    }

    fn close_room(&self, room: CallId, cause: Cause) {
        self.tell(Told::CloseRoom(room, cause));
    }

    fn outstanding(&self, max: usize) -> Vec<MediaEvent> {
        self.events.lock().unwrap().iter().take(max).cloned().collect()
    }

    fn changed(&self) -> Later<'_, ()> {
        Box::pin(self.bell.notified())
    }

    fn acknowledge(&self, room: CallId, seq: u64) {
        self.events
            .lock()
            .unwrap()
            .retain(|event| event.room != room || event.seq > seq);
    }

    fn snapshot(&self, _: CallId) -> Option<RoomSnapshot> {
        self.second.lock().unwrap().clone()
    }

    fn load(&self) -> Load {
        *self.load.lock().unwrap()
    }

    fn drain(&self, limit_s: Option<u64>) {
        self.load.lock().unwrap().draining = limit_s.is_some();
    }

    fn draining(&self) -> Option<ports::Draining> {
        let load = *self.load.lock().unwrap();
        load.draining.then_some(ports::Draining {
            number: 1,
            rooms: self.rooms(),
            closes_in_s: 900,
        })
    }

    fn rooms(&self) -> ports::Rooms {
        ports::Rooms {
            count: self.load.lock().unwrap().legs / 2,
            oldest_s: 60,
        }
    }

    fn alive(&self) -> bool {
        true
    }
}

/// A store of recordings with nothing in it.
#[derive(Default)]
pub struct NoRecordings;

impl ports::Recordings for NoRecordings {
    fn steps(&self, _: usize) -> Vec<RecordingStep> {
        Vec::new()
    }

    fn steps_changed(&self) -> Later<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn acknowledge_step(&self, _: RecordingId, _: &'static str) {}

    fn read(&self, _: String, _: std::ops::Range<u64>) -> Later<'_, Result<AudioSlice, RecordingFault>> {
        Box::pin(async { Err(RecordingFault::Missing) })
    }

    fn waveform(&self, _: Sound, _: std::ops::Range<u64>, _: usize) -> Later<'_, Result<Waveform, WaveformFault>> {
        Box::pin(async { Err(RecordingFault::Missing.into()) })
    }
}

/// A desk with everything around it.
pub struct World {
    pub db: Database,
    pub store: Store,
    pub desk: Desk,
    pub media: Arc<FakeMedia>,
    pub relay: Arc<relay::FakeRelay>,
    pub registry: prometheus::Registry,
    /// A connection that sees everything.
    pub eye: PgConnection,
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

impl World {
    /// A desk on a database of its own, with one node that has started once.
    pub async fn new() -> Option<Self> {
        Self::with(desk::OnUnavailable::Refuse).await
    }

    /// The same; `recorder_missing`: what becomes of calls that must be recorded then.
    pub async fn with(recorder_missing: desk::OnUnavailable) -> Option<Self> {
        Self::of_house(recorder_missing, desk::Shielding::OnDemand).await
    }

    /// The same; `shield`: which calls have their pressed keys kept from everybody.
    pub async fn of_house(recorder_missing: desk::OnUnavailable, shield: desk::Shielding) -> Option<Self> {
        let db = database().await?;
        let eye = PgConnection::connect_with(&db.superuser_url.parse::<PgConnectOptions>().unwrap())
            .await
            .unwrap();
        let store = Store::connect(&DeskConfig {
            database_url: db.app_url.clone(),
        })
        .await
        .unwrap();
        let media = Arc::new(FakeMedia::default());
        *media.load.lock().unwrap() = Load {
            capacity_legs: 100,
            ..Load::default()
        };
        let registry = prometheus::Registry::new();
        let relay = Arc::new(relay::FakeRelay::default());
        let options = DeskOptions {
            random: Arc::new(Counting(AtomicU64::new(1))),
            ice: relay::told(&relay),
            recorder_missing,
            demo: true,
            red: ports::Red::Offer,
            shield,
            registry: registry.clone(),
        };
        let auth = AuthConfig {
            customers: CustomerTokens::default(),
            service_keys: ServiceKeys::new([("bank".to_owned(), SERVICE_KEY.to_owned())]).unwrap(),
        };
        let node = NodeStart {
            node_id: "n".to_owned(),
            ws_url: "ws://n/ws".to_owned(),
            udp_addr: String::new(),
        };
        let node = store.start_node(node).await.unwrap();
        let held: Arc<dyn ports::Media> = media.clone();
        let desk = Desk::new(store.clone(), node, held, Arc::new(NoRecordings), options, auth).unwrap();
        Some(World {
            db,
            store,
            desk,
            media,
            relay,
            registry,
            eye,
        })
    }

    /// A signed-in member of staff who serves the default queue.
    pub async fn staff(&self, name: &str, role: StaffRole) -> Caller {
        let body = wire::staff::StaffCreate {
            email: format!("{name}@x.test"),
            staff_name: name.to_owned(),
            role,
            password: None,
            queues: Vec::new(),
            max_concurrent_calls: None,
        };
        let made = self.desk.staff_create(&service(), body).await.unwrap();
        let session = self
            .desk
            .staff_session(&service(), StaffId(made.id.as_u128()))
            .await
            .unwrap();
        self.desk.auth().bearer(&session.token).await.unwrap()
    }

    /// The same person with another role, which no service may give.
    pub async fn promote(&mut self, caller: &Caller, role: &str) -> Caller {
        sqlx::query("update helpline.staff set role = $2 where id = $1")
            .bind(staff_id(caller))
            .bind(role)
            .execute(&mut self.eye)
            .await
            .unwrap();
        let id = StaffId(staff_id(caller).as_u128());
        let session = self.desk.staff_session(&service(), id).await.unwrap();
        self.desk.auth().bearer(&session.token).await.unwrap()
    }

    /// A waiting call of `user`.
    pub async fn call(&self, user: &str) -> CallId {
        let (_, started) = self.desk.start_call(&customer(user), start(user)).await.unwrap();
        CallId(started.call_id.as_u128())
    }

    /// Rings the call at an agent, as the router would.
    pub async fn ring(&mut self, call: CallId, agent: &Caller) -> OfferId {
        self.ring_with(call, agent, true).await
    }

    /// The same; `exclusive`: nobody else is asked.
    pub async fn ring_with(&mut self, call: CallId, agent: &Caller, exclusive: bool) -> OfferId {
        let offer = Uuid::new_v4();
        sqlx::query(
            "insert into helpline.offers (id, call_id, channel, staff_id, slot, exclusive, created_at, expires_at)
            values ($1, $2, 'call', $3, 1, $4, clock_timestamp(), clock_timestamp() + interval '20 seconds')",
        )
        .bind(offer)
        .bind(Uuid::from_u128(call.0))
        .bind(staff_id(agent))
        .bind(exclusive)
        .execute(&mut self.eye)
        .await
        .unwrap();
        sqlx::query("update voice_calls set status = 'ringing' where id = $1")
            .bind(Uuid::from_u128(call.0))
            .execute(&mut self.eye)
            .await
            .unwrap();
        OfferId(offer.as_u128())
    }

    /// One number that only the superuser may count.
    pub async fn count(&mut self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.eye).await.unwrap()
    }

    /// One text column.
    pub async fn texts(&mut self, sql: &'static str) -> Vec<String> {
        sqlx::query_scalar(sql).fetch_all(&mut self.eye).await.unwrap()
    }

    /// Statements that must succeed.
    pub async fn run(&mut self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&mut self.eye).await.unwrap();
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
        consent_version: Some("2026-01".to_owned()),
    }
}

/// The row of a member of staff.
pub fn staff_id(caller: &Caller) -> Uuid {
    match caller {
        Caller::Staff { staff, .. } => Uuid::from_u128(staff.0),
        other => panic!("no member of staff: {other:?}"),
    }
}
