//! The HTTP side of the endpoint: the upgrade at `/` and `/ws`, and the state that all sessions share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::{
    Router,
    extract::{State, ws::WebSocketUpgrade},
    http::request::Parts,
    response::Response,
    routing::get,
};
use desk::Desk;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use crate::{
    Options, door::Door, hub, limits::FRAME_BYTES_MAX, metrics::Metrics, registry::Sessions, session, silent::Silent,
    socket,
};

/// What all sessions share.
pub(crate) struct Shared {
    pub(crate) desk: Desk,
    pub(crate) metrics: Metrics,
    /// Sockets whose first message has not come yet.
    pub(crate) silent: Silent,
    pub(crate) closing: CancellationToken,
    options: Options,
    sessions: Mutex<Sessions>,
}

/// The shared state, cheap to clone.
pub(crate) type Endpoint = Arc<Shared>;

impl Shared {
    /// The sessions; nothing is awaited while they are held.
    pub(crate) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        // Every change of the registry is a whole one, also when its caller falls afterwards.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The endpoint as a router for `/` and `/ws`; its feed runs until `closing`, which also ends every socket.
///
/// # Errors
/// When a metric of this name is there already.
pub fn router(
    desk: Desk,
    options: Options,
    registry: &Registry,
    closing: CancellationToken,
) -> Result<Router, prometheus::Error> {
    let endpoint = Arc::new(Shared {
        metrics: Metrics::new(registry)?,
        silent: Silent::default(),
        closing,
        options,
        sessions: Mutex::default(),
        desk,
    });
    // Before the first session, or an event between its snapshot and the feed would be lost.
    let mut first = Some(endpoint.desk.subscribe());
    let held = Arc::clone(&endpoint);
    tokio::spawn(hub::keep(endpoint.closing.clone(), move |again| {
        let feed = first.take().unwrap_or_else(|| held.desk.subscribe());
        if again {
            // Whatever was told between the fall and this subscription.
            held.sessions().all_missed();
        }
        hub::run(Arc::clone(&held), feed)
    }));
    Ok(Router::new()
        .route("/", get(upgrade))
        .route("/ws", get(upgrade))
        .with_state(endpoint))
}

async fn upgrade(State(endpoint): State<Endpoint>, parts: Parts, upgrade: WebSocketUpgrade) -> Response {
    let door = Door::of(&parts, &endpoint.options);
    upgrade
        .max_message_size(FRAME_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
        .on_upgrade(move |socket| async move {
            let (sink, stream) = socket::split(socket);
            session::run(endpoint, door, sink, stream).await;
        })
}
