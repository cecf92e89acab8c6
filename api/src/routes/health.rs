//! Is the process alive, may it get new calls, has it started.

use axum::{Extension, Json, extract::State, http::StatusCode};
use serde::Serialize;

use crate::{App, problem::AsItIs};

/// One word, and what it is made of.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Health {
    /// `ok` or `unavailable`.
    status: &'static str,
    /// The database answered a moment ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<bool>,
    /// Media takes new rooms.
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<bool>,
    /// The node is being emptied.
    #[serde(skip_serializing_if = "Option::is_none")]
    draining: Option<bool>,
}

const ALIVE: Health = Health {
    status: "ok",
    database: None,
    media: None,
    draining: None,
};

/// A thread of media or of the relay stands still.
const DEAD: Health = Health {
    status: "unavailable",
    database: None,
    media: Some(false),
    draining: None,
};

/// The process answers and its media threads work. Never asks the database: restarting does not mend it.
#[utoipa::path(get, path = "/health/live", tag = "health",
    responses((status = 200, body = Health), (status = 503, body = Health)))]
pub(crate) async fn live(State(app): State<App>) -> (StatusCode, Extension<AsItIs>, Json<Health>) {
    let (status, health) = if app.desk().media().alive() {
        (StatusCode::OK, ALIVE)
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, DEAD)
    };
    (status, Extension(AsItIs), Json(health))
}

/// New calls may come here. Not ready means no new calls; live ones go on.
#[utoipa::path(get, path = "/health/ready", tag = "health",
    responses((status = 200, body = Health), (status = 503, body = Health)))]
pub(crate) async fn ready(State(app): State<App>) -> (StatusCode, Extension<AsItIs>, Json<Health>) {
    let readiness = app.desk().ready().await;
    let load = app.desk().media().load();
    let media = load.capacity_legs > load.legs && !load.full;
    let draining = readiness.draining || load.draining;
    let ok = readiness.database && media && !draining;
    let health = Health {
        status: if ok { "ok" } else { "unavailable" },
        database: Some(readiness.database),
        media: Some(media),
        draining: Some(draining),
    };
    (
        if ok {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        },
        // A probe reads what is amiss.
        Extension(AsItIs),
        Json(health),
    )
}

/// Everything has been started: this listener opens last.
#[utoipa::path(get, path = "/health/startup", tag = "health", responses((status = 200, body = Health)))]
pub(crate) async fn startup() -> Json<Health> {
    Json(ALIVE)
}
