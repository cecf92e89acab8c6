//! REST, OpenAPI, problems, static pages, metrics.
//!
//! Never decides anything about the business and never speaks SQL: a handler extracts, asks the desk, converts. The one
//! file that knows HTTP statuses of refusals is `problem.rs`. The WebSocket endpoint is handed in as a router, because
//! its part and this one do not know each other.
#![forbid(unsafe_code)]

mod body;
mod caller;
mod cookies;
mod files;
mod headers;
mod if_match;
mod limits;
mod metrics;
mod openapi;
mod problem;
mod range;
mod routes;
mod visitor;

use std::path::PathBuf;
use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::header,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use desk::{Desk, auth::ClientAddress, limits::TooMany};
use governor::clock::DefaultClock;
use tower::ServiceExt as _;

pub use body::JSON_BYTES_MAX;
pub use cookies::CookieRules;
pub use limits::{JOININGS_PER_MINUTE, PREFLIGHTS_PER_MINUTE, STAFF_REQUESTS_PER_MINUTE};
pub use metrics::metrics_router;
pub use openapi::document;
pub use visitor::Cidr;

use files::Ui;
use headers::Policies;
use limits::Limits;

/// What the configuration says to this part.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--demo`: a visitor from this machine needs no token, and `/demo` is there.
    pub demo: bool,
    /// True when the public face is https.
    pub https: bool,
    /// Origins of all nodes, for the content policy.
    pub origins: Vec<String>,
    /// Other origins whose pages may call the API.
    pub allowed_origins: Vec<String>,
    /// Proxies whose forwarding headers count.
    pub trusted_proxies: Vec<Cidr>,
    /// Shape of the cookies.
    pub cookies: CookieRules,
    /// A folder whose files come before the built-in pages.
    pub ui_dir: Option<PathBuf>,
}

/// Why the part cannot start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartFault {
    /// One of [`Options::origins`] cannot stand in a header.
    #[error("an origin of the configuration is not of the form https://host[:port]")]
    Origin,
}

/// The part's state, shared by all handlers.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    desk: Desk,
    options: Options,
    limits: Limits<DefaultClock>,
    ui: Ui,
    policies: Policies,
}

impl App {
    /// Puts the part together.
    ///
    /// # Errors
    /// [`StartFault`].
    pub fn new(desk: Desk, options: Options) -> Result<Self, StartFault> {
        Ok(Self(Arc::new(Inner {
            desk,
            limits: Limits::new(DefaultClock::default()),
            ui: Ui::new(options.ui_dir.clone(), options.demo),
            policies: Policies::new(&options.origins, options.https).ok_or(StartFault::Origin)?,
            options,
        })))
    }

    fn desk(&self) -> &Desk {
        &self.0.desk
    }

    fn options(&self) -> &Options {
        &self.0.options
    }

    fn limits(&self) -> &Limits<DefaultClock> {
        &self.0.limits
    }

    fn policies(&self) -> &Policies {
        &self.0.policies
    }
}

/// The whole public face: API, health, pages, and `signaling` for WebSocket upgrades at `/` and `/ws`.
pub fn router(app: App, signaling: Router) -> Router {
    let (api, _) = openapi::described().split_for_parts();
    api.fallback(page)
        .layer(DefaultBodyLimit::max(JSON_BYTES_MAX))
        .layer(middleware::from_fn_with_state((app.clone(), signaling), upgrade))
        .layer(middleware::from_fn_with_state(app.clone(), headers::dress))
        .layer(middleware::from_fn(problem::finish))
        .with_state(app)
}

/// Anything that is no route of the API.
async fn page(State(app): State<App>, request: Request) -> Response {
    let path = request.uri().path();
    if path.starts_with("/api/") || path.starts_with("/health/") {
        return problem::Failure::not_found().into_response();
    }
    app.0.ui.answer(request.method(), path, request.headers()).await
}

/// Hands WebSocket upgrades to the part that speaks them.
async fn upgrade(State((app, signaling)): State<(App, Router)>, request: Request, next: Next) -> Response {
    let to = request.headers().get(header::UPGRADE);
    let wants = to.is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if !wants || !matches!(request.uri().path(), "/" | "/ws") {
        return next.run(request).await;
    }
    match admit(&app, request) {
        // A router cannot fail; it answers.
        Ok(request) => signaling.oneshot(request).await.into_response(),
        Err(wait) => problem::Failure::rate_limited(wait.0).into_response(),
    }
}

/// The WebSocket endpoint by itself, for a port of its own: an address has no more handshakes by two doors than by one.
pub fn sockets(app: App, signaling: Router) -> Router {
    signaling
        .layer(middleware::from_fn_with_state(app, knock))
        .layer(middleware::from_fn(problem::finish))
}

/// Whatever comes to a port where nothing but handshakes is served.
async fn knock(State(app): State<App>, request: Request, next: Next) -> Response {
    match admit(&app, request) {
        Ok(request) => next.run(request).await,
        Err(wait) => problem::Failure::rate_limited(wait.0).into_response(),
    }
}

/// Takes one handshake of its address, and notes that address for the part that speaks WebSocket, which knows no proxies.
fn admit(app: &App, request: Request) -> Result<Request, TooMany> {
    let (mut parts, body) = request.into_parts();
    let address = caller::address_of(&parts, app);
    // The load generator of a demo opens thousands from this machine.
    let unlimited = app.options().demo && caller::is_visitor(&parts);
    if !unlimited {
        app.limits().handshake(address)?;
    }
    parts.extensions.insert(ClientAddress(address));
    Ok(Request::from_parts(parts, body))
}
