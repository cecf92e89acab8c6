//! Testing a line before a call: an echo, the reports of it, links for visitors.

use axum::{
    Json,
    extract::{FromRequest as _, Request, State},
    http::StatusCode,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use call_model::StaffId;
use desk::{Caller, Code, PREFLIGHTS_PER_PAGE_MAX, Refused, Tester, auth::token::sha256};
use serde::Deserialize;
use utoipa::IntoParams;
use wire::preflight::{
    PreflightLink, PreflightLinkRequest, PreflightPage, PreflightReport, PreflightStart, PreflightStarted,
};
use wire::problem::Problem;

use super::Reply;
use super::rtc::{Grant, counted, limited};
use crate::{
    App,
    body::{Id, Optional, Payload, Query},
    caller::{Anyone, From, Who},
    problem::Failure,
};

/// Begins a line test. Staff and customers show what they always show; a visitor shows the token of his link. The
/// echo is attached by `POST /api/rtc` under the grant; it ends by itself after 30 seconds.
#[utoipa::path(post, path = "/api/support/preflight", tag = "preflight", request_body = Option<PreflightStart>,
    responses((status = 201, body = PreflightStarted),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn begin(
    State(app): State<App>,
    from: From,
    Anyone(caller): Anyone,
    Optional(body): Optional<PreflightStart>,
) -> Result<(StatusCode, Json<PreflightStarted>), Failure> {
    let tester = match (body.link, caller) {
        (Some(link), _) => Tester::Link(link),
        (None, Some(caller)) => Tester::Known(caller),
        (None, None) => return Err(counted(&app, &from, Failure::unauthenticated())),
    };
    if let Some(name) = name_of(&tester) {
        let taken = app.limits().preflight(&name, from.address);
        taken.map_err(|wait| Failure::rate_limited(wait.0))?;
    }
    let started = app.desk().preflight(tester).await;
    let started = started.map_err(|refused| counted(&app, &from, refused.into()))?;
    Ok((StatusCode::CREATED, Json(started)))
}

/// Who is counted; a service and the visitor of a demo are not.
fn name_of(tester: &Tester) -> Option<String> {
    match tester {
        Tester::Link(token) => Some(URL_SAFE_NO_PAD.encode(sha256(token.as_bytes()))),
        Tester::Known(Caller::Staff { staff: StaffId(id), .. }) => Some(format!("staff {id:x}")),
        Tester::Known(Caller::Customer { user_id, .. }) => Some(format!("customer {}", user_id.as_str())),
        Tester::Known(Caller::Service { .. } | Caller::Demo) => None,
    }
}

/// Sends what the browser found to support, under the test's own grant; again within an hour, the last one counts.
#[utoipa::path(post, path = "/api/support/preflight/{id}/report", tag = "preflight", params(("id" = uuid::Uuid, Path)),
    request_body = PreflightReport,
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn report(
    State(app): State<App>,
    from: From,
    Id(id): Id,
    request: Request,
) -> Result<StatusCode, Failure> {
    let kept = async {
        let (parts, body) = request.into_parts();
        let grant = Grant::of(&parts)?;
        limited(&app, &grant)?;
        let Payload(body) = Payload::from_request(Request::from_parts(parts, body), &app).await?;
        let kept = app.desk().preflight_report(id, *grant.0.expose(), body).await;
        kept.map_err(|refused| match refused.code {
            // Whether the test is unknown or another's is not said.
            Code::NotFound => Failure::from(Refused::new(Code::UnknownGrant)),
            _ => Failure::from(refused),
        })?;
        Ok(StatusCode::NO_CONTENT)
    };
    kept.await.map_err(|failure: Failure| counted(&app, &from, failure))
}

/// What narrows the list.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(crate) struct Wanted {
    /// The code that a visitor reads out.
    code: Option<String>,
    /// `next` of the page before.
    before: Option<String>,
    /// Rows, 100 at most.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// Line tests, newest first: one's own and those of one's links; all of them for team leads and above.
#[utoipa::path(get, path = "/api/support/preflight", tag = "preflight", params(Wanted),
    responses((status = 200, body = PreflightPage),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn list(
    State(app): State<App>,
    Who(caller): Who,
    Query(wanted): Query<Wanted>,
) -> Reply<PreflightPage> {
    let limit = wanted.limit.unwrap_or(PREFLIGHTS_PER_PAGE_MAX);
    if !(1..=PREFLIGHTS_PER_PAGE_MAX).contains(&limit) {
        return Err(Failure::field("limit", "must be 1 to 100"));
    }
    let page = app
        .desk()
        .preflights(&caller, wanted.code, wanted.before, limit)
        .await?;
    Ok(Json(page))
}

/// A link with which a visitor without an account tests his line: five tests within a day. Made by staff; a service key
/// is refused (403), for it can begin tests itself.
#[utoipa::path(post, path = "/api/support/preflight/link", tag = "preflight", request_body = Option<PreflightLinkRequest>,
    responses((status = 201, body = PreflightLink),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn link(
    State(app): State<App>,
    Who(caller): Who,
    Optional(body): Optional<PreflightLinkRequest>,
) -> Result<(StatusCode, Json<PreflightLink>), Failure> {
    let link = app.desk().preflight_link(&caller, body.note).await?;
    Ok((StatusCode::CREATED, Json(link)))
}
