//! What admins set.

use axum::{Json, extract::State};
use wire::{
    problem::Problem,
    settings::{MailSettings, QualityThresholds, Settings, SupervisionSettings},
};

use super::Reply;
use crate::{App, body::Payload, caller::Who};

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
    responses((status = 200, body = Settings),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn quality(
    State(app): State<App>,
    Who(caller): Who,
    Payload(body): Payload<QualityThresholds>,
) -> Reply<Settings> {
    Ok(Json(app.desk().set_quality(&caller, body).await?))
}

/// Sets which mails are sent.
#[utoipa::path(put, path = "/api/support/settings/mail", tag = "settings", request_body = MailSettings,
    responses((status = 200, body = Settings),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn mail(
    State(app): State<App>,
    Who(caller): Who,
    Payload(body): Payload<MailSettings>,
) -> Reply<Settings> {
    Ok(Json(app.desk().set_mail(&caller, body).await?))
}

/// Sets whether supervisors are announced, and to whom a tone sounds. Calls that are under way follow with the next change
/// in them.
#[utoipa::path(put, path = "/api/support/settings/supervision", tag = "settings", request_body = SupervisionSettings,
    responses((status = 200, body = Settings),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn supervision(
    State(app): State<App>,
    Who(caller): Who,
    Payload(body): Payload<SupervisionSettings>,
) -> Reply<Settings> {
    Ok(Json(app.desk().set_supervision(&caller, body).await?))
}
