//! The STUN and TURN servers that browsers are told, and what the desk asks of the relay of this node.
//!
//! Never knows a secret of a service: whoever mints is asked anew each time. What opens our own relay is told only
//! together with the right to attach a leg, and names that leg.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use call_model::{LegId, Timestamp};
use ports::{RelayControl, TurnCredentials};
use wire::leg::{IcePolicy, IceServer};

/// A TURN service of somebody else, whose credentials may change with time. Asked whenever servers are told, so it
/// answers at once from what it has.
pub trait ExternalTurn: Send + Sync + 'static {
    /// Its entries with credentials that are good now; empty while there are none.
    fn servers(&self) -> Vec<IceServer>;
}

/// The STUN and TURN servers that browsers are told.
#[derive(Clone, Default)]
pub struct IceConfig {
    /// STUN: entries without credentials.
    pub servers: Vec<IceServer>,
    /// A service beside our own relay.
    pub external: Option<Arc<dyn ExternalTurn>>,
    /// Makes credentials for our own relay.
    pub turn: Option<Arc<dyn TurnCredentials>>,
    /// Our own relay, once it runs.
    pub relay: Option<Arc<dyn RelayControl>>,
    /// Whether media may go straight to us; `None` leaves it to the browser.
    pub policy: Option<IcePolicy>,
}

impl IceConfig {
    /// For everybody who may call: nothing in it opens our own relay.
    pub(crate) fn common(&self) -> Vec<IceServer> {
        let mut servers = self.servers.clone();
        servers.extend(self.external.iter().flat_map(|service| service.servers()));
        servers
    }

    /// For whoever attaches this leg, best first.
    pub(crate) fn of_leg(&self, leg: LegId) -> Vec<IceServer> {
        let mut servers = self.servers.clone();
        let own = self.turn.as_ref().and_then(|relay| relay.mint(leg));
        servers.extend(own.map(|grant| IceServer {
            urls: grant.urls,
            username: Some(grant.username),
            credential: Some(grant.credential),
        }));
        servers.extend(self.external.iter().flat_map(|service| service.servers()));
        servers
    }

    /// The leg is over: what it has at the relay is freed.
    pub(crate) fn close_leg(&self, leg: LegId) {
        if let Some(relay) = &self.relay {
            relay.close_leg(leg);
        }
    }
}

/// What staff have done to the relay since this process began.
#[derive(Default)]
pub(crate) struct RelayMarks {
    draining: AtomicBool,
    rotated_at: Mutex<Option<Timestamp>>,
    rotating: tokio::sync::Mutex<()>,
}

impl RelayMarks {
    /// Waits until nobody else exchanges the secret; whoever holds this may.
    pub(crate) async fn rotating(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.rotating.lock().await
    }

    pub(crate) fn drain(&self, draining: bool) {
        self.draining.store(draining, Ordering::Relaxed);
    }

    pub(crate) fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn rotated(&self, at: Timestamp) {
        *self.rotated_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    pub(crate) fn rotated_at(&self) -> Option<Timestamp> {
        *self.rotated_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use ports::TurnGrant;

    use super::*;

    struct Own(bool);

    impl TurnCredentials for Own {
        fn mint(&self, leg: LegId) -> Option<TurnGrant> {
            self.0.then(|| TurnGrant {
                urls: vec!["turn:own.test:3478?transport=udp".to_owned()],
                username: format!("1700000120:{:032x}:0", leg.0),
                credential: "minted".to_owned(),
                expires_in_s: 120,
            })
        }
    }

    struct Foreign;

    impl ExternalTurn for Foreign {
        fn servers(&self) -> Vec<IceServer> {
            vec![server("turn:foreign.test:3478", Some("theirs"))]
        }
    }

    fn server(url: &str, credential: Option<&str>) -> IceServer {
        IceServer {
            urls: vec![url.to_owned()],
            username: credential.map(|_| "user".to_owned()),
            credential: credential.map(str::to_owned),
        }
    }

    fn config(relay_is_on: bool) -> IceConfig {
        IceConfig {
            servers: vec![server("stun:own.test:3478", None)],
            external: Some(Arc::new(Foreign)),
            turn: Some(Arc::new(Own(relay_is_on))),
            ..IceConfig::default()
        }
    }

    fn urls(servers: &[IceServer]) -> Vec<&str> {
        servers
            .iter()
            .flat_map(|server| server.urls.iter().map(String::as_str))
            .collect()
    }

    #[test]
    fn our_own_relay_is_told_to_a_leg_alone_and_before_a_foreign_one() {
        let ice = config(true);
        assert_eq!(
            urls(&ice.common()),
            ["stun:own.test:3478", "turn:foreign.test:3478"],
            "who only waits has no leg"
        );
        let told = ice.of_leg(LegId(7));
        assert_eq!(
            urls(&told),
            [
                "stun:own.test:3478",
                "turn:own.test:3478?transport=udp",
                "turn:foreign.test:3478"
            ]
        );
        assert_eq!(
            told[1].username.as_deref(),
            Some("1700000120:00000000000000000000000000000007:0")
        );
        assert_ne!(told[1].username, ice.of_leg(LegId(8))[1].username);
    }

    #[test]
    fn a_relay_that_is_off_or_drains_is_not_told() {
        assert_eq!(
            urls(&config(false).of_leg(LegId(7))),
            ["stun:own.test:3478", "turn:foreign.test:3478"]
        );
        assert!(IceConfig::default().of_leg(LegId(7)).is_empty());
    }
}
