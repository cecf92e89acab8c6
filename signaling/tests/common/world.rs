//! A running desk on a database of its own, with a media plane that answers offers and reports what follows from them.
//!
//! Nothing is waited for by time alone: who waits has a deadline and an event.

#[path = "../../../crates/desk/tests/common/relay.rs"]
pub mod relay;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use call_model::{CallId, LegId, RecordingId, StaffId, UserId};
use desk::auth::AuthConfig;
use desk::auth::customers::CustomerTokens;
use desk::auth::jws::Expected;
use desk::auth::service_keys::ServiceKeys;
use desk::{Caller, CustomerVia, Desk, DeskConfig, DeskOptions, NodeStart, Random, Store};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use local_postgres::testing::{self, Database};
use ports::{
    Answer, AudioSlice, Cause, EventKind, Later, LegGrant, LegSummary, Load, MediaEvent, Part, Plan, RecordCommand,
    RecordingFault, RecordingStep, Refusal, RoomSnapshot, Sdp, Secret, Sound, Waveform, WaveformFault,
};
use prometheus::Registry;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::call::{CallStart, CallStarted};
use wire::staff::{StaffCreate, StaffRole};

/// How long a test waits for something that must come.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// The key of the other system.
pub const SERVICE_KEY: &str = "test-service-key-test-service-key";
/// The secret that customers' tokens are signed with (HS256).
pub const JWT_SECRET: &[u8] = b"a-test-secret-of-at-least-32-bytes!!";
/// Who signs them.
pub const ISSUER: &str = "https://id.test/auth/v1";
/// What media answers every offer with.
pub const ANSWER: &str = "v=0\r\ns=answer\r\n";

/// A generator with a seed (SplitMix64): a failing run can be read.
struct Dice(AtomicU64);

impl Random for Dice {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let mut z = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

/// What is known of the rooms.
#[derive(Default)]
struct Rooms {
    grants: HashMap<Secret, (LegId, CallId, Part)>,
    up: HashMap<CallId, HashMap<LegId, Part>>,
    seqs: HashMap<CallId, u64>,
    events: Vec<MediaEvent>,
    candidates: Vec<String>,
    /// How many ICE sessions a grant has had.
    sessions: HashMap<Secret, u32>,
}

/// A media plane without sound: an offer brings its leg up, two of them bring the room alive.
pub struct FakeMedia {
    epoch: u64,
    rooms: Mutex<Rooms>,
    bell: Notify,
    pub load: Mutex<Load>,
    /// When set, every offer is refused like this.
    pub refuses: Mutex<Option<Refusal>>,
}

impl FakeMedia {
    fn new(epoch: u64) -> Self {
        let load = Load {
            capacity_legs: 100,
            ..Load::default()
        };
        Self {
            epoch,
            rooms: Mutex::default(),
            bell: Notify::new(),
            load: Mutex::new(load),
            refuses: Mutex::default(),
        }
    }

    /// Candidates that were counted.
    pub fn candidates(&self) -> Vec<String> {
        self.rooms.lock().unwrap().candidates.clone()
    }

    fn report(&self, rooms: &mut Rooms, room: CallId, kind: EventKind) {
        let seq = rooms.seqs.entry(room).or_default();
        *seq += 1;
        let seq = *seq;
        rooms.events.push(MediaEvent {
            room,
            seq,
            node_epoch: self.epoch,
            age_ms: 0,
            kind,
        });
        self.bell.notify_one();
    }

    fn attach(&self, secret: &Secret, sdp: &Sdp) -> Result<Answer, Refusal> {
        if let Some(refusal) = self.refuses.lock().unwrap().clone() {
            return Err(refusal);
        }
        if !sdp.0.starts_with("v=0") {
            return Err(Refusal::BadOffer {
                reason: "offer_malformed",
            });
        }
        // The tests offer what the real media refuses by these words.
        let refused = ["setup_passive", "offer_taken_in_part", "offer_sends_nothing"];
        if let Some(reason) = refused.into_iter().find(|reason| sdp.0.contains(*reason)) {
            return Err(Refusal::BadOffer { reason });
        }
        let mut rooms = self.rooms.lock().unwrap();
        let (leg, room, part) = *rooms.grants.get(secret).ok_or(Refusal::UnknownGrant)?;
        *rooms.sessions.entry(secret.clone()).or_default() += 1;
        if rooms.up.entry(room).or_default().insert(leg, part).is_none() {
            self.report(&mut rooms, room, EventKind::LegUp { leg });
            self.report(&mut rooms, room, EventKind::FirstRtp { leg });
            if rooms.up[&room].len() == 2 {
                self.report(&mut rooms, room, EventKind::RoomLive);
            }
        }
        Ok(Answer {
            leg,
            sdp: Sdp(ANSWER.to_owned()),
        })
    }
}

impl ports::Media for FakeMedia {
    fn admit(&self, grant: LegGrant) -> Later<'_, Result<(), Refusal>> {
        let load = *self.load.lock().unwrap();
        if grant.part == Part::Preflight && load.legs >= load.capacity_legs {
            return Box::pin(async { Err(Refusal::Full { retry_after_s: 30 }) });
        }
        let key = (grant.leg, grant.room, grant.part);
        self.rooms.lock().unwrap().grants.insert(grant.secret, key);
        Box::pin(async { Ok(()) })
    }

    fn offer(&self, secret: Secret, sdp: Sdp) -> Later<'_, Result<Answer, Refusal>> {
        let answer = self.attach(&secret, &sdp);
        Box::pin(async { answer })
    }

    fn ingest(&self, secret: Secret, sdp: Sdp) -> Later<'_, Result<Answer, Refusal>> {
        self.offer(secret, sdp)
    }

    fn ice_session(&self, secret: &Secret) -> Result<String, Refusal> {
        let rooms = self.rooms.lock().unwrap();
        rooms.grants.get(secret).ok_or(Refusal::UnknownGrant)?;
        let session = rooms.sessions.get(secret).ok_or(Refusal::NoSession)?;
        Ok(format!("session{session}"))
    }

    fn trickle(&self, secret: Secret, fragment: Sdp) -> Result<(), Refusal> {
        self.ice_session(&secret)?;
        if !fragment.0.contains('=') {
            return Err(Refusal::BadOffer {
                reason: "fragment_malformed",
            });
        }
        for candidate in fragment.0.lines().filter(|line| line.starts_with("a=candidate:")) {
            self.candidate(secret.clone(), candidate)?;
        }
        Ok(())
    }

    fn restart_ice(&self, secret: Secret, fragment: Sdp) -> Later<'_, Result<Sdp, Refusal>> {
        let restart = || {
            self.trickle(secret.clone(), fragment.clone())?;
            if !fragment.0.contains("a=ice-ufrag:") {
                return Err(Refusal::BadOffer {
                    reason: "fragment_without_credentials",
                });
            }
            *self.rooms.lock().unwrap().sessions.entry(secret.clone()).or_default() += 1;
            Ok(Sdp(format!("a=ice-ufrag:{}\r\n", self.ice_session(&secret)?)))
        };
        let answer = restart();
        Box::pin(async { answer })
    }

    fn restart(&self, secret: Secret, sdp: Sdp) -> Later<'_, Result<Answer, Refusal>> {
        let answer = self.attach(&secret, &sdp);
        Box::pin(async { answer })
    }

    fn candidate(&self, secret: Secret, candidate: &str) -> Result<(), Refusal> {
        let mut rooms = self.rooms.lock().unwrap();
        rooms.grants.get(&secret).ok_or(Refusal::UnknownGrant)?;
        rooms.candidates.push(candidate.to_owned());
        Ok(())
    }

    fn leave(&self, secret: Secret) -> Result<(), Refusal> {
        let known = self.rooms.lock().unwrap().grants.contains_key(&secret);
        if known { Ok(()) } else { Err(Refusal::UnknownGrant) }
    }

    fn plan(&self, _: Plan) {}

    fn record(&self, _: CallId, _: RecordCommand) {}

    fn close_leg(&self, _: LegId, _: Cause) {}

    fn close_room(&self, room: CallId, cause: Cause) {
        let mut rooms = self.rooms.lock().unwrap();
        rooms.grants.retain(|_, (_, of, _)| *of != room);
        for leg in rooms.up.remove(&room).unwrap_or_default().into_keys() {
            let summary = LegSummary::default();
            self.report(&mut rooms, room, EventKind::LegDown { leg, cause, summary });
        }
    }

    fn outstanding(&self, max: usize) -> Vec<MediaEvent> {
        self.rooms.lock().unwrap().events.iter().take(max).cloned().collect()
    }

    fn changed(&self) -> Later<'_, ()> {
        Box::pin(self.bell.notified())
    }

    fn acknowledge(&self, room: CallId, seq: u64) {
        let mut rooms = self.rooms.lock().unwrap();
        rooms.events.retain(|event| event.room != room || event.seq > seq);
    }

    fn snapshot(&self, _: CallId) -> Option<RoomSnapshot> {
        Some(RoomSnapshot::default())
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
            rooms: ports::Rooms {
                count: load.legs / 2,
                oldest_s: 60,
            },
            closes_in_s: 900,
        })
    }

    fn alive(&self) -> bool {
        true
    }
}

/// Recordings in memory.
#[derive(Default)]
pub struct FakeRecordings {
    pub files: Mutex<HashMap<String, Vec<u8>>>,
    /// True: the store does not answer.
    pub down: Mutex<bool>,
    /// Why no waveform can be drawn.
    pub undrawn: Mutex<Option<WaveformFault>>,
}

impl ports::Recordings for FakeRecordings {
    fn steps(&self, _: usize) -> Vec<RecordingStep> {
        Vec::new()
    }

    fn steps_changed(&self) -> Later<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn acknowledge_step(&self, _: RecordingId, _: &'static str) {}

    fn read(&self, key: String, range: Range<u64>) -> Later<'_, Result<AudioSlice, RecordingFault>> {
        let slice = || {
            if *self.down.lock().unwrap() {
                return Err(RecordingFault::Store);
            }
            let files = self.files.lock().unwrap();
            let file = files.get(&key).ok_or(RecordingFault::Missing)?;
            let total = file.len() as u64;
            let range = range.start..range.end.min(total);
            let bytes = file
                .get(range.start as usize..range.end as usize)
                .ok_or(RecordingFault::Range)?;
            Ok(AudioSlice {
                total,
                bytes: axum::body::Bytes::copy_from_slice(bytes),
                range,
            })
        };
        let slice = slice();
        Box::pin(async { slice })
    }

    fn waveform(&self, sound: Sound, span_ms: Range<u64>, points: usize) -> Later<'_, Result<Waveform, WaveformFault>> {
        if let Some(fault) = *self.undrawn.lock().unwrap() {
            return Box::pin(async move { Err(fault) });
        }
        let known = self.files.lock().unwrap().contains_key(sound.key());
        let lane = vec![(-3, 4); points.min(2)];
        let waveform = Waveform {
            duration_ms: 2_000,
            span_ms,
            lanes: vec![lane; sound.lanes()],
        };
        Box::pin(async move { known.then_some(waveform).ok_or(RecordingFault::Missing.into()) })
    }
}

/// Everything, running.
pub struct World {
    pub desk: Desk,
    pub media: Arc<FakeMedia>,
    pub relay: Arc<relay::FakeRelay>,
    pub recordings: Arc<FakeRecordings>,
    pub registry: Registry,
    /// A connection that sees everything.
    pub eye: PgConnection,
    pub stop: CancellationToken,
    running: JoinHandle<()>,
    database: Database,
}

impl World {
    /// A desk that runs; `None`, with the reason printed, on a machine without PostgreSQL.
    pub async fn new() -> Option<Self> {
        let database = testing::database("helpline_migrated", |owner_url| async move {
            desk::migrations::migrate(&owner_url)
                .await
                .expect("the migrations apply to an empty database");
        })
        .await?;
        let options: PgConnectOptions = database.superuser_url.parse().unwrap();
        let eye = PgConnection::connect_with(&options).await.unwrap();
        let config = DeskConfig {
            database_url: database.app_url.clone(),
        };
        let store = Store::connect(&config).await.unwrap();
        let node = NodeStart {
            node_id: "n".to_owned(),
            ws_url: "ws://localhost:3000/ws".to_owned(),
            udp_addr: String::new(),
        };
        let node = store.start_node(node).await.unwrap();
        let media = Arc::new(FakeMedia::new(node.epoch));
        let recordings = Arc::new(FakeRecordings::default());
        let registry = Registry::new();
        let relay = Arc::new(relay::FakeRelay::default());
        let options = DeskOptions {
            random: Arc::new(Dice(AtomicU64::new(1))),
            ice: relay::told(&relay),
            recorder_missing: desk::OnUnavailable::Refuse,
            demo: true,
            red: ports::Red::Offer,
            shield: desk::Shielding::OnDemand,
            registry: registry.clone(),
        };
        let expected = Expected {
            issuer: ISSUER.to_owned(),
            audience: "authenticated".to_owned(),
        };
        let auth = AuthConfig {
            customers: CustomerTokens::new(expected, Some(JWT_SECRET), None),
            service_keys: ServiceKeys::new([("bank".to_owned(), SERVICE_KEY.to_owned())]).unwrap(),
        };
        let held: Arc<dyn ports::Media> = media.clone();
        let stored: Arc<dyn ports::Recordings> = recordings.clone();
        let desk = Desk::new(store, node, held, stored, options, auth).unwrap();
        let stop = CancellationToken::new();
        let (running, until) = (desk.clone(), stop.clone());
        let running = tokio::spawn(async move { running.run(until).await });
        Some(World {
            desk,
            media,
            relay,
            recordings,
            registry,
            eye,
            stop,
            running,
            database,
        })
    }

    /// The desk comes to its end.
    pub async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.running)
            .await
            .expect("in time")
            .unwrap();
    }

    /// A member of staff with the default queue, and the token of a session.
    pub async fn staff(&self, name: &str, role: StaffRole) -> (StaffId, String) {
        let body = StaffCreate {
            email: format!("{name}@x.test"),
            staff_name: name.to_owned(),
            role,
            password: None,
            queues: Vec::new(),
            max_concurrent_calls: None,
        };
        let made = self.desk.staff_create(&service(), body).await.unwrap();
        let staff = StaffId(made.id.as_u128());
        let session = self.desk.staff_session(&service(), staff).await.unwrap();
        (staff, session.token)
    }

    /// A call of `user`, with its ticket.
    pub async fn call(&self, user: &str) -> CallStarted {
        self.desk.start_call(&customer(user), start(user)).await.unwrap().1
    }

    /// Where a connection that sees everything may be opened.
    pub fn superuser_url(&self) -> &str {
        &self.database.superuser_url
    }

    /// A statement that must succeed.
    pub async fn run(&mut self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&mut self.eye).await.unwrap();
    }
}

/// The other system.
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

/// A customer's token; `change` may spoil its claims.
pub fn jwt(user: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut claims = json!({
        "sub": user,
        "iss": ISSUER,
        "aud": "authenticated",
        "exp": 4_000_000_000_u64,
    });
    change(&mut claims);
    encode(
        &Header::new(Algorithm::HS256),
        &claims,
        &EncodingKey::from_secret(JWT_SECRET),
    )
    .unwrap()
}
