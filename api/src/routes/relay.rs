//! The TURN relay of this node: what is allocated, ending one, taking no new ones, a new secret.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use wire::{
    problem::Problem,
    relay::{RelayChange, RelayState},
};

use super::Reply;
use crate::{App, body::Optional, caller::Who, problem::Failure};

/// What is allocated now; no client's address is in it.
#[utoipa::path(get, path = "/api/support/relay", tag = "relay",
    responses((status = 200, body = RelayState),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn state(State(app): State<App>, Who(caller): Who) -> Reply<RelayState> {
    Ok(Json(app.desk().relay(&caller).await?))
}

/// Ends one allocation. Its client may make another as long as its leg lives.
#[utoipa::path(delete, path = "/api/support/relay/allocations/{id}", tag = "relay",
    params(("id" = String, Path, description = "`id` of an allocation")), request_body = Option<RelayChange>,
    responses((status = 204),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn kill(
    State(app): State<App>,
    Who(caller): Who,
    Path(id): Path<String>,
    Optional(body): Optional<RelayChange>,
) -> Result<StatusCode, Failure> {
    app.desk().relay_kill(&caller, id, body.reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes no new allocation any more; what runs goes on. Twice is once.
#[utoipa::path(post, path = "/api/support/relay/drain", tag = "relay", request_body = Option<RelayChange>,
    responses((status = 200, body = RelayState),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn drain(
    State(app): State<App>,
    Who(caller): Who,
    Optional(body): Optional<RelayChange>,
) -> Reply<RelayState> {
    Ok(Json(app.desk().relay_drain(&caller, true, body.reason).await?))
}

/// Takes new allocations again; twice is once.
#[utoipa::path(delete, path = "/api/support/relay/drain", tag = "relay", request_body = Option<RelayChange>,
    responses((status = 200, body = RelayState),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn serve(
    State(app): State<App>,
    Who(caller): Who,
    Optional(body): Optional<RelayChange>,
) -> Reply<RelayState> {
    Ok(Json(app.desk().relay_drain(&caller, false, body.reason).await?))
}

/// Makes new credentials with a new secret. Those made with the one before count on until they run out; as long as they do,
/// another new one is refused with 409 `too_soon`.
#[utoipa::path(post, path = "/api/support/relay/rotate", tag = "relay", request_body = Option<RelayChange>,
    responses((status = 200, body = RelayState),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn rotate(
    State(app): State<App>,
    Who(caller): Who,
    Optional(body): Optional<RelayChange>,
) -> Reply<RelayState> {
    Ok(Json(app.desk().relay_rotate(&caller, body.reason).await?))
}
