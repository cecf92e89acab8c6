//! A call from the customer's side, and what both sides may do to it.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use call_model::CallId;
use desk::{Caller, Created};
use wire::{
    call::{
        CallStart, CallStarted, CallView, ConsultStart, ConsultStep, HangUp, Hold, Mute, Shield, Supervise,
        SuperviseEnd,
    },
    leg::{LegGrant, LegRequest},
    problem::Problem,
};

use super::{IdempotencyParam, Reply};
use crate::{
    App,
    body::{Id, Optional, Payload},
    caller::{CustomerFirst, Key, Starter, Who},
    cookies::Jar,
    problem::Failure,
};

/// Starts a call, or answers with the one that is already live.
#[utoipa::path(post, path = "/api/support/call/start", tag = "call", request_body = CallStart, params(IdempotencyParam),
    responses((status = 201, body = CallStarted), (status = 200, body = CallStarted),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn start(
    State(app): State<App>,
    Starter(caller): Starter,
    Key(key): Key,
    Payload(body): Payload<CallStart>,
) -> Result<Response, Failure> {
    // A back end that calls for its customer keeps no cookies for him.
    let wants_cookie = !matches!(caller, Caller::Service { .. });
    let user = call_model::UserId::new(body.user_id.clone());
    let (created, started) = app.desk().request_call(&caller, body, key).await?;
    let status = match created {
        Created::New => StatusCode::CREATED,
        Created::Existing => StatusCode::OK,
    };
    let mut response = (status, Json(&started)).into_response();
    if let (true, Some(user)) = (wants_cookie, user) {
        let pass = app
            .desk()
            .auth()
            .issue_pass(user, CallId(started.call_id.as_u128()), started.server_time.0);
        let seconds = desk::auth::tickets::PASS_LIFE.0 / 1_000_000;
        if let Some((name, value)) = app.options().cookies.set(Jar::Call, pass.expose(), seconds) {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}

/// One call, as its customer or its agent sees it.
#[utoipa::path(get, path = "/api/support/call/{id}", tag = "call", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = CallView),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn view(State(app): State<App>, Who(caller): Who, Id(id): Id) -> Reply<CallView> {
    Ok(Json(app.desk().call(&caller, CallId(id.as_u128())).await?))
}

/// Ends a call; twice is once.
#[utoipa::path(post, path = "/api/support/call/{id}/hangup", tag = "call", params(("id" = uuid::Uuid, Path)),
    request_body = Option<HangUp>,
    responses((status = 200, body = CallView),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn hang_up(
    State(app): State<App>,
    CustomerFirst(caller): CustomerFirst,
    Id(id): Id,
    Optional(body): Optional<HangUp>,
) -> Reply<CallView> {
    Ok(Json(
        app.desk().hang_up(&caller, CallId(id.as_u128()), body.reason).await?,
    ))
}

/// Puts the customer on hold: he hears music and nobody hears him. Twice is once.
#[utoipa::path(post, path = "/api/support/call/{id}/hold", tag = "agent", params(("id" = uuid::Uuid, Path)),
    request_body = Option<Hold>,
    responses((status = 200, body = CallView),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn hold(
    State(app): State<App>,
    Who(caller): Who,
    Id(id): Id,
    Optional(body): Optional<Hold>,
) -> Reply<CallView> {
    Ok(Json(app.desk().hold(&caller, CallId(id.as_u128()), body.reason).await?))
}

/// Takes the customer back from hold; twice is once.
#[utoipa::path(post, path = "/api/support/call/{id}/resume", tag = "agent", params(("id" = uuid::Uuid, Path)),
    request_body = Option<Hold>,
    responses((status = 200, body = CallView),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn resume(
    State(app): State<App>,
    Who(caller): Who,
    Id(id): Id,
    Optional(body): Optional<Hold>,
) -> Reply<CallView> {
    Ok(Json(
        app.desk().resume(&caller, CallId(id.as_u128()), body.reason).await?,
    ))
}

/// Mutes a party at the server: nobody hears him, and he is not recorded. Twice is once. A customer mutes himself only.
#[utoipa::path(post, path = "/api/support/call/{id}/mute", tag = "agent", params(("id" = uuid::Uuid, Path)),
    request_body = Mute,
    responses((status = 200, body = CallView),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn mute(
    State(app): State<App>,
    Who(caller): Who,
    Id(id): Id,
    Payload(body): Payload<Mute>,
) -> Reply<CallView> {
    Ok(Json(app.desk().mute(&caller, CallId(id.as_u128()), body).await?))
}

/// Lets a muted party be heard again; twice is once. Who has muted himself does so himself; a mute by somebody else is
/// taken back by him or by somebody with no less right: 403 for all others, the muted party included.
#[utoipa::path(post, path = "/api/support/call/{id}/unmute", tag = "agent", params(("id" = uuid::Uuid, Path)),
    request_body = Mute,
    responses((status = 200, body = CallView),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn unmute(
    State(app): State<App>,
    Who(caller): Who,
    Id(id): Id,
    Payload(body): Payload<Mute>,
) -> Reply<CallView> {
    Ok(Json(app.desk().unmute(&caller, CallId(id.as_u128()), body).await?))
}

/// Keeps the keys that are pressed (telephone events) from everybody in the call, while the voice goes on. Twice is once.
#[utoipa::path(post, path = "/api/support/call/{id}/shield", tag = "agent", params(("id" = uuid::Uuid, Path)),
    request_body = Option<Shield>,
    responses((status = 200, body = CallView),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn shield(
    State(app): State<App>,
    Who(caller): Who,
    Id(id): Id,
    Optional(body): Optional<Shield>,
) -> Reply<CallView> {
    Ok(Json(app.desk().shield(&caller, CallId(id.as_u128()), body).await?))
}

/// Lets pressed keys go where the voice goes again, unless the house shields every call. Twice is once.
#[utoipa::path(post, path = "/api/support/call/{id}/unshield", tag = "agent", params(("id" = uuid::Uuid, Path)),
    request_body = Option<Shield>,
    responses((status = 200, body = CallView),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn unshield(
    State(app): State<App>,
    Who(caller): Who,
    Id(id): Id,
    Optional(body): Optional<Shield>,
) -> Reply<CallView> {
    Ok(Json(app.desk().unshield(&caller, CallId(id.as_u128()), body).await?))
}

/// Asks a colleague for help; the customer hears music meanwhile. Twice is once.
#[utoipa::path(post, path = "/api/support/call/{id}/consult", tag = "agent", params(("id" = uuid::Uuid, Path)),
    request_body = ConsultStart,
    responses((status = 202, body = CallView),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn consult(
    State(app): State<App>,
    Who(caller): Who,
    Id(id): Id,
    Payload(body): Payload<ConsultStart>,
) -> Result<(StatusCode, Json<CallView>), Failure> {
    let call = app.desk().consult(&caller, CallId(id.as_u128()), body).await?;
    Ok((StatusCode::ACCEPTED, Json(call)))
}

/// The consulted colleague gets the call, and the agent writes up. In a conference that is how the agent leaves.
#[utoipa::path(post, path = "/api/support/call/{id}/consult/complete", tag = "agent",
    params(("id" = uuid::Uuid, Path)), request_body = Option<ConsultStep>,
    responses((status = 200, body = CallView),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn consult_complete(
    State(app): State<App>,
    Who(caller): Who,
    Id(id): Id,
    Optional(body): Optional<ConsultStep>,
) -> Reply<CallView> {
    let call = CallId(id.as_u128());
    Ok(Json(app.desk().consult_complete(&caller, call, body).await?))
}

/// Customer, agent and colleague speak with one another.
#[utoipa::path(post, path = "/api/support/call/{id}/consult/merge", tag = "agent",
    params(("id" = uuid::Uuid, Path)), request_body = Option<ConsultStep>,
    responses((status = 200, body = CallView),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn consult_merge(
    State(app): State<App>,
    Who(caller): Who,
    Id(id): Id,
    Optional(body): Optional<ConsultStep>,
) -> Reply<CallView> {
    let call = CallId(id.as_u128());
    Ok(Json(app.desk().consult_merge(&caller, call, body).await?))
}

/// The agent goes back to the customer without the colleague, also while he is only asked.
#[utoipa::path(post, path = "/api/support/call/{id}/consult/cancel", tag = "agent",
    params(("id" = uuid::Uuid, Path)), request_body = Option<ConsultStep>,
    responses((status = 200, body = CallView),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn consult_cancel(
    State(app): State<App>,
    Who(caller): Who,
    Id(id): Id,
    Optional(body): Optional<ConsultStep>,
) -> Reply<CallView> {
    let call = CallId(id.as_u128());
    Ok(Json(app.desk().consult_cancel(&caller, call, body).await?))
}

/// Listens to a call, speaks to its agent alone, joins, or takes it over: the right to attach the supervisor's leg, or
/// that of the call's new agent. Asked again with another mode, it goes on in that.
#[utoipa::path(post, path = "/api/support/call/{id}/supervise", tag = "agent", params(("id" = uuid::Uuid, Path)),
    request_body = Supervise,
    responses((status = 201, body = LegGrant),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn supervise(
    State(app): State<App>,
    Who(caller): Who,
    Id(id): Id,
    Payload(body): Payload<Supervise>,
) -> Result<(StatusCode, Json<LegGrant>), Failure> {
    let grant = app.desk().supervise(&caller, CallId(id.as_u128()), body).await?;
    Ok((StatusCode::CREATED, Json(grant)))
}

/// Ends one's own supervision; twice is once.
#[utoipa::path(delete, path = "/api/support/call/{id}/supervise", tag = "agent", params(("id" = uuid::Uuid, Path)),
    request_body = Option<SuperviseEnd>,
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn end_supervision(
    State(app): State<App>,
    Who(caller): Who,
    Id(id): Id,
    Optional(body): Optional<SuperviseEnd>,
) -> Result<StatusCode, Failure> {
    app.desk().end_supervision(&caller, CallId(id.as_u128()), body).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The right to attach one's own leg. Only a service key names a part.
#[utoipa::path(post, path = "/api/support/call/{id}/leg", tag = "call", params(("id" = uuid::Uuid, Path)),
    request_body = Option<LegRequest>,
    responses((status = 201, body = LegGrant),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn leg(
    State(app): State<App>,
    CustomerFirst(caller): CustomerFirst,
    Id(id): Id,
    Optional(body): Optional<LegRequest>,
) -> Result<(StatusCode, Json<LegGrant>), Failure> {
    let part = body.part.map(part_of);
    let grant = app.desk().grant_leg(&caller, CallId(id.as_u128()), part).await?;
    Ok((StatusCode::CREATED, Json(grant)))
}

/// The part as media knows it.
const fn part_of(part: wire::leg::Part) -> ports::Part {
    match part {
        wire::leg::Part::Customer => ports::Part::Customer,
        wire::leg::Part::Agent => ports::Part::Agent,
        wire::leg::Part::Partner => ports::Part::Partner,
        wire::leg::Part::Supervisor => ports::Part::Supervisor,
        wire::leg::Part::Preflight => ports::Part::Preflight,
    }
}
