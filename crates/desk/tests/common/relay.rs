//! A relay that keeps what it was told, and a TURN service of somebody else.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use call_model::LegId;
use desk::ExternalTurn;
use ports::{AllocationView, Later, RelayControl, RelayHealth, TooSoon, TurnCredentials, TurnGrant, Via};
use wire::leg::IceServer;

/// Host of the foreign service.
pub const FOREIGN: &str = "turn:foreign.test:3478";
/// Host of our own.
pub const OWN: &str = "turn:own.test:3478?transport=udp";

/// See the top of this file.
#[derive(Default)]
pub struct FakeRelay {
    pub closed: Mutex<Vec<LegId>>,
    pub rows: Mutex<Vec<AllocationView>>,
    pub drains: AtomicBool,
    pub rotations: AtomicU32,
    /// Seconds until the secret may be exchanged.
    pub wait_s: AtomicU32,
    /// What `wait_s` is after an exchange.
    pub then_wait_s: AtomicU32,
    minted: AtomicU32,
}

impl FakeRelay {
    /// One more allocation of this leg.
    pub fn allocates(&self, id: &str, leg: LegId, via: Via) {
        self.rows.lock().unwrap().push(AllocationView {
            id: id.to_owned(),
            leg,
            via,
            flow: "00000000000000aa".to_owned(),
            relayed: vec!["192.0.2.7:50000".parse().unwrap()],
            age_s: 61,
            expires_in_s: 539,
            permissions: 1,
            channels: 1,
            packets_up: 3_000,
            packets_down: 3_001,
            bytes_up: 300_000,
            bytes_down: 300_100,
            dropped: 2,
        });
    }
}

impl TurnCredentials for FakeRelay {
    fn mint(&self, leg: LegId) -> Option<TurnGrant> {
        let n = self.minted.fetch_add(1, Ordering::Relaxed);
        Some(TurnGrant {
            urls: vec![OWN.to_owned()],
            username: format!("{n}:{:032x}:0", leg.0),
            credential: "minted".to_owned(),
            expires_in_s: 120,
        })
        .filter(|_| !self.drains.load(Ordering::Relaxed))
    }
}

impl RelayControl for FakeRelay {
    fn close_leg(&self, leg: LegId) {
        self.closed.lock().unwrap().push(leg);
        self.rows.lock().unwrap().retain(|row| row.leg != leg);
    }

    fn list(&self) -> Later<'_, Vec<AllocationView>> {
        Box::pin(async { self.rows.lock().unwrap().clone() })
    }

    fn kill<'a>(&'a self, id: &'a str) -> Later<'a, bool> {
        Box::pin(async move {
            let mut rows = self.rows.lock().unwrap();
            let before = rows.len();
            rows.retain(|row| row.id != id);
            rows.len() < before
        })
    }

    fn drain(&self, draining: bool) {
        self.drains.store(draining, Ordering::Relaxed);
    }

    fn health(&self) -> RelayHealth {
        RelayHealth::default()
    }

    fn rotates_in_s(&self) -> u32 {
        self.wait_s.load(Ordering::Relaxed)
    }

    fn rotate_secret(&self) -> Result<(), TooSoon> {
        match self.wait_s.load(Ordering::Relaxed) {
            0 => {
                self.rotations.fetch_add(1, Ordering::Relaxed);
                self.wait_s
                    .store(self.then_wait_s.load(Ordering::Relaxed), Ordering::Relaxed);
                Ok(())
            }
            wait_s => Err(TooSoon { wait_s }),
        }
    }
}

/// A service of somebody else.
pub struct Foreign;

impl ExternalTurn for Foreign {
    fn servers(&self) -> Vec<IceServer> {
        vec![IceServer {
            urls: vec![FOREIGN.to_owned()],
            username: Some("theirs".to_owned()),
            credential: Some("theirs".to_owned()),
        }]
    }
}

/// What a desk with this relay tells browsers.
pub fn told(relay: &std::sync::Arc<FakeRelay>) -> desk::IceConfig {
    desk::IceConfig {
        servers: vec![IceServer {
            urls: vec!["stun:own.test:3478".to_owned()],
            username: None,
            credential: None,
        }],
        external: Some(std::sync::Arc::new(Foreign)),
        turn: Some(relay.clone()),
        relay: Some(relay.clone()),
        policy: None,
    }
}
