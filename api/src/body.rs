//! Reads request bodies and ids, and names what is wrong with them.

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Request, rejection::JsonRejection},
    http::{StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::problem::Failure;

/// Largest JSON body in bytes: the longest message of the API is far below.
pub const JSON_BYTES_MAX: usize = 64 * 1024;

/// A JSON body.
pub(crate) struct Payload<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Payload<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let Json(value) = Json::<T>::from_request(request, state).await.map_err(failure_of)?;
        Ok(Payload(value))
    }
}

/// A JSON body that may be absent; then it is `{}`.
pub(crate) struct Optional<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Optional<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| too_large(rejection.status()))?;
        let bytes: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        let Json(value) = Json::<T>::from_bytes(bytes).map_err(failure_of)?;
        Ok(Optional(value))
    }
}

/// The one id in the path. What is no id names nothing.
pub(crate) struct Id(pub(crate) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Failure::not_found())?;
        text.parse().map(Id).map_err(|_| Failure::not_found())
    }
}

/// Query parameters.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Query(value)),
            Err(rejection) => Err(Failure::field("query", &rejection.body_text())),
        }
    }
}

fn failure_of(rejection: JsonRejection) -> Failure {
    match rejection {
        JsonRejection::JsonDataError(error) => Failure::field("body", &error.body_text()),
        JsonRejection::JsonSyntaxError(_) => {
            Failure::new(StatusCode::BAD_REQUEST, "malformed_json", "The body is not JSON")
        }
        JsonRejection::MissingJsonContentType(_) => Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "The body must be application/json",
        ),
        other => too_large(other.status()),
    }
}

/// A body that could not be read: too large, or the client went away.
pub(crate) fn too_large(status: StatusCode) -> Failure {
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        Failure::new(status, "too_large", "The body is too large")
    } else {
        Failure::new(StatusCode::BAD_REQUEST, "malformed", "The request could not be read")
    }
}
