//! WHIP (RFC 9725): a client that only speaks joins a call with one POST. See `rtc.rs`, which does the work.

use axum::{
    extract::{Path, Request, State},
    http::{StatusCode, request::Parts},
    response::Response,
};
use wire::problem::Problem;

use super::rtc::{Door, accept_post, attach_at, leave_at, patch_at};
use crate::{App, caller::From, problem::Failure};

/// Publishes one audio track into the leg of the grant; the answer is `recvonly`, and an offer that could be taken in
/// part only (video, a second track) is refused with 406.
#[utoipa::path(post, path = "/api/whip", tag = "media",
    request_body(content = String, content_type = "application/sdp"),
    responses((status = 201, content_type = "application/sdp", body = String),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn publish(State(app): State<App>, from: From, request: Request) -> Result<Response, Failure> {
    attach_at(Door::Whip, &app, &from, request).await
}

/// A fragment under `If-Match`: candidates with the session's tag (204), or an ICE restart with `*` (200, our new pair
/// and a new tag). A refused restart leaves the session as it is.
#[utoipa::path(patch, path = "/api/whip/{resource}", tag = "media", params(("resource" = String, Path)),
    request_body(content = String, content_type = "application/trickle-ice-sdpfrag"),
    responses((status = 204), (status = 200, content_type = "application/trickle-ice-sdpfrag", body = String),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn trickle(
    State(app): State<App>,
    from: From,
    Path(resource): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    patch_at(&app, &from, &resource, request).await
}

/// Ends the session.
#[utoipa::path(delete, path = "/api/whip/{resource}", tag = "media", params(("resource" = String, Path)),
    responses((status = 200), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn leave(
    State(app): State<App>,
    from: From,
    Path(resource): Path<String>,
    parts: Parts,
) -> Result<StatusCode, Failure> {
    leave_at(&app, &from, &resource, &parts)
}

/// What may be posted here.
#[utoipa::path(options, path = "/api/whip", tag = "media", responses((status = 204)))]
pub(crate) async fn options() -> Response {
    accept_post()
}
