//! Offers, the waiting line and wrap-up: what an agent does.

use axum::{Json, extract::State, http::StatusCode};
use call_model::{CallId, OfferId};
use wire::{
    call::QueueSnapshot,
    offer::{Offer, OfferAccepted, OfferReject, WrapUp},
    problem::Problem,
};

use super::Reply;
use crate::{
    App,
    body::{Id, Optional},
    caller::Who,
    problem::Failure,
};

/// The agent's pending offers, for clients that poll.
#[utoipa::path(get, path = "/api/support/offers", tag = "agent",
    responses((status = 200, body = Vec<Offer>),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn list(State(app): State<App>, Who(caller): Who) -> Reply<Vec<Offer>> {
    Ok(Json(app.desk().offers(&caller).await?))
}

/// Takes the call.
#[utoipa::path(post, path = "/api/support/offers/{id}/accept", tag = "agent", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = OfferAccepted),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn accept(State(app): State<App>, Who(caller): Who, Id(id): Id) -> Reply<OfferAccepted> {
    Ok(Json(app.desk().accept_offer(&caller, OfferId(id.as_u128())).await?))
}

/// Gives the call back to the queue.
#[utoipa::path(post, path = "/api/support/offers/{id}/reject", tag = "agent", params(("id" = uuid::Uuid, Path)),
    request_body = Option<OfferReject>,
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn reject(
    State(app): State<App>,
    Who(caller): Who,
    Id(id): Id,
    Optional(body): Optional<OfferReject>,
) -> Result<StatusCode, Failure> {
    app.desk()
        .reject_offer(&caller, OfferId(id.as_u128()), body.reason)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends the wrap-up of a call: the agent is free.
#[utoipa::path(post, path = "/api/support/call/{id}/wrapup/end", tag = "agent", params(("id" = uuid::Uuid, Path)),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn end_wrap_up(State(app): State<App>, Who(caller): Who, Id(id): Id) -> Result<StatusCode, Failure> {
    app.desk().end_wrap_up(&caller, CallId(id.as_u128())).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Asks for more time to wrap up.
#[utoipa::path(post, path = "/api/support/call/{id}/wrapup/extend", tag = "agent", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = WrapUp),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn extend_wrap_up(State(app): State<App>, Who(caller): Who, Id(id): Id) -> Reply<WrapUp> {
    Ok(Json(app.desk().extend_wrap_up(&caller, CallId(id.as_u128())).await?))
}

/// Who waits, and who could answer.
#[utoipa::path(get, path = "/api/support/queue/calls", tag = "agent",
    responses((status = 200, body = QueueSnapshot),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn queue(State(app): State<App>, Who(caller): Who) -> Reply<QueueSnapshot> {
    Ok(Json(app.desk().queue_calls(&caller).await?))
}
