//! A running desk on a database of its own, with a media plane that follows a script and people who act.
//!
//! The media plane keeps its reports until they are acknowledged and says at each delivery how old they are, as the
//! real one does; what it reports is decided by the test.

#![cfg(test)]
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of this")]

mod eye;
mod media;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use call_model::{CallId, OfferId, StaffId, UserId};
use desk::auth::AuthConfig;
use desk::auth::customers::CustomerTokens;
use desk::auth::service_keys::ServiceKeys;
use desk::{Caller, CustomerVia, Desk, DeskConfig, DeskOptions, IceConfig, NodeStart, Random, Store};
use local_postgres::testing::{self, Database};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use wire::call::CallStart;
use wire::staff::{PresenceSet, PresenceStatus, StaffCreate, StaffRole};

pub use eye::Eye;
pub use media::{ScriptedMedia, ScriptedRecordings};

/// How long a test waits for something that must come: far above the second in which the slowest loop looks.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How often it looks meanwhile.
pub const LOOK: Duration = Duration::from_millis(20);

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

/// One start of one node: a desk with its media, running or not.
pub struct Node {
    pub desk: Desk,
    pub store: Store,
    pub media: Arc<ScriptedMedia>,
    pub recordings: Arc<ScriptedRecordings>,
    registry: prometheus::Registry,
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
        let registry = prometheus::Registry::new();
        let options = DeskOptions {
            random: Arc::new(Dice::new(seed)),
            ice: IceConfig::default(),
            recorder_missing: desk::OnUnavailable::Refuse,
            demo: false,
            red: ports::Red::Offer,
            shield: desk::Shielding::OnDemand,
            registry: registry.clone(),
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
            registry,
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
        self.member(name, slots, StaffRole::Agent).await
    }

    /// Somebody above the agents, signed in.
    pub async fn supervisor(&self, name: &str) -> Caller {
        self.member(name, 1, StaffRole::Supervisor).await
    }

    async fn member(&self, name: &str, slots: u32, role: StaffRole) -> Caller {
        let body = StaffCreate {
            email: format!("{name}@x.test"),
            staff_name: name.to_owned(),
            role,
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

    /// Waits until the reaper has looked `looks` times from beginning to end, for what must not happen: however slow the
    /// machine is, it had its chance.
    pub async fn after_looks(&self, looks: u64) {
        // The look that goes on at this moment may have passed what the test has just written.
        let wanted = self.looks() + looks + 1;
        let until = Instant::now() + PATIENCE;
        while self.looks() < wanted {
            assert!(Instant::now() < until, "the reaper looked {} times", self.looks());
            sleep(LOOK).await;
        }
    }

    fn looks(&self) -> u64 {
        let families = self.registry.gather();
        let turns = families
            .iter()
            .find(|family| family.name() == "helpline_desk_turns_total");
        let of_reaper = turns.expect("the desk counts its looks").get_metric().iter();
        let mut of_reaper = of_reaper.filter(|one| one.get_label().iter().any(|label| label.value() == "timers"));
        of_reaper.next().expect("the reaper's").get_counter().get_value() as u64
    }

    /// Waits until media's reports are all applied.
    pub async fn until_applied(&self) {
        until("reports wait", || self.media.open_reports() == 0).await;
    }
}

/// Waits until it is so; `otherwise` is what a test that waits in vain says.
pub async fn until(otherwise: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "{otherwise}");
        sleep(LOOK).await;
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
