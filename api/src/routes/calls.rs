//! Calls as QA looks at them: the list, and what is known of one.

use axum::{Json, extract::State, http::StatusCode};
use call_model::{CallId, StaffId};
use desk::CallFilter;
use serde::Deserialize;
use uuid::Uuid;
use wire::{
    Time,
    call::{CallEvents, CallPage, CallStatus, LiveCalls},
    problem::Problem,
    quality::{HeardReport, Quality},
    recording::Recordings,
};

use super::Reply;
use crate::{
    App,
    body::{Id, Payload, Query},
    caller::{CustomerFirst, Who},
    problem::Failure,
};

/// Rows of one page when nobody asks for less.
const PAGE: u32 = 50;

/// Most rows of one page.
const PAGE_MAX: u32 = 200;

/// Filters of the list; all that are given must hold.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Filter {
    /// Where the call stands.
    #[serde(default)]
    status: Option<CallStatus>,
    /// The agent who had it.
    #[serde(default)]
    agent: Option<Uuid>,
    /// The queue it waited in.
    #[serde(default)]
    queue: Option<String>,
    /// Made at this time or later.
    #[serde(default)]
    from: Option<Time>,
    /// Made before this time.
    #[serde(default)]
    to: Option<Time>,
    /// Lowest opinion score of either side is at most this.
    #[serde(default)]
    max_mos: Option<f64>,
    /// Part of the customer's name.
    #[serde(default)]
    search: Option<String>,
    /// `next` of the page before.
    #[serde(default)]
    before: Option<String>,
    /// Rows, 200 at most; 50 when absent.
    #[serde(default)]
    limit: Option<u32>,
}

/// Calls, newest first.
#[utoipa::path(get, path = "/api/support/calls", tag = "qa", params(Filter),
    responses((status = 200, body = CallPage),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn list(State(app): State<App>, Who(caller): Who, Query(filter): Query<Filter>) -> Reply<CallPage> {
    let limit = filter.limit.unwrap_or(PAGE);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Failure::field("limit", "must lie between 1 and 200"));
    }
    let filter = CallFilter {
        status: filter.status,
        agent: filter.agent.map(|id| StaffId(id.as_u128())),
        queue: filter.queue,
        from: filter.from.map(|at| at.0),
        to: filter.to.map(|at| at.0),
        max_mos: filter.max_mos,
        search: filter.search,
        before: filter.before,
        limit,
    };
    Ok(Json(app.desk().calls(&caller, filter).await?))
}

/// Calls that are not over, oldest first, with the last second of their sound.
#[utoipa::path(get, path = "/api/support/calls/live", tag = "agent",
    responses((status = 200, body = LiveCalls),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn live(State(app): State<App>, Who(caller): Who) -> Reply<LiveCalls> {
    Ok(Json(app.desk().live_calls(&caller).await?))
}

/// The history of one call.
#[utoipa::path(get, path = "/api/support/call/{id}/events", tag = "qa", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = CallEvents),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn events(State(app): State<App>, Who(caller): Who, Id(id): Id) -> Reply<CallEvents> {
    Ok(Json(app.desk().call_events(&caller, CallId(id.as_u128())).await?))
}

/// The quality of one call, a value per second.
#[utoipa::path(get, path = "/api/support/call/{id}/quality", tag = "qa", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = Quality),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn quality(State(app): State<App>, Who(caller): Who, Id(id): Id) -> Reply<Quality> {
    Ok(Json(app.desk().call_quality(&caller, CallId(id.as_u128())).await?))
}

/// What the caller's client heard by its own statistics; at most one report within five seconds.
#[utoipa::path(post, path = "/api/support/call/{id}/quality", tag = "call", params(("id" = uuid::Uuid, Path)),
    request_body = HeardReport,
    responses((status = 204),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn heard(
    State(app): State<App>,
    CustomerFirst(caller): CustomerFirst,
    Id(id): Id,
    Payload(report): Payload<HeardReport>,
) -> Result<StatusCode, Failure> {
    app.desk().heard(&caller, CallId(id.as_u128()), report).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The recordings of one call.
#[utoipa::path(get, path = "/api/support/call/{id}/recordings", tag = "qa", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = Recordings),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn recordings(State(app): State<App>, Who(caller): Who, Id(id): Id) -> Reply<Recordings> {
    Ok(Json(app.desk().call_recordings(&caller, CallId(id.as_u128())).await?))
}
