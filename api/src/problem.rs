//! The one place where refusals become HTTP: status, problem document (RFC 9457), `Retry-After`.
//!
//! Never shows the cause of a fault of ours; the log has it under the same request id. Every response that is not a
//! success leaves with a problem document, also those that the framework made.

use std::borrow::Cow;

use axum::{
    Json,
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use desk::{Code, Refused};
use tracing::Instrument as _;
use uuid::Uuid;
use wire::problem::{FieldError, Problem};

/// The header that carries the request's id.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Media type of a problem document.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Seconds after which a part that is away for now may be asked again, when nobody knows better.
const RETRY_AFTER_S: u32 = 5;

/// Marks a response that is no success and whose body says all there is to say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AsItIs;

/// A refusal on its way out; [`finish`] turns it into a document.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) title: &'static str,
    pub(crate) detail: Option<Cow<'static, str>>,
    pub(crate) retry_after_s: Option<u32>,
    pub(crate) fields: Vec<FieldError>,
}

impl Failure {
    /// A refusal that only the API knows.
    pub(crate) const fn new(status: StatusCode, code: &'static str, title: &'static str) -> Self {
        Self {
            status,
            code,
            title,
            detail: None,
            retry_after_s: None,
            fields: Vec::new(),
        }
    }

    /// The same with a sentence a person can act on.
    pub(crate) fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub(crate) fn unauthenticated() -> Self {
        Refused::new(Code::Unauthenticated).into()
    }

    pub(crate) fn not_found() -> Self {
        Refused::new(Code::NotFound).into()
    }

    pub(crate) fn rate_limited(retry_after_s: u32) -> Self {
        Refused::new(Code::RateLimited).retry_after(retry_after_s).into()
    }

    /// One wrong field.
    pub(crate) fn field(name: &str, message: &str) -> Self {
        Refused::field(name, message).into()
    }
}

/// Status and title of each code. Every code of the desk is named: a new one makes the compiler ask.
pub(crate) const fn status_of(code: Code) -> (StatusCode, &'static str) {
    match code {
        Code::Unauthenticated => (StatusCode::UNAUTHORIZED, "Sign in first"),
        Code::Forbidden => (StatusCode::FORBIDDEN, "Not allowed"),
        Code::NotFound => (StatusCode::NOT_FOUND, "Not found"),
        Code::AlreadyInCall => (StatusCode::CONFLICT, "Another call is still open"),
        Code::OfferLost => (StatusCode::CONFLICT, "The offer went to somebody else or was withdrawn"),
        Code::OfferExpired => (StatusCode::GONE, "The time of the offer is over"),
        Code::IllegalTransition => (StatusCode::CONFLICT, "Not possible in the present state"),
        Code::TooManyVoices => (StatusCode::CONFLICT, "Too many speak on this call already"),
        Code::Validation => (StatusCode::UNPROCESSABLE_ENTITY, "A field is wrong"),
        Code::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "Too many requests"),
        Code::IdempotencyMismatch => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "The idempotency key was used for another request",
        ),
        Code::VersionMismatch => (StatusCode::PRECONDITION_FAILED, "It has changed meanwhile"),
        Code::TooSoon => (StatusCode::CONFLICT, "It was done a moment ago"),
        Code::Draining => (StatusCode::SERVICE_UNAVAILABLE, "This server takes no new calls"),
        Code::MediaFull => (StatusCode::SERVICE_UNAVAILABLE, "All lines are busy"),
        Code::OtherNode => (StatusCode::CONFLICT, "The call lives at another node"),
        Code::MediaUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "The sound is not available"),
        Code::UnknownGrant => (StatusCode::UNAUTHORIZED, "The grant is unknown or over"),
        Code::BadOffer => (StatusCode::BAD_REQUEST, "The session description was refused"),
        Code::RecordingMissing => (StatusCode::NOT_FOUND, "There is no recording to play"),
        Code::RecordingRequired => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Calls must be recorded, and cannot be now",
        ),
        Code::Range => (StatusCode::RANGE_NOT_SATISFIABLE, "The range lies outside the file"),
        Code::Database => (StatusCode::SERVICE_UNAVAILABLE, "Try again in a moment"),
        Code::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side"),
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let (status, title) = status_of(refused.code);
        Self {
            status,
            code: refused.code.word(),
            title,
            detail: refused.detail.map(Cow::Owned),
            retry_after_s: refused
                .retry_after_s
                .or((status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER_S)),
            fields: refused
                .fields
                .into_iter()
                .map(|(field, message)| FieldError { field, message })
                .collect(),
        }
    }
}

impl From<ports::Refusal> for Failure {
    fn from(refusal: ports::Refusal) -> Self {
        Refused::from(refusal).into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// What a framework's own refusal means; `None` for a response that is no refusal.
fn framework_failure(status: StatusCode) -> Option<Failure> {
    if status.is_informational() || status.is_success() || status.is_redirection() {
        return None;
    }
    let (code, title) = match status {
        StatusCode::BAD_REQUEST => ("malformed", "The request could not be read"),
        StatusCode::NOT_FOUND => ("not_found", "Not found"),
        StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", "Not with this method"),
        StatusCode::PAYLOAD_TOO_LARGE => ("too_large", "The body is too large"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ("unsupported_media_type", "Not this media type"),
        StatusCode::UNPROCESSABLE_ENTITY => ("validation", "A field is wrong"),
        _ if status.is_client_error() => ("refused", "The request was refused"),
        _ => ("internal", "Something went wrong on our side"),
    };
    Some(Failure::new(status, code, title))
}

/// The outermost layer: gives the request an id, logs it once, and writes the problem document.
pub(crate) async fn finish(request: Request, next: Next) -> Response {
    let id = Uuid::new_v4();
    let method = request.method().clone();
    let route = request.extensions().get::<axum::extract::MatchedPath>().cloned();
    let started = tokio::time::Instant::now();
    let span = tracing::info_span!("request", request.id = %id);
    let mut response = next.run(request).instrument(span.clone()).await;

    let status = response.status();
    let failure = match response.extensions_mut().remove::<Failure>() {
        Some(failure) => Some(failure),
        None if already_problem(&response) || response.extensions().get::<AsItIs>().is_some() => None,
        None => framework_failure(status),
    };
    span.in_scope(|| {
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        // The template of the path, never the path: it may hold what a customer typed.
        let route = route.as_ref().map_or("-", |route| route.as_str());
        let code = failure.as_ref().map_or("", |failure| failure.code);
        tracing::debug!(%method, route, status = status.as_u16(), code, duration_ms, "answered");
    });
    if let Some(failure) = failure {
        response = document(failure, id, response);
    }
    let text = HeaderValue::from_str(&id.to_string()).expect("a UUID is visible ASCII");
    response.headers_mut().insert(REQUEST_ID, text);
    response
}

/// True for a response that carries a problem document already.
fn already_problem(response: &Response) -> bool {
    response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == PROBLEM_JSON)
}

/// Writes the document, keeping the headers that the refusal came with.
fn document(failure: Failure, id: Uuid, bare: Response) -> Response {
    let problem = Problem {
        kind: "about:blank".to_owned(),
        title: failure.title.to_owned(),
        status: failure.status.as_u16(),
        code: failure.code.to_owned(),
        detail: failure.detail.map(Cow::into_owned),
        errors: failure.fields,
        request_id: id.to_string(),
    };
    let (parts, _) = bare.into_parts();
    let mut response = Json(problem).into_response();
    let body = std::mem::replace(response.body_mut(), Body::empty());
    let mut out = Response::from_parts(parts, body);
    let headers = out.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if failure.status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(seconds) = failure.retry_after_s {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_desk_has_a_status_that_is_an_error() {
        for code in Code::ALL {
            let (status, title) = status_of(code);
            assert!(status.is_client_error() || status.is_server_error(), "{}", code.word());
            assert!(!title.is_empty());
        }
    }

    #[test]
    fn successes_and_redirects_are_no_failures() {
        for status in [
            StatusCode::OK,
            StatusCode::NOT_MODIFIED,
            StatusCode::PARTIAL_CONTENT,
            StatusCode::SEE_OTHER,
        ] {
            assert!(framework_failure(status).is_none(), "{status}");
        }
        assert_eq!(
            framework_failure(StatusCode::METHOD_NOT_ALLOWED).unwrap().code,
            "method_not_allowed"
        );
    }
}
