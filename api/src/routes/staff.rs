//! Staff: oneself, and the list that admins keep.

use axum::{Json, extract::State, http::StatusCode};
use call_model::StaffId;
use wire::{
    problem::Problem,
    staff::{Me, PresenceSet, Staff, StaffAvailable, StaffCreate, StaffList, StaffSession, StaffUpdate},
};

use super::{IdempotencyParam, Reply};
use crate::{
    App,
    body::{Id, Payload},
    caller::{Key, Who},
    problem::Failure,
};

/// The signed-in member of staff.
#[utoipa::path(get, path = "/api/support/staff/me", tag = "staff",
    responses((status = 200, body = Me),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn me(State(app): State<App>, Who(caller): Who) -> Reply<Me> {
    Ok(Json(app.desk().me(&caller).await?))
}

/// Colleagues whom one may consult: those who are online, and whether they are free.
#[utoipa::path(get, path = "/api/support/staff/available", tag = "agent",
    responses((status = 200, body = StaffAvailable),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn available(State(app): State<App>, Who(caller): Who) -> Reply<StaffAvailable> {
    Ok(Json(app.desk().staff_available(&caller).await?))
}

/// Chooses one's presence.
#[utoipa::path(put, path = "/api/support/staff/me/status", tag = "staff", request_body = PresenceSet,
    responses((status = 200, body = Me),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn set_status(
    State(app): State<App>,
    Who(caller): Who,
    Payload(body): Payload<PresenceSet>,
) -> Reply<Me> {
    Ok(Json(app.desk().set_presence(&caller, body).await?))
}

/// Everybody the caller's role sees.
#[utoipa::path(get, path = "/api/support/staff", tag = "staff",
    responses((status = 200, body = StaffList),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn list(State(app): State<App>, Who(caller): Who) -> Reply<StaffList> {
    Ok(Json(app.desk().staff_list(&caller).await?))
}

/// Adds a member of staff.
#[utoipa::path(post, path = "/api/support/staff", tag = "staff", request_body = StaffCreate,
    params(IdempotencyParam),
    responses((status = 201, body = Staff),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn create(
    State(app): State<App>,
    Who(caller): Who,
    Key(key): Key,
    Payload(body): Payload<StaffCreate>,
) -> Result<(StatusCode, Json<Staff>), Failure> {
    let made = app.desk().staff_create_once(&caller, body, key).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Changes a member of staff; absent fields stay.
#[utoipa::path(patch, path = "/api/support/staff/{id}", tag = "staff", params(("id" = uuid::Uuid, Path)),
    request_body = StaffUpdate,
    responses((status = 200, body = Staff),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn update(
    State(app): State<App>,
    Who(caller): Who,
    Id(id): Id,
    Payload(body): Payload<StaffUpdate>,
) -> Reply<Staff> {
    Ok(Json(
        app.desk().staff_update(&caller, StaffId(id.as_u128()), body).await?,
    ))
}

/// A session without a password; service keys only.
#[utoipa::path(post, path = "/api/support/staff/{id}/sessions", tag = "staff",
    params(("id" = uuid::Uuid, Path), IdempotencyParam),
    responses((status = 201, body = StaffSession),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn session(
    State(app): State<App>,
    Who(caller): Who,
    Key(key): Key,
    Id(id): Id,
) -> Result<(StatusCode, Json<StaffSession>), Failure> {
    let session = app
        .desk()
        .staff_session_once(&caller, StaffId(id.as_u128()), key)
        .await?;
    Ok((StatusCode::CREATED, Json(session)))
}
