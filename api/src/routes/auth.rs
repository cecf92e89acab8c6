//! Signing in and out of the console.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use wire::{
    problem::Problem,
    staff::{Me, SignIn},
};

use crate::{
    App,
    body::Payload,
    caller::{From, Who},
    cookies::Jar,
    problem::Failure,
    visitor::is_same_site,
};

/// Signs in; the session is in the cookie.
#[utoipa::path(post, path = "/api/support/auth/login", tag = "staff", request_body = SignIn,
    responses((status = 200, body = Me),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn login(
    State(app): State<App>,
    from: From,
    parts: Parts,
    Payload(body): Payload<SignIn>,
) -> Result<Response, Failure> {
    // Another site must not sign somebody in under its own account.
    if !is_same_site(&parts, &app.options().allowed_origins) {
        return Err(Failure::new(
            StatusCode::FORBIDDEN,
            "cross_site",
            "Not from another site",
        ));
    }
    app.limits()
        .sign_in(&body.email, from.address)
        .map_err(|wait| Failure::rate_limited(wait.0))?;
    let (token, caller) = app.desk().auth().sign_in(body.email, body.password).await?;
    let me = app.desk().me(&caller).await?;
    let mut response = Json(&me).into_response();
    let seconds = desk::auth::SESSION_LIFE.0 / 1_000_000;
    if let Some((name, value)) = app.options().cookies.set(Jar::Staff, token.expose(), seconds) {
        response.headers_mut().append(name, value);
    }
    Ok(response)
}

/// Ends this session; twice is once.
#[utoipa::path(post, path = "/api/support/auth/logout", tag = "staff",
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn logout(State(app): State<App>, Who(caller): Who) -> Result<Response, Failure> {
    app.desk().auth().sign_out(&caller).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some((name, value)) = app.options().cookies.clear(Jar::Staff) {
        response.headers_mut().append(name, value);
    }
    Ok(response)
}
