//! The node itself: emptying it, and serving again.

use axum::{Json, extract::State};
use wire::{
    node::{DrainStart, DrainState, DrainUndo},
    problem::Problem,
};

use super::Reply;
use crate::{App, body::Optional, caller::Who};

/// How far the emptying of this node is.
#[utoipa::path(get, path = "/api/support/node/drain", tag = "node",
    responses((status = 200, body = DrainState),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn state(State(app): State<App>, Who(caller): Who) -> Reply<DrainState> {
    Ok(Json(app.desk().drain_state(&caller).await?))
}

/// Empties this node: it begins no call any more, those that were accepted go on, and at the deadline what still lives
/// is ended. Again: another deadline.
#[utoipa::path(post, path = "/api/support/node/drain", tag = "node", request_body = Option<DrainStart>,
    responses((status = 200, body = DrainState),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn drain(
    State(app): State<App>,
    Who(caller): Who,
    Optional(body): Optional<DrainStart>,
) -> Reply<DrainState> {
    Ok(Json(app.desk().drain(&caller, body).await?))
}

/// Serves again; twice is once.
#[utoipa::path(delete, path = "/api/support/node/drain", tag = "node", request_body = Option<DrainUndo>,
    responses((status = 200, body = DrainState),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn undo(
    State(app): State<App>,
    Who(caller): Who,
    Optional(body): Optional<DrainUndo>,
) -> Reply<DrainState> {
    Ok(Json(app.desk().undo_drain(&caller, body.reason).await?))
}
