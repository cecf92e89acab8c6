//! What admins set.

use axum::{
    Json,
    extract::{FromRequestParts, State},
    http::request::Parts,
};
use desk::Known;
use wire::{
    problem::Problem,
    settings::{MailSettings, QualityThresholds, Settings, SupervisionSettings},
};

use super::Reply;
use crate::{App, body::Payload, caller::Who, if_match::IfMatch, problem::Failure};

/// Which version of a group its sender has seen; a change without it is refused, for it may undo somebody else's.
pub(crate) struct Seen(Known);

impl FromRequestParts<App> for Seen {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, Failure> {
        let detail = "Send the version that was read, in quotes, or * to replace whatever is set.";
        Ok(Seen(IfMatch::required(&parts.headers, detail)?.versions()))
    }
}

/// What is set, what holds without, and within which limits each may be set.
#[utoipa::path(get, path = "/api/support/settings", tag = "settings",
    responses((status = 200, body = Settings),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn view(State(app): State<App>, Who(caller): Who) -> Reply<Settings> {
    Ok(Json(app.desk().settings(&caller).await?))
}

/// Sets from where on sound counts as bad. Calls that are under way are judged by it from their next second on, on other
/// nodes within two seconds.
#[utoipa::path(put, path = "/api/support/settings/quality", tag = "settings", request_body = QualityThresholds,
    params(("If-Match" = String, Header, description = "`\"version\"` of `quality` as it was read, or `*`")),
    responses((status = 200, body = Settings),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn quality(
    State(app): State<App>,
    Who(caller): Who,
    Seen(known): Seen,
    Payload(body): Payload<QualityThresholds>,
) -> Reply<Settings> {
    Ok(Json(app.desk().set_quality(&caller, body, known).await?))
}

/// Sets which mails are asked for. This version has no sender: a mail that is due is a line in the log.
#[utoipa::path(put, path = "/api/support/settings/mail", tag = "settings", request_body = MailSettings,
    params(("If-Match" = String, Header, description = "`\"version\"` of `mail` as it was read, or `*`")),
    responses((status = 200, body = Settings),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn mail(
    State(app): State<App>,
    Who(caller): Who,
    Seen(known): Seen,
    Payload(body): Payload<MailSettings>,
) -> Reply<Settings> {
    Ok(Json(app.desk().set_mail(&caller, body, known).await?))
}

/// Sets whether supervisors are announced, and to whom a tone sounds. Calls that are under way follow with the next change
/// in them.
#[utoipa::path(put, path = "/api/support/settings/supervision", tag = "settings", request_body = SupervisionSettings,
    params(("If-Match" = String, Header, description = "`\"version\"` of `supervision` as it was read, or `*`")),
    responses((status = 200, body = Settings),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn supervision(
    State(app): State<App>,
    Who(caller): Who,
    Seen(known): Seen,
    Payload(body): Payload<SupervisionSettings>,
) -> Reply<Settings> {
    Ok(Json(app.desk().set_supervision(&caller, body, known).await?))
}
